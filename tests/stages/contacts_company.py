"""A small company whose clients differ, and the whole of stage 5 on it, for the tests of its rooms."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import narwhals as nw
import pandas as pd
import pytest
import yaml

from crm_methods.company.contacts_plan import ContactsPlan, read_contacts
from crm_methods.company.intake import bring_in
from crm_methods.company.offers_plan import read_offers
from crm_methods.company.plans import Plan
from crm_methods.company.settings import load_company
from crm_methods.engine import EngineSettings, collect, open_engine
from crm_methods.stages import contacts, contacts_calendar, contacts_matrix, contacts_occasions, contacts_profile
from tests.conftest import MadeCompany, MakeCompany

AS_OF = dt.date(2025, 12, 31)


def tables() -> dict[str, pd.DataFrame]:
    """A large telecom client with an open outage, a small bakery without one, and a client that stopped buying."""
    deals = pd.DataFrame(
        [
            ("d1", "big", "2025-05-01", 90_000.0),
            ("d2", "big", "2025-12-01", 10_000.0),
            ("d3", "small", "2025-11-01", 500.0),
            ("d4", "gone", "2023-01-05", 700.0),
        ],
        columns=["deal_id", "client_id", "closed_on", "amount"],
    )
    clients = pd.DataFrame(
        [
            ("big", "Norse Telecom", "telecom", "SD-WAN", "Keller", "2015-03-20", "info@norse.example", "+1", "1 Fjord Street"),
            ("small", "Corner Bakery", "food", None, None, None, "hello@bakery.example", None, None),
            ("gone", "Old Mill", "manufacturing", None, "Maes", None, None, "+3", None),
        ],
        columns=["client_id", "name", "industry", "complementary_solutions", "owner", "since", "email", "phone", "address"],
    )
    persons = pd.DataFrame(
        [
            ("p1", "big", "Ada Berg", "director", "ada@norse.example", "+11", "phone", True, True),
            ("p2", "big", "Bo Dahl", "user", "bo@norse.example", "+12", None, True, None),
            ("p3", "small", "Cora Elm", "owner", "cora@bakery.example", None, "email", None, None),
        ],
        columns=[
            "person_id",
            "client_id",
            "name",
            "role",
            "email",
            "phone",
            "preferred_channel",
            "consent_email",
            "consent_phone",
        ],
    )
    contacts_made = pd.DataFrame(
        [
            (
                f"i{n}",
                client,
                f"2025-{1 + n % 12:02d}-10 09:00",
                "phone",
                "out",
                "ours",
                n % 2 == 0,
                "sales",
                "quotation",
                "sales",
                "account",
                30.0,
                1.0,
                None,
            )
            for n, client in enumerate(["big", "small"] * 10)
        ]
        + [
            (
                "r1",
                "big",
                "2025-12-20 10:00",
                "phone",
                "in",
                "theirs",
                None,
                "service",
                "outage",
                "support",
                "tech",
                50.0,
                0.0,
                None,
            )
        ]
        + [
            (
                "r2",
                "small",
                "2025-06-20 10:00",
                "email",
                "in",
                "theirs",
                None,
                "service",
                "billing",
                "support",
                "tech",
                20.0,
                0.0,
                "2025-06-21 10:00",
            )
        ],
        columns=[
            "interaction_id",
            "client_id",
            "started_at",
            "channel",
            "direction",
            "initiative",
            "answered",
            "kind",
            "topic",
            "department",
            "skill",
            "handling_minutes",
            "direct_cost",
            "resolved_at",
        ],
    )
    contracts = pd.DataFrame(
        [("v1", "big", "2023-07-01", "2026-06-30", 100.0)],
        columns=["contract_id", "client_id", "starts_on", "ends_on", "value_per_month"],
    )
    return {"deals": deals, "clients": clients, "contact_persons": persons, "interactions": contacts_made, "contracts": contracts}


SEGMENTS = pd.DataFrame(
    [
        ("big", "high_low", "raise_loyalty", 100_000.0),
        ("small", "low_low", "stimulate_sales", 500.0),
        ("gone", "low_low", "stimulate_sales", 0.0),
    ],
    columns=["client_id", "segment", "strategy", "revenue"],
)
FACTS = pd.DataFrame(
    [("big", "active", "large"), ("small", "active", "small"), ("gone", "lapsed", "unknown")],
    columns=["client_id", "state", "size_class"],
)
OFFERS = pd.DataFrame(
    [("big", "partner", "Router"), ("small", "standard", "Oven"), ("gone", "standard", None)],
    columns=["client_id", "service_package", "next_product"],
)
RATES = pd.DataFrame({"pool": ["sales", "support"], "rate_cost": [2.0, 1.0]})


@dataclass(frozen=True)
class Planned:
    """Everything stage 5 makes of a company."""

    made: MadeCompany
    plan: Plan[ContactsPlan]
    earlier: contacts_profile.Earlier
    days: contacts_profile.PlanDays
    work: pd.DataFrame
    profile: nw.LazyFrame[Any]
    occasions: nw.LazyFrame[Any]
    costs: contacts_matrix.UnitCosts
    matrix: contacts_matrix.ContactMatrix
    contacts: nw.LazyFrame[Any]

    def rows(self, client: str) -> pd.DataFrame:
        """The client's contacts in order."""
        return collect(self.contacts.filter(nw.col("client_id") == client)).sort_values(
            ["planned_on", "occasion"], ignore_index=True
        )


def plan_contacts(
    make_company: MakeCompany,
    rows: dict[str, pd.DataFrame] | None = None,
    *,
    plan_text: str | None = None,
    segments: pd.DataFrame = SEGMENTS,
    facts: pd.DataFrame | None = FACTS,
    offers: pd.DataFrame | None = OFFERS,
    rates: pd.DataFrame | None = RATES,
    max_contacts: int = 10_000,
    **settings: Any,
) -> Planned:
    """Carry stage 5 out on a made company, from its rows to the calendar."""
    made = make_company(tables() if rows is None else rows, as_of=AS_OF, **settings)
    if plan_text is not None:
        (made.folder / "contacts.yml").write_text(plan_text, encoding="utf-8")
    plan, packages, engine = read_contacts(made.folder), read_offers(Path("/nowhere")).content, made.data.engine

    def lazy(frame: pd.DataFrame | None) -> nw.LazyFrame[Any] | None:
        return None if frame is None else engine.frame(frame)

    earlier = contacts_profile.Earlier(segments=engine.frame(segments), facts=lazy(facts), offers=lazy(offers), rates=rates)
    days = contacts_profile.plan_days(made.settings, plan.content)
    work = contacts.contact_work(made.data, made.settings, earlier)
    profile = engine.frame(collect(contacts_profile.contact_profile(made.data, made.settings, plan.content, packages, earlier)))
    due = contacts_occasions.occasions_due(profile, made.settings, plan.content, days)
    occasions = engine.frame(collect(contacts_occasions.client_occasions(made.data, plan.content, packages, due)))
    costs = contacts_matrix.unit_costs(made.settings, plan, work)
    assumed = contacts_occasions.assumed_addresses(made.data, plan.content)
    matrix = contacts_matrix.contact_matrix(made.settings, plan, earlier, occasions, costs, assumed)
    assert isinstance(matrix, contacts_matrix.ContactMatrix)
    planned = contacts_calendar.contact_calendar(
        engine, made.settings, plan.content, days, occasions, profile, costs, max_contacts
    )
    return Planned(made, plan, earlier, days, work, profile, occasions, costs, matrix, engine.frame(collect(planned)))


@pytest.fixture(scope="session")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planned]:
    """Stage 5 on the small company as it is, once for all tests that only look."""
    folder = tmp_path_factory.mktemp("contacts")
    engine = open_engine(EngineSettings(memory_limit="1GB", threads=1), folder / "spill")

    def make(rows: dict[str, pd.DataFrame], **settings: Any) -> MadeCompany:
        for name, frame in rows.items():
            frame.to_csv(folder / f"{name}.csv", index=False)
        told = {"company": "Example", "currency": "EUR", **settings, "tables": {name: {"file": f"{name}.csv"} for name in rows}}
        (folder / "company.yml").write_text(yaml.safe_dump(told), encoding="utf-8")
        company = load_company(folder)
        return MadeCompany(folder, company, bring_in(company, folder, engine, folder / "canonical"))

    yield plan_contacts(make)
    engine.close()
