"""The cuts of the matrix: where high revenue and high cost begin, by each reading of the cost axis. A room of stage 2."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_methods.company.settings import Company
from crm_methods.engine import collect

READINGS = {
    "beyond_size": "beyond what a client's size usually costs",
    "absolute": "in absolute terms",
    "per_revenue": "per unit of revenue",
}
"""The readings of the cost axis, in words."""

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
_AT_THE_CUT = 1e-9
"""Nearer to a cut than this is at it, and so low: engines and numpy round a logarithm differently."""


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where clients stand, in arrays of one shape.

    ``high_revenue`` and ``high_cost`` are the levels by the cuts alone; ``revenue`` and ``cost`` the distances from the
    cut on the log scale, NaN where a client has no place on the axis. ``judged_cost`` is what the level of cost is judged
    by: the distance, for clients without revenue that from the median cost, and −∞ without any cost.
    """

    high_revenue: Flags
    high_cost: Flags
    revenue: Floats
    cost: Floats
    judged_cost: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Cuts:
    """Cut values of both axes, and the line of usual cost: log cost = intercept + slope · log revenue.

    ``revenue_spread`` and ``cost_spread`` are the standard deviations of clients along the axes, on the log scale.
    """

    revenue: float
    costs: Mapping[str, float]
    intercept: float
    slope: float
    median_cost: float
    cost_axis: str
    revenue_spread: float = math.nan
    cost_spread: float = math.nan

    @classmethod
    def of(cls, axis: nw.LazyFrame[Any], settings: Company, knows_cost: bool) -> Cuts:
        """Medians and the regression, from sums and medians counted in the engine."""
        buying = axis.filter(nw.col("axis_revenue") > 0)
        revenue = settings.segments.revenue_cut
        revenue_cut = _median(buying, "axis_revenue") if revenue == "median" else float(revenue)
        revenue_spread = _spread(buying.select(value=nw.col("axis_revenue").log()))
        if not knows_cost:
            return cls(revenue_cut, {}, math.nan, math.nan, math.nan, "unknown", revenue_spread)
        paired = buying.filter(nw.col("cost_to_serve") > 0).with_columns(
            lx=nw.col("axis_revenue").log(), ly=nw.col("cost_to_serve").log()
        )
        intercept, slope = _usual_cost(paired)
        # Without a line of usual cost (all clients of one size, or a handful) cost is read in absolute terms.
        chosen = (
            settings.segments.cost_axis if math.isfinite(slope) or settings.segments.cost_axis != "beyond_size" else "absolute"
        )
        cuts = cls(revenue_cut, {}, intercept, slope, _median(axis.filter(nw.col("cost_to_serve") > 0), "cost_to_serve"), chosen)
        readings = [reading for reading in READINGS if math.isfinite(slope) or reading != "beyond_size"]
        medians = {reading: _median(paired.with_columns(value=cuts.cost_value(reading)), "value") for reading in readings}
        own = settings.segments.cost_cut
        place = cuts.cost_value(chosen)
        return cls(
            revenue_cut,
            {**medians, **({chosen: float(own)} if own != "median" else {})},
            intercept,
            slope,
            cuts.median_cost,
            chosen,
            revenue_spread,
            _spread(paired.select(value=place if chosen == "beyond_size" else place.log())),
        )

    def cost(self, reading: str) -> float:
        """The cut of one reading of the cost axis; missing where no cost is known."""
        return self.costs.get(reading, math.nan)

    def cost_value(self, reading: str) -> nw.Expr:
        """A client's place on the cost axis; missing without revenue or cost."""
        cost, revenue = nw.col("cost_to_serve"), nw.col("axis_revenue")
        both = (cost > 0) & (revenue > 0)
        safe_cost, safe_revenue = (nw.when(both).then(c).otherwise(nw.lit(1.0)) for c in (cost, revenue))
        values = {
            "beyond_size": safe_cost.log() - (safe_revenue.log() * self.slope + self.intercept),
            "absolute": safe_cost,
            "per_revenue": safe_cost / safe_revenue,
            "unknown": nw.lit(None, nw.Float64),
        }
        return nw.when(both).then(values[reading]).otherwise(nw.lit(None, nw.Float64))

    def revenue_level(self) -> nw.Expr:
        """``high`` above the cut, else ``low``; missing where the axis is."""
        if math.isnan(self.revenue):
            return nw.lit("low")
        return nw.when(nw.col("axis_revenue") > self.revenue).then(nw.lit("high")).otherwise(nw.lit("low"))

    def cost_level(self, reading: str) -> nw.Expr:
        """``high`` above the cut, else ``low``; a client without revenue is held against the median cost."""
        if reading == "unknown":
            return nw.lit("unknown")
        cost = nw.col("cost_to_serve")
        idle = nw.when(cost > self.median_cost).then(nw.lit("high")).otherwise(nw.lit("low"))
        buying = nw.when(self.cost_value(reading) > self.cost(reading)).then(nw.lit("high")).otherwise(nw.lit("low"))
        return nw.when((nw.col("axis_revenue") > 0) & (cost > 0)).then(buying).otherwise(idle)

    def revenue_distance(self) -> nw.Expr:
        """How far above the cut of revenue a client stands, on the log scale; missing without a place on the axis."""
        revenue = nw.col("axis_revenue")
        if not self.revenue > 0:
            return nw.lit(None, nw.Float64)
        safe = nw.when(revenue > 0).then(revenue).otherwise(nw.lit(self.revenue))
        return nw.when(revenue > 0).then(safe.log() - math.log(self.revenue)).otherwise(nw.lit(None, nw.Float64))

    def cost_distance(self) -> nw.Expr:
        """How far above the cut of cost a client stands, on the log scale; missing without a place on the axis."""
        cut = self.cost(self.cost_axis)
        if self.cost_axis == "beyond_size":
            return self.cost_value(self.cost_axis) - (cut if math.isfinite(cut) else 0.0)
        if not cut > 0:
            return nw.lit(None, nw.Float64)
        return self.cost_value(self.cost_axis).log() - math.log(cut)

    def places(self, revenue: Floats, cost: Floats) -> Places:
        """Levels and distances of clients in memory, by the same rules as the expressions above.

        Parameters
        ----------
        revenue, cost
            What ``axis_revenue`` and ``cost_to_serve`` hold; no missing values. Shapes that broadcast.
        """
        revenue, cost = np.broadcast_arrays(revenue, cost)
        buying, served = revenue > 0, cost > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            log_revenue, log_cost = np.log(revenue), np.log(cost)
            from_cut = np.where(buying, log_revenue - np.log(self.revenue), np.nan)
            from_usual = np.where(buying & served, self._cost_from_cut(log_revenue, log_cost), np.nan)
            idle = np.where(served, log_cost - np.log(self.median_cost), -np.inf)
        judged = np.where(buying & served, from_usual, idle)
        # Comparisons with NaN are false: where there is no cut, everybody is low.
        return Places(
            high_revenue=revenue > self.revenue + _AT_THE_CUT * abs(self.revenue),
            high_cost=(judged > _AT_THE_CUT) & (self.cost_axis != "unknown"),
            revenue=from_cut,
            cost=from_usual,
            judged_cost=judged,
        )

    def held(self, now: Places, before: Places, hysteresis: float, *, cost: bool = True) -> tuple[Flags, Flags]:
        """Levels of revenue and cost after hysteresis: next to a cut a client keeps the level it had before.

        Parameters
        ----------
        now, before
            Places in the period and in the one before, by the same cuts.
        hysteresis
            Half the width of the band around each cut, in standard deviations of the axis.
        cost
            Whether a cost of the period before is known.
        """
        high_revenue = _held(now.high_revenue, now.revenue, before.high_revenue, before.revenue, hysteresis * self.revenue_spread)
        if not cost:
            return high_revenue, now.high_cost
        return high_revenue, _held(now.high_cost, now.cost, before.high_cost, before.cost, hysteresis * self.cost_spread)

    def redrawn(self, revenue: Floats, cost: Floats, settings: Company) -> Cuts:
        """The cuts of a base drawn anew from this one, in memory; what can't be drawn from it stays.

        Parameters
        ----------
        revenue, cost
            As for ``places``, one value per client.
        """
        log_revenue = np.log(revenue[revenue > 0])
        drawn = replace(self, revenue_spread=float(log_revenue.std()) if log_revenue.size else self.revenue_spread)
        if settings.segments.revenue_cut == "median" and log_revenue.size:
            drawn = replace(drawn, revenue=float(np.median(revenue[revenue > 0])))
        paired = (revenue > 0) & (cost > 0)
        if self.cost_axis == "unknown" or not paired.any():
            return drawn
        drawn = replace(drawn, median_cost=float(np.median(cost[cost > 0])))
        log_revenue, log_cost = np.log(revenue[paired]), np.log(cost[paired])
        if self.cost_axis == "beyond_size":
            intercept, slope = _line(log_revenue, log_cost)
            drawn = replace(drawn, intercept=intercept, slope=slope) if math.isfinite(slope) else drawn
        # With a cut of 1 (0 on the log scale) the distance from it is the place itself.
        one = replace(drawn, costs={self.cost_axis: 0.0 if self.cost_axis == "beyond_size" else 1.0})
        value = one._cost_from_cut(log_revenue, log_cost)
        drawn = replace(drawn, cost_spread=float(value.std()))
        if settings.segments.cost_cut != "median":
            return drawn
        middle = np.median(value if self.cost_axis == "beyond_size" else np.exp(value))
        return replace(drawn, costs={self.cost_axis: float(middle)})

    def _cost_from_cut(self, log_revenue: Floats, log_cost: Floats) -> Floats:
        cut = self.cost(self.cost_axis)
        if self.cost_axis == "beyond_size":
            return log_cost - (self.intercept + self.slope * log_revenue) - cut
        from_cut: Floats = log_cost - np.log(max(cut, 0.0))
        return from_cut - log_revenue if self.cost_axis == "per_revenue" else from_cut


def _held(high: Flags, distance: Floats, high_before: Flags, distance_before: Floats, band: float) -> Flags:
    """The level by the cut, but next to it, with a place in both periods, the level of the period before."""
    return np.where((np.abs(distance) <= band) & ~np.isnan(distance_before), high_before, high)


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    """Intercept and slope by least squares of points in memory; missing where x does not vary."""
    return _least_squares(len(x), float(x.mean()), float(y.mean()), float((x * x).mean()), float((x * y).mean()))


def _median(frame: nw.LazyFrame[Any], column: str) -> float:
    value = collect(frame.select(nw.col(column).median()))[column]
    return float(value.iloc[0]) if len(value) and pd.notna(value.iloc[0]) else math.nan


def _usual_cost(paired: nw.LazyFrame[Any]) -> tuple[float, float]:
    """Intercept and slope of log cost on log revenue by least squares; missing where revenue does not vary."""
    sums = collect(
        paired.select(
            n=nw.len(),
            x=nw.col("lx").mean(),
            y=nw.col("ly").mean(),
            xx=(nw.col("lx") * nw.col("lx")).mean(),
            xy=(nw.col("lx") * nw.col("ly")).mean(),
        )
    ).iloc[0]
    if sums["n"] < 3:
        return math.nan, math.nan
    return _least_squares(*(float(sums[name]) for name in ("n", "x", "y", "xx", "xy")))


def _least_squares(count: float, x: float, y: float, xx: float, xy: float) -> tuple[float, float]:
    """Intercept and slope from the means of x, y, x² and x·y."""
    if count < 3:
        return math.nan, math.nan
    spread = xx - x**2
    if spread <= 1e-12 * max(1.0, xx):
        return math.nan, math.nan
    # Rounded, so that the order in which an engine adds up moves no client across the line.
    slope = round((xy - x * y) / spread, 9)
    return round(y - slope * x, 9), slope


def _spread(values: nw.LazyFrame[Any]) -> float:
    """The standard deviation of ``value``; missing without any."""
    means = collect(values.select(x=nw.col("value").mean(), xx=(nw.col("value") * nw.col("value")).mean())).iloc[0]
    if pd.isna(means["x"]):
        return math.nan
    return round(math.sqrt(max(0.0, float(means["xx"]) - float(means["x"]) ** 2)), 9)
