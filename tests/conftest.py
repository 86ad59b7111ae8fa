"""What all tests share: the same rows as a lazy frame of every engine."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import narwhals as nw
import pandas as pd
import pyarrow as pa
import pytest

MakeFrame = Callable[[pd.DataFrame], "nw.LazyFrame[Any]"]


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """A small local Spark session; tests that ask for it skip where Java or pyspark is missing."""
    sql = pytest.importorskip("pyspark.sql")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Spark needs Java")
    session = (
        sql.SparkSession.builder.master("local[1]")
        .appName("tests")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "1")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture(params=["pandas", "duckdb", "spark"])
def frames(request: pytest.FixtureRequest) -> MakeFrame:
    """A function pandas frame → lazy frame, once per engine; frames of one test can be joined.

    Missing numbers become NULL on DuckDB and Spark, as they do when the kit reads Parquet.
    """
    if request.param == "pandas":
        return lambda df: nw.from_native(df).lazy()
    if request.param == "duckdb":
        connection, numbers = duckdb.connect(), itertools.count()

        def on_duckdb(df: pd.DataFrame) -> nw.LazyFrame[Any]:
            name = f"frame_{next(numbers)}"
            connection.register(name, pa.Table.from_pandas(df, preserve_index=False))
            return nw.from_native(connection.table(name)).lazy()

        return on_duckdb
    session = request.getfixturevalue("spark")
    return lambda df: nw.from_native(session.createDataFrame(pa.Table.from_pandas(df, preserve_index=False))).lazy()
