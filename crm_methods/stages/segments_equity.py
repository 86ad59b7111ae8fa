"""What the client base and its segments are worth, with an interval: a room of stage 2."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import segment_label
from crm_methods.engine import collect
from crm_methods.models.btyd_validation import FAMILY_LABELS
from crm_methods.models.contract_histories import MAX_CONTRACTS
from crm_methods.models.equity_intervals import MAX_SIMULATED, TOTAL, equity_intervals
from crm_methods.models.purchase_ladder import Population, in_words
from crm_methods.models.residual_worth import FURTHER_YEARS, residual_worth
from crm_methods.models.simulated_worth import ContractDraws
from crm_methods.stages.segments import evenly_spread
from crm_methods.stages.segments_value import LifetimeValue
from crm_methods.stages.segments_worth import ClientWorth, of_purchases

INTERVAL_DRAWS = 500
MAX_FOLLOWED = 20_000
"""Clients of whom is asked what they are worth beyond the horizon."""


@answers("segments.customer_equity")
def customer_equity(
    worth: ClientWorth | LifetimeValue, settings: Company, client_segments: nw.LazyFrame[Any]
) -> Answer | Unanswered:
    """The value of the client base by segment, with a 95 % interval.

    Parameters
    ----------
    worth
        What each client is worth: from ``segments_worth.client_worth``, or the lifetime values alone where there are no
        contracts.
    client_segments
        One row per client with ``segment``.

    Returns
    -------
    Answer
        A row per segment, and ``all``: ``clients``, ``expected_active_clients`` (missing under the naive forecast),
        ``expected_purchases``, with contracts ``contract_equity`` (``contract_revenue``), ``equity``
        (``equity_revenue``) with ``_low`` and ``_high``, and ``residual_share`` (0–1): of what it would be worth with the
        ``residual_worth.FURTHER_YEARS`` after the horizon, what lies in these; missing where that is not known.
    """
    base = worth if isinstance(worth, ClientWorth) else of_purchases(worth)
    fitted = [population for population in base.populations if population.fit is not None]
    if not fitted and base.contracts is None:
        reasons = [population.reason for population in base.populations] or ["no contract is running"]
        return Unanswered("segments.customer_equity", f"{formats.join(reasons)}.", ("a longer history of purchases",))
    by_segment = base.values.join(client_segments.select("client_id", "segment"), on="client_id", how="left")
    table, names = _table(base, fitted, settings, by_segment)
    equity, contracts = names
    table = table.assign(residual_share=_residual_shares(table, equity, _beyond(base, fitted, settings, by_segment)))
    title = "Customer equity" if base.money == "margin" else "Expected revenue"
    shown = ["clients", "expected_active_clients", "expected_purchases", *([contracts] if base.contracts else []), equity]
    chosen = settings.lifetime_value
    return Answer(
        sentence=" ".join(
            filter(
                None,
                [
                    _equity_sentence(table, equity, base, settings),
                    _residual_sentence(table, settings),
                    *_grounds(table, names, base, settings),
                ],
            )
        ),
        table=table[["segment", *shown, f"{equity}_low", f"{equity}_high", "residual_share"]],
        caption=(
            f"{title} by segment, {formats.plural(chosen.horizon_months, 'month')} ahead, "
            f"discounted at {formats.share(chosen.annual_discount_rate)} a year"
        ),
        labels={
            equity: title,
            contracts: "Of it by contracts, after cost to serve",
            f"{equity}_low": "95% from",
            f"{equity}_high": "to",
            "clients": "Clients that ever bought" if base.contracts is None else "Clients that ever bought or had a contract",
            "expected_active_clients": "Of them alive (expected)",
            "residual_share": f"Of it and {FURTHER_YEARS} more years: beyond",
        },
    )


def _table(
    base: ClientWorth, fitted: list[Population], settings: Company, by_segment: nw.LazyFrame[Any]
) -> tuple[pd.DataFrame, tuple[str, str]]:
    """All columns of the answer, and the names of those of equity and of its part by contracts."""
    chosen, sums = settings.lifetime_value, [nw.col("p_alive").sum()]
    if base.contracts is not None:
        sums.append(nw.col("contract_value").sum())
    added = collect(by_segment.group_by("segment").agg(*sums).sort("segment")).set_index("segment")
    found = equity_intervals(
        by_segment,
        base.populations,
        by="segment",
        money=base.money,
        cost_per_month="cost_per_month" if base.knows_cost else None,
        horizon_months=chosen.horizon_months,
        annual_discount_rate=chosen.annual_discount_rate,
        draws=INTERVAL_DRAWS,
        seed=settings.seed,
        bootstraps=chosen.bootstraps,
        contracts=_in_segments(base.contracts, by_segment),
    )
    # A base without segments has one group, and that is the whole.
    table = found.drop_duplicates("segment", keep="last")
    whole = added.sum(min_count=1)
    # The naive forecast knows nobody who left; a sum of nothing must not pass for nobody being alive.
    knows_leaving = not any(population.rung == "naive" for population in fitted)
    active = [added["p_alive"].get(name, whole["p_alive"]) if knows_leaving else math.nan for name in table["segment"]]
    equity, contracts = ("equity", "contract_equity") if base.money == "margin" else ("equity_revenue", "contract_revenue")
    table = table.assign(expected_active_clients=active)
    if base.contracts is not None:
        parts = added["contract_value"].fillna(0.0)
        table = table.assign(**{contracts: [parts.get(name, parts.sum()) for name in table["segment"]]})
    named = {"equity": equity, "equity_low": f"{equity}_low", "equity_high": f"{equity}_high", "purchases": "expected_purchases"}
    return table.rename(columns=named), (equity, contracts)


def _beyond(base: ClientWorth, fitted: list[Population], settings: Company, by_segment: nw.LazyFrame[Any]) -> dict[Any, float]:
    """What each segment, and ``TOTAL``, is expected to be worth after the horizon; empty where a forecast knows no end."""
    if any(population.rung == "naive" for population in fitted):
        return {}
    parts = []
    if fitted:
        parts.append(_purchases_beyond(base, fitted, settings, by_segment))
    if base.contracts is not None and base.contracts.beyond is not None:
        held = _in_segments(base.contracts, by_segment)
        assert held is not None
        parts.append(pd.Series(base.contracts.beyond).groupby(held.clients["segment"].to_numpy(), dropna=False).sum())
    if not parts:
        return {}
    summed = pd.concat(parts).groupby(level=0, dropna=False).sum()
    return {**summed.to_dict(), TOTAL: float(summed.sum())}


def _purchases_beyond(
    base: ClientWorth, fitted: list[Population], settings: Company, by_segment: nw.LazyFrame[Any]
) -> pd.Series[Any]:
    """By segment, from at most ``MAX_FOLLOWED`` clients evenly spread over the ids."""
    cost = "cost_per_month" if base.knows_cost else None
    names = ["segment", "population", "x", "t_x", "T", f"expected_{base.money}", *([cost] if cost else [])]
    bought = by_segment.filter(~nw.col("x").is_null()).select("client_id", *names)
    rows = collect(evenly_spread(bought, MAX_FOLLOWED), max_rows=MAX_FOLLOWED)
    worth = residual_worth(
        rows,
        fitted,
        money=base.money,
        cost_per_month=cost,
        horizon_months=settings.lifetime_value.horizon_months,
        annual_discount_rate=settings.lifetime_value.annual_discount_rate,
    )
    clients = int(collect(bought.select(n=nw.len()))["n"].iloc[0])
    beyond: pd.Series[Any] = (
        pd.Series(worth).groupby(rows["segment"].to_numpy(), dropna=False).sum() * clients / max(len(rows), 1)
    )
    return beyond


def _residual_shares(table: pd.DataFrame, equity: str, beyond: dict[Any, float]) -> list[float]:
    """Of what clients are worth within and after the horizon, the share after it; of a worth below zero there is none."""
    shares = []
    for name, within in zip(table["segment"], table[equity], strict=True):
        after = beyond.get(name, math.nan)
        shares.append(after / (within + after) if within > 0 and after >= 0 else math.nan)
    return shares


def _residual_sentence(table: pd.DataFrame, settings: Company) -> str:
    share = table.loc[table["segment"] == TOTAL, "residual_share"].iloc[0]
    if pd.isna(share):
        return ""
    months = formats.plural(settings.lifetime_value.horizon_months, "month")
    return f"Were {FURTHER_YEARS} more years counted, {formats.share(share)} of the sum would lie beyond these {months}."


def _in_segments(contracts: ContractDraws | None, by_segment: nw.LazyFrame[Any]) -> ContractDraws | None:
    """The same draws, with the segment of each client under contract."""
    if contracts is None:
        return None
    under_contract = by_segment.filter(~nw.col("contract_value").is_null()).select("client_id", "segment")
    segments = collect(under_contract.sort("client_id"), max_rows=MAX_CONTRACTS).set_index("client_id")["segment"]
    return replace(contracts, clients=contracts.clients.assign(segment=contracts.clients["client_id"].map(segments)))


def _equity_sentence(table: pd.DataFrame, name: str, base: ClientWorth, settings: Company) -> str:
    form = functools.partial(formats.money_short, currency=settings.currency)
    whole = table[table["segment"] == TOTAL].iloc[0]
    groups = table[table["segment"] != TOTAL].sort_values(name, ascending=False)
    months = formats.plural(settings.lifetime_value.horizon_months, "month")
    if base.money == "revenue":
        said = f"The client base is expected to bring {form(whole[name])} of revenue within {months}"
    else:
        after = "after cost to serve" if base.knows_cost else "before cost to serve, which is not known"
        said = f"The client base is worth {form(whole[name])} over {months}, {after}"
    certain = f" (95% interval {formats.interval(whole[f'{name}_low'], whole[f'{name}_high'], form)})"
    if whole[name] <= 0 or len(groups) < 2:
        return f"{said}{certain}."
    best = groups.iloc[0]
    return f"{said}{certain}; {formats.share(best[name] / whole[name])} of it is in “{segment_label(best['segment'])}”."


def _grounds(table: pd.DataFrame, names: tuple[str, str], base: ClientWorth, settings: Company) -> list[str]:
    """On which models the figure rests, and what its interval leaves out."""
    alone = len(base.populations) == 1 and base.contracts is None
    parts, fitted = [], [population for population in base.populations if population.fit is not None]
    for population in fitted:
        clients = int(population.triples["n"].sum())
        whom = formats.plural(clients, "client") if alone else in_words(population.name, clients)
        parts.append(f"{FAMILY_LABELS.get(population.rung, population.rung)} for {whom}")
    if base.contracts is not None:
        part = formats.money_short(table.loc[table["segment"] == TOTAL, names[1]].iloc[0], settings.currency)
        whom = formats.plural(base.contract_clients, "client")
        parts.append(f"the renewals of contracts for {whom} ({part} of it)")
    said = [f"It rests on {formats.join(parts)}."]
    said += [
        f"Without a forecast: {in_words(p.name, int(p.triples['n'].sum()))} ({p.reason})."
        for p in base.populations
        if p.fit is None
    ]
    if any(population.rung == "naive" for population in fitted):
        said.append(
            "The interval supposes, as the naive forecast does, that nobody leaves and that who bought once never returns."
        )
    if any(population.spend.family == "mean" for population in fitted):
        said.append("What a purchase brings is taken for certain in it, since too little is known to say how that varies.")
    if table.loc[table["segment"] != TOTAL, "clients"].max() > MAX_SIMULATED:
        said.append(
            f"In larger segments {formats.number(MAX_SIMULATED)} clients, evenly spread by worth, stand for all in the interval."
        )
    if base.left_out:
        said.append(f"{base.left_out[:1].upper()}{base.left_out[1:]}.")
    return said
