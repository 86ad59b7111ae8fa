"""How far chance alone moves a client's sums: a period drawn anew, and two periods swapped part by part.

A period is cut into ``PARTS`` parts of equal length, and all that a client bought and took in one of them stays together.
So single events need not be independent: orders that come in clusters, contacts that follow an order and buyers that
reorder like a clock keep their own, larger or smaller, variation. Drawing or swapping single events instead takes the
clusters for as many pieces of news, and the clock for chance.

References
----------
Efron & Tibshirani (1993), "An introduction to the bootstrap", chapter 8 (resampling of blocks).
Fisher (1935), "The design of experiments", chapter 3 (the randomisation test of matched pairs).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

PARTS = 12
"""Parts of a period: the months of a year. Two periods can be swapped part by part in 4,096 ways, few enough to try all."""

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
_SAME = 1e-9


def drawn_periods(parts: tuple[Floats, ...], draws: int, rng: np.random.Generator) -> Iterator[tuple[Floats, ...]]:
    """Sums of a period whose parts are drawn anew with replacement, each client's for itself.

    Parameters
    ----------
    parts
        Arrays with one row per client and one column per part, such as revenue and cost; a draw takes the same parts of all.
    draws
        How many periods are drawn.
    rng
        The source of chance.

    Yields
    ------
    tuple of numpy.ndarray
        The sums of each array, one value per client.
    """
    clients, count = parts[0].shape
    first = np.arange(clients)[:, None] * count
    for _ in range(draws):
        taken = first + rng.integers(0, count, size=(clients, count))
        yield tuple(array.ravel()[taken].sum(axis=1) for array in parts)


def all_swaps(count: int = PARTS) -> Floats:
    """Every way of swapping ``count`` pairs: one row per way, 1 where a pair is swapped; the first swaps none."""
    return np.array(list(itertools.product((0.0, 1.0), repeat=count)))


def swapped_sums(now: Floats, before: Floats, swaps: Floats) -> tuple[Floats, Floats]:
    """Sums of two periods after parts were swapped between them.

    If nothing changed between the periods, every way of swapping is as likely as what was seen, whatever the amounts,
    the season and the order within a part: comparisons with all of them are exact.

    Parameters
    ----------
    now, before
        One row per client, one column per part.
    swaps
        One row per way of swapping, for all clients alike (``all_swaps``).

    Returns
    -------
    tuple of numpy.ndarray
        The sums now and before: one row per client, one column per way.
    """
    moved = (before - now) @ swaps.T
    # What is left of a difference of equal sums is rounding, not revenue.
    least = _SAME * (np.abs(now) + np.abs(before)).sum(axis=1)[:, None]
    sums = now.sum(axis=1)[:, None] + moved, before.sum(axis=1)[:, None] - moved
    for array in sums:
        array[np.abs(array) <= least] = 0.0
    return sums


def coin_sums(now: tuple[Floats, ...], before: tuple[Floats, ...], rng: np.random.Generator) -> tuple[list[Floats], list[Floats]]:
    """Sums of two periods, one value per client, after a fair coin was thrown for every client and part.

    ``now`` and ``before`` hold arrays of one shape, such as revenue and cost; a coin swaps the part of all of them.
    """
    coins = rng.integers(0, 2, size=now[0].shape).astype(bool)
    return (
        [np.where(coins, b, a).sum(axis=1) for a, b in zip(now, before, strict=True)],
        [np.where(coins, a, b).sum(axis=1) for a, b in zip(now, before, strict=True)],
    )


def share_as_large(sizes: Floats) -> Floats:
    """The exact p-value of the first way: per client, the share of ways whose size is at least its own.

    Parameters
    ----------
    sizes
        The size of a change, one row per client and one column per way; the first is what was seen.
    """
    tolerance = _SAME * np.abs(sizes).max(axis=1, keepdims=True)
    share: Floats = (sizes >= sizes[:, :1] - tolerance).mean(axis=1)
    return share


def rarely_as_large(sizes: Floats, level: float) -> Flags:
    """Which ways have a p-value of at most ``level`` (0–1), where each is judged among all ways of its client."""
    ways = sizes.shape[1]
    allowed = int(level * ways + _SAME)
    # At most `allowed` ways are larger than the largest but so many.
    limit = np.partition(sizes, ways - allowed - 1, axis=1)[:, [ways - allowed - 1]]
    rare: Flags = sizes > limit + _SAME * np.abs(sizes).max(axis=1, keepdims=True)
    return rare
