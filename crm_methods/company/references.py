"""Ids that name a row of another table: those that name it otherwise are resolved by a stated rule, the rest are listed.

What was decided stands in the table ``resolved``: nothing is joined, guessed or left alone silently.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import duckdb

from crm_methods.company.canonical_sql import columns_of
from crm_methods.company.contracts import TABLES
from crm_methods.company.sql_text import identifier, literal

RESOLVED_COLUMNS = ("kind", "table", "column", "written", "counted_as", "rows", "rule")
_MOST_LISTED = 1_000
_FEWEST_LETTERS = 3


@dataclass(frozen=True, slots=True)
class _Target:
    """The table that an id names: its key, and the column by which people call its rows."""

    table: str
    key: str
    name: str = ""


_TARGETS: Mapping[str, _Target] = {
    "client_id": _Target("clients", "client_id", "name"),
    "parent_id": _Target("clients", "client_id", "name"),
    "referred_by": _Target("clients", "client_id", "name"),
    "product_id": _Target("products", "product_id", "name"),
    # Two clients may have a person of one name.
    "person_id": _Target("contact_persons", "person_id"),
    "deal_id": _Target("deals", "deal_id"),
}


def begin(sql: duckdb.DuckDBPyConnection) -> None:
    """Make the empty table of what is resolved."""
    sql.execute(
        'CREATE OR REPLACE TEMP TABLE resolved (kind VARCHAR, "table" VARCHAR, "column" VARCHAR, written VARCHAR, '
        'counted_as VARCHAR, "rows" BIGINT, rule VARCHAR)'
    )


def note(sql: duckdb.DuckDBPyConnection, kind: str, table: str, column: str, query: str, rule: str) -> None:
    """Note what was decided.

    Parameters
    ----------
    kind, table, column, rule
        What kind of thing, where, and by which rule.
    query
        SQL with the columns (written, counted as, rows); the commonest are listed one by one, the others together.
    """
    single = f"max(place) <= {_MOST_LISTED}"
    sql.execute(
        f"INSERT INTO resolved SELECT {literal(kind)}, {literal(table)}, {literal(column)}, "
        f"CASE WHEN {single} THEN any_value(written) ELSE printf('(%d others)', count(*)) END, "
        f"CASE WHEN {single} THEN any_value(counted_as) ELSE '' END, sum(\"rows\"), {literal(rule)} "
        'FROM (SELECT *, row_number() OVER (ORDER BY "rows" DESC, written) AS place '
        f'FROM ({query}) AS found (written, counted_as, "rows")) GROUP BY least(place, {_MOST_LISTED + 1})'
    )


def resolve(sql: duckdb.DuckDBPyConnection, there: Collection[str], settled: Collection[str] = ()) -> None:
    """Give references the id they mean, and note the unknown ones.

    An id that no row of its table has is looked for among the names and, whatever their case, the ids of that table; then, if
    it has at least three letters, among ids and names with the same letters and digits, numbers divided alike. It counts as
    the one row that fits. Where none or several fit, it stays as it is.

    Parameters
    ----------
    there
        The canonical tables that have been read.
    settled
        Clients that a person has decided on: no rule touches them.
    """
    for column, target in _TARGETS.items():
        if target.table not in there:
            continue
        for table in sorted(there):
            own_key = (table, column) == (target.table, target.key)
            if not own_key and table != "merges" and column in TABLES[table].names and column in columns_of(sql, table):
                _resolve_column(sql, table, column, target, settled if target.table == "clients" else ())


def _make_names(sql: duckdb.DuckDBPyConnection, target: _Target) -> None:
    """``known_names``: each way of naming a row that means one row only; exact ones come before alike ones."""
    key, rows = identifier(target.key), f"canon_{target.table}"
    same = f"UNION ALL SELECT 2, lower({key}), {key} FROM {rows}"
    named = f"UNION ALL SELECT 2, lower({identifier(target.name)}), {key} FROM {rows}" if target.name else ""
    alike = f"UNION ALL SELECT 3, {_letters(target.key)}, {key} FROM {rows}"
    alike_named = f"UNION ALL SELECT 3, {_letters(target.name)}, {key} FROM {rows}" if target.name else ""
    sql.execute(
        "CREATE OR REPLACE TEMP TABLE known_names AS SELECT rank, written, min(id) AS id FROM "
        f"(SELECT 1 AS rank, {key} AS written, {key} AS id FROM {rows} {same} {named} {alike} {alike_named}) "
        "WHERE written IS NOT NULL GROUP BY rank, written HAVING count(DISTINCT id) = 1"
    )


def _resolve_column(sql: duckdb.DuckDBPyConnection, table: str, column: str, target: _Target, settled: Collection[str]) -> None:
    cell, rows = identifier(column), f"canon_{table}"
    left_out = f"AND {cell} NOT IN ({', '.join(map(literal, sorted(settled)))})" if settled else ""
    sql.execute(
        f'CREATE OR REPLACE TEMP TABLE unknown AS SELECT {cell} AS written, count(*) AS "rows" FROM {rows} '
        f"WHERE {cell} IS NOT NULL AND {cell} NOT IN (SELECT {identifier(target.key)} FROM canon_{target.table}) {left_out} "
        "GROUP BY 1"
    )
    ((unknown,),) = sql.execute("SELECT count(*) FROM unknown").fetchall()
    if unknown:
        _make_names(sql, target)
        sql.execute(
            "CREATE OR REPLACE TEMP TABLE meant AS "
            'SELECT u.written, u."rows", coalesce(n.id, a.id) AS id, n.id IS NOT NULL AS is_name FROM unknown u '
            "LEFT JOIN known_names n ON n.rank = 2 AND n.written = lower(u.written) "
            f"LEFT JOIN known_names a ON a.rank = 3 AND a.written = {_letters('u.written', quoted=False)}"
        )
        sql.execute(
            f"UPDATE {rows} SET {cell} = meant.id FROM meant WHERE {rows}.{cell} = meant.written AND meant.id IS NOT NULL"
        )
        what = target.table.removesuffix("s").replace("_", " ")
        rules = (
            ("named", "id IS NOT NULL AND is_name", f"the name of one {what}, or its id in another case, stands for its id"),
            ("spelling", "id IS NOT NULL AND NOT is_name", f"the same letters and digits as one {what}"),
            ("unknown", "id IS NULL", _left_alone(table, column)),
        )
        for kind, condition, rule in rules:
            query = f"SELECT written, coalesce(id, ''), \"rows\" FROM meant WHERE {condition}"
            note(sql, kind, table, column, query, rule)
        sql.execute("DROP TABLE meant; DROP TABLE known_names")
    sql.execute("DROP TABLE unknown")


def _left_alone(table: str, column: str) -> str:
    if column == "client_id":
        return "counts as a client of its own, of whom nothing else is known"
    return "stays as it is; what the row would tell of it is not known"


def _letters(column: str, *, quoted: bool = True) -> str:
    """SQL of the letters and digits of a text in lower case; NULL where there are too few letters to compare."""
    cell = identifier(column) if quoted else column
    # 1-23 and 12-3 are two numbers: what divides digits stays, as one mark.
    divided = cell
    for _ in range(2):
        divided = f"regexp_replace({divided}, '([0-9])[^\\p{{L}}\\p{{N}}|]+([0-9])', '\\1|\\2', 'g')"
    plain = f"lower(regexp_replace({divided}, '[^\\p{{L}}\\p{{N}}|]+', '', 'g'))"
    return f"CASE WHEN length(regexp_replace({cell}, '[^\\p{{L}}]+', '', 'g')) >= {_FEWEST_LETTERS} THEN {plain} END"
