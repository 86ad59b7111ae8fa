from __future__ import annotations

import re

import pytest

from crm_methods.company.contracts import TABLES, Column, describe, missing_for
from crm_methods.company.questions import QUESTIONS

DESIGNED = {
    "deals": "deal_id client_id closed_on amount status kind opened_on cost margin currency discount_share terms "
    "distribution_channel loss_reason competitor owner promised_on delivered_on delivery_cost",
    "deal_lines": "deal_id product_id quantity unit_price discount_share cost",
    "products": "product_id name category list_price unit_cost",
    "invoices": "invoice_id client_id deal_id amount currency issued_on due_on paid_on",
    "contracts": "contract_id client_id starts_on ends_on value_per_month ended_by",
    "clients": "client_id name parent_id tax_id industry territory employees turnover complementary_solutions owner since "
    "acquired_via referred_by email phone address",
    "contact_persons": "person_id client_id name role email phone preferred_channel consent_email",
    "interactions": "interaction_id client_id person_id deal_id started_at channel direction initiative answered kind topic "
    "reason department skill handling_minutes direct_cost first_response_at resolved_at reopened",
    "process_events": "case_id client_id topic activity at resource department",
    "cost_ledger": "pool month amount",
    "staff": "skill department people hours_per_month cost_per_hour",
    "surveys": "response_id client_id person_id answered_on nps csat effort rating_price importance_price expected_price "
    "leave_reason comment by",
    "programme_members": "client_id programme_id invited_on joined_on left_on tier",
    "rewards": "client_id programme_id on kind points cost",
    "campaigns": "campaign_id started_on kind",
    "assignments": "campaign_id client_id arm assigned_on",
    "assessments": "item dimension level rater evidence on",
    "internal_actions": "kind owner due cost result",
    "exchange_rates": "currency on rate",
    "merges": "client_id into decision decided_by",
}
COLUMNS = [(table, column) for table in TABLES.values() for column in table.columns]


def test_every_table_and_column_of_the_design_is_declared():
    assert set(TABLES) == set(DESIGNED)
    for name, columns in DESIGNED.items():
        assert [c for c in columns.split() if TABLES[name].column(c) is None] == []
        assert set(TABLES[name].names) <= set(columns.split())


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=lambda x: getattr(x, "name", ""))
def test_every_column_serves_a_known_question_and_says_what_it_means(table, column: Column):
    assert column.questions
    assert set(column.questions) <= set(QUESTIONS)
    assert re.match(r"[A-Z].*[^.]$", column.meaning)
    assert re.fullmatch(r"[a-z_]+\*?", column.name)


def test_keys_are_columns_that_are_not_families():
    for table in TABLES.values():
        assert set(table.key) <= set(table.names)


def test_columns_of_a_table_have_different_names():
    for table in TABLES.values():
        assert len(set(table.names)) == len(table.names)


def test_everything_a_question_needs_is_declared_and_serves_it():
    for question in QUESTIONS.values():
        for choice in (c for need in question.needs for c in need.split("|")):
            table, name = choice.split(".")
            if table == "settings":
                continue
            column = TABLES[table].column(name)
            assert column is not None, choice
            assert question.key in column.questions, f"{choice} does not say that it serves {question.key}"


def test_personal_columns_are_marked():
    marked = {f"{t.name}.{c.name}" for t, c in COLUMNS if c.personal}
    assert {"clients.name", "clients.email", "clients.phone", "clients.address", "contact_persons.name", "contact_persons.email",
            "contact_persons.phone", "deals.owner", "clients.owner", "surveys.comment"} <= marked  # fmt: skip


def test_a_family_covers_its_prefix():
    surveys = TABLES["surveys"]
    assert surveys.column("rating_delivery") is surveys.column("rating_price")
    assert surveys.column("rating") is None


def test_missing_columns_are_described_in_words():
    nothing: dict[str, frozenset[str]] = {}
    assert missing_for("segments.whale_curve", {"deals": frozenset({"margin"})}) == ()
    (margin,) = missing_for("segments.whale_curve", {"deals": frozenset({"amount"})})
    assert margin.startswith("deals.margin (amount less cost")
    either = missing_for("segments.cost_to_serve", nothing)[-1]
    assert either == "cost_ledger.amount (cost) or costs.pools in company.yml (cost and practical minutes per month)"
    assert missing_for("segments.matrix", nothing) == ()
    assert describe("deals.nothing") == "deals.nothing"


def test_one_of_two_columns_is_enough():
    supplied = {"surveys": frozenset({"csat"})}
    assert missing_for("relationships.satisfaction", supplied) == ()
