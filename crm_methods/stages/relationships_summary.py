"""What stage 6 leaves behind: its tables and its conclusion. A room of stage 6."""

from __future__ import annotations

import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Check, Conclusion, Headline, Result, Unanswered
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import segment_label
from crm_methods.stages.relationships import ProgrammeCosts
from crm_methods.stages.relationships_complaints import ALL, Complaints, TimeToSolve
from crm_methods.stages.relationships_effects import EventStudy, ProgrammeEffect, effect_sentence
from crm_methods.stages.relationships_panel import ProgrammeStudy
from crm_methods.stages.relationships_satisfaction import Satisfaction, SatisfactionChange

RULE = (
    "Rule: keep a programme whose return is above zero at the lowest end of all estimates, stop one whose return is below zero "
    "at the highest end; rework any other, and draw by lot who is invited next."
)


def tables(
    costs: ProgrammeCosts | Unanswered,
    effect: ProgrammeEffect | Unanswered,
    path: EventStudy | Unanswered,
    returned: Answer | Unanswered,
    satisfied: Satisfaction | Unanswered,
    changed: SatisfactionChange | Unanswered,
    answered: Answer | Unanswered,
    complained: Complaints | Unanswered,
    solved: TimeToSolve | Unanswered,
) -> dict[str, Result]:
    """The stage's tables; what could not be answered has none."""
    results: dict[str, Result] = {}
    if isinstance(costs, ProgrammeCosts):
        results["programme_costs"] = Result(costs.programmes, "one row per programme", ("programme_id",))
    if isinstance(effect, ProgrammeEffect):
        results["programme_effects"] = Result(effect.estimates, "one row per programme and method", ("programme_id", "method"))
        if isinstance(returned, Answer):
            ids = {effect.study.label(name): name for name in effect.study.estimates}
            owned = returned.table.assign(programme_id=effect.study.programme_id, method=returned.table["method"].map(ids))
            results["programme_returns"] = Result(owned, "one row per programme and method", ("programme_id", "method"))
    if isinstance(path, EventStudy):
        points = path.table.assign(
            programme_id=path.programme_id, period=path.period_noun, is_before=path.table["periods_since_joining"] < 0
        )
        results["event_study"] = Result(points, "one row per period since joining", ("programme_id", "periods_since_joining"))
    if isinstance(satisfied, Satisfaction):
        results["satisfaction"] = Result(satisfied.scores, "one row per segment and measure", ("segment", "measure"))
    if isinstance(changed, SatisfactionChange):
        results["satisfaction_change"] = Result(changed.changes, "one row per segment and measure", ("segment", "measure"))
    if isinstance(answered, Answer):
        results["survey_responders"] = Result(answered.table, "one row per group of clients", ("group",))
    if isinstance(complained, Complaints):
        results["complaints"] = Result(complained.table, "one row per segment, and all clients", ("segment",))
        if len(complained.topics):
            results["complaint_topics"] = Result(complained.topics, "one row per topic or reason", ("about", "name"))
    if isinstance(solved, TimeToSolve):
        results["time_to_solve"] = Result(solved.table, "one row per segment, and all clients", ("segment",))
    return results


def conclusion(
    settings: Company,
    costs: ProgrammeCosts | Unanswered,
    study: ProgrammeStudy | Unanswered,
    naive: Answer | Unanswered,
    returned: Answer | Unanswered,
    satisfied: Satisfaction | Unanswered,
    complained: Complaints | Unanswered,
    solved: TimeToSolve | Unanswered,
) -> Conclusion:
    """Findings in order of weight, both headlines, checks, and what to do with the programme and where to begin."""
    effect = (effect_sentence(study),) if isinstance(study, ProgrammeStudy) else ()
    before, after = (naive,), (returned, satisfied, complained, solved, costs)
    spoken = [[a.sentence for a in group if isinstance(a, Answer)] for group in (before, after)]
    decisions = [_programme_decision(costs, study, returned), _segment_decision(satisfied)]
    return Conclusion(
        findings=(*effect, *spoken[0], *spoken[1]),
        headlines=(_satisfaction_headline(satisfied), _effect_headline(study)),
        checks=tuple(_checks(costs, study, satisfied, complained, solved)),
        decision=" ".join(decisions),
    )


def _programme_decision(
    costs: ProgrammeCosts | Unanswered, study: ProgrammeStudy | Unanswered, returned: Answer | Unanswered
) -> str:
    if isinstance(study, Unanswered):
        return f"No programme is judged: {study.reason.rstrip('.')}."
    others = (
        []
        if isinstance(costs, Unanswered)
        else costs.programmes.loc[costs.programmes["programme_id"] != study.programme_id, "programme"].tolist()
    )
    rest = (
        f" Not judged here: {formats.join(others)} (one programme a run, relationships.programme in company.yml)."
        if others
        else ""
    )
    return f"{_verdict(costs, study, returned)} {RULE}{rest}"


def _verdict(costs: ProgrammeCosts | Unanswered, study: ProgrammeStudy, returned: Answer | Unanswered) -> str:
    name = study.programme
    if study.is_about_another_path:
        return f"Rework {name}: members were on another path before they joined, so what it caused is not known."
    if isinstance(returned, Unanswered):
        if study.bracket[1] < 0:
            return f"Stop {name}: members lose {study.outcome} by every estimate, to the highest end."
        return f"Decide on {name} when its return is known: {returned.reason.rstrip('.')}."
    low, high = float(returned.table["low_amount"].min()), float(returned.table["high_amount"].max())
    span = study.span(low, high)
    if low > 0:
        told = isinstance(costs, ProgrammeCosts) and bool(
            costs.programmes.set_index("programme_id").loc[study.programme_id, "knows_all_costs"]
        )
        condition = (
            "" if told else f", as long as the set-up and running cost that is not known stays below {study.money(low)} in all"
        )
        return f"Keep {name}{condition}: its return is {span}, over all estimates."
    if high < 0:
        return f"Stop {name}: its return is {span}, over all estimates."
    return f"Rework {name}: its return is not proven, {span} over all estimates."


def _segment_decision(satisfied: Satisfaction | Unanswered) -> str:
    if isinstance(satisfied, Unanswered):
        return "Where to work on satisfaction first is not known, for want of answers."
    measure = "nps" if satisfied.score(ALL, "nps") else "csat_share"
    whole = satisfied.score(ALL, measure)
    named = [str(name) for name in satisfied.worth.index if name != ALL]
    if whole is None or len(named) < 2:
        return "Satisfaction is worked on for all clients alike: there is one segment."
    open_to_gain = [name for name in named if not _is_above(satisfied.score(name, measure), whole["estimate"])]
    first = open_to_gain[0] if open_to_gain else named[0]
    score = satisfied.score(first, measure)
    measured = _written(score, measure) if score else "from which nobody answered"
    return (
        f"Work on the satisfaction of “{segment_label(first)}” first ({measured}): it has the most {satisfied.worth_words} "
        f"among the segments that are not proven to be more satisfied than all clients together."
    )


def _is_above(score: dict[str, object] | None, level: float) -> bool:
    return score is not None and pd.notna(score["low"]) and float(str(score["low"])) > level


def _written(score: dict[str, object], measure: str) -> str:
    numbers = [float(str(score[name])) if pd.notna(score[name]) else None for name in ("estimate", "low", "high")]
    if measure == "nps":
        span = formats.interval(numbers[1], numbers[2], formats.number)
        return f"NPS {formats.number(numbers[0])}, {span}" if span != formats.NOTHING else f"NPS {formats.number(numbers[0])}"
    span = formats.interval(numbers[1], numbers[2], formats.share)
    return (
        f"{formats.share(numbers[0])} satisfied, {span}" if span != formats.NOTHING else f"{formats.share(numbers[0])} satisfied"
    )


def _satisfaction_headline(satisfied: Satisfaction | Unanswered) -> Headline:
    key, label = "satisfaction_top_segment", "Satisfaction of the most valuable segment"
    if isinstance(satisfied, Unanswered):
        return Headline(key=key, label=label, text="not known", note=satisfied.reason)
    segment = satisfied.top_segment or ALL
    measure = "nps" if satisfied.score(segment, "nps") else "csat_share"
    score = satisfied.score(segment, measure)
    name = segment_label(segment)
    if score is None:
        return Headline(key=key, label=label, text="not known", note=f"{name}: nobody answered")
    form = formats.number if measure == "nps" else formats.share
    span = formats.interval(score["low"], score["high"], form)
    text = f"NPS {formats.number(score['estimate'])}" if measure == "nps" else f"{formats.share(score['estimate'])} satisfied"
    note = f"{name}; {formats.plural(score['clients'], 'client')} answered"
    return Headline(
        key=key,
        label=label,
        text=text,
        value=float(score["estimate"]),
        interval=None if span == formats.NOTHING else span,
        note=note,
    )


def _effect_headline(study: ProgrammeStudy | Unanswered) -> Headline:
    key, label = "programme_effect", "Programme effect, per member and month"
    if isinstance(study, Unanswered):
        return Headline(key=key, label=label, text="not known", note=study.reason)
    about = f"{study.outcome}; {study.programme}"
    lead = study.lead
    if study.agrees and lead.effect is not None:
        return Headline(
            key=key,
            label=label,
            text=study.money(lead.effect),
            value=lead.effect,
            interval=study.span(lead.low, lead.high),
            note=about,
        )
    known = [e.effect for e in study.better if e.effect is not None]
    note = f"{about}; the estimates disagree, so no single number is given" if len(known) > 1 else f"{about}; one estimate only"
    return Headline(key=key, label=label, text=study.span(min(known), max(known)), interval=study.span(*study.bracket), note=note)


def _checks(
    costs: ProgrammeCosts | Unanswered,
    study: ProgrammeStudy | Unanswered,
    satisfied: Satisfaction | Unanswered,
    complained: Complaints | Unanswered,
    solved: TimeToSolve | Unanswered,
) -> list[Check]:
    checks = []
    if isinstance(costs, ProgrammeCosts):
        short = costs.programmes.loc[costs.programmes["points_outstanding"] < 0, "programme"].tolist()
        detail = (
            f"more points gone than earned: {formats.join(short)}"
            if short
            else "points outstanding are not below zero in any programme"
        )
        checks.append(Check(name="No programme gave out more points than were earned", passed=not short, detail=detail))
        if costs.unknown_ids:
            detail = f"programmes.yml names {formats.join(costs.unknown_ids)}, and nobody has joined"
            checks.append(Check(name="programmes.yml names programmes that exist", passed=False, detail=detail))
    if isinstance(study, ProgrammeStudy):
        fake = study.estimates["placebo"]
        if fake.effect is not None:
            detail = f"{study.money(fake.effect)}, {study.span(fake.low, fake.high)}"
            checks.append(Check(name="A placebo date shows no effect", passed=not study.is_about_another_path, detail=detail))
        known = [study.money(e.effect) for e in study.better if e.effect is not None]
        checks.append(
            Check(name="Estimates of the effect agree within a standard error", passed=study.agrees, detail=formats.join(known))
        )
    if isinstance(satisfied, Satisfaction):
        checks += [
            _adds_up(satisfied.scores[satisfied.scores["measure"] == m], "answers", name)
            for m, name in (("nps", "NPS"), ("csat_share", "Satisfaction"))
            if (satisfied.scores["measure"] == m).any()
        ]
    if isinstance(complained, Complaints):
        checks.append(_adds_up(complained.table, "complaints", "Complaints"))
    if isinstance(solved, TimeToSolve):
        checks.append(_adds_up(solved.table, "complaints", "Times to solve"))
    return checks


def _adds_up(table: pd.DataFrame, column: str, name: str) -> Check:
    whole = float(table.loc[table["segment"] == ALL, column].sum())
    parts = table.loc[table["segment"] != ALL, column]
    total = float(parts.sum()) if len(parts) else whole
    detail = f"{formats.number(total)} in segments, {formats.number(whole)} in all"
    return Check(name=f"{name}: {column} by segment add up", passed=total == whole, detail=detail)
