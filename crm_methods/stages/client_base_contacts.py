"""Stage 1: which channels carry the contacts, at what effort, and which channel each client prefers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import current_period, within
from crm_methods.company.settings import Company
from crm_methods.engine import as_float, collect
from crm_methods.models import rates
from crm_methods.stages.client_base_changes import in_brackets, of_two_periods

UNKNOWN = "not recorded"
MINUTES_PER_HOUR = 60
DECLARED, OBSERVED = "declared", "observed"
"""Where a preferred channel is known from: a contact person said so, or the client itself uses it most."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Channels(Answer):
    """Contacts and effort by channel: ``channels`` has one row per channel; ``finding`` is the result in short.

    ``effort`` has one row per measure (contacts, time, direct cost) with each channel's share of it, one column per channel.
    """

    channels: pd.DataFrame
    effort: pd.DataFrame
    finding: str


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PreferredChannels(Answer):
    """Preferred channels and whether we use them: ``preferred`` has one row per channel."""

    preferred: pd.DataFrame


@answers("client_base.contacts")
def channels(data: Canonical, settings: Company) -> Channels | Unanswered:
    """Contacts, clients, minutes and cost by channel, who began them and whether they were answered.

    Returns
    -------
    Channels
        Columns that the company does not record are left out. Means and shares are of the contacts for which the value
        is known, with intervals clustered by client; totals are of what is recorded.
    """
    contacts = data.scan("interactions").filter(within("started_at", current_period(settings)))
    contacts = contacts.with_columns(
        channel=nw.col("channel").str.to_lowercase().fill_null(UNKNOWN),
        theirs=nw.when(~began().is_null()).then(nw.when(began() == "theirs").then(1).otherwise(0)),
        replied=nw.when(~nw.col("answered").is_null()).then(nw.when(nw.col("answered")).then(1).otherwise(0)),
    )
    counted = contacts.group_by("channel").agg(
        contacts=nw.len(), clients=nw.col("client_id").n_unique(), minutes=as_float("handling_minutes").sum(),
        direct_cost=as_float("direct_cost").sum(),
    )  # fmt: skip
    table = collect(counted).sort_values(["contacts", "channel"], ascending=[False, True], ignore_index=True)
    if table.empty:
        return Unanswered("client_base.contacts", f"no contact is recorded from {current_period(settings).label}.")
    table = table.assign(contacts_share=table["contacts"] / table["contacts"].sum(), hours=table["minutes"] / MINUTES_PER_HOUR)
    table = table.join(_mean_minutes(contacts), on="channel").join(_shares(contacts, "theirs", "by_clients"), on="channel")
    table = table.join(_shares(contacts, "replied", "answered"), on="channel")
    sentence = _channels_sentence(table, settings)
    return Channels(
        sentence=f"{sentence} {_initiative_sentence(contacts)}".strip(),
        table=table[_shown(data)],
        caption=f"Contacts of {current_period(settings).label} by channel; direct cost ({settings.currency}) is what is not time",
        labels={
            "contacts_share": "Of contacts", "mean_minutes": "Minutes each", "low_minutes": "From", "high_minutes": "To",
            "by_clients_share": "Begun by the client", "answered_share": "Answered",
        },
        channels=table,
        effort=_effort(table),
        finding=sentence,
    )  # fmt: skip


def began() -> nw.Expr:
    """Who began a contact, read off its direction where it is not noted: ``ours``, ``theirs`` or missing."""
    inward, outward = nw.col("direction") == "in", nw.col("direction") == "out"
    by_direction = nw.when(outward).then(nw.lit("ours")).otherwise(nw.lit(None, nw.String))
    return nw.coalesce(nw.col("initiative"), nw.when(inward).then(nw.lit("theirs")).otherwise(by_direction))


def client_channels(data: Canonical, settings: Company) -> nw.LazyFrame[Any]:
    """The channel each client prefers, and those that it and we use most.

    Preferred is the channel most of its contact persons declared; else the one by which the client itself turns to us
    most. Use is counted over the period and the one before; of equally frequent channels the first in the alphabet is
    taken.

    Returns
    -------
    narwhals.LazyFrame
        Key ``client_id``, every client once: ``preferred_channel``, ``main_channel_in`` (the client's contacts),
        ``main_channel_out`` (ours), ``source`` of the preference (``declared``, ``observed`` or missing).
    """
    persons = data.scan("contact_persons").select("client_id", channel=nw.col("preferred_channel").str.to_lowercase())
    contacts = of_two_periods(data.scan("interactions"), "started_at", settings)
    used = contacts.select("client_id", channel=nw.col("channel").str.to_lowercase(), by_whom=began())
    clients = data.scan("clients").select("client_id")
    for name, rows in (
        ("declared", persons),
        ("main_channel_in", used.filter(nw.col("by_whom") == "theirs")),
        ("main_channel_out", used.filter(nw.col("by_whom") == "ours")),
    ):
        clients = clients.join(_most_used(rows, name), on="client_id", how="left")
    observed = nw.when(~nw.col("main_channel_in").is_null()).then(nw.lit(OBSERVED)).otherwise(nw.lit(None, nw.String))
    return clients.select(
        "client_id",
        nw.coalesce(nw.col("declared"), nw.col("main_channel_in")).alias("preferred_channel"),
        "main_channel_in",
        "main_channel_out",
        nw.when(~nw.col("declared").is_null()).then(nw.lit(DECLARED)).otherwise(observed).alias("source"),
    )


@answers("client_base.contacts")
def preferred_channels(data: Canonical, by_client: nw.LazyFrame[Any]) -> PreferredChannels | Unanswered:
    """Which channels clients prefer, how we know, and how many we contact mostly by another one.

    Parameters
    ----------
    by_client
        ``client_channels``.
    """
    both = ~nw.col("preferred_channel").is_null() & ~nw.col("main_channel_out").is_null()
    differs = both & (nw.col("preferred_channel") != nw.col("main_channel_out"))
    marked = by_client.with_columns(
        declared=nw.when(nw.col("source") == DECLARED).then(1).otherwise(0),
        contacted=nw.when(both).then(1).otherwise(0),
        otherwise=nw.when(differs).then(1).otherwise(0),
    )
    sums = [nw.col(name).sum() for name in ("declared", "contacted", "otherwise")]
    found = collect(marked.group_by("preferred_channel").agg(nw.len().alias("clients"), *sums))
    found = found.astype(dict.fromkeys(("declared", "contacted", "otherwise"), "int64"))
    known = found[found["preferred_channel"].notna()].sort_values(["clients", "preferred_channel"], ascending=[False, True])
    if known.empty:
        helps = ("contact_persons.preferred_channel", "interactions.direction or interactions.initiative")
        return Unanswered("client_base.contacts", "no client's preferred channel is declared or seen from its contacts.", helps)
    known = known.assign(
        clients_share=known["clients"] / found["clients"].sum(),
        by_another_share=known["otherwise"] / known["contacted"].where(known["contacted"] > 0),
    ).reset_index(drop=True)
    columns = ["preferred_channel", "clients", "clients_share", "declared", "contacted", "by_another_share"]
    return PreferredChannels(
        sentence=_preferred_sentence(known, int(found["clients"].sum())),
        table=known[columns],
        caption="Clients by preferred channel; contacted = clients with contacts that we began, in the period or the one before",
        labels={
            "clients_share": "Of all clients", "declared": "Declared by a person", "contacted": "Contacted by us",
            "by_another_share": "Mostly by another channel",
        },
        preferred=known[[*columns, "otherwise"]],
    )  # fmt: skip


def _most_used(rows: nw.LazyFrame[Any], name: str) -> nw.LazyFrame[Any]:
    """The commonest channel of each client, of several the first in the alphabet."""
    counted = rows.filter(~nw.col("channel").is_null()).group_by("client_id", "channel").agg(n=nw.len())
    most = counted.group_by("client_id").agg(most=nw.col("n").max())
    first = counted.join(most, on="client_id", how="inner").filter(nw.col("n") == nw.col("most"))
    return first.group_by("client_id").agg(nw.col("channel").min().alias(name))


def _mean_minutes(contacts: nw.LazyFrame[Any]) -> pd.DataFrame:
    means = rates.means_by(rates.sums_by_client(contacts, "handling_minutes", by=("channel",)), by=("channel",))
    named = {"mean": "mean_minutes", "low": "low_minutes", "high": "high_minutes"}
    return means.set_index("channel")[list(named)].rename(columns=named)


def _shares(contacts: nw.LazyFrame[Any], value: str, name: str) -> pd.DataFrame:
    shares = rates.shares_by(rates.sums_by_client(contacts, value, by=("channel",)), by=("channel",))
    named = {"share": f"{name}_share", "low_share": f"{name}_low_share", "high_share": f"{name}_high_share"}
    return shares.set_index("channel")[list(named)].rename(columns=named)


def _shown(data: Canonical) -> list[str]:
    shown = ["channel", "contacts", "contacts_share", "clients"]
    if data.has("interactions", "handling_minutes"):
        shown += ["mean_minutes", "low_minutes", "high_minutes", "hours"]
    if data.has("interactions", "direct_cost"):
        shown += ["direct_cost"]
    if data.has("interactions", "initiative") or data.has("interactions", "direction"):
        shown += ["by_clients_share"]
    return [*shown, "answered_share"] if data.has("interactions", "answered") else shown


def _effort(table: pd.DataFrame) -> pd.DataFrame:
    measures = {"Contacts": "contacts", "Our time": "hours", "Direct cost": "direct_cost"}
    shares = {name: table.set_index("channel")[column] / table[column].sum() for name, column in measures.items()
              if table[column].sum() > 0}  # fmt: skip
    return pd.DataFrame(shares).T.rename_axis("measure").rename_axis(None, axis="columns").reset_index()


def _channels_sentence(table: pd.DataFrame, settings: Company) -> str:
    contacts, hours, cost = (float(table[name].sum()) for name in ("contacts", "hours", "direct_cost"))
    named = table[table["channel"] != UNKNOWN]
    blank = contacts - float(named["contacts"].sum())
    spent = [f"{formats.number(hours, 1 if hours < 10 else 0)} hours of our time"] if hours else []
    spent += [f"{formats.money(cost, settings.currency)} of direct cost"] if cost else []
    text = f"{formats.plural(contacts, 'contact')}{f' took {formats.join(spent)}' if spent else ''}."
    if not named.empty:
        first = named.iloc[0]
        text += f" The commonest channel is “{first['channel']}” ({formats.share(first['contacts_share'])} of contacts"
        text += f", {formats.share(first['hours'] / hours)} of the time)" if hours else ")"
        dear = named.loc[named["hours"].idxmax()]
        if hours and dear["channel"] != first["channel"]:
            text += (
                f"; most time went into “{dear['channel']}” ({formats.share(dear['hours'] / hours)} of the time for"
                f" {formats.share(dear['contacts_share'])} of contacts)"
            )
        text += "."
    return text + (f" The channel of {formats.share(blank / contacts)} is not recorded." if blank else "")


def _initiative_sentence(contacts: nw.LazyFrame[Any]) -> str:
    """Who begins the contacts, over all channels."""
    whole = rates.shares_by(rates.sums_by_client(contacts, "theirs"))
    if whole.empty:
        return ""
    row = whole.iloc[0]
    span = in_brackets(row["low_share"], row["high_share"], formats.share, "95% interval ")
    return f"Clients began {formats.share(row['share'])}{span} of the contacts of which it is known."


def _preferred_sentence(known: pd.DataFrame, clients: int) -> str:
    whole, declared, contacted = (int(known[name].sum()) for name in ("clients", "declared", "contacted"))
    first = known.iloc[0]
    text = (
        f"The preferred channel is known of {formats.number(whole)} of {formats.plural(clients, 'client')}: declared by"
        f" {formats.number(declared)}, and judged by how they turn to us for {formats.number(whole - declared)}. Preferred most"
        f" often is “{first['preferred_channel']}” ({formats.plural(first['clients'], 'client')})."
    )
    if not contacted:
        return f"{text} By which channel we contact them is not recorded."
    otherwise = int(known["otherwise"].sum())
    low, high = rates.wilson_interval(otherwise, contacted)
    return (
        f"{text} Of the {formats.number(contacted)} whom we contacted, {formats.share(otherwise / contacted)} were contacted"
        f" mostly by another channel (95% interval {formats.interval(low, high, formats.share)})."
    )
