"""What a programme caused: the naive answers, and the ones that compare like with like.

Members differ from non-members before they join; that is why they join. Difference in
differences asks instead how much more members changed than clients who never joined did
over the same months. Every estimator takes the same balanced ``Panel``, gives an
``Effect`` per client and month, and none of them is the truth alone: ``agreement`` says
whether they tell the same story.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from crm_methods import formats
from crm_methods.models.panels import Panel

Method = Literal["naive", "before_after", "callaway_santanna", "imputation", "placebo"]

METHOD_LABELS = {
    "naive": "Members against non-members",
    "before_after": "Members after against before joining",
    "callaway_santanna": "Difference in differences (Callaway and Sant'Anna)",
    "imputation": "Difference in differences (imputation)",
    "placebo": "Placebo: an invented earlier joining date",
}

MIN_CLIENTS = 5
"""Fewest members, and fewest non-members, of which an effect is estimated."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Effect:
    """An effect per client and month, with its interval.

    ``effect``, ``low``, ``high`` and ``standard_error`` are None where there is not enough
    data; ``note`` then says what is missing.
    """

    method: Method
    effect: float | None
    low: float | None
    high: float | None
    standard_error: float | None
    clients: int
    members: int
    note: str = ""

    @property
    def is_enough(self) -> bool:
        """Whether there is an estimate to speak of."""
        return self.effect is not None

    @property
    def label(self) -> str:
        """The method in words."""
        return METHOD_LABELS[self.method]

    @property
    def minimum_detectable(self) -> float | None:
        """The smallest true effect this base would show in 8 of 10 cases: 2.8 standard errors (z.975 + z.8)."""
        return None if self.standard_error is None else float(stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * self.standard_error


def naive_comparison(panel: Panel, confidence: float = 0.95) -> Effect:
    """Members' mean outcome since they joined, less non-members' mean since the programme began.

    Welch's interval over clients' means, so it is clustered by client. It says who the
    members are, not what the programme did to them.

    References
    ----------
    Welch (1947), "The generalization of 'Student's' problem when several different population variances are involved".
    """
    lacking = _lacking(panel, "naive")
    if lacking:
        return lacking
    data, first = panel.frame, int(panel.joining[panel.joining > 0].min())
    inside = np.where(data["first_treat"] > 0, data["period"] >= data["first_treat"], data["period"] >= first)
    means = data[inside].groupby("client_id").agg(outcome=("outcome", "mean"), first_treat=("first_treat", "first"))
    joined, never = (means.loc[mask, "outcome"] for mask in (means["first_treat"] > 0, means["first_treat"] == 0))
    parts = [group.var(ddof=1) / len(group) for group in (joined, never)]
    error = math.sqrt(sum(parts))
    if error == 0:
        return _empty(panel, "naive", "all clients are alike: no interval can be given")
    freedom = sum(parts) ** 2 / sum(part**2 / (len(group) - 1) for part, group in zip(parts, (joined, never), strict=True))
    return _effect(panel, "naive", float(joined.mean() - never.mean()), error, freedom, confidence)


def before_after(panel: Panel, confidence: float = 0.95) -> Effect:
    """Members' mean outcome since they joined, less their own mean before; a paired t interval.

    It takes every trend of the market for an effect of the programme.
    """
    lacking = _lacking(panel, "before_after")
    if lacking:
        return lacking
    data = panel.frame[panel.frame["first_treat"] > 0]
    after = data["period"] >= data["first_treat"]
    change = (data[after].groupby("client_id")["outcome"].mean() - data[~after].groupby("client_id")["outcome"].mean()).dropna()
    if len(change) < MIN_CLIENTS or change.std() == 0:
        return _empty(panel, "before_after", "too few members were seen both before and after joining")
    error = float(change.std(ddof=1)) / math.sqrt(len(change))
    return _effect(panel, "before_after", float(change.mean()), error, len(change) - 1, confidence)


def callaway_santanna(panel: Panel, *, covariates: Sequence[str] = (), confidence: float = 0.95) -> Effect:
    """Difference in differences by joining period, never-joined clients as the comparison, weighted by members.

    Assumes that without the programme members would have changed as non-members did (parallel
    trends), and that nobody changed before joining; ``moved_base`` is the estimate for those who may have.

    Parameters
    ----------
    panel
        Balanced panel.
    covariates
        Columns of ``panel.frame``, constant over time, on which trends may depend (doubly robust).

    References
    ----------
    Callaway & Sant'Anna (2021), "Difference-in-differences with multiple time periods", J. of Econometrics 225.
    """
    usable, problem, note = _usable(panel)
    lacking = _lacking(usable, "callaway_santanna", problem)
    if lacking:
        return lacking
    # Here, not above: diff-diff takes long to import.
    from diff_diff import CallawaySantAnna

    fitted = CallawaySantAnna().fit(usable.frame, **_COLUMNS, covariates=list(covariates) or None)
    return _from_fit(usable, "callaway_santanna", fitted, confidence, note)


def imputation(panel: Panel, *, confidence: float = 0.95) -> Effect:
    """Difference in differences against what client and month effects, fitted on months without the programme, foretell.

    More precise than Callaway and Sant'Anna's where it holds, and more easily wrong where
    trends differ: it uses all months before joining.

    References
    ----------
    Borusyak, Jaravel & Spiess (2024), "Revisiting event-study designs", Review of Economic Studies 91.
    """
    usable, problem, note = _usable(panel)
    lacking = _lacking(usable, "imputation", problem)
    if lacking:
        return lacking
    # Here, not above: diff-diff takes long to import.
    from diff_diff import ImputationDiD

    fitted = ImputationDiD().fit(usable.frame, **_COLUMNS)
    return _from_fit(usable, "imputation", fitted, confidence, note)


def placebo(panel: Panel, *, periods_earlier: int = 6, confidence: float = 0.95) -> Effect:
    """The effect of a joining date invented ``periods_earlier``, on periods before the true one.

    Nothing happened there, so an interval without 0 means that members were already on another path.
    """
    data = panel.frame
    joined = data["first_treat"] > 0
    last = int(data.loc[joined, "first_treat"].min()) - 1 if joined.any() else 0
    # Only months in which nobody had joined: one end for all keeps the panel balanced.
    before = data[data["period"] <= last]
    never, shifted = before["first_treat"] == 0, before["first_treat"] - periods_earlier
    invented = before.assign(first_treat=shifted.where(~never, 0))[never | shifted.between(2, last)]
    fake = replace(panel, frame=invented)
    estimate = callaway_santanna(fake, confidence=confidence)
    note = "; ".join(filter(None, [f"{formats.plural(periods_earlier, 'period')} earlier", estimate.note]))
    return replace(estimate, method="placebo", note=note)


def event_study(panel: Panel, *, confidence: float = 0.95) -> pd.DataFrame:
    """The effect by periods since joining; those before joining should lie around 0.

    Every period is set against the last one before joining (a long difference).

    Returns
    -------
    pandas.DataFrame
        One row per period since joining, sorted: ``periods_since_joining`` (negative: before), ``effect``, ``low``,
        ``high`` (pointwise; missing in the base period −1, which is 0 by construction), ``is_before``.
        Empty where there is not enough data.
    """
    usable, problem, _ = _usable(panel)
    columns = ["periods_since_joining", "effect", "low", "high", "is_before"]
    if _lacking(usable, "callaway_santanna", problem):
        return pd.DataFrame(columns=columns)
    # Here, not above: diff-diff takes long to import.
    from diff_diff import CallawaySantAnna

    study = CallawaySantAnna(base_period="universal").fit(usable.frame, **_COLUMNS).aggregate("event_study")
    half = _critical(usable, confidence) * np.asarray(study.se, dtype=float)
    effect, since = np.asarray(study.att, dtype=float), np.asarray(study.event_time, dtype=int)
    table = pd.DataFrame(
        {"periods_since_joining": since, "effect": effect, "low": effect - half, "high": effect + half, "is_before": since < 0}
    )
    return table.sort_values("periods_since_joining").reset_index(drop=True)[columns]


def effects_table(effects: Sequence[Effect]) -> pd.DataFrame:
    """Estimates side by side: ``method``, ``effect``, ``low``, ``high``, ``standard_error``, ``clients``, ``members``, ``note``.

    ``method`` is in words; numbers are missing where there was not enough data.
    """
    rows = [(e.label, e.effect, e.low, e.high, e.standard_error, e.clients, e.members, e.note) for e in effects]
    columns = ["method", "effect", "low", "high", "standard_error", "clients", "members", "note"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[1:5], float))


def agreement(effects: Sequence[Effect]) -> bool | None:
    """Whether estimates differ by no more than the largest standard error; None with fewer than two of them.

    Where they disagree a report shows all of them and gives no single number.
    """
    known = [(e.effect, e.standard_error) for e in effects if e.effect is not None and e.standard_error is not None]
    if len(known) < 2:
        return None
    values, errors = zip(*known, strict=True)
    return float(max(values) - min(values)) <= float(max(errors))


_COLUMNS = {"outcome": "outcome", "unit": "client_id", "time": "period", "first_treat": "first_treat"}


def _usable(panel: Panel) -> tuple[Panel, str, str]:
    """The panel without members that have no period before joining; what makes it useless; what was left out."""
    data = panel.frame
    early = (data["first_treat"] > 0) & (data["first_treat"] <= 1)
    kept = data[~early]
    usable = replace(panel, frame=kept)
    left_out = formats.plural(data.loc[early, "client_id"].nunique(), "member")
    note = f"{left_out} without a period before joining left out" if early.any() else ""
    problem = "the outcome never varies" if kept.empty or float(kept["outcome"].std(ddof=0)) == 0 else ""
    return usable, problem, note


def _lacking(panel: Panel, method: Method, problem: str = "") -> Effect | None:
    """The empty answer, where there are too few clients or ``problem`` says what else is wrong."""
    if panel.members >= MIN_CLIENTS and panel.non_members >= MIN_CLIENTS:
        return _empty(panel, method, problem) if problem else None
    found = f"{formats.plural(panel.members, 'member')} and {formats.plural(panel.non_members, 'non-member')}"
    reason = f"not enough data: {found} with a history before the programme, at least {MIN_CLIENTS} of each needed"
    return _empty(panel, method, reason)


def _empty(panel: Panel, method: Method, reason: str) -> Effect:
    return Effect(
        method=method, effect=None, low=None, high=None, standard_error=None,
        clients=panel.members + panel.non_members, members=panel.members, note=reason,
    )  # fmt: skip


def _from_fit(panel: Panel, method: Method, fitted: Any, confidence: float, note: str) -> Effect:
    effect, error = float(fitted.overall_att), float(fitted.overall_se)
    if not (math.isfinite(effect) and math.isfinite(error) and error > 0):
        return _empty(panel, method, "not enough data: the effect has no standard error")
    return _effect(panel, method, effect, error, _freedom(panel), confidence, note)


def _effect(
    panel: Panel, method: Method, effect: float, error: float, freedom: float, confidence: float, note: str = ""
) -> Effect:
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    return Effect(
        method=method, effect=effect, low=effect - half, high=effect + half, standard_error=error,
        clients=panel.members + panel.non_members, members=panel.members, note=note,
    )  # fmt: skip


def _freedom(panel: Panel) -> float:
    """Degrees of freedom of the smaller arm, whose spread is known worst."""
    return float(min(panel.members, panel.non_members) - 1)


def _critical(panel: Panel, confidence: float) -> float:
    return float(stats.t.ppf((1 + confidence) / 2, _freedom(panel)))
