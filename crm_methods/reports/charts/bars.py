"""Bars: ranked, in a bridge, stacked by month."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from crm_methods.formats import heading
from crm_methods.reports.charts.house import (
    GREY,
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
    wrap,
)


def horizontal_bars(
    table: pd.DataFrame,
    *,
    label: str,
    length: str,
    form: Formatter,
    title: str,
    alt: str,
    highlight: Collection[str] | None = None,
    reference: tuple[float, str] | None = None,
    axis: str = "",
    note: str = "",
) -> Chart:
    """A bar per row, in the table's order from the top, with its number beside it.

    Parameters
    ----------
    table
        One row per bar.
    label, length
        Columns with the bar's name and its length.
    form
        Writes the numbers, such as ``lambda x: formats.money_short(x, "EUR")``.
    title, alt, note
        The words of the chart.
    highlight
        Names drawn in the house colour while all others are grey; every bar by default.
    reference
        A dashed line at a value, with its name.
    axis
        Name of the horizontal axis with its unit.
    """
    names, lengths = table[label].astype(str).tolist(), table[length].astype(float).to_numpy()
    fills = [TEAL if highlight is None or name in highlight else GREY for name in names]
    with style():
        figure, axes = canvas(height=0.9 + 0.36 * len(names))
        places = np.arange(len(names))
        bars = axes.barh(places, np.nan_to_num(lengths), height=0.72, color=fills)
        texts = [form(float(value)) for value in lengths]
        axes.bar_label(bars, labels=texts, padding=4, color=INK, fontsize=9.5)
        axes.set_yticks(places, [wrap(name) for name in names])
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.margins(x=0.14)
        axes.axvline(0, color=MUTED, linewidth=0.8)
        if reference is not None:
            axes.axvline(reference[0], color=RED, linewidth=1.2, linestyle=(0, (4, 3)))
            axes.annotate(
                reference[1],
                (reference[0], 1),
                xycoords=("data", "axes fraction"),
                xytext=(3, 2),
                textcoords="offset points",
                color=RED,
                fontsize=9,
            )
        axes.set_xlabel(axis)
        format_axis(axes.xaxis, form)
    return Chart(figure, title, alt, note)


def waterfall(
    table: pd.DataFrame,
    *,
    step: str,
    change: str,
    totals: Collection[str],
    form: Formatter,
    title: str,
    alt: str,
    labels: Mapping[str, str] = {},
    note: str = "",
) -> Chart:
    """A bridge from an opening to a closing figure, one column per step in the table's order.

    Parameters
    ----------
    table
        One row per step; losses are negative.
    step, change
        Columns with the step's name and its signed size.
    totals
        Steps that stand on zero (opening, closing); each other one hangs where the last ended.
    form
        Writes the numbers.
    labels
        Names of steps as the reader should see them.
    title, alt, note
        The words of the chart.
    """
    names, sizes = table[step].astype(str).tolist(), table[change].astype(float).tolist()
    ends: list[float] = []
    for name, size in zip(names, sizes, strict=True):
        ends.append(size if name in totals or not ends else ends[-1] + size)
    bottoms = [0.0 if n in totals else e - s for n, s, e in zip(names, sizes, ends, strict=True)]
    fills = [TEAL if n in totals else "#3f8f6b" if s >= 0 else RED for n, s in zip(names, sizes, strict=True)]
    with style():
        figure, axes = canvas(height=3.6)
        axes.bar(range(len(names)), sizes, bottom=bottoms, color=fills, width=0.66)
        for place, (size, bottom, end) in enumerate(zip(sizes, bottoms, ends, strict=True)):
            signed = form(size) if names[place] in totals or size < 0 else f"+{form(size)}"
            axes.annotate(
                signed,
                (place, max(bottom, end)),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=9.5,
                color=INK,
            )
            if place + 1 < len(names):
                axes.plot([place + 0.33, place + 0.67], [end, end], color=MUTED, linewidth=0.9)
        axes.set_xticks(range(len(names)), [wrap(labels.get(name, heading(name)), 13) for name in names])
        axes.tick_params(axis="x", length=0)
        axes.grid(axis="x", visible=False)
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.margins(y=0.1)
        format_axis(axes.yaxis, form)
    return Chart(figure, title, alt, note)


def stacked_bars(
    table: pd.DataFrame,
    *,
    x: str,
    parts: Sequence[str],
    form: Formatter,
    x_form: object,
    title: str,
    alt: str,
    labels: Mapping[str, str] = {},
    fills: Mapping[str, str] | None = None,
    line: str | None = None,
    axis: str = "",
    note: str = "",
) -> Chart:
    """A column per row, made of parts on top of each other; negative parts hang below zero.

    Parameters
    ----------
    table
        One row per column, in order (a month, say).
    x, parts
        Column with the name of the column, and the numeric columns that make it up.
    form, x_form
        Write the numbers and the names under the columns (such as ``formats.month``).
    labels
        Names of the parts and the line as the reader should see them.
    fills
        Colour of each part; the house palette by default.
    line
        Numeric column drawn as a line over the columns (supplied capacity, say).
    axis
        Name of the vertical axis with its unit.
    title, alt, note
        The words of the chart.
    """
    write = x_form if callable(x_form) else str
    fill_of = dict(fills or colours(parts))
    places = np.arange(len(table))
    above, below = np.zeros(len(table)), np.zeros(len(table))
    with style():
        figure, axes = canvas(height=3.4)
        for part in parts:
            sizes = np.nan_to_num(table[part].to_numpy(dtype=float))
            bottoms = np.where(sizes >= 0, above, below)
            name = labels.get(part, heading(part))
            axes.bar(places, sizes, bottom=bottoms, color=fill_of[part], width=0.8, label=name)
            above, below = above + np.maximum(sizes, 0), below + np.minimum(sizes, 0)
        if line is not None:
            limit = table[line].to_numpy(dtype=float)
            axes.plot(places, limit, color=INK, linewidth=1.6, label=labels.get(line, heading(line)))
        every = max(1, -(-len(table) // 9))
        axes.set_xticks(places[::every], [wrap(write(value), 12) for value in table[x].iloc[::every]])
        axes.grid(axis="x", visible=False)
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.set_ylabel(axis)
        format_axis(axes.yaxis, form)
        legend(figure, [labels.get(name, heading(name)) for name in [*parts, *([line] if line else [])]])
    return Chart(figure, title, alt, note)
