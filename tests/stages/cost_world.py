"""A company of twelve clients with every kind of cost: contacts, deliveries, invoices paid late, discounts, returns."""

from __future__ import annotations

import datetime as dt
import functools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import narwhals as nw
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from crm_methods.company.contracts import TABLES
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.engine import Engine, EngineSettings, open_engine
from crm_methods.stages import segments, segments_matrix

TEAMS = ("support", "sales")


def cost_tables(clients: int = 12) -> dict[str, pd.DataFrame]:
    """One old purchase and one of the period per client; contacts with both teams; the first client pays late."""
    ids = [f"c{number:02}" for number in range(clients)]
    bought = [(f"{client}-{year}", client, "new", dt.date(year, 3, 1), 400.0 + 100 * number, 0.2 if number == 0 else None)
              for number, client in enumerate(ids) for year in (2024, 2025)]  # fmt: skip
    returned = [("r1", ids[0], "return", dt.date(2025, 4, 1), -50.0, None)]
    deals = pd.DataFrame([*bought, *returned], columns=["deal_id", "client_id", "kind", "closed_on", "amount", "discount_share"])
    deals = deals.assign(cost=deals["amount"] / 2, delivery_cost=[8.0 if kind == "new" else 2.0 for kind in deals["kind"]])
    contacts = [(client, team, f"2025-06-{day:02} 10:00:00", 10.0 + 7 * ((5 * number + 3 * day) % 11))
                for number, client in enumerate(ids) for day, team in enumerate(TEAMS, start=1)]  # fmt: skip
    interactions = pd.DataFrame(contacts, columns=["client_id", "department", "started_at", "handling_minutes"])
    interactions = interactions.assign(
        interaction_id=[f"i{number}" for number in range(len(contacts))], channel="phone", kind="service", direct_cost=3.0
    )
    months = [dt.date(2025, month, 1) for month in range(1, 13)]
    ledger = [
        (pool, month, amount) for pool, amount in (("support", 900.0), ("sales", 700.0), ("rent", 100.0)) for month in months
    ]
    staff = pd.DataFrame({"skill": "any", "department": TEAMS, "people": 1.0, "hours_per_month": 100.0})
    invoices = [(f"n{number}", client, 1_000.0, dt.date(2025, 5, 1), dt.date(2025, 6, 1), dt.date(2025, 6, 1 if number else 11))
                for number, client in enumerate(ids)]  # fmt: skip
    return {
        "deals": deals, "interactions": interactions, "staff": staff,
        "cost_ledger": pd.DataFrame(ledger, columns=["pool", "month", "amount"]),
        "invoices": pd.DataFrame(invoices, columns=["invoice_id", "client_id", "amount", "issued_on", "due_on", "paid_on"]),
    }  # fmt: skip


@dataclass(frozen=True)
class Costed:
    """A company with its cost to serve, its clients' economics and its matrix."""

    data: Canonical
    settings: Company
    cost: segments.CostToServe
    economics: nw.LazyFrame[Any]
    matrix: segments_matrix.Matrix


def costed_company(folder: Path, tables: Mapping[str, pd.DataFrame] | None = None, **settings: Any) -> Costed:
    """The company, or another one of the same kind, costed; its tables are written as intake would leave them."""
    given = cost_tables() if tables is None else tables
    company = Company.model_validate(
        {"company": "Example", "as_of": dt.date(2025, 12, 31), "currency": "EUR", "tables": {}, **settings}
    )
    data = _canonical(given, folder)
    cost = segments.cost_to_serve(data, company)
    assert isinstance(cost, segments.CostToServe)
    path = folder / "client_economics.parquet"
    data.engine.write(segments.client_economics(data, company, cost), path, order_by=["client_id"])
    economics = data.engine.scan(path)
    matrix = segments_matrix.matrix(data, company, economics)
    assert isinstance(matrix, segments_matrix.Matrix)
    return Costed(data, company, cost, economics, matrix)


@functools.cache
def plain_company() -> Costed:
    """The company as it is, made once for all tests that leave it alone."""
    return costed_company(Path(_FOLDER.name))


_FOLDER = tempfile.TemporaryDirectory(prefix="cost_world")

_TYPES = {
    "text": pa.string(), "integer": pa.int64(), "number": pa.float64(), "money": pa.decimal128(38, 4), "share": pa.float64(),
    "date": pa.date32(), "timestamp": pa.timestamp("us"), "boolean": pa.bool_(),
}  # fmt: skip


@functools.cache
def _engine() -> Engine:
    return open_engine(EngineSettings(memory_limit="500MB", threads=1))


def _canonical(tables: Mapping[str, pd.DataFrame], folder: Path) -> Canonical:
    named = sorted({client for rows in tables.values() if "client_id" in rows for client in rows["client_id"]})
    given = {"clients": pd.DataFrame({"client_id": named}), **tables}
    if "deals" in given:
        deals = given["deals"]
        margin = {"margin": deals["amount"] - deals["cost"]} if "cost" in deals else {}
        given["deals"] = deals.assign(status="won", **margin)
    for name, table in TABLES.items():
        rows = given.get(name, pd.DataFrame())
        columns = {c.name: _column(rows, c.name, _TYPES[c.type]) for c in table.columns if not c.is_family}
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    supplied = {name: frozenset(c for c in rows if rows[c].notna().any()) for name, rows in given.items()}
    return Canonical(folder, _engine(), supplied, pd.DataFrame(), ())


def _column(rows: pd.DataFrame, name: str, kind: pa.DataType) -> pa.Array:
    if name not in rows:
        return pa.nulls(len(rows), kind)
    values = [None if pd.isna(value) else value for value in rows[name]]
    if pa.types.is_decimal(kind):
        values = [None if value is None else Decimal(f"{value:.4f}") for value in values]
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        values = [None if value is None else pd.Timestamp(value).to_pydatetime() for value in values]
    return pa.array(values, kind)
