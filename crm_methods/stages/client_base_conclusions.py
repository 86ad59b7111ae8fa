"""Stage 1, last room: what is taken from it: tables, findings, checks, headline numbers and the decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered
from crm_methods.company.settings import Company
from crm_methods.engine import collect
from crm_methods.stages.client_base import Reconciliation
from crm_methods.stages.client_base_bridge import RevenueBridge
from crm_methods.stages.client_base_contacts import Channels, PreferredChannels
from crm_methods.stages.client_base_deals import CycleAndDiscount, LossReasons, WonAndLost
from crm_methods.stages.client_base_drift import AMBER_HISTORY, DataDrift
from crm_methods.stages.client_base_duplicates import Duplicates
from crm_methods.stages.client_base_fields import WHOLE_TABLE, in_words, place_of
from crm_methods.stages.client_base_flow import Cohorts, Concentration, MonthlyFlow
from crm_methods.stages.client_base_gaps import Completeness, DataRequests, Gaps
from crm_methods.stages.client_base_groups import Groups
from crm_methods.stages.client_base_referrals import Promoters, Referrals
from crm_methods.stages.client_base_requests import RequestsPerClient, TimeToSolve, Topics
from crm_methods.stages.client_base_rules import DealKinds, Rules
from crm_methods.stages.client_base_spellings import Spellings
from crm_methods.stages.client_base_terms import Delivery, Terms

_CURRENT_STATES = ("new", "active", "returned")


class Notes(Protocol):
    """Where a stage keeps what it takes from its results."""

    def write(self, name: str, frame: Any, *, grain: str, key: Sequence[str], totals: Sequence[str] = ()) -> Any:
        """Write a table."""

    def finding(self, *texts: str) -> None:
        """Note key findings."""

    def decision(self, text: str) -> None:
        """Note what the stage decides."""

    def check(self, name: str, passed: bool, detail: str) -> None:
        """Note a check."""

    def headline(
        self, key: str, label: str, text: str, *, value: float | None = None, interval: str | None = None, note: str = ""
    ) -> None:
        """Note a number for the index page."""


@dataclass(frozen=True, slots=True)
class _Written:
    """How a result is kept as a table; an empty one is not kept."""

    name: str
    field: str
    grain: str
    key: tuple[str, ...]
    totals: tuple[str, ...] = ()


_TABLES: Mapping[type[Answer], _Written] = {
    Reconciliation: _Written("intake_totals", "totals", "one row per table read", ("table",), ("source_rows", "accepted_rows")),
    Spellings: _Written("category_spellings", "rules", "one row per column and spelling", ("column", "written"), ("clients",)),
    Duplicates: _Written(
        "client_duplicates", "pairs", "one row per client that repeats another", ("client_id",), ("revenue_total",)
    ),
    Rules: _Written(
        "intake_rules",
        "decisions",
        "one row per table, column, kind and value",
        ("table", "column", "kind", "written"),
        ("rows",),
    ),
    DealKinds: _Written("deal_kinds", "kinds", "one row per kind of deal", ("kind",), ("deals", "amount")),
    DataDrift: _Written("input_drift", "lines", "one row per table, column and change", ("table", "column", "change")),
    Groups: _Written("client_groups", "members", "one row per group and client", ("group_id", "known_by", "client_id")),
    RevenueBridge: _Written("revenue_bridge", "steps", "one row per step of the bridge", ("step",)),
    MonthlyFlow: _Written("monthly_flow", "months", "one row per month", ("month",), ("new", "returned", "lost")),
    Cohorts: _Written(
        "cohort_retention", "retention", "one row per cohort and quarter later", ("cohort", "quarters_later"), ("clients",)
    ),
    Concentration: _Written("concentration", "curve", "one row per point of the curve", ("rank",)),
    Completeness: _Written("completeness", "shares", "one row per group, block and field", ("by", "group", "block", "field")),
    Gaps: _Written("data_gaps", "ranked", "one row per gap", ("place",), ("gap_revenue",)),
    WonAndLost: _Written("win_rates", "groups", "one row per group of deals", ("by", "group")),
    CycleAndDiscount: _Written(
        "deal_cycles", "groups", "one row per group, measure and outcome", ("by", "group", "measure", "outcome")
    ),
    LossReasons: _Written(
        "loss_reasons", "reasons", "one row per group and reason or competitor", ("by", "group", "about", "name")
    ),
    Terms: _Written("purchase_terms", "changes", "one row per attribute and value", ("attribute", "name"), ("deals",)),
    Delivery: _Written("deliveries", "periods", "one row per period", ("period",), ("deals",)),
    Topics: _Written("request_topics", "changes", "one row per topic or reason", ("about", "name"), ("requests",)),
    RequestsPerClient: _Written(
        "requests_per_client", "distribution", "one row per number of requests", ("requests",), ("clients",)
    ),
    TimeToSolve: _Written("request_times", "times", "one row per kind of request", ("kind",)),
    Referrals: _Written("referral_revenue", "origins", "one row per origin of clients", ("origin",), ("clients",)),
    Promoters: _Written(
        "promoters", "promoters", "one row per client that referred others", ("client_id",), ("clients_referred",)
    ),
    Channels: _Written("contact_channels", "channels", "one row per channel", ("channel",), ("contacts",)),
    PreferredChannels: _Written(
        "preferred_channels", "preferred", "one row per preferred channel", ("preferred_channel",), ("clients",)
    ),
}
_SPREADS = _Written("win_rate_spread", "spread", "one row per kind of group", ("by",))


def write_tables(stage: Notes, *results: Answer | Unanswered) -> None:
    """Write the table of each result; a question that could not be answered leaves none.

    Parameters
    ----------
    stage
        The stage that writes.
    results
        The stage's answers.
    """
    for result in results:
        kept = _TABLES.get(type(result)) if isinstance(result, Answer) else None
        for table in [kept, *([_SPREADS] if isinstance(result, WonAndLost) else [])]:
            if table is not None and len(getattr(result, table.field).columns):
                stage.write(table.name, getattr(result, table.field), grain=table.grain, key=table.key, totals=table.totals)


def conclude(
    notes: Notes, settings: Company, facts: nw.LazyFrame[Any], intake: Reconciliation, duplicates: Duplicates,
    bridge: RevenueBridge | Unanswered, flow: MonthlyFlow | Unanswered, concentration: Concentration | Unanswered,
    completeness: Completeness | Unanswered, gaps: Gaps | Unanswered, requests: DataRequests | Unanswered,
    drift: DataDrift, *service: Answer | Unanswered,
) -> None:  # fmt: skip
    """Note the stage's findings, headline numbers, checks and decision.

    Parameters
    ----------
    notes
        The stage that takes the notes.
    settings
        The company.
    facts
        ``client_facts``.
    intake, duplicates, bridge, flow, concentration, completeness, gaps, requests
        The stage's answers; those that could not be given are left out.
    drift
        What changed in the incoming data since the last run.
    service
        Answers on deals, requests and contacts; those that say themselves in short (``finding``) become findings.
    """
    shown = (concentration, flow, completeness, gaps)
    sentences = [answer.sentence for answer in shown if isinstance(answer, Answer)]
    notes.finding(*([bridge.finding] if isinstance(bridge, RevenueBridge) else []), *sentences)
    notes.finding(*[answer.finding for answer in service if isinstance(answer, WonAndLost | Topics | Channels)])
    notes.check("Control totals", intake.is_reconciled, intake.sentence)
    if drift.history_share is not None:
        notes.check("Earlier records unchanged", drift.history_share < AMBER_HISTORY, drift.sentence)
    states = collect(facts.group_by("state").agg(nw.len().alias("clients"))).set_index("state")["clients"]
    current = int(states.reindex(list(_CURRENT_STATES)).fillna(0).sum())
    if isinstance(bridge, RevenueBridge):
        _note_bridge(notes, bridge)
    if isinstance(flow, MonthlyFlow):
        _note_flow(notes, flow, current, settings)
    notes.decision(_decision(intake, duplicates, gaps, requests))


def _note_bridge(notes: Notes, bridge: RevenueBridge) -> None:
    steps = bridge.steps.set_index("step")["revenue"]
    moves = steps.drop(["opening", "closing"]).sum()
    opening, closing = (formats.number(steps[name], 2) for name in ("opening", "closing"))
    detail = f"opening {opening}, changes {formats.number(moves, 2)}, closing {closing}"
    notes.check("Revenue bridge", bridge.is_closed, detail)
    if bridge.net_retention_share is not None:
        gross = formats.share(bridge.gross_retention_share, 1)
        note = f"{gross} before what the same clients bought in addition; every client counted, so there is no interval"
        notes.headline(
            "revenue_retained", "Net revenue retention", formats.share(bridge.net_retention_share, 1),
            value=bridge.net_retention_share, note=note,
        )  # fmt: skip


def _note_flow(notes: Notes, flow: MonthlyFlow, current: int, settings: Company) -> None:
    active = int(flow.months["active"].iloc[-1])
    when = f"at the end of {formats.month(flow.months['month'].iloc[-1])}"
    notes.headline("active_clients", "Active clients", formats.number(active), value=float(active), note=when)
    if pd.Timestamp(settings.as_of).is_month_end:
        detail = f"{formats.number(active)} active {when}, {formats.number(current)} with a purchase in the period"
        notes.check("Active clients", active == current, detail)


def _decision(
    intake: Reconciliation, duplicates: Duplicates, gaps: Gaps | Unanswered, requests: DataRequests | Unanswered
) -> str:
    steps = [] if intake.is_reconciled else ["clear up why the control totals differ before any figure is used"]
    if isinstance(gaps, Gaps) and len(gaps.ranked):
        worst = gaps.ranked.iloc[0]
        place = place_of(worst["table"], worst["column"])
        what = f"the table {worst['table']}" if worst["column"] == WHOLE_TABLE else in_words(place)
        steps.append(f"supply {what} first")
    if isinstance(requests, DataRequests) and len(requests.requests):
        steps.append(f"send the account managers their {formats.plural(len(requests.requests), 'request')} (data_requests.csv)")
    if len(duplicates.pairs):
        pairs = formats.plural(len(duplicates.pairs), "possible duplicate")
        steps.append(f"have somebody decide on the {pairs} (duplicates_to_decide.csv)")
    if not steps:
        return "The base is in order: nothing has to be collected before the next stage."
    return f"To decide now: {'; '.join(steps)}. The next stages go on with the base as it is."
