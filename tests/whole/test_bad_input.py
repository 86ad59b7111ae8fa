"""Bad input as a user meets it: the command as a process, one message with every fault, status 1, nothing written."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

DEALS = pd.DataFrame(
    {
        "deal_id": [f"d{i}" for i in range(100)],
        "client_id": [f"c{i % 7}" for i in range(100)],
        "closed_on": [dt.date(2025, 1 + i % 12, 1 + i % 28) for i in range(100)],
        "amount": [100.0 + i for i in range(100)],
    }
)


def _company(folder: Path, deals: pd.DataFrame = DEALS, **settings: object) -> Path:
    folder.mkdir()
    deals.to_csv(folder / "deals.csv", index=False)
    told = {
        "company": "Example",
        "as_of": dt.date(2025, 12, 31),
        "currency": "EUR",
        "tables": {"deals": {"file": "deals.csv"}},
        **settings,
    }
    (folder / "company.yml").write_text(yaml.safe_dump(told, sort_keys=False), encoding="utf-8")
    return folder


def _refused(folder: Path, *arguments: str) -> str:
    """The message of a run that must not begin."""
    reports = folder.parent / "reports"
    command = [sys.executable, "-m", "crm_methods.runs.cli", "run", str(folder), "--reports", str(reports), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "CRM_METHODS_REPORTS": str(reports)}
    )
    output = done.stdout + done.stderr

    assert done.returncode == 1, output
    assert "Traceback" not in output
    assert not [path for path in reports.rglob("*") if path.is_file()]
    return output


def test_settings_name_every_fault_at_once(tmp_path: Path):
    folder = _company(
        tmp_path / "a", curency="EUR", seed="seven", tables={"deals": {"file": "deals.csv"}, "clients": {"file": "clients.csv"}}
    )
    message = _refused(folder)

    assert 'Did you mean "currency"?' in message
    assert "seed: found 'seven' (text)" in message
    assert 'no file "clients.csv"' in message
    assert "line" in message


def test_a_deals_file_without_its_amount(tmp_path: Path):
    message = _refused(_company(tmp_path / "a", DEALS.rename(columns={"amount": "Value"})))

    assert "deals.amount" in message
    assert "Value" in message


def test_a_date_format_that_does_not_fit(tmp_path: Path):
    message = _refused(_company(tmp_path / "a", formats={"date": "%d.%m.%Y"}))

    assert "closed_on" in message
    assert "2025-01-01" in message
    assert "%d.%m.%Y" in message


def test_an_empty_file(tmp_path: Path):
    folder = _company(tmp_path / "a")
    (folder / "deals.csv").write_bytes(b"")

    assert "empty file" in _refused(folder)


def test_an_unknown_parameter(tmp_path: Path):
    message = _refused(_company(tmp_path / "a"), "--set", "segments.horizon_month=24")

    assert 'Did you mean "horizon_months"?' in message


def test_an_ill_typed_parameter(tmp_path: Path):
    assert "horizon_months" in _refused(_company(tmp_path / "a"), "--set", "segments.horizon_months=soon")


def test_a_company_that_is_not_there(tmp_path: Path):
    _company(tmp_path / "northwind")

    assert "northwind" in _refused(tmp_path / "nortwind")


def test_forty_per_cent_bad_rows_stop_the_run(tmp_path: Path):
    deals = DEALS.assign(amount=[("n/a" if i % 5 < 2 else str(a)) for i, a in enumerate(DEALS["amount"])])
    message = _refused(_company(tmp_path / "a", deals))

    assert "40 of 100 rows (40%)" in message
    assert '"n/a"' in message


@pytest.mark.xdist_group("whole")
def test_three_per_cent_bad_rows_run_and_each_is_accounted_for(tmp_path: Path):
    deals = DEALS.assign(amount=[("n/a" if i in {10, 50, 90} else str(a)) for i, a in enumerate(DEALS["amount"])])
    folder, reports = _company(tmp_path / "a", deals), tmp_path / "reports"
    command = [sys.executable, "-m", "crm_methods.runs.cli", "run", str(folder), "--reports", str(reports)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    rejects = pd.read_csv(reports / "a" / "2025-12-31" / "rejects.csv", encoding="utf-8-sig", keep_default_na=False)
    assert rejects["record"].tolist() == [12, 52, 92]
    assert set(rejects["found"]) == {"n/a"}
