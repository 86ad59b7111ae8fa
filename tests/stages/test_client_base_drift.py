"""What is told of a run beside the one before it: nothing by chance, and everything that is certain."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from crm_methods.stages.client_base_drift import DataDrift, data_drift
from crm_methods.stages.client_base_profile import input_profile
from tests.conftest import MakeCompany

THEN, NOW = dt.date(2025, 9, 30), dt.date(2025, 12, 31)
Tables = dict[str, pd.DataFrame]
Compare = Callable[..., DataDrift]


def _deals(rows: int = 2400, clients: int = 80) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    days = np.sort(rng.integers(0, 730, rows))
    return pd.DataFrame(
        {
            "deal_id": [f"D{k:04d}" for k in range(rows)],
            "client_id": [f"C{k:02d}" for k in rng.integers(0, clients, rows)],
            "closed_on": [dt.date(2024, 1, 1) + dt.timedelta(days=int(day)) for day in days],
            "amount": rng.lognormal(8, 1, rows).round(2),
            "distribution_channel": rng.choice(["direct", "partner", "web"], rows),
            "terms": rng.choice(["net 30", "net 14"], rows),
        }
    )


def _clients(clients: int = 80) -> pd.DataFrame:
    industry = np.random.default_rng(2).choice(["retail", "telecom"], clients)
    return pd.DataFrame({"client_id": [f"C{k:02d}" for k in range(clients)], "industry": industry})


@pytest.fixture
def compare(make_company: MakeCompany) -> Compare:
    """A function tables then, tables now → what changed."""

    def run(then: Tables, now: Tables, publish: Callable[[str], str] = str) -> DataDrift:
        before, after = make_company(then, as_of=THEN), make_company(now, as_of=NOW)
        profile = input_profile(before.data, before.settings)
        published = profile.assign(value=profile["value"].map(publish))
        answer = data_drift(after.data, after.settings, published, THEN, publish)
        assert isinstance(answer, DataDrift)
        return answer

    return run


def _alarms(answer: DataDrift) -> dict[tuple[str, str, str], str]:
    lit = answer.lines[answer.lines["light"].isin(["red", "amber"])]
    return {(row["table"], row["column"], row["change"].split(":")[0]): row["light"] for row in lit.to_dict("records")}


def _recent(deals: pd.DataFrame) -> pd.Series:
    return deals["closed_on"] > THEN


def test_a_first_run_says_that_there_is_no_earlier_one(make_company: MakeCompany):
    made = make_company({"deals": _deals()})
    answer = data_drift(made.data, made.settings, None, None)

    assert "no earlier run of this company" in answer.sentence
    assert answer.table.empty
    assert answer.history_share is None


@pytest.mark.parametrize("left", [None, pd.DataFrame({"something": [1]})], ids=["nothing", "another table"])
def test_an_earlier_run_without_a_profile_is_said(make_company: MakeCompany, left: pd.DataFrame | None):
    made = make_company({"deals": _deals()})

    assert "run as of 30 Sep 2025 left no input profile" in data_drift(made.data, made.settings, left, THEN).sentence


def test_where_nothing_changed_everything_is_green_and_history_stands(compare: Compare):
    answer = compare({"deals": _deals(), "clients": _clients()}, {"deals": _deals(), "clients": _clients()})

    assert _alarms(answer) == {}
    assert answer.table.empty
    assert answer.sentence.startswith("Up to 30 Sep 2025, the day of the last run, every month has the records")
    assert answer.history_share == 0


def test_every_line_has_a_light_and_the_key_is_unique(compare: Compare):
    answer = compare({"deals": _deals(), "clients": _clients()}, {"deals": _deals(), "clients": _clients()})

    assert set(answer.lines["light"]) <= {"red", "amber", "green", "too few to tell"}
    assert not answer.lines.duplicated(["table", "column", "change"]).any()


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda deals: deals.iloc[200:], "200 records vanished"),
        (lambda deals: pd.concat([deals, deals.head(200).assign(deal_id=lambda d: "X" + d["deal_id"])]), "200 records appeared"),
        (lambda deals: deals.assign(amount=deals["amount"].where(deals.index >= 300, 0)), "other clients or sums"),
        (lambda deals: deals.assign(client_id=deals["client_id"].where(deals.index >= 400, "C00")), "other clients or sums"),
    ],
    ids=["vanished", "appeared", "sums", "clients"],
)
def test_rewritten_history_is_said_first(compare: Compare, harm: Callable[[pd.DataFrame], pd.DataFrame], told: str):
    answer = compare({"deals": _deals()}, {"deals": harm(_deals())})

    assert answer.sentence.startswith("Records dated up to 30 Sep 2025, the day of the last run, were changed since in deals")
    assert told in answer.table["change"].iloc[0]
    assert answer.history_share is not None
    assert answer.history_share > 0.05


def test_one_late_record_is_told_without_an_alarm(compare: Compare):
    late = _deals().head(1).assign(deal_id="late")
    answer = compare({"deals": _deals()}, {"deals": pd.concat([_deals(), late])})

    assert "1 record appeared (2024-01)" in answer.table["change"].iloc[0]
    assert _alarms(answer) == {}


def test_cells_that_are_no_longer_filled_are_red(compare: Compare):
    deals = _deals()
    answer = compare(
        {"deals": deals}, {"deals": deals.assign(terms=deals["terms"].mask(_recent(deals) & (deals.index % 2 == 0)))}
    )

    assert _alarms(answer) == {("deals", "terms", "filled"): "red"}
    assert "deals.terms, filled: 100.0% then" in answer.sentence


def test_a_new_value_is_named(compare: Compare):
    deals = _deals()
    new = deals["distribution_channel"].mask(_recent(deals) & (deals.index % 3 == 0), "drone")
    answer = compare({"deals": deals}, {"deals": deals.assign(distribution_channel=new)})

    assert _alarms(answer)["deals", "distribution_channel", "new values"] == "red"
    assert "new values: drone" in set(answer.table["change"])


def test_amounts_in_another_unit_are_red(compare: Compare):
    deals = _deals()
    answer = compare({"deals": deals}, {"deals": deals.assign(amount=deals["amount"].mask(_recent(deals), deals["amount"] * 10))})

    assert _alarms(answer)["deals", "amount", "values"] == "red"


def test_half_the_rows_a_month_are_seen(compare: Compare):
    deals = _deals()
    answer = compare({"deals": deals}, {"deals": deals[~_recent(deals) | (deals.index % 3 == 0)]})

    assert _alarms(answer)["deals", "", "rows per month"] == "red"


def test_what_is_gone_is_red_and_what_is_new_is_amber(compare: Compare):
    surveys = pd.DataFrame({"response_id": [1], "client_id": ["C01"], "answered_on": ["2025-06-01"], "nps": [9]})
    then = {"deals": _deals(), "clients": _clients(), "surveys": surveys}
    now = {"deals": _deals().drop(columns="terms").assign(kind="repeat"), "clients": _clients(), "invoices": _invoices()}
    answer = compare(then, now)

    assert _alarms(answer) == {
        ("deals", "terms", "column is empty or gone"): "red",
        ("deals", "kind", "new column"): "amber",
        ("surveys", "", "table is gone"): "red",
        ("invoices", "", "new table"): "amber",
    }


def _invoices() -> pd.DataFrame:
    return pd.DataFrame({"invoice_id": [1], "client_id": ["C01"], "amount": [5.0], "issued_on": ["2025-06-01"]})


def test_a_small_base_has_too_few_to_tell_and_no_alarm(compare: Compare):
    deals = _deals(60, 8)
    answer = compare({"deals": deals}, {"deals": deals.assign(terms=deals["terms"].mask(_recent(deals)))})

    assert _alarms(answer) == {}
    assert set(answer.lines["light"]) == {"too few to tell"}
    assert "too few records to tell" in answer.sentence


def test_values_that_were_published_under_pseudonyms_meet_those_of_now(compare: Compare):
    tables = {"deals": _deals(), "clients": _clients()}
    plain, hidden = compare(tables, tables), compare(tables, tables, lambda text: "Client X" if text == "partner" else text)

    pd.testing.assert_series_equal(plain.lines["light"], hidden.lines["light"])
    pd.testing.assert_series_equal(plain.lines["psi"], hidden.lines["psi"])


def test_without_dates_nothing_is_claimed_of_history(compare: Compare):
    wide = pd.DataFrame({"deal_id": range(90), "client_id": range(90), "closed_on": None, "amount": 5.0, "status": "open"})
    answer = compare({"deals": wide}, {"deals": wide})

    assert answer.sentence.startswith("No table says when its records happened")


def test_the_previous_profile_is_left_as_it_was(make_company: MakeCompany):
    made = make_company({"deals": _deals()}, as_of=NOW)
    profile = input_profile(made.data, made.settings)
    before = profile.copy(deep=True)
    data_drift(made.data, made.settings, profile, THEN)

    pd.testing.assert_frame_equal(profile, before)
