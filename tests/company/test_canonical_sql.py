from __future__ import annotations

import pandas as pd
import pytest

from crm_methods.engine import collect
from crm_methods.errors import IntakeError
from tests.conftest import MakeCompany

from .conftest import BringIn

HEADER = "deal_id,client_id,closed_on,amount\n"


def test_an_exact_repetition_is_a_duplicate_and_another_content_a_reject(bring: BringIn):
    data = bring({"deals.csv": HEADER + "1,a,2025-01-01,5\n1,a,2025-01-01,5\n1,a,2025-01-02,6\n2,a,2025-01-01,5\n"})
    total = data.totals.iloc[0]
    assert total[["accepted_rows", "duplicate_rows", "rejected_rows"]].tolist() == [2, 1, 1]
    assert total[["accepted_amount", "duplicate_amount", "rejected_amount"]].tolist() == [10, 5, 6]
    assert data.rejects[["record", "column", "found", "expected"]].values.tolist() == [
        [4, "deal_id", "1", "a key that no earlier row has"]
    ]


def test_a_bad_first_row_does_not_cost_the_sound_one_of_the_same_key(bring: BringIn):
    data = bring({"deals.csv": HEADER + "1,a,2025-01-01,five\n1,a,2025-01-01,5\n"})
    assert collect(data.scan("deals"))["amount"].tolist() == [5]
    assert set(data.rejects["record"]) == {2}


def test_rows_without_a_key_are_no_repetitions_of_each_other(bring: BringIn):
    data = bring({"deals.csv": HEADER + ",a,2025-01-01,5\n,b,2025-01-01,6\n3,b,2025-01-01,6\n"})
    assert data.rejects["expected"].tolist() == ["a value", "a value"]


def test_lines_and_movements_may_repeat(bring: BringIn):
    data = bring(
        {"deals.csv": HEADER + "1,a,2025-01-01,5\n", "deal_lines.csv": "deal_id,product_id,quantity\n1,p,1\n1,p,1\n1,p,2\n"}
    )
    assert len(collect(data.scan("deal_lines"))) == 3


def test_a_currency_has_one_rate_a_day(bring: BringIn):
    data = bring(
        {
            "deals.csv": HEADER + "1,a,2025-01-01,5\n",
            "exchange_rates.csv": "currency,on,rate\nUSD,2025-01-01,.9\nUSD,2025-01-01,.8\n",
        }
    )
    assert collect(data.scan("exchange_rates"))["rate"].tolist() == [0.9]
    assert data.rejects["found"].tolist() == ["USD · 2025-01-01"]


RATES = "currency,on,rate\nusd,2025-01-01,0.5\nUSD,2025-06-01,0.25\nRUB,2025-01-01,0.01\n"


def test_foreign_amounts_are_converted_at_the_latest_rate_of_their_day(bring: BringIn):
    days = {"USD": "03-01", "usd": "06-01", "EUR": "03-01", "": "03-01", "RUB": "03-01"}
    rows = "".join(f"{n},a,2025-{day},100,{currency},40\n" for n, (currency, day) in enumerate(days.items(), 1))
    data = bring({"deals.csv": "deal_id,client_id,closed_on,amount,currency,cost\n" + rows, "exchange_rates.csv": RATES})
    sold = collect(data.scan("deals").sort("deal_id"))
    assert sold["amount"].tolist() == [50, 25, 100, 100, 1]
    assert sold["cost"].tolist() == [20, 10, 40, 40, 0.4]
    assert sold["margin"].tolist() == [30, 15, 60, 60, 0.6]
    assert data.totals.query("table == 'deals'")["source_amount"].tolist() == [276]


def test_a_missing_rate_is_a_reject_that_names_currency_and_day(bring: BringIn):
    text = "deal_id,client_id,closed_on,amount,Währung\n1,a,2024-12-31,100,USD\n2,a,2025-03-01,100,CHF\n3,a,2025-03-01,7,EUR\n"
    columns = {"currency": "Währung"}
    for rates in ({"exchange_rates.csv": RATES}, {}):
        tables = {"deals": {"file": "deals.csv", "columns": columns}, **{name.split(".")[0]: {"file": name} for name in rates}}
        data = bring({"deals.csv": text, **rates}, tables)
        assert data.rejects[["record", "column", "found"]].values.tolist() == [
            [2, "Währung", "USD on 2024-12-31"],
            [3, "Währung", "CHF on 2025-03-01"],
        ]
        assert "a rate to EUR" in data.rejects.loc[0, "expected"]


def test_undated_foreign_amounts_are_converted_at_the_as_of_day(bring: BringIn):
    wide = {"file": "w.csv", "reshape": {"unpivot": ["P"]}}
    data = bring(
        {"w.csv": "client_id,P,currency\na,100,USD\n", "r.csv": RATES}, {"deals": wide, "exchange_rates": {"file": "r.csv"}}
    )
    assert collect(data.scan("deals"))["amount"].tolist() == [25]


@pytest.mark.parametrize(
    ("share", "margins"),
    [(None, [4.0, 7.0, None]), (0.25, [4.0, 7.0, 2.5])],
)
def test_margin_is_told_else_from_cost_else_from_the_share(bring: BringIn, share: float | None, margins: list[float | None]):
    text = "deal_id,client_id,closed_on,amount,cost,margin\n1,a,2025-01-01,10,1,4\n2,a,2025-01-01,10,3,\n3,a,2025-01-01,10,,\n"
    data = bring({"deals.csv": text}, margin_share=share)
    found = collect(data.scan("deals").sort("deal_id"))["margin"]
    assert [None if m != m else m for m in found] == margins
    assert data.has("deals", "margin")


def test_without_cost_or_share_there_is_no_margin(bring: BringIn):
    assert not bring({"deals.csv": HEADER + "1,a,2025-01-01,5\n"}).has("deals", "margin")
    assert bring({"deals.csv": HEADER + "1,a,2025-01-01,5\n"}, margin_share=0.3).has("deals", "margin")


def test_families_of_columns_come_in_under_their_own_names(bring: BringIn):
    surveys = "response_id,client_id,answered_on,rating_product,rating_price\n1,a,2025-01-01,4,x\n"
    data = bring({"deals.csv": HEADER + "1,a,2025-01-01,5\n", "surveys.csv": surveys})
    assert data.has("surveys", "rating_product")
    assert not data.has("surveys", "rating_price")
    assert data.rejects["column"].tolist() == ["rating_price"]


def test_a_status_that_no_one_declared_is_a_reject(bring: BringIn):
    with pytest.raises(IntakeError, match=r'"Won deal", expected one of won, lost, open'):
        bring(
            {"deals.csv": "deal_id,client_id,closed_on,amount,status\n1,a,2025-01-01,5,Won deal\n"},
            intake={"max_rejected_share": 0.1},
        )


def test_a_merged_client_becomes_the_client_it_is_merged_into(make_company: MakeCompany):
    deals = pd.DataFrame(
        {"deal_id": list("123"), "client_id": ["a", "b", "c"], "closed_on": "2025-05-01", "amount": [1.0, 2.0, 4.0]}
    )
    clients = pd.DataFrame({"client_id": list("abc"), "name": ["Alpha", "Alfa", "Alpha Ltd"], "parent_id": [None, None, "b"]})
    merges = pd.DataFrame({"client_id": ["b", "c"], "into": ["a", "b"], "decided_by": "Ann"})
    data = make_company({"deals": deals, "clients": clients, "merges": merges}).data

    assert collect(data.scan("clients"))["client_id"].tolist() == ["a"]
    assert set(collect(data.scan("deals"))["client_id"]) == {"a"}
    assert collect(data.scan("deals"))["amount"].sum() == 7.0


def test_merges_that_lead_in_a_circle_are_refused(make_company: MakeCompany):
    deals = pd.DataFrame({"deal_id": ["1"], "client_id": ["a"], "closed_on": "2025-05-01", "amount": [1.0]})
    merges = pd.DataFrame({"client_id": ["a", "b"], "into": ["b", "a"], "decided_by": "Ann"})

    with pytest.raises(IntakeError, match="end at one client"):
        make_company({"deals": deals, "merges": merges})
