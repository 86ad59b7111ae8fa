"""What clients ask for, how often, and how long it takes to solve."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd
import pytest
from scipy.stats import false_discovery_control

from crm_methods.company.answers import Unanswered
from crm_methods.engine import collect
from crm_methods.stages import client_base
from crm_methods.stages.client_base_requests import (
    RequestsPerClient,
    TimeToSolve,
    Topics,
    client_requests,
    requests_per_client,
    time_to_solve,
    topics,
)
from tests.conftest import MadeCompany, MakeCompany


def _contacts(**columns: Any) -> pd.DataFrame:
    base = {
        "interaction_id": [f"i{n}" for n in range(6)], "client_id": list("aabbcc"),
        "started_at": ["2025-06-01 09:00:00", "2024-06-01 09:00:00"] * 3, "direction": "in", "topic": list("xyxxyx"),
    }  # fmt: skip
    return pd.DataFrame(base | columns)


def _ids(made: MadeCompany) -> set[str]:
    return set(collect(client_requests(made.data, made.settings))["request_id"])


def test_a_request_is_what_the_client_began(make_company: MakeCompany):
    contacts = _contacts(
        initiative=["theirs", "ours", None, None, None, None], direction=["out", "in", "in", "out", None, None],
        kind=["sales", "service", "sales", "complaint", "Service", "sales"],
    )  # fmt: skip
    assert _ids(make_company({"interactions": contacts})) == {"i0", "i2", "i4"}


def test_without_any_sign_of_who_began_every_contact_counts(make_company: MakeCompany):
    assert len(_ids(make_company({"interactions": _contacts().drop(columns="direction")}))) == 6


def test_cases_that_are_no_contact_are_requests(make_company: MakeCompany):
    events = pd.DataFrame(
        {
            "case_id": ["i0", "k1", "k1", "k2"], "client_id": ["a", "b", "b", None], "activity": list("oxyz"),
            "at": ["2025-06-01 09:00:00", "2025-07-01 09:00:00", "2025-07-03 09:00:00", "2025-07-01 09:00:00"], "topic": "case",
        }
    )  # fmt: skip
    made = make_company({"interactions": _contacts(), "process_events": events})
    requests = collect(client_requests(made.data, made.settings)).set_index("request_id")

    assert set(requests.index) == {*(f"i{n}" for n in range(6)), "k1"}
    assert requests.loc["k1", "started_at"] == pd.Timestamp("2025-07-01 09:00:00")


def test_topics_are_shares_of_the_requests_that_name_one(make_company: MakeCompany):
    made = make_company({"interactions": _contacts(topic=["x", "x", "y", None, None, "x"])})
    found = topics(made.data, made.settings, client_requests(made.data, made.settings))
    assert isinstance(found, Topics)
    changes = found.changes.set_index("name")

    assert changes["share"].to_dict() == {"x": 0.5, "y": 0.5}
    assert changes["previous_share"].to_dict() == {"x": 1.0, "y": 0.0}
    assert "33% of all name none" in found.sentence


def test_no_request_of_the_period_is_no_answer(make_company: MakeCompany):
    made = make_company({"interactions": _contacts(started_at="2020-01-01 09:00:00")})
    requests = client_requests(made.data, made.settings)
    facts = client_base.client_facts(made.data, made.settings)

    assert isinstance(topics(made.data, made.settings, requests), Unanswered)
    assert isinstance(requests_per_client(made.data, made.settings, facts, requests), Unanswered)


def test_clients_that_bought_and_asked_nothing_count(make_company: MakeCompany):
    deals = pd.DataFrame({"deal_id": [1, 2], "client_id": ["d", "e"], "closed_on": ["2025-02-01", "2020-02-01"], "amount": 5.0})
    made = make_company({"interactions": _contacts(client_id=list("aabbaa")), "deals": deals})
    requests = client_requests(made.data, made.settings)
    found = requests_per_client(made.data, made.settings, client_base.client_facts(made.data, made.settings), requests)
    assert isinstance(found, RequestsPerClient)

    # a asked twice in the period, b once; d bought; e bought long ago.
    assert dict(found.distribution.to_numpy().tolist()) == {0: 1, 1: 1, 2: 1}
    assert "3 clients in touch in the period made 1.0 requests each" in found.sentence
    assert "33% made none" in found.sentence
    assert found.table["requests_share"].sum() == pytest.approx(1)


def test_open_requests_count_as_far_as_they_got(make_company: MakeCompany):
    began = [f"2025-06-{day:02} 09:00:00" for day in range(1, 7)]
    solved = [f"2025-06-{day + 2:02} 09:00:00" for day in range(1, 5)] + [None, None]
    made = make_company({"interactions": _contacts(started_at=began, resolved_at=solved)})
    found = time_to_solve(made.data, made.settings, client_requests(made.data, made.settings))
    assert isinstance(found, TimeToSolve)
    row = found.times.iloc[0]

    assert (row["requests"], row["solved"], row["still_open"]) == (6, 4, 2)
    assert row["median_days"] == pytest.approx(2)
    assert row["within_1_share"] == 0
    assert row["within_3_share"] == pytest.approx(4 / 6)


def test_kinds_that_are_never_solved_are_left_out(make_company: MakeCompany):
    solved = ["2025-06-02 09:00:00", None, None, None, None, None]
    contacts = _contacts(kind=["service", "service", "sales", "sales", "sales", "sales"], resolved_at=solved)
    made = make_company({"interactions": contacts})

    assert time_to_solve(made.data, made.settings, client_requests(made.data, made.settings)).times["requests"].tolist() == [1]


def test_a_solution_before_its_request_is_left_out_and_counted(make_company: MakeCompany):
    solved = ["2025-06-02 09:00:00", None, "2025-05-01 09:00:00", None, "2025-06-03 09:00:00", None]
    made = make_company({"interactions": _contacts(resolved_at=solved)})
    found = time_to_solve(made.data, made.settings, client_requests(made.data, made.settings))

    assert found.times["requests"].iloc[0] == 2
    assert "Left out: 1 request" in found.sentence


def test_without_times_of_solution_the_question_stays_open(make_company: MakeCompany):
    made = make_company({"interactions": _contacts()})
    assert isinstance(time_to_solve(made.data, made.settings, client_requests(made.data, made.settings)), Unanswered)


def test_one_client_has_shares_without_intervals(make_company: MakeCompany):
    made = make_company({"interactions": _contacts(client_id="a", resolved_at="2025-06-02 09:00:00")})
    requests = client_requests(made.data, made.settings)
    facts = client_base.client_facts(made.data, made.settings)
    said = [
        topics(made.data, made.settings, requests).sentence,
        requests_per_client(made.data, made.settings, facts, requests).sentence,
        time_to_solve(made.data, made.settings, requests).sentence,
    ]

    assert "nan" not in " ".join(said).lower()
    assert "interval" not in " ".join(said)


def test_days_without_a_time_of_day_are_calendar_days_and_the_same_day_is_none(make_company: MakeCompany):
    began = [f"2025-06-0{day} 09:00:00" for day in range(1, 6)] + ["2025-12-30 09:00:00"]
    solved = ["2025-06-01", "2025-06-02", "2025-06-04", "2025-06-06", "2025-06-04", None]
    made = make_company({"interactions": _contacts(started_at=began, resolved_at=solved)}, as_of=dt.date(2025, 12, 31))
    found = time_to_solve(made.data, made.settings, client_requests(made.data, made.settings))
    row = found.times.iloc[0]

    # 0, 0, 1 and 2 days and one still open after 1; the last solution is of an earlier day than its request.
    assert (row["requests"], row["solved"], row["median_days"]) == (5, 4, 1)
    assert row["within_1_share"] == pytest.approx(3 / 5)
    assert "within 1 calendar day" in found.sentence
    assert "whole calendar days are counted" in found.sentence
    assert "Left out: 1 request solved on a day before it began" in found.sentence


def test_a_single_solution_without_its_hour_on_the_first_day_took_no_time(make_company: MakeCompany):
    began = [f"2025-06-0{day} 09:00:00" for day in range(1, 7)]
    solved = ["2025-06-01 00:00:00", *[f"2025-06-0{day} 15:00:00" for day in range(2, 7)]]
    made = make_company({"interactions": _contacts(started_at=began, resolved_at=solved)})
    found = time_to_solve(made.data, made.settings, client_requests(made.data, made.settings))

    assert found.times["requests"].iloc[0] == 6
    assert found.times["median_days"].iloc[0] == pytest.approx(0.25)
    assert "Left out" not in found.sentence


def test_how_often_and_how_long_needs_no_topic(make_company: MakeCompany):
    contacts = _contacts(started_at="2025-06-01 09:00:00", resolved_at="2025-06-02 09:00:00").drop(columns="topic")
    made = make_company({"interactions": contacts})
    requests = client_requests(made.data, made.settings)

    assert isinstance(topics(made.data, made.settings, requests), Unanswered)
    facts = client_base.client_facts(made.data, made.settings)
    assert isinstance(requests_per_client(made.data, made.settings, facts, requests), RequestsPerClient)
    assert isinstance(time_to_solve(made.data, made.settings, requests), TimeToSolve)


def test_topics_and_reasons_are_judged_together(make_company: MakeCompany):
    ids, topic, reason = range(400), ["x", "y", "z", "y"] * 100, ["r", "s", "s", "s"] * 100
    contacts = pd.DataFrame(
        {
            "interaction_id": ids, "client_id": [str(i % 7) for i in ids], "direction": "in", "topic": topic,
            "reason": reason, "started_at": [f"202{4 + (i % 3 > 0)}-06-01 09:00:00" for i in ids],
        }
    )  # fmt: skip
    made = make_company({"interactions": contacts})
    changes = topics(made.data, made.settings, client_requests(made.data, made.settings)).changes

    assert set(changes["about"]) == {"topic", "reason"}
    assert changes["q_value"].tolist() == pytest.approx(false_discovery_control(changes["p_value"]).tolist())
