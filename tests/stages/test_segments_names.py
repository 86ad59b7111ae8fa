"""Whom to look at first."""

from __future__ import annotations

import pandas as pd

from crm_methods.company.answers import Answer, Unanswered
from crm_methods.engine import collect
from crm_methods.stages.segments_names import NAMES, first_names
from tests.conftest import MadeCompany, MakeCompany
from tests.stages.small_companies import deals_of

COLUMNS = ["client_id", "clv", "clv_revenue", "contribution", "revenue", "p_alive", "segment", "strategy"]


def _made(make_company: MakeCompany) -> MadeCompany:
    clients = pd.DataFrame({"client_id": ["c00", "c01"], "name": ["Acme", None]})
    return make_company({"deals": deals_of({"c00": 1.0}), "clients": clients})


def _listed(made: MadeCompany, rows: list[tuple[object, ...]]) -> Answer | Unanswered:
    frame = pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(COLUMNS[1:6], "float64"))
    return first_names(made.data, made.settings, made.data.engine.frame(frame))


def test_the_most_valuable_and_the_costliest_stand_with_their_names(make_company: MakeCompany):
    made = _made(make_company)
    rows = [
        ("c00", 90.0, None, 5.0, 50.0, 0.9, "high_low", "raise_loyalty"),
        ("c01", 10.0, None, -7.0, 20.0, 0.5, "low_high", "cut_costs"),
    ]
    answer = _listed(made, rows)

    assert isinstance(answer, Answer)
    assert answer.table["client"].tolist() == ["Acme", "c01", "c01"]
    assert answer.table["reason"].tolist() == ["worth most", "worth most", "costs most beyond its margin"]
    assert "100% of the base's value" in answer.sentence
    assert "One client costs €7 more than its margin" in answer.sentence


def test_each_list_is_cut_and_what_it_holds_of_all_is_said(make_company: MakeCompany):
    made = _made(make_company)
    rows = [(f"x{i:02}", 100.0 - i, None, -1.0 - i, 10.0, 0.5, "low_high", "cut_costs") for i in range(30)]
    answer = _listed(made, rows)

    assert isinstance(answer, Answer)
    assert len(answer.table) == 2 * NAMES
    assert answer.table["client"].tolist()[:2] == ["x00", "x01"]
    assert answer.table["client"].iloc[NAMES] == "x29"
    assert "that 30 such clients give back" in answer.sentence


def test_without_values_the_largest_by_revenue_are_listed(make_company: MakeCompany):
    made = _made(make_company)
    answer = _listed(made, [("c00", None, None, None, 50.0, None, "high_unknown", "raise_loyalty")])

    assert isinstance(answer, Answer)
    assert "clv" not in answer.table
    assert "alive_share" not in answer.table
    assert "revenue of the period" in answer.sentence


def test_a_value_that_assumes_a_rate_that_fell_is_marked(make_company: MakeCompany):
    days = [("c00", f"2024-0{month}-05") for month in range(1, 10)] + [("c00", "2025-03-01"), ("c01", "2024-05-05")]
    deals = pd.DataFrame(days, columns=["client_id", "closed_on"]).assign(amount=5.0)
    clients = pd.DataFrame({"client_id": ["c00", "c01"], "name": ["Acme", None]})
    made = make_company({"deals": deals.assign(deal_id=[f"d{i}" for i in range(len(deals))]), "clients": clients})
    rows = [
        ("c00", 90.0, None, 5.0, 50.0, 0.9, "high_low", "raise_loyalty"),
        ("c01", 10.0, None, 7.0, 20.0, 0.5, "low_high", "cut_costs"),
    ]
    answer = _listed(made, rows)

    assert isinstance(answer, Answer)
    assert "Acme bought far less often than the year before: its value assumes the former rate" in answer.sentence
    assert answer.table["fewer_purchases"].fillna("").tolist() == ["1 after 9", ""]


def test_nobody_to_list_is_said(make_company: MakeCompany):
    made = _made(make_company)

    assert isinstance(_listed(made, [("c00", None, None, None, 0.0, None, "all", "stimulate_sales")]), Unanswered)
    assert len(collect(made.data.scan("clients"))) == 2


def test_a_value_with_an_interval_is_shown_with_it(make_company: MakeCompany):
    made = _made(make_company)
    rows = [("c00", 90.0, None, 5.0, 50.0, 0.9, "high_low", "raise_loyalty")]
    frame = pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(COLUMNS[1:6], "float64"))
    answer = first_names(made.data, made.settings, made.data.engine.frame(frame.assign(clv_low=20.0, clv_high=300.0)))

    assert isinstance(answer, Answer)
    assert answer.table[["clv", "clv_low", "clv_high"]].to_numpy().tolist() == [[90.0, 20.0, 300.0]]
    assert "from €20 to €300 (95% interval)" in answer.sentence
