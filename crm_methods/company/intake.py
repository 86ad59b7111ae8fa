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
import pyarrow as pa

from crm_methods.company import canonical_sql
from crm_methods.company.casting import merged
from crm_methods.company.contracts import TABLES, Table
from crm_methods.company.record_numbers import RECORD
from crm_methods.company.settings import Company, Source
from crm_methods.company.sources import RawTable, identifier, literal, locate, read_raw
from crm_methods.engine import Engine
from crm_methods.errors import Faults, IntakeError, did_you_mean

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


def open_canonical(folder: Path, engine: Engine) -> Canonical:
    """The canonical tables that an earlier ``bring_in`` wrote to ``folder``."""
    facts = json.loads((folder / "intake.json").read_text(encoding="utf-8"))
    supplied = {table: frozenset(columns) for table, columns in facts["supplied"].items()}
    return Canonical(folder, engine, supplied, pd.DataFrame(facts["totals"]), tuple(facts["inputs"]))


def input_hash(company: Company, company_folder: Path) -> str:
    """Hash of the source files, of all settings that decide how they are read, and of the code that reads them.

    Raises
    ------
    IntakeError
        Files that are not there or can't be opened; all of them together.
    """
    relevant = company.model_dump_json(include={"as_of", "currency", "formats", "tables", "margin_share", "intake", "costs"})
    digest = hashlib.sha256(relevant.encode() + _reader_hash())
    faults = Faults()
    for name, source in company.tables.items():
        try:
            digest.update(_sha256(locate(source, company_folder)).encode())
        except IntakeError as error:
            faults.tell(f"tables.{name}", str(error))
        except OSError as error:
            faults.add(f"tables.{name}", f'no readable file "{source.file}" ({error.strerror})', "a file that can be read")
    faults.raise_if_any(IntakeError, _title(company))
    return digest.hexdigest()


def bring_in(company: Company, company_folder: Path, engine: Engine, folder: Path) -> Canonical:
    """Read every source, cast it by its contract and write the canonical tables to ``folder``.

    What an earlier call wrote there is used again while files, settings and code are the same.

    Raises
    ------
    IntakeError
        A file can't be read, lacks a required column, or has more bad rows than
        ``intake.max_rejected_share`` allows. Faults of all files come together, and
        nothing is written.
    """
    identity = input_hash(company, company_folder)
    if _is_brought_in(folder, identity):
        return open_canonical(folder, engine)
    sql, faults = engine.sql, Faults()
    canonical_sql.clear(sql)
    sql.execute(
        "CREATE OR REPLACE TEMP TABLE rejects "
        '(file VARCHAR, record BIGINT, "column" VARCHAR, found VARCHAR, expected VARCHAR, done VARCHAR)'
    )
    with tempfile.TemporaryDirectory(prefix="crm_intake_") as scratch:
        read = [_read_table(sql, name, company, company_folder, Path(scratch), faults) for name in _reading_order(company)]
        tables = [table for found in read for table in found]
    faults.raise_if_any(IntakeError, _title(company))
    tables = [t if t.table.name != "clients" else replace(t, merged=canonical_sql.merged_clients(sql)) for t in tables]
    supplied = canonical_sql.complete(sql, company)
    return _publish(sql, company, supplied, engine, folder, tables, identity)


def _title(company: Company) -> str:
    return f"The files of {company.company} can't be read as company.yml says:"


def _is_brought_in(folder: Path, identity: str) -> bool:
    try:
        known = json.loads((folder / "intake.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return known.get("identity") == identity and all((folder / f"{name}.parquet").is_file() for name in [*TABLES, "rejects"])


@functools.cache
def _reader_hash() -> bytes:
    rooms = ("contracts", "sources", "record_numbers", "casting", "canonical_sql", "intake")
    return hashlib.sha256(b"".join(Path(__file__).with_name(f"{room}.py").read_bytes() for room in rooms)).digest()


def _reading_order(company: Company) -> list[str]:
    """Exchange rates come first, since deals are converted by them as they come in."""
    return sorted(company.tables, key=lambda name: name != "exchange_rates")


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """One canonical table as read: its counts, where the amounts went, and clients merged into others."""

    table: Table
    file: str
    path: Path
    counts: Mapping[str, float]
    merged: int = 0


def _read_table(
    sql: duckdb.DuckDBPyConnection, name: str, company: Company, folder: Path, scratch: Path, faults: Faults
) -> list[_Read]:
    source, table = company.tables[name], TABLES[name]
    try:
        path = locate(source, folder)
        formats = merged(source.formats, company.formats)
        raw = read_raw(sql, f"raw_{name}", source, formats, path, scratch)
    except IntakeError as error:
        faults.tell(f"tables.{name}", str(error))
        return []
    if source.reshape is not None and name == "deals":
        wide, noted = _unpivot(sql, raw, source.reshape.unpivot, path.name, faults), len(faults.items)
        if wide is None:
            return []
        read = _cast_table(sql, table, source, wide, company, path, faults)
        if len(faults.items) > noted:
            return []
        # The lines repeat the deals' cells; what is torn is counted once, with the deals.
        lines = RawTable(wide.name, wide.columns, (), wide.typed)
        return [*read, *_cast_table(sql, TABLES["deal_lines"], Source(file=source.file), lines, company, path, faults)]
    read = _cast_table(sql, table, source, raw, company, path, faults)
    canonical_sql.drop(sql, table, ("raw",))
    return read


def _unpivot(sql: duckdb.DuckDBPyConnection, raw: RawTable, spread: list[str], file: str, faults: Faults) -> RawTable | None:
    """One row per client and product of a wide spend table, as a deal without a date and its only line."""
    absent = [column for column in spread if column not in raw.columns]
    for column in absent:
        faults.add(f"{file}, reshape.unpivot", f'no column "{column}"', "a column of the file", did_you_mean(column, raw.columns))
    if absent:
        return None
    taken = {"deal_id", "product_id", "amount", "unit_price"}
    kept = [c for c in raw.columns if c not in spread and c.lower() not in taken]
    keys = "".join(f", {identifier(c)}" for c in kept)
    amounts = ", ".join(map(identifier, spread))
    sql.execute(
        f"CREATE OR REPLACE TEMP TABLE raw_wide AS SELECT {RECORD}{keys}, "
        f"printf('%d-%s', {RECORD}, product_id) AS deal_id, product_id, amount, amount AS unit_price "
        f"FROM (SELECT {RECORD}{keys}, {amounts} FROM {identifier(raw.name)}) UNPIVOT (amount FOR product_id IN ({amounts}))"
    )
    return RawTable(
        "raw_wide", (*kept, "deal_id", "product_id", "amount", "unit_price"), raw.broken, raw.typed, raw.repeated, raw.day_zero
    )


def _cast_table(
    sql: duckdb.DuckDBPyConnection, table: Table, source: Source, raw: RawTable, company: Company, path: Path, faults: Faults
) -> list[_Read]:
    formats = merged(source.formats, company.formats)
    mapping = _mapping(table, source, raw, path.name, faults)
    if mapping is None:
        return []
    canonical_sql.cast_table(sql, table, mapping, source, raw, formats, company)
    if table.name == "deals":
        canonical_sql.convert_currencies(sql, company, mapping.get("currency", "currency"))
    counts = dict(canonical_sql.sort_out(sql, table, mapping, company))
    for fate in ("source_rows", "rejected_rows"):
        counts[fate] += len(raw.broken)
    _stop_at_too_many(sql, table, raw, company, path.name, faults)
    _stop_at_none(table, counts, company, path.name, faults)
    _note_rejects(sql, table, raw, path.name)
    canonical_sql.drop(sql, table, ("cast", "fate"))
    return [_Read(table, path.name, path, counts)]


def _mapping(table: Table, source: Source, raw: RawTable, file: str, faults: Faults) -> dict[str, str] | None:
    """Canonical column → source column; None when a declared or required one is not in the file."""
    there = {column.lower(): column for column in raw.columns}
    noted = len(faults.items)
    mapping: dict[str, str] = {}
    for ours, theirs in source.columns.items():
        if theirs.lower() in there:
            mapping[ours] = there[theirs.lower()]
        elif theirs.lower() not in raw.repeated:
            where = f"{file}, column for {table.name}.{ours}"
            faults.add(where, f'no column "{theirs}"', f"one of {', '.join(raw.columns)}", did_you_mean(theirs, raw.columns))
    taken = set(mapping.values())
    for lower, theirs in there.items():
        column = table.column(lower)
        if column is not None and lower not in mapping and theirs not in taken:
            mapping[lower] = theirs
    _note_repeated(table, source, raw, file, faults)
    _note_missing(table, source, raw, mapping, file, faults)
    for ours in source.values:
        if ours not in mapping and ours not in source.columns:
            faults.add(
                f"{file}, values for {table.name}.{ours}", "no such column in the file", f"one of {', '.join(raw.columns)}",
                f"Write `columns: {{{ours}: <its name in the file>}}` under tables.{table.name}.",
            )  # fmt: skip
    return mapping if len(faults.items) == noted else None


def _note_repeated(table: Table, source: Source, raw: RawTable, file: str, faults: Faults) -> None:
    """A header that occurs twice is a fault where the table would be read from it."""
    declared = {theirs.lower(): ours for ours, theirs in source.columns.items()}
    for header, columns in raw.repeated.items():
        ours = declared.get(header) or (header if table.column(header) is not None and header not in source.columns else None)
        if ours is not None:
            choice = f"Write `columns: {{{ours}: {columns[0]}}}` under tables.{table.name}, or another of them."
            faults.add(file, f'the header "{header}" {len(columns)} times', "each header once", choice)


def _note_missing(table: Table, source: Source, raw: RawTable, mapping: Mapping[str, str], file: str, faults: Faults) -> None:
    needless = {table.key[0] if source.generate else "", "closed_on" if source.reshape else ""}
    for required in table.required:
        if required in mapping or required in needless or required in source.columns or required in raw.repeated:
            continue
        faults.add(
            file, f"no column for {table.name}.{required}", f"one of its columns ({', '.join(raw.columns)}) to be mapped to it",
            f"Write `columns: {{{required}: <its name in the file>}}` under tables.{table.name}. "
            f"{did_you_mean(required, raw.columns)}".strip(),
        )  # fmt: skip


def _stop_at_too_many(
    sql: duckdb.DuckDBPyConnection, table: Table, raw: RawTable, company: Company, file: str, faults: Faults
) -> None:
    """Note a fault where so many records are bad that the file was probably described wrongly."""
    fate = f"fate_{table.name}"
    ((rows, bad),) = sql.execute(f"SELECT count(*), count(*) FILTER (len(faults) > 0) FROM {fate}").fetchall()
    rows, bad = rows + len(raw.broken), bad + len(raw.broken)
    if not rows or bad / rows <= company.intake.max_rejected_share:
        return
    worst = sql.execute(
        f'SELECT f."column", f.expected, count(*), first(f.found ORDER BY record) '
        f"FROM (SELECT record, unnest(faults) AS f FROM {fate}) "
        "GROUP BY 1, 2 ORDER BY 3 DESC, 1 LIMIT 3"
    ).fetchall()
    examples = [
        f'{count:,} in "{column}" such as "{found or "(empty)"}", expected {wish}' for column, wish, count, found in worst
    ]
    examples += [f'record {number} is "{text[:60]}", expected {wish}' for number, text, wish in raw.broken[:1]]
    faults.add(
        file,
        f"{bad:,} of {rows:,} rows ({bad / rows:.0%}) with a cell that can't be read ({'; '.join(examples)})",
        f"at most {company.intake.max_rejected_share:.0%} (intake.max_rejected_share)",
        f"Check `formats` and `columns` of tables.{table.name}.",
    )


def _stop_at_none(table: Table, counts: Mapping[str, float], company: Company, file: str, faults: Faults) -> None:
    """Note a fault where every sound row lies after the as-of day: the day is probably wrong."""
    if table.name in {"deals", "interactions"} and counts["later_rows"] and not counts["accepted_rows"]:
        faults.add(file, f"{counts['later_rows']:,.0f} rows, all after {company.as_of}", "rows up to as_of", "Check `as_of`.")


def _note_rejects(sql: duckdb.DuckDBPyConnection, table: Table, raw: RawTable, file: str) -> None:
    """Append this table's faults to the table of rejects, each with the line of its record."""
    sql.execute(
        f'INSERT INTO rejects SELECT {literal(file)}, record, f."column", f.found, f.expected, '
        "CASE WHEN fatal THEN 'row left out' ELSE 'cell emptied' END FROM (SELECT record, unnest(faults) AS f, "
        f"len(list_filter(faults, lambda x: x.fatal)) > 0 AS fatal FROM fate_{table.name} WHERE len(faults) > 0)"
    )
    if raw.broken:
        torn = pd.DataFrame(raw.broken, columns=["record", "found", "expected"])
        sql.register("torn", pa.Table.from_pandas(torn, preserve_index=False))
        sql.execute(
            f"INSERT INTO rejects SELECT {literal(file)}, record, '', replace(found, chr(0), '␀'), expected, 'row left out' "
            "FROM torn"
        )
        sql.unregister("torn")


def _publish(
    sql: duckdb.DuckDBPyConnection,
    company: Company,
    supplied: Mapping[str, frozenset[str]],
    engine: Engine,
    folder: Path,
    read: Sequence[_Read],
    identity: str,
) -> Canonical:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "intake.json").unlink(missing_ok=True)
    canonical_sql.write_all(sql, folder)
    pools = frozenset(["pools"] if any(p.cost_per_month is not None for p in company.costs.pools) else [])
    held = {name: sorted(columns) for name, columns in {**supplied, "settings": pools}.items()}
    rejects = literal(str(folder / "rejects.parquet"))
    sql.execute(f"COPY (SELECT * FROM rejects ORDER BY ALL) TO {rejects} (FORMAT parquet)")
    sql.execute("DROP TABLE rejects")
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
