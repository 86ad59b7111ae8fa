"""What clients returned, and their purchases net of it: a room of stage 2.

A return is no purchase, and takes none back: it lowers the money that the purchases of its client brought.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import narwhals as nw

from crm_methods import formats
from crm_methods.company.intake import Canonical
from crm_methods.engine import as_float, collect
from crm_methods.models.lifetime_value import CLV_COLUMN
from crm_methods.models.purchase_history import Money

UNITS = 10_000
"""Money is known to four decimals."""

_SHOWN_FROM = 0.0005


@dataclass(frozen=True, slots=True, eq=False)
class Returns:
    """What clients returned: how many did, for which amount in all and as a share of all purchases; ``kept`` (lazy) per client.

    ``kept`` has one row per client that returned something: the share of the money of its purchases that is left, 0 to 1.
    """

    clients: int
    amount: float
    share: float
    kept: nw.LazyFrame[Any]


def _won(data: Canonical, deals: nw.LazyFrame[Any] | None, money: Money) -> nw.LazyFrame[Any]:
    """Won deals, returns among them, with their ``amount`` and what they brought."""
    won = (data.scan("deals") if deals is None else deals).filter(nw.col("status") == "won")
    brought = as_float("amount" if money == "revenue" else "margin").fill_null(0.0)
    return won.select("client_id", "closed_on", as_float("amount").alias("amount"), brought.alias(money))


def returns_of(data: Canonical, deals: nw.LazyFrame[Any] | None, money: Money) -> Returns | None:
    """The returns of clients; None where nothing was returned.

    Parameters
    ----------
    data, deals
        As in ``segments_value.lifetime_value``.
    money
        Which amount is lowered.
    """
    is_return, none = nw.col("amount") < 0, nw.lit(0.0)
    parts = _won(data, deals, money).with_columns(
        sold_amount=nw.when(~is_return).then(nw.col("amount")).otherwise(none),
        back_amount=nw.when(is_return).then(-nw.col("amount")).otherwise(none),
        sold=nw.when(~is_return).then(nw.col(money)).otherwise(none),
        back=nw.when(is_return).then(-nw.col(money)).otherwise(none),
    )
    names = ("sold_amount", "back_amount", "sold", "back")
    sums = parts.group_by("client_id").agg(*(nw.col(name).sum() for name in names))
    whole = collect(sums.select(nw.col("sold_amount").sum(), nw.col("back_amount").sum())).fillna(0.0).iloc[0]
    if not whole["back_amount"] > 0:
        return None
    gave_back = sums.filter(nw.col("back_amount") > 0)
    # 0 / 0 differs between engines: the divisor is mended first.
    divisor = nw.when(nw.col("sold") > 0).then(nw.col("sold")).otherwise(1.0)
    left = nw.min_horizontal(nw.max_horizontal(1 - nw.col("back") / divisor, none), nw.lit(1.0))
    kept = (
        nw.when(nw.col("back_amount") >= nw.col("sold_amount")).then(none)
        .when(nw.col("sold") > 0).then(left)
        .otherwise(nw.lit(1.0))
    )  # fmt: skip
    clients = int(collect(gave_back.select(nw.len().alias("n")))["n"].iloc[0])
    share = float(whole["back_amount"] / whole["sold_amount"]) if whole["sold_amount"] > 0 else math.nan
    return Returns(clients, float(whole["back_amount"]), share, gave_back.select("client_id", kept=kept))


def net_purchases(data: Canonical, deals: nw.LazyFrame[Any] | None, money: Money, returns: Returns | None) -> nw.LazyFrame[Any]:
    """Won deals that are no returns, with what they brought, net: a client's returns lower all its purchases alike.

    Money is counted in whole ten-thousandths (``UNITS`` of them are one): sums of whole numbers are the same in every run.
    """
    sold = _won(data, deals, money).filter(nw.col("amount") >= 0).select("client_id", "closed_on", money)
    net = nw.col(money)
    if returns is not None:
        sold = sold.join(returns.kept, on="client_id", how="left")
        net = net * nw.col("kept").fill_null(1.0)
    return sold.select("client_id", "closed_on", (net * UNITS).round(0).cast(nw.Int64).alias(money))


def without_returned(values: nw.LazyFrame[Any], returns: Returns | None, money: Money) -> nw.LazyFrame[Any]:
    """Nothing is expected of the next purchase of a client that returned everything, whatever others spend."""
    if returns is None:
        return values
    expected, clv = f"expected_{money}", CLV_COLUMN[money]
    nothing_left = nw.col("kept").fill_null(1.0) == 0
    worth = nw.col(clv) - nw.col("discounted_purchases") * nw.col(expected)
    columns = values.collect_schema().names()
    return (
        values.join(returns.kept, on="client_id", how="left")
        .with_columns(nw.when(nothing_left).then(worth).otherwise(nw.col(clv)).alias(clv))
        .with_columns(nw.when(nothing_left).then(nw.lit(0.0)).otherwise(nw.col(expected)).alias(expected))
        .select(*columns)
    )


def returned_sentence(returns: Returns | None, currency: str) -> str:
    """How much was returned, and that values are net of it; empty where nothing was."""
    if returns is None:
        return ""
    amount = formats.money_short(returns.amount, currency)
    # A share that is shown as nothing would deny the amount beside it; of no purchase there is none.
    known = returns.share >= _SHOWN_FROM
    share = f", {formats.share(returns.share, 1)} of what all bought" if known else ""
    return f" {formats.plural(returns.clients, 'client')} returned goods for {amount}{share}; values are net of it."
