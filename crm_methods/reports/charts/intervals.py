"""Estimates with their intervals, one under the other."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from crm_methods.formats import interval
from crm_methods.reports.charts.house import GREY, INK, MUTED, TEAL, Chart, Formatter, canvas, format_axis, style, wrap


def forest(
    table: pd.DataFrame,
    *,
    label: str,
    estimate: str,
    low: str,
    high: str,
    form: Formatter,
    title: str,
    alt: str,
    highlight: Collection[str] | None = None,
    reference: float | None = 0.0,
    permitted: tuple[float, float] | None = None,
    axis: str = "",
    note: str = "",
) -> Chart:
    """A point and its interval per row, in the table's order from the top, with the numbers beside it.

    Parameters
    ----------
    table
        One row per estimate.
    label, estimate, low, high
        Columns with its name, the point and the ends of its interval.
    form
        Writes the numbers.
    highlight
        Names drawn in the house colour while all others are grey; every one by default.
    reference
        Where a dashed line stands (no effect); None for none.
    permitted
        A shaded range the estimates should lie in.
    axis
        Name of the horizontal axis with its unit.
    title, alt, note
        The words of the chart.
    """
    names = table[label].astype(str).tolist()
    middles = table[estimate].to_numpy(dtype=float)
    lows, highs = table[low].to_numpy(dtype=float), table[high].to_numpy(dtype=float)
    fills = [TEAL if highlight is None or name in highlight else GREY for name in names]
    with style():
        figure, axes = canvas(height=1.0 + 0.38 * len(names))
        if permitted is not None:
            axes.axvspan(*permitted, color="#3f8f6b", alpha=0.12, linewidth=0)
        places = np.arange(len(names))
        axes.hlines(places, lows, highs, colors=fills, linewidth=2.4)
        axes.scatter(middles, places, s=42, c=fills, zorder=3)
        for place, (middle, start, end) in enumerate(zip(middles, lows, highs, strict=True)):
            axes.annotate(
                f"{form(middle)}  ({interval(start, end, form)})", (1.015, place), va="center",
                xycoords=("axes fraction", "data"), color=INK, fontsize=9.5, annotation_clip=False,
            )  # fmt: skip
        if reference is not None:
            axes.axvline(reference, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_yticks(places, [wrap(name) for name in names])
        axes.set_ylim(max(len(names), 1) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(axis)
        format_axis(axes.xaxis, form)
    return Chart(figure, title, alt, note)
