"""What stage 3 leaves behind: its tables with a row per segment or coarser, and its conclusion. A room of stage 3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Check, Conclusion, Headline, Result, Unanswered
from crm_methods.company.offers_plan import OffersPlan
from crm_methods.company.plans import Plan
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import segment_label
from crm_methods.engine import as_float, collect
from crm_methods.stages.offers_economics import Economics
from crm_methods.stages.offers_products import GoesTogether, Penetration, ordered_segments
from crm_methods.stages.offers_white_space import WhiteSpace

_CENT = 0.01


def tables(
    bought: Penetration | Unanswered, together: GoesTogether | Unanswered, offers: nw.LazyFrame[Any], plan: Plan[OffersPlan]
) -> dict[str, Result]:
    """The stage's tables; those of products have no rows where the questions could not be answered.

    Parameters
    ----------
    offers
        The table client_offers.
    """
    products, pairs = _product_tables(bought, together)
    mix = ("segment", "strategy", "product_package", "service_package")
    return {
        "product_penetration": Result(products, "one row per segment and product", ("segment", "product_id")),
        "product_pairs": Result(pairs, "one row per ordered pair of products with support", ("product_id", "with_product_id")),
        "segment_packages": Result(segment_packages(offers, plan), "one row per segment", ("segment",)),
        "package_mix": Result(package_mix(offers), "one row per segment, strategy and pair of packages", mix),
        "service_packages": Result(service_catalogue(plan), "one row per service package of the plan", ("service_package",)),
    }


def conclusion(
    settings: Company,
    plan: Plan[OffersPlan],
    offers: nw.LazyFrame[Any],
    client_segments: nw.LazyFrame[Any],
    economics: Economics | Unanswered,
    white: WhiteSpace | Unanswered,
    *others: Answer | Unanswered,
) -> Conclusion:
    """Findings in order of weight, the headline, checks, and the packages as the decision.

    Parameters
    ----------
    offers, client_segments
        The tables of that name, one row per client.
    others
        Answers whose sentences are findings too.
    """
    spoken = [answer.sentence for answer in (economics, white, *others) if not isinstance(answer, Unanswered)]
    return Conclusion(
        findings=tuple(spoken),
        headlines=tuple(_headlines(settings, economics, plan)),
        checks=(*_checks(offers, client_segments, plan), *_identity(economics)),
        decision=_decision(segment_packages(offers, plan), plan),
    )


def _headlines(settings: Company, economics: Economics | Unanswered, plan: Plan[OffersPlan]) -> list[Headline]:
    if isinstance(economics, Unanswered):
        return []
    gain, cost = float(economics.table["net_gain"].sum()), float(economics.table["offer_cost"].sum())
    return [
        Headline(
            key="offers_net_gain",
            label="Net gain of the offers, a year",
            text=formats.money_short(gain, settings.currency),
            value=gain,
            note=f"at a cost of {formats.money_short(cost, settings.currency)}; what service keeps is an assumption "
            f"({plan.origin})",
        )
    ]


def _identity(economics: Economics | Unanswered) -> list[Check]:
    if isinstance(economics, Unanswered):
        return []
    sums = economics.table[["expected_margin", "kept_margin", "offer_cost", "net_gain"]].sum()
    off = sums["expected_margin"] + sums["kept_margin"] - sums["offer_cost"] - sums["net_gain"]
    return [
        Check(
            name="Margin of proposed products + margin kept − cost = net gain",
            passed=bool(abs(off) < _CENT),
            detail=f"the two sides are {formats.number(off, 2)} apart",
        )
    ]


def segment_packages(offers: nw.LazyFrame[Any], plan: Plan[OffersPlan]) -> pd.DataFrame:
    """The packages of each segment: those that most of its clients are offered, with the terms later stages plan by.

    Parameters
    ----------
    offers
        The table client_offers.

    Returns
    -------
    pandas.DataFrame
        One row per segment: ``segment``, ``strategy``, ``product_package``, ``service_package`` (ties go to the
        plan's order), ``clients``,
        ``product_clients`` and ``service_clients`` (that have them), ``offer_cost``, ``expected_margin``,
        ``net_gain`` (sums over its
        clients, NULL when unknown), ``service_level``, ``response_hours``, ``resolve_hours`` (elapsed hours),
        ``channel`` (the first), ``channels``
        (in order, joined by ", "), ``skill``, ``contacts_per_year``, ``reviews_per_year``, ``extras``, ``available_on``.
    """
    rows = []
    mix = package_mix(offers)
    for segment in ordered_segments(mix["segment"].unique().tolist()):
        own = mix[mix["segment"] == segment]
        product, product_clients = _most(own, "product_package", [p.name for p in plan.content.product_packages])
        service, service_clients = _most(own, "service_package", [p.name for p in plan.content.service_packages])
        package = plan.content.service(service)
        starts = [d for d in (package.available_from, plan.content.product(product).available_from) if d is not None]
        rows.append(
            {
                "segment": segment,
                "strategy": _most(own, "strategy", sorted(own["strategy"].dropna().unique()))[0],
                "product_package": product,
                "service_package": service,
                "clients": int(own["clients"].sum()),
                "product_clients": product_clients,
                "service_clients": service_clients,
                **{name: own[name].sum(min_count=1) for name in ("offer_cost", "expected_margin", "net_gain")},
                "service_level": package.level,
                "response_hours": package.response_hours,
                "resolve_hours": package.resolve_hours,
                "channel": package.channels[0],
                "channels": ", ".join(package.channels),
                "skill": package.skill,
                "contacts_per_year": package.contacts_per_year,
                "reviews_per_year": package.reviews_per_year,
                "extras": ", ".join(package.extras),
                "available_on": pd.Timestamp(max(starts)) if starts else pd.NaT,
            }
        )
    return pd.DataFrame(rows).astype({"available_on": "datetime64[us]", "strategy": "str"})


def package_mix(offers: nw.LazyFrame[Any]) -> pd.DataFrame:
    """Clients, cost and gain per segment, strategy and pair of packages as offered."""
    keys = ["segment", "strategy", "product_package", "service_package"]
    sums = [as_float(name).sum().alias(name) for name in ("offer_cost", "expected_margin", "net_gain")]
    known = [
        (~nw.col(name).is_null()).cast(nw.Int64).sum().alias(f"{name}_known")
        for name in ("offer_cost", "expected_margin", "net_gain")
    ]
    mix = collect(offers.group_by(*keys).agg(nw.len().alias("clients"), *sums, *known))
    for name in ("offer_cost", "expected_margin", "net_gain"):
        mix = mix.assign(**{name: mix[name].where(mix[f"{name}_known"] > 0)})
    return mix.drop(columns=[c for c in mix.columns if c.endswith("_known")]).sort_values(keys, ignore_index=True)


def _most(rows: pd.DataFrame, column: str, order: Sequence[str]) -> tuple[str, int]:
    """The package most clients have, and how many; ties go to the first in ``order``."""
    clients = rows.groupby(column)["clients"].sum().reindex(list(order)).dropna()
    return (str(clients.idxmax()), int(clients.max())) if len(clients) else ("", 0)


def service_catalogue(plan: Plan[OffersPlan]) -> pd.DataFrame:
    """Every service package of the plan with its terms, one row each: what stages 4 and 5 look up by a client's package."""
    return pd.DataFrame(
        [
            {
                "service_package": p.name,
                "title": p.title,
                "service_level": p.level,
                "response_hours": p.response_hours,
                "resolve_hours": p.resolve_hours,
                "channels": ", ".join(p.channels),
                "skill": p.skill,
                "contacts_per_year": p.contacts_per_year,
                "reviews_per_year": p.reviews_per_year,
                "extras": ", ".join(p.extras),
                "extras_share": p.extras_share,
                "keeps_share": p.keeps_share,
                "cost_per_year": p.cost_per_year,
                "origin": plan.origin,
            }
            for p in plan.content.service_packages
        ]
    )


def _product_tables(bought: Penetration | Unanswered, together: GoesTogether | Unanswered) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables product_penetration and product_pairs; without rows where the questions could not be answered."""
    text, count, share = "str", "int64", "float64"
    products = {
        "segment": text,
        "product_id": text,
        "product": text,
        "category": text,
        "clients": count,
        "buyers": count,
        "penetration_share": share,
        "low_share": share,
        "high_share": share,
        "ever_buyers": count,
        "ever_share": share,
    }
    pairs = {
        "product_id": text,
        "with_product_id": text,
        "product": text,
        "with_product": text,
        "both_clients": count,
        "buyers": count,
        "with_buyers": count,
        "lift": share,
        "lift_low": share,
        "lift_high": share,
        "p_value": share,
        "q_value": share,
        "lift_among_peers": share,
        "peers_q_value": share,
        "goes_together": "bool",
    }
    empty = [pd.DataFrame({c: pd.Series(dtype=kind) for c, kind in columns.items()}) for columns in (products, pairs)]
    first = bought.products[list(products)] if isinstance(bought, Penetration) else empty[0]
    second = together.pairs[list(pairs)] if isinstance(together, GoesTogether) else empty[1]
    return first, second


def _decision(by_segment: pd.DataFrame, plan: Plan[OffersPlan]) -> str:
    """What the stage decides: the packages that most clients of each segment are offered."""
    said = [
        f"{segment_label(row.segment)}: {plan.content.product(row.product_package).title} with "
        f"{plan.content.service(row.service_package).title} service"
        for row in by_segment.itertuples()
    ]
    return f"Offers by segment ({plan.origin}): {'; '.join(said)}." if said else "There is no client to decide for."


def _checks(offers: nw.LazyFrame[Any], client_segments: nw.LazyFrame[Any], plan: Plan[OffersPlan]) -> tuple[Check, ...]:
    """What must hold of the offers."""
    counted = (
        collect(
            offers.with_columns(
                ((nw.col("size") == "large") & nw.col("account_owner").is_null()).cast(nw.Int64).alias("ownerless"),
                (nw.col("account_owner") == plan.content.account_owner_role).fill_null(False).cast(nw.Int64).alias("by_role"),
                (nw.col("product_package").is_null() | nw.col("service_package").is_null()).cast(nw.Int64).alias("bare"),
                nw.col("text").is_null().cast(nw.Int64).alias("wordless"),
            ).select(
                nw.len().alias("rows"),
                nw.col("client_id").n_unique().alias("clients"),
                nw.col("ownerless").sum(),
                nw.col("by_role").sum(),
                nw.col("bare").sum(),
                nw.col("wordless").sum(),
            )
        )
        .fillna(0)
        .astype("int64")
        .iloc[0]
    )
    base = int(collect(client_segments.select(nw.len().alias("n")))["n"].iloc[0])
    return (
        Check(
            name="One base package for every client",
            passed=bool(counted["rows"] == counted["clients"] == base and not counted["bare"] and not counted["wordless"]),
            detail=f"{formats.plural(counted['rows'], 'offer')} for {formats.plural(base, 'client')}",
        ),
        Check(
            name="Every large client has an account owner",
            passed=not counted["ownerless"],
            detail=f"{formats.plural(counted['by_role'], 'large client')} without a person: the role "
            f"{plan.content.account_owner_role} stands in",
        ),
    )
