"""When a costly client pays, and what ending it would bring."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd
import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.engine import collect
from crm_methods.stages.segments_cut_costs import CutCosts, cut_costs
from tests.stages.plain_canonical import plain_data

ECONOMICS = pd.DataFrame(
    [
        ("pays", 2, 1_000.0, 400.0, 4, 100.0, 0.0),
        ("small", 2, 1_000.0, 400.0, 5, 900.0, 50.0),
        ("idle", 0, 0.0, 0.0, 0, 120.0, 0.0),
        ("sold_below_cost", 1, 500.0, -20.0, 2, 60.0, 0.0),
        ("other", 1, 500.0, 250.0, 2, 9_000.0, 0.0),
    ],
    columns=["client_id", "deals", "revenue", "margin", "contacts", "cost_to_serve", "direct_cost"],
)


def _company(tmp_path: Path, **settings: object) -> tuple[Canonical, Company]:
    orders = [(row.client_id, row.revenue / row.deals) for row in ECONOMICS.itertuples() for _ in range(row.deals)]
    deals = pd.DataFrame([*orders, ("small", -1.0)], columns=["client_id", "amount"]).assign(
        closed_on=dt.date(2025, 6, 1), margin=1.0
    )
    clients = pd.DataFrame({"client_id": ECONOMICS["client_id"], "name": ECONOMICS["client_id"].str.upper()})
    return plain_data(tmp_path, {"deals": deals, "clients": clients}, **settings)


def _asked(
    made: tuple[Canonical, Company], economics: pd.DataFrame = ECONOMICS, strategy: str = "cut_costs"
) -> CutCosts | Unanswered:
    data, settings = made
    placed = economics.assign(strategy=["raise_loyalty" if c == "other" else strategy for c in economics["client_id"]])
    return cut_costs(data, settings, data.engine.frame(economics), data.engine.frame(placed[["client_id", "strategy"]]))


def test_a_client_pays_from_the_order_that_covers_its_cost(tmp_path: Path):
    found = _asked(_company(tmp_path))
    assert isinstance(found, CutCosts)
    rows = collect(found.per_client).set_index("client_id").sort_index()

    assert rows["state"].to_dict() == {
        "pays": "pays", "small": "larger_orders", "idle": "no_revenue", "sold_below_cost": "no_margin",
    }  # fmt: skip
    # 900 / (2 orders · margin share 0.4); a return is no order.
    assert rows.loc["small", "minimum_order_amount"] == pytest.approx(1_125.0)
    assert rows.loc["small", "present_order_amount"] == pytest.approx(500.0)
    assert rows.loc["small", "monthly_fee_amount"] == pytest.approx(500 / 12, abs=1e-3)
    assert rows.loc["small", "contact_fee_amount"] == pytest.approx(100.0)
    assert rows.loc["idle", "monthly_fee_amount"] == pytest.approx(10.0)
    assert rows.loc[["idle", "sold_below_cost"], "minimum_order_amount"].isna().all()
    assert rows.loc["pays", ["monthly_fee_amount", "contact_fee_amount"]].isna().all()
    # At the minimum order the margin is the cost to serve.
    there = rows.join(ECONOMICS.set_index("client_id")).dropna(subset=["minimum_order_amount"])
    margin_then = there["minimum_order_amount"] * there["orders"] * there["margin"] / there["revenue"]
    assert margin_then.to_dict() == pytest.approx({"pays": 100.0, "small": 900.0})


@pytest.mark.parametrize(("share", "small"), [(0.5, 50 + 425 - 400), (1.0, 900 - 400)])
def test_ending_saves_the_avoidable_cost_alone(tmp_path: Path, share: float, small: float):
    found = _asked(_company(tmp_path, costs={"avoidable_share": share}))
    assert isinstance(found, CutCosts)
    gains = collect(found.per_client).set_index("client_id")["ending_gain"]

    assert gains["small"] == pytest.approx(small)
    assert gains["sold_below_cost"] == pytest.approx(20 + share * 60)
    assert ("does not save shared capacity" in found.sentence) == (share < 1)


def test_the_table_names_the_largest_losses_and_adds_them_up(tmp_path: Path):
    found = _asked(_company(tmp_path))
    assert isinstance(found, CutCosts)

    assert found.table["client"].tolist() == ["SMALL", "IDLE", "SOLD_BELOW_COST", "All 3 clients with a loss"]
    assert found.table["ending_gain"].iloc[-1] == pytest.approx(found.table["ending_gain"].iloc[:-1].sum())
    assert found.table["monthly_fee_amount"].iloc[-1] == pytest.approx(700 / 12)
    assert found.sentence.startswith("Of 4 clients with the strategy “Cut costs”, 3 cost €700 more than their margin covers.")


def test_where_all_pay_or_nobody_is_costly_it_is_said(tmp_path: Path):
    made = _company(tmp_path)
    paying = _asked(made, ECONOMICS[ECONOMICS["client_id"].isin(["pays", "other"])])
    nobody = _asked(made, strategy="stimulate_sales")
    no_cost = ECONOMICS.assign(cost_to_serve=pd.Series([None] * 5, dtype=float))
    unknown, impossible = _asked(made, no_cost), _asked(made, no_cost, strategy="stimulate_sales")

    assert "covers its cost to serve" in paying.sentence
    assert isinstance(paying, CutCosts)
    assert paying.table.empty
    assert "no client has the strategy" in nobody.sentence
    assert "no cost to serve is known" in unknown.sentence
    assert isinstance(impossible, Unanswered)
    assert "no cost to serve is known, so that no client can have the strategy" in impossible.sentence
    assert impossible.would_help == unknown.would_help != ()
