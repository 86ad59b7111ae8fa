"""Stage 3: which products and which service each client gets, at what cost, worth how much.

The rooms of the stage answer its questions; what they found is put together here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods.company.answers import Unanswered
from crm_methods.company.offers_plan import OffersPlan
from crm_methods.company.plans import Plan
from crm_methods.company.settings import Company
from crm_methods.stages.offers_economics import Economics, discounts, economics
from crm_methods.stages.offers_packages import Packages, examples, offer_texts, packages, with_white_space
from crm_methods.stages.offers_products import goes_together, penetration
from crm_methods.stages.offers_profile import client_products, client_profile
from crm_methods.stages.offers_white_space import WhiteSpace, white_space

__all__ = [
    "client_offers",
    "client_products",
    "client_profile",
    "discounts",
    "economics",
    "examples",
    "found",
    "goes_together",
    "next_product_table",
    "offered",
    "packages",
    "penetration",
    "rebased",
    "white_space",
    "with_white_space",
]

_UNKNOWN: dict[str, Any] = {
    "kept_margin": nw.Float64,
    "contact_cost": nw.Float64,
    "discount_cost": nw.Float64,
    "offer_cost": nw.Float64,
    "net_gain": nw.Float64,
    "break_even_share": nw.Float64,
    "pays": nw.Boolean,
    "within_budget": nw.Boolean,
}
CLIENT_OFFERS = (
    "client_id",
    "segment",
    "strategy",
    "size",
    "product_package",
    "service_package",
    "designed_product_package",
    "designed_service_package",
    "downgraded",
    "account_owner",
    "next_product_id",
    "next_product",
    "next_product_probability",
    "partner_product",
    "expected_revenue",
    "expected_margin",
    "kept_margin",
    "contact_cost",
    "discount_cost",
    "offer_cost",
    "net_gain",
    "break_even_share",
    "pays",
    "within_budget",
    "open_requests",
    "open_topic",
    "product_text",
    "service_text",
    "text",
)
"""Columns of the table client_offers, in order."""


def found(answer: Any) -> Any:
    """The answer, or None where the question could not be answered: for functions that can do without it."""
    return None if isinstance(answer, Unanswered) else answer


def rebased(white: WhiteSpace | Unanswered, written: nw.LazyFrame[Any]) -> WhiteSpace | Unanswered:
    """The same white space read from its written table, so that nothing is worked out twice."""
    return replace(white, next_products=written) if isinstance(white, WhiteSpace) else white


def offered(designed: Packages, economics: Economics | Unanswered) -> nw.LazyFrame[Any]:
    """One row per client with the packages it is offered: after their economics, or as designed where those are not
    known."""
    if isinstance(economics, Economics):
        return economics.offers
    return designed.designed.with_columns(
        nw.col("designed_product_package").alias("product_package"),
        nw.col("designed_service_package").alias("service_package"),
        nw.lit(False).alias("downgraded"),
        *[nw.lit(None, dtype=kind).alias(name) for name, kind in _UNKNOWN.items()],
    )


def client_offers(offers: nw.LazyFrame[Any], plan: Plan[OffersPlan], settings: Company) -> nw.LazyFrame[Any]:
    """The table client_offers: one row per client with packages, next product, economics and the offer in words.

    Parameters
    ----------
    offers
        One row per client, from ``offered``.
    """
    worded = offer_texts(offers, plan.content, settings)
    return worded.with_columns(nw.col("next_product_share").alias("next_product_probability")).select(*CLIENT_OFFERS)


def next_product_table(white: WhiteSpace | Unanswered) -> nw.LazyFrame[Any] | pd.DataFrame:
    """The table next_products: one row per client and product proposed; without rows where the question could not be
    answered."""
    columns = {
        "client_id": "str",
        "place": "int64",
        "product_id": "str",
        "product": "str",
        "category": "str",
        "probability": "float64",
        "partner_product": "str",
        "partner_lift": "float64",
        "peers": "int64",
        "buyer_revenue": "float64",
        "buyer_margin": "float64",
        "uptake_share": "float64",
        "expected_revenue": "float64",
        "expected_margin": "float64",
    }
    if isinstance(white, WhiteSpace):
        return white.next_products.select(*columns)
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})
