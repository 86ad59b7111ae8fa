"""Laws of every figure: the same bytes, nothing outside, nothing shared with its neighbours."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest

from crm_methods.reports.charts.house import PALETTE, SEGMENT_COLOURS, Chart, canvas, colours, in_order, style, svg, wrap


def _chart(text: str = "label", points: int = 3) -> Chart:
    with style():
        figure, axes = canvas()
        axes.scatter(np.arange(points), np.arange(points), rasterized=points > 300)
        axes.plot([0, 1], [0, 1])
        axes.set_ylabel(text)
    return Chart(figure, "Title", 'Alt "text"')


def test_the_same_chart_gives_the_same_svg() -> None:
    assert svg(_chart(), "a") == svg(_chart(), "a")


def test_an_svg_holds_no_address_metadata_or_style_for_the_page() -> None:
    text = svg(_chart(points=400), "a")
    drawn = re.sub(r"base64,[\w+/=]+", "", text)
    assert not re.search(r"http|xmlns|xlink|metadata|<style|DOCTYPE|<\?xml|//", drawn)


def test_ids_of_two_figures_never_meet_and_every_reference_is_kept() -> None:
    texts = [svg(_chart(), prefix) for prefix in ("figure-1", "figure-2")]
    ids = [set(re.findall(r' id="([^"]+)"', text)) for text in texts]
    assert not ids[0] & ids[1]
    for text, known in zip(texts, ids, strict=True):
        asked = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text)
        assert {a or b for a, b in asked} <= known
        assert asked


def test_an_svg_says_what_it_shows() -> None:
    root = ElementTree.fromstring(svg(_chart(), "a"))
    assert root.tag == "svg"
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == 'Title. Alt "text"'


@pytest.mark.parametrize("name", ["$x$ and $y$", "<script>", "a & b", "https://a.b", "Ångström Жёлтый €−"])
def test_names_are_drawn_as_they_are_written(name: str) -> None:
    root = ElementTree.fromstring(svg(_chart(name), "a"))
    assert name in [element.text for element in root.iter("text")]


def test_names_are_masked_in_every_word() -> None:
    assert "Acme" not in svg(_chart("Acme Ltd"), "a", lambda text: text.replace("Acme", "Client 7"))


def test_text_stays_text_in_a_font_that_every_reader_has() -> None:
    text = svg(_chart(), "a")
    assert "sans-serif" in text
    assert text.count("font-family") == 1


def test_many_points_cost_little() -> None:
    assert len(svg(_chart(points=5000), "a")) < 100_000


def test_the_style_ends_with_the_drawing() -> None:
    before = mpl.rcParams["svg.hashsalt"], mpl.rcParams["text.parse_math"]
    svg(_chart(), "a")
    assert (mpl.rcParams["svg.hashsalt"], mpl.rcParams["text.parse_math"]) == before


def test_a_segment_has_its_colour_in_any_company_of_others() -> None:
    assert colours(["low_low"])["low_low"] == colours(["high_low", "low_low"])["low_low"] == SEGMENT_COLOURS["low_low"]
    assert list(colours(["b", "a"]).values()) == list(PALETTE[:2])


def test_segments_stand_in_the_order_of_the_matrix() -> None:
    assert in_order(["low_high", "b", "high_low", "a", "b"]) == ["high_low", "low_high", "b", "a"]


def test_long_labels_are_broken_and_cut() -> None:
    lines = wrap("word " * 40).split("\n")
    assert len(lines) == 3
    assert max(map(len, lines)) <= 26
    assert lines[-1].endswith("…")


def test_a_caption_is_the_note_or_else_the_alternative_text() -> None:
    chart = _chart()
    assert chart.caption == chart.alt
    assert Chart(chart.figure, "t", "alt", "note").caption == "note"
