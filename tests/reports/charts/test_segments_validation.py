"""The figures on trust draw, and claim what their numbers say."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from xml.etree import ElementTree

import pandas as pd

from crm_methods.company.answers import Answer
from crm_methods.reports.charts import segments_validation as charts
from crm_methods.reports.charts.house import Chart, svg
from crm_methods.stages.segments_validation import Calibration, Tracking

_CURVE = pd.DataFrame(
    {
        "month_end": pd.date_range("2025-06-30", periods=7, freq="ME"),
        "held_out": [False] * 4 + [True] * 3,
        "actual": [0.0, 10, 20, 30, 40, 50, 60],
        "expected": [0.0, 9, 19, 29, 38, 47, 54],
        "nbd": [0.0, 10, 20, 31, 42, 53, 66],
        "naive": [0.0, 10, 20, 30, 42, 54, 66],
    }
)
_TRACKING = Tracking(
    sentence="", table=_CURVE.drop(columns="held_out").tail(4), caption="", curve=_CURVE, end=dt.date(2025, 9, 30),
    foreseen=27.0, followed=30.0,
    labels={"actual": "In fact", "expected": "MBG/NBD", "nbd": "NBD", "naive": "Own rate"},
)  # fmt: skip
_FREQUENCIES = Answer(
    sentence="",
    table=pd.DataFrame(
        {
            "repeat_purchases": ["0", "1", "2 and more"], "clients": [30, 20, 10], "actual": [0.2, 0.5, 1.5],
            "low": [0.1, 0.3, 0.9], "high": [0.4, 0.8, 2.2], "expected": [0.25, 0.45, 1.6], "naive": [0.0, 1.0, 3.0],
        }
    ),
    caption="",
    labels={"expected": "MBG/NBD", "naive": "Own rate"},
)  # fmt: skip
_BINS = pd.DataFrame(
    {
        "p_alive_from_share": [0.0, 0.5], "p_alive_to_share": [0.5, 1.0], "clients": [40, 60],
        "predicted_share": [0.1, 0.7], "actual_share": [0.05, 0.9], "low_share": [0.01, 0.8], "high_share": [0.17, 0.95],
        "beyond_chance": [False, True],
    }
)  # fmt: skip
_CALIBRATION = Calibration(sentence="", table=_BINS.drop(columns="beyond_chance"), caption="", labels={}, bins=_BINS)


def _texts(chart: Chart | None) -> list[str]:
    assert chart is not None
    assert chart.alt
    return [element.text or "" for element in ElementTree.fromstring(svg(chart, "f")).iter("text")]


def test_tracking_names_its_lines_and_where_the_holdout_begins() -> None:
    chart = charts.tracking(_TRACKING, "EUR")

    assert {"In fact", "MBG/NBD", "NBD", "Own rate", "held out from here"} <= set(_texts(chart))
    assert chart is not None
    assert chart.title == "27 purchases expected in the months held out, 30 made"


def test_tracking_of_a_naive_forecast_has_one_line_less() -> None:
    chart = charts.tracking(replace(_TRACKING, table=_TRACKING.table.drop(columns="expected")), "EUR")

    assert "MBG/NBD" not in _texts(chart)


def test_conditional_expectations_are_drawn_beside_the_naive_ones() -> None:
    chart = charts.by_frequency(_FREQUENCIES, "EUR")

    assert {"0", "1", "2 and more", "MBG/NBD", "Own rate"} <= set(_texts(chart))
    assert chart is not None
    assert chart.title == "MBG/NBD came nearer to what clients bought than everybody's own rate"


def test_chances_of_buying_are_drawn_beside_the_shares_that_bought() -> None:
    chart = charts.alive(_CALIBRATION, "EUR")

    assert {"Chances that come true", "Bought", "Expected to buy in the months held out"} <= set(_texts(chart))
    assert chart is not None
    assert chart.title == "In 1 of 2 groups more or fewer bought than expected, beyond chance"
    assert "90% of 60 clients where 70% were expected" in chart.alt
    held = charts.alive(replace(_CALIBRATION, bins=_BINS.assign(beyond_chance=False)), "EUR")
    assert held is not None
    assert held.title == "In every group as many bought as expected, within chance"


def test_what_is_too_little_to_draw_has_no_figure() -> None:
    assert charts.tracking(replace(_TRACKING, curve=_CURVE.head(2)), "EUR") is None
    assert charts.tracking(replace(_TRACKING, curve=_CURVE.assign(actual=0.0)), "EUR") is None
    assert charts.by_frequency(replace(_FREQUENCIES, table=_FREQUENCIES.table.head(1)), "EUR") is None
    assert charts.alive(replace(_CALIBRATION, bins=_BINS.head(1)), "EUR") is None
