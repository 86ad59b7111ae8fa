"""Ids that name a row otherwise are resolved by a stated rule; nothing is guessed or left alone silently."""

from __future__ import annotations

import pandas as pd

from crm_methods.company.references import RESOLVED_COLUMNS
from crm_methods.engine import collect

from .conftest import BringIn

CLIENTS = "client_id,name,parent_id\n1,ООО «Ромашка»,\n2,Acme Ltd,ооо «ромашка»\n3,Twin,\n4,Twin,\n"


def _deals(*clients: str) -> str:
    rows = "".join(f'{n},"{client}",2025-01-{n:02d},10\n' for n, client in enumerate(clients, 1))
    return f"deal_id,client_id,closed_on,amount\n{rows}"


def _found(resolved: pd.DataFrame, table: str, column: str) -> list[tuple[str, str, str, int]]:
    rows = resolved[(resolved["table"] == table) & (resolved["column"] == column)]
    return sorted(rows[["kind", "written", "counted_as", "rows"]].itertuples(index=False, name=None))


def test_a_name_stands_for_the_id_of_the_one_row_that_bears_it(bring: BringIn):
    data = bring({"clients.csv": CLIENTS, "deals.csv": _deals("ООО «Ромашка»", "acme ltd", "2", "Twin", "Nobody")})
    assert sorted(collect(data.scan("deals"))["client_id"]) == ["1", "2", "2", "Nobody", "Twin"]
    assert _found(data.resolved, "deals", "client_id") == [
        ("named", "acme ltd", "2", 1),
        ("named", "ООО «Ромашка»", "1", 1),
        ("unknown", "Nobody", "", 1),
        ("unknown", "Twin", "", 1),
    ]
    assert _found(data.resolved, "clients", "parent_id") == [("named", "ооо «ромашка»", "1", 1)]
    assert list(data.resolved.columns) == list(RESOLVED_COLUMNS)


def test_the_same_letters_and_digits_are_one_product(bring: BringIn):
    files = {
        "deals.csv": _deals("a", "a", "a", "a"),
        "products.csv": "product_id,name\nGTX Pro,GTX Pro\n12-3,Bolt\n123,Nut\n",
        "deal_lines.csv": "deal_id,product_id,quantity\n1,GTXPro,1\n2,gtx-pro,2\n3,1-23,1\n4,GTX Pro,1\n4,GTX Prop,1\n",
    }
    data = bring(files)
    # Digits alone are codes: 1-23 may be anything.
    assert collect(data.scan("deal_lines").sort("deal_id", "product_id"))["product_id"].tolist() == [
        "GTX Pro", "GTX Pro", "1-23", "GTX Pro", "GTX Prop",
    ]  # fmt: skip
    assert _found(data.resolved, "deal_lines", "product_id") == [
        ("spelling", "GTXPro", "GTX Pro", 1),
        ("spelling", "gtx-pro", "GTX Pro", 1),
        ("unknown", "1-23", "", 1),
        ("unknown", "GTX Prop", "", 1),
    ]


def test_known_ids_are_left_alone_and_nothing_is_noted(bring: BringIn):
    data = bring({"clients.csv": CLIENTS, "deals.csv": _deals("1", "2", "3")})
    assert _found(data.resolved, "deals", "client_id") == []


def test_many_unknown_ids_are_listed_together_after_the_first_thousand(bring: BringIn):
    ids = "".join(f"d{n},c{n},2025-01-01,1\n" for n in range(1_205)) + "x,c7,2025-01-01,1\n"
    data = bring({"clients.csv": CLIENTS, "deals.csv": "deal_id,client_id,closed_on,amount\n" + ids})
    found = data.resolved[data.resolved["table"] == "deals"]
    assert len(found) == 1_001
    assert found["rows"].sum() == 1_206
    assert set(found.loc[found["written"].str.startswith("("), "written"]) == {"(205 others)"}
    assert found.loc[found["written"] == "c7", "rows"].tolist() == [2]


def test_the_order_of_rows_changes_nothing(bring: BringIn):
    names = ["ООО «Ромашка»", "acme ltd", "2", "Twin", "Nobody", "nobody"]
    one = bring({"clients.csv": CLIENTS, "deals.csv": _deals(*names)}).resolved
    other = bring({"clients.csv": CLIENTS, "deals.csv": _deals(*reversed(names))}).resolved
    pd.testing.assert_frame_equal(one, other)


def test_what_divides_digits_tells_ids_apart_and_case_does_not(bring: BringIn):
    clients = "client_id,name\nCLI-1-23,A\nC001,B\n"
    data = bring({"clients.csv": clients, "deals.csv": _deals("CLI-12-3", "cli 1/23", "c001")})
    assert sorted(collect(data.scan("deals"))["client_id"]) == ["C001", "CLI-1-23", "CLI-12-3"]


def test_persons_of_one_name_are_not_taken_for_each_other(bring: BringIn):
    files = {
        "contact_persons.csv": "person_id,client_id,name\np1,a,John Smith\n",
        "interactions.csv": "interaction_id,client_id,person_id,started_at\n1,b,John Smith,2025-01-01 10:00\n",
    }
    assert collect(bring(files).scan("interactions"))["person_id"].tolist() == ["John Smith"]


def test_a_decision_comes_before_any_rule_and_one_about_nobody_is_said(bring: BringIn):
    files = {
        "clients.csv": "client_id,name\nACME-1,Acme\nB,Other\n",
        "deals.csv": _deals("acme1", "B"),
        "merges.csv": "client_id,into,decision\nacme1,B,same\n124,B,same\n",
    }
    data = bring(files)
    assert collect(data.scan("deals"))["client_id"].tolist() == ["B", "B"]
    assert _found(data.resolved, "merges", "client_id") == [("unknown", "124", "B", 1)]
