"""The figures on what clients cost draw, and claim what the tables hold."""

from __future__ import annotations

from xml.etree import ElementTree

import pandas as pd

from crm_methods.engine import open_engine
from crm_methods.reports.charts import segments_costs as charts
from crm_methods.reports.charts.house import Chart, svg
from crm_methods.stages.segments_costs import BESIDE, IN_COST, OFF_REVENUE, SUM, CostComponents
from crm_methods.stages.segments_payment import LatePayment
from crm_methods.stages.segments_sensitivity import RateSensitivity


def drawn(chart: Chart | None) -> Chart:
    assert chart is not None
    text = svg(chart, "figure", str)
    ElementTree.fromstring(text[text.index("<svg") :])
    assert "nan" not in f"{chart.title} {chart.caption} {chart.alt}".lower().split()
    return chart


def _components(amounts: list[float]) -> CostComponents:
    counts = [IN_COST, IN_COST, SUM, BESIDE, OFF_REVENUE]
    parts = ["Time: support", "Deliveries", "Cost to serve", "Unused capacity", "Returns"]
    table = pd.DataFrame({"part": parts, "counts_as": counts, "amount": amounts, "revenue_share": 0.1})
    return CostComponents(sentence="", table=table, caption="", ledger_cost=1.0, ledger_gap=0.0, client_gap=0.0)


def test_the_largest_part_is_named():
    chart = drawn(charts.cost_components(_components([750.0, 250.0, 1_000.0, 300.0, 20.0]), "EUR"))

    assert chart.title == "Time: support is 75% of €1,000 cost to serve"
    assert charts.cost_components(_components([0.0] * 5), "EUR") is None


def _late(groups: list[tuple[str, float, float, float]]) -> LatePayment:
    table = pd.DataFrame(groups, columns=["segment", "late_share", "low_share", "high_share"])
    return LatePayment(sentence="", table=table, caption="", segments=table, clients=pd.DataFrame())


def test_a_segment_stands_out_only_where_its_interval_does():
    base, like, unlike = ("The whole base", 0.3, 0.25, 0.35), ("A", 0.4, 0.3, 0.5), ("B", 0.6, 0.5, 0.7)

    assert (
        drawn(charts.late_payment(_late([base, like]), "EUR")).title == "30% of invoices are paid late, and no segment stands out"
    )
    assert drawn(charts.late_payment(_late([base, like, unlike]), "EUR")).title.endswith("“B” differs: 60%")
    assert charts.late_payment(_late([base]), "EUR") is None


def test_rates_stand_in_the_order_of_what_hangs_on_them():
    table = pd.DataFrame({"pool": ["a", "b"], "rate_change": "20% higher", "clients_share": [0.01, 0.04]})
    engine = open_engine()
    by_client = engine.frame(pd.DataFrame({"client_id": ["x"], "cell_holds": [1]}))
    answer = RateSensitivity(sentence="", table=table, caption="", by_client=by_client, steady_clients=95, clients=100)
    chart = drawn(charts.rate_sensitivity(answer, "EUR"))
    still = RateSensitivity(sentence="", table=table, caption="", by_client=by_client, steady_clients=100, clients=100)

    assert chart.title == "95% of clients keep their cell whichever rate is off"
    assert chart.alt.index("b, 20%") < chart.alt.index("a, 20%")
    assert charts.rate_sensitivity(still, "EUR") is None
    engine.close()
