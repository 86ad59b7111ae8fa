"""What follows from several tables: deals out of lines, amounts out of lines, requests out of events."""

from __future__ import annotations

import pandas as pd
import pytest

from crm_methods.engine import collect

from .conftest import BringIn

LINES = (
    "basket,client,day,sku,qty,value\n"
    "b1,a,2025-01-02,p,2,10.50\n"
    "b1,a,2025-01-02,q,1,4\n"
    "b2,b,2025-02-01,p,1,5.25\n"
    "b2,c,2025-02-02,p,1,x\n"
    "b3,c,2025-02-03,q,3,-9\n"
    "b3,b,2025-02-03,p,1,1\n"
)
MAPPED = {
    "deal_id": "basket", "client_id": "client", "closed_on": "day", "product_id": "sku", "quantity": "qty", "amount": "value",
}  # fmt: skip


def test_rows_that_are_lines_become_deals_and_lines(bring: BringIn):
    data = bring({"l.csv": LINES}, {"deals": {"file": "l.csv", "columns": MAPPED, "reshape": {"lines": True}}})
    deals = collect(data.scan("deals").sort("deal_id"))
    lines = collect(data.scan("deal_lines").sort("deal_id", "product_id"))
    assert deals[["deal_id", "client_id", "amount"]].values.tolist() == [["b1", "a", 14.5], ["b2", "b", 5.25], ["b3", "c", -8]]
    assert lines[["deal_id", "product_id", "quantity", "unit_price"]].values.tolist() == [
        ["b1", "p", 2, 5.25], ["b1", "q", 1, 4], ["b2", "p", 1, 5.25], ["b3", "p", 1, 1], ["b3", "q", 3, -3],
    ]  # fmt: skip
    total = data.totals.iloc[0]
    assert total[["source_rows", "accepted_rows", "rejected_rows", "merged_rows"]].tolist() == [6, 5, 1, 2]
    assert total["accepted_amount"] == deals["amount"].sum()
    conflict = data.resolved[data.resolved["kind"] == "conflict"]
    assert conflict[["column", "written"]].values.tolist() == [["client_id", "b3"]]


HEADS = "deal_id,client_id,closed_on\n1,a,2025-01-01\n2,a,2025-01-02\n3,b,2025-01-03\n"


def test_a_deal_without_an_amount_of_its_own_is_worth_its_lines(bring: BringIn):
    lines = "deal_id,product_id,quantity,unit_price,discount_share\n1,p,2,10,0.25\n1,q,1,5,0\n2,p,3,10,\n"
    data = bring({"deals.csv": HEADS, "deal_lines.csv": lines})
    assert collect(data.scan("deals").sort("deal_id"))["amount"].tolist() == [20, 30, 0]
    assert sorted(collect(data.scan("deal_lines"))["unit_price"]) == [5, 7.5, 10]
    assert data.has("deals", "amount")
    assert data.resolved[["kind", "written", "counted_as"]].values.tolist() == [["no lines", "3", "0"]]


EVENTS = (
    "case_id,client_id,topic,activity,at\n"
    "7,a,router,closed,2025-01-05 10:00\n"
    "7,a,router,opened,2025-01-01 10:00\n"
    "7,b,switch,taken,2025-01-02 10:00\n"
    "8,b,switch,opened,2025-02-01 08:00\n"
    "8,b,switch,closed,2025-02-02 08:00\n"
    "8,b,switch,opened,2025-02-03 08:00\n"
    "9,,,opened,2025-02-03 08:00\n"
)


@pytest.mark.parametrize("rows", [slice(None), slice(None, None, -1)])
def test_a_log_of_events_becomes_one_request_per_case(bring: BringIn, rows: slice):
    header, *lines = EVENTS.splitlines()
    files = {"e.csv": "\n".join([header, *lines[rows]]) + "\n"}
    cases = {"closed_by": ["closed"], "answered_by": ["taken"]}
    data = bring(files, {"process_events": {"file": "e.csv", "cases": cases}})
    found = collect(data.scan("interactions").sort("interaction_id"))
    assert found[["interaction_id", "client_id", "topic", "kind"]].values.tolist() == [
        ["7", "a", "router", "service"], ["8", "b", "switch", "service"],
    ]  # fmt: skip
    assert found["started_at"].tolist() == [pd.Timestamp("2025-01-01 10:00"), pd.Timestamp("2025-02-01 08:00")]
    assert found["first_response_at"].tolist() == [pd.Timestamp("2025-01-02 10:00"), pd.NaT]
    # The second case was opened again: it is not solved.
    assert found["resolved_at"].tolist() == [pd.Timestamp("2025-01-05 10:00"), pd.NaT]
    assert data.has("interactions", "resolved_at", "topic")
    assert data.resolved[["kind", "written", "rows"]].values.tolist() == [["conflict", "7", 3]]


def test_returns_lower_revenue_however_they_are_written(bring: BringIn):
    header = "deal_id,client_id,closed_on,amount,kind,cost\n"
    deals = f"{header}1,a,2025-01-01,10,credit note,4\n2,a,2025-01-02,-5,Return,-2\n3,a,2025-01-03,7,new,3\n"
    data = bring({"deals.csv": deals})
    found = collect(data.scan("deals").sort("deal_id"))
    assert found["amount"].tolist() == [-10, -5, 7]
    assert found["margin"].tolist() == [-6, -3, 4]
    assert data.totals["accepted_amount"].tolist() == [-8]
    assert data.resolved[["kind", "rows"]].values.tolist() == [["sign", 1]]


def test_open_deals_need_neither_day_nor_client_nor_amount(bring: BringIn):
    deals = (
        "deal_id,client_id,closed_on,amount,status\n1,,,,open\n2,a,2025-01-02,5,won\n3,,2025-01-02,5,won\n4,a,2025-01-02,,lost\n"
    )
    data = bring({"deals.csv": deals})
    assert data.totals.iloc[0][["accepted_rows", "rejected_rows"]].tolist() == [2, 2]
    assert collect(data.scan("clients"))["client_id"].tolist() == ["a"]


def test_a_table_is_written_in_the_order_of_its_key(bring: BringIn):
    deals = "deal_id,client_id,closed_on,amount\n3,a,2025-01-02,5\n1,a,2025-01-02,5\n2,a,2025-01-02,5\n"
    data = bring({"deals.csv": deals})
    assert pd.read_parquet(data.folder / "deals.parquet")["deal_id"].tolist() == ["1", "2", "3"]


def test_lines_of_a_foreign_deal_are_converted_with_it(bring: BringIn):
    files = {
        "deals.csv": "deal_id,client_id,closed_on,currency\n1,a,2025-01-01,USD\n2,a,2025-01-01,EUR\n",
        "deal_lines.csv": "deal_id,product_id,quantity,unit_price,cost\n1,p,2,50,60\n2,p,1,50,30\n",
        "exchange_rates.csv": "currency,on,rate\nUSD,2024-01-01,0.5\n",
    }
    data = bring(files)
    assert collect(data.scan("deals").sort("deal_id"))["amount"].tolist() == [50, 50]
    assert collect(data.scan("deal_lines").sort("deal_id"))[["unit_price", "cost"]].values.tolist() == [[25, 30], [50, 30]]
    assert data.resolved.loc[data.resolved["kind"] == "converted", ["written", "rows"]].values.tolist() == [["USD", 1]]


def test_a_returns_amount_out_of_its_lines_is_negative_too(bring: BringIn):
    heads = "deal_id,client_id,closed_on,kind\n1,a,2025-01-01,credit_note\n2,a,2025-01-02,new\n"
    data = bring({"deals.csv": heads, "deal_lines.csv": "deal_id,product_id,quantity,unit_price\n1,p,2,10\n2,p,1,10\n"})
    assert collect(data.scan("deals").sort("deal_id"))["amount"].tolist() == [-20, 10]


def test_lines_find_their_deal_by_any_spelling_of_its_id(bring: BringIn):
    heads = "deal_id,client_id,closed_on\nORD-1,a,2025-01-01\n"
    data = bring({"deals.csv": heads, "deal_lines.csv": "deal_id,product_id,quantity,unit_price\nord 1,p,2,50\n"})
    assert collect(data.scan("deals"))["amount"].tolist() == [100]
    assert set(data.resolved["kind"]) == {"spelling"}


def test_a_cost_known_of_some_lines_only_is_not_the_deals(bring: BringIn):
    lines = "deal_id,client_id,closed_on,product_id,amount,cost\nb,a,2025-01-01,p,100,60\nb,a,2025-01-01,q,100,\n"
    data = bring({"l.csv": lines}, {"deals": {"file": "l.csv", "reshape": {"lines": True}}})
    deals = collect(data.scan("deals"))
    assert deals["amount"].tolist() == [200]
    assert deals["margin"].isna().all()


@pytest.mark.parametrize(
    ("amount", "cost", "margin", "made"),
    [(10, 6, 4, (-10, -6, -4)), (-10, 6, 4, (-10, -6, -4)), (10, 12, -2, (-10, -12, 2)), (-10, -6, -4, (-10, -6, -4))],
)
def test_cost_and_margin_of_a_return_turn_with_its_amount(
    bring: BringIn, amount: int, cost: int, margin: int, made: tuple[int, ...]
):
    deals = f"deal_id,client_id,closed_on,amount,cost,margin,kind\n1,a,2025-01-01,{amount},{cost},{margin},return\n"
    found = collect(bring({"deals.csv": deals}).scan("deals"))
    assert tuple(found[["amount", "cost", "margin"]].iloc[0]) == made


def test_what_follows_the_closing_of_a_case_does_not_open_it(bring: BringIn):
    events = "case_id,client_id,activity,at\n1,a,open,2025-01-01\n1,a,Done,2025-01-02\n1,a,survey sent,2025-01-09\n"
    data = bring({"e.csv": events}, {"process_events": {"file": "e.csv", "cases": {"closed_by": ["done"]}}})
    assert collect(data.scan("interactions"))["resolved_at"].tolist() == [pd.Timestamp("2025-01-02")]


def test_a_client_named_by_its_name_alone_has_that_name(bring: BringIn):
    deals = "deal_id,client_id,closed_on,amount\n1,«Альфа Агро»,2025-01-01,5\n2,C0017,2025-01-01,5\n3,Acme,2025-01-01,5\n"
    clients = collect(bring({"deals.csv": deals}).scan("clients").sort("client_id"))
    assert clients["name"].fillna("").tolist() == ["Acme", "", "«Альфа Агро»"]
