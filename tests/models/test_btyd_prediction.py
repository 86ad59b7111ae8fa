"""Predictions: published spot values, lifetimes' closed forms, and where those break."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest

from crm_methods.models import btyd_prediction as prediction
from crm_methods.models.btyd_fit import PurchaseFit
from tests.models.populations import purchase_fit


def a_fit(family: Literal["bg_nbd", "mbg_nbd", "nbd", "naive", "pareto_nbd"], **parameters: float) -> PurchaseFit:
    return purchase_fit(family, parameters, time_unit="week")


PAPER = a_fit("bg_nbd", r=0.2426, alpha=4.4136, a=0.7929, b=2.4259)


def test_conditional_expectation_is_the_published_one() -> None:
    expected = prediction.expected_purchases(PAPER, [2], [30.43 * 7], [38.86 * 7], 39 * 7)
    assert expected == pytest.approx([1.226], abs=5e-4)


@pytest.mark.parametrize(
    ("weeks", "published"),
    [(0.1429, 0.0078), (1, 0.0532), (3, 0.1506), (31.8571, 1.0405), (32, 1.0437), (78, 1.8576)],
)
def test_a_new_client_buys_as_published(weeks: float, published: float) -> None:
    # Parameters of four digits leave 1e-4 open; at 78 weeks lifetimes (next test) and we are .0004 above the print.
    tolerance = 1e-4 if weeks < 78 else 5e-4
    assert prediction.expected_purchases(PAPER, [0], [0], [0], weeks * 7) == pytest.approx([published], abs=tolerance)


@pytest.mark.parametrize("weeks", [0.1429, 32, 78])
def test_a_new_client_buys_as_lifetimes_says(weeks: float) -> None:
    from lifetimes import BetaGeoFitter

    theirs = BetaGeoFitter()
    theirs.params_ = pd.Series(PAPER.parameters)
    expected = theirs.expected_number_of_purchases_up_to_time(weeks)
    assert prediction.expected_purchases(PAPER, [0], [0], [0], weeks * 7) == pytest.approx([expected], rel=1e-9)


@pytest.mark.parametrize(("family", "published"), [("bg_nbd", 0.81), ("mbg_nbd", 0.45)])
def test_mean_probability_alive_is_the_published_one(cdnow: Any, family: Any, published: float) -> None:
    from crm_methods.models.btyd_fit import fit_purchases

    fit = fit_purchases(family, cdnow.triples, "week", "ml")
    assert isinstance(fit, PurchaseFit)
    alive = prediction.probability_alive(fit, cdnow.triples["x"], cdnow.triples["t_x"], cdnow.triples["T"])
    assert np.average(alive, weights=cdnow.triples["n"]) == pytest.approx(published, abs=0.005)


@pytest.mark.parametrize("horizon_weeks", [1, 39, 156])
@pytest.mark.parametrize("family", ["bg_nbd", "mbg_nbd"])
def test_quadrature_equals_the_closed_form(cdnow: Any, family: Any, horizon_weeks: int) -> None:
    from lifetimes import BetaGeoFitter, ModifiedBetaGeoFitter

    parameters = {"r": 0.5248, "alpha": 6.1831, "a": 0.8914, "b": 1.614}
    theirs = (BetaGeoFitter if family == "bg_nbd" else ModifiedBetaGeoFitter)()
    theirs.params_ = pd.Series(parameters)
    x, t_x, age = (cdnow.triples[name].to_numpy(dtype=float) for name in ("x", "t_x", "T"))
    closed = theirs.conditional_expected_number_of_purchases_up_to_time(horizon_weeks, x, t_x / 7, age / 7)
    ours = prediction.expected_purchases(a_fit(family, **parameters), x, t_x, age, horizon_weeks * 7)
    np.testing.assert_allclose(ours, closed, rtol=1e-9)
    alive = theirs.conditional_probability_alive(x, t_x / 7, age / 7)
    np.testing.assert_allclose(prediction.probability_alive(a_fit(family, **parameters), x, t_x, age), alive, rtol=1e-12)


@pytest.mark.parametrize("family", ["bg_nbd", "mbg_nbd"])
@pytest.mark.parametrize(
    ("a", "b"), [(1.0, 2.4), (1 + 1e-9, 2.4), (1e-8, 2.4), (0.8, 1e9), (1e-8, 1e9), (50.0, 1e-6), (1e5, 1e5)]
)
@pytest.mark.parametrize("horizon_days", [1.0, 1000.0, 100_000.0])
def test_predictions_are_finite_where_closed_forms_break(family: Any, a: float, b: float, horizon_days: float) -> None:
    x, t_x, age = [0, 1, 200, 100_000], [0, 0, 360, 364], [0, 1, 364, 364]
    ahead = prediction.forecast(a_fit(family, r=0.2, alpha=4.0, a=a, b=b), x, t_x, age, [horizon_days])
    assert np.isfinite(ahead.purchases).all()
    assert (ahead.purchases >= 0).all()
    assert ((ahead.alive >= 0) & (ahead.alive <= 1 + 1e-12)).all()


@pytest.mark.parametrize("family", ["bg_nbd", "mbg_nbd"])
def test_expectation_has_no_jump_at_a_equal_one(family: Any) -> None:
    near, at, beyond = (
        prediction.expected_purchases(a_fit(family, r=0.5, alpha=6.0, a=a, b=2.0), [3], [100], [200], 365)
        for a in (1 - 1e-6, 1.0, 1 + 1e-6)
    )
    assert (near[0] + beyond[0]) / 2 == pytest.approx(at[0], rel=1e-10)


def test_expectation_equals_simulation() -> None:
    rng, size = np.random.default_rng(11), 400_000
    r, alpha, a, b, x, age, ahead = 0.7, 5.0, 1.3, 3.0, 4, 40.0, 52.0
    rate, leaves = rng.gamma(r + x, size=size) / (alpha + age), rng.beta(a, b + x + 1, size=size)
    bought = np.minimum(rng.poisson(rate * ahead), rng.geometric(leaves))
    fit = a_fit("mbg_nbd", r=r, alpha=alpha, a=a, b=b)
    alive = prediction.probability_alive(fit, [x], [30.0 * 7], [age * 7])[0]
    expected = prediction.expected_purchases(fit, [x], [30.0 * 7], [age * 7], ahead * 7)[0]
    # Four standard errors of the simulated mean.
    assert expected / alive == pytest.approx(bought.mean(), abs=4 * bought.std() / np.sqrt(size))


def test_longer_horizons_bring_more_purchases_and_fewer_survivors() -> None:
    horizons = np.linspace(10, 3000, 30)
    ahead = prediction.forecast(PAPER, [0, 2, 9], [0, 100, 300], [50, 200, 300], horizons)
    assert (np.diff(ahead.purchases, axis=1) > 0).all()
    assert (np.diff(ahead.alive, axis=1) < 0).all()


def test_one_time_buyers_are_alive_by_construction_under_bg_nbd_only() -> None:
    assert prediction.probability_alive(PAPER, [0], [0], [3000]) == pytest.approx([1.0])
    mbg = a_fit("mbg_nbd", **PAPER.parameters)
    assert prediction.probability_alive(mbg, [0], [0], [3000])[0] < 0.6


def test_baselines_go_on_for_ever() -> None:
    naive = prediction.forecast(a_fit("naive"), [4, 0], [70, 0], [100, 0], [50.0])
    assert naive.purchases.tolist() == [[2.0], [0.0]]
    assert np.isnan(naive.alive).all()
    nbd = prediction.forecast(a_fit("nbd", r=1.0, alpha=10.0), [4], [70], [70], [7.0])
    assert nbd.purchases == pytest.approx(np.array([[5 / 20]]))


def test_families_predicted_elsewhere_are_refused() -> None:
    with pytest.raises(ValueError, match="pareto_nbd is not predicted here"):
        prediction.expected_purchases(a_fit("pareto_nbd", r=1, alpha=1, s=1, beta=1), [1], [1], [1], 1)
