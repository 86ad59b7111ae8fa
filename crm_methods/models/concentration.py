"""How unequally an amount is spread over clients: the Gini coefficient, the shares of the first names, and classes by
cumulative share.

All is counted in the engine; amounts at or below zero have no part in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods.engine import as_float, collect

MIN_CLIENTS_FOR_GINI = 300
"""Below this a Gini coefficient can't be told from its noise: shares of the first names say more."""

_ROUNDING = 1e-9


def gini(amounts: nw.LazyFrame[Any], column: str) -> float | None:
    """The Gini coefficient of the amounts above zero: 0 where all are equal, near 1 where one client has everything.

    Parameters
    ----------
    amounts
        One row per client: ``client_id`` and ``column``.
    column
        The amount.

    Returns
    -------
    float or None
        None with fewer than ``MIN_CLIENTS_FOR_GINI`` clients.

    Notes
    -----
    G = (n + 1 − 2 Σ rᵢ·xᵢ / Σ xᵢ) / n with ranks r from the largest down, which no order of equal amounts changes. Of a
    lognormal it is 2Φ(σ/√2) − 1.

    References
    ----------
    Gini (1914); Cowell (2011), "Measuring Inequality", appendix A: its form by ranks, and its value for a lognormal.
    """
    ranked = _ranked(amounts, column)
    sums = collect(
        ranked.select(n=nw.len(), total=nw.col("_amount").sum(), weighted=(as_float("_rank") * nw.col("_amount")).sum())
    ).iloc[0]
    clients = int(sums["n"])
    if clients < MIN_CLIENTS_FOR_GINI:
        return None
    return float((clients + 1 - 2 * sums["weighted"] / sums["total"]) / clients)


def top_shares(amounts: nw.LazyFrame[Any], column: str, names: Sequence[int] = (1, 5, 10, 20)) -> pd.DataFrame:
    """Shares of the largest clients in the sum of the amounts above zero.

    Returns
    -------
    pandas.DataFrame
        One row per number of names that there are: ``names``, ``share``.
    """
    ranked = _ranked(amounts, column)
    held = {f"top_{n}": nw.when(nw.col("_rank") <= n).then(nw.col("_amount")).otherwise(nw.lit(0.0)).sum() for n in names}
    row = collect(ranked.select(n=nw.len(), total=nw.col("_amount").sum(), **held)).iloc[0]
    there = [n for n in names if n <= row["n"]]
    return pd.DataFrame({"names": there, "share": [float(row[f"top_{n}"] / row["total"]) for n in there]})


def cumulative_cuts(amounts: nw.LazyFrame[Any], column: str, shares: Mapping[str, float]) -> dict[str, float | None]:
    """From which amount on a client belongs to those that bring the first so many per cent of the sum.

    The client that crosses a share still belongs to it, and so do all with its amount.

    Parameters
    ----------
    amounts, column
        As for ``gini``.
    shares
        By name, shares of the sum (0–1).

    Returns
    -------
    dict
        By name, the least amount; None without any amount above zero.
    """
    values = _above_zero(amounts, column).group_by("_amount").agg(n=nw.len())
    held = values.with_columns(_held=nw.col("_amount") * nw.col("n"), _falling=-nw.col("_amount"), _all=nw.lit(1))
    summed = held.with_columns(
        _before=nw.col("_held").cum_sum().over(order_by="_falling") - nw.col("_held"), _total=nw.col("_held").sum().over("_all")
    )
    least = {
        name: nw.when(nw.col("_before") < nw.col("_total") * (share - _ROUNDING)).then(nw.col("_amount")).min()
        for name, share in shares.items()
    }
    row = collect(summed.select(**least)).iloc[0]
    return {name: None if pd.isna(row[name]) else float(row[name]) for name in shares}


def _above_zero(amounts: nw.LazyFrame[Any], column: str) -> nw.LazyFrame[Any]:
    return amounts.select("client_id", _amount=as_float(column)).filter(nw.col("_amount") > 0)


def _ranked(amounts: nw.LazyFrame[Any], column: str) -> nw.LazyFrame[Any]:
    """Clients from the largest down; equal ones in the order of their ids."""
    ordered = _above_zero(amounts, column).with_columns(_falling=-nw.col("_amount"), _one=nw.lit(1))
    return ordered.with_columns(_rank=nw.col("_one").cum_sum().over(order_by=["_falling", "client_id"]))
