"""The workbook: its formulas compute what Python computed, follow a changed input, and hold no client's formula."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest

from crm_methods.reports.workbook import BudgetBook, write_budget_book

HOSTILE = (
    '=HYPERLINK("http://x.example","y")',
    "+cmd|' /C calc'!A0",
    "@SUM(1)",
    "-2+3",
    "<script>alert(1)</script>",
    "../../etc",
    "{=1+1}",
    "http://x.example",
)
_RECALCULATE = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry"><item oor:path="/org.openoffice.Office.Calc/Formula/Load">
<prop oor:name="OOXMLRecalcMode" oor:op="fuse"><value>0</value></prop></item></oor:items>"""


def _book(**more: Any) -> BudgetBook:
    assumptions = pd.DataFrame(
        [
            ("launch", "o1", "Launch call", "phone", 50.0, 2.0, 5.0, "recorded"),
            ("launch", "o1", "Launch call", "visit", 200.0, 2.0, 60.0, "recorded"),
            ("care", "o2", "Review", "email", 10.0, 1.0, 0.0, "kit default"),
        ],
        columns=["action", "occasion", "title", "channel", "minutes", "minute_cost", "unit_cash_cost", "basis"],
    )
    contacts = pd.DataFrame(
        [
            ("High revenue", "launch", "o1", "Launch call", "buyer", "phone", 40, 1.5),
            ("High revenue", "launch", "o1", "Launch call", "buyer", "visit", 10, 1.0),
            ("Low revenue", "care", "o2", "Review", "user", "email", 300, 4.0),
        ],
        columns=["segment_label", "action", "occasion", "title", "role", "channel", "clients", "contacts_per_client"],
    )
    actions = pd.DataFrame(
        [("launch", "Launch", 10.0, 2.0, 300.0), ("care", "Care", 0.0, 2.0, 0.0), ("idle", "Nothing planned", 99.0, 2.0, 99.0)],
        columns=["action", "title", "preparation_hours", "minute_cost", "preparation_cash_cost"],
    )
    matrix = pd.DataFrame({"segment": ["High revenue"], "occasion": ["Launch call"], "clients": [50]})
    calendar = pd.DataFrame({"planned_on": pd.to_datetime(["2026-01-05"]), "client": ["Acme"], "text": ["Ask."]})
    parts: dict[str, Any] = {
        "company": "Example",
        "period": "2026",
        "origin": "kit default",
        "currency": "EUR",
        "assumptions": assumptions,
        "actions": actions,
        "contacts": contacts,
        "matrix": matrix,
        "calendar": calendar,
        "calendar_rows": 1,
        "limit": 20_000.0,
    }
    return BudgetBook(**{**parts, **more})


# 40 × 1.5 × (50 · 2 + 5) + 10 × (200 · 2 + 60); 300 × 4 × 10; preparation 10 · 60 · 2 + 300
LAUNCH_CONTACTS, CARE_CONTACTS, PREPARATION = 6_300.0 + 4_600.0, 12_000.0, 1_500.0
FULL = LAUNCH_CONTACTS + CARE_CONTACTS + PREPARATION
CASH = 60 * 5.0 + 10 * 60.0 + 300.0


def _written(path: Path, book: BudgetBook | None = None, pseudonyms: Any = None) -> Path:
    write_budget_book(path, book or _book(), pseudonyms)
    return path


def _cells(path: Path, sheet: str, *, values: bool = True) -> list[list[Any]]:
    workbook = openpyxl.load_workbook(path, data_only=values)
    return [[cell.value for cell in row] for row in workbook[sheet].iter_rows()]


def _total(path: Path) -> dict[str, Any]:
    rows = _cells(path, "Budget")
    head = rows[2]
    line = next(row for row in rows if row[0] == "All actions")
    return dict(zip(head, line, strict=True))


def _recalculated(path: Path, folder: Path) -> Path:
    """The workbook as LibreOffice computes it anew; skips without LibreOffice, and fails instead in CI."""
    soffice = shutil.which("soffice")
    if soffice is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI must have LibreOffice (soffice)")
        pytest.skip("LibreOffice (soffice) is not installed")
    profile = folder / "profile"
    (profile / "user").mkdir(parents=True)
    (profile / "user" / "registrymodifications.xcu").write_text(_RECALCULATE, encoding="utf-8")
    target = folder / "recalculated"
    subprocess.run(
        [
            soffice,
            f"-env:UserInstallation={profile.as_uri()}",
            "--headless",
            "--convert-to",
            "xlsx",
            "--outdir",
            str(target),
            str(path),
        ],
        check=True,
        capture_output=True,
        timeout=180,
    )
    return target / path.name


def test_formulas_carry_their_values_for_programs_that_do_not_compute(tmp_path: Path):
    total = _total(_written(tmp_path / "budget.xlsx"))

    assert total["Full cost"] == pytest.approx(FULL)
    assert total["Cash"] == pytest.approx(CASH)
    assert total["Contacts"] == pytest.approx(60 + 10 + 1_200)
    assert total["Preparation, once"] == pytest.approx(PREPARATION)


def test_everything_that_follows_is_a_formula(tmp_path: Path):
    path = _written(tmp_path / "budget.xlsx")
    formulas = {
        sheet: sum(str(v).startswith("=") for row in _cells(path, sheet, values=False) for v in row)
        for sheet in ("Budget", "Actions", "Contacts", "Assumptions")
    }

    # Eight figures for each of three actions and the total, and what is left of the budget.
    assert formulas == {"Budget": 8 * 4 + 1, "Actions": 3, "Contacts": 6 * 3, "Assumptions": 3}


def test_libreoffice_computes_what_python_computed_and_follows_a_changed_input(tmp_path: Path):
    path = _written(tmp_path / "budget.xlsx")
    workbook = openpyxl.load_workbook(path)
    workbook["Assumptions"]["C4"] = 100.0  # minutes of a launch call: 50 more, for 60 contacts at 2 a minute
    workbook["Actions"]["C4"] = 0.0  # no hours of preparation: 1,200 less
    workbook["Contacts"]["G6"] = 0.0  # no reviews at all: care costs nothing
    changed = tmp_path / "changed.xlsx"
    workbook.save(changed)

    assert _total(_recalculated(path, tmp_path / "one"))["Full cost"] == pytest.approx(FULL)
    total = _total(_recalculated(changed, tmp_path / "two"))
    assert total["Full cost"] == pytest.approx(FULL + 50 * 2 * 60 - 1_200 - CARE_CONTACTS)
    assert total["Cash"] == pytest.approx(CASH)


def test_an_action_without_contacts_is_not_prepared(tmp_path: Path):
    rows = _cells(_written(tmp_path / "budget.xlsx"), "Budget")

    idle = next(row for row in rows if row[0] == "idle")
    assert idle[2:] == [0] * 8


@pytest.mark.parametrize(
    ("limit", "covers", "left"),
    [(20_000.0, "full_cost", 20_000 - FULL), (2_000.0, "cash", 2_000 - CASH), (None, "full_cost", None)],
)
def test_what_is_left_of_the_budget_is_computed_too(tmp_path: Path, limit: float | None, covers: str, left: float | None):
    rows = _cells(_written(tmp_path / "budget.xlsx", _book(limit=limit, covers=covers)), "Budget")

    line = next(row for row in rows if str(row[1]).startswith("Left of it"))
    assert line[6] == (pytest.approx(left) if left is not None else None)


def test_hostile_text_is_an_inert_string_in_every_sheet(tmp_path: Path):
    book = _book()
    names = pd.DataFrame({"planned_on": pd.to_datetime(["2026-01-05"] * len(HOSTILE)), "client": HOSTILE, "text": HOSTILE})
    hostile = replace(
        book,
        company=HOSTILE[0],
        calendar=names,
        matrix=pd.DataFrame({"segment": HOSTILE}),
        actions=book.actions.assign(title=list(HOSTILE[:3])),
        contacts=book.contacts.assign(role=list(HOSTILE[:3]), segment_label=HOSTILE[3]),
        assumptions=book.assumptions.assign(title=list(HOSTILE[4:7])),
    )
    path = _written(tmp_path / "budget.xlsx", hostile)

    workbook = openpyxl.load_workbook(path)
    found = {cell.value for sheet in workbook for row in sheet.iter_rows() for cell in row if cell.data_type == "s"}
    formulas = [cell.value for sheet in workbook for row in sheet.iter_rows() for cell in row if cell.data_type == "f"]
    assert set(HOSTILE) <= found
    assert not [formula for formula in formulas if re.search(r"HYPERLINK|cmd|script|etc|x\.example", str(formula))]
    with zipfile.ZipFile(path) as parts:
        assert not [name for name in parts.namelist() if "hyperlink" in name or "externalLink" in name]
        assert not any(b"<hyperlink" in parts.read(name) for name in parts.namelist())
    assert _total(path)["Full cost"] == pytest.approx(FULL)


def test_pseudonyms_replace_names_in_cells_and_sentences(tmp_path: Path):
    class Masked:
        def frame(self, df: pd.DataFrame) -> pd.DataFrame:
            return df.assign(client="Client X") if "client" in df else df

        def text(self, text: str) -> str:
            return text.replace("Acme", "Client X")

    calendar = pd.DataFrame({"planned_on": pd.to_datetime(["2026-01-05"]), "client": ["Acme"], "text": ["Ask Acme."]})
    path = _written(tmp_path / "budget.xlsx", _book(calendar=calendar), Masked())

    assert "Acme" not in str(_cells(path, "Calendar"))
    assert "Ask Client X." in _cells(path, "Calendar")[3]


def test_the_same_book_has_the_same_bytes(tmp_path: Path):
    assert _written(tmp_path / "a.xlsx").read_bytes() == _written(tmp_path / "b.xlsx").read_bytes()


def test_the_calendar_says_when_it_is_cut(tmp_path: Path):
    path = _written(tmp_path / "budget.xlsx", _book(calendar_rows=7_000))

    assert _cells(path, "Calendar")[0][0] == "The contact calendar. The first 1 of 7,000 contacts."
