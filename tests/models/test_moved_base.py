"""The earlier base period: equal to Callaway and Sant'Anna where it does not move, undiluted where it does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crm_methods.models.effects import callaway_santanna
from crm_methods.models.moved_base import moved_base
from crm_methods.models.panels import Panel

PERIODS = 16


def _panel(effect: float, noise: float, dip: float = 0.0, members: int = 60, others: int = 90) -> Panel:
    """Two waves; ``dip`` is what members bring beyond their usual in the two periods before joining."""
    random = np.random.default_rng(11)
    joined = np.r_[np.where(np.arange(members) % 2 == 0, 9, 11), np.zeros(others, dtype=int)]
    period = np.arange(1, PERIODS + 1)
    level = random.normal(100, 20, (members + others, 1)) + 40 * (joined[:, None] > 0)
    since, before = joined[:, None] > 0, (joined[:, None] - period > 0) & (joined[:, None] - period <= 2)
    outcome = (
        level
        + effect * (since & (period >= joined[:, None]))
        + dip * (since & before)
        + random.normal(0, noise, (len(joined), PERIODS))
    )
    frame = pd.DataFrame(
        {
            "client_id": np.repeat([f"c{i:03d}" for i in range(len(joined))], PERIODS),
            "period": np.tile(period, len(joined)),
            "outcome": outcome.ravel(),
            "first_treat": np.repeat(joined, PERIODS),
        }
    )
    months = pd.DataFrame({"period": period, "month": pd.date_range("2024-01-01", periods=PERIODS, freq="MS")})
    return Panel(frame=frame, periods=months)


def test_without_moving_it_is_the_effect_of_callaway_and_santanna():
    panel = _panel(effect=5.0, noise=3.0)
    own, oracle = moved_base(panel, 0), callaway_santanna(panel)

    assert own.effect == pytest.approx(oracle.effect, abs=1e-9)
    assert own.standard_error == pytest.approx(oracle.standard_error, rel=0.02)


def test_an_effect_without_noise_is_found_whole_wherever_the_base_is():
    for periods_back in (0, 1, 3):
        assert moved_base(_panel(effect=5.0, noise=1e-6), periods_back).effect == pytest.approx(5.0, abs=1e-5)


def test_good_months_before_joining_mislead_the_usual_base_only():
    panel = _panel(effect=5.0, noise=1e-6, dip=4.0)

    assert moved_base(panel, 0).effect == pytest.approx(1.0, abs=1e-5)
    assert moved_base(panel, 2).effect == pytest.approx(5.0, abs=1e-5)


def test_the_order_of_rows_changes_nothing():
    panel = _panel(effect=5.0, noise=3.0)
    shuffled = Panel(frame=panel.frame.sample(frac=1, random_state=1), periods=panel.periods)

    assert moved_base(shuffled, 1).effect == pytest.approx(moved_base(panel, 1).effect, abs=1e-9)


def test_members_without_a_base_are_left_out_and_said():
    assert "30 members without a base period left out" in moved_base(_panel(effect=5.0, noise=3.0), 8).note


def test_too_few_members_give_no_effect():
    found = moved_base(_panel(effect=5.0, noise=3.0, members=3), 1)

    assert found.effect is None
    assert "3 members" in found.note
