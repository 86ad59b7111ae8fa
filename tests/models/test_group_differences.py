"""Whether groups of clients differ by more than chance."""

from __future__ import annotations

import narwhals as nw
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crm_methods.engine import collect
from crm_methods.models.group_differences import ALL, Tally, added_up, differences, flagged, valued

RUNS, SEED = 60, 11


def _tally(means: dict[str, list[float]]) -> Tally:
    """One answer per client, group by group."""
    rows = [(f"{group}{i:03}", group, mean, 1.0) for group, own in means.items() for i, mean in enumerate(own)]
    return Tally.of(["what"], pd.DataFrame(rows, columns=["client_id", "group", "total_0", "count_0"]))


def test_means_and_shares_are_added_up_per_client_and_what_is_missing_does_not_count():
    rows = pd.DataFrame(
        {
            "client_id": ["a", "a", "b", "c"],
            "group": ["x", "x", "x", "y"],
            "rating": [4.0, None, 2.0, None],
            "nps": [9.0, 3.0, None, None],
        }
    )
    items = {"rating": valued(nw.col("rating")), "promoters": flagged(nw.col("nps") >= 9, ~nw.col("nps").is_null())}
    tally = Tally.of(list(items), collect(added_up(nw.from_native(rows).lazy(), items, ("group",))))

    columns = ["total_0", "count_0", "total_1", "count_1"]
    assert tally.cells["client_id"].tolist() == ["a", "b"]
    assert tally.cells[columns].astype(float).to_numpy().tolist() == [[4.0, 1.0, 1.0, 2.0], [2.0, 1.0, 0.0, 0.0]]
    assert (tally.sums(ALL, "rating").clients, tally.sums(ALL, "rating").ratio) == (2, 3.0)
    assert (tally.sums("x", "promoters").clients, tally.sums("x", "promoters").ratio) == (1, 0.5)
    assert tally.groups == []


def test_a_difference_is_found_and_the_order_of_rows_changes_nothing():
    rng = np.random.default_rng(SEED)
    tally = _tally({"x": list(rng.normal(0, 1, 40)), "y": list(rng.normal(1.2, 1, 40)), "few": [99.0] * 4})
    found = differences(tally, (SEED,)).iloc[0]

    assert found["p_value"] == pytest.approx(0.001)
    assert (found["groups"], found["clients"]) == (2, 80)
    shuffled = Tally.of(["what"], tally.cells.sample(frac=1, random_state=1))
    assert differences(shuffled, (SEED,)).iloc[0]["p_value"] == found["p_value"]


def test_where_groups_make_no_difference_one_of_twenty_is_called_different_however_many_answers_a_client_gives():
    """The exact binomial 99 % interval of the alarms reaches 5 %: answers of a client are not counted as independent."""
    rng, alarms = np.random.default_rng(SEED), 0
    for run in range(RUNS):
        answers = rng.integers(1, 12, 40).astype(float)
        own = rng.normal(0, 1, 40) * answers
        cells = pd.DataFrame({"client_id": range(40), "group": ["x", "y"] * 20, "total_0": own, "count_0": answers})
        alarms += bool(differences(Tally.of(["what"], cells), (run,))["p_value"].iloc[0] <= 0.05)
    interval = stats.binomtest(alarms, RUNS).proportion_ci(0.99)
    assert interval.low <= 0.05 <= interval.high


@pytest.mark.parametrize("means", [{"x": [1.0] * 9, "y": [1.0] * 9}, {"x": [1.0, 2.0] * 5}, {"x": [1.0] * 3, "y": [2.0] * 3}, {}])
def test_with_nothing_to_tell_there_is_no_p_value(means: dict[str, list[float]]):
    assert differences(_tally(means), (SEED,))[["p_value", "q_value"]].isna().all(axis=None)
