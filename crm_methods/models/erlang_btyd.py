"""MBG/CNBD-k: clients that reorder like a clock, until they leave.

The gaps of a client are Erlang-k (k steps of a Poisson process make a purchase), its rate is gamma distributed over the
base, and at every purchase it leaves for good with a chance that is beta distributed. k = 1 is MBG/NBD. How many of the k
steps towards the next purchase a silent client has taken is not known, so the sums below run over them.

References
----------
Platzer & Reutterer (2016), "Ticking Away the Moments: Timing Regularity Helps to Better Predict Customer Activity",
Marketing Science 35 (5), 779-799; Reutterer, Platzer & Schröder (2021), "Leveraging purchase regularity for predicting
customer behavior the easy way", International Journal of Research in Marketing 38 (1), 194-215.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import digamma, expit, gammaln, logsumexp

from crm_methods.models.btyd_fit import (
    DAYS_PER_UNIT,
    NoFit,
    PurchaseFit,
    TimeUnit,
    histories,
    nothing_to_fit,
)
from crm_methods.models.btyd_likelihood import Floats, Histories, as_columns
from crm_methods.models.btyd_quadrature import beta_quadrature, enough_nodes
from crm_methods.models.btyd_search import Estimation, Optimum, optimise

MAX_K = 12
"""Gaps of a coefficient of variation of 0.29: more regular clients are forecast as if they were no more than that."""

_NAMES = ("r", "alpha", "a", "b")
_TRIPLES_TO_CHOOSE = 5_000
_ROWS_AT_ONCE = 500
_SMALLEST = 1e-200


@dataclass(frozen=True, slots=True, eq=False)
class _Posterior:
    """What is known of clients in the fit's unit of time: the steps taken since the last purchase, the rate, the leaving.

    ``steps`` (N, k) are the chances of 0 … k − 1 steps given that the client is still one; its rate is then
    Gamma(``rho`` + steps, ``age``), its chance of leaving at a purchase Beta(a, ``stays``); ``alive`` is the chance of
    being still a client.
    """

    k: int
    steps: Floats
    rho: Floats
    age: Floats
    stays: Floats
    alive: Floats


def mbg_cnbd_k(log_theta: Floats, data: Histories, k: int, gap_log_sum: float = 0.0, min_x: int = 0) -> tuple[float, Floats]:
    """Log-likelihood of counted histories.

    Parameters
    ----------
    log_theta
        Logarithms of r, alpha (in the unit of ``data``; a rate per *step*, k of which make a purchase), a, b.
    data
        Counted histories.
    k
        Steps to a purchase.
    gap_log_sum
        Sum of the logarithms of all gaps of all clients in that unit: it says which k fits, and moves nothing else.
    min_x
        Repeat purchases that every client has because it was chosen for them: that it did not leave before is no news.

    Returns
    -------
    tuple
        Log-likelihood, and its gradient by ``log_theta``.
    """
    r, alpha, a, b = np.exp(log_theta)
    x, stayed = data.x, data.x + 1 - min_x
    rho, age, then = r + k * x, alpha + data.T, alpha + data.t_x
    steps = np.arange(k)[:, None]
    alive = _steps_since(data.T - data.t_x, steps) + gammaln(rho + steps) - (rho + steps) * np.log(age)
    gone = np.log(a) - np.log(b + stayed - 1) + gammaln(rho) - rho * np.log(then)
    ways = np.vstack([alive, gone])
    either = logsumexp(ways, axis=0)
    constant = data.n @ (-x * gammaln(k)) + (k - 1) * gap_log_sum
    value = (
        either - gammaln(r) + r * np.log(alpha)
        + (gammaln(b + stayed) - gammaln(b)) - (gammaln(a + b + stayed) - gammaln(a + b))
    )  # fmt: skip
    shares = np.exp(ways - either)
    is_alive, is_gone = shares[:-1], shares[-1]
    spread = digamma(a + b) - digamma(a + b + stayed)
    by_rho = (is_alive * (digamma(rho + steps) - np.log(age))).sum(axis=0) + is_gone * (digamma(rho) - np.log(then))
    by_age = (is_alive * (rho + steps)).sum(axis=0) / age + is_gone * rho / then
    gradient = (
        r * (by_rho - digamma(r) + np.log(alpha)),
        alpha * (r / alpha - by_age),
        a * (spread + is_gone / a),
        b * (spread + digamma(b + stayed) - digamma(b) - is_gone / (b + stayed - 1)),
    )
    return float(data.n @ value + constant), np.array([data.n @ part for part in gradient])


def fit_mbg_cnbd_k(
    triples: pd.DataFrame,
    gap_log_sum: float,
    time_unit: TimeUnit = "day",
    estimation: Estimation = "map",
    *,
    k: int | None = None,
    min_x: int = 0,
) -> PurchaseFit | NoFit:
    """Fit MBG/CNBD-k to counted histories, k included.

    Parameters
    ----------
    triples
        ``x``, ``t_x``, ``T`` in days and ``n`` clients (``purchase_history.unique_triples``).
    gap_log_sum
        Sum over these clients of the logarithms of their gaps in days (``purchase_history.gap_summary``).
    time_unit, estimation
        As in ``btyd_fit.fit_purchases``; the priors are the same, on steps of a k-th of the mean gap.
    k
        Where it is given; else the k of 1 … ``MAX_K`` with the highest posterior (or likelihood), tried in turn until two
        in a row are worse, on evenly spread histories where there are more than 5,000 distinct ones.
    min_x
        As in ``mbg_cnbd_k``.

    Returns
    -------
    PurchaseFit or NoFit
        Family ``mbg_cnbd_k`` with the parameters r, alpha, a, b and k; the covariance is that of the logarithms of the
        first four.
    """
    reason = nothing_to_fit(triples)
    if reason:
        return NoFit("mbg_cnbd_k", reason)
    data = histories(triples)
    k, start = (k, None) if k is not None else _best_k(data, gap_log_sum, estimation, min_x)
    gap = float(data.n @ data.T) / float(data.n @ data.x)
    optimum = _at(k, data, gap_log_sum, gap, estimation, min_x, start)
    step_in_units = gap / k / DAYS_PER_UNIT[time_unit]
    parameters = dict(zip(_NAMES, np.exp(optimum.log_theta).tolist()))
    return PurchaseFit(
        family="mbg_cnbd_k",
        parameters={**parameters, "alpha": parameters["alpha"] * step_in_units, "k": float(k)},
        log_likelihood=optimum.log_likelihood - float(data.n @ data.x) * float(np.log(step_in_units)),
        time_unit=time_unit,
        clients=int(data.n.sum()),
        repeat_buyers=int(data.n[data.x > 0].sum()),
        estimation=estimation,
        converged=optimum.converged,
        at_bound=optimum.at_bound,
        covariance=optimum.covariance,
        min_x=min_x,
    )


def probability_alive(fit: PurchaseFit, x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> Floats:
    """Chance that a client with this history is still one; times in days."""
    return _posterior(fit, x, t_x, T).alive


def forecast(fit: PurchaseFit, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizons_days: ArrayLike) -> tuple[Floats, Floats]:
    """Expected purchases until each horizon, and the chance of being a client then.

    With W the purchases a client would make within t if it never left, and p its chance of leaving at each, it makes
    E[(1 − (1 − p)^W) / p] and stays with E[(1 − p)^W]. The expectation over p is a Gauss quadrature; that over W is exact:
    after N further steps W = ⌊(N + steps) / k⌋, N is negative binomial, and ⌊·⌋ is taken by the k-th roots of unity.

    Arguments are those of ``btyd_prediction.forecast``, which asks this module for its family.
    """
    ahead = as_columns(horizons_days)[0] / DAYS_PER_UNIT[fit.time_unit]
    known = _posterior(fit, x, t_x, T)
    purchases, stays = np.zeros((len(known.alive), len(ahead))), np.ones((len(known.alive), len(ahead)))
    reach = np.max(ahead, initial=0.0) / known.age
    for nodes, rows in enough_nodes(reach):
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            distinct, where = np.unique(known.stays[part], return_inverse=True)
            points, weights = beta_quadrature(fit.parameters["a"], distinct, nodes)
            for month, t in enumerate(ahead):
                made, left = _until_leaving(known, part, np.maximum(points[where], _SMALLEST), float(t))
                purchases[part, month] = (weights[where] * made).sum(axis=1)
                stays[part, month] = 1 - (weights[where] * left).sum(axis=1)
    alive = known.alive[:, None]
    return alive * np.maximum(purchases, 0.0), alive * np.clip(stays, 0.0, 1.0)


def simulate(
    fit: PurchaseFit, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizon_days: float, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """One future of each client, as ``btyd_simulation.Fates`` has it."""
    known, k = _posterior(fit, x, t_x, T), int(fit.parameters["k"])
    size = len(known.alive)
    alive = rng.random(size) < known.alive
    taken = (rng.random(size)[:, None] > np.cumsum(known.steps, axis=1)[:, :-1]).sum(axis=1)
    rate = rng.standard_gamma(known.rho + taken) / known.age
    leaves = np.clip(rng.beta(fit.parameters["a"], known.stays), 1e-12, 1.0)
    further = rng.poisson(np.minimum(rate * horizon_days / DAYS_PER_UNIT[fit.time_unit], 1e12)).astype(np.float64)
    wishes, last = np.floor((further + taken) / k), rng.geometric(leaves).astype(np.float64)
    bought = np.where(alive, np.minimum(wishes, last), 0.0)
    # The steps of a Poisson process lie evenly: the j-th of n at j/(n + 1) of the horizon.
    left_at = np.where(last <= wishes, (k * last - taken) / (further + 1), 1.0)
    places = np.where(bought > 0, (k * (bought + 1) / 2 - taken) / (further + 1), 0.0)
    return bought, np.where(alive, left_at, 0.0), places


def _best_k(data: Histories, gap_log_sum: float, estimation: Estimation, min_x: int) -> tuple[int, Floats]:
    """The k with the highest posterior, and where its search came to rest."""
    thinned, logs = _thinned(data, gap_log_sum)
    gap = float(thinned.n @ thinned.T) / float(thinned.n @ thinned.x)
    purchases = float(thinned.n @ thinned.x)
    best, best_k = -np.inf, 1
    theta: Floats | None = None
    best_theta = np.zeros(len(_NAMES))
    for k in range(1, MAX_K + 1):
        optimum = _at(k, thinned, logs, gap, estimation, min_x, theta, roughly=True)
        theta = optimum.log_theta
        # Per day, since each k has its own unit.
        worth = optimum.log_posterior - purchases * float(np.log(gap / k))
        if worth > best:
            best, best_k, best_theta = worth, k, theta
        elif k >= best_k + 2:
            break
    return best_k, best_theta


def _thinned(data: Histories, gap_log_sum: float) -> tuple[Histories, float]:
    """Evenly spread histories; of their gaps' logarithms a share in proportion to their purchases."""
    size = len(data.x)
    if size <= _TRIPLES_TO_CHOOSE:
        return data, gap_log_sum
    rows = np.linspace(0, size - 1, _TRIPLES_TO_CHOOSE).astype(int)
    kept = Histories(data.x[rows], data.t_x[rows], data.T[rows], data.n[rows])
    return kept, gap_log_sum * float(kept.n @ kept.x) / float(data.n @ data.x)


def _at(
    k: int,
    data: Histories,
    gap_log_sum: float,
    gap: float,
    estimation: Estimation,
    min_x: int,
    start: Floats | None = None,
    *,
    roughly: bool = False,
) -> Optimum:
    """The optimum at one k, in steps of a k-th of the mean gap."""
    step = gap / k
    scaled = Histories(data.x, data.t_x / step, data.T / step, data.n)
    logs = gap_log_sum - float(data.n @ data.x) * float(np.log(step))

    def likelihood(theta: Floats) -> tuple[float, Floats]:
        return mbg_cnbd_k(theta, scaled, k, logs, min_x)

    return optimise(likelihood, _NAMES, float(data.n.sum()), estimation, start, roughly=roughly)


def _posterior(fit: PurchaseFit, x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> _Posterior:
    days = DAYS_PER_UNIT[fit.time_unit]
    repeats, last, age = as_columns(x, t_x, T)
    r, alpha, a, b = (fit.parameters[name] for name in _NAMES)
    k = int(fit.parameters["k"])
    stayed = repeats + 1 - fit.min_x
    rho, now, then = r + k * repeats, alpha + age / days, alpha + last / days
    steps = np.arange(k)
    log_ways = (
        _steps_since((age - last)[:, None] / days, steps)
        + gammaln(rho[:, None] + steps) - gammaln(rho)[:, None] - steps * np.log(now)[:, None]
    )  # fmt: skip
    still = logsumexp(log_ways, axis=1)
    log_odds_gone = np.log(a) - np.log(b + stayed - 1) + rho * (np.log(now) - np.log(then)) - still
    return _Posterior(k, np.exp(log_ways - still[:, None]), rho, now, b + stayed, expit(-log_odds_gone))


def _steps_since(silence: Floats, steps: Any) -> Floats:
    """log(silence^j / j!), 0 for j = 0 whatever the silence."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(steps == 0, 0.0, steps * np.log(silence))
    found: Floats = logs - gammaln(steps + 1.0)
    return found


def _until_leaving(known: _Posterior, rows: Any, p: Floats, t: float) -> tuple[Floats, Floats]:
    """(1 − E[z^W]) / p and 1 − E[z^W] with z = 1 − p, for each row and node of p.

    z^⌊M/k⌋ = Σ_l c_l (y ω^l)^M with y = z^(1/k), ω the k-th root of unity and c_l = (1 − 1/z) / (k (1 − 1/(y ω^l))).
    The factor 1 − 1/z = −p/z is taken out and the term l = 0 goes through logarithms: no digit is lost at tiny p.
    """
    k, rho, share = known.k, known.rho[rows, None], t / known.age[rows, None]
    weights = known.steps[rows]
    log_z = np.log1p(-np.minimum(p, 1 - 1e-15))
    y = np.exp(log_z / k)
    away = -np.expm1(log_z / k)
    log_v = log_z / k - np.log1p(away * share)
    steps = sum((weights[:, j, None] * np.expm1(j * log_v) for j in range(1, k)), np.zeros_like(p))
    log_main = _log_growth(-log_z) - _log_growth(-log_z / k) - rho * np.log1p(away * share) + np.log1p(steps)
    made = -np.expm1(log_main) / p
    for turn in range(1, k // 2 + 1):
        u = y * np.exp(2j * np.pi * turn / k)
        slower = 1 + (1 - u) * share
        v = u / slower
        generating = weights[:, k - 1, None] * np.ones_like(u)
        for j in range(k - 2, -1, -1):
            generating = generating * v + weights[:, j, None]
        part = np.real(slower**-rho * generating / (1 - 1 / u)) / (k * np.exp(log_z))
        # Roots come in conjugate pairs, but for −1.
        made = made + part * (1 if 2 * turn == k else 2)
    return made, made * p


def _log_growth(u: Floats) -> Floats:
    """log((e^u − 1) / u) without cancellation near 0."""
    small = u < 1e-2
    safe = np.where(small, 1.0, u)
    found: Floats = np.where(small, u / 2 + u**2 / 24 - u**4 / 2880, np.log(np.expm1(safe) / safe))
    return found
