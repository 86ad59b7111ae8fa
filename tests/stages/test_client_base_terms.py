"""Terms of purchase and deliveries."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd
import pytest
from scipy.stats import false_discovery_control

from crm_methods.company.answers import Unanswered
from crm_methods.stages.client_base_terms import Delivery, Terms, delivery, terms
from tests.conftest import MakeCompany

NOW, BEFORE = "2025-06-01", "2024-06-01"


def _deals(**columns: Any) -> pd.DataFrame:
    base = {"deal_id": range(8), "client_id": list("aabbccdd"), "closed_on": [NOW, BEFORE] * 4, "amount": 10.0}
    return pd.DataFrame(base | columns)


def test_terms_are_shares_of_what_was_bought(make_company: MakeCompany):
    made = make_company({"deals": _deals(terms=["net 30"] * 7 + [None], discount_share=[0, 0.05, 0.06, 0.2, 0.3, 0, 0, 0])})
    found = terms(made.data, made.settings)
    assert isinstance(found, Terms)
    by_value = found.changes.set_index(["attribute", "name"])

    assert by_value.loc[("terms", "net 30"), "deals_share"] == 1
    assert by_value.loc[("discount", "over 5% to 10%"), "deals"] == 1
    assert found.changes.groupby("attribute")["revenue_share"].sum().tolist() == pytest.approx([1, 1])
    assert found.changes["deals_share"].between(0, 1).all()


def test_returns_and_lost_deals_are_no_purchases(make_company: MakeCompany):
    deals = _deals(
        kind=["new", "new", "return", "new", "new", "new", "new", "new"], amount=[10, 10, -5, 10, 10, 10, 0, 10],
        status=["won", "won", "won", "won", "lost", "won", "won", "won"],
    )  # fmt: skip
    made = make_company({"deals": deals})
    found = terms(made.data, made.settings)

    assert found.changes.set_index("name")["deals"].to_dict() == {"new": 2}


def test_the_currency_changes_no_share(make_company: MakeCompany):
    deals = _deals(terms=list("xyxyxxyy"), amount=[1.0, 2, 3, 4, 5, 6, 7, 8])
    found = [make_company({"deals": deals.assign(amount=deals["amount"] * unit)}) for unit in (1, 100)]
    tables = [terms(made.data, made.settings).changes for made in found]

    pd.testing.assert_frame_equal(*tables, check_exact=False)


def test_nothing_bought_is_no_answer(make_company: MakeCompany):
    made = make_company({"deals": _deals(terms="x").assign(closed_on="2020-01-01")})
    assert isinstance(terms(made.data, made.settings), Unanswered)


def test_late_is_after_the_promised_day(make_company: MakeCompany):
    days = ["2025-06-10", "2024-06-10"] * 4
    delivered = ["2025-06-10", "2024-06-11", "2025-06-11", "2024-06-01", None, "2024-06-10", "2025-06-09", "2024-06-10"]
    made = make_company({"deals": _deals(promised_on=days, delivered_on=delivered, delivery_cost=1.5)})
    found = delivery(made.data, made.settings)
    assert isinstance(found, Delivery)
    now = found.periods.set_index("period").loc["now"]

    assert (now["on_time"], now["late"], now["overdue"]) == (2, 1, 1)
    assert now["on_time_share"] == pytest.approx(2 / 3)
    assert now["delivery_cost"] == pytest.approx(6)
    assert "1 deal is past the promised day" in found.sentence


def test_deliveries_that_are_not_due_yet_are_not_overdue(make_company: MakeCompany):
    made = make_company(
        {"deals": _deals(promised_on="2026-02-01", delivered_on=[None, "2025-12-01"] * 4)}, as_of=dt.date(2025, 12, 31)
    )
    assert delivery(made.data, made.settings).periods["overdue"].sum() == 0


def test_what_is_not_recorded_of_deliveries_is_said(make_company: MakeCompany):
    made = make_company({"deals": _deals(terms="x")})
    found = delivery(made.data, made.settings)

    assert "is not recorded" in found.sentence
    assert found.table.empty
    only_cost = make_company({"deals": _deals(delivery_cost=2.0)})
    assert "Delivering cost €8" in delivery(only_cost.data, only_cost.settings).sentence
    assert terms(only_cost.data, only_cost.settings).changes.empty


def test_a_delivery_after_the_day_of_analysis_is_none_yet(make_company: MakeCompany):
    promised = ["2025-12-30", "2024-06-10", "2025-12-31", "2024-06-10", "2025-12-30", "2024-06-10", "2026-01-05", "2024-06-10"]
    delivered = ["2026-01-02", "2024-06-10", None, "2024-06-10", "2025-12-31", "2024-06-10", "2026-01-05", "2024-06-10"]
    made = make_company({"deals": _deals(promised_on=promised, delivered_on=delivered)}, as_of=dt.date(2025, 12, 31))
    now = delivery(made.data, made.settings).periods.set_index("period").loc["now"]

    # Promised for the day before and not there yet: overdue; promised for today: not yet; delivered today, a day late: late.
    assert (now["on_time"], now["late"], now["overdue"]) == (0, 1, 1)


def test_changes_of_all_terms_are_judged_together(make_company: MakeCompany):
    deals = _deals(terms=list("xyxyxyyx"), kind=list("nnrnrrrn"), amount=[1.0, 2, 3, 4, 5, 6, 7, 8])
    made = make_company({"deals": deals})
    changes = terms(made.data, made.settings).changes
    p_values = changes[["deals_p_value", "revenue_p_value"]].to_numpy().ravel()
    q_values = changes[["deals_q_value", "revenue_q_value"]].to_numpy().ravel()

    assert len(p_values) == 8
    assert q_values.tolist() == pytest.approx(false_discovery_control(p_values).tolist())


def test_a_clear_change_of_terms_is_said_to_be_corrected(make_company: MakeCompany):
    deals = pd.DataFrame(
        {
            "deal_id": range(80), "client_id": [str(i // 2) for i in range(80)], "closed_on": [NOW, BEFORE] * 40,
            "amount": 10.0, "terms": ["net 30" if i % 2 == (i % 14 == 0) else "cash" for i in range(80)],
        }
    )  # fmt: skip
    made = make_company({"deals": deals})
    sentence = terms(made.data, made.settings).sentence

    assert "a clear change, in percentage points" in sentence
    assert "corrected for the number of comparisons" in sentence
    assert "by chance alone" not in sentence
