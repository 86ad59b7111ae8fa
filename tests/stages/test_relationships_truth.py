"""The sample company's programmes against what truly happened there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crm_methods.company.intake import Canonical, bring_in
from crm_methods.company.programmes_plan import read_programmes
from crm_methods.company.settings import Company, load_company
from crm_methods.engine import open_engine
from crm_methods.stages import relationships_panel
from crm_methods.stages.relationships_panel import ProgrammeStudy

MERIDIAN = Path(__file__).resolve().parents[2] / "data" / "meridian"


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    programmes: dict[str, Any] = json.loads((MERIDIAN / "truth.json").read_text(encoding="utf-8"))["programmes"]
    return programmes


@pytest.fixture(scope="module")
def meridian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Canonical, Company]]:
    folder, settings = tmp_path_factory.mktemp("meridian"), load_company(MERIDIAN)
    engine = open_engine(settings.engine, folder / "spill")
    yield bring_in(settings, MERIDIAN, engine, folder / "canonical"), settings
    engine.close()


def _study(meridian: tuple[Canonical, Company], programme: str, panel_period: str = "quarter") -> ProgrammeStudy:
    data, settings = meridian
    asked = settings.relationships.model_copy(update={"programme": programme, "panel_period": panel_period})
    study = relationships_panel.programme_study(
        data, settings.model_copy(update={"relationships": asked}), read_programmes(MERIDIAN)
    )
    assert isinstance(study, ProgrammeStudy)
    return study


@pytest.mark.parametrize("panel_period", ["quarter", "month"])
def test_every_better_estimate_holds_the_true_effect(meridian, truth, panel_period: str):
    study = _study(meridian, "meridian_plus", panel_period)

    assert study.outcome == "margin"
    for effect in study.better:
        assert effect.low is not None
        assert effect.high is not None
        assert effect.low <= truth["meridian_plus"]["att_margin_per_month"] <= effect.high
        assert effect.low <= truth["meridian_plus"]["realised_att_margin_per_month"] <= effect.high


def test_the_naive_comparison_misses_the_true_effect(meridian, truth):
    naive = _study(meridian, "meridian_plus").estimates["naive"]

    assert naive.low is not None
    assert naive.low > truth["meridian_plus"]["att_margin_per_month"]


def test_members_and_their_months_are_counted_as_they_are(meridian, truth):
    study = _study(meridian, "meridian_plus")

    assert (study.all_members, study.member_months) == (
        truth["meridian_plus"]["members"],
        truth["meridian_plus"]["member_months"],
    )


def test_a_programme_that_changed_nothing_is_not_given_a_gain(meridian, truth):
    study = _study(meridian, "partner_lab")

    assert study.bracket[0] <= truth["partner_lab"]["att_margin_per_month"] <= study.bracket[1]
    assert study.estimates["naive"].low > truth["partner_lab"]["att_margin_per_month"]
