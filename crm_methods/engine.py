"""Where frames live: DuckDB embedded by default, Spark as the way out of one machine.

What has a row per client or finer is a narwhals ``LazyFrame`` over one of them; this
module opens the engine, scans and writes Parquet, brings a bounded frame into memory,
and holds the shims for what the engines do not agree on. Everything else in the package
uses the verbs listed in ``VERBS`` and runs unchanged on pandas, DuckDB and Spark.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import duckdb
import narwhals as nw
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from crm_methods.errors import CrmError, TooManyRowsError

VERBS = (
    "select", "with_columns", "filter", "group_by.agg", "join.inner", "join.left", "join.anti", "sort", "unique", "rename", "drop",
    "concat", "len", "sum", "mean", "min", "max", "n_unique", "cast", "when.then.otherwise", "fill_null", "is_null", "is_in",
    "round", "abs", "log", "sqrt", "floor_div", "mod", "year", "month", "day", "str.to_lowercase", "coalesce",
    "rank.over", "cum_sum.over", "shift.over", "sum.over",
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
        if self.spark is not None:
            return _lazy(self.spark.createDataFrame(data))
        # Arrow keeps the data alive inside the relation; a bare pandas frame would be found by its name only.
        import pyarrow as pa

        return _lazy(self.sql.from_arrow(pa.Table.from_pandas(data, preserve_index=False)))

    def write(self, frame: nw.LazyFrame[Any] | pd.DataFrame, path: Path, order_by: Sequence[str]) -> int:
        """Write a frame to one Parquet file, ordered by its key, and return its number of rows.

        The file appears under its name only when it is whole.
        """
        lazy = self.frame(frame) if isinstance(frame, pd.DataFrame) else frame
        if order_by:
            lazy = lazy.sort(*order_by)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        native = nw.to_native(lazy)
        if isinstance(native, duckdb.DuckDBPyRelation):
            native.write_parquet(str(partial))
        elif self.spark is not None and hasattr(native, "coalesce"):
            _write_spark(native, partial)
        else:
            nw.to_native(lazy.collect()).to_parquet(partial, index=False)
        os.replace(partial, path)
        counted = self.sql.execute("SELECT count(*) FROM read_parquet(?)", [str(path)]).fetchone()
        return int(counted[0]) if counted else 0

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
    config: dict[str, Any] = {
        "memory_limit": settings.memory_limit,
        "temp_directory": str(temp_folder or Path(tempfile.gettempdir()) / "crm_methods_duckdb"),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    if settings.threads is not None:
        config["threads"] = settings.threads
    sql = duckdb.connect(":memory:", config=config)
    # Progress bars of the engine would stand in the executed notebooks.
    sql.execute("SET enable_progress_bar = false")
    if settings.kind == "duckdb":
        return Engine("duckdb", sql)
    return Engine("spark", sql, _open_spark(settings))


def collect(
    frame: nw.LazyFrame[Any], columns: Sequence[str] | None = None, max_rows: int = DEFAULT_MAX_ROWS
) -> pd.DataFrame:
    """Bring a bounded frame into memory as plain pandas.

    Decimals become floats, nullable whole numbers with gaps become floats, days become
    ``datetime64``. Rows come in no particular order unless ``frame`` is sorted.

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
    if pd.api.types.is_extension_array_dtype(kind) and pd.api.types.is_numeric_dtype(kind):
        if pd.api.types.is_bool_dtype(kind):
            return column.astype(object) if column.isna().any() else column.astype(bool)
        return column.astype("float64") if column.isna().any() or pd.api.types.is_float_dtype(kind) else column.astype("int64")
    if kind == object:
        values = column.dropna()
        first = values.iloc[0] if len(values) else None
        if isinstance(first, Decimal):
            return column.astype("float64")
        if isinstance(first, dt.date):
            return pd.to_datetime(column)
        if first is None or isinstance(first, str):
            return column.astype("str") if len(values) else column
    return column


def day_number(column: str | nw.Expr) -> nw.Expr:
    """Whole days since 1970-01-01 of a date or timestamp column.

    The engines agree neither on date − date nor on casting a date to a number, so this is
    the civil-calendar count (Hinnant 2013, "chrono-compatible low-level date algorithms"):
    years begin in March so that the leap day is the last one.
    """
    moment = nw.col(column) if isinstance(column, str) else column
    year, month, day = moment.dt.year().cast(nw.Int64), moment.dt.month().cast(nw.Int64), moment.dt.day().cast(nw.Int64)
    shifted = (month + 9) % 12
    civil_year = year - shifted // 10
    leap_days = civil_year // 4 - civil_year // 100 + civil_year // 400
    return civil_year * 365 + leap_days + (shifted * 153 + 2) // 5 + day - 719_469


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
    """Hash of a Parquet file's rows, whatever their order; floats count to 12 significant digits."""
    with duckdb.connect(":memory:") as sql:
        relation = sql.read_parquet(str(path))
        parts = [
            f"""format('{{:.12g}}', "{name}")""" if str(kind) in {"DOUBLE", "FLOAT"} else f'"{name}"::VARCHAR'
            for name, kind in zip(relation.columns, relation.types, strict=True)
        ]
        row = ", ".join(parts)
        counted = sql.execute(
            f"SELECT count(*), coalesce(sum(hash({row})::HUGEINT % 1000000007), 0), coalesce(bit_xor(hash({row})), 0) "
            "FROM read_parquet(?)",
            [str(path)],
        ).fetchone()
    return "-".join(f"{int(value):x}" for value in counted) if counted else ""


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
    return (
        SparkSession.builder.master(settings.master)
        .appName("crm-methods")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "8")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )


def _write_spark(native: Any, partial: Path) -> None:
    folder = partial.with_name(f"{partial.name}.parts")
    native.coalesce(1).write.mode("overwrite").parquet(str(folder))
    os.replace(next(folder.glob("part-*.parquet")), partial)
    shutil.rmtree(folder)
