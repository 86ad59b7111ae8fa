"""From text cells to canonical tables: cast, sort out, complete, write. DuckDB SQL.

Each source passes through temporary tables: ``raw_<table>`` (text), ``cast_<table>`` (typed,
with the list of its faults), ``fate_<table>`` (what becomes of each record) and
``canon_<table>`` (the accepted ones).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import duckdb

from crm_methods.company.casting import SQL_TYPES, cast_sql, expected, fault_sql
from crm_methods.company.contracts import TABLES, Column, Table
from crm_methods.company.record_numbers import RECORD
from crm_methods.company.settings import Company, Formats, Source
from crm_methods.company.sources import RawTable, identifier, literal
from crm_methods.errors import IntakeError

FATES = ("accepted", "rejected", "later", "duplicate")
_HAPPENED = {
    "deals": "closed_on", "interactions": "started_at", "surveys": "answered_on", "rewards": "on",
    "invoices": "issued_on", "process_events": "at", "cost_ledger": "month",
}  # fmt: skip
"""The day on which a row of the table happened; rows later than the as-of day are set aside."""
_AMOUNTS = {"deals": "amount", "invoices": "amount", "cost_ledger": "amount", "rewards": "cost"}


_UNIQUE = frozenset({"exchange_rates", "assignments"})
"""Tables with a key of several columns that may occur once only; lines, movements and events may repeat."""
_FATAL = "(len(list_filter(faults, lambda f: f.fatal)) > 0)"
STEPS = ("raw", "cast", "fate", "canon")


def clear(sql: duckdb.DuckDBPyConnection) -> None:
    """Drop what an earlier intake, broken off, may have left behind."""
    for table in ("raw_wide", *(f"{step}_{name}" for step in STEPS for name in TABLES)):
        sql.execute(f"DROP TABLE IF EXISTS {table}")


def cast_table(
    sql: duckdb.DuckDBPyConnection,
    table: Table,
    mapping: Mapping[str, str],
    source: Source,
    raw: RawTable,
    formats: Formats,
    company: Company,
) -> None:
    """Type every mapped cell of ``raw_<table>``; what can't be read is NULL and stands in ``faults``."""
    declared = {ours: column for ours in mapping if (column := table.column(ours)) is not None}
    cells = [
        cast_sql(declared[ours], theirs, formats, source.values.get(ours, {}), typed=raw.typed, day_zero=raw.day_zero)
        + f" AS {identifier(ours)}"
        for ours, theirs in mapping.items()
    ]
    originals = [f"{identifier(theirs)} AS {_original(theirs)}" for theirs in dict.fromkeys(mapping.values())]
    faults = [_fault(declared[ours], ours, theirs, mapping, formats, company) for ours, theirs in mapping.items()]
    sql.execute(
        f"CREATE OR REPLACE TEMP TABLE cast_{table.name} AS "
        f"SELECT *, list_filter([{', '.join(faults)}], lambda f: f IS NOT NULL) AS faults "
        f"FROM (SELECT {RECORD} AS record, {', '.join([*originals, *cells])} FROM {identifier(raw.name)})"
    )


def sort_out(sql: duckdb.DuckDBPyConnection, table: Table, mapping: Mapping[str, str], company: Company) -> Mapping[str, float]:
    """Decide what becomes of each cast record; the accepted ones become ``canon_<table>``.

    Of several records with one key the first sound one counts; an exact repetition is a duplicate, another content is
    rejected.

    Returns
    -------
    dict
        Records and, where the table holds an amount, amounts: ``source_rows``, ``accepted_rows``, … ``source_amount`` …;
        an amount that can't be read counts as 0.
    """
    columns = list(mapping)
    keyed = (len(table.key) == 1 or table.name in _UNIQUE) and set(table.key) <= set(mapping)
    content = ", ".join(_original(c) for c in dict.fromkeys(mapping.values()))
    window = f"(PARTITION BY {', '.join(map(identifier, table.key))} ORDER BY {_FATAL}, record)"
    filled = " AND ".join(f"{identifier(c)} IS NOT NULL" for c in table.key)
    nth = f"CASE WHEN {filled} THEN row_number() OVER {window} ELSE 1 END" if keyed else "1"
    same = f"hash({content}) = first_value(hash({content})) OVER {window}" if keyed else "true"
    second = _second_key(table, mapping) if keyed else "NULL"
    faults = f"CASE WHEN nth > 1 AND NOT same THEN list_append(faults, {second}) ELSE faults END" if keyed else "faults"
    sql.execute(
        f"CREATE OR REPLACE TEMP TABLE fate_{table.name} AS SELECT * EXCLUDE (nth, same), CASE "
        f"WHEN {_FATAL} THEN 'rejected' "
        f"WHEN {_is_later(table, mapping, company)} THEN 'later' WHEN nth > 1 THEN 'duplicate' ELSE 'accepted' END AS fate "
        f"FROM (SELECT * REPLACE ({faults} AS faults) FROM (SELECT *, {nth} AS nth, {same} AS same FROM cast_{table.name}))"
    )
    kept = [
        f"CASE WHEN list_contains(emptied, {literal(c)}) THEN NULL ELSE {identifier(c)} END AS {identifier(c)}" for c in columns
    ]
    sql.execute(
        f"CREATE OR REPLACE TEMP TABLE canon_{table.name} AS SELECT record, {', '.join(kept)} "
        f"FROM (SELECT *, list_transform(faults, lambda f: f.ours) AS emptied FROM fate_{table.name}) WHERE fate = 'accepted'"
    )
    return _counts(sql, table, mapping)


def complete(sql: duckdb.DuckDBPyConnection, company: Company) -> Mapping[str, frozenset[str]]:
    """Fill what follows from other cells: missing columns and tables, status, margin, and the client of every id.

    Returns
    -------
    dict
        Per table of the source, the columns that hold a value: what was filled in for convenience (a status where the source
        has none, the clients of tables other than ``clients``) does not count, a computed margin does.
    """
    there = _tables(sql)
    for table in TABLES.values():
        typed = {c.name: SQL_TYPES[c.type] for c in table.columns if not c.is_family}
        if table.name not in there:
            empty = ", ".join(f"{identifier(name)} {kind}" for name, kind in typed.items())
            sql.execute(f"CREATE TEMP TABLE canon_{table.name} (record BIGINT, {empty})")
            continue
        present = set(_columns(sql, table.name))
        for name in sorted(set(typed) - present):
            sql.execute(f"ALTER TABLE canon_{table.name} ADD COLUMN {identifier(name)} {typed[name]}")
        if len(table.key) == 1 and table.key[0] not in present:
            sql.execute(f"UPDATE canon_{table.name} SET {identifier(table.key[0])} = printf('%09d', record)")
    share = "NULL" if company.margin_share is None else str(company.margin_share)
    sql.execute(f"UPDATE canon_deals SET margin = coalesce(margin, amount - cost, amount * {share}::DECIMAL(9,6))")
    supplied = {name: _filled_columns(sql, name) for name in sorted(there)}
    _merge_clients(sql)
    sql.execute("UPDATE canon_deals SET status = 'won' WHERE status IS NULL")
    owners = [t.name for t in TABLES.values() if t.column("client_id") is not None and t.name not in {"clients", "merges"}]
    ids = " UNION ".join(f"SELECT client_id FROM canon_{name} WHERE client_id IS NOT NULL" for name in owners)
    sql.execute(
        f"INSERT INTO canon_clients (client_id) SELECT client_id FROM ({ids}) "
        "WHERE client_id NOT IN (SELECT client_id FROM canon_clients)"
    )
    return {name: columns for name, columns in supplied.items() if columns}


def merged_clients(sql: duckdb.DuckDBPyConnection) -> int:
    """How many accepted clients a decision merges into another; to be asked before ``complete``."""
    if not {"clients", "merges"} <= _tables(sql):
        return 0
    ((count,),) = sql.execute(
        "SELECT count(*) FROM canon_clients WHERE client_id IN (SELECT client_id FROM canon_merges)"
    ).fetchall()
    return int(count)


def _merge_clients(sql: duckdb.DuckDBPyConnection) -> None:
    """Carry out the decisions of the table ``merges``: a merged client's rows become those of the client it is merged into.

    Raises
    ------
    IntakeError
        Decisions lead in a circle.
    """
    decided = dict(sql.execute('SELECT client_id, "into" FROM canon_merges ORDER BY client_id').fetchall())
    last: dict[str, str] = {}
    for client in decided:
        into, seen = decided[client], {client}
        while into in decided and into not in seen:
            seen.add(into)
            into = decided[into]
        if into in seen:
            raise IntakeError(f"merges: found {' → '.join([*sorted(seen), into])}, expected decisions that end at one client.")
        last[client] = into
    if not last:
        return
    sql.execute("CREATE OR REPLACE TEMP TABLE merged (client_id VARCHAR, into_id VARCHAR)")
    sql.executemany("INSERT INTO merged VALUES (?, ?)", [list(pair) for pair in last.items()])
    for table in TABLES.values():
        for column in ("client_id", "parent_id", "referred_by"):
            if table.column(column) is not None and table.name != "merges" and (table.name, column) != ("clients", "client_id"):
                name = f"canon_{table.name}"
                sql.execute(f"UPDATE {name} SET {column} = into_id FROM merged WHERE {name}.{column} = merged.client_id")
    sql.execute("DELETE FROM canon_clients WHERE client_id IN (SELECT client_id FROM merged)")
    sql.execute("DROP TABLE merged")


def convert_currencies(sql: duckdb.DuckDBPyConnection, company: Company, shown: str = "currency") -> None:
    """Turn foreign amounts of ``cast_deals`` into company currency at the latest rate on or before the day.

    A deal whose currency has no such rate gets a fatal fault; ``shown`` is the source's name of the column. Deals
    without a date are converted at the as-of day.
    """
    columns = set(_columns(sql, "deals", "cast"))
    if "currency" not in columns:
        return
    days = [c for c in ("closed_on", "opened_on") if c in columns]
    today = f"DATE '{company.as_of}'"
    day = f"coalesce({', '.join([*days, today])})"
    rates = (
        'SELECT upper(currency) AS code, "on", rate FROM canon_exchange_rates'
        if "exchange_rates" in _tables(sql)
        else 'SELECT NULL::VARCHAR AS code, NULL::DATE AS "on", NULL::DOUBLE AS rate WHERE false'
    )
    money = [c for c in ("amount", "cost", "margin") if c in columns]
    foreign = f"coalesce(upper(d.currency) <> {literal(company.currency)}, false)"
    converted = "".join(f"CASE WHEN foreign_ THEN ({c} * rate_)::DECIMAL(18,4) ELSE {c} END AS {c}, " for c in money)
    lacking = (
        f"{{'ours': 'currency', 'column': {literal(shown)}, 'found': concat(currency, ' on ', day_), "
        f"'expected': 'a rate to {company.currency} on or before that day in exchange_rates', 'fatal': true}}"
    )
    sql.execute(
        f"CREATE OR REPLACE TEMP TABLE cast_deals AS SELECT * EXCLUDE (foreign_, day_, rate_) REPLACE ({converted}"
        f"CASE WHEN foreign_ AND rate_ IS NULL THEN list_append(faults, {lacking}) ELSE faults END AS faults) FROM ("
        f"SELECT d.*, r.rate AS rate_ FROM (SELECT *, {foreign} AS foreign_, {day} AS day_ FROM cast_deals d) d "
        f'ASOF LEFT JOIN ({rates}) r ON upper(d.currency) = r.code AND d.day_ >= r."on")'
    )


def write_all(sql: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Write every canonical table, ordered by its key, and drop it from the engine."""
    for table in TABLES.values():
        names = [c for c in _columns(sql, table.name) if c != "record"]
        order = ", ".join([*map(identifier, table.key), "record"])
        target = literal(str(folder / f"{table.name}.parquet"))
        listed = ", ".join(map(identifier, names))
        sql.execute(f"COPY (SELECT {listed} FROM canon_{table.name} ORDER BY {order}) TO {target} (FORMAT parquet)")
    clear(sql)


def drop(sql: duckdb.DuckDBPyConnection, table: Table, steps: Sequence[str]) -> None:
    """Give back the memory of steps that are over."""
    for step in steps:
        sql.execute(f"DROP TABLE IF EXISTS {step}_{table.name}")


def _filled_columns(sql: duckdb.DuckDBPyConnection, name: str) -> frozenset[str]:
    names = [c for c in _columns(sql, name) if c != "record"]
    (counted,) = sql.execute(f"SELECT {', '.join(f'count({identifier(c)})' for c in names)} FROM canon_{name}").fetchall()
    return frozenset(c for c, count in zip(names, counted, strict=True) if count)


def _fault(column: Column, ours: str, source: str, mapping: Mapping[str, str], formats: Formats, company: Company) -> str:
    """SQL of the fault of one cell, or NULL: unreadable, out of range, or empty where a value is required."""
    fatal = str(column.required).lower()
    value, name = identifier(ours), literal(ours)
    wrong = (
        f"WHEN {fault_sql(column, f'from:{source}', value, company.as_of)} THEN {{'ours': {name}, 'column': {literal(source)}, "
        f"'found': {_shown(source)}, 'expected': {literal(expected(column, formats))}, 'fatal': {fatal}}}"
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


def _shown(source: str) -> str:
    """SQL of a cell as a reject shows it: short, and with NUL bytes that can be seen."""
    return f"replace(left({_original(source)}, 200), chr(0), '␀')"


def _is_later(table: Table, mapping: Mapping[str, str], company: Company) -> str:
    happened = _HAPPENED.get(table.name)
    if happened is None or happened not in mapping:
        return "false"
    unless = " AND status IS DISTINCT FROM 'open'" if table.name == "deals" and "status" in mapping else ""
    return f"coalesce({identifier(happened)} >= DATE '{company.as_of}' + INTERVAL 1 DAY{unless}, false)"


def _counts(sql: duckdb.DuckDBPyConnection, table: Table, mapping: Mapping[str, str]) -> dict[str, float]:
    amount = _AMOUNTS.get(table.name)
    held = f"coalesce(sum({identifier(amount)}), 0)" if amount in mapping and amount else "NULL"
    found: dict[str, tuple[int, Decimal]] = {
        fate: (int(rows), Decimal(money or 0))
        for fate, rows, money in sql.execute(f"SELECT fate, count(*), {held} FROM fate_{table.name} GROUP BY fate").fetchall()
    }
    nothing = (0, Decimal(0))
    counts: dict[str, float] = {"source_rows": sum(rows for rows, _ in found.values())}
    counts.update({f"{fate}_rows": found.get(fate, nothing)[0] for fate in FATES})
    if held != "NULL":
        # Sums of decimals are exact; they become floats only when they are complete.
        counts["source_amount"] = float(sum((money for _, money in found.values()), Decimal(0)))
        counts.update({f"{fate}_amount": float(found.get(fate, nothing)[1]) for fate in FATES})
    return counts


def _tables(sql: duckdb.DuckDBPyConnection) -> set[str]:
    rows = sql.execute("SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'canon\\_%' ESCAPE '\\'").fetchall()
    return {str(name).removeprefix("canon_") for (name,) in rows}


def _columns(sql: duckdb.DuckDBPyConnection, table: str, stage: str = "canon") -> list[str]:
    rows = sql.execute(
        "SELECT column_name FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index", [f"{stage}_{table}"]
    ).fetchall()
    return [str(name) for (name,) in rows]
