"""What each offer costs and brings, and what is done with one that does not pay. A room of stage 3.

Every client has a ladder of offers from the one designed for it down to the simplest: first the
service package is made simpler, then the product package. A step that costs more than it adds does not
pay, so the step with the largest net gain is offered; where even that is a loss, the client is flagged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.offers_plan import OffersPlan, ServicePackage, chain
from crm_methods.company.periods import current_period
from crm_methods.company.plans import Plan
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import segment_label
from crm_methods.engine import as_float, collect, day_number, day_of
from crm_methods.stages.offers_packages import Packages
from crm_methods.stages.offers_products import ordered_segments
from crm_methods.stages.offers_profile import REQUESTS, nth
from crm_methods.stages.offers_white_space import WhiteSpace
from crm_methods.stages.offers_wording import module_cost

DISCOUNTS = (0.05, 0.10, 0.20)
_CONTACTS = 15
"""Contacts that a channel must have had on our initiative before they alone tell its cost."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Economics(Answer):
    """What the offers cost and bring in a year.

    ``offers`` (lazy) has one row per client: its facts, ``product_package`` and ``service_package`` as offered, the designed
    ones, ``expected_revenue``, ``expected_margin``, ``kept_margin``, ``contact_cost``, ``discount_cost``,
    ``offer_cost``, ``net_gain``,
    ``break_even_share``, ``pays``, ``downgraded``, ``within_budget``. ``net_gain = expected_margin + kept_margin −
    offer_cost``.
    """

    offers: nw.LazyFrame[Any]
    contact_costs: pd.DataFrame


@answers("offers.discounts")
def discounts(data: Canonical, settings: Company, plan: Plan[OffersPlan], bought: nw.LazyFrame[Any]) -> Answer | Unanswered:
    """How much more volume a discount must bring to leave the margin where it was: ``δ / (m − δ)``, by product line.

    No elasticity is estimated: discounts are given to those who ask for them, so their effect can't be read off the deals.
    """
    period = current_period(settings)
    table = _margin_shares(data, settings, bought)
    table = table[table["revenue"] > 0].sort_values("revenue", ascending=False, ignore_index=True)
    if table.empty:
        return Unanswered("offers.discounts", "nothing was sold in the period.")
    steps = sorted({*DISCOUNTS, *(p.discount_share for p in plan.content.product_packages if p.discount_share)})
    more = {f"volume_{step:.3f}_share": [break_even_share(step, m) for m in table["margin_share"]] for step in steps}
    shown = table.assign(**more)
    total = shown["margin"].sum() / shown["revenue"].sum()
    volume = break_even_share(0.10, total)
    said = (
        f"a discount of 10% pays only if it brings {formats.share(volume)} more volume"
        if volume is not None
        else "no volume makes up for a discount of 10%"
    )
    return Answer(
        sentence=f"At the mean margin of {formats.share(total, 1)} of revenue, {said}.",
        table=shown.drop(columns="margin"),
        caption=f"Additional volume at which a discount leaves the margin unchanged, by product line, {period.label}; "
        "a dash where the discount is the whole margin or more",
        labels={"line": "Product line", **{f"volume_{step:.3f}_share": f"At {formats.share(step)} discount" for step in steps}},
    )


@answers("offers.economics")
def economics(
    data: Canonical, settings: Company, plan: Plan[OffersPlan], designed: Packages, white: WhiteSpace | None = None
) -> Economics | Unanswered:
    """What each client's offer costs and brings in a year; offers that do not pay are made simpler.

    An offer brings the margin of the products proposed (``uptake × uptake_multiple × probability × margin of a buyer``)
    and the margin that its level of service keeps (``keeps_share × the client's yearly margin``, an assumption of the plan).
    It costs the planned contacts, the extras, adapting the products, the discount and the modules' costs.

    With ``offers.budget`` everybody gets at least the simplest offer; better ones are granted by net gain per unit of cost,
    both against the simplest, until the money is spent.
    """
    costs = contact_costs(data, settings, designed.designed)
    if costs.empty:
        return Unanswered(
            "offers.economics",
            "what a contact with a client costs is not known.",
            ("interactions.handling_minutes with a cost ledger or costs.pools in company.yml", "costs.contact in company.yml"),
        )
    steps = _steps(data, plan.content, designed.designed, costs)
    chosen = _best_step(steps)
    offers = chosen if settings.offers.budget is None else _within_budget(steps, chosen, settings.offers.budget)
    offers = offers.with_columns(
        (nw.col("step") > 0).alias("downgraded"),
        (nw.col("net_gain") >= 0).alias("pays"),
        nw.when(nw.col("next_margin_share") > nw.col("discount_share"))
        .then(nw.col("discount_share") / (nw.col("next_margin_share") - nw.col("discount_share")))
        .alias("break_even_share"),
        *([nw.lit(None, dtype=nw.Boolean).alias("within_budget")] if settings.offers.budget is None else []),
    )
    table = _by_segment(offers)
    return Economics(
        sentence=_sentence(table, settings, white),
        table=table,
        caption="What the offers of a segment are expected to bring and cost in a year, after making those simpler "
        "that did not pay",
        labels={
            "kept_margin": "Margin kept by service",
            "expected_margin": "Margin of proposed products",
            "downgraded_clients": "Made simpler",
            "losing_clients": "Do not pay even so",
        },
        offers=offers,
        contact_costs=costs,
    )


def break_even_share(discount_share: float, margin_share: float) -> float | None:
    """Additional volume, as a share, that a discount δ needs at a margin m: ``δ / (m − δ)``; None when m ≤ δ."""
    return discount_share / (margin_share - discount_share) if margin_share > discount_share else None


def contact_costs(data: Canonical, settings: Company, clients: nw.LazyFrame[Any]) -> pd.DataFrame:
    """What one contact costs by channel: ``channel`` (``*`` = any other) and ``contact_cost``; empty when it is not known.

    Measured where stage 2 knows the cost to serve: mean minutes × cost of time / minutes + mean direct cost, of contacts
    that are no requests where a channel has enough of those.
    Else ``costs.contact`` of company.yml, which holds what is paid for a contact beside our own time.
    """
    costs = collect(clients.select(as_float("cost_to_serve").sum(), as_float("time_cost").sum())).fillna(0).iloc[0]
    total, of_time = float(costs["cost_to_serve"]), float(costs["time_cost"])
    period = current_period(settings)
    if total > 0 and data.has("interactions", "handling_minutes"):
        day = day_number("started_at")
        seen = data.scan("interactions").filter(day >= day_of(period.start), day <= day_of(period.end))
        contacts = seen.select(
            nw.col("channel").fill_null("*").alias("channel"),
            as_float("handling_minutes").fill_null(0.0).alias("minutes"),
            as_float("direct_cost").fill_null(0.0).alias("direct"),
            nw.col("kind").str.to_lowercase().is_in(list(REQUESTS)).fill_null(False).alias("asked"),
        )
        sums = collect(
            contacts.group_by("channel", "asked").agg(nw.len().alias("n"), nw.col("minutes").sum(), nw.col("direct").sum())
        )
        if float(sums["minutes"].sum()) > 0:
            priced = of_time or max(total - float(sums["direct"].sum()), 0.0)
            return _by_channel(sums, priced / float(sums["minutes"].sum()))
    given = settings.costs.contact
    rows = {**given, "*": sum(given.values()) / len(given)} if given else {}
    return pd.DataFrame(
        {"channel": sorted(rows), "contact_cost": [rows[c] for c in sorted(rows)]}, columns=["channel", "contact_cost"]
    )


def _by_channel(sums: pd.DataFrame, per_minute: float) -> pd.DataFrame:
    """Mean cost per contact; a planned contact is like those we seek, not like a request, where enough of the former are
    known."""
    columns = ["n", "minutes", "direct"]
    sought = sums[~sums["asked"] & (sums["n"] >= _CONTACTS)]
    any_kind = sums.groupby("channel", as_index=False)[columns].sum()
    everything = sums[columns].sum().to_frame().T.assign(channel="*")
    known = pd.concat([sought, any_kind[any_kind["channel"] != "*"], everything], ignore_index=True).drop_duplicates("channel")
    known = known.assign(contact_cost=(known["minutes"] * per_minute + known["direct"]) / known["n"])
    return known[["channel", "contact_cost"]].sort_values("channel", ignore_index=True)


def planned_contact_cost(package: ServicePackage, costs: pd.DataFrame) -> float:
    """Yearly cost of a package's contacts: reviews by the first channel, the others by the second."""
    cost_of: dict[str, float] = {str(row.channel): float(row.contact_cost) for row in costs.itertuples()}
    first = cost_of.get(package.channels[0], cost_of["*"])
    second = cost_of.get(package.channels[1], cost_of["*"]) if len(package.channels) > 1 else first
    return package.reviews_per_year * first + (package.contacts_per_year - package.reviews_per_year) * second


def _margin_shares(data: Canonical, settings: Company, bought: nw.LazyFrame[Any]) -> pd.DataFrame:
    """One row per product line (``line``, ``revenue``, ``margin``, ``margin_share``); one for everything where lines are
    not known."""
    if data.has("deal_lines", "product_id"):
        lines = bought.filter(nw.col("in_period"), ~nw.col("period_margin").is_null())
        sums = collect(
            lines.group_by("category").agg(
                nw.col("period_revenue").sum().alias("revenue"), nw.col("period_margin").sum().alias("margin")
            )
        )
        sums = sums.rename(columns={"category": "line"})
    else:
        period = current_period(settings)
        won = data.scan("deals").filter(
            nw.col("status") == "won", ~nw.col("margin").is_null(), day_number("closed_on") >= day_of(period.start)
        )
        sums = (
            collect(won.select(as_float("amount").sum().alias("revenue"), as_float("margin").sum().alias("margin")))
            .fillna(0.0)
            .assign(line="all products")
        )
    return sums.assign(margin_share=sums["margin"] / sums["revenue"].where(sums["revenue"] > 0))[
        ["line", "revenue", "margin", "margin_share"]
    ]


def _steps(data: Canonical, plan: OffersPlan, designed: nw.LazyFrame[Any], costs: pd.DataFrame) -> nw.LazyFrame[Any]:
    """A row per client and step of its ladder, with costs and gains; step 0 is the offer as designed."""
    ladder = data.engine.frame(_ladder(plan, costs))
    on = ["designed_product_package", "designed_service_package"]
    revenue, margin = (
        nw.max_horizontal(as_float(f"yearly_{what}").fill_null(0.0), nw.lit(0.0)) for what in ("revenue", "margin")
    )
    # Nobody takes up more than the probability says, whatever the plan assumes.
    ceiling = nw.lit(1.0) / nw.col("uptake_share")
    multiple = nw.when(nw.col("uptake_share") * nw.col("uptake_multiple") > 1).then(ceiling).otherwise(nw.col("uptake_multiple"))
    rows = designed.join(ladder, on=on, how="inner").with_columns(
        (as_float("expected_revenue").fill_null(0.0) * multiple).alias("expected_revenue"),
        (as_float("expected_margin").fill_null(0.0) * multiple).alias("expected_margin"),
        (nw.col("keeps_share") * margin).alias("kept_margin"),
        module_cost(plan.modules).alias("modules_cost"),
    )
    rows = rows.with_columns((nw.col("discount_share") * nw.col("expected_revenue")).alias("discount_cost"))
    cost = (
        nw.col("contact_cost")
        + nw.col("fixed_cost")
        + nw.col("extras_share") * revenue
        + nw.col("modules_cost")
        + nw.col("adaptation_share") * nw.col("expected_revenue")
        + nw.col("discount_cost")
    )
    rows = rows.with_columns(cost.alias("offer_cost"))
    return rows.with_columns((nw.col("expected_margin") + nw.col("kept_margin") - nw.col("offer_cost")).alias("net_gain"))


def _ladder(plan: OffersPlan, costs: pd.DataFrame) -> pd.DataFrame:
    """One row per pair of designed packages and step down from it, with the terms of the step."""
    rows = []
    for product in plan.product_packages:
        for service in plan.service_packages:
            services, products = chain(plan.service_packages, service.name), chain(plan.product_packages, product.name)
            steps = [(product.name, name) for name in services] + [(name, services[-1]) for name in products[1:]]
            for step, (product_name, service_name) in enumerate(steps):
                sold, served = plan.product(product_name), plan.service(service_name)
                rows.append(
                    {
                        "designed_product_package": product.name,
                        "designed_service_package": service.name,
                        "step": step,
                        "last_step": len(steps) - 1,
                        "product_package": product_name,
                        "service_package": service_name,
                        "discount_share": sold.discount_share,
                        "adaptation_share": sold.adaptation_share,
                        "uptake_multiple": float(sold.uptake_multiple),
                        "fixed_cost": sold.cost_per_year + served.cost_per_year,
                        "extras_share": served.extras_share,
                        "keeps_share": served.keeps_share,
                        "contact_cost": planned_contact_cost(served, costs),
                    }
                )
    return pd.DataFrame(rows)


def _best_step(steps: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """The step with the largest net gain; of equals the one nearest to the design."""
    ordered = steps.with_columns((-nw.col("net_gain")).alias("descending"))
    return (
        ordered.with_columns(nth(["client_id"], ["descending", "step"]).alias("nth"))
        .filter(nw.col("nth") == 1)
        .drop("nth", "descending")
    )


def _within_budget(steps: nw.LazyFrame[Any], chosen: nw.LazyFrame[Any], budget: float) -> nw.LazyFrame[Any]:
    """Grant better offers by net gain per unit of cost, both against the client's simplest offer, while the budget lasts."""
    simplest = steps.filter(nw.col("step") == nw.col("last_step"))
    base = simplest.select("client_id", nw.col("offer_cost").alias("base_cost"), nw.col("net_gain").alias("base_gain"))
    wanted = (
        chosen.select("client_id", "offer_cost", "net_gain", "step")
        .join(base, on="client_id", how="inner")
        .with_columns(
            (nw.col("offer_cost") - nw.col("base_cost")).alias("more_cost"),
            (nw.col("net_gain") - nw.col("base_gain")).alias("more_gain"),
        )
    )
    spent = float(collect(base.select(nw.col("base_cost").sum()))["base_cost"].fillna(0).iloc[0])
    free = nw.col("more_cost") <= 0
    ratio = nw.when(free).then(nw.lit(-1e18)).otherwise(-nw.col("more_gain") / nw.col("more_cost"))
    ordered = wanted.with_columns(ratio.alias("order")).with_columns(
        nw.col("more_cost").cum_sum().over(order_by=["order", "client_id"]).alias("total")
    )
    worth_it = (nw.col("more_gain") > 0) & (nw.col("total") <= budget - spent)
    granted = ordered.select("client_id", (worth_it | (free & (nw.col("more_gain") >= 0))).alias("within_budget"))
    better = chosen.join(granted.filter(nw.col("within_budget")), on="client_id", how="inner")
    rest = simplest.join(granted.filter(~nw.col("within_budget")), on="client_id", how="inner")
    return nw.concat([better, rest.select(*better.collect_schema().names())])


def _by_segment(offers: nw.LazyFrame[Any]) -> pd.DataFrame:
    flagged = offers.with_columns(
        nw.when(nw.col("downgraded")).then(nw.lit(1)).otherwise(nw.lit(0)).alias("downgraded_clients"),
        nw.when(nw.col("pays")).then(nw.lit(0)).otherwise(nw.lit(1)).alias("losing_clients"),
    )
    sums = [
        nw.col(name).sum()
        for name in ("expected_margin", "kept_margin", "offer_cost", "net_gain", "downgraded_clients", "losing_clients")
    ]
    table = collect(flagged.group_by("segment").agg(nw.len().alias("clients"), *sums))
    order = {name: i for i, name in enumerate(ordered_segments(table["segment"].tolist()))}
    return table.sort_values("segment", key=lambda s: s.map(order), ignore_index=True)


def _sentence(table: pd.DataFrame, settings: Company, white: WhiteSpace | None) -> str:
    def money(amount: float) -> str:
        return formats.money_short(float(amount), settings.currency)

    sums = table.drop(columns="segment").sum()
    best = table.sort_values("net_gain", ascending=False).iloc[0]
    said = (
        f"The offers cost {money(sums['offer_cost'])} a year and bring {money(sums['expected_margin'] + sums['kept_margin'])}: "
        f"{money(sums['expected_margin'])} from products proposed and {money(sums['kept_margin'])} kept by service, "
        "both by assumptions of the plan: how much more often a proposal is taken up than an unasked purchase is made, "
        "and what share of a client's margin service keeps. "
        f"The net gain is largest in {segment_label(str(best['segment']))}, {money(best['net_gain'])}. "
        f"{_was(sums['downgraded_clients'])} made simpler, since "
        f"{'it' if sums['downgraded_clients'] == 1 else 'they'} did not pay as designed"
    )
    if settings.offers.budget is not None:
        limit = money(settings.offers.budget)
        said += f", or since the budget of {limit} went to offers with more gain per {settings.currency} of cost"
        if sums["offer_cost"] > settings.offers.budget:
            said += " (even the simplest offers cost more than the budget)"
    if sums["losing_clients"]:
        does = "does" if sums["losing_clients"] == 1 else "do"
        said += f"; {formats.plural(sums['losing_clients'], 'client')} {does} not pay even so"
    return (
        f"{said}."
        if white is None or white.uptake.known
        else f"{said}. The products' part is a ceiling, since their uptake is not known."
    )


def _was(count: float) -> str:
    return f"{formats.plural(count, 'offer')} {'was' if count == 1 else 'were'}"
