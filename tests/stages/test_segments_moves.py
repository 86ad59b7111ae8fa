"""Moves beyond noise: hardly any with nothing changed, whatever the rhythm; found where a client doubled or halved."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

from crm_methods.company.settings import Company
from crm_methods.stages.segments_cuts import Cuts
from crm_methods.stages.segments_moves import LEVEL, Panel, crossings, judged, reported_by_chance, shares_by_chance

SETTINGS = Company(company="Example", as_of=dt.date(2025, 12, 31), currency="EUR", tables={})
WIDTH = SETTINGS.segments.hysteresis


def _panel(seed: int, clients: int = 300, clusters: int = 1) -> Panel:
    """Clients at random times with skewed amounts; ``clusters`` orders come together."""
    rng = np.random.default_rng(seed)
    rate, size = rng.gamma(1.5, 1.0, (clients, 1)) + 0.1, rng.normal(6, 1, (clients, 1))

    def bought(level: float) -> np.ndarray:
        orders = rng.poisson(rate * level, (clients, 12)) * clusters
        return np.array([[rng.lognormal(s, 1, n).sum() for n in row] for row, s in zip(orders, size[:, 0], strict=True)])

    return Panel(*(bought(level) for level in (1.0, 0.5, 1.0, 0.5)), by_cost=True)


def _cuts(panel: Panel) -> Cuts:
    axis = pd.DataFrame({"axis_revenue": panel.revenue.sum(axis=1), "cost_to_serve": panel.cost.sum(axis=1)})
    return Cuts.of(nw.from_native(axis).lazy(), SETTINGS, knows_cost=True)


@pytest.mark.parametrize("clusters", [1, 5])
def test_with_nothing_changed_few_are_reported_and_the_benchmark_holds_what_is_seen(clusters: int):
    panels = [_panel(seed, clients=150, clusters=clusters) for seed in range(2)]
    reported, inside, expected = 0, 0, 0.0
    for panel in panels:
        cuts = _cuts(panel)
        found = crossings(panel, cuts, WIDTH)
        shares = shares_by_chance(panel, cuts, WIDTH, 100, np.random.default_rng(0))
        seen = found.moved.sum() / found.active.sum()
        inside += bool(np.quantile(shares, 0.01) <= seen <= np.quantile(shares, 0.99))
        moved = panel.of(np.flatnonzero(found.moved[:, 0]))
        reported += int((judged(moved, cuts, WIDTH).p_value <= LEVEL).sum())
        expected += 150 * reported_by_chance(panel, cuts, WIDTH)

    # 99.5 % quantile of a binomial with 5 % of 300 clients: 25; what chance is said to report is seen, ± 4 Poisson deviations.
    assert reported <= 25
    assert abs(reported - expected) <= 4 * expected**0.5 + 1
    assert inside >= 1


def test_a_client_that_doubled_or_halved_from_many_events_is_found():
    panel = _panel(9)
    cuts = replace(_cuts(panel), revenue_spread=1.0)
    rng = np.random.default_rng(1)
    # Two hundred orders a year become four hundred, or the other way round, across the cut of revenue and its band.
    few, many = (rng.poisson(n / 12, 12) * cuts.revenue / 200 for n in (200, 400))
    cost = np.full((2, 12), np.exp(cuts.intercept) / 12)
    moved = Panel(0.8 * np.vstack([many, few / 1.2]), cost, 0.8 * np.vstack([few, many / 1.2]), cost, by_cost=True)
    found = judged(moved, cuts, WIDTH)

    assert (found.p_value <= LEVEL).all()
    assert crossings(moved, cuts, WIDTH).by_revenue.all()


def test_a_clock_never_moves():
    clock = np.full((50, 12), 10.0) * np.arange(1, 51)[:, None]
    panel = Panel(clock, clock**0.6, clock, clock**0.6, by_cost=True)

    assert (shares_by_chance(panel, _cuts(panel), WIDTH, 20, np.random.default_rng(0)) == 0).all()


def test_where_an_axis_has_no_former_value_nobody_moves_along_it():
    panel = _panel(3, clients=60)
    cuts = _cuts(panel)
    by_revenue = crossings(replace(panel, by_cost=False), cuts, WIDTH)
    fixed = replace(panel, fixed_revenue=panel.revenue.sum(axis=1))
    by_cost = crossings(fixed, cuts, WIDTH)

    assert not by_revenue.by_cost.any()
    assert by_revenue.by_revenue.any()
    assert not by_cost.by_revenue.any()
    assert by_cost.by_cost.any()
    assert (panel.axes, fixed.axes) == (2, 1)


def test_without_clients_there_is_nothing_to_share():
    panel = _panel(3, clients=60).of(np.array([], dtype=int))
    cuts = _cuts(_panel(3, clients=60))

    assert np.isnan(shares_by_chance(panel, cuts, WIDTH, 20, np.random.default_rng(0))).all()
    assert reported_by_chance(panel, cuts, WIDTH) == 0
    assert judged(panel, cuts, WIDTH).p_value.shape == (0,)
