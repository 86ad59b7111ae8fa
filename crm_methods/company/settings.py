"""company.yml as frozen, strict models: every fault at once, with the nearest spelling."""

from __future__ import annotations

import datetime as dt
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from crm_methods.company.contracts import TABLES, Table
from crm_methods.company.strict_yaml import Settings as Settings
from crm_methods.company.strict_yaml import expectation, shown
from crm_methods.company.strict_yaml import read_yaml as read_yaml
from crm_methods.engine import EngineSettings
from crm_methods.errors import Faults, SettingsError, did_you_mean

Strategy = Literal["raise_loyalty", "stimulate_sales", "cut_costs"]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Months = Annotated[int, Field(ge=1, le=240)]


def _moment_format(text: str) -> str:
    """A date format that DuckDB's strptime knows and that says at least year and month."""
    parts = re.findall(r"%(-?.)", text)
    known = all(part in _MOMENT_PARTS for part in parts) and text.count("%") == len(parts) + parts.count("%")
    if not known or not {"Y", "y", "-y"} & set(parts) or not {"m", "-m", "b", "B", "j", "-j"} & set(parts):
        raise ValueError('a format with %d for the day, %m for the month and %Y for the year, such as "%d.%m.%Y"')
    return text


_MOMENT_PARTS = frozenset("a A b B d -d f H -H I -I j -j m -m M -M p S -S y -y Y %".split())  # noqa: SIM905
MomentFormat = Annotated[str, AfterValidator(_moment_format)]
Mark = Annotated[str, Field(min_length=1, max_length=1)]


class Formats(Settings):
    """How a text file writes things; what is None falls back to the company's, then to ISO and UTF-8."""

    date: MomentFormat | None = None
    timestamp: MomentFormat | None = None
    decimal: Literal[".", ","] | None = None
    thousands: Mark | None = None
    encoding: Annotated[str, Field(min_length=1)] | None = None
    delimiter: Literal["whitespace", "tab"] | Mark | None = None
    quote: Literal[""] | Mark | None = None

    @model_validator(mode="after")
    def _marks_differ(self) -> Formats:
        if self.thousands is not None and self.thousands == (self.decimal or "."):
            raise ValueError("a thousands mark other than the decimal mark")
        if self.delimiter is not None and self.delimiter == (self.quote or '"'):
            raise ValueError("a delimiter other than the quote")
        return self


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
    columns: dict[str, str] = Field(default={})
    values: dict[str, dict[str, str]] = Field(default={})
    generate: Literal["row"] | None = None
    reshape: Unpivot | None = None
    formats: Formats = Formats()


class Pool(Settings):
    """A pool of costs whose capacity clients use: per month."""

    name: str
    cost_per_month: Annotated[float, Field(ge=0)] | None = None
    practical_minutes_per_month: Positive | None = None
    departments: list[str] = Field(default=[])
    channels: list[str] = Field(default=[])


class Costs(Settings):
    """What a minute and a contact cost."""

    pools: list[Pool] = Field(default=[])
    practical_share: Annotated[float, Field(gt=0, le=1)] = 0.8
    contact: dict[str, Annotated[float, Field(ge=0)]] = Field(default={})


class Segments(Settings):
    """Axes and cuts of the matrix, and the strategy of each cell."""

    period_months: Months = 12
    revenue_axis: Literal["deals", "size", "expected"] = "deals"
    cost_axis: Literal["beyond_size", "absolute", "per_revenue"] = "beyond_size"
    revenue_cut: Literal["median"] | float = "median"
    cost_cut: Literal["median"] | float = "median"
    by: Literal["matrix", "clusters"] = "matrix"
    bootstraps: Annotated[int, Field(ge=20, le=5_000)] = 200
    strategies: dict[Literal["high_low", "high_high", "low_low", "low_high"], Strategy] = Field(
        default={
            "high_low": "raise_loyalty",
            "high_high": "raise_loyalty",
            "low_low": "stimulate_sales",
            "low_high": "cut_costs",
        }
    )


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
    as_of: Annotated[dt.date, Field(ge=dt.date(1950, 1, 1), le=dt.date(2200, 12, 31))]
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    formats: Formats = Formats()
    tables: dict[str, Source]
    costs: Costs = Costs()
    unit: Literal["client"] = "client"
    margin_share: Annotated[float, Field(gt=0, le=1)] | None = None
    promises: list[str] = Field(default=[])
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
            remedy = did_you_mean(name, KNOBS[stage])
            faults.add(f"{stage}.{name}", "an unknown parameter", f"one of {', '.join(KNOBS[stage])}", remedy)
            continue
        room, key = KNOBS[stage][name]
        model = typing.cast(type[Settings], Company.model_fields[room].annotation)
        try:
            model.model_validate({key: value})
        except ValidationError as error:
            item = error.errors(include_url=False)[0]
            faults.add(f"{stage}.{name}", shown(value), expectation(item))


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
            found = "neither `file` nor `package`" if file is None else "both `file` and `package`"
            faults.add(where, found, "exactly one of them")
        elif isinstance(file, str):
            _check_file(f"{where}.file", file, folder, faults)
        if source.get("reshape") is not None and name != "deals":
            faults.add(f"{where}.reshape", "a wide table", "it for deals only")
        _check_columns(where, TABLES[name], source, faults)
    if not {"deals", "interactions"} & set(tables):
        faults.add("tables", ", ".join(map(str, tables)) or "no table", "at least one of deals and interactions")


def _check_columns(where: str, table: Table, source: Mapping[str, Any], faults: Faults) -> None:
    """Note columns that the contract does not know, and translations into words that it does not know."""
    for block in ("columns", "values"):
        declared = source.get(block)
        for name in declared if isinstance(declared, dict) else ():
            column = table.column(name)
            if column is None or "*" in name:
                faults.add(
                    f"{where}.{block}.{name}", "an unknown column", f"a column of {table.name}", did_you_mean(name, table.names)
                )
            elif block == "values" and column.values and isinstance(words := source["values"][name], dict):
                for theirs, ours in words.items():
                    if isinstance(ours, str) and ours.lower() not in column.values:
                        remedy = did_you_mean(ours, column.values)
                        faults.add(f"{where}.values.{name}.{theirs}", f'"{ours}"', f"one of {', '.join(column.values)}", remedy)


def _check_file(where: str, file: str, folder: Path, faults: Faults) -> None:
    try:
        path = (folder / file).resolve()
        inside, there = path.is_relative_to(folder.resolve()), path.is_file()
    except (OSError, ValueError, RuntimeError):  # a name that no file has: too long, a NUL in it, links in a circle
        inside, there = True, False
    if not inside:
        faults.add(where, f'the path "{file}"', "a path inside the company's folder", "Copy the file beside company.yml.")
    elif not there:
        beside = [p.name for p in folder.iterdir() if p.is_file()]
        faults.add(where, f'no file "{file}"', "a file beside company.yml", did_you_mean(file, beside))
