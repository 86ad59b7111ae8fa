"""Stage 1, profile of what came in: rows, filled cells and distributions, kept for the next run to compare with.

It says nothing of a person: personal columns, identifiers and free text are counted and never kept by value, and
a value that fewer than five clients bear is kept in a common rest.

Counted in DuckDB's SQL on the canonical Parquet, as intake does whatever engine carries the frames: a hundred
columns are a statement or three per table. With a lazy frame per column the same took 14 CPU seconds for 50,000 rows,
nearly all of it spent on building the queries.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from crm_methods.company.contracts import TABLES
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import current_period
from crm_methods.company.settings import Company
from crm_methods.company.sql_text import identifier, literal
from crm_methods.engine import plain
from crm_methods.models.drift import MIN_EFFECTIVE_CLIENTS

DATED: Mapping[str, str] = {
    "deals": "closed_on", "deal_lines": "closed_on", "invoices": "issued_on", "interactions": "started_at",
    "process_events": "at", "cost_ledger": "month", "surveys": "answered_on", "rewards": "on",
}  # fmt: skip
"""Tables of things that happen, and the column that says when; a line happens when its deal is closed."""
AMOUNTS: Mapping[str, str] = {"deals": "amount", "invoices": "amount", "cost_ledger": "amount", "rewards": "cost"}
KNOWN_LATER = frozenset({"deals.delivery_cost", "interactions.reopened", "interactions.answered"})
"""What becomes known after the record, as do all its later dates: recent records have had less time, so nothing is compared."""
REST = "(other)"
EMPTY, FILLED = "empty", "filled"
KEY = ("table", "part", "column", "value")
COUNTS = ("rows", "squared", "crossed", "clients")
MEASURES = ("low", "high", *COUNTS, "amount")
MIN_BEARERS = 5
"""A value is kept by name from this number of clients on."""
MAX_LISTED = 30
MAX_DISTINCT = 200
_ROWS_PER_VALUE = 3
_DECILES = "[.1, .2, .3, .4, .5, .6, .7, .8, .9]"
CATEGORIES = frozenset({"text", "boolean"})
DAYS = frozenset({"date", "timestamp"})


@dataclass(frozen=True, slots=True)
class Bins:
    """How a column is binned: by its listed values and a rest, or, for numbers, by the upper ends of intervals."""

    listed: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    is_number: bool = False

    @property
    def names(self) -> list[str]:
        """The names of the bins; those of intervals are their places, the lowest first."""
        return [f"{place:02d}" for place in range(len(self.edges) + 1)] if self.is_number else [*self.listed, REST]


def input_profile(data: Canonical, settings: Company) -> pd.DataFrame:
    """What came in, counted so that the next run can compare itself with it.

    Parameters
    ----------
    data
        The canonical tables.
    settings
        Gives the as-of day and the last period, of which dated tables are profiled.

    Returns
    -------
    pandas.DataFrame
        Key ``table``, ``part``, ``column``, ``value``. Parts: *table* (one row: all rows), *filled* (a column's
        filled and empty rows), *values* (rows per category, or per interval from above ``low`` up to ``high``; NULL
        is unbounded), *months* (rows and ``amount`` per month of all time). ``rows``, ``squared`` and ``crossed``
        are Σ n_ib, Σ n_ib² and Σ n_ib·n_i over clients i, ``clients`` the clients behind them (of *filled* and
        *values*: behind all bins of the column). A few hundred rows for a company of twenty tables.
    """
    parts = [_table_profile(data, settings, table) for table in sorted(data.supplied) if table in TABLES]
    empty = pd.DataFrame({name: [] for name in (*KEY, *MEASURES)})
    made = pd.concat(parts, ignore_index=True) if parts else empty
    return made.astype(dict.fromkeys(KEY, object)).sort_values(list(KEY), ignore_index=True)


def rows_of(data: Canonical, table: str, after: dt.date | None = None, until: dt.date | None = None) -> str:
    """SQL of the rows of a table that happened after one day and up to another, with ``_by``, the client of each row.

    Tables that don't say when their rows happened are taken whole. A line has client and day of its deal; a row of
    a table without clients belongs to the first column of its key. Open deals are left out: their day is a plan.
    """
    path = literal(str(data.folder / f"{table}.parquet"))
    if table == "deal_lines":
        deals = literal(str(data.folder / "deals.parquet"))
        deal = "deals.client_id, deals.closed_on, deals.status"
        rows = f"SELECT lines.*, {deal} FROM read_parquet({path}) lines JOIN read_parquet({deals}) deals USING (deal_id)"
    else:
        rows = f"SELECT * FROM read_parquet({path})"
    kept = ["status IS DISTINCT FROM 'open'"] if table in {"deals", "deal_lines"} else []
    if is_dated(data, table):
        day = f"CAST({identifier(DATED[table])} AS DATE)"
        kept += [f"{day} > DATE '{after}'"] if after else []
        kept += [f"{day} <= DATE '{until}'"] if until else []
    by_client = table == "deal_lines" or data.has(table, "client_id")
    by = "client_id" if by_client else (TABLES[table].key or TABLES[table].required)[0]
    return f"SELECT *, {identifier(by)} AS _by FROM ({rows}) WHERE {' AND '.join(kept or ['true'])}"


def is_dated(data: Canonical, table: str) -> bool:
    """Whether the table says when its rows happened."""
    return table in DATED and data.has("deals" if table == "deal_lines" else table, DATED[table])


def compared_columns(data: Canonical, table: str) -> dict[str, str]:
    """The columns of a table that can be compared between runs, each with the type of its contract."""
    found = {name: column.type for name in sorted(data.supplied[table]) if (column := TABLES[table].column(name)) is not None}
    later = DAYS if table in DATED else frozenset()
    return {name: kind for name, kind in found.items() if kind not in later and f"{table}.{name}" not in KNOWN_LATER}


def count_rows(data: Canonical, table: str) -> int:
    """All rows of a canonical table."""
    path = literal(str(data.folder / f"{table}.parquet"))
    ((rows,),) = data.engine.sql.execute(f"SELECT count(*) FROM read_parquet({path})").fetchall()
    return int(rows)


def count_filled(data: Canonical, rows: str, columns: Sequence[str]) -> pd.DataFrame:
    """Filled and empty rows per column: ``column``, ``value`` and the counts."""
    bins = {name: f"CASE WHEN {identifier(name)} IS NULL THEN '{EMPTY}' ELSE '{FILLED}' END" for name in columns}
    return _counted(data, rows, bins, dict.fromkeys(columns, (EMPTY, FILLED)))


def count_values(data: Canonical, rows: str, bins: Mapping[str, Bins], kinds: Mapping[str, str]) -> pd.DataFrame:
    """Rows per bin and column, of the rows where the column is filled: ``column``, ``value`` and the counts."""
    named = {name: _bin_of(name, kinds[name], one) for name, one in bins.items()}
    return _counted(data, rows, named, {name: one.names for name, one in bins.items()})


def count_months(data: Canonical, table: str, until: dt.date) -> pd.DataFrame:
    """Rows, clients and amount of each month up to a day: ``value`` (such as ``2025-03``), ``rows``, ``clients``, ``amount``."""
    if not is_dated(data, table):
        return pd.DataFrame({name: [] for name in ("value", "rows", "clients", "amount")})
    amount = f"CAST(sum({AMOUNTS[table]}) AS DOUBLE)" if table in AMOUNTS else "CAST(NULL AS DOUBLE)"
    counted = f"strftime({identifier(DATED[table])}, '%Y-%m') AS value, count(*) AS rows, count(DISTINCT _by) AS clients"
    return _frame(data, f"SELECT {counted}, {amount} AS amount FROM ({rows_of(data, table, None, until)}) GROUP BY 1 ORDER BY 1")


def choose_bins(data: Canonical, table: str, rows: str) -> dict[str, Bins]:
    """How each column of a table is binned; columns that may not or can't be kept by value are left out."""
    kinds = {name: kind for name, kind in compared_columns(data, table).items() if _may_be_kept(table, name)}
    if not kinds:
        return {}
    spread = _spread(data, rows, kinds)
    categories = [name for name, kind in kinds.items() if kind in CATEGORIES and _is_category(*spread[name][:2])]
    listed = listed_values(data, rows, {name: kinds[name] for name in categories})
    bins = {name: Bins(listed=listed.get(name, ())) for name in categories}
    for name, kind in kinds.items():
        deciles, highest = spread[name][2:]
        if kind not in CATEGORIES and highest is not None:
            bins[name] = Bins(edges=tuple(sorted({float(edge) for edge in deciles if edge < highest})), is_number=True)
    return bins


def listed_values(data: Canonical, rows: str, kinds: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The commonest values of each category, of those that enough clients bear."""
    if not kinds:
        return {}
    each = [
        f"(SELECT {literal(name)} AS column_name, {_text(name, kind)} AS value, count(DISTINCT _by) AS bearers FROM kept "
        f"WHERE {identifier(name)} IS NOT NULL GROUP BY 2 HAVING bearers >= {MIN_BEARERS} ORDER BY 3 DESC, 2 LIMIT {MAX_LISTED})"
        for name, kind in kinds.items()
    ]
    found = _frame(data, f"WITH kept AS MATERIALIZED ({rows}) {' UNION ALL '.join(each)}")
    return {str(name): tuple(sorted(part["value"].astype(str))) for name, part in found.groupby("column_name")}


def _table_profile(data: Canonical, settings: Company, table: str) -> pd.DataFrame:
    rows = rows_of(data, table, current_period(settings).start - dt.timedelta(days=1), settings.as_of)
    kinds = compared_columns(data, table)
    filled = count_filled(data, rows, list(kinds))
    # What will be too few to tell in the next run too is not binned.
    bins = choose_bins(data, table, rows) if filled["clients"].max() >= MIN_EFFECTIVE_CLIENTS else {}
    parts = {
        "table": pd.DataFrame({"column": [""], "value": ["rows"], "rows": [count_rows(data, table)]}),
        "filled": filled,
        "values": _with_ends(count_values(data, rows, bins, kinds), bins),
        "months": count_months(data, table, settings.as_of).assign(column=DATED.get(table, "")),
    }
    made = [part.assign(table=table, part=name).reindex(columns=[*KEY, *MEASURES]) for name, part in parts.items() if len(part)]
    return pd.concat([part.astype(dict.fromkeys(MEASURES, float)) for part in made], ignore_index=True)


def _counted(data: Canonical, rows: str, bins: Mapping[str, str], names: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Rows per column and bin, given as SQL that is NULL where a row does not count, with the clustered sums.

    A bin without a row is there as well.
    """
    if not bins:
        return pd.DataFrame({name: [] for name in ("column", "value", *COUNTS)})
    cells = " UNION ALL ".join(
        f"SELECT {literal(name)} AS column_name, {one} AS value, _by, CAST(count(*) AS DOUBLE) AS n FROM kept GROUP BY ALL"
        for name, one in bins.items()
    )
    found = _frame(
        data,
        f"WITH kept AS MATERIALIZED ({rows}), cells AS ({cells}), "
        "whole AS (SELECT *, sum(n) OVER (PARTITION BY column_name, _by) AS n_by FROM cells WHERE value IS NOT NULL) "
        "SELECT column_name, value, sum(n) AS rows, sum(n * n) AS squared, sum(n * n_by) AS crossed, sum(n / n_by) AS weight "
        "FROM whole GROUP BY ALL",
    )
    # Every client weighs 1, spread over the bins it is in.
    clients = found.groupby("column_name")["weight"].sum().round()
    order = pd.MultiIndex.from_tuples([(name, value) for name in bins for value in names[name]], names=["column", "value"])
    counted = found.set_index(["column_name", "value"])[list(COUNTS[:3])].reindex(order).fillna(0.0).reset_index()
    return counted.assign(clients=counted["column"].map(clients).astype(float).fillna(0.0))


def _frame(data: Canonical, query: str) -> pd.DataFrame:
    return plain(data.engine.sql.execute(query).df())


def _may_be_kept(table: str, name: str) -> bool:
    column = TABLES[table].column(name)
    is_key = name.endswith("_id") or TABLES[table].key == (name,)
    return column is not None and column.personal is None and not is_key and name != "name"


def _is_category(filled: int, distinct: int) -> bool:
    """Whether values repeat: what is written anew in every third row is free text."""
    return 0 < distinct <= MAX_DISTINCT and filled >= _ROWS_PER_VALUE * distinct


def _spread(data: Canonical, rows: str, kinds: Mapping[str, str]) -> dict[str, tuple[int, int, list[float], float | None]]:
    """Per column: filled rows, distinct values, and of numbers the deciles and the highest."""
    terms = []
    for name, kind in kinds.items():
        number = "CAST(NULL AS DOUBLE)" if kind in CATEGORIES else _number(name, kind)
        column = identifier(name)
        terms += [f"count({column}), count(DISTINCT {column}), quantile_disc({number}, {_DECILES}), max({number})"]
    (found,) = data.engine.sql.execute(f"SELECT {', '.join(terms)} FROM ({rows})").fetchall()
    return {name: (found[4 * k], found[4 * k + 1], found[4 * k + 2] or [], found[4 * k + 3]) for k, name in enumerate(kinds)}


def _bin_of(column: str, kind: str, bins: Bins) -> str:
    """SQL of the name of the bin that a row falls into; NULL where the column is empty."""
    if bins.is_number:
        number, last = _number(column, kind), literal(bins.names[-1])
        steps = [f"WHEN {number} <= {edge!r} THEN {literal(name)}" for edge, name in zip(bins.edges, bins.names, strict=False)]
        return f"CASE WHEN {identifier(column)} IS NULL THEN NULL {' '.join(steps)} ELSE {last} END"
    text = _text(column, kind)
    listed = f"WHEN {text} IN ({', '.join(map(literal, bins.listed))}) THEN {text}" if bins.listed else ""
    return f"CASE WHEN {identifier(column)} IS NULL THEN NULL {listed} ELSE {literal(REST)} END"


def _text(column: str, kind: str) -> str:
    return f"CASE WHEN {identifier(column)} THEN 'yes' ELSE 'no' END" if kind == "boolean" else identifier(column)


def _number(column: str, kind: str) -> str:
    """SQL of a number, or of a day as whole days since 1970."""
    cell = identifier(column)
    number = f"date_diff('day', DATE '1970-01-01', CAST({cell} AS DATE))" if kind in DAYS else cell
    return f"CAST({number} AS DOUBLE)"


def _with_ends(counted: pd.DataFrame, bins: Mapping[str, Bins]) -> pd.DataFrame:
    nothing = float("nan")
    ends = {
        (name, value): (one.edges[place - 1] if place else nothing, one.edges[place] if place < len(one.edges) else nothing)
        for name, one in bins.items()
        if one.is_number
        for place, value in enumerate(one.names)
    }
    found = [ends.get(pair, (nothing, nothing)) for pair in zip(counted["column"], counted["value"], strict=True)]
    return counted.assign(low=[low for low, _ in found], high=[high for _, high in found])
