"""The sample company's cells against what truly happened there, which no estimator reads."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from crm_methods.company.intake import bring_in
from crm_methods.company.settings import load_company
from crm_methods.engine import EngineSettings, collect, open_engine
from crm_methods.runs.artefacts import DEFAULT_COMPANY
from crm_methods.stages import segments, segments_matrix


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> pd.Series:
    folder = tmp_path_factory.mktemp("meridian")
    engine = open_engine(EngineSettings(memory_limit="1GB", threads=1), folder / "spill")
    settings = load_company(DEFAULT_COMPANY)
    data = bring_in(settings, DEFAULT_COMPANY, engine, folder / "canonical")
    cost = segments.cost_to_serve(data, settings)
    economics = segments.client_economics(data, settings, cost)
    engine.write(economics, folder / "client_economics.parquet", order_by=["client_id"])
    found = segments_matrix.matrix(data, settings, engine.scan(folder / "client_economics.parquet"))
    assert isinstance(found, segments_matrix.Matrix)
    placed = collect(found.cells.select("client_id", "segment")).set_index("client_id")["segment"]
    engine.close()
    return placed


def test_nine_of_ten_clients_stand_in_their_true_cell(cells: pd.Series):
    truth = pd.Series(json.loads((DEFAULT_COMPANY / "truth.json").read_text(encoding="utf-8"))["clients"]["segment"])

    assert len(truth) == 600
    assert (cells.reindex(truth.index) == truth).mean() >= 0.9
