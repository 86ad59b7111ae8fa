"""What the contact plan may depend on, client by client, and the days it may use. A room of stage 5.

All of it stays in the engine.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods.company.contacts_plan import ContactsPlan
from crm_methods.company.intake import Canonical
from crm_methods.company.offers_plan import OffersPlan
from crm_methods.company.periods import current_period
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import SEGMENT_LABELS, segment_label
from crm_methods.engine import as_float, collect, day_number, day_of
from crm_methods.errors import StageError

REQUESTS = ("service", "complaint", "request", "support", "incident")
"""Kinds of interaction that are a client's request."""

_DAYS_PER_YEAR = 365.25


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Earlier:
    """What earlier stages wrote: ``segments`` always, the rest where their questions could be answered."""

    segments: nw.LazyFrame[Any]
    facts: nw.LazyFrame[Any] | None = None
    offers: nw.LazyFrame[Any] | None = None
    rates: pd.DataFrame | None = None
    capacity: pd.DataFrame | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PlanDays:
    """The working days of the plan: Monday to Friday, without the plan's closed days.

    ``calendar`` has one row per calendar day: ``due_day`` (day number), ``month``, ``day_of_month``, and ``slot``, the place of
    the first working day on or after it.
    """

    working: tuple[dt.date, ...]
    calendar: pd.DataFrame

    @property
    def count(self) -> int:
        """Number of working days."""
        return len(self.working)


def earlier_tables(upstream: Callable[[str], nw.LazyFrame[Any]]) -> Earlier:
    """Read what this stage takes over; ``upstream`` is the stage's own."""

    def if_there(table: str) -> nw.LazyFrame[Any] | None:
        # A question that could not be answered left no table.
        try:
            return upstream(table)
        except StageError:
            return None

    small = {
        name: None if (lazy := if_there(name)) is None else collect(lazy, max_rows=10_000)
        for name in ("activity_rates", "capacity")
    }
    return Earlier(
        segments=upstream("client_segments"), facts=if_there("client_facts"), offers=if_there("client_offers"),
        rates=small["activity_rates"], capacity=small["capacity"],
    )  # fmt: skip


def plan_days(settings: Company, plan: ContactsPlan) -> PlanDays:
    """The days after the as-of day, for ``contacts.plan_months`` calendar months."""
    start = pd.Timestamp(settings.as_of) + pd.Timedelta(days=1)
    # The day before the same day some months later: 12 months from 1 January end on 31 December.
    end = start + pd.DateOffset(months=settings.contacts.plan_months) - pd.Timedelta(days=1)
    days = pd.date_range(start, end)
    closed = {pd.Timestamp(day) for day in plan.closed_days}
    is_open = [day.weekday() < 5 and day not in closed for day in days]
    working = [day.date() for day, opened in zip(days, is_open, strict=True) if opened]
    if not working:
        raise StageError(
            f"contacts: found no working day between {start.date()} and {end.date()}, expected one. Look at closed_days "
            "in contacts.yml."
        )
    # The days before a closed stretch count on to the first day after it, those at the end back to the last.
    slots = pd.Series([int(opened) for opened in is_open]).cumsum() - pd.Series([int(opened) for opened in is_open])
    calendar = pd.DataFrame(
        {
            "due_day": [day_of(day.date()) for day in days], "month": days.month, "day_of_month": days.day,
            "slot": slots.clip(upper=len(working) - 1).to_numpy(),
        }
    ).astype("int64")  # fmt: skip
    return PlanDays(tuple(working), calendar)


def contact_profile(
    data: Canonical, settings: Company, plan: ContactsPlan, packages: OffersPlan, earlier: Earlier
) -> nw.LazyFrame[Any]:
    """One row per client: every fact of ``contacts_plan.FACTS`` but the person; NULL where not known.

    Returns
    -------
    narwhals.LazyFrame
        Key ``client_id``; the facts, and ``segment``, ``strategy``, ``state``, ``owner``, ``anniversary_day``, ``position``
        (0–1, evenly spread over the clients of a package) and the package's ``contacts_per_year`` and ``reviews_per_year``.
    """
    frame = earlier.segments.select("client_id", "segment", "strategy", as_float("revenue").fill_null(0.0).alias("revenue"))
    about = data.scan("clients").select("client_id", "name", "industry", "territory", "complementary_solutions", "owner", "since")
    for other in (
        about,
        _states(earlier),
        _packages(earlier, packages),
        _last_deals(data, settings),
        _open_requests(data, settings),
        _contracts(data, settings),
    ):
        frame = frame.join(other, on="client_id", how="left")
    first, last = packages.service_packages, packages.service_packages[-1]
    frame = frame.with_columns(nw.col("package").fill_null(last.name), anniversary_day=_anniversary(settings))
    # A literal has no rows to count along.
    one = nw.col("client_id").is_null().cast(nw.Int64) * 0 + 1
    rank, count = one.cum_sum().over("package", order_by="client_id"), nw.len().over("package")
    return frame.with_columns(
        client=nw.coalesce(nw.col("name"), nw.col("client_id")),
        segment_label=_lookup("segment", {s: segment_label(s) for s in SEGMENT_LABELS}),
        account_owner=nw.col("owner").fill_null(plan.account_owner_role),
        service_package=_lookup("package", {p.name: p.title for p in first}),
        contacts_per_year=_lookup("package", {p.name: p.contacts_per_year for p in first}, 0.0),
        reviews_per_year=_lookup("package", {p.name: p.reviews_per_year for p in first}, 0.0),
        position=((rank - 0.5) / count).round(9),
        open_requests=nw.col("open_requests").fill_null(0)
        if data.has("interactions", "resolved_at")
        else nw.col("open_requests"),
        years_with_us=((nw.col("anniversary_day") - day_number("since")) / _DAYS_PER_YEAR).round(0).cast(nw.Int64),
    ).drop("name")


def _states(earlier: Earlier) -> nw.LazyFrame[Any]:
    if earlier.facts is None:
        # Who bought in the period is active; stage 1 would know more.
        bought = nw.when(as_float("revenue") > 0).then(nw.lit("active")).otherwise(nw.lit("lapsed"))
        return earlier.segments.select("client_id", bought.alias("state"), nw.lit(None, nw.String).alias("size"))
    size = nw.col("size_class").str.to_lowercase()
    size = nw.when(size == "micro").then(nw.lit("small")).otherwise(size)
    return earlier.facts.select("client_id", "state", size=nw.when(size.is_in(["large", "medium", "small"])).then(size))


def _packages(earlier: Earlier, packages: OffersPlan) -> nw.LazyFrame[Any]:
    if earlier.offers is None:
        unknown = nw.lit(None, nw.String)
        return earlier.segments.select("client_id", unknown.alias("package"), unknown.alias("next_product"))
    known = nw.col("service_package").is_in([package.name for package in packages.service_packages])
    return earlier.offers.select("client_id", nw.when(known).then(nw.col("service_package")).alias("package"), "next_product")


def _last_deals(data: Canonical, settings: Company) -> nw.LazyFrame[Any]:
    won = data.scan("deals").filter(nw.col("status") == "won", as_float("amount") > 0).with_columns(day=day_number("closed_on"))
    last = won.group_by("client_id").agg(nw.col("day").max())
    return last.select("client_id", days_since_last_deal=day_of(settings.as_of) - nw.col("day"))


def _open_requests(data: Canonical, settings: Company) -> nw.LazyFrame[Any]:
    """Requests of the period that are not solved; nothing where the company never records a solution."""
    tracked = nw.lit(data.has("interactions", "resolved_at"))
    asked = data.scan("interactions").with_columns(day=day_number("started_at")).filter(
        nw.col("kind").str.to_lowercase().is_in(list(REQUESTS)), nw.col("day") >= day_of(current_period(settings).start),
        nw.coalesce(nw.col("direction"), nw.lit("in")) == "in", nw.coalesce(nw.col("initiative"), nw.lit("theirs")) == "theirs",
        nw.col("resolved_at").is_null(), tracked,
    )  # fmt: skip
    one = nw.col("client_id").is_null().cast(nw.Int64) * 0 + 1
    counted = asked.with_columns(
        place=one.cum_sum().over("client_id", order_by=["day", "interaction_id"]), open_requests=nw.len().over("client_id")
    )
    return counted.filter(nw.col("place") == 1).select(
        "client_id", "open_requests", nw.coalesce(nw.col("topic"), nw.col("kind")).alias("open_topic"),
        (day_of(settings.as_of) - nw.col("day")).alias("open_days"),
    )  # fmt: skip


def _contracts(data: Canonical, settings: Company) -> nw.LazyFrame[Any]:
    """The running contract of each client that ends next."""
    running = data.scan("contracts").filter(day_number("ends_on") > day_of(settings.as_of), nw.col("ended_by").is_null())
    return running.group_by("client_id").agg(nw.col("ends_on").min().alias("contract_ends_on"))


def _anniversary(settings: Company) -> nw.Expr:
    """Day number of the next anniversary after the as-of day; that of a 29 February is the day before 1 March."""
    month, day = nw.col("since").dt.month().cast(nw.Int64), nw.col("since").dt.day().cast(nw.Int64)
    leap = (month == 2) & (day == 29)
    day = nw.when(leap).then(nw.lit(28)).otherwise(day)
    later = (month * 100 + day) > settings.as_of.month * 100 + settings.as_of.day
    starts = [day_of(dt.date(settings.as_of.year + ahead, 1, 1)) for ahead in (0, 1)]
    in_year = [starts[ahead] + _days_before_month(month, settings.as_of.year + ahead) + day - 1 for ahead in (0, 1)]
    return nw.when(later).then(in_year[0]).otherwise(in_year[1])


def _days_before_month(month: nw.Expr, year: int) -> nw.Expr:
    days: nw.Expr = nw.lit(0)
    for number in range(2, 13):
        before = (dt.date(year, number, 1) - dt.date(year, 1, 1)).days
        days = nw.when(month == number).then(nw.lit(before)).otherwise(days)
    return days


def _lookup(column: str, values: dict[str, Any], otherwise: Any = None) -> nw.Expr:
    found: nw.Expr = nw.col(column) if otherwise is None else nw.lit(otherwise)
    for key, value in values.items():
        found = nw.when(nw.col(column) == key).then(nw.lit(value)).otherwise(found)
    return found
