"""Files of any format as DuckDB tables of text: one column per source column, one row per record.

Nothing is interpreted here but the container (delimiter, quotes, encoding, workbook);
numbers and dates are still text, as the file has them, and ``casting`` reads them by the contract.
"""

from __future__ import annotations

import csv
import datetime as dt
import importlib.util
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from crm_methods.company.settings import Formats, Source
from crm_methods.errors import IntakeError

_DELIMITERS = (",", ";", "\t", "|")
_UTF8 = frozenset({"utf-8", "utf8", "utf-8-sig", "utf_8"})


@dataclass(frozen=True, slots=True)
class RawTable:
    """A source as text: a DuckDB table with ``record`` (1, 2, … in the file's order) and the source's columns.

    ``broken`` are records that could not be cut into cells: record number, the text, why.
    ``typed`` says that the container wrote numbers and dates itself (Excel, Parquet), in ISO form.
    """

    name: str
    columns: tuple[str, ...]
    header_lines: int
    broken: tuple[tuple[int, str, str], ...]
    typed: bool


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
        raise IntakeError(f'tables: found the source "package: {source.package}", expected an installed package. Install {package}.')
    root = Path(spec.submodule_search_locations[0]).resolve()
    path = (root / inside).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise IntakeError(f'tables: found no file "{inside}" in the package {package}.')
    return path


def read_raw(sql: duckdb.DuckDBPyConnection, name: str, source: Source, formats: Formats, path: Path, scratch: Path) -> RawTable:
    """Load one source as text into the table ``name``.

    Raises
    ------
    IntakeError
        The file is empty, is not of the kind its name says, or its format can't be read.
    """
    if path.stat().st_size == 0:
        raise IntakeError(f"{path.name}: found an empty file (0 bytes), expected a header and rows. Export it again.")
    kind = path.suffix.lower()
    if kind == ".parquet":
        return _read_parquet(sql, name, path)
    if kind in {".xlsx", ".xlsm"}:
        return _read_excel(sql, name, source, path, scratch)
    return _read_text(sql, name, source, formats, path, scratch)


def _read_parquet(sql: duckdb.DuckDBPyConnection, name: str, path: Path) -> RawTable:
    try:
        relation = sql.read_parquet(str(path))
    except duckdb.Error as error:
        raise IntakeError(f"{path.name}: found something that is not Parquet ({_first_line(error)}), expected a Parquet file.") from None
    cells = ", ".join(f"{identifier(c)}::VARCHAR AS {identifier(c)}" for c in relation.columns)
    sql.execute(
        f"CREATE OR REPLACE TEMP TABLE {identifier(name)} AS "
        f"SELECT row_number() OVER () AS record, {cells} FROM read_parquet({literal(str(path))})"
    )
    return RawTable(name, tuple(relation.columns), 0, (), typed=True)


def _read_excel(sql: duckdb.DuckDBPyConnection, name: str, source: Source, path: Path, scratch: Path) -> RawTable:
    import openpyxl

    try:
        workbook = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # openpyxl raises whatever the damaged zip or XML inside it raises
        raise IntakeError(f"{path.name}: found something that is not an Excel workbook ({_first_line(error)}).") from None
    sheet_name = source.sheet or workbook.sheetnames[0]
    if sheet_name not in workbook.sheetnames:
        raise IntakeError(f'{path.name}: found no sheet "{sheet_name}", expected one of {", ".join(workbook.sheetnames)}.')
    rows = ([_excel_text(value) for value in row] for row in workbook[sheet_name].iter_rows(values_only=True))
    records = (row for row in rows if any(row))
    columns = source.names if not source.header and source.names else next(records, [])
    if not any(columns):
        raise IntakeError(f'{path.name}: found an empty sheet "{sheet_name}", expected a header and rows.')
    copy = scratch / f"{name}.csv"
    with copy.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows(row[: len(columns)] + [""] * (len(columns) - len(row)) for row in records)
    workbook.close()
    unique = _unique(columns)
    _load_csv(sql, name, copy, unique, ",", '"', skip=0)
    return RawTable(name, unique, int(source.header), (), typed=True)


def _read_text(sql: duckdb.DuckDBPyConnection, name: str, source: Source, formats: Formats, path: Path, scratch: Path) -> RawTable:
    encoding = (formats.encoding or "utf-8").lower()
    delimiter = formats.delimiter or _sniff(path, encoding)
    quote = '"' if formats.quote is None else formats.quote
    undecodable: list[tuple[int, str, str]] = []
    readable = path
    if encoding not in _UTF8 or delimiter == "whitespace":
        readable = scratch / f"{name}.txt"
        undecodable = list(_transcode(path, readable, encoding, split=delimiter == "whitespace"))
        delimiter = "\t" if delimiter == "whitespace" else delimiter
    columns = _columns(source, readable, delimiter, quote, path.name)
    skip = int(source.header)
    torn = _load_csv(sql, name, readable, columns, delimiter, quote, skip)
    if not torn and not undecodable and not _count(sql, name):
        raise IntakeError(f"{path.name}: found a header and no rows, expected at least one row.")
    return RawTable(name, columns, skip, (*undecodable, *torn), typed=False)


def _columns(source: Source, path: Path, delimiter: str, quote: str, shown: str) -> tuple[str, ...]:
    if not source.header and source.names:
        return _unique(source.names)
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, delimiter=delimiter, quotechar=quote or None, quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE)
            first = next(reader, [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise IntakeError(
            f"{shown}: found a first line that can't be read ({_first_line(error)}), expected text. "
            "Declare its encoding in company.yml, such as `formats: {encoding: cp1251}`."
        ) from None
    if not source.header:
        return tuple(f"column_{position}" for position in range(1, len(first) + 1))
    return _unique([cell.strip() for cell in first])


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """Column names made distinct; the second "Name" becomes "Name (2)"."""
    seen: dict[str, int] = {}
    result = []
    for position, name in enumerate(names, 1):
        name = name or f"column_{position}"
        seen[name.lower()] = seen.get(name.lower(), 0) + 1
        result.append(name if seen[name.lower()] == 1 else f"{name} ({seen[name.lower()]})")
    return tuple(result)


def _load_csv(
    sql: duckdb.DuckDBPyConnection, name: str, path: Path, columns: tuple[str, ...], delimiter: str, quote: str, skip: int
) -> tuple[tuple[int, str, str], ...]:
    declared = "{" + ", ".join(f"{literal(c)}: 'VARCHAR'" for c in columns) + "}"
    sql.execute("DROP TABLE IF EXISTS reject_scans; DROP TABLE IF EXISTS reject_errors")
    try:
        sql.execute(
            f"CREATE OR REPLACE TEMP TABLE {identifier(name)} AS SELECT row_number() OVER () AS record, * FROM read_csv("
            f"{literal(str(path))}, auto_detect = false, columns = {declared}, delim = {literal(delimiter)}, "
            f"quote = {literal(quote)}, escape = {literal(quote)}, header = false, skip = {skip}, nullstr = '', "
            "null_padding = false, strict_mode = false, ignore_errors = true, store_rejects = true)"
        )
    except duckdb.Error as error:
        raise IntakeError(f"{path.name}: found a file that can't be cut into rows and cells: {_first_line(error)}") from None
    torn = sql.execute("SELECT line, any_value(csv_line), any_value(error_type) FROM reject_errors GROUP BY line ORDER BY line").fetchall()
    return tuple((int(line), str(text or "")[:200], f"{len(columns)} cells ({str(why).lower()})") for line, text, why in torn)


def _transcode(path: Path, into: Path, encoding: str, *, split: bool) -> Iterator[tuple[int, str, str]]:
    """Rewrite a text as UTF-8, line by line and strictly; lines with undecodable bytes are yielded, not written."""
    try:
        "".encode(encoding)
    except LookupError:
        raise IntakeError(f'{path.name}: found the encoding "{encoding}", expected one that Python knows, such as cp1251.') from None
    wide = encoding.replace("_", "-").startswith(("utf-16", "utf-32"))
    with into.open("w", encoding="utf-8", newline="") as out:
        lines: Iterable[str | bytes] = _wide_lines(path, encoding) if wide else _lines(path)
        for number, line in enumerate(lines, 1):
            try:
                text = line.decode(encoding) if isinstance(line, bytes) else line
            except UnicodeDecodeError as error:
                yield number, error.object.decode(encoding, "replace").strip()[:200], f"text in {encoding} ({error.reason})"
                continue
            out.write("\t".join(text.split()) + "\n" if split else text)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as lines:
        yield from lines


def _wide_lines(path: Path, encoding: str) -> Iterable[str]:
    try:
        with path.open(encoding=encoding, newline="") as lines:
            yield from lines
    except UnicodeError as error:
        raise IntakeError(f"{path.name}: found bytes that are not {encoding} ({_first_line(error)}).") from None


def _sniff(path: Path, encoding: str) -> str:
    """The delimiter that occurs most often in the first lines; a comma when none does."""
    with path.open(encoding=encoding, errors="replace") as lines:
        head = "".join(itertools.islice(lines, 5))
    return max(_DELIMITERS, key=head.count)


def _excel_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat(sep=" ") if isinstance(value, dt.datetime) else value.isoformat()
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value).strip()


def _count(sql: duckdb.DuckDBPyConnection, name: str) -> int:
    row = sql.execute(f"SELECT count(*) FROM {identifier(name)}").fetchone()
    return int(row[0]) if row else 0


def _first_line(error: BaseException) -> str:
    text = str(error)
    if text.startswith("{"):
        text = str(json.loads(text).get("exception_message", text))
    return (text.strip().splitlines() or [type(error).__name__])[0][:200]
