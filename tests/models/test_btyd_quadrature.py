"""Gauss quadrature for the beta distribution."""

from __future__ import annotations

import numpy as np
import pytest

from crm_methods.models.btyd_quadrature import beta_quadrature, enough_nodes


def test_quadrature_integrates_moments_of_the_beta_distribution() -> None:
    points, weights = beta_quadrature(0.7, [1.5, 300.0, 1e9], 16)
    for row, b in enumerate((1.5, 300.0, 1e9)):
        for power in (0, 1, 2, 5, 20):
            expected = np.prod([(0.7 + k) / (0.7 + b + k) for k in range(power)])
            assert weights[row] @ points[row] ** power == pytest.approx(expected, rel=1e-9)


def test_every_client_with_a_horizon_is_in_one_group_and_further_horizons_have_more_nodes() -> None:
    groups = [(nodes, rows.tolist()) for nodes, rows in enough_nodes(np.array([0.5, 100.0, 2.0, 0.0])) if len(rows)]
    assert groups == [(16, [0]), (32, [2]), (256, [1])]
