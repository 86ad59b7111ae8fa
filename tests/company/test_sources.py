from __future__ import annotations

import datetime as dt
import io
import zipfile

import openpyxl
import pandas as pd
import pytest

from crm_methods.company.settings import Source
from crm_methods.company.sources import identifier, literal, locate
from crm_methods.engine import collect
from crm_methods.errors import IntakeError

from .conftest import BringIn

HEADER = "deal_id,client_id,closed_on,amount\n"
RUSSIAN = "Номер;Клиент;Дата;Сумма\n1;ООО «Ромашка»;05.03.2025;1234,50\n2;ЗАО Ёлка;31.12.2024;-7,00\n"
RUSSIAN_COLUMNS = {"deal_id": "Номер", "client_id": "Клиент", "closed_on": "Дата", "amount": "Сумма"}


def workbook(rows: list[list[object]], title: str = "Deals") -> bytes:
    book, out = openpyxl.Workbook(), io.BytesIO()
    book.active.title = title
    for row in rows:
        book.active.append(row)
    book.save(out)
    return out.getvalue()


@pytest.mark.parametrize("encoding", ["cp1251", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "koi8-r"])
def test_any_declared_encoding_gives_the_same_table(bring: BringIn, encoding: str):
    data = bring(
        {"сделки.csv": RUSSIAN.replace("«", "").replace("»", "").encode(encoding)},
        {"deals": {"file": "сделки.csv", "columns": RUSSIAN_COLUMNS}},
        formats={"encoding": encoding, "decimal": ",", "date": "%d.%m.%Y", "delimiter": ";"},
    )
    sold = collect(data.scan("deals").sort("deal_id"))
    assert sold["client_id"].tolist() == ["ООО Ромашка", "ЗАО Ёлка"]
    assert sold["amount"].tolist() == [1234.5, -7.0]
    assert sold["closed_on"].dt.strftime("%Y-%m-%d").tolist() == ["2025-03-05", "2024-12-31"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_told_by_the_header_when_it_is_not_declared(bring: BringIn, delimiter: str):
    text = (HEADER + "1,a,2025-01-01,5\n").replace(",", delimiter)
    assert bring({"deals.csv": text}).totals.loc[0, "accepted_rows"] == 1


def test_a_byte_order_mark_is_no_part_of_the_first_header(bring: BringIn):
    data = bring({"deals.csv": b"\xef\xbb\xbf" + (HEADER + "1,a,2025-01-01,5\n").encode()})
    assert collect(data.scan("deals"))["deal_id"].tolist() == ["1"]


def test_nor_of_the_first_cell_where_there_is_no_header(bring: BringIn):
    for formats in ({}, {"delimiter": "whitespace"}):
        text = "1,a,2025-01-01,5\n" if not formats else "1 a  2025-01-01\t5 \n"
        source = {"file": "d.txt", "header": False, "names": ["deal_id", "client_id", "closed_on", "amount"]}
        data = bring({"d.txt": b"\xef\xbb\xbf" + text.encode()}, {"deals": source}, formats=formats)
        assert collect(data.scan("deals"))["deal_id"].tolist() == ["1"]


def test_columns_without_header_or_names_are_numbered(bring: BringIn):
    columns = {"deal_id": "column_1", "client_id": "column_2", "closed_on": "column_3", "amount": "column_4"}
    data = bring({"d.csv": "1,a,2025-01-01,5\n"}, {"deals": {"file": "d.csv", "header": False, "columns": columns}})
    assert data.totals.loc[0, "accepted_rows"] == 1


def test_names_take_the_place_of_a_header(bring: BringIn):
    source = {"file": "d.csv", "names": ["deal_id", "client_id", "closed_on", "amount"]}
    data = bring({"d.csv": "A,B,C,D\n1,a,2025-01-01,5\n"}, {"deals": source})
    assert collect(data.scan("deals"))["deal_id"].tolist() == ["1"]


def test_cells_may_hold_quotes_delimiters_and_newlines(bring: BringIn):
    data = bring(
        {"clients.csv": 'client_id,name,industry\n1,"A, ""B""\nC",5" pipes\n', "deals.csv": HEADER + "1,1,2025-01-01,5\n"}
    )
    known = collect(data.scan("clients"))
    assert known["name"].tolist() == ['A, "B"\nC']
    assert known["industry"].tolist() == ['5" pipes']


def test_source_columns_may_bear_any_name(bring: BringIn):
    text = 'record,faults,"fa""te",from:x,a\'b\n1,a,2025-01-01,5,"x\'"\n'
    columns = {"deal_id": "record", "client_id": "faults", "closed_on": 'fa"te', "amount": "from:x", "terms": "a'b"}
    data = bring({"d'[1].csv": text}, {"deals": {"file": "d'[1].csv", "columns": columns}})
    sold = collect(data.scan("deals"))
    assert sold[["deal_id", "client_id", "terms"]].values.tolist() == [["1", "a", "x'"]]


def test_lines_may_end_in_any_way_and_in_several(bring: BringIn):
    for text in (
        HEADER + "1,a,2025-01-01,5\r\n2,a,2025-01-01,5\n3,a,2025-01-01,x",
        (HEADER + "1,a,2025-01-01,5\n").replace("\n", "\r"),
    ):
        data = bring({"deals.csv": text})
        assert data.totals.loc[0, "accepted_rows"] == text.count(",5")


def test_parquet_comes_in_with_its_own_types(bring: BringIn):
    out = io.BytesIO()
    pd.DataFrame(
        {
            "deal_id": [1, 2],
            "client_id": ["a", "b"],
            "closed_on": pd.to_datetime(["2025-01-01 10:00", "2025-02-01 00:00"]).tz_localize("UTC"),
            "amount": [10.25, -3.0],
        }
    ).to_parquet(out)
    for formats in ({}, {"decimal": ",", "date": "%d.%m.%Y", "thousands": "."}):
        data = bring({"deals.parquet": out.getvalue()}, formats=formats)
        sold = collect(data.scan("deals").sort("deal_id"))
        assert sold["amount"].tolist() == [10.25, -3.0]
        assert sold["closed_on"].dt.strftime("%d.%m.%Y").tolist() == ["01.01.2025", "01.02.2025"]


def test_excel_dates_come_in_as_dates_as_numbers_and_as_text(bring: BringIn):
    rows: list[list[object]] = [
        [None, None, None, None],
        ["deal_id", "client_id", "closed_on", "amount", None],
        [1, "a", dt.datetime(2025, 3, 5, 14, 30), 10.25],
        [None, None, None, None],
        ["0002", "b", 45721, 7],
        [3, "c", "05.03.2025", "1 054,5"],
        [4, "d", dt.date(2025, 3, 5), "#N/A"],
        [5, "e", 45721.75, 1, "more"],
    ]
    data = bring({"deals.xlsx": workbook(rows)}, formats={"decimal": ",", "date": "%d.%m.%Y", "thousands": " "})
    sold = collect(data.scan("deals").sort("client_id"))
    assert sold["deal_id"].tolist() == ["1", "0002", "3"]
    assert sold["amount"].tolist() == [10.25, 7.0, 1054.5]
    assert set(sold["closed_on"].dt.strftime("%Y-%m-%d")) == {"2025-03-05"}
    assert data.rejects[["record", "found"]].values.tolist() == [[7, "#N/A"], [8, "5 · e · 45721,75 · 1 · more"]]
    assert data.totals.loc[0, "source_rows"] == 5


def test_one_workbook_may_hold_several_tables(bring: BringIn):
    book, out = openpyxl.Workbook(), io.BytesIO()
    for title, rows in {
        "D": [["deal_id", "client_id", "closed_on", "amount"], [1, "a", dt.date(2025, 1, 1), 5]],
        "C": [["client_id", "name"], ["a", "Acme"]],
    }.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(out)
    data = bring(
        {"all.xlsx": out.getvalue()}, {"deals": {"file": "all.xlsx", "sheet": "D"}, "clients": {"file": "all.xlsx", "sheet": "C"}}
    )
    assert collect(data.scan("clients"))["name"].tolist() == ["Acme"]
    with pytest.raises(IntakeError, match=r'no sheet "Deal", expected one of Sheet, D, C'):
        bring({"all.xlsx": out.getvalue()}, {"deals": {"file": "all.xlsx", "sheet": "Deal"}})


GOOD = "".join(f"{i},a,2025-01-01,5\n" for i in range(10, 20))


@pytest.mark.parametrize(
    ("bad", "line", "expected"),
    [
        ((HEADER + GOOD).encode() + b"1,\xd0\xe8\xee,2025-01-01,5\n", 12, "invalid encoding"),
        ((HEADER + GOOD).encode() + "1,я,2025-01-01,5".encode()[:3], 12, "4 cells"),
        ((HEADER + GOOD).encode() + b"1,a\x00b,2025-01-01,5\n", 12, "text without NUL bytes"),
        ((HEADER + GOOD).encode() + b"1,a,2025-01-01,5,6\n", 12, "4 cells (too many columns)"),
        ((HEADER + GOOD).encode() + b"1,a\n", 12, "4 cells (missing columns)"),
        ((HEADER + GOOD).encode() + b'1,"a,2025-01-01,5\n', 12, "4 cells"),
    ],
    ids=["foreign bytes", "cut within a character", "NUL", "too many cells", "too few cells", "open quote"],
)
def test_a_damaged_record_is_a_reject_and_the_rest_comes_in(bring: BringIn, bad: bytes, line: int, expected: str):
    data = bring({"deals.csv": bad}, intake={"max_rejected_share": 0.2})
    assert data.totals.loc[0, ["source_rows", "accepted_rows", "rejected_rows"]].tolist() == [11, 10, 1]
    assert data.rejects["record"].tolist() == [line]
    assert expected in data.rejects.loc[0, "expected"]
    assert "\0" not in data.rejects.loc[0, "found"]


def test_bytes_outside_a_single_byte_encoding_are_rejects_too(bring: BringIn):
    text = RUSSIAN.replace("«", "").replace("»", "").encode("cp1251")
    damaged = text.replace(b";-7,00", b"\x98;-7,00") + "3;Я;01.01.2025;1\n4;Я;31.02.2025;1\n".encode("cp1251")
    data = bring(
        {"d.csv": damaged},
        {"deals": {"file": "d.csv", "columns": RUSSIAN_COLUMNS}},
        formats={"encoding": "cp1251", "decimal": ",", "date": "%d.%m.%Y", "delimiter": ";"},
    )
    assert collect(data.scan("deals").sort("deal_id"))["deal_id"].tolist() == ["1", "3"]
    assert data.rejects["record"].tolist() == [3, 5]


@pytest.mark.parametrize(
    ("name", "content", "source", "said"),
    [
        ("deals.csv", "", {}, "found an empty file"),
        ("deals.csv", HEADER, {}, "found a header and no rows"),
        ("deals.csv", "\n\n", {}, "found blank lines only"),
        ("deals.csv", HEADER + GOOD, {"formats": {"encoding": "cp12511"}}, 'found the encoding "cp12511".*Did you mean "cp1251"'),
        ("deals.csv", HEADER + GOOD, {"formats": {"encoding": "rot13"}}, 'found the encoding "rot13"'),
        ("deals.csv", HEADER + GOOD, {"formats": {"delimiter": ";"}}, r'found no ";" in the first line.*{delimiter: ","}'),
        ("deals.csv", HEADER.replace("deal_id", "Сделка").encode("cp1251") + GOOD.encode(), {}, "Declare its encoding"),
        ("deals.csv", (HEADER + GOOD).encode("utf-16"), {}, "Declare its encoding"),
        ("deals.csv", (HEADER + GOOD).encode("utf-8"), {"formats": {"encoding": "utf-16"}}, "found bytes that are not utf-16"),
        ("deals.csv", HEADER.replace("closed_on", "amount") + GOOD, {}, r'the header "amount" 2 times.*amount \(1\)'),
        ("deals.xlsx", b"PK\x03\x04 broken", {}, "not an Excel workbook"),
        ("deals.xls", b"\xd0\xcf\x11\xe0", {}, "Save it as .xlsx"),
        ("deals.xlsx", workbook([]), {}, "found an empty sheet"),
        ("deals.xlsx", workbook([["deal_id", "client_id", "closed_on", "amount"]]), {}, "found a header and no rows"),
        ("deals.parquet", b"nothing of the kind at all", {}, "not Parquet"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_one_clear_fault(bring: BringIn, name: str, content: str | bytes, source: dict, said: str):
    with pytest.raises(IntakeError, match=said):
        bring({name: content}, {"deals": {"file": name, **source}})


def test_a_zip_with_the_wrong_ending_is_refused(bring: BringIn):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("x.txt", HEADER + GOOD)
    for name in ("deals.csv", "deals.xlsx", "deals.parquet"):
        with pytest.raises(IntakeError, match=name):
            bring({name: out.getvalue()}, {"deals": {"file": name}})


def test_a_repeated_header_can_be_chosen_from(bring: BringIn):
    text = "deal_id,client_id,closed_on,Amount,amount\n1,a,2025-01-01,5,6\n"
    data = bring({"d.csv": text}, {"deals": {"file": "d.csv", "columns": {"amount": "amount (2)"}}})
    assert collect(data.scan("deals"))["amount"].tolist() == [6]


def test_names_and_texts_are_quoted_for_sql():
    assert identifier('a"b') == '"a""b"'
    assert literal("O'Hara") == "'O''Hara'"


@pytest.mark.parametrize(
    "inside",
    [
        "lifetimes/../pandas/__init__.py",
        "lifetimes/datasets/../../../../etc/passwd",
        "lifetimes//etc/passwd",
        "lifetimes/no.txt",
        "lifetimes",
    ],
)
def test_a_package_file_stays_inside_its_package(inside: str, tmp_path):
    with pytest.raises(IntakeError, match="found no file"):
        locate(Source(package=inside), tmp_path)


@pytest.mark.parametrize("package", ["no_such_package/x.txt", "../etc/passwd", "/etc/passwd", "a.b/c", "json", ""])
def test_a_package_that_is_not_one_is_refused(package: str, tmp_path):
    with pytest.raises(IntakeError, match=r"package|no file"):
        locate(Source(package=package), tmp_path)
