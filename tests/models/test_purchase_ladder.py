"""The ladder's ends: who stands on which rung, and what is kept of the way there."""

from __future__ import annotations

import datetime as dt
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

from crm_methods.models.purchase_history import calibration_holdout, purchase_summary
from crm_methods.models.purchase_ladder import BuyingDays, Histories, RegularBuyers, climb_down, in_words, regular_ladder

AS_OF, END = dt.date(2025, 12, 31), dt.date(2025, 6, 30)


def bought(clients: int, shape: float, gap_days: float, seed: int = 3) -> pd.DataFrame:
    rng, rows = np.random.default_rng(seed), []
    for client in range(clients):
        day = float(rng.integers(0, 300))
        while day < 1090 and rng.random() > 0.03:
            rows.append((f"c{client:03}", pd.Timestamp("2023-01-06") + pd.Timedelta(days=int(day)), 100.0))
            day += rng.gamma(shape, gap_days / shape) + 1
    return pd.DataFrame(rows, columns=["client_id", "closed_on", "margin"])


def of(rows: pd.DataFrame) -> tuple[Histories, nw.LazyFrame[Any]]:
    frame = nw.from_native(rows).lazy()
    return Histories.of(purchase_summary(frame, AS_OF), calibration_holdout(frame, END, AS_OF)), frame


def test_the_ladder_keeps_the_model_from_before_the_holdout() -> None:
    histories, frame = of(bought(80, 1.0, 60))
    ladder = climb_down(histories, BuyingDays(frame, AS_OF, END), with_lifetimes=False)
    assert ladder.rung.rung in {"bg_nbd", "mbg_nbd"}
    assert ladder.fit is not None
    assert ladder.calibration_fit is not None
    assert ladder.fit.family == ladder.calibration_fit.family == ladder.rung.rung
    assert ladder.calibration_fit.clients == histories.counts["n"].sum()
    assert ladder.fit.clients == histories.whole["n"].sum()


def test_with_few_repeat_buyers_the_chain_stands_in_and_without_days_the_naive_forecast() -> None:
    rows = bought(40, 1.0, 60).groupby("client_id").head(1)
    histories, frame = of(rows)
    chain = climb_down(histories, BuyingDays(frame, AS_OF, END), with_lifetimes=False)
    plain = climb_down(histories, None, with_lifetimes=False)
    assert (chain.rung.rung, plain.rung.rung) == ("recency_chain", "naive")
    assert "no client bought more than once" in chain.rung.reason
    assert chain.calibration_fit is not None
    assert chain.calibration_fit.family == "recency_chain"
    assert "recency_chain" in set(chain.held_out.table["family"])


@pytest.mark.parametrize(("shape", "holds"), [(6.0, True), (1.0, False)])
def test_regular_buyers_have_their_model_only_where_there_is_a_rhythm(shape: float, holds: bool) -> None:
    rows = bought(60, shape, 45).groupby("client_id").filter(lambda r: len(r) > 4)
    histories, frame = of(rows)
    gaps = rows.groupby("client_id")["closed_on"].diff().dt.days.dropna()
    known = rows[rows["closed_on"] <= pd.Timestamp(END)].groupby("client_id")["closed_on"].diff().dt.days.dropna()
    ids = frame.select("client_id").unique()
    regular, before = (RegularBuyers(ids, float(np.log(days).sum())) for days in (gaps, known))
    ladder = regular_ladder(histories, regular, before)
    assert (ladder is not None) == holds
    if ladder is not None:
        assert ladder.rung.rung == "mbg_cnbd_k"
        assert "k = " in ladder.rung.reason
        assert "the naive forecast by" in ladder.rung.reason
        assert ladder.calibration_fit is not None
        untried = regular_ladder(Histories.of(purchase_summary(frame, AS_OF), None), regular, None)
        assert untried is not None
        assert "too few were known before the holdout" in untried.rung.reason


def test_populations_are_counted_in_words() -> None:
    assert in_words("regular", 85) == "85 regular buyers"
    assert in_words("purchases", 1) == "1 other buyer"
