"""One company worked through stage 3, shared by the tests of a room."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest
import yaml

from crm_methods.company.intake import bring_in
from crm_methods.company.settings import load_company
from crm_methods.engine import EngineSettings, open_engine
from tests.conftest import MadeCompany
from tests.stages.offers.made_offers import DIFFERENT, Worked, sales, work


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worked]:
    folder = tmp_path_factory.mktemp("offers")
    engine = open_engine(EngineSettings(memory_limit="1GB", threads=1), folder / "spill")
    for name, rows in sales().items():
        rows.to_csv(folder / f"{name}.csv", index=False)
    told = {
        "company": "Example",
        "as_of": dt.date(2025, 12, 31),
        "currency": "EUR",
        "tables": {n: {"file": f"{n}.csv"} for n in sales()},
    }
    (folder / "company.yml").write_text(yaml.safe_dump(told), encoding="utf-8")
    company = load_company(folder)
    yield work(MadeCompany(folder, company, bring_in(company, folder, engine, folder / "canonical")), **DIFFERENT)
    engine.close()
