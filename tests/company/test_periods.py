from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from crm_methods.company.periods import Period, current_period, months_before, previous_period, within
from crm_methods.company.settings import Company
from crm_methods.engine import collect
from tests.conftest import MakeFrame


def _company(as_of: dt.date, months: int) -> Company:
    return Company.model_validate(
        {
            "company": "A",
            "as_of": as_of,
            "currency": "EUR",
            "tables": {"deals": {"file": "d.csv"}},
            "segments": {"period_months": months},
        }
    )


@pytest.mark.parametrize(
    ("day", "months", "earlier"),
    [
        (dt.date(2025, 12, 31), 12, dt.date(2024, 12, 31)),
        (dt.date(2025, 2, 28), 12, dt.date(2024, 2, 29)),
        (dt.date(1998, 6, 30), 9, dt.date(1997, 9, 30)),
        (dt.date(2025, 3, 30), 1, dt.date(2025, 2, 28)),
        (dt.date(2025, 5, 15), 3, dt.date(2025, 2, 15)),
    ],
)
def test_the_end_of_a_month_stays_the_end_of_a_month(day: dt.date, months: int, earlier: dt.date):
    assert months_before(day, months) == earlier


@pytest.mark.parametrize("as_of", [dt.date(2025, 12, 31), dt.date(2024, 2, 29), dt.date(2025, 7, 14)])
@pytest.mark.parametrize("months", [1, 9, 12])
def test_periods_meet_without_gap_or_overlap(as_of: dt.date, months: int):
    now, before = current_period(_company(as_of, months)), previous_period(_company(as_of, months))

    assert now.end == as_of
    assert now.start == before.end + dt.timedelta(days=1)
    assert before.start < before.end


def test_a_period_says_itself():
    assert current_period(_company(dt.date(2025, 12, 31), 12)).label == "1 Jan 2025 to 31 Dec 2025"


def test_the_first_and_the_last_moment_of_a_period_lie_in_it_and_no_other(frames: MakeFrame):
    rows = pd.DataFrame(
        {
            "id": [1, 2, 3, 4],
            "at": pd.to_datetime(["2025-01-31 23:59:59", "2025-02-01 00:00:00", "2025-02-28 23:59:59", "2025-03-01 00:00:00"]),
        }
    )
    february = Period(dt.date(2025, 2, 1), dt.date(2025, 2, 28), 1)

    assert sorted(collect(frames(rows).filter(within("at", february)))["id"]) == [2, 3]
