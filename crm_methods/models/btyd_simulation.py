"""One simulated future of every client: how often it buys, when it leaves, where its purchases lie.

An expectation says what happens on average; sums over few clients, and each single
client, stray far from it. Here a client's state, rate and chance of leaving are drawn
from what its history says of them under a fitted model, and its purchases from those. The
parameters are taken as given: whoever wants their uncertainty too draws them first
(``parameter_draws``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from crm_methods.models import erlang_btyd, recency_chain
from crm_methods.models.btyd_fit import DAYS_PER_UNIT, PurchaseFit
from crm_methods.models.btyd_likelihood import Floats, as_columns
from crm_methods.models.btyd_prediction import probability_alive

# A draw of (nearly) nought would never let a client leave; numpy's geometric needs it above 0.
MIN_CHANCE = 1e-12
MAX_EXPECTED = 1e12
"""Bound on the expected number of purchases: beyond it numpy's Poisson numbers do not fit into 64 bits."""


@dataclass(frozen=True, slots=True, eq=False)
class Fates:
    """What became of each client within the horizon in one simulated future.

    Parameters
    ----------
    bought
        Number of purchases.
    last_share
        Share of the horizon at whose end the client left: 1 where it did not, 0 where it
        was gone before.
    mean_share
        Mean place of its purchases in the horizon (0–1); of no weight where it bought nothing.
    """

    bought: Floats
    last_share: Floats
    mean_share: Floats


def simulate(
    fit: PurchaseFit, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizon_days: float, rng: np.random.Generator
) -> Fates:
    """One simulated future of clients with given histories, under a model's parameters.

    Over many futures the mean of ``bought`` is ``btyd_prediction.expected_purchases``.

    Parameters
    ----------
    fit
        Of any family but ``pareto_nbd``. Under ``naive`` nobody leaves and a client's rate
        is gamma distributed with shape x and rate T, so that its mean is the forecast x/T;
        who bought once never returns, as in that forecast.
    x, t_x, T
        Histories, times in days, all of length N.
    horizon_days
        Days from today.
    rng
        Source of the draws.

    Raises
    ------
    ValueError
        The family can't be simulated.
    """
    repeats, last, age = as_columns(x, t_x, T)
    if fit.family in {"bg_nbd", "mbg_nbd"}:
        return _beta_geometric(fit, repeats, last, age, horizon_days, rng)
    if fit.family == "nbd":
        days = DAYS_PER_UNIT[fit.time_unit]
        rate = rng.standard_gamma(fit.parameters["r"] + repeats) / (fit.parameters["alpha"] * days + age)
        return _nobody_leaves(rate, horizon_days, rng)
    if fit.family == "naive":
        rate = np.divide(rng.standard_gamma(repeats), age, out=np.zeros_like(repeats), where=age > 0)
        return _nobody_leaves(rate, horizon_days, rng)
    if fit.family == "mbg_cnbd_k":
        return Fates(*erlang_btyd.simulate(fit, repeats, last, age, horizon_days, rng))
    if fit.family == "recency_chain":
        return Fates(*recency_chain.simulate(fit, repeats, last, age, horizon_days, rng))
    raise ValueError(f"the family {fit.family} is not simulated here")


def _beta_geometric(fit: PurchaseFit, x: Floats, t_x: Floats, T: Floats, horizon_days: float, rng: np.random.Generator) -> Fates:
    days = DAYS_PER_UNIT[fit.time_unit]
    r, alpha, a, b = (fit.parameters[name] for name in ("r", "alpha", "a", "b"))
    alive = rng.random(len(x)) < probability_alive(fit, x, t_x, T)
    rate = rng.standard_gamma(r + x) / (alpha + T / days)
    # Under MBG/NBD a client has also chosen to stay after its first purchase.
    survived = x + 1.0 if fit.family == "mbg_nbd" else x
    leaves = np.clip(rng.beta(a, b + survived), MIN_CHANCE, 1.0)
    # A living client would buy `wishes` times; it leaves at purchase number `last`, whichever comes first.
    wishes = rng.poisson(np.minimum(rate * horizon_days / days, MAX_EXPECTED)).astype(np.float64)
    last = rng.geometric(leaves).astype(np.float64)
    bought = np.where(alive, np.minimum(wishes, last), 0.0)
    stays = np.where(last <= wishes, last / (wishes + 1), 1.0)
    return Fates(bought, np.where(alive, stays, 0.0), _mean_place(bought, wishes))


def _nobody_leaves(rate_per_day: Floats, horizon_days: float, rng: np.random.Generator) -> Fates:
    bought = rng.poisson(np.minimum(rate_per_day * horizon_days, MAX_EXPECTED)).astype(np.float64)
    return Fates(bought, np.ones(len(bought)), _mean_place(bought, bought))


def _mean_place(bought: Floats, wishes: Floats) -> Floats:
    """Purchases of a Poisson process lie evenly: the j-th of k at j/(k + 1) of the horizon."""
    place: Floats = (bought + 1) / (2 * (wishes + 1))
    return place
