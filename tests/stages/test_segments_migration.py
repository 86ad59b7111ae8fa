"""Who moved: every client is counted once, and what is more than chance is told apart from what is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.engine import collect
from crm_methods.stages.segments_migration import Migration, migration
from tests.conftest import MakeCompany
from tests.stages.two_years import placed, steady, steady_migration, two_years


def test_every_client_is_counted_once_and_only_the_one_that_grew_moved_beyond_noise():
    answer = steady_migration()
    clients = collect(answer.clients).set_index("client_id")
    table, origins = answer.moves, answer.origins.set_index("previous_segment")

    assert table["clients"].sum() == 33
    assert answer.benchmark.both_clients == 31
    assert table.groupby("previous_segment")["origin_share"].sum().tolist() == pytest.approx(
        [1.0] * table["previous_segment"].nunique()
    )
    assert clients.loc["started", "previous_segment"] == "new"
    assert table.loc[table["segment"] == "gone", "clients"].tolist() == [1]
    assert clients.index[clients["moved_beyond_noise"].astype(bool)].tolist() == ["up"]
    assert answer.beyond["client_id"].tolist() == ["up"]
    assert table["beyond_noise_clients"].sum() == 1
    # Two of the ten of the lowest cell left it: Wilson's interval of 2 in 10 is 5.7 % to 51.0 %.
    assert origins.loc["low_low", ["clients", "left_clients"]].tolist() == [10, 2]
    assert origins.loc["low_low", ["low_left_share", "high_left_share"]].tolist() == pytest.approx([0.0567, 0.5098], abs=1e-4)
    assert "1 client is new and 1 is gone" in answer.sentence
    assert answer.benchmark.low <= answer.benchmark.chance_share <= answer.benchmark.high


def test_clients_of_which_none_is_in_both_periods_have_no_benchmark(make_company: MakeCompany):
    amounts = {f"c{i}": ([5.0 + i], []) if i % 2 else ([], [7.0 + i]) for i in range(8)}
    answer = migration(*placed(two_years(make_company, amounts)).asked)
    assert isinstance(answer, Migration)

    assert "No client was active in both periods" in answer.sentence
    assert answer.beyond.empty
    assert not collect(answer.clients)["moved_beyond_noise"].any()


def test_without_an_earlier_period_the_reason_is_told():
    *asked, periods = steady().asked
    answer = migration(*asked, replace(periods, economics_before=None, reason="the first deal is of 15 Jan 2025"))

    assert isinstance(answer, Unanswered)
    assert "the first deal is of 15 Jan 2025." in answer.sentence
