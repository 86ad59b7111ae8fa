"""How sure the value of a single client is: between what bounds its purchases and worth will lie.

A client of whom 4 purchases are expected may well make none or 9. The bounds hold both
that chance and how sure the parameters are, as those of customer equity do; but good and
bad luck even out in a sum and not in one client, so that they are far wider.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from crm_methods import formats
from crm_methods.engine import collect
from crm_methods.models import parameter_draws
from crm_methods.models.btyd_fit import PurchaseFit, SpendFit
from crm_methods.models.btyd_likelihood import Floats
from crm_methods.models.lifetime_value import CLV_COLUMN
from crm_methods.models.purchase_history import Money
from crm_methods.models.purchase_ladder import Population
from crm_methods.models.rates import ENDS_95
from crm_methods.models.simulated_worth import Buyers, ContractDraws, Horizon, one_future

MAX_CLIENTS = 50_000
"""Clients that are simulated: of a larger base those worth most."""

DRAWS = 400
_AT_ONCE = 4_000


@dataclass(frozen=True, slots=True, eq=False)
class ClientIntervals:
    """The 95 % interval of every client.

    Parameters
    ----------
    table
        One row per simulated client, key ``client_id``, in its order: ``purchases_low``,
        ``purchases_high`` (whole numbers, within the horizon), and of the discounted worth
        ``clv_low``, ``clv_high`` (``clv_revenue_…`` where no margin is known); all hold what
        is expected. Missing where nothing is known: of who bought once under the naive
        forecast, and purchases of clients that have only contracts.
    clients
        Clients with a value in all.
    """

    table: pd.DataFrame
    clients: int

    @property
    def sentence(self) -> str:
        """What the bounds are, and of whom."""
        bounds = "Each client's bounds are a 95% interval: about one client in 20 is expected to end outside"
        if len(self.table) == self.clients:
            return f"{bounds}."
        most = formats.number(len(self.table))
        return f"{bounds}; of {formats.plural(self.clients, 'client')} the {most} worth most have bounds."


def client_intervals(
    values: nw.LazyFrame[Any],
    populations: Sequence[Population],
    *,
    money: Money = "margin",
    cost_per_month: str | None = None,
    horizon_months: int = 36,
    annual_discount_rate: float = 0.10,
    draws: int = DRAWS,
    seed: int = 0,
    bootstraps: int = parameter_draws.BOOTSTRAPS,
    max_clients: int = MAX_CLIENTS,
    contracts: ContractDraws | None = None,
) -> ClientIntervals:
    """The bounds of purchases and of worth of each client.

    Parameters
    ----------
    values, populations, money, cost_per_month, horizon_months, annual_discount_rate, seed, bootstraps, contracts
        As in ``equity_intervals.equity_intervals``; no column of groups is needed.
    draws
        Number of simulated futures.
    max_clients
        Of more clients with a value, those worth most are simulated.

    Returns
    -------
    ClientIntervals
        Its table is to be joined to the values by ``client_id``.
    """
    clv = CLV_COLUMN[money]
    rows, clients = _worth_most(values, money, cost_per_month, max_clients)
    horizon = Horizon.of(horizon_months, annual_discount_rate)
    streams = np.random.default_rng(seed).spawn(len(populations) + 1)
    under_contract = _contract_futures(contracts, rows["client_id"], draws, streams[-1])
    bounds = np.full((len(rows), 4), np.nan)
    bounds[rows["client_id"].isin(under_contract.index), 2:] = _quantiles(under_contract.to_numpy())
    # Many BLAS threads only wait for each other on matrices of four parameters.
    with threadpool_limits(limits=1, user_api="blas"):
        for population, rng in zip(populations, streams):
            own = rows[rows["population"] == population.name]
            if population.fit is None or own.empty:
                continue
            models = parameter_draws.draws(population.fit, population.triples, draws, rng, bootstraps)
            spends = [parameter_draws.drawn_spend(population.spend, rng) for _ in models]
            for start in range(0, len(own), _AT_ONCE):
                part = own.iloc[start : start + _AT_ONCE]
                bounds[part.index] = _bounds(part, models, spends, horizon, under_contract, rng)
    names = ["purchases_low", "purchases_high", f"{clv}_low", f"{clv}_high"]
    return ClientIntervals(rows[["client_id"]].join(pd.DataFrame(_around(bounds, rows), columns=names)), clients)


def _bounds(
    rows: pd.DataFrame,
    models: Sequence[PurchaseFit],
    spends: Sequence[SpendFit],
    horizon: Horizon,
    under_contract: pd.DataFrame,
    rng: np.random.Generator,
) -> Floats:
    """Lower and upper bound of purchases, then of worth, of some clients of one population."""
    buyers, futures = Buyers.of(rows), np.zeros((2, len(rows), len(models)))
    for draw, (fit, spend) in enumerate(zip(models, spends)):
        futures[0, :, draw], futures[1, :, draw] = one_future(fit, spend, buyers, horizon, rng)
    if models[0].family == "naive":
        # It expects nothing more of who bought once, without knowing how sure that is.
        futures[:, buyers.x == 0] = np.nan
    futures[1] += under_contract.reindex(rows["client_id"], fill_value=0.0).to_numpy()
    return np.column_stack([_quantiles(each) for each in futures])


def _worth_most(
    values: nw.LazyFrame[Any], money: Money, cost_per_month: str | None, max_clients: int
) -> tuple[pd.DataFrame, int]:
    """The clients that are simulated, in order of their ids, and how many have a value in all."""
    clv = CLV_COLUMN[money]
    cost = nw.col(cost_per_month).cast(nw.Float64).fill_null(0.0) if cost_per_month else nw.lit(0.0)
    expected = (nw.col("expected_purchases").alias("purchases"), nw.col(clv).alias("clv"))
    numbers = (nw.col(f"mean_{money}").alias("mean"), cost.alias("cost"), *expected)
    valued = values.filter(~nw.col(clv).is_null()).select("client_id", "population", "x", "t_x", "T", *numbers)
    clients = int(collect(valued.select(nw.len().alias("clients")))["clients"].iloc[0])
    if clients > max_clients:
        valued = valued.sort("clv", "client_id", descending=[True, False]).head(max_clients)
    return collect(valued.sort("client_id"), max_rows=max_clients), clients


def _contract_futures(
    contracts: ContractDraws | None, client_id: pd.Series[Any], draws: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Worth of the contracts of those clients that have any: a row per client, a column per simulated future."""
    if contracts is None:
        return pd.DataFrame(index=pd.Index([], dtype=client_id.dtype), columns=range(draws), dtype=np.float64)
    kept = contracts.clients["client_id"].isin(client_id).to_numpy()
    futures = np.column_stack([contracts.draw(rng)[kept] for _ in range(draws)])
    return pd.DataFrame(futures, index=pd.Index(contracts.clients["client_id"][kept])).sort_index()


def _around(bounds: Floats, rows: pd.DataFrame) -> Floats:
    """The bounds, wide enough to hold what is expected: a chance below one in forty lies outside of 95 %, and counts."""
    purchases, worth = (rows[name].to_numpy(dtype=np.float64) for name in ("purchases", "clv"))
    # To the digits that are shown: a millionth of a purchase is none.
    shown = np.round(purchases, 2)
    expected = np.column_stack([np.floor(shown), np.ceil(shown), worth, worth])
    held: Floats = np.where([False, True] * 2, np.maximum(bounds, expected), np.minimum(bounds, expected))
    return held


def _quantiles(futures: Floats) -> Floats:
    """Both bounds of each row, themselves simulated numbers, so that purchases stay whole."""
    bounds: Floats = np.quantile(futures, ENDS_95, axis=1, method="inverted_cdf").T
    return bounds
