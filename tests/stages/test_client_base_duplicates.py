"""Who is there twice."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas as pd
import pytest

from crm_methods.company.intake import bring_in
from crm_methods.company.settings import load_company
from crm_methods.engine import open_engine
from crm_methods.models.duplicate_blocks import MAX_BLOCK
from crm_methods.reports.exports import write_csv
from crm_methods.runs.artefacts import DEFAULT_COMPANY
from crm_methods.stages import client_base, client_base_duplicates
from crm_methods.stages.client_base_duplicates import Duplicates, decisions, duplicates, to_decide
from tests.conftest import MadeCompany, MakeCompany

RU_EXPORT = Path(__file__).resolve().parents[3] / "shared" / "data" / "ru_export" / "companies_cp1251.csv"
COLUMNS = ["client_id", "name", "tax_id", "phone", "email"]


def made(
    make_company: MakeCompany, *rows: tuple[str | None, ...], merges: pd.DataFrame | None = None, **settings: object
) -> MadeCompany:
    """A company of these clients (name, tax_id, phone, email), called c0, c1 …; each earned 100 more than the next."""
    clients = pd.DataFrame([(f"c{i}", *row) for i, row in enumerate(rows)], columns=COLUMNS[: len(rows[0]) + 1])
    deals = pd.DataFrame({"deal_id": range(len(rows)), "client_id": clients["client_id"], "closed_on": "2025-02-01"})
    deals["amount"] = [100.0 * (len(rows) - i) for i in range(len(rows))]
    tables = {"deals": deals, "clients": clients} | ({} if merges is None else {"merges": merges})
    return make_company(tables, **settings)


def ask(company: MadeCompany) -> Duplicates:
    found = duplicates(company.data, company.settings, client_base.client_facts(company.data, company.settings))
    assert isinstance(found, Duplicates)
    return found


def pairs(found: Duplicates) -> list[tuple[str, str, str]]:
    return list(found.pairs[["client_id", "duplicate_of", "reason"]].itertuples(index=False, name=None))


def decided(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["client_id", "into", "decision"]).assign(decided_by="Ann")


TWINS = (("Alfa Ltd", "12345"), ("ALFA", "12 345"), ("Omega", None), ("Omega LLC", None))


def test_the_client_with_the_most_revenue_is_the_one_repeated(make_company: MakeCompany):
    found = ask(made(make_company, *TWINS))

    assert pairs(found) == [("c1", "c0", "same tax number, same name"), ("c3", "c2", "same name")]
    assert found.pairs["revenue_total"].tolist() == [300.0, 100.0]
    assert found.pairs["score"].between(0, 1).all()
    assert found.sentence.startswith("2 clients of 4 look like a repetition of another, with €400 of revenue in all")
    assert found.table[["client", "name"]].values.tolist() == [["ALFA", "Alfa Ltd"], ["Omega LLC", "Omega"]]


def test_one_name_with_two_tax_numbers_is_two_clients(make_company: MakeCompany):
    assert ask(made(make_company, ("Alpha", "NL11111"), ("Alpha", "NL22222"))).pairs.empty


def test_a_record_without_a_number_joins_the_one_of_its_name(make_company: MakeCompany):
    found = ask(made(make_company, ("Other name", "NL11111"), ("Alpha", "NL11111"), ("alpha", None)))

    assert pairs(found)[1][:2] == ("c2", "c0")
    assert pairs(found)[1][2] == "by way of c1: same name"


def test_without_names_and_numbers_it_is_said(make_company: MakeCompany):
    deals = pd.DataFrame({"deal_id": [1, 2], "client_id": ["a", "b"], "closed_on": "2025-02-01", "amount": 1.0})
    found = ask(make_company({"deals": deals}))

    assert found.pairs.empty
    assert to_decide(found).empty
    assert "can't be found" in found.sentence


def test_what_is_decided_is_not_asked_again(make_company: MakeCompany):
    merges = decided(("c1", "c0", "same"), ("c2", "c3", "different"))
    found = ask(made(make_company, *TWINS, merges=merges))

    assert found.pairs.empty
    assert found.sentence.endswith(
        "2 decisions of the table merges were applied: 1 client merged into another and 1 pair kept apart."
    )


def test_an_empty_decision_is_none(make_company: MakeCompany):
    found = ask(made(make_company, *TWINS, merges=decided(("c1", "c0", "same"), ("c3", "c2", ""))))

    assert [pair[:2] for pair in pairs(found)] == [("c3", "c2")]
    assert "1 decision of the table merges was applied" in found.sentence


def test_a_client_kept_apart_is_kept_apart_from_what_the_other_became(make_company: MakeCompany):
    rows = (("Omega", None), ("Omega LLC", None), ("Omega", None))
    company = made(make_company, *rows, merges=decided(("c1", "c0", "same"), ("c1", "c2", "different")))

    assert ask(company).pairs.empty


def test_the_list_once_filled_in_is_the_merges_of_the_next_run(make_company: MakeCompany):
    first = made(make_company, *TWINS, ("Gamma", None), ("Gamma", None), merges=decided(("c3", "c2", "different")))
    listed = to_decide(ask(first))
    assert listed.columns[:6].tolist() == ["client_id", "into", "decision", "decided_by", "score", "reason"]
    assert listed[["client_id", "into"]].values.tolist() == [["c1", "c0"], ["c5", "c4"], ["c3", "c2"]]
    assert listed["decision"].fillna("").tolist() == ["", "", "different"]
    assert listed.loc[0, ["name", "name_into", "tax_id", "revenue_total_into"]].tolist() == ["ALFA", "Alfa Ltd", "12 345", 600.0]

    folder = first.folder
    write_csv(listed.assign(decision=["same", "", "different"]), folder / "merges.csv")
    text = (folder / "company.yml").read_text(encoding="utf-8").replace("  merges:\n    file: merges.csv\n", "")
    (folder / "company.yml").write_text(text, encoding="utf-8")
    company = load_company(folder)
    again = MadeCompany(folder, company, bring_in(company, folder, first.data.engine, folder / "again"))

    assert decisions(again.data)[["client_id", "into", "decision"]].values.tolist() == [
        ["c1", "c0", "same"],
        ["c3", "c2", "different"],
    ]
    assert [pair[:2] for pair in pairs(ask(again))] == [("c5", "c4")]


def test_what_too_many_share_is_said(make_company: MakeCompany):
    rows = [(f"{'mnop'[i % 4]}qr{i:03d}", None, None, f"x{i}@portal.example") for i in range(MAX_BLOCK + 1)]

    assert "(one e-mail domain, by 51)" in ask(made(make_company, *rows)).sentence


def test_of_a_base_too_large_the_largest_are_compared(make_company: MakeCompany, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(client_base_duplicates, "MAX_COMPARED", 3)
    found = ask(made(make_company, *TWINS))

    assert [pair[:2] for pair in pairs(found)] == [("c1", "c0")]
    assert "the 3 clients with the most revenue were compared, 1 other client was not." in found.sentence


def test_clients_of_whom_nothing_is_known_take_no_place_among_the_compared(
    make_company: MakeCompany, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(client_base_duplicates, "MAX_COMPARED", 4)
    nothing = ((None, None),) * 3
    found = ask(made(make_company, *nothing, *TWINS))

    assert [pair[:2] for pair in pairs(found)] == [("c4", "c3"), ("c6", "c5")]
    assert found.sentence.startswith("2 clients of 7 look like")
    assert "were compared" not in found.sentence


def test_the_score_is_called_a_score(make_company: MakeCompany):
    """Its weights are judgements: it is no probability."""
    assert ask(made(make_company, *TWINS)).labels["score"] == "Score, 0–1"


CYRILLIC = (
    ("ООО «Учебная-Громов»", "0098296577", "+7 (000) 909-45-70", "client010@example.com"),
    ("ЗАО «Тест-Беляков»", "0001412695", "7000922-39-35", "client008@example.com"),
    ("АО «Тест-Кулагин»", "0007224708", "8 000 475-31-55", "client004@example.com"),
    ("OOO Uchebnaya-Gromov", None, "8 000 909-45-70", None),
    ("Tест-Бeлякoв, ЗАО", None, None, None),  # Latin T, e and o
    ("Тест Кулагин", "0007224708", None, None),
    ("АО «Тест-Калугин»", "0007224999", "8 000 111-22-33", "client099@example.com"),
)


def test_cyrillic_names_are_compared_in_one_alphabet(make_company: MakeCompany):
    found = ask(made(make_company, *CYRILLIC))

    assert [pair[:2] for pair in pairs(found)] == [("c3", "c0"), ("c4", "c1"), ("c5", "c2")]


def test_no_two_companies_of_a_russian_export_are_taken_for_one(make_company: MakeCompany):
    if not RU_EXPORT.is_file():
        pytest.skip("the export is not beside this checkout")
    with RU_EXPORT.open(encoding="cp1251", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    kept = [(r["Название компании"], r["ИНН"], r["Рабочий телефон"], r["Рабочий e-mail"]) for r in rows]

    assert pairs(ask(made(make_company, *kept))) == []


@pytest.fixture(scope="module")
def meridian(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Duplicates]:
    """Meridian's clients as they are listed, and the likely duplicates among them."""
    folder = tmp_path_factory.mktemp("meridian")
    engine = open_engine(temp_folder=folder / "spill")
    company = load_company(DEFAULT_COMPANY)
    data = bring_in(company, DEFAULT_COMPANY, engine, folder / "canonical")
    found = ask(MadeCompany(DEFAULT_COMPANY, company, data))
    engine.close()
    return pd.read_csv(DEFAULT_COMPANY / "clients.csv", dtype=str), found


def planted() -> set[frozenset[str]]:
    truth = json.loads((DEFAULT_COMPANY / "truth.json").read_text(encoding="utf-8"))["duplicates"]
    return {frozenset(pair) for kind in ("exact", "variants") for pair in truth[kind].items()}


def together(found: pd.DataFrame) -> set[frozenset[str]]:
    """Every two clients that are taken for one, by way of others too."""
    entity = pd.concat([found[["client_id", "duplicate_of"]], found[["duplicate_of"]].assign(client_id=found["duplicate_of"])])
    joined = entity.drop_duplicates().merge(entity.drop_duplicates(), on="duplicate_of")
    return {frozenset((a, b)) for a, b in zip(joined["client_id_x"], joined["client_id_y"], strict=True) if a != b}


def test_meridians_planted_duplicates_are_found(meridian: tuple[pd.DataFrame, Duplicates]):
    """Precision of at least .9 and recall of at least .8, misspelt ones included, whichever of the two is kept."""
    _, found = meridian
    merged = {frozenset(pair) for pair in found.decided[["client_id", "into"]].itertuples(index=False)}
    pairs_found = together(found.pairs) | merged

    assert merged <= planted()
    assert len(pairs_found & planted()) / len(pairs_found) >= 0.9
    assert len(pairs_found & planted()) / len(planted()) >= 0.8


@pytest.mark.parametrize("unknown", [("tax_id",), ("phone",), ("email",), ("tax_id", "email"), ("phone", "email")])
def test_meridians_duplicates_are_found_with_less_to_go_by(
    meridian: tuple[pd.DataFrame, Duplicates], make_company: MakeCompany, unknown: tuple[str, ...]
):
    clients = meridian[0][["client_id", "name", "tax_id", "phone", "email", "address"]].drop(columns=list(unknown))
    deals = pd.DataFrame(
        {"deal_id": range(len(clients)), "client_id": clients["client_id"], "closed_on": "2025-02-01", "amount": 1.0}
    )
    pairs_found = together(ask(make_company({"deals": deals, "clients": clients})).pairs)

    assert len(pairs_found & planted()) / len(pairs_found) >= 0.9
    assert len(pairs_found & planted()) / len(planted()) >= 0.8
