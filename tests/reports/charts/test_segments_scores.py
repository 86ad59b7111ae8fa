"""The figures of scores, classes and loyalty draw, and claim what the sentence says."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from crm_methods.models.within_clients import Slope
from crm_methods.reports.charts import segments_scores as charts
from crm_methods.reports.charts.house import Chart, svg
from crm_methods.stages import segments_loyalty
from crm_methods.stages.segments_abc import AbcXyz, abc_xyz
from crm_methods.stages.segments_loyalty import Loyalty
from crm_methods.stages.segments_scores import Scores, scores
from tests.stages.plain_canonical import plain_data


def _drawn(chart: Chart) -> None:
    text = svg(chart, "figure", str)
    ElementTree.fromstring(text[text.index("<svg") :])
    assert chart.alt
    assert "nan" not in f"{chart.title} {chart.caption} {chart.alt}".lower().split()


def test_the_figures_of_a_base_draw(tmp_path: Path):
    days = [(f"c{i:02}", dt.date(2024, 1, 5) + dt.timedelta(days=n * (20 + i)), 100.0 + i) for i in range(20) for n in range(25)]
    data, settings = plain_data(tmp_path, {"deals": pd.DataFrame(days, columns=["client_id", "closed_on", "amount"])})
    scored, classed = scores(data, settings), abc_xyz(data, settings)
    assert isinstance(scored, Scores)
    assert isinstance(classed, AbcXyz)

    for chart in (charts.scores(scored, "EUR"), charts.abc_xyz(classed, "EUR")):
        _drawn(chart)
    assert charts.scores(scored, "EUR").title.split()[0] in scored.sentence


@pytest.mark.parametrize(
    ("low", "title"),
    [
        (-0.3, "Cost falls by 18% a year of tenure within clients"),
        (-0.6, "No change of cost with tenure can be shown within clients"),
    ],
)
def test_the_figure_of_loyalty_claims_what_was_found(low: float, title: str):
    slope = Slope(slope=-0.2, low=low, high=-0.4 - low, standard_error=0.1, clients=30, rows=300)
    estimates = dict.fromkeys(("overall", "early", "late", "beside_others", "per_revenue"), slope) | {"per_purchase": None}
    table = segments_loyalty._table(estimates, "beside_others")
    chart = charts.loyalty(Loyalty(sentence="", table=table, caption="", estimates=estimates, lead="beside_others"), "EUR")

    _drawn(chart)
    assert chart.title == title


def test_the_figures_of_one_client_draw(tmp_path: Path):
    told = pd.DataFrame({"client_id": ["a"], "closed_on": [dt.date(2025, 6, 1)], "amount": [10.0]})
    data, settings = plain_data(tmp_path, {"deals": told})
    scored, classed = scores(data, settings), abc_xyz(data, settings)
    assert isinstance(scored, Scores)
    assert isinstance(classed, AbcXyz)

    _drawn(charts.scores(scored, "EUR"))
    _drawn(charts.abc_xyz(classed, "EUR"))


def test_steadiness_that_can_not_be_judged_is_not_called_even(tmp_path: Path):
    told = pd.DataFrame({"client_id": ["a"], "closed_on": [dt.date(2025, 10, 20)], "amount": [10.0]})
    classed = abc_xyz(*plain_data(tmp_path, {"deals": told}))
    assert isinstance(classed, AbcXyz)

    assert "can't be judged" in charts.abc_xyz(classed, "EUR").title
