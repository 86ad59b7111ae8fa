"""Customer equity: what it rests on, that purchases and contracts add up, and bounds of single clients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import narwhals as nw
import pandas as pd
import pytest
import yaml

from crm_methods.company.answers import Answer, Unanswered
from crm_methods.company.intake import bring_in
from crm_methods.company.settings import load_company
from crm_methods.engine import EngineSettings, collect, open_engine
from crm_methods.models.residual_worth import FURTHER_YEARS
from crm_methods.stages import segments, segments_contracts, segments_equity, segments_value, segments_worth
from tests.conftest import MadeCompany, MakeCompany
from tests.stages.contract_companies import AS_OF, bills_of, yearly_contracts

ENDED, RUNNING = [1] * 6 + [2] * 4, [0] * 5 + [1] * 8 + [2] * 9


@dataclass(frozen=True)
class Found:
    """A company with what its clients are worth."""

    made: MadeCompany
    economics: nw.LazyFrame[Any]
    value: segments_value.LifetimeValue | Unanswered
    contracts: segments_contracts.Contracts | Unanswered
    worth: segments_worth.ClientWorth

    @property
    def clients(self) -> pd.DataFrame:
        return collect(self.worth.values.sort("client_id")).set_index("client_id")

    def equity(self, worth: Any = None) -> Answer:
        """With segments by the last digit of the id."""
        ids = self.clients.index
        named = pd.DataFrame({"client_id": ids, "segment": ["high_low" if i[-1] in "02468" else "low_low" for i in ids]})
        frame = self.made.data.engine.frame(named)
        found = segments_equity.customer_equity(self.worth if worth is None else worth, self.made.settings, frame)
        assert isinstance(found, Answer)
        assert "nan" not in found.sentence.lower()
        return found


def find(made: MadeCompany) -> Found:
    def keep(name: str, frame: Any, *, grain: str, key: list[str], totals: Any = ()) -> nw.LazyFrame[Any]:
        path = made.folder / f"{name}.parquet"
        made.data.engine.write(frame, path, order_by=key)
        return made.data.engine.scan(path)

    cost = segments.cost_to_serve(made.data, made.settings)
    client_economics = segments.client_economics(made.data, made.settings, cost)
    economics = keep("client_economics", client_economics, grain="", key=["client_id"])
    contracts = segments_contracts.contracts(made.data, made.settings, keep)
    deals = segments_contracts.without_contract_deals(made.data, made.data.scan("deals"))
    value = segments_value.lifetime_value(made.data, made.settings, economics, keep, deals)
    worth = segments_worth.client_worth(value, contracts, made.settings, economics)
    assert isinstance(worth, segments_worth.ClientWorth)
    return Found(made, economics, value, contracts, worth)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Found]:
    """Clients b00 … b29 who buy, c000 … c031 with contracts, of whom two buy, too; everybody costs the same to serve."""
    folder = tmp_path_factory.mktemp("both")
    held, bought = yearly_contracts(ENDED, RUNNING), pd.concat([_buys(f"b{c:02}", c) for c in range(30)])
    also = [_buys("c002", 7), _buys("c031", 16)]
    bills = bills_of(held).query("kind == 'contract'")
    deals = pd.concat([bought, *also, bills]).assign(deal_id=lambda d: range(len(d)))
    ids = [*bought["client_id"].unique(), *held["client_id"]]
    contacts = pd.DataFrame({"client_id": ids, "interaction_id": range(len(ids)), "handling_minutes": 30.0}).assign(
        started_at="2025-06-01 10:00:00", department="support", channel="phone", kind="service"
    )
    staff = pd.DataFrame(
        [{"skill": "any", "department": "support", "people": 1.0, "hours_per_month": 100.0, "cost_per_hour": 10.0}]
    )
    tables = {"deals": deals, "contracts": held, "interactions": contacts, "staff": staff}
    for name, rows in tables.items():
        rows.to_csv(folder / f"{name}.csv", index=False)
    pools = [{"name": "support", "cost_per_month": 1_000.0, "departments": ["support"]}]
    told = {
        "company": "Example",
        "as_of": AS_OF,
        "currency": "EUR",
        "costs": {"pools": pools},
        "lifetime_value": {"bootstraps": 20},
    }
    told["tables"] = {name: {"file": f"{name}.csv"} for name in tables}
    (folder / "company.yml").write_text(yaml.safe_dump(told), encoding="utf-8")
    engine, settings = open_engine(EngineSettings(memory_limit="1GB", threads=1), folder / "spill"), load_company(folder)
    yield find(MadeCompany(folder, settings, bring_in(settings, folder, engine, folder / "canonical")))
    engine.close()


def _buys(client: str, number: int) -> pd.DataFrame:
    """Purchases of a client over two years, at its own rate; some stopped long ago."""
    first = pd.Timestamp("2024-01-10") + pd.Timedelta(days=(37 * number) % 90)
    days = [first + pd.Timedelta(days=(20 + 3 * number) * n + (number * n * n) % 17) for n in range(1 + number % 9)]
    rows = pd.DataFrame({"client_id": client, "closed_on": days, "amount": 100.0 + 30 * number})
    return rows.assign(kind="repeat", status="won", cost=rows["amount"] / 2)


def test_purchases_and_contracts_of_a_client_add_up_and_cost_is_paid_once(both: Found) -> None:
    assert isinstance(both.value, segments_value.LifetimeValue)
    assert isinstance(both.contracts, segments_contracts.Contracts)
    clients = both.clients
    bought = collect(both.value.values).set_index("client_id")
    held = collect(both.contracts.values).set_index("client_id")

    assert sorted(clients.index) == sorted({*bought.index, *held.index})
    assert clients["population"].value_counts()["contract"] == len(held) - 2
    cost = clients["cost_per_month"]
    assert cost.nunique() == 1
    assert cost.iloc[0] > 0
    alive = pd.concat([clients["discounted_months_alive"], held["contract_months_alive"]], axis=1).max(axis=1)
    gross = (bought["discounted_purchases"] * bought["expected_margin"]).reindex(clients.index).fillna(0.0)
    whole = gross + held["contract_value"].reindex(clients.index).fillna(0.0) - cost * alive.reindex(clients.index)
    assert clients["clv"].to_numpy() == pytest.approx(whole.to_numpy())
    only = clients[clients["population"] == "contract"]
    assert only["p_alive"].tolist() == held["p_contract_alive"].reindex(only.index).tolist()


def test_equity_adds_up_and_names_what_it_rests_on(both: Found) -> None:
    found = both.equity()
    table, clients = found.table.set_index("segment"), both.clients

    assert table.index.tolist() == ["high_low", "low_low", "all"]
    assert table.loc["all", "equity"] == pytest.approx(clients["clv"].sum())
    assert table.loc["all", "contract_equity"] == pytest.approx(clients["contract_value"].sum())
    for column in ("clients", "expected_active_clients", "expected_purchases", "contract_equity", "equity"):
        assert table[column].iloc[:2].sum() == pytest.approx(table.loc["all", column])
    assert ((table["equity_low"] < table["equity"]) & (table["equity"] < table["equity_high"])).all()
    assert "the renewals of contracts for 22 clients" in found.sentence
    assert "after cost to serve (95% interval" in found.sentence


def test_the_residual_share_is_what_a_horizon_of_thirty_more_years_would_add(both: Found, tmp_path: Path) -> None:
    chosen = both.made.settings.lifetime_value
    longer = chosen.model_copy(update={"horizon_months": chosen.horizon_months + 12 * FURTHER_YEARS})
    settings = both.made.settings.model_copy(update={"lifetime_value": longer})
    far = find(replace(both.made, settings=settings, folder=tmp_path)).clients["clv"].sum()
    found = both.equity()
    near = both.clients["clv"].sum()
    shares = found.table.set_index("segment")["residual_share"]

    # Purchases and contracts of one client pay its cost once within a horizon, and each by itself beyond it.
    assert shares["all"] == pytest.approx(1 - near / far, abs=0.02)
    assert shares.between(0, 1).all()
    assert f"Were 30 more years counted, {shares['all']:.0%} of the sum would lie beyond these 36 months." in found.sentence


def test_revenue_ahead_holds_purchases_and_contracts(both: Found) -> None:
    made, contracts = both.made, both.contracts
    assert isinstance(contracts, segments_contracts.Contracts)
    beside = segments_contracts.deals_beside(made.data, contracts)
    ahead = segments_worth.revenue_ahead(made.data, made.settings, both.value, contracts, beside)
    bought = segments_value.expected_revenue(both.value, made.data, beside)
    assert ahead is not None
    assert bought is not None
    whole, by_purchases = (collect(f).set_index("client_id")["expected_revenue"] for f in (ahead, bought))
    held = whole.sub(by_purchases, fill_value=0.0)
    rows = collect(contracts.rows).set_index("client_id")

    assert whole.index.is_unique
    assert set(whole.index) == set(both.clients.index)
    # A contract that runs brings its value for the months to its next renewal at least, and for no more than the horizon.
    running = rows[rows["running"]]
    least = running["value_per_month"] * running["months_to_renewal"]
    assert (held[running.index] >= least - 1e-6).all()
    assert (held[running.index] <= 36 * running["value_per_month"] + 1e-6).all()
    assert held.drop(running.index).abs().max() < 1e-6


def test_every_client_has_bounds_that_hold_contracts_too(both: Found) -> None:
    found = segments_worth.client_bounds(both.worth, both.made.settings)
    joined = both.clients.join(found.table.set_index("client_id"))

    assert found.clients == len(found.table) == len(joined)
    running = joined[joined["contract_value"] > 0]
    assert (running["clv_low"] < running["clv"]).all()
    ended = joined[(joined["population"] == "contract") & (joined["p_alive"] == 0)]
    assert (ended[["clv_low", "clv", "clv_high"]] == 0).all(axis=None)
    assert joined["purchases_low"].isna().equals(joined["population"] == "contract")


def test_purchases_alone_are_the_worth_without_contracts_and_with_ones_in_another_measure(both: Found) -> None:
    assert isinstance(both.value, segments_value.LifetimeValue)
    assert isinstance(both.contracts, segments_contracts.Contracts)
    no_contracts = Unanswered("segments.contracts", "there is no contract.")
    alone = segments_worth.client_worth(both.value, no_contracts, both.made.settings, both.economics)
    in_revenue = replace(both.contracts, money="revenue")
    mixed = segments_worth.client_worth(both.value, in_revenue, both.made.settings, both.economics)

    assert isinstance(mixed, segments_worth.ClientWorth)
    one, two, three = (both.equity(worth) for worth in (both.value, alone, mixed))
    pd.testing.assert_frame_equal(one.table, two.table)
    pd.testing.assert_frame_equal(one.table, three.table)
    assert "contract_equity" not in one.table
    assert "contracts are not in it" in three.sentence
    assert "contract" not in one.sentence


def test_a_base_of_contracts_alone_has_an_equity(make_company: MakeCompany) -> None:
    held = yearly_contracts(ENDED, RUNNING)
    found = find(make_company({"contracts": held, "deals": bills_of(held).query("kind == 'contract'")}))
    assert isinstance(found.value, Unanswered)
    equity = found.equity()

    assert equity.table["equity"].tolist() == equity.table["contract_equity"].tolist()
    assert (equity.table["expected_purchases"] == 0).all()
    assert "It rests on the renewals of contracts" in equity.sentence
    assert equity.table["residual_share"].between(0, 1).all()
    bounds = segments_worth.client_bounds(found.worth, found.made.settings).table
    assert bounds["clv_high"].max() > 0
    nothing = Unanswered("segments.contracts", "there is no contract.")
    neither = segments_worth.client_worth(found.value, nothing, found.made.settings, found.economics)
    assert isinstance(neither, Unanswered)
    assert isinstance(segments_equity.customer_equity(neither, found.made.settings, found.economics), Unanswered)
