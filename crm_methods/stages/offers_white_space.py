"""Who lacks what its peers have, and what that is worth. A room of stage 3.

``P(B | A, peers)``: how common product B is among clients of the same segment and industry
(small groups lean on wider ones), raised where the client has a product A that goes together
with B. Clients × products never leave the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import current_period
from crm_methods.company.settings import Company
from crm_methods.engine import collect
from crm_methods.models.rates import NORMAL_95
from crm_methods.stages.offers_products import MIN_CLIENTS, GoesTogether, len_of, minimum_support
from crm_methods.stages.offers_profile import nth

PEER_WEIGHT = 20.0
"""A group's share leans on the wider group's as if that had this many clients of its own."""
CANDIDATES = 40
"""Products tried per group of peers: those with the largest expected value."""
_CEILING = 0.95


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class WhiteSpace(Answer):
    """What clients lack and their peers have.

    ``next_products`` (lazy) has one row per client and proposed product: ``client_id``, ``place`` (1 = first),
    ``product_id``,
    ``product``, ``category``, ``probability`` (share of such clients that have it), ``partner_product``,
    ``partner_lift``, ``peers``,
    ``buyer_revenue`` and ``buyer_margin`` (what a buyer of the segment brings with it in a year), ``uptake_share``,
    ``expected_revenue``, ``expected_margin`` (in the coming year: uptake × probability × the buyer's; margin NULL
    without cost data).
    """

    next_products: nw.LazyFrame[Any]
    in_margin: bool
    uptake: Uptake


@dataclass(frozen=True, slots=True, eq=False)
class Uptake:
    """How many of the proposals that could have been made a period ago clients took up unasked.

    ``rates`` has one row per group (``buying``: bought a product in the period before; ``dormant``: did not): ``clients``,
    ``uptake_share`` with ``low_share`` and ``high_share`` (95 %, one client as one draw): products bought per product
    that the
    probabilities promised. Without earlier purchases to look at, ``known`` is False and the shares are 1. ``hit_share`` and
    ``popular_hit_share`` compare the proposals with simply proposing what is most popular.
    """

    rates: pd.DataFrame
    known: bool = False
    hit_share: float = float("nan")
    popular_hit_share: float = float("nan")

    def share_of(self, group: str) -> float:
        """Uptake of a group of clients."""
        return float(self.rates.set_index("group").loc[group, "uptake_share"])


@answers("offers.white_space")
def white_space(
    data: Canonical,
    settings: Company,
    bought: nw.LazyFrame[Any],
    profile: nw.LazyFrame[Any],
    together: GoesTogether | None = None,
) -> WhiteSpace | Unanswered:
    """The products each client lacks, by what they are expected to bring in a year.

    Parameters
    ----------
    bought
        One row per client and product, from ``client_products``.
    profile
        One row per client: ``client_id``, ``segment``, ``industry``, ``buys_products``.
    together
        Pairs that go together; without it only peers count.

    Returns
    -------
    WhiteSpace
        At most ``offers.next_products`` products per client. ``table``: one row per product.
    """
    placed = profile.select("client_id", "segment", nw.col("industry").fill_null("").alias("industry"), "buys_products")
    lines = bought.join(placed, on="client_id", how="inner")
    buyers = len_of(lines.select("client_id").unique())
    support = minimum_support(buyers)
    peers = _peers(lines, support, settings)
    if peers.empty:
        return Unanswered(
            "offers.white_space", f"no product has the {formats.plural(support, 'client')} it takes to call it usual."
        )
    in_margin = data.has("deals", "margin")
    uptake = _uptake(data, settings, lines, placed)
    worth = "buyer_margin" if in_margin else "buyer_revenue"
    ranked = _ranked(data, placed, lines, peers, _evidence(together), worth, settings.offers.next_products)
    shares = (
        nw.when(nw.col("buys_products")).then(nw.lit(uptake.share_of("buying"))).otherwise(nw.lit(uptake.share_of("dormant")))
    )
    expected = nw.col("probability") * nw.col("uptake_share")
    margin = expected * nw.col("buyer_margin") if in_margin else nw.lit(None, dtype=nw.Float64)
    found = ranked.with_columns(shares.alias("uptake_share")).with_columns(
        (expected * nw.col("buyer_revenue")).alias("expected_revenue"), margin.alias("expected_margin")
    )
    table = _by_product(found, "expected_margin" if in_margin else "expected_revenue")
    return WhiteSpace(
        sentence=_sentence(table, uptake, in_margin, settings),
        table=table.head(15),
        caption="Products proposed to the clients that lack them, and what they are expected to bring in a year "
        + ("at the uptake of the past" if uptake.known else "if all were taken up: a ceiling"),
        labels={"clients": "Proposed to", "first_for": "As first choice to", "mean_probability_share": "Their peers have it"},
        next_products=found,
        in_margin=in_margin,
        uptake=uptake,
    )


def _peers(lines: nw.LazyFrame[Any], support: int, settings: Company) -> pd.DataFrame:
    """One row per group of peers and product: how common it is there, and what a buyer brings with it in a year."""
    rates = _rates(lines, support)
    yearly = 12 / current_period(settings).months
    inside = lines.filter(nw.col("in_period"))
    sums = [
        nw.col("period_revenue").sum().alias("revenue"),
        nw.col("period_margin").sum().alias("margin"),
        nw.len().alias("buyers"),
    ]
    everywhere = collect(inside.group_by("product_id", "product", "category").agg(*sums))
    by_segment = collect(inside.group_by("product_id", "segment").agg(*sums))
    both = rates.merge(everywhere, on="product_id").merge(
        by_segment, on=["product_id", "segment"], how="left", suffixes=("", "_here")
    )
    own = (both["buyers_here"] >= MIN_CLIENTS).to_numpy()
    worth = {
        f"buyer_{what}": np.where(own, both[f"{what}_here"] / both["buyers_here"], both[what] / both["buyers"]) * yearly
        for what in ("revenue", "margin")
    }
    return both.assign(**worth)[
        ["segment", "industry", "product_id", "product", "category", "rate", "peers", "buyer_revenue", "buyer_margin"]
    ]


def _rates(has: nw.LazyFrame[Any], support: int) -> pd.DataFrame:
    """Share of each group's clients that have each product with enough buyers: group, segment and base lean on each other.

    Beta-binomial shrinkage: ``(n_B + w · wider share) / (n + w)``, ``w = PEER_WEIGHT``.
    """
    cells = collect(
        has.select("client_id", "segment", "industry").unique().group_by("segment", "industry").agg(nw.len().alias("peers"))
    )
    counts = collect(has.group_by("segment", "industry", "product_id").agg(nw.len().alias("n")))
    total = counts.groupby("product_id")["n"].sum()
    total = total[total >= support]
    grid = cells.merge(total.rename("n_all").reset_index(), how="cross")
    grid = grid.merge(counts, on=["segment", "industry", "product_id"], how="left").fillna({"n": 0})
    of_segment = grid.groupby(["segment", "product_id"])
    base = grid["n_all"] / cells["peers"].sum() if len(cells) else 0.0
    segment = (of_segment["n"].transform("sum") + PEER_WEIGHT * base) / (of_segment["peers"].transform("sum") + PEER_WEIGHT)
    return grid.assign(rate=(grid["n"] + PEER_WEIGHT * segment) / (grid["peers"] + PEER_WEIGHT))


def _evidence(together: GoesTogether | None) -> pd.DataFrame:
    """One row per proven pair: who has ``product_id`` has ``with_product_id`` ``partner_lift`` times as often."""
    columns = {
        "product_id": "str",
        "with_product_id": "str",
        "partner_product": "str",
        "partner_lift": "float64",
        "partner_share": "float64",
    }
    if together is None or together.pairs.empty:
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})
    proven = together.pairs[together.pairs["goes_together"]]
    found = proven.assign(
        partner_product=proven["product"],
        partner_lift=proven["lift_among_peers"],
        partner_share=proven["both_clients"] / proven["buyers"],
    )
    return found[list(columns)].astype(columns)


def _ranked(
    data: Canonical,
    placed: nw.LazyFrame[Any],
    has: nw.LazyFrame[Any],
    peers: pd.DataFrame,
    evidence: pd.DataFrame,
    worth: str,
    places: int,
) -> nw.LazyFrame[Any]:
    """The best products each client lacks: one row per client and product."""
    values = peers.assign(first=peers["rate"] * peers[worth])
    values = values[values["first"] > 0].sort_values(["first", "product_id"], ascending=[False, True])
    shortlist = values.groupby(["segment", "industry"]).head(CANDIDATES).drop(columns="first")
    candidates = placed.join(data.engine.frame(shortlist), on=["segment", "industry"], how="inner")
    lacking = candidates.join(has.select("client_id", "product_id"), on=["client_id", "product_id"], how="anti")
    # The strongest partner alone counts: several would tell the same thing twice.
    partners = (
        has.select("client_id", "product_id")
        .join(data.engine.frame(evidence), on="product_id", how="inner")
        .with_columns((-nw.col("partner_lift")).alias("descending"))
        .with_columns(nth(["client_id", "with_product_id"], ["descending", "product_id"]).alias("strength"))
    )
    strongest = partners.filter(nw.col("strength") == 1).select(
        "client_id", nw.col("with_product_id").alias("product_id"), "partner_product", "partner_lift"
    )
    raised = nw.col("rate") * nw.col("partner_lift").fill_null(1.0)
    scored = (
        lacking.join(strongest, on=["client_id", "product_id"], how="left")
        .with_columns(nw.when(raised > _CEILING).then(nw.lit(_CEILING)).otherwise(raised).alias("probability"))
        .with_columns((-(nw.col("probability") * nw.col(worth))).alias("descending"))
    )
    placed_last = scored.with_columns(nth(["client_id"], ["descending", "product_id"]).alias("place")).filter(
        nw.col("place") <= places
    )
    return placed_last.drop("descending", "rate", "segment", "industry")


def _uptake(data: Canonical, settings: Company, lines: nw.LazyFrame[Any], placed: nw.LazyFrame[Any]) -> Uptake:
    """Make the proposals of a period ago from what was known then, and see which of them came true.

    Peers are clients of the same industry: today's segment knows the last period's purchases already. Proposals are ranked
    by probability alone, since hits are counted and not money.
    """
    unknown = Uptake(
        pd.DataFrame({"group": ["buying", "dormant"], "clients": 0, "uptake_share": 1.0, "low_share": 0.0, "high_share": 1.0})
    )
    had = lines.filter(nw.col("before")).select(
        "client_id", "product_id", nw.lit("all").alias("segment"), "industry", "in_previous"
    )
    started = had.group_by("client_id").agg(nw.col("in_previous").max().alias("was_buying"))
    clients = len_of(started)
    peers = _rates(had, minimum_support(clients)) if clients >= MIN_CLIENTS else pd.DataFrame()
    if peers.empty:
        return unknown
    peers = peers.assign(product=peers["product_id"], category="", one=1.0, popularity=peers["n_all"] / peers["rate"])
    base = placed.select("client_id", nw.lit("all").alias("segment"), "industry").join(started, on="client_id", how="inner")
    taken = lines.filter(nw.col("in_period")).select("client_id", "product_id").with_columns(taken=nw.lit(1))
    ours, popular = (
        _judged(
            _ranked(data, base, had, peers, _evidence(None), worth, settings.offers.next_products).join(
                taken, on=["client_id", "product_id"], how="left"
            )
        )
        for worth in ("one", "popularity")
    )
    if len(ours) < MIN_CLIENTS or not ours["probability"].sum() > 0:
        return unknown
    groups = {"buying": ours[ours["was_buying"]], "dormant": ours[~ours["was_buying"]]}
    # A group too small to tell anything of its own has the uptake of all.
    rates = [{"group": name, **_ratio(group if len(group) >= MIN_CLIENTS else ours)} for name, group in groups.items()]
    return Uptake(pd.DataFrame(rates), True, float((ours["taken"] > 0).mean()), float((popular["taken"] > 0).mean()))


def _ratio(judged: pd.DataFrame) -> dict[str, float]:
    """Products taken up per product promised, its interval by linearisation with one client as one draw."""
    taken, promised, clients = judged["taken"].to_numpy(dtype=float), judged["probability"].to_numpy(), len(judged)
    share = float(min(taken.sum() / promised.sum(), 1.0))
    spread = float(np.sqrt(clients / max(clients - 1, 1) * ((taken - share * promised) ** 2).sum()) / promised.sum())
    return {
        "clients": clients,
        "uptake_share": share,
        "low_share": max(0.0, share - NORMAL_95 * spread),
        "high_share": min(1.0, share + NORMAL_95 * spread),
    }


def _judged(proposed: nw.LazyFrame[Any]) -> pd.DataFrame:
    """One row per client: what its proposals promised, and how many it took up."""
    sums = (
        proposed.with_columns(nw.col("taken").fill_null(0))
        .group_by("client_id", "was_buying")
        .agg(nw.col("probability").sum(), nw.col("taken").sum())
    )
    judged = collect(sums).sort_values("client_id", ignore_index=True)
    return judged.assign(was_buying=judged["was_buying"].astype(bool))


def _by_product(found: nw.LazyFrame[Any], worth: str) -> pd.DataFrame:
    first = nw.when(nw.col("place") == 1).then(nw.lit(1)).otherwise(nw.lit(0)).alias("is_first")
    table = collect(
        found.with_columns(first)
        .group_by("product", "category")
        .agg(
            nw.len().alias("clients"),
            nw.col("is_first").sum().alias("first_for"),
            nw.col("probability").mean().alias("mean_probability_share"),
            nw.col(worth).sum(),
        )
    )
    return table.sort_values([worth, "product"], ascending=[False, True], ignore_index=True)


def _sentence(table: pd.DataFrame, uptake: Uptake, in_margin: bool, settings: Company) -> str:
    worth = "margin" if in_margin else "revenue"
    if table.empty:
        return "No client lacks a product that its peers have."
    best, total = table.iloc[0], table[f"expected_{worth}"].sum()
    said = (
        f"What clients lack and their peers have is worth {formats.money_short(float(total), settings.currency)} of "
        f"{worth} a year; {best['product']} leads with "
        f"{formats.money_short(float(best[f'expected_{worth}']), settings.currency)}, proposed to "
        f"{formats.plural(best['clients'], 'client')}."
    )
    if not uptake.known:
        return f"{said} This is a ceiling: too few earlier purchases to see how many proposals clients take up."
    rates = uptake.rates.set_index("group")
    words = {"buying": "from clients that bought in the period before", "dormant": "from those that did not"}
    shares = [f"{_with_interval(rates.loc[group])} {said_of}" for group, said_of in words.items()]
    better = "better than" if uptake.hit_share > uptake.popular_hit_share else "no better than"
    return (
        f"{said} That counts only what clients took up unasked from {current_period(settings).label}, of what the "
        "same reckoning had promised: "
        f"{formats.join(shares)}. In that test {formats.share(uptake.hit_share, 1)} of clients bought one of their "
        f"proposals, {better} "
        f"when everybody is proposed what is most popular ({formats.share(uptake.popular_hit_share, 1)})."
    )


def _with_interval(rate: pd.Series[Any]) -> str:
    low, high = (formats.share(rate[name], 1) for name in ("low_share", "high_share"))
    return f"{formats.share(rate['uptake_share'], 1)} ({low} to {high})"
