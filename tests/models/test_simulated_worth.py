"""What a simulated future is worth: on average what is expected, and nothing but arithmetic where nothing is random."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from crm_methods.models import lifetime_value
from crm_methods.models.btyd_fit import SpendFit
from crm_methods.models.simulated_worth import Buyers, Horizon, expected_earnings, expected_future, one_future
from tests.models.populations import fixed_spend, gamma_gamma, purchase_fit

FIT = purchase_fit("mbg_nbd", {"r": 0.8, "alpha": 90.0, "a": 0.8, "b": 3.0})
SPEND, CERTAIN = gamma_gamma(6.0, 3.7, 15.0), fixed_spend(30.0)
ROWS = pd.DataFrame(
    {"x": [0, 1, 4, 12], "t_x": [0, 200, 500, 900], "T": [400, 300, 700, 910], "mean": [0.0, 20.0, 40.0, 35.0], "cost": 2.0}
)
FUTURES = 4_000


def many(spend: SpendFit, horizon: Horizon) -> Any:
    """The mean of many futures of each client, and its standard error: bought, worth."""
    repeated = ROWS.loc[ROWS.index.repeat(FUTURES)]
    outcome = one_future(FIT, spend, Buyers.of(repeated), horizon, np.random.default_rng(5))
    per_client = [each.reshape(len(ROWS), FUTURES) for each in outcome]
    return [(each.mean(axis=1), each.std(axis=1) / np.sqrt(FUTURES)) for each in per_client]


@pytest.mark.parametrize("spend", [SPEND, CERTAIN], ids=["gamma_gamma", "mean"])
def test_the_mean_of_many_futures_is_the_lifetime_value(spend: SpendFit) -> None:
    horizon = Horizon.of(24, 0.1)
    scores = lifetime_value.score_triples(FIT, ROWS, 24, 0.1)
    expected = lifetime_value.expected_spend(spend, ROWS["x"], ROWS["mean"])
    value = scores["discounted_purchases"] * expected - ROWS["cost"] * scores["discounted_months_alive"]
    (bought, bought_error), (worth, worth_error) = many(spend, horizon)
    assert (np.abs(bought - scores["expected_purchases"]) < 4 * bought_error).all()
    # Simulated purchases are discounted at their mean place, months by halves: 1 % beside the exact sum.
    assert (np.abs(worth - value) < 4 * worth_error + 0.01 * np.abs(value)).all()


def test_without_discount_worth_is_purchases_times_amounts_less_cost_of_the_months() -> None:
    horizon = Horizon.of(12, 0.0)
    nobody_leaves = purchase_fit("nbd", {"r": 1.0, "alpha": 90.0})
    buyers = Buyers.of(ROWS)
    bought, worth = one_future(nobody_leaves, CERTAIN, buyers, horizon, np.random.default_rng(1))
    expected = lifetime_value.expected_spend(CERTAIN, ROWS["x"], ROWS["mean"])
    np.testing.assert_allclose(worth, bought * expected - 2.0 * 12)


def test_expected_worth_is_earnings_less_cost_and_moves_with_the_amounts() -> None:
    horizon, buyers = Horizon.of(36, 0.1), Buyers.of(ROWS)
    bought, worth = expected_future(FIT, SPEND, buyers, horizon)
    earnings = expected_earnings(bought, SPEND, buyers, horizon)
    assert (worth < earnings).all()
    _, dearer = expected_future(FIT, CERTAIN, buyers, horizon)
    np.testing.assert_allclose(dearer - worth, expected_earnings(bought, CERTAIN, buyers, horizon) - earnings)


def test_a_client_that_buys_below_cost_goes_on_as_expected() -> None:
    loss = Buyers.of(ROWS.assign(mean=-10.0, cost=0.0))
    bought, worth = one_future(FIT, SPEND, loss, Horizon.of(12, 0.0), np.random.default_rng(2))
    repeat = ROWS["x"].to_numpy() > 0
    expected = lifetime_value.expected_spend(SPEND, ROWS["x"], np.full(4, -10.0))
    np.testing.assert_allclose(worth[repeat], (bought * expected)[repeat])
