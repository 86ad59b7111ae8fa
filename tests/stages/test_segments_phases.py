"""What it costs to win, to start and to keep a client."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd
import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.engine import collect
from crm_methods.stages.segments_phases import CostPhases, cost_phases
from tests.stages.cost_world import Costed, cost_tables, costed_company, plain_company


def _phases(world: Costed) -> CostPhases:
    found = cost_phases(world.data, world.settings, world.economics, world.cost, world.matrix)
    assert isinstance(found, CostPhases)
    return found


def _with_a_new_client_and_a_prospect(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """One client that first buys on 1 July, with a contact before, on and long after that day, and one that never buys."""
    days = [("new", "2025-06-30"), ("new", "2025-07-01"), ("new", "2025-10-01"), ("prospect", "2025-08-01")]
    contacts = pd.DataFrame(days, columns=["client_id", "started_at"]).assign(
        interaction_id=[f"n{n}" for n in range(len(days))], department="support", channel="phone", kind="service",
        handling_minutes=100.0, direct_cost=0.0,
    )  # fmt: skip
    deal = pd.DataFrame({"deal_id": ["first"], "client_id": "new", "kind": "new", "closed_on": dt.date(2025, 7, 1),
                         "amount": 900.0, "cost": 450.0, "delivery_cost": 8.0})  # fmt: skip
    invoice = pd.DataFrame({"invoice_id": ["first"], "client_id": "new", "amount": 1_000.0, "issued_on": dt.date(2025, 7, 1),
                            "due_on": dt.date(2025, 9, 19), "paid_on": dt.date(2025, 10, 9)})  # fmt: skip
    more = {"interactions": contacts, "deals": deal, "invoices": invoice}
    return {name: pd.concat([t, more[name]]) if name in more else t for name, t in tables.items()}


def test_phases_divide_all_cost_to_serve_by_the_day_of_the_first_purchase(tmp_path: Path):
    world = costed_company(tmp_path, _with_a_new_client_and_a_prospect(cost_tables()), costs={"capital_rate": 0.365})
    found = _phases(world)
    phases = found.phases.set_index("phase")
    hundred_minutes = 100 * world.cost.table.set_index("pool")["rate_cost"]["support"]

    assert phases["cost"].sum() == pytest.approx(collect(world.economics)["cost_to_serve"].sum(), abs=0.001)
    assert phases["contacts"].tolist() == [2, 1, 25]
    # Ninety days from 1 July end on 29 September: ten of the twenty overdue days fall on either side.
    assert phases.loc["acquisition", "cost"] == pytest.approx(2 * hundred_minutes)
    assert phases.loc["onboarding", "cost"] == pytest.approx(hundred_minutes + 8 + 10)
    assert phases.loc["onboarding", "client_months"] == pytest.approx(91 / 30.4375)
    assert found.compared_clients == 13
    assert found.known_quarters == 1
    assert "fewer than the 4 that long-run cost asks for" in found.sentence
    assert "Over 1 client won in the period" in found.sentence


def test_who_has_been_a_client_for_long_is_compared_without_any_change():
    found = _phases(plain_company())

    assert found.phases["cost_share"].tolist() == [0, 0, 1]
    assert (found.compared_clients, found.moved_clients) == (12, 0)
    assert found.with_tenure is None


def test_clients_that_only_look_new_are_pointed_out(tmp_path: Path):
    tables = cost_tables()
    tables["deals"] = tables["deals"][tables["deals"]["closed_on"] > dt.date(2025, 1, 1)]

    assert "Deals are on record from 1 Mar 2025 only" in _phases(costed_company(tmp_path, tables)).sentence


def test_a_ledger_of_other_years_gives_no_phases(tmp_path: Path):
    tables = cost_tables()
    tables["cost_ledger"] = tables["cost_ledger"].assign(month=dt.date(2023, 1, 1)).drop_duplicates("pool")
    tables["interactions"] = tables["interactions"].assign(direct_cost=None)
    tables["deals"] = tables["deals"].drop(columns="delivery_cost")
    del tables["invoices"]
    world = costed_company(tmp_path, tables)

    assert isinstance(cost_phases(world.data, world.settings, world.economics, world.cost, world.matrix), Unanswered)
