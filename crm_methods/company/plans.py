"""Plans are the company's decisions, edited by people: its own file where there is one, else the kit's default."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from crm_methods.company.settings import Settings, read_yaml

DEFAULTS = Path(__file__).parent / "defaults"
KIT_DEFAULT = "kit default"

PlanT = TypeVar("PlanT", bound=Settings)


@dataclass(frozen=True, slots=True, eq=False)
class Plan(Generic[PlanT]):
    """A plan and where it comes from: a file of the company's, or the kit's default."""

    content: PlanT
    origin: str

    @property
    def is_default(self) -> bool:
        """Whether the company has no plan of its own."""
        return self.origin == KIT_DEFAULT


def read_plan(company_folder: Path, name: str, model: type[PlanT]) -> Plan[PlanT]:
    """Read ``<name>.yml`` beside company.yml, or the kit's default of the same name.

    Raises
    ------
    SettingsError
        The company's plan has unknown keys or wrong types; all faults together.
    """
    own = company_folder / f"{name}.yml"
    if own.is_file():
        return Plan(read_yaml(own, model), own.name)
    return Plan(read_yaml(DEFAULTS / f"{name}.yml", model), KIT_DEFAULT)


def filled(template: str, facts: Mapping[str, Any]) -> str:
    """``template`` with ``{name}`` replaced by the facts of a row; braces in the facts stay as they are."""
    return re.sub(r"\{(\w+)\}", lambda place: str(facts.get(place[1], place[0])), template)
