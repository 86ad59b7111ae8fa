"""The cuts of the matrix, on plain frames: medians, the line of usual cost, and the levels that follow."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

from crm_methods.company.settings import Company
from crm_methods.engine import collect
from crm_methods.stages.segments_cuts import Cuts


def _settings(**segments: object) -> Company:
    told = {"company": "Example", "as_of": dt.date(2025, 12, 31), "currency": "EUR", "tables": {}, "segments": segments}
    return Company.model_validate(told)


def _axis(rows: list[tuple[float, float]]) -> nw.LazyFrame[object]:
    frame = pd.DataFrame(rows, columns=["axis_revenue", "cost_to_serve"])
    return nw.from_native(frame.assign(client_id=[f"c{i}" for i in range(len(frame))])).lazy()


def test_the_line_of_usual_cost_is_found():
    settings = _settings()
    cuts = Cuts.of(_axis([(float(10**k), 2 * float(10**k) ** 0.6) for k in range(1, 6)]), settings, knows_cost=True)

    assert cuts.slope == pytest.approx(0.6)
    assert cuts.intercept == pytest.approx(math.log(2))
    assert cuts.cost_axis == "beyond_size"


def test_clients_of_one_size_are_read_in_absolute_terms():
    settings = _settings()
    axis = _axis([(100.0, 1.0), (100.0, 2.0), (100.0, 9.0)])
    cuts = Cuts.of(axis, settings, knows_cost=True)
    levels = collect(axis.select("client_id", level=cuts.cost_level(cuts.cost_axis)))

    assert cuts.cost_axis == "absolute"
    assert levels["level"].tolist() == ["low", "low", "high"]


def _base(clients: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    revenue = rng.lognormal(6, 1, clients)
    cost = revenue**0.6 * rng.lognormal(0, 0.5, clients)
    revenue[:4], cost[2:6] = [0.0, -5.0, 0.0, 3.0], [0.0, 0.0, 5.0, 700.0]
    return pd.DataFrame({"client_id": range(clients), "axis_revenue": revenue, "cost_to_serve": cost})


@pytest.mark.parametrize("axis", ["beyond_size", "absolute", "per_revenue"])
def test_clients_in_memory_stand_where_the_engine_puts_them(axis: str):
    settings = _settings(cost_axis=axis)
    base = _base()
    frame = nw.from_native(base).lazy()
    cuts = Cuts.of(frame, settings, knows_cost=True)
    told = collect(
        frame.select(
            revenue=cuts.revenue_level(),
            cost=cuts.cost_level(axis),
            from_revenue=cuts.revenue_distance(),
            from_cost=cuts.cost_distance(),
        )
    )
    places = cuts.places(base["axis_revenue"].to_numpy(), base["cost_to_serve"].to_numpy())

    assert (places.high_revenue == (told["revenue"] == "high")).all()
    assert (places.high_cost == (told["cost"] == "high")).all()
    assert places.revenue == pytest.approx(told["from_revenue"].to_numpy(dtype=float), nan_ok=True)
    assert places.cost == pytest.approx(told["from_cost"].to_numpy(dtype=float), nan_ok=True)


@pytest.mark.parametrize("axis", ["beyond_size", "absolute", "per_revenue"])
def test_the_same_base_drawn_anew_has_the_same_cuts(axis: str):
    settings = _settings(cost_axis=axis)
    base = _base()
    cuts = Cuts.of(nw.from_native(base).lazy(), settings, knows_cost=True)
    drawn = cuts.redrawn(base["axis_revenue"].to_numpy(), base["cost_to_serve"].to_numpy(), settings)

    line = ("intercept", "slope") if axis == "beyond_size" else ()
    for name in ("revenue", "median_cost", "revenue_spread", "cost_spread", *line):
        assert getattr(drawn, name) == pytest.approx(getattr(cuts, name), nan_ok=True), name
    assert drawn.cost(axis) == pytest.approx(cuts.cost(axis))


def test_next_to_a_cut_and_only_there_a_client_keeps_its_former_level():
    settings = _settings(revenue_cut=100.0)
    cuts = replace(Cuts.of(_axis([(50.0, 0.0), (200.0, 0.0)]), settings, knows_cost=False), revenue_spread=1.0)
    none = np.zeros(4)
    now = cuts.places(np.array([110.0, 110.0, 90.0, 200.0]), none)
    before = cuts.places(np.array([50.0, 0.0, 300.0, 50.0]), none)

    # Just above, but low before · the same without revenue before · just below, but high before · far above.
    assert cuts.held(now, before, 0.35)[0].tolist() == [False, True, True, True]
    assert cuts.held(now, before, 0.0)[0].tolist() == [True, True, False, True]
