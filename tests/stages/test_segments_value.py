"""What clients are worth: the published CDNOW figures through the stage, and bases on which models break."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from crm_methods.company.answers import Answer, Unanswered
from crm_methods.company.intake import bring_in
from crm_methods.company.settings import load_company
from crm_methods.engine import EngineSettings, collect, open_engine
from crm_methods.runs.artefacts import PROJECT
from crm_methods.stages.segments_summary import Answers
from crm_methods.stages.segments_value import LifetimeValue
from tests.conftest import MakeCompany
from tests.stages.small_companies import loyal_and_costly
from tests.stages.stage_two import run_stage

PARAMETERS = {
    ("bg_nbd", "r"): 0.2426, ("bg_nbd", "alpha"): 4.4136, ("bg_nbd", "a"): 0.7929, ("bg_nbd", "b"): 2.4259,
    ("mbg_nbd", "r"): 0.5248, ("mbg_nbd", "alpha"): 6.1831, ("mbg_nbd", "a"): 0.8914, ("mbg_nbd", "b"): 1.6140,
    ("gamma_gamma", "p"): 6.250, ("gamma_gamma", "q"): 3.744, ("gamma_gamma", "v"): 15.444,
}  # fmt: skip
LOG_LIKELIHOODS = {"bg_nbd": -9582.43, "mbg_nbd": -9582.14, "gamma_gamma": -4055.92}
HOLDOUT = {
    "naive": (2930, 1.024, 2.212, 0.584),
    "bg_nbd": (1653, 0.785, 1.608, 0.626),
    "mbg_nbd": (1577, 0.765, 1.607, 0.627),
}


@pytest.fixture(scope="module")
def cdnow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    folder = tmp_path_factory.mktemp("cdnow")
    company = PROJECT / "data" / "cdnow"
    engine = open_engine(EngineSettings(memory_limit="1GB", threads=1), folder / "spill")
    settings = load_company(company)
    yield run_stage(bring_in(settings, company, engine, folder / "canonical"), settings, folder)
    engine.close()


def value_of(found: Answers) -> LifetimeValue:
    assert isinstance(found.value, LifetimeValue)
    return found.value


def equity_of(found: Answers) -> pd.DataFrame:
    assert isinstance(found.equity, Answer)
    return found.equity.table.set_index("segment")


def test_cdnows_parameters_and_likelihoods_are_the_published_ones(cdnow: Answers):
    models = value_of(cdnow).model.models
    by_key = models.set_index(["family", "parameter"])["estimate"]

    for key, published in PARAMETERS.items():
        assert by_key[key] == pytest.approx(published, rel=0.01), key
    for family, published in LOG_LIKELIHOODS.items():
        likelihood = models.loc[models["family"] == family, "log_likelihood"]
        assert likelihood.to_numpy() == pytest.approx(published, abs=0.05), family


@pytest.mark.parametrize("family", HOLDOUT)
def test_cdnows_holdout_is_the_published_one(cdnow: Answers, family: str):
    expected, mae, rmse, correlation = HOLDOUT[family]
    row = value_of(cdnow).model.holdout.set_index("family").loc[family]

    assert row["actual"] == 1882
    # As many digits as are published.
    assert row["expected"] == pytest.approx(expected, abs=1)
    assert row["mae"] == pytest.approx(mae, abs=0.001)
    assert row["rmse"] == pytest.approx(rmse, abs=0.001)
    assert row["correlation"] == pytest.approx(correlation, abs=0.001)


def test_without_margins_every_figure_is_called_revenue(cdnow: Answers):
    segmented = collect(cdnow.client_segments, max_rows=10_000)

    assert "equity_revenue" in equity_of(cdnow)
    assert "equity" not in equity_of(cdnow)
    assert segmented["clv"].isna().all()
    assert segmented["clv_revenue"].notna().all()
    assert isinstance(cdnow.equity, Answer)
    assert "of revenue" in cdnow.equity.sentence
    assert "worth" not in cdnow.equity.sentence


def test_the_parts_of_equity_add_up_to_the_whole_and_to_the_clients(cdnow: Answers):
    equity, clients = equity_of(cdnow), collect(cdnow.client_segments, max_rows=10_000)

    for column in ("clients", "expected_active_clients", "expected_purchases", "equity_revenue"):
        assert equity.drop("all")[column].sum() == pytest.approx(equity.loc["all", column])
    assert equity.loc["all", "equity_revenue"] == pytest.approx(clients["clv_revenue"].sum(), rel=1e-9)
    assert (
        equity.loc["all", "equity_revenue_low"] < equity.loc["all", "equity_revenue"] < equity.loc["all", "equity_revenue_high"]
    )


def test_a_dependence_of_amounts_on_frequency_is_measured_and_said(cdnow: Answers):
    found = value_of(cdnow).spend_correlation

    assert found is not None
    assert found.low < found.rho < found.high
    assert "rank correlation" in value_of(cdnow).sentence


def test_a_model_that_came_closer_but_is_not_used_is_named(cdnow: Answers):
    assert isinstance(cdnow.holdout, Answer)
    assert "MBG/NBD, on which the values below rest" in cdnow.holdout.sentence
    assert "Pareto/NBD came closer" in cdnow.holdout.sentence


def _bought(days: dict[str, list[str]], amount: float = 100.0) -> pd.DataFrame:
    rows = [(client, dt.date.fromisoformat(day), amount) for client, all_days in days.items() for day in all_days]
    return pd.DataFrame(rows, columns=["client_id", "closed_on", "amount"]).assign(deal_id=range(len(rows)))


def test_three_clients_are_forecast_naively_and_without_an_interval(make_company: MakeCompany, tmp_path: Path):
    deals = _bought({"a": ["2024-01-05", "2024-09-01", "2025-08-01"], "b": ["2024-03-01", "2025-03-01"], "c": ["2025-05-05"]})
    made = make_company({"deals": deals})
    found = run_stage(made.data, made.settings, tmp_path)

    assert value_of(found).model.rung == "naive"
    assert "no chance of having left" in value_of(found).sentence
    assert isinstance(found.equity, Answer)
    assert "has no interval" in found.equity.sentence
    assert equity_of(found)["expected_active_clients"].isna().all()


def test_a_base_where_nobody_came_back_says_why_it_has_no_value(make_company: MakeCompany, tmp_path: Path):
    made = make_company({"deals": _bought({client: ["2025-02-03"] for client in "abcdefgh"})})
    found = run_stage(made.data, made.settings, tmp_path)

    assert isinstance(found.value, Unanswered)
    assert isinstance(found.equity, Unanswered)
    assert "more than once" in found.value.reason
    assert collect(found.client_segments)["clv_revenue"].isna().all()


def test_buyers_who_are_all_alike_never_break_the_stage(make_company: MakeCompany, tmp_path: Path):
    days = [f"2025-{month:02}-10" for month in range(1, 12)]
    made = make_company({"deals": _bought({f"c{i:02}": days for i in range(40)})})
    found = run_stage(made.data, made.settings, tmp_path)

    values = collect(value_of(found).values)
    assert values["clv_revenue"].nunique() == 1
    assert values["clv_revenue"].gt(0).all()
    assert value_of(found).spend_correlation is None


def test_a_base_that_bought_only_before_the_period_is_one_group_and_the_whole(make_company: MakeCompany, tmp_path: Path):
    deals = _bought({f"c{i}": ["2023-01-05", f"2023-0{1 + i % 8}-11"] for i in range(9)})
    made = make_company({"deals": deals})
    found = run_stage(made.data, made.settings, tmp_path)

    assert equity_of(found).index.tolist() == ["all"]


def test_with_margins_the_cost_to_serve_lowers_the_value(make_company: MakeCompany, tmp_path: Path):
    made = loyal_and_costly(make_company)
    found = run_stage(made.data, made.settings, tmp_path)
    values = collect(value_of(found).values).set_index("client_id")

    gross = values["discounted_purchases"] * values["expected_margin"]
    costs = values["cost_per_month"].fillna(0) * values["discounted_months_alive"]
    assert values["clv"].to_numpy() == pytest.approx((gross - costs).to_numpy())
    assert costs.gt(0).any()
