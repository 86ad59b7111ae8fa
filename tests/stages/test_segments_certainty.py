"""How sure the cells are: every client has a probability, a clock is sure, and a client at a cut is not."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pandas as pd

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
    drawn = clients.dropna(subset=["p_cell"])
    assert set(clients["client_id"]) - set(drawn["client_id"]) == {"left"}
    assert drawn["p_cell"].between(0, 1).all()
    # Who is in its cell follows its strategy.
    assert (drawn["p_strategy"] >= drawn["p_cell"]).all()
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


def test_a_client_with_one_yearly_bill_is_left_out_and_where_all_have_one_nothing_can_be_told(make_company: MakeCompany):
    monthly = {f"c{i}": ([50.0] * 12, [50.0 + i] * 12) for i in range(6)}
    answer = certainty(*placed(two_years(make_company, {**monthly, "once": ([900.0], [900.0])})).asked)
    assert isinstance(answer, Certainty)
    clients = collect(answer.clients)
    assert clients.loc[clients["p_cell"].isna(), "client_id"].tolist() == ["once"]
    assert "1 client with all revenue, or cost, in one part" in answer.sentence

    rare = certainty(*placed(two_years(make_company, {f"c{i}": ([], [50.0 + i]) for i in range(6)})).asked)
    assert isinstance(rare, Unanswered)
    assert "of 6 active clients 6 have all of their revenue" in rare.sentence


def test_only_parts_with_history_are_drawn(make_company: MakeCompany):
    def bought(first: dt.date) -> Certainty | Unanswered:
        days = [first + dt.timedelta(days=n) for n in range(0, (dt.date(2025, 12, 31) - first).days, 15)]
        rows = [(f"c{i}", day, 10.0 * (i + 1)) for i in range(8) for day in days]
        deals = pd.DataFrame(rows, columns=["client_id", "closed_on", "amount"]).assign(deal_id=lambda d: range(len(d)))
        return certainty(*placed(make_company({"deals": deals}, as_of=dt.date(2025, 12, 31), segments={"bootstraps": 200})).asked)

    half = bought(dt.date(2025, 7, 4))
    assert isinstance(half, Certainty)
    assert "Had the 6 parts of the period in which history exists come otherwise" in half.sentence
    assert collect(half.clients)["p_cell"].min() > 0.9
    short = bought(dt.date(2025, 11, 4))
    assert isinstance(short, Unanswered)
    assert "in 2 of the 12 parts" in short.sentence


def test_without_dated_deals_nothing_is_drawn():
    *asked, periods = steady().asked
    answer = certainty(*asked, replace(periods, is_dated=False))

    assert isinstance(answer, Unanswered)
    assert "no deal is dated" in answer.sentence
