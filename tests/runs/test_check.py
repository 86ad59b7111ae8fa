"""``crm-methods check``: everything that is wrong at once, what is decided by a rule, and nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_methods.runs.check import check
from crm_methods.runs.cli import main
from tests.runs.conftest import write_company


def test_a_sound_company_has_no_fault_and_leaves_nothing_behind(company: Path, capsys: pytest.CaptureFixture[str]):
    before = sorted(company.iterdir())
    assert main(["check", str(company)]) == 0
    told = capsys.readouterr().out
    assert "deals (deals.csv): 4 rows, all accepted" in told
    assert "Nothing stands in the way" in told
    assert sorted(company.iterdir()) == before


def test_faults_of_settings_and_of_files_come_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = write_company(tmp_path / "data" / "three")
    text = (folder / "company.yml").read_text(encoding="utf-8")
    broken = text.replace("currency: EUR", "currency: euro\nsegmints: {}").replace("as_of: 2025-12-31", "as_of: soon")
    (folder / "company.yml").write_text(broken + "  surveys: {file: none.csv}\n", encoding="utf-8")
    (folder / "deals.csv").write_text("deal_id,client_id,closed\n1,a,2025-01-01\n", encoding="utf-8")
    (folder / "clients.csv").write_bytes(b"")
    assert main(["check", str(folder)]) == 1
    told = capsys.readouterr().err
    for part in (
        'Did you mean "segments"?', "currency", "as_of", 'no file "none.csv"', "no column for deals.closed_on",
        "no column for deals.amount", "clients.csv: found an empty file",
    ):  # fmt: skip
        assert part in told
    assert "Traceback" not in told


def test_bad_cells_and_rules_are_listed_with_an_example(tmp_path: Path):
    folder = write_company(tmp_path / "data" / "three")
    with (folder / "deals.csv").open("a", encoding="utf-8") as deals:
        deals.write("5,c9,2025-07-01,1\n6,Acme Ltd,2025-07-01,2\n")
    (folder / "company.yml").write_text(
        (folder / "company.yml").read_text(encoding="utf-8") + "intake: {max_rejected_share: 0.5}\n", encoding="utf-8"
    )
    with (folder / "deals.csv").open("a", encoding="utf-8") as deals:
        deals.write("7,c1,2025-02-30,1\n")
    found = check(folder)
    assert found.faults == ()
    told = "\n".join(found.lines)
    assert "deals.csv, \"closed_on\": 1 cell such as '2025-02-30' (line 8)" in told
    assert "deals.client_id, 1 row such as 'c9': counts as a client of its own" in told
    assert "deals.client_id, 1 row such as 'Acme Ltd': the name of one client, or its id in another case, stands for its" in told


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "company: [", "tables: 7\n", "{a: &x [*x]}"])
def test_a_company_yml_of_any_shape_is_told_and_nothing_breaks(tmp_path: Path, text: str):
    folder = tmp_path / "c"
    folder.mkdir()
    (folder / "company.yml").write_text(text, encoding="utf-8")
    assert check(folder).faults


def test_a_fault_beside_a_table_with_a_column_named_on_is_told(tmp_path: Path):
    folder = write_company(tmp_path / "data" / "three")
    (folder / "rates.csv").write_text("Datum,currency,rate\n2025-01-01,USD,0.9\n", encoding="utf-8")
    rates = "  exchange_rates: {file: rates.csv, columns: {on: Datum}}\n"
    broken = (folder / "company.yml").read_text(encoding="utf-8").replace("currency: EUR", "currency: euro")
    (folder / "company.yml").write_text(broken + rates, encoding="utf-8")
    found = check(folder)
    assert len(found.faults) == 1
    assert "exchange_rates (rates.csv): 1 row, all accepted" in "\n".join(found.lines)
