"""Which procedure serves each segment: who answers, by what channel, with what means. A room of stage 4.

A procedure's hours and level come from the segment's service package; departments, skills, channels and topics are
read off the segment's own contacts of the period.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered
from crm_methods.company.intake import Canonical
from crm_methods.company.offers_plan import OffersPlan, ServicePackage
from crm_methods.company.periods import current_period
from crm_methods.company.plans import Plan, filled
from crm_methods.company.procedures_plan import Procedure, ProceduresPlan, Raci
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import segment_label
from crm_methods.company.wording import placeholders
from crm_methods.engine import as_float, collect, day_number, day_of
from crm_methods.stages.processes_requests import ServiceLevel, belongs, in_order, initiative, target_hours

LEVELS: Mapping[int, str] = {1: "1 courteous", 2: "2 prompt and right", 3: "3 takes the initiative"}
UNKNOWN_DEPARTMENT = "department (to be named)"
COLUMNS = (
    "segment", "procedure", "title", "variant", "channel", "level", "qualification", "materials", "responsible", "accountable",
    "consulted",
    "informed", "metric", "target", "target_hours", "required_share", "allowed_share", "promise", "contacts", "outside_share",
    "status",
)  # fmt: skip
"""Columns of the table procedures, in order."""
_GROUPS = ("department", "skill", "channel")
_OFTEN_SHARE = 0.10
_MANY = 3


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Procedures(Answer):
    """Every segment's procedures.

    ``rows`` has one row per segment and procedure: the table procedures. ``means`` is what is needed for them, as shown:
    one row per procedure and variant. ``unkept`` are promises of the brand that no procedure keeps.
    """

    rows: pd.DataFrame
    means: pd.DataFrame
    unkept: tuple[str, ...]
    origin: str


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What was recorded of each procedure in the period, counted in the engine.

    ``contacts``: ``procedure``, ``segment``, ``department``, ``skill``, ``channel``, ``contacts``, ``minutes``, ``timed``.
    ``words``: ``procedure``, ``segment``, ``column`` (topic or reason), ``word``, ``contacts``.
    """

    contacts: pd.DataFrame
    words: pd.DataFrame

    def of(self, procedure: str, segments: Sequence[str] = ()) -> Seen:
        """The counts of one procedure in some segments; in all of them when none are given."""
        return Seen(*(self._own(frame, procedure, segments) for frame in (self.contacts, self.words)))

    @staticmethod
    def _own(frame: pd.DataFrame, procedure: str, segments: Sequence[str]) -> pd.DataFrame:
        own = frame[frame["procedure"] == procedure]
        return own[own["segment"].isin(segments)] if segments else own

    def most(self, column: str) -> pd.Series[Any]:
        """Contacts by the values of a column, most first, ties by name; unrecorded values are left out."""
        sums = self.contacts.groupby(column)["contacts"].sum() if len(self.contacts) else pd.Series(dtype="int64")
        return sums.sort_index().sort_values(ascending=False, kind="stable")

    def minutes(self, by: str | None = None) -> pd.Series[Any]:
        """Mean recorded minutes of a contact, in all (one value) or by a column."""
        keys = self.contacts[by] if by else pd.Series("all", index=self.contacts.index)
        sums = self.contacts.groupby(keys)[["minutes", "timed"]].sum()
        return (sums["minutes"] / sums["timed"]).dropna().sort_index()

    def frequent(self, column: str) -> list[str]:
        """The three most frequent words of topic or reason."""
        own = self.words[self.words["column"] == column]
        sums = own.groupby("word")["contacts"].sum().sort_index().sort_values(ascending=False, kind="stable")
        return [str(word) for word in sums.index[:_MANY]]


def contacts_seen(data: Canonical, settings: Company, plan: Plan[ProceduresPlan], clients: nw.LazyFrame[Any]) -> Seen:
    """Count the period's contacts of every procedure by segment, department, skill and channel, and their words.

    Parameters
    ----------
    clients
        One row per client, from ``served_clients``.
    """
    period = current_period(settings)
    day, minutes = day_number("started_at"), as_float("handling_minutes")
    columns = ("client_id", "started_at", "kind", "topic", "reason", "direction", "initiative", "handling_minutes", *_GROUPS)
    rows = data.scan("interactions").select(*columns).filter(day >= day_of(period.start), day <= day_of(period.end))
    rows = rows.with_columns(by_whom=initiative()).join(clients.select("client_id", "segment"), on="client_id", how="inner")
    named = rows.with_columns(
        **{f"is_{p.name}": nw.when(belongs(p, data)).then(nw.lit(1)).otherwise(nw.lit(0)) for p in plan.content.procedures},
        minutes=minutes.fill_null(0.0),
        timed=nw.when(minutes.is_null()).then(nw.lit(0)).otherwise(nw.lit(1)),
    )
    flags = [f"is_{p.name}" for p in plan.content.procedures]
    sums = (nw.len().alias("contacts"), nw.col("minutes").sum(), nw.col("timed").sum())
    counted = collect(named.group_by("segment", *_GROUPS, *flags).agg(*sums))
    words = [
        # A word that came once says nothing of a segment, and free text has as many words as rows.
        collect(
            named.filter(~nw.col(column).is_null())
            .group_by("segment", column, *flags)
            .agg(nw.len().alias("contacts"))
            .filter(nw.col("contacts") > 1)
        )
        .rename(columns={column: "word"})
        .assign(column=column)
        for column in ("topic", "reason")
    ]
    return Seen(_by_procedure(counted, flags), _by_procedure(pd.concat(words, ignore_index=True), flags))


def procedures(
    data: Canonical, settings: Company, plan: Plan[ProceduresPlan], offers: Plan[OffersPlan], packages: pd.DataFrame, seen: Seen,
    level: ServiceLevel | Unanswered | None = None,
) -> Procedures:  # fmt: skip
    """The procedures of each segment, and the variants that are worth having.

    Segments with the same service package, rule of responsibility and range share a form; what their contacts say is read
    off all of them together.

    Parameters
    ----------
    packages
        One row per segment: ``segment``, ``strategy``, ``service_package``.
    seen
        What was recorded, from ``contacts_seen``.
    level
        The measured service level: where there is one, its status stands beside each metric.

    Returns
    -------
    Procedures
        ``rows``: ``segment``, ``procedure``, ``title``, ``variant``, ``channel``, ``level``, ``qualification``, ``materials``,
        ``responsible``, ``accountable``, ``consulted``, ``informed``, ``metric``, ``target``, ``target_hours``,
        ``required_share``,
        ``promise``, ``contacts`` (of the period), ``outside_share`` (of them, by a channel the package does not offer),
        ``status``.
    """
    place = {row["segment"]: row for row in packages.to_dict("records")}
    promised = kept_by(settings.promises, plan.content)
    known = bool(len(seen.contacts))
    rows = []
    for procedure in plan.content.procedures:
        if procedure.only_if_seen and known and seen.of(procedure.name).contacts.empty:
            continue
        keeps = "; ".join(promise for promise, keeper in promised.items() if keeper == procedure.name)
        forms = _forms(procedure, place, offers.content)
        for letter, segments in zip(string.ascii_uppercase, forms, strict=False):
            own = seen.of(procedure.name, segments)
            first = place[segments[0]]
            described = _described(procedure, offers.content.service(first["service_package"]), own, first, offers.content)
            for segment in segments:
                counts = _channel_counts(
                    procedure, seen.of(procedure.name, [segment]), offers.content.service(place[segment]["service_package"])
                )
                variant = letter if len(forms) > 1 else ""
                rows.append(
                    {
                        "segment": segment,
                        "procedure": procedure.name,
                        "title": procedure.title,
                        "variant": variant,
                        **described,
                        "promise": keeps,
                        **counts,
                    }
                )
    table = _with_status(pd.DataFrame(rows, columns=list(COLUMNS[:-1])), level)
    unkept = tuple(promise for promise, keeper in promised.items() if keeper is None)
    return Procedures(
        sentence=_sentence(table, plan, offers, known, unkept),
        table=_compact(table, ("channel", "responsible", "accountable", "consulted", "informed", "target", "status")),
        caption=f"Procedures by segment ({plan.origin}): who is responsible (does it), accountable (answers for it), consulted "
        "and informed",
        labels={"procedure": "Procedure", "segments": "For"},
        rows=table,
        means=_compact(table, ("level", "qualification", "materials", "promise")),
        unkept=unkept,
        origin=plan.origin,
    )


def means(found: Procedures) -> Answer:
    """What each procedure needs: level of service, qualification, materials; and the promise it keeps."""
    channels = found.rows[(found.rows["outside_share"] > 0) & (found.rows["contacts"] > 0)]
    known = found.rows["outside_share"].notna().any()
    text = (
        "All contacts come by channels that the packages offer."
        if known
        else "No channel of a contact is recorded, so it is not known whether clients come by those that the packages offer."
    )
    if len(channels):
        worst = (
            channels.assign(outside=channels["outside_share"] * channels["contacts"])
            .sort_values("outside", ascending=False)
            .iloc[0]
        )
        text = (
            f"In “{segment_label(worst['segment'])}”, {formats.share(worst['outside_share'])} of the "
            f"{formats.plural(worst['contacts'], 'contact')} "
            f"of “{worst['title']}” come by a channel that its package does not offer."
        )
    if found.unkept:
        text += f" No procedure keeps the promise {formats.join([f'“{promise}”' for promise in found.unkept])}."
    return Answer(
        sentence=text, table=found.means, caption="Level, people and means of each procedure, and the promise that it keeps",
        labels={"segments": "For", "promise": "Promise it keeps", "materials": "Materials and equipment"},
    )  # fmt: skip


def kept_by(promises: Sequence[str], plan: ProceduresPlan) -> dict[str, str | None]:
    """The first procedure that keeps each promise of the brand; None where none does."""
    return {promise: next((p.name for p in plan.procedures if p.keeps_promise(promise)), None) for promise in promises}


def facts(package: ServicePackage, seen: Seen) -> dict[str, str]:
    """What is known of a procedure under a package, as text; what is not known is not in it."""
    departments, skills = seen.most("department"), seen.most("skill")
    often = [str(s) for s in skills.index if skills[s] >= _OFTEN_SHARE * skills.sum()]
    slowest = seen.minutes("skill")
    slowest = slowest[slowest.index.isin(often)]
    minutes = seen.minutes()
    known: dict[str, str | None] = {
        "department": str(departments.index[0]) if len(departments) else None,
        "next_department": str(departments.index[1]) if len(departments) > 1 else None,
        "skill": str(skills.index[0]) if len(skills) else None,
        "skills": formats.join(often) or None,
        "hard_skill": str(slowest.idxmax()) if len(slowest) > 1 else None,
        "package_skill": package.skill,
        "topics": formats.join(seen.frequent("topic")) or None,
        "reasons": formats.join(seen.frequent("reason")) or None,
        "minutes": formats.plural(round(float(minutes.iloc[0])), "minute") if len(minutes) else None,
        "package": package.title,
        "response_hours": formats.plural(package.response_hours, "hour"),
        "resolve_hours": formats.plural(package.resolve_hours, "hour"),
        "extras": "; ".join(package.extras) or None,
    }
    return {name: value for name, value in known.items() if value is not None}


def responsibilities(rule: Raci, known: Mapping[str, str]) -> dict[str, str]:
    """Roles by letter with names filled in; roles whose fact is not known are left out, but somebody always does and answers."""
    named = {"department": UNKNOWN_DEPARTMENT, **known}
    words = {"R": "responsible", "A": "accountable", "C": "consulted", "I": "informed"}
    return {
        word: ", ".join(
            dict.fromkeys(
                filled(role, named)
                for role in rule.holding(letter)
                if letter in "RA" or all(name in named for name in placeholders(role))
            )
        )
        for letter, word in words.items()
    }


def _described(
    procedure: Procedure, package: ServicePackage, seen: Seen, place: Mapping[str, Any], offers: OffersPlan
) -> dict[str, Any]:
    known = facts(package, seen)
    metric, segment, strategy = procedure.metric, place["segment"], place["strategy"]
    hours = target_hours(metric, package.name, offers)
    low, high = metric.permitted(segment, strategy)
    within = f" within {formats.plural(hours, 'hour')}" if hours is not None else ""
    rule = procedure.roles(segment, strategy, package.level)
    return {
        "channel": _channels(procedure, package, seen),
        "level": LEVELS[package.level] if procedure.variants else "that of the client's package",
        "qualification": "; ".join(_pieces(procedure.qualification, known)),
        "materials": "; ".join(_pieces(procedure.materials, known)),
        **responsibilities(rule, known),
        "metric": f"{metric.title}{within}",
        "target": f"{metric.title}{within}: {_range(low, high)}",
        "target_hours": hours if hours is not None else float("nan"),
        "required_share": low,
        "allowed_share": high,
    }


def _pieces(texts: Sequence[str], known: Mapping[str, str]) -> list[str]:
    return [filled(text, known) for text in texts if all(name in known for name in placeholders(text))]


def _range(low: float, high: float) -> str:
    if high < 1:
        return f"{formats.share(low)} to {formats.share(high)}"
    return "always" if low == 1 else f"at least {formats.share(low)}"


def _channels(procedure: Procedure, package: ServicePackage, seen: Seen) -> str:
    """The package's channels in its order, those nobody uses yet marked; the present ones where all segments share a "
    f"procedure."""
    used = [str(channel) for channel in seen.most("channel").index]
    if procedure.channels == "used":
        return formats.join(used[:_MANY], "or") or "any"
    if not used:
        return formats.join(package.channels, "or")
    open_ones = [channel for channel in package.channels if channel in used]
    to_open = [channel for channel in package.channels if channel not in used]
    return formats.join(open_ones, "or") + (
        f"{'; ' if open_ones else ''}{formats.join(to_open, 'or')} not used yet" if to_open else ""
    )


def _channel_counts(procedure: Procedure, seen: Seen, package: ServicePackage) -> dict[str, Any]:
    used = seen.most("channel") if procedure.channels == "package" else pd.Series(dtype="int64")
    outside = used[~used.index.isin(package.channels)].sum()
    share = float(outside / used.sum()) if len(used) else float("nan")
    return {"contacts": int(seen.contacts["contacts"].sum()) if len(seen.contacts) else 0, "outside_share": share}


def _forms(procedure: Procedure, place: Mapping[str, Mapping[str, Any]], offers: OffersPlan) -> list[list[str]]:
    """Segments that share a form of the procedure: same package, same rule of responsibility, same range."""
    forms: dict[Any, list[str]] = {}
    for segment in in_order(list(place)):
        strategy, package = place[segment]["strategy"], offers.service(place[segment]["service_package"])
        rule = procedure.roles(segment, strategy, package.level)
        key = (package.name, tuple(rule.roles.items()), procedure.metric.permitted(segment, strategy))
        forms.setdefault(key if procedure.variants else None, []).append(segment)
    return list(forms.values())


def _with_status(table: pd.DataFrame, level: ServiceLevel | Unanswered | None) -> pd.DataFrame:
    if not isinstance(level, ServiceLevel):
        return table.assign(status="not measured")
    status = level.by_procedure.set_index(["procedure", "segment"])["status"]
    return table.assign(status=[status.get((row.procedure, row.segment), "not measured") for row in table.itertuples()])


def _compact(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """One row per procedure and variant, its segments named."""
    size = table["segment"].nunique()
    rows = []
    for (_, variant), own in table.groupby(["procedure", "variant"], sort=False):
        first = own.iloc[0]
        served = "every segment" if len(own) == size else formats.join([segment_label(s) for s in own["segment"]])
        said = {c: _said(own[c].astype(str).tolist()) for c in columns}
        rows.append({"procedure": f"{first['title']}{f' ({variant})' if variant else ''}", "segments": served, **said})
    return pd.DataFrame(rows)


def _said(values: Sequence[str]) -> str:
    """One text of the segments that share a form; how many have which where they differ."""
    counts = {value: values.count(value) for value in values}
    return values[0] if len(counts) == 1 else ", ".join(f"{value} in {count}" for value, count in counts.items())


def _by_procedure(counted: pd.DataFrame, flags: Sequence[str]) -> pd.DataFrame:
    """A contact belongs to every procedure whose flag it has."""
    parts = [counted[counted[flag] == 1].drop(columns=list(flags)).assign(procedure=flag.removeprefix("is_")) for flag in flags]
    return pd.concat(parts, ignore_index=True)


def _sentence(
    table: pd.DataFrame, plan: Plan[ProceduresPlan], offers: Plan[OffersPlan], known: bool, unkept: Sequence[str]
) -> str:
    forms = table.groupby("procedure", sort=False)["variant"].nunique()
    alike = [table.loc[table["procedure"] == name, "title"].iloc[0].lower() for name in forms[forms == 1].index]
    served = formats.plural(table["segment"].nunique(), "segment")
    text = f"{formats.plural(len(forms), 'procedure')} in {formats.plural(int(forms.sum()), 'form')} serve {served}"
    text += f" (procedures: {plan.origin}; packages: {offers.origin})."
    if alike and len(forms) > len(alike):
        text += f" The same for every segment: {formats.join(alike)}."
    if not known:
        text += " No contact is recorded in the period, so no department, skill or channel in use is known: they are to be named."
    return text
