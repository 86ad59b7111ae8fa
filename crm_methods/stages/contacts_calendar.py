"""When each client is contacted: the days of the plan, levelled over working days. A room of stage 5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.contacts_plan import ContactsPlan, Occasion
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import STRATEGY_LABELS
from crm_methods.engine import Engine, collect, month_number, month_start
from crm_methods.stages.contacts_matrix import UnitCosts
from crm_methods.stages.contacts_occasions import NOT_REACHABLE
from crm_methods.stages.contacts_profile import PlanDays

MAX_CONTACTS = 200_000
"""Contacts that are levelled against each other in memory; more are spread by formula, in the engine."""

_GOLDEN = 0.6180339887498949
_IMPROVEMENTS = 2

CALENDAR = (
    "client_id",
    "planned_on",
    "occasion",
    "number",
    "action",
    "segment",
    "strategy",
    "channel",
    "person_id",
    "role",
    "responsible",
    "minutes",
    "text",
)
"""Columns of the table contact_calendar, in order."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Calendar(Answer):
    """The calendar by month.

    ``days`` has one row per working day (``planned_on``, ``contacts``, ``work_minutes``), ``by_channel`` one per month with a
    column per channel.

    ``peak_to_mean`` is the contacts of the busiest working day over those of the mean one; ``too_close`` counts contacts
    that follow one of the
    same client within the plan's gap.
    """

    days: pd.DataFrame
    by_channel: pd.DataFrame
    contacts: int
    clients: int
    peak_to_mean: float
    too_close: int
    levelled: bool


def level(
    clients: NDArray[np.int64],
    earliest: NDArray[np.int64],
    latest: NDArray[np.int64],
    minutes: NDArray[np.float64],
    *,
    slots: int,
    gap: int,
) -> NDArray[np.int64]:
    """A working day for each contact, so that the days carry as equal loads as their windows allow.

    The contacts with the narrowest windows are placed first, each on the day of its window with the fewest contacts, and
    of those with the fewest minutes, at least ``gap`` days from the client's other contacts; then each is taken out and
    placed anew, twice, which evens out what the order did. Where a window is full the nearest free day follows; only
    where the whole plan is full is the gap given up.

    Parameters
    ----------
    clients
        Client of each contact, as a number.
    earliest, latest
        First and last day of each contact's window, 0 … ``slots`` − 1.
    minutes
        Minutes of each contact.
    slots
        Number of working days.
    gap
        Days that must lie between two contacts of a client.

    Returns
    -------
    numpy.ndarray
        The day of each contact, 0 … ``slots`` − 1. The same input gives the same days.
    """
    load = np.zeros(slots)
    # Minutes decide between days with as many contacts, hence far below one contact.
    weight = 1.0 + (minutes / (1_000.0 * max(1.0, float(minutes.sum()))) if len(minutes) else minutes)
    placed: dict[int, list[int]] = {}
    chosen = np.zeros(len(clients), dtype=np.int64)
    # In the order of their days, each would avoid its predecessors and drift to the end; so they come in scattered order.
    scattered = (np.arange(len(clients)) * _GOLDEN) % 1.0
    order = np.lexsort((scattered, latest - earliest))
    for again in range(1 + _IMPROVEMENTS):
        for contact in order:
            low, high, others = int(earliest[contact]), int(latest[contact]), placed.setdefault(int(clients[contact]), [])
            if again:
                load[chosen[contact]] -= weight[contact]
                others.remove(int(chosen[contact]))
            window = load[low : high + 1].copy()
            for day in others:
                window[max(0, day - gap + 1 - low) : max(0, day + gap - low)] = np.inf
            best = int(window.argmin())
            slot = low + best if np.isfinite(window[best]) else _nearest_free(load, low, high, others, gap)
            load[slot] += weight[contact]
            others.append(slot)
            chosen[contact] = slot
    return chosen


def contact_calendar(
    engine: Engine,
    settings: Company,
    plan: ContactsPlan,
    days: PlanDays,
    occasions: nw.LazyFrame[Any],
    profile: nw.LazyFrame[Any],
    costs: UnitCosts,
    max_contacts: int = MAX_CONTACTS,
) -> nw.LazyFrame[Any]:
    """One row per client and contact, with its day.

    Parameters
    ----------
    occasions, profile
        One row per client and occasion (``client_occasions``), and per client (``contact_profile``).
    max_contacts
        Above so many contacts each has the day that its place among the clients gives it, without regard to other occasions.

    Returns
    -------
    narwhals.LazyFrame
        ``CALENDAR``; ``planned_on`` is a working day, ``number`` counts the contacts of an occasion at a client from 1.
    """
    reached = occasions.filter(nw.col("channel") != NOT_REACHABLE)
    total = collect(reached.select(nw.col("contacts").sum(), nw.col("contacts").max().alias("most"))).fillna(0).iloc[0]
    wanted = _wanted(engine, plan, days, reached, int(total["most"]))
    if int(total["contacts"]) <= max_contacts:
        placed = engine.frame(_levelled(plan, days, wanted, costs))
    else:
        placed = wanted.select("client_id", "occasion", "number", nw.col("wanted").alias("slot"))
    dates = engine.frame(
        pd.DataFrame({"slot": np.arange(days.count), "planned_on": pd.to_datetime(list(days.working))}).astype({"slot": "int64"})
    )
    about = engine.frame(_about(plan))
    people = profile.select("client_id", "strategy", "account_owner")
    minutes = engine.frame(costs.costs[["occasion", "channel", "minutes"]])
    frame = placed.join(dates, on="slot", how="inner").join(reached, on=["client_id", "occasion"], how="inner")
    frame = (
        frame.join(about, on="occasion", how="inner")
        .join(people, on="client_id", how="left")
        .join(minutes, on=["occasion", "channel"], how="left")
    )
    return frame.with_columns(
        planned_on=nw.col("planned_on").cast(nw.Date),
        responsible=nw.when(nw.col("by_account_owner")).then(nw.col("account_owner")).otherwise(nw.col("owner_role")),
    ).select(*CALENDAR)


@answers("contacts.calendar")
def calendar(
    settings: Company, plan: ContactsPlan, days: PlanDays, contacts: nw.LazyFrame[Any], max_contacts: int = MAX_CONTACTS
) -> Calendar | Unanswered:
    """How the planned contacts lie over the months, and how level the days are.

    Parameters
    ----------
    contacts
        The table contact_calendar.
    """
    by_day = collect(
        contacts.group_by("planned_on", "channel").agg(
            nw.len().alias("contacts"), (nw.col("minutes")).sum().alias("work_minutes")
        ),
        max_rows=1_000_000,
    ).sort_values(["planned_on", "channel"])
    if by_day.empty:
        return Unanswered(
            "contacts.calendar",
            "no contact is planned for any client that can be reached.",
            ("addresses of clients and contact persons",),
        )
    working = pd.DataFrame({"planned_on": pd.to_datetime(list(days.working)).astype(by_day["planned_on"].dtype)})
    daily = working.merge(by_day.groupby("planned_on", as_index=False)[["contacts", "work_minutes"]].sum(), how="left").fillna(
        0.0
    )
    months = daily.assign(month=daily["planned_on"].dt.to_period("M").dt.to_timestamp()).groupby("month")
    table = months.agg(
        working_days=("planned_on", "size"),
        contacts=("contacts", "sum"),
        busiest_day=("contacts", "max"),
        work_hours=("work_minutes", lambda m: m.sum() / 60),
    ).reset_index()
    table = table.assign(
        contacts=table["contacts"].astype("int64"),
        busiest_day=table["busiest_day"].astype("int64"),
        contacts_per_day=table["contacts"] / table["working_days"],
    )
    by_channel = by_day.assign(month=by_day["planned_on"].dt.to_period("M").dt.to_timestamp()).pivot_table(
        index="month", columns="channel", values="contacts", aggfunc="sum", fill_value=0
    )  # fmt: skip
    totals, peak = float(daily["contacts"].sum()), float(daily["contacts"].max())
    clients = int(collect(contacts.select(nw.col("client_id").n_unique().alias("n")))["n"].iloc[0])
    too_close = _too_close(contacts, days, plan.min_gap_days)
    levelled = totals <= max_contacts
    return Calendar(
        sentence=_calendar_sentence(
            peak, days, plan, contacts=int(totals), clients=clients, too_close=too_close, levelled=levelled
        ),
        table=table[["month", "working_days", "contacts", "contacts_per_day", "busiest_day", "work_hours"]],
        caption="Planned contacts by month; hours are those of our work in the contacts themselves",
        labels={"contacts_per_day": "Contacts a working day", "busiest_day": "On the busiest day", "work_hours": "Hours of work"},
        days=daily,
        by_channel=by_channel.reset_index().rename_axis(columns=None),
        contacts=int(totals),
        clients=clients,
        peak_to_mean=peak / (totals / days.count),
        too_close=too_close,
        levelled=levelled,
    )


@answers("contacts.calendar")
def examples(plan: ContactsPlan, contacts: nw.LazyFrame[Any], profile: nw.LazyFrame[Any], count: int = 3) -> Answer | Unanswered:
    """The next contacts of a few clients that differ: per strategy the one with the largest revenue, open problems first.

    Parameters
    ----------
    contacts, profile
        The table contact_calendar, and one row per client.
    """
    planned = contacts.group_by("client_id").agg(nw.col("planned_on").min().alias("next_on"))
    calm = nw.when((nw.col("open_requests") > 0).fill_null(False)).then(nw.lit(0)).otherwise(nw.lit(1))
    ranked = profile.join(planned, on="client_id", how="inner").with_columns(calm=calm, descending=-nw.col("revenue"))
    one = nw.col("client_id").is_null().cast(nw.Int64) * 0 + 1
    placed = ranked.with_columns(place=one.cum_sum().over("strategy", order_by=["calm", "descending", "client_id"]))
    best = collect(
        placed.filter(nw.col("place") == 1).select("client_id", "client", "strategy", "industry", "size"), max_rows=100
    )
    best = best.sort_values(["strategy", "client_id"]).head(count)
    if best.empty:
        return Unanswered(
            "contacts.calendar",
            "no contact is planned for any client that can be reached.",
            ("addresses of clients and contact persons",),
        )
    rows = collect(contacts.filter(nw.col("client_id").is_in(best["client_id"].tolist())), max_rows=10_000)
    rows = rows.merge(best[["client_id", "client"]], on="client_id").sort_values(["client", "planned_on", "occasion"])
    first = rows.groupby("client", sort=False).head(4)
    table = first.assign(occasion=first["occasion"].map(plan.occasion_titles))[
        ["client", "planned_on", "occasion", "channel", "role", "responsible", "text"]
    ]
    said = [_described(row, len(rows[rows["client_id"] == row["client_id"]])) for row in best.to_dict("records")]
    return Answer(
        sentence=f"{'An example' if len(best) == 1 else 'Examples'}, from the clients' own rows: {'; '.join(said)}.",
        table=table.reset_index(drop=True),
        caption=f"The next contacts of {formats.plural(len(best), 'client')}, at most four each; those of all clients "
        "are in the table contact_calendar",
        labels={"planned_on": "On", "role": "To", "text": "What to say", "channel": "By", "responsible": "Who"},
    )


def months_of(contacts: nw.LazyFrame[Any]) -> pd.DataFrame:
    """Minutes of the planned contacts: ``month`` (first day) and ``occasion`` (key), ``contacts``, ``work_minutes``."""
    counted = collect(
        contacts.with_columns(number_of_month=month_number("planned_on")).group_by("number_of_month", "occasion").agg(
            nw.len().alias("contacts"), nw.col("minutes").sum().alias("work_minutes")
        )
    ).sort_values(["number_of_month", "occasion"], ignore_index=True)  # fmt: skip
    months = [pd.Timestamp(month_start(int(number))) for number in counted["number_of_month"]]
    return counted.assign(month=pd.to_datetime(months))[["month", "occasion", "contacts", "work_minutes"]]


def _described(row: dict[str, Any], contacts: int) -> str:
    known = [str(row[name]) for name in ("size", "industry") if isinstance(row[name], str)]
    strategy = STRATEGY_LABELS.get(str(row["strategy"]), "no strategy").lower()
    return f"{row['client']} ({', '.join([*known, strategy])}) has {formats.plural(contacts, 'contact')}"


def _calendar_sentence(
    peak: float, days: PlanDays, plan: ContactsPlan, *, contacts: int, clients: int, too_close: int, levelled: bool
) -> str:
    mean = contacts / days.count
    text = (
        f"{formats.plural(contacts, 'contact')} with {formats.plural(clients, 'client')} on "
        f"{formats.plural(days.count, 'working day')}: "
        f"{formats.number(mean, 1)} a day on average, {formats.number(peak)} on the busiest."
    )
    if not levelled:
        text += (
            f" Above {formats.number(MAX_CONTACTS)} contacts, each occasion is spread evenly by itself and the days "
            "are not levelled against each other."
        )
    gap = formats.plural(plan.min_gap_days, "working day")
    if too_close:
        return (
            f"{text} {formats.plural(too_close, 'contact')} {'follows' if too_close == 1 else 'follow'} another of "
            f"the same client within {gap}."
        )
    holidays = "" if plan.closed_days else " The plan names no closed days, so public holidays count as working days."
    return f"{text} None falls on a weekend, and none follows another of the same client within {gap}.{holidays}"


def _wanted(engine: Engine, plan: ContactsPlan, days: PlanDays, reached: nw.LazyFrame[Any], most: int) -> nw.LazyFrame[Any]:
    """The working day each contact would have by itself: ``client_id``, ``occasion``, ``number``, ``contacts``, ``wanted``."""
    numbers = engine.frame(pd.DataFrame({"number": np.arange(1, max(1, most) + 1), "join_key": 1}).astype("int64"))
    slots = engine.frame(days.calendar[["due_day", "slot"]])
    soon = {o.name: min(o.timing.slack_days + 1, days.count) for _, o in plan.occasions if o.timing.by == "soon"}
    span: nw.Expr = nw.lit(days.count)
    for name, width in soon.items():
        span = nw.when(nw.col("occasion") == name).then(nw.lit(width)).otherwise(span)
    spread = ((nw.col("offset") + nw.col("number") - 1) * span / nw.col("contacts")).floor().cast(nw.Int64)
    expanded = reached.select("client_id", "occasion", "contacts", "due_day", "offset").with_columns(
        join_key=nw.col("contacts") * 0 + 1
    )
    rows = (
        expanded.join(numbers, on="join_key", how="inner")
        .filter(nw.col("number") <= nw.col("contacts"))
        .join(slots, on="due_day", how="left")
    )
    return rows.with_columns(wanted=nw.coalesce(nw.col("slot"), spread)).select(
        "client_id", "occasion", "number", "contacts", "wanted"
    )


def _levelled(plan: ContactsPlan, days: PlanDays, wanted: nw.LazyFrame[Any], costs: UnitCosts) -> pd.DataFrame:
    rows = collect(wanted, max_rows=2 * MAX_CONTACTS).sort_values(["client_id", "occasion", "number"], ignore_index=True)
    by_name: dict[str, Occasion] = {occasion.name: occasion for _, occasion in plan.occasions}
    slack = rows["occasion"].map({name: o.timing.slack_days for name, o in by_name.items()})
    is_soon = rows["occasion"].map({name: o.timing.by == "soon" for name, o in by_name.items()})
    # Windows of several contacts of one occasion must not overlap, or they would all drift to the same quiet weeks.
    slack = slack.where(rows["contacts"] == 1, np.minimum(slack, days.count // (2 * rows["contacts"])))
    earliest = (rows["wanted"] - slack).where(~is_soon, 0).clip(0, days.count - 1)
    latest = (rows["wanted"] + slack).where(~is_soon, slack).clip(0, days.count - 1)
    minutes = rows["occasion"].map(costs.costs.groupby("occasion")["minutes"].mean())
    slots = level(
        rows["client_id"].factorize()[0].astype(np.int64), earliest.to_numpy(dtype=np.int64), latest.to_numpy(dtype=np.int64),
        minutes.to_numpy(dtype=np.float64), slots=days.count, gap=plan.min_gap_days,
    )  # fmt: skip
    return rows.assign(slot=slots, client_id=rows["client_id"].astype("str"), occasion=rows["occasion"].astype("str"))[
        ["client_id", "occasion", "number", "slot"]
    ]


def _nearest_free(load: NDArray[np.float64], low: int, high: int, others: list[int], gap: int) -> int:
    allowed = np.ones(len(load), dtype=bool)
    for day in others:
        allowed[max(0, day - gap + 1) : day + gap] = False
    free = np.flatnonzero(allowed)
    if not len(free):
        return low + int(load[low : high + 1].argmin())
    distance = np.maximum(np.maximum(low - free, free - high), 0)
    return int(free[np.lexsort((free, load[free], distance))[0]])


def _too_close(contacts: nw.LazyFrame[Any], days: PlanDays, gap: int) -> int:
    """Contacts that follow one of the same client within the gap, counted in working days."""
    slots = pd.DataFrame({"planned_on": pd.to_datetime(list(days.working)), "slot": np.arange(days.count)})
    # An inner join by day keeps the count in the engine.
    previous = nw.col("planned_on").shift(1).over("client_id", order_by=["planned_on", "occasion", "number"])
    pairs = contacts.with_columns(previous_on=previous).filter(~nw.col("previous_on").is_null())
    counted = collect(pairs.group_by("planned_on", "previous_on").agg(nw.len().alias("n")), max_rows=5_000_000)
    place = slots.assign(planned_on=slots["planned_on"].astype("datetime64[us]")).set_index("planned_on")["slot"]
    apart = counted["planned_on"].astype("datetime64[us]").map(place) - counted["previous_on"].astype("datetime64[us]").map(place)
    return int(counted.loc[apart < gap, "n"].sum())


def _about(plan: ContactsPlan) -> pd.DataFrame:
    rows = [(o.name, a.name, o.owner, o.by_account_owner) for a, o in plan.occasions]
    return pd.DataFrame(rows, columns=["occasion", "action", "owner_role", "by_account_owner"])
