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
from crm_methods.company.draft_yaml import DraftText, remark, render, unused_titles
from crm_methods.company.feeds import completed
from crm_methods.company.gather import Given, bring, company_place, gather
from crm_methods.company.guess_values import currency_of, read_date
from crm_methods.company.peek import Sample, peek, peek_database
from crm_methods.company.presets import known_words
from crm_methods.company.recognise import Feed, Recognised, recognise
from crm_methods.errors import Faults, IntakeError

_UNKNOWN_CURRENCY = "EUR"
_MOMENTS = {"deals": "opened_on", "interactions": "started_at", "process_events": "at"}
_MANY = 5
_FEW_DAYS, _LONG_GAP = 20, 31


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
    as_of, seen, doubt = _as_of(feeds, facts, today)
    currency, why = _currency(feeds, facts)
    questions: dict[str, list[str]] = {"as_of": [], "currency": [], "margin_share": []}
    if doubt is not None:
        questions["as_of"].append(f"as_of: {doubt}")
    if why is None:
        questions["currency"].append(f"currency: no file names one; {currency} is a guess")
    questions["currency"] += _unconverted(feeds, facts, currency)
    if _lacks_margin(feeds):
        questions["margin_share"].append(
            "margin_share: the deals know neither cost nor margin; which share of revenue is left after the cost of goods? "
            "Without it figures are revenue"
        )
    lines = [_asked(feed, asked.get(feed.table, ())) for feed in feeds]
    remarks = {key: reason for key, reason in (("as_of", seen), ("currency", why)) if reason}
    unused = {**recognised.unused, **unread}
    return DraftText(name, as_of, currency, lines, formats, own, remarks, questions, unused)


def _asked(feed: Feed, questions: Sequence[str]) -> Feed:
    return replace(feed, questions=(*feed.questions, *questions))


def _as_of(
    feeds: Sequence[Feed], facts: Mapping[str, Mapping[str, ColumnFacts]], today: dt.date
) -> tuple[dt.date, str | None, str | None]:
    """The last day up to today on which anything is known to have happened, where it was seen, and what is doubtful about it.

    The days of open deals are plans. Where no deal is known to be won or lost, the days count on which deals were opened,
    contacts made or events took place.
    """
    deals = next((feed for feed in feeds if feed.table == "deals"), None)
    closed, planned = _closing_days(deals, facts) if deals is not None else ([], [])
    later = [day for day in (*closed, *planned) if day > today]
    if deals is not None and (sound := [day for day in closed if day <= today]):
        last = max(sound)
        said = f'the last day in "{deals.title("closed_on")}" of {deals.sample.label}'
        ahead = max((day for day in planned if day > last), default=None)
        if ahead is not None:
            return (
                last, f"{said} among won and lost deals; open ones have days up to {ahead}",
                f"{last} is the last day of a won or lost deal, open ones have days up to {ahead}; of which day is the export?",
            )  # fmt: skip
        if later:
            return last, said, f"won or lost deals have days after today, up to {max(later)}; which are wrong?"
        before = max((day for day in sound if day < last), default=last)
        alone = len(set(sound)) > _FEW_DAYS and (last - before).days > _LONG_GAP
        return last, said, f"{last} stands alone, the day before it is {before}; is it a slip?" if alone else None
    for feed in feeds:
        title = feed.title(_MOMENTS.get(feed.table, ""))
        days = [day for day in _days(feed, title, facts) if day is not None and day <= today] if title else []
        if days:
            doubt = None
            if feed.table == "deals" or deals is not None:
                doubt = f'no deal is known to be won or lost with a day; {max(days)} is only the last day in "{title}"'
            return max(days), f'the last day in "{title}" of {feed.sample.label}', doubt
    return today, None, "no table has dates up to today; from which day is the company looked at?"


def _days(feed: Feed, title: str, facts: Mapping[str, Mapping[str, ColumnFacts]]) -> list[dt.date | None]:
    """The day in each row of a column; none where it holds no dates."""
    moments = facts[feed.sample.label][title].moments
    if moments is None:
        return []
    read = {cell: read_date(cell, moments.format) for cell in facts[feed.sample.label][title].counts}
    return [read.get(cell) for cell in feed.sample.cells(title)]


def _closing_days(deals: Feed, facts: Mapping[str, Mapping[str, ColumnFacts]]) -> tuple[list[dt.date], list[dt.date]]:
    """The closing days of deals that are won or lost, and of all others; without a status every deal is won."""
    closed_on, status = deals.title("closed_on"), deals.title("status")
    if closed_on is None:
        return [], []
    days = _days(deals, closed_on, facts)
    if status is None:
        return [day for day in days if day is not None], []
    words = {
        **(known_words(deals.preset).get("status", {}) if deals.preset else {}),
        **deals.extra.get("values", {}).get("status", {}),
    }
    ended = {word.strip().casefold() for word, meant in words.items() if meant in {"won", "lost"}} | {"won", "lost"}
    gone = {word.strip().casefold() for word, meant in words.items() if meant == "cancelled"}
    closed: list[dt.date] = []
    planned: list[dt.date] = []
    for day, word in zip(days, deals.sample.cells(status), strict=False):
        if day is not None and word.casefold() not in gone:
            (closed if word.casefold() in ended else planned).append(day)
    return closed, planned


def _unconverted(feeds: Sequence[Feed], facts: Mapping[str, Mapping[str, ColumnFacts]], currency: str) -> list[str]:
    """A question for each table of amounts in several currencies, where no table of rates knows them."""
    rates = next((feed for feed in feeds if feed.table == "exchange_rates"), None)
    known = {currency, *(code.upper() for code in _codes(rates, facts))} if rates is not None else {currency}
    asked = []
    for feed in feeds:
        codes = _codes(feed, facts) if feed is not rates else Counter[str]()
        unknown = [code for code in codes if code not in known]
        if unknown:
            shares = ", ".join(f"{code} {n / codes.total():.1%}" for code, n in codes.most_common(8))
            asked.append(
                f"currency: the rows of {feed.table} are in {shares}; to convert {', '.join(sorted(unknown)[:8])} "
                "a table exchange_rates (currency, on, rate) is needed"
            )
    return asked


def _codes(feed: Feed | None, facts: Mapping[str, Mapping[str, ColumnFacts]]) -> Counter[str]:
    """The rows in each currency."""
    codes = Counter[str]()
    title = feed.title("currency") if feed is not None else None
    if feed is not None and title is not None:
        for cell, count in facts[feed.sample.label][title].counts.items():
            codes[cell.upper()] += count
    return codes


def _currency(feeds: Sequence[Feed], facts: Mapping[str, Mapping[str, ColumnFacts]]) -> tuple[str, str | None]:
    """The commonest currency of the files, and where it was seen; without any the guess, and None."""
    for feed in feeds:
        title = feed.title("currency")
        codes = _codes(feed, facts) if feed.table != "exchange_rates" else Counter[str]()
        best = codes.most_common(1)[0][0] if codes else ""
        if len(best) == 3 and best.isascii() and best.isalpha():
            others = f", the commonest of {', '.join(sorted(codes))}"
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
    spare = unused_titles(text.feeds)
    said = [
        f"{feed.table}: from {feed.sample.label}, {len(feed.matches)} columns" + _spare(spare.get(feed.table, ()))
        for feed in text.feeds
    ]
    said += [f"not used: {label}: {why}" for label, why in text.unused.items()]
    count = len(text.open_questions)
    asked = f"{count} question{'s' if count != 1 else ''} in it, marked `# ?`" if count else "no question is open"
    return [*map(remark, said), f"Wrote {path}: {asked}. Read it, then: crm-methods run {path.parent.name}"]


def _spare(titles: Sequence[str]) -> str:
    """Named only where there are many."""
    if len(titles) < _MANY:
        return ""
    return f"; {len(titles)} not used: {', '.join(titles[:_MANY])}" + (" …" if len(titles) > _MANY else "")
