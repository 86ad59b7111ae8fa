"""Text files as tables of text, in which every record that can't be cut is told with its line.

A sound text is read once to count it and is never stored: the table is a view of the file. What is damaged costs more
passes, and a stored table whose records keep the lines they stand on.
"""

from __future__ import annotations

import bisect
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from crm_methods.company.containers import told, without_wildcards
from crm_methods.company.not_records import ends_in_totals, odd_sql, set_aside
from crm_methods.company.raw_table import SHOWN, Broken, RawTable, drop_raw, repeated_names
from crm_methods.company.record_numbers import RECORD, cells_of, count_lines, number_records
from crm_methods.company.settings import Formats, Source
from crm_methods.company.sql_text import identifier, literal
from crm_methods.company.text_layout import Layout, find_layout
from crm_methods.company.text_lines import as_utf8, even_newlines, is_uneven, known_encoding, without_lines
from crm_methods.errors import IntakeError

_ROUNDS = 12
"""How often a text is read anew without the lines on which a quote is opened and never closed."""
_TEXT_KEPT = 10_000
"""How many bytes of a torn record DuckDB keeps."""
_WHY = {
    "UNQUOTED VALUE": "a quote that is neither closed nor doubled",
    "LINE SIZE OVER MAXIMUM": "a line of more than 2 MB",
    "INVALID ENCODING": "invalid encoding",
}
_CUTTING = frozenset({"MISSING COLUMNS", "TOO MANY COLUMNS"})
_RUNAWAY = frozenset({"UNQUOTED VALUE", "LINE SIZE OVER MAXIMUM"})


@dataclass(frozen=True, slots=True)
class _Torn:
    """A record that DuckDB could not cut: its line, its byte (from 1), its text, and why."""

    line: int
    byte: int
    text: str
    why: frozenset[str]

    @property
    def runs_away(self) -> bool:
        """Whether an open quote made it swallow lines below it."""
        return bool(self.why & _RUNAWAY) and bool({"\n", "\r"} & set(self.text.rstrip("\r\n")))


def read_text(sql: duckdb.DuckDBPyConnection, name: str, source: Source, formats: Formats, path: Path, scratch: Path) -> RawTable:
    """Load a text file into the table ``name``, every cell as text.

    Parameters
    ----------
    source, formats
        Where the header stands, and how the text is written; what is not declared is told by its first filled line.
    path, scratch
        The file, and a folder for copies of it.

    Returns
    -------
    RawTable
        One row per record; ``broken`` holds the records that can't be cut, the header where it comes once more, and a
        line of totals at the end. Rows without a filled cell are left out.

    Raises
    ------
    IntakeError
        Nothing in the file can be used: its encoding, header, delimiter or quotes are not what is declared or expected.
    """
    encoding = known_encoding(formats.encoding or "utf-8", path.name)
    spaced = formats.delimiter == "whitespace"
    undecodable: tuple[Broken, ...] = ()
    readable = path
    if encoding != "utf-8" or spaced:
        readable = scratch / f"{name}.txt"
        undecodable = tuple(as_utf8(path, readable, encoding, split=spaced))
    readable = without_wildcards(readable, scratch)
    layout = find_layout(source, formats, readable, path)
    if undecodable and undecodable[0][0] <= layout.skip:
        number, text, expected = undecodable[0]
        raise IntakeError(
            f'{path.name}: found line {number} of the header, "{text[:60]}", that is not {expected}. Declare another.'
        )
    rows, torn = _load(sql, name, readable, layout, scratch, [number for number, *_ in undecodable])
    broken = sorted((*undecodable, *torn))
    if not broken and not rows:
        raise IntakeError(f"{path.name}: found a header and no rows, expected at least one row.")
    first = None if _is_stored(sql, name) else layout.skip + 1
    return RawTable(name, layout.columns, tuple(broken), False, repeated_names(layout.names, layout.columns), first=first)


def _is_stored(sql: duckdb.DuckDBPyConnection, name: str) -> bool:
    return bool(sql.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [name]).fetchall())


def _load(
    sql: duckdb.DuckDBPyConnection, name: str, path: Path, layout: Layout, scratch: Path, left_out: Sequence[int]
) -> tuple[int, list[Broken]]:
    """Load a UTF-8 text from which the lines ``left_out`` are missing; how many records it has, and those that are broken."""
    gone: list[Broken] = []
    even = scratch / f"{name}.even.txt"
    for turn in range(_ROUNDS):
        rows, odd, torn = _count(sql, path, layout)
        if path != even and (rows < 0 or not (rows or torn) or (torn and is_uneven(path))):
            path = even_newlines(path, even)
            rows, odd, torn = _count(sql, path, layout)
        open_quotes = [record for record in torn if record.runs_away]
        if not open_quotes:
            break
        path, texts = without_lines(path, scratch / f"{name}.{turn}.txt", [record.byte - 1 for record in open_quotes])
        for place, text in texts:
            number = _restored(place, left_out)
            gone.append((number, text[:SHOWN], f"{len(layout.names)} cells ({_WHY['UNQUOTED VALUE']})"))
        left_out = sorted({*left_out, *(number for number, *_ in gone)})
    else:
        raise IntakeError(
            f'{layout.shown}: found quotes that are opened and not closed, such as on line {gone[0][0]:,} ("{gone[0][1][:60]}"). '
            'If cells are not quoted in it, write `formats: {quote: ""}`.'
        )
    rows, broken = _keep(sql, name, path, layout, rows, odd, torn, left_out)
    return rows, [*gone, *broken]


def _restored(place: int, left_out: Sequence[int]) -> int:
    """The line of the whole file that is the line ``place`` of the one without the lines ``left_out``."""
    return place + bisect.bisect_right([number - index for index, number in enumerate(left_out)], place)


def _reader(path: Path, layout: Layout) -> str:
    """SQL of the records of a text, without the closing bracket."""
    declared = "{" + ", ".join(f"{literal(c)}: 'VARCHAR'" for c in layout.columns) + "}"
    return (
        f"read_csv({literal(str(path))}, auto_detect = false, columns = {declared}, delim = {literal(layout.delimiter)}, "
        f"quote = {literal(layout.quote)}, escape = {literal(layout.quote)}, header = false, skip = {layout.skip}, nullstr = '', "
        "null_padding = false, strict_mode = true, ignore_errors = true"
    )


def _count(sql: duckdb.DuckDBPyConnection, path: Path, layout: Layout) -> tuple[int, int, list[_Torn]]:
    """Read every cell once: how many records there are, how many of them are odd, and what can't be cut.

    The count is -1, or 0, where lines end in several ways, which DuckDB refuses, or does not see above the records.
    """
    _drop_reader_rejects(sql)
    # Were the cells not counted, those that are not asked for would not be looked at.
    cells = ", ".join(f"count({identifier(c)})" for c in layout.columns)
    odd = f"count(*) FILTER (WHERE {odd_sql(layout.columns, layout.header)})"
    try:
        counted = f"SELECT count(*), {odd}, {cells} FROM {_reader(path, layout)}, store_rejects = true)"
        ((rows, strange, *_),) = sql.execute(counted).fetchall()
    except duckdb.Error as error:
        if "state machine" in str(error) and not path.name.endswith(".even.txt"):
            return -1, 0, []
        raise IntakeError(f"{layout.shown}: found a file that can't be cut into rows and cells: {told(error)}") from None
    torn = sql.execute(
        "SELECT line, line_byte_position, any_value(csv_line), list(DISTINCT error_type::VARCHAR) "
        "FROM reject_errors GROUP BY ALL ORDER BY 2"
    ).fetchall()
    _drop_reader_rejects(sql)
    return int(rows), int(strange), [_Torn(line, byte, str(text or ""), frozenset(why)) for line, byte, text, why in torn]


def _drop_reader_rejects(sql: duckdb.DuckDBPyConnection) -> None:
    sql.execute("DROP TABLE IF EXISTS reject_scans; DROP TABLE IF EXISTS reject_errors")


def _keep(
    sql: duckdb.DuckDBPyConnection,
    name: str,
    path: Path,
    layout: Layout,
    rows: int,
    odd: int,
    torn: Sequence[_Torn],
    left_out: Sequence[int],
) -> tuple[int, list[Broken]]:
    """Make the table: a view of a sound text, else a stored table with the line of each record."""
    drop_raw(sql, name)
    reader, totals = _reader(path, layout), ends_in_totals(path, layout.delimiter, layout.quote)
    if not (torn or left_out or odd or totals) and count_lines(path) == layout.skip + rows:
        sql.execute(f"CREATE TEMP VIEW {identifier(name)} AS SELECT * FROM {reader})")
        return rows, []
    sql.execute(
        f"CREATE TEMP TABLE {identifier(name)} AS SELECT row_number() OVER () + {layout.skip} AS {RECORD}, * FROM {reader})"
    )
    places = number_records(
        sql, identifier(name), path, rows, layout.delimiter, layout.quote, layout.skip, left_out,
        [(record.line, record.byte, record.text, "") for record in torn],
    )  # fmt: skip
    broken = _mend(sql, name, layout, list(zip(places, torn, strict=True)))
    broken += set_aside(sql, name, layout.columns, layout.header)
    ((rows,),) = sql.execute(f"SELECT count(*) FROM {identifier(name)}").fetchall()
    return int(rows), broken


def _mend(sql: duckdb.DuckDBPyConnection, name: str, layout: Layout, torn: Sequence[tuple[int, _Torn]]) -> list[Broken]:
    """Put torn records into the table that only have empty cells too many or too few at their end; the others are broken."""
    broken: list[Broken] = []
    mended: list[tuple[object, ...]] = []
    for place, record in torn:
        cells = _whole_cells(record, layout) if record.why <= _CUTTING else None
        if cells is None:
            text = record.text.strip("\r\n")[:SHOWN]
            broken.append((place, text, f"{len(layout.names)} cells ({_reason(record)})"))
        elif any(cell.strip() for cell in cells):
            mended.append((place, *(cell or None for cell in cells)))
    if mended:
        kinds = [pa.int64(), *[pa.string()] * len(layout.names)]
        arrays = [pa.array(values, kind) for values, kind in zip(zip(*mended, strict=True), kinds, strict=True)]
        sql.register("mended", pa.Table.from_arrays(arrays, names=["record:", *layout.columns]))
        sql.execute(f"INSERT INTO {identifier(name)} BY NAME SELECT * FROM mended")
        sql.unregister("mended")
    return broken


def _reason(record: _Torn) -> str:
    return ", ".join(_WHY.get(why, why.lower()) for why in sorted(record.why))


def _whole_cells(record: _Torn, layout: Layout) -> list[str] | None:
    """The cells of a record, as many as there are columns; None where one is too many, or a named column has none."""
    if len(record.text) >= _TEXT_KEPT:
        return None
    found = list(cells_of(io.StringIO(record.text.rstrip("\r\n"), newline=""), layout.delimiter, layout.quote))
    if len(found) != 1:
        return None
    cells, named = found[0], len(layout.names)
    if not any(cell.strip() for cell in cells):
        return [""] * named
    while len(cells) > named and not cells[-1].strip():
        cells = cells[:-1]
    least = max((position for position, column in enumerate(layout.names, 1) if column), default=0)
    return [*cells, *[""] * (named - len(cells))] if least <= len(cells) <= named else None
