"""Databases: what they hold comes in like a file, and what they refuse is told without a trace."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

from crm_methods.company.databases import copy_database, copy_of, pull, read_sqlite, show_database
from crm_methods.company.intake import bring_in
from crm_methods.company.settings import Source, load_company
from crm_methods.engine import Engine, collect
from crm_methods.errors import IntakeError, SettingsError

from .conftest import BringIn, write_company
from .postgres import PASSWORD, postgres

pytestmark = pytest.mark.xdist_group("postgres")

COLUMNS = {"deal_id": "id", "client_id": "client", "closed_on": "closed", "amount": "amount"}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as address:
        url = sqlalchemy.make_url(address).set(password=PASSWORD)
        engine = sqlalchemy.create_engine(url)
        with engine.begin() as connection:
            for statement in (
                "CREATE TABLE orders (id int PRIMARY KEY, client text, closed timestamptz, amount numeric(12,2), p bytea)",
                "INSERT INTO orders SELECT n, 'Ромашка «' || n % 3 || '»', TIMESTAMPTZ "
                "'2025-03-01 23:30:00+02' + n * INTERVAL '1 day', n * 10.25, 'x' FROM generate_series(1, 120) AS n",
                "INSERT INTO orders VALUES (900, 'odd', '2099-01-01', 1, NULL)",
                "CREATE SCHEMA sales; CREATE TABLE sales.orders (id int, client text, closed date, amount int)",
                "INSERT INTO sales.orders VALUES (1, 'a', '2025-01-31', 5)",
            ):
                connection.execute(sqlalchemy.text(statement))
        engine.dispose()
        yield address


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TEST_DB_PASSWORD", PASSWORD)
    return "TEST_DB_PASSWORD"


def test_a_table_of_a_server_comes_in_like_a_file(server: str, password: str, tmp_path: Path, engine: Engine):
    source = {"database": server, "password_env": password, "table": "orders", "columns": COLUMNS}
    # The company's own files have other habits; a database has none.
    folder = write_company(tmp_path / "c", {}, {"deals": source}, formats={"decimal": ",", "date": "%d.%m.%Y"})
    data = bring_in(load_company(folder), folder, engine, tmp_path / "canonical")
    deals = collect(data.scan("deals").sort("deal_id"))
    total = data.totals.iloc[0]
    assert (len(deals), deals["amount"].sum()) == (120, 10.25 * 120 * 121 / 2)
    assert (total["source_rows"], total["rejected_rows"]) == (121, 1)
    assert set(deals["client_id"]) == {"Ромашка «0»", "Ромашка «1»", "Ромашка «2»"}
    assert deals["closed_on"].min().date().isoformat() == "2025-03-02"
    assert data.totals["file"].tolist() == [f"database {server.rsplit('@', 1)[-1]}, table orders"]


def test_schemas_and_queries_are_read_too_and_change_nothing(server: str, password: str, tmp_path: Path):
    copy_database(Source(database=server, password_env=password, table="sales.orders"), tmp_path / "a.parquet")
    copy_database(Source(database=server, password_env=password, query="SELECT id FROM sales.orders"), tmp_path / "b.parquet")
    query = "WITH gone AS (DELETE FROM sales.orders RETURNING id) SELECT id FROM gone"
    with pytest.raises(IntakeError):
        copy_database(Source(database=server, password_env=password, query=query), tmp_path / "d.parquet")
    copy_database(Source(database=server, password_env=password, table="sales.orders"), tmp_path / "c.parquet")
    assert (tmp_path / "c.parquet").read_bytes() == (tmp_path / "a.parquet").read_bytes()


def test_what_a_server_refuses_is_told_together_and_no_password_is_shown(
    server: str, password: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WRONG", "not it")
    place = server.rsplit("@", 1)[-1]
    closed = server.replace(f":{place.split(':')[1].split('/')[0]}/", ":1/")
    tables = {
        "deals": {"database": server, "password_env": "WRONG", "table": "orders"},
        "clients": {"database": server, "password_env": password, "table": "order"},
        "interactions": {"database": closed, "password_env": password, "table": "orders"},
        "surveys": {"database": server, "password_env": "NOT_SET", "table": "orders"},
        "invoices": {"database": server, "password_env": password, "query": "SELECT nothing FROM orders"},
        "products": {"database": "nosuch://x/y", "table": "orders"},
        "rewards": {"database": "what is this", "table": "orders"},
    }
    folder = write_company(tmp_path / "c", {}, tables)
    with pytest.raises(IntakeError) as caught:
        pull(load_company(folder), folder)
    told = str(caught.value)
    assert told.count("\n  - ") == len(tables)
    for part in (
        "password authentication failed",
        'no table "order"',
        'Did you mean "orders"?',
        "NOT_SET",
        "no driver for nosuch",
    ):
        assert part in told
    assert PASSWORD not in told
    assert "not it" not in told
    assert not copy_of("deals", Source(**tables["deals"]), folder).exists()


def test_a_password_does_not_stand_in_company_yml(tmp_path: Path):
    source = {"database": "postgresql://me:secret@localhost/x", "table": "orders"}
    folder = write_company(tmp_path / "c", {}, {"deals": source})
    with pytest.raises(SettingsError, match="password_env") as caught:
        load_company(folder)
    assert "secret" not in str(caught.value)


def _sqlite(path: Path) -> Path:
    with sqlite3.connect(path) as connection:
        connection.execute('CREATE TABLE "Order Details" (id INTEGER, client TEXT, closed TEXT, amount REAL, photo BLOB)')
        rows = [(1, "Ромашка", "2025-01-31", 84835.5, b"\x00\xff"), (2, "b", "2025-02-01 00:00:00", 12, None)]
        connection.executemany('INSERT INTO "Order Details" VALUES (?, ?, ?, ?, ?)', rows)
    connection.close()
    return path


def test_a_sqlite_file_comes_in_like_any_other(tmp_path: Path, bring: BringIn):
    path = _sqlite(tmp_path / "x.sqlite")
    source = {"file": "x.sqlite", "table": "Order Details", "columns": COLUMNS}
    data = bring({"x.sqlite": path.read_bytes()}, {"deals": source}, formats={"decimal": ","})
    deals = collect(data.scan("deals").sort("deal_id"))
    assert deals["amount"].tolist() == [84835.5, 12]
    assert deals["client_id"].tolist() == ["Ромашка", "b"]


@pytest.mark.parametrize(
    ("content", "table", "told"),
    [
        (b"SQLite format 3\0 and nothing more", "t", "can't be read"),
        (b"no database at all, but long enough to be looked at by the library for what it is" * 20, "t", "can't be read"),
        (None, "Orders", 'no table "Orders", expected one of Order Details'),
    ],
)
def test_a_sqlite_file_that_is_none_is_told(content: bytes | None, table: str, told: str, tmp_path: Path, bring: BringIn):
    held = content if content is not None else _sqlite(tmp_path / "x.sqlite").read_bytes()
    with pytest.raises(IntakeError, match=told):
        bring({"x.sqlite": held}, {"deals": {"file": "x.sqlite", "table": table}})


def test_a_locked_sqlite_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("crm_methods.company.databases._WAIT_SECONDS", 0.1)
    path = _sqlite(tmp_path / "x.sqlite")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(IntakeError, match=r"database is locked.*Close the program"):
            read_sqlite(path, Source(file="x.sqlite", table="Order Details"), tmp_path / "copy.parquet")
    finally:
        holder.close()


def test_a_sqlite_address_is_read_only_and_makes_no_file(tmp_path: Path):
    path = _sqlite(tmp_path / "x.sqlite")
    before = path.read_bytes()
    with pytest.raises(IntakeError, match="readonly"):
        copy_database(Source(database=f"sqlite:///{path}", query='DROP TABLE "Order Details"'), tmp_path / "a.parquet")
    assert path.read_bytes() == before
    with pytest.raises(IntakeError):
        copy_database(Source(database=f"sqlite:///{tmp_path}/none.sqlite", table="t"), tmp_path / "a.parquet")
    assert not (tmp_path / "none.sqlite").exists()


@pytest.mark.parametrize(
    "address",
    ["postgresql+pg8000://h/db?password=hush", "mssql+pyodbc:///?odbc_connect=PWD%3Dhush", "mysql://h/db?user=u&passwd=hush"],
)
def test_a_password_may_not_hide_in_the_query_of_an_address(address: str, tmp_path: Path):
    folder = write_company(tmp_path / "c", {}, {"deals": {"database": address, "table": "orders"}})
    with pytest.raises(SettingsError, match="password_env") as caught:
        load_company(folder)
    assert "hush" not in str(caught.value)
    assert "hush" not in show_database(Source(database=address, table="orders"))


def test_a_query_only_reads(tmp_path: Path):
    folder = write_company(tmp_path / "c", {}, {"deals": {"database": "sqlite:///x.db", "query": "drop table deals"}})
    with pytest.raises(SettingsError, match="only reads"):
        load_company(folder)


def test_another_query_is_another_copy(tmp_path: Path):
    one, other = (copy_of("deals", Source(database="sqlite:///x", query=f"SELECT {n}"), tmp_path) for n in (1, 2))
    assert one != other
