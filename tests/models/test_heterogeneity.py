"""Differences between groups and between clients, and what chance alone would give."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from crm_methods.models.heterogeneity import (
    MIN_DECIDED,
    Spread,
    _wins_anew,
    spread_between_clients,
    spread_of_win_rates,
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


def _served(seed: int, *, clients: int, owners: int, own: float, size: tuple[int, int], gap: float = 0.0) -> pd.DataFrame:
    """Clients of unlike chances; each gives a share ``own`` of its deals to one owner, the rest to any; the first is better."""
    random = np.random.default_rng(seed)
    rows = []
    for client in range(clients):
        chance, decided = random.beta(1.4, 0.93), random.integers(*size)
        owner = np.where(random.random(decided) < own, client % owners, random.integers(0, owners, decided))
        for group, deals in zip(*np.unique(owner, return_counts=True), strict=True):
            won = random.binomial(deals, np.clip(chance + gap * (group == 0), 0, 1))
            rows.append((f"c{client:02}", f"g{group:02}", int(deals), int(won)))
    return pd.DataFrame(rows, columns=["client_id", "group", "decided", "won"])


@pytest.mark.parametrize(
    ("clients", "owners", "own", "size"),
    [(5, 5, 0.0, (20, 21)), (20, 20, 0.0, (40, 41)), (5, 5, 0.0, (2, 80)), (12, 4, 0.9, (20, 60)), (20, 8, 0.5, (1, 60))],
    ids=["5 × 5", "20 × 20", "5 × 5 of unequal size", "few clients cross", "unequal size"],
)
def test_owners_that_do_not_differ_seem_to_in_one_case_of_twenty(
    monkeypatch: pytest.MonkeyPatch, clients: int, owners: int, own: float, size: tuple[int, int]
):
    """300 bases of clients with an intraclass correlation of .3; the exact 99% interval of the false alarms reaches 5%."""
    monkeypatch.setattr("crm_methods.models.heterogeneity._DRAWN_CELLS", 1)
    bases = [_served(seed, clients=clients, owners=owners, own=own, size=size) for seed in range(300)]
    found = [spread_of_win_rates(cells, "owner", seed) for seed, cells in enumerate(bases)]
    alarms = sum(isinstance(spread, Spread) and spread.is_real for spread in found)

    assert binomtest(alarms, 300).proportion_ci(0.99).low <= 0.05


@pytest.mark.parametrize(
    ("clients", "size"), [(40, (80, 81)), (40, (10, 150))], ids=["400 deals each", "clients of unequal size"]
)
def test_one_owner_of_eight_with_15_points_more_is_found(clients: int, size: tuple[int, int]):
    bases = [_served(seed, clients=clients, owners=8, own=0.5, size=size, gap=0.15) for seed in range(20)]
    found = [spread_of_win_rates(cells, "owner", seed) for seed, cells in enumerate(bases)]

    assert sum(isinstance(spread, Spread) and spread.is_real for spread in found) >= 16


def test_an_owner_is_not_better_for_having_better_clients():
    """Clients that win always or never, each mostly with one owner: all of it is the clients' part."""
    cells = pd.DataFrame(
        [(f"c{i}", f"g{j}", 20 if i == j else 1, (20 if i == j else 1) * (i % 2)) for i in range(6) for j in range(6)],
        columns=["client_id", "group", "decided", "won"],
    )
    assert spread_of_win_rates(cells, "owner", 1) is None

    # With one deal of each client that ended otherwise there is something to deal anew, and still no owner that is better.
    other = cells.assign(won=cells["won"].where(cells["decided"] == 1, (cells["won"] - 1).abs()))
    found = spread_of_win_rates(other, "owner", 1)
    assert found is None or not found.is_real


def test_too_few_ways_to_deal_anew_are_too_few_to_tell():
    cells = pd.DataFrame({"client_id": list("abc"), "group": ["x", "x", "y"], "decided": 20, "won": [1, 1, 20]})

    # One of three places: not even the widest spread is rarer than one in three.
    assert spread_of_win_rates(cells, "owner", 1) is None


def test_what_each_client_won_is_held_fixed():
    random = np.random.default_rng(1)
    clients, decided = np.repeat(np.arange(30), 4), random.integers(1, 9, 120)
    won = random.binomial(decided, 0.5)
    drawn = _wins_anew(random, 500, clients, decided, won)

    assert (drawn >= 0).all()
    assert (drawn <= decided).all()
    for client in range(30):
        assert (drawn[:, clients == client].sum(axis=1) == won[clients == client].sum()).all()
    # Hypergeometric: each deal of a client is won as often as its deals are; 4 standard errors of 500 draws.
    rate = np.bincount(clients, won)[clients] / np.bincount(clients, decided)[clients]
    assert np.abs(drawn.mean(axis=0) - decided * rate).max() < 4 * np.sqrt(2 / 500)


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
