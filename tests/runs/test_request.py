from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from crm_methods.company.vocabulary import STAGES
from crm_methods.errors import ParameterError, SettingsError, StageError
from crm_methods.runs.request import check_notebooks, company_folder, read_request

from .conftest import write_notebook


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("segments.horizon_months=24", 24),
        ("segments.annual_discount_rate=0.08", 0.08),
        ("segments.annual_discount_rate=1e-1", 0.1),
        ("segments.annual_discount_rate=0", 0),
        ("contacts.budget=60000", 60000),
        ("relationships.programme=07", "07"),
        ("relationships.panel_period=quarter", "quarter"),
        (" offers.next_products = 2 ", 2),
    ],
)
def test_a_parameter_takes_the_type_it_is_declared_with(company: Path, assignment: str, value: Any) -> None:
    ((_, knobs),) = read_request(company, [assignment]).knobs.items()
    ((_, found),) = knobs.items()
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "assignment",
    [
        "segments.horizon_months=24.5", "segments.horizon_months=two", "segments.horizon_months=0", "segments.horizon_months=",
        "segments.horizon_months", "horizon_months=3", "contacts.budget=nan", "contacts.budget=-1", "contacts.budget=1,5",
        "relationships.panel_period=week", "segments.bootstraps=50", "segments=3",
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_refused(company: Path, assignment: str) -> None:
    with pytest.raises(ParameterError):
        read_request(company, [assignment])


def test_two_values_for_one_parameter_are_refused(company: Path) -> None:
    with pytest.raises(ParameterError, match="two values"):
        read_request(company, ["contacts.budget=1", "contacts.budget=2"])


def test_all_faults_come_together(company: Path) -> None:
    (company / "deals.csv").unlink()
    with pytest.raises(SettingsError) as refused:
        read_request(company, ["segmets.x=1", "contacts.budget=x"], "8")
    for told in ("deals.csv", '"segments"', "contacts.budget", "'8'"):
        assert told in str(refused.value)


def test_the_faults_of_plans_are_told_with_those_of_company_yml(company: Path) -> None:
    (company / "deals.csv").unlink()
    (company / "programmes.yml").write_text("programms: []\n", encoding="utf-8")
    (company / "contacts.yml").write_text("[\n", encoding="utf-8")
    with pytest.raises(SettingsError) as refused:
        read_request(company)
    for told in ("deals.csv", '"programmes"', "contacts.yml is not valid YAML"):
        assert told in str(refused.value)


@pytest.mark.parametrize("stages", ["3,5", "5,3", "offers, contacts", "3_offers,5"])
def test_stages_are_named_or_numbered_and_run_in_their_own_order(company: Path, stages: str) -> None:
    assert read_request(company, (), stages).stages == ("offers", "contacts")


def test_all_stages_are_run_by_default(company: Path) -> None:
    assert read_request(company).stages == tuple(STAGES)


@pytest.mark.parametrize("stages", ["", "0", "3-5", "3,,5"])
def test_unknown_stages_are_refused(company: Path, stages: str) -> None:
    with pytest.raises(ParameterError):
        read_request(company, (), stages)


def test_a_company_is_found_by_path_by_file_and_by_name(company: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(company.parent.parent)
    for given in (str(company), "data/three", "three", "data/three/", "data/three/company.yml"):
        assert company_folder(given) == company.resolve()


def test_a_linked_folder_is_the_folder_it_links_to(company: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(company)
    assert company_folder(str(tmp_path / "link")) == company.resolve()


def test_the_nearest_company_is_proposed(company: Path) -> None:
    with pytest.raises(SettingsError, match='Did you mean "three"'):
        company_folder(str(company.with_name("tree")))


def test_a_notebook_must_know_the_parameters_it_is_given(company: Path, tmp_path: Path, notebooks: Path) -> None:
    folder = tmp_path / "notebooks"
    shutil.copytree(notebooks, folder)
    check_notebooks(read_request(company, ["segments.horizon_months=24"]), folder)
    write_notebook(folder, "offers", "pass")
    with pytest.raises(StageError, match="no parameter next_products"):
        check_notebooks(read_request(company, ["offers.next_products=2"]), folder)
    (folder / "6_relationships.ipynb").write_text("{}", encoding="utf-8")
    with pytest.raises(StageError, match="6_relationships"):
        check_notebooks(read_request(company), folder)
