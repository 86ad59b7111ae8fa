"""Figures of stage 2 on what clients cost: the parts of the cost to serve, late payment, and how far cells hang on rates."""

from __future__ import annotations

import math

import pandas as pd

from crm_methods import formats
from crm_methods.reports.charts.bars import horizontal_bars
from crm_methods.reports.charts.house import Chart
from crm_methods.reports.charts.intervals import forest
from crm_methods.stages.segments_costs import IN_COST, OFF_REVENUE, SUM, CostComponents
from crm_methods.stages.segments_payment import LatePayment
from crm_methods.stages.segments_sensitivity import RateSensitivity


def cost_components(answer: CostComponents, currency: str) -> Chart | None:
    """Every part of the cost to serve and what stands beside it; None where nothing costs anything."""
    table = answer.table[answer.table["amount"] > 0]
    parts, whole = table[table["counts_as"] == IN_COST], table[table["counts_as"] == SUM]
    if parts.empty:
        return None
    most, total = parts.loc[parts["amount"].idxmax()], float(whole["amount"].iloc[0])
    of_all = f"{formats.share(most['amount'] / total)} of {formats.money_short(total, currency)} cost to serve"
    shown = table[table["counts_as"] != SUM]
    values = [f"{row.part} {formats.money_short(row.amount, currency)}" for row in shown.itertuples()]
    off = " Discounts and returns have lowered revenue already." if (shown["counts_as"] == OFF_REVENUE).any() else ""
    return horizontal_bars(
        shown,
        label="part",
        length="amount",
        form=lambda value: formats.money_short(value, currency),
        title=f"{most['part']} is {of_all}",
        alt=f"Bars, one per part: {formats.join(values)}.",
        highlight=parts["part"].tolist(),
        axis="Cost in the period",
        note=f"In colour what clients are charged with; in grey what stands beside it.{off}",
    )


def late_payment(answer: LatePayment, currency: str) -> Chart | None:
    """The share of invoices paid late, for the base and its segments; None where there is one row only."""
    table = answer.table[answer.table["low_share"].notna()]
    if len(table) < 2:
        return None
    whole, groups = table.iloc[0], table.iloc[1:]
    apart = groups[(groups["low_share"] > whole["high_share"]) | (groups["high_share"] < whole["low_share"])]
    base = f"{formats.share(whole['late_share'])} of invoices are paid late"
    title = (
        f"{base}, and no segment stands out"
        if apart.empty
        else f"{base}; “{apart.iloc[0]['segment']}” differs: {formats.share(apart.iloc[0]['late_share'])}"
    )
    values = [f"{row.segment} {formats.share(row.late_share)}" for row in table.itertuples()]
    return forest(
        table,
        label="segment",
        estimate="late_share",
        low="low_share",
        high="high_share",
        form=formats.share,
        title=title,
        alt=f"Shares of invoices paid late, with 95% intervals: {formats.join(values)}.",
        highlight=[whole["segment"]],
        reference=None,
        axis="Invoices that fell due in the period and were not paid in time",
    )


def rate_sensitivity(answer: RateSensitivity, currency: str) -> Chart | None:
    """Clients that change cell, by the rate that is moved; None where nobody does."""
    table = answer.table
    if answer.steady_clients == answer.clients:
        return None
    named = pd.DataFrame({"rate": table["pool"] + ", " + table["rate_change"], "share": table["clients_share"]})
    named = named.sort_values("share", ascending=False, kind="stable")
    share = formats.share(math.floor(1000 * answer.steady_clients / answer.clients) / 1000)
    values = [f"{row.rate} {formats.share(row.share, 1)}" for row in named.itertuples()]
    return horizontal_bars(
        named,
        label="rate",
        length="share",
        form=lambda value: formats.share(value, 1),
        title=f"{share} of clients keep their cell whichever rate is off",
        alt=f"Bars, one per rate and direction, of the share of clients that change cell: {formats.join(values)}.",
        axis="Share of clients in another cell",
    )
