"""The map in ARCHITECTURE.md is the house as it stands: rooms, directions of imports, who may draw."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "crm_methods"
FLOORS = ("errors", "formats", "engine", "company", "models", "stages", "reports", "runs")
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py")


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def _imported(path: Path) -> set[str]:
    """Full names of everything a module imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def _own_imports(path: Path) -> set[str]:
    known = {_name(module) for module in MODULES}
    return {name for name in _imported(path) if name in known}


def _floor(name: str) -> int:
    return FLOORS.index(name.split(".")[1])


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_go_one_way(path: Path):
    upward = {name for name in _own_imports(path) if _floor(name) > _floor(_name(path))}

    assert upward == set()


def test_no_modules_import_each_other_in_a_circle():
    arrows = {_name(path): _own_imports(path) - {_name(path)} for path in MODULES}
    while free := {name for name, needs in arrows.items() if not needs & set(arrows)}:
        arrows = {name: needs for name, needs in arrows.items() if name not in free}

    assert arrows == {}


def test_stages_meet_in_tables_and_never_import_each_other():
    stages = [path for path in MODULES if path.parent.name == "stages"]
    keys = ("client_base", "segments", "offers", "processes", "contacts", "relationships")

    def stage_of(name: str) -> str:
        return next(key for key in keys if name.rsplit(".", 1)[-1].startswith(key))

    crossed = {
        (_name(path), name)
        for path in stages
        for name in _own_imports(path)
        if name.startswith("crm_methods.stages.") and stage_of(name) != stage_of(_name(path))
    }

    assert crossed == set()


@pytest.mark.parametrize("path", [p for p in MODULES if _floor(_name(p)) < FLOORS.index("reports")], ids=_name)
def test_nothing_below_the_reports_draws(path: Path):
    roots = {name.split(".")[0] for name in _imported(path)}

    assert roots.isdisjoint({"matplotlib", "seaborn"})


def test_reports_know_runs_by_plain_facts_only():
    reports = [path for path in MODULES if "reports" in path.parts]

    assert not [name for path in reports for name in _imported(path) if name.startswith("crm_methods.runs")]


def test_lifetimes_is_imported_in_one_place():
    users = [_name(path) for path in MODULES if any(name.split(".")[0] == "lifetimes" for name in _imported(path))]

    assert users == ["crm_methods.models.second_opinion"]


def test_packages_keep_their_init_empty():
    lengths = {_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("__init__.py")}

    assert {name: lines for name, lines in lengths.items() if lines > 3} == {}


def test_architecture_md_names_every_module_and_no_other():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = {name for name in re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)`", text) if not name.startswith("tests/")}

    assert named == {path.relative_to(PACKAGE).as_posix() for path in MODULES}


# Rooms whose tests stand in one file: the kinds of figures, the simulator behind sample.py, what segments say, and the like.
TESTED_TOGETHER = {
    "kinds": ("bars", "lines", "matrices", "intervals"),
    "sample": ("sample_",),
    "segments_wants": ("segments_likes", "segments_leaves", "segments_voices"),
    "segments_calls": ("segments_call_facts",),
    "segments_tables": ("segments_findings",),
    "segments_value": ("segments_returns",),
}


def test_every_module_has_a_test_file_of_its_own():
    tests = {path.stem.removeprefix("test_") for path in (ROOT / "tests").rglob("test_*.py")}
    together = tuple(name for test, names in TESTED_TOGETHER.items() if test in tests for name in names)
    without = [_name(p) for p in MODULES if not p.stem.startswith(together) and not any(t.startswith(p.stem) for t in tests)]

    assert without == []
