"""Laws of the pages that leave: whole, inert, and about themselves alone."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from crm_methods.company.vocabulary import STAGES
from crm_methods.reports.body import TEMPLATES
from crm_methods.reports.html import HEADLINES, _parameter, render_index, render_stage

from . import made_up
from .made_up import HOSTILE

_VOID = {"meta", "br", "img", "hr", "input", "link"}


class _Page(HTMLParser):
    """Tags, attributes, headings, ids, and whether every element is closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def values(self, name: str) -> list[str]:
        return [value for _, given, value in self.attributes if given == name]


@pytest.fixture(params=["stage", "index"])
def page(request: pytest.FixtureRequest) -> str:
    """The report of a stage, then the index."""
    return str(request.getfixturevalue(f"{request.param}_page"))


def test_nothing_in_a_page_runs_or_leads_outside(page: str) -> None:
    read = _Page(page)
    assert not {"script", "link", "iframe", "object", "embed", "form", "base"} & set(read.tags)
    assert not [name for _, name, _ in read.attributes if name.startswith("on")]
    for link in [*read.values("href"), *read.values("src")]:
        assert re.match(r"#|[\w.]+$|data:image/png;base64,", link), link
    assert "url(" not in page.replace("url(#", "")
    assert "@import" not in page


def test_no_address_stands_in_a_page_but_in_a_clients_text(page: str) -> None:
    without_client_text = page.replace("https://evil.example", "")
    assert not re.search(r"https?:|//[a-z]|xmlns", re.sub(r"base64,[\w+/=]+", "", without_client_text))


def test_the_policy_forbids_scripts_and_requests(page: str) -> None:
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page
    assert page.index("Content-Security-Policy") < page.index("<title>")


def test_a_hostile_client_is_read_as_it_is_written(page: str) -> None:
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7*7 }}" in page
    assert "../../etc" in page
    assert page.count("</style>") == 1


def test_elements_are_closed_in_order_and_ids_are_unique(page: str) -> None:
    read = _Page(page)
    assert read.open == []
    ids = read.values("id")
    assert len(ids) == len(set(ids))
    local = [link[1:] for link in read.values("href") if link.startswith("#")]
    assert set(local) <= set(ids)


def test_headings_never_skip_a_level(page: str) -> None:
    levels = [int(tag[1]) for tag in _Page(page).tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_a_page_has_a_language_and_a_way_past_its_head(page: str) -> None:
    assert '<html lang="en">' in page
    assert '<a class="skip" href="#main">' in page
    assert re.search(r'<main id="main"', page)


def test_the_same_inputs_give_the_same_bytes(executed: Path, stage_page: str) -> None:
    assert render_stage(executed, made_up.stage_json(), made_up.run_facts()) == stage_page


def test_a_report_measures_no_time_and_knows_no_folder(stage_page: str) -> None:
    assert "3.2" not in re.sub(r"<svg.*?</svg>|<style>.*?</style>", "", stage_page, flags=re.DOTALL)
    assert "/home/someone" not in stage_page


def test_figures_have_an_alternative_text_and_a_caption(stage_page: str) -> None:
    figures = re.findall(r"<figure.*?</figure>", stage_page, flags=re.DOTALL)
    assert len(figures) == 2
    for number, figure in enumerate(figures, start=1):
        assert re.search(r'<svg[^>]* role="img"[^>]* aria-label="[^"]{20,}', figure)
        assert f"<figcaption>Figure {number}. " in figure


def test_the_title_says_company_stage_and_day(stage_page: str) -> None:
    assert "Meridian &amp; Sons · stage 2 of 6" in stage_page
    assert f"<h1>{STAGES['segments'].title}</h1>" in stage_page
    assert "As of 31 Dec 2025, in EUR." in stage_page


def test_findings_decision_gaps_checks_and_origin_are_there(stage_page: str) -> None:
    for text in (
        "High-revenue clients earn 76% of the margin",
        "Give the 310 costly large clients an owner",
        "What this report could not answer",
        "Who earns, and who gives it back?</strong> No deal has a margin.",
        "Totals reconcile",
        "1 check to read",
        "deals.csv",
        "41,203 rows",
        "2d711642b726…",
        "crm-methods 0.1.0 · python 3.11.7 · pandas 3.1.1",
        "<dt>Horizon</dt><dd>36 months</dd>",
        "<dt>Annual discount rate</dt><dd>10%</dd>",
    ):
        assert text in stage_page


@pytest.mark.parametrize(
    ("name", "value", "label", "text"),
    [
        ("horizon_months", 1, "Horizon", "1 month"),
        ("annual_discount_rate", 0.075, "Annual discount rate", "7.5%"),
        ("holdout_share", 0.2, "Holdout", "20%"),
        ("budget", 184000, "Budget", "€184,000"),
        ("scope", ["North", "South"], "Scope", "North and South"),
        ("reason", None, "Reason", "not set"),
        ("by", "matrix", "By", "matrix"),
    ],
)
def test_parameters_have_labels_and_units(name: str, value: object, label: str, text: str) -> None:
    assert _parameter(name, value, "EUR") == (label, text)


@pytest.mark.parametrize(
    ("key", "pages", "links"),
    [
        ("client_base", tuple(STAGES), ["index.html", "2_segments.html"]),
        ("offers", tuple(STAGES), ["2_segments.html", "index.html", "4_processes.html"]),
        ("relationships", tuple(STAGES), ["5_contacts.html", "index.html"]),
        ("offers", ("client_base", "offers"), ["1_client_base.html", "index.html"]),
    ],
)
def test_reports_link_their_neighbours_in_the_run(executed: Path, key: str, pages: tuple[str, ...], links: list[str]) -> None:
    html = render_stage(executed, made_up.stage_json(key), made_up.run_facts(pages=pages))
    nav = html.split('<nav class="neighbours"')[1].split("</nav>")[0]
    assert re.findall(r'href="([^"]+)"', nav) == links


def test_the_index_has_all_five_numbers_or_says_what_they_lack(index_page: str) -> None:
    cards = re.findall(r'<li class="card headline.*?</li>', index_page, flags=re.DOTALL)
    assert len(cards) == len(HEADLINES)
    assert ["Not enough data" in card for card in cards] == [True, False, True, False, True]
    assert "€3.8M to €4.6M" in cards[1]
    assert "deals.margin: margin of a deal" in cards[2]


def test_the_index_shows_the_matrix_decisions_checks_totals_and_files(index_page: str) -> None:
    for text in (
        "6 stages carried out, 6 checks passed, 6 to read; 6 questions left open",
        '<th scope="col">Low cost to serve</th>',
        "310 clients",
        '<span class="amount">€90k</span> revenue · <span class="amount">−€31k</span> contribution',
        "Cut costs",
        '<td class="number">41,203</td>',
        '<a href="contact_budget.xlsx">',
        '<a href="clients.csv">',
        "Give the 310 costly large clients",
    ):
        assert text in index_page
    assert all(f'href="{info.notebook}.html"' in index_page for info in STAGES.values())


@pytest.mark.parametrize(
    ("segments", "texts"),
    [
        (["high_unknown", "low_unknown"], ["Cost to serve not known"]),
        (["all"], ["All clients"]),
        (["cluster_1", "cluster_2"], ["Cluster 1", "Cluster 2"]),
    ],
)
def test_other_segments_than_the_four_cells_are_shown_too(segments: list[str], texts: list[str]) -> None:
    matrix = pd.DataFrame({"segment": segments, "clients": 5, "revenue": 10.0, "contribution": None, "strategy": "raise_loyalty"})
    html = render_index(made_up.all_stages(), made_up.run_facts(), matrix, None)
    assert all(text in html for text in texts)
    assert html.count('<p class="size">5 clients</p>') == len(segments)


def test_an_index_without_stages_still_opens() -> None:
    html = render_index([], made_up.run_facts(has_workbook=False, files=()), None, None)
    assert html.count("Not enough data") == len(HEADLINES)


def test_pseudonyms_reach_stage_and_index(executed: Path) -> None:
    class Hidden:
        def frame(self, df: pd.DataFrame) -> pd.DataFrame:
            return df.replace("deals", "Client 7")

        def text(self, text: str) -> str:
            return text.replace("Meridian", "Company").replace("costly large", "Client 7")

    facts = made_up.run_facts()
    pages = [
        render_stage(executed, made_up.stage_json(), facts, Hidden()),
        render_index(made_up.all_stages(), facts, made_up.segment_matrix(), made_up.reconciliation(), Hidden()),
    ]
    for html in pages:
        assert "Meridian" not in html
        assert "costly large" not in html
        assert "Company &amp; Sons" in html


def test_a_hostile_company_can_not_leave_its_place(executed: Path) -> None:
    html = render_stage(executed, made_up.stage_json(), made_up.run_facts(company=HOSTILE, run_id=HOSTILE))
    assert html.count("<style>") == html.count("</style>") == 1
    assert "<script" not in html


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    ("ink", "ground"),
    [("ink", "pale"), ("muted", "pale"), ("teal", "pale"), ("teal", "back"), ("good", "good-back"), ("open", "open-back")],
)
def test_words_stand_out_from_their_ground(ink: str, ground: str) -> None:
    css = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", css))
    dark, light = sorted([_luminance(colours[ink]), _luminance(colours[ground])])
    assert (light + 0.05) / (dark + 0.05) >= 4.5
