"""How clients are contacted today: the mix, its costs, and who answered."""

# A test's argument is the fixture of the same name.
# ruff: noqa: F811

from __future__ import annotations

import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.stages import contacts
from tests.conftest import MakeCompany
from tests.stages.contacts_company import Planned, plan_contacts, planned, tables  # noqa: F401


def test_full_cost_is_time_and_cash_and_the_two_stay_apart(planned: Planned):
    mix = contacts.mix(planned.made.data, planned.made.settings, planned.work)
    assert isinstance(mix, contacts.Mix)
    phone = mix.table.set_index("channel").loc["phone"]

    # Twenty calls of 30 minutes at 2 and 1 of cash; one of 50 minutes at 1.
    assert phone["contacts"] == 21
    assert phone["cash_cost"] == pytest.approx(20.0)
    assert phone["full_cost"] == pytest.approx(20 * 30 * 2 + 50 * 1 + 20)
    assert phone["contact_cost"] * phone["contacts"] == pytest.approx(phone["full_cost"])


def test_shares_add_up_and_segments_add_up_to_the_whole(planned: Planned):
    mix = contacts.mix(planned.made.data, planned.made.settings, planned.work)
    assert isinstance(mix, contacts.Mix)

    assert mix.table["contacts_share"].sum() == pytest.approx(1)
    assert mix.by_segment["contacts"].sum() == mix.table["contacts"].sum() == 22
    assert mix.by_segment["full_cost"].sum() == pytest.approx(mix.table["full_cost"].sum())


def test_only_contacts_with_a_known_outcome_count_as_answered_or_not(planned: Planned):
    mix = contacts.mix(planned.made.data, planned.made.settings, planned.work)
    answer = contacts.responses(mix)
    assert not isinstance(answer, Unanswered)
    row = answer.table.set_index("channel").loc["phone"]

    assert row["answered_contacts"] == 20
    assert row["answered_share"] == pytest.approx(0.5)
    assert row["answered_low_share"] <= 0.5 <= row["answered_high_share"]
    assert "email" not in answer.table["channel"].tolist()


def test_without_a_ledger_only_cash_is_told(make_company: MakeCompany):
    planned = plan_contacts(make_company, rates=None)
    mix = contacts.mix(planned.made.data, planned.made.settings, planned.work)
    assert isinstance(mix, contacts.Mix)

    assert mix.table["full_cost"].isna().all()
    assert "our time has no price" in mix.sentence


def test_without_contacts_the_question_stays_open_and_so_do_those_that_follow(make_company: MakeCompany):
    rows = {name: frame for name, frame in tables().items() if name != "interactions"}
    planned = plan_contacts(make_company, rows)
    mix = contacts.mix(planned.made.data, planned.made.settings, planned.work)

    assert isinstance(mix, Unanswered)
    assert isinstance(contacts.responses(mix), Unanswered)
    assert isinstance(contacts.mix_by_segment(mix, planned.earlier), Unanswered)


def test_old_contacts_do_not_count(make_company: MakeCompany):
    rows = tables()
    rows["interactions"]["started_at"] = rows["interactions"]["started_at"].str.replace("2025", "2019")
    planned = plan_contacts(make_company, rows)

    assert isinstance(contacts.mix(planned.made.data, planned.made.settings, planned.work), Unanswered)
