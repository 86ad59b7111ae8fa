"""Shares and their changes between two periods, clustered by client."""

from __future__ import annotations

import narwhals as nw
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from crm_methods.models.share_changes import is_clear, share_changes
from tests.conftest import MakeFrame


def _rows(seed: int, clients: int = 40, *, drift: float = 0.0) -> pd.DataFrame:
    """Clients with habits of their own that buy in both periods; ``drift`` shifts all of them."""
    random = np.random.default_rng(seed)
    habit = random.beta(2, 3, clients)
    rows = []
    for client in range(clients):
        for now in (0, 1):
            for _ in range(int(random.integers(1, 12))):
                takes = random.random() < np.clip(habit[client] + drift * now, 0, 1)
                rows.append((str(client), "a" if takes else "b", now, float(random.integers(1, 100))))
    return pd.DataFrame(rows, columns=["client_id", "name", "now", "amount"])


def test_shares_are_those_of_a_plain_count_and_add_up(frames: MakeFrame):
    rows = _rows(1)
    for weight in (None, "amount"):
        found = share_changes(frames(rows), weight).set_index("name")
        sizes = rows.assign(w=1.0 if weight is None else rows["amount"]).groupby(["now", "name"])["w"].sum().unstack("now")
        expected = sizes / sizes.sum()

        assert found["share"].to_dict() == pytest.approx(expected[1].to_dict())
        assert found["share_previous"].to_dict() == pytest.approx(expected[0].to_dict())
        assert found["change"].sum() == pytest.approx(0)
        # One share's gain is the other's loss, with the same doubt.
        width = found["high_change"] - found["low_change"]
        assert width["a"] == pytest.approx(width["b"])


def test_the_interval_of_a_change_is_the_one_of_the_clients_parts(frames: MakeFrame):
    rows = _rows(2)
    found = share_changes(frames(rows), "amount").set_index("name").loc["a"]
    wide = rows.assign(y=rows["amount"] * (rows["name"] == "a"))
    sums = wide.pivot_table(index="client_id", columns="now", values=["y", "amount"], aggfunc="sum", fill_value=0.0)
    n, y = sums["amount"], sums["y"]
    r = y.sum() / n.sum()
    part = (y[1] - r[1] * n[1]) / n[1].sum() - (y[0] - r[0] * n[0]) / n[0].sum()

    spread = np.sqrt(len(part) / (len(part) - 1) * (part**2).sum())
    assert (found["high_change"] - found["low_change"]) / 2 == pytest.approx(2.022691 * spread, rel=1e-5)


def test_a_group_has_the_shares_it_has_alone(frames: MakeFrame):
    rows = pd.concat([_rows(3).assign(group="x"), _rows(4).assign(group="y")], ignore_index=True)
    together = share_changes(frames(rows), by=("group",))
    alone = share_changes(frames(rows[rows["group"] == "y"]))

    kept = together[together["group"] == "y"].drop(columns="group").reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, alone, check_exact=False, rtol=1e-9)


def test_an_unchanged_share_is_called_changed_in_one_case_of_twenty():
    """150 bases of 40 clients without a drift; 5% is inside the exact 99% interval of the share that seems to change."""
    clear = [bool(is_clear(share_changes(nw.from_native(_rows(seed)).lazy())).iloc[0]) for seed in range(150)]
    assert binomtest(sum(clear), 150).proportion_ci(0.99).low <= 0.05 <= binomtest(sum(clear), 150).proportion_ci(0.99).high

    moved = [is_clear(share_changes(nw.from_native(_rows(seed, drift=0.2)).lazy())).iloc[0] for seed in range(20)]
    assert sum(moved) >= 17


def test_without_a_period_before_there_is_no_change(frames: MakeFrame):
    found = share_changes(frames(_rows(5).query("now == 1")))

    assert found["share"].sum() == pytest.approx(1)
    assert found[["share_previous", "change", "low_change"]].isna().all(axis=None)
