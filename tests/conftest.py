"""What all tests share: the same rows as a lazy frame of every engine."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from crm_methods.company.intake import Canonical, bring_in
from crm_methods.company.settings import Company, load_company
from crm_methods.engine import Engine, EngineSettings, open_engine

WORKERS_OF_THEIR_OWN = {"tests/whole/": "whole", "tests/company/test_databases.py": "postgres"}
"""Tests that share costly fixtures beyond their own file, by where they stand; so do all tests on Spark."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One worker for all tests that share a run, a database or Spark, and for those of one file, whose fixtures are made once.

    Marks of xdist_group do not reach the scheduler of pytest-xdist 3.8 under pytest 9: it reads them off ids that pytest keeps.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFixture(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if "[spark" in nodeid or nodeid.endswith("on_spark"):
                return "spark"
            file = nodeid.partition("::")[0]
            return next((group for start, group in WORKERS_OF_THEIR_OWN.items() if file.startswith(start)), file)

    return ByFixture(config, log) if config.getoption("dist") in {"loadgroup", "loadscope"} else None


MakeFrame = Callable[[pd.DataFrame], "nw.LazyFrame[Any]"]


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """A small local Spark session; tests that ask for it skip where Java or pyspark is missing.

    It generates no code: that takes longer than such small frames do.
    """
    sql = pytest.importorskip("pyspark.sql")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Spark needs Java")
    session = (
        sql.SparkSession.builder.master("local[2]")
        .appName("tests")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "1")
        .config("spark.sql.codegen.wholeStage", "false")
        .config("spark.sql.adaptive.enabled", "false")
        .config("spark.driver.extraJavaOptions", "-XX:+UseSerialGC")
        .config("spark.sql.codegen.factoryMode", "NO_CODEGEN")
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


@dataclass(frozen=True)
class MadeCompany:
    """A small company of a test: its folder, its settings and its canonical data."""

    folder: Path
    settings: Company
    data: Canonical


MakeCompany = Callable[..., MadeCompany]


def company_in(folder: Path, engine: Engine, tables: dict[str, pd.DataFrame], **settings: Any) -> MadeCompany:
    """A company made of frames, which become CSV files and come in as any company's would; few resamples unless told."""
    for name, rows in tables.items():
        rows.to_csv(folder / f"{name}.csv", index=False)
    few = {name: {"bootstraps": 20, **settings.get(name, {})} for name in ("segments", "lifetime_value")}
    told = {"company": "Example", "as_of": dt.date(2025, 12, 31), "currency": "EUR", **settings, **few}
    told["tables"] = {name: {"file": f"{name}.csv"} for name in tables}
    (folder / "company.yml").write_text(yaml.safe_dump(told), encoding="utf-8")
    company = load_company(folder)
    return MadeCompany(folder, company, bring_in(company, folder, engine, folder / "canonical"))


@pytest.fixture
def make_company(tmp_path: Path) -> Iterator[MakeCompany]:
    """A function tables → company: ``make_company({"deals": frame}, as_of="2025-12-31", segments={…})``."""
    engine = open_engine(EngineSettings(memory_limit="1GB", threads=1), tmp_path / "spill")
    numbers = itertools.count()

    def make(tables: dict[str, pd.DataFrame], **settings: Any) -> MadeCompany:
        folder = tmp_path / f"company_{next(numbers)}"
        folder.mkdir()
        return company_in(folder, engine, tables, **settings)

    yield make
    engine.close()
