"""Whether a stage must be repeated: what its result was made of, against what is there now."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from crm_methods.company.settings import Company, with_knobs
from crm_methods.company.sources import locate
from crm_methods.company.vocabulary import STAGES
from crm_methods.runs import artefacts
from crm_methods.runs.request import Request
from crm_methods.runs.workplace import Workplace

Condition = Literal["fresh", "stale", "missing", "failed"]


@dataclass(frozen=True, slots=True)
class StageState:
    """The condition of one stage in the work folder, and why it is not fresh."""

    stage: str
    condition: Condition
    why: str = ""

    @property
    def is_fresh(self) -> bool:
        """Whether the stage need not be repeated."""
        return self.condition == "fresh"


@dataclass(frozen=True, slots=True, eq=False)
class StagePlan:
    """What a stage is to be made of: its notebook, settings, parameters, and the hash of all that."""

    stage: str
    notebook: Path
    settings: Company
    knobs: Mapping[str, Any]
    identity: str


def plan_stages(request: Request, notebooks: Path) -> dict[str, StagePlan]:
    """The plan of every stage, also of those that are not asked for: their freshness is told too."""
    plans = {}
    for stage, info in STAGES.items():
        knobs = request.knobs.get(stage, {})
        settings = with_knobs(request.settings, stage, knobs)
        identity = artefacts.stage_identity(stage, settings, request.folder)
        plans[stage] = StagePlan(stage, notebooks / f"{info.notebook}.ipynb", settings, knobs, identity)
    return plans


def state_of(plan: StagePlan, place: Workplace, company_folder: Path) -> StageState:
    """The condition of a stage; a stage whose earlier stages, or whose earlier run, changed their tables since is stale.

    The tables of earlier stages count by their contents, so that repeating a stage that
    comes to the same result makes no later one stale.
    """
    facts, record = read_json(place.facts(plan.stage)), read_json(place.record(plan.stage))
    if facts is None or record is None:
        failed = place.notebook(plan.stage, "failed")
        return StageState(plan.stage, "failed", f"see {failed.name}") if failed.is_file() else StageState(plan.stage, "missing")
    why = _difference(plan, facts, record, company_folder) or _damage(record, place.work)
    if not why and record["upstream"] != upstream_hash(plan.stage, place):
        why = "an earlier stage has new tables"
    if not why and record.get("previous", "") != artefacts.previous_hash(plan.stage, place.root, place.as_of):
        why = "the earlier run that it is compared with is another one now"
    return StageState(plan.stage, "stale" if why else "fresh", why)


def states_of(plans: Mapping[str, StagePlan], place: Workplace, company_folder: Path) -> list[StageState]:
    """The condition of every stage in order; what follows a stage that must be repeated waits for it."""
    states: list[StageState] = []
    for plan in plans.values():
        state = state_of(plan, place, company_folder)
        behind = [s for s in states if not s.is_fresh]
        if state.is_fresh and behind:
            state = StageState(plan.stage, "stale", f"waits for {STAGES[behind[0].stage].number} {behind[0].stage}")
        states.append(state)
    return states


def note_execution(plan: StagePlan, place: Workplace, facts: Mapping[str, Any], outputs: Iterable[Path], seconds: float) -> None:
    """Note what a finished stage was made of and what it left, so that the next run can tell whether it is fresh."""
    files = {str(path.relative_to(place.work)): _stamp(path) for path in outputs}
    record = {
        "schema": artefacts.SCHEMA, "stage": plan.stage, "identity": facts["identity"], "notebook_sha256": _sha256(plan.notebook),
        "upstream": upstream_hash(plan.stage, place), "previous": artefacts.previous_hash(plan.stage, place.root, place.as_of),
        "outputs": files, "seconds": round(seconds, 2), "peak_memory_mb": facts["peak_memory_mb"],
    }  # fmt: skip
    artefacts.write_json(place.record(plan.stage), record)


def upstream_hash(stage: str, place: Workplace) -> str:
    """Hash of the tables that the earlier stages have written."""
    digest = hashlib.sha256()
    for earlier in STAGES:
        if earlier == stage:
            break
        for name, table in sorted(((read_json(place.facts(earlier)) or {}).get("tables", {})).items()):
            digest.update(f"{earlier}/{name}:{table['sha256']}\n".encode())
    return digest.hexdigest()


def read_json(path: Path) -> dict[str, Any] | None:
    """The contents of a JSON file; None where there is no such file or it holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and content.get("schema") == artefacts.SCHEMA else None


def _difference(plan: StagePlan, facts: Mapping[str, Any], record: Mapping[str, Any], company_folder: Path) -> str:
    """What a stage was made of that is different now."""
    if record["notebook_sha256"] != _sha256(plan.notebook):
        return "its notebook has changed"
    if facts["versions"] != artefacts.versions():
        return "other versions of the packages"
    if facts["identity"] == record["identity"] == plan.identity:
        return ""
    if facts["settings_sha256"] != hashlib.sha256(plan.settings.model_dump_json().encode()).hexdigest():
        return "the settings have changed"
    if facts["code_sha256"] != artefacts.code_hash(plan.stage):
        return "the code has changed"
    read = {_sha256(locate(source, company_folder, name)) for name, source in plan.settings.tables.items()}
    return "the plans have changed" if {entry["sha256"] for entry in facts["inputs"]} == read else "the input files have changed"


def _damage(record: Mapping[str, Any], work: Path) -> str:
    for name, stamp in record["outputs"].items():
        if not (work / name).is_file():
            return f"{name} is gone"
        if _stamp(work / name) != stamp:
            return f"{name} was changed from outside"
    return ""


def _stamp(path: Path) -> list[int]:
    """Size and time of the last change: cheap, and enough to notice a file that somebody touched."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _sha256(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
