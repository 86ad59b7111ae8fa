"""Laws of the monthly flow, the cohorts and the concentration."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from crm_methods.company.answers import Unanswered
from crm_methods.engine import collect, month_of, month_start
from crm_methods.stages import client_base
from crm_methods.stages.client_base_flow import (
    Concentration,
    cohorts,
    concentration,
    flow_by_month,
    last_whole,
    monthly_flow,
    retention_by_cohort,
)
from tests.conftest import MakeCompany, MakeFrame

LAST = month_of(dt.date(2025, 12, 31))


def _random_purchases(seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    days = pd.Timestamp("2022-01-01") + pd.to_timedelta(random.integers(0, 1_461, 250), unit="D")
    return pd.DataFrame({"client_id": random.integers(0, 60, 250).astype(str), "closed_on": days})


def _deals(purchases: pd.DataFrame, amount: float = 10.0) -> pd.DataFrame:
    return purchases.assign(deal_id=range(len(purchases)), amount=amount)


@pytest.mark.parametrize("pause", [1, 12])
def test_active_clients_are_those_who_bought_within_the_pause(frames: MakeFrame, pause: int):
    bought = _random_purchases(pause)
    flow = flow_by_month(frames(bought), LAST, pause)
    number = bought["closed_on"].dt.year * 12 + bought["closed_on"].dt.month - 1

    expected = [
        bought.loc[(number > month_of(m) - pause) & (number <= month_of(m)), "client_id"].nunique() for m in flow["month"]
    ]
    assert flow["active"].tolist() == expected
    assert (flow["active"].diff().fillna(flow["active"]) == flow["new"] + flow["returned"] - flow["lost"]).all()
    assert flow["new"].sum() == bought["client_id"].nunique()


def test_a_client_is_lost_when_the_pause_is_complete_and_returns_with_the_next_purchase(frames: MakeFrame):
    bought = pd.DataFrame(
        {"client_id": ["a", "a", "b", "b"], "closed_on": pd.to_datetime(["2025-01-31", "2025-05-01", "2025-01-01", "2025-04-30"])}
    )
    flow = flow_by_month(frames(bought), LAST, 3).set_index("month")

    # b bought again in the third month of its pause: it was never lost.
    assert flow.index[flow["lost"] > 0].tolist() == [
        pd.Timestamp("2025-04-01"),
        pd.Timestamp("2025-07-01"),
        pd.Timestamp("2025-08-01"),
    ]
    assert flow.index[flow["returned"] > 0].tolist() == [pd.Timestamp("2025-05-01")]


def test_active_at_the_end_is_who_bought_in_the_period(make_company: MakeCompany):
    made = make_company({"deals": _deals(_random_purchases(5))})
    flow = monthly_flow(made.data, made.settings)
    states = collect(client_base.client_facts(made.data, made.settings).select("state"))["state"]

    assert flow.months["active"].iloc[-1] == states.isin(["new", "active", "returned"]).sum()


def test_a_month_that_is_not_over_is_left_out(make_company: MakeCompany):
    made = make_company({"deals": _deals(_random_purchases(5))}, as_of=dt.date(2025, 12, 15))
    flow = monthly_flow(made.data, made.settings)

    assert month_start(last_whole(made.settings.as_of)) == dt.date(2025, 11, 1)
    assert flow.months["month"].iloc[-1] == pd.Timestamp("2025-11-01")


def test_a_short_history_is_said_to_have_no_losses_yet(make_company: MakeCompany):
    deals = pd.DataFrame({"deal_id": [1], "client_id": ["a"], "closed_on": ["2025-11-05"], "amount": [1.0]})
    made = make_company({"deals": deals})

    assert "nobody can be lost yet" in monthly_flow(made.data, made.settings).sentence


def test_no_whole_month_is_no_answer(make_company: MakeCompany):
    deals = pd.DataFrame({"deal_id": [1], "client_id": ["a"], "closed_on": ["2025-12-05"], "amount": [1.0]})
    made = make_company({"deals": deals}, as_of=dt.date(2025, 12, 6))

    assert isinstance(monthly_flow(made.data, made.settings), Unanswered)
    assert isinstance(cohorts(made.data, made.settings), Unanswered)


def test_cohorts_count_each_client_once_a_quarter(frames: MakeFrame):
    days = ["2025-01-10", "2025-04-01", "2025-06-30", "2025-02-01", "2025-07-01", "2025-05-05"]
    bought = pd.DataFrame({"client_id": ["a", "a", "a", "b", "b", "c"], "closed_on": pd.to_datetime(days)})
    found = retention_by_cohort(frames(bought), (month_of(dt.date(2025, 9, 30)) + 1) // 3 - 1)

    assert found.to_numpy().tolist() == [
        [pd.Timestamp("2025-01-01"), 1, 1, 2, 0.5],
        [pd.Timestamp("2025-01-01"), 2, 1, 2, 0.5],
        [pd.Timestamp("2025-04-01"), 1, 0, 1, 0.0],
    ]


def test_the_first_cohort_is_kept_out_of_the_share_that_comes_back(make_company: MakeCompany):
    old = [(f"old{i}", day) for i in range(50) for day in ("2024-01-05", "2025-01-05", "2025-04-05", "2025-07-05")]
    young = [(f"young{i}", "2024-04-05") for i in range(10)]
    made = make_company({"deals": _deals(pd.DataFrame([*old, *young], columns=["client_id", "closed_on"]))})
    answer = cohorts(made.data, made.settings)

    assert "0 of 10 clients bought" in answer.sentence
    assert answer.map["cohort"].tolist() == ["up to 2024 Q1", "2024 Q2"]


def _concentration(make_company: MakeCompany, amounts: np.ndarray) -> Concentration:
    deals = pd.DataFrame(
        {"deal_id": range(len(amounts)), "client_id": [f"c{i:05d}" for i in range(len(amounts))], "amount": np.round(amounts, 2)}
    )
    made = make_company({"deals": deals.assign(closed_on="2025-06-01")})
    found = concentration(made.data, made.settings, client_base.client_facts(made.data, made.settings))
    assert isinstance(found, Concentration)
    return found


def test_equal_clients_stand_on_the_diagonal(make_company: MakeCompany):
    found = _concentration(make_company, np.full(400, 25.0))

    assert found.gini == pytest.approx(0, abs=1e-9)
    assert found.curve["cumulative_revenue_share"].to_numpy() == pytest.approx(found.curve["client_share"].to_numpy())
    assert found.top_share == pytest.approx(10 / 400)


def test_gini_of_a_lognormal_base_is_the_known_one(make_company: MakeCompany):
    sigma = 0.8
    # Quantiles instead of draws: what is left is the error of the grid.
    amounts = 1_000 * np.exp(sigma * norm.ppf((np.arange(4_000) + 0.5) / 4_000))

    assert _concentration(make_company, amounts).gini == pytest.approx(2 * norm.cdf(sigma / math.sqrt(2)) - 1, abs=0.003)


def test_a_small_base_has_no_gini_and_says_the_shares_of_its_names(make_company: MakeCompany):
    found = _concentration(make_company, np.array([70.0, 20.0, 10.0]))

    assert found.gini is None
    assert found.table["revenue_share"].tolist() == pytest.approx([0.7, 0.2, 0.1])
    assert "The 3 largest of 3 paying clients bring 100% of revenue." in found.sentence


def test_the_curve_rises_to_one_and_bends_down_only(make_company: MakeCompany):
    curve = _concentration(make_company, np.random.default_rng(1).lognormal(5, 1.5, 350)).curve
    slopes = np.diff(curve["cumulative_revenue_share"]) / np.diff(curve["client_share"])

    assert curve["cumulative_revenue_share"].iloc[-1] == pytest.approx(1)
    assert (np.diff(slopes) <= 1e-9).all()


def test_clients_below_zero_are_left_out_and_named(make_company: MakeCompany):
    found = _concentration(make_company, np.array([70.0, 20.0, -10.0]))

    assert found.clients == 2
    assert "1 client whose returns exceed its purchases (−€10) is left out" in found.sentence


def test_one_paying_client_is_no_base_to_be_concentrated(make_company: MakeCompany):
    deals = pd.DataFrame({"deal_id": [1], "client_id": ["a"], "closed_on": ["2025-06-01"], "amount": [5.0]})
    made = make_company({"deals": deals})

    assert isinstance(concentration(made.data, made.settings, client_base.client_facts(made.data, made.settings)), Unanswered)
