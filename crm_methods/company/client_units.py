"""What counts as one client: decisions that two are the same, and groups made one unit where company.yml asks for it.

Works on the canonical tables of DuckDB before they are written. Whatever is joined, its rows become those of the unit, what the
unit's own row leaves open is filled in from the rows that join it, and ``client_members`` says what became of every client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import duckdb
import pandas as pd
import pyarrow as pa

from crm_methods.company.canonical_sql import columns_of
from crm_methods.company.contracts import TABLES
from crm_methods.company.settings import Company
from crm_methods.company.sql_text import identifier, literal
from crm_methods.errors import Faults, IntakeError

MEMBERS_FILE = "client_members.parquet"
"""One row per client of the source: ``client_id``, ``unit_id``, ``how`` (itself, merged or group) and ``name``."""

How = Literal["merged", "group"]
_NAMES_A_CLIENT = ("client_id", "parent_id", "referred_by")
_SUMMED = ("employees", "turnover")
# A subsidiary's name, tax number and owner are not the group's.
_OWN: Mapping[How, tuple[str, ...]] = {"merged": (), "group": ("name", "tax_id", "parent_id", "referred_by")}


def read_decisions(sql: duckdb.DuckDBPyConnection) -> Mapping[str, str]:
    """The decisions that two clients are one: client → the client it is merged into.

    Without a column ``decision`` every row of ``merges`` says so; with one, only the rows ``same``.

    Raises
    ------
    IntakeError
        A client is merged into several, or two clients are decided to be both the same and different.
    """
    columns = columns_of(sql, "merges")
    if not columns:
        return {}
    decision = "decision" if "decision" in columns else "'same'"
    rows = sql.execute(f'SELECT DISTINCT client_id, "into", {decision} FROM canon_merges ORDER BY ALL').fetchall()
    same: dict[str, list[str]] = {}
    for client, into, decided in rows:
        if decided == "same":
            same.setdefault(client, []).append(into)
    faults = Faults()
    for client, intos in same.items():
        if len(intos) > 1:
            faults.add("merges", f"{client} merged into {' and '.join(intos)}", "one client that each is merged into")
    decisions = {client: intos[0] for client, intos in same.items()}
    ends = {} if faults.items else _ends(decisions, "merges", "decisions that end at one client", faults)
    for client, into, decided in rows:
        if decided == "different" and ends.get(client, client) == ends.get(into, into):
            faults.add("merges", f"{client} and {into} both the same and different", "one decision", "Delete the wrong row.")
    faults.raise_if_any(IntakeError, "The decisions in merges contradict each other:")
    return decisions


def join_clients(sql: duckdb.DuckDBPyConnection, company: Company, decisions: Mapping[str, str]) -> None:
    """Carry out the decisions and, with ``unit: group``, make each group one client: the end of the chain of its owners.

    Leaves the table ``client_members``, see ``write_members``.

    Raises
    ------
    IntakeError
        With ``unit: group``, clients own each other in a circle; all circles together.
    """
    _start_members(sql)
    _join(sql, _ends(decisions, "merges", "decisions that end at one client", Faults()), "merged")
    if decisions:
        # Without the column every row says so; written down, whoever reads the table need not know that.
        sql.execute("UPDATE canon_merges SET decision = 'same' WHERE (SELECT count(decision) FROM canon_merges) = 0")
    if company.unit == "group":
        clients = sql.execute("SELECT client_id, name, parent_id FROM canon_clients").df()
        faults = Faults()
        ends = _ends(owners(clients), "clients.parent_id", "owners that end at a client that nobody owns", faults)
        faults.raise_if_any(IntakeError, "Clients can't be taken as groups (`unit: group`):")
        _join(sql, ends, "group")


def joined_rows(sql: duckdb.DuckDBPyConnection) -> Mapping[str, int]:
    """Per canonical table, how many accepted rows are none of their own any more; to be asked between completing and writing."""
    ((clients,),) = sql.execute("SELECT count(*) FROM client_members WHERE listed AND how <> 'itself'").fetchall()
    folded = sql.execute("SELECT name, sum(rows)::BIGINT FROM client_rows_folded GROUP BY name").fetchall()
    return {"clients": int(clients), **{str(name): int(rows) for name, rows in folded}}


def write_members(sql: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Write what became of every client of the source as ``MEMBERS_FILE``."""
    target = literal(str(folder / MEMBERS_FILE))
    listed = "SELECT client_id, unit_id, how, name FROM client_members ORDER BY client_id"
    sql.execute(f"COPY ({listed}) TO {target} (FORMAT parquet)")
    sql.execute("DROP TABLE client_members")
    sql.execute("DROP TABLE client_rows_folded")


def owners(clients: pd.DataFrame) -> dict[str, str]:
    """Client → the client that owns it.

    ``parent_id`` is an identifier, or else the name that one client only has; what is neither is an owner that is no
    client of its own, in one spelling. A client that owns itself has no owner.

    Parameters
    ----------
    clients
        One row per client: ``client_id``, ``name``, ``parent_id``.
    """
    owned = clients.dropna(subset=["parent_id"]).sort_values(["parent_id", "client_id"])
    ids = set(clients["client_id"])
    named: dict[str, list[str]] = {}
    for client, name in zip(clients["client_id"], clients["name"], strict=True):
        if isinstance(name, str):
            named.setdefault(_folded(name), []).append(client)
    spelt: dict[str, str] = {}
    found = {}
    for client, given in zip(owned["client_id"], owned["parent_id"], strict=True):
        key = _folded(given)
        if not key:
            continue
        only = named[key][0] if len(named.get(key, ())) == 1 else spelt.setdefault(key, given.strip())
        owner = given if given in ids else only
        if owner != client:
            found[client] = owner
    return found


def ends_and_circles(leads_to: Mapping[str, str]) -> tuple[dict[str, str], list[list[str]]]:
    """Where each chain ends, and the circles, whose members have no end; each circle once, from its first member on."""
    ends: dict[str, str] = {}
    circles: dict[str, list[str]] = {}
    for start in leads_to:
        path: dict[str, None] = {}
        at = start
        while at in leads_to and at not in path and at not in ends:
            path[at] = None
            at = leads_to[at]
        if at in path or at in circles:
            circle = circles[at] if at in circles else list(path)[list(path).index(at) :]
            circles |= dict.fromkeys([*circle, *path], circle)
        else:
            ends |= dict.fromkeys(path, ends.get(at, at))
    once = {
        frozenset(circle): circle[circle.index(min(circle)) :] + circle[: circle.index(min(circle))]
        for circle in circles.values()
    }
    return ends, sorted(once.values())


def _ends(leads_to: Mapping[str, str], where: str, expected: str, faults: Faults) -> dict[str, str]:
    ends, circles = ends_and_circles(leads_to)
    for circle in circles:
        faults.add(where, " → ".join([*circle, circle[0]]), expected)
    return ends


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def _start_members(sql: duckdb.DuckDBPyConnection) -> None:
    """Every client of the source as a unit of its own, whether it has a row in ``clients`` or not."""
    holders = [t.name for t in TABLES.values() if t.column("client_id") is not None and t.name not in {"clients", "merges"}]
    named = " UNION ".join(f"SELECT client_id FROM canon_{name}" for name in holders)
    sql.execute(
        "CREATE OR REPLACE TEMP TABLE client_members AS SELECT client_id, client_id AS unit_id, 'itself' AS how, name, listed "
        "FROM (SELECT client_id, name, true AS listed FROM canon_clients UNION ALL SELECT client_id, NULL, false "
        f"FROM ({named}) WHERE client_id NOT IN (SELECT client_id FROM canon_clients))"
    )
    sql.execute("CREATE OR REPLACE TEMP TABLE client_rows_folded (name VARCHAR, rows BIGINT)")


def _join(sql: duckdb.DuckDBPyConnection, ends: Mapping[str, str], how: How) -> None:
    """Make each client in ``ends`` part of the unit it leads to."""
    pairs = pa.table({"client_id": pa.array(list(ends), pa.string()), "into_id": pa.array(list(ends.values()), pa.string())})
    sql.register("client_ends", pairs)
    known = "SELECT unit_id FROM client_members"
    sql.execute(f"CREATE OR REPLACE TEMP TABLE joined AS SELECT * FROM client_ends WHERE client_id IN ({known})")
    sql.unregister("client_ends")
    ((count,),) = sql.execute("SELECT count(*) FROM joined").fetchall()
    if count:
        _complete_units(sql, how)
        _rename_clients(sql)
        _fold_programmes(sql)
        _fold_assignments(sql)
        sql.execute(
            f"UPDATE client_members SET unit_id = into_id, how = CASE WHEN how = 'itself' THEN '{how}' ELSE how END "
            "FROM joined WHERE unit_id = joined.client_id"
        )
    sql.execute("DROP TABLE joined")


def _complete_units(sql: duckdb.DuckDBPyConnection, how: How) -> None:
    """Give every unit a row, and what it leaves open the value of the joined client with most won revenue that has one."""
    name = "into_id" if how == "group" else "NULL"
    sql.execute(
        f"INSERT INTO canon_clients (client_id, name) SELECT DISTINCT into_id, {name} FROM joined "
        "WHERE into_id NOT IN (SELECT client_id FROM canon_clients)"
    )
    summed = _SUMMED if how == "group" else ()
    columns = [c for c in columns_of(sql, "clients") if c not in {"record", "client_id", *_OWN[how]}]
    most = "ORDER BY coalesce(won, 0) DESC, c.client_id"
    first = f"first({{0}} {most}) FILTER (WHERE {{0}} IS NOT NULL) AS {{0}}"
    taken = [("sum({0}) AS {0}" if c in summed else first).format(identifier(c)) for c in columns]
    filled = ", ".join(f"{c} = coalesce(canon_clients.{c}, taken.{c})" for c in map(identifier, columns))
    sql.execute(
        f"UPDATE canon_clients SET {filled} FROM (SELECT into_id, {', '.join(taken)} FROM canon_clients c "
        "JOIN joined USING (client_id) LEFT JOIN (SELECT client_id, sum(amount) AS won FROM canon_deals "
        "WHERE coalesce(status, 'won') = 'won' GROUP BY client_id) w USING (client_id) GROUP BY into_id) taken "
        "WHERE canon_clients.client_id = taken.into_id"
    )


def _rename_clients(sql: duckdb.DuckDBPyConnection) -> None:
    """Let every row of a joined client name the unit, and drop its row of ``clients``; nobody owns or refers itself."""
    sql.execute("DELETE FROM canon_clients WHERE client_id IN (SELECT client_id FROM joined)")
    for table in TABLES.values():
        for column in _NAMES_A_CLIENT:
            if table.column(column) is not None and table.name != "merges" and (table.name, column) != ("clients", "client_id"):
                name = f"canon_{table.name}"
                sql.execute(f"UPDATE {name} SET {column} = into_id FROM joined WHERE {name}.{column} = joined.client_id")
    for column in ("parent_id", "referred_by"):
        units = "client_id IN (SELECT into_id FROM joined)"
        sql.execute(f"UPDATE canon_clients SET {column} = NULL WHERE {column} = client_id AND {units}")


def _fold_programmes(sql: duckdb.DuckDBPyConnection) -> None:
    """A unit whose clients were in one programme is in it once: from the first that joined to the last that left."""
    first = "ORDER BY joined_on NULLS LAST, record"
    _fold(
        sql, "programme_members", ("client_id", "programme_id"),
        {
            "record": "min(record)", "invited_on": "min(invited_on)", "joined_on": "min(joined_on)",
            "left_on": "CASE WHEN bool_or(joined_on IS NOT NULL AND left_on IS NULL) THEN NULL ELSE max(left_on) END",
            "tier": f"first(tier {first}) FILTER (WHERE tier IS NOT NULL)",
        },
    )  # fmt: skip


def _fold_assignments(sql: duckdb.DuckDBPyConnection) -> None:
    """A unit is in one arm of an action; where its clients were drawn into several, it is in none."""
    kept = {"record": "min(record)", "arm": "first(arm ORDER BY record)", "assigned_on": "min(assigned_on)"}
    _fold(sql, "assignments", ("campaign_id", "client_id"), kept, having="count(DISTINCT lower(arm)) = 1")


def _fold(sql: duckdb.DuckDBPyConnection, name: str, key: Sequence[str], kept: Mapping[str, str], having: str = "true") -> None:
    """Make one row of the rows of joined clients with one key, and note how many rows there are fewer."""
    units, keys = "client_id IN (SELECT into_id FROM joined)", ", ".join(key)
    columns = ", ".join([*key, *kept])
    ((before,),) = sql.execute(f"SELECT count(*) FROM canon_{name}").fetchall()
    sql.execute(
        f"CREATE OR REPLACE TEMP TABLE folded AS SELECT {keys}, {', '.join(f'{what} AS {c}' for c, what in kept.items())} "
        f"FROM canon_{name} WHERE {units} GROUP BY {keys} HAVING {having}"
    )
    sql.execute(f"DELETE FROM canon_{name} WHERE {units}")
    sql.execute(f"INSERT INTO canon_{name} ({columns}) SELECT {columns} FROM folded")
    sql.execute("DROP TABLE folded")
    ((after,),) = sql.execute(f"SELECT count(*) FROM canon_{name}").fetchall()
    sql.execute("INSERT INTO client_rows_folded VALUES (?, ?)", [name, before - after])
