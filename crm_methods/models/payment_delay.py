"""What late payment costs: the capital that stands in invoices past their due day.

An invoice that is due on the 10th and paid on the 12th is overdue on two days, the 11th and
the 12th. Days are counted where they fall: the overdue days of two periods that follow each
other add up to those of both.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import narwhals as nw

from crm_methods.engine import as_float, day_number, day_of

DAYS_PER_YEAR = 365


def overdue_invoices(
    invoices: nw.LazyFrame[Any], *, start: dt.date, end: dt.date, since: str | None = None, until: str | None = None
) -> nw.LazyFrame[Any]:
    """Days on which each invoice was overdue, in a period and in all.

    An open invoice, or one paid later, counts up to ``end``. Invoices without a due day or with an amount that is not
    positive (credit notes) are left out.

    Parameters
    ----------
    invoices
        One row per invoice: ``client_id``, ``amount``, ``due_on``, ``paid_on``.
    start, end
        First and last day that count; nothing later than ``end`` is known.
    since, until
        Columns with a first and a last day (as ``engine.day_number`` counts them) that narrow the period of each row.

    Returns
    -------
    narwhals.LazyFrame
        The rows that count, with ``amount`` as a float, ``due_day``, ``is_open`` (1 where not paid by ``end``),
        ``days_late`` (from the due day to payment or ``end``, never negative) and ``overdue_days`` (those in the period).
    """
    last, known = day_of(end), ~nw.col("due_on").is_null()
    counted = invoices.with_columns(amount=as_float("amount")).filter(nw.col("amount") > 0, known)
    # A day is counted of rows that have one only: an open invoice lends its due day, which then does not count.
    paid_day = day_number(nw.coalesce("paid_on", "due_on"))
    counted = counted.with_columns(due_day=day_number("due_on"), _paid_day=paid_day)
    paid = ~nw.col("paid_on").is_null() & (nw.col("_paid_day") <= last)
    counted = counted.with_columns(
        settled_day=nw.when(paid).then(nw.col("_paid_day")).otherwise(nw.lit(last)),
        is_open=nw.when(paid).then(nw.lit(0)).otherwise(nw.lit(1)),
    ).with_columns(days_late=_at_least_zero(nw.col("settled_day") - nw.col("due_day")))
    begins = nw.max_horizontal(nw.col("due_day"), nw.lit(day_of(start)) - 1)
    ends = nw.col("settled_day")
    if since is not None:
        begins = nw.max_horizontal(begins, nw.col(since) - 1)
    if until is not None:
        ends = nw.min_horizontal(ends, nw.col(until))
    return counted.with_columns(overdue_days=_at_least_zero(ends - begins))


def capital_cost(yearly_rate: float) -> nw.Expr:
    """What an invoice's overdue days cost: ``amount · overdue_days / 365 · yearly_rate``."""
    return nw.col("amount") * nw.col("overdue_days") / DAYS_PER_YEAR * yearly_rate


def payment_cost_by_client(invoices: nw.LazyFrame[Any], *, start: dt.date, end: dt.date, yearly_rate: float) -> nw.LazyFrame[Any]:
    """What each client's late payment cost in a period: one row per client with an invoice, ``client_id`` and ``payment_cost``.

    Parameters
    ----------
    invoices, start, end
        As for ``overdue_invoices``.
    yearly_rate
        Cost of capital per year, 0–1.
    """
    overdue = overdue_invoices(invoices, start=start, end=end).with_columns(payment_cost=capital_cost(yearly_rate))
    summed = overdue.group_by("client_id").agg(nw.col("payment_cost").sum())
    return summed.with_columns(payment_cost=nw.col("payment_cost").round(6))


def _at_least_zero(days: nw.Expr) -> nw.Expr:
    return nw.when(days > 0).then(days).otherwise(nw.lit(0))
