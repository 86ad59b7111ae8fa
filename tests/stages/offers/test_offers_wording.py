"""Conditions and texts as engine expressions: the same on every engine, and written as formats writes."""

from __future__ import annotations

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

from crm_methods import formats
from crm_methods.company.offers_plan import Condition
from crm_methods.engine import collect
from crm_methods.stages.offers_wording import _whole, fact_text, fits
from tests.conftest import MakeFrame

CLIENTS = pd.DataFrame(
    {
        "client_id": ["a", "b", "c"],
        "segment": ["high_low", "low_low", "low_high"],
        "strategy": ["raise_loyalty", "stimulate_sales", "cut_costs"],
        "industry": ["Telecom", "healthcare", None],
        "size": ["large", "small", "small"],
        "complementary_solutions": ["SD-WAN, CCTV", None, "cctv"],
        "open_requests": [2.0, 0.0, np.nan],
        "revenue": [1_000.0, 20.0, np.nan],
    }
)


def _fitting(frames: MakeFrame, **condition: object) -> list[str]:
    kept = frames(CLIENTS).filter(fits(Condition.model_validate(condition)))
    return sorted(collect(kept.select("client_id"))["client_id"])


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({}, ["a", "b", "c"]),
        ({"industry": ["telecom", "HEALTHCARE"]}, ["a", "b"]),
        ({"size": ["small"], "strategy": ["cut_costs"]}, ["c"]),
        ({"complementary_solutions": "any"}, ["a", "c"]),
        ({"complementary_solutions": ["CCTV"]}, ["a", "c"]),
        ({"has_open_request": True}, ["a"]),
        ({"has_open_request": False}, ["b", "c"]),
        ({"known": ["industry"]}, ["a", "b"]),
        ({"unknown": ["industry"]}, ["c"]),
        ({"at_least": {"revenue": 20}}, ["a", "b"]),
        ({"at_most": {"revenue": 20}}, ["b"]),
    ],
)
def test_a_condition_holds_for_whom_it_says(frames: MakeFrame, condition: dict[str, object], expected: list[str]):
    assert _fitting(frames, **condition) == expected


AMOUNTS = [0.0, 7.4, 8.5, 9.5, 999.6, 1_000.2, 12_345.6, 999_999.2, 1_234_567.0, 98_765_432.0]


@pytest.mark.parametrize("currency", ["EUR", "CHF"])
def test_money_reads_as_formats_writes_it(frames: MakeFrame, currency: str):
    for sign in (1, -1):
        rows = pd.DataFrame({"nr": range(len(AMOUNTS)), "revenue": [sign * a for a in AMOUNTS]})
        worded = (
            frames(rows)
            .with_columns(_whole("revenue").alias("whole_revenue"))
            .with_columns(fact_text("revenue", currency).alias("t"))
        )
        texts = collect(worded.select("nr", "t")).sort_values("nr")["t"].tolist()

        assert texts == [formats.money(a, currency) for a in rows["revenue"]]


def test_shares_and_decimals_read_as_formats_writes_them(frames: MakeFrame):
    rows = pd.DataFrame({"nr": [0, 1, 2], "trend_growth_share": [0.625, 0.317, 12.3], "partner_lift": [0.96, 2.54, 1_234.56]})
    names = {"trend_growth_share": formats.share, "partner_lift": lambda x: formats.number(x, 1)}
    digits = frames(rows).with_columns(*[_whole(name).alias(f"whole_{name}") for name in names])
    worded = collect(digits.select("nr", *[fact_text(name, "EUR").alias(name) for name in names])).sort_values("nr")

    for name, form in names.items():
        assert worded[name].tolist() == [form(x) for x in rows[name]]


def test_braces_in_a_clients_name_stay_as_they_are():
    from crm_methods.stages.offers_wording import _sentence

    rows = nw.from_native(pd.DataFrame({"text_client": ["{deals} <b>"]})).lazy()

    assert collect(rows.select(_sentence("For {client}.").alias("t")))["t"].tolist() == ["For {deals} <b>."]
