"""Figures of stage 2 on whether the purchase model may be trusted."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer
from crm_methods.reports.charts.house import GREY, INK, MUTED, TEAL, Chart, canvas, format_axis, legend, style
from crm_methods.reports.charts.lines import lines
from crm_methods.stages.segments_validation import Calibration, Tracking, in_purchases

_LINES = ("actual", "expected", "nbd", "naive")


def tracking(answer: Tracking, currency: str) -> Chart | None:
    """Cumulative repeat purchases by month; None where there are fewer than three months to draw."""
    known = [name for name in _LINES if name in answer.table and answer.curve[name].notna().any()]
    if len(answer.curve) < 3 or answer.curve["actual"].max() <= 0:
        return None
    labels = {name: answer.labels[name] for name in known}
    long = answer.curve.melt(id_vars="month_end", value_vars=known, var_name="line", value_name="purchases")
    at_end = answer.curve.iloc[-1]
    ends = [f"{labels[name]} {formats.number(at_end[name])}" for name in known]
    chart = lines(
        long.dropna(subset=["purchases"]),
        x="month_end",
        y="purchases",
        series="line",
        labels=labels,
        form=formats.number,
        y_axis="Repeat purchases so far",
        title=_tracking_title(answer),
        alt=(
            f"Lines of cumulative repeat purchases from {formats.month(answer.curve['month_end'].iloc[0])} to "
            f"{formats.month(at_end['month_end'])}; at the end {formats.join(ends)}. "
            f"The holdout begins after {formats.date(answer.end)}."
        ),
    )
    with style():
        axes = chart.figure.axes[0]
        axes.axvline(pd.Timestamp(answer.end), color=MUTED, linewidth=1.1, linestyle=(0, (4, 3)))
        axes.annotate(
            "held out from here", (pd.Timestamp(answer.end), 0), xycoords=("data", "axes fraction"), xytext=(4, 5),
            textcoords="offset points", color=MUTED, fontsize=9,
        )  # fmt: skip
    return chart


def by_frequency(answer: Answer, currency: str) -> Chart | None:
    """Purchases in the holdout by repeat purchases before it, in fact and as expected; None for a single group."""
    table = answer.table
    if len(table) < 2:
        return None
    places = np.arange(len(table))
    with style():
        figure, axes = canvas(height=3.4)
        axes.plot(places, table["naive"], color=GREY, linewidth=1.8, label=answer.labels["naive"])
        axes.plot(places, table["expected"], color=TEAL, linewidth=2, label=answer.labels["expected"])
        axes.vlines(places, table["low"], table["high"], colors=INK, linewidth=1.4)
        axes.scatter(places, table["actual"], s=34, color=INK, zorder=3, label="In fact, with its 95% interval")
        axes.set_xticks(places, table["repeat_purchases"].tolist())
        axes.set_xlabel("Repeat purchases before the holdout")
        axes.set_ylabel("Purchases per client in the holdout")
        axes.set_ylim(bottom=0)
        format_axis(axes.yaxis, lambda value: formats.number(value, 1))
        legend(figure, [answer.labels["naive"], answer.labels["expected"], "In fact, with its 95% interval"])
    values = [
        f"{row['repeat_purchases']}: {formats.number(row['actual'], 2)} in fact, {formats.number(row['expected'], 2)} expected"
        for row in table.to_dict("records")
    ]
    alt = f"Points with intervals and lines of purchases per client by repeat purchases before: {'; '.join(values)}."
    return Chart(figure, _frequency_title(answer), alt)


def alive(answer: Calibration, currency: str) -> Chart | None:
    """Share of clients that bought in the holdout over the chance of it, by bins of P(alive); None for a single bin."""
    bins = answer.bins
    if len(bins) < 2:
        return None
    chances = bins["predicted_share"]
    with style():
        figure, axes = canvas(height=3.6)
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="Chances that come true")
        axes.vlines(chances, bins["low_share"], bins["high_share"], colors=INK, linewidth=1.4)
        axes.scatter(
            chances,
            bins["actual_share"],
            clip_on=False,
            s=34,
            color=TEAL,
            zorder=3,
            label="Clients of like chance to be alive, with the 95% interval",
        )
        axes.set_xlabel("Expected to buy in the months held out")
        axes.set_ylabel("Bought")
        axes.set_ylim(0, min(1.0, 1.12 * max(float(bins["high_share"].max()), float(chances.max()))))
        axes.set_xlim(0, min(1.0, 1.12 * float(chances.max())))
        format_axis(axes.xaxis, formats.share)
        format_axis(axes.yaxis, formats.share)
        legend(figure, ["Chances that come true", "Clients of like chance to be alive, with the 95% interval"])
    values = [
        f"{formats.share(row['actual_share'])} of {formats.plural(row['clients'], 'client')} where "
        f"{formats.share(row['predicted_share'])} were expected"
        for row in bins.to_dict("records")
    ]
    return Chart(figure, _alive_title(bins), f"Points with intervals of the share that bought: {'; '.join(values)}.")


def _tracking_title(answer: Tracking) -> str:
    return f"{in_purchases(answer.foreseen)} purchases expected in the months held out, {in_purchases(answer.followed)} made"


def _frequency_title(answer: Answer) -> str:
    judged, label = answer.table, answer.labels["expected"]
    below = judged["actual"] > judged["expected"]
    if below.all() or not below.any():
        return f"{label} expected too {'little' if below.all() else 'much'} of rare and of frequent buyers"
    nearest = (judged["expected"] - judged["actual"]).abs().sum() < (judged["naive"] - judged["actual"]).abs().sum()
    return f"{label} came {'nearer to' if nearest else 'less near to'} what clients bought than everybody's own rate"


def _alive_title(bins: pd.DataFrame) -> str:
    off = int(bins["beyond_chance"].sum())
    if not off:
        return "In every group as many bought as expected, within chance"
    return f"In {formats.number(off)} of {formats.number(len(bins))} groups more or fewer bought than expected, beyond chance"
