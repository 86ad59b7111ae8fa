"""A sample of any file or database as rows of text: the beginning, and a spread through the rest.

Intake reads whole files by declared formats; this looks at files of which nothing is known yet.
"""

from __future__ import annotations

import datetime as dt
import gzip
import itertools
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from crm_methods.company.guess_format import (
    ENCODING_SAMPLE,
    LINES_LOOKED_AT,
    Layout,
    find_header,
    guess_encoding,
    guess_layout,
    lines_of,
)
from crm_methods.company.record_numbers import cells_of
from crm_methods.company.sql_text import identifier, literal
from crm_methods.errors import IntakeError

FIRST_ROWS = 2_000
ROWS_KEPT = 40_000
BYTES_READ = 64 << 20
_TEXTS = (".csv", ".tsv", ".txt", ".tab", ".dat", ".asc")
_SQLITE = (".sqlite", ".sqlite3", ".db", ".db3")
_WORKBOOKS = (".xlsx", ".xlsm")
_BLANKS = " \t\r\n\u00a0\u202f\u2009\ufeff"
_SIGNATURES = {
    b"PK\x03\x04": "a zip file (perhaps a workbook: then end its name in .xlsx; else unpack it)",
    b"\x1f\x8b": "a gzip file (end its name in .gz)",
    b"PAR1": "a Parquet file (end its name in .parquet)",
    b"SQLite format 3\0": "a SQLite file (end its name in .sqlite)",
    b"\xd0\xcf\x11\xe0": "an old workbook (save it as .xlsx)",
    b"%PDF": "a PDF document (export the table itself)",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
}


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Some rows of one table of a source, every cell as text ("" where empty).

    ``place`` holds the keys of company.yml that find and cut it (file, sheet, table, header, formats …);
    ``rows`` are as wide as ``columns``; ``typed`` says that the container wrote dates and numbers itself.
    """

    label: str
    place: Mapping[str, Any]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    typed: bool = False
    whole: bool = True
    notes: tuple[str, ...] = ()
    formats: Mapping[str, str] = field(default_factory=dict)

    def cells(self, column: str) -> list[str]:
        """Cells of one column."""
        place = self.columns.index(column)
        return [row[place] for row in self.rows]


def peek(path: Path, place: Mapping[str, Any], label: str) -> list[Sample]:
    """Samples of every table in a file; ``place`` says how company.yml names the file.

    Raises
    ------
    IntakeError
        The file is empty, is of no kind that can be read, or is damaged; the message says what to do.
    """
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise IntakeError(f"{label}: found a file that can't be opened ({error.strerror or error}).") from None
    if not head:
        raise IntakeError(f"{label}: found an empty file (0 bytes), expected a header and rows. Export it again.")
    kind = Path(path.name.lower().removesuffix(".gz")).suffix
    if path.suffix.lower() == ".gz":
        _expect(head, b"\x1f\x8b", "a gzip file", label)
        return _peek_text(path, place, label) if kind in _TEXTS else _refuse(kind, label)
    if kind == ".parquet":
        _expect(head, b"PAR1", "a Parquet file", label)
        return [_peek_parquet(path, place, label)]
    if kind in _WORKBOOKS:
        _expect(head, b"PK\x03\x04", "an Excel workbook", label)
        return list(_peek_workbook(path, place, label))
    if kind in _SQLITE:
        _expect(head, b"SQLite format 3\0", "a SQLite file", label)
        return _peek_sqlite(path, place, label)
    return _peek_text(path, place, label) if kind in _TEXTS else _refuse(kind, label)


def _refuse(kind: str, label: str) -> list[Sample]:
    remedy = " Save it as .xlsx." if kind in {".xls", ".ods", ".xlsb", ".numbers"} else ""
    raise IntakeError(
        f'{label}: found a file of the kind "{kind}", expected .csv, .tsv, .txt, .xlsx, .parquet or .sqlite, '
        f"or a text with .gz behind.{remedy}"
    )


def _expect(head: bytes, signature: bytes, kind: str, label: str) -> None:
    if not head.startswith(signature):
        raise IntakeError(f"{label}: found {_told(head) or 'something else'}, expected {kind}. Export it again.")


def _told(head: bytes) -> str | None:
    return next((words for signature, words in _SIGNATURES.items() if head.startswith(signature)), None)


def _peek_text(path: Path, place: Mapping[str, Any], label: str) -> list[Sample]:
    raw, whole = _bytes_of(path, label)
    disguise = _told(raw[:16])
    if disguise:
        raise IntakeError(f"{label}: found {disguise}, expected a text.")
    encoding, sure = guess_encoding(raw[:ENCODING_SAMPLE] + raw[-(ENCODING_SAMPLE // 4) :])
    if encoding == "utf-8" and b"\0" in raw[:ENCODING_SAMPLE]:
        raise IntakeError(f"{label}: found bytes that are no text, expected a table as text. Export it again.")
    text = raw.decode(encoding, "replace").removeprefix("\ufeff")
    layout = guess_layout(text[: 1 << 20])
    columns, rows = _cut(text, layout)
    if not columns or not rows:
        found = "blank lines only" if not columns else "a header and no rows"
        raise IntakeError(f"{label}: found {found}, expected a header and rows. Export it again.")
    notes = (
        () if sure else (f"formats.encoding: it looks like {encoding}; do names with accents, or in another script, read well?",)
    )
    formats = {} if encoding == "utf-8" else {"encoding": encoding}
    formats |= {"delimiter": "tab" if layout.delimiter == "\t" else layout.delimiter} if layout.delimiter != "," else {}
    formats |= {"quote": layout.quote} if layout.quote != '"' else {}
    named = {**place, **_header_keys(layout.header, layout.header_row)}
    return [Sample(label, named, columns, rows, whole=whole, notes=notes, formats=formats)]


def _bytes_of(path: Path, label: str) -> tuple[bytes, bool]:
    """At most ``BYTES_READ`` bytes: the whole text, or its beginning and, where it can be reached, its end."""
    try:
        if path.suffix.lower() == ".gz":
            with gzip.open(path) as packed:
                raw = packed.read(BYTES_READ + 1)
            return raw[:BYTES_READ], len(raw) <= BYTES_READ
        size = path.stat().st_size
        with path.open("rb") as file:
            if size <= BYTES_READ:
                return file.read(), True
            begin = file.read(BYTES_READ // 2)
            file.seek(size - BYTES_READ // 2)
            # The halves are joined at line ends, so that no row is made of two.
            return begin[: begin.rfind(b"\n") + 1] + file.read().partition(b"\n")[2], False
    except (OSError, EOFError, zlib.error) as error:
        raise IntakeError(f"{label}: found a file that can't be read ({error}). Export it again.") from None


def _cut(text: str, layout: Layout) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    lines = lines_of(text)[layout.header_row - 1 :]
    if layout.delimiter == "whitespace":
        records: Iterator[list[str]] = (line.split() for line in lines if line.strip())
    else:
        records = _records(lines, layout)
    first = next(records, [])
    names = unique_names([cell.strip() for cell in first] if layout.header else [""] * len(first))
    body = records if layout.header else itertools.chain([first], records)
    return names, spread(_fitted(row, len(names)) for row in body)


def _records(lines: Sequence[str], layout: Layout) -> Iterator[list[str]]:
    reader = cells_of(iter(lines), layout.delimiter, layout.quote)
    try:
        yield from (row for row in reader if any(cell.strip() for cell in row))
    except Exception:  # csv.Error: a cell longer than any table has; what came before it is sample enough
        return


def _fitted(row: Sequence[str], width: int) -> tuple[str, ...]:
    return tuple(cell.strip(_BLANKS) for cell in (*row[:width], *[""] * (width - len(row))))


def unique_names(header: Sequence[str]) -> tuple[str, ...]:
    """Names of columns as intake gives them: empty ones numbered, repeated ones counted."""
    filled = [name or f"column_{position}" for position, name in enumerate(header, 1)]
    lower = [name.lower() for name in filled]
    counted = [
        name if lower.count(key) == 1 else f"{name} ({lower[:position].count(key) + 1})"
        for position, (name, key) in enumerate(zip(filled, lower, strict=True))
    ]
    return tuple(counted) if len({name.lower() for name in counted}) == len(counted) else unique_names(counted)


def spread(rows: Iterable[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """The first rows, then ever fewer of the rest, evenly, so that at most ``ROWS_KEPT`` stay; the last row always."""
    kept: list[tuple[str, ...]] = []
    step, last = 1, None
    for number, row in enumerate(rows):
        last = row
        if number < FIRST_ROWS or number % step == 0:
            kept.append(row)
        if len(kept) > ROWS_KEPT:
            kept, step = [*kept[:FIRST_ROWS], *kept[FIRST_ROWS::2]], step * 2
    return (*kept, last) if last is not None and kept[-1] is not last else tuple(kept)


def _header_keys(header: bool, row: int) -> dict[str, Any]:
    if not header:
        return {"header": False}
    return {"header_row": row} if row > 1 else {}


def _peek_parquet(path: Path, place: Mapping[str, Any], label: str) -> Sample:
    with duckdb.connect() as sql:
        try:
            source = f"read_parquet({literal(str(path))})"
            relation = sql.sql(f"FROM {source}")
            columns, kinds = tuple(relation.columns), [str(kind) for kind in relation.types]
            cells = ", ".join(f"coalesce({identifier(c)}::VARCHAR, '')" for c in columns)
            rows = sql.execute(f"SELECT {cells} FROM {source} LIMIT {FIRST_ROWS}").fetchall()
            rows += sql.execute(
                f"SELECT {cells} FROM {source} USING SAMPLE reservoir({ROWS_KEPT // 2} ROWS) REPEATABLE (7)"
            ).fetchall()
            for column, kind in zip(columns, kinds, strict=True):
                if kind.startswith(("DATE", "TIMESTAMP")):
                    rows += sql.execute(
                        f"SELECT {cells} FROM {source} ORDER BY {identifier(column)} DESC NULLS LAST LIMIT 1"
                    ).fetchall()
            ((total,),) = sql.execute(f"SELECT count(*) FROM {source}").fetchall()
        except duckdb.Error as error:
            raise IntakeError(f"{label}: found a Parquet file that can't be read ({str(error).splitlines()[0][:200]}).") from None
    if not total:
        raise IntakeError(f"{label}: found a header and no rows, expected at least one row.")
    unique = dict.fromkeys(rows) if total > FIRST_ROWS else rows[:total]
    return Sample(label, place, columns, tuple(unique), typed=True, whole=total <= FIRST_ROWS)


def _peek_workbook(path: Path, place: Mapping[str, Any], label: str) -> Iterator[Sample]:
    import openpyxl

    try:
        workbook = openpyxl.load_workbook(path, read_only=True, data_only=True)
        titles = [sheet.title for sheet in workbook.worksheets]
        for sheet in workbook.worksheets:
            rows = ([cell_text(value) for value in row] for row in sheet.iter_rows(values_only=True))
            keys = {**place, "sheet": sheet.title} if len(titles) > 1 else dict(place)
            sample = _sheet_sample(rows, keys, f"{label}, sheet {sheet.title}" if len(titles) > 1 else label)
            if sample is not None:
                yield sample
        workbook.close()
    except Exception as error:  # openpyxl raises whatever the damaged zip or XML inside it raises
        raise IntakeError(f"{label}: found a workbook that can't be read ({str(error).splitlines()[0][:200]}).") from None


def _sheet_sample(rows: Iterable[list[str]], place: Mapping[str, Any], label: str) -> Sample | None:
    """A sheet as a sample; None where nothing stands in it."""
    filled = ((number, row) for number, row in enumerate(rows, 1) if any(row))
    head = list(itertools.islice(filled, LINES_LOOKED_AT))
    if len(head) < 2:
        return None
    header, position = find_header([row for _, row in head])
    number, first = head[position]
    while first and not first[-1]:
        first.pop()
    columns = unique_names(first if header else [""] * len(first))
    body = itertools.chain(head[position + int(header) :], filled)
    cut = spread(_fitted(row, len(columns)) for _, row in body if any(row[: len(columns)]))
    return Sample(label, {**place, **_header_keys(header, number)}, columns, cut, typed=True) if cut else None


def cell_text(value: Any) -> str:
    """A typed cell as text: dates in ISO form, whole numbers without a point, blobs as nothing."""
    if value is None or isinstance(value, bytes | memoryview):
        return ""
    if isinstance(value, dt.datetime):
        return value.date().isoformat() if value.time() == dt.time() else value.isoformat(sep=" ")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value).strip()


def _peek_sqlite(path: Path, place: Mapping[str, Any], label: str) -> list[Sample]:
    import sqlite3

    try:
        # Read as it is, without a journal beside it: the folder may be read-only.
        base = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            base.text_factory = lambda raw: raw.decode("utf-8", "replace")
            names = [n for (n,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
            found = []
            for name in names:
                cursor = base.execute(f"SELECT * FROM {identifier(name)}")
                columns = tuple(c[0] for c in cursor.description)
                rows = spread(tuple(cell_text(value) for value in row) for row in cursor)
                if rows and not name.startswith("sqlite_"):
                    found.append(Sample(f"{label}, table {name}", {**place, "table": name}, columns, rows))
        finally:
            base.close()
    except sqlite3.Error as error:
        raise IntakeError(f"{label}: found a SQLite file that can't be read ({error}).") from None
    return found


def peek_database(url: str, password: str | None, place: Mapping[str, Any]) -> list[Sample]:
    """Samples of every table of a database that SQLAlchemy can reach; nothing is written to it.

    Raises
    ------
    IntakeError
        The address is not one, its driver is not installed, or the database refuses.
    """
    import sqlalchemy as sa

    try:
        address = sa.make_url(url)
        engine = sa.create_engine(address.set(password=password) if password is not None else address)
        with engine.connect() as connection:
            found = []
            for name in sa.inspect(connection).get_table_names():
                table = sa.Table(name, sa.MetaData(), autoload_with=connection)
                columns = tuple(column.name for column in table.columns)
                result = connection.execute(sa.select(table).limit(ROWS_KEPT))
                rows = tuple(tuple(cell_text(value) for value in row) for row in result)
                if rows:
                    found.append(Sample(f"table {name}", {**place, "table": name}, columns, rows, whole=len(rows) < ROWS_KEPT))
        engine.dispose()
    except ModuleNotFoundError as error:
        raise IntakeError(f"database: found no driver {error.name}, expected it to be installed. Install it with pip.") from None
    except sa.exc.SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or error).splitlines()[0][:200]
        raise IntakeError(
            f"database: found one that can't be read ({said}). Check the address and the password's variable."
        ) from None
    return found
