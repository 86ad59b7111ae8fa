"""Whether cost falls as loyalty grows, within clients over time: a room of stage 2."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.models.within_clients import Slope, within_slope
from crm_methods.stages.segments import CostToServe
from crm_methods.stages.segments_loyalty_panel import (
    FIRST_YEARS,
    Histories,
    client_purchases,
    client_quarters,
    cost_record,
    histories,
)

MIN_QUARTERS = 4
"""Quarters on record below which nothing is said of a change over time."""
MIN_CLIENTS = 15
MIN_ROWS = 3
"""Quarters, or stretches between purchases, that a client needs to count among the ``MIN_CLIENTS``."""
_TOO_WIDE = 1.0
"""A standard error, of the log, beyond which an estimate says nothing: its interval spans a factor of fifty."""
_CONTROLS = ("bought", "log_revenue")
_YEARS = {4: "four"}.get(int(FIRST_YEARS), formats.number(FIRST_YEARS))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Loyalty(Answer):
    """How cost changes within clients: ``estimates`` by name, None where there is too little to tell.

    ``overall`` (all quarters), ``early`` (of a client's first four years), ``late`` (those after them), ``beside_others`` (early
    ones against late ones of the same quarters), ``per_revenue`` (cost per unit of revenue), ``per_purchase`` (cost from one
    purchase to the next, per doubling of the purchases so far). ``lead`` names the one that speaks.
    """

    estimates: dict[str, Slope | None]
    lead: str


@answers("segments.loyalty")
def loyalty(data: Canonical, settings: Company, cost: CostToServe | Unanswered) -> Loyalty | Unanswered:
    """How much less (or more) the same client costs as it stays longer and buys more often.

    Parameters
    ----------
    cost
        The cost to serve of the period, whose prices of a minute count in all quarters.

    Returns
    -------
    Loyalty
        ``table``: one row per estimate, with intervals clustered by client.

    Notes
    -----
    Every client is compared with itself, and within a client a year more of tenure is also a year more of the calendar: the
    two can't be told apart by any regression (Ryder 1965, "The cohort as a concept in the study of social change"). What can
    be told is the change in the first four years beside that of clients who are beyond them in the same quarters. That is
    the effect of loyalty where it ends after four years; where it goes on, it is its part beyond theirs.
    """
    assert isinstance(cost, CostToServe)
    record = cost_record(data, settings, cost)
    quarters = 0 if record is None else record.quarters
    if record is None or quarters < MIN_QUARTERS:
        found = f"contacts are on record for {formats.plural(quarters, 'whole quarter')}, and {MIN_QUARTERS} are the least"
        return Unanswered("segments.loyalty", found, ("interactions of at least a year",))
    known = histories(data, settings, record)
    rows = client_quarters(data, settings, record, known)
    clients = _telling_clients(rows)
    if clients < MIN_CLIENTS:
        found = (
            f"{formats.plural(clients, 'client')} {'has' if clients == 1 else 'have'} at least {MIN_ROWS} whole quarters with "
            f"known cost between the first purchase and the last, and {MIN_CLIENTS} are the least"
        )
        return Unanswered("segments.loyalty", found, ("more quarters of deals and interactions",))
    estimates = _estimates(rows, client_purchases(data, settings, record, known))
    lead = next((name for name in ("beside_others", "early", "overall") if estimates[name] is not None), "")
    if not lead:
        return Unanswered("segments.loyalty", "the costs of the clients hardly vary over time, or in too few of them")
    return Loyalty(
        sentence=_sentence(estimates, lead, rows, known),
        table=_table(estimates, lead),
        caption="Change of cost to serve within clients with a year of tenure (the last row: with every doubling of purchases), "
        f"{formats.date(record.start)} to {formats.date(record.end)}; 95% intervals clustered by client",
        labels={
            "measure": "What is compared",
            "change_share": "Change",
            "low_share": "From",
            "high_share": "To",
            "observations": "Rows",
        },
        estimates=estimates,
        lead=lead,
    )


def _telling_clients(rows: pd.DataFrame) -> int:
    """Clients with enough rows, and any cost."""
    grouped = rows.groupby("client_id")["cost"].agg(["size", "sum"])
    return int(((grouped["size"] >= MIN_ROWS) & (grouped["sum"] > 0)).sum())


def _estimates(rows: pd.DataFrame, purchases: pd.DataFrame) -> dict[str, Slope | None]:
    early, late = rows[rows["is_early"]], rows[rows["is_late"]]
    comparable = min(_telling_clients(early), _telling_clients(late)) >= MIN_CLIENTS
    dated = rows[rows["is_early"] | rows["is_late"]]
    beside = _slope(dated, "first_years", controls=_CONTROLS, period="quarter") if comparable else None
    buying = (dated if beside else early if _telling_clients(early) >= MIN_CLIENTS else rows).query("revenue > 0")
    return {
        "overall": _slope(rows, "years", controls=_CONTROLS),
        "early": _slope(early, "years", controls=_CONTROLS),
        "late": _slope(late, "years", controls=_CONTROLS),
        "beside_others": beside,
        "per_revenue": _slope(buying, "first_years", period="quarter", exposure="revenue")
        if beside
        else _slope(buying, "years", exposure="revenue"),
        "per_purchase": _slope(purchases, "doublings"),
    }


def _slope(
    rows: pd.DataFrame,
    regressor: str,
    *,
    controls: tuple[str, ...] = (),
    period: str | None = None,
    exposure: str | None = None,
) -> Slope | None:
    if _telling_clients(rows) < MIN_CLIENTS:
        return None
    found = within_slope(rows, "cost", regressor, controls=controls, period=period, exposure=exposure)
    return found if found is not None and found.standard_error < _TOO_WIDE else None


def _table(estimates: dict[str, Slope | None], lead: str) -> pd.DataFrame:
    """One row per estimate, the one that speaks on top."""
    measures = {
        "beside_others": f"First {_YEARS} years, beside older clients",
        "early": f"First {_YEARS} years alone",
        "late": f"After {_YEARS} years: drift",
        "overall": "All quarters",
        "per_revenue": "Per unit of revenue" + (", beside older clients" if estimates["beside_others"] else ""),
        "per_purchase": "Per doubling of purchases",
    }
    found = [(measures[name], estimates[name]) for name in sorted(measures, key=lambda name: name != lead)]
    rows = [
        (measure, *slope.change, slope.clients, slope.rows, "") if slope else (measure, None, None, None, None, None, "too few")
        for measure, slope in found
    ]
    columns = ["measure", "change_share", "low_share", "high_share", "clients", "observations", "note"]
    table = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[1:6], float))
    return table.drop(columns="note") if (table["note"] == "").all() else table


def _sentence(estimates: dict[str, Slope | None], lead: str, rows: pd.DataFrame, known: Histories) -> str:
    words = [_lead_words(estimates, lead), _drift_words(estimates, lead), _purchase_words(estimates["per_purchase"])]
    taken = f", of one client in {formats.number(known.one_in)}, evenly spread over the ids" if known.one_in > 1 else ""
    words.append(
        f"Read from {formats.plural(len(rows), 'quarter')} of {formats.plural(rows['client_id'].nunique(), 'client')} between "
        f"their first and their last purchase{taken}, all at the period's price of a minute. Whatever else changes with a "
        "client's age, such as its products or its people, is part of it."
    )
    return " ".join(word for word in words if word)


def _lead_words(estimates: dict[str, Slope | None], lead: str) -> str:
    slope = estimates[lead]
    assert slope is not None
    when = {
        "beside_others": f" in its first {_YEARS} years, beside older clients in the same quarters",
        "early": f" in its first {_YEARS} years",
        "overall": "",
    }[lead]
    estimate, low, high = slope.change
    if high < 0 or low > 0:
        moves, ends = ("falls", (-high, -low)) if high < 0 else ("rises", (low, high))
        interval = formats.interval(*ends, formats.share)
        return (
            f"Within a client, cost {moves} by {formats.share(abs(estimate))} a year of tenure{when} (95% interval {interval})."
        )
    return f"Within a client, no change of cost with tenure can be shown{when}: {_plain(slope)} a year."


def _drift_words(estimates: dict[str, Slope | None], lead: str) -> str:
    early, late = estimates["early"], estimates["late"]
    if lead == "beside_others":
        alone = f"Taken alone it is {_plain(early)} a year. " if early else ""
        later = f"Of clients beyond {_YEARS} years it is {_plain(late)} a year. " if late else ""
        return f"{alone}{later}What drifts over the calendar is in both, and the comparison takes it out."
    return (
        "A drift of all costs over the calendar, such as better tools or other habits of recording, is part of that and can't be "
        f"taken out: it would take {MIN_CLIENTS} clients beyond their first {_YEARS} years, and {MIN_CLIENTS} within them whose "
        "beginning is known."
    )


def _purchase_words(slope: Slope | None) -> str:
    if slope is None:
        return ""
    _, low, high = slope.change
    verdict = "" if high < 0 or low > 0 else ", which may be chance"
    return f"From one purchase to the next, cost changes by {_plain(slope)} with every doubling of the purchases so far{verdict}."


def _plain(slope: Slope) -> str:
    """The change with its sign and its interval."""
    estimate, low, high = slope.change
    return f"{_signed(estimate)} (95% interval {formats.interval(low, high, _signed)})"


def _signed(value: float) -> str:
    text = formats.share(value)
    return f"+{text}" if value > 0 and text != "0%" else text
