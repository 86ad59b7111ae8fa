from __future__ import annotations

import duckdb
import pytest

from crm_methods.company.raw_table import RawTable, count_rows, drop_raw, numbered_names, repeated_names, unique_names
from crm_methods.company.record_numbers import RECORD


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (["a", "b"], ("a", "b")),
        (["a", "A", "b"], ("a (1)", "A (2)", "b")),
        (["a", "", "a (1)", "a"], ("a (1) (1)", "column_2", "a (1) (2)", "a (2)")),
        (["column_2", ""], ("column_2 (1)", "column_2 (2)")),
    ],
)
def test_columns_get_names_that_are_distinct_in_any_case(names: list[str], columns: tuple[str, ...]):
    assert unique_names(names) == columns
    assert len({name.lower() for name in columns}) == len(names) == len(numbered_names(len(names)))


def test_repeated_names_are_told_with_what_became_of_them():
    header = ["Amount", "b", "amount", "", ""]
    assert repeated_names(header, unique_names(header)) == {"amount": ("Amount (1)", "amount (2)")}


def test_records_without_gaps_are_numbered_from_the_first_one():
    with duckdb.connect() as sql:
        sql.execute("CREATE TEMP VIEW raw_t AS SELECT * FROM (VALUES ('a'), ('b')) AS t(x)")
        raw = RawTable("raw_t", ("x",), (), typed=False, first=7)
        assert sql.execute(f"SELECT {RECORD}, x FROM {raw.numbered}").fetchall() == [(7, "a"), (8, "b")]
        assert count_rows(sql, "raw_t") == 2
        drop_raw(sql, "raw_t")
        drop_raw(sql, "raw_t")
