"""Which occasions each client has, and who is contacted by what means. A room of stage 5; all of it stays in the engine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods.company.contacts_plan import FACTS, ContactsPlan, Occasion, Rule
from crm_methods.company.intake import Canonical
from crm_methods.company.offers_plan import OffersPlan
from crm_methods.company.settings import Company
from crm_methods.company.wording import pieces
from crm_methods.engine import as_float, collect, day_number, day_of
from crm_methods.stages.contacts_profile import PlanDays

GENERAL = "general address"
"""Role of a client's own address, where no person can be contacted."""

NOT_REACHABLE = "not reachable"
"""Channel of an occasion for which the plan finds no means."""

_GOLDEN = 0.618034
_UNLISTED = 90
# What a channel needs, as a column of contact_persons and of clients.
_ADDRESSES: Mapping[str, tuple[str | None, str]] = {
    "email": ("email", "email"),
    "phone": ("phone", "phone"),
    "address": (None, "address"),
}


def fits(rule: Rule) -> nw.Expr:
    """Whether a client's row meets a rule; what is not known meets none but ``unknown``."""
    parts: list[nw.Expr] = []
    for name, column in (
        ("segment", "segment"),
        ("strategy", "strategy"),
        ("state", "state"),
        ("industry", "industry"),
        ("size", "size"),
        ("service_package", "package"),
    ):
        options = [str(option).lower() for option in getattr(rule, name)]
        if options:
            parts.append(nw.col(column).str.to_lowercase().is_in(options))
    parts += [~nw.col(name).is_null() for name in rule.known] + [nw.col(name).is_null() for name in rule.unknown]
    parts += [as_float(name) >= bound for name, bound in rule.at_least.items()]
    # "At most" is a promise that nothing more is known: a client of whom nothing is recorded keeps it.
    parts += [(as_float(name) <= bound) | nw.col(name).is_null() for name, bound in rule.at_most.items()]
    return reduce(lambda a, b: a & b, [part.fill_null(False) for part in parts], nw.lit(True))


def occasions_due(profile: nw.LazyFrame[Any], settings: Company, plan: ContactsPlan, days: PlanDays) -> nw.LazyFrame[Any]:
    """One row per client and occasion that falls into the plan.

    Parameters
    ----------
    profile
        One row per client, from ``contact_profile``.

    Returns
    -------
    narwhals.LazyFrame
        ``client_id``, ``segment``, ``package``, ``occasion``, ``contacts`` (whole), ``due_day`` (day number; NULL where the
        day is free), ``offset`` (0–1, the client's place among others), ``text``. A client's yearly number of contacts is
        brought to the plan's months so that the mean over clients is exact.
    """
    fixed = {f"n_{o.name}": _times(o, settings, days) for _, o in plan.occasions if o.times != "rest"}
    dated = profile.with_columns(n_other=nw.lit(0), **fixed)
    promised = [f"n_{o.name}" for _, o in plan.occasions if o.in_package and o.times != "rest"]
    filled = reduce(lambda a, b: a + b, [nw.col(name) for name in promised], nw.col("n_other"))
    rest = {f"n_{o.name}": _rest(o, filled, settings) for _, o in plan.occasions if o.times == "rest"}
    counted = dated.with_columns(n_other=nw.lit(0), **rest)
    parts = []
    for place, (_, occasion) in enumerate(plan.occasions):
        share = nw.col("position") + place * _GOLDEN
        parts.append(
            counted.filter(nw.col(f"n_{occasion.name}") > 0).select(
                "client_id",
                "segment",
                "package",
                nw.lit(occasion.name).alias("occasion"),
                nw.col(f"n_{occasion.name}").cast(nw.Int64).alias("contacts"),
                _due_day(occasion, settings).alias("due_day"),
                (share - share.floor()).cast(nw.Float64).round(9).alias("offset"),
                message(occasion).alias("text"),
            )
        )
    return nw.concat(parts)


def client_occasions(data: Canonical, plan: ContactsPlan, packages: OffersPlan, due: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Give every client and occasion its person and channel.

    The person is the first of the occasion's roles who can be reached and has not refused, by the person's preferred channel
    where it is among those allowed, else by the first allowed one; where there is nobody, the client's general
    address. Some addresses are assumed where the company records none of their kind: ``assumed_addresses``.

    Parameters
    ----------
    due
        One row per client and occasion, from ``occasions_due``.

    Returns
    -------
    narwhals.LazyFrame
        The rows of ``due`` with ``channel`` (``not reachable`` where there is none), ``person_id`` and ``role``.
    """
    offered = due.join(data.engine.frame(_allowed(plan, packages)), on=["package", "occasion"], how="inner")
    able = offered.join(_reach(data, plan), on=["client_id", "channel"], how="inner").filter(
        nw.col("consented") | ~nw.col("needs_consent")
    )
    roles = data.engine.frame(_roles(plan))
    ranked = able.join(roles, on=["occasion", "role_key"], how="left").with_columns(
        score=nw.col("role_rank").fill_null(_UNLISTED) * 10_000
        + nw.when(nw.col("role") == GENERAL).then(nw.lit(90_000)).otherwise(nw.lit(0))
        + nw.when(nw.col("preferred")).then(nw.lit(0)).otherwise(nw.lit(100))
        + nw.col("channel_rank"),
        person_key=nw.col("person_id").fill_null(""),
    )
    one = nw.col("client_id").is_null().cast(nw.Int64) * 0 + 1
    place = one.cum_sum().over("client_id", "occasion", order_by=["score", "person_key"])
    chosen = (
        ranked.with_columns(place=place)
        .filter(nw.col("place") == 1)
        .select("client_id", "occasion", "channel", "person_id", "role", "person")
    )
    joined = due.join(chosen, on=["client_id", "occasion"], how="left")
    greeting = (
        nw.when(~nw.col("person").is_null())
        .then(nw.concat_str([nw.lit("To "), nw.col("person"), nw.lit(". ")], separator=""))
        .otherwise(nw.lit(""))
    )
    return joined.with_columns(
        nw.col("channel").fill_null(NOT_REACHABLE), text=nw.concat_str([greeting, nw.col("text")], separator="")
    ).drop("person")


def message(occasion: Occasion) -> nw.Expr:
    """The occasion's sentences with a client's facts; one that names a fact the client lacks is left out."""
    sentences = [
        nw.concat_str([_fact_text(words) if is_fact else nw.lit(words) for is_fact, words in pieces(sentence)], separator="")
        for sentence in occasion.text
    ]
    return nw.concat_str(sentences, separator=" ", ignore_nulls=True)


def _fact_text(name: str) -> nw.Expr:
    match FACTS[name].kind:
        case "count":
            return nw.col(name).cast(nw.Int64).cast(nw.String)
        case "date":
            day = nw.col(name).dt.day().cast(nw.String)
            return nw.concat_str([day, nw.lit(" "), nw.col(name).dt.to_string("%b %Y")], separator="")
    return nw.col(name)


def _times(occasion: Occasion, settings: Company, days: PlanDays) -> nw.Expr:
    """How many times the occasion comes within the plan; none where its rule does not fit or its day lies outside."""
    applies = fits(occasion.when)
    due = _due_day(occasion, settings)
    if occasion.timing.by in {"contract_ends_on", "anniversary"}:
        applies = applies & (due <= int(days.calendar["due_day"].iloc[-1])).fill_null(False)
    if occasion.times == "once":
        number: nw.Expr = nw.lit(1)
    else:
        yearly = nw.col("reviews_per_year") if occasion.times == "reviews" else nw.lit(float(occasion.times))
        number = _in_plan(yearly, settings)
    return nw.when(applies).then(number).otherwise(nw.lit(0))


def _rest(occasion: Occasion, filled: nw.Expr, settings: Company) -> nw.Expr:
    """What the package promises and nothing else fills."""
    left = _in_plan(nw.col("contacts_per_year"), settings) - filled
    return nw.when(fits(occasion.when) & (left > 0)).then(left).otherwise(nw.lit(0))


def _in_plan(yearly: nw.Expr, settings: Company) -> nw.Expr:
    # Rounded by the client's place, so that 4 a year over 6 months are 2 for each, and 1 a year is 1 for every second client.
    return (yearly * settings.contacts.plan_months / 12 + nw.col("position")).floor().cast(nw.Int64)


def _due_day(occasion: Occasion, settings: Company) -> nw.Expr:
    earliest = day_of(settings.as_of) + 1
    match occasion.timing.by:
        case "contract_ends_on":
            day = day_number("contract_ends_on") - occasion.timing.days_before
        case "anniversary":
            day = nw.col("anniversary_day") - occasion.timing.days_before
        case _:
            return nw.lit(None, nw.Int64)
    return nw.when(day < earliest).then(nw.lit(earliest)).otherwise(day).cast(nw.Int64)


def _allowed(plan: ContactsPlan, packages: OffersPlan) -> pd.DataFrame:
    """Channels of each package and occasion in order; where the two have none in common, those of the package the plan knows."""
    known = {channel.name for channel in plan.channels}
    rows = []
    for package in packages.service_packages:
        for _, occasion in plan.occasions:
            common = [c for c in occasion.channels if c in package.channels]
            # Post is a channel of attention, not of service: no package has to list it.
            extra = [c for c in occasion.channels if c == "post" and c not in common]
            chosen = (
                sorted({*common, *extra}, key=occasion.channels.index)
                or [c for c in package.channels if c in known]
                or occasion.channels
            )
            rows += [(package.name, occasion.name, channel, rank, occasion.needs_consent) for rank, channel in enumerate(chosen)]
    return pd.DataFrame(rows, columns=["package", "occasion", "channel", "channel_rank", "needs_consent"])


def _roles(plan: ContactsPlan) -> pd.DataFrame:
    rows = [(o.name, role.lower(), rank) for _, o in plan.occasions for rank, role in enumerate(dict.fromkeys(o.roles))]
    frame = pd.DataFrame(rows, columns=["occasion", "role_key", "role_rank"])
    return frame.drop_duplicates(["occasion", "role_key"]).astype({"occasion": "str", "role_key": "str", "role_rank": "int64"})


def _reach(data: Canonical, plan: ContactsPlan) -> nw.LazyFrame[Any]:
    """One row per client, person (or the client's general address) and channel by which it can be reached."""
    clients = data.scan("clients").select("client_id", "email", "phone", "address")
    persons = data.scan("contact_persons")
    columns, assumed = set(persons.collect_schema().names()), assumed_addresses(data, plan)
    addresses = data.scan("clients").select("client_id", "address")
    at_work = persons.join(addresses, on="client_id", how="left")
    parts: list[nw.LazyFrame[Any]] = []
    for channel in plan.channels:
        needed = "client_id" if channel.needs == "nothing" or channel.name in assumed else _ADDRESSES[channel.needs][1]
        there = ~nw.col(needed).is_null()
        consent = f"consent_{channel.consent or channel.name}"
        allowed = nw.lit(channel.unknown_consent == "allow")
        consented = nw.col(consent).fill_null(channel.unknown_consent == "allow") if consent in columns else allowed
        parts.append(
            at_work.filter(there).select(
                "client_id",
                "person_id",
                nw.lit(channel.name).alias("channel"),
                nw.col("role").fill_null("role not known").alias("role"),
                nw.col("role").str.to_lowercase().alias("role_key"),
                nw.col("name").alias("person"),
                (nw.col("preferred_channel").str.to_lowercase() == channel.name).fill_null(False).alias("preferred"),
                consented.alias("consented"),
            )
        )
        unknown = nw.lit(None, nw.String)
        parts.append(
            clients.filter(there).select(
                "client_id",
                unknown.alias("person_id"),
                nw.lit(channel.name).alias("channel"),
                nw.lit(GENERAL).alias("role"),
                nw.lit(GENERAL).alias("role_key"),
                unknown.alias("person"),
                nw.lit(False).alias("preferred"),
                nw.lit(True).alias("consented"),
            )
        )
    return nw.concat(parts)


def assumed_addresses(data: Canonical, plan: ContactsPlan) -> tuple[str, ...]:
    """Channels that the plan uses although the company records no address for them at any client.

    Those it has used in recorded contacts; and e-mail where it records no address of any kind, since who has bought could
    be reached.
    """
    used = set(
        collect(data.scan("interactions").select(nw.col("channel").str.to_lowercase()).unique(), max_rows=10_000)[
            "channel"
        ].dropna()
    )
    nothing = not any(_is_recorded(data, needs) for needs in _ADDRESSES)
    missing = [channel for channel in plan.channels if channel.needs != "nothing" and not _is_recorded(data, channel.needs)]
    return tuple(c.name for c in missing if c.name in used or (nothing and c.needs == "email" and c.name == "email"))


def _is_recorded(data: Canonical, needs: str) -> bool:
    personal, own = _ADDRESSES[needs]
    return data.has("clients", own) or (personal is not None and data.has("contact_persons", personal))
