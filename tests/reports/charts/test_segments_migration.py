"""The figure of migration draws, and claims what the sentence says."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

from crm_methods import formats
from crm_methods.reports.charts import segments_migration as charts
from crm_methods.reports.charts.house import svg
from tests.stages.two_years import steady_migration


def test_cells_stand_in_one_order_on_both_axes_and_the_title_is_the_finding():
    answer = steady_migration()
    chart = charts.migration(answer, "EUR")
    assert chart is not None
    text = svg(chart, "figure", str)

    ElementTree.fromstring(text[text.index("<svg") :])
    assert chart.title.startswith(f"{formats.share(answer.benchmark.share)} of clients changed cell")
    assert "Gone" in text
    assert "1 of 31 clients" in chart.alt


def test_without_clients_there_is_no_figure():
    answer = steady_migration()

    assert charts.migration(replace(answer, moves=answer.moves.head(0)), "EUR") is None
