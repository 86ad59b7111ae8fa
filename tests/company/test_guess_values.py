from __future__ import annotations

import datetime as dt

import pytest

from crm_methods.company.guess_values import Marks, currency_of, guess_marks, guess_moments, is_number, is_value, read_date


@pytest.mark.parametrize(
    ("cells", "decimal", "thousands"),
    [
        (["1 054,00", "50,00"], ",", " "),
        (["1\u00a0054,00", "1\u202f100\u202f040,00"], ",", " "),
        (["1.234,50", "12"], ",", "."),
        (["1,234.50", "12"], ".", ","),
        (["1'234.50"], ".", "'"),
        (["12.5", "3"], ".", None),
        (["12,5", "3"], ",", None),
        (["1,234", "0.5"], ".", ","),
        (["5", "7"], None, None),
        (["1.234.567"], None, "."),
    ],
)
def test_marks_are_read_off_all_the_numbers_together(cells: list[str], decimal: str | None, thousands: str | None):
    assert guess_marks(cells) == Marks(decimal, thousands)
    assert guess_marks(reversed(cells)) == Marks(decimal, thousands)


def test_a_number_that_may_be_read_in_two_ways_is_said_to_be_doubtful():
    assert guess_marks(["1,234", "5"]).unsure
    assert not guess_marks(["1,234", "5.5"]).unsure


def test_currency_signs_do_not_hide_a_number_and_tell_the_currency():
    cells = ["1 054,00 ₽", "50,00 ₽"]

    assert all(map(is_number, [*cells, "$1,234.50", "(12.00)", "12 %"]))
    assert currency_of(cells) == "RUB"
    assert currency_of(["12", "13"]) is None


@pytest.mark.parametrize(
    ("cells", "form"),
    [
        (["2017-03-01", "2016-10-20"], "%Y-%m-%d"),
        (["01.03.2017", "20.10.2016"], "%d.%m.%Y"),
        (["3/1/2017", "10/20/2016"], "%m/%d/%Y"),
        (["1/3/2017", "20/10/2016"], "%d/%m/%Y"),
        (["20170301"], "%Y%m%d"),
        (["2017/03/01"], "%Y/%m/%d"),
        (["1-3-17", "20-10-16"], "%d-%m-%y"),
        (["5 Jan 2017", "17 Feb 2017"], "%d %b %Y"),
        (["02.03.2016 00:00:00"], "%d.%m.%Y"),
        (["2012-10-09T14:50:17+00:00"], "%Y-%m-%d"),
        (["2025-03-01T08:00:00.000+0000", "2025-03-02T08:00:00.000+0200"], "%Y-%m-%d"),
        (["2012-10-09T14:50:17Z"], "%Y-%m-%d"),
        (["12/31/2017 3:04 PM"], "%m/%d/%Y %I:%M %p"),
    ],
)
def test_a_date_format_is_found_from_its_cells(cells: list[str], form: str):
    moments = guess_moments(cells)

    assert moments is not None
    assert (moments.format, moments.other) == (form, None)


def test_where_day_and_month_cannot_be_told_apart_both_readings_are_named():
    moments = guess_moments(["03/01/2017", "05/06/2017"])

    assert moments is not None
    assert {moments.format, moments.other} == {"%d/%m/%Y", "%m/%d/%Y"}


def test_a_few_wrong_cells_do_not_hide_the_dates_many_do():
    assert guess_moments(["01.03.2017"] * 3 + [f"{n:02d}.05.2018" for n in range(1, 28)] + ["n/a"]) is not None
    assert guess_moments(["01.03.2017", "n/a", "none"]) is None


def test_numbers_and_impossible_dates_are_no_dates():
    for cells in (["2822", "495"], ["99999999"], ["31.02.2017"], ["1.5", "2.5"], ["01581"], []):
        assert guess_moments(cells) is None


def test_the_last_day_is_kept():
    moments = guess_moments(["01.03.2017", "20.10.2016"])

    assert moments is not None
    assert moments.last == dt.date(2017, 3, 1)
    assert read_date("01.03.1817", "%d.%m.%Y") is None


def test_names_are_no_values():
    assert not any(map(is_value, ["Order ID", "Betrag €", "A-12", "", "Q1"]))
    assert all(map(is_value, ["12", "-1,5", "2024-01-01"]))
