"""The cuts of the matrix, on plain frames: medians, the line of usual cost, and the levels that follow."""

from __future__ import annotations

import math

import narwhals as nw
import pandas as pd
import pytest

from crm_methods.engine import collect
from crm_methods.stages.segments_cuts import Cuts
from tests.conftest import MakeCompany
from tests.stages.small_companies import deals_of


def _axis(rows: list[tuple[float, float]]) -> nw.LazyFrame[object]:
    frame = pd.DataFrame(rows, columns=["axis_revenue", "cost_to_serve"])
    return nw.from_native(frame.assign(client_id=[f"c{i}" for i in range(len(frame))])).lazy()


def test_the_line_of_usual_cost_is_found(make_company: MakeCompany):
    settings = make_company({"deals": deals_of({"a": 1.0})}).settings
    cuts = Cuts.of(_axis([(float(10**k), 2 * float(10**k) ** 0.6) for k in range(1, 6)]), settings, knows_cost=True)

    assert cuts.slope == pytest.approx(0.6)
    assert cuts.intercept == pytest.approx(math.log(2))
    assert cuts.cost_axis == "beyond_size"


def test_clients_of_one_size_are_read_in_absolute_terms(make_company: MakeCompany):
    settings = make_company({"deals": deals_of({"a": 1.0})}).settings
    axis = _axis([(100.0, 1.0), (100.0, 2.0), (100.0, 9.0)])
    cuts = Cuts.of(axis, settings, knows_cost=True)
    levels = collect(axis.select("client_id", level=cuts.cost_level(cuts.cost_axis)))

    assert cuts.cost_axis == "absolute"
    assert levels["level"].tolist() == ["low", "low", "high"]
