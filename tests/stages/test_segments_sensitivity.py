"""Which clients would stand in another cell if the price of a minute were wrong."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from crm_methods.engine import collect
from crm_methods.stages import segments_sensitivity
from crm_methods.stages.segments_sensitivity import RateSensitivity, rate_sensitivity
from tests.stages.cost_world import Costed, cost_tables, costed_company, plain_company


def _sensitivity(world: Costed) -> RateSensitivity:
    found = rate_sensitivity(world.data, world.settings, world.economics, world.cost, world.matrix)
    assert isinstance(found, RateSensitivity)
    return found


def _holds(found: RateSensitivity) -> pd.Series:
    return collect(found.by_client.sort("client_id")).set_index("client_id")["cell_holds"]


def test_against_a_fixed_cut_those_near_it_change_cell(tmp_path: Path):
    costs = collect(plain_company().economics.sort("client_id")).set_index("client_id")
    cut = float(costs["cost_to_serve"].max()) - 0.01
    found = _sensitivity(costed_company(tmp_path, segments={"cost_axis": "absolute", "cost_cut": cut}))

    assert found.table[["pool", "rate_change"]].to_numpy().tolist() == [
        ["support", "20% higher"], ["support", "20% lower"], ["sales", "20% higher"], ["sales", "20% lower"],
    ]  # fmt: skip
    # Only the dearest client is above; any lower rate brings it below.
    assert found.table.loc[1, "clients_in_another_cell"] == 1
    assert _holds(found)[costs["cost_to_serve"].idxmax()] == 0
    assert found.steady_clients == _holds(found).sum() < found.clients == 12


def test_the_rate_of_a_pool_that_causes_all_cost_moves_everybody_alike(tmp_path: Path):
    tables = cost_tables()
    tables["interactions"] = tables["interactions"].assign(department="support", direct_cost=None)
    tables["deals"] = tables["deals"].drop(columns="delivery_cost")
    del tables["invoices"]
    found = _sensitivity(costed_company(tmp_path, tables))

    assert found.table["clients_in_another_cell"].tolist() == [0, 0]
    assert found.sentence.startswith("No client would change cell")


def test_many_clients_and_many_pools_are_told_in_the_engine_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tables = cost_tables(40)
    departments = [f"team {n % 13:02}" for n in range(len(tables["interactions"]))]
    tables["interactions"] = tables["interactions"].assign(department=departments)
    tables["cost_ledger"] = pd.DataFrame({"pool": sorted(set(departments)), "month": "2025-06-01", "amount": 1_000.0})
    tables["staff"] = pd.DataFrame(
        {"skill": "any", "department": sorted(set(departments)), "people": 1.0, "hours_per_month": 9.0}
    )
    world = costed_company(tmp_path, tables)
    in_memory = _sensitivity(world)
    monkeypatch.setattr(segments_sensitivity, "MAX_CLIENTS", 39)
    monkeypatch.setattr(segments_sensitivity, "evenly_spread", lambda frame, most: frame)
    monkeypatch.setattr(segments_sensitivity, "collect", lambda frame, max_rows=0: collect(frame))
    in_engine = _sensitivity(world)

    assert in_memory.table["pool"].nunique() == segments_sensitivity.MAX_POOLS
    assert in_memory.table["pool"].iloc[-1] == segments_sensitivity.OTHERS
    assert in_memory.steady_clients < 40
    pd.testing.assert_frame_equal(in_engine.table, in_memory.table)
    assert _holds(in_engine).tolist() == _holds(in_memory).tolist()
