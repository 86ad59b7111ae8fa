"""From likely pairs to clients: who repeats whom, where several records are one and some are known to be apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pandas as pd
from rapidfuzz.distance import OSA


@dataclass(slots=True)
class _Entity:
    """Records taken for one client while pairs are gone through."""

    members: list[str]
    tax: set[str] = field(default_factory=set)
    apart: set[str] = field(default_factory=set)


def repetitions(
    pairs: pd.DataFrame, tax: Mapping[str, str], revenue: Mapping[str, float], apart: Iterable[tuple[str, str]] = ()
) -> pd.DataFrame:
    """Which client repeats which, given the likely pairs.

    The likeliest pairs are joined first. Two groups of records are not joined when a person has decided that members of
    them are different, or when their tax numbers differ by more than one character: a chain of likenesses does not make
    one legal entity of two. Of each group the client with the most revenue is kept.

    Parameters
    ----------
    pairs
        ``duplicate_scores.scored_pairs``.
    tax
        Client → normalised tax number; empty when unknown.
    revenue
        Client → revenue of all time.
    apart
        Pairs of clients that were decided to be different.

    Returns
    -------
    pandas.DataFrame
        One row per client that repeats another, by ``client_id``: ``duplicate_of`` (never itself a repetition), ``score``,
        ``reason`` and ``revenue_total`` of the repetition. Where the two were not compared themselves, the reason names
        the client between them.
    """
    entity_of = _entities(pairs, tax, apart)
    links = _links(pairs)
    rows = []
    for entity in {id(entity): entity for entity in entity_of.values()}.values():
        kept = min(entity.members, key=lambda client: (-revenue.get(client, 0.0), client))
        members = set(entity.members)
        for client in entity.members:
            if client != kept:
                score, reason = _why(client, kept, links, members)
                rows.append((client, kept, score, reason, revenue.get(client, 0.0)))
    columns = ["client_id", "duplicate_of", "score", "reason", "revenue_total"]
    found = pd.DataFrame(rows, columns=columns).astype({"score": float, "revenue_total": float})
    return found.sort_values("client_id", ignore_index=True)


def _entities(pairs: pd.DataFrame, tax: Mapping[str, str], apart: Iterable[tuple[str, str]]) -> dict[str, _Entity]:
    """Client → the records that are one with it; clients of no pair are left out."""
    entity_of = {c: _Entity([c], {tax[c]} if tax.get(c) else set()) for c in pd.concat([pairs["left"], pairs["right"]]).unique()}
    for one, other in apart:
        for client, foreign in ((one, other), (other, one)):
            if client in entity_of:
                entity_of[client].apart.add(foreign)
    for one, other in zip(pairs["left"], pairs["right"], strict=True):
        first, second = entity_of[one], entity_of[other]
        if first is second or not first.apart.isdisjoint(second.members) or not _tax_fits(first.tax, second.tax):
            continue
        # The smaller joins the larger, so that thousands of records of one name do not take the square of their number.
        larger, smaller = sorted((first, second), key=lambda entity: len(entity.members), reverse=True)
        larger.members += smaller.members
        larger.tax |= smaller.tax
        larger.apart |= smaller.apart
        entity_of |= dict.fromkeys(smaller.members, larger)
    return entity_of


def _tax_fits(one: set[str], other: set[str]) -> bool:
    return all(OSA.distance(a, b, score_cutoff=1) <= 1 for a in one for b in other)


def _links(pairs: pd.DataFrame) -> dict[str, dict[str, tuple[float, str]]]:
    """Client → likely other → score and reason."""
    links: dict[str, dict[str, tuple[float, str]]] = {}
    for one, other, score, reason in pairs[["left", "right", "score", "reason"]].itertuples(index=False):
        links.setdefault(one, {})[other] = (score, reason)
        links.setdefault(other, {})[one] = (score, reason)
    return links


def _why(client: str, kept: str, links: Mapping[str, Mapping[str, tuple[float, str]]], members: set[str]) -> tuple[float, str]:
    """Score and reason of the link to the kept client, or else of the best link to another of the group."""
    if kept in links[client]:
        return links[client][kept]
    others = [(-score, other, reason) for other, (score, reason) in links[client].items() if other in members]
    score, between, reason = min(others)
    return -score, f"by way of {between}: {reason}"
