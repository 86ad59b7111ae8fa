"""The period and the one before it, client by client and part by part: what certainty and migration are told from. A room
of stage 2.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_methods import formats
from crm_methods.company.answers import Unanswered
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import Period, current_period, previous_period
from crm_methods.company.settings import Company
from crm_methods.engine import as_float, collect, day_number, day_of
from crm_methods.models import cost_to_serve as tdabc
from crm_methods.models.period_resampling import PARTS
from crm_methods.stages.segments import CostToServe, client_economics, cost_to_serve, evenly_spread, knows_payments

MAX_CLIENTS = 200_000
"""Clients that are resampled in memory; of more, an evenly spread sample is."""

Floats = NDArray[np.float64]
_ROUNDING = 1e-4
"""What the clients' totals are rounded to."""


@dataclass(frozen=True, slots=True, eq=False)
class Periods:
    """What is known of the period and of the one before.

    ``parts`` and ``parts_before`` have one row per client and part of the period (0 to ``PARTS`` − 1) in which something
    happened: ``client_id``, ``part``, ``revenue``, ``cost`` (to serve). ``economics_before`` has one row per client, as
    ``client_economics``. Of the period before all are None where the data don't reach back, and ``reason`` says so.
    """

    current: Period
    previous: Period
    parts: nw.LazyFrame[Any]
    is_dated: bool
    knows_cost: bool
    economics_before: nw.LazyFrame[Any] | None = None
    parts_before: nw.LazyFrame[Any] | None = None
    knows_cost_before: bool = False
    reason: str = ""
    reason_cost: str = ""


def two_periods(
    data: Canonical,
    settings: Company,
    cost: CostToServe | Unanswered,
    keep: Callable[..., nw.LazyFrame[Any]] | None = None,
) -> Periods:
    """The period and the one before it, of the same length; each is priced by its own rates.

    The period before counts where the first won deal is not later than its first part. Its cost to serve counts where the
    first contact is not, and its contacts have a price.

    Parameters
    ----------
    cost
        The cost to serve of the period.
    keep
        ``Stage.write``: the period before is then written as ``client_economics_before`` and read back.
    """
    current, previous = current_period(settings), previous_period(settings)
    dated = data.has("deals", "closed_on")
    parts = _parts(data, settings, current, cost)
    told: dict[str, Any] = {
        "current": current,
        "previous": previous,
        "parts": parts,
        "is_dated": dated,
        "knows_cost": not isinstance(cost, Unanswered),
    }
    reason = _too_late(data, "deals", "closed_on", "deal", previous)
    if settings.segments.revenue_axis != "deals" and not reason.startswith("no "):
        reason = ""
    if reason:
        return Periods(**told, reason=reason)
    before = settings.model_copy(update={"as_of": previous.end})
    cost_before = cost_to_serve(data, before)
    reason_cost = _too_late(data, "interactions", "started_at", "contact", previous)
    economics = client_economics(data, before, cost_before)
    if knows_payments(data) and _too_late(data, "invoices", "due_on", "invoice", previous):
        economics = _with_present_payments(economics, client_economics(data, settings, cost))
    if keep is not None:
        economics = keep("client_economics_before", economics, grain="one row per client", key=["client_id"], totals=["revenue"])
    if not reason_cost and not _is_priced(economics):
        reason_cost = f"no contact between {previous.label} has a price"
    return Periods(
        **told,
        economics_before=economics,
        parts_before=_parts(data, settings, previous, cost_before),
        knows_cost_before=not reason_cost,
        reason_cost=reason_cost,
    )


def _with_present_payments(before: nw.LazyFrame[Any], now: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """The period before with the late payment of the present one, where invoices begin too late to know its own.

    Else every client that pays late would seem to have become dearer.
    """
    late = now.select("client_id", late=nw.col("payment_cost").fill_null(0.0))
    joined = before.join(late, on="client_id", how="left")
    taken = nw.when(nw.col("deals") > 0).then(nw.col("late").fill_null(0.0)).otherwise(nw.lit(0.0))
    gained = taken - nw.col("payment_cost").fill_null(0.0)
    joined = joined.with_columns(payment_cost=taken, cost_to_serve=(nw.col("cost_to_serve") + gained).round(6))
    return joined.with_columns(contribution=(nw.col("margin") - nw.col("cost_to_serve")).round(4)).drop("late")


def in_memory(clients: nw.LazyFrame[Any]) -> pd.DataFrame:
    """The clients of a frame with a row per client, by their id; evenly spread ones where they are more than ``MAX_CLIENTS``."""
    # One row more tells whether there are more, without counting them first.
    rows = collect(clients.head(MAX_CLIENTS + 1), max_rows=MAX_CLIENTS + 1)
    if len(rows) > MAX_CLIENTS:
        rows = collect(evenly_spread(clients, MAX_CLIENTS), max_rows=MAX_CLIENTS)
    return rows.sort_values("client_id", ignore_index=True)


def in_columns(parts: nw.LazyFrame[Any], clients: pd.DataFrame, revenue: str, cost: str) -> tuple[Floats, Floats]:
    """Revenue and cost of ``clients``, one row per client and one column per part.

    Parameters
    ----------
    parts
        What ``Periods`` holds; clients that are not among ``clients`` are left out.
    clients
        One row per client: ``client_id``, and its whole revenue and cost in the columns that ``revenue`` and ``cost`` name
        (missing counts as none). Cost that no contact explains (of deliveries and payments) falls into the parts with deals.
    """
    rows = collect(parts, ["client_id", "part", "revenue", "cost"], max_rows=PARTS * MAX_CLIENTS)
    places = pd.Index(clients["client_id"]).get_indexer(pd.Index(rows["client_id"]))
    known = places >= 0
    at = places[known], rows["part"].to_numpy(dtype=int)[known]
    values = {column: rows[column].to_numpy(dtype=float)[known] for column in ("revenue", "cost")}
    sold = _whole(clients[revenue], values["revenue"], at, np.zeros((len(clients), PARTS)))
    return sold, _whole(clients[cost], values["cost"], at, np.abs(sold))


def _whole(totals: pd.Series[Any], values: Floats, at: tuple[Any, Any], beside: Floats) -> Floats:
    """``values`` in their parts, with what they lack to ``totals`` in proportion to ``beside``, or evenly where that is 0."""
    table: Floats = np.zeros((len(totals), PARTS))
    np.add.at(table, at, values)
    whole, sums = totals.fillna(0.0).to_numpy(dtype=float), table.sum(axis=1)
    rest = whole - sums
    # What rounding leaves is not spread over all parts: a client of whom no purchase is drawn has no revenue, however small.
    is_rounding = np.abs(rest) <= _ROUNDING * (1 + np.abs(table).sum(axis=1) / 100)
    table *= np.where(is_rounding & (sums != 0), whole / np.where(sums == 0, 1.0, sums), 1.0)[:, None]
    weight = np.where(beside.sum(axis=1, keepdims=True) > 0, beside, 1.0)
    table += np.where(is_rounding, 0.0, rest)[:, None] * weight / weight.sum(axis=1, keepdims=True)
    return table


def first_part(data: Canonical, period: Period) -> int:
    """The part of the period in which the base's first won deal or first contact lies: 0 where history reaches further back.

    ``PARTS`` where nothing is dated or all of it came later.
    """
    days = [_first_day(data, table, column) for table, column in (("deals", "closed_on"), ("interactions", "started_at"))]
    known = [day for day in days if day is not None]
    if not known:
        return PARTS
    return min(PARTS, max(0, (min(known) - period.start).days * PARTS // _days(period)))


def _first_day(data: Canonical, table: str, column: str) -> dt.date | None:
    """The day of the first won deal or contact; None where none is dated."""
    if not data.has(table, column):
        return None
    rows = data.scan(table)
    if table == "deals":
        rows = rows.filter(nw.col("status") == "won")
    first = collect(rows.select(nw.col(column).min()))[column]
    return None if not len(first) or pd.isna(first.iloc[0]) else pd.Timestamp(first.iloc[0]).date()


def _parts(data: Canonical, settings: Company, period: Period, cost: CostToServe | Unanswered) -> nw.LazyFrame[Any]:
    sold = _sold_by_part(data, period)
    if not isinstance(cost, Unanswered):
        sold = nw.concat([sold, _served_by_part(data, settings, period, cost)])
    return sold.group_by("client_id", "part").agg(nw.col("revenue").sum(), nw.col("cost").sum())


def _sold_by_part(data: Canonical, period: Period) -> nw.LazyFrame[Any]:
    won = data.scan("deals").filter(nw.col("status") == "won").select("client_id", "amount", day=day_number("closed_on"))
    summed = _sums_by_part(won, "amount", period)
    return summed.select("client_id", "part", revenue=as_float("amount").fill_null(0.0), cost=nw.lit(0.0))


def _served_by_part(data: Canonical, settings: Company, period: Period, cost: CostToServe) -> nw.LazyFrame[Any]:
    """What the contacts cost by the rates of the pools, as ``cost_to_serve.cost_by_client`` prices them.

    By client and part there are nearly as many sums as contacts, and to find standard times in them again takes almost three
    times as long as to join those of the period.
    """
    known = [nw.col(name).fill_null(tdabc.NO_DEPARTMENT if name == "department" else "") for name in tdabc.ACTIVITY]
    minutes, direct = as_float("handling_minutes").alias("minutes"), as_float("direct_cost").fill_null(0.0)
    contacts = data.scan("interactions").select("client_id", *known, minutes, direct, day=day_number("started_at"))
    activities = data.engine.frame(_activity_prices(settings, cost))
    priced = _within(contacts, period).join(activities, on=list(tdabc.ACTIVITY), how="left")
    # An activity takes the mean of its recorded minutes, or its department's where none is recorded: its mean minutes either way.
    own = nw.when(nw.col("minutes").is_null()).then(nw.col("mean_minutes")).otherwise(nw.col("minutes"))
    spent = priced.select("client_id", "day", cost=own * nw.col("rate_cost") + nw.col("direct_cost") + nw.col("contact_price"))
    summed = _sums_by_part(spent, "cost", period)
    return summed.select("client_id", "part", revenue=nw.lit(0.0), cost=nw.col("cost").round(9))


def _activity_prices(settings: Company, cost: CostToServe) -> pd.DataFrame:
    """One row per activity: its mean minutes, the cost of one of them, and what a contact costs where its pool has no cost."""
    rates = cost.table.set_index("pool")
    activities, pool = cost.activities, cost.activities["pool"]
    channel_price = activities["channel"].map(settings.costs.contact).fillna(0.0).astype(float)
    return activities[[*tdabc.ACTIVITY, "mean_minutes"]].assign(
        rate_cost=pool.map(rates["rate_cost"]).fillna(0.0).astype(float),
        contact_price=channel_price.where(pool.map(rates["status"]) == "no cost", 0.0),
    )


def _within(rows: nw.LazyFrame[Any], period: Period) -> nw.LazyFrame[Any]:
    return rows.filter(nw.col("day") >= day_of(period.start), nw.col("day") <= day_of(period.end))


def _sums_by_part(rows: nw.LazyFrame[Any], column: str, period: Period) -> nw.LazyFrame[Any]:
    part = (nw.col("day") - day_of(period.start)) * PARTS // _days(period)
    dated = _within(rows, period).with_columns(part=part.cast(nw.Int64))
    return dated.group_by("client_id", "part").agg(nw.col(column).sum())


def _days(period: Period) -> int:
    return (period.end - period.start).days + 1


def _too_late(data: Canonical, table: str, column: str, noun: str, previous: Period) -> str:
    """Why the events of a table tell nothing of the whole previous period; empty where they do."""
    if not data.has(table, column):
        return f"no {noun} is dated"
    day = _first_day(data, table, column)
    if day is None:
        return f"no {'won ' if table == 'deals' else ''}{noun} is dated"
    if day <= previous.start + dt.timedelta(days=_days(previous) // PARTS):
        return ""
    return f"the first {noun} is of {formats.date(day)}, and the period before is {previous.label}"


def _is_priced(economics: nw.LazyFrame[Any]) -> bool:
    most = collect(economics.select(nw.col("cost_to_serve").max()))["cost_to_serve"]
    return bool(len(most)) and pd.notna(most.iloc[0]) and float(most.iloc[0]) > 0
