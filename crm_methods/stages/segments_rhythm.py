"""Who reorders like a clock, and whose next order is due or overdue: a room of stage 2."""

from __future__ import annotations

import datetime as dt
import functools
import math
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.engine import as_float, collect
from crm_methods.models.btyd_fit import PurchaseFit
from crm_methods.models.buying_rhythm import (
    FALSE_DISCOVERIES,
    MIN_GAPS,
    ORDER_STATES,
    SOON_DAYS,
    Rhythm,
    days_of_calendar,
    next_orders,
    waiting_times,
)
from crm_methods.models.erlang_btyd import fit_mbg_cnbd_k
from crm_methods.models.purchase_history import unique_triples
from crm_methods.models.purchase_ladder import REGULAR, RegularBuyers
from crm_methods.stages.segments_value import Keep, LifetimeValue

SHOWN_CLIENTS = 10
GONE_BELOW = 0.1
"""Chance of being still a client below which an overdue one is taken for gone."""
_CALENDAR_YEARS = 20


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Regularity(Answer):
    """How regularly clients buy, and when those that do so like a clock are due again.

    ``next_orders`` (lazy) has one row per client that bought on two days at least (``buying_rhythm.next_orders``); an overdue
    one whose chance to be still a client is below 10 % is ``gone``, and its ``days_overdue`` missing. ``due`` has one row per
    state of the next order with ``clients`` and ``yearly_<money>`` (at the usual rhythm, times the chance to be
    still a client), none where nobody is regular; ``fit`` is the model of the regular ones.
    """

    rhythm: Rhythm
    fit: PurchaseFit | None
    next_orders: nw.LazyFrame[Any]
    due: pd.DataFrame


def orders_of(found: Regularity | Unanswered) -> nw.LazyFrame[Any] | None:
    """When each client's next order is due; None where that is not known."""
    return found.next_orders if isinstance(found, Regularity) else None


@answers("segments.regularity")
def regularity(value: LifetimeValue, data: Canonical, settings: Company, keep: Keep) -> Regularity | Unanswered:
    """Test every client's gaps for a rhythm, and say when the next order of each regular buyer is due.

    Parameters
    ----------
    value
        ``segments_value.lifetime_value``.
    keep
        Writes and re-reads a per-client frame (``stage.write``).

    Returns
    -------
    Regularity
        ``table``: the overdue regular buyers from which most a year is still to be had, at most 10; those due next where none is
        overdue; the test alone where nobody is regular.
    """
    rhythm = value.rhythm
    if rhythm.tested == 0:
        bought = f"nobody bought on {MIN_GAPS + 1} different days"
        return Unanswered(
            "segments.regularity", f"{bought}, and fewer gaps don't tell a clock from chance.", ("a longer history",)
        )
    fit = _fit(value)
    orders = keep("next_orders", _orders(value, data, settings, fit), grain="one row per repeat buyer", key=["client_id"])
    rows = _worth(value, orders)
    due = _due(rows, value.money)
    said = f"{_tested_sentence(rhythm)}{_base_sentence(rhythm)}"
    if fit is None or due.empty:
        return Regularity(
            sentence=said,
            table=_tested(rhythm),
            caption=f"The test of clients' gaps, {MIN_GAPS} at least; k is 1 by chance and grows with regularity",
            labels=_LABELS,
            rhythm=rhythm,
            fit=None,
            next_orders=orders,
            due=due,
        )
    shown = _shown(rows, data, value.money)
    late = "days_overdue" in shown and bool((shown["days_overdue"] > 0).any())
    what = "Regular buyers that are overdue and bring most" if late else "Regular buyers whose orders are due next"
    return Regularity(
        sentence=f"{said} {_due_sentence(due, settings, value.money)}",
        table=shown,
        caption=f"{what}; an order counts as overdue after the day by which 97.5% of such orders would have come",
        labels=_LABELS,
        rhythm=rhythm,
        fit=fit,
        next_orders=orders,
        due=due,
    )


_LABELS = {
    "tested": "Clients tested",
    "regular": "Found regular",
    "k": "k of all gaps",
    "k_low": "95% from",
    "k_high": "to",
    "usual_gap_days": "Usual gap, days",
    "next_order_on": "Expected on",
    "overdue_after": "Overdue after",
    "days_overdue": "Days overdue",
    "alive_share": "Chance to be still a client",
    "yearly_margin": "Margin a year, at this rhythm",
    "yearly_revenue": "Revenue a year, at this rhythm",
}


def _fit(value: LifetimeValue) -> PurchaseFit | None:
    """The model of the regular clients: that of their population, else one of their own with priors."""
    for population in value.model.populations:
        if population.name == REGULAR and population.fit is not None and population.fit.family == "mbg_cnbd_k":
            return population.fit
    if value.rhythm.regular == 0:
        return None
    regular = RegularBuyers.of(value.gaps)
    triples = unique_triples(value.values.join(regular.ids, on="client_id", how="inner"))
    fit = fit_mbg_cnbd_k(triples, regular.gap_log_sum, min_x=MIN_GAPS)
    return fit if isinstance(fit, PurchaseFit) else None


def _orders(value: LifetimeValue, data: Canonical, settings: Company, fit: PurchaseFit | None) -> nw.LazyFrame[Any]:
    if fit is None:
        days = {name: nw.lit(None, nw.Date) for name in ("next_order_on", "next_order_from", "next_order_until", "overdue_after")}
        number, word = nw.lit(None, nw.Float64), nw.lit(None, nw.String)
        nothing: dict[str, nw.Expr] = {"usual_gap_days": number, **days, "days_overdue": number, "order_state": word}
        return value.gaps.select("client_id", "regular", "last_on", **nothing)
    ends = collect(value.gaps.select(nw.col("gaps").max().alias("most"), nw.col("last_day").min().alias("first"))).iloc[0]
    waits = data.engine.frame(waiting_times(fit, int(ends["most"])))
    first = dt.date(1970, 1, 1) + dt.timedelta(days=int(ends["first"]))
    last = settings.as_of + dt.timedelta(days=round(_CALENDAR_YEARS * 365.25))
    calendar = data.engine.frame(days_of_calendar(first, last))
    orders = next_orders(value.gaps, waits, calendar, fit, settings.as_of)
    alive = value.values.select("client_id", "p_alive")
    is_gone = (nw.col("order_state") == "overdue") & (as_float("p_alive") < GONE_BELOW).fill_null(False)
    told = orders.join(alive, on="client_id", how="left").with_columns(is_gone=is_gone.fill_null(False))
    return told.with_columns(
        days_overdue=nw.when(~nw.col("is_gone")).then(nw.col("days_overdue")),
        order_state=nw.when(nw.col("is_gone")).then(nw.lit("gone")).otherwise(nw.col("order_state")),
    ).drop("p_alive", "is_gone")


def _worth(value: LifetimeValue, orders: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Regular buyers with what they bring a year at their rhythm, and what is still to be had of it."""
    amounts = value.values.select("client_id", "p_alive", mean=as_float(f"mean_{value.money}"))
    joined = orders.filter(~nw.col("order_state").is_null()).join(amounts, on="client_id", how="left")
    yearly = nw.col("mean") * 365.25 / nw.col("usual_gap_days")
    # The naive forecast knows nobody who left.
    return joined.with_columns(yearly=yearly, still_to_have=yearly * nw.col("p_alive").fill_null(1.0))


def _due(rows: nw.LazyFrame[Any], money: str) -> pd.DataFrame:
    counted = collect(
        rows.group_by("order_state").agg(nw.len().alias("clients"), nw.col("still_to_have").sum()).sort("order_state")
    )
    if counted.empty:
        return counted.rename(columns={"still_to_have": f"yearly_{money}"})
    whole = counted.set_index("order_state").reindex(list(ORDER_STATES), fill_value=0).rename_axis("order_state").reset_index()
    return whole.rename(columns={"still_to_have": f"yearly_{money}"})


def _shown(rows: nw.LazyFrame[Any], data: Canonical, money: str) -> pd.DataFrame:
    """At most 10 overdue clients by what is still to be had of them a year, or those due next."""
    overdue = rows.filter(nw.col("order_state") == "overdue")
    named = _first(overdue, data, "still_to_have", falling=True)
    if named.empty:
        named = _first(rows.filter(nw.col("order_state") != "gone"), data, "next_order_on", falling=False)
    return pd.DataFrame(
        {
            "client": named["name"].where(named["name"].notna(), named["client_id"]).astype(str),
            "last_order_on": named["last_on"],
            "usual_gap_days": named["usual_gap_days"].round(),
            "next_order_on": named["next_order_on"],
            "overdue_after": named["overdue_after"],
            "days_overdue": named["days_overdue"],
            "alive_share": named["p_alive"],
            f"yearly_{money}": named["yearly"],
        }
    ).dropna(axis="columns", how="all")


def _first(rows: nw.LazyFrame[Any], data: Canonical, by: str, *, falling: bool) -> pd.DataFrame:
    first = rows.sort(by, "client_id", descending=[falling, False]).head(SHOWN_CLIENTS)
    named = collect(first.join(data.scan("clients").select("client_id", "name"), on="client_id", how="left"))
    return named.sort_values([by, "client_id"], ascending=[not falling, True], ignore_index=True)


def _tested(rhythm: Rhythm) -> pd.DataFrame:
    figures = {"tested": rhythm.tested, "regular": rhythm.regular, "k": rhythm.k, "k_low": rhythm.k_low, "k_high": rhythm.k_high}
    return pd.DataFrame([figures]).dropna(axis="columns")


def _tested_sentence(rhythm: Rhythm) -> str:
    days, one = MIN_GAPS + 1, rhythm.tested == 1
    if one:
        is_regular = "reorders like a clock" if rhythm.regular else "does not reorder like a clock"
        than = "more even than chance makes them" if rhythm.regular else "no more even than chance makes them"
        return f"The only client that bought on at least {days} days {is_regular}: its gaps are {than}."
    tested = f"Of {formats.number(rhythm.tested)} clients that bought on at least {days} days"
    if rhythm.regular == 0:
        return f"{tested}, none reorders like a clock: their gaps are no more even than chance makes them."
    verb, whose = ("reorders", "its gaps are") if rhythm.regular == 1 else ("reorder", "their gaps are")
    share = formats.share(rhythm.regular / rhythm.tested, 1 if rhythm.regular < 0.01 * rhythm.tested else 0)
    chance = f"at most {formats.share(FALSE_DISCOVERIES)} of such finds are chance"
    return (
        f"{tested}, {formats.number(rhythm.regular)} ({share}) {verb} like a clock: {whose} more even than chance makes them "
        f"({chance})."
    )


def _base_sentence(rhythm: Rhythm) -> str:
    """Wheat and Morrison's measure over all clients with two gaps."""
    if rhythm.pairs_from < MIN_GAPS or pd.isna(rhythm.k):
        return ""
    if math.isinf(rhythm.k):
        return " The gaps of a client don't differ at all."
    form = functools.partial(formats.number, digits=1)
    interval = formats.interval(rhythm.k_low, rhythm.k_high, form)
    return (
        f" Over all {formats.plural(rhythm.pairs_from, 'client')} with two gaps or more the regularity k is {form(rhythm.k)} "
        f"(95% interval {interval}), where 1 is chance and a higher k is nearer to a clock."
    )


def _due_sentence(due: pd.DataFrame, settings: Company, money: str) -> str:
    by_state = due.set_index("order_state")
    late, soon, gone = (int(by_state.loc[state, "clients"]) for state in ("overdue", "soon", "gone"))
    taken = (
        f"{'is' if gone == 1 else 'are'} taken for gone (less than a {formats.share(GONE_BELOW)} chance of being still a client)"
    )
    whose = "the regular buyer" if due["clients"].sum() == 1 else "regular buyers"
    count = f"{formats.plural(soon, 'order')}" if soon else "no order"
    next_ones = f"{count} of {whose} {'is' if soon < 2 else 'are'} expected within {SOON_DAYS} days"
    if late == 0:
        lost = f" {formats.plural(gone, 'regular buyer')} long past the usual day {taken}." if gone else ""
        return f"No regular order is overdue; {next_ones}.{lost}"
    worth = formats.money_short(float(by_state.loc["overdue", f"yearly_{money}"]), settings.currency)
    more = f", and {formats.number(gone)} more {taken}" if gone else ""
    subject = "regular buyer is" if late == 1 else "regular buyers are"
    return (
        f"{formats.number(late)} {subject} overdue, worth {worth} of {money} a year at the usual rhythm, the chance to have "
        f"left counted in{more}; {next_ones}. An overdue order is a reason to call, not a proof that the client has left: of 40 "
        "orders one comes that late by chance."
    )
