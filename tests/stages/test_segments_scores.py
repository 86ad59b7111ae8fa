"""RFM scores: fifths with ties together, or the company's own cut points."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd
import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.engine import collect
from crm_methods.stages.segments_scores import Scores, scores
from tests.stages.plain_canonical import plain_data

AS_OF = dt.date(2025, 12, 31)
Plain = tuple[Canonical, Company]


def _company(tmp_path: Path, clients: dict[str, tuple[int, int, float]], **settings: object) -> Plain:
    """Per client: days since the last purchase, purchases, amount of each."""
    rows = [
        (client, AS_OF - dt.timedelta(days=days + n), amount)
        for client, (days, count, amount) in clients.items()
        for n in range(count)
    ]
    return plain_data(
        tmp_path, {"deals": pd.DataFrame(rows, columns=["client_id", "closed_on", "amount"])}, as_of=AS_OF, **settings
    )


def _deals(tmp_path: Path, rows: list[tuple[str, dt.date, float]], **settings: object) -> Plain:
    return plain_data(tmp_path, {"deals": pd.DataFrame(rows, columns=["client_id", "closed_on", "amount"])}, **settings)


def _scored(plain: Plain) -> tuple[Scores, pd.DataFrame]:
    found = scores(*plain)
    assert isinstance(found, Scores)
    return found, collect(found.per_client).set_index("client_id").sort_index()


def test_fifths_by_value_and_recency_reversed(tmp_path: Path):
    found, rows = _scored(_company(tmp_path, {f"c{i}": (10 * i, 10 - i, 100.0 + i) for i in range(10)}))

    assert rows["recency_score"].tolist() == [5, 5, 4, 4, 3, 3, 2, 2, 1, 1]
    assert rows["frequency_score"].tolist() == [5, 5, 4, 4, 3, 3, 2, 2, 1, 1]
    assert rows.loc["c0", "rfm"] == "555"
    assert found.cells["clients"].sum() == 10
    assert found.cells["revenue_share"].sum() == pytest.approx(1)
    assert found.table["recency"].tolist()[0] == "5: up to 10 days ago"
    assert found.labels["frequency_5"] == "5: 9 orders or more"


def test_equal_clients_have_equal_scores(tmp_path: Path):
    clients = {f"c{i}": (500, 1, 100.0) for i in range(6)} | {f"d{i}": (5 + i, 2 + i, 100.0) for i in range(4)}
    _, rows = _scored(_company(tmp_path, clients))

    # Six in ten have no order in the period: they are the lowest, and the others begin at the fourth fifth.
    assert rows["frequency_score"].tolist() == [1] * 6 + [4, 4, 5, 5]
    found, same = _scored(_company(tmp_path, {f"c{i}": (9, 2, 10.0) for i in range(7)}))
    assert set(same["rfm"]) == {"111"}
    assert "alike in recency, frequency and money" in found.sentence


def test_own_cut_points_are_reached_at_their_value(tmp_path: Path):
    own = {"recency_days": [30.0, 90.0, 180.0, 365.0], "frequency": [2.0, 4.0, 8.0, 16.0], "money": [100.0, 200.0, 300.0, 400.0]}
    clients = {"a": (30, 1, 400.0), "b": (31, 2, 50.0), "c": (365, 1, 1.0), "d": (366, 1, 1.0)}
    found, rows = _scored(_company(tmp_path, clients, segments={"scores": own, "period_months": 12}))

    assert rows["recency_score"].tolist() == [5, 4, 2, 1]
    assert rows["frequency_score"].tolist() == [1, 2, 1, 1]
    assert rows["money_score"].tolist() == [5, 2, 1, 1]
    assert (found.cuts["source"] == "company.yml").all()
    assert "the company's own" in found.sentence


def test_returns_lower_money_but_are_no_orders(tmp_path: Path):
    day = dt.date(2025, 11, 21)
    rows = [("a", day, 100.0), ("a", day, 150.0), ("a", dt.date(2025, 12, 30), -50.0), ("b", day, -500.0)]
    _, found = _scored(
        plain_data(tmp_path, {"deals": pd.DataFrame(rows, columns=["client_id", "closed_on", "amount"])}, as_of=AS_OF)
    )

    assert found.index.tolist() == ["a"]
    assert found.loc["a", ["recency_days", "orders", "revenue"]].tolist() == [40, 2, 200.0]
    assert isinstance(scores(*_deals(tmp_path, rows[-1:])), Unanswered)


@pytest.mark.parametrize("cuts", [[1.0, 2.0, 3.0], [1.0, 3.0, 2.0, 4.0], [1.0, 1.0, 2.0, 3.0]])
def test_cut_points_that_make_no_five_scores_are_refused(tmp_path: Path, cuts: list[float]):
    with pytest.raises(ValueError, match="frequency"):
        _scored(_company(tmp_path, {"a": (1, 1, 1.0)}, segments={"scores": {"frequency": cuts}}))
