from __future__ import annotations

import pytest

from crm_methods.engine import collect

from .conftest import BringIn

HEADER = "deal_id,client_id,closed_on,amount\n"


def test_cells_may_hold_quotes_delimiters_and_newlines(bring: BringIn):
    data = bring(
        {"clients.csv": 'client_id,name,industry\n1,"A, ""B""\nC",5" pipes\n', "deals.csv": HEADER + "1,1,2025-01-01,5\n"}
    )
    known = collect(data.scan("clients"))
    assert known["name"].tolist() == ['A, "B"\nC']
    assert known["industry"].tolist() == ['5" pipes']


def test_source_columns_may_bear_any_name(bring: BringIn):
    text = 'record,faults,"fa""te",from:x,a\'b\n1,a,2025-01-01,5,"x\'"\n'
    columns = {"deal_id": "record", "client_id": "faults", "closed_on": 'fa"te', "amount": "from:x", "terms": "a'b"}
    data = bring({"d'[1].csv": text}, {"deals": {"file": "d'[1].csv", "columns": columns}})
    sold = collect(data.scan("deals"))
    assert sold[["deal_id", "client_id", "terms"]].values.tolist() == [["1", "a", "x'"]]


def test_lines_may_end_in_any_way_and_in_several(bring: BringIn):
    for text in (
        HEADER + "1,a,2025-01-01,5\r\n2,a,2025-01-01,5\n3,a,2025-01-01,x",
        (HEADER + "1,a,2025-01-01,5\n").replace("\n", "\r"),
    ):
        data = bring({"deals.csv": text})
        assert data.totals.loc[0, "accepted_rows"] == text.count(",5")


GOOD = "".join(f"{i},a,2025-01-01,5\n" for i in range(10, 20))


@pytest.mark.parametrize(
    ("bad", "line", "expected"),
    [
        ((HEADER + GOOD).encode() + b"1,\xd0\xe8\xee,2025-01-01,5\n", 12, "invalid encoding"),
        ((HEADER + GOOD).encode() + "1,я,2025-01-01,5".encode()[:3], 12, "4 cells"),
        ((HEADER + GOOD).encode() + b"1,a\x00b,2025-01-01,5\n", 12, "text without NUL bytes"),
        ((HEADER + GOOD).encode() + b"1,a,2025-01-01,5,6\n", 12, "4 cells (too many columns)"),
        ((HEADER + GOOD).encode() + b"1,a\n", 12, "4 cells (missing columns)"),
        ((HEADER + GOOD).encode() + b'1,"a,2025-01-01,5\n', 12, "4 cells"),
    ],
    ids=["foreign bytes", "cut within a character", "NUL", "too many cells", "too few cells", "open quote"],
)
def test_a_damaged_record_is_a_reject_and_the_rest_comes_in(bring: BringIn, bad: bytes, line: int, expected: str):
    data = bring({"deals.csv": bad}, intake={"max_rejected_share": 0.2})
    assert data.totals.loc[0, ["source_rows", "accepted_rows", "rejected_rows"]].tolist() == [11, 10, 1]
    assert data.rejects["record"].tolist() == [line]
    assert expected in data.rejects.loc[0, "expected"]
    assert "\0" not in data.rejects.loc[0, "found"]


def test_a_repeated_header_can_be_chosen_from(bring: BringIn):
    text = "deal_id,client_id,closed_on,Amount,amount\n1,a,2025-01-01,5,6\n"
    data = bring({"d.csv": text}, {"deals": {"file": "d.csv", "columns": {"amount": "amount (2)"}}})
    assert collect(data.scan("deals"))["amount"].tolist() == [6]
