"""Figures of stage 1 on deals, requests and contacts: win rates, topics and the effort by channel."""

from __future__ import annotations

import pandas as pd

from crm_methods import formats
from crm_methods.models.share_changes import is_clear
from crm_methods.reports.charts.bars import horizontal_bars, stacked_bars
from crm_methods.reports.charts.house import Chart
from crm_methods.reports.charts.intervals import forest
from crm_methods.stages.client_base_contacts import Channels
from crm_methods.stages.client_base_deals import ALL, UNKNOWN, WonAndLost
from crm_methods.stages.client_base_requests import Topics

MIN_CLIENTS = 5
"""Groups of fewer clients stand in the table alone: their intervals would stretch the axis from end to end."""
SHOWN_PER_KIND = 10


def win_rates(answer: WonAndLost, currency: str) -> Chart | None:
    """Win rates of groups with their intervals, and the rate of all as a line; None where there are no two groups."""
    groups = answer.groups
    known = groups[(groups["by"] != ALL) & (groups["group"] != UNKNOWN) & (groups["clients"] >= MIN_CLIENTS)]
    drawn = known[known["low_share"].notna()].groupby("by", sort=False).head(SHOWN_PER_KIND)
    if len(drawn) < 2:
        return None
    overall = float(groups["win_share"].iloc[0])
    tested = [spread for spread in answer.spreads if spread.by in set(drawn["by"])]
    real = [f"by {spread.by}" for spread in tested if spread.is_real]
    beyond = any(spread.observed > spread.by_chance for spread in tested)
    title = f"Win rates of groups {'are not proven to differ more' if beyond else 'differ no more'} than chance"
    if real:
        title = f"Win rates differ {formats.join(real)} by more than chance"
    elif not tested:
        title = f"{formats.share(overall)} of decided deals were won"
    names = [f"{row.by}: {row.group} ({formats.number(row.decided)})" for row in drawn.itertuples()]
    return forest(
        drawn.assign(label=names), label="label", estimate="win_share", low="low_share", high="high_share",
        form=formats.share, reference=overall, title=title, axis="Won per decided deal",
        alt=f"Win rates with intervals; dashed: all deals, {formats.share(overall)}. {_listed(names, drawn['win_share'])}.",
        note=f"{answer.caption}. In brackets: decided deals. Dashed: all deals, {formats.share(overall, 1)}",
    )  # fmt: skip


def topics(answer: Topics, currency: str) -> Chart | None:
    """The change of each topic's share with its interval; without a period before, the shares themselves."""
    rows = answer.changes[(answer.changes["about"] == "topic") & (answer.changes["requests"] > 0)].head(SHOWN_PER_KIND)
    compared = rows[rows["low_change"].notna()]
    if compared.empty:
        return _topic_shares(rows)
    clear = compared[is_clear(compared)]
    title = "No topic's share of requests changed clearly"
    if len(clear):
        first = clear.loc[clear["change"].abs().idxmax()]
        title = f"Requests about “{first['name']}” take a {'larger' if first['change'] > 0 else 'smaller'} share than before"
    names = [
        f"{name} ({formats.share(before)} → {formats.share(now)})"
        for name, before, now in zip(compared["name"], compared["previous_share"], compared["share"], strict=True)
    ]
    points = compared[["change", "low_change", "high_change"]] * 100
    return forest(
        points.assign(label=names), label="label", estimate="change", low="low_change", high="high_change",
        form=lambda value: formats.number(value, 1), reference=0.0, title=title, axis="Change of the share, percentage points",
        alt=f"Change of each topic's share with its interval. {title}. Before and now: {'; '.join(names)}.",
        note="Share of the requests that name a topic, before → now; 95% intervals clustered by client",
    )  # fmt: skip


def channels(answer: Channels, currency: str) -> Chart:
    """What each channel takes of contacts, time and cost."""
    names = answer.channels["channel"].tolist()
    if len(answer.effort) < 2:
        first = f"Most contacts are made by “{names[0]}”"
        return horizontal_bars(
            answer.channels, label="channel", length="contacts", form=formats.number, title=first, axis="Contacts",
            alt=f"Bars of contacts by channel. {_listed(names, answer.channels['contacts_share'])}.", note=answer.caption,
        )  # fmt: skip
    effort = answer.effort.set_index("measure")
    most, dear = (str(effort.loc[measure].astype(float).idxmax()) for measure in effort.index[:2])
    what = str(effort.index[1]).lower()
    title = f"Most contacts are made by “{most}”, most of {what} goes into “{dear}”"
    if most == dear:
        title = f"Most contacts are made by “{most}”, which takes most of {what} too"
    said = "; ".join(f"{measure}: {_listed(names, effort.loc[measure, names])}" for measure in effort.index)
    return stacked_bars(
        answer.effort, x="measure", parts=names, form=formats.share, x_form=str, title=title,
        labels={name: name for name in names}, alt=f"Columns of shares by channel. {said}.", axis="Share",
        note=answer.caption,
    )  # fmt: skip


def _topic_shares(rows: pd.DataFrame) -> Chart | None:
    drawn = rows[rows["low_share"].notna()]
    if drawn.empty:
        return None
    first = drawn.iloc[0]
    return forest(
        drawn, label="name", estimate="share", low="low_share", high="high_share", form=formats.share, reference=None,
        title=f"{formats.share(first['share'])} of requests are about “{first['name']}”", axis="Share of requests",
        alt=f"Share of each topic with its interval. {_listed(drawn['name'].tolist(), drawn['share'])}.",
        note="Share of the requests that name a topic; 95% intervals clustered by client",
    )  # fmt: skip


def _listed(names: list[str], shares: pd.Series[float]) -> str:
    return ", ".join(f"{name} {formats.share(share)}" for name, share in zip(names, shares, strict=True))
