"""Stage 1, third room: how the base moves and how concentrated it is."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import current_period
from crm_methods.company.settings import Company
from crm_methods.engine import collect, month_number, month_of, month_start
from crm_methods.models.concentration import gini
from crm_methods.models.rates import wilson_interval

TOP_NAMES = 10
MAX_COHORTS = 16
MAX_QUARTERS_LATER = 12
_CURVE_POINTS = 100
_SHOWN_MONTHS = 12
_CHART_MONTHS = 60
_YEAR_LATER = 4
_TOLD_QUARTERS = ("1", "2", "3", "4", "8", "12")
_ORDINALS = {1: "first", 2: "second", 3: "third", 4: "fourth"}
_MAX_COUNTED = 1_000_000


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class MonthlyFlow(Answer):
    """Clients coming and going: ``months`` has one row per month, ``burn_in_until`` the first month that can be read.

    Before ``burn_in_until`` a client counts as new when it is seen for the first time, even if it bought before
    the data begin.
    """

    months: pd.DataFrame
    drawn: pd.DataFrame
    burn_in_until: pd.Timestamp
    lapse_months: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Cohorts(Answer):
    """Who comes back: ``retention`` has a row per cohort and quarter later; ``map`` a row per cohort, wide.

    ``old_clients`` is the name of the first cohort, which holds everybody who was there when the data begin.
    """

    retention: pd.DataFrame
    map: pd.DataFrame
    old_clients: str


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Concentration(Answer):
    """How much of revenue the largest clients bring: ``curve`` ranks them from the largest down."""

    curve: pd.DataFrame
    clients: int
    top_share: float
    gini: float | None


def lapse_months(settings: Company) -> int:
    """Months without a purchase after which a client counts as lost: the length of the period.

    The one place where the threshold is set. With it the clients that count as active at the end of a month are
    those that bought in the period which ends there.
    """
    return settings.segments.period_months


def purchases(data: Canonical) -> nw.LazyFrame[Any]:
    """Won deals that are no return: ``client_id`` and ``closed_on``."""
    deals = data.scan("deals").filter(nw.col("status") == "won", nw.col("amount") >= 0, ~nw.col("closed_on").is_null())
    return deals.select("client_id", "closed_on")


@answers("client_base.monthly_flow")
def monthly_flow(data: Canonical, settings: Company) -> MonthlyFlow | Unanswered:
    """Clients new, active, lost and returned, month by month.

    Returns
    -------
    MonthlyFlow
        Identity: active = active a month earlier + new + returned − lost. A month that is not over on the as-of
        day is left out.
    """
    pause, last = lapse_months(settings), last_whole(settings.as_of)
    months = flow_by_month(purchases(data), last, pause)
    if months.empty:
        reason = f"no purchase lies in a whole month up to {formats.date(settings.as_of)}."
        return Unanswered("client_base.monthly_flow", reason, ("deals.closed_on: won deals of whole months",))
    burn_in = months["month"].iloc[0] + pd.DateOffset(months=pause)
    readable = months[months["month"] >= burn_in]
    drawn = (readable if len(readable) >= min(pause, _SHOWN_MONTHS) else months).tail(_CHART_MONTHS)
    return MonthlyFlow(
        sentence=_flow_sentence(months, burn_in, pause),
        table=months.tail(_SHOWN_MONTHS).reset_index(drop=True),
        caption=f"Clients per month; active = bought within the {formats.plural(pause, 'month')} that end with it",
        months=months,
        drawn=drawn.reset_index(drop=True),
        burn_in_until=burn_in,
        lapse_months=pause,
    )


def flow_by_month(bought: nw.LazyFrame[Any], last: int, pause: int) -> pd.DataFrame:
    """Count who is new, returned, lost and active in each month.

    Parameters
    ----------
    bought
        One row per purchase: ``client_id``, ``closed_on``.
    last
        Number of the last month counted (``engine.month_number``).
    pause
        Months without a purchase after which a client is lost: who bought last in month p is lost in p + pause.

    Returns
    -------
    pandas.DataFrame
        ``month`` (first day), ``new``, ``returned``, ``lost``, ``active`` (at its end), from the first month with a
        purchase to ``last``.
    """
    bought_in = bought.select("client_id", number=month_number("closed_on")).unique().filter(nw.col("number") <= last)
    ordered = bought_in.with_columns(
        earlier=nw.col("number").shift(1).over("client_id", order_by="number"),
        later=nw.col("number").shift(-1).over("client_id", order_by="number"),
    )
    came = ordered.with_columns(
        new=nw.when(nw.col("earlier").is_null()).then(1).otherwise(0),
        returned=nw.when(nw.col("number") - nw.col("earlier") > pause).then(1).otherwise(0),
    )
    gone = ordered.filter(nw.col("later").is_null() | (nw.col("later") - nw.col("number") > pause))
    arrivals = collect(came.group_by("number").agg(nw.col("new").sum(), nw.col("returned").sum())).set_index("number")
    departures = collect(gone.group_by("number").agg(nw.len().alias("lost"))).set_index("number")
    if arrivals.empty:
        empty = {"month": "datetime64[ns]", **dict.fromkeys(("new", "returned", "lost", "active"), "int64")}
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in empty.items()})
    numbers = pd.RangeIndex(int(arrivals.index.min()), last + 1)
    departures.index = departures.index + pause
    flow = arrivals.reindex(numbers, fill_value=0).join(departures.reindex(numbers, fill_value=0)).astype("int64")
    flow = flow.assign(active=(flow["new"] + flow["returned"] - flow["lost"]).cumsum())
    return flow.assign(month=pd.to_datetime([month_start(int(n)) for n in numbers])).reset_index(drop=True)[
        ["month", "new", "returned", "lost", "active"]
    ]


@answers("client_base.cohorts")
def cohorts(data: Canonical, settings: Company) -> Cohorts | Unanswered:
    """The share of clients that buy again, by the quarter of their first purchase and quarters since.

    Returns
    -------
    Cohorts
        ``retention``: ``cohort`` (first day of the quarter), ``quarters_later``, ``clients`` that bought,
        ``cohort_clients``, ``bought_share`` (0–1). Quarters that are not over on the as-of day are left out.
    """
    last_quarter = (last_whole(settings.as_of) + 1) // 3 - 1
    retention = retention_by_cohort(purchases(data), last_quarter)
    if retention.empty:
        reason = f"no client first bought at least one whole quarter before {formats.date(settings.as_of)}."
        return Unanswered("client_base.cohorts", reason, ("deals.closed_on: a longer history of won deals",))
    shown = retention[retention["cohort"].isin(sorted(retention["cohort"].unique())[-MAX_COHORTS:])]
    shown = shown[shown["quarters_later"] <= MAX_QUARTERS_LATER]
    wide = shown.pivot(index=["cohort", "cohort_clients"], columns="quarters_later", values="bought_share")
    wide.columns = [str(later) for later in wide.columns]
    table = wide.reset_index()
    told = [name for name in _TOLD_QUARTERS if name in wide.columns]
    first = retention["cohort"].min()
    old_clients = f"{'up to ' if retention['cohort'].nunique() > 1 else ''}{quarter_label(first)}"
    table = table.assign(cohort=[old_clients if day == first else quarter_label(day) for day in table["cohort"]])
    return Cohorts(
        sentence=_cohort_sentence(retention),
        table=table[["cohort", "cohort_clients", *told]].rename(columns={name: f"quarter_{name}_share" for name in told}),
        caption="Share of each cohort (clients by the quarter of their first purchase) that bought in the n-th quarter after it",
        labels={"cohort": "First purchase", "cohort_clients": "Clients", **{f"quarter_{n}_share": f"+{n}" for n in told}},
        retention=retention,
        map=table,
        old_clients=old_clients,
    )


def retention_by_cohort(bought: nw.LazyFrame[Any], last_quarter: int) -> pd.DataFrame:
    """Count, per cohort and quarter since its first purchase, the clients that bought.

    Parameters
    ----------
    bought
        One row per purchase: ``client_id``, ``closed_on``.
    last_quarter
        Number of the last whole quarter (months since the year 0, by three).

    Returns
    -------
    pandas.DataFrame
        As ``Cohorts.retention``; quarter 0, which is 100 % by definition, is left out.
    """
    quarters = bought.select("client_id", quarter=month_number("closed_on") // 3).unique()
    quarters = quarters.filter(nw.col("quarter") <= last_quarter)
    marked = quarters.with_columns(cohort=nw.col("quarter").min().over("client_id"))
    counted = marked.group_by("cohort", "quarter").agg(nw.len().alias("clients"))
    found = collect(counted, max_rows=_MAX_COUNTED).set_index(["cohort", "quarter"])["clients"]
    rows = [
        (quarter_start(int(c)), int(q - c), int(found.get((c, q), 0)), int(found[(c, c)]))
        for c in sorted({c for c, _ in found.index})
        for q in range(int(c) + 1, last_quarter + 1)
    ]
    table = pd.DataFrame(rows, columns=["cohort", "quarters_later", "clients", "cohort_clients"])
    return table.assign(cohort=pd.to_datetime(table["cohort"]), bought_share=table["clients"] / table["cohort_clients"])


@answers("client_base.concentration")
def concentration(data: Canonical, settings: Company, facts: nw.LazyFrame[Any]) -> Concentration | Unanswered:
    """How much of the period's revenue the largest clients bring.

    Parameters
    ----------
    data, settings
        The company.
    facts
        ``client_facts``.

    Returns
    -------
    Concentration
        ``table``: the ten largest clients. ``curve``: ``rank``, ``client_share``, ``cumulative_revenue``,
        ``cumulative_revenue_share`` from the largest client down (the Lorenz curve read from its top).
        The Gini coefficient only from 300 clients on.
    """
    paying = facts.filter(nw.col("revenue") > 0)
    totals = collect(paying.select(nw.len().alias("clients"), nw.col("revenue").sum().alias("revenue"))).iloc[0]
    clients, revenue = int(totals["clients"]), float(totals["revenue"] or 0)
    if clients < 2:
        found = f"{'only one client' if clients else 'no client'} has revenue in {current_period(settings).label}."
        return Unanswered("client_base.concentration", found, ("deals.amount: won deals of at least two clients in the period",))
    ranked = _ranked(paying)
    grid = (math.ceil(clients * k / _CURVE_POINTS) for k in range(1, _CURVE_POINTS + 1))
    points = sorted({*range(1, min(TOP_NAMES, clients) + 1), *grid})
    curve = collect(ranked.filter(nw.col("rank").is_in(points)).select("rank", "cumulative_revenue"))
    curve = curve.sort_values("rank", ignore_index=True).astype({"rank": "int64"})
    curve = curve.assign(client_share=curve["rank"] / clients, cumulative_revenue_share=curve["cumulative_revenue"] / revenue)
    curve = curve[["rank", "client_share", "cumulative_revenue", "cumulative_revenue_share"]]
    named = ["client_id", "name", "industry", "revenue", "cumulative_revenue", "rank"]
    top = collect(ranked.filter(nw.col("rank") <= TOP_NAMES).select(*named))
    top = top.sort_values("rank", ignore_index=True)
    table = pd.DataFrame(
        {
            "client": top["name"].where(top["name"].notna(), top["client_id"]),
            "industry": top["industry"],
            "revenue": top["revenue"],
            "revenue_share": top["revenue"] / revenue,
            "cumulative_share": top["cumulative_revenue"] / revenue,
        }
    )
    if table["industry"].isna().all():
        table = table.drop(columns="industry")
    unequal = gini(paying, "revenue")
    below_zero = facts.filter(nw.col("revenue") < 0)
    negative = collect(below_zero.select(nw.len().alias("clients"), nw.col("revenue").sum().alias("revenue"))).iloc[0]
    return Concentration(
        sentence=_concentration_sentence(curve, clients, revenue, unequal, negative, settings),
        table=table,
        caption=f"The largest clients by revenue ({settings.currency}), {current_period(settings).label}",
        curve=curve,
        clients=clients,
        top_share=float(table["cumulative_share"].iloc[-1]),
        gini=unequal,
    )


def last_whole(as_of: dt.date) -> int:
    """Number of the last month that is over on the as-of day."""
    return month_of(as_of) - (0 if pd.Timestamp(as_of).is_month_end else 1)


def quarter_start(number: int) -> dt.date:
    """First day of a quarter counted as months since the year 0, by three."""
    return month_start(number * 3)


def quarter_label(day: Any) -> str:
    """A quarter as ``2024 Q3``."""
    return f"{day.year} Q{(day.month + 2) // 3}"


def _ranked(paying: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Clients from the largest down; equal ones in the order of their ids, so that a rank is always the same client."""
    ordered = paying.with_columns(falling=-nw.col("revenue"), one=nw.lit(1))
    return ordered.with_columns(
        rank=nw.col("one").cum_sum().over(order_by=["falling", "client_id"]),
        cumulative_revenue=nw.col("revenue").cum_sum().over(order_by=["falling", "client_id"]),
    )


def _flow_sentence(months: pd.DataFrame, burn_in: pd.Timestamp, pause: int) -> str:
    window = months.tail(pause)
    last = window["month"].iloc[-1]
    before = int(months["active"].iloc[-len(window) - 1]) if len(months) > len(window) else 0
    after = int(months["active"].iloc[-1])
    new, returned, lost = (int(window[name].sum()) for name in ("new", "returned", "lost"))
    newcomers = formats.plural(new, "new client") if new else "no new client"
    text = (
        f"In the {formats.plural(len(window), 'month')} to {formats.month(last)} {newcomers} came, "
        f"{formats.number(returned)} returned and {formats.number(lost)} {'was' if lost == 1 else 'were'} lost: "
        f"active clients went from {formats.number(before)} to {formats.number(after)}. "
        f"Lost means {formats.plural(pause, 'month')} without a purchase."
    )
    if window["month"].iloc[0] < burn_in:
        text += (
            f" The data begin in {formats.month(months['month'].iloc[0])}: before {formats.month(burn_in)}"
            " nobody can be lost yet, and old clients seen for the first time count as new."
        )
    return text


def _cohort_sentence(retention: pd.DataFrame) -> str:
    first = retention["cohort"].min()
    later_ones = retention[retention["cohort"] > first]
    # The first cohort holds every client that was there when the data begin: it is not a cohort of newcomers.
    pooled = retention if later_ones.empty else later_ones
    later = min(_YEAR_LATER, int(pooled["quarters_later"].max()))
    at = pooled[pooled["quarters_later"] == later]
    back, of = int(at["clients"].sum()), int(at["cohort_clients"].sum())
    low, high = wilson_interval(back, of)
    text = (
        f"In the {_ORDINALS[later]} quarter after their first purchase {formats.number(back)} of"
        f" {formats.plural(of, 'client')} bought ({formats.share(back / of)}; 95% interval"
        f" {formats.interval(low, high, formats.share)})."
    )
    if later_ones.empty:
        return f"{text} All of them belong to one cohort, {quarter_label(first)}, so cohorts can't be compared."
    return (
        f"{text} The cohort of {quarter_label(first)} is left out of that:"
        " it holds every client that was there when the data begin."
    )


def _concentration_sentence(
    curve: pd.DataFrame, clients: int, revenue: float, unequal: float | None, negative: pd.Series[Any], settings: Company
) -> str:
    names = min(TOP_NAMES, clients)
    top = float(curve.loc[curve["rank"] == names, "cumulative_revenue_share"].iloc[0])
    text = f"The {names} largest of {formats.plural(clients, 'paying client')} bring {formats.share(top)} of revenue"
    if clients > 5 * TOP_NAMES:
        half = curve[curve["cumulative_revenue_share"] >= 0.5].iloc[0]
        text += f", and half of it comes from the largest {formats.share(half['client_share'])}"
    text += f"; the Gini coefficient is {formats.number(unequal, 2)}." if unequal is not None else "."
    if negative["clients"]:
        count = int(negative["clients"])
        text += (
            f" {formats.plural(count, 'client')} whose returns exceed {'its' if count == 1 else 'their'} purchases"
            f" ({formats.money(float(negative['revenue']), settings.currency)}) {'is' if count == 1 else 'are'} left out."
        )
    return text
