from __future__ import annotations

import pytest

from crm_methods.company.column_facts import ColumnFacts, facts_of, numbers_of
from crm_methods.company.contracts import TABLES
from crm_methods.company.peek import Sample


def facts(*cells: str) -> ColumnFacts:
    return facts_of(Sample("a", {}, ("x",), tuple((cell,) for cell in cells)))["x"]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["2024-01-05", "2024-02-06"], "date"),
        (["1 054,00 €", "5"], "number"),
        (["a@b.example", "c@d.example"], "email"),
        (["+7 (000) 876-77-48", "8 000 250-98-79"], "phone"),
        (["Acme", "Globex"], "text"),
        (["", ""], "empty"),
        (["1", "Acme"], "text"),
    ],
)
def test_the_kind_of_a_column_is_told_by_its_cells(cells: list[str], kind: str):
    assert facts(*cells).kind == kind


def test_ids_tell_rows_apart_and_lines_repeat_them():
    assert facts("1", "2", "3").is_unique
    assert not facts("1", "1", "2").is_unique
    assert facts("1", "1", "2").repeats
    assert not facts().is_unique


def test_empty_cells_do_not_count():
    column = facts("1", "", "", "2")

    assert column.filled_share == 0.5
    assert not column.is_unique


def test_a_column_fits_what_its_cells_can_be():
    deals = TABLES["deals"]
    closed, amount, client = (deals.column(name) for name in ("closed_on", "amount", "client_id"))
    assert closed is not None
    assert amount is not None
    assert client is not None

    assert [facts("2024-01-05", "2024-01-06").fits(c) for c in (closed, amount, client)] == [True, False, False]
    assert [facts("12.5", "3").fits(c) for c in (closed, amount, client)] == [False, True, True]


def test_shared_ids_are_counted_once_each():
    assert facts("a", "a", "b", "z").share_in(facts("a", "b", "c")) == 2 / 3
    assert facts().share_in(facts("a")) == 0.0


def test_numbers_are_read_by_their_mark():
    assert sorted(numbers_of(facts("1 054,50", "(2,00)"), ",")) == [-2.0, 1054.5]
    assert sorted(numbers_of(facts("1,054.50", "n/a"), ".")) == [1054.5]


def test_the_dates_of_a_long_file_are_judged_by_all_of_it():
    early = [f"1/{n % 12 + 1}/2024 {n // 60 % 24:02d}:{n % 60:02d}" for n in range(20_000)]
    moments = facts(*early, *(f"1/{n % 28 + 1}/2024 00:{n % 60:02d}" for n in range(20_000))).moments

    assert moments is not None
    assert (moments.format, moments.other) == ("%m/%d/%Y", None)
