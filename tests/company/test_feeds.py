from __future__ import annotations

from crm_methods.company.feeds import completed
from crm_methods.company.peek import Sample
from crm_methods.company.recognise import Recognised, recognise


def sample(label: str, titles: str, *rows: str, **place: object) -> Sample:
    cut = tuple(tuple(row.split(";")) for row in rows)
    return Sample(label, {"file": label, **place}, tuple(titles.split(";")), cut)


def complete(*samples: Sample) -> Recognised:
    return completed(recognise(samples), samples)


def test_a_pipeline_that_names_products_feeds_lines_too():
    rows = [f"{n};K{n % 4};P{n % 3};2024-01-{n:02d};{n}.5" for n in range(1, 20)]
    found = complete(sample("pipeline.csv", "Opportunity ID;Account;Product;Close date;Value", *rows))
    lines = found.feed("deal_lines")

    assert lines is not None
    assert {ours: m.title for ours, m in lines.matches.items()} == {
        "deal_id": "Opportunity ID", "product_id": "Product", "unit_price": "Value",
    }  # fmt: skip


def test_rows_that_share_an_order_are_its_lines():
    rows = [f"{n // 3};K{n // 6};P{n % 3};2024-01-{n // 3 + 1:02d};{n}.5;2" for n in range(60)]
    found = complete(sample("sales.csv", "Order ID;Customer ID;SKU;Order date;Sales value;Quantity", *rows))
    deals = found.feed("deals")

    assert deals is not None
    assert deals.extra["reshape"] == {"lines": True}
    assert (deals.title("product_id"), deals.title("quantity")) == ("SKU", "Quantity")
    assert found.feed("deal_lines") is None


def test_a_wide_table_of_spending_feeds_deals_and_clients():
    rows = [f"{n};{n % 3};{n}1;{n}2;{n}3;{n}4" for n in range(1, 60)]
    found = complete(sample("wholesale.csv", "CustomerId;Region;Fresh;Milk;Grocery;Frozen", *rows))
    deals = found.feed("deals")

    assert deals is not None
    assert deals.extra["reshape"] == {"unpivot": ["Fresh", "Milk", "Grocery", "Frozen"]}
    assert "generate" not in deals.extra
    assert found.feed("clients") is not None
    assert found.unused == {}


def test_a_file_without_header_is_told_by_content_and_asked_about():
    rows = [f"{n // 3:05d};{20240101 + n};{n % 4};{n}.50" for n in range(20)]
    found = complete(sample("purchases.txt", "column_1;column_2;column_3;column_4", *rows, header=False))
    deals = found.feed("deals")

    assert deals is not None
    assert {ours: m.title for ours, m in deals.matches.items()} == {
        "client_id": "column_1", "closed_on": "column_2", "amount": "column_4",
    }  # fmt: skip
    assert deals.extra == {"generate": "row"}
    assert any("no header" in question for question in deals.questions)


def test_the_person_beside_a_client_is_its_contact():
    deals = sample(
        "orders.csv", "Order ID;Customer ID;Order date;Amount", *(f"{n};K{n};2024-01-{n:02d};{n}.5" for n in range(1, 9))
    )
    clients = sample("customers.csv", "Customer ID;Company name;Contact name;Job title",
                     *(f"K{n};Firm {n};Ann {n};buyer" for n in range(1, 9)))  # fmt: skip
    persons = complete(deals, clients).feed("contact_persons")

    assert persons is not None
    assert {ours: m.title for ours, m in persons.matches.items()} == {
        "person_id": "Customer ID", "client_id": "Customer ID", "name": "Contact name", "role": "Job title",
    }  # fmt: skip
