"""Proposals: never what a client has, in the order of what they bring."""

from __future__ import annotations

import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.engine import collect
from tests.conftest import MakeCompany
from tests.stages.offers.made_offers import Worked, sales, work


def test_nothing_is_proposed_that_the_client_has(worked: Worked):
    proposed = collect(worked.white.next_products)
    has = collect(worked.bought)

    assert proposed.merge(has, on=["client_id", "product_id"]).empty
    assert (
        proposed.groupby("client_id")["place"]
        .agg(["min", "max", "nunique", "size"])
        .eval("min == 1 and max == size and nunique == size")
        .all()
    )
    assert proposed.groupby("client_id").size().max() <= worked.made.settings.offers.next_products


def test_proposals_come_in_the_order_of_what_they_bring(worked: Worked):
    proposed = collect(worked.white.next_products).sort_values(["client_id", "place"])

    assert proposed.groupby("client_id")["expected_margin"].apply(lambda m: m.is_monotonic_decreasing).all()
    product = proposed["probability"] * proposed["uptake_share"] * proposed["buyer_margin"]
    assert proposed["expected_margin"].to_numpy() == pytest.approx(product.to_numpy())


def test_having_the_partner_raises_the_probability(worked: Worked):
    proposed = collect(worked.white.next_products)
    of_p1 = proposed[proposed["product_id"] == "P1"]

    assert of_p1["partner_product"].notna().any()
    assert (
        of_p1.loc[of_p1["partner_product"].notna(), "probability"].min()
        > of_p1.loc[of_p1["partner_product"].isna(), "probability"].max()
    )


def test_three_clients_are_too_few_for_any_product(make_company: MakeCompany):
    tables = {name: rows for name, rows in sales(3).items() if name != "interactions"}
    worked = work(make_company(tables))

    assert isinstance(worked.together, Unanswered)
    assert isinstance(worked.white, Unanswered)
    assert len(collect(worked.final)) == 3
