"""The period and the one before: parts that add up to the clients' totals, each period at its own prices."""

from __future__ import annotations

import numpy as np
import pytest

from crm_methods.engine import collect
from crm_methods.models.period_resampling import PARTS
from crm_methods.stages.segments_periods import in_columns
from tests.conftest import MakeCompany
from tests.stages.two_years import placed, steady, two_years


def test_the_parts_of_a_period_add_up_to_revenue_and_cost_of_every_client():
    found = steady()
    assert found.periods.economics_before is not None
    assert found.periods.parts_before is not None

    for parts, economics in (
        (found.periods.parts, found.economics),
        (found.periods.parts_before, found.periods.economics_before),
    ):
        totals = collect(economics.select("client_id", "revenue", "cost_to_serve").sort("client_id"))
        summed = collect(parts).groupby("client_id")[["revenue", "cost"]].sum().reindex(totals["client_id"]).fillna(0.0)
        assert summed["revenue"].to_numpy() == pytest.approx(totals["revenue"].to_numpy())
        assert summed["cost"].to_numpy() == pytest.approx(totals["cost_to_serve"].to_numpy(), abs=1e-4)
        table = in_columns(parts, totals, "revenue", "cost_to_serve")
        assert table[0].shape == (len(totals), PARTS)
        assert table[1].sum(axis=1) == pytest.approx(totals["cost_to_serve"].to_numpy(), rel=1e-12)


def test_cost_that_no_contact_explains_falls_into_the_parts_with_deals():
    found = steady()
    totals = collect(found.economics.select("client_id", "revenue", "cost_to_serve").sort("client_id"))
    before = in_columns(found.periods.parts, totals, "revenue", "cost_to_serve")
    later = in_columns(
        found.periods.parts, totals.assign(cost_to_serve=totals["cost_to_serve"] + 600.0), "revenue", "cost_to_serve"
    )
    added = later[1] - before[1]

    assert added.sum(axis=1) == pytest.approx(np.full(len(totals), 600.0))
    assert (added[(before[0] == 0) & (before[0].sum(axis=1, keepdims=True) > 0)] == 0).all()


def test_a_history_that_begins_in_the_period_has_none_before_and_says_so(make_company: MakeCompany):
    found = placed(two_years(make_company, {"a": ([], [5.0]), "b": ([], [7.0, 8.0])}))

    assert found.periods.economics_before is None
    assert "the first deal is of 15 Jan 2025" in found.periods.reason
    assert "Nobody is held where it was before" in found.matrix.sentence
    assert collect(found.matrix.cells)["previous_segment"].isna().all()


def test_without_older_contacts_only_revenue_has_a_former_place(make_company: MakeCompany):
    amounts = {f"c{i}": ([10.0 * i] * 3, [10.0 * i] * 3) for i in range(1, 7)}
    found = placed(two_years(make_company, amounts, {"c1": ([], [5.0]), "c2": ([], [50.0])}))

    assert not found.periods.knows_cost_before
    assert "Levels of cost are not held: the first contact is of 15 Jan 2025" in found.matrix.sentence
    cells = collect(found.matrix.cells).set_index("client_id")
    assert (cells["previous_segment"] == cells["segment"]).all()
