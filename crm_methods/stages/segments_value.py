"""What each client is worth: a room of stage 2.

The purchase models are fitted, tried on a holdout and, by the rung the data allow, turned
into the value of every client.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.engine import as_float, collect
from crm_methods.models.btyd_validation import FAMILY_LABELS
from crm_methods.models.buying_rhythm import Rhythm, find_rhythm, is_own_population, mark_regular
from crm_methods.models.lifetime_value import (
    LifetimeValueModel,
    calibration_end,
    client_values,
    fit_lifetime_value,
    score_populations,
    with_population,
)
from crm_methods.models.purchase_history import Money, calibration_holdout, gap_summary, purchase_summary
from crm_methods.models.purchase_ladder import BuyingDays, Population, RegularBuyers, in_words
from crm_methods.models.rank_correlation import RankCorrelation, rank_correlation
from crm_methods.stages.segments import evenly_spread, monthly_cost
from crm_methods.stages.segments_returns import UNITS, net_purchases, returned_sentence, returns_of, without_returned

MAX_SPENDERS = 100_000
INDEPENDENT_BELOW = 0.2
_ESTIMATION = {
    "map": "ours with weak priors",
    "ml": "ours by maximum likelihood",
    "bayes": "ours with weak priors, at the mode of their posterior",
}
_HARDLY_BETTER = 0.95
_WHOSE = {"regular": "Regular buyers", "purchases": "Other buyers"}

Keep = Callable[..., nw.LazyFrame[Any]]
"""``Stage.write``: a per-client frame is written once and re-read, since the models scan it several times."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LifetimeValue(Answer):
    """The fitted models, and the value of every client.

    ``values`` (lazy) has one row per client that ever bought: its history and ``population``, ``p_alive``,
    ``expected_purchases``, ``expected_<money>`` of a purchase and ``clv`` (``clv_revenue`` where no margin is known).
    ``gaps`` (lazy) has one row per client that bought on two days at least, with ``regular``; ``rhythm`` is their test.
    """

    model: LifetimeValueModel
    values: nw.LazyFrame[Any]
    spend_correlation: RankCorrelation | None
    money: Money
    knows_cost: bool
    rhythm: Rhythm
    gaps: nw.LazyFrame[Any]


@answers("segments.lifetime_value")
def lifetime_value(
    data: Canonical,
    settings: Company,
    economics: nw.LazyFrame[Any],
    keep: Keep,
    deals: nw.LazyFrame[Any] | None = None,
) -> LifetimeValue | Unanswered:
    """Fit the purchase models and Gamma-Gamma, choose each population's by holdout, and value every client.

    Parameters
    ----------
    economics
        One row per client (``segments.client_economics``): its cost to serve is paid while it is alive.
    keep
        Writes and re-reads a per-client frame (``stage.write``).
    deals
        The deals to look at, with the columns of their table; all of them when None. Those that only bill a contract
        which is valued as such are left out (``segments_contracts.without_contract_deals``).
    """
    chosen, money = settings.lifetime_value, money_of(data)
    returns = returns_of(data, deals, money)
    purchases = net_purchases(data, deals, money, returns)
    per_client = {"grain": "one row per client that ever bought", "key": ["client_id"]}
    summary = _settled(purchase_summary(purchases, settings.as_of, money=money), money, f"mean_{money}")
    history = keep("purchase_history", summary, totals=[money], **per_client)
    if not len(collect(history.select("client_id").head(1))):
        return _nothing_bought(data, deals)
    end = calibration_end(settings.as_of, chosen.holdout_months)
    known = _settled(calibration_holdout(purchases, end, settings.as_of, money=money), f"{money}_holdout", f"mean_{money}")
    calibration = keep("purchase_history_calibration", known, **per_client)
    rhythm, gaps = _rhythm(data, keep, "purchase_gaps", gap_summary(purchases, settings.as_of, money=money))
    regular = before = None
    if is_own_population(rhythm):
        regular = RegularBuyers.of(gaps)
        _, gaps_before = _rhythm(data, keep, "purchase_gaps_calibration", gap_summary(purchases, end, money=money))
        before = RegularBuyers.of(gaps_before)
    together = spend_correlation(history, money)
    model = fit_lifetime_value(
        history,
        calibration,
        money=money,
        time_unit=chosen.time_unit,
        estimation=chosen.estimation,
        seed=settings.seed,
        days=BuyingDays(purchases, settings.as_of, end),
        regular=regular,
        regular_before=before,
        amounts_by_frequency=amounts_depend(together),
    )
    if model.fit is None:
        return Unanswered("segments.lifetime_value", f"{model.reason}.", ("a longer history of purchases",))
    named = with_population(history, model, regular)
    scores = data.engine.frame(score_populations(model, chosen.horizon_months, chosen.annual_discount_rate))
    costs = monthly_cost(economics, settings)
    knows_cost = money == "margin" and bool(collect(costs.select(nw.col("cost_per_month").max()))["cost_per_month"].notna().any())
    values = client_values(
        named.join(costs, on="client_id", how="left"),
        scores,
        {each.name: each.spend for each in model.populations},
        money=money,
        cost_per_month="cost_per_month" if knows_cost else None,
    )
    values = keep("purchase_values", without_returned(values, returns, money), **per_client)
    return LifetimeValue(
        sentence=(
            f"{_model_sentence(model, values, apart=deals is not None)}{returned_sentence(returns, settings.currency)}"
            f"{_independence(together, money, by_frequency=draws_by_frequency(model))}"
        ),
        table=_shown_models(model.models),
        caption=(
            f"Parameters fitted {_fitted_on(model, end)}, {_ESTIMATION[chosen.estimation]}, beside those of the "
            f"library lifetimes by maximum likelihood; time in {chosen.time_unit}s"
            f"{f'; without Pareto/NBD, since {model.without_pareto}' if model.without_pareto else ''}"
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
        rhythm=rhythm,
        gaps=gaps,
    )


def spend_correlation(history: nw.LazyFrame[Any], money: Money) -> RankCorrelation | None:
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
    RankCorrelation
        Of repeat purchases and their mean amount; None under four repeat buyers, or where one of the two does not vary.
    """
    repeat = history.filter(nw.col("x") > 0).select("client_id", "x", mean=nw.col(f"mean_{money}"))
    rows = collect(evenly_spread(repeat, MAX_SPENDERS).select("x", "mean"), max_rows=MAX_SPENDERS)
    return rank_correlation(rows["x"], rows["mean"])


@answers("segments.lifetime_value")
def holdout(value: LifetimeValue, settings: Company) -> Answer | Unanswered:
    """Each model's forecast of months it has not seen, against what happened and the naive forecast."""
    months = settings.lifetime_value.holdout_months
    tried = [each for each in value.model.populations if not each.holdout.empty and each.holdout["actual"].max() > 0]
    if not tried:
        return Unanswered(
            "segments.lifetime_value",
            "nobody bought in the months held out, or the base is younger than they are.",
            ("a longer history",),
        )
    whose = _WHOSE if len(value.model.populations) > 1 else {}
    tables = [each.holdout.assign(population=whose.get(each.name, "")) for each in tried]
    table = pd.concat(tables, ignore_index=True)
    table = table.assign(family=[_named(family) for family in table["family"]]).rename(columns={"bias": "bias_share"})
    said = [_holdout_sentence(each, months, whose.get(each.name, "Clients")) for each in tried]
    return Answer(
        sentence=" ".join(said),
        table=table[["population", *table.columns.drop("population")]] if whose else table.drop(columns="population"),
        caption=f"Forecasts of the {formats.plural(months, 'month')} held out; errors in purchases per client",
        labels={
            "population": "Of whom",
            "family": "Model",
            "mae": "Mean absolute error",
            "rmse": "Root mean squared error",
            "bias_share": "Too many or too few",
            "expected": "Expected purchases",
            "actual": "Actual purchases",
        },
    )


def expected_revenue(
    value: LifetimeValue | Unanswered, data: Canonical, deals: nw.LazyFrame[Any] | None = None
) -> nw.LazyFrame[Any] | None:
    """Revenue expected of each client within the horizon, before cost to serve; None where it can't be forecast.

    Expected purchases at the client's own mean revenue, gross of cost to serve: net of it, cost would count twice.

    Parameters
    ----------
    deals
        As ``lifetime_value`` was given them.
    """
    if isinstance(value, Unanswered):
        return None
    revenue = (
        net_purchases(data, deals, "revenue", returns_of(data, deals, "revenue"))
        .group_by("client_id")
        .agg(nw.col("revenue").sum())
    )
    joined = value.values.select("client_id", "x", "expected_purchases").join(revenue, on="client_id", how="left")
    # A purchase is a day on which the client bought, however many deals it made.
    per_purchase = as_float("revenue") / UNITS / (nw.col("x") + 1)
    return joined.select("client_id", expected_revenue=nw.col("expected_purchases") * per_purchase)


def _settled(summary: nw.LazyFrame[Any], *columns: str) -> nw.LazyFrame[Any]:
    """Money as money again: it is added up in whole ten-thousandths (``segments_returns.net_purchases``)."""
    return summary.with_columns(*(as_float(name) / UNITS for name in columns))


def money_of(data: Canonical) -> Money:
    """Margin where the deals know it, else revenue; figures are named after it."""
    return "margin" if data.has("deals", "margin") else "revenue"


def _nothing_bought(data: Canonical, deals: nw.LazyFrame[Any] | None) -> Unanswered:
    """Why there is no purchase: nothing was won, or all that was are bills of contracts."""
    sold = data.scan("deals").filter(nw.col("status") == "won", nw.col("amount") >= 0)
    if deals is not None and len(collect(sold.select("client_id").head(1))):
        return Unanswered("segments.lifetime_value", "all won deals are bills of contracts; they are valued by their renewals.")
    return Unanswered("segments.lifetime_value", "no deal was won.", ("won deals with a day and an amount",))


def _fitted_on(model: LifetimeValueModel, end: dt.date) -> str:
    """On which months the shown parameters rest: nobody may have bought before the holdout."""
    known = any(each.calibration_fit is not None for each in model.populations)
    return f"up to {formats.date(end)}" if known else "on the whole history"


def _rhythm(data: Canonical, keep: Keep, name: str, gaps: nw.LazyFrame[Any]) -> tuple[Rhythm, nw.LazyFrame[Any]]:
    """The test of clients' gaps, and the gaps with who is regular."""
    kept = keep(name, gaps, grain="one row per client that bought on two days at least", key=["client_id"])
    rhythm = find_rhythm(kept)
    return rhythm, mark_regular(kept, data.engine.frame(rhythm.cuts))


def _shown_models(models: pd.DataFrame) -> pd.DataFrame:
    """The parameters for a reader; bounds and lifetimes' failures only where there are any."""
    # What lifetimes raises is advice for programmers; the table of the run holds it in full.
    notes = ["did not converge" if "Convergence" in note else note for note in models["lifetimes_note"]]
    shown = models.assign(family=[_named(family) for family in models["family"]], lifetimes_note=notes)
    empty = [] if models["at_bound"].any() else ["at_bound"]
    return shown.drop(columns=[*empty, *([] if models["lifetimes_note"].ne("").any() else ["lifetimes_note"])])


def _named(family: str) -> str:
    label = FAMILY_LABELS.get(family, family).removeprefix("the ")
    return f"{label[:1].upper()}{label[1:]}"


def _holdout_sentence(population: Population, months: int, whose: str) -> str:
    """What the model that is used had expected, how far off it was, and which one came closer."""
    table = population.holdout.set_index("family")
    used = population.rung if population.rung in table.index else str(table["mae"].idxmin())
    row = table.loc[used]
    label = FAMILY_LABELS[used]
    said = (
        f"{whose} known before the last {formats.plural(months, 'month')} bought {formats.plural(row['actual'], 'time')} in "
        f"them. {label[:1].upper()}{label[1:]}, on which the values below rest, had expected {formats.number(row['expected'])} "
        f"({_signed_share(row['bias'])}) and missed a client by {formats.number(row['mae'], 2)} purchases on average"
    )
    if used != "naive" and "naive" in table.index:
        naive = float(table.loc["naive", "mae"])
        hardly = ", hardly more" if row["mae"] < naive and row["mae"] > _HARDLY_BETTER * naive else ""
        said += f"; the naive forecast, everybody's rate so far, missed by {formats.number(naive, 2)}{hardly}"
    closest = str(table["mae"].idxmin())
    if round(float(table.loc[closest, "mae"]), 2) < round(float(row["mae"]), 2):
        why = "by no more than chance" if closest == "naive" else "but it is only compared with"
        said += f". {_named(closest)} came closer ({formats.number(table.loc[closest, 'mae'], 2)}), {why}"
    return f"{said}."


def _model_sentence(model: LifetimeValueModel, values: nw.LazyFrame[Any], *, apart: bool) -> str:
    chosen = " ".join(_rung_sentence(each, len(model.populations)) for each in model.populations)
    if {each.rung for each in model.populations} == {"naive"}:
        return f"{chosen} It supposes that every client goes on buying as before, so no chance of having left is given."
    alive = collect(values.select(nw.col("p_alive").mean(), nw.col("p_alive").count().alias("n"))).iloc[0]
    still = formats.share(alive["p_alive"])
    bought = "bought outside contracts" if apart else "ever bought"
    whose = f"Of {formats.number(alive['n'])} clients that {bought}, {still} are"
    chance = whose if alive["n"] != 1 else f"The one client that {bought} is, with a chance of {still},"
    share = f" {chance} expected to be still buying."
    if model.rung == "recency_chain":
        share = f" {chance} expected to buy again within a year, which is what alive means here."
    if model.rung == "bg_nbd":
        share += " BG/NBD takes every one-time buyer for alive by construction, so this share is too high."
    spend = f" {model.spend.reason[:1].upper()}{model.spend.reason[1:]}." if model.spend.reason else ""
    return f"{chosen}{share}{spend}"


def _rung_sentence(population: Population, populations: int) -> str:
    """On which model the values of a population rest, and why."""
    label = FAMILY_LABELS.get(population.rung, population.rung)
    k = _shapes(population)
    if populations == 1:
        return f"Values rest on {label}: {population.reason}.{k}"
    whose = in_words(population.name, int(population.triples["n"].sum()))
    return f"Values of {whose} rest on {label}: {population.reason}.{k}"


def shapes(population: Population) -> tuple[float, float] | None:
    """Erlang's k on the whole history and on the months before the holdout; None where there are not both."""
    fits = (population.fit, population.calibration_fit)
    found = [fit.parameters["k"] for fit in fits if fit is not None and "k" in fit.parameters]
    return (found[0], found[1]) if len(found) == 2 else None


def _shapes(population: Population) -> str:
    """That k differs between the table, which rests on the months before the holdout, and the values."""
    found = shapes(population)
    if found is None or found[0] == found[1]:
        return ""
    whole, before = (formats.number(k) for k in found)
    return f" The k of {whole} is that of the whole history, on which values rest; before the holdout it was {before}."


def amounts_depend(found: RankCorrelation | None) -> bool:
    """Whether frequent buyers bring so much more, or less, at a time that one level of amounts will not do for all."""
    return found is not None and abs(found.rho) >= INDEPENDENT_BELOW


def draws_by_frequency(model: LifetimeValueModel) -> bool:
    """Whether clients are drawn to the amounts of those that bought as often, not to one level."""
    return any(population.spend.relative for population in model.populations)


def _independence(found: RankCorrelation | None, money: Money, *, by_frequency: bool) -> str:
    """Whether Gamma-Gamma's assumption holds, in words."""
    if found is None:
        return ""
    rho, interval = formats.number(found.rho, 2), formats.interval(found.low, found.high, lambda v: formats.number(v, 2))
    measured = (
        f" How often a client buys and the {money} of a purchase have a rank correlation of {rho} (95% interval {interval})"
    )
    if not amounts_depend(found):
        return f"{measured}, little enough for Gamma-Gamma, which supposes none."
    what = "more" if found.rho > 0 else "less"
    said = f"{measured}: frequent buyers bring {what} at a time, which Gamma-Gamma does not suppose, "
    if by_frequency:
        return f"{said}so each client is drawn to the level of those that bought as often."
    return f"{said}so their values are less sure."


def _signed_share(value: float) -> str:
    return f"{'+' if value > 0 else ''}{formats.share(value)}"
