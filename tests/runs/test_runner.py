from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from crm_methods.company.vocabulary import STAGES
from crm_methods.errors import IntakeError, StageError
from crm_methods.runs.request import read_request
from crm_methods.runs.runner import last_published, run, status
from crm_methods.runs.workplace import locked, workplace

from .conftest import Finished, run_stages, write_company, write_notebook


def _pages(published: Path) -> dict[str, str]:
    dated = {page.name: page.read_text(encoding="utf-8") for page in published.glob("*.html")}
    return {name: re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", text) for name, text in dated.items()}


def _changed(finished: Finished, folder: Path, stage: str, work: str) -> Finished:
    copy = finished.copy(folder)
    shutil.copytree(finished.notebooks, folder / "notebooks")
    write_notebook(folder / "notebooks", stage, work)
    return Finished(copy.company, copy.reports, folder / "notebooks", copy.result, copy.said)


def test_a_run_publishes_a_page_per_stage_and_an_index(finished: Finished) -> None:
    pages = {f"{info.notebook}.html" for info in STAGES.values()} | {"index.html"}
    assert {page.name for page in finished.published.glob("*.html")} == pages
    assert finished.result.index == finished.published / "index.html"
    assert finished.result.executed == tuple(STAGES)


def test_a_line_per_stage_is_said_with_its_seconds(finished: Finished) -> None:
    lines = finished.said.splitlines()
    assert [re.sub(r"\d+\.\d s$", "s", line) for line in lines] == [f"{i.number}/6 {i.title} … s" for i in STAGES.values()]


def test_run_json_accounts_for_each_stage_table_and_file(finished: Finished) -> None:
    facts = json.loads((finished.published / "run.json").read_text(encoding="utf-8"))
    assert [stage["stage"] for stage in facts["stages"]] == list(STAGES)
    assert all(stage["seconds"] > 0 and stage["peak_memory_mb"] > 10 and not stage["skipped"] for stage in facts["stages"])
    assert set(facts["tables"]) == {path.stem for path in (finished.published / "tables").glob("*.parquet")}
    assert all((finished.published / name).is_file() for name in facts["files"])
    assert facts["tables"]["client_segments"]["totals"] == {"revenue": 630.25}
    deals = next(row for row in facts["control_totals"] if row["table"] == "deals")
    assert deals["source_amount"] == 630.25


def test_the_client_list_holds_every_client_and_no_formula(finished: Finished) -> None:
    raw = (finished.published / "clients.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    clients = pd.read_csv(finished.published / "clients.csv")
    assert list(clients["client_id"]) == ["c1", "c2", "c3"]
    assert list(clients["next_contact_on"])[:2] == ["2026-02-01", "2026-02-15"]
    assert clients["name"].iloc[2].startswith("'=HYPERLINK")
    assert set(clients["next_product"]) == {"'@SUM(1)"}


def test_files_for_account_managers_stay_in_the_private_folder(finished: Finished) -> None:
    assert (finished.published / "private" / "data_requests.csv").is_file()
    assert not (finished.published / "data_requests.csv").exists()
    assert "data_requests" not in (finished.published / "index.html").read_text(encoding="utf-8")


def test_no_page_tells_where_the_run_was_made(finished: Finished) -> None:
    published = [finished.published / name for name in (*_pages(finished.published), "run.json")]
    assert not [path.name for path in published if str(finished.reports.parent) in path.read_text(encoding="utf-8")]


def test_fresh_stages_are_not_repeated(finished: Finished, tmp_path: Path) -> None:
    copy = finished.copy(tmp_path)
    before = _pages(copy.published)
    result, said = run_stages(copy.company, copy.reports, copy.notebooks)
    assert result.executed == ()
    assert said.count("fresh, not repeated") == 6
    assert _pages(copy.published) == before


def test_the_same_inputs_give_the_same_pages_but_for_the_date(finished: Finished, tmp_path: Path) -> None:
    copy = finished.copy(tmp_path)
    result, _ = run_stages(copy.company, copy.reports, copy.notebooks, stages="2", force=True)
    assert result.executed == ("segments",)
    assert _pages(copy.published) == _pages(finished.published)


def test_a_parameter_repeats_its_stage_and_none_whose_tables_stay(finished: Finished, tmp_path: Path) -> None:
    copy = finished.copy(tmp_path)
    result, _ = run_stages(copy.company, copy.reports, copy.notebooks, "segments.horizon_months=24")
    assert result.executed == ("segments",)
    assert "The horizon is 24 months." in (copy.published / "2_segments.html").read_text(encoding="utf-8")
    run_facts = json.loads((copy.published / "run.json").read_text(encoding="utf-8"))
    assert [s["stage"] for s in run_facts["stages"] if not s["skipped"]] == ["segments"]


def test_a_failed_stage_leaves_the_last_report_and_the_next_run_continues(finished: Finished, tmp_path: Path) -> None:
    broken = _changed(finished, tmp_path, "offers", "stage.say('Acme')\n{}['clv']")
    before = {path: path.read_bytes() for path in broken.published.rglob("*") if path.is_file()}
    with pytest.raises(StageError) as failure:
        run_stages(broken.company, broken.reports, broken.notebooks)
    message = str(failure.value)
    for told in ("3 Individual offers", "What is there to see?", "KeyError: 'clv'", "3_offers.failed.ipynb", "continues"):
        assert told in message
    assert "Traceback" not in message
    assert {path: path.read_bytes() for path in broken.published.rglob("*") if path.is_file()} == before

    _, states = status(read_request(broken.company), reports=broken.reports, notebooks=broken.notebooks)
    assert [state.condition for state in states[:3]] == ["fresh", "fresh", "failed"]
    result, _ = run_stages(broken.company, broken.reports, finished.notebooks)
    assert result.executed == ("offers",)
    assert not list(broken.reports.rglob("*.failed.ipynb"))


def test_a_kernel_that_dies_is_told_as_such(finished: Finished, tmp_path: Path) -> None:
    broken = _changed(finished, tmp_path, "relationships", "import os\nos._exit(9)")
    with pytest.raises(StageError, match=r"(?s)6 Long-term.*The kernel died\..*memory_limit"):
        run_stages(broken.company, broken.reports, broken.notebooks)


def test_a_notebook_that_does_not_close_its_stage_has_not_happened(finished: Finished, tmp_path: Path) -> None:
    broken = _changed(finished, tmp_path, "processes", "stage = None")
    notebook = nbformat.read(broken.notebooks / "4_processes.ipynb", as_version=4)
    notebook.cells[-1].source = "1 + 1"
    nbformat.write(notebook, broken.notebooks / "4_processes.ipynb")
    with pytest.raises(StageError, match=r"stage\.close\(\)"):
        run_stages(broken.company, broken.reports, broken.notebooks)


def test_under_pseudonyms_no_name_leaves_but_in_the_private_folder(tmp_path: Path, notebooks: Path) -> None:
    settings = (write_company(tmp_path / "plain") / "company.yml").read_text(encoding="utf-8")
    company = write_company(tmp_path / "three", f"{settings}privacy: {{pseudonymise: true}}\n")
    result, _ = run_stages(company, tmp_path / "reports", notebooks)
    assert result.index is not None
    public = [path for path in result.index.parent.rglob("*") if path.is_file() and path.parent.name != "private"]
    read = [pd.read_parquet(p).to_csv() if p.suffix == ".parquet" else p.read_text(encoding="utf-8") for p in public]
    assert not [path.name for path, text in zip(public, read, strict=True) if re.search("Acme|Borealis|evil", text)]
    assert "Acme" in (result.index.parent / "private" / "data_requests.csv").read_text(encoding="utf-8")

    failing = tmp_path / "failing"
    shutil.copytree(notebooks, failing)
    write_notebook(failing, "relationships", "print('Acme' + ' Ltd')\nraise ValueError('no ' + 'Borealis' + ' Networks')")
    with pytest.raises(StageError) as failure:
        run_stages(company, tmp_path / "reports", failing)
    assert "Borealis" not in str(failure.value)
    kept = nbformat.read(next(tmp_path.rglob("*.failed.ipynb")), as_version=4)
    outputs = json.dumps([cell.outputs for cell in kept.cells if cell.cell_type == "code"])
    assert "Client " in outputs
    assert not re.search("Acme Ltd|Borealis Networks", outputs)


def test_bad_input_leaves_no_folder_behind(company: Path, tmp_path: Path, notebooks: Path) -> None:
    (company / "deals.csv").write_text("deal_id,client_id,closed_on\n1,c1,2025-03-01\n", encoding="utf-8")
    with pytest.raises(IntakeError, match="amount"):
        run_stages(company, tmp_path / "reports", notebooks)
    assert not (tmp_path / "reports").exists()


def test_stages_need_those_before_them(company: Path, tmp_path: Path, notebooks: Path) -> None:
    with pytest.raises(StageError, match=r"client_base and segments.*1,2"):
        run_stages(company, tmp_path / "reports", notebooks, stages="3")
    assert not (tmp_path / "reports").exists()


def test_two_runs_of_a_company_do_not_mix(company: Path, tmp_path: Path, notebooks: Path) -> None:
    request = read_request(company)
    place = workplace(company, request.settings.as_of, tmp_path / "reports")
    with locked(place), pytest.raises(StageError, match="Another run of three"):
        run(request, reports=tmp_path / "reports", notebooks=notebooks)


def test_missing_notebooks_are_told_together_before_anything_is_written(company: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError) as failure:
        run_stages(company, tmp_path / "reports", tmp_path)
    assert all(info.notebook in str(failure.value) for info in STAGES.values())
    assert not (tmp_path / "reports").exists()


def test_stale_stages_that_were_not_asked_for_are_named_and_nothing_is_published(finished: Finished, tmp_path: Path) -> None:
    changed = _changed(finished, tmp_path, "relationships", "stage.say('Another text.')")
    before = (changed.published / "run.json").read_bytes()
    result, _ = run_stages(changed.company, changed.reports, changed.notebooks, stages="client_base")
    assert result.index is None
    assert [(state.stage, state.why) for state in result.open] == [("relationships", "its notebook has changed")]
    assert (changed.published / "run.json").read_bytes() == before


def test_the_last_published_report_is_found(finished: Finished, tmp_path: Path) -> None:
    assert last_published(finished.company, finished.reports) == finished.published / "index.html"
    assert last_published(finished.company, tmp_path) is None
