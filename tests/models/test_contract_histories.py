"""Contracts as companies write them down, and what each way says of the renewals that were faced."""

from __future__ import annotations

import datetime as dt
from typing import Any

import narwhals as nw
import pandas as pd
import pytest

from crm_methods.models.contract_histories import standing, terms_of_deals, terms_of_table, usual_term
from tests.conftest import MakeFrame

AS_OF = dt.date(2025, 12, 31)
COLUMNS = ["contract_id", "client_id", "starts_on", "ends_on", "value_per_month", "ended_by"]
TABLE: list[tuple[Any, ...]] = [
    ("prolonged", "a", "2022-03-01", "2026-02-28", 10.0, None),
    ("ended", "b", "2022-03-01", "2024-02-29", 10.0, "client"),
    ("ran out", "c", "2024-03-01", "2025-02-28", 10.0, "expiry"),
    ("broken off", "d", "2024-01-01", "2025-07-15", 10.0, "client"),
    ("open", "e", "2023-06-15", None, 10.0, None),
    ("notice", "f", "2024-05-01", "2026-04-30", 10.0, "client"),
    ("unknown end", "g", "2023-01-01", None, 10.0, "client"),
    ("impossible end", "g", "2023-01-01", "2020-01-01", 10.0, None),
    ("to come", "h", "2026-04-01", "2027-03-31", 10.0, None),
    # A row per term, the last at a new price; beside it another contract of the same client.
    ("term 1", "i", "2023-01-01", "2023-12-31", 10.0, None),
    ("term 2", "i", "2024-01-01", "2024-12-31", 10.0, "expiry"),
    ("term 3", "i", "2025-01-15", "2026-01-14", 12.0, None),
    ("beside", "i", "2023-09-01", "2024-08-31", 5.0, "client"),
    ("new after leaving", "b", "2024-03-05", "2026-03-04", 9.0, None),
]


def _dated(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.assign(**{name: pd.to_datetime(frame[name]) for name in ("starts_on", "ends_on")})


def test_each_way_of_writing_contracts_down_gives_the_renewals_they_faced(frames: MakeFrame):
    terms = terms_of_table(frames(_dated(TABLE)))
    found = standing(terms, AS_OF, 12).set_index("contract_id")

    facts = found[["running", "ended_at", "survived", "renewable"]].apply(tuple, axis=1).to_dict()
    assert facts == {
        "prolonged": (True, 0, 3, True),
        "ended": (False, 2, 1, True),
        "ran out": (False, 1, 0, True),
        "broken off": (False, 2, 1, True),
        "open": (True, 0, 2, True),
        "notice": (True, 0, 1, False),
        "unknown end": (False, 0, 0, True),
        "impossible end": (False, 0, 0, True),
        "to come": (True, 0, 0, True),
        "term 3": (True, 0, 2, True),
        "beside": (False, 1, 0, True),
        "new after leaving": (True, 0, 1, True),
    }
    assert found["months_to_renewal"].round(1).to_dict() == {
        **dict.fromkeys(found.index, 0.0), "prolonged": 1.9, "open": 5.4, "notice": 3.9, "to come": 14.9, "term 3": 0.5,
        "new after leaving": 2.1,
    }  # fmt: skip
    assert found.loc["to come", "months_to_start"] == pytest.approx(3.0, abs=0.02)
    assert found.loc["term 3", "value_per_month"] == 12.0


def test_monthly_terms_are_joined_and_not_carried_on_by_themselves():
    starts = pd.date_range("2025-03-01", "2025-12-01", freq="MS")
    rows = [(f"m{i}", "a", day, day + pd.offsets.MonthEnd(), 1.0, None) for i, day in enumerate(starts)]
    terms = terms_of_table(nw.from_native(_dated(rows)).lazy())

    assert len(terms) == 1
    # The last day of December is the day of the analysis: the tenth term still runs.
    assert standing(terms, AS_OF, 1)[["running", "survived"]].to_numpy().tolist() == [[True, 9]]


def _bills(client: str, first: str, months: int, count: int) -> list[tuple[str, pd.Timestamp, float]]:
    return [(client, pd.Timestamp(first) + pd.DateOffset(months=months * n), 30.0) for n in range(count)]


def test_bills_show_how_long_a_contract_ran(frames: MakeFrame):
    rows = [
        *_bills("quarterly, runs", "2023-01-10", 3, 12),
        *_bills("quarterly, ended", "2023-01-10", 3, 4),
        *_bills("yearly, runs", "2023-05-01", 12, 3),
        *_bills("yearly, ended", "2022-03-01", 12, 2),
        *_bills("one bill of late", "2025-11-20", 3, 1),
        *_bills("later than today", "2026-02-01", 3, 1),
    ]
    terms = terms_of_deals(frames(pd.DataFrame(rows, columns=["client_id", "closed_on", "amount"])), AS_OF, 12)
    found = standing(terms, AS_OF, 12).set_index("client_id")

    assert found[["running", "ended_at", "survived"]].apply(tuple, axis=1).to_dict() == {
        "quarterly, runs": (True, 0, 2),
        "quarterly, ended": (False, 1, 0),
        "yearly, runs": (True, 0, 2),
        # Two bills are one gap: the usual one of all clients is taken, and both say it is over.
        "yearly, ended": (False, 2, 1),
        "one bill of late": (True, 0, 0),
    }
    assert found.loc["quarterly, runs", "value_per_month"] == pytest.approx(10.0, rel=0.01)
    assert found.loc["quarterly, runs", "months_to_renewal"] == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize(("months", "count"), [(1, 20), (3, 20), (6, 5), (12, 4), (24, 20), (36, 20)])
def test_the_term_is_read_off_the_lengths(months: int, count: int):
    start = pd.Timestamp("2019-01-01")
    terms = pd.DataFrame({"start": 17_000.0, "end": [17_000.0 + (start + pd.DateOffset(months=months) - start).days] * count})

    assert usual_term(terms, AS_OF) == (months, True)


def test_lengths_without_a_pattern_leave_the_usual_year():
    lengths = pd.Series([100.0, 217.0, 290.0, 400.0, 500.0, 640.0])

    assert usual_term(pd.DataFrame({"start": 17_000.0, "end": 17_000.0 + lengths}), AS_OF) == (12, False)
    assert usual_term(pd.DataFrame({"start": [17_000.0] * 2, "end": [17_730.0] * 2}), AS_OF) == (12, True)


def test_contracts_signed_on_one_day_and_prolonged_yearly_have_yearly_terms():
    today = float((AS_OF - dt.date(1970, 1, 1)).days)
    prolonged = pd.DataFrame({"start": [today - 915.0] * 20, "end": [today + 181.0] * 20})
    signed_for_three_years = prolonged.assign(start=[today - 50.0 * n for n in range(20)])
    signed_for_three_years = signed_for_three_years.assign(end=signed_for_three_years["start"] + 1096)

    assert usual_term(prolonged, AS_OF) == (12, True)
    assert usual_term(signed_for_three_years, AS_OF) == (36, True)
