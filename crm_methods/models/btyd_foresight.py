"""What a model fitted before the holdout foretold of it, by simulation: each client's range, and that of all together.

Every draw takes parameters from their distribution (``parameter_draws``) and lets each
client live one future under them, so that the ranges hold both what the model does not
know of its parameters and what chance does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from crm_methods.models.btyd_displays import Trial
from crm_methods.models.btyd_fit import PurchaseFit
from crm_methods.models.btyd_likelihood import Floats
from crm_methods.models.btyd_prediction import expected_purchases, probability_alive
from crm_methods.models.btyd_simulation import simulate
from crm_methods.models.parameter_draws import BOOTSTRAPS
from crm_methods.models.parameter_draws import draws as parameter_draws
from crm_methods.models.purchase_history import TRIPLE
from crm_methods.models.rates import ENDS_95, NORMAL_95, wilson_interval

ALIVE_EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0)
"""Borders of the bins of P(alive)."""

FUTURES = 400
MAX_CLIENTS = 5_000
"""More clients than these are represented by as many, evenly spread over the counted histories."""

_FEW_CLIENTS = 1_000
_FEW_DRAWS = 100


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Foresight:
    """The holdout as foretold, beside what happened.

    Parameters
    ----------
    clients
        One row per client (of more than ``MAX_CLIENTS`` as many, chosen evenly): ``population``, ``x``, ``t_x``, ``T``,
        ``x_holdout``; ``p_alive`` (missing under ``naive``) and ``p_any``, the chance of at least one purchase in the
        holdout; ``low`` and ``high``, the 95 % range of its purchases, and ``p_inside``, the chance that the model itself
        gives to that range, which is at least .95 since purchases come whole.
    represented
        How many clients the rows stand for.
    actual, expected, low, high
        Purchases of all clients together in the holdout: made, expected, and the ends of the 95 % interval.
    """

    clients: pd.DataFrame
    represented: int
    actual: float
    expected: float
    low: float
    high: float

    @property
    def inside_share(self) -> float:
        """Share of clients whose purchases lie within their own range."""
        return float(self.clients["x_holdout"].between(self.clients["low"], self.clients["high"]).mean())


def foresee(trials: Sequence[Trial], rng: np.random.Generator, futures: int = FUTURES, bootstraps: int = BOOTSTRAPS) -> Foresight:
    """Simulate the holdout of every client from its history before it.

    Parameters
    ----------
    trials
        The populations on trial, at least one.
    rng
        Source of chance.
    futures
        Number of simulated futures, each with parameters of its own.
    bootstraps
        As in ``parameter_draws.draws``.

    Returns
    -------
    Foresight
        Totals of more than ``MAX_CLIENTS`` clients have a normal interval, from the variance of the process and that of
        the parameters; of fewer the quantiles of what was simulated.
    """
    # Many BLAS threads only wait for each other on small matrices.
    with threadpool_limits(limits=1, user_api="blas"):
        return _foreseen(trials, rng, futures, bootstraps)


def bins_of_alive(clients: pd.DataFrame) -> pd.DataFrame:
    """Chances of buying in the holdout against the share that did, by bins of P(alive).

    Parameters
    ----------
    clients
        One row per client with ``p_alive`` (those where it is missing are left out), ``p_any`` (chance of a purchase in
        the holdout) and ``x_holdout`` (``foresee``).

    Returns
    -------
    pandas.DataFrame
        One row per bin that holds clients: ``p_alive_from_share``, ``p_alive_to_share``, ``clients``,
        ``predicted_share``, ``actual_share`` with Wilson's 95 % interval ``low_share``, ``high_share``; and
        ``beyond_chance``, whether the prediction lies outside an interval that holds in all bins at once (Bonferroni).
    """
    edges = np.array(ALIVE_EDGES)
    clients = clients.dropna(subset=["p_alive"])
    place = np.clip(np.searchsorted(edges, clients["p_alive"].to_numpy(dtype=np.float64), side="right") - 1, 0, len(edges) - 2)
    parts = list(clients.groupby(place))
    joint, rows = float(norm.ppf(1 - 0.025 / max(1, len(parts)))), []
    for bin_, part in parts:
        bought, predicted = float((part["x_holdout"] > 0).sum()), float(part["p_any"].mean())
        (low, high), (lowest, highest) = (wilson_interval(bought, len(part), critical) for critical in (NORMAL_95, joint))
        rows.append(
            {
                "p_alive_from_share": edges[int(bin_)],
                "p_alive_to_share": edges[int(bin_) + 1],
                "clients": len(part),
                "predicted_share": predicted,
                "actual_share": bought / len(part),
                "low_share": low,
                "high_share": high,
                "beyond_chance": not lowest <= predicted <= highest,
            }
        )
    return pd.DataFrame(rows)


def calibration_error(bins: pd.DataFrame) -> float:
    """Expected calibration error: how far chances and shares lie apart, averaged over clients; 0–1."""
    apart = (bins["predicted_share"] - bins["actual_share"]).abs()
    return float(np.average(apart, weights=bins["clients"]))


def brier_scores(clients: pd.DataFrame) -> tuple[float, float]:
    """Mean squared error of the chances of buying (Brier 1950), and that of giving everybody the overall share."""
    clients = clients.dropna(subset=["p_alive"])
    bought = (clients["x_holdout"] > 0).to_numpy(dtype=np.float64)
    own = float(np.mean((clients["p_any"].to_numpy(dtype=np.float64) - bought) ** 2))
    return own, float(np.mean((bought.mean() - bought) ** 2))


def _foreseen(trials: Sequence[Trial], rng: np.random.Generator, futures: int, bootstraps: int) -> Foresight:
    every = sum(int(trial.counts["n"].sum()) for trial in trials)
    kept_share = min(1.0, MAX_CLIENTS / every)
    parts, totals, variance = [], np.zeros(futures), 0.0
    for trial in trials:
        clients = _chosen(trial.counts, kept_share)
        histories = trial.counts.groupby(list(TRIPLE), as_index=False)["n"].sum()
        fits = parameter_draws(trial.fit, histories, futures, rng, bootstraps)
        bought = _bought(fits, clients, trial.horizon_days, rng)
        parts.append(_ranges(trial, clients, bought))
        totals += bought.sum(axis=1)
        if kept_share < 1:
            weight = float(trial.counts["n"].sum()) / len(clients)
            variance += weight * float(bought.var(axis=0).sum()) + _variance_of_parameters(trial, fits[:_FEW_DRAWS])
    expected = sum(_expected_total(trial) for trial in trials)
    half = NORMAL_95 * math.sqrt(variance)
    low, high = np.quantile(totals, ENDS_95) if kept_share == 1 else (max(expected - half, 0.0), expected + half)
    return Foresight(
        clients=pd.concat(parts, ignore_index=True),
        represented=every,
        actual=sum(float(trial.counts["n"] @ trial.counts["x_holdout"]) for trial in trials),
        expected=expected,
        low=float(low),
        high=float(high),
    )


def _chosen(counts: pd.DataFrame, kept_share: float) -> pd.DataFrame:
    """One row per client: all of them, or as large a share as is kept, evenly spread over the ordered histories."""
    ordered = counts.sort_values([*TRIPLE, "x_holdout"], ignore_index=True)
    reached = np.cumsum(ordered["n"].to_numpy(dtype=np.int64))
    clients = int(reached[-1])
    kept = max(1, round(clients * kept_share))
    places = ((np.arange(kept) + 0.5) * clients / kept).astype(np.int64)
    return ordered.iloc[np.searchsorted(reached, places, side="right")].reset_index(drop=True)


def _bought(fits: Sequence[PurchaseFit], clients: pd.DataFrame, horizon_days: float, rng: np.random.Generator) -> Floats:
    """Purchases within the holdout, one row per future and one column per client."""
    x, t_x, age = (clients[name].to_numpy(dtype=np.float64) for name in TRIPLE)
    return np.stack([simulate(fit, x, t_x, age, horizon_days, rng).bought for fit in fits])


def _ranges(trial: Trial, clients: pd.DataFrame, bought: Floats) -> pd.DataFrame:
    low, high = np.quantile(bought, ENDS_95, axis=0, method="inverted_cdf")
    return clients[[*TRIPLE, "x_holdout"]].assign(
        population=trial.population,
        p_alive=probability_alive(trial.fit, clients["x"], clients["t_x"], clients["T"]),
        p_any=(bought > 0).mean(axis=0),
        low=low,
        high=high,
        p_inside=((bought >= low) & (bought <= high)).mean(axis=0),
    )


def _expected_total(trial: Trial) -> float:
    x, t_x, age = (trial.counts[name] for name in TRIPLE)
    expected = expected_purchases(trial.fit, x, t_x, age, trial.horizon_days)
    return float(trial.counts["n"].to_numpy(dtype=np.float64) @ expected)


def _variance_of_parameters(trial: Trial, fits: Sequence[PurchaseFit]) -> float:
    """How much the expected total moves as the parameters do, measured on a few clients that stand for all."""
    every = float(trial.counts["n"].sum())
    few = _chosen(trial.counts, min(1.0, _FEW_CLIENTS / every))
    x, t_x, age = (few[name] for name in TRIPLE)
    moved = [expected_purchases(fit, x, t_x, age, trial.horizon_days).sum() for fit in fits]
    return float(np.var(moved)) * (every / len(few)) ** 2
