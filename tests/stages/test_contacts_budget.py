"""The method's formula, its known answer, and whether money and hours suffice."""

# A test's argument is the fixture of the same name.
# ruff: noqa: F811

from __future__ import annotations

import pandas as pd
import pytest

from crm_methods.stages import contacts_budget
from tests.conftest import MakeCompany
from tests.stages.contacts_company import Planned, plan_contacts, planned  # noqa: F401


def _cells(rows: list[tuple[str, float, float, float]]) -> pd.DataFrame:
    cells = pd.DataFrame(rows, columns=["action", "clients", "contacts_per_client", "unit_cost"])
    return cells.assign(minutes=1.0, unit_cash_cost=cells["unit_cost"] / 2)


def _preparation(**costs: float) -> pd.DataFrame:
    return pd.DataFrame(
        {"action": list(costs), "preparation_cost": list(costs.values()), "preparation_cash_cost": list(costs.values())}
    )


def test_three_channels_at_4600_each_and_preparation_of_3000_make_16800():
    # 4,600 = 2 × 1,150 × 2 = 23 × 100 × 2 = 460 × 10 × 1
    cells = _cells([("launch", 1_150, 2, 2.0), ("launch", 100, 2, 23.0), ("launch", 10, 1, 460.0)])

    found = contacts_budget.action_costs(cells, _preparation(launch=3_000.0))

    assert found["contact_cost"].tolist() == [13_800.0]
    assert found["cost"].tolist() == [16_800.0]
    assert found["cash_cost"].tolist() == [6_900.0 + 3_000.0]


def test_preparation_is_paid_once_however_many_contacts_and_not_at_all_without_any():
    one, many = (contacts_budget.action_costs(_cells([("a", n, 1, 10.0)]), _preparation(a=500.0, b=70.0)) for n in (1, 1_000))

    assert one["preparation_cost"].tolist() == many["preparation_cost"].tolist() == [500.0, 0.0]
    assert many["cost"].sum() == 10_500.0


def test_preparation_in_full_is_hours_at_the_price_of_our_time_and_cash(planned: Planned):
    table = contacts_budget.preparation_costs(planned.plan.content, 2.0)

    assert table["preparation_cost"].tolist() == [
        a.preparation_hours * 120 + a.preparation_cost for a in planned.plan.content.actions
    ]


def _budget(planned: Planned, capacity: pd.DataFrame | None = None) -> contacts_budget.Budget:
    skills = contacts_budget.skills_by_kind(planned.made.data)
    found = contacts_budget.budget(
        planned.made.settings, planned.plan, planned.matrix, planned.costs, skills, planned.work, capacity
    )
    assert isinstance(found, contacts_budget.Budget)
    return found


def test_the_budget_is_the_sum_over_actions_and_over_cells(planned: Planned):
    found = _budget(planned)

    assert found.cost == pytest.approx(planned.matrix.cells["contact_cost"].sum() + found.actions["preparation_cost"].sum())
    assert found.cash_cost == pytest.approx(
        planned.matrix.cells["cash_cost"].sum() + found.actions["preparation_cash_cost"].sum()
    )
    assert found.cash_cost <= found.cost
    last = found.table.iloc[-1]
    assert (last["action"], last["cost"]) == ("All actions", pytest.approx(found.cost))


@pytest.mark.parametrize(
    ("limit", "fits", "word"), [(None, None, "No budget is set"), (1.0, False, "exceeds"), (1e9, True, "fits")]
)
def test_the_plan_is_held_against_the_given_budget(make_company: MakeCompany, limit: float | None, fits: bool | None, word: str):
    planned = plan_contacts(make_company, contacts={"budget": limit})
    found = _budget(planned)

    assert found.fits_money is fits
    assert word in found.sentence


def test_a_budget_of_cash_is_held_against_cash(planned: Planned):
    plan = planned.plan.content.model_copy(update={"budget_covers": "cash"})
    settings = planned.made.settings.model_copy(
        update={"contacts": planned.made.settings.contacts.model_copy(update={"budget": _budget(planned).cash_cost + 1})}
    )
    of_cash = type(planned.plan)(plan, "contacts.yml")
    found = contacts_budget.budget(settings, of_cash, planned.matrix, planned.costs, {}, planned.work)
    assert isinstance(found, contacts_budget.Budget)

    assert found.fits_money is True
    assert found.cost > found.limit  # type: ignore[operator]


def test_hours_are_those_of_the_skill_that_makes_such_contacts(planned: Planned):
    found = _budget(planned)
    hours = found.hours.set_index("skill")["work_hours"]

    assert set(hours.index) == {"account", "tech", contacts_budget.UNKNOWN_SKILL}
    minutes = (planned.matrix.cells["contacts"] * planned.matrix.cells["minutes"]).sum()
    assert hours.sum() == pytest.approx(minutes / 60)
    assert found.fits_hours is None


def test_free_hours_are_given_back_what_the_plan_replaces(planned: Planned):
    capacity = pd.DataFrame(
        {
            "month": pd.to_datetime(["2026-01-01", "2026-02-01"]),
            "skill": "account",
            "free_hours": [10.0, 20.0],
            "contact_hours": [5.0, 5.0],
        }
    )
    settings = planned.made.settings
    paid = settings.costs.practical_share * settings.processes.occupancy
    found = _budget(planned, capacity)
    free = found.hours.set_index("skill")["free_hours"]

    # (15 + 5 a month, and twenty calls of 30 minutes in twelve months) × 12
    assert free["account"] == pytest.approx((15 + 5) * 12 + 20 * 0.5 / paid)
    assert free.drop("account").isna().all()
    assert found.fits_hours is True
    assert "The free hours suffice for account." in contacts_budget.hours(found).sentence


def test_too_few_hours_are_named_with_both_figures(planned: Planned):
    capacity = pd.DataFrame(
        {"month": pd.to_datetime(["2026-01-01"]), "skill": "account", "free_hours": -50.0, "contact_hours": 0.0}
    )
    answer = contacts_budget.hours(_budget(planned, capacity))

    assert "account needs" in answer.sentence
    assert _budget(planned, capacity).fits_hours is False
