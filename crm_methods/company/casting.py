"""Text cells → typed values by the contract, as SQL: what can't be read becomes NULL and is noted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from crm_methods.company.contracts import Column
from crm_methods.company.settings import Formats, Unit
from crm_methods.company.sql_text import identifier, literal

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
SPREADSHEET_ERRORS = ("#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!")
"""What a spreadsheet writes where a formula failed."""
NO_DATE = dt.date(1970, 1, 1)
"""What programs that count seconds from this day write where there is no date."""


def merged(own: Formats, company: Formats) -> Formats:
    """A table's formats where it has any, else the company's; a decimal mark comes with its own thousands mark."""
    marks = {"thousands": own.thousands} if own.decimal is not None else {}
    return company.model_copy(update={**own.model_dump(exclude_none=True), **marks})


def filled_sql(source: str) -> str:
    """SQL of a text column without blanks around it; NULL where nothing else is in it."""
    cell = identifier(source)
    # Trimming by a set of characters is slow, and nearly every cell has nothing to trim.
    return f"CASE WHEN regexp_full_match({cell}, '[!-~]([ -~]*[!-~])?') THEN {cell} ELSE {_trimmed(cell)} END"


def cast_sql(
    column: Column,
    cell: str,
    formats: Formats,
    values: Mapping[str, str],
    *,
    typed: bool = False,
    day_zero: dt.date | None = None,
    unit: Unit | None = None,
    signs: Sequence[str] = (),
) -> str:
    """SQL of the typed value of one cell; NULL where it is empty or can't be read.

    Parameters
    ----------
    column, cell
        The canonical column, and the column of trimmed text (``filled_sql``) that holds it.
    formats, values
        How the source writes dates and numbers, and its words for the canonical ones, whatever their case; ``*`` stands for
        every word that is not named.
    typed
        Whether the container wrote its own dates in ISO form, beside texts in the declared format.
    day_zero
        The day from which the container counts dates written as numbers.
    unit
        The unit of the source's number where it is not the column's own.
    signs
        Signs and codes of currencies that may stand beside an amount.
    """
    text = identifier(cell)
    if values:
        words = {theirs.strip(_BLANKS).lower(): ours for theirs, ours in values.items() if theirs != "*"}
        whens = " ".join(f"WHEN {literal(theirs)} THEN {literal(ours)}" for theirs, ours in words.items())
        other = f"CASE WHEN {text} IS NOT NULL THEN {literal(values['*'])} END" if "*" in values else text
        text = f"CASE lower({text}) {whens} ELSE {other} END" if whens else other
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
            whole = "true" if unit == "percent" else f"{text} LIKE '%\\%' ESCAPE '\\'"
            return f"TRY_CAST({rated} AS DOUBLE) / (CASE WHEN {whole} THEN 100 ELSE 1 END)"
        case "integer":
            number = f"{_factor(unit)}TRY_CAST({_plain_number(text, formats)} AS DOUBLE)"
            return f"CASE WHEN {number} = floor({number}) THEN TRY_CAST({number} AS BIGINT) END"
        case _:
            number = f"TRY_CAST({_plain_number(text, formats, signs)} AS {SQL_TYPES[column.type]})"
            return number if unit is None else f"TRY_CAST({_factor(unit)}{number} AS {SQL_TYPES[column.type]})"


def _factor(unit: Unit | None) -> str:
    return "" if unit is None else f"{_FACTORS[unit]} * "


_FACTORS: Mapping[Unit, str] = {
    "seconds": "(1.0 / 60)", "hours": "60", "days": "1440", "percent": "0.01", "thousands": "1000", "millions": "1000000",
}  # fmt: skip
"""By what a number of the source is multiplied: times become minutes, amounts single units."""


def signs_of(currency: str | None) -> tuple[str, ...]:
    """The code and the signs by which a currency is written beside an amount; those of every known currency for None."""
    if currency is None:
        return tuple(dict.fromkeys([*_SIGNS, *(sign for signs in _SIGNS.values() for sign in signs)]))
    return (currency, *_SIGNS.get(currency, ()))


_SIGNS: Mapping[str, tuple[str, ...]] = {
    "EUR": ("€",), "USD": ("US$", "$"), "GBP": ("£",), "RUB": ("₽", "руб.", "руб", "р."), "JPY": ("¥", "円"), "CNY": ("¥", "元"),
    "CHF": ("Fr.", "SFr."), "CAD": ("CA$", "$"), "AUD": ("A$", "$"), "INR": ("₹",), "BRL": ("R$",), "PLN": ("zł",),
    "CZK": ("Kč",), "SEK": ("kr",), "NOK": ("kr",), "DKK": ("kr.", "kr"), "UAH": ("₴",), "KZT": ("₸",), "TRY": ("₺",),
    "ILS": ("₪",), "KRW": ("₩",), "MXN": ("$",), "ZAR": ("R",),
}  # fmt: skip


def fault_sql(column: Column, cell: str, typed: str, as_of: dt.date) -> str:
    """SQL that is true where a cell (``filled_sql``) holds something and its typed value is missing or out of its range."""
    filled = f"{identifier(cell)} IS NOT NULL"
    wrong = [f"{typed} IS NULL"]
    if column.type == "text":
        wrong.append(f"contains({typed}, chr(0))")
        wrong.append(f"{typed} IN ({', '.join(map(literal, SPREADSHEET_ERRORS))})")
    if column.type in {"date", "timestamp"}:
        latest = as_of.replace(year=as_of.year + YEARS_AHEAD, day=min(as_of.day, 28))
        wrong.append(f"{typed} NOT BETWEEN DATE '{EARLIEST}' AND DATE '{latest}'")
        wrong.append(f"{typed} = DATE '{NO_DATE}'")
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
            return f"a {column.type} as {pattern} between {EARLIEST.year} and {YEARS_AHEAD} years ahead, and not {NO_DATE}"
        case "boolean":
            return "yes or no"
        case "text":
            return (
                f"one of {', '.join(column.values)}" if column.values else "text without NUL bytes, and no error of a spreadsheet"
            )
    words = {"money": "an amount", "integer": "an integer"}.get(column.type, f"a {column.type}")
    mark = f' with "{formats.decimal}" as decimal mark' if formats.decimal and column.type != "integer" else ""
    limits = [
        f"at {side} {bound:g}" for side, bound in (("least", column.minimum), ("most", column.maximum)) if bound is not None
    ]
    return words + mark + (f", {' and '.join(limits)}" if limits else "")


def _declared(column: Column, formats: Formats) -> str | None:
    return (formats.timestamp or formats.date) if column.type == "timestamp" else formats.date


def _trimmed(cell: str) -> str:
    return f"nullif(trim({cell}, {literal(_BLANKS)}), '')"


def _patterns(column: Column, formats: Formats, typed: bool) -> list[str]:
    declared = list(dict.fromkeys(d for d in (_declared(column, formats), formats.date) if d))
    # Without a declared format dates are ISO; with one, ISO is not tried, since 03-04-05 would fit both.
    patterns = [d if "%H" in d or "%I" in d else f"{d}{time}" for d in declared for time in _TIMES]
    return list(dict.fromkeys([*patterns, *(_ISO_DATES if typed or not declared else ())]))


def _moment(text: str, patterns: list[str], day_zero: dt.date | None) -> str:
    known = f"[{', '.join(map(literal, patterns))}]"
    # 14:50:17+02:00 is 12:50:17 of universal time, in which all moments are kept.
    offset = "[+-][0-9]{2}:?[0-9]{2}$"
    minutes = f"right({text}, 2)::INTEGER + 60 * left(regexp_extract({text}, '{offset}')[2:], 2)::INTEGER"
    ahead = f"to_minutes(CASE WHEN contains(regexp_extract({text}, '{offset}'), '+') THEN -1 ELSE 1 END * ({minutes}))"
    parsed = (
        f"coalesce(try_strptime({text}, {known}), CASE WHEN regexp_matches({text}, ':[0-9]{{2}}([.][0-9]+)?{offset}') "
        f"THEN try_strptime(regexp_replace({text}, '{offset}', ''), {known}) + {ahead} END)"
    )
    if day_zero is None:
        return parsed
    days = f"TRY_CAST(replace({text}, ',', '.') AS DOUBLE)"
    return (
        f"CASE WHEN regexp_full_match({text}, '[1-9][0-9]{{4}}([.,][0-9]+)?') "
        f"THEN TIMESTAMP '{day_zero}' + to_microseconds((round({days} * 86400) * 1000000)::BIGINT) ELSE {parsed} END"
    )


def _plain_number(text: str, formats: Formats, signs: Sequence[str] = ()) -> str:
    """SQL of a number as DuckDB reads it; what is not written as declared becomes something it can't read."""
    # Digits and marks alone are by far the commonest: the rest is looked at only where it is needed.
    sql = f"CASE WHEN regexp_full_match({text}, '[0-9.,]+') THEN {text} ELSE {_bare_number(text, signs)} END"
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


def _bare_number(text: str, signs: Sequence[str]) -> str:
    """SQL of a number without its currency, and with its minus sign in front: as ``(5)``, ``5-`` and ``−5`` write it behind."""
    # DuckDB takes 1_000 for a number; no export writes so.
    sql = f"replace(replace({text}, '_', '?'), '−', '-')"
    if not signs:
        return sql
    either = "|".join(_escaped(sign) for sign in sorted(signs, key=len, reverse=True))
    blank = "[    ]*"
    sql = f"regexp_replace({sql}, {literal(f'^([-+(]?){blank}(?:{either}){blank}')}, '\\1', 'i')"
    sql = f"regexp_replace({sql}, {literal(f'{blank}(?:{either}){blank}([-)]?)$')}, '\\1', 'i')"
    return f"regexp_replace({sql}, {literal('^(?:[(](.*)[)]|([^-].*)-)$')}, '-\\1\\2')"


def _escaped(sign: str) -> str:
    return "".join(f"[{c}]" if not c.isalnum() else c for c in sign)


def _regex(mark: str) -> str:
    return f"[{mark}]" if mark not in "^]\\" else f"\\{mark}"
