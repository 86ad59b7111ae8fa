"""sBG: Fader & Hardie's published figures, the laws of its forecasts, and bases that determine nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import betaln

from crm_methods.models import contract_retention as sbg
from crm_methods.models.durations import survival_curve

# Fader & Hardie (2007): survivors of 1,000 customers in % after 0, 1, … 7 years, and their estimates.
REGULAR = ([100, 63.1, 46.8, 38.2, 32.6, 28.9, 26.2, 24.1], 0.704, 1.182, -1680.3)
HIGH_END = ([100, 86.9, 74.3, 65.3, 59.3, 55.1, 51.7, 49.1], 0.668, 3.806, -1611.2)


def _histories(survivors: list[float]) -> tuple[np.ndarray, np.ndarray]:
    left = np.round(np.array(survivors) * 10).astype(int)
    return np.repeat(np.arange(1, len(left)), -np.diff(left)), np.full(left[-1], len(left) - 1)


def _rows(**columns: Any) -> pd.DataFrame:
    usual = {"survived": 0, "months_to_renewal": 12.0, "months_to_start": 0.0, "term_months": 12.0}
    return pd.DataFrame({**usual, "running": True, "renewable": True, **columns}, index=range(len(columns["survived"])))


@pytest.fixture(scope="module")
def regular() -> sbg.ContractFit:
    return sbg.fit_contracts(*_histories(REGULAR[0]), "ml")


@pytest.mark.parametrize(("survivors", "alpha", "beta", "likelihood"), [REGULAR, HIGH_END], ids=["regular", "high end"])
def test_maximum_likelihood_gives_the_published_parameters(survivors: list[float], alpha: float, beta: float, likelihood: float):
    fit = sbg.fit_contracts(*_histories(survivors), "ml")

    assert (fit.alpha, fit.beta) == pytest.approx((alpha, beta), abs=0.0005)
    assert fit.log_likelihood == pytest.approx(likelihood, abs=0.05)
    assert (fit.contracts, fit.oldest, fit.estimation, fit.reason) == (1_000, 7, "ml", "")


def test_weak_priors_move_a_large_base_hardly():
    by_map = sbg.fit_contracts(*_histories(REGULAR[0]))

    assert (by_map.alpha, by_map.beta) == pytest.approx(REGULAR[1:3], rel=0.02)


@pytest.mark.parametrize(("alpha", "beta"), [(0.7, 1.2), (1e-4, 50.0), (1e4, 1e4)])
def test_the_likelihood_is_the_papers_and_its_gradient_its_slope(alpha: float, beta: float):
    counts, theta = sbg.renewal_counts([1, 1, 3, 4], [0, 2, 5]), np.log([alpha, beta])
    value, gradient = sbg.log_likelihood(theta, counts)
    ended = [betaln(alpha + 1, beta + t - 1) - betaln(alpha, beta) for t in (1, 1, 3, 4)]
    alive = [betaln(alpha, beta + t) - betaln(alpha, beta) for t in (0, 2, 5)]
    steps = np.eye(2) * 1e-5
    slope = [(sbg.log_likelihood(theta + s, counts)[0] - sbg.log_likelihood(theta - s, counts)[0]) / 2e-5 for s in steps]

    assert value == pytest.approx(sum(ended) + sum(alive), rel=1e-6)
    assert gradient == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_huge_parameters_are_the_geometric_distribution():
    value, gradient = sbg.log_likelihood(np.log([2e12, 8e12]), sbg.renewal_counts([2], [3]))

    assert value == pytest.approx(np.log(0.2) + 4 * np.log(0.8))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("ended_at", "survived"),
    [([], []), ([], [0, 0, 0]), ([], [1] * 10), ([], [5] * 100), ([1] * 50, []), ([1, 1, 2], []), ([1], [])],
    ids=["none", "none faced a renewal", "nobody left", "nobody left in years", "all left at once", "three", "one"],
)
@pytest.mark.parametrize("estimation", ["ml", "map"])
def test_a_base_that_determines_nothing_still_has_a_finite_answer(ended_at: list[int], survived: list[int], estimation: Any):
    fit = sbg.fit_contracts(ended_at, survived, estimation)
    renewed = sbg.retention(fit, [1, 2, 5])

    assert ((renewed > 0) & (renewed < 1)).all()
    assert np.isfinite([fit.alpha, fit.beta, fit.log_likelihood, *fit.covariance.ravel()]).all()
    assert fit.estimation == "map"
    assert bool(fit.reason) is (estimation == "ml")


def test_survival_is_the_product_of_retentions_whatever_the_age(regular: sbg.ContractFit):
    whole = sbg.survival(regular, 9)[0]

    assert whole == pytest.approx(np.r_[1.0, np.cumprod(sbg.retention(regular, range(1, 10)))])
    assert sbg.survival(regular, 4, [5])[0] == pytest.approx(whole[5:] / whole[5])
    assert np.diff(sbg.retention(regular, range(1, 10))).min() > 0
    assert sbg.median_renewal(regular) == int(np.flatnonzero(whole <= 0.5)[0])


def test_counted_renewals_multiply_to_kaplan_and_meiers_curve():
    counts = sbg.renewal_counts([1, 1, 2, 4], [0, 1, 3, 3])
    curve = survival_curve([1, 1, 2, 4, 1, 3, 3], [1, 1, 1, 1, 0, 0, 0])
    stays = (1 - counts["ended"] / counts["at_risk"]).cumprod().set_axis(counts["renewal"])

    assert stays.loc[[1, 2, 4]].to_list() == pytest.approx(curve.set_index("duration")["open_share"].loc[[1, 2, 4]].to_list())


def test_a_term_under_way_is_sure_and_later_ones_are_renewed_by_age(regular: sbg.ContractFit):
    rows = _rows(survived=[2, 2, 2, 2, 2], months_to_renewal=[5.0, 5.0, 0.0, 20.0, 40.0])
    rows = rows.assign(running=[True, True, False, True, True], renewable=[True, False, True, True, True])
    rows.loc[3, "months_to_start"] = 8.0
    third, fourth = sbg.retention(regular, [3, 4])

    found = sbg.expected_months(regular, rows, 24, 0.0)

    assert found == pytest.approx([5 + 12 * third + 7 * third * fourth, 5, 0, 12 + 4 * third, 24])
    assert sbg.expected_months(regular, rows.iloc[[1]], 24, 0.01)[0] == pytest.approx(sum(1.01**-t for t in range(1, 6)))


def test_residual_lifetimes_of_high_end_are_the_published_ones():
    # After seven years, yearly payments at 10 %, the next one undiscounted: 7.53 (as other implementations have it).
    fit = sbg.fit_contracts(*_histories(HIGH_END[0]), "ml")
    rows = _rows(survived=[7], months_to_renewal=0.0, term_months=1.0)

    assert 1.1 * sbg.expected_months(fit, rows, 2_000, 0.10)[0] == pytest.approx(7.530, abs=0.001)


def test_simulated_futures_scatter_around_the_expectation(regular: sbg.ContractFit):
    rows = _rows(survived=[0, 1, 4], months_to_renewal=[3.5, 11.0, 0.0]).loc[np.repeat([0, 1, 2], 20_000)]
    rng = np.random.default_rng(5)

    months = sbg.simulate_contracts(regular, rows, 36, 0.008, rng).reshape(3, -1)

    # Four standard errors of a mean of 20,000.
    expected = sbg.expected_months(regular, rows.iloc[::20_000], 36, 0.008)
    assert np.abs(months.mean(axis=1) - expected).max() < 4 * months.std(axis=1).max() / np.sqrt(20_000)


def test_intervals_narrow_with_the_base_and_hold_the_estimate():
    few, many = (sbg.fit_contracts([1, 2] * n, [3] * (6 * n)) for n in (3, 300))
    spans = [sbg.retention_intervals(fit, [1, 3], np.random.default_rng(1), 200) for fit in (few, many)]

    assert (spans[0][1] - spans[0][0] > 3 * (spans[1][1] - spans[1][0])).all()
    for fit, (low, high) in zip((few, many), spans):
        assert ((low < sbg.retention(fit, [1, 3])) & (sbg.retention(fit, [1, 3]) < high)).all()
