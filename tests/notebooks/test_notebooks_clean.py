"""Notebooks read like the house's: short cells, no logic, no outputs, typed parameters."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest
from papermill.inspection import inspect_notebook

from crm_methods.company.settings import KNOBS
from crm_methods.company.vocabulary import STAGES

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = {key: ROOT / "notebooks" / f"{stage.notebook}.ipynb" for key, stage in STAGES.items()}
LOGIC = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.If, ast.Try, ast.Lambda, ast.BinOp, ast.ListComp, ast.DictComp)


def _code(stage: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(NOTEBOOKS[stage], as_version=4).cells if cell.cell_type == "code"]


def test_there_are_six_notebooks_and_no_other():
    assert sorted((ROOT / "notebooks").glob("*.ipynb")) == sorted(NOTEBOOKS.values())


@pytest.mark.parametrize("stage", STAGES)
def test_cells_are_few_and_short(stage: str):
    cells = _code(stage)

    assert len(cells) <= 15
    assert max(len(cell.source.splitlines()) for cell in cells) <= 8


@pytest.mark.parametrize("stage", STAGES)
def test_cells_only_call(stage: str):
    found = [type(node).__name__ for cell in _code(stage) for node in ast.walk(ast.parse(cell.source)) if isinstance(node, LOGIC)]

    assert found == []


@pytest.mark.parametrize("stage", STAGES)
def test_outputs_are_stripped(stage: str):
    assert all(cell.outputs == [] and cell.execution_count is None for cell in _code(stage))


@pytest.mark.parametrize("stage", STAGES)
def test_parameters_are_the_stages_knobs_typed_and_explained(stage: str):
    found = inspect_notebook(str(NOTEBOOKS[stage]))

    assert set(found) == {"company", "run_dir", *KNOBS[stage]}
    assert all(p["inferred_type_name"] != "None" and p["help"] and p["default"] == "None" for p in found.values())


@pytest.mark.parametrize("stage", STAGES)
def test_a_question_stands_above_every_answer(stage: str):
    cells = nbformat.read(NOTEBOOKS[stage], as_version=4).cells
    shown = [i for i, cell in enumerate(cells) if cell.cell_type == "code" and "stage.show(" in cell.source]

    assert shown
    assert [i for i in shown if cells[i - 1].cell_type != "markdown" or not cells[i - 1].source.startswith("## ")] == []


@pytest.mark.parametrize("stage", STAGES)
def test_the_first_cell_says_what_is_read_written_and_decided(stage: str):
    first = nbformat.read(NOTEBOOKS[stage], as_version=4).cells[0].source

    assert first.startswith("# ")
    assert "| This stage reads | writes | lets you decide |" in first


@pytest.mark.parametrize("stage", STAGES)
def test_markdown_holds_no_results(stage: str):
    """Numbers that depend on data are computed; only those of rules (95 %, ±20 %) may stand in prose."""
    cells = nbformat.read(NOTEBOOKS[stage], as_version=4).cells
    prose = " ".join(cell.source for cell in cells if cell.cell_type == "markdown")

    assert "€" not in prose
    assert "$" not in prose
