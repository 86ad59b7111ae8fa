"""What shows whether a purchase model may be trusted: its forecasts of months it has not seen, set against them.

Everything rests on counted histories (``btyd_validation.holdout_counts``) and on purchases
counted by day, so that it costs the same for a thousand clients as for a million. Clients
of several populations are judged together, each by the model of its own population.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from crm_methods.engine import collect
from crm_methods.models.btyd_fit import NoFit, PurchaseFit, fit_purchases, naive
from crm_methods.models.btyd_likelihood import Floats
from crm_methods.models.btyd_prediction import expected_purchases, forecast
from crm_methods.models.lifetime_value import calibration_end
from crm_methods.models.purchase_history import TRIPLE
from crm_methods.models.rates import poisson_rate

_FROM_THE_START = frozenset({"nbd", "bg_nbd", "mbg_nbd"})

TOP_FREQUENCY = 7
"""From this many repeat purchases on clients are shown together, unless most of them are there."""

_OCTAVES = (0, 1, 2, 4, 8, 16, 32, 64)
_GRID_POINTS = 500
_ENOUGH_PURCHASES = 20


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Trial:
    """A population on trial: its model as fitted before the holdout, and what its clients did in it.

    Parameters
    ----------
    population
        Name of the population, such as ``purchases`` or ``regular``.
    fit
        Its model, fitted on the calibration period alone.
    counts
        Its counted histories: ``x``, ``t_x``, ``T``, ``x_holdout``, ``holdout_days``, ``n``
        (``btyd_validation.holdout_counts``).
    """

    population: str
    fit: PurchaseFit
    counts: pd.DataFrame

    @property
    def horizon_days(self) -> float:
        """Length of the holdout in days."""
        return float(self.counts["holdout_days"].iloc[0])


def knows_beginnings(fit: PurchaseFit) -> bool:
    """Whether a model says what a client does from its first purchase on; the others only go on from a history.

    A model of clients that were chosen by their histories (regular buyers) says nothing of how they began.
    """
    return fit.family in _FROM_THE_START and fit.min_x == 0


def together(trials: Sequence[Trial]) -> pd.DataFrame:
    """The counted histories of all populations, equal ones counted as one."""
    rows = pd.concat([trial.counts for trial in trials], ignore_index=True)
    key = [*TRIPLE, "x_holdout", "holdout_days"]
    return rows.groupby(key, as_index=False)["n"].sum()


def median_gap_days(counts: pd.DataFrame) -> float:
    """Median over returning clients of the client's own mean gap between purchases, in days; NaN where none returned."""
    returning = counts[counts["x"] > 0]
    if returning.empty:
        return float("nan")
    gaps = (returning["t_x"] / returning["x"]).to_numpy(dtype=np.float64)
    order = np.argsort(gaps, kind="stable")
    reached = np.cumsum(returning["n"].to_numpy(dtype=np.float64)[order])
    return float(gaps[order][np.searchsorted(reached, reached[-1] / 2)])


def purchases_by_day(purchases: nw.LazyFrame[Any], members: nw.LazyFrame[Any], on: str = "closed_on") -> pd.DataFrame:
    """How many purchase occasions there were on each day, counted in the engine.

    Parameters
    ----------
    purchases
        One row per won deal with ``client_id`` and the date ``on``.
    members
        One row per client that counts (``client_id``): those known before the holdout.
    on
        Name of the date column.

    Returns
    -------
    pandas.DataFrame
        One row per ``day`` (``datetime64``), ordered, with its ``occasions``: several deals of a client on a day are one.
    """
    moment = nw.col(on) if purchases.collect_schema()[on] == nw.Date else nw.col(on).dt.truncate("1d")
    of_members = purchases.select("client_id", moment.alias("day")).join(members.select("client_id"), on="client_id", how="inner")
    counted = of_members.unique(["client_id", "day"]).group_by("day").agg(nw.len().alias("occasions"))
    table = collect(counted.sort("day"))
    return table.assign(occasions=table["occasions"].astype("int64"))


def tracking(trials: Sequence[Trial], by_day: pd.DataFrame, as_of: dt.date, holdout_months: int) -> pd.DataFrame:
    """Cumulative repeat purchases, month by month: what happened, and what models fitted before the holdout expect.

    A model's line is the sum over clients of what it expects of one since its first purchase,
    E[X(t)], and knows nothing of what they did. One that can't tell (``knows_beginnings``)
    stands at its clients' own rate up to the holdout and at its forecast after it. ``naive``
    is everybody's own rate up to the holdout, going on for ever.

    Parameters
    ----------
    trials
        The populations on trial.
    by_day
        ``purchases_by_day`` of their clients.
    as_of, holdout_months
        The holdout are the last ``holdout_months`` months up to ``as_of``.

    Returns
    -------
    pandas.DataFrame
        One row per month, ending on its last day (``month_end``), from the first purchases to
        ``as_of``: ``held_out``, and cumulative ``actual``, ``expected``, ``nbd`` (missing where it can't be fitted)
        and ``naive``.

    References
    ----------
    Fader, Hardie & Lee (2005), figure 3, for the plot; eq. 9 for E[X(t)] under BG/NBD.
    """
    end = calibration_end(as_of, holdout_months)
    counts = together(trials)
    oldest = end - dt.timedelta(days=int(counts["T"].max()))
    months = _months(oldest, as_of)
    # Days from the end of the calibration period, negative before it.
    offsets = np.array([(month - end).days for month in months], dtype=np.float64)
    nbd = fit_purchases("nbd", counts, trials[0].fit.time_unit)
    expected = sum((_cumulative(trial.fit, trial.counts, offsets) for trial in trials), start=np.zeros(len(months)))
    return pd.DataFrame(
        {
            "month_end": pd.to_datetime(months),
            "held_out": offsets > 0,
            "actual": _actual(by_day, counts, months, end),
            "expected": expected,
            "nbd": np.full(len(months), np.nan) if isinstance(nbd, NoFit) else _cumulative(nbd, counts, offsets),
            "naive": _at_own_rate(counts, offsets),
        }
    )


def own_months(trials: Sequence[Trial]) -> tuple[float, float] | None:
    """Repeat purchases up to the holdout, as expected and in fact, of the populations whose models know beginnings; else None."""
    known = [trial for trial in trials if knows_beginnings(trial.fit)]
    if not known:
        return None
    expected = sum(float(_cumulative(trial.fit, trial.counts, np.zeros(1))[0]) for trial in known)
    return expected, sum(float(trial.counts["n"] @ trial.counts["x"]) for trial in known)


def by_frequency(trials: Sequence[Trial]) -> pd.DataFrame:
    """Purchases in the holdout by the number of repeat purchases before it: what happened, and what was expected.

    Parameters
    ----------
    trials
        The populations on trial.

    Returns
    -------
    pandas.DataFrame
        One row per number of repeat purchases (``repeat_purchases``, text): ``clients``; per client ``actual`` with its
        95 % interval ``low`` and ``high``, ``expected`` and ``naive``; and ``beyond_chance``, whether ``expected`` lies
        outside an interval that holds in all groups at once (Bonferroni). The intervals are exact Poisson ones on counts
        divided by their overdispersion in the group (in all groups under 20 purchases). Seven and more stand together;
        where that is most of the base, the numbers go in octaves (1, 2–3, 4–7, …).

    References
    ----------
    Fader, Hardie & Lee (2005), figure 4, "conditional expectations".
    """
    rows = pd.concat([_forecasts(trial) for trial in trials], ignore_index=True)
    lows = _frequency_borders(rows)
    parts = list(rows.groupby(np.searchsorted(lows, rows["x"].to_numpy(dtype=np.float64), side="right") - 1))
    of_all = _overdispersion([part for _, part in parts])
    table = []
    for place, part in parts:
        # Few purchases say nothing of how unevenly they fall.
        spread = _overdispersion([part]) if part["n"] @ part["x_holdout"] >= _ENOUGH_PURCHASES else of_all
        table.append({"repeat_purchases": _frequency_label(lows, int(place)), **_mean_purchases(part, len(parts), spread)})
    return pd.DataFrame(table)


def mean_absolute_errors(trials: Sequence[Trial]) -> tuple[float, float]:
    """By how many purchases a client is missed on average: by the models on trial, and by the naive forecast."""
    rows = pd.concat([_forecasts(trial) for trial in trials], ignore_index=True)
    own, plain = (float(np.average((rows[name] - rows["x_holdout"]).abs(), weights=rows["n"])) for name in ("expected", "naive"))
    return own, plain


def _forecasts(trial: Trial) -> pd.DataFrame:
    """Each counted history (``x``, ``x_holdout``, ``n``) with the purchases ``expected`` of it, and by the ``naive`` forecast."""
    x, t_x, age = (trial.counts[name] for name in TRIPLE)
    # Many BLAS threads only wait for each other on the quadrature's small matrices.
    with threadpool_limits(limits=1, user_api="blas"):
        own = expected_purchases(trial.fit, x, t_x, age, trial.horizon_days)
    plain = expected_purchases(naive(trial.counts), x, t_x, age, trial.horizon_days)
    return trial.counts[["x", "x_holdout", "n"]].assign(expected=own, naive=plain)


def _months(oldest: dt.date, as_of: dt.date) -> list[dt.date]:
    """Ends of months back from ``as_of``, the last of them on or before the oldest day."""
    months = [as_of]
    while months[-1] > oldest:
        months.append(calibration_end(as_of, len(months)))
    return months[::-1]


def _actual(by_day: pd.DataFrame, counts: pd.DataFrame, months: Sequence[dt.date], end: dt.date) -> Floats:
    """All occasions up to the end of each month less the first one of every client."""
    ends = pd.to_datetime(list(months)).to_numpy().astype("datetime64[D]")
    days = by_day["day"].to_numpy().astype("datetime64[D]")
    upto = np.concatenate([[0], np.cumsum(by_day["occasions"].to_numpy(dtype=np.float64))])
    bought = upto[np.searchsorted(days, ends, side="right")]
    joined = counts.groupby("T")["n"].sum().sort_index(ascending=False)
    first_days = np.datetime64(end) - joined.index.to_numpy().astype("timedelta64[D]")
    firsts = np.concatenate([[0], np.cumsum(joined.to_numpy(dtype=np.float64))])
    repeats: Floats = bought - firsts[np.searchsorted(first_days, ends, side="right")]
    return _reconciled(repeats, ends > np.datetime64(end), counts)


def _reconciled(repeats: Floats, later: NDArray[np.bool_], counts: pd.DataFrame) -> Floats:
    """The same shape with the counted totals before and in the holdout.

    Both agree already, unless a population is not on trial and clients have come to it or left it since.
    """
    before, after = (float(counts["n"] @ counts[name]) for name in ("x", "x_holdout"))
    at_end, at_last = float(repeats[~later][-1]), float(repeats[-1])
    early = repeats * (before / at_end if at_end > 0 else 1.0)
    late = before + (repeats - at_end) * (after / (at_last - at_end) if at_last > at_end else 1.0)
    return np.where(later, late, early)


def _cumulative(fit: PurchaseFit, counts: pd.DataFrame, offsets: Floats) -> Floats:
    """Repeat purchases that a model expects of all clients up to each day, counted from the end of the calibration period."""
    with threadpool_limits(limits=1, user_api="blas"):
        return _from_the_start(fit, counts, offsets) if knows_beginnings(fit) else _going_on(fit, counts, offsets)


def _from_the_start(fit: PurchaseFit, counts: pd.DataFrame, offsets: Floats) -> Floats:
    """What a model expects of every client from its first purchase on."""
    ages = counts.groupby("T")["n"].sum()
    now, n = ages.index.to_numpy(dtype=np.float64), ages.to_numpy(dtype=np.float64)
    oldest = float(now.max() + offsets.max())
    grid = np.linspace(0.0, oldest, min(_GRID_POINTS, int(oldest)) + 1)
    of_one = np.concatenate([[0.0], forecast(fit, [0], [0], [0], grid[1:]).purchases[0]])
    total: Floats = np.array([n @ np.interp(np.maximum(now + offset, 0.0), grid, of_one) for offset in offsets])
    return total


def _going_on(fit: PurchaseFit, counts: pd.DataFrame, offsets: Floats) -> Floats:
    """Everybody's own rate up to the end of the calibration period, and what is expected after it."""
    total, later = _at_own_rate(counts, offsets), offsets > 0
    if later.any():
        histories = counts.groupby(list(TRIPLE), as_index=False)["n"].sum()
        ahead = forecast(fit, histories["x"], histories["t_x"], histories["T"], offsets[later]).purchases
        total[later] = float(counts["n"] @ counts["x"]) + histories["n"].to_numpy(dtype=np.float64) @ ahead
    return total


def _at_own_rate(counts: pd.DataFrame, offsets: Floats) -> Floats:
    """Every client's purchases so far, as if made at an even pace and going on at it."""
    of_age = counts.assign(made=counts["n"] * counts["x"]).groupby("T")["made"].sum()
    age, made = of_age.index.to_numpy(dtype=np.float64), of_age.to_numpy(dtype=np.float64)
    rate = np.divide(made, age, out=np.zeros_like(made), where=age > 0)
    total: Floats = np.array([rate @ np.maximum(age + offset, 0.0) for offset in offsets])
    return total


def _frequency_borders(rows: pd.DataFrame) -> Floats:
    many = float(rows.loc[rows["x"] >= TOP_FREQUENCY, "n"].sum())
    borders = _OCTAVES if many > float(rows["n"].sum()) / 2 else range(TOP_FREQUENCY + 1)
    return np.array(borders, dtype=np.float64)


def _frequency_label(lows: Floats, place: int) -> str:
    low = int(lows[place])
    if place + 1 == len(lows):
        return f"{low} and more"
    high = int(lows[place + 1]) - 1
    return f"{low}" if high == low else f"{low}–{high}"


def _overdispersion(groups: Sequence[pd.DataFrame]) -> float:
    """How much more purchases vary between clients of a group than a Poisson process would let them; at least 1."""
    squares = sum(float(g["n"] @ (g["x_holdout"] - np.average(g["x_holdout"], weights=g["n"])) ** 2) for g in groups)
    clients = sum(float(g["n"].sum()) for g in groups)
    bought = sum(float(g["n"] @ g["x_holdout"]) for g in groups)
    if bought == 0 or clients <= len(groups):
        return 1.0
    return max(1.0, squares / bought * clients / (clients - len(groups)))


def _mean_purchases(part: pd.DataFrame, groups: int, overdispersion: float) -> dict[str, Any]:
    clients, bought = float(part["n"].sum()), float(part["n"] @ part["x_holdout"])
    expected = float(np.average(part["expected"], weights=part["n"]))
    counted = bought / overdispersion, clients / overdispersion
    actual, low, high = poisson_rate(*counted)
    _, lowest, highest = poisson_rate(*counted, confidence=1 - 0.05 / groups)
    return {
        "clients": int(clients),
        "actual": actual,
        "low": low,
        "high": high,
        "expected": expected,
        "naive": float(np.average(part["naive"], weights=part["n"])),
        "beyond_chance": not lowest <= expected <= highest,
    }
