"""Rows of a table that are no records: the header once more, where exports were joined, a line of totals, blank cells.

A header and a line of totals are rejects with their line; rows without a filled cell are left out, as blank lines are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import duckdb

from crm_methods.company.raw_table import SHOWN, Broken
from crm_methods.company.record_numbers import RECORD, cells_of
from crm_methods.company.sql_text import identifier, literal

_WORDS = (
    "total", "totals", "grand total", "sum", "итого", "всего", "общий итог", "summe", "gesamt", "gesamtsumme", "gesamtergebnis",
    "suma", "total general", "total général", "somme", "totale", "totale complessivo", "razem", "ogółem", "总计", "合计", "合計",
)  # fmt: skip
_TOTALS = re.compile(rf"(?:{'|'.join(_WORDS)})\s*[:.]?\s*[-\d.,\s]*", re.IGNORECASE)
_NUMBER = re.compile(r"[^\w\s]{0,3}\s*[-+(]?\s*\d[\d.,'\s]*[-)%]?\s*\D{0,5}")
_TAIL = 1 << 14


def odd_sql(columns: Sequence[str], header: Sequence[str]) -> str:
    """SQL that is true for a row that may repeat the header, or in which no cell is filled; cheap for all others."""
    blank = f"coalesce({', '.join(map(identifier, columns))}) IS NULL"
    # One comparison a row is all that a sound file pays; `set_aside` looks at the whole row.
    again = "".join(f" OR {identifier(column)} = {literal(name)}" for column, name in _named(columns, header)[-1:])
    return f"({blank}{again})"


def is_totals(cells: Sequence[str]) -> bool:
    """Whether a row only sums up those above it: its first filled cell says so, and the others are numbers or empty."""
    filled = [text for cell in cells if (text := cell.strip())]
    if not filled or not _TOTALS.fullmatch(filled[0]):
        return False
    numbers = [bool(_NUMBER.fullmatch(text)) for text in filled[1:]]
    return all(numbers) and (bool(numbers) or any(letter.isdigit() for letter in filled[0]))


def ends_in_totals(path: Path, delimiter: str, quote: str) -> bool:
    """Whether the last filled line of a text is one of totals; only the end of the file is read."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        lines = file.read().decode("utf-8", "replace").rstrip("\r\n\x00 \t").splitlines()
    return bool(lines) and is_totals(next(iter(cells_of(lines[-1:], delimiter, quote)), []))


def set_aside(sql: duckdb.DuckDBPyConnection, name: str, columns: Sequence[str], header: Sequence[str]) -> list[Broken]:
    """Take rows that are no records out of a numbered raw table; those that are told as rejects are returned."""
    table, cells = identifier(name), ", ".join(map(identifier, columns))
    texts = " || ".join(f"trim(coalesce({identifier(c)}, ''))" for c in columns)
    sql.execute(f"DELETE FROM {table} WHERE {texts} = ''")
    broken: list[Broken] = []
    if again := _again_sql(columns, header):
        found = sql.execute(f"DELETE FROM {table} WHERE {again} RETURNING {RECORD}").fetchall()
        text = " · ".join(header)[:SHOWN]
        broken += [(int(number), text, "a record, not the header once more") for (number,) in found]
    last = sql.execute(f"SELECT {RECORD}, {cells} FROM {table} ORDER BY {RECORD} DESC LIMIT 1").fetchall()
    for number, *row in last:
        if is_totals([cell or "" for cell in row]):
            sql.execute(f"DELETE FROM {table} WHERE {RECORD} = {number}")
            broken.append((int(number), " · ".join(filter(None, row))[:SHOWN], "a record, not a line of totals"))
    return sorted(broken)


def _again_sql(columns: Sequence[str], header: Sequence[str]) -> str:
    """SQL that is true for a row that is the header; empty where no column is named."""
    named = _named(columns, header)
    if not named:
        return ""
    first, name = named[0]
    # A file that was appended brings its byte order mark along.
    spellings = ", ".join(literal(text) for text in (name, f"\ufeff{name}", f'\ufeff"{name}"'))
    return " AND ".join([f"{identifier(first)} IN ({spellings})", *(f"{identifier(c)} = {literal(n)}" for c, n in named[1:])])


def _named(columns: Sequence[str], header: Sequence[str]) -> list[tuple[str, str]]:
    return [(column, name) for column, name in zip(columns, header, strict=False) if name.strip()]
