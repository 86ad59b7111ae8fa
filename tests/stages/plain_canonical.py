"""Canonical data straight from frames, without an intake: for tests of what is computed from them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.engine import EngineSettings, open_engine

_COLUMNS = {
    "deals": {"deal_id": "", "client_id": "", "closed_on": dt.date(2025, 1, 1), "amount": 0.0, "status": "won", "margin": 0.0},
    "clients": {"client_id": "", "name": "", "since": dt.date(2025, 1, 1)},
    "interactions": {
        "client_id": "", "started_at": dt.datetime(2025, 1, 1), "department": "support", "channel": "phone", "kind": "service",
        "handling_minutes": 10.0, "direct_cost": 0.0,
    },
}  # fmt: skip


def plain_data(folder: Path, tables: dict[str, pd.DataFrame], **settings: Any) -> tuple[Canonical, Company]:
    """Tables → (data, settings); columns that a table lacks get one value, a table that is not given is empty."""
    engine = open_engine(EngineSettings(memory_limit="500MB", threads=1), folder / "spill")
    canonical = folder / f"canonical_{len(list(folder.iterdir()))}"
    for name, usual in _COLUMNS.items():
        given = tables.get(name)
        rows = pd.DataFrame([usual]) if given is None else given.assign(**{c: v for c, v in usual.items() if c not in given})
        frame = engine.frame(rows[list(usual)])
        engine.write(frame if given is not None else frame.filter(nw.col("client_id") != ""), canonical / f"{name}.parquet", [])
    told = {"company": "Example", "as_of": dt.date(2025, 12, 31), "currency": "EUR", "tables": {}, **settings}
    supplied = {name: frozenset(rows.columns) for name, rows in tables.items()}
    return Canonical(canonical, engine, supplied, pd.DataFrame(), ()), Company.model_validate(told)
