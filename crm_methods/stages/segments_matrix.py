"""The revenue × cost-to-serve matrix, its cuts, and the strategy of every cell: a room of stage 2."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import current_period
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import STRATEGY_LABELS, segment_label
from crm_methods.engine import collect
from crm_methods.stages.segments import evenly_spread
from crm_methods.stages.segments_cuts import READINGS, Cuts
from crm_methods.stages.segments_hysteresis import held_cells, held_words
from crm_methods.stages.segments_periods import Periods

MAX_POINTS = 2_000
_REVENUE_AXES = {"deals": "revenue", "size": "size of the client's business", "expected": "expected revenue"}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Matrix(Answer):
    """The revenue × cost-to-serve matrix.

    ``summary`` has one row per segment: ``table`` and ``clients_share``; ``idle_clients`` are those without revenue,
    ``inactive_clients`` those with neither revenue nor cost to serve in the period.
    ``cells`` (lazy) has one row per client: ``client_id``, ``axis_revenue``, ``axis_cost``, ``revenue_level``,
    ``cost_level``, ``state``, ``segment``, ``strategy`` (levels and segment after hysteresis), ``segment_by_cut`` (without
    it) and ``previous_segment``, where the client stood in the period before by the same cuts (missing where the data don't
    reach back). ``held_clients`` are those whose segment is another than by the cuts.
    ``before`` (lazy) has one row per client: ``client_id``, ``axis_revenue`` and ``cost_to_serve`` of the period before; None
    where the data don't reach back. ``readings`` has one row per reading of the cost axis; ``points`` at most 2,000 clients
    to draw.
    """

    cells: nw.LazyFrame[Any]
    summary: pd.DataFrame
    readings: pd.DataFrame
    points: pd.DataFrame
    revenue_cut: float
    cost_cut: float
    revenue_axis: str
    cost_axis: str
    cuts: Cuts
    before: nw.LazyFrame[Any] | None
    held_clients: int


@answers("segments.matrix")
def matrix(
    data: Canonical,
    settings: Company,
    economics: nw.LazyFrame[Any],
    expected: nw.LazyFrame[Any] | None = None,
    periods: Periods | None = None,
) -> Matrix:
    """Where each client stands on revenue × cost to serve, and the strategy that follows.

    A client is *costly* when its cost to serve is beyond what a client of its revenue usually costs (the residual of
    log cost on log revenue), or by the reading that ``segments.cost_axis`` names. Equal clients land together.
    Clients without revenue are of low revenue, and costly when they cost more than the median client.
    A client next to a cut that was placed in the period before keeps the level it had there by the same cuts:
    ``segments.hysteresis`` standard deviations of the axis, on its log scale, to either side.

    Parameters
    ----------
    economics
        One row per client (``client_economics``).
    expected
        ``client_id`` and ``expected_revenue``, for ``segments.revenue_axis: expected``.
    periods
        The period and the one before (``segments_periods.two_periods``); None for cells by the cuts alone.
    """
    axis = _revenue_axis(data, settings, economics, expected)
    knows_cost = bool(collect(axis.select(nw.col("cost_to_serve").max()))["cost_to_serve"].notna().any())
    cuts = Cuts.of(axis, settings, knows_cost)
    cells = axis.with_columns(axis_cost=cuts.cost_value(cuts.cost_axis), state=_state()).with_columns(
        revenue_level=cuts.revenue_level(), cost_level=cuts.cost_level(cuts.cost_axis)
    )
    before = _before(data, settings, expected, periods)
    cells = cells.with_columns(segment_by_cut=_segment(cuts))
    held = cells if before is None or periods is None else held_cells(cells, before, cuts, settings, periods.knows_cost_before)
    cells = (
        held.with_columns(segment=_segment(cuts), previous_segment=_previous_segment(cuts, before))
        .with_columns(strategy=_strategy(settings))
        .select(
            "client_id", "axis_revenue", "axis_cost", "revenue_level", "cost_level", "state", "segment", "strategy",
            "segment_by_cut", "previous_segment",
        )
    )  # fmt: skip
    joined = cells.join(economics, on="client_id", how="left")
    summary = _summary(joined)
    kept = int(collect(cells.filter(nw.col("segment") != nw.col("segment_by_cut")).select(n=nw.len()))["n"].iloc[0])
    return Matrix(
        sentence=_matrix_sentence(summary, cuts, settings) + held_words(kept, settings, cuts, periods),
        table=summary.drop(columns="clients_share"),
        caption=f"Segments, {current_period(settings).label}",
        labels={
            "idle_clients": f"Of these without {_REVENUE_AXES[settings.segments.revenue_axis]}",
            "inactive_clients": "Of these not active in the period",
            "contribution": "Margin − cost to serve",
        },
        cells=cells,
        summary=summary,
        readings=_readings(axis, cuts)
        if knows_cost
        else pd.DataFrame(columns=["reading", "clients_in_another_cell", "clients_share"]),
        points=_points(joined),
        revenue_cut=cuts.revenue,
        cost_cut=cuts.cost(cuts.cost_axis),
        revenue_axis=_REVENUE_AXES[settings.segments.revenue_axis],
        cost_axis=cuts.cost_axis,
        cuts=cuts,
        before=before,
        held_clients=kept,
    )


def matrix_readings(found: Matrix) -> Answer:
    """Same base, three readings: how many clients change cell when the cost axis is read differently."""
    if found.readings.empty:
        said = "Without cost to serve there is one axis, and nothing to read in another way."
        return Answer(sentence=said, table=pd.DataFrame(), caption="")
    others = found.readings[found.readings["reading"] != found.cost_axis]
    moved = [f"{formats.number(row.clients_in_another_cell)} ({formats.share(row.clients_share)})" for row in others.itertuples()]
    words = [f"{count} if it were read {READINGS[reading]}" for count, reading in zip(moved, others["reading"], strict=True)]
    sentence = f"Cost is read {READINGS[found.cost_axis]}; clients in another cell: {formats.join(words)}."
    table = found.readings.assign(reading=[READINGS[r] for r in found.readings["reading"]])
    return Answer(
        sentence=sentence,
        table=table,
        caption="Same base, three readings of the cost axis",
        labels={"clients_share": "Share of clients"},
    )


def _revenue_axis(
    data: Canonical, settings: Company, economics: nw.LazyFrame[Any], expected: nw.LazyFrame[Any] | None
) -> nw.LazyFrame[Any]:
    """``economics`` with ``axis_revenue``: period revenue, size of the client's business, or expected revenue."""
    match settings.segments.revenue_axis:
        case "size":
            size = nw.col("turnover") if data.has("clients", "turnover") else nw.col("employees")
            sizes = data.scan("clients").select("client_id", axis_revenue=size.cast(nw.Float64).fill_null(0.0))
            return economics.join(sizes, on="client_id", how="left")
        case "expected" if expected is not None:
            ahead = expected.select("client_id", axis_revenue=nw.col("expected_revenue").fill_null(0.0))
            return economics.join(ahead, on="client_id", how="left").with_columns(nw.col("axis_revenue").fill_null(0.0))
    return economics.with_columns(axis_revenue=nw.col("revenue"))


def _state() -> nw.Expr:
    """What to know of a client before any logarithm is taken."""
    revenue, margin = nw.col("axis_revenue"), nw.col("margin")
    return (
        nw.when(revenue < 0).then(nw.lit("returns_exceed_purchases"))
        .when(revenue == 0).then(nw.lit("no_revenue"))
        .when(margin < 0).then(nw.lit("negative_margin"))
        .otherwise(nw.lit("buying"))
    )  # fmt: skip


def _before(
    data: Canonical, settings: Company, expected: nw.LazyFrame[Any] | None, periods: Periods | None
) -> nw.LazyFrame[Any] | None:
    """Both axes of the period before; size and expected revenue are what they are now."""
    if periods is None or periods.economics_before is None:
        return None
    axis = _revenue_axis(data, settings, periods.economics_before, expected)
    cost = nw.col("cost_to_serve") if periods.knows_cost_before else nw.lit(None, nw.Float64)
    return axis.select("client_id", nw.col("axis_revenue").fill_null(0.0), cost_to_serve=cost)


def _previous_segment(cuts: Cuts, before: nw.LazyFrame[Any] | None) -> nw.Expr:
    return nw.lit(None, nw.String) if before is None else _segment(cuts, "before")


def _segment(cuts: Cuts, which: str = "level") -> nw.Expr:
    if math.isnan(cuts.revenue) and cuts.cost_axis == "unknown":
        return nw.lit("all")
    levels = [(r, c) for r in ("high", "low") for c in ("low", "high", "unknown")]
    segment: nw.Expr = nw.lit("low_low")
    for revenue, cost in levels:
        here = (nw.col(f"revenue_{which}") == revenue) & (nw.col(f"cost_{which}") == cost)
        segment = nw.when(here).then(nw.lit(f"{revenue}_{cost}")).otherwise(segment)
    return segment


def _strategy(settings: Company) -> nw.Expr:
    """The cell's strategy; where cost is not known, that of the cell with low cost."""
    cells: dict[str, str] = {cell: follows for cell, follows in settings.segments.strategies.items()}  # noqa: C416
    cells |= {"high_unknown": cells["high_low"], "low_unknown": cells["low_low"], "all": cells["low_low"]}
    strategy: nw.Expr = nw.lit(cells["low_low"])
    for segment, follows in cells.items():
        strategy = nw.when(nw.col("segment") == segment).then(nw.lit(follows)).otherwise(strategy)
    return strategy


def _summary(joined: nw.LazyFrame[Any]) -> pd.DataFrame:
    sums = [nw.col(c).sum() for c in ("revenue", "margin", "cost_to_serve", "contribution")]
    known = [nw.col(c).count().alias(f"{c}_known") for c in ("margin", "cost_to_serve", "contribution")]
    idle = nw.when(nw.col("axis_revenue") > 0).then(nw.lit(0)).otherwise(nw.lit(1)).sum().alias("idle_clients")
    is_inactive = (nw.col("revenue").fill_null(0.0) == 0) & (nw.col("cost_to_serve").fill_null(0.0) == 0)
    inactive = nw.when(is_inactive).then(nw.lit(1)).otherwise(nw.lit(0)).sum().alias("inactive_clients")
    counts = [nw.len().alias("clients"), idle, inactive]
    table = collect(joined.group_by("segment", "strategy").agg(*counts, *sums, *known).sort("segment"))
    for column in ("margin", "cost_to_serve", "contribution"):
        table[column] = table[column].where(table.pop(f"{column}_known") > 0)
    total = float(table["revenue"].sum())
    shares = table.assign(
        clients=table["clients"].astype("int64"),
        idle_clients=table["idle_clients"].astype("int64"),
        inactive_clients=table["inactive_clients"].astype("int64"),
        clients_share=table["clients"] / max(1, table["clients"].sum()),
        revenue_share=table["revenue"] / total if total > 0 else math.nan,
    )
    columns = ["segment", "strategy", "clients", "clients_share", "idle_clients", "inactive_clients", "revenue", "revenue_share"]
    return shares[[*columns, "margin", "cost_to_serve", "contribution"]]


def _matrix_sentence(summary: pd.DataFrame, cuts: Cuts, settings: Company) -> str:
    if cuts.cost_axis == "unknown":
        return _one_axis_sentence(summary, cuts, settings)
    words = [_best_words(summary), _costly_words(summary, settings.currency), f"{_border_words(cuts, settings)}."]
    idle, chosen = int(summary["idle_clients"].sum()), _REVENUE_AXES[settings.segments.revenue_axis]
    if idle:
        count = f"{formats.plural(idle, 'client')} without {chosen} {'counts' if idle == 1 else 'count'}"
        words.append(f"{count} as low, and as costly where serving one costs more than serving the median client.")
    words.append(_inactive_words(summary, "low_low", "neither revenue nor cost"))
    return " ".join(word for word in words if word)


def _inactive_words(summary: pd.DataFrame, segment: str, what: str) -> str:
    """How many clients of a segment nothing happened with; empty where that is nobody."""
    rows = summary[summary["segment"] == segment]
    clients, inactive = int(rows["clients"].sum()), int(rows["inactive_clients"].sum())
    if not inactive:
        return ""
    of = f"{formats.number(inactive)} of {formats.plural(clients, 'client')} in “{segment_label(segment)}”"
    one = inactive == 1
    return f"{of} {'was' if one else 'were'} not active in the period: {'it' if one else 'they'} had {what}."


def _one_axis_sentence(summary: pd.DataFrame, cuts: Cuts, settings: Company) -> str:
    count, axis = int(summary["clients"].sum()), _REVENUE_AXES[settings.segments.revenue_axis]
    clients, one = formats.plural(count, "client"), count == 1
    if math.isnan(cuts.revenue):
        where = f"{clients} without {axis} in the period {'stays' if one else 'stay'} in one group"
    else:
        above = _revenue_text(cuts.revenue, settings)
        where = f"{clients} {'is' if one else 'are'} divided by {axis} alone, high above {above}"
    said = f"{where}; no cost to serve is known, so the strategy “{STRATEGY_LABELS['cut_costs']}” can't be told apart."
    return " ".join(word for word in (said, _inactive_words(summary, "low_unknown", "no revenue")) if word)


def _best_words(summary: pd.DataFrame) -> str:
    best = summary.loc[summary["revenue"].idxmax()]
    if pd.isna(best["revenue_share"]):
        return f"{formats.plural(int(summary['clients'].sum()), 'client')} brought no revenue in the period."
    share, clients = formats.share(best["revenue_share"]), formats.share(best["clients_share"])
    return f"“{segment_label(best['segment'])}” brings {share} of revenue with {clients} of clients."


def _costly_words(summary: pd.DataFrame, currency: str) -> str:
    """What low revenue at high cost brings, costs and leaves; nothing where nobody is there."""
    costly = summary[summary["segment"] == "low_high"]
    if costly.empty:
        return ""
    row = costly.iloc[0]
    brought = [f"{formats.money_short(row['revenue'], currency)} of revenue"]
    left = ""
    if pd.notna(row["contribution"]):
        brought.append(f"{formats.money_short(row['margin'], currency)} of margin")
        left = f", which leaves {formats.money_short(row['contribution'], currency)}"
    one = row["clients"] == 1
    cost = formats.money_short(row["cost_to_serve"], currency)
    return (
        f"{formats.plural(row['clients'], 'client')} in “{segment_label('low_high')}” {'brings' if one else 'bring'} "
        f"{formats.join(brought)} and {'costs' if one else 'cost'} {cost} to serve{left}."
    )


def _border_words(cuts: Cuts, settings: Company) -> str:
    border = cuts.cost(cuts.cost_axis)
    usual = _REVENUE_AXES[settings.segments.revenue_axis]
    costly = {
        "beyond_size": f"it is more than {formats.number(_times(border), 2)} times what clients of the same {usual} usually cost",
        "absolute": f"it is above {formats.money(border, settings.currency)}",
        "per_revenue": f"it is above {formats.share(border)} of {usual}",
    }[cuts.cost_axis]
    if math.isnan(border) or math.isnan(cuts.revenue):
        return "No client has both revenue and cost to serve, so the cuts can't be drawn"
    asked = settings.segments.cost_axis
    instead = f" (clients are too few or too alike to read cost {READINGS[asked]})" if asked != cuts.cost_axis else ""
    high = f"{usual[:1].upper()}{usual[1:]} is high above {_revenue_text(cuts.revenue, settings)}"
    return f"{high}; cost to serve is high when {costly}{instead}"


def _times(log_ratio: float) -> float:
    return math.exp(min(log_ratio, 50.0))


def _revenue_text(value: float, settings: Company) -> str:
    return formats.number(value) if settings.segments.revenue_axis == "size" else formats.money(value, settings.currency)


def _readings(axis: nw.LazyFrame[Any], cuts: Cuts) -> pd.DataFrame:
    """One row per reading of the cost axis: how many clients it puts into another cell than the chosen one."""
    levels = axis.select(*(cuts.cost_level(reading).alias(reading) for reading in cuts.costs))
    changed = {
        reading: nw.when(nw.col(reading) == nw.col(cuts.cost_axis)).then(nw.lit(0)).otherwise(nw.lit(1)).sum()
        for reading in cuts.costs
    }
    counts = collect(levels.select(nw.len().alias("clients"), **{f"moved_{r}": e for r, e in changed.items()})).iloc[0]
    moved = [int(counts[f"moved_{reading}"]) for reading in cuts.costs]
    return pd.DataFrame(
        {
            "reading": list(cuts.costs),
            "clients_in_another_cell": moved,
            "clients_share": [m / max(1, int(counts["clients"])) for m in moved],
        }
    )


def _points(joined: nw.LazyFrame[Any]) -> pd.DataFrame:
    """At most 2,000 clients with both axes, evenly spread over the ids."""
    placed = joined.filter(nw.col("axis_revenue") > 0, ~nw.col("axis_cost").is_null())
    columns = ("client_id", "axis_revenue", "axis_cost", "cost_to_serve", "segment")
    return collect(evenly_spread(placed.select(*columns), MAX_POINTS).sort("client_id"))
