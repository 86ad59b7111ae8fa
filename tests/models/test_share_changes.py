"""Shares and their changes between two periods, clustered by client."""

from __future__ import annotations

import narwhals as nw
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from crm_methods.models.share_changes import FALSE_DISCOVERIES, MAX_NAMES, OTHER, is_clear, judged_together, share_changes
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


def _clear_bases(bases: int, drift: float) -> int:
    """Of so many bases those whose share of "a" is called changed."""
    rows = pd.concat([_rows(seed, drift=drift).assign(base=seed) for seed in range(bases)], ignore_index=True)
    found = share_changes(nw.from_native(rows).lazy(), by=("base",))
    return int(is_clear(found[found["name"] == "a"]).sum())


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
    clear = _clear_bases(150, drift=0.0)
    assert binomtest(clear, 150).proportion_ci(0.99).low <= 0.05 <= binomtest(clear, 150).proportion_ci(0.99).high

    assert _clear_bases(20, drift=0.2) >= 17


def test_without_a_period_before_there_is_no_change(frames: MakeFrame):
    found = share_changes(frames(_rows(5).query("now == 1")))

    assert found["share"].sum() == pytest.approx(1)
    assert found[["share_previous", "change", "low_change"]].isna().all(axis=None)


def test_the_p_value_says_what_the_interval_says(frames: MakeFrame):
    rows = pd.concat([_rows(seed, drift=0.1).assign(group=seed) for seed in range(12)], ignore_index=True)
    found = share_changes(frames(rows), by=("group",))

    outside = (found["low_change"] > 0) | (found["high_change"] < 0)
    assert 0 < outside.sum() < len(found)
    assert (found["p_value"] < 0.05).tolist() == outside.tolist()


def test_changes_looked_at_together_are_judged_together():
    table = pd.DataFrame({"p_value": [0.01, 0.02, 0.9, np.nan], "x_p_value": [0.04, 0.5, 0.6, 0.7], "kind": list("aabb")})
    judged = judged_together(table, ("", "x_"))

    # Seven p-values: .01·7/1, .02·7/2, .04·7/3 …, each at most the next one.
    assert judged["q_value"].tolist() == pytest.approx([0.07, 0.07, 0.9, np.nan], nan_ok=True)
    assert judged["x_q_value"].iloc[0] == pytest.approx(0.04 * 7 / 3)
    assert not is_clear(judged).any()
    apart = judged_together(table, within=("kind",))
    assert is_clear(apart).tolist() == [True, True, False, False]
    assert is_clear(apart.iloc[[1]]).tolist() == [True]


def test_of_many_topics_none_seems_to_change_where_nothing_changed():
    """150 bases (seed 11) of 40 clients with habits of their own and 30 topics: 5% or fewer name any clear change."""
    random, runs, topics = np.random.default_rng(11), 150, 30
    habits = random.dirichlet(np.full(topics, 0.3), size=(runs, 40))
    counts = random.multinomial(random.poisson(12, (2, runs, 40)), habits)
    now, run, client, topic = np.nonzero(counts)
    cells = {"client_id": client, "name": topic, "now": now, "run": run, "n": counts[now, run, client, topic]}
    found = share_changes(nw.from_native(pd.DataFrame(cells)).lazy(), "n", by=("run",))
    alarms = int(is_clear(found).groupby(found["run"]).any().sum())

    assert (found["p_value"] < 0.05).groupby(found["run"]).any().mean() > 0.5
    assert binomtest(alarms, runs).proportion_ci(0.99).low <= FALSE_DISCOVERIES


def test_rare_values_count_as_one_and_come_last(frames: MakeFrame):
    free_text = pd.DataFrame({"client_id": [str(i % 50) for i in range(1000)], "name": [f"t{i:04}" for i in range(1000)]})
    common = pd.DataFrame({"client_id": [str(i % 50) for i in range(100)], "name": "common"})
    rows = pd.concat([free_text, common], ignore_index=True).assign(now=lambda table: table.index % 2)
    found = share_changes(frames(rows))

    assert len(found) == MAX_NAMES + 1
    assert found["name"].iloc[0] == "common"
    assert found["name"].iloc[-1] == OTHER
    assert found["total"].sum() == (rows["now"] == 1).sum()
    assert found["share"].sum() == pytest.approx(1)


def test_a_name_of_its_own_on_every_row_is_no_error():
    rows = pd.DataFrame({"client_id": np.arange(120_000) % 500, "name": [str(i) for i in range(120_000)], "now": 1})
    rows["now"] = rows.index // 500 % 2
    assert len(share_changes(nw.from_native(rows).lazy())) == MAX_NAMES + 1
