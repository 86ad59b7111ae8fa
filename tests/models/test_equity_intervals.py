"""Intervals of equity: laws, and that a sample of a large group says what all its clients say."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

from crm_methods.engine import collect
from crm_methods.models import equity_intervals, lifetime_value
from crm_methods.models.btyd_fit import PurchaseFit, SpendFit, fit_gamma_gamma, fit_purchases, naive


@pytest.fixture(scope="module")
def base(cdnow: Any) -> tuple[pd.DataFrame, PurchaseFit, SpendFit]:
    fit = fit_purchases("mbg_nbd", cdnow.triples)
    assert isinstance(fit, PurchaseFit)
    spend = fit_gamma_gamma(cdnow.spends, 35.0)
    scores = nw.from_native(lifetime_value.score_triples(fit, cdnow.triples, 12)).lazy()
    values = collect(lifetime_value.client_values(cdnow.calibration, scores, spend, money="revenue"))
    return values.assign(segment=np.where(values["x"] > 1, "high", "low")), fit, spend


def intervals(base: Any, values: pd.DataFrame | None = None, **options: Any) -> pd.DataFrame:
    rows, fit, spend = base
    frame = nw.from_native(rows if values is None else values).lazy()
    given = {"by": "segment", "money": "revenue", "horizon_months": 12, "draws": 200, "seed": 4, "max_simulated": 5000}
    return equity_intervals.equity_intervals(frame, fit, spend, **{**given, **options})


def test_segments_add_up_to_the_base_and_lie_inside_their_intervals(base: Any) -> None:
    table = intervals(base)
    assert table["segment"].tolist() == ["high", "low", "all"]
    for column in ("clients", "purchases", "equity"):
        assert table[column].iloc[:2].sum() == pytest.approx(table[column].iloc[2])
    for column in ("purchases", "equity"):
        assert (table[f"{column}_low"] < table[column]).all()
        assert (table[column] < table[f"{column}_high"]).all()


@pytest.mark.parametrize("max_simulated", [300, 5000])
def test_every_engine_gives_the_same_interval(frames: Any, base: Any, max_simulated: int) -> None:
    rows, fit, spend = base
    columns = ["client_id", "x", "t_x", "T", "mean_revenue", "p_alive", "expected_purchases", "clv_revenue", "segment"]
    given = {"by": "segment", "money": "revenue", "horizon_months": 12, "draws": 20, "seed": 4}
    here = equity_intervals.equity_intervals(frames(rows[columns]), fit, spend, max_simulated=max_simulated, **given)
    pd.testing.assert_frame_equal(here, intervals(base, draws=20, max_simulated=max_simulated), check_dtype=False)


def test_same_seed_same_interval_whatever_the_order_of_rows(base: Any) -> None:
    shuffled = base[0].sample(frac=1, random_state=2).reset_index(drop=True)
    pd.testing.assert_frame_equal(intervals(base), intervals(base, shuffled))
    assert intervals(base, seed=5)["equity_low"].tolist() != intervals(base)["equity_low"].tolist()


def test_a_sample_of_the_clients_gives_nearly_the_interval_of_all(base: Any) -> None:
    everyone, sampled = intervals(base, draws=1000), intervals(base, max_simulated=300)
    for column in ("purchases", "equity"):
        width = [(table[f"{column}_high"] - table[f"{column}_low"]).to_numpy() for table in (everyone, sampled)]
        # 200 rounds know a standard deviation to 5 %; a sample of 300 clients adds some more.
        np.testing.assert_allclose(width[1], width[0], rtol=0.3)


def test_cost_to_serve_lowers_equity_and_not_purchases(base: Any) -> None:
    rows, fit, spend = base
    scores = lifetime_value.score_triples(fit, rows[["x", "t_x", "T"]].drop_duplicates(), 12)
    summary = rows[["client_id", "x", "t_x", "T", "mean_revenue", "segment"]].assign(cost=0.5)
    frame = lifetime_value.client_values(
        nw.from_native(summary).lazy(), nw.from_native(scores).lazy(), spend, money="revenue", cost_per_month="cost"
    )
    charged, free = intervals(base, collect(frame), cost_per_month="cost"), intervals(base)
    assert charged["purchases_low"].tolist() == free["purchases_low"].tolist()
    for column in ("equity", "equity_low", "equity_high"):
        assert (charged[column] < free[column]).all()


def test_the_naive_forecast_has_no_interval(base: Any, cdnow: Any) -> None:
    rows, _, spend = base
    table = equity_intervals.equity_intervals(
        nw.from_native(rows).lazy(), naive(cdnow.triples), spend, money="revenue", horizon_months=12
    )
    assert table["group"].tolist() == ["all"]
    assert table[["purchases_low", "purchases_high", "equity_low", "equity_high"]].isna().all(axis=None)


def test_an_empty_base_has_an_empty_table(base: Any) -> None:
    assert intervals(base, base[0].head(0)).query("clients > 0").empty


def test_the_interval_covers_the_truth() -> None:
    """40 bases of 200 clients by MBG/NBD: 95 % intervals hold the truth in at least 33 (99.8 % binomial bound)."""
    held = sum(_one_base_is_held(seed) for seed in range(40))
    assert held >= 33


def _one_base_is_held(seed: int) -> bool:
    rng, n, ahead = np.random.default_rng([200, seed]), 200, 365.25
    r, alpha, a, b = 0.8, 60.0, 0.8, 4.0
    age, rows, future = rng.integers(180, 1000, n), [], 0
    for client in range(n):
        rate, leaves, now = rng.gamma(r) / alpha, rng.beta(a, b), 0.0
        times: list[float] = []
        while rng.random() > leaves and (now := now + rng.exponential(1 / rate)) <= age[client] + ahead:
            times.append(now)
        known = [time for time in times if time <= age[client]]
        future += len(times) - len(known)
        rows.append((f"{client}", len(known), int(known[-1]) if known else 0, int(age[client])))
    summary = pd.DataFrame(rows, columns=["client_id", "x", "t_x", "T"]).assign(mean_margin=1.0)
    triples = summary.groupby(["x", "t_x", "T"], as_index=False).size().rename(columns={"size": "n"})
    fit = fit_purchases("mbg_nbd", triples)
    assert isinstance(fit, PurchaseFit)
    spend = SpendFit(family="mean", level=1.0, weight=1.0, parameters={}, log_likelihood=None, repeat_buyers=n)
    scores = nw.from_native(lifetime_value.score_triples(fit, triples, 12)).lazy()
    values = lifetime_value.client_values(nw.from_native(summary).lazy(), scores, spend)
    whole = equity_intervals.equity_intervals(values, fit, spend, horizon_months=12, draws=200, seed=seed).iloc[0]
    return bool(whole["purchases_low"] <= future <= whole["purchases_high"])
