"""Which clients belong together."""

from __future__ import annotations

import pandas as pd
import pytest

from crm_methods.stages import client_base, client_base_groups
from crm_methods.stages.client_base_duplicates import Duplicates, duplicates
from crm_methods.stages.client_base_groups import MOST_OF_A_STEM, Groups, groups, proposed_members
from tests.conftest import MadeCompany, MakeCompany

OWNED = {"c1": "c0", "c2": "c1", "c4": "c3"}


def ask(company: MadeCompany) -> Groups:
    facts = client_base.client_facts(company.data, company.settings)
    twice = duplicates(company.data, company.settings, facts)
    assert isinstance(twice, Duplicates)
    found = groups(company.data, company.settings, facts, twice)
    assert isinstance(found, Groups)
    return found


def twenty(make_company: MakeCompany, **settings: object) -> MadeCompany:
    """Twenty clients with 100 of revenue each, three of them in one group and two in another."""
    ids = [f"c{i}" for i in range(20)]
    deals = pd.DataFrame({"deal_id": range(20), "client_id": ids, "closed_on": "2025-05-01", "amount": 100.0})
    names = [f"{chr(97 + i)}{chr(122 - i)}{chr(97 + i)}" for i in range(20)]
    clients = pd.DataFrame({"client_id": ids, "name": names, "parent_id": [OWNED.get(client) for client in ids]})
    return make_company({"deals": deals, "clients": clients}, **settings)


def test_groups_follow_the_chain_of_owners_and_change_the_concentration(make_company: MakeCompany):
    found = ask(twenty(make_company))

    assert found.groups[["group_id", "known_by", "clients", "revenue", "revenue_share"]].values.tolist() == [
        ["c0", "parent_id", 3, 300.0, 0.15],
        ["c3", "parent_id", 2, 200.0, 0.1],
    ]
    assert (found.top_share, found.top_share_by_group) == (pytest.approx(0.5), pytest.approx(0.65))
    assert found.members["client_id"].tolist() == ["c0", "c1", "c2", "c3", "c4"]
    assert "5 clients belong to 2 groups and bring 25% of revenue" in found.sentence
    assert "the ten largest bring 65.0% of revenue instead of 50.0%" in found.sentence
    assert "`unit: client`" in found.sentence


def test_with_groups_as_clients_the_same_groups_are_told(make_company: MakeCompany):
    company = twenty(make_company, unit="group")
    alone, found = ask(twenty(make_company)), ask(company)

    pd.testing.assert_frame_equal(found.groups, alone.groups)
    assert found.top_share == pytest.approx(alone.top_share_by_group)
    assert "each group counts as one client in every stage (`unit: group`)" in found.sentence


def test_revenue_of_known_groups_adds_up_to_that_of_their_members(make_company: MakeCompany):
    found, company = ask(twenty(make_company)), twenty(make_company)
    facts = client_base.client_facts(company.data, company.settings).collect("pandas").to_native()
    of_members = facts.loc[facts["client_id"].isin(found.members["client_id"]), "revenue"].sum()

    assert found.groups["revenue"].sum() == pytest.approx(float(of_members))


def test_a_circle_of_owners_is_told_and_no_group(make_company: MakeCompany):
    deals = pd.DataFrame({"deal_id": [1, 2], "client_id": ["a", "b"], "closed_on": "2025-05-01", "amount": 1.0})
    clients = pd.DataFrame({"client_id": ["a", "b"], "name": ["Alfa", "Beta"], "parent_id": ["b", "a"]})
    found = ask(make_company({"deals": deals, "clients": clients}))

    assert found.groups.empty
    assert "1 circle of clients that own each other" in found.sentence


def test_without_owners_it_is_said(make_company: MakeCompany):
    deals = pd.DataFrame({"deal_id": [1, 2], "client_id": ["a", "b"], "closed_on": "2025-05-01", "amount": 1.0})
    found = ask(make_company({"deals": deals}))

    assert found.groups.empty
    assert found.sentence == "No client is known to belong to a group: parent_id is empty."


def test_proposed_groups_stand_beside_the_known_ones(make_company: MakeCompany):
    clients = pd.DataFrame(
        [
            ("a", "Siemens Energy", None, None), ("b", "Siemens Health", None, None), ("c", "Owner", None, None),
            ("d", "Owned", "c", None), ("e", "Other", None, "x@holding.example"), ("f", "Thing", None, "y@holding.example"),
        ],
        columns=["client_id", "name", "parent_id", "email"],
    )  # fmt: skip
    deals = pd.DataFrame({"deal_id": range(6), "client_id": clients["client_id"], "closed_on": "2025-05-01", "amount": 10.0})
    found = ask(make_company({"deals": deals, "clients": clients}))

    assert found.groups[["group_id", "known_by", "clients", "revenue"]].values.tolist() == [
        ["c", "parent_id", 2, 20.0],
        ["a", "same beginning of name", 2, 20.0],
        ["e", "same e-mail domain", 2, 20.0],
    ]
    assert "2 other groups are proposed" in found.sentence


def test_of_a_base_too_large_the_largest_are_looked_at_and_it_is_said(make_company: MakeCompany, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(client_base_groups, "MAX_CLIENTS", 3)
    clients = pd.DataFrame(
        [("a", None, None), ("b", "Beta", None), ("c", "Gamma", "b"), ("d", "Delta", None), ("e", "Epsilon", "b")],
        columns=["client_id", "name", "parent_id"],
    )
    amounts = [900.0, 50.0, 40.0, 30.0, 1.0]
    deals = pd.DataFrame({"deal_id": range(5), "client_id": clients["client_id"], "closed_on": "2025-05-01", "amount": amounts})
    found = ask(make_company({"deals": deals, "clients": clients}))

    assert found.members["client_id"].tolist() == ["b", "c"]
    assert "Only the 3 clients with the most revenue were looked at, 2 other clients were not." in found.sentence


NOBODY = pd.DataFrame(columns=["client_id", "group_id"])
NEVER = pd.DataFrame(columns=["client_id", "duplicate_of"])


def listed(*names: str, email: str | None = None) -> pd.DataFrame:
    return pd.DataFrame({"client_id": [f"c{i:02d}" for i in range(len(names))], "name": list(names), "email": email})


def test_a_word_of_the_trade_a_repetition_and_a_known_group_are_not_proposed():
    common = listed(*(f"Baltic {word}" for word in "abcdefghijk"))
    siblings = listed("Siemens Energy", "Siemens Health")
    known = pd.DataFrame({"client_id": ["c00", "c01"], "group_id": "c00"})
    repeated = pd.DataFrame({"client_id": ["c01"], "duplicate_of": ["c00"]})

    assert len(common) > MOST_OF_A_STEM
    assert proposed_members(common, NOBODY, NEVER).empty
    assert proposed_members(siblings, known, NEVER).empty
    assert proposed_members(siblings, NOBODY, repeated).empty
    assert len(proposed_members(siblings, NOBODY, NEVER)) == 2


def test_the_same_clients_are_proposed_once_and_the_order_of_rows_changes_nothing():
    clients = listed("Acme Berlin North", "Acme Berlin South", "Acme Berlin East", email="info@acme.example")
    found = proposed_members(clients, NOBODY, NEVER)

    assert found["known_by"].tolist() == ["same e-mail domain"] * 3
    pd.testing.assert_frame_equal(found, proposed_members(clients.iloc[::-1], NOBODY, NEVER))
