from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from types import SimpleNamespace

import pandas as pd
import pytest

from crm_methods.company.answers import Answer, Unanswered, answers

WITH_MARGIN = SimpleNamespace(supplied={"deals": frozenset({"amount", "closed_on", "margin"})})
WITHOUT = SimpleNamespace(supplied={"deals": frozenset({"amount", "closed_on"})})


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Curve(Answer):
    peak: float


def curve(data: object, *, peak: float = 1.5, earlier: object = None) -> Curve:
    """The docstring of a stage function."""
    return Curve(sentence="It peaks.", table=pd.DataFrame(), caption="Curve", peak=peak)


whale = answers("segments.whale_curve")(curve)


def test_an_answer_passes_through_with_its_own_type():
    answer = whale(WITH_MARGIN, peak=2.0)
    assert isinstance(answer, Curve)
    assert answer.peak == 2.0
    assert whale.__name__ == "curve"
    assert whale.__doc__ == "The docstring of a stage function."


def test_missing_data_are_said_with_what_would_help():
    answer = whale(WITHOUT)
    assert isinstance(answer, Unanswered)
    assert answer.question == "segments.whale_curve"
    assert answer.sentence.startswith(
        "Who earns, and who gives it back? This can't be answered: the data it needs is not there. It could with: deals.margin ("
    )


def test_the_data_may_stand_anywhere_among_the_arguments():
    late = answers("segments.whale_curve")(lambda settings, data: "answered")
    assert isinstance(late("settings", data=WITHOUT), Unanswered)
    assert late("settings", data=WITH_MARGIN) == "answered"


def test_what_builds_on_an_unanswered_question_is_unanswered_for_the_same_reason():
    answer = whale(WITH_MARGIN, earlier=Unanswered("segments.matrix", "too few clients", ("more clients",)))
    assert isinstance(answer, Unanswered)
    assert answer.question == "segments.whale_curve"
    assert (answer.reason, answer.would_help) == ("too few clients", ("more clients",))


def test_a_function_without_data_among_its_arguments_is_always_called():
    assert answers("segments.whale_curve")(lambda x: x + 1)(1) == 2


def test_a_function_may_itself_say_that_it_cannot_answer():
    refuse = answers("segments.clusters")(lambda data: Unanswered("segments.clusters", "only 3 clients"))
    assert refuse(WITH_MARGIN).sentence == "Do natural clusters exist at all? This can't be answered: only 3 clients."


def test_a_question_that_no_one_declared_is_refused_at_once():
    with pytest.raises(KeyError, match=r'Did you mean "segments.whale_curve"\?'):
        answers("segments.whale_curv")


def test_answers_cannot_be_changed_and_do_not_share_labels():
    one, other = (whale(WITH_MARGIN) for _ in range(2))
    assert isinstance(one, Curve)
    assert isinstance(other, Curve)
    assert one.labels is not other.labels
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.peak = 3.0  # type: ignore[misc]
