"""Who pays late, and what that costs. A room of stage 2."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import Period, current_period
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import segment_label
from crm_methods.engine import as_float, collect, day_number, day_of
from crm_methods.models import rates
from crm_methods.models.payment_delay import DAYS_PER_YEAR, capital_cost, overdue_invoices
from crm_methods.stages.segments import capital_rate, knows_payments, read_once

ALL = "all"
NAMES = 10
MAX_CLIENTS = 500_000
"""Clients whose sums are held in memory; those of more are counted anew for every figure."""
_BEGIN_LATE_DAYS = 31
"""An invoice list that begins later than this after the period does is called short."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LatePayment(Answer):
    """How late clients pay, and what it costs.

    ``segments`` has one row for the whole base and one per segment (where the cells are known): ``segment``, ``clients``,
    ``invoices`` (due in the period), ``late_share`` with ``low_share``, ``high_share``, ``late_amount_share``, ``mean_days_late``
    with ``low_days``, ``high_days``, and ``payment_cost``. ``clients`` has one row per client, the ten that cost most.
    """

    segments: pd.DataFrame
    clients: pd.DataFrame


@answers("segments.payment")
def late_payment(
    data: Canonical, settings: Company, economics: nw.LazyFrame[Any], cells: nw.LazyFrame[Any] | None = None
) -> LatePayment | Unanswered:
    """The share of invoices paid late, by how many days, and the cost of the capital that stands in them.

    Late shares and days are of the invoices that fell due in the period, before its last day; an open invoice counts up to
    the as-of day. The cost is of all overdue days of the period, whenever the invoice fell due.

    Parameters
    ----------
    economics
        One row per client (``segments.client_economics``).
    cells
        ``client_id`` and ``segment`` (``Matrix.cells``), for the rows by segment.
    """
    if not knows_payments(data):
        reason = "no invoice says when it was paid, so a late one can't be told from one whose payment is not recorded."
        return Unanswered("segments.payment", reason, ("invoices.paid_on (day on which it was paid)",))
    period = current_period(settings)
    by_client = read_once(data, _by_client(data, settings, period), MAX_CLIENTS)
    whole = by_client.with_columns(segment=nw.lit(ALL))
    if cells is not None:
        placed = by_client.join(cells.select("client_id", "segment"), on="client_id", how="inner")
        whole = nw.concat([whole.select(*_COLUMNS), placed.select(*_COLUMNS)])
    segments = _segments(whole)
    if segments.empty or not segments["invoices"].iloc[0]:
        return Unanswered("segments.payment", f"no invoice fell due between {period.label}.", ("invoices of the period",))
    clients = _dearest(data, by_client)
    costs = float(collect(economics.select(as_float("revenue").sum()))["revenue"].fillna(0.0).iloc[0])
    words = [_late_words(segments.iloc[0]), _cost_words(segments.iloc[0], clients, costs, settings)]
    words += [_open_words(by_client, settings), _short_words(data, period), _without_due_words(data, period)]
    return LatePayment(
        sentence=" ".join(word for word in words if word),
        table=segments.assign(segment=["The whole base" if s == ALL else segment_label(str(s)) for s in segments["segment"]]),
        caption=f"Invoices that fell due in {period.label}, with 95% intervals clustered by client, and what all overdue days in "
        "it cost",
        labels={
            "late_share": "Paid late", "low_share": "95% from", "high_share": "to", "late_amount_share": "Of the amount",
            "mean_days_late": "Days late, on average", "low_days": "95% from", "high_days": "to",
        },
        segments=segments,
        clients=clients,
    )  # fmt: skip


def late_payers(found: LatePayment | Unanswered) -> Answer | Unanswered:
    """The ten clients whose late payment costs most, with their names."""
    if isinstance(found, Unanswered):
        return found
    if found.clients.empty:
        return Answer(sentence="No client's late payment cost anything in the period.", table=pd.DataFrame(), caption="")
    first = found.clients.iloc[0]
    total, held = float(found.segments["payment_cost"].iloc[0]), float(found.clients["payment_cost"].sum())
    one = len(found.clients) == 1
    many = "One client accounts" if one else f"The {len(found.clients)} clients that pay latest and most account"
    return Answer(
        sentence=f"{many} for {formats.share(held / total)} of the cost of late payment; {first['client']} alone for "
        f"{formats.share(first['payment_cost'] / total)}.",
        table=found.clients,
        caption="Clients whose late payment costs most; days late are the mean of the invoices that were late",
        labels={"late_share": "Paid late", "mean_days_late": "Days late, when late", "open_amount": "Open and overdue"},
    )


_COLUMNS = ("client_id", "segment", "invoices", "late", "amount", "late_amount", "days_late", "payment_cost")


def _by_client(data: Canonical, settings: Company, period: Period) -> nw.LazyFrame[Any]:
    """One row per client with an invoice that fell due up to the end of the period."""
    start, last = day_of(period.start), day_of(period.end)
    invoices = overdue_invoices(data.scan("invoices"), start=period.start, end=period.end)
    due = nw.when((nw.col("due_day") >= start) & (nw.col("due_day") < last)).then(nw.lit(1)).otherwise(nw.lit(0))
    late = nw.when(nw.col("days_late") > 0).then(nw.lit(1)).otherwise(nw.lit(0))
    marked = invoices.filter(nw.col("due_day") <= last).with_columns(invoices=due, _late=late)
    parts = marked.with_columns(
        late=nw.col("invoices") * nw.col("_late"),
        late_amount=nw.col("amount") * nw.col("invoices") * nw.col("_late"),
        due_amount=nw.col("amount") * nw.col("invoices"),
        days_late=nw.col("days_late") * nw.col("invoices"),
        open_invoices=nw.col("is_open") * nw.col("_late"),
        open_amount=nw.col("amount") * nw.col("is_open") * nw.col("_late"),
        stale_amount=nw.when(nw.col("days_late") > DAYS_PER_YEAR)
        .then(nw.col("amount") * nw.col("is_open"))
        .otherwise(nw.lit(0.0)),
        payment_cost=capital_cost(capital_rate(settings)),
    )
    sums = ("invoices", "late", "late_amount", "days_late", "open_invoices", "open_amount", "stale_amount", "payment_cost")
    summed = parts.group_by("client_id").agg(*(nw.col(name).sum() for name in sums), amount=nw.col("due_amount").sum())
    return summed.with_columns(nw.col("payment_cost").round(6))


def _segments(rows: nw.LazyFrame[Any]) -> pd.DataFrame:
    """One row for the base and per segment, the dearest first; shares and means clustered by client."""

    def per_client(total: str, count: str) -> nw.LazyFrame[Any]:
        return rows.select("client_id", "segment", total=nw.col(total), count=nw.col(count))

    late = rates.shares_by(per_client("late", "invoices"), ["segment"]).rename(
        columns={"share": "late_share", "trials": "invoices"}
    )
    amounts = rates.shares_by(per_client("late_amount", "amount"), ["segment"]).set_index("segment")["share"]
    days = rates.means_by(per_client("days_late", "invoices"), ["segment"]).set_index("segment")
    cost = collect(rows.group_by("segment").agg(nw.col("payment_cost").sum())).set_index("segment")["payment_cost"]
    table = late.set_index("segment")[["clients", "invoices", "late_share", "low_share", "high_share"]].join(
        days[["mean", "low", "high"]].rename(columns={"mean": "mean_days_late", "low": "low_days", "high": "high_days"})
    )
    table = table.assign(late_amount_share=amounts, payment_cost=cost).reset_index()
    table = table.assign(first=table["segment"] == ALL).sort_values(
        ["first", "payment_cost", "segment"], ascending=[False, False, True]
    )
    columns = ["segment", "clients", "invoices", "late_share", "low_share", "high_share", "late_amount_share", "mean_days_late",
               "low_days", "high_days", "payment_cost"]  # fmt: skip
    return table[columns].astype({"invoices": "int64"}).reset_index(drop=True)


def _dearest(data: Canonical, by_client: nw.LazyFrame[Any]) -> pd.DataFrame:
    dearest = by_client.filter(nw.col("payment_cost") > 0).sort("payment_cost", "client_id", descending=[True, False]).head(NAMES)
    named = collect(dearest.join(data.scan("clients").select("client_id", "name"), on="client_id", how="left"))
    rows = named.sort_values(["payment_cost", "client_id"], ascending=[False, True], ignore_index=True)
    late = rows["late"].where(rows["late"] > 0)
    rows = rows.assign(
        client=rows["name"].where(rows["name"].notna(), rows["client_id"]),
        late_share=rows["late"] / rows["invoices"].where(rows["invoices"] > 0),
        mean_days_late=rows["days_late"] / late,
    )
    rows = rows.astype({"invoices": "int64"})
    return rows[["client", "invoices", "late_share", "mean_days_late", "open_amount", "payment_cost"]]


def _late_words(whole: pd.Series[Any]) -> str:
    invoices = int(whole["invoices"])
    share, amount = formats.share(whole["late_share"]), formats.share(whole["late_amount_share"])
    shares = formats.interval(whole["low_share"], whole["high_share"], formats.share)
    days = formats.interval(whole["low_days"], whole["high_days"], lambda x: formats.number(max(0.0, x), 1))
    mean, were = formats.number(whole["mean_days_late"], 1), "was" if invoices == 1 else "were"
    return (
        f"Of {formats.plural(invoices, 'invoice')} that fell due in the period, {share}{_interval(shares)} {were} not paid in "
        f"time, {amount} of the amount; an invoice comes {mean} days late on average{_interval(days)}, with 0 for "
        "those paid in time."
    )


def _interval(text: str) -> str:
    return "" if text == formats.NOTHING else f" (95% interval {text})"


def _cost_words(whole: pd.Series[Any], clients: pd.DataFrame, revenue: float, settings: Company) -> str:
    cost, rate = float(whole["payment_cost"]), formats.share(capital_rate(settings), 1)
    if cost <= 0:
        return "No capital was bound by it."
    share = f", {formats.share(cost / revenue, 2)} of revenue" if revenue > 0 else ""
    most = float(clients["payment_cost"].sum()) / cost
    bound = f"Capital in overdue invoices cost {formats.money_short(cost, settings.currency)} at {rate} a year{share}"
    if len(clients) < NAMES:
        return f"{bound}; {formats.plural(len(clients), 'client causes', 'clients cause')} all of it."
    return f"{bound}; {len(clients)} clients cause {formats.share(most)} of it."


def _open_words(by_client: nw.LazyFrame[Any], settings: Company) -> str:
    """What is overdue and open on the as-of day, and what of it is older than a year."""
    sums = collect(by_client.select(*(nw.col(c).sum() for c in ("open_invoices", "open_amount", "stale_amount")))).iloc[0]
    if not sums["open_invoices"] > 0:
        return ""
    count, amount = int(sums["open_invoices"]), formats.money_short(sums["open_amount"], settings.currency)
    open_on = f"{'is' if count == 1 else 'are'} overdue and open on {formats.date(settings.as_of)}"
    said = (
        f"{formats.plural(count, 'invoice')} of {amount} {open_on}; {'its' if count == 1 else 'their'} delay counts so far only."
    )
    if not sums["stale_amount"] > 0:
        return said
    stale = formats.money_short(sums["stale_amount"], settings.currency)
    return f"{said} {stale} of it is more than a year overdue: rather lost, or paid and not booked, than late."


def _short_words(data: Canonical, period: Period) -> str:
    first = collect(data.scan("invoices").select(day=day_number("issued_on").min()))["day"].iloc[0]
    if pd.isna(first) or int(first) <= day_of(period.start) + _BEGIN_LATE_DAYS:
        return ""
    since = formats.date(dt.date(1970, 1, 1) + dt.timedelta(days=int(first)))
    return f"Invoices are on record from {since} only, so the period's cost is understated."


def _without_due_words(data: Canonical, period: Period) -> str:
    issued = day_number("issued_on")
    undated = data.scan("invoices").filter(
        nw.col("due_on").is_null(), issued >= day_of(period.start), issued <= day_of(period.end)
    )
    count = int(collect(undated.select(n=nw.len()))["n"].iloc[0])
    if not count:
        return ""
    return f"{formats.plural(count, 'invoice')} without a due day {'is' if count == 1 else 'are'} left out."
