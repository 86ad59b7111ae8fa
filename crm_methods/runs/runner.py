"""One run from start to end: check, bring in, execute what is not fresh, publish what is whole."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crm_methods.company.databases import pull
from crm_methods.company.intake import Canonical, bring_in
from crm_methods.company.privacy import Pseudonyms, pseudonyms_of
from crm_methods.company.vocabulary import STAGES
from crm_methods.engine import open_engine
from crm_methods.errors import StageError
from crm_methods.formats import join
from crm_methods.runs import artefacts
from crm_methods.runs.freshness import StagePlan, StageState, note_execution, plan_stages, read_json, state_of, states_of
from crm_methods.runs.progress import Progress, progress_on
from crm_methods.runs.request import Request, check_notebooks
from crm_methods.runs.workplace import Workplace, locked, relative, workplace

if TYPE_CHECKING:
    from crm_methods.runs.kernels import Kernel, Kernels, Position

NOTEBOOKS = artefacts.PROJECT / "notebooks"


@dataclass(frozen=True, slots=True, eq=False)
class RunResult:
    """What a run came to.

    Parameters
    ----------
    index
        The published index.html; None when stages that were not asked for are not fresh.
    executed, skipped
        Keys of the stages that were executed, and of those that were fresh.
    open
        The stages that keep the run from being published.
    """

    index: Path | None
    executed: tuple[str, ...]
    skipped: tuple[str, ...]
    open: tuple[StageState, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """What all steps of a run need to know."""

    request: Request
    place: Workplace
    plans: Mapping[str, StagePlan]
    notebooks: Path
    force: bool
    progress: Progress


def run(
    request: Request,
    *,
    force: bool = False,
    reports: Path | None = None,
    notebooks: Path = NOTEBOOKS,
    progress: Progress | None = None,
) -> RunResult:
    """Run the stages asked for that are not fresh, and publish when all stages are.

    Parameters
    ----------
    request
        Company, stages and parameters, already checked.
    force
        Repeat fresh stages too.
    reports
        Where runs are published; the default place when None.
    notebooks
        The folder of the stages' notebooks.
    progress
        Hears of each stage; plain lines on the error stream when None.

    Raises
    ------
    IntakeError
        The company's files can't be read; nothing has been written.
    StageError
        A stage has failed, or another run of this company is at work. The last report stays.
    """
    check_notebooks(request, notebooks)
    place = workplace(request.folder, request.settings.as_of, reports)
    with locked(place):
        place.tidy()
        # Copied once, so that all stages see the same rows and know whether they are fresh.
        pull(request.settings, request.folder)
        hears = progress or progress_on(len(request.stages))
        try:
            return _run(_Run(request, place, plan_stages(request, notebooks), notebooks, force, hears))
        finally:
            hears.close()


def status(request: Request, *, reports: Path | None = None, notebooks: Path = NOTEBOOKS) -> tuple[Workplace, list[StageState]]:
    """The workplace of a company and the condition of each of its stages. Nothing is written."""
    place = workplace(request.folder, request.settings.as_of, reports)
    return place, states_of(plan_stages(request, notebooks), place, request.folder)


def last_published(company_folder: Path, reports: Path | None = None) -> Path | None:
    """The index.html that was published last for a company; None before the first run."""
    root = (reports.resolve() if reports else artefacts.reports_root()) / company_folder.name
    found = [run.with_name("index.html") for run in root.glob("*/run.json") if not run.parent.name.startswith(".")]
    return max((index for index in found if index.is_file()), key=lambda index: index.stat().st_mtime, default=None)


def _run(current: _Run) -> RunResult:
    # brings Jupyter's machinery, which `status` and `open` do without
    from crm_methods.runs.kernels import Kernels, load_ahead
    from crm_methods.runs.publish import Finished, is_published, publish, run_id

    request, place = current.request, current.place
    _check_upstream(current)
    with Kernels(artefacts.PROJECT) as kernels:
        if any(_is_due(current, stage) for stage in request.stages):
            kernels.warm()
            load_ahead()
        data = _bring_in(current)
        try:
            pseudonyms = pseudonyms_of(data, request.folder / "private") if request.settings.privacy.pseudonymise else None
            executed = _execute_due(current, kernels, pseudonyms)
            skipped = tuple(stage for stage in request.stages if stage not in executed)
            # Planned anew: files or code that were changed meanwhile make no report.
            plans = plan_stages(request, current.notebooks)
            behind = tuple(state for state in states_of(plans, place, request.folder) if not state.is_fresh)
            if behind:
                return RunResult(None, executed, skipped, behind)
            identity = run_id(plans, artefacts.previous_hash("client_base", place.root, place.as_of))
            if executed or not is_published(place, identity):
                generated = f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC"
                facts = [read_json(place.facts(stage)) or {} for stage in STAGES]
                unrepeated = [stage for stage in STAGES if stage not in executed]
                publish(place, Finished(request.settings, data, pseudonyms, facts, unrepeated, generated), identity)
        finally:
            data.engine.close()
    return RunResult(place.published / "index.html", executed, skipped, ())


def _is_due(current: _Run, stage: str) -> bool:
    return current.force or not state_of(current.plans[stage], current.place, current.request.folder).is_fresh


def _check_upstream(current: _Run) -> None:
    """Refuse to begin when a stage that is asked for follows one that has never run and is not asked for."""
    asked = current.request.stages
    last = STAGES[asked[-1]].number
    lacking = [s for s in STAGES if STAGES[s].number < last and s not in asked and read_json(current.place.facts(s)) is None]
    if lacking:
        numbers = ",".join(str(STAGES[s].number) for s in lacking)
        raise StageError(
            f"{STAGES[asked[-1]].number} {asked[-1]} reads tables of earlier stages, and there is no run yet of {join(lacking)}. "
            f"Leave out --stages, or add {numbers} to it."
        )


def _bring_in(current: _Run) -> Canonical:
    """The canonical tables, read here once so that bad input is told before any stage begins."""
    request, place = current.request, current.place
    is_new = not place.work.exists()
    engine = open_engine(request.settings.engine, place.hidden / "spill")
    try:
        return bring_in(request.settings, request.folder, engine, place.work / "canonical")
    except BaseException:
        engine.close()
        if is_new:
            shutil.rmtree(place.work, ignore_errors=True)
        raise


def _execute_due(current: _Run, kernels: Kernels, pseudonyms: Pseudonyms | None) -> tuple[str, ...]:
    """Execute in order the stages that are not fresh, and say which they were."""
    executed: list[str] = []
    stages = current.request.stages
    for stage in stages:
        if not _is_due(current, stage):
            current.progress.skips(STAGES[stage])
            continue
        kernel = kernels.take()
        if stage != stages[-1]:
            kernels.warm()
        _execute(current, current.plans[stage], kernel, pseudonyms)
        executed.append(stage)
    return tuple(executed)


def _execute(current: _Run, plan: StagePlan, kernel: Kernel, pseudonyms: Pseudonyms | None) -> None:
    from crm_methods.runs.kernels import Position, execute

    place, stage, started = current.place, plan.stage, time.monotonic()
    # From here on the stage has not happened, whatever interrupts it.
    for earlier in (place.facts(stage), place.record(stage)):
        earlier.unlink(missing_ok=True)
    partial, failed = place.notebook(stage, "partial"), place.notebook(stage, "failed")
    partial.parent.mkdir(parents=True, exist_ok=True)
    current.progress.begins(STAGES[stage])
    parameters = {"company": str(current.request.folder), "run_dir": str(place.work), **plan.knobs}
    position = Position()
    try:
        execute(plan.notebook, partial, parameters, kernel, position, current.progress.asks)
        facts = _facts_of(plan, place)
        partial.replace(place.notebook(stage))
        failed.unlink(missing_ok=True)
    except Exception as error:  # papermill hands on whatever a cell, a kernel or a broken notebook raises
        _keep_failed(partial, failed, pseudonyms)
        raise _failure(current, stage, position, error, pseudonyms) from None
    finally:
        kernel.stop()
        partial.unlink(missing_ok=True)
    outputs = [place.facts(stage), place.notebook(stage)]
    outputs += [place.work / "tables" / f"{name}.parquet" for name in facts["tables"]]
    outputs += [place.work / "files" / name for name in facts["files"]]
    seconds = time.monotonic() - started
    note_execution(plan, place, facts, outputs, seconds)
    current.progress.ends(STAGES[stage], seconds)


def _facts_of(plan: StagePlan, place: Workplace) -> Mapping[str, Any]:
    """The stage.json that a notebook has just written."""
    facts = read_json(place.facts(plan.stage))
    if facts is None:
        raise StageError("The notebook ran to its end and wrote no stage.json. Let its last cell call stage.close().")
    return facts


def _failure(current: _Run, stage: str, position: Position, error: Exception, pseudonyms: Pseudonyms | None) -> StageError:
    from crm_methods.runs.kernels import cause_of

    cause, remedy = cause_of(error)
    failed = current.place.notebook(stage, "failed")
    lines = [
        f"{STAGES[stage].number} {STAGES[stage].title}: failed in {position}.",
        f"  cause: {pseudonyms.text(cause) if pseudonyms else cause}",
        f"  remedy: {remedy}",
    ]
    if failed.is_file():
        lines.append(f"  notebook: {relative(failed)}")
    if (current.place.published / "index.html").is_file():
        lines.append(f"  The last report is unchanged: {relative(current.place.published / 'index.html')}")
    return StageError("\n".join(lines))


def _keep_failed(partial: Path, failed: Path, pseudonyms: Pseudonyms | None) -> None:
    """Keep the notebook of a failed stage, its outputs under pseudonyms where the company wants them."""
    if not partial.is_file():
        return
    if pseudonyms is not None:
        import nbformat

        notebook = nbformat.read(partial, as_version=4)  # type: ignore[no-untyped-call]
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = [nbformat.from_dict(_replaced(output, pseudonyms)) for output in cell.outputs]  # type: ignore[no-untyped-call]
        nbformat.write(notebook, partial)  # type: ignore[no-untyped-call]
    partial.replace(failed)


def _replaced(value: Any, pseudonyms: Pseudonyms) -> Any:
    if isinstance(value, str):
        # Colours would cut names in two.
        return pseudonyms.text(_COLOUR.sub("", value))
    if isinstance(value, dict):
        return {key: _replaced(item, pseudonyms) for key, item in value.items()}
    return [_replaced(item, pseudonyms) for item in value] if isinstance(value, list) else value


_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
