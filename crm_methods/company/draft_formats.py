"""The formats of a draft: per file what its mapped columns show, and what all files have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from crm_methods.company.column_facts import ColumnFacts
from crm_methods.company.contracts import TABLES
from crm_methods.company.guess_values import Moments, guess_marks
from crm_methods.company.recognise import Feed

_ISO = "%Y-%m-%d"
_DEFAULTS = {
    "date": _ISO,
    "timestamp": _ISO,
    "decimal": ".",
    "thousands": "",
    "encoding": "utf-8",
    "delimiter": ",",
    "quote": '"',
}
_NUMERIC = frozenset({"money", "number", "integer", "share"})


@dataclass(frozen=True, slots=True, eq=False)
class FeedFormats:
    """What one feed shows of its formats, defaults included; a key without evidence is absent."""

    shown: Mapping[str, str]
    questions: tuple[str, ...] = ()


def shared_formats(
    feeds: Sequence[Feed], facts: Mapping[str, Mapping[str, ColumnFacts]]
) -> tuple[dict[str, str], dict[str, dict[str, str]], dict[str, tuple[str, ...]]]:
    """The company's formats, those of each table beside them, and the questions by table; defaults are left out."""
    each = {feed.table: _formats_of(feed, facts[feed.sample.label]) for feed in feeds}
    common: dict[str, str] = {}
    for key in _DEFAULTS:
        values = {f.shown[key] for f in each.values() if key in f.shown}
        if len(values) == 1:
            common[key] = values.pop()
    if "thousands" in common and common["thousands"] == common.get("decimal", _DEFAULTS["decimal"]):
        del common["thousands"]  # the tables that have the decimal mark to it say both
    own = {table: _own(f.shown, common) for table, f in each.items()}
    return (
        {k: v for k, v in common.items() if v != _DEFAULTS[k]},
        {table: formats for table, formats in own.items() if formats},
        {table: f.questions for table, f in each.items() if f.questions},
    )


def _own(shown: Mapping[str, str], common: Mapping[str, str]) -> dict[str, str]:
    """What a table says beside the company; its thousands mark never without the decimal mark that goes with it."""
    own = {k: v for k, v in shown.items() if k not in common and v != _DEFAULTS[k]}
    return {"decimal": shown["decimal"], **own} if "thousands" in own and "decimal" in shown else own


def _formats_of(feed: Feed, own: Mapping[str, ColumnFacts]) -> FeedFormats:
    sample = feed.sample
    is_text = not sample.typed and "table" not in sample.place
    shown: dict[str, str] = {}
    if is_text:
        shown["delimiter"] = sample.formats.get("delimiter", ",")
        if "quote" in sample.formats:
            shown["quote"] = sample.formats["quote"]
        if "encoding" in sample.formats or any(not cell.isascii() for row in sample.rows for cell in row):
            shown["encoding"] = sample.formats.get("encoding", "utf-8")
    dates, asked = _dates(feed, own)
    marks, doubts = _marks(feed, own)
    plain = {k: v for k, v in {**dates, **marks}.items() if is_text or v != _DEFAULTS[k]}
    return FeedFormats({**shown, **plain}, (*sample.notes, *asked, *doubts))


def _columns_of(feed: Feed, kinds: frozenset[str]) -> list[tuple[str, str]]:
    """Canonical type and title of the mapped columns of some types; spread columns of a wide table are money."""
    found = []
    for ours, match in feed.matches.items():
        column = TABLES[feed.table].column(ours) or TABLES["deal_lines"].column(ours)
        if column is not None and column.type in kinds and isinstance(match.title, str):
            found.append((str(column.type), match.title))
    spread: Any = feed.extra.get("reshape", {}).get("unpivot", ())
    return found + [("money", title) for title in spread if "money" in kinds]


def _dates(feed: Feed, own: Mapping[str, ColumnFacts]) -> tuple[dict[str, str], list[str]]:
    """One format for days and one for moments; of two readings the one that another column of the file decides."""
    found: list[tuple[str, str, Moments]] = [
        (kind, title, m)
        for kind, title in _columns_of(feed, frozenset({"date", "timestamp"}))
        if (m := own[title].moments) is not None
    ]
    decided = {m.format for f in own.values() if (m := f.moments) is not None and m.other is None}
    shown: dict[str, str] = {}
    asked = []
    for kind, title, moments in found:
        settled = replace(moments, format=moments.other, other=None) if moments.other in decided and moments.other else moments
        if settled.format in decided:
            settled = replace(settled, other=None)
        if settled.other is not None:
            asked.append(
                f'formats.{kind}: day and month can\'t be told apart in "{title}": "{settled.format}" or "{settled.other}"?'
            )
        if shown.setdefault(kind, settled.format) != settled.format:
            asked.append(f'formats.{kind}: "{title}" is written as "{settled.format}", other columns as "{shown[kind]}"')
    return shown, asked


def _marks(feed: Feed, own: Mapping[str, ColumnFacts]) -> tuple[dict[str, str], list[str]]:
    cells = [cell for _, title in _columns_of(feed, _NUMERIC) if title in own for cell in own[title].counts]
    marks = guess_marks(cells)
    shown = {"decimal": marks.decimal} if marks.decimal is not None else {}
    if marks.thousands is not None and marks.thousands != marks.decimal:
        shown["thousands"] = marks.thousands
    elif marks.decimal is not None:
        shown["thousands"] = ""
    if not marks.unsure:
        return shown, []
    example = next(cell for cell in cells if marks.thousands and marks.thousands in cell)
    return shown, [
        f'formats: is "{example[:30]}" more or less than a hundred? "{marks.thousands}" is taken for the thousands mark'
    ]
