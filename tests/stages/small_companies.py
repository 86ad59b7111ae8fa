"""Companies of a few clients, with or without costs, that the tests of stage 2 share."""

from __future__ import annotations

import datetime as dt

import pandas as pd

from tests.conftest import MadeCompany, MakeCompany


def deals_of(amounts: dict[str, float]) -> pd.DataFrame:
    """One won deal per client."""
    rows = [(f"d{i}", client, dt.date(2025, 6, 1), amount) for i, (client, amount) in enumerate(amounts.items())]
    return pd.DataFrame(rows, columns=["deal_id", "client_id", "closed_on", "amount"])


def contacts_of(minutes: dict[str, float]) -> pd.DataFrame:
    """One contact with the support team per client, of so many minutes."""
    frame = pd.DataFrame({"client_id": list(minutes), "handling_minutes": list(minutes.values())})
    ids = [f"i{i}" for i in range(len(frame))]
    return frame.assign(
        interaction_id=ids, started_at="2025-06-01 10:00:00", department="support", channel="phone", kind="service"
    )


def costed(make_company: MakeCompany, amounts: dict[str, float], minutes: dict[str, float], **settings: object) -> MadeCompany:
    """Clients with revenue at a margin of half, and a support team of 1,000 a month that they use."""
    deals = deals_of(amounts).assign(cost=lambda d: d["amount"] / 2)
    ledger = pd.DataFrame({"pool": "support", "month": [dt.date(2025, m, 1) for m in range(1, 13)], "amount": 1_000.0})
    staff = pd.DataFrame(
        [{"skill": "any", "department": "support", "people": 1.0, "hours_per_month": 100.0, "cost_per_hour": 10.0}]
    )
    return make_company({"deals": deals, "interactions": contacts_of(minutes), "cost_ledger": ledger, "staff": staff}, **settings)


def loyal_and_costly(make_company: MakeCompany, clients: int = 40, **settings: object) -> MadeCompany:
    """Clients with several purchases over two years, whose sizes and costs differ."""
    bought = [
        (f"d{c:02}{n}", f"c{c:02}", dt.date(2024, 1, 10) + dt.timedelta(days=(37 * c) % 90 + (20 + 3 * c) * n), 100.0 + 30 * c)
        for c in range(clients)
        for n in range(1 + c % 9)
    ]
    deals = pd.DataFrame(bought, columns=["deal_id", "client_id", "closed_on", "amount"]).assign(cost=lambda d: d["amount"] / 2)
    minutes = {f"c{c:02}": 5.0 + 60.0 * ((c * 7) % 11) for c in range(clients)}
    base = costed(make_company, {"c00": 1.0}, minutes).folder
    tables = {name: pd.read_csv(base / f"{name}.csv") for name in ("interactions", "cost_ledger", "staff")}
    return make_company({"deals": deals, **tables}, **settings)
