"""Spearman's rank correlation of two columns, with an interval that fits ranks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

_FEWEST = 4
_NEARLY_ONE = 0.999999


@dataclass(frozen=True, slots=True, kw_only=True)
class RankCorrelation:
    """Spearman's correlation (−1 to 1) of so many pairs, with the ends of its interval."""

    rho: float
    low: float
    high: float
    pairs: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0


def rank_correlation(x: ArrayLike, y: ArrayLike, confidence: float = 0.95) -> RankCorrelation | None:
    """Whether two quantities rise together, whatever the shape; None under four pairs, or where one of them never varies.

    Parameters
    ----------
    x, y
        One value per client each; pairs in which either is missing are left out.
    confidence
        Confidence of the interval, 0–1: Fisher's transform with the variance (1 + ρ²/2) / (n − 3).

    References
    ----------
    Bonett & Wright (2000), "Sample size requirements for estimating Pearson, Kendall and Spearman correlations",
    Psychometrika 65.
    """
    first, second = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    both = np.isfinite(first) & np.isfinite(second)
    ranks = stats.rankdata(first[both]), stats.rankdata(second[both])
    pairs = int(both.sum())
    if pairs < _FEWEST or min(float(np.ptp(rank)) for rank in ranks) == 0:
        return None
    rho = float(np.corrcoef(*ranks)[0, 1])
    half = float(stats.norm.ppf((1 + confidence) / 2)) * math.sqrt((1 + rho**2 / 2) / (pairs - 3))
    middle = math.atanh(max(-_NEARLY_ONE, min(_NEARLY_ONE, rho)))
    return RankCorrelation(rho=rho, low=math.tanh(middle - half), high=math.tanh(middle + half), pairs=pairs)
