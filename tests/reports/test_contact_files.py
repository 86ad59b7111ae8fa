"""What stage 5 hands over: names a reader needs, figures as in the tables, pseudonyms where they are wanted."""

# A test's argument is the fixture of the same name.
# ruff: noqa: F811

from __future__ import annotations

from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from crm_methods.engine import collect
from crm_methods.reports import contact_files
from crm_methods.stages import contacts_budget
from tests.stages.contacts_company import Planned, planned  # noqa: F401


class _Masked:
    def frame(self, df: pd.DataFrame) -> pd.DataFrame:
        return df.assign(**{c: df[c].map(lambda v: self.text(v) if isinstance(v, str) else v) for c in df.columns})

    def text(self, text: str) -> str:
        return text.replace("Norse Telecom", "Client A").replace("Bo Dahl", "Person B")


def _files(planned: Planned, folder: Path, mask: _Masked | None = None) -> tuple[Path, Path, str, float]:
    first = contact_files.first_contacts(planned.made.data, planned.plan.content, planned.contacts, planned.profile)
    budget = contacts_budget.budget(planned.made.settings, planned.plan, planned.matrix, planned.costs, {}, planned.work)
    assert isinstance(budget, contacts_budget.Budget)
    book = contact_files.budget_book(
        planned.made.settings, planned.plan, planned.days, planned.costs, planned.matrix, budget, first
    )
    xlsx, ics = folder / "contact_budget.xlsx", folder / "contacts.ics"
    return xlsx, ics, contact_files.write_files(xlsx, ics, book, first, planned.made.settings, mask), budget.cost


def test_the_first_contacts_come_in_order_with_their_names(planned: Planned):
    rows = contact_files.first_contacts(planned.made.data, planned.plan.content, planned.contacts, planned.profile, max_rows=5)

    assert len(rows) == 5
    assert rows["planned_on"].is_monotonic_increasing
    assert set(rows["client"]) <= {"Norse Telecom", "Corner Bakery", "Old Mill"}
    assert rows.loc[rows["occasion"] == "Open problem", "person_name"].tolist() == ["Bo Dahl"]


def test_the_workbook_has_the_budget_of_the_table(planned: Planned, tmp_path: Path):
    xlsx, _, _, cost = _files(planned, tmp_path)

    rows = [[cell.value for cell in row] for row in openpyxl.load_workbook(xlsx, data_only=True)["Budget"].iter_rows()]
    total = next(row for row in rows if row[0] == "All actions")
    assert total[rows[2].index("Full cost")] == pytest.approx(cost)


def test_the_calendar_has_an_event_for_every_contact(planned: Planned, tmp_path: Path):
    _, ics, said, _ = _files(planned, tmp_path)
    text = ics.read_text(encoding="utf-8")
    count = len(collect(planned.contacts))

    assert text.count("BEGIN:VEVENT") == count
    assert len({line for line in text.splitlines() if line.startswith("UID:")}) == count
    assert f"{count} contacts as events" in said


def test_pseudonyms_leave_no_name_in_either_file(planned: Planned, tmp_path: Path):
    xlsx, ics, _, _ = _files(planned, tmp_path, _Masked())

    cells = " ".join(str(cell.value) for sheet in openpyxl.load_workbook(xlsx) for row in sheet.iter_rows() for cell in row)
    events = ics.read_bytes().decode("utf-8").replace("\r\n ", "")
    for text in (cells, events):
        assert "Norse Telecom" not in text
        assert "Bo Dahl" not in text
        assert "Client A" in text
