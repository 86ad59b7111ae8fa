"""What stage 6 concludes: the rule decides, headlines are always there, and nothing is claimed without an answer."""

from __future__ import annotations

import dataclasses

import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.company.plans import Plan
from crm_methods.company.programmes_plan import Programme, Programmes
from crm_methods.models.effects import Effect
from crm_methods.stages import relationships, relationships_effects, relationships_panel, relationships_summary
from crm_methods.stages.relationships_panel import ProgrammeStudy
from tests.conftest import MadeCompany, MakeCompany
from tests.stages.programme_world import programme_tables

ALL_TOLD = Plan(
    Programmes(programmes=[Programme(programme_id="plus", setup_cost=0.0, running_cost_per_month=0.0)]), "programmes.yml"
)
UNKNOWN = Unanswered("relationships.satisfaction", "nobody was asked.")


@pytest.fixture
def made(make_company: MakeCompany) -> MadeCompany:
    return make_company(programme_tables())


def _decision(made: MadeCompany, plan: Plan[Programmes], effect: float | None = None, placebo: float = 0.0) -> str:
    study = relationships_panel.programme_study(made.data, made.settings, plan)
    assert isinstance(study, ProgrammeStudy)
    if effect is not None:
        same = {name: _effect(effect) for name in ("callaway_santanna", "callaway_santanna_anticipation", "imputation")}
        study = dataclasses.replace(study, estimates={**study.estimates, **same, "placebo": _effect(placebo)})
    costs = relationships.programme_costs(made.data, made.settings, plan)
    naive, returned = relationships_effects.naive_comparison(study), relationships_effects.programme_return(study, costs)
    return relationships_summary.conclusion(made.settings, costs, study, naive, returned, UNKNOWN, UNKNOWN, UNKNOWN).decision


def _effect(effect: float) -> Effect:
    return Effect(
        method="imputation", effect=effect, low=effect - 10, high=effect + 10, standard_error=5.0, clients=120, members=40
    )


def test_the_rule_keeps_what_pays_stops_what_loses_and_reworks_the_rest(made: MadeCompany):
    assert _decision(made, ALL_TOLD, 50.0).startswith("Keep Plus: its return")
    assert _decision(made, ALL_TOLD, -50.0).startswith("Stop Plus")
    assert _decision(made, ALL_TOLD, 1.0).startswith("Rework Plus: its return is not proven")


def test_with_costs_untold_keeping_has_a_condition(made: MadeCompany):
    assert "as long as" in _decision(made, Plan(Programmes(), "kit default"), 50.0)


def test_a_placebo_that_finds_something_forbids_keeping(made: MadeCompany):
    assert _decision(made, ALL_TOLD, 50.0, placebo=40.0).startswith("Rework Plus: members were on another path")


def test_without_answers_both_headlines_say_why(made: MadeCompany):
    nothing = Unanswered("relationships.programme_effect", "nobody has joined a programme yet.")
    concluded = relationships_summary.conclusion(made.settings, nothing, nothing, nothing, nothing, UNKNOWN, UNKNOWN, UNKNOWN)

    assert [h.key for h in concluded.headlines] == ["satisfaction_top_segment", "programme_effect"]
    assert all(h.text == "not known" and h.note and h.value is None for h in concluded.headlines)
    assert concluded.findings == ()
    assert "No programme is judged: nobody has joined a programme yet." in concluded.decision


def test_unanswered_questions_write_no_table():
    assert relationships_summary.tables(*[UNKNOWN] * 9) == {}
