"""company.yml as frozen, strict models: every fault at once, with the nearest spelling."""

from __future__ import annotations

import datetime as dt
import re
import typing
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, ValidationError, model_validator

from crm_methods.company.source_checks import check_tables
from crm_methods.company.strict_yaml import Settings as Settings
from crm_methods.company.strict_yaml import expectation, load_plain, shown
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


class Reshape(Settings):
    """How the rows of a file become deals, where a row is not a deal.

    ``unpivot``: a wide spend table, one column per product, becomes one row per client and product.
    ``lines``: a row is one product of a deal; the rows of one ``deal_id`` are one deal with their summed amount.
    """

    unpivot: Annotated[list[str], Field(min_length=1)] | None = None
    lines: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Reshape:
        if (self.unpivot is None) == (self.lines is None):
            raise ValueError("either `unpivot: [columns]` or `lines: true`")
        return self


class Lookup(Settings):
    """Where a code of the source is spelt out: the row of another file whose ``key`` is the code holds the ``value``."""

    file: str
    key: str
    value: str
    sheet: str | None = None
    by: str | None = None
    formats: Formats | None = None


class Cases(Settings):
    """Which activities of an event log mean that a case was answered, and that it was solved."""

    closed_by: list[str] = Field(default=[])
    answered_by: list[str] = Field(default=[])


Unit = Literal["seconds", "hours", "days", "percent", "thousands", "millions"]


class Source(Settings):
    """Where a canonical table comes from, and how its columns are called there."""

    file: str | None = None
    package: str | None = None
    database: str | None = None
    password_env: Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    table: str | None = None
    query: str | None = None
    sheet: str | None = None
    header: bool = True
    header_row: Annotated[int, Field(ge=1, le=1_000)] | None = None
    names: list[str] | None = None
    preset: Annotated[str, Field(pattern=r"^[a-z0-9_]+\.[a-z0-9_]+$")] | None = None
    columns: dict[str, str | list[str]] = Field(default={})
    values: dict[str, dict[str, str]] = Field(default={})
    units: dict[str, Unit] = Field(default={})
    constants: dict[str, str] = Field(default={})
    lookup: dict[str, Lookup] = Field(default={})
    generate: Literal["row"] | None = None
    reshape: Reshape | None = None
    cases: Cases | None = None
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
    capital_rate: Annotated[float, Field(ge=0, le=1)] | None = None
    onboarding_days: Annotated[int, Field(ge=0, le=1_000)] = 90
    avoidable_share: Annotated[float, Field(ge=0, le=1)] = 0.0


def _five_scores(cuts: list[float]) -> list[float]:
    if len(cuts) != 4 or any(later <= earlier for earlier, later in pairwise(cuts)):
        raise ValueError("four numbers, each larger than the one before: with them the five scores change")
    return cuts


ScoreCuts = Annotated[list[float], AfterValidator(_five_scores)]


class Cutpoints(Settings):
    """Where scores of recency (days), frequency (deals) and money begin, in ascending order; quintiles where not given."""

    recency_days: ScoreCuts | None = None
    frequency: ScoreCuts | None = None
    money: ScoreCuts | None = None


class Segments(Settings):
    """Axes and cuts of the matrix, and the strategy of each cell."""

    period_months: Months = 12
    revenue_axis: Literal["deals", "size", "expected"] = "deals"
    cost_axis: Literal["beyond_size", "absolute", "per_revenue"] = "beyond_size"
    revenue_cut: Literal["median"] | float = "median"
    cost_cut: Literal["median"] | float = "median"
    by: Literal["matrix", "clusters"] = "matrix"
    bootstraps: Annotated[int, Field(ge=20, le=5_000)] = 200
    hysteresis: Annotated[float, Field(ge=0, le=2)] = 0.35
    scores: Cutpoints = Cutpoints()
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
    estimation: Literal["map", "ml", "bayes"] = "map"
    bootstraps: Annotated[int, Field(ge=20, le=5_000)] = 200
    key_accounts: Annotated[int, Field(ge=0, le=50)] = 5
    contract_term_months: Months | None = None
    new_clients: bool = False


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
    unit: Literal["client", "group"] = "client"
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
    company = read_yaml(path, Company, lambda raw, faults: check_tables(raw.get("tables"), folder, faults))
    return _with_decisions(company, folder / "merges.csv")


def usable_part(folder: Path) -> Company | None:
    """What can be used of a company.yml that has faults: the entries that are sound by themselves.

    Of what is required and faulty a stand-in is taken, so that files can be looked at; it is good for a check only.
    None where nothing can be read.
    """
    try:
        raw = load_plain((folder / "company.yml").read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, TypeError, yaml.YAMLError, RecursionError):
        return None
    if not isinstance(raw, dict):
        return None
    made: dict[str, Any] = {"company": folder.name, "as_of": dt.date.today(), "currency": "EUR", "tables": {}}
    for key, value in raw.items():
        if key in Company.model_fields and key != "tables":
            made = _with_if_sound(made, key, value)
    tables = raw.get("tables")
    for name, source in tables.items() if isinstance(tables, dict) else ():
        faults = Faults()
        check_tables({"interactions": {}, name: source}, folder, faults)
        if not [fault for fault in faults.items if fault.where.startswith(f"tables.{name}")]:
            made = _with_if_sound(made, "tables", {**made["tables"], name: source})
    return Company.model_validate(made)


def _with_if_sound(made: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    try:
        Company.model_validate({**made, key: value})
    except ValidationError:
        return made
    return {**made, key: value}


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


def _with_decisions(company: Company, path: Path) -> Company:
    """The company with the decisions beside company.yml, which count without being declared there.

    The kit writes the list as UTF-8 with commas, whatever the company's formats; a spreadsheet may save it otherwise.
    """
    if "merges" in company.tables or not path.is_file():
        return company
    try:
        header, encoding, sound = path.read_text(encoding="utf-8").partition("\n")[0], "utf-8", True
    except UnicodeDecodeError:
        header, encoding = path.read_bytes().partition(b"\n")[0].decode("latin-1"), company.formats.encoding or "utf-8"
        sound = False
    delimiter = max(",;\t", key=header.count)
    # A spreadsheet of the west saves its own code page; cp1252 reads any of its bytes.
    encoding = "cp1252" if encoding.lower().replace("_", "-") in {"utf-8", "utf8", "utf-8-sig"} and not sound else encoding
    source = Source(file=path.name, formats=Formats(encoding=encoding, delimiter=delimiter, quote='"'))
    return company.model_copy(update={"tables": {**company.tables, "merges": source}})
