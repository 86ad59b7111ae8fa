"""Figures of stage 1: the revenue bridge, the base's movement, concentration, completeness and gaps."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crm_methods import formats
from crm_methods.reports.charts.bars import horizontal_bars, waterfall
from crm_methods.reports.charts.house import INK, MUTED, RED, TEAL, WIDTH_INCHES, Chart, format_axis, style
from crm_methods.reports.charts.lines import share_curve
from crm_methods.reports.charts.matrices import heat_map
from crm_methods.stages.client_base_bridge import BRIDGE_STEPS, RevenueBridge
from crm_methods.stages.client_base_fields import BLOCKS, WHOLE_TABLE
from crm_methods.stages.client_base_flow import TOP_NAMES, Cohorts, Concentration, MonthlyFlow
from crm_methods.stages.client_base_gaps import Completeness, Gaps

_GREEN = "#3f8f6b"
_PALE_GREEN = "#a9cdb9"


def revenue_bridge(bridge: RevenueBridge, currency: str) -> Chart:
    """The bridge from the opening to the closing revenue."""
    steps = bridge.steps.set_index("step")["revenue"]
    gains, losses = (steps.drop(["opening", "closing"]).clip(**side).sum() for side in ({"lower": 0}, {"upper": 0}))

    def short(value: float) -> str:
        return formats.money_short(value, currency)

    title = f"Revenue is what it was: {short(steps['closing'])}"
    if gains or losses:
        title = (
            f"{short(gains)} gained, {short(-losses)} lost: revenue of {short(steps['closing'])} after {short(steps['opening'])}"
        )
    shown = ", ".join(f"{BRIDGE_STEPS[step].lower()} {short(revenue)}" for step, revenue in steps.items())
    return waterfall(
        bridge.steps, step="step", change="revenue", totals=("opening", "closing"), form=short, labels=BRIDGE_STEPS,
        title=title, alt=f"Waterfall from the opening to the closing revenue: {shown}.", note=bridge.caption,
    )  # fmt: skip


def monthly_flow(flow: MonthlyFlow, currency: str) -> Chart:
    """Active clients above, and who came, returned and was lost below, month by month."""
    from matplotlib.figure import Figure

    drawn = flow.drawn
    first, last = drawn.iloc[0], drawn.iloc[-1]
    places = np.arange(len(drawn))
    with style():
        figure = Figure(figsize=(WIDTH_INCHES, 4.2), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1.2, 1])
        above.plot(places, drawn["active"], color=TEAL, linewidth=2)
        above.set_ylim(0, max(1.0, 1.15 * float(drawn["active"].max())))
        for place, row in ((0, first), (len(drawn) - 1, last)):
            number = formats.number(row["active"])
            above.annotate(number, (place, row["active"]), xytext=(0, 6), textcoords="offset points", ha="center", color=INK)
        above.set_ylabel("Active clients")
        below.bar(places, drawn["new"], color=_GREEN, width=0.8, label="New")
        below.bar(places, drawn["returned"], bottom=drawn["new"], color=_PALE_GREEN, width=0.8, label="Returned")
        below.bar(places, -drawn["lost"], color=RED, width=0.8, label="Lost")
        below.margins(y=0.08)
        below.axhline(0, color=MUTED, linewidth=0.8)
        below.set_ylabel("Clients per month")
        below.legend(loc="upper left", bbox_to_anchor=(0, 1.16), ncols=3, handlelength=1.2)
        every = max(1, -(-len(drawn) // 8))
        below.set_xticks(places[::every], [formats.month(month) for month in drawn["month"].iloc[::every]])
        for axes in (above, below):
            axes.grid(axis="x", visible=False)
            format_axis(axes.yaxis, lambda value: formats.number(abs(value)), ticks=5)
    moved = "stand at" if first["active"] == last["active"] else "rose to" if last["active"] > first["active"] else "fell to"
    title = f"Active clients {moved} {formats.number(last['active'])} in {formats.month(last['month'])}"
    if moved != "stand at":
        title += f", from {formats.number(first['active'])} in {formats.month(first['month'])}"
    new, returned, lost = (formats.number(drawn[name].sum()) for name in ("new", "returned", "lost"))
    alt = (
        f"Line of active clients per month. {title}. Bars below: {new} new, {returned} returned and {lost} lost"
        f" from {formats.month(first['month'])} to {formats.month(last['month'])}."
    )
    return Chart(figure, title, alt, flow.caption)


def cohorts(answer: Cohorts, currency: str) -> Chart:
    """Cohort by quarter since its first purchase: the share that bought."""
    wide = answer.map
    columns = [name for name in wide.columns if name not in {"cohort", "cohort_clients"}]
    names = [f"{c} ({formats.number(n)})" for c, n in zip(wide["cohort"], wide["cohort_clients"], strict=True)]
    # The first cohort holds all old clients: it would stretch the range of the newcomers.
    later = (wide if len(wide) == 1 else wide[wide["cohort"] != answer.old_clients])["1"].dropna()
    spread = formats.share(later.min()) if len(later) == 1 else formats.interval(later.min(), later.max(), formats.share)
    whose = "bought again" if len(later) == 1 else "bought again, depending on the cohort"
    return heat_map(
        wide.assign(row=names),
        row="row",
        columns=columns,
        labels={name: f"+{name}" for name in columns},
        form=formats.share,
        limits=(0.0, 1.0),
        title=f"In the quarter after their first purchase {spread} of clients {whose}",
        alt=f"Heat map of {formats.plural(len(wide), 'cohort')} by up to {columns[-1]} quarters. {answer.sentence}",
        x_axis="Quarters since the first purchase",
        y_axis="First purchase (clients)" if len(wide) > 3 else "",
        note=answer.caption,
    )


def concentration(answer: Concentration, currency: str) -> Chart:
    """The Lorenz curve, read from the largest client down."""
    names = min(TOP_NAMES, answer.clients)
    place = names / answer.clients
    curve = answer.curve[["client_share", "cumulative_revenue_share"]]
    from_zero = curve.iloc[[0]].assign(client_share=0.0, cumulative_revenue_share=0.0)
    title = f"The {names} largest clients bring {formats.share(answer.top_share)} of revenue"
    half = answer.curve[answer.curve["cumulative_revenue_share"] >= 0.5]["client_share"].iloc[0]
    return share_curve(
        pd.concat([from_zero, curve], ignore_index=True),
        x="client_share", y="cumulative_revenue_share", diagonal=True, title=title,
        mark=(place, answer.top_share, ""),
        x_axis="Share of clients, the largest first", y_axis="Share of revenue",
        alt=f"Lorenz curve, largest clients first: {formats.share(half)} of them bring half of the revenue. {title} (the dot).",
    )  # fmt: skip


def completeness(answer: Completeness, currency: str) -> Chart:
    """The four blocks by industry and size: the share of revenue for which their fields are filled."""
    whole = answer.map.iloc[0]
    best, worst = max(BLOCKS, key=lambda b: whole[b]), min(BLOCKS, key=lambda b: whole[b])
    high, low = formats.share(whole[best]), formats.share(whole[worst])
    title = f"Of the {BLOCKS[best].lower()} block {high} is filled in, of the {BLOCKS[worst].lower()} block {low}"
    if whole[best] == whole[worst]:
        title = f"Of every block {formats.share(whole[best])} is filled in"
    shown = ", ".join(f"{BLOCKS[block].lower()} {formats.share(whole[block])}" for block in BLOCKS)
    rows = [f"{group} ({formats.number(n)})" for group, n in zip(answer.map["group"], answer.map["clients"], strict=True)]
    return heat_map(
        answer.map.assign(group=rows), row="group", columns=list(BLOCKS), labels=BLOCKS,
        form=formats.share, limits=(0.0, 1.0), title=title,
        alt=f"Heat map of the four blocks by industry and size class; all clients: {shown}.",
        note="Mean share filled of each block's fields"
        + (", weighted by revenue; in brackets, clients with revenue" if answer.is_weighted else "; in brackets, clients"),
    )  # fmt: skip


def gaps(answer: Gaps, currency: str) -> Chart:
    """The gaps that harm most."""
    top = answer.ranked.head(len(answer.table))
    names = [_gap_label(table, column) for table, column in zip(top["table"], top["column"], strict=True)]

    def form(value: float) -> str:
        return formats.number(value, 2)

    largest = "; ".join(f"{name} {form(lost)}" for name, lost in zip(names[:5], top["questions_lost"], strict=False))
    whose = "revenue" if "gap_revenue" in answer.table.columns else "clients"
    return horizontal_bars(
        top.assign(name=names),
        label="name",
        length="questions_lost",
        form=form,
        title=f"The gap that harms most: {names[0]}" if names else "No gap harms a question",
        alt=f"Bars of questions lost: {largest}.",
        axis=f"Questions × share of {whose} concerned",
        note=answer.caption,
    )


def _gap_label(table: str, column: str) -> str:
    whole = table.replace("_", " ")
    return f"the table of {whole}" if column == WHOLE_TABLE else f"{column.replace('_', ' ').replace(' *', '')} ({whole})"
