"""Which canonical table each file is, and which of its columns is which: by preset, by name, by content, by shared ids."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from crm_methods.company.column_facts import ColumnFacts, facts_of
from crm_methods.company.contracts import TABLES, Table
from crm_methods.company.peek import Sample
from crm_methods.company.presets import best_preset, choices, fold, mapped_columns, table_of
from crm_methods.company.synonyms import Lexicon, lexicon

Title = str | list[str]
_LEAST = 0.5
_LINKED = 0.5
_MOST_SEVERAL = 40
# What intake, a constant or the numbering of rows can stand in for, at a price in certainty.
_EXCUSED: Mapping[str, Mapping[str, float]] = {
    "deals": {"deal_id": 1.0, "amount": 2.0},
    "interactions": {"interaction_id": 1.0},
    "contact_persons": {"person_id": 1.0},
    "surveys": {"response_id": 1.0},
    "assignments": {"arm": 0.5},
    "rewards": {"kind": 0.5},
}
_UNIQUE = {"clients": "client_id", "products": "product_id", "campaigns": "campaign_id", "invoices": "invoice_id"}
_CORE = frozenset({"deals", "interactions", "process_events"})
_NEVER_ALONE = frozenset({"merges", "internal_actions", "assessments"})
"""Tables that are written for the kit, by its own names; nobody's export is one by chance."""


@dataclass(frozen=True, slots=True)
class Match:
    """A column of a file taken for a canonical one, with how sure that is: sure, likely or a guess; and why."""

    title: Title
    sureness: str
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """A canonical table filled from one sample.

    ``extra``: further keys of company.yml; ``remarks``: how sure an entry of them is, by ``key.column``; ``questions``: what is
    to be decided.
    """

    table: str
    sample: Sample
    matches: Mapping[str, Match]
    score: float
    preset: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    questions: tuple[str, ...] = ()
    remarks: Mapping[str, str] = field(default_factory=dict)

    @property
    def titles(self) -> frozenset[str]:
        """Every title of the sample that fills something."""
        own = [m.title if isinstance(m.title, list) else [m.title] for m in self.matches.values()]
        spread = self.extra.get("reshape", {}).get("unpivot", ())
        return frozenset([*(title for titles in own for title in titles), *spread])

    def title(self, column: str) -> str | None:
        """Title of the one column that fills a canonical column."""
        match = self.matches.get(column)
        return match.title if match is not None and isinstance(match.title, str) else None


@dataclass(frozen=True, slots=True, eq=False)
class Recognised:
    """The feeds, one per canonical table, the facts by sample, and a sentence for every sample that feeds nothing."""

    feeds: tuple[Feed, ...]
    facts: Mapping[str, Mapping[str, ColumnFacts]]
    unused: Mapping[str, str]

    def feed(self, table: str) -> Feed | None:
        """The feed of a canonical table."""
        return next((f for f in self.feeds if f.table == table), None)


def recognise(samples: Sequence[Sample]) -> Recognised:
    """Take each sample for the canonical table that it fits best, each table from the sample that fits it best.

    A file that describes other files (a dictionary of their columns) or holds no table is passed over.
    """
    facts = {sample.label: facts_of(sample) for sample in samples}
    unused = {s.label: why for s in samples if (why := _no_table(s, facts[s.label], samples))}
    candidates = [f for s in samples if s.label not in unused for f in _candidates(s, facts[s.label])]
    clients = _clients(candidates, facts)
    candidates = [_linked(f, clients, facts) for f in candidates if f.table != "clients" or f is clients]
    deals = max((f for f in candidates if f.table == "deals"), key=lambda f: f.score, default=None)
    candidates = _likely(candidates)
    chosen: dict[str, Feed] = {}
    used: set[str] = set()
    for feed in sorted(
        candidates, key=lambda f: (-f.score, str(f.sample.place.get("file")).rpartition(".")[2], -len(f.sample.rows))
    ):
        if feed.score > 0 and feed.table not in chosen and feed.sample.label not in used:
            chosen[feed.table] = feed
            used.add(feed.sample.label)
    if deals is not None and not _CORE & set(chosen):
        # Who has no deals but a list of invoices, say, has its deals there.
        chosen["deals"] = deals
    rivals = {f.sample.label: f for f in sorted(candidates, key=lambda f: f.score) if f.sample.label not in used}
    for sample in samples:
        if sample.label not in used | set(unused):
            unused[sample.label] = _why_unused(rivals.get(sample.label), chosen)
    ordered = [chosen[name] for name in TABLES if name in chosen]
    return Recognised(tuple(ordered), facts, {s.label: unused[s.label] for s in samples if s.label in unused})


def _likely(candidates: Sequence[Feed]) -> list[Feed]:
    """Per sample the tables that it fits about as well as its best one; persons at a client need its name and their own."""
    sound = [f for f in candidates if f.table != "contact_persons" or f.preset or {"name", "email"} & set(f.matches)]
    best: dict[str, float] = {}
    for feed in sound:
        best[feed.sample.label] = max(feed.score, best.get(feed.sample.label, 0.0))
    return [f for f in sound if f.score >= 0.8 * best[f.sample.label]]


def _why_unused(rival: Feed | None, chosen: Mapping[str, Feed]) -> str:
    if rival is not None and rival.table in chosen:
        return f"looks like {rival.table} too, which are taken from {chosen[rival.table].sample.label}"
    return "no canonical table was recognised in it"


def _no_table(sample: Sample, facts: Mapping[str, ColumnFacts], samples: Sequence[Sample]) -> str | None:
    """Why a sample is no table of records; None where it may be one."""
    others = {fold(title) for s in samples if s is not sample for title in s.columns if len(title) > 3}
    texts = [cell for row in sample.rows[:500] for cell in row if cell]
    named = sum(fold(cell) in others for cell in texts)
    if len(texts) > 4 and len(sample.rows) < 500 and named > 0.3 * len(texts):
        return "describes the columns of the other files; not a table of records"
    halves = sum(f.filled_share >= 0.5 for f in facts.values())
    if halves < 2 and len(facts) > 3:
        return "most of its cells are empty; not a table of records"
    return None


def _candidates(sample: Sample, facts: Mapping[str, ColumnFacts]) -> list[Feed]:
    """The sample as each canonical table whose required columns it has; a preset that knows the file decides alone."""
    preset = best_preset(sample.columns) if sample.place.get("header", True) else None
    if preset is not None:
        return [_by_preset(preset, sample, facts)]
    words = lexicon()
    return [feed for name in words.columns if (feed := _as_table(TABLES[name], sample, facts, words)) is not None]


def _by_preset(preset: str, sample: Sample, facts: Mapping[str, ColumnFacts]) -> Feed:
    """The sample as its preset reads it; a column without any cell counts as not there, unless the table needs it."""
    required = TABLES[table_of(preset)].required
    filled = mapped_columns(preset, [title for title in sample.columns if facts[title].counts])
    named = mapped_columns(preset, sample.columns)
    found = {ours: filled.get(ours, theirs) for ours, theirs in named.items() if ours in filled or ours in required}
    matches = {ours: Match(theirs, "sure", f"by preset {preset}") for ours, theirs in found.items()}
    return Feed(table_of(preset), sample, matches, 100.0 + len(found), preset)


_SEVERAL = re.compile(r"\w+(\s*[;,|]\s*\w+)+")


def _of_several(facts: ColumnFacts) -> dict[str, int]:
    """Cells that hold several ids, with their rows."""
    return {c: n for c, n in facts.counts.items() if _SEVERAL.fullmatch(c) and any(map(str.isdigit, c))}


def _of_one_client(feed: Feed, preset: str, clients: Feed | None, facts: Mapping[str, Mapping[str, ColumnFacts]]) -> Feed:
    """Where the preset's column holds several ids in a row: the column whose cells name one client, of the list if any."""
    own, first = facts[feed.sample.label], feed.title("client_id")
    several = _of_several(own[first]) if first is not None else {}
    if first is None or not several:
        return feed
    listed = {fold(c) for ours in ("client_id", "name") for c in _cells(clients, ours, facts)}

    def rows(title: str) -> int:
        alone = ((c, n) for c, n in own[title].counts.items() if title != first or c not in several)
        return sum(n for c, n in alone if not listed or fold(c) in listed)

    best = max(choices(preset, "client_id", [title for title in own if own[title].counts]), key=rows)
    told = f'columns.client_id: "{first}" holds several ids in {sum(several.values())} rows ("{min(several)[:40]}"); '
    if best != first:
        told += f'"{best}" is taken instead: does it name the same client?'
        matches = {**feed.matches, "client_id": Match(best, "likely", f"it names one client in {rows(best)} rows")}
        return replace(feed, matches=matches, questions=(*feed.questions, told))
    if len(several) > _MOST_SEVERAL:
        return replace(feed, questions=(*feed.questions, f"{told}which of them is it? Such rows become clients of their own"))
    values = {**feed.extra.get("values", {}), "client_id": {c: re.split(r"\s*[;,|]", c)[0] for c in sorted(several)}}
    return replace(
        feed,
        extra={**feed.extra, "values": values},
        questions=(*feed.questions, f"{told}the first of them is taken: is it the one?"),
    )


def _cells(feed: Feed | None, ours: str, facts: Mapping[str, Mapping[str, ColumnFacts]]) -> list[str]:
    title = feed.title(ours) if feed is not None else None
    return list(facts[feed.sample.label][title].counts) if feed is not None and title is not None else []


def _as_table(table: Table, sample: Sample, facts: Mapping[str, ColumnFacts], words: Lexicon) -> Feed | None:
    ranked = sorted(
        (
            (likeness, column.name, title)
            for column in table.columns
            for title in sample.columns
            if (likeness := words.likeness(table.name, column.name, title)) >= _LEAST and facts[title].fits(column)
            if fold(title) not in {"id", "nr"} or column.name not in table.key or facts[title].is_unique
        ),
        key=lambda rank: (rank[1] not in table.required, -rank[0]),  # a name may be the identifier; the identifier comes first
    )
    found: dict[str, tuple[str, float]] = {}
    taken: set[str] = set()
    for likeness, column, title in ranked:
        if column not in found and title not in taken and _can_be_key(table, column, facts[title]):
            found[column] = (title, likeness)
            taken.add(title)
    spoken = words.speaks_for(table.name, sample.label)
    excuses = _EXCUSED.get(table.name, {})
    lacking = [c for c in table.required if c not in found]
    weak = not spoken and all(fold(title) in words.generic for title, _ in found.values())
    if any(c not in excuses for c in lacking) or not found or weak or (table.name in _NEVER_ALONE and not spoken):
        return None
    score = sum(likeness * (2 if c in table.required else 1) for c, (_, likeness) in found.items())
    score += 1.5 * spoken - sum(excuses[c] for c in lacking)
    matches = {c: Match(title, _sureness(likeness), "by name and content") for c, (title, likeness) in found.items()}
    return Feed(table.name, sample, _with_name(table, matches, facts), score)


def _can_be_key(table: Table, column: str, facts: ColumnFacts) -> bool:
    return _UNIQUE.get(table.name) != column or facts.is_unique


def _sureness(likeness: float) -> str:
    return "sure" if likeness >= 0.9 else "likely" if likeness >= 0.7 else "a guess"


def _with_name(table: Table, matches: dict[str, Match], facts: Mapping[str, ColumnFacts]) -> dict[str, Match]:
    """Where clients or products are told apart by their names, the identifier is the name as well."""
    key = _UNIQUE.get(table.name)
    if table.name in {"clients", "products"} and key in matches and "name" not in matches:
        title = str(matches[key].title)
        if facts[title].kind == "text" and max(map(len, facts[title].counts)) > 5:
            matches["name"] = Match(title, "likely", "the identifier is a name")
    if table.name == "contact_persons":
        matches |= _joined_name(matches, facts)
    return {c.name: matches[c.name] for c in table.columns if c.name in matches}


def _joined_name(matches: Mapping[str, Match], facts: Mapping[str, ColumnFacts]) -> dict[str, Match]:
    """A person's first and last name together, where they stand in two columns."""
    parts, text = lexicon().name_parts, [title for title, f in facts.items() if f.kind == "text"]
    first, last = (next((t for t in text if fold(t) in parts[part]), None) for part in ("first", "last"))
    known = matches.get("name")
    if first is None or last is None or (known is not None and known.title not in {first, last}):
        return {}
    return {"name": Match([first, last], "sure", "first and last name")}


def _clients(candidates: Sequence[Feed], facts: Mapping[str, Mapping[str, ColumnFacts]]) -> Feed | None:
    """The list of clients: the one whose ids or names other files use; without any such file, the likeliest."""
    lists = [f for f in candidates if f.table == "clients"]
    uses = {
        id(f): max((_use(f, other, facts) for other in candidates if other.sample is not f.sample), default=0.0) for f in lists
    }
    # Without a file of deals to compare with, the likeliest list it is.
    alone = not any(f.table in _CORE for f in candidates)
    linked = [f for f in lists if uses[id(f)] >= _LINKED or f.preset or alone]
    return max(linked, key=lambda f: (uses[id(f)], f.score), default=None)


def _use(clients: Feed, other: Feed, facts: Mapping[str, Mapping[str, ColumnFacts]]) -> float:
    """How much of the other file's clients are in the list, best over its columns of text."""
    if "client_id" not in other.matches:
        return 0.0
    return max((_in_list(column, clients, facts) for column in facts[other.sample.label].values()), default=0.0)


def _in_list(column: ColumnFacts, clients: Feed, facts: Mapping[str, Mapping[str, ColumnFacts]]) -> float:
    own = facts[clients.sample.label]
    if column.kind not in {"text", "number"} or len(column.counts) < 2:
        return 0.0
    return max((column.share_in(own[t]) for c in ("client_id", "name") if (t := clients.title(c)) is not None), default=0.0)


def _linked(feed: Feed, clients: Feed | None, facts: Mapping[str, Mapping[str, ColumnFacts]]) -> Feed:
    """The feed with its client column checked against the list of clients, and replaced where another one fits it."""
    title = feed.title("client_id")
    if feed.preset and feed.table != "clients":
        return _of_one_client(feed, feed.preset, clients, facts)
    if clients is None or feed.sample is clients.sample or feed.preset or title is None:
        return feed
    own = facts[feed.sample.label]
    if _in_list(own[title], clients, facts) >= _LINKED:
        matches = {**feed.matches, "client_id": Match(title, "sure", f"its values are in {clients.sample.label}")}
        return replace(feed, matches=matches, score=feed.score + 1)
    taken = {str(m.title) for m in feed.matches.values()}
    better = [t for t in own if t not in taken and own[t].kind == "text" and _in_list(own[t], clients, facts) >= 0.8]
    if not better:
        # Persons of suppliers, say, are none of our clients'.
        return feed if feed.table != "contact_persons" else replace(feed, score=-1.0)
    return replace(
        feed, matches={**feed.matches, "client_id": Match(better[0], "likely", f"its values are in {clients.sample.label}")}
    )
