"""What the cost to serve is made of, and what stands beside it without being charged to a client. A room of stage 2."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import current_period
from crm_methods.company.settings import Company
from crm_methods.engine import as_float, collect
from crm_methods.stages.segments import CostToServe, capital_rate, knows_discounts, knows_payments, won_deals

IN_COST = "in cost to serve"
SUM = "the sum of the above"
BESIDE = "beside it, on no client"
OFF_REVENUE = "off revenue already"
NOT_RECORDED = "not recorded"
MAX_POOLS = 8
"""Pools that are named; those that cost less than these are added up."""

_SUMS = ("revenue", "time_cost", "direct_cost", "payment_cost", "cost_to_serve", "discount", "returns")
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CostComponents(Answer):
    """The parts of the cost to serve, and what stands beside it; ``table`` has one row per part.

    ``ledger_cost`` is the cost of all pools; ``ledger_gap`` what of it is neither allocated, unused nor not allocated, and
    ``client_gap`` the parts less what the clients bear. Both are 0 but for rounding.
    """

    ledger_cost: float
    ledger_gap: float
    client_gap: float

    @property
    def reconciles(self) -> bool:
        """Whether parts, clients and ledger agree, to a millionth."""
        return max(abs(self.ledger_gap), abs(self.client_gap)) <= max(0.01, _ROUNDING * self.ledger_cost)


@answers("segments.cost_to_serve")
def cost_components(data: Canonical, settings: Company, cost: CostToServe, economics: nw.LazyFrame[Any]) -> CostComponents:
    """What the cost to serve of the period is made of: time by pool, direct costs, deliveries and late payment.

    Beside it, and on no client, stand unused capacity and what no activity explains: with the time they are the ledger.
    Discounts and returns have lowered revenue already, and are shown so that nobody takes them off twice.

    Parameters
    ----------
    cost
        ``segments.cost_to_serve``.
    economics
        One row per client (``segments.client_economics``).
    """
    sums = _client_sums(economics)
    parts = [*_time_parts(cost.table), *_other_parts(data, settings, cost, sums)]
    charged = math.fsum(amount for _, counts_as, amount in parts if counts_as == IN_COST)
    rows = [*parts, ("Cost to serve", SUM, charged), *_parts_beside(data, cost.table, sums)]
    pools = {name: float(cost.table[name].sum()) for name in ("cost", "allocated_cost", "unused_cost", "not_allocated_cost")}
    revenue = sums["revenue"]
    table = pd.DataFrame(rows, columns=["part", "counts_as", "amount"]).astype({"amount": float})
    table = table.assign(revenue_share=table["amount"] / revenue if revenue > 0 else math.nan)
    return CostComponents(
        sentence=_sentence(table, pools, sums, settings),
        table=table,
        caption=f"Cost to serve of {current_period(settings).label}, and what stands beside it; shares are of revenue",
        labels={"part": "Part", "counts_as": "How it counts", "revenue_share": "Of revenue"},
        ledger_cost=pools["cost"],
        ledger_gap=pools["cost"] - pools["allocated_cost"] - pools["unused_cost"] - pools["not_allocated_cost"],
        client_gap=charged - sums["cost_to_serve"],
    )


def _client_sums(economics: nw.LazyFrame[Any]) -> dict[str, float]:
    found = collect(economics.select(*(as_float(name).sum() for name in _SUMS)))
    return {name: 0.0 if found.empty or pd.isna(found[name].iloc[0]) else float(found[name].iloc[0]) for name in _SUMS}


def _time_parts(pools: pd.DataFrame) -> list[tuple[str, str, float]]:
    """Minutes at the pools' rates, the dearest pools by name."""
    used = pools[pools["allocated_cost"] > 0].sort_values(["allocated_cost", "pool"], ascending=[False, True])
    named = used if len(used) <= MAX_POOLS else used.head(MAX_POOLS - 1)
    parts = [(f"Time: {row.pool}", IN_COST, float(row.allocated_cost)) for row in named.itertuples()]
    rest = used.iloc[len(named) :]
    if len(rest):
        parts.append((f"Time: {formats.plural(len(rest), 'other pool')}", IN_COST, float(rest["allocated_cost"].sum())))
    return parts


def _other_parts(data: Canonical, settings: Company, cost: CostToServe, sums: dict[str, float]) -> list[tuple[str, str, float]]:
    """What is not time; a part of which nothing is recorded says so."""
    activities = cost.activities
    unpriced = activities["pool"].isin(cost.table.loc[cost.table["status"] == "no cost", "pool"])
    prices = activities["channel"].map(settings.costs.contact).astype(float).fillna(0.0)
    parts = [_part("Direct costs of contacts", data.has("interactions", "direct_cost"), float(activities["direct_cost"].sum()))]
    if unpriced.any() and settings.costs.contact:
        parts.append(("Contacts priced by channel", IN_COST, float((activities["contacts"] * prices)[unpriced].sum())))
    delivery = collect(won_deals(data, settings).select(sum=as_float("delivery_cost").sum()))["sum"].fillna(0.0)
    parts.append(_part("Deliveries", data.has("deals", "delivery_cost"), float(delivery.sum())))
    named = f"Late payment, at {formats.share(capital_rate(settings), 1)} a year"
    return [*parts, _part(named, knows_payments(data), sums["payment_cost"])]


def _part(name: str, known: bool, amount: float) -> tuple[str, str, float]:
    return (name, IN_COST, amount) if known else (name, NOT_RECORDED, math.nan)


def _parts_beside(data: Canonical, pools: pd.DataFrame, sums: dict[str, float]) -> list[tuple[str, str, float]]:
    given = ("Discounts given", OFF_REVENUE, sums["discount"])
    return [
        ("Unused capacity", BESIDE, float(pools["unused_cost"].sum())),
        ("Not allocated: explained by no activity", BESIDE, float(pools["not_allocated_cost"].sum())),
        given if knows_discounts(data) else ("Discounts given", NOT_RECORDED, math.nan),
        ("Returns", OFF_REVENUE, sums["returns"]),
    ]


def _sentence(table: pd.DataFrame, pools: dict[str, float], sums: dict[str, float], settings: Company) -> str:
    def money(amount: float) -> str:
        return formats.money_short(amount, settings.currency)

    charged = float(table.loc[table["counts_as"] == SUM, "amount"].iloc[0])
    share = f", {formats.share(charged / sums['revenue'], 1)} of revenue" if sums["revenue"] > 0 else ""
    parts = [
        f"{money(sums[column])} {what}"
        for column, what in (("time_cost", "of time"), ("direct_cost", "of direct costs"), ("payment_cost", "of late payment"))
        if sums[column] > 0
    ]
    made_of = f": {formats.join(parts)}" if parts else ""
    beside = pools["unused_cost"] + pools["not_allocated_cost"]
    ledger = (
        f" Another {money(beside)} is unused capacity or explained by no activity and is charged to no client; with the time "
        f"that is the {money(pools['cost'])} of the cost pools."
        if beside > 0
        else ""
    )
    off = [
        f"{what} of {money(sums[column])}"
        for column, what in (("discount", "discounts"), ("returns", "returns"))
        if sums[column] > 0
    ]
    taken = f" {_begun(formats.join(off))} have lowered revenue already and are not taken off again." if off else ""
    missing = [str(name).split(",")[0].lower() for name in table.loc[table["counts_as"] == NOT_RECORDED, "part"]]
    unknown = f" Not recorded, and so missing from it: {formats.join(missing)}." if missing else ""
    return f"Serving clients cost {money(charged)}{share}{made_of}.{ledger}{taken}{unknown}"


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]
