"""How fast requests are answered and solved, and which are still open. A room of stage 4.

Hours are elapsed hours: nights, weekends and holidays count, since the client waits through them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.offers_plan import OffersPlan
from crm_methods.company.periods import current_period
from crm_methods.company.plans import Plan
from crm_methods.company.procedures_plan import Metric, Procedure, ProceduresPlan
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import SEGMENT_LABELS, segment_label
from crm_methods.engine import as_float, collect, day_number, day_of
from crm_methods.models import rates

MINUTES_PER_DAY = 24 * 60
MINUTES_PER_HOUR = 60
TIMES: Mapping[str, tuple[str, str]] = {
    "first_response": ("response_minutes", "first_response_at"), "resolution": ("resolve_minutes", "resolved_at"),
}  # fmt: skip
"""Per measure, the column of a request with its time and the column of interactions it comes from."""
MET, MISSED, NOT_PROVEN, NOT_ENOUGH = "met", "missed", "not proven", "not enough data"
METRIC_WORDS: Mapping[str, str] = {"first_response": "the first answer", "resolution": "the solution"}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ServiceLevel(Answer):
    """Shares of requests answered and solved in time.

    ``attained`` has one row per segment and metric (the table sla_attainment), ``by_procedure`` one per segment and
    measured procedure. ``left_out`` counts requests whose times contradict each other, ``not_due`` those whose target
    had not passed by the as-of day; both are left out of every share.
    """

    attained: pd.DataFrame
    by_procedure: pd.DataFrame
    requests: int
    not_due: int
    left_out: int


def in_order(segments: Sequence[str]) -> list[str]:
    """Segments in the method's order, clusters after them by name."""
    known = [segment for segment in SEGMENT_LABELS if segment in segments]
    return known + sorted(set(segments) - set(known))


def lookup(column: str, values: Mapping[str, float | None]) -> nw.Expr:
    """A number for each value of a column; missing for the others."""
    found: nw.Expr = nw.lit(None, nw.Float64)
    for key, value in values.items():
        if value is not None:
            found = nw.when(nw.col(column) == key).then(nw.lit(float(value))).otherwise(found)
    return found


def initiative() -> nw.Expr:
    """Whose initiative a contact was, read off its direction where it is not recorded: ``ours``, ``theirs`` or missing."""
    by_direction = (
        nw.when(nw.col("direction") == "in")
        .then(nw.lit("theirs"))
        .otherwise(nw.when(nw.col("direction") == "out").then(nw.lit("ours")).otherwise(nw.lit(None, nw.String)))
    )
    return nw.coalesce(nw.col("initiative"), by_direction)


def belongs(procedure: Procedure, data: Canonical) -> nw.Expr:
    """Whether a contact (with ``kind``, ``topic`` and ``by_whom``) belongs to a procedure; the case of letters does not matter.

    What the company does not record can't tell procedures apart: without kinds, contacts are told by whose initiative they were.
    """
    fits = nw.lit(True)
    if procedure.kinds and data.has("interactions", "kind"):
        fits = fits & nw.col("kind").str.to_lowercase().is_in([kind.lower() for kind in procedure.kinds])
    if procedure.topics:
        fits = fits & nw.col("topic").str.to_lowercase().is_in([topic.lower() for topic in procedure.topics])
    if procedure.initiative is not None:
        fits = fits & nw.coalesce(nw.col("by_whom"), nw.lit(procedure.initiative)).is_in([procedure.initiative])
    return fits.fill_null(False)


def served_clients(
    data: Canonical, client_segments: nw.LazyFrame[Any], client_offers: nw.LazyFrame[Any], offers: OffersPlan
) -> nw.LazyFrame[Any]:
    """Every client with the service it is promised.

    Parameters
    ----------
    client_segments, client_offers
        Tables of stages 2 and 3, one row per client.
    offers
        The plan that says what each service package promises.

    Returns
    -------
    narwhals.LazyFrame
        One row per client: ``client_id``, ``client`` (name, else id), ``account_owner`` (may be missing), ``segment``,
        ``strategy``, ``service_package``, ``response_hours``, ``resolve_hours``, ``contacts_per_year``, ``reviews_per_year``.
        A client without an offer has the plan's last package, which is for everybody else.
    """
    names = data.scan("clients").select("client_id", "name", "owner")
    placed = client_segments.select("client_id", "segment", "strategy")
    packages = client_offers.select("client_id", "service_package")
    promised = {name: {p.name: getattr(p, name) for p in offers.service_packages} for name in _PROMISED}
    return (
        placed.join(packages, on="client_id", how="left")
        .join(names, on="client_id", how="left")
        .with_columns(service_package=nw.col("service_package").fill_null(offers.service_packages[-1].name))
        .select(
            "client_id",
            nw.coalesce(nw.col("name"), nw.col("client_id")).alias("client"),
            nw.col("owner").alias("account_owner"),
            "segment",
            nw.col("strategy").fill_null("none").alias("strategy"),
            "service_package",
            *[lookup("service_package", values).alias(name) for name, values in promised.items()],
        )
    )


_PROMISED = ("response_hours", "resolve_hours", "contacts_per_year", "reviews_per_year")


def service_requests(
    data: Canonical, settings: Company, plan: Plan[ProceduresPlan], clients: nw.LazyFrame[Any]
) -> nw.LazyFrame[Any]:
    """The requests of the period, and older ones that are still open.

    Parameters
    ----------
    clients
        One row per client, from ``served_clients``.

    Returns
    -------
    narwhals.LazyFrame
        One row per request: ``client_id``, ``interaction_id``, ``segment``, ``service_package``, ``kind``, ``topic``,
        ``channel``,
        ``department``, ``started_at``, ``response_minutes`` and ``resolve_minutes`` (elapsed; missing while open; a request
        solved without a recorded answer counts as answered when solved), ``age_minutes`` (up to the end of the as-of day),
        ``is_open``, ``in_period``.
    """
    period = current_period(settings)
    started = _minutes("started_at")
    columns = (
        "kind",
        "topic",
        "channel",
        "department",
        "direction",
        "initiative",
        "started_at",
        "first_response_at",
        "resolved_at",
    )
    rows = data.scan("interactions").select("client_id", "interaction_id", *columns)
    rows = rows.with_columns(by_whom=initiative())
    wanted = nw.lit(False)
    for procedure in plan.content.measured():
        wanted = wanted | belongs(procedure, data)
    solving = data.has("interactions", "resolved_at")
    day = day_number("started_at")
    timed = rows.filter(wanted, day <= day_of(period.end)).with_columns(
        resolve_minutes=_minutes("resolved_at") - started,
        answered_minutes=_minutes("first_response_at") - started,
        age_minutes=nw.lit((day_of(period.end) + 1) * MINUTES_PER_DAY) - started,
        is_open=nw.col("resolved_at").is_null() if solving else nw.lit(False),
        in_period=day >= day_of(period.start),
    )
    placed = clients.select("client_id", "segment", "service_package")
    return (
        timed.filter(nw.col("in_period") | nw.col("is_open"))
        .with_columns(response_minutes=nw.coalesce(nw.col("answered_minutes"), nw.col("resolve_minutes")))
        .join(placed, on="client_id", how="inner")
        .select(
            "client_id", "interaction_id", "segment", "service_package", "kind", "topic", "channel", "department", "started_at",
            "response_minutes", "resolve_minutes", "age_minutes", "is_open", "in_period",
        )
    )  # fmt: skip


@answers("processes.service_level")
def service_level(
    data: Canonical, settings: Company, plan: Plan[ProceduresPlan], offers: OffersPlan, packages: pd.DataFrame,
    clients: nw.LazyFrame[Any],
    requests: nw.LazyFrame[Any], confidence: float = 0.95,
) -> ServiceLevel | Unanswered:  # fmt: skip
    """The share of requests answered and solved in time, by segment, against each segment's permitted range.

    A request counts once its target has passed by the end of the as-of day; still open, it counts as missed. So the share
    does not depend on which requests happened to be closed early. Intervals are clustered by client, and a level is
    met or missed only when its whole interval lies inside or outside the range.

    Parameters
    ----------
    packages
        One row per segment: ``segment``, ``strategy``, ``service_package`` that most of its clients have.
    clients
        One row per client, from ``served_clients``.
    requests
        The table service_requests.
    confidence
        Confidence of the intervals, 0–1.

    Returns
    -------
    ServiceLevel
        ``attained``: ``segment``, ``metric``, ``target_hours`` (elapsed), ``share``, ``low_share``, ``high_share``,
        ``clients``, ``trials``,
        ``required_share``, ``allowed_share`` (ends of the permitted range), ``status``.
    """
    measured = [p for p in plan.content.measured() if data.has("interactions", TIMES[p.metric.measure][1])]
    if not measured:
        return Unanswered("processes.service_level", f"no procedure ({plan.origin}) is measured by a time that is recorded.")
    of_period = requests.filter(nw.col("in_period"))
    outcomes = nw.concat([_outcomes(p, data, offers, packages, of_period) for p in measured], how="vertical")
    counted = collect(
        outcomes.group_by("procedure").agg(
            requests=nw.len(), not_due=nw.col("not_due").sum(), contradictory=nw.col("contradictory").sum()
        )
    ).set_index("procedure")
    per_client = rates.sums_by_client(outcomes, "met", by=("procedure", "segment"))
    found = rates.shares_by(per_client, by=("procedure", "segment"), confidence=confidence)
    judged = list(measured)
    if (planned := plan.content.first_of("contacts")) is not None:
        made = planned_contacts(data, settings, planned, clients).with_columns(procedure=nw.lit(planned.name))
        shares = made.select("client_id", "procedure", "segment", total=nw.col("kept"), count=nw.col("contacts_per_year"))
        found = pd.concat([found, rates.shares_by(shares, by=("procedure", "segment"), confidence=confidence)], ignore_index=True)
        judged.append(planned)
    by_procedure = _with_ranges(found, judged, offers, packages)
    # The first procedure of a measure stands for it; the others judge their own kinds of request.
    first = {p.name for m in TIMES if (p := plan.content.first_of(m)) is not None}
    attained = by_procedure[by_procedure["procedure"].isin(first)]
    if not attained["trials"].sum():
        return Unanswered(
            "processes.service_level", f"no request between {current_period(settings).label} has reached its target hours."
        )
    total = counted[counted.index.isin(first)]
    columns = [
        "segment",
        "metric",
        "target_hours",
        "share",
        "low_share",
        "high_share",
        "clients",
        "trials",
        "required_share",
        "allowed_share",
        "status",
    ]
    shown = attained[columns].reset_index(drop=True)
    return ServiceLevel(
        sentence=_sentence(shown, total),
        table=_table(shown),
        caption=f"Share of requests answered and solved within the target, {current_period(settings).label}; elapsed hours, "
        "nights and weekends included; 95% intervals clustered by client",
        labels={"target_hours": "Target, hours", "low_share": "From", "high_share": "To", "trials": "Requests",
        "required_share": "At least",
                "allowed_share": "At most"},
        attained=shown, by_procedure=by_procedure, requests=int(total["requests"].max()), not_due=int(total["not_due"].max()),
        left_out=int(total["contradictory"].sum()),
    )  # fmt: skip


def planned_contacts(data: Canonical, settings: Company, procedure: Procedure, clients: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """What each client's package promises of our contacts, and what was made of it.

    Parameters
    ----------
    procedure
        The procedure whose contacts keep the promise.
    clients
        One row per client, from ``served_clients``.

    Returns
    -------
    narwhals.LazyFrame
        The clients with ``made`` (our contacts of the period, per year), ``kept`` (of them, up to the number promised) and
        ``missing`` (promised beyond them, per year).
    """
    period = current_period(settings)
    day = day_number("started_at")
    rows = (
        data.scan("interactions")
        .select("client_id", "started_at", "kind", "topic", "direction", "initiative")
        .with_columns(by_whom=initiative())
    )
    own = rows.filter(belongs(procedure, data), day >= day_of(period.start), day <= day_of(period.end))
    counted = own.group_by("client_id").agg(made=nw.len())
    made = nw.col("made").fill_null(0).cast(nw.Float64) * (12 / period.months)
    promised = nw.col("contacts_per_year")
    return (
        clients.join(counted, on="client_id", how="left")
        .with_columns(made=made)
        .with_columns(kept=nw.when(nw.col("made") < promised).then(nw.col("made")).otherwise(promised))
        .with_columns(missing=promised - nw.col("kept"))
    )


def status(low: float, high: float, permitted: tuple[float, float]) -> str:
    """What an interval proves of a permitted range: met, missed, not proven, or not enough data without an interval."""
    if pd.isna(low) or pd.isna(high):
        return NOT_ENOUGH
    if low >= permitted[0] and high <= permitted[1]:
        return MET
    return MISSED if high < permitted[0] or low > permitted[1] else NOT_PROVEN


def target_hours(metric: Metric, package: str, offers: OffersPlan) -> float | None:
    """The target of a metric under a service package, in elapsed hours; None where it has none."""
    if isinstance(metric.hours, str):
        return float(getattr(offers.service(package), metric.hours))
    return metric.hours


def _minutes(column: str) -> nw.Expr:
    """Minutes since 1970 of a timestamp; seconds are cut."""
    moment = nw.col(column)
    return day_number(column) * MINUTES_PER_DAY + moment.dt.hour().cast(nw.Int64) * 60 + moment.dt.minute().cast(nw.Int64)


def _outcomes(
    procedure: Procedure, data: Canonical, offers: OffersPlan, packages: pd.DataFrame, requests: nw.LazyFrame[Any]
) -> nw.LazyFrame[Any]:
    """Each request of a procedure: in time or not; missing where it is not due yet or its times contradict each other."""
    column = TIMES[procedure.metric.measure][0]
    targets = {
        row.segment: hours * MINUTES_PER_HOUR
        for row in packages.itertuples()
        if (hours := target_hours(procedure.metric, row.service_package, offers)) is not None
    }
    own = requests.with_columns(by_whom=nw.lit(procedure.initiative or "theirs")).filter(belongs(procedure, data))
    taken, target = as_float(column), nw.col("target")
    contradictory = (taken < 0).fill_null(False)
    not_due = (as_float("age_minutes") < target) & ~contradictory
    in_time = nw.when((taken <= target).fill_null(False)).then(nw.lit(1.0)).otherwise(nw.lit(0.0))
    return own.with_columns(target=lookup("segment", targets)).select(
        "client_id", "segment", nw.lit(procedure.name).alias("procedure"),
        nw.when(contradictory | not_due).then(nw.lit(None, nw.Float64)).otherwise(in_time).alias("met"),
        nw.when(not_due).then(nw.lit(1)).otherwise(nw.lit(0)).alias("not_due"),
        nw.when(contradictory).then(nw.lit(1)).otherwise(nw.lit(0)).alias("contradictory"),
    )  # fmt: skip


def _with_ranges(found: pd.DataFrame, measured: Sequence[Procedure], offers: OffersPlan, packages: pd.DataFrame) -> pd.DataFrame:
    """A row per segment and procedure, those without requests too, with target, range and status."""
    known = {(row["procedure"], row["segment"]): row for row in found.to_dict("records")}
    place = {row["segment"]: row for row in packages.to_dict("records")}
    rows = []
    for segment in in_order(list(place)):
        for procedure in measured:
            rate = known.get((procedure.name, segment), {})
            permitted = procedure.metric.permitted(segment, place[segment]["strategy"])
            low, high = rate.get("low_share", float("nan")), rate.get("high_share", float("nan"))
            rows.append(
                {
                    "segment": segment, "procedure": procedure.name, "metric": procedure.metric.measure,
                    "target_hours": target_hours(procedure.metric, place[segment]["service_package"], offers),
                    "share": rate.get("share", float("nan")), "low_share": low, "high_share": high,
                    "clients": int(rate.get("clients", 0)), "trials": int(rate.get("trials", 0)),
                    "required_share": permitted[0], "allowed_share": permitted[1], "status": status(low, high, permitted),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _sentence(attained: pd.DataFrame, counted: pd.DataFrame) -> str:
    groups = {s: attained[attained["status"] == s] for s in (MET, MISSED, NOT_PROVEN, NOT_ENOUGH)}
    said = [f"{len(rows)} {name}" for name, rows in groups.items() if len(rows)]
    text = f"Of {formats.plural(len(attained), 'service level')} (segment × metric), {formats.join(said)}."
    behind = attained.assign(gap=attained["required_share"] - attained["high_share"]).sort_values("gap", ascending=False)
    worst = behind.iloc[0]
    if worst["status"] == MISSED and worst["gap"] > 0:
        text += (
            f" Furthest from its range is {METRIC_WORDS[worst['metric']]} in “{segment_label(worst['segment'])}”: "
            f"{formats.share(worst['share'])} within {formats.plural(worst['target_hours'], 'hour')} "
            f"(95% interval {formats.interval(worst['low_share'], worst['high_share'], formats.share)}) "
            f"where at least {formats.share(worst['required_share'])} is required."
        )
    waiting = int(counted["not_due"].max())
    return text + (
        f" {formats.plural(waiting, 'request')} whose target had not passed {'is' if waiting == 1 else 'are'} left out."
        if waiting
        else ""
    )


def _table(attained: pd.DataFrame) -> pd.DataFrame:
    """What is shown: an upper end of the range only where there is one."""
    said = attained.assign(metric=[METRIC_WORDS[m].removeprefix("the ") for m in attained["metric"]])
    return said.drop(columns="allowed_share") if (said["allowed_share"] == 1).all() else said
