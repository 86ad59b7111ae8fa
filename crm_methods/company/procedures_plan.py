"""procedures.yml: by which procedures the service packages are kept, who answers, and the permitted range of each metric.

A procedure says which recorded contacts belong to it; departments, skills, channels and topics are then read off them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from crm_methods.company.plans import Plan, read_plan
from crm_methods.company.settings import Settings, Share, Strategy
from crm_methods.company.vocabulary import SEGMENT_LABELS, STRATEGY_LABELS
from crm_methods.company.wording import check_facts, placeholders
from crm_methods.errors import Faults, SettingsError, did_you_mean

OTHERWISE = "otherwise"
ACCOUNT_OWNER = "account owner"
"""The role that a client's own owner takes."""

FACTS: Mapping[str, str] = {
    "department": "department that handled most of these contacts",
    "next_department": "department with the second most of them",
    "skill": "skill that took most of them",
    "skills": "the skills that took at least a tenth of them",
    "hard_skill": "skill whose contacts of this kind take longest on average, where there are several",
    "package_skill": "qualification that the service package names",
    "topics": "their three most frequent topics",
    "reasons": "their three most frequent reasons",
    "minutes": "their mean handling time",
    "package": "title of the service package",
    "response_hours": "hours to the first answer in the package",
    "resolve_hours": "hours to the solution in the package",
    "extras": "extras of the package",
}
"""What pieces of text and roles may name between braces."""

_LETTERS = "RACI"


class When(Settings):
    """Where a rule applies: every key given must hold; nothing given holds everywhere."""

    segment: list[str] = []
    strategy: list[Strategy] = []
    service_level: list[Literal[1, 2, 3]] = []

    def holds(self, segment: str, strategy: str | None, level: int) -> bool:
        """Whether it holds for a segment of that strategy, served at that level."""
        checks = ((self.segment, segment), (self.strategy, strategy), (self.service_level, level))
        return all(not allowed or value in allowed for allowed, value in checks)

    @property
    def is_empty(self) -> bool:
        """Whether it holds everywhere."""
        return self == When()


class Raci(Settings):
    """Who does what: a role and its letters (R, A, C, I), where ``when`` holds."""

    when: When = When()
    roles: Annotated[dict[str, str], Field(min_length=1)]

    def holding(self, letter: str) -> tuple[str, ...]:
        """Roles that have the letter, in order."""
        return tuple(role for role, letters in self.roles.items() if letter in letters.upper())


class Metric(Settings):
    """What is measured, its target, and the permitted range of the share that reaches it.

    ``measure`` says which recorded times measure it: ``first_response`` and ``resolution`` are measured on requests,
    ``contacts`` on our contacts with each client; the others are ``not_recorded``. ``hours`` is the target in elapsed
    hours, or the key of the service package that has it. ``at_least`` and ``at_most`` are the ends of the permitted
    range, by segment, strategy or ``otherwise``.
    """

    measure: Literal["first_response", "resolution", "contacts", "not_recorded"]
    title: Annotated[str, Field(min_length=1)]
    hours: Literal["response_hours", "resolve_hours"] | Annotated[float, Field(gt=0)] | None = None
    at_least: dict[str, Share]
    at_most: dict[str, Share] = {OTHERWISE: 1.0}

    def permitted(self, segment: str, strategy: str | None) -> tuple[float, float]:
        """Both ends of the permitted range in a segment."""
        return _of(self.at_least, segment, strategy, 0.0), _of(self.at_most, segment, strategy, 1.0)


class Procedure(Settings):
    """One procedure: its contacts, means, people and metric.

    ``kinds``, ``topics`` and ``initiative`` say which recorded contacts belong to it. ``channels`` are those of the service
    package, or those in use. With ``only_if_seen`` a company that records contacts, but none of these, goes without it.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: Annotated[str, Field(min_length=1)]
    kinds: list[str] = []
    topics: list[str] = []
    initiative: Literal["ours", "theirs"] | None = None
    channels: Literal["package", "used"] = "package"
    variants: bool = False
    only_if_seen: bool = False
    metric: Metric
    materials: Annotated[list[str], Field(min_length=1)]
    qualification: Annotated[list[str], Field(min_length=1)]
    keeps: list[str] = []
    raci: Annotated[list[Raci], Field(min_length=1)]

    def roles(self, segment: str, strategy: str | None, level: int) -> Raci:
        """The first rule of responsibilities that fits."""
        return next(rule for rule in self.raci if rule.when.holds(segment, strategy, level))

    def keeps_promise(self, promise: str) -> bool:
        """Whether one of the words it keeps stands in a promise of the brand."""
        return any(re.search(rf"\b{re.escape(word)}", promise, re.IGNORECASE) for word in self.keeps)


class ProceduresPlan(Settings):
    """Everything procedures.yml says; ``account_owner_role`` stands where a client has no owner."""

    account_owner_role: Annotated[str, Field(min_length=1)] = "account owner (to be named)"
    procedures: Annotated[list[Procedure], Field(min_length=1)]

    def measured(self) -> tuple[Procedure, ...]:
        """Procedures whose metric is measured on the times of requests."""
        return tuple(p for p in self.procedures if p.metric.measure in ("first_response", "resolution"))

    def first_of(self, measure: str) -> Procedure | None:
        """The first procedure with that measure: the one that stands for it; None without any."""
        return next((p for p in self.procedures if p.metric.measure == measure), None)


def read_procedures(company_folder: Path) -> Plan[ProceduresPlan]:
    """The company's procedures.yml, or the kit's default, checked.

    Raises
    ------
    SettingsError
        An unknown key or wrong type; or a procedure without exactly one accountable or without a responsible role, an unknown
        fact or segment, a rule list that leaves a segment out, an empty range; all of one kind together.
    """
    plan = read_plan(company_folder, "procedures", ProceduresPlan)
    faults = Faults()
    check_procedures(plan.content, faults)
    faults.raise_if_any(SettingsError, f"procedures.yml ({plan.origin}) can't be used as it is:")
    return plan


def check_procedures(plan: ProceduresPlan, faults: Faults) -> None:
    """Note what a schema can't see, procedure by procedure."""
    names = [procedure.name for procedure in plan.procedures]
    for name in sorted({n for n in names if names.count(n) > 1}):
        faults.add(f"procedures.{name}", "two procedures of one name", "one")
    for procedure in plan.procedures:
        where = f"procedures.{procedure.name}"
        _check_raci(where, procedure, faults)
        _check_metric(f"{where}.metric", procedure.metric, faults)
        for text in (*procedure.materials, *procedure.qualification):
            check_facts(where, placeholders(text), FACTS, faults)


def _check_raci(where: str, procedure: Procedure, faults: Faults) -> None:
    for number, rule in enumerate(procedure.raci, 1):
        place = f"{where}.raci {number}"
        for role, letters in rule.roles.items():
            if not letters or not set(letters.upper()) <= set(_LETTERS):
                faults.add(f"{place}.{role}", f'"{letters}"', "letters of R, A, C, I")
            check_facts(place, placeholders(role), FACTS, faults)
        accountable, responsible = rule.holding("A"), rule.holding("R")
        if len(accountable) != 1:
            found = f"{len(accountable)} accountable roles ({', '.join(accountable)})" if accountable else "no accountable role"
            faults.add(place, found, "exactly one with an A", "One head answers for a procedure.")
        if not responsible:
            faults.add(place, "no responsible role", "at least one with an R", "Somebody has to do it.")
        _check_segments(f"{place}.when", rule.when.segment, faults)
    for number, rule in enumerate(procedure.raci[:-1], 1):
        if rule.when.is_empty:
            faults.add(
                f"{where}.raci {number}", "no condition before the last rule", "a `when`", "No rule after it would ever apply."
            )
    if not procedure.raci[-1].when.is_empty:
        faults.add(
            f"{where}.raci {len(procedure.raci)}",
            "a condition on the last rule",
            "none",
            "The last rule is for every other segment.",
        )


def _check_metric(where: str, metric: Metric, faults: Faults) -> None:
    if metric.measure in ("first_response", "resolution") and metric.hours is None:
        faults.add(f"{where}.hours", "nothing", "hours, or response_hours or resolve_hours of the service package")
    for end in ("at_least", "at_most"):
        values: Mapping[str, float] = getattr(metric, end)
        if OTHERWISE not in values:
            faults.add(f"{where}.{end}", "no `otherwise`", "one, for every other segment")
        _check_segments(
            f"{where}.{end}", [k for k in values if k != OTHERWISE and k not in STRATEGY_LABELS], faults, tuple(STRATEGY_LABELS)
        )
    for segment in sorted({*metric.at_least, *metric.at_most}):
        low, high = metric.permitted(segment, segment)
        if low > high:
            faults.add(f"{where}.at_least.{segment}", f"{low:g} above at_most {high:g}", "a range that holds a share")


def _check_segments(where: str, names: Iterable[str], faults: Faults, others: tuple[str, ...] = ()) -> None:
    # Clusters are numbered by each run, so any of them may be named.
    for name in names:
        if name not in SEGMENT_LABELS and not name.startswith(("cluster", "no_cluster")):
            options = (*SEGMENT_LABELS, *others)
            faults.add(where, f'"{name}"', f"one of {', '.join(options)}", did_you_mean(name, options))


def _of(values: Mapping[str, float], segment: str, strategy: str | None, default: float) -> float:
    keys = (segment, strategy or OTHERWISE, OTHERWISE)
    return next((values[key] for key in keys if key in values), default)
