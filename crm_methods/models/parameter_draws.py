"""How sure the parameters of a fitted model are, as draws of them.

A model whose posterior was drawn from has them already. Of others, from 300 clients on, the
estimate's own curvature says it: the logarithms of the parameters are normal around the
estimate (Laplace's approximation). Under 300 the likelihood is no parabola: there histories
are simulated from the fitted model, as many clients as there are and each as long known, and
the model is fitted to them again (parametric bootstrap).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from crm_methods.models import erlang_btyd, recency_chain
from crm_methods.models.btyd_fit import DAYS_PER_UNIT, PRIORS, PurchaseFit, SpendFit
from crm_methods.models.btyd_likelihood import PURCHASE_LIKELIHOODS, Floats, Histories, PurchaseLikelihood
from crm_methods.models.btyd_simulation import MAX_EXPECTED, MIN_CHANCE

LAPLACE_FROM = 300
"""Clients from which the curvature at the estimate is trusted."""

BOOTSTRAPS = 200

# Of a parameter's logarithm from its estimate: within what floats and the models bear; no draw of a base that holds reaches it.
_FARTHEST = 12.0
_MOST_EMPTY = 5
_MOST_REDRAWN = 50


def draws(
    fit: PurchaseFit, triples: pd.DataFrame, count: int, rng: np.random.Generator, bootstraps: int = BOOTSTRAPS
) -> list[PurchaseFit]:
    """The model with ``count`` draws of its parameters.

    Parameters
    ----------
    fit
        Of any family.
    triples
        The histories it was fitted to: ``x``, ``t_x``, ``T`` in days and ``n`` clients.
    count
        Number of draws.
    rng
        Source of the draws.
    bootstraps
        Refits of the parametric bootstrap under 300 clients, used in turns where fewer
        than ``count``. They are made with the priors, whatever the fit was: without them
        a hundred simulated clients often determine nothing.

    Returns
    -------
    list of PurchaseFit
        ``count`` models that differ in their parameters alone; the same one over and over
        where a family has no parameters or nothing is known about how sure they are.
    """
    if fit.family == "recency_chain":
        return [recency_chain.drawn(fit, rng) for _ in range(count)]
    if fit.posterior is not None:
        return _of_posterior(fit, fit.posterior.log_draws, count, rng)
    if not fit.parameters or fit.covariance is None:
        return [fit] * count
    # Many BLAS threads only wait for each other on matrices of four parameters.
    with threadpool_limits(limits=1, user_api="blas"):
        if fit.clients >= LAPLACE_FROM:
            return [replace(fit, parameters=_around(fit.parameters, fit.covariance, rng)) for _ in range(count)]
        refits = refitted(fit, triples, min(bootstraps, count), rng)
    return [replace(fit, parameters=refits[draw % len(refits)]) for draw in range(count)]


def drawn_spend(spend: SpendFit, rng: np.random.Generator) -> SpendFit:
    """The model of amounts with its parameters drawn; the fallback ``mean``, which has none, as it is."""
    if spend.family != "gamma_gamma" or spend.covariance is None:
        return spend
    found = _around(spend.parameters, spend.covariance, rng)
    p, q, v = found["p"], max(found["q"], 1.01), found["v"]
    return replace(spend, parameters={"p": p, "q": q, "v": v}, level=p * v / (q - 1), weight=(q - 1) / p)


def refitted(fit: PurchaseFit, triples: pd.DataFrame, bootstraps: int, rng: np.random.Generator) -> list[dict[str, float]]:
    """Parameters of the parametric bootstrap, moved so that the estimate lies in their middle.

    The refits scatter as the estimate does from base to base. In a base of a few clients
    that is hardly at all, since the priors hold it: it would seem sure of what nobody has
    seen. So the priors scatter, too: each refit has them around centres that are drawn from
    them (randomised maximum a posteriori). Being drawn to the priors once more than the
    estimate is a bias; it is taken off: draws = log θ̂ + log θ* − mean of log θ*.

    Parameters
    ----------
    fit
        The fit.
    triples
        As in ``draws``.
    bootstraps
        Number of simulated bases. A base in which nobody bought twice is drawn anew.
    rng
        Source of the draws.

    Returns
    -------
    list of dict
        Parameters by name, as in ``fit.parameters``; the estimate alone where no base could be fitted.

    References
    ----------
    Efron & Tibshirani (1993), "An Introduction to the Bootstrap", ch. 6.5 and 10; Wang, Bui-Thanh & Ghattas (2018), "A
    randomized maximum a posteriori method for posterior sampling of high dimensional nonlinear Bayesian inverse
    problems", SIAM Journal on Scientific Computing 40 (1), A142-A171.
    """
    T = np.repeat(triples["T"].to_numpy(dtype=np.float64), triples["n"]) / DAYS_PER_UNIT[fit.time_unit]
    found: list[Floats] = []
    empty = 0
    while len(found) < bootstraps and empty < _MOST_EMPTY * bootstraps:
        data = simulated_histories(fit, T, rng)
        if data.x.sum() > 0:
            found.append(refit(fit, data, rng.standard_normal(len(estimated(fit)))))
        else:
            empty += 1
    if not found:
        return [dict(fit.parameters)]
    return [_moved(fit.parameters, estimated(fit), shift) for shift in np.array(found) - np.mean(found, axis=0)]


def simulated_histories(fit: PurchaseFit, T: Floats, rng: np.random.Generator) -> Histories:
    """A history of each of N new clients that have been known for ``T``, in the fit's unit of time.

    Regular buyers (``mbg_cnbd_k``) buy at every k-th event of a Poisson process, all others
    at every one. Where clients were chosen for having bought ``min_x`` times again, so are these.
    """
    k = fit.parameters.get("k", 1.0)
    events = _events(fit, T, rng)
    for _ in range(_MOST_REDRAWN):
        few = events < k * fit.min_x
        if not few.any():
            break
        events[few] = _events(fit, T[few], rng)
    x = np.floor(np.maximum(events, k * fit.min_x) / k)
    if "a" in fit.parameters:
        chance = np.clip(rng.beta(fit.parameters["a"], fit.parameters["b"], len(T)), MIN_CHANCE, 1.0)
        # The purchase at which it leaves; only BG/NBD does not count the very first.
        last = fit.min_x + rng.geometric(chance) - (0.0 if fit.family == "bg_nbd" else 1.0)
        x = np.minimum(x, last)
    # Of n events that lie anywhere in (0, T), the m-th lies at Beta(m, n + 1 − m) of it.
    place = np.where(x > 0, rng.beta(np.maximum(k * x, 1.0), np.maximum(events + 1 - k * x, 1.0)), 0.0)
    return Histories(x, place * T, T, np.ones(len(T)))


def _events(fit: PurchaseFit, T: Floats, rng: np.random.Generator) -> Floats:
    rate = rng.standard_gamma(fit.parameters["r"], len(T)) / fit.parameters["alpha"]
    return rng.poisson(np.minimum(rate * T, MAX_EXPECTED)).astype(np.float64)


def refit(fit: PurchaseFit, data: Histories, priors_moved: Floats) -> Floats:
    """Logarithms of the parameters that fit other histories best, priors included.

    The steps are taken in units of the estimate's own standard deviations, in which the
    problem is nearly round: a few of them suffice.

    Parameters
    ----------
    fit
        The fit to start from.
    data
        Histories in its unit of time.
    priors_moved
        By how many of its standard deviations the centre of each parameter's prior is moved.
    """
    names, estimate, likelihood = estimated(fit), _log_estimate(fit), _likelihood(fit)
    centre, sd = (np.array([PRIORS[name][i] for name in names]) for i in (0, 1))
    centre = centre + sd * priors_moved
    # The prior of alpha counts in mean gaps of the base at hand (in steps of a k-th of them).
    centre[names.index("alpha")] += np.log(data.n @ data.T / (data.n @ data.x) / fit.parameters.get("k", 1.0))
    values, vectors = np.linalg.eigh(np.eye(len(names)) if fit.covariance is None else fit.covariance)
    step = vectors * np.sqrt(np.maximum(values, 1e-12))

    def loss(z: Floats) -> tuple[float, Floats]:
        theta = estimate + step @ z
        value, gradient = likelihood(theta, data)
        away = (theta - centre) / sd
        return 0.5 * float(away @ away) - value, step.T @ (away / sd - gradient)

    limits = [(-_FARTHEST / 2, _FARTHEST / 2)] * len(names)
    best = minimize(loss, np.zeros(len(names)), jac=True, method="L-BFGS-B", bounds=limits, options={"gtol": 1e-2})
    theta: Floats = estimate + step @ np.asarray(best.x, dtype=np.float64)
    return theta


def _likelihood(fit: PurchaseFit) -> PurchaseLikelihood:
    if fit.family == "mbg_cnbd_k":
        k = int(fit.parameters["k"])
        return lambda theta, data: erlang_btyd.mbg_cnbd_k(theta, data, k, min_x=fit.min_x)
    return PURCHASE_LIKELIHOODS[fit.family][0]


def estimated(fit: PurchaseFit | SpendFit) -> tuple[str, ...]:
    """Names of the parameters that are estimated, in the order of the covariance: k is chosen, not estimated."""
    return tuple(name for name in fit.parameters if name != "k")


def _log_estimate(fit: PurchaseFit) -> Floats:
    return np.log([fit.parameters[name] for name in estimated(fit)])


def _of_posterior(fit: PurchaseFit, log_draws: Floats, count: int, rng: np.random.Generator) -> list[PurchaseFit]:
    """Draws of the posterior in random order, each once before any comes twice."""
    rounds = [rng.permutation(len(log_draws)) for _ in range(-(-count // len(log_draws)))]
    shifts = log_draws - _log_estimate(fit)
    return [
        replace(fit, parameters=_moved(fit.parameters, estimated(fit), shifts[row]))
        for row in np.concatenate([*rounds, np.array([], dtype=np.intp)])[:count]
    ]


def _around(parameters: Mapping[str, float], covariance: Floats, rng: np.random.Generator) -> dict[str, float]:
    """One draw from the normal distribution around the logarithms of the estimated parameters."""
    names = tuple(name for name in parameters if name != "k")
    values, vectors = np.linalg.eigh(covariance)
    return _moved(parameters, names, vectors @ (np.sqrt(np.maximum(values, 0.0)) * rng.standard_normal(len(values))))


def _moved(parameters: Mapping[str, float], names: tuple[str, ...], shift: Floats) -> dict[str, float]:
    moved = {name: float(parameters[name] * np.exp(s)) for name, s in zip(names, np.clip(shift, -_FARTHEST, _FARTHEST))}
    return {**parameters, **moved}
