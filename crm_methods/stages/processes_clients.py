"""What the procedures mean for each client: its open requests with their deadlines, and the next step. A room of stage 4."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

import narwhals as nw

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.offers_plan import OffersPlan
from crm_methods.company.plans import Plan
from crm_methods.company.procedures_plan import ACCOUNT_OWNER, Procedure, ProceduresPlan
from crm_methods.company.settings import Company
from crm_methods.engine import as_float, collect
from crm_methods.stages.processes_procedures import UNKNOWN_DEPARTMENT, Procedures
from crm_methods.stages.processes_requests import MINUTES_PER_HOUR, lookup, planned_contacts, target_hours

SHOWN = 10
_MOMENT = "%Y-%m-%d %H:%M"
_LATE_SHARE = 0.5


def open_requests(
    data: Canonical, plan: Plan[ProceduresPlan], offers: OffersPlan, clients: nw.LazyFrame[Any], requests: nw.LazyFrame[Any],
    found: Procedures
) -> nw.LazyFrame[Any]:  # fmt: skip
    """Requests that are not solved yet: until when, by whom, and who answers for it.

    The deadline is the start plus the hours that the client's own package gives the procedure; a complaint goes by the
    procedure for
    complaints where there is one.

    Parameters
    ----------
    clients
        One row per client, from ``served_clients``.
    requests
        The table service_requests.
    found
        The procedures of each segment.

    Returns
    -------
    narwhals.LazyFrame
        One row per open request: ``client_id``, ``client``, ``interaction_id``, ``segment``, ``procedure``, ``kind``,
        ``topic``, ``started_at``,
        ``due_at``, ``overdue_hours`` (at the end of the as-of day; negative before the deadline), ``overdue``, ``answered``
        (missing
        where answers are not recorded), ``responsible``, ``accountable``, ``next_step``.
    """
    solving = sorted((p for p in plan.content.procedures if p.metric.measure == "resolution"), key=lambda p: -len(p.kinds))
    people = clients.select("client_id", "client", "account_owner")
    known = (
        requests.filter(nw.col("is_open")).join(people, on="client_id", how="left").with_columns(procedure=_procedure(solving))
    )
    hours = {
        p.name: {package.name: target_hours(p.metric, package.name, offers) for package in offers.service_packages}
        for p in solving
    }
    minutes = _by_procedure({name: lookup("service_package", values) for name, values in hours.items()}) * MINUTES_PER_HOUR
    titles = {p.name: p.title for p in solving}
    accountable = _role(found, "accountable")
    owner = nw.coalesce(nw.col("account_owner"), nw.lit(plan.content.account_owner_role))
    answered = (
        ~nw.col("response_minutes").is_null() if data.has("interactions", "first_response_at") else nw.lit(None, nw.Boolean)
    )
    placed = known.with_columns(
        due_at=_due_at(hours),
        overdue_hours=(as_float("age_minutes") - minutes) / MINUTES_PER_HOUR,
        answered=answered,
        responsible=nw.coalesce(nw.col("department"), _role(found, "responsible"), nw.lit(UNKNOWN_DEPARTMENT)),
        accountable=nw.when(accountable == ACCOUNT_OWNER).then(owner).otherwise(accountable),
        title=_by_procedure({name: nw.lit(title) for name, title in titles.items()}),
    ).with_columns(overdue=(nw.col("overdue_hours") > 0).fill_null(False))
    until = nw.col("due_at").dt.to_string(_MOMENT)
    first = (
        nw.when(nw.col("answered").fill_null(True))
        .then(nw.lit(""))
        .otherwise(nw.lit(" It has had no answer yet: that comes first."))
    )
    when = nw.when(nw.col("overdue")).then(nw.lit(", overdue since ")).otherwise(nw.lit(" until "))
    about = nw.coalesce(nw.col("topic"), nw.col("kind"), nw.lit("request"))
    step = nw.concat_str([
        nw.col("title"), nw.lit(" about "), about, when, until, nw.lit(": "), nw.col("responsible"), nw.lit(" solves, "),
        nw.col("accountable"), nw.lit(" answers for it."), first,
    ])  # fmt: skip
    return placed.with_columns(next_step=step).select(
        "client_id", "client", "interaction_id", "segment", "procedure", "kind", "topic", "started_at", "due_at",
        "overdue_hours", "overdue",
        "answered", "responsible", "accountable", "next_step",
    )  # fmt: skip


@answers("processes.open_requests")
def open_problems(data: Canonical, settings: Company, opened: nw.LazyFrame[Any]) -> Answer | Unanswered:
    """The open requests that are furthest past their deadline, or nearest to it.

    Parameters
    ----------
    opened
        The table open_requests.
    """
    if not data.has("interactions", "resolved_at"):
        return Unanswered("processes.open_requests", "it is not recorded when a request is solved, so none is known to be open.",
                          ("interactions.resolved_at",))  # fmt: skip
    late = nw.when(nw.col("overdue")).then(nw.lit(1)).otherwise(nw.lit(0))
    counts = collect(
        opened.select(nw.len().alias("open"), late.sum().alias("overdue"), nw.col("client_id").n_unique().alias("clients"))
    ).iloc[0]
    columns = ["client", "topic", "started_at", "due_at", "overdue_hours", "responsible", "accountable", "next_step"]
    rows = collect(
        opened.select(*columns, "interaction_id").sort("overdue_hours", "interaction_id", descending=[True, False]).head(SHOWN)
    )
    total, overdue = int(counts["open"]), int(counts["overdue"] or 0)
    if not total:
        sentence = f"No request is open on {formats.date(settings.as_of)}."
    else:
        sentence = (
            f"On {formats.date(settings.as_of)}, {formats.plural(total, 'request')} of "
            f"{formats.plural(counts['clients'], 'client')} "
            f"{'is' if total == 1 else 'are'} open, {overdue if overdue else 'none'} of them past the deadline of the "
            f"client's package."
        )
    shown = f" ({SHOWN} of {formats.number(total)})" if total > SHOWN else ""
    moments = {
        name: [value.strftime("%d %b, %H:%M") if value == value else formats.NOTHING for value in rows[name]]
        for name in ("started_at", "due_at")
    }
    return Answer(
        sentence=sentence,
        table=rows.drop(columns="interaction_id").assign(**moments, overdue_hours=rows["overdue_hours"].round()),
        caption=f"Open requests, the most overdue first{shown}; hours past the deadline, negative before it",
        labels={"started_at": "Received", "due_at": "Due", "overdue_hours": "Hours past it"},
    )


def client_procedures(
    data: Canonical, settings: Company, plan: Plan[ProceduresPlan], offers: OffersPlan, clients: nw.LazyFrame[Any],
    requests: nw.LazyFrame[Any],
    opened: nw.LazyFrame[Any], found: Procedures,
) -> nw.LazyFrame[Any]:  # fmt: skip
    """Each client's forms of the procedures, how it was served in the period, and its next step.

    The next step is the first that fits: the open request with the earliest deadline; a talk, where at least half of the
    client's requests were answered or solved later than its package says; the contacts its package promises and that were
    not made; else nothing.

    Returns
    -------
    narwhals.LazyFrame
        One row per client: ``client_id``, ``segment``, ``service_package``, ``forms`` (procedure and its variant),
        ``requests``, ``late_requests``,
        ``main_topic``, ``main_channel``, ``missing_contacts`` (a year), ``open_requests``, ``overdue_requests``, ``next_due_at``,
        ``next_step``. What is not recorded is missing, not zero.
    """
    records = data.has("interactions", "started_at")
    late = (_beyond("response_minutes", "response_hours") | _beyond("resolve_minutes", "resolve_hours")).fill_null(False)
    timed = requests.filter(nw.col("in_period")).join(
        clients.select("client_id", "response_hours", "resolve_hours"), on="client_id", how="left"
    )
    served = timed.group_by("client_id").agg(
        requests=nw.len(), late_requests=nw.when(late).then(nw.lit(1)).otherwise(nw.lit(0)).sum()
    )
    main = [_most_frequent(timed, column).rename({column: f"main_{column}"}) for column in ("topic", "channel")]
    overdue = nw.when(nw.col("overdue")).then(nw.lit(1)).otherwise(nw.lit(0))
    waiting = opened.group_by("client_id").agg(
        open_requests=nw.len(), overdue_requests=overdue.sum(), next_due_at=nw.col("due_at").min()
    )
    first = (
        opened.with_columns(place=_place(["due_at", "interaction_id"]))
        .filter(nw.col("place") == 1)
        .select("client_id", nw.col("next_step").alias("open_step"))
    )
    planned = plan.content.first_of("contacts")
    frame = (
        planned_contacts(data, settings, planned, clients)
        if planned is not None
        else clients.with_columns(missing=nw.lit(None, nw.Float64))
    )
    frame = reduce(lambda left, right: left.join(right, on="client_id", how="left"), [served, *main, waiting, first], frame)
    counts = ("requests", "late_requests", "open_requests", "overdue_requests")
    known = [nw.col(name).cast(nw.Int64).fill_null(0) if records else nw.lit(None, nw.Int64).alias(name) for name in counts]
    missing = nw.col("missing") if records else nw.lit(None, nw.Float64)
    return frame.with_columns(*known, missing_contacts=missing, forms=_forms(found),
    contact_channel=_contact_channel(offers)).with_columns(next_step=_next_step()).select(
        "client_id", "segment", "service_package", "forms", "requests", "late_requests", "main_topic", "main_channel",
        "missing_contacts",
        "open_requests", "overdue_requests", "next_due_at", "next_step",
    )  # fmt: skip


def _next_step() -> nw.Expr:
    many = (nw.col("late_requests") >= nw.col("requests") * _LATE_SHARE) & (nw.col("late_requests") > 1)
    topic = nw.concat_str([nw.lit(", most of all about "), nw.col("main_topic")])
    talk = nw.concat_str([
        nw.lit("Talk with "), nw.col("client"), nw.lit(" about "), nw.col("late_requests").cast(nw.String), nw.lit(" of its "),
        nw.col("requests").cast(nw.String), nw.lit(" requests that were answered or solved late"), nw.coalesce(topic,
        nw.lit("")), nw.lit("."),
    ])  # fmt: skip
    channel = nw.concat_str([nw.lit(" by "), nw.col("contact_channel")])
    about = nw.concat_str([nw.lit(", and speak about "), nw.col("main_topic")])
    due = nw.concat_str([
        nw.lit("Contact "), nw.col("client"), nw.coalesce(channel, nw.lit("")), nw.lit(": "), _count("missing_contacts"),
        nw.lit(" of the "),
        _count("contacts_per_year"), nw.lit(" contacts a year of its package are not made"), nw.coalesce(about, nw.lit("")),
        nw.lit("."),
    ])  # fmt: skip
    none = (
        nw.when(nw.col("requests").is_null())
        .then(nw.lit("No contact is recorded: begin to record them."))
        .otherwise(nw.lit("Nothing is due."))
    )
    step = nw.when((nw.col("missing_contacts") >= 0.5).fill_null(False)).then(due).otherwise(none)
    return nw.coalesce(nw.col("open_step"), nw.when(many.fill_null(False)).then(talk).otherwise(step))


def _count(column: str) -> nw.Expr:
    return nw.col(column).round(0).cast(nw.Int64).cast(nw.String)


def _contact_channel(offers: OffersPlan) -> nw.Expr:
    """The channel the client uses most, where its package has it; else the package's channel for contacts."""
    channel: nw.Expr = nw.lit(None, nw.String)
    for package in offers.service_packages:
        usual = package.channels[min(1, len(package.channels) - 1)]
        own = (
            nw.when(nw.col("main_channel").is_in(package.channels).fill_null(False))
            .then(nw.col("main_channel"))
            .otherwise(nw.lit(usual))
        )
        channel = nw.when(nw.col("service_package") == package.name).then(own).otherwise(channel)
    return channel


def _beyond(taken: str, target: str) -> nw.Expr:
    """Whether a request took, or has been waiting, longer than its client's package says."""
    spent = nw.coalesce(as_float(taken), as_float("age_minutes"))
    return spent > nw.col(target) * MINUTES_PER_HOUR


def _most_frequent(rows: nw.LazyFrame[Any], column: str) -> nw.LazyFrame[Any]:
    counted = rows.filter(~nw.col(column).is_null()).group_by("client_id", column).agg(n=nw.len())
    ranked = counted.with_columns(descending=-nw.col("n").cast(nw.Int64)).with_columns(place=_place(["descending", column]))
    return ranked.filter(nw.col("place") == 1).select("client_id", column)


def _place(order_by: list[str]) -> nw.Expr:
    # A literal has no rows to count along.
    one = nw.col("client_id").is_null().cast(nw.Int64) * 0 + 1
    return one.cum_sum().over("client_id", order_by=order_by)


def _procedure(solving: list[Procedure]) -> nw.Expr:
    """The procedure of an open request: the one with the fewest kinds that has its kind."""
    name: nw.Expr = nw.lit(solving[0].name if solving else None, nw.String)
    for procedure in solving[1:]:
        kinds = [kind.lower() for kind in procedure.kinds]
        name = (
            nw.when(nw.col("kind").str.to_lowercase().is_in(kinds).fill_null(False)).then(nw.lit(procedure.name)).otherwise(name)
        )
    return name


def _by_procedure(values: Mapping[str, nw.Expr]) -> nw.Expr:
    found: nw.Expr | None = None
    for name, value in values.items():
        found = value if found is None else nw.when(nw.col("procedure") == name).then(value).otherwise(found)
    return found if found is not None else nw.lit(None, nw.Float64)


def _due_at(hours: Mapping[str, Mapping[str, float | None]]) -> nw.Expr:
    """Start plus target: the engines add constants to a moment, so each package has its own branch."""
    started = nw.col("started_at")
    due: nw.Expr = nw.when(nw.lit(False)).then(started)
    for procedure, packages in hours.items():
        for package, target in packages.items():
            if target is not None:
                own = (nw.col("procedure") == procedure) & (nw.col("service_package") == package)
                due = nw.when(own).then(started.dt.offset_by(f"{round(target * MINUTES_PER_HOUR)}m")).otherwise(due)
    return due


def _role(found: Procedures, column: str) -> nw.Expr:
    role: nw.Expr = nw.lit(None, nw.String)
    for row in found.rows.itertuples():
        own = (nw.col("procedure") == row.procedure) & (nw.col("segment") == row.segment)
        role = nw.when(own).then(nw.lit(getattr(row, column))).otherwise(role)
    return role


def _forms(found: Procedures) -> nw.Expr:
    forms: nw.Expr = nw.lit(None, nw.String)
    for segment, own in found.rows.groupby("segment", sort=True):
        text = ", ".join(f"{row.title}{f' ({row.variant})' if row.variant else ''}" for row in own.itertuples())
        forms = nw.when(nw.col("segment") == segment).then(nw.lit(text)).otherwise(forms)
    return forms
