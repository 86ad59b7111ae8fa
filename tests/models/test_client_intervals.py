"""Bounds of single clients: laws, and that they hold what happens as often as they claim."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

from crm_methods.engine import collect
from crm_methods.models import lifetime_value
from crm_methods.models.btyd_fit import PurchaseFit, SpendFit, fit_gamma_gamma, fit_purchases, naive
from crm_methods.models.client_intervals import ClientIntervals, client_intervals
from crm_methods.models.purchase_ladder import Population
from crm_methods.models.simulated_worth import ContractDraws
from tests.models.populations import population

BOUNDS = ["purchases_low", "purchases_high", "clv_revenue_low", "clv_revenue_high"]


@pytest.fixture(scope="module")
def base(cdnow: Any) -> tuple[pd.DataFrame, Population]:
    fit, spend = fit_purchases("mbg_nbd", cdnow.triples), fit_gamma_gamma(cdnow.spends, 35.0)
    assert isinstance(fit, PurchaseFit)
    scores = nw.from_native(lifetime_value.score_triples(fit, cdnow.triples, 9)).lazy()
    values = collect(lifetime_value.client_values(cdnow.calibration, scores, spend, money="revenue"))
    return values.assign(population="purchases"), population(fit, spend, cdnow.triples)


def bounds(values: pd.DataFrame, model: Population, **options: Any) -> ClientIntervals:
    given = {"money": "revenue", "horizon_months": 9, "draws": 200, "seed": 4}
    return client_intervals(nw.from_native(values).lazy(), [model], **{**given, **options})


def test_what_clients_bought_afterwards_lies_within_their_bounds_as_often_as_claimed(base: Any) -> None:
    found = bounds(*base)
    joined = found.table.merge(base[0], on="client_id")
    held = joined["x_holdout"].between(joined["purchases_low"], joined["purchases_high"])
    # Whole numbers can't be cut at 95 % exactly, and MBG/NBD is not CDNOW's truth.
    assert 0.95 <= held.mean() <= 0.99
    assert found.table["client_id"].is_monotonic_increasing
    for name in ("purchases", "clv_revenue"):
        expected = joined["expected_purchases"].round(2) if name == "purchases" else joined[name]
        assert expected.between(joined[f"{name}_low"], joined[f"{name}_high"]).all()
    assert (found.table["purchases_low"] == found.table["purchases_low"].round()).all()
    assert found.clients == len(found.table) == len(base[0])
    assert "worth most" not in found.sentence


def test_the_same_seed_gives_the_same_bounds_whatever_the_order_of_rows_and_the_engine(frames: Any, base: Any) -> None:
    rows, model = base
    some = rows.iloc[::9][["client_id", "x", "t_x", "T", "mean_revenue", "expected_purchases", "clv_revenue", "population"]]
    shuffled = some.sample(frac=1, random_state=2)
    given = {"money": "revenue", "horizon_months": 9, "draws": 20, "seed": 4, "max_clients": 100}
    there = client_intervals(frames(shuffled.reset_index(drop=True)), [model], **given).table
    pd.testing.assert_frame_equal(there, bounds(some, model, draws=20, max_clients=100).table, check_dtype=False)


def test_of_a_large_base_those_worth_most_have_bounds_and_the_sentence_says_so(base: Any) -> None:
    rows, model = base
    found = bounds(rows, model, draws=10, max_clients=50)
    assert len(found.table) == 50
    kept = rows["client_id"].isin(found.table["client_id"])
    assert rows.loc[kept, "clv_revenue"].min() >= rows.loc[~kept, "clv_revenue"].max()
    assert "2,357 clients the 50 worth most" in found.sentence


def test_contracts_raise_the_bounds_of_worth_and_not_of_purchases(base: Any) -> None:
    rows, model = base
    some = rows.head(40)
    only = some.head(1).assign(client_id="only", population="contract", x=np.nan, t_x=np.nan, T=np.nan, mean_revenue=np.nan)
    both = ContractDraws(pd.DataFrame({"client_id": ["only", some["client_id"].iloc[3], "unknown"]}), lambda _: np.full(3, 1e6))
    worth = pd.concat([some, only.assign(expected_purchases=np.nan, clv_revenue=0.0)])
    raised_by = np.where(worth["client_id"].isin(both.clients["client_id"]), 1e6, 0.0)
    worth = worth.assign(clv_revenue=worth["clv_revenue"] + raised_by)
    free, bound = bounds(some, model), bounds(worth, model, contracts=both)
    free_rows, bound_rows = (each.table.set_index("client_id") for each in (free, bound))
    raised = bound_rows.reindex(free_rows.index) - free_rows
    assert raised.loc[some["client_id"].iloc[3]].tolist() == pytest.approx([0, 0, 1e6, 1e6])
    assert (raised.drop(some["client_id"].iloc[3]) == 0).all(axis=None)
    assert bound_rows.loc["only", BOUNDS[2:]].tolist() == [1e6, 1e6]
    assert bound_rows.loc["only", BOUNDS[:2]].isna().all()


def test_under_the_naive_forecast_who_bought_once_has_no_bounds(cdnow: Any, base: Any) -> None:
    fit = naive(cdnow.triples)
    spend = SpendFit(family="mean", level=35.0, weight=1.0, parameters={}, log_likelihood=None, repeat_buyers=9)
    found = bounds(base[0], population(fit, spend, cdnow.triples), draws=20).table
    once = base[0].set_index("client_id")["x"].reindex(found["client_id"]).to_numpy() == 0
    assert found.loc[once, BOUNDS].isna().all(axis=None)
    assert found.loc[~once, BOUNDS].notna().all(axis=None)


def test_a_base_without_values_has_an_empty_table(base: Any) -> None:
    found = bounds(base[0].head(0), base[1])
    assert found.table.columns.tolist() == ["client_id", *BOUNDS]
    assert found.table.empty
