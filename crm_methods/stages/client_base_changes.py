"""Stage 1: the rows of the period and of the one before, and how a share that changed between them reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.periods import current_period, previous_period, within
from crm_methods.company.settings import Company
from crm_methods.models.share_changes import CHANGE, SHARE, is_clear, share_changes

NO_CLEAR_CHANGE = "no clear change"
LABELS: Mapping[str, str] = {
    "about": "By", "name": "What", "low_share": "From", "high_share": "To", "previous_share": "Before",
    "change": "Change, points",
}  # fmt: skip
"""Headings of what ``readable_changes`` returns."""


def of_two_periods(rows: nw.LazyFrame[Any], on: str, settings: Company) -> nw.LazyFrame[Any]:
    """The rows of the period, marked 1 in ``now``, and of the one before, marked 0."""
    current, previous = current_period(settings), previous_period(settings)
    kept = rows.filter(within(on, current) | within(on, previous))
    return kept.with_columns(now=nw.when(within(on, current)).then(nw.lit(1)).otherwise(nw.lit(0)))


def changes_by_value(rows: nw.LazyFrame[Any], about: str, counted: str, by: Sequence[str] = ()) -> pd.DataFrame:
    """What a column names: the share of each value among the rows that name one, now and before.

    Parameters
    ----------
    rows
        ``client_id``, ``now``, the column ``about`` and those of ``by``.
    counted
        What the rows are: the name of the column that counts them.

    Returns
    -------
    pandas.DataFrame
        One row per ``by`` and value, as of ``share_changes``, with ``about``; ``total`` is named as ``counted``, and
        ``share_previous`` is ``previous_share``. ``q_value`` is that among the rows of the same ``by``.
    """
    named = rows.with_columns(name=nw.col(about)).filter(~nw.col("name").is_null())
    found = share_changes(named, by=by).rename(columns={"total": counted, "share_previous": "previous_share"})
    return found.assign(about=about)


def readable_changes(changes: pd.DataFrame, counted: str) -> pd.DataFrame:
    """The rows of ``changes_by_value`` for people: the change is a text, the order of columns one to read."""
    shown = changes.assign(about=changes["about"].str.replace("_", " "), change=changes_in_points(changes))
    columns = ["about", "name", counted, "clients", *SHARE, "previous_share", "change"]
    return shown[columns].astype({counted: "int64"}).reset_index(drop=True)


def changes_in_points(table: pd.DataFrame, prefix: str = "") -> list[str]:
    """The change of each row as text, from its columns ``change``, ``low_change``, ``high_change`` (0–1) and ``q_value``."""
    rows = table[[f"{prefix}{name}" for name in CHANGE]].to_numpy()
    return [change_in_points(*row, clear=bool(c)) for row, c in zip(rows, is_clear(table, prefix), strict=True)]


def change_in_points(change: float, low: float, high: float, *, clear: bool = True) -> str:
    """A change of a share as text: its points with their interval, or that it is not clear.

    ``clear`` is False where the change is not clear among all those it was looked at with.
    """
    if pd.isna(change):
        return formats.NOTHING
    if pd.isna(low) or pd.isna(high):
        return f"{_points(change)} (no interval)"
    return NO_CLEAR_CHANGE if low <= 0 <= high or not clear else f"{_points(change)} ({formats.interval(low, high, _points)})"


def change_in_words(change: float, low: float, high: float) -> str:
    """``change_in_points`` within a sentence: with its unit, where it is a number."""
    text = change_in_points(change, low, high)
    return text if text == NO_CLEAR_CHANGE else f"{text} points"


def in_brackets(low: float | None, high: float | None, form: Callable[[float], str], kind: str = "") -> str:
    """An interval in brackets, to stand behind its estimate; nothing where there is none."""
    text = formats.interval(low, high, form)
    return "" if text == formats.NOTHING else f" ({kind}{text})"


def _points(value: float) -> str:
    text = formats.number(100 * value, 1)
    return f"+{text}" if value > 0 and text != "0.0" else text
