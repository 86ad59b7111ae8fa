"""Who reorders like a clock and whose order is overdue, from the files of a company."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from crm_methods.company.answers import Answer, Unanswered
from crm_methods.engine import collect
from crm_methods.stages import segments_rhythm, segments_value
from crm_methods.stages.segments_rhythm import Regularity
from crm_methods.stages.segments_value import LifetimeValue
from tests.conftest import MadeCompany, MakeCompany

AS_OF = dt.date(2025, 12, 31)


def deals_of(regular: int, random: int, late: int = 2, orders: int = 16, ago: int = 56) -> pd.DataFrame:
    """Regular clients that order every 30 days, the last ``ago`` days ago for ``late`` of them, and clients at random."""
    rng, rows = np.random.default_rng(6), []
    for client in range(regular + random):
        is_regular = client < regular
        gaps = rng.gamma(20 if is_regular else 1, 30 / (20 if is_regular else 1), orders)
        back = (ago if client < late else int(rng.integers(0, 25))) + np.concatenate([[0], np.cumsum(np.ceil(gaps))])
        rows += [
            (f"{'r' if is_regular else 'z'}{client:02}", AS_OF - dt.timedelta(days=int(day)), 100.0 + client) for day in back
        ]
    frame = pd.DataFrame(rows, columns=["client_id", "closed_on", "amount"])
    return frame.drop_duplicates(["client_id", "closed_on"]).assign(deal_id=lambda d: range(len(d)))


def asked(made: MadeCompany, folder: Path) -> tuple[LifetimeValue, Regularity | Unanswered]:
    def keep(name: str, frame: nw.LazyFrame[Any], **told: Any) -> nw.LazyFrame[Any]:
        made.data.engine.write(frame, folder / f"{name}.parquet", order_by=told["key"])
        return made.data.engine.scan(folder / f"{name}.parquet")

    economics = made.data.scan("clients").select("client_id", cost_to_serve=nw.lit(None, nw.Float64))
    value = segments_value.lifetime_value(made.data, made.settings, economics, keep)
    assert isinstance(value, LifetimeValue)
    return value, segments_rhythm.regularity(value, made.data, made.settings, keep)


def test_regular_buyers_are_found_with_their_next_order_and_the_overdue_named(make_company: MakeCompany, tmp_path: Path):
    clients = pd.DataFrame({"client_id": ["r00", "r01"], "name": ["Alder Works", "Birch Ltd"]})
    value, found = asked(make_company({"deals": deals_of(30, 20), "clients": clients}), tmp_path)

    assert isinstance(found, Regularity)
    assert found.table["client"].tolist() == ["Birch Ltd", "Alder Works"]
    assert found.table["days_overdue"].between(1, 20).all()
    assert found.table["usual_gap_days"].between(25, 36).all()
    assert found.due.set_index("order_state")["clients"]["overdue"] == 2
    assert "2 regular buyers are overdue" in found.sentence
    assert "reorder like a clock" in found.sentence
    rows = collect(found.next_orders).set_index("client_id")
    assert rows.filter(like="r", axis=0)["regular"].mean() > 0.9
    assert rows.loc[rows["regular"], "next_order_on"].notna().all()
    assert rows.loc[~rows["regular"].astype(bool), ["next_order_on", "days_overdue", "order_state"]].isna().all(axis=None)
    assert [each.name for each in value.model.populations] == ["regular", "purchases"]
    assert "regular buyers rest on MBG/CNBD-k" in value.sentence


def test_an_overdue_buyer_that_is_hardly_a_client_any_more_is_taken_for_gone(make_company: MakeCompany, tmp_path: Path):
    _, found = asked(make_company({"deals": deals_of(30, 20, ago=92)}), tmp_path)

    assert isinstance(found, Regularity)
    assert found.due.set_index("order_state")["clients"][["overdue", "gone"]].tolist() == [0, 2]
    assert "No regular order is overdue" in found.sentence
    assert "2 regular buyers long past the usual day are taken for gone" in found.sentence
    rows = collect(found.next_orders).set_index("client_id")
    assert rows.loc[["r00", "r01"], "order_state"].tolist() == ["gone", "gone"]
    assert rows.loc[["r00", "r01"], "days_overdue"].isna().all()
    assert not {"r00", "r01"} & set(found.table["client"])


def test_the_holdout_tells_the_populations_apart(make_company: MakeCompany, tmp_path: Path):
    made = make_company({"deals": deals_of(30, 20)})
    value, _ = asked(made, tmp_path)
    trial = segments_value.holdout(value, made.settings)

    assert isinstance(trial, Answer)
    assert set(trial.table["population"]) == {"Regular buyers", "Other buyers"}
    assert trial.sentence.startswith("Regular buyers known before")


def test_few_regular_buyers_stay_with_the_others_and_still_have_their_next_order(make_company: MakeCompany, tmp_path: Path):
    value, found = asked(make_company({"deals": deals_of(4, 20, late=0)}), tmp_path)

    assert [each.name for each in value.model.populations] == ["purchases"]
    assert isinstance(found, Regularity)
    assert found.fit is not None
    assert "No regular order is overdue" in found.sentence
    assert len(found.table) == found.rhythm.regular <= 5
    assert found.table["next_order_on"].is_monotonic_increasing


def test_without_a_clock_the_test_itself_is_shown(make_company: MakeCompany, tmp_path: Path):
    _, found = asked(make_company({"deals": deals_of(0, 12)}), tmp_path)

    assert isinstance(found, Regularity)
    assert found.due.empty
    assert found.table["tested"].tolist() == [12]
    assert "none reorders like a clock" in found.sentence
    assert collect(found.next_orders)["order_state"].isna().all()


def test_without_five_purchases_of_anybody_nothing_can_be_said(make_company: MakeCompany, tmp_path: Path):
    _, found = asked(make_company({"deals": deals_of(3, 3, orders=2)}), tmp_path)

    assert isinstance(found, Unanswered)
    assert "5 different days" in found.reason


def test_a_single_client_is_told_in_the_singular(make_company: MakeCompany, tmp_path: Path):
    _, found = asked(make_company({"deals": deals_of(1, 0, late=1)}), tmp_path)

    assert isinstance(found, Regularity)
    assert found.sentence.startswith("The only client that bought on at least 5 days reorders like a clock")
    assert "1 regular buyer is overdue" in found.sentence
