"""What is said of contracts: how they are renewed, what they bring, and what the records leave open."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from crm_methods import formats
from crm_methods.company.settings import Company
from crm_methods.models import contract_retention as sbg
from crm_methods.models.purchase_history import Money

Source: TypeAlias = Literal["contracts", "deals"]
TermFrom: TypeAlias = Literal["company.yml", "lengths", "custom"]

_SEED = 42
_ENOUGH_TO_COMPARE = 5
_A_RISE = 0.015
_TERM_FROM = {
    "company.yml": "as company.yml says",
    "lengths": "read off their lengths",
    "custom": "which is usual, since their lengths show none",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What is odd about the records of contracts, in numbers of contracts and clients.

    Parameters
    ----------
    source
        Where contracts come from: their table, or deals of kind contract.
    ended_unknown
        Contracts that ended on a day that is not recorded.
    billed_without_contract
        Clients with deals of kind contract and no contract.
    contract_without_bill
        Clients under contract with won deals, none of which is of kind contract.
    as_old_as_records
        Contracts known from deals that begin in the first month of the records.
    """

    source: Source
    ended_unknown: int = 0
    billed_without_contract: int = 0
    contract_without_bill: int = 0
    as_old_as_records: int = 0


def contracts_sentence(
    begun: pd.DataFrame,
    rows: pd.DataFrame,
    table: pd.DataFrame,
    fit: sbg.ContractFit,
    interval: tuple[float, float],
    records: Records,
    settings: Company,
    *,
    money: Money,
    term_months: int,
    term_from: TermFrom,
) -> str:
    """All that is said of contracts.

    Parameters
    ----------
    begun
        One row per contract that began: ``client_id``, ``running``.
    rows
        One row per contract (``contract_histories.standing``) with ``months`` and ``earned`` per month.
    table
        Renewals (``segments_contracts.renewals``).
    fit
        The model.
    interval
        Of what running contracts bring, 95 %.
    records
        What is odd about the records.
    money
        What ``earned`` is.
    term_months, term_from
        Length of a term, and where it comes from.
    """
    said = [
        _base_sentence(begun, term_months, term_from),
        *_retention_sentences(table, fit, settings),
        _worth_sentence(rows, fit, interval, money, settings),
        *_record_sentences(rows, records),
    ]
    return " ".join(sentence for sentence in said if sentence)


def _base_sentence(begun: pd.DataFrame, term_months: int, term_from: TermFrom) -> str:
    if begun.empty:
        return "No contract has begun yet."
    count, clients = formats.plural(len(begun), "contract"), formats.plural(begun["client_id"].nunique(), "client")
    ended = int((~begun["running"]).sum())
    how_many = "none" if ended == 0 else "all" if ended == len(begun) else formats.number(ended)
    fate = (
        f"are on record, {how_many} of which ended" if len(begun) > 1 else f"is on record, and it {'ended' if ended else 'runs'}"
    )
    return f"{count} of {clients} {fate}. A term is {formats.plural(term_months, 'month')}, {_TERM_FROM[term_from]}."


def _retention_sentences(table: pd.DataFrame, fit: sbg.ContractFit, settings: Company) -> list[str]:
    rng = np.random.default_rng([settings.seed, _SEED])
    late = min(max(fit.oldest, 1), 3)
    low, high = sbg.retention_intervals(fit, [1, late], rng)
    first, then = sbg.retention(fit, [1, late])
    certain = formats.interval(low[0], high[0], formats.share)
    if fit.renewals == 0:
        return [
            "None has come up for renewal yet: the values below suppose that the first renewal succeeds with a chance of "
            f"{formats.share(first)}, and anything from {certain} is possible. That is an assumption, not a finding."
        ]
    said = [f"At its first renewal a contract is renewed with a chance of {formats.share(first)} (95% interval {certain})."]
    if late > 1:
        later = f"{formats.share(then)} (95% interval {formats.interval(low[1], high[1], formats.share)})"
        said.append(
            f"By renewal {late} the model has this rise to {later}, since those likely to leave leave first. That says nothing "
            "of loyalty: no contract becomes safer by ageing, and a doubtful one kept for another term stays doubtful."
            if then - first >= _A_RISE
            else f"At renewal {late} it is hardly different, {later}: old contracts are hardly safer than new ones."
        )
    said += [_agreement(table), _half_life(fit)]
    if fit.ended == 0:
        said.append("No contract that ended is recorded: where ended ones are taken off the list, retention is overstated.")
    return [*said, f"{fit.reason[:1].upper()}{fit.reason[1:]}." if fit.reason else ""]


def _agreement(table: pd.DataFrame) -> str:
    """Whether the observed shares agree with the fitted ones; empty where too few faced a renewal."""
    shown = table[(table["faced"] >= _ENOUGH_TO_COMPARE) & table["low_share"].notna()]
    off = shown[~shown["fitted_share"].between(shown["low_share"], shown["high_share"])]
    if shown.empty:
        return ""
    if off.empty:
        return "What was observed agrees with the model within its intervals."
    row = off.iloc[(off["fitted_share"] - off["kept_share"]).abs().argmax()]
    return (
        f"At renewal {formats.number(row['renewal'])} the model does not hold: {formats.share(row['kept_share'])} of "
        f"{formats.plural(row['faced'], 'contract')} were renewed where it expects {formats.share(row['fitted_share'])}."
    )


def _half_life(fit: sbg.ContractFit) -> str:
    half = sbg.median_renewal(fit)
    if fit.ended == 0:
        return ""
    if half is not None and half <= 2 * fit.oldest:
        beyond = f", which lies beyond the {fit.oldest} seen so far" if half > fit.oldest else ""
        return f"Half of new contracts are expected to have ended by renewal {half}{beyond}."
    renewals = "the one renewal" if fit.oldest == 1 else f"the {fit.oldest} renewals"
    return f"When half of new contracts will have ended lies too far beyond {renewals} seen so far to be told."


def _worth_sentence(
    rows: pd.DataFrame, fit: sbg.ContractFit, interval: tuple[float, float], money: Money, settings: Company
) -> str:
    runs = rows[rows["running"]]
    if runs.empty:
        return "None runs today, so none has a value to come."
    form = functools.partial(formats.money_short, currency=settings.currency)
    horizon = settings.lifetime_value.horizon_months
    months = float(sbg.expected_months(fit, runs, horizon, 0.0).mean())
    one, signed = len(runs) == 1, bool((runs["months_to_start"] > 0).any())
    today = ("runs today" if one else "run today") + (" or is signed" if one and signed else " or are signed" if signed else "")
    said = (
        f"The {formats.plural(len(runs), 'contract')} that {today} {'is' if one else 'are'} expected to run "
        f"{formats.number(months)} of the next {formats.plural(horizon, 'month')}{'' if one else ' on average'}"
    )
    if runs["value_per_month"].isna().all():
        return f"{said}; what {'it brings' if one else 'they bring'} can't be told without a value per month."
    brings = form(float(runs["earned"] @ runs["months"]))
    what = "margin, before cost to serve" if money == "margin" else "revenue, since their margin is not known"
    low, high = (form(end) for end in interval)
    certain = f"95% interval {low} to {high}, discounted" if low != high else "discounted, within terms that run already"
    return f"{said} and to bring {brings} ({certain}) of {what}."


def _record_sentences(rows: pd.DataFrame, records: Records) -> list[str]:
    said = []
    if records.ended_unknown:
        count = formats.plural(records.ended_unknown, "contract")
        said.append(f"{count} ended on a day that is not recorded, or on an impossible one, and can't teach anything.")
    unknown = rows.loc[rows["running"], "value_per_month"].isna()
    no_value = int(unknown.sum())
    if no_value and not unknown.all():
        count = formats.plural(no_value, "running contract")
        said.append(f"{count} without a value per month {'counts' if no_value == 1 else 'count'} nothing.")
    if records.source == "deals":
        said.append(
            "There is no table of contracts: a client's contract is the chain of its deals of kind contract, and it ended where "
            "none came for one and a half of its usual gaps."
        )
    old = records.as_old_as_records
    if old:
        chains, looks = formats.plural(old, "chain"), "begins" if old == 1 else "begin"
        said.append(f"{chains} {looks} with the records and may be older than {'it looks' if old == 1 else 'they look'}.")
    stray = records.billed_without_contract
    if stray:
        clients, has = formats.plural(stray, "client"), "has" if stray == 1 else "have"
        said.append(f"{clients} {has} deals of kind contract but no contract in the table: these stay with the purchases.")
    unmarked = records.contract_without_bill
    if unmarked:
        clients, has = formats.plural(unmarked, "client"), "has" if unmarked == 1 else "have"
        said.append(
            f"{clients} under contract {has} deals, none of which is marked as of a contract: bills of the contract among them "
            "would count twice."
        )
    return said
