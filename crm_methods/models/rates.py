"""Shares, means, NPS and rates, each with an interval clustered by client.

Tickets, deals and answers of one client resemble each other, so an interval that counts
them as independent is too narrow by a factor of up to 8. Everything here therefore starts
from *sums per client*: the rows are counted in the engine, and an interval needs only six
sums over clients (``ClientSums``), whatever their number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from crm_methods.engine import as_float, collect

ShareMethod = Literal["logit_t", "wilson"]

NORMAL_95 = 1.959964
"""So many standard errors on either side hold 95 % of a normal distribution."""
ENDS_95 = (0.025, 0.975)
"""The quantiles between which 95 % lie."""

NOT_ENOUGH = "not enough data: an interval clustered by client needs at least two clients"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Rate:
    """A share, a mean, a score or a rate, with its interval.

    ``estimate``, ``low`` and ``high`` are None where there is not enough data; ``note``
    then says so. ``count`` is the number of rows (answers, tickets, events' exposure is
    in the note) behind the estimate.
    """

    estimate: float | None
    low: float | None
    high: float | None
    clients: int
    count: float
    method: str
    note: str = ""

    @property
    def is_enough(self) -> bool:
        """Whether there is an interval to speak of."""
        return self.low is not None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ClientSums:
    """What an interval clustered by client needs: six sums over clients.

    ``total`` and ``count`` are the sums of the clients' totals (successes, points, money)
    and counts (trials, answers, deals); the other three are sums of squares and products.
    """

    clients: int
    total: float
    count: float
    total_squared: float
    count_squared: float
    total_by_count: float

    @classmethod
    def of(cls, totals: ArrayLike, counts: ArrayLike) -> ClientSums:
        """Add up totals and counts per client; clients without a count are left out."""
        y, n = np.asarray(totals, dtype=float), np.asarray(counts, dtype=float)
        y, n = y[n > 0], n[n > 0]
        return cls(
            clients=len(n),
            total=float(y.sum()),
            count=float(n.sum()),
            total_squared=float(y @ y),
            count_squared=float(n @ n),
            total_by_count=float(y @ n),
        )

    @property
    def ratio(self) -> float:
        """Total per count: the share, or the mean."""
        return self.total / self.count

    @property
    def variance(self) -> float:
        """Cluster-robust variance of the ratio, Σ(yᵢ − r·nᵢ)² · G/(G−1) / (Σnᵢ)²."""
        r, g = self.ratio, self.clients
        squares = self.total_squared - 2 * r * self.total_by_count + r * r * self.count_squared
        # What is left of a difference of nearly equal sums is rounding, not variation.
        if squares <= 1e-12 * self.total_squared:
            return 0.0
        return squares * g / (g - 1) / self.count**2

    @property
    def independent_count(self) -> float:
        """Kish's effective number of clients: the count if each client's rows were all alike."""
        return self.count**2 / self.count_squared


def wilson_interval(successes: float, trials: float, critical: float = NORMAL_95) -> tuple[float, float]:
    """Wilson's interval of a share; ``trials`` may be an effective, broken number."""
    p, z2 = successes / trials, critical**2
    centre = (p + z2 / (2 * trials)) / (1 + z2 / trials)
    half = critical / (1 + z2 / trials) * math.sqrt(p * (1 - p) / trials + z2 / (4 * trials**2))
    return max(0.0, min(centre - half, p)), min(1.0, max(centre + half, p))


def share(sums: ClientSums, method: ShareMethod = "logit_t", confidence: float = 0.95) -> Rate:
    """A share of rows (0–1) with an interval clustered by client.

    Parameters
    ----------
    sums
        Totals are successes, counts are trials.
    method
        ``logit_t``: cluster-robust variance on the logit scale with t on (clients − 1)
        degrees of freedom. ``wilson``: Wilson's interval on the effective number of trials
        (trials / design effect), for answers of which a client gives one or two.
        Where all clients have the same share (0 % and 100 % among them) the variance
        between clients can't be estimated: then Wilson's interval on Kish's effective
        number of clients, as cautious as if each client's rows were one.
    confidence
        Confidence of the interval, 0–1.
    """
    if sums.clients < 2:
        return _too_few(sums, sums.ratio if sums.clients else None)
    p, variance, critical = sums.ratio, sums.variance, _critical(sums.clients, confidence)
    if not 0 < p < 1 or variance == 0:
        low, high = wilson_interval(p * sums.independent_count, sums.independent_count, critical)
        note = "all clients alike: Wilson's interval on the effective number of clients"
        return Rate(estimate=p, low=low, high=high, clients=sums.clients, count=sums.count, method="wilson", note=note)
    if method == "wilson":
        trials = sums.count / max(1.0, variance / (p * (1 - p) / sums.count))
        low, high = wilson_interval(p * trials, trials, critical)
    else:
        half = critical * math.sqrt(variance) / (p * (1 - p))
        low, high = _expit(_logit(p) - half), _expit(_logit(p) + half)
    return Rate(estimate=p, low=low, high=high, clients=sums.clients, count=sums.count, method=method)


def mean(sums: ClientSums, confidence: float = 0.95) -> Rate:
    """A mean over rows with a t interval clustered by client, on (clients − 1) degrees of freedom."""
    if sums.clients < 2:
        return _too_few(sums, sums.ratio if sums.clients else None)
    half = _critical(sums.clients, confidence) * math.sqrt(sums.variance)
    note = "" if half else "all clients alike: the spread between clients can't be estimated"
    low, high = (sums.ratio - half, sums.ratio + half) if half else (None, None)
    return Rate(estimate=sums.ratio, low=low, high=high, clients=sums.clients, count=sums.count, method="t", note=note)


def net_promoter_score(balance: ClientSums, promoters: float, detractors: float, confidence: float = 0.95) -> Rate:
    """Net promoter score in points (−100 … 100), adjusted Wald interval clustered by client.

    Three answers are added (¾ promoters, 1½ passives, ¾ detractors), and the variance is
    multiplied by the design effect of the clustering where that is above 1.

    Parameters
    ----------
    balance
        Totals are promoters − detractors per client, counts are answers.
    promoters, detractors
        Number of answers of 9–10 and of 0–6.

    References
    ----------
    Rocks (2016), "Interval estimation for the Net Promoter Score", The American Statistician 70(4).
    """
    if balance.clients < 2:
        return _too_few(balance, 100 * balance.ratio if balance.clients else None)
    score, n = balance.ratio, balance.count
    simple = ((promoters + detractors) / n - score**2) / n
    design_effect = max(1.0, balance.variance / simple) if simple > 0 else balance.count / balance.independent_count
    p, d = (promoters + 0.75) / (n + 3), (detractors + 0.75) / (n + 3)
    half = _critical(balance.clients, confidence) * math.sqrt((p + d - (p - d) ** 2) / (n + 3) * design_effect)
    low, high = max(-1.0, min(p - d - half, score)), min(1.0, max(p - d + half, score))
    return Rate(estimate=100 * score, low=100 * low, high=100 * high, clients=balance.clients, count=n, method="adjusted_wald")


def poisson_rate(events: float, exposure: float, confidence: float = 0.95) -> tuple[float, float, float]:
    """Rate of independent events per unit of exposure, with Garwood's exact interval: (rate, low, high)."""
    tail = (1 - confidence) / 2
    low = stats.chi2.ppf(tail, 2 * events) / 2 if events > 0 else 0.0
    high = stats.chi2.ppf(1 - tail, 2 * events + 2) / 2
    return events / exposure, float(low) / exposure, float(high) / exposure


def event_rate(sums: ClientSums, confidence: float = 0.95) -> Rate:
    """Events per unit of exposure: the exact Poisson interval on the effective number of events.

    Parameters
    ----------
    sums
        Totals are events per client (complaints), counts are exposures (client-months).
        Clients without events belong in it. Events are divided by their overdispersion
        between clients (variance of the rate over that of a Poisson process), if above 1.

    References
    ----------
    Garwood (1936), "Fiducial limits for the Poisson distribution", Biometrika 28.
    """
    if sums.clients < 2:
        return _too_few(sums, sums.ratio if sums.clients else None)
    overdispersion = max(1.0, sums.variance * sums.count**2 / sums.total) if sums.total > 0 else 1.0
    rate, low, high = poisson_rate(sums.total / overdispersion, sums.count / overdispersion, confidence)
    note = f"events cluster by client: they count as {sums.total / overdispersion:.0f}" if overdispersion > 1.05 else ""
    return Rate(estimate=rate, low=low, high=high, clients=sums.clients, count=sums.count, method="exact_poisson", note=note)


def sums_by_client(
    rows: nw.LazyFrame[Any], value: str, by: Sequence[str] = (), *, at_least: float | None = None
) -> nw.LazyFrame[Any]:
    """Add up a column per client, in the engine.

    Parameters
    ----------
    rows
        Any grain, with ``client_id`` and the columns of ``by``.
    value
        Column with a number or a yes/no; rows where it is NULL don't count.
    by
        Columns that split the result, such as ``segment``.
    at_least
        Count the rows whose value reaches this instead of adding the values up
        (4 makes CSAT the share of satisfied answers).

    Returns
    -------
    narwhals.LazyFrame
        One row per client and ``by``: ``client_id``, ``by``, ``total``, ``count``.
    """
    valued = rows.with_columns(_value=as_float(value)).filter(~nw.col("_value").is_null())
    if at_least is not None:
        reached = nw.when(nw.col("_value") >= at_least).then(nw.lit(1.0)).otherwise(nw.lit(0.0))
        valued = valued.with_columns(_value=reached)
    return valued.group_by("client_id", *by).agg(total=nw.col("_value").sum(), count=nw.len())


def shares_by(
    per_client: nw.LazyFrame[Any], by: Sequence[str] = (), method: ShareMethod = "logit_t", confidence: float = 0.95
) -> pd.DataFrame:
    """Shares with intervals, one row per combination of ``by`` (one row in all without).

    ``per_client`` is what ``sums_by_client`` returns. Columns: ``by``, ``share``,
    ``low_share``, ``high_share`` (0–1), ``clients``, ``trials``, ``method``, ``note``.
    """
    rates = [(key, share(sums, method, confidence)) for key, sums in _client_sums(per_client, by)]
    return _table(rates, by, ("share", "low_share", "high_share", "trials"))


def means_by(per_client: nw.LazyFrame[Any], by: Sequence[str] = (), confidence: float = 0.95) -> pd.DataFrame:
    """Means with intervals: ``by``, ``mean``, ``low``, ``high``, ``clients``, ``count``, ``method``, ``note``."""
    rates = [(key, mean(sums, confidence)) for key, sums in _client_sums(per_client, by)]
    return _table(rates, by, ("mean", "low", "high", "count"))


def _client_sums(per_client: nw.LazyFrame[Any], by: Sequence[str]) -> list[tuple[tuple[Any, ...], ClientSums]]:
    y, n = as_float("total"), as_float("count")
    columns = {
        "clients": nw.lit(1), "total": y, "count": n, "total_squared": y * y, "count_squared": n * n, "total_by_count": y * n,
    }  # fmt: skip
    keys = list(by) or ["_all"]
    terms = per_client.filter(nw.col("count") > 0).with_columns(_all=nw.lit(1)).select(*keys, **columns)
    sums = collect(terms.group_by(*keys).agg(*(nw.col(name).sum() for name in columns))).sort_values(keys)
    return [
        (
            tuple(row[key] for key in by),
            ClientSums(
                clients=int(row["clients"]),
                **{name: float(row[name]) for name in list(columns)[1:]},
            ),
        )
        for row in sums.to_dict("records")
    ]


def _table(rates: Sequence[tuple[tuple[Any, ...], Rate]], by: Sequence[str], names: Sequence[str]) -> pd.DataFrame:
    estimate, low, high, count = names
    rows = [(*key, rate.estimate, rate.low, rate.high, rate.clients, rate.count, rate.method, rate.note) for key, rate in rates]
    table = pd.DataFrame(rows, columns=[*by, estimate, low, high, "clients", count, "method", "note"])
    return table.astype({estimate: float, low: float, high: float, count: float})


def _too_few(sums: ClientSums, estimate: float | None) -> Rate:
    return Rate(estimate=estimate, low=None, high=None, clients=sums.clients, count=sums.count, method="none", note=NOT_ENOUGH)


def _critical(clients: int, confidence: float) -> float:
    return float(stats.t.ppf((1 + confidence) / 2, clients - 1))


def _logit(p: float) -> float:
    return math.log(p) - math.log1p(-p)


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
