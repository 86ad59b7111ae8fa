"""What stage 5 leaves behind: tables with unique keys, the headline, and checks that can fail."""

# A test's argument is the fixture of the same name.
# ruff: noqa: F811

from __future__ import annotations

from dataclasses import replace

from crm_methods.company.answers import Answer, Unanswered
from crm_methods.stages import contacts, contacts_budget, contacts_calendar, contacts_summary
from tests.stages.contacts_company import Planned, planned  # noqa: F401


def _all(planned: Planned):  # type: ignore[no-untyped-def]
    data, settings = planned.made.data, planned.made.settings
    skills = contacts_budget.skills_by_kind(data)
    budget = contacts_budget.budget(settings, planned.plan, planned.matrix, planned.costs, skills, planned.work)
    calendar = contacts_calendar.calendar(settings, planned.plan.content, planned.days, planned.contacts)
    return contacts.mix(data, settings, planned.work), calendar, budget, contacts_budget.hours(budget), skills


def test_every_table_has_its_key(planned: Planned):
    mix, _, budget, _, skills = _all(planned)
    months = contacts_calendar.months_of(planned.contacts)
    results = contacts_summary.tables(mix, planned.costs, planned.matrix, budget, months, planned.plan, skills)

    assert {"contact_mix", "contact_matrix", "contact_budget", "contact_hours", "contact_unit_costs"} <= set(results)
    for result in results.values():
        assert not result.table.duplicated(list(result.key)).any()
        assert result.table[list(result.key)].notna().all().all()


def test_unanswered_questions_leave_no_table_and_no_finding(planned: Planned):
    _, calendar, budget, hours, skills = _all(planned)
    nothing = Unanswered("contacts.mix", "there is none.")
    months = contacts_calendar.months_of(planned.contacts)

    assert "contact_mix" not in contacts_summary.tables(
        nothing, planned.costs, planned.matrix, budget, months, planned.plan, skills
    )
    said = contacts_summary.conclusion(
        planned.made.settings, planned.plan, nothing, planned.costs, planned.matrix, calendar, budget, hours
    )
    assert len(said.findings) == 4


def test_the_headline_is_the_budget_and_a_default_plan_is_called_one(planned: Planned):
    mix, calendar, budget, hours, _ = _all(planned)
    said = contacts_summary.conclusion(
        planned.made.settings, planned.plan, mix, planned.costs, planned.matrix, calendar, budget, hours
    )

    (headline,) = said.headlines
    assert (headline.key, headline.value) == ("contact_budget", budget.cost)
    assert "kit default" in headline.note
    assert "kit default" in said.decision
    assert all(check.passed for check in said.checks)


def test_checks_fail_when_what_they_hold_does_not(planned: Planned):
    mix, calendar, budget, hours, _ = _all(planned)
    bad_calendar = replace(calendar, contacts=calendar.contacts - 1, too_close=3, peak_to_mean=9.0)
    bad_budget = replace(budget, limit=1.0, actions=budget.actions.assign(contact_cost=0.0))
    assert isinstance(hours, Answer)

    said = contacts_summary.conclusion(
        planned.made.settings, planned.plan, mix, planned.costs, planned.matrix, bad_calendar, bad_budget, hours
    )

    failed = {check.name for check in said.checks if not check.passed}
    assert failed >= {
        "The matrix and the budget cost the same",
        "Every planned contact has a day",
        "Nobody is contacted twice within the gap",
        "The plan fits the money",
    }
    assert "does not fit the money" in said.decision
