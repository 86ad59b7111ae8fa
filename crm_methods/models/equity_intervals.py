"""How sure the value of the client base is: parameters drawn, then the process simulated.

A "plug-in" interval, which takes the fitted parameters for the truth, covers .77–.88
where it claims .95. Here every draw takes parameters from their distribution
(``parameter_draws``), then each client's fate: is it alive, how often does it buy, when
does it leave, what does a purchase bring (``simulated_worth``). Populations of clients
with models of their own, and contracts, are simulated apart and added.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from crm_methods.engine import collect
from crm_methods.models import parameter_draws
from crm_methods.models.btyd_fit import PurchaseFit, SpendFit
from crm_methods.models.btyd_likelihood import Floats
from crm_methods.models.lifetime_value import CLV_COLUMN
from crm_methods.models.purchase_history import Money
from crm_methods.models.purchase_ladder import Population
from crm_methods.models.rates import ENDS_95, NORMAL_95
from crm_methods.models.simulated_worth import Buyers, ContractDraws, Horizon, expected_earnings, expected_future, one_future

MAX_SIMULATED = 2_000
"""Clients of a group and population that are simulated one by one; larger ones are represented by as many."""

TOTAL = "all"
INTERVAL_COLUMNS = (
    "clients", "purchases", "purchases_low", "purchases_high", "equity", "equity_low", "equity_high",
)  # fmt: skip
_ROUNDS = 200
_STEP = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    """The simulated clients of a population; each stands for ``weight`` clients of its ``group``."""

    buyers: Buyers
    weight: Floats
    group: Floats

    def sums(self, each: Floats, groups: int) -> Floats:
        sums: Floats = np.bincount(self.group.astype(int), weights=each, minlength=groups).astype(np.float64)
        return sums


@dataclass(frozen=True, slots=True, eq=False)
class _Spread:
    """How the sums of purchases and of worth (first axis) of one population scatter.

    ``futures`` (2, draws, groups) where every client was simulated, else None; ``variance``
    (2, groups + 1) of each group and, last, of all.
    """

    futures: Floats | None
    variance: Floats

    @classmethod
    def of(cls, futures: Floats) -> _Spread:
        with_all = np.concatenate([futures, futures.sum(axis=2, keepdims=True)], axis=2)
        return cls(futures, with_all.var(axis=1))


def equity_intervals(
    values: nw.LazyFrame[Any],
    populations: Sequence[Population],
    *,
    by: str | None = None,
    money: Money = "margin",
    cost_per_month: str | None = None,
    horizon_months: int = 36,
    annual_discount_rate: float = 0.10,
    draws: int = 1000,
    seed: int = 0,
    bootstraps: int = parameter_draws.BOOTSTRAPS,
    max_simulated: int = MAX_SIMULATED,
    contracts: ContractDraws | None = None,
) -> pd.DataFrame:
    """Purchases to come and customer equity of each group with their 95 % intervals.

    Parameters
    ----------
    values
        ``lifetime_value.client_values`` over the same horizon and rate: one row per client
        with ``population``, what it is worth in all, contracts included, and ``by``.
    populations
        The models the values come from; one without a fit has neither values nor a spread.
        Rows of any other population are worth what their ``contracts`` are.
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
    bootstraps
        As in ``parameter_draws.draws``.
    max_simulated
        A group of a population with more clients is represented by this many, evenly spread
        over its clients in order of their value, and the intervals become normal ones.
    contracts
        What contracts add, with the column ``by``.

    Returns
    -------
    pandas.DataFrame
        Key ``by`` (or ``group``), a row per group in order and one, ``all``, for the
        base: ``clients``; ``purchases`` and ``equity`` as expected, each with ``_low`` and
        ``_high``. The expected ones add up to the base; the bounds do not, since good luck
        in one group meets bad luck in another.
    """
    key = by or "group"
    grouped = values if by else values.with_columns(group=nw.lit(TOTAL))
    counted = _counted(grouped, key, CLV_COLUMN[money])
    totals = counted.groupby(key)[["clients", "purchases", "equity"]].sum().reset_index()
    if totals.empty:
        return pd.DataFrame(columns=[key, *INTERVAL_COLUMNS])
    horizon = Horizon.of(horizon_months, annual_discount_rate)
    # A stream of its own for each population, so that one's draws change nothing for another.
    streams = np.random.default_rng(seed).spawn(len(populations) + 1)
    spreads = []
    # Many BLAS threads only wait for each other on matrices of four parameters.
    with threadpool_limits(limits=1, user_api="blas"):
        for population, rng in zip(populations, streams):
            sizes = counted[counted["population"] == population.name].set_index(key)["clients"]
            if population.fit is None or sizes.empty:
                continue
            own = grouped.filter(nw.col("population") == population.name)
            sample = _sample(own, sizes.reindex(totals[key], fill_value=0), money, cost_per_month, max_simulated)
            is_whole = bool((sample.weight == 1).all())
            count = draws if is_whole else min(draws, _ROUNDS)
            models = parameter_draws.draws(population.fit, population.triples, count, rng, bootstraps)
            if is_whole:
                spreads.append(_simulated(models, population.spend, sample, horizon, len(totals), rng))
            else:
                spreads.append(_decomposed(models, population.fit, population.spend, sample, horizon, len(totals), rng))
    if contracts is not None and len(contracts.clients):
        spreads.append(_of_contracts(contracts, totals[key], by, draws, streams[-1]))
    return _with_bounds(totals, key, spreads, with_groups=by is not None)


def _counted(grouped: nw.LazyFrame[Any], key: str, clv: str) -> pd.DataFrame:
    """What is expected of each group and population, in order of the groups."""
    sums = (nw.len().alias("clients"), nw.col("expected_purchases").sum().alias("purchases"), nw.col(clv).sum().alias("equity"))
    counted = collect(grouped.group_by(key, "population").agg(*sums).sort(key, "population"))
    # A sum of nothing is missing on some engines.
    return counted.assign(clients=counted["clients"].astype("int64"), **counted[["purchases", "equity"]].fillna(0.0))


def _sample(
    values: nw.LazyFrame[Any], sizes: pd.Series[Any], money: Money, cost_per_month: str | None, max_simulated: int
) -> _Sample:
    """Every client of small groups; of large ones every k-th in order of value, in the engine."""
    cost = nw.col(cost_per_month).cast(nw.Float64).fill_null(0.0) if cost_per_month else nw.lit(0.0)
    numbers = (nw.col(f"mean_{money}").alias("mean"), cost.alias("cost"), nw.col(CLV_COLUMN[money]).alias("clv"))
    rows = values.select(nw.col(str(sizes.index.name)).alias("group"), "client_id", "x", "t_x", "T", *numbers)
    strides = {name: int(-(-size // max_simulated)) for name, size in sizes.items()}
    if max(strides.values()) > 1:
        stride = nw.lit(1)
        for name, step in strides.items():
            stride = nw.when(nw.col("group") == name).then(step).otherwise(stride)
        place = nw.col("one").cum_sum().over("group", order_by=["clv", "client_id"])
        rows = rows.with_columns(one=nw.lit(1)).with_columns(place=place, stride=stride)
        rows = rows.filter((nw.col("place") - 1) % nw.col("stride") == 0)
    taken = collect(rows.select("group", "client_id", "x", "t_x", "T", "mean", "cost").sort("group", "client_id"))
    order = {name: number for number, name in enumerate(sizes.index)}
    group = taken["group"].map(order).to_numpy(dtype=np.float64)
    represented = sizes.to_numpy() / np.maximum(np.bincount(group.astype(int), minlength=len(sizes)), 1)
    return _Sample(Buyers.of(taken), weight=represented[group.astype(int)], group=group)


def _simulated(
    models: Sequence[PurchaseFit],
    spend: SpendFit,
    sample: _Sample,
    horizon: Horizon,
    groups: int,
    rng: np.random.Generator,
) -> _Spread:
    """Sums per group in as many futures as there are drawn models."""
    futures = np.zeros((2, len(models), groups))
    for draw, model in enumerate(models):
        future = one_future(model, parameter_draws.drawn_spend(spend, rng), sample.buyers, horizon, rng)
        for row, each in enumerate(future):
            futures[row, draw] = sample.sums(each, groups)
    return _Spread.of(futures)


def _decomposed(
    models: Sequence[PurchaseFit],
    fit: PurchaseFit,
    spend: SpendFit,
    sample: _Sample,
    horizon: Horizon,
    groups: int,
    rng: np.random.Generator,
) -> _Spread:
    """Variance of the parameters + variance of the process, where clients stand for others.

    A sample of m out of n clients shows the first in proportion (n/m)² and the second in
    proportion n/m, so that they are measured apart.
    """
    process = np.zeros((2, len(models), groups))
    for draw in range(len(models)):
        outcome = one_future(fit, spend, sample.buyers, horizon, rng)
        for row in (0, 1):
            process[row, draw] = sample.sums(outcome[row] * np.sqrt(sample.weight), groups)
    spends = [parameter_draws.drawn_spend(spend, rng) for _ in models]
    shifts = _shifts(models, fit, sample, groups, lambda each: expected_future(each, spend, sample.buyers, horizon))
    bought, _ = expected_future(fit, spend, sample.buyers, horizon)
    for draw, drawn in enumerate(spends):
        moved = expected_earnings(bought, drawn, sample.buyers, horizon) - expected_earnings(
            bought, spend, sample.buyers, horizon
        )
        shifts[1, draw] += sample.sums(moved * sample.weight, groups)
    variance = process.var(axis=1) + shifts.var(axis=1)
    of_all = process.var(axis=1).sum(axis=1) + shifts.sum(axis=2).var(axis=1)
    return _Spread(None, np.column_stack([variance, of_all]))


def _shifts(
    models: Sequence[PurchaseFit],
    fit: PurchaseFit,
    sample: _Sample,
    groups: int,
    expect: Callable[[PurchaseFit], tuple[Floats, Floats]],
) -> Floats:
    """By how much each drawn model moves the expected sums of each group: (2, draws, groups).

    Where there are thousands of clients the parameters are known so well that the sums are
    linear in their logarithms: their slopes are taken, instead of a forecast for every draw.
    """

    def sums(each: PurchaseFit) -> Floats:
        return np.array([sample.sums(expected * sample.weight, groups) for expected in expect(each)])

    if fit.covariance is None:
        best = sums(fit)
        # The naive forecast has no parameters that could move it.
        moved = [sums(model) - best if fit.parameters else np.zeros_like(best) for model in models]
        return np.stack(moved, axis=1)
    names = parameter_draws.estimated(fit)
    slopes = []
    for name in names:
        above, below = (
            replace(fit, parameters={**fit.parameters, name: fit.parameters[name] * np.exp(s)}) for s in (_STEP, -_STEP)
        )
        slopes.append((sums(above) - sums(below)) / (2 * _STEP))
    away = np.log([[model.parameters[name] / fit.parameters[name] for name in names] for model in models])
    shifts: Floats = np.einsum("dp,prg->rdg", away, np.array(slopes))
    return shifts


def _of_contracts(
    contracts: ContractDraws, groups: pd.Series[Any], by: str | None, draws: int, rng: np.random.Generator
) -> _Spread:
    order = {name: number for number, name in enumerate(groups)}
    group = contracts.clients[by].map(order).fillna(-1).astype(int) if by else pd.Series(0, index=contracts.clients.index)
    known = group.to_numpy() >= 0
    futures = np.zeros((2, draws, len(groups)))
    for draw in range(draws):
        futures[1, draw] = np.bincount(group[known], weights=contracts.draw(rng)[known], minlength=len(groups))
    return _Spread.of(futures)


def _with_bounds(totals: pd.DataFrame, key: str, spreads: Sequence[_Spread], with_groups: bool) -> pd.DataFrame:
    """The totals with their bounds, and the whole base as the last row."""
    whole = pd.DataFrame([{key: TOTAL, **totals[["clients", "purchases", "equity"]].sum().to_dict()}])
    points = pd.concat([totals, whole], ignore_index=True)
    points = points.assign(clients=points["clients"].astype("int64"))
    centre = points[["purchases", "equity"]].to_numpy(dtype=np.float64).T
    simulated = [spread.futures for spread in spreads if spread.futures is not None]
    if not spreads:
        low = high = np.full_like(centre, np.nan)
    elif len(simulated) == len(spreads):
        futures = np.sum(simulated, axis=0)
        low, high = np.quantile(np.concatenate([futures, futures.sum(axis=2, keepdims=True)], axis=2), ENDS_95, axis=1)
    else:
        half = NORMAL_95 * np.sqrt(np.sum([spread.variance for spread in spreads], axis=0))
        low, high = centre - half, centre + half
        low[0] = np.maximum(low[0], 0.0)
    # A sum of chances below one in forty is expected to be more than its own upper bound.
    low, high = np.minimum(low, centre), np.maximum(high, centre)
    bounds = {"purchases_low": low[0], "purchases_high": high[0], "equity_low": low[1], "equity_high": high[1]}
    table = points.assign(**bounds)[[key, *INTERVAL_COLUMNS]]
    return table if with_groups else table.tail(1).reset_index(drop=True)
