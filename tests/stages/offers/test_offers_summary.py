"""Segment-level tables and checks."""

from __future__ import annotations

import pytest

from crm_methods.engine import collect
from crm_methods.stages import offers_summary
from tests.stages.offers.made_offers import Worked, sales


def test_every_client_has_exactly_one_base_package_and_every_large_one_an_owner(worked: Worked):
    final = collect(worked.final)
    done = offers_summary.conclusion(
        worked.made.settings, worked.plan, worked.final, worked.upstream, worked.economics, worked.white, worked.together
    )

    assert sorted(final["client_id"]) == sorted(set(sales()["deals"]["client_id"]))
    assert final[["product_package", "service_package", "text"]].notna().all(axis=None)
    assert final.loc[final["size"] == "large", "account_owner"].notna().all()
    assert all(check.passed for check in done.checks)


def test_segments_get_the_package_most_of_their_clients_have(worked: Worked):
    final = collect(worked.final)
    table = offers_summary.segment_packages(worked.final, worked.plan).set_index("segment")

    for segment, rows in final.groupby("segment"):
        counts = rows["service_package"].value_counts()
        assert table.loc[segment, "service_clients"] == counts.max() == counts[table.loc[segment, "service_package"]]
        assert table.loc[segment, "offer_cost"] == pytest.approx(rows["offer_cost"].sum())
