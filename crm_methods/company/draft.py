"""``crm-methods new``: a draft of company.yml from the files themselves, with what could not be decided as questions."""

from __future__ import annotations

import datetime as dt
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from crm_methods.company.column_facts import ColumnFacts
from crm_methods.company.draft_formats import shared_formats
from crm_methods.company.draft_yaml import DraftText, remark, render
from crm_methods.company.feeds import completed
from crm_methods.company.gather import Given, bring, company_place, gather
from crm_methods.company.guess_values import currency_of, read_date
from crm_methods.company.peek import Sample, peek, peek_database
from crm_methods.company.recognise import Feed, Recognised, recognise
from crm_methods.errors import Faults, IntakeError

_UNKNOWN_CURRENCY = "EUR"
_MOMENTS = {"deals": ("closed_on", "opened_on"), "interactions": ("started_at",), "process_events": ("at",)}


@dataclass(frozen=True, slots=True)
class Draft:
    """What was written: the path of company.yml, sentences for the user, and the questions left open in it."""

    path: Path
    sentences: tuple[str, ...]
    questions: tuple[str, ...]


def draft_company(
    name: str,
    given: Sequence[str],
    shelf: Path,
    *,
    force: bool = False,
    password_env: str | None = None,
    today: dt.date | None = None,
) -> Draft:
    """Write ``<shelf>/<name>/company.yml`` from what the given sources hold, and copy the files it uses beside it.

    Parameters
    ----------
    name
        The company's folder in ``shelf``.
    given
        Files, folders, ``package:<package>/<path>`` or database addresses.
    force
        Whether an existing company.yml may be replaced; it is kept as company.yml.bak.
    password_env
        The environment variable that holds a database's password; the password itself is written nowhere.
    today
        The day after which no date is taken for the as-of day.

    Raises
    ------
    IntakeError
        Sources that are not there, or none that holds deals, interactions or events; every reason is named.
    SettingsError, ParameterError
        A company.yml that is there already, or a name that no folder can have.
    """
    folder = company_place(name, shelf, force=force)
    sources = gather(given, folder, password_env)
    samples, unread = _looked_at(sources)
    recognised = completed(recognise(samples), samples)
    _expect_deals(recognised, unread)
    text = _text(name, recognised, unread, today or dt.date.today())
    copied = bring(_needed(sources, recognised.feeds), folder)
    path = _write(folder, render(text))
    return Draft(path, (*copied, *_sentences(text, path)), text.open_questions)


def _looked_at(sources: Sequence[Given]) -> tuple[list[Sample], dict[str, str]]:
    """Samples of all sources, and why some can't be read, by label."""
    samples: list[Sample] = []
    unread: dict[str, str] = {}
    for each in sources:
        try:
            if each.path is None:
                password = os.environ.get(str(each.place.get("password_env", "")))
                samples += peek_database(str(each.place["database"]), password, each.place)
            else:
                samples += peek(each.path, each.place, each.label)
        except IntakeError as error:
            unread[each.label] = str(error).removeprefix(f"{each.label}: ")
    return samples, unread


def _expect_deals(recognised: Recognised, unread: Mapping[str, str]) -> None:
    if {"deals", "interactions", "process_events"} & {feed.table for feed in recognised.feeds}:
        return
    faults = Faults()
    for label, why in {
        **unread,
        **recognised.unused,
        **{f.sample.label: f"looks like {f.table}" for f in recognised.feeds},
    }.items():
        faults.tell(remark(label), remark(why))
    faults.add(
        "these sources", "no deals, interactions or events",
        "a file with a client, a date and an amount in each row, or a list of contacts",
        "Give the file of deals too, or write company.yml by hand after docs/company_yml.md.",
    )  # fmt: skip
    faults.raise_if_any(IntakeError, "No company.yml can be drafted:")


def _text(name: str, recognised: Recognised, unread: Mapping[str, str], today: dt.date) -> DraftText:
    feeds, facts = recognised.feeds, recognised.facts
    formats, own, asked = shared_formats(feeds, facts)
    as_of, seen = _as_of(feeds, facts, today)
    currency, why = _currency(feeds, facts)
    questions: dict[str, list[str]] = {"as_of": [], "currency": [], "margin_share": []}
    if seen is None:
        questions["as_of"].append("as_of: no table has dates; from which day is the company looked at?")
    if why is None:
        questions["currency"].append(f"currency: no file names one; {currency} is a guess")
    if _lacks_margin(feeds):
        questions["margin_share"].append(
            "margin_share: 0.35 (the deals know neither cost nor margin; without it figures are revenue)"
        )
    lines = [_asked(feed, asked.get(feed.table, ())) for feed in feeds]
    remarks = {key: reason for key, reason in (("as_of", seen), ("currency", why)) if reason}
    unused = {**recognised.unused, **unread}
    return DraftText(name, as_of, currency, lines, formats, own, remarks, questions, unused)


def _asked(feed: Feed, questions: Sequence[str]) -> Feed:
    return replace(feed, questions=(*feed.questions, *questions))


def _as_of(feeds: Sequence[Feed], facts: Mapping[str, Mapping[str, ColumnFacts]], today: dt.date) -> tuple[dt.date, str | None]:
    """The last day up to today on which anything happened, and where it was seen."""
    for feed in feeds:
        for column in _MOMENTS.get(feed.table, ()):
            title = feed.title(column)
            moments = facts[feed.sample.label][title].moments if title else None
            if title is None or moments is None:
                continue
            days = {read_date(cell, moments.format) for cell in facts[feed.sample.label][title].counts}
            sound = [day for day in days if day is not None and day <= today]
            if sound:
                return max(sound), f'the last day in "{title}" of {feed.sample.label}'
    return today, None


def _currency(feeds: Sequence[Feed], facts: Mapping[str, Mapping[str, ColumnFacts]]) -> tuple[str, str | None]:
    """The commonest currency of the files, and where it was seen; without any the guess, and None."""
    for feed in feeds:
        title = feed.title("currency")
        codes = Counter({c.upper(): n for c, n in facts[feed.sample.label][title].counts.items()}) if title else Counter[str]()
        best = codes.most_common(1)[0][0] if codes else ""
        if len(best) == 3 and best.isascii() and best.isalpha():
            others = f"; there are others too, which the table exchange_rates converts: {', '.join(sorted(codes))}"
            return best, f'in "{title}" of {feed.sample.label}' + (others if len(codes) > 1 else "")
    for feed in feeds:
        for column in ("amount", "unit_price", "list_price", "turnover"):
            title = feed.title(column)
            found = (currency_of(facts[feed.sample.label][title].counts) or currency_of([f"1 {title}"])) if title else None
            if found is not None:
                return found, f'by "{title}" of {feed.sample.label}'
    return _UNKNOWN_CURRENCY, None


def _lacks_margin(feeds: Sequence[Feed]) -> bool:
    known = {column for feed in feeds if feed.table in {"deals", "deal_lines"} for column in feed.matches}
    return any(feed.table == "deals" for feed in feeds) and not {"cost", "margin"} & known


def _needed(sources: Sequence[Given], feeds: Sequence[Feed]) -> list[Given]:
    """The sources that a table or a lookup is taken from."""
    files = {str(feed.sample.place.get("file")) for feed in feeds}
    files |= {str(entry["file"]) for feed in feeds for entry in feed.extra.get("lookup", {}).values()}
    return [each for each in sources if each.place.get("file") in files]


def _write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "company.yml"
    if path.exists():
        path.replace(path.with_name("company.yml.bak"))
    partial = path.with_name(".company.yml.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return path


def _sentences(text: DraftText, path: Path) -> list[str]:
    said = [f"{feed.table}: from {feed.sample.label}, {len(feed.matches)} columns" for feed in text.feeds]
    said += [f"not used: {label}: {why}" for label, why in text.unused.items()]
    count = len(text.open_questions)
    asked = f"{count} question{'s' if count != 1 else ''} in it, marked `# ?`" if count else "no question is open"
    return [*map(remark, said), f"Wrote {path}: {asked}. Read it, then: crm-methods run {path.parent.name}"]
