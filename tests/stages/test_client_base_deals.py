"""Won and lost deals: rates, and differences that are no larger than chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.models.heterogeneity import Spread
from crm_methods.stages import client_base
from crm_methods.stages.client_base_deals import (
    CycleAndDiscount,
    LossReasons,
    WonAndLost,
    _finding,
    _shown_together,
    _spread_sentence,
    cycle_and_discount,
    decided_deals,
    loss_reasons,
    won_and_lost,
)
from tests.conftest import MadeCompany, MakeCompany


def _answers(made: MadeCompany) -> tuple[Any, Any, Any]:
    path, engine = made.folder / "decided_deals.parquet", made.data.engine
    facts = client_base.client_facts(made.data, made.settings)
    # Written once and read again, as the notebook does.
    engine.write(decided_deals(made.data, made.settings, facts), path, ["deal_id"])
    deals = engine.scan(path)
    won = won_and_lost(made.data, made.settings, deals)
    return won, cycle_and_discount(made.data, made.settings, deals, won), loss_reasons(made.data, made.settings, deals)


def _deals(seed: int = 1, rows: int = 200) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    status = random.choice(["won", "lost"], rows, p=[0.7, 0.3])
    opened = pd.Timestamp("2025-01-05") + pd.to_timedelta(random.integers(0, 200, rows), unit="D")
    return pd.DataFrame(
        {
            "deal_id": range(rows), "client_id": random.integers(0, 25, rows).astype(str), "status": status,
            "opened_on": opened.date, "closed_on": (opened + pd.to_timedelta(random.integers(0, 90, rows), unit="D")).date,
            "amount": np.where(status == "won", 100.0, 0.0), "owner": random.choice(["Ann", "Ben"], rows),
            "discount_share": 0.1, "loss_reason": np.where(status == "lost", random.choice(["price", "time"], rows), None),
        }
    )  # fmt: skip


CLIENTS = pd.DataFrame({"client_id": [str(i) for i in range(25)], "industry": ["mining", "retail", "media", None, "energy"] * 5})


def test_rates_are_won_of_decided_and_groups_add_up(make_company: MakeCompany):
    deals = _deals()
    won, cycle, reasons = _answers(make_company({"deals": deals, "clients": CLIENTS}))
    assert isinstance(won, WonAndLost)
    assert isinstance(cycle, CycleAndDiscount)
    assert isinstance(reasons, LossReasons)
    sums = won.groups.groupby("by")[["decided", "won"]].sum()

    assert (sums == sums.loc["all"]).all(axis=None)
    assert won.groups["win_share"].iloc[0] == pytest.approx((deals["status"] == "won").mean())
    whole = reasons.reasons[reasons.reasons["by"] == "all"]
    assert whole["lost_deals"].sum() == (deals["status"] == "lost").sum()
    assert whole["share"].sum() == pytest.approx(1)
    assert cycle.table["discount_won_share"].iloc[0] == pytest.approx(0.1)


def test_chance_is_called_chance(make_company: MakeCompany):
    won, _, _ = _answers(make_company({"deals": _deals(rows=600), "clients": CLIENTS}))

    assert not any(spread.is_real for spread in won.spreads)
    said = [won.sentence.count(text) for text in ("no larger than chance", "not proven to differ by more than chance")]
    wider = sum(spread.observed > spread.by_chance for spread in won.spreads)
    assert said == [3 - wider, wider]


def test_cancelled_open_and_returned_are_neither_won_nor_lost(make_company: MakeCompany):
    deals = _deals(rows=40)
    more = deals.head(6).assign(
        deal_id=range(100, 106), status=["open", "open", "cancelled", "won", "won", "won"],
        closed_on=[None, None, *deals["closed_on"].iloc[2:6]], amount=[50.0, 70.0, 9.0, -5.0, -5.0, -5.0],
    )  # fmt: skip
    plain, _, _ = _answers(make_company({"deals": deals}))
    mixed, _, _ = _answers(make_company({"deals": pd.concat([deals, more])}))

    pd.testing.assert_frame_equal(plain.groups, mixed.groups)
    assert "2 open deals, worth €120" in mixed.sentence
    assert "1 cancelled deal" in mixed.sentence


def test_money_is_not_spoken_of_where_lost_deals_carry_none(make_company: MakeCompany):
    _, _, zero = _answers(make_company({"deals": _deals()}))
    _, _, priced = _answers(make_company({"deals": _deals().assign(amount=20.0)}))

    assert "€" not in zero.sentence
    assert "the money lost is not known" in zero.sentence
    assert "add up to €" in priced.sentence


def test_deals_that_close_before_they_open_are_left_out_and_counted(make_company: MakeCompany):
    deals = _deals()
    deals.loc[0, ["opened_on", "closed_on"]] = [pd.Timestamp("2025-06-02").date(), pd.Timestamp("2025-06-01").date()]
    _, cycle, _ = _answers(make_company({"deals": deals}))

    assert "Left out: 1 deal decided before" in cycle.sentence
    assert (cycle.groups.loc[cycle.groups["measure"] == "days", "mean"] >= 0).all()


def test_without_lost_deals_there_is_no_win_rate(make_company: MakeCompany):
    only_won = _answers(make_company({"deals": _deals().assign(status="won")}))[0]
    without_status = _answers(make_company({"deals": _deals().drop(columns="status")}))[0]

    assert isinstance(only_won, Unanswered)
    assert "recorded as lost" in only_won.reason
    assert isinstance(without_status, Unanswered)


def test_one_client_has_a_rate_and_no_interval(make_company: MakeCompany):
    won, cycle, reasons = _answers(make_company({"deals": _deals(rows=8).assign(client_id="a")}))

    assert won.groups["low_share"].isna().all()
    assert "interval" not in won.sentence
    assert "nan" not in f"{won.sentence} {cycle.sentence} {reasons.sentence}".lower().split()


def _spread(by: str, observed: float, p_value: float) -> Spread:
    return Spread(by=by, groups=5, observed=observed, by_chance=0.05, p_value=p_value)


def test_what_exceeds_chance_without_proof_is_not_called_chance():
    wider, narrower, real = _spread("owner", 0.07, 0.2), _spread("client", 0.048, 0.9), _spread("industry", 0.2, 0.001)
    said = [_spread_sentence(spread, "", 3) for spread in (wider, narrower, real)]

    assert "not proven to differ by more than chance" in said[0]
    assert "no larger than chance" not in said[0]
    assert "the differences are no larger than chance" in said[1]
    assert said[2].endswith("they differ by more than chance.")
    assert _finding((wider,)) == "Win rates are not proven to differ by owner by more than chance."
    assert _finding((_spread("owner", 0.04, 0.9),)) == "Win rates differ by owner no more than chance."


def test_comparisons_shown_together_have_holms_p_values():
    shown = _shown_together([_spread("industry", 0.07, 0.03), _spread("owner", 0.07, 0.02), _spread("client", 0.07, 0.4)])

    assert [spread.p_value for spread in shown] == pytest.approx([0.06, 0.06, 0.4])
    assert not any(spread.is_real for spread in shown)
    assert _shown_together([_spread("owner", 0.07, 0.02)])[0].is_real


def test_groups_are_named_as_apart_only_where_they_are_proven_to_be(make_company: MakeCompany):
    deals = _deals(rows=600)
    random = np.random.default_rng(7)
    chance = np.where(deals["owner"] == "Ann", 0.9, 0.4)
    planted = deals.assign(status=np.where(random.random(600) < chance, "won", "lost"))
    # A few deals of a third owner, all won: first in a ranking, proven by nothing.
    planted.loc[:5, ["owner", "status"]] = ["Cleo", "won"]
    won, _, _ = _answers(make_company({"deals": planted}))

    assert "clearly apart are “Ben” (" in won.sentence
    assert "and “Ann” (" in won.sentence
    assert "Cleo" not in won.sentence
