"""How shares change between two periods, with an interval that counts a client of both periods once.

Two intervals side by side do not tell whether a share changed: the clients are the same in both periods, and what
they do resembles what they did. The change is therefore looked at client by client, from sums over clients alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from scipy import stats

from crm_methods.engine import as_float, collect
from crm_methods.models import rates
from crm_methods.models.rates import ClientSums

SHARE = ("share", "low_share", "high_share")
CHANGE = ("change", "low_change", "high_change")
MEASURES = (*SHARE, "share_previous", *CHANGE)
"""What is said of each value, as shares (0–1) and differences of shares."""
MAX_VALUES = 100_000
_COLUMNS = ("name", "total", "total_previous", "clients", *MEASURES)
_ROUNDING = 1e-9


def share_changes(
    rows: nw.LazyFrame[Any], weight: str | None = None, by: Sequence[str] = (), confidence: float = 0.95
) -> pd.DataFrame:
    """Each value's share of rows (or of a weight) now and before, with intervals clustered by client.

    Parameters
    ----------
    rows
        Any grain: ``client_id``, ``name`` (the value), ``now`` (1 in the period, 0 in the one before), ``weight`` and ``by``.
    weight
        Column added up, such as revenue; None counts rows.
    by
        Columns of groups within which the shares are taken.
    confidence
        Confidence of the intervals, 0–1.

    Returns
    -------
    pandas.DataFrame
        One row per ``by`` and value, the largest total now first: ``by``, ``name``, ``total``, ``total_previous`` (rows, or
        the unit of the weight), ``clients`` (now), ``share``, ``low_share``, ``high_share``, ``share_previous``, ``change``,
        ``low_change``, ``high_change`` (0–1). What can't be said is NaN.

    Raises
    ------
    TooManyRowsError
        There are more than ``MAX_VALUES`` values.

    Notes
    -----
    A client's part in the change of a share r = Σy/Σn is linearised, u = (y₁ − r₁n₁)/N₁ − (y₀ − r₀n₀)/N₀, so that
    clients that buy in both periods count once: Var = Σu² · G/(G − 1), t on G − 1 degrees of freedom. Only sums over
    clients leave the engine.

    References
    ----------
    Cochran (1977), "Sampling Techniques", 3rd ed., sections 6.3 and 6.18: the variance of a ratio, and of the difference
    of two ratios that are measured on the same units.
    """
    w = nw.lit(1.0) if weight is None else as_float(weight)
    keys = list(by)
    marked = rows.select("client_id", "name", *keys, w1=w * nw.col("now"), w0=w * (1 - nw.col("now")))
    per_value = marked.group_by("client_id", "name", *keys).agg(y1=nw.col("w1").sum(), y0=nw.col("w0").sum())
    per_client = marked.group_by("client_id", *keys).agg(n1=nw.col("w1").sum(), n0=nw.col("w0").sum())
    whole = _sums(per_client, ("n1", "n0"), keys)
    joined = per_value.join(per_client, on=["client_id", *keys], how="left")
    parts = _sums(joined, ("y1", "y0", "n1", "n0"), (*keys, "name"))
    # A join on no key at all: every value belongs to the one whole.
    pairs = parts.assign(_all=1).merge(whole.assign(_all=1), on=[*keys, "_all"], suffixes=("", "_whole"))
    found = [(*(row[key] for key in keys), *_changed(row, confidence)) for row in pairs.to_dict("records")]
    table = pd.DataFrame(found, columns=[*keys, *_COLUMNS])
    return table.sort_values(
        [*keys, "total", "total_previous", "name"], ascending=[*[True] * len(keys), False, False, True], ignore_index=True
    )


def is_clear(table: pd.DataFrame, prefix: str = "") -> pd.Series[Any]:
    """Which changes have an interval that does not hold 0.

    Parameters
    ----------
    table
        One row per change: ``low_change`` and ``high_change``, as ``share_changes`` returns them.
    prefix
        What stands before these names, such as ``revenue_``.

    Returns
    -------
    pandas.Series
        True or False per row of ``table``; False where there is no interval.
    """
    return (table[f"{prefix}low_change"] > 0) | (table[f"{prefix}high_change"] < 0)


def _sums(frame: nw.LazyFrame[Any], names: Sequence[str], by: Sequence[str]) -> pd.DataFrame:
    """Sums of columns and of their products over clients, the number of clients in all and now."""
    products = {f"{a}{b}": nw.col(a) * nw.col(b) for i, a in enumerate(names) for b in names[i:]}
    there = nw.when(nw.col(names[0]) > 0).then(nw.lit(1)).otherwise(nw.lit(0))
    terms = frame.with_columns(**products, clients=nw.lit(1), clients_now=there, _all=nw.lit(1))
    columns = [*names, *products, "clients", "clients_now"]
    summed = terms.group_by(*(by or ["_all"])).agg(*[nw.col(name).sum() for name in columns])
    return collect(summed, [*by, *columns], max_rows=MAX_VALUES).astype(dict.fromkeys(columns, float))


def _changed(row: Mapping[Any, Any], confidence: float) -> tuple[Any, ...]:
    """The row of ``_COLUMNS`` of one value, from its sums and those of the whole (``n…``, ``clients_whole``)."""
    n1, n0 = row["n1_whole"], row["n0_whole"]
    r1, r0 = (row["y1"] / n1 if n1 > 0 else np.nan), (row["y0"] / n0 if n0 > 0 else np.nan)
    own = ClientSums(
        clients=int(row["clients_now_whole"]), total=row["y1"], count=n1, total_squared=row["y1y1"],
        count_squared=row["n1n1_whole"], total_by_count=row["y1n1"],
    )  # fmt: skip
    share = rates.share(own, confidence=confidence) if n1 > 0 else None
    low, high = (share.low, share.high) if share is not None and share.is_enough else (np.nan, np.nan)
    half = _half_width(row, r1, r0, confidence) if n1 > 0 and n0 > 0 and row["clients_whole"] > 1 else np.nan
    change, clients_now = r1 - r0, int(row["clients_now"])
    return row["name"], row["y1"], row["y0"], clients_now, r1, low, high, r0, change, change - half, change + half


def _half_width(row: Mapping[Any, Any], r1: float, r0: float, confidence: float) -> float:
    """Half the width of the interval of a change: Σu² written out as sums of squares and products over clients."""
    n1, n0, clients = row["n1_whole"], row["n0_whole"], row["clients_whole"]
    squares = (
        (row["y1y1"] - 2 * r1 * row["y1n1"] + r1 * r1 * row["n1n1_whole"]) / n1**2
        + (row["y0y0"] - 2 * r0 * row["y0n0"] + r0 * r0 * row["n0n0_whole"]) / n0**2
        - 2 * (row["y1y0"] - r0 * row["y1n0"] - r1 * row["y0n1"] + r1 * r0 * row["n1n0_whole"]) / (n1 * n0)
    )
    # What is left of a difference of nearly equal sums is rounding, not variation.
    spread = (max(squares, 0.0) * clients / (clients - 1)) ** 0.5
    return float(stats.t.ppf((1 + confidence) / 2, clients - 1)) * spread if spread > _ROUNDING else float("nan")
