"""Whether cost falls with loyalty: a known fall is found and drift is taken out, or it is said why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.stages.segments_loyalty import Loyalty, loyalty
from tests.stages.loyal_company import DRIFT, FALL, cost_at, loyal_company


def _asked(tmp_path: Path, **told: int) -> Loyalty | Unanswered:
    return loyalty(*loyal_company(tmp_path, **told), cost_at(1.0))


def test_a_fall_is_told_apart_from_what_all_costs_do(tmp_path: Path):
    found = _asked(tmp_path)
    assert isinstance(found, Loyalty)
    slopes = {name: slope for name, slope in found.estimates.items() if slope is not None}

    assert found.lead == "beside_others"
    assert slopes["beside_others"].low <= FALL <= slopes["beside_others"].high < 0
    assert slopes["late"].slope == pytest.approx(DRIFT, abs=0.03)
    # Alone, the young show the fall and the drift in one.
    assert slopes["early"].slope == pytest.approx(FALL + DRIFT, abs=0.05)
    assert slopes["per_purchase"].high < 0
    assert found.sentence.startswith("Within a client, cost falls by 1")
    assert found.table["measure"].iloc[0] == "First four years, beside older clients"
    assert (found.table["low_share"] < found.table["high_share"]).all()


def test_without_older_clients_the_drift_is_named(tmp_path: Path):
    found = _asked(tmp_path, old=0)
    assert isinstance(found, Loyalty)

    assert found.lead == "early"
    assert "can't be taken out" in found.sentence
    assert found.table.loc[found.table["measure"] == "After four years: drift", "note"].item() == "too few"


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"days": 250}, "whole quarters"),
        ({"old": 6, "young": 5}, "15 are the least"),
    ],
    ids=["eight months", "eleven clients"],
)
def test_too_little_is_said_to_be_too_little(tmp_path: Path, told: dict[str, int], reason: str):
    found = _asked(tmp_path, **told)

    assert isinstance(found, Unanswered)
    assert reason in found.sentence
