import datetime as dt
import math
from decimal import Decimal

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

from crm_methods.engine import collect, open_engine
from crm_methods.models import cost_to_serve
from crm_methods.models.cost_to_serve import Pool

PERIOD = {"start": dt.date(2025, 1, 1), "end": dt.date(2025, 3, 31)}
INTERACTIONS = pd.DataFrame(
    [
        ("a", "support", "phone", "service", "2025-01-05 09:00", 30.0, None),
        ("a", "support", "phone", "service", "2025-03-31 23:00", 10.0, 5.0),
        ("b", "support", "phone", "service", "2025-02-01 00:00", None, None),
        ("b", "support", "email", "service", "2025-02-01 00:00", None, None),
        ("b", "sales", "visit", "sales", "2025-02-01 10:00", 120.0, 80.0),
        ("c", None, "email", None, "2025-02-01 10:00", None, None),
        ("a", "support", "phone", "service", "2025-04-01 00:00", 999.0, 999.0),
        ("a", "support", "phone", "service", "2024-12-31 23:59", 999.0, 999.0),
    ],
    columns=["client_id", "department", "channel", "kind", "started_at", "handling_minutes", "direct_cost"],
).assign(started_at=lambda d: pd.to_datetime(d["started_at"]))
LEDGER = pd.DataFrame(
    [
        (pool, month, amount)
        for pool, amount in (("support", 100.11), ("sales", 33.33), ("rent", 50.0))
        for month in pd.date_range("2024-12-01", "2025-04-01", freq="MS")
    ],
    columns=["pool", "month", "amount"],
)
STAFF = pd.DataFrame(
    {
        "skill": ["network", "key accounts"],
        "department": ["support", "sales"],
        "people": [1.0, 0.01],
        "hours_per_month": [1.0, 100.0],
        "cost_per_hour": [30.0, None],
    }
)
NO_LEDGER, NO_STAFF = LEDGER.iloc[:0], STAFF.iloc[:0]


def rates_of(frames, interactions=INTERACTIONS, ledger=LEDGER, staff=STAFF, **more):
    return cost_to_serve.pool_rates(frames(interactions), frames(ledger), frames(staff), **PERIOD, **more)


def clients_of(frames, rates, interactions=INTERACTIONS, by=("client_id",), **more):
    work = cost_to_serve.priced_work(frames(interactions), rates, by=by, **PERIOD, **more)
    return collect(cost_to_serve.cost_by_client(work, by)).set_index("client_id").sort_index()


def in_memory(df):
    return nw.from_native(df).lazy()


def test_kaplan_and_anderson():
    calls = pd.DataFrame(
        {"client_id": ["a", "b"], "department": "support", "channel": "phone", "kind": "service", "direct_cost": [None, None],
         "started_at": pd.to_datetime("2025-02-01"), "handling_minutes": [500_000.0, 78_600.0]}
    )  # fmt: skip
    pool = Pool(name="support", cost_per_month=560_000 / 3, practical_minutes_per_month=700_000 / 3)
    rates = rates_of(in_memory, calls, NO_LEDGER, NO_STAFF, pools=[pool]).iloc[0]
    assert rates["rate_cost"] == pytest.approx(0.80)
    assert rates["allocated_cost"] == pytest.approx(462_880)
    assert rates["unused_cost"] == pytest.approx(97_120)


def test_the_period_the_missing_minutes_and_the_costs_are_alike_on_every_engine(frames):
    activities = cost_to_serve.activity_minutes(frames(INTERACTIONS), **PERIOD)
    by_activity = activities.set_index(["department", "channel"])
    # Phone: the mean of 30 and 10; e-mail of support: its department's; no department: all contacts'.
    assert by_activity["mean_minutes"].to_dict() == pytest.approx(
        {("support", "phone"): 20, ("support", "email"): 20, ("sales", "visit"): 120, ("no department", "email"): 160 / 3}
    )
    assert by_activity.loc[("support", "phone"), "recorded_share"] == pytest.approx(2 / 3)

    rates = rates_of(frames, practical_share=1.0)
    by_pool = rates.set_index("pool")
    assert rates["pool"].tolist() == ["support", "rent", "sales", "no department"]
    assert by_pool["status"].to_dict() == {
        "support": "allocated", "rent": "no activity", "sales": "allocated", "no department": "no cost",
    }  # fmt: skip
    assert by_pool.loc["support", "practical_minutes"] == pytest.approx(180)
    assert by_pool.loc["support", "used_minutes"] == pytest.approx(80)

    clients = clients_of(frames, rates)
    support, sales = 3 * 100.11 / 180, 3 * 33.33 / 180
    assert clients["time_cost"].to_dict() == pytest.approx({"a": 40 * support, "b": 40 * support + 120 * sales, "c": 0}, abs=1e-6)
    assert clients["direct_cost"].to_dict() == {"a": 5, "b": 80, "c": 0}
    assert clients["contacts"].to_dict() == {"a": 2, "b": 3, "c": 1}
    assert (clients["cost_to_serve"] - clients["time_cost"] - clients["direct_cost"]).abs().max() < 1e-6


def test_decimals_of_the_canonical_tables_reconcile_exactly():
    engine = open_engine()
    tables = {
        name: engine.frame(table.assign(**{money: [None if pd.isna(x) else Decimal(str(x)) for x in table[money]]}))
        for name, table, money in (
            ("interactions", INTERACTIONS, "direct_cost"), ("ledger", LEDGER, "amount"), ("staff", STAFF, "cost_per_hour"),
        )
    }  # fmt: skip
    rates = cost_to_serve.pool_rates(*tables.values(), **PERIOD)
    clients = collect(cost_to_serve.cost_by_client(cost_to_serve.priced_work(tables["interactions"], rates, **PERIOD)))
    assert rates["cost"].sum() == 3 * 183.44
    assert clients.dtypes.astype(str).to_dict() == {
        "client_id": "str", "contacts": "int64", "minutes": "float64", "time_cost": "float64",
        "direct_cost": "float64", "cost_to_serve": "float64",
    }  # fmt: skip
    engine.close()


@pytest.mark.parametrize("practical_share", [0.05, 0.5, 1.0])
def test_allocated_unused_and_not_allocated_are_the_ledger_to_the_cent(practical_share):
    rates = rates_of(in_memory, practical_share=practical_share)
    parts = rates[["allocated_cost", "unused_cost", "not_allocated_cost"]]
    in_period = LEDGER[LEDGER["month"].between("2025-01-01", "2025-03-31")].groupby("pool")["amount"].sum()
    assert parts.sum().sum() == pytest.approx(in_period.sum(), abs=0.005)
    assert parts.sum(axis=1).to_numpy() == pytest.approx(rates["cost"].to_numpy())
    clients = clients_of(in_memory, rates)
    assert clients["time_cost"].sum() == pytest.approx(rates["allocated_cost"].sum(), abs=0.005)
    assert (parts >= 0).all().all()


def test_more_minutes_than_practical_share_the_cost_over_what_was_used():
    rates = rates_of(in_memory, practical_share=0.05).set_index("pool")
    assert rates.loc["support", "status"] == "overloaded"
    assert rates.loc["support", "unused_cost"] == 0
    assert rates.loc["support", "rate_cost"] == pytest.approx(3 * 100.11 / 80)


def test_a_pool_of_which_no_capacity_is_known_is_not_allocated():
    rates = rates_of(in_memory, staff=NO_STAFF).set_index("pool")
    assert rates["status"].to_dict() == {
        "support": "no capacity", "sales": "no capacity", "rent": "no activity", "no department": "no cost",
    }  # fmt: skip
    assert rates["not_allocated_cost"].sum() == pytest.approx(3 * 183.44)
    assert clients_of(in_memory, rates.reset_index())["time_cost"].sum() == 0


def test_pools_that_the_company_describes_come_before_departments():
    minutes = {"practical_minutes_per_month": 100}
    hotline = Pool(name="hotline", cost_per_month=70, channels=("phone", "email"), departments=("support",), **minutes)
    desk = Pool(name="desk", cost_per_month=10, channels=("email",), **minutes)
    rates = rates_of(in_memory, pools=[hotline, desk]).set_index("pool")
    assert rates.loc["hotline", ["contacts", "cost", "rate_cost"]].tolist() == pytest.approx([4, 210, 0.7])
    assert rates.loc["desk", ["contacts", "cost"]].tolist() == pytest.approx([1, 30])
    assert rates.loc["support", "status"] == "no activity"
    assert rates.loc["hotline", "source"] == "settings"


def test_without_a_ledger_the_staff_is_the_cost():
    rates = rates_of(in_memory, ledger=NO_LEDGER, practical_share=1.0).set_index("pool")
    assert rates.loc["support", ["cost", "source", "rate_cost"]].tolist() == [90, "staff", 0.5]
    assert rates.loc["sales", "status"] == "no cost"


def test_a_ledger_of_fewer_months_is_set_against_the_capacity_of_those():
    short = LEDGER[LEDGER["month"] < "2025-03-01"]
    rates = rates_of(in_memory, ledger=short, practical_share=1.0).set_index("pool")
    assert rates.loc["support", "practical_minutes"] == pytest.approx(120)
    assert rates.loc["support", "rate_cost"] == pytest.approx(100.11 / 60)
    assert rates.loc["support", "note"] == "the ledger covers 2 of 3 months"


def test_prices_of_contacts_stand_in_only_where_no_pool_prices_the_time():
    rates = rates_of(in_memory)
    with_prices = clients_of(in_memory, rates, contact_costs={"email": 4.0, "phone": 9.0})
    without = clients_of(in_memory, rates)
    assert (with_prices - without)["direct_cost"].to_dict() == {"a": 0, "b": 0, "c": 4}


def test_cost_of_a_finer_grain_adds_up_to_the_clients_cost():
    rates = rates_of(in_memory)
    by_month = clients_of(in_memory, rates, by=("client_id", "month"), contact_costs={"email": 4.0})
    whole = clients_of(in_memory, rates, contact_costs={"email": 4.0})
    assert by_month["month"].nunique() == 3
    added = by_month.groupby("client_id")[["contacts", "minutes", "time_cost", "direct_cost", "cost_to_serve"]].sum()
    np.testing.assert_allclose(added, whole[added.columns], atol=1e-5)


def test_neither_the_order_of_rows_nor_the_currency_changes_who_costs_what():
    doubled = LEDGER.assign(amount=LEDGER["amount"] * 1000)
    shuffled = INTERACTIONS.sample(frac=1, random_state=1).assign(direct_cost=lambda d: d["direct_cost"] * 1000)
    plain = clients_of(in_memory, rates_of(in_memory))
    other = clients_of(in_memory, rates_of(in_memory, shuffled, doubled), shuffled)
    np.testing.assert_allclose(other["cost_to_serve"], plain["cost_to_serve"] * 1000, atol=1e-3)


def test_no_contact_at_all_leaves_the_ledger_not_allocated(frames):
    rates = rates_of(frames, interactions=INTERACTIONS.iloc[:1].assign(started_at=pd.Timestamp("2020-01-01")))
    assert set(rates["status"]) == {"no activity"}
    assert rates["not_allocated_cost"].sum() == pytest.approx(3 * 183.44)


def test_nothing_recorded_costs_no_time_rather_than_an_error():
    silent = INTERACTIONS.assign(handling_minutes=np.nan)
    rates = rates_of(in_memory, silent)
    assert set(rates["status"]) == {"no activity", "no cost"}
    assert clients_of(in_memory, rates, silent)["minutes"].sum() == 0


def test_one_contact_of_each_activity_has_its_cost():
    activities = cost_to_serve.activity_minutes(in_memory(INTERACTIONS), **PERIOD)
    rates = rates_of(in_memory, practical_share=1.0)
    costs = cost_to_serve.activity_costs(activities, rates).set_index("channel")
    assert costs.loc["visit", "contact_cost"] == pytest.approx(120 * 33.33 / 60 + 80)
    assert costs.loc[costs["pool"] == "no department", "contact_cost"].map(math.isnan).all()


@pytest.mark.parametrize(
    ("start", "end", "months"),
    [("2025-01-01", "2025-12-31", 12), ("2024-12-16", "2025-12-15", 12), ("2025-02-01", "2025-02-28", 1)],
)
def test_months_are_counted_with_both_ends(start, end, months):
    assert cost_to_serve.months_between(dt.date.fromisoformat(start), dt.date.fromisoformat(end)) == months
