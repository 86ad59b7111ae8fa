"""What it takes for a costly client to pay, and what ending it would really save: a room of stage 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import current_period
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import STRATEGY_LABELS
from crm_methods.engine import collect, day_number, day_of

NAMES = 10

STATES: Mapping[str, str] = {
    "pays": "pays as it is",
    "larger_orders": "pays with larger orders, or a fee",
    "no_margin": "no order size pays: its orders leave no margin",
    "no_revenue": "no revenue in the period: only a fee pays",
}
"""What is true of a client with the strategy to cut costs, in the order in which it is asked."""

_STRATEGY = "cut_costs"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CutCosts(Answer):
    """When each client with the strategy to cut costs would pay.

    ``per_client`` (lazy) has one row per such client: ``client_id``, ``orders`` (won deals of the period above zero),
    ``present_order_amount`` (revenue per order), ``minimum_order_amount`` (from which on it pays, at its present number of
    orders and margin share), ``contact_fee_amount`` and ``monthly_fee_amount`` (either covers the loss), ``ending_gain`` (what
    ending it would bring: avoidable cost less margin; below zero it would lose), ``state`` (a key of ``STATES``). What does not
    exist is missing.
    ``states`` has one row per state: ``state``, ``clients``, ``margin``, ``cost_to_serve``, ``loss_cost``, ``ending_gain`` …
    """

    per_client: nw.LazyFrame[Any]
    states: pd.DataFrame


@answers("segments.cut_costs")
def cut_costs(
    data: Canonical, settings: Company, economics: nw.LazyFrame[Any], client_segments: nw.LazyFrame[Any]
) -> CutCosts | Unanswered:
    """From which order, or with which fee, every client with the strategy to cut costs would pay.

    A client pays when its margin covers its cost to serve. With n orders at the margin share s that is so from the order
    of cost / (n · s) on. Ending a client saves its direct cost, the cost of its late payment and that share of its time that
    ``costs.avoidable_share`` calls avoidable; the rest is capacity that it shares with others, and stays.

    Parameters
    ----------
    economics
        One row per client (``segments.client_economics``): ``margin``, ``contacts``, ``cost_to_serve`` and, where they are
        known, ``direct_cost`` and ``payment_cost``.
    client_segments
        One row per client with its ``strategy`` (``segments_clusters.client_segments``).
    """
    costly = client_segments.filter(nw.col("strategy") == _STRATEGY).select("client_id")
    placed = costly.join(economics, on="client_id", how="inner")
    known = collect(placed.select(n=nw.len(), costs=nw.col("cost_to_serve").count())).iloc[0]
    label = STRATEGY_LABELS[_STRATEGY]
    lacking = ("interactions with handling_minutes", "a cost_ledger or staff with cost_per_hour")
    if not known["n"] and not collect(economics.select(nw.col("cost_to_serve").count()))["cost_to_serve"].iloc[0]:
        reason = f"no cost to serve is known, so that no client can have the strategy “{label}”."
        return Unanswered("segments.cut_costs", reason, lacking)
    if not known["n"]:
        return Unanswered("segments.cut_costs", f"no client has the strategy “{label}”, so there is nothing to work out")
    if not known["costs"]:
        return Unanswered("segments.cut_costs", "no cost to serve is known.", lacking)
    priced = _priced(data, settings, placed)
    states = _states(priced)
    columns = ("orders", "present_order_amount", "minimum_order_amount", "contact_fee_amount", "monthly_fee_amount")
    return CutCosts(
        sentence=_sentence(states, settings),
        table=_table(data, priced, states, settings),
        caption=f"“{label}”: the clients that cost most beyond their margin, {current_period(settings).label}",
        labels={
            "orders": "Orders",
            "present_order_amount": "Present order",
            "minimum_order_amount": "Pays from orders of",
            "monthly_fee_amount": "Or a fee a month of",
            "contact_fee_amount": "Or a fee a contact of",
            "ending_gain": "Ending it would bring",
            "state": "What holds",
        },
        per_client=priced.select("client_id", *columns, "ending_gain", "state"),
        states=states,
    )


def _priced(data: Canonical, settings: Company, placed: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """``placed`` with everything that a client's row says, and ``loss_cost``: what its margin leaves uncovered."""
    nothing, columns = nw.lit(None, nw.Float64), placed.collect_schema().names()
    cash = [nw.col(name).fill_null(0.0) for name in ("direct_cost", "payment_cost") if name in columns]
    spent = sum(cash, start=nw.lit(0.0))
    cost, margin, revenue = nw.col("cost_to_serve").fill_null(0.0), nw.col("margin").fill_null(0.0), nw.col("revenue")
    shared = nw.max_horizontal(cost - spent, nw.lit(0.0))
    orders, loss = nw.col("orders"), nw.max_horizontal(cost - margin, nw.lit(0.0))
    sells, loses = (orders > 0) & (revenue > 0), nw.col("loss_cost") > 0
    some_orders = nw.when(sells).then(orders).otherwise(nw.lit(1))
    some_margin = nw.when(margin > 0).then(margin).otherwise(nw.lit(1.0))
    some_contacts = nw.when(nw.col("contacts") > 0).then(nw.col("contacts")).otherwise(nw.lit(1))
    state = (
        nw.when(~loses).then(nw.lit("pays"))
        .when(~sells).then(nw.lit("no_revenue"))
        .when(margin <= 0).then(nw.lit("no_margin"))
        .otherwise(nw.lit("larger_orders"))
    )  # fmt: skip
    counted = placed.join(_orders(data, settings), on="client_id", how="left")
    return counted.with_columns(orders=orders.fill_null(0).cast(nw.Int64), loss_cost=loss.round(6)).with_columns(
        present_order_amount=nw.when(sells).then((revenue / some_orders).round(4)).otherwise(nothing),
        # Cost / (orders · margin share), with the margin share as margin / revenue.
        minimum_order_amount=nw.when(sells & (margin > 0))
        .then((cost * revenue / some_margin / some_orders).round(4))
        .otherwise(nothing),
        contact_fee_amount=nw.when(loses & (nw.col("contacts") > 0))
        .then((nw.col("loss_cost") / some_contacts).round(4))
        .otherwise(nothing),
        monthly_fee_amount=nw.when(loses)
        .then((nw.col("loss_cost") / settings.segments.period_months).round(4))
        .otherwise(nothing),
        ending_gain=(spent + shared * settings.costs.avoidable_share - margin).round(4),
        shared_cost=shared,
        state=state,
    )


def _orders(data: Canonical, settings: Company) -> nw.LazyFrame[Any]:
    """Orders of the period per client: won deals, but no returns."""
    period, day = current_period(settings), day_number("closed_on")
    won = data.scan("deals").filter(nw.col("status") == "won", nw.col("amount") > 0)
    if data.has("deals", "closed_on"):
        won = won.filter(day >= day_of(period.start), day <= day_of(period.end))
    return won.group_by("client_id").agg(orders=nw.len())


def _states(priced: nw.LazyFrame[Any]) -> pd.DataFrame:
    sums = ("margin", "cost_to_serve", "shared_cost", "loss_cost", "ending_gain")
    times = nw.col("minimum_order_amount") / nw.when(nw.col("present_order_amount") > 0).then(nw.col("present_order_amount"))
    better_kept = nw.when(nw.col("ending_gain") < 0).then(nw.lit(1)).otherwise(nw.lit(0))
    grouped = priced.with_columns(times=times, better_kept=better_kept)
    grouped = grouped.group_by("state").agg(
        nw.len().alias("clients"),
        *(nw.col(name).sum() for name in (*sums, "orders", "better_kept")),
        nw.col("times").median(),
    )
    found = collect(grouped).set_index("state").reindex(list(STATES)).dropna(subset=["clients"]).reset_index()
    counts = dict.fromkeys(("clients", "orders", "better_kept"), "int64")
    return found.astype(counts).assign(margin=found["margin"].fillna(0.0))


def _table(data: Canonical, priced: nw.LazyFrame[Any], states: pd.DataFrame, settings: Company) -> pd.DataFrame:
    """The clients with the largest losses, and all clients with a loss in one row; empty where every one pays."""
    losing = states[states["state"] != "pays"]
    if losing.empty:
        return pd.DataFrame()
    first = priced.filter(nw.col("loss_cost") > 0).sort("loss_cost", "client_id", descending=[True, False]).head(NAMES)
    named = collect(first.join(data.scan("clients").select("client_id", "name"), on="client_id", how="left"))
    named = named.sort_values(["loss_cost", "client_id"], ascending=[False, True], ignore_index=True)
    told = ["margin", "cost_to_serve", "orders", "present_order_amount", "minimum_order_amount", "monthly_fee_amount"]
    columns = ["client", *told, "contact_fee_amount", "ending_gain", "state"]
    rows = named.assign(client=named["name"].where(named["name"].notna(), named["client_id"]), state=named["state"].map(STATES))[
        columns
    ]
    clients = formats.plural(int(losing["clients"].sum()), "client")
    total = {
        "client": f"All {clients} with a loss",
        **{name: losing[name].sum() for name in ("margin", "cost_to_serve", "orders", "ending_gain")},
        "monthly_fee_amount": losing["loss_cost"].sum() / settings.segments.period_months,
        "state": "",
    }
    return pd.concat([rows, pd.DataFrame([total], columns=columns).astype(rows.dtypes.to_dict())], ignore_index=True)


def _sentence(states: pd.DataFrame, settings: Company) -> str:
    losing = states[states["state"] != "pays"]
    clients, count = int(states["clients"].sum()), int(losing["clients"].sum())
    label = f"with the strategy “{STRATEGY_LABELS[_STRATEGY]}”"
    if not count:
        one = clients == 1
        who = f"The client {label} covers" if one else f"All {formats.number(clients)} clients {label} cover"
        return f"{who} {'its' if one else 'their'} cost to serve: cheaper service would earn more, but no order is too small."
    does, beyond = ("costs", "its margin covers") if count == 1 else ("cost", "their margin covers")
    lost = formats.money_short(float(losing["loss_cost"].sum()), settings.currency)
    who = f"Of {formats.plural(clients, 'client')} {label}, {formats.number(count)}"
    if count == clients:
        who = f"{'The client' if count == 1 else f'All {formats.number(count)} clients'} {label}"
    opening = f"{who} {does} {lost} more than {beyond}."
    words = [opening, _ways_words(losing, settings), _ending_words(losing, settings)]
    words.append("One period's figures: a client may have had a bad one.")
    return " ".join(word for word in words if word)


def _ways_words(losing: pd.DataFrame, settings: Company) -> str:
    by_state = losing.set_index("state")
    words = []
    if "larger_orders" in by_state.index:
        row = by_state.loc["larger_orders"]
        times = formats.number(float(row["times"]), 1)
        many = int(row["clients"])
        usual = f"{times} times its present size" if many == 1 else f"{times} times their present size at the median"
        words.append(f"{formats.number(many)} would pay with orders of {usual}")
    for state, said in (("no_margin", "earns no margin at any size"), ("no_revenue", "has no revenue to enlarge")):
        if state in by_state.index:
            many = int(by_state.loc[state, "clients"])
            plural = said.replace("earns", "earn").replace("has", "have") if many != 1 else said
            words.append(f"{formats.number(many)} {plural}")
    fee = float(losing["loss_cost"].sum()) / settings.segments.period_months / int(losing["clients"].sum())
    each = "" if int(losing["clients"].sum()) == 1 else " on average"
    cover = f"a fee of {formats.money(fee, settings.currency)} a month{each} would cover it"
    return (
        f"{formats.join(words)}; {cover} as well."
        if "larger_orders" in by_state.index
        else f"{formats.join(words)}; only {cover}."
    )


def _ending_words(losing: pd.DataFrame, settings: Company) -> str:
    """What ending all clients with a loss would bring, and why it is not what they cost."""
    count, gain = int(losing["clients"].sum()), float(losing["ending_gain"].sum())
    who, its = ("it", "its") if count == 1 else ("them all", "their")
    amount = formats.money_short(abs(gain), settings.currency)
    result = f"{'save' if gain > 0 else 'lose'} {amount} a period" if any(c in "123456789" for c in amount) else "save nothing"
    stays = float(losing["shared_cost"].sum()) * (1 - settings.costs.avoidable_share)
    share = settings.costs.avoidable_share
    taken = f" ({formats.share(share)} of the time counts as avoidable)" if share else ""
    rest = (
        f": {formats.money_short(stays, settings.currency)} of {its} cost is time of people who stay on the payroll{taken}, so "
        "ending clients does not save shared capacity"
        if stays > 0
        else ""
    )
    apart = ""
    better_kept = int(losing["better_kept"].sum())
    if count > 1 and 0 < better_kept < count:
        apart = f" Ending {formats.number(better_kept)} of the {formats.number(count)} would lose money."
    return f"Ending {who} would {result}{rest}.{apart}"
