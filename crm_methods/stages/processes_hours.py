"""How many hours the strategies will need, by skill and month, and what the staff can supply. A room of stage 4."""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from scipy import stats

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.offers_plan import OffersPlan
from crm_methods.company.plans import Plan
from crm_methods.company.procedures_plan import ProceduresPlan
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import STRATEGY_LABELS
from crm_methods.engine import as_float, collect, day_number, day_of, month_of, month_start
from crm_methods.models import cost_to_serve as tdabc
from crm_methods.models import staffing
from crm_methods.stages.processes_requests import belongs, initiative, planned_contacts

HISTORY_MONTHS = 12
TRIAL_MONTHS = 6
FEWEST_MONTHS = 3
PLANNED_QUANTILE = 0.8
NO_SKILL = "not recorded"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class HoursNeeded(Answer):
    """Paid hours of the months ahead.

    ``hours`` has one row per month, skill and strategy (the table hours_needed), ``by_skill`` one per month and skill.
    ``recorded`` are the paid hours of the months behind (``month``, ``skill``, ``strategy``, ``contacts``, ``hours``).
    ``mase`` is the error of this forecast over that of "as in the same month a year ago"; None without a second year.
    """

    hours: pd.DataFrame
    by_skill: pd.DataFrame
    recorded: pd.DataFrame
    unit: str
    mase: float | None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Capacity(Answer):
    """Hours needed against hours supplied; ``balance`` has one row per month and skill (the table capacity)."""

    balance: pd.DataFrame
    unstaffed: tuple[str, ...]


@answers("processes.hours_needed")
def hours_needed(
    data: Canonical, settings: Company, plan: Plan[ProceduresPlan], offers: OffersPlan, clients: nw.LazyFrame[Any]
) -> HoursNeeded | Unanswered:
    """Paid hours that each strategy will take, by skill, in each of the next months.

    Recorded work goes on at the rate per working day of the last twelve whole months; to it come the contacts that the
    service packages promise beyond those made today. An hour of work takes 1 / (practical share × occupancy) paid hours.
    The interval is that of a single month to come (95 %); capacity is planned on the busy month, which four of five stay under.

    Parameters
    ----------
    clients
        One row per client, from ``served_clients``.

    Returns
    -------
    HoursNeeded
        ``hours``: ``month``, ``skill``, ``strategy``, ``contacts``, ``recorded_hours``, ``planned_contacts``, ``contact_hours``,
        ``hours`` (both), ``low_hours``, ``high_hours``, ``busy_hours``; all hours are paid hours.
    """
    unit = "skill" if data.has("interactions", "skill") else "department"
    first, last = _whole_months(data, settings)
    window = month_start(max(first, last - HISTORY_MONTHS - TRIAL_MONTHS + 1)), _month_end(last)
    if last - first + 1 < FEWEST_MONTHS:
        return Unanswered(
            "processes.hours_needed",
            f"fewer than {FEWEST_MONTHS} whole months of contacts are recorded.",
            ("more months of interactions",),
        )
    recorded = _recorded(data, settings, clients, unit, *window)
    behind = recorded[recorded["month"] > pd.Timestamp(month_start(last)) - pd.DateOffset(months=HISTORY_MONTHS)]
    months = _months_ahead(settings)
    promised = _promised_hours(data, settings, plan, offers, clients, unit)
    hours = _forecast(behind, months, promised, ["skill", "strategy"])
    by_skill = _forecast(behind, months, promised, ["skill"])
    mase = _mase(recorded, first, last)
    return HoursNeeded(
        sentence=_hours_sentence(hours, months),
        table=_hours_table(hours),
        caption=f"Paid hours a month, mean of {formats.month(months[0])} to {formats.month(months[-1])}, by {unit} and strategy; "
        "an hour of work is "
        f"{formats.number(1 / (settings.costs.practical_share * settings.processes.occupancy), 2)} paid hours",
        labels={"skill": unit.capitalize(), "recorded_hours": "As recorded", "contact_hours": "For contacts promised beyond",
        "hours": "Together",
                "low_hours": "From (95%)", "high_hours": "To", "busy_hours": "Busy month"},
        hours=hours, by_skill=by_skill, recorded=behind, unit=unit, mase=mase,
    )  # fmt: skip


@answers("processes.capacity")
def capacity(data: Canonical, settings: Company, needed: HoursNeeded | Unanswered) -> Capacity | Unanswered:
    """Hours needed in a busy month against the staff's paid hours, by skill and month.

    Returns
    -------
    Capacity
        ``balance``: ``month``, ``skill``, ``needed_hours`` (busy month), ``available_hours``, ``free_hours``, ``used_share``,
        ``people_short``, and of the needed ones ``recorded_hours`` and ``contact_hours`` (for contacts that the packages promise
        beyond those made today: planning contacts must not count them twice), ``low_hours`` and ``high_hours``.
    """
    assert isinstance(needed, HoursNeeded)  # the decorator has answered for the rest
    staff = collect(data.scan("staff").select("skill", "department", "people", "hours_per_month", "cost_per_hour"))
    staff = staff.assign(skill=staff[needed.unit].fillna(NO_SKILL), cost_per_hour=staff["cost_per_hour"].astype(float))
    supplied = staffing.capacity(staff[["skill", "people", "hours_per_month", "cost_per_hour"]])
    forecast = needed.by_skill
    balance = staffing.balance(forecast.assign(hours=forecast["busy_hours"]), supplied)
    parts = forecast[["month", "skill", "recorded_hours", "contact_hours", "low_hours", "high_hours"]]
    balance = balance.merge(parts, on=["month", "skill"], how="left").fillna({"recorded_hours": 0.0, "contact_hours": 0.0})
    unstaffed = tuple(sorted(balance.loc[(balance["available_hours"] == 0) & (balance["needed_hours"] > 0), "skill"].unique()))
    return Capacity(
        sentence=_capacity_sentence(balance, unstaffed),
        table=_capacity_table(balance),
        caption="Paid hours a month and what the staff supply, mean of the months ahead; needed are those of a busy month, "
        "which four of five stay under",
        labels={"skill": needed.unit.capitalize(), "without_contacts_share": "Used without the further contacts",
        "used_share": "Used",
                "contact_hours": "For contacts promised beyond"},
        balance=balance, unstaffed=unstaffed,
    )  # fmt: skip


def _whole_months(data: Canonical, settings: Company) -> tuple[int, int]:
    """First and last whole month of recorded contacts, as ``engine.month_number`` counts."""
    as_of = settings.as_of
    last = month_of(as_of) if as_of.day == calendar.monthrange(as_of.year, as_of.month)[1] else month_of(as_of) - 1
    started = data.scan("interactions").filter(day_number("started_at") <= day_of(as_of))
    earliest = collect(started.select(nw.col("started_at").min().alias("first")))["first"].iloc[0]
    if pd.isna(earliest):
        return last + 1, last
    moment = pd.Timestamp(earliest)
    # A company that began to record within a month has not recorded all of it; the first days may be holidays.
    return month_of(moment.date()) + (1 if moment.day > 7 else 0), last


def _month_end(number: int) -> dt.date:
    return month_start(number + 1) - dt.timedelta(days=1)


def _recorded(
    data: Canonical, settings: Company, clients: nw.LazyFrame[Any], unit: str, start: dt.date, end: dt.date
) -> pd.DataFrame:
    """Paid hours by month, skill and strategy, months without work too."""
    rows = data.scan("interactions")
    work = tdabc.client_work(
        rows.with_columns(_unit=nw.col(unit).fill_null(NO_SKILL)), start=start, end=end, by=["client_id", "month", "_unit"]
    )
    placed = work.join(clients.select("client_id", "strategy"), on="client_id", how="inner").with_columns(skill=nw.col("_unit"))
    monthly = staffing.recorded_work(placed.select("month", "skill", "strategy", "contacts", "minutes"), by=["skill", "strategy"])
    hours = _paid(monthly, settings, ("month", "skill", "strategy"))
    pairs = list(hours[["skill", "strategy"]].drop_duplicates().itertuples(index=False, name=None))
    months = [pd.Timestamp(month_start(m)) for m in range(month_of(start), month_of(end) + 1)]
    grid = pd.MultiIndex.from_tuples([(m, *pair) for m in months for pair in pairs], names=["month", "skill", "strategy"])
    return hours.set_index(["month", "skill", "strategy"]).reindex(grid, fill_value=0.0).reset_index()


def _paid(work: pd.DataFrame, settings: Company, by: Sequence[str]) -> pd.DataFrame:
    # Paid time away from work is what practical capacity leaves out: the same share as in the cost to serve.
    away = 1 - settings.costs.practical_share
    return staffing.hours_needed(work, by, shrinkage_share=away, occupancy_share=settings.processes.occupancy)


def _months_ahead(settings: Company) -> list[pd.Timestamp]:
    start = month_of(settings.as_of) + 1
    return [pd.Timestamp(month_start(start + i)) for i in range(settings.processes.plan_months)]


def working_days(months: Sequence[pd.Timestamp]) -> pd.Series[Any]:
    """Weekdays of each month; public holidays are not known and count as weekdays."""
    days = [int(np.busday_count(m.date(), (m + pd.DateOffset(months=1)).date())) for m in months]
    return pd.Series(days, index=pd.DatetimeIndex(months), dtype="int64")


def _forecast(behind: pd.DataFrame, months: Sequence[pd.Timestamp], promised: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Mean, interval and busy month of every group, for every month ahead."""
    past = behind.groupby(["month", *by], as_index=False)[["contacts", "hours"]].sum()
    days = past["month"].map(working_days(sorted(past["month"].unique())))
    per_day = past.assign(contacts=past["contacts"] / days, hours=past["hours"] / days)
    busy = staffing.workload_quantiles(per_day, by=by, quantile=PLANNED_QUANTILE).set_index(by)
    rates = per_day.groupby(by).agg(
        contacts=("contacts", "mean"), hours=("hours", "mean"), spread=("hours", "std"), months=("hours", "size")
    )
    reach = stats.t.ppf(0.975, rates["months"] - 1) * rates["spread"] * np.sqrt(1 + 1 / rates["months"])
    extra = (
        promised.groupby(by)[["planned_contacts", "contact_hours"]].sum()
        if len(promised)
        else pd.DataFrame(columns=["planned_contacts", "contact_hours"])
    )
    groups = rates.index.union(extra.index)
    rates, busy, reach, extra = (frame.reindex(groups, fill_value=0.0) for frame in (rates, busy, reach, extra))
    ahead = working_days(months)
    # What is promised a year spreads over the working days of a year.
    year = 365.25 * 5 / 7
    rows = []
    for month, count in ahead.items():
        contact_hours = extra["contact_hours"].astype(float) * count / year
        rows.append(
            pd.DataFrame(
                {
                    "month": month, "contacts": rates["contacts"] * count, "recorded_hours": rates["hours"] * count,
                    "planned_contacts": extra["planned_contacts"].astype(float) * count / year, "contact_hours": contact_hours,
                    "hours": rates["hours"] * count + contact_hours,
                    "low_hours": (rates["hours"] - reach).clip(lower=0) * count + contact_hours,
                    "high_hours": (rates["hours"] + reach) * count + contact_hours,
                    "busy_hours": busy["planned_hours"] * count + contact_hours,
                }
            ).reset_index(names=by)
        )  # fmt: skip
    table = pd.concat(rows, ignore_index=True)
    return table[["month", *by, *[c for c in table.columns if c not in ("month", *by)]]].sort_values(
        ["month", *by], ignore_index=True
    )


def _promised_hours(
    data: Canonical, settings: Company, plan: Plan[ProceduresPlan], offers: OffersPlan, clients: nw.LazyFrame[Any], unit: str
) -> pd.DataFrame:
    """Paid hours a year for the contacts that packages promise beyond those made: by skill and strategy.

    Reviews go by the first channel of the package, other contacts by the second; a contact takes the mean recorded minutes
    of our contacts by that channel and the skill that makes most of them.
    """
    columns = ["skill", "strategy", "planned_contacts", "contact_hours"]
    procedure = plan.content.first_of("contacts")
    if procedure is None:
        return pd.DataFrame(columns=columns)
    short = planned_contacts(data, settings, procedure, clients)
    sums = collect(short.group_by("strategy", "service_package").agg(nw.col("missing").sum())).sort_values(
        ["strategy", "service_package"]
    )
    minutes = as_float("handling_minutes")
    own = (
        data.scan("interactions")
        .with_columns(by_whom=initiative(), _unit=nw.col(unit).fill_null(NO_SKILL))
        .filter(~minutes.is_null(), belongs(procedure, data))
    )
    seen = collect(own.group_by("channel", "_unit").agg(contacts=nw.len(), minutes=minutes.sum())).rename(
        columns={"_unit": "skill"}
    )
    if seen.empty:
        return pd.DataFrame(columns=columns)
    rows = []
    for row in sums.itertuples():
        package = offers.service(row.service_package)
        reviews = package.reviews_per_year / package.contacts_per_year if package.contacts_per_year else 0.0
        channels = (package.channels[0], package.channels[1] if len(package.channels) > 1 else package.channels[0])
        for channel, share in zip(channels, (reviews, 1 - reviews), strict=True):
            skill, mean_minutes = _usual(seen, channel)
            rows.append({"skill": skill, "strategy": row.strategy, "contacts": row.missing * share, "minutes": mean_minutes})
    paid = _paid(pd.DataFrame(rows), settings, ("skill", "strategy"))
    return paid.rename(columns={"contacts": "planned_contacts", "hours": "contact_hours"})[columns]


def _usual(seen: pd.DataFrame, channel: str) -> tuple[str, float]:
    """Skill that makes most of our contacts by a channel, and their mean minutes; of all channels where it is new to us."""
    own = seen[seen["channel"] == channel]
    own = own if len(own) else seen
    ranked = (
        own.groupby("skill")[["contacts", "minutes"]].sum().sort_index().sort_values("contacts", ascending=False, kind="stable")
    )
    return str(ranked.index[0]), float(own["minutes"].sum() / own["contacts"].sum())


def _mase(recorded: pd.DataFrame, first: int, last: int) -> float | None:
    """Error of the forecast over that of "as a year ago", on the last months, each forecast from the twelve before it."""
    if last - first + 1 < HISTORY_MONTHS + TRIAL_MONTHS:
        return None
    wide = recorded.pivot_table(index="month", columns="skill", values="hours", aggfunc="sum").sort_index()
    days = working_days(list(wide.index))
    per_day = wide.div(days, axis=0)
    ours = per_day.rolling(HISTORY_MONTHS).mean().shift(1).mul(days, axis=0)
    error, naive = (wide - ours).abs().iloc[-TRIAL_MONTHS:], (wide - wide.shift(HISTORY_MONTHS)).abs().iloc[-TRIAL_MONTHS:]
    total = float(naive.to_numpy().sum())
    return float(error.to_numpy().sum()) / total if total > 0 else None


def _strategy(name: str) -> str:
    return STRATEGY_LABELS.get(name, "No strategy")


def _hours_table(hours: pd.DataFrame) -> pd.DataFrame:
    columns = ["recorded_hours", "contact_hours", "hours", "low_hours", "high_hours", "busy_hours"]
    mean = hours.groupby(["skill", "strategy"], as_index=False)[columns].mean().round(1)
    return mean.assign(strategy=[_strategy(s) for s in mean["strategy"]])


def _hours_sentence(hours: pd.DataFrame, months: Sequence[pd.Timestamp]) -> str:
    span = formats.month(months[0]) if len(months) == 1 else f"{formats.month(months[0])} to {formats.month(months[-1])}"
    by_strategy = hours.groupby("strategy")["hours"].sum().sort_values(ascending=False) / len(months)
    each = formats.join([f"“{_strategy(str(s))}” {formats.number(h)}" for s, h in by_strategy.items()])
    text = (
        f"From {span} the strategies need {formats.number(by_strategy.sum())} paid hours a month: {each}."
        if len(months) > 1
        else (f"In {span} the strategies need {formats.number(by_strategy.sum())} paid hours: {each}.")
    )
    extra, total = float(hours["contact_hours"].sum()), float(hours["hours"].sum())
    if extra > 0 and total > 0:
        contacts = hours["planned_contacts"].sum() / len(months)
        text += (
            f" {formats.share(extra / total)} of them go into {formats.plural(round(contacts), 'contact')} a month that the "
            f"service packages promise "
            "beyond those made today."
        )
    return text


def _capacity_table(balance: pd.DataFrame) -> pd.DataFrame:
    mean = balance.groupby("skill", as_index=False)[
        ["needed_hours", "contact_hours", "available_hours", "free_hours", "people_short"]
    ].mean()
    supplied = mean["available_hours"].where(mean["available_hours"] > 0)
    months = balance.assign(short=balance["free_hours"] < 0).groupby("skill")["short"].sum()
    return mean.round(1).assign(
        used_share=mean["needed_hours"] / supplied,
        without_contacts_share=(mean["needed_hours"] - mean["contact_hours"]) / supplied,
        months_short=mean["skill"].map(months),
        people_short=mean["people_short"].round(2),
    )


def _capacity_sentence(balance: pd.DataFrame, unstaffed: Sequence[str]) -> str:
    months = balance["month"].nunique()
    staffed = balance[balance["available_hours"] > 0]
    short = (
        staffed[staffed["free_hours"] < 0]
        .groupby("skill")
        .agg(months=("month", "size"), people=("people_short", "max"), hours=("free_hours", "min"))
    )
    said = []
    for skill, row in short.sort_values("people", ascending=False).iterrows():
        when = (
            "every month"
            if row["months"] == months and months > 1
            else f"{formats.number(row['months'])} of {formats.plural(months, 'month')}"
        )
        said.append(
            f"“{skill}” in {when} (by up to {formats.number(-row['hours'])} hours, {formats.number(row['people'], 1)} people)"
        )
    text = (
        f"In a busy month, capacity is short for {formats.join(said)}."
        if said
        else (
            "Capacity covers even a busy month in every month ahead."
            if len(staffed)
            else "No hours of staff are recorded for the skills that are needed."
        )
    )
    used = staffed.groupby("skill")["used_share"].mean()
    if len(used.index.difference(short.index)):
        freest = used.drop(short.index).idxmin()
        text += f" Most room is left in “{freest}”: {formats.share(used[freest])} of its hours are needed."
    if len(unstaffed) and len(staffed):
        text += f" Nobody is recorded for {formats.join(unstaffed)}, though there is such work."
    alone = staffed.assign(without=staffed["free_hours"] + staffed["contact_hours"]).groupby("skill")["without"].min()
    covered = [f"“{skill}”" for skill in short.index if alone[skill] >= 0]
    if covered:
        text += f" Without the contacts promised beyond today's, {formats.join(covered)} would do with the present hours."
    return text
