"""What a schema can't see under ``tables`` in company.yml: names of columns, files that are there, what goes together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crm_methods.company.contracts import TABLES, ColumnType, Table
from crm_methods.errors import Faults, did_you_mean

UNITS_OF: Mapping[ColumnType, tuple[str, ...]] = {
    "number": ("thousands", "millions"), "integer": ("thousands", "millions"), "money": ("thousands", "millions"),
    "share": ("percent",),
}  # fmt: skip
"""The units that a source may have for each type of column; times in minutes may be ``UNITS_OF_TIME``."""
UNITS_OF_TIME = ("seconds", "hours", "days")
_RESHAPED, _WITH_CASES = "deals", "process_events"
_SQLITE = re.compile(r"\.(sqlite3?|db3?)$", re.IGNORECASE)
_PASSWORD = re.compile(r"://[^/@:]*:[^/@]+@|[?&;](password|passwd|pwd|secret|token|odbc_connect)=", re.IGNORECASE)
_READS = re.compile(r"\s*(SELECT|WITH)\b", re.IGNORECASE)
_ENOUGH = ("deals", "interactions", "process_events")


def check_tables(tables: Any, folder: Path, faults: Faults) -> None:
    """Note every fault in the entries under ``tables``.

    Parameters
    ----------
    tables
        The block as the YAML file has it, not yet checked by the schema.
    folder
        The company's folder.
    faults
        Takes the faults; their place is the key, such as ``tables.deals.file``.
    """
    if not isinstance(tables, dict):
        return
    for name, source in tables.items():
        where = f"tables.{name}"
        if name not in TABLES:
            faults.add(where, "an unknown table", f"one of {', '.join(TABLES)}", did_you_mean(str(name), TABLES))
        elif isinstance(source, dict):
            _check_place(where, source, folder, faults)
            _check_shape(where, str(name), source, faults)
            _check_columns(where, TABLES[name], source, faults)
            _check_lookups(where, source, folder, faults)
    if not set(_ENOUGH) & set(tables):
        found = ", ".join(map(str, tables)) or "no table"
        faults.add("tables", found, "at least one of deals and interactions (or process_events)")


def _check_place(where: str, source: Mapping[str, Any], folder: Path, faults: Faults) -> None:
    """A source is one file, one file of a package, or one table or query of a database."""
    given = [kind for kind in ("file", "package", "database") if source.get(kind) is not None]
    if len(given) != 1:
        both = f"both {' and '.join(f'`{kind}`' for kind in given)}"
        found = both if given else "neither `file` nor `package` nor `database`"
        faults.add(where, found, "exactly one of them")
    file = source.get("file")
    if isinstance(file, str) and "file" in given:
        _check_file(f"{where}.file", file, folder, faults)
    database = source.get("database")
    if isinstance(database, str) and _PASSWORD.search(database):
        faults.add(
            f"{where}.database", "a password in the address", "an address without it",
            "Put the password into an environment variable and write `password_env: ITS_NAME`.",
        )  # fmt: skip
    query = source.get("query")
    if isinstance(query, str) and not _READS.match(query):
        faults.add(f"{where}.query", f'"{query[:40]}"', "a query that only reads: SELECT … or WITH …")
    asked = [kind for kind in ("table", "query") if source.get(kind) is not None]
    if database is not None or (isinstance(file, str) and _SQLITE.search(file)):
        if len(asked) != 1:
            faults.add(where, " and ".join(f"`{kind}`" for kind in asked) or "neither `table` nor `query`", "exactly one of them")
    elif asked:
        faults.add(
            f"{where}.{asked[0]}", f"`{asked[0]}` of a source that is no database", "it with `database` or a SQLite file only"
        )


def _check_shape(where: str, name: str, source: Mapping[str, Any], faults: Faults) -> None:
    if source.get("reshape") is not None and name != _RESHAPED:
        faults.add(f"{where}.reshape", "a wide table", "it for deals only")
    if source.get("cases") is not None and name != _WITH_CASES:
        faults.add(f"{where}.cases", "it under another table", f"it for {_WITH_CASES} only")


def _check_columns(where: str, table: Table, source: Mapping[str, Any], faults: Faults) -> None:
    """Note columns that the contract does not know, and translations into words or units that it does not know."""
    lines = TABLES["deal_lines"] if source.get("reshape") is not None else None
    for block in ("columns", "values", "units", "constants", "lookup"):
        declared = source.get(block)
        for name in declared if isinstance(declared, dict) else ():
            column = table.column(name) or (lines.column(name) if lines else None)
            if column is None or "*" in name:
                faults.add(
                    f"{where}.{block}.{name}", "an unknown column", f"a column of {table.name}", did_you_mean(name, table.names)
                )
            elif block == "values" and column.values and isinstance(words := source["values"][name], dict):
                for theirs, ours in words.items():
                    if isinstance(ours, str) and ours and ours.lower() not in column.values:
                        remedy = did_you_mean(ours, column.values)
                        faults.add(f"{where}.values.{name}.{theirs}", f'"{ours}"', f"one of {', '.join(column.values)}", remedy)
            elif block == "units":
                allowed = UNITS_OF_TIME if name.endswith("_minutes") else UNITS_OF.get(column.type, ())
                if isinstance(unit := source["units"][name], str) and unit not in allowed:
                    faults.add(
                        f"{where}.units.{name}", f'"{unit}"', f"one of {', '.join(allowed)}" if allowed else "no unit here"
                    )


def _check_lookups(where: str, source: Mapping[str, Any], folder: Path, faults: Faults) -> None:
    declared = source.get("lookup")
    for name, lookup in declared.items() if isinstance(declared, dict) else ():
        if isinstance(lookup, dict) and isinstance(lookup.get("file"), str):
            _check_file(f"{where}.lookup.{name}.file", lookup["file"], folder, faults)


def _check_file(where: str, file: str, folder: Path, faults: Faults) -> None:
    try:
        path = (folder / file).resolve()
        inside, there = path.is_relative_to(folder.resolve()), path.is_file()
    except (OSError, ValueError, RuntimeError):  # a name that no file has: too long, a NUL in it, links in a circle
        inside, there = True, False
    if not inside:
        faults.add(where, f'the path "{file}"', "a path inside the company's folder", "Copy the file beside company.yml.")
    elif not there:
        beside = [p.name for p in folder.iterdir() if p.is_file()]
        faults.add(where, f'no file "{file}"', "a file beside company.yml", did_you_mean(file, beside))
