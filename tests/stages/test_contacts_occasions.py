"""Who is contacted on which occasion, by what means: rules, consent, roles, and words of the client's own."""

# A test's argument is the fixture of the same name.
# ruff: noqa: F811

from __future__ import annotations

import narwhals as nw
import pandas as pd
import pytest

from crm_methods.company.contacts_plan import Rule
from crm_methods.engine import collect
from crm_methods.stages.contacts_occasions import GENERAL, NOT_REACHABLE, assumed_addresses, fits
from tests.conftest import MakeCompany, MakeFrame
from tests.stages.contacts_company import Planned, plan_contacts, planned, tables  # noqa: F401

ONE_OCCASION = """
channels:
  - {{name: phone, needs: phone, minutes: 20}}
  - {{name: email, needs: email, minutes: 10, unknown_consent: {unknown}}}
actions:
  - name: care
    title: Care
    occasions:
      - {{name: call, title: Call, roles: [user, director], channels: {channels}, needs_consent: {needs},
          owner: us, structure: s, times: {times},
          text: ["Ask {{client}}.", "It has {{open_topic}}."]}}
"""


def _plan(channels: str = "[email, phone]", unknown: str = "refuse", needs: str = "true", times: str = "once") -> str:
    return ONE_OCCASION.format(channels=channels, unknown=unknown, needs=needs, times=times)


def _occasions(make_company: MakeCompany, **more: object) -> pd.DataFrame:
    return collect(plan_contacts(make_company, **more).occasions).set_index(["client_id", "occasion"])  # type: ignore[arg-type]


def test_two_clients_of_different_size_line_of_business_and_open_problem_get_different_contacts(planned: Planned):
    big, small = planned.rows("big"), planned.rows("small")

    assert len(big) > len(small)
    assert {"open_problem", "contract_end", "anniversary", "management_meeting"} <= set(big["occasion"])
    assert not {"open_problem", "contract_end", "anniversary", "management_meeting"} & set(small["occasion"])
    # The same occasion has other words, on another day.
    both = big.merge(small, on=["occasion", "number"])
    assert len(both) >= 3
    assert (both["text_x"] != both["text_y"]).all()
    assert (both["planned_on_x"] != both["planned_on_y"]).any()
    texts = " ".join(big["text"])
    assert all(word in texts for word in ("outage", "telecom", "SD-WAN", "30 Jun 2026", "Years together: 11"))
    assert not any(word in " ".join(small["text"]) for word in ("outage", "telecom", "SD-WAN", "{"))
    # What is broken is mended before anything new is offered.
    assert "Oven" in " ".join(small["text"])
    assert "Router" not in texts


def test_a_lapsed_client_is_won_back_and_not_reviewed(planned: Planned):
    assert collect(planned.occasions.filter(nw.col("client_id") == "gone"))["occasion"].tolist() == ["reactivation"]


def test_the_package_promises_so_many_contacts_and_no_more(planned: Planned):
    counted = collect(planned.occasions).set_index(["client_id", "occasion"])["contacts"]
    inside = [o.name for _, o in planned.plan.content.occasions if o.in_package]

    assert counted["big"].reindex(inside).sum() == 12
    assert counted["small"].reindex(inside).sum() == 4


@pytest.mark.parametrize(("months", "contacts"), [(12, 12), (6, 6), (3, 3)])
def test_a_shorter_plan_has_its_share_of_the_yearly_contacts(make_company: MakeCompany, months: int, contacts: int):
    plan = _plan(times="12").replace("once", "12")
    planned = plan_contacts(make_company, plan_text=plan, contacts={"plan_months": months})

    assert set(collect(planned.occasions)["contacts"]) == {contacts}


def test_a_refusal_holds_and_an_unasked_person_is_contacted_only_where_the_plan_says_so(make_company: MakeCompany):
    rows = tables()
    rows["contact_persons"].loc[:, "consent_email"] = [False, None, None]
    cautious = _occasions(make_company, rows=rows, plan_text=_plan(channels="[email]"))
    trusting = _occasions(make_company, rows=rows, plan_text=_plan(channels="[email]", unknown="allow"))

    assert cautious.loc[("big", "call"), "role"] == GENERAL
    assert cautious.loc[("big", "call"), "person_id"] is None or pd.isna(cautious.loc[("big", "call"), "person_id"])
    # p1 refused, p2 was never asked.
    assert trusting.loc[("big", "call"), "person_id"] == "p2"


def test_what_needs_no_consent_reaches_the_first_role_all_the_same(make_company: MakeCompany):
    rows = tables()
    rows["contact_persons"].loc[:, "consent_email"] = False

    found = _occasions(make_company, rows=rows, plan_text=_plan(channels="[email]", needs="false"))

    assert found.loc[("big", "call"), "person_id"] == "p2"


def test_the_role_comes_before_the_channel_and_the_preferred_channel_before_the_plans(make_company: MakeCompany):
    rows = tables()
    rows["contact_persons"].loc[:, ["consent_email", "consent_phone"]] = True
    user_first = _occasions(make_company, rows=rows, plan_text=_plan())
    director = _occasions(make_company, rows=rows, plan_text=_plan().replace("[user, director]", "[director]"))

    assert tuple(user_first.loc[("big", "call"), ["person_id", "channel"]]) == ("p2", "email")
    assert tuple(director.loc[("big", "call"), ["person_id", "channel"]]) == ("p1", "phone")


def test_a_client_without_an_address_is_listed_as_not_reachable(make_company: MakeCompany):
    planned = plan_contacts(make_company, plan_text=_plan(channels="[email]"))

    assert collect(planned.occasions).set_index("client_id").loc["gone", "channel"] == NOT_REACHABLE
    assert planned.matrix.unreachable["clients"].tolist() == [1]
    assert planned.rows("gone").empty
    assert "can't be used" in planned.matrix.sentence


def test_an_address_is_assumed_only_where_none_of_its_kind_is_recorded(make_company: MakeCompany, planned: Planned):
    deals_only = plan_contacts(make_company, {"deals": tables()["deals"]}, facts=None, offers=None, rates=None)

    assert assumed_addresses(planned.made.data, planned.plan.content) == ()
    assert assumed_addresses(deals_only.made.data, deals_only.plan.content) == ("email",)
    assert set(collect(deals_only.occasions)["channel"]) == {"email"}
    assert "assumes that every client has one" in deals_only.matrix.sentence


def test_rules_read_the_same_on_every_engine(frames: MakeFrame):
    rows = frames(
        pd.DataFrame(
            {
                "client_id": ["a", "b", "c"],
                "industry": ["Telecom", "food", None],
                "state": ["active", "lapsed", "active"],
                "open_requests": [2, 0, 0],
                "segment": "s",
                "strategy": "raise_loyalty",
                "size": ["large", None, "small"],
                "package": "partner",
            }
        )
    )

    def fitting(**rule: object) -> list[str]:
        return sorted(collect(rows.filter(fits(Rule(**rule)) & ~nw.col("client_id").is_null()))["client_id"])  # type: ignore[arg-type]

    assert fitting() == ["a", "b", "c"]
    assert fitting(industry=["telecom"]) == ["a"]
    assert fitting(size=["large", "small"], state=["active"]) == ["a", "c"]
    assert fitting(known=["industry"]) == ["a", "b"]
    assert fitting(unknown=["industry"]) == ["c"]
    assert fitting(at_least={"open_requests": 1}) == ["a"]
    assert fitting(at_most={"open_requests": 0}) == ["b", "c"]
