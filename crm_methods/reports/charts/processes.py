"""Figures of stage 4."""

from __future__ import annotations

import pandas as pd

from crm_methods import formats
from crm_methods.company.vocabulary import STRATEGY_LABELS, segment_label
from crm_methods.reports.charts.bars import stacked_bars
from crm_methods.reports.charts.house import Chart, style
from crm_methods.reports.charts.intervals import forest
from crm_methods.reports.charts.matrices import heat_map
from crm_methods.stages.processes_hours import Capacity, HoursNeeded
from crm_methods.stages.processes_requests import MISSED, NOT_ENOUGH, ServiceLevel

_METRICS = {"first_response": "answer", "resolution": "solution"}
_RANGE = "#3f8f6b"


def service_level(answer: ServiceLevel, currency: str) -> Chart:
    """Share in time of every segment and metric with its interval, over the range permitted for it."""
    table = answer.attained[answer.attained["status"] != NOT_ENOUGH].reset_index(drop=True)
    if table.empty:
        table = answer.attained[answer.attained["trials"] > 0].reset_index(drop=True)
    table = table.assign(
        label=[
            f"{segment_label(row.segment)}: {_METRICS[row.metric]} in {formats.number(row.target_hours)} h"
            for row in table.itertuples()
        ]
    )
    missed = table[table["status"] == MISSED]
    levels = formats.plural(len(table), "service level")
    title = (
        f"{len(missed)} of {levels} {'is' if len(missed) == 1 else 'are'} missed"
        if len(missed)
        else f"None of {levels} is proven to be missed"
    )
    said = [
        f"{row.label} {formats.share(row.share)}, at least {formats.share(row.required_share)}, {row.status}"
        for row in table.itertuples()
    ]
    chart = forest(
        table, label="label", estimate="share", low="low_share", high="high_share", form=formats.share, title=title,
        alt=f"Shares with 95% intervals against their permitted ranges: {'; '.join(said)}.", highlight=list(missed["label"]),
        reference=None,
        axis="Share of requests within the target (elapsed hours)",
        note="Green: the segment's permitted range. Dark: the whole interval lies outside it, so the level is missed. "
        "Grey: met or not proven.",
    )  # fmt: skip
    with style():
        axes = chart.figure.axes[0]
        left, right = axes.get_xlim()
        for place, row in enumerate(table.itertuples()):
            axes.broken_barh(
                [(row.required_share, row.allowed_share - row.required_share)],
                (place - 0.42, 0.84),
                color=_RANGE,
                alpha=0.16,
                linewidth=0,
                zorder=0,
            )
        axes.set_xlim(min(left, float(table["required_share"].min()) - 0.03), max(right, 1.0))
    return chart


def hours_needed(answer: HoursNeeded, currency: str) -> Chart:
    """Paid hours a month by skill, made up of the strategies."""
    months = answer.hours["month"].nunique()
    mean = answer.hours.pivot_table(index="skill", columns="strategy", values="hours", aggfunc="sum") / months
    order = [s for s in (*STRATEGY_LABELS, *mean.columns) if s in mean.columns]
    parts = list(dict.fromkeys(order))
    mean = mean.fillna(0.0).assign(total=lambda t: t.sum(axis=1)).sort_values("total", ascending=False).reset_index()
    largest = max(parts, key=lambda s: float(mean[s].sum()))
    total = float(mean["total"].sum())
    name = STRATEGY_LABELS.get(largest, "No strategy")
    title = (
        f"“{name}” takes {formats.share(float(mean[largest].sum()) / total)} of the hours ahead"
        if total > 0
        else "No hours are needed"
    )
    said = [f"{row.skill} {formats.number(row.total)}" for row in mean.itertuples()]
    return stacked_bars(
        mean, x="skill", parts=parts, labels={s: STRATEGY_LABELS.get(s, "No strategy") for s in parts}, form=formats.number,
        x_form=str, title=title,
        alt=f"Stacked columns of paid hours a month by {answer.unit}: {formats.join(said)}.", axis="Paid hours a month",
    )  # fmt: skip


def capacity(answer: Capacity, currency: str) -> Chart | None:
    """Share of the staff's hours that a busy month needs, by skill and month; None where nobody is recorded for any skill."""
    shares = answer.balance.pivot(index="skill", columns="month", values="used_share")
    shares = shares.dropna(how="all")
    if shares.empty:
        return None
    names = {month: formats.month(month) for month in shares.columns}
    ordered = shares.loc[shares.mean(axis=1).sort_values(ascending=False).index].rename(columns=names)
    short = int((shares.max(axis=1) > 1).sum())
    skills = formats.plural(len(shares), "skill")
    title = (
        f"{short} of {skills} {'is' if short == 1 else 'are'} short in a busy month"
        if short
        else f"Capacity covers a busy month in {'all' if len(shares) > 1 else 'its'} {skills}"
    )
    worst = ordered.max(axis=1)
    said = [f"{skill} {formats.share(share)}" for skill, share in worst.items()]
    return heat_map(
        ordered.reset_index(), row="skill", columns=list(names.values()), form=formats.share, title=title, limits=(0.0, max(1.0,
        float(pd.Series(worst).max()))),
        alt=f"Heat map of used hours by skill and month; the highest: {formats.join(said)}.",
        note="Paid hours needed in a busy month over the paid hours of the staff; above 100% people are short.",
    )  # fmt: skip
