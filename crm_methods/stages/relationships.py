"""Stage 6: what loyalty programmes cost and caused, how satisfied clients are, and what they complain of.

This room prices the programmes. What one of them caused is in ``relationships_panel`` and
``relationships_effects``, satisfaction in ``relationships_satisfaction`` and
``relationships_responders``, complaints in ``relationships_complaints``, and what the stage
leaves behind in ``relationships_summary``; all are rooms of this stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.plans import Plan
from crm_methods.company.programmes_plan import KIND_LABELS, Programme, Programmes
from crm_methods.company.settings import Company
from crm_methods.engine import as_float, collect, day_number, day_of, month_number, month_of

COST_COLUMNS = (
    "programme",
    "kind",
    "members",
    "member_months",
    "rewards_cost",
    "liability_amount",
    "setup_cost",
    "running_cost",
    "partner_funded_amount",
    "fee_amount",
    "total_cost",
    "cost_per_member_month",
)
POINT_COLUMNS = (
    "programme",
    "points_earned",
    "points_redeemed",
    "points_expired",
    "points_outstanding",
    "breakage_share",
    "cost_per_point",
    "redemption_share",
    "liability_amount",
)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ProgrammeCosts(Answer):
    """What each programme cost.

    ``programmes`` has one row per programme with everything that is counted, key ``programme_id``;
    ``unknown_ids`` are programmes that programmes.yml names and no table knows.
    """

    programmes: pd.DataFrame
    unknown_ids: tuple[str, ...]


@answers("relationships.programme_cost")
def programme_costs(data: Canonical, settings: Company, plan: Plan[Programmes]) -> ProgrammeCosts | Unanswered:
    """What each programme cost from its first joining to the as-of day, points outstanding included.

    total = rewards paid + liability − what partners fund of both + set-up + running − fees; what programmes.yml does
    not tell is missing and counts as 0. Liability = points outstanding × cost of a redeemed point × the share of them
    that will be redeemed, an assumption: all of them, unless programmes.yml tells less.

    Returns
    -------
    ProgrammeCosts
        ``table``: one row per programme, the costliest first.
    """
    members, movements = _members(data, settings), _movements(data, settings)
    if members.empty:
        return Unanswered(
            "relationships.programme_cost", "nobody has joined a programme yet.", ("programme_members with joined_on",)
        )
    counted = members.merge(movements, on="programme_id", how="outer")
    costs = pd.DataFrame([_priced(row, plan.content.of(str(row["programme_id"]))) for row in counted.to_dict("records")])
    costs = costs.astype(
        {"kind": "str", "liability_amount": float, "setup_cost": float, "running_cost": float, "cost_per_point": float}
    )
    costs = costs.sort_values(["total_cost", "programme_id"], ascending=[False, True], ignore_index=True)
    return ProgrammeCosts(
        sentence=_cost_sentence(costs, plan, settings),
        table=costs[list(COST_COLUMNS)],
        caption=f"Cost of each programme to {formats.date(settings.as_of)}; set-up, running cost and fees: {plan.origin}",
        labels={
            "rewards_cost": "Rewards paid",
            "liability_amount": "Points outstanding",
            "setup_cost": "Set-up",
            "running_cost": "Running",
            "partner_funded_amount": "Paid by partners",
            "fee_amount": "Fees of members",
            "total_cost": "Total",
            "cost_per_member_month": "Per member and month",
        },
        programmes=costs,
        unknown_ids=tuple(name for name in plan.content.ids if name not in set(costs["programme_id"])),
    )


@answers("relationships.programme_cost")
def points(found: ProgrammeCosts) -> Answer | Unanswered:
    """What became of the points: earned = redeemed + expired + outstanding, by programme."""
    moved = found.programmes[found.programmes["points_earned"] > 0]
    if moved.empty:
        return Unanswered("relationships.programme_cost", "no programme has points.", ("rewards of kind earn, with points",))
    words = [
        f"Of {formats.number(row.points_earned)} points that {row.programme} gave, "
        f"{formats.share(row.points_redeemed / row.points_earned)} "
        f"are redeemed, {formats.share(row.points_expired / row.points_earned)} expired and "
        f"{formats.share(row.points_outstanding / row.points_earned)} outstanding."
        for row in moved.itertuples()
    ]
    early = "Points are redeemed sooner than they expire, so the share that expires in the end will be larger than so far."
    return Answer(
        sentence=" ".join([*words, early] if moved["points_outstanding"].gt(0).any() else words),
        table=moved[list(POINT_COLUMNS)],
        caption="Points by programme; breakage: expired points over those redeemed or expired so far",
        labels={
            "breakage_share": "Breakage so far",
            "liability_amount": "Liability",
            "redemption_share": "Assumed to be redeemed",
        },
    )


def _members(data: Canonical, settings: Company) -> pd.DataFrame:
    """One row per programme: who was invited, joined and left, the months of membership, the months it ran."""
    today = month_of(settings.as_of)
    joined = (~nw.col("joined_on").is_null()) & (day_number("joined_on") <= day_of(settings.as_of))
    gone = (~nw.col("left_on").is_null()) & (day_number("left_on") <= day_of(settings.as_of))
    last = nw.when(gone).then(month_number("left_on")).otherwise(nw.lit(today))
    rows = data.scan("programme_members").with_columns(_joined=joined).filter(nw.col("_joined") | ~nw.col("invited_on").is_null())
    counted = (
        rows.select(
            "programme_id",
            invited=nw.when(~nw.col("invited_on").is_null()).then(nw.lit(1)).otherwise(nw.lit(0)),
            members=nw.when(nw.col("_joined")).then(nw.lit(1)).otherwise(nw.lit(0)),
            left=nw.when(nw.col("_joined") & gone).then(nw.lit(1)).otherwise(nw.lit(0)),
            member_months=nw.when(nw.col("_joined")).then(last - month_number("joined_on") + 1).otherwise(nw.lit(0)),
            first_month=nw.when(nw.col("_joined")).then(month_number("joined_on")).otherwise(nw.lit(None, nw.Int64)),
        )
        .group_by("programme_id")
        .agg(nw.col("invited", "members", "left", "member_months").sum(), nw.col("first_month").min())
    )
    table = collect(counted)
    table = table[table["members"] > 0].sort_values("programme_id", ignore_index=True)
    return table.assign(months_running=today - table["first_month"] + 1).drop(columns="first_month")


def _movements(data: Canonical, settings: Company) -> pd.DataFrame:
    """One row per programme: points by what happened to them, whatever their sign in the source, and what they cost."""
    rows = data.scan("rewards").filter(day_number("on") <= day_of(settings.as_of))
    moved, cost = as_float("points").abs().fill_null(0.0), as_float("cost").fill_null(0.0)
    kinds = {"earn": "points_earned", "redeem": "points_redeemed", "expire": "points_expired"}
    is_points = (nw.col("kind") == "redeem") & (moved > 0)
    sums = rows.select(
        "programme_id",
        rewards_cost=cost,
        redeemed_points_cost=nw.when(is_points).then(cost).otherwise(nw.lit(0.0)),
        **{name: nw.when(nw.col("kind") == kind).then(moved).otherwise(nw.lit(0.0)) for kind, name in kinds.items()},
    )
    names = ["rewards_cost", "redeemed_points_cost", *kinds.values()]
    return collect(sums.group_by("programme_id").agg(nw.col(*names).sum()))


def _priced(counted: dict[str, Any], told: Programme) -> dict[str, Any]:
    """A programme's counts with everything in money; unknown costs are missing."""
    row = {name: 0.0 if isinstance(value, float) and pd.isna(value) else value for name, value in counted.items()}
    decided = row["points_redeemed"] + row["points_expired"]
    outstanding = row["points_earned"] - decided
    per_point = (
        row["redeemed_points_cost"] / row["points_redeemed"] if row["points_redeemed"] and row["redeemed_points_cost"] else None
    )
    # More points gone than earned means that the file lacks movements; a debt below zero would flatter the programme.
    owed = None if per_point is None else max(0.0, outstanding) * per_point * told.redemption_share
    running = None if told.running_cost_per_month is None else told.running_cost_per_month * row["months_running"]
    fees = told.fee_per_member_month * row["member_months"]
    rewards = row["rewards_cost"] + (owed or 0.0)
    funded = told.partner_funded_share * rewards
    total = rewards - funded + (told.setup_cost or 0.0) + (running or 0.0) - fees
    return {
        "programme_id": row["programme_id"],
        "programme": told.name,
        "kind": KIND_LABELS[told.kind] if told.kind else None,
        "invited": int(row["invited"]),
        "members": int(row["members"]),
        "left": int(row["left"]),
        "member_months": int(row["member_months"]),
        "months_running": int(row["months_running"]),
        "points_earned": row["points_earned"],
        "points_redeemed": row["points_redeemed"],
        "points_expired": row["points_expired"],
        "points_outstanding": outstanding,
        "breakage_share": row["points_expired"] / decided if decided else None,
        "cost_per_point": per_point,
        "redemption_share": told.redemption_share,
        "rewards_cost": row["rewards_cost"],
        "liability_amount": owed,
        "setup_cost": told.setup_cost,
        "running_cost": running,
        "partner_funded_amount": 0.0 - funded,
        "fee_amount": 0.0 - fees,
        "total_cost": total,
        "cost_per_member_month": total / row["member_months"] if row["member_months"] else None,
        "knows_all_costs": told.knows_all_costs,
    }


def _cost_sentence(costs: pd.DataFrame, plan: Plan[Programmes], settings: Company) -> str:
    currency = settings.currency
    words = []
    for row in costs.head(3).itertuples():
        per_month = f", {formats.money(row.cost_per_member_month, currency)} per member and month" if row.member_months else ""
        owed = (
            f", {formats.money(row.liability_amount, currency)} of it for points outstanding"
            if row.liability_amount and row.liability_amount > 0
            else ""
        )
        words.append(
            f"{row.programme}, with {formats.plural(row.members, 'member')}, cost {formats.money(row.total_cost, currency)}"
            f"{owed}{per_month}"
        )
    told = f"{'; '.join(words)}."
    unknown = costs.loc[~costs["knows_all_costs"].astype(bool), "programme"].tolist()
    if unknown:
        where = "there is no programmes.yml beside company.yml" if plan.is_default else f"{plan.origin} does not tell them"
        told += f" Set-up or running cost of {formats.join(unknown)} is not known ({where}) and comes on top."
    assumed = costs.loc[costs["points_outstanding"] > 0]
    if len(assumed) and assumed["liability_amount"].notna().any():
        shares = ["all" if share == 1 else formats.share(share) for share in sorted(set(assumed["redemption_share"]))]
        share = formats.join(shares, "or")
        told += f" Assumed: {share} of the points outstanding will be redeemed, each at the cost of one redeemed so far."
    return told
