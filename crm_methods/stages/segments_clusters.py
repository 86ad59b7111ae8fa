"""Whether clients fall into natural clusters, and the table of every client's segment: a room of stage 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.engine import collect
from crm_methods.models.clusters import Partition, best_partition
from crm_methods.models.lifetime_value import CLV_COLUMN
from crm_methods.stages.segments_cluster_profile import cluster_profile, with_traits
from crm_methods.stages.segments_matrix import Matrix
from crm_methods.stages.segments_value import Keep, LifetimeValue
from crm_methods.stages.segments_worth import ClientWorth

MAX_CLIENTS = 500_000


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Clusters(Answer):
    """The best partition of the clients that bought in the period, whether it is natural, and who is in each group.

    ``table`` has one row per cluster (``segments_cluster_profile.PROFILE_COLUMNS``).
    """

    partition: Partition

    @property
    def names(self) -> dict[int, str]:
        """What each cluster is called."""
        return {int(row["cluster"]): str(row["name"]) for row in self.table.to_dict("records")}


@answers("segments.clusters")
def clusters(data: Canonical, settings: Company, economics: nw.LazyFrame[Any]) -> Clusters | Unanswered:
    """Look for natural groups on the log scale of revenue, number of deals and, where known, cost to serve.

    Parameters
    ----------
    economics
        One row per client (``segments.client_economics``).
    """
    bought = economics.filter(nw.col("revenue") > 0, nw.col("deals") > 0).select("client_id", "revenue", "deals", "cost_to_serve")
    rows = collect(with_traits(data, settings, bought).sort("client_id"), max_rows=MAX_CLIENTS)
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
    profile = cluster_profile(rows.assign(cluster=partition.labels["cluster"]).query("cluster > 0"))
    best = "Natural groups" if partition.natural else "The best cut of a base without natural groups"
    best = best if len(profile) > 1 else "The base as one group"
    return Clusters(
        sentence=f"{partition.verdict}{note}{_weightiest(profile, partition)}{_choice(partition, settings)}",
        table=profile,
        caption=f"{best}: clients that bought in the period; revenue, deals, cost and tenure are medians",
        labels={
            "name": "Called", "clients_share": "Of clients", "revenue_share": "Of revenue", "revenue": "Revenue of one",
            "deals": "Deals of one", "cost_to_serve": "Cost to serve one", "tenure_years": "Client for (years)",
            "description": "More than by chance",
        },
        partition=partition,
    )  # fmt: skip


def client_segments(
    data: Canonical,
    settings: Company,
    economics: nw.LazyFrame[Any],
    found: Matrix,
    groups: Clusters | Unanswered,
    value: ClientWorth | LifetimeValue | Unanswered,
    beside: Sequence[nw.LazyFrame[Any]] = (),
) -> nw.LazyFrame[Any]:
    """Every client with its segment, strategy and value: what all later stages read.

    Parameters
    ----------
    beside
        Frames with at most one row per client, ``client_id`` and columns of their own, which are added at the end: how sure
        the cell is, say, or when a regular buyer's next order is due.

    Returns
    -------
    narwhals.LazyFrame
        One row per client: ``client_id``, ``revenue``, ``margin``, ``cost_to_serve``, ``contribution``, ``revenue_level``,
        ``cost_level``, ``state``, ``segment``, ``strategy``, ``cluster``, ``p_alive``, ``expected_purchases``, ``clv`` and
        ``clv_revenue`` (one of the two is missing), and where they are known ``clv_low``, ``clv_high`` (or
        ``clv_revenue_low``, ``clv_revenue_high``), ``population`` and ``time_cost``. With ``segments.by: clusters`` the
        segment is the client's cluster, and its strategy that of the cell most of the cluster's clients are in.
    """
    placed = economics.join(
        found.cells.select("client_id", "revenue_level", "cost_level", "state", "segment", "strategy"), on="client_id", how="left"
    )
    placed = _with_clusters(data, placed, groups, settings)
    placed, more = _with_values(placed, value)
    more += ["time_cost"] if "time_cost" in economics.collect_schema().names() else []
    for frame in beside:
        more += [name for name in frame.collect_schema().names() if name != "client_id"]
        placed = placed.join(frame, on="client_id", how="left")
    return placed.select(
        "client_id", "revenue", "margin", "cost_to_serve", "contribution", "revenue_level", "cost_level", "state", "segment",
        "strategy", "cluster", "p_alive", "expected_purchases", "clv", "clv_revenue", *more,
    )  # fmt: skip


def written_segments(
    data: Canonical,
    settings: Company,
    economics: nw.LazyFrame[Any],
    found: Matrix,
    groups: Clusters | Unanswered,
    worth: ClientWorth | Unanswered,
    keep: Keep,
) -> nw.LazyFrame[Any]:
    """``client_segments``, written and read back: all that comes after scans it many times."""
    frame = client_segments(data, settings, economics, found, groups, worth)
    return keep("client_segments", frame, grain="one row per client", key=["client_id"], totals=["revenue", "cost_to_serve"])


def _weightiest(profile: pd.DataFrame, partition: Partition) -> str:
    """The cluster with most revenue, by its name."""
    if len(profile) < 2:
        return ""
    first = profile.sort_values(["revenue_share", "cluster"], ascending=[False, True]).iloc[0]
    brings = f"{formats.share(first['revenue_share'])} of revenue with {formats.share(first['clients_share'])} of clients"
    which = "groups" if partition.natural else "groups of the best cut"
    return f" Of the {len(profile)} {which}, “{first['name']}” brings {brings}."


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


def _with_values(
    placed: nw.LazyFrame[Any], value: ClientWorth | LifetimeValue | Unanswered
) -> tuple[nw.LazyFrame[Any], list[str]]:
    """The clients with their values, and the columns beyond the usual that the values have."""
    missing = {name: nw.lit(None, nw.Float64) for name in ("p_alive", "expected_purchases", "clv", "clv_revenue")}
    if isinstance(value, Unanswered):
        return placed.with_columns(**missing), []
    column = CLV_COLUMN[value.money]
    there = set(value.values.collect_schema().names())
    more = [name for name in (f"{column}_low", f"{column}_high", "population") if name in there]
    known = value.values.select("client_id", "p_alive", "expected_purchases", column, *more)
    joined = placed.join(known, on="client_id", how="left")
    return joined.with_columns(**{name: lit for name, lit in missing.items() if name in {"clv", "clv_revenue"} - {column}}), more


def _log(values: pd.Series[Any]) -> pd.Series[Any]:
    import numpy as np

    return pd.Series(np.log(values.to_numpy(dtype=float)), index=values.index)
