from __future__ import annotations

import io

from crm_methods.company.vocabulary import STAGES
from crm_methods.runs.progress import Bar, Lines, progress_on


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_and_a_log_gets_lines() -> None:
    assert isinstance(progress_on(6, _Terminal()), Bar)
    assert isinstance(progress_on(6, io.StringIO()), Lines)


def test_a_log_has_one_line_per_stage_whatever_it_asks() -> None:
    out = io.StringIO()
    lines = Lines(out)
    lines.begins(STAGES["client_base"])
    lines.asks("What came in?")
    lines.ends(STAGES["client_base"], 6.21)
    lines.skips(STAGES["segments"])
    lines.close()
    assert out.getvalue() == (
        "1/6 The client base in order … 6.2 s\n2/6 Segments and what clients are worth … fresh, not repeated\n"
    )


def test_a_stage_that_fails_ends_its_line() -> None:
    out = io.StringIO()
    lines = Lines(out)
    lines.begins(STAGES["offers"])
    lines.close()
    lines.close()
    assert out.getvalue() == "3/6 Individual offers … \n"


def test_a_bar_shows_the_current_question_and_leaves_a_line_per_stage() -> None:
    out = _Terminal()
    bar = Bar(out, 2)
    bar.begins(STAGES["client_base"])
    bar.asks("What came in, and does it reconcile?")
    bar.ends(STAGES["client_base"], 3.0)
    bar.skips(STAGES["segments"])
    bar.close()
    shown = out.getvalue()
    assert "What came in, and does it reconcile?" in shown
    assert "1/6 The client base in order  3.0 s\n" in shown
    assert "2/6 Segments and what clients are worth  fresh, not repeated\n" in shown
