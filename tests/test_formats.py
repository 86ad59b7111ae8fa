from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crm_methods import formats

NOTHINGS = [None, float("nan"), np.float32("nan"), np.float64("nan"), Decimal("NaN"), pd.NA, pd.NaT, np.datetime64("NaT")]


@pytest.mark.parametrize("nothing", NOTHINGS, ids=repr)
def test_nothing_is_a_dash_everywhere(nothing: Any):
    for form in (formats.number, formats.share, formats.date, formats.month):
        assert form(nothing) == "–"
    assert formats.money(nothing, "EUR") == formats.money_short(nothing, "EUR") == "–"
    assert formats.interval(nothing, 1.0, str) == formats.interval(1.0, nothing, str) == "–"
    for column in ("revenue", "margin_share", "first_on", "month", "clients", "name"):
        assert formats.cell(column, nothing, "EUR") == "–"


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0, 0, "0"),
        (1204, 0, "1,204"),
        (-1204.4, 0, "−1,204"),
        (-0.4, 0, "0"),
        (-0.0, 2, "0.00"),
        (0.126, 2, "0.13"),
        (1e15, 0, "1,000,000,000,000,000"),
        (1e-12, 2, "0.00"),
        (float("inf"), 0, "∞"),
        (float("-inf"), 1, "−∞"),
        (np.int64(7), 0, "7"),
        (np.float32(2.5), 1, "2.5"),
        (Decimal("-1234.50"), 2, "−1,234.50"),
    ],
)
def test_numbers(value: Any, digits: int, text: str):
    assert formats.number(value, digits) == text


@pytest.mark.parametrize(
    ("value", "currency", "digits", "text"),
    [
        (116461, "EUR", 0, "€116,461"),
        (-116461, "USD", 0, "−$116,461"),
        (0, "GBP", 0, "£0"),
        (-0.2, "EUR", 0, "€0"),
        (9.5, "EUR", 2, "€9.50"),
        (5, "CHF", 0, "CHF 5"),
        (-5, "CHF", 0, "−CHF 5"),
        (1e15, "RUB", 0, "₽1,000,000,000,000,000"),
        (Decimal("0.10"), "EUR", 2, "€0.10"),
        (float("inf"), "EUR", 0, "€∞"),
    ],
)
def test_money(value: Any, currency: str, digits: int, text: str):
    assert formats.money(value, currency, digits) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "€0"),
        (9_994, "€9,994"),
        (9_995, "€10k"),
        (116_461, "€116k"),
        (999_499, "€999k"),
        (999_500, "€1.0M"),
        (-1_234_567, "−€1.2M"),
        (99_940_000, "€99.9M"),
        (99_960_000, "€100M"),
        (999_500_000, "€1.0bn"),
        (1e15, "€1,000,000bn"),
        (-0.3, "€0"),
        (Decimal("20000"), "€20k"),
        (float("-inf"), "−€∞"),
    ],
)
def test_short_money(value: Any, text: str):
    assert formats.money_short(value, "EUR") == text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.284, 0, "28%"), (0.284, 1, "28.4%"), (-0.05, 0, "−5%"), (0, 0, "0%"), (-0.001, 0, "0%"), (12, 0, "1,200%")],
)
def test_shares(value: float, digits: int, text: str):
    assert formats.share(value, digits) == text


@pytest.mark.parametrize(
    "day",
    [
        dt.date(2025, 3, 5),
        dt.datetime(2025, 3, 5, 23, 59),
        pd.Timestamp("2025-03-05"),
        np.datetime64("2025-03-05"),
        np.datetime64("2025-03-05T10:00", "ns"),
    ],
)
def test_days_and_months_of_any_library(day: Any):
    assert formats.date(day) == formats.cell("joined_on", day, "EUR") == "5 Mar 2025"
    assert formats.month(day) == formats.cell("month", day, "EUR") == formats.cell("first_month", day, "EUR") == "Mar 2025"


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("revenue", 116461.2, "€116,461"),
        ("support_cost", 3.456, "€3.46"),
        ("cost_to_serve", -1200, "−€1,200"),
        ("cost_per_hour", 7, "€7"),
        ("revenue_share", 0.284, "28%"),
        ("revenue_share", 0.0284, "2.8%"),
        ("share", 0, "0%"),
        ("cost_share", 1, "100%"),
        ("revenue_rank", 3, "3"),
        ("revenue_clients", 1204, "1,204"),
        ("clients", 1204, "1,204"),
        ("clients", np.int64(1204), "1,204"),
        ("clients", 1204.0, "1,204"),
        ("handling_minutes", 1234.56, "1,234.6"),
        ("mean_days", 12.345, "12.35"),
        ("p_alive", 0.1234, "0.123"),
        ("p_value", 1e-9, "<0.001"),
        ("slope", -1e-9, "0.000"),
        ("big", 1e15, "1,000,000,000,000,000"),
        ("big", 1.5e300, f"{1.5e300:,.0f}"),
        ("ratio", float("inf"), "∞"),
        ("amount", Decimal("12.50"), "€12"),
        ("year", 2025, "2025"),
        ("cohort_year", np.int32(2025), "2025"),
        ("answered", True, "yes"),
        ("answered", np.bool_(False), "no"),
        ("name", "Acme", "Acme"),
        ("name", "NaN", "NaN"),
        ("amount", "n/a", "n/a"),
        ("list", ("a", "b"), "('a', 'b')"),
        ("took", pd.Timedelta(days=2), "2 days 00:00:00"),
    ],
)  # fmt: skip
def test_cells_take_their_unit_from_the_name_of_the_column(column: str, value: Any, text: str):
    assert formats.cell(column, value, "EUR") == text


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("cost_to_serve", "Cost to serve"),
        ("revenue_share", "Revenue share"),
        ("joined_on", "Joined on"),
        ("clv", "CLV"),
        ("nps_mean", "NPS mean"),
        ("client_id", "Client ID"),
        ("idea", "Idea"),
        ("", ""),
    ],
)
def test_headings(column: str, text: str):
    assert formats.heading(column) == text


def test_counted_nouns():
    assert [formats.plural(n, "client") for n in (0, 1, 1.0, 1204)] == ["0 clients", "1 client", "1 client", "1,204 clients"]
    assert formats.plural(2, "company", "companies") == "2 companies"


@pytest.mark.parametrize(("words", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_lists_of_words(words: list[str], text: str):
    assert formats.join(words) == text


def test_intervals_are_written_by_the_form_they_are_given():
    assert formats.interval(-1.0, 2.0, lambda x: formats.money(x, "EUR")) == "−€1 to €2"
