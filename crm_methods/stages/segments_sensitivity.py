"""Which clients would stand in another cell if the price of a minute were wrong. A room of stage 2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import current_period
from crm_methods.company.settings import Company
from crm_methods.engine import collect
from crm_methods.models import cost_to_serve as tdabc
from crm_methods.stages.segments import CostToServe, evenly_spread, pools
from crm_methods.stages.segments_cuts import Cuts
from crm_methods.stages.segments_matrix import Matrix

CHANGE = 0.2
"""Share by which each rate is moved up and down."""
MAX_POOLS = 10
"""Pools whose rates are moved one by one; those that cost less than these are moved together."""
MAX_CLIENTS = 500_000
"""Clients in memory; of more, cuts are drawn from as many, evenly spread, and the cells are told in the engine."""

OTHERS = "all other pools"

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RateSensitivity(Answer):
    """How many clients change cell when a rate moves; ``table`` has one row per pool and direction.

    ``by_client`` (lazy) has one row per client: ``client_id`` and ``cell_holds`` (1 where the cell is the same under all
    rates, else 0). ``steady_clients`` of ``clients`` are those.
    """

    by_client: nw.LazyFrame[Any]
    steady_clients: int
    clients: int


@dataclass(frozen=True, slots=True)
class _Scenario:
    """A pool's place among the columns of time costs, its name, and by how much its rate moves."""

    place: int
    pool: str
    change: float


@answers("segments.matrix")
def rate_sensitivity(
    data: Canonical, settings: Company, economics: nw.LazyFrame[Any], cost: CostToServe, matrix: Matrix
) -> RateSensitivity | Unanswered:
    """Every client's cell, told anew with each pool's rate a fifth higher and a fifth lower.

    Costs, the line of usual cost and the cuts move with the rate; cells are those by the cuts alone, without hysteresis.
    It says how far the result hangs on rates, not how sure the recorded minutes are.

    Parameters
    ----------
    economics
        One row per client (``segments.client_economics``).
    cost, matrix
        ``segments.cost_to_serve`` and ``segments_matrix.matrix``.
    """
    names = _moved_pools(cost.table)
    if matrix.cost_axis == "unknown" or not names:
        return Unanswered("segments.matrix", "no pool's rate has a part in any client's cost to serve.", ("a cost ledger",))
    frame = _with_time_costs(data, settings, cost, matrix.cells.join(economics.select("client_id", "cost_to_serve"),
                             on="client_id", how="left"), names)  # fmt: skip
    scenarios = [_Scenario(place, name, change) for place, name in enumerate(names) for change in (CHANGE, -CHANGE)]
    clients = int(matrix.summary["clients"].sum())
    if clients <= MAX_CLIENTS:
        rows = collect(frame.sort("client_id"), max_rows=MAX_CLIENTS)
        changed = _changed_in_memory(rows, scenarios, matrix.cuts, settings)
        moved = changed.sum(axis=1).tolist()
        holds = (~changed.any(axis=0)).astype("int64")
        by_client = data.engine.frame(pd.DataFrame({"client_id": rows["client_id"], "cell_holds": holds}))
        steady = int(holds.sum())
    else:
        by_client, moved, steady = _changed_in_engine(frame, scenarios, matrix.cuts, settings)
    table = _table(cost.table, names, scenarios, moved, clients)
    return RateSensitivity(
        sentence=_sentence(table, steady, clients) + _sample_words(clients),
        table=table,
        caption=f"Clients that would stand in another cell if the rate of one pool were {formats.share(CHANGE)} off, "
        f"{current_period(settings).label}",
        labels={"rate_change": "Its rate", "allocated_cost": "Cost given to clients", "clients_share": "Share of clients"},
        by_client=by_client,
        steady_clients=steady,
        clients=clients,
    )


def _moved_pools(table: pd.DataFrame) -> list[str]:
    """Pools by what they give to clients, the dearest first; many small ones stand together."""
    used = table[table["allocated_cost"] > 0].sort_values(["allocated_cost", "pool"], ascending=[False, True])
    names = [str(name) for name in used["pool"]]
    return names if len(names) <= MAX_POOLS else [*names[: MAX_POOLS - 1], OTHERS]


def _with_time_costs(
    data: Canonical, settings: Company, cost: CostToServe, cells: nw.LazyFrame[Any], names: list[str]
) -> nw.LazyFrame[Any]:
    """One row per client: both axes, and ``time_0``, ``time_1`` … that each pool's minutes cost."""
    period = current_period(settings)
    work = tdabc.priced_work(
        data.scan("interactions"), cost.table, start=period.start, end=period.end, pools=pools(settings), by=("client_id",)
    )
    pool, columns = nw.col("pool"), [f"time_{place}" for place in range(len(names))]
    named = [name for name in names if name != OTHERS]
    here = {column: pool == name if name != OTHERS else ~pool.is_in(named) for column, name in zip(columns, names, strict=True)}
    times = {column: nw.when(condition).then(nw.col("time_cost")).otherwise(nw.lit(0.0)) for column, condition in here.items()}
    summed = work.select("client_id", **times).group_by("client_id").agg(*(nw.col(column).sum() for column in columns))
    joined = cells.join(summed, on="client_id", how="left")
    filled = [nw.col(column).fill_null(0.0) for column in ("axis_revenue", "cost_to_serve", *columns)]
    return joined.select("client_id", *filled)


def _changed_in_memory(rows: pd.DataFrame, scenarios: list[_Scenario], cuts: Cuts, settings: Company) -> NDArray[np.bool_]:
    """Whether each client (in columns) changes cell under each scenario (in rows)."""
    revenue, cost = (rows[name].to_numpy(dtype=float) for name in ("axis_revenue", "cost_to_serve"))
    usual = cuts.redrawn(revenue, cost, settings).places(revenue, cost).high_cost
    changed = []
    for scenario in scenarios:
        moved = _moved_cost(rows, scenario)
        changed.append(cuts.redrawn(revenue, moved, settings).places(revenue, moved).high_cost != usual)
    return np.array(changed)


def _moved_cost(rows: pd.DataFrame, scenario: _Scenario) -> Floats:
    cost: Floats = rows["cost_to_serve"].to_numpy(dtype=float) + scenario.change * rows[f"time_{scenario.place}"].to_numpy(
        dtype=float
    )
    return cost


def _changed_in_engine(
    frame: nw.LazyFrame[Any], scenarios: list[_Scenario], cuts: Cuts, settings: Company
) -> tuple[nw.LazyFrame[Any], list[int], int]:
    """The same where clients are too many for memory: cuts from a sample, cells in the engine."""
    sample = collect(evenly_spread(frame, MAX_CLIENTS), max_rows=MAX_CLIENTS)
    revenue = sample["axis_revenue"].to_numpy(dtype=float)
    told = frame.with_columns(_cost=nw.col("cost_to_serve"))
    told = told.with_columns(_usual=_level(cuts.redrawn(revenue, sample["cost_to_serve"].to_numpy(dtype=float), settings)))
    for number, scenario in enumerate(scenarios):
        drawn = cuts.redrawn(revenue, _moved_cost(sample, scenario), settings)
        told = told.with_columns(cost_to_serve=nw.col("_cost") + nw.col(f"time_{scenario.place}") * scenario.change)
        other = nw.when(_level(drawn) == nw.col("_usual")).then(nw.lit(0)).otherwise(nw.lit(1))
        told = told.with_columns(**{f"moved_{number}": other})
    columns = [f"moved_{number}" for number in range(len(scenarios))]
    most = nw.max_horizontal(*(nw.col(column) for column in columns))
    told = told.with_columns(cell_holds=nw.lit(1) - most)
    counts = collect(told.select(*(nw.col(column).sum() for column in (*columns, "cell_holds")))).iloc[0]
    return told.select("client_id", "cell_holds"), [int(counts[c]) for c in columns], int(counts["cell_holds"])


def _level(cuts: Cuts) -> nw.Expr:
    return cuts.cost_level(cuts.cost_axis)


def _table(pools_: pd.DataFrame, names: list[str], scenarios: list[_Scenario], moved: list[int], clients: int) -> pd.DataFrame:
    allocated = pools_.set_index("pool")["allocated_cost"]
    given = {name: float(allocated.drop([n for n in names if n != OTHERS]).sum() if name == OTHERS else allocated[name])
             for name in names}  # fmt: skip
    share = formats.share(CHANGE)
    return pd.DataFrame(
        {
            "pool": [scenario.pool for scenario in scenarios],
            "rate_change": [f"{share} {'higher' if scenario.change > 0 else 'lower'}" for scenario in scenarios],
            "allocated_cost": [given[scenario.pool] for scenario in scenarios],
            "clients_in_another_cell": moved,
            "clients_share": [count / max(1, clients) for count in moved],
        }
    )


def _sentence(table: pd.DataFrame, steady: int, clients: int) -> str:
    share = formats.share(CHANGE)
    if steady == clients:
        return f"No client would change cell if the rate of any one pool were {share} higher or lower."
    most = table.loc[table["clients_in_another_cell"].idxmax()]
    moving = int(most["clients_in_another_cell"])
    kept = f"{formats.number(steady)} of {formats.plural(clients, 'client')} ({formats.share(steady / clients)})"
    return (
        f"{kept} would stay in the same cell if the rate of any one pool were {share} higher or lower. Most hangs on "
        f"“{most['pool']}”: with its rate {most['rate_change']}, {formats.plural(moving, 'client')} "
        f"({formats.share(most['clients_share'], 1)}) would change cell. The others stand so near to a border that no decision "
        "should rest on their cell alone."
    )


def _sample_words(clients: int) -> str:
    if clients <= MAX_CLIENTS:
        return ""
    return f" The cuts under each rate are drawn from {formats.number(MAX_CLIENTS)} clients at most, evenly spread over all."
