"""offers.yml: every client is covered, every fact exists, every fault is told at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from crm_methods.company.offers_plan import FACTS, chain, read_offers
from crm_methods.company.plans import DEFAULTS, KIT_DEFAULT
from crm_methods.company.wording import pieces, placeholders
from crm_methods.errors import SettingsError


def _kit() -> dict[str, Any]:
    plan: dict[str, Any] = yaml.safe_load((DEFAULTS / "offers.yml").read_text(encoding="utf-8"))
    return plan


def _read(folder: Path, plan: dict[str, Any]) -> Any:
    (folder / "offers.yml").write_text(yaml.safe_dump(plan), encoding="utf-8")
    return read_offers(folder)


def test_a_company_without_a_plan_gets_the_kits(tmp_path: Path):
    assert read_offers(tmp_path).origin == KIT_DEFAULT


def test_a_companys_own_plan_is_named(tmp_path: Path):
    assert _read(tmp_path, _kit()).origin == "offers.yml"


def test_every_package_of_the_kit_ends_in_one_that_can_not_be_made_simpler(tmp_path: Path):
    content = read_offers(tmp_path).content

    for packages in (content.product_packages, content.service_packages):
        assert len({chain(packages, package.name)[-1] for package in packages}) == 1


def test_texts_of_packages_name_only_what_is_known_of_every_client(tmp_path: Path):
    content = read_offers(tmp_path).content
    named = {name for p in (*content.product_packages, *content.service_packages) for name in placeholders(p.wording)}

    assert named <= {name for name, fact in FACTS.items() if fact.always}


def test_pieces_put_together_again_are_the_text():
    text = "{client} bought {deals} times; {client} again."

    assert "".join(f"{{{words}}}" if is_fact else words for is_fact, words in pieces(text)) == text


def test_all_faults_come_together_with_the_nearest_word(tmp_path: Path):
    plan = _kit()
    plan["modules"][0]["text"] = "For {industri}."
    plan["modules"][1]["when"] = {"known": ["teritory"], "at_least": {"industry": 3}}
    plan["product_packages"][0]["downgrade_to"] = "tailord"
    plan["service_packages"][-1]["when"] = {"size": ["small"]}
    plan["service_packages"][0]["reviews_per_year"] = 99

    with pytest.raises(SettingsError) as told:
        _read(tmp_path, plan)

    for words in ('mean "industry"', 'mean "territory"', "a bound on the text industry", 'mean "tailored"', "last package", "99"):
        assert words in str(told.value)


def test_a_package_that_hides_the_rest_is_refused(tmp_path: Path):
    plan = _kit()
    del plan["service_packages"][0]["when"]

    with pytest.raises(SettingsError, match="would never be given"):
        _read(tmp_path, plan)


def test_a_circle_of_downgrades_is_refused(tmp_path: Path):
    plan = _kit()
    plan["service_packages"][2]["downgrade_to"] = "standard"

    with pytest.raises(SettingsError, match="circle"):
        _read(tmp_path, plan)


def test_a_fact_not_known_of_everybody_belongs_into_a_module(tmp_path: Path):
    plan = _kit()
    plan["product_packages"][0]["text"] = "For {industry}."

    with pytest.raises(SettingsError, match="Put it into a module"):
        _read(tmp_path, plan)
