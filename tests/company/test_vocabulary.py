from __future__ import annotations

from crm_methods.company.settings import Segments
from crm_methods.company.vocabulary import SEGMENT_LABELS, STAGES, STRATEGY_LABELS, segment_label


def test_stages_are_numbered_in_their_order():
    assert [stage.number for stage in STAGES.values()] == [1, 2, 3, 4, 5, 6]
    assert [stage.notebook for stage in STAGES.values()][:2] == ["1_client_base", "2_segments"]
    assert all(stage.key == key and stage.question.endswith("?") for key, stage in STAGES.items())


def test_every_cell_and_strategy_of_the_settings_has_a_label():
    strategies = Segments().strategies
    assert set(strategies) <= set(SEGMENT_LABELS)
    assert set(strategies.values()) == set(STRATEGY_LABELS)


def test_labels_are_distinct_and_unknown_segments_are_made_readable():
    assert len(set(SEGMENT_LABELS.values())) == len(SEGMENT_LABELS)
    assert segment_label("low_high") == "Low revenue, high cost"
    assert segment_label("cluster_2") == "Cluster 2"
