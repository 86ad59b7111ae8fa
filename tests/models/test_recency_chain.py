"""The recency chain: its counts, on every engine; its forecast against its simulation; small bases."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

from crm_methods.models import recency_chain
from crm_methods.models.btyd_fit import NoFit, naive
from crm_methods.models.recency_chain import ChainFit

AS_OF = dt.date(2025, 12, 31)
MakeFrame = Callable[[pd.DataFrame], "nw.LazyFrame[Any]"]


def bought(days_ago: dict[str, list[int]]) -> pd.DataFrame:
    rows = [(client, pd.Timestamp(AS_OF) - pd.Timedelta(days=day)) for client, days in days_ago.items() for day in days]
    return pd.DataFrame(rows, columns=["client_id", "closed_on"])


def test_runs_are_counted_from_purchase_to_purchase_and_to_today(frames: MakeFrame) -> None:
    # Periods of a month before today: a bought in the 4th, twice in the 2nd and is silent since; b an hour ago; c once.
    rows = bought({"a": [100, 40, 35], "b": [0], "c": [70]})
    found = recency_chain.buying_runs(frames(rows), AS_OF, 1)
    expected = pd.DataFrame(
        {
            "repeat": [0, 0, 1],
            "length": [2, 2, 1],
            "runs": [1, 1, 1],
            "purchases": [2, 0, 0],
            "ended": [True, False, False],
        }
    )
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def a_chain(clients: int = 120, seed: int = 2) -> tuple[ChainFit, pd.DataFrame]:
    """A base of clients that buy every 50 days on average until they leave, and its triples."""
    rng, days = np.random.default_rng(seed), {}
    for client in range(clients):
        first = int(rng.integers(30, 900))
        times = [first]
        while rng.random() > 0.25 and (later := times[-1] - int(rng.exponential(50)) - 1) >= 0:
            times.append(later)
        days[f"c{client:03}"] = times
    triples = pd.DataFrame(
        [(len(times) - 1, times[0] - times[-1], times[0], 1) for times in days.values()], columns=["x", "t_x", "T", "n"]
    )
    runs = recency_chain.buying_runs(nw.from_native(bought(days)).lazy(), AS_OF, 1)
    fit = recency_chain.fit_recency_chain(runs, 1, triples)
    assert isinstance(fit, ChainFit)
    return fit, triples


def test_chances_are_the_counted_shares_drawn_to_those_of_longer_silence() -> None:
    runs = pd.DataFrame({"repeat": [0, 0], "length": [1, 4], "runs": [30, 70], "purchases": [45, 0], "ended": [True, False]})
    fit = recency_chain.fit_recency_chain(runs, 1, pd.DataFrame({"x": [0], "n": [100]}))
    assert isinstance(fit, ChainFit)
    in_all = 30.5 / 311
    overall = [(got + 1) / (met + 1 / in_all) for got, met in ((30, 310), (0, 210), (0, 140), (0, 70))]
    of_kind = [(got + 1) / (met + 1 / share) for (got, met), share in zip(((30, 310), (0, 210), (0, 140), (0, 70)), overall)]
    assert fit.returns[0] == pytest.approx([31 / (100 + 1 / of_kind[0]), *(1 / (70 + 1 / share) for share in of_kind[1:])])
    assert fit.purchases[0] == pytest.approx(1 + (15 + 15 / 31) / 31)


def test_the_longer_the_silence_the_smaller_the_chance_to_return() -> None:
    fit, _ = a_chain()
    alive = recency_chain.probability_alive(fit, [5] * 4, [100] * 4, [100, 200, 400, 800])
    assert (np.diff(alive[:3]) < 0).all()
    assert alive[0] > 5 * alive[-1]
    once = recency_chain.probability_alive(fit, [0], [0], [200])
    assert 0 < once[0] < 1


@pytest.mark.parametrize("horizon_days", [20.0, 400.0])
def test_simulated_futures_have_the_expected_mean(horizon_days: float) -> None:
    fit, _ = a_chain()
    rng, size = np.random.default_rng(8), 20_000
    history = ([3.0] * size, [200.0] * size, [260.0] * size)
    made, still, places = recency_chain.simulate(fit, *history, horizon_days, rng)
    ahead = recency_chain.forecast(fit, [3], [200], [260], [horizon_days])
    assert made.mean() == pytest.approx(ahead[0][0, 0], abs=4 * made.std() / np.sqrt(size))
    assert ((places >= 0) & (places <= 1) & (still >= 0) & (still <= 1)).all()
    by_month = recency_chain.forecast(fit, [3], [200], [260], np.arange(1, 14) * 30.4375)[1][0]
    if horizon_days > 20:
        assert still.mean() == pytest.approx(by_month.mean(), abs=0.02)


def test_the_forecast_grows_with_the_horizon_and_is_no_individual_ranking() -> None:
    fit, triples = a_chain()
    purchases, alive = recency_chain.forecast(fit, triples["x"], triples["t_x"], triples["T"], [10.0, 365.0, 1096.0])
    assert (np.diff(purchases, axis=1) > 0).all()
    assert ((alive >= 0) & (alive <= 1)).all()
    same_silence = recency_chain.forecast(fit, [2, 40], [100, 900], [150, 950], [365.0])[0]
    assert same_silence[0, 0] == same_silence[1, 0]


def test_draws_lie_around_the_chances_and_closer_the_more_is_known() -> None:
    rng = np.random.default_rng(1)
    fit, _ = a_chain()
    more = replace(fit, bought=fit.bought * 100, not_bought=fit.not_bought * 100)
    few, many = (np.array([recency_chain.drawn(each, rng).returns for _ in range(400)]) for each in (fit, more))
    assert few.mean(axis=0) == pytest.approx(fit.returns, abs=0.03)
    assert (many.std(axis=0) < few.std(axis=0)).all()


def test_a_base_in_which_nobody_came_back_has_small_chances() -> None:
    triples = pd.DataFrame({"x": [0], "t_x": [0], "T": [300], "n": [50]})
    runs = recency_chain.buying_runs(nw.from_native(bought({f"c{i}": [300] for i in range(50)})).lazy(), AS_OF, 1)
    fit = recency_chain.fit_recency_chain(runs, 1, triples)
    assert isinstance(fit, ChainFit)
    expected = recency_chain.forecast(fit, [0], [0], [300], [365.0])[0][0, 0]
    assert 0 < 50 * expected < 2


def test_without_a_whole_period_there_is_no_chain() -> None:
    runs = recency_chain.buying_runs(nw.from_native(bought({"a": [0], "b": [3, 1]})).lazy(), AS_OF, 1)
    found = recency_chain.fit_recency_chain(runs, 1, pd.DataFrame({"x": [0, 1], "n": [1, 1]}))
    assert isinstance(found, NoFit)
    assert "no whole period" in found.reason


@pytest.mark.parametrize(("gap", "months"), [(20, 1), (200, 3)])
def test_periods_are_as_long_as_the_usual_gap_asks_for(gap: int, months: int) -> None:
    triples = pd.DataFrame({"x": [4, 0], "t_x": [4 * gap, 0], "T": [900, 900], "n": [3, 40]})
    assert recency_chain.period_months(triples) == months


def test_the_chances_are_shown_by_silence() -> None:
    fit, triples = a_chain()
    table = recency_chain.chances(fit)
    assert table["periods"].tolist() == list(range(len(table)))
    assert table[["one_time_share", "repeat_share"]].gt(0).all(axis=None)
    with pytest.raises(ValueError, match="no recency chain"):
        recency_chain.chances(naive(triples))
