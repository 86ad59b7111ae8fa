"""Programme costs: parts add up to the total, and points to what was earned."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd
import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.company.plans import Plan
from crm_methods.company.programmes_plan import Programme, Programmes
from crm_methods.stages import relationships
from tests.conftest import MadeCompany, MakeCompany

NOTHING_TOLD = Plan(Programmes(), "kit default")


def _told(**facts: Any) -> Plan[Programmes]:
    return Plan(Programmes(programmes=[Programme(programme_id="plus", **facts)]), "programmes.yml")


def _made(make_company: MakeCompany) -> MadeCompany:
    """Two members, one of whom left; 100 points earned, 40 redeemed for 8.00, 10 expired."""
    members = pd.DataFrame(
        {
            "client_id": ["a", "b", "c"],
            "programme_id": "plus",
            "invited_on": dt.date(2025, 6, 1),
            "joined_on": [dt.date(2025, 7, 1), dt.date(2025, 10, 15), None],
            "left_on": [dt.date(2025, 9, 30), None, None],
        }
    )
    rewards = pd.DataFrame(
        {
            "client_id": ["a", "a", "b"],
            "programme_id": "plus",
            "on": [dt.date(2025, 8, 1), dt.date(2025, 9, 1), dt.date(2025, 12, 1)],
            "kind": ["earn", "redeem", "expire"],
            "points": [100, -40, -10],
            "cost": [0.0, 8.0, 0.0],
        }
    )
    deals = pd.DataFrame({"deal_id": ["1"], "client_id": ["a"], "closed_on": [dt.date(2025, 1, 1)], "amount": [1.0]})
    return make_company({"deals": deals, "programme_members": members, "rewards": rewards})


def _costs(made: MadeCompany, plan: Plan[Programmes]) -> relationships.ProgrammeCosts:
    found = relationships.programme_costs(made.data, made.settings, plan)
    assert isinstance(found, relationships.ProgrammeCosts)
    return found


def test_member_months_run_from_joining_to_leaving_and_the_invited_are_no_members(make_company: MakeCompany):
    row = _costs(_made(make_company), NOTHING_TOLD).programmes.iloc[0]

    assert (row["invited"], row["members"], row["left"], row["member_months"], row["months_running"]) == (3, 2, 1, 3 + 3, 6)


def test_points_earned_are_redeemed_expired_or_outstanding_whatever_their_sign(make_company: MakeCompany):
    row = _costs(_made(make_company), NOTHING_TOLD).programmes.iloc[0]

    assert row["points_earned"] == row["points_redeemed"] + row["points_expired"] + row["points_outstanding"] == 100
    assert row["breakage_share"] == pytest.approx(0.2)
    assert row["liability_amount"] == pytest.approx(50 * 8 / 40)


def test_parts_add_up_to_the_total(make_company: MakeCompany):
    plan = _told(
        setup_cost=100.0, running_cost_per_month=10.0, partner_funded_share=0.5, fee_per_member_month=1.0, redemption_share=0.8
    )
    row = _costs(_made(make_company), plan).programmes.iloc[0]

    parts = ["rewards_cost", "liability_amount", "setup_cost", "running_cost", "partner_funded_amount", "fee_amount"]
    assert row[parts].tolist() == pytest.approx([8, 8, 100, 60, -8, -6])
    assert row["total_cost"] == pytest.approx(sum(row[parts]))
    assert row["cost_per_member_month"] == pytest.approx(row["total_cost"] / 6)


def test_costs_that_nobody_told_are_missing_and_said_so(make_company: MakeCompany):
    found = _costs(_made(make_company), NOTHING_TOLD)

    assert found.programmes[["setup_cost", "running_cost"]].isna().all(axis=None)
    assert "is not known" in found.sentence
    assert "not known" not in _costs(_made(make_company), _told(setup_cost=0.0, running_cost_per_month=0.0)).sentence


def test_programmes_of_the_plan_that_nobody_joined_are_named(make_company: MakeCompany):
    plan = Plan(Programmes(programmes=[Programme(programme_id="plsu")]), "programmes.yml")

    assert _costs(_made(make_company), plan).unknown_ids == ("plsu",)


def test_without_members_it_is_unanswered(make_company: MakeCompany):
    deals = pd.DataFrame({"deal_id": ["1"], "client_id": ["a"], "closed_on": [dt.date(2025, 1, 1)], "amount": [1.0]})
    made = make_company({"deals": deals})
    costs = relationships.programme_costs(made.data, made.settings, NOTHING_TOLD)

    assert isinstance(costs, Unanswered)
    assert isinstance(relationships.points(costs), Unanswered)


def test_a_club_without_points_has_none_to_show(make_company: MakeCompany):
    made = _made(make_company)
    found = _costs(made, NOTHING_TOLD)
    without = found.programmes.assign(points_earned=0.0)
    club = relationships.ProgrammeCosts(sentence="", table=without, caption="", programmes=without, unknown_ids=())

    assert isinstance(relationships.points(found), relationships.Answer)
    assert isinstance(relationships.points(club), Unanswered)
