"""What new clients may bring: a line beside customer equity, never in it. A room of stage 2."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.engine import as_float, collect, month_number, month_of
from crm_methods.models.btyd_fit import PurchaseFit
from crm_methods.models.btyd_likelihood import Floats
from crm_methods.models.lifetime_value import LifetimeValueModel
from crm_methods.models.new_clients import (
    Arrivals,
    arrivals,
    simulate_arrivals,
    simulate_worth,
    spread_of_one,
    value_by_arrival,
)
from crm_methods.models.parameter_draws import drawn_spend, draws
from crm_methods.models.purchase_history import Money
from crm_methods.models.rates import ENDS_95, NORMAL_95
from crm_methods.stages.segments_value import LifetimeValue

WINDOW_MONTHS = 24
SETTLING_MONTHS = 12
"""Months at the beginning of the records in which old clients, seen for the first time, pass for new ones."""

FEWEST_MONTHS = 3
FUTURES = 2_000
_DRAWN_MODELS = 100
_SEED = 43


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class NewClients(Answer):
    """New clients to come and what they bring, with ``arrivals`` per month and the ``worth`` of one by month of arrival."""

    arrivals: Arrivals
    worth: Floats


@dataclass(frozen=True, slots=True)
class _Seen:
    """New clients of the last months: one number a month, and the mean amount of a first purchase with its error."""

    by_month: tuple[int, ...]
    history_months: int
    first_amount: float
    first_error: float


def of_value(data: Canonical, settings: Company, value: LifetimeValue | Unanswered) -> Answer | Unanswered:
    """The line for clients yet to come, where company.yml asks for it; else a sentence that they are not counted."""
    if not settings.lifetime_value.new_clients:
        said = "Clients yet to come are not counted; lifetime_value.new_clients in company.yml adds a line for them."
        return Answer(sentence=said, table=pd.DataFrame(), caption="")
    if isinstance(value, Unanswered):
        return Unanswered("segments.new_clients", value.reason, value.would_help)
    return new_clients(settings, value.values, value.model, value.money, value.values)


@answers("segments.new_clients")
def new_clients(
    settings: Company,
    history: nw.LazyFrame[Any],
    model: LifetimeValueModel,
    money: Money,
    values: nw.LazyFrame[Any] | None = None,
) -> NewClients | Unanswered:
    """New clients expected within the horizon and what they bring, if they come as in the last 24 months.

    Parameters
    ----------
    history
        One row per client that buys (``purchase_history.purchase_summary``), clients under contract left out.
    model
        The fitted models of purchases and amounts.
    money
        Which amount the history holds.
    values
        One row per client with ``cost_per_month`` and ``p_alive``, where cost to serve is known.

    Returns
    -------
    NewClients
        ``table``: one row per year of the horizon and one for all of it: ``new_clients`` and ``equity``
        (``equity_revenue`` without margins), each with the ends of its 95 % interval.
    """
    key, chosen = "segments.new_clients", settings.lifetime_value
    if model.fit is None or model.fit.family == "naive":
        return Unanswered(key, "no model of purchases holds that could say what a new client does.", ("a longer history",))
    seen = _seen(history, settings, money)
    if seen is None:
        return Unanswered(key, "the history is too short to tell new clients from old ones.", ("at least half a year of deals",))
    if sum(seen.by_month) == 0:
        months = formats.plural(len(seen.by_month), "month")
        return Unanswered(key, f"no client bought for the first time in the last {months}.")
    cost = _cost_of_a_month(values)
    found, horizon = arrivals(seen.by_month), chosen.horizon_months
    rates = (horizon, chosen.annual_discount_rate, cost or 0.0)
    worth = value_by_arrival(model.fit, model.spend, seen.first_amount, *rates)
    numbers, brought = _futures(found, seen, model.fit, model, settings, rates)
    table = _table(found.per_month * np.ones(horizon), found.per_month * worth, numbers, brought, money)
    return NewClients(
        sentence=_sentence(found, seen, table, settings, money, cost),
        table=table,
        caption=f"New clients expected within {formats.plural(horizon, 'month')}, and what they bring, discounted",
        labels={
            "clients_low": "95% from",
            "clients_high": "to",
            "equity": "What they bring",
            "equity_low": "95% from",
            "equity_high": "to",
            "equity_revenue": "Revenue they bring",
            "equity_revenue_low": "95% from",
            "equity_revenue_high": "to",
        },
        arrivals=found,
        worth=worth,
    )


def _seen(history: nw.LazyFrame[Any], settings: Company, money: Money) -> _Seen | None:
    """New clients by month, once the records are settled; None where they are too short for that."""
    first = nw.col(money) if money == "revenue" else nw.col("margin")
    amount = as_float(first) - nw.col("x") * as_float(f"mean_{money}")
    rows = history.select(month=month_number("first_on"), amount=amount).with_columns(square=nw.col("amount") * nw.col("amount"))
    sums = rows.group_by("month").agg(nw.len().alias("n"), nw.col("amount").sum(), nw.col("square").sum())
    by_month = collect(sums.sort("month")).set_index("month")
    as_of = pd.Timestamp(settings.as_of)
    last = month_of(settings.as_of) - (0 if as_of.is_month_end else 1)
    if by_month.empty:
        return None
    known = last - int(by_month.index.min()) + 1
    months = min(WINDOW_MONTHS, known - min(SETTLING_MONTHS, known // 2))
    if months < FEWEST_MONTHS:
        return None
    window = by_month.reindex(range(last - months + 1, last + 1), fill_value=0)
    clients = float(window["n"].sum())
    mean = float(window["amount"].sum()) / max(clients, 1.0)
    variance = max(0.0, float(window["square"].sum()) / max(clients, 1.0) - mean**2)
    return _Seen(tuple(int(n) for n in window["n"]), known, mean, float(np.sqrt(variance / max(clients - 1, 1.0))))


def _cost_of_a_month(values: nw.LazyFrame[Any] | None) -> float | None:
    """Mean cost to serve of a living client per month; None where it is not known."""
    if values is None or not {"cost_per_month", "p_alive"} <= set(values.collect_schema().names()):
        return None
    alive = nw.col("p_alive").fill_null(0.0)
    sums = collect(values.select(cost=(as_float("cost_per_month").fill_null(0.0) * alive).sum(), alive=alive.sum())).iloc[0]
    return float(sums["cost"] / sums["alive"]) if pd.notna(sums["alive"]) and sums["alive"] > 0 else None


def _futures(
    found: Arrivals,
    seen: _Seen,
    fit: PurchaseFit,
    model: LifetimeValueModel,
    settings: Company,
    rates: tuple[int, float, float],
) -> tuple[Floats, Floats]:
    """Clients and what they bring by month of arrival, in many futures: rate, models, first amounts and luck drawn."""
    rng, chosen = np.random.default_rng([settings.seed, _SEED]), settings.lifetime_value
    numbers = simulate_arrivals(found, chosen.horizon_months, FUTURES, rng)
    drawn = [
        value_by_arrival(each, drawn_spend(model.spend, rng), rng.normal(seen.first_amount, seen.first_error), *rates)
        for each in draws(fit, model.triples, _DRAWN_MODELS, rng, chosen.bootstraps)
    ]
    worth = np.array(drawn)[np.arange(FUTURES) % len(drawn)]
    return numbers, simulate_worth(numbers, worth, spread_of_one(fit, model.spend, chosen.horizon_months, rng), rng)


def _table(clients: Floats, worth: Floats, numbers: Floats, brought: Floats, money: Money) -> pd.DataFrame:
    name = "equity" if money == "margin" else "equity_revenue"
    horizon = len(clients)
    spans = [(start, min(start + 12, horizon)) for start in range(0, horizon, 12)]
    rows = []
    for start, end in [*spans, (0, horizon)] if len(spans) > 1 else spans:
        whole = (start, end) == (0, horizon)
        low, high = np.quantile(numbers[:, start:end].sum(axis=1), ENDS_95)
        least, most = np.quantile(brought[:, start:end].sum(axis=1), ENDS_95)
        rows.append(
            {
                "months_ahead": "All months" if whole else f"{start + 1} to {end}",
                "new_clients": clients[start:end].sum(),
                "clients_low": low,
                "clients_high": high,
                name: worth[start:end].sum(),
                f"{name}_low": least,
                f"{name}_high": most,
            }
        )
    return pd.DataFrame(rows)


def _sentence(found: Arrivals, seen: _Seen, table: pd.DataFrame, settings: Company, money: Money, cost: float | None) -> str:
    form, name = (
        functools.partial(formats.money_short, currency=settings.currency),
        "equity" if money == "margin" else "equity_revenue",
    )
    whole, horizon = table.iloc[-1], formats.plural(settings.lifetime_value.horizon_months, "month")
    first = form(seen.first_amount)
    what = (
        "revenue" if money == "revenue" else "margin after cost to serve" if cost is not None else "margin before cost to serve"
    )
    said = [
        f"In the last {formats.plural(found.months, 'month')} {formats.plural(found.clients, 'client')} bought for the first "
        f"time, {formats.number(found.per_month, 1)} a month, for {first} on average. If that goes on, "
        f"{formats.number(whole['new_clients'])} more (95% interval "
        f"{formats.interval(whole['clients_low'], whole['clients_high'], formats.number)}) will come within {horizon} and bring "
        f"{form(whole[name])} (95% interval {formats.interval(whole[f'{name}_low'], whole[f'{name}_high'], form)}) of {what}, "
        "discounted, from which the cost of winning them is not taken off.",
        "That is no part of customer equity, and nothing a plan may spend: these clients are nobody's yet.",
    ]
    if found.dispersion > 1.5:
        said.append("They come in bursts, months differing by more than chance, which the intervals count in.")
    if abs(found.change) > NORMAL_95:
        how = "more" if found.change > 0 else "fewer"
        said.append(
            f"The later half of these months brought {formats.number(found.later)}, the earlier half "
            f"{formats.number(found.earlier)}: {how} than chance explains. The trend is not extrapolated, so the number may be "
            f"too {'low' if found.change > 0 else 'high'}."
        )
    if seen.history_months < SETTLING_MONTHS + WINDOW_MONTHS:
        said.append(
            f"The records are only {formats.plural(seen.history_months, 'month')} long: old clients that had not bought for a "
            "while may pass for new ones."
        )
    return " ".join(said)
