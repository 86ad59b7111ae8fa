"""Figures of stage 6."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from crm_methods import formats
from crm_methods.company.vocabulary import segment_label
from crm_methods.reports.charts.bars import stacked_bars
from crm_methods.reports.charts.house import GREY, MUTED, TEAL, Chart, Formatter, canvas, format_axis, style
from crm_methods.reports.charts.intervals import forest
from crm_methods.stages.relationships import ProgrammeCosts
from crm_methods.stages.relationships_complaints import ALL, Complaints, TimeToSolve
from crm_methods.stages.relationships_effects import EventStudy, ProgrammeEffect
from crm_methods.stages.relationships_satisfaction import Satisfaction

FloatArray = NDArray[np.float64]

_PARTS = {
    "rewards_cost": "Rewards paid",
    "liability_amount": "Points outstanding",
    "setup_cost": "Set-up",
    "running_cost": "Running",
    "partner_funded_amount": "Paid by partners",
    "fee_amount": "Fees of members",
}


def programme_costs(answer: ProgrammeCosts, currency: str) -> Chart:
    """What each programme's cost is made of; what others pay hangs below zero."""
    table = answer.table
    parts = {name: label for name, label in _PARTS.items() if table[name].fillna(0).ne(0).any()}
    costliest = table.iloc[0]
    words = [f"{row.programme} {formats.money_short(row.total_cost, currency)}" for row in table.itertuples()]
    return stacked_bars(
        table,
        x="programme",
        parts=list(parts),
        labels=parts,
        form=_money(currency),
        x_form=str,
        axis="Cost since the first joining",
        title=f"{costliest['programme']} cost {formats.money_short(costliest['total_cost'], currency)}"
        + (", more than any other programme" if len(table) > 1 else ""),
        alt=f"Stacked columns, one per programme: {formats.join(words)}.",
    )


def effects(answer: ProgrammeEffect, currency: str) -> Chart:
    """Every estimate of the effect with its interval; those that compare changes stand out."""
    study = answer.study
    table = answer.table[answer.table["effect_amount"].notna()]
    better = [study.label(name) for name, effect in study.estimates.items() if effect in study.better]
    words = [f"{row.method} {study.money(row.effect_amount)}" for row in table.itertuples()]
    return forest(
        table,
        label="method",
        estimate="effect_amount",
        low="low_amount",
        high="high_amount",
        form=_money(currency),
        highlight=better,
        title=_effect_title(answer),
        axis=f"{study.outcome.capitalize()} per member and month",
        alt=f"Estimates with 95% intervals: {formats.join(words)}.",
        note="Dark: estimates that compare changes. Grey: comparisons that mislead, and the placebo, which should lie at 0.",
    )


def event_study(answer: EventStudy, currency: str) -> Chart:
    """The effect by periods since joining, a point and its interval each."""
    table, noun = answer.table, answer.period_noun
    since = table["periods_since_joining"].to_numpy(dtype=float)
    effect, low, high = (table[name].to_numpy(dtype=float) for name in ("effect_amount", "low_amount", "high_amount"))
    with style():
        figure, axes = canvas(height=3.4)
        axes.axhline(0, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.axvline(-0.5, color=MUTED, linewidth=1)
        for mask, colour in ((since < 0, GREY), (since >= 0, TEAL)):
            axes.vlines(since[mask], low[mask], high[mask], colors=colour, linewidth=2.2)
            axes.scatter(since[mask], effect[mask], s=34, color=colour, zorder=3)
        axes.annotate(
            "joining", (-0.5, 1), xycoords=("data", "axes fraction"), xytext=(4, -10), textcoords="offset points", color=MUTED
        )
        axes.set_xlabel(f"{noun.capitalize()}s since joining")
        axes.set_ylabel(f"Effect on {answer.outcome} per month")
        format_axis(axes.yaxis, _money(currency))
        format_axis(axes.xaxis, formats.number)
        # A period has no half.
        axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    means = [formats.money_short(float(effect[mask].mean()), currency) for mask in (since < -1, since >= 0) if mask.any()]
    ends = f"from {formats.number(since.min())} to {formats.number(since.max())}"
    return Chart(
        figure,
        title=_path_title(since, low, high),
        alt=f"Points with 95% intervals by {noun} since joining, {ends}; means before and after joining: {formats.join(means)}.",
        note=f"Each {noun} is set against the last one before joining, which has no interval. The last ones rest on few members.",
    )


def satisfaction(answer: Satisfaction, currency: str) -> Chart | None:
    """NPS of every segment with its interval, the most valuable first; CSAT where no NPS is known."""
    nps = "nps" in answer.table
    name, low, high = ("nps", "nps_low", "nps_high") if nps else ("csat_share", "csat_low_share", "csat_high_share")
    table = _named(answer.table[answer.table[name].notna()])
    form: Formatter = formats.number if nps else formats.share
    what = "NPS" if nps else "Share of satisfied answers"
    whole = answer.score(ALL, "nps" if nps else "csat_share")
    words = [f"{row.segment} {form(getattr(row, name))}" for row in table.itertuples()]
    return forest(
        table,
        label="segment",
        estimate=name,
        low=low,
        high=high,
        form=form,
        highlight=["All clients"],
        axis=what,
        reference=0.0 if nps else None,
        title=f"{what} of all clients: {form(whole['estimate']) if whole else formats.NOTHING}",
        alt=f"Estimates with 95% intervals, the most valuable segment first: {formats.join(words)}.",
    )


def complaints(answer: Complaints, currency: str) -> Chart:
    """Complaints per 100 clients and year by segment with intervals."""
    table = _named(answer.table)
    words = [f"{row.segment} {formats.number(row.rate_per_100)}" for row in table.itertuples()]
    first = table.iloc[0]
    return forest(
        table,
        label="segment",
        estimate="rate_per_100",
        low="low_per_100",
        high="high_per_100",
        form=formats.number,
        highlight=["All clients"],
        reference=None,
        axis="Complaints per 100 clients and year",
        title=f"“{first['segment']}”: {formats.number(first['rate_per_100'])} complaints per 100 clients and year",
        alt=f"Rates with 95% intervals: {formats.join(words)}.",
    )


def time_to_solve(answer: TimeToSolve, currency: str) -> Chart | None:
    """Median hours to a solution by segment; None where fewer than half are solved everywhere."""
    table = _named(answer.table[answer.table["median_hours"].notna()])
    if table.empty:
        return None
    words = [f"{row.segment} {formats.number(row.median_hours, 1)} hours" for row in table.itertuples()]
    first = table.iloc[0]
    return forest(
        table,
        label="segment",
        estimate="median_hours",
        low="low_hours",
        high="high_hours",
        form=lambda value: formats.number(value, 1),
        highlight=["All clients"],
        reference=None,
        axis="Median hours from complaint to solution",
        title=f"“{first['segment']}” waits {formats.number(first['median_hours'])} hours for half of its solutions",
        alt=f"Medians with 95% intervals: {formats.join(words)}.",
    )


def _path_title(since: FloatArray, low: FloatArray, high: FloatArray) -> str:
    off, above = (low > 0) | (high < 0), low > 0
    if off[since < 0].any():
        return "Some of the time before joining, members stand apart already"
    if above[since >= 0].mean() > 0.5:
        return "Members gain from joining on, and nothing shows before"
    return "No lasting gain shows after joining"


def _effect_title(answer: ProgrammeEffect) -> str:
    study = answer.study
    naive, lead = study.estimates["naive"], study.lead
    low, high = study.bracket
    if not study.agrees:
        return "The estimates disagree: no single number can be given"
    if low <= 0 <= high:
        return f"No effect of {study.programme} is proven"
    change = "gained" if (lead.effect or 0) > 0 else "lost"
    beside = f"; comparing members with others says {study.money(naive.effect)}" if naive.effect is not None else ""
    return f"A member {change} {study.money(abs(lead.effect or 0))} a month on average{beside}"


def _named(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(segment=[segment_label(str(segment)) for segment in table["segment"]])


def _money(currency: str) -> Formatter:
    return lambda value: formats.money_short(value, currency)
