"""When the values of a run should not be trusted, chosen by what was found. A room of stage 2."""

from __future__ import annotations

import math

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Unanswered
from crm_methods.company.settings import Company
from crm_methods.engine import collect
from crm_methods.models.btyd_displays import median_gap_days
from crm_methods.models.btyd_fit import DAYS_PER_MONTH, is_sound
from crm_methods.models.lifetime_value import LifetimeValueModel
from crm_methods.stages.segments_contracts import Contracts
from crm_methods.stages.segments_trust import Trust
from crm_methods.stages.segments_validation import Evidence
from crm_methods.stages.segments_value import LifetimeValue

HANGS_ON_FEW = 0.3
FEW_CLIENTS = 300
STALE_DAYS = 31
EARLY_DAYS, EARLY_SHARE = 61, 0.25


def limits(
    value: LifetimeValue | Unanswered,
    settings: Company,
    *,
    found: Evidence | Unanswered,
    checks: Trust | Unanswered,
    top_share: float | None = None,
    contracts: Contracts | Unanswered | None = None,
) -> tuple[str, ...]:
    """Every reason there is for caution, each a sentence; arguments as in ``segments_card.model_card``."""
    beside = [*(_of_contracts(contracts, settings) if isinstance(contracts, Contracts) else []), *_of_key_accounts(top_share)]
    if isinstance(value, Unanswered):
        none = [] if isinstance(contracts, Contracts) else ["No value is given, so none can be trusted."]
        return (*none, *beside)
    reasons = [
        *_of_checks(checks),
        *_of_model(value.model),
        *_of_amounts(value),
        *_of_days(value, settings),
        *beside,
    ]
    if isinstance(found, Unanswered):
        reasons.insert(0, f"The model was not tried on months it had not seen: {found.reason.rstrip('.')}.")
    return tuple(reasons)


def _of_checks(checks: Trust | Unanswered) -> list[str]:
    """The checks that failed, in one sentence."""
    if isinstance(checks, Unanswered) or not checks.failed:
        return []
    failed = [f"{check.name[:1].lower()}{check.name[1:]} ({check.result})" for check in checks.failed]
    return [f"Failed: {'; '.join(failed)}."]


def _of_key_accounts(top_share: float | None) -> list[str]:
    if top_share is None or top_share <= HANGS_ON_FEW:
        return []
    share = formats.share(top_share)
    return [f"The key accounts hold {share} of the value: ask them, since no average says what they will do."]


def _of_contracts(found: Contracts, settings: Company) -> list[str]:
    """What the renewals seen can't say of those to come."""
    fit, reasons = found.fit, []
    if fit.renewals == 0:
        return ["No contract has come up for renewal yet: how many will be renewed is an assumption, not a finding."]
    if fit.ended == 0:
        reasons.append("No contract that ended is recorded: where ended ones are taken off the list, retention is overstated.")
    if fit.at_bound or not fit.converged:
        reasons.append("The data do not determine how contracts differ: renewals later than those seen are not known.")
    if settings.lifetime_value.horizon_months > found.term_months * fit.oldest:
        seen = formats.plural(fit.oldest, "renewal")
        reasons.append(f"No contract was seen beyond {seen}: values of contracts further ahead go on from the model alone.")
    return reasons


def _of_model(model: LifetimeValueModel) -> list[str]:
    """What the rungs in use can't know, and estimates that the data do not determine."""
    rungs = {population.rung for population in model.populations}
    clients = sum(int(population.triples["n"].sum()) for population in model.populations)
    reasons = []
    if "naive" in rungs:
        reasons.append("Under the naive forecast nobody ever leaves, and whoever bought once never returns.")
    if "bg_nbd" in rungs:
        reasons.append("BG/NBD takes every one-time buyer for alive by construction; shares of living clients are too high.")
    if "recency_chain" in rungs:
        reasons.append("The transition matrix takes clients that were silent equally long for alike; it can't rank them.")
    if any(population.fit is not None and not is_sound(population.fit) for population in model.populations):
        reasons.append("A parameter ran into its bound or the search did not come to rest: single clients should not be ranked.")
    if clients < FEW_CLIENTS:
        few = formats.plural(clients, "client")
        reasons.append(f"The models rest on {few}: single clients have wide intervals, and differ mostly by chance.")
    return reasons


def _of_amounts(value: LifetimeValue) -> list[str]:
    reasons = []
    if value.money == "revenue":
        reasons.append("No margin is known: values are revenue, and a client that brings much may still cost more.")
    elif not value.knows_cost:
        reasons.append("Cost to serve is not known and not subtracted.")
    if value.model.spend.family != "gamma_gamma":
        reasons.append(f"Amounts have no model of their own: {value.model.spend.reason.rstrip('.')}.")
    return reasons


def _of_days(value: LifetimeValue, settings: Company) -> list[str]:
    """A history that ended long ago, or is shorter than what is forecast from it."""
    ends = collect(value.values.select(nw.col("first_on").min(), nw.col("last_on").max())).iloc[0]
    as_of, reasons = pd.Timestamp(settings.as_of), []
    triples = pd.concat([population.triples for population in value.model.populations])
    silent, gap = (as_of - ends["last_on"]).days, median_gap_days(triples)
    if silent > max(STALE_DAYS, 0 if math.isnan(gap) else gap):
        reasons.append(
            f"The last purchase lies {formats.plural(silent, 'day')} before the as-of day: if the data end there and not the "
            "purchases, everybody looks as if it had left."
        )
    early = float(triples.loc[triples["T"] >= triples["T"].max() - EARLY_DAYS, "n"].sum()) / float(triples["n"].sum())
    if early > EARLY_SHARE and triples["T"].max() > EARLY_DAYS / EARLY_SHARE:
        reasons.append(
            f"{formats.share(early)} of clients appear in the first {formats.plural(EARLY_DAYS, 'day')} of the data: they "
            "probably bought before, and the first purchase known of them is not their first."
        )
    history, horizon = (as_of - ends["first_on"]).days / DAYS_PER_MONTH, settings.lifetime_value.horizon_months
    if horizon > history + 1:
        reasons.append(
            f"The forecast looks {formats.plural(horizon, 'month')} ahead from a history of {formats.number(history, 1)} months: "
            "how clients behave after that time has never been seen."
        )
    return reasons
