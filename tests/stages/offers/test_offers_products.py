"""What segments buy and what goes together: counts of clients, tests, planted truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, hypergeom

from crm_methods.stages import offers
from crm_methods.stages.offers_products import _benjamini_hochberg, minimum_support
from tests.conftest import MakeCompany
from tests.stages.offers.made_offers import Worked, sales, work


def test_penetration_counts_clients_and_not_deals(worked: Worked):
    deals = sales()["deals"].merge(sales()["deal_lines"][["deal_id", "product_id"]], on="deal_id")
    inside = deals[pd.to_datetime(deals["closed_on"]) > "2024-12-31"].drop_duplicates(["client_id", "product_id"])

    bought = worked.penetration.products.groupby("product_id")["buyers"].sum()

    assert bought.to_dict() == inside.groupby("product_id").size().to_dict()
    assert worked.penetration.products["penetration_share"].between(0, 1).all()
    assert (worked.penetration.products["buyers"] <= worked.penetration.products["ever_buyers"]).all()


def test_lift_is_n_times_both_over_the_product_of_each(worked: Worked):
    pairs = sales()["deals"].merge(sales()["deal_lines"][["deal_id", "product_id"]], on="deal_id")
    has = pd.crosstab(pairs["client_id"], pairs["product_id"]) > 0

    for row in worked.together.pairs.itertuples():
        a, b = has[row.product_id], has[row.with_product_id]
        assert row.both_clients == (a & b).sum()
        assert row.lift == pytest.approx(len(has) * (a & b).sum() / (a.sum() * b.sum()))
        assert row.p_value == pytest.approx(hypergeom.sf((a & b).sum() - 1, len(has), a.sum(), b.sum()))


def test_a_planted_pair_ranks_first_and_alone_is_proven(worked: Worked):
    first = worked.together.table.iloc[0]
    proven = worked.together.pairs[worked.together.pairs["goes_together"]]

    assert {first["product"], first["with_product"]} == {"Product P0", "Product P1"}
    assert set(proven["product_id"]) == {"P0", "P1"}


def test_independent_baskets_rarely_prove_anything():
    # 20 bases, seeds 0–19: P(at least one false finding) ≤ 5 % each; 4 or more of 20 would have a chance of 1.6 %.
    found = 0
    for seed in range(20):
        tables = sales(90, seed, planted=False)
        has = tables["deals"].merge(tables["deal_lines"], on="deal_id").drop_duplicates(["client_id", "product_id"])
        profile = has[["client_id"]].drop_duplicates().assign(segment="all", industry="retail")
        bought = nw.from_native(has.assign(product=has["product_id"])[["client_id", "product_id", "product"]]).lazy()
        answer = offers.goes_together(None, bought, nw.from_native(profile).lazy())
        found += bool(answer.pairs["goes_together"].any())

    assert found <= 3


def test_q_values_are_those_of_benjamini_and_hochberg():
    p = np.array([0.001, 0.2, 0.01, 0.03])

    assert _benjamini_hochberg(p, 10) == pytest.approx(false_discovery_control([*p, *[1.0] * 6])[:4])


def test_support_is_one_per_cent_and_at_least_fifteen_clients():
    assert [minimum_support(n) for n in (3, 1_500, 1_501, 100_000)] == [15, 15, 16, 1_000]


def test_the_samples_planted_pairs_rank_first(make_company: MakeCompany):
    folder = Path(__file__).resolve().parents[3] / "data" / "meridian"
    names = ("deals", "deal_lines", "products", "clients")
    made = make_company(
        {name: pd.read_csv(folder / f"{name}.csv", dtype=str) for name in names}, intake={"max_rejected_share": 1.0}
    )
    worked = work(made, segment=["high_low"])
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    planted = _planted(truth)
    pairs = worked.together.pairs.sort_values("lift", ascending=False)
    found = [frozenset((r.product_id, r.with_product_id)) for r in pairs.itertuples()][::2]

    assert set(found[: len(planted)]) == planted
    assert {frozenset((r.product_id, r.with_product_id)) for r in pairs[pairs["goes_together"]].itertuples()} >= planted


def _planted(truth: dict[str, Any]) -> set[frozenset[str]]:
    return {frozenset((pair["first"], pair["second"])) for pair in truth["co_purchases"]["pairs"]}
