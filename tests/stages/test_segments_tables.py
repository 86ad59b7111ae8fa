"""The tables of stage 2: one per answer, each with its key, none for what could not be answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crm_methods.engine import collect
from crm_methods.stages.segments_findings import Answers
from crm_methods.stages.segments_tables import write
from tests.conftest import MakeCompany
from tests.stages.small_companies import deals_of, loyal_and_costly
from tests.stages.stage_two import run_stage


def _written(found: Answers) -> dict[str, Any]:
    kept: dict[str, Any] = {}

    def keep(name: str, frame: Any, *, grain: str, key: list[str]) -> Any:
        rows = frame if hasattr(frame, "duplicated") else collect(frame)
        assert not rows.duplicated(list(key)).any(), name
        kept[name] = rows
        return frame

    write(found, keep)
    return kept


def test_every_answer_leaves_its_tables(make_company: MakeCompany, tmp_path: Path):
    made = loyal_and_costly(make_company)
    kept = _written(run_stage(made.data, made.settings, tmp_path))

    assert {"client_migration", "client_scores", "client_abc", "client_calls", "client_rates"} <= set(kept)
    assert {"segment_matrix", "cost_phases", "migration", "model_checks", "model_card", "key_accounts"} <= set(kept)
    assert len(kept["client_calls"]) == 40


def test_what_has_no_answer_has_no_table(make_company: MakeCompany, tmp_path: Path):
    made = make_company({"deals": deals_of({"a": 10.0, "b": 20.0})})
    kept = _written(run_stage(made.data, made.settings, tmp_path))

    assert {"segment_matrix", "client_calls", "model_card"} <= set(kept)
    assert not {"activity_rates", "late_payment", "contract_renewals", "segment_wants"} & set(kept)
