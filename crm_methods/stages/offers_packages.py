"""Which product and service package each client gets, and the sentences of its offer. A room of stage 3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.offers_plan import OffersPlan
from crm_methods.company.plans import Plan
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import STRATEGY_LABELS, segment_label
from crm_methods.engine import as_float, collect
from crm_methods.stages.offers_products import ordered_segments
from crm_methods.stages.offers_profile import nth
from crm_methods.stages.offers_white_space import WhiteSpace
from crm_methods.stages.offers_wording import assigned, part_titles, with_parts

_OF_NEXT: Mapping[str, Any] = {
    "next_product_id": nw.String,
    "next_product": nw.String,
    "next_product_share": nw.Float64,
    "partner_product": nw.String,
    "partner_lift": nw.Float64,
    "peers": nw.Int64,
    "next_margin_share": nw.Float64,
    "expected_revenue": nw.Float64,
    "expected_margin": nw.Float64,
    "uptake_share": nw.Float64,
}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Packages(Answer):
    """The packages of the plan and who gets which.

    ``designed`` (lazy) has one row per client: every fact of the client with ``designed_product_package`` and
    ``designed_service_package``, before any economics. ``mix`` has one row per segment and service package
    (``segment``, ``service_package``, ``title``, ``clients``).
    """

    designed: nw.LazyFrame[Any]
    mix: pd.DataFrame
    segments: tuple[str, ...]


def with_white_space(profile: nw.LazyFrame[Any], white: WhiteSpace | Unanswered) -> nw.LazyFrame[Any]:
    """The clients' profile with the facts of their white space; NULL where there is none, or it could not be found.

    ``expected_revenue`` and ``expected_margin`` are sums over the products proposed to the client, at the uptake of the
    past.
    """
    if isinstance(white, Unanswered):
        return profile.with_columns(*[nw.lit(None, dtype=kind).alias(name) for name, kind in _OF_NEXT.items()])
    products = white.next_products
    names = ["expected_revenue", "expected_margin"] if white.in_margin else ["expected_revenue"]
    sums = products.group_by("client_id").agg(*[nw.col(name).sum() for name in names])
    if not white.in_margin:
        sums = sums.with_columns(nw.lit(None, dtype=nw.Float64).alias("expected_margin"))
    first = products.filter(nw.col("place") == 1).select(
        "client_id",
        nw.col("product_id").alias("next_product_id"),
        nw.col("product").alias("next_product"),
        nw.col("probability").alias("next_product_share"),
        "partner_product",
        "partner_lift",
        "peers",
        "uptake_share",
        nw.when(nw.col("buyer_revenue") > 0).then(nw.col("buyer_margin") / nw.col("buyer_revenue")).alias("next_margin_share"),
    )
    return profile.join(first, on="client_id", how="left").join(sums, on="client_id", how="left")


@answers("offers.packages")
def packages(settings: Company, plan: Plan[OffersPlan], known: nw.LazyFrame[Any]) -> Packages:
    """Give every client the first product package and the first service package whose rule it fits.

    Parameters
    ----------
    plan
        The company's offers.yml or the kit's default.
    known
        One row per client with its facts, from ``with_white_space``.
    """
    designed = known.with_columns(
        assigned(plan.content.product_packages).alias("designed_product_package"),
        assigned(plan.content.service_packages).alias("designed_service_package"),
    )
    pairs = ["segment", "strategy", "designed_product_package", "designed_service_package"]
    counts = collect(designed.group_by(*pairs).agg(nw.len().alias("clients")))
    segments = ordered_segments(counts["segment"].tolist())
    mix = _mix(counts, plan.content, segments)
    return Packages(
        sentence=_sentence(counts, plan),
        table=_table(counts, plan.content, segments),
        caption=f"Packages by design, before their economics ({plan.origin}); service promises in elapsed hours",
        labels={
            "product_package": "Product package",
            "service_package": "Service package",
            "response_hours": "Answer within, hours",
            "resolve_hours": "Solution within, hours",
            "contacts_per_year": "Contacts a year",
        },
        designed=designed,
        mix=mix,
        segments=segments,
    )


def offer_texts(clients: nw.LazyFrame[Any], plan: OffersPlan, settings: Company) -> nw.LazyFrame[Any]:
    """Add ``product_text``, ``service_text`` and ``text``: each client's offer in sentences.

    Parameters
    ----------
    clients
        One row per client with every fact, ``product_package`` and ``service_package``.
    """
    named = with_parts(clients, plan, settings.currency)
    joined = {
        part: nw.concat_str(
            [nw.col(name) for name in part_titles(plan) if name.split("_")[1] == part], separator=" ", ignore_nulls=True
        )
        for part in ("product", "service")
    }
    return named.with_columns(joined["product"].alias("product_text"), joined["service"].alias("service_text")).with_columns(
        nw.concat_str([nw.col("product_text"), nw.col("service_text")], separator=" ").alias("text")
    )


@answers("offers.packages")
def examples(settings: Company, plan: Plan[OffersPlan], clients: nw.LazyFrame[Any], count: int = 3) -> Answer | Unanswered:
    """Whole offers of a few clients that differ: per strategy the one with the largest revenue, open problems first.

    Parameters
    ----------
    clients
        One row per client with every fact, ``product_package`` and ``service_package``.
    """
    parts = part_titles(plan.content)
    order = nw.when((nw.col("open_requests") > 0).fill_null(False)).then(nw.lit(0)).otherwise(nw.lit(1))
    ranked = clients.with_columns(order.alias("calm"), (-as_float("revenue")).alias("descending"))
    best = ranked.with_columns(nth(["strategy"], ["calm", "descending", "client_id"]).alias("place"))
    few = (
        collect(best.filter(nw.col("place") <= count), max_rows=100).sort_values(["place", "descending", "client_id"]).head(count)
    )
    if few.empty:
        return Unanswered("offers.packages", "there is no client.")
    rows = collect(with_parts(nw.from_native(few).lazy(), plan.content, settings.currency))
    table = pd.DataFrame(
        [
            {"client": row["client"], "about": title, "offer": row[name]}
            for row in rows.to_dict("records")
            for name, title in parts.items()
            if isinstance(row[name], str)
        ]
    )
    described = [_described(row) for row in rows.to_dict("records")]
    return Answer(
        sentence=f"{'An example' if len(rows) == 1 else 'Examples'}, each put together from the client's own rows: "
        f"{'; '.join(described)}.",
        table=table,
        caption=f"The whole offer of {formats.plural(len(rows), 'client')}; those of all clients are in the table client_offers",
        labels={"about": "Part of the offer", "offer": "What we offer"},
    )


def _described(row: Mapping[str, Any]) -> str:
    known = [str(row[name]) for name in ("size", "industry") if isinstance(row[name], str)]
    strategy = STRATEGY_LABELS.get(str(row["strategy"]), "no strategy").lower()
    return f"{row['client']} ({', '.join(known)}; {segment_label(str(row['segment'])).lower()}, {strategy})"


def _mix(counts: pd.DataFrame, plan: OffersPlan, segments: tuple[str, ...]) -> pd.DataFrame:
    mix = counts.groupby(["segment", "designed_service_package"], as_index=False)["clients"].sum()
    mix = mix.rename(columns={"designed_service_package": "service_package"})
    mix = mix.assign(title=[plan.service(name).title for name in mix["service_package"]])
    return mix.sort_values(
        "segment", key=lambda s: s.map({name: i for i, name in enumerate(segments)}), kind="stable", ignore_index=True
    )


def _table(counts: pd.DataFrame, plan: OffersPlan, segments: tuple[str, ...]) -> pd.DataFrame:
    place = {name: i for i, name in enumerate(segments)}
    rows = counts.assign(order=counts["segment"].map(place)).sort_values(
        ["order", "clients", "designed_product_package", "designed_service_package"], ascending=[True, False, True, True]
    )
    service = [plan.service(name) for name in rows["designed_service_package"]]
    return pd.DataFrame(
        {
            "segment": rows["segment"].to_numpy(),
            "strategy": rows["strategy"].to_numpy(),
            "product_package": [plan.product(name).title for name in rows["designed_product_package"]],
            "service_package": [package.title for package in service],
            "clients": rows["clients"].to_numpy(),
            "response_hours": [package.response_hours for package in service],
            "resolve_hours": [package.resolve_hours for package in service],
            "contacts_per_year": [package.contacts_per_year for package in service],
            "channels": [formats.join(package.channels) for package in service],
        }
    )


def _sentence(counts: pd.DataFrame, plan: Plan[OffersPlan]) -> str:
    clients = int(counts["clients"].sum())
    if not clients:
        return "There is no client to give a package to."
    content = plan.content
    products, services = (
        [
            (package.title, int(counts.loc[counts[f"designed_{what}_package"] == package.name, "clients"].sum()))
            for package in packages
        ]
        for what, packages in (("product", content.product_packages), ("service", content.service_packages))
    )
    said = [formats.join([f"{title} {formats.plural(n, 'client')}" for title, n in group if n]) for group in (products, services)]
    return (
        f"By design ({plan.origin}), product packages: {said[0]}; service packages: {said[1]}. Each of the "
        f"{formats.plural(clients, 'client')} has exactly one of each."
    )
