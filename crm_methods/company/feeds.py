"""What else a file feeds: lines of the deals in it, a wide table of spending, persons beside clients, columns without names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from crm_methods.company.column_facts import ColumnFacts
from crm_methods.company.contracts import TABLES
from crm_methods.company.feed_details import detailed
from crm_methods.company.peek import Sample
from crm_methods.company.presets import fold
from crm_methods.company.recognise import Feed, Match, Recognised
from crm_methods.company.synonyms import lexicon

_SPEND_COLUMNS = 3
_PERSONS = frozenset({
    "contactname", "contactperson", "contact", "ansprechpartner", "interlocuteur", "personadecontacto", "referente",
    "контактноелицо",
})  # fmt: skip
"""Folded titles of a column that names a person beside each client."""


def completed(recognised: Recognised, samples: Sequence[Sample]) -> Recognised:
    """Every feed that the samples allow, with its values, units and questions.

    To what ``recognise`` found are added: deals from a wide table of spending or from a file without header, lines
    from a file of deals that names products, persons from a list of clients that names them.
    """
    feeds = {feed.table: feed for feed in recognised.feeds}
    unused = dict(recognised.unused)
    if not {"deals", "interactions", "process_events"} & set(feeds):
        for sample in samples:
            found = _wide(sample, recognised.facts[sample.label], feeds) or _nameless(sample, recognised.facts[sample.label])
            if found is not None:
                feeds["deals"] = found
                unused.pop(sample.label, None)
                break
    feeds = _with_lines(feeds, recognised.facts)
    feeds = _with_persons(feeds, recognised.facts)
    named = {table: feeds[table] for table in TABLES if table in feeds}
    details = [detailed(feed, named, recognised.facts, samples, unused) for feed in named.values()]
    return Recognised(tuple(details), recognised.facts, unused)


def _wide(sample: Sample, facts: Mapping[str, ColumnFacts], feeds: Mapping[str, Feed]) -> Feed | None:
    """A table with a row per client and a column of spending per product."""
    clients = feeds.get("clients")
    if clients is None or clients.sample is not sample or any(f.kind == "date" for f in facts.values()):
        return None
    mapped = {str(m.title) for m in clients.matches.values()}
    words = lexicon()
    channel = next((t for t in facts if words.likeness("deals", "distribution_channel", t) >= 0.7 and t not in mapped), None)
    spending = [t for t, f in facts.items() if t not in mapped | {channel} and _is_spending(f)]
    if len(spending) < _SPEND_COLUMNS or clients.title("client_id") is None:
        return None
    matches = {"client_id": clients.matches["client_id"]}
    if channel is not None:
        matches["distribution_channel"] = Match(channel, "likely", "by name")
    question = "reshape: each of these columns is taken for the spending on one product; strike out what is none"
    return Feed("deals", sample, matches, 1.0, extra={"reshape": {"unpivot": spending}}, questions=(question,))


def _is_spending(facts: ColumnFacts) -> bool:
    few = len(facts.counts) < min(12, facts.rows / 4)
    return facts.kind == "number" and not few and not any(cell.startswith("-") for cell in facts.counts)


def _nameless(sample: Sample, facts: Mapping[str, ColumnFacts]) -> Feed | None:
    """A file without header, told by content alone: a date, an amount with decimals, and an id that comes back."""
    if sample.place.get("header", True):
        return None
    dates = [t for t, f in facts.items() if f.kind == "date"]
    amounts = [t for t, f in facts.items() if f.kind == "number" and not f.is_whole]
    ids = [t for t, f in facts.items() if t not in {*dates, *amounts} and f.repeats and len(f.counts) > 1]
    if not dates or not amounts or not ids:
        return None
    client = max(ids, key=lambda t: len(facts[t].counts)) if facts[ids[0]].kind != "number" else ids[0]
    found = {"client_id": client, "closed_on": dates[0], "amount": amounts[0]}
    matches = {ours: Match(title, "a guess", "by content, since the file names no columns") for ours, title in found.items()}
    return Feed("deals", sample, matches, 1.0, questions=("names: the file has no header; check which column is which",))


def _with_lines(feeds: dict[str, Feed], facts: Mapping[str, Mapping[str, ColumnFacts]]) -> dict[str, Feed]:
    """Lines of deals, where the file of deals names a product: a deal may have one row, or one row per product."""
    deals = feeds.get("deals")
    if deals is None or deals.preset or "reshape" in deals.extra or "deal_id" not in deals.matches:
        return feeds
    own, words = facts[deals.sample.label], lexicon()
    taken = {str(m.title) for m in deals.matches.values()}

    def best(column: str) -> str | None:
        options = [(words.likeness("deal_lines", column, t), t) for t in own if t not in taken]
        contract = TABLES["deal_lines"].column(column)
        fitting = [o for o in options if o[0] >= 0.7 and contract is not None and own[o[1]].fits(contract)]
        return max(fitting)[1] if fitting else None

    product = best("product_id")
    if product is None:
        return feeds
    columns = {"product_id": product, "quantity": best("quantity")}
    found = {ours: Match(title, "likely", "by name and content") for ours, title in columns.items() if title}
    if own[str(deals.matches["deal_id"].title)].repeats:
        asked = "reshape: rows with the same deal_id are taken for the lines of one deal"
        lined = replace(deals, matches={**deals.matches, **found}, extra={**deals.extra, "reshape": {"lines": True}})
        return {**feeds, "deals": replace(lined, questions=(*deals.questions, asked))}
    if "deal_lines" in feeds:
        return feeds
    price = best("unit_price") or (
        str(deals.matches["amount"].title) if "amount" in deals.matches and "quantity" not in found else None
    )
    priced = {"unit_price": Match(price, "likely", "the amount of a deal of one product")} if price else {}
    lines = {"deal_id": deals.matches["deal_id"], **found, **priced}
    return {**feeds, "deal_lines": Feed("deal_lines", deals.sample, lines, deals.score)}


def _with_persons(feeds: dict[str, Feed], facts: Mapping[str, Mapping[str, ColumnFacts]]) -> dict[str, Feed]:
    """The person named beside each client, where there is no list of persons."""
    clients = feeds.get("clients")
    if clients is None or "contact_persons" in feeds or clients.title("client_id") is None:
        return feeds
    own = facts[clients.sample.label]
    name = next((t for t in own if fold(t) in _PERSONS and own[t].kind == "text"), None)
    if name is None or name in {str(m.title) for m in clients.matches.values()}:
        return feeds
    role = next((t for t in own if lexicon().likeness("contact_persons", "role", t) >= 0.9), None)
    key = clients.matches["client_id"]
    matches = {"person_id": key, "client_id": key, "name": Match(name, "likely", "the person named beside the client")}
    if role is not None:
        matches["role"] = Match(role, "likely", "by name")
    return {**feeds, "contact_persons": Feed("contact_persons", clients.sample, matches, 1.0)}
