"""Where frames live: DuckDB embedded by default, Spark as the way out of one machine.

What has a row per client or finer is a narwhals ``LazyFrame`` over one of them; this
module opens the engine, scans and writes Parquet, brings a bounded frame into memory,
and holds the shims for what the engines do not agree on. Everything else in the package
uses the verbs listed in ``VERBS`` and runs unchanged on pandas, DuckDB and Spark.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import secrets
import shutil
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import duckdb
import narwhals as nw
import pandas as pd
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from crm_methods.errors import CrmError, TooManyRowsError

VERBS = (
    # frames
    "select", "with_columns", "filter", "group_by.agg", "join.inner", "join.left", "join.anti", "join.cross", "sort", "unique",
    "rename", "drop", "head", "concat",
    # columns
    "alias", "cast", "fill_null", "is_null", "is_in", "is_between", "abs", "round", "log", "sqrt", "floor", "floor_div", "mod",
    "lit", "when.then.otherwise", "coalesce", "max_horizontal", "min_horizontal", "concat_str", "str.to_lowercase",
    "dt.year", "dt.month", "dt.day", "dt.truncate", "dt.to_string",
    # groups and windows
    "len", "count", "sum", "mean", "min", "max", "median", "n_unique", "sum.over", "min.over", "len.over", "cum_sum.over",
    "shift.over", "rank.over",
)  # fmt: skip
"""The narwhals verbs in use, each tested on pandas, DuckDB and Spark."""

DEFAULT_MAX_ROWS = 2_000_000


class EngineSettings(BaseModel):
    """Which engine carries the frames, and how much of the machine it may use."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    kind: Literal["duckdb", "spark"] = "duckdb"
    memory_limit: Annotated[str, Field(pattern=r"^\d+(\.\d+)?\s?[KMGT]i?B$")] = "4GB"
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    master: str = "local[*]"


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """An open engine: one connection, so that all its frames can be joined.

    ``sql`` is DuckDB's connection whatever the kind, since intake always reads with it.
    """

    kind: str
    sql: duckdb.DuckDBPyConnection
    spark: Any = None

    def scan(self, path: Path) -> nw.LazyFrame[Any]:
        """A Parquet file as a lazy frame of this engine."""
        if self.spark is not None:
            return _lazy(self.spark.read.parquet(str(path)))
        return _lazy(self.sql.read_parquet(str(path)))

    def frame(self, data: pd.DataFrame) -> nw.LazyFrame[Any]:
        """A small pandas frame as a lazy frame of this engine, so that it can be joined."""
        # Arrow turns NaN into NULL, and keeps the data alive inside the relation; a bare pandas frame is found by name only.
        table = pa.Table.from_pandas(data, preserve_index=False)
        return _lazy(self.spark.createDataFrame(table) if self.spark is not None else self.sql.from_arrow(table))

    def write(self, frame: nw.LazyFrame[Any] | pd.DataFrame, path: Path, order_by: Sequence[str]) -> int:
        """Write a frame to one Parquet file, ordered by its key, and return its number of rows.

        The file appears under its name only when it is whole.
        """
        lazy = self.frame(frame) if isinstance(frame, pd.DataFrame) else frame
        if order_by:
            lazy = lazy.sort(*order_by)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        try:
            _write_parquet(lazy, partial)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
        # All of a result is fetched: DuckDB refuses other work while one is unfinished.
        ((rows,),) = self.sql.execute("SELECT count(*) FROM read_parquet(?)", [str(path)]).fetchall()
        return int(rows)

    def close(self) -> None:
        """Give back the engine's memory and processes."""
        self.sql.close()
        if self.spark is not None:
            self.spark.stop()


def open_engine(settings: EngineSettings | None = None, temp_folder: Path | None = None) -> Engine:
    """Open the engine that ``settings`` name.

    Parameters
    ----------
    settings
        Kind, memory limit and threads; DuckDB with 4 GB when None.
    temp_folder
        Where DuckDB puts what does not fit into memory; the system's when None.

    Raises
    ------
    CrmError
        Spark is asked for and not installed.
    """
    settings = settings or EngineSettings()
    spill = temp_folder or Path(tempfile.gettempdir()) / "crm_methods"
    spill.parent.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {
        "memory_limit": settings.memory_limit,
        # Two engines must not share a folder: their files bear the same names. DuckDB makes and removes it.
        "temp_directory": str(spill.with_name(f"{spill.name}-{os.getpid()}-{secrets.token_hex(4)}")),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    if settings.threads is not None:
        config["threads"] = settings.threads
    sql = duckdb.connect(":memory:", config=config)
    # A progress bar would stand in the executed notebooks; where it is off already, setting it asks for a widget library.
    if sql.execute("SELECT current_setting('enable_progress_bar')").fetchall() == [(True,)]:
        sql.execute("SET enable_progress_bar = false")
    if settings.kind == "duckdb":
        return Engine("duckdb", sql)
    return Engine("spark", sql, _open_spark(settings))


def collect(frame: nw.LazyFrame[Any], columns: Sequence[str] | None = None, max_rows: int = DEFAULT_MAX_ROWS) -> pd.DataFrame:
    """Bring a bounded frame into memory as plain pandas.

    Decimals become floats, whole numbers ``int64`` or, with gaps, floats, days ``datetime64``, texts what pandas takes
    them for. Rows come in no particular order unless ``frame`` is sorted.

    Raises
    ------
    TooManyRowsError
        ``frame`` has more than ``max_rows`` rows.
    """
    wanted = frame.select(*columns) if columns is not None else frame
    # Eager frames refuse a backend; all lazy ones can hand over pandas.
    collected = wanted.head(max_rows + 1).collect(backend="pandas")
    data: pd.DataFrame = collected.to_native()
    if len(data) > max_rows:
        raise TooManyRowsError(
            f"A method that works in memory was handed more than {max_rows:,} rows. Aggregate, or narrow the scope of the run."
        )
    return plain(data)


def plain(data: pd.DataFrame) -> pd.DataFrame:
    """The same rows with numpy's own types, whatever engine they came from."""
    return data.assign(**{name: _plain_column(data[name]) for name in data.columns}).reset_index(drop=True)


def _plain_column(column: pd.Series[Any]) -> pd.Series[Any]:
    kind = column.dtype
    if isinstance(kind, pd.CategoricalDtype):
        return column
    if pd.api.types.is_bool_dtype(kind):
        return column.astype(object) if column.isna().any() else column.astype(bool)
    if pd.api.types.is_numeric_dtype(kind):
        return column.astype("float64" if pd.api.types.is_float_dtype(kind) or column.isna().any() else "int64")
    if pd.api.types.is_datetime64_any_dtype(kind):
        return column.astype("datetime64[us]")
    first = next(iter(column.dropna()), None)
    if isinstance(first, Decimal):
        return column.astype("float64")
    if isinstance(first, dt.date):
        return pd.to_datetime(column).astype("datetime64[us]")
    # Texts: object or pandas' own string type, whichever this pandas takes them for.
    return column.astype(object).infer_objects()


def day_number(column: str | nw.Expr) -> nw.Expr:
    """Whole days since 1970-01-01 of a date or timestamp column.

    The engines agree neither on date − date nor on casting a date to a number, so this is
    the civil-calendar count (Hinnant 2013, "chrono-compatible low-level date algorithms"):
    years begin in March so that the leap day is the last one.
    """
    moment = nw.col(column) if isinstance(column, str) else column
    year, month, day = moment.dt.year().cast(nw.Int64), moment.dt.month().cast(nw.Int64), moment.dt.day().cast(nw.Int64)
    # Floors of quotients, not // and %: those become 17 kB of SQL at every use, which DuckDB takes longer to plan than to run.
    early = nw.when(month <= 2).then(nw.lit(1)).otherwise(nw.lit(0))
    civil_year, shifted = year - early, month - 3 + early * 12
    leap_days = (civil_year / 4).floor() - (civil_year / 100).floor() + (civil_year / 400).floor()
    days = civil_year * 365 + leap_days + ((shifted * 153 + 2) / 5).floor() + day - 719_469
    return days.cast(nw.Int64)


def day_of(day: dt.date) -> int:
    """Whole days since 1970-01-01 of one day."""
    return (dt.date(day.year, day.month, day.day) - dt.date(1970, 1, 1)).days


def month_number(column: str | nw.Expr) -> nw.Expr:
    """Months since the year 0 of a date column: ``12 · year + month − 1``."""
    moment = nw.col(column) if isinstance(column, str) else column
    return moment.dt.year().cast(nw.Int64) * 12 + moment.dt.month().cast(nw.Int64) - 1


def month_of(day: dt.date) -> int:
    """Months since the year 0 of one day, as ``month_number`` counts them."""
    return day.year * 12 + day.month - 1


def month_start(number: int) -> dt.date:
    """First day of a month counted by ``month_number``."""
    return dt.date(number // 12, number % 12 + 1, 1)


def as_float(column: str | nw.Expr) -> nw.Expr:
    """A number column as floats in which NULL stays NULL (money is stored as a decimal)."""
    return (nw.col(column) if isinstance(column, str) else column).cast(nw.Float64)


def fingerprint(path: Path) -> str:
    """Hash of a Parquet file's columns and rows, whatever the rows' order; floats count to 7 significant digits.

    Floats are added in an order that differs from run to run. Differences of such sums, and what follows from them, differ
    by up to about 1e-12 of their size: with far fewer digits than that, a value next to the edge of its last digit is rare. Sums
    of money would lie on such an edge by the half cent; what is rounded is therefore a multiple by a number without an end.
    Money as it was read is a decimal and counts whole.
    """
    with duckdb.connect(":memory:") as sql:
        relation = sql.read_parquet(str(path))
        row = ", ".join(_hashed(name, str(kind)) for name, kind in zip(relation.columns, relation.types, strict=True))
        names = zlib.crc32(json.dumps(relation.columns).encode())
        counted = sql.execute(
            f"SELECT count(*), coalesce(sum(hash({row})::HUGEINT % 1000000007), 0), coalesce(bit_xor(hash({row})), 0) "
            "FROM read_parquet(?)",
            [str(path)],
        ).fetchall()
    return "-".join(f"{int(value):x}" for value in (*counted[0], names))


def _hashed(name: str, kind: str) -> str:
    """SQL of a cell as it is hashed; adding 0 makes -0 and 0 one."""
    column = '"' + name.replace('"', '""') + '"'
    return f"format('{{:.9g}}', ({column} + 0) * {math.pi})" if kind in {"DOUBLE", "FLOAT"} else f"{column}::VARCHAR"


def _lazy(native: Any) -> nw.LazyFrame[Any]:
    frame: nw.LazyFrame[Any] = nw.from_native(native).lazy()
    return frame


def _open_spark(settings: EngineSettings) -> Any:
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise CrmError(
            "company.yml asks for `engine: {kind: spark}`, and pyspark is not installed. "
            "Install the extra (`pip install 'crm-methods[spark]'`) and Java 17, or use `kind: duckdb`."
        ) from None
    builder = SparkSession.builder.master(settings.master).appName("crm-methods")
    options = {
        "spark.ui.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    }
    if settings.master.startswith("local"):
        local = {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1", "spark.sql.shuffle.partitions": "8"}
        options |= local
    for name, value in options.items():
        builder = builder.config(name, value)
    try:
        return builder.getOrCreate()
    except Exception as error:  # pyspark raises several kinds of its own, and those of the bridge to Java
        raise CrmError(
            f"Spark could not be started at {settings.master}: {(str(error).splitlines() or ['?'])[0]} "
            "Check that Java 17 is installed and `engine.master` is right, or use `kind: duckdb`."
        ) from error


def _write_parquet(lazy: nw.LazyFrame[Any], partial: Path) -> None:
    native = nw.to_native(lazy)
    if isinstance(native, duckdb.DuckDBPyRelation):
        native.write_parquet(str(partial))
    elif lazy.implementation.is_pyspark():
        _write_spark(native, partial)
    else:
        nw.to_native(lazy.collect()).to_parquet(partial, index=False)


def _write_spark(native: Any, partial: Path) -> None:
    folder = partial.with_name(f"{partial.name}.parts")
    try:
        native.coalesce(1).write.mode("overwrite").parquet(str(folder))
        os.replace(next(folder.glob("part-*.parquet")), partial)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
