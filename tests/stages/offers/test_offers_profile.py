"""Facts of a client: what it bought, when, what it asks for, how large it is."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from crm_methods.engine import collect
from tests.conftest import MakeCompany
from tests.stages.offers.made_offers import Worked, sales, work


def test_a_client_and_product_have_one_row_whose_revenue_is_the_deals(worked: Worked):
    bought = collect(worked.bought)

    assert not bought.duplicated(["client_id", "product_id"]).any()
    assert bought["revenue"].sum() == pytest.approx(sales()["deals"]["amount"].sum())
    assert bought.loc[~bought["in_period"], "period_revenue"].eq(0).all()


def test_a_line_without_a_price_has_its_part_of_the_deal(make_company: MakeCompany):
    deals = pd.DataFrame(
        {"deal_id": ["d"], "client_id": ["c"], "closed_on": [dt.date(2025, 5, 5)], "amount": [90.0], "cost": [30.0]}
    )
    lines = pd.DataFrame({"deal_id": "d", "product_id": ["p", "q", "r"]})
    bought = collect(work(make_company({"deals": deals, "deal_lines": lines})).bought)

    assert bought["period_revenue"].tolist() == [30.0, 30.0, 30.0]
    assert bought["period_margin"].tolist() == [20.0, 20.0, 20.0]


def test_rhythm_is_known_from_three_days_of_purchase_on(make_company: MakeCompany):
    days = {"a": ["2025-01-01", "2025-03-02"], "b": ["2025-01-01", "2025-01-31", "2025-03-02"]}
    rows = [(f"{c}{i}", c, day, 10.0) for c, listed in days.items() for i, day in enumerate(listed)]
    deals = pd.DataFrame(rows, columns=["deal_id", "client_id", "closed_on", "amount"])
    profile = collect(work(make_company({"deals": deals})).profile).set_index("client_id")

    assert pd.isna(profile.loc["a", "mean_gap_days"])
    assert profile.loc["b", "mean_gap_days"] == 30
    assert profile.loc["b", "days_since_last_deal"] == 304


def test_size_is_the_size_class_or_else_told_by_revenue(make_company: MakeCompany):
    deals = pd.DataFrame(
        {
            "deal_id": list("abcdefgh"),
            "client_id": list("abcdefgh"),
            "closed_on": dt.date(2025, 6, 1),
            "amount": [1.0] * 7 + [99.0],
        }
    )
    made = make_company({"deals": deals})
    by_class = collect(work(made, size_class=["large", "micro", "medium", "small"]).profile).sort_values("client_id")
    by_revenue = collect(work(made, size_class=["unknown"]).profile).sort_values("client_id")

    assert by_class["size"].tolist() == ["large", "small", "medium", "small"] * 2
    assert by_revenue["size"].tolist() == ["small"] * 7 + ["large"]


def test_the_oldest_open_request_is_the_open_problem(make_company: MakeCompany):
    deals = pd.DataFrame({"deal_id": ["d"], "client_id": ["c"], "closed_on": [dt.date(2025, 5, 5)], "amount": [90.0]})
    contacts = pd.DataFrame(
        {
            "interaction_id": list("1234"), "client_id": "c", "kind": ["service", "complaint", "service", "sales"],
            "started_at": [f"2025-0{m}-01 10:00:00" for m in (3, 4, 5, 2)], "topic": ["x", "late", "late", "offer"],
            "resolved_at": ["2025-03-02 10:00:00", None, None, None],
        }
    )  # fmt: skip
    row = collect(work(make_company({"deals": deals, "interactions": contacts})).profile).iloc[0]

    assert (row["requests"], row["open_requests"], row["open_topic"], row["open_days"]) == (3, 2, "late", 274)
    assert (row["frequent_topic"], row["frequent_topic_requests"]) == ("late", 2)


def test_deals_that_are_all_undated_or_open_leave_the_rhythm_empty(make_company: MakeCompany):
    deals = pd.DataFrame(
        {"deal_id": list("ab"), "client_id": list("cd"), "opened_on": dt.date(2025, 5, 5), "amount": 90.0, "status": "open"}
    )
    row = collect(work(make_company({"deals": deals.assign(closed_on=None)})).profile).iloc[0]

    assert pd.isna(row["days_since_last_deal"])
    assert pd.isna(row["mean_deal_revenue"])
