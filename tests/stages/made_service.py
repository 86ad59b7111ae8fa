"""A small company with requests, packages and staff, for the tests of stage 4."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods.company.offers_plan import OffersPlan, read_offers
from crm_methods.company.plans import Plan
from crm_methods.company.procedures_plan import ProceduresPlan, read_procedures
from crm_methods.stages import processes
from tests.conftest import MadeCompany, MakeCompany

PACKAGES = {"high_low": "personal", "low_high": "essential", "low_low": "standard"}
STRATEGIES = {"high_low": "raise_loyalty", "low_high": "cut_costs", "low_low": "stimulate_sales"}
_COLUMNS = (
    "client_id", "started_at", "first_response_at", "resolved_at", "kind", "initiative", "department", "skill", "channel",
    "topic",
    "handling_minutes",
)  # fmt: skip


def contact(
    client: str, started: str, answer_hours: float | None = None, solve_hours: float | None = None, **more: Any
) -> dict[str, Any]:
    """A request of a client; hours are elapsed ones, None is open."""
    start = dt.datetime.fromisoformat(started)

    def after(hours: float | None) -> dt.datetime | None:
        return None if hours is None else start + dt.timedelta(hours=hours)

    told = {
        "kind": "service",
        "initiative": "theirs",
        "department": "support",
        "skill": "tech",
        "channel": "phone",
        "topic": "outage",
    }
    times = {"first_response_at": after(answer_hours), "resolved_at": after(solve_hours)}
    return {"client_id": client, "started_at": start, **times, "handling_minutes": 30.0, **told, **more}


@dataclass(frozen=True)
class Served:
    """A made company with everything its stage 4 needs."""

    made: MadeCompany
    plan: Plan[ProceduresPlan]
    offers: Plan[OffersPlan]
    packages: pd.DataFrame
    clients: nw.LazyFrame[Any]
    requests: nw.LazyFrame[Any]

    def level(self) -> Any:
        """The answer to the question of the service level."""
        return processes.service_level(
            self.made.data, self.made.settings, self.plan, self.offers.content, self.packages, self.clients, self.requests
        )

    def procedures(self) -> processes.Procedures:
        """The procedures of every segment."""
        seen = processes.contacts_seen(self.made.data, self.made.settings, self.plan, self.clients)
        return processes.procedures(self.made.data, self.made.settings, self.plan, self.offers, self.packages, seen, self.level())


def serve(make_company: MakeCompany, segments: dict[str, str], contacts: list[dict[str, Any]], **tables: Any) -> Served:
    """A company whose clients stand in ``segments`` and had ``contacts``; other tables and settings by name."""
    frames = {name: value for name, value in tables.items() if isinstance(value, pd.DataFrame)}
    settings = {name: value for name, value in tables.items() if name not in frames}
    deals = pd.DataFrame(
        {
            "deal_id": [f"d{i}" for i in range(len(segments))],
            "client_id": list(segments),
            "closed_on": "2025-06-01",
            "amount": 100.0,
        }
    )
    rows = pd.DataFrame(contacts, columns=list(dict.fromkeys([*_COLUMNS, *(key for c in contacts for key in c)])))
    if contacts:
        frames["interactions"] = rows.assign(interaction_id=[f"i{i}" for i in range(len(rows))])
    return served_by(make_company({"deals": deals, **frames}, **settings), segments)


def served_by(made: MadeCompany, segments: dict[str, str]) -> Served:
    """A company's stage 4 for clients that stand in ``segments``, each with its segment's package."""
    plan, offers = read_procedures(Path(made.folder)), read_offers(Path(made.folder))
    used = sorted(set(segments.values()))
    packages = pd.DataFrame(
        {
            "segment": used,
            "strategy": [STRATEGIES.get(s, "raise_loyalty") for s in used],
            "service_package": [PACKAGES.get(s, "personal") for s in used],
        }
    )
    place = packages.set_index("segment")
    placed = pd.DataFrame({"client_id": list(segments), "segment": list(segments.values())})
    placed = placed.assign(**{column: placed["segment"].map(place[column]) for column in ("strategy", "service_package")})
    frame = made.data.engine.frame(placed)
    clients = written(made, "clients", processes.served_clients(made.data, frame, frame, offers.content))
    requests = written(made, "requests", processes.service_requests(made.data, made.settings, plan, clients))
    return Served(made, plan, offers, packages, clients, requests)


def written(made: MadeCompany, name: str, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """The frame, written and read again, as a notebook does."""
    path = made.data.folder / f"of_test_{name}.parquet"
    made.data.engine.write(frame, path, ["client_id"])
    return made.data.engine.scan(path)
