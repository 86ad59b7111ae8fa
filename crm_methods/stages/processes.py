"""Stage 4: do we serve each segment as promised, and can we?

The rooms of the stage answer its questions; what they found is put together here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Check, Conclusion, Headline, Result, Unanswered
from crm_methods.company.offers_plan import OffersPlan, read_offers
from crm_methods.company.plans import Plan
from crm_methods.company.procedures_plan import ProceduresPlan, read_procedures
from crm_methods.company.vocabulary import segment_label
from crm_methods.stages.processes_clients import client_procedures, open_problems, open_requests
from crm_methods.stages.processes_hours import Capacity, HoursNeeded, capacity, hours_needed
from crm_methods.stages.processes_procedures import UNKNOWN_DEPARTMENT, Procedures, contacts_seen, means, procedures
from crm_methods.stages.processes_requests import (
    MET,
    MISSED,
    ServiceLevel,
    in_order,
    served_clients,
    service_level,
    service_requests,
    target_hours,
)

__all__ = [
    "Procedures", "ServiceLevel", "capacity", "client_procedures", "conclusion", "contacts_seen", "hours_needed", "means",
    "open_problems", "open_requests", "procedures",
    "read_offers", "read_procedures", "served_clients", "service_level", "service_requests", "tables",
]  # fmt: skip

_CAPACITY: Mapping[str, str] = {
    "month": "datetime64[us]", "skill": "str", **dict.fromkeys(
        ("needed_hours", "available_hours", "free_hours", "used_share", "people_short", "recorded_hours", "contact_hours",
        "low_hours", "high_hours"), "float64"
    ),
}  # fmt: skip
_HOURS: Mapping[str, str] = {
    "month": "datetime64[us]", "skill": "str", "strategy": "str", **dict.fromkeys(
        ("contacts", "recorded_hours", "planned_contacts", "contact_hours", "hours", "low_hours", "high_hours", "busy_hours"),
        "float64"
    ),
}  # fmt: skip
_TINY_HOURS = 0.01


def tables(
    plan: Plan[ProceduresPlan], offers: Plan[OffersPlan], packages: pd.DataFrame, level: ServiceLevel | Unanswered,
    found: Procedures,
    needed: HoursNeeded | Unanswered, balance: Capacity | Unanswered,
) -> dict[str, Result]:  # fmt: skip
    """The tables that later stages read; where a question could not be answered, without shares or without rows."""
    attained = level.attained if isinstance(level, ServiceLevel) else _unmeasured(plan.content, offers.content, packages)
    hours = needed.hours if isinstance(needed, HoursNeeded) else _empty(_HOURS)
    supplied = balance.balance if isinstance(balance, Capacity) else _empty(_CAPACITY)
    return {
        "sla_attainment": Result(attained, "one row per segment and metric", ("segment", "metric")),
        "procedures": Result(found.rows, "one row per segment and procedure", ("segment", "procedure")),
        "hours_needed": Result(hours[list(_HOURS)], "one row per month, skill and strategy", ("month", "skill", "strategy")),
        "capacity": Result(supplied[list(_CAPACITY)], "one row per month and skill", ("month", "skill")),
    }


def conclusion(
    level: ServiceLevel | Unanswered, found: Procedures, problems: Answer | Unanswered, needed: HoursNeeded | Unanswered,
    balance: Capacity | Unanswered,
) -> Conclusion:  # fmt: skip
    """Findings, headlines, checks and the decision of the stage."""
    said = [answer.sentence for answer in (level, found, problems, balance) if not isinstance(answer, Unanswered)]
    headlines = [h for h in (_service_headline(level), _capacity_headline(balance)) if h is not None]
    return Conclusion(
        findings=tuple(said),
        headlines=tuple(headlines),
        checks=tuple(_checks(level, found, needed)),
        decision=_decision(level, found, balance),
    )


def _empty(columns: Mapping[str, str]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})


def _unmeasured(plan: ProceduresPlan, offers: OffersPlan, packages: pd.DataFrame) -> pd.DataFrame:
    """Targets and ranges of every segment, without shares."""
    place = {row["segment"]: row for row in packages.to_dict("records")}
    standing = [p for m in ("first_response", "resolution") if (p := plan.first_of(m)) is not None]
    rows: list[dict[str, Any]] = []
    for segment in in_order(list(place)):
        for procedure in standing:
            low, high = procedure.metric.permitted(segment, place[segment]["strategy"])
            rows.append(
                {
                    "segment": segment, "metric": procedure.metric.measure,
                    "target_hours": target_hours(procedure.metric, place[segment]["service_package"], offers),
                    "share": float("nan"), "low_share": float("nan"), "high_share": float("nan"), "clients": 0, "trials": 0,
                    "required_share": low, "allowed_share": high, "status": "not measured",
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _service_headline(level: ServiceLevel | Unanswered) -> Headline | None:
    if isinstance(level, Unanswered):
        return None
    measured = level.attained[level.attained["trials"] > 0]
    # Segments stand from the most valuable down.
    best = measured[measured["segment"] == measured["segment"].iloc[0]].iloc[-1]
    what = "Solved" if best["metric"] == "resolution" else "Answered"
    interval = formats.interval(best["low_share"], best["high_share"], formats.share)
    return Headline(
        key="service_level", label=f"{what} in time, {segment_label(best['segment']).lower()}", text=formats.share(best["share"]),
        value=float(best["share"]), interval=None if interval == formats.NOTHING else interval,
        note=f"at least {formats.share(best['required_share'])} within {formats.plural(best['target_hours'], 'hour')}: "
        f"{best['status']}",
    )  # fmt: skip


def _capacity_headline(balance: Capacity | Unanswered) -> Headline | None:
    if isinstance(balance, Unanswered):
        return None
    short = balance.balance.groupby("month")["people_short"].sum().max()
    skills = sorted(balance.balance.loc[balance.balance["people_short"] > 0, "skill"].unique())
    names = [f"“{skill}”" for skill in skills]
    return Headline(
        key="capacity", label="People short in a busy month", text=formats.number(short, 1), value=float(short),
        note=f"in {formats.join(names)}" if skills else "capacity covers the work of every skill that has staff",
    )  # fmt: skip


def _checks(level: ServiceLevel | Unanswered, found: Procedures, needed: HoursNeeded | Unanswered) -> list[Check]:
    checks = []
    heads = found.rows["accountable"].str.split(", ").str.len().eq(1) & found.rows["accountable"].ne("")
    doers = found.rows["responsible"].ne("")
    total = formats.plural(len(found.rows), "procedure of a segment", "procedures of segments")
    detail = f"{formats.number((heads & doers).sum())} of {total}"
    checks.append(
        Check(
            name="Every procedure has one accountable and somebody responsible", passed=bool((heads & doers).all()), detail=detail
        )
    )
    promises = found.rows["promise"].ne("").any() or bool(found.unkept)
    detail = f"without a procedure: {formats.join(found.unkept)}" if found.unkept else "none is left without"
    if promises:
        checks.append(
            Check(name="Every promise of the brand has a procedure that keeps it", passed=not found.unkept, detail=detail)
        )
    if isinstance(level, ServiceLevel):
        requests = formats.plural(level.requests, "request")
        detail = f"{formats.number(level.left_out)} times lie before the request they belong to, of {requests}"
        checks.append(Check(name="Times of requests are in order", passed=level.left_out == 0, detail=detail))
    if isinstance(needed, HoursNeeded):
        gap = float(needed.hours["hours"].sum() - needed.by_skill["hours"].sum())
        detail = f"{formats.number(needed.by_skill['hours'].sum())} paid hours in the months ahead, by strategy and by skill"
        checks.append(
            Check(name="Hours of the strategies add up to those of the skills", passed=abs(gap) < _TINY_HOURS, detail=detail)
        )
        if needed.mase is not None:
            detail = (
                f"its error is {formats.number(needed.mase, 2)} of that of “as in the same month a year ago”, on the last months"
            )
            checks.append(Check(name="The forecast of hours beats last year's month", passed=needed.mase < 1, detail=detail))
    return checks


def _decision(level: ServiceLevel | Unanswered, found: Procedures, balance: Capacity | Unanswered) -> str:
    steps = []
    if isinstance(level, ServiceLevel):
        missed = level.attained[level.attained["status"] == MISSED]
        if len(missed):
            first = missed.iloc[0]
            steps.append(
                f"begin with the service level of “{segment_label(first['segment'])}”, the most valuable segment whose range is "
                f"missed"
            )
        elif level.attained["status"].eq(MET).all():
            steps.append("keep the service levels as they are")
    if isinstance(balance, Capacity):
        lacking = balance.balance.groupby("skill")["people_short"].max()
        lacking = lacking[lacking > 0].sort_values(ascending=False)
        if len(lacking):
            people = [f"{formats.number(short, 1)} people in “{skill}”" for skill, short in lacking.items()]
            steps.append(f"add or free {formats.join(people)}, or promise less, before the packages go out")
    if len(found.rows):
        unnamed = found.rows["responsible"].eq(UNKNOWN_DEPARTMENT).any()
        first_name = "name the departments that do the work, then " if unnamed else ""
        steps.append(
            f"{first_name}put the {formats.plural(found.rows['procedure'].nunique(), 'procedure')} into force with the names of "
            f"those accountable"
        )
    return f"Decision: {'; '.join(steps)}." if steps else ""
