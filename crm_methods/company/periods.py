"""The period a run looks at, and the one before it: in calendar months, ending on the as-of day."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.settings import Company


@dataclass(frozen=True, slots=True)
class Period:
    """Days from ``start`` to ``end``, both included."""

    start: dt.date
    end: dt.date
    months: int

    @property
    def label(self) -> str:
        """The period in words, such as ``1 Jan 2025 to 31 Dec 2025``."""
        return f"{formats.date(self.start)} to {formats.date(self.end)}"


def months_before(day: dt.date, months: int) -> dt.date:
    """The same day some calendar months earlier; the end of a month stays the end of a month."""
    moment = pd.Timestamp(day)
    earlier = moment - (pd.offsets.MonthEnd(months) if moment.is_month_end else pd.DateOffset(months=months))
    return dt.date(earlier.year, earlier.month, earlier.day)


def midnight(day: dt.date) -> dt.datetime:
    """The moment at which a day begins: all engines compare it with dates and with timestamps."""
    return dt.datetime.combine(day, dt.time())


def within(column: str, period: Period) -> nw.Expr:
    """Whether a date or timestamp lies in the period."""
    after = midnight(period.end + dt.timedelta(days=1))
    return (nw.col(column) >= nw.lit(midnight(period.start))) & (nw.col(column) < nw.lit(after))


def current_period(settings: Company) -> Period:
    """The last ``segments.period_months`` months up to the as-of day."""
    months = settings.segments.period_months
    return Period(months_before(settings.as_of, months) + dt.timedelta(days=1), settings.as_of, months)


def previous_period(settings: Company) -> Period:
    """The period of the same length before the current one."""
    months = settings.segments.period_months
    end = months_before(settings.as_of, months)
    return Period(months_before(settings.as_of, 2 * months) + dt.timedelta(days=1), end, months)
