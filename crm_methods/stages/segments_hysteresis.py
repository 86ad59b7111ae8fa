"""Hysteresis: next to a cut of the matrix a client keeps the level it had in the period before. A room of stage 2.

Without it most clients that change cell have only crossed a line next to which they stood all the time.
"""

from __future__ import annotations

import math
from typing import Any

import narwhals as nw

from crm_methods import formats
from crm_methods.company.settings import Company
from crm_methods.stages.segments_cuts import Cuts
from crm_methods.stages.segments_periods import Periods


def held_cells(
    cells: nw.LazyFrame[Any], before: nw.LazyFrame[Any], cuts: Cuts, settings: Company, by_cost: bool
) -> nw.LazyFrame[Any]:
    """``cells`` with the levels after hysteresis, and those of the period before by the same cuts.

    Parameters
    ----------
    cells
        One row per client: ``axis_revenue``, ``cost_to_serve``, and ``revenue_level`` and ``cost_level`` by the cuts.
    before
        One row per client: ``axis_revenue`` and ``cost_to_serve`` of the period before.
    by_cost
        Whether a cost of the period before is known; else nobody's level of cost is held.

    Returns
    -------
    narwhals.LazyFrame
        ``cells`` with the levels after hysteresis, and ``revenue_before`` and ``cost_before``.
    """
    bought, served = nw.col("axis_revenue") > 0, nw.col("cost_to_serve").fill_null(0.0) > 0
    known = before.with_columns(nw.col("cost_to_serve").fill_null(0.0)).select(
        "client_id",
        revenue_before=cuts.revenue_level(),
        cost_before=cuts.cost_level(cuts.cost_axis),
        has_revenue=nw.when(bought).then(nw.lit(1)).otherwise(nw.lit(0)),
        has_cost=nw.when(bought & served).then(nw.lit(1)).otherwise(nw.lit(0)),
    )
    bands = {"revenue": cuts.revenue_spread, "cost": cuts.cost_spread}
    widths = {axis: settings.segments.hysteresis * (width if math.isfinite(width) else 0.0) for axis, width in bands.items()}
    joined = cells.with_columns(from_revenue=cuts.revenue_distance(), from_cost=cuts.cost_distance()).join(
        known, on="client_id", how="left"
    )
    return joined.with_columns(
        revenue_level=_kept("revenue", widths["revenue"]), cost_level=_kept("cost", widths["cost"] if by_cost else 0.0)
    ).with_columns(cost_before=nw.col("cost_before" if by_cost else "cost_level"))


def held_words(held: int, settings: Company, cuts: Cuts, periods: Periods | None) -> str:
    """How many clients the band keeps in their cell, or why it keeps nobody."""
    width = settings.segments.hysteresis
    if periods is None or width == 0:
        return ""
    if periods.economics_before is None:
        return f" Nobody is held where it was before: {periods.reason}."
    near = f"within {formats.number(width, 2)} standard deviations of a cut"
    one = held == 1
    said = f" {formats.plural(held, 'client')} {near} {'is' if one else 'are'} where {'it was' if one else 'they were'} before."
    if not held:
        said = f" No client is held where it was before by standing {near}."
    if cuts.cost_axis != "unknown" and not periods.knows_cost_before:
        said += f" Levels of cost are not held: {periods.reason_cost}."
    if settings.segments.revenue_axis == "expected":
        said += " Expected revenue has no earlier value, so its levels are not held."
    return said


def _kept(axis: str, width: float) -> nw.Expr:
    """The level by the cut, or next to it the one of the period before."""
    now, distance = nw.col(f"{axis}_level"), nw.col(f"from_{axis}")
    if width == 0:
        return now
    near = (distance.fill_null(2 * width).abs() <= width) & (nw.col(f"has_{axis}").fill_null(0) == 1)
    return nw.when(near).then(nw.col(f"{axis}_before")).otherwise(now)
