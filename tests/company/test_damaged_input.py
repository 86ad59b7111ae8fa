"""Whatever is damaged, a check ends with a message or with listed rejects, and every record of the file is accounted for."""

from __future__ import annotations

import codecs
import datetime as dt
import gzip
import io
import os
import re
import sqlite3
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pandas as pd
import pytest

from crm_methods.company.intake import Canonical, bring_in
from crm_methods.company.settings import Formats, Source
from crm_methods.company.sources import read_raw
from crm_methods.errors import CrmError
from crm_methods.runs.cli import main

from .conftest import BringIn, write_company

HEADER = "deal_id,client_id,closed_on,amount\n"
SOUND = "".join(f"{n},a,2025-01-01,5\n" for n in range(10, 20))
TEN = [str(n) for n in range(10, 20)]
TABLE = [["deal_id", "client_id", "closed_on", "amount"], *([n, "a", dt.date(2025, 1, 1), 5] for n in range(10, 20))]


def text(*lines: str | bytes, encoding: str = "utf-8") -> bytes:
    return b"".join(line.encode(encoding) if isinstance(line, str) else line for line in (HEADER, SOUND, *lines))


def workbook(
    rows: Sequence[Sequence[object]], change: Callable[[Any], object] | None = None, mend: tuple[bytes, bytes] | None = None
) -> bytes:
    """A workbook of one sheet; ``change`` is done to the sheet, ``mend`` to its XML."""
    book, out = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    if change is not None:
        change(book.active)
    book.save(out)
    if mend is None:
        return out.getvalue()
    whole, other = zipfile.ZipFile(out), io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        for name in whole.namelist():
            archive.writestr(name, re.sub(*mend, whole.read(name)) if "sheet1" in name else whole.read(name))
    return other.getvalue()


def parquet(rows: int = 2_000) -> bytes:
    out = io.BytesIO()
    frame = pd.DataFrame({"deal_id": [f"{n * 7919:x}" for n in range(rows)], "amount": [n * 1.37 for n in range(rows)]})
    frame.assign(client_id="a", closed_on=pd.Timestamp("2025-01-01")).to_parquet(out, compression="gzip")
    return out.getvalue()


def sqlite(path: Path) -> bytes:
    with sqlite3.connect(path) as base:
        base.execute("CREATE TABLE t (x)")
    base.close()
    return path.read_bytes()


@dataclass(frozen=True)
class Case:
    """A damaged file, and what becomes of it: the message it gives, or what comes in and what is rejected where."""

    content: bytes
    said: str = ""
    accepted: Sequence[str] = ()
    rejected: Sequence[tuple[int, str]] = ()
    name: str = "deals.csv"
    source: dict[str, Any] = field(default_factory=dict)
    later: int = 0
    duplicates: int = 0


def refused(said: str, content: bytes, name: str = "deals.csv", **source: Any) -> Case:
    return Case(content, said, name=name, source=source)


def sheet(content: bytes, **more: Any) -> Case:
    return Case(content, name="deals.xlsx", **more)


MESSAGES = {
    "0 bytes": refused("found an empty file", b""),
    "blank lines only": refused("found blank lines only", b"\n \n\r\n\n"),
    "delimiters only": refused("found blank lines only", b",,,\n,,,\n"),
    "header only": refused("found a header and no rows", HEADER.encode()),
    "header and blank rows": refused("found a header and no rows", HEADER.encode() + b",,,\n,,,\n"),
    "UTF-16 not declared": refused("such as `formats: {encoding: utf-16}`", text().decode().encode("utf-16")),
    "UTF-16 without its mark": refused("{encoding: utf-16-le}", text().decode().encode("utf-16-le")),
    "UTF-16, the other way": refused("{encoding: utf-16-be}", text().decode().encode("utf-16-be")),
    "UTF-16 cut": refused(
        "found bytes that are not utf-16", text().decode().encode("utf-16")[:-1], formats={"encoding": "utf-16"}
    ),
    "NUL in the header": refused("found a first line with bytes that are not text", b"deal_id\0" + text()[7:]),
    "undecodable header": refused(
        "found line 1 of the header", b"\x98" + text(), formats={"encoding": "cp1251"}
    ),
    "quote open in the header": refused("Close the quote", text().replace(b"client_id", b'"client_id') + text() * 5),
    "title above": refused("write `header_row: 3`", b"Deals of 2025\n\n" + text()),
    "headers twice": refused('found the header "amount" 2 times', text().replace(b"closed_on", b"amount")),
    "other delimiter": refused('{delimiter: ","}', text(), formats={"delimiter": ";"}),
    "zip named csv": refused("found a zip archive or an Excel workbook", workbook(TABLE)),
    "csv named xlsx": refused("found something that is not an Excel workbook but a text", text(), "deals.xlsx"),
    "csv named parquet": refused("name it .csv", text(), "deals.parquet"),
    "gzip named csv": refused("found a file packed by gzip", gzip.compress(text())),
    "csv named gz": refused("found a damaged gzip file", text(), "deals.csv.gz"),
    "gzip cut": refused("found a damaged gzip file", gzip.compress(os.urandom(9_000))[:5_000], "deals.csv.gz"),
    "gzip changed": refused("found a damaged gzip file", gzip.compress(text() * 9)[:-60] + b"x" * 60, "deals.csv.gz"),
    "gzip of nothing": refused("found an empty file in it", gzip.compress(b""), "deals.csv.gz"),
    "web page": refused("found a web page", b"\n<!DOCTYPE html><html><table></table></html>"),
    "PDF": refused("found a PDF document", b"%PDF-1.7 ..."),
    "old workbook": refused("Save it as .xlsx", b"\xd0\xcf\x11\xe0" * 9, "deals.xls"),
    "workbook with a password": refused("without a password", b"\xd0\xcf\x11\xe0" * 9, "deals.xlsx"),
    "workbook cut": refused("or a damaged one", workbook(TABLE)[:-900], "deals.xlsx"),
    "workbook of broken XML": refused("or a damaged one", workbook(TABLE, mend=(b"</row>", b"")), "deals.xlsx"),
    "workbook of nothing": refused("found an empty sheet", workbook([]), "deals.xlsx"),
    "workbook of a header": refused("found a header and no rows", workbook(TABLE[:1]), "deals.xlsx"),
    "no such sheet": refused('found no sheet "Deals", expected one of Sheet', workbook(TABLE), "deals.xlsx", sheet="Deals"),
    "merged title": refused(
        "write `header_row: 3`",
        workbook([["Deals of 2025"], [], *TABLE], lambda sheet: sheet.merge_cells("A1:D1")),
        "deals.xlsx",
    ),
    "Parquet cut": refused("found something that is not Parquet, or damaged", parquet()[:-500], "deals.parquet"),
    "Parquet with a broken page": refused(
        "found something that is not Parquet, or damaged", parquet()[:3_000] + bytes(400) + parquet()[3_400:], "deals.parquet"
    ),
    "rows mostly bad": refused("20 of 30 rows (67%)", text("1,a,x,5\n" * 20)),
}  # fmt: skip

REJECTS = {
    "UTF-8 cut": Case(text("1,я,2025-01-01,5".encode()[:3]), accepted=TEN, rejected=[(12, "4 cells")]),
    "some bytes of cp1252": Case(
        HEADER.encode() + b"1,caf\xe9,2025-01-01,5\n" + SOUND.encode() + b"2,na\xefve,2025-01-01,5\n3,a\xc3\xa9,2025-01-01,5\n",
        accepted=[*TEN, "3"],
        rejected=[(2, "invalid encoding"), (13, "invalid encoding")],
    ),
    "NUL": Case(text("1,a\0b,2025-01-01,5\n"), accepted=TEN, rejected=[(12, "text without NUL bytes")]),
    "quoted newline": Case(
        text('1,"a\nb",2025-01-01,5\n', "2,a,2025-01-01,x\n"), accepted=[*TEN, "1"], rejected=[(14, "an amount")]
    ),
    "ragged rows": Case(
        text("1,a\n", "2,a,2025-01-01,5,6,7\n", "3,a,2025-01-01,5\n"),
        accepted=[*TEN, "3"],
        rejected=[(12, "missing columns"), (13, "too many columns")],
    ),
    "quote left open": Case(
        text('1,"a,2025-01-01,5\n', "2,a,2025-01-01,5\n", '3,"a",2025-01-01,5\n', '4,"a,2025-01-01,5\n'),
        accepted=[*TEN, "2", "3"],
        rejected=[(12, "neither closed nor doubled"), (15, "neither closed nor doubled")],
    ),
    "many quotes left open": Case(
        text(*(f'{n},"a,2025-01-01,5\n{n + 1},a,2025-01-01,5\n' for n in range(100, 116, 2))),
        accepted=[*TEN, *(str(n) for n in range(101, 117, 2))],
        rejected=[(n, "neither closed nor doubled") for n in range(12, 28, 2)],
    ),
    "quote not doubled": Case(text('1,"a"b,2025-01-01,5\n'), accepted=TEN, rejected=[(12, "neither closed nor doubled")]),
    "byte order mark": Case(codecs.BOM_UTF8 + text(), accepted=TEN),
    "appended exports": Case(
        codecs.BOM_UTF8 + text(codecs.BOM_UTF8 + HEADER.encode(), "1,a,2025-01-01,5\n", HEADER, "2,a,2025-01-01,5\n"),
        accepted=[*TEN, "1", "2"],
        rejected=[(12, "not the header once more"), (14, "not the header once more")],
    ),
    "line of totals": Case(text("Total,,,50\n"), accepted=TEN, rejected=[(12, "not a line of totals")]),
    "totals in Russian": Case(text("\n,Итого:,,50\n\n"), accepted=TEN, rejected=[(13, "not a line of totals")]),
    "rows exported": Case(text("(10 rows)\n"), accepted=TEN, rejected=[(12, "missing columns")]),
    "sep=": Case(b"sep=;\r\n" + text("1,x,2025-01-01,?\n").replace(b",", b";"), accepted=TEN, rejected=[(13, "an amount")]),
    "blank rows at the end": Case(
        text(",,,\n" * 50, " , ,,\n", "1,a,2025-01-01,x\n"), accepted=TEN, rejected=[(63, "an amount")]
    ),
    "delimiter behind every row": Case(text().replace(b"\n", b",\n").replace(b"amount,", b"amount"), accepted=TEN),
    "delimiters behind some rows": Case(
        text("1,a,2025-01-01,5,,,\n", "2,a,2025-01-01,5,,6\n"), accepted=[*TEN, "1"], rejected=[(13, "too many columns")]
    ),
    "delimiter behind the header": Case(text().replace(b"amount\n", b"amount,,\n"), accepted=TEN),
    "delimiter behind the header and some rows": Case(
        text("1,a,2025-01-01,5,\n", "2,a,2025-01-01,5,x\n").replace(b"amount\n", b"amount,\n"),
        accepted=[*TEN, "1"],
        rejected=[(13, "too many columns")],
    ),
    "lines end in CR": Case(text("1,a,2025-01-01,x\n").replace(b"\n", b"\r"), accepted=TEN, rejected=[(12, "an amount")]),
    "lines end in CR, in cp1251": Case(
        text("1,Я,2025-01-01,5\n", b"2,\x98,2025-01-01,5\n", encoding="cp1251").replace(b"\n", b"\r"),
        accepted=[*TEN, "1"],
        rejected=[(13, "text in cp1251")],
        source={"formats": {"encoding": "cp1251"}},
    ),
    "lines end in all ways": Case(
        text("1,a,2025-01-01,5\r\n", '2,"a,2025-01-01,5\r', "3,a,2025-01-01,x"),
        accepted=[*TEN, "1"],
        rejected=[(13, "neither closed nor doubled"), (14, "an amount")],
    ),
    "UTF-16 declared": Case(
        text("1,a,2025-01-01,x\n").decode().encode("utf-16-be"),
        accepted=TEN,
        rejected=[(12, "an amount")],
        source={"formats": {"encoding": "utf-16-be"}},
    ),
    "a cell of 1 MB": Case(
        text(f"1,{'x' * 1_000_000},2025-01-01,5\n", '2,"\n",2025-01-01,x\n'), accepted=[*TEN, "1"], rejected=[(13, "an amount")]
    ),
    "a cell of 3 MB": Case(
        text(f"1,{'x' * 3_000_000},2025-01-01,5\n", "2,a,2025-01-01,5\n"),
        accepted=[*TEN, "2"],
        rejected=[(12, "more than 2 MB")],
    ),
    "control characters": Case(
        text("1,\x1b[31ma\x07,2025-01-01,5\n", "2,a,\x1b[2J,5\n"), accepted=[*TEN, "1"], rejected=[(13, "a date")]
    ),
    "500 columns": Case(
        b"".join(line + b"".join(b",c%d" % n for n in range(496)) + b"\n" for line in text("1,a,2025-01-01,x\n").splitlines()),
        accepted=TEN,
        rejected=[(12, "an amount")],
    ),
    "dates in 1970 and 2099": Case(
        text("1,a,1970-01-01,5\n", "2,a,1970-01-02,5\n", "3,a,2099-01-01,5\n", "4,a,2026-01-01,5\n"),
        accepted=[*TEN, "2"],
        rejected=[(12, "a date"), (14, "a date")],
        later=1,
    ),
    "amounts with signs and spaces": Case(
        text('1,a,2025-01-01,"€84,835.00 "\n', '2,a,2025-01-01,"1 054,00"\n', '3,a,2025-01-01,"$5.00"\n'),
        accepted=[*TEN, "1"],
        rejected=[(13, "an amount"), (14, "an amount")],
        source={"formats": {"thousands": ","}},
    ),
    "the same row again": Case(
        text("10,a,2025-01-01,5\n", "11,a,2025-01-01,6\n"), accepted=TEN, rejected=[(13, "a key")], duplicates=1
    ),
    "names as file names do not have": Case(text("1,a\n"), name="[a]*?'\".csv", accepted=TEN, rejected=[(12, "missing columns")]),
}  # fmt: skip

SHEETS = {
    "merged cells": sheet(
        workbook(
            [*TABLE, [1, "m", dt.date(2025, 2, 1), 7], [2, None, None, 8], [3, None, None, None], [], [4, "b", None, 1]],
            lambda sheet: [sheet.merge_cells(block) for block in ("B12:B14", "C12:C14", "A2:A2", "B30:C40")],
        ),
        accepted=[*TEN, "1", "2"],
        rejected=[(14, "a value"), (16, "a value")],
    ),
    "names merged downwards": sheet(
        workbook(
            [["Deals of 2025"], ["deal_id", "client_id", "when", "amount"], [None, None, "closed_on", None], *TABLE[1:]],
            lambda sheet: [sheet.merge_cells(block) for block in ("A1:D1", "A2:A3", "B2:B3", "D2:D3")],
        ),
        accepted=TEN,
        source={"header_row": 3},
    ),
    "errors and words in numbers": sheet(
        workbook([*TABLE, [1, "a", dt.date(2025, 1, 1), "#REF!"], [2, "a", "#VALUE!", 5], [3, "a", dt.date(2025, 1, 1), True]]),
        accepted=TEN,
        rejected=[(12, "an amount"), (13, "a date"), (14, "an amount")],
    ),
    "a size that is wrong": sheet(workbook(TABLE, mend=(b'<dimension ref="[^"]*"', b'<dimension ref="A1"')), accepted=TEN),
    "numbers and dates as text": sheet(
        workbook([*TABLE, ["0001", "a", "2025-01-31", "7.50"], ["0002", "a", "45688", "7,50"]]),
        accepted=[*TEN, "0001"],
        rejected=[(13, "an amount")],
    ),
    "header and totals again": sheet(
        workbook([*TABLE, [], TABLE[0], [1, "a", dt.date(2025, 1, 1), 5], [None, "Grand total", None, 55]]),
        accepted=[*TEN, "1"],
        rejected=[(13, "not the header once more"), (15, "not a line of totals")],
    ),
    "wider rows": sheet(
        workbook([*TABLE, [1, "a", dt.date(2025, 1, 1), 5, None, "x"]]), accepted=TEN, rejected=[(12, "too many columns")]
    ),
}  # fmt: skip
CASES = {**MESSAGES, **REJECTS, **SHEETS}


@dataclass
class Seen:
    """What a check brought in: totals, rejects and the identifiers of the accepted deals."""

    total: Any = None
    rejects: Any = None
    accepted: list[str] = field(default_factory=list)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Looks at what a check brings in before the check throws it away."""
    kept = Seen()

    def bring_and_keep(*arguments: Any) -> Canonical:
        data = bring_in(*arguments)
        kept.total, kept.rejects = data.totals.iloc[0], data.rejects
        kept.accepted = pd.read_parquet(data.folder / "deals.parquet")["deal_id"].tolist()
        return data

    monkeypatch.setattr("crm_methods.runs.check.bring_in", bring_and_keep)
    return kept


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_whatever_is_damaged_a_check_ends_with_a_message_or_with_every_record_accounted_for(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str], seen: Seen
):
    source = {"file": case.name, **case.source}
    folder = write_company(tmp_path, {case.name: case.content}, {"deals": source}, intake={"max_rejected_share": 0.5})
    status = main(["check", str(folder)])
    told = capsys.readouterr()
    assert status == (1 if case.said else 0), told.err
    assert case.said in told.err
    assert not re.search(r"Traceback|[\x00-\x09\x0b-\x1f]", told.err + told.out)
    if case.said:
        return
    assert sorted(seen.accepted) == sorted(case.accepted)
    found = seen.rejects.groupby("record")["expected"].agg(" / ".join)
    assert list(found.index) == [line for line, _ in case.rejected]
    assert all(expected in said for (_, expected), said in zip(case.rejected, found, strict=True))
    fates = {"accepted": len(case.accepted), "rejected": len(case.rejected), "later": case.later, "duplicate": case.duplicates}
    assert {fate: seen.total[f"{fate}_rows"] for fate in fates} == fates
    assert seen.total["source_rows"] == sum(fates.values())
    for line, _ in case.rejected[:1]:
        assert f"(line {line}), expected" in told.out


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = write_company(tmp_path, {}, {"deals": {"file": "deals.csv"}, "clients": {"file": "clients.csv"}})
    (folder / "deals.csv").mkdir()
    (folder / "clients.csv").symlink_to(folder / "clients.csv")
    assert main(["check", str(folder)]) == 1
    told = capsys.readouterr().err
    assert 'tables.deals.file: found no file "deals.csv"' in told
    assert 'tables.clients.file: found no file "clients.csv"' in told


def test_a_file_that_vanishes_before_it_is_read_is_told(tmp_path: Path):
    for path in (tmp_path / "deals.csv", tmp_path):
        with duckdb.connect() as sql, pytest.raises(CrmError, match="found a file that can't be opened"):
            read_raw(sql, "raw_deals", Source(file="deals.csv"), Formats(), path, tmp_path)


def test_a_file_without_permission_to_read_it_is_told(tmp_path: Path):
    path = tmp_path / "deals.csv"
    path.write_bytes(text())
    path.chmod(0)
    root = os.geteuid() == 0
    with duckdb.connect() as sql:
        try:
            if root:
                # Root may read everything; somebody else may not.
                os.seteuid(65_534)
            with pytest.raises(CrmError, match="Permission denied"):
                read_raw(sql, "raw_deals", Source(file="deals.csv"), Formats(), path, tmp_path)
        finally:
            if root:
                os.seteuid(0)


@pytest.mark.parametrize("epoch", [openpyxl.utils.datetime.CALENDAR_WINDOWS_1900, openpyxl.utils.datetime.CALENDAR_MAC_1904])
def test_dates_as_numbers_count_from_the_day_of_their_workbook(bring: BringIn, epoch: dt.datetime):
    book, out = openpyxl.Workbook(), io.BytesIO()
    book.epoch = epoch
    days = (dt.date(2025, 3, 5) - epoch.date()).days
    for row in (TABLE[0], [1, "a", days, 5], [2, "a", dt.date(2025, 3, 5), 5], [3, "a", days + 0.75, 5]):
        book.active.append(row)
    book.save(out)
    data = bring({"deals.xlsx": out.getvalue()})
    assert set(pd.read_parquet(data.folder / "deals.parquet")["closed_on"].astype(str)) == {"2025-03-05"}


def test_shares_and_answers_of_a_workbook_come_in_by_their_meaning(bring: BringIn):
    lines = [["deal_id", "product_id", "quantity", "unit_price", "discount_share"], [10, "x", 1, 5, 0.15], [11, "x", 1, 5, "15%"]]
    people = [["person_id", "client_id", "consent_email"], [1, "a", True], [2, "a", False], [3, "a", "yes"]]
    books = {"deal_lines.xlsx": lines, "contact_persons.xlsx": people, "deals.xlsx": TABLE}
    data = bring({name: workbook(rows) for name, rows in books.items()})
    assert pd.read_parquet(data.folder / "deal_lines.parquet")["discount_share"].tolist() == [0.15, 0.15]
