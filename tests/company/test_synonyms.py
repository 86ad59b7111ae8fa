from __future__ import annotations

import pytest

from crm_methods.company.contracts import TABLES
from crm_methods.company.synonyms import lexicon


@pytest.mark.parametrize(
    ("table", "column", "titles"),
    [
        ("deals", "deal_id", "Order ID;order_id;Auftragsnummer;Numéro de commande;Id pedido;ID ordine;Номер сделки"),
        ("deals", "client_id", "CustomerID;Kunden-Nr.;Code client;ID cliente;Codice cliente;Контрагент"),
        ("deals", "closed_on", "Close Date;Rechnungsdatum;Date de commande;Fecha de cierre;Data chiusura;Дата закрытия"),
        ("deals", "amount", "Amount (EUR);Betrag €;Montant HT;Importe;Importo;Сумма, руб."),
        ("clients", "industry", "Industry;Branche;Secteur d'activité;Sector;Settore;Отрасль"),
        ("interactions", "started_at", "Created at;Erstellt am;Date de création;Fecha de creación;Data apertura;Дата обращения"),
    ],
)  # fmt: skip
def test_columns_are_known_in_six_languages(table: str, column: str, titles: str):
    assert [title for title in titles.split(";") if lexicon().likeness(table, column, title) < 0.6] == []


def test_every_canonical_name_names_itself():
    words = lexicon()

    assert [
        f"{table}.{column}"
        for table in words.columns
        for column in TABLES[table].names
        if words.likeness(table, column, column) < 1
    ] == []


def test_a_slip_of_the_pen_is_likely_and_another_word_is_nothing():
    assert lexicon().likeness("deals", "closed_on", "cloze_date") == 0.7
    assert lexicon().likeness("deals", "closed_on", "birthday") == 0.0


def test_a_general_name_counts_less_than_a_telling_one():
    words = lexicon()

    assert words.likeness("deals", "closed_on", "Date") < words.likeness("deals", "closed_on", "Order date")


def test_names_of_files_speak_for_tables():
    words = lexicon()

    assert words.speaks_for("deals", "sales_pipeline.csv")
    assert words.speaks_for("products", "Artikelstamm 2024.xlsx")
    assert words.speaks_for("clients", "Клиенты.xlsx, sheet Лист1")
    assert not words.speaks_for("deals", "customers.csv")


def test_words_of_deals_become_what_the_contract_knows():
    status = TABLES["deals"].column("status")

    assert status is not None
    assert set(lexicon().words["status"].values()) <= set(status.values)
