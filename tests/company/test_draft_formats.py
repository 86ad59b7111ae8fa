from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_methods.company.column_facts import facts_of
from crm_methods.company.draft_formats import shared_formats
from crm_methods.company.peek import Sample
from crm_methods.company.recognise import Feed, Match


def feed(
    table: str, label: str, columns: Mapping[str, str], *rows: tuple[str, ...], formats: Mapping[str, str] | None = None
) -> Feed:
    sample = Sample(label, {"file": label}, tuple(columns.values()), rows, formats=formats or {})
    return Feed(table, sample, {ours: Match(title, "sure", "") for ours, title in columns.items()}, 1.0)


def formats_of(*feeds: Feed) -> tuple[dict[str, str], dict[str, dict[str, str]], dict[str, Any]]:
    return shared_formats(feeds, {f.sample.label: facts_of(f.sample) for f in feeds})


def test_defaults_are_not_written_down():
    assert formats_of(feed("deals", "a", {"closed_on": "on", "amount": "sum"}, ("2024-01-05", "1.5"))) == ({}, {}, {})


def test_what_all_files_share_is_the_companys_and_the_rest_the_tables():
    semicolon = {"delimiter": ";"}
    deals = feed("deals", "a", {"closed_on": "on", "amount": "sum"}, ("25.01.2024", "1,5"), formats=semicolon)
    clients = feed(
        "clients", "b", {"name": "n", "since": "s"}, ("Аня", "03.02.2024"), formats={**semicolon, "encoding": "cp1251"}
    )
    products = feed("products", "c", {"list_price": "p"}, ("1.234,5",), formats=semicolon)
    common, own, _ = formats_of(deals, clients, products)

    assert common == {"date": "%d.%m.%Y", "decimal": ",", "delimiter": ";", "encoding": "cp1251"}
    assert own == {"products": {"decimal": ",", "thousands": "."}}


def test_files_that_differ_keep_their_own():
    one = feed("deals", "a", {"closed_on": "on"}, ("12/31/2024",))
    two = feed("invoices", "b", {"issued_on": "on"}, ("31.12.2024",))
    common, own, _ = formats_of(one, two)

    assert common == {}
    assert own == {"deals": {"date": "%m/%d/%Y"}, "invoices": {"date": "%d.%m.%Y"}}


def test_a_column_that_decides_day_and_month_decides_for_the_others_of_its_file():
    both = feed("deals", "a", {"opened_on": "from", "closed_on": "to"}, ("1/2/2024", "12/31/2024"))
    doubtful = feed("deals", "a", {"opened_on": "from", "closed_on": "to"}, ("1/2/2024", "3/4/2024"))

    assert formats_of(both)[0] == {"date": "%m/%d/%Y"}
    assert formats_of(both)[2] == {}
    assert len(formats_of(doubtful)[2]["deals"]) == 2


def test_a_table_that_has_a_thousands_mark_beside_one_that_has_none_says_both_marks():
    deals = feed("deals", "a", {"amount": "sum"}, ("1.234,50",))
    rates = feed("exchange_rates", "b", {"rate": "kurs"}, ("0,9500",))
    common, own, _ = formats_of(deals, rates)

    assert common == {"decimal": ","}
    assert own == {"deals": {"decimal": ",", "thousands": "."}}
