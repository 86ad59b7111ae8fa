"""How an amount changes with something inside the same client: clients are compared with themselves only.

Between clients, the loyal differ from the others in all that made them loyal. Here every client has a level of its own,
and only its ups and downs count. Amounts may be zero in many rows, as costs of single quarters are: the log of an amount
leaves those rows out and, where an amount shrinks towards zero, understates the fall. The fixed-effects Poisson regression
models the mean itself, zeros included, and needs no Poisson distribution: only the mean must be right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

_MOST_STEPS = 100
_LARGEST_STEP = 2.0
_PRECISION = 1e-9
_NO_VARIATION = 1e-8
"""Share of a regressor's variation within clients below which the controls explain all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """Change of the log of the mean per unit of a regressor, within clients, with its interval.

    ``clients`` and ``rows`` are those that say something: clients with at least two rows and an amount above zero.
    """

    slope: float
    low: float
    high: float
    standard_error: float
    clients: int
    rows: int

    @property
    def change(self) -> tuple[float, float, float]:
        """The slope and the ends of its interval as relative changes: −0.1 is a fall by a tenth."""
        estimate, low, high = (math.expm1(min(value, 700.0)) for value in (self.slope, self.low, self.high))
        return estimate, low, high


def within_slope(
    rows: pd.DataFrame,
    outcome: str,
    regressor: str,
    *,
    controls: Sequence[str] = (),
    period: str | None = None,
    exposure: str | None = None,
    confidence: float = 0.95,
) -> Slope | None:
    """Regress an amount on something that changes within clients, every client with a level of its own.

    The model is E[outcome] = exposure · exp(level of the client + level of the period + slope · regressor + controls).

    Parameters
    ----------
    rows
        One row per client and time: ``client_id`` and the columns named below, none of them missing.
    outcome
        Column that is not negative, in any unit.
    regressor
        Column whose slope is wanted.
    controls
        Columns held constant.
    period
        Column whose every value has a level of its own, shared by all clients.
    exposure
        Column above zero that the outcome is in proportion to.
    confidence
        Of the interval.

    Returns
    -------
    Slope or None
        None where fewer than two clients say something, or the regressor does not vary beside the controls.

    Notes
    -----
    The clients' levels are concentrated out: given a client's sum, its rows share it by exp(slope · x). The standard error
    is clustered by client, with each client's residuals divided by what the others know of the slope (CR3, close to the
    jackknife over clients), and the interval takes t with the effective number of clients − 1 degrees of freedom: as many
    equal clients as would know as much, so that a base in which a few carry the estimate has a wider interval. In
    simulation (lumpy costs, correlated over quarters, clients of very unequal size; 400 bases each) nominal 95 % intervals
    held the truth for 15 clients × 12 quarters in 94 %, 40 × 8 in 94 %, 150 × 12 in 93 %, 400 × 11 in 97 %.

    References
    ----------
    Hausman, Hall & Griliches (1984), Econometrica 52; Wooldridge (1999), "Distribution-free estimation of some nonlinear
    panel data models", Journal of Econometrics 90; Santos Silva & Tenreyro (2006), "The log of gravity", Review of Economics
    and Statistics 88; Cameron & Miller (2015), "A practitioner's guide to cluster-robust inference", section VI; Carter,
    Schnepel & Steigerwald (2017), "Asymptotic behavior of a t-test robust to cluster heterogeneity", Review of Economics and
    Statistics 99: the effective number of clusters, here by what each knows of the slope.
    """
    data = _informative(rows, outcome)
    clients = data["client_id"].nunique()
    if clients < 2:
        return None
    panel = _Panel.of(data, outcome, [regressor, *controls], period, exposure)
    fitted = _maximise(panel)
    if fitted is None:
        return None
    slope, mean = fitted
    spread = _clustered(panel, mean)
    if spread is None:
        return None
    error, freedom = spread
    error, middle = error / panel.scales[0], slope / panel.scales[0]
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    return Slope(slope=middle, low=middle - half, high=middle + half, standard_error=error, clients=clients, rows=len(data))


@dataclass(frozen=True, slots=True, eq=False)
class _Panel:
    """Rows in the order of clients: ``starts`` is where each client begins, ``x`` has a column per regressor, scaled."""

    y: Floats
    x: Floats
    log_exposure: Floats
    starts: NDArray[np.intp]
    codes: NDArray[np.intp]
    scales: Floats

    @classmethod
    def of(cls, data: pd.DataFrame, outcome: str, columns: Sequence[str], period: str | None, exposure: str | None) -> _Panel:
        """The columns as arrays, amounts in units of their mean and regressors in units of their spread."""
        ordered = data.sort_values("client_id", kind="stable", ignore_index=True)
        codes = pd.factorize(ordered["client_id"])[0].astype(np.intp)
        parts = [ordered[list(columns)].to_numpy(dtype=np.float64)]
        if period is not None:
            parts.append(pd.get_dummies(ordered[period], drop_first=True).to_numpy(dtype=np.float64))
        x = np.column_stack(parts)
        spread = x.std(axis=0)
        scales = np.where(spread > 0, spread, 1.0)
        y = ordered[outcome].to_numpy(dtype=np.float64)
        offset = np.zeros(len(y)) if exposure is None else np.log(ordered[exposure].to_numpy(dtype=np.float64))
        starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
        return cls(y / y.mean(), (x - x.mean(axis=0)) / scales, offset, starts, codes, scales)

    def sums(self, values: NDArray[Any]) -> NDArray[Any]:
        """Sums per client of the rows of ``values``."""
        added: NDArray[Any] = np.add.reduceat(values, self.starts, axis=0)
        return added


def _informative(rows: pd.DataFrame, outcome: str) -> pd.DataFrame:
    """Rows of clients that have at least two, and any amount at all."""
    grouped = rows.groupby("client_id")[outcome]
    return rows[(grouped.transform("size") >= 2) & (grouped.transform("sum") > 0)]


def _mean(panel: _Panel, slopes: Floats) -> Floats:
    """Expected amounts: each client's sum, shared over its rows."""
    log_share = panel.x @ slopes + panel.log_exposure
    highest = np.maximum.reduceat(log_share, panel.starts)
    shares = np.exp(log_share - highest[panel.codes])
    mean: Floats = shares * (panel.sums(panel.y) / panel.sums(shares))[panel.codes]
    return mean


def _centred(panel: _Panel, mean: Floats) -> Floats:
    """Regressors less their mean in the client, weighted by expected amounts."""
    weighted = panel.sums(panel.x * mean[:, None]) / panel.sums(mean)[:, None]
    centred: Floats = panel.x - weighted[panel.codes]
    return centred


def _log_likelihood(panel: _Panel, mean: Floats) -> float:
    bought = panel.y > 0
    with np.errstate(divide="ignore"):
        return float(panel.y[bought] @ np.log(mean[bought]))


def _maximise(panel: _Panel) -> tuple[float, Floats] | None:
    """Newton's method with steps that are cut until the likelihood rises: the slope, and the expected amounts."""
    slopes = np.zeros(panel.x.shape[1])
    mean = _mean(panel, slopes)
    height = _log_likelihood(panel, mean)
    for _ in range(_MOST_STEPS):
        centred = _centred(panel, mean)
        information = centred.T @ (centred * mean[:, None])
        step = np.linalg.lstsq(information, centred.T @ (panel.y - mean), rcond=1e-10)[0]
        if not np.isfinite(step).all():
            return None
        shortened = min(1.0, _LARGEST_STEP / max(float(np.abs(step).max()), _PRECISION))
        slopes, mean, height, moved = _climb(panel, slopes, np.asarray(step * shortened, dtype=np.float64), height, mean)
        if moved < _PRECISION:
            return float(slopes[0]), mean
    return None


def _climb(panel: _Panel, slopes: Floats, step: Floats, height: float, mean: Floats) -> tuple[Floats, Floats, float, float]:
    """The first of step, step/2, step/4 … that does not lower the likelihood, and how far it moved."""
    for _ in range(30):
        tried = slopes + step
        expected = _mean(panel, tried)
        reached = _log_likelihood(panel, expected)
        if reached >= height - 1e-12 * abs(height):
            return tried, expected, reached, float(np.abs(step).max())
        step = step / 2
    return slopes, mean, height, 0.0


def _clustered(panel: _Panel, mean: Floats) -> tuple[float, float] | None:
    """Standard error of the first slope, clustered by client, with its degrees of freedom; None where nothing identifies it."""
    centred = _centred(panel, mean)
    wanted, others = centred[:, 0], centred[:, 1:]
    within = float(mean @ wanted**2)
    if others.shape[1]:
        root = np.sqrt(mean)
        known = np.linalg.lstsq(others * root[:, None], wanted * root, rcond=1e-10)[0]
        wanted = wanted - others @ known
    information = panel.sums(mean * wanted**2)
    total = float(information.sum())
    if total <= _NO_VARIATION * max(within, 1e-300) or within <= _NO_VARIATION * float(mean.sum()):
        return None
    without = total - information
    if (without <= _NO_VARIATION * total).any():
        return None
    moved = panel.sums(wanted * (panel.y - mean)) / without
    clients = len(information)
    error = math.sqrt((clients - 1) / clients * float(moved @ moved))
    effective = total**2 / float(information @ information)
    return (error, max(1.0, effective - 1)) if math.isfinite(error) and error > 0 else None
