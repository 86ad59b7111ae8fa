"""What clients are worth in all: by purchases, by contracts, by both, each cost paid once."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.engine import collect
from crm_methods.stages import segments, segments_contracts, segments_value, segments_worth
from tests.conftest import MadeCompany, MakeCompany
from tests.stages.contract_companies import bills_of, yearly_contracts
from tests.stages.small_companies import contacts_of
from tests.stages.stage_two import keep_in

CONTRACTS = yearly_contracts([1, 1, 2, 3], [0, 1, 1, 2, 2, 3, 4])


def _worth(made: MadeCompany, folder: Path) -> pd.DataFrame:
    keep = keep_in(made.data, folder)
    cost = segments.cost_to_serve(made.data, made.settings)
    economics = segments.client_economics(made.data, made.settings, cost)
    contracts = segments_contracts.contracts(made.data, made.settings, keep)
    beside = segments_contracts.deals_beside(made.data, contracts)
    value = segments_value.lifetime_value(made.data, made.settings, economics, keep, beside)
    worth = segments_worth.written_worth(made.data, made.settings, economics, value, contracts, keep)
    assert isinstance(worth, segments_worth.ClientWorth)
    return collect(worth.values).set_index("client_id").sort_index()


def test_a_base_of_contracts_alone_has_values_and_bounds(make_company: MakeCompany, tmp_path: Path):
    deals = bills_of(CONTRACTS)
    made = make_company({"deals": deals[deals["kind"] == "contract"], "contracts": CONTRACTS})
    found = _worth(made, tmp_path)

    assert set(found["population"]) == {"contract"}
    assert found["clv"].to_numpy() == pytest.approx(found["contract_value"].to_numpy())
    ended = CONTRACTS.loc[CONTRACTS["ended_by"] == "client", "client_id"]
    assert (found.loc[ended, "clv"] == 0).all()
    running = found.drop(index=ended)
    assert ((running["clv_low"] <= running["clv"]) & (running["clv"] <= running["clv_high"])).all()


def test_a_client_with_both_is_worth_both(make_company: MakeCompany, tmp_path: Path):
    made = make_company({"deals": bills_of(CONTRACTS), "contracts": CONTRACTS})
    found = _worth(made, tmp_path)
    by_purchases = found["discounted_purchases"] * found["expected_margin"]

    assert set(found["population"]) == {"purchases"}
    assert found["clv"].to_numpy() == pytest.approx((by_purchases + found["contract_value"].fillna(0.0)).to_numpy())


def test_cost_to_serve_is_paid_for_the_longer_of_the_two(make_company: MakeCompany, tmp_path: Path):
    ledger = pd.DataFrame({"pool": "support", "month": pd.date_range("2025-01-01", periods=12, freq="MS"), "amount": 100.0})
    staff = pd.DataFrame([{"department": "support", "people": 1.0, "hours_per_month": 10.0, "cost_per_hour": 10.0}])
    served = contacts_of(dict.fromkeys(CONTRACTS["client_id"], 60.0))
    tables = {"deals": bills_of(CONTRACTS), "contracts": CONTRACTS}
    without = _worth(make_company(tables), tmp_path / "without")
    made = make_company({**tables, "interactions": served, "cost_ledger": ledger, "staff": staff.assign(skill="any")})
    found = _worth(made, tmp_path / "with")
    paid = without["clv"] - found["clv"]
    months = found[["discounted_months_alive", "contract_months_alive"]].max(axis=1)

    assert (found["cost_per_month"] > 0).all()
    assert paid.to_numpy() == pytest.approx((found["cost_per_month"] * months).to_numpy(), rel=1e-6)


def test_without_purchases_and_contracts_there_is_no_worth(make_company: MakeCompany, tmp_path: Path):
    made = make_company({"interactions": contacts_of({"a": 10.0})})
    keep = keep_in(made.data, tmp_path)
    nothing = Unanswered("segments.lifetime_value", "no deal was won.")

    worth = segments_worth.written_worth(made.data, made.settings, made.data.scan("clients"), nothing, nothing, keep)
    assert isinstance(worth, Unanswered)
