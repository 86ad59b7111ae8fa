import numpy as np
import pytest
from scipy.stats import binomtest

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


def test_under_five_clients_there_is_no_interval_and_it_is_said():
    times, clients = np.arange(1.0, 41), np.repeat(list("abcd"), 10)
    four = durations.median_time(times, np.ones(40), clients, seed=1)
    assert four.median == 20
    assert four.low is None
    assert four.high is None
    assert "5 clients" in four.note
    five = durations.median_time(times, np.ones(40), np.repeat(list("abcde"), 8), seed=1)
    assert five.low < five.median < five.high
    assert five.note == ""


@pytest.mark.parametrize(("groups", "share"), [(5, 0.90), (10, 0.95)])
def test_the_interval_of_few_clients_holds_the_median(groups: int, share: float):
    """120 bases (seed 3), 8 cases a client; the exact 99% interval of the share that holds the truth reaches 95%,
    of five clients 90%: so few have no draw that lies far enough out."""
    rng, held = np.random.default_rng(3), 0
    clients = np.repeat(np.arange(groups), 8)
    for run in range(120):
        times = np.exp(rng.normal(0, 0.7, groups)[clients] + rng.normal(0, 0.7, groups * 8))
        found = durations.median_time(times, np.ones(groups * 8), clients, seed=run)
        held += found.low <= 1 <= found.high
    assert binomtest(held, 120).proportion_ci(0.99).high >= share


def test_draws_in_chunks_are_the_draws_at_once(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(2)
    case = (rng.exponential(5, 300), rng.random(300) < 0.8, rng.integers(0, 60, 300))
    whole = durations.median_time(*case, seed=4)
    monkeypatch.setattr(durations, "_DRAWN_AT_ONCE", 60 * 7)
    parts = durations.median_time(*case, seed=4)
    assert (whole.low, whole.high) == (parts.low, parts.high)
