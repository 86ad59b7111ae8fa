"""Made-up companies that go through stage 3, for the tests of its rooms."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from crm_methods.company.offers_plan import OffersPlan, read_offers
from crm_methods.company.plans import Plan
from crm_methods.engine import collect
from crm_methods.stages import offers
from tests.conftest import MadeCompany

PRODUCTS = ("P0", "P1", "P2", "P3", "P4", "P5")
SEGMENTS = {"high_low": "raise_loyalty", "high_high": "raise_loyalty", "low_low": "stimulate_sales", "low_high": "cut_costs"}


@dataclass(frozen=True)
class Worked:
    """Everything the stage makes of a company."""

    made: MadeCompany
    plan: Plan[OffersPlan]
    bought: Any
    profile: Any
    penetration: Any
    together: Any
    white: Any
    designed: Any
    economics: Any
    facts: Any
    final: Any
    upstream: Any


def upstream_tables(made: MadeCompany, facts: dict[str, list[Any]]) -> tuple[Any, Any]:
    """Tables of stages 1 and 2 as agreed, made by hand."""
    ids = collect(made.data.scan("clients").select("client_id")).sort_values("client_id")["client_id"].tolist()
    deals = collect(made.data.scan("deals"))
    inside = (deals["status"] == "won") & (deals["closed_on"] > "2024-12-31")
    revenue = deals[inside].groupby("client_id")["amount"].sum().reindex(ids, fill_value=0.0)
    default = {"industry": ["telecom", "logistics"], "territory": ["North"], "size_class": ["large", "small"], "owner": ["Ann"],
               "segment": list(SEGMENTS), "name": [None], "cost_to_serve": [100.0]}  # fmt: skip
    told = {name: [values[i % len(values)] for i in range(len(ids))] for name, values in {**default, **facts}.items()}
    frame = pd.DataFrame({"client_id": ids, "state": "active", "revenue": revenue.to_numpy(), **told})
    frame = frame.assign(strategy=frame["segment"].map(SEGMENTS)).astype(
        dict.fromkeys(("name", "industry", "territory", "size_class", "owner"), "str")
    )
    frame = frame.astype(object).where(frame.notna(), None).astype({"revenue": "float64", "cost_to_serve": "float64"})
    lazy = made.data.engine.frame(frame)
    return lazy, lazy


def kept(made: MadeCompany, name: str, frame: Any) -> Any:
    """A frame written and read back, as the notebook does."""
    path = made.folder / f"{name}.parquet"
    made.data.engine.write(frame, path, order_by=["client_id"])
    return made.data.engine.scan(path)


def work(made: MadeCompany, plan: Plan[OffersPlan] | None = None, **facts: list[Any]) -> Worked:
    plan = plan or read_offers(made.folder)
    upstream, segments = upstream_tables(made, facts)
    data, settings = made.data, made.settings
    bought = kept(made, "client_products", offers.client_products(data, settings))
    profile = kept(made, "client_profile", offers.client_profile(data, settings, plan.content, upstream, segments, bought))
    together = offers.goes_together(data, bought, profile)
    white = offers.white_space(data, settings, bought, profile, offers.found(together))
    white = offers.rebased(white, kept(made, "next_products", offers.next_product_table(white)))
    designed = offers.packages(settings, plan, offers.with_white_space(profile, white))
    economics = offers.economics(data, settings, plan, designed, offers.found(white))
    frame = kept(made, "offer_facts", offers.offered(designed, economics))
    shares = offers.penetration(data, settings, bought, profile)
    return Worked(
        made, plan, bought, profile, shares, together, white, designed, economics, frame,
        kept(made, "client_offers", offers.client_offers(frame, plan, settings)), segments,
    )  # fmt: skip


def sales(clients: int = 120, seed: int = 5, planted: bool = True) -> dict[str, pd.DataFrame]:
    """Deals of one line each; P0 and P1 are bought together, the others independently."""
    random = np.random.default_rng(seed)
    has = random.random((clients, len(PRODUCTS))) < 0.3
    if planted:
        has[:, 1] = np.where(has[:, 0], random.random(clients) < 0.9, random.random(clients) < 0.1)
    has[~has.any(axis=1), 5] = True
    rows = [(i, j) for i, j in itertools.product(range(clients), range(len(PRODUCTS))) if has[i, j]]
    days = [dt.date(2024, 3, 1) + dt.timedelta(days=int(d)) for d in random.integers(0, 650, len(rows))]
    deals = pd.DataFrame(
        {"deal_id": [f"d{k:04d}" for k in range(len(rows))], "client_id": [f"c{i:03d}" for i, _ in rows], "closed_on": days,
         "amount": [100.0 * (j + 1) for _, j in rows], "cost": [60.0 * (j + 1) for _, j in rows]}
    )  # fmt: skip
    lines = pd.DataFrame(
        {"deal_id": deals["deal_id"], "product_id": [PRODUCTS[j] for _, j in rows], "quantity": 1, "unit_price": deals["amount"]}
    )
    products = pd.DataFrame(
        {"product_id": PRODUCTS, "name": [f"Product {p}" for p in PRODUCTS], "category": ["a", "b", "a", "b", "a", "b"]}
    )
    started = [f"2025-0{1 + k % 9}-10 09:00:00" for k in range(40)]
    contacts = pd.DataFrame(
        {"interaction_id": [f"i{k:02d}" for k in range(40)], "client_id": [f"c{k % 20:03d}" for k in range(40)],
         "started_at": started, "channel": ["phone", "email"] * 20, "kind": ["sales", "service"] * 20,
         "topic": ["outage", "billing", "licence", "upgrade"] * 10,
         "handling_minutes": [30.0] * 40, "resolved_at": [None if k % 5 == 0 else s for k, s in enumerate(started)]}
    )  # fmt: skip
    return {"deals": deals, "deal_lines": lines, "products": products, "interactions": contacts}


DIFFERENT = {
    "industry": ["retail", "telecom", "retail", "healthcare"], "size_class": ["small", "large", "small", "small"],
    "segment": ["low_high", "high_low", "high_high", "low_low"], "owner": ["Ann", None, "Ann", "Bo"],
    "cost_to_serve": [5.0],
}  # fmt: skip
"""Clients c005 (large, telecom) and c015 (small, healthcare) differ in everything, and each has an open problem."""
