"""A company of three clients, and six small notebooks in the place of the kit's."""

from __future__ import annotations

import io
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import nbformat
import pytest

from crm_methods.company.vocabulary import STAGES
from crm_methods.runs.progress import Lines
from crm_methods.runs.request import read_request
from crm_methods.runs.runner import RunResult, run

HOSTILE = '=HYPERLINK("https://evil.example") <script>alert(1)</script> ../../etc'

_COMPANY = """
company: Three Clients
as_of: 2025-12-31
currency: EUR
tables:
  deals: {file: deals.csv}
  clients: {file: clients.csv}
"""
_DEALS = """deal_id,client_id,closed_on,amount
1,c1,2025-03-01,100.00
2,c2,2025-04-01,250.50
3,c3,2025-05-01,-20.25
4,c1,2025-06-01,300.00
"""

_READS = "stage.data.scan('clients').select('client_id', 'name', 'industry').collect('pandas').to_native()"
_WORK: dict[str, str] = {
    "client_base": f"facts = {_READS}\nstage.write('client_facts', facts, grain='one row per client', key=['client_id'])\n"
    "facts[['client_id', 'name']].to_csv(stage.file('data_requests.csv', private=True), index=False)\n"
    "stage.check('rows', True, 'three clients')",
    "segments": "facts = stage.upstream_table('client_facts')\nrevenue = [400.0, 250.5, -20.25]\n"
    "found = facts[['client_id']].assign(segment='high_low', strategy='cut_costs', revenue=revenue)\n"
    "stage.write('client_segments', found, grain='one row per client', key=['client_id'], totals=['revenue'])\n"
    "stage.finding(f'The horizon is {horizon_months} months.')",
    "offers": "ids = stage.upstream_table('client_segments')[['client_id']]\n"
    "stage.write('client_offers', ids.assign(next_product='@SUM(1)'), grain='one row per client', key=['client_id'])",
    "processes": "stage.say('Nothing to do.')",
    "contacts": "import pandas as pd\ndays = pd.to_datetime(['2026-03-01', '2026-02-01', '2026-02-15'])\n"
    "plan = pd.DataFrame({'client_id': ['c1', 'c1', 'c2'], 'contact_on': days, 'channel': 'phone', 'occasion': 'visit'})\n"
    "stage.write('contact_calendar', plan, grain='one row per contact', key=['client_id', 'contact_on'])",
    "relationships": "stage.headline('programme_effect', 'Programme effect', '3', value=3.0)",
}


def write_company(folder: Path, text: str = _COMPANY) -> Path:
    """A company's folder with three clients, the last of which has an attack for a name."""
    folder.mkdir(parents=True)
    (folder / "company.yml").write_text(text, encoding="utf-8")
    (folder / "deals.csv").write_text(_DEALS, encoding="utf-8")
    quoted = HOSTILE.replace('"', '""')
    clients = f'client_id,name,industry\nc1,Acme Ltd,telecom\nc2,Borealis Networks,retail\nc3,"{quoted}",telecom\n'
    (folder / "clients.csv").write_text(clients, encoding="utf-8")
    return folder


def write_notebook(folder: Path, stage: str, work: str) -> Path:
    """A notebook of one stage in the kit's shape, that does ``work``."""
    knobs = {"segments": "horizon_months: int | None = None"}.get(stage, "")
    given = "horizon_months=horizon_months" if knobs else ""
    make = nbformat.v4
    cells = [
        make.new_markdown_cell(f"# {STAGES[stage].title}", id="cell-00"),
        make.new_code_cell(f"company: str | None = None\nrun_dir: str | None = None\n{knobs}".strip(), id="cell-01"),
        make.new_code_cell(
            "from crm_methods.runs import artefacts\n"
            f"stage = artefacts.open_stage('{stage}', company=company, run_dir=run_dir, {given})",
            id="cell-02",
        ),
        make.new_markdown_cell("## What is there to see?\n\nWhat not to conclude: anything.", id="cell-03"),
        make.new_code_cell(work, id="cell-04"),
        make.new_code_cell("stage.close()", id="cell-05"),
    ]
    cells[1].metadata["tags"] = ["parameters"]
    spec = {"name": "python3", "language": "python", "display_name": "Python 3"}
    path = folder / f"{STAGES[stage].notebook}.ipynb"
    nbformat.write(make.new_notebook(cells=cells, metadata={"kernelspec": spec}), path)
    return path


@pytest.fixture(scope="session")
def notebooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of six small notebooks."""
    folder = tmp_path_factory.mktemp("notebooks")
    for stage, work in _WORK.items():
        write_notebook(folder, stage, work)
    return folder


@pytest.fixture
def company(tmp_path: Path) -> Path:
    """A fresh folder of the three clients' company."""
    return write_company(tmp_path / "data" / "three")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, notebooks: Path) -> Finished:
    """One whole run of the three clients' company; tests that change anything work on a copy of its reports."""
    base = tmp_path_factory.mktemp("finished")
    company = write_company(base / "data" / "three")
    result, said = run_stages(company, base / "reports", notebooks)
    return Finished(company, base / "reports", notebooks, result, said)


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A whole run: the company's folder, where it was published, and what it said."""

    company: Path
    reports: Path
    notebooks: Path
    result: RunResult
    said: str

    @property
    def published(self) -> Path:
        """The folder of the report."""
        return self.reports / "three" / "2025-12-31"

    def copy(self, folder: Path) -> Finished:
        """The same with reports of its own; file times are kept, since freshness looks at them."""
        shutil.copytree(self.reports, folder / "reports")
        return replace(self, reports=folder / "reports")


def run_stages(
    folder: Path, reports: Path, notebooks: Path, *assignments: str, stages: str | None = None, force: bool = False
) -> tuple[RunResult, str]:
    """Run a company, and return what it came to with the lines that were said."""
    said = io.StringIO()
    request = read_request(folder, assignments, stages)
    return run(request, force=force, reports=reports, notebooks=notebooks, progress=Lines(said)), said.getvalue()
