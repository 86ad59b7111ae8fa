"""Who the clients of each cluster are, in words by which a manager recognises them. A room of stage 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from scipy import stats

from crm_methods import formats
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.engine import day_number, day_of

STANDS_OUT = 1 / 3
AT_LEAST = 1.25
"""What makes a cluster large, frequent or costly: a mean so many standard deviations of the base, and so many times, away."""
MIN_MEMBERS = 5
"""Categories of fewer clients are not tested."""
SHOWN_CATEGORIES = 2
FALSE_DISCOVERIES = 0.05
PROFILE_COLUMNS = (
    "cluster", "name", "clients", "clients_share", "revenue_share", "revenue", "deals", "cost_to_serve", "tenure_years",
    "description",
)  # fmt: skip

_CATEGORIES = ("industry", "territory")
_DAYS_PER_YEAR = 365.25


def with_traits(data: Canonical, settings: Company, bought: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """The same clients with ``industry``, ``territory`` and ``tenure_years``, from the first deal or an earlier day noted."""
    won = data.scan("deals").filter(nw.col("status") == "won", ~nw.col("closed_on").is_null())
    first = won.group_by("client_id").agg(_first=day_number("closed_on").min())
    known = data.scan("clients").select("client_id", *_CATEGORIES, _since=day_number("since"))
    joined = bought.join(known, on="client_id", how="left").join(first, on="client_id", how="left")
    begun = nw.min_horizontal(nw.coalesce(nw.col("_since"), nw.col("_first")), nw.coalesce(nw.col("_first"), nw.col("_since")))
    years = (nw.lit(float(day_of(settings.as_of) + 1)) - begun) / _DAYS_PER_YEAR
    return joined.with_columns(tenure_years=years).drop("_since", "_first")


def cluster_profile(members: pd.DataFrame) -> pd.DataFrame:
    """One row per cluster: what it is called, how large it is, its medians, and who is in it.

    Parameters
    ----------
    members
        One row per client: ``cluster`` (from 1), ``revenue`` and ``deals`` above 0, ``cost_to_serve`` (may be missing),
        ``industry``, ``territory`` and ``tenure_years`` (may be missing).

    Returns
    -------
    pandas.DataFrame
        ``PROFILE_COLUMNS``: ``revenue``, ``deals``, ``cost_to_serve`` and ``tenure_years`` are medians, shares 0–1. Columns
        that nobody has a value in are left out. ``name`` is unique.

    Notes
    -----
    Large, frequent and costly are means of logarithms that lie a third of the base's standard deviation and a factor of
    1.25 or more from its mean; costly is what exceeds the usual cost of the same revenue. An industry or territory is named
    where it is more common than in the base by more than chance (hypergeometric, one-sided), tenure where it differs from
    all other clients' (Mann and Whitney), corrected by Benjamini and Hochberg over all that were tested.
    """
    numbers = sorted(members["cluster"].unique())
    standing = _standing(members)
    found = _traits(members, numbers)
    rows = []
    for number in numbers:
        own = members[members["cluster"] == number]
        rows.append(
            {
                "cluster": int(number), "name": "", "clients": len(own), "clients_share": len(own) / len(members),
                "revenue_share": float(own["revenue"].sum() / members["revenue"].sum()),
                **{name: own[name].median() for name in ("revenue", "deals", "cost_to_serve", "tenure_years")},
                "description": _described(found[number]),
            }
        )  # fmt: skip
    table = pd.DataFrame(rows, columns=list(PROFILE_COLUMNS))
    table["name"] = _names([standing.loc[number] for number in numbers], [found[number] for number in numbers])
    return table.dropna(axis="columns", how="all")


def _standing(members: pd.DataFrame) -> pd.DataFrame:
    """Per cluster, how far its mean size, frequency and cost lie from the base's, in the base's standard deviations."""
    size, frequency = np.log(members["revenue"]), np.log(members["deals"].astype(float))
    features = pd.DataFrame({"size": size, "frequency": frequency, "cost": _beyond_size(members["cost_to_serve"], size)})
    spread = features.std(ddof=0)
    away = (features - features.mean()).groupby(members["cluster"].to_numpy()).mean()
    return away.div(spread.where(spread > 0)).where(away.abs() >= np.log(AT_LEAST), 0.0).fillna(0.0)


def _beyond_size(cost: pd.Series[Any], size: pd.Series[Any]) -> pd.Series[Any]:
    """Log cost beyond what clients of the same revenue usually cost; who cost nothing stands beside the cheapest."""
    paid = cost[cost > 0]
    if paid.empty:
        return pd.Series(np.nan, index=cost.index)
    logs = np.log(cost.clip(lower=paid.min()))
    centred = size - size.mean()
    spread = float((centred**2).sum())
    slope = float((centred * logs).sum()) / spread if spread > 1e-9 else 0.0
    return logs - slope * centred


def _traits(members: pd.DataFrame, numbers: Sequence[int]) -> dict[int, pd.DataFrame]:
    """Per cluster, what sets its clients apart beyond chance: one row per industry, territory or tenure that does."""
    tests = [row for number in numbers for row in (*_over_represented(members, number), *_tenure(members, number))]
    columns = ["cluster", "what", "name", "lift", "inside", "known", "p_value"]
    table = pd.DataFrame(tests, columns=columns)
    q_values = stats.false_discovery_control(table["p_value"]) if len(table) else []
    table = table.assign(q_value=q_values)
    clear = table[table["q_value"] <= FALSE_DISCOVERIES].sort_values(["q_value", "name"])
    return {number: clear[clear["cluster"] == number] for number in numbers}


def _over_represented(members: pd.DataFrame, number: int) -> list[tuple[Any, ...]]:
    """Each industry and territory of a cluster with its lift and the chance of so many clients of it."""
    rows: list[tuple[Any, ...]] = []
    for what in _CATEGORIES:
        named = one_spelling(members[what]).dropna()
        inside = named[members.loc[named.index, "cluster"] == number]
        sizes, own = named.value_counts(), inside.value_counts()
        for name in sorted(str(n) for n in sizes[sizes >= MIN_MEMBERS].index):
            common, here = int(sizes[name]), int(own.get(name, 0))
            if here and common < len(named):
                lift = here / len(inside) / (common / len(named))
                p_value = float(stats.hypergeom.sf(here - 1, len(named), common, len(inside)))
                rows.append((number, what, name, lift, here, len(inside), p_value))
    return rows


def _tenure(members: pd.DataFrame, number: int) -> list[tuple[Any, ...]]:
    known = members.dropna(subset=["tenure_years"])
    own = known.loc[known["cluster"] == number, "tenure_years"]
    others = known.loc[known["cluster"] != number, "tenure_years"]
    if min(len(own), len(others)) < MIN_MEMBERS or known["tenure_years"].nunique() < 2:
        return []
    p_value = float(stats.mannwhitneyu(own, others, method="asymptotic").pvalue)
    longer = own.median() > others.median()
    return [(number, "tenure", "longer" if longer else "shorter", float(own.median()), len(own), len(known), p_value)]


def one_spelling(values: pd.Series[Any]) -> pd.Series[Any]:
    """Spellings that differ in case, spaces and punctuation alone as one, the commonest; missing stays missing."""
    known = values.dropna().astype(str)
    key = known.str.casefold().str.replace(r"[\W_]+", "", regex=True)
    counted = pd.DataFrame({"key": key, "name": known}).value_counts().reset_index()
    commonest = counted.sort_values(["count", "name"], ascending=[False, True]).drop_duplicates("key").set_index("key")["name"]
    return key.map(commonest).reindex(values.index)


def _described(found: pd.DataFrame) -> str:
    named = found[found["what"] != "tenure"].head(SHOWN_CATEGORIES)
    parts = [
        f"{row.name} {formats.number(row.lift, 1)} times as common as in the base ({row.inside} of {row.known})"
        for row in named.itertuples(index=False)
    ]
    tenure = found[found["what"] == "tenure"]
    if len(tenure):
        row = tenure.iloc[0]
        parts.append(f"clients for {formats.number(row['lift'], 1)} years in the median, {row['name']} than others")
    said = "; ".join(parts)
    return f"{said[:1].upper()}{said[1:]}" if said else "No industry, territory or tenure stands out beyond chance"


def _names(standings: Sequence[pd.Series[Any]], found: Sequence[pd.DataFrame]) -> list[str]:
    """Short names of the clusters in their order, told apart where two would be the same."""
    if len(standings) == 1:
        return ["All clients that bought"]
    names = [_name(standing) for standing in standings]
    for place, own in enumerate(found):
        category = own[own["what"] != "tenure"]["name"]
        if names.count(names[place]) > 1 and len(category):
            names[place] = f"{names[place]}, often {category.iloc[0]}"
    sizes = [float(standing["size"]) for standing in standings]
    return [_told_apart(place, names, sizes) for place in range(len(names))]


def _told_apart(place: int, names: Sequence[str], sizes: Sequence[float]) -> str:
    """A name that another cluster has too, with what tells the two apart: their size, or the number where they are more."""
    same = [other for other, name in enumerate(names) if name == names[place]]
    if len(same) == 1:
        return names[place]
    if len(same) > 2 or sizes[same[0]] == sizes[same[1]]:
        return f"{names[place]} ({place + 1})"
    larger = place == max(same, key=lambda other: sizes[other])
    return f"{names[place]} ({'the larger' if larger else 'the smaller'})"


def _name(standing: Mapping[Any, float] | pd.Series[Any]) -> str:
    words = [
        _word(standing["size"], "large", "small") or "mid-sized",
        _word(standing["frequency"], "frequent", "occasional"),
        _word(standing["cost"], "costly to serve", "cheap to serve"),
    ]
    said = ", ".join(word for word in words if word)
    return f"{said[:1].upper()}{said[1:]}"


def _word(value: float, high: str, low: str) -> str:
    return high if value >= STANDS_OUT else low if value <= -STANDS_OUT else ""
