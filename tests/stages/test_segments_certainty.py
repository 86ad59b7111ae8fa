"""How sure the cells are: every client has a probability, a clock is sure, and a client at a cut is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crm_methods.company.answers import Unanswered
from crm_methods.engine import collect
from crm_methods.stages.segments_certainty import Certainty, certainty
from tests.conftest import MakeCompany
from tests.stages.two_years import placed, steady, two_years


def test_every_client_has_a_probability_and_every_segment_is_counted():
    found = steady()
    answer = certainty(*found.asked)
    assert isinstance(answer, Certainty)
    clients, cells = collect(answer.clients), collect(found.matrix.cells)

    assert sorted(clients["client_id"]) == sorted(cells["client_id"])
    assert clients["p_cell"].between(0, 1).all()
    # Who is in its cell follows its strategy.
    assert (clients["p_strategy"] >= clients["p_cell"]).all()
    assert answer.table["clients"].sum() == len(cells)
    assert (answer.table["sure_clients"] + answer.table["toss_up_clients"] <= answer.table["active_clients"]).all()
    assert "1 client without revenue or cost in the period can't vary and is left out" in answer.sentence


def test_a_client_near_the_cut_with_few_deals_is_less_sure_than_one_far_from_it(make_company: MakeCompany):
    amounts = {f"c{i:02}": ([], [float(size)] * 4) for i, size in enumerate(np.geomspace(10, 10_000, 21))}
    found = placed(two_years(make_company, amounts))
    answer, again = certainty(*found.asked), certainty(*found.asked)
    assert isinstance(answer, Certainty)
    assert isinstance(again, Certainty)
    sure = collect(answer.clients).set_index("client_id")["p_cell"]

    # Four of twelve parts hold a deal: none is drawn in (2/3)^12 = 0.8 % of periods.
    assert sure["c00"] > 0.95
    assert sure["c20"] > 0.95
    assert sure["c11"] < 0.9
    assert collect(again.clients).set_index("client_id")["p_cell"].equals(sure)


def test_without_dated_deals_nothing_is_drawn():
    *asked, periods = steady().asked
    answer = certainty(*asked, replace(periods, is_dated=False))

    assert isinstance(answer, Unanswered)
    assert "no deal is dated" in answer.sentence
