"""Complaints: rates per 100 clients and year, what they are about, and time to solve with open ones counted."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd
import pytest

from crm_methods.company.answers import Answer, Unanswered
from crm_methods.stages import relationships_complaints as complaints
from tests.conftest import MadeCompany, MakeCompany


def _made(make_company: MakeCompany, rows: list[tuple[str, str, str, str | None]], **settings: Any) -> MadeCompany:
    """Contacts of 2025: client, kind, start and solution."""
    frame = pd.DataFrame(rows, columns=["client_id", "kind", "started_at", "resolved_at"])
    return make_company(
        {"interactions": frame.assign(interaction_id=[f"i{i}" for i in range(len(rows))], topic="outage")}, **settings
    )


def _segments(made: MadeCompany, clients: dict[str, str], revenue: float = 0.0) -> Any:
    frame = pd.DataFrame({"client_id": list(clients), "segment": list(clients.values()), "revenue": revenue})
    return made.data.engine.frame(frame)


START = "2025-06-01 10:00:00"
LATER = "2025-06-01 20:00:00"


def test_rates_are_per_hundred_active_clients_and_year(make_company: MakeCompany):
    made = _made(
        make_company,
        [("a", "complaint", START, LATER), ("b", "service", START, None)],
        segments={"period_months": 6},
        as_of=dt.date(2025, 6, 30),
    )
    found = complaints.complaints(made.data, made.settings, _segments(made, {"a": "high_low", "b": "low_low", "idle": "low_low"}))

    assert isinstance(found, complaints.Complaints)
    table = found.table.set_index("segment")
    assert table["clients"].to_dict() == {"high_low": 1, "low_low": 1, "all": 2}
    assert table.loc["all", "rate_per_100"] == pytest.approx(100 * 1 / (2 * 0.5))


def test_the_exact_poisson_interval_of_three_in_180(make_company: MakeCompany):
    """Known: 1.67 per 100, .34 to 4.87."""
    rows = [(f"c{i:03d}", "complaint" if i < 3 else "service", START, None) for i in range(180)]
    made = _made(make_company, rows)
    found = complaints.complaints(made.data, made.settings, _segments(made, {row[0]: "all" for row in rows}))

    assert isinstance(found, complaints.Complaints)
    assert found.table[["rate_per_100", "low_per_100", "high_per_100"]].iloc[0].round(2).tolist() == [1.67, 0.34, 4.87]


def test_no_complaint_ever_recorded_is_unanswered_and_none_this_year_is_a_rate_of_zero(make_company: MakeCompany):
    never = _made(make_company, [("a", "service", START, None), ("b", "service", START, None)])
    once = _made(
        make_company,
        [("a", "complaint", "2023-01-01 10:00:00", None), ("a", "service", START, None), ("b", "service", START, None)],
    )
    answers = [complaints.complaints(m.data, m.settings, _segments(m, {"a": "all", "b": "all"})) for m in (never, once)]

    assert isinstance(answers[0], Unanswered)
    assert isinstance(answers[1], complaints.Complaints)
    assert answers[1].table["rate_per_100"].iloc[0] == 0
    assert answers[1].table["high_per_100"].iloc[0] > 0
    assert isinstance(complaints.complaint_topics(answers[1]), Unanswered)


def test_topics_hold_every_complaint_once(make_company: MakeCompany):
    made = _made(
        make_company, [("a", "complaint", START, LATER), ("a", "Complaint", START, LATER), ("b", "complaint", START, None)]
    )
    found = complaints.complaints(made.data, made.settings, _segments(made, {"a": "all", "b": "all"}))
    answer = complaints.complaint_topics(found)

    assert isinstance(answer, Answer)
    topics = answer.table[answer.table["about"] == "topic"]
    assert topics[["name", "complaints", "clients"]].to_numpy().tolist() == [["outage", 3, 2]]
    assert "100% name no reason" in answer.sentence


def test_open_complaints_lengthen_the_median(make_company: MakeCompany):
    """Solved after 10 h each; with as many open ones the median is not reached."""
    solved = [(client, "complaint", START, LATER) for client in "abc"]
    still_open = [(client, "complaint", "2025-05-01 10:00:00", None) for client in "defg"]
    clients = dict.fromkeys("abcdefg", "all")
    medians = []
    for rows in (solved, solved + still_open):
        made = _made(make_company, rows)
        found = complaints.time_to_solve(made.data, made.settings, _segments(made, clients))
        assert isinstance(found, complaints.TimeToSolve)
        medians.append(found.table["median_hours"].iloc[0])

    assert medians[0] == 10
    assert pd.isna(medians[1])


def test_a_solution_before_the_complaint_is_left_out_and_said(make_company: MakeCompany):
    made = _made(
        make_company, [("a", "complaint", START, LATER), ("b", "complaint", START, LATER), ("c", "complaint", LATER, START)]
    )
    found = complaints.time_to_solve(made.data, made.settings, _segments(made, dict.fromkeys("abc", "all")))

    assert isinstance(found, complaints.TimeToSolve)
    assert found.impossible == 1
    assert found.table["complaints"].iloc[0] == 2
    assert "Left out: 1 complaint" in found.sentence
