"""Laws of what a notebook shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered
from crm_methods.reports.charts.bars import horizontal_bars
from crm_methods.reports.charts.house import Chart
from crm_methods.reports.show import MARK, MAX_ROWS, Presenter, table_html

from .made_up import HOSTILE

Shown = list[tuple[dict[str, str], dict[str, Any]]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shown]:
    """Data and metadata of everything displayed."""
    outputs: Shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw, metadata: outputs.append((data, metadata)))
    return outputs


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def _read(html: str) -> _Tags:
    parser = _Tags()
    parser.feed(html)
    return parser


def _cells(html: str, column: int) -> list[str]:
    rows = re.findall(r"<tr>(.*?)</tr>", html.split("<tbody>")[1])
    return [re.sub(r"<.*?>", "", re.findall(r"<t[hd].*?</t[hd]>", row)[column]) for row in rows]


def _chart() -> Chart:
    table = pd.DataFrame({"name": [HOSTILE, "b"], "revenue": [2.0, 1.0]})
    return horizontal_bars(table, label="name", length="revenue", form=formats.number, title="A <leads>", alt='Bars "a"')


def test_hostile_text_makes_no_element(shown: Shown) -> None:
    table = pd.DataFrame({HOSTILE: [HOSTILE], "revenue": [1.5]})
    Presenter("EUR").answer(Answer(sentence=HOSTILE, table=table, caption=HOSTILE), _chart())
    Presenter("EUR").unanswered(Unanswered("segments.whale_curve", HOSTILE, (HOSTILE,)))
    for data, _ in shown:
        read = _read(data["text/html"])
        assert not {tag for tag, _ in read.tags} & {"script", "style", "img", "iframe", "object", "embed", "link", "form"}
        assert not [name for _, attributes in read.tags for name in attributes if name.startswith("on")]
        assert any("alert(1)" in text for text in read.texts)


def test_every_output_carries_the_mark_and_a_plain_text(shown: Shown) -> None:
    show = Presenter("EUR")
    show.say("Said.")
    show.table(pd.DataFrame({"revenue": [1]}), "Captioned")
    show.figure(_chart())
    show.unanswered(Unanswered("segments.whale_curve", "no margin.", ("deals.margin",)))
    assert [set(metadata) for _, metadata in shown] == [{MARK}] * 4
    assert [data["text/plain"][:5] for data, _ in shown] == ["Said.", "Capti", "A <le", "Who e"]


def test_a_question_left_open_twice_explains_itself_once(shown: Shown) -> None:
    show = Presenter("EUR")
    for _ in range(2):
        show.unanswered(Unanswered("segments.whale_curve", "no margin.", ("deals.margin",)))
    assert ["deals.margin" in data["text/html"] for data, _ in shown] == [True, False]


def test_an_unanswered_question_says_why_and_which_data_would_answer_it(shown: Shown) -> None:
    Presenter("EUR").answer(Unanswered("segments.whale_curve", "no deal has a margin.", ("deals.margin: margin",)))
    html = shown[0][0]["text/html"]
    assert "Not enough data" in html
    assert "Who earns, and who gives it back?" in html
    assert "no deal has a margin." in html
    assert "deals.margin: margin" in html


def test_figures_and_tables_are_numbered_apart(shown: Shown) -> None:
    show = Presenter("EUR")
    for _ in range(2):
        show.answer(Answer(sentence="s", table=pd.DataFrame({"clients": [1]}), caption="c"), _chart())
    pages = [data["text/html"] for data, _ in shown]
    assert [re.findall(r"(Figure \d)\.", page) for page in pages] == [["Figure 1"], ["Figure 2"]]
    assert ["Table 1." in pages[0], "Table 2." in pages[1]] == [True, True]
    ids = re.findall(r'id="([^"]+)"', "".join(pages))
    assert len(ids) == len(set(ids))


def test_a_table_names_its_columns_and_rows_and_aligns_numbers() -> None:
    html = table_html(pd.DataFrame({"segment": ["high_low"], "revenue": [1234.0]}), "Caption", "EUR", {"revenue": "Sales"})
    assert '<th scope="col">Segment</th><th scope="col" class="number">Sales</th>' in html
    assert '<th scope="row">High revenue, low cost</th><td class="number">€1,234</td>' in html
    assert "<caption><span>Caption</span></caption>" in html


def test_long_tables_are_cut_and_the_cut_is_said() -> None:
    html = table_html(pd.DataFrame({"clients": range(600)}), "c", "EUR")
    assert html.count("<tr>") == MAX_ROWS + 1
    assert "40 of 600 rows are shown" in html


def test_an_empty_table_says_so() -> None:
    assert "No rows." in table_html(pd.DataFrame({"segment": [], "clients": []}), "c", "EUR")


@pytest.mark.parametrize(
    ("name", "values", "texts"),
    [
        ("contacts_per_client", [0.5, 12.25, 3.0], ["0.50", "12.25", "3.00"]),
        ("clients", [1204, 3, np.nan], ["1,204", "3", "–"]),
        ("won_share", [0.05, 0.021], ["5.0%", "2.1%"]),
        ("won_share", [0.5, 0.021], ["50%", "2%"]),
        ("revenue", [116461.4, -2.5], ["€116,461", "−€2"]),
        ("unit_price", [3.5, 12.0], ["€3.50", "€12.00"]),
        ("estimate", [0.2426, 4413.5], ["0.243", "4,413.5"]),
    ],
)
def test_a_columns_digits_stand_in_line(name: str, values: list[float], texts: list[str]) -> None:
    table = pd.DataFrame({"segment": ["high_low"] * len(values), name: values})
    assert _cells(table_html(table, "c", "EUR"), 1) == texts


def test_pseudonyms_reach_every_text(shown: Shown) -> None:
    class Hidden:
        def frame(self, df: pd.DataFrame) -> pd.DataFrame:
            return df.replace("Acme", "Client 7")

        def text(self, text: str) -> str:
            return text.replace("Acme", "Client 7")

    table = pd.DataFrame({"client": ["Acme"], "revenue": [1]})

    def draw(answer: Answer, currency: str) -> Chart:
        bars = {"label": "client", "length": "revenue", "form": formats.number}
        return horizontal_bars(answer.table, **bars, title="Acme leads", alt="Acme first", reference=(1, "Acme"))

    show = Presenter("EUR", Hidden())
    answer = Answer(sentence="Acme earns", table=table, caption="Acme alone")
    show.answer(answer, draw)
    show.answer(answer, draw(answer, "EUR"))
    show.unanswered(Unanswered("segments.whale_curve", "Acme is missing", ("Acme",)))
    assert "Acme" not in str(shown)
    assert "Client 7" in str(shown)


def test_the_frame_shown_is_left_as_it_was(shown: Shown) -> None:
    table = pd.DataFrame({"segment": ["high_low"], "revenue": [1.25]})
    before = table.copy()
    Presenter("EUR").table(table, "c")
    pd.testing.assert_frame_equal(table, before)


def test_a_figure_may_be_left_out_and_is_not_drawn_for_an_open_question(shown: Shown) -> None:
    show = Presenter("EUR")
    show.answer(Answer(sentence="s", table=pd.DataFrame({"clients": [1]}), caption="c"), lambda answer, currency: None)
    show.answer(Unanswered("segments.whale_curve", "r."), lambda answer, currency: pytest.fail("drawn"))
    assert not any("<figure" in data["text/html"] for data, _ in shown)
