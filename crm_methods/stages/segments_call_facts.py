"""What is known of each client that may be a reason to call it, and the money at stake with each reason. A room of stage 2."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import Any

import narwhals as nw

from crm_methods.company.intake import Canonical
from crm_methods.company.periods import midnight, months_before
from crm_methods.company.settings import Company
from crm_methods.engine import as_float, collect
from crm_methods.stages.segments_contracts import contract_margins
from crm_methods.stages.segments_voices import from_client

MONTHS = 12
"""Years are compared with years, whatever the period of the matrix, so that seasons don't tell."""
CONTRACT_DAYS = 90
REQUEST_DAYS = 30
COMPLAINT_DAYS = 7
"""A complaint is late when it has waited for so long."""
SLIPPING, GONE = 0.8, 0.1
"""A client slips away while its chance of still being one lies between these; below, there is nobody left to keep."""
BEYOND_CHANCE = 1.645
"""Purchases of two years differ by more than chance (one-sided, 5 %) where their difference exceeds so many √ of their sum."""

_NO_NUMBER = nw.lit(None, nw.Float64)


def client_call_facts(
    data: Canonical, settings: Company, client_segments: nw.LazyFrame[Any], next_orders: nw.LazyFrame[Any] | None = None
) -> nw.LazyFrame[Any]:
    """Every client with what may be a reason to call it; parameters as of ``segments_calls.call_list``.

    Returns
    -------
    narwhals.LazyFrame
        One row per client: ``client_id``, ``segment``, ``strategy``, ``is_large``, ``contribution``, ``p_alive``, ``worth``
        (lifetime value, expected revenue without margins) with ``worth_low`` and ``worth_high``, ``is_valuable`` (worth more
        than both the mean and the median of the base's positive values), ``is_overdue``, ``next_order_on``; ``earned`` and
        ``earned_before`` (margin, or revenue, of the last year and the one before), ``orders`` and ``orders_before``,
        ``last_order_on``; ``complaint_at`` and ``request_at`` (the oldest overdue one of the year); ``contract_ends_on`` and
        ``contract_value``, a year, of what ends soon.
    """
    if next_orders is not None:
        due = next_orders.select("client_id", "next_order_on", "days_overdue")
        known = [name for name in ("next_order_on", "days_overdue") if name in client_segments.collect_schema().names()]
        client_segments = client_segments.drop(*known).join(due, on="client_id", how="left")
    facts = _placed(client_segments)
    for part in (yearly_purchases(data, settings), _open_requests(data, settings), _contracts(data, settings)):
        facts = facts.join(part, on="client_id", how="left")
    counts = ("earned", "earned_before", "orders", "orders_before")
    return facts.with_columns(*(nw.col(name).fill_null(0.0) for name in counts))


def with_stakes(facts: nw.LazyFrame[Any], settings: Company, reasons: Sequence[str]) -> nw.LazyFrame[Any]:
    """The facts with the money a year at stake by each reason, ``stake_<reason>``; 0 where it does not apply."""
    yearly = MONTHS / settings.lifetime_value.horizon_months
    alive, worth = nw.col("p_alive"), nw.col("worth")
    # Value already counts the chance to be still there: what is lost with the client is its value if it were, times the rest.
    at_risk = worth / nw.max_horizontal(alive, nw.lit(GONE)) * yearly * (nw.lit(1.0) - alive)
    one_order = nw.when(nw.col("orders") > 0).then(nw.col("earned") / nw.max_horizontal("orders", nw.lit(1.0)))
    slipping = (alive < SLIPPING) & (alive >= GONE) & nw.col("is_valuable")
    still_there = (alive >= GONE).fill_null(True)
    # What a change of buying brings or takes in a year to come counts as far as the client is still there.
    change_ahead = (nw.col("earned") - nw.col("earned_before")) * alive.fill_null(1.0)
    stakes = {
        "complaint": (nw.col("is_large") & ~nw.col("complaint_at").is_null(), nw.col("earned")),
        "request": (nw.col("is_large") & ~nw.col("request_at").is_null(), nw.col("earned")),
        "contract": (~nw.col("contract_ends_on").is_null(), nw.coalesce(nw.col("contract_value"), nw.col("earned"))),
        "overdue": (nw.col("is_overdue"), nw.coalesce(at_risk, one_order)),
        "slipping": (slipping, at_risk),
        "falling": (
            still_there & bought_fewer(),
            nw.lit(0.0) - change_ahead,
        ),
        "loss": (
            still_there & (nw.col("contribution") < 0),
            nw.lit(0.0) - nw.col("contribution") * (MONTHS / settings.segments.period_months),
        ),
        "growing": (
            (nw.col("strategy") == "stimulate_sales") & (nw.col("orders_before") > 0) & _bought_more(),
            change_ahead,
        ),
    }
    return facts.with_columns(**{f"stake_{reason}": _stake(*stakes[reason]) for reason in reasons})


def bought_fewer() -> nw.Expr:
    """Whether a client bought less often than the year before, by more than chance explains (see ``yearly_purchases``)."""
    return nw.col("compares") & (nw.col("orders_before") - nw.col("orders") > _chance())


def _bought_more() -> nw.Expr:
    return nw.col("compares") & (nw.col("orders") - nw.col("orders_before") > _chance())


def _chance() -> nw.Expr:
    return (nw.col("orders") + nw.col("orders_before")).sqrt() * BEYOND_CHANCE


def money_word(data: Canonical) -> str:
    """What is at stake: margin where the deals know it, else revenue."""
    return "margin" if data.has("deals", "margin") else "revenue"


def _stake(applies: nw.Expr, amount: nw.Expr) -> nw.Expr:
    known = as_float(amount).fill_null(0.0)
    return nw.when(applies.fill_null(False) & (known > 0)).then(known).otherwise(nw.lit(0.0)).round(4)


def _placed(client_segments: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """What the table of segments says; what it does not hold is missing."""
    schema = client_segments.collect_schema()
    there = set(schema.names())
    known = collect(client_segments.select(*(nw.col(name).count() for name in ("clv", "clv_revenue")))).iloc[0]
    worth = "clv" if known["clv"] or not known["clv_revenue"] else "clv_revenue"
    positive = client_segments.filter(nw.col(worth) > 0)
    usual = collect(positive.select(mean=as_float(worth).mean(), median=as_float(worth).median())).iloc[0]
    # Rounded, so that where all are worth the same nobody stands out by the way an engine adds up.
    valuable = (as_float(worth).round(4) > round(float(usual.max()), 4)) if usual.notna().all() else nw.lit(False)
    overdue: nw.Expr = nw.lit(False)
    if "days_overdue" in there:
        overdue = nw.col("days_overdue") > 0
    elif "overdue" in there:
        overdue = nw.col("overdue") if schema["overdue"] == nw.Boolean else nw.col("overdue") > 0
    level = nw.col("revenue_level") == "high" if "revenue_level" in there else nw.lit(True)
    day = nw.col("next_order_on") if "next_order_on" in there else nw.lit(None, nw.Date)
    ends = {f"worth{end}": as_float(f"{worth}{end}") if f"{worth}{end}" in there else _NO_NUMBER for end in ("_low", "_high")}
    return client_segments.select(
        "client_id", "segment", "strategy", is_large=level, contribution=as_float("contribution"), p_alive=as_float("p_alive"),
        worth=as_float(worth), **ends, is_valuable=valuable, is_overdue=overdue, next_order_on=day,
    )  # fmt: skip


def yearly_purchases(data: Canonical, settings: Company) -> nw.LazyFrame[Any]:
    """Per client, what the last year and the one before brought, by how many purchases, and the last one.

    ``compares`` says whether the year before is known whole.
    """
    won = data.scan("deals").filter(nw.col("status") == "won")
    this_year, year_before = (midnight(_day_after(months_before(settings.as_of, n * MONTHS))) for n in (1, 2))
    if data.has("deals", "closed_on"):
        day = nw.col("closed_on")
        now, before = day >= nw.lit(this_year), (day >= nw.lit(year_before)) & (day < nw.lit(this_year))
    else:
        now, before = nw.lit(True), nw.lit(False)
    money = as_float(_money_column(data)).fill_null(0.0)
    one, nothing, bought = nw.lit(1.0), nw.lit(0.0), nw.col("amount") >= 0
    marked = won.select(
        "client_id",
        last_order_on=nw.when(bought).then(nw.col("closed_on")),
        earned=nw.when(now).then(money).otherwise(nothing),
        earned_before=nw.when(before).then(money).otherwise(nothing),
        orders=nw.when(now & bought).then(one).otherwise(nothing),
        orders_before=nw.when(before & bought).then(one).otherwise(nothing),
    )
    sums = ("earned", "earned_before", "orders", "orders_before")
    per_client = marked.group_by("client_id").agg(nw.col(*sums).sum(), nw.col("last_order_on").max())
    return per_client.with_columns(compares=nw.lit(_compares(data, settings)))


def _compares(data: Canonical, settings: Company) -> bool:
    """Whether the year before is known whole: the base has deals from its first month on, or earlier ones."""
    if not data.has("deals", "closed_on"):
        return False
    first = collect(data.scan("deals").filter(nw.col("status") == "won").select(nw.col("closed_on").min()))["closed_on"]
    begin = midnight(months_before(settings.as_of, 2 * MONTHS))
    return bool(first.notna().any() and first.iloc[0] <= begin + dt.timedelta(days=31))


def _open_requests(data: Canonical, settings: Company) -> nw.LazyFrame[Any]:
    """Per client, when the oldest overdue complaint and request of the last year began that are still open."""
    contacts, began = data.scan("interactions"), nw.col("started_at")
    after = midnight(_day_after(settings.as_of))
    nothing = contacts.select("client_id", complaint_at=began, request_at=began).head(0)
    if not data.has("interactions", "started_at", "resolved_at"):
        return nothing
    begin = midnight(_day_after(months_before(settings.as_of, MONTHS)))
    inside = contacts.filter(began >= nw.lit(begin), began < nw.lit(after)).with_columns(kind=nw.col("kind").str.to_lowercase())
    # A kind of contact that is never solved is not waiting for a solution.
    solvable = collect(inside.filter(~nw.col("resolved_at").is_null()).select("kind").unique())["kind"].tolist()
    waiting = inside.filter(nw.col("resolved_at").is_null())
    if data.has("interactions", "kind"):
        waiting = waiting.filter(nw.col("kind").is_in([kind for kind in solvable if isinstance(kind, str)]))
    if any(data.has("interactions", name) for name in ("initiative", "direction", "kind")):
        waiting = waiting.filter(from_client())
    is_complaint = (nw.col("kind") == "complaint").fill_null(False)
    complaint_late, request_late = (began < nw.lit(after - dt.timedelta(days=days)) for days in (COMPLAINT_DAYS, REQUEST_DAYS))
    marked = waiting.select(
        "client_id",
        complaint_at=nw.when(complaint_late & is_complaint).then(began),
        request_at=nw.when(request_late & ~is_complaint).then(began),
    )
    return marked.group_by("client_id").agg(nw.col("complaint_at", "request_at").min())


def _contracts(data: Canonical, settings: Company) -> nw.LazyFrame[Any]:
    """Per client, the first day on which one of its contracts ends soon, and what those contracts earn in a year.

    Margin where deals know it, by the share of the contracts' own bills as far as those do; else revenue.
    """
    contracts, day = data.scan("contracts"), nw.col("ends_on")
    first, last = (midnight(settings.as_of + dt.timedelta(days=days)) for days in (0, CONTRACT_DAYS))
    ending = contracts.filter(day >= nw.lit(first), day <= nw.lit(last), nw.col("ended_by").is_null())
    per_client = ending.group_by("client_id").agg(
        contract_ends_on=day.min(), monthly=as_float("value_per_month").sum(), priced=nw.col("value_per_month").count()
    )
    earned_share = nw.lit(1.0)
    if data.has("deals", "margin"):
        own, usual = contract_margins(data, settings)
        per_client = per_client.join(own, on="client_id", how="left")
        earned_share = nw.col("margin_share").fill_null(usual if math.isfinite(usual) else 1.0)
    value = nw.when(nw.col("priced") > 0).then(nw.col("monthly") * MONTHS * earned_share)
    return per_client.select("client_id", "contract_ends_on", contract_value=value)


def _money_column(data: Canonical) -> str:
    return "margin" if data.has("deals", "margin") else "amount"


def _day_after(day: dt.date) -> dt.date:
    return day + dt.timedelta(days=1)
