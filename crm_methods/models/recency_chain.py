"""The fallback of the purchase models: how often clients return, by how long ago they last bought.

Nothing is supposed about rates and leaving. A client's state at the end of a period (a month, or a quarter) is the number
of whole periods since its last purchase, and whether it ever bought more than once; the longest silences share a last
state, "gone for good" but for a small chance to return. The chances of all clients in all periods are counted together, so
that clients of one state are not told apart.

References
----------
Pfeifer & Carraway (2000), "Modeling customer relationships as Markov chains", Journal of Interactive Marketing 14 (2),
43-55.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from crm_methods.engine import as_float, collect, day_number, day_of
from crm_methods.models.btyd_fit import DAYS_PER_MONTH, NoFit, PurchaseFit
from crm_methods.models.btyd_likelihood import Floats, as_columns

AGAIN_WITHIN_MONTHS = 12
"""Horizon of ``probability_alive``: a chain knows no leaving, so a client counts as alive that buys again within a year."""

_QUARTER_FROM_DAYS = 91.0
_MOST_MONTHS = 24
_AT_RISK_AT_LEAST = 8
_LAST_STATE_SHARE = 0.1
_ONCE, _REPEAT = 0, 1


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ChainFit(PurchaseFit):
    """The chain: for one-time buyers (row 0) and repeat buyers (row 1), by whole periods since the last purchase.

    Parameters
    ----------
    period_days
        Length of a period.
    returns
        (2, S) chance to buy in the next period; the last column is the state of all longer silences.
    purchases
        (2,) purchases in a period in which a client buys, at least 1.
    bought, not_bought
        (2, S) the beta distribution of each chance: client-periods with and without a purchase, smoothed.
    further, periods
        (2,) the gamma distribution of the purchases beyond the first in such a period.
    """

    period_days: float
    returns: Floats
    purchases: Floats
    bought: Floats
    not_bought: Floats
    further: Floats
    periods: Floats


def period_months(triples: pd.DataFrame) -> int:
    """Length of a period: a month, or a quarter where the usual repeat buyer's mean gap is longer than that.

    Parameters
    ----------
    triples
        ``x``, ``t_x``, ``T`` in days and ``n`` clients (``purchase_history.unique_triples``).
    """
    repeat = triples[triples["x"] > 0]
    if repeat.empty:
        return 1
    gaps = (repeat["t_x"] / repeat["x"]).to_numpy(dtype=np.float64)
    order = np.argsort(gaps, kind="stable")
    counted = np.cumsum(repeat["n"].to_numpy(dtype=np.float64)[order])
    usual = gaps[order][np.searchsorted(counted, counted[-1] / 2)]
    return 3 if usual > _QUARTER_FROM_DAYS and triples["T"].max() > 4 * _QUARTER_FROM_DAYS else 1


def buying_runs(purchases: nw.LazyFrame[Any], as_of: dt.date, months: int, *, on: str = "closed_on") -> pd.DataFrame:
    """How many periods clients let pass until they bought again, counted in the engine.

    Parameters
    ----------
    purchases
        One row per won deal with ``client_id`` and the date ``on``; later ones than ``as_of`` are left out.
    as_of
        The day the last period ends.
    months
        Length of a period.

    Returns
    -------
    pandas.DataFrame
        A row per ``repeat`` (whether the client had bought more than once), ``length`` in periods and ``ended`` (whether a
        purchase ended it, or the present): ``runs``, and ``purchases`` in the periods that ended them.
    """
    today = day_of(as_of)
    days = purchases.select("client_id", day=day_number(on)).filter(nw.col("day") <= today).unique()
    # Counted backwards from today and negative, so that they grow with time and the last one ends today.
    period = nw.lit(0) - (as_float(nw.lit(today) - nw.col("day")) / (months * DAYS_PER_MONTH)).floor().cast(nw.Int64)
    counted = days.with_columns(period=period).group_by("client_id", "period").agg(nw.len().alias("bought"))
    told = counted.with_columns(bought=nw.col("bought").cast(nw.Int64)).with_columns(
        before=nw.col("period").shift(1).over("client_id", order_by="period"),
        in_all=nw.col("bought").cum_sum().over("client_id", order_by="period"),
    )
    ended = told.filter(~nw.col("before").is_null()).select(
        length=(nw.col("period") - nw.col("before")).cast(nw.Int64),
        repeat=nw.when(nw.col("in_all") - nw.col("bought") > 1).then(1).otherwise(0),
        bought=nw.col("bought"),
    )
    last = counted.group_by("client_id").agg(nw.col("period").max(), nw.col("bought").sum())
    still = last.select(
        length=nw.lit(0) - nw.col("period"), repeat=nw.when(nw.col("bought") > 1).then(1).otherwise(0), bought=nw.lit(0)
    ).filter(nw.col("length") > 0)
    parts = []
    for frame, is_ended in ((ended, True), (still, False)):
        runs = frame.group_by("repeat", "length").agg(nw.len().alias("runs"), nw.col("bought").sum().alias("purchases"))
        parts.append(collect(runs.sort("repeat", "length")).assign(ended=is_ended))
    return pd.concat(parts, ignore_index=True)


def fit_recency_chain(runs: pd.DataFrame, months: int, triples: pd.DataFrame) -> ChainFit | NoFit:
    """The chances to return, from counted runs.

    Each chance is that of its state, drawn to the mean of this and all longer silences of its kind of buyer as if by one
    purchase more, that mean to everybody's, and everybody's to the one of all states, each in the same way. So no chance is
    0 or 1, states that were hardly met say what those beside them say, and a base in which nobody came back has small
    chances. The last state holds at least a tenth of all client-periods.

    Parameters
    ----------
    runs
        From ``buying_runs``.
    months
        Length of a period, as given there.
    triples
        Of the same clients: how many they are.

    Returns
    -------
    ChainFit or NoFit
        The latter where no whole period has passed since anybody's purchase.
    """
    if runs.empty:
        return NoFit("recency_chain", "no whole period has passed since the first purchase")
    states = int(runs["length"].max())
    at_risk, bought = np.zeros((2, states)), np.zeros((2, states))
    for row in runs.itertuples():
        at_risk[row.repeat, : row.length] += row.runs
        if row.ended:
            bought[row.repeat, row.length - 1] += row.runs
    beyond = _sums_from(at_risk).sum(axis=0)
    seen = int((beyond >= max(_AT_RISK_AT_LEAST, _LAST_STATE_SHARE * beyond[0])).sum())
    kept = max(1, min(states, seen, _MOST_MONTHS // months))
    at_risk, bought = (np.column_stack([c[:, : kept - 1], c[:, kept - 1 :].sum(axis=1)]) for c in (at_risk, bought))
    ever = (bought.sum() + 0.5) / (at_risk.sum() + 1)
    overall = (_sums_from(bought).sum(axis=0) + 1) / (_sums_from(at_risk).sum(axis=0) + 1 / ever)
    of_kind = (_sums_from(bought) + 1) / (_sums_from(at_risk) + 1 / overall)
    yes, no = bought + 1, at_risk - bought + 1 / of_kind - 1
    ends = runs[runs["ended"]]
    periods = np.array([float(ends.loc[ends["repeat"] == kind, "runs"].sum()) for kind in (_ONCE, _REPEAT)])
    further = np.array([float(ends.loc[ends["repeat"] == kind, "purchases"].sum()) for kind in (_ONCE, _REPEAT)]) - periods
    usual = float(further.sum() / (periods.sum() + 1))
    return ChainFit(
        family="recency_chain",
        parameters={"period_months": float(months), "states": float(kept)},
        log_likelihood=None,
        time_unit="day",
        clients=int(triples["n"].sum()),
        repeat_buyers=int(triples.loc[triples["x"] > 0, "n"].sum()),
        period_days=months * DAYS_PER_MONTH,
        returns=yes / (yes + no),
        purchases=1 + (further + usual) / (periods + 1),
        bought=yes,
        not_bought=no,
        further=further + usual,
        periods=periods + 1,
    )


def drawn(fit: PurchaseFit, rng: np.random.Generator) -> ChainFit:
    """The chain with its chances drawn from what the counts leave open: beta for returns, gamma for purchases."""
    chain = _chain(fit)
    return replace(
        chain,
        returns=np.clip(rng.beta(chain.bought, chain.not_bought), 0.0, 1.0),
        purchases=1 + rng.standard_gamma(chain.further) / chain.periods,
    )


def probability_alive(fit: PurchaseFit, x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> Floats:
    """Chance that a client buys again within ``AGAIN_WITHIN_MONTHS``; histories in days."""
    chain = _chain(fit)
    found: Floats = _again(chain)[_states(chain, x, t_x, T)]
    return found


def forecast(fit: PurchaseFit, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizons_days: ArrayLike) -> tuple[Floats, Floats]:
    """Expected purchases until each horizon, and the chance to buy within a year of it; linear within a period.

    Arguments are those of ``btyd_prediction.forecast``, which asks this module for its family.
    """
    chain = _chain(fit)
    ahead = as_columns(horizons_days)[0] / chain.period_days
    steps = int(np.ceil(np.max(ahead, initial=0.0))) + 1
    kind, silence = _states(chain, x, t_x, T)
    purchases, again = np.zeros((steps + 1, *chain.returns.shape)), np.zeros((steps + 1, *chain.returns.shape))
    again[0] = _again(chain)
    for step in range(1, steps + 1):
        purchases[step] = _step(chain, purchases[step - 1], chain.purchases[:, None])
        again[step] = _step(chain, again[step - 1], np.zeros((2, 1)))
    below = np.floor(ahead).astype(int)
    part = ahead - below
    found = []
    for table in (purchases, again):
        by_state = table[:, kind, silence].T
        found.append(by_state[:, below] * (1 - part) + by_state[:, below + 1] * part)
    return found[0], found[1]


def simulate(
    fit: PurchaseFit, x: ArrayLike, t_x: ArrayLike, T: ArrayLike, horizon_days: float, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """One future of each client under the chances of ``fit`` (``drawn`` draws those too), as ``btyd_simulation.Fates`` has it.

    The share of the horizon after which it left is here the one in which it was to buy again within a year.
    """
    chain = _chain(fit)
    length = horizon_days / chain.period_days
    periods, year = int(np.ceil(length)), _periods_of_a_year(chain)
    kind, silence = (places.copy() for places in _states(chain, x, t_x, T))
    size, last_state = len(kind), chain.returns.shape[1] - 1
    made = np.zeros((periods + year, size))
    for period in range(periods + year):
        buys = rng.random(size) < chain.returns[kind, silence]
        made[period] = np.where(buys, 1 + rng.poisson(chain.purchases[kind] - 1), 0)
        silence = np.where(buys, 0, np.minimum(silence + 1, last_state))
        kind = np.where(buys, _REPEAT, kind)
    # Every period's end looks a year ahead.
    ever = np.cumsum(np.vstack([np.zeros(size), made > 0]), axis=0)
    again = (ever[year + 1 : periods + year + 1] > ever[1 : periods + 1]).astype(np.float64)
    within = made[:periods]
    weights = np.minimum(length - np.arange(periods), 1.0)[:, None]
    within = np.where(weights < 1, rng.binomial(within.astype(int), np.broadcast_to(weights, within.shape)), within)
    bought = within.sum(axis=0)
    middle = (np.arange(periods)[:, None] + weights / 2) / max(length, 1e-12)
    places = np.divide((within * middle).sum(axis=0), bought, out=np.zeros(size), where=bought > 0)
    return bought, (again * weights).sum(axis=0) / max(length, 1e-12), places


def chances(fit: PurchaseFit) -> pd.DataFrame:
    """The chain as a table: a row per number of ``periods`` of silence with the chance to return of either kind of buyer."""
    chain = _chain(fit)
    return pd.DataFrame(
        {
            "periods": np.arange(chain.returns.shape[1]),
            "one_time_share": chain.returns[_ONCE],
            "repeat_share": chain.returns[_REPEAT],
        }
    )


def _sums_from(counts: Floats) -> Floats:
    """Of each kind, the sum over a state and all of longer silence."""
    return np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]


def _step(chain: ChainFit, before: Floats, at_purchase: Floats) -> Floats:
    """Expectation one period further back: after a purchase a client is a repeat buyer without silence."""
    stays = np.column_stack([before[:, 1:], before[:, -1]])
    found: Floats = chain.returns * (at_purchase + before[_REPEAT, 0]) + (1 - chain.returns) * stays
    return found


def _again(chain: ChainFit) -> Floats:
    """Chance of a purchase within a year, by kind and silence."""
    none = np.ones(chain.returns.shape)
    for _ in range(_periods_of_a_year(chain)):
        none = (1 - chain.returns) * np.column_stack([none[:, 1:], none[:, -1]])
    return 1 - none


def _periods_of_a_year(chain: ChainFit) -> int:
    return max(1, round(AGAIN_WITHIN_MONTHS * DAYS_PER_MONTH / chain.period_days))


def _states(chain: ChainFit, x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    repeats, last, age = as_columns(x, t_x, T)
    silence = np.floor((age - last) / chain.period_days).astype(np.int64)
    return (repeats > 0).astype(np.int64), np.minimum(silence, chain.returns.shape[1] - 1)


def _chain(fit: PurchaseFit) -> ChainFit:
    if not isinstance(fit, ChainFit):
        raise ValueError(f"{fit.family} is no recency chain")
    return fit
