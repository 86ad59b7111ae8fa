"""Fitting the lifetime-value models: maximum a posteriori, maximum likelihood, or the whole posterior.

Small B2B bases often do not determine all parameters. So the default estimate adds weak
priors to the likelihood (``PRIORS``), every fit ends in a result or in a reason, and a
parameter that ran into its bound is named. Time and money are scaled by the base's own
mean gap and mean amount first, so that neither the unit of time nor the currency changes
anything but the unit of alpha and v.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from crm_methods.models.btyd_likelihood import PURCHASE_LIKELIHOODS, Floats, Histories, PurchaseLikelihood, Spends, gamma_gamma
from crm_methods.models.btyd_posterior import Posterior, drawn_or_why_not
from crm_methods.models.btyd_search import MAX_SD as MAX_SD
from crm_methods.models.btyd_search import PRIORS as PRIORS
from crm_methods.models.btyd_search import Estimation as Estimation
from crm_methods.models.btyd_search import Inference, Optimum, newton_steps, optimise, search_of

TimeUnit = Literal["day", "week"]
PurchaseFamily = Literal["naive", "nbd", "bg_nbd", "mbg_nbd", "pareto_nbd", "mbg_cnbd_k", "recency_chain"]

DAYS_PER_UNIT: Mapping[TimeUnit, float] = {"day": 1.0, "week": 7.0}
"""Days in a unit of time: the one place where fits are converted."""

DAYS_PER_MONTH = 30.4375
"""A calendar month on average (365.25 / 12): the one place where months become days."""

NOBODY = "there is no client with a purchase"

_FEW_HISTORIES, _MANY_TIMES = 10_000, 3


@dataclass(frozen=True, slots=True, eq=False)
class NoFit:
    """A model that could not be fitted, and why."""

    family: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PurchaseFit:
    """A fitted model of how often clients buy and when they leave.

    Parameters
    ----------
    family
        ``bg_nbd``, ``mbg_nbd``, ``nbd``, ``pareto_nbd``, ``mbg_cnbd_k``, ``recency_chain``, or ``naive`` (no parameters).
    parameters
        By name; alpha (and Pareto's beta) in ``time_unit``.
    log_likelihood
        Without priors, times in ``time_unit``; None for ``naive``.
    time_unit
        As asked for.
    estimation
        The one that was used.
    clients, repeat_buyers
        How many histories it rests on.
    converged
        Whether the optimiser says so; of a posterior, that its draws have settled.
    at_bound
        Parameters that ran into their bound: the data do not determine them.
    covariance
        Of the logarithms of the parameters but k (inverse Hessian, capped at ``MAX_SD``, or that of the draws); None
        where not known.
    min_x
        Repeat purchases that all its clients have because they were chosen for them (``mbg_cnbd_k``).
    posterior
        Draws of the logarithms, alpha in ``time_unit``, where ``estimation`` is ``bayes``.
    reason
        Why ``estimation`` is not the one that was asked for; empty where it is.
    """

    family: PurchaseFamily
    parameters: Mapping[str, float]
    log_likelihood: float | None
    time_unit: TimeUnit
    clients: int
    repeat_buyers: int
    estimation: Inference = "map"
    converged: bool = True
    at_bound: tuple[str, ...] = ()
    covariance: Floats | None = None
    min_x: int = 0
    posterior: Posterior | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SpendFit:
    """What a purchase of a client is expected to bring, given the client's own mean.

    The expectation is ``(weight · level + x · mean) / (weight + x)``: the level of all
    counts like ``weight`` further purchases. Gamma-Gamma gives level = p·v/(q − 1) and
    weight = (q − 1)/p; ``mean`` stands for the fallback with weight 1. Where frequent buyers
    bring more or less at a time than rare ones, ``relative`` says by how much: the level of
    clients with 0, 1, 2, … repeat purchases (the last: so many or more) in units of ``level``.
    """

    family: Literal["gamma_gamma", "mean"]
    level: float
    weight: float
    parameters: Mapping[str, float]
    log_likelihood: float | None
    repeat_buyers: int
    reason: str = ""
    converged: bool = True
    at_bound: tuple[str, ...] = ()
    covariance: Floats | None = None
    relative: tuple[float, ...] = ()


def prior_statement(family: str) -> str:
    """The priors of a family in words, for the report; times in mean gaps, money in mean amounts."""
    names = ("p", "q", "v") if family == "gamma_gamma" else PURCHASE_LIKELIHOODS[family][1]
    return ", ".join(f"log {name} ~ N({PRIORS[name][0]:g}, {PRIORS[name][1]:g}²)" for name in names)


def is_sound(fit: PurchaseFit) -> bool:
    """Whether the optimiser came to rest inside the bounds, so that clients may be ranked by it."""
    return fit.converged and not fit.at_bound


def histories(triples: pd.DataFrame) -> Histories:
    """The columns x, t_x, T (days) and n of ``purchase_history.unique_triples`` as arrays."""
    return Histories(*(triples[name].to_numpy(dtype=np.float64) for name in ("x", "t_x", "T", "n")))


def nothing_to_fit(triples: pd.DataFrame) -> str:
    """Why these histories hold nothing that a model could be fitted to; empty when they do."""
    data = histories(triples)
    if data.n.sum() == 0:
        return NOBODY
    if float(data.n @ data.x) == 0:
        return "no client bought more than once"
    if float(data.n @ data.T) == 0:
        return "no time has passed since the first purchases"
    return ""


def fit_purchases(
    family: Literal["bg_nbd", "mbg_nbd", "nbd"],
    triples: pd.DataFrame,
    time_unit: TimeUnit = "day",
    estimation: Inference = "map",
    seed: int = 0,
) -> PurchaseFit | NoFit:
    """Fit a model of purchases and attrition to counted histories.

    Parameters
    ----------
    family
        Which model.
    triples
        ``x``, ``t_x``, ``T`` in days and ``n`` clients (``purchase_history.unique_triples``).
    time_unit
        Unit of the parameters; nothing else depends on it.
    estimation
        ``map`` with ``PRIORS``, ``ml`` without, or ``bayes``: draws from the posterior under ``PRIORS``. Parameters are
        then the posterior means of the logarithms: unlike the mode they lie in the middle of the draws, so that values
        agree with their intervals. NBD, very large bases and draws that do not settle are fitted by ``map``, and
        ``reason`` says so.
    seed
        Of the draws.

    Returns
    -------
    PurchaseFit or NoFit
        The latter where the histories hold nothing to fit: no client, no time, or nobody
        who bought twice.

    Raises
    ------
    CrmError
        ``bayes`` is asked for and its extra is not installed.
    """
    reason = nothing_to_fit(triples)
    if reason:
        return NoFit(family, reason)
    data = histories(triples)
    likelihood, names = PURCHASE_LIKELIHOODS[family]
    purchases = float(data.n @ data.x)
    gap = float(data.n @ data.T) / purchases
    scaled = Histories(data.x, data.t_x / gap, data.T / gap, data.n)
    search = search_of(estimation)
    near = _near(likelihood, names, scaled, search)
    optimum = optimise(lambda theta: likelihood(theta, scaled), names, float(data.n.sum()), search, near)
    gap_in_units = gap / DAYS_PER_UNIT[time_unit]
    posterior, why_not = drawn_or_why_not(family, scaled, optimum, seed) if estimation == "bayes" else (None, "")
    if posterior is not None:
        optimum = _middle(posterior, likelihood, scaled, optimum)
        posterior = posterior.in_units(gap_in_units)
    parameters = dict(zip(names, np.exp(optimum.log_theta).tolist()))
    return PurchaseFit(
        family=family,
        parameters={**parameters, "alpha": parameters["alpha"] * gap_in_units},
        # Each repeat purchase is a density in time, so its unit enters once per purchase.
        log_likelihood=optimum.log_likelihood - purchases * float(np.log(gap_in_units)),
        time_unit=time_unit,
        clients=int(data.n.sum()),
        repeat_buyers=int(data.n[data.x > 0].sum()),
        estimation=search if posterior is None else "bayes",
        converged=optimum.converged,
        at_bound=optimum.at_bound,
        covariance=optimum.covariance,
        posterior=posterior,
        reason=why_not,
    )


def naive(triples: pd.DataFrame, time_unit: TimeUnit = "day") -> PurchaseFit:
    """The naive forecast: every client goes on at its own rate x/T for ever."""
    data = histories(triples)
    return PurchaseFit(
        family="naive",
        parameters={},
        log_likelihood=None,
        time_unit=time_unit,
        clients=int(data.n.sum()),
        repeat_buyers=int(data.n[data.x > 0].sum()),
    )


def fit_gamma_gamma(
    spends: pd.DataFrame, mean_of_all: float, estimation: Inference = "map", min_repeat_buyers: int = 10
) -> SpendFit:
    """Fit Gamma-Gamma to repeat buyers' mean amounts, or fall back and say why.

    Parameters
    ----------
    spends
        ``x`` ≥ 1, the mean amount of a repeat purchase (second column) and ``n`` clients
        (``purchase_history.unique_spends``). Means that are not positive are left out.
    mean_of_all
        Mean amount of a purchase of the whole base: the level of the fallback.
    estimation
        ``map`` with ``PRIORS``, or ``ml`` without; under ``bayes`` the mode is used, too.
    min_repeat_buyers
        Fewer than this, and the fallback is taken.

    Returns
    -------
    SpendFit
        ``family`` is ``mean`` with a ``reason`` where the model has nothing to hold on to:
        too few repeat buyers, amounts that do not vary, or no finite mean (q at its bound).
    """
    mean_column = next(name for name in spends.columns if name not in {"x", "n"})
    usable = spends[spends[mean_column] > 0]
    x, means, n = (usable[name].to_numpy(dtype=np.float64) for name in ("x", mean_column, "n"))
    buyers = int(n.sum())
    fallback = SpendFit(
        family="mean",
        level=mean_of_all if np.isfinite(mean_of_all) else 0.0,
        weight=1.0,
        parameters={},
        log_likelihood=None,
        repeat_buyers=buyers,
    )
    if buyers < min_repeat_buyers:
        return _spend_fallback(
            fallback, f"too few repeat buyers with a positive amount ({buyers}, at least {min_repeat_buyers} are needed)"
        )
    scale = float(n @ means) / buyers
    if np.ptp(np.log(means)) < 1e-6:
        return _spend_fallback(fallback, "all repeat buyers spend the same amount")
    scaled, names = Spends(x, means / scale, n), ("p", "q", "v")
    optimum = optimise(lambda theta: gamma_gamma(theta, scaled), names, float(buyers), search_of(estimation))
    p, q, v = np.exp(optimum.log_theta).tolist()
    v = v * scale
    if "q" in optimum.at_bound and q < 2:
        return _spend_fallback(fallback, "amounts are so unequal that their expected mean is not finite (q at 1)")
    return SpendFit(
        family="gamma_gamma",
        level=p * v / (q - 1),
        weight=(q - 1) / p,
        parameters={"p": p, "q": q, "v": v},
        log_likelihood=optimum.log_likelihood - buyers * float(np.log(scale)),
        repeat_buyers=buyers,
        converged=optimum.converged,
        at_bound=optimum.at_bound,
        covariance=optimum.covariance,
    )


def _near(likelihood: PurchaseLikelihood, names: tuple[str, ...], data: Histories, estimation: Estimation) -> Floats | None:
    """Of very many histories, where the search over them should begin: where that over a few of them leads."""
    every = len(data.x) // _FEW_HISTORIES
    if every < _MANY_TIMES:
        return None
    rows = slice(every // 2, None, every)
    few = Histories(data.x[rows], data.t_x[rows], data.T[rows], data.n[rows])
    clients, all_clients = float(few.n.sum()), float(data.n.sum())
    optimum = optimise(lambda theta: likelihood(theta, few), names, clients, estimation)
    return newton_steps(lambda theta: likelihood(theta, data), names, all_clients, estimation, optimum, all_clients / clients)


def _middle(posterior: Posterior, likelihood: PurchaseLikelihood, data: Histories, mode: Optimum) -> Optimum:
    """The posterior's mean and covariance in the place of its mode and the curvature there."""
    mean: Floats = posterior.log_draws.mean(axis=0)
    covariance: Floats = np.cov(posterior.log_draws.T)
    log_likelihood = likelihood(mean, data)[0]
    return replace(
        mode, log_theta=mean, log_likelihood=log_likelihood, converged=posterior.settled, at_bound=(), covariance=covariance
    )


def _spend_fallback(fallback: SpendFit, reason: str) -> SpendFit:
    return SpendFit(
        family="mean",
        level=fallback.level,
        weight=fallback.weight,
        parameters={},
        log_likelihood=None,
        repeat_buyers=fallback.repeat_buyers,
        reason=f"{reason}; each client's own mean is used, drawn to the mean of all as if by one more purchase",
    )
