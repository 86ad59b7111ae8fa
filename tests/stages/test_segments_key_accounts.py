"""Key accounts: their share of the whole, their value by two readings, and what is said when the base hangs on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.company.intake import bring_in
from crm_methods.company.settings import load_company
from crm_methods.engine import EngineSettings, open_engine
from crm_methods.stages.segments_key_accounts import KeyAccounts, key_accounts
from tests.conftest import MadeCompany
from tests.stages.small_companies import deals_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MadeCompany]:
    folder = tmp_path_factory.mktemp("key_accounts")
    deals_of(dict.fromkeys("abc", 10.0)).to_csv(folder / "deals.csv", index=False)
    (folder / "clients.csv").write_text("client_id,name\na,Alpha Ltd\nb,Beta AG\n", encoding="utf-8")
    (folder / "company.yml").write_text(
        "{company: E, as_of: 2025-12-31, currency: EUR, tables: {deals: {file: deals.csv}, clients: {file: clients.csv}}}",
        encoding="utf-8",
    )
    settings = load_company(folder)
    engine = open_engine(EngineSettings(memory_limit="1GB", threads=1), folder / "spill")
    yield MadeCompany(folder, settings, bring_in(settings, folder, engine, folder / "canonical"))
    engine.close()


def _values(clv: dict[str, float], **columns: Any) -> pd.DataFrame:
    usual = {"x": 3.0, "mean_margin": 10.0, "expected_margin": 8.0, "discounted_purchases": 5.0, "p_alive": 0.9}
    rows = pd.DataFrame({"client_id": list(clv), "population": "purchases", **usual, "clv": list(clv.values())})
    return rows.assign(**columns)


def _asked(made: MadeCompany, values: pd.DataFrame, wanted: int = 5, contracts: pd.DataFrame | None = None) -> Any:
    chosen = made.settings.lifetime_value.model_copy(update={"key_accounts": wanted})
    frame = made.data.engine.frame
    found = key_accounts(
        made.data,
        made.settings.model_copy(update={"lifetime_value": chosen}),
        frame(values),
        None if contracts is None else frame(contracts),
    )
    assert "nan" not in found.sentence
    assert "–" not in found.sentence
    return found


def test_the_table_adds_up_to_the_whole_and_changes_only_the_mean_amount(made: MadeCompany):
    values = _values({"a": 400.0, "b": 100.0, "c": 90.0, **{f"d{i:02}": 20.0 for i in range(40)}})
    values.loc[1, ["x", "mean_margin"]] = 0.0
    found = _asked(made, values, wanted=3)
    table = found.table

    assert isinstance(found, KeyAccounts)
    assert table["client"].tolist() == ["Alpha Ltd", "Beta AG", "c", "40 other clients"]
    assert table["clv"].sum() == 1_390.0
    assert table["equity_share"].sum() == pytest.approx(1.0)
    # 5 purchases at 10 instead of 8; of a client that bought once no mean of its own is known.
    assert table["own_mean_clv"].tolist() == pytest.approx([410.0, np.nan, 100.0, np.nan], nan_ok=True)
    assert table["purchases"].tolist()[:3] == [4.0, 1.0, 4.0]
    assert "€510 instead of €490" in found.sentence
    assert found.top_share == pytest.approx(630 / 1_390)
    assert "The top 5 hold 45%" in found.sentence
    assert "in a plan of their own" in found.sentence


def test_a_broad_base_does_not_hang_on_them(made: MadeCompany):
    found = _asked(made, _values({f"d{i:02}": 20.0 + i for i in range(60)}))

    assert found.top_share < 0.3
    assert "hangs" not in found.sentence


def test_intervals_and_contracts_stand_beside_where_they_are_known(made: MadeCompany):
    values = _values({"a": 50.0, "b": 40.0, "c": 30.0}, clv_low=5.0, clv_high=[90.0, 80.0, 70.0])
    values.loc[0, ["population", "x", "discounted_purchases"]] = ["contract", np.nan, np.nan]
    held = pd.DataFrame({"client_id": ["a"], "running_contracts": [2], "next_renewal_on": [pd.Timestamp("2026-03-01")]})
    found = _asked(made, values, 2, held)

    assert "“Alpha Ltd” alone may bring anything from €5 to €90" in found.sentence
    assert found.table["running_contracts"].tolist()[0] == 2
    assert found.table["population"].tolist()[:2] == ["under contract", "buys now and then"]
    assert found.table["own_mean_clv"].tolist()[:2] == [50.0, 50.0]


def test_a_narrow_interval_is_not_called_far_from_sure_and_all_sums_speak_of_the_same_clients(made: MadeCompany):
    values = _values({"a": 50.0, "b": 40.0, "c": 30.0}, clv_low=[48.0, 5.0, 1.0], clv_high=[52.0, 80.0, 70.0])
    values.loc[1, "x"] = 0.0
    found = _asked(made, values, 2)

    assert "“Alpha Ltd” is expected to bring €48 to €52 (95% interval); 1 of 2 are far less sure." in found.sentence
    assert "the one of them that came back would be worth €60 instead of €50" in found.sentence
    assert "  " not in found.sentence


@pytest.mark.parametrize(
    ("clv", "words"),
    [
        ({"a": 10.0}, "The only client is worth €10"),
        ({"a": 10.0, "b": -5.0}, "All 2 clients are key accounts"),
        ({"a": 3.0, "b": -5.0, **{f"d{i}": -1.0 for i in range(6)}}, "of which no share can be given"),
    ],
    ids=["one", "two", "a base worth nothing"],
)
def test_small_and_worthless_bases_have_their_own_words(made: MadeCompany, clv: dict[str, float], words: str):
    assert words in _asked(made, _values(clv)).sentence


def test_without_margins_it_is_revenue(made: MadeCompany):
    values = _values({"a": 50.0, "b": 40.0, **{f"d{i}": 9.0 for i in range(9)}})
    found = _asked(made, values.rename(columns=lambda name: name.replace("margin", "revenue").replace("clv", "clv_revenue")), 1)

    assert "The client worth most is expected to bring €50" in found.sentence
    assert found.table["own_mean_clv_revenue"].iloc[0] == 60.0


def test_switched_off_or_without_values_it_says_so(made: MadeCompany):
    values = _values({"a": 50.0})

    for found in (_asked(made, values, wanted=0), _asked(made, values.assign(clv=np.nan))):
        assert isinstance(found, Unanswered)
