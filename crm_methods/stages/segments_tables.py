"""The tables that stage 2 leaves behind, beside those written on the way. A room of stage 2."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods.company.answers import Answer, Result, Unanswered
from crm_methods.stages.segments import CostToServe, WhaleCurve
from crm_methods.stages.segments_abc import AbcXyz
from crm_methods.stages.segments_calls import CallList
from crm_methods.stages.segments_certainty import Certainty
from crm_methods.stages.segments_clusters import Clusters
from crm_methods.stages.segments_contracts import Contracts
from crm_methods.stages.segments_cut_costs import CutCosts
from crm_methods.stages.segments_findings import Answers
from crm_methods.stages.segments_key_accounts import KeyAccounts
from crm_methods.stages.segments_leaves import Reasons
from crm_methods.stages.segments_likes import Likes
from crm_methods.stages.segments_migration import Migration
from crm_methods.stages.segments_payment import LatePayment
from crm_methods.stages.segments_phases import CostPhases
from crm_methods.stages.segments_scores import Scores
from crm_methods.stages.segments_sensitivity import RateSensitivity
from crm_methods.stages.segments_trust import Trust
from crm_methods.stages.segments_value import LifetimeValue
from crm_methods.stages.segments_wants import Wants

Keep = Callable[..., nw.LazyFrame[Any]]
"""``Stage.write``."""

_PER_CLIENT: tuple[tuple[str, str, type[Answer], str], ...] = (
    ("client_certainty", "certainty", Certainty, "clients"),
    ("client_rates", "sensitivity", RateSensitivity, "by_client"),
    ("client_migration", "migration", Migration, "clients"),
    ("client_scores", "scores", Scores, "per_client"),
    ("client_abc", "steadiness", AbcXyz, "per_client"),
    ("cut_costs", "cuts", CutCosts, "per_client"),
    ("client_calls", "calls", CallList, "by_client"),
)
"""Tables with a row per client: name, the answer and its kind, and the attribute that holds the frame."""

_BY_GROUP: tuple[tuple[str, str, type[Answer], str, str, tuple[str, ...]], ...] = (
    ("activity_rates", "cost", CostToServe, "table", "one row per cost pool", ("pool",)),
    ("activities", "cost", CostToServe, "activities", "one row per activity", ("pool", "department", "channel", "kind")),
    ("cost_phases", "phases", CostPhases, "phases", "one row per phase of a client", ("phase",)),
    ("late_payment", "payment", LatePayment, "segments", "one row per segment, and the whole base", ("segment",)),
    ("rate_sensitivity", "sensitivity", RateSensitivity, "table", "one row per pool and direction", ("pool", "rate_change")),
    ("whale_curve", "whale", WhaleCurve, "curve", "one row per point of the curve", ("client_share",)),
    ("abc_xyz", "steadiness", AbcXyz, "cells", "one row per pair of classes", ("abc", "xyz")),
    ("score_cells", "scores", Scores, "cells", "one row per pair of scores", ("recency_score", "frequency_score")),
    ("score_cuts", "scores", Scores, "cuts", "one row per measure and score", ("measure", "score")),
    ("contract_renewals", "contracts", Contracts, "table", "one row per renewal", ("renewal",)),
    ("certainty", "certainty", Certainty, "table", "one row per segment", ("segment",)),
    ("migration", "migration", Migration, "moves", "one row per former and present segment", ("previous_segment", "segment")),
    ("migration_origins", "migration", Migration, "origins", "one row per former segment", ("previous_segment",)),
    ("cluster_profile", "clusters", Clusters, "table", "one row per cluster", ("cluster",)),
    ("model_checks", "trust", Trust, "table", "one row per check", ("check",)),
    ("key_accounts", "accounts", KeyAccounts, "accounts", "one row per key account", ("client_id",)),
    ("cut_costs_states", "cuts", CutCosts, "states", "one row per state", ("state",)),
    ("segment_wants", "wants", Wants, "criteria", "one row per segment and criterion", ("segment", "criterion")),
    ("segment_likes", "likes", Likes, "ratings", "one row per segment and criterion", ("segment", "criterion")),
    ("call_reasons", "calls", CallList, "by_reason", "one row per reason", ("call_reason",)),
)
"""Tables with a row per segment or coarser: name, the answer and its kind, attribute, grain and key."""


def write(found: Answers, keep: Keep) -> None:
    """Write every table that the answers hold; what could not be answered has none."""
    for name, answer, kind, attribute in _PER_CLIENT:
        given = getattr(found, answer)
        if isinstance(given, kind):
            keep(name, getattr(given, attribute), grain="one row per client", key=["client_id"])
    for name, result in tables(found).items():
        keep(name, result.table, grain=result.grain, key=result.key)


def tables(found: Answers) -> dict[str, Result]:
    """The stage's tables with a row per segment or coarser; what could not be answered has none."""
    results = {"segment_matrix": Result(found.matrix.summary, "one row per segment", ("segment",))}
    if not found.matrix.readings.empty:
        results["matrix_readings"] = Result(found.matrix.readings, "one row per reading of the cost axis", ("reading",))
    for name, answer, kind, attribute, grain, key in _BY_GROUP:
        given = getattr(found, answer)
        if isinstance(given, kind) and len(getattr(given, attribute)):
            results[name] = Result(getattr(given, attribute), grain, key)
    return {**results, **dict(_of_models(found)), **dict(_of_the_rest(found))}


def _of_models(found: Answers) -> Iterator[tuple[str, Result]]:
    value = found.value
    if isinstance(value, LifetimeValue):
        yield "lifetime_value_models", Result(value.model.models, "one row per family and parameter", ("family", "parameter"))
        if isinstance(found.holdout, Answer):
            yield "lifetime_value_holdout", Result(value.model.holdout, "one row per family", ("family",))


def _of_the_rest(found: Answers) -> Iterator[tuple[str, Result]]:
    if isinstance(found.equity, Answer):
        yield "customer_equity", Result(found.equity.table, "one row per segment, and the whole base", ("segment",))
    reasons = [part.reasons for part in (found.asks, found.leaves) if isinstance(part, Reasons)]
    if reasons:
        every = pd.concat(reasons, ignore_index=True)
        yield "segment_reasons", Result(every, "one row per source, segment and reason", ("source", "segment", "name"))
    if not isinstance(found.card, Unanswered):
        yield "model_card", Result(found.card.table, "one row per item of the card", ("section", "item"))
