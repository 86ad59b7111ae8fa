"""Figures of stage 3."""

from __future__ import annotations

import pandas as pd

from crm_methods import formats
from crm_methods.company.vocabulary import segment_label
from crm_methods.reports.charts.bars import horizontal_bars, stacked_bars
from crm_methods.reports.charts.house import Chart
from crm_methods.reports.charts.intervals import forest
from crm_methods.reports.charts.matrices import heat_map
from crm_methods.stages.offers_economics import Economics
from crm_methods.stages.offers_packages import Packages
from crm_methods.stages.offers_products import GoesTogether, Penetration
from crm_methods.stages.offers_white_space import WhiteSpace

MAX_PRODUCTS = 20
_PARTS = {
    "expected_margin": "Margin of proposed products",
    "kept_margin": "Margin kept by service (assumed)",
    "offer_cost": "Cost of the offers",
}


def penetration(answer: Penetration, currency: str) -> Chart:
    """Share of each segment's clients that bought each product: a row per product, a column per segment."""
    order = answer.products.groupby("product")["buyers"].sum().sort_values(ascending=False, kind="stable")
    shown = order.index[:MAX_PRODUCTS].tolist()
    rows = answer.products[answer.products["product"].isin(shown)]
    wide = rows.pivot_table(index="product", columns="segment", values="penetration_share").reindex(shown).reset_index()
    top = rows.loc[rows["penetration_share"].idxmax()]
    cut = f" The {MAX_PRODUCTS} products with the most buyers of {len(order)} are drawn." if len(order) > MAX_PRODUCTS else ""
    return heat_map(
        wide,
        row="product",
        columns=list(answer.segments),
        form=formats.share,
        labels={segment: segment_label(segment) for segment in answer.segments},
        limits=(0.0, max(float(top["penetration_share"]), 0.01)),
        title=f"{top['product']} reaches furthest: {formats.share(top['penetration_share'])} of one segment "
        f"({segment_label(str(top['segment']))})",
        alt=f"Heat map of the share of clients that bought a product in the period, {len(shown)} products by "
        f"{len(answer.segments)} segments.{cut}",
    )


def goes_together(answer: GoesTogether, currency: str) -> Chart | None:
    """Lift of the strongest pairs with intervals; None where no pair has support."""
    table = answer.table.head(10)
    if table.empty:
        return None
    named = table.assign(pair=[f"{row.product} + {row.with_product}" for row in table.itertuples()])
    proven = set(named.loc[named["verdict"] == "goes together", "pair"])
    count = formats.plural(len(proven), "pair")
    title = (
        f"{count} of products {'goes' if len(proven) == 1 else 'go'} together"
        if proven
        else "No two products are proven to go together"
    )
    return forest(
        named,
        label="pair",
        estimate="lift",
        low="lift_low",
        high="lift_high",
        form=lambda x: formats.number(x, 1),
        highlight=proven,
        reference=1.0,
        title=title,
        axis="Lift: times as many clients with both as by chance",
        alt=f"Points with 95% intervals for {formats.plural(len(named), 'pair')}; proven ones are dark. The dashed "
        "line is chance.",
    )


def white_space(answer: WhiteSpace, currency: str) -> Chart | None:
    """What each proposed product is expected to bring in a year; None where nothing is proposed."""
    worth = "expected_margin" if answer.in_margin else "expected_revenue"
    table = answer.table
    if table.empty:
        return None
    best, noun = table.iloc[0], "margin" if answer.in_margin else "revenue"
    return horizontal_bars(
        table,
        label="product",
        length=worth,
        form=lambda x: formats.money_short(x, currency),
        title=f"{best['product']} is the largest white space: {formats.money_short(best[worth], currency)} of {noun} a year",
        alt=f"Bars of the {noun} expected in a year from {formats.plural(len(table), 'product')} that clients lack; the last is "
        f"{table.iloc[-1]['product']} with {formats.money_short(table.iloc[-1][worth], currency)}.",
        axis=f"Expected {noun} in a year",
    )


def packages(answer: Packages, currency: str) -> Chart:
    """Clients of each segment by the service package designed for them."""
    titles = answer.mix.drop_duplicates("service_package").set_index("service_package")["title"].to_dict()
    wide = answer.mix.pivot_table(index="segment", columns="service_package", values="clients", aggfunc="sum", fill_value=0)
    wide = wide.reindex(list(answer.segments)).reset_index()
    sums = answer.mix.groupby("service_package")["clients"].sum()
    most = str(sums.idxmax())
    return stacked_bars(
        wide,
        x="segment",
        parts=list(titles),
        labels=titles,
        form=formats.number,
        x_form=segment_label,
        title=f"{titles[most]} service is designed for {formats.number(sums[most])} of {formats.plural(sums.sum(), 'client')}",
        alt="Columns, one per segment, of clients by service package: "
        + formats.join([f"{titles[name]} {formats.number(count)}" for name, count in sums.items()])
        + ".",
        axis="Clients",
    )


def economics(answer: Economics, currency: str) -> Chart:
    """What the offers of each segment bring, above the line, and cost, below it."""
    table = answer.table
    below = table.assign(offer_cost=-table["offer_cost"])
    words = [f"{segment_label(str(row.segment))} {formats.money_short(row.net_gain, currency)}" for row in table.itertuples()]
    losing = table[table["net_gain"] < 0]
    title = (
        "The offers of every segment bring more than they cost: "
        f"{formats.money_short(table['net_gain'].sum(), currency)} net a year"
        if losing.empty
        else f"The offers of {formats.join([segment_label(str(s)) for s in losing['segment']])} cost more than they bring"
    )
    return stacked_bars(
        pd.DataFrame(below),
        x="segment",
        parts=list(_PARTS),
        labels=_PARTS,
        form=lambda x: formats.money_short(x, currency),
        x_form=segment_label,
        title=title,
        alt=f"Columns per segment of what offers bring, with their cost below zero. Net gain: {formats.join(words)}.",
        fills={"expected_margin": "#0b4f6c", "kept_margin": "#4a90b8", "offer_cost": "#a23b4a"},
        axis="In a year",
    )
