"""Hours needed by skill and month, the capacity against them, and queues by Erlang's formulas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods.engine import collect, month_start

MINUTES_PER_HOUR = 60


def erlang_b(load_erlangs: float, agents: int) -> float:
    """Share of calls lost when ``agents`` carry ``load_erlangs`` and nobody waits.

    B(k) = A·B(k−1) / (k + A·B(k−1)), B(0) = 1; B(10 agents, 10 erlangs) = .2146.

    References
    ----------
    Erlang (1917), "Solution of some problems in the theory of probabilities".
    """
    blocked = 1.0
    for k in range(1, agents + 1):
        blocked = load_erlangs * blocked / (k + load_erlangs * blocked)
    return blocked


def erlang_c(load_erlangs: float, agents: int) -> float:
    """Share of calls that wait when they queue: N·B / (N − A(1 − B)); 1 where the load is at or over the agents.

    C(11 agents, 10 erlangs) = .6821.
    """
    if load_erlangs >= agents:
        return 1.0
    blocked = erlang_b(load_erlangs, agents)
    return agents * blocked / (agents - load_erlangs * (1 - blocked))


def answered_in_time_share(load_erlangs: float, agents: int, handling_seconds: float, threshold_seconds: float) -> float:
    """Share of calls answered within ``threshold_seconds``: 1 − C·e^(−(N − A)τ/AHT); 0 where the queue grows for ever."""
    if load_erlangs >= agents:
        return 0.0
    waiting = erlang_c(load_erlangs, agents)
    return 1 - waiting * math.exp(-(agents - load_erlangs) * threshold_seconds / handling_seconds)


def mean_wait_seconds(load_erlangs: float, agents: int, handling_seconds: float) -> float:
    """Mean speed of answer, C·AHT/(N − A); infinite where the queue grows for ever."""
    if load_erlangs >= agents:
        return math.inf
    return erlang_c(load_erlangs, agents) * handling_seconds / (agents - load_erlangs)


def agents_needed(load_erlangs: float, handling_seconds: float, threshold_seconds: float, target_share: float) -> int:
    """The fewest agents that answer ``target_share`` (0–1, below 1) of calls within ``threshold_seconds``."""
    if not 0 <= target_share < 1:
        raise ValueError(f"target_share: found {target_share}, expected a share from 0 to below 1.")
    agents = math.floor(load_erlangs) + 1
    while answered_in_time_share(load_erlangs, agents, handling_seconds, threshold_seconds) < target_share:
        agents += 1
    return agents


def hours_needed(
    work: pd.DataFrame,
    by: Sequence[str] = ("month", "skill", "strategy"),
    *,
    shrinkage_share: float = 0.3,
    occupancy_share: float = 0.85,
) -> pd.DataFrame:
    """Paid hours that a workload takes: contacts × minutes / (60 · (1 − shrinkage) · occupancy).

    Parameters
    ----------
    work
        Any grain, with ``by``, ``contacts`` (number) and ``minutes`` (per contact).
    by
        Columns to add the hours up by.
    shrinkage_share
        Share of paid time away from work: holidays, illness, training (0–1).
    occupancy_share
        Share of the time at work that contacts may fill (0–1).

    Returns
    -------
    pandas.DataFrame
        One row per ``by``, sorted: ``by``, ``contacts``, ``work_hours`` (contacts × minutes / 60), ``hours`` (paid).
    """
    if not (0 <= shrinkage_share < 1 and 0 < occupancy_share <= 1):
        raise ValueError(
            f"shrinkage_share {shrinkage_share} and occupancy_share {occupancy_share}: "
            "expected a share from 0 to below 1 and one above 0 to 1."
        )
    keys = list(by)
    hours = work.assign(work_hours=work["contacts"] * work["minutes"] / MINUTES_PER_HOUR)
    summed = hours.groupby(keys, sort=True, dropna=False)[["contacts", "work_hours"]].sum().reset_index()
    return summed.assign(hours=summed["work_hours"] / ((1 - shrinkage_share) * occupancy_share))


def recorded_work(work: nw.LazyFrame[Any], by: Sequence[str] = ("skill",)) -> pd.DataFrame:
    """What was done by month: added up in the engine, ready for ``hours_needed``.

    Parameters
    ----------
    work
        Any grain with ``month`` (as ``engine.month_number`` counts), ``by``, ``contacts`` and ``minutes`` (of all of
        them): what ``cost_to_serve.client_work(…, by=["client_id", "month", "skill"])`` gives, joined to the segments.
    by
        Columns beside the month, such as ``skill`` or ``strategy``.

    Returns
    -------
    pandas.DataFrame
        One row per month and ``by``: ``month`` (first day), ``by``, ``contacts``, ``minutes`` (mean per contact).
    """
    summed = work.group_by("month", *by).agg(nw.col("contacts").sum(), nw.col("minutes").sum())
    table = collect(summed).sort_values(["month", *by]).reset_index(drop=True)
    months = pd.to_datetime([month_start(int(number)) for number in table["month"]])
    return table.assign(month=months, minutes=table["minutes"] / table["contacts"])[["month", *by, "contacts", "minutes"]]


def workload_quantiles(monthly: pd.DataFrame, by: Sequence[str] = ("skill",), quantile: float = 0.8) -> pd.DataFrame:
    """Mean and upper quantile of the hours of a month: capacity is planned on the quantile, not on the mean.

    ``monthly`` has one row per ``month`` and ``by`` with ``hours``; months without a row
    count as zero hours. Columns: ``by``, ``months``, ``mean_hours``, ``planned_hours``.
    """
    keys = list(by)
    wide = monthly.pivot_table(index="month", columns=keys, values="hours", aggfunc="sum", fill_value=0.0)
    table = pd.DataFrame({"months": len(wide), "mean_hours": wide.mean(), "planned_hours": wide.quantile(quantile)})
    return table.reset_index()


def capacity(staff: pd.DataFrame, by: Sequence[str] = ("skill",)) -> pd.DataFrame:
    """Paid hours a month that the staff supply.

    Parameters
    ----------
    staff
        One row per group: ``by``, ``people`` (full-time equivalents), ``hours_per_month`` (paid, of one person)
        and, where known, ``cost_per_hour``.

    Returns
    -------
    pandas.DataFrame
        One row per ``by``: ``people``, ``available_hours``, ``cost_per_hour`` (mean weighted by hours;
        missing where no group of the skill has one).
    """
    keys = list(by)
    hours = staff["people"] * staff["hours_per_month"]
    priced = hours.where(staff["cost_per_hour"].notna(), 0.0)
    sums = (
        staff.assign(available_hours=hours, _priced=priced, _cost=priced * staff["cost_per_hour"].fillna(0.0))
        .groupby(keys, sort=True)[["people", "available_hours", "_priced", "_cost"]]
        .sum()
        .reset_index()
    )
    cost = sums["_cost"].div(sums["_priced"].where(sums["_priced"] > 0))
    return sums.assign(cost_per_hour=cost)[[*keys, "people", "available_hours", "cost_per_hour"]]


def balance(needed: pd.DataFrame, available: pd.DataFrame) -> pd.DataFrame:
    """Hours needed against hours available, by month and skill.

    Parameters
    ----------
    needed
        ``month``, ``skill``, ``hours`` at any finer grain (strategies are added up).
    available
        What ``capacity`` returns by skill; a skill without staff has 0 hours.

    Returns
    -------
    pandas.DataFrame
        One row per month and skill that is needed or available: ``month``, ``skill``, ``needed_hours``,
        ``available_hours``, ``free_hours`` (negative: short), ``used_share`` (missing without staff),
        ``people_short`` (full-time equivalents, 0 where hours suffice; missing without staff).
    """
    summed = needed.groupby(["month", "skill"], sort=True)["hours"].sum()
    skills = sorted(set(needed["skill"]) | set(available["skill"]))
    grid = pd.MultiIndex.from_product([sorted(needed["month"].unique()), skills], names=["month", "skill"])
    table = summed.reindex(grid, fill_value=0.0).rename("needed_hours").reset_index()
    table = table.merge(available[["skill", "people", "available_hours"]], on="skill", how="left")
    supplied = table["available_hours"].fillna(0.0)
    staffed = supplied.where(supplied > 0)
    free = supplied - table["needed_hours"]
    return table.assign(
        available_hours=supplied,
        free_hours=free,
        used_share=table["needed_hours"] / staffed,
        people_short=(-free).clip(lower=0) * table["people"] / staffed,
    ).drop(columns="people")
