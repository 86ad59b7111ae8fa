"""Balanced panels: what each client brought in every period, and when it joined a programme."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from crm_methods import formats
from crm_methods.engine import as_float, collect, day_number, day_of, month_number, month_of, month_start

MAX_CELLS = 600_000
"""Most client-periods of a panel in memory; above it clients are drawn."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Panel:
    """A balanced panel: every client in every period.

    Attributes
    ----------
    frame
        One row per client and period, sorted by both: ``client_id``, ``period`` (1, 2, …), ``outcome``
        (per month), ``first_treat`` (period of joining; 0 = never in the panel's time).
    periods
        One row per period: ``period``, ``month`` (its first day).
    months_per_period
        1 for months, 3 for quarters.
    note
        Who was left out, and whether clients were drawn.
    """

    frame: pd.DataFrame
    periods: pd.DataFrame
    months_per_period: int = 1
    note: str = ""

    @property
    def joining(self) -> pd.Series[int]:
        """Period of joining by client; 0 for who never joined."""
        joined: pd.Series[int] = self.frame.groupby("client_id")["first_treat"].first()
        return joined

    @property
    def members(self) -> int:
        """Clients that joined."""
        return int((self.joining > 0).sum())

    @property
    def non_members(self) -> int:
        """Clients that never joined."""
        return int((self.joining == 0).sum())


def build_panel(
    deals: nw.LazyFrame[Any],
    members: nw.LazyFrame[Any],
    *,
    start: dt.date,
    end: dt.date,
    outcome: str = "amount",
    months_per_period: int = 1,
    max_cells: int = MAX_CELLS,
) -> Panel:
    """Count what each client brought per period, and when it joined.

    The clients are those that bought before ``start``: who comes later has no *before* to compare with. A month without a
    deal is an outcome of 0, so clients that leave stay in. Who leaves the programme stays a member, too (intention to treat).

    Parameters
    ----------
    deals
        One row per deal that counts (won ones): ``client_id``, ``closed_on`` and the outcome.
    members
        One row per member of *one* programme: ``client_id``, ``joined_on`` (NULL: never joined).
    start, end
        First and last day of the panel; whole periods, counted from the month of ``start``. Several months
        before the first joining are needed, a year is better.
    outcome
        Column that is added up: ``amount`` or ``margin``, in company currency.
    months_per_period
        1, or 3 where deals are few.
    max_cells
        Most client-periods held in memory. Above it every k-th client of each joining period is
        taken in the order of the ids, and ``note`` says so.
    """
    first, last = month_of(start), month_of(end)
    count = (last - first + 1) // months_per_period
    day = day_number("closed_on")
    known = deals.filter(day < day_of(month_start(first))).select("client_id").unique()
    joined = (
        members.filter(~nw.col("joined_on").is_null())
        .with_columns(_month=month_number("joined_on"))
        .group_by("client_id")
        .agg(nw.col("_month").min())
    )
    clients = known.join(joined, on="client_id", how="left").with_columns(
        first_treat=nw.when(nw.col("_month") < first)
        .then(nw.lit(-1))
        .when(nw.col("_month") >= first + count * months_per_period)
        .then(nw.lit(0))
        .otherwise((nw.col("_month") - first) // months_per_period + 1)
        .fill_null(0)
        .cast(nw.Int64)
    )
    cohorts = collect(clients.group_by("first_treat").agg(clients=nw.len())).set_index("first_treat")["clients"]
    eligible = int(cohorts[cohorts.index >= 0].sum())
    step = max(1, math.ceil(eligible * count / max_cells))
    chosen = clients.filter(nw.col("first_treat") >= 0).select("client_id", "first_treat")
    if step > 1:
        ranked = chosen.with_columns(_rank=nw.col("client_id").rank("ordinal").over("first_treat"))
        chosen = ranked.filter(nw.col("_rank") % step == 1).select("client_id", "first_treat")
    index = month_number("closed_on") - first
    within = deals.filter(index >= 0, index < count * months_per_period).with_columns(
        period=index // months_per_period + 1, _outcome=as_float(outcome)
    )
    sums = within.group_by("client_id", "period").agg(nw.col("_outcome").sum()).join(chosen, on="client_id", how="inner")
    periods = pd.DataFrame(
        {
            "period": range(1, count + 1),
            "month": pd.to_datetime([month_start(first + i * months_per_period) for i in range(count)]),
        }
    )
    frame = _balance(collect(chosen), collect(sums.select("client_id", "period", "_outcome")), count, months_per_period)
    return Panel(
        frame=frame, periods=periods, months_per_period=months_per_period, note=_panel_note(int(cohorts.get(-1, 0)), step)
    )


def _panel_note(earlier: int, step: int) -> str:
    notes = []
    if earlier:
        notes.append(f"{formats.plural(earlier, 'client')} that joined before the first month left out")
    if step > 1:
        notes.append(f"one client in {step} of each joining period taken, in the order of their ids")
    return "; ".join(notes)


def _balance(clients: pd.DataFrame, sums: pd.DataFrame, count: int, months_per_period: int) -> pd.DataFrame:
    """Every client in every period; what was not sold is 0."""
    joining = clients.set_index("client_id")["first_treat"].astype("int64").sort_index()
    grid = pd.MultiIndex.from_product([joining.index, range(1, count + 1)], names=["client_id", "period"])
    outcome = sums.astype({"period": "int64"}).set_index(["client_id", "period"])["_outcome"].reindex(grid, fill_value=0.0)
    return pd.DataFrame(
        {
            "client_id": grid.get_level_values(0),
            "period": grid.get_level_values(1).astype("int64"),
            # A sum over an empty or unknown amount is 0, not missing.
            "outcome": (outcome.fillna(0.0) / months_per_period).to_numpy(),
            "first_treat": np.repeat(joining.to_numpy(), count),
        }
    )
