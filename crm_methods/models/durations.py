"""Time until something happens, with the cases counted in that are still open."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from crm_methods.models.rates import NOT_ENOUGH


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TimeToEvent:
    """Median time until something happened, with the open cases counted as far as they got.

    ``median`` is None where fewer than half are expected to have happened by the longest
    time seen; ``low`` and ``high`` are None where the interval has no such end.
    """

    median: float | None
    low: float | None
    high: float | None
    cases: int
    happened: int
    clients: int
    note: str = ""


def median_time(
    durations: ArrayLike,
    happened: ArrayLike,
    clients: ArrayLike,
    *,
    seed: int,
    bootstraps: int = 200,
    confidence: float = 0.95,
) -> TimeToEvent:
    """Kaplan–Meier median time, its interval by a bootstrap over clients.

    Parameters
    ----------
    durations
        Time from the start to the event, or to the day of analysis where it is still open.
    happened
        Whether the event was seen; the others are censored.
    clients
        The client of each case; clients, not cases, are drawn.
    seed
        Seed of the draws.

    References
    ----------
    Kaplan & Meier (1958), "Nonparametric estimation from incomplete observations", JASA 53.
    """
    times, events = np.asarray(durations, dtype=float), np.asarray(happened, dtype=bool)
    codes, names = pd.factorize(np.asarray(clients, dtype=object))
    cases, seen, groups = len(times), int(events.sum()), len(names)
    if seen == 0 or groups < 2:
        note = NOT_ENOUGH if seen else "not enough data: no case has ended yet"
        middle = _median_of(times, events) if seen else None
        return TimeToEvent(median=middle, low=None, high=None, cases=cases, happened=seen, clients=groups, note=note)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(groups, np.full(groups, 1 / groups), size=bootstraps)
    order = np.argsort(times, kind="stable")
    medians = [_weighted_median(times[order], events[order], draw[codes[order]]) for draw in draws]
    tail = (1 - confidence) / 2
    low, high = np.quantile(medians, [tail, 1 - tail], method="inverted_cdf")
    return TimeToEvent(
        median=_median_of(times, events), low=_finite(low), high=_finite(high), cases=cases, happened=seen, clients=groups
    )


def survival_curve(durations: ArrayLike, happened: ArrayLike) -> pd.DataFrame:
    """Kaplan–Meier curve: ``duration``, ``open_share`` still waiting (0–1) and ``at_risk``, one row per duration."""
    # Here, not above: statsmodels takes a second to import.
    from statsmodels.duration.survfunc import SurvfuncRight

    fitted = SurvfuncRight(np.asarray(durations, dtype=float), np.asarray(happened, dtype=int))
    return pd.DataFrame({"duration": fitted.surv_times, "open_share": fitted.surv_prob, "at_risk": fitted.n_risk.astype(int)})


def _median_of(times: NDArray[np.float64], events: NDArray[np.bool_]) -> float | None:
    curve = survival_curve(times, events)
    passed = curve.loc[curve["open_share"] <= 0.5 + 1e-12, "duration"]
    return float(passed.iloc[0]) if len(passed) else None


def _weighted_median(times: NDArray[np.float64], events: NDArray[np.bool_], weights: NDArray[np.int64]) -> float:
    starts = np.flatnonzero(np.r_[True, np.diff(times) > 0])
    at_risk = np.cumsum(weights[::-1])[::-1][starts]
    ended = np.add.reduceat(weights * events, starts)
    survival = np.cumprod(1 - np.divide(ended, at_risk, out=np.zeros(len(starts)), where=at_risk > 0))
    passed = np.flatnonzero(survival <= 0.5 + 1e-12)
    return float(times[starts[passed[0]]]) if len(passed) else math.inf


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
