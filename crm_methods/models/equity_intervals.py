"""How sure the value of the client base is: parameters drawn, then the process simulated.

A "plug-in" interval, which takes the fitted parameters for the truth, covers .77–.88
where it claims .95. Here every draw takes parameters from their posterior (normal on the
log scale), then each client's fate: is it alive, how often does it buy, when does it
leave, what does a purchase bring.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from crm_methods.engine import collect
from crm_methods.models.btyd_fit import DAYS_PER_UNIT, PurchaseFit, SpendFit
from crm_methods.models.btyd_likelihood import Floats
from crm_methods.models.btyd_prediction import forecast, probability_alive
from crm_methods.models.lifetime_value import CLV_COLUMN, DAYS_PER_MONTH, expected_spend, monthly_discount_rate
from crm_methods.models.purchase_history import Money

MAX_SIMULATED = 2_000
"""Clients of a group that are simulated one by one; larger groups are represented by as many."""

TOTAL = "all"
INTERVAL_COLUMNS = (
    "clients", "purchases", "purchases_low", "purchases_high", "equity", "equity_low", "equity_high",
)  # fmt: skip
_COVERAGE = (0.025, 0.975)
_Z = 1.959964
# A draw of (nearly) nought would never let a client leave; numpy's geometric needs it above 0.
_MIN_CHANCE = 1e-12
_MAX_EXPECTED = 1e12


@dataclass(frozen=True, slots=True, eq=False)
class _Clients:
    """The simulated clients of all groups; each stands for ``weight`` clients."""

    x: Floats
    t_x: Floats
    T: Floats
    mean: Floats
    cost: Floats
    weight: Floats
    group: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Future:
    days: float
    months: int
    monthly_rate: float


def equity_intervals(
    values: nw.LazyFrame[Any],
    fit: PurchaseFit,
    spend: SpendFit,
    *,
    by: str | None = None,
    money: Money = "margin",
    cost_per_month: str | None = None,
    horizon_months: int = 36,
    annual_discount_rate: float = 0.10,
    draws: int = 1000,
    seed: int = 0,
    max_simulated: int = MAX_SIMULATED,
) -> pd.DataFrame:
    """Purchases to come and customer equity of each group with their 95 % intervals.

    Parameters
    ----------
    values
        ``lifetime_value.client_values`` over the same horizon and rate, with ``by``.
    fit, spend
        The models the values come from.
    by
        Column of the groups, such as ``segment``; None for the whole base alone.
    money, cost_per_month
        As in ``client_values``.
    horizon_months, annual_discount_rate
        As in ``score_triples``.
    draws
        Number of simulated futures.
    seed
        Of the simulation; the same seed gives the same intervals whatever the order of rows.
    max_simulated
        A group with more clients is represented by this many, evenly spread over its
        clients in order of their value.

    Returns
    -------
    pandas.DataFrame
        Key ``by`` (or ``group``), a row per group in order and one, ``all``, for the
        base: ``clients``; ``purchases`` and ``equity`` as expected, each with ``_low`` and
        ``_high``. Bounds are missing where the model has no known uncertainty (``naive``).
    """
    key = by or "group"
    grouped = values if by else values.with_columns(group=nw.lit(TOTAL))
    clv = CLV_COLUMN[money]
    totals = collect(
        grouped.group_by(key)
        .agg(nw.len().alias("clients"), nw.col("expected_purchases").sum().alias("purchases"), nw.col(clv).sum().alias("equity"))
        .sort(key)
    )
    totals = totals.assign(clients=totals["clients"].astype("int64"))
    whole = pd.DataFrame([{key: TOTAL, **totals[["clients", "purchases", "equity"]].sum().to_dict()}])
    points = pd.concat([totals, whole], ignore_index=True) if by else totals
    points = points.assign(clients=points["clients"].astype("int64"))
    if fit.covariance is None or fit.family not in {"bg_nbd", "mbg_nbd"} or totals.empty:
        return points.assign(purchases_low=np.nan, purchases_high=np.nan, equity_low=np.nan, equity_high=np.nan)[
            [key, *INTERVAL_COLUMNS]
        ]
    clients = _representatives(grouped, key, totals, clv, f"mean_{money}", cost_per_month, max_simulated)
    future = _Future(horizon_months * DAYS_PER_MONTH, horizon_months, monthly_discount_rate(annual_discount_rate))
    rng = np.random.default_rng(seed)
    # Many BLAS threads only wait for each other on matrices of four parameters.
    with threadpool_limits(limits=1, user_api="blas"):
        if (clients.weight == 1).all():
            bounds = _simulated_bounds(fit, spend, clients, future, len(totals), draws, rng)
        else:
            bounds = _decomposed_bounds(fit, spend, clients, future, totals, draws, rng)
    kept = {name: column if by else column[:-1] for name, column in bounds.items()}
    return points.assign(**kept)[[key, *INTERVAL_COLUMNS]]


def _representatives(
    values: nw.LazyFrame[Any],
    key: str,
    totals: pd.DataFrame,
    clv: str,
    mean: str,
    cost_per_month: str | None,
    max_simulated: int,
) -> _Clients:
    """Every client of small groups; of large ones every k-th in order of value, in the engine."""
    cost = nw.col(cost_per_month).cast(nw.Float64).fill_null(0.0) if cost_per_month else nw.lit(0.0)
    numbers = (nw.col(mean).alias("mean"), cost.alias("cost"), nw.col(clv).alias("clv"))
    rows = values.select(nw.col(key).alias("group"), "client_id", "x", "t_x", "T", *numbers)
    strides = {name: -(-int(n) // max_simulated) for name, n in zip(totals[key], totals["clients"])}
    if max(strides.values()) > 1:
        stride = nw.lit(1)
        for name, step in strides.items():
            stride = nw.when(nw.col("group") == name).then(step).otherwise(stride)
        place = nw.col("one").cum_sum().over("group", order_by=["clv", "client_id"])
        rows = rows.with_columns(one=nw.lit(1)).with_columns(place=place, stride=stride)
        rows = rows.filter((nw.col("place") - 1) % nw.col("stride") == 0)
    taken = collect(rows.select("group", "client_id", "x", "t_x", "T", "mean", "cost").sort("group", "client_id"))
    order = {name: number for number, name in enumerate(totals[key])}
    group = taken["group"].map(order).to_numpy(dtype=np.float64)
    represented = totals["clients"].to_numpy(dtype=np.float64) / np.bincount(group.astype(int), minlength=len(totals))
    x, t_x, age, mean_amount, costs = (taken[name].to_numpy(dtype=np.float64) for name in ("x", "t_x", "T", "mean", "cost"))
    return _Clients(x, t_x, age, mean_amount, costs, weight=represented[group.astype(int)], group=group)


def _simulated_bounds(
    fit: PurchaseFit, spend: SpendFit, clients: _Clients, future: _Future, groups: int, draws: int, rng: np.random.Generator
) -> dict[str, Floats]:
    """Quantiles of simulated totals per group, the whole base last."""
    totals = np.zeros((2, draws, groups + 1))
    for draw in range(draws):
        bought, earned = _one_future(_drawn(fit, rng), _drawn_spend(spend, rng), clients, future, rng)
        for row, each in enumerate((bought, earned)):
            totals[row, draw, :groups] = _sums(clients, each, groups)
            totals[row, draw, groups] = each.sum()
    low, high = np.quantile(totals, _COVERAGE, axis=1)
    return _named(low, high)


def _decomposed_bounds(
    fit: PurchaseFit,
    spend: SpendFit,
    clients: _Clients,
    future: _Future,
    totals: pd.DataFrame,
    draws: int,
    rng: np.random.Generator,
) -> dict[str, Floats]:
    """Normal bounds for large groups: variance of the parameters + variance of the process.

    A sample of m out of n clients shows the first in proportion (n/m)² and the second in
    proportion n/m, so that they are measured apart.
    """
    groups, rounds = len(totals), min(draws, 200)
    sizes = clients.weight
    process = np.zeros((2, rounds, groups))
    shifts = np.zeros((2, rounds, groups))
    best = _expectations(fit, spend, clients, future)
    for round_ in range(rounds):
        outcome = _one_future(fit, spend, clients, future, rng)
        moved = _expectations(_drawn(fit, rng), _drawn_spend(spend, rng), clients, future)
        for row in (0, 1):
            process[row, round_] = _sums(clients, outcome[row] * np.sqrt(sizes), groups)
            shifts[row, round_] = _sums(clients, (moved[row] - best[row]) * sizes, groups)
    variance = process.var(axis=1) + shifts.var(axis=1)
    of_all = process.var(axis=1).sum(axis=1) + shifts.sum(axis=2).var(axis=1)
    half = _Z * np.sqrt(np.column_stack([variance, of_all]))
    point = totals[["purchases", "equity"]].to_numpy(dtype=np.float64).T
    centre = np.column_stack([point, point.sum(axis=1)])
    low = centre - half
    low[0] = np.maximum(low[0], 0.0)
    return _named(low, centre + half)


def _one_future(
    fit: PurchaseFit, spend: SpendFit, clients: _Clients, future: _Future, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Purchases of each client within the horizon, and what it is worth, in one simulated future."""
    days = DAYS_PER_UNIT[fit.time_unit]
    r, alpha, a, b = (fit.parameters[name] for name in ("r", "alpha", "a", "b"))
    size = len(clients.x)
    alive = rng.random(size) < probability_alive(fit, clients.x, clients.t_x, clients.T)
    rate = rng.standard_gamma(r + clients.x) / (alpha + clients.T / days)
    spared = 1.0 if fit.family == "mbg_nbd" else 0.0
    leaves = np.clip(rng.beta(a, b + clients.x + spared), _MIN_CHANCE, 1.0)
    # A living client would buy `wishes` times; it leaves at purchase number `last`, whichever comes first.
    wishes = rng.poisson(np.minimum(rate * future.days / days, _MAX_EXPECTED)).astype(np.float64)
    last = rng.geometric(leaves).astype(np.float64)
    bought = np.where(alive, np.minimum(wishes, last), 0.0)
    # Purchases of a Poisson process lie evenly: the j-th of k at j/(k + 1) of the horizon.
    share_of_time = np.where(last <= wishes, last / (wishes + 1), 1.0)
    earned = bought * _spend_of_each(spend, clients, bought, rng) * _discount_of_purchases(bought, wishes, future)
    paid = clients.cost * np.where(alive, _discounted_months(share_of_time * future.months, future), 0.0)
    return bought, earned - paid


def _spend_of_each(spend: SpendFit, clients: _Clients, bought: Floats, rng: np.random.Generator) -> Floats:
    """Mean amount of the simulated purchases of each client."""
    expected = expected_spend(spend, clients.x, clients.mean)
    if spend.family != "gamma_gamma":
        return expected
    p, q, v = (spend.parameters[name] for name in ("p", "q", "v"))
    own = np.maximum(clients.mean, 0.0)
    scale = rng.standard_gamma(q + p * clients.x) / (v + clients.x * own)
    drawn = rng.standard_gamma(p * np.maximum(bought, 1.0)) / (np.maximum(scale, 1e-300) * np.maximum(bought, 1.0))
    # Gamma-Gamma knows no losses: a client that buys below cost goes on as expected.
    return np.where((clients.x > 0) & (clients.mean <= 0), expected, drawn)


def _discount_of_purchases(bought: Floats, wishes: Floats, future: _Future) -> Floats:
    # Paid at the end of each month, hence half a month later than the purchase on average.
    mean_month = future.months * (bought + 1) / (2 * (wishes + 1)) + 0.5
    factor: Floats = (1 + future.monthly_rate) ** -mean_month
    return factor


def _discounted_months(months: Floats, future: _Future) -> Floats:
    if future.monthly_rate == 0:
        return months
    worth: Floats = (1 - (1 + future.monthly_rate) ** -months) / future.monthly_rate
    return worth


def _expectations(fit: PurchaseFit, spend: SpendFit, clients: _Clients, future: _Future) -> tuple[Floats, Floats]:
    """Expected purchases and worth of each client under given parameters, discounted midway."""
    ahead = forecast(fit, clients.x, clients.t_x, clients.T, [future.days / 2, future.days])
    bought, alive = ahead.purchases[:, 1], ahead.alive[:, 0]
    factor = (1 + future.monthly_rate) ** -(future.months / 2)
    worth = bought * expected_spend(spend, clients.x, clients.mean) - clients.cost * alive * future.months
    return bought, worth * factor


def _drawn(fit: PurchaseFit, rng: np.random.Generator) -> PurchaseFit:
    return replace(fit, parameters=_around(fit.parameters, fit.covariance, rng))


def _drawn_spend(spend: SpendFit, rng: np.random.Generator) -> SpendFit:
    if spend.family != "gamma_gamma":
        return spend
    drawn = _around(spend.parameters, spend.covariance, rng)
    p, q, v = drawn["p"], max(drawn["q"], 1.01), drawn["v"]
    return replace(spend, parameters={"p": p, "q": q, "v": v}, level=p * v / (q - 1), weight=(q - 1) / p)


def _around(parameters: Mapping[str, float], covariance: Floats | None, rng: np.random.Generator) -> dict[str, float]:
    if covariance is None:
        return dict(parameters)
    values, vectors = np.linalg.eigh(covariance)
    shift = vectors @ (np.sqrt(np.maximum(values, 0.0)) * rng.standard_normal(len(values)))
    # Within what floats and the models bear; no draw of a base that holds reaches it.
    return {name: float(value * np.exp(np.clip(s, -12.0, 12.0))) for (name, value), s in zip(parameters.items(), shift)}


def _sums(clients: _Clients, each: Floats, groups: int) -> Floats:
    sums: Floats = np.bincount(clients.group.astype(int), weights=each, minlength=groups).astype(np.float64)
    return sums


def _named(low: Floats, high: Floats) -> dict[str, Floats]:
    return {
        "purchases_low": low[0],
        "purchases_high": high[0],
        "equity_low": low[1],
        "equity_high": high[1],
    }
