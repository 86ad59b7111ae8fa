"""Fits: the published numbers of CDNOW, and what may not change them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from crm_methods.models import btyd_fit
from crm_methods.models.btyd_fit import NoFit, PurchaseFit

# Fader, Hardie & Lee (2005); Batislam et al. (2007); NBD; Fader & Hardie (2013). Times in weeks.
PUBLISHED = {
    "bg_nbd": ({"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}, -9582.43),
    "mbg_nbd": ({"r": 0.5248, "alpha": 6.1831, "a": 0.8914, "b": 1.6140}, -9582.14),
    "nbd": ({"r": 0.3848, "alpha": 12.072}, -9763.66),
}


def _fit(family: Any, triples: pd.DataFrame, *args: Any) -> PurchaseFit:
    fit = btyd_fit.fit_purchases(family, triples, *args)
    assert isinstance(fit, PurchaseFit)
    return fit


@pytest.mark.parametrize("family", PUBLISHED)
def test_maximum_likelihood_gives_the_published_parameters(cdnow: Any, family: str) -> None:
    fit, (parameters, log_likelihood) = _fit(family, cdnow.triples, "week", "ml"), PUBLISHED[family]
    assert dict(fit.parameters) == pytest.approx(parameters, rel=1e-3)
    assert fit.log_likelihood == pytest.approx(log_likelihood, abs=0.006)
    assert fit.converged
    assert fit.at_bound == ()
    assert (fit.clients, fit.repeat_buyers) == (2357, 946)


def test_gamma_gamma_gives_the_published_parameters(cdnow: Any) -> None:
    fit = btyd_fit.fit_gamma_gamma(cdnow.spends, 35.0, "ml")
    assert dict(fit.parameters) == pytest.approx({"p": 6.250, "q": 3.744, "v": 15.444}, rel=1e-3)
    assert fit.log_likelihood == pytest.approx(-4055.92, abs=0.006)
    assert fit.repeat_buyers == 946


@pytest.mark.parametrize("estimation", ["ml", "map"])
@pytest.mark.parametrize("family", PUBLISHED)
def test_the_unit_of_time_changes_alpha_alone(cdnow: Any, family: str, estimation: str) -> None:
    days, weeks = (_fit(family, cdnow.triples, unit, estimation) for unit in ("day", "week"))
    assert {**days.parameters, "alpha": days.parameters["alpha"] / 7} == pytest.approx(dict(weeks.parameters), rel=1e-9)
    np.testing.assert_allclose(days.covariance, weeks.covariance)


@pytest.mark.parametrize("factor", [1e9, 1e-3])
def test_the_currency_changes_v_alone(cdnow: Any, factor: float) -> None:
    mean = cdnow.spends["mean_revenue"]
    here, there = (btyd_fit.fit_gamma_gamma(cdnow.spends.assign(mean_revenue=mean * f), 35.0 * f) for f in (1.0, factor))
    assert {**there.parameters, "v": there.parameters["v"] / factor} == pytest.approx(dict(here.parameters), rel=1e-6)
    assert there.level == pytest.approx(here.level * factor, rel=1e-6)


def test_the_order_of_rows_changes_nothing(cdnow: Any) -> None:
    fits = [_fit("mbg_nbd", rows) for rows in (cdnow.triples, cdnow.triples.sample(frac=1, random_state=1))]
    assert dict(fits[0].parameters) == pytest.approx(dict(fits[1].parameters), rel=1e-6)


def test_weak_priors_hardly_move_a_large_base(cdnow: Any) -> None:
    by_likelihood, with_priors = (_fit("mbg_nbd", cdnow.triples, "week", how) for how in ("ml", "map"))
    assert dict(with_priors.parameters) == pytest.approx(dict(by_likelihood.parameters), rel=0.02)
    assert with_priors.log_likelihood <= by_likelihood.log_likelihood + 1e-9


@pytest.mark.parametrize("family", PUBLISHED)
def test_priors_keep_small_bases_off_the_bounds(cdnow: Any, family: str) -> None:
    rng = np.random.default_rng(60)
    chances = (cdnow.triples["n"] / cdnow.triples["n"].sum()).to_numpy()
    for _ in range(20):
        fit = _fit(family, cdnow.triples.assign(n=rng.multinomial(30, chances)).query("n > 0"))
        assert fit.at_bound == ()
        assert fit.converged


def test_no_direction_is_less_certain_than_the_cap() -> None:
    nobody_leaves = pd.DataFrame({"x": [10, 12], "t_x": [360, 350], "T": [365, 365], "n": [5, 5]})
    fit = _fit("mbg_nbd", nobody_leaves, "day", "ml")
    assert fit.at_bound
    assert np.linalg.eigvalsh(fit.covariance).max() <= btyd_fit.MAX_SD**2 * (1 + 1e-9)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "no client with a purchase"),
        ([(0, 0, 100, 40)], "no client bought more than once"),
        ([(0, 0, 0, 40)], "no client bought more than once"),
    ],
)
@pytest.mark.parametrize("family", PUBLISHED)
def test_histories_that_hold_nothing_are_refused_with_the_reason(family: Any, rows: list[Any], reason: str) -> None:
    fit = btyd_fit.fit_purchases(family, pd.DataFrame(rows, columns=["x", "t_x", "T", "n"]))
    assert isinstance(fit, NoFit)
    assert reason in fit.reason


@pytest.mark.parametrize(
    ("means", "reason"),
    [([100.0] * 40, "the same amount"), ([50.0, 60.0], "too few"), ([-5.0] * 40, "too few")],
)
def test_amounts_without_a_model_fall_back_to_means(means: list[float], reason: str) -> None:
    spends = pd.DataFrame({"x": 3, "mean_margin": means, "n": 1})
    fit = btyd_fit.fit_gamma_gamma(spends, 80.0)
    assert fit.family == "mean"
    assert reason in fit.reason
    assert (fit.level, fit.weight) == (80.0, 1.0)


def test_amounts_without_a_finite_mean_fall_back_to_means() -> None:
    heavy = np.exp(np.linspace(0, 25, 60) ** 1.1)
    fit = btyd_fit.fit_gamma_gamma(pd.DataFrame({"x": 5, "mean_margin": heavy, "n": 1}), 100.0, "ml")
    assert fit.family == "mean"
    assert "not finite" in fit.reason


def test_the_input_is_untouched(cdnow: Any) -> None:
    before = cdnow.triples.copy()
    _fit("mbg_nbd", cdnow.triples)
    pd.testing.assert_frame_equal(cdnow.triples, before)


def test_the_priors_are_said_in_words() -> None:
    assert btyd_fit.prior_statement("nbd") == "log r ~ N(0, 1.5²), log alpha ~ N(0, 2²)"
    assert "log q ~ N(1, 1²)" in btyd_fit.prior_statement("gamma_gamma")
