"""What clients cost, quarter by quarter and from one purchase to the next: what loyalty is read from. A room of stage 2."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.engine import as_float, collect, day_number, day_of, month_number, month_of, month_start
from crm_methods.stages.segments import CostToServe, cost_of_contacts, evenly_spread

MAX_ROWS = 600_000
"""Client-quarters, or purchases, in memory; of more clients an evenly spread sample is taken."""
FIRST_YEARS = 4.0
"""Years in which loyalty may still grow; who has been a client for longer shows what moves costs beside it."""
MAX_PURCHASES = 300
"""Purchases of one client that count; what one more changes is seen long before."""
RECORDED_FROM = 0.25
"""Share of the median quarter's contacts below which a quarter counts as not recorded."""
_RECORD_BEGINS_DAYS = 365
"""A client that first buys later than this after the first deal on record came new; before it, it may be an old one."""
_MOST_QUARTERS = 40
_DAYS_PER_YEAR = 365.25


@dataclass(frozen=True, slots=True, eq=False)
class CostRecord:
    """Whole quarters in which contacts are recorded (counted as months since the year 0, by three), and what a minute costs.

    ``rates`` has one row per pool: ``pool``, ``rate_cost``, ``status``.
    """

    first_quarter: int
    last_quarter: int
    rates: pd.DataFrame

    @property
    def quarters(self) -> int:
        """How many quarters there are."""
        return self.last_quarter - self.first_quarter + 1

    @property
    def start(self) -> dt.date:
        """First day."""
        return month_start(3 * self.first_quarter)

    @property
    def end(self) -> dt.date:
        """Last day."""
        return month_start(3 * self.last_quarter + 3) - dt.timedelta(days=1)


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """Clients that bought, in the order of their ids, and of how many one was taken where they are more than memory takes.

    ``clients`` has one row per client: ``client_id``, ``first_day`` and ``last_day`` (of its purchases, days since 1970),
    ``last_quarter``, ``client_day`` (since when it is a client), ``is_dated`` (whether that is known), ``is_whole`` (whether
    its first purchase is on record).
    """

    clients: pd.DataFrame
    one_in: int


def cost_record(data: Canonical, settings: Company, cost: CostToServe) -> CostRecord | None:
    """The last quarters up to the as-of day in which contacts are on record without a break; None where there are none.

    A quarter with less than a quarter of the median quarter's contacts is not on record. A minute costs in all quarters what
    it costs in the period, so that a rise of wages does not look like a fall of loyalty.
    """
    end = month_of(settings.as_of) - (0 if pd.Timestamp(settings.as_of).is_month_end else 1)
    last_quarter = (end + 1) // 3 - 1
    contacts = data.scan("interactions").filter(~nw.col("started_at").is_null())
    counted = collect(contacts.with_columns(month=month_number("started_at")).group_by("month").agg(contacts=nw.len()))
    by_quarter = counted[counted["month"] // 3 <= last_quarter].groupby(counted["month"] // 3)["contacts"].sum()
    if by_quarter.empty:
        return None
    enough = set(by_quarter.index[by_quarter >= RECORDED_FROM * by_quarter.median()])
    first_quarter = last_quarter = max(enough)
    while first_quarter - 1 in enough and last_quarter - first_quarter + 1 < _MOST_QUARTERS:
        first_quarter -= 1
    return CostRecord(first_quarter, last_quarter, cost.table[["pool", "rate_cost", "status"]])


def histories(data: Canonical, settings: Company, record: CostRecord) -> Histories:
    """The clients that bought before and in the quarters on record; of more than memory takes, an evenly spread sample.

    A client's time begins with its first purchase, or with ``clients.since`` where that is earlier. Without the latter it is
    known for those alone that first bought more than a year after the first deal on record.
    """
    bought = _purchases(data, settings).with_columns(_day=day_number("closed_on"), _month=month_number("closed_on"))
    per_client = bought.group_by("client_id").agg(
        first_day=nw.col("_day").min(), last_day=nw.col("_day").max(), last_quarter=nw.col("_month").max() // 3
    )
    is_seen = nw.col("last_quarter") > record.first_quarter
    told = collect(
        per_client.select(n=nw.when(is_seen).then(nw.lit(1)).otherwise(nw.lit(0)).sum(), begins=nw.col("first_day").min())
    )
    count, begins = (int(told[name].fillna(0).iloc[0]) for name in ("n", "begins"))
    came_after, most = begins + _RECORD_BEGINS_DAYS, MAX_ROWS // record.quarters
    seen = per_client.filter(is_seen)
    chosen = seen if count <= most else evenly_spread(seen, most)
    since = data.scan("clients").select("client_id", since_day=day_number("since"))
    clients = collect(chosen.join(since, on="client_id", how="left"), max_rows=MAX_ROWS)
    clients = clients.sort_values("client_id", ignore_index=True)
    first, since_day = clients["first_day"], clients["since_day"].astype(float)
    came_new = first >= came_after
    return Histories(
        clients.drop(columns="since_day").assign(
            client_day=np.fmin(first, since_day),
            is_dated=came_new | since_day.notna(),
            is_whole=came_new & ~(since_day < came_after - _RECORD_BEGINS_DAYS),
        ),
        max(1, -(-count // most)),
    )


def client_quarters(data: Canonical, settings: Company, record: CostRecord, known: Histories) -> pd.DataFrame:
    """What each client cost in each quarter in which it certainly was one.

    Those are the whole quarters after its first purchase and ``costs.onboarding_days``, and before the quarter of its last
    purchase: a client that has left costs nothing, which is no fruit of loyalty.

    Returns
    -------
    pandas.DataFrame
        One row per client and quarter: ``client_id``, ``quarter``, ``years`` (as a client, in the middle of the quarter),
        ``first_years`` (the same, up to four), ``is_early`` (in the first four years, by a known beginning), ``is_late``
        (after them), ``cost``, ``revenue``, ``bought`` (0 or 1), ``log_revenue`` (0 where nothing was bought).
    """
    rows = _grid(known.clients, settings, record)
    if rows.empty:
        return rows.assign(cost=0.0, revenue=0.0, bought=0.0, log_revenue=0.0)
    chosen = data.engine.frame(known.clients[["client_id"]])
    costs = _costs(data.scan("interactions"), settings, record, "month")
    months = nw.col("month").is_between(3 * record.first_quarter, 3 * record.last_quarter + 2)
    sold = _purchases(data, settings).with_columns(month=month_number("closed_on")).filter(months)
    for frame, column in ((costs, "cost"), (sold, "revenue")):
        mine = frame.join(chosen, on="client_id", how="inner").with_columns(quarter=nw.col("month") // 3)
        summed = mine.group_by("client_id", "quarter").agg(nw.col(column).sum())
        rows = rows.merge(collect(summed, max_rows=MAX_ROWS), on=["client_id", "quarter"], how="left")
    rows = rows.assign(cost=rows["cost"].fillna(0.0).clip(lower=0.0), revenue=rows["revenue"].fillna(0.0))
    bought = rows["revenue"] > 0
    return rows.assign(bought=bought.astype(float), log_revenue=np.log(rows["revenue"].where(bought, 1.0)))


def client_purchases(data: Canonical, settings: Company, record: CostRecord, known: Histories) -> pd.DataFrame:
    """What each client cost from one purchase to the next, for clients whose first purchase is on record.

    Given how often a client bought, the times between its purchases come in no particular order, so that without an effect
    cost per purchase neither rises nor falls. Stretches that begin within ``costs.onboarding_days`` are left out.

    Returns
    -------
    pandas.DataFrame
        One row per client and purchase that has a next one: ``client_id``, ``so_far`` (purchases up to and with this one, at
        most 300), ``doublings`` (log2 of it), ``cost`` (up to the next one).
    """
    whole = known.clients.loc[known.clients["is_whole"], ["client_id", "first_day"]]
    whole = whole.iloc[:: max(1, -(-len(whole) * MAX_PURCHASES // MAX_ROWS))]
    if whole.empty:
        return pd.DataFrame({"client_id": [], "so_far": [], "doublings": [], "cost": []})
    chosen = data.engine.frame(whole)
    days = _purchases(data, settings).join(chosen, on="client_id", how="inner")
    days = days.select("client_id", "first_day", day=day_number("closed_on")).unique()
    ordered = days.with_columns(_one=nw.lit(1)).with_columns(
        so_far=nw.col("_one").cum_sum().over("client_id", order_by="day").cast(nw.Int64),
        next_day=nw.col("day").shift(-1).over("client_id", order_by="day"),
    )
    stretches = ordered.filter(
        nw.col("day") >= nw.col("first_day") + settings.costs.onboarding_days,
        nw.col("day") >= day_of(record.start),
        nw.col("next_day") <= day_of(record.end),
        nw.col("so_far") <= MAX_PURCHASES,
    )
    rows = collect(stretches, ["client_id", "so_far"], max_rows=MAX_ROWS)
    contacts = data.scan("interactions").join(chosen.select("client_id"), on="client_id", how="inner")
    asked = _with_purchases_so_far(contacts, days).filter(nw.col("so_far") <= MAX_PURCHASES)
    costs = _costs(asked, settings, record, "so_far")
    rows = rows.merge(collect(costs, max_rows=MAX_ROWS), on=["client_id", "so_far"], how="left")
    rows = rows.sort_values(["client_id", "so_far"], ignore_index=True)
    return rows.assign(cost=rows["cost"].fillna(0.0).clip(lower=0.0), doublings=np.log2(rows["so_far"].astype(float)))


def _purchases(data: Canonical, settings: Company) -> nw.LazyFrame[Any]:
    """Won deals that are no returns, dated up to the as-of day."""
    day = day_number("closed_on")
    won = data.scan("deals").filter(nw.col("status") == "won", nw.col("amount") >= 0, ~nw.col("closed_on").is_null())
    return won.filter(day <= day_of(settings.as_of)).with_columns(revenue=as_float("amount"))


def _grid(clients: pd.DataFrame, settings: Company, record: CostRecord) -> pd.DataFrame:
    """One row per client and quarter in which it certainly was one."""
    ordered = clients.sort_values("client_id", ignore_index=True)
    quarters = np.arange(record.first_quarter, record.last_quarter + 1)
    starts = np.array([day_of(month_start(3 * int(q))) for q in quarters])
    middles = (starts + np.array([day_of(month_start(3 * int(q) + 3)) for q in quarters])) / 2
    at, of = np.tile(np.arange(len(quarters)), len(ordered)), np.repeat(np.arange(len(ordered)), len(quarters))
    history = {name: ordered[name].to_numpy()[of] for name in ordered.columns}
    certain = (starts[at] >= history["first_day"] + settings.costs.onboarding_days) & (quarters[at] < history["last_quarter"])
    years = (middles[at] - history["client_day"]) / _DAYS_PER_YEAR
    rows = pd.DataFrame(
        {
            "client_id": history["client_id"],
            "quarter": quarters[at],
            "years": years,
            "first_years": np.minimum(years, FIRST_YEARS),
            "is_early": history["is_dated"] & (years < FIRST_YEARS),
            "is_late": years >= FIRST_YEARS,
        }
    )
    return rows[certain].reset_index(drop=True)


def _with_purchases_so_far(contacts: nw.LazyFrame[Any], purchases: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Contacts with how often their client had bought before; a contact on the day of a purchase comes before it."""
    texts, numbers = ("department", "channel", "kind"), ("handling_minutes", "direct_cost")
    asked = contacts.select(
        "client_id", *texts, *(as_float(name) for name in numbers), "started_at", day=day_number("started_at"), _bought=nw.lit(0)
    )
    bought = purchases.select(
        "client_id",
        *(nw.lit(None, nw.String).alias(name) for name in texts),
        *(nw.lit(None, nw.Float64).alias(name) for name in numbers),
        nw.lit(None, nw.Datetime("us")).alias("started_at"),
        "day",
        _bought=nw.lit(1),
    )
    counted = nw.concat([asked, bought]).with_columns(
        so_far=nw.col("_bought").cum_sum().over("client_id", order_by=["day", "_bought"]).cast(nw.Int64)
    )
    return counted.filter(nw.col("_bought") == 0, nw.col("so_far") > 0)


def _costs(contacts: nw.LazyFrame[Any], settings: Company, record: CostRecord, by: str) -> nw.LazyFrame[Any]:
    """What contacts cost, per client and ``by``: ``cost``."""
    served = cost_of_contacts(contacts, settings, record.rates, start=record.start, end=record.end, by=("client_id", by))
    return served.select("client_id", by, cost=nw.col("cost_to_serve"))
