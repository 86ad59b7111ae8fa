"""Stage 2 from its data to its conclusion, as the notebook runs it, for tests of what comes out at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.stages import (
    segments,
    segments_abc,
    segments_calls,
    segments_card,
    segments_certainty,
    segments_clusters,
    segments_contracts,
    segments_costs,
    segments_cut_costs,
    segments_equity,
    segments_findings,
    segments_key_accounts,
    segments_leaves,
    segments_likes,
    segments_loyalty,
    segments_matrix,
    segments_migration,
    segments_payment,
    segments_periods,
    segments_phases,
    segments_rhythm,
    segments_scores,
    segments_sensitivity,
    segments_trust,
    segments_validation,
    segments_value,
    segments_wants,
    segments_worth,
)


def keep_in(data: Canonical, folder: Path) -> Any:
    """``Stage.write`` in small: a frame is written below ``folder`` and read back."""

    def keep(
        name: str, frame: nw.LazyFrame[Any] | pd.DataFrame, *, grain: str, key: Sequence[str], totals: Sequence[str] = ()
    ) -> nw.LazyFrame[Any]:
        path = folder / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        data.engine.write(frame, path, order_by=key)
        return data.engine.scan(path)

    return keep


def run_stage(data: Canonical, settings: Company, folder: Path) -> segments_findings.Answers:
    """Everything stage 2 finds; per-client tables are written below ``folder`` and re-read."""
    keep, given = keep_in(data, folder), (data, settings)
    cost = segments.cost_to_serve(*given)
    frame = segments_phases.with_running_cost(*given, segments.client_economics(*given, cost), cost)
    economics = keep("client_economics", frame, grain="one row per client", key=["client_id"])
    contracts = segments_contracts.contracts(*given, keep)
    beside = segments_contracts.deals_beside(data, contracts)
    value = segments_value.lifetime_value(*given, economics, keep, beside)
    rhythm = segments_rhythm.regularity(value, *given, keep)
    evidence = segments_validation.evidence(value, *given, beside)
    trust = segments_trust.trust(evidence, value)
    periods = segments_periods.two_periods(*given, cost, keep)
    matrix = segments_matrix.matrix(*given, economics, segments_worth.revenue_ahead(*given, value, contracts, beside), periods)
    assert isinstance(matrix, segments_matrix.Matrix)
    clusters = segments_clusters.clusters(*given, economics)
    worth = segments_worth.written_worth(*given, economics, value, contracts, keep)
    segmented = segments_clusters.written_segments(*given, economics, matrix, clusters, worth, keep)
    accounts = segments_key_accounts.of_worth(*given, worth, contracts)
    share = segments_key_accounts.top_share(accounts)
    return segments_findings.Answers(
        cost=cost,
        components=segments_costs.cost_components(*given, cost, economics),
        payment=segments_payment.late_payment(*given, economics),
        phases=segments_phases.cost_phases(*given, economics, cost, matrix),
        sensitivity=segments_sensitivity.rate_sensitivity(*given, economics, cost, matrix),
        whale=segments.whale_curve(*given, economics),
        steadiness=segments_abc.abc_xyz(*given),
        scores=segments_scores.scores(*given),
        contracts=contracts,
        rhythm=rhythm,
        value=value,
        holdout=segments_value.holdout(value, settings),
        trust=trust,
        matrix=matrix,
        certainty=segments_certainty.certainty(*given, economics, matrix, periods),
        migration=segments_migration.migration(*given, economics, matrix, periods),
        clusters=clusters,
        equity=segments_equity.customer_equity(worth, settings, segmented),
        accounts=accounts,
        loyalty=segments_loyalty.loyalty(*given, cost),
        cuts=segments_cut_costs.cut_costs(*given, economics, segmented),
        wants=segments_wants.wants(*given, segmented),
        likes=segments_likes.likes(*given, segmented),
        asks=segments_leaves.asks_for(*given, segmented),
        leaves=segments_leaves.leaves_for(*given, segmented),
        calls=segments_calls.call_list(*given, segmented, segments_rhythm.orders_of(rhythm)),
        card=segments_card.model_card(
            value, *given, found=evidence, checks=trust, top_share=share, deals=beside, contracts=contracts
        ),
        client_segments=segmented,
    )
