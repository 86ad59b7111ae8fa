"""How shares change between two periods, with an interval that counts a client of both periods once.

Two intervals side by side do not tell whether a share changed: the clients are the same in both periods, and what
they do resembles what they did. The change is therefore looked at client by client, from sums over clients alone. Of many
changes looked at together some seem clear by chance: which are is judged of all of them at once.
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
JUDGED = ("p_value", "q_value")
MEASURES = (*SHARE, "share_previous", *CHANGE, *JUDGED)
"""What is said of each value, as shares (0–1) and differences of shares, and how sure it is that it changed."""
FALSE_DISCOVERIES = 0.05
"""Share of false alarms among the changes called clear, and of answers with any where nothing changed."""
OTHER = "(other)"
"""The name under which the values count that are not among the commonest."""
MAX_NAMES = 200
MAX_VALUES = 100_000
_COUNTED_VALUES = 20_000
"""Groups times values: where there are many groups, fewer values of each are told apart."""
_FEWEST_NAMES = 5
_COLUMNS = ("name", "total", "total_previous", "clients", *SHARE, "share_previous", "change", "error", "free")
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
        ``low_change``, ``high_change`` (0–1), ``p_value`` of no change, and ``q_value`` among the rows of the same ``by``.
        What can't be said is NaN. Values beyond the ``MAX_NAMES`` commonest (by rows of both periods) count as one,
        ``OTHER``, which comes last.

    Raises
    ------
    TooManyRowsError
        There are more than ``MAX_VALUES`` groups.

    Notes
    -----
    A client's part in the change of a share r = Σy/Σn is linearised, u = (y₁ − r₁n₁)/N₁ − (y₀ − r₀n₀)/N₀, so that
    clients that buy in both periods count once: Var = Σu² · G/(G − 1), t on G − 1 degrees of freedom. Only sums over
    clients leave the engine.

    References
    ----------
    Benjamini & Hochberg (1995), "Controlling the false discovery rate", JRSS B 57: the q-values.
    Cochran (1977), "Sampling Techniques", 3rd ed., sections 6.3 and 6.18: the variance of a ratio, and of the difference
    of two ratios that are measured on the same units.
    """
    w = nw.lit(1.0) if weight is None else as_float(weight)
    keys = list(by)
    marked = rows.select("client_id", "name", *keys, w1=w * nw.col("now"), w0=w * (1 - nw.col("now")))
    per_client = marked.group_by("client_id", *keys).agg(n1=nw.col("w1").sum(), n0=nw.col("w0").sum())
    whole = _sums(per_client, ("n1", "n0"), keys)
    told_apart = min(MAX_NAMES, max(_FEWEST_NAMES, _COUNTED_VALUES // max(1, len(whole))))
    grouped = _of_commonest(marked, told_apart).group_by("client_id", "name", *keys)
    per_value = grouped.agg(y1=nw.col("w1").sum(), y0=nw.col("w0").sum())
    joined = per_value.join(per_client, on=["client_id", *keys], how="left")
    parts = _sums(joined, ("y1", "y0", "n1", "n0"), (*keys, "name"))
    # A join on no key at all: every value belongs to the one whole.
    pairs = parts.assign(_all=1).merge(whole.assign(_all=1), on=[*keys, "_all"], suffixes=("", "_whole"))
    found = [(*(row[key] for key in keys), *_changed(row, confidence)) for row in pairs.to_dict("records")]
    table = _with_intervals(pd.DataFrame(found, columns=[*keys, *_COLUMNS]), confidence)
    table = table.assign(_last=table["name"] == OTHER).sort_values(
        [*keys, "_last", "total", "total_previous", "name"],
        ascending=[*[True] * len(keys), True, False, False, True],
        ignore_index=True,
    )
    return judged_together(table.drop(columns="_last"), within=keys)


def judged_together(table: pd.DataFrame, prefixes: Sequence[str] = ("",), within: Sequence[str] = ()) -> pd.DataFrame:
    """The same changes with ``q_value`` of Benjamini and Hochberg over all that are shown together.

    Parameters
    ----------
    table
        One row per value: ``p_value`` (NaN where there is none), each with its prefix.
    prefixes
        What stands before these names, such as ``revenue_``; the p-values of all of them are one family.
    within
        Columns whose every combination is a family of its own.

    Returns
    -------
    pandas.DataFrame
        ``table`` with ``q_value`` (each with its prefix) new; NaN where there is no p-value.
    """
    p_values = table[[f"{prefix}p_value" for prefix in prefixes]].to_numpy(dtype=float)
    q_values = np.full(p_values.shape, np.nan)
    family = table.groupby(list(within), dropna=False).ngroup().to_numpy() if within else np.zeros(len(table), dtype=int)
    for own in np.unique(family):
        told = (family == own)[:, None] & ~np.isnan(p_values)
        if told.any():
            q_values[told] = stats.false_discovery_control(p_values[told])
    return table.assign(**{f"{prefix}q_value": q_values[:, i] for i, prefix in enumerate(prefixes)})


def is_clear(table: pd.DataFrame, prefix: str = "") -> pd.Series[Any]:
    """Which shares changed, corrected for the number of changes looked at together.

    Parameters
    ----------
    table
        Rows of what ``share_changes`` or ``judged_together`` returns: ``q_value``. A part of the rows is judged as the whole.
    prefix
        What stands before this name, such as ``revenue_``.

    Returns
    -------
    pandas.Series
        True or False per row of ``table``; False where there is no interval.
    """
    return table[f"{prefix}q_value"] <= FALSE_DISCOVERIES


def _of_commonest(marked: nw.LazyFrame[Any], told_apart: int) -> nw.LazyFrame[Any]:
    """The same rows, with ``OTHER`` for the names that are not among the commonest: free text has one name per row."""
    counted = marked.group_by("name").agg(rows=nw.len()).with_columns(fewest=-nw.col("rows"))
    commonest = collect(counted.sort("fewest", "name").head(told_apart + 1), ["name"])["name"].tolist()
    if len(commonest) <= told_apart:
        return marked
    kept = nw.col("name").is_in(commonest[:told_apart])
    return marked.with_columns(name=nw.when(kept).then(nw.col("name")).otherwise(nw.lit(OTHER)))


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
    error = _error(row, r1, r0) if n1 > 0 and n0 > 0 and row["clients_whole"] > 1 else np.nan
    clients_now, free = int(row["clients_now"]), row["clients_whole"] - 1
    return row["name"], row["y1"], row["y0"], clients_now, r1, low, high, r0, r1 - r0, error, free


def _with_intervals(table: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """The interval and the p-value of each change, in place of its ``error`` and the degrees of freedom, ``free``."""
    change, error, free = (table[name].to_numpy(dtype=float) for name in ("change", "error", "free"))
    half = stats.t.ppf((1 + confidence) / 2, free) * error
    p_value = 2 * stats.t.sf(np.abs(change) / error, free)
    table = table.assign(low_change=change - half, high_change=change + half, p_value=p_value)
    return table.drop(columns=["error", "free"])


def _error(row: Mapping[Any, Any], r1: float, r0: float) -> float:
    """The standard error of a change: Σu² written out as sums of squares and products over clients."""
    n1, n0, clients = row["n1_whole"], row["n0_whole"], row["clients_whole"]
    squares = (
        (row["y1y1"] - 2 * r1 * row["y1n1"] + r1 * r1 * row["n1n1_whole"]) / n1**2
        + (row["y0y0"] - 2 * r0 * row["y0n0"] + r0 * r0 * row["n0n0_whole"]) / n0**2
        - 2 * (row["y1y0"] - r0 * row["y1n0"] - r1 * row["y0n1"] + r1 * r0 * row["n1n0_whole"]) / (n1 * n0)
    )
    # What is left of a difference of nearly equal sums is rounding, not variation.
    spread = (max(squares, 0.0) * clients / (clients - 1)) ** 0.5
    return float(spread) if spread > _ROUNDING else float("nan")
