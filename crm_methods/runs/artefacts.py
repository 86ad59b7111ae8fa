"""A stage's workplace: what it reads, and the only place from which anything is written.

A notebook begins with ``open_stage`` and ends with ``stage.close()``, which writes the
stage's facts to ``stages/<stage>.json``, last and atomically: a stage without that file
has not happened. Executed by the runner, a notebook works in the run's work folder;
opened by hand, it reads the last published run and writes to ``.work/by_hand``.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import narwhals as nw
import pandas as pd
import pyarrow as pa

import crm_methods
from crm_methods.company.answers import Answer, Conclusion, Result, Unanswered
from crm_methods.company.intake import Canonical, bring_in, input_hash
from crm_methods.company.privacy import Pseudonyms, pseudonyms_of
from crm_methods.company.questions import QUESTIONS
from crm_methods.company.settings import KNOBS, Company, knob_faults, load_company, with_knobs
from crm_methods.company.vocabulary import STAGES
from crm_methods.engine import Engine, collect, fingerprint, open_engine
from crm_methods.errors import Faults, ParameterError, StageError, did_you_mean

PACKAGE = Path(crm_methods.__file__).parent
PROJECT = PACKAGE.parent
DEFAULT_COMPANY = PROJECT / "data" / "meridian"
PLAN_FILES = ("offers.yml", "procedures.yml", "contacts.yml", "contacts.csv", "programmes.yml", "questionnaire.yml")
SCHEMA = 1
COMPARED: Mapping[str, tuple[str, ...]] = {"client_base": ("input_profile",)}
"""Tables of the run before this one that a stage compares itself with."""
_VERSIONS = ("pandas", "numpy", "scipy", "scikit-learn", "duckdb", "narwhals", "lifetimes")


ChartFunction = Callable[[Any, str], Any]
"""Draws an answer, given the currency; it returns a ``reports.charts.house.Chart``."""


@dataclass(slots=True, eq=False)
class Stage:
    """One stage at work: its data and settings, and the notes that become its stage.json."""

    key: str
    settings: Company
    data: Canonical
    folder: Path
    company_folder: Path
    upstream_folder: Path
    parameters: Mapping[str, Any]
    identity: str
    presenter: Any
    pseudonyms: Pseudonyms | None
    started: float
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    headlines: list[dict[str, Any]] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    data_gaps: list[dict[str, Any]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    @property
    def engine(self) -> Engine:
        """The engine that carries this stage's frames."""
        return self.data.engine

    def upstream(self, table: str) -> nw.LazyFrame[Any]:
        """A table that an earlier stage wrote, as a lazy frame."""
        path = self.upstream_folder / "tables" / f"{table}.parquet"
        if not path.is_file():
            there = sorted(p.stem for p in path.parent.glob("*.parquet")) if path.parent.is_dir() else []
            raise StageError(
                f"{self.key}: found no table {table} of an earlier stage, expected it in {path.parent.name}. "
                f"Run the earlier stages first: crm-methods run {self.company_folder.name}. {did_you_mean(table, there)}".rstrip()
            )
        return self.engine.scan(path)

    def upstream_table(self, table: str, max_rows: int = 100_000) -> pd.DataFrame:
        """A table of an earlier stage with a row per segment or coarser, as pandas."""
        return collect(self.upstream(table), max_rows=max_rows)

    @property
    def previous_as_of(self) -> dt.date | None:
        """The as-of day of the last published run of this company that looks from an earlier day; None on a first run."""
        run = self._previous_run()
        return None if run is None else dt.date.fromisoformat(run.name)

    def previous_table(self, name: str) -> pd.DataFrame | None:
        """A table with a row per segment or coarser of that run; None where it left none that can be read."""
        run = self._previous_run()
        return None if run is None else read_published(run, name)

    def previous(self, name: str) -> tuple[pd.DataFrame | None, dt.date | None]:
        """A table of the last run that looks from an earlier day, and that day; None each on a first run."""
        return self.previous_table(name), self.previous_as_of

    def masked(self, text: str) -> str:
        """``text`` as it is published: with pseudonyms where the company wants them."""
        return self.pseudonyms.text(text) if self.pseudonyms is not None else text

    def _previous_run(self) -> Path | None:
        is_run = self.folder.parent.name == ".work"
        root = self.folder.parent.parent if is_run else reports_root() / self.company_folder.name
        return previous_run(root, self.settings.as_of)

    def write(
        self, name: str, frame: nw.LazyFrame[Any] | pd.DataFrame, *, grain: str, key: Sequence[str], totals: Sequence[str] = ()
    ) -> nw.LazyFrame[Any]:
        """Write one of the stage's tables, ordered by its key, and read it back.

        Parameters
        ----------
        name
            Name of the table; it becomes ``tables/<name>.parquet``.
        grain, key
            What a row is, and the columns that identify it.
        totals
            Columns whose sums are kept as control totals.
        """
        path = self.folder / "tables" / f"{name}.parquet"
        rows = self.engine.write(frame, path, order_by=key)
        written = self.engine.scan(path)
        sums = collect(written.select(*[nw.col(c).sum() for c in totals])).iloc[0].to_dict() if totals else {}
        self.tables[name] = {
            "grain": grain,
            "key": list(key),
            "rows": rows,
            "sha256": fingerprint(path),
            "totals": {c: None if pd.isna(sums[c]) else round(float(sums[c]), 4) for c in totals},
        }
        return written

    def file(self, name: str, private: bool = False) -> Path:
        """Where a file of this stage goes (a workbook, a list); private ones stay out of what is sent on."""
        if name in {"", ".."} or Path(name).name != name:
            raise StageError(f"{self.key}: found the file name {name!r}, expected a name without folders.")
        path = self.folder / "files" / ("private" if private else "") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.files.append(str(path.relative_to(self.folder / "files")))
        return path

    def show(self, answer: Answer | Unanswered, chart: ChartFunction | None = None) -> None:
        """Show an answer: figure, table and sentence; or why there is none, which is noted as a gap in the data.

        ``chart`` draws it: a function of the answer and the currency.
        """
        if isinstance(answer, Unanswered):
            gap = {"question": QUESTIONS[answer.question].text, "reason": answer.reason, "would_help": list(answer.would_help)}
            if gap not in self.data_gaps:
                self.data_gaps.append(gap)
        self.presenter.answer(answer, chart)

    def show_all(self, *answers: Answer | Unanswered) -> None:
        """Show several answers, one after the other, none with a figure."""
        for answer in answers:
            self.show(answer)

    def say(self, text: str) -> None:
        """Show one computed sentence."""
        self.presenter.say(text)

    def headline(
        self, key: str, label: str, text: str, *, value: float | None = None, interval: str | None = None, note: str = ""
    ) -> None:
        """Note a number for the index page."""
        self.headlines.append({"key": key, "label": label, "text": text, "value": value, "interval": interval, "note": note})

    def finding(self, *texts: str) -> None:
        """Note key findings: they open the report."""
        self.findings.extend(texts)

    def decision(self, text: str) -> None:
        """Note what this stage decides, and show it."""
        self.decisions.append(text)
        self.presenter.say(text)

    def check(self, name: str, passed: bool, detail: str) -> None:
        """Note a check, passed or failed."""
        self.checks.append({"name": name, "passed": bool(passed), "detail": detail})

    def write_all(self, results: Mapping[str, Result]) -> None:
        """Write several tables with a row per segment or coarser."""
        for name, result in results.items():
            self.write(name, result.table, grain=result.grain, key=result.key)

    def conclude(self, conclusion: Conclusion) -> None:
        """Note findings, headlines and checks, and show the decision."""
        self.finding(*conclusion.findings)
        self.headlines.extend(asdict(headline) for headline in conclusion.headlines)
        self.checks.extend(asdict(check) for check in conclusion.checks)
        if conclusion.decision:
            self.decision(conclusion.decision)

    def close(self) -> None:
        """Write the stage's facts; only now has the stage happened."""
        info = STAGES[self.key]
        facts = {
            "schema": SCHEMA, "stage": self.key, "number": info.number, "title": info.title, "question": info.question,
            "company": self.settings.company, "as_of": str(self.settings.as_of), "currency": self.settings.currency,
            "seed": self.settings.seed, "identity": self.identity, "versions": versions(),
            "settings_sha256": _sha256(self.settings.model_dump_json()), "code_sha256": code_hash(self.key),
            "inputs": list(self.data.inputs), "parameters": dict(self.parameters), "tables": self.tables,
            "headlines": self.headlines, "findings": self.findings, "decisions": self.decisions, "checks": self.checks,
            "data_gaps": self.data_gaps, "files": self.files, "seconds": round(time.monotonic() - self.started, 2),
            "peak_memory_mb": peak_memory_mb(),
        }  # fmt: skip
        if self.pseudonyms is not None:
            facts = _replaced(facts, self.pseudonyms)
        write_json(self.folder / "stages" / f"{self.key}.json", facts)


def open_stage(stage: str, *, company: str | None = None, run_dir: str | None = None, **knobs: Any) -> Stage:
    """Open a stage: settings with the notebook's parameters applied, the canonical data, the work folder.

    Parameters
    ----------
    stage
        Key of the stage, such as ``segments``.
    company
        The company's folder; the sample company when None.
    run_dir
        The run's work folder; None for a notebook opened by hand.
    knobs
        The notebook's parameters; None means "as in company.yml".

    Raises
    ------
    ParameterError
        A parameter is unknown or ill-typed.
    SettingsError, IntakeError
        The company's settings or files can't be used.
    StageError
        By hand, and no earlier run of this company has been published.
    """
    started = time.monotonic()
    company_folder = Path(company).resolve() if company else DEFAULT_COMPANY
    given = {name: value for name, value in knobs.items() if value is not None}
    faults = Faults()
    knob_faults(stage, given, faults)
    faults.raise_if_any(ParameterError, f"The parameters of {stage} can't be used:")
    settings = with_knobs(load_company(company_folder), stage, given)
    folder = Path(run_dir).resolve() if run_dir else reports_root() / company_folder.name / ".work" / "by_hand"
    upstream = folder if run_dir or STAGES[stage].number == 1 else _last_published(company_folder)
    folder.mkdir(parents=True, exist_ok=True)
    engine = open_engine(settings.engine, folder / "spill")
    data = bring_in(settings, company_folder, engine, folder / "canonical")
    pseudonyms = pseudonyms_of(data, company_folder / "private") if settings.privacy.pseudonymise else None
    # Matplotlib is loaded by the charts, not by opening a stage.
    from crm_methods.reports.show import Presenter

    (folder / "stages" / f"{stage}.json").unlink(missing_ok=True)
    return Stage(
        stage, settings, data, folder, company_folder, upstream, effective_knobs(stage, settings),
        stage_identity(stage, settings, company_folder), Presenter(settings.currency, pseudonyms), pseudonyms, started,
    )  # fmt: skip


def reports_root() -> Path:
    """Where runs are published: ``CRM_METHODS_REPORTS`` if set, else ``reports/`` of the project."""
    return Path(os.environ.get("CRM_METHODS_REPORTS") or PROJECT / "reports").resolve()


def previous_run(root: Path, as_of: dt.date) -> Path | None:
    """The folder of the last run published below ``root`` that looks from an earlier day than ``as_of``.

    Later runs and one of the same day don't count, so that a run that is repeated comes to the same.
    """
    runs = [path.parent for path in root.glob("*/run.json") if _is_earlier_run(path, as_of)]
    return max(runs, key=lambda run: run.name, default=None)


def read_published(run: Path, name: str) -> pd.DataFrame | None:
    """A table of a published run as pandas; None where there is no such table, or something else in its place."""
    try:
        table: pd.DataFrame = pd.read_parquet(run / "tables" / f"{name}.parquet")
    except (OSError, ValueError, KeyError, pa.ArrowException):
        return None
    return table


def previous_hash(stage: str, root: Path, as_of: dt.date) -> str:
    """Hash of what a stage compares itself with: the previous run's day and the contents of its tables; empty for nothing."""
    run = previous_run(root, as_of) if stage in COMPARED else None
    if run is None:
        return ""
    readable = [name for name in COMPARED[stage] if read_published(run, name) is not None]
    found = [f"{name}:{fingerprint(run / 'tables' / f'{name}.parquet')}" for name in readable]
    return _sha256("\n".join([run.name, *found]))


def effective_knobs(stage: str, settings: Company) -> dict[str, Any]:
    """The values that the stage's parameters have in these settings."""
    return {name: getattr(getattr(settings, room), key) for name, (room, key) in KNOBS[stage].items()}


def stage_identity(stage: str, settings: Company, company_folder: Path) -> str:
    """Hash of everything a stage's result depends on but the stages before it: inputs, settings, plans, code."""
    plans = [(company_folder / name).read_bytes() for name in PLAN_FILES if (company_folder / name).is_file()]
    parts = [input_hash(settings, company_folder), settings.model_dump_json(), code_hash(stage), *(_sha256(p) for p in plans)]
    return _sha256("\n".join(parts))


def code_hash(stage: str) -> str:
    """Hash of the package and of the stage's notebook."""
    digest = hashlib.sha256()
    suffixes = {".py", ".yml", ".j2", ".css", ".html"}
    for path in sorted(p for p in PACKAGE.rglob("*") if p.suffix in suffixes):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + path.read_bytes())
    notebook = PROJECT / "notebooks" / f"{STAGES[stage].notebook}.ipynb"
    if notebook.is_file():
        digest.update(notebook.read_bytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of the kit and of what computes its numbers."""
    return {
        "crm_methods": crm_methods.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in _VERSIONS},
    }


def peak_memory_mb() -> float:
    """Peak resident memory of this process in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Write JSON so that the file is either whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(facts, indent=1, ensure_ascii=False, default=_plain), encoding="utf-8")
    os.replace(partial, path)


def _last_published(company_folder: Path) -> Path:
    published = sorted((reports_root() / company_folder.name).glob("*/run.json"))
    if not published:
        raise StageError(
            f"There is no finished run of {company_folder.name} to read the earlier stages from. "
            f"Run it once first: make report COMPANY=data/{company_folder.name}."
        )
    return published[-1].parent


def _is_earlier_run(path: Path, as_of: dt.date) -> bool:
    """Whether this is the run.json of a run whose folder bears its day, and the day is earlier."""
    try:
        day, facts = dt.date.fromisoformat(path.parent.name), json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    named = day.isoformat() == path.parent.name and isinstance(facts, dict) and facts.get("as_of") == path.parent.name
    return named and day < as_of


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def _replaced(value: Any, pseudonyms: Pseudonyms) -> Any:
    if isinstance(value, str):
        return pseudonyms.text(value)
    if isinstance(value, dict):
        return {key: _replaced(item, pseudonyms) for key, item in value.items()}
    return [_replaced(item, pseudonyms) for item in value] if isinstance(value, list) else value


def _sha256(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()
