"""Running again, by hand, and as the notebooks' own tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from crm_methods.company.vocabulary import STAGES
from crm_methods.runs.request import read_request
from crm_methods.runs.runner import run
from tests.whole.conftest import ROOT, Run

pytestmark = pytest.mark.xdist_group("whole")


def _pytest(*arguments: str, reports: Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "CRM_METHODS_REPORTS": str(reports)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", "-n", "0", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, check=False)


def test_source_notebooks_run_without_an_exception(meridian: Run):
    """nbval-lax: every notebook opened as it stands in notebooks/, without parameters, runs on the sample."""
    done = _pytest("--nbval-lax", "--nbval-current-env", "notebooks", reports=meridian.reports)

    assert done.returncode == 0, done.stdout[-4000:]


def test_a_second_execution_gives_the_same_outputs(meridian: Run, tmp_path: Path):
    """Strict nbval over the executed notebooks, in a copy of the run, so that the run itself stays."""
    reports = tmp_path / "reports"
    shutil.copytree(meridian.reports / "meridian", reports / "meridian")
    for source in sorted(meridian.notebooks.glob("[1-6]_*.ipynb")):
        notebook = nbformat.read(source, as_version=4)
        for cell in notebook.cells:
            cell.source = cell.source.replace(str(meridian.reports), str(reports))
        nbformat.write(notebook, tmp_path / source.name)
    done = _pytest("--nbval", "--nbval-current-env", str(tmp_path), reports=reports)

    assert done.returncode == 0, done.stdout[-4000:]


def test_a_fresh_run_repeats_nothing(meridian: Run):
    before = {path: path.stat().st_mtime_ns for path in meridian.folder.rglob("*") if path.is_file()}
    again = run(read_request(meridian.company), reports=meridian.reports)

    assert again.executed == ()
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("stage", ["segments"])
def test_a_notebook_opened_by_hand_never_writes_into_a_published_run(meridian: Run, stage: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CRM_METHODS_REPORTS", str(meridian.reports))
    before = {path: path.stat().st_mtime_ns for path in meridian.folder.rglob("*") if path.is_file()}
    notebook = nbformat.read(ROOT / "notebooks" / f"{STAGES[stage].notebook}.ipynb", as_version=4)
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(ROOT / "notebooks")}}).execute()

    assert {path: path.stat().st_mtime_ns for path in meridian.folder.rglob("*") if path.is_file()} == before
    assert (meridian.reports / "meridian" / ".work" / "by_hand" / "stages" / f"{stage}.json").is_file()
