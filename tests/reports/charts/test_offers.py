"""Figures of stage 3 draw what they are given and say it."""

from __future__ import annotations

import pandas as pd

from crm_methods.reports.charts import offers as charts
from crm_methods.stages.offers_economics import Economics
from crm_methods.stages.offers_packages import Packages
from crm_methods.stages.offers_products import GoesTogether, Penetration

SEGMENTS = ("high_low", "low_low")


def _penetration(products: int) -> Penetration:
    rows = pd.DataFrame(
        [
            {"segment": s, "product_id": f"P{i}", "product": f"Product {i}", "buyers": i, "penetration_share": i / 100}
            for i in range(1, products + 1)
            for s in SEGMENTS
        ]
    )
    return Penetration(sentence="", table=pd.DataFrame(), caption="", products=rows, segments=SEGMENTS)


def test_a_long_list_of_products_is_cut_and_the_cut_is_said():
    chart = charts.penetration(_penetration(30), "EUR")

    assert "20 products with the most buyers of 30" in chart.alt
    assert chart.title.startswith("Product 30 reaches furthest: 30%")


def test_pairs_without_support_have_no_figure():
    nothing = GoesTogether(sentence="", table=pd.DataFrame(), caption="", pairs=pd.DataFrame(), tests=0)

    assert charts.goes_together(nothing, "EUR") is None


def test_packages_are_counted_in_the_title():
    mix = pd.DataFrame({"segment": SEGMENTS, "service_package": ["a", "b"], "title": ["Alpha", "Beta"], "clients": [3, 9]})
    answer = Packages(sentence="", table=pd.DataFrame(), caption="", designed=None, mix=mix, segments=SEGMENTS)  # type: ignore[arg-type]

    assert charts.packages(answer, "EUR").title == "Beta service is designed for 9 of 12 clients"


def test_a_losing_segment_stands_in_the_title():
    table = pd.DataFrame({"segment": SEGMENTS, "expected_margin": [5e4, 1e3], "kept_margin": [1e4, 0], "offer_cost": [1e4, 2e3]})
    table = table.assign(net_gain=table["expected_margin"] + table["kept_margin"] - table["offer_cost"])
    answer = Economics(sentence="", table=table, caption="", offers=None, contact_costs=pd.DataFrame())  # type: ignore[arg-type]
    chart = charts.economics(answer, "EUR")

    assert chart.title == "The offers of Low revenue, low cost cost more than they bring"
    assert table["offer_cost"].tolist() == [1e4, 2e3]
    assert "−€1,000" in chart.alt
