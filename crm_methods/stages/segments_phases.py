"""What it costs to win, to start and to keep a client, and whether the matrix only tells new clients from old. A room of
stage 2.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import Period, current_period
from crm_methods.company.settings import Company
from crm_methods.engine import as_float, collect, day_number, day_of, month_number, month_of
from crm_methods.models import rates
from crm_methods.models.btyd_fit import DAYS_PER_MONTH
from crm_methods.models.payment_delay import capital_cost, overdue_invoices
from crm_methods.models.rank_correlation import RankCorrelation, rank_correlation
from crm_methods.stages.segments import (
    CostToServe,
    capital_rate,
    cost_of_contacts,
    evenly_spread,
    knows_payments,
    read_once,
    won_deals,
)
from crm_methods.stages.segments_matrix import Matrix

PHASES = {
    "acquisition": "Acquisition: before the first purchase",
    "onboarding": "Onboarding: the first days from it on",
    "run_rate": "Run-rate: later",
}
"""The phases of a client, in words."""
MAX_CLIENTS = 200_000
"""Clients in memory for the comparison with tenure; of more as many, evenly spread over the ids."""
FEWEST_QUARTERS = 4
WEAK_BELOW = 0.2
"""A rank correlation nearer to 0 than this is called weak."""
_FEWEST_DAYS = 30
"""Days after its start that a client must have in the period for its cost of being kept to be known."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CostPhases(Answer):
    """Cost to serve by phase; ``phases`` has one row per phase.

    ``known_quarters`` are the quarters of the period in which both contacts and their cost are recorded, ``with_tenure`` the
    rank correlation of cost per revenue with the days since a client's first purchase. Of ``compared_clients`` so many as
    ``moved_clients`` would stand in another cell by the cost of keeping alone.
    """

    phases: pd.DataFrame
    known_quarters: int
    with_tenure: RankCorrelation | None
    compared_clients: int
    moved_clients: int


@answers("segments.cost_phases")
def cost_phases(
    data: Canonical, settings: Company, economics: nw.LazyFrame[Any], cost: CostToServe, matrix: Matrix
) -> CostPhases | Unanswered:
    """The cost to serve of the period, divided into acquisition, onboarding and run-rate.

    Acquisition is what happens before a client's first purchase (with those who never bought), onboarding what happens from
    that day to ``costs.onboarding_days`` after it, run-rate what comes later. Cost that depends on a client's age makes new
    clients look costly; so the cells are told anew from the run-rate alone, as if all days since the first purchase cost as
    much. Cells are those by the cuts alone, without hysteresis.

    Parameters
    ----------
    economics
        One row per client (``segments.client_economics``).
    cost, matrix
        ``segments.cost_to_serve`` and ``segments_matrix.matrix``.
    """
    period = current_period(settings)
    first = read_once(data, _first_purchases(data, settings), MAX_CLIENTS)
    by_phase = read_once(data, _by_phase(data, settings, cost, first, period), MAX_CLIENTS)
    phases = _phases(by_phase, _days_by_phase(economics, first, settings, period))
    if phases.empty:
        return Unanswered("segments.cost_phases", "no contact of the period has a cost.", ("a cost ledger of the period",))
    told, one_in = _told(economics, matrix, by_phase, first)
    compared, moved, correlations = _compared(told, matrix, settings, period)
    new = int(collect(first.filter(nw.col("first_day") >= day_of(period.start)).select(n=nw.len()))["n"].iloc[0])
    quarters = _known_quarters(data, settings, period)
    words = [
        _phase_words(phases, new, settings), _tenure_words(correlations), _moved_words(compared, moved),
        _quarter_words(quarters, period), _sample_words(one_in, len(told)), _young_words(settings, first, period),
    ]  # fmt: skip
    return CostPhases(
        sentence=" ".join(word for word in words if word),
        table=phases.assign(phase=phases["phase"].map(PHASES)),
        caption=f"Cost to serve of {period.label} by phase; onboarding lasts {settings.costs.onboarding_days} days; months are "
        "those of clients that bought or were in contact, with 95% intervals over them",
        labels={
            "cost_share": "Of all cost", "cost_per_client": "A client", "client_months": "Months of clients",
            "cost_per_client_month": "A client and month", "cost_per_client_month_low": "95% from",
            "cost_per_client_month_high": "to",
        },
        phases=phases,
        known_quarters=quarters,
        with_tenure=correlations[0],
        compared_clients=compared,
        moved_clients=moved,
    )  # fmt: skip


def with_running_cost(
    data: Canonical, settings: Company, economics: nw.LazyFrame[Any], cost: CostToServe | Unanswered
) -> nw.LazyFrame[Any]:
    """``client_economics`` with ``running_cost``: what a month of the client costs once it is on board.

    Winning and starting a client is over and is not paid again in the months to come; and a client won in autumn has not been
    served for the whole period. So it is the run-rate cost over the client's own run-rate days of the period. Clients with
    fewer of those than 30 (or than the period has) take the mean of all client-months; clients that never bought the cost of
    the period over its months. Missing where no cost to serve is known.
    """
    usual = nw.col("cost_to_serve") / settings.segments.period_months
    if isinstance(cost, Unanswered) or not data.has("deals", "closed_on"):
        return economics.with_columns(running_cost=usual)
    period, first = current_period(settings), _first_purchases(data, settings)
    start, end = day_of(period.start), day_of(period.end)
    kept = _by_phase(data, settings, cost, first, period).filter(nw.col("phase") == "run_rate")
    begins = nw.max_horizontal(nw.col("first_day") + settings.costs.onboarding_days + 1, nw.lit(start))
    joined = economics.join(first, on="client_id", how="left").join(
        kept.select("client_id", run_rate=nw.col("cost")), on="client_id", how="left"
    )
    joined = joined.with_columns(kept_days=end - begins + 1, run_rate=nw.col("run_rate").fill_null(0.0))
    long_enough = nw.col("kept_days") >= min(_FEWEST_DAYS, end - start + 1)
    active = joined.filter(long_enough, (nw.col("deals") > 0) | (nw.col("contacts") > 0) | (nw.col("cost_to_serve") > 0))
    sums = collect(active.select(nw.col("run_rate").sum(), nw.col("kept_days").sum())).fillna(0.0).iloc[0]
    mean = float(sums["run_rate"]) * DAYS_PER_MONTH / float(sums["kept_days"]) if sums["kept_days"] > 0 else None
    safe = nw.when(long_enough).then(nw.col("kept_days")).otherwise(nw.lit(1))
    young = usual if mean is None else nw.lit(round(mean, 6))
    own = nw.when(long_enough).then((nw.col("run_rate") * DAYS_PER_MONTH / safe).round(6)).otherwise(young)
    running = nw.when(nw.col("first_day").is_null()).then(usual).otherwise(own)
    return joined.with_columns(running_cost=running).drop("first_day", "run_rate", "kept_days")


def _first_purchases(data: Canonical, settings: Company) -> nw.LazyFrame[Any]:
    """``client_id`` and ``first_day`` of clients that ever bought; what is returned is no purchase."""
    won = data.scan("deals").filter(nw.col("status") == "won", nw.col("amount") >= 0, ~nw.col("closed_on").is_null())
    days = won.select("client_id", first_day=day_number("closed_on")).filter(nw.col("first_day") <= day_of(settings.as_of))
    return days.group_by("client_id").agg(nw.col("first_day").min())


def _by_phase(
    data: Canonical, settings: Company, cost: CostToServe, first: nw.LazyFrame[Any], period: Period
) -> nw.LazyFrame[Any]:
    """One row per client and phase in which it had a contact or a cost: ``contacts``, ``cost``."""
    onboarding = settings.costs.onboarding_days
    contacts = data.scan("interactions").join(first, on="client_id", how="left")
    phased = contacts.with_columns(phase=_phase(day_number("started_at"), onboarding))
    served = cost_of_contacts(phased, settings, cost.table, start=period.start, end=period.end, by=("client_id", "phase"))
    parts = [served.select("client_id", "phase", "contacts", cost=nw.col("cost_to_serve"))]
    nobody = nw.lit(0).cast(nw.Int64)
    if data.has("deals", "delivery_cost"):
        sold = won_deals(data, settings).join(first, on="client_id", how="left")
        sold = sold.with_columns(phase=_phase(day_number("closed_on"), onboarding), cost=as_float("delivery_cost").fill_null(0.0))
        parts.append(sold.select("client_id", "phase", nobody.alias("contacts"), "cost"))
    if knows_payments(data):
        invoices = data.scan("invoices").join(first, on="client_id", how="left")
        for phase, (since, until) in _windows(onboarding, period).items():
            windowed = invoices.with_columns(since=since, until=until).filter(~nw.col("since").is_null())
            late = overdue_invoices(windowed, start=period.start, end=period.end, since="since", until="until")
            late = late.with_columns(phase=nw.lit(phase), cost=capital_cost(capital_rate(settings)))
            parts.append(late.filter(nw.col("cost") > 0).select("client_id", "phase", nobody.alias("contacts"), "cost"))
    summed = nw.concat(parts).group_by("client_id", "phase").agg(nw.col("contacts").sum(), nw.col("cost").sum())
    return summed.with_columns(nw.col("contacts").cast(nw.Int64), nw.col("cost").round(6))


def _phase(day: nw.Expr, onboarding_days: int) -> nw.Expr:
    first = nw.col("first_day")
    return (
        nw.when(day > first + onboarding_days).then(nw.lit("run_rate"))
        .otherwise(nw.when(day >= first).then(nw.lit("onboarding")).otherwise(nw.lit("acquisition")))
    )  # fmt: skip


def _windows(onboarding_days: int, period: Period) -> dict[str, tuple[nw.Expr, nw.Expr]]:
    """First and last day of each phase of a client; no first day where a client without a purchase has none."""
    first, start, end = nw.col("first_day"), nw.lit(day_of(period.start)), nw.lit(day_of(period.end))
    return {
        "acquisition": (start, (first - 1).fill_null(day_of(period.end))),
        "onboarding": (first, first + onboarding_days),
        "run_rate": (first + onboarding_days + 1, end),
    }


def _days_by_phase(
    economics: nw.LazyFrame[Any], first: nw.LazyFrame[Any], settings: Company, period: Period
) -> nw.LazyFrame[Any]:
    """Days of the period that each client spent in each phase, of clients that bought, were in contact or cost something."""
    active = economics.filter((nw.col("deals") > 0) | (nw.col("contacts") > 0) | (nw.col("cost_to_serve") > 0))
    known = active.select("client_id").join(first, on="client_id", how="inner")
    start, end = day_of(period.start), day_of(period.end)
    frames = []
    for phase, (since, until) in _windows(settings.costs.onboarding_days, period).items():
        begins, ends = nw.max_horizontal(since, nw.lit(start)), nw.min_horizontal(until, nw.lit(end))
        frames.append(known.with_columns(days=ends - begins + 1).select("client_id", "days", phase=nw.lit(phase)))
    return nw.concat(frames[1:]).filter(nw.col("days") > 0)


def _phases(by_phase: nw.LazyFrame[Any], days: nw.LazyFrame[Any]) -> pd.DataFrame:
    """One row per phase, in their order."""
    one = nw.when((nw.col("contacts") > 0) | (nw.col("cost") > 0)).then(nw.lit(1)).otherwise(nw.lit(0))
    counted = (
        by_phase.with_columns(clients=one).group_by("phase").agg(*(nw.col(c).sum() for c in ("clients", "contacts", "cost")))
    )
    table = collect(counted).set_index("phase").reindex(list(PHASES))
    total = float(table["cost"].sum())
    if not total > 0:
        return pd.DataFrame()
    months = days.join(by_phase, on=["client_id", "phase"], how="left").select(
        "client_id", "phase", total=nw.col("cost").fill_null(0.0), count=nw.col("days") / DAYS_PER_MONTH
    )
    monthly = rates.means_by(months, ["phase"]).set_index("phase").reindex(list(PHASES))
    table = table.fillna(0.0).astype({"clients": "int64", "contacts": "int64"}).assign(
        cost_share=table["cost"].fillna(0.0) / total,
        cost_per_client=table["cost"] / table["clients"].where(table["clients"] > 0),
        client_months=monthly["count"],
        cost_per_client_month=monthly["mean"],
        cost_per_client_month_low=monthly["low"],
        cost_per_client_month_high=monthly["high"],
    )  # fmt: skip
    return table.reset_index()


def _told(
    economics: nw.LazyFrame[Any], matrix: Matrix, by_phase: nw.LazyFrame[Any], first: nw.LazyFrame[Any]
) -> tuple[pd.DataFrame, int]:
    """One row per client that ever bought, in memory, and the number of clients of which one was taken."""
    kept = by_phase.filter(nw.col("phase") == "run_rate").select("client_id", run_rate=nw.col("cost"))
    frame = economics.select("client_id", "revenue", "cost_to_serve").join(first, on="client_id", how="inner")
    frame = frame.join(kept, on="client_id", how="left").join(
        matrix.cells.select("client_id", "axis_revenue"), on="client_id", how="inner"
    )
    clients = int(matrix.summary["clients"].sum())
    rows = collect(evenly_spread(frame, MAX_CLIENTS) if clients > MAX_CLIENTS else frame, max_rows=MAX_CLIENTS)
    return rows.sort_values("client_id", ignore_index=True).fillna(0.0), max(1, math.ceil(clients / MAX_CLIENTS))


def _compared(
    told: pd.DataFrame, matrix: Matrix, settings: Company, period: Period
) -> tuple[int, int, tuple[RankCorrelation | None, RankCorrelation | None]]:
    """Clients compared, those in another cell by the cost of keeping alone, and the correlations with tenure of both."""
    start, end, first = day_of(period.start), day_of(period.end), told["first_day"].to_numpy(dtype=float)
    kept_days = end - np.maximum(first + settings.costs.onboarding_days, start - 1)
    known = kept_days >= min(_FEWEST_DAYS, end - start + 1)
    as_client = end - np.maximum(first, start) + 1
    cost, revenue, axis = (told[c].to_numpy(dtype=float) for c in ("cost_to_serve", "revenue", "axis_revenue"))
    kept = told["run_rate"].to_numpy(dtype=float) * as_client / np.where(known, kept_days, 1.0)
    buying = revenue > 0
    whole = rank_correlation(cost[buying] / revenue[buying], (end - first)[buying])
    both = buying & known
    alone = rank_correlation(kept[both] / revenue[both], (end - first)[both])
    if not known.any() or matrix.cost_axis == "unknown":
        return 0, 0, (whole, alone)
    axis, cost, kept = axis[known], cost[known], kept[known]
    now = matrix.cuts.redrawn(axis, cost, settings).places(axis, cost).high_cost
    then = matrix.cuts.redrawn(axis, kept, settings).places(axis, kept).high_cost
    return int(known.sum()), int((now != then).sum()), (whole, alone)


def _known_quarters(data: Canonical, settings: Company, period: Period) -> int:
    """Whole quarters of the period in which contacts are recorded and their cost is known."""

    def months(table: str, column: str) -> set[int]:
        found = collect(data.scan(table).select(month=month_number(column)).unique())["month"].dropna()
        return {int(month) for month in found if month_of(period.start) <= month <= month_of(period.end)}

    recorded = months("interactions", "started_at")
    if not any(pool.cost_per_month is not None for pool in settings.costs.pools):
        recorded &= months("cost_ledger", "month")
    return len(recorded) // 3


def _phase_words(phases: pd.DataFrame, new: int, settings: Company) -> str:
    by_phase, currency = phases.set_index("phase"), settings.currency

    def spent(phase: str) -> str:
        row = by_phase.loc[phase]
        return f"{formats.money_short(row['cost'], currency)} ({formats.share(row['cost_share'])})"

    total = formats.money_short(float(phases["cost"].sum()), currency)
    said = (
        f"Of {total} cost to serve {spent('acquisition')} was acquisition, before a client's first purchase, "
        f"{spent('onboarding')} onboarding, up to {formats.plural(settings.costs.onboarding_days, 'day')} after it, and "
        f"{spent('run_rate')} run-rate, all that came later."
    )
    if new and by_phase.loc["acquisition", "cost"] > 0:
        each = formats.money_short(by_phase.loc["acquisition", "cost"] / new, currency)
        won = f"{formats.plural(new, 'client')} won in the period"
        said += f" Over {won} acquisition comes to {each} each, the work for those that have not bought yet included."
    months = [
        f"{formats.money(row.cost_per_client_month, currency)}{_interval(row, currency)} {words}"
        for row, words in zip(phases.iloc[1:].itertuples(), ("in onboarding", "later"), strict=True)
        if not pd.isna(row.cost_per_client_month)
    ]
    return said + (f" A month of a client costs {formats.join(months)}." if months else "")


def _interval(row: Any, currency: str) -> str:
    ends = formats.interval(
        row.cost_per_client_month_low, row.cost_per_client_month_high, lambda x: formats.money(max(0.0, x), currency)
    )
    return "" if ends == formats.NOTHING else f" (95% interval {ends})"


def _tenure_words(correlations: tuple[RankCorrelation | None, RankCorrelation | None]) -> str:
    whole, alone = correlations
    if whole is None:
        return "Whether cost depends on how long a client has been one can't be told: too few clients, or all alike."
    said = f"Cost per revenue and time as a client have a rank correlation of {_said(whole)}"
    if not whole.is_clear:
        return f"{said}: that costly clients are the new ones, or the old ones, is not shown."
    if abs(whole.rho) < WEAK_BELOW:
        return f"{said}, too weak for the matrix to show how old clients are instead of how costly."
    kept = f"; with the run-rate alone it is {_said(alone)}" if alone is not None else ""
    which, age = ("Newer", "young") if whole.rho < 0 else ("Older", "old")
    return (
        f"{said}{kept}. {which} clients cost more of what they bring, so the matrix in part shows how {age} clients are, not how "
        "costly."
    )


def _said(found: RankCorrelation) -> str:
    ends = formats.interval(found.low, found.high, lambda x: formats.number(x, 2))
    return f"{formats.number(found.rho, 2)} (95% interval {ends}; {formats.plural(found.pairs, 'client')})"


def _moved_words(compared: int, moved: int) -> str:
    if not compared:
        return "No client has been one for long enough to tell its cell from the run-rate alone."
    some = f"{formats.number(moved)} of the {formats.plural(compared, 'client')} ({formats.share(moved / compared, 1)})"
    return f"By the run-rate alone {some} that have one would stand in another cell."


def _quarter_words(quarters: int, period: Period) -> str:
    said = f"Cost is known for {formats.plural(quarters, 'whole quarter')} of {period.label}"
    if quarters >= FEWEST_QUARTERS:
        return f"{said}."
    return (
        f"{said}, fewer than the {FEWEST_QUARTERS} that long-run cost asks for: a single project may make a client look costly."
    )


def _sample_words(one_in: int, rows: int) -> str:
    return "" if one_in == 1 else f"The comparison with tenure rests on {formats.number(rows)} clients, one in {one_in}."


def _young_words(settings: Company, first: nw.LazyFrame[Any], period: Period) -> str:
    """A warning where the deals on record begin so late that old clients pass for new ones."""
    earliest = collect(first.select(day=nw.col("first_day").min()))["day"]
    if earliest.empty or pd.isna(earliest.iloc[0]):
        return ""
    day = int(earliest.iloc[0])
    if day < day_of(period.start) - settings.costs.onboarding_days:
        return ""
    since = formats.date(dt.date(1970, 1, 1) + dt.timedelta(days=day))
    return f"Deals are on record from {since} only, so clients of before pass for new ones."
