"""Whole runs, each once a session: the samples and a company of three clients, through papermill."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from crm_methods.runs.request import read_request
from crm_methods.runs.runner import run
from tests.reports.browser import Open, open_browser

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Run:
    """A published run: its folder and where its work lies."""

    company: Path
    reports: Path
    folder: Path

    @property
    def facts(self) -> dict[str, Any]:
        return json.loads((self.folder / "run.json").read_text(encoding="utf-8"))

    @property
    def pages(self) -> list[Path]:
        return sorted(self.folder.glob("*.html"))

    @property
    def notebooks(self) -> Path:
        return self.reports / self.company.name / ".work" / self.folder.name / "notebooks"

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "tables" / f"{name}.parquet")


def _run(company: Path, reports: Path) -> Run:
    result = run(read_request(company), reports=reports)
    assert result.index is not None
    return Run(company, reports, result.index.parent)


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="session")
def meridian(reports: Path) -> Run:
    return _run(ROOT / "data" / "meridian", reports)


@pytest.fixture(scope="session")
def cdnow(reports: Path) -> Run:
    return _run(ROOT / "data" / "cdnow", reports)


HOSTILE = ("<script>alert(1)</script>", '=HYPERLINK("x","y")', "../../etc")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clients with hostile names, deals, contacts, a person each and a survey."""
    folder = tmp_path_factory.mktemp("data") / "tiny"
    folder.mkdir()
    ids = ["c1", "c2", "c3"]
    tables = {
        "clients": pd.DataFrame(
            {
                "client_id": ids,
                "name": HOSTILE,
                "industry": ["telecom", "retail", "=1+1"],
                "employees": [900, 40, 5],
                "owner": ["@owner", "Ann Lee", "Ann Lee"],
                "email": ["one@a.example", "two@b.example", "three@c.example"],
            }
        ),
        "contact_persons": pd.DataFrame(
            {
                "person_id": ["p1", "p2", "p3"],
                "client_id": ids,
                "name": ["-2+3", "Bo Ek", "Cy Oz"],
                "role": "buyer",
                "email": ["p1@a.example", "p2@b.example", "p3@c.example"],
                "consent_email": True,
            }
        ),
        "deals": pd.DataFrame(
            {
                "deal_id": [f"d{i}" for i in range(9)],
                "client_id": ids * 3,
                "closed_on": [dt.date(2025, 1 + i, 10) for i in range(9)],
                "amount": [100.0 * (i + 1) for i in range(9)],
                "cost": [60.0 * (i + 1) for i in range(9)],
            }
        ),
        "interactions": pd.DataFrame(
            {
                "interaction_id": [f"i{i}" for i in range(6)],
                "client_id": ids * 2,
                "started_at": [f"2025-0{i + 2}-05 09:00:00" for i in range(6)],
                "channel": ["phone", "email"] * 3,
                "kind": ["service", "complaint"] * 3,
                "department": "support",
                "skill": "first line",
                "topic": ["<b>modem</b>", "invoice", "=cmd"] * 2,
                "handling_minutes": [10.0 + i for i in range(6)],
                "first_response_at": [f"2025-0{i + 2}-05 10:00:00" for i in range(6)],
            }
        ),
        "surveys": pd.DataFrame(
            {
                "response_id": ["s1", "s2", "s3"],
                "client_id": ids,
                "answered_on": dt.date(2025, 6, 1),
                "nps": [9, 3, 7],
                "csat": [5, 2, 4],
                "comment": HOSTILE,
            }
        ),
    }
    for name, rows in tables.items():
        rows.to_csv(folder / f"{name}.csv", index=False)
    told = {
        "company": "Tiny <Co>",
        "as_of": dt.date(2025, 12, 31),
        "currency": "EUR",
        "tables": {name: {"file": f"{name}.csv"} for name in tables},
    }
    (folder / "company.yml").write_text(yaml.safe_dump(told), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path, reports: Path) -> Run:
    return _run(tiny_folder, reports)


@pytest.fixture(scope="session")
def masked(tiny_folder: Path, reports: Path) -> Run:
    """The same three clients under pseudonyms."""
    folder = tiny_folder.with_name("masked")
    shutil.copytree(tiny_folder, folder, dirs_exist_ok=True)
    told = yaml.safe_load((folder / "company.yml").read_text(encoding="utf-8"))
    (folder / "company.yml").write_text(yaml.safe_dump({**told, "privacy": {"pseudonymise": True}}), encoding="utf-8")
    return _run(folder, reports)


@pytest.fixture
def browser_page() -> Iterator[Open]:
    """``open(path, width=1280)`` in headless Chromium; for one test, since it holds the process's event loop."""
    with open_browser() as opened:
        yield opened
