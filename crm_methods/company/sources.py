"""Files of any format as DuckDB tables of text: one column per source column, one row per record.

Nothing is interpreted here but the container (delimiter, quotes, encoding, workbook);
numbers and dates are still text, as the file has them, and ``casting`` reads them by the contract.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import duckdb

from crm_methods.company.containers import WORKBOOKS, expect_kind, told, unpacked, without_wildcards
from crm_methods.company.databases import SQLITE_ENDINGS, copy_of, read_sqlite, show_database
from crm_methods.company.raw_table import RawTable, count_rows, drop_raw
from crm_methods.company.settings import Formats, Source
from crm_methods.company.sql_text import identifier, literal
from crm_methods.company.text_source import read_text
from crm_methods.company.workbook_source import read_workbook
from crm_methods.errors import IntakeError


def locate(source: Source, folder: Path, name: str = "", copies: Path | None = None) -> Path:
    """The file a table's source names: in the company's folder, inside an installed package, or the copy of a database.

    ``copies`` is where databases are copied to; the company's folder where it is None.
    """
    if source.database is not None:
        return copy_of(name, source, copies or folder)
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


def show(source: Source, path: Path) -> str:
    """A source as messages and totals name it."""
    if source.database is not None:
        return show_database(source)
    return f"{path.name}, {source.table}" if source.table else path.name


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
        if path.suffix.lower() == ".gz":
            path = unpacked(path, scratch)
        kind = path.suffix.lower()
        if kind in SQLITE_ENDINGS:
            copy = scratch / f"{name}.parquet"
            read_sqlite(path, source, copy)
            return _read_parquet(sql, name, formats, copy, path.name)
        expect_kind(path)
        if kind == ".parquet":
            return _read_parquet(sql, name, formats, without_wildcards(path, scratch), path.name)
        if kind in WORKBOOKS:
            return read_workbook(sql, name, source, formats, path, scratch)
        return read_text(sql, name, source, formats, path, scratch)
    except OSError as error:
        raise IntakeError(f"{path.name}: found a file that can't be opened ({error.strerror or error}).") from None


def _read_parquet(sql: duckdb.DuckDBPyConnection, name: str, formats: Formats, path: Path, shown: str) -> RawTable:
    drop_raw(sql, name)
    try:
        relation = sql.read_parquet(str(path))
        cells = ", ".join(
            f"{_parquet_text(column, str(kind), formats)} AS {identifier(column)}"
            for column, kind in zip(relation.columns, relation.types, strict=True)
        )
        sql.execute(f"CREATE TEMP VIEW {identifier(name)} AS SELECT {cells} FROM read_parquet({literal(str(path))})")
        # A damaged page is found only by reading it; what is found here is told, later it would stop the run.
        looked_at = ", ".join(f"bit_xor(hash({identifier(column)}))" for column in relation.columns)
        sql.execute(f"SELECT {looked_at} FROM read_parquet({literal(str(path))})")
    except duckdb.Error as error:
        raise IntakeError(
            f"{shown}: found something that is not Parquet, or damaged ({told(error)}), expected a whole file. "
            "Copy or export it again."
        ) from None
    if not count_rows(sql, name):
        raise IntakeError(f"{shown}: found a header and no rows, expected at least one row.")
    return RawTable(name, tuple(relation.columns), (), typed=True, first=1)


def _parquet_text(column: str, kind: str, formats: Formats) -> str:
    cell = identifier(column)
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"make_timestamp(epoch_us({cell}))::VARCHAR"
    if formats.decimal == "," and kind.startswith(("DOUBLE", "FLOAT", "DECIMAL")):
        return f"replace({cell}::VARCHAR, '.', ',')"
    return f"{cell}::VARCHAR"
