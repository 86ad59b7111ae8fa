"""Whom to call first, and why: one reason per client from facts, ranked by the money at stake. A room of stage 2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.engine import collect
from crm_methods.stages.segments_call_facts import (
    CONTRACT_DAYS,
    REQUEST_DAYS,
    client_call_facts,
    money_word,
    with_stakes,
)

SHOWN_CALLS = 15
WORDED_CALLS = 200
"""Of so many clients the list for the CRM tells what is known of them."""
NO_REASON = "no reason now"
REASONS = {
    "complaint": "Complaint still open",
    "request": f"Request open for over {REQUEST_DAYS} days",
    "contract": f"Contract ends within {CONTRACT_DAYS} days",
    "overdue": "Regular order is overdue",
    "slipping": "Valuable and slipping away",
    "falling": "Buys less than the year before",
    "loss": "Costs more than it brings",
    "growing": "Small and growing",
}
"""The reasons in the order in which they win where the same money is at stake."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CallList(Answer):
    """Whom to call first.

    Attributes
    ----------
    by_client
        One row per client (lazy): ``client_id``, ``call_rank`` (1 = first; missing without a reason), ``call_reason``,
        ``at_stake`` (money a year), ``call_why`` (the facts behind the reason in a few words, of the first ``WORDED_CALLS``).
    by_reason
        One row per reason: ``call_reason``, ``clients``, ``at_stake``, the most money first.
    """

    by_client: nw.LazyFrame[Any]
    by_reason: pd.DataFrame


def call_list(
    data: Canonical, settings: Company, client_segments: nw.LazyFrame[Any], next_orders: nw.LazyFrame[Any] | None = None
) -> CallList:
    """Rank clients by the money that a call may keep or win, each with its weightiest reason.

    All amounts are margin a year (revenue where no margin is known): what a client with an open complaint, or a contract
    about to end, brings in a year; the value a year of one worth more than the average × the chance that it has left; what it
    bought less than the year before, or more, × the chance that it is still a client; what it costs beyond its margin. Each is
    estimated in its own way, so that they rank clients but make no sum. Clients with the same amount stand in the order of
    their ids.

    Parameters
    ----------
    client_segments
        One row per client (``segments_clusters.client_segments``); ``clv_low`` and ``clv_high`` are told where they are there.
    next_orders
        Regular buyers: ``client_id``, ``next_order_on``, ``days_overdue``.
    """
    facts = with_stakes(client_call_facts(data, settings, client_segments, next_orders), settings, list(REASONS))
    reasoned = _with_reason(facts)
    by_reason = _by_reason(reasoned)
    clients = int(by_reason["clients"].sum())
    called = by_reason[by_reason["call_reason"] != NO_REASON].reset_index(drop=True)
    money = money_word(data)
    worded = _worded(_named_first(data, reasoned), money, settings)
    first = worded.head(SHOWN_CALLS)
    return CallList(
        sentence=_sentence(called, first, clients, money, settings.currency),
        table=_shown(first, money),
        caption=f"Whom to call first, by the {money} a year at stake",
        labels={f"{money}_at_stake": f"{money.capitalize()} a year at stake", "why": "What is known"},
        by_client=_with_words(_ranked(reasoned), worded, data),
        by_reason=called,
    )


def _with_reason(facts: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """The facts with the amount at stake and the reason of the largest one."""
    stakes = [nw.col(f"stake_{reason}") for reason in REASONS]
    weighed = facts.with_columns(at_stake=nw.max_horizontal(*stakes))
    chosen: nw.Expr = nw.lit(NO_REASON)
    for reason in reversed(REASONS):
        wins = (nw.col(f"stake_{reason}") > 0) & (nw.col(f"stake_{reason}") >= nw.col("at_stake"))
        chosen = nw.when(wins).then(nw.lit(REASONS[reason])).otherwise(chosen)
    return weighed.with_columns(call_reason=chosen)


def _by_reason(reasoned: nw.LazyFrame[Any]) -> pd.DataFrame:
    counted = reasoned.group_by("call_reason").agg(clients=nw.len(), at_stake=nw.col("at_stake").sum())
    return collect(counted).sort_values(["at_stake", "call_reason"], ascending=[False, True], ignore_index=True)


def _ranked(reasoned: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Every client that gives a reason with its place: the most money first, then by id."""
    listed = reasoned.select("client_id", "call_reason", "at_stake", falling=-nw.col("at_stake"), call_rank=nw.lit(1))
    place = nw.col("call_rank").cum_sum().over(order_by=["falling", "client_id"])
    ranked = listed.with_columns(call_rank=place.cast(nw.Int64))
    ranked = ranked.with_columns(call_rank=nw.when(nw.col("at_stake") > 0).then(nw.col("call_rank")))
    return ranked.select("client_id", "call_rank", "call_reason", "at_stake")


def _with_words(ranked: nw.LazyFrame[Any], worded: pd.DataFrame, data: Canonical) -> nw.LazyFrame[Any]:
    if worded.empty:
        return ranked.with_columns(call_why=nw.lit(None, nw.String))
    words = data.engine.frame(worded[["client_id", "why"]].rename(columns={"why": "call_why"}))
    return ranked.join(words, on="client_id", how="left")


def _named_first(data: Canonical, reasoned: nw.LazyFrame[Any]) -> pd.DataFrame:
    """The first clients with all that is known of them, their names and who is responsible for them."""
    ordered = reasoned.filter(nw.col("at_stake") > 0).with_columns(falling=-nw.col("at_stake"))
    top = ordered.sort("falling", "client_id").head(WORDED_CALLS)
    rows = collect(top.join(data.scan("clients").select("client_id", "name", "owner"), on="client_id", how="left"))
    rows = rows.sort_values(["falling", "client_id"], ignore_index=True)
    return rows.assign(client=rows["name"].where(rows["name"].notna(), rows["client_id"]))


def _worded(first: pd.DataFrame, money: str, settings: Company) -> pd.DataFrame:
    words = {label: reason for reason, label in REASONS.items()}
    return first.assign(why=[_why(words[row["call_reason"]], row, money, settings) for row in first.to_dict("records")])


def _shown(first: pd.DataFrame, money: str) -> pd.DataFrame:
    table = first.assign(reason=first["call_reason"]).rename(columns={"at_stake": f"{money}_at_stake"})
    columns = ["client", "owner", "segment", "strategy", "reason", "why", f"{money}_at_stake"]
    return table[columns].dropna(axis="columns", how="all")


def _why(reason: str, row: dict[Any, Any], money: str, settings: Company) -> str:
    """The facts behind a reason, in a few words."""

    def amount(name: str) -> str:
        return formats.money_short(row[name], settings.currency)

    horizon = formats.plural(settings.lifetime_value.horizon_months, "month")
    match reason:
        case "complaint":
            return f"complained on {formats.date(row['complaint_at'])}, not solved"
        case "request":
            return f"asked on {formats.date(row['request_at'])}, not solved"
        case "contract":
            return f"ends on {formats.date(row['contract_ends_on'])}"
        case "overdue":
            return f"expected on {formats.date(row['next_order_on'])}, last order {formats.date(row['last_order_on'])}"
        case "slipping":
            span = formats.interval(row["worth_low"], row["worth_high"], lambda v: formats.money_short(v, settings.currency))
            worth = f"{amount('worth')}{'' if span == formats.NOTHING else f' ({span})'} over {horizon}"
            alive = formats.share(row["p_alive"])
            return f"{alive} chance of still being a client, worth {worth}; last order {formats.date(row['last_order_on'])}"
        case "falling" | "growing":
            orders = f"{formats.plural(row['orders'], 'purchase')} after {formats.number(row['orders_before'])}"
            return f"{orders} in the year before, bringing {amount('earned')} of {money} after {amount('earned_before')}"
        case _:
            return f"{formats.money_short(-row['contribution'], settings.currency)} beyond its margin in the period"


def _sentence(called: pd.DataFrame, first: pd.DataFrame, clients: int, money: str, currency: str) -> str:
    if called.empty:
        return (
            f"None of {formats.plural(clients, 'client')} gives a reason to call now: no open complaint at a large client, no "
            "contract about to end, nobody of value slipping away, buying less than chance explains, or costing more than it "
            "brings."
        )
    many = int(called["clients"].sum())
    one = many == 1
    who = f"Of {formats.plural(clients, 'client')} {formats.number(many)}"
    if many == clients:
        who = "The only client" if one else f"All {formats.plural(clients, 'client')}"
    said = f"{who} {'gives' if one else 'give'} a reason to call"
    if many > len(first):
        said += f", of which the first {len(first)} by {money} at stake are listed"
    reasons = [
        f"{row.call_reason[:1].lower()}{row.call_reason[1:]} ({formats.plural(row.clients, 'client')}, "
        f"{formats.money_short(row.at_stake, currency)})"
        for row in called.head(3).itertuples()
    ]
    start = "Most weigh" if len(called) > len(reasons) else "The reasons" if len(reasons) > 1 else "The reason"
    start += f", with the {money} a year at stake"
    sure = "Amounts are estimates from each client's own history"
    if len(called) > 1:
        sure += ", for each reason in its own way and not to be added up"
    sure += ": they say in which order to look, not what a call brings"
    places = "" if one else ", and neighbours on the list may well change places"
    return f"{said}. {start}: {formats.join(reasons)}. {sure}{places}."
