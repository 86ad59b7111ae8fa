"""Whatever a base looks like, each of its clients gets finite numbers and each population a rung with a reason."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterator
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from crm_methods.engine import collect
from crm_methods.models import lifetime_value, purchase_history
from crm_methods.models.btyd_prediction import forecast, probability_alive
from crm_methods.models.buying_rhythm import find_rhythm, is_own_population, mark_regular
from crm_methods.models.lifetime_value import LifetimeValueModel
from crm_methods.models.purchase_ladder import BuyingDays, RegularBuyers
from tests.models.populations import purchase_fit

AS_OF = dt.date(2025, 12, 31)
START = pd.Timestamp("2022-01-03")
DAYS = (pd.Timestamp(AS_OF) - START).days
MODELS = {"bg_nbd", "mbg_nbd"}


def _buyers(clients: int, gap_days: float, stays_days: float = 1e9, amount: float = 1.0, seed: int = 5) -> Iterator[Any]:
    rng = np.random.default_rng(seed)
    for client in range(clients):
        day = float(rng.integers(0, 200))
        end = min(DAYS, day + rng.exponential(stays_days))
        while day <= end:
            yield f"c{client:04d}", day, amount * rng.gamma(3, 100)
            day += rng.exponential(gap_days)


CLOCKWORK = [(f"r{i:02}", i % 30 + 30 * k, 100.0 + i) for i in range(40) for k in range(46)]
BASES: dict[str, tuple[list[Any], set[str]]] = {
    "30 clients": (list(_buyers(30, 40, 600)), MODELS),
    "12 clients": (list(_buyers(12, 60, 600)), {"mbg_nbd", "recency_chain"}),
    "300 clients": (list(_buyers(300, 60, 500)), MODELS),
    "one client": ([("a", 0, 100.0), ("a", 50, 100.0), ("a", 400, 80.0)], {"recency_chain"}),
    "all one-timers": ([(f"c{i}", i, 100.0) for i in range(60)], {"recency_chain"}),
    "one came back": ([*((f"c{i}", i, 100.0) for i in range(60)), ("c3", 300, 50.0)], {"recency_chain"}),
    "no churn": (list(_buyers(80, 60)), MODELS | {"naive"}),
    "identical buyers": ([(f"c{i}", d, 100.0) for i in range(60) for d in (0, 100, 200)], MODELS | {"recency_chain"}),
    "clockwork": (CLOCKWORK, {"mbg_cnbd_k", "naive"}),
    "clockwork and others": ([*CLOCKWORK, *_buyers(60, 60, 500)], MODELS | {"mbg_cnbd_k"}),
    "clockwork and one": ([*CLOCKWORK, ("z", 700, 5.0)], {"mbg_cnbd_k", "recency_chain"}),
    "amounts ×1e9": (list(_buyers(60, 60, 500, 1e9)), MODELS),
    "amounts ×1e-3": (list(_buyers(60, 60, 500, 1e-3)), MODELS),
    "losses only": (list(_buyers(60, 60, 500, -1.0)), MODELS),
    "one buys daily": ([*_buyers(59, 60, 500), *(("z", d, 5.0) for d in range(1400))], MODELS),
    "eight weeks": (
        [(f"c{i}", DAYS - (i * 7 + k * 13) % 56, 100.0 + i) for i in range(60) for k in range(3)], MODELS | {"recency_chain"}
    ),
    "two years": ([row for row in _buyers(60, 60, 500, seed=6) if row[1] < 730], MODELS),
    "first day today": ([(f"c{i}", DAYS, 100.0) for i in range(60)], {"naive"}),
}  # fmt: skip


@functools.cache
def modelled(name: str, estimation: Any = "map") -> tuple[LifetimeValueModel, pd.DataFrame]:
    """A base's models, and one row per client with its value."""
    rows = BASES[name][0]
    purchases = pd.DataFrame(rows, columns=["client_id", "day", "margin"]).astype({"client_id": str, "margin": float})
    dated = purchases.assign(closed_on=START + pd.to_timedelta(purchases["day"].astype(float).astype(int), unit="D"))
    frame, end = nw.from_native(dated).lazy(), lifetime_value.calibration_end(AS_OF, 6)
    summary = purchase_history.purchase_summary(frame, AS_OF)
    regular = [_regular(frame, day) for day in (AS_OF, end)]
    model = lifetime_value.fit_lifetime_value(
        summary,
        purchase_history.calibration_holdout(frame, end, AS_OF),
        estimation=estimation,
        with_lifetimes=False,
        days=BuyingDays(frame, AS_OF, end),
        regular=regular[0],
        regular_before=regular[1],
    )
    scores = nw.from_native(lifetime_value.score_populations(model)).lazy()
    named = lifetime_value.with_population(summary, model, regular[0])
    values = lifetime_value.client_values(named, scores, {each.name: each.spend for each in model.populations})
    return model, collect(values)


def _regular(frame: nw.LazyFrame[Any], day: dt.date) -> RegularBuyers | None:
    gaps = purchase_history.gap_summary(frame, day)
    rhythm = find_rhythm(gaps)
    return RegularBuyers.of(mark_regular(gaps, nw.from_native(rhythm.cuts).lazy())) if is_own_population(rhythm) else None


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", BASES)
def test_every_base_gets_finite_numbers_and_names_its_rung(name: str) -> None:
    model, values = modelled(name)
    assert {each.rung for each in model.populations} <= BASES[name][1]
    assert all(each.reason and each.fit is not None for each in model.populations)
    assert np.isfinite(values[["clv", "expected_purchases", "expected_margin"]]).all(axis=None)
    assert np.isfinite(model.models[["estimate", "log_likelihood"]].astype(float)).all(axis=None)
    assert np.isfinite(model.holdout[["actual", "expected", "mae", "rmse"]].astype(float)).all(axis=None)
    assert values["p_alive"].dropna().between(0, 1).all()
    assert len(values) == sum(int(each.triples["n"].sum()) for each in model.populations)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", ["12 clients", "identical buyers", "clockwork"])
def test_maximum_likelihood_ends_on_a_rung_too(name: str) -> None:
    model, values = modelled(name, "ml")
    assert {each.rung for each in model.populations} <= BASES[name][1]
    assert np.isfinite(values["clv"]).all()


def test_one_time_buyers_are_worth_little_and_not_nothing() -> None:
    model, values = modelled("all one-timers")
    assert "no client bought more than once" in model.reason
    assert values["clv"].gt(0).all()
    assert values["expected_purchases"].max() < 0.1


def test_few_repeat_buyers_are_said_to_be_few() -> None:
    model, _ = modelled("12 clients")
    assert model.rung == "mbg_nbd"
    assert "bought more than once" in model.reason


def test_clockwork_clients_are_a_population_beside_the_others() -> None:
    model, values = modelled("clockwork and others")
    regular, others = model.populations
    assert (regular.name, regular.rung, others.name) == ("regular", "mbg_cnbd_k", "purchases")
    assert set(values.loc[values["population"] == "regular", "client_id"]) >= {f"r{i:02}" for i in range(40)}
    assert model.rung == others.rung
    assert set(model.models["family"]) >= {"mbg_nbd", "mbg_cnbd_k"}


def test_a_base_without_a_purchase_is_the_only_one_without_a_value() -> None:
    purchases = pd.DataFrame({"client_id": [], "closed_on": pd.to_datetime([]), "margin": []}).astype({"client_id": str})
    summary = purchase_history.purchase_summary(nw.from_native(purchases).lazy(), AS_OF)
    model = lifetime_value.fit_lifetime_value(summary, None)
    assert (model.rung, model.fit) == ("not_enough", None)
    assert "no client" in model.reason


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(("a", "b"), [(1.0, 2.4), (1e-8, 2.4), (0.8, 1e9), (50.0, 1e-6)])
def test_extreme_parameters_and_histories_of_regular_buyers_are_forecast(a: float, b: float) -> None:
    """Of BG/NBD and MBG/NBD in test_btyd_prediction."""
    parameters = {"r": 0.2, "alpha": 4.0, "a": a, "b": b, "k": 6.0}
    fit = purchase_fit("mbg_cnbd_k", parameters)
    x, t_x, age = [0, 1, 200, 100_000], [0, 0, 360, 1399], [0, 1, 364, 1400]
    with threadpool_limits(limits=1, user_api="blas"):
        ahead = forecast(fit, x, t_x, age, [1.0, 100_000.0])
    assert np.isfinite(ahead.purchases).all()
    assert (ahead.purchases >= 0).all()
    assert ((ahead.alive >= 0) & (ahead.alive <= 1 + 1e-12)).all()
    assert ((probability_alive(fit, x, t_x, age) >= 0) & (probability_alive(fit, x, t_x, age) <= 1)).all()
