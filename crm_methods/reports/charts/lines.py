"""Lines: over time, with an interval around them, and cumulative shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from crm_methods import formats
from crm_methods.reports.charts.house import (
    INK,
    MUTED,
    RED,
    TEAL,
    Chart,
    Formatter,
    canvas,
    colours,
    format_axis,
    legend,
    style,
)


def lines(
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    form: Formatter,
    title: str,
    alt: str,
    series: str | None = None,
    low: str | None = None,
    high: str | None = None,
    labels: Mapping[str, str] = {},
    references: Mapping[str, float] = {},
    x_form: Formatter | None = None,
    x_axis: str = "",
    y_axis: str = "",
    note: str = "",
) -> Chart:
    """A line per series, named at its end, with a band where an interval is given.

    Parameters
    ----------
    table
        One row per point, sorted by ``x`` within each series.
    x, y
        Columns with the place (date or number) and the height.
    series
        Column that tells the lines apart; one line without it.
    low, high
        Columns with the ends of each point's interval.
    labels
        Names of the series as the reader should see them.
    references
        Dashed horizontal lines: name → height (limits of a control chart, a target).
    form, x_form
        Write the heights and the places (dates write themselves).
    x_axis, y_axis
        Names of the axes with their units.
    title, alt, note
        The words of the chart.
    """
    groups = [("", table)] if series is None else [(str(k), g) for k, g in table.groupby(series, sort=False)]
    colour_of = colours([name for name, _ in groups])
    with style():
        figure, axes = canvas(height=3.4)
        for name, rows in groups:
            colour = colour_of[name] if series else TEAL
            places, heights = rows[x].to_numpy(), rows[y].to_numpy(dtype=float)
            axes.plot(places, heights, color=colour, linewidth=1.8, label=labels.get(name, name))
            if low is not None and high is not None:
                ends = rows[low].to_numpy(dtype=float), rows[high].to_numpy(dtype=float)
                axes.fill_between(places, *ends, color=colour, alpha=0.16, linewidth=0)
        for name, height in references.items():
            axes.axhline(height, color=RED, linewidth=1.1, linestyle=(0, (4, 3)))
            axes.annotate(
                name, (1, height), xycoords=("axes fraction", "data"), xytext=(-3, 3), ha="right",
                textcoords="offset points", color=RED, fontsize=9,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
            )  # fmt: skip
        axes.set_xlabel(x_axis)
        axes.set_ylabel(y_axis)
        format_axis(axes.yaxis, form)
        if x_form is not None:
            format_axis(axes.xaxis, x_form)
        elif pd.api.types.is_datetime64_any_dtype(table[x]):
            _format_dates(axes.xaxis)
        if len(groups) > 1:
            legend(figure, [labels.get(name, name) for name, _ in groups])
    return Chart(figure, title, alt, note)


def share_curve(
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    title: str,
    alt: str,
    x_axis: str,
    y_axis: str,
    diagonal: bool = False,
    mark: tuple[float, float, str] | None = None,
    note: str = "",
) -> Chart:
    """A cumulative curve of shares against shares: whale curve, Lorenz curve.

    Parameters
    ----------
    table
        One row per point, sorted by ``x``.
    x, y
        Columns with shares (0–1); ``y`` may pass 1 or fall below 0.
    diagonal
        Draw the line of equal shares.
    mark
        A point to name: its place, its height and its text (the peak of a whale curve).
    x_axis, y_axis
        Names of the axes.
    title, alt, note
        The words of the chart.
    """
    places, heights = table[x].to_numpy(dtype=float), table[y].to_numpy(dtype=float)
    with style():
        figure, axes = canvas(height=3.6)
        axes.plot(places, heights, color=TEAL, linewidth=2)
        axes.fill_between(places, heights, color=TEAL, alpha=0.08, linewidth=0)
        axes.axhline(1, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.axhline(0, color=MUTED, linewidth=0.8)
        if diagonal:
            axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9)
        if mark is not None:
            axes.plot([mark[0]], [mark[1]], "o", color=RED, markersize=6)
            side, shift = ("right", -8) if mark[0] > 0.55 else ("left", 8)
            axes.annotate(
                mark[2],
                mark[:2],
                xytext=(shift, 8),
                textcoords="offset points",
                ha=side,
                color=INK,
                fontsize=9.5,
            )
        axes.set_xlim(0, 1)
        axes.margins(y=0.12)
        axes.set_xlabel(x_axis)
        axes.set_ylabel(y_axis)
        format_axis(axes.xaxis, formats.share)
        format_axis(axes.yaxis, formats.share)
    return Chart(figure, title, alt, note)


def _format_dates(axis: Any) -> None:
    from matplotlib.dates import AutoDateLocator, DateFormatter

    axis.set_major_locator(AutoDateLocator(minticks=3, maxticks=8))  # type: ignore[no-untyped-call]
    axis.set_major_formatter(DateFormatter("%b %Y"))  # type: ignore[no-untyped-call]
