"""A company made of a few files, brought in as a run would."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from crm_methods.company.intake import Canonical, bring_in
from crm_methods.company.settings import load_company
from crm_methods.engine import Engine, open_engine

BringIn = Callable[..., Canonical]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_engine(temp_folder=tmp_path / "spill")
    yield opened
    opened.close()


def write_company(folder: Path, files: Mapping[str, str | bytes], tables: Mapping[str, Any], **settings: Any) -> Path:
    """A company's folder with these files and settings."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    everything = {"company": "Three", "as_of": "@", "currency": "EUR", "tables": tables, **settings}
    text = yaml.safe_dump(everything, allow_unicode=True, sort_keys=False).replace("'@'", "2025-12-31")
    (folder / "company.yml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def bring(tmp_path: Path, engine: Engine) -> BringIn:
    """``bring({"deals.csv": "…"}, {"deals": {…}}, margin_share=0.4)``: the canonical data of a company made so.

    Without tables, each file ``<table>.<ending>`` is the table of its name; a few bad rows among few are allowed.
    """

    def bring_files(files: Mapping[str, str | bytes], tables: Mapping[str, Any] | None = None, **settings: Any) -> Canonical:
        described = tables or {name.split(".")[0]: {"file": name} for name in files}
        settings.setdefault("intake", {"max_rejected_share": 1.0})
        folder = write_company(tmp_path / "company", files, described, **settings)
        return bring_in(load_company(folder), folder, engine, tmp_path / "canonical")

    return bring_files
