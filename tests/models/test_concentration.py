"""Concentration: known answers, and equal clients together."""

from __future__ import annotations

import math

import narwhals as nw
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crm_methods.models.concentration import cumulative_cuts, gini, top_shares
from tests.conftest import MakeFrame


def _amounts(values: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"client_id": [f"c{i:05}" for i in range(len(values))], "revenue": values})


def test_the_gini_coefficient_of_a_lognormal_is_known():
    """Quantiles of a lognormal with σ = 1 instead of draws: no error of sampling, only of the grid."""
    places = (np.arange(20_000) + 0.5) / 20_000
    lazy = nw.from_native(_amounts(np.exp(stats.norm.ppf(places)).tolist())).lazy()
    found = gini(lazy, "revenue")

    assert found == pytest.approx(2 * stats.norm.cdf(1 / math.sqrt(2)) - 1, abs=2e-3)


def test_equal_clients_have_no_inequality_and_few_clients_no_coefficient():
    assert gini(nw.from_native(_amounts([5.0] * 400)).lazy(), "revenue") == pytest.approx(0, abs=1e-12)
    assert gini(nw.from_native(_amounts([5.0] * 299 + [-1.0, 0.0])).lazy(), "revenue") is None


def test_shares_and_cuts_on_every_engine(frames: MakeFrame):
    lazy = frames(_amounts([50.0, 20.0, 10.0, 10.0, 6.0, 4.0, 0.0, -30.0]))

    shares = top_shares(lazy, "revenue")
    assert shares["names"].tolist() == [1, 5]
    assert shares["share"].tolist() == pytest.approx([0.5, 0.96])
    # 50 + 20 bring 70 %: both clients of 10 cross the 80 % together.
    assert cumulative_cuts(lazy, "revenue", {"A": 0.8, "B": 0.95}) == {"A": 10.0, "B": 6.0}
    assert cumulative_cuts(frames(_amounts([0.0])), "revenue", {"A": 0.8}) == {"A": None}
