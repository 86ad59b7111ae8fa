"""What a fitted model expects of a client: purchases to come, and whether it is still one.

Given that a client is alive, its rate is gamma and its chance of leaving at a purchase is
beta distributed, so that the expected purchases within t are

    E_p[(1 − (1 + p·t/A)^−(r+x)) / p],  A = alpha + T,  p ~ Beta(a, b + purchases it survived).

The papers write this with Gauss' hypergeometric function, which is 0/0 at a = 1 and loses
all digits at tiny a, huge b or large x. Here the expectation over p is a Gauss quadrature
for the beta weight itself: finite everywhere, exact to the last digits, and equal to the
closed form where that works (tests).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from crm_methods.models import erlang_btyd, recency_chain
from crm_methods.models.btyd_fit import DAYS_PER_UNIT, PurchaseFit
from crm_methods.models.btyd_likelihood import Floats, as_columns
from crm_methods.models.btyd_quadrature import beta_quadrature, enough_nodes

_ROWS_AT_ONCE = 20_000
_ELSEWHERE: Mapping[str, ModuleType] = {"mbg_cnbd_k": erlang_btyd, "recency_chain": recency_chain}


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Of each client (rows) at each horizon (columns): ``purchases`` until then, ``alive`` then.

    ``alive`` is NaN under the naive forecast, which knows no leaving.
    """

    purchases: Floats
    alive: Floats


def forecast(fit: PurchaseFit, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizons_days: ArrayLike) -> Forecast:
    """Expected purchases and survival of clients with given histories at several horizons.

    Parameters
    ----------
    fit
        Of any family but ``pareto_nbd``.
    x, t_x, T
        Histories, times in days, all of length N.
    horizons_days
        M horizons from today, in days.

    Returns
    -------
    Forecast
        Two arrays of shape (N, M), unconditional on being alive today.

    Raises
    ------
    ValueError
        The family is not one this module predicts.
    """
    days = DAYS_PER_UNIT[fit.time_unit]
    repeats, last, age, ahead = as_columns(x, t_x, T, horizons_days)
    if fit.family in _ELSEWHERE:
        return Forecast(*_ELSEWHERE[fit.family].forecast(fit, repeats, last, age, ahead))
    if fit.family == "naive":
        rate = np.divide(repeats, age, out=np.zeros_like(repeats), where=age > 0)
        return Forecast(rate[:, None] * ahead, np.full((len(repeats), len(ahead)), np.nan))
    if fit.family == "nbd":
        rate = (fit.parameters["r"] + repeats) / (fit.parameters["alpha"] * days + age)
        return Forecast(rate[:, None] * ahead, np.ones((len(repeats), len(ahead))))
    now = probability_alive(fit, repeats, last, age)[:, None]
    purchases, alive, where = _once_per_pair(fit, repeats, age, ahead)
    return Forecast(now * purchases[where], now * alive[where])


def discounted(
    fit: PurchaseFit, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizons_days: ArrayLike, factors: Floats
) -> tuple[Floats, Floats, Floats]:
    """Purchases to come and periods alive, each period's counting by its own factor.

    Parameters
    ----------
    fit, x, t_x, T, horizons_days
        As in ``forecast``; period j lies between the horizons j − 1 and j.
    factors
        What a purchase of each period counts, and a client alive at its end.

    Returns
    -------
    tuple
        Of each client the purchases until the last horizon, uncounted; the counted ones; and the counted periods alive.
        The naive forecast lets nobody leave, so all periods count.
    """
    if fit.family not in {"bg_nbd", "mbg_nbd"}:
        ahead = forecast(fit, x, t_x, T, horizons_days)
        counted = np.diff(ahead.purchases, axis=1, prepend=0.0) @ factors
        return ahead.purchases[:, -1], counted, np.nan_to_num(ahead.alive, nan=1.0) @ factors
    repeats, last, age = as_columns(x, t_x, T)
    now = probability_alive(fit, repeats, last, age)
    purchases, alive, where = _once_per_pair(fit, repeats, age, np.asarray(horizons_days, dtype=np.float64))
    counted = np.diff(purchases, axis=1, prepend=0.0) @ factors
    return now * purchases[:, -1][where], now * counted[where], now * (alive @ factors)[where]


def expected_purchases(fit: PurchaseFit, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizon_days: float) -> Floats:
    """Purchases that clients with these histories are expected to make within ``horizon_days``.

    Parameters
    ----------
    fit
        Of any family but ``pareto_nbd``.
    x, t_x, T
        Histories, times in days. A client at its first purchase is (0, 0, 0).
    horizon_days
        Days from today.

    Returns
    -------
    numpy.ndarray
        One number per client, finite and ≥ 0.

    References
    ----------
    Fader, Hardie & Lee (2005), eq. 10; Hoppe & Wagner (2007) for MBG/NBD.
    """
    return forecast(fit, x, t_x, T, [horizon_days]).purchases[:, 0]


def probability_alive(fit: PurchaseFit, x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> Floats:
    """Chance that a client with this history is still a client today.

    1 for one-time buyers under BG/NBD and for everybody under NBD, *by construction*; NaN
    under the naive forecast, which has no notion of it. Under ``recency_chain``, which knows
    no leaving either, the chance to buy again within ``recency_chain.AGAIN_WITHIN_MONTHS``.

    Parameters
    ----------
    fit
        Of any family but ``pareto_nbd``.
    x, t_x, T
        Histories, times in days.

    Returns
    -------
    numpy.ndarray
        One share per client.
    """
    days = DAYS_PER_UNIT[fit.time_unit]
    repeats, last, age = as_columns(x, t_x, T)
    if fit.family in _ELSEWHERE:
        alive_there: Floats = _ELSEWHERE[fit.family].probability_alive(fit, repeats, last, age)
        return alive_there
    if fit.family == "naive":
        return np.full(len(repeats), np.nan)
    if fit.family == "nbd":
        return np.ones(len(repeats))
    r, alpha, a, b = _beta_geometric_parameters(fit)
    stayed = repeats + _spared(fit)
    log_odds_gone = (
        np.log(a)
        - np.log(b + np.maximum(stayed, 1.0) - 1.0)
        + (r + repeats) * (np.log(alpha + age / days) - np.log(alpha + last / days))
    )
    alive: Floats = np.where(stayed > 0, expit(-log_odds_gone), 1.0)
    return alive


def _once_per_pair(fit: PurchaseFit, x: Floats, age: Floats, ahead: Floats) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """``_given_alive`` of every distinct (x, T), since t_x only enters the chance of being alive today; and whose is which."""
    days = DAYS_PER_UNIT[fit.time_unit]
    repeats, x_place = np.unique(x, return_inverse=True)
    ages, age_place = np.unique(age, return_inverse=True)
    # Sorting one whole number a row is several times faster than sorting pairs.
    pairs, where = np.unique(x_place * len(ages) + age_place, return_inverse=True)
    purchases, alive = _given_alive(fit, repeats[pairs // len(ages)], ages[pairs % len(ages)] / days, ahead / days)
    return purchases, alive, where


def _given_alive(fit: PurchaseFit, x: Floats, age: Floats, ahead: Floats) -> tuple[Floats, Floats]:
    """Expected purchases and survival, given alive today, in the fit's unit of time: (N, M) each."""
    r, alpha, a, b = _beta_geometric_parameters(fit)
    purchases, alive = np.zeros((len(x), len(ahead))), np.ones((len(x), len(ahead)))
    for nodes, rows in enough_nodes(np.max(ahead, initial=0.0) / (alpha + age)):
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            distinct, where = np.unique(x[part], return_inverse=True)
            points, weights = beta_quadrature(a, b + distinct + _spared(fit), nodes)
            p, w = points[where], weights[where]
            rho, own_age = (r + x[part])[:, None], (alpha + age[part])[:, None]
            for month, t in enumerate(ahead):
                exponent = -rho * np.log1p(p * t / own_age)
                limit_at_zero = np.broadcast_to(rho * t / own_age, p.shape)
                each = np.divide(-np.expm1(exponent), p, out=limit_at_zero.copy(), where=p > 1e-290)
                purchases[part, month] = (w * each).sum(axis=1)
                alive[part, month] = (w * np.exp(exponent)).sum(axis=1)
    return purchases, alive


def _beta_geometric_parameters(fit: PurchaseFit) -> tuple[float, float, float, float]:
    if fit.family not in {"bg_nbd", "mbg_nbd"}:
        raise ValueError(f"{fit.family} is not predicted here; all others but it are")
    return tuple(fit.parameters[name] for name in ("r", "alpha", "a", "b"))  # type: ignore[return-value]


def _spared(fit: PurchaseFit) -> int:
    """Under MBG/NBD a client has also chosen to stay after its first purchase."""
    return 1 if fit.family == "mbg_nbd" else 0
