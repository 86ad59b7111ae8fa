"""Purchases and returns are told apart and add up; what was decided by a rule is said."""

from __future__ import annotations

import pandas as pd
import pytest

from crm_methods.stages.client_base_rules import deal_kinds, decided_by_rule
from tests.conftest import MakeCompany

DEALS = pd.DataFrame(
    {
        "deal_id": ["1", "2", "3", "4", "5", "6"],
        "client_id": ["a", "a", "b", "b", "c", "d"],
        "closed_on": "2025-03-01",
        "amount": [100.25, -20.25, 50, 0, 30, 70],
        "status": ["won", "won", "won", "lost", "open", "cancelled"],
    }
)


def test_the_kinds_of_deals_add_up_to_what_was_accepted(make_company: MakeCompany):
    made = make_company({"deals": DEALS})
    answer = deal_kinds(made.data, made.settings)
    assert answer.kinds["kind"].tolist() == ["purchase", "return", "lost", "open", "cancelled"]
    assert answer.kinds["deals"].tolist() == [2, 1, 1, 1, 1]
    assert answer.kinds["amount"].sum() == pytest.approx(made.data.totals["accepted_amount"].iloc[0])
    assert "1 return of €20.25: revenue is €130.00" in answer.sentence
    assert "1 lost, 1 open and 1 cancelled are no revenue" in answer.sentence


def test_without_returns_and_others_the_sentence_is_short(make_company: MakeCompany):
    made = make_company({"deals": DEALS[DEALS["deal_id"] == "1"]})
    assert deal_kinds(made.data, made.settings).sentence == "The deals hold 1 purchase of €100.25 and no return."


def test_what_was_decided_by_a_rule_is_said_with_an_example(make_company: MakeCompany):
    clients = pd.DataFrame({"client_id": ["a", "b", "x1"], "name": ["A", "B", "Gamma Co"]})
    made = make_company({"deals": DEALS.assign(client_id=["a", "a", "b", "b", "Gamma Co", "zz"]), "clients": clients})
    answer = decided_by_rule(made.data)
    assert answer.table[["column", "rows", "for_example", "counts_as"]].values.tolist() == [
        ["client_id", 1, "Gamma Co", "x1"], ["client_id", 1, "zz", ""],
    ]  # fmt: skip
    assert answer.sentence.startswith("1 row was settled by a stated rule; 1 row names something that is not there")


def test_nothing_to_decide_is_said_too(make_company: MakeCompany):
    made = make_company({"deals": DEALS})
    assert decided_by_rule(made.data).sentence == "Every id names a row that is there: nothing had to be decided by a rule."
