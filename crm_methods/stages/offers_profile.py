"""What stage 3 knows of each client: one row per client with every fact that offers.yml may name.

Second room of stage 3. All of it stays in the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods.company.intake import Canonical
from crm_methods.company.offers_plan import OffersPlan
from crm_methods.company.periods import Period, current_period, previous_period
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import SEGMENT_LABELS, STRATEGY_LABELS, segment_label
from crm_methods.engine import as_float, collect, day_number, day_of

REQUESTS = ("service", "complaint", "request", "support", "incident")
"""Kinds of interaction that are a client's request."""
_TREND_PURCHASES = 15
"""Pairs of client and product bought, in each period, before a product line is called a trend of a line of business."""


def client_products(data: Canonical, settings: Company) -> nw.LazyFrame[Any]:
    """What each client bought: one row per client and product with a won deal, returns included.

    Returns
    -------
    narwhals.LazyFrame
        Key ``client_id``, ``product_id``; ``product``, ``category``, ``revenue`` (all years), ``period_revenue``,
        ``period_margin`` (NULL where
        no cost is known), ``previous_revenue``, and whether it was bought ``in_period``, ``in_previous`` and
        ``before`` (up to the
        end of the previous period). What has no date counts as bought in the period.
    """
    period, previous = current_period(settings), previous_period(settings)
    inside = (nw.col("day") >= day_of(period.start)) | nw.col("day").is_null()
    in_previous = ((nw.col("day") >= day_of(previous.start)) & (nw.col("day") <= day_of(previous.end))).fill_null(False)
    flags = {"in_period": inside, "in_previous": in_previous, "before": (nw.col("day") <= day_of(previous.end)).fill_null(False)}
    lines = _lines(data).with_columns(
        nw.when(inside).then(nw.col("line_revenue")).otherwise(nw.lit(0.0)).alias("period_revenue"),
        nw.when(inside).then(nw.col("line_margin")).alias("period_margin"),
        nw.when(in_previous).then(nw.col("line_revenue")).otherwise(nw.lit(0.0)).alias("previous_revenue"),
        *[nw.when(flag).then(nw.lit(1)).otherwise(nw.lit(0)).alias(name) for name, flag in flags.items()],
    )
    sums = ("period_revenue", "period_margin", "previous_revenue")
    found = lines.group_by("client_id", "product_id").agg(
        nw.col("line_revenue").sum().alias("revenue"), *[nw.col(c).sum() for c in sums], *[nw.col(c).max() for c in flags]
    )
    products = data.scan("products").select("product_id", "name", "category")
    return found.join(products, on="product_id", how="left").select(
        "client_id",
        "product_id",
        nw.coalesce(nw.col("name"), nw.col("product_id")).alias("product"),
        nw.coalesce(nw.col("category"), nw.lit("other")).alias("category"),
        "revenue",
        *sums,
        *[(nw.col(c) > 0).alias(c) for c in flags],
    )


def client_profile(
    data: Canonical,
    settings: Company,
    plan: OffersPlan,
    client_facts: nw.LazyFrame[Any],
    client_segments: nw.LazyFrame[Any],
    bought: nw.LazyFrame[Any],
) -> nw.LazyFrame[Any]:
    """One row per client: what its offer may depend on, and what its text may name.

    Parameters
    ----------
    client_facts, client_segments
        Tables of stages 1 and 2, one row per client.
    bought
        One row per client and product, from ``client_products``.

    Returns
    -------
    narwhals.LazyFrame
        Key ``client_id``; ``segment``, ``strategy``, ``state``, ``yearly_revenue`` and ``yearly_margin`` (the period's, per
        twelve months), ``buys_products`` (in the period) and the facts of ``offers_plan.FACTS`` but those of the
        white space.
        Unknown is NULL.
    """
    period = current_period(settings)
    named = client_facts.select("client_id", "name", "industry", "territory", "size_class", "owner", "state")
    knows_time = "time_cost" in client_segments.collect_schema().names()
    placed = client_segments.select(
        "client_id",
        "segment",
        "strategy",
        as_float("revenue").fill_null(0.0),
        as_float("cost_to_serve"),
        time_cost=as_float("time_cost") if knows_time else nw.lit(None, nw.Float64),
    )
    solutions = data.scan("clients").select("client_id", "complementary_solutions")
    frame = _join_all(
        placed, [named, solutions, _deals(data, settings, period), _products(bought), _requests(data, settings, period)]
    )
    frame = frame.join(data.engine.frame(_trends(bought, named)), on="industry", how="left")
    yearly = 12 / period.months
    asks = data.has("interactions", "kind")
    return (
        frame.with_columns(
            _size(placed, plan.large_multiple).alias("size"),
            nw.coalesce(nw.col("name"), nw.col("client_id")).alias("client"),
            _label("segment", {s: segment_label(s) for s in SEGMENT_LABELS}).alias("segment_label"),
            _label("strategy", STRATEGY_LABELS).fill_null("No strategy").alias("strategy_label"),
            nw.col("deals").fill_null(0),
            nw.col("buys_products").fill_null(False),
            (nw.col("revenue") * yearly).alias("yearly_revenue"),
            (nw.col("margin") * yearly).alias("yearly_margin"),
            *([nw.col(name).fill_null(0) for name in ("requests", "open_requests")] if asks else []),
        )
        .with_columns(
            nw.when((nw.col("size") == "large") & nw.col("owner").is_null())
            .then(nw.lit(plan.account_owner_role))
            .otherwise(nw.col("owner"))
            .alias("account_owner")
        )
        .drop("name", "size_class", "owner")
    )


def _lines(data: Canonical) -> nw.LazyFrame[Any]:
    """Lines of won deals with their revenue and margin; a line without a price has its part of the deal's amount."""
    won = (
        data.scan("deals")
        .filter(nw.col("status") == "won")
        .select(
            "deal_id",
            "client_id",
            as_float("amount").alias("deal_amount"),
            as_float("margin").alias("deal_margin"),
            day_number("closed_on").alias("day"),
        )
    )
    lines = data.scan("deal_lines").select(
        "deal_id",
        "product_id",
        as_float("quantity").fill_null(1.0).alias("quantity"),
        as_float("unit_price").alias("unit_price"),
        as_float("cost").alias("line_cost"),
    )
    count = lines.group_by("deal_id").agg(nw.len().alias("lines_of_deal"))
    costs = data.scan("products").select("product_id", as_float("unit_cost").alias("unit_cost"))
    frame = (
        lines.join(won, on="deal_id", how="inner").join(count, on="deal_id", how="left").join(costs, on="product_id", how="left")
    )
    revenue = nw.coalesce(nw.col("quantity") * nw.col("unit_price"), nw.col("deal_amount") / nw.col("lines_of_deal"))
    share = nw.when(nw.col("deal_amount") != 0).then(nw.col("deal_margin") / nw.col("deal_amount"))
    cost = nw.coalesce(nw.col("line_cost"), nw.col("quantity") * nw.col("unit_cost"))
    return frame.with_columns(revenue.alias("line_revenue")).select(
        "client_id",
        "product_id",
        "day",
        "line_revenue",
        nw.coalesce(nw.col("line_revenue") - cost, nw.col("line_revenue") * share).alias("line_margin"),
    )


def nth(partition: Sequence[str], order_by: Sequence[str]) -> nw.Expr:
    """Place of a row in its group, from 1; complete orders give the same place on every engine."""
    # A literal has no rows to count along.
    one = nw.col(partition[0]).is_null().cast(nw.Int64) * 0 + 1
    return one.cum_sum().over(*partition, order_by=list(order_by))


def _join_all(frame: nw.LazyFrame[Any], others: Sequence[nw.LazyFrame[Any]]) -> nw.LazyFrame[Any]:
    for other in others:
        frame = frame.join(other, on="client_id", how="left")
    return frame


def _deals(data: Canonical, settings: Company, period: Period) -> nw.LazyFrame[Any]:
    """Counts, amounts and rhythm of the client's won deals."""
    # A return is no occasion on which the client bought.
    won = (
        data.scan("deals")
        .filter(nw.col("status") == "won")
        .select(
            "client_id",
            as_float("amount").alias("amount"),
            as_float("margin").alias("margin"),
            day_number("closed_on").alias("day"),
        )
    )
    bought = won.filter(nw.col("amount") > 0)
    rhythm = bought.group_by("client_id").agg(
        nw.col("day").min().alias("first_day"),
        nw.col("day").max().alias("last_day"),
        nw.col("day").n_unique().alias("days_of_purchase"),
    )
    dated = data.has("deals", "closed_on")
    won_inside, bought_inside = ((f.filter(nw.col("day") >= day_of(period.start)) if dated else f) for f in (won, bought))
    sold = won_inside.group_by("client_id").agg(nw.col("margin").sum())
    counted = bought_inside.group_by("client_id").agg(nw.len().alias("deals"), nw.col("amount").mean().alias("mean_deal_revenue"))
    gap = (nw.col("last_day") - nw.col("first_day")) / (nw.col("days_of_purchase") - 1)
    frame = rhythm.join(sold, on="client_id", how="left").join(counted, on="client_id", how="left")
    frame = frame.with_columns(
        (day_of(settings.as_of) - nw.col("last_day")).alias("days_since_last_deal"),
        nw.when(nw.col("days_of_purchase") >= 3).then(gap).alias("mean_gap_days"),
        nw.col("margin") if data.has("deals", "margin") else nw.lit(None, dtype=nw.Float64).alias("margin"),
    )
    return frame.with_columns((nw.col("days_since_last_deal") / nw.col("mean_gap_days")).alias("gaps_since_last_deal")).select(
        "client_id", "margin", "deals", "mean_deal_revenue", "days_since_last_deal", "mean_gap_days", "gaps_since_last_deal"
    )


def _products(bought: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """The two products with the client's largest revenue, all years, and whether it bought any in the period."""
    ranked = (
        bought.filter(nw.col("revenue") > 0)
        .select(
            "client_id",
            "product_id",
            "product",
            nw.col("revenue").alias("product_revenue"),
            (-nw.col("revenue")).alias("descending"),
            nw.col("revenue").sum().over("client_id").alias("total"),
        )
        .with_columns(nth(["client_id"], ["descending", "product_id"]).alias("place"))
    )
    first = ranked.filter(nw.col("place") == 1).select(
        "client_id",
        nw.col("product").alias("main_product"),
        (nw.col("product_revenue") / nw.col("total")).alias("main_product_share"),
    )
    second = ranked.filter(nw.col("place") == 2).select("client_id", nw.col("product").alias("second_product"))
    buys = bought.group_by("client_id").agg(nw.col("in_period").max().alias("buys_products"))
    return _join_all(buys, [first, second])


def _requests(data: Canonical, settings: Company, period: Period) -> nw.LazyFrame[Any]:
    """Requests and complaints of the period: how many, about what, and which are still open."""
    contacts = data.scan("interactions").with_columns(day_number("started_at").alias("day"))
    asked = contacts.filter(
        nw.col("kind").str.to_lowercase().is_in(list(REQUESTS)),
        nw.col("day") >= day_of(period.start),
        nw.coalesce(nw.col("direction"), nw.lit("in")) == "in",
        nw.coalesce(nw.col("initiative"), nw.lit("theirs")) == "theirs",
    ).with_columns(nw.coalesce(nw.col("topic"), nw.col("kind")).alias("topic"))
    requests = asked.group_by("client_id").agg(nw.len().alias("requests"))
    topics = (
        asked.group_by("client_id", "topic")
        .agg(nw.len().alias("frequent_topic_requests"))
        .with_columns((-nw.col("frequent_topic_requests")).alias("descending"))
        .with_columns(nth(["client_id"], ["descending", "topic"]).alias("place"))
    )
    frequent = topics.filter(nw.col("place") == 1).select(
        "client_id", nw.col("topic").alias("frequent_topic"), "frequent_topic_requests"
    )
    # Where no request ever has a time of solution, an empty one says nothing.
    tracked = nw.lit(data.has("interactions", "resolved_at"))
    unsolved = asked.filter(nw.col("resolved_at").is_null(), tracked)
    unsolved = unsolved.with_columns(
        nth(["client_id"], ["day", "interaction_id"]).alias("place"), nw.len().over("client_id").alias("open_requests")
    )
    oldest = unsolved.filter(nw.col("place") == 1).select(
        "client_id",
        "open_requests",
        nw.col("topic").alias("open_topic"),
        (day_of(settings.as_of) - nw.col("day")).alias("open_days"),
    )
    return _join_all(requests, [frequent, oldest])


def _trends(bought: nw.LazyFrame[Any], named: nw.LazyFrame[Any]) -> pd.DataFrame:
    """The fastest growing product line of each line of business, one row per ``industry``; only growth is a trend."""
    lines = bought.join(named.select("client_id", "industry").filter(~nw.col("industry").is_null()), on="client_id", how="inner")
    sums = collect(
        lines.group_by("industry", "category").agg(
            nw.col("period_revenue").sum(),
            nw.col("previous_revenue").sum(),
            nw.col("in_period").cast(nw.Int64).sum().alias("buys"),
            nw.col("in_previous").cast(nw.Int64).sum().alias("bought"),
        )
    )
    enough = (sums["buys"] >= _TREND_PURCHASES) & (sums["bought"] >= _TREND_PURCHASES) & (sums["previous_revenue"] > 0)
    grown = sums[enough].assign(trend_growth_share=lambda b: b["period_revenue"] / b["previous_revenue"] - 1)
    grown = grown[grown["trend_growth_share"] > 0].sort_values(["trend_growth_share", "category"], ascending=[False, True])
    best = grown.drop_duplicates("industry").rename(columns={"category": "trend_category"})
    return best[["industry", "trend_category", "trend_growth_share"]].astype(
        {"industry": "str", "trend_category": "str", "trend_growth_share": "float64"}
    )


def _size(placed: nw.LazyFrame[Any], large_multiple: float) -> nw.Expr:
    """Large, medium or small: by the client's size class where it has one, else by its revenue against the mean of
    buying clients."""
    known = nw.col("size_class").str.to_lowercase()
    buying = collect(placed.filter(nw.col("revenue") > 0).select(nw.col("revenue").mean().alias("mean")))["mean"]
    mean = max(float(buying.fillna(0.0).iloc[0]) if len(buying) else 0.0, 1e-9)
    by_revenue = (
        nw.when(nw.col("revenue") >= large_multiple * mean)
        .then(nw.lit("large"))
        .otherwise(nw.when(nw.col("revenue") >= mean).then(nw.lit("medium")).otherwise(nw.lit("small")))
    )
    by_class = nw.when(known == "micro").then(nw.lit("small")).otherwise(known)
    return nw.when(known.is_in(["large", "medium", "small", "micro"]).fill_null(False)).then(by_class).otherwise(by_revenue)


def _label(column: str, labels: dict[str, str]) -> nw.Expr:
    chosen: nw.Expr = nw.col(column)
    for key, label in labels.items():
        chosen = nw.when(nw.col(column) == key).then(nw.lit(label)).otherwise(chosen)
    return chosen
