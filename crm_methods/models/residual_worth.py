"""What clients are worth beyond the horizon up to which their value counts.

A value within 36 months leaves out what comes later. How much that is says whether the
horizon was long enough to compare clients by; it rests on the model alone, so it is shown
beside the value and never added to it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from crm_methods.models.btyd_fit import DAYS_PER_MONTH
from crm_methods.models.btyd_likelihood import Floats
from crm_methods.models.btyd_prediction import discounted
from crm_methods.models.lifetime_value import monthly_discount_rate
from crm_methods.models.purchase_history import Money
from crm_methods.models.purchase_ladder import Population

FURTHER_YEARS = 30
"""Years beyond the horizon that are looked at: without an end, the worth of clients who never leave has no bound."""

_STEP_MONTHS = 3


def residual_worth(
    rows: pd.DataFrame,
    populations: Sequence[Population],
    *,
    money: Money = "margin",
    cost_per_month: str | None = None,
    horizon_months: int = 36,
    annual_discount_rate: float = 0.10,
) -> Floats:
    """Discounted worth of each client in the ``FURTHER_YEARS`` after the horizon.

    Parameters
    ----------
    rows
        One row per client of ``lifetime_value.client_values``: ``population``, ``x``, ``t_x``, ``T`` (days),
        ``expected_<money>`` and the column ``cost_per_month``.
    populations
        The models; rows of a population without one, or with the naive forecast, count 0.
    money, cost_per_month, horizon_months, annual_discount_rate
        As the values were made with.

    Returns
    -------
    numpy.ndarray
        In the company's currency, one number per row. Quarters are taken as a whole: a purchase counts by the mean factor of
        the three months, the cost to serve by who is alive at their end.
    """
    ahead = horizon_months + np.arange(0, 12 * FURTHER_YEARS + 1, _STEP_MONTHS)
    months = ahead[:-1, None] + np.arange(1, _STEP_MONTHS + 1)
    # What is bought until the horizon counts nothing here.
    factors = np.append(0.0, ((1 + monthly_discount_rate(annual_discount_rate)) ** -months.astype(np.float64)).mean(axis=1))
    worth = np.zeros(len(rows))
    for each in populations:
        own = (rows["population"] == each.name).to_numpy()
        if each.fit is None or each.rung == "naive" or not own.any():
            continue
        theirs = rows[own]
        with threadpool_limits(limits=1, user_api="blas"):
            _, bought, alive = discounted(each.fit, theirs["x"], theirs["t_x"], theirs["T"], ahead * DAYS_PER_MONTH, factors)
        cost = 0.0 if cost_per_month is None else theirs[cost_per_month].fillna(0.0).to_numpy(dtype=np.float64)
        worth[own] = bought * theirs[f"expected_{money}"].to_numpy(dtype=np.float64) - cost * _STEP_MONTHS * alive
    return worth
