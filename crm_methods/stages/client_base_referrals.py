"""Stage 1: clients that came by referral, what they bring, and who refers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray
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
MAX_ORIGINS = 100_000
"""Of more different texts the commonest are read; the origin of clients with another is unknown."""
MIN_COMPARED = 10
"""Of fewer clients on either side nothing is said about what they bring: a mean of so few skewed amounts is nearly all chance."""
MAX_COMPARED = 100_000
"""Of more clients on a side every second, third … by ``client_id`` is dealt anew."""
SIGNIFICANT = 0.05
PERMUTATIONS = 2_000


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
    origins = _read_origins(data)
    read = data.engine.frame(origins if len(origins) else pd.DataFrame({"acquired_via": [""], "read_as": ["other"]}))
    # A client can't refer itself: that is a slip of whoever filled the field.
    named = nw.when(nw.col("referred_by") == nw.col("client_id")).then(nw.lit(None, nw.String)).otherwise(nw.col("referred_by"))
    clients = clients.with_columns(referred_by=named).join(read, on="acquired_via", how="left")
    written = nw.col("read_as").fill_null("unknown")
    marked = clients.with_columns(origin=nw.when(~nw.col("referred_by").is_null()).then(nw.lit("referred")).otherwise(written))
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
        Mean revenue with a t interval per origin. A difference is claimed where fewer than 5% of the permutations of the
        origins show one as large; the interval beside it, Welch's, only describes it.

    Notes
    -----
    Revenue per client is so skewed that t intervals of a few clients miss the truth far too often. With both kinds alike,
    every permutation of the origins is as likely as the one seen, so the test is exact whatever the skew. p is twice the
    smaller of (1 + draws at least as high) and (1 + draws at least as low), over 1 + draws.

    References
    ----------
    Good (2005), "Permutation, Parametric and Bootstrap Tests of Hypotheses", ch. 3: comparing two samples; Phipson & Smyth
    (2010), "Permutation p-values should never be zero", Stat. Appl. Genet. Mol. Biol. 9(1).
    """
    origins, sold = client_origins(data, facts), data.has("deals", "amount")
    counted = _by_origin(origins.filter(nw.col("deals_won_total") > 0) if sold else origins)
    whole = int(counted["clients"].sum())
    if not whole:
        return Unanswered("client_base.referrals", "no client has bought yet.", ("deals: won deals",))
    table = counted.assign(origin=counted["origin"].map(ORIGINS), clients_share=counted["clients"] / whole)
    money = ["revenue", "mean_revenue", "low_revenue", "high_revenue"] if sold else []
    sentence = _origin_sentence(counted, whole, sold)
    compared = _comparison(counted, origins, settings) if sold else ""
    return Referrals(
        sentence=" ".join(part for part in (sentence, _unread_sentence(data), compared) if part),
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


def permutation_p_value(referred: NDArray[Any], other: NDArray[Any], seed: int) -> float:
    """The chance of a difference of means at least as large, in the same direction or the other, if origins meant nothing.

    Parameters
    ----------
    referred, other
        Revenue of each client of either kind, at least one of each.
    seed
        Seed of the permutations.
    """
    rng, both = np.random.default_rng(seed), np.sort(np.concatenate([referred, other]))
    fewer, is_referred_fewer = min(len(referred), len(other)), len(referred) <= len(other)
    # With the total fixed, the sum of the smaller side alone tells the difference of means.
    seen = float((referred if is_referred_fewer else other).sum())
    drawn = np.array([both[rng.choice(len(both), fewer, replace=False, shuffle=False)].sum() for _ in range(PERMUTATIONS)])
    slack = 1e-9 * float(np.abs(both).sum())
    high, low = int(np.sum(drawn >= seen - slack)), int(np.sum(drawn <= seen + slack))
    return min(1.0, 2 * (1 + min(high, low)) / (1 + PERMUTATIONS))


def _read_origins(data: Canonical) -> pd.DataFrame:
    """The commonest origins as they are written, ``acquired_via``, and what each is ``read_as``: referred or other."""
    written = data.scan("clients").filter(~nw.col("acquired_via").is_null()).group_by("acquired_via").agg(n=nw.len())
    commonest = written.sort("n", "acquired_via", descending=[True, False]).head(MAX_ORIGINS)
    origins = collect(commonest, ["acquired_via"], max_rows=MAX_ORIGINS).astype(object)
    return origins.assign(read_as=["referred" if is_referral(str(text)) else "other" for text in origins["acquired_via"]])


def _unread_sentence(data: Canonical) -> str:
    """How many different origins were too rare to be read."""
    written = data.scan("clients").select("acquired_via").filter(~nw.col("acquired_via").is_null()).unique()
    different = int(collect(written.select(n=nw.len()))["n"].iloc[0])
    if different <= MAX_ORIGINS:
        return ""
    return (
        f"Of {formats.number(different)} different texts that name an origin the {formats.number(MAX_ORIGINS)} commonest were"
        " read; clients with another count as unknown unless the client that referred them is named."
    )


def _comparison(counted: pd.DataFrame, origins: nw.LazyFrame[Any], settings: Company) -> str:
    """Revenue per referred client against the others of known origin, and whether it differs by more than chance."""
    rows = counted.set_index("origin")
    if not {"referred", "other"} <= set(rows.index) or rows.loc[["referred", "other"], "clients"].min() < MIN_COMPARED:
        return f"There are too few of either kind to compare what they bring: fewer than {MIN_COMPARED} of one."
    ours, others = _client_sums(rows.loc["referred"]), _client_sums(rows.loc["other"])
    means = [formats.money(sums.ratio, settings.currency) for sums in (ours, others)]
    text = f"In the period they bring {means[0]} each, clients that came otherwise {means[1]}"
    bought = origins.filter(nw.col("deals_won_total") > 0)
    revenues = [_revenues(bought, kind, int(rows.loc[kind, "clients"])) for kind in ("referred", "other")]
    p_value = permutation_p_value(revenues[0], revenues[1], settings.seed)
    p_said = "p < 0.01" if p_value < 0.01 else f"p = {math.floor(100 * p_value) / 100:.2f}"
    tested = "by permutation of the origins"
    if rows.loc[["referred", "other"], "clients"].max() > MAX_COMPARED:
        tested += f" among at most {formats.number(MAX_COMPARED)} clients of each kind, evenly by id"
    held = "Age and size of the clients are not held equal."
    if p_value >= SIGNIFICANT:
        return f"{text}: no more of a difference than chance gives ({p_said} {tested}). {held}"
    gap, half = ours.ratio - others.ratio, _welch_half_width(ours, others)
    span = formats.interval(gap - half, gap + half, lambda v: formats.money(v, settings.currency))
    more = f"{formats.money(abs(gap), settings.currency)} {'more' if gap > 0 else 'less'}"
    return f"{text}: {more} ({p_said} {tested}; approximate 95% interval of the difference {span}). {held}"


def _revenues(bought: nw.LazyFrame[Any], kind: str, clients: int) -> NDArray[Any]:
    """The revenue of each client of one kind, or of every second, third … by id where there are more than ``MAX_COMPARED``."""
    chosen = bought.filter(nw.col("origin") == kind).select("client_id", "revenue")
    every = -(-clients // MAX_COMPARED)
    if every > 1:
        placed = chosen.with_columns(one=nw.lit(1)).with_columns(place=nw.col("one").cum_sum().over(order_by="client_id"))
        chosen = placed.filter(nw.col("place") % every == 0)
    found: NDArray[Any] = collect(chosen, ["revenue"], max_rows=MAX_COMPARED)["revenue"].fillna(0.0).to_numpy(dtype=float)
    return found


def _welch_half_width(ours: ClientSums, others: ClientSums) -> float:
    a, b = ours.variance, others.variance
    if a + b == 0:
        return 0.0
    freedom = (a + b) ** 2 / (a**2 / (ours.clients - 1) + b**2 / (others.clients - 1))
    return float(stats.t.ppf(0.975, freedom)) * math.sqrt(a + b)


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
