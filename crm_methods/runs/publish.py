"""The whole stages of a run → the report a reader opens: assembled aside, then put in place at once."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

import crm_methods
from crm_methods.company.intake import Canonical
from crm_methods.company.privacy import Pseudonyms
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import STAGES
from crm_methods.engine import Engine, collect, fingerprint
from crm_methods.errors import StageError
from crm_methods.reports import exports
from crm_methods.reports.html import WORKBOOK, RunFacts, render_index, render_stage
from crm_methods.runs import artefacts
from crm_methods.runs.freshness import StagePlan, read_json
from crm_methods.runs.workplace import Workplace

CLIENTS, REJECTS = "clients.csv", "rejects.csv"
_PRIVATE = "private"


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """A run whose stages are all whole.

    Parameters
    ----------
    settings, data, pseudonyms
        The company, its canonical tables, and how its names leave (None: as they are).
    facts
        The contents of each stage.json, in order.
    skipped
        Stages that were fresh and not repeated.
    generated
        When the run was made, as text with its time zone.
    """

    settings: Company
    data: Canonical
    pseudonyms: Pseudonyms | None
    facts: Sequence[Mapping[str, Any]]
    skipped: Collection[str]
    generated: str


def run_id(plans: Mapping[str, StagePlan], previous: str = "") -> str:
    """Identifies what a run was made of: the same inputs, settings, code and earlier run (``previous``) have the same id."""
    identities = "\n".join([*(f"{stage} {plan.identity}" for stage, plan in plans.items()), *([previous] if previous else [])])
    return hashlib.sha256(identities.encode()).hexdigest()[:12]


def publish(place: Workplace, finished: Finished, identity: str) -> None:
    """Assemble the report beside the last one and put it in its place.

    Raises
    ------
    StageError
        A file or table that a stage has noted is not there. The last report stays.
    """
    folder = place.new_report()
    try:
        _assemble(folder, place, finished, identity)
        place.swap_in(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_published(place: Workplace, identity: str) -> bool:
    """Whether the report that stands there was made of the same."""
    run = read_json(place.published / "run.json")
    return run is not None and run["run_id"] == identity and (place.published / "index.html").is_file()


def _assemble(folder: Path, place: Workplace, finished: Finished, identity: str) -> None:
    tables = _copy_tables(folder, place, finished)
    files = _copy_files(folder, place, finished)
    engine = finished.data.engine
    # Lists are made of the tables as they stand in the work folder, and get pseudonyms once.
    scans = {name: engine.scan(place.work / "tables" / f"{name}.parquet") for name in tables}
    listed = exports.client_list(scans)
    if listed is not None:
        exports.write_client_list(listed, folder / CLIENTS, finished.pseudonyms)
        files.append(CLIENTS)
    exports.write_rejects(finished.data.rejects, folder / REJECTS, finished.pseudonyms)
    files.append(REJECTS)
    _write_pages(folder, place, finished, identity, files, scans)
    artefacts.write_json(folder / "run.json", _run_facts(place, finished, identity, tables, files))


def _copy_tables(folder: Path, place: Workplace, finished: Finished) -> dict[str, dict[str, Any]]:
    tables = {name: {"stage": facts["stage"], **table} for facts in finished.facts for name, table in facts["tables"].items()}
    (folder / "tables").mkdir()
    for name in tables:
        source, target = (base / "tables" / f"{name}.parquet" for base in (place.work, folder))
        _must_be_there(source, place)
        if finished.pseudonyms is None:
            shutil.copyfile(source, target)
        else:
            _copy_table(source, target, tables[name]["key"], finished.data.engine, finished.pseudonyms)
            tables[name] = {**tables[name], "sha256": fingerprint(target)}
    return tables


def _copy_table(source: Path, target: Path, key: Sequence[str], engine: Engine, pseudonyms: Pseudonyms) -> None:
    replaced = exports.with_pseudonyms(collect(engine.scan(source)), pseudonyms)
    engine.write(replaced, target, order_by=key)


def _copy_files(folder: Path, place: Workplace, finished: Finished) -> list[str]:
    """Copy the stages' own files; those for the account managers keep their names, in a folder of their own."""
    names = list(dict.fromkeys(name for facts in finished.facts for name in facts["files"]))
    for name in names:
        source = place.work / "files" / name
        _must_be_there(source, place)
        private = Path(name).parts[0] == _PRIVATE
        exports.copy_out(source, folder / name, None if private else finished.pseudonyms)
    return names


def _write_pages(
    folder: Path, place: Workplace, finished: Finished, identity: str, files: Sequence[str], scans: Mapping[str, Any]
) -> None:
    open_to_all = [name for name in files if name != WORKBOOK and Path(name).parts[0] != _PRIVATE]
    facts = RunFacts(
        company=finished.settings.company, as_of=finished.settings.as_of, currency=finished.settings.currency,
        generated=finished.generated, run_id=identity, kit_version=crm_methods.__version__,
        pages=tuple(facts["stage"] for facts in finished.facts), has_workbook=WORKBOOK in files, files=tuple(open_to_all),
    )  # fmt: skip
    for stage in finished.facts:
        page = render_stage(place.notebook(stage["stage"]), stage, facts, finished.pseudonyms)
        _write_text(folder / f"{STAGES[stage['stage']].notebook}.html", page)
    segments = scans.get("client_segments")
    matrix = None if segments is None else exports.segment_matrix(segments)
    index = render_index(finished.facts, facts, matrix, _reconciliation(finished.data.totals), finished.pseudonyms)
    _write_text(folder / "index.html", index)


def _reconciliation(totals: pd.DataFrame) -> pd.DataFrame | None:
    return totals if len(totals) else None


def _run_facts(
    place: Workplace, finished: Finished, identity: str, tables: Mapping[str, Any], files: Sequence[str]
) -> dict[str, Any]:
    mask = finished.pseudonyms

    def gathered(kind: str) -> list[dict[str, Any]]:
        return [{"stage": facts["stage"], **entry} for facts in finished.facts for entry in facts[kind]]

    return {
        "schema": artefacts.SCHEMA, "company": mask.text(finished.settings.company) if mask else finished.settings.company,
        "as_of": str(finished.settings.as_of), "currency": finished.settings.currency, "run_id": identity,
        "kit_version": crm_methods.__version__, "generated": finished.generated, "versions": artefacts.versions(),
        "stages": [_stage_entry(place, finished, facts) for facts in finished.facts], "tables": dict(tables),
        "headlines": gathered("headlines"), "checks": gathered("checks"), "data_gaps": gathered("data_gaps"),
        "decisions": [{"stage": facts["stage"], "text": text} for facts in finished.facts for text in facts["decisions"]],
        "inputs": list(finished.data.inputs),
        "control_totals": finished.data.totals.astype(object).where(finished.data.totals.notna(), None).to_dict("records"),
        "files": sorted(files),
    }  # fmt: skip


def _stage_entry(place: Workplace, finished: Finished, facts: Mapping[str, Any]) -> dict[str, Any]:
    """One stage in run.json; of a stage that was not repeated, the seconds are those of its execution."""
    record = read_json(place.record(facts["stage"])) or {}
    return {
        "stage": facts["stage"], "number": facts["number"], "title": facts["title"], "seconds": record.get("seconds"),
        "peak_memory_mb": record.get("peak_memory_mb"), "skipped": facts["stage"] in finished.skipped,
        "identity": facts["identity"], "parameters": facts["parameters"],
    }  # fmt: skip


def _must_be_there(path: Path, place: Workplace) -> None:
    if not path.is_file():
        raise StageError(
            f"{path.relative_to(place.work)}: a stage has noted this file and it is not in the work folder. "
            "Run again with --force."
        )


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
