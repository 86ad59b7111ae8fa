"""environment.yml and the lock say the same as pyproject.toml."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def _locked(name: str) -> dict[str, set[str]]:
    """The versions that a lock holds of each package: one, or one for each range of Pythons."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^ ;]+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    return {package: {version for other, version in found if other == package} for package, _ in found}


def _generate() -> str:
    spec = importlib.util.spec_from_file_location("environment", ROOT / "tools" / "environment.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.environment(PYPROJECT)


def test_environment_yml_is_what_pyproject_generates():
    assert (ROOT / "environment.yml").read_text(encoding="utf-8") == _generate()


def test_the_lock_holds_every_package_that_running_and_testing_need():
    project = tomllib.loads(PYPROJECT)["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    names = {re.split(r"[<>=!~]", need)[0].lower() for need in needed}
    locked = set(re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE))

    assert names <= {name.lower() for name in locked}


def test_the_locks_of_extras_can_be_installed_over_each_other():
    base, ci, bayes = (_locked(f"requirements{of}.lock") for of in ("", "-ci", "-bayes"))

    assert "pymc-marketing" in bayes
    assert {name for name in ci.keys() & bayes.keys() if not bayes[name] <= ci[name]} == set()
    assert {name for name in base.keys() & bayes.keys() if not bayes[name] <= base[name]} == set()


def test_locks_hold_no_addresses():
    for lock in ROOT.glob("requirements*.lock"):
        assert "://" not in lock.read_text(encoding="utf-8"), lock.name
        assert "--index-url" not in lock.read_text(encoding="utf-8"), lock.name
