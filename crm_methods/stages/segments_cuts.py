"""The cuts of the matrix: where high revenue and high cost begin, by each reading of the cost axis. A room of stage 2."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods.company.settings import Company
from crm_methods.engine import collect

READINGS = {
    "beyond_size": "beyond what a client's size usually costs",
    "absolute": "in absolute terms",
    "per_revenue": "per unit of revenue",
}
"""The readings of the cost axis, in words."""


@dataclass(frozen=True, slots=True, eq=False)
class Cuts:
    """Cut values of both axes, and the line of usual cost: log cost = intercept + slope · log revenue."""

    revenue: float
    costs: Mapping[str, float]
    intercept: float
    slope: float
    median_cost: float
    cost_axis: str

    @classmethod
    def of(cls, axis: nw.LazyFrame[Any], settings: Company, knows_cost: bool) -> Cuts:
        """Medians and the regression, from sums and medians counted in the engine."""
        buying = axis.filter(nw.col("axis_revenue") > 0)
        revenue = settings.segments.revenue_cut
        revenue_cut = _median(buying, "axis_revenue") if revenue == "median" else float(revenue)
        if not knows_cost:
            return cls(revenue_cut, {}, math.nan, math.nan, math.nan, "unknown")
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
        return cls(
            revenue_cut,
            {**medians, **({chosen: float(own)} if own != "median" else {})},
            intercept,
            slope,
            cuts.median_cost,
            chosen,
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
    spread = float(sums["xx"] - sums["x"] ** 2)
    if spread <= 1e-12 * max(1.0, float(sums["xx"])):
        return math.nan, math.nan
    # Rounded, so that the order in which an engine adds up moves no client across the line.
    slope = round(float(sums["xy"] - sums["x"] * sums["y"]) / spread, 9)
    return round(float(sums["y"]) - slope * float(sums["x"]), 9), slope
