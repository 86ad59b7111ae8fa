"""Open requests and next steps: each client's own rows decide."""

from __future__ import annotations

from typing import Any

import pandas as pd

from crm_methods.company.answers import Unanswered
from crm_methods.engine import collect
from crm_methods.stages import processes
from tests.conftest import MakeCompany
from tests.stages.made_service import Served, contact, serve, written

TWO = {"a": "high_low", "b": "low_high"}
CLIENTS = pd.DataFrame({"client_id": ["a", "b"], "name": ["Alpha", "Beta"], "owner": ["Ms Keller", None]})


def _frames(served: Served) -> tuple[Any, Any]:
    """The procedures, and the open requests as a lazy frame."""
    found = served.procedures()
    frame = processes.open_requests(served.made.data, served.plan, served.offers.content, served.clients, served.requests, found)
    return found, written(served.made, "open", frame)


def _opened(served: Served) -> pd.DataFrame:
    return collect(_frames(served)[1].sort("client_id", "interaction_id"))


def _steps(served: Served) -> pd.DataFrame:
    found, opened = _frames(served)
    told = (served.made.data, served.made.settings, served.plan, served.offers.content)
    frame = processes.client_procedures(*told, served.clients, served.requests, opened, found)
    return collect(frame.sort("client_id")).set_index("client_id")


def _two(make_company: MakeCompany) -> Served:
    contacts = [
        contact("a", "2025-12-29 10:00", 1, topic="outage"),
        contact("b", "2025-12-30 15:00", topic="billing", kind="complaint", department="accounts", channel="email"),
        contact("a", "2025-06-02 10:00", 1, 5),
    ]
    return serve(make_company, TWO, contacts, clients=CLIENTS)


def test_the_deadline_is_the_start_plus_the_hours_of_the_clients_own_package(make_company: MakeCompany):
    opened = _opened(_two(make_company)).set_index("client_id")

    assert opened["due_at"].tolist() == [pd.Timestamp("2025-12-30 10:00"), pd.Timestamp("2026-01-02 15:00")]
    assert opened["overdue_hours"].tolist() == [38.0, -39.0]
    assert opened["overdue"].tolist() == [True, False]


def test_two_clients_of_different_problems_get_different_steps_and_people(make_company: MakeCompany):
    opened = _opened(_two(make_company)).set_index("client_id")

    assert opened["procedure"].tolist() == ["solve_request", "settle_complaint"]
    assert opened["responsible"].tolist() == ["support", "accounts"]
    assert opened["accountable"].tolist() == ["Ms Keller", "CRM department"]
    assert opened["answered"].tolist() == [True, False]
    first, second = opened["next_step"]
    assert "outage" in first
    assert "overdue since 2025-12-30 10:00" in first
    assert "billing until 2026-01-02 15:00" in second
    assert "no answer yet" in second


def test_a_client_without_an_owner_has_a_role_that_is_to_be_named(make_company: MakeCompany):
    nobody = CLIENTS.assign(owner=["", "Mr Brandt"])
    opened = _opened(
        serve(make_company, TWO, [contact("a", "2025-12-29 10:00", 1), contact("a", "2025-12-28 10:00", 1, 2)], clients=nobody)
    )

    assert opened["accountable"].tolist() == ["account owner (to be named)"]


def test_an_old_request_that_nobody_closed_is_still_open(make_company: MakeCompany):
    opened = _opened(serve(make_company, TWO, [contact("a", "2023-01-02 10:00", 1), contact("a", "2025-06-02 10:00", 1, 5)]))

    assert opened["overdue"].tolist() == [True]


def test_the_next_step_is_the_open_request_then_a_talk_then_the_promised_contacts(make_company: MakeCompany):
    segments = {"a": "high_low", "b": "low_high", "c": "high_low", "d": "low_high"}
    contacts = [
        contact("a", "2025-12-29 10:00", 1, topic="outage"),
        *[contact("b", f"2025-06-0{d} 10:00", 20, 90, topic="billing") for d in (2, 3)],
        contact("c", "2025-06-02 10:00", 1, 2, topic="licence", channel="email"),
        contact("d", "2025-06-02 10:00", kind="sales", initiative="ours"),
    ]
    steps = _steps(serve(make_company, segments, contacts))["next_step"]

    assert steps["a"].startswith("Solve a request about outage, overdue since")
    assert steps["b"] == "Talk with b about 2 of its 2 requests that were answered or solved late, most of all about billing."
    assert steps["c"] == "Contact c by email: 6 of the 6 contacts a year of its package are not made, and speak about licence."
    assert steps["d"] == "Nothing is due."


def test_every_client_has_one_row_and_its_counts_are_those_of_its_rows(make_company: MakeCompany):
    rows = _steps(_two(make_company))

    assert rows.index.tolist() == ["a", "b"]
    assert rows["requests"].tolist() == [2, 1]
    assert rows["open_requests"].tolist() == [1, 1]
    assert rows["overdue_requests"].tolist() == [1, 0]
    assert rows["main_channel"].tolist() == ["phone", "email"]


def test_what_is_not_recorded_is_missing_and_not_zero(make_company: MakeCompany):
    served = serve(make_company, TWO, [])
    rows = _steps(served)

    assert rows[["requests", "open_requests", "missing_contacts"]].isna().all().all()
    assert rows["next_step"].str.startswith("No contact is recorded").all()
    assert rows["forms"].str.contains("Solve a request").all()
    assert isinstance(processes.open_problems(served.made.data, served.made.settings, served.requests), Unanswered)


def test_the_most_overdue_come_first_and_are_counted(make_company: MakeCompany):
    served = _two(make_company)
    answer = processes.open_problems(served.made.data, served.made.settings, _frames(served)[1])

    assert not isinstance(answer, Unanswered)
    assert answer.table["client"].tolist() == ["Alpha", "Beta"]
    assert (
        answer.sentence
        == "On 31 Dec 2025, 2 requests of 2 clients are open, 1 of them past the deadline of the client's package."
    )
