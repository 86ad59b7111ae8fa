from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from crm_methods.runs.freshness import StageState, plan_stages, read_json, states_of, upstream_hash
from crm_methods.runs.request import read_request
from crm_methods.runs.workplace import Workplace, workplace

from .conftest import Finished


def _states(run: Finished, *assignments: str) -> list[StageState]:
    request = read_request(run.company, assignments)
    place = workplace(run.company, request.settings.as_of, run.reports)
    return states_of(plan_stages(request, run.notebooks), place, run.company)


def _work(run: Finished) -> Workplace:
    return workplace(run.company, read_request(run.company).settings.as_of, run.reports)


@pytest.fixture
def copy(finished: Finished, tmp_path: Path) -> Finished:
    folder = tmp_path / "company" / "three"
    shutil.copytree(finished.company, folder)
    copied = finished.copy(tmp_path)
    return Finished(folder, copied.reports, copied.notebooks, copied.result, copied.said)


def test_after_a_run_every_stage_is_fresh_wherever_the_company_lies(copy: Finished) -> None:
    assert {state.condition for state in _states(copy)} == {"fresh"}


def test_before_a_run_every_stage_is_missing(copy: Finished) -> None:
    shutil.rmtree(copy.reports)
    assert {state.condition for state in _states(copy)} == {"missing"}


def test_new_input_makes_every_stage_stale(copy: Finished) -> None:
    with (copy.company / "deals.csv").open("a", encoding="utf-8") as deals:
        deals.write("5,c2,2025-08-01,10.00\n")
    assert {(state.condition, state.why) for state in _states(copy)} == {("stale", "the input files have changed")}


def test_a_new_plan_makes_stages_stale(copy: Finished) -> None:
    (copy.company / "questionnaire.yml").write_text("items: []\n", encoding="utf-8")
    assert _states(copy)[2].why == "the plans have changed"


def test_a_parameter_makes_its_stage_stale_and_the_later_ones_wait(copy: Finished) -> None:
    states = _states(copy, "offers.next_products=2")
    assert [state.condition for state in states] == ["fresh", "fresh", "stale", "stale", "stale", "stale"]
    assert [state.why for state in states[2:4]] == ["the settings have changed", "waits for 3 offers"]


@pytest.mark.parametrize("harm", ["gone", "changed"])
def test_a_table_that_is_not_as_it_was_written_makes_its_stage_stale(copy: Finished, harm: str) -> None:
    table = _work(copy).work / "tables" / "client_segments.parquet"
    if harm == "gone":
        table.unlink()
    else:
        table.write_bytes(table.read_bytes() + b"x")
    assert harm in _states(copy)[1].why


def test_new_tables_of_an_earlier_stage_make_the_later_ones_stale(copy: Finished) -> None:
    place = _work(copy)
    before = [upstream_hash(stage, place) for stage in ("client_base", "segments", "offers")]
    facts = read_json(place.facts("segments"))
    assert facts is not None
    facts["tables"]["client_segments"]["sha256"] = "other"
    place.facts("segments").write_text(json.dumps(facts), encoding="utf-8")
    assert [upstream_hash(stage, place) for stage in ("client_base", "segments")] == before[:2]
    assert upstream_hash("offers", place) != before[2]


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 99}', "{"])
def test_a_broken_stage_json_is_no_stage_json(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content, encoding="utf-8")
    assert read_json(tmp_path / "a.json") is None
    assert read_json(tmp_path / "absent.json") is None
