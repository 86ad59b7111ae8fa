"""Lifetime values of made-up purchases without files, intake and the rest of stage 2, for tests of what is said of them."""

from __future__ import annotations

import datetime as dt
import functools
import math
from typing import Any, cast

import narwhals as nw
import numpy as np
import pandas as pd

from crm_methods.company.answers import Answer, Unanswered
from crm_methods.company.settings import Company
from crm_methods.models import lifetime_value as models
from crm_methods.models.buying_rhythm import find_rhythm, is_own_population, mark_regular
from crm_methods.models.purchase_history import calibration_holdout, gap_summary, purchase_summary
from crm_methods.models.purchase_ladder import BuyingDays, RegularBuyers
from crm_methods.stages import segments_validation
from crm_methods.stages.segments_value import LifetimeValue, amounts_depend, spend_correlation

AS_OF = dt.date(2025, 12, 31)


def told(**lifetime_value: Any) -> Company:
    """Settings of a company without tables; few bootstraps, so that tests are fast."""
    chosen = {"bootstraps": 20, **lifetime_value}
    return Company.model_validate(
        {"company": "Example", "as_of": AS_OF, "currency": "EUR", "tables": {}, "lifetime_value": chosen}
    )


def bought(
    clients: int = 90, gap_days: float = 60.0, stays_days: float = 400.0, seed: int = 5, amount_by_gap: bool = False
) -> pd.DataFrame:
    """Deals of clients that buy at gamma distributed rates until they leave, from 2023 to 2025.

    With ``amount_by_gap`` a purchase of a frequent buyer brings more.
    """
    rng, rows = np.random.default_rng(seed), []
    for client in range(clients):
        day, own_gap = float(rng.integers(0, 600)), gap_days / rng.gamma(1.5, 1 / 1.5)
        end = min(1_095.0, day + rng.exponential(stays_days))
        while day <= end:
            scale = 3_000 / own_gap if amount_by_gap else 100
            rows.append((f"c{client:03}", dt.date(2023, 1, 1) + dt.timedelta(days=int(day)), scale * rng.gamma(4, 1 / 4)))
            day += max(1.0, rng.exponential(own_gap))
    return _deals(rows)


def on_days(days: dict[str, list[str]]) -> pd.DataFrame:
    """Deals of 100 each on the days of each client."""
    return _deals([(client, dt.date.fromisoformat(day), 100.0) for client, own in days.items() for day in own])


def seen(deals: pd.DataFrame) -> tuple[LifetimeValue, Any]:
    """The values of these deals, and the evidence on their models (or why there is none)."""
    value = valued(deals, told())
    # The deals are given, so that the stage looks nothing up in the company's data.
    return value, segments_validation.evidence(value, cast(Any, None), told(), nw.from_native(deals).lazy())


def is_said_in_full(answer: Answer | Unanswered) -> None:
    """No word of an answer says that something could not be computed, and every number is one."""
    words = answer.sentence
    if isinstance(answer, Answer):
        texts = [column for column in answer.table if not pd.api.types.is_numeric_dtype(answer.table[column])]
        words = f"{words} {answer.caption} {answer.table[texts].to_string()}"
        # Intervals of a single client are not known, and shown as a dash.
        numbers = answer.table.drop(columns=[*texts, "low_revenue", "high_revenue"], errors="ignore")
        assert numbers.map(math.isfinite).all(axis=None), answer.table
    assert not {"nan", "none", "inf", "nat"} & set(words.lower().replace("(", " ").replace(",", " ").split()), words


def _deals(rows: list[tuple[str, dt.date, float]]) -> pd.DataFrame:
    deals = pd.DataFrame(rows, columns=["client_id", "closed_on", "amount"])
    amount = deals["amount"].round(2)
    return deals.assign(closed_on=pd.to_datetime(deals["closed_on"]), amount=amount, status="won", deal_id=range(len(deals)))


def valued(deals: pd.DataFrame, settings: Company) -> LifetimeValue:
    """What ``segments_value.lifetime_value`` finds of these deals, without asking lifetimes."""
    purchases = nw.from_native(deals.assign(revenue=deals["amount"])[["client_id", "closed_on", "revenue"]]).lazy()
    end = models.calibration_end(settings.as_of, settings.lifetime_value.holdout_months)
    history = purchase_summary(purchases, settings.as_of, money="revenue")
    gaps = gap_summary(purchases, settings.as_of, money="revenue")
    rhythm, before = find_rhythm(gaps), gap_summary(purchases, end, money="revenue")
    own = is_own_population(rhythm)
    regular = RegularBuyers.of(mark_regular(gaps, _lazy(rhythm.cuts))) if own else None
    together = spend_correlation(history, "revenue")
    model = models.fit_lifetime_value(
        history,
        calibration_holdout(purchases, end, settings.as_of, money="revenue"),
        money="revenue",
        estimation=settings.lifetime_value.estimation,
        with_lifetimes=False,
        days=BuyingDays(purchases, settings.as_of, end),
        regular=regular,
        regular_before=RegularBuyers.of(mark_regular(before, _lazy(find_rhythm(before).cuts))) if own else None,
        amounts_by_frequency=amounts_depend(together),
    )
    named = models.with_population(history, model, regular)
    spends = {each.name: each.spend for each in model.populations}
    return LifetimeValue(
        sentence="",
        table=model.models,
        caption="",
        model=model,
        values=models.client_values(named, _lazy(models.score_populations(model)), spends, money="revenue"),
        spend_correlation=together,
        money="revenue",
        knows_cost=False,
        rhythm=rhythm,
        gaps=gaps,
    )


def _lazy(frame: pd.DataFrame) -> nw.LazyFrame[Any]:
    return nw.from_native(frame).lazy()


DAILY = {"z": [str(day.date()) for day in pd.date_range("2023-01-01", "2025-12-31")]}
BASES = {
    "usual": bought(60),
    "three clients": on_days(
        {"a": ["2024-01-05", "2024-09-01", "2025-08-01"], "b": ["2024-03-01", "2025-03-01"], "c": ["2025-05-05"]}
    ),
    "nobody bought in the holdout": on_days({f"c{i}": ["2023-02-01", "2023-05-01"] for i in range(12)}),
    "identical buyers": on_days({f"c{i:02}": [f"2025-{month:02}-10" for month in range(1, 12)] for i in range(40)}),
    "one client": on_days({"a": ["2024-01-05", "2024-09-01", "2025-08-01", "2025-12-01"]}),
    "all one-timers": on_days({f"c{i}": [f"2025-0{1 + i % 6}-03"] for i in range(20)}),
    "one buys daily": pd.concat(
        [bought(30), on_days({"z": [str(day.date()) for day in pd.date_range("2023-01-01", "2025-12-31")]})]
    ),
}
"""Bases on which models break, or that leave nothing to show."""


@functools.cache
def seen_base(name: str) -> tuple[LifetimeValue, Any]:
    """``seen`` of one of ``BASES``, computed once."""
    return seen(BASES[name])
