"""A company whose clients' costs fall by a known rate in their first years, while all costs drift."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import narwhals as nw
import numpy as np
import pandas as pd

from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.stages.segments import CostToServe
from tests.stages.plain_canonical import plain_data

FALL, DRIFT = -0.2, 0.1
"""Of log cost, a year: in a client's first four years, and of all clients over the calendar."""
AS_OF = dt.date(2025, 12, 31)


def loyal_company(tmp_path: Path, *, old: int = 25, young: int = 25, days: int = 1_100) -> tuple[Canonical, Company]:
    """Clients that buy every month and cause two contacts a month; ``old`` ones are clients since 2012."""
    rng = np.random.default_rng(11)
    deals, contacts, clients = [], [], []
    for number in range(old + young):
        client, is_old = f"c{number:02}", number < old
        first = int(rng.integers(0, 30) if is_old else rng.integers(min(370, days // 2), max(371, days - 400)))
        since = dt.date(2012, 1, 1) if is_old else AS_OF - dt.timedelta(days=days - first)
        clients.append((client, since))
        level = rng.lognormal(3, 0.5)
        for day in range(first, days, 30):
            closed = AS_OF - dt.timedelta(days=days - day)
            deals.append((client, closed, float(rng.lognormal(6, 0.3))))
            for after in (3, 17):
                at = min(closed + dt.timedelta(days=after), AS_OF)
                fall = np.exp(FALL * min((at - since).days / 365.25, 4.0) + DRIFT * (day + after) / 365.25)
                contacts.append((client, dt.datetime(at.year, at.month, at.day), float(level * fall * rng.lognormal(0, 0.1))))
    return plain_data(
        tmp_path,
        {
            "clients": pd.DataFrame(clients, columns=["client_id", "since"]),
            "deals": pd.DataFrame(deals, columns=["client_id", "closed_on", "amount"]),
            "interactions": pd.DataFrame(contacts, columns=["client_id", "started_at", "handling_minutes"]),
        },
        as_of=AS_OF,
    )


def cost_at(rate: float) -> CostToServe:
    """A cost to serve in which a minute of support costs ``rate``."""
    table = pd.DataFrame({"pool": ["support"], "rate_cost": [rate], "status": ["allocated"]})
    nobody = nw.from_native(pd.DataFrame()).lazy()
    return CostToServe(sentence="", table=table, caption="", activities=pd.DataFrame(), by_client=nobody)
