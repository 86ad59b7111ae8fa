"""Who moved to another cell since the period before, and how many would with nothing changed. A room of stage 2."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import SEGMENT_LABELS, segment_label
from crm_methods.engine import collect
from crm_methods.models.rates import ENDS_95, wilson_interval
from crm_methods.stages.segments_cuts import Cuts
from crm_methods.stages.segments_matrix import Matrix
from crm_methods.stages.segments_moves import LEVEL, MAX_JUDGED, Judged, Panel, judged, reported_by_chance, shares_by_chance
from crm_methods.stages.segments_periods import Periods, in_columns, in_memory

NEW, GONE, INACTIVE = "new", "gone", "inactive"
"""States beside the cells: active in the period alone, in the one before alone, in neither."""

FEWEST = 10
"""Clients of both periods from which on their share that moved is compared with chance."""

_STREAM = 42
_Parts = tuple[nw.LazyFrame[Any], nw.LazyFrame[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Benchmark:
    """The share of the clients of both periods that changed cell, beside what it would be with nothing changed (0–1).

    ``low`` and ``high`` hold 95 % of the draws. ``reported_share`` is the share that would be reported as moved beyond noise
    with nothing changed. ``both_clients`` were active in both periods; ``drawn_clients`` of them were looked at,
    ``moved_clients`` of all changed cell, and ``judged_clients`` of these were judged one by one.
    Shares are NaN where no client was active in both.
    """

    share: float
    chance_share: float
    low: float
    high: float
    reported_share: float
    both_clients: int
    drawn_clients: int
    moved_clients: int
    judged_clients: int

    @property
    def expected_reports(self) -> float:
        """Clients that chance would report among those that were judged."""
        looked_at = self.judged_clients / self.moved_clients if self.moved_clients else 1.0
        return self.reported_share * self.both_clients * looked_at


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Migration(Answer):
    """Who moved, beside what chance alone does.

    ``moves`` has one row per former and present cell in which there are clients: ``previous_segment`` (``new`` among them),
    ``segment`` (``gone`` among them), ``clients``, ``origin_share`` (of the former cell), ``beyond_noise_clients``.
    ``table`` is the same with the cells' names in words.
    ``origins`` has one row per former cell: ``previous_segment``, ``clients``, ``left_clients`` (in another cell or gone), and
    ``left_share`` with Wilson's 95 % interval, ``low_left_share`` and ``high_left_share``.
    ``beyond`` has one row per client that moved beyond noise, those whose money changed most first: ``client_id``,
    ``previous_segment``, ``segment``, ``revenue``, ``cost_to_serve``, ``revenue_before``, ``cost_before``, and
    ``revenue_p_value`` and ``cost_p_value`` of the moves along the axes (1 where no cut was crossed), the smaller as ``p_value``.
    ``clients`` (lazy) has one row per client: ``client_id``, ``previous_segment`` (a cell, ``new`` or ``inactive``) and
    ``moved_beyond_noise``, missing where a client that moved was not judged.
    """

    clients: nw.LazyFrame[Any]
    moves: pd.DataFrame
    origins: pd.DataFrame
    beyond: pd.DataFrame
    benchmark: Benchmark


@answers("segments.migration")
def migration(
    data: Canonical, settings: Company, economics: nw.LazyFrame[Any], found: Matrix, periods: Periods
) -> Migration | Unanswered:
    """Former cell → present cell of every client, and which changes are more than chance.

    Cuts are those of the period for both. With nothing changed, each part of a client's period could as well have been the
    same part of the period before: parts are swapped by a fair coin to see how many clients would change cell, and in
    every way there is to see whether one client's move is rare (p ≤ .05 for its two axes together). With nothing changed, at
    most 5 % of clients are reported.

    Parameters
    ----------
    economics
        One row per client (``segments.client_economics``).
    found
        The matrix of the period, made with ``periods``.
    periods
        The period and the one before (``segments_periods.two_periods``).
    """
    if periods.economics_before is None or periods.parts_before is None or found.before is None:
        reason = periods.reason or "no earlier period was looked at"
        return Unanswered("segments.migration", f"{reason}.", ("deals of the whole period before",))
    by_cost = found.cuts.cost_axis != "unknown" and periods.knows_cost_before
    if settings.segments.revenue_axis != "deals" and not by_cost:
        reason = periods.reason_cost or "no cost to serve is known"
        return Unanswered(
            "segments.migration", f"clients can move by cost alone, and {reason}.", ("contacts of the whole period before",)
        )
    states = _states(economics, periods.economics_before, found, by_cost)
    table = _counts(states)
    parts = (periods.parts, periods.parts_before)
    benchmark, moved = _against_chance(data, settings, states, found.cuts, parts, by_cost, _of_both(table))
    beyond = _largest_first(moved[moved["p_value"] <= LEVEL])
    table = _with_beyond(table, beyond)
    return Migration(
        sentence=_sentence(table, benchmark, settings, periods, by_cost),
        table=in_words(table),
        caption=f"Clients by cell in {periods.previous.label} and in {periods.current.label}, by the cuts of the latter",
        labels={
            "previous_segment": "Former cell",
            "segment": "Present cell",
            "origin_share": "Share of the former cell",
            "beyond_noise_clients": "Clients that moved further than their ups and downs explain",
        },
        moves=table,
        clients=_judgements(data, states, moved),
        origins=_origins(table),
        beyond=beyond,
        benchmark=benchmark,
    )


def in_words(table: pd.DataFrame) -> pd.DataFrame:
    """A table to show, with the names of its former and present cells instead of their codes."""
    cells = [name for name in ("previous_segment", "segment") if name in table.columns]
    return table.assign(**{name: [segment_label(str(cell)) for cell in table[name]] for name in cells})


def _states(economics: nw.LazyFrame[Any], economics_before: nw.LazyFrame[Any], found: Matrix, by_cost: bool) -> nw.LazyFrame[Any]:
    """One row per client: its state in both periods, revenue and cost, and ``both`` (1 where it was active in both)."""
    rows = (
        economics.select("client_id", "revenue", "cost_to_serve")
        .join(
            economics_before.select("client_id", revenue_before=nw.col("revenue"), cost_before=nw.col("cost_to_serve")),
            on="client_id",
            how="left",
        )
        .join(
            found.cells.select("client_id", "axis_revenue", "previous_segment", present=nw.col("segment")),
            on="client_id",
            how="left",
        )
        .with_columns(nw.col("revenue_before").fill_null(0.0))
    )
    active = []
    for sold, served in (("revenue", "cost_to_serve"), ("revenue_before", "cost_before")):
        is_active = nw.col(sold) != 0
        active.append(is_active | (nw.col(served).fill_null(0.0) > 0) if by_cost else is_active)
    now, before = active
    return rows.with_columns(
        previous_segment=nw.when(before).then(nw.col("previous_segment"))
        .otherwise(nw.when(now).then(nw.lit(NEW)).otherwise(nw.lit(INACTIVE))),
        segment=nw.when(now).then(nw.col("present"))
        .otherwise(nw.when(before).then(nw.lit(GONE)).otherwise(nw.lit(INACTIVE))),
        both=nw.when(now & before).then(nw.lit(1)).otherwise(nw.lit(0)),
    )  # fmt: skip


def _counts(states: nw.LazyFrame[Any]) -> pd.DataFrame:
    counted = states.filter(nw.col("segment") != INACTIVE).group_by("previous_segment", "segment").agg(clients=nw.len())
    table = collect(counted)
    rank = {name: place for place, name in enumerate([*SEGMENT_LABELS, NEW, GONE])}
    order = table.assign(_from=table["previous_segment"].map(rank), _to=table["segment"].map(rank)).sort_values(["_from", "_to"])
    table = order[["previous_segment", "segment", "clients"]].reset_index(drop=True).astype({"clients": "int64"})
    return table.assign(origin_share=table["clients"] / table.groupby("previous_segment")["clients"].transform("sum"))


def _of_both(table: pd.DataFrame) -> tuple[int, int]:
    """How many clients were active in both periods, and how many of them changed cell."""
    both = table[(table["previous_segment"] != NEW) & (table["segment"] != GONE)]
    return int(both["clients"].sum()), int(both.loc[both["previous_segment"] != both["segment"], "clients"].sum())


def _against_chance(
    data: Canonical,
    settings: Company,
    states: nw.LazyFrame[Any],
    cuts: Cuts,
    parts: _Parts,
    by_cost: bool,
    counts: tuple[int, int],
) -> tuple[Benchmark, pd.DataFrame]:
    """What chance does to the clients of both periods, and each client that changed cell with its p-values."""
    count, moved_count = counts
    rows = in_memory(states.filter(nw.col("both") == 1))
    panel = _panel(data, settings, rows, parts, by_cost, sampled=len(rows) < count)
    width, rng = settings.segments.hysteresis, np.random.default_rng([settings.seed, _STREAM])
    shares = shares_by_chance(panel, cuts, width, settings.segments.bootstraps, rng)
    shares = shares[np.isfinite(shares)]
    changed_rows = np.flatnonzero((rows["segment"] != rows["previous_segment"]).to_numpy())
    looked_at = changed_rows[:: max(1, math.ceil(len(changed_rows) / MAX_JUDGED))]
    low, high = np.quantile(shares, ENDS_95) if shares.size else (math.nan, math.nan)
    benchmark = Benchmark(
        share=moved_count / count if count else math.nan,
        chance_share=float(shares.mean()) if shares.size else math.nan,
        low=float(low),
        high=float(high),
        reported_share=reported_by_chance(panel, cuts, width),
        both_clients=count,
        drawn_clients=len(rows),
        moved_clients=moved_count,
        judged_clients=len(looked_at),
    )
    return benchmark, _with_p_values(rows.iloc[looked_at], judged(panel.of(looked_at), cuts, width))


def _panel(data: Canonical, settings: Company, rows: pd.DataFrame, parts: _Parts, by_cost: bool, *, sampled: bool) -> Panel:
    """The clients of ``rows`` part by part; ``sampled`` where they are not all there are."""
    now, before = parts
    if sampled:
        ids = data.engine.frame(rows[["client_id"]])
        now, before = now.join(ids, on="client_id", how="inner"), before.join(ids, on="client_id", how="inner")
    revenue, cost = in_columns(now, rows, "revenue", "cost_to_serve")
    revenue_before, cost_before = in_columns(before, rows, "revenue_before", "cost_before")
    fixed = None if settings.segments.revenue_axis == "deals" else rows["axis_revenue"].fillna(0.0).to_numpy(dtype=float)
    return Panel(revenue, cost, revenue_before, cost_before, by_cost, fixed)


def _with_p_values(moved: pd.DataFrame, verdict: Judged) -> pd.DataFrame:
    columns = ["client_id", "previous_segment", "segment", "revenue", "cost_to_serve", "revenue_before", "cost_before"]
    return moved[columns].assign(
        revenue_p_value=verdict.revenue_p_value, cost_p_value=verdict.cost_p_value, p_value=verdict.p_value
    )


def _largest_first(beyond: pd.DataFrame) -> pd.DataFrame:
    sold = (beyond["revenue"] - beyond["revenue_before"]).abs()
    served = (beyond["cost_to_serve"].fillna(0.0) - beyond["cost_before"].fillna(0.0)).abs()
    ordered = beyond.assign(_change=sold + served).sort_values(["_change", "client_id"], ascending=[False, True])
    return ordered.drop(columns="_change").reset_index(drop=True)


def _with_beyond(table: pd.DataFrame, beyond: pd.DataFrame) -> pd.DataFrame:
    counted = beyond.groupby(["previous_segment", "segment"]).size().rename("beyond_noise_clients")
    joined = table.join(counted, on=["previous_segment", "segment"])
    return joined.assign(beyond_noise_clients=joined["beyond_noise_clients"].fillna(0).astype("int64"))


def _judgements(data: Canonical, states: nw.LazyFrame[Any], moved: pd.DataFrame) -> nw.LazyFrame[Any]:
    """``client_id``, ``previous_segment`` and ``moved_beyond_noise`` of every client."""
    if moved.empty:
        return states.select("client_id", "previous_segment", moved_beyond_noise=nw.lit(False))
    judged_ones = pd.DataFrame({"client_id": moved["client_id"], "is_beyond": moved["p_value"] <= LEVEL})
    changed = (nw.col("both") == 1) & (nw.col("segment") != nw.col("previous_segment"))
    return states.join(data.engine.frame(judged_ones), on="client_id", how="left").select(
        "client_id", "previous_segment", moved_beyond_noise=nw.when(changed).then(nw.col("is_beyond")).otherwise(nw.lit(False))
    )


def _origins(table: pd.DataFrame) -> pd.DataFrame:
    known = table[table["previous_segment"] != NEW]
    rows = []
    for segment, group in known.groupby("previous_segment", sort=False):
        clients = int(group["clients"].sum())
        left = clients - int(group.loc[group["segment"] == segment, "clients"].sum())
        rows.append((segment, clients, left, left / clients, *wilson_interval(left, clients)))
    columns = ["previous_segment", "clients", "left_clients", "left_share", "low_left_share", "high_left_share"]
    return pd.DataFrame(rows, columns=columns)


def _sentence(table: pd.DataFrame, benchmark: Benchmark, settings: Company, periods: Periods, by_cost: bool) -> str:
    words = [_moved_words(benchmark)]
    if benchmark.moved_clients:
        words.append(_beyond_words(int(table["beyond_noise_clients"].sum()), benchmark))
    new = int(table.loc[table["previous_segment"] == NEW, "clients"].sum())
    gone = int(table.loc[table["segment"] == GONE, "clients"].sum())
    words.append(f"{formats.plural(new, 'client')} {_is(new)} new and {formats.number(gone)} {_is(gone)} gone.")
    if settings.segments.revenue_axis != "deals":
        words.append("Clients move by cost alone: the axis of revenue has no earlier value.")
    elif not by_cost and periods.knows_cost:
        words.append(f"Clients move by revenue alone: {periods.reason_cost}.")
    return " ".join(words)


def _moved_words(benchmark: Benchmark) -> str:
    both = formats.plural(benchmark.both_clients, "client")
    if not benchmark.both_clients:
        return "No client was active in both periods, so nobody could change cell."
    moved, share = formats.number(benchmark.moved_clients), formats.share(benchmark.share)
    if math.isnan(benchmark.chance_share) or benchmark.both_clients < FEWEST:
        few = " too few to say how many would with nothing changed" if benchmark.both_clients < FEWEST else ""
        return f"Of {both} active in both periods {moved} ({share}) changed cell{',' if few else ''}{few}."
    verdict = (
        "more than chance explains" if benchmark.share > benchmark.high
        else "less than chance alone would bring" if benchmark.share < benchmark.low
        else "no more than chance explains"
    )  # fmt: skip
    interval = formats.interval(benchmark.low, benchmark.high, formats.share)
    sample = (
        f" (told from an evenly spread {formats.number(benchmark.drawn_clients)} of them)"
        if benchmark.drawn_clients < benchmark.both_clients
        else ""
    )
    return (
        f"Of {both} active in both periods {moved} ({share}) changed cell; with nothing changed "
        f"{formats.share(benchmark.chance_share)} would (95% range {interval}){sample}, so this is {verdict}."
    )


def _beyond_words(beyond: int, benchmark: Benchmark) -> str:
    expected = max(1, round(benchmark.expected_reports)) if benchmark.expected_reports >= 0.5 else 0
    by_chance = f"about {formats.number(expected)}" if expected else "none, as a rule"
    judged_ones = (
        f" {formats.number(benchmark.judged_clients)} of those that changed cell were judged, evenly spread."
        if benchmark.judged_clients < benchmark.moved_clients
        else ""
    )
    if not beyond:
        return f"No client moved further than its own ups and downs explain.{judged_ones}"
    own = "its" if beyond == 1 else "their"
    return (
        f"{formats.plural(beyond, 'client')} moved further than {own} own ups and downs explain, where chance would report "
        f"{by_chance}.{judged_ones}"
    )


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
