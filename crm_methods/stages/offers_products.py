"""What each segment buys, and which products clients have together. A room of stage 3.

Everything is counted at the level of clients, since a client's tenth order of a product is
no tenth witness. Counting is done in the engine; what comes back has a row per segment and
product, or per pair of products with enough buyers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import current_period
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import SEGMENT_LABELS, segment_label
from crm_methods.engine import collect
from crm_methods.models.rates import NORMAL_95, wilson_interval

MIN_CLIENTS = 15
MIN_SHARE = 0.01
FALSE_DISCOVERIES = 0.05
"""Support a product or a pair needs, and the share of false findings allowed among those reported."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Penetration(Answer):
    """What each segment buys.

    ``products`` has one row per segment and product (``segment``, ``product_id``, ``product``, ``category``, ``clients``,
    ``buyers``, ``penetration_share`` with ``low_share`` and ``high_share`` (Wilson 95 %), ``ever_buyers``, ``ever_share``);
    ``table`` one row per category with a share per segment.
    """

    products: pd.DataFrame
    segments: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GoesTogether(Answer):
    """Pairs of products that clients have together more often than by chance.

    ``pairs`` has one row per ordered pair with support: ``product_id``, ``with_product_id``, ``product``, ``with_product``,
    ``buyers``, ``with_buyers``, ``both_clients``, ``lift`` (``lift_low``, ``lift_high``: 95 %), ``p_value``, ``q_value``,
    ``lift_among_peers``, ``peers_q_value``, ``goes_together``. ``tests`` is the number of pairs tried.
    """

    pairs: pd.DataFrame
    tests: int


@answers("offers.penetration")
def penetration(
    data: Canonical, settings: Company, bought: nw.LazyFrame[Any], profile: nw.LazyFrame[Any]
) -> Penetration | Unanswered:
    """Share of each segment's clients that bought each product, and each category, in the period.

    Parameters
    ----------
    bought
        One row per client and product, from ``client_products``.
    profile
        One row per client (``client_id``, ``segment``).
    """
    lines = bought.join(profile.select("client_id", "segment"), on="client_id", how="inner")
    sizes = collect(profile.group_by("segment").agg(nw.len().alias("clients")))
    products = _shares(lines, ["product_id", "product", "category"], sizes)
    categories = _shares(lines, ["category"], sizes)
    if products.empty:
        return Unanswered("offers.penetration", "no line of a won deal belongs to a client of the base.")
    segments = ordered_segments(sizes["segment"].tolist())
    table = categories.pivot(index="category", columns="segment", values="penetration_share").reindex(columns=list(segments))
    table = table.rename(columns=lambda s: f"{s}_share").reset_index()
    table = table[table.drop(columns="category").max(axis=1) > 0]
    table = table.sort_values(list(table.columns[1:]), ascending=False, ignore_index=True)
    period = current_period(settings)
    return Penetration(
        sentence=_penetration_sentence(products, segments),
        table=table,
        caption=f"Share of each segment's clients that bought a category, {period.label}; all of a segment's clients "
        "count, also those "
        "that bought nothing.",
        labels={f"{s}_share": segment_label(s) for s in segments},
        products=products,
        segments=segments,
    )


@answers("offers.goes_together")
def goes_together(data: Canonical, bought: nw.LazyFrame[Any], profile: nw.LazyFrame[Any]) -> GoesTogether | Unanswered:
    """Pairs of products that the same clients have, by lift, with what remains of it among peers.

    ``lift(A→B) = N · n_AB / (n_A · n_B)`` counts clients over all years; N are the clients that bought any product.
    A pair must have ``max(1 %, 15 clients)``; its one-sided hypergeometric p-value is corrected over *all* pairs of
    products with that support (Benjamini & Hochberg 1995). Peers are clients of the same segment and industry: there the
    expected count is ``Σ n_Ak n_Bk / N_k`` and the test is Mantel and Haenszel's, since large clients buy
    more of everything and an industry has products of its own; neither is a reason to sell one with the other.

    References
    ----------
    Brin, Motwani, Ullman & Tsur (1997), "Dynamic itemset counting" (lift, there called interest).
    Mantel & Haenszel (1959), eq. for the variance of the hypergeometric count per stratum.
    """
    placed = profile.select("client_id", "segment", nw.col("industry").fill_null("").alias("industry"))
    has = bought.select("client_id", "product_id", "product").join(placed, on="client_id", how="inner")
    clients = len_of(has.select("client_id").unique())
    support = minimum_support(clients)
    names = collect(has.group_by("product_id", "product").agg(nw.len().alias("buyers")))
    names = names[names["buyers"] >= support]
    if len(names) < 2:
        return Unanswered(
            "offers.goes_together", f"fewer than two products have {formats.plural(support, 'client')}, the least for a pair."
        )
    kept = has.filter(nw.col("product_id").is_in(names["product_id"].tolist()))
    pairs = _pair_counts(kept, names)
    tests = len(names) * (len(names) - 1) // 2
    tested = _tested(pairs[pairs["both_clients"] > 0], clients, tests)
    tested = tested.merge(_among_peers(kept, has), on=["product_id", "with_product_id"], how="left")
    tested = tested.assign(peers_q_value=_benjamini_hochberg(tested["peers_p_value"].to_numpy(), tests))
    shown = tested[tested["both_clients"] >= support]
    proven = (
        (shown["q_value"] <= FALSE_DISCOVERIES) & (shown["peers_q_value"] <= FALSE_DISCOVERIES) & (shown["lift_among_peers"] > 1)
    )
    shown = shown.assign(goes_together=proven).sort_values(["lift", "product_id"], ascending=[False, True], ignore_index=True)
    return GoesTogether(
        sentence=_pairs_sentence(shown, tests, support),
        table=_pairs_table(shown),
        caption=f"Pairs of products that at least {support} of {clients:,} clients have together, by lift; all years. "
        "A verdict needs a lift "
        "above 1 that is not explained by segment or industry.",
        labels={
            "with_product": "Together with",
            "both_clients": "Clients with both",
            "lift_low": "From",
            "lift_high": "To",
            "lift_among_peers": "Lift among peers",
            "q_value": "Q-value",
        },
        pairs=_both_ways(shown),
        tests=tests,
    )


def minimum_support(clients: int) -> int:
    """Clients that a product or a pair needs: 1 % of them, and at least 15."""
    return max(MIN_CLIENTS, int(np.ceil(MIN_SHARE * clients)))


def ordered_segments(segments: list[str]) -> tuple[str, ...]:
    """Segments in the matrix's order, clusters after them by name."""
    known = [s for s in SEGMENT_LABELS if s in segments]
    return (*known, *sorted({str(s) for s in segments} - set(known)))


def len_of(frame: nw.LazyFrame[Any]) -> int:
    """Number of rows of a lazy frame."""
    return int(collect(frame.select(nw.len().alias("rows")))["rows"].iloc[0])


def _shares(lines: nw.LazyFrame[Any], by: list[str], sizes: pd.DataFrame) -> pd.DataFrame:
    """A row per segment and product (or category), also where nobody of the segment bought it."""
    keys = ["segment", *by]
    ever = collect(lines.group_by(*keys).agg(nw.col("client_id").n_unique().alias("ever_buyers")))
    now = collect(lines.filter(nw.col("in_period")).group_by(*keys).agg(nw.col("client_id").n_unique().alias("buyers")))
    grid = ever[by].drop_duplicates().merge(sizes, how="cross")
    full = grid.merge(ever, on=keys, how="left").merge(now, on=keys, how="left").fillna({"ever_buyers": 0, "buyers": 0})
    full = full.astype({"buyers": "int64", "ever_buyers": "int64"})
    bounds = np.array([wilson_interval(b, n) for b, n in zip(full["buyers"], full["clients"], strict=True)]).reshape(-1, 2)
    full = full.assign(
        penetration_share=full["buyers"] / full["clients"],
        low_share=bounds[:, 0],
        high_share=bounds[:, 1],
        ever_share=full["ever_buyers"] / full["clients"],
    )
    columns = [*keys, "clients", "buyers", "penetration_share", "low_share", "high_share", "ever_buyers", "ever_share"]
    return full[columns].sort_values(keys, ignore_index=True)


def _penetration_sentence(products: pd.DataFrame, segments: tuple[str, ...]) -> str:
    total = products.groupby(["product_id", "product"])[["buyers", "clients"]].sum().reset_index()
    best = total.sort_values(["buyers", "product_id"], ascending=[False, True]).iloc[0]
    said = (
        f"The product most clients bought in the period is {best['product']}: "
        f"{formats.number(best['buyers'])} of {formats.plural(best['clients'], 'client')}."
    )
    spread = products.groupby("product_id")["penetration_share"].agg(lambda s: s.max() - s.min())
    if len(segments) < 2 or not spread.max() > 0:
        return said
    rows = products[products["product_id"] == spread.idxmax()].sort_values("penetration_share", ascending=False)
    high, low = rows.iloc[0], rows.iloc[-1]
    apart = high["low_share"] > low["high_share"]
    return (
        f"{said} Segments differ most in {high['product']}: {formats.share(high['penetration_share'])} of the segment "
        f"{segment_label(high['segment'])} bought it, {formats.share(low['penetration_share'])} of "
        f"{segment_label(low['segment'])}; "
        + ("their 95% intervals do not overlap." if apart else "with so few clients, chance alone may do that.")
    )


def _pair_counts(has: nw.LazyFrame[Any], names: pd.DataFrame) -> pd.DataFrame:
    """Clients that have both products of each unordered pair."""
    other = has.select("client_id", nw.col("product_id").alias("with_product_id"))
    counted = has.join(other, on="client_id", how="inner").filter(nw.col("product_id") < nw.col("with_product_id"))
    pairs = collect(counted.group_by("product_id", "with_product_id").agg(nw.len().alias("both_clients")))
    right = names.rename(columns=lambda c: f"with_{c}")
    return pairs.merge(names, on="product_id").merge(right, on="with_product_id")


def _tested(pairs: pd.DataFrame, clients: int, tests: int) -> pd.DataFrame:
    # scipy.stats costs half a second, which companies without products need not wait for.
    from scipy.stats import hypergeom

    both, a, b = (pairs[c].to_numpy(dtype=float) for c in ("both_clients", "buyers", "with_buyers"))
    lift = clients * both / (a * b)
    # Delta method on log lift with one client as one draw: Var = (1/p_AB − 1/p_A − 1/p_B + 2·lift − 1)/N.
    spread = np.sqrt(np.maximum(clients / both - clients / a - clients / b + 2 * lift - 1, 0) / clients)
    p_value = hypergeom.sf(both - 1, clients, a, b)
    return pairs.assign(
        lift=lift,
        lift_low=lift * np.exp(-NORMAL_95 * spread),
        lift_high=lift * np.exp(NORMAL_95 * spread),
        p_value=p_value,
        q_value=_benjamini_hochberg(p_value, tests),
    )


def _among_peers(kept: nw.LazyFrame[Any], has: nw.LazyFrame[Any]) -> pd.DataFrame:
    """Lift and one-sided p-value of each pair within strata of segment and industry."""
    from scipy.stats import norm

    strata = ["segment", "industry"]
    sizes = collect(has.select("client_id", *strata).unique().group_by(*strata).agg(nw.len().alias("n")))
    single = collect(kept.group_by(*strata, "product_id").agg(nw.len().alias("a")))
    other = kept.select("client_id", nw.col("product_id").alias("with_product_id"))
    both = kept.join(other, on="client_id", how="inner").filter(nw.col("product_id") < nw.col("with_product_id"))
    observed = collect(both.group_by("product_id", "with_product_id").agg(nw.len().alias("observed")))
    right = single.rename(columns={"product_id": "with_product_id", "a": "b"})
    cells = single.merge(right, on=strata).merge(sizes, on=strata)
    cells = cells[cells["product_id"] < cells["with_product_id"]]
    a, b, n = (cells[c].to_numpy(dtype=float) for c in ("a", "b", "n"))
    variance = np.where(n > 1, a * b * (n - a) * (n - b) / (n**2 * np.maximum(n - 1, 1)), 0.0)
    sums = (
        cells.assign(expected=a * b / n, variance=variance)
        .groupby(["product_id", "with_product_id"])[["expected", "variance"]]
        .sum()
    )
    joined = observed.merge(sums.reset_index(), on=["product_id", "with_product_id"])
    deviation = np.sqrt(np.maximum(joined["variance"].to_numpy(), 1e-12))
    # Half a client off for continuity, as Mantel and Haenszel do.
    z = (joined["observed"].to_numpy() - joined["expected"].to_numpy() - 0.5) / deviation
    joined = joined.assign(lift_among_peers=joined["observed"] / joined["expected"], peers_p_value=norm.sf(z))
    return joined[["product_id", "with_product_id", "lift_among_peers", "peers_p_value"]]


def _benjamini_hochberg(p_values: NDArray[np.float64], tests: int) -> NDArray[np.float64]:
    """Q-values when the ``tests`` − len(p_values) pairs not given have p = 1 (Benjamini & Hochberg 1995)."""
    order = np.argsort(p_values)
    scaled = p_values[order] * tests / np.arange(1, len(p_values) + 1)
    q_values = np.empty(len(p_values))
    q_values[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q_values


def _both_ways(pairs: pd.DataFrame) -> pd.DataFrame:
    swapped = pairs.rename(
        columns={
            c: c.removeprefix("with_") if c.startswith("with_") else f"with_{c}"
            for c in ("product_id", "product", "buyers", "with_product_id", "with_product", "with_buyers")
        }
    )
    both = pd.concat([pairs, swapped[pairs.columns]], ignore_index=True)
    return both.sort_values(["product_id", "with_product_id"], ignore_index=True)


def _pairs_table(pairs: pd.DataFrame) -> pd.DataFrame:
    verdict = np.select(
        [pairs["goes_together"], pairs["q_value"] <= FALSE_DISCOVERIES],
        ["goes together", "explained by segment or industry"],
        "not proven",
    )
    columns = ["product", "with_product", "both_clients", "lift", "lift_low", "lift_high", "lift_among_peers", "q_value"]
    return pairs[columns].assign(verdict=verdict).head(12)


def _pairs_sentence(pairs: pd.DataFrame, tests: int, support: int) -> str:
    proven = pairs[pairs["goes_together"]]
    tried = f"{formats.plural(tests, 'pair')} of products {'was' if tests == 1 else 'were'} tried"
    if proven.empty:
        return (
            f"No two products go together beyond what segment and industry explain; {tried}, each with at least "
            f"{support} clients a product."
        )
    best = proven.iloc[0]
    others = len(proven) - 1
    more = f" {formats.plural(others, 'more pair')} {'passes' if others == 1 else 'pass'} the same test." if others else ""
    return (
        f"{best['product']} and {best['with_product']} go together most: "
        f"{formats.plural(best['both_clients'], 'client')} have both, "
        f"{formats.number(best['lift'], 1)} times as many as by chance (95% interval {formats.number(best['lift_low'], 1)} to "
        f"{formats.number(best['lift_high'], 1)}; {formats.number(best['lift_among_peers'], 1)} among peers).{more} "
        f"{tried[:1].upper()}{tried[1:]}, "
        "and false findings among those that pass are kept to 5%."
    )
