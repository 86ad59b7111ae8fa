"""The panel of a programme: which one, which outcome, from when."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.company.plans import Plan
from crm_methods.company.programmes_plan import Programmes
from crm_methods.errors import SettingsError
from crm_methods.stages import relationships_panel
from crm_methods.stages.relationships_panel import ProgrammeStudy
from tests.conftest import MadeCompany, MakeCompany
from tests.stages.programme_world import programme_tables

PLAN = Plan(Programmes(), "kit default")


def _study(made: MadeCompany) -> ProgrammeStudy:
    study = relationships_panel.programme_study(made.data, made.settings, PLAN)
    assert isinstance(study, ProgrammeStudy)
    return study


def test_months_since_joining_count_the_month_of_joining_and_go_on_after_leaving(make_company: MakeCompany):
    tables = programme_tables()
    tables["programme_members"]["left_on"] = dt.date(2025, 6, 1)

    assert _study(make_company(tables)).member_months == 20 * 12 + 20 * 9


def test_the_programme_with_most_members_is_judged(make_company: MakeCompany):
    tables = programme_tables()
    small = pd.DataFrame({"client_id": ["c100"], "programme_id": "a_small_one", "joined_on": [dt.date(2025, 1, 1)]})
    tables["programme_members"] = pd.concat([small, tables["programme_members"]])

    assert _study(make_company(tables)).programme_id == "plus"


def test_a_misspelt_programme_is_refused_with_the_nearest_name(make_company: MakeCompany):
    made = make_company(programme_tables(), relationships={"programme": "pluss"})

    with pytest.raises(SettingsError, match='Did you mean "plus"'):
        relationships_panel.programme_study(made.data, made.settings, PLAN)


def test_without_margins_the_outcome_is_revenue(make_company: MakeCompany):
    tables = programme_tables()
    known = _study(make_company(tables))
    tables["deals"] = tables["deals"].drop(columns="cost")
    unknown = _study(make_company(tables))

    assert (known.outcome, unknown.outcome) == ("margin", "revenue")


def test_a_panel_begins_in_whole_periods_and_leaves_months_for_clients_to_be_known(make_company: MakeCompany):
    study = _study(make_company(programme_tables(), relationships={"panel_period": "quarter"}))

    assert study.panel.periods["month"].iloc[0] == pd.Timestamp("2024-04-01")
    assert study.first_period == 4
    assert study.period_noun == "quarter"


def test_too_few_members_or_too_short_a_history_are_unanswered(make_company: MakeCompany):
    few = make_company(programme_tables(members=3))
    tables = programme_tables()
    tables["deals"] = tables["deals"][pd.to_datetime(tables["deals"]["closed_on"]) >= "2024-11-01"]
    short = make_company(tables)
    answers = [relationships_panel.programme_study(made.data, made.settings, PLAN) for made in (few, short)]

    assert all(isinstance(answer, Unanswered) for answer in answers)
    assert "3 members" in answers[0].reason
    assert "before the first joining" in answers[1].reason


def test_a_month_that_is_not_over_is_left_out(make_company: MakeCompany):
    study = _study(make_company(programme_tables(), as_of=dt.date(2025, 12, 20)))

    assert study.panel.periods["month"].iloc[-1] == pd.Timestamp("2025-11-01")
