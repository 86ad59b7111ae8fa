"""programmes.yml: what each programme is, and what it costs besides the rewards that the tables hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from crm_methods.company.plans import Plan, read_plan
from crm_methods.company.settings import Settings, Share
from crm_methods.errors import Faults, SettingsError

ProgrammeKind = Literal["bonus", "partnership", "club", "extra_services", "sales_promotion"]
NotNegative = Annotated[float, Field(ge=0)]

KIND_LABELS: dict[ProgrammeKind, str] = {
    "bonus": "Bonus",
    "partnership": "Partnership",
    "club": "Club of regular clients",
    "extra_services": "Extra services",
    "sales_promotion": "Sales promotion",
}
"""The four kinds of loyalty programme, and the programmes that promote sales."""


class Programme(Settings):
    """One programme; what is None is not known.

    Money is in the company's currency; shares are 0–1.
    """

    programme_id: Annotated[str, Field(min_length=1)]
    title: str | None = None
    kind: ProgrammeKind | None = None
    setup_cost: NotNegative | None = None
    running_cost_per_month: NotNegative | None = None
    partner_funded_share: Share = 0.0
    fee_per_member_month: NotNegative = 0.0
    redemption_share: Share = 1.0

    @property
    def name(self) -> str:
        """Its title, or its id made readable."""
        return self.title or self.programme_id.replace("_", " ").capitalize()

    @property
    def knows_all_costs(self) -> bool:
        """Whether both set-up and running cost are told."""
        return self.setup_cost is not None and self.running_cost_per_month is not None


class Programmes(Settings):
    """The company's programmes."""

    programmes: list[Programme] = Field(default=[])

    def of(self, programme_id: str) -> Programme:
        """The programme of this id; one of which nothing is known where the plan does not name it."""
        told = (programme for programme in self.programmes if programme.programme_id == programme_id)
        return next(told, Programme(programme_id=programme_id))

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids the plan names, in its order."""
        return tuple(programme.programme_id for programme in self.programmes)


def read_programmes(company_folder: Path) -> Plan[Programmes]:
    """The company's programmes.yml, or the kit's default, which knows nothing.

    Raises
    ------
    SettingsError
        An unknown key, a wrong type or a programme told twice; all faults of one kind together.
    """
    plan = read_plan(company_folder, "programmes", Programmes)
    faults, ids = Faults(), plan.content.ids
    for programme_id in sorted({name for name in ids if ids.count(name) > 1}):
        faults.add(f"programmes.{programme_id}", f"{ids.count(programme_id)} entries", "one")
    faults.raise_if_any(SettingsError, f"programmes.yml ({plan.origin}) can't be used as it is:")
    return plan
