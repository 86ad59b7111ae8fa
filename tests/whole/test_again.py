"""Running again, by hand, and as the notebooks' own tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from crm_methods.company.vocabulary import STAGES
from crm_methods.runs.request import read_request
from crm_methods.runs.runner import run
from tests.whole.conftest import ROOT, Run

pytestmark = pytest.mark.xdist_group("whole")


def _pytest(*arguments: str, reports: Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "CRM_METHODS_REPORTS": str(reports)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", "-n", "0", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, check=False)


def _times(run: Run) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in run.folder.rglob("*") if path.is_file()}


def _hashes(run: Run, work: str) -> dict[str, str]:
    stages = run.reports / run.company.name / ".work" / work / "stages"
    facts = [json.loads(path.read_text(encoding="utf-8")) for path in stages.glob("*.json")]
    return {name: table["sha256"] for stage in facts for name, table in stage["tables"].items()}


@pytest.fixture(scope="module")
def by_hand(meridian: Run) -> dict[Path, int]:
    """nbval-lax: every notebook as it stands in notebooks/, without parameters, runs on the sample beside its last run."""
    before = _times(meridian)
    done = _pytest("--nbval-lax", "--nbval-current-env", "notebooks", reports=meridian.reports)
    assert done.returncode == 0, done.stdout[-4000:]
    return before


def test_notebooks_opened_by_hand_never_write_into_a_published_run(meridian: Run, by_hand: dict[Path, int]):
    assert _times(meridian) == by_hand
    stages = meridian.reports / "meridian" / ".work" / "by_hand" / "stages"
    assert {path.stem for path in stages.glob("*.json")} == set(STAGES)


def test_what_is_drawn_at_random_comes_out_alike_by_hand(meridian: Run, by_hand: dict[Path, int]):
    assert _hashes(meridian, "by_hand") == _hashes(meridian, meridian.folder.name)


def test_a_second_execution_gives_the_same_outputs(tiny: Run, tmp_path: Path):
    """Strict nbval over the executed notebooks, in a copy of the run, so that the run itself stays."""
    reports = tmp_path / "reports"
    shutil.copytree(tiny.reports / "tiny", reports / "tiny")
    for source in sorted(tiny.notebooks.glob("[1-6]_*.ipynb")):
        notebook = nbformat.read(source, as_version=4)
        for cell in notebook.cells:
            cell.source = cell.source.replace(str(tiny.reports), str(reports))
        nbformat.write(notebook, tmp_path / source.name)
    done = _pytest("--nbval", "--nbval-current-env", str(tmp_path), reports=reports)

    assert done.returncode == 0, done.stdout[-4000:]


def test_a_fresh_run_repeats_nothing(meridian: Run):
    before = _times(meridian)
    again = run(read_request(meridian.company), reports=meridian.reports)

    assert again.executed == ()
    assert _times(meridian) == before
