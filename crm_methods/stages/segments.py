"""Stage 2: who pays, who costs, and which strategy follows.

Revenue and cost to serve per client, and the whale curve. The matrix of the two is in
``segments_matrix``, what clients are worth in ``segments_value``, the search for natural
clusters in ``segments_clusters``, and whom to look at first in ``segments_names``; all are
rooms of this stage.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import Period, current_period
from crm_methods.company.settings import Company
from crm_methods.engine import as_float, collect, day_number, day_of
from crm_methods.errors import TooManyRowsError
from crm_methods.models import cost_to_serve as tdabc
from crm_methods.models import payment_delay

CURVE_POINTS = 1_000


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CostToServe(Answer):
    """The costs of the period, pool by pool, and what each client used of them.

    ``activities`` has one row per activity, ``by_client`` (lazy) one per client with a contact.
    """

    activities: pd.DataFrame
    by_client: nw.LazyFrame[Any]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class WhaleCurve(Answer):
    """Cumulative ``measure`` (contribution, or margin) of clients from the best to the worst.

    ``curve`` has at most 1,001 points.
    """

    curve: pd.DataFrame
    measure: str


@answers("segments.cost_to_serve")
def cost_to_serve(data: Canonical, settings: Company) -> CostToServe | Unanswered:
    """What each client cost to serve in the period, by time-driven activity-based costing.

    Returns
    -------
    CostToServe
        ``table``: one row per pool; allocated + unused + not allocated = the ledger.
    """
    period = current_period(settings)
    span: dict[str, Any] = {"start": period.start, "end": period.end, "pools": pools(settings)}
    interactions = data.scan("interactions")
    rates = tdabc.pool_rates(
        interactions, data.scan("cost_ledger"), data.scan("staff"), practical_share=settings.costs.practical_share, **span
    )
    activities = tdabc.activity_costs(tdabc.activity_minutes(interactions, **span), rates)
    if activities.empty:
        return Unanswered(
            "segments.cost_to_serve", f"no contact is recorded between {period.label}.", ("interactions of the period",)
        )
    by_client = cost_of_contacts(interactions, settings, rates, start=period.start, end=period.end)
    columns = ["pool", "cost", "used_share", "rate_cost", "allocated_cost", "unused_cost", "not_allocated_cost"]
    return CostToServe(
        sentence=_cost_sentence(rates, activities, settings.currency, period),
        table=rates[[*columns, "status"]],
        caption=f"Cost pools, {period.label}: what clients used, what nobody used, and what no activity explains",
        labels={"used_share": "Capacity used", "rate_cost": "Cost of a minute", "not_allocated_cost": "Not allocated"},
        activities=activities,
        by_client=by_client,
    )


def client_economics(data: Canonical, settings: Company, cost: CostToServe | Unanswered) -> nw.LazyFrame[Any]:
    """Revenue, margin, cost to serve and contribution of every client in the period.

    Returns
    -------
    narwhals.LazyFrame
        One row per client: ``client_id``, ``deals``, ``revenue``, ``margin``, ``contacts``, ``time_cost``, ``direct_cost`` (of
        contacts and of deliveries), ``payment_cost`` (capital in overdue invoices), ``cost_to_serve`` (the sum of the three),
        ``contribution`` (margin − cost to serve), ``discount`` and ``returns``, which are off revenue already. What the data
        can't say is missing, not zero: margin without costs of goods, time and with it cost to serve without contacts and a
        ledger, direct cost where none is recorded, payment cost without invoices.
    """
    clients = data.scan("clients").select("client_id")
    sold = clients.join(_sold_by_client(data, settings), on="client_id", how="left")
    known = _served_by_client(sold, data, settings, cost)
    margin = as_float("margin").fill_null(0.0) if data.has("deals", "margin") else nw.lit(None, nw.Float64)
    served = known.select(
        "client_id",
        nw.col("deals").fill_null(0),
        as_float("amount").fill_null(0.0).round(4).alias("revenue"),
        margin.round(4).alias("margin"),
        *("contacts", "time_cost", "direct_cost", "payment_cost"),
        # Time is the most of it: where that is unknown, the sum of the rest would pass for small.
        cost_to_serve=(nw.col("time_cost") + nw.col("direct_cost").fill_null(0.0) + nw.col("payment_cost").fill_null(0.0)).round(
            6
        ),
        discount=nw.col("discount").fill_null(0.0).round(4) if knows_discounts(data) else nw.lit(None, nw.Float64),
        returns=nw.col("returns").fill_null(0.0).round(4),
    )
    columns = [
        "client_id", "deals", "revenue", "margin", "contacts", "time_cost", "direct_cost", "payment_cost", "cost_to_serve",
        "contribution", "discount", "returns",
    ]  # fmt: skip
    return served.with_columns(contribution=(nw.col("margin") - nw.col("cost_to_serve")).round(4)).select(*columns)


def monthly_cost(economics: nw.LazyFrame[Any], settings: Company) -> nw.LazyFrame[Any]:
    """``client_id`` and ``cost_per_month``, what serving a client costs from now on.

    That is its ``running_cost`` where ``segments_phases.with_running_cost`` has added it, else the period's cost over its months.
    """
    if "running_cost" in economics.collect_schema().names():
        return economics.select("client_id", cost_per_month=nw.col("running_cost"))
    return economics.select("client_id", cost_per_month=nw.col("cost_to_serve") / settings.segments.period_months)


def knows_discounts(data: Canonical) -> bool:
    """Whether discounts are recorded, of deals or of their lines."""
    return data.has("deals", "discount_share") or data.has("deal_lines", "discount_share", "unit_price", "quantity")


def knows_payments(data: Canonical) -> bool:
    """Whether invoices say when they were due and when they were paid."""
    return data.has("invoices", "amount", "due_on", "paid_on")


def capital_rate(settings: Company) -> float:
    """Cost of capital per year: ``costs.capital_rate``, else the rate by which lifetime value is discounted."""
    own = settings.costs.capital_rate
    return settings.lifetime_value.annual_discount_rate if own is None else own


def won_deals(data: Canonical, settings: Company) -> nw.LazyFrame[Any]:
    """Won deals of the period, returns among them; all of a company that has no days."""
    period, day = current_period(settings), day_number("closed_on")
    won = data.scan("deals").filter(nw.col("status") == "won")
    if data.has("deals", "closed_on"):
        won = won.filter(day >= day_of(period.start), day <= day_of(period.end))
    return won


@answers("segments.whale_curve")
def whale_curve(data: Canonical, settings: Company, economics: nw.LazyFrame[Any]) -> WhaleCurve | Unanswered:
    """Cumulative contribution of clients ranked from the most to the least profitable.

    The peak is what the company would keep without the clients that cost more than they bring;
    contribution is margin − cost to serve, or margin where no cost to serve is known.

    Parameters
    ----------
    economics
        One row per client (``client_economics``).

    References
    ----------
    Kaplan & Narayanan (2001), "Measuring and managing customer profitability".
    """
    knows_cost = bool(collect(economics.select(nw.col("cost_to_serve").max()))["cost_to_serve"].notna().any())
    what = "contribution" if knows_cost else "margin"
    earned = collect(economics.select("client_id", what).sort("client_id"))
    served = earned[earned[what] != 0].sort_values([what, "client_id"], ascending=[False, True])
    total = float(served[what].sum())
    if served.empty or total <= 0:
        return Unanswered(
            "segments.whale_curve",
            f"the clients' {what} adds up to {formats.money(total, settings.currency)}, so no share of it can be drawn.",
        )
    cumulative = served[what].cumsum() / total
    curve = pd.DataFrame({"client_share": _ranks(len(served)), "cumulative_margin_share": cumulative.to_numpy()})
    start = pd.DataFrame({"client_share": [0.0], "cumulative_margin_share": [0.0]})
    steps = sorted(
        {round(i * (len(curve) - 1) / (CURVE_POINTS - 1)) for i in range(CURVE_POINTS)} | {int(cumulative.to_numpy().argmax())}
    )
    loss_makers = served[served[what] < 0]
    period = current_period(settings)
    return WhaleCurve(
        sentence=_whale_sentence(served[what], loss_makers[what], total, what, settings.currency)
        + _without_margin(data, settings),
        table=_whale_table(served[what], total, what),
        caption=f"Clients by {what}, {period.label}",
        labels={"cumulative_share": f"Cumulative share of {what}"},
        curve=pd.concat([start, curve.iloc[steps]], ignore_index=True),
        measure=what,
    )


def cost_of_contacts(
    contacts: nw.LazyFrame[Any],
    settings: Company,
    rates: pd.DataFrame,
    *,
    start: dt.date,
    end: dt.date,
    by: Sequence[str] = ("client_id",),
) -> nw.LazyFrame[Any]:
    """What each client's contacts cost, by the pools and prices of company.yml.

    Parameters are those of ``cost_to_serve.priced_work``, the frame that of ``cost_to_serve.cost_by_client``.
    """
    work = tdabc.priced_work(
        contacts, rates, start=start, end=end, pools=pools(settings), contact_costs=settings.costs.contact, by=by
    )
    return tdabc.cost_by_client(work, by)


def pools(settings: Company) -> tuple[tdabc.Pool, ...]:
    """The cost pools that company.yml describes."""
    return tuple(
        tdabc.Pool(
            name=pool.name,
            cost_per_month=pool.cost_per_month,
            practical_minutes_per_month=pool.practical_minutes_per_month,
            channels=tuple(pool.channels),
            departments=tuple(pool.departments),
        )
        for pool in settings.costs.pools
    )


def _sold_by_client(data: Canonical, settings: Company) -> nw.LazyFrame[Any]:
    """Sums of the period's won deals: one row per client that has any."""
    amount, share = as_float("amount"), as_float("discount_share").fill_null(0.0)
    won = won_deals(data, settings)
    if data.has("deals", "discount_share") or not knows_discounts(data):
        # The list price was amount / (1 − share); all of it given away leaves nothing to tell it from.
        below = nw.when(share < 1).then(share).otherwise(nw.lit(0.0))
        won = won.with_columns(discount=nw.when(amount > 0).then(amount * below / (1 - below)).otherwise(nw.lit(0.0)))
    else:
        won = won.join(_line_discounts(data), on="deal_id", how="left")
    parts = won.with_columns(delivery=as_float("delivery_cost"), returns=nw.when(amount < 0).then(-amount).otherwise(nw.lit(0.0)))
    sums = ("amount", "margin", "delivery", "discount", "returns")
    return parts.group_by("client_id").agg(nw.len().alias("deals"), *(nw.col(name).sum() for name in sums))


def _line_discounts(data: Canonical) -> nw.LazyFrame[Any]:
    """What discounts took off each deal's lines, whose prices are those after discount."""
    share, net = as_float("discount_share").fill_null(0.0), as_float("quantity") * as_float("unit_price")
    below = nw.when(share < 1).then(share).otherwise(nw.lit(0.0))
    lines = data.scan("deal_lines").with_columns(discount=nw.when(net > 0).then(net * below / (1 - below)).otherwise(nw.lit(0.0)))
    return lines.group_by("deal_id").agg(nw.col("discount").sum())


def _served_by_client(
    sold: nw.LazyFrame[Any], data: Canonical, settings: Company, cost: CostToServe | Unanswered
) -> nw.LazyFrame[Any]:
    """``sold`` with ``contacts`` and the parts of cost to serve; what nothing is recorded of is missing."""
    nothing = nw.lit(None, nw.Float64)
    if isinstance(cost, Unanswered):
        served = sold.with_columns(contacts=nw.lit(None, nw.Int64), time_cost=nothing, direct_cost=nw.lit(0.0))
    else:
        parts = ("time_cost", "direct_cost")
        served = sold.join(cost.by_client.select("client_id", "contacts", *parts), on="client_id", how="left")
        served = served.with_columns(nw.col("contacts").fill_null(0), *(nw.col(name).fill_null(0.0) for name in parts))
    direct = nothing
    if data.has("deals", "delivery_cost"):
        direct = (nw.col("direct_cost") + nw.col("delivery").fill_null(0.0)).round(6)
    elif not isinstance(cost, Unanswered) and (data.has("interactions", "direct_cost") or settings.costs.contact):
        direct = nw.col("direct_cost")
    if not knows_payments(data):
        return served.with_columns(direct_cost=direct, payment_cost=nothing)
    period = current_period(settings)
    late = payment_delay.payment_cost_by_client(
        data.scan("invoices"), start=period.start, end=period.end, yearly_rate=capital_rate(settings)
    )
    joined = served.join(late, on="client_id", how="left")
    return joined.with_columns(direct_cost=direct, payment_cost=nw.col("payment_cost").fill_null(0.0))


def _cost_sentence(rates: pd.DataFrame, activities: pd.DataFrame, currency: str, period: Period) -> str:
    direct = float(activities["direct_cost"].sum())
    total, allocated, unused, rest = (
        float(rates[c].sum()) for c in ("cost", "allocated_cost", "unused_cost", "not_allocated_cost")
    )
    if total <= 0:
        return f"No cost is recorded between {period.label}; contacts are counted, but not priced."
    parts = [f"{formats.money_short(allocated, currency)} ({formats.share(allocated / total)}) was used by clients"]
    if unused > 0:
        parts.append(f"{formats.money_short(unused, currency)} ({formats.share(unused / total)}) is capacity that nobody used")
    if rest > 0:
        parts.append(
            f"{formats.money_short(rest, currency)} ({formats.share(rest / total)}) is not explained by any recorded activity"
        )
    over = rates.loc[rates["status"] == "overloaded", "pool"].tolist()
    warning = f" More minutes are recorded than {formats.join(over)} can supply: check capacity or minutes." if over else ""
    cash = f" Cash spent on contacts adds {formats.money_short(direct, currency)}." if direct > 0 else ""
    contacts = int(activities["contacts"].sum())
    recorded = round(float((activities["contacts"] * activities["recorded_share"]).sum()))
    filled = (
        f" {formats.number(contacts - recorded)} of {formats.plural(contacts, 'contact')} have no minutes recorded and take the "
        "mean of their kind."
        if 0 < recorded < contacts
        else ""
    )
    return f"Of {formats.money_short(total, currency)} spent on the cost pools, {formats.join(parts)}.{cash}{filled}{warning}"


def _ranks(count: int) -> list[float]:
    return [rank / count for rank in range(1, count + 1)]


def _whale_sentence(earned: pd.Series[float], losses: pd.Series[float], total: float, what: str, currency: str) -> str:
    peak = float(earned[earned > 0].sum())
    best = max(1, round(len(earned) * 0.2))
    brought = formats.share(float(earned.iloc[:best].sum()) / total)
    clients = f"{formats.plural(best, 'client')} ({formats.share(best / len(earned))})"
    top = f"The best {clients} {'brings' if best == 1 else 'bring'} {brought} of the {what}"
    if losses.empty:
        return f"{top}; no client costs more than it brings."
    lost, given = formats.share(len(losses) / len(earned)), formats.money_short(-float(losses.sum()), currency)
    does = "costs more than it brings and gives" if len(losses) == 1 else "cost more than they bring and give"
    return (
        f"{top}; {formats.plural(len(losses), 'client')} ({lost}) {does} "
        f"back {given} of the {formats.money_short(peak, currency)} that the others earn."
    )


def _without_margin(data: Canonical, settings: Company) -> str:
    """What the deals of the period without a known margin amount to; empty where there is none."""
    sums = won_deals(data, settings).select(unknown=nw.col("margin").is_null(), amount=as_float("amount")).group_by("unknown")
    found = collect(sums.agg(nw.len().alias("deals"), nw.col("amount").sum())).set_index("unknown")
    if True not in found.index:
        return ""
    deals, amount = int(found.loc[True, "deals"]), float(found.loc[True, "amount"])
    return (
        f" {formats.plural(deals, 'deal')} of {formats.money_short(amount, settings.currency)} in all "
        f"{'has' if deals == 1 else 'have'} no cost recorded: {'its' if deals == 1 else 'their'} margin counts as zero."
    )


def _whale_table(earned: pd.Series[float], total: float, what: str) -> pd.DataFrame:
    """One row per fifth of the clients, from the best to the worst."""
    fifth = [min(4, position * 5 // len(earned)) for position in range(len(earned))]
    names = ["Best fifth", "Second fifth", "Third fifth", "Fourth fifth", "Worst fifth"]
    grouped = earned.groupby(fifth).agg(["count", "sum"])
    return pd.DataFrame(
        {
            "clients_ranked": [names[i] for i in grouped.index],
            "clients": grouped["count"].to_numpy(),
            what: grouped["sum"].to_numpy(),
            "cumulative_share": grouped["sum"].cumsum().to_numpy() / total,
        }
    )


def read_once(data: Canonical, frame: nw.LazyFrame[Any], max_rows: int) -> nw.LazyFrame[Any]:
    """``frame`` held in memory where it has no more than ``max_rows`` rows; else itself, computed at every reading."""
    try:
        rows = collect(frame, max_rows=max_rows)
    except TooManyRowsError:
        return frame
    return data.engine.frame(rows) if len(rows) else frame


def evenly_spread(frame: nw.LazyFrame[Any], most: int, key: str = "client_id") -> nw.LazyFrame[Any]:
    """Every k-th row in order of ``key``, with the least k that leaves no more than ``most`` rows."""
    count = int(collect(frame.select(n=nw.len()))["n"].iloc[0])
    step = max(1, math.ceil(count / most))
    if step == 1:
        return frame
    place = nw.col("_place").cum_sum().over(order_by=key)
    return frame.with_columns(_place=nw.lit(1)).with_columns(_place=place).filter(nw.col("_place") % step == 0).drop("_place")
