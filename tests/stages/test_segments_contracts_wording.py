"""What is said of contracts follows from what was found, in numbers that agree with their nouns."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from crm_methods.company.settings import Company
from crm_methods.models import contract_retention as sbg
from crm_methods.stages.segments_contracts import renewals
from crm_methods.stages.segments_contracts_wording import Records, contracts_sentence

SETTINGS = Company.model_validate({"company": "E", "as_of": "2025-12-31", "currency": "EUR", "tables": {}}, strict=False)


def _said(ended_at: list[int], survived: list[int], records: Records | None = None, **words: Any) -> str:
    begun = pd.DataFrame({"ended_at": ended_at + [0] * len(survived), "survived": [n - 1 for n in ended_at] + survived})
    begun = begun.assign(client_id=begun.index, running=begun["ended_at"] == 0, renewable=True, term_months=12.0)
    rows = begun.assign(months_to_renewal=6.0, months_to_start=0.0, value_per_month=10.0, months=20.0, earned=10.0)
    fit = sbg.fit_contracts(ended_at, survived)
    told: dict[str, Any] = {"money": "margin", "term_months": 12, "term_from": "lengths", **words}
    return contracts_sentence(
        begun, rows, renewals(begun, fit), fit, (1e3, 2e3), records or Records(source="contracts"), SETTINGS, **told
    )


def test_retention_that_rises_is_not_called_loyalty():
    said = _said([1] * 30 + [2] * 8 + [3] * 3, [3] * 60)

    assert "By renewal 3 the model has this rise to" in said
    assert "no contract becomes safer by ageing" in said
    assert "agrees with the model" in said
    assert "A term is 12 months, read off their lengths" in said


def test_retention_that_does_not_rise_is_said_so():
    level = _said([n for n in range(1, 9) for _ in range(round(1_000 * 0.8 ** (n - 1) * 0.2))], [8] * 168)

    assert "At renewal 3 it is hardly different, 80%" in level
    assert "hardly safer than new ones" in level


def test_a_renewal_that_the_model_misses_is_named():
    said = _said([3] * 60, [2] * 20 + [4] * 20)

    assert "At renewal 3 the model does not hold: 25% of 80 contracts were renewed where it expects" in said


def test_what_the_records_leave_open_is_said_in_the_right_number():
    one = Records(source="deals", ended_unknown=1, billed_without_contract=1, contract_without_bill=1, as_old_as_records=1)
    said = _said([1], [1, 1], one, money="revenue", term_from="custom")

    for words in (
        "1 contract ended on a day", "1 chain begins", "it looks", "1 client has deals of kind contract", "There is no table",
        "1 client under contract has deals", "which is usual", "of revenue, since their margin is not known",
    ):  # fmt: skip
        assert words in said, words
    assert "3 contracts of 3 clients are on record, 1 of which ended" in said
    assert "2 contracts that run today are expected to run" in said


@pytest.mark.parametrize(("ended_at", "survived"), [([], [0]), ([1], []), ([], [5, 5])])
def test_one_sided_bases_are_said_without_gaps(ended_at: list[int], survived: list[int]):
    said = _said(ended_at, survived)

    assert "nan" not in said
    assert "–" not in said
    assert "  " not in said
    assert said.endswith(".")
