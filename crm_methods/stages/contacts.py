"""Stage 5: how clients are contacted today, and what a contact costs.

What is planned stands in the rooms of this stage: ``contacts_profile`` (what is known of a client),
``contacts_occasions`` (who is contacted when, by what means), ``contacts_matrix``, ``contacts_calendar``
and ``contacts_budget``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import current_period
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import SEGMENT_LABELS, segment_label
from crm_methods.engine import collect, day_number, day_of
from crm_methods.models import cost_to_serve as tdabc
from crm_methods.models import rates
from crm_methods.stages.contacts_profile import Earlier

NO_CHANNEL = "channel not recorded"
_WORK = ("segment", "channel", "kind", "initiative")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Mix(Answer):
    """Contacts of the period by channel.

    ``channels`` has all that is known of each, ``by_segment`` one row per segment and channel.
    """

    channels: pd.DataFrame
    by_segment: pd.DataFrame


def contact_work(data: Canonical, settings: Company, earlier: Earlier) -> pd.DataFrame:
    """Contacts, minutes and costs of the period, by segment, channel, kind and initiative.

    Returns
    -------
    pandas.DataFrame
        ``segment``, ``channel``, ``kind``, ``initiative``, ``contacts``, ``priced_contacts`` (whose minutes have a price),
        ``minutes``,
        ``time_cost`` (minutes × rate of the pool, from stage 2), ``cash_cost`` (direct cost). What the company never
        records is missing;
        no rows without contacts.
    """
    period = current_period(settings)
    pools = tuple(
        tdabc.Pool(name=p.name, channels=tuple(p.channels), departments=tuple(p.departments)) for p in settings.costs.pools
    )
    work = tdabc.client_work(
        data.scan("interactions"), start=period.start, end=period.end, pools=pools, by=("client_id", "initiative")
    )
    placed = work.join(earlier.segments.select("client_id", "segment"), on="client_id", how="left")
    summed = collect(
        placed.group_by(*_WORK, "pool").agg(nw.col("contacts").sum(), nw.col("minutes").sum(), nw.col("direct_cost").sum()),
        max_rows=100_000,
    )
    rate = pd.Series(dtype=float) if earlier.rates is None else earlier.rates.set_index("pool")["rate_cost"]
    known = {"minutes": data.has("interactions", "handling_minutes"), "direct_cost": data.has("interactions", "direct_cost")}
    cells = summed.assign(
        channel=summed["channel"].replace("", NO_CHANNEL),
        initiative=summed["initiative"].fillna("unknown"),
        segment=summed["segment"].fillna("all"),
        minutes=summed["minutes"] if known["minutes"] else math.nan,
        cash_cost=summed["direct_cost"] if known["direct_cost"] else math.nan,
        contacts=summed["contacts"].astype("int64"),
    )
    minute_cost = cells["pool"].map(rate).astype(float)
    priced = cells.assign(
        time_cost=cells["minutes"] * minute_cost,
        priced_contacts=cells["contacts"].where((cells["minutes"] * minute_cost).notna(), 0),
        priced_minutes=cells["minutes"].where(minute_cost.notna(), 0.0),
    )
    return _summed(priced, list(_WORK))


@answers("contacts.mix")
def mix(data: Canonical, settings: Company, work: pd.DataFrame) -> Mix | Unanswered:
    """How clients were contacted in the period, by channel, and at what cost.

    Full cost is our minutes × the rate of their pool + direct cost; cash is direct cost alone.

    Parameters
    ----------
    work
        What ``contact_work`` returns.
    """
    period = current_period(settings)
    if work.empty:
        return Unanswered("contacts.mix", f"no contact is recorded between {period.label}.", ("interactions of the period",))
    table = _per_contact(_summed(work, ["channel"])).sort_values(
        ["contacts", "channel"], ascending=[False, True], ignore_index=True
    )
    table = table.assign(contacts_share=table["contacts"] / table["contacts"].sum()).merge(
        _answered(data, settings), on="channel", how="left"
    )
    by_segment = _per_contact(_summed(work, ["segment", "channel"]))
    order = {segment: place for place, segment in enumerate(SEGMENT_LABELS)}
    by_segment = by_segment.sort_values(
        ["segment", "channel"],
        key=lambda c: c.map(order).fillna(len(order)) if c.name == "segment" else c,
        kind="stable",
        ignore_index=True,
    )
    columns = [
        "channel", "contacts", "contacts_share", "mean_minutes", "contact_cost", "contact_cash_cost", "full_cost", "cash_cost"
    ]  # fmt: skip
    answered = ["answered_share", "answered_low_share", "answered_high_share", "answered_contacts"]
    return Mix(
        sentence=_mix_sentence(table, settings.currency),
        table=table[columns],
        caption=f"Contacts by channel, {period.label}; full cost is our time and cash",
        labels={
            "contacts_share": "Share of contacts",
            "mean_minutes": "Minutes each",
            "contact_cost": "Full cost each",
            "contact_cash_cost": "Cash each",
            "full_cost": "Full cost",
            "cash_cost": "Cash",
        },
        channels=table[[*columns, *answered]],
        by_segment=by_segment,
    )


@answers("contacts.mix")
def mix_by_segment(found: Mix, earlier: Earlier) -> Answer:
    """The same contacts by segment: how many per client, by what means, at what cost."""
    clients = collect(earlier.segments.group_by("segment").agg(nw.len().alias("clients"))).set_index("segment")["clients"]
    cells = found.by_segment
    rows = []
    for segment, own in cells.groupby("segment", sort=False):
        count, main = int(clients.get(segment, 0)), own.loc[own["contacts"].idxmax()]
        contacts = int(own["contacts"].sum())
        rows.append(
            {
                "segment": segment,
                "clients": count,
                "contacts": contacts,
                "contacts_per_client": contacts / count if count else math.nan,
                "main_channel": main["channel"],
                "main_channel_share": main["contacts"] / contacts,
                "minutes_per_client": own["minutes"].sum(min_count=1) / count if count else math.nan,
                "cost_per_client_amount": own["full_cost"].sum(min_count=1) / count if count else math.nan,
                "cash_per_client_amount": own["cash_cost"].sum(min_count=1) / count if count else math.nan,
            }
        )
    table = pd.DataFrame(rows)
    most, least = (table.loc[table["contacts_per_client"].fillna(0).agg(which)] for which in ("idxmax", "idxmin"))
    said = f"“{segment_label(most['segment'])}” had {formats.number(most['contacts_per_client'], 1)} contacts per client"
    if len(table) > 1:
        said += f", “{segment_label(least['segment'])}” {formats.number(least['contacts_per_client'], 1)}"
    return Answer(
        sentence=f"{said}; contacts that the clients began are counted too.",
        table=table,
        caption="Contacts of the period by segment; costs per client",
        labels={
            "contacts_per_client": "Contacts per client",
            "main_channel": "Main channel",
            "main_channel_share": "Its share",
            "minutes_per_client": "Minutes per client",
            "cost_per_client_amount": "Full cost per client",
            "cash_per_client_amount": "Cash per client",
        },
    )


@answers("contacts.mix")
def responses(found: Mix) -> Answer | Unanswered:
    """How often the other side answered, by channel, of the contacts whose outcome is recorded.

    The intervals are clustered by client: the contacts of one client resemble each other.
    """
    known = found.channels[found.channels["answered_contacts"].fillna(0) > 0].sort_values(
        ["answered_share", "channel"], ascending=[False, True]
    )
    if known.empty:
        return Unanswered(
            "contacts.mix",
            "whether contacts were answered is not recorded.",
            ("interactions.answered (whether the other side answered)",),
        )
    sure = known[known["answered_low_share"].notna()]
    if len(sure) > 1:
        text = (
            f"{sure.iloc[0]['channel'].capitalize()} is answered most, {_with_interval(sure.iloc[0])}, "
            f"{sure.iloc[-1]['channel']} least, {_with_interval(sure.iloc[-1])}."
        )
    else:
        row = (sure if len(sure) else known).iloc[0]
        text = f"Of the contacts by {row['channel']} whose outcome is known, {_with_interval(row)} were answered."
    few = formats.join(known.loc[known["answered_low_share"].isna(), "channel"].tolist())
    return Answer(
        sentence=f"{text} For {few} there are too few clients for an interval." if few and len(sure) else text,
        table=known[["channel", "answered_contacts", "answered_share", "answered_low_share", "answered_high_share"]].reset_index(
            drop=True
        ),
        caption="Contacts answered by the other side; 95% interval, clustered by client",
        labels={
            "answered_contacts": "Outcome recorded",
            "answered_share": "Answered",
            "answered_low_share": "from",
            "answered_high_share": "to",
        },
    )


def _summed(cells: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    columns = ["contacts", "priced_contacts", "minutes", "priced_minutes", "time_cost", "cash_cost"]
    return cells.groupby(by, as_index=False)[columns].sum(min_count=1)


def _per_contact(summed: pd.DataFrame) -> pd.DataFrame:
    """Costs in all and per contact; time is priced where stage 2 found a rate, cash where direct costs are recorded."""
    cash_each = summed["cash_cost"] / summed["contacts"]
    time_each = summed["time_cost"] / summed["priced_contacts"].where(summed["priced_contacts"] > 0)
    each = time_each + cash_each.fillna(0.0)
    return summed.assign(
        mean_minutes=summed["minutes"] / summed["contacts"],
        contact_cash_cost=cash_each,
        contact_cost=each,
        full_cost=each * summed["contacts"],
    )


def _answered(data: Canonical, settings: Company) -> pd.DataFrame:
    names = {
        "share": "answered_share",
        "low_share": "answered_low_share",
        "high_share": "answered_high_share",
        "trials": "answered_contacts",
    }
    if not data.has("interactions", "answered"):
        return pd.DataFrame({"channel": pd.Series(dtype="str"), **{name: pd.Series(dtype="float64") for name in names.values()}})
    period, day = current_period(settings), day_number("started_at")
    rows = data.scan("interactions").filter(day >= day_of(period.start), day <= day_of(period.end)).with_columns(
        channel=nw.col("channel").fill_null(NO_CHANNEL)
    )  # fmt: skip
    shares = rates.shares_by(rates.sums_by_client(rows, "answered", ["channel"]), ["channel"])
    return shares.rename(columns=names)[["channel", *names.values()]]


def _mix_sentence(table: pd.DataFrame, currency: str) -> str:
    contacts = int(table["contacts"].sum())
    first = table.iloc[0]
    parts = [
        f"{formats.plural(contacts, 'contact')} in the period, {formats.share(first['contacts_share'])} of them by "
        f"{first['channel']}"
    ]
    full, cash = table["full_cost"].sum(min_count=1), table["cash_cost"].sum(min_count=1)
    if pd.notna(full):
        also = f", of which {formats.money_short(cash, currency)} cash" if pd.notna(cash) else ""
        parts.append(f"they cost {formats.money_short(full, currency)} in full (our time and cash{also})")
    elif pd.notna(cash):
        parts.append(f"they cost {formats.money_short(cash, currency)} in cash; our time has no price")
    else:
        parts.append("what they cost is not known")
    return f"{'; '.join(parts)}."


def _with_interval(row: Any) -> str:
    between = formats.interval(row["answered_low_share"], row["answered_high_share"], formats.share)
    share = formats.share(row["answered_share"])
    return share if between == formats.NOTHING else f"{share} ({between})"
