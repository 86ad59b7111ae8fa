import datetime as dt

import narwhals as nw
import pandas as pd
import pytest

from crm_methods.models import panels

DEALS = pd.DataFrame(
    [
        ("a", "2024-06-30", 10.0),
        ("a", "2025-01-01", 5.0),
        ("a", "2025-01-31", 7.0),
        ("a", "2025-06-30", 1.0),
        ("a", "2025-07-01", 99.0),
        ("b", "2024-12-31", 20.0),
        ("c", "2025-01-01", 30.0),
        ("d", "2023-01-01", 40.0),
        ("d", "2025-03-15", -4.0),
        ("e", "2024-01-01", 1.0),
        ("f", "2024-01-01", 1.0),
    ],
    columns=["client_id", "closed_on", "amount"],
).assign(closed_on=lambda d: pd.to_datetime(d["closed_on"]))
MEMBERS = pd.DataFrame(
    {
        "client_id": ["a", "c", "d", "e", "f", "f"],
        "joined_on": pd.to_datetime(["2025-03-31", "2025-02-01", None, "2024-12-31", "2025-07-01", None]),
    }
)
HALF_YEAR = {"start": dt.date(2025, 1, 1), "end": dt.date(2025, 6, 30)}


def test_the_panel_is_balanced_adds_up_and_is_alike_on_every_engine(frames):
    panel = panels.build_panel(frames(DEALS), frames(MEMBERS), **HALF_YEAR)
    wide = panel.frame.pivot_table(index="client_id", columns="period", values="outcome")
    # c came with the panel, e was a member before it: neither has a before; f joined after it.
    assert wide.index.tolist() == ["a", "b", "d", "f"]
    assert wide.columns.tolist() == [1, 2, 3, 4, 5, 6]
    assert wide.loc["a"].tolist() == [12, 0, 0, 0, 0, 1]
    assert wide.loc["d", 3] == -4
    assert panel.joining.to_dict() == {"a": 3, "b": 0, "d": 0, "f": 0}
    assert (panel.members, panel.non_members) == (1, 3)
    assert panel.note == "1 client that joined before the first month left out"
    assert panel.periods["month"].tolist() == list(pd.date_range("2025-01-01", periods=6, freq="MS"))


def test_quarters_are_told_per_month():
    deals, members = (nw.from_native(df).lazy() for df in (DEALS, MEMBERS))
    quarters = panels.build_panel(deals, members, **HALF_YEAR, months_per_period=3)
    months = panels.build_panel(deals, members, **HALF_YEAR)
    assert quarters.frame["period"].max() == 2
    assert quarters.joining["a"] == 1
    assert quarters.frame["outcome"].sum() * 3 == pytest.approx(months.frame["outcome"].sum())


def test_past_the_limit_clients_are_drawn_from_each_joining_period_and_it_is_said(frames):
    clients = [f"c{i:02d}" for i in range(40)]
    deals = pd.DataFrame({"client_id": clients, "closed_on": pd.Timestamp("2024-06-01"), "amount": 1.0})
    members = pd.DataFrame({"client_id": clients[:10], "joined_on": pd.Timestamp("2025-03-05")})
    panel = panels.build_panel(frames(deals), frames(members), **HALF_YEAR, max_cells=60)
    assert panel.note == "one client in 4 of each joining period taken, in the order of their ids"
    assert len(panel.frame) <= 72
    assert (panel.members, panel.non_members) == (3, 8)


def test_nobody_bought_before_leaves_an_empty_panel(frames):
    panel = panels.build_panel(frames(DEALS.iloc[:0]), frames(MEMBERS), **HALF_YEAR)
    assert panel.frame.empty
    assert panel.members == 0
