"""Which line of its file each record stands on, so that a reject can be found in a text editor.

DuckDB numbers only the records it could cut. Lines that are torn, undecodable or blank, and
quoted newlines, move what follows them; this module puts the numbers right.
"""

from __future__ import annotations

import bisect
import csv
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import duckdb
import pyarrow as pa

RECORD = '"record:"'
"""The column of a raw table that holds the place of a record in its file; no header can be read as this name."""
_LONGEST_CELL = 1 << 24


class Cells(Protocol):
    """What the csv module's reader is: rows of cells, and the number of lines read so far."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...

    def __next__(self) -> list[str]: ...


def cells_of(lines: Iterable[str], delimiter: str, quote: str) -> Cells:
    """The lines of a text cut into cells; ``quote`` may be empty."""
    # The module's own limit of 131,072 characters is less than a description in a CRM may have.
    csv.field_size_limit(_LONGEST_CELL)
    if quote:
        return csv.reader(lines, delimiter=delimiter, quotechar=quote)
    return csv.reader(lines, delimiter=delimiter, quotechar=None, quoting=csv.QUOTE_NONE)


def number_records(
    sql: duckdb.DuckDBPyConnection,
    table: str,
    path: Path,
    rows: int,
    delimiter: str,
    quote: str,
    skip: int,
    left_out: Sequence[int],
    torn: Sequence[tuple[int, int, str, str]],
) -> list[int]:
    """Give each record of ``table`` the number of its line in the original file; the lines of the torn ones are returned.

    Parameters
    ----------
    table
        The raw table, quoted for SQL; its records are numbered ``skip`` + 1, ``skip`` + 2, …
    path
        The text it was read from, without the lines ``left_out`` of the original.
    rows
        How many records the table has.
    torn
        Per record that could not be cut: DuckDB's line, its byte position (from 1), text and reason, in the file's order.
    """
    places = [int(line) for line, *_ in torn]
    if count_lines(path) == skip + rows + len(torn):
        _make_room(sql, table, places)
    else:
        # Blank lines and quoted newlines: only a second pass knows on which line a record begins.
        places = lines_at(path, [int(position) - 1 for _, position, *_ in torn])
        begins = _first_lines(path, delimiter, quote, skip, set(places))
        if len(begins) == rows:
            _renumber(sql, table, skip, begins)
        else:
            _make_room(sql, table, places)
    _make_room(sql, table, left_out)
    return [place + _moved(place, left_out) for place in places]


def _moved(place: int, missing: Sequence[int]) -> int:
    """By how many a number moves up when the missing numbers are put back in front of it."""
    return bisect.bisect_right([number - index for index, number in enumerate(missing)], place)


def _make_room(sql: duckdb.DuckDBPyConnection, table: str, missing: Sequence[int]) -> None:
    if not missing:
        return
    moved = {number - index: index + 1 for index, number in enumerate(missing)}
    sql.register("room", pa.table({"place": list(moved), "moved": list(moved.values())}))
    sql.execute(
        f"CREATE OR REPLACE TEMP TABLE {table} AS "
        f"SELECT r.{RECORD} + coalesce(moved, 0) AS {RECORD}, r.* EXCLUDE ({RECORD}) "
        f"FROM {table} r ASOF LEFT JOIN room ON r.{RECORD} >= room.place"
    )
    sql.unregister("room")


def _renumber(sql: duckdb.DuckDBPyConnection, table: str, skip: int, begins: Sequence[int]) -> None:
    first = skip + 1
    sql.register("places", pa.table({"place": range(first, first + len(begins)), "line": begins}))
    sql.execute(
        f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT line AS {RECORD}, r.* EXCLUDE ({RECORD}) "
        f"FROM {table} r JOIN places ON r.{RECORD} = places.place"
    )
    sql.unregister("places")


def newline_of(path: Path) -> bytes:
    """What ends the lines of a text: a line feed, or a carriage return where its beginning has no other."""
    with path.open("rb") as file:
        head = file.read(1 << 20)
    return b"\r" if b"\n" not in head and b"\r" in head else b"\n"


def count_lines(path: Path) -> int:
    """The lines of a text, whether or not the last one is ended."""
    newline, count, last = newline_of(path), 0, b""
    with path.open("rb") as file:
        while chunk := file.read(1 << 24):
            count, last = count + chunk.count(newline), chunk[-1:]
    return count + (last not in {b"", newline})


def lines_at(path: Path, positions: Sequence[int]) -> list[int]:
    """The lines on which the first text at or after each byte stands; positions ascend."""
    newline, lines, count, read = newline_of(path), [], 1, 0
    with path.open("rb") as file:
        for position in positions:
            count += file.read(max(0, position - read)).count(newline)
            blank = file.read(1)
            while blank and blank in b"\r\n":
                count += blank == newline
                blank = file.read(1)
            read = file.tell()
            lines.append(count)
    return lines


def _first_lines(path: Path, delimiter: str, quote: str, skip: int, torn: set[int]) -> Sequence[int]:
    """The line on which each record begins, header and torn records left out."""
    begins: array[int] = array("q")
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        reader, above = cells_of(lines, delimiter, quote), 0
        try:
            for row in reader:
                if row and above >= skip and above + 1 not in torn:
                    begins.append(above + 1)
                above = reader.line_num
        except csv.Error:  # a cell too long for the csv module; the records keep their plain count
            return ()
    return begins
