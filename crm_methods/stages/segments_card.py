"""The model card: on which data the values rest, on which models and why, what was checked, and when not to trust them.

A room of stage 2.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

import crm_methods
from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.engine import collect
from crm_methods.models.btyd_fit import PurchaseFit, SpendFit, prior_statement
from crm_methods.models.btyd_likelihood import PURCHASE_LIKELIHOODS
from crm_methods.models.btyd_search import search_of
from crm_methods.models.btyd_validation import FAMILY_LABELS
from crm_methods.models.lifetime_value import LifetimeValueModel
from crm_methods.models.parameter_draws import estimated
from crm_methods.models.rates import ENDS_95, NORMAL_95
from crm_methods.stages.segments_contracts import Contracts
from crm_methods.stages.segments_limits import limits
from crm_methods.stages.segments_trust import Trust
from crm_methods.stages.segments_validation import Evidence
from crm_methods.stages.segments_value import LifetimeValue, shapes

POPULATIONS = {
    "purchases": "Clients that buy as they need",
    "regular": "Clients that reorder like a clock",
    "contract": "Clients under contract",
}
_TRIED_BY = ("numpy", "scipy", "pandas", "duckdb", "narwhals", "lifetimes")
_DRAWN_BY = ("pymc", "pymc-marketing")
_ESTIMATION = {
    "map": "maximum a posteriori with weak priors",
    "ml": "maximum likelihood",
    "bayes": "the posterior with weak priors, drawn from by pymc-marketing; of amounts, regular buyers and contracts its mode",
}

Row = tuple[str, str, str]
"""Section, item and value of the card, as text."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Card(Answer):
    """The model card: ``table`` has one row per ``section`` and ``item`` with its ``value``; ``limits`` when not to trust it."""

    title: str
    limits: tuple[str, ...]


def model_card(
    value: LifetimeValue | Unanswered,
    data: Canonical,
    settings: Company,
    *,
    found: Evidence | Unanswered,
    checks: Trust | Unanswered,
    top_share: float | None = None,
    deals: nw.LazyFrame[Any] | None = None,
    contracts: Contracts | Unanswered | None = None,
) -> Card:
    """All that a reader must know before acting on the values of this run.

    Parameters
    ----------
    value, found, checks
        ``segments_value.lifetime_value``, ``segments_validation.evidence`` and ``segments_trust.trust``; what is
        unanswered says so on the card.
    top_share
        Share of equity in the hands of the key accounts (``segments_key_accounts.KeyAccounts``); None where not known.
    deals
        The deals that ``value`` was given; what it was not given are bills of contracts.
    contracts
        ``segments_contracts.contracts``: where any were found, the card says what their values rest on.

    Returns
    -------
    Card
        Always: a base without any model has a card that says why.
    """
    warned = limits(value, settings, found=found, checks=checks, top_share=top_share, contracts=contracts)
    rows = [
        *(("When not to trust it", str(place), text) for place, text in enumerate(warned, start=1)),
        *_data(value, data, settings, deals),
        *_models(value),
        *_parameters(value, settings),
        *_contracts(contracts),
        *_checks(checks),
        *_made(value, settings),
    ]
    return Card(
        sentence=_sentence(value, checks, warned, contracts),
        table=pd.DataFrame(rows, columns=["section", "item", "value"]),
        caption=f"Model card of {settings.company}, {formats.date(settings.as_of)}",
        title=f"Model card: lifetime value of the clients of {settings.company}",
        limits=warned,
    )


def card_text(card: Card) -> str:
    """The card as a page of markdown: a heading per section and a line per item."""
    parts = [f"# {card.title}", card.sentence]
    for section, rows in card.table.groupby("section", sort=False):
        lines = [
            f"{row['item']}. {row['value']}" if str(row["item"]).isdigit() else f"- **{row['item']}**: {row['value']}"
            for row in rows.to_dict("records")
        ]
        parts.append("\n".join([f"## {section}", "", *lines]))
    return "\n\n".join(parts) + "\n"


def _data(value: LifetimeValue | Unanswered, data: Canonical, settings: Company, deals: nw.LazyFrame[Any] | None) -> list[Row]:
    """What was read, what of it counts, and what does not."""
    rows = [("As-of day", formats.date(settings.as_of)), ("Deals read", _read(data)), *_deals(data, deals)]
    if isinstance(value, LifetimeValue):
        rows += _histories(value)
        what = "margin of each deal" if value.money == "margin" else "revenue of each deal, since no margin is known"
        cost = "subtracted while a client is alive" if value.knows_cost else "not known and not subtracted"
        rows.append(("Amounts", f"{what}, net of returns; cost to serve is {cost}"))
    return [("Data", item, text) for item, text in rows]


def _deals(data: Canonical, given: nw.LazyFrame[Any] | None) -> list[tuple[str, str]]:
    every = _states(data.scan("deals"))
    counted = every if given is None else _states(given)
    left_out = {
        "not won": every["lost"],
        "returns and credit notes": every["returned"],
        "bills of contracts, which are valued as contracts": every["sold"] - counted["sold"],
    }
    said = [f"{formats.number(number)} {what}" for what, number in left_out.items() if number]
    return [
        ("Of them purchases", f"{formats.number(counted['sold'])} won deals with an amount of 0 or more"),
        ("Left out", ", ".join(said) or "nothing"),
    ]


def _states(deals: nw.LazyFrame[Any]) -> dict[str, int]:
    """How many deals were not won, returned, and sold."""
    won = nw.col("status") == "won"
    state = (
        nw.when(won & (nw.col("amount") >= 0)).then(nw.lit("sold"))
        .when(won & (nw.col("amount") < 0)).then(nw.lit("returned"))
        .otherwise(nw.lit("lost"))
    )  # fmt: skip
    counted = collect(deals.with_columns(state=state).group_by("state").agg(nw.len().alias("n"))).set_index("state")["n"]
    return {name: int(counted.get(name, 0)) for name in ("lost", "returned", "sold")}


def _read(data: Canonical) -> str:
    totals = data.totals[data.totals["table"] == "deals"]
    apart = {"could not be read": "rejected_rows", "after the as-of day": "later_rows", "repeated": "duplicate_rows"}
    said = [f"{formats.number(totals[name].sum())} {what}" for what, name in apart.items() if totals[name].sum()]
    read = formats.number(totals["source_rows"].sum())
    return f"{read}, of them {', '.join(said)}" if said else f"{read}, all of them usable"


def _histories(value: LifetimeValue) -> list[tuple[str, str]]:
    counted = collect(
        value.values.filter(~nw.col("x").is_null())
        .with_columns(once=nw.when(nw.col("x") == 0).then(1).otherwise(0))
        .group_by("population")
        .agg(
            nw.len().alias("clients"),
            nw.col("once").sum(),
            nw.col("x").sum(),
            nw.col("first_on").min(),
            nw.col("last_on").max(),
        )
        .sort("population")
    )
    clients = int(counted["clients"].sum())
    named = zip(counted["population"], counted["clients"])
    by_population = [f"{POPULATIONS.get(name, name)}: {formats.number(count)}" for name, count in named]
    return [
        (
            "Clients that bought",
            f"{formats.number(clients)}, {formats.number(counted['once'].sum())} of them once ({'; '.join(by_population)})",
        ),
        (
            "Purchases",
            f"{formats.number(counted['x'].sum() + clients)} from {formats.date(counted['first_on'].min())} to "
            f"{formats.date(counted['last_on'].max())}; several deals of a client on one day are one purchase",
        ),
    ]


def _models(value: LifetimeValue | Unanswered) -> list[Row]:
    """The family of each population and why, and what else was tried."""
    section = "Models"
    if isinstance(value, Unanswered):
        return [(section, "No model", value.reason)]
    model = value.model
    rows = [
        (section, POPULATIONS.get(population.name, population.name), f"{_label(population.rung)}: {population.reason}")
        for population in model.populations
    ]
    spend = "Gamma-Gamma" if model.spend.family == "gamma_gamma" else f"each client's own mean: {model.spend.reason}"
    rows.append((section, "Amount of a purchase", spend))
    if not model.holdout.empty:
        missed = [f"{_label(row.family)} {formats.number(row.mae, 3)}" for row in model.holdout.itertuples()]
        rows.append((section, "Tried on the holdout (mean error per client)", ", ".join(missed)))
    return rows


def _parameters(value: LifetimeValue | Unanswered, settings: Company) -> list[Row]:
    """The parameters in use with their 95 % intervals, a row per model, and the priors."""
    if isinstance(value, Unanswered):
        return []
    rows: list[Row] = []
    priors: dict[str, list[str]] = {}
    for name, fit in _fits(value.model):
        rows.append(("Parameters", f"{name} (95% intervals)", ", ".join(f"{item} {text}" for item, text in _with_intervals(fit))))
        if isinstance(fit, PurchaseFit) and fit.posterior is not None:
            drawn = formats.plural(len(fit.posterior.log_draws), "draw")
            rows.append(("Parameters", f"{name} (posterior)", f"{drawn}; {fit.posterior}"))
        if fit.family in {*PURCHASE_LIKELIHOODS, "mbg_cnbd_k", "gamma_gamma"}:
            estimation = fit.estimation if isinstance(fit, PurchaseFit) else settings.lifetime_value.estimation
            family = "mbg_nbd" if fit.family == "mbg_cnbd_k" else fit.family
            priors.setdefault("none" if estimation == "ml" else prior_statement(family), []).append(name)
    if priors:
        said = [f"{', '.join(names)}: {stated}" for stated, names in priors.items()]
        units = "" if set(priors) == {"none"} else "; times in mean gaps, amounts in mean amounts"
        rows.append(("Parameters", "Priors", f"{'; '.join(said)}{units}"))
    for found in map(shapes, value.model.populations):
        if found is not None and found[0] != found[1]:
            whole, before = (formats.number(k) for k in found)
            rows.append(
                ("Parameters", "k", f"{whole} on the whole history, which is used; {before} on the months before the holdout")
            )
    return rows


def _contracts(found: Contracts | Unanswered | None) -> list[Row]:
    """What the values of contracts rest on."""
    if not isinstance(found, Contracts):
        return []
    fit, section = found.fit, "Contracts"
    alpha, beta = np.sqrt(np.diag(fit.covariance)).tolist()
    said = [
        f"{name} {_estimate(number, _around(number, sd), at_bound=name in fit.at_bound)}"
        for name, number, sd in (("alpha", fit.alpha, alpha), ("beta", fit.beta, beta))
    ]
    reason = f"; {fit.reason}" if fit.reason else ""
    estimation = "with weak priors" if fit.estimation == "map" else "by maximum likelihood"
    seen = f"{formats.plural(fit.renewals, 'renewal')} seen" + (f", none beyond number {fit.oldest}" if fit.renewals else "")
    where = "their table" if found.source == "contracts" else "deals of kind contract"
    return [
        (section, "Parameters of sBG (95% intervals)", f"{', '.join(said)}; {estimation}{reason}"),
        (section, "Made from", f"{formats.plural(fit.contracts, 'contract')}, {formats.number(fit.ended)} of them ended; {seen}"),
        (section, "Term", f"{formats.plural(found.term_months, 'month')}; contracts are read from {where}"),
    ]


def _fits(model: LifetimeValueModel) -> list[tuple[str, PurchaseFit | SpendFit]]:
    known = [(POPULATIONS.get(p.name, p.name), p.fit) for p in model.populations if p.fit is not None and p.fit.parameters]
    spend = [("Amounts", model.spend)] if model.spend.parameters else []
    return [*known, *spend]


def _with_intervals(fit: PurchaseFit | SpendFit) -> list[tuple[str, str]]:
    """Estimates with their intervals; a parameter that is fixed (k) has none."""
    unit = f" {fit.time_unit}s" if isinstance(fit, PurchaseFit) else ""
    ends = _log_ends(fit)
    rows = []
    for place, (name, estimate) in enumerate(fit.parameters.items()):
        within = ends[place] if place < len(ends) else None
        rows.append((name, _estimate(estimate, within, unit if name in {"alpha", "beta"} else "", name in fit.at_bound)))
    return rows


def _log_ends(fit: PurchaseFit | SpendFit) -> list[tuple[float, float]]:
    """Of each parameter that is not fixed, between what bounds its logarithm lies: by the draws, else 1.96 sd to either side."""
    if isinstance(fit, PurchaseFit) and fit.posterior is not None:
        return [(float(low), float(high)) for low, high in np.quantile(fit.posterior.log_draws, ENDS_95, axis=0).T]
    sds = np.sqrt(np.diag(fit.covariance)).tolist() if fit.covariance is not None else []
    return [_around(fit.parameters[name], sd) for name, sd in zip(estimated(fit), sds)]


def _around(estimate: float, sd: float) -> tuple[float, float]:
    return float(np.log(estimate)) - NORMAL_95 * sd, float(np.log(estimate)) + NORMAL_95 * sd


def _estimate(estimate: float, log_ends: tuple[float, float] | None, unit: str = "", at_bound: bool = False) -> str:
    said = f"{_significant(estimate)}{unit}"
    if log_ends is not None:
        # Beyond this no float holds the end; such an interval says that nothing is known.
        low, high = (estimate * float(np.exp(np.clip(end - np.log(estimate), -50, 50))) for end in log_ends)
        said += f" ({formats.interval(low, high, _significant)})"
    return f"{said}, at its bound" if at_bound else said


def _significant(number: float) -> str:
    """A number with about three digits that mean something."""
    size = abs(number)
    if number == round(number) and size < 1e9:
        return formats.number(number)
    if size and not 1e-4 <= size < 1e9:
        return f"{number:.2e}"
    return formats.number(number, 0 if size >= 100 else 2 if size >= 1 else 4)


def _checks(checks: Trust | Unanswered) -> list[Row]:
    if isinstance(checks, Unanswered):
        return [("Checks", "Not made", checks.reason)]
    return [("Checks", row["check"], f"{row['verdict']}: {row['result']}") for row in checks.table.to_dict("records")]


def _made(value: LifetimeValue | Unanswered, settings: Company) -> list[Row]:
    chosen = settings.lifetime_value
    section = "How it was made"
    fits = [] if isinstance(value, Unanswered) else [population.fit for population in value.model.populations]
    drawn = any(fit is not None and fit.posterior is not None for fit in fits)
    versions = {"crm-methods": crm_methods.__version__, "Python": platform.python_version()}
    versions |= {name: version(name) for name in (*_TRIED_BY, *(_DRAWN_BY if drawn else ()))}
    return [
        (
            section,
            "Estimation",
            f"{_ESTIMATION['bayes' if drawn else search_of(chosen.estimation)]}; time in {chosen.time_unit}s",
        ),
        (
            section,
            "Months",
            f"{formats.plural(chosen.horizon_months, 'month')} ahead, discounted by {formats.share(chosen.annual_discount_rate)} "
            f"a year; {formats.plural(chosen.holdout_months, 'month')} held out",
        ),
        (section, "Seed", str(settings.seed)),
        (section, "Versions", ", ".join(f"{name} {number}" for name, number in versions.items())),
    ]


def _sentence(
    value: LifetimeValue | Unanswered,
    checks: Trust | Unanswered,
    warned: tuple[str, ...],
    contracts: Contracts | Unanswered | None,
) -> str:
    renewals = (
        f"the renewals of {formats.plural(contracts.fit.contracts, 'contract')}" if isinstance(contracts, Contracts) else ""
    )
    are = "is" if len(warned) == 1 else "are"
    cautions = f" There {are} {formats.plural(len(warned), 'reason')} for caution." if warned else ""
    if isinstance(value, Unanswered):
        none = f"No model of purchases is in use: {value.reason.rstrip('.')}."
        return f"The values of this run rest on {renewals}. {none}{cautions}" if renewals else none
    models = list(dict.fromkeys(_label(population.rung) for population in value.model.populations))
    used = formats.join([*models, renewals] if renewals else models)
    judged = "" if isinstance(checks, Unanswered) else f" {checks.sentence}"
    return f"The values of this run rest on {used}.{judged}{cautions}"


def _label(family: Any) -> str:
    return FAMILY_LABELS.get(str(family), str(family).replace("_", " "))
