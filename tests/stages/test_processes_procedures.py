"""Procedures: derived from packages and the company's own rows, with one who answers."""

from __future__ import annotations

from typing import Any

import pandas as pd

from crm_methods.stages import processes
from crm_methods.stages.processes_procedures import contacts_seen, kept_by, responsibilities
from tests.conftest import MakeCompany
from tests.stages.made_service import Served, contact, serve

ALL = {"a": "high_low", "b": "high_low", "c": "low_high", "d": "low_low"}


def _row(served: Served, segment: str, procedure: str) -> pd.Series[Any]:
    rows = served.procedures().rows.set_index(["segment", "procedure"])
    return rows.loc[(segment, procedure)]


def _spoken(topic: str, department: str, channel: str) -> list[dict[str, Any]]:
    return [
        contact(c, f"2025-06-0{d} 10:00", 1, 5, topic=topic, department=department, channel=channel) for c in ALL for d in (2, 3)
    ]


def test_every_procedure_of_every_segment_has_one_accountable_and_somebody_responsible(make_company: MakeCompany):
    rows = serve(make_company, ALL, _spoken("outage", "support", "phone")).procedures().rows

    assert rows["accountable"].str.split(", ").str.len().eq(1).all()
    assert rows["accountable"].ne("").all()
    assert rows["responsible"].ne("").all()
    assert not rows.duplicated(["segment", "procedure"]).any()


def test_companies_of_different_rows_get_different_procedures(make_company: MakeCompany):
    one = _row(serve(make_company, ALL, _spoken("outage", "support", "phone")), "high_low", "solve_request")
    other = _row(serve(make_company, ALL, _spoken("late delivery", "logistics", "email")), "high_low", "solve_request")

    assert "outage" in one["materials"]
    assert "late delivery" in other["materials"]
    assert (one["responsible"], other["responsible"]) == ("support", "logistics")
    assert one["channel"] != other["channel"]


def test_hours_channels_and_head_follow_the_package_of_the_segment(make_company: MakeCompany):
    served = serve(make_company, ALL, _spoken("outage", "support", "portal"))
    loyal, cheap = _row(served, "high_low", "solve_request"), _row(served, "low_high", "solve_request")

    assert (loyal["target_hours"], cheap["target_hours"]) == (24, 72)
    assert (loyal["accountable"], cheap["accountable"]) == ("account owner", "head of support")
    assert cheap["channel"] == "portal; email not used yet"


def test_contacts_by_a_channel_that_the_package_does_not_offer_are_counted(make_company: MakeCompany):
    contacts = [contact("c", "2025-06-02 10:00", 1, 5, channel=channel) for channel in ("phone", "phone", "phone", "email")]

    assert _row(serve(make_company, ALL, contacts), "low_high", "answer_request")["outside_share"] == 0.75


def test_a_procedure_without_variants_is_the_same_for_every_segment(make_company: MakeCompany):
    rows = serve(make_company, ALL, _spoken("outage", "support", "phone")).procedures().rows
    own = rows[rows["procedure"] == "quotation"]

    assert own["variant"].unique().tolist() == [""]
    assert len(own[["channel", "responsible", "accountable", "materials", "target"]].drop_duplicates()) == 1


def test_segments_of_equal_package_and_range_share_a_form(make_company: MakeCompany):
    rows = serve(make_company, {"a": "high_low", "b": "high_high", "c": "low_low"}, []).procedures().rows
    variants = rows[rows["procedure"] == "answer_request"].set_index("segment")["variant"]

    assert variants["high_low"] == variants["high_high"] != variants["low_low"]


def test_what_nobody_records_is_to_be_named(make_company: MakeCompany):
    found = serve(make_company, ALL, []).procedures()

    assert "to be named" in found.sentence
    assert found.rows.loc[found.rows["procedure"] == "solve_request", "responsible"].eq("department (to be named)").all()
    assert not found.rows[["materials", "qualification", "responsible"]].stack().str.contains("{", regex=False).any()


def test_a_procedure_never_seen_where_others_are_is_left_out(make_company: MakeCompany):
    without = serve(make_company, ALL, _spoken("outage", "support", "phone")).procedures().rows
    with_it = (
        serve(make_company, ALL, [*_spoken("outage", "support", "phone"), contact("a", "2025-06-02 10:00", kind="onboarding")])
        .procedures()
        .rows
    )

    assert "onboarding" not in set(without["procedure"])
    assert "onboarding" in set(with_it["procedure"])


def test_every_promise_is_given_to_a_procedure_or_reported(make_company: MakeCompany):
    served = serve(make_company, ALL, [], promises=["an answer the same day", "world peace"])
    found = served.procedures()

    assert _row(served, "low_low", "answer_request")["promise"] == "an answer the same day"
    assert found.unkept == ("world peace",)
    assert "world peace" in processes.means(found).sentence
    assert kept_by(["x"], served.plan.content) == {"x": None}


def test_the_words_of_one_row_are_not_a_topic(make_company: MakeCompany):
    served = serve(make_company, ALL, [contact("a", "2025-06-02 10:00", 1, 5, topic="my own words")])

    assert contacts_seen(served.made.data, served.made.settings, served.plan, served.clients).words.empty


def test_roles_with_unknown_facts_are_left_out_but_somebody_does_it(make_company: MakeCompany):
    rule = next(p for p in serve(make_company, ALL, []).plan.content.procedures if p.name == "solve_request").raci[0]
    filled = responsibilities(rule, {})

    assert filled["responsible"] == "department (to be named)"
    assert filled["consulted"] == ""


def test_the_status_of_a_measured_procedure_stands_beside_it(make_company: MakeCompany):
    served = serve(
        make_company, {f"c{i}": "low_high" for i in range(40)}, [contact(f"c{i}", "2025-06-02 10:00", 1, 5) for i in range(40)]
    )

    assert _row(served, "low_high", "solve_request")["status"] == "met"
    assert _row(served, "low_high", "quotation")["status"] == "not measured"


def test_channels_that_nobody_records_are_not_called_right(make_company: MakeCompany):
    served = serve(make_company, ALL, [contact(c, "2025-06-02 10:00", 1, 5, channel=None) for c in ALL])

    assert "No channel of a contact is recorded" in processes.means(served.procedures()).sentence
