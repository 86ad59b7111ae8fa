"""Do groups of clients differ in a mean or a share by more than chance, several of them looked at together?

A table of groups always has a first and a last. Here clients are dealt anew to the groups, so that what one client says
in several answers stays together, and of many comparisons that many are expected to raise an alarm is taken into account.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_methods.engine import as_float
from crm_methods.models.heterogeneity import SIGNIFICANT
from crm_methods.models.rates import ClientSums
from crm_methods.models.share_changes import judged_together

ALL = "all"
"""The group of all clients together."""
MIN_CLIENTS = 5
"""Groups of fewer clients are neither shown nor compared: a single one could be told."""
MAX_TESTED = 20_000
"""Clients that are dealt anew; of more as many, evenly spread over the ids."""
DRAWS = 999

_CELLS_AT_ONCE = 1_000_000
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """What clients said, added up per client: the data of means, of shares, and of their comparison between groups.

    Attributes
    ----------
    items
        What is averaged: names of the means and shares.
    cells
        One row per client: ``client_id``, ``group``, and per item, by its place, ``total_0``, ``count_0`` …
    """

    items: tuple[str, ...]
    cells: pd.DataFrame

    @classmethod
    def of(cls, items: Sequence[str], cells: pd.DataFrame) -> Tally:
        """Clients that said something, of what ``added_up`` has counted."""
        said = cells[[f"count_{place}" for place in range(len(items))]].to_numpy(dtype=float).any(axis=1)
        return cls(tuple(items), cells[said].sort_values("client_id", ignore_index=True))

    @property
    def groups(self) -> list[str]:
        """The groups in which at least ``MIN_CLIENTS`` clients said something, by name."""
        sizes = self.cells["group"].value_counts()
        return sorted(str(group) for group in sizes[sizes >= MIN_CLIENTS].index)

    def sums(self, group: str, item: str) -> ClientSums:
        """What the interval of an item in a group needs; the group ``all`` is everybody."""
        own, place = self.cells if group == ALL else self.cells[self.cells["group"] == group], self.items.index(item)
        return ClientSums.of(own[f"total_{place}"], own[f"count_{place}"])


def added_up(rows: nw.LazyFrame[Any], items: Mapping[str, tuple[nw.Expr, nw.Expr]], by: Sequence[str]) -> nw.LazyFrame[Any]:
    """Add up several values per client in one pass of the engine.

    Parameters
    ----------
    rows
        Any grain, with ``client_id`` and the columns ``by``.
    items
        Per item, what is added up and what it is divided by: see ``valued`` and ``flagged``.

    Returns
    -------
    narwhals.LazyFrame
        One row per client and ``by``, with ``total_0``, ``count_0`` … by the items' places: the cells of a ``Tally``.
    """
    columns: dict[str, nw.Expr] = {}
    for place, (total, count) in enumerate(items.values()):
        columns |= {f"total_{place}": total, f"count_{place}": count}
    return rows.select("client_id", *by, **columns).group_by("client_id", *by).agg(nw.col(*columns).sum())


def valued(value: nw.Expr) -> tuple[nw.Expr, nw.Expr]:
    """A number as an item of which the mean is taken; where it is missing it does not count."""
    number = as_float(value)
    return number.fill_null(0.0), nw.when(number.is_null()).then(nw.lit(0.0)).otherwise(nw.lit(1.0))


def flagged(condition: nw.Expr, known: nw.Expr) -> tuple[nw.Expr, nw.Expr]:
    """A condition as an item of which the share is taken, among the rows where it is known."""
    one, nothing = nw.lit(1.0), nw.lit(0.0)
    return nw.when(known & condition).then(one).otherwise(nothing), nw.when(known).then(one).otherwise(nothing)


def differences(tally: Tally, seed: Sequence[int]) -> pd.DataFrame:
    """Test for every item whether groups differ by more than chance, corrected for the number of items.

    Parameters
    ----------
    tally
        What clients said; groups with fewer than ``MIN_CLIENTS`` clients are left out.
    seed
        Seed of the draws.

    Returns
    -------
    pandas.DataFrame
        One row per item: ``item``, ``groups`` and ``clients`` compared, ``observed`` and ``by_chance`` (standard deviation
        of the groups' means, weighted by answers; seen, and usual if nothing but chance differed), ``p_value``, ``q_value``.
        The last two are NaN where fewer than two groups are left, or there is too little to tell.

    Notes
    -----
    Clients, with all they said, are dealt anew to the places in the groups: p = (1 + draws at least as wide) / (1 + draws).
    If groups make no difference every such deal is as likely as what was seen, so the test is exact, however many answers a
    client gave. All items share one deal, which keeps their correlation. Where the widest of all deals is so common that
    nothing could be significant, there is no p-value.

    References
    ----------
    Pesarin & Salmaso (2010), "Permutation Tests for Complex Data", ch. 1; Phipson & Smyth (2010), "Permutation p-values
    should never be zero", Stat. Appl. Genet. Mol. Biol. 9(1); Benjamini & Hochberg (1995), "Controlling the false discovery
    rate", JRSS B 57.
    """
    kept = tally.cells[tally.cells["group"].isin(tally.groups)]
    kept = kept.iloc[:: max(1, -(-len(kept) // MAX_TESTED))]
    codes, groups = pd.factorize(kept["group"], sort=True)
    y, n = (kept[[f"{what}_{i}" for i in range(len(tally.items))]].to_numpy(dtype=float) for what in ("total", "count"))
    observed = by_chance = p_value = np.full(len(tally.items), np.nan)
    if len(groups) > 1 and len(tally.items):
        observed = _spreads(codes[None, :], y, n)[0]
        drawn = _dealt_anew(np.random.default_rng([*seed]), codes, y, n)
        by_chance, p_value = np.sqrt(np.mean(drawn**2, axis=0)), _p_values(observed, drawn)
    counted = {"item": list(tally.items), "groups": len(groups), "clients": (n > 0).sum(axis=0).astype("int64")}
    return judged_together(pd.DataFrame({**counted, "observed": observed, "by_chance": by_chance, "p_value": p_value}))


def _dealt_anew(rng: np.random.Generator, codes: NDArray[Any], y: NDArray[Any], n: NDArray[Any]) -> NDArray[Any]:
    """Spreads of groups to whose places the clients are dealt anew: one row per draw, one column per item."""
    at_once, found = max(1, _CELLS_AT_ONCE // len(codes)), []
    for start in range(0, DRAWS, at_once):
        rows = np.tile(codes, (min(at_once, DRAWS - start), 1))
        found.append(_spreads(rng.permuted(rows, axis=1), y, n))
    return np.concatenate(found)


def _spreads(codes: NDArray[Any], y: NDArray[Any], n: NDArray[Any]) -> NDArray[Any]:
    """The standard deviation of the groups' means, weighted by answers, of each row of ``codes`` and each item."""
    answers = np.maximum(n.sum(axis=0), _ROUNDING)
    whole, squares = y.sum(axis=0) / answers, np.zeros((len(codes), y.shape[1]))
    for group in range(int(codes.max()) + 1):
        inside = (codes == group).astype(float)
        counts = inside @ n
        squares += counts * ((inside @ y) / np.maximum(counts, _ROUNDING) - whole) ** 2
    spreads: NDArray[Any] = np.sqrt(squares / answers)
    return spreads


def _p_values(observed: NDArray[Any], drawn: NDArray[Any]) -> NDArray[Any]:
    # Draws as wide as what was seen, up to rounding, are as wide.
    nearly = _ROUNDING + 1e-9 * np.maximum(observed, drawn.max(axis=0))
    p_values: NDArray[Any] = (1 + (drawn >= observed - nearly).sum(axis=0)) / (1 + len(drawn))
    widest = np.maximum(observed, drawn.max(axis=0))
    nothing_to_tell = np.mean(drawn >= widest - nearly, axis=0) >= SIGNIFICANT
    return np.where(nothing_to_tell, np.nan, p_values)
