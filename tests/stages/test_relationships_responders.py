"""For whom the scores speak: revenue of who answered beside who did not."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd
import pytest

from crm_methods.company.answers import Answer, Unanswered
from crm_methods.stages import relationships_responders, relationships_satisfaction
from tests.conftest import MadeCompany, MakeCompany

DAY = dt.date(2025, 6, 1)


def _asked(make_company: MakeCompany, revenue: dict[str, float], answered: str) -> Answer | Unanswered:
    surveys = pd.DataFrame({"response_id": list(answered), "client_id": list(answered), "answered_on": DAY, "nps": 8})
    deals = pd.DataFrame({"deal_id": ["1"], "client_id": ["a"], "closed_on": [DAY], "amount": [1.0]})
    made: MadeCompany = make_company({"deals": deals, "surveys": surveys})
    frame = pd.DataFrame({"client_id": list(revenue), "segment": "all", "revenue": list(revenue.values())})
    unknown: dict[str, Any] = dict.fromkeys(["clv", "clv_revenue", "contribution", "margin"])
    segments = made.data.engine.frame(frame.assign(**unknown).astype(dict.fromkeys(unknown, float)))
    found = relationships_satisfaction.satisfaction(made.data, made.settings, segments)
    return relationships_responders.responders(made.data, made.settings, segments, found)


def test_the_two_groups_hold_all_revenue(make_company: MakeCompany):
    answer = _asked(make_company, {"a": 10.0, "b": 20.0, "c": 30.0, "d": 0.0}, "ab")

    assert isinstance(answer, Answer)
    assert answer.table["clients"].tolist() == [2, 1]
    assert answer.table["revenue_share"].sum() == pytest.approx(1)


def test_a_clear_difference_in_size_is_said(make_company: MakeCompany):
    large = {name: 1_000.0 + i for i, name in enumerate("abcde")}
    small = {name: 10.0 + i for i, name in enumerate("fghij")}
    bigger, smaller = (_asked(make_company, {**large, **small}, answered) for answered in ("abcde", "fghij"))

    assert isinstance(bigger, Answer)
    assert isinstance(smaller, Answer)
    assert "speak for larger clients first" in bigger.sentence
    assert "speak for smaller clients first" in smaller.sentence


def test_equal_groups_prove_no_difference(make_company: MakeCompany):
    answer = _asked(make_company, {"a": 10.0, "b": 20.0, "c": 10.0, "d": 21.0}, "ab")

    assert isinstance(answer, Answer)
    assert "proves no difference" in answer.sentence


def test_when_everybody_answered_there_are_no_two_groups(make_company: MakeCompany):
    assert isinstance(_asked(make_company, {"a": 1.0, "b": 2.0}, "ab"), Unanswered)
