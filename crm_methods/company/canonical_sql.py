"""From text cells to canonical tables: cast, sort out, and say what became of each record. DuckDB SQL.

Each source passes through temporary tables: ``raw_<table>`` (text), ``cast_<table>`` (typed, with the list of its
faults), the view ``fate_<table>`` (what becomes of each record) and ``canon_<table>`` (the accepted ones).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import duckdb

from crm_methods.company.casting import cast_sql, expected, fault_sql, filled_sql, signs_of
from crm_methods.company.contracts import TABLES, Column, Table
from crm_methods.company.raw_table import RawTable
from crm_methods.company.record_numbers import RECORD
from crm_methods.company.settings import Company, Formats, Source
from crm_methods.company.sql_text import identifier, literal

FATES = ("accepted", "rejected", "later", "duplicate")
_HAPPENED = {
    "deals": "closed_on", "interactions": "started_at", "surveys": "answered_on", "rewards": "on",
    "invoices": "issued_on", "process_events": "at", "cost_ledger": "month",
}  # fmt: skip
"""The day on which a row of the table happened; rows later than the as-of day are set aside."""
_AMOUNTS = {"deals": "amount", "invoices": "amount", "cost_ledger": "amount", "rewards": "cost"}
MONEY_AT: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "deals": (("amount", "cost", "margin", "delivery_cost", "unit_price"), ("closed_on", "opened_on")),
    "invoices": (("amount",), ("issued_on",)),
}
"""Tables with a currency of their own: the amounts in it, and the days at whose rate they are converted."""
_NEGATIVE_KINDS = ("return", "credit_note")
"""Kinds of deals whose amount lowers revenue, however its sign is written."""

_UNIQUE = frozenset({"exchange_rates", "assignments"})
"""Tables with a key of several columns that may occur once only; lines, movements and events may repeat."""
_UNLESS_OPEN = ("closed_on", "client_id", "amount")
"""Required columns of deals that an open deal need not have yet."""
_FATES_SQL = ", ".join(map(literal, FATES))
STEPS = ("raw", "cast", "again", "canon")


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a canonical column comes from: SQL of its trimmed text on ``raw_<table>``, and what a reject calls it."""

    sql: str
    shown: str

    @classmethod
    def of(cls, *columns: str) -> Cell:
        """The cell of a source column; several are joined by a space."""
        filled = [filled_sql(column) for column in columns]
        joined = filled[0] if len(filled) == 1 else f"nullif(concat_ws(' ', {', '.join(filled)}), '')"
        return cls(joined, " + ".join(columns))

    @classmethod
    def constant(cls, value: str) -> Cell:
        """The same value in every record."""
        return cls(literal(value), "(constant)")


def clear(sql: duckdb.DuckDBPyConnection) -> None:
    """Drop what an earlier intake, broken off, may have left behind."""
    sql.execute("DROP TABLE IF EXISTS raw_wide")
    drop(sql, replace(TABLES["deals"], name="lookup"), ("raw",))
    for name in TABLES:
        drop(sql, TABLES[name], STEPS)


def cast_table(
    sql: duckdb.DuckDBPyConnection,
    table: Table,
    cells: Mapping[str, Cell],
    source: Source,
    raw: RawTable,
    formats: Formats,
    company: Company,
) -> None:
    """Type every mapped cell of ``raw_<table>``; what can't be read is NULL and stands in ``faults`` (NULL without a fault)."""
    declared = {ours: column for ours in cells if (column := table.column(ours)) is not None}
    signs = signs_of(None if "currency" in cells else company.currency)
    typed = [
        cast_sql(
            declared[ours], _text(ours), formats, source.values.get(ours, {}), typed=raw.typed, day_zero=raw.day_zero,
            unit=source.units.get(ours), signs=signs,
        ) + f" AS {identifier(ours)}"
        for ours in cells
    ]  # fmt: skip
    texts = [f"{_or_empty(cell.sql, source.values.get(ours, {}))} AS {identifier(_text(ours))}" for ours, cell in cells.items()]
    wrong = [f"{_wrong(declared[c], c, cells, company)} AS {identifier(_mark(c))}" for c in cells]
    faults = ", ".join(_fault(declared[ours], ours, cell, formats) for ours, cell in cells.items())
    kept = ", ".join(f"CASE WHEN {identifier(_mark(c))} THEN NULL ELSE {identifier(c)} END AS {identifier(c)}" for c in cells)
    content = f"hash({', '.join(identifier(_text(c)) for c in cells)})" if _is_keyed(table, cells) else "NULL::UBIGINT"
    unnumbered = raw.first is not None
    layers = [
        f"SELECT {'' if unnumbered else f'{RECORD} AS record, '}{', '.join(texts)} FROM {identifier(raw.name)}",
        f"SELECT *, {', '.join(typed)}, {content} AS content",
        f"SELECT *, {', '.join(wrong)}",
        # Nearly every record is sound: the list of faults is made for the others only.
        f"SELECT {'' if unnumbered else 'record, '}content, {kept}, CASE WHEN {' OR '.join(identifier(_mark(c)) for c in cells)} "
        f"THEN list_filter([{faults}], lambda f: f IS NOT NULL) END AS faults",
        f"SELECT *, {_fate(table, cells, company)} AS fate",
    ]
    query = layers[0]
    # A count of rows inside the query would keep it from using more than one core.
    for layer in layers[1:]:
        query = f"{layer} FROM ({query})"
    sql.execute(f"CREATE OR REPLACE TEMP TABLE cast_{table.name} AS {query}")
    if raw.first is not None:
        sql.execute(f"ALTER TABLE cast_{table.name} ADD COLUMN record BIGINT")
        sql.execute(f"UPDATE cast_{table.name} SET record = rowid + {raw.first}")


def sort_out(sql: duckdb.DuckDBPyConnection, table: Table, cells: Mapping[str, Cell]) -> dict[str, float]:
    """Decide what becomes of each cast record, as the view ``fate_<table>`` tells.

    Of several records with one key the first sound one counts; an exact repetition is a duplicate, another content is
    rejected.

    Returns
    -------
    dict
        Records and, where the table holds an amount, amounts: ``source_rows``, ``accepted_rows``, … ``source_amount`` …;
        an amount that can't be read counts as 0.
    """
    _find_repetitions(sql, table, cells)
    second = _second_key(table, cells) if _is_keyed(table, cells) else "NULL"
    sql.execute(
        f"CREATE OR REPLACE TEMP VIEW fate_{table.name} AS SELECT c.* EXCLUDE (fate, faults), "
        f"CASE WHEN a.same = false THEN list_append(coalesce(c.faults, []), {second}) ELSE c.faults END AS faults, "
        "CASE WHEN c.fate = 'rejected' OR a.same = false THEN 'rejected' WHEN c.fate = 'later' THEN 'later' "
        f"WHEN a.same THEN 'duplicate' ELSE 'accepted' END AS fate "
        f"FROM cast_{table.name} c LEFT JOIN again_{table.name} a ON c.rowid = a.place"
    )
    return _counts(sql, table, cells)


def accept(sql: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Make ``canon_<table>`` of the accepted records of ``cast_<table>``, which is over then."""
    name = f"cast_{table.name}"
    # Nothing is copied: a large table would be in memory twice.
    sql.execute(f"DELETE FROM {name} WHERE fate <> 'accepted' OR rowid IN (SELECT place FROM again_{table.name})")
    sql.execute(f"DROP VIEW fate_{table.name}; DROP TABLE again_{table.name}; DROP TABLE IF EXISTS canon_{table.name}")
    for column in ("content", "faults", "fate"):
        sql.execute(f"ALTER TABLE {name} DROP COLUMN {column}")
    sql.execute(f"ALTER TABLE {name} RENAME TO canon_{table.name}")


def _find_repetitions(sql: duckdb.DuckDBPyConnection, table: Table, cells: Mapping[str, Cell]) -> None:
    """Fill ``again_<table>`` with the records whose key an earlier or sounder one has, and whether they are the same."""
    name = f"again_{table.name}"
    sql.execute(f"CREATE OR REPLACE TEMP TABLE {name} (place BIGINT, same BOOLEAN)")
    if not _is_keyed(table, cells):
        return
    key = ", ".join(map(identifier, table.key))
    filled = " AND ".join(f"{identifier(c)} IS NOT NULL" for c in table.key)
    # Hashes of the keys tell which records need a closer look; that is hardly ever more than a few.
    sql.execute(
        f"INSERT INTO {name} SELECT place, same FROM (SELECT rowid AS place, row_number() OVER one AS nth, "
        f"content = first_value(content) OVER one AS same FROM cast_{table.name} "
        f"WHERE {filled} AND hash({key}) IN (SELECT hash({key}) AS h FROM cast_{table.name} WHERE {filled} "
        f"GROUP BY h HAVING count(*) > 1) WINDOW one AS (PARTITION BY {key} ORDER BY fate <> 'accepted', record)) WHERE nth > 1"
    )


def convert_currencies(sql: duckdb.DuckDBPyConnection, company: Company, table: Table, shown: str) -> None:
    """Turn foreign amounts of ``cast_<table>`` into company currency at the latest rate on or before the day.

    A record whose currency has no such rate gets a fatal fault; ``shown`` is the source's name of the column. Records
    without a date are converted at the as-of day.
    """
    name = f"cast_{table.name}"
    columns = set(columns_of(sql, table.name, "cast"))
    if table.name not in MONEY_AT or "currency" not in columns:
        return
    is_foreign = f"coalesce(upper(currency) <> {literal(company.currency)}, false)"
    ((foreign,),) = sql.execute(f"SELECT count(*) FROM {name} WHERE {is_foreign}").fetchall()
    if not foreign:
        return
    amounts, days = MONEY_AT[table.name]
    today = day_sql(company.as_of)
    day = f"coalesce({', '.join([*(c for c in days if c in columns), today])})"
    rates = (
        'SELECT upper(currency) AS code, "on", rate FROM canon_exchange_rates'
        if "exchange_rates" in tables_there(sql)
        else 'SELECT NULL::VARCHAR AS code, NULL::DATE AS "on", NULL::DOUBLE AS rate WHERE false'
    )
    converted = "".join(
        f"CASE WHEN foreign_ THEN TRY_CAST({c} * rate_ AS DECIMAL(18,4)) ELSE {c} END AS {c}, " for c in amounts if c in columns
    )
    lacking = (
        f"{{'ours': 'currency', 'column': {literal(shown)}, 'found': concat(currency, ' on ', day_), "
        f"'expected': 'a rate to {company.currency} on or before that day in exchange_rates', 'fatal': true}}"
    )
    sql.execute(
        f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * EXCLUDE (foreign_, day_, rate_) REPLACE ({converted}"
        f"CASE WHEN foreign_ AND rate_ IS NULL THEN list_append(coalesce(faults, []), {lacking}) ELSE faults END AS faults, "
        "CASE WHEN foreign_ AND rate_ IS NULL THEN 'rejected' ELSE fate END AS fate) FROM ("
        f"SELECT d.*, r.rate AS rate_ FROM (SELECT *, {is_foreign} AS foreign_, {day} AS day_ FROM {name}) d "
        f'ASOF LEFT JOIN ({rates}) r ON upper(d.currency) = r.code AND d.day_ >= r."on")'
    )


def sign_returns(sql: duckdb.DuckDBPyConnection, name: str = "cast_deals") -> int:
    """Make the amounts of returns and credit notes in a table of deals negative; how many were written without a minus.

    Cost and margin turn with the amount. A cost that has not turned where the amount was negative already is put right too.
    """
    there = set(columns_of(sql, "deals", name.partition("_")[0]))
    if not {"kind", "amount"} <= there:
        return 0
    is_return = f"replace(lower(kind), ' ', '_') IN ({', '.join(map(literal, _NEGATIVE_KINDS))})"
    ((count,),) = sql.execute(f"SELECT count(*) FROM {name} WHERE {is_return} AND amount > 0").fetchall()
    turned = ", ".join(f"{c} = -{c}" for c in ("amount", "cost", "margin") if c in there)
    if "cost" in there:
        margin = ", margin = amount + cost" if "margin" in there else ""
        sql.execute(f"UPDATE {name} SET cost = -cost{margin} WHERE {is_return} AND amount < 0 AND cost > 0")
    sql.execute(f"UPDATE {name} SET {turned} WHERE {is_return} AND amount > 0")
    return int(count)


def day_sql(day: dt.date) -> str:
    """A day as SQL."""
    return f"DATE '{day}'"


def drop(sql: duckdb.DuckDBPyConnection, table: Table, steps: Sequence[str]) -> None:
    """Give back the memory of steps that are over."""
    for name in [*(f"{step}_{table.name}" for step in steps), *([f"fate_{table.name}"] if "cast" in steps else [])]:
        try:
            sql.execute(f"DROP TABLE IF EXISTS {name}")
        except duckdb.CatalogException:
            sql.execute(f"DROP VIEW {name}")


def tables_there(sql: duckdb.DuckDBPyConnection) -> set[str]:
    """The canonical tables that have been read so far."""
    rows = sql.execute("SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'canon\\_%' ESCAPE '\\'").fetchall()
    return {str(name).removeprefix("canon_") for (name,) in rows}


def columns_of(sql: duckdb.DuckDBPyConnection, table: str, step: str = "canon") -> list[str]:
    """The columns of a table at one of its steps, in order; none where it is not there."""
    try:
        found = sql.execute(f"SELECT * FROM {step}_{table} LIMIT 0").description or []
    except duckdb.CatalogException:
        return []
    return [str(column[0]) for column in found]


def _is_keyed(table: Table, cells: Mapping[str, Cell]) -> bool:
    return (len(table.key) == 1 or table.name in _UNIQUE) and set(table.key) <= set(cells)


def _text(ours: str) -> str:
    return f"from:{ours}"


def _mark(ours: str) -> str:
    return f"bad:{ours}"


def _or_empty(text: str, values: Mapping[str, str]) -> str:
    """SQL of a cell in which the words that company.yml translates to nothing are empty."""
    if values.get("*") == "":
        known = ", ".join(literal(theirs.strip().lower()) for theirs, ours in values.items() if ours)
        return f"CASE WHEN lower({text}) IN ({known}) THEN {text} END" if known else "NULL::VARCHAR"
    nothing = ", ".join(literal(theirs.strip().lower()) for theirs, ours in values.items() if not ours)
    return f"CASE WHEN lower({text}) NOT IN ({nothing}) THEN {text} END" if nothing else text


def _wrong(column: Column, ours: str, cells: Mapping[str, Cell], company: Company) -> str:
    """SQL that is true where a cell is unreadable, out of range, or empty where a value is required."""
    wrong = fault_sql(column, _text(ours), identifier(ours), company.as_of)
    if not column.required:
        return wrong
    unless = " AND status IS DISTINCT FROM 'open'" if ours in _UNLESS_OPEN and "status" in cells else ""
    return f"({wrong} OR ({identifier(ours)} IS NULL{unless}))"


def _fault(column: Column, ours: str, cell: Cell, formats: Formats) -> str:
    """SQL of the fault of one cell, or NULL."""
    text = identifier(_text(ours))
    # NUL bytes must be seen.
    shown = f"coalesce(replace(left({text}, 200), chr(0), '␀'), '')"
    wanted = f"CASE WHEN {text} IS NULL THEN 'a value' ELSE {literal(expected(column, formats))} END"
    return (
        f"CASE WHEN {identifier(_mark(ours))} THEN {{'ours': {literal(ours)}, 'column': {literal(cell.shown)}, "
        f"'found': {shown}, 'expected': {wanted}, 'fatal': {str(column.required).lower()}}} END"
    )


def _fate(table: Table, cells: Mapping[str, Cell], company: Company) -> str:
    fatal = "faults IS NOT NULL AND len(list_filter(faults, lambda f: f.fatal)) > 0"
    later = _is_later(table, cells, company)
    return f"CASE WHEN {fatal} THEN 'rejected' WHEN {later} THEN 'later' ELSE 'accepted' END::ENUM({_FATES_SQL})"


def _second_key(table: Table, cells: Mapping[str, Cell]) -> str:
    """SQL of the fault of a record whose key another record with other content has."""
    values = ", ".join(f"c.{identifier(k)}::VARCHAR" for k in table.key)
    return (
        f"{{'ours': '', 'column': {literal(', '.join(cells[k].shown for k in table.key))}, "
        f"'found': concat_ws(' · ', {values}), 'expected': 'a key that no earlier row has', 'fatal': true}}"
    )


def _is_later(table: Table, cells: Mapping[str, Cell], company: Company) -> str:
    happened = _HAPPENED.get(table.name)
    if happened is None or happened not in cells:
        return "false"
    unless = " AND status IS DISTINCT FROM 'open'" if table.name == "deals" and "status" in cells else ""
    return f"coalesce({identifier(happened)} >= DATE '{company.as_of}' + INTERVAL 1 DAY{unless}, false)"


def _counts(sql: duckdb.DuckDBPyConnection, table: Table, cells: Mapping[str, Cell]) -> dict[str, float]:
    amount = _AMOUNTS.get(table.name)
    held = f"coalesce(sum({identifier(amount)}), 0)" if amount in cells and amount else "NULL"
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
