"""The house style of every figure, and the figure as SVG that can stand in any page.

A chart function takes numbers that are already computed, and only draws them:
``with style(): figure, axes = canvas(); …; return Chart(figure, title, alt)``.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Formatter = Callable[[float], str]

INK = "#1a2a36"
MUTED = "#51616e"
GRID = "#e3e9ee"
TEAL = "#0b4f6c"
GREY = "#b8c4ce"
PALE = "#f2f6fa"
RED = "#a23b4a"

PALETTE = ("#0b4f6c", "#d08a1d", "#3f8f6b", "#93476f", "#4a90b8", "#7c8791", "#a23b4a", "#6b5fa8")
"""Colours of groups, in order; apart also in grey and for the colour-blind."""

SEGMENT_COLOURS = {
    "high_low": "#0b4f6c",
    "high_high": "#d08a1d",
    "low_low": "#4a90b8",
    "low_high": "#93476f",
    "high_unknown": "#0b4f6c",
    "low_unknown": "#4a90b8",
    "all": "#0b4f6c",
}
"""A segment has the same colour in every figure of a run."""

WIDTH_INCHES = 7.4
MAX_VECTOR_POINTS = 300

_FONT = "DejaVu Sans"
_FONT_STACK = f"'{_FONT}', Verdana, Geneva, sans-serif"
_HOUSE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "crm-methods",
    "text.parse_math": False,  # a client may be called "$x$"
    "font.family": [_FONT],
    "font.size": 9.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelsize": 9.5,
    "axes.prop_cycle": f"cycler('color', {list(PALETTE)})",
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 150,
}


@dataclass(frozen=True, slots=True, eq=False)
class Chart:
    """A drawn figure with the words it needs.

    Parameters
    ----------
    figure
        The drawing, without a title of its own.
    title
        What the figure shows, as a claim computed from the numbers.
    alt
        What a reader who can't see the figure must know: kind, axes, and the main values.
    note
        Caption; ``alt`` where it is empty.
    """

    figure: Figure
    title: str
    alt: str
    note: str = ""

    @property
    def caption(self) -> str:
        """The words under the figure."""
        return self.note or self.alt


@contextmanager
def style() -> Iterator[None]:
    """The house style, for as long as a figure is drawn or saved."""
    with mpl.rc_context(_HOUSE):
        yield


def canvas(height: float = 3.2, width: float = WIDTH_INCHES) -> tuple[Figure, Axes]:
    """An empty figure with one pair of axes; sizes in inches. Call it inside ``style()``.

    The figure is unknown to pyplot, so that nothing is shown twice or kept in memory.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def in_order(groups: Iterable[str]) -> list[str]:
    """Groups as they should be named: segments from the best cell down, others as they come."""
    given = list(dict.fromkeys(groups))
    known = [segment for segment in SEGMENT_COLOURS if segment in given]
    return known + [group for group in given if group not in SEGMENT_COLOURS]


def colours(groups: Sequence[str]) -> dict[str, str]:
    """A colour for each group: a segment's own one, else the next of the palette."""
    if all(group in SEGMENT_COLOURS for group in groups):
        return {group: SEGMENT_COLOURS[group] for group in groups}
    return {group: PALETTE[i % len(PALETTE)] for i, group in enumerate(groups)}


def wrap(label: object, width: int = 26) -> str:
    """A label broken into at most three lines of about ``width`` characters."""
    return "\n".join(
        textwrap.wrap(str(label), width, max_lines=3, placeholder=" …", break_long_words=len(str(label)) > 2 * width)
    )


def format_axis(axis: Any, form: Formatter, ticks: int = 6) -> None:
    """Write an axis's numbers with ``form`` at about ``ticks`` places."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: form(float(value))))


def legend(figure: Figure, names: Sequence[str]) -> None:
    """Names of the groups above the drawing, in as many columns as fit its width."""
    if not names:
        return
    longest = max(len(name) for name in names)
    columns = max(1, min(len(names), 84 // (longest + 5)))
    figure.legend(loc="outside upper left", ncols=columns, handlelength=1.3, markerscale=1.5, columnspacing=1.4)


def svg(chart: Chart, prefix: str, mask: Callable[[str], str] = str) -> str:
    """The chart as an SVG element for the middle of an HTML page.

    The same chart gives the same text. Ids begin with ``prefix``, so that two figures of
    a page never share one; there is no namespace, metadata or other address in it.

    Parameters
    ----------
    chart
        What to write.
    prefix
        Start of every id, such as ``figure-3``.
    mask
        Replaces names in the figure's words.
    """
    written = io.StringIO()
    with style():
        chart.figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(written.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            # metadata holds addresses; a style element would reach beyond the figure
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        _make_local(element, prefix)
        element.text = mask(element.text) if element.text else None
    width, height = float(root.attrib.pop("width")[:-2]), float(root.attrib.pop("height")[:-2])
    root.attrib.update(
        {
            "width": f"{width * 4 / 3:.0f}",
            "height": f"{height * 4 / 3:.0f}",
            "role": "img",
            "aria-label": mask(f"{chart.title}. {chart.alt}"),
            "style": f"stroke-linejoin: round; stroke-linecap: butt; font-family: {_FONT_STACK}",
        }
    )
    return re.sub(r">\s+<", "><", ElementTree.tostring(root, encoding="unicode"))


def _make_local(element: ElementTree.Element, prefix: str) -> None:
    element.tag = element.tag.rpartition("}")[2]
    element.tail = None
    for name, value in list(element.attrib.items()):
        del element.attrib[name]
        short = name.rpartition("}")[2]
        if short == "id":
            value = f"{prefix}-{value}"
        elif short == "href" and value.startswith("#"):
            value = f"#{prefix}-{value[1:]}"
        elif short == "href":
            value = re.sub(r"\s+", "", value)
        elif short == "style":
            value = re.sub(r"font-family:[^;]*;?\s*", "", value)
        value = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", value)
        if not (short == "transform" and value.startswith("rotate(-0 ")):
            element.attrib[short] = value
