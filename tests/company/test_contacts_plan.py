"""contacts.yml: the kit's default is valid, and what is wrong is said all at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crm_methods.company.contacts_plan import FACTS, read_contacts
from crm_methods.errors import SettingsError

PLAN = """
channels: [{name: email, needs: email, minutes: 10}]
actions:
  - name: care
    title: Care
    occasions:
      - name: call
        title: Call
        channels: [email]
        owner: somebody
        structure: hello
        text: ["Ask {client}."]
"""


def _folder(tmp_path: Path, text: str) -> Path:
    (tmp_path / "contacts.yml").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_company_without_a_plan_gets_the_kits(tmp_path: Path):
    plan = read_contacts(tmp_path)

    assert plan.is_default
    assert {occasion.name for _, occasion in plan.content.occasions} >= {
        "open_problem",
        "contract_end",
        "review",
        "survey",
        "reactivation",
    }


def test_the_companys_own_plan_comes_first(tmp_path: Path):
    plan = read_contacts(_folder(tmp_path, PLAN))

    assert plan.origin == "contacts.yml"
    assert [action.name for action in plan.content.actions] == ["care"]


def test_the_default_plan_names_every_kind_of_fact_it_uses():
    default = read_contacts(Path("/nowhere")).content
    named = {n for _, o in default.occasions for sentence in o.text for n in re.findall(r"\{(\w+)\}", sentence)}

    assert named <= set(FACTS)
    assert not {name for name in named if FACTS[name].kind == "amount"}


def test_all_faults_come_together_with_the_nearest_spelling(tmp_path: Path):
    wrong = PLAN.replace("channels: [email]", "channels: [emial]").replace("{client}", "{clinet}")

    with pytest.raises(SettingsError) as raised:
        read_contacts(_folder(tmp_path, wrong))

    assert 'Did you mean "email"?' in str(raised.value)
    assert 'Did you mean "client"?' in str(raised.value)


def test_an_occasion_has_a_sentence_for_every_client_it_fits(tmp_path: Path):
    with pytest.raises(SettingsError, match="facts that some clients lack in every sentence"):
        read_contacts(_folder(tmp_path, PLAN.replace("Ask {client}.", "Ask about {industry}.")))

    known = PLAN.replace("Ask {client}.", "Ask about {industry}.").replace(
        "title: Call", "title: Call\n        when: {known: [industry]}"
    )
    assert read_contacts(_folder(tmp_path, known)).content.actions


def test_no_amount_of_money_goes_into_a_message(tmp_path: Path):
    with pytest.raises(SettingsError, match="no amounts of money"):
        read_contacts(_folder(tmp_path, PLAN.replace("Ask {client}.", "Ask {client}. You paid {revenue}.")))


def test_names_are_used_once_and_the_rest_is_given_once(tmp_path: Path):
    occasion = PLAN[PLAN.index("      - name: call") :]
    twice = PLAN + occasion
    resting = (PLAN + occasion.replace("name: call", "name: other")).replace("title: Call", "title: Call\n        times: rest")

    with pytest.raises(SettingsError, match="one name for several"):
        read_contacts(_folder(tmp_path, twice))
    with pytest.raises(SettingsError, match="`rest` for call, other"):
        read_contacts(_folder(tmp_path, resting))


@pytest.mark.parametrize("key", ["min_gap_dais: 3", "budget_covers: cahs", "min_gap_days: 0"])
def test_unknown_keys_and_wrong_values_are_refused(tmp_path: Path, key: str):
    with pytest.raises(SettingsError):
        read_contacts(_folder(tmp_path, f"{key}\n{PLAN}"))
