"""Hours needed and capacity: what was recorded goes on, what is promised comes to it, and sums are kept."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.stages import processes
from crm_methods.stages.processes_hours import Capacity, HoursNeeded, working_days
from tests.conftest import MakeCompany
from tests.stages.made_service import Served, contact, serve

STAFF = pd.DataFrame(
    {
        "skill": ["tech", "sales"],
        "department": ["support", "sales"],
        "people": [2.0, 1.0],
        "hours_per_month": [100.0, 100.0],
        "cost_per_hour": [50.0, 60.0],
    }
)
TWO = {"a": "high_low", "b": "low_high"}
PAID = 1 / (0.8 * 0.85)


def _monthly(client: str = "a", minutes: float = 600.0, **more: Any) -> list[dict[str, Any]]:
    return [contact(client, f"2025-{m:02}-03 10:00", 1, 2, handling_minutes=minutes, **more) for m in range(1, 13)]


def _needed(served: Served) -> HoursNeeded:
    needed = processes.hours_needed(served.made.data, served.made.settings, served.plan, served.offers.content, served.clients)
    assert isinstance(needed, HoursNeeded)
    return needed


def _capacity(served: Served) -> Capacity:
    balance = processes.capacity(served.made.data, served.made.settings, _needed(served))
    assert isinstance(balance, Capacity)
    return balance


def test_working_days_are_weekdays():
    assert working_days([pd.Timestamp("2026-01-01"), pd.Timestamp("2026-02-01")]).tolist() == [22, 20]


def test_recorded_work_goes_on_per_working_day(make_company: MakeCompany):
    needed = _needed(serve(make_company, TWO, _monthly(), processes={"plan_months": 12}))
    behind, ahead = needed.recorded["hours"].sum(), needed.hours["recorded_hours"].sum()

    assert behind == pytest.approx(12 * 10 * PAID)
    # 2026 has as many working days as 2025; the months' rates differ a little, since each takes the same hours.
    assert ahead == pytest.approx(behind, rel=0.01)


def test_months_without_work_count(make_company: MakeCompany):
    contacts = [*_monthly(minutes=0.0), contact("b", "2025-06-03 10:00", 1, 2, handling_minutes=720.0)]
    hours = _needed(serve(make_company, TWO, contacts)).hours
    mean = hours[hours["strategy"] == "cut_costs"]["recorded_hours"].mean()

    assert mean == pytest.approx(PAID, rel=0.1)


def test_hours_of_strategies_add_up_to_those_of_skills(make_company: MakeCompany):
    needed = _needed(
        serve(
            make_company,
            TWO,
            [*_monthly("a"), *_monthly("b", 300.0), *_monthly("b", 60.0, skill="sales", initiative="ours", kind="sales")],
        )
    )

    assert needed.hours.groupby("skill")["hours"].sum().to_dict() == pytest.approx(
        needed.by_skill.groupby("skill")["hours"].sum().to_dict()
    )


def test_the_interval_holds_the_mean_and_the_busy_month_is_no_less(make_company: MakeCompany):
    contacts = [contact("a", f"2025-{m:02}-03 10:00", 1, 2, handling_minutes=100.0 * m) for m in range(1, 13)]
    hours = _needed(serve(make_company, TWO, contacts)).by_skill

    assert (hours["low_hours"] <= hours["hours"]).all()
    assert (hours["hours"] < hours["busy_hours"]).all()
    assert (hours["busy_hours"] < hours["high_hours"]).all()


def test_promised_contacts_beyond_those_made_take_hours_of_the_skill_that_makes_them(make_company: MakeCompany):
    ours = [
        contact(
            "a", f"2025-{m:02}-03 10:00", kind="sales", initiative="ours", skill="sales", channel="email", handling_minutes=60.0
        )
        for m in (1, 3, 5)
    ]
    needed = _needed(serve(make_company, TWO, [*_monthly(), *ours], processes={"plan_months": 12})).hours
    extra = needed.groupby(["skill", "strategy"])[["planned_contacts", "contact_hours"]].sum()

    # Six a year are promised to a, three are made; one is promised to b and none is made.
    assert extra.loc[("sales", "raise_loyalty"), "planned_contacts"] == pytest.approx(3, rel=0.01)
    assert extra.loc[("sales", "cut_costs"), "contact_hours"] == pytest.approx(1 * PAID, rel=0.01)
    assert extra.loc[("tech", "raise_loyalty"), "contact_hours"] == 0


def test_capacity_is_what_the_staff_supply_less_what_a_busy_month_needs(make_company: MakeCompany):
    table = _capacity(serve(make_company, TWO, _monthly(minutes=12_000.0), staff=STAFF)).balance
    tech = table[table["skill"] == "tech"]

    assert (tech["free_hours"] + tech["needed_hours"]).tolist() == pytest.approx([200.0] * 6)
    assert tech["people_short"].tolist() == pytest.approx((-tech["free_hours"] / 100).tolist())
    assert table.loc[table["skill"] == "sales", "needed_hours"].eq(0).all()
    assert len(table) == 12


def test_work_that_nobody_is_recorded_for_is_said(make_company: MakeCompany):
    balance = _capacity(serve(make_company, TWO, _monthly(skill="wizard"), staff=STAFF))

    assert balance.unstaffed == ("wizard",)
    assert "Nobody is recorded for wizard" in balance.sentence


def test_without_skills_departments_are_planned(make_company: MakeCompany):
    needed = _needed(serve(make_company, TWO, _monthly(skill=None), staff=STAFF))

    assert needed.unit == "department"
    assert needed.hours["skill"].unique().tolist() == ["support"]


def test_the_plan_has_the_months_asked_for(make_company: MakeCompany):
    months = _needed(serve(make_company, TWO, _monthly(), processes={"plan_months": 2})).hours["month"].unique()

    assert list(months) == [pd.Timestamp("2026-01-01"), pd.Timestamp("2026-02-01")]


def test_a_steady_company_has_no_second_year_to_compare_with(make_company: MakeCompany):
    assert _needed(serve(make_company, TWO, _monthly())).mase is None


def test_two_months_are_not_enough(make_company: MakeCompany):
    served = serve(make_company, TWO, [contact("a", "2025-11-03 10:00", 1, 2), contact("a", "2025-12-03 10:00", 1, 2)])
    needed = processes.hours_needed(served.made.data, served.made.settings, served.plan, served.offers.content, served.clients)

    assert isinstance(needed, Unanswered)
    assert isinstance(processes.capacity(served.made.data, served.made.settings, needed), Unanswered)
