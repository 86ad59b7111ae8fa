"""How well the lifetime-value models foretell a holdout, and which of them is then used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from crm_methods import formats
from crm_methods.models.btyd_fit import NoFit, PurchaseFit, SpendFit, is_sound
from crm_methods.models.btyd_likelihood import Floats
from crm_methods.models.btyd_prediction import expected_purchases
from crm_methods.models.purchase_history import unique_triples
from crm_methods.models.second_opinion import SecondOpinion, pareto_expected_purchases

MIN_REPEAT_BUYERS = 30
"""Below this many repeat buyers a four-parameter model is a guess: the naive forecast is used."""

FAMILY_LABELS: Mapping[str, str] = {
    "naive": "the naive forecast",
    "nbd": "NBD",
    "bg_nbd": "BG/NBD",
    "mbg_nbd": "MBG/NBD",
    "pareto_nbd": "Pareto/NBD",
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

    ``rung`` is the family that is used (``bg_nbd``, ``mbg_nbd``, ``naive``) or
    ``not_enough``; ``reason`` says why in words that end a sentence.
    """

    rung: str
    reason: str


def holdout_counts(calibration: nw.LazyFrame[Any]) -> pd.DataFrame:
    """Counted histories with what followed: x, t_x, T, x_holdout, holdout_days, n.

    Parameters
    ----------
    calibration
        One row per client (``purchase_history.calibration_holdout``).
    """
    return unique_triples(calibration, by=("x_holdout", "holdout_days"))


def holdout_table(fits: Sequence[PurchaseFit], counts: pd.DataFrame) -> pd.DataFrame:
    """Each model's forecast of the holdout against what happened.

    Parameters
    ----------
    fits
        Models fitted on the calibration period alone, ``naive`` among them.
    counts
        From ``holdout_counts``.

    Returns
    -------
    pandas.DataFrame
        A row per family whose forecast is finite: ``actual`` and ``expected`` purchases in
        all, ``bias`` = expected/actual − 1, per client ``mae``, ``rmse`` and
        ``correlation``; the last and bias are missing where nobody bought or nothing varies.
    """
    if counts.empty:
        return pd.DataFrame(columns=list(HOLDOUT_COLUMNS))
    horizon = float(counts["holdout_days"].iloc[0])
    actual, n = (counts[name].to_numpy(dtype=np.float64) for name in ("x_holdout", "n"))
    rows = []
    for fit in fits:
        predict = pareto_expected_purchases if fit.family == "pareto_nbd" else expected_purchases
        expected = predict(fit, counts["x"], counts["t_x"], counts["T"], horizon)
        if not np.isfinite(expected).all():
            continue
        miss, total = expected - actual, float(n @ actual)
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
    return pd.DataFrame(rows, columns=list(HOLDOUT_COLUMNS))


def models_table(
    fits: Sequence[PurchaseFit],
    spend: SpendFit | None = None,
    opinions: Sequence[SecondOpinion] = (),
) -> pd.DataFrame:
    """Every parameter of every model, with lifetimes' own estimate beside it.

    Parameters
    ----------
    fits
        Fitted models; those without parameters have no row.
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
    for fit in fitted:
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


def choose_rung(fits: Sequence[PurchaseFit | NoFit], holdout: pd.DataFrame, min_repeat_buyers: int = MIN_REPEAT_BUYERS) -> Rung:
    """The model that the data let us use: the best holdout, or the rung below and why.

    Parameters
    ----------
    fits
        What was tried: BG/NBD and MBG/NBD (others are ignored), fitted on the calibration
        period, or on all of it where there is no holdout.
    holdout
        From ``holdout_table``; empty where the base is too young for one.
    min_repeat_buyers
        Fewer than this, and the naive forecast is used.

    Returns
    -------
    Rung
        BG/NBD or MBG/NBD by the smaller mean absolute error (MBG/NBD where they tie);
        ``naive`` where there are too few repeat buyers, no fit holds, or the naive
        forecast was better; ``not_enough`` where nobody bought twice.
    """
    tried = [fit for fit in fits if fit.family in {"bg_nbd", "mbg_nbd"}]
    failed = [fit for fit in tried if isinstance(fit, NoFit)]
    fitted = [fit for fit in tried if isinstance(fit, PurchaseFit)]
    if not fitted:
        return Rung("not_enough", failed[0].reason if failed else "no model was tried")
    buyers = fitted[0].repeat_buyers
    if buyers < min_repeat_buyers:
        return Rung(
            "naive", f"only {formats.plural(buyers, 'client')} bought more than once, and a model needs {min_repeat_buyers}"
        )
    sound = [fit for fit in fitted if is_sound(fit)]
    if not sound:
        bounds = ", ".join(f"{FAMILY_LABELS[fit.family]}: {', '.join(fit.at_bound) or 'no convergence'}" for fit in fitted)
        return Rung("naive", f"the data do not determine the models' parameters (at their bounds {bounds})")
    if holdout.empty or holdout["actual"].max() == 0:
        chosen = next((fit for fit in sound if fit.family == "mbg_nbd"), sound[0])
        why = "the base is too young for a holdout" if holdout.empty else "nobody bought in the holdout period"
        return Rung(chosen.family, f"{why}, and {FAMILY_LABELS[chosen.family]} is the default")
    errors = holdout.set_index("family")["mae"]
    ranked = sorted(
        (fit.family for fit in sound if fit.family in errors.index),
        key=lambda family: (round(float(errors[family]), 9), family != "mbg_nbd"),
    )
    best = ranked[0]
    if "naive" in errors.index and errors["naive"] < errors[best]:
        return Rung(
            "naive",
            f"in the holdout it missed a client by {errors['naive']:.2f} purchases on average, "
            f"{FAMILY_LABELS[best]} by {errors[best]:.2f}",
        )
    against = [name for name in ("mbg_nbd", "bg_nbd", "naive") if name in errors.index and name != best]
    compared = formats.join([f"{FAMILY_LABELS[name]} by {errors[name]:.3f}" for name in against])
    missed = f"in the holdout it missed a client by {errors[best]:.3f} purchases on average, {compared}"
    unsound = [f"{FAMILY_LABELS[fit.family]} ran into its bounds" for fit in fitted if not is_sound(fit)]
    return Rung(best, "; ".join([missed, *unsound]))


def _correlation(expected: Floats, actual: Floats, n: Floats) -> float:
    centred = [values - np.average(values, weights=n) for values in (expected, actual)]
    spread = float(np.sqrt((n @ centred[0] ** 2) * (n @ centred[1] ** 2)))
    # A spread of rounding errors is no spread.
    if spread <= 1e-12 * max(1.0, float(n @ actual**2)):
        return float("nan")
    return float(n @ (centred[0] * centred[1])) / spread
