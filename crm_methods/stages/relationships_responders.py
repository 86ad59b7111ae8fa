"""For whom satisfaction scores speak: clients that answered beside those that did not. A room of stage 6."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from scipy import stats

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import current_period
from crm_methods.company.settings import Company
from crm_methods.engine import as_float, collect
from crm_methods.stages.relationships_satisfaction import Satisfaction, is_within, survey_answers

QUESTION = "relationships.satisfaction"


@answers(QUESTION)
def responders(data: Canonical, settings: Company, segments: nw.LazyFrame[Any], found: Satisfaction) -> Answer | Unanswered:
    """Revenue of the clients that answered and of those that did not: for whom the scores speak.

    Only clients with revenue in the period are compared; who was asked is not in the data.
    """
    period = current_period(settings)
    own = survey_answers(data).filter(is_within(period), nw.col("by_staff") == 0)
    answered = own.select("client_id").unique().with_columns(_answered=nw.lit(1))
    buying = segments.filter(nw.col("revenue") > 0).select("client_id", "revenue").join(answered, on="client_id", how="left")
    revenue = as_float("revenue")
    placed = buying.select(revenue=revenue, squares=revenue * revenue, _answered=nw.col("_answered").fill_null(0))
    sums = placed.group_by("_answered").agg(nw.len().alias("clients"), nw.col("revenue", "squares").sum())
    groups = collect(sums).set_index("_answered")
    if set(groups.index) != {0, 1}:
        who = "every" if 1 in groups.index else "no"
        reason = f"{who} client with revenue in the period answered, so there are no two groups to compare."
        return Unanswered(QUESTION, reason)
    table = groups.loc[[1, 0]].assign(
        group=["Answered", "Did not answer"],
        mean_revenue=lambda g: g["revenue"] / g["clients"],
        revenue_share=lambda g: g["revenue"] / g["revenue"].sum(),
        clients_share=lambda g: g["clients"] / g["clients"].sum(),
    )
    shown = ["group", "clients", "clients_share", "revenue", "revenue_share", "mean_revenue"]
    return Answer(
        sentence=_responder_sentence(table, settings.currency),
        table=table[shown].reset_index(drop=True),
        caption=f"Clients with revenue, by whether they answered a survey, {period.label}",
        labels={
            "group": "Clients",
            "clients": "How many",
            "clients_share": "Share of clients",
            "mean_revenue": "Revenue per client",
        },
    )


def _responder_sentence(table: pd.DataFrame, currency: str) -> str:
    yes = table.loc[1]
    who = f"The {formats.plural(yes['clients'], 'buying client')} that answered ({formats.share(yes['clients_share'])})"
    speaks = f"{who} brought {formats.share(yes['revenue_share'])} of revenue"
    gap, half = _welch(table)
    if half is None:
        return f"{speaks}."
    way, more, size = (1, "more", "larger") if gap >= 0 else (-1, "less", "smaller")
    low, high = way * gap - half, way * gap + half
    span = formats.interval(low, high, lambda value: formats.money(value, currency))
    difference = f"{formats.money(abs(gap), currency)} {more} per client than those that did not ({span})"
    if low <= 0:
        return f"{speaks}: {difference}, which proves no difference in size."
    return f"{speaks}: {difference}, so the scores speak for {size} clients first."


def _welch(table: pd.DataFrame) -> tuple[float, float | None]:
    """Difference of mean revenue and half its 95 % interval (Welch); None with a group of one or no spread."""
    n, mean = table["clients"].to_numpy(dtype=float), table["mean_revenue"].to_numpy(dtype=float)
    gap = float(mean[0] - mean[1])
    if n.min() < 2:
        return gap, None
    parts = np.maximum(0.0, table["squares"].to_numpy(dtype=float) - n * mean**2) / (n - 1) / n
    if parts.sum() <= 0:
        return gap, None
    freedom = parts.sum() ** 2 / (parts**2 / (n - 1)).sum()
    return gap, float(stats.t.ppf(0.975, freedom) * np.sqrt(parts.sum()))
