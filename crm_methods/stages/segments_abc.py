"""Which clients carry the revenue, and how steadily they bring it: ABC and XYZ classes. A room of stage 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import current_period
from crm_methods.company.settings import Company
from crm_methods.engine import as_float, collect, day_number, day_of, month_number, month_of, month_start
from crm_methods.models.concentration import cumulative_cuts, gini, top_shares

SHARES: Mapping[str, float] = {"A": 0.80, "B": 0.95}
"""Shares of revenue, from the largest client down, that the classes A and A with B bring; C brings the rest."""
STEADY: Mapping[str, float] = {"X": 0.5, "Y": 1.0}
"""Highest coefficients of variation of monthly revenue of the classes X and Y; Z is beyond."""
MONTHS = 24
"""Months, at most, over which steadiness is judged."""
MIN_MONTHS = 6
"""Months since the first purchase below which a client is new: its steadiness can't be judged."""

ABC = ("A", "B", "C", "none")
XYZ = ("X", "Y", "Z", "new", "none")
_LABELS = {"none": "No revenue", "new": "New"}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class AbcXyz(Answer):
    """Revenue and its steadiness.

    ``per_client`` (lazy) has one row per client that ever bought: ``client_id``, ``revenue`` (of the period), ``abc`` (A · B · C
    · none), ``months`` (over which steadiness is judged), ``variation`` (coefficient of variation of monthly revenue),
    ``xyz`` (X · Y · Z · new · none). ``cells`` has one row per pair that a client has: ``abc``, ``xyz``, ``clients``,
    ``clients_share``, ``revenue``, ``revenue_share`` (of the revenue of clients that brought any; missing for the others).
    ``top`` has one row per number of largest names: ``names``,
    ``revenue_share``; ``gini`` is there from 300 clients with revenue on.
    """

    per_client: nw.LazyFrame[Any]
    cells: pd.DataFrame
    top: pd.DataFrame
    gini: float | None


@answers("segments.abc")
def abc_xyz(data: Canonical, settings: Company) -> AbcXyz | Unanswered:
    """Class every client by its share of the period's revenue (ABC) and by how steady its months are (XYZ).

    A brings the first 80 % of revenue, from the largest client down, B the next 15 %, C the rest; clients of equal revenue
    have one class. X, Y and Z are coefficients of variation (standard deviation over mean) of monthly revenue up to 0.5, up
    to 1 and beyond, over the last 24 whole months or as many as are on record, months without a purchase counted as
    zero and those before the first purchase not counted.

    References
    ----------
    Dickie (1951), "ABC inventory analysis shoots for dollars, not pennies", Factory Management and Maintenance 109; Scholz-Reiter
    et al. (2012), "Integration of demand forecasts in ABC-XYZ analysis", Int. J. of Productivity and Performance Management 61.
    """
    won = _won(data, settings)
    last = month_of(settings.as_of) - (0 if pd.Timestamp(settings.as_of).is_month_end else 1)
    begins = collect(won.filter(nw.col("amount") >= 0).select(month=nw.col("month").min()))["month"]
    if begins.isna().all():
        return Unanswered("segments.abc", "nobody has bought up to the as-of day.", ("won deals with their dates",))
    first = max(last - MONTHS + 1, int(begins.iloc[0]))
    summed = _summed(won, settings, first, last)
    cuts = cumulative_cuts(summed, "revenue", SHARES)
    if cuts["A"] is None:
        return Unanswered(
            "segments.abc", f"no client has revenue from {current_period(settings).label}.", ("won deals of the period",)
        )
    classed = summed.with_columns(abc=_abc(cuts), xyz=_xyz())
    cells = _cells(classed)
    top = top_shares(summed, "revenue").rename(columns={"share": "revenue_share"})
    unequal = gini(summed, "revenue")
    return AbcXyz(
        sentence=_sentence(cells, top, unequal, first, last),
        table=_table(cells),
        caption=f"Clients by share of revenue ({current_period(settings).label}) and by steadiness of its months",
        labels={
            "abc": "Revenue",
            "revenue_share": "Share of positive revenue",
            **{f"class_{name.lower()}": _LABELS.get(name, name) for name in XYZ},
        },
        per_client=classed.select("client_id", "revenue", "abc", "months", "variation", "xyz"),
        cells=cells,
        top=top,
        gini=unequal,
    )


def _won(data: Canonical, settings: Company) -> nw.LazyFrame[Any]:
    """Won deals up to the as-of day, returns among them: ``client_id``, ``day``, ``month``, ``amount``."""
    won = data.scan("deals").filter(nw.col("status") == "won", ~nw.col("closed_on").is_null(), ~nw.col("amount").is_null())
    dated = won.select("client_id", day=day_number("closed_on"), month=month_number("closed_on"), amount=as_float("amount"))
    return dated.filter(nw.col("day") <= day_of(settings.as_of))


def _summed(won: nw.LazyFrame[Any], settings: Company, first: int, last: int) -> nw.LazyFrame[Any]:
    """One row per client that ever bought: revenue of the period, and mean and variation of its months."""
    within = nw.when(nw.col("month").is_between(first, last)).then(nw.col("amount")).otherwise(nw.lit(0.0))
    now = nw.when(nw.col("day") >= day_of(current_period(settings).start)).then(nw.col("amount")).otherwise(nw.lit(0.0))
    bought = nw.when(nw.col("amount") >= 0).then(nw.col("month")).otherwise(nw.lit(None, nw.Int64))
    monthly = (
        won.with_columns(_within=within, _now=now, _bought=bought)
        .group_by("client_id", "month")
        .agg(nw.col("_within").sum(), nw.col("_now").sum(), nw.col("_bought").min())
    )
    summed = (
        monthly.with_columns(_square=nw.col("_within") * nw.col("_within"))
        .group_by("client_id")
        .agg(nw.col("_within").sum(), nw.col("_square").sum(), nw.col("_bought").min(), revenue=nw.col("_now").sum())
        .filter(~nw.col("_bought").is_null())
    )
    months = nw.max_horizontal(nw.lit(last + 1) - nw.max_horizontal(nw.col("_bought"), nw.lit(first)), nw.lit(0))
    return summed.with_columns(months=months.cast(nw.Int64)).select(
        "client_id",
        "months",
        # Rounded, so that the order in which an engine adds up divides no equal clients.
        revenue=nw.col("revenue").round(4),
        variation=_variation(),
    )


def _variation() -> nw.Expr:
    """Coefficient of variation with n − 1 in its variance; missing where nothing was brought, or in a single month."""
    n, total = nw.col("months"), nw.col("_within")
    enough = (n > 1) & (total > 0)
    months = nw.when(n > 1).then(n).otherwise(nw.lit(2))
    mean = nw.when(enough).then(total).otherwise(nw.lit(1.0)) / months
    spread = nw.max_horizontal(nw.col("_square") - mean * mean * months, nw.lit(0.0)) / (months - 1)
    return nw.when(enough).then((spread.sqrt() / mean).round(6)).otherwise(nw.lit(None, nw.Float64))


def _abc(cuts: Mapping[str, float | None]) -> nw.Expr:
    revenue = nw.col("revenue")
    name: nw.Expr = nw.when(revenue > 0).then(nw.lit("C")).otherwise(nw.lit("none"))
    for letter in reversed(list(SHARES)):
        name = nw.when(revenue >= cuts[letter]).then(nw.lit(letter)).otherwise(name)
    return name


def _xyz() -> nw.Expr:
    variation = nw.col("variation")
    name: nw.Expr = nw.lit("Z")
    for letter in reversed(list(STEADY)):
        name = nw.when(variation <= STEADY[letter]).then(nw.lit(letter)).otherwise(name)
    known = nw.when(variation.is_null()).then(nw.lit("none")).otherwise(name)
    return nw.when(nw.col("months") < MIN_MONTHS).then(nw.lit("new")).otherwise(known)


def _cells(classed: nw.LazyFrame[Any]) -> pd.DataFrame:
    counted = classed.group_by("abc", "xyz").agg(nw.len().alias("clients"), nw.col("revenue").sum())
    found = collect(counted.with_columns(nw.col("revenue").round(4)))
    places = {name: place for place, name in enumerate((*ABC, *XYZ[:-1]))}
    ordered = found.sort_values(["abc", "xyz"], key=lambda names: names.map(places), ignore_index=True)
    # Returns beyond purchases take nothing from the shares of the others.
    positive = ordered["revenue"].where(ordered["abc"] != "none")
    total = float(positive.sum())
    shares = ordered.astype({"clients": "int64"}).assign(
        clients_share=ordered["clients"] / ordered["clients"].sum(),
        revenue_share=positive / total if total > 0 else float("nan"),
    )
    return shares[["abc", "xyz", "clients", "clients_share", "revenue", "revenue_share"]]


def _table(cells: pd.DataFrame) -> pd.DataFrame:
    """One row per class of revenue, clients by steadiness across."""
    wide = cells.pivot(index="abc", columns="xyz", values="clients").reindex(index=list(ABC), columns=list(XYZ)).fillna(0)
    sums = cells.groupby("abc")[["clients", "clients_share", "revenue", "revenue_share"]].sum(min_count=1).reindex(list(ABC))
    counts = wide.astype("int64").rename(columns={name: f"class_{name.lower()}" for name in XYZ})
    table = pd.concat([sums, counts], axis="columns")[sums["clients"].notna()].astype({"clients": "int64"})
    shown = table.rename_axis("abc").reset_index()
    return shown.assign(abc=[_LABELS.get(name, name) for name in shown["abc"]])


def _sentence(cells: pd.DataFrame, top: pd.DataFrame, unequal: float | None, first: int, last: int) -> str:
    paying = cells[cells["abc"] != "none"]
    rare = "A client that orders rarely has uneven months even where it orders like a clock."
    lost = float(cells.loc[cells["abc"] == "none", "revenue"].sum())
    returned = "Shares are of positive revenue: clients whose returns exceed their purchases don't count." if lost < 0 else ""
    words = [_class_words(paying), returned, _top_words(top, unequal), _steady_words(paying, first, last), rare]
    return " ".join(word for word in words if word)


def _class_words(paying: pd.DataFrame) -> str:
    clients, revenue = (paying.groupby("abc")[name].sum() for name in ("clients", "revenue"))
    count, shares = int(clients.sum()), revenue / revenue.sum()
    if count == 1:
        return "One client brings all of the revenue."
    if clients["A"] == count:
        return f"It takes all {formats.number(count)} clients to bring {formats.share(SHARES['A'])} of revenue (class A)."
    large = f"{formats.number(clients['A'])} ({formats.share(clients['A'] / count)})"
    does = "brings" if clients["A"] == 1 else "bring"
    return (
        f"Of {formats.plural(count, 'client')} with revenue, {large} {does} {formats.share(shares['A'])} of it (class A)"
        f"{_others_words(clients, shares)}."
    )


def _others_words(clients: pd.Series[Any], revenue: pd.Series[Any]) -> str:
    others = [
        f"{formats.number(clients[name])} {formats.share(revenue[name])} ({name})" for name in ("B", "C") if name in clients
    ]
    return f", {formats.join(others)}" if others else ""


def _top_words(top: pd.DataFrame, unequal: float | None) -> str:
    """The Gini coefficient where there are clients enough, else the shares of the first names."""
    if unequal is not None:
        return f"The Gini coefficient is {formats.number(unequal, 2)}."
    if len(top) == 1:
        return ""
    first, *others = top.itertuples()
    held = [f"the {row.names} largest {formats.share(row.revenue_share)}" for row in others]
    return f"The largest brings {formats.share(first.revenue_share)}, {formats.join(held)}."


def _steady_words(paying: pd.DataFrame, first: int, last: int) -> str:
    months = last - first + 1
    if months < MIN_MONTHS:
        found = formats.plural(max(months, 0), "whole month")
        return f"Steadiness can't be judged: {found} on record, and {MIN_MONTHS} are the least."
    great = paying[paying["abc"] == "A"]
    steady = great[great["xyz"].isin(list(STEADY))]
    fresh = int(great.loc[great["xyz"] == "new", "clients"].sum())
    share = float(steady["revenue"].sum() / paying["revenue"].sum())
    young = f"; {formats.number(fresh)} {'is' if fresh == 1 else 'are'} too new to tell" if fresh else ""
    count, when = int(steady["clients"].sum()), f"{formats.month(month_start(first))} to {formats.month(month_start(last))}"
    if not count:
        return f"No client of class A is steady (X or Y, {when}){young}."
    verbs = ("is", "brings") if count == 1 else ("are", "bring")
    return f"{formats.number(count)} of class A {verbs[0]} steady (X or Y, {when}) and {verbs[1]} {formats.share(share)}{young}."
