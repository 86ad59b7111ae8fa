"""Time until something happens, with the cases counted in that are still open."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

MIN_CLIENTS = 5
"""Of fewer clients no interval is given: whatever is drawn from them says too little of the clients that are not there."""
_DRAWS_IN_TAIL = 5
_DRAWN_AT_ONCE = 2_000_000
_FEW_CLIENTS = 10
"""Up to so many clients the same draw comes again and again, and is worked out once."""


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
    """Kaplan–Meier median time, its interval by a bootstrap over clients; none under ``MIN_CLIENTS`` clients.

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
    bootstraps
        Draws; more are made where the tails are thin.

    Notes
    -----
    The percentiles are expanded, tail Φ(−√(G/(G − 1)) · t_{G−1}) for G clients: the plain ones are those of a normal
    distribution with the variance of G instead of G − 1. In simulation (250 runs of 8 cases a client) they hold the truth in
    .90, .94 and .92 of runs at 5, 10 and 20 clients: of five clients the interval is still a little short.

    References
    ----------
    Kaplan & Meier (1958), "Nonparametric estimation from incomplete observations", JASA 53.
    Hesterberg (2015), "What teachers should know about the bootstrap", The American Statistician 69: expanded percentiles.
    """
    times, events = np.asarray(durations, dtype=float), np.asarray(happened, dtype=bool)
    codes, names = pd.factorize(np.asarray(clients, dtype=object))
    cases, seen, groups = len(times), int(events.sum()), len(names)
    if seen == 0 or groups < MIN_CLIENTS:
        few = f"not enough data: an interval of the median needs at least {MIN_CLIENTS} clients"
        note = few if seen else "not enough data: no case has ended yet"
        middle = _median_of(times, events) if seen else None
        return TimeToEvent(median=middle, low=None, high=None, cases=cases, happened=seen, clients=groups, note=note)
    tail = _expanded_tail(groups, confidence)
    order = np.argsort(times, kind="stable")
    drawn = max(bootstraps, math.ceil(_DRAWS_IN_TAIL / tail))
    medians = _medians_drawn(times[order], events[order], codes[order], groups, drawn, seed)
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


def _expanded_tail(groups: int, confidence: float) -> float:
    critical = stats.t.ppf((1 + confidence) / 2, groups - 1)
    return float(stats.norm.cdf(-math.sqrt(groups / (groups - 1)) * critical))


def _medians_drawn(
    times: NDArray[np.float64], events: NDArray[np.bool_], codes: NDArray[np.int64], groups: int, draws: int, seed: int
) -> NDArray[np.float64]:
    """Medians of ``draws`` draws of clients, so many of them in memory at once as ``_DRAWN_AT_ONCE`` allows."""
    rng, even, medians = np.random.default_rng(seed), np.full(groups, 1 / groups), []
    at_once = max(1, _DRAWN_AT_ONCE // groups)
    for start in range(0, draws, at_once):
        weights = rng.multinomial(groups, even, size=min(at_once, draws - start))
        times_drawn = np.ones(len(weights), dtype=np.int64)
        if groups <= _FEW_CLIENTS:
            weights, times_drawn = np.unique(weights, axis=0, return_counts=True)
        found = np.array([_weighted_median(times, events, weight[codes]) for weight in weights])
        medians.append(np.repeat(found, times_drawn))
    return np.concatenate(medians)


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
