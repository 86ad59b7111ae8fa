"""The calendar: level, on working days, never twice within the gap, the same every time."""

# A test's argument is the fixture of the same name.
# ruff: noqa: F811

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.engine import collect
from crm_methods.stages import contacts_calendar
from tests.conftest import MakeCompany
from tests.stages.contacts_company import Planned, plan_contacts, planned, tables  # noqa: F401


def _level(
    clients: list[int], earliest: list[int], latest: list[int], *, slots: int, gap: int = 5, minutes: float = 10.0
) -> list[int]:
    spent = np.full(len(clients), minutes)
    return contacts_calendar.level(np.array(clients), np.array(earliest), np.array(latest), spent, slots=slots, gap=gap).tolist()


def test_free_contacts_fill_the_days_evenly():
    days = _level(list(range(1_000)), [0] * 1_000, [249] * 1_000, slots=250)

    assert np.bincount(days, minlength=250).tolist() == [4] * 250


def test_free_contacts_make_room_for_those_that_are_bound():
    bound, free = 40, 210
    days = _level(list(range(bound + free)), [0] * (bound + free), [9] * bound + [49] * free, slots=50)

    assert max(days[:bound]) <= 9
    assert np.bincount(days, minlength=50).max() == 5


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_realistic_plan_is_level_within_four_per_cent(seed: int):
    random = np.random.default_rng(seed)
    clients = np.repeat(np.arange(3_000), 4)
    wanted = random.integers(0, 260, len(clients))
    days = contacts_calendar.level(
        clients,
        np.clip(wanted - 15, 0, 259),
        np.clip(wanted + 15, 0, 259),
        random.choice([5.0, 30.0, 300.0], len(clients)),
        slots=260,
        gap=5,
    )
    load = np.bincount(days, minlength=260)

    assert load.max() / load.mean() <= 1.04
    assert (np.abs(days - wanted) <= 15 + 5).all()
    gaps = pd.DataFrame({"client": clients, "day": days}).sort_values(["client", "day"]).groupby("client")["day"].diff().dropna()
    assert gaps.min() >= 5


def test_contacts_of_a_client_keep_their_distance_even_outside_their_window():
    days = sorted(_level([0, 0, 0], [0, 0, 0], [2, 2, 2], slots=30, gap=7))

    assert np.diff(days).min() >= 7


def test_only_a_full_plan_gives_the_gap_up():
    assert len(_level([0, 0, 0], [0, 0, 0], [3, 3, 3], slots=4, gap=5)) == 3


def test_every_planned_contact_has_one_working_day_of_the_plan(planned: Planned):
    rows = collect(planned.contacts)

    assert len(rows) == planned.matrix.cells["contacts"].sum()
    assert set(rows["planned_on"].dt.date) <= set(planned.days.working)
    assert not rows.duplicated(["client_id", "planned_on", "occasion", "number"]).any()
    assert tuple(rows.columns) == contacts_calendar.CALENDAR


def test_dates_follow_the_clients_own_days(planned: Planned):
    big = planned.rows("big").set_index("occasion")["planned_on"].dt.date

    # Sixty days before the contract's last day, give or take ten working days; the anniversary give or take three.
    assert abs((big["contract_end"] - dt.date(2026, 5, 1)).days) <= 16
    assert abs((big["anniversary"] - dt.date(2026, 3, 20)).days) <= 7
    assert (big["open_problem"] - dt.date(2025, 12, 31)).days <= 14


def test_no_client_is_contacted_twice_within_the_gap(planned: Planned):
    place = {day: slot for slot, day in enumerate(planned.days.working)}
    slots = planned.rows("big")["planned_on"].dt.date.map(place)

    assert slots.diff().dropna().min() >= planned.plan.content.min_gap_days


def test_the_same_rows_give_the_same_calendar_in_any_order(make_company: MakeCompany, planned: Planned):
    shuffled = {name: frame.iloc[::-1] for name, frame in tables().items()}
    again = plan_contacts(make_company, shuffled)

    for client in ("big", "small", "gone"):
        pd.testing.assert_frame_equal(planned.rows(client), again.rows(client))


def test_months_add_up_to_the_whole(planned: Planned):
    answer = contacts_calendar.calendar(planned.made.settings, planned.plan.content, planned.days, planned.contacts)
    assert isinstance(answer, contacts_calendar.Calendar)
    months = contacts_calendar.months_of(planned.contacts)

    assert answer.table["contacts"].sum() == answer.contacts == months["contacts"].sum() == answer.days["contacts"].sum()
    assert answer.table["work_hours"].sum() == pytest.approx(collect(planned.contacts)["minutes"].sum() / 60)
    assert answer.table["working_days"].sum() == planned.days.count
    assert answer.too_close == 0


def test_past_the_limit_days_come_by_formula_and_the_sentence_says_so(make_company: MakeCompany, planned: Planned):
    formula = plan_contacts(make_company, max_contacts=3)
    answer = contacts_calendar.calendar(
        formula.made.settings, formula.plan.content, formula.days, formula.contacts, max_contacts=3
    )
    assert isinstance(answer, contacts_calendar.Calendar)

    assert answer.contacts == len(collect(planned.contacts))
    assert "not levelled against each other" in answer.sentence


def test_examples_differ_in_words_and_number(planned: Planned):
    answer = contacts_calendar.examples(planned.plan.content, planned.contacts, planned.profile)
    assert not isinstance(answer, Unanswered)

    assert answer.table["client"].nunique() == 2
    assert answer.table["text"].nunique() == len(answer.table)
    assert "Norse Telecom (large, telecom, raise loyalty)" in answer.sentence


def test_without_any_reachable_client_the_question_stays_open(make_company: MakeCompany):
    rows = tables()
    rows["clients"].loc[1:, "email"] = None
    plan = """
channels: [{name: email, needs: email, minutes: 1}]
actions:
  - name: a
    title: A
    occasions:
      - {name: o, title: O, when: {state: [lapsed]}, channels: [email], owner: x, structure: s, text: ["Hello {client}."]}
"""
    empty = plan_contacts(make_company, rows, plan_text=plan)
    answer = contacts_calendar.calendar(empty.made.settings, empty.plan.content, empty.days, empty.contacts)

    assert isinstance(answer, Unanswered)
    assert isinstance(contacts_calendar.examples(empty.plan.content, empty.contacts, empty.profile), Unanswered)
