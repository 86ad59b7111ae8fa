"""What a planned contact costs, and the contact matrix: segment × occasion × role × channel. A room of stage 5."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, answers
from crm_methods.company.contacts_plan import ContactsPlan, Occasion
from crm_methods.company.plans import Plan
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import SEGMENT_LABELS, segment_label
from crm_methods.engine import collect
from crm_methods.stages.contacts_occasions import GENERAL, NOT_REACHABLE
from crm_methods.stages.contacts_profile import Earlier

RECORDED = "recorded contacts"
COMPANY = "company.yml"
_ENOUGH = 10


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class UnitCosts(Answer):
    """What one planned contact costs.

    ``costs`` has one row per occasion and channel of the plan: ``action``, ``occasion``, ``channel``, ``minutes``,
    ``minute_cost``,
    ``unit_cash_cost``, ``unit_cost`` (minutes × minute cost + cash), and where each comes from: ``minutes_basis``,
    ``minute_cost_basis``,
    ``cash_basis``. ``minute_cost`` is that of our time in general, with ``minute_basis``.
    """

    costs: pd.DataFrame
    minute_cost: float
    minute_basis: str


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ContactMatrix(Answer):
    """The contact matrix.

    ``cells`` has one row per segment, occasion, role and channel; ``unreachable`` one per segment and occasion with
    clients for whom the plan
    finds no means; ``per_client`` contacts per client of the segment, one row per occasion and a column per segment.
    """

    cells: pd.DataFrame
    unreachable: pd.DataFrame
    per_client: pd.DataFrame
    clients: int


def unit_costs(settings: Company, plan: Plan[ContactsPlan], work: pd.DataFrame) -> UnitCosts:
    """What one contact of each occasion costs by each channel.

    Minutes: the plan's own for contacts made from a template, else the mean of recorded contacts of that channel and kind (those
    on our initiative where there are ten, as a planned contact is one), else the plan's for the channel. A minute: the rate of
    those contacts' pools, else the plan's. Cash: ``costs.contact`` of company.yml, else recorded direct cost, else the plan's.

    Parameters
    ----------
    work
        What ``contacts.contact_work`` returns.
    """
    content = plan.content
    total, total_basis = _minute_cost(work, plan)
    rows = []
    for action, occasion in content.occasions:
        for channel in (c.name for c in content.channels):
            minutes, minutes_basis = _minutes(work, plan, occasion, channel)
            minute_cost, minute_basis = _minute_cost(_alike(work, channel, occasion.kind), plan)
            if minute_basis != RECORDED:
                minute_cost, minute_basis = total, total_basis
            cash, cash_basis = _cash(work, plan, settings, channel)
            rows.append(
                {
                    "action": action.name,
                    "occasion": occasion.name,
                    "channel": channel,
                    "minutes": minutes,
                    "minute_cost": minute_cost,
                    "unit_cash_cost": cash,
                    "unit_cost": minutes * minute_cost + cash,
                    "minutes_basis": minutes_basis,
                    "minute_cost_basis": minute_basis,
                    "cash_basis": cash_basis,
                }
            )
    costs = pd.DataFrame(rows)
    listed = [(o.name, c) for _, o in content.occasions for c in o.channels]
    table = costs[[pair in listed for pair in zip(costs["occasion"], costs["channel"], strict=True)]]
    # An assumption is what neither the records nor company.yml say.
    assumed = table[["minutes_basis", "minute_cost_basis", "cash_basis"]].isin([plan.origin])
    shown = table.assign(
        occasion=table["occasion"].map(content.occasion_titles),
        assumed=[
            formats.join([w for w, flag in zip(("minutes", "cost of a minute", "cash"), row, strict=True) if flag]) or "nothing"
            for row in assumed.to_numpy()
        ],
    )[["occasion", "channel", "minutes", "minute_cost", "unit_cost", "unit_cash_cost", "assumed"]].reset_index(drop=True)
    return UnitCosts(
        sentence=_unit_sentence(table, assumed, plan, settings.currency),
        table=shown,
        caption=f"What one planned contact costs; assumed = taken from the {plan.origin} because neither the records "
        "nor company.yml say it",
        labels={"minute_cost": "Cost of a minute", "unit_cost": "Full cost", "unit_cash_cost": "Cash", "assumed": "Assumed"},
        costs=costs,
        minute_cost=total,
        minute_basis=total_basis,
    )


@answers("contacts.matrix")
def contact_matrix(
    settings: Company,
    plan: Plan[ContactsPlan],
    earlier: Earlier,
    occasions: nw.LazyFrame[Any],
    costs: UnitCosts,
    assumed: tuple[str, ...] = (),
) -> ContactMatrix:
    """Who is contacted on which occasion, by whom and by what means, how often, at what unit cost.

    Parameters
    ----------
    occasions
        One row per client and occasion, from ``contacts_occasions.client_occasions``.
    assumed
        Channels whose addresses the company does not record, from ``contacts_occasions.assumed_addresses``.

    Returns
    -------
    ContactMatrix
        ``cells``: ``segment``, ``action``, ``occasion``, ``role``, ``channel`` (key), ``clients``, ``contacts_per_client``
        (within the plan), ``contacts``,
        ``minutes``, ``unit_cost``, ``unit_cash_cost``, ``contact_cost`` and ``cash_cost`` (unit × clients × contacts per
        client), ``responsible``,
        ``structure``, ``message``.
    """
    keys = ["segment", "occasion", "role", "channel"]
    counted = collect(occasions.group_by(*keys).agg(nw.len().alias("clients"), nw.col("contacts").sum()), max_rows=100_000)
    sizes = (
        collect(earlier.segments.group_by("segment").agg(nw.len().alias("clients"))).set_index("segment")["clients"].astype(int)
    )
    reached = counted[counted["channel"] != NOT_REACHABLE]
    places = {occasion.name: place for place, (_, occasion) in enumerate(plan.content.occasions)}
    unreachable = counted[counted["channel"] == NOT_REACHABLE].groupby(["segment", "occasion"], as_index=False)["clients"].sum()
    cells = _priced(_ordered(reached, places), plan.content, costs.costs)
    months = formats.plural(settings.contacts.plan_months, "month")
    return ContactMatrix(
        sentence=_matrix_sentence(cells, sizes, unreachable, plan, months, assumed),
        table=_compact(cells, plan.content),
        caption=f"Contact matrix for {months} ({plan.origin}); the whole of it, by role and channel, is in the workbook",
        labels={
            "contacts_per_client": "Contacts each",
            "role": "Mostly to",
            "channels": "By",
            "structure": "Structure of the message",
            "responsible": "Who",
        },
        cells=cells,
        unreachable=_ordered(unreachable, places),
        per_client=_per_client(cells, sizes, plan.content),
        clients=int(sizes.sum()),
    )


def _alike(work: pd.DataFrame, channel: str | None, kind: str | None) -> pd.DataFrame:
    here = pd.Series(True, index=work.index)
    if channel is not None:
        here &= work["channel"].str.lower() == channel
    if kind is not None:
        here &= work["kind"].str.lower() == kind.lower()
    return work[here]


def _minutes(work: pd.DataFrame, plan: Plan[ContactsPlan], occasion: Occasion, channel: str) -> tuple[float, str]:
    if channel in occasion.minutes:
        return float(occasion.minutes[channel]), plan.origin
    for kind in (occasion.kind, None):
        alike = _alike(work, channel, kind)
        ours = alike[alike["initiative"] == "ours"]
        for rows in (ours, alike):
            known = rows[rows["minutes"].notna()]
            if known["contacts"].sum() >= _ENOUGH:
                return float(known["minutes"].sum() / known["contacts"].sum()), RECORDED
    return float(plan.content.channel(channel).minutes), plan.origin


def _minute_cost(work: pd.DataFrame, plan: Plan[ContactsPlan]) -> tuple[float, str]:
    minutes, cost = work["priced_minutes"].sum(), work["time_cost"].sum()
    return (float(cost / minutes), RECORDED) if minutes > 0 else (float(plan.content.minute_cost), plan.origin)


def _cash(work: pd.DataFrame, plan: Plan[ContactsPlan], settings: Company, channel: str) -> tuple[float, str]:
    given = {name.lower(): cost for name, cost in settings.costs.contact.items()}
    if channel in given:
        return float(given[channel]), COMPANY
    known = _alike(work, channel, None)
    known = known[known["cash_cost"].notna()]
    if known["contacts"].sum() >= _ENOUGH:
        return float(known["cash_cost"].sum() / known["contacts"].sum()), RECORDED
    return float(plan.content.channel(channel).cash_cost), plan.origin


def _unit_sentence(table: pd.DataFrame, assumed: pd.DataFrame, plan: Plan[ContactsPlan], currency: str) -> str:
    dear, cheap = table.loc[table["unit_cost"].idxmax()], table.loc[table["unit_cost"].idxmin()]
    titles = plan.content.occasion_titles
    said = (
        f"A planned contact costs between {formats.money(cheap['unit_cost'], currency, 2)} "
        f"({titles[cheap['occasion']].lower()}, {cheap['channel']}) "
        f"and {formats.money(dear['unit_cost'], currency, 2)} ({titles[dear['occasion']].lower()}, {dear['channel']}) "
        "of time and cash."
    )
    missing = {"minutes_basis": "minutes", "minute_cost_basis": "the cost of a minute", "cash_basis": "cash"}
    whole = [word for column, word in missing.items() if assumed[column].all()]
    partly = [word for column, word in missing.items() if assumed[column].any() and not assumed[column].all()]
    if whole:
        said += f" Assumptions of the {plan.origin} throughout: {formats.join(whole)}."
    if partly:
        said += f" Assumptions of the {plan.origin} in part: {formats.join(partly)}."
    return said


def _ordered(rows: pd.DataFrame, places: dict[str, int]) -> pd.DataFrame:
    segments = {segment: place for place, segment in enumerate(SEGMENT_LABELS)}
    ranked = rows.assign(_segment=rows["segment"].map(segments).fillna(len(segments)), _occasion=rows["occasion"].map(places))
    rest = [c for c in ("role", "channel") if c in rows]
    return ranked.sort_values(["_segment", "segment", "_occasion", *rest], ignore_index=True).drop(
        columns=["_segment", "_occasion"]
    )


def _priced(reached: pd.DataFrame, plan: ContactsPlan, costs: pd.DataFrame) -> pd.DataFrame:
    """The cells with their unit costs; cost = unit cost × clients × mean contacts per client."""
    about = pd.DataFrame(
        [(o.name, o.owner, o.structure, " ".join(o.text)) for _, o in plan.occasions],
        columns=["occasion", "responsible", "structure", "message"],
    )
    priced = reached.merge(costs, on=["occasion", "channel"], how="left").merge(about, on="occasion", how="left")
    each = priced["contacts"] / priced["clients"]
    counts = {name: priced[name].astype("int64") for name in ("clients", "contacts")}
    priced = priced.assign(
        **counts, contacts_per_client=each, contact_cost=priced["unit_cost"] * priced["clients"] * each,
        cash_cost=priced["unit_cash_cost"] * priced["clients"] * each,
    )  # fmt: skip
    return priced[
        [
            "segment",
            "action",
            "occasion",
            "role",
            "channel",
            "clients",
            "contacts_per_client",
            "contacts",
            "minutes",
            "minute_cost",
            "unit_cost",
            "unit_cash_cost",
            "contact_cost",
            "cash_cost",
            "responsible",
            "structure",
            "message",
        ]
    ]


def _compact(cells: pd.DataFrame, plan: ContactsPlan) -> pd.DataFrame:
    """One row per segment and occasion: how many, mostly to whom, by what mix of channels."""
    rows = []
    for (segment, occasion), own in cells.groupby(["segment", "occasion"], sort=False):
        contacts = own["contacts"].sum()
        by_channel = own.groupby("channel")["contacts"].sum().sort_values(ascending=False, kind="stable")
        roles = own[own["role"] != GENERAL].groupby("role")["contacts"].sum()
        rows.append(
            {
                "segment": segment, "occasion": plan.occasion_titles[str(occasion)], "clients": int(own["clients"].sum()),
                "contacts_per_client": contacts / own["clients"].sum(), "role": roles.idxmax() if len(roles) else GENERAL,
                "channels": ", ".join(f"{channel} {formats.share(n / contacts)}" for channel, n in by_channel.items()),
                "responsible": own["responsible"].iloc[0], "structure": own["structure"].iloc[0],
            }
        )  # fmt: skip
    columns = ["segment", "occasion", "clients", "contacts_per_client", "role", "channels", "responsible", "structure"]
    return pd.DataFrame(rows, columns=columns)


def _per_client(cells: pd.DataFrame, sizes: pd.Series[Any], plan: ContactsPlan) -> pd.DataFrame:
    segments = [*[s for s in SEGMENT_LABELS if s in sizes.index], *sorted(s for s in sizes.index if s not in SEGMENT_LABELS)]
    rows = []
    for _, occasion in plan.occasions:
        own = cells[cells["occasion"] == occasion.name].groupby("segment")["contacts"].sum()
        rows.append({"occasion": occasion.title, **{s: float(own.get(s, 0)) / sizes[s] for s in segments}})
    return pd.DataFrame(rows)


def _matrix_sentence(
    cells: pd.DataFrame,
    sizes: pd.Series[Any],
    unreachable: pd.DataFrame,
    plan: Plan[ContactsPlan],
    months: str,
    assumed: tuple[str, ...],
) -> str:
    contacts, clients = int(cells["contacts"].sum()), int(sizes.sum())
    if not contacts:
        return f"No occasion of the plan ({plan.origin}) falls into the next {months}."
    said = (
        f"{formats.plural(contacts, 'contact')} in {months} for {formats.plural(clients, 'client')} ({plan.origin}): "
        f"{formats.number(contacts / clients, 1)} per client"
    )
    each = {str(s): float(v) / sizes[s] for s, v in cells.groupby("segment")["contacts"].sum().items()}
    most, least = max(each, key=lambda s: (each[s], s)), min(each, key=lambda s: (each[s], s))
    if most != least and not math.isclose(each[most], each[least], abs_tol=0.05):
        said += (
            f", from {formats.number(each[least], 1)} in “{segment_label(least)}” to "
            f"{formats.number(each[most], 1)} in “{segment_label(most)}”"
        )
    said += "."
    general = int(cells.loc[cells["role"] == GENERAL, "contacts"].sum())
    if assumed:
        return (
            f"{said} No address is recorded for contacts by {formats.join(assumed)}: the plan assumes that every client has one."
        )
    if general:
        said += (
            f" {formats.plural(general, 'contact')} {'goes' if general == 1 else 'go'} to a general address, since "
            "no person can be contacted."
        )
    lost = int(unreachable["clients"].sum())
    if lost:
        said += (
            f" {formats.plural(lost, 'further occasion')} can't be used: the client has no address for it, or "
            "nobody there may be contacted."
        )
    return said
