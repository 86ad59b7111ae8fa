"""The purchase summary: its laws, on every engine, and lifetimes' own summary of CDNOW."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

from crm_methods.engine import collect
from crm_methods.errors import TableContractError
from crm_methods.models import purchase_history

AS_OF = dt.date(1997, 9, 30)
MakeFrame = Callable[[pd.DataFrame], "nw.LazyFrame[Any]"]


def six_purchases() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "client_id": ["a", "a", "a", "a", "b", "c"],
            "closed_on": pd.to_datetime(["2024-01-31", "2024-01-31", "2024-02-29", "2025-01-31", "2024-12-31", "2025-06-30"]),
            "margin": [10.0, 5.0, 30.0, 50.0, 7.0, 99.0],
        }
    )


def by_client(frame: nw.LazyFrame[Any]) -> pd.DataFrame:
    return collect(frame.sort("client_id"))


def test_purchases_of_one_day_are_one_occasion(frames: MakeFrame) -> None:
    summary = by_client(purchase_history.purchase_summary(frames(six_purchases()), dt.date(2025, 2, 1)))
    expected = pd.DataFrame(
        {
            "client_id": ["a", "b"],
            "x": [2, 0],
            "t_x": [366, 0],
            "T": [367, 32],
            "mean_margin": [40.0, 0.0],
            "margin": [95.0, 7.0],
            "first_on": pd.to_datetime(["2024-01-31", "2024-12-31"]),
            "last_on": pd.to_datetime(["2025-01-31", "2024-12-31"]),
        }
    )
    pd.testing.assert_frame_equal(summary, expected, check_dtype=False)


def test_holdout_counts_what_known_clients_bought_afterwards(frames: MakeFrame) -> None:
    split = purchase_history.calibration_holdout(frames(six_purchases()), dt.date(2024, 12, 31), dt.date(2025, 6, 30))
    expected = pd.DataFrame(
        {
            "client_id": ["a", "b"],
            "x": [1, 0],
            "t_x": [29, 0],
            "T": [335, 0],
            "mean_margin": [30.0, 0.0],
            "x_holdout": [1, 0],
            "margin_holdout": [50.0, 0.0],
            "holdout_days": [181, 181],
        }
    )
    pd.testing.assert_frame_equal(by_client(split), expected, check_dtype=False)


def test_every_engine_gives_the_same_summary_of_cdnow(frames: MakeFrame, cdnow_purchases: pd.DataFrame) -> None:
    here = by_client(purchase_history.purchase_summary(frames(cdnow_purchases), AS_OF, money="revenue"))
    on_pandas = by_client(purchase_history.purchase_summary(nw.from_native(cdnow_purchases).lazy(), AS_OF, money="revenue"))
    pd.testing.assert_frame_equal(here, on_pandas, check_dtype=False, rtol=1e-12)


@pytest.mark.parametrize(("merge", "frequency", "days"), [("day", "D", 1), ("week", "W", 7)])
def test_summary_equals_lifetimes_own(cdnow_purchases: pd.DataFrame, merge: Any, frequency: str, days: int) -> None:
    from lifetimes.utils import summary_data_from_transaction_data

    until = cdnow_purchases[cdnow_purchases["closed_on"] <= pd.Timestamp(AS_OF)]
    theirs = summary_data_from_transaction_data(
        until, "client_id", "closed_on", "revenue", observation_period_end=str(AS_OF), freq="D"
    )
    if frequency == "W":
        # lifetimes can't divide by a week under pandas 3; the Mondays it would merge to are made here.
        mondays = until.assign(closed_on=until["closed_on"].dt.to_period("W").dt.start_time)
        end = pd.Timestamp(AS_OF).to_period("W").start_time
        theirs = summary_data_from_transaction_data(
            mondays, "client_id", "closed_on", "revenue", observation_period_end=str(end.date()), freq="D"
        )
    summary = purchase_history.purchase_summary(nw.from_native(cdnow_purchases).lazy(), AS_OF, merge, money="revenue")
    ours = by_client(summary).set_index("client_id").loc[theirs.index]
    for mine, other in (("x", "frequency"), ("t_x", "recency"), ("T", "T")):
        np.testing.assert_array_equal(ours[mine], theirs[other])
    np.testing.assert_allclose(ours["mean_revenue"], theirs["monetary_value"], rtol=1e-12)
    assert (ours[["t_x", "T"]] % days == 0).all(axis=None)


def test_calibration_is_the_summary_of_the_calibration_period(cdnow_purchases: pd.DataFrame) -> None:
    frame = nw.from_native(cdnow_purchases).lazy()
    split = by_client(purchase_history.calibration_holdout(frame, AS_OF, dt.date(1998, 6, 30), money="revenue"))
    summary = by_client(purchase_history.purchase_summary(frame, AS_OF, money="revenue"))
    columns = ["client_id", "x", "t_x", "T", "mean_revenue"]
    pd.testing.assert_frame_equal(split[columns], summary[columns])
    assert split["x_holdout"].sum() == 1882


def test_the_triples_count_every_client_once_in_any_order_of_rows(frames: MakeFrame, cdnow_purchases: pd.DataFrame) -> None:
    shuffled = cdnow_purchases.sample(frac=1, random_state=3).reset_index(drop=True)
    triples = [
        purchase_history.unique_triples(purchase_history.purchase_summary(frames(rows), AS_OF, money="revenue"))
        for rows in (cdnow_purchases, shuffled)
    ]
    pd.testing.assert_frame_equal(*triples)
    assert triples[0]["n"].sum() == 2357
    assert not triples[0].duplicated(["x", "t_x", "T"]).any()


def test_the_spends_count_every_repeat_buyer_once(cdnow_purchases: pd.DataFrame) -> None:
    summary = purchase_history.purchase_summary(nw.from_native(cdnow_purchases).lazy(), AS_OF, money="revenue")
    spends = purchase_history.unique_spends(summary, "revenue")
    assert spends["n"].sum() == 946
    assert spends["x"].min() == 1


def test_sums_of_decimals_stay_exact() -> None:
    from decimal import Decimal

    import duckdb

    rows = duckdb.connect().sql(
        "SELECT 'a' AS client_id, DATE '2024-01-01' + (i // 2)::INTEGER AS closed_on, 0.1::DECIMAL(18, 4) AS margin "
        "FROM range(60) t(i)"
    )
    summary = nw.to_native(purchase_history.purchase_summary(nw.from_native(rows).lazy(), dt.date(2024, 12, 31)))
    assert summary.project("margin, mean_margin, x").fetchall() == [(Decimal("6.0000"), pytest.approx(0.2), 29)]


def test_no_purchases_make_an_empty_summary(frames: MakeFrame) -> None:
    summary = by_client(purchase_history.purchase_summary(frames(six_purchases()), dt.date(2020, 1, 1)))
    assert list(summary.columns) == ["client_id", "x", "t_x", "T", "mean_margin", "margin", "first_on", "last_on"]
    assert summary.empty


def test_the_input_is_untouched() -> None:
    rows = six_purchases()
    collect(purchase_history.purchase_summary(nw.from_native(rows).lazy(), AS_OF))
    pd.testing.assert_frame_equal(rows, six_purchases())


def test_all_missing_columns_are_named_together() -> None:
    frame = nw.from_native(pd.DataFrame({"client": ["a"]})).lazy()
    with pytest.raises(TableContractError, match=r"(?s)client_id.*closed_on.*margin"):
        purchase_history.purchase_summary(frame, AS_OF)


def test_a_holdout_needs_days() -> None:
    with pytest.raises(ValueError, match="must be before"):
        purchase_history.calibration_holdout(nw.from_native(six_purchases()).lazy(), AS_OF, AS_OF)


def test_gaps_are_measured_between_days_of_purchase(frames: MakeFrame) -> None:
    gaps = by_client(purchase_history.gap_summary(frames(six_purchases()), dt.date(2025, 2, 1)))
    (row,) = gaps.to_dict("records")
    first, second = 29, 337
    assert (row["client_id"], row["gaps"], row["pairs"], row["gap_sum"]) == ("a", 2, 1, 366)
    assert row["gap_square_sum"] == first**2 + second**2
    assert row["gap_log_sum"] == pytest.approx(np.log(first) + np.log(second))
    # The mean logarithm of a wait between g − 1 and g days.
    waits = sum(np.log(np.linspace(g - 1, g, 20_001)[:-1] + 1 / 40_000).mean() for g in (first, second))
    assert row["wait_log_sum"] == pytest.approx(waits, rel=1e-6)
    assert row["pair_square_sum"] == pytest.approx((first / (first + second) - 0.5) ** 2)
    assert pd.Timestamp(row["last_on"]) == pd.Timestamp("2025-01-31")
    assert row["last_day"] == (dt.date(2025, 1, 31) - dt.date(1970, 1, 1)).days


def test_gaps_and_their_sum_are_x_and_t_x(cdnow_purchases: pd.DataFrame) -> None:
    frame = nw.from_native(cdnow_purchases).lazy()
    gaps = by_client(purchase_history.gap_summary(frame, AS_OF, money="revenue"))
    summary = by_client(purchase_history.purchase_summary(frame, AS_OF, money="revenue")).query("x > 0")
    assert gaps["client_id"].tolist() == summary["client_id"].tolist()
    assert gaps["gaps"].tolist() == summary["x"].tolist()
    assert gaps["gap_sum"].tolist() == summary["t_x"].tolist()
