"""Draws of parameters: around the estimate, as wide as it is unsure, from simulated bases where there are few clients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crm_methods.models import parameter_draws
from crm_methods.models.btyd_fit import PurchaseFit, SpendFit, fit_gamma_gamma, fit_purchases, histories, naive
from crm_methods.models.btyd_prediction import expected_purchases

TRUTH = {"r": 1.2, "alpha": 152.0, "a": 0.9, "b": 3.0}
NAMES = tuple(TRUTH)


def a_fit(**changes: Any) -> PurchaseFit:
    known = PurchaseFit(family="mbg_nbd", parameters=TRUTH, log_likelihood=0.0, time_unit="day", clients=80, repeat_buyers=50)
    return replace(known, **changes)


@pytest.fixture(scope="module")
def few() -> tuple[PurchaseFit, pd.DataFrame]:
    """80 clients by MBG/NBD, simulated by the module itself (the benchmark simulates on its own)."""
    rng = np.random.default_rng(11)
    data = parameter_draws.simulated_histories(a_fit(), rng.uniform(60, 1461, 80), rng)
    triples = pd.DataFrame({"x": data.x, "t_x": data.t_x, "T": data.T, "n": 1})
    fit = fit_purchases("mbg_nbd", triples)
    assert isinstance(fit, PurchaseFit)
    return fit, triples


def logs(models: list[PurchaseFit]) -> Any:
    return np.log([[model.parameters[name] for name in NAMES] for model in models])


def test_from_300_clients_the_logarithms_are_normal_with_the_covariance_of_the_fit(cdnow: Any) -> None:
    fit = fit_purchases("mbg_nbd", cdnow.triples)
    assert isinstance(fit, PurchaseFit)
    assert fit.covariance is not None
    drawn = logs(parameter_draws.draws(fit, cdnow.triples, 4_000, np.random.default_rng(1)))
    np.testing.assert_allclose(drawn.mean(axis=0), np.log(list(fit.parameters.values())), atol=0.02)
    # 4,000 draws know a covariance to 3 %.
    np.testing.assert_allclose(np.cov(drawn.T), fit.covariance, rtol=0.15, atol=2e-3)


def test_under_300_clients_refits_lie_around_the_estimate_and_are_used_in_turns(few: Any) -> None:
    fit, triples = few
    drawn = logs(parameter_draws.draws(fit, triples, 150, np.random.default_rng(1), bootstraps=100))
    np.testing.assert_allclose(drawn[:100].mean(axis=0), np.log(list(fit.parameters.values())), atol=1e-9)
    np.testing.assert_array_equal(drawn[100:], drawn[:50])
    ratio = drawn[:100].std(axis=0) / np.sqrt(np.diag(fit.covariance))
    assert ((ratio > 0.5) & (ratio < 2)).all()


def test_a_base_of_three_clients_is_as_unsure_as_the_priors() -> None:
    triples = pd.DataFrame({"x": [0.0, 1.0, 2.0], "t_x": [0.0, 200.0, 300.0], "T": [400.0, 500.0, 600.0], "n": 1})
    fit = fit_purchases("mbg_nbd", triples)
    assert isinstance(fit, PurchaseFit)
    drawn = logs(parameter_draws.draws(fit, triples, 200, np.random.default_rng(1), bootstraps=200))
    leaving = [NAMES.index(name) for name in ("a", "b")]
    assert (drawn[:, leaving].std(axis=0) > 0.8).all()


def test_the_same_seed_draws_the_same(few: Any) -> None:
    fit, triples = few
    one, two = (logs(parameter_draws.draws(fit, triples, 5, np.random.default_rng(3))) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_a_refit_of_the_histories_that_were_fitted_is_the_fit(few: Any) -> None:
    fit, triples = few
    moved = replace(fit, parameters={name: value * 1.3 for name, value in fit.parameters.items()})
    found = parameter_draws.refit(moved, histories(triples), np.zeros(4))
    # To a hundredth of a standard deviation or so: the search stops there.
    np.testing.assert_allclose(found, np.log(list(fit.parameters.values())), atol=0.02)


@pytest.mark.parametrize("family", ["bg_nbd", "mbg_nbd"])
def test_simulated_histories_are_what_the_model_expects(family: Any) -> None:
    rng, size = np.random.default_rng(5), 20_000
    data = parameter_draws.simulated_histories(a_fit(family=family), np.full(size, 700.0), rng)
    new = float(expected_purchases(a_fit(family=family), 0, 0, 0, 700.0)[0])
    assert data.x.mean() == pytest.approx(new, abs=4 * data.x.std() / np.sqrt(size))
    assert ((data.t_x <= data.T) & ((data.x > 0) == (data.t_x > 0))).all()


def test_clients_chosen_for_their_purchases_are_simulated_with_as_many() -> None:
    fit = a_fit(family="mbg_cnbd_k", parameters={"r": 4.0, "alpha": 40.0, "a": 0.5, "b": 6.0, "k": 4.0}, min_x=4)
    data = parameter_draws.simulated_histories(fit, np.full(500, 600.0), np.random.default_rng(2))
    assert data.x.min() == 4
    assert np.isfinite(data.t_x).all()


def test_what_has_no_parameters_is_drawn_as_it_is(cdnow: Any) -> None:
    fit = naive(cdnow.triples)
    assert parameter_draws.draws(fit, cdnow.triples, 3, np.random.default_rng(1)) == [fit] * 3
    spend = SpendFit(family="mean", level=10.0, weight=1.0, parameters={}, log_likelihood=None, repeat_buyers=3)
    assert parameter_draws.drawn_spend(spend, np.random.default_rng(1)) is spend


def test_a_base_of_which_no_simulated_one_returns_keeps_its_estimate() -> None:
    fit = a_fit(parameters={"r": 1e-8, "alpha": 1e6, "a": 0.9, "b": 3.0}, covariance=np.eye(4))
    triples = pd.DataFrame({"x": [0.0, 1.0], "t_x": [0.0, 9.0], "T": [10.0, 10.0], "n": [1, 1]})
    drawn = parameter_draws.draws(fit, triples, 4, np.random.default_rng(1), bootstraps=20)
    np.testing.assert_allclose(logs(drawn), np.tile(logs([fit]), (4, 1)))


def test_amounts_are_drawn_with_a_finite_mean(cdnow: Any) -> None:
    spend, rng = fit_gamma_gamma(cdnow.spends, 35.0), np.random.default_rng(1)
    levels = [parameter_draws.drawn_spend(spend, rng).level for _ in range(200)]
    assert np.isfinite(levels).all()
    assert min(levels) < spend.level < max(levels)
