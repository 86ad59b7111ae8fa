"""programmes.yml: what is told is read, what is not told is not known, and faults come together."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_methods.company.programmes_plan import read_programmes
from crm_methods.errors import SettingsError


def _write(folder: Path, text: str) -> Path:
    (folder / "programmes.yml").write_text(text, encoding="utf-8")
    return folder


def test_the_kit_default_knows_no_programme(tmp_path: Path):
    plan = read_programmes(tmp_path)

    assert plan.is_default
    assert plan.content.ids == ()


def test_a_programme_nobody_told_of_has_a_name_and_no_costs(tmp_path: Path):
    programme = read_programmes(tmp_path).content.of("gold_club")

    assert programme.name == "Gold club"
    assert (programme.setup_cost, programme.running_cost_per_month, programme.kind) == (None, None, None)
    assert not programme.knows_all_costs


def test_what_is_told_is_read(tmp_path: Path):
    text = "programmes: [{programme_id: a, title: The A, kind: club, setup_cost: 10, running_cost_per_month: 0}]"
    plan = read_programmes(_write(tmp_path, text))

    assert plan.origin == "programmes.yml"
    assert plan.content.of("a").name == "The A"
    assert plan.content.of("a").knows_all_costs


def test_a_programme_told_twice_is_a_fault(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"programmes\.a: found 2 entries"):
        read_programmes(_write(tmp_path, "programmes: [{programme_id: a}, {programme_id: a}]"))


def test_all_faults_come_together_with_the_nearest_key(tmp_path: Path):
    text = "programmes: [{programme_id: a, kind: klub, setup_costs: 10, partner_funded_share: 1.5}]"
    with pytest.raises(SettingsError) as fault:
        read_programmes(_write(tmp_path, text))

    assert 'Did you mean "setup_cost"?' in str(fault.value)
    assert "klub" in str(fault.value)
    assert "partner_funded_share" in str(fault.value)
