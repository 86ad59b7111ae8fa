"""Drift: laws of the index and of the clustered test, and how often the whole table of a run raises an alarm."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from crm_methods.models import drift
from crm_methods.models.drift import BinCounts, Shift

ALARMS = {"red", "amber"}
BINS = 10


def _single(*rows: int) -> BinCounts:
    """Every row of a client of its own."""
    return BinCounts.of(np.repeat(np.eye(len(rows)), rows, axis=0))


def test_the_index_is_the_sum_by_hand():
    then, now = np.array([0.4, 0.6]) * 1e6, np.array([0.5, 0.5]) * 1e6

    by_hand = 0.1 * np.log(0.5 / 0.4) - 0.1 * np.log(0.5 / 0.6)
    assert drift.population_stability_index(then, now) == pytest.approx(by_hand, abs=1e-6)


def test_the_index_is_symmetric_and_0_for_the_same_and_finite_for_an_empty_bin():
    then, now = [30, 50, 20], [10, 90, 0]

    assert drift.population_stability_index(then, now) == pytest.approx(drift.population_stability_index(now, then))
    assert drift.population_stability_index(then, then) == 0
    assert 0 < drift.population_stability_index(then, now) < np.inf


def test_one_row_per_client_is_pearsons_test():
    then, now = (400, 700, 900), (440, 710, 850)

    shift = drift.compare(_single(*then), _single(*now))
    assert shift.p_value == pytest.approx(stats.chi2_contingency([then, now]).pvalue, rel=0.05)


def test_where_nothing_changed_the_index_times_its_sample_size_is_chi_square():
    """2,000 pairs of samples of 400 and 200 rows in ten bins, seed 3: mean and 95th percentile within 3 %."""
    rng = np.random.default_rng(3)
    pairs = zip(rng.multinomial(400, [0.1] * BINS, 2000), rng.multinomial(200, [0.1] * BINS, 2000), strict=True)
    scaled = [drift.population_stability_index(then, now) * 400 * 200 / 600 for then, now in pairs]

    assert np.mean(scaled) == pytest.approx(BINS - 1, rel=0.03)
    assert np.quantile(scaled, 0.95) == pytest.approx(stats.chi2.ppf(0.95, BINS - 1), rel=0.03)


def test_writing_every_row_down_ten_times_proves_no_more():
    rng = np.random.default_rng(1)
    then, now = np.eye(4)[rng.integers(0, 4, 300)], np.eye(4)[rng.choice(4, 200, p=[0.35, 0.25, 0.2, 0.2])]
    once = drift.compare(BinCounts.of(then), BinCounts.of(now))
    tenfold = drift.compare(BinCounts.of(10 * then), BinCounts.of(10 * now))

    assert once.p_value is not None
    assert tenfold.p_value is not None
    assert np.log(tenfold.p_value) == pytest.approx(np.log(once.p_value), rel=0.05)
    assert tenfold.size == pytest.approx(once.size, rel=0.01)


def test_the_order_of_categories_changes_nothing():
    rng = np.random.default_rng(2)
    then, now = rng.poisson(1.0, (80, 6)), rng.poisson([1.5, 1.0, 0.5, 1.0, 1.0, 0.1], (80, 6))
    order = rng.permutation(6)

    straight = drift.compare(BinCounts.of(then), BinCounts.of(now))
    shuffled = drift.compare(BinCounts.of(then[:, order]), BinCounts.of(now[:, order]))
    assert straight.size == pytest.approx(shuffled.size)
    assert straight.p_value == pytest.approx(shuffled.p_value)


def test_joined_bins_never_understate_how_alike_a_clients_rows_are():
    table = np.random.default_rng(4).poisson(1.5, (50, 4))
    joined, exact = BinCounts.of(table).merged(1), BinCounts.of(np.c_[table[:, 0], table[:, 1] + table[:, 2], table[:, 3]])

    assert (joined.squared >= exact.squared - 1e-9).all()
    np.testing.assert_allclose(joined.rows, exact.rows)
    np.testing.assert_allclose(joined.crossed, exact.crossed)
    np.testing.assert_allclose(_single(5, 6, 7).merged(0).squared, [11, 7])


def test_one_bin_against_all_others_is_exact():
    table = np.random.default_rng(5).poisson(2.0, (40, 5))
    against, exact = BinCounts.of(table).against(2), BinCounts.of(np.c_[table.sum(axis=1) - table[:, 2], table[:, 2]])

    for name in ("rows", "squared", "crossed"):
        np.testing.assert_allclose(getattr(against, name), getattr(exact, name))


@pytest.mark.parametrize(
    ("then", "now"),
    [
        (_single(500, 500), _single(14, 15)),
        (BinCounts.of(np.full((9, 2), 100)), BinCounts.of(np.full((40, 2), 100))),
        (BinCounts.of([[1000, 1000], *[[1, 1]] * 30]), BinCounts.of(np.full((40, 2), 100))),
        (_single(500, 500), BinCounts.of(np.zeros((0, 2)))),
    ],
    ids=["few rows", "few clients", "one client is nearly all", "none"],
)
def test_below_the_stated_size_there_are_too_few_to_tell(then: BinCounts, now: BinCounts):
    shift = drift.compare(then, now)

    assert (shift.size, shift.p_value) == (None, None)
    assert drift.lights([shift]) == ("too few to tell",)


def test_one_new_client_with_many_rows_is_no_new_distribution():
    usual = [[6, 6, 0]] * 60

    assert drift.lights([drift.compare(BinCounts.of(usual), BinCounts.of([*usual, [0, 0, 90]]))])[0] not in ALARMS


def test_a_column_with_one_value_has_not_changed():
    assert drift.compare(_single(100, 0), _single(80, 0)) == Shift(size=0.0, p_value=1.0, by_chance=0.0)


def test_months_that_vary_anyway_raise_no_alarm_and_a_fall_to_half_does():
    steady, wild = [100, 104, 96, 99, 101, 103, 97, 98], [100, 20, 180, 60, 190, 30, 150, 70]
    shifts = [drift.compare_monthly(months, [50, 48, 51]) for months in (steady, wild)]

    assert drift.lights(shifts) == ("red", "green")
    assert drift.compare_monthly(steady[:5], [50]).p_value is None


def test_a_table_that_loses_half_its_rows_is_red_and_one_that_grows_a_little_is_not():
    assert drift.lights([drift.compare_rows(400, 190), drift.compare_rows(400, 430)]) == ("red", "green")
    assert drift.compare_rows(3, 20).p_value is None


def test_size_without_significance_and_significance_without_size_are_green():
    large, sure = Shift(size=0.5, p_value=0.2, by_chance=0.6), Shift(size=0.05, p_value=1e-9, by_chance=0.01)

    assert drift.lights([large, sure]) == ("green", "green")


def test_quiet_columns_beside_it_never_make_a_light_redder():
    ranks = {"green": 0, "amber": 1, "red": 2}
    shifts = [Shift(size=0.3, p_value=p, by_chance=0.1) for p in (0.001, 0.02, 0.04)]
    alone = drift.lights(shifts)
    among = drift.lights([*shifts, *[Shift(size=0.0, p_value=0.9, by_chance=0.1)] * 40])

    assert all(ranks[there] <= ranks[here] for here, there in zip(alone, among, strict=False))


def _tastes(rng: np.random.Generator, usual: NDArray[np.float64], clients: int, alike: float) -> NDArray[np.float64]:
    """Each client's own distribution; ``alike`` is the correlation of its rows."""
    return rng.dirichlet(usual * (1 - alike) / alike, clients)


def _run(rng: np.random.Generator, clients: int, alike: float, same_clients: bool) -> list[Shift]:
    """A run in which nothing has changed: six columns as categories, six as numbers, and whether they are filled.

    A client has lognormal many rows (σ = 1), a year of them then and a quarter now.
    """
    shifts, size = [], rng.lognormal(1.0, 1.0, clients)
    new_size = size if same_clients else rng.lognormal(1.0, 1.0, clients)
    then_rows, now_rows = rng.poisson(size * 4), rng.poisson(new_size)
    for column in range(12):
        usual = rng.dirichlet(np.full(BINS, 3.0))
        tastes = _tastes(rng, usual, clients, alike)
        new_tastes = tastes if same_clients else _tastes(rng, usual, clients, alike)
        then, now = rng.multinomial(then_rows, tastes), rng.multinomial(now_rows, new_tastes)
        counts = BinCounts.of(then), BinCounts.of(now)
        shifts += [drift.compare(*counts, is_ordered=bool(column % 2)), drift.compare(*(one.against(0) for one in counts))]
    return shifts


@pytest.mark.parametrize("clients", [30, 300])
@pytest.mark.parametrize(("alike", "same_clients"), [(0.02, True), (0.3, False), (0.75, False)])
def test_where_nothing_changed_at_most_one_run_in_twenty_has_an_alarm(clients: int, alike: float, same_clients: bool):
    """100 runs, seed 11, of 24 comparisons each: passes when the exact binomial 99 % interval reaches .05."""
    rng = np.random.default_rng(11)
    alarms = sum(bool(ALARMS & set(drift.lights(_run(rng, clients, alike, same_clients)))) for _ in range(100))

    assert stats.binomtest(alarms, 100).proportion_ci(0.99).low <= 0.05


def _shifted(index: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ten equal bins, and the same tilted until the index is ``index``."""
    even, slope = np.full(BINS, 1 / BINS), np.linspace(-1, 1, BINS)

    def tilted(strength: float) -> NDArray[np.float64]:
        weights = np.exp(strength * slope)
        return weights / weights.sum()

    strengths = np.linspace(0, 3, 3001)
    sizes = [((tilted(s) - even) * np.log(tilted(s) / even)).sum() for s in strengths]
    return even, tilted(float(strengths[int(np.searchsorted(sizes, index))]))


@pytest.mark.parametrize(("rows_per_client", "alike"), [(1, 0.02), (3, 0.2)])
def test_a_shift_of_point_4_among_quiet_columns_is_found_in_most_runs_of_300_rows(rows_per_client: int, alike: float):
    """60 runs, seed 12: 300 rows then and now, 23 columns beside it that did not change; most is four in five."""
    rng, (usual, moved) = np.random.default_rng(12), _shifted(0.4)
    clients = 300 // rows_per_client
    found = 0
    for _ in range(60):
        pairs = [(usual, moved), *[(usual, usual)] * 23]
        samples = [[rng.multinomial(rows_per_client, _tastes(rng, p, clients, alike)) for p in pair] for pair in pairs]
        shifts = [drift.compare(*(BinCounts.of(counts) for counts in sample), is_ordered=True) for sample in samples]
        found += drift.lights(shifts)[0] in ALARMS

    assert stats.binomtest(found, 60).proportion_ci(0.99).high >= 0.8
    assert found > 30
