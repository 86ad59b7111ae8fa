"""Amounts by how often clients buy: group means, their intervals, and levels that few clients hardly move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

from crm_methods.models.spend_by_frequency import TOP_REPEATS, relative_levels, spend_by_frequency

MakeFrame = Callable[[pd.DataFrame], "nw.LazyFrame[Any]"]


def _history(x: list[int], mean: list[float], money: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"client_id": [f"c{i}" for i in range(len(x))], "x": x, "mean_margin": mean, "margin": money})


def test_means_are_of_repeat_purchases_and_of_the_only_one_of_one_timers_on_every_engine(frames: MakeFrame) -> None:
    history = _history([0, 0, 1, 1, 9, 30], [0.0, 0.0, 10.0, 30.0, 100.0, 300.0], [5.0, 7.0, 20.0, 50.0, 1e3, 1e4])
    table = spend_by_frequency(frames(history)).set_index("x")

    assert table["clients"].to_dict() == {0: 2, 1: 2, 7: 2}
    assert table["mean_margin"].to_dict() == pytest.approx({0: 6.0, 1: 20.0, 7: 200.0})
    assert table["mean_margin"].between(table["low_margin"], table["high_margin"]).all()


def test_levels_lie_between_the_groups_own_mean_and_that_of_all_and_few_clients_count_little() -> None:
    rng = np.random.default_rng(4)
    x = [1] * 300 + [2] * 300 + [3] * 2
    mean = np.concatenate([rng.normal(50, 10, 300), rng.normal(80, 10, 300), [400.0, 20.0]])
    table = spend_by_frequency(nw.from_native(_history(x, mean.tolist(), mean.tolist())).lazy()).set_index("x")
    everybody = mean.mean()

    own, level = table["mean_margin"], table["level_margin"]
    assert ((level - everybody) * (own - everybody) >= 0).all()
    assert ((level - everybody).abs() <= (own - everybody).abs() + 1e-9).all()
    assert level[1] == pytest.approx(own[1], rel=0.02)
    kept = (level - everybody) / (own - everybody)
    assert kept[3] < 0.9 < kept[1]


def test_amounts_that_do_not_depend_on_frequency_have_one_level() -> None:
    table = spend_by_frequency(nw.from_native(_history([1, 1, 2, 2], [10.0, 30.0, 10.0, 30.0], [1.0] * 4)).lazy())

    assert table["level_margin"].tolist() == pytest.approx([20.0, 20.0])


def test_a_single_client_has_a_mean_and_no_interval() -> None:
    table = spend_by_frequency(nw.from_native(_history([2], [1e9], [3e9])).lazy())

    assert table[["mean_margin", "level_margin"]].iloc[0].tolist() == [1e9, 1e9]
    assert table[["low_margin", "high_margin"]].isna().all(axis=None)
    assert spend_by_frequency(nw.from_native(_history([], [], [])).lazy()).empty


def test_relative_levels_are_those_of_the_usual_repeat_buyer_and_fill_the_gaps_between() -> None:
    table = pd.DataFrame({"x": [0, 1, 4], "clients": [50, 30, 10], "level_margin": [30.0, 50.0, 90.0]})

    usual = (30 * 50 + 10 * 90) / 40
    assert relative_levels(table) == pytest.approx([each / usual for each in (30, 50, 50, 50, *[90] * (TOP_REPEATS - 3))])


@pytest.mark.parametrize("level", [0.0, -5.0])
def test_of_losses_no_relative_level_is_taken(level: float) -> None:
    assert relative_levels(pd.DataFrame({"x": [1, 2], "clients": [3, 3], "level_margin": [level, 50.0]})) == ()
    assert relative_levels(pd.DataFrame({"x": [0], "clients": [3], "level_margin": [50.0]})) == ()
