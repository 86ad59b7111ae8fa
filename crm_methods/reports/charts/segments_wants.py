"""Figures of what segments want and like."""

from __future__ import annotations

import pandas as pd

from crm_methods import formats
from crm_methods.company.vocabulary import segment_label
from crm_methods.models.share_changes import is_clear
from crm_methods.reports.charts.house import Chart
from crm_methods.reports.charts.intervals import forest
from crm_methods.reports.charts.matrices import heat_map
from crm_methods.stages.segments_likes import Likes
from crm_methods.stages.segments_wants import Wants

MAX_CRITERIA = 10
_ALL = "all"


def wants(answer: Wants, currency: str) -> Chart | None:
    """What each segment misses, criterion by criterion; None where expectations are not asked."""
    gaps = answer.criteria.dropna(subset=["gap"])
    whole = gaps[gaps["segment"] == _ALL]
    if whole.empty or len(gaps["segment"].unique()) < 2:
        return None
    rank = "importance" if whole["importance"].notna().any() else "gap"
    criteria = whole.sort_values([rank, "criterion"], ascending=[False, True])["criterion"].head(MAX_CRITERIA).tolist()
    wide = gaps.pivot(index="segment", columns="criterion", values="gap").reindex(
        index=gaps["segment"].unique(), columns=criteria
    )
    shown = wide.reset_index().assign(segment=[_named(str(segment)) for segment in wide.index])
    cells = gaps[gaps["criterion"].isin(criteria)]
    most = cells.sort_values(["gap", "segment", "criterion"], ascending=[False, True, True]).head(3)
    texts = [f"{_named(row.segment)}, {row.criterion} {_signed(row.gap)}" for row in most.itertuples()]
    return heat_map(
        shown,
        row="segment",
        columns=criteria,
        labels={criterion: f"{criterion[:1].upper()}{criterion[1:]}" for criterion in criteria},
        form=_signed,
        centre=0.0,
        title=_gap_title(answer, cells),
        alt=f"Heat map of segments by criteria, expected less rated; the widest gaps: {'; '.join(texts)}.",
        x_axis="Criteria, what matters most on the left" if rank == "importance" else "Criteria, the widest gap on the left",
        note="Expected less rated: what is above 0 falls short of what clients expect.",
    )


def likes(answer: Likes, currency: str) -> Chart | None:
    """The share of each segment that would recommend us, or is satisfied, with its interval; None where neither is asked."""
    for name, what in (("promoters", "would recommend us"), ("satisfied", "are satisfied")):
        column = f"{name}_share"
        if column in answer.table and answer.table[column].notna().any():
            return _shares(answer.table.dropna(subset=[column]), name, what)
    return None


def _shares(table: pd.DataFrame, name: str, what: str) -> Chart:
    column, low, high = f"{name}_share", f"{name}_low_share", f"{name}_high_share"
    named = table.assign(segment=[_named(str(segment)) for segment in table["segment"]])
    whole = table[table["segment"] == _ALL].iloc[0]
    words = [f"{row['segment']} {formats.share(row[column])}" for row in named.to_dict("records")]
    return forest(
        named,
        label="segment",
        estimate=column,
        low=low,
        high=high,
        form=formats.share,
        highlight=[_named(_ALL)],
        reference=None,
        axis=f"Share of answers in which clients {what}",
        title=f"In {formats.share(whole[column])} of answers clients {what}",
        alt=f"Shares with 95% intervals: {formats.join(words)}.",
    )


def _gap_title(answer: Wants, cells: pd.DataFrame) -> str:
    """Who misses what most, where segments differ beyond chance; else what all of them miss."""
    clear = answer.tests[is_clear(answer.tests) & answer.tests["item"].str.startswith("gap in ")]
    differing = cells[cells["criterion"].isin(clear["item"].str.removeprefix("gap in ")) & (cells["segment"] != _ALL)]
    whole = cells[cells["segment"] == _ALL]
    source = differing if len(differing) else whole
    first = source.sort_values(["gap", "segment", "criterion"], ascending=[False, True, True]).iloc[0]
    size = formats.number(first["gap"], 1)
    if first["gap"] <= 0:
        return "Nothing falls short of what clients expect"
    if len(differing):
        return f"“{_named(str(first['segment']))}” gets {first['criterion']} {size} below what it expects"
    return f"What clients miss most is {first['criterion']}, rated {size} below what they expect"


def _named(segment: str) -> str:
    return segment_label(segment)


def _signed(value: float) -> str:
    text = formats.number(value, 1)
    return f"+{text}" if value > 0 and text != "0.0" else text
