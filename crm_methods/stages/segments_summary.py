"""What stage 2 concludes: findings, headlines, checks, and the strategies as its decision. A room of stage 2."""

from __future__ import annotations

import re
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Check, Conclusion, Headline, Unanswered
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import STRATEGY_LABELS, segment_label
from crm_methods.engine import collect
from crm_methods.models.btyd_validation import FAMILY_LABELS
from crm_methods.models.equity_intervals import TOTAL
from crm_methods.stages.segments import CostToServe
from crm_methods.stages.segments_costs import CostComponents
from crm_methods.stages.segments_findings import Answers
from crm_methods.stages.segments_trust import Trust
from crm_methods.stages.segments_value import LifetimeValue

_TAKEN_AWAY = 2
"""Sentences of an answer that stand among the findings; all of them stand with its table."""
_END_OF_SENTENCE = re.compile(r"(?<=[.!?]) (?=[A-Z0-9“])")


def conclusion(settings: Company, found: Answers) -> Conclusion:
    """Findings in order of weight, headlines for the index, checks, and the strategies as the decision."""
    in_order: tuple[Answer | Unanswered, ...] = (
        found.equity, found.matrix, found.certainty, found.whale, found.cost, found.migration, found.clusters, found.trust,
        found.calls,
    )  # fmt: skip
    groups = _groups(found.client_segments)
    return Conclusion(
        findings=tuple(_said(answer, found) for answer in in_order if isinstance(answer, Answer)),
        headlines=tuple(_headlines(settings, found)),
        checks=tuple(_checks(settings, found, groups)),
        decision=_decision(groups),
    )


def _said(answer: Answer, found: Answers) -> str:
    """How an answer begins; beside that of equity stands whether the model it rests on may be planned with."""
    if answer is found.equity:
        return f"{answer.sentence} {_verdict(found)}".rstrip()
    if answer is found.trust:
        return answer.sentence
    return " ".join(_END_OF_SENTENCE.split(answer.sentence)[:_TAKEN_AWAY])


def _verdict(found: Answers) -> str:
    return f"Of the model of purchases: {found.trust.verdict}." if isinstance(found.trust, Trust) else ""


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


def _headlines(settings: Company, found: Answers) -> list[Headline]:
    headlines = []
    if isinstance(found.equity, Answer):
        headlines.append(_equity_headline(settings, found.equity.table, _verdict(found)))
    contribution = found.matrix.summary["contribution"]
    if contribution.notna().any():
        total, revenue = float(contribution.sum()), float(found.matrix.summary["revenue"].sum())
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


def _equity_headline(settings: Company, table: pd.DataFrame, verdict: str) -> Headline:
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
        note=verdict if name == "equity" else f"Revenue: no margin is known. {verdict}".rstrip(),
    )


def _checks(settings: Company, found: Answers, groups: pd.DataFrame) -> list[Check]:
    clients, placed = int(found.matrix.summary["clients"].sum()), int(groups.dropna()["clients"].sum())
    detail = f"{formats.plural(placed, 'client')} of {formats.number(clients)} with a segment and a strategy"
    checks = [Check(name="Every client has one segment and one strategy", passed=placed == clients, detail=detail)]
    if isinstance(found.cost, CostToServe):
        checks += _cost_checks(settings, found.cost, found.components)
    if isinstance(found.value, LifetimeValue) and isinstance(found.holdout, Answer):
        checks += _forecast_checks(found.value.model.holdout, found.value.model.rung)
    if isinstance(found.trust, Trust):
        checks.append(_trust_check(found.trust))
    return checks


def _cost_checks(settings: Company, cost: CostToServe, components: CostComponents | Unanswered) -> list[Check]:
    total = formats.money(float(cost.table["cost"].sum()), settings.currency)
    if isinstance(components, Unanswered):
        return []
    gaps = (formats.money(gap, settings.currency) for gap in (components.ledger_gap, components.client_gap))
    return [
        Check(
            name="Cost to serve reconciles to the ledger and to the clients",
            passed=components.reconciles,
            detail=f"allocated + unused + not allocated = {total}; "
            "{} of it and {} of what clients bear are unexplained".format(*gaps),
        )
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


def _trust_check(trust: Trust) -> Check:
    """Whether the purchase model fails none of its checks; which of them it fails is to be read before its values are used."""
    failed = [check.name for check in trust.failed]
    detail = f"failed: {formats.join(failed)}; {trust.verdict}" if failed else trust.verdict
    return Check(name="The purchase model fails none of its checks", passed=not failed, detail=detail)
