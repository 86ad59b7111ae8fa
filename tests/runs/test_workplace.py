from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path

import pytest

from crm_methods.errors import StageError
from crm_methods.runs.workplace import Workplace, locked, relative, workplace


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path / "reports" / "three", dt.date(2025, 12, 31))


def _report(place: Workplace, text: str) -> Path:
    folder = place.new_report()
    (folder / "index.html").write_text(text, encoding="utf-8")
    return folder


def test_a_new_report_takes_the_place_of_the_last_one_and_leaves_nothing_beside_it(place: Workplace) -> None:
    for text in ("first", "second"):
        place.swap_in(_report(place, text))
        assert (place.published / "index.html").read_text(encoding="utf-8") == text
    assert list(place.hidden.iterdir()) == []


def test_when_the_swap_fails_the_last_report_stands(place: Workplace, tmp_path: Path) -> None:
    place.swap_in(_report(place, "first"))
    with pytest.raises(OSError):
        place.swap_in(tmp_path / "absent")
    assert (place.published / "index.html").read_text(encoding="utf-8") == "first"


def test_what_a_crash_left_is_put_right(place: Workplace) -> None:
    place.swap_in(_report(place, "first"))
    place.published.rename(place.hidden / ".replaced-2025-12-31")
    _report(place, "half")
    place.tidy()
    assert (place.published / "index.html").read_text(encoding="utf-8") == "first"
    assert list(place.hidden.iterdir()) == []


def test_a_lock_that_nobody_holds_any_more_holds_nobody_up(place: Workplace) -> None:
    place.hidden.mkdir(parents=True)
    (place.hidden / "lock").write_text("999999", encoding="ascii")
    with locked(place):
        assert (place.hidden / "lock").is_file()
    assert not (place.hidden / "lock").exists()


def test_a_killed_process_leaves_the_company_free(place: Workplace) -> None:
    held = (
        "import datetime, pathlib, sys, time\nfrom crm_methods.runs.workplace import Workplace, locked\n"
        "with locked(Workplace(pathlib.Path(sys.argv[1]), datetime.date(2025, 12, 31))):\n"
        "    print('held', flush=True)\n    time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", held, str(place.root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(StageError, match=str(process.pid)), locked(place):
        pass
    process.kill()
    process.communicate()
    with locked(place):
        pass


def test_a_run_that_wrote_nothing_leaves_no_folder(place: Workplace, tmp_path: Path) -> None:
    with locked(place):
        pass
    assert list(tmp_path.iterdir()) == []


def test_paths_are_made_of_the_folders_name_only(tmp_path: Path) -> None:
    found = workplace(tmp_path / "three", dt.date(2025, 1, 2), tmp_path / "reports")
    assert found.published == tmp_path / "reports" / "three" / "2025-01-02"
    assert found.work.parent == found.hidden
    with pytest.raises(StageError):
        workplace(Path("/"), dt.date(2025, 1, 2), tmp_path)


def test_a_path_is_shown_from_where_the_reader_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert relative(tmp_path / "a" / "b") == str(Path("a") / "b")
