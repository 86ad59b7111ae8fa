"""What follows from the accepted records of several tables: deals out of lines, requests out of events, margins, and the files.

Works on the ``canon_<table>`` tables that ``canonical_sql`` has left. DuckDB SQL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from crm_methods.company import canonical_sql, references
from crm_methods.company.canonical_sql import clear, columns_of, tables_there
from crm_methods.company.casting import SQL_TYPES
from crm_methods.company.client_units import join_clients, read_decisions
from crm_methods.company.contracts import TABLES
from crm_methods.company.settings import Cases, Company
from crm_methods.company.sql_text import identifier, literal

_SUMMED = ("amount", "cost", "margin", "delivery_cost")
_COMPUTED_WITH: Mapping[str, tuple[str, ...]] = {
    "deals": ("deal_id", "client_id", "status", "amount", "cost", "margin"),
    "deal_lines": ("deal_id", "product_id"),
    "interactions": ("interaction_id", "client_id"),
}
"""Of tables that may be large, the columns that completing them needs."""
_MOST_SORTED = 1_000_000
"""Sorting more records costs more than reading them; they keep the order of their file."""
_OF_LINES = ("product_id", "quantity", "unit_price")


def split_lines(sql: duckdb.DuckDBPyConnection) -> int:
    """Make deals and their lines out of ``canon_deals`` whose rows are lines; how many rows were joined into another.

    The rows of one ``deal_id`` are one deal: amounts and costs are summed, of everything else the first row's value counts.
    Deals whose rows name several clients or days are noted.
    """
    there = columns_of(sql, "deals")
    listed = {name: identifier(name) for name in _OF_LINES if name in there}
    if "unit_price" not in listed and "quantity" in listed:
        listed["unit_price"] = "(CASE WHEN quantity <> 0 THEN amount / quantity END)::DECIMAL(18,4)"
    if "cost" in there:
        listed["cost"] = "cost"
    if "product_id" in listed:
        columns = ", ".join(f"{value} AS {name}" for name, value in listed.items())
        sql.execute(
            f"CREATE OR REPLACE TEMP TABLE canon_deal_lines AS SELECT record, deal_id, {columns} FROM canon_deals "
            "WHERE product_id IS NOT NULL"
        )
    for column in ("client_id", "closed_on"):
        if column in there:
            references.note(
                sql, "conflict", "deals", column,
                f"SELECT deal_id, min({column}::VARCHAR), count(*) FROM canon_deals GROUP BY deal_id "
                f"HAVING count(DISTINCT {column}) > 1",
                "the first row of the deal counts",
            )  # fmt: skip
    ((lines,),) = sql.execute("SELECT count(*) FROM canon_deals").fetchall()
    kept = [c for c in there if c not in {"record", "deal_id", *_OF_LINES}]
    # A cost that is known of some lines only is not the deal's.
    summed = "CASE WHEN count({c}) = count(*) THEN TRY_CAST(sum({c}) AS DECIMAL(18,4)) END AS {c}"
    made = ", ".join(summed.format(c=c) if c in _SUMMED else f"arg_min({c}, record) AS {c}" for c in kept)
    sql.execute(
        f"CREATE OR REPLACE TEMP TABLE canon_deals AS SELECT min(record) AS record, deal_id, {made} "
        "FROM canon_deals GROUP BY deal_id"
    )
    ((deals,),) = sql.execute("SELECT count(*) FROM canon_deals").fetchall()
    return int(lines) - int(deals)


def complete(sql: duckdb.DuckDBPyConnection, company: Company) -> Mapping[str, frozenset[str]]:
    """Fill what follows from other cells: missing columns and tables, status, margin, and the client of every id.

    Returns
    -------
    dict
        Per table of the source, the columns that hold a value: what was filled in for convenience (a status where the source
        has none, the clients of tables other than ``clients``) does not count, a computed margin or amount does.
    """
    decisions = _known_decisions(sql, read_decisions(sql))
    there, has_amounts = tables_there(sql), "amount" in columns_of(sql, "deals")
    _add_columns(sql, there)
    # Ids first: what is counted by them must find its row.
    references.resolve(sql, there, settled=decisions)
    deals = company.tables.get("deals")
    if deals is not None and deals.reshape is None:
        _convert_lines(sql, company)
    _take_off_discounts(sql)
    if not has_amounts:
        _amounts_from_lines(sql)
        canonical_sql.sign_returns(sql, "canon_deals")
    events = company.tables.get("process_events")
    if events is not None and "interactions" not in there:
        _requests_from_events(sql, events.cases or Cases())
        there = tables_there(sql)
    _fill_margins(sql, company)
    supplied = {name: _filled_columns(sql, name) for name in sorted(there)}
    join_clients(sql, company, decisions)
    sql.execute("UPDATE canon_deals SET status = 'won' WHERE status IS NULL")
    _create_named_clients(sql, there)
    return {name: columns for name, columns in supplied.items() if columns}


def write_all(sql: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Write every canonical table, ordered by its key or, from a million rows on, by its file, and drop it from the engine."""
    for table in TABLES.values():
        present = columns_of(sql, table.name)
        absent = {c.name: SQL_TYPES[c.type] for c in table.columns if not c.is_family and c.name not in present}
        in_order = _is_ordered(sql, table.name, table.key)
        order = "" if in_order else f"ORDER BY {', '.join([*map(identifier, table.key), 'record'])}"
        target = literal(str(folder / f"{table.name}.parquet"))
        listed = ", ".join(
            [
                *(identifier(c) for c in present if c != "record"),
                *(f"NULL::{kind} AS {identifier(c)}" for c, kind in absent.items()),
            ]
        )
        sql.execute(f"COPY (SELECT {listed} FROM canon_{table.name} {order}) TO {target} (FORMAT parquet)")
    clear(sql)


def _is_ordered(sql: duckdb.DuckDBPyConnection, name: str, key: Sequence[str]) -> bool:
    """Whether the records need no sorting: they stand in the order of their key, or of their file where there are very many."""
    ((rows,),) = sql.execute(f"SELECT count(*) FROM canon_{name}").fetchall()
    if rows < 2:
        return True
    order = ["record"] if rows > _MOST_SORTED else [*key, "record"] if len(key) == 1 else []
    if not order:
        return False
    down = " OR ".join(f"{identifier(c)} IS NULL OR {identifier(c)} < lag({identifier(c)}) OVER ()" for c in order)
    ((wrong,),) = sql.execute(f"SELECT count(*) FROM (SELECT {down} AS wrong FROM canon_{name}) WHERE wrong").fetchall()
    return not wrong


def _known_decisions(sql: duckdb.DuckDBPyConnection, decisions: Mapping[str, str]) -> dict[str, str]:
    """The decisions about clients that are there; the others are noted, since nothing can be done with them."""
    if not decisions:
        return {}
    there = tables_there(sql)
    holders = sorted(t for t in there if TABLES[t].column("client_id") is not None and t != "merges")
    ids = " UNION ".join(f"SELECT client_id FROM canon_{name}" for name in holders)
    known = {client for (client,) in sql.execute(ids).fetchall()}
    unknown = " UNION ALL ".join(
        f"SELECT {literal(client)}, {literal(into)}, 1" for client, into in decisions.items() if client not in known
    )
    if unknown:
        references.note(sql, "unknown", "merges", "client_id", unknown, "no such client: the decision could not be applied")
    return {client: into for client, into in decisions.items() if client in known}


def _convert_lines(sql: duckdb.DuckDBPyConnection, company: Company) -> None:
    """Turn the prices and costs of the lines of foreign deals into company currency, at the rate of their deal."""
    deals, lines = columns_of(sql, "deals"), columns_of(sql, "deal_lines")
    money = [c for c in ("unit_price", "cost") if c in lines]
    if "currency" not in deals or not money or "exchange_rates" not in tables_there(sql):
        return
    days = [c for c in ("closed_on", "opened_on") if c in deals]
    day = f"coalesce({', '.join([*days, canonical_sql.day_sql(company.as_of)])})"
    converted = ", ".join(f"{c} = TRY_CAST({c} * f.rate AS DECIMAL(18,4))" for c in money)
    sql.execute(
        f"UPDATE canon_deal_lines SET {converted} FROM (SELECT d.deal_id, r.rate FROM (SELECT deal_id, upper(currency) AS code, "
        f"{day} AS day FROM canon_deals WHERE upper(currency) <> {literal(company.currency)}) d ASOF JOIN "
        '(SELECT upper(currency) AS code, "on", rate FROM canon_exchange_rates) r ON d.code = r.code AND d.day >= r."on") f '
        "WHERE canon_deal_lines.deal_id = f.deal_id"
    )


def _take_off_discounts(sql: duckdb.DuckDBPyConnection) -> None:
    if {"unit_price", "discount_share"} <= set(columns_of(sql, "deal_lines")):
        sql.execute(
            "UPDATE canon_deal_lines SET unit_price = (unit_price * (1 - discount_share))::DECIMAL(18,4) "
            "WHERE discount_share <> 0"
        )


def _amounts_from_lines(sql: duckdb.DuckDBPyConnection) -> None:
    """Where the deals' file knows no amount, a deal's amount is that of its lines."""
    if not {"quantity", "unit_price"} <= set(columns_of(sql, "deal_lines")):
        return
    sql.execute(
        "CREATE OR REPLACE TEMP TABLE canon_deals AS SELECT d.* EXCLUDE (amount), "
        "coalesce(TRY_CAST(l.amount AS DECIMAL(18,4)), 0) AS amount "
        "FROM canon_deals d LEFT JOIN (SELECT deal_id, sum(quantity * unit_price) AS amount "
        "FROM canon_deal_lines GROUP BY deal_id) l USING (deal_id) ORDER BY d.record"
    )
    references.note(
        sql, "no amount", "deal_lines", "unit_price",
        "SELECT deal_id, '0', count(*) FROM canon_deal_lines WHERE quantity IS NULL OR unit_price IS NULL GROUP BY deal_id",
        "a line without quantity or price counts with an amount of 0",
    )  # fmt: skip
    references.note(
        sql, "no lines", "deals", "amount",
        "SELECT deal_id, '0', 1 FROM canon_deals WHERE deal_id NOT IN (SELECT deal_id FROM canon_deal_lines)",
        "a deal without lines counts with an amount of 0",
    )  # fmt: skip


def _requests_from_events(sql: duckdb.DuckDBPyConnection, cases: Cases) -> None:
    """Make one request out of the events of each case, where the company has a log of events and no list of contacts."""
    there = set(columns_of(sql, "process_events"))
    if "client_id" not in there:
        return
    closing, answering = (
        f"lower(activity) IN ({', '.join(literal(word.lower()) for word in words)})" if words else "false"
        for words in (cases.closed_by, cases.answered_by)
    )
    # `at` is a word of SQL's own.
    moment = 'struct_pack(moment := "at", record := record)'
    first = "".join(f", arg_min({c}, {moment}) AS {c}" for c in ("topic", "department") if c in there)
    last_closed, begun_anew = f'max("at") FILTER ({closing})', 'max("at") FILTER (activity = opening)'
    sql.execute(
        "CREATE OR REPLACE TEMP TABLE canon_interactions AS SELECT min(record) AS record, case_id AS interaction_id, "
        f"arg_min(client_id, {moment}) AS client_id, min(\"at\") AS started_at, 'service' AS kind, 'in' AS direction{first}, "
        f'min("at") FILTER ({answering}) AS first_response_at, '
        f"CASE WHEN coalesce({begun_anew} > {last_closed}, false) THEN NULL ELSE {last_closed} END AS resolved_at, "
        f"CASE WHEN count(*) FILTER ({closing}) > 0 THEN count(*) FILTER ({closing}) > 1 END AS reopened "
        f"FROM (SELECT e.*, opening FROM canon_process_events e JOIN (SELECT case_id, arg_min(activity, {moment}) AS opening "
        "FROM canon_process_events GROUP BY case_id) USING (case_id)) GROUP BY case_id HAVING count(client_id) > 0"
    )
    references.note(
        sql, "conflict", "process_events", "client_id",
        "SELECT case_id, min(client_id), count(*) FROM canon_process_events GROUP BY case_id "
        "HAVING count(DISTINCT client_id) > 1",
        "the client of the first event counts",
    )  # fmt: skip


def _add_columns(sql: duckdb.DuckDBPyConnection, there: set[str]) -> None:
    for table in TABLES.values():
        typed = {c.name: SQL_TYPES[c.type] for c in table.columns if not c.is_family}
        if table.name not in there:
            empty = ", ".join(f"{identifier(name)} {kind}" for name, kind in typed.items())
            sql.execute(f"CREATE TEMP TABLE canon_{table.name} (record BIGINT, {empty})")
            continue
        present = set(columns_of(sql, table.name))
        # Columns that nothing is computed from are added as the table is written; in a large one each costs its time.
        wanted = set(_COMPUTED_WITH.get(table.name, typed))
        for name in sorted(wanted - present):
            sql.execute(f"ALTER TABLE canon_{table.name} ADD COLUMN {identifier(name)} {typed[name]}")
        if len(table.key) == 1 and table.key[0] not in present:
            sql.execute(f"UPDATE canon_{table.name} SET {identifier(table.key[0])} = printf('%09d', record)")


def _fill_margins(sql: duckdb.DuckDBPyConnection, company: Company) -> None:
    sql.execute("UPDATE canon_deals SET margin = amount - cost WHERE margin IS NULL AND cost IS NOT NULL")
    if company.margin_share is not None:
        sql.execute(f"UPDATE canon_deals SET margin = amount * {company.margin_share}::DECIMAL(9,6) WHERE margin IS NULL")


def _create_named_clients(sql: duckdb.DuckDBPyConnection, there: set[str]) -> None:
    owners = [t for t in there if TABLES[t].column("client_id") is not None and t not in {"clients", "merges"}]
    if not owners:
        return
    ids = " UNION ".join(f"SELECT DISTINCT client_id FROM canon_{name} WHERE client_id IS NOT NULL" for name in sorted(owners))
    sql.execute(
        f"INSERT INTO canon_clients (client_id) SELECT client_id FROM ({ids}) "
        "WHERE client_id NOT IN (SELECT client_id FROM canon_clients)"
    )
    # Where the id is a word, it is what the client is called.
    sql.execute(f"UPDATE canon_clients SET name = client_id WHERE name IS NULL AND {_is_word('client_id')}")


def _is_word(column: str) -> str:
    return f"(regexp_matches({column}, '\\p{{L}}{{3}}') AND (contains({column}, ' ') OR NOT regexp_matches({column}, '[0-9]')))"


def _filled_columns(sql: duckdb.DuckDBPyConnection, name: str) -> frozenset[str]:
    names = [c for c in columns_of(sql, name) if c != "record"]
    (counted,) = sql.execute(f"SELECT {', '.join(f'count({identifier(c)})' for c in names)} FROM canon_{name}").fetchall()
    return frozenset(c for c, count in zip(names, counted, strict=True) if count)
