"""All that stage 2 found, in one place: what its tables and its conclusion are made from. A room of stage 2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw

from crm_methods.company.answers import Answer, Unanswered
from crm_methods.stages.segments import CostToServe, WhaleCurve
from crm_methods.stages.segments_abc import AbcXyz
from crm_methods.stages.segments_calls import CallList
from crm_methods.stages.segments_card import Card
from crm_methods.stages.segments_certainty import Certainty
from crm_methods.stages.segments_clusters import Clusters
from crm_methods.stages.segments_contracts import Contracts
from crm_methods.stages.segments_costs import CostComponents
from crm_methods.stages.segments_cut_costs import CutCosts
from crm_methods.stages.segments_key_accounts import KeyAccounts
from crm_methods.stages.segments_leaves import Reasons
from crm_methods.stages.segments_likes import Likes
from crm_methods.stages.segments_loyalty import Loyalty
from crm_methods.stages.segments_matrix import Matrix
from crm_methods.stages.segments_migration import Migration
from crm_methods.stages.segments_payment import LatePayment
from crm_methods.stages.segments_phases import CostPhases
from crm_methods.stages.segments_rhythm import Regularity
from crm_methods.stages.segments_scores import Scores
from crm_methods.stages.segments_sensitivity import RateSensitivity
from crm_methods.stages.segments_trust import Trust
from crm_methods.stages.segments_value import LifetimeValue
from crm_methods.stages.segments_wants import Wants


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Answers:
    """All that stage 2 found; ``client_segments`` is the written table with a row per client."""

    cost: CostToServe | Unanswered
    components: CostComponents | Unanswered
    payment: LatePayment | Unanswered
    phases: CostPhases | Unanswered
    sensitivity: RateSensitivity | Unanswered
    whale: WhaleCurve | Unanswered
    steadiness: AbcXyz | Unanswered
    scores: Scores | Unanswered
    contracts: Contracts | Unanswered
    rhythm: Regularity | Unanswered
    value: LifetimeValue | Unanswered
    holdout: Answer | Unanswered
    trust: Trust | Unanswered
    matrix: Matrix
    certainty: Certainty | Unanswered
    migration: Migration | Unanswered
    clusters: Clusters | Unanswered
    equity: Answer | Unanswered
    accounts: KeyAccounts | Unanswered
    loyalty: Loyalty | Unanswered
    cuts: CutCosts | Unanswered
    wants: Wants | Unanswered
    likes: Likes | Unanswered
    asks: Reasons | Unanswered
    leaves: Reasons | Unanswered
    calls: CallList
    card: Card
    client_segments: nw.LazyFrame[Any]
