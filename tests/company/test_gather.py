from __future__ import annotations

from pathlib import Path

import pytest

from crm_methods.company import gather as room
from crm_methods.company.gather import bring, company_place, gather
from crm_methods.errors import IntakeError, ParameterError, SettingsError


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    folder = tmp_path / "exports"
    folder.mkdir()
    for name in ("b.csv", "a.csv", ".hidden.csv", "notes.md", "~$open.xlsx"):
        (folder / name).write_text(f"id,name\n1,{name}\n")
    return folder


def test_a_folder_gives_its_files_and_what_is_given_twice_counts_once(exports: Path, tmp_path: Path):
    found = gather([str(exports), str(exports / "a.csv")], tmp_path / "acme", None)

    assert [g.place for g in found] == [{"file": "a.csv"}, {"file": "b.csv"}]


def test_a_file_of_an_installed_package_is_named_by_its_place():
    (found,) = gather(["package:lifetimes/datasets/CDNOW_sample.txt"], Path("acme"), None)

    assert found.place == {"package": "lifetimes/datasets/CDNOW_sample.txt"}
    assert found.path is not None
    assert found.path.is_file()


def test_a_database_is_named_without_its_password(tmp_path: Path):
    (found,) = gather(["postgresql+pg8000://ann@host:5432/crm"], tmp_path, "CRM_PASSWORD")

    assert found.place == {"database": "postgresql+pg8000://ann@host:5432/crm", "password_env": "CRM_PASSWORD"}


@pytest.mark.parametrize("url", ["postgresql+pg8000://ann:s3cret@host/crm", "mysql://host/crm?user=ann&password=s3cret"])
def test_a_password_on_the_command_line_is_refused_and_not_repeated(url: str, tmp_path: Path):
    with pytest.raises(IntakeError) as stop:
        gather([url], tmp_path, None)

    assert "--password-env" in str(stop.value)
    assert "s3cret" not in str(stop.value)


def test_all_that_is_not_there_is_told_at_once(tmp_path: Path):
    with pytest.raises(IntakeError) as stop:
        gather([str(tmp_path / "gone.csv"), "package:no_such_package/a.csv", "package:lifetimes/../a", "a\0b"], tmp_path, None)

    assert str(stop.value).count("\n  - ") == 4


def test_two_files_of_one_name_are_a_fault(exports: Path, tmp_path: Path):
    other = tmp_path / "A.CSV"
    other.write_text("x")
    with pytest.raises(IntakeError, match="name of its own"):
        gather([str(exports), str(other)], tmp_path / "acme", None)


def test_files_are_copied_never_moved_and_nothing_is_overwritten(exports: Path, tmp_path: Path):
    folder = tmp_path / "acme"
    found = gather([str(exports)], folder, None)
    bring(found, folder)
    again = bring(found, folder)

    assert again == []
    assert (folder / "a.csv").read_text() == (exports / "a.csv").read_text()
    (exports / "a.csv").write_text("id,name\n1,else!\n")
    with pytest.raises(IntakeError, match="nothing is overwritten"):
        bring(found, folder)
    assert (folder / "a.csv").read_text() == "id,name\n1,a.csv\n"
    assert sorted(p.name for p in folder.iterdir()) == ["a.csv", "b.csv"]


def test_large_files_may_be_linked(exports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(room, "LINKED_FROM_BYTES", 1)
    bring(gather([str(exports / "a.csv")], tmp_path / "acme", None), tmp_path / "acme")

    assert (tmp_path / "acme" / "a.csv").samefile(exports / "a.csv")


def test_files_that_lie_in_the_companys_folder_stay_where_they_are(tmp_path: Path):
    folder = tmp_path / "acme"
    (folder / "raw").mkdir(parents=True)
    (folder / "raw" / "a.csv").write_text("x")
    found = gather([str(folder / "raw")], folder, None)

    assert [g.place for g in found] == [{"file": "raw/a.csv"}]
    assert bring(found, folder) == []


@pytest.mark.parametrize("name", ["", "..", "a/b", "../x", ".hidden", "a\0", "x" * 99])
def test_a_name_must_be_a_folders(name: str, tmp_path: Path):
    with pytest.raises(ParameterError):
        company_place(name, tmp_path, force=True)


def test_a_company_that_is_there_is_not_replaced_unless_forced(tmp_path: Path):
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "company.yml").write_text("company: x")
    with pytest.raises(SettingsError, match="--force"):
        company_place("acme", tmp_path, force=False)

    assert company_place("acme", tmp_path, force=True) == tmp_path / "acme"


def test_a_password_in_the_place_of_a_variable_is_not_written_down(tmp_path: Path):
    with pytest.raises(IntakeError) as stop:
        gather(["postgresql+pg8000://ann@host/crm"], tmp_path, "s3cret!")

    assert "s3cret" not in str(stop.value)
