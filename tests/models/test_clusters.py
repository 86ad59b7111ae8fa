import time

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from crm_methods.errors import TableContractError
from crm_methods.models import clusters


def three_groups(clients, seed=4):
    rng = np.random.default_rng(seed)
    truth = np.arange(clients) % 3
    centres = np.array([[12.0, 8], [9, 8.5], [9, 4]])
    values = centres[truth] + rng.normal(0, 0.4, (clients, 2))
    return truth, frame(values)


def continuum(clients, seed=4):
    rng = np.random.default_rng(seed)
    revenue = rng.normal(10, 1.5, clients)
    return frame(np.column_stack([revenue, 0.6 * revenue + rng.normal(0, 0.8, clients)]))


def frame(values):
    return pd.DataFrame(values, columns=["log_revenue", "log_cost_to_serve"]).assign(
        client_id=[f"c{i:04d}" for i in range(len(values))]
    )


@pytest.mark.parametrize("clients", [60, 300])
def test_three_true_groups_are_found_without_a_single_error(clients):
    truth, points = three_groups(clients)
    found = clusters.best_partition(points, seed=7)
    assert found.natural
    assert (found.natural_clusters, found.bic_clusters, found.clusters) == (3, 3, 3)
    assert adjusted_rand_score(truth, found.labels["cluster"]) == 1
    assert "3 natural groups" in found.verdict


@pytest.mark.parametrize("clients", [60, 300, 600])
def test_a_continuum_is_one_group_with_thresholds(clients):
    found = clusters.best_partition(continuum(clients), seed=7)
    assert not found.natural
    assert found.natural_clusters == 1
    assert "threshold" in found.verdict
    # A cut remains for whoever chooses clusters as segments; it is only not called natural.
    assert found.clusters >= 2
    assert found.labels["cluster"].nunique() == found.clusters


def test_resampling_ends_when_the_verdict_can_not_change_and_the_sentence_says_how_many_were_drawn():
    natural = clusters.best_partition(three_groups(60)[1], seed=7, bootstraps=30)
    assert (natural.resamples, natural.ari_p10 is not None) == (30, True)
    assert f"{natural.stable_resamples} of 30 resamples" in natural.verdict
    rng = np.random.default_rng(3)
    # Repeated small counts make spikes that BIC and gap take for groups, and resamples do not find again.
    spiked = frame(np.column_stack([rng.normal(0, 1, 200), np.log(1 + rng.poisson(2, 200))]))
    found = clusters.best_partition(spiked, seed=7, bootstraps=30)
    assert not found.natural
    assert found.resamples < 30
    assert found.ari_p10 is None
    witnesses = min(found.bic_clusters, found.gap_clusters)
    assert (found.resamples == 0) == (witnesses == 1)


def test_the_same_seed_gives_the_same_partition_and_the_input_is_untouched():
    points = continuum(120)
    before = points.copy()
    one, two = (clusters.best_partition(points, seed=3, bootstraps=10) for _ in range(2))
    pd.testing.assert_frame_equal(one.labels, two.labels)
    pd.testing.assert_frame_equal(one.selection, two.selection)
    assert one.ari_p10 == two.ari_p10
    pd.testing.assert_frame_equal(points, before)


def test_the_unit_and_the_order_of_rows_change_no_group():
    _truth, points = three_groups(90)
    other = points.assign(log_revenue=points["log_revenue"] + np.log(1000)).sample(frac=1, random_state=1)
    one = clusters.best_partition(points, seed=7, bootstraps=10).labels.set_index("client_id")["cluster"]
    two = clusters.best_partition(other, seed=7, bootstraps=10).labels.set_index("client_id")["cluster"]
    pd.testing.assert_series_equal(one, two.reindex(one.index))


def test_clusters_are_numbered_from_the_highest_in_the_first_feature_and_profiled():
    _, points = three_groups(300)
    profile = clusters.best_partition(points, seed=7, bootstraps=5).profile
    assert profile.columns.tolist() == ["cluster", "clients", "clients_share", "log_revenue", "log_cost_to_serve", "description"]
    assert profile["clients"].tolist() == [100, 100, 100]
    assert profile["clients_share"].sum() == pytest.approx(1)
    assert profile.loc[0, "log_revenue"] == profile["log_revenue"].max()
    assert "higher revenue" in profile.loc[0, "description"]


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (frame(np.zeros((0, 2))), "too few"),
        (frame(np.random.default_rng(1).normal(size=(19, 2))), "too few"),
        (frame(np.full((50, 2), 3.0)), "alike in every feature"),
    ],
)
def test_where_no_group_can_be_looked_for_it_says_why(points, reason):
    found = clusters.best_partition(points, seed=1)
    assert not found.natural
    assert found.clusters == 1
    assert reason in found.verdict
    assert len(found.labels) == len(points)


def test_a_constant_feature_is_left_out_and_said():
    _truth, points = three_groups(60)
    found = clusters.best_partition(points.assign(log_cost_to_serve=5.0), seed=1, bootstraps=5)
    assert "cost to serve left out" in found.note
    assert found.features == ("log_revenue",)


def test_clients_without_a_feature_get_no_cluster():
    _, points = three_groups(60)
    points.loc[[0, 5], "log_revenue"] = [np.nan, -np.inf]
    found = clusters.best_partition(points, seed=1, bootstraps=5)
    assert "2 clients with a missing feature" in found.note
    assert found.labels.loc[found.labels["cluster"] == 0, "client_id"].tolist() == ["c0000", "c0005"]
    assert found.natural_clusters == 3


@pytest.mark.parametrize("kinds", [2, 3, 8])
def test_few_distinct_points_never_crash(kinds):
    points = frame(np.repeat(np.random.default_rng(2).normal(size=(kinds, 2)), 10, axis=0))
    found = clusters.best_partition(points, seed=1, bootstraps=5)
    assert found.labels["cluster"].between(1, found.clusters).all()


def test_a_single_giant_is_no_segment():
    points = pd.concat([continuum(100), frame(np.array([[40.0, 30.0]])).assign(client_id="giant")])
    found = clusters.best_partition(points, seed=1, bootstraps=5)
    assert not found.natural
    assert found.profile["clients"].min() >= clusters.MIN_GROUP


def test_a_table_without_numbers_is_refused():
    with pytest.raises(TableContractError, match="industry"):
        clusters.best_partition(pd.DataFrame({"client_id": ["a"], "industry": ["x"]}), seed=1)


def test_six_hundred_clients_take_seconds_and_many_more_are_sampled():
    began = time.perf_counter()
    clusters.best_partition(continuum(600), seed=7)
    # About two seconds alone on a core; the machine may be busy.
    assert time.perf_counter() - began < 15
    truth, points = three_groups(6_000)
    found = clusters.best_partition(points, seed=7, bootstraps=2)
    assert "drawn at random" in found.note
    assert adjusted_rand_score(truth, found.labels["cluster"]) > 0.99
