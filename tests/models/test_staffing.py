import datetime as dt
import math

import pandas as pd
import pytest

from crm_methods.models import cost_to_serve, staffing


def test_erlang_gives_the_published_numbers():
    assert staffing.erlang_b(10, 10) == pytest.approx(0.2146, abs=5e-5)
    assert staffing.erlang_c(10, 11) == pytest.approx(0.6821, abs=5e-5)
    assert staffing.answered_in_time_share(5, 7, 180, 20) == pytest.approx(0.7404, abs=5e-5)
    assert staffing.mean_wait_seconds(5, 7, 180) == pytest.approx(29.2, abs=0.05)


def test_a_queue_with_too_few_agents_grows_for_ever():
    assert staffing.erlang_c(7, 7) == 1
    assert staffing.answered_in_time_share(7, 7, 180, 20) == 0
    assert math.isinf(staffing.mean_wait_seconds(8, 7, 180))


def test_agents_needed_are_the_fewest_that_reach_the_target():
    agents = staffing.agents_needed(5, 180, 20, 0.8)
    assert staffing.answered_in_time_share(5, agents, 180, 20) >= 0.8
    assert staffing.answered_in_time_share(5, agents - 1, 180, 20) < 0.8
    assert staffing.agents_needed(0, 180, 20, 0.8) == 1
    with pytest.raises(ValueError, match="target_share"):
        staffing.agents_needed(5, 180, 20, 1)


WORK = pd.DataFrame(
    {
        "month": pd.to_datetime(["2026-01-01", "2026-01-01", "2026-02-01"]),
        "skill": ["network", "network", "billing"],
        "strategy": ["raise_loyalty", "cut_costs", "cut_costs"],
        "contacts": [100, 40, 10],
        "minutes": [30.0, 15.0, 6.0],
    }
)


def test_hours_follow_the_formula_and_add_up_over_strategies():
    before = WORK.copy()
    by_strategy = staffing.hours_needed(WORK, shrinkage_share=0.2, occupancy_share=0.5)
    by_skill = staffing.hours_needed(WORK, ("month", "skill"), shrinkage_share=0.2, occupancy_share=0.5)
    assert by_strategy.query("strategy == 'raise_loyalty'")["hours"].tolist() == pytest.approx([50 / 0.4])
    assert by_skill["hours"].sum() == pytest.approx(by_strategy["hours"].sum())
    pd.testing.assert_frame_equal(WORK, before)


def test_impossible_shares_of_time_are_refused():
    with pytest.raises(ValueError, match="shrinkage_share"):
        staffing.hours_needed(WORK, shrinkage_share=1.0)


def test_the_balance_shows_who_is_short_and_skills_nobody_has():
    staff = pd.DataFrame(
        {
            "skill": ["network", "network", "projects"],
            "department": ["support", "field", "field"],
            "people": [1.0, 0.5, 2.0],
            "hours_per_month": [100.0, 100.0, 160.0],
            "cost_per_hour": [30.0, 60.0, None],
        }
    )
    available = staffing.capacity(staff)
    needed = pd.DataFrame(
        {"month": pd.to_datetime(["2026-01-01"] * 3), "skill": ["network", "network", "billing"], "hours": [100.0, 80.0, 5.0]}
    )
    balance = staffing.balance(needed, available).set_index("skill")
    assert available.set_index("skill").loc["network", "cost_per_hour"] == pytest.approx(40)
    assert available.set_index("skill")["cost_per_hour"].isna().to_dict() == {"network": False, "projects": True}
    assert balance.loc["network", "free_hours"] == pytest.approx(-30)
    assert balance.loc["network", "people_short"] == pytest.approx(0.3)
    assert balance.loc["network", "used_share"] == pytest.approx(1.2)
    assert balance.loc["billing", "available_hours"] == 0
    assert math.isnan(balance.loc["billing", "used_share"])
    assert balance.loc["projects", "needed_hours"] == 0


def test_work_is_counted_alike_on_every_engine(frames):
    contacts = pd.DataFrame(
        {
            "client_id": ["a", "b", "a", "a"],
            "skill": ["network", "network", "network", "billing"],
            "department": "support",
            "channel": "phone",
            "kind": "service",
            "started_at": pd.to_datetime(["2026-01-01", "2026-01-31 23:59", "2026-02-01", "2025-12-31 23:59"], format="ISO8601"),
            "handling_minutes": [10.0, 20.0, None, 99.0],
            "direct_cost": 0.0,
        }
    )
    period = {"start": dt.date(2026, 1, 1), "end": dt.date(2026, 2, 1)}
    work = cost_to_serve.client_work(frames(contacts), **period, by=["client_id", "month", "skill"])
    expected = pd.DataFrame(
        {
            "month": pd.to_datetime(["2026-01-01", "2026-02-01"]),
            "skill": ["network", "network"],
            "contacts": [2, 1],
            "minutes": [15.0, 15.0],
        }
    )
    pd.testing.assert_frame_equal(staffing.recorded_work(work), expected, check_dtype=False)


def test_capacity_is_planned_above_the_mean_and_an_empty_month_counts_as_nothing():
    monthly = pd.DataFrame(
        {"month": pd.to_datetime(["2026-01-01", "2026-02-01", "2026-02-01"]), "skill": list("nnb"), "hours": [10.0, 20.0, 6.0]}
    )
    table = staffing.workload_quantiles(monthly).set_index("skill")
    assert table["mean_hours"].to_dict() == {"b": 3.0, "n": 15.0}
    assert table.loc["n", "planned_hours"] == pytest.approx(18)
