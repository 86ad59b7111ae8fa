"""Stage 1: what clients ask for, how that changes, how many requests a client makes, and how long they take to solve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import current_period
from crm_methods.company.settings import Company
from crm_methods.engine import collect
from crm_methods.models import rates
from crm_methods.models.durations import MIN_CLIENTS, median_time
from crm_methods.models.rates import ClientSums
from crm_methods.models.share_changes import CHANGE, is_clear, judged_together
from crm_methods.stages.client_base_changes import (
    LABELS,
    change_in_words,
    changes_by_value,
    in_brackets,
    of_two_periods,
    readable_changes,
)
from crm_methods.stages.client_base_contacts import began

REQUEST_KINDS = ("service", "complaint")
"""Kinds of contact that are requests where nobody noted from whom a contact came."""
ABOUT = ("topic", "reason")
SHOWN_TOPICS = 12
TOP_CLIENTS = 10
WITHIN_DAYS = (1, 3, 7, 30)
MAX_TIMED = 200_000
ALL = "all"
_SECONDS_PER_DAY = 86_400


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Topics(Answer):
    """What clients ask for: ``changes`` has one row per topic and per reason; ``finding`` is the result in short."""

    changes: pd.DataFrame
    finding: str


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RequestsPerClient(Answer):
    """How many requests a client makes: ``distribution`` has one row per number of requests, with its clients."""

    distribution: pd.DataFrame


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TimeToSolve(Answer):
    """How long requests take: ``times`` has one row per kind of request."""

    times: pd.DataFrame


def client_requests(data: Canonical, settings: Company) -> nw.LazyFrame[Any]:
    """What came from clients in the period (``now`` 1) and in the one before (``now`` 0).

    A contact is a request when the client began it: by the initiative noted, else by its direction, else by its kind
    (service and complaint). A company that notes none of the three gets all its contacts. A case of the process log that
    is no recorded contact is a request too, on the day of its first event.

    Returns
    -------
    narwhals.LazyFrame
        Key ``request_id``: ``client_id``, ``now``, ``kind``, ``topic``, ``reason``, ``started_at``, ``resolved_at``.
    """
    contacts = data.scan("interactions").with_columns(request_id=nw.col("interaction_id"))
    if any(data.has("interactions", name) for name in ("initiative", "direction", "kind")):
        contacts = contacts.filter(came_from_client())
    columns = ["request_id", "client_id", "kind", "topic", "reason", "started_at", "resolved_at"]
    requests = contacts.select(*columns)
    if "process_events" in data.supplied:
        requests = nw.concat([requests, _cases(data).select(*columns)], how="vertical")
    return of_two_periods(requests, "started_at", settings).select(*columns[:2], "now", *columns[2:])


def came_from_client() -> nw.Expr:
    """Whether the client began a contact; where neither initiative nor direction is noted, whether it is a request by kind."""
    of_kind = nw.col("kind").str.to_lowercase().is_in(list(REQUEST_KINDS)).fill_null(False)
    return nw.when(began().is_null()).then(of_kind).otherwise(began() == "theirs")


@answers("client_base.requests")
def topics(data: Canonical, settings: Company, requests: nw.LazyFrame[Any]) -> Topics | Unanswered:
    """The topics and reasons of requests: their shares, and how these changed against the period before.

    Parameters
    ----------
    requests
        ``client_requests``.

    Returns
    -------
    Topics
        Shares are of the requests that name a topic (a reason), with intervals clustered by client. Which changes are
        clear is corrected for the number of topics and reasons compared.
    """
    counts = collect(
        requests.group_by("now").agg(requests=nw.len(), topic=nw.col("topic").count(), reason=nw.col("reason").count())
    ).set_index("now")
    if 1 not in counts.index:
        return Unanswered("client_base.requests", f"no request is recorded from {current_period(settings).label}.")
    changes = pd.concat([changes_by_value(requests, about, "requests") for about in ABOUT], ignore_index=True)
    changes = judged_together(changes)
    shown = changes[changes["requests"] > 0].groupby("about", sort=False).head(SHOWN_TOPICS)
    if shown.empty:
        return Unanswered("client_base.requests", "no request of the period names its topic or reason.")
    return Topics(
        sentence=f"{_topics_sentence(changes, counts)} {_changed_topics(changes)}",
        table=readable_changes(shown, "requests"),
        caption=f"What requests of {current_period(settings).label} are about, as shares of those that name it; changes"
        " corrected for the number of comparisons",
        labels=dict(LABELS),
        changes=changes[["about", "name", *[name for name in changes.columns if name not in {"about", "name"}]]],
        finding=f"{_first_topic(changes, counts)} {_changed_topics(changes)}",
    )


@answers("client_base.request_count")
def requests_per_client(
    data: Canonical, settings: Company, facts: nw.LazyFrame[Any], requests: nw.LazyFrame[Any]
) -> RequestsPerClient | Unanswered:
    """How many requests clients make in the period, and who makes most.

    The clients are those that bought or had a contact in the period; a company without deals is asked about all its clients.
    """
    made = requests.filter(nw.col("now") == 1).group_by("client_id").agg(requests=nw.len())
    placed = facts.join(made, on="client_id", how="left").with_columns(nw.col("requests").fill_null(0))
    if data.has("deals", "closed_on"):
        in_touch = nw.col("last_interaction_on") >= nw.lit(current_period(settings).start)
        placed = placed.filter((nw.col("requests") > 0) | (nw.col("deals_won") > 0) | in_touch.fill_null(False))
    distribution = collect(placed.group_by("requests").agg(clients=nw.len())).sort_values("requests", ignore_index=True)
    if not distribution["requests"].any():
        return Unanswered("client_base.request_count", f"no request is recorded from {current_period(settings).label}.")
    columns = ["client_id", "name", "requests", "revenue"]
    ranked = placed.filter(nw.col("requests") > 0).with_columns(falling=-nw.col("requests"))
    top = collect(ranked.sort("falling", "client_id").head(TOP_CLIENTS), columns)
    whole = float((distribution["requests"] * distribution["clients"]).sum())
    table = pd.DataFrame(
        {
            "client": top["name"].where(top["name"].notna(), top["client_id"]), "requests": top["requests"],
            "requests_share": top["requests"] / whole, "revenue": top["revenue"],
        }
    )  # fmt: skip
    return RequestsPerClient(
        sentence=_per_client_sentence(distribution, float(top["requests"].sum()) / whole, len(top)),
        table=table,
        caption=f"Clients with most requests, {current_period(settings).label}",
        labels={"requests_share": "Of all requests", "revenue": f"Revenue ({settings.currency})"},
        distribution=distribution,
    )


@answers("client_base.request_times")
def time_to_solve(data: Canonical, settings: Company, requests: nw.LazyFrame[Any]) -> TimeToSolve | Unanswered:
    """Days from a request to its solution (Kaplan–Meier, open ones counted as far as they got), by kind.

    Kinds of request of which no solution is ever recorded are left out: they are not solved in this sense. The share
    solved within some days is of the requests begun at least so many days before the end of the as-of day. Elapsed days,
    nights and weekends included; where most solutions have no time of day, whole calendar days. A request solved on the
    day it began, at an hour that is not recorded or before its beginning, took 0 days.
    """
    rows = requests.filter(nw.col("now") == 1).with_columns(kind=nw.col("kind").fill_null("not recorded"))
    solved_kinds = collect(rows.filter(~nw.col("resolved_at").is_null()).select("kind").unique())["kind"].tolist()
    if not solved_kinds:
        reason = "no request of the period has a time of solution."
        return Unanswered(
            "client_base.request_times", f"how long requests take is not known, since {reason}", ("interactions.resolved_at",)
        )
    columns = ["client_id", "kind", "started_at", "resolved_at"]
    latest = rows.filter(nw.col("kind").is_in(solved_kinds)).sort("started_at", "request_id", descending=[True, False])
    found = collect(latest.head(MAX_TIMED), columns)
    by_day = _without_time_of_day(found["resolved_at"])
    cases = _timed(found, settings, by_day=by_day)
    timed = cases[cases["days"] >= 0]
    groups = [(ALL, timed), *((str(kind), own) for kind, own in timed.groupby("kind"))]
    times = pd.DataFrame([_time_row(name, own, settings.seed) for name, own in groups[: 1 if len(groups) == 2 else None]])
    shown = ["kind", "requests", "still_open", "median_days", "low_days", "high_days"]
    return TimeToSolve(
        sentence=_time_sentence(times.iloc[0], len(cases) - len(timed), by_day=by_day, at_limit=len(cases) == MAX_TIMED),
        table=times[[*shown, *[f"within_{days}_share" for days in WITHIN_DAYS]]],
        caption=f"{'Calendar days' if by_day else 'Days'} from request to solution, {current_period(settings).label}: median by"
        " Kaplan and Meier with its 95% interval, and the share solved in time",
        labels={
            "median_days": "Median days", "low_days": "From", "high_days": "To", "still_open": "Open",
            **{f"within_{days}_share": f"Within {formats.plural(days, 'day')}" for days in WITHIN_DAYS},
        },
        times=times,
    )  # fmt: skip


def _cases(data: Canonical) -> nw.LazyFrame[Any]:
    """Cases of the process log that are no recorded contact, with the client named first in the alphabet if there are two."""
    events = data.scan("process_events").filter(~nw.col("client_id").is_null())
    cases = events.group_by("case_id").agg(nw.col("client_id").min(), nw.col("topic").min(), nw.col("at").min())
    contacts = data.scan("interactions").select(case_id=nw.col("interaction_id"))
    nothing = nw.lit(None, nw.String)
    return cases.join(contacts, on="case_id", how="anti").with_columns(
        request_id=nw.col("case_id"), kind=nothing, reason=nothing, started_at=nw.col("at"), resolved_at=_no_time(),
    )  # fmt: skip


def _no_time() -> nw.Expr:
    return nw.when(nw.lit(False)).then(nw.col("at"))


def _without_time_of_day(moments: pd.Series[Any]) -> bool:
    """Whether most of the moments are midnights: days written into a column for moments."""
    known = pd.to_datetime(moments.dropna())
    return len(known) > 0 and bool((known == known.dt.normalize()).mean() > 0.5)


def _timed(cases: pd.DataFrame, settings: Company, *, by_day: bool) -> pd.DataFrame:
    """Requests with the days they took (or have waited, to the end of the as-of day), and whether they were solved.

    By day these are differences of calendar days. Below 0 is only what was solved on an earlier day than it began.
    """
    end = pd.Timestamp(settings.as_of) + pd.Timedelta(days=1)
    started, ended = pd.to_datetime(cases["started_at"]), pd.to_datetime(cases["resolved_at"])
    solved = ended.notna() & (ended < end)
    same_day = solved & (ended.dt.normalize() == started.dt.normalize())
    if by_day:
        started, ended, end = started.dt.normalize(), ended.dt.normalize(), pd.Timestamp(settings.as_of)
    days = (ended.where(solved, end) - started).dt.total_seconds() / _SECONDS_PER_DAY
    age = (end - started).dt.total_seconds() / _SECONDS_PER_DAY
    return cases.assign(days=days.mask(same_day & (days < 0), 0.0), solved=solved, age=age)


def _time_row(kind: str, cases: pd.DataFrame, seed: int) -> dict[str, Any]:
    middle = median_time(cases["days"], cases["solved"], cases["client_id"], seed=seed)
    row: dict[str, Any] = {
        "kind": kind, "requests": middle.cases, "solved": middle.happened, "still_open": middle.cases - middle.happened,
        "clients": middle.clients, "median_days": _or_nan(middle.median), "low_days": _or_nan(middle.low),
        "high_days": _or_nan(middle.high),
    }  # fmt: skip
    for days in WITHIN_DAYS:
        # Only those that had the time count, so that young requests do not look slow.
        old = cases[cases["age"] >= days]
        own = (old["solved"] & (old["days"] <= days)).groupby(old["client_id"]).agg(["sum", "count"])
        share = rates.share(ClientSums.of(own["sum"], own["count"]))
        row |= {f"within_{days}_share": _or_nan(share.estimate)}
        row |= {f"within_{days}_low_share": _or_nan(share.low), f"within_{days}_high_share": _or_nan(share.high)}
    return row


def _share(value: float) -> str:
    """As per cent; nearly all is not rounded to all."""
    return formats.share(value, 1 if 0.99 < value < 1 else 0)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _topics_sentence(changes: pd.DataFrame, counts: pd.DataFrame) -> str:
    whole = int(counts.loc[1, "requests"])
    said = [_made(counts)]
    for about, rows in changes[changes["requests"] > 0].groupby("about", sort=False):
        first = rows.iloc[0]
        span = in_brackets(first["low_share"], first["high_share"], formats.share)
        unknown = 1 - counts.loc[1, about] / whole
        blank = f"; {formats.share(unknown)} of all name none" if unknown >= 0.005 else ""
        said.append(f"The most frequent {about} is “{first['name']}”, {formats.share(first['share'])}{span}{blank}")
    return f"{'. '.join(said)}."


def _made(counts: pd.DataFrame) -> str:
    text = f"Clients made {formats.plural(counts.loc[1, 'requests'], 'request')}"
    return f"{text}, after {formats.number(counts.loc[0, 'requests'])} in the period before" if 0 in counts.index else text


def _first_topic(changes: pd.DataFrame, counts: pd.DataFrame) -> str:
    first = changes[changes["requests"] > 0].iloc[0]
    return f"{_made(counts)}; the most frequent {first['about']} is “{first['name']}” ({formats.share(first['share'])})."


def _changed_topics(changes: pd.DataFrame) -> str:
    if not changes["low_change"].notna().any():
        return "Without requests of two clients in both periods, no change can be judged."
    clear = changes[is_clear(changes)].sort_values("change", key=abs, ascending=False)
    if clear.empty:
        return "No share shows a clear change against the period before."
    words = [f"“{row['name']}” {change_in_words(*(row[name] for name in CHANGE))}" for row in clear.head(3).to_dict("records")]
    more = f" (and {formats.number(len(clear) - 3)} more in the table)" if len(clear) > 3 else ""
    corrected = ", corrected for the number of comparisons" if int(changes["q_value"].notna().sum()) > 1 else ""
    return f"Clear changes against the period before{corrected}: {formats.join(words)}{more}."


def _per_client_sentence(distribution: pd.DataFrame, top_share: float, names: int) -> str:
    requests, clients = distribution["requests"].to_numpy(float), distribution["clients"].to_numpy(float)
    sums = ClientSums(
        clients=int(clients.sum()), total=float(requests @ clients), count=float(clients.sum()),
        total_squared=float(requests**2 @ clients), count_squared=float(clients.sum()), total_by_count=float(requests @ clients),
    )  # fmt: skip
    mean = rates.mean(sums)
    middle = float(requests[np.searchsorted(np.cumsum(clients), clients.sum() / 2)])
    without = float(clients[requests == 0].sum() / clients.sum())
    span = in_brackets(mean.low, mean.high, lambda v: formats.number(v, 1), "95% interval ")
    who = formats.plural(int(clients.sum()), "client in touch in the period", "clients in touch in the period")
    half = f"half of them made {formats.number(middle)} or fewer, and " if middle else ""
    text = (
        f"{who[:1].upper()}{who[1:]} made {formats.number(mean.estimate, 1)} requests each on average"
        f"{span}; {half}{formats.share(without)} made none."
    )
    if int(clients[requests > 0].sum()) > names:
        text += f" The {names} that ask most make {formats.share(top_share)} of all requests."
    return text


def _time_sentence(whole: pd.Series[Any], impossible: int, *, by_day: bool, at_limit: bool) -> str:
    open_ones = int(whole["still_open"])
    of_all, are = formats.plural(whole["requests"], "request"), "is" if open_ones == 1 else "are"
    waiting = f"{formats.number(open_ones)} of {of_all} {are} open" if open_ones else "none is open"
    if pd.isna(whole["median_days"]):
        text = f"Fewer than half of the requests are known to be solved; {waiting}"
    else:
        unit, size = ("hours", 24) if whole["median_days"] < 2 and not by_day else ("days", 1)
        ends = (whole["low_days"] * size, whole["high_days"] * size)
        span = in_brackets(*ends, lambda v: formats.number(v, 1 if v < 10 and not by_day else 0), "95% interval ")
        if whole["clients"] < MIN_CLIENTS:
            span = f" (of {formats.plural(whole['clients'], 'client')}: too few to say how sure that is)"
        middle = size * whole["median_days"]
        within = f"within {formats.number(middle, 1 if middle < 10 else 0)} {unit}"
        if by_day:
            within = f"within {formats.plural(middle, 'calendar day')}" if middle else "on the day they were made"
        text = f"Half of the requests are solved {within}{span}; {waiting}"
    shares = [
        f"{_share(whole[f'within_{days}_share'])} within {formats.plural(days, 'day')}"
        for days in WITHIN_DAYS if not pd.isna(whole[f"within_{days}_share"])
    ]  # fmt: skip
    text += f". Of those that have had the time, {formats.join(shares)} were solved." if shares else "."
    text += " Most solutions carry no time of day, so whole calendar days are counted." if by_day else ""
    text += f" Left out: {formats.plural(impossible, 'request')} solved on a day before it began." if impossible else ""
    return text + (f" Counted: the {formats.number(MAX_TIMED)} most recent requests." if at_limit else "")
