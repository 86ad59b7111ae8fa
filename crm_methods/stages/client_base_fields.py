"""Stage 1, fourth room: what should be known of every client, and what is, client by client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw

from crm_methods.company.contracts import TABLES, Column
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import current_period, within
from crm_methods.company.questions import QUESTIONS
from crm_methods.company.settings import Company

BLOCKS: Mapping[str, str] = {"contact": "Contact", "commercial": "Commercial", "deals": "Deals", "interactions": "Interactions"}
"""The four blocks of information of the method."""

AT_LEAST_ONE = "(at least one)"
WHOLE_TABLE = "(the whole table)"


@dataclass(frozen=True, slots=True)
class Field:
    """Something we should know of every client.

    It is known in a row when one of ``columns`` has a value there. ``exists`` asks only whether the client has
    a row at all. ``only`` names a column and the values of it among which the field makes sense.
    """

    block: str
    table: str
    columns: tuple[str, ...]
    exists: bool = False
    only: tuple[str, tuple[str, ...]] = ("", ())

    @property
    def key(self) -> str:
        """Its column in the table of one row per client."""
        return f"{self.table}__{self.columns[0].rstrip('*_')}"

    @property
    def column(self) -> str:
        """Its columns in words."""
        return AT_LEAST_ONE if self.exists else " or ".join(self.columns)

    @property
    def name(self) -> str:
        """Its place in the canonical tables."""
        return place_of(self.table, self.column)

    @property
    def questions(self) -> tuple[str, ...]:
        """The questions, asked by some notebook, that it serves."""
        served = [q for name in self.columns if (c := TABLES[self.table].column(name)) for q in c.questions]
        return asked(served)


def place_of(table: str, column: str) -> str:
    """A table's column, or a whole or a single row of it, in words."""
    return f"{table} {column}" if column in {AT_LEAST_ONE, WHOLE_TABLE} else f"{table}.{column}"


def in_words(place: str) -> str:
    """A column's place for a reader who does not know the tables, with the place itself to look up."""
    table, dot, column = place.partition(".")
    if not dot:
        return place
    return f"{column.removesuffix('_*').replace('_', ' ')} of {table.replace('_', ' ')} ({place})"


def _fields(block: str, table: str, *columns: str) -> tuple[Field, ...]:
    return tuple(Field(block, table, tuple(column.split("|"))) for column in columns)


_SERVICE = ("kind", ("service", "complaint"))
FIELDS: tuple[Field, ...] = (
    *_fields("contact", "clients", "name", "tax_id", "email", "phone", "address"),
    Field("contact", "contact_persons", ("name",), exists=True),
    *_fields("contact", "contact_persons", "role", "email", "phone", "preferred_channel", "consent_*"),
    *_fields("commercial", "clients", "industry", "territory", "employees|turnover", "complementary_solutions", "owner", "since"),
    *_fields("deals", "deals", "closed_on", "amount", "opened_on", "cost|margin", "terms", "distribution_channel", "owner"),
    Field("deals", "deals", ("loss_reason",), only=("status", ("lost",))),
    Field("deals", "deal_lines", ("product_id",)),
    Field("interactions", "interactions", ("interaction_id",), exists=True),
    *_fields("interactions", "interactions", "person_id", "channel", "direction", "initiative", "kind", "topic"),
    *_fields("interactions", "interactions", "department", "skill", "handling_minutes"),
    Field("interactions", "interactions", ("first_response_at",), only=_SERVICE),
)
"""What the four blocks hold. Columns that are rightly empty for many clients (parent, referral, end of contract) are no gaps."""


def filled_fields(data: Canonical, settings: Company, facts: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Which fields are filled, client by client.

    Deals and interactions are those of the period. A client without a contact person lacks what persons have; one
    without deals or contacts has no answer (NULL) on how they are recorded.

    Parameters
    ----------
    data, settings
        The company.
    facts
        ``client_facts``.

    Returns
    -------
    narwhals.LazyFrame
        Key ``client_id``; ``name``, ``owner``, ``industry``, ``size_class``, ``revenue`` of the period and one column
        per field (``<table>__<column>``) with the share (0–1) of the client's rows in which it is known.
    """
    wide = facts.select("client_id", "name", "owner", "industry", "size_class", "revenue")
    for table in dict.fromkeys(field.table for field in FIELDS):
        fields = [field for field in FIELDS if field.table == table]
        wide = wide.join(_filled_in(data, settings, table, fields), on="client_id", how="left")
    # A client without rows of these tables lacks what they hold; elsewhere there is nothing to be filled.
    lacking = [f.key for f in FIELDS if f.exists or f.table == "contact_persons"]
    return wide.with_columns(*[nw.col(key).fill_null(0.0) for key in lacking])


def asked(questions: Sequence[str]) -> tuple[str, ...]:
    """Questions that some notebook asks; that of the reconciliation only needs the ids."""
    return tuple(q for q in dict.fromkeys(questions) if not QUESTIONS[q].planned and q != "client_base.reconciliation")


def _filled_in(data: Canonical, settings: Company, table: str, fields: Sequence[Field]) -> nw.LazyFrame[Any]:
    """Per client, the share of its rows in ``table`` in which each field is known."""
    rows, there = data.scan(table), set(data.scan(table).collect_schema().names())
    on = {"deals": "closed_on", "interactions": "started_at"}.get(table)
    if table == "deal_lines":
        lines = rows.select("deal_id").unique().with_columns(product_id=nw.lit("known"))
        won = data.scan("deals").filter(nw.col("status") == "won").select("deal_id", "client_id", "closed_on")
        rows = won.join(lines, on="deal_id", how="left")
        on, there = "closed_on", {"product_id"}
    if on is not None and data.has("deals" if table == "deal_lines" else table, on):
        rows = rows.filter(within(on, current_period(settings)))
    marks: dict[str, nw.Expr] = {}
    for field in fields:
        applies = _applies(field)
        marks[f"n_{field.key}"] = nw.when(applies).then(1.0).otherwise(0.0)
        marks[f"k_{field.key}"] = nw.when(applies & _known(field, there, settings)).then(1.0).otherwise(0.0)
    summed = rows.with_columns(**marks).group_by("client_id").agg(*[nw.col(name).sum() for name in marks])
    return summed.select("client_id", *[_share_of(field).alias(field.key) for field in fields])


def _applies(field: Field) -> nw.Expr:
    column, values = field.only
    return nw.col(column).is_in(list(values)) if column else nw.lit(True)


def _known(field: Field, there: set[str], settings: Company) -> nw.Expr:
    if field.exists:
        return nw.lit(True)
    columns = [c for name in field.columns for c in sorted(there) if Column(name, "text", "").covers(c)]
    # With margin_share every deal has a margin, yet nobody has recorded one.
    columns = [c for c in columns if not (c == "margin" and settings.margin_share is not None)]
    known = nw.lit(False)
    for column in columns:
        known = known | ~nw.col(column).is_null()
    return known


def _share_of(field: Field) -> nw.Expr:
    known, rows = nw.col(f"k_{field.key}"), nw.col(f"n_{field.key}")
    if field.table == "contact_persons":
        # Of a client's several persons one is enough.
        return nw.when(known > 0).then(1.0).otherwise(0.0)
    return nw.when(rows > 0).then(known / nw.when(rows > 0).then(rows).otherwise(1.0))
