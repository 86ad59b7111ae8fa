"""What makes large bases fast changes no result: distinct values, a start from a few histories, sums once per (x, T)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from crm_methods.models import btyd_fit
from crm_methods.models.btyd_fit import PurchaseFit, fit_purchases, naive
from crm_methods.models.btyd_likelihood import Histories
from crm_methods.models.btyd_prediction import discounted, forecast


def _many(rows: int, seed: int = 3) -> pd.DataFrame:
    """Distinct histories of clients that buy and leave, more of them than are fitted at once."""
    rng = np.random.default_rng(seed)
    age = rng.integers(1, 1_400, rows)
    stays = np.minimum(age, rng.exponential(500, rows))
    x = rng.poisson(rng.gamma(0.8, 1 / 40, rows) * stays)
    t_x = np.where(x > 0, (stays * rng.beta(np.maximum(x, 1), 1)).astype(int), 0)
    return pd.DataFrame({"x": x, "t_x": t_x, "T": age}).value_counts().rename("n").reset_index().sort_values(["x", "t_x", "T"])


@pytest.mark.parametrize("estimation", ["map", "ml"])
def test_a_start_from_a_few_histories_leads_to_the_same_optimum(estimation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    triples = _many(60_000)
    assert len(triples) > btyd_fit._FEW_HISTORIES * btyd_fit._MANY_TIMES
    near = fit_purchases("mbg_nbd", triples, "day", estimation)
    monkeypatch.setattr(btyd_fit, "_MANY_TIMES", np.inf)
    far = fit_purchases("mbg_nbd", triples, "day", estimation)

    assert isinstance(near, PurchaseFit)
    assert isinstance(far, PurchaseFit)
    assert near.converged
    assert near.log_likelihood == pytest.approx(far.log_likelihood, rel=1e-12)
    assert dict(near.parameters) == pytest.approx(dict(far.parameters), rel=1e-5)
    np.testing.assert_allclose(near.covariance, far.covariance, rtol=1e-3)


def test_distinct_values_keep_every_client_and_purchase() -> None:
    data = Histories(np.array([0.0, 2.0, 2.0]), np.array([0.0, 5.0, 9.0]), np.array([9.0, 9.0, 12.0]), np.array([10.0, 3.0, 1.0]))

    assert data.by_x.values.tolist() == [0, 2]
    assert data.by_T.n.tolist() == [13, 1]
    assert data.by_T.repeats.tolist() == [6, 2]
    np.testing.assert_array_equal(data.by_t_x.values[data.by_t_x.place], data.t_x)


@pytest.mark.parametrize("family", ["bg_nbd", "mbg_nbd", "nbd", "naive"])
def test_sums_over_months_are_those_of_the_forecast(family: Any) -> None:
    triples = _many(2_000)
    fit = naive(triples) if family == "naive" else fit_purchases(family, triples)
    assert isinstance(fit, PurchaseFit)
    x, t_x, age = (triples[name] for name in ("x", "t_x", "T"))
    horizons, factors = np.array([30.0, 60.0, 90.0]), np.array([0.9, 0.8, 0.7])
    ahead = forecast(fit, x, t_x, age, horizons)
    bought, counted, alive = discounted(fit, x, t_x, age, horizons, factors)

    np.testing.assert_allclose(bought, ahead.purchases[:, -1])
    np.testing.assert_allclose(counted, np.diff(ahead.purchases, axis=1, prepend=0.0) @ factors)
    np.testing.assert_allclose(alive, np.nan_to_num(ahead.alive, nan=1.0) @ factors)
