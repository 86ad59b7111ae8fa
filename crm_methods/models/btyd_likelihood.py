"""Log-likelihoods of the lifetime-value models and their gradients, on counted histories.

Every function takes the *logarithms* of its parameters (all are positive) and returns the
log-likelihood of the whole base with its gradient on that scale. Each distinct history
stands once, with the number ``n`` of clients who share it, so a fit costs the same for
two thousand clients as for two million with the same histories. Constant factors that no
parameter enters (x! and powers of t) are left out, as in the papers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """Distinct purchase histories and the number of clients who share each.

    ``x`` repeat occasions; ``t_x`` and ``T`` in any one unit of time; ``n`` clients.
    """

    x: Floats
    t_x: Floats
    T: Floats
    n: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Spends:
    """Distinct (repeat occasions, mean amount of one) and the number of clients who share each."""

    x: Floats
    mean: Floats
    n: Floats


PurchaseLikelihood: TypeAlias = Callable[[Floats, Histories], tuple[float, Floats]]


def bg_nbd(log_theta: Floats, data: Histories) -> tuple[float, Floats]:
    """BG/NBD: a client may leave after any *repeat* purchase.

    Parameters
    ----------
    log_theta
        Logarithms of r, alpha (in the unit of ``data``), a, b.
    data
        Counted histories.

    Returns
    -------
    tuple
        Log-likelihood, and its gradient by ``log_theta``.

    References
    ----------
    Fader, Hardie & Lee (2005), "Counting Your Customers the Easy Way: An Alternative to
    the Pareto/NBD Model", Marketing Science 24 (2), 275-284, eq. 6.
    """
    return _beta_geometric(log_theta, data, spared_purchases=0)


def mbg_nbd(log_theta: Floats, data: Histories) -> tuple[float, Floats]:
    """MBG/NBD: a client may leave after any purchase, the very first included.

    Parameters
    ----------
    log_theta
        Logarithms of r, alpha (in the unit of ``data``), a, b.
    data
        Counted histories.

    Returns
    -------
    tuple
        Log-likelihood, and its gradient by ``log_theta``.

    References
    ----------
    Batislam, Denizel & Filiztekin (2007), "Empirical validation and comparison of models
    for customer base analysis", IJRM 24, 201-209; Hoppe & Wagner (2007), Marketing JRM 2.
    """
    return _beta_geometric(log_theta, data, spared_purchases=1)


def nbd(log_theta: Floats, data: Histories) -> tuple[float, Floats]:
    """NBD: clients differ in how often they buy, and nobody ever leaves.

    Parameters
    ----------
    log_theta
        Logarithms of r and alpha (in the unit of ``data``).
    data
        Counted histories; ``t_x`` is not used.

    Returns
    -------
    tuple
        Log-likelihood, and its gradient by ``log_theta``.

    References
    ----------
    Ehrenberg (1959), "The pattern of consumer purchases", Applied Statistics 8, 26-41.
    """
    r, alpha = np.exp(log_theta)
    rho, age = r + data.x, alpha + data.T
    value = gammaln(rho) - gammaln(r) + r * np.log(alpha) - rho * np.log(age)
    by_r = digamma(rho) - digamma(r) + np.log(alpha) - np.log(age)
    by_alpha = r / alpha - rho / age
    return float(data.n @ value), np.array([r * (data.n @ by_r), alpha * (data.n @ by_alpha)])


def gamma_gamma(log_theta: Floats, data: Spends) -> tuple[float, Floats]:
    """Gamma-Gamma: what a client spends on one occasion varies around the client's own mean.

    Parameters
    ----------
    log_theta
        Logarithms of p, q, v; v in the unit of ``data.mean``.
    data
        Counted (x, mean amount) of clients with x ≥ 1 and a positive mean.

    Returns
    -------
    tuple
        Log-likelihood, and its gradient by ``log_theta``.

    References
    ----------
    Fader & Hardie (2013), "The Gamma-Gamma Model of Monetary Value", eq. 1a.
    """
    p, q, v = np.exp(log_theta)
    px, total = p * data.x, data.x * data.mean
    log_rest = np.log(total + v)
    value = (
        gammaln(px + q) - gammaln(px) - gammaln(q) + q * np.log(v)
        + px * np.log(total) - np.log(data.mean) - (px + q) * log_rest
    )  # fmt: skip
    by_p = data.x * (digamma(px + q) - digamma(px) + np.log(total) - log_rest)
    by_q = digamma(px + q) - digamma(q) + np.log(v) - log_rest
    by_v = q / v - (px + q) / (total + v)
    return float(data.n @ value), np.array([p * (data.n @ by_p), q * (data.n @ by_q), v * (data.n @ by_v)])


PURCHASE_LIKELIHOODS: dict[str, tuple[PurchaseLikelihood, tuple[str, ...]]] = {
    "bg_nbd": (bg_nbd, ("r", "alpha", "a", "b")),
    "mbg_nbd": (mbg_nbd, ("r", "alpha", "a", "b")),
    "nbd": (nbd, ("r", "alpha")),
}
"""Each family that is fitted here: its log-likelihood and the names of its parameters."""


def _beta_geometric(log_theta: Floats, data: Histories, spared_purchases: int) -> tuple[float, Floats]:
    """BG/NBD (0) and MBG/NBD (1): x + ``spared_purchases`` times a living client chose to stay."""
    r, alpha, a, b = np.exp(log_theta)
    x, stayed = data.x, data.x + spared_purchases
    rho, age, age_then = r + x, alpha + data.T, alpha + data.t_x
    # Under BG/NBD nobody leaves before the first repeat; the maximum keeps that unused branch finite.
    chances = b + np.maximum(stayed, 1.0) - 1.0
    may_have_left = stayed > 0
    alive = -rho * np.log(age)
    left = np.where(may_have_left, np.log(a) - np.log(chances) - rho * np.log(age_then), -np.inf)
    either = np.logaddexp(alive, left)
    value = (
        gammaln(rho) - gammaln(r) + r * np.log(alpha)
        + (gammaln(b + stayed) - gammaln(b)) - (gammaln(a + b + stayed) - gammaln(a + b)) + either
    )  # fmt: skip
    is_alive = np.exp(alive - either)
    is_gone = np.exp(left - either)
    spread = digamma(a + b) - digamma(a + b + stayed)
    gradient = (
        r * (digamma(rho) - digamma(r) + np.log(alpha) - is_alive * np.log(age) - is_gone * np.log(age_then)),
        alpha * (r / alpha - rho * (is_alive / age + is_gone / age_then)),
        a * (spread + is_gone / a),
        b * (spread + digamma(b + stayed) - digamma(b) - is_gone / chances),
    )
    return float(data.n @ value), np.array([data.n @ part for part in gradient])
