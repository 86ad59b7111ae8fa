"""The checks a purchase model must pass before its values are acted on, each with its verdict. A room of stage 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, answers
from crm_methods.models.btyd_displays import knows_beginnings, mean_absolute_errors, median_gap_days, together
from crm_methods.models.btyd_fit import PurchaseFit, is_sound
from crm_methods.models.btyd_foresight import calibration_error
from crm_methods.models.btyd_validation import MIN_REPEAT_BUYERS
from crm_methods.models.rates import wilson_interval
from crm_methods.stages.segments_validation import Evidence, in_purchases, with_repeats
from crm_methods.stages.segments_value import LifetimeValue, amounts_depend, draws_by_frequency

BIAS_LIMIT = 0.2
"""A total missed by more than a fifth is no basis for a plan."""

FIT_LIMIT = 0.1
COVERED_AT_LEAST = 0.93
CALIBRATION_LIMIT = 0.05

_VERDICTS = {True: "passed", False: "failed", None: "can't be judged"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustCheck:
    """One check: ``passed`` is None where it can't be judged; ``about`` says what rests on it (total, clients, amounts)."""

    name: str
    result: str
    passed: bool | None
    about: str = ""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Trust(Answer):
    """Every check in order; ``table`` has them as a reader sees them.

    ``missed_share`` is by how much the holdout's total was missed, expected / actual − 1; None where nobody bought in it.
    """

    checks: tuple[TrustCheck, ...]
    missed_share: float | None

    @property
    def failed(self) -> tuple[TrustCheck, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.passed is False)

    @property
    def verdict(self) -> str:
        """Whether the sum over all clients may be planned with, in one clause."""
        met, within = (check.passed for check in self.checks if check.about == "total")
        if met is None or self.missed_share is None:
            return "too little was bought in its holdout to say whether it may be planned with"
        by = formats.share(abs(self.missed_share))
        if not met:
            return f"its holdout was missed by {by}, so don't plan with it"
        if not within:
            return f"its holdout was missed by {by}, which its interval is too narrow to hold"
        return f"its holdout was missed by no more than {by}, so it may be planned with"


@answers("segments.validation")
def trust(found: Evidence, value: LifetimeValue) -> Trust:
    """All checks of the purchase model in one table, and what may be built on it.

    Returns
    -------
    Trust
        ``table``: one row per check with its ``result`` and ``verdict`` (passed, failed, can't be judged).
    """
    checks = (
        _enough_buyers(found),
        _long_enough(found),
        _determined(found, value),
        _fits_its_own_months(found),
        _total_missed(found),
        _total_in_interval(found),
        _closer_than_naive(found),
        _clients_in_range(found),
        _chances_come_true(found),
        _rare_and_frequent(found),
        _amounts_independent(value),
    )
    return Trust(
        sentence=_sentence(checks),
        table=pd.DataFrame([(c.name, c.result, _VERDICTS[c.passed]) for c in checks], columns=["check", "result", "verdict"]),
        caption=f"Checks of the purchase model; the months after {formats.date(found.end)} were held out",
        checks=checks,
        missed_share=found.foresight.expected / found.foresight.actual - 1 if found.foresight.actual else None,
    )


def _enough_buyers(found: Evidence) -> TrustCheck:
    buyers = sum(int(trial.counts.loc[trial.counts["x"] > 0, "n"].sum()) for trial in found.trials)
    result = (
        f"{formats.plural(buyers, 'client')} came back before the holdout, {MIN_REPEAT_BUYERS} carry a model without its priors"
    )
    return TrustCheck(name="Enough clients came back", result=result, passed=buyers >= MIN_REPEAT_BUYERS)


def _long_enough(found: Evidence) -> TrustCheck:
    gap, days = median_gap_days(together(found.trials)), found.trials[0].horizon_days
    name = "Holdout longer than a usual gap"
    if np.isnan(gap):
        return TrustCheck(name=name, result="nobody came back before it, so there is no usual gap", passed=None)
    result = f"{formats.plural(days, 'day')} held out; half of those who return do so within {formats.plural(gap, 'day')}"
    return TrustCheck(name=name, result=result, passed=days >= gap)


def _determined(found: Evidence, value: LifetimeValue) -> TrustCheck:
    final = [population.fit for population in value.model.populations if population.fit is not None]
    fits = [fit for fit in (*(trial.fit for trial in found.trials), *final) if fit.parameters]
    name = "Parameters determined by the data"
    if not fits:
        return TrustCheck(name=name, result="the forecast has no parameters", passed=None)
    return TrustCheck(name=name, result=_at_bounds(fits), passed=all(is_sound(fit) for fit in fits))


def _at_bounds(fits: Sequence[PurchaseFit]) -> str:
    bound = list(dict.fromkeys(name for fit in fits for name in fit.at_bound))
    if bound:
        return f"at its bound: {formats.join(bound)}"
    return "all inside their bounds" if all(fit.converged for fit in fits) else "the search did not come to rest"


def _fits_its_own_months(found: Evidence) -> TrustCheck:
    name = "Fits the months it was made from"
    if found.own_months is None or found.own_months[1] == 0:
        return TrustCheck(name=name, result="this forecast only goes on from what happened", passed=None)
    made, actual = found.own_months
    result = f"{formats.number(made)} repeat purchases against {formats.number(actual)} in fact"
    left_out = [trial for trial in found.trials if not knows_beginnings(trial.fit)]
    if left_out:
        clients = formats.plural(sum(float(trial.counts["n"].sum()) for trial in left_out), "client")
        result += f", without {clients} whose model only goes on from what happened"
    return TrustCheck(name=name, result=result, passed=abs(made / actual - 1) <= FIT_LIMIT)


def _total_missed(found: Evidence) -> TrustCheck:
    foreseen = found.foresight
    name = f"Total of the holdout within {formats.share(BIAS_LIMIT)}"
    if foreseen.actual == 0:
        return TrustCheck(name=name, result="nobody bought in it", passed=None, about="total")
    off = foreseen.expected / foreseen.actual - 1
    result = (
        f"{in_purchases(foreseen.expected)} expected, {in_purchases(foreseen.actual)} in fact "
        f"({'+' if off > 0 else ''}{formats.share(off)})"
    )
    if abs(off) > BIAS_LIMIT and _is_within(found):
        return TrustCheck(name=name, result=f"{result}, no more than chance", passed=None, about="total")
    return TrustCheck(name=name, result=result, passed=abs(off) <= BIAS_LIMIT, about="total")


def _total_in_interval(found: Evidence) -> TrustCheck:
    foreseen = found.foresight
    interval = formats.interval(foreseen.low, foreseen.high, in_purchases)
    result = f"{in_purchases(foreseen.actual)} in fact, 95% interval {interval}"
    return TrustCheck(name="Total within its 95% interval", result=result, passed=_is_within(found), about="total")


def _is_within(found: Evidence) -> bool:
    return found.foresight.low <= found.foresight.actual <= found.foresight.high


def _closer_than_naive(found: Evidence) -> TrustCheck:
    name = "Closer to each client than its own rate"
    if all(trial.fit.family == "naive" for trial in found.trials):
        return TrustCheck(name=name, result="everybody's own rate is the forecast", passed=None, about="clients")
    own, plain = mean_absolute_errors(found.trials)
    result = f"missed a client by {formats.number(own, 2)} purchases on average, its own rate by {formats.number(plain, 2)}"
    return TrustCheck(name=name, result=result, passed=own < plain, about="clients")


def _clients_in_range(found: Evidence) -> TrustCheck:
    foreseen = found.foresight
    clients, inside = len(foreseen.clients), foreseen.inside_share
    _, reaches = wilson_interval(inside * clients, clients)
    promised = formats.share(float(foreseen.clients["p_inside"].mean()), 1)
    result = f"{formats.share(inside, 1)} of clients within their 95% range, where the model itself expects {promised}"
    # A range that almost holds is no fault in a base so large that any gap is beyond chance.
    passed = reaches >= 0.95 or inside >= COVERED_AT_LEAST
    return TrustCheck(name="Single clients within their 95% range", result=result, passed=passed, about="clients")


def _chances_come_true(found: Evidence) -> TrustCheck:
    name, bins = "Chances of buying come true", found.bins
    if bins.empty:
        return TrustCheck(name=name, result="this forecast knows no chance of having left", passed=None, about="clients")
    if found.clients < MIN_REPEAT_BUYERS:
        few = f"{formats.plural(found.clients, 'client')} are too few to tell"
        return TrustCheck(name=name, result=few, passed=None, about="clients")
    beyond, apart = int(bins["beyond_chance"].sum()), calibration_error(bins)
    result = (
        f"{formats.number(100 * apart, 1)} percentage points apart on average, beyond chance in {formats.number(beyond)} "
        f"of {formats.plural(len(bins), 'bin')}"
    )
    return TrustCheck(name=name, result=result, passed=beyond == 0 or apart <= CALIBRATION_LIMIT, about="clients")


def _rare_and_frequent(found: Evidence) -> TrustCheck:
    name = "Right for rare and for frequent buyers"
    judged = found.frequencies
    far = (judged["expected"] - judged["actual"]).abs() > BIAS_LIMIT * judged["actual"]
    off = judged.loc[judged["beyond_chance"] & far, "repeat_purchases"].tolist()
    result = (
        f"beyond chance and by more than {formats.share(BIAS_LIMIT)} off for clients with {with_repeats(off)}"
        if off
        else f"no group of {formats.number(len(judged))} is off beyond chance and by more than {formats.share(BIAS_LIMIT)}"
    )
    return TrustCheck(name=name, result=result, passed=not off, about="clients")


def _amounts_independent(value: LifetimeValue) -> TrustCheck:
    name, found = "Amounts independent of frequency", value.spend_correlation
    if found is None:
        return TrustCheck(name=name, result="too few returning clients, or all alike", passed=None, about="amounts")
    interval = formats.interval(found.low, found.high, lambda v: formats.number(v, 2))
    result = f"rank correlation {formats.number(found.rho, 2)} (95% interval {interval})"
    if draws_by_frequency(value.model):
        result += "; clients are drawn to the level of those that bought as often"
    return TrustCheck(name=name, result=result, passed=not amounts_depend(found), about="amounts")


def _sentence(checks: Sequence[TrustCheck]) -> str:
    """How many checks passed, which did not, and what may be built on the forecast."""
    judged = [check for check in checks if check.passed is not None]
    failed = [check.name for check in judged if not check.passed]
    said = f"{formats.number(len(judged) - len(failed))} of {formats.plural(len(judged), 'check')} passed"
    if failed:
        said += f". Failed: {'; '.join(name[:1].lower() + name[1:] for name in failed)}"
    open_ones = len(checks) - len(judged)
    if open_ones:
        said += f". {formats.number(open_ones)} can't be judged"
    return f"{said}. {_use_of(checks)}"


def _use_of(checks: Sequence[TrustCheck]) -> str:
    """What may be built on the forecast: the sum of all clients, and the order of single ones."""
    missed, within = (check.passed for check in checks if check.about == "total")
    if missed is False:
        total = "The sum over all clients should not be planned with as it is"
    elif missed is None:
        total = "Too little was bought in the holdout to say whether the sum over all clients may be planned with"
    elif within:
        total = "The sum over all clients may be planned with, within its interval"
    else:
        total = "The sum over all clients may be planned with, but its interval is too narrow"
    judged = [check.passed for check in checks if check.about == "clients" and check.passed is not None]
    if not judged:
        return f"{total}; nothing is known of single clients."
    # Priors that carry a model in part leave its order of clients rough, however well it did.
    roughly = "" if all(judged) and checks[0].passed else "only roughly "
    return f"{total}, and clients may be ranked {roughly}by it."
