from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from crm_methods.models.rank_correlation import rank_correlation


def test_the_correlation_is_scipys_whatever_the_scale():
    x, y = np.array([3.0, 1, 4, 1, 5, 9, 2, 6, np.nan]), np.array([2.0, 7, 1, 8, 2, 8, 1, 8, 5])
    found = rank_correlation(x, y)

    assert found is not None
    assert found.rho == pytest.approx(stats.spearmanr(x[:8], y[:8]).statistic)
    assert found.pairs == 8
    assert not found.is_clear
    scaled = rank_correlation(x * 1e9, np.exp(y))
    assert scaled is not None
    assert scaled.rho == pytest.approx(found.rho)


def test_the_interval_holds_the_truth_in_95_of_100_samples():
    # ρ of ranks is 6/π·asin(r/2) for normal pairs; of 400 samples at least 366 hold it in 99.9 % of cases.
    random, r = np.random.default_rng(7), 0.6
    truth, held = 6 / np.pi * np.arcsin(r / 2), 0
    for _ in range(400):
        x = random.standard_normal(60)
        found = rank_correlation(x, r * x + np.sqrt(1 - r * r) * random.standard_normal(60))
        assert found is not None
        held += found.low <= truth <= found.high
    assert held >= 366


@pytest.mark.parametrize("x", [[1.0, 2, 3], [1.0] * 9, []])
def test_too_few_pairs_or_no_variation_have_no_correlation(x: list[float]):
    assert rank_correlation(x, list(range(len(x)))) is None


def test_a_perfect_correlation_has_a_finite_interval():
    found = rank_correlation(range(9), range(9))

    assert found is not None
    assert 0.9 < found.low <= found.high <= 1
