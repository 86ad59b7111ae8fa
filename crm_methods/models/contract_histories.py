"""What became of each contract: its terms joined, the renewals it faced, and where it stands today.

Companies write contracts in several ways: a row that is prolonged, a row per term, or no
contract at all but a chain of bills. Each becomes one row per contract with the renewals
it survived, whether and at which renewal it ended, and the months to the next one.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from crm_methods.engine import as_float, collect, day_number, day_of
from crm_methods.models.btyd_fit import DAYS_PER_MONTH
from crm_methods.models.btyd_likelihood import Floats

MAX_CONTRACTS = 2_000_000
"""Contracts that are joined and dated in memory."""

USUAL_TERM_MONTHS = 12
_TERMS = (36, 24, 12, 6, 3, 1)
_SHARE_THAT_FITS = 0.8
_SHARE_OF_LONGER = 0.2
_FEW = 10
_JOIN_DAYS = 31
_OVERDUE_AFTER = 1.5
# Days by which a contract's end may miss the end of a term, and a bill the day of a renewal.
_SLACK_DAYS = 20.0
_EXPIRED = ("expiry", "expired", "expiration", "renewal", "renewed")


def terms_of_table(contracts: nw.LazyFrame[Any]) -> pd.DataFrame:
    """The rows of a table of contracts, as ``standing`` wants them.

    Parameters
    ----------
    contracts
        One row per contract, or per term of one: ``contract_id``, ``client_id``,
        ``starts_on``, ``ends_on``, ``value_per_month``, ``ended_by``.

    Returns
    -------
    pandas.DataFrame
        ``contract_id``, ``client_id``, ``start`` and ``end`` (days since 1970, end missing
        where open), ``told`` (who ended it is said, and it was not expiry),
        ``ended_unknown`` (it ended, on an unknown or impossible day), ``value_per_month``; a term that
        begins within a month of another one's end carries that one on.
    """
    word = nw.col("ended_by").fill_null("").str.to_lowercase()
    rows = collect(
        contracts.filter(~nw.col("starts_on").is_null(), ~nw.col("client_id").is_null())
        .select(
            "contract_id",
            "client_id",
            "starts_on",
            "ends_on",
            told=nw.when((word != "") & ~word.is_in(list(_EXPIRED))).then(1).otherwise(0),
            expired=nw.when(word.is_in(list(_EXPIRED))).then(1).otherwise(0),
            value_per_month=as_float("value_per_month"),
        )
        .sort("client_id", "starts_on", "contract_id"),
        max_rows=MAX_CONTRACTS,
    )
    start, end = (_days(rows[name]) for name in ("starts_on", "ends_on"))
    ended, backwards = rows["told"] + rows["expired"] > 0, end < start
    end = np.where(backwards, np.nan, end)
    rows = rows.assign(start=start, end=end, told=rows["told"] == 1, ended_unknown=backwards | (np.isnan(end) & ended))
    return _joined(rows.drop(columns=["starts_on", "ends_on", "expired"]))


def terms_of_deals(deals: nw.LazyFrame[Any], as_of: dt.date, term_months: int | None) -> pd.DataFrame:
    """Contracts as their bills show them: one per client, as long as the bills go on.

    A client's usual gap between bills (of all clients, where it has fewer than two gaps)
    is what a bill pays for. Where none came for one and a half of it, the contract ended
    with what was paid.

    Parameters
    ----------
    deals
        One row per bill of a contract: ``client_id``, ``closed_on``, ``amount``.
    as_of
        The day of the analysis.
    term_months
        Length of a term where it is known: the gap of clients with a single bill.

    Returns
    -------
    pandas.DataFrame
        As ``terms_of_table``, with ``seen``, the day up to which the bills prove that the
        contract ran, and ``gap_days``.
    """
    dated = deals.select("client_id", day=day_number("closed_on"), amount=as_float("amount"))
    per_day = dated.filter(nw.col("day") <= day_of(as_of)).group_by("client_id", "day").agg(nw.col("amount").sum())
    gaps = per_day.with_columns(gap=nw.col("day") - nw.col("day").shift(1).over("client_id", order_by="day"))
    rows = collect(
        gaps.group_by("client_id")
        .agg(
            nw.col("day").min().alias("start"),
            nw.col("day").max().alias("last"),
            nw.col("gap").median(),
            nw.col("gap").count().alias("gaps"),
            nw.col("amount").sum(),
        )
        .sort("client_id"),
        max_rows=MAX_CONTRACTS,
    )
    usual = rows.loc[rows["gaps"] >= 1, "gap"].median()
    if np.isnan(usual):
        usual = (term_months or USUAL_TERM_MONTHS) * DAYS_PER_MONTH
    gap = rows["gap"].where(rows["gaps"] >= 2, usual).to_numpy(dtype=np.float64)
    last, start = rows["last"].to_numpy(dtype=np.float64), rows["start"].to_numpy(dtype=np.float64)
    over = day_of(as_of) - last > _OVERDUE_AFTER * gap
    return pd.DataFrame(
        {
            "contract_id": rows["client_id"],
            "client_id": rows["client_id"],
            "start": start,
            "end": np.where(over, last + gap, np.nan),
            "told": False,
            "ended_unknown": False,
            "value_per_month": rows["amount"].to_numpy(dtype=np.float64) / ((last + gap - start) / DAYS_PER_MONTH),
            "seen": last + np.minimum(_SLACK_DAYS, gap / 4),
            "gap_days": gap,
        }
    )


def usual_term(terms: pd.DataFrame, as_of: dt.date) -> tuple[int, bool]:
    """The term that most contracts' lengths are multiples of, in months, and whether they show one.

    Lengths of running contracts count where there are five; they end with a term. Two years
    may be one term or two: a term above a year needs ten contracts, and where contracts
    run, some that have more than a year to go.
    """
    known = terms[terms["end"].notna() & (terms["end"] > terms["start"])]
    running = known[known["end"] >= day_of(as_of)]
    used = running if len(running) >= 5 else known
    days = (used["end"] - used["start"]).to_numpy(dtype=np.float64)
    shortest = float(terms["gap_days"].median()) / DAYS_PER_MONTH if "gap_days" in terms and len(terms) else 0.0
    longer = (running["end"] - day_of(as_of)) > USUAL_TERM_MONTHS * DAYS_PER_MONTH + _SLACK_DAYS
    may_be_long = len(days) >= _FEW and (running.empty or float(longer.mean()) >= _SHARE_OF_LONGER)
    for months in _TERMS:
        term = months * DAYS_PER_MONTH
        near = np.abs(days - np.round(days / term) * term) <= min(15.0, term / 6)
        fits = len(days) > 0 and float((near & (days > term / 2)).mean()) >= _SHARE_THAT_FITS
        if fits and (months <= USUAL_TERM_MONTHS or may_be_long) and months >= round(shortest):
            return months, True
    return max(USUAL_TERM_MONTHS, round(shortest)), False


def standing(terms: pd.DataFrame, as_of: dt.date, term_months: int) -> pd.DataFrame:
    """Where each contract stands on the day of the analysis.

    Parameters
    ----------
    terms
        From ``terms_of_table`` or ``terms_of_deals``.
    as_of
        The day of the analysis.
    term_months
        Length of a term.

    Returns
    -------
    pandas.DataFrame
        One row per contract, ordered by ``client_id``, ``contract_id``: those two, ``start``,
        ``running``, ``ended_at`` (the renewal at which it ended; 0 where it runs or the day
        is unknown), ``survived`` renewals, ``renewable`` (False once notice was given),
        ``months_to_start``, ``months_to_renewal`` (0 where it does not run),
        ``term_months``, ``value_per_month``.
    """
    today, term = float(day_of(as_of)), term_months * DAYS_PER_MONTH
    slack = min(_SLACK_DAYS, term / 4)
    start, end = terms["start"].to_numpy(dtype=np.float64), terms["end"].to_numpy(dtype=np.float64)
    is_open = np.isnan(end)
    running = ~terms["ended_unknown"].to_numpy(dtype=bool) & (is_open | (end >= today))
    in_all = _whole_terms(np.where(is_open, start + term, end) - start, term, slack)
    seen = terms["seen"].to_numpy(dtype=np.float64) if "seen" in terms else np.full(len(terms), today)
    passed = np.maximum(0, np.floor((seen + np.where(is_open, 0.0, slack) - start) / term))
    survived = np.where(is_open, passed, np.minimum(passed, in_all - 1))
    renews_on = np.where(is_open, start + (survived + 1) * term, end)
    frame = pd.DataFrame(
        {
            "contract_id": terms["contract_id"],
            "client_id": terms["client_id"],
            "start": start,
            "running": running,
            "ended_at": np.where(running | is_open, 0, in_all).astype(np.int64),
            "survived": np.where(running, survived, np.where(is_open, 0, in_all - 1)).astype(np.int64),
            "renewable": ~(running & terms["told"].to_numpy(dtype=bool)),
            "months_to_start": np.where(running, np.maximum(0.0, start - today), 0.0) / DAYS_PER_MONTH,
            "months_to_renewal": np.where(running, np.maximum(0.0, renews_on - today), 0.0) / DAYS_PER_MONTH,
            "term_months": float(term_months),
            "value_per_month": terms["value_per_month"].to_numpy(dtype=np.float64),
        }
    )
    return frame.sort_values(["client_id", "contract_id"], ignore_index=True)


def _days(dates: pd.Series[Any]) -> Floats:
    """Whole days since 1970; missing where there is no date."""
    days: Floats = np.floor((pd.to_datetime(dates) - pd.Timestamp(1970, 1, 1)).to_numpy() / np.timedelta64(1, "D"))
    return days


def _whole_terms(days: Floats, term: float, slack: float) -> Floats:
    """Terms that so many days make: a term that was broken off counts, a few days beyond one don't."""
    terms = days / term
    nearest = np.round(terms)
    counted: Floats = np.maximum(1, np.where(np.abs(days - nearest * term) <= slack, nearest, np.ceil(terms)))
    return counted


def _joined(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows that carry each other on made one: from the first one's start to the last one's end, at the last one's value."""
    before = _predecessors(rows)
    if (before < 0).all():
        return rows
    first = np.where(before < 0, np.arange(len(rows)), before)
    while (first[first] != first).any():
        first = first[first]
    latest = rows[~rows.index.isin(before[before >= 0])]
    return latest.assign(start=rows["start"].to_numpy()[first[latest.index]]).reset_index(drop=True)


def _predecessors(rows: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Position of the row that each row carries on, −1 where there is none; no row is carried on twice."""
    found = np.full(len(rows), -1, dtype=np.int64)
    again = rows[rows["client_id"].duplicated(keep=False)]
    ended = again[again["end"].notna() & ~again["told"] & (again["end"] > again["start"])]
    if ended.empty:
        return found
    ends = ended[["client_id", "start", "end"]].assign(earlier=ended.index, at=ended["end"]).sort_values("at", kind="stable")
    begins = again[["client_id", "start"]].assign(later=again.index, at=again["start"]).sort_values("at", kind="stable")
    pairs = pd.merge_asof(
        begins, ends, on="at", by="client_id", direction="nearest", tolerance=float(_JOIN_DAYS), suffixes=("", "_earlier")
    )
    pairs = pairs[pairs["earlier"].notna() & (pairs["start_earlier"] < pairs["start"])]
    pairs = pairs.assign(off=(pairs["start"] - pairs["end"]).abs()).sort_values(["off", "later"]).drop_duplicates("earlier")
    found[pairs["later"].to_numpy()] = pairs["earlier"].to_numpy(dtype=np.int64)
    return found
