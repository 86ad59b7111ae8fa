"""What the key accounts are worth, apart from the averages of the base: a room of stage 2."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.engine import as_float, collect
from crm_methods.stages.segments_contracts import Contracts
from crm_methods.stages.segments_worth import ClientWorth

TOP = 5
HANGS_ON_THEM = 0.3
"""From this share of equity in the hands of the top five on, the base is said to hang on them."""

_WIDE = 0.5
"""A client whose 95 % interval is wider than half of its value is far from sure."""

_POPULATIONS = {"contract": "under contract", "regular": "orders regularly", "purchases": "buys now and then"}
_NUMBERS = ("x", "discounted_purchases", "discounted_months_alive", "p_alive")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class KeyAccounts(Answer):
    """The clients worth most. ``accounts`` has one row per key account, ``top_share`` is the top five's share of equity.

    ``top_share`` is None where the base as a whole is worth nothing.
    """

    accounts: pd.DataFrame
    top_share: float | None


def of_worth(
    data: Canonical, settings: Company, worth: ClientWorth | Unanswered, found: Contracts | Unanswered
) -> KeyAccounts | Unanswered:
    """The key accounts by what they are worth in all, with their contracts where there are any."""
    if isinstance(worth, Unanswered):
        return Unanswered("segments.key_accounts", worth.reason, worth.would_help)
    return key_accounts(data, settings, worth.values, found.values if isinstance(found, Contracts) else None)


def top_share(accounts: KeyAccounts | Unanswered) -> float | None:
    """The top five's share of customer equity; None where it is not known."""
    return accounts.top_share if isinstance(accounts, KeyAccounts) else None


@answers("segments.key_accounts")
def key_accounts(
    data: Canonical, settings: Company, values: nw.LazyFrame[Any], contract_values: nw.LazyFrame[Any] | None = None
) -> KeyAccounts | Unanswered:
    """The clients worth most: their share of equity, and their value by the model and at their own mean amount.

    Parameters
    ----------
    values
        One row per client: ``client_id``, ``x``, ``mean_<money>``, ``expected_<money>``, ``discounted_purchases``,
        ``p_alive``, ``population``, ``clv`` (``clv_revenue`` without margins) and, where they are known,
        ``clv_low`` and ``clv_high``.
    contract_values
        One row per client under contract with ``running_contracts`` and ``next_renewal_on``.

    Returns
    -------
    KeyAccounts
        ``table``: one row per key account, one for all others. The value at the client's own mean amount takes the
        model's purchases, but not its mean amount, which the model draws to the mean of all.
    """
    wanted, key = settings.lifetime_value.key_accounts, "segments.key_accounts"
    if wanted == 0:
        return Unanswered(key, "key accounts are switched off (lifetime_value.key_accounts is 0).")
    columns = values.collect_schema().names()
    clv = "clv" if "clv" in columns else "clv_revenue"
    known = values.filter(~nw.col(clv).is_null())
    totals = collect(known.select(as_float(clv).sum().alias("clv"), n=nw.len())).iloc[0]
    if not totals["n"]:
        return Unanswered(key, "no client's value is known.", ("won deals with a day and an amount",))
    top = _top(data, known, clv, columns, max(wanted, TOP))
    accounts = _with_contracts(top.head(wanted), contract_values)
    whole = float(totals["clv"])
    top_share = float(top["clv"].head(TOP).sum()) / whole if whole > 0 else None
    return KeyAccounts(
        sentence=_sentence(accounts, whole, int(totals["n"]), top_share, settings, clv),
        table=_table(accounts, whole, int(totals["n"]), clv),
        caption=(
            f"The {formats.plural(len(accounts), 'client')} worth most, "
            f"{formats.plural(settings.lifetime_value.horizon_months, 'month')} ahead"
        ),
        labels={
            "population": "How it buys",
            "alive_share": "Still a client",
            clv: "Worth" if clv == "clv" else "Expected revenue",
            f"{clv}_low": "95% from",
            f"{clv}_high": "to",
            f"own_mean_{clv}": "At its own mean amount",
            "equity_share": "Share of the whole",
            "running_contracts": "Contracts",
            "next_renewal_on": "Next renewal",
        },
        accounts=accounts,
        top_share=top_share,
    )


def _top(data: Canonical, known: nw.LazyFrame[Any], clv: str, columns: list[str], most: int) -> pd.DataFrame:
    """The clients worth most with their names, best first."""
    money = "margin" if clv == "clv" else "revenue"
    numbers = {name: name for name in _NUMBERS} | {"mean": f"mean_{money}", "expected": f"expected_{money}", "clv": clv}
    numbers |= {"low": f"{clv}_low", "high": f"{clv}_high"}
    given = {name: as_float(column) for name, column in numbers.items() if column in columns}
    words = [name for name in ("population",) if name in columns]
    rows = known.select("client_id", *words, **given).sort("clv", "client_id", descending=[True, False]).head(most)
    names = data.scan("clients").select("client_id", "name")
    top = collect(rows.join(names, on="client_id", how="left"), max_rows=most)
    top = top.reindex(columns=[*top.columns, *(name for name in numbers if name not in top.columns)])
    top = top.astype(dict.fromkeys(numbers, float)).sort_values(["clv", "client_id"], ascending=[False, True], ignore_index=True)
    name = top["name"].where(top["name"].notna(), top["client_id"]) if top["name"].notna().any() else top["client_id"]
    # Whatever else a value holds (cost to serve, contracts): only the mean amount of a purchase is exchanged.
    own = top["clv"] + top["discounted_purchases"] * (top["mean"] - top["expected"])
    own = own.where(top["x"] > 0, np.where(top["discounted_purchases"].fillna(0.0) == 0, top["clv"], np.nan))
    return top.assign(name=name, own=own)


def _with_contracts(accounts: pd.DataFrame, contract_values: nw.LazyFrame[Any] | None) -> pd.DataFrame:
    if contract_values is None:
        return accounts
    held = contract_values.filter(nw.col("client_id").is_in(accounts["client_id"].tolist()))
    found = collect(held.select("client_id", "running_contracts", "next_renewal_on"), max_rows=len(accounts) + 1)
    return accounts.merge(found, on="client_id", how="left") if len(found) else accounts


def _table(accounts: pd.DataFrame, whole: float, clients: int, clv: str) -> pd.DataFrame:
    """The accounts for a reader; columns nobody fills are left out."""
    share = accounts["clv"] / whole if whole > 0 else np.nan
    shown = pd.DataFrame({"client": accounts["name"], "client_id": accounts["client_id"]})
    if "population" in accounts:
        shown["population"] = [_POPULATIONS.get(name, name) for name in accounts["population"]]
    shown = shown.assign(purchases=accounts["x"] + 1, alive_share=accounts["p_alive"])
    money = {clv: accounts["clv"], f"{clv}_low": accounts["low"], f"{clv}_high": accounts["high"]}
    shown = shown.assign(**money, **{f"own_mean_{clv}": accounts["own"]}, equity_share=share)
    for column in ("running_contracts", "next_renewal_on"):
        if column in accounts:
            shown[column] = accounts[column]
    rest = whole - float(accounts["clv"].sum())
    others = clients - len(accounts)
    if others:
        line = {
            "client": f"{formats.plural(others, 'other client')}",
            clv: rest,
            "equity_share": rest / whole if whole > 0 else np.nan,
        }
        shown = pd.concat([shown, pd.DataFrame([line])], ignore_index=True)
    same = (shown["client"] == shown["client_id"]).any()
    return shown.drop(columns="client_id" if same else []).dropna(axis="columns", how="all")


def _sentence(accounts: pd.DataFrame, whole: float, clients: int, top_share: float | None, settings: Company, clv: str) -> str:
    form = functools.partial(formats.money_short, currency=settings.currency)
    one, worth = len(accounts) == 1, float(accounts["clv"].sum())
    who = "The client worth most" if one else f"The {len(accounts)} clients worth most"
    brings = ("is worth" if one else "are worth") if clv == "clv" else ("is" if one else "are") + " expected to bring"
    if clients <= len(accounts):
        all_of_it = "The only client" if one else f"All {clients} clients are key accounts: together they"
        return f"{all_of_it} {brings} {form(worth)}. An average over so few says nothing; each belongs in a plan of its own."
    said = [f"{who} {brings} {form(worth)}"]
    said[0] += (
        f", {formats.share(worth / whole)} of the whole base's {form(whole)}."
        if whole > 0
        else (f", while the whole base is worth {form(whole)}, of which no share can be given.")
    )
    if top_share is not None and top_share > HANGS_ON_THEM:
        n = min(TOP, clients)
        said.append(
            f"The top {n} hold {formats.share(top_share)}: what the base is worth hangs on them, and losing one would move it "
            "more than any programme for all. They belong in a plan of their own, with a person in charge, not in an average."
        )
    return " ".join(text for text in (*said, _own_means(accounts, form), _how_sure(accounts, form)) if text)


def _own_means(accounts: pd.DataFrame, form: Any) -> str:
    """What becomes of their value at their own mean amounts."""
    known = accounts[accounts["own"].notna() & (accounts["x"] > 0)]
    model, own = float(known["clv"].sum()), float(known["own"].sum())
    if known.empty or model <= 0 or abs(own / model - 1) < 0.01 or form(own) == form(model):
        return ""
    every = len(known) == len(accounts)
    some = "they" if every else f"the {len(known)} of them that came back" if len(known) > 1 else "the one of them that came back"
    return (
        f"The model draws what clients spend at a time to the mean of all; at their own means {some} would be worth "
        f"{form(own)} instead of {form(model)}. The truth lies between, since the largest clients of the past were partly the "
        "luckiest: look at their orders in hand before you take either."
    )


def _how_sure(accounts: pd.DataFrame, form: Any) -> str:
    known = accounts[accounts["low"].notna() & accounts["high"].notna()]
    if known.empty:
        return ""
    row = known.iloc[0]
    span = formats.interval(row["low"], row["high"], form)
    if row["high"] - row["low"] > _WIDE * abs(row["clv"]):
        return f"Single clients are far from sure: “{row['name']}” alone may bring anything from {span} (95% interval)."
    widths = known["high"] - known["low"]
    unsure = int((widths > _WIDE * known["clv"].abs()).sum())
    said = f"“{row['name']}” is expected to bring {span} (95% interval)"
    return f"{said}; {formats.number(unsure)} of {formats.number(len(known))} are far less sure." if unsure else f"{said}."
