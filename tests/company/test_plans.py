from __future__ import annotations

from pathlib import Path

import pytest

from crm_methods.company import plans
from crm_methods.company.plans import KIT_DEFAULT, filled, read_plan
from crm_methods.company.settings import Settings
from crm_methods.errors import SettingsError


class Programme(Settings):
    title: str
    budget: float = 0.0


@pytest.fixture(autouse=True)
def defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "defaults").mkdir()
    (tmp_path / "defaults" / "club.yml").write_text("title: The kit's club\n")
    monkeypatch.setattr(plans, "DEFAULTS", tmp_path / "defaults")


def test_without_a_plan_of_its_own_a_company_gets_the_kits_and_it_says_so(tmp_path: Path):
    plan = read_plan(tmp_path, "club", Programme)
    assert (plan.content.title, plan.origin, plan.is_default) == ("The kit's club", KIT_DEFAULT, True)


def test_the_companys_own_plan_comes_first(tmp_path: Path):
    (tmp_path / "club.yml").write_text("title: Our club\nbudget: 5\n")
    plan = read_plan(tmp_path, "club", Programme)
    assert (plan.content.title, plan.origin, plan.is_default) == ("Our club", "club.yml", False)


def test_a_bad_plan_is_refused_with_all_its_faults(tmp_path: Path):
    (tmp_path / "club.yml").write_text("titel: Our club\nbudget: much\n")
    with pytest.raises(SettingsError) as stop:
        read_plan(tmp_path, "club", Programme)
    said = str(stop.value)
    assert 'club.yml, line 1: titel: found an unknown key, expected one of title, budget. Did you mean "title"?' in said
    assert "club.yml, line 2: budget: found 'much' (text), expected a number" in said
    assert "title: found nothing" in said


def test_facts_are_put_in_once_and_as_they_are():
    facts = {"name": "{place} & <b>", "place": "Bonn"}
    assert filled("{name} in {place}, {unknown}", facts) == "{place} & <b> in Bonn, {unknown}"
