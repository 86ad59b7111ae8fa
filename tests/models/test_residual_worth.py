"""What lies beyond the horizon adds up with what lies within it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from crm_methods.models.btyd_fit import PurchaseFit, SpendFit
from crm_methods.models.lifetime_value import score_triples
from crm_methods.models.purchase_ladder import Population
from crm_methods.models.residual_worth import FURTHER_YEARS, residual_worth

PARAMETERS = {"r": 0.8, "alpha": 60.0, "a": 0.9, "b": 4.0}
ROWS = pd.DataFrame(
    {
        "population": "purchases", "x": [0.0, 3.0, 12.0], "t_x": [0.0, 200.0, 690.0], "T": [30.0, 700.0, 700.0],
        "expected_margin": [50.0, 80.0, 120.0], "cost_per_month": [1.0, np.nan, 4.0],
    }
)  # fmt: skip


def _population(family: Any) -> Population:
    fit = PurchaseFit(
        family=family,
        parameters=PARAMETERS if "bg" in family else {"r": 0.8, "alpha": 60.0} if family == "nbd" else {},
        log_likelihood=0.0,
        time_unit="day",
        clients=3,
        repeat_buyers=2,
    )
    return Population(
        name="purchases", rung=family, reason="", fit=fit, calibration_fit=None, triples=ROWS.assign(n=1),
        spend=SpendFit(family="mean", level=60.0, weight=1.0, parameters={}, log_likelihood=None, repeat_buyers=2),
        holdout=pd.DataFrame(), holdout_counts=pd.DataFrame(),
    )  # fmt: skip


def _within(fit: PurchaseFit | None, months: int, rate: float) -> np.ndarray[Any, Any]:
    assert fit is not None
    scores = score_triples(fit, ROWS, months, rate)
    cost = ROWS["cost_per_month"].fillna(0.0)
    return (scores["discounted_purchases"] * ROWS["expected_margin"] - cost * scores["discounted_months_alive"]).to_numpy()


@pytest.mark.parametrize("family", ["bg_nbd", "mbg_nbd", "nbd"])
@pytest.mark.parametrize("rate", [0.0, 0.10])
def test_within_and_beyond_the_horizon_are_the_value_of_both_together(family: Any, rate: float) -> None:
    each = _population(family)
    beyond = residual_worth(ROWS, [each], cost_per_month="cost_per_month", horizon_months=36, annual_discount_rate=rate)
    both = _within(each.fit, 36 + 12 * FURTHER_YEARS, rate)

    np.testing.assert_allclose(_within(each.fit, 36, rate) + beyond, both, rtol=5e-3)


def test_a_longer_horizon_leaves_less_beyond_it() -> None:
    each = _population("mbg_nbd")
    near, far = (residual_worth(ROWS, [each], horizon_months=months) for months in (12, 60))

    assert (near > far).all()
    assert (far > 0).all()


def test_a_forecast_that_lets_nobody_leave_says_nothing_of_what_lies_beyond() -> None:
    assert residual_worth(ROWS, [_population("naive")]).tolist() == [0.0, 0.0, 0.0]
