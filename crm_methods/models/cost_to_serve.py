"""What each client costs to serve: time-driven activity-based costing.

A pool of costs (a department) supplies practical minutes; its rate is the cost of one of
them. Clients are charged the minutes their contacts took; what nobody used stays visible
as unused capacity and is never spread over clients.

References
----------
Kaplan & Anderson (2004), "Time-driven activity-based costing", Harvard Business Review 82(11).
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods.engine import as_float, collect, day_number, day_of, month_number
from crm_methods.models.btyd_fit import DAYS_PER_MONTH

NO_DEPARTMENT = "no department"
"""Pool of the contacts of which nobody knows who handled them."""

ACTIVITY = ("department", "channel", "kind")
"""What distinguishes activities: contacts alike in these take alike long."""

_MINUTES_PER_HOUR = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A pool of costs as the company describes it, where the ledger or the departments don't say it.

    Contacts belong to it by their channel and department: both where both are listed;
    to the department of the pool's own name where neither is.
    """

    name: str
    cost_per_month: float | None = None
    practical_minutes_per_month: float | None = None
    channels: tuple[str, ...] = ()
    departments: tuple[str, ...] = ()


def client_work(
    interactions: nw.LazyFrame[Any],
    *,
    start: dt.date,
    end: dt.date,
    pools: Sequence[Pool] = (),
    by: Sequence[str] = ("client_id",),
) -> nw.LazyFrame[Any]:
    """Contacts and minutes by client and activity, missing minutes filled in.

    A contact without ``handling_minutes`` takes the mean recorded minutes of its activity
    (department × channel × kind); of its department, or of all contacts, where none is recorded.

    Parameters
    ----------
    interactions
        One row per contact: ``client_id``, ``department``, ``channel``, ``kind``, ``started_at``,
        ``handling_minutes``, ``direct_cost`` and what ``by`` names.
    start, end
        First and last day that count.
    pools
        Pools that the company describes; the first that fits a contact has it.
    by
        Further grain beside the activity; ``month`` is the number that ``engine.month_number`` gives.

    Returns
    -------
    narwhals.LazyFrame
        One row per ``by``, ``pool`` and activity: ``contacts``, ``recorded_contacts`` (with minutes of their own),
        ``minutes`` (all contacts), ``direct_cost``.
    """
    day, minutes = day_number("started_at"), as_float("handling_minutes")
    contacts = (
        interactions.filter(day >= day_of(start), day <= day_of(end))
        .with_columns(
            *(nw.col(name).fill_null(NO_DEPARTMENT if name == "department" else "") for name in ACTIVITY),
            month=month_number("started_at"),
            _recorded=nw.when(minutes.is_null()).then(nw.lit(0)).otherwise(nw.lit(1)),
            _minutes=nw.when(minutes.is_null()).then(nw.lit(0.0)).otherwise(minutes),
            _direct=as_float("direct_cost").fill_null(0.0),
            _all=nw.lit(1),
        )
        .with_columns(pool=_pool_of(pools))
    )
    counted = contacts.group_by(*by, "pool", *ACTIVITY, "_all").agg(
        contacts=nw.len(),
        recorded_contacts=nw.col("_recorded").sum(),
        _minutes=nw.col("_minutes").sum(),
        direct_cost=nw.col("_direct").sum(),
    )
    # The standard minutes come from these sums, so the contacts themselves are read once.
    scopes = {"activity": ACTIVITY, "department": ("department",), "base": ("_all",)}
    sums = {f"_{column}_{scope}": nw.col(source).sum().over(*keys)
            for scope, keys in scopes.items()
            for column, source in (("n", "recorded_contacts"), ("m", "_minutes"))}  # fmt: skip
    standard: nw.Expr = nw.lit(0.0)
    for scope in reversed(scopes):
        n = nw.col(f"_n_{scope}")
        mean = nw.col(f"_m_{scope}") / nw.when(n > 0).then(n).otherwise(nw.lit(1))
        standard = nw.when(n > 0).then(mean).otherwise(standard)
    filled = nw.col("_minutes") + (nw.col("contacts") - nw.col("recorded_contacts")) * standard
    columns = (*by, "pool", *ACTIVITY, "contacts", "recorded_contacts", "minutes", "direct_cost")
    return counted.with_columns(**sums).with_columns(minutes=filled).select(*columns)


def activity_minutes(
    interactions: nw.LazyFrame[Any], *, start: dt.date, end: dt.date, pools: Sequence[Pool] = ()
) -> pd.DataFrame:
    """How long each activity takes: the standard times of the costing.

    Parameters are those of ``client_work``.

    Returns
    -------
    pandas.DataFrame
        One row per activity, most minutes first: ``pool``, ``department``, ``channel``, ``kind``, ``contacts``,
        ``recorded_share`` (contacts with minutes of their own, 0–1), ``mean_minutes``, ``minutes``, ``direct_cost``.
    """
    work = collect(client_work(interactions, start=start, end=end, pools=pools, by=()))
    table = work.assign(
        recorded_share=work["recorded_contacts"] / work["contacts"], mean_minutes=work["minutes"] / work["contacts"]
    )
    columns = ["pool", *ACTIVITY, "contacts", "recorded_share", "mean_minutes", "minutes", "direct_cost"]
    return table.sort_values(["minutes", *ACTIVITY], ascending=[False, True, True, True])[columns].reset_index(drop=True)


def pool_rates(
    interactions: nw.LazyFrame[Any],
    cost_ledger: nw.LazyFrame[Any],
    staff: nw.LazyFrame[Any],
    *,
    start: dt.date,
    end: dt.date,
    practical_share: float = 0.8,
    pools: Sequence[Pool] = (),
) -> pd.DataFrame:
    """The ledger, pool by pool: what clients used, what nobody used, what can't be allocated.

    A pool's cost is the company's own figure, else the ledger's, else (without any ledger) the
    staff's hours at their cost. Its practical minutes are the company's own figure, else the
    staff's paid hours × ``practical_share``. In every row, and so in all,
    ``allocated_cost + unused_cost + not_allocated_cost = cost``.

    Parameters
    ----------
    interactions
        As for ``client_work``.
    cost_ledger
        One row per pool and month: ``pool``, ``month``, ``amount``.
    staff
        One row per group: ``department``, ``people``, ``hours_per_month`` (paid, of one person), ``cost_per_hour``.
    start, end
        First and last day that count; ledger months whose first day is among them.
    practical_share
        Share of paid hours that can be worked (0–1).
    pools
        Pools that the company describes.

    Returns
    -------
    pandas.DataFrame
        One row per pool, dearest first: ``pool``, ``cost``, ``source`` (settings · ledger · staff · none),
        ``practical_minutes``, ``used_minutes``, ``used_share``, ``contacts``, ``rate_cost`` (of one minute; missing where
        nothing is allocated), ``allocated_cost``, ``unused_cost``, ``not_allocated_cost``, ``status`` and ``note``.
        Status: *allocated*; *overloaded* (more minutes used than practical: the cost is shared over the minutes used);
        *no activity* and *no capacity* (the cost is not allocated); *no cost* (minutes that nothing prices).
    """
    months = months_between(start, end)
    described = {pool.name: pool for pool in pools}
    activities = activity_minutes(interactions, start=start, end=end, pools=pools)
    used = activities.groupby("pool")[["minutes", "contacts"]].sum()
    ledger = _ledger_by_pool(cost_ledger, start, end)
    groups = collect(staff, ["department", "people", "hours_per_month", "cost_per_hour"])
    names = {*described, *used.index, *ledger.index, *(groups["department"] if ledger.empty else ())}
    rows = []
    for name in sorted(names):
        pool = described.get(name, Pool(name=name))
        team = groups[groups["department"].isin(pool.departments or (name,))]
        hours = team["people"] * team["hours_per_month"] * months
        cost, source, covered = _pool_cost(pool, ledger, hours, team["cost_per_hour"], months)
        practical = (
            pool.practical_minutes_per_month * covered
            if pool.practical_minutes_per_month is not None
            else float(hours.sum()) * _MINUTES_PER_HOUR * practical_share * covered / months
        )
        minutes, contacts = used.loc[name] if name in used.index else (0.0, 0)
        note = f"the ledger covers {covered:g} of {months:g} months" if covered < months else ""
        rows.append(_pool_row(name, cost, source, practical, float(minutes), int(contacts), note))
    table = pd.DataFrame(rows, columns=_POOL_COLUMNS)
    return table.sort_values(["cost", "pool"], ascending=[False, True]).reset_index(drop=True)


def activity_costs(activities: pd.DataFrame, rates: pd.DataFrame) -> pd.DataFrame:
    """What one contact of each activity costs.

    Takes what ``activity_minutes`` and ``pool_rates`` return; gives the former with
    ``contact_cost`` (mean minutes × rate + mean direct cost of one contact; missing where the pool has no rate)
    and ``activity_cost`` (of all its contacts).
    """
    rate = activities["pool"].map(rates.set_index("pool")["rate_cost"])
    cost = activities["minutes"] * rate + activities["direct_cost"]
    return activities.assign(contact_cost=cost / activities["contacts"], activity_cost=cost)


def priced_work(
    interactions: nw.LazyFrame[Any],
    rates: pd.DataFrame,
    *,
    start: dt.date,
    end: dt.date,
    pools: Sequence[Pool] = (),
    contact_costs: Mapping[str, float] | None = None,
    by: Sequence[str] = ("client_id",),
) -> nw.LazyFrame[Any]:
    """What ``client_work`` returns, with its price.

    Parameters
    ----------
    interactions, start, end, pools, by
        As for ``client_work``; days and pools equal to those ``rates`` were made from.
    rates
        What ``pool_rates`` returns: ``pool``, ``rate_cost``, ``status``.
    contact_costs
        Price of one contact by channel. It stands in, as direct cost, for contacts whose pool
        has the status *no cost*; priced minutes are never charged a second time.

    Returns
    -------
    narwhals.LazyFrame
        One row per ``by``, ``pool`` and activity, with ``time_cost``, and ``direct_cost`` that holds the prices too.
    """
    priced = rates.dropna(subset=["rate_cost"])
    rate = _lookup("pool", dict(zip(priced["pool"], priced["rate_cost"], strict=True)))
    unpriced = rates.loc[rates["status"] == "no cost", "pool"].tolist()
    price = nw.when(nw.col("pool").is_in(unpriced)).then(_lookup("channel", contact_costs or {})).otherwise(nw.lit(0.0))
    return client_work(interactions, start=start, end=end, pools=pools, by=by).with_columns(
        time_cost=nw.col("minutes") * rate, direct_cost=nw.col("direct_cost") + nw.col("contacts") * price
    )


def cost_by_client(work: nw.LazyFrame[Any], by: Sequence[str] = ("client_id",)) -> nw.LazyFrame[Any]:
    """What each client's contacts cost.

    Parameters
    ----------
    work
        What ``priced_work`` returns.
    by
        As it was given there.

    Returns
    -------
    narwhals.LazyFrame
        One row per client with a contact in the period (or per ``by``): ``client_id``, ``contacts``, ``minutes``,
        ``time_cost``, ``direct_cost``, ``cost_to_serve`` (the sum of both). Time costs add up to the allocated cost of ``rates``.
    """
    summed = work.group_by(*by).agg(*(nw.col(name).sum() for name in ("contacts", "minutes", "time_cost", "direct_cost")))
    # Engines add floats in any order; six decimals make the same client the same in every run.
    rounded = summed.with_columns(
        nw.col("contacts").cast(nw.Int64), *(nw.col(name).round(6) for name in ("minutes", "time_cost", "direct_cost"))
    )
    return rounded.with_columns(cost_to_serve=(nw.col("time_cost") + nw.col("direct_cost")).round(6))


def months_between(start: dt.date, end: dt.date) -> float:
    """Months from the first to the last day, both counted: 12 for 1 January to 31 December."""
    after = end + dt.timedelta(days=1)
    whole = (after.year - start.year) * 12 + after.month - start.month
    return max(whole + (after.day - start.day) / DAYS_PER_MONTH, 1 / DAYS_PER_MONTH)


_POOL_COLUMNS = (
    "pool", "cost", "source", "practical_minutes", "used_minutes", "used_share", "contacts", "rate_cost",
    "allocated_cost", "unused_cost", "not_allocated_cost", "status", "note",
)  # fmt: skip


def _pool_row(name: str, cost: float, source: str, practical: float, used: float, contacts: int, note: str) -> tuple[Any, ...]:
    if source == "none":
        status, rate = "no cost", math.nan
    elif contacts == 0 or used <= 0:
        status, rate = "no activity", math.nan
    elif practical <= 0:
        status, rate = "no capacity", math.nan
    elif used > practical:
        status, rate = "overloaded", cost / used
    else:
        status, rate = "allocated", cost / practical
    allocated = 0.0 if math.isnan(rate) else cost if status == "overloaded" else rate * used
    unused = cost - allocated if status == "allocated" else 0.0
    not_allocated = cost if math.isnan(rate) else 0.0
    capacity, used_share = (practical, used / practical) if practical > 0 else (math.nan, math.nan)
    return (name, cost, source, capacity, used, used_share, contacts, rate, allocated, unused, not_allocated, status, note)


def _pool_cost(
    pool: Pool, ledger: pd.DataFrame, hours: pd.Series[Any], cost_per_hour: pd.Series[Any], months: float
) -> tuple[float, str, float]:
    """A pool's cost in the period, where it comes from, and the months it covers."""
    if pool.cost_per_month is not None:
        return pool.cost_per_month * months, "settings", months
    if pool.name in ledger.index:
        amount, covered = ledger.loc[pool.name].to_numpy(dtype=float)
        return float(amount), "ledger", min(float(covered), months)
    if ledger.empty and cost_per_hour.notna().any():
        return float((hours * cost_per_hour).sum()), "staff", months
    return 0.0, "none", months


def _ledger_by_pool(cost_ledger: nw.LazyFrame[Any], start: dt.date, end: dt.date) -> pd.DataFrame:
    day = day_number("month")
    within = cost_ledger.filter(day >= day_of(start), day <= day_of(end)).with_columns(_month=month_number("month"))
    sums = within.group_by("pool").agg(amount=nw.col("amount").sum(), months=nw.col("_month").n_unique())
    return collect(sums).set_index("pool")[["amount", "months"]].sort_index()


def _pool_of(pools: Sequence[Pool]) -> nw.Expr:
    name: nw.Expr = nw.col("department")
    for pool in reversed(pools):
        conditions = [
            nw.col(column).is_in(list(options))
            for column, options in (("channel", pool.channels), ("department", pool.departments))
            if options
        ]
        if conditions:
            name = nw.when(reduce(lambda a, b: a & b, conditions)).then(nw.lit(pool.name)).otherwise(name)
    return name


def _lookup(column: str, values: Mapping[str, float]) -> nw.Expr:
    found: nw.Expr = nw.lit(0.0)
    for key, value in values.items():
        found = nw.when(nw.col(column) == key).then(nw.lit(float(value))).otherwise(found)
    return found
