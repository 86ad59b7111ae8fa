"""Clients that are still to come: how many a month, and what one that has just bought is worth.

The arrivals of the last months are taken to go on as they are: a trend is looked for and
told, not extrapolated. What comes is no part of customer equity, for it belongs to nobody
yet; it stands beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from crm_methods.models.btyd_fit import DAYS_PER_MONTH, PurchaseFit, SpendFit
from crm_methods.models.btyd_likelihood import Floats
from crm_methods.models.btyd_prediction import forecast
from crm_methods.models.btyd_simulation import simulate
from crm_methods.models.lifetime_value import monthly_discount_rate

SIMULATED_CLIENTS = 2_000
_MOST_SPREAD = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """New clients per month.

    Parameters
    ----------
    per_month
        Their mean.
    months, clients
        On how many months and clients it rests.
    dispersion
        Variance of a month over its mean, at least 1: above it they come in bursts.
    earlier, later
        Clients of the first and of the second half of the months (without the middle one
        of an odd number).
    change
        How many standard errors the halves differ by, above 0 where more come of late.
    """

    per_month: float
    months: int
    clients: int
    dispersion: float
    earlier: int
    later: int
    change: float


def arrivals(counts: ArrayLike) -> Arrivals:
    """The rate at which new clients come, from their number in each of the last months.

    Parameters
    ----------
    counts
        New clients per month, in order of time; at least two months.

    References
    ----------
    McCullagh & Nelder (1989), "Generalized Linear Models", ch. 6.2.3, for the dispersion of counts.
    """
    by_month = np.asarray(counts, dtype=np.float64)
    half = len(by_month) // 2
    before, after = by_month[:half], by_month[len(by_month) - half :]
    # A trend spreads the months too: only what is left within the halves is chance.
    within = _dispersion((before - before.mean(), after - after.mean()), by_month.mean(), 2 * half - 2)
    earlier, later = float(before.sum()), float(after.sum())
    return Arrivals(
        per_month=float(by_month.mean()),
        months=len(by_month),
        clients=int(by_month.sum()),
        dispersion=_dispersion((by_month - by_month.mean(),), by_month.mean(), len(by_month) - 1),
        earlier=int(earlier),
        later=int(later),
        change=(later - earlier) / math.sqrt(within * (earlier + later)) if earlier + later > 0 else 0.0,
    )


def simulate_arrivals(found: Arrivals, horizon_months: int, draws: int, rng: np.random.Generator) -> Floats:
    """New clients in each of the months to come, in many futures: the rate drawn, then the months.

    The dispersion is drawn like a variance (inverse chi-squared), the rate from a gamma
    distribution with the variance that its estimate has; a month is negative binomial
    around it, Poisson where months differ by chance alone. In simulation (400 runs,
    24 months seen, 36 ahead) 95 % intervals hold the truth in .94–.98 of runs at a
    dispersion of 1 or 2, in .96 at 4 and five clients a month, .91 at one, .84 at a third.

    Returns
    -------
    numpy.ndarray
        (draws, horizon_months).
    """
    degrees = found.months - 1
    dispersion = np.full((draws, 1), found.dispersion)
    if found.dispersion > 1:
        dispersion = np.maximum(1.0, dispersion * degrees / rng.chisquare(degrees, (draws, 1)))
    shape = max(found.clients, 1) / dispersion
    rate = rng.gamma(shape, found.per_month / shape) * np.ones(horizon_months)
    bursts = np.maximum(dispersion - 1, 1e-6)
    numbers: Floats = rng.poisson(rng.gamma(rate / bursts, bursts)).astype(np.float64)
    return numbers


def value_by_arrival(
    fit: PurchaseFit,
    spend: SpendFit,
    first_amount: float,
    horizon_months: int,
    annual_discount_rate: float,
    cost_per_month: float = 0.0,
) -> Floats:
    """What a client is worth today that will come in month 1, 2, …, ``horizon_months``.

    Its first purchase, and what the model expects of a client that has just bought
    (x = 0, t_x = 0, T = 0) in the rest of the horizon, less its cost to serve while alive.

    Parameters
    ----------
    fit, spend
        The models of the base.
    first_amount
        Mean amount of a first purchase.
    horizon_months, annual_discount_rate
        As in ``lifetime_value.score_triples``.
    cost_per_month
        Cost to serve of a living client.

    Returns
    -------
    numpy.ndarray
        One amount per month of arrival, discounted to today.
    """
    months = np.arange(1, horizon_months + 1)
    with threadpool_limits(limits=1, user_api="blas"):
        ahead = forecast(fit, [0.0], [0.0], [0.0], months * DAYS_PER_MONTH)
    factors = (1 + monthly_discount_rate(annual_discount_rate)) ** -months.astype(np.float64)
    later = np.diff(ahead.purchases[0], prepend=0.0) * spend.level - cost_per_month * ahead.alive[0]
    # A client of the last month has no time left to come back, one of the first has all months but one.
    rest = np.concatenate([[0.0], np.cumsum(later * factors)])[horizon_months - months]
    worth: Floats = (first_amount + rest) * factors
    return worth


def spread_of_one(fit: PurchaseFit, spend: SpendFit, horizon_months: int, rng: np.random.Generator) -> float:
    """Coefficient of variation of what single new clients bring: how often each comes back, and for how much."""
    nothing = np.zeros(SIMULATED_CLIENTS)
    bought = simulate(fit, nothing, nothing, nothing, horizon_months * DAYS_PER_MONTH, rng).bought
    amount = np.ones(SIMULATED_CLIENTS)
    if spend.family == "gamma_gamma":
        amount = 1 / np.maximum(rng.standard_gamma(spend.parameters["q"], SIMULATED_CLIENTS), 1e-12)
    brought = (1 + bought) * amount
    return float(min(brought.std() / brought.mean(), _MOST_SPREAD))


def simulate_worth(numbers: Floats, worth: Floats, spread: float, rng: np.random.Generator) -> Floats:
    """What so many clients of each month bring, gamma distributed around their number × the worth of one.

    Parameters
    ----------
    numbers
        (draws, months) clients (``simulate_arrivals``).
    worth
        (draws, months) or (months,) worth of one (``value_by_arrival``).
    spread
        Coefficient of variation between single clients.
    rng
        Source of the draws.
    """
    if spread < 1e-6:
        return numbers * worth
    brought: Floats = rng.standard_gamma(numbers / spread**2) * spread**2 * worth
    return brought


def _dispersion(deviations: tuple[Floats, ...], mean: float, degrees: int) -> float:
    squares = sum(float(part @ part) for part in deviations)
    return max(1.0, squares / degrees / mean) if degrees > 0 and mean > 0 else 1.0
