"""What each client is worth in all, by its purchases and by its contracts: a room of stage 2.

Purchases and contracts have models of their own, and a client may have both. Here they
meet in one row per client, with the bounds that a single client's worth has.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import narwhals as nw

from crm_methods.company.answers import Unanswered
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.engine import collect
from crm_methods.models.client_intervals import ClientIntervals, client_intervals
from crm_methods.models.contract_histories import MAX_CONTRACTS
from crm_methods.models.lifetime_value import CLV_COLUMN
from crm_methods.models.purchase_history import Money
from crm_methods.models.purchase_ladder import Population
from crm_methods.models.simulated_worth import ContractDraws
from crm_methods.stages.segments import monthly_cost
from crm_methods.stages.segments_contracts import Contracts, contract_draws, contract_revenue
from crm_methods.stages.segments_value import Keep, LifetimeValue, expected_revenue

CONTRACT = "contract"
"""Name of the population of clients that have contracts and never bought without one."""

_OF_PURCHASES = ("x", "t_x", "T", "p_alive", "expected_purchases", "discounted_purchases", "discounted_months_alive")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ClientWorth:
    """What clients are worth in all.

    ``values`` (lazy) has one row per client that ever bought or had a contract, key ``client_id``: ``population``
    (``regular``, ``purchases`` or ``contract``), its history, ``p_alive``, ``expected_purchases``, ``cost_per_month``,
    ``contract_value`` (what its contracts bring, less what they add to its cost to serve) and ``clv``
    (``clv_revenue``), which holds both.

    Parameters
    ----------
    values
        The clients.
    populations
        The models of purchases behind them.
    contracts
        What running contracts add, as it may turn out; None without one.
    contract_clients
        Clients with a running contract.
    left_out
        Why contracts are not in it although there are some; empty where they are.
    money, knows_cost
        As in ``LifetimeValue``.
    """

    values: nw.LazyFrame[Any]
    populations: tuple[Population, ...]
    contracts: ContractDraws | None
    contract_clients: int
    left_out: str
    money: Money
    knows_cost: bool


def client_worth(
    value: LifetimeValue | Unanswered,
    contracts: Contracts | Unanswered | None,
    settings: Company,
    economics: nw.LazyFrame[Any],
) -> ClientWorth | Unanswered:
    """Put purchases and contracts of each client together.

    A client pays its cost to serve as long as it buys or has a contract, whichever is expected to last longer, once.

    Parameters
    ----------
    value
        From ``segments_value.lifetime_value``, without the deals that bill contracts.
    contracts
        From ``segments_contracts.contracts``.
    economics
        One row per client with ``cost_to_serve`` in the period.
    """
    if isinstance(value, Unanswered):
        if not isinstance(contracts, Contracts):
            return Unanswered("segments.customer_equity", value.reason, value.would_help)
        return _with_contracts(None, contracts, settings, economics)
    if not isinstance(contracts, Contracts):
        return of_purchases(value)
    if contracts.money != value.money:
        known = f"contracts are known by their {contracts.money} and purchases by their {value.money}"
        return of_purchases(value, f"{known}, so that contracts are not in it")
    return _with_contracts(value, contracts, settings, economics)


def of_purchases(value: LifetimeValue, left_out: str = "") -> ClientWorth:
    """The worth of clients by their purchases alone."""
    return ClientWorth(
        values=value.values,
        populations=value.model.populations,
        contracts=None,
        contract_clients=0,
        left_out=left_out,
        money=value.money,
        knows_cost=value.knows_cost,
    )


def revenue_ahead(
    data: Canonical,
    settings: Company,
    value: LifetimeValue | Unanswered,
    contracts: Contracts | Unanswered,
    beside: nw.LazyFrame[Any] | None,
) -> nw.LazyFrame[Any] | None:
    """Revenue expected of each client within the horizon, by its purchases and by its contracts, before cost to serve.

    Parameters
    ----------
    beside
        The deals that ``value`` rests on (``segments_contracts.deals_beside``).

    Returns
    -------
    narwhals.LazyFrame or None
        One row per client with either: ``client_id``, ``expected_revenue``; None where neither can be forecast.
    """
    bought = expected_revenue(value, data, beside)
    if not isinstance(contracts, Contracts):
        return bought
    held = contract_revenue(data, contracts, settings).rename({"contract_revenue": "expected_revenue"})
    parts = [held] if bought is None else [bought, held]
    return nw.concat(parts).group_by("client_id").agg(nw.col("expected_revenue").sum())


def client_bounds(worth: ClientWorth, settings: Company) -> ClientIntervals:
    """The 95 % interval of every client's purchases and worth, to be joined to ``worth.values`` by ``client_id``."""
    chosen = settings.lifetime_value
    return client_intervals(
        worth.values,
        worth.populations,
        money=worth.money,
        cost_per_month="cost_per_month" if worth.knows_cost else None,
        horizon_months=chosen.horizon_months,
        annual_discount_rate=chosen.annual_discount_rate,
        seed=settings.seed,
        bootstraps=chosen.bootstraps,
        contracts=worth.contracts,
    )


def written_worth(
    data: Canonical,
    settings: Company,
    economics: nw.LazyFrame[Any],
    value: LifetimeValue | Unanswered,
    contracts: Contracts | Unanswered,
    keep: Keep,
) -> ClientWorth | Unanswered:
    """``client_worth`` with the bounds of each client, written as ``client_values`` and read back."""
    worth = client_worth(value, contracts, settings, economics)
    if isinstance(worth, Unanswered):
        return worth
    per_client: dict[str, Any] = {"grain": "one row per client that ever bought or had a contract", "key": ["client_id"]}
    worth = replace(worth, values=keep("client_worth", worth.values, **per_client))
    bounds = data.engine.frame(client_bounds(worth, settings).table)
    return replace(worth, values=keep("client_values", worth.values.join(bounds, on="client_id", how="left"), **per_client))


def _with_contracts(
    value: LifetimeValue | None, contracts: Contracts, settings: Company, economics: nw.LazyFrame[Any]
) -> ClientWorth:
    costs = monthly_cost(economics, settings)
    knows_cost = contracts.money == "margin" and _any_known(costs, "cost_per_month")
    if not knows_cost:
        costs = costs.with_columns(cost_per_month=nw.lit(None, dtype=nw.Float64))
    values = _together(value, contracts, costs)
    charged = values.filter(nw.col("contract_months_alive") > 0).select(
        "client_id",
        # The part of its cost to serve that a client pays for its contracts, not for its purchases.
        cost_per_month=nw.col("cost_per_month").fill_null(0.0) * nw.col("longer_months") / nw.col("contract_months_alive"),
    )
    running = collect(charged.sort("client_id"), max_rows=MAX_CONTRACTS)
    return ClientWorth(
        values=values.drop("longer_months"),
        populations=value.model.populations if value is not None else (),
        contracts=contract_draws(contracts, settings, running) if len(running) else None,
        contract_clients=len(running),
        left_out="",
        money=contracts.money,
        knows_cost=knows_cost,
    )


def _together(value: LifetimeValue | None, contracts: Contracts, costs: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """One row per client of either, with its worth by both; ``longer_months`` are those by which contracts outlast purchases."""
    clv = CLV_COLUMN[contracts.money]
    held = contracts.values.select("client_id", "contract_months_alive", "p_contract_alive", gross=nw.col("contract_value"))
    if value is None:
        joined = held.with_columns(
            population=nw.lit(CONTRACT),
            **{name: nw.lit(None, dtype=nw.Float64) for name in (*_OF_PURCHASES, f"mean_{contracts.money}", clv)},
        )
    else:
        bought = value.values.drop("cost_per_month")
        ids = nw.concat([bought.select("client_id"), held.select("client_id")]).unique("client_id")
        joined = ids.join(bought, on="client_id", how="left").join(held, on="client_id", how="left")
    longer = nw.col("contract_months_alive").fill_null(0.0) - nw.col("discounted_months_alive").fill_null(0.0)
    joined = joined.join(costs, on="client_id", how="left").with_columns(
        population=nw.col("population").fill_null(CONTRACT),
        p_alive=nw.when(nw.col("p_contract_alive") > 0)
        .then(nw.col("p_contract_alive"))
        .otherwise(nw.coalesce(nw.col("p_alive"), nw.col("p_contract_alive"))),
        longer_months=nw.when(longer > 0).then(longer).otherwise(0.0),
    )
    net = nw.col("gross") - nw.col("cost_per_month").fill_null(0.0) * nw.col("longer_months")
    whole = nw.col(clv).fill_null(0.0) + nw.col("contract_value").fill_null(0.0)
    return joined.with_columns(contract_value=net).with_columns(whole.alias(clv)).drop("gross", "p_contract_alive")


def _any_known(frame: nw.LazyFrame[Any], column: str) -> bool:
    return bool(collect(frame.select(nw.col(column).max()))[column].notna().any())
