"""The matrix: cuts, cells, strategies and readings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crm_methods.company.vocabulary import SEGMENT_LABELS
from crm_methods.engine import collect
from crm_methods.stages import segments, segments_matrix
from tests.conftest import MadeCompany, MakeCompany
from tests.stages.small_companies import contacts_of, costed, deals_of


def _matrix(made: MadeCompany) -> segments_matrix.Matrix:
    cost = segments.cost_to_serve(made.data, made.settings)
    found = segments_matrix.matrix(made.data, made.settings, segments.client_economics(made.data, made.settings, cost))
    assert isinstance(found, segments_matrix.Matrix)
    return found


def _cells(made: MadeCompany) -> dict[str, str]:
    cells = collect(_matrix(made).cells.select("client_id", "segment"))
    return dict(zip(cells["client_id"], cells["segment"], strict=True))


def test_without_costs_clients_are_divided_by_revenue_alone(make_company: MakeCompany):
    made = make_company({"deals": deals_of({"a": 10.0, "b": 20.0, "c": 30.0})})

    assert _cells(made) == {"a": "low_unknown", "b": "low_unknown", "c": "high_unknown"}
    assert "can't be told apart" in _matrix(made).sentence


def test_equal_clients_land_together(make_company: MakeCompany):
    made = make_company({"deals": deals_of(dict.fromkeys("abcdef", 50.0))})

    assert set(_cells(made).values()) == {"low_unknown"}


def test_a_client_that_costs_more_than_its_size_usually_does_is_costly(make_company: MakeCompany):
    amounts = {f"c{i}": 100.0 * 2**i for i in range(8)}
    minutes = {client: amount**0.6 for client, amount in amounts.items()}
    minutes["c0"] *= 5
    minutes["c7"] *= 5
    cells = _cells(costed(make_company, amounts, minutes))

    assert cells["c0"] == "low_high"
    assert cells["c7"] == "high_high"


def test_the_unit_of_currency_moves_no_client(make_company: MakeCompany):
    rng = np.random.default_rng(5)
    amounts = {f"c{i:02}": float(v) for i, v in enumerate(rng.lognormal(6, 1, 30).round(2))}
    minutes = {client: float(v) for client, v in zip(amounts, rng.lognormal(3, 1, 30).round(2), strict=True)}
    cents = {client: amount * 100 for client, amount in amounts.items()}

    assert _cells(costed(make_company, amounts, minutes)) == _cells(costed(make_company, cents, minutes))


def test_every_client_has_one_segment_and_its_strategy(make_company: MakeCompany):
    made = costed(make_company, {"a": 1_000.0, "b": 10.0, "c": -5.0, "d": 0.0}, {"a": 10.0, "b": 50.0, "e": 200.0})
    cells = collect(_matrix(made).cells)

    assert sorted(cells["client_id"]) == list("abcde")
    assert set(cells["segment"]) <= set(SEGMENT_LABELS)
    assert cells["strategy"].notna().all()
    assert dict(zip(cells["client_id"], cells["state"], strict=True))["c"] == "returns_exceed_purchases"
    assert dict(zip(cells["client_id"], cells["segment"], strict=True))["e"] == "low_high"


def test_the_chosen_reading_moves_nobody_and_others_are_counted(make_company: MakeCompany):
    rng = np.random.default_rng(3)
    amounts = {f"c{i:02}": float(v) for i, v in enumerate(rng.lognormal(6, 1, 40))}
    minutes = {client: amount**0.6 * float(rng.lognormal(0, 0.3)) for client, amount in amounts.items()}
    readings = _matrix(costed(make_company, amounts, minutes)).readings.set_index("reading")["clients_in_another_cell"]

    assert readings["beyond_size"] == 0
    assert readings["absolute"] > 0
    assert readings["per_revenue"] > 0


def test_a_policy_cut_replaces_the_median(make_company: MakeCompany):
    made = make_company({"deals": deals_of({"a": 10.0, "b": 20.0, "c": 30.0})}, segments={"revenue_cut": 15.0})

    assert _cells(made) == {"a": "low_unknown", "b": "high_unknown", "c": "high_unknown"}


def test_matrix_totals_are_those_of_the_base(make_company: MakeCompany):
    made = costed(make_company, {"a": 1_000.0, "b": 10.0, "c": 300.0}, {"a": 10.0, "b": 50.0, "c": 20.0})
    table = _matrix(made).table

    assert table["revenue"].sum() == pytest.approx(1_310.0)
    assert table["clients"].sum() == 3
    assert table["revenue_share"].sum() == pytest.approx(1.0)


def test_interactions_alone_make_one_group(make_company: MakeCompany):
    made = make_company({"interactions": contacts_of({"a": 10.0, "b": 20.0})})

    assert set(_cells(made).values()) == {"all"}


def test_revenue_can_be_read_as_the_clients_size(make_company: MakeCompany):
    clients = pd.DataFrame({"client_id": list("abc"), "turnover": [9e6, 1e6, 1e3]})
    made = make_company(
        {"deals": deals_of({"a": 1.0, "b": 2.0, "c": 3.0}), "clients": clients}, segments={"revenue_axis": "size"}
    )

    assert _cells(made) == {"a": "high_unknown", "b": "low_unknown", "c": "low_unknown"}


def test_clients_without_revenue_are_counted_and_said(make_company: MakeCompany):
    made = costed(make_company, {"a": 1_000.0, "b": 10.0, "c": 300.0}, {"a": 10.0, "b": 50.0, "c": 20.0, "idle": 5.0})
    found = _matrix(made)

    assert found.summary["idle_clients"].sum() == 1
    assert found.summary["inactive_clients"].sum() == 0
    assert "idle_clients" in found.table
    assert "1 client without revenue counts as low" in found.sentence


def test_a_reading_that_can_not_be_used_is_replaced_and_said(make_company: MakeCompany):
    found = _matrix(costed(make_company, {"a": 100.0, "b": 200.0}, {"a": 10.0, "b": 50.0}))

    assert found.cost_axis == "absolute"
    assert "too few or too alike" in found.sentence


def test_without_costs_there_is_nothing_to_read_differently(make_company: MakeCompany):
    answer = segments_matrix.matrix_readings(_matrix(make_company({"deals": deals_of({"a": 10.0})})))

    assert answer.table.empty
    assert "one axis" in answer.sentence
