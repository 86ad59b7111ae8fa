"""Intervals of equity: laws, and that a sample of a large group says what all its clients say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

from crm_methods.engine import collect
from crm_methods.models import equity_intervals, lifetime_value
from crm_methods.models.btyd_fit import PurchaseFit, SpendFit, fit_gamma_gamma, fit_purchases, naive
from crm_methods.models.purchase_ladder import Population
from crm_methods.models.simulated_worth import ContractDraws
from tests.models.populations import population


@pytest.fixture(scope="module")
def base(cdnow: Any) -> tuple[pd.DataFrame, Population]:
    fit = fit_purchases("mbg_nbd", cdnow.triples)
    assert isinstance(fit, PurchaseFit)
    spend = fit_gamma_gamma(cdnow.spends, 35.0)
    scores = nw.from_native(lifetime_value.score_triples(fit, cdnow.triples, 12)).lazy()
    values = collect(lifetime_value.client_values(cdnow.calibration, scores, spend, money="revenue"))
    values = values.assign(segment=np.where(values["x"] > 1, "high", "low"), population="purchases")
    return values, population(fit, spend, cdnow.triples)


def intervals(base: Any, values: pd.DataFrame | None = None, **options: Any) -> pd.DataFrame:
    rows, model = base
    frame = nw.from_native(rows if values is None else values).lazy()
    given = {"by": "segment", "money": "revenue", "horizon_months": 12, "draws": 80, "seed": 4, "max_simulated": 5000}
    return equity_intervals.equity_intervals(frame, [model], **{**given, **options})


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
    rows, model = base
    columns = ["client_id", "population", "x", "t_x", "T", "mean_revenue", "expected_purchases", "clv_revenue", "segment"]
    given = {"by": "segment", "money": "revenue", "horizon_months": 12, "draws": 20, "seed": 4}
    here = equity_intervals.equity_intervals(frames(rows[columns]), [model], max_simulated=max_simulated, **given)
    pd.testing.assert_frame_equal(here, intervals(base, draws=20, max_simulated=max_simulated), check_dtype=False)


def test_same_seed_same_interval_whatever_the_order_of_rows(base: Any) -> None:
    shuffled = base[0].sample(frac=1, random_state=2).reset_index(drop=True)
    pd.testing.assert_frame_equal(intervals(base), intervals(base, shuffled))
    assert intervals(base, seed=5)["equity_low"].tolist() != intervals(base)["equity_low"].tolist()


def test_a_sample_of_the_clients_gives_nearly_the_interval_of_all(base: Any) -> None:
    everyone, sampled = intervals(base, draws=400), intervals(base, max_simulated=300, draws=150)
    for column in ("purchases", "equity"):
        width = [(table[f"{column}_high"] - table[f"{column}_low"]).to_numpy() for table in (everyone, sampled)]
        # 150 rounds know a standard deviation to 6 %; a sample of 300 clients adds some more.
        np.testing.assert_allclose(width[1], width[0], rtol=0.3)


def test_cost_to_serve_lowers_equity_and_not_purchases(base: Any) -> None:
    rows, model = base
    fit, spend = model.fit, model.spend
    assert fit is not None
    scores = lifetime_value.score_triples(fit, rows[["x", "t_x", "T"]].drop_duplicates(), 12)
    summary = rows[["client_id", "x", "t_x", "T", "mean_revenue", "segment", "population"]].assign(cost=0.5)
    frame = lifetime_value.client_values(
        nw.from_native(summary).lazy(), nw.from_native(scores).lazy(), spend, money="revenue", cost_per_month="cost"
    )
    charged, free = intervals(base, collect(frame), cost_per_month="cost"), intervals(base)
    assert charged["purchases_low"].tolist() == free["purchases_low"].tolist()
    for column in ("equity", "equity_low", "equity_high"):
        assert (charged[column] < free[column]).all()


def test_the_naive_forecast_lies_in_an_interval_that_supposes_nobody_leaves(base: Any, cdnow: Any) -> None:
    rows, fit = base[0], naive(cdnow.triples)
    spend = SpendFit(family="mean", level=35.0, weight=1.0, parameters={}, log_likelihood=None, repeat_buyers=9)
    scores = nw.from_native(lifetime_value.score_triples(fit, cdnow.triples, 12)).lazy()
    summary = nw.from_native(rows[["client_id", "x", "t_x", "T", "mean_revenue", "population", "segment"]]).lazy()
    values = collect(lifetime_value.client_values(summary, scores, spend, money="revenue"))
    table = intervals((values, population(fit, spend, cdnow.triples)))
    assert (table["purchases_low"] < table["purchases"]).all()
    assert (table["purchases"] < table["purchases_high"]).all()


def test_populations_are_simulated_apart_and_added(base: Any) -> None:
    rows, model = base
    halves = rows.assign(population=np.where(rows.index % 2, "regular", "purchases"))
    two = [replace(model, name=name) for name in ("purchases", "regular")]
    frame, given = nw.from_native(halves).lazy(), {"money": "revenue", "horizon_months": 12, "draws": 250, "seed": 4}
    both = equity_intervals.equity_intervals(frame, two, max_simulated=5000, **given).iloc[0]
    apart = [
        equity_intervals.equity_intervals(frame.filter(nw.col("population") == each.name), [each], max_simulated=5000, **given)
        for each in two
    ]
    assert both["equity"] == pytest.approx(sum(each["equity"].iloc[0] for each in apart))
    widths = [float(each["equity_high"].iloc[0] - each["equity_low"].iloc[0]) for each in apart]
    # Independent: variances add up, not widths.
    assert both["equity_high"] - both["equity_low"] == pytest.approx(np.hypot(*widths), rel=0.15)


@pytest.mark.parametrize("max_simulated", [300, 5000])
def test_contracts_add_their_worth_and_their_luck_to_their_segment(base: Any, max_simulated: int) -> None:
    rows, model = base
    some = rows.assign(clv_revenue=rows["clv_revenue"] + np.where(rows.index == 0, 50_000.0, 0.0))
    clients = rows.head(1)[["client_id", "segment"]]
    contracts = ContractDraws(clients, lambda rng: 100_000.0 * (rng.random(1) < 0.5))
    free = intervals(base, max_simulated=max_simulated).set_index("segment")
    bound = intervals((some, model), max_simulated=max_simulated, contracts=contracts).set_index("segment")
    own, other = clients["segment"].iloc[0], "low" if clients["segment"].iloc[0] == "high" else "high"
    # Other clients represent the segment where not all of them are simulated.
    assert bound.loc[other].tolist() == pytest.approx(free.loc[other].tolist(), rel=1e-9 if max_simulated == 5000 else 0.1)
    raised = bound.loc[own] - free.loc[own]
    assert raised["equity"] == pytest.approx(50_000)
    assert raised["purchases"] == 0
    width = {name: each.loc[own, "equity_high"] - each.loc[own, "equity_low"] for name, each in (("b", bound), ("f", free))}
    assert width["b"] > width["f"] + 50_000


def test_a_client_under_contract_alone_has_its_worth_from_the_contract(base: Any) -> None:
    rows, model = base
    only = rows.head(1).assign(population="contract", expected_purchases=0.0, clv_revenue=10.0)
    contracts = ContractDraws(only[["client_id"]], lambda rng: 10.0 + rng.standard_normal(1))
    table = intervals((only, model), by=None, contracts=contracts)
    assert table["equity"].tolist() == [10.0]
    assert 7.5 < table["equity_low"].iloc[0] < 9 < 11 < table["equity_high"].iloc[0] < 12.5


def test_an_empty_base_has_an_empty_table(base: Any) -> None:
    assert intervals(base, base[0].head(0)).empty


def test_the_interval_covers_the_truth() -> None:
    """10 bases of 80 clients by MBG/NBD: 95 % intervals hold the truth in at least 7 (99.9 % binomial bound)."""
    held = sum(_one_base_is_held(seed) for seed in range(10))
    assert held >= 7


def _one_base_is_held(seed: int) -> bool:
    rng, n, ahead = np.random.default_rng([200, seed]), 80, 365.25
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
    values = lifetime_value.client_values(nw.from_native(summary.assign(population="purchases")).lazy(), scores, spend)
    model = population(fit, spend, triples)
    given = {"horizon_months": 12, "draws": 150, "seed": seed, "bootstraps": 30}
    whole = equity_intervals.equity_intervals(values, [model], **given).iloc[0]
    return bool(whole["purchases_low"] <= future <= whole["purchases_high"])
