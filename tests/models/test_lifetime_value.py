"""Lifetime value: its identity, the same on every engine, and an answer for every base."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

from crm_methods.engine import collect
from crm_methods.models import lifetime_value
from crm_methods.models.btyd_fit import PurchaseFit, SpendFit, fit_gamma_gamma, fit_purchases, naive

MakeFrame = Callable[[pd.DataFrame], "nw.LazyFrame[Any]"]


@pytest.fixture(scope="module")
def cdnow_model(cdnow: Any) -> lifetime_value.LifetimeValueModel:
    return lifetime_value.fit_lifetime_value(cdnow.summary, cdnow.calibration, money="revenue", time_unit="week", estimation="ml")


def test_model_of_cdnow_names_its_rung_and_reason(cdnow_model: lifetime_value.LifetimeValueModel) -> None:
    assert cdnow_model.rung == "mbg_nbd"
    assert "0.765" in cdnow_model.reason
    assert set(cdnow_model.models["family"]) == {"nbd", "bg_nbd", "mbg_nbd", "pareto_nbd", "gamma_gamma"}
    assert cdnow_model.holdout["family"].tolist() == ["naive", "nbd", "bg_nbd", "mbg_nbd", "pareto_nbd"]
    published = cdnow_model.models.query("family == 'mbg_nbd'").set_index("parameter")["estimate"].to_dict()
    assert published == pytest.approx({"r": 0.5248, "alpha": 6.1831, "a": 0.8914, "b": 1.6140}, rel=1e-3)


def test_clients_are_drawn_to_the_level_of_those_that_bought_as_often(frames: MakeFrame) -> None:
    spend = SpendFit(
        family="mean", level=100.0, weight=2.0, parameters={}, log_likelihood=None, repeat_buyers=9, relative=(0.5, 1.0, 3.0)
    )
    one_level = SpendFit(family="mean", level=100.0, weight=2.0, parameters={}, log_likelihood=None, repeat_buyers=9)
    clients = pd.DataFrame({"client_id": list("abcd"), "x": [0, 1, 2, 7], "t_x": 0.0, "T": 9.0, "mean_margin": 40.0})
    scores = clients[["x", "t_x", "T"]].assign(discounted_purchases=1.0, discounted_months_alive=1.0)
    for kind, level in ((spend, [50.0, 100.0, 300.0, 300.0]), (one_level, [100.0] * 4)):
        values = collect(lifetime_value.client_values(frames(clients), frames(scores), kind)).sort_values("client_id")
        by_hand = [(2 * each + x * 40) / (2 + x) for each, x in zip(level, clients["x"])]
        assert values["expected_margin"].tolist() == pytest.approx(by_hand)
        assert lifetime_value.expected_spend(kind, clients["x"], clients["mean_margin"]) == pytest.approx(by_hand)
        assert values["clv"].tolist() == pytest.approx(by_hand)


def test_the_final_fit_uses_the_whole_history(cdnow_model: lifetime_value.LifetimeValueModel) -> None:
    assert cdnow_model.fit is not None
    whole = fit_purchases("mbg_nbd", cdnow_model.triples, "week", "ml")
    assert isinstance(whole, PurchaseFit)
    assert dict(cdnow_model.fit.parameters) == dict(whole.parameters)


def test_value_is_purchases_times_spend_less_cost_discounted_month_by_month(cdnow: Any) -> None:
    fit, spend = fit_purchases("mbg_nbd", cdnow.triples), fit_gamma_gamma(cdnow.spends, 35.0)
    assert isinstance(fit, PurchaseFit)
    clients = collect(cdnow.calibration).head(5).assign(cost=2.0)
    scores = lifetime_value.score_triples(fit, clients[["x", "t_x", "T"]].drop_duplicates(), 7, 0.2)
    values = collect(
        lifetime_value.client_values(
            nw.from_native(clients).lazy(), nw.from_native(scores).lazy(), spend, money="revenue", cost_per_month="cost"
        )
    )
    from crm_methods.models.btyd_prediction import forecast

    by_hand = np.zeros(5)
    before = np.zeros(5)
    for month in range(1, 8):
        ahead = forecast(fit, clients["x"], clients["t_x"], clients["T"], [month * 30.4375])
        bought, alive = ahead.purchases[:, 0], ahead.alive[:, 0]
        each = lifetime_value.expected_spend(spend, clients["x"], clients["mean_revenue"])
        by_hand += ((bought - before) * each - 2.0 * alive) / 1.2 ** (month / 12)
        before = bought
    np.testing.assert_allclose(values["clv_revenue"], by_hand, rtol=1e-10)


def test_discounting_less_or_looking_further_is_worth_more(cdnow: Any) -> None:
    fit = fit_purchases("bg_nbd", cdnow.triples)
    assert isinstance(fit, PurchaseFit)

    def worth(*arguments: Any) -> float:
        return float(lifetime_value.score_triples(fit, cdnow.triples, *arguments)["discounted_purchases"].sum())

    assert worth(36, 0.0) > worth(36, 0.1) > worth(24, 0.1)
    undiscounted = lifetime_value.score_triples(fit, cdnow.triples, 36, 0.0)
    np.testing.assert_allclose(undiscounted["discounted_purchases"], undiscounted["expected_purchases"], rtol=1e-12)


def test_the_unit_of_time_does_not_change_the_value(cdnow: Any) -> None:
    scores = []
    for unit in ("day", "week"):
        fit = fit_purchases("mbg_nbd", cdnow.triples, unit)  # type: ignore[arg-type]
        assert isinstance(fit, PurchaseFit)
        scores.append(lifetime_value.score_triples(fit, cdnow.triples))
    pd.testing.assert_frame_equal(*scores, rtol=1e-8)


def test_every_client_gets_the_value_of_its_history_on_every_engine(frames: MakeFrame) -> None:
    summary = pd.DataFrame(
        {
            "client_id": ["a", "b", "c"], "x": [2, 0, 2], "t_x": [90, 0, 90], "T": [200, 200, 200],
            "mean_margin": [50.0, 0.0, 80.0], "segment": ["high", "low", "high"],
        }
    )  # fmt: skip
    fit = PurchaseFit(
        family="mbg_nbd", parameters={"r": 0.5, "alpha": 40.0, "a": 0.9, "b": 1.6}, log_likelihood=-1.0,
        time_unit="day", clients=3, repeat_buyers=2,
    )  # fmt: skip
    spend = SpendFit(family="mean", level=60.0, weight=1.0, parameters={}, log_likelihood=None, repeat_buyers=2)
    scores = lifetime_value.score_triples(fit, summary[["x", "t_x", "T"]].drop_duplicates())
    values = lifetime_value.client_values(frames(summary), frames(scores), spend)
    rows = collect(values.sort("client_id")).set_index("client_id")
    assert rows["expected_margin"].to_dict() == pytest.approx({"a": 160 / 3, "b": 60.0, "c": 220 / 3})
    assert rows.loc["c", "clv"] / rows.loc["a", "clv"] == pytest.approx(220 / 160)
    assert rows.loc["b", "p_alive"] < rows.loc["a", "p_alive"]


def test_expected_spend_lies_between_the_clients_own_mean_and_the_level_of_all(cdnow: Any) -> None:
    spend = fit_gamma_gamma(cdnow.spends, 35.0, "ml")
    p, q, v = (spend.parameters[name] for name in ("p", "q", "v"))
    x, mean = np.array([0.0, 1.0, 5.0, 500.0]), np.array([0.0, 100.0, 100.0, 100.0])
    expected = lifetime_value.expected_spend(spend, x, mean)
    np.testing.assert_allclose(expected, p * (v + x * mean) / (p * x + q - 1))
    assert (np.diff(expected) > 0).all()
    assert expected[-1] == pytest.approx(100.0, rel=0.01)


def test_the_holdout_begins_calendar_months_before_the_end() -> None:
    assert lifetime_value.calibration_end(dt.date(1998, 6, 30), 9) == dt.date(1997, 9, 30)
    assert lifetime_value.calibration_end(dt.date(2025, 8, 31), 6) == dt.date(2025, 2, 28)
    assert lifetime_value.calibration_end(dt.date(2025, 8, 15), 6) == dt.date(2025, 2, 15)


def test_twelve_monthly_rates_make_a_year() -> None:
    assert (1 + lifetime_value.monthly_discount_rate(0.1)) ** 12 == pytest.approx(1.1)


def test_each_population_has_its_own_scores_and_amounts(frames: MakeFrame) -> None:
    summary = pd.DataFrame(
        {"client_id": ["a", "b"], "x": [4, 4], "t_x": [300, 300], "T": [400, 400], "mean_margin": [10.0, 10.0],
         "population": ["regular", "purchases"]}
    )  # fmt: skip
    scores = summary[["x", "t_x", "T", "population"]].assign(discounted_purchases=[2.0, 1.0], discounted_months_alive=1.0)
    spends = {
        name: SpendFit(family="mean", level=level, weight=1.0, parameters={}, log_likelihood=None, repeat_buyers=1)
        for name, level in (("regular", 20.0), ("purchases", 5.0))
    }
    values = lifetime_value.client_values(frames(summary), frames(scores), spends)
    rows = collect(values.sort("client_id")).set_index("client_id")
    assert rows["expected_margin"].to_dict() == pytest.approx({"a": (40 + 20) / 5, "b": (40 + 5) / 5})
    assert rows["clv"].to_dict() == pytest.approx({"a": 2 * 12.0, "b": 9.0})


def test_the_naive_forecast_pays_the_cost_to_serve_of_every_month() -> None:
    triples = pd.DataFrame({"x": [4], "t_x": [300], "T": [400], "n": [1]})
    scores = lifetime_value.score_triples(naive(triples), triples, 12, 0.0)
    assert scores["discounted_months_alive"].iloc[0] == pytest.approx(12)
    assert scores["expected_purchases"].iloc[0] == pytest.approx(12 * 30.4375 * 4 / 400)
    assert scores["p_alive"].isna().all()


def test_one_client_with_a_hundred_thousand_purchases_is_scored() -> None:
    triples = pd.DataFrame({"x": [100_000, 0, 3], "t_x": [1399, 0, 500], "T": [1400, 700, 900], "n": [1, 40, 40]})
    fit = fit_purchases("mbg_nbd", triples)
    assert isinstance(fit, PurchaseFit)
    assert np.isfinite(lifetime_value.score_triples(fit, triples)).all(axis=None)
