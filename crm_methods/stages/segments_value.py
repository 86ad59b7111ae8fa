"""What each client is worth: a room of stage 2.

The purchase models are fitted, tried on a holdout and, by the rung the data allow, turned
into the value of every client and of every segment with its interval.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import segment_label
from crm_methods.engine import as_float, collect
from crm_methods.models.btyd_validation import FAMILY_LABELS
from crm_methods.models.equity_intervals import TOTAL, equity_intervals
from crm_methods.models.lifetime_value import (
    CLV_COLUMN,
    LifetimeValueModel,
    calibration_end,
    client_values,
    fit_lifetime_value,
    score_triples,
)
from crm_methods.models.purchase_history import Money, calibration_holdout, purchase_summary
from crm_methods.stages.segments import evenly_spread

INTERVAL_DRAWS = 500
MAX_SPENDERS = 100_000
INDEPENDENT_BELOW = 0.2
_ESTIMATION = {"map": "ours with weak priors", "ml": "ours by maximum likelihood"}
_HARDLY_BETTER = 0.95

Keep = Callable[..., nw.LazyFrame[Any]]
"""``Stage.write``: a per-client frame is written once and re-read, since the models scan it several times."""


@dataclass(frozen=True, slots=True, eq=False)
class SpendCorrelation:
    """Spearman's correlation of repeat purchases and their mean amount, with its 95 % interval."""

    rho: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LifetimeValue(Answer):
    """The fitted models, and the value of every client.

    ``values`` (lazy) has one row per client that ever bought: its history, ``p_alive``, ``expected_purchases``,
    ``expected_<money>`` of a purchase and ``clv`` (``clv_revenue`` where no margin is known).
    """

    model: LifetimeValueModel
    values: nw.LazyFrame[Any]
    spend_correlation: SpendCorrelation | None
    money: Money
    knows_cost: bool


@answers("segments.lifetime_value")
def lifetime_value(data: Canonical, settings: Company, economics: nw.LazyFrame[Any], keep: Keep) -> LifetimeValue | Unanswered:
    """Fit BG/NBD, MBG/NBD and Gamma-Gamma, choose by holdout, and value every client.

    Parameters
    ----------
    economics
        One row per client (``segments.client_economics``): its cost to serve is paid while it is alive.
    keep
        Writes and re-reads a per-client frame (``stage.write``).
    """
    chosen, money = settings.lifetime_value, money_of(data)
    purchases = (
        data.scan("deals")
        .filter(nw.col("status") == "won", nw.col("amount") >= 0)
        .select("client_id", "closed_on", as_float("amount" if money == "revenue" else "margin").fill_null(0.0).alias(money))
    )
    per_client = {"grain": "one row per client that ever bought", "key": ["client_id"]}
    history = keep("purchase_history", purchase_summary(purchases, settings.as_of, money=money), totals=[money], **per_client)
    if not len(collect(history.select("client_id").head(1))):
        return Unanswered("segments.lifetime_value", "no deal was won.", ("won deals with a day and an amount",))
    end = calibration_end(settings.as_of, chosen.holdout_months)
    calibration = keep(
        "purchase_history_calibration", calibration_holdout(purchases, end, settings.as_of, money=money), **per_client
    )
    model = fit_lifetime_value(history, calibration, money=money, time_unit=chosen.time_unit, estimation=chosen.estimation)
    if model.fit is None:
        return Unanswered("segments.lifetime_value", f"{model.reason}.", ("a longer history of purchases",))
    scores = data.engine.frame(score_triples(model.fit, model.triples, chosen.horizon_months, chosen.annual_discount_rate))
    costs = economics.select("client_id", cost_per_month=nw.col("cost_to_serve") / settings.segments.period_months)
    with_costs = history.join(costs, on="client_id", how="left")
    knows_cost = money == "margin" and bool(collect(costs.select(nw.col("cost_per_month").max()))["cost_per_month"].notna().any())
    values = client_values(with_costs, scores, model.spend, money=money, cost_per_month="cost_per_month" if knows_cost else None)
    together = spend_correlation(history, money)
    values = keep("client_values", values, **per_client)
    return LifetimeValue(
        sentence=f"{_model_sentence(model, values)}{_independence(together, money)}",
        table=_shown_models(model.models),
        caption=(
            f"Parameters fitted up to {formats.date(end)}, {_ESTIMATION[chosen.estimation]}, beside those of the "
            f"library lifetimes by maximum likelihood; time in {chosen.time_unit}s"
        ),
        labels={
            "estimate": "Ours",
            "log_likelihood": "Log-likelihood",
            "lifetimes_estimate": "lifetimes",
            "lifetimes_log_likelihood": "lifetimes' log-likelihood",
            "lifetimes_note": "Why lifetimes has none",
            "at_bound": "At its bound",
        },
        model=model,
        values=values,
        spend_correlation=together,
        money=money,
        knows_cost=knows_cost,
    )


def spend_correlation(history: nw.LazyFrame[Any], money: Money) -> SpendCorrelation | None:
    """Whether those who buy often also spend more or less at a time, which Gamma-Gamma supposes they don't.

    Parameters
    ----------
    history
        One row per client (``purchase_history.purchase_summary``); of more than 100,000 repeat buyers as many,
        evenly spread over the ids.
    money
        Which amount it holds.

    Returns
    -------
    SpendCorrelation
        None under four repeat buyers, or where one of the two does not vary.

    References
    ----------
    Bonett & Wright (2000), "Sample size requirements for estimating Pearson, Kendall and Spearman correlations",
    Psychometrika 65, for the interval.
    """
    repeat = history.filter(nw.col("x") > 0).select("client_id", "x", mean=nw.col(f"mean_{money}"))
    rows = collect(evenly_spread(repeat, MAX_SPENDERS).select("x", "mean"), max_rows=MAX_SPENDERS)
    if len(rows) < 4 or rows.nunique().min() < 2:
        return None
    rho = float(rows["x"].rank().corr(rows["mean"].rank()))
    half = 1.959964 * math.sqrt((1 + rho**2 / 2) / (len(rows) - 3))
    middle = math.atanh(max(-0.999999, min(0.999999, rho)))
    return SpendCorrelation(rho, math.tanh(middle - half), math.tanh(middle + half))


@answers("segments.lifetime_value")
def holdout(value: LifetimeValue, settings: Company) -> Answer | Unanswered:
    """Each model's forecast of months it has not seen, against what happened and the naive forecast."""
    table, months = value.model.holdout, settings.lifetime_value.holdout_months
    if table.empty or table["actual"].max() == 0:
        return Unanswered(
            "segments.lifetime_value",
            "nobody bought in the months held out, or the base is younger than they are.",
            ("a longer history",),
        )
    return Answer(
        sentence=_holdout_sentence(table.set_index("family"), value.model.rung, months),
        table=table.assign(family=[_named(family) for family in table["family"]]).rename(columns={"bias": "bias_share"}),
        caption=f"Forecasts of the {formats.plural(months, 'month')} held out; errors in purchases per client",
        labels={
            "family": "Model",
            "mae": "Mean absolute error",
            "rmse": "Root mean squared error",
            "bias_share": "Too many or too few",
            "expected": "Expected purchases",
            "actual": "Actual purchases",
        },
    )


@answers("segments.customer_equity")
def customer_equity(value: LifetimeValue, settings: Company, client_segments: nw.LazyFrame[Any]) -> Answer | Unanswered:
    """The value of the client base by segment, with a 95 % interval.

    Parameters
    ----------
    client_segments
        One row per client with ``segment``.
    """
    chosen = settings.lifetime_value
    model = value.model
    if model.fit is None:
        return Unanswered("segments.customer_equity", f"{model.reason}.")
    costs = "cost_per_month" if value.knows_cost else None
    by_segment = value.values.join(client_segments.select("client_id", "segment"), on="client_id", how="left")
    found = equity_intervals(
        by_segment,
        model.fit,
        model.spend,
        by="segment",
        money=value.money,
        cost_per_month=costs,
        horizon_months=chosen.horizon_months,
        annual_discount_rate=chosen.annual_discount_rate,
        draws=INTERVAL_DRAWS,
        seed=settings.seed,
    )
    name, title = ("equity", "Customer equity") if value.money == "margin" else ("equity_revenue", "Expected revenue")
    alive = collect(by_segment.group_by("segment").agg(nw.col("p_alive").sum()).sort("segment")).set_index("segment")["p_alive"]
    # The naive forecast knows nobody who left; a sum of nothing must not pass for nobody being alive.
    active = alive if model.fit.family != "naive" else alive * math.nan
    table = found.rename(
        columns={"equity": name, "equity_low": f"{name}_low", "equity_high": f"{name}_high", "purchases": "expected_purchases"}
    )
    # A base without segments has one group, and that is the whole.
    table = table.drop_duplicates("segment", keep="last")
    table = table.assign(expected_active_clients=[active.get(s, active.sum(min_count=1)) for s in table["segment"]])
    return Answer(
        sentence=_equity_sentence(table, name, value, settings),
        table=table[["segment", "clients", "expected_active_clients", "expected_purchases", name, f"{name}_low", f"{name}_high"]],
        caption=(
            f"{title} by segment, {formats.plural(chosen.horizon_months, 'month')} ahead, "
            f"discounted at {formats.share(chosen.annual_discount_rate)} a year"
        ),
        labels={
            name: title,
            f"{name}_low": "95% from",
            f"{name}_high": "to",
            "clients": "Clients that ever bought",
            "expected_active_clients": "Of them alive (expected)",
        },
    )


def expected_revenue(value: LifetimeValue | Unanswered, data: Canonical) -> nw.LazyFrame[Any] | None:
    """Revenue expected of each client within the horizon, before cost to serve; None where it can't be forecast.

    Expected purchases at the client's own mean revenue, gross of cost to serve: net of it, cost would count twice.
    """
    if isinstance(value, Unanswered):
        return None
    won = data.scan("deals").filter(nw.col("status") == "won", nw.col("amount") >= 0)
    mean = won.group_by("client_id").agg(amount=nw.col("amount").sum(), deals=nw.len())
    per_purchase = mean.select("client_id", mean_revenue=as_float("amount") / nw.col("deals"))
    joined = value.values.select("client_id", "expected_purchases").join(per_purchase, on="client_id", how="left")
    return joined.select("client_id", expected_revenue=nw.col("expected_purchases") * nw.col("mean_revenue"))


def money_of(data: Canonical) -> Money:
    """Margin where the deals know it, else revenue; figures are named after it."""
    return "margin" if data.has("deals", "margin") else "revenue"


def clv_column(value: LifetimeValue | Unanswered) -> str:
    """Name of the value column: ``clv``, or ``clv_revenue`` without margins."""
    return CLV_COLUMN["revenue" if isinstance(value, Unanswered) else value.money]


def _shown_models(models: pd.DataFrame) -> pd.DataFrame:
    """The parameters for a reader; bounds and lifetimes' failures only where there are any."""
    shown = models.assign(family=[_named(family) for family in models["family"]])
    empty = [] if models["at_bound"].any() else ["at_bound"]
    return shown.drop(columns=[*empty, *([] if models["lifetimes_note"].ne("").any() else ["lifetimes_note"])])


def _named(family: str) -> str:
    label = FAMILY_LABELS.get(family, family)
    return "Naive forecast" if family == "naive" else label


def _holdout_sentence(table: pd.DataFrame, rung: str, months: int) -> str:
    """What the model that is used had expected, how far off it was, and which one came closer."""
    used = rung if rung in table.index else str(table["mae"].idxmin())
    row = table.loc[used]
    label = FAMILY_LABELS[used]
    said = (
        f"Clients known before the last {formats.plural(months, 'month')} bought {formats.plural(row['actual'], 'time')} in "
        f"them. {label[:1].upper()}{label[1:]}, on which the values below rest, had expected {formats.number(row['expected'])} "
        f"({_signed_share(row['bias'])}) and missed a client by {formats.number(row['mae'], 2)} purchases on average"
    )
    if used != "naive" and "naive" in table.index:
        naive = float(table.loc["naive", "mae"])
        hardly = ", hardly more" if row["mae"] < naive and row["mae"] > _HARDLY_BETTER * naive else ""
        said += f"; the naive forecast, everybody's rate so far, missed by {formats.number(naive, 2)}{hardly}"
    closest = str(table["mae"].idxmin())
    if round(float(table.loc[closest, "mae"]), 2) < round(float(row["mae"]), 2):
        said += f". {_named(closest)} came closer ({formats.number(table.loc[closest, 'mae'], 2)}), but it is only compared with"
    return f"{said}."


def _model_sentence(model: LifetimeValueModel, values: nw.LazyFrame[Any]) -> str:
    chosen = f"Values rest on {FAMILY_LABELS.get(model.rung, model.rung)}: {model.reason}."
    if model.rung == "naive":
        return f"{chosen} It supposes that every client goes on buying as before, so no chance of having left is given."
    alive = collect(values.select(nw.col("p_alive").mean(), nw.len().alias("n"))).iloc[0]
    buyers, still = formats.plural(alive["n"], "client"), formats.share(alive["p_alive"])
    share = f" Of {buyers} that ever bought, {still} are expected to be still buying."
    if model.rung == "bg_nbd":
        share += " BG/NBD takes every one-time buyer for alive by construction, so this share is too high."
    spend = f" {model.spend.reason[:1].upper()}{model.spend.reason[1:]}." if model.spend.reason else ""
    return f"{chosen}{share}{spend}"


def _independence(found: SpendCorrelation | None, money: Money) -> str:
    """Whether Gamma-Gamma's assumption holds, in words."""
    if found is None:
        return ""
    rho, interval = formats.number(found.rho, 2), formats.interval(found.low, found.high, lambda v: formats.number(v, 2))
    measured = (
        f" How often a client buys and the {money} of a purchase have a rank correlation of {rho} (95% interval {interval})"
    )
    if abs(found.rho) < INDEPENDENT_BELOW:
        return f"{measured}, little enough for Gamma-Gamma, which supposes none."
    what = "more" if found.rho > 0 else "less"
    return (
        f"{measured}: frequent buyers bring {what} at a time, which Gamma-Gamma does not suppose, so their values are less sure."
    )


def _equity_sentence(table: pd.DataFrame, name: str, value: LifetimeValue, settings: Company) -> str:
    form = functools.partial(formats.money_short, currency=settings.currency)
    whole = table[table["segment"] == TOTAL].iloc[0]
    groups = table[table["segment"] != TOTAL].sort_values(name, ascending=False)
    months = formats.plural(settings.lifetime_value.horizon_months, "month")
    if value.money == "revenue":
        said = f"The client base is expected to bring {form(whole[name])} of revenue within {months}"
    else:
        after = "after cost to serve" if value.knows_cost else "before cost to serve, which is not known"
        said = f"The client base is worth {form(whole[name])} over {months}, {after}"
    interval = formats.interval(whole[f"{name}_low"], whole[f"{name}_high"], form)
    certain = f" (95% interval {interval})" if interval != formats.NOTHING else " (this forecast has no interval)"
    if whole[name] <= 0 or len(groups) < 2:
        return f"{said}{certain}."
    best = groups.iloc[0]
    return f"{said}{certain}; {formats.share(best[name] / whole[name])} of it is in “{segment_label(best['segment'])}”."


def _signed_share(value: float) -> str:
    return f"{'+' if value > 0 else ''}{formats.share(value)}"
