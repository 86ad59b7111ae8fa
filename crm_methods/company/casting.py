"""Text cells → typed values by the contract, as SQL: what can't be read becomes NULL and is noted."""

from __future__ import annotations

import datetime as dt

from crm_methods.company.contracts import Column
from crm_methods.company.settings import Formats
from crm_methods.company.sources import identifier, literal

SQL_TYPES = {
    "text": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "money": "DECIMAL(18,4)", "share": "DOUBLE",
    "date": "DATE", "timestamp": "TIMESTAMP", "boolean": "BOOLEAN",
}  # fmt: skip
_ISO_DATES = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S.%f")
_TIMES = ("", " %H:%M", " %H:%M:%S")
_YES = ("true", "t", "yes", "y", "1", "да", "ja", "oui")
_NO = ("false", "f", "no", "n", "0", "нет", "nein", "non")
_SPACES = ("\u00a0", "\u202f", "\u2009", " ")
EARLIEST = dt.date(1950, 1, 1)
YEARS_AHEAD = 30


def merged(own: Formats, company: Formats, *, typed: bool) -> Formats:
    """A table's formats where it has any, else the company's; a typed container writes ISO and a decimal point."""
    if typed:
        return own
    return Formats(**{**company.model_dump(exclude_none=True), **own.model_dump(exclude_none=True)})


def cast_sql(column: Column, source: str, formats: Formats, values: dict[str, str]) -> str:
    """SQL of the typed value of one cell; NULL where it is empty or can't be read."""
    text = f"nullif(trim({identifier(source)}), '')"
    if values:
        whens = " ".join(f"WHEN {literal(theirs)} THEN {literal(ours)}" for theirs, ours in values.items())
        text = f"CASE {text} {whens} ELSE {text} END"
    match column.type:
        case "text":
            return f"lower({text})" if column.values else text
        case "date" | "timestamp":
            return f"try_strptime({text}, {_patterns(column, formats)})::{SQL_TYPES[column.type]}"
        case "boolean":
            yes, no = (", ".join(map(literal, words)) for words in (_YES, _NO))
            return f"CASE WHEN lower({text}) IN ({yes}) THEN true WHEN lower({text}) IN ({no}) THEN false END"
        case "share":
            plain = _plain_number(text, formats)
            return f"CASE WHEN {text} LIKE '%\\%' ESCAPE '\\' THEN TRY_CAST(rtrim({plain}, '%') AS DOUBLE) / 100 ELSE TRY_CAST({plain} AS DOUBLE) END"
        case "integer":
            number = f"TRY_CAST({_plain_number(text, formats)} AS DOUBLE)"
            return f"CASE WHEN {number} = floor({number}) THEN TRY_CAST({number} AS BIGINT) END"
        case _:
            return f"TRY_CAST({_plain_number(text, formats)} AS {SQL_TYPES[column.type]})"


def fault_sql(column: Column, source: str, typed: str, as_of: dt.date) -> str:
    """SQL that is true where a cell is filled and its typed value is missing or out of its range."""
    filled = f"nullif(trim({identifier(source)}), '') IS NOT NULL"
    wrong = [f"{typed} IS NULL"]
    if column.type in {"date", "timestamp"}:
        latest = as_of.replace(year=as_of.year + YEARS_AHEAD, day=min(as_of.day, 28))
        wrong.append(f"{typed} NOT BETWEEN DATE '{EARLIEST}' AND DATE '{latest}'")
    if column.type == "number":
        wrong.append(f"NOT isfinite({typed})")
    if column.values:
        wrong.append(f"{typed} NOT IN ({', '.join(map(literal, column.values))})")
    if column.minimum is not None:
        wrong.append(f"{typed} < {column.minimum}")
    if column.maximum is not None:
        wrong.append(f"{typed} > {column.maximum}")
    return f"({filled} AND coalesce({' OR '.join(wrong)}, true))"


def expected(column: Column, formats: Formats) -> str:
    """What a cell of this column must look like, in words."""
    match column.type:
        case "date" | "timestamp":
            return f"a {column.type} as {_declared(column, formats) or '%Y-%m-%d'} between {EARLIEST.year} and {YEARS_AHEAD} years ahead"
        case "boolean":
            return "yes or no"
        case "text":
            return f"one of {', '.join(column.values)}" if column.values else "text"
    words = f"a{'n' if column.type == 'integer' else ''} {'amount' if column.type == 'money' else column.type}"
    mark = f' with "{formats.decimal}" as decimal mark' if formats.decimal and column.type != "integer" else ""
    limits = [f"at {side} {bound:g}" for side, bound in (("least", column.minimum), ("most", column.maximum)) if bound is not None]
    return words + mark + (f", {' and '.join(limits)}" if limits else "")


def _declared(column: Column, formats: Formats) -> str | None:
    return (formats.timestamp or formats.date) if column.type == "timestamp" else formats.date


def _patterns(column: Column, formats: Formats) -> str:
    declared = [d for d in (_declared(column, formats), formats.date) if d]
    # Without a declared format dates are ISO; with one, ISO is not tried, since 03-04-05 would fit both.
    patterns = [f"{d}{time}" for d in dict.fromkeys(declared) for time in _TIMES] if declared else list(_ISO_DATES)
    return "[" + ", ".join(map(literal, patterns)) + "]"


def _plain_number(text: str, formats: Formats) -> str:
    sql = text
    marks = _SPACES if formats.thousands in {" ", "\u00a0", "\u202f"} else (formats.thousands,) if formats.thousands else ()
    for mark in marks:
        sql = f"replace({sql}, {literal(mark)}, '')"
    if formats.decimal == ",":
        # A point that is not the thousands mark is a fault, not a decimal mark.
        sql = f"replace(replace({sql}, '.', '?'), ',', '.')"
    return sql
