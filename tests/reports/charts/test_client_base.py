"""The figures of stage 1 draw, whatever the base looks like."""

from __future__ import annotations

from xml.etree import ElementTree

import pandas as pd
import pytest

from crm_methods.reports.charts import client_base as charts
from crm_methods.reports.charts.house import svg
from crm_methods.stages import client_base
from crm_methods.stages.client_base_bridge import revenue_bridge
from crm_methods.stages.client_base_fields import filled_fields
from crm_methods.stages.client_base_flow import cohorts, concentration, monthly_flow
from crm_methods.stages.client_base_gaps import completeness, gaps
from tests.conftest import MakeCompany

ALIKE = pd.DataFrame(
    {"deal_id": range(4), "client_id": list("aabb"), "closed_on": ["2024-01-05", "2025-09-01"] * 2, "amount": 10.0}
)
MOVING = pd.DataFrame(
    {
        "deal_id": range(6), "client_id": list("aabbcd"), "amount": [5.0, 600.0, 7.0, 8.0, 9.0, 1.0],
        "closed_on": ["2022-01-05", "2025-03-01", "2024-02-01", "2025-02-01", "2024-03-01", "2025-04-01"],
    }
)  # fmt: skip
CLIENTS = pd.DataFrame({"client_id": list("abcd"), "name": ["<script>", "=1+1", "C", "D"], "industry": ["x & y", None, "z", "z"]})


@pytest.mark.parametrize("deals", [ALIKE, MOVING], ids=["alike", "moving"])
@pytest.mark.parametrize("listed", [True, False], ids=["clients", "deals only"])
def test_every_figure_draws_with_a_claim_and_a_description(make_company: MakeCompany, deals: pd.DataFrame, listed: bool):
    made = make_company({"deals": deals, "clients": CLIENTS} if listed else {"deals": deals})
    data, settings = made.data, made.settings
    facts = client_base.client_facts(data, settings)
    known = completeness(data, settings, filled_fields(data, settings, facts))
    drawn = [
        charts.revenue_bridge(revenue_bridge(data, settings, facts), "EUR"),
        charts.monthly_flow(monthly_flow(data, settings), "EUR"),
        charts.cohorts(cohorts(data, settings), "EUR"),
        charts.concentration(concentration(data, settings, facts), "EUR"),
        charts.completeness(known, "EUR"),
        charts.gaps(gaps(data, settings, known), "EUR"),
    ]

    for chart in drawn:
        ElementTree.fromstring(svg(chart, "figure-1"))
        assert chart.title
        assert chart.alt
        assert "nan" not in f"{chart.title} {chart.alt} {chart.note}".lower().split()


def test_a_base_without_gaps_still_draws(make_company: MakeCompany):
    made = make_company({"deals": ALIKE})
    known = completeness(
        made.data, made.settings, filled_fields(made.data, made.settings, client_base.client_facts(made.data, made.settings))
    )
    found = gaps(made.data, made.settings, known)
    none = type(found)(sentence="", table=found.table.iloc[:0], caption="", ranked=found.ranked.iloc[:0])

    assert charts.gaps(none, "EUR").title == "No gap harms a question"
