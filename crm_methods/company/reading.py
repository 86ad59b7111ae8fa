"""One source of company.yml → the accepted records of its canonical table, with every fault on the way noted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa

from crm_methods.company import canonical_sql, completion_sql, references
from crm_methods.company.canonical_sql import Cell
from crm_methods.company.casting import merged
from crm_methods.company.contracts import TABLES, Table
from crm_methods.company.databases import SQLITE_ENDINGS
from crm_methods.company.presets import expand, table_of
from crm_methods.company.raw_table import RawTable, drop_raw
from crm_methods.company.record_numbers import RECORD
from crm_methods.company.settings import Company, Formats, Lookup, Source
from crm_methods.company.sources import locate, read_raw, show
from crm_methods.company.sql_text import identifier, literal
from crm_methods.errors import Faults, IntakeError, SettingsError, did_you_mean


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """One canonical table as read: its counts, where the amounts went, and rows merged into others."""

    table: Table
    file: str
    path: Path
    counts: Mapping[str, float]
    merged: int = 0


def read_table(
    sql: duckdb.DuckDBPyConnection,
    name: str,
    company: Company,
    folder: Path,
    scratch: Path,
    faults: Faults,
    copies: Path | None = None,
) -> list[Read]:
    """Read a canonical table from its source, cast it by its contract and sort its records out.

    Parameters
    ----------
    sql
        Holds the tables; the accepted records become ``canon_<name>``.
    name
        The canonical table, a key of ``company.tables``.
    scratch
        A folder for what is made on the way.
    copies
        Where databases are copied to, if not to the company's folder.
    faults
        Takes whatever makes the source unusable.

    Returns
    -------
    list of Read
        One entry; two for a wide table that is deals and their lines at once; none where there was a fault.
    """
    source = company.tables[name]
    try:
        path = locate(source, folder, name, copies)
        raw = read_raw(sql, f"raw_{name}", source, _formats(source, company, path), path, scratch)
        source = _with_preset(name, source, raw, faults)
        source, raw = _with_lookups(sql, source, raw, company, folder, scratch)
    except (IntakeError, SettingsError) as error:
        faults.tell(f"tables.{name}", str(error))
        return []
    if source.reshape is not None and source.reshape.unpivot is not None:
        return _read_wide(sql, source, raw, source.reshape.unpivot, company, path, faults)
    table = TABLES[name]
    if source.reshape is not None:
        table = _with_line_columns(table)
    read = _cast(sql, table, source, raw, company, path, faults)
    drop_raw(sql, raw.name)
    if read and source.reshape is not None:
        return [replace(read[0], table=TABLES[name], merged=completion_sql.split_lines(sql))]
    return read


def _formats(source: Source, company: Company, path: Path) -> Formats:
    """How a source writes things; a database has no habits of its own."""
    if source.database is not None or path.suffix.lower() in SQLITE_ENDINGS:
        return source.formats
    return merged(source.formats, company.formats)


def _with_preset(name: str, source: Source, raw: RawTable, faults: Faults) -> Source:
    if source.preset is None:
        return source
    if table_of(source.preset) != name:
        faults.add(f"tables.{name}.preset", f'"{source.preset}", which is of {table_of(source.preset)}', f"a preset of {name}")
    return expand(source.preset, source, raw.columns)


def _with_line_columns(deals: Table) -> Table:
    """The contract of deals whose rows are lines: those of deals and lines together, and no key."""
    lines = [c for c in TABLES["deal_lines"].columns if deals.column(c.name) is None]
    return replace(deals, key=(), columns=(*deals.columns, *(replace(c, required=False) for c in lines)))


def _with_lookups(
    sql: duckdb.DuckDBPyConnection, source: Source, raw: RawTable, company: Company, folder: Path, scratch: Path
) -> tuple[Source, RawTable]:
    """Spell out codes by other files: the raw table gets a column per lookup, and the source takes it."""
    columns = dict(source.columns)
    for ours, lookup in source.lookup.items():
        by = lookup.by or columns.get(ours, ours)
        code = by if isinstance(by, str) else ""
        if code not in raw.columns:
            raise IntakeError(
                f'lookup.{ours}: found no column "{code}" that holds the code, expected `by` to name one of '
                f"{', '.join(raw.columns)}. {did_you_mean(code, raw.columns)}".rstrip()
            )
        made = _look_up(sql, raw, code, ours, lookup, company, folder, scratch)
        raw = replace(raw, columns=(*raw.columns, made), first=None)
        columns[ours] = made
    return source.model_copy(update={"columns": columns}), raw


def _look_up(
    sql: duckdb.DuckDBPyConnection,
    raw: RawTable,
    code: str,
    ours: str,
    lookup: Lookup,
    company: Company,
    folder: Path,
    scratch: Path,
) -> str:
    """Add the column of what the codes mean to the raw table; a code that is not spelt out stays what it is."""
    told = Source(file=lookup.file, sheet=lookup.sheet, formats=lookup.formats or Formats())
    path = locate(told, folder, "")
    codes = read_raw(sql, "raw_lookup", told, _formats(told, company, path), path, scratch)
    for column in (lookup.key, lookup.value):
        if column not in codes.columns:
            raise IntakeError(
                f'{path.name}, lookup.{ours}: found no column "{column}", expected one of {", ".join(codes.columns)}. '
                f"{did_you_mean(column, codes.columns)}".rstrip()
            )
    made = f"{code} → {lookup.value}"
    while made.lower() in {column.lower() for column in raw.columns}:
        made += " "
    key, cell = identifier(lookup.key), identifier(code)
    sql.execute(
        f"CREATE OR REPLACE TEMP TABLE looked_up AS SELECT r.*, coalesce(l.meant, r.{cell}) AS {identifier(made)} "
        f"FROM {raw.numbered} r LEFT JOIN (SELECT trim({key}) AS code, arg_min({identifier(lookup.value)}, {RECORD}) AS meant "
        f"FROM {codes.numbered} GROUP BY 1) l ON trim(r.{cell}) = l.code ORDER BY r.{RECORD}"
    )
    for name in (raw.name, "raw_lookup"):
        drop_raw(sql, name)
    sql.execute(f"ALTER TABLE looked_up RENAME TO {identifier(raw.name)}")
    return made


def _read_wide(
    sql: duckdb.DuckDBPyConnection, source: Source, raw: RawTable, spread: list[str], company: Company, path: Path, faults: Faults
) -> list[Read]:
    """A wide spend table as deals and their lines."""
    wide, noted = _unpivot(sql, raw, spread, path.name, faults), len(faults.items)
    if wide is None:
        return []
    read = _cast(sql, TABLES["deals"], source, wide, company, path, faults)
    if len(faults.items) > noted:
        return []
    # The lines repeat the deals' cells; what is torn is counted once, with the deals.
    lines = RawTable(wide.name, wide.columns, (), wide.typed)
    return [*read, *_cast(sql, TABLES["deal_lines"], Source(file=source.file), lines, company, path, faults)]


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
        f"FROM (SELECT {RECORD}{keys}, {amounts} FROM {raw.numbered}) UNPIVOT (amount FOR product_id IN ({amounts}))"
    )
    return RawTable(
        "raw_wide", (*kept, "deal_id", "product_id", "amount", "unit_price"), raw.broken, raw.typed, raw.repeated, raw.day_zero
    )


def _cast(
    sql: duckdb.DuckDBPyConnection, table: Table, source: Source, raw: RawTable, company: Company, path: Path, faults: Faults
) -> list[Read]:
    file = show(source, path)
    cells = _cells(table, source, raw, company, file, faults)
    if cells is None:
        return []
    canonical_sql.cast_table(sql, table, cells, source, raw, _formats(source, company, path), company)
    if "currency" in cells:
        _note_currencies(sql, table, company)
        canonical_sql.convert_currencies(sql, company, table, cells["currency"].shown)
    if table.name == "deals":
        _note_returns(sql, canonical_sql.sign_returns(sql))
    counts = canonical_sql.sort_out(sql, table, cells)
    for fate in ("source_rows", "rejected_rows"):
        counts[fate] += len(raw.broken)
    _stop_at_too_many(sql, table, raw, company, file, faults)
    _stop_at_none(table, counts, company, file, faults)
    _note_rejects(sql, table, raw, file)
    canonical_sql.accept(sql, table)
    return [Read(table, file, path, counts)]


def _note_currencies(sql: duckdb.DuckDBPyConnection, table: Table, company: Company) -> None:
    if table.name not in canonical_sql.MONEY_AT:
        return
    own = literal(company.currency)
    query = f"SELECT upper(currency), {own}, count(*) FROM cast_{table.name} WHERE upper(currency) <> {own} GROUP BY 1"
    references.note(sql, "converted", table.name, "currency", query, "amounts are converted at the latest rate up to their day")


def _note_returns(sql: duckdb.DuckDBPyConnection, count: int) -> None:
    if count:
        rule = "the amount of a return or credit note lowers revenue, however its sign is written"
        references.note(sql, "sign", "deals", "amount", f"SELECT 'written without a minus', 'negative', {count}", rule)


def _cells(table: Table, source: Source, raw: RawTable, company: Company, file: str, faults: Faults) -> dict[str, Cell] | None:
    """Where each canonical column comes from; None when a declared or required one is not in the file."""
    there, noted = {column.lower(): column for column in raw.columns}, len(faults.items)
    cells: dict[str, Cell] = {}
    taken: set[str] = set()
    for ours, declared in source.columns.items():
        parts = [declared] if isinstance(declared, str) else declared
        lacking = [theirs for theirs in parts if theirs.lower() not in there]
        for theirs in lacking:
            if theirs.lower() not in raw.repeated:
                where = f"{file}, column for {table.name}.{ours}"
                faults.add(where, f'no column "{theirs}"', f"one of {', '.join(raw.columns)}", did_you_mean(theirs, raw.columns))
        if not lacking:
            cells[ours] = Cell.of(*(there[theirs.lower()] for theirs in parts))
            taken.update(there[theirs.lower()] for theirs in parts)
    cells |= {ours: Cell.constant(value) for ours, value in source.constants.items() if ours not in cells}
    for lower, theirs in there.items():
        column = table.column(lower)
        if column is not None and lower not in cells and theirs not in taken:
            cells[lower] = Cell.of(theirs)
    _note_repeated(table, source, raw, file, faults)
    _note_missing(table, source, raw, cells, company, file, faults)
    _note_useless(table, source, raw, cells, file, faults)
    return cells if len(faults.items) == noted else None


def _note_repeated(table: Table, source: Source, raw: RawTable, file: str, faults: Faults) -> None:
    """A header that occurs twice is a fault where the table would be read from it."""
    declared = {
        theirs.lower(): ours
        for ours, named in source.columns.items()
        for theirs in ([named] if isinstance(named, str) else named)
    }
    for header, columns in raw.repeated.items():
        ours = declared.get(header) or (header if table.column(header) is not None and header not in source.columns else None)
        if ours is not None:
            choice = f"Write `columns: {{{ours}: {columns[0]}}}` under tables.{table.name}, or another of them."
            faults.add(file, f'the header "{header}" {len(columns)} times', "each header once", choice)


def _note_missing(
    table: Table, source: Source, raw: RawTable, cells: Mapping[str, Cell], company: Company, file: str, faults: Faults
) -> None:
    reshape = source.reshape
    needless = {table.key[0] if source.generate and table.key else "", "closed_on" if reshape and reshape.unpivot else ""}
    if table.name == "deals" and "deal_lines" in company.tables:
        # It is the sum of the deal's lines.
        needless.add("amount")
    for required in table.required:
        if required in cells or required in needless or required in source.columns or required in raw.repeated:
            continue
        faults.add(
            file, f"no column for {table.name}.{required}", f"one of its columns ({', '.join(raw.columns)}) to be mapped to it",
            f"Write `columns: {{{required}: <its name in the file>}}` under tables.{table.name}. "
            f"{did_you_mean(required, raw.columns)}".strip(),
        )  # fmt: skip


def _note_useless(table: Table, source: Source, raw: RawTable, cells: Mapping[str, Cell], file: str, faults: Faults) -> None:
    """Words or a unit for a column that the file does not have."""
    for what, block in (("values", source.values), ("units", source.units)):
        for ours in block:
            if ours not in cells and ours not in source.columns and source.preset is None:
                faults.add(
                    f"{file}, {what} for {table.name}.{ours}", "no such column in the file", f"one of {', '.join(raw.columns)}",
                    f"Write `columns: {{{ours}: <its name in the file>}}` under tables.{table.name}.",
                )  # fmt: skip


def _stop_at_too_many(
    sql: duckdb.DuckDBPyConnection, table: Table, raw: RawTable, company: Company, file: str, faults: Faults
) -> None:
    """Note a fault where so many records are bad that the file was probably described wrongly."""
    fate = f"fate_{table.name}"
    ((rows, bad),) = sql.execute(f"SELECT count(*), count(*) FILTER (faults IS NOT NULL) FROM {fate}").fetchall()
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
        f"len(list_filter(faults, lambda x: x.fatal)) > 0 AS fatal FROM fate_{table.name} WHERE faults IS NOT NULL)"
    )
    if raw.broken:
        torn = pd.DataFrame(raw.broken, columns=["record", "found", "expected"])
        sql.register("torn", pa.Table.from_pandas(torn, preserve_index=False))
        sql.execute(
            f"INSERT INTO rejects SELECT {literal(file)}, record, '', replace(found, chr(0), '␀'), expected, 'row left out' "
            "FROM torn"
        )
        sql.unregister("torn")
