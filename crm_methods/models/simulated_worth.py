"""What each client brings in one simulated future: purchases × their amounts − cost to serve while it stays, discounted.

The process is in ``btyd_simulation``, the uncertainty of the parameters in
``parameter_draws``; ``equity_intervals`` sums the clients up, ``client_intervals`` keeps
them apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crm_methods.models.btyd_fit import DAYS_PER_MONTH, PurchaseFit, SpendFit
from crm_methods.models.btyd_likelihood import Floats
from crm_methods.models.btyd_prediction import forecast
from crm_methods.models.btyd_simulation import simulate
from crm_methods.models.contract_retention import discounted_months
from crm_methods.models.lifetime_value import expected_spend, monthly_discount_rate, relative_level


@dataclass(frozen=True, slots=True, eq=False)
class Buyers:
    """Histories of N clients: ``x``, ``t_x``, ``T`` (days), ``mean`` amount of a repeat purchase, ``cost`` to serve per month."""

    x: Floats
    t_x: Floats
    T: Floats
    mean: Floats
    cost: Floats

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Buyers:
        """From one row per client with columns of these names."""
        return cls(*(rows[name].to_numpy(dtype=np.float64) for name in ("x", "t_x", "T", "mean", "cost")))


@dataclass(frozen=True, slots=True, eq=False)
class Horizon:
    """How far ahead is looked, in days and in months, and the discount per month."""

    days: float
    months: int
    monthly_rate: float

    @classmethod
    def of(cls, months: int, annual_discount_rate: float) -> Horizon:
        """Months of ``DAYS_PER_MONTH`` days."""
        return cls(months * DAYS_PER_MONTH, months, monthly_discount_rate(annual_discount_rate))


@dataclass(frozen=True, slots=True, eq=False)
class ContractDraws:
    """What clients under contract are worth by their contracts alone, as it may turn out.

    Parameters
    ----------
    clients
        One row per client under contract: ``client_id`` and, where groups are asked for, their column.
    draw
        From a source of draws the discounted worth of each of these clients in one
        simulated future, parameters drawn too: as many numbers as ``clients`` has rows.
    beyond
        What each of them is expected to be worth after the horizon (``residual_worth``); None where it is not known.
    """

    clients: pd.DataFrame
    draw: Callable[[np.random.Generator], Floats]
    beyond: Floats | None = None


def one_future(
    fit: PurchaseFit, spend: SpendFit, buyers: Buyers, horizon: Horizon, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Purchases of each client within the horizon, and its discounted worth, in one simulated future.

    Parameters
    ----------
    fit, spend
        The models, or ones with drawn parameters. Amounts vary under Gamma-Gamma alone;
        the fallback takes each client's expected amount for certain.
    buyers
        N clients.
    horizon
        How far ahead.
    rng
        Source of the draws.
    """
    fates = simulate(fit, buyers.x, buyers.t_x, buyers.T, horizon.days, rng)
    # Paid at the end of each month, hence half a month later than the purchase on average.
    discount = (1 + horizon.monthly_rate) ** -(horizon.months * fates.mean_share + 0.5)
    earned = fates.bought * _spend_of_each(spend, buyers, fates.bought, rng) * discount
    return fates.bought, earned - buyers.cost * discounted_months(fates.last_share * horizon.months, horizon.monthly_rate)


def expected_future(fit: PurchaseFit, spend: SpendFit, buyers: Buyers, horizon: Horizon) -> tuple[Floats, Floats]:
    """Expected purchases and worth of each client under given parameters, discounted midway: good for differences."""
    ahead = forecast(fit, buyers.x, buyers.t_x, buyers.T, [horizon.days / 2, horizon.days])
    # The naive forecast lets nobody leave.
    bought, alive = ahead.purchases[:, 1], np.nan_to_num(ahead.alive[:, 0], nan=1.0)
    cost = buyers.cost * alive * horizon.months * (1 + horizon.monthly_rate) ** -(horizon.months / 2)
    return bought, expected_earnings(bought, spend, buyers, horizon) - cost


def expected_earnings(bought: Floats, spend: SpendFit, buyers: Buyers, horizon: Horizon) -> Floats:
    """What so many purchases of each client are expected to bring, discounted midway."""
    worth: Floats = bought * expected_spend(spend, buyers.x, buyers.mean) * (1 + horizon.monthly_rate) ** -(horizon.months / 2)
    return worth


def _spend_of_each(spend: SpendFit, buyers: Buyers, bought: Floats, rng: np.random.Generator) -> Floats:
    """Mean amount of the simulated purchases of each client."""
    expected = expected_spend(spend, buyers.x, buyers.mean)
    if spend.family != "gamma_gamma":
        return expected
    p, q, v = (spend.parameters[name] for name in ("p", "q", "v"))
    own = np.maximum(buyers.mean, 0.0)
    scale = rng.standard_gamma(q + p * buyers.x) / (v * relative_level(spend, buyers.x) + buyers.x * own)
    drawn = rng.standard_gamma(p * np.maximum(bought, 1.0)) / (np.maximum(scale, 1e-300) * np.maximum(bought, 1.0))
    # Gamma-Gamma knows no losses: a client that buys below cost goes on as expected.
    return np.where((buyers.x > 0) & (buyers.mean <= 0), expected, drawn)
