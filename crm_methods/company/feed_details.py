"""The small print of a feed: words for won and lost, units, constants, closing steps, codes that another file spells out."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from crm_methods.company.column_facts import ColumnFacts, numbers_of
from crm_methods.company.contracts import TABLES
from crm_methods.company.guess_values import guess_marks, is_number
from crm_methods.company.peek import Sample
from crm_methods.company.presets import OTHERWISE, fold, known_words
from crm_methods.company.recognise import Feed, Match
from crm_methods.company.synonyms import lexicon

Facts = Mapping[str, Mapping[str, ColumnFacts]]
_MOST_WORDS = 40
_LONGEST_PLAIN_NUMBER = 4
_MOST_CODES = 2_000
_LEAST_PER_HEAD = 500.0
"""Turnover per employee and year below this is no company's: the column counts thousands or millions."""
_UNITS = {
    r"mio|mln|million|млн": "millions", r"tsd|thousand|тыс|miles|migliaia|k€|keur|teur": "thousands",
    r"\bsec|second|sekund|сек": "seconds", r"\bhour|stunde|\bstd\b|heure|час": "hours", r"%|percent|pct|prozent": "percent",
}  # fmt: skip


_MEASURED = {
    "turnover": "thousands millions", "amount": "thousands millions", "handling_minutes": "seconds hours",
    "discount_share": "percent",
}  # fmt: skip


def detailed(feed: Feed, feeds: Mapping[str, Feed], facts: Facts, samples: Sequence[Sample], unused: Mapping[str, str]) -> Feed:
    """The feed with everything but columns that its entry of company.yml needs, and with what a person must decide."""
    own = facts[feed.sample.label]
    for detail in (
        _sound_parents, _identified, _constants, _status_words, _kinds, _directions, _channels, _refusals, _texts_for_numbers,
        _units, _cases, _rows_too_many,
    ):  # fmt: skip
        feed = detail(feed, own)
    feed = _asked_amount(_repaired_products(feed, feeds, facts), feeds, own)
    return _spelt_out(feed, own, facts, [s for s in samples if s.label in unused])


def _add(feed: Feed, block: str, entries: Mapping[str, Any], *questions: str) -> Feed:
    known = dict(feed.extra.get(block, {}))
    return replace(feed, extra={**feed.extra, block: {**known, **entries}}, questions=(*feed.questions, *questions))


def _sound_parents(feed: Feed, own: Mapping[str, ColumnFacts]) -> Feed:
    """A parent must be a client of the same list; another group's name is not one."""
    title = feed.title("parent_id")
    if feed.table != "clients" or title is None or feed.preset:
        return feed
    listed = max((own[title].share_in(own[t]) for c in ("client_id", "name") if (t := feed.title(c)) is not None), default=0.0)
    if listed >= 0.5:
        sure = Match(title, "sure", "its values are clients of the same list")
        return replace(feed, matches={**feed.matches, "parent_id": sure})
    return replace(feed, matches={ours: m for ours, m in feed.matches.items() if ours != "parent_id"})


_KEYS = {"deals": "deal_id", "interactions": "interaction_id", "contact_persons": "person_id", "surveys": "response_id"}


def _identified(feed: Feed, own: Mapping[str, ColumnFacts]) -> Feed:
    key = _KEYS.get(feed.table)
    name = feed.title(key) if key is not None and feed.preset else None
    if (
        key is not None
        and name is not None
        and not own[name].is_unique
        and not re.search(r"(id|id18|ид|nr|no|number)$", fold(name))
    ):
        asked = f'columns.{key}: "{name}" comes back, so it tells no rows apart; they are numbered instead: is there an id?'
        matches = {ours: m for ours, m in feed.matches.items() if ours != key}
        feed = replace(feed, matches=matches, questions=(*feed.questions, asked))
    if key is None or key in feed.matches or "unpivot" in feed.extra.get("reshape", {}):
        return feed
    return replace(feed, extra={**feed.extra, "generate": "row"})


def _constants(feed: Feed, own: Mapping[str, ColumnFacts]) -> Feed:
    if feed.table == "assignments" and "arm" not in feed.matches:
        return _add(feed, "constants", {"arm": "treatment"}, "constants.arm: the file has no arm; is everyone in it treated?")
    if feed.table == "rewards" and "kind" not in feed.matches:
        kind = "redeem" if re.search(r"redem|redeem|einl|canje", feed.sample.label.casefold()) else "earn"
        return _add(feed, "constants", {"kind": kind}, "constants.kind: earn, redeem or expire?")
    return feed


def _status_words(feed: Feed, own: Mapping[str, ColumnFacts]) -> Feed:
    """Words for won, lost and open; any other is open, and asked about, where won or lost is among the known ones."""
    title = feed.title("status")
    if feed.table != "deals" or title is None or feed.preset:
        return feed
    words = list(own[title].counts)
    if len(words) > _MOST_WORDS:
        asked = f"columns.status: {len(words)} different words; is this where the deal stands?"
        matches = {ours: m for ours, m in feed.matches.items() if ours != "status"}
        return replace(feed, matches=matches, questions=(*feed.questions, asked))
    known = lexicon().words["status"]
    meant = {word: known[fold(word)] for word in sorted(words) if fold(word) in known}
    unknown = sorted(word for word in words if fold(word) not in known)
    if unknown:
        asked = f"values.status: what do {_listed(unknown)} mean: won, lost, open or cancelled? Taken for open"
        return _add(feed, "values", {"status": {**meant, OTHERWISE: "open"}}, asked)
    return _add(feed, "values", {"status": meant})


def _listed(words: Sequence[str]) -> str:
    shown = [f'"{word[:40]}"' for word in words[:6]]
    return ", ".join(shown) + (f" and {len(words) - 6} more" if len(words) > 6 else "")


def _translated(feed: Feed, own: Mapping[str, ColumnFacts], ours: str, block: str) -> Feed:
    """Words of a column put into the kit's, beside those that the feed's preset knows."""
    title = feed.title(ours)
    if title is None:
        return feed
    known = lexicon().words[block]
    by_preset = {word.casefold() for word in (known_words(feed.preset).get(ours, {}) if feed.preset else {})}
    meant = {
        word: known[fold(word)]
        for word in sorted(own[title].counts)
        if fold(word) in known and known[fold(word)] != word and word.casefold() not in by_preset
    }
    if not meant or len(meant) > _MOST_WORDS:
        return feed
    return replace(_add(feed, "values", {ours: meant}), remarks={**feed.remarks, f"values.{ours}": "likely: by the words"})


def _kinds(feed: Feed, own: Mapping[str, ColumnFacts]) -> Feed:
    """Credit notes and returns, whose amounts intake takes off; where an unused column tells of them, a person is asked."""
    if feed.table not in {"deals", "invoices"}:
        return feed
    known = lexicon().words["kind"]
    feed = _translated(feed, own, "kind", "kind") if feed.table == "deals" else feed
    told = []
    for title, facts in own.items():
        words = [word for word in facts.counts if fold(word) in known]
        if title not in feed.titles and words and len(facts.counts) <= _MOST_WORDS:
            rows = sum(facts.counts[word] for word in words)
            told.append(
                f'columns.kind: "{title}" says {_listed(sorted(words))} in {rows} of {facts.rows} rows; '
                "unless their amounts are negative already, they count as purchases: map it"
                if feed.table == "deals"
                else f'amount: "{title}" says {_listed(sorted(words))} in {rows} of {facts.rows} rows; are they negative?'
            )
    return replace(feed, questions=(*feed.questions, *told))


def _channels(feed: Feed, own: Mapping[str, ColumnFacts]) -> Feed:
    ours = {"interactions": "channel", "contact_persons": "preferred_channel"}.get(feed.table)
    return _translated(feed, own, ours, "channel") if ours else feed


def _refusals(feed: Feed, own: Mapping[str, ColumnFacts]) -> Feed:
    """A column of those who refuse e-mail is the opposite of consent."""
    if feed.table != "contact_persons":
        return feed
    title = next((t for t, f in own.items() if fold(t) in lexicon().refusals and 0 < len(f.counts) <= 3), None)
    if title is None or title in feed.titles:
        return feed
    asked = f'consent_email: "{title}" is the opposite of consent; map it turned round, if all others agreed to e-mail'
    return replace(feed, questions=(*feed.questions, f"columns.{asked}"))


def _texts_for_numbers(feed: Feed, own: Mapping[str, ColumnFacts]) -> Feed:
    """Texts such as "50-250" where a preset expects numbers: left empty, and asked about."""
    for ours in feed.matches if feed.preset else ():
        title, column = feed.title(ours), TABLES[feed.table].column(ours)
        if title is None or column is None or column.type not in {"integer", "number"} or own[title].kind != "text":
            continue
        texts = sorted(word for word in own[title].counts if not is_number(word))
        asked = f'values.{ours}: "{title}" holds {_listed(texts)}; which number stands for each? Left empty'
        few = texts if len(texts) <= _MOST_WORDS else []
        feed = _add(feed, "values", {ours: dict.fromkeys(few, "")} if few else {}, asked)
    return feed


def _rows_too_many(feed: Feed, own: Mapping[str, ColumnFacts]) -> Feed:
    """Deleted rows, and tasks that were never done; company.yml can't leave out rows."""
    asked = []
    for title, facts in own.items():
        marked = [w for w in facts.counts if fold(w) in {"true", "1", "yes", "ja", "oui", "sí", "да", "y", "x"}]
        if fold(title) in lexicon().deleted and len(facts.counts) <= 3 and marked:
            asked.append((title, marked, sum(facts.counts[w] for w in marked), facts.rows))
        words = [w for w in facts.counts if lexicon().words["task"].get(fold(w))]
        done = {"resolved_at", "cases"} & {*feed.matches, *feed.extra}
        if feed.table == "interactions" and not done and words and _is_status(title) and title not in feed.titles:
            asked.append((title, words, sum(facts.counts[w] for w in words), facts.rows))
    questions = tuple(
        f'rows: {count} of {rows} rows of the sample have {_listed(sorted(words))} in "{title}" and count all the same; '
        "no key leaves out rows: take them out of the file if they should not"
        for title, words, count, rows in asked
    )
    return replace(feed, questions=(*feed.questions, *questions))


def _is_status(title: str) -> bool:
    return lexicon().likeness("deals", "status", title) >= 0.7


def _directions(feed: Feed, own: Mapping[str, ColumnFacts]) -> Feed:
    title = feed.title("direction")
    if feed.table != "interactions" or title is None or feed.preset:
        return feed
    known = lexicon().words["direction"]
    meant = {word: known[fold(word)] for word in sorted(own[title].counts) if fold(word) in known}
    if len(meant) == len(own[title].counts):
        return _add(feed, "values", {"direction": meant})
    return replace(feed, matches={ours: m for ours, m in feed.matches.items() if ours != "direction"})


def _units(feed: Feed, own: Mapping[str, ColumnFacts]) -> Feed:
    """Units that a title names, or that the size of the numbers gives away."""
    for ours, allowed in _MEASURED.items():
        title = feed.title(ours)
        if title is None or feed.preset:
            continue
        named = next(
            (unit for pattern, unit in _UNITS.items() if unit in allowed.split() and re.search(pattern, title.casefold())), None
        )
        if ours == "discount_share" and named is None and max(_numbers(own[title]), default=0.0) > 1:
            named = "percent"
        if named is not None:
            feed = _add(feed, "units", {ours: named})
    return _asked_turnover(feed, own)


def _numbers(facts: ColumnFacts) -> list[float]:
    return numbers_of(facts, guess_marks(facts.counts).decimal)


def _asked_turnover(feed: Feed, own: Mapping[str, ColumnFacts]) -> Feed:
    turnover, heads = feed.title("turnover"), feed.title("employees")
    if feed.table != "clients" or turnover is None or heads is None or "turnover" in feed.extra.get("units", {}):
        return feed
    per_head = statistics.median(_numbers(own[turnover]) or [0.0]) / max(statistics.median(_numbers(own[heads]) or [1.0]), 1.0)
    if per_head >= _LEAST_PER_HEAD:
        return feed
    asked = (
        f"units: {{turnover: millions}}, or thousands? As it stands, a client turns over {per_head:,.2f} per employee and year"
    )
    return replace(feed, questions=(*feed.questions, asked))


def _asked_amount(feed: Feed, feeds: Mapping[str, Feed], own: Mapping[str, ColumnFacts]) -> Feed:
    """Deals without an amount get it from their lines; without such lines a person must name it."""
    lines = feeds.get("deal_lines")
    priced = lines is not None and {"quantity", "unit_price"} <= set(lines.matches)
    if feed.table != "deals" or "amount" in feed.matches or priced or "unpivot" in feed.extra.get("reshape", {}):
        return feed
    taken = {str(m.title) for m in feed.matches.values()}
    options = [title for title, f in own.items() if f.kind == "number" and title not in taken]
    asked = f"columns.amount: which column is the amount? {_listed(options) if options else 'None holds numbers'}"
    return replace(feed, questions=(*feed.questions, asked))


def _cases(feed: Feed, own: Mapping[str, ColumnFacts]) -> Feed:
    """Which activities close and answer a case: by their names, and by being the last of most cases."""
    if feed.table != "process_events":
        return feed
    case, activity = (feed.sample.columns.index(str(feed.title(c))) for c in ("case_id", "activity"))
    last = {row[case]: row[activity] for row in feed.sample.rows}
    ends = Counter(last.values()).most_common(1)[0]
    known, names = lexicon().activities, own[str(feed.title("activity"))].counts
    closing = [ends[0]] if ends[1] > 0.5 * len(last) else [n for n in sorted(names) if fold(n) in known["closed"]]
    answering = [n for n in sorted(names) if fold(n) in known["answered"] and n not in closing]
    asked = (
        "cases: which activities close a case, and with which does the client get an answer? "
        f"There are {_listed([name for name, _ in names.most_common()])}"
    )
    return _add(feed, "cases", {"closed_by": closing, "answered_by": answering}, asked)


def _repaired_products(feed: Feed, feeds: Mapping[str, Feed], facts: Facts) -> Feed:
    """Products written a little differently in the lines than in the list of products."""
    products, title = feeds.get("products"), feed.title("product_id")
    key = products.title("product_id") if products else None
    if products is None or key is None or title is None or feed.table == "products":
        return feed
    listed = facts[products.sample.label][key].counts
    spelt = {fold(name): name for name in listed}
    wrong = {w: spelt[fold(w)] for w in facts[feed.sample.label][title].counts if w not in listed and fold(w) in spelt}
    if not wrong or len(wrong) > _MOST_WORDS:
        return feed
    pairs = ", ".join(f'"{theirs[:40]}" → "{ours[:40]}"' for theirs, ours in sorted(wrong.items())[:4])
    return _add(feed, "values", {"product_id": dict(sorted(wrong.items()))}, f"values.product_id: the same product? {pairs}")


_CODED = ("category", "owner", "territory", "industry", "kind", "department", "topic", "reason", "channel")


def _spelt_out(feed: Feed, own: Mapping[str, ColumnFacts], facts: Facts, spare: Sequence[Sample]) -> Feed:
    """Codes that a file of codes and names beside it spells out, whatever that calls its codes."""
    for ours in _CODED:
        title = feed.title(ours)
        if title is None or not re.search(r"(id|code|nr|no|key|код)$", fold(title)):
            continue
        for sample in spare:
            found = _names_of(title, own[title], sample, facts[sample.label])
            plain = {"file"} <= set(sample.place) <= {"file", "sheet"} and not str(sample.place["file"]).endswith(".gz")
            if found is not None and plain:
                written = _written(feed.sample, sample)
                entry = {**sample.place, "key": found[0], "value": found[1], **({"formats": written} if written else {})}
                feed = _add(feed, "lookup", {ours: entry})
                break
    return feed


_PLAIN = {"encoding": "utf-8", "delimiter": ",", "quote": '"'}


def _written(feeding: Sample, codes: Sample) -> dict[str, str]:
    """The formats of a text of codes, where they or those of the file beside it are not the usual ones."""
    keys = [] if codes.typed else [key for key in _PLAIN if key in {*feeding.formats, *codes.formats}]
    return {key: codes.formats.get(key, _PLAIN[key]) for key in keys}


def _names_of(title: str, codes: ColumnFacts, sample: Sample, facts: Mapping[str, ColumnFacts]) -> tuple[str, str] | None:
    """The column of codes and the column of names of a file that spells ``codes`` out."""
    keys = [t for t, f in facts.items() if f.is_unique and codes.share_in(f) >= 0.9]
    # Small whole numbers number the rows of any file.
    telling = not codes.is_whole or all(len(code) > _LONGEST_PLAIN_NUMBER for code in codes.counts)
    key = next((t for t in keys if fold(t) == fold(title)), keys[0] if keys and telling else None)
    if key is None:
        return None
    names = [t for t, f in facts.items() if t != key and f.kind == "text" and f.is_unique]
    titled = [t for t in names if fold(t) in lexicon().name_titles]
    if fold(key) != fold(title) and (not titled or len(sample.rows) > _MOST_CODES):
        return None
    return (key, (titled or names)[0]) if names else None
