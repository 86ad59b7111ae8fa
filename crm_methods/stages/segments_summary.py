"""What stage 2 leaves behind: its segment-level tables and its conclusion. A room of stage 2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Check, Conclusion, Headline, Result, Unanswered
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import STRATEGY_LABELS, segment_label
from crm_methods.engine import collect
from crm_methods.models.btyd_validation import FAMILY_LABELS
from crm_methods.models.equity_intervals import TOTAL
from crm_methods.stages.segments import CostToServe, WhaleCurve
from crm_methods.stages.segments_clusters import Clusters
from crm_methods.stages.segments_matrix import Matrix
from crm_methods.stages.segments_value import LifetimeValue

_CENT = 0.01


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Answers:
    """All that stage 2 found; ``client_segments`` is the written table with a row per client."""

    cost: CostToServe | Unanswered
    whale: WhaleCurve | Unanswered
    value: LifetimeValue | Unanswered
    holdout: Answer | Unanswered
    matrix: Matrix
    clusters: Clusters | Unanswered
    equity: Answer | Unanswered
    client_segments: nw.LazyFrame[Any]


def tables(found: Answers) -> dict[str, Result]:
    """The stage's tables with a row per segment or coarser; what could not be answered has none."""
    cost, whale, value, groups, equity = found.cost, found.whale, found.value, found.clusters, found.equity
    results = {"segment_matrix": Result(found.matrix.summary, "one row per segment", ("segment",))}
    if not found.matrix.readings.empty:
        results["matrix_readings"] = Result(found.matrix.readings, "one row per reading of the cost axis", ("reading",))
    if isinstance(cost, CostToServe):
        results["activity_rates"] = Result(cost.table, "one row per cost pool", ("pool",))
        results["activities"] = Result(cost.activities, "one row per activity", ("pool", "department", "channel", "kind"))
    if isinstance(whale, WhaleCurve):
        results["whale_curve"] = Result(whale.curve, "one row per point of the curve", ("client_share",))
    if isinstance(value, LifetimeValue):
        results["lifetime_value_models"] = Result(value.model.models, "one row per family and parameter", ("family", "parameter"))
    if isinstance(value, LifetimeValue) and isinstance(found.holdout, Answer):
        results["lifetime_value_holdout"] = Result(value.model.holdout, "one row per family", ("family",))
    if isinstance(groups, Clusters):
        results["cluster_profile"] = Result(groups.table, "one row per cluster", ("cluster",))
    if isinstance(equity, Answer):
        results["customer_equity"] = Result(equity.table, "one row per segment, and the whole base", ("segment",))
    return results


def conclusion(settings: Company, found: Answers) -> Conclusion:
    """Findings in order of weight, headlines for the index, checks, and the strategies as the decision."""
    in_order = (found.equity, found.matrix, found.whale, found.cost, found.clusters, found.holdout)
    groups = _groups(found.client_segments)
    return Conclusion(
        findings=tuple(answer.sentence for answer in in_order if isinstance(answer, Answer)),
        headlines=tuple(_headlines(settings, found.matrix, found.equity)),
        checks=tuple(_checks(settings, found, groups)),
        decision=_decision(groups),
    )


def _groups(client_segments: nw.LazyFrame[Any]) -> pd.DataFrame:
    """Clients by strategy and segment."""
    counted = client_segments.group_by("strategy", "segment").agg(nw.len().alias("clients"))
    return collect(counted.sort("strategy", "segment"))


def _decision(groups: pd.DataFrame) -> str:
    """Which segment follows which strategy."""
    words = []
    for strategy in (name for name in STRATEGY_LABELS if name in set(groups["strategy"])):
        rows = groups[groups["strategy"] == strategy]
        names = [f"{segment_label(row.segment)} ({formats.plural(row.clients, 'client')})" for row in rows.itertuples()]
        words.append(f"{STRATEGY_LABELS[strategy]}: {formats.join(names)}")
    return f"{'; '.join(words)}." if words else ""


def _headlines(settings: Company, matrix: Matrix, equity: Answer | Unanswered) -> list[Headline]:
    headlines = []
    if isinstance(equity, Answer):
        headlines.append(_equity_headline(settings, equity.table))
    contribution = matrix.summary["contribution"]
    if contribution.notna().any():
        total, revenue = float(contribution.sum()), float(matrix.summary["revenue"].sum())
        headlines.append(
            Headline(
                key="net_margin",
                label="Net margin after cost to serve",
                text=formats.money_short(total, settings.currency),
                value=total,
                note=f"{formats.share(total / revenue)} of revenue" if revenue > 0 else "",
            )
        )
    return headlines


def _equity_headline(settings: Company, table: pd.DataFrame) -> Headline:
    name = "equity" if "equity" in table else "equity_revenue"
    months = formats.plural(settings.lifetime_value.horizon_months, "month")
    whole = table[table["segment"] == TOTAL].iloc[0]
    interval = formats.interval(whole[f"{name}_low"], whole[f"{name}_high"], lambda x: formats.money_short(x, settings.currency))
    return Headline(
        key="customer_equity",
        label=f"Customer equity, {months}" if name == "equity" else f"Expected revenue, {months}",
        text=formats.money_short(whole[name], settings.currency),
        value=float(whole[name]),
        interval=None if interval == formats.NOTHING else interval,
        note="" if name == "equity" else "revenue: no margin is known",
    )


def _checks(settings: Company, found: Answers, groups: pd.DataFrame) -> list[Check]:
    clients, placed = int(found.matrix.summary["clients"].sum()), int(groups.dropna()["clients"].sum())
    detail = f"{formats.plural(placed, 'client')} of {formats.number(clients)} with a segment and a strategy"
    checks = [Check(name="Every client has one segment and one strategy", passed=placed == clients, detail=detail)]
    if isinstance(found.cost, CostToServe):
        checks += _cost_checks(settings, found.cost, float(found.matrix.summary["cost_to_serve"].sum()))
    if isinstance(found.value, LifetimeValue) and isinstance(found.holdout, Answer):
        checks += _forecast_checks(found.value.model.holdout, found.value.model.rung)
    return checks


def _cost_checks(settings: Company, cost: CostToServe, at_clients: float) -> list[Check]:
    sums = cost.table[["cost", "allocated_cost", "unused_cost", "not_allocated_cost"]].sum()
    gap = float(sums["cost"] - sums["allocated_cost"] - sums["unused_cost"] - sums["not_allocated_cost"])
    detail = f"allocated + unused + not allocated = {formats.money(sums['cost'], settings.currency)}"
    priced = float(sums["allocated_cost"]) + float(cost.activities["direct_cost"].sum())
    both = (formats.money(amount, settings.currency) for amount in (at_clients, priced))
    return [
        Check(name="Cost to serve reconciles to the ledger", passed=abs(gap) < _CENT, detail=detail),
        # Contacts priced by channel come on top of pools and direct costs.
        Check(
            name="Clients' cost adds up to the pools'",
            passed=at_clients + _CENT >= priced,
            detail="{} at clients, {} from pools and direct costs".format(*both),
        ),
    ]


def _forecast_checks(holdout: pd.DataFrame, rung: str) -> list[Check]:
    """Whether the model that the values rest on, not the best one on show, was nearer than the naive forecast."""
    errors = holdout.set_index("family")["mae"]
    if rung == "naive" or rung not in errors.index or "naive" not in errors.index:
        return []
    own, naive = float(errors[rung]), float(errors["naive"])
    errors_said = f"{formats.number(own, 2)} against {formats.number(naive, 2)} purchases"
    detail = f"{FAMILY_LABELS.get(rung, rung)}: mean absolute error {errors_said}"
    return [Check(name="The purchase model beats the naive forecast", passed=own < naive, detail=detail)]
