"""The same models fitted by the library ``lifetimes``: a second opinion beside our own fit.

The only module that imports lifetimes, inside its functions, since the import alone takes
a second. The library is archived; on small bases it raises, prints, or returns NaN where
an answer is needed, so every call ends in a result or in a reason.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from crm_methods.models.btyd_fit import DAYS_PER_UNIT, NoFit, PurchaseFit, TimeUnit, histories, nothing_to_fit
from crm_methods.models.btyd_likelihood import Floats, as_columns

# lifetimes evaluates hypergeometric functions row by row; more rows than this take minutes.
MAX_TRIPLES_PARETO = 10_000
"""Distinct histories above which lifetimes is not asked for Pareto/NBD: of so many its search takes a minute."""


@dataclass(frozen=True, slots=True, eq=False)
class SecondOpinion:
    """Parameters and log-likelihood as lifetimes finds them, or why it finds none.

    Without a ``reason`` both are there; with one, ``parameters`` is empty and
    ``log_likelihood`` None.
    """

    family: str
    parameters: Mapping[str, float]
    log_likelihood: float | None
    reason: str = ""


def second_opinion(family: str, triples: pd.DataFrame, time_unit: TimeUnit = "day") -> SecondOpinion:
    """Fit ``bg_nbd``, ``mbg_nbd`` or ``pareto_nbd`` by lifetimes, by maximum likelihood.

    Parameters
    ----------
    family
        Which model.
    triples
        ``x``, ``t_x``, ``T`` in days and ``n`` clients (``purchase_history.unique_triples``).
    time_unit
        Unit of alpha (and Pareto's beta) and of the log-likelihood.

    Returns
    -------
    SecondOpinion
        Never raises because of the data.

    Raises
    ------
    ValueError
        lifetimes is not asked for that family here.
    """
    if family not in {"bg_nbd", "mbg_nbd", "pareto_nbd"}:
        raise ValueError(f"no second opinion on {family}; on bg_nbd, mbg_nbd and pareto_nbd there is one")
    data, days = histories(triples), DAYS_PER_UNIT[time_unit]
    nothing = nothing_to_fit(triples)
    if nothing:
        # lifetimes "fits" a base of one-time buyers without a word; its figures mean nothing.
        return _none(family, nothing)
    if family == "pareto_nbd" and (too_many := too_many_for_pareto(triples)):
        return _none(family, too_many)

    def fit() -> tuple[dict[str, float], float]:
        from lifetimes import BetaGeoFitter, ModifiedBetaGeoFitter, ParetoNBDFitter

        columns = (data.x, data.t_x / days, data.T / days)
        if family == "pareto_nbd":
            # Without a start of our own it draws one, and the result would differ from run to run.
            pareto = ParetoNBDFitter().fit(*columns, weights=data.n, initial_params=np.ones(4), tol=1e-7, maxiter=4000)
            found = {name: float(value) for name, value in pareto.params_.items()}
            return found, float(data.n @ ParetoNBDFitter._conditional_log_likelihood(tuple(found.values()), *columns))
        fitter = {"bg_nbd": BetaGeoFitter, "mbg_nbd": ModifiedBetaGeoFitter}[family]
        fitted = fitter().fit(*columns, weights=data.n)
        found = {name: float(value) for name, value in fitted.params_.items()}
        logs = np.log(np.array([found[name] for name in ("r", "alpha", "a", "b")]))
        return found, -float(fitter._negative_log_likelihood(logs, *columns, data.n, 0.0)) * float(data.n.sum())

    return _asked(family, fit)


def too_many_for_pareto(triples: pd.DataFrame) -> str:
    """Why lifetimes is not asked for Pareto/NBD of so many histories; empty where it is."""
    if len(triples) <= MAX_TRIPLES_PARETO:
        return ""
    return f"{len(triples):,} distinct histories are more than lifetimes fits in reasonable time"


def spend_second_opinion(spends: pd.DataFrame) -> SecondOpinion:
    """Fit Gamma-Gamma by lifetimes, by maximum likelihood.

    Parameters
    ----------
    spends
        ``x`` ≥ 1, mean amount (second column) and ``n`` clients (``purchase_history.unique_spends``).

    Returns
    -------
    SecondOpinion
        Never raises because of the data.
    """
    mean_column = next(name for name in spends.columns if name not in {"x", "n"})
    usable = spends[spends[mean_column] > 0]

    def fit() -> tuple[dict[str, float], float]:
        from lifetimes import GammaGammaFitter

        x, mean, n = (usable[name].to_numpy(dtype=np.float64) for name in ("x", mean_column, "n"))
        fitted = GammaGammaFitter().fit(x, mean, weights=n)
        found = {name: float(value) for name, value in fitted.params_.items()}
        return found, -float(fitted._negative_log_likelihood_) * float(n.sum())

    return _asked("gamma_gamma", fit)


def fit_pareto_nbd(triples: pd.DataFrame, time_unit: TimeUnit = "day") -> PurchaseFit | NoFit:
    """Pareto/NBD, which only lifetimes fits, by maximum likelihood.

    Parameters
    ----------
    triples
        ``x``, ``t_x``, ``T`` in days and ``n`` clients (``purchase_history.unique_triples``).
    time_unit
        Unit of alpha and beta.

    Returns
    -------
    PurchaseFit or NoFit
        Without covariance: it is compared with, not drawn from.

    References
    ----------
    Schmittlein, Morrison & Colombo (1987), "Counting Your Customers: Who Are They and
    What Will They Do Next?", Management Science 33 (1), 1-24.
    """
    opinion = second_opinion("pareto_nbd", triples, time_unit)
    if opinion.reason:
        return NoFit("pareto_nbd", opinion.reason)
    return PurchaseFit(
        family="pareto_nbd",
        parameters=opinion.parameters,
        log_likelihood=opinion.log_likelihood,
        time_unit=time_unit,
        clients=int(triples["n"].sum()),
        repeat_buyers=int(triples.loc[triples["x"] > 0, "n"].sum()),
        estimation="ml",
    )


def pareto_expected_purchases(fit: PurchaseFit, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizon_days: float) -> Floats:
    """Purchases expected within ``horizon_days`` under Pareto/NBD; NaN where lifetimes loses its digits.

    Parameters
    ----------
    fit
        From ``fit_pareto_nbd``.
    x, t_x, T
        Histories, times in days.
    horizon_days
        Days from today.

    Returns
    -------
    numpy.ndarray
        One number per client.
    """
    days = DAYS_PER_UNIT[fit.time_unit]
    repeats, last, age = as_columns(x, t_x, T)
    with _quiet():
        from lifetimes import ParetoNBDFitter

        fitter = ParetoNBDFitter()
        fitter.params_ = pd.Series(dict(fit.parameters))
        forecast = fitter.conditional_expected_number_of_purchases_up_to_time
        expected = forecast(horizon_days / days, repeats, last / days, age / days)
    return as_columns(expected)[0]


def _asked(family: str, fit: Any) -> SecondOpinion:
    try:
        with _quiet():
            parameters, log_likelihood = fit()
    # What an archived library may raise on odd data is not a closed list; the reason is passed on.
    except Exception as error:
        first_line = next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
        return _none(family, f"lifetimes raised {type(error).__name__}: {first_line}")
    if not np.isfinite([log_likelihood, *parameters.values()]).all():
        return _none(family, "lifetimes returned parameters that are not finite")
    return SecondOpinion(family, parameters, log_likelihood)


def _none(family: str, reason: str) -> SecondOpinion:
    return SecondOpinion(family, {}, None, reason)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """lifetimes prints its optimiser's state and sets global warning filters; neither leaves here."""
    with (
        warnings.catch_warnings(),
        np.errstate(all="ignore"),
        contextlib.redirect_stdout(io.StringIO()),
        threadpool_limits(limits=1, user_api="blas"),
    ):
        warnings.simplefilter("ignore")
        yield
