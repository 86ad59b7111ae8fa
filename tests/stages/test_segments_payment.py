"""Who pays late, and what it costs."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from crm_methods.company.answers import Answer, Unanswered
from crm_methods.stages.segments_payment import LatePayment, late_payers, late_payment
from tests.stages.cost_world import Costed, cost_tables, costed_company, plain_company


def _late(world: Costed, *, by_segment: bool = True) -> LatePayment | Unanswered:
    cells = world.matrix.cells if by_segment else None
    return late_payment(world.data, world.settings, world.economics, cells)


def test_late_shares_days_and_cost_are_those_of_the_invoices(tmp_path: Path):
    tables = cost_tables()
    more = pd.DataFrame(
        [("open", "c01", 2_000.0, dt.date(2024, 5, 1), dt.date(2024, 11, 30), None), ("undated", "c02", 1.0, dt.date(2025, 5, 1),
          None, None)], columns=tables["invoices"].columns)  # fmt: skip
    tables["invoices"] = pd.concat([tables["invoices"], more])
    found = _late(costed_company(tmp_path, tables, costs={"capital_rate": 0.365}))

    assert isinstance(found, LatePayment)
    whole, groups = found.segments.iloc[0], found.segments.iloc[1:]
    # One of twelve invoices of the period ten days late; the open one of 2024 was overdue on all 365 days of 2025.
    assert whole[["late_share", "late_amount_share", "mean_days_late"]].tolist() == pytest.approx([1 / 12, 1 / 12, 10 / 12])
    assert whole["payment_cost"] == pytest.approx(10.0 + 2_000.0 * 0.365)
    assert whole["low_share"] < 1 / 12 < whole["high_share"]
    assert groups[["invoices", "payment_cost"]].sum().tolist() == pytest.approx([12, whole["payment_cost"]])
    assert found.clients[["client", "open_amount"]].to_numpy().tolist() == [["c01", 2_000.0], ["c00", 0.0]]
    assert "1 invoice of €2,000 is overdue and open on 31 Dec 2025" in found.sentence
    assert "€2,000 of it is more than a year overdue" in found.sentence
    assert "1 invoice without a due day is left out." in found.sentence
    names = late_payers(found)
    assert isinstance(names, Answer)
    assert "c01 alone for 99%" in names.sentence


def test_invoices_that_all_are_paid_in_time_cost_nothing(tmp_path: Path):
    tables = cost_tables()
    tables["invoices"] = tables["invoices"].assign(paid_on=tables["invoices"]["due_on"])
    found = _late(costed_company(tmp_path, tables), by_segment=False)

    assert isinstance(found, LatePayment)
    assert found.segments[["late_share", "payment_cost"]].to_numpy().tolist() == [[0.0, 0.0]]
    assert "No capital was bound by it." in found.sentence
    assert late_payers(found).sentence == "No client's late payment cost anything in the period."


def test_without_a_day_of_payment_nothing_is_called_late():
    world = plain_company()
    supplied = {**world.data.supplied, "invoices": world.data.supplied["invoices"] - {"paid_on"}}
    found = _late(replace(world, data=replace(world.data, supplied=supplied)))

    assert isinstance(found, Unanswered)
    assert "invoices.paid_on" in found.sentence
