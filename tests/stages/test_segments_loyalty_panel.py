"""Which quarters and purchases of a client count, and what they cost."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd
import pytest

from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.stages import segments_loyalty_panel as panel
from tests.stages.loyal_company import cost_at
from tests.stages.plain_canonical import plain_data

COST = cost_at(1.0)


@pytest.fixture
def made(tmp_path: Path) -> tuple[Canonical, Company]:
    """``a`` buys on four days from February 2024 to August 2025, ``b`` once; every contact takes ten minutes at 1 each."""
    days = ["2024-02-10", "2024-07-01", "2024-07-01", "2025-02-01", "2025-08-15"]
    bought = [("a", day, 100.0) for day in days] + [("b", "2023-01-05", 70.0)]
    at = ["2024-01-05", "2024-07-01", "2024-08-01", "2025-03-01", "2025-03-02", "2025-11-01"]
    asked = [(client, day) for client in "ab" for day in at]
    others = [("b", f"{year}-{month:02}-15") for year in (2024, 2025) for month in range(1, 13)]
    deals = pd.DataFrame(bought, columns=["client_id", "closed_on", "amount"])
    contacts = pd.DataFrame([*asked, *others], columns=["client_id", "started_at"])
    return plain_data(
        tmp_path,
        {
            "deals": deals.assign(closed_on=[dt.date.fromisoformat(day) for day in deals["closed_on"]]),
            "clients": pd.DataFrame({"client_id": ["a", "b"], "since": [dt.date(2024, 2, 1), None]}),
            "interactions": contacts.assign(started_at=pd.to_datetime(contacts["started_at"]) + pd.Timedelta(hours=9)),
        },
    )


def test_the_record_is_the_quarters_with_contacts(made: tuple[Canonical, Company], monkeypatch: pytest.MonkeyPatch):
    data, settings = made
    record = panel.cost_record(data, settings, COST)
    assert record is not None
    known = panel.histories(data, settings, record)

    assert (record.start, record.end, record.quarters) == (dt.date(2024, 1, 1), dt.date(2025, 12, 31), 8)
    # b bought for the last time before the record began.
    assert known.clients["client_id"].tolist() == ["a"]
    assert known.clients[["is_dated", "is_whole"]].to_numpy().tolist() == [[True, True]]
    monkeypatch.setattr(panel, "_MOST_QUARTERS", 3)
    shorter = panel.cost_record(data, settings, COST)
    assert shorter is not None
    assert (shorter.quarters, shorter.end) == (3, record.end)


def test_quarters_count_from_the_onboarding_to_the_last_purchase(made: tuple[Canonical, Company]):
    data, settings = made
    record = panel.cost_record(data, settings, COST)
    assert record is not None
    rows = panel.client_quarters(data, settings, record, panel.histories(data, settings, record))

    # From 10 February and 90 days: the third quarter of 2024 is the first one whole; the last purchase is in 2025 Q3.
    assert (rows["quarter"] - 4 * 2024).tolist() == [2, 3, 4, 5]
    assert rows["cost"].tolist() == pytest.approx([20.0, 0.0, 20.0, 0.0])
    assert rows["revenue"].tolist() == [200.0, 0.0, 100.0, 0.0]
    assert rows["years"].iloc[0] == pytest.approx(0.54, abs=0.01)
    assert rows["is_early"].all()
    assert not rows["is_late"].any()


def test_a_contact_counts_between_the_purchases_around_it(made: tuple[Canonical, Company]):
    data, settings = made
    record = panel.cost_record(data, settings, COST)
    assert record is not None
    rows = panel.client_purchases(data, settings, record, panel.histories(data, settings, record))

    # Two deals of one day are one purchase; a contact on that day comes before it, in the stretch that is left out.
    assert rows["so_far"].tolist() == [2, 3]
    assert rows["cost"].tolist() == pytest.approx([10.0, 20.0])


def test_of_too_many_clients_evenly_spread_ones_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    days = [dt.date(2025, 2, 1), dt.date(2025, 11, 1)]
    deals = pd.DataFrame([(f"c{i}", day) for i in range(9) for day in days], columns=["client_id", "closed_on"])
    data, settings = plain_data(tmp_path, {"deals": deals.assign(amount=1.0)})
    record = panel.CostRecord(4 * 2025, 4 * 2025 + 3, COST.table)
    monkeypatch.setattr(panel, "MAX_ROWS", 3 * record.quarters)
    known = panel.histories(data, settings, record)

    assert known.one_in == 3
    assert known.clients["client_id"].tolist() == ["c2", "c5", "c8"]
