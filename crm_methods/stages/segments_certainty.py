"""How sure each client's cell of the matrix is: the period drawn anew, many times. A room of stage 2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import SEGMENT_LABELS
from crm_methods.models.period_resampling import PARTS, drawn_periods
from crm_methods.stages.segments_cuts import Flags, Floats
from crm_methods.stages.segments_matrix import Matrix
from crm_methods.stages.segments_periods import Periods, first_part, in_columns, in_memory

SURE = 0.9
COIN_TOSS = 0.6
FEWEST_PARTS = 4
"""Parts of the period with history below which nothing can be drawn."""
_STREAM = 41


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Certainty(Answer):
    """How sure the map is.

    ``clients`` (lazy) has one row per client: ``client_id``, ``p_cell`` (the share of draws in which it is in the segment
    that the matrix shows) and ``p_strategy`` (in a segment of the same strategy), 0–1; missing where it was not drawn: without
    revenue and cost in the period, or with all of it in one part.
    ``table`` has one row per segment: ``segment``, ``clients``, ``active_clients`` (with revenue or cost in the period),
    ``judged_clients`` (of these, drawn), and of these ``mean_certainty_share``, ``sure_clients`` and ``toss_up_clients``.
    """

    clients: nw.LazyFrame[Any]


@answers("segments.certainty")
def certainty(
    data: Canonical, settings: Company, economics: nw.LazyFrame[Any], found: Matrix, periods: Periods
) -> Certainty | Unanswered:
    """Each client's probability of being in its cell, by what its own period varies.

    The period's twelve parts (those from the base's first deal or contact on) are drawn anew with replacement, each client's
    for itself; then medians, the line of usual cost
    and the band of hysteresis are drawn anew from all of them. In simulation the probability says, to within a few points, how
    often a client's long-run level, too, lies on the shown side of the cut. A client without revenue or cost in the period is
    the same in every draw, and one whose revenue (without any, its cost) is all in one part, a yearly bill say, would be gone
    in a third of them: neither has a probability. Where such clients are the rule, the answer can't be given.

    Parameters
    ----------
    economics
        One row per client (``segments.client_economics``).
    found
        The matrix of the period.
    periods
        The period and the one before (``segments_periods.two_periods``), as the matrix was given them.
    """
    moves = settings.segments.revenue_axis == "deals"
    if moves and not periods.is_dated:
        return Unanswered("segments.certainty", "no deal is dated, so the period can't be drawn anew.", ("deals.closed_on",))
    if not moves and not periods.knows_cost:
        reason = "size and expected revenue have no parts to draw, and no cost to serve is known."
        return Unanswered("segments.certainty", reason, ("interactions of the period",))
    rows, count, parts = in_memory(_rows(economics, found)), int(found.summary["clients"].sum()), periods.parts
    if len(rows) < count:
        parts = parts.join(data.engine.frame(rows[["client_id"]]), on="client_id", how="inner")
    revenue, cost = in_columns(parts, rows, "revenue", "cost_to_serve")
    begins = first_part(data, periods.current)
    if PARTS - begins < FEWEST_PARTS:
        reason = f"the base has a history in {formats.number(PARTS - begins)} of the {PARTS} parts of the period, and "
        return Unanswered("segments.certainty", f"{reason}{FEWEST_PARTS} are the least to draw from.", ("a longer history",))
    revenue, cost = _from_part(begins, revenue), _from_part(begins, cost)
    busy = _busy_parts(revenue, cost, moves)
    if busy.any() and np.median(busy[busy > 0]) <= 1:
        n, once = int((busy > 0).sum()), int((busy == 1).sum())
        reason = (
            f"of {formats.plural(n, 'active client')} {formats.number(once)} have all of their revenue, or cost, in one of the "
            f"{PARTS} parts of the period, and one part doesn't tell how much a client varies."
        )
        return Unanswered("segments.certainty", reason, ("a longer period (segments.period_months)",))
    p_cell, p_strategy = _shares(rows, revenue, cost, found, settings, periods.knows_cost_before)
    told = rows[["client_id", "segment"]].assign(p_cell=p_cell, p_strategy=p_strategy, active=busy > 0, judged=busy > 1)
    told[["p_cell", "p_strategy"]] = told[["p_cell", "p_strategy"]].where(told["judged"])
    frame = data.engine.frame(told[["client_id", "p_cell", "p_strategy"]])
    return Certainty(
        sentence=_sentence(told, count, PARTS - begins, settings),
        table=_by_segment(told),
        caption=f"How sure the cells are, {periods.current.label}",
        labels={
            "judged_clients": "Active in more than one part",
            "mean_certainty_share": "Mean probability of the cell",
            "sure_clients": f"Surely there ({formats.share(SURE)} or more)",
            "toss_up_clients": f"A coin toss (below {formats.share(COIN_TOSS)})",
        },
        clients=economics.select("client_id").join(frame, on="client_id", how="left"),
    )


def _rows(economics: nw.LazyFrame[Any], found: Matrix) -> nw.LazyFrame[Any]:
    """One row per client: where it stands, its revenue and cost, and both axes of the period before."""
    levels = found.cells.select("client_id", "axis_revenue", "segment", "revenue_level", "cost_level")
    rows = economics.select("client_id", "revenue", "cost_to_serve").join(levels, on="client_id", how="left")
    if found.before is None:
        return rows.with_columns(revenue_before=nw.lit(0.0), cost_before=nw.lit(0.0))
    before = found.before.select("client_id", revenue_before=nw.col("axis_revenue"), cost_before=nw.col("cost_to_serve"))
    return rows.join(before, on="client_id", how="left")


def _from_part(begins: int, parts: Floats) -> Floats:
    """The parts from ``begins`` on; what stands before, such as undated cost, is spread evenly over them."""
    kept: Floats = parts[:, begins:] + parts[:, :begins].sum(axis=1, keepdims=True) / (PARTS - begins)
    return kept


def _busy_parts(revenue: Floats, cost: Floats, moves: bool) -> NDArray[np.int64]:
    """In how many parts each client has revenue, or where it has none (or revenue is not drawn) revenue or cost."""
    sold = (revenue != 0).sum(axis=1)
    either = ((revenue != 0) | (cost != 0)).sum(axis=1)
    busy: NDArray[np.int64] = np.where((sold > 0) & moves, sold, either)
    return busy


def _shares(
    rows: pd.DataFrame, revenue: Floats, cost: Floats, found: Matrix, settings: Company, by_cost: bool
) -> tuple[Floats, Floats]:
    """The shares of draws in which each client is in its segment, and in one of the same strategy."""
    before = found.cuts.places(*(rows[name].fillna(0.0).to_numpy(dtype=float) for name in ("revenue_before", "cost_before")))
    high_revenue, high_cost = ((rows[name] == "high").to_numpy() for name in ("revenue_level", "cost_level"))
    strategies = _strategy_numbers(settings)
    strategy = strategies[2 * high_revenue + high_cost]
    fixed = None if settings.segments.revenue_axis == "deals" else rows["axis_revenue"].fillna(0.0).to_numpy(dtype=float)
    rng = np.random.default_rng([settings.seed, _STREAM])
    draws, same_cell, same_strategy = settings.segments.bootstraps, np.zeros(len(rows)), np.zeros(len(rows))
    for drawn_revenue, drawn_cost in drawn_periods((revenue, cost), draws, rng):
        axis = drawn_revenue if fixed is None else fixed
        cuts = found.cuts.redrawn(axis, drawn_cost, settings)
        levels: tuple[Flags, Flags] = cuts.held(cuts.places(axis, drawn_cost), before, settings.segments.hysteresis, cost=by_cost)
        same_cell += (levels[0] == high_revenue) & (levels[1] == high_cost)
        same_strategy += strategies[2 * levels[0] + levels[1]] == strategy
    return same_cell / draws, same_strategy / draws


def _strategy_numbers(settings: Company) -> NDArray[np.int64]:
    """A number per cell for its strategy, in the order low-low, low-high, high-low, high-high."""
    strategies = settings.segments.strategies
    chosen = [strategies.get(cell, strategies["low_low"]) for cell in ("low_low", "low_high", "high_low", "high_high")]
    return np.array([chosen.index(strategy) for strategy in chosen])


def _by_segment(told: pd.DataFrame) -> pd.DataFrame:
    judged = told.assign(sure=told["p_cell"] >= SURE, toss_up=told["p_cell"] < COIN_TOSS)
    table = judged.groupby("segment").agg(
        clients=("p_cell", "size"),
        active_clients=("active", "sum"),
        judged_clients=("judged", "sum"),
        mean_certainty_share=("p_cell", "mean"),
        sure_clients=("sure", "sum"),
        toss_up_clients=("toss_up", "sum"),
    )
    ordered = [segment for segment in SEGMENT_LABELS if segment in table.index]
    return table.loc[ordered].reset_index()


def _sentence(told: pd.DataFrame, count: int, parts: int, settings: Company) -> str:
    draws, drawn, active = formats.number(settings.segments.bootstraps), len(told), told[told["judged"]]
    n, idle, once = len(active), int((~told["active"]).sum()), int((told["active"] & ~told["judged"]).sum())
    if active.empty:
        return f"No client has revenue or cost in the period, so nothing varies in {draws} draws of it."
    sure, toss_up = int((active["p_cell"] >= SURE).sum()), int((active["p_cell"] < COIN_TOSS).sum())
    same = int((active["p_strategy"] >= SURE).sum())
    judged = " that can be judged" if once else ""
    known = "" if parts == PARTS else " in which history exists"
    said = [
        f"Had the {parts} parts of the period{known} come otherwise ({draws} draws), an active client would on average be in "
        f"its cell in {formats.share(active['p_cell'].mean())} of cases.",
        f"Of {formats.plural(n, 'active client')}{judged} {formats.number(sure)} {_is(sure)} surely there ({formats.share(SURE)} "
        f"or more), and {formats.number(toss_up)} {_is(toss_up)} there by little more than the toss of a coin (below "
        f"{formats.share(COIN_TOSS)}).",
        f"{formats.number(same)} ({formats.share(same / n)}) would follow the same strategy in {formats.share(SURE)} of draws or "
        "more.",
    ]
    if settings.segments.revenue_axis != "deals":
        said.append("Only cost is drawn anew: the axis of revenue has no parts.")
    if idle:
        words = formats.plural(idle, "client")
        said.append(f"{words} without revenue or cost in the period can't vary and {_is(idle)} left out.")
    if once:
        words = formats.plural(once, "client")
        said.append(
            f"{words} with all revenue, or cost, in one part (a yearly bill, say) can't be judged and {_is(once)} left out."
        )
    if drawn < count:
        said.append(f"Of {formats.number(count)} clients an evenly spread {formats.number(drawn)} were drawn, and only these.")
    return " ".join(said)


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
