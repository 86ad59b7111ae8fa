"""How many complaints there are, what they are about, and how fast they are solved. A room of stage 6."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import Period, current_period
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import segment_label
from crm_methods.engine import collect, day_number, day_of
from crm_methods.models import rates
from crm_methods.models.durations import TimeToEvent, median_time
from crm_methods.models.rates import ClientSums

ALL = "all"
"""The row of all clients together."""
COMPLAINT = "complaint"
PER_CLIENTS = 100
MAX_COMPLAINTS = 200_000
SHOWN_TOPICS = 12


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Complaints(Answer):
    """Complaints by segment, the highest rate first; ``topics`` has one row per topic and one per reason."""

    topics: pd.DataFrame


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TimeToSolve(Answer):
    """Median time to solve a complaint by segment; ``impossible`` counts those solved before they began, which are left out."""

    impossible: int


@answers("relationships.complaints")
def complaints(data: Canonical, settings: Company, segments: nw.LazyFrame[Any]) -> Complaints | Unanswered:
    """Complaints per 100 clients and year by segment, with exact Poisson intervals on the effective number of events.

    The clients are those that bought or had a contact in the period, each counted for the whole of it.

    Parameters
    ----------
    segments
        One row per client with ``segment`` and ``revenue`` of the period (``client_segments`` of stage 2).
    """
    period = current_period(settings)
    inside = _within(data.scan("interactions"), period)
    flagged = inside.with_columns(_complaint=nw.when(_is_complaint()).then(nw.lit(1.0)).otherwise(nw.lit(0.0)))
    contacted = flagged.group_by("client_id").agg(nw.col("_complaint").sum(), nw.len().alias("_contacts"))
    placed = segments.select("client_id", "segment", "revenue").join(contacted, on="client_id", how="left")
    served = placed.filter((~nw.col("_contacts").is_null()) | (nw.col("revenue") > 0))
    table = _by_segment(served.select("segment", total=nw.col("_complaint").fill_null(0.0)), years=period.months / 12)
    if table.empty:
        reason = f"no client was active between {period.label}."
        return Unanswered("relationships.complaints", reason, ("deals or interactions of the period",))
    if not table["complaints"].any() and not _ever_recorded(data):
        reason = "no contact is recorded as a complaint, so there may be none or nobody notes them."
        return Unanswered("relationships.complaints", reason, ("interactions.kind with the value complaint",))
    return Complaints(
        sentence=_rate_sentence(table),
        table=table[["segment", "complaints", "clients", "rate_per_100", "low_per_100", "high_per_100"]],
        caption=f"Complaints per {PER_CLIENTS} clients and year, {period.label}; clients that bought or had a contact",
        labels={"rate_per_100": "Per 100 clients and year", "low_per_100": "Low (95%)", "high_per_100": "High (95%)"},
        topics=_topics(inside.filter(_is_complaint())),
    )


@answers("relationships.complaints")
def complaint_topics(found: Complaints) -> Answer | Unanswered:
    """What clients complain of: topics and reasons by their number, and how many clients they come from."""
    if found.topics.empty:
        return Unanswered("relationships.complaints", "there was no complaint in the period.")
    table = found.topics
    named = table[~table["is_unknown"]]
    if named.empty:
        return Unanswered(
            "relationships.complaints",
            "no complaint of the period names its topic or reason.",
            ("interactions.topic or interactions.reason",),
        )
    words = []
    for kind, rows in named.groupby("about", sort=False):
        first = next(rows.itertuples())
        tied = int((rows["complaints"] == first.complaints).sum()) > 1
        words.append(
            f"the most frequent {kind} is {'among others ' if tied else ''}“{first.name}”, with "
            f"{formats.share(first.complaints_share)} of complaints from {formats.plural(first.clients, 'client')}"
        )
    unknown = table[table["is_unknown"] & (table["complaints_share"] > 0)]
    blanks = [f"{formats.share(row.complaints_share)} name no {row.about}" for row in unknown.itertuples()]
    sentence = f"{'; '.join([*words, *blanks])}."
    return Answer(
        sentence=f"{sentence[:1].upper()}{sentence[1:]}",
        table=table.groupby("about", sort=False).head(SHOWN_TOPICS)[
            ["about", "name", "complaints", "clients", "complaints_share"]
        ],
        caption="What complaints are about, and why they came about",
        labels={"about": "By", "name": "What", "complaints_share": "Share of complaints"},
    )


@answers("relationships.time_to_solve")
def time_to_solve(data: Canonical, settings: Company, segments: nw.LazyFrame[Any]) -> TimeToSolve | Unanswered:
    """Median hours from a complaint to its solution by segment (Kaplan–Meier), open ones counted as far as they got.

    Elapsed hours, nights and weekends included; the interval is a bootstrap over clients.
    """
    period = current_period(settings)
    rows = _within(data.scan("interactions"), period).filter(_is_complaint())
    wanted = rows.select("client_id", "started_at", "resolved_at").join(
        segments.select("client_id", "segment"), on="client_id", how="inner"
    )
    cases = collect(wanted.sort("client_id", "started_at", "resolved_at"), max_rows=MAX_COMPLAINTS)
    if cases.empty:
        return Unanswered(
            "relationships.time_to_solve",
            f"no complaint is recorded between {period.label}.",
            ("interactions of kind complaint",),
        )
    end = pd.Timestamp(settings.as_of) + dt.timedelta(days=1)
    solved = pd.to_datetime(cases["resolved_at"])
    seen = solved.notna() & (solved <= end)
    hours = (solved.where(seen, end) - pd.to_datetime(cases["started_at"])).dt.total_seconds() / 3600
    timed = cases.assign(hours=hours, solved=seen)[hours >= 0]
    groups = [(ALL, timed), *((str(name), rows) for name, rows in timed.groupby("segment") if name != ALL)]
    table = pd.DataFrame([_timed(name, rows, settings.seed) for name, rows in groups])
    impossible = int((hours < 0).sum())
    return TimeToSolve(
        sentence=_time_sentence(table, impossible),
        table=_worst_first(table, "median_hours"),
        caption=f"Hours from a complaint to its solution, {period.label}: median by Kaplan and Meier, 95% intervals",
        labels={"median_hours": "Median hours", "low_hours": "Low (95%)", "high_hours": "High (95%)", "still_open": "Open"},
        impossible=impossible,
    )


def _is_complaint() -> nw.Expr:
    return nw.col("kind").str.to_lowercase() == COMPLAINT


def _within(interactions: nw.LazyFrame[Any], period: Period) -> nw.LazyFrame[Any]:
    day = day_number("started_at")
    return interactions.filter(day >= day_of(period.start), day <= day_of(period.end))


def _ever_recorded(data: Canonical) -> bool:
    return int(collect(data.scan("interactions").filter(_is_complaint()).select(nw.len().alias("n")))["n"].iloc[0]) > 0


def _by_segment(served: nw.LazyFrame[Any], years: float) -> pd.DataFrame:
    """Rates of every segment and of all clients, from the sums over clients of complaints and of their squares."""
    terms = served.select("segment", "total", clients=nw.lit(1), total_squared=nw.col("total") * nw.col("total"))
    sums = collect(terms.group_by("segment").agg(nw.col("clients", "total", "total_squared").sum()))
    whole = sums.drop(columns="segment").sum().to_frame().T.assign(segment=ALL)
    # Exposure is counted in units of 100 client-years, so that the rate comes out per 100 clients and year.
    exposure = years / PER_CLIENTS
    rows = []
    for row in pd.concat([sums[sums["segment"] != ALL], whole], ignore_index=True).to_dict("records"):
        n, y = int(row["clients"]), float(row["total"])
        own = ClientSums(
            clients=n,
            total=y,
            count=n * exposure,
            total_squared=float(row["total_squared"]),
            count_squared=n * exposure**2,
            total_by_count=y * exposure,
        )
        if n:
            rate = rates.event_rate(own)
            rows.append((row["segment"], int(y), n, rate.estimate, rate.low, rate.high, rate.note))
    columns = ["segment", "complaints", "clients", "rate_per_100", "low_per_100", "high_per_100", "note"]
    numbers = dict.fromkeys(columns[3:6], float)
    return _worst_first(pd.DataFrame(rows, columns=columns).astype(numbers), "rate_per_100")


def _worst_first(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Segments from the highest value down, all clients last."""
    return (
        table.assign(_last=table["segment"] == ALL)
        .sort_values(["_last", column, "segment"], ascending=[True, False, True], ignore_index=True)
        .drop(columns="_last")
    )


def _topics(rows: nw.LazyFrame[Any]) -> pd.DataFrame:
    frames = []
    for about in ("topic", "reason"):
        named = rows.select("client_id", name=nw.col(about))
        counted = collect(
            named.group_by("name").agg(nw.len().alias("complaints"), nw.col("client_id").n_unique().alias("clients"))
        )
        unknown = counted["name"].isna()
        counted = counted.assign(
            about=about, is_unknown=unknown, name=counted["name"].where(~unknown, "not recorded").astype(str)
        )
        counted = counted.assign(complaints_share=counted["complaints"] / max(1, counted["complaints"].sum()))
        frames.append(counted.sort_values(["is_unknown", "complaints", "name"], ascending=[True, False, True]))
    return pd.concat(frames, ignore_index=True)[["about", "name", "complaints", "clients", "complaints_share", "is_unknown"]]


def _timed(segment: str, rows: pd.DataFrame, seed: int) -> dict[str, Any]:
    found: TimeToEvent = median_time(rows["hours"], rows["solved"], rows["client_id"], seed=seed)
    return {
        "segment": segment,
        "median_hours": _or_nan(found.median),
        "low_hours": _or_nan(found.low),
        "high_hours": _or_nan(found.high),
        "complaints": found.cases,
        "solved": found.happened,
        "still_open": found.cases - found.happened,
        "clients": found.clients,
        "note": found.note,
    }


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _rate_sentence(table: pd.DataFrame) -> str:
    whole = table[table["segment"] == ALL].iloc[0]
    said = (
        f"{formats.plural(whole['complaints'], 'complaint')} among {formats.plural(whole['clients'], 'client')} that bought or "
        f"had a contact: "
        f"{_rated(whole)} per {PER_CLIENTS} clients and year."
    )
    parts = table[(table["segment"] != ALL) & table["low_per_100"].notna()]
    if len(parts) < 2:
        return said
    most, least = parts.iloc[0], parts.iloc[-1]
    if float(most["low_per_100"]) > float(least["high_per_100"]):
        names = [segment_label(str(row["segment"])) for row in (most, least)]
        return f"{said} “{names[0]}” complains most, {_rated(most)}, and “{names[1]}” least, {_rated(least)}."
    return f"{said} The intervals of the highest and the lowest segment overlap: no difference is proven."


def _rated(row: pd.Series[Any]) -> str:
    return f"{formats.number(row['rate_per_100'])}{_span(row['low_per_100'], row['high_per_100'])}"


def _time_sentence(table: pd.DataFrame, impossible: int) -> str:
    whole = table[table["segment"] == ALL].iloc[0]
    left_out = f" Left out: {formats.plural(impossible, 'complaint')} with a solution before its beginning." if impossible else ""
    are = "is" if whole["still_open"] == 1 else "are"
    open_ones = f"{formats.number(whole['still_open'])} of {formats.plural(whole['complaints'], 'complaint')} {are} still open"
    if pd.isna(whole["median_hours"]):
        return f"Fewer than half of the complaints are known to be solved: {open_ones}.{left_out}"
    middle = f"{_hours(whole['median_hours'])}{_span(whole['low_hours'], whole['high_hours'])}"
    return f"Half of the complaints are solved within {middle}; {open_ones}.{_slowest(table)}{left_out}"


def _slowest(table: pd.DataFrame) -> str:
    """Whether segments wait differently long; empty with fewer than two that have an interval."""
    known = table[(table["segment"] != ALL) & table["high_hours"].notna() & table["low_hours"].notna()]
    if len(known) < 2:
        return ""
    parts = _worst_first(known, "median_hours")
    slow, fast = parts.iloc[0], parts.iloc[-1]
    if float(slow["low_hours"]) <= float(fast["high_hours"]):
        return " The intervals of the slowest and the fastest segment overlap: no difference is proven."
    names = [f"“{segment_label(str(row['segment']))}”" for row in (slow, fast)]
    slowest, fastest = (f"{_hours(row['median_hours'])}{_span(row['low_hours'], row['high_hours'])}" for row in (slow, fast))
    return f" {names[0]} waits longest, {slowest}, and {names[1]} shortest, {fastest}."


def _hours(value: float) -> str:
    return f"{formats.number(value, 1 if value < 10 else 0)} hours"


def _span(low: Any, high: Any) -> str:
    text = formats.interval(low, high, lambda value: formats.number(value, 1 if abs(value) < 10 else 0))
    return f" ({text})" if text != formats.NOTHING else ""
