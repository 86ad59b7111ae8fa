"""Sheets of Excel workbooks as tables of text, read row by row so that a large workbook is never held whole.

What merged cells say is said of every cell in them: below the header each has the value of the first one. A name that
is merged over several columns is that of the first, and the others are numbered: "Notes", "Notes (2)".
"""

from __future__ import annotations

import csv
import datetime as dt
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from crm_methods.company.containers import told
from crm_methods.company.not_records import set_aside
from crm_methods.company.raw_table import (
    SHOWN,
    Broken,
    RawTable,
    count_rows,
    drop_raw,
    numbered_names,
    repeated_names,
    unique_names,
)
from crm_methods.company.settings import Formats, Source
from crm_methods.company.sql_text import identifier, literal
from crm_methods.errors import IntakeError, did_you_mean

_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\s[^>]*?ref="([A-Z]+[0-9]+:[A-Z]+[0-9]+)"')
_LONGEST_TAG = 512
Row = tuple[int, list[str]]
"""A row of a sheet: its number, counted from 1, and its cells as text."""


@dataclass(frozen=True, slots=True)
class _Merge:
    """A block of merged cells; rows count from 1, columns from 0, and the last ones are in it."""

    top: int
    left: int
    bottom: int
    right: int


def read_workbook(
    sql: duckdb.DuckDBPyConnection, name: str, source: Source, formats: Formats, path: Path, scratch: Path
) -> RawTable:
    """Load a sheet into the table ``name``, every cell as text: dates in ISO form, numbers with the declared decimal mark.

    Parameters
    ----------
    source, formats
        Which sheet, on which row its header stands, and the decimal mark.
    path, scratch
        The workbook, and a folder for a copy of the sheet.

    Returns
    -------
    RawTable
        One row per row of the sheet in which a cell is filled; ``broken`` are those that are wider than the header, repeat
        it, or sum up what stands above them.

    Raises
    ------
    IntakeError
        The file is no workbook, has no such sheet, or the sheet has no header or no rows.
    """
    copy = scratch / f"{name}.csv"
    title, day_zero, header, broken = _copy_sheet(path, source, formats, copy)
    if not any(header):
        raise IntakeError(f'{path.name}: found an empty sheet "{title}", expected a header and rows.')
    columns = unique_names(header)
    _load_numbered(sql, name, copy, columns)
    broken += set_aside(sql, name, columns, header if source.header else ())
    if not broken and not count_rows(sql, name):
        raise IntakeError(f'{path.name}: found a header and no rows in the sheet "{title}", expected at least one row.')
    return RawTable(name, columns, tuple(sorted(broken)), True, repeated_names(header, columns), day_zero)


def _copy_sheet(path: Path, source: Source, formats: Formats, copy: Path) -> tuple[str, dt.date, list[str], list[Broken]]:
    """Write a sheet's rows as CSV: its title, the day its dates count from, its header, and the rows that do not fit it."""
    import openpyxl
    from openpyxl.utils.datetime import CALENDAR_MAC_1904

    try:
        workbook = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            sheet = _sheet(workbook, source, path)
            merges = _merges(workbook, sheet)
            # What a sheet says of its own size is often wrong, and would cut off what lies beyond.
            sheet.reset_dimensions()
            texts = (
                (number, [_excel_text(value, formats.decimal) for value in row])
                for number, row in enumerate(sheet.iter_rows(values_only=True), 1)
            )
            header, broken = _copy_rows(source, _spread(texts, merges, source), copy, path)
        finally:
            workbook.close()
    except IntakeError:
        raise
    except Exception as error:  # openpyxl raises whatever the damaged zip or XML inside it raises
        raise IntakeError(
            f"{path.name}: found something that is not an Excel workbook, or a damaged one ({told(error)}). "
            "Open it in Excel and save it anew."
        ) from None
    day_zero = dt.date(1904, 1, 1) if workbook.epoch == CALENDAR_MAC_1904 else dt.date(1899, 12, 30)
    return sheet.title, day_zero, header, broken


def _sheet(workbook: Any, source: Source, path: Path) -> Any:
    sheets = {sheet.title: sheet for sheet in workbook.worksheets}
    if not sheets:
        raise IntakeError(f"{path.name}: found a workbook without a sheet of cells, expected one.")
    title = source.sheet or next(iter(sheets))
    if title not in sheets:
        raise IntakeError(
            f'{path.name}: found no sheet "{title}", expected one of {", ".join(sheets)}. {did_you_mean(title, sheets)}'.rstrip()
        )
    return sheets[title]


def _merges(workbook: Any, sheet: Any) -> list[_Merge]:
    """The merged cells of a sheet from the top; they are named behind its rows, so that its XML is looked through once."""
    from openpyxl.utils.cell import range_boundaries

    found, rest = [], b""
    with workbook._archive.open(sheet._worksheet_path) as xml:  # a sheet that is read row by row does not tell them
        while chunk := xml.read(1 << 20):
            block = rest + chunk
            end = 0
            if b"mergeCell " in block:
                for match in _MERGED.finditer(block):
                    found.append(match[1].decode())
                    end = match.end()
            rest = block[max(end, len(block) - _LONGEST_TAG) :]
    bounds = map(range_boundaries, found)
    return sorted((_Merge(top, left - 1, bottom, right - 1) for left, top, right, bottom in bounds), key=lambda m: m.top)


def _spread(rows: Iterator[Row], merges: Sequence[_Merge], source: Source) -> Iterator[Row]:
    """The filled rows from the header on, in which merged cells have the value of the first one."""
    waiting, running, header = list(reversed(merges)), list[tuple[_Merge, str]](), 0
    for number, row in rows:
        running = [(merge, text) for merge, text in running if merge.bottom >= number]
        while waiting and waiting[-1].top <= number:
            merge = waiting.pop()
            running.append((merge, row[merge.left] if merge.left < len(row) else ""))
        is_filled = any(row) and number >= (source.header_row or 1)
        if is_filled and not header:
            header = number
        if is_filled:
            names = number == header and source.header
            yield number, _filled(row, [(m, text) for m, text in running if names or m.top > header or not source.header], names)


def _filled(row: list[str], running: Sequence[tuple[_Merge, str]], names: bool) -> list[str]:
    """A row with the texts of the merged cells that run through it."""
    if not running:
        return row
    row = [*row, *[""] * (max(merge.right for merge, _ in running) + 1 - len(row))]
    for merge, text in running:
        for nth, place in enumerate(range(merge.left, merge.right + 1), 1):
            row[place] = row[place] or (f"{text} ({nth})" if names and text and nth > 1 else text)
    return row


def _copy_rows(source: Source, rows: Iterator[Row], copy: Path, path: Path) -> tuple[list[str], list[Broken]]:
    """Write a sheet's filled rows as CSV, each with its number; the header, and the rows wider than it, are returned."""
    first = next(rows, (0, []))
    header = list(source.names or (first[1] if source.header else numbered_names(len(first[1]))))
    while header and not header[-1]:
        header.pop()
    second = next(rows, None) if source.header else first
    if source.header and second is not None:
        _expect_no_title(header, second, path)
    width, broken = len(header), list[Broken]()
    with copy.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for number, row in itertools.chain([second] if second is not None and any(second[1]) else [], rows):
            if any(row[width:]):
                broken.append((number, " · ".join(row)[:SHOWN], f"{width} cells (too many columns)"))
            else:
                writer.writerow([number, *row[:width], *[""] * (width - len(row))])
    return header, broken


def _expect_no_title(header: Sequence[str], second: Row, path: Path) -> None:
    """Refuse a single cell, merged or not, as the header where the row below it has many."""
    number, row = second
    if header and header[1:] == [f"{header[0]} ({nth})" for nth in range(2, len(header) + 1)] and sum(map(bool, row)) > 1:
        raise IntakeError(
            f'{path.name}: found one cell in the first filled row ("{header[0][:60]}"), expected the names of the columns. '
            f"If they stand on row {number}, write `header_row: {number}`."
        )


def _load_numbered(sql: duckdb.DuckDBPyConnection, name: str, path: Path, columns: Sequence[str]) -> None:
    declared = ", ".join(f"{literal(c)}: 'VARCHAR'" for c in columns)
    drop_raw(sql, name)
    sql.execute(
        f"CREATE OR REPLACE TEMP TABLE {identifier(name)} AS FROM read_csv({literal(str(path))}, auto_detect = false, "
        f"columns = {{'record:': 'BIGINT', {declared}}}, delim = ',', quote = '\"', escape = '\"', header = false, nullstr = '', "
        "allow_quoted_nulls = true)"
    )


def _excel_text(value: Any, decimal: str | None) -> str:
    if value is None:
        return ""
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat(sep=" ") if isinstance(value, dt.datetime) else value.isoformat()
    if isinstance(value, float):
        text = repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
        return text.replace(".", ",") if decimal == "," else text
    return str(value).strip()
