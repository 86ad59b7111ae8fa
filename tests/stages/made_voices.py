"""A company whose clients answer surveys, lose deals and complain, for the tests of what segments want."""

from __future__ import annotations

import datetime as dt
from typing import Any

import narwhals as nw
import pandas as pd

from tests.conftest import MadeCompany, MakeCompany

SEGMENTS = ("high_low", "low_high")


def segments_of(made: MadeCompany, clients: dict[str, str]) -> nw.LazyFrame[Any]:
    """The written table of segments, as far as what clients say needs it."""
    frame = pd.DataFrame({"client_id": list(clients), "segment": list(clients.values()), "strategy": "cut_costs"})
    return made.data.engine.frame(frame)


def surveys_of(clients: dict[str, str], **answers: dict[str, float]) -> pd.DataFrame:
    """One answer per client; each column has one value per segment, and changes a little from client to client."""
    rows = [
        {
            "response_id": f"r{i}", "client_id": client, "answered_on": dt.date(2025, 6, 1), "by": "client",
            **{name: by_segment[segment] + (i // 2 % 2) for name, by_segment in answers.items()},
        }
        for i, (client, segment) in enumerate(clients.items())
    ]  # fmt: skip
    return pd.DataFrame(rows)


def talking(make_company: MakeCompany, clients: dict[str, str]) -> MadeCompany:
    """Price matters most to all; the costly wait longer, leave for it and complain of it; deals are lost for the same reasons."""
    both = dict.fromkeys(SEGMENTS, 4.0)
    surveys = surveys_of(
        clients,
        importance_price=both,
        importance_speed=dict.fromkeys(SEGMENTS, 2.0),
        rating_price=both,
        rating_speed={"high_low": 7.0, "low_high": 3.0},
        nps={"high_low": 8.0, "low_high": 4.0},
    ).assign(expected_speed=8.0)
    surveys = surveys.assign(leave_reason=[{"high_low": "price", "low_high": "Slow"}[segment] for segment in clients.values()])
    staff = surveys.head(6).assign(response_id=lambda s: "s" + s["response_id"], by="staff", importance_speed=5.0)
    lost = pd.DataFrame(
        [(f"l{i}", c, dt.date(2025, 5, 1), 10.0, "lost", ("price", "budget")[i // 2 % 2]) for i, c in enumerate(clients)],
        columns=["deal_id", "client_id", "closed_on", "amount", "status", "loss_reason"],
    )
    contacts = pd.DataFrame(
        {
            "interaction_id": [f"i{i}" for i in range(len(clients))],
            "client_id": list(clients),
            "started_at": "2025-05-01 10:00:00",
            "kind": "complaint",
            "topic": [{"high_low": "billing", "low_high": "waiting"}[segment] for segment in clients.values()],
        }
    )
    return make_company({"deals": lost, "surveys": pd.concat([surveys, staff]), "interactions": contacts})
