from __future__ import annotations

import re
import stat
from pathlib import Path

import pandas as pd
import pytest

from crm_methods.company.intake import Canonical
from crm_methods.company.privacy import Pseudonyms, pseudonyms_of
from crm_methods.errors import SettingsError

from .conftest import BringIn

CLIENTS = (
    "client_id,name,email,phone,owner,address,tax_id\n"
    'c1,Acme,info@acme.example,+49 170 1234567,Eva Maier,"Ring 5, Bonn",7701234567\n'
    'c2,"Acme Holding, GmbH",,,Eva Maier,,\n'
    "c3,«Ромашка» ООО,,,Ян Ли,,\n"
    "c4,Sigma AG,,,,,112\n"
)
PERSONS = "person_id,client_id,name,email\np1,c1,Max Moritz,max.moritz@acme.example\n"
DEALS = "deal_id,client_id,closed_on,amount\n1,c1,2025-01-01,5\n2,Beta Ltd,2025-01-01,5\n3,buyer@x.example,2025-01-01,5\n"
PRIVATE = re.compile(
    r"Acme|Ромашка|Sigma|Eva|Maier|Ян Ли|acme\.example|1234567|Ring 5|7701234567|Max|Moritz|Beta|buyer", re.IGNORECASE
)


@pytest.fixture
def data(bring: BringIn) -> Canonical:
    return bring({"deals.csv": DEALS, "clients.csv": CLIENTS, "contact_persons.csv": PERSONS})


@pytest.fixture
def names(data: Canonical, tmp_path: Path) -> Pseudonyms:
    return pseudonyms_of(data, tmp_path / "private")


def test_pseudonyms_stay_the_same_with_the_key_and_differ_without(data: Canonical, names: Pseudonyms, tmp_path: Path):
    again, other = pseudonyms_of(data, tmp_path / "private"), pseudonyms_of(data, tmp_path / "other")
    assert again.text("Acme") == names.text("Acme") != other.text("Acme")
    assert re.fullmatch(r"Client [A-Z2-7]{8}", names.text("Acme"))
    assert re.fullmatch(r"Person [A-Z2-7]{8}", names.text("Eva Maier"))


def test_the_key_is_for_its_owner_only(names: Pseudonyms, tmp_path: Path):
    assert stat.S_IMODE((tmp_path / "private" / "pseudonyms.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o700
    assert len(names.key) == 32


@pytest.mark.parametrize("content", ["", "not a key", "abcd", "é"])
def test_a_damaged_key_is_refused_and_not_replaced(data: Canonical, tmp_path: Path, content: str):
    (tmp_path / "pseudonyms.key").write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match="expected the 64 hexadecimal digits"):
        pseudonyms_of(data, tmp_path)
    assert (tmp_path / "pseudonyms.key").read_text(encoding="utf-8") == content


@pytest.mark.parametrize(
    "sentence",
    [
        "Acme pays most.",
        "Most is paid by Acme.",
        "Acme's share, and that of “Acme”, (Acme), Acme/Sigma AG, Acme–Sigma AG; Acme:",
        "Acme, Acme Holding, GmbH and «Ромашка» ООО",
        "<td>Acme</td><td>Max Moritz</td>",
        "Call +49 170 1234567 or write to info@acme.example.",
        "Eva Maier/Ян Ли: Ring 5, Bonn; 7701234567",
        "an unknown one: someone.else@acme.example, too",
        "an unknown number: +49 (30) 1234567, and +7-495-1234567.",
        "AcmeAcme Acme",
        "Beta Ltd bought, and so did buyer@x.example",
    ],
)
def test_names_inside_sentences_are_replaced(names: Pseudonyms, sentence: str):
    said = names.text(sentence)
    assert not PRIVATE.search(said.replace("AcmeAcme", ""))


def test_the_longest_name_is_replaced_first(names: Pseudonyms):
    assert names.text("Acme Holding, GmbH") == names.of("name", "Acme Holding, GmbH")
    assert names.text("By Acme Holding, GmbH.") == f"By {names.of('name', 'Acme Holding, GmbH')}."
    assert names.text("By Acme Holding, Inc.") == f"By {names.of('name', 'Acme')} Holding, Inc."


def test_what_only_contains_a_name_is_another_word(names: Pseudonyms):
    assert names.text("Acmeology and MegaAcme") == "Acmeology and MegaAcme"


def test_short_numbers_are_left_alone(names: Pseudonyms):
    assert names.text("112 calls") == "112 calls"


@pytest.mark.parametrize("said", ["+12.5% and +1,234,567,890", "1e+1234567890", "a+1234567890", "+0100", "2025-12-31 +1 month"])
def test_figures_are_no_phone_numbers(names: Pseudonyms, said: str):
    assert names.text(said) == said


def test_nothing_personal_remains_in_a_frame(names: Pseudonyms):
    frame = pd.DataFrame(
        {
            "client_id": ["c1", "Beta Ltd", None],
            "client": ["Acme", "Never Seen Before Inc", ""],
            "owner": ["Eva Maier", "Somebody New", None],
            "comment": ["I am Max Moritz", "free words", None],
            "text": ["for Acme", "for all", "for Sigma AG"],
            "Eva Maier": [1, 2, 3],
            "segment": pd.Categorical(["Acme", "b", "b"]),
            "revenue": [1.0, 2.0, 3.0],
        },
        index=["Acme", "x", "y"],
    )
    before = frame.copy()
    shown = names.frame(frame)
    assert not PRIVATE.search(shown.to_csv())
    assert "Never Seen" not in shown.to_csv()
    assert "Somebody" not in shown.to_csv()
    assert "free words" not in shown.to_csv()
    assert shown["client_id"].tolist()[0] == "c1"
    assert shown["client_id"].tolist()[1] == names.text("Beta Ltd")
    assert shown["revenue"].tolist() == [1, 2, 3]
    assert set(before.columns) - set(shown.columns) == {"Eva Maier"}
    pd.testing.assert_frame_equal(frame, before)


def test_an_empty_frame_stays_empty(names: Pseudonyms):
    empty = pd.DataFrame({"client": pd.Series(dtype=object), "revenue": pd.Series(dtype=float)})
    pd.testing.assert_frame_equal(names.frame(empty), empty)


def test_ids_that_are_names_are_covered_all_of_them(bring: BringIn, tmp_path: Path):
    rows = "".join(f"{n},{name},2025-01-01,5\n" for n, name in enumerate(["Betasoloin", "3M", "Isdom", "1001"]))
    names = pseudonyms_of(bring({"deals.csv": "deal_id,client_id,closed_on,amount\n" + rows}), tmp_path)
    assert set(names.known) == {"Betasoloin", "3M", "Isdom"}


def test_codes_are_not_names(bring: BringIn, tmp_path: Path):
    rows = "".join(f"{n},C-{n:04},2025-01-01,5\n" for n in range(20))
    names = pseudonyms_of(bring({"deals.csv": "deal_id,client_id,closed_on,amount\n" + rows}), tmp_path)
    assert names.known == {}
    assert names.text("C-0001 bought 5") == "C-0001 bought 5"


def test_a_spelling_that_a_rule_settled_and_a_merged_client_leave_as_pseudonyms(bring: BringIn, tmp_path: Path):
    files = {
        "clients.csv": "client_id,name\n1,Quartz Metals\n2,Quarz Metals\n3,Other\n",
        "deals.csv": "deal_id,client_id,closed_on,amount\n1,QUARTZ metals,2025-01-01,5\n2,Zephyr Works,2025-01-01,5\n",
        "merges.csv": "client_id,into\n2,1\n",
    }
    mask = pseudonyms_of(bring(files), tmp_path / "private")
    told = mask.text("QUARTZ metals, Quarz Metals and Zephyr Works")
    assert not any(name in told for name in ("QUARTZ", "Quarz", "Zephyr"))
