"""The figures of stage 2 draw, whatever the base looks like."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from crm_methods.company.answers import Answer
from crm_methods.reports.charts import segments as charts
from crm_methods.reports.charts.house import Chart, svg
from crm_methods.stages.segments import CostToServe, WhaleCurve
from tests.conftest import MakeCompany
from tests.stages.small_companies import costed, deals_of, loyal_and_costly
from tests.stages.stage_two import run_stage


def drawn(chart: Chart) -> str:
    text = svg(chart, "figure", str)
    ElementTree.fromstring(text[text.index("<svg") :])
    assert chart.title
    assert chart.alt
    assert "nan" not in f"{chart.title} {chart.caption}".lower().split()
    return text


def test_every_figure_draws_on_a_base_with_costs_and_claims_what_the_sentence_says(make_company: MakeCompany, tmp_path: Path):
    made = loyal_and_costly(make_company, segments={"period_months": 24})
    found = run_stage(made.data, made.settings, tmp_path)

    assert isinstance(found.cost, CostToServe)
    assert isinstance(found.whale, WhaleCurve)
    assert isinstance(found.equity, Answer)
    drawn(charts.capacity(found.cost, "EUR"))
    assert "contribution" in drawn(charts.whale_curve(found.whale, "EUR"))
    matrix = charts.matrix(found.matrix, "EUR")
    assert matrix is not None
    drawn(matrix)
    claim = matrix.title.split(": ")
    assert claim[0] in found.matrix.sentence
    assert claim[1].split(" of revenue")[0] in found.matrix.sentence
    assert "is worth most" in charts.equity(found.equity, "EUR").title
    drawn(charts.equity(found.equity, "EUR"))


@pytest.mark.parametrize("minutes", [{"a": 10.0}, {"a": 0.0}], ids=["worked", "idle"])
def test_the_figures_of_one_client_draw(make_company: MakeCompany, tmp_path: Path, minutes: dict[str, float]):
    made = costed(make_company, {"a": 1_000.0}, minutes)
    found = run_stage(made.data, made.settings, tmp_path)

    assert isinstance(found.whale, WhaleCurve)
    assert charts.whale_curve(found.whale, "EUR").title == "No client takes back what others earn"
    drawn(charts.whale_curve(found.whale, "EUR"))
    if isinstance(found.cost, CostToServe):
        drawn(charts.capacity(found.cost, "EUR"))
    matrix = charts.matrix(found.matrix, "EUR")
    if matrix is not None:
        drawn(matrix)


def test_without_costs_there_is_no_figure_of_the_matrix(make_company: MakeCompany, tmp_path: Path):
    made = make_company({"deals": deals_of({"a": 10.0, "b": 20.0})})

    assert charts.matrix(run_stage(made.data, made.settings, tmp_path).matrix, "EUR") is None
