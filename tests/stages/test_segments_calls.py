"""Whom to call first, and why."""

from __future__ import annotations

import datetime as dt
from typing import Any

import narwhals as nw
import pandas as pd
import pytest

from crm_methods.engine import collect
from crm_methods.stages.segments_call_facts import GONE, SLIPPING
from crm_methods.stages.segments_calls import NO_REASON, REASONS, SHOWN_CALLS, call_list
from tests.conftest import MadeCompany, MakeCompany

NAMES = ["complains", "contract", "falling", "fine", "gone", "growing", "loses", "overdue", "slipping", "small_complains"]


def _segments(made: MadeCompany, **changes: Any) -> nw.LazyFrame[Any]:
    """Ten large clients of whom nothing is to be said, but for the changes."""
    rows = pd.DataFrame(
        {
            "client_id": NAMES, "segment": "high_low", "strategy": "raise_loyalty", "revenue_level": "high", "contribution": 1.0,
            "p_alive": 0.95, "clv": 300.0, "clv_revenue": None,
        }
    )  # fmt: skip
    rows = rows.astype({"clv_revenue": "float64"}).set_index("client_id")
    for name, values in changes.items():
        for column, value in values.items():
            rows.loc[name, column] = value
    return made.data.engine.frame(rows.reset_index())


def _company(make_company: MakeCompany) -> MadeCompany:
    """Each client bought eight times a year for 100 at a margin of half; one nearly stopped, and one buys far more."""
    often = dict.fromkeys(NAMES, (8, 8)) | {"falling": (8, 1), "growing": (2, 12)}
    days = [
        (name, dt.date(year, 1, 15) + dt.timedelta(days=25 * n))
        for name, counts in often.items()
        for year, count in zip((2024, 2025), counts, strict=True)
        for n in range(count)
    ]
    deals = pd.DataFrame(days, columns=["client_id", "closed_on"]).assign(amount=100.0, cost=50.0)
    contacts = pd.DataFrame(
        {
            "interaction_id": ["i1", "i2", "i3", "i4"],
            "client_id": ["complains", "small_complains", "fine", "fine"],
            "started_at": ["2025-12-01 09:00:00", "2025-12-01 09:00:00", "2025-12-30 09:00:00", "2023-01-30 09:00:00"],
            "kind": ["complaint", "complaint", "service", "complaint"],
            "direction": "in",
            "resolved_at": None,
        }
    )
    solved = contacts.tail(2).assign(
        interaction_id=["i5", "i6"], started_at="2025-03-01 09:00:00", resolved_at="2025-03-02 09:00:00"
    )
    solved = solved.assign(kind=["service", "complaint"])
    contracts = pd.DataFrame(
        {
            "contract_id": ["v1", "v2", "v3"], "client_id": ["contract", "fine", "fine"], "starts_on": dt.date(2024, 1, 1),
            "ends_on": [dt.date(2026, 2, 1), dt.date(2026, 6, 1), dt.date(2025, 6, 1)], "value_per_month": 200.0,
        }
    )  # fmt: skip
    clients = pd.DataFrame({"client_id": NAMES, "name": [name.title() for name in NAMES], "owner": "Nowak"})
    tables = {
        "deals": deals.assign(deal_id=[f"d{i}" for i in range(len(deals))]), "clients": clients, "contracts": contracts,
        "interactions": pd.concat([contacts, solved]),
    }  # fmt: skip
    return make_company(tables, lifetime_value={"horizon_months": 36})


def test_each_client_has_its_weightiest_reason_and_the_most_money_comes_first(make_company: MakeCompany):
    made = _company(make_company)
    segments = _segments(
        made,
        small_complains={"revenue_level": "low"},
        slipping={"p_alive": 0.4, "clv": 900.0},
        gone={"p_alive": GONE / 2, "clv": 90.0, "contribution": -500.0},
        loses={"contribution": -70.0},
        growing={"strategy": "stimulate_sales"},
        falling={"p_alive": SLIPPING},
        fine={"p_alive": 0.4},
    )
    due = pd.DataFrame({"client_id": ["overdue"], "next_order_on": [pd.Timestamp("2025-11-01")], "days_overdue": [20.0]})
    answer = call_list(made.data, made.settings, segments, made.data.engine.frame(due))
    found = collect(answer.by_client).sort_values("call_rank")

    assert found["client_id"].tolist() == [
        "contract", "growing", "slipping", "complains", "falling", "loses", "overdue", "fine", "gone", "small_complains",
    ]  # fmt: skip
    assert found["call_rank"].tolist()[:7] == list(range(1, 8))
    assert found["call_rank"].iloc[7:].isna().all()
    assert found["call_why"].iloc[:7].tolist() == answer.table["why"].tolist()
    assert found["call_why"].iloc[7:].isna().all()
    # Half of 12 months at 200; ten more purchases at 95 %; 900 in three years at 40 %, so 2,250 if it were sure, at 60 %;
    # a year's margin of eight; seven fewer at 80 %.
    stakes = [1200.0, 475.0, 450.0, 400.0, 280.0, 70.0, 5 / 0.95, 0.0, 0.0, 0.0]
    assert found["at_stake"].tolist() == pytest.approx(stakes, abs=1e-3)
    reasons = found.set_index("client_id")["call_reason"].to_dict()
    assert {reasons[name] for name in ("fine", "gone", "small_complains")} == {NO_REASON}
    assert [reasons[name] for name in ("contract", "complains", "overdue")] == [
        REASONS[name] for name in ("contract", "complaint", "overdue")
    ]
    assert answer.table["client"].tolist()[:2] == ["Contract", "Growing"]
    assert set(answer.table["owner"]) == {"Nowak"}
    why = answer.table.set_index("client")["why"]
    assert why["Falling"] == "1 purchase after 8 in the year before, bringing €50 of margin after €400"
    assert why["Overdue"] == "expected on 1 Nov 2025, last order 9 Jul 2025"
    assert "40% chance of still being a client, worth €900 over 36 months" in why["Slipping"]
    assert answer.sentence.startswith("Of 10 clients 7 give a reason to call. Most weigh, with the margin a year at stake: ")
    assert "not to be added up" in answer.sentence


def test_an_ending_contract_earns_the_share_of_its_own_bills_and_not_of_all_deals(make_company: MakeCompany):
    """Other deals are sold at cost; of bills a's keep .6, b's .2, and c has none: it earns as all of them do, .4."""
    names = ["a", "b", "c"]
    bills = pd.DataFrame({"client_id": names[:2], "amount": 100.0, "cost": [40.0, 80.0], "kind": "contract"})
    others = pd.DataFrame({"client_id": names, "amount": 1_000.0, "cost": 1_000.0, "kind": "repeat"})
    deals = pd.concat([bills, others], ignore_index=True).assign(closed_on=dt.date(2025, 6, 1), status="won")
    contracts = pd.DataFrame(
        {
            "contract_id": names, "client_id": names, "starts_on": dt.date(2024, 2, 1), "ends_on": dt.date(2026, 2, 1),
            "value_per_month": 100.0,
        }
    )  # fmt: skip
    made = make_company({"deals": deals.assign(deal_id=[f"d{i}" for i in deals.index]), "contracts": contracts})
    rows = pd.DataFrame({"client_id": names, "segment": "all", "strategy": "raise_loyalty", "contribution": 1.0})
    rows = rows.assign(p_alive=0.95, clv=300.0, clv_revenue=float("nan"))
    found = collect(call_list(made.data, made.settings, made.data.engine.frame(rows)).by_client).set_index("client_id")

    assert found["at_stake"].to_dict() == pytest.approx({"a": 720.0, "b": 240.0, "c": 480.0})
    assert set(found["call_reason"]) == {REASONS["contract"]}


def test_a_complaint_of_the_last_week_is_not_late(make_company: MakeCompany):
    days = {"young": "2025-12-25 09:00:00", "old": "2025-12-24 09:00:00"}
    deals = pd.DataFrame({"deal_id": ["d1", "d2"], "client_id": list(days), "closed_on": dt.date(2025, 6, 1), "amount": 5.0})
    contacts = pd.DataFrame(
        {
            "interaction_id": ["i1", "i2", "i3"], "client_id": [*days, "old"], "kind": "complaint", "direction": "in",
            "started_at": [*days.values(), "2025-01-05 09:00:00"], "resolved_at": [None, None, "2025-01-06 09:00:00"],
        }
    )  # fmt: skip
    made = make_company({"deals": deals, "interactions": contacts})
    rows = pd.DataFrame({"client_id": list(days), "segment": "all", "strategy": "stimulate_sales", "p_alive": 0.9, "clv": 1.0})
    rows = rows.assign(contribution=1.0, clv_revenue=1.0)
    answer = call_list(made.data, made.settings, made.data.engine.frame(rows))

    assert answer.table["client"].tolist() == ["old"]
    assert "the reason, with" in answer.sentence.lower()
    assert "added up" not in answer.sentence


def test_a_base_without_a_reason_is_told_so_and_still_ranked(make_company: MakeCompany):
    deals = pd.DataFrame(
        {"deal_id": ["d1", "d2"], "client_id": ["b", "a"], "closed_on": dt.date(2025, 6, 1), "amount": [5.0, -5.0]}
    )
    made = make_company({"deals": deals})
    rows = pd.DataFrame({"client_id": ["b", "a"], "segment": "all", "strategy": "stimulate_sales"})
    for column in ("contribution", "p_alive", "clv", "clv_revenue"):
        rows[column] = pd.Series([None, None], dtype="float64")
    answer = call_list(made.data, made.settings, made.data.engine.frame(rows))

    assert answer.sentence.startswith("None of 2 clients gives a reason to call now")
    assert len(answer.table) == 0
    ranked = collect(answer.by_client).sort_values("call_rank")
    assert sorted(ranked["client_id"]) == ["a", "b"]
    assert ranked["call_rank"].isna().all()
    assert ranked["at_stake"].tolist() == [0.0, 0.0]


def test_no_more_are_shown_than_one_can_call_and_equal_ones_stand_by_id(make_company: MakeCompany):
    names = [f"c{i:02}" for i in range(40)]
    made = make_company(
        {"deals": pd.DataFrame({"deal_id": names, "client_id": names, "closed_on": dt.date(2025, 6, 1), "amount": 10.0})}
    )
    rows = pd.DataFrame({"client_id": names[::-1], "segment": "low_high", "strategy": "cut_costs", "contribution": -5.0})
    rows = rows.assign(p_alive=0.99, clv=1.0, clv_revenue=float("nan"))
    answer = call_list(made.data, made.settings, made.data.engine.frame(rows))

    assert answer.table["client"].tolist() == names[:SHOWN_CALLS]
    assert "of which the first 15 by revenue at stake are listed" in answer.sentence
