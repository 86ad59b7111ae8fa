"""ABC by cumulative revenue, XYZ by the variation of months."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.engine import collect
from crm_methods.stages.segments_abc import AbcXyz, abc_xyz
from tests.stages.plain_canonical import plain_data

MONTHS = [dt.date(2024 + m // 12, m % 12 + 1, 15) for m in range(24)]


def _company(tmp_path: Path, deals: list[tuple[str, dt.date, float]]) -> tuple[Canonical, Company]:
    return plain_data(tmp_path, {"deals": pd.DataFrame(deals, columns=["client_id", "closed_on", "amount"])})


def _classed(plain: tuple[Canonical, Company]) -> tuple[AbcXyz, pd.DataFrame]:
    found = abc_xyz(*plain)
    assert isinstance(found, AbcXyz)
    return found, collect(found.per_client).set_index("client_id").sort_index()


def test_steadiness_is_the_variation_of_months_since_the_first_purchase(tmp_path: Path):
    deals = [("clock", month, 100.0) for month in MONTHS]
    deals += [("late", month, 100.0) for month in MONTHS[-8:]]
    deals += [("every_other", month, 100.0) for month in MONTHS[::2]]
    deals += [("rare", MONTHS[0], 100.0), ("rare", MONTHS[20], 100.0)]
    deals += [("new", month, 100.0) for month in MONTHS[-3:]]
    deals += [("gone", dt.date(2022, 5, 1), 100.0)]
    _, rows = _classed(_company(tmp_path, deals))

    assert rows["xyz"].to_dict() == {"clock": "X", "late": "X", "every_other": "Z", "rare": "Z", "new": "new", "gone": "none"}
    assert rows["months"].to_dict() == {"clock": 24, "late": 8, "every_other": 24, "rare": 24, "new": 3, "gone": 24}
    amounts = [100.0, 0.0] * 12
    assert rows.loc["every_other", "variation"] == pytest.approx(np.std(amounts, ddof=1) / np.mean(amounts), abs=1e-6)
    assert rows.loc["gone", "abc"] == "none"


def test_classes_by_cumulative_revenue_with_ties_together(tmp_path: Path):
    amounts = {"a": 50.0, "b": 20.0, "c": 10.0, "d": 10.0, "e": 6.0, "f": 4.0}
    deals = [(client, dt.date(2025, 3, 1), amount) for client, amount in amounts.items()]
    deals += [("g", dt.date(2025, 3, 1), 5.0), ("g", dt.date(2025, 4, 1), -7.0)]
    found, rows = _classed(_company(tmp_path, deals))

    assert "".join(rows["abc"].loc[list("abcdef")]) == "AAAABC"
    assert rows.loc["g", "abc"] == "none"
    assert rows.loc["g", "revenue"] == -2.0
    assert found.cells["clients"].sum() == 7
    assert found.cells["revenue"].sum() == pytest.approx(98.0)
    assert found.gini is None
    assert found.top["revenue_share"].tolist() == pytest.approx([0.5, 0.96])
    assert found.sentence.startswith("Of 6 clients with revenue, 4 (67%) bring 90% of it (class A), 1 6% (B) and 1 4% (C).")


def test_the_unit_of_currency_changes_no_class(tmp_path: Path):
    rng = np.random.default_rng(4)
    deals = [(f"c{i:02}", month, float(rng.lognormal(3, 1.5))) for i in range(25) for month in MONTHS[:: 1 + i % 4]]
    _, rows = _classed(_company(tmp_path, deals))
    _, large = _classed(_company(tmp_path, [(client, day, amount * 1e9) for client, day, amount in deals]))

    assert rows[["abc", "xyz"]].equals(large[["abc", "xyz"]])
    assert rows["variation"].to_numpy() == pytest.approx(large["variation"].to_numpy(), abs=1e-5)


def test_one_client_and_no_client(tmp_path: Path):
    alone, _ = _classed(_company(tmp_path, [("a", MONTHS[-1], 10.0)]))
    nobody = _company(tmp_path, [("a", dt.date(2020, 1, 1), 10.0)])

    assert alone.sentence.startswith("One client brings all of the revenue. Steadiness can't be judged")
    assert isinstance(abc_xyz(*nobody), Unanswered)
