"""What a programme caused: the naive comparison and why it is wrong, then better estimates. A room of stage 6."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.models import effects as models
from crm_methods.models.effects import Effect
from crm_methods.stages.relationships import ProgrammeCosts
from crm_methods.stages.relationships_panel import PLACEBO_MONTHS, QUESTION, ProgrammeStudy

FEW_CLIENTS = 100
FEW_MEMBERS = 30

_MONEY = {"effect": "effect_amount", "low": "low_amount", "high": "high_amount", "standard_error": "standard_error_amount"}
_LABELS = {"effect_amount": "Per member and month", "low_amount": "Low (95%)", "high_amount": "High (95%)"}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ProgrammeEffect(Answer):
    """What a programme caused: ``estimates`` has one row per method with the columns of the written table."""

    study: ProgrammeStudy
    estimates: pd.DataFrame


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EventStudy(Answer):
    """The effect by periods since joining; ``programme_id`` names the programme, ``period_noun`` the period."""

    programme_id: str
    period_noun: str
    outcome: str


@answers(QUESTION)
def naive_comparison(study: ProgrammeStudy) -> Answer:
    """Members against the others since the programme began, and the same two groups before anybody had joined.

    Returns
    -------
    Answer
        ``table``: one row per group and one for their difference, money per client and month.
    """
    frame, joined = study.panel.frame, study.panel.frame["first_treat"] > 0
    early = frame["period"] < study.first_period
    # The same comparison where the programme can have done nothing: months before it, members as if they had joined at once.
    before = models.naive_comparison(replace(study.panel, frame=frame[early].assign(first_treat=joined[early].astype("int64"))))
    after = study.estimates["naive"]
    inside = frame["period"] >= frame["first_treat"].where(joined, study.first_period)
    rows = [
        (name, int(frame.loc[mask, "client_id"].nunique()), _client_mean(frame[mask & early]), _client_mean(frame[mask & inside]))
        for name, mask in (("Members", joined), ("Others", ~joined))
    ]
    table = pd.DataFrame(rows, columns=["group", "clients", "before_amount", "since_amount"])
    ends = pd.DataFrame(
        [
            ("Difference", float("nan"), before.effect, after.effect),
            ("low end (95%)", None, before.low, after.low),
            ("high end (95%)", None, before.high, after.high),
        ],
        columns=table.columns,
    )
    return Answer(
        sentence=_naive_sentence(study, before, after, table),
        table=pd.concat([table, ends], ignore_index=True),
        caption=f"{study.outcome.capitalize()} per client and month, {study.programme}: before anybody had joined, and since",
        labels={"group": "Clients", "clients": "How many", "before_amount": "Before", "since_amount": "Since"},
    )


@answers(QUESTION)
def programme_effect(study: ProgrammeStudy) -> ProgrammeEffect:
    """The programme's effect by every method, with intervals, a placebo, and what this base could have shown."""
    names = list(study.estimates)
    table = models.effects_table([study.estimates[name] for name in names]).rename(columns=_MONEY)
    table["method"] = [study.label(name) for name in names]
    written = table.assign(
        programme_id=study.programme_id,
        method=names,
        outcome=study.outcome,
        minimum_detectable_amount=pd.Series([study.estimates[name].minimum_detectable for name in names], dtype=float),
    )
    return ProgrammeEffect(
        sentence=" ".join(
            filter(None, [effect_sentence(study), _power_sentence(study), _placebo_sentence(study), _caution(study)])
        ),
        table=table[["method", "effect_amount", "low_amount", "high_amount", "members", "clients", "note"]],
        caption=f"Effect of {study.programme} on {study.outcome} per member and month, {_span_of(study)}",
        labels={**_LABELS, "effect_amount": "Effect"},
        study=study,
        estimates=written[
            ["programme_id", "method", *_MONEY.values(), "minimum_detectable_amount", "outcome", "clients", "members", "note"]
        ],
    )


@answers(QUESTION)
def event_study(study: ProgrammeStudy) -> EventStudy | Unanswered:
    """The effect by time since joining: around 0 before, and how it grows or fades after."""
    table = models.event_study(study.panel)
    if table.empty:
        return Unanswered(QUESTION, "too few clients for an estimate by time since joining.")
    table = table.rename(columns=_MONEY)
    noun = study.period_noun
    return EventStudy(
        sentence=_path_sentence(table, noun),
        table=table[["periods_since_joining", "effect_amount", "low_amount", "high_amount"]],
        caption=f"Effect on {study.outcome} per member and month by {noun}s since joining; {noun} −1 is the base",
        labels={**_LABELS, "periods_since_joining": f"{noun.capitalize()}s since joining"},
        programme_id=study.programme_id,
        period_noun=noun,
        outcome=study.outcome,
    )


@answers(QUESTION)
def programme_return(study: ProgrammeStudy, costs: ProgrammeCosts) -> Answer | Unanswered:
    """Margin gained less what the programme cost, by every estimate that compares changes.

    return = effect × months since joining, summed over members − total cost. The interval is the effect's alone:
    cost is taken as known.

    Returns
    -------
    Answer
        ``table``: one row per estimate; unanswered where margin is not known.
    """
    if study.outcome != "margin":
        return Unanswered(
            QUESTION, "the margin of deals is not known, and revenue can't be set against cost.", ("deals.cost or deals.margin",)
        )
    cost = costs.programmes.set_index("programme_id").loc[study.programme_id]
    rows = [
        (
            study.label(name),
            e.effect,
            e.effect * study.member_months,
            float(cost["total_cost"]),
            *(end * study.member_months - float(cost["total_cost"]) for end in (e.effect, e.low, e.high)),
        )
        for name, e in study.estimates.items()
        if e in study.better and e.effect is not None and e.low is not None and e.high is not None
    ]
    columns = ["method", "effect_amount", "gain_amount", "total_cost", "return_amount", "low_amount", "high_amount"]
    table = pd.DataFrame(rows, columns=columns)
    return Answer(
        sentence=_return_sentence(study, table, bool(cost["knows_all_costs"])),
        table=table,
        caption=f"Return of {study.programme} over {formats.number(study.member_months)} member-months since joining",
        labels={**_LABELS, "gain_amount": "Margin gained", "total_cost": "Cost", "return_amount": "Return"},
    )


def effect_sentence(study: ProgrammeStudy) -> str:
    """What the programme caused in one sentence; without a single number where the estimates disagree."""
    lead, (low, high) = study.lead, study.bracket
    known = [e.effect for e in study.better if e.effect is not None]
    if not study.agrees and len(known) > 1:
        allowed = "with their intervals they allow for none"
        proven = "all of them see a gain" if low > 0 else "all of them see a loss" if high < 0 else allowed
        return (
            f"The estimates of what {study.programme} caused differ by more than one standard error "
            f"({study.span(min(known), max(known))} of {study.outcome} a member and month): no single number is given, {proven}."
        )
    effect = lead.effect or 0.0
    change = f"{study.money(abs(effect))} {'more' if effect >= 0 else 'less'} {study.outcome} per member and month"
    others = [study.money(e) for e in known[1:]]
    agree = f"; the other estimates ({formats.join(others)}) agree within one standard error" if others else ""
    span = study.span(lead.low, lead.high)
    if lead.low is not None and lead.high is not None and lead.low <= 0 <= lead.high:
        return f"No effect of {study.programme} is proven: the estimate is {change}, and its interval ({span}) includes 0{agree}."
    if_so = "If members would otherwise have changed as the others did"
    return f"{if_so}, {study.programme} caused {change} ({span}, 95% interval){agree}."


def _client_mean(rows: pd.DataFrame) -> float:
    return float(rows.groupby("client_id")["outcome"].mean().mean())


def _span_of(study: ProgrammeStudy) -> str:
    months = study.panel.periods["month"]
    last = months.iloc[-1] + pd.DateOffset(months=study.panel.months_per_period - 1)
    note = f"; {study.panel.note}" if study.panel.note else ""
    return f"{formats.month(months.iloc[0])} to {formats.month(last)}, by {study.period_noun}{note}"


def _naive_sentence(study: ProgrammeStudy, before: Effect, after: Effect, table: pd.DataFrame) -> str:
    if after.effect is None:
        return f"Members can't be compared with others: {after.note}."
    way = "more" if after.effect >= 0 else "less"
    since = (
        f"{study.money(abs(after.effect))} {way} {study.outcome} per month ({study.span(after.low, after.high)}, 95% interval)"
    )
    said = f"Since joining, a member brings {since} than a client outside {study.programme}."
    if before.effect is None or before.low is None or before.high is None:
        return f"{said} Whether the two groups differed before can't be told: {before.note}."
    members, others = (study.money(value) for value in table["before_amount"])
    if before.low <= 0 <= before.high:
        return f"{said} Before anybody had joined, the two groups did not provably differ ({members} against {others})."
    return (
        f"{said} That is not what the programme did: before anybody had joined, the same clients already brought {members} "
        f"against {others}, a difference of {study.money(before.effect)} ({study.span(before.low, before.high)})."
    )


def _power_sentence(study: ProgrammeStudy) -> str:
    lead = study.lead
    counts = f"{formats.plural(lead.members, 'member')} and {formats.plural(lead.clients - lead.members, 'other client')}"
    least = study.money(lead.minimum_detectable)
    return f"With {counts}, an effect of {least} or more would be seen in 8 of 10 cases; a smaller one may stay unseen."


def _placebo_sentence(study: ProgrammeStudy) -> str:
    fake = study.estimates["placebo"]
    if fake.effect is None:
        return f"A placebo date could not be tried: {fake.note}."
    shown = f"{study.money(fake.effect)} ({study.span(fake.low, fake.high)})"
    date = f"An invented joining date {formats.plural(PLACEBO_MONTHS, 'month')} earlier shows {shown}"
    if study.is_about_another_path:
        return f"{date}: members were on another path before they joined, so the estimates above are in doubt."
    least = study.money(fake.minimum_detectable)
    return f"{date}: no sign of another path before joining, though one of less than {least} might stay unseen."


def _caution(study: ProgrammeStudy) -> str:
    few = "clients" if study.lead.clients < FEW_CLIENTS else "members" if study.lead.members < FEW_MEMBERS else ""
    fewest = {"clients": FEW_CLIENTS, "members": FEW_MEMBERS}.get(few)
    return f"With fewer than {fewest} {few} the intervals themselves are rough: take this as a hint, not a proof." if few else ""


def _path_sentence(table: pd.DataFrame, noun: str) -> str:
    before = table[table["is_before"] & table["low_amount"].notna()]
    off = int(((before["low_amount"] > 0) | (before["high_amount"] < 0)).sum())
    since = table[~table["is_before"] & table["low_amount"].notna()]
    above = int((since["low_amount"] > 0).sum())
    lie = "lies" if above == 1 else "lie"
    after = (
        f"Of {formats.plural(len(since), noun)} from joining on, {formats.number(above)} {lie} above 0 with the whole interval."
    )
    counted = f"Of {formats.plural(len(before), noun)} compared before joining, {formats.number(off)}"
    have = "has" if off == 1 else "have"
    if before.empty:
        return f"No {noun} before the base can be compared. {after}"
    if not off:
        return f"{counted} {have} an interval without 0: nothing sets members apart before they joined. {after}"
    return f"{counted} {have} an interval without 0; chance alone gives about one in twenty. {after}"


def _return_sentence(study: ProgrammeStudy, table: pd.DataFrame, knows_all_costs: bool) -> str:
    lead, lowest, highest = table.iloc[0], float(table["low_amount"].min()), float(table["high_amount"].max())
    cost, months = study.money(lead["total_cost"]), formats.number(study.member_months)
    if study.agrees:
        gained = f"Over {months} member-months it gained {study.money(lead['gain_amount'])} of margin at a cost of {cost}"
        span = f"({study.span(lead['low_amount'], lead['high_amount'])}, the interval of the effect alone)"
        said = f"{gained}: a return of {study.money(lead['return_amount'])} {span}."
    else:
        span = study.span(lowest, highest)
        said = f"Against a cost of {cost} over {months} member-months the return is {span}, over the intervals of all estimates."
    outside = study.all_members - study.panel.members
    as_if = (
        f" The effect is taken to hold for the {formats.plural(outside, 'member')} outside the panel, too." if outside > 0 else ""
    )
    if knows_all_costs:
        return said + as_if
    pays = f"it pays as long as they stay below {study.money(lowest)} in all, at the lowest end of the estimates"
    room = pays if lowest > 0 else "at the lowest end of the estimates it does not pay even before them"
    return f"{said} Set-up and running cost are not known in full and come off it: {room}.{as_if}"
