from __future__ import annotations

import datetime as dt
import itertools

import narwhals as nw
import pandas as pd
import pytest

from crm_methods.engine import collect, day_of
from crm_methods.models.payment_delay import overdue_invoices, payment_cost_by_client
from tests.conftest import MakeFrame

DAYS = ["due_on", "paid_on"]
INVOICES = pd.DataFrame(
    [
        ("late", "a", 36_500.0, "2025-03-10", "2025-03-20"),
        ("in time", "a", 1_000.0, "2025-03-10", "2025-03-10"),
        ("early", "b", 1_000.0, "2025-03-10", "2025-01-02"),
        ("open", "b", 1_000.0, "2025-06-20", None),
        ("paid after the end", "b", 1_000.0, "2025-06-25", "2025-08-01"),
        ("before the period", "c", 1_000.0, "2024-12-01", "2025-01-04"),
        ("not due yet", "c", 1_000.0, "2025-09-01", None),
        ("credit note", "c", -1_000.0, "2025-01-01", None),
        ("without a due day", "c", 1_000.0, None, None),
    ],
    columns=["invoice_id", "client_id", "amount", *DAYS],
).assign(**{day: lambda d, day=day: pd.to_datetime(d[day]) for day in DAYS})
START, END = dt.date(2025, 1, 1), dt.date(2025, 6, 30)


def in_memory(df: pd.DataFrame) -> nw.LazyFrame:
    return nw.from_native(df).lazy()


def overdue_days(start: dt.date, end: dt.date) -> pd.Series:
    counted = collect(overdue_invoices(in_memory(INVOICES), start=start, end=end))
    return counted.set_index("invoice_id")["overdue_days"]


def test_overdue_days_are_counted_alike_on_every_engine(frames: MakeFrame):
    counted = collect(overdue_invoices(frames(INVOICES), start=START, end=END)).set_index("invoice_id")

    assert counted["overdue_days"].to_dict() == {
        "late": 10, "in time": 0, "early": 0, "open": 10, "paid after the end": 5, "before the period": 4, "not due yet": 0,
    }  # fmt: skip
    assert counted["days_late"]["before the period"] == 34
    assert counted.index[counted["is_open"] == 1].sort_values().tolist() == ["not due yet", "open", "paid after the end"]
    cost = collect(payment_cost_by_client(frames(INVOICES), start=START, end=END, yearly_rate=0.1))
    # 36,500 for 10 days at 10 % a year are 100.
    assert cost.set_index("client_id")["payment_cost"].to_dict() == pytest.approx(
        {"a": 100.0, "b": 1_000 * 15 / 365 * 0.1, "c": 1_000 * 4 / 365 * 0.1}, abs=1e-6
    )


def test_overdue_days_of_following_periods_add_up():
    months = [dt.date(2025, month, 1) for month in range(1, 8)]
    known = overdue_days(START, END)
    # An invoice that was open at the end of an earlier month counts there up to that end.
    parts = [overdue_days(a, b - dt.timedelta(days=1)) for a, b in itertools.pairwise(months)]

    assert sum(parts).to_dict() == known.to_dict()


def test_a_period_of_its_own_narrows_the_days_of_a_row():
    windows = INVOICES.assign(since=day_of(dt.date(2025, 3, 15)), until=day_of(dt.date(2025, 3, 18)))
    counted = collect(overdue_invoices(in_memory(windows), start=START, end=END, since="since", until="until"))

    assert counted.set_index("invoice_id")["overdue_days"].loc[["late", "open"]].tolist() == [4, 0]
