"""Text cells → typed values by the contract, as SQL: what can't be read becomes NULL and is noted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from crm_methods.company.contracts import Column
from crm_methods.company.settings import Formats
from crm_methods.company.sources import identifier, literal

SQL_TYPES = {
    "text": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "money": "DECIMAL(18,4)", "share": "DOUBLE",
    "date": "DATE", "timestamp": "TIMESTAMP", "boolean": "BOOLEAN",
}  # fmt: skip
_ISO_DATES = tuple(
    f"%Y-%m-%d{time}"
    for time in ("", " %H:%M:%S", "T%H:%M:%S", " %H:%M", "T%H:%M", "T%H:%M:%SZ", " %H:%M:%S.%f", "T%H:%M:%S.%f", "T%H:%M:%S.%fZ")
)
_TIMES = ("", " %H:%M", " %H:%M:%S")
_YES = ("true", "t", "yes", "y", "1", "да", "ja", "oui")
_NO = ("false", "f", "no", "n", "0", "нет", "nein", "non")
_SPACES = ("\u00a0", "\u202f", "\u2009", " ")
_BLANKS = " \t\r\n\u00a0\u202f\u2009\ufeff"
EARLIEST = dt.date(1950, 1, 1)
YEARS_AHEAD = 30


def merged(own: Formats, company: Formats) -> Formats:
    """A table's formats where it has any, else the company's; a decimal mark comes with its own thousands mark."""
    marks = {"thousands": own.thousands} if own.decimal is not None else {}
    return company.model_copy(update={**own.model_dump(exclude_none=True), **marks})


def cast_sql(
    column: Column,
    source: str,
    formats: Formats,
    values: Mapping[str, str],
    *,
    typed: bool = False,
    day_zero: dt.date | None = None,
) -> str:
    """SQL of the typed value of one cell; NULL where it is empty or can't be read.

    Parameters
    ----------
    column, source
        The canonical column, and the name of the text column that holds it.
    formats, values
        How the source writes dates and numbers, and its words for the canonical ones.
    typed
        Whether the container wrote its own dates in ISO form, beside texts in the declared format.
    day_zero
        The day from which the container counts dates written as numbers.
    """
    text = _filled(source)
    if values:
        whens = " ".join(f"WHEN {literal(theirs.strip(_BLANKS))} THEN {literal(ours)}" for theirs, ours in values.items())
        text = f"CASE {text} {whens} ELSE {text} END"
    match column.type:
        case "text":
            return f"lower({text})" if column.values else text
        case "date" | "timestamp":
            return f"{_moment(text, _patterns(column, formats, typed), day_zero)}::{SQL_TYPES[column.type]}"
        case "boolean":
            yes, no = (", ".join(map(literal, words)) for words in (_YES, _NO))
            return f"CASE WHEN lower({text}) IN ({yes}) THEN true WHEN lower({text}) IN ({no}) THEN false END"
        case "share":
            rated = _plain_number(f"rtrim(rtrim({text}, '%'))", formats)
            divisor = f"(CASE WHEN {text} LIKE '%\\%' ESCAPE '\\' THEN 100 ELSE 1 END)"
            return f"TRY_CAST({rated} AS DOUBLE) / {divisor}"
        case "integer":
            number = f"TRY_CAST({_plain_number(text, formats)} AS DOUBLE)"
            return f"CASE WHEN {number} = floor({number}) THEN TRY_CAST({number} AS BIGINT) END"
        case _:
            return f"TRY_CAST({_plain_number(text, formats)} AS {SQL_TYPES[column.type]})"


def fault_sql(column: Column, source: str, typed: str, as_of: dt.date) -> str:
    """SQL that is true where a cell is filled and its typed value is missing or out of its range."""
    filled = f"{_filled(source)} IS NOT NULL"
    wrong = [f"{typed} IS NULL"]
    if column.type == "text":
        wrong.append(f"contains({typed}, chr(0))")
    if column.type in {"date", "timestamp"}:
        latest = as_of.replace(year=as_of.year + YEARS_AHEAD, day=min(as_of.day, 28))
        wrong.append(f"{typed} NOT BETWEEN DATE '{EARLIEST}' AND DATE '{latest}'")
    if column.type in {"number", "share"}:
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
            pattern = _declared(column, formats) or "%Y-%m-%d"
            return f"a {column.type} as {pattern} between {EARLIEST.year} and {YEARS_AHEAD} years ahead"
        case "boolean":
            return "yes or no"
        case "text":
            return f"one of {', '.join(column.values)}" if column.values else "text without NUL bytes"
    words = {"money": "an amount", "integer": "an integer"}.get(column.type, f"a {column.type}")
    mark = f' with "{formats.decimal}" as decimal mark' if formats.decimal and column.type != "integer" else ""
    limits = [
        f"at {side} {bound:g}" for side, bound in (("least", column.minimum), ("most", column.maximum)) if bound is not None
    ]
    return words + mark + (f", {' and '.join(limits)}" if limits else "")


def _declared(column: Column, formats: Formats) -> str | None:
    return (formats.timestamp or formats.date) if column.type == "timestamp" else formats.date


def _filled(source: str) -> str:
    return f"nullif(trim({identifier(source)}, {literal(_BLANKS)}), '')"


def _patterns(column: Column, formats: Formats, typed: bool) -> list[str]:
    declared = list(dict.fromkeys(d for d in (_declared(column, formats), formats.date) if d))
    # Without a declared format dates are ISO; with one, ISO is not tried, since 03-04-05 would fit both.
    patterns = [d if "%H" in d or "%I" in d else f"{d}{time}" for d in declared for time in _TIMES]
    return list(dict.fromkeys([*patterns, *(_ISO_DATES if typed or not declared else ())]))


def _moment(text: str, patterns: list[str], day_zero: dt.date | None) -> str:
    parsed = f"try_strptime({text}, [{', '.join(map(literal, patterns))}])"
    if day_zero is None:
        return parsed
    days = f"TRY_CAST(replace({text}, ',', '.') AS DOUBLE)"
    return (
        f"CASE WHEN regexp_full_match({text}, '[1-9][0-9]{{4}}([.,][0-9]+)?') "
        f"THEN TIMESTAMP '{day_zero}' + to_microseconds((round({days} * 86400) * 1000000)::BIGINT) ELSE {parsed} END"
    )


def _plain_number(text: str, formats: Formats) -> str:
    """SQL of a number as DuckDB reads it; what is not written as declared becomes something it can't read."""
    # DuckDB takes 1_000 for a number; no export writes so.
    sql = f"replace({text}, '_', '?')"
    point = formats.decimal or "."
    marks = _SPACES if formats.thousands in _SPACES else (formats.thousands,) if formats.thousands else ()
    if marks:
        one = marks[0]
        for mark in marks[1:]:
            sql = f"replace({sql}, {literal(mark)}, {literal(one)})"
        # 12,50 is not 1250: marks must stand between groups of digits.
        grouped = f"[+-]?[0-9]{{1,3}}({_regex(one)}[0-9]{{2,3}})*{_regex(one)}[0-9]{{3}}({_regex(point)}[0-9]*)?"
        sql = (
            f"CASE WHEN NOT contains({sql}, {literal(one)}) THEN {sql} "
            f"WHEN regexp_full_match({sql}, {literal(grouped)}) THEN replace({sql}, {literal(one)}, '') END"
        )
    if point == ",":
        # A point that is not the thousands mark is a fault, not a decimal mark.
        sql = f"replace(replace({sql}, '.', '?'), ',', '.')"
    return sql


def _regex(mark: str) -> str:
    return f"[{mark}]" if mark not in "^]\\" else f"\\{mark}"
