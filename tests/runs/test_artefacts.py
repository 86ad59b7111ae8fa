from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.company.settings import load_company
from crm_methods.engine import collect
from crm_methods.errors import ParameterError, StageError
from crm_methods.runs import artefacts
from crm_methods.runs.freshness import plan_stages, states_of
from crm_methods.runs.request import read_request
from crm_methods.runs.workplace import workplace

from .conftest import Finished, write_company


@pytest.fixture
def stage(company: Path, tmp_path: Path) -> artefacts.Stage:
    return artefacts.open_stage("segments", company=str(company), run_dir=str(tmp_path / "work"), horizon_months=24)


def _facts(stage: artefacts.Stage) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((stage.folder / "stages" / f"{stage.key}.json").read_text(encoding="utf-8"))
    return read


def test_a_stage_has_not_happened_before_it_is_closed(stage: artefacts.Stage) -> None:
    assert not (stage.folder / "stages" / "segments.json").exists()
    stage.close()
    assert _facts(stage)["stage"] == "segments"


def test_opening_a_stage_again_takes_back_that_it_happened(stage: artefacts.Stage, company: Path) -> None:
    stage.close()
    artefacts.open_stage("segments", company=str(company), run_dir=str(stage.folder))
    assert not (stage.folder / "stages" / "segments.json").exists()


def test_every_wrong_parameter_is_refused_at_once_with_the_nearest_name(company: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError) as refused:
        artefacts.open_stage(
            "segments",
            company=str(company),
            run_dir=str(tmp_path / "work"),
            horizon_month=24,
            holdout_months="6",
        )
    assert 'Did you mean "horizon_months"?' in str(refused.value)
    assert "segments.holdout_months" in str(refused.value)
    assert not (tmp_path / "work").exists()


def test_a_parameter_counts_and_none_leaves_the_settings(stage: artefacts.Stage) -> None:
    assert stage.settings.lifetime_value.horizon_months == 24
    assert stage.parameters == {"period_months": 12, "horizon_months": 24, "annual_discount_rate": 0.1, "holdout_months": 6}


def test_a_written_table_is_ordered_by_its_key_and_reconciled(stage: artefacts.Stage) -> None:
    frame = pd.DataFrame({"client_id": ["b", "a"], "revenue": [2.5, None]})
    before = frame.copy(deep=True)
    written = stage.write("client_segments", frame, grain="one row per client", key=["client_id"], totals=["revenue"])
    assert list(collect(written)["client_id"]) == ["a", "b"]
    assert list(collect(stage.upstream("client_segments"))["client_id"]) == ["a", "b"]
    stage.close()
    table = _facts(stage)["tables"]["client_segments"]
    assert (table["rows"], table["key"], table["totals"]) == (2, ["client_id"], {"revenue": 2.5})
    pd.testing.assert_frame_equal(frame, before)


def test_the_hash_of_a_table_does_not_depend_on_the_order_of_its_rows(stage: artefacts.Stage) -> None:
    frame = pd.DataFrame({"client_id": ["b", "a", "c"], "revenue": [0.1 + 0.2, 1.0, 2.0]})
    for name, rows in (("one", frame), ("other", frame.iloc[::-1].assign(revenue=[2.0, 1.0, 0.3]))):
        stage.write(name, rows, grain="one row per client", key=["client_id"])
    assert stage.tables["one"]["sha256"] == stage.tables["other"]["sha256"]


def test_an_absent_table_of_an_earlier_stage_is_named_with_the_nearest(stage: artefacts.Stage) -> None:
    stage.write("client_facts", pd.DataFrame({"client_id": ["a"]}), grain="one row per client", key=["client_id"])
    with pytest.raises(StageError, match='Did you mean "client_facts"'):
        stage.upstream("client_fact")


@pytest.mark.parametrize("name", ["../out.csv", "/etc/passwd", "a/b.csv", "."])
def test_a_file_can_not_leave_its_folder(stage: artefacts.Stage, name: str) -> None:
    with pytest.raises(StageError):
        stage.file(name)


def test_a_private_file_lies_apart_and_is_noted_as_such(stage: artefacts.Stage) -> None:
    path = stage.file("requests.csv", private=True)
    assert path == stage.folder / "files" / "private" / "requests.csv"
    assert stage.files == ["private/requests.csv"]


def test_an_unanswered_question_is_one_gap_however_often_shown(stage: artefacts.Stage) -> None:
    for _ in range(2):
        stage.show(Unanswered("segments.whale_curve", "no deal has a margin.", ("deals.margin",)))
    assert [gap["reason"] for gap in stage.data_gaps] == ["no deal has a margin."]


def test_notes_come_out_in_the_order_they_were_made(stage: artefacts.Stage) -> None:
    stage.finding("one", "two")
    stage.decision("first")
    stage.check("sums", True, "all add up")
    stage.headline("customer_equity", "Customer equity", "€1", value=1.0)
    stage.close()
    facts = _facts(stage)
    assert facts["findings"] == ["one", "two"]
    assert facts["decisions"] == ["first"]
    assert facts["checks"] == [{"name": "sums", "passed": True, "detail": "all add up"}]
    assert facts["headlines"][0]["value"] == 1.0


@pytest.mark.parametrize("changed", ["deals.csv", "company.yml", "offers.yml"])
def test_the_identity_follows_inputs_settings_and_plans(company: Path, changed: str) -> None:
    def identity() -> str:
        return artefacts.stage_identity("offers", load_company(company), company)

    before = identity()
    path = company / changed
    addition = "5,c1,2025-07-01,1.00\n" if changed == "deals.csv" else "seed: 8\n"
    path.write_text((path.read_text(encoding="utf-8") if path.exists() else "") + addition, encoding="utf-8")
    assert identity() != before


def test_a_comment_in_company_yml_changes_no_identity(company: Path) -> None:
    before = artefacts.stage_identity("offers", load_company(company), company)
    path = company / "company.yml"
    path.write_text(f"# Reviewed.\n{path.read_text(encoding='utf-8')}", encoding="utf-8")
    assert artefacts.stage_identity("offers", load_company(company), company) == before


def test_by_hand_a_later_stage_needs_a_finished_run(company: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_METHODS_REPORTS", str(tmp_path / "reports"))
    with pytest.raises(StageError, match="no finished run of three"):
        artefacts.open_stage("segments", company=str(company))


def test_under_pseudonyms_the_facts_name_nobody(tmp_path: Path) -> None:
    settings = (write_company(tmp_path / "plain") / "company.yml").read_text(encoding="utf-8")
    company = write_company(tmp_path / "three", f"{settings}privacy: {{pseudonymise: true}}\n")
    stage = artefacts.open_stage("client_base", company=str(company), run_dir=str(tmp_path / "work"))
    stage.finding("Acme Ltd leads.")
    stage.close()
    assert "Acme" not in json.dumps(_facts(stage))


def test_json_is_whole_or_not_there(tmp_path: Path) -> None:
    artefacts.write_json(tmp_path / "a.json", {"n": 1})
    circle: dict[str, Any] = {}
    circle["self"] = circle
    with pytest.raises(ValueError, match="Circular"):
        artefacts.write_json(tmp_path / "a.json", circle)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"n": 1}


PROFILE = pd.DataFrame({"table": ["deals"], "rows": [4.0]})


def _publish_profile(root: Path, as_of: str, profile: pd.DataFrame = PROFILE) -> Path:
    """An earlier run as far as a later one looks at it; returns the table's file."""
    run = root / as_of
    (run / "tables").mkdir(parents=True)
    artefacts.write_json(run / "run.json", {"schema": artefacts.SCHEMA, "as_of": as_of})
    profile.to_parquet(run / "tables" / "input_profile.parquet", index=False)
    return run / "tables" / "input_profile.parquet"


def _opened(company: Path, root: Path) -> artefacts.Stage:
    return artefacts.open_stage("client_base", company=str(company), run_dir=str(root / ".work" / "2025-12-31"))


def test_the_previous_run_is_the_last_one_of_an_earlier_day(company: Path, tmp_path: Path) -> None:
    root = tmp_path / "elsewhere" / "three"
    for number, day in enumerate(["2025-06-30", "2025-09-30", "2025-12-31", "2026-03-31"]):
        _publish_profile(root, day, PROFILE.assign(rows=float(number)))
    stage = _opened(company, root)
    table = stage.previous_table("input_profile")
    assert stage.previous_as_of == dt.date(2025, 9, 30)
    assert table is not None
    assert list(table["rows"]) == [1.0]


def test_a_first_run_has_no_previous_one(company: Path, tmp_path: Path) -> None:
    stage = _opened(company, tmp_path / "elsewhere" / "three")
    assert (stage.previous_as_of, stage.previous_table("input_profile")) == (None, None)


def test_by_hand_the_previous_run_is_read_where_runs_are_published(
    company: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_METHODS_REPORTS", str(tmp_path / "reports"))
    _publish_profile(tmp_path / "reports" / "three", "2025-09-30")
    assert artefacts.open_stage("client_base", company=str(company)).previous_as_of == dt.date(2025, 9, 30)


@pytest.mark.parametrize("content", [b"", b"PAR1 and then something else", b"client;revenue"], ids=["empty", "cut", "text"])
def test_a_damaged_table_of_the_previous_run_counts_as_none_while_its_day_is_known(
    company: Path, tmp_path: Path, content: bytes
) -> None:
    root = tmp_path / "elsewhere" / "three"
    _publish_profile(root, "2025-09-30").write_bytes(content)
    stage = _opened(company, root)
    assert (stage.previous_as_of, stage.previous_table("input_profile")) == (dt.date(2025, 9, 30), None)
    assert artefacts.previous_hash("client_base", root, dt.date(2025, 12, 31))


@pytest.mark.parametrize("content", ["", "[1]", '{"as_of": "2024-01-01"}', "\x00"], ids=["empty", "list", "other day", "noise"])
def test_a_folder_with_a_foreign_run_json_is_no_run(tmp_path: Path, content: str) -> None:
    _publish_profile(tmp_path, "2025-06-30")
    _publish_profile(tmp_path, "2025-09-30").parents[1].joinpath("run.json").write_text(content, encoding="utf-8")
    _publish_profile(tmp_path, "2025-W40")
    found = artefacts.previous_run(tmp_path, dt.date(2025, 12, 31))
    assert found == tmp_path / "2025-06-30"


def test_what_a_stage_is_compared_with_counts_by_content_and_day_and_for_that_stage_alone(tmp_path: Path) -> None:
    as_of, day = dt.date(2025, 12, 31), "2025-09-30"
    assert artefacts.previous_hash("client_base", tmp_path, as_of) == ""
    for name, profile in (("one", PROFILE), ("same", PROFILE.copy()), ("other", PROFILE.assign(rows=5.0))):
        _publish_profile(tmp_path / name, day, profile)
    _publish_profile(tmp_path / "later", "2025-12-31")
    hashes = {path.name: artefacts.previous_hash("client_base", path, as_of) for path in tmp_path.iterdir()}
    assert hashes["one"] == hashes["same"] != hashes["other"]
    assert hashes["later"] == ""
    assert artefacts.previous_hash("segments", tmp_path / "one", as_of) == ""


def test_a_new_earlier_run_makes_stage_1_stale_and_a_later_one_does_not(finished: Finished, tmp_path: Path) -> None:
    run = finished.copy(tmp_path)
    request = read_request(run.company)
    place = workplace(run.company, request.settings.as_of, run.reports)

    def why() -> str:
        return states_of(plan_stages(request, run.notebooks), place, run.company)[0].why

    assert why() == ""
    _publish_profile(place.root, "2026-06-30")
    assert why() == ""
    _publish_profile(place.root, "2025-06-30")
    assert why() == "the earlier run that it is compared with is another one now"
