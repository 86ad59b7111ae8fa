"""What each segment asks for and what it leaves for: requests, reasons to leave, lost deals, complaints. A room of stage 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import current_period
from crm_methods.company.settings import Company
from crm_methods.engine import collect
from crm_methods.models.group_differences import ALL, MIN_CLIENTS, Tally, flagged
from crm_methods.models.share_changes import judged_together
from crm_methods.stages.segments_voices import (
    COMPLAINT,
    QUESTION,
    TOO_FEW,
    difference_sentence,
    from_client,
    grouped,
    heard,
    in_order,
    share_of,
    survey_replies,
    tested,
    together,
    within_period,
)

MAX_NAMES = 20
"""Names that are told apart, the commonest; the others count as one."""
OTHER = "others"
SHOWN_NAMES = 2
SHOWN_REQUESTS = 3
_LEAVING = "What segments would leave for, lose deals for and complain of"
REASON_COLUMNS = ("source", "segment", "name", "share", "low_share", "high_share", "clients")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Reasons(Answer):
    """What segments name.

    Attributes
    ----------
    reasons
        One row per source, segment (``all`` first) and name: ``share`` of what names anything, with ``low_share`` and
        ``high_share`` clustered by client, and the ``clients`` behind it. Segments with too few clients are left out.
    tests
        One row per comparison between segments, with its ``source``; corrected for all of them together.
    """

    reasons: pd.DataFrame
    tests: pd.DataFrame


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Source:
    """Where names come from: rows with ``client_id``, ``group`` and ``name``, and how a sentence speaks of them."""

    key: str
    noun: str
    names: str
    about: str
    rows: nw.LazyFrame[Any]


@dataclass(frozen=True, slots=True, eq=False)
class _Heard:
    """What a source says: its tally, a row per segment and name, and how many rows name something."""

    source: _Source
    tally: Tally
    reasons: pd.DataFrame
    note: str


@answers(QUESTION)
def asks_for(data: Canonical, settings: Company, client_segments: nw.LazyFrame[Any]) -> Reasons | Unanswered:
    """What each segment asks for: the topics of its requests, and whether segments differ in them by more than chance.

    A contact is a request when the client began it: by the initiative noted, else by its direction, else by its kind.

    Parameters
    ----------
    client_segments
        One row per client: ``client_id``, ``segment``.
    """
    column = next((name for name in ("topic", "reason") if data.has("interactions", name)), None)
    if column is None:
        return Unanswered(QUESTION, "no contact names its topic or reason.", ("interactions.topic or interactions.reason",))
    requests = within_period(data.scan("interactions"), "started_at", settings)
    if any(data.has("interactions", name) for name in ("initiative", "direction", "kind")):
        requests = requests.filter(from_client())
    rows = _named(requests, column, client_segments)
    source = _Source(key="asks for", noun="request", names=f"{{}} {column}", about="what they ask for", rows=rows)
    return _answer([source], settings, client_segments, "What segments ask for", SHOWN_REQUESTS)


@answers(QUESTION)
def leaves_for(data: Canonical, settings: Company, client_segments: nw.LazyFrame[Any]) -> Reasons | Unanswered:
    """Why each segment would leave, why its deals are lost, and what it complains of, with what chance explains.

    Reasons to leave are what clients themselves say; answers by staff do not count. Complaints are told apart by their
    reason, or by their topic where no reason is recorded.

    Parameters
    ----------
    client_segments
        One row per client: ``client_id``, ``segment``.
    """
    sources = _sources(data, settings, client_segments)
    if not sources:
        helps = ("surveys.leave_reason", "deals.loss_reason of lost deals", "interactions.reason of complaints")
        return Unanswered(QUESTION, "nobody records why clients leave, why deals are lost, or what complaints are about.", helps)
    return _answer(sources, settings, client_segments, _LEAVING, SHOWN_NAMES)


def _sources(data: Canonical, settings: Company, client_segments: nw.LazyFrame[Any]) -> list[_Source]:
    found = []
    if data.has("surveys", "leave_reason"):
        replies = survey_replies(data, settings, client_segments).filter(nw.col("by_staff") == 0)
        rows = _known(replies.select("client_id", "group", name=nw.col("leave_reason").str.to_lowercase()))
        about = "what they would leave for"
        found.append(_Source(key="would leave for", noun="survey answer", names="a reason to leave", about=about, rows=rows))
    if data.has("deals", "loss_reason"):
        deals = data.scan("deals").filter(nw.col("status") == "lost")
        deals = within_period(deals, "closed_on", settings) if data.has("deals", "closed_on") else deals
        rows, about = _named(deals, "loss_reason", client_segments), "why their deals are lost"
        found.append(_Source(key="deals lost for", noun="lost deal", names="{} reason", about=about, rows=rows))
    named = next((name for name in ("reason", "topic") if data.has("interactions", name, "kind")), None)
    if named is not None:
        contacts = within_period(data.scan("interactions"), "started_at", settings)
        rows = _named(contacts.filter(nw.col("kind").str.to_lowercase() == COMPLAINT), named, client_segments)
        about = "what they complain of"
        found.append(_Source(key="complains of", noun="complaint", names=f"{{}} {named}", about=about, rows=rows))
    return found


def _named(rows: nw.LazyFrame[Any], column: str, client_segments: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Rows that name something, the case of letters aside, with the client's segment."""
    placed = rows.select("client_id", name=nw.col(column).str.to_lowercase())
    return _known(placed.join(grouped(client_segments), on="client_id", how="inner"))


def _known(rows: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    return rows.filter(~nw.col("name").is_null())


def _answer(
    sources: Sequence[_Source], settings: Company, client_segments: nw.LazyFrame[Any], what: str, shown: int
) -> Reasons | Unanswered:
    period = current_period(settings)
    asked = [_heard(source) for source in sources]
    found = [own for own in asked if len(own.tally.cells) >= MIN_CLIENTS]
    if not found:
        reason = f"fewer than {MIN_CLIENTS} clients named anything from {period.label}."
        return Unanswered(QUESTION, reason, ("more answers, lost deals or requests that name their reason",))
    tests = judged_together(
        pd.concat([tested(own.tally, settings).assign(source=own.source.key) for own in found], ignore_index=True)
    )
    said = [
        together(
            _source_sentence(own),
            difference_sentence(tests[tests["source"] == own.source.key], own.tally, own.source.about, _form),
            own.note,
        )
        if own in found
        else f"Too few clients to say {own.source.about}: fewer than {MIN_CLIENTS}."
        for own in asked
    ]
    return Reasons(
        sentence=" ".join(said),
        table=_shown(found, _segments(client_segments), shown),
        caption=f"{what}, {period.label}: shares of what names anything; 95% intervals clustered by client",
        labels={"name": "What", "low_share": "From", "high_share": "To", "source": "How", "clients": "Clients heard"},
        reasons=pd.concat([own.reasons for own in found], ignore_index=True),
        tests=tests[["source", *[name for name in tests.columns if name != "source"]]],
    )


def _heard(source: _Source) -> _Heard:
    names = _names(source.rows)
    known = ~nw.col("name").is_null()
    pooled = nw.when(nw.col("name").is_in(names)).then(nw.col("name")).otherwise(nw.lit(OTHER))
    items = {name: flagged(nw.col("name") == name, known) for name in [*names, OTHER]}
    cells, note = heard(source.rows.with_columns(name=pooled), items)
    tally = Tally.of(list(items), cells)
    return _Heard(source, tally, _reasons(source.key, tally), note)


def _names(rows: nw.LazyFrame[Any]) -> list[str]:
    """The commonest names, of those that several clients give: a name of one client would tell who it is."""
    numbers = rows.group_by("name").agg(clients=nw.col("client_id").n_unique(), fewest=-nw.len())
    common = collect(numbers.filter(nw.col("clients") >= MIN_CLIENTS).sort("fewest", "name").head(MAX_NAMES))
    return sorted(common["name"].astype(str))


def _reasons(key: str, tally: Tally) -> pd.DataFrame:
    """A row per segment and name, in the order of the shares, the pooled ones last."""
    rows = [(key, segment, name, *share_of(tally, segment, name)) for segment in in_order(tally.groups) for name in tally.items]
    table = pd.DataFrame(rows, columns=list(REASON_COLUMNS)).astype(dict.fromkeys(REASON_COLUMNS[3:6], float))
    place = {segment: i for i, segment in enumerate(in_order(tally.groups))}
    keys = {"_place": table["segment"].map(place), "_last": table["name"] == OTHER}
    ordered = table.assign(**keys).sort_values(["_place", "_last", "share", "name"], ascending=[True, True, False, True])
    return ordered[ordered["share"] > 0].drop(columns=list(keys)).reset_index(drop=True)


def _segments(client_segments: nw.LazyFrame[Any]) -> list[str]:
    there = collect(client_segments.select("segment").unique())["segment"].dropna().astype(str)
    return in_order(list(there))


def _shown(found: Sequence[_Heard], segments: Sequence[str], names: int) -> pd.DataFrame:
    """The first names of each segment; of a segment with too few clients, that it is so."""
    parts = []
    for own in found:
        for segment in segments:
            rows = own.reasons[own.reasons["segment"] == segment].head(names)
            few = pd.DataFrame([(own.source.key, segment, TOO_FEW)], columns=list(REASON_COLUMNS[:3]))
            parts.append(rows if len(rows) else few)
    table = pd.concat(parts, ignore_index=True)
    return table.drop(columns="source") if len(found) == 1 else table


def _source_sentence(own: _Heard) -> str:
    source, tally = own.source, own.tally
    given = sum(tally.sums(ALL, item).total for item in tally.items)
    named = f"{formats.plural(given, source.noun)} of {formats.plural(len(tally.cells), 'client')}"
    verb = f"names {source.names.format('its')}" if given == 1 else f"name {source.names.format('their')}"
    first = own.reasons[own.reasons["segment"] == ALL].iloc[0]
    if first["name"] == OTHER:
        return f"{named} {verb}, none of them common to {MIN_CLIENTS} clients."
    span = formats.interval(first["low_share"], first["high_share"], formats.share)
    sure = "" if span == formats.NOTHING else f"; 95% interval {span}"
    return f"{named} {verb}, most often “{first['name']}” ({formats.share(first['share'])}{sure})."


def _form(_: str, value: float) -> str:
    return formats.share(value)
