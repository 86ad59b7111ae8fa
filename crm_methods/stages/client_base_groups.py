"""Stage 1: which clients belong to one group, what that changes, and which groups a person should look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, answers
from crm_methods.company.client_units import ends_and_circles, owners
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import current_period
from crm_methods.company.settings import Company
from crm_methods.engine import as_float, collect
from crm_methods.models.name_matching import own_domain, read_name
from crm_methods.stages.client_base_duplicates import Duplicates

TOP_NAMES = 10
MOST_OF_A_DOMAIN = 50
"""A domain that more clients share is no company's."""
MOST_OF_A_STEM = 10
"""A beginning of names that more clients share is a word of the trade, not a name."""
_SHORTEST_STEM = 5
_MAX_SHOWN = 20
MAX_CLIENTS = 2_000_000
"""Of a larger base the clients with a name, an owner or an e-mail are looked at, those with the most revenue first."""
_OWNED = "parent_id"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Groups(Answer):
    """Groups of clients, as the source knows them and as they are proposed.

    ``groups``: one row per group: ``group_id``, ``name``, ``known_by``, ``clients``, ``revenue`` of the period and
    ``revenue_share`` (0–1). ``members``: one row per group and client: ``group_id``, ``known_by``, ``client_id``.
    ``known_by`` is ``parent_id``, or what speaks for a proposed group. ``top_share`` and ``top_share_by_group``: the share
    of the ten largest clients in revenue, each client counted alone and each known group as one; None without revenue.
    """

    groups: pd.DataFrame
    members: pd.DataFrame
    top_share: float | None
    top_share_by_group: float | None


@answers("client_base.groups")
def groups(data: Canonical, settings: Company, facts: nw.LazyFrame[Any], duplicates: Duplicates) -> Groups:
    """Which clients have one owner, how concentrated the base is when they count as one, and which may belong together.

    Groups are built by ``parent_id``. Others are proposed where clients share an e-mail domain of their own or the
    beginning of their names; likely duplicates count as one client there.

    Parameters
    ----------
    data, settings
        The company; with ``unit: group`` the clients are groups already.
    facts
        ``client_facts``.
    duplicates
        The likely duplicates.

    Returns
    -------
    Groups
        ``table``: the largest groups, known ones first.
    """
    clients, left_out = _clients(data, facts)
    known, circles = _known_members(data, settings, clients)
    members = pd.concat([known, proposed_members(clients, known, duplicates.pairs)], ignore_index=True)
    listed = _described(data, settings, facts, clients, members)
    top = [_top_share(data, facts, counted) for counted in (known.iloc[:0], known)]
    period = current_period(settings).label
    return Groups(
        sentence=_sentence(listed, circles, top, settings, period) + _left_out_sentence(len(clients), left_out),
        table=listed.head(_MAX_SHOWN)[["name", "known_by", "clients", "revenue", "revenue_share"]].rename(
            columns={"name": "client"}
        ),
        caption=f"The largest groups of clients, with their revenue in {period} ({settings.currency})",
        labels={"client": "Group", "known_by": "Known by"},
        groups=listed,
        members=members,
        top_share=top[0],
        top_share_by_group=top[1],
    )


def proposed_members(clients: pd.DataFrame, known: pd.DataFrame, repeated: pd.DataFrame) -> pd.DataFrame:
    """Groups that a person should look at: clients with one e-mail domain, or with one beginning of their names.

    Parameters
    ----------
    clients
        One row per client: ``client_id``, ``name``, ``email``.
    known
        ``client_id`` and ``group_id`` of the clients whose group is known; clients of one such group are not proposed.
    repeated
        ``client_id`` and ``duplicate_of`` of likely duplicates: two of them are no group.

    Returns
    -------
    pandas.DataFrame
        One row per group and client, by both: ``group_id`` (its first client), ``known_by`` and ``client_id``.
    """
    once = clients[~clients["client_id"].isin(repeated["client_id"])].sort_values("client_id", ignore_index=True)
    words = [read_name(name).words if isinstance(name, str) else () for name in once["name"]]
    ids, group = once["client_id"], once["client_id"].map(known.set_index("client_id")["group_id"]).astype(object)
    facts = pd.DataFrame({"client_id": ids, "name": ["".join(w) for w in words], "group": group.fillna(ids)})
    domain = [own_domain(email) if isinstance(email, str) else "" for email in once["email"]]
    found = [
        _sharing(facts.assign(key=domain), MOST_OF_A_DOMAIN, "same e-mail domain"),
        *[_sharing(facts.assign(key=[_stem(w, n) for w in words]), MOST_OF_A_STEM, "same beginning of name") for n in (2, 1)],
    ]
    proposed = pd.concat(found, ignore_index=True)
    # The same clients may share several things: they are proposed once, by the first of them.
    sets = proposed.groupby(["known_by", "key"], sort=False)["client_id"].agg(tuple)
    first = set(sets.drop_duplicates().index)
    pairs = zip(proposed["known_by"], proposed["key"], strict=True)
    kept = np.fromiter((pair in first for pair in pairs), dtype=bool, count=len(proposed))
    named = proposed[kept].drop_duplicates(["group_id", "known_by", "client_id"])
    return named[["group_id", "known_by", "client_id"]].sort_values(["group_id", "known_by", "client_id"], ignore_index=True)


def _clients(data: Canonical, facts: nw.LazyFrame[Any]) -> tuple[pd.DataFrame, int]:
    """The clients that are looked at, with what may tie them to others, and how many are left out."""
    listed = data.scan("clients").select("client_id", "name", "parent_id", "email")
    everybody = int(collect(listed.select(nw.len().alias("n")))["n"].iloc[0])
    if everybody > MAX_CLIENTS:
        tied = nw.coalesce("name", "parent_id", "email").is_null()
        revenue = facts.select("client_id", "revenue_total")
        ranked = listed.with_columns(untied=nw.when(tied).then(nw.lit(1)).otherwise(nw.lit(0)))
        ranked = ranked.join(revenue, on="client_id", how="left").with_columns(
            revenue_total=as_float("revenue_total").fill_null(0)
        )
        ranked = ranked.sort("untied", "revenue_total", "client_id", descending=[False, True, False])
        listed = ranked.head(MAX_CLIENTS).select("client_id", "name", "parent_id", "email")
    clients = collect(listed, max_rows=MAX_CLIENTS)
    return clients, everybody - len(clients)


def _known_members(data: Canonical, settings: Company, clients: pd.DataFrame) -> tuple[pd.DataFrame, list[list[str]]]:
    """A row per client of a known group, and the clients that own each other in a circle."""
    circles: list[list[str]] = []
    if settings.unit == "group":
        joined = data.members.filter(nw.col("how") == "group").select("unit_id").unique()
        members = data.members.select("client_id", "unit_id").join(joined, on="unit_id", how="inner")
        if len(clients) == MAX_CLIENTS:
            looked_at = data.engine.frame(clients[["client_id"]].rename(columns={"client_id": "unit_id"}))
            members = members.join(looked_at, on="unit_id", how="inner")
        of = collect(members).astype(object).rename(columns={"unit_id": "group_id"})
    else:
        ends, circles = ends_and_circles(owners(clients))
        of = pd.DataFrame({"client_id": list(ends), "group_id": list(ends.values())}, dtype=object)
        heads = pd.Series(sorted(set(ends.values()) & set(clients["client_id"])), dtype=object)
        of = pd.concat([of, pd.DataFrame({"client_id": heads, "group_id": heads})], ignore_index=True)
    listed = of.assign(known_by=_OWNED)[["group_id", "known_by", "client_id"]]
    return listed.sort_values(["group_id", "client_id"], ignore_index=True), circles


def _stem(words: Sequence[str], length: int) -> str:
    stem = " ".join(words[:length])
    return stem if len(words) >= length and len(stem) >= _SHORTEST_STEM and not stem.isdigit() else ""


def _sharing(clients: pd.DataFrame, most: int, known_by: str) -> pd.DataFrame:
    """The clients that share a key, of which there are different names and not all are known to be one group."""
    shared = clients[clients["key"] != ""]
    by = shared.groupby("key")
    fits = (
        (by["client_id"].transform("size") <= most)
        & (by["name"].transform("nunique") > 1)
        & (by["group"].transform("nunique") > 1)
    )
    found = shared[fits]
    first = found.groupby("key")["client_id"].transform("min") if len(found) else found["client_id"]
    return found.assign(group_id=first, known_by=known_by)[["group_id", "known_by", "key", "client_id"]]


def _described(
    data: Canonical, settings: Company, facts: nw.LazyFrame[Any], clients: pd.DataFrame, members: pd.DataFrame
) -> pd.DataFrame:
    """A row per group with its size and revenue, known ones first, each kind by revenue."""
    keys = ["group_id", "known_by"]
    total = float(collect(facts.select(nw.col("revenue").sum()))["revenue"].fillna(0).iloc[0])
    # With groups as clients the revenue stands with the group alone.
    counted = members.where(
        (settings.unit == "client") | (members["known_by"] != _OWNED), members.assign(client_id=members["group_id"])
    )
    counted = counted.drop_duplicates()
    revenue = pd.DataFrame(columns=[*keys, "revenue"])
    if len(counted):
        summed = data.engine.frame(counted).join(facts.select("client_id", "revenue"), on="client_id", how="inner")
        revenue = collect(summed.group_by(*keys).agg(nw.col("revenue").sum()), max_rows=len(counted))
    listed = (
        members.groupby(keys)
        .size()
        .rename("clients")
        .reset_index()
        .merge(revenue.astype({"group_id": object}), on=keys, how="left")
    )
    names = clients.set_index("client_id")["name"].astype(object)
    listed = listed.assign(
        name=listed["group_id"].map(names).astype(object).fillna(listed["group_id"]),
        revenue=listed["revenue"].astype(float).fillna(0.0),
        is_proposed=listed["known_by"] != _OWNED,
    )
    listed = listed.assign(revenue_share=listed["revenue"] / total if total > 0 else float("nan"))
    ordered = listed.sort_values(["is_proposed", "revenue", "group_id", "known_by"], ascending=[True, False, True, True])
    return ordered[["group_id", "name", "known_by", "clients", "revenue", "revenue_share"]].reset_index(drop=True)


def _top_share(data: Canonical, facts: nw.LazyFrame[Any], members: pd.DataFrame) -> float | None:
    """The share of the ten largest in revenue, the clients of a group counted as one."""
    counted = facts.filter(nw.col("revenue") > 0).select("client_id", "revenue")
    if len(members):
        group = data.engine.frame(members[["client_id", "group_id"]])
        joined = counted.join(group, on="client_id", how="left")
        units = joined.select(unit=nw.coalesce("group_id", "client_id"), revenue=nw.col("revenue"))
        counted = units.group_by("unit").agg(nw.col("revenue").sum())
    total = float(collect(counted.select(nw.col("revenue").sum()))["revenue"].fillna(0).iloc[0])
    largest = collect(counted.sort("revenue", descending=True).head(TOP_NAMES).select("revenue"))
    return float(largest["revenue"].sum()) / total if total > 0 else None


def _sentence(listed: pd.DataFrame, circles: list[list[str]], top: Sequence[float | None], settings: Company, period: str) -> str:
    known, proposed = listed[listed["known_by"] == _OWNED], listed[listed["known_by"] != _OWNED]
    text = "No client is known to belong to a group: parent_id is empty." if not circles else ""
    if len(known):
        share = known["revenue_share"].sum(min_count=1)
        brought = "" if pd.isna(share) else f" and bring {formats.share(share)} of revenue in {period}"
        text = f"{formats.plural(int(known['clients'].sum()), 'client')} belong to {formats.plural(len(known), 'group')}{brought}"
        text += _concentration(top, settings)
    if circles:
        text += f" {formats.plural(len(circles), 'circle')} of clients that own each other can't be read as a group."
    if len(proposed):
        one = len(proposed) == 1
        text += (
            f" {formats.plural(len(proposed), 'other group' if len(known) else 'group')} {'is' if one else 'are'} proposed for"
            " a person to look at, by a shared e-mail domain or beginning of name."
        )
    return text.strip()


def _left_out_sentence(looked_at: int, left_out: int) -> str:
    if not left_out:
        return ""
    others = f"{formats.plural(left_out, 'other client')} {'was' if left_out == 1 else 'were'} not"
    return f" Only the {formats.plural(looked_at, 'client')} with the most revenue were looked at, {others}."


def _concentration(top: Sequence[float | None], settings: Company) -> str:
    alone, together = top
    if settings.unit == "group":
        return "; each group counts as one client in every stage (`unit: group`)."
    if alone is None or together is None:
        return "."
    return (
        f"; counted as one client each, the ten largest bring {formats.share(together, 1)} of revenue instead of"
        f" {formats.share(alone, 1)}. Every client counts on its own in every stage (`unit: client`)."
    )
