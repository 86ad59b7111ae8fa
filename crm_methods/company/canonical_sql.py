"""From text cells to canonical tables: cast, sort out, complete, write. DuckDB SQL.

Each source passes through temporary tables: ``raw_<table>`` (text), ``cast_<table>`` (typed,
with the list of its faults), ``fate_<table>`` (what becomes of each record) and
``canon_<table>`` (the accepted ones).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

from crm_methods.company.casting import SQL_TYPES, cast_sql, expected, fault_sql
from crm_methods.company.contracts import TABLES, Column, Table
from crm_methods.company.settings import Company, Formats, Source
from crm_methods.company.sources import RawTable, identifier, literal

FATES = ("accepted", "rejected", "later", "duplicate")
_HAPPENED = {
    "deals": "closed_on", "interactions": "started_at", "surveys": "answered_on", "rewards": "on",
    "invoices": "issued_on", "process_events": "at", "cost_ledger": "month",
}  # fmt: skip
"""The day on which a row of the table happened; rows later than the as-of day are set aside."""
_AMOUNTS = {"deals": "amount", "invoices": "amount", "cost_ledger": "amount", "rewards": "cost"}


def cast_table(
    sql: duckdb.DuckDBPyConnection, table: Table, mapping: Mapping[str, str], source: Source, raw: RawTable, formats: Formats, company: Company
) -> None:
    """Type every mapped cell of ``raw_<table>``; what can't be read is NULL and stands in ``faults``."""
    declared = {ours: column for ours in mapping if (column := table.column(ours)) is not None}
    cells = [
        f"{cast_sql(declared[ours], theirs, formats, source.values.get(ours, {}))} AS {identifier(ours)}" for ours, theirs in mapping.items()
    ]
    originals = [f"{identifier(theirs)} AS {_original(theirs)}" for theirs in dict.fromkeys(mapping.values())]
    faults = [_fault(declared[ours], ours, theirs, mapping, formats, company) for ours, theirs in mapping.items()]
    sql.execute(
        f"CREATE OR REPLACE TEMP TABLE cast_{table.name} AS "
        f"SELECT *, list_filter([{', '.join(faults)}], lambda f: f IS NOT NULL) AS faults "
        f"FROM (SELECT record, {', '.join([*originals, *cells])} FROM {identifier(raw.name)})"
    )


def sort_out(sql: duckdb.DuckDBPyConnection, table: Table, mapping: Mapping[str, str], company: Company) -> Mapping[str, float]:
    """Decide what becomes of each cast record; the accepted ones become ``canon_<table>``.

    Of several records with one key the first counts; an exact repetition is a duplicate, another content is rejected.

    Returns
    -------
    dict
        Records and, where the table holds an amount, amounts: ``source_rows``, ``accepted_rows``, … ``source_amount`` …;
        an amount that can't be read counts as 0.
    """
    columns = list(mapping)
    # Lines and movements may repeat; only a table with a single identifier knows what a repetition is.
    keyed = len(table.key) == 1 and table.key[0] in mapping
    key = ", ".join(map(identifier, table.key))
    content = ", ".join(_original(c) for c in dict.fromkeys(mapping.values()))
    nth = f"row_number() OVER (PARTITION BY {key} ORDER BY record)" if keyed else "1"
    same = f"hash({content}) = first_value(hash({content})) OVER (PARTITION BY {key} ORDER BY record)" if keyed else "true"
    faults = f"CASE WHEN nth > 1 AND NOT same THEN list_append(faults, {_second_key(table, mapping)}) ELSE faults END" if keyed else "faults"
    sql.execute(
        f"CREATE OR REPLACE TEMP TABLE fate_{table.name} AS SELECT * EXCLUDE (nth, same), CASE "
        "WHEN len(list_filter(faults, lambda f: f.fatal)) > 0 THEN 'rejected' "
        f"WHEN {_is_later(table, mapping, company)} THEN 'later' WHEN nth > 1 THEN 'duplicate' ELSE 'accepted' END AS fate "
        f"FROM (SELECT * REPLACE ({faults} AS faults) FROM (SELECT *, {nth} AS nth, {same} AS same FROM cast_{table.name}))"
    )
    kept = [f"CASE WHEN list_contains(emptied, {literal(c)}) THEN NULL ELSE {identifier(c)} END AS {identifier(c)}" for c in columns]
    sql.execute(
        f"CREATE OR REPLACE TEMP TABLE canon_{table.name} AS SELECT record, {', '.join(kept)} "
        f"FROM (SELECT *, list_transform(faults, lambda f: f.ours) AS emptied FROM fate_{table.name}) WHERE fate = 'accepted'"
    )
    return _counts(sql, table, mapping)


def complete(sql: duckdb.DuckDBPyConnection, company: Company) -> None:
    """Fill what follows from other cells: missing columns and tables, status, margin, and the client of every id."""
    there = _tables(sql)
    for table in TABLES.values():
        if table.name not in there:
            sql.execute(f"CREATE TEMP TABLE canon_{table.name} AS SELECT NULL::BIGINT AS record WHERE false")
        present = set(_columns(sql, table.name))
        for column in table.columns:
            if not column.is_family and column.name not in present:
                sql.execute(f"ALTER TABLE canon_{table.name} ADD COLUMN {identifier(column.name)} {SQL_TYPES[column.type]}")
        if len(table.key) == 1 and table.key[0] not in present:
            sql.execute(f"UPDATE canon_{table.name} SET {identifier(table.key[0])} = printf('%09d', record)")
    sql.execute("UPDATE canon_deals SET status = 'won' WHERE status IS NULL")
    share = "NULL" if company.margin_share is None else str(company.margin_share)
    sql.execute(f"UPDATE canon_deals SET margin = coalesce(margin, amount - cost, amount * {share}::DECIMAL(9,6))")
    owners = [t.name for t in TABLES.values() if t.column("client_id") is not None and t.name not in {"clients", "merges"}]
    ids = " UNION ".join(f"SELECT client_id FROM canon_{name} WHERE client_id IS NOT NULL" for name in owners)
    sql.execute(
        f"INSERT INTO canon_clients (client_id) SELECT client_id FROM ({ids}) WHERE client_id NOT IN (SELECT client_id FROM canon_clients)"
    )


def convert_currencies(sql: duckdb.DuckDBPyConnection, company: Company) -> None:
    """Turn foreign amounts of ``cast_deals`` into company currency at the latest rate on or before the day.

    A deal whose currency has no such rate gets a fatal fault.
    """
    columns = set(_columns(sql, "deals", "cast"))
    if "currency" not in columns:
        return
    day = " , ".join(c for c in ("closed_on", "opened_on") if c in columns)
    rates = (
        "SELECT currency, \"on\", rate FROM canon_exchange_rates"
        if "exchange_rates" in _tables(sql)
        else "SELECT NULL::VARCHAR AS currency, NULL::DATE AS \"on\", NULL::DOUBLE AS rate WHERE false"
    )
    home = literal(company.currency)
    money = [c for c in ("amount", "cost", "margin") if c in columns]
    converted = ", ".join(f"CASE WHEN foreign_ THEN ({c} * rate_)::DECIMAL(18,4) ELSE {c} END AS {c}" for c in money)
    lacking = (
        "{'ours': 'currency', 'column': 'currency', 'found': concat(currency, ' on ', day_), "
        f"'expected': 'a rate to {company.currency} on or before that day in exchange_rates', 'fatal': true}}"
    )
    sql.execute(
        "CREATE OR REPLACE TEMP TABLE cast_deals AS SELECT * EXCLUDE (foreign_, day_, rate_) REPLACE ("
        f"{converted}, CASE WHEN foreign_ AND rate_ IS NULL THEN list_append(faults, {lacking}) ELSE faults END AS faults) FROM ("
        f"SELECT d.*, coalesce(upper(d.currency) <> {home}, false) AS foreign_, coalesce({day}) AS day_, r.rate AS rate_ FROM cast_deals d "
        f"ASOF LEFT JOIN ({rates}) r ON d.currency = r.currency AND coalesce({day}) >= r.\"on\")"
    )


def write_all(sql: duckdb.DuckDBPyConnection, folder: Path) -> dict[str, list[str]]:
    """Write every canonical table, ordered by its key, and say which columns hold a value."""
    supplied: dict[str, list[str]] = {}
    for table in TABLES.values():
        names = [c for c in _columns(sql, table.name) if c != "record"]
        order = ", ".join(map(identifier, table.key)) or "ALL"
        target = literal(str(folder / f"{table.name}.parquet"))
        listed = ", ".join(map(identifier, names))
        sql.execute(f"COPY (SELECT {listed} FROM canon_{table.name} ORDER BY {order}) TO {target} (FORMAT parquet)")
        filled = sql.execute(f"SELECT {', '.join(f'count({identifier(c)})' for c in names)} FROM canon_{table.name}").fetchone() or ()
        held = [name for name, count in zip(names, filled, strict=True) if count]
        if held:
            supplied[table.name] = held
        for stage in ("raw", "cast", "fate", "canon"):
            sql.execute(f"DROP TABLE IF EXISTS {stage}_{table.name}")
    return supplied


def _fault(column: Column, ours: str, source: str, mapping: Mapping[str, str], formats: Formats, company: Company) -> str:
    """SQL of the fault of one cell, or NULL: unreadable, out of range, or empty where a value is required."""
    fatal = str(column.required).lower()
    value, name = identifier(ours), literal(ours)
    wrong = (
        f"WHEN {fault_sql(column, f'from:{source}', value, company.as_of)} THEN {{'ours': {name}, 'column': {literal(source)}, "
        f"'found': {_original(source)}, 'expected': {literal(expected(column, formats))}, 'fatal': {fatal}}}"
    )
    if not column.required:
        return f"CASE {wrong} END"
    # An open deal has no closing day yet.
    unless = " AND status IS DISTINCT FROM 'open'" if column.name == "closed_on" and "status" in mapping else ""
    return (
        f"CASE {wrong} WHEN {value} IS NULL{unless} THEN {{'ours': {name}, 'column': {literal(source)}, "
        "'found': '', 'expected': 'a value', 'fatal': true} END"
    )


def _second_key(table: Table, mapping: Mapping[str, str]) -> str:
    """SQL of the fault of a record whose key another record with other content has."""
    values = ", ".join(f"{identifier(k)}::VARCHAR" for k in table.key)
    return (
        f"{{'ours': '', 'column': {literal(', '.join(mapping[k] for k in table.key))}, 'found': concat_ws(' · ', {values}), "
        "'expected': 'a key that no earlier row has', 'fatal': true}"
    )


def _original(source: str) -> str:
    return identifier(f"from:{source}")


def _is_later(table: Table, mapping: Mapping[str, str], company: Company) -> str:
    happened = _HAPPENED.get(table.name)
    if happened is None or happened not in mapping:
        return "false"
    unless = " AND status IS DISTINCT FROM 'open'" if table.name == "deals" and "status" in mapping else ""
    return f"coalesce({identifier(happened)} >= DATE '{company.as_of}' + INTERVAL 1 DAY{unless}, false)"


def _counts(sql: duckdb.DuckDBPyConnection, table: Table, mapping: Mapping[str, str]) -> dict[str, float]:
    amount = _AMOUNTS.get(table.name)
    held = f"coalesce(sum({identifier(amount)}), 0)" if amount in mapping and amount else "NULL"
    found = {
        fate: (int(rows), None if money is None else float(money))
        for fate, rows, money in sql.execute(f"SELECT fate, count(*), {held} FROM fate_{table.name} GROUP BY fate").fetchall()
    }
    counts: dict[str, float] = {"source_rows": sum(rows for rows, _ in found.values())}
    counts.update({f"{fate}_rows": found.get(fate, (0, None))[0] for fate in FATES})
    if held != "NULL":
        counts["source_amount"] = sum(money or 0.0 for _, money in found.values())
        counts.update({f"{fate}_amount": found.get(fate, (0, 0.0))[1] or 0.0 for fate in FATES})
    return counts


def _tables(sql: duckdb.DuckDBPyConnection) -> set[str]:
    rows = sql.execute("SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'canon\\_%' ESCAPE '\\'").fetchall()
    return {str(name).removeprefix("canon_") for (name,) in rows}


def _columns(sql: duckdb.DuckDBPyConnection, table: str, stage: str = "canon") -> list[str]:
    rows = sql.execute(
        "SELECT column_name FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index", [f"{stage}_{table}"]
    ).fetchall()
    return [str(name) for (name,) in rows]
