"""What stage 4 makes of its answers: walls for the next stages, findings and checks."""

from __future__ import annotations

import pandas as pd

from crm_methods.company.answers import Unanswered
from crm_methods.stages import processes
from tests.conftest import MakeCompany
from tests.stages.made_service import Served, contact, serve

SEGMENTS = {f"c{i}": "high_low" if i % 2 else "low_high" for i in range(12)}
STAFF = pd.DataFrame(
    {"skill": ["tech"], "department": ["support"], "people": [1.0], "hours_per_month": [150.0], "cost_per_hour": [50.0]}
)


def _answers(served: Served) -> tuple[object, ...]:
    data, settings, plan, offers = served.made.data, served.made.settings, served.plan, served.offers.content
    found = served.procedures()
    needed = processes.hours_needed(data, settings, plan, offers, served.clients)
    opened = processes.open_requests(data, plan, offers, served.clients, served.requests, found)
    return (
        served.level(),
        found,
        processes.open_problems(data, settings, opened),
        needed,
        processes.capacity(data, settings, needed),
    )


def _full(make_company: MakeCompany) -> Served:
    contacts = [contact(c, f"2025-{m:02}-03 10:00", 1, 90, handling_minutes=600.0) for c in SEGMENTS for m in range(1, 13)]
    return serve(make_company, SEGMENTS, contacts, staff=STAFF, promises=["an answer the same day"])


def test_the_walls_stand_with_data_and_without(make_company: MakeCompany):
    columns = []
    for served in (_full(make_company), serve(make_company, SEGMENTS, [])):
        level, found, _, needed, balance = _answers(served)
        tables = processes.tables(served.plan, served.offers, served.packages, level, found, needed, balance)  # type: ignore[arg-type]
        columns.append({name: list(result.table.columns) for name, result in tables.items()})
        for result in tables.values():
            assert not result.table.duplicated(list(result.key)).any()

    assert columns[0] == columns[1]
    assert set(columns[0]) == {"sla_attainment", "procedures", "hours_needed", "capacity"}


def test_without_contacts_targets_and_ranges_are_still_written(make_company: MakeCompany):
    served = serve(make_company, SEGMENTS, [])
    level, found, _, needed, balance = _answers(served)
    attained = processes.tables(served.plan, served.offers, served.packages, level, found, needed, balance)[
        "sla_attainment"
    ].table  # type: ignore[arg-type]

    assert attained["target_hours"].tolist() == [4, 24, 16, 72]
    assert attained["share"].isna().all()
    assert attained["status"].unique().tolist() == ["not measured"]


def test_the_conclusion_says_what_was_found(make_company: MakeCompany):
    conclusion = processes.conclusion(*_answers(_full(make_company)))  # type: ignore[arg-type]

    assert [h.key for h in conclusion.headlines] == ["service_level", "capacity"]
    assert all(check.passed for check in conclusion.checks), conclusion.checks
    assert "“High revenue, low cost”" in conclusion.decision
    assert "people in “tech”" in conclusion.decision


def test_without_contacts_only_the_procedures_are_decided(make_company: MakeCompany):
    answers = _answers(serve(make_company, SEGMENTS, []))
    conclusion = processes.conclusion(*answers)  # type: ignore[arg-type]

    assert sum(isinstance(answer, Unanswered) for answer in answers) == 4
    assert conclusion.headlines == ()
    assert conclusion.decision == (
        "Decision: name the departments that do the work, then put the 8 procedures into force with the names of those "
        "accountable."
    )


def test_a_promise_that_nobody_keeps_fails_its_check(make_company: MakeCompany):
    conclusion = processes.conclusion(*_answers(serve(make_company, SEGMENTS, [], promises=["world peace"])))  # type: ignore[arg-type]
    check = next(c for c in conclusion.checks if "promise" in c.name)

    assert not check.passed
    assert "world peace" in check.detail
