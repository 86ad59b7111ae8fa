"""The sample's loyalty programmes and campaigns: who is drawn into them and what they truly cause.

``meridian_plus`` is joined in waves by large established clients (selection on the *level* of business, never on its
recent ups and downs, so trends stay parallel); from the day of joining every order of a member brings more margin,
so that the expected gain is the same number of EUR per month for every member.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from crm_methods.company.sample_world import DAYS, FIRST_DAY, Ints, World, stream

PROGRAMME: Mapping[str, Any] = {
    "programme_id": "meridian_plus",
    "waves": ("2024-07-01", "2024-10-01", "2025-01-01", "2025-04-01"),
    "wave_shares": (0.30, 0.28, 0.22, 0.20),
    "effect_margin_per_month": 420.0,
    "selection_slope": 1.9,
    "selection_intercept": 0.35,
    "least_orders_per_month": 0.4,
}
CAMPAIGNS: Mapping[str, Mapping[str, Any]] = {
    "K1": {"started_on": "2024-02-05", "kind": "reactivation", "randomised": True, "order_share": 0.0},
    "K2": {"started_on": "2024-09-16", "kind": "webinar", "randomised": False, "order_share": 0.0},
    "K3": {"started_on": "2025-03-03", "kind": "portal_upgrade", "randomised": True, "order_share": 0.30},
}
"""``order_share``: share of the treated clients that place one more order within 90 days because of the campaign."""
CAMPAIGN_ORDER_MARGIN = 1_700.0
CAMPAIGN_DAYS = 90
POINTS_PER_EUR = 0.1
COST_PER_POINT = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Actions:
    """Who takes part in what.

    ``members`` has a row per invitation: ``client``, ``programme_id``, ``invited``, ``joined`` and ``left`` (days since
    ``FIRST_DAY``, −1 for never) and ``margin_per_order`` (what joining adds to each order). ``arms`` has a row per
    client and campaign: ``campaign_id``, ``client``, ``arm``. ``orders`` are those that campaign K3 caused:
    ``client``, ``day``, ``margin``.
    """

    members: pd.DataFrame
    arms: pd.DataFrame
    orders: pd.DataFrame


def day(date: str) -> int:
    """Days since ``FIRST_DAY``."""
    return int((np.datetime64(date) - FIRST_DAY).astype(int))


def draw_actions(world: World) -> Actions:
    """Draw members, arms and the orders that a campaign caused."""
    members = pd.concat([_plus_members(world), _lab_members(world)], ignore_index=True)
    arms = _arms(world)
    return Actions(members=members, arms=arms, orders=_campaign_orders(arms))


def joined_on(world: World, actions: Actions) -> Ints:
    """Per client, the day on which it joined meridian_plus; past the last day for those who did not."""
    days = np.full(len(world.clients), 10 * DAYS, dtype=np.int64)
    plus = actions.members.query("programme_id == 'meridian_plus' and joined >= 0")
    days[plus["client"].to_numpy()] = plus["joined"].to_numpy()
    return days


def _plus_members(world: World) -> pd.DataFrame:
    random = stream("meridian_plus")
    clients = world.clients
    eligible = clients[
        clients["group"].isin(["core", "regular"]) & (clients["orders_per_month"] >= PROGRAMME["least_orders_per_month"])
    ]
    level = np.log(eligible["orders_per_month"] * eligible["mean_amount"])
    standard = ((level - level.mean()) / level.std()).to_numpy()
    chance = 1 / (1 + np.exp(-(PROGRAMME["selection_slope"] * standard + PROGRAMME["selection_intercept"])))
    joins = random.random(len(eligible)) < chance
    declines = ~joins & (random.random(len(eligible)) < 0.35)
    waves = np.array([day(wave) for wave in PROGRAMME["waves"]])
    wave = waves[random.choice(len(waves), len(eligible), p=PROGRAMME["wave_shares"])]
    invited = wave - random.integers(12, 45, len(eligible))
    leaves = joins & (random.random(len(eligible)) < 0.03)
    per_order = PROGRAMME["effect_margin_per_month"] / eligible["orders_per_month"].to_numpy()
    frame = pd.DataFrame(
        {
            "client": eligible.index,
            "programme_id": PROGRAMME["programme_id"],
            "invited": invited,
            "joined": np.where(joins, wave, -1),
            "left": np.where(leaves, DAYS - random.integers(2, 14, len(eligible)), -1),
            "tier": np.where(joins, np.where(standard > 0.8, "gold", "silver"), ""),
            "margin_per_order": np.where(joins, per_order, 0.0),
        }
    )
    return frame[joins | declines].reset_index(drop=True)


def _lab_members(world: World) -> pd.DataFrame:
    """A partnership for the largest: strong selection, and no effect at all."""
    random = stream("partner_lab")
    clients = world.clients
    level = clients["orders_per_month"] * clients["mean_amount"] * clients["group"].isin(["core", "regular"])
    chosen = random.permutation(level.nlargest(60).index.to_numpy())[:24]
    joined = np.array([day(d) for d in ("2023-04-01", "2023-10-01", "2024-04-01")])[random.integers(0, 3, 24)]
    return pd.DataFrame(
        {
            "client": chosen,
            "programme_id": "partner_lab",
            "invited": joined - random.integers(20, 80, 24),
            "joined": joined,
            "left": np.where(random.random(24) < 0.15, day("2025-09-30"), -1),
            "tier": "",
            "margin_per_order": 0.0,
        }
    )


def _arms(world: World) -> pd.DataFrame:
    """Randomised campaigns draw half of last year's buyers; the other one picks the large ones, without a control."""
    frames = []
    for campaign_id, campaign in CAMPAIGNS.items():
        random = stream(f"campaign {campaign_id}")
        start = day(campaign["started_on"])
        buyers = np.unique(world.orders["client"][(world.orders["day"] < start) & (world.orders["day"] >= start - 365)])
        if campaign["randomised"]:
            drawn = random.permutation(buyers)[: len(buyers) // 2]
            arm = np.where(np.isin(buyers, drawn), "treatment", "control")
            frames.append(pd.DataFrame({"campaign_id": campaign_id, "client": buyers, "arm": arm}))
        else:
            size = world.clients["size"].to_numpy()[buyers]
            large = buyers[size > np.quantile(size, 0.7)]
            frames.append(pd.DataFrame({"campaign_id": campaign_id, "client": large, "arm": "treatment"}))
    return pd.concat(frames, ignore_index=True)


def _campaign_orders(arms: pd.DataFrame) -> pd.DataFrame:
    random = stream("campaign orders")
    treated = arms.query("campaign_id == 'K3' and arm == 'treatment'")["client"].to_numpy()
    buys = treated[random.random(len(treated)) < CAMPAIGNS["K3"]["order_share"]]
    margin = random.gamma(6.0, CAMPAIGN_ORDER_MARGIN / 6.0, len(buys))
    first = day(CAMPAIGNS["K3"]["started_on"]) + 3
    return pd.DataFrame({"client": buys, "day": first + random.integers(0, CAMPAIGN_DAYS - 6, len(buys)), "margin": margin})


def reward_movements(world: World, actions: Actions, deals: pd.DataFrame) -> pd.DataFrame:
    """Points of meridian_plus earned per quarter, redeemed with breakage, expired after a year; gifts of partner_lab."""
    random = stream("rewards")
    joined = joined_on(world, actions)
    won = deals[(deals["status"] == "won") & (deals["amount"] > 0)]
    of_member = won[won["closed"].to_numpy() >= joined[won["client"].to_numpy()]]
    quarter = ((of_member["closed"] - day("2024-07-01")) // 91.3125).astype(int).clip(upper=5)
    earned = of_member.groupby([of_member["client"], quarter.rename("quarter")])["amount"].sum() * POINTS_PER_EUR
    rows: list[tuple[int, str, int, str, float, float]] = []
    for (client, q), points in earned.items():
        on = min(day("2024-07-01") + int((q + 1) * 91.3125), DAYS) - 1
        rows.append((client, "meridian_plus", on, "earn", round(points), 0.0))
        used = float(random.beta(4, 2))
        redeemed = on + int(random.integers(20, 200))
        if redeemed < DAYS:
            rows.append((client, "meridian_plus", redeemed, "redeem", -round(points * used), points * used * COST_PER_POINT))
        if on + 365 < DAYS:
            rows.append((client, "meridian_plus", on + 365, "expire", -round(points * (1 - used)), 0.0))
    for member in actions.members.query("programme_id == 'partner_lab'").itertuples():
        for on in range(int(member.joined) + 60, DAYS, 180):
            rows.append((int(member.client), "partner_lab", on, "redeem", 0, 600.0 + 50 * float(random.integers(0, 9))))
    frame = pd.DataFrame(rows, columns=["client", "programme_id", "on", "kind", "points", "cost"])
    return frame.groupby(["client", "programme_id", "on", "kind"], as_index=False).sum()
