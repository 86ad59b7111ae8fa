"""What each segment likes: how it rates what it gets, and how many would recommend it. A room of stage 2."""

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
from crm_methods.models.group_differences import ALL, Tally, flagged, valued
from crm_methods.stages.segments_voices import (
    QUESTION,
    Items,
    Voices,
    difference_sentence,
    few_sentence,
    heard,
    in_order,
    mean_of,
    share_of,
    survey_replies,
    tested,
    together,
    too_few_surveyed,
)
from crm_methods.stages.segments_wants import in_words, surveyed_criteria

PROMOTER, SATISFIED = 9, 4
"""The lowest answers of 0–10 and 1–5 that count as recommending and as satisfied."""

_SHARES = {"promoters": "the share that would recommend us", "satisfied": "the share of the satisfied"}
_RATING = "the rating of "


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Likes(Voices):
    """What each segment likes.

    Attributes
    ----------
    ratings
        One row per segment (``all`` first) and criterion: ``rating`` with ``_low`` and ``_high``, ``clients`` that rated it.
    """

    ratings: pd.DataFrame


@answers(QUESTION)
def likes(data: Canonical, settings: Company, client_segments: nw.LazyFrame[Any]) -> Likes | Unanswered:
    """How many of each segment would recommend us and are satisfied, and what it rates highest and lowest.

    Answers that staff gave on a client's behalf do not count.

    Parameters
    ----------
    client_segments
        One row per client: ``client_id``, ``segment``.

    Returns
    -------
    Likes
        ``table``: one row per segment; shares are of its answers 9–10 of 0–10 (recommend) and 4–5 of 1–5 (satisfied).
    """
    items = _items(data)
    if not items:
        return Unanswered(QUESTION, "no survey asks how clients like what they get.", ("surveys with nps, csat or rating_…",))
    period = current_period(settings)
    replies = survey_replies(data, settings, client_segments).filter(nw.col("by_staff") == 0)
    cells, note = heard(replies, items)
    own = Tally.of(list(items), cells)
    ratings, table, tests = _ratings(own), _by_segment(own), tested(own, settings)
    shares = [f"{name}_share" for name in _SHARES if f"{name}_share" in table]
    if ratings["rating"].isna().all() and table[shares].isna().all(axis=None):
        return too_few_surveyed(settings)
    return Likes(
        sentence=together(
            _shares_sentence(table.iloc[0]),
            _ratings_sentence(ratings),
            difference_sentence(tests, own, "what they like", _form),
            few_sentence(own, client_segments),
            note,
        ),
        table=_with_ends(table, ratings),
        caption=f"What each segment likes, {period.label}; would recommend: {PROMOTER} or 10 of 10, satisfied: {SATISFIED} or 5 "
        "of 5; 95% intervals clustered by client",
        labels={
            "promoters_share": "Would recommend", "promoters_low_share": "From", "promoters_high_share": "To",
            "satisfied_share": "Satisfied", "satisfied_low_share": "From", "satisfied_high_share": "To",
            "clients": "Clients that answered",
        },
        ratings=ratings,
        tests=tests,
    )  # fmt: skip


def _items(data: Canonical) -> Items:
    found = {}
    if data.has("surveys", "nps"):
        found[_SHARES["promoters"]] = flagged(nw.col("nps") >= PROMOTER, ~nw.col("nps").is_null())
    if data.has("surveys", "csat"):
        found[_SHARES["satisfied"]] = flagged(nw.col("csat") >= SATISFIED, ~nw.col("csat").is_null())
    rated = [criterion for criterion, asked in surveyed_criteria(data).items() if "rating" in asked]
    return found | {f"{_RATING}{in_words(criterion)}": valued(nw.col(f"rating_{criterion}")) for criterion in rated}


def _ratings(own: Tally) -> pd.DataFrame:
    rated = [item for item in own.items if item.startswith(_RATING)]
    rows = [
        (segment, item.removeprefix(_RATING), *mean_of(own, segment, item)) for segment in in_order(own.groups) for item in rated
    ]
    columns = ["segment", "criterion", "rating", "rating_low", "rating_high", "clients"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[2:5], float))


def _by_segment(own: Tally) -> pd.DataFrame:
    """One row per segment with the shares that surveys tell."""
    rows = []
    for segment in in_order(own.groups):
        row: dict[str, Any] = {"segment": segment, "clients": int((own.cells["group"].eq(segment) | (segment == ALL)).sum())}
        for name, item in _SHARES.items():
            if item in own.items:
                share = share_of(own, segment, item)
                row |= dict(zip((f"{name}_share", f"{name}_low_share", f"{name}_high_share"), share[:3], strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def _with_ends(table: pd.DataFrame, ratings: pd.DataFrame) -> pd.DataFrame:
    """The same rows with what each segment rates highest and lowest, where it rates more than one thing."""
    ends: dict[str, dict[str, str]] = {"rated_highest": {}, "rated_lowest": {}}
    for segment, rows in ratings.dropna(subset=["rating"]).groupby("segment", sort=False):
        ordered = rows.sort_values(["rating", "criterion"], ascending=[False, True])
        if len(ordered) > 1:
            ends["rated_highest"][str(segment)] = _rated(ordered.iloc[0])
            ends["rated_lowest"][str(segment)] = _rated(ordered.iloc[-1])
    return table.assign(**{name: table["segment"].map(texts) for name, texts in ends.items() if texts})


def _rated(row: pd.Series[Any]) -> str:
    span = formats.interval(row["rating_low"], row["rating_high"], lambda v: formats.number(v, 1))
    return f"{row['criterion']} {formats.number(row['rating'], 1)}{'' if span == formats.NOTHING else f' ({span})'}"


def _shares_sentence(whole: pd.Series[Any]) -> str:
    parts = []
    for name, what in (("promoters", "would recommend us"), ("satisfied", "are satisfied")):
        if pd.notna(whole.get(f"{name}_share")):
            span = formats.interval(whole[f"{name}_low_share"], whole[f"{name}_high_share"], formats.share)
            known = "" if span == formats.NOTHING else f" (95% interval {span})"
            parts.append(f"in {formats.share(whole[f'{name}_share'])} of answers clients {what}{known}")
    said = formats.join(parts)
    return f"{said[:1].upper()}{said[1:]}." if said else ""


def _ratings_sentence(ratings: pd.DataFrame) -> str:
    whole = ratings[ratings["segment"] == ALL].dropna(subset=["rating"])
    if len(whole) < 2:
        return ""
    ordered = whole.sort_values(["rating", "criterion"], ascending=[False, True])
    return f"They rate {_rated(ordered.iloc[0])} highest and {_rated(ordered.iloc[-1])} lowest."


def _form(item: str, value: float) -> str:
    return formats.share(value) if item in _SHARES.values() else formats.number(value, 1)
