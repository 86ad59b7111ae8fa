"""The test for regular buyers: silent on chance, loud on clocks, the same on every engine; and the next order."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

from crm_methods.engine import collect, day_of
from crm_methods.models import buying_rhythm
from crm_methods.models.purchase_history import gap_summary
from tests.models.populations import purchase_fit

AS_OF = dt.date(2025, 12, 31)
MakeFrame = Callable[[pd.DataFrame], "nw.LazyFrame[Any]"]


def purchases(shapes: dict[str, float], gaps: int, mean_days: float = 40.0, seed: int = 1) -> pd.DataFrame:
    """One client per name whose gaps are Erlang of that shape, in whole days; client, day, margin."""
    rng, rows = np.random.default_rng(seed), []
    for client, shape in shapes.items():
        waits = rng.gamma(shape, mean_days * rng.uniform(0.5, 2) / shape, gaps)
        days = sorted({0, *np.ceil(np.cumsum(waits)).astype(int).tolist()})
        rows += [(client, pd.Timestamp("2020-01-01") + pd.Timedelta(days=day), 1.0) for day in days]
    return pd.DataFrame(rows, columns=["client_id", "closed_on", "margin"])


def judged(frame: nw.LazyFrame[Any], make: MakeFrame) -> tuple[buying_rhythm.Rhythm, pd.DataFrame]:
    gaps = gap_summary(frame, dt.date(2045, 1, 1))
    rhythm = buying_rhythm.find_rhythm(gaps)
    return rhythm, collect(buying_rhythm.mark_regular(gaps, make(rhythm.cuts)).sort("client_id"))


def lazy(rows: pd.DataFrame) -> nw.LazyFrame[Any]:
    return nw.from_native(rows).lazy()


@pytest.mark.parametrize("mean_days", [3.0, 40.0])
def test_clients_that_buy_at_random_are_not_called_regular(mean_days: float) -> None:
    shapes = {f"c{i:04}": 1.0 for i in range(1500)}
    rhythm, rows = judged(lazy(purchases(shapes, 12, mean_days)), lazy)
    # Benjamini-Hochberg finds anything at all in 5 % of such bases, and here little.
    assert rhythm.regular <= 3
    assert rows["regular"].sum() == rhythm.regular


def test_most_clients_like_a_clock_are_found_and_few_others() -> None:
    shapes = {f"r{i:03}": 6.0 for i in range(150)} | {f"z{i:03}": 1.0 for i in range(350)}
    rhythm, rows = judged(lazy(purchases(shapes, 12)), lazy)
    is_clock = rows["client_id"].str.startswith("r")
    assert rows.loc[is_clock, "regular"].mean() > 0.8
    assert rows.loc[~is_clock, "regular"].sum() <= 0.05 * rhythm.regular + 4
    assert buying_rhythm.is_own_population(rhythm)


@pytest.mark.parametrize("k", [1.0, 4.0])
def test_the_regularity_of_the_base_comes_back(k: float) -> None:
    rhythm, _ = judged(lazy(purchases({f"c{i:03}": k for i in range(400)}, 8)), lazy)
    assert rhythm.k_low < k < rhythm.k_high
    assert rhythm.k == pytest.approx(k, rel=0.15)


def test_every_engine_finds_the_same_clients(frames: MakeFrame) -> None:
    rows = purchases({f"c{i:02}": 8.0 if i < 10 else 1.0 for i in range(30)}, 10)
    here, marked = judged(frames(rows), frames)
    there, expected = judged(lazy(rows), lazy)
    assert (here.tested, here.regular, here.k) == (there.tested, there.regular, pytest.approx(there.k))
    assert here.regular > 4
    assert marked["regular"].tolist() == expected["regular"].tolist()


def test_a_base_without_gaps_has_no_rhythm() -> None:
    rhythm, rows = judged(lazy(purchases({"a": 1.0}, 0)), lazy)
    assert (rhythm.clients, rhythm.tested, rhythm.regular) == (0, 0, 0)
    assert np.isnan(rhythm.k)
    assert rows.empty
    assert not buying_rhythm.is_own_population(rhythm)


def test_clients_that_never_differ_are_as_regular_as_can_be() -> None:
    days = pd.to_datetime(["2025-01-01", "2025-02-01", "2025-03-04", "2025-04-04", "2025-05-05", "2025-06-05"])
    rows = pd.concat([pd.DataFrame({"client_id": f"c{i:02}", "closed_on": days, "margin": 1.0}) for i in range(30)])
    rhythm, marked = judged(lazy(rows), lazy)
    assert rhythm.k == np.inf
    assert marked["regular"].all()


REGULAR = purchase_fit("mbg_cnbd_k", {"r": 5.0, "alpha": 50.0, "a": 0.1, "b": 5.0, "k": 6.0})


def test_waiting_times_are_those_of_simulated_clients() -> None:
    rng, size, gaps, days = np.random.default_rng(3), 200_000, 4, 250.0
    rate = rng.gamma(5 + 6 * gaps, size=size) / (50 + days)
    waits = rng.gamma(6, size=size) / rate
    row = buying_rhythm.waiting_times(REGULAR, 9).set_index("gaps").loc[gaps] * (50 + days)
    assert row["mean"] == pytest.approx(waits.mean(), rel=0.01)
    np.testing.assert_allclose(row[["low", "high", "overdue"]], np.quantile(waits, [0.1, 0.9, 0.975]), rtol=0.01)


def test_the_next_order_is_told_on_every_engine(frames: MakeFrame) -> None:
    last = dt.date(2025, 11, 1)
    gaps = pd.DataFrame(
        {
            "client_id": ["due", "overdue", "random"], "gaps": [10, 10, 10], "gap_sum": [600.0, 200.0, 600.0],
            "last_on": pd.to_datetime([last] * 3), "last_day": [day_of(last)] * 3, "regular": [True, True, False],
        }
    )  # fmt: skip
    calendar = buying_rhythm.days_of_calendar(last, dt.date(2026, 12, 31))
    waits = buying_rhythm.waiting_times(REGULAR, 10)
    found = collect(buying_rhythm.next_orders(frames(gaps), frames(waits), frames(calendar), REGULAR, AS_OF).sort("client_id"))
    rows, row = found.set_index("client_id"), waits.iloc[-1]
    expected = last + dt.timedelta(days=round(650 * row["mean"]))
    assert rows.loc["due", "usual_gap_days"] == pytest.approx(650 * row["mean"])
    assert pd.Timestamp(rows.loc["due", "next_order_on"]).date() == expected
    assert rows.loc["due", "next_order_from"] < rows.loc["due", "next_order_on"] < rows.loc["due", "next_order_until"]
    assert rows.loc["due", "days_overdue"] == 0
    assert rows.loc["overdue", "days_overdue"] == int(60 - 250 * row["overdue"])
    assert rows["order_state"].fillna("").to_dict() == {"due": "soon", "overdue": "overdue", "random": ""}
    assert rows.loc["random", ["usual_gap_days", "next_order_on", "days_overdue"]].isna().all()
