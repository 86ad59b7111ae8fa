"""Simulated futures: on average what the model expects, whatever the family, and finite at the edges."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from crm_methods.models.btyd_fit import PurchaseFit
from crm_methods.models.btyd_prediction import forecast
from crm_methods.models.btyd_simulation import simulate
from tests.models.populations import purchase_fit

X, T_X, AGE = np.array([0, 1, 4, 12]), np.array([0, 200, 500, 900]), np.array([400, 300, 700, 910])
HORIZON = 365.0
FUTURES = 4_000


def fit_of(family: Any, **parameters: float) -> PurchaseFit:
    return purchase_fit(family, parameters)


FITS = [
    fit_of("bg_nbd", r=0.8, alpha=90.0, a=0.8, b=3.0),
    fit_of("mbg_nbd", r=0.8, alpha=90.0, a=0.8, b=3.0),
    fit_of("nbd", r=0.8, alpha=90.0),
    fit_of("naive"),
    fit_of("mbg_cnbd_k", r=3.0, alpha=60.0, a=0.8, b=6.0, k=3.0),
]


@pytest.mark.parametrize("fit", FITS, ids=lambda fit: fit.family)
def test_the_mean_of_many_futures_is_the_forecast(fit: PurchaseFit) -> None:
    rng = np.random.default_rng(7)
    fates = simulate(fit, *(np.repeat(each, FUTURES) for each in (X, T_X, AGE)), HORIZON, rng)
    bought, stayed = (each.reshape(len(X), FUTURES) for each in (fates.bought, fates.last_share == 1.0))
    ahead = forecast(fit, X, T_X, AGE, [HORIZON])
    error = bought.std(axis=1) / np.sqrt(FUTURES)
    # Four standard errors of four clients: a false alarm in 4,000.
    assert (np.abs(bought.mean(axis=1) - ahead.purchases[:, 0]) <= 4 * error + 1e-9).all()
    alive = np.nan_to_num(ahead.alive[:, 0], nan=1.0)
    assert np.abs(stayed.mean(axis=1) - alive).max() < 4 * 0.5 / np.sqrt(FUTURES)


@pytest.mark.parametrize("fit", FITS, ids=lambda fit: fit.family)
def test_shares_of_the_horizon_lie_within_it_and_numbers_are_whole(fit: PurchaseFit) -> None:
    fates = simulate(fit, *(np.repeat(each, 200) for each in (X, T_X, AGE)), HORIZON, np.random.default_rng(1))
    for share in (fates.last_share, fates.mean_share[fates.bought > 0]):
        assert ((share >= 0) & (share <= 1)).all()
    assert (fates.bought == np.floor(fates.bought)).all()


def test_weeks_and_days_are_the_same_future() -> None:
    days = FITS[1]
    weeks = replace(days, time_unit="week", parameters={**days.parameters, "alpha": 90.0 / 7})
    one, two = (simulate(fit, X, T_X, AGE, HORIZON, np.random.default_rng(3)) for fit in (days, weeks))
    np.testing.assert_array_equal(one.bought, two.bought)


def test_who_bought_once_never_returns_under_the_naive_forecast() -> None:
    fates = simulate(fit_of("naive"), [0, 0], [0, 0], [0, 300], HORIZON, np.random.default_rng(3))
    assert fates.bought.tolist() == [0, 0]
    assert fates.last_share.tolist() == [1, 1]


@pytest.mark.parametrize("a", [1e-9, 1.0, 1e6])
@pytest.mark.parametrize("b", [1e-9, 1e9])
def test_extreme_parameters_and_histories_have_finite_futures(a: float, b: float) -> None:
    fit = fit_of("mbg_nbd", r=1e-4, alpha=1e-6, a=a, b=b)
    fates = simulate(fit, [0, 0, 100_000], [0, 0, 729], [0, 1, 730], 36 * 30.4375, np.random.default_rng(3))
    for each in (fates.bought, fates.last_share, fates.mean_share):
        assert np.isfinite(each).all()


def test_a_family_that_is_not_simulated_is_refused() -> None:
    with pytest.raises(ValueError, match="pareto_nbd"):
        simulate(fit_of("pareto_nbd"), X, T_X, AGE, HORIZON, np.random.default_rng(1))
