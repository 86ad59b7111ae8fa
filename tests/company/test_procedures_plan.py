"""procedures.yml: one head per procedure, a range for every segment, all faults at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from crm_methods.company.plans import KIT_DEFAULT
from crm_methods.company.procedures_plan import FACTS, When, read_procedures
from crm_methods.company.wording import placeholders
from crm_methods.errors import SettingsError

RANGE = {"raise_loyalty": 0.9, "otherwise": 0.8}


def _procedure(**changes: Any) -> dict[str, Any]:
    metric = {"measure": "resolution", "title": "solution", "hours": "resolve_hours", "at_least": RANGE}
    roles = [{"roles": {"{department}": "R", "account owner": "A"}}]
    return {
        "name": "solve",
        "title": "Solve",
        "metric": metric,
        "materials": ["tools"],
        "qualification": ["skilled"],
        "raci": roles,
        **changes,
    }


def _write(folder: Path, *procedures: dict[str, Any]) -> Path:
    (folder / "procedures.yml").write_text(yaml.safe_dump({"procedures": list(procedures)}), encoding="utf-8")
    return folder


def test_the_kits_default_is_whole(tmp_path: Path):
    plan = read_procedures(tmp_path)

    assert plan.origin == KIT_DEFAULT
    assert [p.name for p in plan.content.measured()] == ["answer_request", "solve_request", "settle_complaint"]
    assert all(len(rule.holding("A")) == 1 and rule.holding("R") for p in plan.content.procedures for rule in p.raci)


def test_a_companys_own_plan_goes_before_the_default(tmp_path: Path):
    assert read_procedures(_write(tmp_path, _procedure())).origin == "procedures.yml"


def test_one_role_may_do_and_answer(tmp_path: Path):
    rule = (
        read_procedures(_write(tmp_path, _procedure(raci=[{"roles": {"owner": "RA", "boss": "i"}}])))
        .content.procedures[0]
        .raci[0]
    )

    assert (rule.holding("R"), rule.holding("A"), rule.holding("I")) == (("owner",), ("owner",), ("boss",))


def test_all_faults_come_together_with_their_remedies(tmp_path: Path):
    two_heads = _procedure(name="two_heads", raci=[{"roles": {"a": "RA", "b": "A"}}])
    nobody = _procedure(name="nobody", raci=[{"roles": {"a": "A", "b": "X"}}])
    headless = _procedure(name="headless", raci=[{"roles": {"a": "R"}}])
    unknown = _procedure(
        name="unknown", materials=["list of {topic}"], raci=[{"when": {"segment": ["high_lo"]}, "roles": {"a": "RA"}}]
    )
    ranges = _procedure(name="ranges", metric={"measure": "resolution", "title": "t", "at_least": {"raise_loyalti": 0.9}})
    with pytest.raises(SettingsError) as caught:
        read_procedures(_write(tmp_path, two_heads, nobody, headless, unknown, ranges, _procedure(name="ranges")))
    text = str(caught.value)

    for part in (
        "procedures.two_heads.raci 1: found 2 accountable roles (a, b)", "procedures.nobody.raci 1: found no responsible role",
        'procedures.nobody.raci 1.b: found "X"', "procedures.headless.raci 1: found no accountable role",
        "the unknown fact topic",
        'Did you mean "topics"?', 'Did you mean "high_low"?', "a condition on the last rule", "metric.hours: found nothing",
        "no `otherwise`", 'Did you mean "raise_loyalty"?', "procedures.ranges: found two procedures of one name",
    ):  # fmt: skip
        assert part in text, part


def test_a_rule_behind_one_without_condition_is_a_fault(tmp_path: Path):
    rules = [{"roles": {"a": "RA"}}, {"roles": {"b": "RA"}}]
    with pytest.raises(SettingsError, match="no condition before the last rule"):
        read_procedures(_write(tmp_path, _procedure(raci=rules)))


def test_an_empty_range_is_a_fault(tmp_path: Path):
    metric = {**_procedure()["metric"], "at_most": {"otherwise": 0.85}}
    with pytest.raises(SettingsError, match=r"at_least\.raise_loyalty: found 0\.9 above at_most 0\.85"):
        read_procedures(_write(tmp_path, _procedure(metric=metric)))


def test_a_misspelt_key_is_named_with_the_nearest_one(tmp_path: Path):
    with pytest.raises(SettingsError, match="Did you mean"):
        read_procedures(_write(tmp_path, _procedure(material=["x"])))


def test_a_range_is_the_segments_else_the_strategys_else_everybodys(tmp_path: Path):
    metric = {**_procedure()["metric"], "at_least": {"high_low": 0.95, **RANGE}}
    read = read_procedures(_write(tmp_path, _procedure(metric=metric))).content.procedures[0].metric

    assert read.permitted("high_low", "raise_loyalty") == (0.95, 1.0)
    assert read.permitted("high_high", "raise_loyalty") == (0.9, 1.0)
    assert read.permitted("cluster_2", None) == (0.8, 1.0)


def test_a_promise_is_kept_by_the_start_of_a_word_whatever_its_letters(tmp_path: Path):
    procedure = read_procedures(_write(tmp_path, _procedure(keeps=["answer", "bill"]))).content.procedures[0]

    assert procedure.keeps_promise("Answered within a day")
    assert procedure.keeps_promise("a bill you understand")
    assert not procedure.keeps_promise("an unanswered promise of mobility")


def test_conditions_hold_where_every_key_holds():
    rule = When(segment=["high_low"], service_level=[2, 3])

    assert rule.holds("high_low", "raise_loyalty", 2)
    assert not rule.holds("high_low", "raise_loyalty", 1)
    assert not rule.holds("low_low", None, 2)
    assert When().is_empty


def test_the_default_names_known_facts_only(tmp_path: Path):
    texts = [text for p in read_procedures(tmp_path).content.procedures for text in (*p.materials, *p.qualification)]

    assert {name for text in texts for name in placeholders(text)} <= set(FACTS)
