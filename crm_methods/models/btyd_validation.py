"""How well the lifetime-value models foretell a holdout, and which of them is then used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from crm_methods import formats
from crm_methods.models.btyd_fit import NOBODY, NoFit, PurchaseFit, SpendFit, is_sound
from crm_methods.models.btyd_likelihood import Floats
from crm_methods.models.btyd_prediction import expected_purchases
from crm_methods.models.purchase_history import unique_triples
from crm_methods.models.second_opinion import SecondOpinion, pareto_expected_purchases

MIN_REPEAT_BUYERS = 30
"""Below this many repeat buyers the data alone determine no model: MBG/NBD with priors is used, which they carry in part."""

FEWEST_REPEAT_BUYERS = 5
"""Below this many even priors don't carry a model. In simulated bases of 8 to 30 clients (three kinds, 25 bases each) MBG/NBD
with priors missed single clients by less than the recency chain and the naive forecast did, and the total of a year by no more;
of 4 clients, some three of them repeat buyers, no longer in every kind."""

LOWER_RUNG = "lower"
"""No model of purchases and attrition holds: the recency chain or the naive forecast is used (``choose_fallback``)."""

FAMILY_LABELS: Mapping[str, str] = {
    "naive": "the naive forecast",
    "nbd": "NBD",
    "bg_nbd": "BG/NBD",
    "mbg_nbd": "MBG/NBD",
    "pareto_nbd": "Pareto/NBD",
    "mbg_cnbd_k": "MBG/CNBD-k",
    "recency_chain": "the recency chain",
    "gamma_gamma": "Gamma-Gamma",
}

HOLDOUT_COLUMNS = ("family", "actual", "expected", "bias", "mae", "rmse", "correlation")
MODEL_COLUMNS = (
    "family", "parameter", "estimate", "log_likelihood",
    "at_bound", "lifetimes_estimate", "lifetimes_log_likelihood", "lifetimes_note",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Rung:
    """Where on the ladder of methods this base stands.

    ``rung`` is the family that is used (``bg_nbd``, ``mbg_nbd``, ``mbg_cnbd_k``, ``recency_chain``, ``naive``),
    ``LOWER_RUNG`` or ``not_enough``; ``reason`` says why in words that end a sentence.
    """

    rung: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """The trial by holdout: its ``table``, and by family how far each distinct history was missed, of ``n`` clients."""

    table: pd.DataFrame
    misses: Mapping[str, Floats]
    n: Floats


def holdout_counts(calibration: nw.LazyFrame[Any]) -> pd.DataFrame:
    """Counted histories with what followed: x, t_x, T, x_holdout, holdout_days, n.

    Parameters
    ----------
    calibration
        One row per client (``purchase_history.calibration_holdout``).
    """
    return unique_triples(calibration, by=("x_holdout", "holdout_days"))


def hold_out(fits: Sequence[PurchaseFit], counts: pd.DataFrame) -> HeldOut:
    """Each model's forecast of the holdout against what happened.

    Parameters
    ----------
    fits
        Models fitted on the calibration period alone, ``naive`` among them.
    counts
        From ``holdout_counts``.

    Returns
    -------
    HeldOut
        ``table``: a row per family whose forecast is finite: ``actual`` and ``expected`` purchases in
        all, ``bias`` = expected/actual − 1, per client ``mae``, ``rmse`` and
        ``correlation``; the last and bias are missing where nobody bought or nothing varies.
    """
    if counts.empty:
        return HeldOut(pd.DataFrame(columns=list(HOLDOUT_COLUMNS)), {}, np.zeros(0))
    horizon = float(counts["holdout_days"].iloc[0])
    actual, n = (counts[name].to_numpy(dtype=np.float64) for name in ("x_holdout", "n"))
    rows: list[dict[str, Any]] = []
    misses: dict[str, Floats] = {}
    for fit in fits:
        predict = pareto_expected_purchases if fit.family == "pareto_nbd" else expected_purchases
        # Many BLAS threads only wait for each other on the quadrature's small matrices.
        with threadpool_limits(limits=1, user_api="blas"):
            expected = predict(fit, counts["x"], counts["t_x"], counts["T"], horizon)
        if not np.isfinite(expected).all():
            continue
        miss, total = expected - actual, float(n @ actual)
        misses[fit.family] = np.abs(miss)
        rows.append(
            {
                "family": fit.family,
                "actual": total,
                "expected": float(n @ expected),
                "bias": float(n @ expected) / total - 1 if total > 0 else np.nan,
                "mae": float(n @ np.abs(miss) / n.sum()),
                "rmse": float(np.sqrt(n @ miss**2 / n.sum())),
                "correlation": _correlation(expected, actual, n),
            }
        )
    return HeldOut(pd.DataFrame(rows, columns=list(HOLDOUT_COLUMNS)), misses, n)


def naive_is_nearer(held_out: HeldOut, family: str) -> bool:
    """Whether the naive forecast missed clients by less than a model did, by more than chance (5 %, one-sided, paired).

    Where nobody bought in the holdout, nobody's forecast of nothing is a merit.
    """
    misses = held_out.misses
    if family not in misses or "naive" not in misses or held_out.table["actual"].max() == 0:
        return False
    n, gain = held_out.n, misses[family] - misses["naive"]
    clients = float(n.sum())
    mean = float(n @ gain) / clients
    if clients < 2 or mean <= 0:
        return False
    error = np.sqrt(float(n @ (gain - mean) ** 2) / (clients - 1) / clients)
    return bool(mean > 1.644854 * error)


def models_table(
    fits: Sequence[PurchaseFit],
    spend: SpendFit | None = None,
    opinions: Sequence[SecondOpinion] = (),
) -> pd.DataFrame:
    """Every parameter of every model, with lifetimes' own estimate beside it.

    Parameters
    ----------
    fits
        Fitted models; those without a likelihood (the naive forecast, the recency chain) have no row.
    spend
        The model of amounts.
    opinions
        From ``second_opinion``; matched by family.

    Returns
    -------
    pandas.DataFrame
        A row per ``family`` and ``parameter``: ``estimate``, the family's
        ``log_likelihood``, whether the parameter is ``at_bound``, and lifetimes'
        estimate, log-likelihood and note (why it has none).
    """
    asked = {opinion.family: opinion for opinion in opinions}
    rows = []
    fitted: list[PurchaseFit | SpendFit] = [*fits, *([spend] if spend is not None else [])]
    for fit in (each for each in fitted if each.log_likelihood is not None):
        opinion = asked.get(fit.family)
        for parameter, estimate in fit.parameters.items():
            theirs = opinion.parameters.get(parameter) if opinion else None
            rows.append(
                {
                    "family": fit.family,
                    "parameter": parameter,
                    "estimate": estimate,
                    "log_likelihood": fit.log_likelihood,
                    "at_bound": parameter in fit.at_bound,
                    "lifetimes_estimate": np.nan if theirs is None else theirs,
                    "lifetimes_log_likelihood": opinion.log_likelihood if opinion and not opinion.reason else np.nan,
                    "lifetimes_note": opinion.reason if opinion else "",
                }
            )
    return pd.DataFrame(rows, columns=list(MODEL_COLUMNS))


def choose_rung(fits: Sequence[PurchaseFit | NoFit], held_out: HeldOut) -> Rung:
    """The model that the data let us use: the best holdout, or that a lower rung is needed and why.

    Parameters
    ----------
    fits
        What was tried: BG/NBD and MBG/NBD (others are ignored), fitted on the calibration
        period, or on all of it where there is no holdout.
    held_out
        From ``hold_out``; empty where the base is too young for one.

    Returns
    -------
    Rung
        BG/NBD or MBG/NBD by the smaller mean absolute error (MBG/NBD where they tie, and where fewer than
        ``MIN_REPEAT_BUYERS`` clients came back); ``LOWER_RUNG`` where fewer than ``FEWEST_REPEAT_BUYERS`` did, no fit holds,
        or the naive forecast was nearer by more than chance; ``not_enough`` where there is no client.
    """
    tried = [fit for fit in fits if fit.family in {"bg_nbd", "mbg_nbd"}]
    failed = [fit for fit in tried if isinstance(fit, NoFit)]
    fitted = [fit for fit in tried if isinstance(fit, PurchaseFit)]
    if not fitted:
        reason = failed[0].reason if failed else "no model was tried"
        return Rung("not_enough" if reason == NOBODY else LOWER_RUNG, reason)
    buyers = fitted[0].repeat_buyers
    came_back = f"only {formats.plural(buyers, 'client')} bought more than once"
    if buyers < FEWEST_REPEAT_BUYERS:
        return Rung(LOWER_RUNG, f"{came_back}, and a model needs {FEWEST_REPEAT_BUYERS}")
    few = buyers < MIN_REPEAT_BUYERS
    sound = [fit for fit in fitted if is_sound(fit) and (fit.family == "mbg_nbd" or not few)]
    if not sound:
        bounds = ", ".join(f"{FAMILY_LABELS[fit.family]}: {', '.join(fit.at_bound) or 'no convergence'}" for fit in fitted)
        return Rung(LOWER_RUNG, f"the data do not determine the models' parameters (at their bounds {bounds})")
    chosen, why = _by_holdout(sound, held_out)
    if naive_is_nearer(held_out, chosen):
        missed = missed_by(held_out.table.set_index("family")["mae"], chosen)
        return Rung(LOWER_RUNG, f"in the holdout {FAMILY_LABELS[chosen]} {missed}, which is more than chance explains")
    caution = [f"{came_back}, so that weak priors carry it in part and clients may be ranked only roughly"] if few else []
    unsound = [f"{FAMILY_LABELS[fit.family]} ran into its bounds" for fit in fitted if not is_sound(fit)]
    return Rung(chosen, "; ".join([*caution, why, *unsound]))


def choose_fallback(why: str, chain: PurchaseFit | NoFit | None, held_out: HeldOut) -> Rung:
    """The recency chain, or the naive forecast where the chain can't be made or missed clients by more, beyond chance.

    Parameters
    ----------
    why
        Why no model of purchases and attrition holds.
    chain
        ``recency_chain.fit_recency_chain`` on the calibration period; None where the days of purchases are not known.
    held_out
        From ``hold_out``, with the chain.
    """
    if chain is None:
        return Rung("naive", why)
    if isinstance(chain, NoFit):
        return Rung("naive", f"{why}, and {chain.reason}")
    if naive_is_nearer(held_out, "recency_chain"):
        errors = held_out.table.set_index("family")["mae"]
        missed = f"it missed a client by {errors['naive']:.2f} purchases on average, the recency chain by"
        return Rung("naive", f"{why}; in the holdout {missed} {errors['recency_chain']:.2f}")
    return Rung("recency_chain", f"{why}; clients that are silent for equally long are not told apart")


def _by_holdout(sound: Sequence[PurchaseFit], held_out: HeldOut) -> tuple[str, str]:
    """The family with the smaller error and what it missed by, or the default and why there is no error."""
    table = held_out.table
    if table.empty or table["actual"].max() == 0:
        chosen = next((fit.family for fit in sound if fit.family == "mbg_nbd"), sound[0].family)
        why = "the base is too young for a holdout" if table.empty else "nobody bought in the holdout period"
        return chosen, f"{why}, and {FAMILY_LABELS[chosen]} is the default"
    errors = table.set_index("family")["mae"]
    known = [fit.family for fit in sound if fit.family in errors.index]
    best = min(known, key=lambda family: (round(float(errors[family]), 9), family != "mbg_nbd"))
    return best, f"in the holdout it {missed_by(errors, best)}"


def missed_by(errors: pd.Series[Any], family: str) -> str:
    """By how much a model missed a client in the holdout, and the others, in words."""
    against = [name for name in ("mbg_nbd", "bg_nbd", "naive") if name in errors.index and name != family]
    compared = formats.join([f"{FAMILY_LABELS[name]} by {errors[name]:.3f}" for name in against])
    return f"missed a client by {errors[family]:.3f} purchases on average, {compared}"


def _correlation(expected: Floats, actual: Floats, n: Floats) -> float:
    centred = [values - np.average(values, weights=n) for values in (expected, actual)]
    spread = float(np.sqrt((n @ centred[0] ** 2) * (n @ centred[1] ** 2)))
    # A spread of rounding errors is no spread.
    if spread <= 1e-12 * max(1.0, float(n @ actual**2)):
        return float("nan")
    return float(n @ (centred[0] * centred[1])) / spread
