"""What the tests of reports share: one executed notebook, its pages, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_methods.reports.html import render_index, render_stage

from . import made_up
from .browser import Open, open_browser


@pytest.fixture(scope="module")
def browser_page() -> Iterator[Open]:
    """``open(path, width=1280)`` in headless Chromium; given back after a module, since it holds the process's event loop."""
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up notebook, executed once in a fresh kernel."""
    return made_up.execute(tmp_path_factory.mktemp("notebook"))


@pytest.fixture(scope="session")
def stage_page(executed: Path) -> str:
    """The report made of it."""
    return render_stage(executed, made_up.stage_json(), made_up.run_facts())


@pytest.fixture(scope="session")
def index_page() -> str:
    """The index of a run of six stages."""
    return render_index(made_up.all_stages(), made_up.run_facts(), made_up.segment_matrix(), made_up.reconciliation())
