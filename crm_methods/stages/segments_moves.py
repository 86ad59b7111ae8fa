"""How many clients change cell by chance alone, and whose change is more than that: arithmetic on arrays. A room of stage 2.

If nothing changed between two periods, each part of one (a month) could as well have been the same part of the other.
Swapping parts by a fair coin, client by client, therefore shows what the matrix would have seen with nothing changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crm_methods.models.period_resampling import all_swaps, coin_sums, rarely_as_large, share_as_large, swapped_sums
from crm_methods.stages.segments_cuts import Cuts, Flags, Floats

LEVEL = 0.05
"""The most that chance may report of clients with nothing changed."""
MAX_JUDGED = 20_000
"""Clients that moved and are judged one by one; of more, evenly spread ones are."""

_BLOCK = 200
_EXPECTED_FROM = 1_000
_FARTHEST = 50.0


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Clients of both periods: one row per client, one column per part of the period.

    ``fixed_revenue`` (one value per client) stands in for revenue on the matrix where its axis does not move (the client's
    size). ``by_cost`` says whether the cost of both periods is known.
    """

    revenue: Floats
    cost: Floats
    revenue_before: Floats
    cost_before: Floats
    by_cost: bool
    fixed_revenue: Floats | None = None

    @property
    def axes(self) -> int:
        """Along how many axes of the matrix a client can move."""
        return int(self.fixed_revenue is None) + int(self.by_cost)

    def of(self, rows: NDArray[Any]) -> Panel:
        """The same of some clients."""
        fixed = None if self.fixed_revenue is None else self.fixed_revenue[rows]
        names = ("revenue", "cost", "revenue_before", "cost_before")
        return replace(self, fixed_revenue=fixed, **{name: getattr(self, name)[rows] for name in names})


@dataclass(frozen=True, slots=True, eq=False)
class Crossings:
    """Which clients are on another side of a cut than before, and how far they moved along each axis; arrays of one shape."""

    by_revenue: Flags
    by_cost: Flags
    revenue_size: Floats
    cost_size: Floats
    active: Flags

    @property
    def moved(self) -> Flags:
        """Who changed cell, among those active in both periods."""
        return self.active & (self.by_revenue | self.by_cost)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Per client, the p-values of its moves along the axes whose cut it crossed, 1 where it crossed none.

    They are corrected for the number of axes along which clients can move (Bonferroni); ``p_value`` is the smaller of both.
    """

    revenue_p_value: Floats
    cost_p_value: Floats
    p_value: Floats


def crossings(panel: Panel, cuts: Cuts, hysteresis: float) -> Crossings:
    """What the matrix says of the clients of ``panel`` as they are."""
    sums = (panel.revenue, panel.cost, panel.revenue_before, panel.cost_before)
    return _crossings(panel, cuts, hysteresis, *(array.sum(axis=1)[:, None] for array in sums))


def shares_by_chance(panel: Panel, cuts: Cuts, hysteresis: float, draws: int, rng: np.random.Generator) -> Floats:
    """The share of clients that change cell with nothing changed, one value per draw; NaN where no client is in both periods.

    Parameters
    ----------
    panel
        Clients active in both periods; in a draw those count that are active in both of its periods.
    cuts, hysteresis
        As the matrix has them.
    draws, rng
        How often a fair coin is thrown for every client and part, and the source of chance.
    """
    now, before, shares = (panel.revenue, panel.cost), (panel.revenue_before, panel.cost_before), []
    for _ in range(draws):
        sums = [array[:, None] for half in coin_sums(now, before, rng) for array in half]
        found = _crossings(panel, cuts, hysteresis, *sums)
        shares.append(found.moved.sum() / found.active.sum() if found.active.any() else np.nan)
    return np.array(shares)


def judged(panel: Panel, cuts: Cuts, hysteresis: float) -> Judged:
    """Whether what each client crossed is more than chance does, against every way of swapping its parts.

    With nothing changed at most ``LEVEL`` of clients have a ``p_value`` of at most ``LEVEL``: the test is exact for any
    amounts and any rhythm, as long as the parts of one client don't depend on each other.
    """
    found = crossings(panel, cuts, hysteresis)
    p_values = {axis: np.ones(len(panel.revenue)) for axis in ("revenue", "cost")}
    for rows, ways in _blocks(panel, cuts, hysteresis):
        for axis, crossed, sizes in (
            ("revenue", found.by_revenue, ways.revenue_size),
            ("cost", found.by_cost, ways.cost_size),
        ):
            p_values[axis][rows] = np.where(crossed[rows, 0], share_as_large(sizes), 1.0)
    by_revenue, by_cost = (
        np.where(found.moved[:, 0], np.minimum(1.0, panel.axes * own), 1.0) for own in (p_values["revenue"], p_values["cost"])
    )
    return Judged(by_revenue, by_cost, np.minimum(by_revenue, by_cost))


def reported_by_chance(panel: Panel, cuts: Cuts, hysteresis: float) -> float:
    """The share of clients that would be reported as moved beyond noise with nothing changed, over all ways of swapping.

    Of more than 1,000 clients evenly spread ones are looked at.
    """
    step = max(1, -(-len(panel.revenue) // _EXPECTED_FROM))
    some = panel.of(np.arange(0, len(panel.revenue), step))
    level = LEVEL / max(1, some.axes)
    shares = [
        (
            ways.active
            & (
                (ways.by_revenue & rarely_as_large(ways.revenue_size, level))
                | (ways.by_cost & rarely_as_large(ways.cost_size, level))
            )
        ).mean(axis=1)
        for _, ways in _blocks(some, cuts, hysteresis)
    ]
    return float(np.concatenate(shares).mean()) if shares else 0.0


def _blocks(panel: Panel, cuts: Cuts, hysteresis: float) -> Iterator[tuple[NDArray[Any], Crossings]]:
    """Some clients at a time: their rows, and what would be crossed in every way of swapping (one column each)."""
    swaps = all_swaps(panel.revenue.shape[1])
    for start in range(0, len(panel.revenue), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(panel.revenue)))
        some = panel.of(rows)
        revenue, revenue_before = swapped_sums(some.revenue, some.revenue_before, swaps)
        cost, cost_before = swapped_sums(some.cost, some.cost_before, swaps)
        yield rows, _crossings(some, cuts, hysteresis, revenue, cost, revenue_before, cost_before)


def _crossings(
    panel: Panel, cuts: Cuts, hysteresis: float, revenue: Floats, cost: Floats, revenue_before: Floats, cost_before: Floats
) -> Crossings:
    fixed = None if panel.fixed_revenue is None else panel.fixed_revenue[:, None]
    now = cuts.places(revenue if fixed is None else fixed, cost)
    before = cuts.places(revenue_before if fixed is None else fixed, cost_before)
    high_revenue, high_cost = cuts.held(now, before, hysteresis, cost=panel.by_cost)
    never = np.zeros(now.high_revenue.shape, dtype=bool)
    active = [(sold != 0) | ((served > 0) & panel.by_cost) for sold, served in ((revenue, cost), (revenue_before, cost_before))]
    # Without any cost a client is infinitely far down; a bound keeps two such apart from nothing.
    places = [np.clip(place.judged_cost, -_FARTHEST, _FARTHEST) for place in (now, before)]
    return Crossings(
        by_revenue=high_revenue != before.high_revenue,
        by_cost=(high_cost != before.high_cost) if panel.by_cost else never,
        revenue_size=np.abs(revenue - revenue_before),
        cost_size=np.abs(places[0] - places[1]),
        active=active[0] & active[1],
    )
