"""Periods drawn anew and swapped part by part: sums that are kept, and a p-value that Fisher published."""

from __future__ import annotations

import numpy as np
import pytest

from crm_methods.models.period_resampling import (
    all_swaps,
    coin_sums,
    drawn_periods,
    rarely_as_large,
    share_as_large,
    swapped_sums,
)

DARWIN = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48], dtype=float)
"""Crossed less self-fertilised maize in eighths of an inch, pair by pair (Fisher 1935, chapter 3)."""


def test_darwins_maize_has_fishers_p_value():
    crossed, selfed = swapped_sums(DARWIN[None, :], np.zeros((1, 15)), all_swaps(15))

    assert crossed.shape == (1, 2**15)
    assert share_as_large(np.abs(crossed - selfed))[0] == pytest.approx(1_726 / 32_768)


def test_every_way_of_swapping_keeps_the_sum_of_both_periods_and_the_first_swaps_nothing():
    rng = np.random.default_rng(1)
    now, before = rng.lognormal(2, 1, (5, 12)), rng.lognormal(2, 1, (5, 12))
    swaps = all_swaps()
    swapped = swapped_sums(now, before, swaps)

    assert len(np.unique(swaps, axis=0)) == 4_096
    assert np.allclose(sum(swapped), (now + before).sum(axis=1)[:, None])
    assert np.allclose(swapped[0][:, 0], now.sum(axis=1))
    assert np.allclose(swapped[0][:, -1], before.sum(axis=1))


def test_what_sums_to_nothing_is_nothing():
    now = np.array([[0.1, 0.2, -0.3, 0.0]])

    assert swapped_sums(now, np.zeros((1, 4)), all_swaps(4))[0][0, 0] == 0.0


def test_a_coin_swaps_a_part_of_revenue_and_of_cost_together():
    rng = np.random.default_rng(2)
    now, before = rng.normal(size=(50, 12)), rng.normal(size=(50, 12))
    (first, second), (first_before, _) = coin_sums((now, 2 * now), (before, 2 * before), rng)

    assert np.allclose(second, 2 * first)
    assert np.allclose(first + first_before, (now + before).sum(axis=1))


def test_a_client_that_buys_alike_in_every_part_has_the_same_period_in_every_draw():
    steady, varied = np.full((1, 12), 7.0), np.arange(12.0)[None, :]
    parts = np.vstack([steady, varied])
    sums = np.array([drawn[0] for drawn in drawn_periods((parts,), 400, np.random.default_rng(3))])

    assert set(sums[:, 0]) == {84.0}
    # 12 draws from 0 … 11: variance 12 · 143/12 = 143; four standard errors of a standard deviation from 400 draws.
    assert sums[:, 1].std() == pytest.approx(np.sqrt(143), rel=4 / np.sqrt(800))


@pytest.mark.parametrize("level", [0.05, 0.025, 0.3])
def test_rare_ways_are_those_whose_own_p_value_is_small(level: float):
    rng = np.random.default_rng(4)
    sizes = np.abs(rng.integers(-6, 7, size=(20, 64))).astype(float)
    p_values = (sizes[:, None, :] >= sizes[:, :, None]).mean(axis=2)

    assert (rarely_as_large(sizes, level) == (p_values <= level)).all()
