"""How often what is claimed comes true, on simulated bases whose truth is known.

``python -m benchmarks.interval_shares --bases 200 --seed 20261126``

A share passes when its exact binomial 99 % interval reaches the target. The bases are
simulated here, purchase by purchase, by code that the estimators do not use; runs and
seed are stated before and are not tuned.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import narwhals as nw
import numpy as np
import pandas as pd
from scipy import stats

from crm_methods.models.btyd_fit import PurchaseFit, SpendFit, fit_purchases
from crm_methods.models.btyd_prediction import expected_purchases
from crm_methods.models.clusters import best_partition
from crm_methods.models.equity_intervals import equity_intervals
from crm_methods.models.lifetime_value import DAYS_PER_MONTH
from crm_methods.models.purchase_ladder import Population

CLIENTS = {100: 0.90, 300: 0.95, 1_000: 0.95}
"""Sizes of the bases, and the coverage that the 95 % interval must reach at each."""

HORIZONS = (12, 36)
RATE_SHAPE, RATE_SCALE_DAYS, LEAVING = 1.2, 152.1875, (0.9, 3.0)
KNOWN_DAYS = (30, 1_461)
GROUP_SIZES = (60, 300)
GROUPS_TARGET = 0.95


def purchase_days(rng: np.random.Generator, known_for: int, ahead: int) -> list[int]:
    """Days after its first purchase on which one client buys again: it may leave after any purchase, the first included."""
    rate = rng.gamma(RATE_SHAPE) / RATE_SCALE_DAYS
    leaves = rng.beta(*LEAVING)
    days: list[int] = []
    now = 0.0
    while rng.random() >= leaves:
        now += rng.exponential() / rate
        if now > known_for + ahead:
            break
        # Two purchases of one day are one occasion.
        if int(now) > (days[-1] if days else 0):
            days.append(int(now))
    return days


def base(rng: np.random.Generator, clients: int, ahead: int) -> tuple[pd.DataFrame, list[list[int]]]:
    """The histories of a base (x, t_x, T in days), and of each client the days from today on which it will buy."""
    rows, future = [], []
    for _ in range(clients):
        known_for = int(rng.integers(*KNOWN_DAYS))
        days = purchase_days(rng, known_for, ahead)
        past = [day for day in days if day <= known_for]
        rows.append((len(past), past[-1] if past else 0, known_for))
        future.append([day - known_for for day in days[len(past) :]])
    return pd.DataFrame(rows, columns=["x", "t_x", "T"]), future


def held_intervals(clients: int, bases: int, seed: int) -> Iterator[dict[int, bool]]:
    """Of each base and horizon, whether the 95 % interval holds the purchases that were made."""
    for number in range(bases):
        rng = np.random.default_rng([seed, clients, number])
        histories, future = base(rng, clients, int(max(HORIZONS) * DAYS_PER_MONTH))
        yield {months: _is_held(histories, future, months, [seed, number]) for months in HORIZONS}


def _is_held(histories: pd.DataFrame, future: list[list[int]], months: int, seed: list[int]) -> bool:
    truth = sum(day <= months * DAYS_PER_MONTH for days in future for day in days)
    triples = histories.groupby(["x", "t_x", "T"], as_index=False).size().rename(columns={"size": "n"})
    fit = fit_purchases("mbg_nbd", triples)
    if not isinstance(fit, PurchaseFit):
        return False
    spend = SpendFit(family="mean", level=0.0, weight=1.0, parameters={}, log_likelihood=None, repeat_buyers=0)
    population = Population(
        name="purchases", rung="mbg_nbd", reason="", fit=fit, spend=spend, triples=triples,
        calibration_fit=None, holdout_counts=pd.DataFrame(), holdout=pd.DataFrame(),
    )  # fmt: skip
    ahead = expected_purchases(fit, histories["x"], histories["t_x"], histories["T"], months * DAYS_PER_MONTH)
    ids = [f"c{row:05d}" for row in range(len(histories))]
    values = histories.assign(client_id=ids, population="purchases", mean_margin=0.0, expected_purchases=ahead, clv=0.0)
    found = equity_intervals(
        nw.from_native(values).lazy(), [population], horizon_months=months, draws=500, seed=seed[0] + seed[1]
    ).iloc[0]
    return bool(found["purchases_low"] <= truth <= found["purchases_high"])


def continuum(rng: np.random.Generator, clients: int) -> pd.DataFrame:
    """Clients of all sizes, without borders between them: the larger buy more often and cost more."""
    size = rng.normal(10, 1.5, clients)
    return _features(size, 0.5 * size - 3 + rng.normal(0, 0.7, clients), 0.6 * size + rng.normal(0, 0.8, clients))


def three_groups(rng: np.random.Generator, clients: int) -> pd.DataFrame:
    """Three groups of equal size that differ in what they buy and what they cost."""
    centres = np.array([[12.0, 3.0, 8.0], [9.0, 1.0, 8.5], [9.0, 1.5, 4.0]])[np.arange(clients) % 3]
    return _features(*(centres + rng.normal(0, 0.4, centres.shape)).T)


def _features(revenue: np.ndarray, deals: np.ndarray, cost: np.ndarray) -> pd.DataFrame:
    ids = [f"c{row:04d}" for row in range(len(revenue))]
    return pd.DataFrame({"client_id": ids, "log_revenue": revenue, "log_deals": deals, "log_cost_to_serve": cost})


def right_groups(
    make: Callable[[np.random.Generator, int], pd.DataFrame], truth: int, clients: int, bases: int, seed: int
) -> list[bool]:
    """Of each base, whether as many natural groups are found as there are."""
    found = []
    for number in range(bases):
        points = make(np.random.default_rng([seed, truth, clients, number]), clients)
        found.append(best_partition(points, seed=seed).natural_clusters == truth)
    return found


def line(what: str, right: int, of: int, target: float, seconds: float) -> str:
    """One share with its exact 99 % interval, and whether that reaches the target."""
    found = stats.binomtest(right, of).proportion_ci(0.99, method="exact")
    verdict = "PASS" if found.high >= target else "FAIL"
    return f"{what:<58}{right / of:>7.3f}  {found.low:.3f} to {found.high:.3f}{target:>9.2f}  {verdict}{seconds:>8.0f} s"


def main() -> None:
    """Print a line per share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20_261_126)
    given = parser.parse_args()
    print(f"{given.bases} bases each, seed {given.seed}\n\n{'':<58}{'share':>7}  {'99% interval':<14}{'target':>9}", flush=True)
    for clients, target in CLIENTS.items():
        started = time.perf_counter()
        held = list(held_intervals(clients, given.bases, given.seed))
        for months in HORIZONS:
            what = f"{clients:,} clients: purchases of {months} months in their interval"
            seconds = time.perf_counter() - started
            print(line(what, sum(each[months] for each in held), given.bases, target, seconds), flush=True)
    for make, truth, name in ((continuum, 1, "a continuum is one group"), (three_groups, 3, "three groups are found")):
        for clients in GROUP_SIZES:
            started = time.perf_counter()
            right = right_groups(make, truth, clients, given.bases, given.seed)
            seconds = time.perf_counter() - started
            print(line(f"{clients:,} clients: {name}", sum(right), given.bases, GROUPS_TARGET, seconds), flush=True)


if __name__ == "__main__":
    main()
