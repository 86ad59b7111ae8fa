"""What clients are worth: the published CDNOW figures through the stage, and bases on which models break."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

from crm_methods.company.answers import Answer, Unanswered
from crm_methods.company.intake import Canonical, bring_in
from crm_methods.company.settings import Company, load_company
from crm_methods.engine import EngineSettings, collect, open_engine
from crm_methods.runs.artefacts import PROJECT
from crm_methods.stages import segments, segments_equity, segments_value
from crm_methods.stages.segments_value import LifetimeValue
from tests.conftest import MakeCompany
from tests.stages.small_companies import loyal_and_costly
from tests.stages.valued import bought as purchases_of

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
def cdnow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Found]:
    folder = tmp_path_factory.mktemp("cdnow")
    company = PROJECT / "data" / "cdnow"
    engine = open_engine(EngineSettings(memory_limit="1GB", threads=1), folder / "spill")
    settings = load_company(company)
    yield run_stage(bring_in(settings, company, engine, folder / "canonical"), settings, folder)
    engine.close()


@dataclass(frozen=True)
class Found:
    """What the rooms of value find."""

    value: LifetimeValue | Unanswered
    holdout: Answer | Unanswered
    equity: Answer | Unanswered


def run_stage(data: Canonical, settings: Company, folder: Path) -> Found:
    """Value, holdout and equity; all clients are of one of two segments."""

    def keep(name: str, frame: nw.LazyFrame[Any], **told: Any) -> nw.LazyFrame[Any]:
        data.engine.write(frame, folder / f"{name}.parquet", order_by=told["key"])
        return data.engine.scan(folder / f"{name}.parquet")

    economics = segments.client_economics(data, settings, segments.cost_to_serve(data, settings))
    value = segments_value.lifetime_value(data, settings, economics, keep)
    cell = nw.when(nw.col("revenue") > 0).then(nw.lit("high_low")).otherwise(nw.lit("low_low"))
    placed = economics.select("client_id", segment=cell)
    return Found(value, segments_value.holdout(value, settings), segments_equity.customer_equity(value, settings, placed))


def value_of(found: Found) -> LifetimeValue:
    assert isinstance(found.value, LifetimeValue)
    return found.value


def equity_of(found: Found) -> pd.DataFrame:
    assert isinstance(found.equity, Answer)
    return found.equity.table.set_index("segment")


def test_cdnows_parameters_and_likelihoods_are_the_published_ones(cdnow: Found):
    models = value_of(cdnow).model.models
    by_key = models.set_index(["family", "parameter"])["estimate"]

    for key, published in PARAMETERS.items():
        assert by_key[key] == pytest.approx(published, rel=0.01), key
    for family, published in LOG_LIKELIHOODS.items():
        likelihood = models.loc[models["family"] == family, "log_likelihood"]
        assert likelihood.to_numpy() == pytest.approx(published, abs=0.05), family


@pytest.mark.parametrize("family", HOLDOUT)
def test_cdnows_holdout_is_the_published_one(cdnow: Found, family: str):
    expected, mae, rmse, correlation = HOLDOUT[family]
    row = value_of(cdnow).model.holdout.set_index("family").loc[family]

    assert row["actual"] == 1882
    # As many digits as are published.
    assert row["expected"] == pytest.approx(expected, abs=1)
    assert row["mae"] == pytest.approx(mae, abs=0.001)
    assert row["rmse"] == pytest.approx(rmse, abs=0.001)
    assert row["correlation"] == pytest.approx(correlation, abs=0.001)


def test_without_margins_every_figure_is_called_revenue(cdnow: Found):
    values = collect(value_of(cdnow).values, max_rows=10_000)

    assert "equity_revenue" in equity_of(cdnow)
    assert "equity" not in equity_of(cdnow)
    assert "clv" not in values
    assert values["clv_revenue"].notna().all()
    assert isinstance(cdnow.equity, Answer)
    assert "of revenue" in cdnow.equity.sentence
    assert "worth" not in cdnow.equity.sentence


def test_the_parts_of_equity_add_up_to_the_whole_and_to_the_clients(cdnow: Found):
    equity, clients = equity_of(cdnow), collect(value_of(cdnow).values, max_rows=10_000)

    for column in ("clients", "expected_active_clients", "expected_purchases", "equity_revenue"):
        assert equity.drop("all")[column].sum() == pytest.approx(equity.loc["all", column])
    assert equity.loc["all", "equity_revenue"] == pytest.approx(clients["clv_revenue"].sum(), rel=1e-9)
    assert (
        equity.loc["all", "equity_revenue_low"] < equity.loc["all", "equity_revenue"] < equity.loc["all", "equity_revenue_high"]
    )


def test_a_dependence_of_amounts_on_frequency_is_measured_and_said(cdnow: Found):
    found = value_of(cdnow).spend_correlation

    assert found is not None
    assert found.low < found.rho < found.high
    assert "rank correlation" in value_of(cdnow).sentence


def test_a_model_that_came_closer_but_is_not_used_is_named(cdnow: Found):
    assert isinstance(cdnow.holdout, Answer)
    assert "MBG/NBD, on which the values below rest" in cdnow.holdout.sentence
    assert "Pareto/NBD came closer" in cdnow.holdout.sentence


def _bought(days: dict[str, list[str]], amount: float = 100.0) -> pd.DataFrame:
    rows = [(client, dt.date.fromisoformat(day), amount) for client, all_days in days.items() for day in all_days]
    return pd.DataFrame(rows, columns=["client_id", "closed_on", "amount"]).assign(deal_id=range(len(rows)))


def test_three_clients_are_forecast_by_how_long_ago_they_bought(make_company: MakeCompany, tmp_path: Path):
    deals = _bought({"a": ["2024-01-05", "2024-09-01", "2025-08-01"], "b": ["2024-03-01", "2025-03-01"], "c": ["2025-05-05"]})
    made = make_company({"deals": deals})
    found = run_stage(made.data, made.settings, tmp_path)

    assert value_of(found).model.rung == "recency_chain"
    assert "buy again within a year" in value_of(found).sentence
    assert collect(value_of(found).values)["clv_revenue"].gt(0).all()
    assert isinstance(found.equity, Answer)


def test_a_base_on_its_first_day_is_forecast_naively(make_company: MakeCompany, tmp_path: Path):
    made = make_company({"deals": _bought({client: ["2025-12-31"] for client in "abc"})})
    found = run_stage(made.data, made.settings, tmp_path)

    assert value_of(found).model.rung == "naive"
    assert "no chance of having left" in value_of(found).sentence
    assert collect(value_of(found).values)["clv_revenue"].eq(0).all()


def test_a_base_where_nobody_came_back_is_worth_little_and_says_why(make_company: MakeCompany, tmp_path: Path):
    made = make_company({"deals": _bought({client: ["2025-02-03"] for client in "abcdefgh"})})
    found = run_stage(made.data, made.settings, tmp_path)
    worth = collect(value_of(found).values)["clv_revenue"]

    assert "no client bought more than once" in value_of(found).sentence
    assert worth.between(0, 100, inclusive="neither").all()


@pytest.mark.parametrize("amount", [1e9, 1e-3])
def test_amounts_of_any_size_are_said_in_words(make_company: MakeCompany, tmp_path: Path, amount: float):
    days = {f"c{i:02}": [f"2025-11-{1 + (3 * i + 9 * k) % 28:02}" for k in range(1 + i % 4)] for i in range(40)}
    made = make_company({"deals": _bought(days, amount)})
    found = run_stage(made.data, made.settings, tmp_path)
    said = f"{value_of(found).sentence} {found.holdout.sentence} {found.equity.sentence}"

    assert np.isfinite(collect(value_of(found).values)["clv_revenue"]).all()
    assert not {"nan", "None", "inf", "∞"} & set(said.replace("(", " ").split())


def test_returns_alone_have_no_value(make_company: MakeCompany, tmp_path: Path):
    made = make_company({"deals": _bought({client: ["2025-02-03", "2025-05-03"] for client in "abc"}, amount=-5.0)})
    found = run_stage(made.data, made.settings, tmp_path)

    assert isinstance(found.value, Unanswered)
    assert isinstance(found.equity, Unanswered)
    assert "no deal was won" in found.value.reason


def test_what_was_returned_lowers_the_money_but_takes_no_purchase_back(make_company: MakeCompany, tmp_path: Path):
    sold = pd.concat([purchases_of(40), _bought({"once": ["2025-03-03"]})])[["client_id", "closed_on", "amount"]]
    sold["closed_on"] = pd.to_datetime(sold["closed_on"]).dt.date
    half = sold.loc[sold["client_id"] == "c000", "amount"].sum() / 2
    back = pd.concat([_bought({"c000": ["2025-06-01"]}, -half), _bought({"once": ["2025-06-01"]}, -100.0)])
    told: list[Any] = []
    for rows in (sold, pd.concat([sold, back])):
        made = make_company({"deals": rows.assign(deal_id=range(len(rows)))})
        told.append(value_of(run_stage(made.data, made.settings, tmp_path)))
        told.append(collect(told[-1].values).set_index("client_id").sort_index())
    whole, before, found, after = told

    assert after[["x", "t_x", "T"]].equals(before[["x", "t_x", "T"]])
    halved = before.loc["c000", ["revenue", "mean_revenue"]] / 2
    assert after.loc["c000", ["revenue", "mean_revenue"]].tolist() == pytest.approx(halved.tolist(), abs=0.02)
    assert after.loc["once", ["revenue", "expected_revenue", "clv_revenue"]].tolist() == [0.0] * 3
    others = before.index.difference(["c000", "once"])
    assert after.loc[others, "mean_revenue"].equals(before.loc[others, "mean_revenue"])
    assert before.loc["once", "clv_revenue"] > 0
    assert "2 clients returned goods for €" in found.sentence
    assert "values are net of it" in found.sentence
    assert "returned" not in whole.sentence


def test_where_all_deals_are_bills_of_contracts_it_says_so(make_company: MakeCompany, tmp_path: Path):
    made = make_company({"deals": _bought({"a": ["2025-02-03"]})})
    nothing = made.data.scan("deals").filter(nw.col("client_id") != "a")
    found = segments_value.lifetime_value(
        made.data, made.settings, made.data.scan("clients"), lambda _, frame, **told: frame, nothing
    )

    assert isinstance(found, Unanswered)
    assert "all won deals are bills of contracts; they are valued by their renewals" in found.sentence


def test_deals_that_are_valued_elsewhere_can_be_left_out(make_company: MakeCompany, tmp_path: Path):
    made = make_company({"deals": _bought({client: [f"2025-0{month}-03" for month in range(1, 9)] for client in "abcdef"})})
    frames: dict[str, nw.LazyFrame[Any]] = {}

    def keep(name: str, frame: nw.LazyFrame[Any], **told: Any) -> nw.LazyFrame[Any]:
        frames[name] = frame
        return frame

    deals = made.data.scan("deals").filter(nw.col("client_id") != "a")
    economics = made.data.scan("clients").select("client_id", cost_to_serve=nw.lit(None, nw.Float64))
    found = segments_value.lifetime_value(made.data, made.settings, economics, keep, deals)
    assert isinstance(found, LifetimeValue)
    assert sorted(collect(found.values)["client_id"]) == list("bcdef")
    ahead = segments_value.expected_revenue(found, made.data, deals)
    assert ahead is not None
    rows = collect(ahead).merge(collect(found.values))
    assert rows["expected_revenue"].to_numpy() == pytest.approx(100 * rows["expected_purchases"].to_numpy())


def test_buyers_who_are_all_alike_never_break_the_stage(make_company: MakeCompany, tmp_path: Path):
    days = [f"2025-{month:02}-10" for month in range(1, 12)]
    made = make_company({"deals": _bought({f"c{i:02}": days for i in range(40)})})
    found = run_stage(made.data, made.settings, tmp_path)

    values = collect(value_of(found).values)
    assert [each.name for each in value_of(found).model.populations] == ["regular"]
    assert values["clv_revenue"].round(6).nunique() == 1
    assert values["clv_revenue"].gt(0).all()
    assert value_of(found).spend_correlation is None


def test_with_margins_the_cost_to_serve_lowers_the_value(make_company: MakeCompany, tmp_path: Path):
    made = loyal_and_costly(make_company)
    found = run_stage(made.data, made.settings, tmp_path)
    values = collect(value_of(found).values).set_index("client_id")

    gross = values["discounted_purchases"] * values["expected_margin"]
    costs = values["cost_per_month"].fillna(0) * values["discounted_months_alive"]
    assert values["clv"].to_numpy() == pytest.approx((gross - costs).to_numpy())
    assert costs.gt(0).any()


def test_amounts_by_frequency_and_a_model_that_was_left_out_are_told(make_company: MakeCompany, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("crm_methods.models.second_opinion.MAX_TRIPLES_PARETO", 5)
    made = make_company({"deals": purchases_of(60, amount_by_gap=True)})
    economics = made.data.scan("clients").select("client_id", cost_to_serve=nw.lit(None, nw.Float64))
    found = segments_value.lifetime_value(made.data, made.settings, economics, lambda _, frame, **told: frame)

    assert isinstance(found, LifetimeValue)
    assert "without Pareto/NBD, since" in found.caption
    assert "so each client is drawn to the level of those that bought as often" in found.sentence
    assert segments_value.draws_by_frequency(found.model)
