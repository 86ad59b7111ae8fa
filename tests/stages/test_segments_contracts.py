"""Contracts through the stage: what they are worth, that nothing counts twice, and bases on which models break."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.engine import collect
from crm_methods.models import contract_retention as sbg
from crm_methods.models.lifetime_value import monthly_discount_rate
from crm_methods.stages.segments_contracts import (
    Contracts,
    contract_clients,
    contract_draws,
    contracts,
    without_contract_deals,
)
from tests.conftest import MadeCompany, MakeCompany
from tests.stages.contract_companies import bills_of, yearly_contracts

ENDED, RUNNING = [1] * 6 + [2] * 4 + [3] * 2, [0] * 5 + [1] * 8 + [2] * 9 + [3] * 6


def _ask(made: MadeCompany) -> Contracts | Unanswered:
    def keep(name: str, frame: Any, *, grain: str, key: list[str]) -> nw.LazyFrame[Any]:
        path = made.folder / f"{name}.parquet"
        made.data.engine.write(frame, path, order_by=key)
        return made.data.engine.scan(path)

    return contracts(made.data, made.settings, keep)


def _found(made: MadeCompany) -> Contracts:
    found = _ask(made)
    assert isinstance(found, Contracts)
    assert not re.search(r"\b(nan|inf|None)\b", found.sentence.replace("None has", "").replace("None runs", ""))
    assert found.sentence.count("–") == 0
    return found


def _values(found: Contracts) -> pd.DataFrame:
    return collect(found.values.sort("client_id")).set_index("client_id")


def test_a_contract_is_worth_its_margin_in_the_months_it_is_expected_to_run(make_company: MakeCompany):
    held = yearly_contracts(ENDED, RUNNING)
    found = _found(make_company({"contracts": held, "deals": bills_of(held)}))
    values, rows = _values(found), collect(found.rows.sort("client_id"))

    assert (found.money, found.term_months, found.source) == ("margin", 12, "contracts")
    assert (found.fit.contracts, found.fit.ended, found.fit.oldest) == (40, 12, 3)
    months = sbg.expected_months(found.fit, rows, 36, monthly_discount_rate(0.10))
    assert values["contract_value"].to_numpy() == pytest.approx(months * 40.0)
    assert (values["contract_value"] > 0).to_numpy().tolist() == rows["running"].tolist()
    assert values["contract_months_alive"].to_numpy() == pytest.approx(months)
    assert values["p_contract_alive"].sum() == values["running_contracts"].sum() == 28
    assert values.loc["c012", "contract_renewals"] == 0
    assert values.loc["c039", "contract_renewals"] == 3
    assert (values["next_renewal_on"].dropna().dt.date == dt.date(2026, 6, 30)).all()
    table = found.table.set_index("renewal")
    assert table[["faced", "ended"]].to_numpy().tolist() == [[35, 6], [21, 4], [8, 2]]
    assert (table["low_share"] < table["kept_share"]).all()
    assert (table["kept_share"] < table["high_share"]).all()


def test_drawn_worth_scatters_around_the_value_less_the_cost_to_serve(make_company: MakeCompany):
    held = yearly_contracts(ENDED * 9, RUNNING * 9)
    made = make_company({"contracts": held, "deals": bills_of(held)})
    found = _found(made)
    values, rng = _values(found), np.random.default_rng(6)
    costs = pd.DataFrame({"client_id": values.index, "cost_per_month": 10.0})

    ways = [contract_draws(found, made.settings, given) for given in (None, costs)]
    totals = np.array([[way.draw(rng).sum() for _ in range(400)] for way in ways])

    assert ways[0].clients["client_id"].tolist() == values.index.tolist()
    expected = values["contract_value"].sum() - np.array([0, 10]) * values["contract_months_alive"].sum()
    # Parameters drawn on both sides of the estimate: their mean is the estimate's but for curvature.
    assert totals.mean(axis=1) == pytest.approx(expected, rel=0.01)
    assert (totals.std(axis=1) > 0.01 * expected).all()


def test_bills_of_contracts_are_left_out_and_everything_else_stays(make_company: MakeCompany):
    held = yearly_contracts([1], [1, 2])
    deals = bills_of(held)
    stray = deals.iloc[[0]].assign(client_id="billed only", deal_id="stray")
    made = make_company({"contracts": held, "deals": pd.concat([deals, stray])})
    won = made.data.scan("deals").filter(nw.col("status") == "won")
    kept = collect(without_contract_deals(made.data, won))

    assert sorted(kept["deal_id"]) == sorted([*deals.loc[deals["kind"] == "repeat", "deal_id"], "stray"])
    assert kept.columns.tolist() == won.collect_schema().names()
    assert collect(contract_clients(made.data).sort("client_id"))["client_id"].tolist() == ["c000", "c001", "c002"]
    assert "1 client has deals of kind contract but no contract in the table" in _found(made).sentence


def test_the_chain_of_bills_says_what_the_table_of_contracts_says(make_company: MakeCompany):
    held = yearly_contracts(ENDED, RUNNING)
    with_table = _found(make_company({"contracts": held, "deals": bills_of(held)}))
    made = make_company({"deals": bills_of(held)})
    without = _found(made)

    assert without.source == "deals"
    assert without.table[["faced", "ended"]].to_numpy().tolist() == with_table.table[["faced", "ended"]].to_numpy().tolist()
    assert (without.fit.alpha, without.fit.beta) == pytest.approx((with_table.fit.alpha, with_table.fit.beta))
    assert _values(without)["contract_value"].sum() == pytest.approx(_values(with_table)["contract_value"].sum(), rel=0.01)
    kept = collect(without_contract_deals(made.data, made.data.scan("deals")))
    assert set(kept["kind"]) == {"repeat"}


@pytest.mark.parametrize(
    ("ended", "running"),
    [([], [0]), ([], [2] * 30), ([1] * 30, [])],
    ids=["one contract", "nobody left", "all left at once"],
)
def test_few_or_one_sided_contracts_still_have_an_answer(make_company: MakeCompany, ended: list[int], running: list[int]):
    held = yearly_contracts(ended, running)
    found = _found(make_company({"contracts": held, "deals": bills_of(held)}, lifetime_value={"estimation": "ml"}))

    values = _values(found)
    assert values["contract_value"].between(0, 36 * 40).all()
    assert (values["contract_value"] > 0).sum() == len(running)
    assert ("assumption, not a finding" in found.sentence) is (max([*ended, *running]) == 0)
    assert ("retention is overstated" in found.sentence) is (not ended and max(running) > 0)
    assert ("None runs today" in found.sentence) is (not running)


def test_the_currency_changes_values_alone(make_company: MakeCompany):
    small, large = (
        _found(make_company({"contracts": held, "deals": bills_of(held)}))
        for held in (yearly_contracts([1, 2], [0, 1, 2], per_month=1_000.0 * factor) for factor in (1e-3, 1e9))
    )

    assert small.table.equals(large.table)
    assert _values(large)["contract_value"].to_numpy() == pytest.approx(_values(small)["contract_value"] * 1e12, rel=1e-3)


def test_without_margins_the_value_is_revenue_and_called_so(make_company: MakeCompany):
    held = yearly_contracts([1], [1, 1])
    found = _found(make_company({"contracts": held, "deals": bills_of(held, cost_share=None)}))

    assert found.money == "revenue"
    assert "of revenue, since their margin is not known" in found.sentence
    values = _values(found)
    assert values["contract_value"].to_numpy() == pytest.approx(values["contract_months_alive"] * 100.0)


def test_a_contract_without_a_value_is_worth_what_its_client_is_billed(make_company: MakeCompany):
    held = yearly_contracts([1, 1], [1, 2, 3])
    deals = bills_of(held)
    silent = held.assign(value_per_month=held["value_per_month"].where(held["client_id"] < "c003"))
    found = _found(make_company({"contracts": silent, "deals": deals[deals["client_id"] != "c004"]}))

    values = _values(found)
    per_month = values["contract_value"] / values["contract_months_alive"]
    assert per_month.loc[["c002", "c003", "c004"]].to_numpy() == pytest.approx([40.0, 40.0, 0.0], rel=0.02)
    assert "1 running contract without a value per month counts nothing" in found.sentence


def test_a_company_without_contracts_is_told_what_would_help(make_company: MakeCompany):
    deals = bills_of(yearly_contracts([], [1])).query("kind != 'contract'")
    found = _ask(make_company({"deals": deals}))

    assert isinstance(found, Unanswered)
    assert "a table of contracts" in found.sentence


def test_the_term_of_company_yml_goes_before_what_the_lengths_show(make_company: MakeCompany):
    held = yearly_contracts([1, 2], [1, 2, 3])
    found = _found(make_company({"contracts": held, "deals": bills_of(held)}, lifetime_value={"contract_term_months": 6}))

    assert found.term_months == 6
    assert found.fit.oldest == 7
    assert "as company.yml says" in found.sentence
