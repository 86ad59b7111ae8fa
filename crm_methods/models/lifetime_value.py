"""What each client is still worth: purchases to come × margin of one − cost to serve, discounted.

    CLV_i = Σ_t [E[purchases in month t] · E[margin of one] − cost per month · P(alive at t)] / (1 + d)^t

The frequency models are in ``btyd_fit`` and ``btyd_prediction``, their trial by holdout in
``btyd_validation``, intervals in ``equity_intervals``. Here they meet: a base is fitted,
the rung of the ladder chosen, each distinct history scored once and joined back to the
clients in the engine.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any, Literal

import narwhals as nw
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from crm_methods.engine import collect
from crm_methods.models.btyd_fit import (
    Estimation,
    NoFit,
    PurchaseFit,
    SpendFit,
    TimeUnit,
    fit_gamma_gamma,
    fit_purchases,
    is_sound,
    naive,
)
from crm_methods.models.btyd_likelihood import Floats
from crm_methods.models.btyd_prediction import forecast, probability_alive
from crm_methods.models.btyd_validation import Rung, choose_rung, holdout_counts, holdout_table, models_table
from crm_methods.models.purchase_history import TRIPLE, Money, unique_spends, unique_triples
from crm_methods.models.second_opinion import SecondOpinion, fit_pareto_nbd, second_opinion, spend_second_opinion

DAYS_PER_MONTH = 30.4375
"""A calendar month on average (365.25 / 12): the one place where months become days."""

CLV_COLUMN: dict[Money, str] = {"margin": "clv", "revenue": "clv_revenue"}
"""Name of the value per client; without margins it is no lifetime value and is called revenue."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LifetimeValueModel:
    """All that was fitted for one base, what was chosen, and why.

    Parameters
    ----------
    rung, reason
        The family used (``bg_nbd``, ``mbg_nbd``, ``naive``) or ``not_enough``, and why.
    fit
        That family on the whole history; None where there is not enough.
    spend
        What a purchase brings, on the whole history.
    models
        ``btyd_validation.models_table`` of the fits on the calibration period (on the
        whole history where there is no holdout).
    holdout
        ``btyd_validation.holdout_table``; empty without a holdout.
    triples
        ``x``, ``t_x``, ``T``, ``n`` of the whole history.
    """

    rung: str
    reason: str
    fit: PurchaseFit | None
    spend: SpendFit
    models: pd.DataFrame
    holdout: pd.DataFrame
    triples: pd.DataFrame


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
    estimation: Estimation = "map",
    with_lifetimes: bool = True,
) -> LifetimeValueModel:
    """Fit all models of a base, try them on its holdout and choose the rung of the ladder.

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
        As in ``btyd_fit.fit_purchases``.
    with_lifetimes
        Whether to ask lifetimes for Pareto/NBD and its second opinion.

    Returns
    -------
    LifetimeValueModel
        Always; where nothing can be fitted it says why.
    """
    triples = unique_triples(summary)
    counts = holdout_counts(calibration) if calibration is not None else pd.DataFrame()
    # Without a client in the calibration period there is nothing to hold out.
    before = summary if calibration is None or counts.empty else calibration
    trained = triples if before is summary else unique_triples(before)
    tried, used = _fit_families(trained, time_unit, estimation)
    if with_lifetimes:
        tried.append(fit_pareto_nbd(trained, time_unit))
    fits = [naive(trained, time_unit), *(fit for fit in tried if isinstance(fit, PurchaseFit))]
    holdout = holdout_table(fits, counts)
    spends = unique_spends(before, money)
    level = _mean_per_purchase(summary, money)
    spend_before = fit_gamma_gamma(spends, level, estimation)
    rung = choose_rung(tried, holdout)
    if used != estimation and rung.rung in {"bg_nbd", "mbg_nbd"}:
        rung = Rung(rung.rung, f"maximum likelihood did not determine the parameters, so weak priors were added; {rung.reason}")
    chosen, rung = _final_fit(rung, triples, time_unit, used)
    return LifetimeValueModel(
        rung=rung.rung,
        reason=rung.reason,
        fit=chosen,
        spend=spend_before if before is summary else fit_gamma_gamma(unique_spends(summary, money), level, estimation),
        models=models_table(fits, spend_before, _opinions(trained, spends, time_unit) if with_lifetimes else ()),
        holdout=holdout,
        triples=triples,
    )


def score_triples(
    fit: PurchaseFit, triples: pd.DataFrame, horizon_months: int = 36, annual_discount_rate: float = 0.10
) -> pd.DataFrame:
    """The future of each distinct history: computed once, joined to all clients who share it.

    Parameters
    ----------
    fit
        ``bg_nbd``, ``mbg_nbd``, ``nbd`` or ``naive``.
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
    # Many BLAS threads only wait for each other on the quadrature's small matrices.
    with threadpool_limits(limits=1, user_api="blas"):
        ahead = forecast(fit, triples["x"], triples["t_x"], triples["T"], months * DAYS_PER_MONTH)
    factors = (1 + monthly_discount_rate(annual_discount_rate)) ** -months.astype(np.float64)
    # The naive forecast lets nobody leave, so it pays the cost to serve of every month.
    alive = np.nan_to_num(ahead.alive, nan=1.0)
    return triples[list(TRIPLE)].assign(
        p_alive=probability_alive(fit, triples["x"], triples["t_x"], triples["T"]),
        expected_purchases=ahead.purchases[:, -1],
        discounted_purchases=np.diff(ahead.purchases, axis=1, prepend=0.0) @ factors,
        discounted_months_alive=alive @ factors,
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
        p(v + x·mean)/(p·x + q − 1). Finite, since q > 1 or the fallback is taken.
    """
    repeats, own = (np.asarray(values, dtype=np.float64) for values in (x, mean))
    expected: Floats = (spend.weight * spend.level + repeats * own) / (spend.weight + repeats)
    return expected


def client_values(
    summary: nw.LazyFrame[Any],
    scores: nw.LazyFrame[Any],
    spend: SpendFit,
    *,
    money: Money = "margin",
    cost_per_month: str | None = None,
) -> nw.LazyFrame[Any]:
    """Lifetime value of every client, in the engine.

    Parameters
    ----------
    summary
        One row per client (``purchase_history.purchase_summary``), with the column
        ``cost_per_month`` where that is given.
    scores
        ``score_triples`` as a frame of the same engine (``engine.frame``).
    spend
        The model of amounts.
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
    mean = nw.col(f"mean_{money}")
    expected = (mean * nw.col("x") + spend.weight * spend.level) / (nw.col("x") + spend.weight)
    worth = nw.col("discounted_purchases") * nw.col(f"expected_{money}")
    if cost_per_month is not None:
        cost = nw.col(cost_per_month).cast(nw.Float64).fill_null(0.0)
        worth = worth - cost * nw.col("discounted_months_alive")
    return (
        summary.join(scores, on=list(TRIPLE), how="left")
        .with_columns(expected.alias(f"expected_{money}"))
        .with_columns(worth.alias(CLV_COLUMN[money]))
    )


def customer_equity(values: nw.LazyFrame[Any], by: str | None = None, money: Money = "margin") -> pd.DataFrame:
    """The value of the client base: the sum of its clients' values, by segment.

    Parameters
    ----------
    values
        From ``client_values``, with the column ``by``.
    by
        Column to group by, such as ``segment``; None for one row ``all``.
    money
        Which amount the values hold.

    Returns
    -------
    pandas.DataFrame
        Key ``by`` (or ``group``), ordered: ``clients``, ``expected_active_clients``
        (sum of P(alive), 0 under ``naive``), ``expected_purchases`` and ``equity`` (``equity_revenue`` for
        revenue). The rows add up to the whole base.
    """
    key, source = (by, values) if by is not None else ("group", values.with_columns(group=nw.lit("all")))
    totals = source.group_by(key).agg(
        nw.len().alias("clients"),
        nw.col("p_alive").sum().alias("expected_active_clients"),
        nw.col("expected_purchases").sum(),
        nw.col(CLV_COLUMN[money]).sum().alias("equity" if money == "margin" else "equity_revenue"),
    )
    return collect(totals.sort(key))


def _fit_families(
    triples: pd.DataFrame, time_unit: TimeUnit, estimation: Estimation
) -> tuple[list[PurchaseFit | NoFit], Estimation]:
    """Our three families, with priors where maximum likelihood leaves no usable one; and which it was."""
    families: tuple[Literal["nbd", "bg_nbd", "mbg_nbd"], ...] = ("nbd", "bg_nbd", "mbg_nbd")
    tried = [fit_purchases(family, triples, time_unit, estimation) for family in families]
    leaving = [fit for fit in tried if isinstance(fit, PurchaseFit) and fit.family != "nbd"]
    if estimation == "map" or not leaving or any(is_sound(fit) for fit in leaving):
        return tried, estimation
    return [fit_purchases(family, triples, time_unit, "map") for family in families], "map"


def _final_fit(rung: Rung, triples: pd.DataFrame, time_unit: TimeUnit, estimation: Estimation) -> tuple[PurchaseFit | None, Rung]:
    """The chosen family on the whole history; a rung lower where that does not hold."""
    if rung.rung == "not_enough":
        return None, rung
    if rung.rung in {"bg_nbd", "mbg_nbd"}:
        family: Literal["bg_nbd", "mbg_nbd"] = "bg_nbd" if rung.rung == "bg_nbd" else "mbg_nbd"
        fit = fit_purchases(family, triples, time_unit, estimation)
        if isinstance(fit, PurchaseFit) and is_sound(fit):
            return fit, rung
        with_priors = fit_purchases("mbg_nbd", triples, time_unit, "map")
        if isinstance(with_priors, PurchaseFit) and is_sound(with_priors):
            return with_priors, Rung("mbg_nbd", "the best model did not hold on the whole history; MBG/NBD with priors does")
        rung = Rung("naive", "no model held on the whole history")
    return replace(naive(triples, time_unit), estimation=estimation), rung


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
