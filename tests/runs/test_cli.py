from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
import webbrowser
from pathlib import Path

import pytest

from crm_methods.company.vocabulary import STAGES
from crm_methods.runs import runner
from crm_methods.runs.cli import main

from .conftest import Finished, write_company, write_notebook


def _command(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "crm_methods.runs.cli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_without_arguments_it_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert {"run", "status", "open"} <= set(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["rnu"], 'Did you mean "run"?'),
        (["run"], "DIR"),
        (["run", "meridian", "--forse"], 'Did you mean "--force"?'),
        (["open", "meridiann"], 'Did you mean "meridian"?'),
    ],
)
def test_a_wrong_command_line_is_told_with_the_nearest_spelling(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert told in said.err
    assert said.out == ""


def test_all_faults_of_a_request_come_in_one_message_and_nothing_is_written(company: Path, tmp_path: Path) -> None:
    text = (company / "company.yml").read_text(encoding="utf-8").replace("currency", "curency")
    (company / "company.yml").write_text(text, encoding="utf-8")
    process = _command(
        "run", company, "--reports", tmp_path / "reports", "--stages", "2,9", "--set", "segments.horizn_months=3",
        "--set", "segments.holdout_months=soon",
    )  # fmt: skip
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    for told in ('"currency"', "'9'", '"horizon_months"', "'soon'"):
        assert told in err
    assert "Traceback" not in err
    assert not (tmp_path / "reports").exists()


def test_an_interrupt_leaves_nothing_half_written(company: Path, tmp_path: Path, notebooks: Path) -> None:
    process = _command("run", company, "--reports", tmp_path / "reports", "--notebooks", notebooks)
    executing = tmp_path / "reports" / "three" / ".work" / "2025-12-31" / "notebooks"
    patience = time.monotonic() + 60
    while not list(executing.glob("*.partial.ipynb")) and time.monotonic() < patience:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped; nothing half-written" in err
    assert "Traceback" not in err
    left = [path for path in (tmp_path / "reports").rglob("*") if path.is_file()]
    assert not [path for path in left if "partial" in path.name or path.name in {"lock", "run.json"}]


def test_ctrl_c_in_the_middle_of_a_cell_ends_without_a_trace(company: Path, tmp_path: Path) -> None:
    marker = tmp_path / "at-work"
    for stage in STAGES:
        write_notebook(tmp_path, stage, f"import pathlib, time\npathlib.Path({str(marker)!r}).touch()\ntime.sleep(60)")
    command = [sys.executable, "-m", "crm_methods.runs.cli", "run", str(company), "--reports", str(tmp_path / "reports")]
    process = subprocess.Popen(
        [*command, "--notebooks", str(tmp_path)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )  # fmt: skip
    patience = time.monotonic() + 90
    while not marker.exists() and process.poll() is None and time.monotonic() < patience:
        time.sleep(0.05)
    # A terminal sends it to the whole group, kernels too.
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopped; nothing half-written" in err
    assert "Traceback" not in err
    assert not [path for path in (tmp_path / "reports").rglob("*") if "partial" in path.name or path.name == "index.html"]


def test_a_place_where_nothing_can_be_written_is_told(company: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    assert main(["run", str(company), "--reports", str(tmp_path / "taken")]) == 1
    said = capsys.readouterr().err
    assert "no folder can be made" in said
    assert "--reports" in said


@pytest.mark.parametrize(("number", "told"), [(errno.ENOSPC, "Make room"), (errno.EACCES, "permissions")])
def test_what_the_disk_refuses_is_told(
    number: int, told: str, company: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), "run.json")

    monkeypatch.setattr(runner, "run", refuse)
    assert main(["run", str(company)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("run.json: ")
    assert told in said


def test_status_tells_the_condition_of_each_stage(finished: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--reports", str(finished.reports), "--notebooks", str(finished.notebooks)]
    assert main(["status", str(finished.company), *where]) == 0
    said = capsys.readouterr().out
    assert said.count(" fresh") == 6
    assert "2025-12-31" in said.splitlines()[-1]
    assert main(["status", str(finished.company), *where, "--set", "segments.horizon_months=12"]) == 0
    said = capsys.readouterr().out
    assert "the settings have changed" in said
    assert said.count("waits for 2 segments") == 4


def test_open_shows_the_last_report(
    finished: Finished, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: bool(shown.append(address)) or True)
    assert main(["open", str(finished.company), "--reports", str(finished.reports)]) == 0
    assert shown == [(finished.published / "index.html").as_uri()]
    assert capsys.readouterr().out.strip() == str(finished.published / "index.html")


def test_open_before_the_first_run_says_what_to_do(company: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["open", str(company), "--reports", str(tmp_path / "none")]) == 1
    assert "Run it first" in capsys.readouterr().err


def test_what_a_file_holds_does_not_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    company = write_company(tmp_path / "three", 'company: A\nas_of: "\\e]0;owned\\a"\ncurrency: EUR\ntables: {}\n')
    assert main(["run", str(company)]) == 1
    said = capsys.readouterr().err
    assert "as_of" in said
    assert not set(said) & {"\x1b", "\x07"}


def test_a_fresh_run_says_so(finished: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--reports", str(finished.reports), "--notebooks", str(finished.notebooks)]
    assert main(["run", str(finished.company), *where]) == 0
    said = capsys.readouterr()
    assert "Every stage is fresh" in said.out
    assert said.out.rstrip().endswith(f"{os.sep}index.html")


def test_a_draft_is_written_checked_and_can_be_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exports = tmp_path / "exports"
    exports.mkdir()
    deals = "".join(f"D{n};Acme {n % 3};{n:02d}.03.2025;1 0{n:02d},50;Closed Won\n" for n in range(1, 29))
    header = "Opportunity ID;Account;Close Date;Amount;Stage\n"
    (exports / "deals.csv").write_text(header + deals, encoding="utf-8")
    assert main(["new", "acme", str(exports), "--into", str(tmp_path / "shelf")]) == 0
    told = capsys.readouterr().out
    assert "To decide in" in told
    assert "currency" in told
    folder = tmp_path / "shelf" / "acme"
    assert main(["check", str(folder)]) == 0
    assert "28 rows, all accepted" in capsys.readouterr().out
    assert main(["new", "acme", str(exports), "--into", str(tmp_path / "shelf")]) == 1
    assert "company.yml" in capsys.readouterr().err


def test_sources_that_are_not_there_are_told_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for given in ([str(tmp_path / "no.csv"), "package:no_such_package/x.csv"], ["sqlite:///no/such/place/x.db"]):
        assert main(["new", "acme", *given, "--into", str(tmp_path)]) == 1
        told = capsys.readouterr().err
        assert all(Path(source).name in told for source in given)
        assert "Traceback" not in told
    assert not (tmp_path / "acme").exists()
