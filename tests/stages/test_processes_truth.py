"""The sample company's true service levels lie in our intervals."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy import stats

from crm_methods.company.intake import bring_in
from crm_methods.company.settings import load_company
from crm_methods.engine import EngineSettings, open_engine
from crm_methods.stages import processes
from tests.conftest import MadeCompany
from tests.stages.made_service import Served, served_by

MERIDIAN = Path(__file__).resolve().parents[2] / "data" / "meridian"
TRUTH: dict[str, Any] = json.loads((MERIDIAN / "truth.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def meridian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The sample company with every client in its true segment; second entries of a client are where the client is."""
    folder = tmp_path_factory.mktemp("truth")
    settings = load_company(MERIDIAN)
    engine = open_engine(EngineSettings(memory_limit="1GB", threads=1), folder / "spill")
    data = bring_in(settings, MERIDIAN, engine, folder / "canonical")
    true = TRUTH["clients"]["segment"]
    second = {**TRUTH["duplicates"]["exact"], **TRUTH["duplicates"]["variants"]}
    yield served_by(
        MadeCompany(MERIDIAN, settings, data),
        {**true, **{entry: true[client] for entry, client in second.items() if client in true}},
    )
    engine.close()
    shutil.rmtree(folder)


def _true_share(segment: str, metric: str, hours: float) -> float:
    """Share within so many hours by the planted law: log hours are normal between and within clients."""
    law = next(r for r in TRUTH["service_levels"]["rates"] if (r["segment"], r["metric"]) == (segment, metric))
    spread = math.hypot(law["log_sd_between_clients"], law["log_sd_within_client"])
    return float(stats.norm.cdf(math.log(hours / law["median_hours"]) / spread))


def _inside(served: Served, confidence: float) -> pd.Series[bool]:
    level = processes.service_level(
        served.made.data, served.made.settings, served.plan, served.offers.content, served.packages, served.clients,
        served.requests,
        confidence=confidence,
    )  # fmt: skip
    assert isinstance(level, processes.ServiceLevel)
    rows = level.attained
    true = pd.Series([_true_share(row.segment, row.metric, row.target_hours) for row in rows.itertuples()])
    return (rows["low_share"] <= true) & (true <= rows["high_share"])


def test_the_law_is_the_one_that_truth_json_tabulates():
    told = {
        (r["segment"], r["metric"], float(h)): s
        for r in TRUTH["service_levels"]["rates"]
        for h, s in r["share_within_hours"].items()
    }

    assert max(abs(_true_share(*key) - share) for key, share in told.items()) < 1e-4


def test_three_quarters_of_the_true_service_levels_are_in_their_95_percent_intervals(meridian: Served):
    inside = _inside(meridian, 0.95)

    assert len(inside) == 8
    assert inside.mean() >= 0.75


def test_all_true_service_levels_are_in_their_999_per_mille_intervals(meridian: Served):
    assert _inside(meridian, 0.999).all()
