"""What clients say, by segment: who is heard, how means and shares are given, and whether segments differ. A room of stage 2.

Every mean and share has an interval clustered by client, segments are called different only where chance does not explain
it, and a segment of which fewer than five clients said something is not shown: a single one could be told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import current_period, within
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import SEGMENT_LABELS, segment_label
from crm_methods.engine import collect
from crm_methods.models import rates
from crm_methods.models.group_differences import ALL, MIN_CLIENTS, Tally, added_up, differences
from crm_methods.models.rates import Rate
from crm_methods.models.share_changes import is_clear
from crm_methods.stages.segments import evenly_spread

QUESTION = "segments.wants"
TOO_FEW = "too few answers"
MAX_HEARD = 100_000
"""Clients that are looked at one by one; of more that answered as many, evenly spread over the ids."""
NOTHING = float("nan")
COMPLAINT, SERVICE = "complaint", "service"
"""Kinds of contact that are requests where nobody noted from whom a contact came."""

_SHOWN_DIFFERENCES = 3
_SEED = 21

Items = Mapping[str, tuple[nw.Expr, nw.Expr]]
Form = Callable[[str, float], str]
"""Writes the mean or the share of an item: its name, its value."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Voices(Answer):
    """What clients say.

    Attributes
    ----------
    tests
        One row per comparison between segments (``group_differences.differences``).
    """

    tests: pd.DataFrame


def too_few_surveyed(settings: Company) -> Unanswered:
    """That too few clients answered surveys of the kind looked for."""
    reason = f"fewer than {MIN_CLIENTS} clients answered such a survey from {current_period(settings).label}."
    return Unanswered(QUESTION, reason, ("more survey answers of the period",))


def within_period(rows: nw.LazyFrame[Any], column: str, settings: Company) -> nw.LazyFrame[Any]:
    """Rows of the period, by a day or a time."""
    return rows.filter(within(column, current_period(settings)))


def survey_replies(data: Canonical, settings: Company, client_segments: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Survey answers of the period with ``group`` (the segment) and ``by_staff``, 1 where staff answered for the client."""
    by_staff = nw.when(nw.col("by") == "staff").then(nw.lit(1)).otherwise(nw.lit(0))
    given = within_period(data.scan("surveys"), "answered_on", settings).with_columns(by_staff=by_staff)
    return given.join(grouped(client_segments), on="client_id", how="inner")


def from_client() -> nw.Expr:
    """Whether the client began a contact; where nobody noted it, whether it is a request by its kind."""
    noted = nw.when(~nw.col("initiative").is_null()).then(nw.col("initiative") == "theirs").otherwise(nw.col("direction") == "in")
    of_kind = nw.col("kind").str.to_lowercase().is_in([SERVICE, COMPLAINT]).fill_null(False)
    return nw.when(noted.is_null()).then(of_kind).otherwise(noted)


def grouped(client_segments: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Every client with its segment as ``group``."""
    return client_segments.filter(~nw.col("segment").is_null()).select("client_id", group=nw.col("segment"))


def heard(rows: nw.LazyFrame[Any], items: Items, by: Sequence[str] = ("group",)) -> tuple[pd.DataFrame, str]:
    """The cells of a ``Tally`` in memory, and a sentence on how many there are where they are not all."""
    per_client = added_up(rows, items, by)
    cells = collect(per_client.head(MAX_HEARD + 1), max_rows=MAX_HEARD + 1)
    if len(cells) <= MAX_HEARD:
        return cells, ""
    sample = collect(evenly_spread(per_client, MAX_HEARD))
    return sample, f"Of all that answered, {formats.number(len(sample))} evenly spread over the ids are looked at."


def tested(tally: Tally, settings: Company) -> pd.DataFrame:
    """Whether segments differ in each item by more than chance (``group_differences.differences``)."""
    return differences(tally, (settings.seed, _SEED))


def in_order(segments: Sequence[str]) -> list[str]:
    """All clients first, then segments in the matrix's order, then clusters by name."""
    known = [segment for segment in SEGMENT_LABELS if segment in segments and segment != ALL]
    return [ALL, *known, *sorted(set(segments) - {ALL, *known})]


def mean_of(tally: Tally, segment: str, item: str) -> tuple[float, float, float, int]:
    """A mean, its interval (missing where all clients are alike) and the clients; all missing where too few answered."""
    return _with_ends(tally, segment, item, rates.mean)


def share_of(tally: Tally, segment: str, item: str) -> tuple[float, float, float, int]:
    """A share (0–1), its interval and the clients; all missing where too few answered."""
    return _with_ends(tally, segment, item, lambda sums: rates.share(sums, "wilson"))


def difference_sentence(tests: pd.DataFrame, tally: Tally, about: str, form: Form) -> str:
    """Whether segments differ by more than chance, in what, and which of them stand at the ends.

    Parameters
    ----------
    tests
        One row per comparison (``tested``), or some of them; they are corrected for all that were made together.
    about
        What is compared, such as ``what they want``.
    form
        Writes the mean or share of an item.
    """
    told = tests.dropna(subset=["q_value"])
    if told.empty:
        return (
            f"Whether segments differ in {about} can't be told: that takes two segments with at least {MIN_CLIENTS} clients "
            "that answered, and answers that are not all alike."
        )
    clear = told[is_clear(told)].sort_values(["q_value", "item"])
    made = formats.plural(len(told), "comparison")
    if clear.empty:
        lowest = formats.number(max(0.01, float(told["q_value"].min())), 2)
        return f"Segments do not differ in {about} by more than chance ({made}, smallest corrected p-value {lowest})."
    named = [f"{row.item} ({_ends(tally, str(row.item), form)})" for row in clear.head(_SHOWN_DIFFERENCES).itertuples()]
    more = len(clear) - len(named)
    also = f"; and {formats.plural(more, 'more difference')}" if more else ""
    return f"Segments differ in {about} by more than chance ({made}, corrected): {'; '.join(named)}{also}."


def few_sentence(tally: Tally, client_segments: nw.LazyFrame[Any]) -> str:
    """Which segments are not shown, since too few of their clients answered."""
    there = collect(client_segments.select("segment").unique())["segment"].dropna().astype(str)
    few = [segment for segment in in_order(list(there))[1:] if segment not in tally.groups]
    if not few:
        return ""
    names = formats.join([f"“{segment_label(segment)}”" for segment in few])
    return f"{names}: {TOO_FEW}, from fewer than {MIN_CLIENTS} clients."


def together(*parts: str) -> str:
    """Sentences one after the other; empty ones fall out."""
    return " ".join(part for part in parts if part)


def _with_ends(tally: Tally, segment: str, item: str, rate: Callable[[Any], Rate]) -> tuple[float, float, float, int]:
    if item not in tally.items:
        return NOTHING, NOTHING, NOTHING, 0
    sums = tally.sums(segment, item)
    if sums.clients < MIN_CLIENTS:
        return NOTHING, NOTHING, NOTHING, sums.clients
    found = rate(sums)
    low, high = (NOTHING if end is None else end for end in (found.low, found.high))
    return sums.ratio, low, high, sums.clients


def _ends(tally: Tally, item: str, form: Form) -> str:
    """The segments with the highest and the lowest mean of an item."""
    means = {segment: mean_of(tally, segment, item)[0] for segment in in_order(tally.groups)[1:]}
    shown = {segment: mean for segment, mean in means.items() if pd.notna(mean)}
    ends = max(shown, key=lambda s: shown[s]), min(shown, key=lambda s: shown[s])
    return ", ".join(f"“{segment_label(segment)}” {form(item, shown[segment])}" for segment in ends)
