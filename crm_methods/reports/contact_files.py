"""What stage 5 hands over as files: the budget as a workbook, the contacts as a calendar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.contacts_plan import ContactsPlan
from crm_methods.company.intake import Canonical
from crm_methods.company.plans import Plan
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import segment_label
from crm_methods.engine import collect
from crm_methods.reports.calendar import Event, write_calendar
from crm_methods.reports.markup import NoPseudonyms, Pseudonyms
from crm_methods.reports.workbook import MAX_CALENDAR_ROWS, BudgetBook, write_budget_book
from crm_methods.stages.contacts_budget import Budget
from crm_methods.stages.contacts_matrix import ContactMatrix, UnitCosts
from crm_methods.stages.contacts_profile import PlanDays

CALENDAR_COLUMNS = (
    "planned_on",
    "client_id",
    "client",
    "person_name",
    "role",
    "channel",
    "occasion",
    "responsible",
    "minutes",
    "text",
)


def first_contacts(
    data: Canonical,
    plan: ContactsPlan,
    contacts: nw.LazyFrame[Any],
    profile: nw.LazyFrame[Any],
    max_rows: int = MAX_CALENDAR_ROWS,
) -> pd.DataFrame:
    """The next contacts with the names a reader needs, at most ``max_rows``, in the order of their days.

    Columns: ``CALENDAR_COLUMNS``, ``occasion_key`` and ``number``.
    """
    one = nw.col("client_id").is_null().cast(nw.Int64) * 0 + 1
    ordered = contacts.with_columns(place=one.cum_sum().over(order_by=["planned_on", "client_id", "occasion", "number"]))
    people = data.scan("contact_persons").select("person_id", nw.col("name").alias("person_name")).unique(subset=["person_id"])
    named = ordered.filter(nw.col("place") <= max_rows).join(people, on="person_id", how="left")
    named = named.join(profile.select("client_id", "client"), on="client_id", how="left")
    rows = collect(named, max_rows=max_rows).sort_values("place")
    rows = rows.assign(occasion_key=rows["occasion"], occasion=rows["occasion"].map(plan.occasion_titles))
    return rows[[*CALENDAR_COLUMNS, "occasion_key", "number"]].reset_index(drop=True)


def budget_book(
    settings: Company,
    plan: Plan[ContactsPlan],
    days: PlanDays,
    costs: UnitCosts,
    matrix: ContactMatrix,
    budget: Budget,
    first: pd.DataFrame,
) -> BudgetBook:
    """The budget with everything it follows from, ready to be written."""
    titles = plan.content.occasion_titles
    used = matrix.cells[["occasion", "channel"]].drop_duplicates()
    assumptions = costs.costs.merge(used, on=["occasion", "channel"], how="inner")
    basis = [
        f"minutes: {row.minutes_basis}; cost of a minute: {row.minute_cost_basis}; cash: {row.cash_basis}"
        for row in assumptions.itertuples()
    ]
    return BudgetBook(
        company=settings.company,
        period=f"{formats.date(days.working[0])} to {formats.date(days.working[-1])}",
        origin=plan.origin,
        currency=settings.currency,
        assumptions=assumptions.assign(title=assumptions["occasion"].map(titles), basis=basis),
        actions=budget.actions[["action", "title", "preparation_hours", "minute_cost", "preparation_cash_cost"]],
        contacts=matrix.cells.assign(
            segment_label=[segment_label(s) for s in matrix.cells["segment"]], title=matrix.cells["occasion"].map(titles)
        ),
        matrix=matrix.table.assign(segment=[segment_label(s) for s in matrix.table["segment"]]),
        calendar=first[list(CALENDAR_COLUMNS)],
        calendar_rows=int(matrix.cells["contacts"].sum()),
        limit=budget.limit,
        covers=budget.covers,
    )


def write_files(
    workbook: Path, calendar: Path, book: BudgetBook, first: pd.DataFrame, settings: Company, pseudonyms: Pseudonyms | None = None
) -> str:
    """Write both files; returns what stands in them, in a sentence."""
    mask = pseudonyms or NoPseudonyms()
    write_budget_book(workbook, book, mask)
    masked = mask.frame(first)
    events = [_event(row, mask) for row in masked.to_dict("records")]
    write_calendar(calendar, events, name=f"Contacts of {settings.company}", stamped_on=settings.as_of)
    said = (
        f"{workbook.name} holds the budget with live formulas, {calendar.name} "
        f"{formats.plural(len(events), 'contact')} as events."
    )
    if book.calendar_rows > len(first):
        said += (
            f" Both show the first {formats.number(len(first))} of {formats.plural(book.calendar_rows, 'contact')}; "
            "all are in the table contact_calendar."
        )
    return said


def _event(row: dict[Any, Any], mask: Pseudonyms) -> Event:
    to = f"{row['person_name']}, {row['role']}" if isinstance(row["person_name"], str) else row["role"]
    day = pd.Timestamp(row["planned_on"])
    lines = [
        mask.text(str(row["text"])),
        f"To: {to}",
        f"By: {row['channel']}, about {formats.number(row['minutes'])} minutes",
        f"Who: {row['responsible']}",
    ]
    return Event(
        key=(str(row["client_id"]), str(row["occasion_key"]), str(row["number"]), str(day.year)),
        on=day.date(),
        title=f"{row['client']}: {row['occasion']} ({row['channel']})",
        description="\n".join(lines),
        category=str(row["occasion"]),
    )
