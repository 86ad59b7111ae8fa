"""Companies with contracts that the tests of stage 2 share."""

from __future__ import annotations

import datetime as dt

import pandas as pd

AS_OF = dt.date(2025, 12, 31)


def yearly_contracts(ended_at: list[int], survived: list[int], per_month: float = 100.0) -> pd.DataFrame:
    """Contracts with yearly terms: those that ended at a renewal, and those that run and survived so many; a client each."""
    rows = []
    for terms, runs in [*((n, False) for n in ended_at), *((n, True) for n in survived)]:
        number = len(rows)
        # The running term of each began half a year ago; an ended contract ended half a year ago.
        end = pd.Timestamp("2026-06-30") if runs else pd.Timestamp("2025-06-30")
        start = end - pd.DateOffset(years=terms + 1 if runs else terms) + pd.Timedelta(days=1)
        rows.append((f"k{number:03}", f"c{number:03}", start, end, per_month, "" if runs else "client"))
    return pd.DataFrame(rows, columns=["contract_id", "client_id", "starts_on", "ends_on", "value_per_month", "ended_by"])


def bills_of(contracts: pd.DataFrame, cost_share: float | None = 0.6) -> pd.DataFrame:
    """The contracts' quarterly bills as deals of kind contract, and one other deal of each client."""
    rows = []
    for contract in contracts.itertuples():
        days = pd.date_range(contract.starts_on, min(contract.ends_on, pd.Timestamp(AS_OF)), freq=pd.DateOffset(months=3))
        rows += [(contract.client_id, day, 3 * contract.value_per_month, "contract") for day in days]
        rows.append((contract.client_id, pd.Timestamp("2025-03-03"), 70.0, "repeat"))
    deals = pd.DataFrame(rows, columns=["client_id", "closed_on", "amount", "kind"]).assign(status="won")
    deals = deals.assign(deal_id=[f"d{i:05}" for i in range(len(deals))])
    return deals if cost_share is None else deals.assign(cost=deals["amount"] * cost_share)
