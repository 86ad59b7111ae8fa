"""What is true of the sample company, as ``truth.json`` tells it: tests compare estimates with it, no estimator reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from crm_methods.company.sample_deals import INDUSTRY_PRODUCT, PAIRS, PRODUCTS, Sales
from crm_methods.company.sample_people import CRITERIA, DRIVERS, RESPONSE_SHARE, STAFF_OPTIMISM, STATED
from crm_methods.company.sample_programmes import (
    CAMPAIGN_DAYS,
    CAMPAIGN_ORDER_MARGIN,
    CAMPAIGNS,
    COST_PER_POINT,
    PROGRAMME,
    Actions,
    joined_on,
)
from crm_methods.company.sample_service import (
    ACTIVITIES,
    ANSWERED,
    COST,
    MINUTES_CV,
    PRACTICAL_SHARE,
    Service,
    rate_per_minute,
    service_level_truth,
)
from crm_methods.company.sample_world import DAYS, DAYS_PER_MONTH, FIRST_DAY, PURCHASES, SEED, SPEND, World


def truth_of(world: World, actions: Actions, sales: Sales, service: Service, planted: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that was planted, rounded, with the definition of each figure beside it."""
    ids = world.clients["client_id"]
    return {
        "seed": SEED,
        "clients": {
            "definition": "group: purchase process; segment: cell of revenue x cost by what truly happened in the last 12 months "
            "(cost beyond size, cuts at the median; without revenue: cost above the median of the clients that cost anything)",
            "group": dict(zip(ids, world.clients["group"], strict=True)),
            "segment": dict(zip(ids, service.cells.tolist(), strict=True)),
        },
        "purchase_process": _purchase_process(),
        "cost_to_serve": {
            "definition": "log(yearly cost) = log_level + size_elasticity * log(expected yearly revenue) + loyalty * z "
            "+ noise * z'; per_tenure_year for the first four years; rates in EUR per practical minute of a department",
            "parameters": dict(COST),
            "practical_share": PRACTICAL_SHARE,
            "rate_per_minute": {k: round(v, 6) for k, v in rate_per_minute().items()},
        },
        "handling_minutes": {
            "definition": "true mean minutes of one contact; single contacts vary with the coefficient of variation",
            "coefficient_of_variation": MINUTES_CV,
            "activities": [
                {"department": a[0], "channel": a[1], "kind": a[2], "skill": a[3], "minutes": a[4]} for a in ACTIVITIES
            ],
        },
        "answered_share": {
            "definition": "share of contacts on our initiative that the client answered, by channel",
            "by_channel": dict(ANSWERED),
        },
        "service_levels": {
            "definition": "share of inbound requests (kind service or complaint) answered (first_response) or solved "
            "(resolution) within that many elapsed hours of started_at, by true segment, constant over time",
            "rates": service_level_truth(),
        },
        "co_purchases": _co_purchases(sales),
        "satisfaction": {
            "definition": "overall = sum of driver weight x rating; stated importance is something else",
            "drivers": {c: DRIVERS[c] for c in CRITERIA},
            "stated_importance": {c: STATED[c] for c in CRITERIA},
            "response_share": RESPONSE_SHARE,
            "staff_optimism_sd": STAFF_OPTIMISM,
        },
        "programmes": _programmes(world, actions, sales),
        "campaigns": _campaigns(actions),
        **planted,
    }


def _purchase_process() -> dict[str, Any]:
    groups: dict[str, Any] = {}
    for name, law in PURCHASES.items():
        alpha = law["r"] * DAYS_PER_MONTH / law["mean_orders_per_month"] if "r" in law else None
        spend = SPEND[name]
        groups[name] = {
            **law,
            **({} if alpha is None else {"alpha_days": round(alpha, 4)}),
            "spend": {**spend, "v": round(spend["mean"] * (spend["q"] - 1) / spend["p"], 4)},
        }
    return {
        "definition": "orders while alive ~ Poisson(lambda), lambda per day ~ Gamma(r, rate alpha_days); mbg_nbd: dies after any "
        "order with probability p ~ Beta(a, b); erlang: gaps ~ Gamma(k); sbg: yearly renewal, churn ~ Beta(alpha, beta), billed "
        "quarterly; amounts ~ Gamma-Gamma(p, q, v) in EUR before programme effects",
        "groups": groups,
    }


def _co_purchases(sales: Sales) -> dict[str, Any]:
    deals = sales.deals.set_index("deal")
    client = deals["client"].reindex(sales.lines["deal"]).to_numpy()
    bought = pd.crosstab(client, sales.lines["product"].to_numpy()) > 0
    codes = [product[0] for product in PRODUCTS]
    pairs = []
    for (first, second), lift in PAIRS.items():
        a, b = bought[codes.index(first)], bought[codes.index(second)]
        realised = len(bought) * (a & b).sum() / (a.sum() * b.sum())
        pairs.append({"first": first, "second": second, "lift": lift, "realised_lift": round(float(realised), 3),
                      "clients": int((a & b).sum())})  # fmt: skip
    product, industry, share = INDUSTRY_PRODUCT
    return {
        "definition": "lift = N n_AB / (n_A n_B) over clients with a won deal; realised: in the tables before dirt",
        "pairs": pairs,
        "industry_product": {"product": product, "industry": industry, "share": share},
    }


def _programmes(world: World, actions: Actions, sales: Sales) -> dict[str, Any]:
    joined = joined_on(world, actions)
    members = np.flatnonzero(joined < DAYS)
    months = (FIRST_DAY + joined[members]).astype("datetime64[M]").astype(int)
    last_month = (FIRST_DAY + DAYS - 1).astype("datetime64[M]").astype(int)
    member_months = int((last_month - months + 1).sum())
    won = sales.deals.query("status == 'won'").assign(margin=lambda d: d["amount"] - d["cost"])
    before = won[won["closed"] < int(joined.min())].groupby("client")["margin"].sum() / (int(joined.min()) / DAYS_PER_MONTH)
    before = before.reindex(range(len(world.clients)), fill_value=0.0).to_numpy()
    is_member = joined < DAYS
    return {
        "meridian_plus": {
            "definition": "ATT in EUR of margin (amount - cost of won deals, by closed_on) per member and calendar month, from "
            "the month of joined_on on; expected by design, and realised in this draw over all member-months to 2025-12",
            "att_margin_per_month": PROGRAMME["effect_margin_per_month"],
            "realised_att_margin_per_month": round(float(sales.deals["gain"].sum()) / member_months, 2),
            "members": len(members),
            "member_months": member_months,
            "waves": list(PROGRAMME["waves"]),
            "cost_per_point": COST_PER_POINT,
            "selection": {
                "definition": "among core and regular clients with enough orders, P(join) = logistic(slope * z + intercept), "
                "z = standardised log of expected revenue: on the level, never on recent ups and downs",
                "slope": PROGRAMME["selection_slope"],
                "intercept": PROGRAMME["selection_intercept"],
                "least_orders_per_month": PROGRAMME["least_orders_per_month"],
                "margin_per_month_before_members": round(float(before[is_member].mean()), 2),
                "margin_per_month_before_others": round(float(before[~is_member].mean()), 2),
            },
        },
        "partner_lab": {
            "definition": "the same outcome; the largest were asked, and it changed nothing",
            "att_margin_per_month": 0.0,
            "members": int((actions.members["programme_id"] == "partner_lab").sum()),
        },
    }


def _campaigns(actions: Actions) -> dict[str, Any]:
    treated = actions.arms.query("arm == 'treatment'").groupby("campaign_id").size()
    effects = {}
    for key, campaign in CAMPAIGNS.items():
        effects[key] = {
            "kind": campaign["kind"],
            "randomised": campaign["randomised"],
            "effect_margin": round(campaign["order_share"] * CAMPAIGN_ORDER_MARGIN, 2),
            "realised_effect_margin": round(float(actions.orders["margin"].sum()) / int(treated[key]), 2) if key == "K3" else 0.0,
        }
    return {
        "definition": f"EUR of margin from won deals closed within {CAMPAIGN_DAYS} days of assigned_on, per treated client",
        "effects": effects,
    }
