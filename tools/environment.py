"""environment.yml from pyproject.toml: the same set of packages for users of conda.

``python tools/environment.py`` prints it, ``--write`` writes it; a test holds the two together.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_ONLY_ON_PIP = frozenset({"diff-diff"})
_NAMES_ON_CONDA = {"duckdb": "python-duckdb", "matplotlib": "matplotlib-base", "types-PyYAML": "types-pyyaml"}
_HEAD = """\
# Generated from pyproject.toml by tools/environment.py; `make lock` writes it anew.
name: crm-methods
channels: [conda-forge]
dependencies:
"""


def environment(pyproject: str) -> str:
    """The text of environment.yml for the text of a pyproject.toml: what running and testing need."""
    project = tomllib.loads(pyproject)["project"]
    needs = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    named = [(re.split(r"[<>=!~]", need, maxsplit=1)[0], need) for need in needs]
    conda = [need.replace(name, _NAMES_ON_CONDA.get(name, name), 1) for name, need in named if name not in _ONLY_ON_PIP]
    pip = [need for name, need in named if name in _ONLY_ON_PIP]
    python = f"python{project['requires-python']}"
    lines = [f'  - "{need}"' for need in (python, "pip", *sorted(conda))]
    lines += ["  - pip:", *(f'      - "{need}"' for need in (*pip, "-e ."))]
    return _HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    text = environment((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    if "--write" in sys.argv[1:]:
        (ROOT / "environment.yml").write_text(text, encoding="utf-8")
    else:
        print(text, end="")
