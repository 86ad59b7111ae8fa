"""offers.yml: product packages, service packages and the modules that make an offer a client's own.

A package has the first fitting rule (``when``) of its list, and the last one has none, so that
every client gets exactly one product and one service package. Modules add to them: every module
whose condition holds, and whose facts are all known for the client, joins the offer.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from crm_methods import formats
from crm_methods.company.plans import Plan, filled, read_plan
from crm_methods.company.settings import Settings, Share, Strategy
from crm_methods.company.wording import Fact, check_facts, placeholders
from crm_methods.errors import Faults, SettingsError, did_you_mean

NotNegative = Annotated[float, Field(ge=0)]


FACTS: Mapping[str, Fact] = {
    "client": Fact("text", "name of the client, or its id", always=True),
    "segment_label": Fact("text", "its segment, as the reader calls it", always=True),
    "strategy_label": Fact("text", "its strategy, as the reader calls it", always=True),
    "size": Fact("text", "large, medium or small", always=True),
    "deals": Fact("count", "deals won in the period", always=True),
    "revenue": Fact("money", "revenue of the period", always=True),
    "account_owner": Fact("text", "who is responsible for the client; the plan's role where a large client has nobody"),
    "industry": Fact("text", "line of business"),
    "territory": Fact("text", "territory"),
    "complementary_solutions": Fact("text", "what the client runs beside our products"),
    "mean_deal_revenue": Fact("money", "revenue of a won deal of the period, on average"),
    "days_since_last_deal": Fact("count", "days from the last won deal to the as-of day"),
    "mean_gap_days": Fact("count", "mean days between the client's deals; known from three days of purchase on"),
    "gaps_since_last_deal": Fact("decimal", "days since the last deal over the mean gap"),
    "margin": Fact("money", "margin of the period"),
    "cost_to_serve": Fact("money", "cost to serve in the period"),
    "main_product": Fact("text", "product with the largest revenue, all years"),
    "main_product_share": Fact("share", "its share of the client's revenue from products"),
    "second_product": Fact("text", "product with the second largest revenue"),
    "next_product": Fact("text", "first product of the client's white space"),
    "next_product_share": Fact("share", "share of comparable clients that have it"),
    "partner_product": Fact("text", "product the client has and that goes together with the next one"),
    "partner_lift": Fact("decimal", "how many times as often clients with the partner product have the next one, among peers"),
    "peers": Fact("count", "clients of the same segment and line of business"),
    "trend_category": Fact("text", "product line that grew most in the client's line of business"),
    "trend_growth_share": Fact("share", "growth of that line's revenue against the period before"),
    "requests": Fact("count", "service requests and complaints of the period"),
    "frequent_topic": Fact("text", "topic of most requests of the period"),
    "frequent_topic_requests": Fact("count", "requests on that topic"),
    "open_requests": Fact("count", "requests and complaints of the period not yet solved"),
    "open_topic": Fact("text", "topic of the oldest of them"),
    "open_days": Fact("count", "days since it came"),
}
"""Facts of a client by name; conditions and texts may use no others."""


class Condition(Settings):
    """When a rule applies: every key given must hold; lists mean "one of", whatever the case of the letters."""

    segment: list[str] = Field(default_factory=list)
    strategy: list[Strategy] = Field(default_factory=list)
    state: list[str] = Field(default_factory=list)
    industry: list[str] = Field(default_factory=list)
    territory: list[str] = Field(default_factory=list)
    size: list[Literal["large", "medium", "small"]] = Field(default_factory=list)
    complementary_solutions: Literal["any"] | list[str] = Field(default_factory=list)
    product_package: list[str] = Field(default_factory=list)
    service_package: list[str] = Field(default_factory=list)
    has_open_request: bool | None = None
    known: list[str] = Field(default_factory=list)
    unknown: list[str] = Field(default_factory=list)
    at_least: dict[str, float] = Field(default_factory=dict)
    at_most: dict[str, float] = Field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether it holds for every client."""
        return self == Condition()


class Package(Settings):
    """What product and service packages share: a name, a rule, what simpler package may replace it, a cost and a text."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: Annotated[str, Field(min_length=1)]
    when: Condition = Condition()
    downgrade_to: str | None = None
    available_from: dt.date | None = None
    cost_per_year: NotNegative = 0.0
    text: Annotated[str, Field(min_length=1)]

    @property
    def wording(self) -> str:
        """The text with the package's own terms filled in; facts of the client stay open."""
        return filled(self.text, {"title": self.title, **self.terms})

    @property
    def terms(self) -> Mapping[str, str]:
        """The package's own terms that its text may name."""
        return {}


class ProductPackage(Package):
    """What is sold: standard, modified, new, or developed to order.

    ``adaptation_share`` is what adapting the products costs, as a share of the revenue they bring;
    ``discount_share`` is granted on the products of the client's white space. ``uptake_multiple`` is an assumption: how many
    times as often such a proposal is taken up as clients buy the same products unasked.
    """

    made: Literal["standard", "modified", "new", "to_order"] = "standard"
    adaptation_share: Share = 0.0
    discount_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    uptake_multiple: Annotated[float, Field(ge=1, le=20)] = 1.0

    @property
    def terms(self) -> Mapping[str, str]:
        """The discount in words."""
        return {"discount": formats.share(self.discount_share)}


class ServicePackage(Package):
    """How the client is served: level, variety, exclusivity.

    ``channels`` stand in order of preference; reviews go by the first, other contacts by the second.
    ``keeps_share`` is an assumption: the share of the client's yearly margin that this level keeps and the simplest would lose.
    ``extras_share`` is what the exclusive extras cost, as a share of the client's yearly revenue.
    """

    level: Annotated[int, Field(ge=1, le=3)] = 1
    response_hours: Annotated[float, Field(gt=0)]
    resolve_hours: Annotated[float, Field(gt=0)]
    channels: Annotated[list[str], Field(min_length=1)]
    skill: Annotated[str, Field(min_length=1)]
    contacts_per_year: NotNegative = 0.0
    reviews_per_year: NotNegative = 0.0
    extras: list[str] = Field(default_factory=list)
    extras_share: Share = 0.0
    keeps_share: Share = 0.0

    @property
    def terms(self) -> Mapping[str, str]:
        """Hours, channels, contacts and extras in words."""
        return {
            "response_hours": formats.plural(self.response_hours, "hour"),
            "resolve_hours": formats.plural(self.resolve_hours, "hour"),
            "channels": formats.join(self.channels, "or"),
            "first_channel": self.channels[0],
            "skill": self.skill,
            "contacts": formats.plural(self.contacts_per_year, "planned contact"),
            "reviews": formats.plural(self.reviews_per_year, "review"),
            "extras": formats.join(self.extras) or "no extras",
        }


class Module(Settings):
    """One thing that joins the offer of every client it fits; ``cost_share`` is of the client's yearly revenue."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    part: Literal["product", "service"]
    title: Annotated[str, Field(min_length=1)]
    when: Condition = Condition()
    text: Annotated[str, Field(min_length=1)]
    cost_per_year: NotNegative = 0.0
    cost_share: Share = 0.0


class OffersPlan(Settings):
    """Everything offers.yml says.

    ``large_multiple``: without a size class, a client is large when its revenue is that many times the mean
    of buying clients, and small when it is below the mean.
    """

    account_owner_role: Annotated[str, Field(min_length=1)] = "key account manager (to be named)"
    large_multiple: Annotated[float, Field(gt=1)] = 5.0
    product_packages: Annotated[list[ProductPackage], Field(min_length=1)]
    service_packages: Annotated[list[ServicePackage], Field(min_length=1)]
    modules: list[Module] = Field(default_factory=list)

    def product(self, name: str) -> ProductPackage:
        """The product package of that name."""
        return next(p for p in self.product_packages if p.name == name)

    def service(self, name: str) -> ServicePackage:
        """The service package of that name."""
        return next(p for p in self.service_packages if p.name == name)


def read_offers(company_folder: Path) -> Plan[OffersPlan]:
    """The company's offers.yml, or the kit's default, checked.

    Raises
    ------
    SettingsError
        An unknown key, wrong type, unknown fact, a rule list that leaves a client out, or a
        downgrade that leads nowhere; all faults of one kind together.
    """
    plan = read_plan(company_folder, "offers", OffersPlan)
    faults = Faults()
    check_rules(plan.content, faults)
    faults.raise_if_any(SettingsError, f"offers.yml ({plan.origin}) can't be used as it is:")
    return plan


def check_rules(plan: OffersPlan, faults: Faults) -> None:
    """Note what a schema can't see: facts that do not exist, clients left out, downgrades in a circle."""
    lists: tuple[tuple[str, Sequence[Package]], ...] = (
        ("product_packages", plan.product_packages),
        ("service_packages", plan.service_packages),
    )
    for place, packages in lists:
        _check_cover(place, packages, faults)
        _check_downgrades(place, packages, faults)
        for package in packages:
            where = f"{place}.{package.name}"
            _check_condition(where, package.when, plan, faults)
            check_facts(f"{where}.text", placeholders(package.wording), FACTS, faults)
            for name in placeholders(package.wording):
                if name in FACTS and not FACTS[name].always:
                    faults.add(
                        f"{where}.text",
                        f"{{{name}}}, which is not known of every client",
                        f"one of {', '.join(n for n, f in FACTS.items() if f.always)}",
                        "Put it into a module.",
                    )
    for service in plan.service_packages:
        if service.reviews_per_year > service.contacts_per_year:
            faults.add(
                f"service_packages.{service.name}.reviews_per_year",
                f"{service.reviews_per_year:g}",
                f"at most the {service.contacts_per_year:g} contacts_per_year, of which reviews are a part",
            )
    names = [module.name for module in plan.modules]
    for name in sorted({n for n in names if names.count(n) > 1}):
        faults.add(f"modules.{name}", "two modules of one name", "one")
    for module in plan.modules:
        _check_condition(f"modules.{module.name}", module.when, plan, faults)
        check_facts(f"modules.{module.name}.text", placeholders(module.text), FACTS, faults)


def chain(packages: Sequence[Package], name: str) -> tuple[str, ...]:
    """A package and those it may be downgraded to, in order."""
    by_name = {package.name: package for package in packages}
    steps = [name]
    while (following := by_name[steps[-1]].downgrade_to) is not None and following not in steps:
        steps.append(following)
    return tuple(steps)


def _check_cover(place: str, packages: Sequence[Package], faults: Faults) -> None:
    names = [package.name for package in packages]
    for name in sorted({n for n in names if names.count(n) > 1}):
        faults.add(f"{place}.{name}", "two packages of one name", "one")
    for package in packages[:-1]:
        if package.when.is_empty:
            faults.add(
                f"{place}.{package.name}",
                "no condition before the last package",
                "a `when`",
                "What follows would never be given.",
            )
    if not packages[-1].when.is_empty:
        faults.add(f"{place}.{names[-1]}", "a condition on the last package", "none", "It is for all clients that no rule fits.")


def _check_downgrades(place: str, packages: Sequence[Package], faults: Faults) -> None:
    names = {package.name: package for package in packages}
    for package in packages:
        target = package.downgrade_to
        if target is not None and target not in names:
            faults.add(
                f"{place}.{package.name}.downgrade_to", f'"{target}"', f"one of {', '.join(names)}", did_you_mean(target, names)
            )
    if any(p.downgrade_to is not None and p.downgrade_to not in names for p in packages):
        return
    for package in packages:
        last = names[chain(packages, package.name)[-1]]
        if last.downgrade_to is not None:
            faults.add(f"{place}.{package.name}.downgrade_to", "a circle", "a last package without downgrade_to")


def _check_condition(where: str, condition: Condition, plan: OffersPlan, faults: Faults) -> None:
    facts = [*condition.known, *condition.unknown, *condition.at_least, *condition.at_most]
    check_facts(f"{where}.when", facts, FACTS, faults)
    for name in (*condition.at_least, *condition.at_most):
        if name in FACTS and FACTS[name].kind == "text":
            faults.add(f"{where}.when", f"a bound on the text {name}", "a fact that is a number")
    known: dict[str, Iterable[Any]] = {
        "product_package": [p.name for p in plan.product_packages],
        "service_package": [p.name for p in plan.service_packages],
    }
    for key, options in known.items():
        for name in getattr(condition, key):
            if name not in options:
                faults.add(f"{where}.when.{key}", f'"{name}"', f"one of {', '.join(options)}", did_you_mean(name, options))
