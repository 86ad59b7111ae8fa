"""Who is there twice."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from crm_methods.company.intake import bring_in
from crm_methods.company.settings import load_company
from crm_methods.engine import open_engine
from crm_methods.runs.artefacts import DEFAULT_COMPANY
from crm_methods.stages import client_base
from crm_methods.stages.client_base_duplicates import duplicate_pairs, duplicates, normal_name, normal_tax_id
from tests.conftest import MakeCompany


def _clients(*rows: tuple[str, str | None, str | None, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["client_id", "name", "tax_id", "revenue_total"])


def _pairs(*rows: tuple[str, str | None, str | None, float]) -> list[tuple[str, str, str]]:
    found = duplicate_pairs(_clients(*rows))
    return list(found[["client_id", "duplicate_of", "reason"]].itertuples(index=False, name=None))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Baltic Telecom AG", "BALTIC  TELECOM"),
        ("Fjord Leasing Sp. z o.o.", "Fjord Leasing Sp z oo"),
        ("Opal Bank S.p.A.", "opal-bank SPA"),
        ("ООО «Ромашка»", "Ромашка, ООО"),
        ("Müller & Co. KG", "MULLER AND CO"),
        ("O'Neil Ltd.", "ONeil Limited"),
        ("Alfa s.r.o.", "ALFA SRO"),
    ],
)
def test_case_signs_and_legal_forms_do_not_tell_names_apart(one: str, other: str):
    assert normal_name(one) == normal_name(other)


@pytest.mark.parametrize(("one", "other"), [("Alpha One", "Alpha Two"), ("Co", "KG"), ("Delta 1", "Delta 11")])
def test_other_names_stay_apart(one: str, other: str):
    assert normal_name(one) != normal_name(other)


def test_a_tax_number_without_digits_is_none():
    assert normal_tax_id("000-00 0") == ""
    assert normal_tax_id("nl 84.5491104") == "NL845491104"


def test_the_client_with_the_most_revenue_is_the_one_repeated():
    assert _pairs(("a", "Alpha", "NL11111", 5.0), ("b", "ALPHA", "NL 11111", 50.0)) == [("a", "b", "same tax number and name")]


def test_one_name_with_two_tax_numbers_is_two_clients():
    assert _pairs(("a", "Alpha", "NL11111", 5.0), ("b", "Alpha", "NL22222", 50.0)) == []


def test_a_record_without_a_number_joins_the_one_of_its_name():
    rows = (("a", "Alpha", "NL11111", 5.0), ("b", "Other name", "NL11111", 50.0), ("c", "alpha", None, 1.0))

    assert _pairs(*rows) == [("a", "b", "same tax number"), ("c", "b", "same tax number as a namesake")]


def test_a_number_that_many_names_share_is_no_identity():
    assert _pairs(*((str(i), f"Name {i}", "1234567890", float(i)) for i in range(6))) == []


def test_nobody_repeats_a_repetition_and_the_order_changes_nothing():
    clients = _clients(*((f"c{i:02d}", f"Name {i % 7} Ltd", None, float(i * 13 % 10)) for i in range(30)))
    pairs = duplicate_pairs(clients)

    assert len(pairs) == 30 - 7
    assert set(pairs["client_id"]).isdisjoint(pairs["duplicate_of"])
    pd.testing.assert_frame_equal(pairs, duplicate_pairs(clients.sample(frac=1, random_state=3)))


def test_without_names_and_numbers_it_is_said(make_company: MakeCompany):
    deals = pd.DataFrame({"deal_id": [1, 2], "client_id": ["a", "b"], "closed_on": "2025-02-01", "amount": 1.0})
    made = make_company({"deals": deals})
    found = duplicates(made.data, made.settings, client_base.client_facts(made.data, made.settings))

    assert found.pairs.empty
    assert "can't be found" in found.sentence


def test_meridians_exact_duplicates_are_found(tmp_path):
    """Precision of at least .9 against the planted truth; a pair is right whichever of the two is kept."""
    truth = json.loads((DEFAULT_COMPANY / "truth.json").read_text(encoding="utf-8"))["duplicates"]
    engine = open_engine(temp_folder=tmp_path / "spill")
    company = load_company(DEFAULT_COMPANY)
    data = bring_in(company, DEFAULT_COMPANY, engine, tmp_path / "canonical")
    found = duplicates(data, company, client_base.client_facts(data, company)).pairs
    engine.close()
    planted = {frozenset(pair) for kind in ("exact", "variants") for pair in truth[kind].items()}
    pairs = {frozenset(pair) for pair in found[["client_id", "duplicate_of"]].itertuples(index=False)}

    assert len(pairs & planted) / len(pairs) >= 0.9
    assert {frozenset(pair) for pair in truth["exact"].items()} <= pairs
