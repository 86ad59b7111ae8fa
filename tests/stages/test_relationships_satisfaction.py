"""Satisfaction: staff stay apart, segments add up to all, and a change is claimed only where it is proven."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd
import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.reports.charts import relationships as charts
from crm_methods.stages import relationships_satisfaction as satisfaction
from tests.conftest import MadeCompany, MakeCompany

NOW, BEFORE = dt.date(2025, 6, 1), dt.date(2024, 6, 1)


def _segments(made: MadeCompany, clients: dict[str, str], **worth: Any) -> Any:
    columns = dict.fromkeys(["clv", "clv_revenue", "contribution", "margin"])
    frame = pd.DataFrame({"client_id": list(clients), "segment": list(clients.values()), "revenue": 1.0})
    return made.data.engine.frame(frame.assign(**{**columns, **worth}).astype(dict.fromkeys(columns, float)))


def _made(make_company: MakeCompany, rows: list[tuple[str, dt.date, int | None, int | None, str | None]]) -> MadeCompany:
    surveys = pd.DataFrame(rows, columns=["client_id", "answered_on", "nps", "csat", "by"])
    surveys = surveys.assign(response_id=[f"r{i}" for i in range(len(rows))]).astype({"nps": "Int64", "csat": "Int64"})
    deals = pd.DataFrame({"deal_id": ["1"], "client_id": ["a"], "closed_on": [NOW], "amount": [1.0]})
    return make_company({"deals": deals, "surveys": surveys})


def _found(made: MadeCompany, segments: Any) -> satisfaction.Satisfaction:
    found = satisfaction.satisfaction(made.data, made.settings, segments)
    assert isinstance(found, satisfaction.Satisfaction)
    return found


CLIENTS = {"a": "high_low", "b": "high_low", "c": "low_low", "d": "low_low"}


def test_scores_are_promoters_less_detractors_and_the_satisfied_share(make_company: MakeCompany):
    made = _made(
        make_company,
        [("a", NOW, 10, 5, None), ("b", NOW, 9, 4, "client"), ("c", NOW, 0, 1, "client"), ("d", NOW, 8, 4, "client")],
    )
    scores = _found(made, _segments(made, CLIENTS)).scores.set_index(["segment", "measure"])["estimate"]

    assert scores[("all", "nps")] == 25
    assert scores[("high_low", "nps")] == 100
    assert scores[("all", "csat_share")] == 0.75


def test_answers_by_staff_are_left_out_and_counted(make_company: MakeCompany):
    made = _made(make_company, [("a", NOW, 0, 1, "client"), ("b", NOW, 0, 1, "client"), ("c", NOW, 10, 5, "staff")])
    found = _found(made, _segments(made, CLIENTS))

    assert found.answers_by_staff == 1
    assert found.score("all", "nps")["estimate"] == -100
    assert found.score("low_low", "nps") is None
    assert "Left out: 1 answer" in found.sentence


def test_answers_of_other_periods_do_not_count(make_company: MakeCompany):
    made = _made(make_company, [("a", BEFORE, 10, 5, None)])

    assert isinstance(satisfaction.satisfaction(made.data, made.settings, _segments(made, CLIENTS)), Unanswered)


def test_segments_add_up_to_all_clients(make_company: MakeCompany):
    made = _made(make_company, [(client, NOW, 7, None, None) for client in "abcd" for _ in range(2)])
    answers = _found(made, _segments(made, CLIENTS)).scores.set_index("segment")["answers"]

    assert answers["all"] == answers["high_low"] + answers["low_low"] == 8


def test_a_base_of_one_segment_has_one_row(make_company: MakeCompany):
    made = _made(make_company, [("a", NOW, 10, 5, None), ("b", NOW, 3, 2, None)])
    found = _found(made, _segments(made, dict.fromkeys("ab", "all")))

    assert found.table["segment"].tolist() == ["all"]
    assert found.top_segment is None


def test_the_most_valuable_segment_is_told_by_the_best_measure_known(make_company: MakeCompany):
    made = _made(make_company, [(client, NOW, 7, 4, None) for client in "abcd"])
    by_revenue = _found(made, _segments(made, CLIENTS))
    by_equity = _found(made, _segments(made, CLIENTS, clv=[1.0, 1.0, 5.0, 5.0]))

    assert (by_revenue.worth_words, by_equity.worth_words) == ("revenue", "customer equity")
    assert by_equity.top_segment == "low_low"


def test_equal_answers_in_both_periods_are_no_change(make_company: MakeCompany):
    rows = [(client, day, nps, 4, None) for day in (BEFORE, NOW) for client, nps in zip("abcd", (10, 3, 8, 9), strict=True)]
    made = _made(make_company, rows)
    changed = satisfaction.satisfaction_change(made.settings, _found(made, _segments(made, CLIENTS)))

    assert isinstance(changed, satisfaction.SatisfactionChange)
    assert (changed.changes["change"] == 0).all()
    assert "no change of NPS proven" in changed.sentence


def test_a_clear_rise_is_claimed_and_its_interval_is_the_paired_one(make_company: MakeCompany):
    clients = {f"c{i:02d}": "low_low" for i in range(30)}
    before = [(client, BEFORE, 10 if i < 15 else 0, None, None) for i, client in enumerate(clients)]
    now = [(client, NOW, 10 if i < 25 else 0, None, None) for i, client in enumerate(clients)]
    made = _made(make_company, before + now)
    changed = satisfaction.satisfaction_change(made.settings, _found(made, _segments(made, clients)))

    assert isinstance(changed, satisfaction.SatisfactionChange)
    row = changed.changes.set_index("segment").loc["all"]
    own = pd.Series([200.0 if 15 <= i < 25 else 0.0 for i in range(30)])
    assert row["change"] == pytest.approx(own.mean())
    assert row["high"] - row["change"] == pytest.approx(2.0452296 * own.std() / 30**0.5)
    assert "NPS up" in changed.sentence


def test_nothing_before_is_nothing_to_compare_with(make_company: MakeCompany):
    made = _made(make_company, [("a", NOW, 10, 5, None), ("b", NOW, 3, 2, None)])

    assert isinstance(satisfaction.satisfaction_change(made.settings, _found(made, _segments(made, CLIENTS))), Unanswered)


def test_a_single_client_that_answered_has_a_score_without_an_interval_and_is_drawn(make_company: MakeCompany):
    made = _made(make_company, [("a", NOW, 3, None, None)])
    found = _found(made, _segments(made, CLIENTS))

    assert found.table["nps"].tolist() == [-100.0, -100.0]
    assert found.table["nps_low"].isna().all()
    assert "csat_share" not in found.table
    assert charts.satisfaction(found, "EUR") is not None
