"""Do clients reorder like a clock? The test of each client's gaps, and of the base as a whole.

The purchase models suppose that a client buys at random in time: its gaps are exponential.
A client that reorders every six weeks breaks them, for its silence says far more than they
believe. Its own gaps tell: the more even they are, the smaller the distance between the
logarithm of their mean and the mean of their logarithms.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from scipy.special import betaincinv
from scipy.stats import chi2

from crm_methods.engine import as_float, collect, day_of
from crm_methods.models.btyd_fit import DAYS_PER_UNIT, PurchaseFit
from crm_methods.models.rates import NORMAL_95

MIN_GAPS = 4
"""Fewer gaps of one client tell a clock from chance hardly ever."""

MIN_REGULAR = 20
MIN_REGULAR_SHARE = 0.05
FALSE_DISCOVERIES = 0.05
"""Share of clients called regular that may be so by chance alone."""

SOON_DAYS = 30
ORDER_STATES = ("overdue", "late", "soon", "later", "gone")
"""Of a regular buyer's next order: unusually late, past its day but not unusually, due within 30 days, due later, and so late
that the buyer is taken for gone, which only who knows its chance of being still a client can say."""

_WINDOW = (0.1, 0.9)
_OVERDUE = 0.975
_MANY = 1_000_000
_NO_DAY = -1e7


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Rhythm:
    """How regularly a base buys.

    Parameters
    ----------
    clients, tested, regular
        Clients with a gap at all, with ``MIN_GAPS`` of them, and those found to be regular.
    k, k_low, k_high
        Erlang shape of a gap over all clients with two gaps, with its 95 % interval: 1 is chance, the more the more like
        a clock; NaN where fewer than two clients have two gaps, infinite where no client's gaps differ.
    pairs_from
        How many clients ``k`` rests on.
    cuts
        A row per number of ``gaps`` at which clients were found regular: ``evenness_cut``, the highest ``unevenness``.
    """

    clients: int
    tested: int
    regular: int
    k: float
    k_low: float
    k_high: float
    pairs_from: int
    cuts: pd.DataFrame


def unevenness() -> nw.Expr:
    """Moran's statistic over its degrees of freedom, from ``purchase_history.gap_summary``: 1 by chance, 0 for a clock.

    2n · (log of the mean wait − mean of the logarithms) / (1 + (n + 1) / (6n)) is chi² with n − 1 degrees of freedom for
    n exponential waits. Days on which a client of constant rate buys are independent of each other, so a gap in whole days
    is a wait rounded up; the mean is half a day less, and the logarithms are taken as expected within the last day.

    References
    ----------
    Moran (1951), "The random division of an interval", JRSS B 13, 147-150; Bartlett's correction of its scale.
    """
    gaps = as_float("gaps")
    apart = (as_float("gap_sum") / gaps - 0.5).log() - nw.col("wait_log_sum") / gaps
    freedom = nw.max_horizontal(gaps - 1, nw.lit(1.0))
    return nw.max_horizontal(gaps * apart * 2 / ((gaps + 1) / (gaps * 6) + 1) / freedom, nw.lit(0.0))


def find_rhythm(gaps: nw.LazyFrame[Any]) -> Rhythm:
    """Test every client with at least ``MIN_GAPS`` gaps, and measure how regular the base is.

    Parameters
    ----------
    gaps
        One row per client (``purchase_history.gap_summary``).

    Returns
    -------
    Rhythm
        The share of false alarms among the regular is held at ``FALSE_DISCOVERIES``.

    References
    ----------
    Wheat & Morrison (1990), "Estimating purchase regularity with two interpurchase times", Journal of Marketing
    Research 27 (1), 87-93; Benjamini & Hochberg (1995), JRSS B 57, 289-300.
    """
    spread = nw.col("pair_square_sum") / nw.max_horizontal(as_float("pairs"), nw.lit(1.0))
    has_pair = nw.when(nw.col("pairs") > 0).then(1).otherwise(0)
    rows = gaps.with_columns(
        one=nw.lit(1),
        has_pair=has_pair,
        spread=nw.when(nw.col("pairs") > 0).then(spread).otherwise(0.0),
        is_tested=nw.when(nw.col("gaps") >= MIN_GAPS).then(1).otherwise(0),
    ).with_columns(spread_square=nw.col("spread") * nw.col("spread"))
    sums = collect(rows.select(nw.col("one", "has_pair", "spread", "spread_square", "is_tested").sum())).fillna(0).iloc[0]
    tested = int(sums["is_tested"])
    # Distinct values stand once; a large base is counted in coarser steps so that they fit into memory.
    digits = 4 if tested <= _MANY else 2
    steps = gaps.filter(nw.col("gaps") >= MIN_GAPS).select("gaps", unevenness=unevenness().round(digits))
    counted = collect(steps.group_by("gaps", "unevenness").agg(nw.len().alias("clients")).sort("gaps", "unevenness"))
    found = _discoveries(counted)
    k, low, high = _regularity(float(sums["spread"]), float(sums["spread_square"]), int(sums["has_pair"]))
    return Rhythm(
        clients=int(sums["one"]),
        tested=tested,
        regular=int(found["clients"].sum()),
        k=k,
        k_low=low,
        k_high=high,
        pairs_from=int(sums["has_pair"]),
        # Half a step more: rounding in the engine may not take out who was counted in.
        cuts=found.groupby("gaps", as_index=False)["unevenness"]
        .max()
        .assign(evenness_cut=lambda d: d["unevenness"] + 0.5 * 10**-digits)[["gaps", "evenness_cut"]],
    )


def mark_regular(gaps: nw.LazyFrame[Any], cuts: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """The same rows with ``regular``: whether a client's gaps are more even than chance makes them.

    Parameters
    ----------
    gaps
        As ``find_rhythm`` was given.
    cuts
        ``Rhythm.cuts`` as a frame of the same engine.
    """
    joined = gaps.join(cuts, on="gaps", how="left").with_columns(unevenness=unevenness())
    regular = ~nw.col("evenness_cut").is_null() & (nw.col("unevenness") < nw.col("evenness_cut"))
    return joined.with_columns(regular=regular).drop("evenness_cut")


def is_own_population(rhythm: Rhythm) -> bool:
    """Whether the regular clients are enough for a model of their own."""
    return rhythm.regular >= MIN_REGULAR and rhythm.regular >= MIN_REGULAR_SHARE * rhythm.tested


def waiting_times(fit: PurchaseFit, most_gaps: int) -> pd.DataFrame:
    """How long a client waits for its next order, as multiples of ``alpha + gap_sum``, by its number of gaps.

    The rate of a client with x gaps in t_x days is Gamma(r + kx, alpha + t_x) and its next gap Erlang(k) at that rate, so
    that gap / (gap + alpha + t_x) is Beta(k, r + kx): the client's own mean gap, drawn to that of the others.

    Parameters
    ----------
    fit
        Of the family ``mbg_cnbd_k``.
    most_gaps
        Largest number of gaps.

    Returns
    -------
    pandas.DataFrame
        A row per number of ``gaps`` from 1: ``mean``, ``low`` and ``high`` (80 % lie between), ``overdue`` (97.5 % have
        ordered).
    """
    k = fit.parameters["k"]
    gaps = np.arange(1, most_gaps + 1, dtype=np.float64)
    shape = fit.parameters["r"] + k * gaps

    def multiple(share: float) -> Any:
        place = betaincinv(k, shape, share)
        return place / (1 - place)

    # The mean is infinite at a shape of 1 and below; the median stands in near it.
    mean = np.where(shape > 1.5, k / np.maximum(shape - 1, 0.5), multiple(0.5))
    low, high = (multiple(share) for share in _WINDOW)
    return pd.DataFrame({"gaps": gaps.astype("int64"), "mean": mean, "low": low, "high": high, "overdue": multiple(_OVERDUE)})


def next_orders(
    gaps: nw.LazyFrame[Any], waits: nw.LazyFrame[Any], calendar: nw.LazyFrame[Any], fit: PurchaseFit, as_of: dt.date
) -> nw.LazyFrame[Any]:
    """When each regular client is due to order again, and how long it is overdue.

    Parameters
    ----------
    gaps
        From ``mark_regular``.
    waits, calendar
        ``waiting_times`` and ``days_of_calendar`` as frames of the same engine.
    fit
        What ``waits`` was made from.
    as_of
        The day the analysis looks from.

    Returns
    -------
    narwhals.LazyFrame
        One row per client with a gap, key ``client_id``: ``regular``, ``last_on``, ``usual_gap_days``, ``next_order_on``,
        ``next_order_from`` and ``next_order_until`` (80 % of such orders come between them), ``overdue_after`` (the day by
        which 97.5 % would have come), ``days_overdue`` since then, 0 before it, and ``order_state`` (of ``ORDER_STATES``
        without ``gone``). NULL in all but the first three for a client that is not regular; dates beyond the calendar are
        NULL too.
    """
    scale = nw.col("gap_sum") + fit.parameters["alpha"] * DAYS_PER_UNIT[fit.time_unit]
    regular, today = nw.col("regular"), float(day_of(as_of))
    ahead = gaps.join(waits, on="gaps", how="left").with_columns(
        usual_gap_days=nw.when(regular).then(scale * nw.col("mean")),
        low=nw.when(regular).then(scale * nw.col("low")),
        high=nw.when(regular).then(scale * nw.col("high")),
        overdue_days=nw.when(regular).then((scale * nw.col("overdue")).ceil()),
        late=nw.when(regular).then(nw.lit(today) - as_float("last_day") - scale * nw.col("overdue")),
    )
    numbered = ahead.with_columns(
        on_number=_day_after("usual_gap_days"),
        from_number=_day_after("low"),
        until_number=_day_after("high"),
        overdue_number=_day_after("overdue_days"),
        days_overdue=nw.when(regular).then(nw.max_horizontal(nw.col("late").floor(), nw.lit(0.0))),
        wait=as_float("last_day") + nw.col("usual_gap_days") - today,
    )
    for name in ("on", "from", "until"):
        named = calendar.rename({"day": f"next_order_{name}", "number": f"{name}_number"})
        numbered = numbered.join(named, on=f"{name}_number", how="left")
    numbered = numbered.join(
        calendar.rename({"day": "overdue_after", "number": "overdue_number"}), on="overdue_number", how="left"
    )
    not_late = nw.when(nw.col("wait") <= SOON_DAYS).then(nw.lit("soon")).otherwise(nw.lit("later"))
    on_time = nw.when(nw.col("wait") < 0).then(nw.lit("late")).otherwise(not_late)
    state = nw.when(nw.col("days_overdue") > 0).then(nw.lit("overdue")).otherwise(on_time)
    dates = [*(f"next_order_{name}" for name in ("on", "from", "until")), "overdue_after"]
    told = numbered.with_columns(order_state=nw.when(regular).then(state))
    return told.select("client_id", "regular", "last_on", "usual_gap_days", *dates, "days_overdue", "order_state")


def days_of_calendar(first: dt.date, last: dt.date) -> pd.DataFrame:
    """Every day between two days, both included: its ``number`` as the engine counts days, and the ``day`` itself."""
    numbers = np.arange(day_of(first), day_of(last) + 1)
    days = [dt.date(1970, 1, 1) + dt.timedelta(days=int(number)) for number in numbers]
    return pd.DataFrame({"number": numbers.astype("int64"), "day": days})


def _day_after(days: str) -> nw.Expr:
    # What is no number must be one for pandas; no calendar holds it.
    return (as_float("last_day") + nw.col(days).round(0)).fill_null(_NO_DAY).cast(nw.Int64)


def _discoveries(counted: pd.DataFrame) -> pd.DataFrame:
    """The rows whose clients are regular by Benjamini-Hochberg."""
    freedom = counted["gaps"].to_numpy(dtype=np.float64) - 1
    chances = chi2.cdf(counted["unevenness"].to_numpy(dtype=np.float64) * freedom, freedom)
    order = np.argsort(chances, kind="stable")
    rank = np.cumsum(counted["clients"].to_numpy(dtype=np.float64)[order])
    tested = rank[-1] if len(rank) else 0.0
    passed = chances[order] <= FALSE_DISCOVERIES * rank / max(tested, 1.0)
    if not passed.any():
        return counted.head(0)
    return counted[chances <= chances[order][passed].max()]


def _regularity(spread: float, spread_square: float, clients: int) -> tuple[float, float, float]:
    """Erlang shape with its interval from the variance of gap / (gap + next gap), which is Beta(k, k): 1 / (4(2k + 1))."""
    if clients < 2:
        return float("nan"), float("nan"), float("nan")
    mean = spread / clients
    error = math.sqrt(max(spread_square / clients - mean**2, 0.0) / (clients - 1))

    def shape(variance: float) -> float:
        if variance <= 0:
            return float("inf")
        return max((1 - 4 * variance) / (8 * variance), 0.0)

    return shape(mean), shape(mean + NORMAL_95 * error), shape(mean - NORMAL_95 * error)
