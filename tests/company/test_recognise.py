from __future__ import annotations

from collections.abc import Sequence

import pytest

from crm_methods.company.peek import Sample
from crm_methods.company.recognise import Recognised, recognise


def sample(label: str, header: str, *rows: str) -> Sample:
    return Sample(label, {"file": label}, tuple(header.split(";")), tuple(tuple(row.split(";")) for row in rows))


DEALS = sample(
    "orders.csv", "Order ID;Customer;Order date;Amount", *(f"{n};K{n % 4};2024-01-{n:02d};{n}.5" for n in range(1, 20))
)
CLIENTS = sample("customers.csv", "Customer;Industry;Employees", *(f"K{n};Tech;{n}" for n in range(5)))
SHIPPERS = sample("shippers.csv", "Company name;Phone", *(f"Ship {n};+49 89 55 000 {n}" for n in range(5)))


def tables(found: Recognised) -> dict[str, str]:
    return {feed.table: feed.sample.label for feed in found.feeds}


def columns(found: Recognised, table: str) -> dict[str, object]:
    feed = found.feed(table)
    assert feed is not None
    return {ours: match.title for ours, match in feed.matches.items()}


def test_files_are_recognised_in_any_order():
    for given in ([DEALS, CLIENTS, SHIPPERS], [SHIPPERS, CLIENTS, DEALS]):
        found = recognise(given)

        assert tables(found) == {"deals": "orders.csv", "clients": "customers.csv"}
        assert list(found.unused) == ["shippers.csv"]


def test_a_list_whose_ids_no_other_file_uses_is_not_the_clients():
    assert "clients" not in tables(recognise([DEALS, SHIPPERS]))


@pytest.mark.parametrize(
    "header",
    ["Auftragsnummer;Kunde;Auftragsdatum;Betrag", "N° commande;Code client;Date de commande;Montant HT",
     "Id pedido;Cliente;Fecha de pedido;Importe", "ID ordine;Codice cliente;Data ordine;Importo",
     "Номер заказа;Контрагент;Дата заказа;Сумма"],
)  # fmt: skip
def test_deals_are_recognised_in_the_language_of_the_file(header: str):
    found = recognise([Sample("export.csv", {"file": "export.csv"}, tuple(header.split(";")), DEALS.rows)])

    assert list(columns(found, "deals").values()) == header.split(";")


def test_a_name_with_the_wrong_content_is_not_taken():
    wrong = sample("orders.csv", "Order ID;Customer;Order date;Amount", *(f"{n};K{n};soon;much" for n in range(9)))

    assert "deals" not in tables(recognise([wrong]))


def test_the_client_column_is_the_one_whose_values_are_clients():
    deals = sample(
        "orders.csv", "Order ID;Client;Partner;Order date;Amount",
        *(f"{n};{n % 9}x;K{n % 4};2024-01-{n:02d};{n}.5" for n in range(1, 20)),
    )  # fmt: skip

    assert columns(recognise([deals, CLIENTS]), "deals")["client_id"] == "Partner"


def test_a_file_of_a_known_system_is_read_by_its_preset():
    titles = "ID;Стадия сделки;Компания;Сумма;Дата начала;Дата завершения;Ответственный"
    found = recognise(
        [sample("x.csv", titles, "1;В работе;Альфа;5,00;01.02.2024;;Иванов", "2;В работе;Бета;5,00;01.02.2024;;Иванов")]
    )

    assert found.feeds[0].preset == "bitrix24.deal"
    assert columns(found, "deals")["closed_on"] == "Дата завершения"


def test_a_dictionary_of_columns_is_no_table():
    dictionary = sample(
        "data_dictionary.csv", "Table;Field;Meaning", *(f"t;{c};what it is" for c in (*DEALS.columns, *CLIENTS.columns))
    )
    found = recognise([DEALS, CLIENTS, dictionary])

    assert "describes the columns" in found.unused["data_dictionary.csv"]


def test_a_second_file_of_the_same_kind_is_named_as_such():
    other = Sample("orders_old.csv", {"file": "orders_old.csv"}, DEALS.columns, DEALS.rows[:9])

    assert "orders.csv" in recognise([other, DEALS]).unused["orders_old.csv"]
    assert tables(recognise([other, DEALS]))["deals"] == "orders.csv"


def test_an_event_log_is_recognised_by_the_names_of_the_trade():
    log = sample(
        "log.csv", "case:concept:name;concept:name;time:timestamp;customer",
        *(f"Case {n % 3};step {n};2024-01-{n:02d} 10:00;K{n % 3}" for n in range(1, 10)),
    )  # fmt: skip

    assert columns(recognise([log]), "process_events") == {
        "case_id": "case:concept:name", "client_id": "customer", "activity": "concept:name", "at": "time:timestamp",
    }  # fmt: skip


@pytest.mark.parametrize("rows", [[], ["a;b;c;d"], [";;;", ";;;x"]])
def test_what_holds_nothing_feeds_nothing(rows: Sequence[str]):
    assert recognise([sample("orders.csv", "a;b;c;d", *rows)]).feeds == ()


def test_a_list_of_invoices_alone_holds_the_deals_too():
    rows = [f"{n};K{n % 4};2024-01-{n:02d};2024-02-{n:02d};{n}.5" for n in range(1, 20)]
    invoices = sample("invoices.csv", "Invoice no;Customer ID;Invoice date;Due date;Amount", *rows)

    assert tables(recognise([invoices])) == {"deals": "invoices.csv", "invoices": "invoices.csv"}
    assert tables(recognise([invoices, DEALS])) == {"deals": "orders.csv", "invoices": "invoices.csv"}


HUB = "Record ID;Deal Stage;Deal Name;Close Date;Create Date;Associated Company;Associated Company IDs;Amount"


def hub(*ids: str) -> Sample:
    return sample("deals.csv", HUB, *(f"{n};Closed won;x;2024-01-0{n};2024-01-01;Firm {n};{i};5" for n, i in enumerate(ids, 1)))


def test_a_column_without_any_cell_counts_as_not_there():
    assert recognise([hub("", "", "")]).feeds[0].title("client_id") == "Associated Company"


def test_without_a_list_of_clients_the_column_that_names_one_client_a_row_is_taken_and_asked_about():
    deals = recognise([hub("900,901", "902", "903")]).feeds[0]

    assert deals.title("client_id") == "Associated Company"
    assert "several ids in 1 rows" in deals.questions[0]


def test_of_several_ids_the_first_is_taken_where_the_list_of_clients_knows_the_ids_better_than_the_names():
    clients = sample("companies.csv", "Record ID;Company name;Company owner;Lifecycle Stage;Create Date;Annual Revenue",
                     *(f"90{n};Company {n};Ann;Customer;2024-01-01;" for n in range(4)))  # fmt: skip
    found = recognise([hub("900,901", "902", "903"), clients])
    deals, listed = found.feed("deals"), found.feed("clients")

    assert deals is not None
    assert listed is not None
    assert deals.title("client_id") == "Associated Company IDs"
    assert deals.extra["values"] == {"client_id": {"900,901": "900"}}
    assert "turnover" not in listed.matches


def test_ranges_of_employees_are_left_empty_and_asked_about():
    from crm_methods.company.feeds import completed

    titles = "ID;Название компании;Тип компании;Кол-во сотрудников;Рабочий телефон"
    rows = ("1;Альфа;Клиент;50-250;+7 495 1000000", "2;Бета;Клиент;менее 50;+7 495 1000001")
    firms = sample("c.csv", titles, *rows)
    deals = sample(
        "d.csv", "ID;Стадия сделки;Компания;Сумма;Дата начала;Дата завершения", "1;Новая;Альфа;5;01.02.2024;02.02.2024"
    )
    clients = completed(recognise([firms, deals]), [firms, deals]).feed("clients")

    assert clients is not None
    assert clients.extra["values"] == {"employees": {"50-250": "", "менее 50": ""}}
    assert "which number" in clients.questions[0]
