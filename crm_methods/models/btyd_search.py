"""The search for a model's parameters: weak priors, bounds, starts, and the curvature where it comes to rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from crm_methods.models.btyd_likelihood import Floats

Estimation = Literal["map", "ml"]
"""What is searched for: the mode of the posterior under ``PRIORS``, or the maximum of the likelihood."""

Inference = Literal["map", "ml", "bayes"]
"""How a company wants parameters told: by a search, or by draws from the posterior (``btyd_posterior``)."""


PRIORS: Mapping[str, tuple[float, float]] = {
    "r": (0.0, 1.5),
    "alpha": (0.0, 2.0),
    "a": (0.0, 1.5),
    "b": (1.0, 1.5),
    "p": (1.0, 1.5),
    "q": (1.0, 1.0),
    "v": (0.0, 1.5),
}
"""Mean and standard deviation of the normal prior on each parameter's logarithm, alpha in
mean gaps between purchases (clients' days per repeat purchase) and v in mean amounts."""

MAX_SD = 2.0
"""Cap on the standard deviation of any direction of log-parameter space: beyond a factor
of e⁴ either way the curvature at the optimum says nothing about the parameter."""

# (low, high) of the logarithm; q stays above 1, or a client's expected amount would be infinite.
_BOUNDS: Mapping[str, tuple[float, float]] = {
    "r": (-8.0, 8.0),
    "alpha": (-14.0, 14.0),
    "a": (-10.0, 10.0),
    "b": (-10.0, 10.0),
    "p": (-8.0, 8.0),
    "q": (float(np.log(1.01)), 8.0),
    "v": (-12.0, 12.0),
}
_STARTS: Mapping[str, tuple[float, float]] = {
    "r": (0.0, -1.2),
    "alpha": (0.0, -1.2),
    "a": (-0.3, -1.5),
    "b": (1.0, 1.5),
    "p": (1.5, 0.5),
    "q": (1.3, 0.8),
    "v": (0.7, 0.0),
}
Objective: TypeAlias = Callable[[Floats], tuple[float, Floats]]
_NEWTON_STEPS, _FLAT = 10, 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class Optimum:
    """Where a search came to rest: on log-parameters, with the curvature there."""

    log_theta: Floats
    log_likelihood: float
    log_posterior: float
    converged: bool
    at_bound: tuple[str, ...]
    covariance: Floats


def optimise(
    likelihood: Objective,
    names: tuple[str, ...],
    clients: float,
    estimation: Estimation,
    start: Floats | None = None,
    *,
    roughly: bool = False,
) -> Optimum:
    """Best of two starts by L-BFGS-B on log-parameters, with the curvature at the optimum.

    Parameters
    ----------
    likelihood
        Log-likelihood and its gradient by the logarithms of the parameters.
    names
        Of the parameters, for their priors, bounds and starts.
    clients
        How many it is a sum over.
    estimation
        ``map`` with ``PRIORS``, or ``ml`` without.
    start
        A start that is known to be near, instead of the two.
    roughly
        To nine digits of the likelihood, for comparing models; the covariance is then left at the cap.
    """
    low, high = (np.array([_BOUNDS[name][i] for name in names]) for i in (0, 1))
    loss = _loss(likelihood, names, clients, estimation)
    # The problem is small: many BLAS threads only wait for each other (20 times slower when measured).
    starts = [np.array([_STARTS[name][which] for name in names]) for which in (0, 1)] if start is None else [start]
    with threadpool_limits(limits=1, user_api="blas"):
        runs = [
            minimize(
                loss,
                begin,
                jac=True,
                method="L-BFGS-B",
                bounds=list(zip(low, high)),
                options={"maxiter": 1000, "maxfun": 3000, "ftol": 1e-9 if roughly else 1e-14, "gtol": 1e-5 if roughly else 1e-9},
            )
            for begin in starts
        ]
        best = min(runs, key=lambda run: float(run.fun))
        theta: Floats = np.asarray(best.x, dtype=np.float64)
        covariance = np.eye(len(names)) * MAX_SD**2 if roughly else _covariance(loss, theta, clients)
    free = (theta > low + 1e-6) & (theta < high - 1e-6)
    slope = np.abs(np.asarray(best.jac))[free]
    return Optimum(
        log_theta=theta,
        log_likelihood=likelihood(theta)[0],
        log_posterior=-float(best.fun) * clients,
        # The line search stops where floats end; a flat gradient there is convergence all the same.
        converged=bool(best.success) or bool((slope < 1e-5).all()),
        at_bound=tuple(name for name, is_free in zip(names, free) if not is_free),
        covariance=covariance,
    )


def search_of(inference: Inference) -> Estimation:
    """What is searched for: where draws are asked for, the mode that they start from."""
    return "map" if inference == "bayes" else inference


def newton_steps(
    likelihood: Objective, names: tuple[str, ...], clients: float, estimation: Estimation, few: Optimum, times: float
) -> Floats:
    """A start for a large base, where every look at the likelihood is dear: Newton steps from the optimum of a part of it.

    Parameters
    ----------
    likelihood, names, clients, estimation
        Of the whole base, as in ``optimise``.
    few
        Optimum of a part of the base; its curvature is taken for that of the whole.
    times
        How many times as many clients the whole has.

    Returns
    -------
    numpy.ndarray
        Log-parameters; those of ``few`` where the steps lead nowhere, as at a bound.
    """
    loss = _loss(likelihood, names, clients, estimation)
    theta, lowest = few.log_theta, np.inf
    with threadpool_limits(limits=1, user_api="blas"):
        for _ in range(_NEWTON_STEPS):
            value, slope = loss(theta)
            if not value <= lowest + _FLAT:
                return few.log_theta
            if np.abs(slope).max() < _FLAT:
                break
            theta, lowest = theta - few.covariance @ slope * clients / times, value
    return theta


def _loss(likelihood: Objective, names: tuple[str, ...], clients: float, estimation: Estimation) -> Objective:
    """What is minimised: minus the log-likelihood, with the priors where they are asked for, per client."""
    centre, sd = (np.array([PRIORS[name][i] for name in names]) for i in (0, 1))

    def loss(theta: Floats) -> tuple[float, Floats]:
        value, gradient = likelihood(theta)
        if estimation == "map":
            away = (theta - centre) / sd
            value, gradient = value - 0.5 * float(away @ away), gradient - away / sd
        return -value / clients, -gradient / clients

    return loss


def _covariance(loss: Objective, theta: Floats, clients: float) -> Floats:
    """Inverse Hessian by central differences of the gradient, each direction's SD capped."""
    step = 1e-4
    shifts = np.eye(len(theta)) * step
    hessian = np.array([(loss(theta + s)[1] - loss(theta - s)[1]) / (2 * step) for s in shifts]) * clients
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    variances = 1.0 / np.maximum(values, MAX_SD**-2)
    covariance: Floats = (vectors * variances) @ vectors.T
    return covariance
