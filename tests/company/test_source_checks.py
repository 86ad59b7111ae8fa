"""Entries under ``tables``: what does not go together is told before any file is read, all of it at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crm_methods.company.source_checks import check_tables
from crm_methods.errors import Faults


def told(tmp_path: Path, tables: Any) -> list[str]:
    (tmp_path / "d.csv").write_text("x\n")
    faults = Faults()
    check_tables(tables, tmp_path, faults)
    return [str(fault) for fault in faults.items]


@pytest.mark.parametrize(
    "source",
    [
        {"file": "d.csv"},
        {"package": "lifetimes/datasets/CDNOW_sample.txt"},
        {"database": "postgresql+pg8000://me@host/db", "table": "orders", "password_env": "SECRET"},
        {"database": "sqlite:///x.db", "query": "SELECT 1"},
        {"file": "d.csv", "units": {"amount": "thousands", "discount_share": "percent"}, "constants": {"status": "won"}},
        {"file": "d.csv", "reshape": {"lines": True}, "columns": {"product_id": "SKU"}},
        {"file": "d.csv", "values": {"status": {"*": "open", "none": ""}}},
    ],
)
def test_sound_entries_have_no_fault(tmp_path: Path, source: dict[str, Any]):
    assert told(tmp_path, {"deals": source}) == []


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ({}, "neither `file` nor `package` nor `database`"),
        ({"file": "d.csv", "database": "sqlite:///x"}, "both `file` and `database`"),
        ({"database": "sqlite:///x"}, "neither `table` nor `query`"),
        ({"database": "sqlite:///x", "table": "a", "query": "b"}, "`table` and `query`"),
        ({"database": "postgresql://me:pw@host/db", "table": "a"}, "a password in the address"),
        ({"file": "x.sqlite"}, "neither `table` nor `query`"),
        ({"file": "d.csv", "table": "orders"}, "no database"),
        ({"file": "d.csv", "units": {"amount": "seconds"}}, "one of thousands, millions"),
        ({"file": "d.csv", "units": {"owner": "thousands"}}, "no unit here"),
        ({"file": "d.csv", "cases": {}}, "for process_events only"),
        ({"file": "d.csv", "columns": {"product_id": "SKU"}}, "an unknown column"),
        ({"file": "d.csv", "lookup": {"owner": {"file": "no.csv"}}}, 'no file "no.csv"'),
        ({"file": "../d.csv"}, "a path inside the company's folder"),
        ({"file": "d.csv", "lookup": {"owner": {"file": "../../etc/passwd"}}}, "a path inside the company's folder"),
    ],
)
def test_what_does_not_go_together_is_told(tmp_path: Path, source: dict[str, Any], part: str):
    assert [fault for fault in told(tmp_path, {"deals": source}) if part in fault]


def test_all_faults_come_together_and_no_password_is_shown(tmp_path: Path):
    hidden = {"database": "x://a:hush@b/c", "query": "SELECT 1"}
    faults = told(tmp_path, {"dealz": {}, "clients": {"file": "c.csv"}, "surveys": hidden})
    assert len(faults) == 4
    assert not [fault for fault in faults if "hush" in fault]
