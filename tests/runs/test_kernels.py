from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from crm_methods.errors import StageError
from crm_methods.runs.kernels import OwnKernel, cause_of, question_above


def _cell(kind: str, source: str) -> SimpleNamespace:
    return SimpleNamespace(cell_type=kind, source=source)


def test_the_kernel_is_this_interpreter() -> None:
    assert OwnKernel(kernel_name="python3").kernel_spec.argv[0] == sys.executable


def test_a_cell_answers_the_nearest_heading_above_it() -> None:
    cells = [
        _cell("code", "# no heading"),
        _cell("markdown", "# Title\n\ntext\n\n## First question?"),
        _cell("code", "1"),
        _cell("markdown", "only text"),
        _cell("code", "2"),
    ]
    assert [question_above(cells, index) for index in (0, 2, 4)] == ["", "First question?", "First question?"]


@pytest.mark.parametrize(
    ("error", "cause", "remedy"),
    [
        (StageError("Say what to mend."), "Say what to mend.", "Mend that"),
        (KeyError("clv"), "KeyError: 'clv'", "whole trace"),
        (RuntimeError("Kernel died before replying to kernel_info"), "The kernel died.", "memory_limit"),
        (ModuleNotFoundError("No module named 'x'"), "ModuleNotFoundError: No module named 'x'", "Install"),
        (ValueError(), "ValueError", "whole trace"),
        (ValueError("a\n  b " + "c" * 500), "ValueError: a b ccc", "whole trace"),
    ],
)
def test_every_error_has_a_cause_and_a_remedy(error: Exception, cause: str, remedy: str) -> None:
    told, advice = cause_of(error)
    assert told.startswith(cause)
    assert remedy in advice
    assert len(told) < 450
