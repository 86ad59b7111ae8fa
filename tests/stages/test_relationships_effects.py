"""What a programme caused: the naive comparison misleads, the better ones find the truth, and words follow the numbers."""

from __future__ import annotations

import dataclasses

import pytest

from crm_methods.company.answers import Answer, Unanswered
from crm_methods.company.plans import Plan
from crm_methods.company.programmes_plan import Programme, Programmes
from crm_methods.models.effects import Effect
from crm_methods.stages import relationships, relationships_effects, relationships_panel
from crm_methods.stages.relationships_panel import ProgrammeStudy
from tests.conftest import MadeCompany, MakeCompany
from tests.stages.programme_world import GAIN, programme_tables

PLAN = Plan(
    Programmes(programmes=[Programme(programme_id="plus", setup_cost=100.0, running_cost_per_month=0.0)]), "programmes.yml"
)


@pytest.fixture
def made(make_company: MakeCompany) -> MadeCompany:
    return make_company(programme_tables())


@pytest.fixture
def study(made: MadeCompany) -> ProgrammeStudy:
    found = relationships_panel.programme_study(made.data, made.settings, PLAN)
    assert isinstance(found, ProgrammeStudy)
    return found


def _with(study: ProgrammeStudy, **effects: tuple[float, float]) -> ProgrammeStudy:
    """The study with other estimates: name → (effect, standard error)."""
    changed = {
        name: Effect(
            method="imputation",
            effect=effect,
            low=effect - 2 * error,
            high=effect + 2 * error,
            standard_error=error,
            clients=120,
            members=40,
        )
        for name, (effect, error) in effects.items()
    }
    return dataclasses.replace(study, estimates={**study.estimates, **changed})


def test_every_better_estimate_holds_the_truth_and_the_naive_one_does_not(study: ProgrammeStudy):
    naive = study.estimates["naive"]

    assert all(e.low <= GAIN <= e.high for e in study.better if e.low is not None and e.high is not None)
    assert naive.low is not None
    assert naive.low > 2 * GAIN


def test_before_anybody_joined_members_were_larger_and_it_is_said(study: ProgrammeStudy):
    answer = relationships_effects.naive_comparison(study)
    table = answer.table.set_index("group")

    assert table.loc["Members", "before_amount"] == pytest.approx(300, abs=5)
    assert table.loc["Difference", "before_amount"] == pytest.approx(
        table.loc["Members", "before_amount"] - table.loc["Others", "before_amount"]
    )
    assert "That is not what the programme did" in answer.sentence


def test_the_effects_table_has_a_row_per_method_with_its_interval_around_it(study: ProgrammeStudy):
    written = relationships_effects.programme_effect(study).estimates

    assert written["method"].tolist() == list(study.estimates)
    assert (written["low_amount"] <= written["effect_amount"]).all()
    assert (written["effect_amount"] <= written["high_amount"]).all()


def test_estimates_that_disagree_give_no_single_number(study: ProgrammeStudy):
    apart = _with(study, callaway_santanna=(100.0, 10.0), callaway_santanna_anticipation=(50.0, 10.0), imputation=(70.0, 10.0))

    assert not apart.agrees
    assert "no single number" in relationships_effects.effect_sentence(apart)
    assert apart.bracket == (30.0, 120.0)


def test_an_interval_around_zero_is_called_unproven(study: ProgrammeStudy):
    weak = _with(study, callaway_santanna=(5.0, 10.0), callaway_santanna_anticipation=(6.0, 10.0), imputation=(4.0, 10.0))

    assert "No effect of Plus is proven" in relationships_effects.effect_sentence(weak)


def test_a_placebo_that_finds_something_puts_the_estimates_in_doubt(study: ProgrammeStudy):
    off = _with(study, placebo=(40.0, 5.0))

    assert off.is_about_another_path
    assert "in doubt" in relationships_effects.programme_effect(off).sentence


def test_the_event_study_is_zero_in_its_base_and_near_the_truth_after(study: ProgrammeStudy):
    path = relationships_effects.event_study(study)

    assert isinstance(path, relationships_effects.EventStudy)
    since = path.table.set_index("periods_since_joining")["effect_amount"]
    assert since[-1] == 0
    assert since[since.index >= 0].mean() == pytest.approx(GAIN, abs=15)


def test_return_is_gain_less_cost(made: MadeCompany, study: ProgrammeStudy):
    costs = relationships.programme_costs(made.data, made.settings, PLAN)
    answer = relationships_effects.programme_return(study, costs)

    assert isinstance(answer, Answer)
    table = answer.table
    assert (table["return_amount"] - (table["effect_amount"] * study.member_months - 1_000.0)).abs().max() < 1e-6
    assert "not known" not in answer.sentence


def test_revenue_is_never_set_against_cost(made: MadeCompany, study: ProgrammeStudy):
    costs = relationships.programme_costs(made.data, made.settings, PLAN)

    assert isinstance(relationships_effects.programme_return(dataclasses.replace(study, outcome="revenue"), costs), Unanswered)
