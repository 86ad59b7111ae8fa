"""Clusters as segments, and the table of every client's segment."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd

from crm_methods.company.answers import Answer, Unanswered
from crm_methods.company.vocabulary import STRATEGY_LABELS
from crm_methods.engine import collect
from crm_methods.stages.segments import client_economics, cost_to_serve
from crm_methods.stages.segments_clusters import Clusters, client_segments, clusters
from crm_methods.stages.segments_matrix import Matrix, matrix
from crm_methods.stages.segments_summary import conclusion
from tests.conftest import MakeCompany
from tests.stages.small_companies import loyal_and_costly
from tests.stages.stage_two import run_stage

AS_OF = dt.date(2025, 6, 30)
UNKNOWN_VALUE = Unanswered("segments.lifetime_value", "nobody asked.")


def _clients(
    make_company: MakeCompany, groups: Clusters | Unanswered | None = None, beside: pd.DataFrame | None = None, **settings: object
) -> tuple[pd.DataFrame, Matrix, Clusters | Unanswered]:
    """The table of clients without values, with the matrix and the clusters (looked for where none are given) behind it."""
    made = loyal_and_costly(make_company, as_of=AS_OF, segments={"bootstraps": 20, "period_months": 18, **settings})
    # In memory, as the stage has them from its written table.
    counted = client_economics(made.data, made.settings, cost_to_serve(made.data, made.settings))
    economics = made.data.engine.frame(collect(counted))
    found = matrix(made.data, made.settings, economics)
    assert isinstance(found, Matrix)
    groups = groups or clusters(made.data, made.settings, economics)
    more = [] if beside is None else [made.data.engine.frame(beside)]
    frame = client_segments(made.data, made.settings, economics, found, groups, UNKNOWN_VALUE, more)
    return collect(frame.sort("client_id")), found, groups


def test_every_client_appears_once_with_a_segment_and_a_strategy(make_company: MakeCompany):
    rows, _, _ = _clients(make_company, by="clusters")

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
    assert found.clusters.names.keys() == set(inside["cluster"])
    assert found.clusters.sentence.startswith(found.clusters.partition.verdict)
    assert "High revenue" not in decision


def test_the_matrix_ignores_the_clusters(make_company: MakeCompany):
    rows, found, groups = _clients(make_company)
    cells = collect(found.cells).set_index("client_id")["segment"]

    assert rows.set_index("client_id")["segment"].to_dict() == cells.to_dict()
    assert rows["cluster"].notna().any()
    assert "company.yml" not in groups.sentence


def test_what_else_is_known_of_each_client_stands_beside_its_segment(make_company: MakeCompany):
    sure = pd.DataFrame({"client_id": ["c01"], "p_cell": [0.7]})
    rows, _, _ = _clients(make_company, Unanswered("segments.clusters", "nobody asked."), sure)

    assert len(rows) == 40
    assert rows["cluster"].isna().all()
    assert rows.columns[-1] == "p_cell"
    assert rows.set_index("client_id")["p_cell"].dropna().to_dict() == {"c01": 0.7}
