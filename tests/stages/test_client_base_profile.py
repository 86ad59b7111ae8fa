"""The profile of what came in: what it counts, and what it never keeps."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from crm_methods.models.drift import BinCounts
from crm_methods.stages.client_base_profile import KEY, MIN_BEARERS, REST, input_profile
from tests.conftest import MadeCompany, MakeCompany

CHANNELS = ("direct", "partner", "web")


def _deals(rows: int = 600, clients: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "deal_id": [f"D{k:04d}" for k in range(rows)],
            "client_id": [f"C{k:02d}" for k in rng.integers(0, clients, rows)],
            "closed_on": [dt.date(2024, 1, 1) + dt.timedelta(days=int(day)) for day in rng.integers(0, 730, rows)],
            "amount": rng.lognormal(8, 1, rows).round(2),
            "distribution_channel": rng.choice(CHANNELS, rows),
            "terms": rng.choice(["net 30", "net 14", None], rows),
            "owner": rng.choice(["Maes", "Keller", "Dubois"], rows),
        }
    )


def _clients(clients: int = 60) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "client_id": [f"C{k:02d}" for k in range(clients)],
            "name": [f"Acme {k}" for k in range(clients)],
            "industry": ["retail"] * (clients - MIN_BEARERS + 1) + ["whaling"] * (MIN_BEARERS - 1),
            "email": [f"info@acme{k}.example" for k in range(clients)],
            "complementary_solutions": [f"written anew {k}" for k in range(clients)],
        }
    )


@pytest.fixture
def company(make_company: MakeCompany) -> MadeCompany:
    return make_company({"deals": _deals(), "clients": _clients()})


def _part(profile: pd.DataFrame, table: str, part: str, column: str) -> pd.DataFrame:
    return profile[(profile["table"] == table) & (profile["part"] == part) & (profile["column"] == column)].set_index("value")


def test_counts_are_those_of_the_last_period_by_client_and_bin(company: MadeCompany):
    profile = input_profile(company.data, company.settings)
    deals = _deals()
    recent = deals[deals["closed_on"] > dt.date(2024, 12, 31)]
    table = pd.crosstab(recent["client_id"], recent["distribution_channel"])
    expected = BinCounts.of(table.to_numpy())

    found = _part(profile, "deals", "values", "distribution_channel").loc[list(CHANNELS)]
    for name in ("rows", "squared", "crossed"):
        np.testing.assert_allclose(found[name], getattr(expected, name))
    assert set(found["clients"]) == {expected.clients}


def test_filled_and_empty_rows_add_up_to_the_rows_of_the_slice(company: MadeCompany):
    profile = input_profile(company.data, company.settings)
    filled = profile[profile["part"] == "filled"].groupby(["table", "column"])["rows"].sum()

    assert filled["deals"].nunique() == 1
    assert set(filled["clients"]) == {60}


def test_intervals_are_deciles_and_hold_every_row_once(company: MadeCompany):
    bins = _part(input_profile(company.data, company.settings), "deals", "values", "amount")

    assert len(bins) == 10
    assert bins["rows"].max() - bins["rows"].min() <= 1
    np.testing.assert_array_equal(bins["high"].iloc[:-1], bins["low"].iloc[1:])


def test_months_hold_every_dated_row_and_its_amount(company: MadeCompany):
    months = _part(input_profile(company.data, company.settings), "deals", "months", "closed_on")

    assert months["rows"].sum() == 600
    assert months["amount"].sum() == pytest.approx(_deals()["amount"].sum())


def test_names_identifiers_and_free_text_are_counted_and_not_kept(company: MadeCompany):
    profile = input_profile(company.data, company.settings)
    kept = " ".join(profile["value"])

    for told in ("Acme", "Maes", "info@", "written anew", "C01", "D0001"):
        assert told not in kept
    assert {"name", "owner", "email", "complementary_solutions"} <= set(profile.loc[profile["part"] == "filled", "column"])


def test_a_value_that_few_clients_bear_is_kept_in_the_rest(company: MadeCompany):
    industries = _part(input_profile(company.data, company.settings), "clients", "values", "industry")

    assert industries["rows"].to_dict() == {REST: MIN_BEARERS - 1, "retail": 60 - MIN_BEARERS + 1}


def test_the_order_of_rows_changes_nothing_and_the_key_is_unique(make_company: MakeCompany, company: MadeCompany):
    shuffled = make_company({"deals": _deals().sample(frac=1, random_state=2), "clients": _clients().iloc[::-1]})
    profile = input_profile(company.data, company.settings)

    pd.testing.assert_frame_equal(profile, input_profile(shuffled.data, shuffled.settings))
    assert not profile.duplicated(list(KEY)).any()


def test_what_becomes_known_later_is_not_compared(make_company: MakeCompany):
    invoices = pd.DataFrame(
        {"invoice_id": range(50), "client_id": range(50), "amount": 10.0, "issued_on": "2025-06-01", "paid_on": "2025-07-01"}
    )
    made = make_company({"deals": _deals(30), "invoices": invoices})

    assert "paid_on" not in set(input_profile(made.data, made.settings)["column"])
