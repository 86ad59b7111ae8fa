"""contacts.yml: channels, and the actions whose occasions make the contact matrix.

An action is prepared once; its occasions say who is contacted when, by what means and with what
words. All of it stands in the plan, so that the matrix can be adjusted without touching code.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from crm_methods.company.plans import Plan, read_plan
from crm_methods.company.settings import Settings, Strategy
from crm_methods.company.wording import Fact, check_facts, placeholders
from crm_methods.errors import Faults, SettingsError, did_you_mean

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Text = Annotated[str, Field(min_length=1)]
NotNegative = Annotated[float, Field(ge=0)]


FACTS: Mapping[str, Fact] = {
    "client": Fact("text", "name of the client, or its id", always=True),
    "segment_label": Fact("text", "its segment, as the reader calls it", always=True),
    "account_owner": Fact("text", "who is responsible for the client; the plan's role where nobody is named", always=True),
    "person": Fact("text", "name of the person who is contacted"),
    "industry": Fact("text", "line of business"),
    "territory": Fact("text", "territory"),
    "size": Fact("text", "large, medium or small"),
    "complementary_solutions": Fact("text", "what the client runs beside our products"),
    "service_package": Fact("text", "name of its service package", always=True),
    "next_product": Fact("text", "first product of its white space"),
    "open_requests": Fact("count", "requests and complaints not yet solved"),
    "open_topic": Fact("text", "topic of the oldest of them"),
    "open_days": Fact("count", "days since it came"),
    "contract_ends_on": Fact("date", "last day of the contract that ends next"),
    "since": Fact("date", "client since"),
    "years_with_us": Fact("count", "years with us at the next anniversary"),
    "days_since_last_deal": Fact("count", "days from the last won deal to the as-of day"),
    "revenue": Fact("amount", "revenue of the period"),
}
"""Facts of a client by name; rules and texts may use no others."""


class Rule(Settings):
    """When an occasion applies to a client: every key given must hold; lists mean "one of", whatever the case of the letters."""

    segment: list[str] = Field(default_factory=list)
    strategy: list[Strategy] = Field(default_factory=list)
    state: list[str] = Field(default_factory=list)
    industry: list[str] = Field(default_factory=list)
    size: list[Literal["large", "medium", "small"]] = Field(default_factory=list)
    service_package: list[str] = Field(default_factory=list)
    known: list[str] = Field(default_factory=list)
    unknown: list[str] = Field(default_factory=list)
    at_least: dict[str, float] = Field(default_factory=dict)
    at_most: dict[str, float] = Field(default_factory=dict)


class Channel(Settings):
    """A means of contact: what it needs, and what is assumed where the company's data don't say it.

    ``needs`` is the address it takes; ``unknown_consent`` says whether a person may be contacted by it who was never
    asked; ``minutes`` and ``cash_cost`` (company currency) are for one contact.
    """

    name: Name
    needs: Literal["nothing", "email", "phone", "address"] = "nothing"
    consent: Name | None = None
    unknown_consent: Literal["allow", "refuse"] = "allow"
    minutes: NotNegative
    cash_cost: NotNegative = 0.0


class Timing(Settings):
    """On which day an occasion is due.

    ``spread`` divides the contacts evenly over the plan; ``soon`` means within ``slack_days``; the others name a day
    of the client's own, ``days_before`` it. ``slack_days`` (working days) is how far a contact may move to level the work.
    """

    by: Literal["spread", "soon", "contract_ends_on", "anniversary"] = "spread"
    days_before: Annotated[int, Field(ge=0, le=400)] = 0
    slack_days: Annotated[int, Field(ge=0, le=800)] = 15


class Occasion(Settings):
    """A reason to contact a client.

    ``times`` is ``once``, a number a year, ``reviews`` (as many as the service package promises) or ``rest`` (what the
    package promises and no other occasion with ``in_package`` fills). ``minutes`` by channel stand for contacts
    made from a template; others take as long as such contacts took.
    """

    name: Name
    title: Text
    when: Rule = Rule()
    times: Literal["once", "reviews", "rest"] | Annotated[float, Field(gt=0, le=366)] = "once"
    in_package: bool = False
    timing: Timing = Timing()
    kind: str = "sales"
    needs_consent: bool = True
    roles: list[str] = Field(default_factory=list)
    channels: Annotated[list[str], Field(min_length=1)]
    owner: Text
    by_account_owner: bool = False
    minutes: dict[str, NotNegative] = Field(default_factory=dict)
    structure: Text
    text: Annotated[list[Text], Field(min_length=1)]


class Action(Settings):
    """Occasions that are prepared together, once: hours of our own work and cash (company currency)."""

    name: Name
    title: Text
    preparation_hours: NotNegative = 0.0
    preparation_cost: NotNegative = 0.0
    occasions: Annotated[list[Occasion], Field(min_length=1)]


class ContactsPlan(Settings):
    """Everything contacts.yml says.

    ``min_gap_days``: working days between two contacts of a client. ``minute_cost`` (company currency) is used where no
    cost of a minute is known. ``budget_covers`` says which of the two sums ``contacts.budget`` of company.yml limits.
    """

    min_gap_days: Annotated[int, Field(ge=1, le=60)] = 5
    closed_days: list[dt.date] = Field(default_factory=list)
    minute_cost: NotNegative = 1.0
    account_owner_role: Text = "account manager (to be named)"
    budget_covers: Literal["full_cost", "cash"] = "full_cost"
    channels: Annotated[list[Channel], Field(min_length=1)]
    actions: Annotated[list[Action], Field(min_length=1)]

    @property
    def occasions(self) -> tuple[tuple[Action, Occasion], ...]:
        """Every occasion with its action, in the plan's order."""
        return tuple((action, occasion) for action in self.actions for occasion in action.occasions)

    @property
    def occasion_titles(self) -> dict[str, str]:
        """Title of each occasion."""
        return {occasion.name: occasion.title for _, occasion in self.occasions}

    def channel(self, name: str) -> Channel:
        """The channel of that name."""
        return next(channel for channel in self.channels if channel.name == name)


def read_contacts(company_folder: Path) -> Plan[ContactsPlan]:
    """The company's contacts.yml, or the kit's default, checked.

    Raises
    ------
    SettingsError
        An unknown key, wrong type, unknown channel or fact, or two things of one name; all faults of one kind together.
    """
    plan = read_plan(company_folder, "contacts", ContactsPlan)
    faults = Faults()
    check_plan(plan.content, faults)
    faults.raise_if_any(SettingsError, f"contacts.yml ({plan.origin}) can't be used as it is:")
    return plan


def check_plan(plan: ContactsPlan, faults: Faults) -> None:
    """Note what a schema can't see: names used twice, unknown channels and facts, a text that may stay empty."""
    channels = [channel.name for channel in plan.channels]
    for place, names in (
        ("channels", channels), ("actions", [a.name for a in plan.actions]), ("occasions", [o.name for _, o in plan.occasions]),
    ):  # fmt: skip
        for name in sorted({n for n in names if names.count(n) > 1}):
            faults.add(f"{place}.{name}", "one name for several", "a name of its own for each")
    for _, occasion in plan.occasions:
        where = f"occasions.{occasion.name}"
        for name in (*occasion.channels, *occasion.minutes):
            if name not in channels:
                faults.add(f"{where}.channels", f'"{name}"', f"one of {', '.join(channels)}", did_you_mean(name, channels))
        _check_rule(f"{where}.when", occasion.when, faults)
        for sentence in occasion.text:
            check_facts(f"{where}.text", placeholders(sentence), FACTS, faults)
            for name in placeholders(sentence):
                if name in FACTS and FACTS[name].kind == "amount":
                    faults.add(f"{where}.text", f"the amount {{{name}}}", "no amounts of money in a message to a client")
        sure = {*(name for name, fact in FACTS.items() if fact.always), *occasion.when.known, *occasion.when.at_least}
        if not any(set(placeholders(sentence)) <= sure for sentence in occasion.text):
            faults.add(
                f"{where}.text",
                "facts that some clients lack in every sentence",
                f"a sentence with none but {', '.join(sorted(sure))}",
            )
    resting = [occasion.name for _, occasion in plan.occasions if occasion.times == "rest"]
    if len(resting) > 1:
        faults.add(
            f"occasions.{resting[-1]}.times",
            f"`rest` for {', '.join(resting)}",
            "`rest` once",
            "What is left can be given to one occasion.",
        )


def _check_rule(where: str, rule: Rule, faults: Faults) -> None:
    check_facts(where, [*rule.known, *rule.unknown, *rule.at_least, *rule.at_most], FACTS, faults)
    for name in (*rule.at_least, *rule.at_most):
        if name in FACTS and FACTS[name].kind not in {"count", "amount"}:
            faults.add(where, f"a bound on {name}", "a fact that is a number")
    # Who is contacted is chosen after the rules have been read.
    if "person" in (*rule.known, *rule.unknown):
        faults.add(where, "a rule on person", "a fact of the client")
