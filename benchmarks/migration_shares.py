"""With nothing changed between two years, how many clients are told to have moved beyond noise?

    python -m benchmarks.migration_shares --bases 200 --seed 20261126

Each base has clients of four kinds, whose habits are the same in both years: they buy at random, like a clock, in clusters of
orders, or at random for amounts of which few are very large. What serving them takes follows their size. The product's own
estimate then reports who moved. A share passes when its exact binomial 99 % interval reaches 5 % or less.
"""

from __future__ import annotations

import argparse
import datetime as dt
import time

import narwhals as nw
import numpy as np
import pandas as pd
from scipy import stats

from crm_methods.company.settings import Company
from crm_methods.models.period_resampling import PARTS
from crm_methods.stages.segments_cuts import Cuts
from crm_methods.stages.segments_moves import LEVEL, Panel, crossings, judged, shares_by_chance

KINDS = ("at random", "like a clock", "in clusters", "for skewed amounts")
TARGET = 0.05


def moments(kind: str, rate: float, rng: np.random.Generator) -> np.ndarray:
    """When a client of so many events a year has them in two years, 0 to 2."""
    if kind == "like a clock":
        gap = 1 / rate
        ticks = np.arange(-1, 2 * rate + 2)
        moments = (rng.random() + ticks) * gap + rng.normal(0, 0.08 * gap, len(ticks))
        return moments[(moments >= 0) & (moments < 2)]
    if kind == "in clusters":
        starts = rng.random(rng.poisson(2 * rate / 3)) * 2
        cluster = np.repeat(starts, 1 + rng.poisson(2, len(starts)))
        moments = cluster + rng.exponential(7 / 365, len(cluster))
        return moments[moments < 2]
    return rng.random(rng.poisson(2 * rate)) * 2


def parts_of(moments: np.ndarray, amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums by twelfth of the second year, and of the first."""
    place = np.minimum((moments * PARTS).astype(int), 2 * PARTS - 1)
    sums = np.bincount(place, amounts, 2 * PARTS)
    return sums[PARTS:], sums[:PARTS]


def base(clients: int, rng: np.random.Generator) -> tuple[Panel, np.ndarray]:
    """A base in which nothing changes, and the kind of each client."""
    kinds = rng.integers(0, len(KINDS), clients)
    rows = []
    for kind in kinds:
        rate, size = 0.5 + rng.gamma(1.5, 6.0), rng.normal(6, 1)
        bought = moments(KINDS[kind], rate, rng)
        served = moments("at random", 0.5 + 0.6 * rate + rng.gamma(1.0, 4.0), rng)
        spread = 1.5 if KINDS[kind] == "for skewed amounts" else 0.4
        revenue = parts_of(bought, rng.lognormal(size, spread, len(bought)))
        cost = parts_of(served, rng.lognormal(1 + 0.4 * size, 0.7, len(served)))
        rows.append((revenue[0], cost[0], revenue[1], cost[1]))
    return Panel(*(np.array([row[i] for row in rows]) for i in range(4)), by_cost=True), kinds


def reported(panel: Panel, settings: Company, rng: np.random.Generator, draws: int) -> tuple[np.ndarray, float, np.ndarray]:
    """Who is reported, the share that changed cell, and the shares that would by chance, as the stage tells them."""
    axis = pd.DataFrame({"axis_revenue": panel.revenue.sum(axis=1), "cost_to_serve": panel.cost.sum(axis=1)})
    cuts = Cuts.of(nw.from_native(axis).lazy(), settings, knows_cost=True)
    width = settings.segments.hysteresis
    found = crossings(panel, cuts, width)
    moved = np.flatnonzero(found.moved[:, 0])
    flags = np.zeros(len(panel.revenue), dtype=bool)
    flags[moved] = judged(panel.of(moved), cuts, width).p_value <= LEVEL
    both = panel.of(np.flatnonzero(found.active[:, 0]))
    return flags, len(moved) / max(1, len(both.revenue)), shares_by_chance(both, cuts, width, draws, rng)


def line(name: str, found: int, count: int) -> str:
    """A share with its interval, and whether it passes."""
    low, high = stats.binomtest(found, count).proportion_ci(0.99, method="exact")
    verdict = "PASS" if low <= TARGET else "FAIL"
    return f"{name:<44}{found:>7,} of {count:>7,}{found / count:>8.2%}   {low:.2%} to {high:.2%}   {verdict}"


def main() -> None:
    """Print a line per size of base and kind of client."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20261126)
    given = parser.parse_args()
    settings = Company(company="Nothing changes", as_of=dt.date(2025, 12, 31), currency="EUR", tables={})
    print(f"{given.bases} bases, seed {given.seed}, target {TARGET:.0%} of clients or less\n")
    print(f"{'reported as moved beyond noise':<44}{'clients':>18}{'share':>8}   exact 99% interval")
    for clients in (60, 300):
        started, rng = time.perf_counter(), np.random.default_rng([given.seed, clients])
        flags, kinds, moved, chance, outside = [], [], [], [], 0
        for _ in range(given.bases):
            panel, kind = base(clients, rng)
            flag, share, shares = reported(panel, settings, rng, settings.segments.bootstraps)
            flags.append(flag)
            kinds.append(kind)
            moved.append(share)
            chance.append(float(np.mean(shares)))
            outside += share > np.quantile(shares, 0.975)
        flag, kind = np.concatenate(flags), np.concatenate(kinds)
        print(line(f"N = {clients}", int(flag.sum()), flag.size))
        for number, name in enumerate(KINDS):
            print(line(f"    buys {name}", int(flag[kind == number].sum()), int((kind == number).sum())))
        print(
            f"    changed cell {np.mean(moved):.1%}, benchmark {np.mean(chance):.1%}; above its 95% range in {outside} bases "
            f"({time.perf_counter() - started:.0f} s)"
        )


if __name__ == "__main__":
    main()
