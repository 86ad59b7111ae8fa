"""What the plan knows of a client, and the days it may use."""

# A test's argument is the fixture of the same name.
# ruff: noqa: F811

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd
import pytest

from crm_methods.company.contacts_plan import read_contacts
from crm_methods.engine import collect, day_of
from crm_methods.errors import StageError
from crm_methods.stages import contacts_profile
from tests.conftest import MakeCompany
from tests.stages.contacts_company import SEGMENTS, Planned, plan_contacts, planned, tables  # noqa: F401


def _profile(make_company: MakeCompany, **more: object) -> pd.DataFrame:
    return collect(plan_contacts(make_company, **more).profile).set_index("client_id")  # type: ignore[arg-type]


def test_facts_come_from_the_clients_own_rows(planned: Planned):
    profile = collect(planned.profile).set_index("client_id")

    big, small = profile.loc["big"], profile.loc["small"]
    assert (big["client"], big["size"], big["service_package"], big["open_topic"]) == (
        "Norse Telecom",
        "large",
        "Partner",
        "outage",
    )
    assert (big["open_requests"], big["open_days"], big["days_since_last_deal"]) == (1, 11, 30)
    # A request that was solved is not open.
    assert small["open_requests"] == 0
    assert small["account_owner"] == "account manager (to be named)"
    assert big["contract_ends_on"] == pd.Timestamp("2026-06-30")


@pytest.mark.parametrize(
    ("since", "anniversary", "years"),
    [
        ("2015-03-20", "2026-03-20", 11),
        ("2020-12-31", "2026-12-31", 6),
        ("2024-02-29", "2026-02-28", 2),
        ("2025-01-01", "2026-01-01", 1),
    ],
)
def test_the_next_anniversary_is_after_the_as_of_day(make_company: MakeCompany, since: str, anniversary: str, years: int):
    rows = tables()
    rows["clients"]["since"] = since
    profile = _profile(make_company, rows=rows)

    assert profile["anniversary_day"].tolist() == [day_of(dt.date.fromisoformat(anniversary))] * 3
    assert profile["years_with_us"].tolist() == [years] * 3


def test_positions_are_evenly_spread_over_the_clients_of_a_package(make_company: MakeCompany):
    many = pd.DataFrame(
        {"client_id": [f"c{n:02d}" for n in range(10)], "segment": "all", "strategy": "stimulate_sales", "revenue": 1.0}
    )
    deals = pd.DataFrame({"deal_id": many["client_id"], "client_id": many["client_id"], "closed_on": "2025-05-05", "amount": 5.0})
    profile = _profile(make_company, rows={"deals": deals}, segments=many, facts=None, offers=None, rates=None)

    assert profile["position"].tolist() == pytest.approx([0.05 + n / 10 for n in range(10)])


def test_every_client_has_exactly_one_row_whatever_is_missing(make_company: MakeCompany):
    planned = plan_contacts(make_company, {"deals": tables()["deals"]}, facts=None, offers=None, rates=None)
    profile = collect(planned.profile)

    assert sorted(profile["client_id"]) == sorted(SEGMENTS["client_id"])
    assert profile["service_package"].tolist() == ["Standard"] * 3


def test_plan_days_are_working_days_after_the_as_of_day(make_company: MakeCompany):
    made = make_company(tables(), contacts={"plan_months": 3})
    plan = read_contacts(Path("/nowhere")).content
    days = contacts_profile.plan_days(made.settings, plan.model_copy(update={"closed_days": [dt.date(2026, 1, 1)]}))

    assert days.working[0] == dt.date(2026, 1, 2)
    assert days.working[-1] == dt.date(2026, 3, 31)
    assert all(day.weekday() < 5 for day in days.working)
    # Every calendar day leads to the first working day on or after it.
    for row in days.calendar.itertuples():
        due = dt.date(1970, 1, 1) + dt.timedelta(days=int(row.due_day))
        assert days.working[row.slot] >= due or row.slot == days.count - 1


def test_a_plan_without_an_open_day_is_refused(make_company: MakeCompany):
    made = make_company(tables(), contacts={"plan_months": 1})
    plan = read_contacts(Path("/nowhere")).content
    closed = [dt.date(2026, 1, day) for day in range(1, 32)]

    with pytest.raises(StageError, match="no working day"):
        contacts_profile.plan_days(made.settings, plan.model_copy(update={"closed_days": closed}))


def test_tables_of_unanswered_questions_are_simply_not_there(make_company: MakeCompany):
    made = make_company(tables())
    segments = made.data.engine.frame(SEGMENTS)

    def upstream(table: str) -> object:
        if table == "client_segments":
            return segments
        raise StageError(table)

    earlier = contacts_profile.earlier_tables(upstream)  # type: ignore[arg-type]

    assert (earlier.facts, earlier.offers, earlier.rates, earlier.capacity) == (None, None, None, None)
