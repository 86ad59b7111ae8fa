"""Difference in differences with an earlier base period, for clients that join after unusual months.

Who joins after a good month falls back afterwards, whatever the programme does, and a base period just
before joining takes that for an effect. Moving the base back by some periods leaves those months out of
the comparison altogether: they are neither base nor effect. diff-diff moves the base, too, but counts
the periods between it and the joining among the treated ones, so its overall effect is diluted.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from crm_methods import formats
from crm_methods.models.effects import MIN_CLIENTS, Effect
from crm_methods.models.panels import Panel


def moved_base(panel: Panel, periods_back: int, confidence: float = 0.95) -> Effect:
    """Callaway and Sant'Anna's effect over the periods since joining, against the period ``periods_back`` before the last one.

    For members that join in g: mean outcome from g on, less the outcome in g − 1 − ``periods_back``, less the same of
    clients that never joined; joining periods are weighted by their members and periods since. The variance sums the
    squared influence of each client, so it is clustered by client.

    Parameters
    ----------
    panel
        Balanced panel.
    periods_back
        Periods by which the base moves back; 0 is the usual base. Members that join too early for it are left out.

    References
    ----------
    Callaway & Sant'Anna (2021), "Difference-in-differences with multiple time periods", eq. 2.5 (never treated, no covariates).
    """
    wide = panel.frame.pivot(index="client_id", columns="period", values="outcome").to_numpy(dtype=float)
    joined = panel.joining.to_numpy(dtype=int)
    early = (joined > 0) & (joined <= 1 + periods_back)
    waves = [int(g) for g in np.unique(joined[(joined > 0) & ~early])]
    members, others = int(((joined > 0) & ~early).sum()), int((joined == 0).sum())
    note = f"base period moved back by {periods_back}" if periods_back else ""
    if early.any():
        note = "; ".join(filter(None, [note, f"{formats.plural(int(early.sum()), 'member')} without a base period left out"]))
    known: dict[str, Any] = {"method": "callaway_santanna", "clients": members + others, "members": members}
    if min(members, others) < MIN_CLIENTS:
        return _unknown(known, f"not enough data: {formats.plural(members, 'member')} and {formats.plural(others, 'non-member')}")
    never, last = joined == 0, wide.shape[1]
    cells = float(sum((joined == g).sum() * (last - g + 1) for g in waves))
    effects, influence = [], np.zeros(len(joined))
    for g in waves:
        # Column g − 1 holds period g.
        change = wide[:, g - 1 :].mean(axis=1) - wide[:, g - 2 - periods_back]
        wave = joined == g
        weight = wave.sum() * (last - g + 1) / cells
        effects.append((g, weight, float(change[wave].mean() - change[never].mean())))
        influence += weight * (_influence(change, wave) - _influence(change, never))
    effect = float(sum(weight * found for _, weight, found in effects))
    # The weights are estimated, too: another draw of clients would have other members in each wave.
    for g, _, found in effects:
        influence += np.where(joined == g, (last - g + 1) * (found - effect) / cells, 0.0)
    error = math.sqrt(float(influence @ influence))
    if error == 0:
        return _unknown(known, "not enough data: the effect has no standard error")
    half = float(stats.t.ppf((1 + confidence) / 2, min(members, others) - 1)) * error
    return Effect(**known, effect=effect, low=effect - half, high=effect + half, standard_error=error, note=note)


def _influence(change: NDArray[np.float64], group: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Each client's part in the deviation of its group's mean, so scaled that the squares add up to s²/n; 0 outside the group."""
    size = int(group.sum())
    scale = math.sqrt(size / (size - 1)) / size if size > 1 else 0.0
    return np.where(group, (change - change[group].mean()) * scale, 0.0)


def _unknown(known: dict[str, Any], reason: str) -> Effect:
    return Effect(**known, effect=None, low=None, high=None, standard_error=None, note=reason)
