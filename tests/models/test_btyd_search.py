"""The search: where it comes to rest, what it says of it, and that priors pull."""

from __future__ import annotations

import numpy as np
import pytest

from crm_methods.models.btyd_likelihood import Floats
from crm_methods.models.btyd_search import MAX_SD, PRIORS, optimise


def a_parabola(top: float, curvature: float) -> object:
    """A log-likelihood of log r and log alpha with its top at (``top``, 0)."""
    middle = np.array([top, 0.0])

    def likelihood(theta: Floats) -> tuple[float, Floats]:
        return -0.5 * curvature * float((theta - middle) @ (theta - middle)), -curvature * (theta - middle)

    return likelihood


def test_the_top_and_its_curvature_are_found() -> None:
    found = optimise(a_parabola(1.0, 50.0), ("r", "alpha"), 1.0, "ml")  # type: ignore[arg-type]
    assert found.log_theta == pytest.approx([1.0, 0.0], abs=1e-6)
    assert found.converged
    assert found.at_bound == ()
    np.testing.assert_allclose(found.covariance, np.eye(2) / 50, atol=1e-9)
    assert found.log_likelihood == pytest.approx(0.0, abs=1e-9)


def test_a_top_beyond_the_bounds_is_named() -> None:
    found = optimise(a_parabola(40.0, 1.0), ("r", "alpha"), 1.0, "ml")  # type: ignore[arg-type]
    assert found.at_bound == ("r",)


def test_priors_pull_towards_their_centre_as_far_as_they_are_sure() -> None:
    (centre, sd), top, curvature = PRIORS["r"], 4.0, 2.0
    found = optimise(a_parabola(top, curvature), ("r", "alpha"), 1.0, "map")  # type: ignore[arg-type]
    expected = (curvature * top + centre / sd**2) / (curvature + 1 / sd**2)
    assert found.log_theta[0] == pytest.approx(expected, abs=1e-6)
    assert found.log_posterior < found.log_likelihood


def test_a_rough_search_ends_at_the_same_place_without_a_covariance() -> None:
    start = np.array([0.8, 0.1])
    found = optimise(a_parabola(1.0, 50.0), ("r", "alpha"), 1.0, "ml", start, roughly=True)  # type: ignore[arg-type]
    assert found.log_theta == pytest.approx([1.0, 0.0], abs=1e-3)
    np.testing.assert_array_equal(found.covariance, np.eye(2) * MAX_SD**2)
