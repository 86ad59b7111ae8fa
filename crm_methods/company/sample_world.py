"""The invented company's clients and when they buy: the latent world behind the sample's tables.

Nothing here is estimated and nothing is shared with the estimators: every law is drawn
from a stated parameter, and those parameters are what ``truth.json`` repeats.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SEED = 20_251_231
FIRST_DAY = np.datetime64("2022-01-01")
DAYS = 1_461
"""Days observed, from 2022-01-01 to 2025-12-31."""
DAYS_PER_MONTH = 30.4375
LAST_YEAR = DAYS - 365
"""First day of the last twelve months."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

PURCHASES: Mapping[str, Mapping[str, Any]] = {
    "core": {"process": "nbd", "clients": 165, "r": 6.0, "mean_orders_per_month": 0.75},
    "regular": {"process": "erlang", "clients": 85, "k": 6, "gap_days": [30, 45, 61]},
    "project": {
        "process": "mbg_nbd", "clients": 290, "r": 1.2, "mean_orders_per_month": 0.24, "a": 0.9, "b": 3.0,
    },
    "contract": {"process": "sbg", "clients": 60, "alpha": 0.9, "beta": 4.5, "term_months": 12},
}  # fmt: skip
"""Purchase process of each group: orders per day ~ Gamma(r, alpha), dropout ~ Beta(a, b) after every purchase."""

SPEND: Mapping[str, Mapping[str, float]] = {
    "core": {"p": 8.0, "q": 9.0, "mean": 2_900.0},
    "regular": {"p": 14.0, "q": 9.0, "mean": 2_700.0},
    "project": {"p": 3.0, "q": 5.0, "mean": 3_400.0},
    "contract": {"p": 400.0, "q": 6.0, "mean": 1_500.0},
}
"""Gamma-Gamma spend per order, in EUR: amount ~ Gamma(p, nu), nu ~ Gamma(q, v), v = mean · (q − 1)/p."""

INDUSTRIES: Mapping[str, float] = {
    "telecom": 0.24, "healthcare": 0.15, "logistics": 0.16, "finance": 0.12, "manufacturing": 0.17,
    "public sector": 0.10, "hospitality": 0.06,
}  # fmt: skip
TERRITORIES: Mapping[str, float] = {"North": 0.28, "South": 0.22, "East": 0.18, "West": 0.20, "Alps": 0.12}


def stream(name: str) -> np.random.Generator:
    """The random numbers of one table: a change in another table does not move them."""
    return np.random.default_rng([SEED, zlib.crc32(name.encode())])


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """What is true before anything is recorded.

    ``clients`` has a row per true client (index 0 … n − 1): ``client_id``, ``group``, ``start`` and ``end``
    (days since ``FIRST_DAY``; end is the last day of life, ``DAYS`` for the living), ``orders_per_month``,
    ``mean_amount``, ``size`` (standard normal, log size), ``loyalty`` (standard normal), ``industry``,
    ``territory``, ``tenure_days`` at ``FIRST_DAY`` (0 for those who came later).
    ``orders`` has a row per won order: ``client``, ``day``, ``amount`` (before any programme) and ``nth``.
    ``terms`` has a row per contract: ``client``, ``start``, ``end`` and ``per_month``.
    """

    clients: pd.DataFrame
    orders: pd.DataFrame
    terms: pd.DataFrame


def spread(random: np.random.Generator, shares: Mapping[str, float], size: int) -> NDArray[np.object_]:
    """Draw names with the given shares."""
    weights = np.array(list(shares.values()))
    return np.array(list(shares), dtype=object)[random.choice(len(weights), size, p=weights / weights.sum())]


def build_world() -> World:
    """Draw clients, their purchase histories and their contracts."""
    clients = _clients()
    histories = [_history(client) for client in clients.itertuples()]
    ends = np.array([end for _, end in histories])
    counts = [len(days) for days, _ in histories]
    orders = pd.DataFrame({"client": np.repeat(clients.index, counts), "day": np.concatenate([days for days, _ in histories])})
    clients = clients.assign(end=ends)
    orders = _with_amounts(orders[orders["day"] < DAYS].reset_index(drop=True), clients)
    return World(clients=clients, orders=orders, terms=_terms(clients))


def _clients() -> pd.DataFrame:
    random = stream("clients")
    groups = np.concatenate([np.repeat(name, group["clients"]) for name, group in PURCHASES.items()]).astype(object)
    groups = groups[random.permutation(len(groups))]
    n = len(groups)
    established = np.isin(groups, ["core", "regular"])
    nu = np.array([random.gamma(SPEND[g]["q"]) for g in groups])
    scale = np.array([SPEND[g]["mean"] * (SPEND[g]["q"] - 1) for g in groups])
    orders_per_month = np.array([_rate(random, g) for g in groups])
    mean_amount = scale / nu
    log_revenue = np.log(orders_per_month * mean_amount)
    # More of the newcomers came early, so that what they bring about balances what the departed take along.
    crowding = np.where(groups == "contract", 2.0, 1.4)
    level = (log_revenue - log_revenue.mean()) / log_revenue.std()
    return pd.DataFrame(
        {
            "client_id": [f"C{i + 1:04d}" for i in range(n)],
            "group": groups,
            "start": np.where(established, 0, (random.random(n) ** crowding * (DAYS - 60)).astype(int)),
            "tenure_days": np.where(established, random.integers(200, 6_000, n), 0),
            "orders_per_month": orders_per_month,
            "mean_amount": mean_amount,
            "size": 0.7 * level + np.sqrt(1 - 0.49) * random.standard_normal(n),
            "loyalty": random.standard_normal(n),
            "industry": spread(random, INDUSTRIES, n),
            "territory": spread(random, TERRITORIES, n),
        }
    )


def _rate(random: np.random.Generator, group: str) -> float:
    law = PURCHASES[group]
    if law["process"] == "erlang":
        return DAYS_PER_MONTH / float(random.choice(law["gap_days"]))
    if law["process"] == "sbg":
        return 1 / 3
    return float(random.gamma(law["r"]) / law["r"] * law["mean_orders_per_month"])


def _history(client: Any) -> tuple[Ints, int]:
    """Days of a client's won orders, and the day on which it stops being a client."""
    random = np.random.default_rng([SEED, zlib.crc32(b"orders"), client.Index])
    law = PURCHASES[client.group]
    gap = DAYS_PER_MONTH / client.orders_per_month
    if client.group == "regular":
        gaps = random.gamma(law["k"], gap / law["k"], size=int(2 * DAYS / gap) + 10)
        days = np.cumsum(gaps) - gap * random.random() * law["k"]
        return _within(days), DAYS
    if client.group == "core":
        return _within(np.cumsum(random.exponential(gap, size=int(3 * DAYS / gap) + 30))), DAYS
    if client.group == "contract":
        renewals = int(random.geometric(random.beta(law["alpha"], law["beta"])))
        end = min(client.start + round(renewals * 365.25), 10 * DAYS)
        return _within(np.arange(client.start, end - 1, 365.25 / 4)), min(end, DAYS)
    dropout = random.beta(law["a"], law["b"])
    days, day = [], float(client.start)
    while day < DAYS:
        days.append(day)
        if random.random() < dropout:
            return _within(np.array(days)), int(day)
        day += random.exponential(gap)
    return _within(np.array(days)), DAYS


def _within(days: Floats) -> Ints:
    """Orders are closed on working days: those of a weekend move to the nearest one of the same month.

    Moving them out of the month would put a calendar effect, larger for large clients, into every monthly panel.
    """
    whole = np.floor(days[(days >= 0) & (days < DAYS)]).astype(np.int64)
    weekday = (whole + 5) % 7
    nearest = whole + np.select([weekday == 5, weekday == 6], [-1, 1], 0)
    other_side = whole + np.select([weekday == 5, weekday == 6], [2, -2], 0)
    kept: Ints = np.where(_month(nearest) == _month(whole), nearest, other_side)
    return kept


def _month(days: Ints) -> NDArray[Any]:
    return (FIRST_DAY + days).astype("datetime64[M]")


def _with_amounts(orders: pd.DataFrame, clients: pd.DataFrame) -> pd.DataFrame:
    random = stream("amounts")
    group = clients["group"].to_numpy()[orders["client"]]
    shape = np.array([SPEND[g]["p"] for g in group])
    amount = random.gamma(shape) / shape * clients["mean_amount"].to_numpy()[orders["client"]]
    return orders.assign(amount=amount, nth=orders.groupby("client").cumcount())


def _terms(clients: pd.DataFrame) -> pd.DataFrame:
    """Contracts: a row each, ending when the client did not renew, else with the running term."""
    held = clients[clients["group"] == "contract"]
    running = held["end"] >= DAYS
    years = np.ceil((DAYS - held["start"]) / 365.25)
    end = np.where(running, held["start"] + np.round(years * 365.25), held["end"])
    return pd.DataFrame(
        {
            "client": held.index,
            "start": held["start"].to_numpy(),
            "end": end.astype(np.int64),
            "ended": ~running.to_numpy(),
            "per_month": (held["mean_amount"] / 3).to_numpy(),
        }
    ).reset_index(drop=True)
