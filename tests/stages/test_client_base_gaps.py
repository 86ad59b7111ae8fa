"""Completeness, gaps ranked by harm, and what account managers are asked."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from crm_methods.company.questions import QUESTIONS
from crm_methods.reports.exports import write_csv
from crm_methods.stages import client_base
from crm_methods.stages.client_base_fields import BLOCKS, FIELDS, WHOLE_TABLE, filled_fields
from crm_methods.stages.client_base_gaps import (
    Completeness,
    DataRequests,
    Gaps,
    completeness,
    data_requests,
    gaps,
    request_list,
)
from tests.conftest import MadeCompany, MakeCompany

DEALS = pd.DataFrame(
    {
        "deal_id": ["1", "2", "3"],
        "client_id": ["a", "b", "c"],
        "closed_on": "2025-02-01",
        "amount": [900.0, 90.0, 10.0],
        "owner": "X",
    }
)
CLIENTS = pd.DataFrame(
    {
        "client_id": ["a", "b", "c"],
        "name": ["Alpha", "Beta", "Gamma"],
        "industry": ["mining", None, None],
        "tax_id": [None, "NL12345", "NL98765"],
        "owner": ["Ann", "Ben", None],
        "employees": [500, 5, None],
    }
)


def _known(made: MadeCompany) -> Completeness:
    filled = filled_fields(made.data, made.settings, client_base.client_facts(made.data, made.settings))
    found = completeness(made.data, made.settings, filled)
    assert isinstance(found, Completeness)
    return found


def _gaps(made: MadeCompany) -> Gaps:
    return gaps(made.data, made.settings, _known(made))


def _requests(made: MadeCompany) -> DataRequests:
    filled = filled_fields(made.data, made.settings, client_base.client_facts(made.data, made.settings))
    return data_requests(made.data, made.settings, filled, completeness(made.data, made.settings, filled))


def test_a_gap_at_a_large_client_weighs_more(make_company: MakeCompany):
    fields = _known(make_company({"deals": DEALS, "clients": CLIENTS})).fields.set_index("field")

    assert fields.loc["clients.tax_id", "filled_revenue_share"] == pytest.approx(0.1)
    assert fields.loc["clients.tax_id", "filled_client_share"] == pytest.approx(2 / 3, abs=1e-6)
    assert fields.loc["clients.industry", "filled_revenue_share"] == pytest.approx(0.9)


def test_what_is_filled_and_what_is_not_add_up_to_the_revenue(make_company: MakeCompany):
    fields = _known(make_company({"deals": DEALS, "clients": CLIENTS})).fields
    applies = fields["filled_revenue_share"].notna()

    total = fields["filled_revenue_share"] * fields["revenue"] + fields["gap_revenue"]
    assert total[applies].to_numpy() == pytest.approx(fields.loc[applies, "revenue"].to_numpy(), abs=0.01)


def test_the_revenue_of_groups_adds_up_to_that_of_all(make_company: MakeCompany):
    shares = _known(make_company({"deals": DEALS, "clients": CLIENTS})).shares
    blocks = shares[(shares["field"] == "") & (shares["block"] == "contact")]

    assert blocks.groupby("by")["revenue"].sum().round(2).nunique() == 1
    assert set(blocks["by"]) == {"all", "industry", "size_class"}


def test_a_block_is_the_mean_of_its_fields(make_company: MakeCompany):
    known = _known(make_company({"deals": DEALS, "clients": CLIENTS}))
    means = known.fields.groupby("block")["filled_revenue_share"].mean()

    for block in BLOCKS:
        assert known.map[block].iloc[0] == pytest.approx(means[block], abs=1e-5)


def test_the_currency_changes_no_share_and_no_rank(make_company: MakeCompany):
    one, other = (
        _gaps(make_company({"deals": DEALS.assign(amount=DEALS["amount"] * k), "clients": CLIENTS})).ranked for k in (1, 100)
    )

    pd.testing.assert_frame_equal(one.drop(columns="gap_revenue"), other.drop(columns="gap_revenue"))


def test_gaps_are_ranked_by_questions_lost(make_company: MakeCompany):
    ranked = _gaps(make_company({"deals": DEALS, "clients": CLIENTS})).ranked

    assert ranked["questions_lost"].is_monotonic_decreasing
    assert ranked["questions_lost"].to_numpy() == pytest.approx(
        (ranked["questions"] * ranked["gap_revenue_share"]).to_numpy(), abs=1e-5
    )
    assert ranked["place"].tolist() == list(range(1, len(ranked) + 1))


def test_a_table_that_is_not_there_is_one_gap(make_company: MakeCompany):
    ranked = _gaps(make_company({"deals": DEALS})).ranked

    assert ranked.loc[ranked["table"] == "clients", "column"].tolist() == [WHOLE_TABLE]
    assert {"interactions", "contact_persons", "deal_lines", "surveys"} <= set(
        ranked.loc[ranked["column"] == WHOLE_TABLE, "table"]
    )


def test_only_questions_that_are_asked_count():
    assert not [q for field in FIELDS for q in field.questions if QUESTIONS[q].planned]


def test_without_revenue_every_client_weighs_the_same(make_company: MakeCompany):
    contacts = pd.DataFrame(
        {"interaction_id": ["1"], "client_id": ["a"], "started_at": ["2025-06-01 10:00:00"], "channel": ["phone"]}
    )
    made = make_company({"interactions": contacts, "clients": CLIENTS})
    known = _known(made)

    assert not known.is_weighted
    assert known.fields.set_index("field").loc["clients.tax_id", "filled_revenue_share"] == pytest.approx(2 / 3, abs=1e-6)
    assert "every client weighing the same" in known.sentence
    assert "revenue" not in gaps(made.data, made.settings, known).sentence


def test_the_largest_clients_are_asked_for_what_others_have(make_company: MakeCompany):
    asked = _requests(make_company({"deals": DEALS, "clients": CLIENTS})).requests

    # Client a alone brings 80 % of the revenue; the fields that no client has are not asked for.
    assert asked[["client", "field", "owner"]].to_numpy().tolist() == [["Alpha", "clients.tax_id", "Ann"]]
    assert asked["why"].iloc[0].startswith("Needed to answer: ")


def test_nobody_is_asked_without_a_list_of_clients(make_company: MakeCompany):
    found = _requests(make_company({"deals": DEALS}))

    assert request_list(found).empty
    assert "no list of clients" in found.sentence


def test_a_hostile_name_stays_text_in_the_list(make_company: MakeCompany, tmp_path: Path):
    made = make_company({"deals": DEALS, "clients": CLIENTS.assign(name=["=HYPERLINK(1)", "Beta", "Gamma"])})
    write_csv(request_list(_requests(made)), tmp_path / "list.csv")

    assert "'=HYPERLINK(1)" in (tmp_path / "list.csv").read_text(encoding="utf-8-sig")
