"""Clusters as segments, and the table of every client's segment."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from crm_methods.company.answers import Answer
from crm_methods.company.vocabulary import STRATEGY_LABELS
from crm_methods.engine import collect
from crm_methods.stages.segments_summary import Answers, conclusion
from tests.conftest import MakeCompany
from tests.stages.small_companies import loyal_and_costly
from tests.stages.stage_two import run_stage

AS_OF = dt.date(2025, 6, 30)


def _run(make_company: MakeCompany, folder: Path, by: str) -> Answers:
    made = loyal_and_costly(make_company, as_of=AS_OF, segments={"by": by, "bootstraps": 20, "period_months": 18})
    return run_stage(made.data, made.settings, folder)


@pytest.mark.parametrize("by", ["matrix", "clusters"])
def test_every_client_appears_once_with_a_segment_and_a_strategy(make_company: MakeCompany, tmp_path: Path, by: str):
    rows = collect(_run(make_company, tmp_path, by).client_segments)

    assert rows["client_id"].tolist() == [f"c{i:02}" for i in range(40)]
    assert rows["segment"].notna().all()
    assert set(rows["strategy"]) <= set(STRATEGY_LABELS)


def test_clusters_as_segments_are_labelled_a_choice_and_follow_one_strategy_each(make_company: MakeCompany, tmp_path: Path):
    made = loyal_and_costly(make_company, as_of=AS_OF, segments={"by": "clusters", "bootstraps": 20, "period_months": 18})
    found = run_stage(made.data, made.settings, tmp_path)
    rows = collect(found.client_segments)
    inside = rows[rows["cluster"].notna()]

    assert isinstance(found.clusters, Answer)
    assert "takes these clusters as the segments" in found.clusters.sentence
    assert len(inside)
    assert (inside["segment"] == "cluster_" + inside["cluster"].astype(int).astype(str)).all()
    assert inside.groupby("segment")["strategy"].nunique().eq(1).all()
    decision = conclusion(made.settings, found).decision
    assert "Cluster 1" in decision
    assert "High revenue" not in decision


def test_the_matrix_ignores_the_clusters(make_company: MakeCompany, tmp_path: Path):
    found = _run(make_company, tmp_path, "matrix")
    rows = collect(found.client_segments)
    cells = collect(found.matrix.cells).set_index("client_id")["segment"]

    assert rows.set_index("client_id")["segment"].equals(cells.reindex(rows["client_id"]).rename_axis("client_id"))
    assert isinstance(found.clusters, Answer)
    assert "company.yml" not in found.clusters.sentence
