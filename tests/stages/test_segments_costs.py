"""What the cost to serve is made of, and how all of its answers stand odd companies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crm_methods.company.answers import Answer, Unanswered
from crm_methods.engine import collect
from crm_methods.stages import segments_costs, segments_payment, segments_phases, segments_sensitivity
from tests.stages.cost_world import Costed, cost_tables, costed_company, plain_company

Tables = dict[str, pd.DataFrame]


def _components(world: Costed) -> segments_costs.CostComponents:
    found = segments_costs.cost_components(world.data, world.settings, world.cost, world.economics)
    assert isinstance(found, segments_costs.CostComponents)
    return found


def test_parts_add_up_to_what_clients_bear_and_with_what_stands_beside_to_the_ledger():
    world = plain_company()
    found = _components(world)
    amounts = found.table.set_index("part")["amount"]

    assert found.table["counts_as"].tolist() == [segments_costs.IN_COST] * 5 + [segments_costs.SUM] + [
        segments_costs.BESIDE] * 2 + [segments_costs.OFF_REVENUE] * 2  # fmt: skip
    assert amounts["Cost to serve"] == pytest.approx(collect(world.economics)["cost_to_serve"].sum(), abs=0.01)
    time = amounts[["Time: support", "Time: sales"]].sum()
    beside = amounts[["Unused capacity", "Not allocated: explained by no activity"]].sum()
    assert time + beside == pytest.approx(12 * 1_700.0)
    assert amounts["Direct costs of contacts"] == pytest.approx(24 * 3.0)
    assert amounts["Deliveries"] == pytest.approx(12 * 8.0 + 2.0)
    assert found.reconciles
    assert "Discounts of €100 and returns of €50 have lowered revenue already" in found.sentence


def test_what_is_not_recorded_is_said_and_not_zero(tmp_path: Path):
    tables = cost_tables()
    tables["deals"] = tables["deals"].drop(columns=["delivery_cost", "discount_share"])
    del tables["invoices"]
    found = _components(costed_company(tmp_path, tables))
    missing = found.table[found.table["counts_as"] == segments_costs.NOT_RECORDED]

    assert missing["part"].str.split(",").str[0].tolist() == ["Deliveries", "Late payment", "Discounts given"]
    assert missing["amount"].isna().all()
    assert "Not recorded, and so missing from it: deliveries, late payment and discounts given." in found.sentence


def _one_client_without_margin(tables: Tables) -> Tables:
    one = {name: t[t["client_id"] == "c00"] if "client_id" in t else t for name, t in tables.items()}
    return {**one, "deals": one["deals"].drop(columns="cost"), "invoices": one["invoices"].assign(paid_on=None)}


def _returns_only(tables: Tables) -> Tables:
    return {**tables, "deals": tables["deals"].assign(amount=-tables["deals"]["amount"].abs())}


def _huge(tables: Tables) -> Tables:
    money = ["amount", "cost", "delivery_cost", "direct_cost"]
    return {name: t.assign(**{c: t[c] * 1e9 for c in money if c in t}) for name, t in tables.items()}


@pytest.mark.parametrize("odd", [_one_client_without_margin, _returns_only, _huge])
def test_odd_companies_get_answers_or_reasons_without_a_gap_in_them(tmp_path: Path, odd: Callable[[Tables], Tables]):
    world = costed_company(tmp_path, odd(cost_tables()))
    given = (world.data, world.settings)
    late = segments_payment.late_payment(*given, world.economics, world.matrix.cells)
    found: list[Answer | Unanswered] = [
        _components(world),
        late,
        segments_payment.late_payers(late),
        segments_phases.cost_phases(*given, world.economics, world.cost, world.matrix),
        segments_sensitivity.rate_sensitivity(*given, world.economics, world.cost, world.matrix),
    ]

    for answer in found:
        assert not {"nan", "none", "inf", "–"} & set(answer.sentence.lower().replace(",", " ").split())
        if isinstance(answer, Answer) and len(answer.table):
            assert not np.isinf(answer.table.select_dtypes("number").to_numpy(dtype=float)).any()
