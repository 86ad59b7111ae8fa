"""Stage 2 as a whole on bases that break tools: it ends, names what it rests on, and shows no nan and no inf."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crm_methods.company.answers import Answer, Unanswered
from crm_methods.engine import collect
from crm_methods.stages.segments_findings import Answers
from crm_methods.stages.segments_summary import conclusion
from crm_methods.stages.segments_tables import tables
from tests.conftest import MakeCompany
from tests.models.test_ladder_robustness import BASES, START
from tests.stages.stage_two import run_stage

STRANGE = re.compile(r"\b(nan|inf|None(?! of)|NaT)\b|<NA>")


def _deals(name: str) -> pd.DataFrame:
    rows = pd.DataFrame(BASES[name][0], columns=["client_id", "day", "amount"])
    days = [(START + pd.Timedelta(days=int(day))).date() for day in rows["day"].astype(float)]
    deals = rows.assign(closed_on=days, deal_id=[f"d{i}" for i in range(len(rows))], cost=rows["amount"].astype(float) * 0.6)
    return deals.drop(columns="day").astype({"amount": float})


def _contacts(deals: pd.DataFrame) -> pd.DataFrame:
    """A contact for every third deal of the last two years, on its day; for every deal where there is none."""
    late = deals[deals["closed_on"] > dt.date(2023, 12, 31)].iloc[::3]
    late = deals if late.empty else late
    started = pd.to_datetime(late["closed_on"])
    told = {"department": "support", "channel": "phone", "kind": "service", "handling_minutes": 20.0}
    return pd.DataFrame({"client_id": late["client_id"], "started_at": started, **told}).assign(
        interaction_id=lambda rows: [f"i{i}" for i in range(len(rows))]
    )


def _texts(found: Answers) -> list[str]:
    answers = [getattr(found, field.name) for field in dataclasses.fields(found)]
    return [answer.sentence for answer in answers if isinstance(answer, Answer | Unanswered)]


@pytest.mark.parametrize(
    "name",
    ["30 clients", "one client", "all one-timers", "no churn", "identical buyers", "clockwork", "amounts ×1e9", "amounts ×1e-3",
     "one buys daily", "losses only", "two years", "eight weeks"],
)  # fmt: skip
def test_an_odd_base_is_answered(make_company: MakeCompany, tmp_path: Path, name: str):
    deals = _deals(name)
    pool = {"name": "support", "cost_per_month": 1_000.0, "practical_minutes_per_month": 5_000.0}
    made = make_company(
        {"deals": deals, "interactions": _contacts(deals)},
        costs={"pools": [pool]},
        segments={"bootstraps": 20},
        lifetime_value={"bootstraps": 20},
    )
    data, settings = made.data, made.settings
    found = run_stage(data, settings, tmp_path / "tables")
    ended = conclusion(settings, found)

    said = [*_texts(found), *ended.findings, ended.decision, *(check.detail for check in ended.checks)]
    assert [text for text in said if STRANGE.search(text)] == []
    assert ("rest on" in found.card.sentence) is (name != "losses only")
    for table, result in tables(found).items():
        numbers = result.table.select_dtypes("number").to_numpy(dtype=float)
        assert not np.isinf(numbers).any(), table
    clients = collect(found.client_segments)
    assert clients[["segment", "strategy"]].notna().all().all()
    if name == "losses only":
        assert "no deal was won" in found.card.sentence
        return
    assert np.isfinite(clients[["clv", "clv_low", "clv_high", "expected_purchases"]].to_numpy(dtype=float)).all()
    assert (clients["clv_low"] <= clients["clv_high"]).all()
