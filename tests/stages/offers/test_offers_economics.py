"""Costs, gains, the ladder and the budget."""

from __future__ import annotations

import pytest

from crm_methods.company.settings import with_knobs
from crm_methods.engine import collect
from crm_methods.stages import offers
from crm_methods.stages.offers_economics import break_even_share
from tests.conftest import MakeCompany
from tests.stages.offers.made_offers import Worked, sales, work


def test_net_gain_is_what_is_brought_less_what_is_spent(worked: Worked):
    final = collect(worked.final)

    assert final["net_gain"].to_numpy() == pytest.approx(
        (final["expected_margin"] + final["kept_margin"] - final["offer_cost"]).to_numpy()
    )
    assert worked.economics.table["offer_cost"].sum() == pytest.approx(final["offer_cost"].sum())


def test_what_does_not_pay_is_made_simpler(make_company: MakeCompany):
    final = collect(work(make_company(sales()), cost_to_serve=[9_000.0]).final)
    apart = final["designed_service_package"] != "essential"

    assert final.loc[apart, "downgraded"].all()
    assert (final["service_package"] == "essential").all()
    assert (final["pays"] == (final["net_gain"] >= 0)).all()


def test_clients_whose_margin_carries_the_service_keep_the_designed_one(make_company: MakeCompany):
    tables = sales()
    rich = tables["deals"].assign(amount=lambda d: d["amount"] * 1e5, cost=lambda d: d["cost"] * 1e5)
    lines = tables["deal_lines"].assign(unit_price=lambda d: d["unit_price"] * 1e5)
    final = collect(work(make_company(tables | {"deals": rich, "deal_lines": lines}), segment=["high_low"]).final)
    active = final[final["kept_margin"] > 0]

    assert len(active)
    assert (active["service_package"] == active["designed_service_package"]).all()


def test_a_budget_is_kept_and_more_money_never_gains_less(worked: Worked):
    full = float(worked.economics.table["offer_cost"].sum())
    gains, costs = [], []
    budgets = (full * 2, full * 0.8, full * 0.5, 1.0)
    for budget in budgets:
        settings = with_knobs(worked.made.settings, "offers", {"budget": budget})
        answer = offers.economics(worked.made.data, settings, worked.plan, worked.designed, worked.white)
        rows = collect(answer.offers)
        assert len(rows) == rows["client_id"].nunique() == worked.economics.table["clients"].sum()
        assert rows[~rows["within_budget"].astype(bool)].eval("step == last_step").all()
        gains.append(answer.table["net_gain"].sum())
        costs.append(rows["offer_cost"].sum())

    # Even the simplest offers cost something, and everybody gets one.
    assert all(cost <= max(budget, costs[-1]) + 1e-6 for cost, budget in zip(costs, budgets, strict=True))
    assert gains[0] == pytest.approx(worked.economics.table["net_gain"].sum())
    assert gains == sorted(gains, reverse=True)


@pytest.mark.parametrize(("discount", "margin", "volume"), [(0.1, 0.3, 0.5), (0.05, 0.3, 0.2), (0.0, 0.3, 0.0)])
def test_break_even_volume(discount: float, margin: float, volume: float):
    assert break_even_share(discount, margin) == pytest.approx(volume)


def test_no_volume_makes_up_for_a_discount_of_the_whole_margin():
    assert break_even_share(0.3, 0.3) is None
