"""Which clients are one, and what becomes of their rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_methods.company.client_units import MEMBERS_FILE, ends_and_circles, owners
from crm_methods.company.intake import Canonical, bring_in
from crm_methods.company.settings import load_company
from crm_methods.engine import Engine, collect
from crm_methods.errors import IntakeError
from tests.conftest import MakeCompany

from .conftest import BringIn, write_company

AMOUNTS = {"a": 1.0, "b": 2.0, "c": 4.0, "d": 8.0}


def deals(amounts: Mapping[str, float] = AMOUNTS) -> pd.DataFrame:
    frame = pd.DataFrame({"client_id": list(amounts), "amount": list(amounts.values())})
    return frame.assign(deal_id=[f"d{i}" for i in range(len(frame))], closed_on="2025-05-01")


def clients(**columns: list[object]) -> pd.DataFrame:
    return pd.DataFrame({"client_id": list("abcd"), "name": ["Alfa", "Beta", "Gamma", "Delta"], **columns})


def merges(*rows: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["client_id", "into", "decision"][: len(rows[0])])


def units(data: Canonical) -> dict[str, float]:
    """Client → what it bought."""
    sold = collect(data.scan("deals"))
    assert set(sold["client_id"]) <= set(collect(data.scan("clients"))["client_id"])
    return sold.groupby("client_id")["amount"].sum().to_dict()


def row(data: Canonical, client: str) -> dict[str, object]:
    listed = collect(data.scan("clients")).set_index("client_id").loc[client]
    return listed.where(listed.notna(), None).to_dict()


def members(data: Canonical) -> dict[str, tuple[str, str]]:
    rows = pd.read_parquet(data.folder / MEMBERS_FILE).astype(object)
    return {client: (unit, how) for client, unit, how in rows[["client_id", "unit_id", "how"]].itertuples(index=False)}


def test_only_the_same_are_merged_and_chains_are_followed_to_their_end(make_company: MakeCompany):
    decided = merges(("b", "a", "same"), ("c", "b", "same"), ("d", "a", "different"))

    assert units(make_company({"deals": deals(), "clients": clients(), "merges": decided}).data) == {"a": 7.0, "d": 8.0}


def test_without_a_column_every_row_is_a_decision(make_company: MakeCompany):
    data = make_company({"deals": deals(), "clients": clients(), "merges": merges(("b", "a"), ("d", "c"))}).data

    assert units(data) == {"a": 3.0, "c": 12.0}
    assert collect(data.scan("merges"))["decision"].tolist() == ["same", "same"]


def test_an_empty_cell_is_no_decision(make_company: MakeCompany):
    decided = merges(("b", "a", ""), ("c", "a", ""))

    assert units(make_company({"deals": deals(), "clients": clients(), "merges": decided}).data) == AMOUNTS


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        ([("a", "b", "same"), ("b", "a", "same")], "found a → b → a, expected decisions that end at one client"),
        ([("a", "b", "same"), ("a", "c", "same")], "found a merged into b and c"),
        ([("a", "b", "same"), ("a", "b", "different")], "found a and b both the same and different"),
        ([("a", "b", "same"), ("c", "b", "same"), ("a", "c", "different")], "found a and c both the same and different"),
    ],
)
def test_decisions_that_contradict_each_other_are_refused(make_company: MakeCompany, rows: list[tuple[str, ...]], part: str):
    with pytest.raises(IntakeError, match=part):
        make_company({"deals": deals(), "merges": merges(*rows)})


def test_what_the_kept_client_lacks_is_taken_from_the_merged_one_with_the_most_revenue(make_company: MakeCompany):
    known = clients(industry=["telecom", "bank", "retail", None], employees=[None, 20, 30, 40], parent_id=[None, "a", None, None])
    decided = merges(("b", "a"), ("c", "a"))
    kept = row(make_company({"deals": deals(), "clients": known, "merges": decided}).data, "a")

    assert (kept["name"], kept["industry"], kept["employees"], kept["parent_id"]) == ("Alfa", "telecom", 30, None)


def test_a_client_merged_into_one_without_a_row_leaves_its_own(make_company: MakeCompany):
    kept = row(make_company({"deals": deals(), "clients": clients(), "merges": merges(("b", "new"))}).data, "new")

    assert kept["name"] == "Beta"


def test_merges_beside_company_yml_need_no_entry(tmp_path: Path, engine: Engine):
    text = "deal_id,client_id,closed_on,amount\n1,a,2025-01-01,5\n2,b,2025-01-01,6\n"
    german = {"delimiter": ",", "decimal": ".", "encoding": "cp1251"}
    for saved in ("client_id,into,decision,name\nb,a,same,Бета\n", "client_id;into;decision;name\r\nb;a;same;Бета\r\n"):
        for encoding in ("utf-8-sig", "cp1251"):
            files = {"deals.csv": text, "merges.csv": saved.encode(encoding)}
            folder = write_company(tmp_path / "company", files, {"deals": {"file": "deals.csv"}}, formats=german)
            company = load_company(folder)
            assert units(bring_in(company, folder, engine, tmp_path / "canonical")) == {"a": 11.0}


def test_a_decision_that_is_no_word_of_ours_is_a_reject_and_no_decision(bring: BringIn):
    text = "deal_id,client_id,closed_on,amount\n1,a,2025-01-01,5\n2,b,2025-01-01,6\n"
    data = bring({"deals.csv": text, "merges.csv": "client_id,into,decision\nb,a,perhaps\n"})

    assert units(data) == {"a": 5.0, "b": 6.0}
    assert data.rejects["found"].tolist() == ["perhaps"]


GROUP = {"unit": "group"}


def test_a_group_is_the_end_of_the_chain_of_its_owners(make_company: MakeCompany):
    owned = {"deals": deals(), "clients": clients(parent_id=[None, "a", "b", None])}

    assert units(make_company(owned).data) == AMOUNTS
    grouped = make_company(owned, **GROUP).data
    assert units(grouped) == {"a": 7.0, "d": 8.0}
    assert members(grouped) == {"a": ("a", "itself"), "b": ("a", "group"), "c": ("a", "group"), "d": ("d", "itself")}


def test_members_say_what_became_of_every_client_of_the_source(make_company: MakeCompany):
    tables = {
        "deals": deals({**AMOUNTS, "e": 1.0}),
        "clients": clients(parent_id=[None, "a", None, None]),
        "merges": merges(("c", "b")),
    }
    alone = {"a": ("a", "itself"), "d": ("d", "itself"), "e": ("e", "itself")}

    assert members(make_company(tables).data) == {**alone, "b": ("b", "itself"), "c": ("b", "merged")}
    assert members(make_company(tables, **GROUP).data) == {**alone, "b": ("a", "group"), "c": ("a", "merged")}


def test_a_group_keeps_its_own_row_and_sums_the_sizes_it_does_not_know(make_company: MakeCompany):
    known = clients(
        parent_id=[None, "a", "a", "a"], employees=[None, 10, 20, None], turnover=[500.0, 1.0, 1.0, 1.0],
        industry=[None, "bank", "retail", None], tax_id=[None, "11111", "22222", None],
    )  # fmt: skip
    kept = row(make_company({"deals": deals(), "clients": known}, **GROUP).data, "a")

    assert (kept["name"], kept["employees"], kept["turnover"], kept["industry"]) == ("Alfa", 30, 500.0, "retail")
    assert (kept["tax_id"], kept["parent_id"]) == (None, None)


def test_an_owner_may_be_named_and_one_that_is_no_client_is_made(make_company: MakeCompany):
    owned = clients(parent_id=["gamma ", None, None, None])
    assert units(make_company({"deals": deals(), "clients": owned}, **GROUP).data) == {"b": 2.0, "c": 5.0, "d": 8.0}

    foreign = make_company({"deals": deals(), "clients": clients(parent_id=["Holding", "HOLDING", None, "Delta"])}, **GROUP).data
    assert units(foreign) == {"HOLDING": 3.0, "c": 4.0, "d": 8.0}
    assert row(foreign, "HOLDING")["name"] == "HOLDING"


def test_clients_that_own_each_other_are_refused_and_all_named(make_company: MakeCompany):
    tables = {"deals": deals(), "clients": clients(parent_id=["b", "a", "d", "c"])}

    assert units(make_company(tables).data) == AMOUNTS
    with pytest.raises(IntakeError, match=r"a → b → a(.|\n)*c → d → c"):
        make_company(tables, **GROUP)


def test_referrals_name_units_and_nobody_refers_itself(make_company: MakeCompany):
    known = clients(parent_id=[None, "a", None, None], referred_by=["b", None, "b", None])
    data = make_company({"deals": deals(), "clients": known}, **GROUP).data

    assert (row(data, "a")["referred_by"], row(data, "c")["referred_by"]) == (None, "a")


def test_a_unit_is_in_a_programme_once_and_in_one_arm_or_in_none(make_company: MakeCompany):
    enrolled = pd.DataFrame(
        {
            "client_id": list("abd"), "programme_id": "p", "joined_on": ["2025-03-01", "2025-01-01", "2025-02-01"],
            "left_on": [None, "2025-02-01", None], "tier": [None, "gold", None],
        }
    )  # fmt: skip
    drawn = pd.DataFrame({"campaign_id": list("xxyyx"), "client_id": list("ababd"), "arm": ["t", "c", "t", "t", "c"]})
    tables = {"deals": deals(), "clients": clients(parent_id=[None, "a", None, None])}
    data = make_company({**tables, "programme_members": enrolled, "assignments": drawn}, **GROUP).data
    kept = collect(data.scan("programme_members").sort("client_id"))
    arms = collect(data.scan("assignments").sort("campaign_id"))

    assert kept["client_id"].tolist() == ["a", "d"]
    assert kept["joined_on"].dt.strftime("%m-%d").tolist() == ["01-01", "02-01"]
    assert kept["left_on"].isna().all()
    assert kept["tier"].tolist()[0] == "gold"
    assert arms[["campaign_id", "client_id", "arm"]].values.tolist() == [["x", "d", "c"], ["y", "a", "t"]]


def test_what_was_joined_is_counted(make_company: MakeCompany):
    drawn = pd.DataFrame({"campaign_id": "y", "client_id": list("abd"), "arm": "t"})
    tables = {
        "deals": deals(),
        "clients": clients(parent_id=[None, "a", None, "new"]),
        "merges": merges(("c", "b")),
        "assignments": drawn,
    }
    data = make_company(tables, **GROUP).data
    members(data)
    totals = data.totals.set_index("table")

    assert totals.loc[["clients", "assignments", "deals"], "merged_rows"].tolist() == [3, 1, 0]
    # a; d is in a group that only parent_id names
    assert collect(data.scan("clients"))["client_id"].tolist() == ["a", "new"]
    assert len(collect(data.scan("assignments"))) == 2


def test_owners_are_found_by_id_before_name_and_an_ambiguous_name_is_an_owner_of_its_own():
    listed = pd.DataFrame(
        [("a", "b", None), ("b", "Beta", None), ("c", "Twin", "b"), ("d", "Twin", "Twin"), ("e", "E", "e"), ("f", None, " ")],
        columns=["client_id", "name", "parent_id"],
    )

    assert owners(listed) == {"c": "b", "d": "Twin"}


CHAINS = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from("abcdefghxyz"), max_size=8)


@given(CHAINS)
def test_every_chain_ends_or_runs_into_a_circle(leads_to: dict[str, str]):
    ends, circles = ends_and_circles(leads_to)

    assert all(end not in leads_to for end in ends.values())
    assert all(leads_to[a] == b for circle in circles for a, b in zip(circle, [*circle[1:], circle[0]], strict=True))
    assert len({frozenset(circle) for circle in circles}) == len(circles)
    assert bool(circles) == bool(set(leads_to) - set(ends))
