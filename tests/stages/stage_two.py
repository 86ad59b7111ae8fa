"""Stage 2 from its data to its conclusion, as the notebook runs it, for tests of what comes out at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.stages import segments, segments_clusters, segments_matrix, segments_summary, segments_value


def run_stage(data: Canonical, settings: Company, folder: Path) -> segments_summary.Answers:
    """Everything stage 2 finds; per-client tables are written below ``folder`` and re-read."""

    def keep(
        name: str, frame: nw.LazyFrame[Any] | pd.DataFrame, *, grain: str, key: Sequence[str], totals: Sequence[str] = ()
    ) -> nw.LazyFrame[Any]:
        path = folder / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        data.engine.write(frame, path, order_by=key)
        return data.engine.scan(path)

    per_client: dict[str, Any] = {"grain": "one row per client", "key": ["client_id"]}
    cost = segments.cost_to_serve(data, settings)
    economics = keep("client_economics", segments.client_economics(data, settings, cost), **per_client)
    value = segments_value.lifetime_value(data, settings, economics, keep)
    ahead = segments_value.expected_revenue(value, data)
    matrix = segments_matrix.matrix(data, settings, economics, ahead)
    assert isinstance(matrix, segments_matrix.Matrix)
    clusters = segments_clusters.clusters(data, settings, economics)
    frame = segments_clusters.client_segments(data, settings, economics, matrix, clusters, value)
    segmented = keep("client_segments", frame, **per_client)
    return segments_summary.Answers(
        cost=cost,
        whale=segments.whale_curve(data, settings, economics),
        value=value,
        holdout=segments_value.holdout(value, settings),
        matrix=matrix,
        clusters=clusters,
        equity=segments_value.customer_equity(value, settings, segmented),
        client_segments=segmented,
    )
