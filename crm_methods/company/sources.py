"""Files of any format as DuckDB tables of text: one column per source column, one row per record.

Nothing is interpreted here but the container (delimiter, quotes, encoding, workbook);
numbers and dates are still text, as the file has them, and ``casting`` reads them by the contract.
"""

from __future__ import annotations

import codecs
import csv
import datetime as dt
import importlib.util
import itertools
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from crm_methods.company.record_numbers import RECORD, cells_of, number_records
from crm_methods.company.settings import Formats, Source
from crm_methods.errors import IntakeError, did_you_mean

_DELIMITERS = (",", ";", "\t", "|")
_SHOWN = 200
_CUT_INTO = {"whitespace": "\t", "tab": "\t"}


@dataclass(frozen=True, slots=True)
class RawTable:
    """A source as text: a DuckDB table with ``RECORD`` (the line or sheet row, counted from 1) and the source's columns.

    ``broken`` are records that could not be cut into cells: their line, the text, what was expected.
    ``typed`` says that the container wrote numbers and dates itself (Excel, Parquet), dates in ISO form.
    ``repeated`` are headers that occur more than once: the header and the names its columns have got.
    ``day_zero`` is the day from which a workbook counts dates that it holds as numbers.
    """

    name: str
    columns: tuple[str, ...]
    broken: tuple[tuple[int, str, str], ...]
    typed: bool
    repeated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    day_zero: dt.date | None = None


def identifier(name: str) -> str:
    """``name`` quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """``text`` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def locate(source: Source, folder: Path) -> Path:
    """The file a source names, in the company's folder or inside an installed package."""
    if source.package is None:
        return folder / str(source.file)
    package, _, inside = source.package.partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise IntakeError(f'found the source "package: {source.package}", expected an installed package. Install {package}.')
    root = Path(spec.submodule_search_locations[0]).resolve()
    path = (root / inside).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise IntakeError(f'found no file "{inside}" in the package {package}, expected one of its data files.')
    return path


def read_raw(sql: duckdb.DuckDBPyConnection, name: str, source: Source, formats: Formats, path: Path, scratch: Path) -> RawTable:
    """Load one source as text into the table ``name``.

    Raises
    ------
    IntakeError
        The file is empty, is not of the kind its name says, or its format can't be read.
    """
    try:
        if path.stat().st_size == 0:
            raise IntakeError(f"{path.name}: found an empty file (0 bytes), expected a header and rows. Export it again.")
        kind = path.suffix.lower()
        if kind == ".parquet":
            return _read_parquet(sql, name, formats, _without_wildcards(path, scratch))
        if kind in {".xlsx", ".xlsm"}:
            return _read_excel(sql, name, source, formats, path, scratch)
        if kind in {".xls", ".ods", ".xlsb"}:
            raise IntakeError(f"{path.name}: found a workbook of the kind {kind}, expected .xlsx. Save it as .xlsx.")
        return _read_text(sql, name, source, formats, path, scratch)
    except OSError as error:
        raise IntakeError(f"{path.name}: found a file that can't be opened ({error.strerror or error}).") from None


def _read_parquet(sql: duckdb.DuckDBPyConnection, name: str, formats: Formats, path: Path) -> RawTable:
    try:
        relation = sql.read_parquet(str(path))
        cells = ", ".join(
            f"{_parquet_text(column, str(kind), formats)} AS {identifier(column)}"
            for column, kind in zip(relation.columns, relation.types, strict=True)
        )
        sql.execute(
            f"CREATE OR REPLACE TEMP TABLE {identifier(name)} AS "
            f"SELECT row_number() OVER () AS {RECORD}, {cells} FROM read_parquet({literal(str(path))})"
        )
    except duckdb.Error as error:
        raise IntakeError(
            f"{path.name}: found something that is not Parquet ({_first_line(error)}), expected a Parquet file."
        ) from None
    if not _count(sql, name):
        raise IntakeError(f"{path.name}: found a header and no rows, expected at least one row.")
    return RawTable(name, tuple(relation.columns), (), typed=True)


def _parquet_text(column: str, kind: str, formats: Formats) -> str:
    cell = identifier(column)
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"make_timestamp(epoch_us({cell}))::VARCHAR"
    if formats.decimal == "," and kind.startswith(("DOUBLE", "FLOAT", "DECIMAL")):
        return f"replace({cell}::VARCHAR, '.', ',')"
    return f"{cell}::VARCHAR"


def _read_excel(
    sql: duckdb.DuckDBPyConnection, name: str, source: Source, formats: Formats, path: Path, scratch: Path
) -> RawTable:
    import openpyxl
    from openpyxl.utils.datetime import CALENDAR_MAC_1904

    copy = scratch / f"{name}.csv"
    try:
        workbook = openpyxl.load_workbook(path, read_only=True, data_only=True)
        sheets = {sheet.title: sheet for sheet in workbook.worksheets}
        title = source.sheet or next(iter(sheets))
        if title not in sheets:
            raise IntakeError(
                f'{path.name}: found no sheet "{title}", expected one of {", ".join(sheets)}. '
                f"{did_you_mean(title, sheets)}".rstrip()
            )
        rows = (
            (number, [_excel_text(value, formats.decimal) for value in row])
            for number, row in enumerate(sheets[title].iter_rows(values_only=True), 1)
        )
        header, broken = _copy_rows(source, (row for row in rows if any(row[1])), copy)
        day_zero = dt.date(1904, 1, 1) if workbook.epoch == CALENDAR_MAC_1904 else dt.date(1899, 12, 30)
        workbook.close()
    except IntakeError:
        raise
    except Exception as error:  # openpyxl raises whatever the damaged zip or XML inside it raises
        raise IntakeError(f"{path.name}: found something that is not an Excel workbook ({_first_line(error)}).") from None
    if not any(header):
        raise IntakeError(f'{path.name}: found an empty sheet "{title}", expected a header and rows.')
    columns = _unique(header)
    _load_numbered(sql, name, copy, columns)
    if not broken and not _count(sql, name):
        raise IntakeError(f'{path.name}: found a header and no rows in the sheet "{title}", expected at least one row.')
    return RawTable(name, columns, broken, True, _repeated(header, columns), day_zero)


def _copy_rows(
    source: Source, rows: Iterator[tuple[int, list[str]]], copy: Path
) -> tuple[list[str], tuple[tuple[int, str, str], ...]]:
    """Write a sheet's filled rows as CSV, each with its number; the header, and the rows wider than it, are returned."""
    first = next(rows, (0, []))
    header = list(source.names or (first[1] if source.header else _numbered(len(first[1]))))
    while header and not header[-1]:
        header.pop()
    width, broken = len(header), []
    with copy.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for number, row in rows if source.header else itertools.chain([first], rows):
            if any(row[width:]):
                broken.append((number, " · ".join(row)[:_SHOWN], f"{width} cells (too many columns)"))
            else:
                writer.writerow([number, *row[:width], *[""] * (width - len(row))])
    return header, tuple(broken)


def _load_numbered(sql: duckdb.DuckDBPyConnection, name: str, path: Path, columns: Sequence[str]) -> None:
    declared = ", ".join(f"{literal(c)}: 'VARCHAR'" for c in columns)
    sql.execute(
        f"CREATE OR REPLACE TEMP TABLE {identifier(name)} AS FROM read_csv({literal(str(path))}, auto_detect = false, "
        f"columns = {{'record:': 'BIGINT', {declared}}}, delim = ',', quote = '\"', escape = '\"', header = false, nullstr = '', "
        "allow_quoted_nulls = true)"
    )


def _read_text(
    sql: duckdb.DuckDBPyConnection, name: str, source: Source, formats: Formats, path: Path, scratch: Path
) -> RawTable:
    encoding = _known_encoding(formats.encoding or "utf-8", path.name)
    spaced = formats.delimiter == "whitespace"
    quote = '"' if formats.quote is None else formats.quote
    undecodable: tuple[tuple[int, str, str], ...] = ()
    readable = path
    if encoding != "utf-8" or spaced:
        readable = scratch / f"{name}.txt"
        undecodable = tuple(_transcode(path, readable, encoding, split=spaced))
    readable = _without_wildcards(readable, scratch)
    delimiter = _CUT_INTO.get(formats.delimiter or "", formats.delimiter) or _sniff(readable, formats)
    header, skip = _header(source, readable, delimiter, quote, path.name)
    columns = _unique(header)
    torn = _load_csv(sql, name, readable, path.name, columns, delimiter, quote, skip, [number for number, _, _ in undecodable])
    if not torn and not undecodable and not _count(sql, name):
        raise IntakeError(f"{path.name}: found a header and no rows, expected at least one row.")
    return RawTable(name, columns, (*undecodable, *torn), False, _repeated(header, columns))


def _known_encoding(encoding: str, shown: str) -> str:
    try:
        "".encode(encoding)
        name = codecs.lookup(encoding).name
    except (LookupError, ValueError):
        raise IntakeError(
            f'{shown}: found the encoding "{encoding}", expected one that Python knows, such as cp1251. '
            f"{did_you_mean(encoding, _ENCODINGS)}".rstrip()
        ) from None
    return "utf-8" if name == "utf-8-sig" else name


_ENCODINGS = ("utf-8", "utf-16", "cp1251", "cp1252", "cp866", "koi8-r", "latin-1", "iso-8859-15")


def _header(source: Source, path: Path, delimiter: str, quote: str, shown: str) -> tuple[list[str], int]:
    """The names of the columns, and the number of lines above the first record."""
    # Bad bytes further down are found, and counted, line by line; here only the header must be sound.
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        reader = cells_of(lines, delimiter, quote)
        try:
            first = next((row for row in reader if any(cell.strip() for cell in row)), [])
        except csv.Error as error:
            raise IntakeError(f"{shown}: found a first line that can't be cut into cells ({error}).") from None
        skip = reader.line_num if source.header else 0
    if not first:
        raise IntakeError(f"{shown}: found blank lines only, expected a header and rows. Export it again.")
    if source.header and any("\ufffd" in cell or "\0" in cell for cell in first):
        raise IntakeError(
            f"{shown}: found a first line with bytes that are not text ({delimiter.join(first)[:60]!r}). "
            "Declare its encoding in company.yml, such as `formats: {encoding: cp1251}`."
        )
    if len(first) == 1:
        _expect_delimiter(first[0], delimiter, shown)
    names = source.names or (first if source.header else _numbered(len(first)))
    return [cell.strip() for cell in names], skip


def _expect_delimiter(line: str, delimiter: str, shown: str) -> None:
    other = next((d for d in _DELIMITERS if d != delimiter and line.count(d) > 1), None)
    if other is not None:
        raise IntakeError(
            f'{shown}: found no "{delimiter}" in the first line, expected it between the cells. '
            f"Its cells seem to be divided by {other!r}: `formats: {{delimiter: {json.dumps(other)}}}`."
        )


def _numbered(count: int) -> list[str]:
    return [f"column_{position}" for position in range(1, count + 1)]


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """Column names made distinct: where "Name" occurs twice, they become "Name (1)" and "Name (2)"."""
    filled = [name or f"column_{position}" for position, name in enumerate(names, 1)]
    counts, seen, result = Counter(name.lower() for name in filled), Counter[str](), list[str]()
    for name in filled:
        seen[name.lower()] += 1
        result.append(name if counts[name.lower()] == 1 else f"{name} ({seen[name.lower()]})")
    # A file may hold "Name", "Name" and "Name (1)".
    return tuple(result) if len({name.lower() for name in result}) == len(result) else _unique(result)


def _repeated(header: Sequence[str], columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    named: dict[str, list[str]] = {}
    for name, column in zip(header, columns, strict=True):
        named.setdefault(name.lower(), []).append(column)
    return {name: tuple(distinct) for name, distinct in named.items() if name and len(distinct) > 1}


def _load_csv(
    sql: duckdb.DuckDBPyConnection,
    name: str,
    path: Path,
    shown: str,
    columns: tuple[str, ...],
    delimiter: str,
    quote: str,
    skip: int,
    left_out: Sequence[int],
) -> tuple[tuple[int, str, str], ...]:
    """Load a UTF-8 text; the records that can't be cut are returned. ``left_out`` are lines missing from ``path``."""
    declared = "{" + ", ".join(f"{literal(c)}: 'VARCHAR'" for c in columns) + "}"
    query = (
        f"CREATE OR REPLACE TEMP TABLE {identifier(name)} AS SELECT row_number() OVER () + {skip} AS {RECORD}, * FROM read_csv("
        f"{literal(str(path))}, auto_detect = false, columns = {declared}, delim = {literal(delimiter)}, "
        f"quote = {literal(quote)}, escape = {literal(quote)}, header = false, skip = {skip}, nullstr = '', "
        "null_padding = false, strict_mode = true, ignore_errors = true, store_rejects = true)"
    )
    try:
        _drop_reader_rejects(sql)
        sql.execute(query)
    except duckdb.Error as error:
        even = path.with_name(f"{name}.even.txt")
        if "state machine" not in str(error) or path == even:
            raise IntakeError(f"{shown}: found a file that can't be cut into rows and cells: {_first_line(error)}") from None
        return _load_csv(sql, name, _even_newlines(path, even), shown, columns, delimiter, quote, skip, left_out)
    torn = sql.execute(
        "SELECT line, line_byte_position, any_value(csv_line), any_value(error_type) FROM reject_errors GROUP BY ALL ORDER BY 2"
    ).fetchall()
    _drop_reader_rejects(sql)
    places = number_records(sql, identifier(name), path, _count(sql, name), delimiter, quote, skip, left_out, torn)
    return tuple(
        (place, str(text or "").strip("\r\n")[:_SHOWN], f"{len(columns)} cells ({str(why).lower()})")
        for place, (_, _, text, why) in zip(places, torn, strict=True)
    )


def _drop_reader_rejects(sql: duckdb.DuckDBPyConnection) -> None:
    sql.execute("DROP TABLE IF EXISTS reject_scans; DROP TABLE IF EXISTS reject_errors")


def _without_wildcards(path: Path, scratch: Path) -> Path:
    """The file under a name in which DuckDB sees no pattern."""
    if not set("*?[") & set(str(path)):
        return path
    alias = scratch / f"alias_{zlib.crc32(str(path).encode())}{path.suffix}"
    if not alias.exists():
        alias.symlink_to(path.resolve())
    return alias


def _transcode(path: Path, into: Path, encoding: str, *, split: bool) -> Iterator[tuple[int, str, str]]:
    """Rewrite a text as UTF-8, line by line and strictly; lines with undecodable bytes are yielded, not written."""
    wide = encoding.startswith(("utf-16", "utf-32"))
    with into.open("w", encoding="utf-8", newline="") as out:
        lines: Iterable[str | bytes] = _wide_lines(path, encoding) if wide else _lines(path)
        for number, line in enumerate(lines, 1):
            try:
                text = line.decode(encoding) if isinstance(line, bytes) else line
            except UnicodeDecodeError as error:
                yield number, error.object.decode(encoding, "replace").strip()[:_SHOWN], f"text in {encoding} ({error.reason})"
                continue
            text = text.removeprefix("\ufeff") if number == 1 else text
            out.write("\t".join(text.split()) + "\n" if split else text)


def _even_newlines(path: Path, into: Path) -> Path:
    """A copy of a text whose lines all end alike; DuckDB refuses a mixture."""
    with (
        path.open(encoding="utf-8", errors="surrogateescape") as lines,
        into.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as out,
    ):
        out.writelines(lines)
    return into


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as lines:
        yield from lines


def _wide_lines(path: Path, encoding: str) -> Iterable[str]:
    try:
        with path.open(encoding=encoding, newline="") as lines:
            yield from lines
    except UnicodeError as error:
        raise IntakeError(f"{path.name}: found bytes that are not {encoding} ({_first_line(error)}).") from None


def _sniff(path: Path, formats: Formats) -> str:
    """The delimiter that occurs most often in the first filled line; a comma when none does."""
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        first = next((line for line in lines if line.strip()), "")
    candidates = [d for d in _DELIMITERS if d != formats.decimal] if formats.decimal == "," else list(_DELIMITERS)
    best = max(candidates, key=first.count)
    return best if first.count(best) else ","


def _excel_text(value: Any, decimal: str | None) -> str:
    if value is None:
        return ""
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat(sep=" ") if isinstance(value, dt.datetime) else value.isoformat()
    if isinstance(value, float):
        text = repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
        return text.replace(".", ",") if decimal == "," else text
    return str(value).strip()


def _count(sql: duckdb.DuckDBPyConnection, name: str) -> int:
    ((rows,),) = sql.execute(f"SELECT count(*) FROM {identifier(name)}").fetchall()
    return int(rows)


def _first_line(error: BaseException) -> str:
    text = str(error)
    if text.startswith("{"):
        text = str(json.loads(text).get("exception_message", text))
    return (text.strip().splitlines() or [type(error).__name__])[0][:_SHOWN]
