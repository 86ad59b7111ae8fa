from __future__ import annotations

import pytest

from crm_methods.company.settings import Formats, Source
from crm_methods.company.text_layout import find_layout
from crm_methods.engine import collect

from .conftest import BringIn

HEADER = "deal_id,client_id,closed_on,amount\n"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_told_by_the_header_when_it_is_not_declared(bring: BringIn, delimiter: str):
    text = (HEADER + "1,a,2025-01-01,5\n").replace(",", delimiter)
    assert bring({"deals.csv": text}).totals.loc[0, "accepted_rows"] == 1


def test_a_byte_order_mark_is_no_part_of_the_first_header(bring: BringIn):
    data = bring({"deals.csv": b"\xef\xbb\xbf" + (HEADER + "1,a,2025-01-01,5\n").encode()})
    assert collect(data.scan("deals"))["deal_id"].tolist() == ["1"]


def test_nor_of_the_first_cell_where_there_is_no_header(bring: BringIn):
    for formats in ({}, {"delimiter": "whitespace"}):
        text = "1,a,2025-01-01,5\n" if not formats else "1 a  2025-01-01\t5 \n"
        source = {"file": "d.txt", "header": False, "names": ["deal_id", "client_id", "closed_on", "amount"]}
        data = bring({"d.txt": b"\xef\xbb\xbf" + text.encode()}, {"deals": source}, formats=formats)
        assert collect(data.scan("deals"))["deal_id"].tolist() == ["1"]


def test_columns_without_header_or_names_are_numbered(bring: BringIn):
    columns = {"deal_id": "column_1", "client_id": "column_2", "closed_on": "column_3", "amount": "column_4"}
    data = bring({"d.csv": "1,a,2025-01-01,5\n"}, {"deals": {"file": "d.csv", "header": False, "columns": columns}})
    assert data.totals.loc[0, "accepted_rows"] == 1


def test_names_take_the_place_of_a_header(bring: BringIn):
    source = {"file": "d.csv", "names": ["deal_id", "client_id", "closed_on", "amount"]}
    data = bring({"d.csv": "A,B,C,D\n1,a,2025-01-01,5\n"}, {"deals": source})
    assert collect(data.scan("deals"))["deal_id"].tolist() == ["1"]


@pytest.mark.parametrize(
    ("text", "source", "names", "delimiter", "skip"),
    [
        ("a;b\n1;2\n", {}, ("a", "b"), ";", 1),
        ('sep=|\n"a"|b\n1|2\n', {}, ("a", "b"), "|", 2),
        ('"sep=;"\r\na;b,c;d,e,f\n', {}, ("a", "b,c", "d,e,f"), ";", 2),
        ("\n\na,b\n1,2\n", {}, ("a", "b"), ",", 3),
        ("Deals, all\na,b,c\n1,2,3\n", {"header_row": 2}, ("a", "b", "c"), ",", 2),
        ('"a\nb",c\n1,2\n', {}, ("a\nb", "c"), ",", 2),
        ("a,b,,\n1,2\n", {}, ("a", "b"), ",", 1),
        ("a,b,,\n1,2,,3\n", {}, ("a", "b", "", ""), ",", 1),
        ("sep=;\n1;2\n", {"header": False}, ("column_1", "column_2"), ";", 1),
    ],
)  # fmt: skip
def test_the_header_is_found_below_whatever_stands_above_it(tmp_path, text, source, names, delimiter, skip):
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    layout = find_layout(Source(file="t.csv", **source), Formats(), path, path)
    assert (layout.names, layout.delimiter, layout.skip) == (names, delimiter, skip)


def test_a_single_column_of_texts_with_commas_is_no_title(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("name\n1, 2, 3\n")
    assert find_layout(Source(file="t.csv"), Formats(delimiter=";"), path, path).names == ("name",)
