"""What was foretold of a holdout holds when the model is true, and says so when it is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crm_methods.models import btyd_foresight
from crm_methods.models.btyd_displays import Trial
from crm_methods.models.btyd_fit import PurchaseFit, fit_purchases, naive
from crm_methods.models.btyd_foresight import foresee

FUTURES = 100


def _trial(cdnow: Any, family: Any = "mbg_nbd") -> Trial:
    fit = fit_purchases(family, cdnow.triples, "week", "ml")
    assert isinstance(fit, PurchaseFit)
    return Trial(population="purchases", fit=fit, counts=cdnow.counts)


@pytest.fixture(scope="module")
def trial(cdnow: Any) -> Trial:
    return _trial(cdnow)


def _true_to(trial: Trial, seed: int) -> Trial:
    """The same clients, with a holdout that the model itself has drawn."""
    rows = trial.counts.loc[trial.counts.index.repeat(trial.counts["n"])].assign(n=1)
    rng = np.random.default_rng(seed)
    history = [rows[name].to_numpy(dtype=np.float64) for name in ("x", "t_x", "T")]
    bought = btyd_foresight.simulate(trial.fit, history[0], history[1], history[2], trial.horizon_days, rng).bought
    return replace(trial, counts=rows.assign(x_holdout=bought.astype(int)))


def test_a_true_model_covers_its_clients_and_its_total(trial: Trial) -> None:
    found = foresee([_true_to(trial, 3)], np.random.default_rng(5), FUTURES)

    assert found.represented == len(found.clients) == 2357
    assert found.inside_share >= 0.95
    assert found.clients["p_inside"].mean() >= 0.95
    assert found.low < found.actual < found.high
    assert found.low < found.expected < found.high
    # Half of the chances of buying come true: 2,357 clients, standard error about 1 %.
    assert found.clients["p_any"].mean() == pytest.approx((found.clients["x_holdout"] > 0).mean(), abs=0.04)


def test_cdnows_holdout_lies_above_what_mbg_nbd_foretold(trial: Trial) -> None:
    found = foresee([trial], np.random.default_rng(5), FUTURES)

    assert (found.actual, round(found.expected)) == (1882, 1577)
    assert found.high < found.actual


def test_a_sample_of_the_clients_gives_about_the_same_interval(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = foresee([trial], np.random.default_rng(5), FUTURES)
    monkeypatch.setattr(btyd_foresight, "MAX_CLIENTS", 600)
    part = foresee([trial], np.random.default_rng(5), FUTURES)

    assert (len(part.clients), part.represented) == (600, 2357)
    assert part.expected == pytest.approx(whole.expected)
    # Widths from 100 futures have a standard error of about 7 % each, and the sample adds as much.
    assert part.high - part.low == pytest.approx(whole.high - whole.low, rel=0.35)
    assert part.clients["x"].mean() == pytest.approx(whole.clients["x"].mean(), rel=0.05)


def test_the_same_seed_foretells_the_same_whatever_the_order_of_rows(trial: Trial) -> None:
    shuffled = replace(trial, counts=trial.counts.sample(frac=1, random_state=2))
    first, second = (foresee([one], np.random.default_rng(5), 20) for one in (trial, shuffled))

    pd.testing.assert_frame_equal(first.clients, second.clients)
    assert (first.low, first.high) == (second.low, second.high)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_the_naive_forecast_has_ranges_but_no_chance_of_having_left(trial: Trial) -> None:
    found = foresee([replace(trial, fit=naive(trial.counts))], np.random.default_rng(5), 20)

    assert found.clients["p_alive"].isna().all()
    assert np.isfinite(found.clients[["low", "high", "p_any", "p_inside"]]).all(axis=None)
    assert found.expected == pytest.approx(2930, abs=0.6)


def test_bins_hold_chances_against_shares_and_leave_out_clients_without_a_chance() -> None:
    clients = pd.DataFrame(
        {
            "p_alive": [0.1, 0.1, 0.9, 0.9, 1.0, np.nan],
            "p_any": [0.0, 0.2, 0.8, 0.6, 1.0, 0.5],
            "x_holdout": [0, 0, 3, 0, 1, 9],
        }
    )
    bins = btyd_foresight.bins_of_alive(clients)

    assert bins["clients"].tolist() == [2, 2, 1]
    assert bins["predicted_share"].tolist() == pytest.approx([0.1, 0.7, 1.0])
    assert bins["actual_share"].tolist() == pytest.approx([0.0, 0.5, 1.0])
    assert bins["actual_share"].between(bins["low_share"], bins["high_share"]).all()
    assert btyd_foresight.calibration_error(bins) == pytest.approx((2 * 0.1 + 2 * 0.2 + 0) / 5)
    own, flat = btyd_foresight.brier_scores(clients)
    assert own == pytest.approx((0.04 + 0.04 + 0.36) / 5)
    assert flat == pytest.approx(0.4 * 0.6)
    assert btyd_foresight.bins_of_alive(clients.tail(1)).empty
