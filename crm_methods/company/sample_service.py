"""The sample's interactions, what they cost and how well they were handled, with the staff and ledger behind them.

What a client costs follows its size with elasticity .6, falls with its loyalty and with its tenure; the minutes of an
activity have one true mean; how fast requests are answered depends on the client's true cell of the matrix alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from crm_methods.company.sample_deals import Sales
from crm_methods.company.sample_world import DAYS, FIRST_DAY, LAST_YEAR, Floats, World, spread, stream

# department, channel, kind, skill, true mean minutes, share of a small and of a large client's cost, share on our initiative
ACTIVITIES: Sequence[tuple[str, str, str, str, float, float, float, float]] = (
    ("support", "phone", "service", "tech_1", 50.0, 0.13, 0.07, 0.0),
    ("support", "email", "service", "tech_1", 60.0, 0.12, 0.06, 0.0),
    ("support", "portal", "service", "tech_2", 110.0, 0.10, 0.10, 0.0),
    ("support", "phone", "complaint", "tech_2", 95.0, 0.040, 0.025, 0.0),
    ("support", "email", "complaint", "tech_2", 120.0, 0.035, 0.020, 0.0),
    ("service", "visit", "service", "engineer", 480.0, 0.24, 0.30, 0.2),
    ("service", "remote", "service", "engineer", 210.0, 0.13, 0.12, 0.1),
    ("service", "visit", "onboarding", "engineer", 600.0, 0.0, 0.0, 1.0),
    ("sales", "visit", "sales", "account", 330.0, 0.12, 0.22, 0.85),
    ("sales", "phone", "sales", "account", 60.0, 0.05, 0.045, 0.7),
    ("sales", "email", "sales", "account", 45.0, 0.025, 0.02, 0.7),
    ("marketing", "event", "marketing", "marketer", 240.0, 0.015, 0.015, 1.0),
    ("marketing", "email", "marketing", "marketer", 20.0, 0.012, 0.008, 1.0),
)
ONBOARDING = 7
"""Row of the activity that only newcomers cause."""
MINUTES_CV = 0.45
CONTACTS_SINCE = 365
"""Contacts and costs are on record from 2023-01-01 on, when the help desk was opened."""

COST: Mapping[str, float] = {
    "log_level": 1.73, "size_elasticity": 0.60, "loyalty": -0.45, "noise": 0.30, "per_tenure_year": -0.10,
}  # fmt: skip
"""log yearly cost = level + .6 log yearly revenue − .45 loyalty + noise; and a tenth less per year for the first four."""

# skill, department, people, hours per month, cost per paid hour, overhead on top in the ledger
STAFF: Sequence[tuple[str, str, float, float, float, float]] = (
    ("tech_1", "support", 1.4, 150.0, 46.0, 0.22),
    ("tech_2", "support", 1.4, 150.0, 58.0, 0.22),
    ("engineer", "service", 3.4, 150.0, 62.0, 0.24),
    ("account", "sales", 1.8, 150.0, 68.0, 0.18),
    ("marketer", "marketing", 0.2, 150.0, 52.0, 0.30),
)
PRACTICAL_SHARE = 0.8
ADMINISTRATION_PER_MONTH = 17_500.0

CELLS = ("high_low", "high_high", "low_low", "low_high")
# median hours to the first answer and to the solution, by true cell
MEDIAN_HOURS: Mapping[str, tuple[float, float]] = {
    "high_low": (1.8, 12.0), "high_high": (3.0, 20.0), "low_low": (4.5, 26.0), "low_high": (8.0, 44.0),
}  # fmt: skip
HOURS_SD: Mapping[str, tuple[float, float]] = {"first_response": (0.95, 0.35), "resolution": (0.90, 0.40)}
"""Standard deviation of log hours: within a client, and between clients."""
TARGET_HOURS = (1, 2, 4, 6, 8, 12, 16, 24, 36, 48, 72, 96, 120)
ANSWERED: Mapping[str, float] = {"visit": 0.96, "phone": 0.55, "email": 0.32, "event": 0.40, "remote": 0.9, "portal": 0.2}
TOPICS: Mapping[str, float] = {
    "outage": 0.2, "configuration": 0.26, "billing": 0.13, "upgrade": 0.15, "performance": 0.16, "licence": 0.1,
}  # fmt: skip
COMPLAINTS: Mapping[str, float] = {
    "repeated fault": 0.34, "slow answer": 0.26, "late delivery": 0.18, "invoice error": 0.13, "wrong part": 0.09,
}  # fmt: skip
SALES_TOPICS: Mapping[str, float] = {"renewal": 0.3, "quotation": 0.4, "product news": 0.2, "review": 0.1}
CASE_STEPS = ("opened", "triaged", "assigned", "worked", "resolved", "closed")


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """``interactions`` with true minutes and times in minutes since ``FIRST_DAY``; ``cells`` of the clients."""

    interactions: pd.DataFrame
    cells: np.ndarray


def rate_per_minute() -> dict[str, float]:
    """Cost of one practical minute in each department: its ledger over its practical capacity."""
    cost: dict[str, float] = {}
    minutes: dict[str, float] = {}
    for _, department, people, hours, per_hour, overhead in STAFF:
        cost[department] = cost.get(department, 0.0) + people * hours * per_hour * (1 + overhead)
        minutes[department] = minutes.get(department, 0.0) + people * hours * 60 * PRACTICAL_SHARE
    return {department: cost[department] / minutes[department] for department in cost}


def record_service(world: World, sales: Sales) -> Service:
    """Draw every contact, find each client's true cell, and answer its requests at that cell's speed."""
    contacts = _contacts(world)
    cells = true_cells(world, sales, contacts)
    return Service(interactions=_answered(contacts, cells, _described(contacts, sales)), cells=cells)


def _contacts(world: World) -> pd.DataFrame:
    """Which activity happens for which client when, and how long it takes."""
    random = stream("interactions")
    clients = world.clients
    n = len(clients)
    rates = rate_per_minute()
    yearly_revenue = 12 * clients["orders_per_month"] * clients["mean_amount"]
    log_cost = (
        COST["log_level"] + COST["size_elasticity"] * np.log(yearly_revenue) + COST["loyalty"] * clients["loyalty"]
        + COST["noise"] * random.standard_normal(n)
    )  # fmt: skip
    large = 1 / (1 + np.exp(-2 * clients["size"].to_numpy()))
    begin = np.maximum(clients["start"].to_numpy() - 25, 0)
    end = np.where(clients["end"] < DAYS, np.minimum(clients["end"] + 150, DAYS), DAYS)
    frames = []
    for activity, (department, _, kind, _, minutes, small_share, large_share, _) in enumerate(ACTIVITIES):
        share = small_share * (1 - large) + large_share * large
        grumpy = np.exp(-0.4 * clients["loyalty"]) if kind == "complaint" else 1.0
        per_day = np.exp(log_cost) * share * grumpy / (minutes * rates[department]) / 365.25
        client = np.repeat(np.arange(n), random.poisson(per_day * (end - begin)))
        day = begin[client] + random.random(len(client)) * (end - begin)[client]
        if activity == ONBOARDING:
            client = np.repeat(np.arange(n), np.where(clients["start"] > 0, 1 + random.poisson(0.4, n), 0))
            day = clients["start"].to_numpy()[client] + random.integers(2, 45, len(client))
        years = (day - clients["start"].to_numpy()[client] + clients["tenure_days"].to_numpy()[client]) / 365.25
        stays = random.random(len(client)) < np.exp(COST["per_tenure_year"] * np.clip(years, 0, 4))
        frames.append(pd.DataFrame({"client": client, "day": day, "activity": activity})[stays | (activity == ONBOARDING)])
    contacts = pd.concat(frames, ignore_index=True)
    spread_of_minutes = np.sqrt(np.log(1 + MINUTES_CV**2))
    noise = np.exp(spread_of_minutes * random.standard_normal(len(contacts)) - spread_of_minutes**2 / 2)
    true_minutes = np.array([a[4] for a in ACTIVITIES])[contacts["activity"]]
    day = np.minimum(contacts["day"].astype(int), DAYS - 1)
    weekday = (day + 5) % 7
    day = day - np.maximum(weekday - 4, 0)
    hour = 8 * 60 + np.round(random.beta(1.6, 1.9, len(contacts)) * 9.5 * 60)
    contacts = contacts.assign(minutes=np.maximum(np.round(true_minutes * noise), 1), at=day * 1440 + hour)
    contacts = contacts[day >= CONTACTS_SINCE].drop(columns="day")
    return contacts.sort_values(["at", "client", "activity"], kind="stable", ignore_index=True)


def true_cells(world: World, sales: Sales, contacts: pd.DataFrame) -> np.ndarray:
    """Each client's cell by what truly happened in the last twelve months.

    Revenue is high above the median of those that bought. Cost is high above the median residual of log cost on log
    revenue; without revenue, above the median cost of the clients that cost anything.
    """
    n = len(world.clients)
    won = sales.deals.query("status == 'won' and closed >= @LAST_YEAR")
    revenue = np.bincount(won["client"], weights=won["amount"], minlength=n)
    recent = contacts[contacts["at"] >= LAST_YEAR * 1440]
    rates = rate_per_minute()
    rate = np.array([rates[a[0]] for a in ACTIVITIES])[recent["activity"]]
    cost = np.bincount(recent["client"], weights=recent["minutes"] * rate, minlength=n)
    high = revenue > np.median(revenue[revenue > 0])
    both = (revenue > 0) & (cost > 0)
    slope, level = np.polyfit(np.log(revenue[both]), np.log(cost[both]), 1)
    beyond = np.full(n, -np.inf)
    beyond[both] = np.log(cost[both]) - level - slope * np.log(revenue[both])
    costly = beyond > np.median(beyond[both])
    costly[revenue <= 0] = cost[revenue <= 0] > np.median(cost[cost > 0])
    return np.where(high, np.where(costly, "high_high", "high_low"), np.where(costly, "low_high", "low_low"))


def _described(contacts: pd.DataFrame, sales: Sales) -> pd.DataFrame:
    random = stream("interaction descriptions")
    n = len(contacts)
    kind = np.array([a[2] for a in ACTIVITIES], dtype=object)[contacts["activity"]]
    channel = np.array([a[1] for a in ACTIVITIES], dtype=object)[contacts["activity"]]
    ours = random.random(n) < np.array([a[7] for a in ACTIVITIES])[contacts["activity"]]
    topic = np.select(
        [kind == "sales", kind == "marketing", kind == "onboarding"],
        [spread(random, SALES_TOPICS, n), "product news", "installation"], spread(random, TOPICS, n),
    )  # fmt: skip
    reason = np.where(kind == "complaint", spread(random, COMPLAINTS, n), "")
    replied = random.random(n) < np.array([ANSWERED[c] for c in channel])
    travel = np.where(channel == "visit", np.round(random.gamma(4.0, 14.0, n)), 0.0)
    return pd.DataFrame(
        {
            "ours": ours,
            "topic": topic,
            "reason": reason,
            "answered": _where_known(replied, ours),
            "direct_cost": np.where(channel == "event", 35.0, travel),
            "deal": _next_deal(contacts, sales, (kind == "sales") & (random.random(n) < 0.7)),
            "request": ~ours & np.isin(kind, ["service", "complaint"]),
        }
    )


def _where_known(values: np.ndarray, known: np.ndarray) -> list[bool | None]:
    return [bool(value) if is_known else None for value, is_known in zip(values, known, strict=True)]


def _next_deal(contacts: pd.DataFrame, sales: Sales, about: np.ndarray) -> np.ndarray:
    """The deal of the same client that a sales contact led up to: the next one closed within 90 days, −1 for none."""
    asked = contacts.loc[about, ["client", "at"]].reset_index().sort_values("at", kind="stable")
    closed = sales.deals.query("closed >= 0 and kind != 'return'").assign(at=lambda d: d["closed"] * 1440.0 + 1440)
    found = pd.merge_asof(
        asked.assign(at=asked["at"].astype(float)), closed[["client", "at", "deal"]].sort_values(["at", "deal"], kind="stable"),
        on="at", by="client", direction="forward", tolerance=90.0 * 1440,
    )  # fmt: skip
    deal = np.full(len(contacts), -1)
    deal[found["index"]] = found["deal"].fillna(-1).astype(int)
    return deal


def _answered(contacts: pd.DataFrame, cells: np.ndarray, described: pd.DataFrame) -> pd.DataFrame:
    """Times of the first answer and of the solution: minutes since ``FIRST_DAY``, NaN where there was none yet."""
    random = stream("service levels")
    n, clients = len(contacts), len(cells)
    shared = random.standard_normal(n)
    last = DAYS * 1440 - 1
    hours: dict[str, Floats] = {}
    for column, (metric, (within, between)) in enumerate(HOURS_SD.items()):
        noise = 0.85 * shared + np.sqrt(1 - 0.85**2) * random.standard_normal(n)
        of_client = between * random.standard_normal(clients)
        median = np.array([MEDIAN_HOURS[cell][column] for cell in cells])
        hours[metric] = (np.log(median) + of_client)[contacts["client"]] + within * noise
    asked = described["request"].to_numpy()
    at = contacts["at"].to_numpy()
    response = at + np.maximum(1, np.round(60 * np.exp(hours["first_response"])))
    solved = np.maximum(at + np.round(60 * np.exp(hours["resolution"])), response)
    return pd.concat([contacts, described], axis=1).assign(
        response=np.where(asked & (response <= last), response, np.nan),
        solved=np.where(asked & (solved <= last), solved, np.nan),
        reopened=_where_known(random.random(n) < 0.06, asked),
    )


def service_level_truth() -> list[dict[str, Any]]:
    """Per cell and metric, the true share of requests handled within a number of hours, over all clients of the cell."""
    rows = []
    for cell in sorted(CELLS):
        for column, (metric, (within, between)) in enumerate(HOURS_SD.items()):
            median = MEDIAN_HOURS[cell][column]
            z = (np.log(np.array(TARGET_HOURS)) - np.log(median)) / np.hypot(within, between)
            shares = {str(hours): round(float(p), 4) for hours, p in zip(TARGET_HOURS, norm.cdf(z), strict=True)}
            rows.append({"segment": cell, "metric": metric, "median_hours": median, "log_sd_within_client": within,
                         "log_sd_between_clients": between, "share_within_hours": shares})  # fmt: skip
    return rows


def ledger() -> pd.DataFrame:
    """Monthly cost of each pool: staff and overhead, 2 % cheaper per year back, a little noise; and an unexplained pool."""
    random = stream("cost_ledger")
    pools: dict[str, float] = {"administration": ADMINISTRATION_PER_MONTH}
    for _, department, people, hours, per_hour, overhead in STAFF:
        pools[department] = pools.get(department, 0.0) + people * hours * per_hour * (1 + overhead)
    months = np.arange(np.datetime64("2023-01"), np.datetime64("2026-01"))
    years_back = (len(months) - 1 - np.arange(len(months))) // 12
    frames = [
        pd.DataFrame({
            "pool": pool, "month": months.astype("datetime64[D]"),
            "amount": np.round(amount * 0.98**years_back * (1 + 0.015 * random.standard_normal(len(months))), 2),
        })
        for pool, amount in sorted(pools.items())
    ]  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def process_events(service: Service) -> pd.DataFrame:
    """The steps of 450 solved requests of the last half-year; one case in seven skips, swaps or repeats a step."""
    random = stream("process_events")
    found = service.interactions.query("request and solved == solved and at >= @DAYS * 1440 - 184 * 1440")
    cases = found.sample(450, random_state=random.integers(2**31)).sort_index()
    rows: list[tuple[int, int, str, float, str, str]] = []
    for case in cases.itertuples():
        department = ACTIVITIES[int(case.activity)][0]
        steps = list(CASE_STEPS)
        fault = random.random()
        if fault < 0.07:
            steps.remove("triaged")
        elif fault < 0.11:
            steps[1], steps[2] = steps[2], steps[1]
        elif fault < 0.15:
            steps[4:4] = ["waiting for client", "worked"]
        inner = np.sort(random.random(len(steps) - 2)) * (case.solved - case.at)
        times = [case.at, *(case.at + np.round(inner[:-1])), case.solved, min(case.solved + 60, DAYS * 1440 - 1)]
        agent = f"{department[:3]}-{random.integers(1, 6)}"
        rows.extend((case.Index, case.client, step, at, agent, department) for step, at in zip(steps, times, strict=True))
    return pd.DataFrame(rows, columns=["interaction", "client", "activity", "at", "resource", "department"])


def moment(minutes: Floats) -> np.ndarray:
    """Minutes since ``FIRST_DAY`` as timestamps; NaN becomes NaT."""
    known = np.where(np.isnan(minutes), 0, minutes).astype(np.int64)
    times = FIRST_DAY.astype("datetime64[m]") + known
    return np.where(np.isnan(minutes), np.datetime64("NaT"), times)
