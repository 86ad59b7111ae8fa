"""Whether one level of amounts will do: what is measured, and what is said of it."""

from __future__ import annotations

import pytest

from crm_methods.company.answers import Answer
from crm_methods.stages.segments_spend import amounts
from crm_methods.stages.segments_value import draws_by_frequency
from tests.stages.valued import bought, is_said_in_full, seen_base, told, valued


def test_amounts_that_follow_frequency_get_levels_of_their_own() -> None:
    value = valued(bought(60, amount_by_gap=True), told())
    found = amounts(value, told())

    assert isinstance(found, Answer)
    assert "too much for one level" in found.sentence
    assert "draw each client to the level of those that bought as often" in found.sentence
    assert draws_by_frequency(value.model)
    assert found.table["level_revenue"].iloc[-1] > 1.5 * found.table["level_revenue"].iloc[1]


@pytest.mark.parametrize("name", ["usual", "identical buyers", "one client"])
def test_amounts_are_shown_or_it_is_said_why_not(name: str) -> None:
    found = amounts(seen_base(name)[0], told())

    is_said_in_full(found)
    assert isinstance(found, Answer) == (name == "usual")
