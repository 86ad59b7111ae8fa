import numpy as np
import pytest

from crm_methods.models import durations


def test_open_cases_lengthen_the_median_time():
    times, clients = [1.0, 2, 3, 4, 5, 6], list("abcdef")
    closed = durations.median_time(times, [True] * 6, clients, seed=1)
    some_open = durations.median_time(times, [True, False, True, False, True, True], clients, seed=1)
    assert closed.median == 3
    # 5/6, then 5/6·3/4 = .625, then .625·1/2 = .3125 at the fifth hour.
    assert some_open.median == 5
    assert some_open.low <= some_open.median
    never = durations.median_time(times, [True] + [False] * 5, clients, seed=1)
    assert never.median is None
    assert never.high is None


def test_the_curve_counts_the_open_ones_as_far_as_they_got():
    curve = durations.survival_curve([1, 2, 3, 4, 5, 6], [1, 0, 1, 0, 1, 1])
    assert curve["open_share"].tolist() == pytest.approx([5 / 6, 0.625, 0.3125, 0], abs=1e-9)
    assert curve["at_risk"].tolist() == [6, 4, 2, 1]


def test_the_fast_median_of_the_bootstrap_is_the_medians_own():
    rng = np.random.default_rng(5)
    times = np.sort(rng.exponential(10, 200).round(0))
    events = rng.random(200) < 0.6
    fast = durations._weighted_median(times, events, np.ones(200, dtype=int))
    assert fast == durations.median_time(times, events, np.arange(200), seed=1, bootstraps=2).median
    doubled = durations._weighted_median(np.repeat(times, 2), np.repeat(events, 2), np.ones(400, dtype=int))
    assert doubled == durations._weighted_median(times, events, np.full(200, 2))


def test_no_ended_case_and_a_single_client_are_not_enough():
    assert "no case" in durations.median_time([1.0, 2], [False, False], ["a", "b"], seed=1).note
    alone = durations.median_time([1.0, 2], [True, True], ["a", "a"], seed=1)
    assert alone.median == 1
    assert alone.low is None
    assert "not enough" in alone.note
    assert durations.median_time([], [], [], seed=1).median is None
