"""Whether the purchase model may be trusted: what it expected of months it had not seen, set against them. A room of stage 2."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.models import btyd_displays
from crm_methods.models.btyd_displays import Trial
from crm_methods.models.btyd_foresight import Foresight, bins_of_alive, brier_scores, calibration_error, foresee
from crm_methods.models.btyd_validation import FAMILY_LABELS
from crm_methods.models.lifetime_value import LifetimeValueModel, calibration_end
from crm_methods.stages.segments_value import LifetimeValue

QUESTION = "segments.validation"

_SEED = 41
_FAR_BELOW = 0.05
_HALF = 0.5


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Evidence:
    """All that the displays and the checks of trust are made from.

    Parameters
    ----------
    trials
        Each population with its model as fitted before the holdout, and its counted histories.
    end
        Last day of the calibration period.
    curve
        ``btyd_displays.tracking``.
    frequencies
        ``btyd_displays.by_frequency``.
    own_months
        Repeat purchases before the holdout, as the models make it and in fact; None where they only go on from histories.
    foresight
        The simulated holdout.
    bins
        ``btyd_foresight.bins_of_alive``; empty where no model knows a chance of having left.
    """

    trials: tuple[Trial, ...]
    end: dt.date
    curve: pd.DataFrame
    frequencies: pd.DataFrame
    own_months: tuple[float, float] | None
    foresight: Foresight
    bins: pd.DataFrame

    @property
    def clients(self) -> int:
        """Clients known before the holdout."""
        return self.foresight.represented

    @property
    def family(self) -> str:
        """The models on trial in words."""
        return formats.join(list(dict.fromkeys(FAMILY_LABELS.get(t.fit.family, t.fit.family) for t in self.trials)))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Tracking(Answer):
    """Cumulative repeat purchases; ``curve`` has a row per month from the first one on, ``end`` is where the holdout begins.

    ``foreseen`` are the purchases expected in the holdout, given each client's history, and ``followed`` those made.
    """

    curve: pd.DataFrame
    end: dt.date
    foreseen: float
    followed: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Calibration(Answer):
    """Chances of buying beside the shares that bought; ``bins`` as of ``btyd_foresight.bins_of_alive``."""

    bins: pd.DataFrame


@answers(QUESTION)
def evidence(
    value: LifetimeValue, data: Canonical, settings: Company, deals: nw.LazyFrame[Any] | None = None
) -> Evidence | Unanswered:
    """Set what models fitted before the holdout expected of it against what happened: computed once, shown several times.

    Parameters
    ----------
    value, deals
        ``segments_value.lifetime_value``, and the deals it was given.

    Returns
    -------
    Evidence
        Or why there is nothing to hold a model against.
    """
    trials, chosen = trials_of(value.model), settings.lifetime_value
    if not trials:
        months = formats.plural(chosen.holdout_months, "month")
        reason = f"no client was known before the last {months}, which are held out to try the models on."
        return Unanswered(QUESTION, reason, ("a longer history of purchases",))
    end = calibration_end(settings.as_of, chosen.holdout_months)
    members = _members(value.values, trials, (settings.as_of - end).days)
    by_day = btyd_displays.purchases_by_day(_sold(data, deals), members)
    rng = np.random.default_rng([settings.seed, _SEED])
    foresight = foresee(trials, rng, bootstraps=chosen.bootstraps)
    return Evidence(
        trials=trials,
        end=end,
        curve=btyd_displays.tracking(trials, by_day, settings.as_of, chosen.holdout_months),
        frequencies=btyd_displays.by_frequency(trials),
        own_months=btyd_displays.own_months(trials),
        foresight=foresight,
        bins=bins_of_alive(foresight.clients),
    )


def trials_of(model: LifetimeValueModel) -> tuple[Trial, ...]:
    """Each population that has a model of the calibration period, with what its clients did in the holdout."""
    return tuple(
        Trial(population=population.name, fit=population.calibration_fit, counts=population.holdout_counts)
        for population in model.populations
        if population.calibration_fit is not None and not population.holdout_counts.empty
    )


@answers(QUESTION)
def tracking(found: Evidence) -> Tracking:
    """Cumulative repeat purchases month by month, against the model fitted before the holdout, NBD and the naive forecast.

    Returns
    -------
    Tracking
        ``table``: the month at whose end the holdout begins, and every month of it.
    """
    shown = found.curve[found.curve["month_end"] >= pd.Timestamp(found.end)].drop(columns="held_out")
    is_naive = all(trial.fit.family == "naive" for trial in found.trials)
    shown = shown.drop(columns="expected" if is_naive else [])
    return Tracking(
        sentence=_tracking_sentence(found),
        table=shown.dropna(axis=1, how="all").reset_index(drop=True),
        caption=(
            f"Repeat purchases so far, of {formats.plural(found.clients, 'client')} that first bought up to "
            f"{formats.date(found.end)}; the models know nothing of what came after that day"
        ),
        labels={
            "month_end": "Up to",
            "actual": "In fact",
            "expected": _sentence_case(found.family),
            "nbd": "NBD: nobody leaves",
            "naive": "Everybody's own rate",
        },
        curve=found.curve,
        end=found.end,
        foreseen=found.foresight.expected,
        followed=found.foresight.actual,
    )


@answers(QUESTION)
def by_frequency(found: Evidence) -> Answer:
    """Purchases per client in the holdout by the number of repeat purchases before it."""
    return Answer(
        sentence=_frequency_sentence(found.frequencies, found.family),
        table=found.frequencies.drop(columns="beyond_chance"),
        caption=(
            f"Purchases per client after {formats.date(found.end)}, by repeat purchases up to then; "
            "the interval (95%) is that of the actual mean"
        ),
        labels={
            "repeat_purchases": "Repeat purchases before",
            "actual": "In fact",
            "low": "95% from",
            "high": "to",
            "expected": _sentence_case(found.family),
            "naive": "Everybody's own rate",
        },
    )


@answers(QUESTION)
def alive(found: Evidence) -> Calibration | Unanswered:
    """Whether chances come true: predicted chance of buying in the holdout against the share that did, by P(alive)."""
    if found.bins.empty:
        return Unanswered(QUESTION, f"{found.family} knows no chance of having left.")
    return Calibration(
        sentence=_alive_sentence(found.bins, found.foresight),
        bins=found.bins,
        table=found.bins.drop(columns="beyond_chance"),
        caption=(
            f"Chance of a purchase after {formats.date(found.end)} and the share of clients that made one, by the chance "
            f"of still being a client on that day; Wilson's 95% intervals{_sampled(found.foresight)}"
        ),
        labels={
            "p_alive_from_share": "Chance of being alive from",
            "p_alive_to_share": "up to",
            "predicted_share": "Expected to buy",
            "actual_share": "Bought",
            "low_share": "95% from",
            "high_share": "to",
        },
    )


def in_purchases(number: float) -> str:
    """Expected purchases as text: few of them with a decimal, since half a purchase may be all that is expected."""
    return formats.number(number, 1 if number < 10 and number != round(number) else 0)


def with_repeats(groups: Sequence[str]) -> str:
    """Groups of ``btyd_displays.by_frequency`` in words: ``1 repeat purchase``, ``2–3 and 5 repeat purchases``."""
    return f"{formats.join(groups)} repeat {'purchase' if list(groups) == ['1'] else 'purchases'}"


def _sold(data: Canonical, deals: nw.LazyFrame[Any] | None) -> nw.LazyFrame[Any]:
    """Deals that count as purchases: won, and no returns."""
    return (data.scan("deals") if deals is None else deals).filter(nw.col("status") == "won", nw.col("amount") >= 0)


def _members(values: nw.LazyFrame[Any], trials: tuple[Trial, ...], days_held_out: int) -> nw.LazyFrame[Any]:
    """The clients on trial: of their populations, and known before the holdout."""
    names = [trial.population for trial in trials]
    return values.filter(nw.col("T") >= days_held_out, nw.col("population").is_in(names))


def _tracking_sentence(found: Evidence) -> str:
    """What was bought in the months of the fit and after them, beside what was expected."""
    foreseen, curve = found.foresight, found.curve
    at_end = curve[~curve["held_out"]].iloc[-1]
    said = (
        f"The clients known on {formats.date(found.end)} bought {formats.plural(foreseen.actual, 'time')} in the months held "
        f"out. {_sentence_case(found.family)}, which did not know these months, had expected {in_purchases(foreseen.expected)} "
        f"(95% interval {formats.interval(foreseen.low, foreseen.high, in_purchases)}{_missed_by(foreseen)})"
    )
    if any(trial.fit.family != "naive" for trial in found.trials):
        said += f"; at everybody's own rate so far it would have been {formats.number(curve['naive'].iloc[-1] - at_end['naive'])}"
    if found.own_months is not None:
        said += (
            f". Up to that day they had come back {formats.plural(at_end['actual'], 'time')}, "
            f"and the model makes it {formats.number(at_end['expected'])}{_why_apart(found, at_end)}"
        )
    return f"{said}. A line that fits in sum may still be wrong about every single client."


def _why_apart(found: Evidence, at_end: pd.Series[Any]) -> str:
    """Why the model's line runs below the purchases before the holdout, where older clients bought more than newer ones."""
    if at_end["expected"] > (1 - _FAR_BELOW) * at_end["actual"]:
        return ""
    known = pd.concat([trial.counts for trial in found.trials if btyd_displays.knows_beginnings(trial.fit)])
    known = known[known["T"] > 0].sort_values("T")
    is_older = known["n"].cumsum() / known["n"].sum() > _HALF
    older, newer = (known[rows] for rows in (is_older, ~is_older))
    if older.empty or newer.empty:
        return ""
    often, seldom = (float(part["n"] @ part["x"]) / float(part["n"] @ part["T"]) for part in (older, newer))
    if often <= seldom:
        return ""
    return (
        ": older clients bought more often than newer ones, which the model does not know, since it takes all for alike when "
        "they begin. What it expects of the months held out starts from each client's own history instead"
    )


def _missed_by(foreseen: Foresight) -> str:
    if foreseen.actual == 0:
        return ""
    off = foreseen.expected / foreseen.actual - 1
    return f"; {formats.share(abs(off))} too {'many' if off > 0 else 'few'}" if round(abs(off), 2) else ""


def _frequency_sentence(table: pd.DataFrame, family: str) -> str:
    """The first and the last group, and how many groups were off by more than chance."""
    ends = [table.iloc[0]] if len(table) == 1 else [table.iloc[0], table.iloc[-1]]
    said = "; ".join(
        f"clients with {with_repeats([row['repeat_purchases']])} before bought {formats.number(row['actual'], 2)} times "
        f"on average in the months held out, {formats.number(row['expected'], 2)} were expected"
        for row in ends
    )
    off = int(table["beyond_chance"].sum())
    missed = f"{formats.number(off)} of {formats.plural(len(table), 'group')}" if off else "no group"
    return (
        f"{_sentence_case(said)}. {_sentence_case(family)} missed {missed} by more than chance. "
        "Means of groups say nothing about a single client."
    )


def _alive_sentence(bins: pd.DataFrame, foresight: Foresight) -> str:
    most = bins.loc[bins["clients"].idxmax()]
    own, flat = brier_scores(foresight.clients)
    outside = int(bins["beyond_chance"].sum())
    apart = formats.number(100 * calibration_error(bins), 1)
    return (
        f"Of {formats.plural(most['clients'], 'client')} whose chance of still being one was put at "
        f"{formats.interval(most['p_alive_from_share'], most['p_alive_to_share'], formats.share)}, "
        f"{formats.share(most['actual_share'])} bought in the months held out, and {formats.share(most['predicted_share'])} "
        f"were expected to. Over all bins chances and shares lie {apart} "
        f"percentage points apart, in {formats.number(outside)} of {formats.plural(len(bins), 'bin')} by more than chance. "
        f"The Brier score is {formats.number(own, 3)}, against {formats.number(flat, 3)} for telling everybody the same chance "
        "(less is better). A client that did not buy in these months may still be one."
    )


def _sampled(foresight: Foresight) -> str:
    """That only some of the clients were simulated, where it is so."""
    shown = len(foresight.clients)
    if shown == foresight.represented:
        return ""
    return f"; {formats.number(shown)} of {formats.plural(foresight.represented, 'client')}, evenly chosen"


def _sentence_case(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
