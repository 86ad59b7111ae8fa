from __future__ import annotations

import datetime as dt
from typing import Any

import duckdb
import pytest

from crm_methods.company.casting import cast_sql, expected, fault_sql, filled_sql, merged, signs_of
from crm_methods.company.contracts import Column
from crm_methods.company.settings import Formats

AS_OF = dt.date(2025, 12, 31)
ISO = Formats()
GERMAN = Formats(decimal=",", thousands=".", date="%d.%m.%Y")


def read(text: str | None, column: Column, formats: Formats = ISO, **how: Any) -> tuple[Any, bool]:
    """The value that a cell becomes, and whether it is a fault."""
    with duckdb.connect() as sql:
        value = cast_sql(column, "cell", formats, how.pop("values", {}), **how)
        fault = fault_sql(column, "cell", "value", AS_OF)
        row = sql.execute(
            f"SELECT value, {fault} FROM (SELECT cell, {value} AS value FROM "
            f"(SELECT {filled_sql('cell')} AS cell FROM (SELECT ? AS cell)))",
            [text],
        ).fetchone()
    assert row is not None
    return (float(row[0]) if column.type == "money" and row[0] is not None else row[0]), row[1]


def col(kind: Any, **more: Any) -> Column:
    return Column("x", kind, "X", **more)


FAULT = (None, True)


@pytest.mark.parametrize(
    ("text", "formats", "result"),
    [
        ("12.5", Formats(), (12.5, False)),
        (" -0.01\t", Formats(), (-0.01, False)),
        ("\u00a0 7 \ufeff", Formats(), (7, False)),
        ("1e3", Formats(), (1000, False)),
        ("", Formats(), (None, False)),
        ("  ", Formats(), (None, False)),
        (None, Formats(), (None, False)),
        ("ten", Formats(), FAULT),
        ("1,5", Formats(), FAULT),
        ("1_000", Formats(), FAULT),
        ("12 EUR", Formats(), FAULT),
        ("1e30", Formats(), FAULT),
        ("nan", Formats(), FAULT),
        ("1.234,50", GERMAN, (1234.5, False)),
        ("1.234.567", GERMAN, (1234567, False)),
        ("1234,5", GERMAN, (1234.5, False)),
        ("12,50", Formats(decimal=","), (12.5, False)),
        ("12.50", Formats(decimal=","), FAULT),
        ("12.50", GERMAN, FAULT),
        ("1.23.456", GERMAN, (123456, False)),
        ("1,234.50", Formats(thousands=","), (1234.5, False)),
        ("12,50", Formats(thousands=","), FAULT),
        ("1,2,3", Formats(thousands=","), FAULT),
        ("1 054,00", Formats(decimal=",", thousands=" "), (1054, False)),
        ("1\u00a0054,00", Formats(decimal=",", thousands=" "), (1054, False)),
        ("1\u202f054\u00a0999,25", Formats(decimal=",", thousands=" "), (1054999.25, False)),
        ("1'000.5", Formats(thousands="'"), (1000.5, False)),
    ],
)
def test_amounts_are_read_as_declared_or_not_at_all(text: str | None, formats: Formats, result: tuple[Any, bool]):
    assert read(text, col("money"), formats) == result


@pytest.mark.parametrize(
    ("text", "formats", "day"),
    [
        ("2025-03-05", Formats(), "2025-03-05"),
        ("2025-03-05T10:00:00Z", Formats(), "2025-03-05"),
        ("2025-03-05 10:00:00.5", Formats(), "2025-03-05"),
        ("2025-03-05T10:00:00+02:00", Formats(), "2025-03-05"),
        ("2025-03-05T01:00:00+02:00", Formats(), "2025-03-04"),
        ("2025-03-05 23:30:00.25-0100", Formats(), "2025-03-06"),
        ("2025-03-05+02:00", Formats(), None),
        ("05.03.2025", GERMAN, "2025-03-05"),
        ("5.3.2025 14:30", GERMAN, "2025-03-05"),
        ("03/05/2025", Formats(date="%m/%d/%Y"), "2025-03-05"),
        ("20250305", Formats(date="%Y%m%d"), "2025-03-05"),
        ("2025-02-30", Formats(), None),
        ("31.02.2025", GERMAN, None),
        ("2025-03-05", GERMAN, None),
        ("05.03.2025", Formats(), None),
        ("45721", Formats(), None),
        ("today", Formats(), None),
    ],
)
def test_dates_are_read_as_declared_or_not_at_all(text: str, formats: Formats, day: str | None):
    value, fault = read(text, col("date"), formats)
    assert (str(value) if value else None, fault) == (day, day is None)


@pytest.mark.parametrize("text", ["0001-01-01", "1949-12-31", "1970-01-01", "2056-01-01", "9999-12-31"])
def test_impossible_days_are_faults(text: str):
    assert read(text, col("date"))[1]


@pytest.mark.parametrize(
    ("text", "minute"), [("45721", 0), ("45721.604166666664", 870), ("45721,75", 1080), ("2025-03-05 14:30:00", 870)]
)
def test_a_workbook_counts_days_from_its_own_zero(text: str, minute: int):
    value, fault = read(text, col("timestamp"), typed=True, day_zero=dt.date(1899, 12, 30))
    assert (value, fault) == (dt.datetime(2025, 3, 5) + dt.timedelta(minutes=minute), False)


def test_a_timestamp_format_may_stand_beside_a_date_format():
    formats = Formats(date="%d.%m.%Y", timestamp="%d.%m.%Y %H:%M")
    assert read("05.03.2025 14:30", col("timestamp"), formats) == (dt.datetime(2025, 3, 5, 14, 30), False)
    assert read("05.03.2025", col("timestamp"), formats) == (dt.datetime(2025, 3, 5), False)


@pytest.mark.parametrize(
    ("kind", "text", "result"),
    [
        ("boolean", "Да", (True, False)),
        ("boolean", "NO", (False, False)),
        ("boolean", "maybe", FAULT),
        ("integer", "7", (7, False)),
        ("integer", "7.0", (7, False)),
        ("integer", "7.5", FAULT),
        ("integer", "inf", FAULT),
        ("number", "7.5", (7.5, False)),
        ("number", "inf", (float("inf"), True)),
        ("share", "12%", (0.12, False)),
        ("share", "12 %", (0.12, False)),
        ("share", "0.12", (0.12, False)),
        ("share", "%", FAULT),
        ("text", " x ", ("x", False)),
        ("text", "a\0b", ("a\0b", True)),
    ],
)
def test_other_kinds_of_cells(kind: str, text: str, result: tuple[Any, bool]):
    assert read(text, col(kind)) == result


def test_values_are_translated_before_they_are_checked():
    status = col("text", values=("won", "lost"))
    words = {"Closed Won": "won", "L'ost": "lost"}
    assert read(" Closed Won ", status, values=words) == ("won", False)
    assert read("L'ost", status, values=words) == ("lost", False)
    assert read("LOST", status) == ("lost", False)
    assert read("Pending", status, values=words) == ("pending", True)


def test_bounds_are_faults_and_are_said():
    rating = col("integer", minimum=0, maximum=10)
    assert [read(text, rating)[1] for text in ("-1", "0", "10", "11")] == [True, False, False, True]
    assert expected(rating, Formats()) == "an integer, at least 0 and at most 10"
    assert expected(col("money"), GERMAN) == 'an amount with "," as decimal mark'
    assert expected(col("date"), GERMAN) == "a date as %d.%m.%Y between 1950 and 30 years ahead, and not 1970-01-01"


@pytest.mark.parametrize(
    ("text", "formats", "currency", "amount"),
    [
        ("$84,835.00 ", Formats(thousands=","), "USD", 84835),
        ("12 EUR", Formats(), "EUR", 12),
        ("eur 12.5", Formats(), "EUR", 12.5),
        ("1 054,00 ₽", Formats(decimal=",", thousands=" "), "RUB", 1054),
        ("1\u00a0054,00 руб.", Formats(decimal=",", thousands=" "), "RUB", 1054),
        ("-€5", Formats(), "EUR", -5),
        ("€-5", Formats(), "EUR", -5),
        ("(1,054.50)", Formats(thousands=","), "USD", -1054.5),
        ("($5.25)", Formats(), "USD", -5.25),
        ("\u22125", Formats(), "EUR", -5),
        ("5,25-", Formats(decimal=","), "EUR", -5.25),
        ("$5", Formats(), "EUR", None),
        ("12 USD", Formats(), "EUR", None),
        ("12 USD", Formats(), None, 12),
        ("EUR", Formats(), "EUR", None),
        ("5--", Formats(), "EUR", None),
    ],
)
def test_amounts_may_carry_their_own_currency_and_no_other(text: str, formats: Formats, currency: str | None, amount: Any):
    value, fault = read(text, col("money"), formats, signs=signs_of(currency))
    assert (value, fault) == (amount, amount is None)


@pytest.mark.parametrize(
    ("kind", "unit", "text", "result"),
    [
        ("number", "seconds", "90", 1.5),
        ("number", "hours", "1.5", 90),
        ("number", "days", "2", 2880),
        ("share", "percent", "12", 0.12),
        ("share", "percent", "12 %", 0.12),
        ("money", "millions", "1100.04", 1_100_040_000),
        ("integer", "thousands", "3", 3000),
    ],
)
def test_other_units_become_the_columns_own(kind: str, unit: Any, text: str, result: float):
    value, fault = read(text, col(kind), unit=unit)
    assert (pytest.approx(value), fault) == (result, False)


def test_words_are_translated_whatever_their_case_and_a_star_stands_for_the_rest():
    status, words = col("text", values=("won", "lost", "open")), {"CLOSED won": "won", "*": "open"}
    assert [read(text, status, values=words)[0] for text in ("closed WON", "Proposal", "", None)] == ["won", "open", None, None]


def test_a_tables_own_formats_come_before_the_companys():
    assert merged(Formats(decimal="."), GERMAN) == Formats(decimal=".", date="%d.%m.%Y")
    assert merged(Formats(date="%Y%m%d"), GERMAN) == Formats(decimal=",", thousands=".", date="%Y%m%d")
