"""What each client is still worth: purchases to come × margin of one − cost to serve, discounted.

    CLV_i = Σ_t [E[purchases in month t] · E[margin of one] − cost per month · P(alive at t)] / (1 + d)^t

The frequency models are in ``btyd_fit`` and ``btyd_prediction``, the ladder of them in
``purchase_ladder``, their trial by holdout in ``btyd_validation``, intervals in
``equity_intervals``. Here they meet: a base is fitted, each distinct history scored once
and joined back to the clients in the engine.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from crm_methods.engine import collect
from crm_methods.models.btyd_fit import DAYS_PER_MONTH as DAYS_PER_MONTH
from crm_methods.models.btyd_fit import PurchaseFit, SpendFit, TimeUnit, fit_gamma_gamma
from crm_methods.models.btyd_likelihood import Floats
from crm_methods.models.btyd_prediction import discounted, probability_alive
from crm_methods.models.btyd_search import Inference
from crm_methods.models.btyd_validation import models_table
from crm_methods.models.purchase_history import TRIPLE, Money, unique_spends
from crm_methods.models.purchase_ladder import (
    PURCHASES,
    REGULAR,
    BuyingDays,
    Histories,
    Ladder,
    RegularBuyers,
    climb_down,
    population,
    regular_ladder,
)
from crm_methods.models.purchase_ladder import Population as Population
from crm_methods.models.second_opinion import SecondOpinion, second_opinion, spend_second_opinion, too_many_for_pareto
from crm_methods.models.spend_by_frequency import relative_levels, spend_by_frequency

CLV_COLUMN: dict[Money, str] = {"margin": "clv", "revenue": "clv_revenue"}
"""Name of the value per client; without margins it is no lifetime value and is called revenue."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LifetimeValueModel:
    """All that was fitted for one base, what was chosen, and why.

    Parameters
    ----------
    populations
        Regular buyers where they have a model of their own, and all others, each with its rung.
    models
        ``btyd_validation.models_table`` of the fits on the calibration period (on the
        whole history where there is no holdout).
    rung, reason, fit, spend, holdout, triples
        Of the population that is not regular, or of the only one.
    without_pareto
        Why Pareto/NBD is not among the models although lifetimes was there to ask; empty where it is, or failed.
    """

    populations: tuple[Population, ...]
    models: pd.DataFrame
    rung: str
    reason: str
    fit: PurchaseFit | None
    spend: SpendFit
    holdout: pd.DataFrame
    triples: pd.DataFrame
    without_pareto: str = ""


def calibration_end(as_of: dt.date, holdout_months: int) -> dt.date:
    """The day ``holdout_months`` calendar months before ``as_of``; month ends stay month ends."""
    moment = pd.Timestamp(as_of)
    back = pd.offsets.MonthEnd(holdout_months) if moment.is_month_end else pd.DateOffset(months=holdout_months)
    before = moment - back
    return dt.date(before.year, before.month, before.day)


def monthly_discount_rate(annual_discount_rate: float) -> float:
    """d with (1 + d)¹² = 1 + annual rate."""
    return float((1 + annual_discount_rate) ** (1 / 12) - 1)


def fit_lifetime_value(
    summary: nw.LazyFrame[Any],
    calibration: nw.LazyFrame[Any] | None,
    *,
    money: Money = "margin",
    time_unit: TimeUnit = "day",
    estimation: Inference = "map",
    with_lifetimes: bool = True,
    days: BuyingDays | None = None,
    regular: RegularBuyers | None = None,
    regular_before: RegularBuyers | None = None,
    amounts_by_frequency: bool = False,
    seed: int = 0,
) -> LifetimeValueModel:
    """Fit all models of a base, try them on its holdout and choose each population's rung of the ladder.

    Parameters
    ----------
    summary
        ``purchase_history.purchase_summary`` at the day of the analysis, already written
        and re-read where it is costly: it is scanned several times.
    calibration
        ``purchase_history.calibration_holdout``; None for no holdout.
    money
        Which amount both hold.
    time_unit, estimation
        As in ``purchase_ladder.climb_down``.
    with_lifetimes
        Whether to ask lifetimes for Pareto/NBD and its second opinion.
    days
        The purchases that both were made from, for the recency chain; without them the naive forecast stands in.
    regular, regular_before
        Who buys regularly today, where they are enough for a population of their own, and who did before the holdout.
    amounts_by_frequency
        Whether clients are drawn to the amounts of those that bought as often (``spend_by_frequency``), not to one level:
        where frequent buyers bring more, or less, at a time.
    seed
        Of the draws under ``bayes``.

    Returns
    -------
    LifetimeValueModel
        Always; where nobody ever bought it says so.
    """
    spent = functools.partial(_fit_spend, money=money, estimation=estimation, by_frequency=amounts_by_frequency)
    own = _regular_population(summary, calibration, regular, regular_before, spent, time_unit, estimation)
    if own is not None and regular is not None:
        summary = summary.join(regular.ids, on="client_id", how="anti")
        known = regular_before or regular
        calibration = calibration.join(known.ids, on="client_id", how="anti") if calibration is not None else None
        days = days.without(regular.ids) if days is not None else None
    histories = Histories.of(summary, calibration)
    # Beside regular buyers there may be nobody else.
    if own is not None and histories.whole.empty:
        return _model((own[0],), models_table(own[1].fits, own[0].spend))
    before = summary if calibration is None or histories.counts.empty else calibration
    ladder = climb_down(histories, days, time_unit, estimation, with_lifetimes=with_lifetimes, seed=seed)
    spends, level = unique_spends(before, money), _mean_per_purchase(summary, money)
    spend_before = fit_gamma_gamma(spends, level, estimation)
    opinions = _opinions(histories.trained, spends, time_unit) if with_lifetimes else ()
    fits = [*ladder.fits, *(own[1].fits if own is not None else [])]
    others = population(PURCHASES, ladder, spent(summary), histories)
    model = _model((*([own[0]] if own is not None else []), others), models_table(fits, spend_before, opinions))
    return replace(model, without_pareto=too_many_for_pareto(histories.trained) if with_lifetimes else "")


def score_populations(model: LifetimeValueModel, horizon_months: int = 36, annual_discount_rate: float = 0.10) -> pd.DataFrame:
    """``score_triples`` of every population that has a model, with its name in ``population``."""
    scored = [
        score_triples(each.fit, each.triples, horizon_months, annual_discount_rate).assign(population=each.name)
        for each in model.populations
        if each.fit is not None
    ]
    return pd.concat(scored, ignore_index=True)


def with_population(
    summary: nw.LazyFrame[Any], model: LifetimeValueModel, regular: RegularBuyers | None = None
) -> nw.LazyFrame[Any]:
    """The histories with the name of each client's ``population``."""
    names = [each.name for each in model.populations]
    if REGULAR not in names or regular is None:
        return summary.with_columns(population=nw.lit(PURCHASES))
    named = regular.ids.with_columns(population=nw.lit(REGULAR))
    joined = summary.join(named, on="client_id", how="left")
    return joined.with_columns(population=nw.col("population").fill_null(PURCHASES))


def score_triples(
    fit: PurchaseFit, triples: pd.DataFrame, horizon_months: int = 36, annual_discount_rate: float = 0.10
) -> pd.DataFrame:
    """The future of each distinct history: computed once, joined to all clients who share it.

    Parameters
    ----------
    fit
        Of any family but ``pareto_nbd``.
    triples
        ``x``, ``t_x``, ``T`` in days; further columns are ignored.
    horizon_months
        Months (of ``DAYS_PER_MONTH`` days) ahead.
    annual_discount_rate
        Per year, 0.10 for 10 %.

    Returns
    -------
    pandas.DataFrame
        ``x``, ``t_x``, ``T``, ``p_alive`` (missing under ``naive``),
        ``expected_purchases`` within the horizon, ``discounted_purchases`` and
        ``discounted_months_alive``: a purchase of month t counts (1 + d)^−t, and so does
        a month at whose end the client is alive.
    """
    months = np.arange(1, horizon_months + 1)
    factors = (1 + monthly_discount_rate(annual_discount_rate)) ** -months.astype(np.float64)
    # Many BLAS threads only wait for each other on the quadrature's small matrices.
    with threadpool_limits(limits=1, user_api="blas"):
        bought, counted, alive = discounted(fit, triples["x"], triples["t_x"], triples["T"], months * DAYS_PER_MONTH, factors)
    return triples[list(TRIPLE)].assign(
        p_alive=probability_alive(fit, triples["x"], triples["t_x"], triples["T"]),
        expected_purchases=bought,
        discounted_purchases=counted,
        discounted_months_alive=alive,
    )


def expected_spend(spend: SpendFit, x: Any, mean: Any) -> Floats:
    """What one purchase of a client is expected to bring.

    Parameters
    ----------
    spend
        The model of amounts.
    x, mean
        Repeat purchases and their mean amount.

    Returns
    -------
    numpy.ndarray
        ``(weight · level + x · mean) / (weight + x)``, which for Gamma-Gamma is
        p(v + x·mean)/(p·x + q − 1); with ``spend.relative`` the level is that of as many repeat purchases. Finite, since
        q > 1 or the fallback is taken.
    """
    repeats, own = (np.asarray(values, dtype=np.float64) for values in (x, mean))
    expected: Floats = (spend.weight * spend.level * relative_level(spend, repeats) + repeats * own) / (spend.weight + repeats)
    return expected


def relative_level(spend: SpendFit, x: Any) -> Floats:
    """How the level of clients with ``x`` repeat purchases relates to ``spend.level``; 1 where all have the same."""
    repeats = np.asarray(x, dtype=np.float64)
    if not spend.relative:
        return np.ones(repeats.shape)
    levels: Floats = np.array(spend.relative)[np.minimum(repeats, len(spend.relative) - 1).astype(int)]
    return levels


def client_values(
    summary: nw.LazyFrame[Any],
    scores: nw.LazyFrame[Any],
    spend: SpendFit | Mapping[str, SpendFit],
    *,
    money: Money = "margin",
    cost_per_month: str | None = None,
) -> nw.LazyFrame[Any]:
    """Lifetime value of every client, in the engine.

    Parameters
    ----------
    summary
        One row per client (``purchase_history.purchase_summary``), with the column
        ``cost_per_month`` where that is given, and ``population`` where ``spend`` has several.
    scores
        ``score_triples`` as a frame of the same engine (``engine.frame``), or ``score_populations``.
    spend
        The model of amounts, or that of each population.
    money
        Which amount the summary holds.
    cost_per_month
        Name of the column with a client's cost to serve per month; missing values count 0.

    Returns
    -------
    narwhals.LazyFrame
        ``summary`` with ``p_alive``, ``expected_purchases``, ``discounted_purchases``,
        ``discounted_months_alive``, ``expected_<money>`` of one purchase, and ``clv``
        (``clv_revenue`` where ``money`` is revenue).
    """
    key = [*TRIPLE, *([] if isinstance(spend, SpendFit) else ["population"])]
    level, weight = _of_population(spend, _level), _of_population(spend, lambda each: nw.lit(float(each.weight)))
    expected = (nw.col(f"mean_{money}") * nw.col("x") + weight * level) / (nw.col("x") + weight)
    worth = nw.col("discounted_purchases") * nw.col(f"expected_{money}")
    if cost_per_month is not None:
        cost = nw.col(cost_per_month).cast(nw.Float64).fill_null(0.0)
        worth = worth - cost * nw.col("discounted_months_alive")
    return (
        summary.join(scores, on=key, how="left")
        .with_columns(expected.alias(f"expected_{money}"))
        .with_columns(worth.alias(CLV_COLUMN[money]))
    )


def _regular_population(
    summary: nw.LazyFrame[Any],
    calibration: nw.LazyFrame[Any] | None,
    regular: RegularBuyers | None,
    before: RegularBuyers | None,
    spent: Callable[[nw.LazyFrame[Any]], SpendFit],
    time_unit: TimeUnit,
    estimation: Inference,
) -> tuple[Population, Ladder] | None:
    if regular is None:
        return None
    theirs = summary.join(regular.ids, on="client_id", how="inner")
    tried = None if calibration is None or before is None else calibration.join(before.ids, on="client_id", how="inner")
    histories = Histories.of(theirs, tried)
    ladder = regular_ladder(histories, regular, before, time_unit, estimation)
    if ladder is None:
        return None
    return population(REGULAR, ladder, spent(theirs), histories), ladder


def _fit_spend(summary: nw.LazyFrame[Any], *, money: Money, estimation: Inference, by_frequency: bool) -> SpendFit:
    """What a purchase of these clients is expected to bring, on the whole history."""
    spend = fit_gamma_gamma(unique_spends(summary, money), _mean_per_purchase(summary, money), estimation)
    return replace(spend, relative=relative_levels(spend_by_frequency(summary, money), money)) if by_frequency else spend


def _model(populations: tuple[Population, ...], models: pd.DataFrame) -> LifetimeValueModel:
    main = populations[-1]
    return LifetimeValueModel(
        populations=populations,
        models=models,
        rung=main.rung,
        reason=main.reason,
        fit=main.fit,
        spend=main.spend,
        holdout=main.holdout,
        triples=main.triples,
    )


def _of_population(spend: SpendFit | Mapping[str, SpendFit], number: Callable[[SpendFit], nw.Expr]) -> nw.Expr:
    """A number of the model of amounts, by population where there are several."""
    if isinstance(spend, SpendFit):
        return number(spend)
    (first, *others) = spend
    value = number(spend[first])
    for other in others:
        value = nw.when(nw.col("population") == other).then(number(spend[other])).otherwise(value)
    return value


def _level(spend: SpendFit) -> nw.Expr:
    """The level a client is drawn to, by its repeat purchases where they matter."""
    if not spend.relative:
        return nw.lit(float(spend.level))
    *fewer, most = (float(spend.level * relative) for relative in spend.relative)
    value: nw.Expr = nw.lit(most)
    for repeats, level in enumerate(fewer):
        value = nw.when(nw.col("x") == repeats).then(nw.lit(level)).otherwise(value)
    return value


def _mean_per_purchase(summary: nw.LazyFrame[Any], money: Money) -> float:
    total = collect(summary.select(nw.col(money).sum(), (nw.col("x") + 1).sum().alias("purchases")))
    money_sum, purchases = total[money].iloc[0], total["purchases"].iloc[0]
    return float(money_sum) / float(purchases) if pd.notna(purchases) and purchases > 0 else 0.0


def _opinions(triples: pd.DataFrame, spends: pd.DataFrame, time_unit: TimeUnit) -> list[SecondOpinion]:
    return [
        second_opinion("bg_nbd", triples, time_unit),
        second_opinion("mbg_nbd", triples, time_unit),
        spend_second_opinion(spends),
    ]
