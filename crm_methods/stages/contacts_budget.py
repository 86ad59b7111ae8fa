"""What the planned contacts cost, and whether money and hours suffice. A room of stage 5.

Within one action, for each kind of contact, unit cost × clients × mean contacts per client; to this the preparation of
the action is added, once; the sum over actions is the budget (METHOD, stage 5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, answers
from crm_methods.company.contacts_plan import ContactsPlan
from crm_methods.company.intake import Canonical
from crm_methods.company.plans import Plan
from crm_methods.company.settings import Company
from crm_methods.engine import collect
from crm_methods.stages.contacts_matrix import ContactMatrix, UnitCosts
from crm_methods.stages.contacts_profile import REQUESTS

UNKNOWN_SKILL = "skill not known"
_MINUTES_PER_HOUR = 60


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Budget(Answer):
    """The budget of the planned contacts.

    ``actions`` has one row per action; ``cost`` and ``cash_cost`` are its sums, in full and in cash alone. ``limit`` is
    ``contacts.budget`` of
    company.yml, held against the one that ``covers`` names. ``hours`` has one row per skill: ``contacts``, ``work_hours``,
    and the paid
    ``needed_hours`` and ``free_hours`` (missing where stage 4 knows none).
    """

    actions: pd.DataFrame
    cost: float
    cash_cost: float
    limit: float | None
    covers: str
    hours: pd.DataFrame

    @property
    def fits_money(self) -> bool | None:
        """Whether the budget suffices; None where company.yml sets none."""
        planned = self.cost if self.covers == "full_cost" else self.cash_cost
        return None if self.limit is None else planned <= self.limit

    @property
    def fits_hours(self) -> bool | None:
        """Whether the free hours suffice for every skill whose free hours are known; None where none is."""
        known = self.hours[self.hours["free_hours"].notna()]
        return None if known.empty else bool((known["needed_hours"] <= known["free_hours"]).all())


def action_costs(cells: pd.DataFrame, preparation: pd.DataFrame) -> pd.DataFrame:
    """The method's formula: contacts of each action and its preparation, once.

    Parameters
    ----------
    cells
        One row per kind of contact: ``action``, ``clients``, ``contacts_per_client``, ``minutes``, ``unit_cost``,
        ``unit_cash_cost``.
    preparation
        One row per action, in order: ``action``, ``preparation_cost``, ``preparation_cash_cost``.

    Returns
    -------
    pandas.DataFrame
        The rows of ``preparation`` with ``contacts``, ``work_minutes``, ``contact_cost``, ``contact_cash_cost``, ``cost``
        = contact_cost +
        preparation_cost, and ``cash_cost`` likewise. An action without contacts is not prepared and costs nothing.
    """
    number = cells["clients"] * cells["contacts_per_client"]
    priced = cells.assign(
        contacts=number,
        work_minutes=number * cells["minutes"],
        contact_cost=cells["unit_cost"] * number,
        contact_cash_cost=cells["unit_cash_cost"] * number,
    )
    sums = priced.groupby("action")[["contacts", "work_minutes", "contact_cost", "contact_cash_cost"]].sum()
    joined = preparation.merge(sums, left_on="action", right_index=True, how="left").fillna(dict.fromkeys(sums.columns, 0.0))
    held = joined["contacts"] > 0
    joined = joined.assign(**{name: joined[name].where(held, 0.0) for name in ("preparation_cost", "preparation_cash_cost")})
    return joined.assign(
        cost=joined["contact_cost"] + joined["preparation_cost"],
        cash_cost=joined["contact_cash_cost"] + joined["preparation_cash_cost"],
    )


def preparation_costs(plan: ContactsPlan, minute_cost: float) -> pd.DataFrame:
    """What preparing each action costs, once: hours × the cost of our time + cash.

    Columns: ``action``, ``title``, ``preparation_hours``, ``minute_cost``, ``preparation_cash_cost``, ``preparation_cost``.
    """
    rows = [(a.name, a.title, a.preparation_hours, minute_cost, a.preparation_cost) for a in plan.actions]
    table = pd.DataFrame(rows, columns=["action", "title", "preparation_hours", "minute_cost", "preparation_cash_cost"])
    return table.assign(
        preparation_cost=table["preparation_hours"] * _MINUTES_PER_HOUR * minute_cost + table["preparation_cash_cost"]
    )


@answers("contacts.budget")
def budget(
    settings: Company,
    plan: Plan[ContactsPlan],
    found: ContactMatrix,
    costs: UnitCosts,
    skills: dict[str, str],
    work: pd.DataFrame,
    capacity: pd.DataFrame | None = None,
) -> Budget:
    """What the plan costs in full and in cash, and whether it fits the money and the free hours.

    Parameters
    ----------
    skills
        Skill that handles each kind of contact, from ``skills_by_kind``.
    work
        Contacts of the period, from ``contacts.contact_work``: those on our initiative are what the plan replaces.
    capacity
        Stage 4's table: per ``month`` and ``skill`` the ``free_hours`` (paid, after all work it foresees) and of that work the
        ``contact_hours`` for promised contacts; None where it is not known.
    """
    content = plan.content
    actions = action_costs(found.cells, preparation_costs(content, costs.minute_cost))
    hours = _hours(found.cells, content, skills, settings).merge(
        _free_hours(capacity, work, skills, settings), on="skill", how="left"
    )
    total, cash = float(actions["cost"].sum()), float(actions["cash_cost"].sum())
    shown = actions[["title", "contacts", "contact_cost", "preparation_cost", "cost", "cash_cost"]].rename(
        columns={"title": "action"}
    )
    everything = pd.DataFrame([{"action": "All actions", **shown.drop(columns="action").sum().to_dict()}])
    found_budget = Budget(
        sentence="",
        table=pd.concat([shown, everything], ignore_index=True),
        caption=f"Budget for {formats.plural(settings.contacts.plan_months, 'month')} ({plan.origin}): full cost is our "
        "time and cash, cash is what is paid out",
        labels={
            "contact_cost": "Contacts",
            "preparation_cost": "Preparation, once",
            "cost": "Full cost",
            "cash_cost": "Cash",
            "contacts": "Number of contacts",
        },
        actions=actions,
        cost=total,
        cash_cost=cash,
        limit=settings.contacts.budget,
        covers=content.budget_covers,
        hours=hours,
    )
    sentence = _sentence(found_budget, plan, settings.currency, found.clients, _assumed(costs, plan))
    return replace(found_budget, sentence=sentence)


@answers("contacts.budget")
def hours(found: Budget) -> Answer:
    """The hours of the planned contacts beside the free hours of the skill that handles them."""
    table = found.hours
    known = table[table["free_hours"].notna()]
    short = known[known["needed_hours"] > known["free_hours"]]
    work, needed = float(table["work_hours"].sum()), float(table["needed_hours"].sum())
    said = (
        f"The contacts take {formats.plural(round(work), 'hour')} of work, which is "
        f"{formats.plural(round(needed), 'paid hour')}, preparation apart."
        if round(work)
        else "The contacts take less than an hour of work, preparation apart."
    )
    if known.empty:
        said += " How many hours are free is not known, so whether they suffice stays open."
    elif short.empty:
        said += f" The free hours suffice for {formats.join(known['skill'].tolist())}."
    else:
        words = [
            f"{row.skill} needs {formats.number(row.needed_hours)} paid hours and has "
            f"{formats.number(max(0.0, row.free_hours))} free"
            for row in short.itertuples()
        ]
        said += f" They do not fit: {formats.join(words)}."
    return Answer(
        sentence=said,
        table=table,
        caption="Paid hours over the plan: free is what stage 4 leaves, and the hours of today's contacts on our "
        "initiative, which the plan replaces",
        labels={
            "work_hours": "Hours of work",
            "needed_hours": "Paid hours needed",
            "free_hours": "Paid hours free",
            "contacts": "Contacts",
        },
    )


def skills_by_kind(data: Canonical) -> dict[str, str]:
    """The skill that handled most contacts of each kind on our initiative (of any initiative where none was ours)."""
    rows = data.scan("interactions").filter(~nw.col("skill").is_null(), ~nw.col("kind").is_null())
    counts = collect(
        rows.with_columns(ours=(nw.col("initiative") == "ours").fill_null(False))
        .group_by("kind", "skill", "ours")
        .agg(nw.len().alias("n")),
        max_rows=100_000,
    )
    ordered = counts.sort_values(["kind", "ours", "n", "skill"], ascending=[True, False, False, True]).drop_duplicates("kind")
    return {str(row.kind).lower(): str(row.skill) for row in ordered.itertuples()}


def _paid(work_hours: Any, settings: Company) -> Any:
    """Paid hours that so many hours of work take, as stage 4 counts them."""
    return work_hours / (settings.costs.practical_share * settings.processes.occupancy)


def _hours(cells: pd.DataFrame, plan: ContactsPlan, skills: dict[str, str], settings: Company) -> pd.DataFrame:
    kinds = {occasion.name: occasion.kind.lower() for _, occasion in plan.occasions}
    number = cells["clients"] * cells["contacts_per_client"]
    of_skill = pd.Series([skills.get(kinds[o], UNKNOWN_SKILL) for o in cells["occasion"]], index=cells.index, dtype="str")
    rows = pd.DataFrame({"skill": of_skill, "contacts": number, "work_hours": number * cells["minutes"] / _MINUTES_PER_HOUR})
    table = rows.groupby("skill", as_index=False)[["contacts", "work_hours"]].sum()
    return table.assign(needed_hours=_paid(table["work_hours"], settings))


def _free_hours(capacity: pd.DataFrame | None, work: pd.DataFrame, skills: dict[str, str], settings: Company) -> pd.DataFrame:
    """Paid hours that planned contacts may take of each skill, over the months of the contact plan.

    What stage 4 leaves free; what it set aside for promised contacts, which are planned here; and what today's contacts on
    our own
    initiative take, which the plan replaces. Where stage 4 looks less far ahead its mean month goes on.
    """
    columns = ["skill", "month", "free_hours"]
    if capacity is None or not set(columns) <= set(capacity.columns) or capacity.empty:
        return pd.DataFrame({"skill": pd.Series(dtype="str"), "free_hours": pd.Series(dtype="float64")})
    set_aside = capacity.get("contact_hours", 0.0)
    monthly = (
        capacity.assign(free_hours=capacity["free_hours"] + set_aside)
        .groupby(["skill", "month"])["free_hours"]
        .sum()
        .groupby("skill")
        .mean()
    )
    ours = work[(work["initiative"] == "ours") & ~work["kind"].str.lower().isin(REQUESTS)]
    of_skill = ours["kind"].str.lower().map(skills).fillna(UNKNOWN_SKILL)
    today = _paid(ours["minutes"].groupby(of_skill).sum() / _MINUTES_PER_HOUR, settings) / settings.segments.period_months
    free = monthly.add(today.reindex(monthly.index).fillna(0.0)) * settings.contacts.plan_months
    return free.rename("free_hours").rename_axis("skill").reset_index()


def _assumed(costs: UnitCosts, plan: Plan[ContactsPlan]) -> str:
    """Says which unit costs no record of the company knows at all; empty where each is known somewhere."""
    parts = {"minutes_basis": "minutes", "minute_cost_basis": "the cost of a minute", "cash_basis": "cash"}
    whole = [word for column, word in parts.items() if len(costs.costs) and costs.costs[column].eq(plan.origin).all()]
    return f" Assumed throughout, by the {plan.origin}: {formats.join(whole)}." if whole else ""


def _sentence(found: Budget, plan: Plan[ContactsPlan], currency: str, clients: int, assumed: str) -> str:
    each = f" ({formats.money(found.cost / clients, currency)} per client)" if clients else ""
    cash = formats.money_short(found.cash_cost, currency)
    full = formats.money_short(found.cost, currency)
    said = f"The planned contacts cost {full} in full{each}; {cash} of that is cash.{assumed}"
    held = found.actions[found.actions["cost"] > 0]
    if len(held) > 1:
        dearest = held.loc[held["cost"].idxmax()]
        said += f" “{dearest['title']}” takes {formats.share(dearest['cost'] / found.cost)}."
    if found.limit is None:
        return f"{said} No budget is set to hold it against (contacts.budget in company.yml)."
    planned, word = (found.cost, "full cost") if found.covers == "full_cost" else (found.cash_cost, "cash")
    limit, gap = formats.money_short(found.limit, currency), formats.money_short(abs(found.limit - planned), currency)
    if found.fits_money:
        return f"{said} That fits the budget of {limit}, held against {word}: {gap} are left."
    return f"{said} That exceeds the budget of {limit}, held against {word}, by {gap}."


def work_by_month(months: pd.DataFrame, plan: ContactsPlan, skills: dict[str, str]) -> pd.DataFrame:
    """Hours of work of the planned contacts by month and skill.

    Takes what ``contacts_calendar.months_of`` returns; columns ``month``, ``skill``, ``contacts``, ``work_hours``.
    """
    kinds: dict[str, Any] = {occasion.name: occasion.kind.lower() for _, occasion in plan.occasions}
    rows = months.assign(
        skill=[skills.get(kinds[o], UNKNOWN_SKILL) for o in months["occasion"]],
        work_hours=months["work_minutes"] / _MINUTES_PER_HOUR,
    )
    return rows.groupby(["month", "skill"], as_index=False)[["contacts", "work_hours"]].sum()
