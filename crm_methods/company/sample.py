"""The sample company Meridian Networks, written from one seed with its known truth.

``python -m crm_methods.company.sample data/meridian`` rewrites its tables and ``truth.json``;
``company.yml`` and the README beside them are kept by hand. The rooms behind it:
``sample_world`` (who buys when), ``sample_programmes`` (what programmes cause), ``sample_deals``,
``sample_service`` (contacts, cost, service levels), ``sample_people`` (clients, surveys), ``sample_dirt``.
It shares no code with the estimators, and no estimator reads ``truth.json``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crm_methods.company import sample_people as people
from crm_methods.company.sample_deals import PRODUCTS, Sales, bill, record_sales
from crm_methods.company.sample_dirt import dirty
from crm_methods.company.sample_programmes import CAMPAIGNS, Actions, draw_actions, reward_movements
from crm_methods.company.sample_service import (
    ACTIVITIES,
    STAFF,
    Service,
    ledger,
    moment,
    process_events,
    record_service,
)
from crm_methods.company.sample_truth import truth_of
from crm_methods.company.sample_world import FIRST_DAY, World, build_world


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The company as exported: tables of text by canonical name, and the truth behind them."""

    tables: Mapping[str, pd.DataFrame]
    truth: Mapping[str, Any]


def simulate() -> Sample:
    """Draw the company: the same tables and the same truth every time."""
    world = build_world()
    actions = draw_actions(world)
    sales = record_sales(world, actions)
    service = record_service(world, sales)
    persons = people.person_records(world, list(people.client_records(world)["email"]))
    clean = {
        **_client_tables(world, persons, service),
        **_sales_tables(world, sales),
        **_service_tables(world, service, sales, persons),
        **_programme_tables(world, actions, sales),
        "assessments": people.assessments().astype(str),
        "internal_actions": people.internal_actions().astype(str),
    }
    taking_part = frozenset(clean["programme_members"]["client_id"])
    dirtied = dirty(clean, world, service.cells, taking_part)
    variants = list(dirtied.planted["duplicates"]["variants"].items())
    merges = pd.DataFrame([(*variants[0], "Brandt")], columns=["client_id", "into", "decided_by"])
    truth = truth_of(world, actions, sales, service, dirtied.planted)
    return Sample(tables={**dirtied.tables, "merges": merges}, truth=truth)


def write_sample(folder: Path) -> None:
    """Write every table as ``<table>.csv`` and the truth as ``truth.json`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    sample = simulate()
    for name, table in sorted(sample.tables.items()):
        table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n", encoding="utf-8")
    text = json.dumps(sample.truth, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / "truth.json").write_bytes((text + "\n").encode())


def _dates(days: Any) -> list[str]:
    """Days since ``FIRST_DAY`` as ISO dates; −1 and less become empty."""
    values = np.asarray(days, dtype=np.int64)
    texts = np.datetime_as_string(FIRST_DAY + values)
    return [str(text) if known else "" for text, known in zip(texts, values > -1, strict=True)]


def _early_dates(days: Any) -> list[str]:
    """The same for days that may lie before ``FIRST_DAY``."""
    return [str(text) for text in np.datetime_as_string(FIRST_DAY + np.asarray(days, dtype=np.int64))]


def _times(minutes: Any) -> list[str]:
    """Minutes since ``FIRST_DAY`` as ISO times to the minute; NaN becomes empty."""
    texts = np.datetime_as_string(moment(np.asarray(minutes, dtype=float)), unit="m")
    return ["" if text == "NaT" else str(text).replace("T", " ") for text in texts]


def _decimals(values: Any, digits: int = 2) -> list[str]:
    """Fixed decimals; NaN becomes empty."""
    return ["" if np.isnan(v) else f"{v:.{digits}f}" for v in np.asarray(values, dtype=float)]


def _deal_ids(numbers: Any) -> list[str]:
    return [f"D{n + 1:05d}" if n >= 0 else "" for n in np.asarray(numbers, dtype=np.int64)]


def _interaction_ids(numbers: Any) -> list[str]:
    return [f"I{n + 1:05d}" for n in np.asarray(numbers, dtype=np.int64)]


def _yes_no(values: Any) -> list[str]:
    return ["" if v is None else "true" if v else "false" for v in values]


def _client_tables(world: World, persons: pd.DataFrame, service: Service) -> dict[str, pd.DataFrame]:
    ids = world.clients["client_id"].to_numpy()
    surveys = people.survey_answers(world, service.cells, persons)
    surveys = surveys.assign(client_id=ids[surveys["client"]], answered_on=_dates(surveys["on"]))
    first = ["response_id", "client_id", "person_id", "answered_on"]
    rest = [c for c in surveys.columns if c not in {*first, "client", "on"}]
    persons = persons.assign(client=ids[persons["client"]]).rename(columns={"client": "client_id"})
    return {
        "clients": people.client_records(world),
        "contact_persons": persons,
        "surveys": surveys[[*first, *rest]].astype(str),
    }


def _sales_tables(world: World, sales: Sales) -> dict[str, pd.DataFrame]:
    ids = world.clients["client_id"].to_numpy()
    deals, lines, invoices, terms = sales.deals, sales.lines, bill(sales, world), world.terms
    codes = np.array([product[0] for product in PRODUCTS], dtype=object)
    return {
        "deals": pd.DataFrame({
            "deal_id": _deal_ids(deals["deal"]), "client_id": ids[deals["client"]], "status": deals["status"],
            "kind": deals["kind"], "opened_on": _early_dates(deals["opened"]), "closed_on": _dates(deals["closed"]),
            "amount": _decimals(deals["amount"]), "cost": _decimals(deals["cost"]),
            "discount_share": [f"{share:g}" for share in deals["discount"]], "terms": deals["terms"],
            "distribution_channel": deals["channel"], "loss_reason": deals["loss_reason"],
            "competitor": deals["competitor"], "owner": deals["owner"],
        }),
        "deal_lines": pd.DataFrame({
            "deal_id": _deal_ids(lines["deal"]), "product_id": codes[lines["product"]],
            "quantity": lines["quantity"].astype(str), "unit_price": _decimals(lines["unit_price"]),
            "cost": _decimals(lines["cost"]),
        }),
        "products": pd.DataFrame(
            [(code, name, line, f"{price:.2f}", f"{price * (1 - margin):.2f}")
             for code, name, line, price, margin, _ in PRODUCTS],
            columns=["product_id", "name", "category", "list_price", "unit_cost"],
        ),
        "invoices": pd.DataFrame({
            "invoice_id": [f"N{i + 1:05d}" for i in range(len(invoices))], "client_id": ids[invoices["client"]],
            "deal_id": _deal_ids(invoices["deal"]), "amount": _decimals(invoices["amount"]),
            "issued_on": _dates(invoices["issued"]), "due_on": _dates(invoices["due"]), "paid_on": _dates(invoices["paid"]),
        }),
        "contracts": pd.DataFrame({
            "contract_id": [f"V{i + 1:03d}" for i in range(len(terms))], "client_id": ids[terms["client"]],
            "starts_on": _dates(terms["start"]), "ends_on": _dates(terms["end"]),
            "value_per_month": _decimals(terms["per_month"]), "ended_by": np.where(terms["ended"], "client", ""),
        }),
    }  # fmt: skip


def _service_tables(world: World, service: Service, sales: Sales, persons: pd.DataFrame) -> dict[str, pd.DataFrame]:
    ids = world.clients["client_id"].to_numpy()
    contacts, events, costs = service.interactions, process_events(service), ledger()
    activity = np.array([a[:4] for a in ACTIVITIES], dtype=object)[contacts["activity"]]
    first_person = persons.groupby("client")["person_id"].first().to_numpy()
    return {
        "interactions": pd.DataFrame({
            "interaction_id": _interaction_ids(contacts.index), "client_id": ids[contacts["client"]],
            "person_id": first_person[contacts["client"]], "deal_id": _deal_ids(contacts["deal"]),
            "started_at": _times(contacts["at"]), "channel": activity[:, 1],
            "direction": np.where(contacts["ours"], "out", "in"), "initiative": np.where(contacts["ours"], "ours", "theirs"),
            "answered": _yes_no(contacts["answered"]), "kind": activity[:, 2], "topic": contacts["topic"],
            "reason": contacts["reason"], "department": activity[:, 0], "skill": activity[:, 3],
            "handling_minutes": _decimals(contacts["minutes"], 0),
            "direct_cost": [str(int(c)) if c > 0 else "" for c in contacts["direct_cost"]],
            "first_response_at": _times(contacts["response"]), "resolved_at": _times(contacts["solved"]),
            "reopened": _yes_no(contacts["reopened"]),
        }),
        "process_events": pd.DataFrame({
            "case_id": _interaction_ids(events["interaction"]), "client_id": ids[events["client"]],
            "activity": events["activity"], "at": _times(events["at"]), "resource": events["resource"],
            "department": events["department"],
        }),
        "cost_ledger": costs.assign(
            month=np.datetime_as_string(costs["month"].to_numpy().astype("datetime64[D]")), amount=_decimals(costs["amount"])
        ),
        "staff": pd.DataFrame(
            [(skill, department, str(n), f"{hours:.0f}", f"{cost:.2f}") for skill, department, n, hours, cost, _ in STAFF],
            columns=["skill", "department", "people", "hours_per_month", "cost_per_hour"],
        ),
        "exchange_rates": pd.DataFrame(
            [(currency, f"{year}-{month:02d}-01", f"{rate + 0.004 * (year - 2022) - 0.002 * (month // 6):.4f}")
             for currency, rate in (("CHF", 1.021), ("GBP", 1.158)) for year in range(2022, 2026) for month in (1, 4, 7, 10)],
            columns=["currency", "on", "rate"],
        ),
    }  # fmt: skip


def _programme_tables(world: World, actions: Actions, sales: Sales) -> dict[str, pd.DataFrame]:
    ids = world.clients["client_id"].to_numpy()
    members, arms = actions.members, actions.arms
    rewards = reward_movements(world, actions, sales.deals)
    started = {key: str(campaign["started_on"]) for key, campaign in CAMPAIGNS.items()}
    return {
        "programme_members": pd.DataFrame({
            "client_id": ids[members["client"]], "programme_id": members["programme_id"],
            "invited_on": _dates(members["invited"]), "joined_on": _dates(members["joined"]),
            "left_on": _dates(members["left"]), "tier": members["tier"],
        }),
        "rewards": pd.DataFrame({
            "client_id": ids[rewards["client"]], "programme_id": rewards["programme_id"], "on": _dates(rewards["on"]),
            "kind": rewards["kind"], "points": _decimals(rewards["points"], 0), "cost": _decimals(rewards["cost"]),
        }),
        "campaigns": pd.DataFrame(
            [(key, started[key], str(campaign["kind"])) for key, campaign in CAMPAIGNS.items()],
            columns=["campaign_id", "started_on", "kind"],
        ),
        "assignments": pd.DataFrame({
            "campaign_id": arms["campaign_id"], "client_id": ids[arms["client"]], "arm": arms["arm"],
            "assigned_on": arms["campaign_id"].map(started),
        }),
    }  # fmt: skip


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Write the sample company's tables and truth into a folder.")
    arguments.add_argument("folder", type=Path)
    write_sample(arguments.parse_args().folder)
