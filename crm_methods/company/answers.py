"""What a stage function returns: an answer, or a reasoned "can't be answered"."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import pandas as pd

from crm_methods.company.contracts import missing_for
from crm_methods.company.questions import QUESTIONS
from crm_methods.errors import did_you_mean

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Answer:
    """The answer to one question of a stage.

    Parameters
    ----------
    sentence
        The result said in one or two computed sentences.
    table
        One row per segment or coarser.
    caption
        What the table shows, with its unit and period.
    labels
        Headings of columns whose name does not read well as it is.
    """

    sentence: str
    table: pd.DataFrame
    caption: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Unanswered:
    """A question that this company's data can't answer: why, and what would help."""

    question: str
    reason: str
    would_help: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The result said in words."""
        helps = f" It could with: {'; '.join(self.would_help)}." if self.would_help else ""
        return f"{QUESTIONS[self.question].text} This can't be answered: {self.reason.rstrip('. ')}.{helps}"


def answers(question: str) -> Callable[[Callable[P, R]], Callable[P, R | Unanswered]]:
    """Make a stage function answer ``question`` only where the data allow it.

    The function is not called when a column the question needs is absent from the
    ``Canonical`` among its arguments, or when an argument is itself unanswered.

    Raises
    ------
    KeyError
        No such question is declared; raised where the function is defined.
    """
    if question not in QUESTIONS:
        raise KeyError(f"{question} is not a question of company/questions.py. {did_you_mean(question, QUESTIONS)}".rstrip())

    def wrap(function: Callable[P, R]) -> Callable[P, R | Unanswered]:
        @functools.wraps(function)
        def ask(*args: P.args, **kwargs: P.kwargs) -> R | Unanswered:
            given: list[Any] = [*args, *kwargs.values()]
            for value in given:
                if isinstance(value, Unanswered):
                    return Unanswered(question, value.reason, value.would_help)
            supplied = next((v.supplied for v in given if hasattr(v, "supplied")), None)
            missing = missing_for(question, supplied) if supplied is not None else ()
            if missing:
                return Unanswered(question, "the data it needs is not there.", missing)
            return function(*args, **kwargs)

        return ask

    return wrap


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """A number for the index page: what it is, as text and as value, with its interval."""

    key: str
    label: str
    text: str
    value: float | None = None
    interval: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Something that was checked, whether it holds, and the figures."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """What a stage makes of its answers: findings that open the report, headlines, checks and the decision."""

    findings: tuple[str, ...] = ()
    headlines: tuple[Headline, ...] = ()
    checks: tuple[Check, ...] = ()
    decision: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A segment-level table of a stage with what its reader must know: what a row is, and its key."""

    table: pd.DataFrame
    grain: str
    key: tuple[str, ...]
