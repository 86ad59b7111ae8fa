"""Stage 1: on which terms clients buy, how that changes, and whether deliveries keep the promised day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import current_period, previous_period
from crm_methods.company.settings import Company
from crm_methods.engine import as_float, collect, day_number, day_of
from crm_methods.models import rates
from crm_methods.models.share_changes import CHANGE, MEASURES, is_clear, judged_together, share_changes
from crm_methods.stages.client_base_changes import (
    change_in_points,
    change_in_words,
    changes_in_points,
    of_two_periods,
)

ATTRIBUTES: Mapping[str, str] = {
    "terms": "Terms of purchase", "distribution_channel": "Channel of sale", "kind": "Kind of deal", "discount": "Discount",
}  # fmt: skip
_BANDS = ((0.0, "no discount"), (0.05, "up to 5%"), (0.10, "over 5% to 10%"), (0.20, "over 10% to 20%"))
_TOP_BAND = "over 20%"
SHOWN_VALUES = 8
_DATES = ("promised_on", "delivered_on")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Terms(Answer):
    """On which terms clients buy: ``changes`` has one row per attribute and value.

    Columns: ``attribute``, ``name``, ``deals``, ``clients`` and, of deals and of revenue (``deals_``, ``revenue_``),
    ``share``, ``low_share``, ``high_share``, ``share_previous``, ``change``, ``low_change``, ``high_change`` (0–1),
    ``p_value`` and ``q_value``, the latter over all the changes of deals and revenue.
    """

    changes: pd.DataFrame


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Delivery(Answer):
    """Whether deliveries keep the promised day: ``periods`` has the rows ``now`` and ``before``; empty where nothing is known."""

    periods: pd.DataFrame


@answers("client_base.terms")
def terms(data: Canonical, settings: Company) -> Terms | Unanswered:
    """Terms, channel, kind and discount of what was bought: shares of deals and of revenue, and how they change.

    Purchases are won deals that are no return. Shares are of the purchases whose value is recorded.

    Returns
    -------
    Terms
        Each share has an interval, and each change too, clustered by client. Which changes are clear is corrected for
        the number of changes compared, those of deals and of revenue together.
    """
    bought = purchases_of_two_periods(data, settings)
    known = [name for name in ATTRIBUTES if data.has("deals", "discount_share" if name == "discount" else name)]
    counted = collect(bought.group_by("now").agg(deals=nw.len())).set_index("now")["deals"]
    if not counted.get(1, 0):
        return Unanswered("client_base.terms", f"nothing was bought from {current_period(settings).label}.")
    if not known:
        text = "Of the purchases neither terms, channel, kind nor discount is recorded."
        return Terms(sentence=text, table=pd.DataFrame(), caption="", changes=pd.DataFrame())
    changes = pd.concat([_attribute(bought, name) for name in known], ignore_index=True)
    changes = judged_together(changes, ("deals_", "revenue_"))
    recorded = {name: changes.loc[changes["attribute"] == name, "deals"].sum() / counted[1] for name in known}
    shown = changes.groupby("attribute", sort=False).head(SHOWN_VALUES)
    table = pd.DataFrame(
        {
            "by": shown["attribute"].map(ATTRIBUTES), "value": shown["name"], "deals": shown["deals"],
            "deals_share": shown["deals_share"], "deals_previous_share": shown["deals_share_previous"],
            "deals_change": changes_in_points(shown, "deals_"),
            "revenue_share": shown["revenue_share"], "revenue_previous_share": shown["revenue_share_previous"],
            "revenue_change": changes_in_points(shown, "revenue_"),
        }
    )  # fmt: skip
    return Terms(
        sentence=_terms_sentence(changes, recorded),
        table=table.reset_index(drop=True),
        caption=f"Purchases of {current_period(settings).label} and of the period before; "
        "change in percentage points with its 95% interval, clustered by client, where it is clear among all compared",
        labels={
            "deals_share": "Of deals", "deals_previous_share": "Before", "deals_change": "Change, points",
            "revenue_share": "Of revenue", "revenue_previous_share": "Before", "revenue_change": "Change, points",
        },
        changes=changes,
    )  # fmt: skip


@answers("client_base.terms")
def delivery(data: Canonical, settings: Company) -> Delivery:
    """The share of deals delivered by the promised day, how many came late, and what delivering cost.

    Late is a day of delivery after the promised one; a day of delivery after the as-of day is one of a plan, not of a
    delivery. Deals past their promised day and not delivered are counted apart: whether they are late or only not
    recorded can't be told.
    """
    has_dates, has_cost = data.has("deals", *_DATES), data.has("deals", "delivery_cost")
    if not has_dates and not has_cost:
        text = (
            "Whether deliveries keep their day, and what they cost, is not recorded: it takes deals.promised_on,"
            " deals.delivered_on and deals.delivery_cost."
        )
        return Delivery(sentence=text, table=pd.DataFrame(), caption="", periods=pd.DataFrame())
    bought = _delivered(purchases_of_two_periods(data, settings), settings)
    punctual = share_changes(bought.filter(~nw.col("name").is_null())) if has_dates else pd.DataFrame()
    periods = _delivery_periods(bought, has_dates=has_dates, has_cost=has_cost)
    sentences = [_punctual_sentence(periods, punctual)] if has_dates else []
    sentences += [_delivery_cost_sentence(periods, settings)] if has_cost else []
    named = {"now": current_period(settings).label, "before": previous_period(settings).label}
    return Delivery(
        sentence=" ".join(sentences),
        table=periods.assign(period=periods["period"].map(named)),
        caption="Deals bought in each period: delivered by the promised day or later, and the cost of delivery",
        labels={
            "on_time_share": "On time", "low_share": "From (95%)", "high_share": "To (95%)",
            "overdue": "Past their day, not delivered", "delivery_cost_share": "Of their revenue",
        },
        periods=periods,
    )  # fmt: skip


def purchases_of_two_periods(data: Canonical, settings: Company) -> nw.LazyFrame[Any]:
    """Purchases of the period (``now`` 1) and of the one before (``now`` 0), with the band of their discount.

    Deals of a company without dates all count as the period's.
    """
    deals = data.scan("deals").filter(nw.col("status") == "won", nw.col("amount") >= 0)
    deals = deals.with_columns(discount=_band("discount_share"), revenue=as_float("amount"))
    if not data.has("deals", "closed_on"):
        return deals.with_columns(now=nw.lit(1))
    return of_two_periods(deals, "closed_on", settings)


def _attribute(bought: nw.LazyFrame[Any], attribute: str) -> pd.DataFrame:
    """Shares of deals and of revenue of one attribute's values."""
    rows = bought.with_columns(name=nw.col(attribute)).filter(~nw.col("name").is_null())
    deals, revenue = share_changes(rows), share_changes(rows, "revenue")
    of_revenue = revenue.set_index("name")[list(MEASURES)].add_prefix("revenue_")
    table = deals.rename(columns={name: f"deals_{name}" for name in MEASURES} | {"total": "deals"})
    table = table.drop(columns="total_previous").join(of_revenue, on="name")
    return table.assign(attribute=attribute, deals=table["deals"].astype("int64"))[
        ["attribute", "name", "deals", "clients", *[f"{what}_{m}" for what in ("deals", "revenue") for m in MEASURES]]
    ]


def _band(column: str) -> nw.Expr:
    """The band of a discount; unknown stays unknown."""
    discount = as_float(column)
    band: nw.Expr = nw.lit(_TOP_BAND)
    for limit, name in reversed(_BANDS):
        band = nw.when(discount <= limit).then(nw.lit(name)).otherwise(band)
    return nw.when(~discount.is_null()).then(band).otherwise(nw.lit(None, nw.String))


def _terms_sentence(changes: pd.DataFrame, recorded: Mapping[str, float]) -> str:
    texts = []
    for attribute, rows in changes.groupby("attribute", sort=False):
        first = rows.iloc[0]
        text = (
            f"{ATTRIBUTES[str(attribute)]}: mostly “{first['name']}”, with {formats.share(first['deals_share'])} of deals and "
            f"{formats.share(first['revenue_share'])} of revenue"
        )
        unknown = 1 - recorded[str(attribute)]
        texts.append(f"{text} ({formats.share(unknown)} of deals name none)." if unknown >= 0.005 else f"{text}.")
    if not texts:
        return "No term of purchase is recorded for the purchases of the period."
    return f"{' '.join(texts)} {_changes_in_words(changes)}"


def _changes_in_words(changes: pd.DataFrame) -> str:
    compared = int(changes["deals_low_change"].notna().sum())
    if not compared:
        return "There is no period before to compare with."
    clear = changes[is_clear(changes, "deals_")]
    if clear.empty:
        return f"Of {formats.plural(compared, 'share')} of deals compared with the period before, none shows a clear change."
    said = [
        f"“{row.name_}” of {ATTRIBUTES[row.attribute].lower()}"
        f" {change_in_points(row.deals_change, row.deals_low_change, row.deals_high_change)}"
        for row in clear.head(3).rename(columns={"name": "name_"}).itertuples()
    ]
    more = f" and {formats.number(len(clear) - 3)} more" if len(clear) > 3 else ""
    return (
        f"Of {formats.plural(compared, 'share')} of deals compared with the period before,"
        f" {formats.number(len(clear))} {'shows' if len(clear) == 1 else 'show'} a clear change, in percentage points:"
        f" {formats.join(said) if not more else ', '.join(said)}{more}. This is corrected for the number of comparisons."
    )


def _delivered(bought: nw.LazyFrame[Any], settings: Company) -> nw.LazyFrame[Any]:
    """Each purchase with ``name`` (on time, late, or missing), days late, and whether it is past its promised day."""
    today, missing = day_of(settings.as_of), nw.lit(None, nw.String)
    delivered = (day_number("delivered_on") <= today).fill_null(False)
    passed = day_number("promised_on") < today
    late = nw.when(delivered).then(day_number("delivered_on") - day_number("promised_on"))
    return bought.with_columns(days_late=late).with_columns(
        name=nw.when(nw.col("days_late") > 0).then(nw.lit("late"))
        .otherwise(nw.when(nw.col("days_late") <= 0).then(nw.lit("on time")).otherwise(missing)),
        overdue=nw.when(passed & ~delivered).then(nw.lit(1)).otherwise(nw.lit(0)),
        known_cost=as_float("delivery_cost"),
        revenue_of_known=nw.when(~nw.col("delivery_cost").is_null()).then(as_float("amount")).otherwise(nw.lit(0.0)),
    )  # fmt: skip


def _delivery_periods(bought: nw.LazyFrame[Any], *, has_dates: bool, has_cost: bool) -> pd.DataFrame:
    timed = bought.with_columns(
        on_time=nw.when(nw.col("name") == "on time").then(nw.lit(1)).otherwise(nw.lit(0)),
        late=nw.when(nw.col("name") == "late").then(nw.lit(1)).otherwise(nw.lit(0)),
    )
    sums = ["on_time", "late", "overdue", "known_cost", "revenue_of_known"]
    counted = collect(timed.group_by("now").agg(nw.len().alias("deals"), *[nw.col(name).sum() for name in sums]))
    counted = counted.set_index("now").astype(float).fillna(0.0)
    judged = timed.filter(~nw.col("name").is_null())
    shares = rates.shares_by(rates.sums_by_client(judged, "on_time", by=("now",)), by=("now",)).set_index("now")
    table = counted.join(shares[["share", "low_share", "high_share"]]).sort_index(ascending=False).reset_index()
    table = table.assign(
        period=table["now"].map({1: "now", 0: "before"}),
        delivery_cost=table["known_cost"],
        delivery_cost_share=table["known_cost"] / table["revenue_of_known"].where(table["revenue_of_known"] > 0),
    ).rename(columns={"share": "on_time_share"})
    whole = ["deals", "on_time", "late", "overdue"]
    dates = ["on_time", "late", "on_time_share", "low_share", "high_share", "overdue"] if has_dates else []
    costs = ["delivery_cost", "delivery_cost_share"] if has_cost else []
    return table.astype(dict.fromkeys(whole, "int64"))[["period", "deals", *dates, *costs]]


def _punctual_sentence(periods: pd.DataFrame, changes: pd.DataFrame) -> str:
    now = periods[periods["period"] == "now"]
    if now.empty or not now["on_time"].iloc[0] + now["late"].iloc[0]:
        return "No deal bought in the period has both a promised day and a day of delivery."
    row = now.iloc[0]
    delivered = int(row["on_time"] + row["late"])
    interval = formats.interval(row["low_share"], row["high_share"], lambda v: formats.share(v, 1))
    span = "" if interval == formats.NOTHING else f"; 95% interval {interval}"
    text = (
        f"Of {formats.plural(delivered, 'deal')} delivered with a promised day, {formats.number(row['on_time'])} came by that"
        f" day ({formats.share(row['on_time_share'], 1)}{span}) and {formats.number(row['late'])} late"
    )
    kept = changes[changes["name"] == "on time"]
    if len(kept) and not pd.isna(kept["low_change"].iloc[0]):
        text += f"; against the period before ({formats.share(kept['share_previous'].iloc[0], 1)}) that is "
        text += change_in_words(*kept[list(CHANGE)].iloc[0])
    overdue = int(row["overdue"])
    are = "is" if overdue == 1 else "are"
    return f"{text}." + (
        f" {formats.plural(overdue, 'deal')} {are} past the promised day without a day of delivery." if overdue else ""
    )


def _delivery_cost_sentence(periods: pd.DataFrame, settings: Company) -> str:
    costs = periods.set_index("period")[["delivery_cost", "delivery_cost_share"]]
    if "now" not in costs.index or not costs.loc["now", "delivery_cost"]:
        return "No cost of delivery is recorded for the deals of the period."
    text = f"Delivering cost {formats.money(costs.loc['now', 'delivery_cost'], settings.currency)}"
    text += f", {formats.share(costs.loc['now', 'delivery_cost_share'], 1)} of the revenue of these deals"
    if "before" in costs.index and costs.loc["before", "delivery_cost"]:
        text += f" ({formats.share(costs.loc['before', 'delivery_cost_share'], 1)} in the period before)"
    return f"{text}."
