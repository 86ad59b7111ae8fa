"""Stage 2 as a whole on Spark: the same tables as on DuckDB, to within rounding."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crm_methods.engine import Engine, collect
from crm_methods.stages.segments_tables import write
from tests.conftest import MakeCompany
from tests.stages.small_companies import loyal_and_costly
from tests.stages.stage_two import run_stage


def _tables(data: Any, settings: Any, folder: Path) -> dict[str, pd.DataFrame]:
    found, kept = run_stage(data, settings, folder), {}

    def keep(name: str, frame: Any, *, grain: str, key: list[str]) -> Any:
        rows = frame if isinstance(frame, pd.DataFrame) else collect(frame)
        kept[name] = rows.sort_values(list(key)).reset_index(drop=True)
        return frame

    write(found, keep)
    kept["client_segments"] = collect(found.client_segments).sort_values("client_id").reset_index(drop=True)
    return kept


def test_the_stage_leaves_the_same_tables_on_spark(make_company: MakeCompany, tmp_path: Path, spark: Any):
    made = loyal_and_costly(make_company, clients=30, segments={"bootstraps": 20}, lifetime_value={"bootstraps": 20})
    on_spark = Engine("spark", made.data.engine.sql, spark)
    ours = _tables(made.data, made.settings, tmp_path / "duckdb")
    theirs = _tables(dataclasses.replace(made.data, engine=on_spark), made.settings, tmp_path / "spark")

    assert set(ours) == set(theirs)
    for name, table in ours.items():
        other = theirs[name][list(table.columns)]
        numbers = [c for c in table.columns if pd.api.types.is_numeric_dtype(table[c])]
        words = [c for c in table.columns if c not in numbers]
        np.testing.assert_allclose(other[numbers].astype(float), table[numbers].astype(float), rtol=1e-6, atol=1e-6, err_msg=name)
        assert other[words].astype(str).to_numpy().tolist() == table[words].astype(str).to_numpy().tolist(), name
