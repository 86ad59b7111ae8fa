"""What stage 5 leaves behind: its segment-level tables and its conclusion. A room of stage 5."""

from __future__ import annotations

import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Check, Conclusion, Headline, Result, Unanswered
from crm_methods.company.contacts_plan import ContactsPlan
from crm_methods.company.plans import Plan
from crm_methods.company.settings import Company
from crm_methods.stages.contacts import Mix
from crm_methods.stages.contacts_budget import Budget, work_by_month
from crm_methods.stages.contacts_calendar import Calendar
from crm_methods.stages.contacts_matrix import ContactMatrix, UnitCosts

LEVEL_ENOUGH = 1.25
"""Busiest over mean working day up to which a calendar is called level; a day more than the mean is level too."""
_CENT = 0.01


def tables(
    mix: Mix | Unanswered,
    costs: UnitCosts,
    matrix: ContactMatrix,
    budget: Budget,
    months: pd.DataFrame,
    plan: Plan[ContactsPlan],
    skills: dict[str, str],
) -> dict[str, Result]:
    """The stage's tables with a row per segment or coarser.

    Parameters
    ----------
    months
        What ``contacts_calendar.months_of`` returns.
    """
    hours = work_by_month(months, plan.content, skills)
    results = {
        "contact_matrix": Result(
            matrix.cells, "one row per segment, occasion, role and channel", ("segment", "occasion", "role", "channel")
        ),
        "contact_budget": Result(budget.actions, "one row per action", ("action",)),
        "contact_unit_costs": Result(costs.costs, "one row per occasion and channel", ("occasion", "channel")),
        "contact_hours": Result(hours, "one row per month and skill", ("month", "skill")),
    }
    if isinstance(mix, Mix):
        results["contact_mix"] = Result(mix.channels, "one row per channel", ("channel",))
        results["contact_mix_by_segment"] = Result(mix.by_segment, "one row per segment and channel", ("segment", "channel"))
    if not matrix.unreachable.empty:
        results["contacts_not_reachable"] = Result(
            matrix.unreachable, "one row per segment and occasion", ("segment", "occasion")
        )
    return results


def conclusion(
    settings: Company,
    plan: Plan[ContactsPlan],
    mix: Mix | Unanswered,
    costs: UnitCosts,
    matrix: ContactMatrix,
    calendar: Calendar | Unanswered,
    budget: Budget,
    hours: Answer,
) -> Conclusion:
    """Findings in order of weight, the budget as headline, checks, and the plan as the decision."""
    spoken: list[Answer | Unanswered] = [budget, matrix, calendar, hours, mix]
    note = (
        f"{formats.money_short(budget.cash_cost, settings.currency)} cash; "
        f"{formats.plural(settings.contacts.plan_months, 'month')}"
    )
    headline = Headline(
        key="contact_budget",
        label="Contact budget, full cost",
        text=formats.money_short(budget.cost, settings.currency),
        value=budget.cost,
        note=f"{note}; {plan.origin}" if plan.is_default else note,
    )
    return Conclusion(
        findings=tuple(answer.sentence for answer in spoken if isinstance(answer, Answer)),
        headlines=(headline,),
        checks=tuple(_checks(settings, plan, costs, matrix, calendar, budget)),
        decision=_decision(settings, plan, matrix, budget),
    )


def _decision(settings: Company, plan: Plan[ContactsPlan], matrix: ContactMatrix, budget: Budget) -> str:
    contacts = int(matrix.cells["contacts"].sum())
    if not contacts:
        return "No contact is planned."
    held = budget.actions[budget.actions["contacts"] > 0]
    names = formats.join([str(title).lower() for title in held["title"]])
    said = (
        f"{formats.plural(len(held), 'action')} with {formats.plural(contacts, 'contact')}: {names}, for "
        f"{formats.money_short(budget.cost, settings.currency)} in full."
    )
    if plan.is_default:
        said += (
            " The plan is the kit default: adjust it in the workbook or in a contacts.yml of the company's own "
            "before it is carried out."
        )
    if budget.fits_money is False or budget.fits_hours is False:
        lacking = [word for word, fits in (("money", budget.fits_money), ("hours", budget.fits_hours)) if fits is False]
        said += (
            f" As it stands it does not fit the {formats.join(lacking)}: fewer contacts, or cheaper means, have to "
            "be chosen first."
        )
    return said


def _checks(
    settings: Company,
    plan: Plan[ContactsPlan],
    costs: UnitCosts,
    matrix: ContactMatrix,
    calendar: Calendar | Unanswered,
    budget: Budget,
) -> list[Check]:
    by_cell = float(matrix.cells["contact_cost"].sum())
    by_action = float(budget.actions["contact_cost"].sum())
    checks = [
        Check(
            name="The matrix and the budget cost the same",
            passed=abs(by_cell - by_action) < _CENT,
            detail=f"{formats.money(by_cell, settings.currency)} by cell, {formats.money(by_action, settings.currency)} "
            "by action",
        )
    ]
    if isinstance(calendar, Calendar):
        planned = int(matrix.cells["contacts"].sum())
        checks += [
            Check(
                name="Every planned contact has a day",
                passed=planned == calendar.contacts,
                detail=f"{formats.number(calendar.contacts)} days for {formats.plural(planned, 'contact')}",
            ),
            Check(
                name="The calendar is level",
                passed=calendar.peak_to_mean <= LEVEL_ENOUGH
                or float(calendar.days["contacts"].max()) <= 1 + calendar.contacts / len(calendar.days),
                detail=f"the busiest day has {formats.number(calendar.peak_to_mean, 2)} times the contacts of the mean one",
            ),
            Check(
                name="Nobody is contacted twice within the gap",
                passed=calendar.too_close == 0,
                detail=f"{formats.plural(calendar.too_close, 'contact')} within "
                f"{formats.plural(plan.content.min_gap_days, 'working day')} of another",
            ),
        ]
    if budget.limit is not None:
        planned_cost = budget.cost if budget.covers == "full_cost" else budget.cash_cost
        detail = (
            f"{formats.money(planned_cost, settings.currency)} planned, {formats.money(budget.limit, settings.currency)} given"
        )
        checks.append(Check(name="The plan fits the money", passed=bool(budget.fits_money), detail=detail))
    if budget.fits_hours is not None:
        known = budget.hours[budget.hours["free_hours"].notna()]
        words = [
            f"{row.skill} {formats.number(row.needed_hours)} of {formats.number(max(0.0, row.free_hours))}"
            for row in known.itertuples()
        ]
        checks.append(
            Check(
                name="The plan fits the free hours",
                passed=budget.fits_hours,
                detail=f"paid hours needed of those free: {formats.join(words)}",
            )
        )
    return checks
