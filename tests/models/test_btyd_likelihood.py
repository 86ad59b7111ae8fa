"""The likelihoods: lifetimes' values at random points, and gradients by finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from crm_methods.models import btyd_likelihood as likelihood
from crm_methods.models.btyd_fit import histories

POINTS = np.random.default_rng(20051).uniform(-2.0, 2.5, size=(10, 4))


def _theirs(family: str) -> Callable[..., Any]:
    from lifetimes import BetaGeoFitter, GammaGammaFitter, ModifiedBetaGeoFitter

    fitters = {"bg_nbd": BetaGeoFitter, "mbg_nbd": ModifiedBetaGeoFitter, "gamma_gamma": GammaGammaFitter}
    return fitters[family]._negative_log_likelihood  # type: ignore[no-any-return]


def _assert_gradient(function: Callable[[Any], tuple[float, Any]], point: Any) -> None:
    numeric = approx_fprime(point, lambda theta: function(theta)[0], 1e-7)
    analytic = function(point)[1]
    # Forward differences of a sum near 1e4 hold about six digits of it.
    np.testing.assert_allclose(analytic, numeric, rtol=2e-4, atol=2e-4 * np.abs(analytic).max() + 0.05)


@pytest.mark.parametrize("family", ["bg_nbd", "mbg_nbd"])
@pytest.mark.parametrize("point", POINTS, ids=range(10))
def test_purchase_likelihood_equals_lifetimes_anywhere(cdnow: Any, family: str, point: Any) -> None:
    data = histories(cdnow.triples)
    function, _ = likelihood.PURCHASE_LIKELIHOODS[family]
    theirs = -_theirs(family)(point, data.x, data.t_x, data.T, data.n, 0.0) * data.n.sum()
    assert function(point, data)[0] == pytest.approx(float(theirs), rel=1e-11)


@pytest.mark.parametrize("point", POINTS, ids=range(10))
def test_spend_likelihood_equals_lifetimes_anywhere(cdnow: Any, point: Any) -> None:
    x, mean, n = (cdnow.spends[name].to_numpy(dtype=float) for name in ("x", "mean_revenue", "n"))
    theirs = -_theirs("gamma_gamma")(point[:3], x, mean, n, 0.0) * n.sum()
    assert likelihood.gamma_gamma(point[:3], likelihood.Spends(x, mean, n))[0] == pytest.approx(float(theirs), rel=1e-11)


@pytest.mark.parametrize("family", ["bg_nbd", "mbg_nbd", "nbd"])
@pytest.mark.parametrize("point", POINTS, ids=range(10))
def test_purchase_gradient_is_the_slope(cdnow: Any, family: str, point: Any) -> None:
    data = histories(cdnow.triples)
    function, names = likelihood.PURCHASE_LIKELIHOODS[family]
    _assert_gradient(lambda theta: function(theta, data), point[: len(names)])


@pytest.mark.parametrize("point", POINTS, ids=range(10))
def test_spend_gradient_is_the_slope(cdnow: Any, point: Any) -> None:
    spends = likelihood.Spends(*(cdnow.spends[name].to_numpy(dtype=float) for name in ("x", "mean_revenue", "n")))
    _assert_gradient(lambda theta: likelihood.gamma_gamma(theta, spends), point[:3])


@pytest.mark.parametrize("family", ["bg_nbd", "mbg_nbd", "nbd"])
def test_counts_weigh_like_repeated_rows(family: str) -> None:
    function, names = likelihood.PURCHASE_LIKELIHOODS[family]
    theta = np.array([0.1, 2.0, -0.4, 0.8])[: len(names)]
    x, t_x, age = np.array([0.0, 3.0]), np.array([0.0, 40.0]), np.array([50.0, 60.0])
    counted = function(theta, likelihood.Histories(x, t_x, age, np.array([2.0, 3.0])))
    rows = [values.repeat([2, 3]) for values in (x, t_x, age)]
    repeated = function(theta, likelihood.Histories(*rows, np.ones(5)))
    assert counted[0] == pytest.approx(repeated[0], rel=1e-14)
    np.testing.assert_allclose(counted[1], repeated[1], rtol=1e-12)


@pytest.mark.parametrize("family", ["bg_nbd", "mbg_nbd", "nbd"])
@pytest.mark.parametrize("corner", [(-8, -14, -10, -10), (8, 14, 10, 10), (8, -14, -10, 10), (-8, 14, 10, -10)])
def test_likelihood_is_finite_in_every_corner(family: str, corner: tuple[float, ...]) -> None:
    function, names = likelihood.PURCHASE_LIKELIHOODS[family]
    data = likelihood.Histories(np.array([0.0, 1.0, 1e5]), np.array([0.0, 9.0, 999.0]), np.array([0.0, 9.0, 1000.0]), np.ones(3))
    value, gradient = function(np.array(corner[: len(names)], dtype=float), data)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
