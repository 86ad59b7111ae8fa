"""Figures of stage 2."""

from __future__ import annotations

import math

from crm_methods import formats
from crm_methods.company.answers import Answer
from crm_methods.company.vocabulary import segment_label
from crm_methods.reports.charts.bars import stacked_bars
from crm_methods.reports.charts.house import Chart, Formatter
from crm_methods.reports.charts.intervals import forest
from crm_methods.reports.charts.lines import share_curve
from crm_methods.reports.charts.matrices import quadrants
from crm_methods.stages.segments import CostToServe, WhaleCurve
from crm_methods.stages.segments_matrix import Matrix


def capacity(answer: CostToServe, currency: str) -> Chart:
    """What clients used of each pool, what nobody used, and what no activity explains."""
    parts = {
        "allocated_cost": "Used by clients",
        "unused_cost": "Unused capacity",
        "not_allocated_cost": "Not explained by activity",
    }
    table = answer.table
    unused, total = float(table["unused_cost"].sum()), float(table["cost"].sum())
    title = (
        f"{formats.share(unused / total)} of the cost is capacity that nobody used"
        if unused > 0
        else "No capacity is left unused" if table["allocated_cost"].sum() > 0 else "None of the cost can be given to clients"
    )  # fmt: skip
    pools = [f"{row.pool} {formats.money_short(row.cost, currency)}" for row in table.itertuples()]
    return stacked_bars(
        table,
        x="pool",
        parts=list(parts),
        labels=parts,
        form=_money(currency),
        x_form=formats.heading,
        title=title,
        alt=f"Stacked columns, one per cost pool: {formats.join(pools)}.",
        axis="Cost in the period",
    )


def whale_curve(answer: WhaleCurve, currency: str) -> Chart:
    """Cumulative contribution, from the most to the least profitable client."""
    curve = answer.curve
    peak = curve.loc[curve["cumulative_margin_share"].idxmax()]
    height = float(peak["cumulative_margin_share"])
    passes = height > 1.0005
    best, given = formats.share(peak["client_share"]), formats.share(height - 1)
    title = (
        f"The best {best} of clients earn {formats.share(height)} of the {answer.measure}; the rest give back {given}"
        if passes
        else "No client takes back what others earn"
    )
    return share_curve(
        curve,
        x="client_share",
        y="cumulative_margin_share",
        title=title,
        x_axis="Clients, from the most to the least profitable",
        y_axis=f"Cumulative share of {answer.measure}",
        mark=(float(peak["client_share"]), height, formats.share(height)) if passes else None,
        alt=f"Curve of cumulative shares: it peaks at {formats.share(height)} after {best} of clients and ends at 100%.",
    )


def matrix(answer: Matrix, currency: str) -> Chart | None:
    """Every client on revenue × cost to serve; None where one of the axes is not known."""
    if answer.points.empty:
        return None
    beyond = answer.cost_axis == "beyond_size"
    forms: dict[str, tuple[str, Formatter]] = {
        "beyond_size": ("Cost to serve, beside the usual for this size", _times),
        "absolute": ("Cost to serve", _money(currency)),
        "per_revenue": ("Cost to serve per unit of revenue", formats.share),
    }
    y_axis, y_form = forms[answer.cost_axis]
    # Distances in logarithms are drawn as multiples on a log scale, where a reader can name them.
    points = answer.points.assign(axis_cost=[math.exp(v) for v in answer.points["axis_cost"]]) if beyond else answer.points
    summary = answer.summary.set_index("segment")
    shares, best = summary["clients_share"], str(summary["revenue"].idxmax())
    drawn, clients = len(points), int(summary["clients"].sum())
    brings = f"{formats.share(summary['revenue_share'][best])} of revenue from {formats.share(shares[best])} of clients"
    return quadrants(
        points,
        x="axis_revenue",
        y="axis_cost",
        x_cut=answer.revenue_cut,
        y_cut=math.exp(answer.cost_cut) if beyond else answer.cost_cut,
        group="segment",
        x_axis=f"{answer.revenue_axis[:1].upper()}{answer.revenue_axis[1:]} (log scale)",
        y_axis=y_axis,
        x_form=formats.number if answer.revenue_axis.startswith("size") else _money(currency),
        y_form=y_form,
        log="xy",
        title=f"“{segment_label(best)}”: {brings}",
        alt="Scatter of clients on revenue and cost to serve, cut into four cells: "
        + formats.join([f"{segment_label(str(s))} {formats.share(v)} of clients" for s, v in shares.items()])
        + ".",
        note=f"One point per client, {formats.number(drawn)} of {formats.number(clients)}: those with both revenue and "
        "cost to serve. The dashed lines are the cuts.",
    )


def equity(answer: Answer, currency: str) -> Chart:
    """Customer equity by segment with its interval."""
    name = "equity" if "equity" in answer.table else "equity_revenue"
    table = answer.table.assign(segment=["The whole base" if s == "all" else segment_label(s) for s in answer.table["segment"]])
    groups = table[table["segment"] != "The whole base"]
    best = groups.loc[groups[name].idxmax()] if len(groups) else table.iloc[0]
    values = [f"{row.segment} {formats.money_short(getattr(row, name), currency)}" for row in table.itertuples()]
    most = "is worth most" if name == "equity" else "will bring most"
    return forest(
        table,
        label="segment",
        estimate=name,
        low=f"{name}_low",
        high=f"{name}_high",
        form=_money(currency),
        title=f"“{best['segment']}” {most}: {formats.money_short(best[name], currency)}",
        alt=f"Estimates with 95% intervals: {formats.join(values)}.",
        highlight=["The whole base"],
        reference=0.0,
    )


def _money(currency: str) -> Formatter:
    return lambda value: formats.money_short(value, currency)


def _times(multiple: float) -> str:
    return f"×{formats.number(multiple, 2 if multiple < 0.1 else 1 if multiple < 10 else 0)}"
