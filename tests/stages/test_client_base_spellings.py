"""Spellings that are joined, and those that are proposed."""

from __future__ import annotations

import pandas as pd
import pytest

from crm_methods.stages.client_base_spellings import rules_of, spellings
from tests.conftest import MakeCompany


def _rules(**clients: int) -> pd.DataFrame:
    return rules_of(
        pd.DataFrame({"written": [name.replace("_", " ") for name in clients], "clients": list(clients.values())})
    ).set_index("written")


def test_the_commonest_spelling_stands_for_those_with_the_same_letters():
    rules = _rules(Retail=3, retail=9, RE_TAIL=1, mining=2)

    assert rules["counted_as"].to_dict() == {"Retail": "retail", "retail": "retail", "RE TAIL": "retail", "mining": "mining"}


def test_looser_likeness_is_proposed_and_not_applied():
    rules = _rules(manufacturing=50, Manufactoring=2, telecom=40, Telecommunications=3)

    assert rules.loc["Manufactoring"].to_list() == [2, "Manufactoring", "manufacturing"]
    assert rules.loc["Telecommunications", "perhaps"] == "telecom"
    assert rules.loc["manufacturing", "perhaps"] == ""


@pytest.mark.parametrize(("one", "other"), [("Region_1", "Region_2"), ("North", "South"), ("Bank", "Banking_software")])
def test_different_groups_are_not_proposed(one: str, other: str):
    assert (_rules(**{one: 5, other: 3})["perhaps"] == "").all()


def test_every_client_is_counted_once_and_the_order_changes_nothing():
    counted = pd.DataFrame({"written": ["a b", "ab", "AB", "—", "c"], "clients": [1, 1, 1, 4, 2]})
    rules = rules_of(counted)

    assert rules["clients"].sum() == 9
    assert set(rules.loc[rules["written"].isin(["a b", "ab", "AB"]), "counted_as"]) == {"AB"}
    pd.testing.assert_frame_equal(rules, rules_of(counted.iloc[::-1]))


def test_one_spelling_each_and_none_at_all_are_said(make_company: MakeCompany):
    deals = pd.DataFrame({"deal_id": [1], "client_id": ["a"], "closed_on": "2025-02-01", "amount": 1.0})
    clients = pd.DataFrame({"client_id": ["a"], "industry": ["retail"]})

    assert "No two spellings" in spellings(make_company({"deals": deals, "clients": clients}).data).sentence
    assert "Neither industry nor territory" in spellings(make_company({"deals": deals}).data).sentence
