"""Laws of the kinds of chart: they draw the rows they get, all of them, and change none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from crm_methods import formats
from crm_methods.reports.charts.bars import horizontal_bars, stacked_bars, waterfall
from crm_methods.reports.charts.house import GREY, TEAL, Chart, svg
from crm_methods.reports.charts.intervals import forest
from crm_methods.reports.charts.lines import lines, share_curve
from crm_methods.reports.charts.matrices import heat_map, quadrants

_WORDS: dict[str, Any] = {"title": "Title", "alt": "Alt"}


def _euros(value: float) -> str:
    return formats.money_short(value, "EUR")


_SEGMENTS = pd.DataFrame({"name": ["Large", "Small <b>", "Gone"], "margin": [37268.0, -431.0, np.nan]})
_BRIDGE = pd.DataFrame({"step": ["opening", "new", "lost", "closing"], "revenue": [100.0, 40.0, -60.0, 80.0]})
_MONTHS = pd.DataFrame(
    {"month": pd.date_range("2025-01-01", periods=12, freq="MS"), "new": range(12), "lost": range(0, -12, -1), "hours": 9.0}
)
_SERIES = pd.DataFrame({"week": [1, 2, 1, 2], "kind": ["a", "a", "b", "b"], "n": [1.0, 2, 3, 4], "low": 0.5, "high": 5.0})
_CURVE = pd.DataFrame({"client_share": [0, 0.5, 1], "margin_share": [0, 1.3, 1]})
_HEAT = pd.DataFrame({"block": ["contact", "deals"], "a_share": [0.1, 1.0], "b_share": [np.nan, 0.5]})
_POINTS = pd.DataFrame({"cost": [1.0, 2, 3], "revenue": [10.0, 1000, 0], "segment": ["low_low", "high_high", "low_low"]})
_EFFECTS = pd.DataFrame({"method": ["naive", "better"], "effect": [10.2, 5.1], "low": [8.0, 2.0], "high": [12.4, 8.2]})


def _bars(table: pd.DataFrame) -> Chart:
    return horizontal_bars(table, label="name", length="margin", form=_euros, reference=(1e4, "target"), **_WORDS)


def _waterfall(table: pd.DataFrame) -> Chart:
    totals = {"opening", "closing"}
    return waterfall(table, step="step", change="revenue", totals=totals, form=_euros, labels={"new": "New ones"}, **_WORDS)


def _stacked(table: pd.DataFrame) -> Chart:
    return stacked_bars(
        table, x="month", parts=["new", "lost"], line="hours", form=formats.number, x_form=formats.month, **_WORDS
    )


def _lines(table: pd.DataFrame) -> Chart:
    return lines(
        table, x="week", y="n", series="kind", low="low", high="high", form=formats.number, x_form=formats.number,
        references={"upper limit": 6.0}, **_WORDS,
    )  # fmt: skip


def _curve(table: pd.DataFrame) -> Chart:
    return share_curve(
        table, x="client_share", y="margin_share", x_axis="Clients", y_axis="Margin", diagonal=True,
        mark=(0.5, 1.3, "peak 130%"), **_WORDS,
    )  # fmt: skip


def _heat(table: pd.DataFrame) -> Chart:
    return heat_map(table, row="block", columns=["a_share", "b_share"], form=formats.share, limits=(0, 1), **_WORDS)


def _quadrants(table: pd.DataFrame) -> Chart:
    return quadrants(
        table, x="cost", y="revenue", x_cut=2, y_cut=100, x_axis="Cost", y_axis="Revenue", x_form=formats.number,
        y_form=_euros, group="segment", corners={"top_left": "Raise loyalty"}, log="y", **_WORDS,
    )  # fmt: skip


def _forest(table: pd.DataFrame) -> Chart:
    columns = {"label": "method", "estimate": "effect", "low": "low", "high": "high"}
    return forest(table, **columns, form=lambda x: formats.number(x, 1), permitted=(4, 6), **_WORDS)


_KINDS: list[tuple[Callable[[pd.DataFrame], Chart], pd.DataFrame, list[str]]] = [
    (_bars, _SEGMENTS, ["Large", "Small <b>", "Gone", "€37k", "−€431", "–", "target"]),
    (_waterfall, _BRIDGE, ["Opening", "New ones", "Lost", "Closing", "€100", "+€40", "−€60", "€80"]),
    (_stacked, _MONTHS, ["Jan 2025", "New", "Lost", "Hours"]),
    (_lines, _SERIES, ["a", "b", "upper limit"]),
    (_curve, _CURVE, ["Clients", "Margin", "100%", "peak 130%"]),
    (_heat, _HEAT, ["contact", "deals", "A share", "10%", "100%", "–", "50%"]),
    (_quadrants, _POINTS, ["Low revenue, low cost", "High revenue, high cost", "Raise loyalty", "€1,000"]),
    (_forest, _EFFECTS, ["naive", "better", "10.2  (8.0 to 12.4)", "5.1  (2.0 to 8.2)"]),
]
_each_kind = pytest.mark.parametrize(("draw", "table", "words"), _KINDS, ids=[kind[0].__name__ for kind in _KINDS])


def _texts(chart: Chart) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg(chart, "f")).iter("text")]


@_each_kind
def test_a_chart_writes_the_names_and_numbers_it_got(
    draw: Callable[[pd.DataFrame], Chart], table: pd.DataFrame, words: list[str]
) -> None:
    assert set(words) <= set(_texts(draw(table)))


@_each_kind
def test_drawing_changes_no_row_and_repeats_to_the_byte(
    draw: Callable[[pd.DataFrame], Chart], table: pd.DataFrame, words: list[str]
) -> None:
    before = table.copy()
    assert svg(draw(table), "f") == svg(draw(table), "f")
    pd.testing.assert_frame_equal(table, before)


def test_highlighted_bars_have_the_house_colour_and_others_are_grey() -> None:
    chart = horizontal_bars(_SEGMENTS, label="name", length="margin", form=_euros, highlight=["Large"], title="t", alt="a")
    text = svg(chart, "f")
    assert text.count(f"fill: {TEAL}") == 1
    assert text.count(f"fill: {GREY}") == 2


def test_a_bridge_ends_where_its_steps_lead() -> None:
    axes = _waterfall(_BRIDGE).figure.axes[0]
    tops = [(patch.get_y(), patch.get_y() + patch.get_height()) for patch in axes.patches]
    assert tops == [(0, 100), (100, 140), (140, 80), (0, 80)]


def test_negative_parts_hang_below_zero() -> None:
    axes = _stacked(_MONTHS).figure.axes[0]
    assert min(patch.get_y() + min(patch.get_height(), 0) for patch in axes.patches) == -11
    assert max(patch.get_y() + max(patch.get_height(), 0) for patch in axes.patches) == 11


def test_a_signed_map_is_white_at_its_centre() -> None:
    table = pd.DataFrame({"row": ["a"], "x": [-1.0], "y": [0.0], "z": [3.0]})
    chart = heat_map(table, row="row", columns=["x", "y", "z"], form=formats.number, centre=0, title="t", alt="a")
    mesh = chart.figure.axes[0].collections[0]
    assert mesh.get_clim() == (-3.0, 3.0)
    np.testing.assert_allclose(mesh.to_rgba(0.0)[:3], 1, atol=0.01)


def test_thousands_of_points_become_a_picture_and_few_stay_lines() -> None:
    many = pd.DataFrame({"cost": np.arange(3000.0), "revenue": np.arange(3000.0) + 1, "segment": "low_low"})
    assert "data:image/png" in svg(_quadrants(many), "f")
    assert len(svg(_quadrants(many), "f")) < 200_000
    assert "data:image/png" not in svg(_quadrants(_POINTS), "f")


@_each_kind
def test_a_table_without_rows_draws_an_empty_chart(
    draw: Callable[[pd.DataFrame], Chart], table: pd.DataFrame, words: list[str]
) -> None:
    assert svg(draw(table.head(0)), "f").startswith("<svg")
