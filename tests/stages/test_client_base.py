"""What came in, and the facts of each client."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from crm_methods.company.periods import Period
from crm_methods.engine import collect
from crm_methods.stages import client_base
from tests.conftest import MadeCompany, MakeCompany, MakeFrame

THIS_YEAR = Period(dt.date(2025, 1, 1), dt.date(2025, 12, 31), 12)
LAST_YEAR = Period(dt.date(2024, 1, 1), dt.date(2024, 12, 31), 12)


def _deals(*rows: tuple[str, str, float]) -> pd.DataFrame:
    deals = pd.DataFrame(rows, columns=["client_id", "closed_on", "amount"])
    return deals.assign(deal_id=[f"d{i}" for i in range(len(deals))])


def _facts(made: MadeCompany) -> pd.DataFrame:
    return collect(client_base.client_facts(made.data, made.settings).sort("client_id")).set_index("client_id")


STORIES = _deals(
    ("active", "2024-05-01", 100.0), ("active", "2025-12-31", 130.0),
    ("lapsed", "2024-12-31", 80.0),
    ("long_gone", "2022-03-03", 50.0),
    ("new", "2025-01-01", 70.0),
    ("returned", "2023-12-31", 60.0), ("returned", "2025-06-30", 90.0),
    ("only_returned_goods", "2025-04-04", -20.0),
)  # fmt: skip


def test_every_record_ends_in_one_place(make_company: MakeCompany):
    rows = [
        ("d1", "a", "2025-03-01", "100"),
        ("d2", "a", "2026-03-01", "7"),
        ("d3", "b", "soon", "5"),
        ("d1", "a", "2025-03-01", "100"),
    ]
    deals = pd.DataFrame(rows, columns=["deal_id", "client_id", "closed_on", "amount"])
    made = make_company({"deals": deals}, intake={"max_rejected_share": 1.0})
    intake = client_base.reconciliation(made.data, made.settings)

    row = intake.totals.iloc[0]
    assert intake.is_reconciled
    assert [row[f"{fate}_rows"] for fate in ("source", "accepted", "rejected", "later", "duplicate")] == [4, 1, 1, 1, 1]
    assert row["source_amount"] == pytest.approx(212)
    assert row["canonical_amount"] == 100
    assert "1 client" not in intake.sentence


def test_a_record_lost_on_the_way_in_is_noticed(make_company: MakeCompany):
    made = make_company({"deals": STORIES})
    path = made.data.folder / "deals.parquet"
    pd.read_parquet(path).iloc[1:].to_parquet(path)
    intake = client_base.reconciliation(made.data, made.settings)

    assert not intake.is_reconciled
    assert "deals does not reconcile" in intake.sentence


def test_clients_that_only_other_tables_name_are_counted(make_company: MakeCompany):
    made = make_company({"deals": STORIES, "clients": pd.DataFrame({"client_id": ["new"], "name": ["New Ltd"]})})
    intake = client_base.reconciliation(made.data, made.settings)

    assert intake.is_reconciled
    assert "5 clients are named only by other tables" in intake.sentence


def test_rejected_cells_are_counted_by_column_with_an_example(make_company: MakeCompany):
    deals = STORIES.assign(
        amount=["a lot", "n/a", *STORIES["amount"][2:].astype(str)], opened_on=["2024-13-01", *["2024-01-01"] * 7]
    )
    made = make_company({"deals": deals}, intake={"max_rejected_share": 1.0})
    found = client_base.rejects(made.data)

    assert found.table[["column", "cells", "for_example", "done"]].to_numpy().tolist() == [
        ["amount", 2, "a lot", "row left out"],
        ["opened_on", 1, "2024-13-01", "row left out"],
    ]
    assert "2 rows were left out" in found.sentence


def test_nothing_rejected_is_said(make_company: MakeCompany):
    found = client_base.rejects(make_company({"deals": STORIES}).data)

    assert found.table.empty
    assert "nothing was rejected" in found.sentence


def test_states_follow_the_days_of_purchases(make_company: MakeCompany):
    clients = pd.DataFrame({"client_id": ["asked_once"], "name": ["Asked once"]})
    states = _facts(make_company({"deals": STORIES, "clients": clients}))["state"]

    assert states.to_dict() == {
        "active": "active", "asked_once": "prospect", "lapsed": "lapsed", "long_gone": "lapsed", "new": "new",
        "only_returned_goods": "prospect", "returned": "returned",
    }  # fmt: skip


def test_revenue_of_clients_adds_up_to_the_won_deals(make_company: MakeCompany):
    deals = STORIES.assign(status=["won"] * 7 + ["lost"])
    facts = _facts(make_company({"deals": deals}))

    assert facts["revenue_total"].sum() == pytest.approx(deals.loc[deals["status"] == "won", "amount"].sum())
    assert facts["revenue"].sum() == pytest.approx(130 + 70 + 90)
    assert facts["revenue_previous"].sum() == pytest.approx(100 + 80)


def test_a_return_lowers_revenue_and_is_no_purchase(frames: MakeFrame):
    won = pd.DataFrame(
        {
            "client_id": ["a", "a", "a"],
            "closed_on": pd.to_datetime(["2025-01-01", "2025-12-31", "2024-12-31"]),
            "amount": [100.0, -30.0, 10.0],
            "margin": [40.0, -10.0, 5.0],
        }
    )
    found = collect(client_base.purchases_per_client(frames(won), THIS_YEAR, LAST_YEAR))

    row = found.iloc[0]
    assert (row["deals_won"], row["deals_won_previous"], row["deals_won_total"]) == (1, 1, 2)
    assert (row["revenue"], row["revenue_previous"], row["revenue_total"], row["margin"]) == (70, 10, 80, 30)
    assert row["last_deal_on"] == pd.Timestamp("2025-01-01")


def test_the_order_of_rows_changes_nothing(frames: MakeFrame):
    won = STORIES.assign(closed_on=pd.to_datetime(STORIES["closed_on"]), margin=None).astype({"margin": float})
    one, other = (
        collect(client_base.purchases_per_client(frames(rows), THIS_YEAR, LAST_YEAR)).sort_values("client_id", ignore_index=True)
        for rows in (won, won.iloc[::-1].reset_index(drop=True))
    )

    pd.testing.assert_frame_equal(one, other)


def test_a_margin_that_nobody_knows_is_not_zero(make_company: MakeCompany):
    facts = _facts(make_company({"deals": STORIES}))

    assert facts["margin"].isna().all()


def test_size_classes_begin_where_they_say_and_fall_back_on_turnover(make_company: MakeCompany):
    clients = pd.DataFrame(
        {
            "client_id": list("abcdefg"),
            "employees": [9, 10, 249, 250, None, None, None],
            "turnover": [90e6, None, None, None, 9.9e6, 50e6, None],
        }
    ).astype({"employees": "Int64"})
    facts = _facts(make_company({"deals": STORIES, "clients": clients}))

    assert facts.loc[list("abcdefg"), "size_class"].tolist() == ["micro", "small", "medium", "large", "small", "large", "unknown"]


def test_open_requests_are_those_of_the_period_that_nobody_solved(make_company: MakeCompany):
    contacts = pd.DataFrame(
        {
            "interaction_id": list("12345"),
            "client_id": ["a"] * 5,
            "started_at": [
                "2025-12-31 23:00:00",
                "2025-06-01 10:00:00",
                "2025-06-02 10:00:00",
                "2025-06-03 10:00:00",
                "2023-01-01 10:00:00",
            ],
            "kind": ["complaint", "service", "service", "sales", "service"],
            "resolved_at": [None, None, "2025-06-02 12:00:00", None, None],
        }
    )
    facts = _facts(make_company({"interactions": contacts}))

    assert facts.loc["a", "open_requests"] == 2
    assert facts.loc["a", "last_interaction_on"] == pd.Timestamp("2025-12-31")


def test_without_deals_the_state_is_unknown(make_company: MakeCompany):
    contacts = pd.DataFrame({"interaction_id": ["1"], "client_id": ["a"], "started_at": ["2025-06-01 10:00:00"]})
    facts = _facts(make_company({"interactions": contacts}))

    assert facts["state"].tolist() == ["unknown"]
    assert facts["revenue"].tolist() == [0]


def test_spellings_that_differ_in_case_alone_are_one_group(make_company: MakeCompany):
    clients = pd.DataFrame(
        {"client_id": list("abcd"), "industry": ["retail", "Retail", "retail", "mining"], "territory": ["N", "N", None, "S"]}
    )
    facts = _facts(make_company({"deals": STORIES, "clients": clients}))

    assert facts.loc[list("abcd"), "industry"].tolist() == ["retail", "retail", "retail", "mining"]
    assert pd.isna(facts.loc["c", "territory"])
