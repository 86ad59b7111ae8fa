"""Stage 1, second room: the revenue bridge, client by client, between two periods of equal length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import Period, current_period, previous_period
from crm_methods.company.settings import Company
from crm_methods.engine import collect

BRIDGE_STEPS: Mapping[str, str] = {
    "opening": "Opening",
    "new": "New",
    "returned": "Returned",
    "more_intensive": "More intensive",
    "less_intensive": "Less intensive",
    "lost": "Lost",
    "corrections": "Credit notes only",
    "closing": "Closing",
}
_MOVES = (
    ("new", "new client", "brought"),
    ("returned", "returned client", "brought"),
    ("more_intensive", "client", "bought more by"),
    ("less_intensive", "client", "bought less by"),
    ("lost", "lost client", "took away"),
)
_CENT = 0.005
_FIRST_MONTH_DAYS = 31


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RevenueBridge(Answer):
    """From the revenue of the previous period to that of the current one.

    ``steps`` has one row per step (``step``, ``revenue``, ``clients``); the shares (0–1) are None where
    the opening revenue is not positive. ``finding`` is the result without its steps.
    """

    steps: pd.DataFrame
    finding: str
    is_closed: bool
    gross_retention_share: float | None
    net_retention_share: float | None


@answers("client_base.revenue_bridge")
def revenue_bridge(data: Canonical, settings: Company, facts: nw.LazyFrame[Any]) -> RevenueBridge | Unanswered:
    """Where the change in revenue came from, client by client, between two periods of equal length.

    Parameters
    ----------
    data, settings
        The company.
    facts
        ``client_facts``.

    Returns
    -------
    RevenueBridge
        Identity, to the cent: opening + new + returned + more intensive − less intensive − lost (+ what clients
        with nothing but credit notes account for) = closing.
    """
    current, previous = current_period(settings), previous_period(settings)
    steps = bridge_steps(facts)
    clients = steps.set_index("step")["clients"]
    span = collect(facts.select(nw.col("first_deal_on").min().alias("first"), nw.col("last_deal_on").max().alias("last")))
    first, last = span["first"].iloc[0], span["last"].iloc[0]
    if pd.isna(first) or clients["opening"] + clients["closing"] == 0:
        found = "there is no purchase at all" if pd.isna(first) else f"the last purchase is of {formats.date(last)}"
        return Unanswered(
            "client_base.revenue_bridge", f"{found}, and the bridge compares {current.label} with {previous.label}.",
            ("deals.closed_on, deals.amount: deals of both periods",),
        )  # fmt: skip
    if first > pd.Timestamp(previous.end):
        return Unanswered(
            "client_base.revenue_bridge",
            f"the oldest purchase is of {formats.date(first)}, and the bridge starts from the revenue of {previous.label}.",
            ("deals.closed_on, deals.amount: deals of the period before",),
        )
    revenue = steps.set_index("step")["revenue"]
    opening, closing = float(revenue["opening"]), float(revenue["closing"])
    moves = [step for step in revenue.index if step not in {"opening", "closing"}]
    kept = opening + float(revenue["lost"] + revenue["less_intensive"])
    gross = kept / opening if opening > 0 else None
    net = (kept + float(revenue["more_intensive"])) / opening if opening > 0 else None
    moved, retained = _moved(revenue, settings), _retained(gross, net)
    return RevenueBridge(
        sentence=f"{moved}{_steps_in_words(revenue, clients, settings)}. {retained}{_history_note(first, previous)}",
        finding=f"{moved}. {retained}{_history_note(first, previous)}",
        table=steps.assign(step=steps["step"].map(BRIDGE_STEPS)),
        caption=f"Revenue ({settings.currency}) of {previous.label} (opening) and of {current.label} (closing)",
        steps=steps,
        is_closed=bool(abs(opening + revenue[moves].sum() - closing) < _CENT),
        gross_retention_share=gross,
        net_retention_share=net,
    )


def bridge_steps(facts: nw.LazyFrame[Any]) -> pd.DataFrame:
    """The steps of the bridge: every client's change of revenue falls into exactly one.

    Parameters
    ----------
    facts
        ``client_facts``: ``state``, ``revenue``, ``revenue_previous``, ``deals_won_previous``.

    Returns
    -------
    pandas.DataFrame
        ``step`` (in the order of ``BRIDGE_STEPS``), signed ``revenue`` and ``clients``; ``corrections`` only
        where some client has nothing but credit notes. ``clients`` of opening and closing are those that bought.
    """
    change = nw.col("revenue") - nw.col("revenue_previous")
    bought_before, state = nw.col("deals_won_previous") > 0, nw.col("state")
    is_moved = (nw.col("revenue") != 0) | (nw.col("revenue_previous") != 0)
    step = nw.when(is_moved).then(nw.lit("corrections")).otherwise(nw.lit("none"))
    step = nw.when((state == "lapsed") & bought_before).then(nw.lit("lost")).otherwise(step)
    step = nw.when(state == "active").then(nw.lit("unchanged")).otherwise(step)
    step = nw.when((state == "active") & (change > 0)).then(nw.lit("more_intensive")).otherwise(step)
    step = nw.when((state == "active") & (change < 0)).then(nw.lit("less_intensive")).otherwise(step)
    step = nw.when(state.is_in(["new", "returned"])).then(state).otherwise(step)
    marked = facts.with_columns(
        step=step,
        change=change,
        bought=nw.when(nw.col("deals_won") > 0).then(1).otherwise(0),
        bought_before=nw.when(bought_before).then(1).otherwise(0),
    )
    sums = ["change", "revenue", "revenue_previous", "bought", "bought_before"]
    by_step = collect(marked.group_by("step").agg(nw.len().alias("clients"), *[nw.col(name).sum() for name in sums]))
    by_step = by_step.astype(dict.fromkeys(["clients", *sums], float)).set_index("step")
    whole = by_step.sum()
    rows = {
        step: (by_step["change"].get(step, 0.0), by_step["clients"].get(step, 0.0))
        for step in BRIDGE_STEPS
        if step not in {"opening", "closing", "corrections"} or step in by_step.index
    }
    rows |= {"opening": (whole["revenue_previous"], whole["bought_before"]), "closing": (whole["revenue"], whole["bought"])}
    table = pd.DataFrame([(step, *rows[step]) for step in BRIDGE_STEPS if step in rows], columns=["step", "revenue", "clients"])
    # Decimal sums come exact from the engine; the rounding takes off only what the float added.
    return table.assign(revenue=table["revenue"].round(4) + 0.0, clients=table["clients"].astype("int64"))


def _moved(revenue: pd.Series[Any], settings: Company) -> str:
    opening, closing = revenue["opening"], revenue["closing"]
    moved = "stayed at" if opening == closing else "rose to" if closing > opening else "fell to"
    ends = [formats.money(value, settings.currency) for value in (opening, closing)]
    text = f"Revenue of {ends[0]} in the period before {moved} {ends[1]}"
    if opening > 0 and opening != closing:
        text += f" ({'+' if closing > opening else ''}{formats.share(closing / opening - 1, 1)})"
    return text


def _steps_in_words(revenue: pd.Series[Any], clients: pd.Series[Any], settings: Company) -> str:
    moves = [
        f"{formats.plural(clients[step], noun)} {verb} {formats.money(abs(revenue[step]), settings.currency)}"
        for step, noun, verb in _MOVES
        if clients[step]
    ]
    return f": {formats.join(moves)}" if moves else ""


def _retained(gross: float | None, net: float | None) -> str:
    if gross is None or net is None:
        return "Retention can't be computed, since the opening revenue is not positive."
    return (
        f"Of the opening revenue {formats.share(gross, 1)} was kept (gross revenue retention), "
        f"{formats.share(net, 1)} with what the same clients bought in addition (net revenue retention)."
    )


def _history_note(first: pd.Timestamp, previous: Period) -> str:
    """What a short history does to the bridge."""
    if first > pd.Timestamp(previous.start) + pd.Timedelta(days=_FIRST_MONTH_DAYS):
        return (
            f" The deals begin on {formats.date(first)}, inside the opening period: the opening is too low,"
            " and new clients are too many."
        )
    if first >= pd.Timestamp(previous.start):
        return " No deal is older than the opening period, so a client that returned after a longer pause would count as new."
    return ""
