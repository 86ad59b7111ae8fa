"""New clients to come: the rate and its spread, and a value that is the model's for a client that has just bought."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crm_methods.models.lifetime_value import score_triples
from crm_methods.models.new_clients import arrivals, simulate_arrivals, simulate_worth, spread_of_one, value_by_arrival
from tests.models.populations import gamma_gamma, purchase_fit

FIT = purchase_fit("mbg_nbd", {"r": 0.8, "alpha": 60.0, "a": 0.7, "b": 2.5}, clients=500, repeat_buyers=300)
SPEND = gamma_gamma(2.0, 4.0, 75.0)


def test_months_that_differ_by_chance_have_no_bursts_and_a_trend_is_seen_as_one():
    steady, bursts, fading = arrivals([4, 5, 3, 4] * 6), arrivals([0, 0, 0, 16] * 6), arrivals([12] * 12 + [4] * 12)

    assert (steady.per_month, steady.months, steady.clients, steady.dispersion) == (4.0, 24, 96, 1.0)
    assert bursts.dispersion > 10
    assert abs(bursts.change) < 1
    assert (fading.earlier, fading.later) == (144, 48)
    assert fading.change < -4


def test_the_interval_of_arrivals_holds_months_to_come():
    # 150 bases: a coverage of .95 has a standard error of .018.
    rng, hits = np.random.default_rng(8), 0
    for _ in range(150):
        past, ahead = (rng.poisson(rng.gamma(2.0, 1.0, months)) for months in (24, 36))
        low, high = np.quantile(simulate_arrivals(arrivals(past), 36, 400, rng).sum(axis=1), (0.025, 0.975))
        hits += low <= ahead.sum() <= high

    assert hits / 150 > 0.90


def test_a_client_of_the_first_month_is_worth_its_first_purchase_and_the_models_rest():
    new = pd.DataFrame({"x": [0.0], "t_x": [0.0], "T": [0.0]})
    rest = score_triples(FIT, new, 35, 0.10).iloc[0]
    monthly = 1.10 ** (1 / 12)

    worth = value_by_arrival(FIT, SPEND, 30.0, 36, 0.10, cost_per_month=2.0)

    later = rest["discounted_purchases"] * 50.0 - 2.0 * rest["discounted_months_alive"]
    assert worth[0] == pytest.approx((30.0 + later) / monthly)
    assert worth[-1] == pytest.approx(30.0 / monthly**36)
    assert len(worth) == 36


def test_what_they_bring_scatters_around_number_times_worth():
    rng = np.random.default_rng(2)
    numbers, worth = np.tile([4.0, 0.0, 9.0], (20_000, 1)), np.array([10.0, 10.0, -3.0])
    spread = spread_of_one(FIT, SPEND, 36, rng)

    brought = simulate_worth(numbers, worth, spread, rng)

    assert spread > 0.5
    # Four standard errors of a mean of 20,000.
    assert brought.mean(axis=0) == pytest.approx([40.0, 0.0, -27.0], abs=4 * brought.std(axis=0).max() / np.sqrt(20_000))
    assert brought[:, 0].std() == pytest.approx(10 * spread * 2, rel=0.05)
    assert (simulate_worth(numbers, worth, 0.0, rng) == numbers * worth).all()
