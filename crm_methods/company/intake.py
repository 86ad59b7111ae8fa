"""The company's files → canonical Parquet, rejects and control totals.

DuckDB SQL throughout, whatever engine carries the frames later: its tolerant casts find
a wrong cell at the engine's speed and out of core. Every record of every file ends in one
of four places, and the control totals say how many in each: accepted, rejected, later than
the as-of day, or an exact duplicate of another record.
"""

from __future__ import annotations

import functools
import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import narwhals as nw
import pandas as pd

from crm_methods.company import canonical_sql, client_units, completion_sql, references
from crm_methods.company.contracts import TABLES
from crm_methods.company.databases import copy_of, pull
from crm_methods.company.reading import Read, read_table
from crm_methods.company.settings import Company
from crm_methods.company.sources import locate
from crm_methods.company.sql_text import literal
from crm_methods.engine import Engine
from crm_methods.errors import Faults, IntakeError

REJECT_COLUMNS = ("file", "record", "column", "found", "expected", "done")


@dataclass(frozen=True, slots=True, eq=False)
class Canonical:
    """The company's data in canonical form.

    Parameters
    ----------
    folder
        Holds one Parquet file per canonical table; tables the company lacks are empty.
    engine
        The engine that scans them.
    supplied
        Per table, the columns that hold at least one value.
    totals
        One row per supplied table: records and amounts from source to accepted.
    inputs
        One entry per file: name, sha256, rows.
    """

    folder: Path
    engine: Engine
    supplied: Mapping[str, frozenset[str]]
    totals: pd.DataFrame
    inputs: tuple[Mapping[str, Any], ...]

    def scan(self, table: str) -> nw.LazyFrame[Any]:
        """A canonical table, one row per its grain, with every column of its contract."""
        return self.engine.scan(self.folder / f"{table}.parquet")

    def has(self, table: str, *columns: str) -> bool:
        """Whether the company supplied the table, and a value in each of ``columns``."""
        return table in self.supplied and set(columns) <= self.supplied[table]

    @property
    def rejects(self) -> pd.DataFrame:
        """One row per bad cell or unreadable record: file, record, column, found, expected, done."""
        return pd.read_parquet(self.folder / "rejects.parquet")

    @property
    def members(self) -> nw.LazyFrame[Any]:
        """What became of each client of the source: client_id, unit_id, how (itself, merged or group), name."""
        return self.engine.scan(self.folder / client_units.MEMBERS_FILE)

    @property
    def resolved(self) -> pd.DataFrame:
        """One row per thing decided by a rule: kind, table, column, written, counted_as, rows, rule."""
        return pd.read_parquet(self.folder / "resolved.parquet")


def open_canonical(folder: Path, engine: Engine) -> Canonical:
    """The canonical tables that an earlier ``bring_in`` wrote to ``folder``."""
    facts = json.loads((folder / "intake.json").read_text(encoding="utf-8"))
    supplied = {table: frozenset(columns) for table, columns in facts["supplied"].items()}
    return Canonical(folder, engine, supplied, pd.DataFrame(facts["totals"]), tuple(facts["inputs"]))


def input_hash(company: Company, company_folder: Path, copies: Path | None = None) -> str:
    """Hash of the source files, of all settings that decide how they are read, and of the code that reads them.

    Raises
    ------
    IntakeError
        Files that are not there or can't be opened; all of them together.
    """
    relevant = company.model_dump_json(include=_READING)
    digest = hashlib.sha256(relevant.encode() + _reader_hash())
    faults = Faults()
    for name, source in company.tables.items():
        looked_up = [company_folder / look.file for look in source.lookup.values()]
        try:
            for path in (locate(source, company_folder, name, copies), *looked_up):
                digest.update(_sha256(path).encode() if source.database is None or path.is_file() else b"not copied yet")
        except IntakeError as error:
            faults.tell(f"tables.{name}", str(error))
        except OSError as error:
            file = Path(error.filename or str(source.file)).name
            faults.add(f"tables.{name}", f'no readable file "{file}" ({error.strerror})', "a file that can be read")
    faults.raise_if_any(IntakeError, _title(company))
    return digest.hexdigest()


def bring_in(company: Company, company_folder: Path, engine: Engine, folder: Path, copies: Path | None = None) -> Canonical:
    """Read every source, cast it by its contract and write the canonical tables to ``folder``.

    What an earlier call wrote there is used again while files, settings and code are the same. ``copies`` is where
    databases are copied to; the company's folder where it is None.

    Raises
    ------
    IntakeError
        A file can't be read, lacks a required column, or has more bad rows than
        ``intake.max_rejected_share`` allows. Faults of all files come together, and
        nothing is written.
    """
    place = copies or company_folder
    if any(s.database is not None and not copy_of(name, s, place).is_file() for name, s in company.tables.items()):
        pull(company, place)
    identity = input_hash(company, company_folder, copies)
    if _is_brought_in(folder, identity):
        return open_canonical(folder, engine)
    sql, faults = engine.sql, Faults()
    canonical_sql.clear(sql)
    sql.execute(
        "CREATE OR REPLACE TEMP TABLE rejects "
        '(file VARCHAR, record BIGINT, "column" VARCHAR, found VARCHAR, expected VARCHAR, done VARCHAR)'
    )
    references.begin(sql)
    with tempfile.TemporaryDirectory(prefix="crm_intake_") as scratch:
        read = [read_table(sql, name, company, company_folder, Path(scratch), faults, copies) for name in _reading_order(company)]
        tables = [table for found in read for table in found]
    faults.raise_if_any(IntakeError, _title(company))
    supplied = completion_sql.complete(sql, company)
    joined = client_units.joined_rows(sql)
    tables = [replace(t, merged=t.merged + joined.get(t.table.name, 0)) for t in tables]
    return _publish(sql, company, supplied, engine, folder, tables, identity)


_BESIDE = ("rejects", "resolved")
"""What is written beside the canonical tables: what could not be used, and what a rule decided."""
_READING = {"as_of", "currency", "formats", "tables", "unit", "margin_share", "intake", "costs"}
"""The settings that decide how files are read."""


def _title(company: Company) -> str:
    return f"The files of {company.company} can't be read as company.yml says:"


def _is_brought_in(folder: Path, identity: str) -> bool:
    try:
        known = json.loads((folder / "intake.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    files = [*(f"{name}.parquet" for name in [*TABLES, *_BESIDE]), client_units.MEMBERS_FILE]
    return known.get("identity") == identity and all((folder / file).is_file() for file in files)


@functools.cache
def _reader_hash() -> bytes:
    rooms = (
        "contracts", "sources", "databases", "containers", "text_source", "text_layout", "text_lines", "workbook_source",
        "raw_table", "not_records", "sql_text", "record_numbers", "casting", "canonical_sql", "client_units", "references",
        "completion_sql", "presets", "reading", "intake",
    )  # fmt: skip
    here = Path(__file__).parent
    files = [*(here / f"{room}.py" for room in rooms), *sorted((here / "presets").glob("*.yml"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).digest()


def _reading_order(company: Company) -> list[str]:
    """Exchange rates come first, since deals are converted by them as they come in."""
    return sorted(company.tables, key=lambda name: name != "exchange_rates")


def _publish(
    sql: duckdb.DuckDBPyConnection,
    company: Company,
    supplied: Mapping[str, frozenset[str]],
    engine: Engine,
    folder: Path,
    read: Sequence[Read],
    identity: str,
) -> Canonical:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "intake.json").unlink(missing_ok=True)
    completion_sql.write_all(sql, folder)
    client_units.write_members(sql, folder)
    pools = frozenset(["pools"] if any(p.cost_per_month is not None for p in company.costs.pools) else [])
    held = {name: sorted(columns) for name, columns in {**supplied, "settings": pools}.items()}
    for name in _BESIDE:
        target = literal(str(folder / f"{name}.parquet"))
        sql.execute(f"COPY (SELECT * FROM {name} ORDER BY ALL) TO {target} (FORMAT parquet); DROP TABLE {name}")
    totals = [{"table": r.table.name, "file": r.file, **r.counts, "merged_rows": r.merged} for r in read]
    inputs = [{"name": r.file, "sha256": _sha256(r.path), "rows": int(r.counts["source_rows"])} for r in read]
    facts = {"identity": identity, "supplied": held, "totals": totals, "inputs": inputs}
    partial = folder / ".intake.json.partial"
    partial.write_text(json.dumps(facts, indent=1, default=float), encoding="utf-8")
    partial.replace(folder / "intake.json")
    return open_canonical(folder, engine)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
