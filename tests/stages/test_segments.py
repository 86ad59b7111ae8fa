"""Revenue, cost to serve and the whale curve."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.engine import collect
from crm_methods.stages import segments
from tests.conftest import MadeCompany, MakeCompany
from tests.stages.cost_world import cost_tables
from tests.stages.small_companies import costed, deals_of

CENT = 0.01


def _economics(made: MadeCompany) -> pd.DataFrame:
    cost = segments.cost_to_serve(made.data, made.settings)
    return collect(segments.client_economics(made.data, made.settings, cost).sort("client_id"))


def test_contribution_is_margin_less_cost_to_serve(make_company: MakeCompany):
    economics = _economics(costed(make_company, {"a": 1_000.0, "b": 100.0}, {"a": 60.0, "b": 600.0}))

    assert economics["revenue"].tolist() == [1_000.0, 100.0]
    assert economics["contribution"].to_numpy() == pytest.approx(
        (economics["margin"] - economics["cost_to_serve"]).to_numpy(), abs=1e-4
    )


def test_allocated_unused_and_unallocated_cost_add_up_to_the_ledger(make_company: MakeCompany):
    made = costed(make_company, {"a": 1_000.0}, {"a": 60.0})
    cost = segments.cost_to_serve(made.data, made.settings)

    assert isinstance(cost, segments.CostToServe)
    parts = cost.table[["allocated_cost", "unused_cost", "not_allocated_cost"]].to_numpy().sum()
    assert abs(parts - 12_000.0) < CENT
    assert collect(cost.by_client)["cost_to_serve"].sum() == pytest.approx(cost.table["allocated_cost"].sum(), abs=CENT)


def test_deals_outside_the_period_lost_and_open_ones_are_not_revenue(make_company: MakeCompany):
    deals = pd.DataFrame(
        {
            "deal_id": list("12345"),
            "client_id": "a",
            "closed_on": [dt.date(2024, 12, 31), dt.date(2025, 1, 1), dt.date(2025, 12, 31), dt.date(2025, 5, 1), None],
            "amount": [1.0, 10.0, 100.0, 1_000.0, 10_000.0],
            "status": ["won", "won", "won", "lost", "open"],
        }
    )
    assert _economics(make_company({"deals": deals}))["revenue"].tolist() == [110.0]


def test_without_costs_what_is_unknown_is_missing_and_not_zero(make_company: MakeCompany):
    economics = _economics(make_company({"deals": deals_of({"a": 10.0})}))

    assert economics[["margin", "cost_to_serve", "contribution"]].isna().all(axis=None)


def test_cost_to_serve_is_time_direct_cost_and_late_payment(make_company: MakeCompany):
    first = _economics(make_company(cost_tables(), costs={"capital_rate": 0.365})).iloc[0]

    # Two contacts of 3 each, deliveries of 8 and 2; 1,000 for ten days at 36.5 % a year.
    assert first["direct_cost"] == pytest.approx(2 * 3 + 8 + 2)
    assert first["payment_cost"] == pytest.approx(10.0)
    assert first["cost_to_serve"] == pytest.approx(first["time_cost"] + 16 + 10)
    assert first["contribution"] == pytest.approx(first["margin"] - first["cost_to_serve"], abs=1e-4)
    # A price of 400 after 20 % was one of 500; what came back has lowered revenue.
    assert first[["discount", "returns", "revenue"]].tolist() == [100.0, 50.0, 350.0]


def test_costs_that_nothing_records_are_missing_and_the_others_still_count(make_company: MakeCompany):
    economics = _economics(costed(make_company, {"a": 1_000.0}, {"a": 60.0}))

    assert economics[["direct_cost", "payment_cost", "discount"]].isna().all(axis=None)
    assert economics["cost_to_serve"].tolist() == economics["time_cost"].tolist()
    assert economics["time_cost"].iloc[0] > 0


def test_discounts_of_lines_count_where_deals_have_none(make_company: MakeCompany):
    lines = pd.DataFrame(
        [("d0", "p", 2.0, 100.0, 0.5), ("d0", "q", 1.0, 100.0, None)],
        columns=["deal_id", "product_id", "quantity", "unit_price", "discount_share"],
    )
    economics = _economics(make_company({"deals": deals_of({"a": 200.0}), "deal_lines": lines}))

    assert economics["discount"].tolist() == [100.0]


def test_the_whale_curve_ends_at_the_whole(make_company: MakeCompany):
    made = costed(make_company, {"a": 3_000.0, "b": 1_000.0, "c": 10.0}, {"a": 10.0, "b": 10.0, "c": 900.0})
    economics = segments.client_economics(made.data, made.settings, segments.cost_to_serve(made.data, made.settings))
    whale = segments.whale_curve(made.data, made.settings, economics)

    assert isinstance(whale, segments.WhaleCurve)
    assert whale.curve["cumulative_margin_share"].iloc[-1] == pytest.approx(1.0)
    assert whale.curve["cumulative_margin_share"].max() > 1.0
    assert "1 client" in whale.sentence


def test_a_base_that_earns_nothing_has_no_whale_curve(make_company: MakeCompany):
    made = make_company({"deals": deals_of({"a": 10.0}).assign(cost=20.0)})
    economics = segments.client_economics(made.data, made.settings, Unanswered("segments.cost_to_serve", "no data."))

    assert isinstance(segments.whale_curve(made.data, made.settings, economics), Unanswered)
