from __future__ import annotations

from pathlib import Path

import pytest

from crm_methods.errors import StageError
from crm_methods.runs.freshness import plan_stages
from crm_methods.runs.publish import is_published, run_id
from crm_methods.runs.request import read_request
from crm_methods.runs.workplace import workplace

from .conftest import Finished, run_stages


def test_a_run_is_identified_by_what_it_was_made_of(finished: Finished) -> None:
    def identity(*assignments: str) -> str:
        return run_id(plan_stages(read_request(finished.company, assignments), finished.notebooks))

    assert identity() == identity()
    assert identity() != identity("offers.next_products=2")


def test_only_a_whole_report_of_the_same_run_counts_as_published(finished: Finished, tmp_path: Path) -> None:
    copy = finished.copy(tmp_path)
    request = read_request(copy.company)
    place = workplace(copy.company, request.settings.as_of, copy.reports)
    identity = run_id(plan_stages(request, copy.notebooks))
    assert is_published(place, identity)
    assert not is_published(place, "other")
    (copy.published / "index.html").unlink()
    assert not is_published(place, identity)


def test_a_report_that_was_removed_is_published_again_without_repeating_a_stage(finished: Finished, tmp_path: Path) -> None:
    copy = finished.copy(tmp_path)
    (copy.published / "index.html").unlink()
    result, _ = run_stages(copy.company, copy.reports, copy.notebooks)
    assert result.executed == ()
    assert (copy.published / "index.html").is_file()


def test_when_the_report_can_not_be_assembled_the_last_one_stays(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crm_methods.runs import publish

    def fails(*_: object) -> str:
        raise StageError("no room")

    copy = finished.copy(tmp_path)
    (copy.published / "run.json").unlink()
    before = set(copy.reports.rglob("*"))
    monkeypatch.setattr(publish, "render_index", fails)
    with pytest.raises(StageError, match="no room"):
        run_stages(copy.company, copy.reports, copy.notebooks)
    assert set(copy.reports.rglob("*")) == before
