"""Differences between groups and between clients, and what chance alone would give."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from crm_methods.models.heterogeneity import (
    MIN_DECIDED,
    Spread,
    spread_between_clients,
    spread_of_win_rates,
    within_group_correlation,
)


def _cells(seed: int, *, nested: bool, rho: float = 0.2, gap: float = 0.0, clients: int = 60, groups: int = 6) -> pd.DataFrame:
    """Clients whose deals resemble each other; ``gap`` raises every second group's chance of winning."""
    random = np.random.default_rng(seed)
    chance = random.beta(0.6 * (1 / rho - 1), 0.4 * (1 / rho - 1), clients)
    rows = []
    for client in range(clients):
        own = [client % groups] if nested else random.choice(groups, 3, replace=False)
        for group in own:
            decided = int(random.integers(1, 15))
            p = np.clip(chance[client] + gap * (group % 2), 0, 1)
            rows.append((str(client), f"g{group}", decided, int(random.binomial(decided, p))))
    return pd.DataFrame(rows, columns=["client_id", "group", "decided", "won"])


@pytest.mark.parametrize("nested", [True, False], ids=["groups of clients", "groups that cross clients"])
def test_groups_that_do_not_differ_seem_to_in_one_case_of_twenty(monkeypatch: pytest.MonkeyPatch, nested: bool):
    """200 bases whose clients differ and whose groups do not; 5% is inside the exact 99% interval of the false alarms."""
    monkeypatch.setattr("crm_methods.models.heterogeneity._DRAWN_CELLS", 1)
    found = [spread_of_win_rates(_cells(seed, nested=nested), "group", seed) for seed in range(200)]
    alarms = sum(isinstance(spread, Spread) and spread.is_real for spread in found)

    assert binomtest(alarms, 200).proportion_ci(0.99).low <= 0.05 <= binomtest(alarms, 200).proportion_ci(0.99).high


@pytest.mark.parametrize("nested", [True, False])
def test_groups_that_differ_are_found(nested: bool):
    found = [spread_of_win_rates(_cells(seed, nested=nested, gap=0.4), "group", seed) for seed in range(10)]

    assert sum(spread.is_real for spread in found if spread is not None) >= 9


def test_the_correlation_within_clients_is_recovered():
    cells = _cells(3, nested=True, rho=0.3, clients=3_000, groups=3)
    codes = pd.factorize(cells["group"])[0]
    n, w = cells["decided"].to_numpy(float), cells["won"].to_numpy(float)

    # The standard error at 3,000 clients is about .01.
    assert within_group_correlation(codes, n, w) == pytest.approx(0.3, abs=0.03)


def test_the_order_of_rows_changes_nothing():
    cells = _cells(4, nested=True)
    one, other = (spread_of_win_rates(rows, "group", 7) for rows in (cells, cells.sample(frac=1, random_state=1)))

    assert one is not None
    assert other is not None
    assert (one.observed, one.p_value) == (other.observed, other.p_value)


def test_one_group_or_one_outcome_is_not_tested():
    cells = _cells(5, nested=True)
    assert spread_of_win_rates(cells.assign(group="x"), "group", 1) is None
    assert spread_of_win_rates(cells.assign(won=cells["decided"]), "group", 1) is None


def _clients(seed: int, *, rho: float = 0.0, clients: int = 60) -> pd.DataFrame:
    """Clients with a chance of their own, which is the same for all where ``rho`` is 0."""
    random = np.random.default_rng(seed)
    chance = random.beta(0.6 * (1 / rho - 1), 0.4 * (1 / rho - 1), clients) if rho else np.full(clients, 0.6)
    decided = random.integers(1, 15, clients)
    return pd.DataFrame(
        {"client_id": [str(i) for i in range(clients)], "decided": decided, "won": random.binomial(decided, chance)}
    )


def test_clients_that_do_not_differ_seem_to_in_one_case_of_twenty(monkeypatch: pytest.MonkeyPatch):
    """200 bases of clients with one chance; 5% is inside the exact 99% interval of the false alarms."""
    monkeypatch.setattr("crm_methods.models.heterogeneity._DRAWN_CELLS", 1)
    found = [spread_between_clients(_clients(seed), seed) for seed in range(200)]
    alarms = sum(isinstance(spread, Spread) and spread.is_real for spread in found)

    assert binomtest(alarms, 200).proportion_ci(0.99).low <= 0.05 <= binomtest(alarms, 200).proportion_ci(0.99).high


def test_clients_that_differ_are_found():
    found = [spread_between_clients(_clients(seed, rho=0.3), seed) for seed in range(10)]

    assert sum(spread.is_real for spread in found if spread is not None) >= 9


def test_the_spread_by_chance_is_the_binomial_one():
    cells = pd.DataFrame({"client_id": [str(i) for i in range(400)], "decided": 20, "won": [9, 11] * 200})
    found = spread_between_clients(cells, 1)

    assert found is not None
    assert found.observed == pytest.approx(0.05, rel=0.01)
    # 999 draws of a standard deviation over 400 clients: its own standard error is far below 1%.
    assert found.by_chance == pytest.approx(np.sqrt(0.25 / 20), rel=0.01)
    assert found.p_value == 1


def test_clients_with_few_deals_are_left_out():
    cells = _clients(6)
    few = cells["decided"] < MIN_DECIDED
    whole, kept = spread_between_clients(cells, 3), spread_between_clients(cells[~few], 3)

    assert whole is not None
    assert kept is not None
    assert (whole.groups, whole.observed, whole.p_value) == ((~few).sum(), kept.observed, kept.p_value)
    assert spread_between_clients(cells[few], 3) is None
    assert spread_between_clients(cells.assign(won=cells["decided"]), 3) is None


def test_the_order_of_clients_changes_nothing():
    cells = _clients(7)
    one, other = (spread_between_clients(rows, 7) for rows in (cells, cells.sample(frac=1, random_state=1)))

    assert one is not None
    assert other is not None
    assert (one.observed, one.p_value) == (other.observed, other.p_value)
