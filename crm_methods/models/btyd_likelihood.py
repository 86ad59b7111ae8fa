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
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma, gammaln

Floats: TypeAlias = NDArray[np.float64]

_ROWS_AT_ONCE = 8_192


def as_columns(*values: ArrayLike) -> tuple[Floats, ...]:
    """Each as an array of floats; a single number as one of length 1."""
    return tuple(np.atleast_1d(np.asarray(each, dtype=np.float64)) for each in values)


@dataclass(frozen=True, slots=True, eq=False)
class Distinct:
    """A column of histories by its distinct values, of which there are far fewer than rows.

    ``values`` ascending; ``place`` of each row's value among them; of each value its ``n`` clients and their ``repeats``.
    """

    values: Floats
    place: NDArray[np.intp]
    n: Floats
    repeats: Floats


@dataclass(frozen=True, eq=False)
class Histories:
    """Distinct purchase histories and the number of clients who share each.

    ``x`` repeat occasions; ``t_x`` and ``T`` in any one unit of time; ``n`` clients. What depends on one
    of the three alone is computed once per distinct value of it (``by_x``, ``by_t_x``, ``by_T``).
    """

    x: Floats
    t_x: Floats
    T: Floats
    n: Floats

    @cached_property
    def by_x(self) -> Distinct:
        """The distinct numbers of repeat occasions."""
        return self._distinct(self.x)

    @cached_property
    def by_t_x(self) -> Distinct:
        """The distinct ages at the last occasion."""
        return self._distinct(self.t_x)

    @cached_property
    def by_T(self) -> Distinct:
        """The distinct ages."""
        return self._distinct(self.T)

    def _distinct(self, column: Floats) -> Distinct:
        values, place = np.unique(column, return_inverse=True)
        clients, repeats = (np.bincount(place, weights, len(values)).astype(np.float64) for weights in (self.n, self.n * self.x))
        return Distinct(values, place, clients, repeats)


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
    repeats, now = data.by_x, data.by_T
    rho, age = r + repeats.values, alpha + now.values
    exposed = r * now.n + now.repeats
    value = repeats.n @ (gammaln(rho) - gammaln(r) + r * np.log(alpha)) - exposed @ np.log(age)
    by_r = repeats.n @ (digamma(rho) - digamma(r) + np.log(alpha)) - now.n @ np.log(age)
    by_alpha = repeats.n.sum() * r / alpha - exposed @ (1 / age)
    return float(value), np.array([r * by_r, alpha * by_alpha])


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
    """BG/NBD (0) and MBG/NBD (1): x + ``spared_purchases`` times a living client chose to stay.

    The likelihood of a history is that of being alive, times 1 + the odds of having left instead.
    """
    r, alpha, a, b = np.exp(log_theta)
    repeats, now = data.by_x, data.by_T
    rho, stayed, age = r + repeats.values, repeats.values + spared_purchases, alpha + now.values
    # Under BG/NBD nobody leaves before the first repeat; the maximum keeps that unused branch finite.
    chances = b + np.maximum(stayed, 1.0) - 1.0
    odds_of_x = np.where(stayed > 0, np.log(a) - np.log(chances), -np.inf)
    either, gone, gone_by_r, gone_by_alpha, gone_by_b = _having_left(data, rho, odds_of_x, 1 / chances, alpha)
    alive_of_x = (
        gammaln(rho) - gammaln(r) + r * np.log(alpha)
        + (gammaln(b + stayed) - gammaln(b)) - (gammaln(a + b + stayed) - gammaln(a + b))
    )  # fmt: skip
    exposed = r * now.n + now.repeats
    value = repeats.n @ alive_of_x - exposed @ np.log(age) + either
    spread = digamma(a + b) - digamma(a + b + stayed)
    gradient = (
        r * (repeats.n @ (digamma(rho) - digamma(r) + np.log(alpha)) - now.n @ np.log(age) + gone_by_r),
        alpha * (repeats.n.sum() * r / alpha - exposed @ (1 / age) + gone_by_alpha),
        a * (repeats.n @ spread + gone / a),
        b * (repeats.n @ (spread + digamma(b + stayed) - digamma(b)) - gone_by_b),
    )
    return float(value), np.array(gradient)


def _having_left(data: Histories, rho: Floats, odds_of_x: Floats, per_chance: Floats, alpha: float) -> Floats:
    """Σ n·log(1 + odds of having left), the clients expected to be gone, and their part in the slopes by r, alpha and b.

    The odds take all three columns, so that this alone is computed row by row, in blocks that stay in the processor's cache.
    """
    age, age_then = alpha + data.by_T.values, alpha + data.by_t_x.values
    log_age, log_age_then, per_age, per_age_then = np.log(age), np.log(age_then), 1 / age, 1 / age_then
    sums = np.zeros(5)
    for start in range(0, len(data.n), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        n, x, then, now = data.n[rows], data.by_x.place[rows], data.by_t_x.place[rows], data.by_T.place[rows]
        rho_of_row, longer = rho[x], log_age[now] - log_age_then[then]
        log_odds = rho_of_row * longer + odds_of_x[x]
        both = 1.0 + np.exp(-np.abs(log_odds))
        gone = n * np.exp(np.minimum(log_odds, 0.0)) / both
        sums += (
            n @ (np.maximum(log_odds, 0.0) + np.log(both)),
            gone.sum(),
            gone @ longer,
            (gone * rho_of_row) @ (per_age[now] - per_age_then[then]),
            gone @ per_chance[x],
        )
    return sums
