from __future__ import annotations

import datetime as dt
import gzip
import sqlite3
import zipfile
from pathlib import Path

import duckdb
import openpyxl
import pytest

from crm_methods.company.peek import FIRST_ROWS, ROWS_KEPT, Sample, cell_text, peek, peek_database, spread, unique_names
from crm_methods.errors import IntakeError


def look(path: Path) -> list[Sample]:
    return peek(path, {"file": path.name}, path.name)


def test_a_text_is_cut_whatever_its_form(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_bytes("ID;Имя\r\n1;Анна Петрова\r\n2;Иван Смирнов\r\n".encode("cp1251"))
    (sample,) = look(path)

    assert sample.columns == ("ID", "Имя")
    assert sample.rows == (("1", "Анна Петрова"), ("2", "Иван Смирнов"))
    assert sample.formats == {"encoding": "cp1251", "delimiter": ";"}


def test_a_packed_text_is_the_same_as_the_text(tmp_path: Path):
    plain, packed = tmp_path / "a.csv", tmp_path / "b.csv.gz"
    plain.write_text("id,x\n1,2\n")
    packed.write_bytes(gzip.compress(plain.read_bytes()))

    assert look(plain)[0].rows == look(packed)[0].rows


def test_each_sheet_is_a_sample_with_the_row_of_its_header(tmp_path: Path):
    book = openpyxl.Workbook()
    first, second = book.active, book.create_sheet("Clients")
    assert first is not None
    first.title = "Deals"
    first.append(["Sales report"])
    first.merge_cells("A1:D1")
    first.append([])
    for row in (["No", "Client", "Date", "Amount"], [1, "A", dt.date(2024, 1, 5), 10.5], [2, "B", dt.datetime(2024, 1, 6), 7]):
        first.append(row)
    second.append(["Client", "City"])
    second.append(["A", "Rome"])
    book.create_sheet("Empty")
    book.save(tmp_path / "b.xlsx")
    deals, clients = look(tmp_path / "b.xlsx")

    assert deals.place == {"file": "b.xlsx", "sheet": "Deals", "header_row": 3}
    assert deals.rows == (("1", "A", "2024-01-05", "10.5"), ("2", "B", "2024-01-06", "7"))
    assert clients.place == {"file": "b.xlsx", "sheet": "Clients"}


def test_parquet_and_sqlite_give_their_tables(tmp_path: Path):
    duckdb.sql("SELECT 1 AS id, DATE '2024-01-05' AS day").write_parquet(str(tmp_path / "a.parquet"))
    with sqlite3.connect(tmp_path / "a.sqlite") as base:
        base.execute('CREATE TABLE "Order Details" (id INTEGER, picture BLOB)')
        base.execute('INSERT INTO "Order Details" VALUES (1, ?)', (b"\x00",))
        base.execute("CREATE TABLE bare (id)")
    base.close()
    (parquet,), (table,) = look(tmp_path / "a.parquet"), look(tmp_path / "a.sqlite")

    assert (parquet.rows, parquet.typed) == ((("1", "2024-01-05"),), True)
    assert (table.place["table"], table.rows) == ("Order Details", (("1", ""),))


def test_a_database_is_read_by_its_address(tmp_path: Path):
    with sqlite3.connect(tmp_path / "a.db") as base:
        base.execute("CREATE TABLE deals (id INTEGER, amount REAL)")
        base.execute("INSERT INTO deals VALUES (1, 2.5)")
    base.close()
    url = f"sqlite:///{tmp_path / 'a.db'}"
    (sample,) = peek_database(url, None, {"database": url})

    assert (sample.place, sample.rows) == ({"database": url, "table": "deals"}, (("1", "2.5"),))


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all.db", "nosuchdriver://host/db"])
def test_a_database_that_cannot_be_read_is_told(url: str):
    with pytest.raises(IntakeError, match=r"^database: found"):
        peek_database(url, None, {"database": url})


def test_a_spread_keeps_the_beginning_and_the_last_row_and_is_bounded():
    rows = [(str(n),) for n in range(3 * ROWS_KEPT)]
    kept = spread(rows)

    assert kept[:FIRST_ROWS] == tuple(rows[:FIRST_ROWS])
    assert kept[-1] == rows[-1]
    assert len(kept) <= ROWS_KEPT + 1
    assert spread(rows[:10]) == tuple(rows[:10])
    assert spread([]) == ()


def test_names_of_columns_are_made_distinct():
    assert unique_names(["a", "A", "", "a (1)"]) == ("a (1) (1)", "A (2)", "column_3", "a (1) (2)")
    assert unique_names(["a", "b"]) == ("a", "b")


def test_cells_are_text_as_intake_has_them():
    cells = [None, b"x", dt.datetime(2024, 1, 5), dt.datetime(2024, 1, 5, 7), 3.0, 2.5, " a "]

    assert [cell_text(c) for c in cells] == ["", "", "2024-01-05", "2024-01-05 07:00:00", "3", "2.5", "a"]


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("a", "b")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.csv", b"", "an empty file"),
        ("head.csv", b"a,b\n", "a header and no rows"),
        ("blank.csv", b"\n \n", "blank lines only"),
        ("zero.csv", b"a,b\0\0\n" * 9, "no text"),
        ("old.xls", b"\xd0\xcf\x11\xe0", "Save it as .xlsx"),
        ("zip.csv", None, "a zip file"),
        ("zip.parquet", None, "a zip file"),
        ("bad.xlsx", b"PK\x03\x04zz", "can't be read"),
        ("bad.sqlite", b"SQLite format 3\0zz", "can't be read"),
        ("bad.parquet", b"PAR1zzzzzzzzzzzzzzzzz", "can't be read"),
        ("bad.csv.gz", b"\x1f\x8bzz", "can't be read"),
        ("report.pdf", b"%PDF-1.4", "found a file of the kind"),
    ],
)
def test_what_is_no_table_is_told_with_its_reason(tmp_path: Path, name: str, content: bytes | None, said: str):
    if content is None:
        _zip(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(IntakeError) as stop:
        look(tmp_path / name)

    assert str(stop.value).startswith(f"{name}: found")
    assert said in str(stop.value)


def test_a_file_that_is_gone_is_told(tmp_path: Path):
    with pytest.raises(IntakeError, match="can't be opened"):
        look(tmp_path / "gone.csv")
