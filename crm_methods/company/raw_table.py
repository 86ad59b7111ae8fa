"""A source as a DuckDB table of text, whatever kind of file it was: its columns, the places of its records, what was torn."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import duckdb

from crm_methods.company.record_numbers import RECORD
from crm_methods.company.sql_text import identifier

SHOWN = 200
"""How many characters of a damaged record a message shows."""
Broken = tuple[int, str, str]
"""A record that could not be used: its line or row, its text, what was expected."""


@dataclass(frozen=True, slots=True)
class RawTable:
    """A source as text: a DuckDB table with ``RECORD`` (the line or sheet row, counted from 1) and the source's columns.

    ``broken`` are records that could not be cut into cells: their line, the text, what was expected.
    ``typed`` says that the container wrote numbers and dates itself (Excel, Parquet), dates in ISO form.
    ``repeated`` are headers that occur more than once: the header and the names its columns have got.
    ``day_zero`` is the day from which a workbook counts dates that it holds as numbers.
    ``first``, where it is not None, says that the records lie in the file without gaps and are not numbered in the
    table: the number of the first one.
    """

    name: str
    columns: tuple[str, ...]
    broken: tuple[Broken, ...]
    typed: bool
    repeated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    day_zero: dt.date | None = None
    first: int | None = None

    @property
    def numbered(self) -> str:
        """SQL of the table with the column ``RECORD``."""
        if self.first is None:
            return identifier(self.name)
        return f"(SELECT row_number() OVER () + {self.first - 1} AS {RECORD}, * FROM {identifier(self.name)})"


def count_rows(sql: duckdb.DuckDBPyConnection, name: str) -> int:
    """How many records a raw table has."""
    ((rows,),) = sql.execute(f"SELECT count(*) FROM {identifier(name)}").fetchall()
    return int(rows)


def drop_raw(sql: duckdb.DuckDBPyConnection, name: str) -> None:
    """Give back a raw table, be it stored or read from its file."""
    kinds = sql.execute("SELECT 'VIEW' FROM duckdb_views() WHERE temporary AND view_name = ?", [name]).fetchall()
    sql.execute(f"DROP {'VIEW' if kinds else 'TABLE'} IF EXISTS {identifier(name)}")


def numbered_names(count: int) -> list[str]:
    """Names for the columns of a source that has none."""
    return [f"column_{position}" for position in range(1, count + 1)]


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """Column names made distinct: where "Name" occurs twice, they become "Name (1)" and "Name (2)"."""
    filled = [name or f"column_{position}" for position, name in enumerate(names, 1)]
    counts, seen, result = Counter(name.lower() for name in filled), Counter[str](), list[str]()
    for name in filled:
        seen[name.lower()] += 1
        result.append(name if counts[name.lower()] == 1 else f"{name} ({seen[name.lower()]})")
    # A file may hold "Name", "Name" and "Name (1)".
    return tuple(result) if len({name.lower() for name in result}) == len(result) else unique_names(result)


def repeated_names(header: Sequence[str], columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The headers that occur more than once, in lower case, and the names that ``unique_names`` gave their columns."""
    named: dict[str, list[str]] = {}
    for name, column in zip(header, columns, strict=True):
        named.setdefault(name.lower(), []).append(column)
    return {name: tuple(distinct) for name, distinct in named.items() if name and len(distinct) > 1}
