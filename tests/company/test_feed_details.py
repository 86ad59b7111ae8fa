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


def test_credit_notes_and_returns_are_translated_and_the_other_kinds_of_document_left_alone():
    rows = [
        f"{n};K{n % 4};2024-01-{n:02d};{n}.5;{kind}" for n, kind in enumerate(["Rechnung", "Gutschrift", "Storno", "Retoure"], 1)
    ]
    deals = feed("deals", sample("orders.csv", "Belegnummer;Kunde;Belegdatum;Betrag;Belegart", *rows))

    assert deals.title("kind") == "Belegart"
    assert deals.extra["values"] == {"kind": {"Gutschrift": "credit_note", "Storno": "credit_note", "Retoure": "return"}}
    assert deals.questions == ()


def test_an_unused_column_that_tells_of_credit_notes_is_asked_about():
    rows = [f"{n};K{n % 4};2024-01-{n:02d};{n}.5;{'Avoir' if n == 3 else 'Facture'}" for n in range(1, 9)]
    deals = feed("deals", sample("orders.csv", "Order ID;Customer;Order date;Amount;Remarque", *rows))

    assert "kind" not in deals.matches
    assert any('"Remarque" says "Avoir" in 1 of 8 rows' in question for question in deals.questions)


def test_words_for_channels_are_translated_and_marked_likely():
    words = ["Telefon", "téléphone", "Звонок", "E-Mail", "Besuch", "Videokonferenz", "Brief", "Messe", "fax"]
    rows = [f"{n};K{n % 4};2024-01-{n:02d} 10:00;{word}" for n, word in enumerate(words, 1)]
    calls = feed("interactions", sample("contacts log.csv", "Call ID;Customer;Call date;Channel", *rows))

    assert calls.extra["values"]["channel"] == {
        "Telefon": "phone", "téléphone": "phone", "Звонок": "phone", "E-Mail": "email", "Besuch": "visit",
        "Videokonferenz": "remote", "Brief": "post", "Messe": "event",
    }  # fmt: skip
    assert calls.remarks["values.channel"].startswith("likely")


def test_tasks_never_done_and_deleted_rows_are_counted_in_a_question():
    rows = [f"T{n};K{n % 4};2024-01-{n:02d};{'Not Started' if n < 3 else 'Completed'};{str(n == 8).lower()}" for n in range(1, 9)]
    tasks = feed("interactions", sample("activities.csv", "Activity ID;Customer;Activity date;Status;IsDeleted", *rows))

    assert any(q.startswith('rows: 2 of 8 rows of the sample have "Not Started"') for q in tasks.questions)
    assert any(q.startswith('rows: 1 of 8 rows of the sample have "true" in "IsDeleted"') for q in tasks.questions)


def test_a_column_of_refusals_is_never_taken_for_consent_but_asked_about():
    persons = sample(
        "contacts.csv", "Id;AccountId;FirstName;LastName;Email;HasOptedOutOfEmail",
        *(f"P{n};K{n % 4};Ann;Weber {n};a{n}@x.example;{'true' if n == 1 else 'false'}" for n in range(1, 9)),
    )  # fmt: skip
    found = feed("contact_persons", orders(), sample("accounts.csv", "Customer;City", *(f"K{n};Rome" for n in range(4))), persons)

    assert found.matches["name"].title == ["FirstName", "LastName"]
    assert "consent_email" not in found.matches
    assert any("opposite of consent" in question for question in found.questions)


def test_owner_codes_are_spelt_out_by_a_small_file_whatever_it_calls_its_codes():
    rows = [f"{n};K{n % 4};2024-01-{n:02d};{n}.5;005-{n % 2}" for n in range(1, 9)]
    users = sample("user.csv", "Id;Name;Title", "005-0;Ann Berg;AE", "005-1;Tom O'Neil;AE")
    numbered = sample("sizes.csv", "Id;Name", "0;Small", "1;Large")
    deals = feed("deals", sample("orders.csv", "Order ID;Customer;Order date;Amount;OwnerId", *rows), users, numbered)

    assert deals.extra["lookup"] == {"owner": {"file": "user.csv", "key": "Id", "value": "Name"}}


def test_small_numbers_are_codes_of_no_file_by_chance():
    rows = [f"{n};K{n % 4};2024-01-{n:02d};{n}.5;{n % 2}" for n in range(1, 9)]
    sizes = sample("sizes.csv", "Id;Name", "0;Small", "1;Large")

    assert "lookup" not in feed("deals", sample("orders.csv", "Order ID;Customer;Order date;Amount;OwnerId", *rows), sizes).extra


def test_names_of_deals_that_come_back_are_no_identifiers():
    titles = "Opportunity Name;Opportunity Owner;Stage;Close Date;Account Name;Amount;Lead Source"
    deals = feed(
        "deals", sample("report.csv", titles, *(f"Renewal;Ann;Won;2024-01-0{n};K{n % 3};{n}.5;Web" for n in range(1, 9)))
    )

    assert deals.preset == "salesforce.opportunity"
    assert deals.extra["generate"] == "row"
    assert deals.questions[0].startswith("columns.deal_id")
