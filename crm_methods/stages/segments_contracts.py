"""How long contracts last, and what those that run are still worth: a room of stage 2.

Clients under contract do not buy again and again, they renew or they don't: of them the
model of purchases says nothing, and the renewals of the base say all there is to know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.engine import as_float, collect, day_number, day_of
from crm_methods.models import contract_retention as sbg
from crm_methods.models import rates
from crm_methods.models.btyd_fit import DAYS_PER_MONTH
from crm_methods.models.btyd_likelihood import Floats
from crm_methods.models.btyd_search import search_of
from crm_methods.models.contract_histories import MAX_CONTRACTS, standing, terms_of_deals, terms_of_table, usual_term
from crm_methods.models.lifetime_value import monthly_discount_rate
from crm_methods.models.purchase_history import Money
from crm_methods.models.residual_worth import FURTHER_YEARS
from crm_methods.models.simulated_worth import ContractDraws
from crm_methods.stages.segments_contracts_wording import Records, Source, contracts_sentence

SHOWN_RENEWALS = 12
DRAWS = 300
MAX_SIMULATED = 5_000
_SEED = 41

Keep = Callable[..., nw.LazyFrame[Any]]
"""``Stage.write``: a frame is written once and re-read."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Contracts(Answer):
    """The fitted renewals, and what every contract and every client under contract is worth.

    ``rows`` (lazy) has one row per contract: its standing (``contract_histories.standing``), ``<money>_per_month``
    and ``months``, the discounted months it is expected to run within the horizon. ``values`` (lazy) has one row per
    client: ``contracts``, ``running_contracts``, ``contract_months_alive`` (discounted, of its longest-lived
    contract), ``p_contract_alive``, ``contract_renewals``, ``next_renewal_on`` and ``contract_value`` (margin, or
    revenue, discounted, before cost to serve). ``source`` says whether contracts come from their table or from deals.
    """

    fit: sbg.ContractFit
    rows: nw.LazyFrame[Any]
    values: nw.LazyFrame[Any]
    money: Money
    term_months: int
    source: Source


@answers("segments.contracts")
def contracts(data: Canonical, settings: Company, keep: Keep) -> Contracts | Unanswered:
    """Fit sBG to the renewals of all contracts and value those that run.

    Parameters
    ----------
    keep
        Writes and re-reads a frame (``stage.write``).

    Returns
    -------
    Contracts
        ``table``: one row per renewal (the first 12): contracts that faced it, that ended, the share renewed with
        its 95 % interval, and what the model says; the surviving share is Kaplan and Meier's.
    """
    source, set_term = _source(data), settings.lifetime_value.contract_term_months
    terms = _terms(data, settings, source)
    if isinstance(terms, Unanswered):
        return terms
    found, is_read_off = usual_term(terms, settings.as_of)
    months = set_term or found
    stands = standing(terms, settings.as_of, months)
    begun = stands[stands["start"] <= day_of(settings.as_of)]
    ended = begun.loc[begun["ended_at"] > 0, "ended_at"]
    search = search_of(settings.lifetime_value.estimation)
    fit = sbg.fit_contracts(ended, begun.loc[begun["running"], "survived"], search)
    money, rows = _valued(data, settings, stands, fit)
    table = renewals(begun, fit)
    values = data.engine.frame(_per_client(rows, settings, money)).with_columns(nw.col("next_renewal_on").cast(nw.Date))
    return Contracts(
        sentence=contracts_sentence(
            begun,
            rows.assign(earned=rows[f"{money}_per_month"].fillna(0.0)),
            table,
            fit,
            _worth_interval(rows, money, fit, settings),
            _records(data, terms, begun, source),
            settings,
            money=money,
            term_months=months,
            term_from="company.yml" if set_term else "lengths" if is_read_off else "custom",
        ),
        table=table,
        caption="Contracts that came up for each renewal, those renewed (with a 95% interval), and what the model says",
        labels={
            "faced": "Contracts that faced it",
            "kept_share": "Renewed",
            "low_share": "From",
            "high_share": "To",
            "fitted_share": "Renewed, by the model",
            "surviving_share": "Of all, still there after it",
            "fitted_surviving_share": "Still there, by the model",
        },
        fit=fit,
        rows=keep("client_contracts", rows.drop(columns="start"), grain="one row per contract", key=["client_id", "contract_id"]),
        values=keep("client_contract_values", values, grain="one row per client under contract", key=["client_id"]),
        money=money,
        term_months=months,
        source=source,
    )


def contract_clients(data: Canonical) -> nw.LazyFrame[Any]:
    """The clients that have or had a contract, one row each: ``client_id``; those of the contracts table, else of deals."""
    held = _contracts_table(data) if _source(data) == "contracts" else _bills(data)
    return held.select("client_id").unique("client_id")


def contract_margins(data: Canonical, settings: Company) -> tuple[nw.LazyFrame[Any], float]:
    """What is left of the revenue of contracts after the cost of goods, 0–1.

    Returns
    -------
    tuple
        One row per client whose bills have a margin: ``client_id``, ``margin_share`` of its own bills. And the share of
        everybody else: of all bills, else of all won deals, else as company.yml says; NaN where nothing says it.
    """
    priced = _won(data).filter(~nw.col("margin").is_null())
    bills = priced.filter(_is_bill()).group_by("client_id").agg(as_float("amount").sum(), as_float("margin").sum())
    usual = settings.margin_share or np.nan
    for known in (bills, priced):
        sums = collect(known.select(as_float("amount").sum(), as_float("margin").sum())).fillna(0.0).iloc[0]
        if sums["amount"] > 0:
            usual = float(sums["margin"] / sums["amount"])
            break
    return bills.select("client_id", margin_share=nw.col("margin") / nw.col("amount")), usual


def without_contract_deals(data: Canonical, purchases: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Deals without the bills of contracts that are valued as contracts, so that nothing counts twice.

    Parameters
    ----------
    purchases
        Deals with ``client_id`` and ``kind``; other columns are kept.

    Returns
    -------
    narwhals.LazyFrame
        The same columns. Deals of kind contract stay where the client has no contract (``contract_clients``).
    """
    held = contract_clients(data).with_columns(_held=nw.lit(1))
    joined = purchases.join(held, on="client_id", how="left")
    bill_of_contract = _is_bill() & (nw.col("_held").fill_null(0) == 1)
    return joined.filter(~bill_of_contract).drop("_held")


def deals_beside(data: Canonical, found: Contracts | Unanswered) -> nw.LazyFrame[Any] | None:
    """The deals that are no bills of the contracts found; None, for all of them, where none were found."""
    return without_contract_deals(data, data.scan("deals")) if isinstance(found, Contracts) else None


def contract_draws(found: Contracts, settings: Company, costs: pd.DataFrame | None = None) -> ContractDraws:
    """What clients are worth by their contracts, as it may turn out: for the intervals of customer equity.

    Parameters
    ----------
    found
        The contracts.
    costs
        One row per client with ``client_id`` and ``cost_per_month``, which is paid while any of its contracts runs;
        without it worth is before cost to serve.

    Returns
    -------
    ContractDraws
        One row per client in order of ``client_id``. Its draws scatter around ``contract_value`` less the cost of
        ``contract_months_alive``, or of a little more where a client has several contracts.
    """
    rows = collect(found.rows.sort("client_id", "contract_id"), max_rows=MAX_CONTRACTS)
    codes, clients = pd.factorize(rows["client_id"])
    earned = rows[f"{found.money}_per_month"].fillna(0.0).to_numpy(dtype=np.float64)
    horizon, rate = _horizon(settings)
    cost = np.zeros(len(clients))
    if costs is not None:
        cost = costs.set_index("client_id")["cost_per_month"].reindex(clients).fillna(0.0).to_numpy(dtype=np.float64)

    def worth(months: Floats) -> Floats:
        longest = np.zeros(len(clients))
        np.maximum.at(longest, codes, months)
        by_client: Floats = np.bincount(codes, weights=earned * months, minlength=len(clients)) - cost * longest
        return by_client

    def draw(rng: np.random.Generator) -> Floats:
        return worth(sbg.simulate_contracts(sbg.drawn(found.fit, rng), rows, horizon, rate, rng))

    far = horizon + 12 * FURTHER_YEARS
    beyond = sbg.expected_months(found.fit, rows, far, rate) - sbg.expected_months(found.fit, rows, horizon, rate)
    return ContractDraws(pd.DataFrame({"client_id": clients}), draw, worth(beyond))


def contract_revenue(data: Canonical, found: Contracts, settings: Company) -> nw.LazyFrame[Any]:
    """Revenue that running contracts are expected to bring within the horizon, not discounted.

    Returns
    -------
    narwhals.LazyFrame
        One row per client under contract: ``client_id`` and ``contract_revenue``; a contract without a value counts 0.
    """
    rows = collect(found.rows.sort("client_id", "contract_id"), max_rows=MAX_CONTRACTS)
    months = sbg.expected_months(found.fit, rows, settings.lifetime_value.horizon_months, 0.0)
    worth = rows.assign(contract_revenue=months * rows["value_per_month"].fillna(0.0))
    return data.engine.frame(worth.groupby("client_id", as_index=False)["contract_revenue"].sum())


def renewals(begun: pd.DataFrame, fit: sbg.ContractFit) -> pd.DataFrame:
    """One row per renewal that was faced: observed, with an interval clustered by client, and fitted.

    Parameters
    ----------
    begun
        One row per contract: ``client_id``, ``running``, ``ended_at``, ``survived``.
    fit
        The model.

    Returns
    -------
    pandas.DataFrame
        The first 12 renewals: ``renewal``, ``faced``, ``ended``, ``kept_share`` with ``low_share`` and ``high_share``
        (missing where one client faced it), ``fitted_share``, ``surviving_share``, ``fitted_surviving_share``.
    """
    ended_at, survived = begun["ended_at"].to_numpy(), begun["survived"].to_numpy()
    counts = sbg.renewal_counts(ended_at[ended_at > 0], survived[begun["running"].to_numpy()])
    shown = counts.head(SHOWN_RENEWALS).rename(columns={"at_risk": "faced"})
    bounds = []
    for renewal in shown["renewal"]:
        faced = np.maximum(ended_at, survived) >= renewal
        stayed = faced & (survived >= renewal)
        sums = pd.DataFrame({"faced": faced, "stayed": stayed}).groupby(begun["client_id"].to_numpy()).sum()
        share = rates.share(rates.ClientSums.of(sums["stayed"], sums["faced"]), method="wilson")
        bounds.append((share.low, share.high))
    lows, highs = np.array(bounds, dtype=float).reshape(-1, 2).T
    kept = 1 - shown["ended"] / shown["faced"]
    return shown.assign(
        kept_share=kept,
        low_share=lows,
        high_share=highs,
        fitted_share=sbg.retention(fit, shown["renewal"]),
        surviving_share=kept.cumprod(),
        fitted_surviving_share=sbg.survival(fit, len(shown))[0, 1:],
    )


def _source(data: Canonical) -> Source:
    return "contracts" if data.has("contracts", "starts_on", "client_id") else "deals"


def _is_bill() -> nw.Expr:
    return nw.col("kind").fill_null("").str.to_lowercase() == "contract"


def _contracts_table(data: Canonical) -> nw.LazyFrame[Any]:
    return data.scan("contracts").filter(~nw.col("starts_on").is_null(), ~nw.col("client_id").is_null())


def _won(data: Canonical) -> nw.LazyFrame[Any]:
    won = data.scan("deals").filter(nw.col("status") == "won", nw.col("amount") > 0)
    return won.filter(~nw.col("closed_on").is_null(), ~nw.col("client_id").is_null())


def _bills(data: Canonical) -> nw.LazyFrame[Any]:
    return _won(data).filter(_is_bill())


def _terms(data: Canonical, settings: Company, source: Source) -> pd.DataFrame | Unanswered:
    rows = _contracts_table(data) if source == "contracts" else contract_clients(data)
    count = int(collect(rows.select(n=nw.len()))["n"].iloc[0])
    if count == 0:
        return Unanswered("segments.contracts", "there is no contract.", ("a table of contracts", "deals of kind contract"))
    if count > MAX_CONTRACTS:
        most = formats.number(MAX_CONTRACTS)
        return Unanswered("segments.contracts", f"more than {most} contracts do not fit into memory.", ("a part of the base",))
    if source == "contracts":
        return terms_of_table(rows)
    return terms_of_deals(_bills(data), settings.as_of, settings.lifetime_value.contract_term_months)


def _valued(data: Canonical, settings: Company, stands: pd.DataFrame, fit: sbg.ContractFit) -> tuple[Money, pd.DataFrame]:
    """The contracts with what they earn in a month and the discounted months they are expected to run."""
    money: Money = "margin" if data.has("deals", "margin") or settings.margin_share is not None else "revenue"
    revenue = stands["value_per_month"]
    if (stands["running"] & revenue.isna()).any():
        # A contract without a value is worth what its client is billed, if it is the only one.
        billed = terms_of_deals(_bills(data), settings.as_of, settings.lifetime_value.contract_term_months)
        only = stands["running"] & (stands.groupby("client_id")["running"].transform("sum") == 1)
        revenue = revenue.fillna(stands["client_id"].map(billed.set_index("client_id")["value_per_month"]).where(only))
    earned = revenue * _margin_shares(data, settings, stands["client_id"]) if money == "margin" else revenue
    months = sbg.expected_months(fit, stands, *_horizon(settings))
    return money, stands.assign(**{"value_per_month": revenue, f"{money}_per_month": earned}, months=months)


def _margin_shares(data: Canonical, settings: Company, clients: pd.Series[Any]) -> pd.Series[Any]:
    """The margin share of each client's contracts."""
    own, usual = contract_margins(data, settings)
    known = collect(own, max_rows=MAX_CONTRACTS).set_index("client_id")["margin_share"]
    return clients.map(known).fillna(usual).astype(float)


def _per_client(rows: pd.DataFrame, settings: Company, money: Money) -> pd.DataFrame:
    runs = rows[rows["running"]]
    clients = pd.Index(rows["client_id"].unique(), name="client_id")
    now, ever = runs.groupby("client_id"), rows.groupby("client_id")
    worth = (runs["months"] * runs[f"{money}_per_month"].fillna(0.0)).groupby(runs["client_id"]).sum()
    wait = now["months_to_renewal"].min().reindex(clients) * DAYS_PER_MONTH
    running = now.size().reindex(clients, fill_value=0)
    return pd.DataFrame(
        {
            "contracts": ever.size(),
            "running_contracts": running,
            "contract_months_alive": now["months"].max().reindex(clients, fill_value=0.0),
            "p_contract_alive": running.clip(upper=1).astype(float),
            "contract_renewals": now["survived"].max().reindex(clients).fillna(ever["survived"].max()).astype("int64"),
            "next_renewal_on": pd.Timestamp(settings.as_of) + pd.to_timedelta(wait.round(), unit="D"),
            "contract_value": worth.reindex(clients, fill_value=0.0),
        }
    ).reset_index(names="client_id")


def _worth_interval(rows: pd.DataFrame, money: Money, fit: sbg.ContractFit, settings: Company) -> tuple[float, float]:
    """Ends of the 95 % interval of what running contracts bring: parameters drawn, then futures simulated.

    Above ``MAX_SIMULATED`` contracts the luck of single ones averages out, and the parameters alone are drawn.
    """
    runs, rng = rows[rows["running"]], np.random.default_rng([settings.seed, _SEED])
    earned = runs[f"{money}_per_month"].fillna(0.0).to_numpy(dtype=np.float64)
    totals = []
    for _ in range(DRAWS):
        drawn = sbg.drawn(fit, rng)
        if len(runs) > MAX_SIMULATED:
            months = sbg.expected_months(drawn, runs, *_horizon(settings))
        else:
            months = sbg.simulate_contracts(drawn, runs, *_horizon(settings), rng)
        totals.append(float(earned @ months))
    low, high = np.quantile(totals, rates.ENDS_95)
    return float(low), float(high)


def _horizon(settings: Company) -> tuple[int, float]:
    """Months ahead, and the discount of each."""
    return settings.lifetime_value.horizon_months, monthly_discount_rate(settings.lifetime_value.annual_discount_rate)


def _records(data: Canonical, terms: pd.DataFrame, begun: pd.DataFrame, source: Source) -> Records:
    """What is odd about the records: contracts and bills that do not match, ends that are not known."""
    billed = nw.when(_is_bill()).then(1).otherwise(0)
    deals = _won(data).select("client_id", bills=billed, first=day_number("closed_on")).group_by("client_id")
    per_client = deals.agg(nw.col("bills").sum(), nw.col("first").min())
    held = per_client.join(contract_clients(data).with_columns(held=nw.lit(1)), on="client_id", how="left")
    no_contract = nw.col("held").is_null() & (nw.col("bills") > 0)
    no_bill = ~nw.col("held").is_null() & (nw.col("bills") == 0)
    flags = held.select(
        "first", no_contract=nw.when(no_contract).then(1).otherwise(0), no_bill=nw.when(no_bill).then(1).otherwise(0)
    )
    found = collect(flags.select(nw.col("first").min(), nw.col("no_contract").sum(), nw.col("no_bill").sum())).iloc[0]
    first_month = begun["start"] <= found["first"] + DAYS_PER_MONTH
    return Records(
        source=source,
        ended_unknown=int(terms["ended_unknown"].sum()),
        billed_without_contract=int(np.nan_to_num(found["no_contract"])),
        contract_without_bill=int(np.nan_to_num(found["no_bill"])),
        as_old_as_records=int(first_month.sum()) if source == "deals" else 0,
    )
