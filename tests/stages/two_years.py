"""Companies with two years of deals and contacts, for tests that compare the period with the one before."""

from __future__ import annotations

import datetime as dt
import functools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods.engine import EngineSettings, open_engine
from crm_methods.stages import segments, segments_matrix, segments_periods
from crm_methods.stages.segments_migration import Migration, migration
from tests.conftest import MadeCompany, MakeCompany, company_in

Year = Sequence[float]
"""Amounts, or minutes, of one year, spread over its days."""


def two_years(
    make_company: MakeCompany,
    amounts: Mapping[str, tuple[Year, Year]],
    minutes: Mapping[str, tuple[Year, Year]] | None = None,
    **settings: object,
) -> MadeCompany:
    """Clients with so many deals in 2024 and in 2025, and contacts of a support team that costs 1,000 a month.

    ``amounts`` and ``minutes`` say, per client, those of 2024 and of 2025.
    """
    sold = _spread(amounts)
    deals = pd.DataFrame(sold, columns=["client_id", "closed_on", "amount"])
    deals = deals.assign(deal_id=[f"d{i}" for i in range(len(deals))], cost=deals["amount"] / 2)
    if minutes is None:
        return make_company({"deals": deals}, **settings)
    served = pd.DataFrame(_spread(minutes), columns=["client_id", "day", "handling_minutes"])
    contacts = served.assign(
        interaction_id=[f"i{i}" for i in range(len(served))],
        started_at=[f"{day} 10:00:00" for day in served["day"]],
        department="support",
        channel="phone",
        kind="service",
    ).drop(columns="day")
    months = [dt.date(year, month, 1) for year in (2024, 2025) for month in range(1, 13)]
    ledger = pd.DataFrame({"pool": "support", "month": months, "amount": 1_000.0})
    staff = pd.DataFrame(
        [{"skill": "any", "department": "support", "people": 1.0, "hours_per_month": 100.0, "cost_per_hour": 10.0}]
    )
    return make_company({"deals": deals, "interactions": contacts, "cost_ledger": ledger, "staff": staff}, **settings)


@dataclass(frozen=True)
class Placed:
    """A company with its clients on the matrix."""

    made: MadeCompany
    economics: nw.LazyFrame[Any]
    periods: segments_periods.Periods
    matrix: segments_matrix.Matrix

    @property
    def asked(self) -> tuple[Any, ...]:
        """What certainty and migration are asked with."""
        return self.made.data, self.made.settings, self.economics, self.matrix, self.periods


def placed(made: MadeCompany) -> Placed:
    """The clients of a company on the matrix, with both periods."""

    def keep(name: str, frame: nw.LazyFrame[Any], **_: object) -> nw.LazyFrame[Any]:
        path = made.folder / f"{name}.parquet"
        made.data.engine.write(frame, path, order_by=["client_id"])
        return made.data.engine.scan(path)

    cost = segments.cost_to_serve(made.data, made.settings)
    economics = keep("client_economics", segments.client_economics(made.data, made.settings, cost))
    periods = segments_periods.two_periods(made.data, made.settings, cost, keep)
    matrix = segments_matrix.matrix(made.data, made.settings, economics, None, periods)
    assert isinstance(matrix, segments_matrix.Matrix)
    return Placed(made, economics, periods, matrix)


@functools.cache
def steady_migration() -> Migration:
    """Who moved in ``steady``."""
    answer = migration(*steady().asked)
    assert isinstance(answer, Migration)
    return answer


@functools.cache
def steady() -> Placed:
    """``growing_and_steady`` on the matrix, made once, since many tests only look at it."""
    folder = Path(tempfile.mkdtemp(prefix="two_years_"))
    engine = open_engine(EngineSettings(memory_limit="1GB", threads=1), folder / "spill")
    return placed(growing_and_steady(functools.partial(company_in, folder, engine)))


def growing_and_steady(make_company: MakeCompany, **settings: object) -> MadeCompany:
    """Thirty clients that buy and call every month alike in both years, and three that don't.

    ``up`` buys ten times as much in 2025, ``started`` buys in 2025 alone, ``left`` in 2024 alone. The sizes of the others
    rise from 100 to 1,550 a month; every second calls for three times as long as the one before.
    """
    sizes = {f"c{i:02}": 100.0 + 50 * i for i in range(30)}
    amounts = {client: ([size] * 12, [size] * 12) for client, size in sizes.items()}
    amounts |= {"up": ([150.0] * 12, [1_500.0] * 12), "started": ([], [200.0] * 12), "left": ([200.0] * 12, [])}
    minutes = {
        client: ([years[0][0] ** 0.5 * (1 + 2 * (place % 2))] * 12,) * 2
        for place, (client, years) in enumerate(amounts.items())
        if all(years)
    }
    return two_years(make_company, amounts, minutes, **settings)


def _spread(years: Mapping[str, tuple[Year, Year]]) -> list[tuple[str, dt.date, float]]:
    return [
        (client, dt.date(2024 + later, 1, 15) + dt.timedelta(days=int(350 * place / max(1, len(values)))), value)
        for client, both in years.items()
        for later, values in enumerate(both)
        for place, value in enumerate(values)
    ]
