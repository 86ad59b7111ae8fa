from __future__ import annotations

from crm_methods.company.feeds import completed
from crm_methods.company.peek import Sample
from crm_methods.company.recognise import Feed, recognise


def sample(label: str, header: str, *rows: str) -> Sample:
    return Sample(label, {"file": label}, tuple(header.split(";")), tuple(tuple(row.split(";")) for row in rows))


def feed(table: str, *samples: Sample) -> Feed:
    found = completed(recognise(samples), samples).feed(table)
    assert found is not None
    return found


def orders(header: str = "Order ID;Customer;Order date;Amount;Status", status: str = "Won", product: str = "P1") -> Sample:
    rows = [f"{n};K{n % 4};2024-01-{n:02d};{n}.5;{status};{product}" for n in range(1, 9)]
    return sample("orders.csv", f"{header};Product", *rows)


def test_known_words_for_won_and_lost_are_translated_and_others_asked_about():
    known = feed("deals", orders(status="Gewonnen"))
    unknown = feed("deals", orders(status="Zurückgestellt"))

    assert known.extra["values"] == {"status": {"Gewonnen": "won"}}
    assert known.questions == ()
    assert unknown.extra["values"] == {"status": {"*": "open"}}
    assert "Zurückgestellt" in unknown.questions[0]


def test_a_column_of_many_words_is_not_the_status():
    rows = [f"{n};K{n % 4};2024-01-{n % 28 + 1:02d};{n}.5;note {n}" for n in range(60)]
    deals = feed("deals", sample("orders.csv", "Order ID;Customer;Order date;Amount;Status", *rows))

    assert "status" not in deals.matches


def test_a_turnover_too_small_for_its_employees_is_asked_about():
    small = sample("customers.csv", "Customer;Revenue;Employees", *(f"K{n};{n}00.5;{n}000" for n in range(1, 9)))
    plausible = sample("customers.csv", "Customer;Revenue;Employees", *(f"K{n};{n}00000000;{n}000" for n in range(1, 9)))

    assert any("millions" in question for question in feed("clients", orders(), small).questions)
    assert feed("clients", orders(), plausible).questions == ()


def test_a_unit_in_a_title_is_taken():
    rows = [f"{n};K{n % 4};2024-01-{n:02d} 10:00;{n}0" for n in range(1, 9)]
    calls = feed("interactions", sample("calls.csv", "Call ID;Customer;Call date;Duration (sec)", *rows))
    discounts = feed("deals", sample("orders.csv", "Order ID;Customer;Order date;Amount;Discount",
                                     *(f"{n};K{n % 4};2024-01-{n:02d};{n}.5;1{n}" for n in range(1, 9))))  # fmt: skip

    assert calls.extra["units"] == {"handling_minutes": "seconds"}
    assert discounts.extra["units"] == {"discount_share": "percent"}


def test_a_parent_must_be_a_client_of_the_list():
    rows = [f"K{n};{'K1' if n % 2 else ''};Group {n}" for n in range(1, 9)]
    clients = feed("clients", orders(), sample("customers.csv", "Customer;Subsidiary of;Holding", *rows))
    strangers = feed(
        "clients", orders(), sample("customers.csv", "Customer;Holding;City", *(f"K{n};H{n};Rome" for n in range(1, 9)))
    )

    assert clients.title("parent_id") == "Subsidiary of"
    assert "parent_id" not in strangers.matches


def test_the_activity_that_ends_most_cases_closes_them():
    rows = [
        f"C{n};{step};2024-01-{n:02d} 1{hour}:00;K{n}"
        for n in range(1, 9)
        for hour, step in enumerate(["Opened", "Reply", "Archived"])
    ]
    events = feed("process_events", sample("log.csv", "Case ID;Activity;Timestamp;Customer", *rows))

    assert events.extra["cases"] == {"closed_by": ["Archived"], "answered_by": ["Reply"]}
    assert len(events.questions) == 1


def test_products_written_otherwise_than_in_the_list_are_proposed_as_the_same():
    products = sample("products.csv", "Product;Price", *(f"GTX {n};{n}5" for n in range(1, 5)))
    lines = feed("deal_lines", orders(product="GTX1"), products)

    assert lines.extra["values"] == {"product_id": {"GTX1": "GTX 1"}}
    assert any("GTX1" in question for question in lines.questions)


def test_codes_are_spelt_out_by_a_file_of_codes_and_names():
    products = sample("products.csv", "Product ID;Product name;Category ID", *(f"{n};Thing {n};{n % 2}" for n in range(1, 9)))
    categories = sample("groups.csv", "Category ID;Label", "0;Tools", "1;Toys")
    found = feed("products", orders(), products, categories)

    assert found.title("category") == "Category ID"
    assert found.extra["lookup"] == {"category": {"file": "groups.csv", "key": "Category ID", "value": "Label"}}


def test_deals_without_an_amount_and_without_priced_lines_are_asked_about():
    rows = [f"{n};K{n % 4};2024-01-{n:02d};{n}.5" for n in range(1, 9)]
    deals = feed("deals", sample("orders.csv", "Order ID;Customer;Order date;Foo", *rows))

    assert any("Foo" in question for question in deals.questions)


def test_members_of_a_campaign_without_an_arm_are_taken_for_treated_and_asked_about():
    rows = [f"{n % 3};K{n % 4}" for n in range(1, 9)]
    found = feed("assignments", orders(), sample("campaigns.csv", "Campaign ID;Customer", *rows))

    assert found.extra["constants"] == {"arm": "treatment"}
    assert len(found.questions) == 1
