"""What is shown of a purchase model, for bases of every rung."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from crm_methods.company.answers import Answer, Unanswered
from crm_methods.stages import segments_validation
from tests.stages.valued import BASES, bought, is_said_in_full, on_days, seen, seen_base, told


def test_tracking_and_groups_hold_the_purchases_that_followed() -> None:
    _, found = seen_base("usual")
    counts = found.trials[0].counts
    followed = int(counts["n"] @ counts["x_holdout"])
    tracking, groups = segments_validation.tracking(found), segments_validation.by_frequency(found)

    assert isinstance(tracking, segments_validation.Tracking)
    assert isinstance(groups, Answer)
    assert len(tracking.table) == 1 + told().lifetime_value.holdout_months
    assert tracking.table["actual"].iloc[-1] - tracking.table["actual"].iloc[0] == followed
    assert f"bought {followed} times" in tracking.sentence
    assert groups.table["clients"] @ groups.table["actual"] == pytest.approx(followed)
    assert groups.table["clients"] @ groups.table["expected"] == pytest.approx(found.foresight.expected)


def test_clients_like_clocks_and_others_are_judged_together() -> None:
    clocks = {
        f"k{c}": [str(dt.date(2024, 1, 10) + dt.timedelta(days=c + 30 * k + (k * c) % 3)) for k in range(6 + c % 18)]
        for c in range(40)
    }
    _, found = seen(pd.concat([bought(40), on_days(clocks)]))

    assert [trial.population for trial in found.trials] == ["regular", "purchases"]
    assert found.clients == found.frequencies["clients"].sum()
    for show in (segments_validation.tracking, segments_validation.by_frequency, segments_validation.alive):
        is_said_in_full(show(found))


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", BASES)
def test_every_base_is_shown_or_says_why_not(name: str) -> None:
    _, found = seen_base(name)
    for show in (segments_validation.tracking, segments_validation.by_frequency, segments_validation.alive):
        is_said_in_full(show(found))


def test_a_base_younger_than_the_holdout_has_nothing_to_show() -> None:
    _, found = seen(on_days({f"c{i}": ["2025-09-01", f"2025-1{i % 3}-20"] for i in range(20)}))

    assert isinstance(found, Unanswered)
    assert "no client was known before the last 6 months" in found.sentence
