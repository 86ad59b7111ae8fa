"""A base with a programme whose effect is known: members are larger, and gain 50 of margin a month from joining on."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd

GAIN = 50.0


def programme_tables(members: int = 40, others: int = 80, gain: float = GAIN, seed: int = 3) -> dict[str, pd.DataFrame]:
    """Deals of 2024 and 2025, one per client and month, and a programme joined in two waves of 2025."""
    random = np.random.default_rng(seed)
    clients = [f"c{i:03d}" for i in range(members + others)]
    waves = np.where(np.arange(members) % 2 == 0, 12, 15)
    rows = []
    for i, client in enumerate(clients):
        level = 300.0 if i < members else 100.0
        for month in range(24):
            added = gain if i < members and month >= waves[i] else 0.0
            margin = level + random.normal(0, 20) + added
            rows.append((client, dt.date(2024 + month // 12, month % 12 + 1, 15), round(3 * margin, 2), round(2 * margin, 2)))
    deals = pd.DataFrame(rows, columns=["client_id", "closed_on", "amount", "cost"])
    joined = [dt.date(2025, 1, 1) if wave == 12 else dt.date(2025, 4, 1) for wave in waves]
    joining = pd.DataFrame({"client_id": clients[:members], "programme_id": "plus", "joined_on": joined})
    rewards = pd.DataFrame(
        {
            "client_id": [clients[0]],
            "programme_id": ["plus"],
            "on": [dt.date(2025, 6, 1)],
            "kind": ["redeem"],
            "points": [0],
            "cost": [900.0],
        }
    )
    return {"deals": deals.assign(deal_id=[f"d{i}" for i in range(len(deals))]), "programme_members": joining, "rewards": rewards}
