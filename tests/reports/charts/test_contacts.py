"""Figures of stage 5: each draws what its answer says, or nothing where there is nothing."""

# A test's argument is the fixture of the same name.
# ruff: noqa: F811

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from crm_methods.reports.charts import contacts as charts
from crm_methods.reports.charts.house import svg
from crm_methods.stages import contacts, contacts_budget, contacts_calendar
from tests.stages.contacts_company import Planned, planned  # noqa: F401


def _mix(planned: Planned) -> contacts.Mix:
    mix = contacts.mix(planned.made.data, planned.made.settings, planned.work)
    assert isinstance(mix, contacts.Mix)
    return mix


def _budget(planned: Planned, capacity: pd.DataFrame | None = None) -> contacts_budget.Budget:
    found = contacts_budget.budget(
        planned.made.settings, planned.plan, planned.matrix, planned.costs, {"sales": "account"}, planned.work, capacity
    )
    assert isinstance(found, contacts_budget.Budget)
    return found


def test_every_figure_names_its_main_number(planned: Planned):
    calendar = contacts_calendar.calendar(planned.made.settings, planned.plan.content, planned.days, planned.contacts)
    drawn = [
        charts.channels(_mix(planned), "EUR"),
        charts.answered(contacts.responses(_mix(planned)), "EUR"),
        charts.matrix(planned.matrix, "EUR"),
        charts.calendar(calendar, "EUR"),
        charts.budget(_budget(planned), "EUR"),
    ]

    for number, chart in enumerate(drawn):
        assert chart is not None
        assert any(character.isdigit() for character in chart.title)
        assert chart.alt.endswith(".")
        assert svg(chart, f"figure-{number}").startswith("<svg")


def test_without_prices_the_channels_are_drawn_by_their_number(planned: Planned):
    mix = _mix(planned)
    chart = charts.channels(replace(mix, table=mix.table.assign(contact_cost=float("nan"))), "EUR")

    assert "of the contacts are by phone" in chart.title


def test_what_is_not_known_is_not_drawn(planned: Planned):
    budget = _budget(planned)
    nothing = replace(budget, actions=budget.actions.assign(cost=0.0), cost=0.0)
    answer = contacts.responses(_mix(planned))

    assert charts.hours(contacts_budget.hours(budget), "EUR") is None
    assert charts.budget(nothing, "EUR") is None
    assert charts.answered(replace(answer, table=answer.table.assign(answered_low_share=float("nan"))), "EUR") is None
    assert (
        charts.matrix(replace(planned.matrix, per_client=planned.matrix.per_client.assign(high_low=0.0, low_low=0.0)), "EUR")
        is None
    )


def test_short_hours_are_in_the_title(planned: Planned):
    capacity = pd.DataFrame(
        {"month": pd.to_datetime(["2026-01-01"]), "skill": "account", "free_hours": -90.0, "contact_hours": 0.0}
    )
    chart = charts.hours(contacts_budget.hours(_budget(planned, capacity)), "EUR")

    assert chart is not None
    assert chart.title == "Hours are short for account"
