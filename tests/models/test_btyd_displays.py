"""The displays of trust on CDNOW's published holdout, and the laws they keep whatever the base."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

from crm_methods.models import btyd_displays
from crm_methods.models.btyd_displays import Trial
from crm_methods.models.btyd_fit import PurchaseFit, fit_purchases, naive

AS_OF = dt.date(1998, 6, 30)
MakeFrame = Callable[[pd.DataFrame], "nw.LazyFrame[Any]"]


@pytest.fixture(scope="module")
def trial(cdnow: Any) -> Trial:
    fit = fit_purchases("bg_nbd", cdnow.triples, "week", "ml")
    assert isinstance(fit, PurchaseFit)
    return Trial(population="purchases", fit=fit, counts=cdnow.counts)


@pytest.fixture(scope="module")
def by_day(cdnow: Any, cdnow_purchases: pd.DataFrame) -> pd.DataFrame:
    return btyd_displays.purchases_by_day(nw.from_native(cdnow_purchases).lazy(), cdnow.calibration)


def test_tracking_of_cdnow_ends_where_the_published_holdout_does(trial: Trial, by_day: pd.DataFrame) -> None:
    curve = btyd_displays.tracking([trial], by_day, AS_OF, 9).set_index("month_end")
    at_end, last = curve.loc["1997-09-30"], curve.loc["1998-06-30"]

    assert curve["held_out"].sum() == 9
    assert last["actual"] - at_end["actual"] == 1882
    assert last["naive"] - at_end["naive"] == pytest.approx(2930, abs=0.6)
    assert at_end["naive"] == pytest.approx(at_end["actual"])
    # Fader, Hardie & Lee (2005), figure 3: the model follows the whole 78 weeks closely.
    assert last["expected"] == pytest.approx(last["actual"], rel=0.06)
    assert (curve[["actual", "expected", "nbd", "naive"]].diff().dropna() >= 0).all(axis=None)


def test_expected_purchases_from_the_start_are_the_published_ones(trial: Trial) -> None:
    one = pd.DataFrame({"x": [0], "t_x": [0], "T": [1], "x_holdout": [0], "holdout_days": [546], "n": [1]})
    bought = pd.DataFrame({"day": pd.to_datetime(["1996-12-30"]), "occasions": [1]})
    curve = btyd_displays.tracking([replace(trial, counts=one)], bought, AS_OF, 18).set_index("month_end")

    # E[X(78 weeks)] = 1.8576 (Fader, Hardie & Lee 2005); 1996-12-30 to 1998-06-30 is 547 days, 78.14 weeks.
    assert curve.loc["1998-06-30", "expected"] == pytest.approx(1.8576, rel=0.002)
    assert curve["actual"].eq(0).all()


def test_conditional_expectations_add_up_to_the_published_totals(trial: Trial) -> None:
    table = btyd_displays.by_frequency([trial])

    sums = {name: float(table["clients"] @ table[name]) for name in ("actual", "expected", "naive")}
    assert sums == pytest.approx({"actual": 1882, "expected": 1653, "naive": 2930}, abs=0.6)
    assert table["repeat_purchases"].tolist() == ["0", "1", "2", "3", "4", "5", "6", "7 and more"]
    assert table["actual"].between(table["low"], table["high"]).all()
    assert btyd_displays.mean_absolute_errors([trial]) == pytest.approx((0.785, 1.024), abs=6e-4)


def test_counted_histories_give_the_same_as_clients_one_by_one(trial: Trial, by_day: pd.DataFrame) -> None:
    counts = trial.counts
    single = replace(trial, counts=counts.loc[counts.index.repeat(counts["n"])].assign(n=1).sample(frac=1, random_state=1))
    for display in (lambda t: btyd_displays.tracking([t], by_day, AS_OF, 9), lambda t: btyd_displays.by_frequency([t])):
        pd.testing.assert_frame_equal(display(trial), display(single))
    assert btyd_displays.median_gap_days(single.counts) == btyd_displays.median_gap_days(counts)


def test_two_populations_are_judged_together_each_by_its_own_model(trial: Trial, by_day: pd.DataFrame) -> None:
    often = trial.counts["x"] >= 2
    parts = [
        replace(trial, counts=trial.counts[~often].reset_index(drop=True)),
        replace(trial, population="regular", counts=trial.counts[often].reset_index(drop=True)),
    ]
    pd.testing.assert_frame_equal(
        btyd_displays.tracking(parts, by_day, AS_OF, 9), btyd_displays.tracking([trial], by_day, AS_OF, 9)
    )

    chosen = [parts[0], replace(parts[1], fit=replace(trial.fit, min_x=2))]
    assert not btyd_displays.knows_beginnings(chosen[1].fit)
    curve = btyd_displays.tracking(chosen, by_day, AS_OF, 9)
    assert np.isfinite(curve[["expected", "naive"]]).all(axis=None)
    own = btyd_displays.own_months(chosen)
    assert own is not None
    assert own[1] == float(parts[0].counts["n"] @ parts[0].counts["x"])


def test_the_naive_forecast_goes_on_at_everybodys_own_rate(trial: Trial, by_day: pd.DataFrame) -> None:
    plain = replace(trial, fit=naive(trial.counts))
    curve = btyd_displays.tracking([plain], by_day, AS_OF, 9)

    np.testing.assert_allclose(curve["expected"], curve["naive"])
    assert btyd_displays.own_months([plain]) is None


def test_a_base_of_frequent_buyers_is_shown_in_octaves(trial: Trial) -> None:
    counts = pd.DataFrame(
        {"x": [0, 3, 9, 40, 200], "t_x": [0, 90, 90, 90, 90], "T": 100, "x_holdout": 1, "holdout_days": 30, "n": 2}
    )
    table = btyd_displays.by_frequency([replace(trial, counts=counts)])

    assert table["repeat_purchases"].tolist() == ["0", "2–3", "8–15", "32–63", "64 and more"]
    assert table["clients"].sum() == 10


def test_the_median_gap_is_that_of_returning_clients() -> None:
    counts = pd.DataFrame({"x": [0, 1, 2, 4], "t_x": [0, 10, 60, 200], "T": 300, "n": [50, 3, 1, 2]})

    assert btyd_displays.median_gap_days(counts) == 10
    assert np.isnan(btyd_displays.median_gap_days(counts.head(1)))


def test_deals_of_a_client_on_one_day_are_one_purchase_on_every_engine(frames: MakeFrame) -> None:
    days = pd.to_datetime(["2025-01-01", "2025-01-01", "2025-01-02", "2025-01-01", "2025-01-03"])
    deals = frames(pd.DataFrame({"client_id": ["a", "a", "a", "b", "c"], "closed_on": days}))
    members = frames(pd.DataFrame({"client_id": ["a", "b"]}))
    table = btyd_displays.purchases_by_day(deals, members)

    assert table["day"].dt.day.tolist() == [1, 2]
    assert table["occasions"].tolist() == [2, 1]
