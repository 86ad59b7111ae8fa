"""Has a distribution changed? The population stability index with a test that knows about chance and about clients.

The index alone cries wolf: with nothing changed its mean is (B − 1)(1/n + 1/m) for B bins, so ten bins of
a hundred rows each show .18, "moderate shift", by chance. Here a light needs size *and* significance; rows
of one client count as little as they resemble each other; and below a stated size there is no light at all.

References
----------
Siddiqi (2006), "Credit Risk Scorecards": the index and its conventional limits of .1 and .25.
Yurdakul & Naranjo (2020), "Statistical properties of the population stability index", Journal of Risk
Model Validation 14(4): under no change the index times n·m/(n + m) is about χ² with B − 1 degrees of freedom.
Rao & Scott (1981), "The analysis of categorical data from complex sample surveys", JASA 76: the first-order
correction of such a χ² by the mean design effect. Cochran (1954) for sparse cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

Light = Literal["red", "amber", "green", "too few to tell"]

AMBER_PSI, RED_PSI = 0.1, 0.25
AMBER_RATIO, RED_RATIO = 1.25, 1.5
"""Numbers of rows that differ by these factors, up or down."""
SIGNIFICANCE = 0.05
"""Share of false alarms among all, and of runs with any where nothing has changed (Benjamini & Hochberg 1995)."""
MIN_EFFECTIVE_ROWS = 30
MIN_EFFECTIVE_CLIENTS = 10
"""Below either, on either side, there are too few to tell."""
MIN_MONTHS = 6
_MIN_EXPECTED = 5.0
_HALF_ROW = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class BinCounts:
    """How the rows of one sample fall into bins, with what their clustering by client needs.

    With n_ib the rows of client i in bin b and n_i all its rows, one value per bin: ``rows`` Σᵢ n_ib,
    ``squared`` Σᵢ n_ib², ``crossed`` Σᵢ n_ib·n_i; ``clients`` is the number of clients.
    """

    rows: NDArray[np.float64]
    squared: NDArray[np.float64]
    crossed: NDArray[np.float64]
    clients: float

    @classmethod
    def of(cls, counts: ArrayLike) -> BinCounts:
        """Add up rows counted by client and bin; clients without a row are left out."""
        table = np.asarray(counts, dtype=float)
        table = table[table.sum(axis=1) > 0]
        crossed = (table * table.sum(axis=1, keepdims=True)).sum(axis=0)
        return cls(table.sum(axis=0), (table**2).sum(axis=0), crossed, float(len(table)))

    @property
    def total(self) -> float:
        """Number of rows."""
        return float(self.rows.sum())

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of the rows in each bin, 0–1."""
        shares: NDArray[np.float64] = self.rows / self.total
        return shares

    @property
    def effective_clients(self) -> float:
        """Kish's effective number of clients: as many of equal size would say as much."""
        return float(self.total**2 / self.crossed.sum())

    @property
    def rows_per_client(self) -> float:
        """The rows of the client that a row drawn at random belongs to: the design effect if a client's rows were all alike."""
        return float(self.crossed.sum() / self.total)

    def likeness(self, pooled: NDArray[np.float64]) -> float:
        """How alike a client's rows are: 0 as independent ones, 1 all in one bin.

        Rao and Scott's mean design effect over the bins, put as the intraclass correlation that makes it;
        ``pooled`` are the shares expected under no change.
        """
        if self.rows_per_client <= 1:
            return 0.0
        p, together = self.shares, self.crossed.sum()
        spread = np.maximum(self.squared - 2 * p * self.crossed + p**2 * together, 0) * self.clients / (self.clients - 1)
        effect = float((spread[pooled > 0] / pooled[pooled > 0]).sum() / self.total / (len(p) - 1))
        return max(0.0, (effect - 1) / (self.rows_per_client - 1))

    def effective_rows(self, likeness: float) -> float:
        """As many independent rows would say as much."""
        return self.total / (1 + (self.rows_per_client - 1) * likeness)

    def against(self, place: int) -> BinCounts:
        """Two bins: all others, and one; exact, since the others' counts are the rest of each client's."""
        here, there = self.crossed[place], self.crossed.sum() - self.crossed[place]
        both = self.crossed.sum() - 2 * here + self.squared[place]
        rows = np.array([self.total - self.rows[place], self.rows[place]])
        return BinCounts(rows, np.array([both, self.squared[place]]), np.array([there, here]), self.clients)

    def ordered(self, order: ArrayLike) -> BinCounts:
        """The same bins in another order."""
        places = np.asarray(order, dtype=int)
        return BinCounts(self.rows[places], self.squared[places], self.crossed[places], self.clients)

    def merged(self, first: int) -> BinCounts:
        """The same with bin ``first`` and the next made one.

        The sum of squares of the two together lacks the product Σᵢ n_ib·n_ic, which was not counted; its upper bound
        is taken (exact where each client has one row, or all its rows in these two), so the likeness of a client's rows is
        never understated.
        """
        a, b = first, first + 1
        outside = self.crossed - self.squared
        product = max(0.0, min(outside[a], outside[b], np.sqrt(self.squared[a] * self.squared[b])))
        squared = _joined(self.squared, first)
        squared[a] += 2 * product
        return BinCounts(_joined(self.rows, first), squared, _joined(self.crossed, first), self.clients)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """How far a distribution, or a number of rows, has moved, and how likely chance moves it as far.

    ``size`` is the index, or the factor between the numbers of rows (at least 1); ``by_chance`` the size that
    chance reaches in one of twenty cases. All three are None where there are too few to tell.
    """

    size: float | None
    p_value: float | None
    by_chance: float | None
    amber: float = AMBER_PSI
    red: float = RED_PSI

    @property
    def is_index(self) -> bool:
        """Whether the size is the index, and not a factor."""
        return self.amber == AMBER_PSI


def population_stability_index(then: ArrayLike, now: ArrayLike) -> float:
    """Σ (q − p)·ln(q/p) over the bins of two samples.

    Parameters
    ----------
    then, now
        Rows (or effective rows) per bin. Half a row is added to every bin of both samples (Jeffreys' prior), so
        that an empty bin counts as rare and not as impossible.
    """
    return float(index_terms(then, now).sum())


def index_terms(then: ArrayLike, now: ArrayLike) -> NDArray[np.float64]:
    """What each bin adds to the index."""
    counts = [np.asarray(sample, dtype=float) + _HALF_ROW for sample in (then, now)]
    p, q = (sample / sample.sum() for sample in counts)
    terms: NDArray[np.float64] = (q - p) * np.log(q / p)
    return terms


def compare(then: BinCounts, now: BinCounts, *, is_ordered: bool = False) -> Shift:
    """Compare two samples in the same bins.

    Parameters
    ----------
    then, now
        The samples; they count as independent, which is cautious where they share clients or rows.
    is_ordered
        Bins are intervals in their order: sparse ones are joined with a neighbour, else with the next sparsest.

    Returns
    -------
    Shift
        ``size`` is the index after bins that expect fewer than five effective rows were joined. The p-value is
        that of Pearson's χ² of homogeneity on effective rows, the index' own limit (both are the same quadratic
        form) that sparse bins do not blow up, against F with B − 1 and G − 1 degrees of freedom, G the smaller
        effective number of clients: the design effect is known no better than those allow. Fisher's exact test where
        two bins are left and one of them is rare.
    """
    if not _suffices(then, now):
        return Shift(size=None, p_value=None, by_chance=None)
    if not is_ordered:
        order = np.argsort(_pooled(then, now), kind="stable")
        then, now = then.ordered(order), now.ordered(order)
    filled = np.flatnonzero(then.rows + now.rows)
    then, now = then.ordered(filled), now.ordered(filled)
    if len(filled) < 2:
        return Shift(size=0.0, p_value=1.0, by_chance=0.0)
    while True:
        n, m = _effective(then, now)
        expected = min(n, m) * _pooled(then, now)
        if len(expected) == 2 or expected.min() >= _MIN_EXPECTED:
            break
        first = _beside(expected)
        then, now = then.merged(first), now.merged(first)
    if min(n, m) < MIN_EFFECTIVE_ROWS:
        return Shift(size=None, p_value=None, by_chance=None)
    return _tested(then, now, n, m, float(expected.min()))


def compare_monthly(then: ArrayLike, now: ArrayLike) -> Shift:
    """Compare rows per month with those of earlier months, which vary by more than chance.

    Parameters
    ----------
    then, now
        Rows in each whole month; at least six earlier ones and one later are needed.

    Returns
    -------
    Shift
        ``size`` is the factor between the means. The p-value is Student's, with the variance of the earlier months
        or, where that is smaller, Poisson's (quasi-Poisson; Wedderburn 1974).
    """
    before, after = np.asarray(then, dtype=float), np.asarray(now, dtype=float)
    ratios = {"amber": AMBER_RATIO, "red": RED_RATIO}
    if len(before) < MIN_MONTHS or not len(after) or before.mean() * len(after) < MIN_EFFECTIVE_ROWS:
        return Shift(size=None, p_value=None, by_chance=None, **ratios)
    mean, freedom = before.mean(), len(before) - 1
    error = np.sqrt(max(before.var(ddof=1), mean) * (1 / len(before) + 1 / len(after)))
    p_value = float(2 * stats.t.sf(abs(after.mean() - mean) / error, freedom))
    by_chance = 1 + float(stats.t.ppf(0.975, freedom) * error / mean)
    return Shift(size=_factor(mean, after.mean()), p_value=p_value, by_chance=by_chance, **ratios)


def compare_rows(then: int, now: int) -> Shift:
    """Compare the sizes of a table without dates: exact, as if both were counts of rare events."""
    if max(then, now) < MIN_EFFECTIVE_ROWS:
        return Shift(size=None, p_value=None, by_chance=None, amber=AMBER_RATIO, red=RED_RATIO)
    p_value = float(stats.binomtest(now, then + now).pvalue)
    chance = float(np.exp(stats.norm.ppf(0.975) * np.sqrt(1 / max(then, 1) + 1 / max(now, 1))))
    return Shift(size=_factor(then, now), p_value=p_value, by_chance=chance, amber=AMBER_RATIO, red=RED_RATIO)


def lights(shifts: Sequence[Shift]) -> tuple[Light, ...]:
    """The light of each of all the shifts that are looked at together.

    Amber and red need size and significance; significance is Benjamini and Hochberg's over all of them, so that a
    long table raises no more false alarms than a short one.
    """
    told = [shift.p_value for shift in shifts if shift.p_value is not None]
    adjusted = iter(stats.false_discovery_control(told) if told else ())
    return tuple("too few to tell" if shift.p_value is None else _light(shift, float(next(adjusted))) for shift in shifts)


def _light(shift: Shift, adjusted: float) -> Light:
    if adjusted > SIGNIFICANCE or shift.size is None or shift.size < shift.amber:
        return "green"
    return "red" if shift.size >= shift.red else "amber"


def _suffices(then: BinCounts, now: BinCounts) -> bool:
    samples = (then, now)
    enough = all(s.total >= MIN_EFFECTIVE_ROWS and s.clients >= MIN_EFFECTIVE_CLIENTS for s in samples)
    return enough and min(s.effective_clients for s in samples) >= MIN_EFFECTIVE_CLIENTS


def _pooled(then: BinCounts, now: BinCounts) -> NDArray[np.float64]:
    pooled: NDArray[np.float64] = (then.rows + now.rows) / (then.total + now.total)
    return pooled


def _effective(then: BinCounts, now: BinCounts) -> tuple[float, float]:
    """Effective rows of both, by the larger of the likenesses: a sample without the rare value can't tell how it clusters."""
    pooled = _pooled(then, now)
    likeness = max(then.likeness(pooled), now.likeness(pooled))
    return then.effective_rows(likeness), now.effective_rows(likeness)


def _tested(then: BinCounts, now: BinCounts, n: float, m: float, least: float) -> Shift:
    p, q, freedom = then.shares, now.shares, len(then.rows) - 1
    spare = min(then.effective_clients, now.effective_clients) - 1
    if least < _MIN_EXPECTED:
        cells = np.rint([p * n, q * m]).astype(int)
        p_value = float(stats.fisher_exact(cells).pvalue)
    else:
        pooled = (n * p + m * q) / (n + m)
        p_value = float(special.fdtrc(freedom, spare, n * m / (n + m) * ((p - q) ** 2 / pooled).sum() / freedom))
    by_chance = float(special.fdtri(freedom, spare, 0.95) * freedom * (1 / n + 1 / m))
    return Shift(size=population_stability_index(p * n, q * m), p_value=p_value, by_chance=by_chance)


def _beside(expected: NDArray[np.float64]) -> int:
    """The first of the two bins to be joined: the sparsest one and its sparser neighbour."""
    sparsest = int(expected.argmin())
    if sparsest == 0 or (sparsest < len(expected) - 1 and expected[sparsest + 1] < expected[sparsest - 1]):
        return sparsest
    return sparsest - 1


def _joined(values: NDArray[np.float64], first: int) -> NDArray[np.float64]:
    return np.concatenate([values[:first], [values[first] + values[first + 1]], values[first + 2 :]])


def _factor(then: float, now: float) -> float:
    """How many times the smaller number goes into the larger; ½ stands for none."""
    low, high = sorted((max(then, _HALF_ROW), max(now, _HALF_ROW)))
    return float(high / low)
