"""What the user asks of a run, checked before anything is written: which company, which stages, which parameters."""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crm_methods.company.contacts_plan import read_contacts
from crm_methods.company.offers_plan import read_offers
from crm_methods.company.procedures_plan import read_procedures
from crm_methods.company.programmes_plan import read_programmes
from crm_methods.company.settings import KNOBS, Company, knob_faults, load_company
from crm_methods.company.vocabulary import STAGES
from crm_methods.errors import Faults, ParameterError, SettingsError, StageError, did_you_mean
from crm_methods.runs.artefacts import PROJECT

# The company's own plans, read before the run so that their faults come first; the kit's defaults are tested.
_PLANS: Mapping[str, Callable[[Path], Any]] = {
    "offers": read_offers, "procedures": read_procedures, "contacts": read_contacts, "programmes": read_programmes,
}  # fmt: skip
_WHOLE = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_PARAMETER = re.compile(r"^(\w+)\s*(?::[^=\n]+)?=", re.MULTILINE)
_TRUTH = {"true": True, "yes": True, "false": False, "no": False}


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """A run that can be begun: the company's folder and settings, the stages asked for, and their parameters."""

    folder: Path
    settings: Company
    stages: tuple[str, ...]
    knobs: Mapping[str, Mapping[str, Any]]


def read_request(folder: Path, assignments: Iterable[str] = (), stages: str | None = None) -> Request:
    """Read what the user asked for.

    Parameters
    ----------
    folder
        The company's folder.
    assignments
        Parameters as ``stage.knob=value``.
    stages
        Numbers or names with commas between them; all when None.

    Raises
    ------
    SettingsError
        company.yml or a plan beside it can't be used; faults of the other arguments are told with it.
    ParameterError
        A stage or a parameter is unknown, or a value has the wrong type. All faults come together.
    """
    faults = Faults()
    chosen = _stages(stages, faults)
    knobs = _knobs(assignments, faults)
    readers: list[Callable[[Path], Any]] = [read for name, read in _PLANS.items() if (folder / f"{name}.yml").is_file()]
    settings: Company | None = None
    told: list[str] = []
    for read in (load_company, *readers):
        try:
            content = read(folder)
        except SettingsError as error:
            told.append(str(error))
        else:
            settings = content if isinstance(content, Company) else settings
    if told or settings is None:
        raise SettingsError("\n".join([*told, *(f"  - {fault}" for fault in faults.items)]))
    faults.raise_if_any(ParameterError, "The run can't begin:")
    return Request(folder, settings, chosen, knobs)


def company_folder(given: str) -> Path:
    """The company's folder: a path, or the name of a folder in ``data/``.

    Raises
    ------
    SettingsError
        There is no such folder; the nearest name is proposed.
    """
    path = Path(given).expanduser()
    if path.name == "company.yml":
        path = path.parent
    places = (path, PROJECT / path, PROJECT / "data" / path, Path("data") / path)
    found = next((place for place in places if place.is_dir()), None)
    if found is not None:
        return found.resolve()
    shelves = {place.resolve() for place in (path.parent, PROJECT / "data") if place.is_dir()}
    known = sorted({p.parent.name: p for shelf in shelves for p in shelf.glob("*/company.yml")})
    listed = f" Known companies: {', '.join(known)}." if known else ""
    raise SettingsError(f"{given}: there is no such folder.{listed} {did_you_mean(path.name, known)}".rstrip())


def check_notebooks(request: Request, notebooks: Path) -> None:
    """Make sure that every stage asked for has its notebook, and that the notebook knows the parameters it will be given.

    papermill itself would only warn, and the report would then be about another company.

    Raises
    ------
    StageError
        A notebook is missing, is none, or lacks a parameter. All faults come together.
    """
    faults = Faults()
    for stage in request.stages:
        path = notebooks / f"{STAGES[stage].notebook}.ipynb"
        known = _parameter_names(path)
        if known is None:
            faults.add(path.name, "no notebook of this name", "one for each stage", "Restore it from the kit.")
            continue
        for name in ("company", "run_dir", *request.knobs.get(stage, {})):
            if name not in known:
                faults.add(path.name, f"no parameter {name}", "it in the cell tagged `parameters`", did_you_mean(name, known))
    faults.raise_if_any(StageError, "The run can't begin:")


def _parameter_names(notebook: Path) -> frozenset[str] | None:
    """The names that a notebook's parameters cell gives values to; None where the file is no notebook."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        tagged = ["".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return frozenset(_PARAMETER.findall("\n".join(tagged)))


def _stages(given: str | None, faults: Faults) -> tuple[str, ...]:
    if given is None:
        return tuple(STAGES)
    numbers = {str(info.number): key for key, info in STAGES.items()}
    names = numbers | {key: key for key in STAGES} | {info.notebook: key for key, info in STAGES.items()}
    words = [word.strip() for word in given.split(",")]
    for word in words:
        if word not in names:
            options = ", ".join(f"{number} {key}" for number, key in numbers.items())
            faults.add("--stages", repr(word), f"one of {options}", did_you_mean(word, STAGES))
    return tuple(key for key in STAGES if key in {names.get(word) for word in words})


def _knobs(assignments: Iterable[str], faults: Faults) -> dict[str, dict[str, Any]]:
    knobs: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        name, equals, text = (part.strip() for part in assignment.partition("="))
        stage, dot, knob = name.partition(".")
        where = f"--set {name}"
        if not equals or not dot or not text:
            faults.add(f"--set {assignment}", repr(assignment), "stage.knob=value, such as segments.horizon_months=24")
        elif stage not in KNOBS:
            faults.add(where, f'the stage "{stage}"', f"one of {', '.join(KNOBS)}", did_you_mean(stage, KNOBS))
        elif knob in knobs.get(stage, {}):
            faults.add(where, "two values", "one")
        else:
            knobs.setdefault(stage, {})[knob] = _value(stage, knob, text)
    for stage, given in knobs.items():
        knob_faults(stage, given, faults)
    return knobs


def _value(stage: str, knob: str, text: str) -> Any:
    """``text`` as the type the knob is declared with; left as text where it can't be, so that the check names it."""
    if knob not in KNOBS[stage]:
        return text
    room, key = KNOBS[stage][knob]
    model = typing.cast(Any, Company.model_fields[room].annotation)
    kinds = set(_kinds(model.model_fields[key].annotation))
    if bool in kinds and text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    if kinds & {int, float} and _WHOLE.fullmatch(text):
        return int(text)
    if kinds & {int, float} and _NUMBER.fullmatch(text):
        return float(text)
    return text


def _kinds(annotation: Any) -> Sequence[type]:
    """The plain types inside Annotated, unions and literals."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation]
    if typing.get_origin(annotation) is typing.Literal:
        return [type(value) for value in typing.get_args(annotation)]
    return [kind for part in typing.get_args(annotation) for kind in _kinds(part)]
