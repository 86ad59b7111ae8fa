"""Stage 1: what won and lost deals say, and when differences between groups are no larger than chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import current_period
from crm_methods.company.settings import Company
from crm_methods.engine import as_float, collect, day_number
from crm_methods.models import rates
from crm_methods.models.heterogeneity import MIN_DECIDED, SIGNIFICANT, Spread, spread_between_clients, spread_of_win_rates
from crm_methods.models.share_changes import CHANGE, JUDGED, SHARE, judged_together, share_changes
from crm_methods.stages.client_base_changes import (
    LABELS,
    change_in_words,
    changes_by_value,
    in_brackets,
    of_two_periods,
    readable_changes,
)

GROUPED_BY: Mapping[str, str] = {"industry": "industry", "owner": "owner"}
ALL = "all"
UNKNOWN = "not recorded"
SHOWN_GROUPS = 12
SHOWN_REASONS = 8
MAX_CELLS = 200_000
_MEANS: Mapping[str, str] = {"days": "opened_on", "discount_share": "discount_share"}
"""What is averaged over deals, and the column it needs."""
_NAMED = ("loss_reason", "competitor")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class WonAndLost(Answer):
    """Win rates: ``groups`` has one row per group, ``spread`` one per comparison; ``finding`` is the result in short.

    The p-values of ``spreads`` and ``spread`` are Holm's over the comparisons shown together.

    ``groups``: ``by``, ``group``, ``decided``, ``won``, ``clients``, ``win_share``, ``low_share``, ``high_share`` (0–1).
    """

    groups: pd.DataFrame
    spread: pd.DataFrame
    spreads: tuple[Spread, ...]
    finding: str


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CycleAndDiscount(Answer):
    """Days to a decision and discounts: ``groups`` has one row per group and outcome, means with intervals."""

    groups: pd.DataFrame


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LossReasons(Answer):
    """Why deals were lost and to whom: ``reasons`` has one row per group, kind of answer and name."""

    reasons: pd.DataFrame


def decided_deals(data: Canonical, settings: Company, facts: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Deals won or lost in the period (``now`` 1) and in the one before (``now`` 0).

    Cancelled and open deals are neither, and a negative amount is a return, not a deal won.

    Returns
    -------
    narwhals.LazyFrame
        Key ``deal_id``: ``client_id``, ``now``, ``won`` (1 or 0), ``name`` (won or lost), ``amount``, ``industry``
        (of ``facts``), ``owner``, ``days`` from its opening to its decision (missing where it closed before it opened),
        ``discount_share``, ``loss_reason``, ``competitor``.
    """
    deals = data.scan("deals").filter(nw.col("status").is_in(["won", "lost"]), ~nw.col("client_id").is_null())
    deals = deals.filter((nw.col("amount") >= 0) | nw.col("amount").is_null() | (nw.col("status") == "lost"))
    deals = of_two_periods(deals, "closed_on", settings) if data.has("deals", "closed_on") else deals.with_columns(now=nw.lit(1))
    days: nw.Expr = nw.lit(None, nw.Int64)
    if data.has("deals", "opened_on", "closed_on"):
        days = day_number("closed_on") - day_number("opened_on")
    deals = deals.with_columns(
        won=nw.when(nw.col("status") == "won").then(nw.lit(1)).otherwise(nw.lit(0)),
        name=nw.col("status"),
        days=nw.when(days >= 0).then(days).otherwise(nw.lit(None, nw.Int64)),
        ends_first=nw.when(days < 0).then(nw.lit(1)).otherwise(nw.lit(0)),
    )
    industries = facts.select("client_id", "industry")
    return deals.select(
        "deal_id",
        "client_id",
        "now",
        "won",
        "name",
        "amount",
        "owner",
        "days",
        "ends_first",
        "discount_share",
        "loss_reason",
        "competitor",
    ).join(industries, on="client_id", how="left")


@answers("client_base.won_and_lost")
def won_and_lost(data: Canonical, settings: Company, deals: nw.LazyFrame[Any]) -> WonAndLost | Unanswered:
    """Win rates in all, by industry and by owner, and whether groups and clients differ by more than chance.

    Parameters
    ----------
    deals
        ``decided_deals``.

    Returns
    -------
    WonAndLost
        Won per decided deal of the period, with intervals clustered by client.
    """
    now = deals.filter(nw.col("now") == 1)
    counted = collect(now.group_by("won").agg(nw.len().alias("deals"))).set_index("won")["deals"]
    if not counted.get(0, 0):
        decided = "no deal was decided" if counted.empty else "no deal is recorded as lost"
        reason = f"{decided} from {current_period(settings).label}, so there is no win rate."
        return Unanswered("client_base.won_and_lost", reason, ("deals.status with the value lost, and the day it was lost",))
    groups = pd.concat([_win_rates(now, by) for by in (None, *GROUPED_BY)], ignore_index=True)
    between_groups = [spread_of_win_rates(_cells(now, by), by, settings.seed) for by in GROUPED_BY]
    between_clients = spread_between_clients(_cells(now, "client_id"), settings.seed)
    spreads = _shown_together([spread for spread in (*between_groups, between_clients) if spread is not None])
    apart = {spread.by: _clearly_apart(now, spread.by) for spread in spreads if spread.is_real and spread.by in GROUPED_BY}
    said = [_spread_sentence(spread, apart.get(spread.by, ""), len(spreads)) for spread in spreads]
    overall = _overall_sentence(groups.iloc[0], share_changes(deals), settings)
    shown = groups[groups["decided"] > 0].groupby("by", sort=False).head(SHOWN_GROUPS)
    return WonAndLost(
        sentence=" ".join([overall, *said, _pipeline_sentence(data, settings)]).strip(),
        table=shown.reset_index(drop=True),
        caption=f"Won per decided deal, {current_period(settings).label}; 95% intervals clustered by client",
        labels={"win_share": "Win rate", "low_share": "From", "high_share": "To"},
        groups=groups,
        spread=pd.DataFrame(
            [(s.by, s.groups, s.observed, s.by_chance, s.p_value) for s in spreads],
            columns=["by", "groups", "observed_sd_share", "chance_sd_share", "p_value"],
        ),
        spreads=spreads,
        finding=f"{overall} {_finding(spreads)}".strip(),
    )


@answers("client_base.won_and_lost")
def cycle_and_discount(
    data: Canonical, settings: Company, deals: nw.LazyFrame[Any], found: WonAndLost
) -> CycleAndDiscount | Unanswered:
    """Days from opening to decision, discounts, and what is named most when a deal is lost, by industry and by owner."""
    now = deals.filter(nw.col("now") == 1)
    measures = [name for name, needs in _MEANS.items() if data.has("deals", needs)]
    named = [name for name in _NAMED if data.has("deals", name)]
    if not measures and not named:
        reason = "neither days of opening, nor discounts, nor reasons are recorded."
        return Unanswered("client_base.won_and_lost", reason, ("deals.opened_on", "deals.discount_share", "deals.loss_reason"))
    groups = pd.concat([_means(now, by, measures) for by in (None, *GROUPED_BY)], ignore_index=True)
    wide = groups.set_index(["by", "group", "measure", "outcome"])["mean"].unstack(["measure", "outcome"])
    table = found.table[["by", "group", "decided"]]
    for measure in measures:
        for outcome in [o for o in ("won", "lost") if (measure, o) in wide.columns]:
            name = f"days_to_{outcome}" if measure == "days" else f"discount_{outcome}_share"
            table = table.join(wide[measure, outcome].rename(name), on=["by", "group"])
    for about in named:
        most = [_most_named(now.filter(nw.col("won") == 0), about, by) for by in (None, *GROUPED_BY)]
        table = table.join(pd.concat(most), on=["by", "group"])
    contradictory = int(collect(now.select(nw.col("ends_first").sum().alias("n")))["n"].iloc[0] or 0)
    return CycleAndDiscount(
        sentence=_means_sentence(groups[groups["by"] == ALL], contradictory) or "Reasons are named in the table.",
        table=table,
        caption=f"Mean days from opening to decision, mean discount, and what is named most, {current_period(settings).label}",
        labels={
            "days_to_won": "Days to won", "days_to_lost": "Days to lost", "discount_won_share": "Discount, won",
            "discount_lost_share": "Discount, lost", "most_named_loss_reason": "Reason named most",
            "most_named_competitor": "Competitor named most",
        },
        groups=groups,
    )  # fmt: skip


@answers("client_base.won_and_lost")
def loss_reasons(data: Canonical, settings: Company, deals: nw.LazyFrame[Any]) -> LossReasons | Unanswered:
    """Why deals were lost and who won them instead: shares of the lost deals that name it, in all and by group."""
    lost = deals.filter(nw.col("won") == 0)
    kinds = [name for name in _NAMED if data.has("deals", name)]
    if not kinds:
        helps = ("deals.loss_reason", "deals.competitor")
        return Unanswered("client_base.won_and_lost", "no lost deal names its reason or the competitor.", helps)
    reasons = pd.concat([_named_shares(lost, kind, by) for by in (None, *GROUPED_BY) for kind in kinds], ignore_index=True)
    reasons = judged_together(reasons, within=("by",))
    whole = reasons[reasons["by"] == ALL]
    if not whole["lost_deals"].sum():
        return Unanswered("client_base.won_and_lost", "no deal lost in the period names its reason or the competitor.")
    shown = whole.groupby("about", sort=False).head(SHOWN_REASONS)
    return LossReasons(
        sentence=_reasons_sentence(whole, lost, kinds, settings),
        table=readable_changes(shown, "lost_deals"),
        caption=f"Share of the lost deals that name it, {current_period(settings).label}; intervals clustered by client,"
        " changes corrected for the number of comparisons",
        labels=dict(LABELS),
        reasons=reasons,
    )


def _cells(now: nw.LazyFrame[Any], by: str) -> pd.DataFrame:
    """Decided deals per client and group; of a very large base those with most, which say most."""
    known = now.with_columns(group=nw.col(by)).filter(~nw.col("group").is_null())
    counted = known.group_by("client_id", "group").agg(decided=nw.len(), won=nw.col("won").sum())
    return collect(counted.with_columns(fewest=-nw.col("decided")).sort("fewest", "client_id", "group").head(MAX_CELLS))


def _grouped(rows: nw.LazyFrame[Any], by: str | None) -> nw.LazyFrame[Any]:
    return rows.with_columns(group=nw.lit(ALL) if by is None else nw.col(by).fill_null(UNKNOWN))


def _win_rates(now: nw.LazyFrame[Any], by: str | None) -> pd.DataFrame:
    """Win rate of each group, the one with most deals first; no rows where the groups are not recorded."""
    per_client = rates.sums_by_client(_grouped(now, by), "won", by=("group",))
    found = rates.shares_by(per_client, by=("group",)).rename(columns={"share": "win_share", "trials": "decided"})
    if by is not None and set(found["group"]) <= {UNKNOWN}:
        found = found.iloc[:0]
    found = found.assign(by=by or ALL, won=(found["win_share"] * found["decided"]).round().astype("int64"))
    found = found.astype({"decided": "int64"}).sort_values(["decided", "group"], ascending=[False, True])
    return found[["by", "group", "decided", "won", "clients", "win_share", "low_share", "high_share"]]


def _means(now: nw.LazyFrame[Any], by: str | None, measures: list[str]) -> pd.DataFrame:
    frames = []
    for measure in measures:
        per_client = rates.sums_by_client(_grouped(now, by), measure, by=("group", "name"))
        found = rates.means_by(per_client, by=("group", "name")).rename(columns={"name": "outcome", "count": "deals"})
        frames.append(found.assign(by=by or ALL, measure=measure))
    columns = ["by", "group", "measure", "outcome", "deals", "clients", "mean", "low", "high"]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)


def _named_shares(lost: nw.LazyFrame[Any], about: str, by: str | None) -> pd.DataFrame:
    """What lost deals name, as shares of those that name something, with the change against the period before."""
    found = changes_by_value(_grouped(lost, by), about, "lost_deals", by=("group",))
    found = found.assign(by=by or ALL).astype({"lost_deals": "int64"})
    return found[["by", "group", "about", "name", "lost_deals", "clients", *SHARE, "previous_share", *CHANGE, *JUDGED]]


def _most_named(lost: nw.LazyFrame[Any], about: str, by: str | None) -> pd.Series[Any]:
    """Per group, what its lost deals name most, with its share of those that name something."""
    named = _grouped(lost, by).filter(~nw.col(about).is_null())
    counted = collect(named.group_by("group", about).agg(nw.len().alias("n"))).sort_values(["n", about], ascending=[False, True])
    first = counted.groupby("group").first()
    shares = first["n"] / counted.groupby("group")["n"].sum()
    texts = [f"{name} ({formats.share(share)})" for name, share in zip(first[about], shares, strict=True)]
    keys = pd.MultiIndex.from_product([[by or ALL], first.index], names=["by", "group"])
    return pd.Series(texts, index=keys, name=f"most_named_{about}", dtype=object)


def _overall_sentence(whole: pd.Series[Any], changes: pd.DataFrame, settings: Company) -> str:
    interval = formats.interval(whole["low_share"], whole["high_share"], lambda v: formats.share(v, 1))
    said = "" if interval == formats.NOTHING else f"; 95% interval {interval}, clustered by client"
    were = "was" if whole["won"] == 1 else "were"
    text = (
        f"Of {formats.plural(whole['decided'], 'deal')} decided from {current_period(settings).label},"
        f" {formats.number(whole['won'])} {were} won: {formats.share(whole['win_share'], 1)}{said}"
    )
    won = changes[changes["name"] == "won"]
    if won.empty or pd.isna(won["change"].iloc[0]):
        return f"{text}."
    before = formats.share(won["share_previous"].iloc[0], 1)
    if pd.isna(won["low_change"].iloc[0]):
        return f"{text}. In the period before it was {before}; the data do not suffice to judge the change."
    return f"{text}. In the period before it was {before}: {change_in_words(*won[list(CHANGE)].iloc[0])}."


def _shown_together(spreads: list[Spread]) -> tuple[Spread, ...]:
    """The comparisons with Holm's p-values, so that one of them all raises a false alarm in one case of twenty."""
    largest, adjusted = 0.0, {}
    for rank, spread in enumerate(sorted(spreads, key=lambda spread: spread.p_value)):
        largest = max(largest, min(1.0, (len(spreads) - rank) * spread.p_value))
        adjusted[spread.by] = largest
    return tuple(replace(spread, p_value=adjusted[spread.by]) for spread in spreads)


def _clearly_apart(now: nw.LazyFrame[Any], by: str) -> str:
    """The two groups that lie furthest apart beyond doubt: their intervals, widened for all the groups, do not touch."""
    per_client = rates.sums_by_client(_grouped(now, by), "won", by=("group",))
    known = rates.shares_by(per_client, by=("group",)).query("trials >= @MIN_DECIDED and group != @UNKNOWN")
    if len(known) < 2:
        return ""
    wide = rates.shares_by(per_client, by=("group",), confidence=1 - SIGNIFICANT / len(known))
    wide = wide[wide["group"].isin(known["group"])].dropna(subset=["low_share", "high_share"]).sort_values("group")
    if len(wide) < 2:
        return ""
    worst, best = wide.loc[wide["high_share"].idxmin()], wide.loc[wide["low_share"].idxmax()]
    if best["low_share"] <= worst["high_share"]:
        return ""
    ends = [f"“{row['group']}” ({formats.share(row['share'])})" for row in (worst, best)]
    return f"; clearly apart are {formats.join(ends)}"


def _spread_sentence(spread: Spread, apart: str, tests: int) -> str:
    seen, chance = (formats.number(100 * value, 1) for value in (spread.observed, spread.by_chance))
    p_value = f"p = {spread.p_value:.2f}" if spread.p_value >= 0.01 else "p < 0.01"
    corrected = f", corrected for {tests} comparisons" if tests > 1 else ""
    counted = formats.plural(spread.groups, spread.by, "industries" if spread.by == "industry" else None)
    compared = f"{counted} with {MIN_DECIDED} or more decided deals"
    text = (
        f"The win rates of {compared} vary by {seen} percentage points (standard deviation), where chance alone would give"
        f" {chance} ({p_value}{corrected})"
    )
    if spread.is_real:
        return f"{text}: they differ by more than chance{apart}."
    if spread.observed > spread.by_chance:
        return f"{text}: they are not proven to differ by more than chance."
    return f"{text}: the differences are no larger than chance."


def _finding(spreads: tuple[Spread, ...]) -> str:
    groups = [s for s in spreads if s.by in GROUPED_BY]
    if not groups:
        return ""
    real = [f"by {s.by}" for s in groups if s.is_real]
    if real:
        return f"Win rates differ {formats.join(real)} by more than chance."
    compared = formats.join([f"by {s.by}" for s in groups])
    if any(s.observed > s.by_chance for s in groups):
        return f"Win rates are not proven to differ {compared} by more than chance."
    return f"Win rates differ {compared} no more than chance."


def _pipeline_sentence(data: Canonical, settings: Company) -> str:
    """Deals that are neither won nor lost."""
    others = data.scan("deals").filter(nw.col("status").is_in(["open", "cancelled"]))
    counted = others.group_by("status").agg(nw.len().alias("deals"), nw.col("amount").count().alias("n"), nw.col("amount").sum())
    rows = {row["status"]: row for row in collect(counted).to_dict("records")}
    texts = []
    if "open" in rows:
        row, known = rows["open"], int(rows["open"]["n"])
        worth = f", worth {formats.money(row['amount'], settings.currency)}" if known else ", with no amount recorded"
        some = f" as far as an amount is recorded ({formats.number(known)} of them)" if 0 < known < row["deals"] else ""
        are = "is" if row["deals"] == 1 else "are"
        texts.append(f"In the pipeline {are} {formats.plural(row['deals'], 'open deal')}{worth}{some}.")
    if "cancelled" in rows:
        texts.append(f"{formats.plural(rows['cancelled']['deals'], 'cancelled deal')} count as neither won nor lost.")
    return " ".join(texts)


def _means_sentence(whole: pd.DataFrame, contradictory: int) -> str:
    texts = []
    for measure, rows in whole.groupby("measure", sort=False):
        said = {row["outcome"]: _mean_text(row, str(measure)) for row in rows.to_dict("records")}
        what = "From opening to decision it took" if measure == "days" else "The mean discount was"
        parts = [f"{said[name]} on {word}" for name, word in (("won", "won deals"), ("lost", "lost ones")) if name in said]
        texts.append(f"{what} {formats.join(parts)}{_apart(rows)}.")
    if contradictory:
        texts.append(f"Left out: {formats.plural(contradictory, 'deal')} decided before the day of opening.")
    return " ".join(texts)


def _apart(rows: pd.DataFrame) -> str:
    """Whether the intervals of won and lost deals leave no doubt that their means differ."""
    ends = rows.dropna(subset=["low", "high"])
    if len(ends) < 2:
        return ""
    return "" if ends["low"].max() > ends["high"].min() else "; the intervals overlap, so no difference is proven"


def _mean_text(row: Mapping[Any, Any], measure: str) -> str:
    if measure == "discount_share":
        return formats.share(row["mean"], 1) + in_brackets(row["low"], row["high"], lambda v: formats.share(v, 1))
    digits = 0 if row["mean"] >= 20 else 1
    span = in_brackets(row["low"], row["high"], lambda v: formats.number(v, digits))
    return f"{formats.number(row['mean'], digits)} days{span}"


def _reasons_sentence(whole: pd.DataFrame, lost: nw.LazyFrame[Any], kinds: list[str], settings: Company) -> str:
    sums = collect(lost.filter(nw.col("now") == 1).select(
        deals=nw.len(), amount=as_float("amount").sum(), priced=nw.when(nw.col("amount") > 0).then(1).otherwise(0).sum(),
        **{kind: nw.col(kind).count() for kind in kinds},
    )).iloc[0]  # fmt: skip
    texts = []
    for kind in kinds:
        rows = whole[(whole["about"] == kind) & (whole["lost_deals"] > 0)]
        named, noun = int(sums[kind]), kind.replace("_", " ")
        name = "names" if named == 1 else "name"
        text = f"{formats.number(named)} of {formats.plural(sums['deals'], 'lost deal')} {name} a {noun}"
        if len(rows):
            first = rows.iloc[0]
            span = in_brackets(first["low_share"], first["high_share"], formats.share)
            text += f", most often “{first['name']}”: {formats.share(first['share'])}{span} of these"
        texts.append(f"{text}.")
    if sums["priced"] >= 0.5 * sums["deals"]:
        texts.append(f"The lost deals that carry an amount add up to {formats.money(sums['amount'], settings.currency)}.")
    else:
        texts.append("Most lost deals carry no amount, so the money lost is not known.")
    return " ".join(texts)
