from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from crm_methods.company.not_records import ends_in_totals, is_totals, odd_sql, set_aside
from crm_methods.company.record_numbers import RECORD


@pytest.mark.parametrize(
    ("cells", "totals"),
    [
        (["Total", "", "", "123"], True),
        (["", "Grand total:", "", "1 234,50"], True),
        (["Итого: 1 234,50", "", ""], True),
        (["Gesamt", "€ 5", "-7.00", "15 %"], True),
        (["TOTAL", "", ""], False),
        (["Total", "Paris", "123"], False),
        (["Total Oil", "", "123"], False),
        (["Totally", "", "123"], False),
        (["1", "Total", "123"], False),
        (["", ""], False),
        ([], False),
    ],
)
def test_a_line_of_totals_has_its_word_first_and_numbers_only(cells: list[str], totals: bool):
    assert is_totals(cells) is totals


def test_the_end_of_a_text_tells_whether_totals_stand_there(tmp_path: Path):
    path = tmp_path / "t.csv"
    for text, totals in (("a;b\nTotal;5\n\n\n", True), ("a;b\nTotal;5\nx;5", False), ("a;b\r\nTotal;5\r\n", True), ("", False)):
        path.write_bytes(text.encode())
        assert ends_in_totals(path, ";", '"') is totals


def test_headers_totals_and_blanks_are_set_aside_and_records_keep_their_numbers():
    rows = "(2, 'x', '1'), (3, 'a', 'b'), (4, NULL, NULL), (5, ' ', NULL), (6, 'Total', '1'), (7, 'y', 'b'), (8, 'Total', '2')"
    with duckdb.connect() as sql:
        sql.execute(f"CREATE TEMP TABLE raw_t AS SELECT * FROM (VALUES {rows}) AS t({RECORD}, a, b)")
        odd = sql.execute(f"SELECT {RECORD} FROM raw_t WHERE {odd_sql(['a', 'b'], ['a', 'b'])} ORDER BY 1").fetchall()
        broken = set_aside(sql, "raw_t", ["a", "b"], ["a", "b"])
        left = sql.execute(f"SELECT {RECORD}, a FROM raw_t ORDER BY 1").fetchall()
    assert {(3,), (4,)} <= set(odd)
    assert [(number, text) for number, text, _ in broken] == [(3, "a · b"), (8, "Total · 2")]
    # A client may bear such a name: only the last line is taken for totals.
    assert left == [(2, "x"), (6, "Total"), (7, "y")]
