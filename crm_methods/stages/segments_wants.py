"""What each segment wants, and where it gets less than it expects, by what clients answer in surveys. A room of stage 2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import current_period
from crm_methods.company.settings import Company
from crm_methods.engine import as_float
from crm_methods.models.group_differences import ALL, Tally, valued
from crm_methods.stages.segments_voices import (
    QUESTION,
    Items,
    Voices,
    difference_sentence,
    few_sentence,
    heard,
    in_order,
    mean_of,
    survey_replies,
    tested,
    together,
    too_few_surveyed,
)

SHOWN_CRITERIA = 3

_FAMILIES = ("importance", "expected", "rating")
_IMPORTANCE, _GAP = "importance of ", "gap in "


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Wants(Voices):
    """What each segment wants and misses.

    Attributes
    ----------
    criteria
        One row per segment (``all`` first) and criterion: ``importance`` and ``gap`` (expected − rated, of the answers that
        give both) with ``_low`` and ``_high``, ``clients`` that answered. NaN where a segment has too few.
    """

    criteria: pd.DataFrame


@answers(QUESTION)
def wants(data: Canonical, settings: Company, client_segments: nw.LazyFrame[Any]) -> Wants | Unanswered:
    """What matters to each segment, what it misses, and whether segments differ in it by more than chance.

    Answers that staff gave on a client's behalf are told apart and not mixed in.

    Parameters
    ----------
    client_segments
        One row per client: ``client_id``, ``segment``.

    Returns
    -------
    Wants
        ``table``: per segment the three criteria that matter most (that are missed most, where nobody asks what matters).
    """
    items = _items(data)
    if not items:
        return Unanswered(
            QUESTION,
            "no survey asks what matters to clients, or what they expect.",
            ("surveys with importance_… of a criterion, or with expected_… and rating_…",),
        )
    period = current_period(settings)
    cells, note = heard(survey_replies(data, settings, client_segments), items, ("group", "by_staff"))
    own, theirs = (Tally.of(list(items), cells[cells["by_staff"] == who]) for who in (0, 1))
    criteria, tests = _criteria(own), tested(own, settings)
    if criteria[["importance", "gap"]].isna().all(axis=None):
        return too_few_surveyed(settings)
    matters = tests["item"].str.startswith(_IMPORTANCE)
    return Wants(
        sentence=together(
            _top_sentence(criteria, len(own.cells)),
            difference_sentence(tests[matters], own, "what matters to them", _form) if matters.any() else "",
            difference_sentence(tests[~matters], own, "what they miss", _form) if not matters.all() else "",
            _staff_sentence(theirs, criteria),
            few_sentence(own, client_segments),
            note,
        ),
        table=_shown(criteria),
        caption=f"What matters most to each segment, {period.label}, on the survey's own scale; gap: expected less rated; 95% "
        "intervals clustered by client",
        labels={
            "importance_low": "From", "importance_high": "To", "gap_low": "From", "gap_high": "To",
            "clients": "Clients that answered",
        },
        criteria=criteria,
        tests=tests,
    )  # fmt: skip


def surveyed_criteria(data: Canonical) -> dict[str, set[str]]:
    """The criteria that surveys name, and which of importance, expected level and rating are asked of each."""
    found: dict[str, set[str]] = {}
    for column in sorted(data.supplied.get("surveys", frozenset())):
        family, _, criterion = column.partition("_")
        if family in _FAMILIES and criterion:
            found.setdefault(criterion, set()).add(family)
    return found


def in_words(criterion: str) -> str:
    """A criterion as a reader sees it."""
    return criterion.replace("_", " ")


def _items(data: Canonical) -> Items:
    found = {}
    for criterion, asked in surveyed_criteria(data).items():
        if "importance" in asked:
            found[f"{_IMPORTANCE}{in_words(criterion)}"] = valued(nw.col(f"importance_{criterion}"))
        if {"expected", "rating"} <= asked:
            gap = as_float(f"expected_{criterion}") - as_float(f"rating_{criterion}")
            found[f"{_GAP}{in_words(criterion)}"] = valued(gap)
    return found


def _criteria(own: Tally) -> pd.DataFrame:
    names = sorted({item.removeprefix(_IMPORTANCE).removeprefix(_GAP) for item in own.items})
    rows = []
    for segment in in_order(own.groups):
        for name in names:
            importance, gap = mean_of(own, segment, f"{_IMPORTANCE}{name}"), mean_of(own, segment, f"{_GAP}{name}")
            rows.append((segment, name, *importance[:3], *gap[:3], max(importance[3], gap[3])))
    columns = ["segment", "criterion", "importance", "importance_low", "importance_high", "gap", "gap_low", "gap_high", "clients"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[2:8], float))


def _shown(criteria: pd.DataFrame) -> pd.DataFrame:
    """The criteria at the top of each segment."""
    rank = _rank(criteria)
    ordered = criteria.dropna(subset=[rank]).sort_values([rank, "criterion"], ascending=[False, True])
    top = ordered.groupby("segment", sort=False).head(SHOWN_CRITERIA)
    place = {segment: i for i, segment in enumerate(criteria["segment"].unique())}
    return top.sort_values("segment", key=lambda column: column.map(place), kind="stable", ignore_index=True).dropna(
        axis="columns", how="all"
    )


def _rank(criteria: pd.DataFrame) -> str:
    return "importance" if criteria["importance"].notna().any() else "gap"


def _of_all(criteria: pd.DataFrame, column: str) -> pd.DataFrame:
    """The criteria of all clients together, the highest in a column first."""
    whole = criteria[criteria["segment"] == ALL].dropna(subset=[column])
    return whole.sort_values([column, "criterion"], ascending=[False, True])


def _top_sentence(criteria: pd.DataFrame, clients: int) -> str:
    parts = [f"{formats.plural(clients, 'client')} answered."]
    matters, missed = (_of_all(criteria, column) for column in ("importance", "gap"))
    if len(matters):
        parts.append(f"What matters most to them is {_first(matters, 'importance')}.")
    if len(missed) and (missed["gap_low"] > 0).any():
        parts.append(f"What they miss most is {_first(missed, 'gap')}.")
    elif len(missed):
        parts.append("Nothing is proven to fall short of what they expect.")
    return " ".join(parts)


def _first(ranked: pd.DataFrame, column: str) -> str:
    """The first criterion with its figure, and whether it is beyond doubt ahead of the second."""
    first = ranked.iloc[0]
    span = formats.interval(first[f"{column}_low"], first[f"{column}_high"], _one_decimal)
    size = _one_decimal(first[column]) + ("" if span == formats.NOTHING else f"; 95% interval {span}")
    said = f"{first['criterion']} ({'rated below what they expect by ' if column == 'gap' else ''}{size})"
    if len(ranked) < 2:
        return said
    second = ranked.iloc[1]
    clearly = first[f"{column}_low"] > second[f"{column}_high"]
    return f"{said}, {'clearly' if clearly else 'but not clearly'} ahead of {second['criterion']}"


def _staff_sentence(theirs: Tally, criteria: pd.DataFrame) -> str:
    """What our staff believes matters most, apart from what clients say."""
    if theirs.cells.empty:
        return ""
    said = f"Left out is what our staff answered on behalf of {formats.plural(len(theirs.cells), 'client')}"
    rank = _rank(criteria)
    prefix = _IMPORTANCE if rank == "importance" else _GAP
    means = {item.removeprefix(prefix): mean_of(theirs, ALL, item)[0] for item in theirs.items if item.startswith(prefix)}
    known = {name: mean for name, mean in means.items() if pd.notna(mean)}
    heard_first = _of_all(criteria, rank)
    if not known or heard_first.empty:
        return f"{said}."
    believed, first = min(known, key=lambda name: (-known[name], name)), str(heard_first["criterion"].iloc[0])
    return f"{said}: it puts {believed} first, {'as clients do' if believed == first else f'where clients put {first}'}."


def _form(_: str, value: float) -> str:
    return _one_decimal(value)


def _one_decimal(value: float) -> str:
    return formats.number(value, 1)
