"""Unit costs and the contact matrix: where each figure comes from, and that the cells add up."""

# A test's argument is the fixture of the same name.
# ruff: noqa: F811

from __future__ import annotations

import pandas as pd
import pytest

from crm_methods.engine import collect
from crm_methods.stages.contacts_occasions import NOT_REACHABLE
from tests.conftest import MakeCompany
from tests.stages.contacts_company import Planned, plan_contacts, planned, tables  # noqa: F401


def _cost(costs: pd.DataFrame, occasion: str, channel: str) -> pd.Series:  # type: ignore[type-arg]
    return costs.set_index(["occasion", "channel"]).loc[(occasion, channel)]


def test_recorded_contacts_price_the_planned_ones(planned: Planned):
    costs = planned.costs.costs
    call = _cost(costs, "regular", "phone")

    assert (call["minutes"], call["minute_cost"], call["minutes_basis"]) == (30.0, 2.0, "recorded contacts")
    assert call["unit_cash_cost"] == pytest.approx(20 / 21)
    assert call["unit_cost"] == pytest.approx(30 * 2 + 20 / 21)


def test_company_yml_sets_the_cash_of_a_contact_beside_our_time(make_company: MakeCompany):
    costs = plan_contacts(make_company, costs={"contact": {"phone": 5.0, "visit": 60.0}}).costs.costs

    assert (_cost(costs, "regular", "phone")["unit_cash_cost"], _cost(costs, "regular", "phone")["cash_basis"]) == (
        5.0,
        "company.yml",
    )
    assert _cost(costs, "regular", "phone")["unit_cost"] == pytest.approx(65.0)


def test_what_nobody_recorded_is_the_plans_and_flagged(make_company: MakeCompany):
    planned = plan_contacts(make_company, {"deals": tables()["deals"]}, facts=None, offers=None, rates=None)
    costs = planned.costs.costs

    assert set(costs[["minutes_basis", "minute_cost_basis", "cash_basis"]].to_numpy().ravel()) == {"kit default"}
    assert "Assumptions of the kit default throughout: minutes, the cost of a minute and cash." in planned.costs.sentence
    assert set(planned.costs.table["assumed"]) == {"minutes, cost of a minute and cash"}


def test_full_cost_is_minutes_at_their_price_and_cash(planned: Planned):
    costs = planned.costs.costs

    assert costs["unit_cost"].tolist() == pytest.approx(
        (costs["minutes"] * costs["minute_cost"] + costs["unit_cash_cost"]).tolist()
    )


def test_the_matrix_counts_every_reachable_occasion_once(planned: Planned):
    occasions, cells = collect(planned.occasions), planned.matrix.cells
    reached = occasions[occasions["channel"] != NOT_REACHABLE]

    assert cells["contacts"].sum() == reached["contacts"].sum()
    assert cells["clients"].sum() == len(reached)
    assert (cells["clients"] * cells["contacts_per_client"]).tolist() == pytest.approx(cells["contacts"].tolist())
    assert not cells.duplicated(["segment", "occasion", "role", "channel"]).any()
    assert cells["contact_cost"].tolist() == pytest.approx((cells["unit_cost"] * cells["contacts"]).tolist())


def test_contacts_per_client_of_a_segment_count_all_its_clients(planned: Planned):
    per_client = planned.matrix.per_client.set_index("occasion")

    # One of the two clients of low revenue stopped buying.
    assert per_client.loc["Reactivation", "low_low"] == pytest.approx(0.5)
    assert per_client.loc["Reactivation", "high_low"] == 0


def test_the_shown_table_has_a_row_per_segment_and_occasion(planned: Planned):

    assert len(planned.matrix.table) == len(planned.matrix.cells.drop_duplicates(["segment", "occasion"]))
    assert planned.matrix.table["contacts_per_client"].notna().all()


def test_a_plan_of_which_nothing_applies_says_so(make_company: MakeCompany):
    plan = """
channels: [{name: email, minutes: 1}]
actions:
  - name: a
    title: A
    occasions:
      - {name: o, title: O, when: {industry: [mining]}, channels: [email], owner: x, structure: s, text: ["Hello {client}."]}
"""
    planned = plan_contacts(make_company, plan_text=plan)

    assert planned.matrix.cells.empty
    assert planned.matrix.sentence == "No occasion of the plan (contacts.yml) falls into the next 12 months."
