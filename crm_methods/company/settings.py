"""company.yml as frozen, strict models: every fault at once, with the nearest spelling."""

from __future__ import annotations

import datetime as dt
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crm_methods.company.contracts import TABLES
from crm_methods.engine import EngineSettings
from crm_methods.errors import Faults, SettingsError, did_you_mean

Strategy = Literal["raise_loyalty", "stimulate_sales", "cut_costs"]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Months = Annotated[int, Field(ge=1, le=240)]


class Settings(BaseModel):
    """Base of every model read from a user's YAML: frozen, strict, no unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Formats(Settings):
    """How a text file writes things; what is None falls back to the company's, then to ISO and UTF-8."""

    date: str | None = None
    timestamp: str | None = None
    decimal: Literal[".", ","] | None = None
    thousands: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None


class Unpivot(Settings):
    """A wide spend table: one column per product becomes one row per product."""

    unpivot: list[str] = Field(min_length=1)


class Source(Settings):
    """Where a canonical table comes from, and how its columns are called there."""

    file: str | None = None
    package: str | None = None
    sheet: str | None = None
    header: bool = True
    names: list[str] | None = None
    columns: dict[str, str] = {}
    values: dict[str, dict[str, str]] = {}
    generate: Literal["row"] | None = None
    reshape: Unpivot | None = None
    formats: Formats = Formats()


class Pool(Settings):
    """A pool of costs whose capacity clients use: per month."""

    name: str
    cost_per_month: Annotated[float, Field(ge=0)] | None = None
    practical_minutes_per_month: Positive | None = None
    departments: list[str] = []
    channels: list[str] = []


class Costs(Settings):
    """What a minute and a contact cost."""

    pools: list[Pool] = []
    practical_share: Annotated[float, Field(gt=0, le=1)] = 0.8
    contact: dict[str, Annotated[float, Field(ge=0)]] = {}


class Segments(Settings):
    """Axes and cuts of the matrix, and the strategy of each cell."""

    period_months: Months = 12
    revenue_axis: Literal["deals", "size", "expected"] = "deals"
    cost_axis: Literal["beyond_size", "absolute", "per_revenue"] = "beyond_size"
    revenue_cut: Literal["median"] | float = "median"
    cost_cut: Literal["median"] | float = "median"
    by: Literal["matrix", "clusters"] = "matrix"
    bootstraps: Annotated[int, Field(ge=20, le=5_000)] = 200
    strategies: dict[Literal["high_low", "high_high", "low_low", "low_high"], Strategy] = {
        "high_low": "raise_loyalty",
        "high_high": "raise_loyalty",
        "low_low": "stimulate_sales",
        "low_high": "cut_costs",
    }


class LifetimeValue(Settings):
    """How lifetime value is estimated and discounted."""

    time_unit: Literal["day", "week"] = "day"
    horizon_months: Months = 36
    annual_discount_rate: Annotated[float, Field(ge=0, le=1)] = 0.10
    holdout_months: Annotated[int, Field(ge=1, le=60)] = 6
    estimation: Literal["map", "ml"] = "map"


class Offers(Settings):
    """How many next products a client is offered, and the yearly budget for packages."""

    next_products: Annotated[int, Field(ge=1, le=10)] = 3
    budget: Positive | None = None


class Processes(Settings):
    """How far ahead hours are planned, and how much of a paid hour reaches a client."""

    plan_months: Annotated[int, Field(ge=1, le=36)] = 6
    occupancy: Annotated[float, Field(gt=0, le=1)] = 0.85


class Contacts(Settings):
    """How far ahead contacts are planned, and what they may cost."""

    plan_months: Annotated[int, Field(ge=1, le=36)] = 12
    budget: Positive | None = None


class Relationships(Settings):
    """Which programme is judged, and by what panel."""

    programme: str | None = None
    panel_period: Literal["month", "quarter"] = "month"


class Privacy(Settings):
    """Whether names, e-mails and phones leave as pseudonyms."""

    pseudonymise: bool = False


class Intake(Settings):
    """The share of bad rows in one file from which the run stops."""

    max_rejected_share: Share = 0.10


class Company(Settings):
    """Everything company.yml says."""

    company: Annotated[str, Field(min_length=1)]
    as_of: dt.date
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    formats: Formats = Formats()
    tables: dict[str, Source]
    costs: Costs = Costs()
    unit: Literal["client"] = "client"
    margin_share: Annotated[float, Field(gt=0, le=1)] | None = None
    promises: list[str] = []
    intake: Intake = Intake()
    segments: Segments = Segments()
    lifetime_value: LifetimeValue = LifetimeValue()
    offers: Offers = Offers()
    processes: Processes = Processes()
    contacts: Contacts = Contacts()
    relationships: Relationships = Relationships()
    privacy: Privacy = Privacy()
    engine: EngineSettings = EngineSettings()
    seed: Annotated[int, Field(ge=0)] = 7


KNOBS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "client_base": {"period_months": ("segments", "period_months")},
    "segments": {
        "period_months": ("segments", "period_months"),
        "horizon_months": ("lifetime_value", "horizon_months"),
        "annual_discount_rate": ("lifetime_value", "annual_discount_rate"),
        "holdout_months": ("lifetime_value", "holdout_months"),
    },
    "offers": {"next_products": ("offers", "next_products"), "budget": ("offers", "budget")},
    "processes": {"plan_months": ("processes", "plan_months"), "occupancy": ("processes", "occupancy")},
    "contacts": {"plan_months": ("contacts", "plan_months"), "budget": ("contacts", "budget")},
    "relationships": {
        "programme": ("relationships", "programme"),
        "panel_period": ("relationships", "panel_period"),
    },
}
"""Per stage, the parameters of its notebook and the settings they stand for."""


def load_company(folder: Path) -> Company:
    """Read ``company.yml`` in a company's folder.

    Raises
    ------
    SettingsError
        Every unknown key, wrong type and missing file at once, each with its line.
    """
    path = folder / "company.yml"
    if not path.is_file():
        nearby = [p.parent.name for p in folder.parent.glob("*/company.yml")] if folder.parent.is_dir() else []
        raise SettingsError(
            f"{path}: there is no such file. Expected a company's folder with a company.yml in it. "
            f"{did_you_mean(folder.name, nearby)}".rstrip()
        )
    return read_yaml(path, Company, lambda raw, faults: _check_tables(raw.get("tables"), folder, faults))


class _Loader(yaml.SafeLoader):
    """A safe loader that leaves an impossible date as text, so that it is reported like any other wrong value."""


def _date_or_text(loader: _Loader, node: yaml.ScalarNode) -> Any:
    try:
        return yaml.SafeLoader.construct_yaml_timestamp(loader, node)
    except ValueError:
        return node.value


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _date_or_text)

ModelT = typing.TypeVar("ModelT", bound=Settings)


def read_yaml(
    path: Path, model: type[ModelT], also: Callable[[Mapping[str, Any], Faults], None] | None = None
) -> ModelT:
    """Read a YAML file into a strict model, safely; all faults are raised together as a SettingsError.

    ``also`` notes what a schema can't see; it is given the raw keys, so that it speaks even when the schema does.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        raw = yaml.load(text, Loader=_Loader)
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: found bytes that are not UTF-8 at {error.start}. Save it as UTF-8.") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise SettingsError(f"{path}: found {_kind(raw)}, expected keys with values, such as `company: …`.")
    faults = Faults()
    read: ModelT | None = None
    try:
        read = model.model_validate(raw)
    except ValidationError as error:
        _add_faults(faults, path, model, root, error)
    if also is not None:
        also(raw, faults)
    faults.raise_if_any(SettingsError, f"{path} can't be used as it is:")
    return typing.cast(ModelT, read)


def with_knobs(company: Company, stage: str, knobs: Mapping[str, Any]) -> Company:
    """The company with a notebook's parameters applied; None leaves company.yml's value."""
    raw = company.model_dump()
    for name, value in knobs.items():
        if value is not None:
            room, key = KNOBS[stage][name]
            raw[room][key] = value
    return Company.model_validate(raw)


def knob_faults(stage: str, knobs: Mapping[str, Any], faults: Faults) -> None:
    """Note every parameter of ``stage`` that is unknown or ill-typed."""
    for name, value in knobs.items():
        if name not in KNOBS[stage]:
            faults.add(
                f"{stage}.{name}", "an unknown parameter", f"one of {', '.join(KNOBS[stage])}", did_you_mean(name, KNOBS[stage])
            )
            continue
        room, key = KNOBS[stage][name]
        model = typing.cast(type[Settings], Company.model_fields[room].annotation)
        try:
            model.model_validate({key: value})
        except ValidationError as error:
            item = error.errors(include_url=False)[0]
            faults.add(f"{stage}.{name}", repr(value), item["msg"].removeprefix("Input should be "))


def _check_tables(tables: Any, folder: Path, faults: Faults) -> None:
    if not isinstance(tables, dict):
        return
    for name, source in tables.items():
        where = f"tables.{name}"
        if name not in TABLES:
            faults.add(where, "an unknown table", f"one of {', '.join(TABLES)}", did_you_mean(str(name), TABLES))
            continue
        if not isinstance(source, dict):
            continue
        file = source.get("file")
        if (file is None) == (source.get("package") is None):
            faults.add(where, "both or neither of `file` and `package`", "exactly one of them")
        elif isinstance(file, str):
            _check_file(where, file, folder, faults)
        mapped = [source.get(key) for key in ("columns", "values")]
        for column in dict.fromkeys(str(c) for block in mapped if isinstance(block, dict) for c in block):
            if TABLES[name].column(column) is None:
                faults.add(
                    f"{where}.columns.{column}", "an unknown column", f"a column of {name}", did_you_mean(column, TABLES[name].names)
                )
    if not {"deals", "interactions"} & set(tables):
        faults.add("tables", ", ".join(map(str, tables)) or "no table", "at least one of deals and interactions")


def _check_file(where: str, file: str, folder: Path, faults: Faults) -> None:
    path = (folder / file).resolve()
    if not path.is_relative_to(folder.resolve()):
        faults.add(where, f'the path "{file}"', "a path inside the company's folder", "Copy the file beside company.yml.")
    elif not path.is_file():
        there = [p.name for p in folder.iterdir() if p.is_file()]
        faults.add(where, f'no file "{file}"', "a file beside company.yml", did_you_mean(file, there))


def _add_faults(faults: Faults, path: Path, model: type[Settings], root: Any, error: ValidationError) -> None:
    """Note each fault once; the branches of a union are one fault with several expectations."""
    wrong: dict[tuple[Any, ...], tuple[str, list[str]]] = {}
    for item in error.errors(include_url=False):
        location = tuple(part for part in item["loc"] if not _is_union_branch(part))
        line = _line_of(root, location)
        where = f"{path.name}{f', line {line}' if line else ''}: {'.'.join(map(str, location)).removesuffix('.[key]')}"
        if item["type"] == "extra_forbidden":
            options = _fields_at(model, location[:-1])
            faults.add(where, "an unknown key", f"one of {', '.join(options)}", did_you_mean(str(location[-1]), options))
        elif item["type"] == "missing":
            faults.add(where, "nothing", "a value", "This key is required.")
        else:
            expected = item["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
            wrong.setdefault((where,), (f"{item['input']!r} ({_kind(item['input'])})", []))[1].append(expected)
    for (where,), (found, expectations) in wrong.items():
        faults.add(where, found, " or ".join(expectations))


def _is_union_branch(part: Any) -> bool:
    return isinstance(part, str) and (part.startswith("literal[") or part in {"float", "str", "int", "constrained-float"})


def _fields_at(model: type[Settings], location: tuple[Any, ...]) -> tuple[str, ...]:
    """Names of the keys that may stand at a location; places in lists and mappings do not count."""
    current: type[BaseModel] = model
    for part in location:
        field = current.model_fields.get(str(part))
        current = (_model_in(field.annotation) or current) if field else current
    return tuple(current.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The settings model inside list[...], dict[...], X | None; None when there is none."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((found for arg in typing.get_args(annotation) if (found := _model_in(arg)) is not None), None)


def _line_of(node: Any, location: tuple[Any, ...]) -> int | None:
    line: int | None = None
    for part in location:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if pair is None:
                return line
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def _kind(value: Any) -> str:
    names = {str: "text", bool: "yes/no", int: "a whole number", float: "a number", list: "a list", dict: "a block of keys"}
    return "nothing" if value is None else names.get(type(value), type(value).__name__)
