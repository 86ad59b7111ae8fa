"""What should be known of clients, and what is."""

from __future__ import annotations

import pandas as pd
import pytest

from crm_methods.company.contracts import TABLES
from crm_methods.engine import collect
from crm_methods.stages import client_base
from crm_methods.stages.client_base_fields import BLOCKS, FIELDS, Field, filled_fields
from tests.conftest import MadeCompany, MakeCompany


def _filled(made: MadeCompany) -> pd.DataFrame:
    facts = client_base.client_facts(made.data, made.settings)
    return collect(filled_fields(made.data, made.settings, facts).sort("client_id")).set_index("client_id")


DEALS = pd.DataFrame(
    {
        "deal_id": ["1", "2", "3", "4"],
        "client_id": ["a", "a", "b", "a"],
        "closed_on": ["2025-02-01", "2025-03-01", "2025-04-01", "2021-01-01"],
        "amount": [10.0, 10.0, 5.0, 1.0],
        "terms": ["net 30", None, "net 30", None],
        "status": ["won", "won", "won", "won"],
    }
)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_field_is_declared_in_the_contracts(field: Field):
    assert field.block in BLOCKS
    assert all(TABLES[field.table].column(column) is not None for column in field.columns)


def test_every_field_has_a_column_of_its_own():
    assert len({field.key for field in FIELDS}) == len(FIELDS)


def test_deals_of_the_period_alone_count_by_the_share_of_them(make_company: MakeCompany):
    filled = _filled(make_company({"deals": DEALS}))

    assert filled["deals__terms"].tolist() == [0.5, 1.0]
    assert filled["deals__loss_reason"].isna().all()


def test_one_person_with_a_phone_is_enough_and_none_is_a_gap(make_company: MakeCompany):
    persons = pd.DataFrame(
        {
            "person_id": ["1", "2"],
            "client_id": ["a", "a"],
            "name": ["X", "Y"],
            "phone": [None, "1"],
            "consent_email": [None, "true"],
        }
    )
    filled = _filled(make_company({"deals": DEALS, "contact_persons": persons}))

    assert filled["contact_persons__phone"].tolist() == [1, 0]
    assert filled["contact_persons__consent"].tolist() == [1, 0]
    assert filled["contact_persons__role"].tolist() == [0, 0]


def test_the_reason_of_a_loss_is_asked_of_lost_deals_alone(make_company: MakeCompany):
    deals = DEALS.assign(status=["won", "lost", "lost", "won"], loss_reason=[None, "price", None, None])

    assert _filled(make_company({"deals": deals}))["deals__loss_reason"].tolist() == [1, 0]


def test_products_are_known_where_a_deal_has_lines(make_company: MakeCompany):
    lines = pd.DataFrame({"deal_id": ["1", "1"], "product_id": ["p", "q"]})

    assert _filled(make_company({"deals": DEALS, "deal_lines": lines}))["deal_lines__product_id"].tolist() == [0.5, 0]


def test_a_margin_that_margin_share_assumes_is_not_known(make_company: MakeCompany):
    assert _filled(make_company({"deals": DEALS}, margin_share=0.3))["deals__cost"].tolist() == [0, 0]
    assert _filled(make_company({"deals": DEALS.assign(cost=1.0)}, margin_share=0.3))["deals__cost"].tolist() == [1, 1]
