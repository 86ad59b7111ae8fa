"""Whom to look at first: the clients worth most, and those that cost most beyond what they bring. A room of stage 2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.engine import collect
from crm_methods.stages.segments_call_facts import bought_fewer, yearly_purchases
from crm_methods.stages.segments_worth import CONTRACT

NAMES = 10
_YEARS = ("orders", "orders_before")


@dataclass(frozen=True, slots=True, eq=False)
class _Ranking:
    """What a list is ordered by: the column, from which end, and how its clients are called."""

    column: str
    descending: bool
    reason: str


@answers("segments.matrix")
def first_names(data: Canonical, settings: Company, client_segments: nw.LazyFrame[Any]) -> Answer | Unanswered:
    """The ten most valuable clients, and the ten that cost most beyond what they bring, with their names.

    Value is lifetime value, or expected revenue without margins, or the revenue of the period where nothing
    can be forecast. Clients with the same figure stand in the order of their ids. Who bought less often than the year before, by
    more than chance explains, is marked: a forecast takes the rate of the whole history for lasting.

    Parameters
    ----------
    client_segments
        One row per client (``segments_clusters.client_segments``); intervals are shown where it holds ``clv_low`` and
        ``clv_high`` (``clv_revenue_low``, ``clv_revenue_high``).
    """
    known = collect(
        client_segments.select(*(nw.col(c).count() for c in ("clv", "clv_revenue", "contribution")), n=nw.len())
    ).iloc[0]
    worth = next((column for column in ("clv", "clv_revenue") if known[column]), "revenue")
    rankings = [_Ranking(worth, True, "worth most")]
    if known["contribution"]:
        rankings.append(_Ranking("contribution", False, "costs most beyond its margin"))
    lists = [_ranked(data, settings, client_segments, ranking) for ranking in rankings]
    rows = pd.concat(lists, ignore_index=True)
    if rows.empty:
        return Unanswered("segments.matrix", "no client has a value or a revenue to be ranked by.", ("won deals with an amount",))
    ends = [f"{worth}{end}" for end in ("_low", "_high") if f"{worth}{end}" in rows]
    columns = ["reason", "client", "segment", "strategy", "revenue", "contribution", worth, *ends]
    columns += ["alive_share", "fewer_purchases"]
    shown = rows[list(dict.fromkeys(columns))].dropna(axis="columns", how="all")
    return Answer(
        sentence=_sentence(client_segments, lists, worth, settings),
        table=shown,
        caption="Clients to look at first, the most remarkable on top",
        labels={
            "reason": "Why",
            "alive_share": "Chance of still being a client",
            "fewer_purchases": "Far fewer purchases than the year before",
            "clv": f"Value, {settings.lifetime_value.horizon_months} months",
            "clv_revenue": f"Expected revenue, {settings.lifetime_value.horizon_months} months",
            **{end: "95% from" if end.endswith("_low") else "to" for end in ends},
        },
    )


def _ranked(data: Canonical, settings: Company, client_segments: nw.LazyFrame[Any], ranking: _Ranking) -> pd.DataFrame:
    """The first names of a ranking; only gains are ranked from the top, only losses from the bottom."""
    value = nw.col(ranking.column)
    counted = client_segments.filter(value > 0 if ranking.descending else value < 0)
    ordered = counted.sort(ranking.column, "client_id", descending=[ranking.descending, False]).head(NAMES)
    named = ordered.join(data.scan("clients").select("client_id", "name"), on="client_id", how="left")
    rows = collect(named).sort_values([ranking.column, "client_id"], ascending=[not ranking.descending, True], ignore_index=True)
    years = yearly_purchases(data, settings).with_columns(fewer=bought_fewer()).filter(nw.col("fewer"))
    fewer = collect(years.filter(nw.col("client_id").is_in(rows["client_id"].tolist())).select("client_id", *_YEARS))
    words = {row.client_id: f"{row.orders:.0f} after {row.orders_before:.0f}" for row in fewer.itertuples()}
    return rows.assign(
        fewer_purchases=rows["client_id"].map(words).astype(object),
        reason=ranking.reason,
        client=rows["name"].where(rows["name"].notna(), rows["client_id"]),
        alive_share=rows["p_alive"],
    )


def _sentence(client_segments: nw.LazyFrame[Any], lists: list[pd.DataFrame], worth: str, settings: Company) -> str:
    words = [_best_words(client_segments, lists[0], worth, settings.currency)]
    if len(lists) > 1:
        words.append(_loss_words(client_segments, lists[1], settings.currency))
    return " ".join(word for word in words if word)


def _best_words(client_segments: nw.LazyFrame[Any], best: pd.DataFrame, worth: str, currency: str) -> str:
    if best.empty:
        return ""
    what = {"clv": "value", "clv_revenue": "expected revenue", "revenue": "revenue of the period"}[worth]
    total, held = float(collect(client_segments.select(nw.col(worth).sum()))[worth].iloc[0]), float(best[worth].sum())
    many = "The client worth most holds" if len(best) == 1 else f"The {len(best)} clients worth most hold"
    # Where others' values are negative, a part can be more than the whole, and a share of it would mislead.
    share = f", {formats.share(held / total)} of the base's {what}" if total >= held else f" of {what}"
    return f"{many} {formats.money_short(held, currency)}{share}.{_first_words(best, worth, currency)}{_fewer_words(best, worth)}"


def _first_words(best: pd.DataFrame, worth: str, currency: str) -> str:
    """How sure a single client's value is: the interval of the first one."""
    low, high = f"{worth}_low", f"{worth}_high"
    if low not in best or high not in best:
        return ""
    span = formats.interval(best[low].iloc[0], best[high].iloc[0], lambda value: formats.money_short(value, currency))
    if span == formats.NOTHING:
        return ""
    whose = "It may" if len(best) == 1 else "The first of them may"
    return f" {whose} bring anything from {span} (95% interval): a single client is far less sure than the sum."


def _fewer_words(best: pd.DataFrame, worth: str) -> str:
    """Whose purchases fell though the forecast takes their former rate for lasting; a contract's value has no such rate."""
    fell = best[best["fewer_purchases"].notna() & best["p_alive"].notna()]
    if "population" in fell:
        fell = fell[fell["population"] != CONTRACT]
    if fell.empty or worth == "revenue":
        return ""
    whose = "its" if len(fell) == 1 else "their"
    what = {"clv": "value", "clv_revenue": "expected revenue"}[worth]
    who = formats.join(fell["client"].astype(str).tolist())
    return f" {who} bought far less often than the year before: {whose} {what} assumes the former rate, and may be much too high."


def _loss_words(client_segments: nw.LazyFrame[Any], losing: pd.DataFrame, currency: str) -> str:
    if losing.empty:
        return "No client costs more than its margin."
    losses = collect(client_segments.filter(nw.col("contribution") < 0).select(nw.col("contribution").sum(), n=nw.len())).iloc[0]
    given, count = formats.money_short(-float(losing["contribution"].sum()), currency), int(losses["n"])
    if count == 1:
        return f"One client costs {given} more than its margin."
    if count <= len(losing):
        return f"{count} clients cost {given} more than their margin."
    of_all = formats.money_short(-float(losses["contribution"]), currency)
    most = f"The {len(losing)} that cost most beyond their margin account for {given}"
    return f"{most} of the {of_all} that {count} such clients give back."
