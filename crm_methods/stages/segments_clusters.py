"""Whether clients fall into natural clusters, and the table of every client's segment: a room of stage 2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.engine import collect
from crm_methods.models.clusters import Partition, best_partition
from crm_methods.stages.segments_matrix import Matrix
from crm_methods.stages.segments_value import LifetimeValue, clv_column

MAX_CLIENTS = 500_000


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Clusters(Answer):
    """The best partition of the clients that bought in the period, and whether it is natural."""

    partition: Partition


@answers("segments.clusters")
def clusters(data: Canonical, settings: Company, economics: nw.LazyFrame[Any]) -> Clusters | Unanswered:
    """Look for natural groups on the log scale of revenue, number of deals and, where known, cost to serve.

    Parameters
    ----------
    economics
        One row per client (``segments.client_economics``).
    """
    bought = (
        economics.filter(nw.col("revenue") > 0, nw.col("deals") > 0)
        .select("client_id", "revenue", "deals", "cost_to_serve")
        .sort("client_id")
    )
    rows = collect(bought, max_rows=MAX_CLIENTS)
    if rows.empty:
        return Unanswered("segments.clusters", "nobody bought in the period.", ("won deals of the period",))
    features = {"log_revenue": _log(rows["revenue"]), "log_deals": _log(rows["deals"])}
    costly = rows.loc[rows["cost_to_serve"] > 0, "cost_to_serve"]
    if len(costly):
        # Who was not served has no logarithm; it stands beside the cheapest client.
        features["log_cost_to_serve"] = _log(rows["cost_to_serve"].clip(lower=costly.min()))
    points = pd.DataFrame({"client_id": rows["client_id"], **features})
    partition = best_partition(points, seed=settings.seed, bootstraps=settings.segments.bootstraps)
    note = f" {partition.note[:1].upper()}{partition.note[1:]}." if partition.note else ""
    return Clusters(
        sentence=f"{partition.verdict}{note}{_choice(partition, settings)}",
        table=_readable_profile(partition),
        caption="The best partition of the clients that bought in the period; medians of each group",
        labels={"clients_share": "Share of clients", "description": "Beside the whole base"},
        partition=partition,
    )


def client_segments(
    data: Canonical,
    settings: Company,
    economics: nw.LazyFrame[Any],
    found: Matrix,
    groups: Clusters | Unanswered,
    value: LifetimeValue | Unanswered,
) -> nw.LazyFrame[Any]:
    """Every client with its segment, strategy and value: what all later stages read.

    Returns
    -------
    narwhals.LazyFrame
        One row per client: ``client_id``, ``revenue``, ``margin``, ``cost_to_serve``, ``contribution``, ``revenue_level``,
        ``cost_level``, ``state``, ``segment``, ``strategy``, ``cluster``, ``p_alive``, ``expected_purchases``, ``clv`` and
        ``clv_revenue`` (one of the two is missing). With ``segments.by: clusters`` the segment is the client's cluster,
        and its strategy that of the cell most of the cluster's clients are in.
    """
    placed = economics.join(
        found.cells.select("client_id", "revenue_level", "cost_level", "state", "segment", "strategy"), on="client_id", how="left"
    )
    placed = _with_clusters(data, placed, groups, settings)
    placed = _with_values(placed, value)
    return placed.select(
        "client_id", "revenue", "margin", "cost_to_serve", "contribution", "revenue_level", "cost_level", "state", "segment",
        "strategy", "cluster", "p_alive", "expected_purchases", "clv", "clv_revenue",
    )  # fmt: skip


def _choice(partition: Partition, settings: Company) -> str:
    """What follows where the company wants clusters as its segments."""
    if settings.segments.by == "matrix":
        return ""
    kind = "" if partition.natural else ", by choice and not because the groups are natural"
    return (
        f" company.yml takes these clusters as the segments{kind}; each follows the strategy of the cell that most of its "
        "clients are in. Clients without revenue in the period belong to none and keep the strategy of their cell."
    )


def _with_clusters(
    data: Canonical, placed: nw.LazyFrame[Any], groups: Clusters | Unanswered, settings: Company
) -> nw.LazyFrame[Any]:
    if isinstance(groups, Unanswered) or groups.partition.labels.empty:
        return placed.with_columns(cluster=nw.lit(None, nw.Int64))
    labels = groups.partition.labels[["client_id", "cluster"]]
    joined = placed.join(data.engine.frame(labels), on="client_id", how="left")
    if settings.segments.by == "matrix":
        return joined
    usual = _usual_strategy(joined)
    segment: nw.Expr = nw.lit("no_cluster")
    strategy: nw.Expr = nw.col("strategy")
    for cluster, follows in usual.items():
        segment = nw.when(nw.col("cluster") == cluster).then(nw.lit(f"cluster_{cluster}")).otherwise(segment)
        strategy = nw.when(nw.col("cluster") == cluster).then(nw.lit(follows)).otherwise(strategy)
    return joined.with_columns(segment=segment, strategy=strategy)


def _usual_strategy(joined: nw.LazyFrame[Any]) -> dict[int, str]:
    """Per cluster, the strategy that most of its clients would follow by the matrix."""
    counts = collect(joined.filter(~nw.col("cluster").is_null()).group_by("cluster", "strategy").agg(nw.len().alias("n")))
    ordered = counts.sort_values(["cluster", "n", "strategy"], ascending=[True, False, True]).drop_duplicates("cluster")
    return {int(row.cluster): str(row.strategy) for row in ordered.itertuples()}


def _with_values(placed: nw.LazyFrame[Any], value: LifetimeValue | Unanswered) -> nw.LazyFrame[Any]:
    missing = {name: nw.lit(None, nw.Float64) for name in ("p_alive", "expected_purchases", "clv", "clv_revenue")}
    if isinstance(value, Unanswered):
        return placed.with_columns(**missing)
    column = clv_column(value)
    joined = placed.join(value.values.select("client_id", "p_alive", "expected_purchases", column), on="client_id", how="left")
    return joined.with_columns(**{name: lit for name, lit in missing.items() if name in {"clv", "clv_revenue"} - {column}})


def _log(values: pd.Series[Any]) -> pd.Series[Any]:
    import numpy as np

    return pd.Series(np.log(values.to_numpy(dtype=float)), index=values.index)


def _readable_profile(partition: Partition) -> pd.DataFrame:
    """The profile with medians back from the log scale."""
    import numpy as np

    profile = partition.profile
    readable = {name: np.exp(profile[name]) for name in profile.columns if name.startswith("log_")}
    table = profile.assign(**readable).rename(columns={name: name.removeprefix("log_") for name in readable})
    return table[["cluster", "clients", "clients_share", *[n.removeprefix("log_") for n in readable], "description"]]
