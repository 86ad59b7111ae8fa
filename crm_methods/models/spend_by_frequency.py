"""What a purchase brings by how often a client has bought, for bases where the two depend on each other.

Gamma-Gamma draws every client's amount to one level, which supposes that frequent buyers
spend no more and no less at a time than rare ones. Where they do, each client is drawn to
the level of clients that bought as often.
"""

from __future__ import annotations

from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from crm_methods.engine import as_float, collect
from crm_methods.models.purchase_history import Money
from crm_methods.models.rates import ClientSums, mean

TOP_REPEATS = 7
"""Clients with this many repeat purchases or more stand together."""


def spend_by_frequency(history: nw.LazyFrame[Any], money: Money = "margin") -> pd.DataFrame:
    """Mean amount of a purchase by the number of repeat purchases, and the level to draw such clients to.

    Parameters
    ----------
    history
        One row per client (``purchase_history.purchase_summary``).
    money
        Which amount it holds.

    Returns
    -------
    pandas.DataFrame
        One row per number of repeat purchases ``x`` (``TOP_REPEATS`` stands for it and more): ``clients``; the mean over
        clients of their mean amount (of repeat purchases; of the only purchase where x = 0) as ``mean_<money>`` with its
        95 % interval ``low_<money>``, ``high_<money>`` (missing under two clients); and ``level_<money>``, that mean
        drawn to the mean of all by Bühlmann's credibility n/(n + k), so that a group of few clients counts little.

    References
    ----------
    Bühlmann (1967), "Experience rating and credibility", ASTIN Bulletin 4, 199-207.
    """
    own = nw.when(nw.col("x") > 0).then(as_float(f"mean_{money}")).otherwise(as_float(money))
    rows = history.with_columns(
        group=nw.when(nw.col("x") < TOP_REPEATS).then(nw.col("x")).otherwise(nw.lit(TOP_REPEATS)), own=own
    ).with_columns(squared=nw.col("own") * nw.col("own"))
    sums = collect(
        rows.group_by("group").agg(
            nw.len().alias("clients"), nw.col("own").sum().alias("total"), nw.col("squared").sum().alias("total_squared")
        )
    ).sort_values("group", ignore_index=True)
    found = [_with_interval(row) for row in sums.to_dict("records")]
    table = pd.DataFrame(found, columns=["x", "clients", f"mean_{money}", f"low_{money}", f"high_{money}"])
    return table.assign(**{f"level_{money}": _levels(sums)})


def relative_levels(table: pd.DataFrame, money: Money = "margin") -> tuple[float, ...]:
    """The levels in units of the mean level of clients that came back, for ``btyd_fit.SpendFit.relative``.

    Parameters
    ----------
    table
        From ``spend_by_frequency``.

    Returns
    -------
    tuple of float
        For 0, 1, …, ``TOP_REPEATS`` repeat purchases; where nobody has so many, that of the next fewer (or next more). Empty
        where a level is not above zero: of losses no multiple can be taken.
    """
    levels = table.set_index("x")[f"level_{money}"]
    repeat = table[table["x"] > 0]
    if repeat.empty or not (levels > 0).all():
        return ()
    usual = float(repeat["clients"] @ repeat[f"level_{money}"]) / float(repeat["clients"].sum())
    of_each = levels.reindex(range(TOP_REPEATS + 1)).ffill().bfill()
    return tuple((of_each / usual).tolist())


def _with_interval(row: dict[str, Any]) -> tuple[int, int, float, float, float]:
    clients, total = int(row["clients"]), float(row["total"])
    found = mean(
        ClientSums(
            clients=clients,
            total=total,
            count=clients,
            total_squared=float(row["total_squared"]),
            count_squared=clients,
            total_by_count=total,
        )
    )
    low, high = (np.nan if end is None else end for end in (found.low, found.high))
    return int(row["group"]), clients, total / clients, low, high


def _levels(sums: pd.DataFrame) -> Any:
    """Group means drawn to the mean of all: Z·own + (1 − Z)·all with Z = n/(n + k), k = variance within / between."""
    n, total, squared = (sums[name].to_numpy(dtype=np.float64) for name in ("clients", "total", "total_squared"))
    if not len(n):
        return np.array([])
    means, everybody, level = total / n, n.sum(), total.sum() / n.sum()
    within = max(0.0, float((squared - n * means**2).sum())) / max(1.0, everybody - len(n))
    spread = float(n @ (means - level) ** 2) - (len(n) - 1) * within
    effective = everybody - float(n @ n) / everybody
    between = spread / effective if effective > 0 else 0.0
    if between <= 0:
        return np.full(len(n), level)
    weight = n / (n + within / between)
    return weight * means + (1 - weight) * level
