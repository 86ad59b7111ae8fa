"""Two dimensions at once: the heat map, and clients on a matrix of quadrants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crm_methods.company.vocabulary import segment_label
from crm_methods.formats import NOTHING, heading
from crm_methods.reports.charts.house import (
    INK,
    MAX_VECTOR_POINTS,
    MUTED,
    Chart,
    Formatter,
    canvas,
    colours,
    format_axis,
    in_order,
    legend,
    style,
    wrap,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def heat_map(
    table: pd.DataFrame,
    *,
    row: str,
    columns: list[str],
    form: Formatter,
    title: str,
    alt: str,
    labels: Mapping[str, str] = {},
    limits: tuple[float, float] | None = None,
    centre: float | None = None,
    x_axis: str = "",
    y_axis: str = "",
    note: str = "",
) -> Chart:
    """A cell per row and column, darker for more, with its number in it; nothing stays white.

    Parameters
    ----------
    table
        One row per row of the map.
    row, columns
        Column with the row's name, and the numeric columns in order from the left.
    form
        Writes the numbers.
    labels
        Names of the columns as the reader should see them.
    limits
        Values of the palest and darkest colour; those of the data by default.
    centre
        Value drawn white between two colours, for numbers with a sign; replaces ``limits``.
    x_axis, y_axis
        Names of the axes.
    title, alt, note
        The words of the chart.
    """
    # costs a second to import, and most stages don't need it
    import seaborn as sns

    cells = table[columns].astype(float).to_numpy()
    if not len(table):
        return _empty(title, alt, note)
    low, high = limits or (None, None)
    if centre is not None:
        reach = max(abs(np.nanmin(cells) - centre), abs(np.nanmax(cells) - centre), 1e-12)
        low, high = centre - reach, centre + reach
    crowded = len(columns) > 14
    with style():
        figure, axes = canvas(height=1.1 + 0.36 * len(table))
        sns.heatmap(
            pd.DataFrame(cells), ax=axes, cbar=crowded, vmin=low, vmax=high, linewidths=1.2, linecolor="white",
            cmap=_diverging() if centre is not None else _sequential(),
        )  # fmt: skip
        if not crowded:
            _write_cells(axes, cells, form)
        names = [wrap(labels.get(column, heading(column)), 12) for column in columns]
        every = max(1, -(-len(columns) // 14))
        axes.set_xticks(np.arange(len(columns))[::every] + 0.5, names[::every], rotation=0)
        axes.set_yticks(np.arange(len(table)) + 0.5, [wrap(name) for name in table[row]], rotation=0)
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.set_xlabel(x_axis)
        axes.set_ylabel(y_axis)
    return Chart(figure, title, alt, note)


def quadrants(
    points: pd.DataFrame,
    *,
    x: str,
    y: str,
    x_cut: float,
    y_cut: float,
    x_axis: str,
    y_axis: str,
    x_form: Formatter,
    y_form: Formatter,
    title: str,
    alt: str,
    group: str | None = None,
    corners: Mapping[str, str] = {},
    labels: Mapping[str, str] = {},
    log: str = "",
    note: str = "",
) -> Chart:
    """A point per client on two axes, cut into four quadrants.

    Parameters
    ----------
    points
        One row per client (a few thousand at most).
    x, y, group
        Columns with the place, the height, and what colours the point (``segment``, say).
    x_cut, y_cut
        Where the dashed lines stand.
    corners
        Text in the corners; keys ``top_left``, ``top_right``, ``bottom_left``, ``bottom_right``.
    labels
        Names of the groups; segments name themselves.
    log
        Axes on a log scale: ``""``, ``"x"``, ``"y"`` or ``"xy"``; points at or below zero are not drawn there.
    x_form, y_form, x_axis, y_axis
        Write the numbers and name the axes with their units.
    title, alt, note
        The words of the chart.
    """
    groups = [""] if group is None else in_order(points[group].astype(str).unique())
    colour_of = colours(groups)
    many = len(points) > MAX_VECTOR_POINTS
    with style():
        figure, axes = canvas(height=4.4)
        for name in groups:
            rows = points if group is None else points[points[group].astype(str) == name]
            axes.scatter(
                rows[x].to_numpy(dtype=float), rows[y].to_numpy(dtype=float), s=14 if many else 22,
                color=colour_of[name], alpha=0.65, linewidths=0, rasterized=many,
                label=labels.get(name, segment_label(name)),
            )  # fmt: skip
        if "x" in log:
            axes.set_xscale("log")
        if "y" in log:
            axes.set_yscale("log")
        axes.axvline(x_cut, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.axhline(y_cut, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        for corner, text in corners.items():
            top, right = corner.startswith("top"), corner.endswith("right")
            axes.annotate(
                text, (0.985 if right else 0.015, 0.98 if top else 0.02), xycoords="axes fraction",
                ha="right" if right else "left", va="top" if top else "bottom", color=INK,
                fontsize=9.5, fontweight="bold",
                bbox={"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
            )  # fmt: skip
        axes.set_xlabel(x_axis)
        axes.set_ylabel(y_axis)
        _format_numbers(axes.xaxis, x_form, "x" in log)
        _format_numbers(axes.yaxis, y_form, "y" in log)
        if group is not None:
            legend(figure, [labels.get(name, segment_label(name)) for name in groups])
    return Chart(figure, title, alt, note)


def _empty(title: str, alt: str, note: str) -> Chart:
    with style():
        figure, axes = canvas(height=1.4)
        axes.set_axis_off()
    return Chart(figure, title, alt, note)


def _write_cells(axes: Axes, cells: np.ndarray[Any, np.dtype[np.float64]], form: Formatter) -> None:
    """Each cell's number, dark or light as its ground demands (contrast of at least 4.5)."""
    fills = axes.collections[0].to_rgba(cells)
    linear = np.where(fills[..., :3] <= 0.04045, fills[..., :3] / 12.92, ((fills[..., :3] + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    for (row, column), value in np.ndenumerate(cells):
        known = np.isfinite(value)
        dark_ground = known and luminance[row, column] < 0.2
        axes.text(
            column + 0.5, row + 0.5, form(float(value)) if known else NOTHING, ha="center", va="center",
            fontsize=9, color="white" if dark_ground else "black",
        )  # fmt: skip


def _format_numbers(axis: Any, form: Formatter, on_log_scale: bool) -> None:
    if not on_log_scale:
        format_axis(axis, form)
        return
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(numticks=6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: form(float(value))))
    axis.set_minor_formatter(NullFormatter())


def _sequential() -> object:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("house", ["#f2f6fa", "#8fb8cc", "#0b4f6c"])


def _diverging() -> object:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("house_signed", ["#a23b4a", "#ffffff", "#0b4f6c"])
