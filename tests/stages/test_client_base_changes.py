"""Rows of two periods, and changes between them as texts."""

from __future__ import annotations

import pandas as pd
import pytest

from crm_methods import formats
from crm_methods.engine import collect
from crm_methods.stages.client_base_changes import (
    LABELS,
    NO_CLEAR_CHANGE,
    change_in_points,
    change_in_words,
    changes_by_value,
    changes_in_points,
    in_brackets,
    of_two_periods,
    readable_changes,
)
from tests.conftest import MakeCompany, MakeFrame


def test_a_period_begins_and_ends_with_a_whole_day(make_company: MakeCompany):
    days = ["2023-12-31", "2024-01-01", "2024-12-31", "2025-01-01", "2025-12-31", "2026-01-01"]
    made = make_company({"deals": pd.DataFrame({"deal_id": range(6), "client_id": "a", "closed_on": days, "amount": 1.0})})
    kept = collect(of_two_periods(made.data.scan("deals"), "closed_on", made.settings)).set_index("deal_id")

    assert kept["now"].sort_index().to_dict() == {"1": 0, "2": 0, "3": 1, "4": 1}


ROWS = pd.DataFrame(
    {
        "client_id": list("aabbccdd"), "now": [1, 0] * 4,
        "loss_reason": ["price", "time", "price", None, "time", "price", None, "price"],
    }
)  # fmt: skip


def test_shares_are_of_the_rows_that_name_something(frames: MakeFrame):
    found = changes_by_value(frames(ROWS), "loss_reason", "lost_deals").set_index("name")

    assert found["lost_deals"].to_dict() == {"price": 2, "time": 1}
    assert found["share"].to_dict() == pytest.approx({"price": 2 / 3, "time": 1 / 3})
    assert found["previous_share"].to_dict() == pytest.approx({"price": 2 / 3, "time": 1 / 3})
    assert set(found["about"]) == {"loss_reason"}


def test_readable_changes_say_no_clear_change_where_there_is_none(frames: MakeFrame):
    found = readable_changes(changes_by_value(frames(ROWS), "loss_reason", "lost_deals"), "lost_deals")

    assert found["about"].tolist() == ["loss reason"] * 2
    assert found["change"].tolist() == [NO_CLEAR_CHANGE] * 2
    assert set(LABELS) <= set(found.columns)


def test_the_table_says_what_is_clear_among_all_its_rows():
    table = pd.DataFrame({"change": [0.2, 0.1], "low_change": [0.1, 0.01], "high_change": [0.3, 0.2], "q_value": [0.01, 0.06]})
    assert changes_in_points(table) == ["+20.0 (+10.0 to +30.0)", NO_CLEAR_CHANGE]


def test_a_change_whose_interval_holds_zero_is_not_clear():
    assert change_in_points(0.02, -0.01, 0.05) == NO_CLEAR_CHANGE
    assert change_in_points(0.02, 0.01, 0.03) == "+2.0 (+1.0 to +3.0)"
    assert change_in_points(0.02, float("nan"), float("nan")) == "+2.0 (no interval)"
    assert change_in_points(0.02, 0.01, 0.03, clear=False) == NO_CLEAR_CHANGE
    assert change_in_points(float("nan"), float("nan"), float("nan")) == "–"


def test_a_sentence_names_the_unit_of_what_is_a_number():
    assert change_in_words(0.02, -0.01, 0.05) == NO_CLEAR_CHANGE
    assert change_in_words(0.02, 0.01, 0.03) == "+2.0 (+1.0 to +3.0) points"


def test_where_there_is_no_interval_nothing_stands_in_brackets():
    assert in_brackets(0.1, 0.2, formats.share) == " (10% to 20%)"
    assert in_brackets(0.1, 0.2, formats.share, "95% interval ") == " (95% interval 10% to 20%)"
    assert in_brackets(None, None, formats.share) == in_brackets(float("nan"), 0.2, formats.share) == ""
