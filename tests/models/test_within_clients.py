"""The fixed-effects Poisson regression: against the same model with a dummy per client, by laws, and in simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from crm_methods.models.within_clients import Slope, within_slope


def _base(seed: int, clients: int = 30, periods: int = 8, slope: float = -0.2) -> pd.DataFrame:
    """Lumpy amounts with many zeros: Poisson contacts at lognormal prices, clients of unequal size."""
    rng = np.random.default_rng(seed)
    of, at = np.repeat(np.arange(clients), periods), np.tile(np.arange(periods), clients)
    years = at / 4 + np.repeat(rng.uniform(0, 3, clients), periods)
    contacts = rng.poisson(np.exp(0.4 + rng.normal(0, 0.5, clients))[of] * np.exp(slope * years))
    cost = np.bincount(np.repeat(np.arange(len(of)), contacts), rng.lognormal(4, 0.5, contacts.sum()), len(of))
    return pd.DataFrame(
        {"client_id": [f"c{c:03}" for c in of], "at": at, "years": years, "cost": cost, "z": rng.normal(size=len(of))}
    )


def _found(rows: pd.DataFrame, **asked: object) -> Slope:
    slope = within_slope(rows, "cost", "years", **asked)  # type: ignore[arg-type]
    assert slope is not None
    return slope


def test_the_slope_is_that_of_a_regression_with_a_level_per_client_and_period():
    rows = _base(1, slope=-0.1)
    rows = rows[rows.groupby("client_id")["cost"].transform("sum") > 0]
    late = rows.assign(years=np.minimum(rows["years"], 2.0), size=rows["z"].abs() + 1)
    dummies = pd.get_dummies(late[["client_id", "at"]].astype(str), drop_first=True, dtype=float)
    design = sm.add_constant(pd.concat([late[["years", "z"]], dummies], axis="columns"))
    oracle = sm.GLM(late["cost"], design, family=sm.families.Poisson(), offset=np.log(late["size"])).fit(tol=1e-12)

    found = _found(late, controls=["z"], period="at", exposure="size")
    assert found.slope == pytest.approx(oracle.params["years"], abs=1e-6)
    assert found.rows == len(late)


def test_the_standard_error_is_that_of_the_jackknife_over_clients():
    rows = _base(2)
    found = _found(rows)
    left_out = [_found(rows[rows["client_id"] != client]).slope for client in rows["client_id"].unique()]
    count = len(left_out)
    jackknife = float(np.sqrt((count - 1) / count * np.sum((np.array(left_out) - found.slope) ** 2)))

    assert found.standard_error == pytest.approx(jackknife, rel=0.05)


def test_units_and_the_order_of_rows_change_nothing():
    rows = _base(3)
    found = _found(rows, controls=["z"])
    scaled = rows.assign(cost=rows["cost"] * 1e9, z=rows["z"] * 1e-3).sample(frac=1, random_state=1)
    in_months = within_slope(rows.assign(months=rows["years"] * 12), "cost", "months", controls=["z"])

    assert _found(scaled, controls=["z"]).slope == pytest.approx(found.slope, abs=1e-8)
    assert in_months is not None
    assert in_months.low * 12 == pytest.approx(found.low, abs=1e-8)


def test_zeros_do_not_hide_a_fall_that_logarithms_would_miss():
    """60 bases of 40 clients; the mean estimate lies within three standard errors of the truth."""
    slopes, logs, covered = [], [], 0
    for seed in range(60):
        rows = _base(100 + seed, clients=40)
        found = _found(rows)
        covered += found.low <= -0.2 <= found.high
        slopes.append(found.slope)
        positive = rows[rows["cost"] > 0].assign(y=lambda d: np.log(d["cost"]))
        centred = positive[["y", "years"]] - positive.groupby("client_id")[["y", "years"]].transform("mean")
        logs.append(float((centred["y"] @ centred["years"]) / (centred["years"] @ centred["years"])))

    assert abs(np.mean(slopes) + 0.2) < 3 * np.std(slopes) / np.sqrt(60)
    assert np.mean(logs) > -0.15
    # 50 of 60 is the least that a coverage of 95 % shows with a probability above 0.1 %.
    assert covered >= 50


@pytest.mark.parametrize(
    "rows",
    [
        _base(4).query("client_id == 'c000'"),
        _base(4).assign(years=1.0),
        _base(4).assign(cost=0.0),
        _base(4).groupby("client_id").head(1),
    ],
    ids=["one client", "nothing varies", "no amount", "one row each"],
)
def test_where_nothing_can_be_said_nothing_is(rows: pd.DataFrame):
    assert within_slope(rows, "cost", "years") is None


def test_what_the_controls_explain_has_no_slope():
    rows = _base(5)

    assert within_slope(rows.assign(age=rows["at"] / 4), "cost", "age", period="at") is None
