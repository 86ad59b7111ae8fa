"""Figures of stage 5."""

from __future__ import annotations

import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer
from crm_methods.company.vocabulary import segment_label
from crm_methods.reports.charts.bars import horizontal_bars, stacked_bars
from crm_methods.reports.charts.house import Chart, Formatter
from crm_methods.reports.charts.intervals import forest
from crm_methods.reports.charts.matrices import heat_map
from crm_methods.stages.contacts import Mix
from crm_methods.stages.contacts_budget import Budget
from crm_methods.stages.contacts_calendar import Calendar
from crm_methods.stages.contacts_matrix import ContactMatrix


def channels(answer: Mix, currency: str) -> Chart:
    """What a contact costs by channel, in full; the number of contacts where nothing has a price."""
    table = answer.table
    if table["contact_cost"].notna().any():
        priced = table[table["contact_cost"].notna()].sort_values("contact_cost", ascending=False)
        dear, cheap = priced.iloc[0], priced.iloc[-1]
        title = (
            f"A contact by {dear['channel']} costs {formats.number(dear['contact_cost'] / cheap['contact_cost'], 1)} "
            f"times one by {cheap['channel']}"
            if len(priced) > 1 and cheap["contact_cost"] > 0
            else f"A contact by {dear['channel']} costs {formats.money(dear['contact_cost'], currency)}"
        )
        words = formats.join([f"{row.channel} {formats.money(row.contact_cost, currency)}" for row in priced.itertuples()])
        return horizontal_bars(
            priced, label="channel", length="contact_cost", form=lambda v: formats.money(v, currency), title=title,
            alt=f"Bars of the full cost of one contact by channel: {words}.", axis="Full cost of one contact: our time and cash",
        )  # fmt: skip
    first = table.iloc[0]
    return horizontal_bars(
        table,
        label="channel",
        length="contacts",
        form=formats.number,
        title=f"{formats.share(first['contacts_share'])} of the contacts are by {first['channel']}",
        alt="Bars of contacts by channel: "
        f"{formats.join([f'{r.channel} {formats.number(r.contacts)}' for r in table.itertuples()])}.",
        axis="Contacts in the period",
    )


def answered(answer: Answer, currency: str) -> Chart | None:
    """Share of contacts that were answered, by channel; None where no outcome is recorded."""
    known = answer.table[answer.table["answered_low_share"].notna()].sort_values("answered_share", ascending=False)
    if known.empty:
        return None
    best = known.iloc[0]
    words = formats.join([f"{row.channel} {formats.share(row.answered_share)}" for row in known.itertuples()])
    return forest(
        known,
        label="channel",
        estimate="answered_share",
        low="answered_low_share",
        high="answered_high_share",
        form=formats.share,
        reference=None,
        title=f"{best['channel'].capitalize()} is answered most: {formats.share(best['answered_share'])}",
        alt=f"Answered shares with 95% intervals clustered by client: {words}.",
        axis="Answered share of the contacts whose outcome is recorded",
    )


def matrix(answer: ContactMatrix, currency: str) -> Chart | None:
    """Contacts per client of a segment, occasion by occasion."""
    table, segments = answer.per_client, [c for c in answer.per_client.columns if c != "occasion"]
    if not segments or not float(table[segments].sum().sum()):
        return None
    totals = table[segments].sum()
    most = str(totals.idxmax())
    return heat_map(
        table,
        row="occasion",
        columns=segments,
        form=_few,
        labels={segment: segment_label(segment) for segment in segments},
        title=f"“{segment_label(most)}” is contacted most: {formats.number(totals[most], 1)} times per client",
        alt="Heat map of planned contacts per client, by occasion and segment; in all "
        + formats.join([f"{segment_label(str(s))} {formats.number(v, 1)}" for s, v in totals.items()])
        + ".",
        note="Planned contacts divided by all clients of the segment, also those to whom the occasion does not apply.",
    )


def calendar(answer: Calendar, currency: str) -> Chart:
    """Planned contacts by month and channel."""
    table, parts = answer.by_channel, [c for c in answer.by_channel.columns if c != "month"]
    totals = table[parts].sum(axis=1)
    return stacked_bars(
        table,
        x="month",
        parts=parts,
        labels={part: part.capitalize() for part in parts},
        form=formats.number,
        x_form=formats.month,
        title=f"Every working day has about {formats.number(answer.contacts / len(answer.days), 1)} contacts, the "
        f"busiest {formats.number(answer.days['contacts'].max())}",
        alt="Stacked columns of planned contacts, one per month: "
        f"{formats.join([f'{formats.month(m)} {formats.number(v)}' for m, v in zip(table['month'], totals, strict=True)])}.",
        axis="Planned contacts",
    )


def budget(answer: Budget, currency: str) -> Chart | None:
    """Each action's contacts and preparation."""
    held = answer.actions[answer.actions["cost"] > 0].sort_values("cost", ascending=False)
    if held.empty:
        return None
    first = held.iloc[0]
    words = formats.join([f"{row.title} {formats.money_short(row.cost, currency)}" for row in held.itertuples()])
    return horizontal_bars(
        held,
        label="title",
        length="cost",
        form=_money(currency),
        title=f"“{first['title']}” takes {formats.share(first['cost'] / answer.cost)} of "
        f"{formats.money_short(answer.cost, currency)}",
        alt=f"Bars of the full cost of each action, its preparation among it: {words}.",
        axis="Full cost",
    )


def hours(answer: Answer, currency: str) -> Chart | None:
    """Hours needed beside hours free; None where no free hours are known."""
    table = answer.table[answer.table["free_hours"].notna()]
    if table.empty:
        return None
    short = table[table["needed_hours"] > table["free_hours"]]
    rows = [
        (row.skill, kind, value)
        for row in table.itertuples()
        for kind, value in (("needed", row.needed_hours), ("free", max(0.0, row.free_hours)))
    ]
    bars = pd.DataFrame([(f"{skill}: {kind}", value) for skill, kind, value in rows], columns=["what", "hours"])
    return horizontal_bars(
        bars,
        label="what",
        length="hours",
        form=formats.number,
        highlight=[w for w in bars["what"] if w.endswith("needed")],
        title=f"Hours are short for {formats.join(short['skill'].tolist())}" if len(short) else "The free hours suffice",
        alt=f"Bars of hours by skill: {formats.join([f'{r.what} {formats.number(r.hours)}' for r in bars.itertuples()])}.",
        axis="Hours over the plan",
    )


def _few(value: float) -> str:
    return formats.NOTHING if not value else "<0.1" if value < 0.05 else formats.number(value, 1)


def _money(currency: str) -> Formatter:
    return lambda value: formats.money_short(value, currency)
