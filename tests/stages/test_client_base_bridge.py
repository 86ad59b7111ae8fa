"""Laws of the revenue bridge."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.engine import collect
from crm_methods.stages import client_base
from crm_methods.stages.client_base_bridge import RevenueBridge, bridge_steps, revenue_bridge
from tests.conftest import MakeCompany, MakeFrame

CENT = 0.005


def _random_deals(seed: int, rows: int = 400) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    days = pd.Timestamp("2023-01-01") + pd.to_timedelta(random.integers(0, 1_095, rows), unit="D")
    amounts = np.round(random.lognormal(5, 1, rows) * random.choice([1, 1, 1, -1], rows), 2)
    return pd.DataFrame({"deal_id": range(rows), "client_id": random.integers(0, 90, rows), "closed_on": days, "amount": amounts})


def _bridge(make_company: MakeCompany, deals: pd.DataFrame, **settings: object) -> RevenueBridge | Unanswered:
    made = make_company({"deals": deals}, **settings)
    return revenue_bridge(made.data, made.settings, client_base.client_facts(made.data, made.settings))


@pytest.mark.parametrize("seed", range(4))
def test_the_bridge_closes_to_the_cent(make_company: MakeCompany, seed: int):
    deals = _random_deals(seed)
    bridge = _bridge(make_company, deals)
    assert isinstance(bridge, RevenueBridge)

    revenue = bridge.steps.set_index("step")["revenue"]
    year = deals["closed_on"].dt.year
    assert bridge.is_closed
    assert abs(revenue.drop("closing").sum() - revenue["closing"]) < CENT
    assert abs(revenue["opening"] - deals.loc[year == 2024, "amount"].sum()) < CENT
    assert abs(revenue["closing"] - deals.loc[year == 2025, "amount"].sum()) < CENT


def test_who_bought_in_a_period_stands_in_exactly_one_step(make_company: MakeCompany):
    deals = _random_deals(7)
    made = make_company({"deals": deals})
    facts = client_base.client_facts(made.data, made.settings)
    clients = bridge_steps(facts).set_index("step")["clients"]
    bought = collect(facts.select("deals_won", "deals_won_previous", "revenue", "revenue_previous"))
    unchanged = (
        (bought["deals_won"] > 0) & (bought["deals_won_previous"] > 0) & (bought["revenue"] == bought["revenue_previous"])
    ).sum()

    assert clients[["new", "returned", "more_intensive", "less_intensive"]].sum() + unchanged == clients["closing"]
    assert clients[["lost", "more_intensive", "less_intensive"]].sum() + unchanged == clients["opening"]


def test_order_changes_nothing_and_the_currency_only_the_scale(make_company: MakeCompany):
    deals = _random_deals(3)
    one = _bridge(make_company, deals)
    shuffled = _bridge(make_company, deals.sample(frac=1, random_state=1))
    in_cents = _bridge(make_company, deals.assign(amount=(deals["amount"] * 100).round()))

    pd.testing.assert_frame_equal(one.steps, shuffled.steps)
    assert in_cents.steps["revenue"].to_numpy() == pytest.approx(100 * one.steps["revenue"].to_numpy())
    assert in_cents.net_retention_share == pytest.approx(one.net_retention_share)


def test_retention_counts_the_clients_of_the_opening_alone(make_company: MakeCompany):
    rows = [
        ("kept", "2022-01-01", 1.0), ("kept", "2024-02-01", 100.0), ("kept", "2025-02-01", 150.0),
        ("less", "2024-02-01", 100.0), ("less", "2025-02-01", 80.0),
        ("lost", "2024-02-01", 50.0), ("new", "2025-02-01", 1_000.0),
    ]  # fmt: skip
    deals = pd.DataFrame(rows, columns=["client_id", "closed_on", "amount"]).assign(deal_id=range(7))
    bridge = _bridge(make_company, deals)

    assert bridge.gross_retention_share == pytest.approx((250 - 20 - 50) / 250)
    assert bridge.net_retention_share == pytest.approx((250 - 20 - 50 + 50) / 250)
    assert bridge.steps["step"].tolist() == ["opening", "new", "returned", "more_intensive", "less_intensive", "lost", "closing"]
    assert bridge.steps["revenue"].tolist() == [250, 1_000, 0, 50, -20, -50, 1_230]
    assert "(+392.0%)" in bridge.sentence


def test_clients_with_credit_notes_alone_have_a_step_of_their_own(frames: MakeFrame):
    facts = pd.DataFrame(
        {
            "state": ["active", "prospect", "lapsed", "lapsed"],
            "revenue": [10.0, -4.0, 0.0, 0.0],
            "revenue_previous": [10.0, 0.0, 0.0, 7.0],
            "deals_won": [1, 0, 0, 0],
            "deals_won_previous": [1, 0, 0, 1],
        }
    )
    steps = bridge_steps(frames(facts)).set_index("step")

    assert steps.loc["corrections", ["revenue", "clients"]].tolist() == [-4.0, 1]
    assert steps.loc["lost", ["revenue", "clients"]].tolist() == [-7.0, 1]
    assert steps["revenue"].drop("closing").sum() == pytest.approx(steps.loc["closing", "revenue"])


def test_a_base_that_did_not_move_is_said_so(make_company: MakeCompany):
    deals = pd.DataFrame({"deal_id": [1, 2], "client_id": "a", "closed_on": ["2024-01-05", "2025-05-05"], "amount": 10.0})
    bridge = _bridge(make_company, deals)

    assert "stayed at €10." in bridge.sentence
    assert bridge.gross_retention_share == bridge.net_retention_share == 1
    assert "No deal is older" in bridge.sentence


def test_a_history_that_begins_inside_the_opening_is_said(make_company: MakeCompany):
    deals = pd.DataFrame({"deal_id": [1, 2], "client_id": "a", "closed_on": ["2024-11-05", "2025-05-05"], "amount": 10.0})

    assert "the opening is too low" in _bridge(make_company, deals).sentence


@pytest.mark.parametrize("day", ["2025-05-05", "2019-05-05"])
def test_without_a_previous_or_a_current_period_there_is_no_bridge(make_company: MakeCompany, day: str):
    deals = pd.DataFrame({"deal_id": [1], "client_id": "a", "closed_on": [day], "amount": 10.0})

    assert isinstance(_bridge(make_company, deals), Unanswered)


def test_an_opening_that_is_not_positive_has_no_retention(make_company: MakeCompany):
    rows = [("2024-02-01", 10.0), ("2024-03-01", -30.0), ("2025-03-01", 5.0)]
    deals = pd.DataFrame(rows, columns=["closed_on", "amount"]).assign(deal_id=range(3), client_id="a")
    bridge = _bridge(make_company, deals)

    assert bridge.is_closed
    assert bridge.net_retention_share is None
    assert "Retention can't be computed" in bridge.sentence
