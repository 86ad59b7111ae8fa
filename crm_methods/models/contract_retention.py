"""How long contracts last: the shifted beta-geometric model of renewals (sBG).

At every renewal a contract ends with a chance that is its own and does not change; the
chances of all contracts are Beta(alpha, beta) distributed. Those likely to end do so
early, so that the retention of what is left rises with age although no contract becomes
any more loyal. A contract whose next renewal is still to come counts as far as it got.

References
----------
Fader & Hardie (2007), "How to Project Customer Retention", Journal of Interactive
Marketing 21 (1), 76-90.
Fader & Hardie (2010), "Customer-Base Valuation in a Contractual Setting: The Perils of
Ignoring Heterogeneity", Marketing Science 29 (1), 85-93.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from crm_methods.models.btyd_fit import MAX_SD, Estimation
from crm_methods.models.btyd_likelihood import Floats
from crm_methods.models.rates import ENDS_95

PRIORS: Mapping[str, tuple[float, float]] = {"alpha": (0.0, 1.5), "beta": (1.0, 1.5)}
"""Mean and standard deviation of the normal prior on each parameter's logarithm: those of
the chance to leave at a purchase (``btyd_fit.PRIORS``), for contracts are left like clients."""

_BOUND = 10.0
_STARTS = ((0.0, 1.0), (-1.0, 0.0))
_ROWS_AT_ONCE = 10_000
_MIN_CHANCE = 1e-12


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ContractFit:
    """A fitted sBG model.

    Parameters
    ----------
    alpha, beta
        Of the beta distribution of the chance to end at a renewal; its mean is
        alpha / (alpha + beta).
    log_likelihood
        Without priors.
    contracts, ended, renewals
        How many contracts it rests on, how many of them ended, and how many renewals
        they faced in all.
    oldest
        The highest renewal that any contract faced: beyond it the model extrapolates.
    estimation
        ``map`` or ``ml``: the one that was used.
    reason
        Why it is not the one that was asked for; empty where it is.
    converged
        Whether the optimiser says so.
    at_bound
        Parameters that the data do not determine.
    covariance
        Of (log alpha, log beta): inverse Hessian, each direction's SD at most ``MAX_SD``.
    """

    alpha: float
    beta: float
    log_likelihood: float
    contracts: int
    ended: int
    renewals: int
    oldest: int
    estimation: Estimation
    reason: str
    converged: bool
    at_bound: tuple[str, ...]
    covariance: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Optimum:
    log_theta: Floats
    converged: bool
    at_bound: tuple[str, ...]
    covariance: Floats


def renewal_counts(ended_at: ArrayLike, survived: ArrayLike) -> pd.DataFrame:
    """How many contracts faced each renewal, and how many ended at it.

    Parameters
    ----------
    ended_at
        Of each ended contract, the renewal (1, 2, …) at which it ended.
    survived
        Of each contract still alive, the renewals it survived (0, 1, …): it is censored.

    Returns
    -------
    pandas.DataFrame
        ``renewal`` (1 to the highest that was faced), ``at_risk``, ``ended``; no row where
        no renewal was faced.
    """
    ends, stays = (np.asarray(values, dtype=np.int64) for values in (ended_at, survived))
    oldest = int(max(ends.max(initial=0), stays.max(initial=0)))
    ended = np.bincount(ends, minlength=oldest + 1)[1:]
    faced = np.bincount(ends, minlength=oldest + 1) + np.bincount(stays, minlength=oldest + 1)
    at_risk = np.cumsum(faced[::-1])[::-1][1:]
    return pd.DataFrame({"renewal": np.arange(1, oldest + 1), "at_risk": at_risk, "ended": ended})


def log_likelihood(log_theta: Floats, counts: pd.DataFrame) -> tuple[float, Floats]:
    """sBG's log-likelihood and its gradient by (log alpha, log beta).

    A ratio of beta functions that differ by whole numbers is a product, so that the paper's
    B(alpha + 1, beta + t − 1)/B(alpha, beta) and B(alpha, beta + t)/B(alpha, beta) become one
    binomial term per renewal k with the chance alpha/(alpha + beta + k − 1) to end. Nothing
    cancels, however large the parameters are.

    Parameters
    ----------
    log_theta
        Logarithms of alpha and beta.
    counts
        From ``renewal_counts``.
    """
    alpha, beta = np.exp(log_theta)
    ended = counts["ended"].to_numpy(dtype=np.float64)
    kept = counts["at_risk"].to_numpy(dtype=np.float64) - ended
    stays = beta + counts["renewal"].to_numpy(dtype=np.float64) - 1
    either = alpha + stays
    value = float(ended @ (log_theta[0] - np.log(either)) - kept @ np.log1p(alpha / stays))
    by_alpha = ended @ (stays / either) - kept @ (alpha / either)
    by_beta = kept @ (alpha * beta / (stays * either)) - ended @ (beta / either)
    return value, np.array([by_alpha, by_beta])


def fit_contracts(ended_at: ArrayLike, survived: ArrayLike, estimation: Estimation = "map") -> ContractFit:
    """Fit sBG to contracts that ended and contracts that are still alive.

    Parameters
    ----------
    ended_at, survived
        As in ``renewal_counts``.
    estimation
        ``map`` with ``PRIORS``, or ``ml`` without. Where that has no maximum (nobody ended,
        all ended at once, ...) the priors are added all the same and ``reason`` says so.

    Returns
    -------
    ContractFit
        Always; without a renewal that was faced it is the prior.
    """
    counts = renewal_counts(ended_at, survived)
    found = _optimise(counts, with_priors=estimation == "map")
    used, reason = estimation, ""
    if estimation == "ml" and (counts.empty or found.at_bound or not found.converged):
        found, used = _optimise(counts, with_priors=True), "map"
        reason = "maximum likelihood did not determine the parameters, so weak priors were added"
    alpha, beta = np.exp(found.log_theta).tolist()
    return ContractFit(
        alpha=alpha,
        beta=beta,
        log_likelihood=log_likelihood(found.log_theta, counts)[0],
        contracts=int(np.size(ended_at) + np.size(survived)),
        ended=int(np.size(ended_at)),
        renewals=int(counts["at_risk"].sum()),
        oldest=len(counts),
        estimation=used,
        reason=reason,
        converged=found.converged,
        at_bound=found.at_bound,
        covariance=found.covariance,
    )


def retention(fit: ContractFit, renewal: ArrayLike) -> Floats:
    """Chance that a contract that has come to its ``renewal`` t = 1, 2, … is renewed: (beta + t − 1)/(alpha + beta + t − 1)."""
    stays = fit.beta + np.asarray(renewal, dtype=np.float64) - 1
    renewed: Floats = stays / (fit.alpha + stays)
    return renewed


def survival(fit: ContractFit, renewals: int, survived: ArrayLike = 0) -> Floats:
    """Chance to survive the next 0, 1, …, ``renewals`` renewals.

    Parameters
    ----------
    fit
        The model.
    renewals
        How many renewals ahead.
    survived
        Renewals that each of N contracts has survived already; 0 for a new contract.

    Returns
    -------
    numpy.ndarray
        (N, renewals + 1); the first column is 1.
    """
    ages = np.atleast_1d(np.asarray(survived, dtype=np.float64))
    chances = retention(fit, ages[:, None] + np.arange(1, renewals + 1))
    surviving: Floats = np.cumprod(np.column_stack([np.ones(len(ages)), chances]), axis=1, dtype=np.float64)
    return surviving


def median_renewal(fit: ContractFit, most: int = 200) -> int | None:
    """The renewal at which half of all new contracts will have ended; None where it lies beyond ``most``."""
    passed = np.flatnonzero(survival(fit, most)[0] <= 0.5)
    return int(passed[0]) if len(passed) else None


def discounted_months(months: ArrayLike, monthly_rate: float) -> Floats:
    """What so many months from today are worth, one month paid at its end being worth (1 + d)^−t; broken ones in between."""
    ahead = np.asarray(months, dtype=np.float64)
    if monthly_rate == 0:
        return ahead
    worth: Floats = -np.expm1(-np.log1p(monthly_rate) * ahead) / monthly_rate
    return worth


def expected_months(fit: ContractFit, rows: pd.DataFrame, horizon_months: int, monthly_rate: float) -> Floats:
    """Discounted months that each contract is expected to run within the horizon.

    A contract runs to its next renewal for sure; from there on it is renewed for a term
    at a time with the retention of its age.

    Parameters
    ----------
    fit
        The model.
    rows
        One row per contract: ``survived`` renewals so far, ``months_to_renewal`` from
        today, ``months_to_start`` (0 once begun), ``term_months``, ``running``, and
        ``renewable`` (False where notice was given). Contracts that do not run have no months.
    horizon_months, monthly_rate
        Months ahead that count, and the discount of each.

    References
    ----------
    Fader & Hardie (2010) for the discounted expected residual lifetime; here within a
    horizon, to a renewal at any distance, and discounted by months.
    """
    if len(rows) > _ROWS_AT_ONCE:
        parts = (rows.iloc[i : i + _ROWS_AT_ONCE] for i in range(0, len(rows), _ROWS_AT_ONCE))
        return np.concatenate([expected_months(fit, part, horizon_months, monthly_rate) for part in parts])
    if rows.empty:
        return np.zeros(0)
    terms, first, start = (
        rows[name].to_numpy(dtype=np.float64) for name in ("term_months", "months_to_renewal", "months_to_start")
    )
    ahead = np.arange(int(np.ceil(horizon_months / terms.min())) + 1)
    renewed = survival(fit, len(ahead) - 1, rows["survived"])
    renewed[:, 1:] *= rows[["renewable"]].to_numpy(dtype=np.float64)
    ends = np.minimum(first[:, None] + terms[:, None] * ahead, horizon_months)
    worth = discounted_months(np.column_stack([np.minimum(start, ends[:, 0]), ends]), monthly_rate)
    months: Floats = (renewed * np.diff(worth, axis=1)).sum(axis=1) * rows["running"].to_numpy(dtype=np.float64)
    return months


def drawn(fit: ContractFit, rng: np.random.Generator) -> ContractFit:
    """The model with parameters drawn from their posterior, normal on the log scale."""
    ((alpha, beta),) = _parameters_drawn(fit, 1, rng).tolist()
    return replace(fit, alpha=alpha, beta=beta)


def simulate_contracts(
    fit: ContractFit, rows: pd.DataFrame, horizon_months: int, monthly_rate: float, rng: np.random.Generator
) -> Floats:
    """Discounted months of each contract in one simulated future.

    Each contract draws its own chance to end from what its age says of it, then the
    renewal at which it ends; over many futures the mean is ``expected_months``.

    Parameters
    ----------
    fit
        The model, or one ``drawn`` from its posterior.
    rows, horizon_months, monthly_rate
        As in ``expected_months``.
    rng
        Source of the draws; always as many, whatever the parameters.
    """
    survived, terms, first, start = (
        rows[name].to_numpy(dtype=np.float64) for name in ("survived", "term_months", "months_to_renewal", "months_to_start")
    )
    chance = np.clip(rng.beta(fit.alpha, fit.beta + survived), _MIN_CHANCE, 1 - _MIN_CHANCE)
    # The renewal, counted from today, at which the contract ends: geometric, as an exponential in steps.
    renewed = np.floor(rng.standard_exponential(len(rows)) / -np.log1p(-chance)) * rows["renewable"].to_numpy(dtype=np.float64)
    ends = np.minimum(first + renewed * terms, horizon_months)
    months = discounted_months(ends, monthly_rate) - discounted_months(np.minimum(start, ends), monthly_rate)
    counted: Floats = months * rows["running"].to_numpy(dtype=np.float64)
    return counted


def retention_intervals(
    fit: ContractFit, renewals: Sequence[int] | NDArray[np.int64], rng: np.random.Generator, draws: int = 1_000
) -> tuple[Floats, Floats]:
    """Ends of the 95 % interval of the retention at each of several renewals, by draws of the parameters."""
    alpha, beta = _parameters_drawn(fit, draws, rng).T[:, :, None]
    stays = beta + np.asarray(renewals, dtype=np.float64) - 1
    low, high = np.quantile(stays / (alpha + stays), ENDS_95, axis=0)
    return low, high


def _parameters_drawn(fit: ContractFit, draws: int, rng: np.random.Generator) -> Floats:
    """(draws, 2) pairs of alpha and beta."""
    root = np.linalg.cholesky(fit.covariance)
    moved = np.log([fit.alpha, fit.beta]) + rng.standard_normal((draws, 2)) @ root.T
    parameters: Floats = np.exp(np.clip(moved, -_BOUND, _BOUND))
    return parameters


def _optimise(counts: pd.DataFrame, with_priors: bool) -> _Optimum:
    """Best of two starts by L-BFGS-B on log-parameters, with the curvature at the optimum."""
    centre, sd = np.array(list(PRIORS.values())).T
    trials = max(1.0, float(counts["at_risk"].sum()))

    def loss(theta: Floats) -> tuple[float, Floats]:
        value, gradient = log_likelihood(theta, counts)
        if with_priors:
            away = (theta - centre) / sd
            value, gradient = value - 0.5 * float(away @ away), gradient - away / sd
        return -value / trials, -gradient / trials

    with threadpool_limits(limits=1, user_api="blas"):
        runs = [
            minimize(
                loss,
                np.array(start),
                jac=True,
                method="L-BFGS-B",
                bounds=[(-_BOUND, _BOUND)] * 2,
                options={"maxiter": 500, "ftol": 1e-14, "gtol": 1e-9},
            )
            for start in _STARTS
        ]
        best = min(runs, key=lambda run: float(run.fun))
        theta: Floats = np.asarray(best.x, dtype=np.float64)
        free = np.abs(theta) < _BOUND - 1e-6
        step = 1e-4
        hessian = np.array([(loss(theta + s)[1] - loss(theta - s)[1]) / (2 * step) for s in np.eye(2) * step]) * trials
        values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    return _Optimum(
        log_theta=theta,
        # The line search stops where floats end; a flat gradient there is convergence all the same.
        converged=bool(best.success) or bool((np.abs(np.asarray(best.jac))[free] < 1e-5).all()),
        at_bound=tuple(name for name, is_free in zip(PRIORS, free) if not is_free),
        covariance=(vectors / np.maximum(values, MAX_SD**-2)) @ vectors.T,
    )
