"""What segments want and like, and what they ask for and leave for: one company that talks, and one that hardly does."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from crm_methods.company.answers import Answer, Unanswered
from crm_methods.stages.segments_leaves import Reasons, asks_for, leaves_for
from crm_methods.stages.segments_likes import Likes, likes
from crm_methods.stages.segments_voices import TOO_FEW
from crm_methods.stages.segments_wants import Wants, wants
from tests.conftest import MadeCompany, MakeCompany
from tests.stages.made_voices import segments_of, talking
from tests.stages.small_companies import deals_of

CLIENTS = {f"c{i:02}": ("high_low", "low_high")[i % 2] for i in range(40)} | {f"f{i}": "low_low" for i in range(3)}
HEARD = {client: segment for client, segment in CLIENTS.items() if segment != "low_low"}


@pytest.fixture
def made(make_company: MakeCompany) -> MadeCompany:
    return talking(make_company, HEARD)


def test_what_segments_want_like_and_leave_for_is_told_apart_from_chance(made: MadeCompany):
    placed = segments_of(made, CLIENTS)
    wanted, liked, left, asked = (ask(made.data, made.settings, placed) for ask in (wants, likes, leaves_for, asks_for))

    assert isinstance(wanted, Wants)
    assert "40 clients answered. What matters most to them is price (4.5" in wanted.sentence
    assert "Segments do not differ in what matters to them by more than chance" in wanted.sentence
    assert "differ in what they miss by more than chance" in wanted.sentence
    assert "“Low revenue, high cost” 4.5, “High revenue, low cost” 0.5" in wanted.sentence
    assert "on behalf of 6 clients: it puts speed first, where clients put price" in wanted.sentence
    assert f"“Low revenue, low cost”: {TOO_FEW}, from fewer than 5 clients." in wanted.sentence
    assert list(wanted.table["segment"].unique()) == ["all", "high_low", "low_high"]
    assert wanted.criteria.set_index(["segment", "criterion"]).loc[("low_high", "speed"), "gap"] == 4.5

    assert isinstance(liked, Likes)
    assert liked.table.set_index("segment")["promoters_share"].to_dict() == {"all": 0.25, "high_low": 0.5, "low_high": 0.0}
    assert "the share that would recommend us" in liked.sentence
    assert liked.table["rated_lowest"].iloc[2].startswith("speed 3.5")

    assert isinstance(left, Reasons)
    first = left.reasons.groupby(["source", "segment"])["name"].first()
    assert first["would leave for", "low_high"] == "slow"
    assert first["complains of", "low_high"] == "waiting"
    assert "do not differ in why their deals are lost by more than chance" in left.sentence
    assert "Segments differ in what they would leave for by more than chance" in left.sentence
    few = left.table[left.table["segment"] == "low_low"]
    assert (few["name"] == TOO_FEW).all()
    assert few["share"].isna().all()

    assert isinstance(asked, Reasons)
    assert "source" not in asked.table
    assert asked.sentence.startswith("40 requests of 40 clients name their topic, most often")
    for answer in (wanted, liked, left, asked):
        assert "nan" not in answer.sentence
        assert "None" not in answer.sentence


def test_a_handful_of_clients_is_not_told_and_names_of_single_clients_are_pooled(make_company: MakeCompany):
    clients = dict(list(HEARD.items())[:4])
    few = talking(make_company, clients)
    for ask in (wants, likes, leaves_for, asks_for):
        answer = ask(few.data, few.settings, segments_of(few, clients))
        assert isinstance(answer, Unanswered)
        assert "5 clients" in answer.reason

    rows = [(f"l{i}", f"c{i:02}", dt.date(2025, 5, 1), 1.0, "lost", f"said by {i}") for i in range(8)]
    lost = pd.DataFrame(rows, columns=["deal_id", "client_id", "closed_on", "amount", "status", "loss_reason"])
    single = make_company({"deals": lost})
    answer = leaves_for(single.data, single.settings, segments_of(single, CLIENTS))
    assert isinstance(answer, Reasons)
    assert set(answer.reasons["name"]) == {"others"}
    assert "none of them common to 5 clients" in answer.sentence


def test_without_surveys_and_contacts_the_questions_stay_open(make_company: MakeCompany):
    made = make_company({"deals": deals_of({"c00": 1.0})})
    for ask in (wants, likes, leaves_for, asks_for):
        answer: Answer | Unanswered = ask(made.data, made.settings, segments_of(made, CLIENTS))
        assert isinstance(answer, Unanswered)
        assert answer.would_help
