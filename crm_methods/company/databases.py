"""Databases as files: what a table or a query holds is copied once a run, so that all stages see the same rows.

Everything comes out as text, in ISO form and with a decimal point; ``casting`` reads it by the contract like any file's.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from crm_methods.company.settings import Company, Source
from crm_methods.company.sql_text import identifier
from crm_methods.errors import Faults, IntakeError, did_you_mean

if TYPE_CHECKING:
    from sqlalchemy import Engine

SQLITE_ENDINGS = frozenset({".sqlite", ".sqlite3", ".db", ".db3"})
_FOLDER = ".database"
_ROWS_AT_ONCE = 50_000
_WAIT_SECONDS = 5.0
_SHOWN = 200
_READ_ONLY: Mapping[str, Mapping[str, Any]] = {"postgresql": {"postgresql_readonly": True}}


def copy_of(name: str, source: Source, folder: Path) -> Path:
    """Where the copy of what a source's table or query holds lies, below ``folder``."""
    what = f"{source.database}\n{source.table}\n{source.query}"
    return folder / _FOLDER / f"{name}-{hashlib.sha256(what.encode()).hexdigest()[:12]}.parquet"


def pull(company: Company, folder: Path) -> None:
    """Copy what the declared databases hold now, below ``folder``.

    Raises
    ------
    IntakeError
        A database that can't be reached, opened or read; all of them together.
    """
    faults = Faults()
    for name, source in company.tables.items():
        if source.database is not None:
            try:
                copy_database(source, copy_of(name, source, folder))
            except IntakeError as error:
                faults.tell(f"tables.{name}", str(error))
    faults.raise_if_any(IntakeError, f"The databases of {company.company} can't be read as company.yml says:")


def copy_database(source: Source, into: Path) -> None:
    """Copy the rows of a source's table or query to a Parquet file of text.

    Raises
    ------
    IntakeError
        The database says no: its driver is not installed, nobody answers, the password is wrong, there is no such table.
    """
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError

    engine = open_database(source)
    shown = show_database(source)
    # What the server says is told below; the pool would print its own trace of it.
    logging.getLogger("sqlalchemy.pool").addHandler(logging.NullHandler())
    try:
        with engine.connect() as connection:
            connection = connection.execution_options(stream_results=True, **_READ_ONLY.get(engine.dialect.name, {}))
            result = connection.execute(_statement(sqlalchemy, engine, source, shown))
            _write(result.keys(), iter(lambda: result.fetchmany(_ROWS_AT_ONCE), []), into)
            connection.rollback()
    except SQLAlchemyError as error:
        raise IntakeError(f"{shown}: found a database that says no ({first_line(error)}). {_advice(source)}") from None
    except OSError as error:
        raise IntakeError(f"{shown}: found a database that can't be reached ({error}). {_advice(source)}") from None
    except (TypeError, ValueError) as error:  # a driver that was given too little, such as no user
        raise IntakeError(f"{shown}: found a database that can't be opened ({first_line(error)}). {_advice(source)}") from None
    finally:
        engine.dispose()


def open_database(source: Source) -> Engine:
    """The SQLAlchemy engine of a source's database, its password taken from the environment.

    Raises
    ------
    IntakeError
        The address can't be read, its driver is not installed, or the password's variable is not set.
    """
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError

    shown = show_database(source)
    try:
        url = sqlalchemy.make_url(str(source.database))
    except SQLAlchemyError:
        raise IntakeError(
            f'{shown}: found an address that can\'t be read, expected one such as "postgresql+pg8000://user@host/database".'
        ) from None
    if url.password:
        raise IntakeError(f"{shown}: found a password in company.yml, expected `password_env: NAME` of a variable that holds it.")
    if source.password_env is not None:
        password = os.environ.get(source.password_env)
        if password is None:
            raise IntakeError(
                f"{shown}: found no environment variable {source.password_env}, expected the database's password in it."
            )
        url = url.set(password=password)
    try:
        if url.get_backend_name() == "sqlite" and url.database:
            # Read only, and a file that is not there is not made.
            path = Path(url.database)
            return sqlalchemy.create_engine("sqlite://", creator=lambda: _open_sqlite(path))
        return sqlalchemy.create_engine(url)
    except (SQLAlchemyError, ImportError) as error:
        raise IntakeError(
            f"{shown}: found no driver for {url.drivername} ({first_line(error)}). Install it, such as pg8000 for "
            "postgresql+pg8000 (`pip install 'crm-methods[postgresql]'`)."
        ) from None


def read_sqlite(path: Path, source: Source, into: Path) -> None:
    """Copy a table or query of a SQLite file to a Parquet file of text.

    Raises
    ------
    IntakeError
        The file is no database, is locked, or has no such table.
    """
    try:
        with closing(_open_sqlite(path)) as connection:
            # Texts in another encoding than UTF-8 must not stop the whole table.
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            there = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")]
            if source.query is None and source.table not in there:
                raise IntakeError(_no_table(path.name, source, there))
            rows = connection.execute(source.query or f"SELECT * FROM {identifier(str(source.table))}")
            _write([column[0] for column in rows.description or ()], iter(lambda: rows.fetchmany(_ROWS_AT_ONCE), []), into)
    except sqlite3.Error as error:
        locked = " Close the program that is writing to it, or copy the file." if "locked" in str(error) else ""
        raise IntakeError(f"{path.name}: found a SQLite file that can't be read ({first_line(error)}).{locked}") from None


def _open_sqlite(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=_WAIT_SECONDS)


def show_database(source: Source) -> str:
    """A database and its table as messages name it, without user and password."""
    address = str(source.database).partition("?")[0].split("://", 1)[-1].rsplit("@", 1)[-1]
    return f"database {address}{f', table {source.table}' if source.table else ''}"


def first_line(error: BaseException) -> str:
    """What a driver says, in one line and without SQLAlchemy's own additions."""
    cause = getattr(error, "orig", None) or error
    told = cause.args[0] if cause.args and isinstance(cause.args[0], dict) else None
    text = str(told.get("M", told)) if told else str(cause)
    return (text.strip().splitlines() or [type(error).__name__])[0][:_SHOWN]


def _statement(sqlalchemy: Any, engine: Engine, source: Source, shown: str) -> Any:
    if source.query is not None:
        return sqlalchemy.text(source.query)
    schema, _, name = str(source.table).rpartition(".")
    inspector = sqlalchemy.inspect(engine)
    there = [*inspector.get_table_names(schema=schema or None), *inspector.get_view_names(schema=schema or None)]
    if name not in there:
        raise IntakeError(_no_table(shown, source, there))
    columns = [sqlalchemy.column(c["name"]) for c in inspector.get_columns(name, schema=schema or None)]
    return sqlalchemy.select(*columns).select_from(sqlalchemy.table(name, *columns, schema=schema or None))


def _no_table(shown: str, source: Source, there: Sequence[str]) -> str:
    listed = ", ".join(sorted(there)[:30]) or "nothing"
    return (
        f'{shown}: found no table "{source.table}", expected one of {listed}. {did_you_mean(str(source.table), there)}'.rstrip()
    )


def _advice(source: Source) -> str:
    password = f"the password in {source.password_env}" if source.password_env else "whether it wants a password (`password_env`)"
    return f"Check its address, the user, {password}, and the table or query."


def _write(columns: Iterable[str], batches: Iterator[Sequence[Any]], into: Path) -> None:
    """Write rows as Parquet whose columns are all text; the file appears under its name only when it is whole."""
    names = _distinct(list(columns))
    schema = pa.schema([(name, pa.string()) for name in names])
    into.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = into.with_name(f".{into.name}.partial")
    with pq.ParquetWriter(partial, schema) as writer:
        for rows in batches:
            cells = [pa.array([_text(value) for value in column], pa.string()) for column in zip(*rows, strict=True)]
            writer.write_table(pa.Table.from_arrays(cells, schema=schema))
    partial.replace(into)


def _distinct(names: Sequence[str]) -> list[str]:
    """Names of columns made distinct, as a query that joins tables may need."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name.lower()] = seen.get(name.lower(), 0) + 1
        result.append(name if seen[name.lower()] == 1 else f"{name} ({seen[name.lower()]})")
    return result


def _text(value: Any) -> str | None:
    """A cell as text; binary content is nothing that any column holds."""
    if value is None or isinstance(value, bytes | memoryview):
        return None
    if isinstance(value, dt.datetime):
        moment = value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value
        return moment.isoformat(sep=" ")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
