"""Sentences, tables and figures in a notebook: the only source of HTML that a report takes over.

Everything is escaped here, and each output carries a mark in its metadata, which no
client data can reach. ``html.py`` shows marked outputs as they are and any other as text.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered
from crm_methods.company.questions import QUESTIONS
from crm_methods.company.vocabulary import STRATEGY_LABELS, segment_label
from crm_methods.reports.markup import NoPseudonyms, Pseudonyms, escape

if TYPE_CHECKING:
    from crm_methods.reports.charts.house import Chart

DrawAnswer = Callable[[Any, str], "Chart | None"]

MARK = "crm_methods"
"""Metadata key of outputs whose HTML was made here."""

MAX_ROWS = 40
MAX_CELL_CHARACTERS = 600


class Presenter:
    """Shows the results of one notebook, and numbers its figures and tables.

    Parameters
    ----------
    currency
        ISO code of the company's currency.
    pseudonyms
        Replaces names on the way out; names stay without it.
    """

    def __init__(self, currency: str, pseudonyms: Pseudonyms | None = None) -> None:
        self._currency = currency
        self._pseudonyms = pseudonyms or NoPseudonyms()
        self._figures = itertools.count(1)
        self._tables = itertools.count(1)
        self._open: set[tuple[str, str]] = set()

    def answer(self, answer: Answer | Unanswered, chart: Chart | DrawAnswer | None = None) -> None:
        """Show a result: its sentence, its figure if it has one, and its table.

        Parameters
        ----------
        answer
            The result; an ``Unanswered`` one is shown as an open question.
        chart
            Its figure, or the function of the answer and the currency that draws it (and may
            return None). A function gets the answer with pseudonyms in its frames, so that
            they are in the figure too; it is not called for an open question.
        """
        if isinstance(answer, Unanswered):
            self.unanswered(answer)
            return
        parts = [self._sentence(answer.sentence)]
        drawn = chart(self._masked(answer), self._currency) if callable(chart) else chart
        if drawn is not None:
            parts.append(self._figure(drawn))
        # A table without rows says nothing beside a sentence that says why there are none.
        if len(answer.table):
            parts.append(self._table(answer.table, answer.caption, answer.labels))
        self._display("".join(parts), answer.sentence)

    def table(self, df: pd.DataFrame, caption: str, labels: Mapping[str, str] | None = None) -> None:
        """Show a table; more than 40 rows are cut, and the cut is said."""
        self._display(self._table(df, caption, labels or {}), caption)

    def figure(self, chart: Chart) -> None:
        """Show a figure with its title and caption."""
        self._display(self._figure(chart), f"{chart.title}. {chart.alt}")

    def say(self, text: str) -> None:
        """Show a computed sentence."""
        self._display(self._sentence(text), text)

    def unanswered(self, unanswered: Unanswered) -> None:
        """Show that a question stays open, why, and which data would answer it; a second time, only what it waits for."""
        question = self._text(QUESTIONS[unanswered.question].text)
        if (unanswered.question, unanswered.reason) in self._open:
            self._display(
                '<aside class="open-question"><p class="open-title">Not enough data</p>'
                f"<p>This waits for the same data as <strong>{question}</strong> above.</p></aside>",
                unanswered.sentence,
            )
            return
        self._open.add((unanswered.question, unanswered.reason))
        helps = "".join(f"<li>{self._text(data)}</li>" for data in unanswered.would_help)
        self._display(
            '<aside class="open-question"><p class="open-title">Not enough data</p>'
            f"<p><strong>{question}</strong> "
            f"This can't be answered: {self._text(unanswered.reason)}</p>"
            + (f"<p>What would answer it:</p><ul>{helps}</ul>" if helps else "")
            + "</aside>",
            unanswered.sentence,
        )

    def _masked(self, answer: Answer) -> Answer:
        frames = {
            field.name: self._pseudonyms.frame(frame)
            for field in dataclasses.fields(answer)
            if isinstance(frame := getattr(answer, field.name), pd.DataFrame)
        }
        return dataclasses.replace(answer, **frames)

    def _text(self, text: object) -> str:
        return escape(self._pseudonyms.text(str(text)))

    def _sentence(self, text: str) -> str:
        return f'<p class="result">{self._text(text)}</p>'

    def _figure(self, chart: Chart) -> str:
        # brings matplotlib, which half of the notebooks' cells don't need
        from crm_methods.reports.charts.house import svg

        number = next(self._figures)
        drawing = svg(chart, f"figure-{number}", self._pseudonyms.text)
        title, caption = self._text(chart.title), self._text(chart.caption)
        return (
            f'<figure id="figure-{number}"><p class="figure-title">{title}</p>'
            f'<div class="scroll" role="group" aria-label="{title}" tabindex="0">{drawing}</div>'
            f"<figcaption>Figure {number}. {caption}</figcaption></figure>"
        )

    def _table(self, df: pd.DataFrame, caption: str, labels: Mapping[str, str]) -> str:
        number = next(self._tables)
        title = f"Table {number}. {self._text(caption)}"
        return table_html(self._pseudonyms.frame(df), title, self._currency, labels, f"table-{number}")

    def _display(self, html: str, text: str) -> None:
        from IPython.display import display

        shown = {"text/html": html, "text/plain": self._pseudonyms.text(text)}
        display(shown, raw=True, metadata={MARK: {"safe": True}})  # type: ignore[no-untyped-call]


def table_html(df: pd.DataFrame, caption: str, currency: str, labels: Mapping[str, str] | None = None, name: str = "") -> str:
    """A frame as an accessible table whose cells are inert text.

    Parameters
    ----------
    df
        What to show; the index is left out. The first column names the rows unless it is a number.
    caption
        HTML of the caption, already escaped.
    currency
        ISO code for columns of money.
    labels
        Headings of columns whose name does not read well.
    name
        Id of the table.
    """
    shown = df.head(MAX_ROWS)
    columns = [str(column) for column in df.columns]
    numeric = {column: _is_numeric(shown[original]) for column, original in zip(columns, df.columns, strict=True)}
    texts = {
        column: _column_texts(column, shown[original].tolist(), currency)
        for column, original in zip(columns, df.columns, strict=True)
    }
    head = "".join(
        f'<th scope="col"{_kind(numeric[c])}>{escape((labels or {}).get(c, formats.heading(c)))}</th>' for c in columns
    )
    body = "".join(
        "<tr>" + "".join(_cell(texts[c][row], numeric[c], first=i == 0) for i, c in enumerate(columns)) + "</tr>"
        for row in range(len(shown))
    )
    if not len(df):
        body = f'<tr><td colspan="{max(1, len(columns))}">No rows.</td></tr>'
    cut = (
        f'<p class="cut">{formats.number(len(shown))} of {formats.number(len(df))} rows are shown; '
        "all of them are in the tables folder of this run.</p>"
        if len(df) > len(shown)
        else ""
    )
    identity = f' id="{escape(name)}"' if name else ""
    return (
        f'<div class="table"{identity}><div class="scroll" role="group" aria-label="{caption}" tabindex="0">'
        f"<table><caption><span>{caption}</span></caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{cut}</div>"
    )


def _kind(numeric: bool) -> str:
    return ' class="number"' if numeric else ""


def _cell(text: str, numeric: bool, first: bool) -> str:
    if len(text) > MAX_CELL_CHARACTERS:
        text = f"{text[: MAX_CELL_CHARACTERS - 1]}…"
    if first and not numeric:
        return f'<th scope="row">{escape(text)}</th>'
    return f"<td{_kind(numeric)}>{escape(text)}</td>"


def _is_numeric(column: pd.Series[Any]) -> bool:
    if pd.api.types.is_bool_dtype(column.dtype):
        return False
    if pd.api.types.is_numeric_dtype(column.dtype):
        return True
    values = [value for value in column.tolist() if not _is_missing(value)]
    return bool(values) and all(isinstance(v, (int, float, Decimal)) and not isinstance(v, bool) for v in values)


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _column_texts(column: str, values: Sequence[Any], currency: str) -> list[str]:
    """A column's cells as text, with one number of decimals, so that its digits stand in line."""
    if column == "segment":
        values = [segment_label(value) if isinstance(value, str) else value for value in values]
    elif column == "strategy":
        values = [STRATEGY_LABELS.get(value, value) for value in values]
    sizes = [abs(float(v)) for v in values if _is_real(v)]
    whole = all(size == round(size) for size in sizes)
    if whole or not all(_is_real(value) or _is_missing(value) for value in values):
        return [formats.cell(column, value, currency) for value in values]
    largest, smallest = max(sizes), min((size for size in sizes if size), default=0.0)
    if smallest < 1 and largest > 1000 * smallest and not _has_unit(column):
        return [formats.cell(column, value, currency) for value in values]
    return [_numeric_text(column, value, largest, currency) for value in values]


def _is_real(value: Any) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool) and math.isfinite(value)


def _has_unit(column: str) -> bool:
    return column == "share" or column.endswith("_share") or formats.is_money_column(column)


def _numeric_text(column: str, value: Any, largest: float, currency: str) -> str:
    if _is_missing(value):
        return formats.NOTHING
    if column == "share" or column.endswith("_share"):
        # A cumulative share stands beside the shares it adds up, and is as exact.
        return formats.share(float(value), 1 if largest < (0.2 if column.startswith("cumulative_") else 0.1) else 0)
    if formats.is_money_column(column):
        return formats.money(float(value), currency, 2 if largest < 100 else 0)
    return formats.number(float(value), 3 if largest < 1 else 2 if largest < 100 else 1 if largest < 10_000 else 0)
