"""The ladder of purchase models: which of them the clients of a base let us use, from the best to the plainest.

Regular buyers, where they are enough, have a model of their own (``erlang_btyd``). All others go down the rungs: BG/NBD or
MBG/NBD by the holdout, MBG/NBD with priors, the recency chain, the naive forecast. Everybody ends on a rung that has a name
and a reason.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any, Literal

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.engine import collect
from crm_methods.models.btyd_fit import NoFit, PurchaseFit, SpendFit, TimeUnit, fit_purchases, is_sound, naive
from crm_methods.models.btyd_search import Estimation, Inference, search_of
from crm_methods.models.btyd_validation import (
    LOWER_RUNG,
    MIN_REPEAT_BUYERS,
    HeldOut,
    Rung,
    choose_fallback,
    choose_rung,
    hold_out,
    holdout_counts,
    missed_by,
    naive_is_nearer,
)
from crm_methods.models.buying_rhythm import MIN_GAPS, MIN_REGULAR
from crm_methods.models.erlang_btyd import fit_mbg_cnbd_k
from crm_methods.models.purchase_history import unique_triples
from crm_methods.models.recency_chain import ChainFit, buying_runs, fit_recency_chain, period_months
from crm_methods.models.second_opinion import fit_pareto_nbd

REGULAR, PURCHASES = "regular", "purchases"
"""Names of the populations of clients that buy without a contract."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Population:
    """Clients that one model describes.

    Parameters
    ----------
    name
        ``regular`` or ``purchases``.
    rung, reason
        The family used, or ``not_enough``, and why in words that end a sentence.
    fit
        That family on the whole history; None where there is not enough.
    spend
        What a purchase brings, on the whole history.
    triples
        ``x``, ``t_x``, ``T``, ``n`` of the whole history.
    calibration_fit, holdout_counts
        That family on the calibration period alone, and the histories up to then with what followed
        (``btyd_validation.holdout_counts``); None and empty without a holdout.
    holdout
        ``btyd_validation.hold_out``'s table; empty without a holdout.
    """

    name: str
    rung: str
    reason: str
    fit: PurchaseFit | None
    spend: SpendFit
    triples: pd.DataFrame
    calibration_fit: PurchaseFit | None
    holdout_counts: pd.DataFrame
    holdout: pd.DataFrame


@dataclass(frozen=True, slots=True, eq=False)
class RegularBuyers:
    """The clients found to be regular: ``ids`` (lazy, ``client_id``), and the sum of the logarithms of their gaps in days."""

    ids: nw.LazyFrame[Any]
    gap_log_sum: float

    @classmethod
    def of(cls, marked: nw.LazyFrame[Any]) -> RegularBuyers:
        """From ``buying_rhythm.mark_regular``."""
        regular = marked.filter(nw.col("regular"))
        logs = collect(regular.select(nw.col("gap_log_sum").sum())).fillna(0.0)["gap_log_sum"].iloc[0]
        return cls(regular.select("client_id"), float(logs))


@dataclass(frozen=True, slots=True, eq=False)
class BuyingDays:
    """The purchases themselves, for the recency chain: one row each with ``client_id`` and ``closed_on``.

    ``calibration_end`` is None without a holdout.
    """

    purchases: nw.LazyFrame[Any]
    as_of: dt.date
    calibration_end: dt.date | None

    def without(self, clients: nw.LazyFrame[Any]) -> BuyingDays:
        """The same without some clients."""
        return replace(self, purchases=self.purchases.join(clients, on="client_id", how="anti"))


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """Counted histories of a population: ``whole``; up to the holdout, ``trained``, with what followed in ``counts``.

    Without a holdout ``trained`` is ``whole`` and ``counts`` is empty.
    """

    whole: pd.DataFrame
    trained: pd.DataFrame
    counts: pd.DataFrame

    @classmethod
    def of(cls, summary: nw.LazyFrame[Any], calibration: nw.LazyFrame[Any] | None) -> Histories:
        """From ``purchase_history``'s frames with a row per client."""
        whole = unique_triples(summary)
        counts = holdout_counts(calibration) if calibration is not None else pd.DataFrame()
        # Without a client in the calibration period there is nothing to hold out.
        if calibration is None or counts.empty:
            return cls(whole, whole, pd.DataFrame())
        return cls(whole, unique_triples(calibration), counts)


@dataclass(frozen=True, slots=True, eq=False)
class Ladder:
    """What was fitted on the calibration period, its trial, the rung that came of it and that model on the whole history."""

    fits: list[PurchaseFit]
    held_out: HeldOut
    rung: Rung
    fit: PurchaseFit | None
    calibration_fit: PurchaseFit | None


def climb_down(
    histories: Histories,
    days: BuyingDays | None,
    time_unit: TimeUnit = "day",
    estimation: Inference = "map",
    *,
    with_lifetimes: bool = True,
    seed: int = 0,
) -> Ladder:
    """Try the models of irregular buyers and stop at the first rung that holds.

    Parameters
    ----------
    histories
        Of these clients.
    days
        Their purchases; without them there is no recency chain, and the naive forecast takes its place.
    time_unit, estimation
        As in ``btyd_fit.fit_purchases``; priors are added where maximum likelihood leaves no sound fit or few came back.
        Under ``bayes`` models are compared by their modes, and only the one that is used is drawn from.
    with_lifetimes
        Whether to ask lifetimes for Pareto/NBD, which is only compared with.
    seed
        Of the draws under ``bayes``.
    """
    search = search_of(estimation)
    tried, used = _families(histories.trained, time_unit, search)
    more = [fit_pareto_nbd(histories.trained, time_unit)] if with_lifetimes else []
    fits = [naive(histories.trained, time_unit), *(fit for fit in (*tried, *more) if isinstance(fit, PurchaseFit))]
    held_out = hold_out(fits, histories.counts)
    rung = choose_rung(tried, held_out)
    if rung.rung == "not_enough":
        return Ladder(fits, held_out, rung, None, None)
    if rung.rung != LOWER_RUNG:
        if used != search and all(fit.repeat_buyers >= MIN_REPEAT_BUYERS for fit in fits):
            why = "maximum likelihood did not determine the parameters, so weak priors were added"
            rung = replace(rung, reason=f"{why}; {rung.reason}")
        whole, rung = _on_the_whole(rung, histories.whole, time_unit, "bayes" if estimation == "bayes" else used, seed)
        if whole is not None:
            return Ladder(fits, held_out, rung, whole, _trained(whole, fits, histories))
    return _fallback(histories, days, fits, held_out, rung.reason, time_unit)


def regular_ladder(
    histories: Histories,
    regular: RegularBuyers,
    before: RegularBuyers | None,
    time_unit: TimeUnit = "day",
    estimation: Inference = "map",
) -> Ladder | None:
    """The model of regular buyers, tried against the naive forecast.

    Parameters
    ----------
    histories
        Of the regular clients; ``trained`` and ``counts`` of those that were already regular before the holdout.
    regular, before
        Who they are, today and before the holdout.
    time_unit, estimation
        As in ``climb_down``; under ``bayes`` their mode is used, since pymc-marketing does not know the model.

    Returns
    -------
    Ladder or None
        None where the model does not hold or finds no rhythm (k = 1): they are then buyers like all others.
    """
    search = search_of(estimation)
    fit = _regular_fit(histories.whole, regular.gap_log_sum, time_unit, search)
    if fit is None:
        return None
    k = int(fit.parameters["k"])
    why = f"their own gaps are more even than chance makes them (Erlang with k = {k})"
    known = 0 if before is None or histories.counts.empty else int(histories.counts["n"].sum())
    trained = None
    if before is not None and known >= MIN_REGULAR:
        trained = _regular_fit(histories.trained, before.gap_log_sum, time_unit, search)
    if trained is None:
        nothing = hold_out([], pd.DataFrame())
        return Ladder([fit], nothing, Rung("mbg_cnbd_k", f"{why}; too few were known before the holdout to try it"), fit, None)
    pooled = fit_purchases("mbg_nbd", histories.trained, time_unit, "map")
    fits = [naive(histories.trained, time_unit), trained, *([pooled] if isinstance(pooled, PurchaseFit) else [])]
    held_out = hold_out(fits, histories.counts)
    missed = missed_by(held_out.table.set_index("family")["mae"], "mbg_cnbd_k")
    if naive_is_nearer(held_out, "mbg_cnbd_k"):
        why = f"{why}, but in the holdout MBG/CNBD-k {missed}, which is more than chance explains"
        return Ladder([trained], held_out, Rung("naive", why), naive(histories.whole, time_unit), fits[0])
    return Ladder([trained], held_out, Rung("mbg_cnbd_k", f"{why}; in the holdout it {missed}"), fit, trained)


def _families(triples: pd.DataFrame, time_unit: TimeUnit, estimation: Estimation) -> tuple[list[PurchaseFit | NoFit], Estimation]:
    """Our three families, with priors where maximum likelihood leaves no usable one; and which it was."""
    families: tuple[Literal["nbd", "bg_nbd", "mbg_nbd"], ...] = ("nbd", "bg_nbd", "mbg_nbd")
    tried = [fit_purchases(family, triples, time_unit, estimation) for family in families]
    leaving = [fit for fit in tried if isinstance(fit, PurchaseFit) and fit.family != "nbd"]
    enough = all(fit.repeat_buyers >= MIN_REPEAT_BUYERS for fit in leaving)
    if estimation == "map" or not leaving or (enough and any(is_sound(fit) for fit in leaving)):
        return tried, estimation
    return [fit_purchases(family, triples, time_unit, "map") for family in families], "map"


def _on_the_whole(
    rung: Rung, triples: pd.DataFrame, time_unit: TimeUnit, estimation: Inference, seed: int
) -> tuple[PurchaseFit | None, Rung]:
    """The chosen family on the whole history, with priors where it does not hold without; None where neither does."""
    family: Literal["bg_nbd", "mbg_nbd"] = "bg_nbd" if rung.rung == "bg_nbd" else "mbg_nbd"
    fit = fit_purchases(family, triples, time_unit, estimation, seed)
    if isinstance(fit, PurchaseFit) and is_sound(fit):
        return fit, replace(rung, reason=f"{rung.reason}; {fit.reason}") if fit.reason else rung
    with_priors = fit_purchases("mbg_nbd", triples, time_unit, "map")
    if isinstance(with_priors, PurchaseFit) and is_sound(with_priors):
        return with_priors, Rung("mbg_nbd", "the best model did not hold on the whole history; MBG/NBD with priors does")
    return None, Rung(LOWER_RUNG, "no model held on the whole history")


def _trained(whole: PurchaseFit, fits: list[PurchaseFit], histories: Histories) -> PurchaseFit | None:
    """The model of the same family from before the holdout."""
    if histories.counts.empty:
        return None
    return next((fit for fit in fits if fit.family == whole.family), None)


def _fallback(
    histories: Histories,
    days: BuyingDays | None,
    fits: list[PurchaseFit],
    held_out: HeldOut,
    why: str,
    time_unit: TimeUnit,
) -> Ladder:
    chain = _chain(days, histories.whole, held_out=False)
    before = chain if histories.counts.empty else _chain(days, histories.trained, held_out=True)
    if isinstance(before, PurchaseFit) and not histories.counts.empty:
        fits = [*fits, before]
        held_out = hold_out(fits, histories.counts)
    rung = choose_fallback(why, chain, held_out)
    if rung.rung == "recency_chain" and isinstance(chain, ChainFit):
        known = before if isinstance(before, PurchaseFit) and not histories.counts.empty else None
        return Ladder(fits, held_out, rung, chain, known)
    return Ladder(fits, held_out, rung, naive(histories.whole, time_unit), None if histories.counts.empty else fits[0])


def _chain(days: BuyingDays | None, triples: pd.DataFrame, *, held_out: bool) -> ChainFit | NoFit | None:
    if days is None or (held_out and days.calibration_end is None):
        return None
    end = days.calibration_end if held_out and days.calibration_end is not None else days.as_of
    months = period_months(triples)
    return fit_recency_chain(buying_runs(days.purchases, end, months), months, triples)


def _regular_fit(triples: pd.DataFrame, gap_log_sum: float, time_unit: TimeUnit, estimation: Estimation) -> PurchaseFit | None:
    kinds: tuple[Estimation, ...] = ("map",) if estimation == "map" else ("ml", "map")
    for kind in kinds:
        fit = fit_mbg_cnbd_k(triples, gap_log_sum, time_unit, kind, min_x=MIN_GAPS)
        if isinstance(fit, PurchaseFit) and is_sound(fit) and fit.parameters["k"] > 1:
            return fit
    return None


def population(name: str, ladder: Ladder, spend: SpendFit, histories: Histories) -> Population:
    """A ladder's end as a population."""
    return Population(
        name=name,
        rung=ladder.rung.rung,
        reason=ladder.rung.reason,
        fit=ladder.fit,
        spend=spend,
        triples=histories.whole,
        calibration_fit=ladder.calibration_fit,
        holdout_counts=histories.counts,
        holdout=ladder.held_out.table,
    )


def in_words(name: str, clients: int) -> str:
    """A population in a sentence: ``85 regular buyers``, ``1 other buyer``."""
    return formats.plural(clients, "regular buyer" if name == REGULAR else "other buyer")
