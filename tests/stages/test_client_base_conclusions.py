"""What the stage keeps of its results."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from crm_methods.stages import (
    client_base,
    client_base_bridge,
    client_base_contacts,
    client_base_deals,
    client_base_drift,
    client_base_duplicates,
    client_base_fields,
    client_base_flow,
    client_base_gaps,
    client_base_groups,
    client_base_referrals,
    client_base_requests,
    client_base_rules,
    client_base_terms,
)
from crm_methods.stages.client_base_conclusions import conclude, write_tables
from tests.conftest import MadeCompany, MakeCompany


@dataclass(slots=True)
class Notebook:
    """Keeps what it is told, as a stage does."""

    tables: dict[str, Any] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)
    checks: dict[str, bool] = field(default_factory=dict)
    headlines: dict[str, float | None] = field(default_factory=dict)

    def write(self, name: str, frame: Any, **_: Any) -> None:
        self.tables[name] = frame

    def finding(self, *texts: str) -> None:
        self.findings.extend(texts)

    def decision(self, text: str) -> None:
        self.decisions.append(text)

    def check(self, name: str, passed: bool, detail: str) -> None:
        self.checks[name] = passed

    def headline(
        self, key: str, label: str, text: str, *, value: float | None = None, interval: str | None = None, note: str = ""
    ) -> None:
        self.headlines[key] = value


def _concluded(made: MadeCompany) -> Notebook:
    data, settings, notes = made.data, made.settings, Notebook()
    facts = client_base.client_facts(data, settings)
    filled = client_base_fields.filled_fields(data, settings, facts)
    known = client_base_gaps.completeness(data, settings, filled)
    results = (
        client_base.reconciliation(data, settings),
        client_base_duplicates.duplicates(data, settings, facts),
        client_base_bridge.revenue_bridge(data, settings, facts),
        client_base_flow.monthly_flow(data, settings),
        client_base_flow.concentration(data, settings, facts),
        known,
        client_base_gaps.gaps(data, settings, known),
    )
    service = _on_service(made)
    drift = client_base_drift.data_drift(data, settings, None, None)
    beside = (
        drift, client_base_rules.decided_by_rule(data), client_base_rules.deal_kinds(data, settings),
        client_base_groups.groups(data, settings, facts, results[1]), client_base_flow.cohorts(data, settings),
    )  # fmt: skip
    conclude(notes, settings, facts, *results, client_base_gaps.data_requests(data, settings, filled, known), drift, *service)
    write_tables(notes, *results, *beside, *service)
    return notes


def _on_service(made: MadeCompany) -> tuple[Any, ...]:
    """The answers on deals, requests, referrals and contacts."""
    data, settings = made.data, made.settings
    facts = client_base.client_facts(data, settings)
    path = made.folder / "decided_deals.parquet"
    data.engine.write(client_base_deals.decided_deals(data, settings, facts), path, ["deal_id"])
    deals = data.engine.scan(path)
    won = client_base_deals.won_and_lost(data, settings, deals)
    asked = client_base_requests.client_requests(data, settings)
    return (
        won,
        client_base_deals.loss_reasons(data, settings, deals),
        client_base_deals.cycle_and_discount(data, settings, deals, won),
        client_base_terms.terms(data, settings),
        client_base_terms.delivery(data, settings),
        client_base_requests.topics(data, settings, asked),
        client_base_requests.requests_per_client(data, settings, facts, asked),
        client_base_requests.time_to_solve(data, settings, asked),
        client_base_referrals.referrals(data, settings, facts),
        client_base_referrals.promoters(data, settings, facts),
        client_base_contacts.channels(data, settings),
        client_base_contacts.preferred_channels(data, client_base_contacts.client_channels(data, settings)),
    )


DEALS = pd.DataFrame(
    {
        "deal_id": range(6), "client_id": list("aabbcc"), "amount": [5.0, 6.0, 7.0, 8.0, 9.0, 1.0],
        "closed_on": ["2024-01-05", "2025-03-01", "2024-02-01", "2025-02-01", "2024-03-01", "2024-04-01"],
    }
)  # fmt: skip


def test_three_clients_are_enough_for_every_table_and_check(make_company: MakeCompany):
    notes = _concluded(make_company({"deals": DEALS}))

    assert notes.checks == {"Control totals": True, "Revenue bridge": True, "Active clients": True}
    kept = (
        "intake_totals intake_rules deal_kinds input_drift client_duplicates client_groups revenue_bridge monthly_flow"
        " cohort_retention concentration completeness data_gaps"
    )
    assert set(notes.tables) == set(kept.split())
    assert notes.headlines["active_clients"] == 2
    assert len(notes.findings) == 5
    assert notes.decisions[0].startswith("To decide now: supply the table")


def test_what_could_not_be_answered_is_left_out(make_company: MakeCompany):
    contacts = pd.DataFrame({"interaction_id": ["1"], "client_id": ["a"], "started_at": ["2025-06-01 10:00:00"]})
    notes = _concluded(make_company({"interactions": contacts}))

    kept = "intake_totals intake_rules input_drift client_duplicates client_groups requests_per_client completeness data_gaps"
    assert set(notes.tables) == set(kept.split())
    assert notes.checks == {"Control totals": True}
    assert notes.headlines == {}


def test_deals_requests_and_contacts_leave_their_tables_and_findings(make_company: MakeCompany):
    deals = pd.concat([DEALS, DEALS.assign(deal_id=range(6, 12), status="lost")])
    deals = deals.assign(terms="net 30", opened_on="2024-01-01", loss_reason="price", status=deals["status"].fillna("won"))
    contacts = pd.DataFrame(
        {
            "interaction_id": range(6), "client_id": list("aabbcc"), "channel": ["phone", "email"] * 3,
            "direction": ["in", "out"] * 3,
            "started_at": "2025-06-01 10:00:00", "resolved_at": "2025-06-02 10:00:00", "topic": "outage",
        }
    )  # fmt: skip
    clients = pd.DataFrame(
        {"client_id": list("abc"), "acquired_via": ["web", "referral", "web"], "referred_by": [None, "a", None]}
    )
    notes = _concluded(make_company({"deals": deals, "interactions": contacts, "clients": clients}))
    kept = (
        "win_rates win_rate_spread deal_cycles loss_reasons purchase_terms request_topics requests_per_client request_times"
        " referral_revenue promoters contact_channels preferred_channels"
    )

    assert set(kept.split()) <= set(notes.tables)
    # Nothing is known of deliveries: that answer leaves no table.
    assert "deliveries" not in notes.tables
    assert len(notes.findings) == 8


def test_deals_without_dates_still_say_who_is_large(make_company: MakeCompany):
    made = make_company({"deals": DEALS})
    # A wide spend table has no days: its deals come in without them.
    path = made.data.folder / "deals.parquet"
    undated = pd.read_parquet(path).assign(closed_on=pd.Series([None] * len(DEALS), dtype="datetime64[ns]"))
    undated.to_parquet(path)
    supplied = {**made.data.supplied, "deals": made.data.supplied["deals"] - {"closed_on"}}
    notes = _concluded(MadeCompany(made.folder, made.settings, dataclasses.replace(made.data, supplied=supplied)))

    assert "concentration" in notes.tables
    assert not {"revenue_bridge", "monthly_flow", "cohort_retention"} & set(notes.tables)
