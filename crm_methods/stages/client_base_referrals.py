"""Stage 1: clients that came by referral, what they bring, and who refers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd
from scipy import stats

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import current_period
from crm_methods.company.settings import Company
from crm_methods.engine import as_float, collect
from crm_methods.models import rates
from crm_methods.models.rates import ClientSums

REFERRAL_WORDS = (
    "refer", "recommend", "word of mouth", "word-of-mouth", "promoter", "empfehl", "weiterempf", "parrain", "recommand",
    "bouche", "recomend", "recomand", "raccomand", "passaparola", "aanbevel", "aanrad", "polecen", "doporu", "odporúč",
    "rekommend", "anbefal", "suositt", "tavsiye", "рекоменд", "сарафан", "по совету",
)  # fmt: skip
"""Parts of words by which an origin is told to be a referral, whatever the language and the letters' case."""
ORIGINS = {"referred": "by referral", "other": "otherwise", "unknown": "origin unknown"}
TOP_PROMOTERS = 10
MAX_ORIGINS = 10_000


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Referrals(Answer):
    """What referred clients bring: ``origins`` has one row per origin with its mean revenue and interval."""

    origins: pd.DataFrame


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Promoters(Answer):
    """Who refers: ``promoters`` has one row per client that brought others."""

    promoters: pd.DataFrame


def is_referral(origin: str) -> bool:
    """Whether an origin, as somebody wrote it down, says that the client was referred."""
    return any(word in origin.casefold() for word in REFERRAL_WORDS)


def client_origins(data: Canonical, facts: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """How each client came: ``referred`` (its origin says so, or the client that referred it is named), other or unknown.

    Returns
    -------
    narwhals.LazyFrame
        Key ``client_id``: ``origin``, ``referred_by``, and ``revenue``, ``deals_won_total`` of ``facts``.
    """
    clients = data.scan("clients").select("client_id", "acquired_via", "referred_by")
    written = collect(clients.select("acquired_via").unique(), max_rows=MAX_ORIGINS)["acquired_via"].dropna()
    words = [origin for origin in written.astype(str) if is_referral(origin)] or [""]
    # A client can't refer itself: that is a slip of whoever filled the field.
    named = nw.when(nw.col("referred_by") == nw.col("client_id")).then(nw.lit(None, nw.String)).otherwise(nw.col("referred_by"))
    clients = clients.with_columns(referred_by=named)
    referred = nw.col("acquired_via").is_in(words).fill_null(False) | ~nw.col("referred_by").is_null()
    origin = nw.when(nw.col("acquired_via").is_null()).then(nw.lit("unknown")).otherwise(nw.lit("other"))
    marked = clients.with_columns(origin=nw.when(referred).then(nw.lit("referred")).otherwise(origin))
    known = facts.select("client_id", revenue=as_float("revenue"), deals_won_total=nw.col("deals_won_total"))
    return marked.select("client_id", "origin", "referred_by").join(known, on="client_id", how="inner")


@answers("client_base.referrals")
def referrals(data: Canonical, settings: Company, facts: nw.LazyFrame[Any]) -> Referrals | Unanswered:
    """What clients that came by referral bring in the period, per client, against the others.

    Counted are clients that ever bought; a company without deals can only count clients.

    Parameters
    ----------
    facts
        ``client_facts``.

    Returns
    -------
    Referrals
        Mean revenue with a t interval per origin, and the difference with Welch's.
    """
    origins, sold = client_origins(data, facts), data.has("deals", "amount")
    counted = _by_origin(origins.filter(nw.col("deals_won_total") > 0) if sold else origins)
    whole = int(counted["clients"].sum())
    if not whole:
        return Unanswered("client_base.referrals", "no client has bought yet.", ("deals: won deals",))
    table = counted.assign(origin=counted["origin"].map(ORIGINS), clients_share=counted["clients"] / whole)
    money = ["revenue", "mean_revenue", "low_revenue", "high_revenue"] if sold else []
    sentence = _origin_sentence(counted, whole, sold)
    compared = _comparison(counted, settings) if sold else ""
    return Referrals(
        sentence=f"{sentence} {compared}".strip(),
        table=table[["origin", "clients", "clients_share", *money]],
        caption=f"Clients that ever bought, by origin; revenue ({settings.currency}) of {current_period(settings).label}",
        labels={
            "origin": "Came", "clients_share": "Of clients", "mean_revenue": "Per client", "low_revenue": "From",
            "high_revenue": "To",
        },
        origins=counted.drop(columns="revenue_squared"),
    )  # fmt: skip


@answers("client_base.referrals")
def promoters(data: Canonical, settings: Company, facts: nw.LazyFrame[Any]) -> Promoters | Unanswered:
    """The clients that brought others: how many, and the revenue of those they brought.

    Returns
    -------
    Promoters
        ``promoters``: ``client_id``, ``client``, ``state``, ``revenue`` of its own, ``clients_referred`` and
        ``referred_revenue`` of the period, the one that brought most clients first.
    """
    brought = client_origins(data, facts).filter(~nw.col("referred_by").is_null())
    summed = brought.group_by("referred_by").agg(clients_referred=nw.len(), referred_revenue=nw.col("revenue").sum())
    known = facts.select("client_id", "name", "state", own=as_float("revenue"))
    found = collect(summed.join(known, left_on="referred_by", right_on="client_id", how="left"))
    if found.empty:
        helps = ("clients.referred_by: the client that referred it",)
        return Unanswered("client_base.referrals", "no client names the one that referred it.", helps)
    strangers = found["state"].isna()
    listed = found[~strangers].rename(columns={"referred_by": "client_id", "own": "revenue"})
    listed = listed.assign(client=listed["name"].where(listed["name"].notna(), listed["client_id"]))
    order = ["clients_referred", "referred_revenue", "client_id"]
    listed = listed.sort_values(order, ascending=[False, False, True], ignore_index=True)
    columns = ["client", "state", "clients_referred", "referred_revenue", "revenue"]
    return Promoters(
        sentence=_promoter_sentence(listed, int(found.loc[strangers, "clients_referred"].sum()), settings),
        table=listed[columns].head(TOP_PROMOTERS),
        caption=f"Clients that brought most others; revenue ({settings.currency}) of {current_period(settings).label}",
        labels={"clients_referred": "Brought", "referred_revenue": "Revenue of those", "revenue": "Its own revenue"},
        promoters=listed[["client_id", *columns]],
    )


def _by_origin(origins: nw.LazyFrame[Any]) -> pd.DataFrame:
    """Clients, revenue and its mean with interval of each origin; one that nobody has is left out."""
    squared = origins.with_columns(revenue_squared=nw.col("revenue") * nw.col("revenue"))
    sums = collect(squared.group_by("origin").agg(nw.len().alias("clients"), nw.col("revenue", "revenue_squared").sum()))
    sums = sums.set_index("origin").reindex([name for name in ORIGINS if name in set(sums["origin"])])
    means = [rates.mean(_client_sums(row)) for row in sums.to_dict("records")]
    found = sums.assign(
        mean_revenue=[mean.estimate for mean in means], low_revenue=[mean.low for mean in means],
        high_revenue=[mean.high for mean in means],
    )  # fmt: skip
    return found.astype({name: float for name in found.columns if name != "clients"}).reset_index().astype({"clients": "int64"})


def _client_sums(row: Any) -> ClientSums:
    n, total = int(row["clients"]), float(row["revenue"])
    return ClientSums(
        clients=n, total=total, count=n, total_squared=float(row["revenue_squared"]), count_squared=n, total_by_count=total
    )


def _origin_sentence(counted: pd.DataFrame, whole: int, sold: bool) -> str:
    clients = counted.set_index("origin")["clients"].reindex(list(ORIGINS)).fillna(0).astype(int)
    that = f"{formats.plural(whole, 'client')} that ever bought" if sold else formats.plural(whole, "client")
    came = "came" if clients["referred"] != 1 else "has come"
    text = f"Of {that}, {formats.number(clients['referred'])} {came} by referral ({formats.share(clients['referred'] / whole)})"
    unknown = clients["unknown"]
    if not unknown:
        return f"{text}; the origin of every client is known."
    return f"{text}; of {formats.number(unknown)} ({formats.share(unknown / whole)}) the origin is unknown."


def _comparison(counted: pd.DataFrame, settings: Company) -> str:
    """Revenue per referred client against the others of known origin, with Welch's interval of the difference."""
    rows = counted.set_index("origin")
    if not {"referred", "other"} <= set(rows.index) or rows.loc[["referred", "other"], "clients"].min() < 2:
        return "There are too few of either kind to compare what they bring."
    ours, others = _client_sums(rows.loc["referred"]), _client_sums(rows.loc["other"])
    means = [formats.money(sums.ratio, settings.currency) for sums in (ours, others)]
    text = f"In the period they bring {means[0]} each, clients that came otherwise {means[1]}"
    a, b = ours.variance, others.variance
    if a + b == 0:
        return f"{text}."
    freedom = (a + b) ** 2 / (a**2 / (ours.clients - 1) + b**2 / (others.clients - 1))
    half = float(stats.t.ppf(0.975, freedom)) * math.sqrt(a + b)
    gap = ours.ratio - others.ratio
    span = formats.interval(gap - half, gap + half, lambda v: formats.money(v, settings.currency))
    if gap - half <= 0 <= gap + half:
        return f"{text}: no clear difference (95% interval of the difference {span})."
    return f"{text}: {formats.money(abs(gap), settings.currency)} {'more' if gap > 0 else 'less'} (95% interval {span})."


def _promoter_sentence(listed: pd.DataFrame, strangers: int, settings: Company) -> str:
    outside = f" {formats.plural(strangers, 'client')} {'names' if strangers == 1 else 'name'} somebody who is no client."
    if listed.empty:
        return f"No client of the list is named as the one that referred others.{outside}"
    brought, revenue = int(listed["clients_referred"].sum()), float(listed["referred_revenue"].sum())
    several = int((listed["clients_referred"] > 1).sum())
    text = (
        f"{formats.plural(len(listed), 'client')} brought {formats.plural(brought, 'other')}, with"
        f" {formats.money(revenue, settings.currency)} of revenue in the period;"
        f" {formats.number(several)} of them brought more than one."
    )
    lapsed = int((listed["state"] == "lapsed").sum())
    if lapsed:
        text += f" {formats.number(lapsed)} of these promoters {'has' if lapsed == 1 else 'have'} not bought in the period."
    return text + (outside if strangers else "")
