from __future__ import annotations

import datetime as dt
import io

import openpyxl
import pytest

from crm_methods.engine import collect
from crm_methods.errors import IntakeError

from .conftest import BringIn


def workbook(rows: list[list[object]], title: str = "Deals") -> bytes:
    book, out = openpyxl.Workbook(), io.BytesIO()
    book.active.title = title
    for row in rows:
        book.active.append(row)
    book.save(out)
    return out.getvalue()


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


def test_merged_cells_count_for_every_cell_in_them_and_merged_names_are_numbered(bring: BringIn):
    book, out = openpyxl.Workbook(), io.BytesIO()
    for row in (
        ["deal_id", "client_id", "closed_on", "opened_on", "amount", "Notes", None],
        [1, "a", dt.date(2025, 1, 1), None, 5, "x", "y"],
        [2, None, dt.date(2025, 1, 2), dt.date(2025, 1, 1), 6, None, None],
    ):
        book.active.append(row)
    for block in ("B2:B3", "C2:D2", "F1:G1"):
        book.active.merge_cells(block)
    book.save(out)
    source = {"file": "d.xlsx", "columns": {"terms": "Notes", "kind": "Notes (2)"}}
    data = bring({"d.xlsx": out.getvalue()}, {"deals": source})
    sold = collect(data.scan("deals").sort("deal_id"))
    assert sold["client_id"].tolist() == ["a", "a"]
    assert sold["opened_on"].dt.strftime("%d").tolist() == ["01", "01"]
    assert sold[["terms", "kind"]].values.tolist()[0] == ["x", "y"]
