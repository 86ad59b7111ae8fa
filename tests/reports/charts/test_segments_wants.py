"""Figures of what segments want and like say what the tests by chance say."""

from __future__ import annotations

import pandas as pd
import pytest

from crm_methods.reports.charts import segments_wants as charts
from crm_methods.reports.charts.house import svg
from crm_methods.stages.segments_likes import Likes
from crm_methods.stages.segments_wants import Wants

_WORDS = {"sentence": "", "caption": ""}
NAN = float("nan")


def _wants(q_value: float, gap: float = 2.0) -> Wants:
    rows = [(s, c, 4.0, g, 9) for s, g in (("all", 1.0), ("high_low", 0.5), ("low_high", gap)) for c in ("price", "speed")]
    criteria = pd.DataFrame(rows, columns=["segment", "criterion", "importance", "gap", "clients"])
    tests = pd.DataFrame({"item": ["gap in price", "gap in speed"], "q_value": [NAN, q_value]})
    return Wants(**_WORDS, table=criteria, criteria=criteria, tests=tests)


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        (_wants(0.01), "“Low revenue, high cost” gets speed 2.0 below what it expects"),
        (_wants(0.5), "What clients miss most is price, rated 1.0 below what they expect"),
    ],
)
def test_a_segment_is_only_named_where_segments_differ_beyond_chance(answer: Wants, title: str):
    chart = charts.wants(answer, "EUR")

    assert chart is not None
    assert chart.title == title
    assert "Low revenue, high cost" in svg(chart, "figure", str)


def test_without_expectations_or_shares_there_is_no_figure():
    criteria = _wants(0.5).criteria.assign(gap=NAN)
    table = pd.DataFrame({"segment": ["all"], "clients": [9]})

    assert charts.wants(Wants(**_WORDS, table=criteria, criteria=criteria, tests=pd.DataFrame()), "EUR") is None
    assert charts.likes(Likes(**_WORDS, table=table, ratings=table, tests=table), "EUR") is None


def test_likes_draw_the_shares_that_are_known():
    columns = ["segment", "satisfied_share", "satisfied_low_share", "satisfied_high_share"]
    table = pd.DataFrame([("all", 0.5, 0.4, 0.6), ("low_low", NAN, NAN, NAN)], columns=columns)
    chart = charts.likes(Likes(**_WORDS, table=table, ratings=table, tests=table), "EUR")

    assert chart is not None
    assert chart.title == "In 50% of answers clients are satisfied"
    assert "nan" not in chart.alt
