"""A draft as the text of company.yml: safe whatever the files hold, with reasons and open questions as comments."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from crm_methods.company.contracts import TABLES
from crm_methods.company.presets import mapped_columns
from crm_methods.company.recognise import Feed, Match

_UNPRINTABLE = re.compile(
    "[^\x20-\x7e\xa1-\u1fff\u2010-\u2027\u2030-\u205e\u2070-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_LONGEST_REMARK = 300
_LONGEST_LIST = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class DraftText:
    """Everything that the text of a draft says. ``remarks`` are reasons, ``questions`` what is open, by key of company.yml."""

    company: str
    as_of: dt.date
    currency: str
    feeds: Sequence[Feed]
    formats: Mapping[str, str]
    table_formats: Mapping[str, Mapping[str, str]]
    remarks: Mapping[str, str] = field(default_factory=dict)
    questions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unused: Mapping[str, str] = field(default_factory=dict)

    @property
    def open_questions(self) -> tuple[str, ...]:
        """Every question, in the order of the text."""
        own = [q for block in self.questions.values() for q in block]
        return (*own, *(f"tables.{feed.table}.{q}" for feed in self.feeds for q in feed.questions))


def quoted(text: str) -> str:
    """Any text as a YAML scalar in double quotes; what can't be seen or printed is escaped."""
    return _UNPRINTABLE.sub(_escape, json.dumps(text, ensure_ascii=False))


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def remark(text: str, longest: int = _LONGEST_REMARK) -> str:
    """Any text as the rest of a comment: one line, nothing that steers a terminal or ends the comment."""
    plain = _UNPRINTABLE.sub(" ", text)
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"


def unused_titles(feeds: Sequence[Feed]) -> dict[str, tuple[str, ...]]:
    """By table the columns of its file that fill nothing; of a file that feeds several tables, with the first."""
    used: dict[str, frozenset[str]] = {}
    for feed in feeds:
        used[feed.sample.label] = used.get(feed.sample.label, frozenset()) | feed.titles
    first = {feed.sample.label: feed for feed in reversed(feeds)}
    spare = {f.table: tuple(title for title in f.sample.columns if title not in used[label]) for label, f in first.items()}
    return {table: titles for table, titles in spare.items() if titles}


def render(draft: DraftText) -> str:
    """The text of company.yml."""
    lines = [
        "# A draft by `crm-methods new`: read off the files, nothing of it certain. Lines with `# ?` wait for an answer.",
        *_top(draft, "company", quoted(draft.company)),
        *_top(draft, "as_of", draft.as_of.isoformat()),
        *_top(draft, "currency", draft.currency),
        *_top(draft, "margin_share", None),
        *([f"formats: {_flow(draft.formats)}"] if draft.formats else []),
        "tables:",
        *(
            line
            for feed in draft.feeds
            for line in _table(feed, draft.table_formats.get(feed.table, {}), unused_titles(draft.feeds).get(feed.table, ()))
        ),
        *_unused(draft.unused),
    ]
    return "\n".join(lines) + "\n"


def _top(draft: DraftText, key: str, value: str | None) -> Iterable[str]:
    yield from (f"# ? {remark(question)}" for question in draft.questions.get(key, ()))
    if value is not None:
        reason = draft.remarks.get(key)
        yield f"{key}: {value}" + (f"   # {remark(reason)}" if reason else "")


def _unused(unused: Mapping[str, str]) -> Iterable[str]:
    if unused:
        yield "# Not used:"
        yield from (f"#   {remark(f'{label}: {why}')}" for label, why in unused.items())


def _table(feed: Feed, formats: Mapping[str, str], spare: Sequence[str]) -> Iterable[str]:
    yield f"  {feed.table}:"
    yield from (f"    # ? {remark(question)}" for question in feed.questions)
    names = _names(feed) if feed.sample.place.get("header", True) is False else {}
    for key, value in feed.sample.place.items():
        yield f"    {key}: {_flow(value)}"
    if names:
        yield f"    names: {_flow(list(names.values()))}"
    if feed.preset is not None:
        yield f"    preset: {feed.preset}"
        yield from (f"    #   {remark(f'{ours}: {shown(m.title)}')}" for ours, m in feed.matches.items())
        yield from _columns(replace(feed, matches=_overrides(feed, feed.preset)), names)
    else:
        yield from _columns(feed, names)
    for key, value in feed.extra.items():
        yield from _block(key, value, feed.remarks)
    if formats:
        yield f"    formats: {_flow(formats)}"
    if spare:
        yield f"    # {remark('columns not used: ' + ', '.join(spare), _LONGEST_LIST)}"


def _overrides(feed: Feed, preset: str) -> dict[str, Match]:
    """The columns that are to be taken otherwise than the preset would."""
    own = mapped_columns(preset, feed.sample.columns)
    return {ours: m for ours, m in feed.matches.items() if isinstance(own.get(ours, ""), str) and own.get(ours) != m.title}


def shown(title: str | list[str]) -> str:
    """A title, or the titles that are joined, as people read them."""
    return title if isinstance(title, str) else " + ".join(title)


def _names(feed: Feed) -> dict[str, str]:
    """Title → name, where the file has no header: the canonical name of what is mapped, a number for the rest."""
    ours = {match.title: column for column, match in reversed(list(feed.matches.items())) if isinstance(match.title, str)}
    return {title: ours.get(title, title) for title in feed.sample.columns}


def _columns(feed: Feed, names: Mapping[str, str]) -> Iterable[str]:
    """The mapped columns with how sure each is; a column of a line that has its canonical name needs no entry."""
    entries = [
        (ours, names.get(m.title, m.title) if isinstance(m.title, str) else m.title, m) for ours, m in feed.matches.items()
    ]
    needed = [e for e in entries if e[0] != e[1] or (not names and TABLES[feed.table].column(e[0]) is not None)]
    if needed:
        yield "    columns:"
    for ours, title, match in needed:
        yield f"      {ours}: {_flow(title)}   # {remark(f'{match.sureness}: {match.why}')}"


def _block(key: str, value: Any, remarks: Mapping[str, str]) -> Iterable[str]:
    """A further key; words and lookups on lines of their own, since they grow long."""
    if isinstance(value, Mapping) and any(isinstance(v, Mapping | list) for v in value.values()):
        yield f"    {key}:"
        for ours, entry in value.items():
            said = remarks.get(f"{key}.{ours}")
            yield f"      {ours}: {_flow(entry)}" + (f"   # {remark(said)}" if said else "")
    else:
        yield f"    {key}: {_flow(value)}"


_PLAIN = re.compile(r"[a-z][a-z_]*")


def _flow(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k if k in _KEYS else quoted(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return quoted(str(value))


_KEYS = frozenset(
    "date timestamp decimal thousands encoding delimiter quote file sheet key value".split()  # noqa: SIM905
    + "formats unpivot lines closed_by answered_by".split()  # noqa: SIM905
) | frozenset(c.name for t in TABLES.values() for c in t.columns)
