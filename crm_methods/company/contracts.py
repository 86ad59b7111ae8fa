"""The canonical tables, declared once.

Intake casts by them, the data dictionary is printed from them, and the sentence
"can't be answered; it could with …" comes from the questions that each column serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from crm_methods.company.questions import QUESTIONS

ColumnType = Literal["text", "integer", "number", "money", "share", "date", "timestamp", "boolean"]
Personal = Literal["name", "email", "phone", "address", "person", "text"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a canonical table.

    A name that ends in ``*`` is a family: every source column with that prefix belongs to it.
    ``personal`` says what kind of personal data it holds, so that it can be pseudonymised.
    """

    name: str
    type: ColumnType
    meaning: str
    questions: tuple[str, ...] = ()
    required: bool = False
    values: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    personal: Personal | None = None

    @property
    def is_family(self) -> bool:
        """Whether the name is a prefix shared by several columns."""
        return self.name.endswith("*")

    def covers(self, column: str) -> bool:
        """Whether a column of this name belongs here."""
        return column.startswith(self.name[:-1]) if self.is_family else column == self.name


@dataclass(frozen=True, slots=True)
class Table:
    """A canonical table: its grain, its key and its columns."""

    name: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    block: str = ""
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(c.name for c in self.columns if not c.is_family))

    def column(self, name: str) -> Column | None:
        """The column, or the family, that ``name`` belongs to."""
        return next((c for c in self.columns if c.covers(name)), None)

    @property
    def required(self) -> tuple[str, ...]:
        """Columns without which the table can't be used."""
        return tuple(c.name for c in self.columns if c.required)


_COLUMN_TYPES: dict[str, ColumnType] = {
    "t": "text", "i": "integer", "n": "number", "m": "money", "s": "share", "d": "date", "ts": "timestamp", "b": "boolean",
}  # fmt: skip


def _col(
    name: str, type_: str, meaning: str, serves: str = "", *, required: bool = False, values: str = "",
    minimum: float | None = None, maximum: float | None = None, personal: Personal | None = None,
) -> Column:  # fmt: skip
    return Column(
        name, _COLUMN_TYPES[type_], meaning, tuple(serves.split()), required, tuple(values.split()), minimum, maximum, personal
    )


_BOUGHT = (
    "client_base.revenue_bridge client_base.monthly_flow client_base.cohorts segments.matrix segments.clusters "
    "segments.lifetime_value segments.customer_equity segments.migration segments.loyalty segments.scores segments.abc "
    "segments.regularity segments.validation segments.key_accounts segments.new_clients relationships.programme_effect"
)
_EVERY = "client_base.reconciliation"
_CLIENT = _col("client_id", "t", "The client (legal entity) it belongs to", _EVERY, required=True)

_TABLES = (
    Table("deals", "one deal, won, lost or open", ("deal_id",), block="deals", columns=(
        _col("deal_id", "t", "Identifier of the deal; `generate: row` numbers the rows instead", _EVERY, required=True),
        _CLIENT,
        _col("closed_on", "d", "Day on which it was won or lost; empty for open deals",
             f"{_BOUGHT} segments.cost_phases", required=True),
        _col("amount", "m", "Revenue of the deal, before tax, in company currency; may be empty for open deals",
             f"{_BOUGHT} client_base.concentration client_base.deal_kinds", required=True),
        _col("status", "t", "Where the deal stands; won when the source has none", "client_base.won_and_lost",
             values="won lost open cancelled"),
        _col("kind", "t", "Kind of deal: new, repeat, contract, return …; a `return` or `credit_note` lowers revenue",
             "client_base.terms segments.contracts"),
        _col("opened_on", "d", "Day on which it was opened", "client_base.won_and_lost"),
        _col("cost", "m", "Cost of the goods and services sold",
             "segments.whale_curve segments.cut_costs segments.customer_equity offers.discounts offers.economics"),
        _col("margin", "m", "Amount less cost; computed from cost, or from margin_share, when absent",
             "segments.whale_curve segments.cut_costs segments.customer_equity offers.discounts offers.economics"),
        _col("currency", "t",
             "Currency it was written in, as a three-letter code; its amounts are converted by exchange_rates", _EVERY),
        _col("discount_share", "s", "Discount granted, as a share of the list price", "client_base.terms", minimum=0, maximum=1),
        _col("terms", "t", "Terms of purchase", "client_base.terms"),
        _col("distribution_channel", "t", "How it was sold: direct, partner, web …", "client_base.terms"),
        _col("promised_on", "d", "Day on which delivery was promised", "client_base.terms"),
        _col("delivered_on", "d", "Day on which it was delivered; empty while under way", "client_base.terms"),
        _col("delivery_cost", "m", "Cost of delivering it: freight, packing", "client_base.terms"),
        _col("loss_reason", "t", "Why a lost deal was lost", "client_base.won_and_lost segments.wants"),
        _col("competitor", "t", "Who won it instead", "client_base.won_and_lost"),
        _col("owner", "t", "Who is responsible for it", "client_base.won_and_lost", personal="person"),
    )),
    Table("deal_lines", "one product in a deal", ("deal_id", "product_id"), block="deals", columns=(
        _col("deal_id", "t", "The deal", "offers.penetration offers.goes_together offers.white_space", required=True),
        _col("product_id", "t", "The product", "offers.penetration offers.goes_together offers.white_space", required=True),
        _col("quantity", "n", "How many", "offers.penetration"),
        _col("unit_price", "m", "Price of one, after discount; before it where `discount_share` is given",
             "offers.penetration offers.white_space"),
        _col("discount_share", "s", "Discount on the line that unit_price does not contain yet; intake takes it off", _EVERY,
             minimum=0, maximum=1),
        _col("cost", "m", "Cost of the line", "offers.white_space"),
    )),
    Table("products", "one product", ("product_id",), block="deals", columns=(
        _col("product_id", "t", "Identifier of the product", "offers.penetration", required=True),
        _col("name", "t", "Its name", "offers.penetration offers.goes_together offers.white_space"),
        _col("category", "t", "Its line", "offers.penetration offers.packages"),
        _col("list_price", "m", "Price before discount", "offers.economics"),
        _col("unit_cost", "m", "Cost of one", "offers.white_space offers.economics"),
    )),
    Table("invoices", "one invoice", ("invoice_id",), block="commercial", columns=(
        _col("invoice_id", "t", "Identifier of the invoice", "segments.payment", required=True),
        _CLIENT,
        _col("deal_id", "t", "The deal it bills", "segments.payment"),
        _col("amount", "m", "Amount billed", "segments.payment", required=True),
        _col("currency", "t", "Currency it was written in, as a three-letter code; converted by exchange_rates", _EVERY),
        _col("issued_on", "d", "Day of issue", "segments.payment", required=True),
        _col("due_on", "d", "Day on which payment is due", "segments.payment"),
        _col("paid_on", "d", "Day on which it was paid; empty while open", "segments.payment"),
    )),
    Table("contracts", "one contract", ("contract_id",), block="commercial", columns=(
        _col("contract_id", "t", "Identifier of the contract", "segments.contracts", required=True),
        _CLIENT,
        _col("starts_on", "d", "First day", "segments.contracts offers.packages", required=True),
        _col("ends_on", "d", "Last day; empty while open-ended", "segments.contracts contacts.calendar"),
        _col("value_per_month", "m", "Revenue per month", "segments.contracts"),
        _col("ended_by", "t", "Who ended it: client, company, expiry", "segments.contracts"),
    )),
    Table("clients", "one legal entity", ("client_id",), block="commercial", columns=(
        _col("client_id", "t", "Identifier of the client", _EVERY, required=True),
        _col("name", "t", "Its name", "client_base.duplicates contacts.calendar", personal="name"),
        _col("parent_id", "t", "The client that owns it, for groups: its identifier or name", "client_base.groups"),
        _col("tax_id", "t", "Tax number", "client_base.duplicates", personal="name"),
        _col("industry", "t", "Line of business", "client_base.completeness offers.packages offers.white_space"),
        _col("territory", "t", "Where it is", "offers.packages"),
        _col("employees", "i", "Number of employees", "segments.matrix offers.packages", minimum=0),
        _col("turnover", "m", "Its yearly turnover", "segments.matrix"),
        _col("complementary_solutions", "t", "What it runs beside our products", "offers.packages"),
        _col("owner", "t", "Who is responsible for it on our side", "client_base.gaps contacts.calendar", personal="person"),
        _col("since", "d", "Client since", "client_base.cohorts"),
        _col("acquired_via", "t", "How it came to us", "client_base.referrals"),
        _col("referred_by", "t", "The client that referred it", "client_base.referrals"),
        _col("email", "t", "General e-mail address", "contacts.matrix client_base.duplicates", personal="email"),
        _col("phone", "t", "General phone number", "contacts.matrix client_base.duplicates", personal="phone"),
        _col("address", "t", "Postal address", "contacts.matrix", personal="address"),
    )),
    Table("contact_persons", "one person at a client", ("person_id",), block="contact", columns=(
        _col("person_id", "t", "Identifier of the person", "contacts.calendar", required=True),
        _CLIENT,
        _col("name", "t", "Name", "contacts.calendar", personal="name"),
        _col("role", "t", "Role in buying and using", "contacts.matrix contacts.calendar"),
        _col("email", "t", "E-mail address", "contacts.calendar", personal="email"),
        _col("phone", "t", "Phone number", "contacts.calendar", personal="phone"),
        _col("preferred_channel", "t", "The means of contact the person prefers",
             "client_base.contacts contacts.matrix contacts.calendar"),
        _col("consent_*", "b", "Whether the person may be contacted by this channel", "contacts.calendar"),
    )),
    Table("interactions", "one contact or request", ("interaction_id",), block="interactions", columns=(
        _col("interaction_id", "t", "Identifier of the contact", _EVERY, required=True),
        _CLIENT,
        _col("person_id", "t", "The person", "contacts.response"),
        _col("deal_id", "t", "The deal it concerns", "segments.cost_to_serve"),
        _col("started_at", "ts", "When it began or was received",
             "client_base.request_count client_base.request_times segments.cost_to_serve segments.cost_phases "
             "processes.service_level processes.open_requests processes.hours_needed processes.capacity relationships.complaints "
             "relationships.time_to_solve contacts.mix", required=True),
        _col("channel", "t", "Means: visit, phone, email, portal …",
             "client_base.contacts contacts.mix contacts.matrix segments.cost_to_serve"),
        _col("direction", "t", "Direction: in (from the client) or out", "contacts.mix", values="in out"),
        _col("initiative", "t", "Whose initiative it was", "contacts.response", values="ours theirs"),
        _col("answered", "b", "Whether the other side answered", "contacts.response contacts.mix"),
        _col("kind", "t", "Kind: sales, service, complaint, marketing …",
             "processes.service_level relationships.complaints relationships.time_to_solve segments.cost_to_serve"),
        _col("topic", "t", "What it was about", "client_base.requests segments.wants offers.packages"),
        _col("reason", "t", "Why it came about", "client_base.requests segments.wants"),
        _col("department", "t", "Who handled it", "segments.cost_to_serve processes.hours_needed"),
        _col("skill", "t", "Skill it took", "processes.hours_needed processes.capacity"),
        _col("handling_minutes", "n", "Minutes of our time",
             "client_base.contacts segments.cost_to_serve segments.cost_phases processes.hours_needed processes.capacity "
             "contacts.mix",
             minimum=0, maximum=100_000),
        _col("direct_cost", "m", "Cost that is not time: travel, parts, gifts", "segments.cost_to_serve contacts.mix"),
        _col("first_response_at", "ts", "When the client got the first answer",
             "processes.service_level processes.open_requests"),
        _col("resolved_at", "ts", "When it was solved; empty while open",
             "client_base.request_times processes.service_level processes.open_requests relationships.time_to_solve "
             "offers.packages"),
        _col("reopened", "b", "Whether it was opened again", "processes.service_level"),
    )),
    Table("process_events", "one event of a case", ("case_id", "activity", "at"), block="interactions", columns=(
        _col("case_id", "t", "The case", "processes.conformance", required=True),
        _col("client_id", "t", "The client it concerns", "processes.conformance"),
        _col("topic", "t", "What the case is about", "client_base.requests"),
        _col("activity", "t", "What happened", "processes.conformance", required=True),
        _col("at", "ts", "When", "client_base.request_count processes.conformance", required=True),
        _col("resource", "t", "Who did it", "processes.conformance", personal="person"),
        _col("department", "t", "Where", "processes.conformance"),
    )),
    Table("cost_ledger", "one pool of costs in one month", ("pool", "month"), block="costs", columns=(
        _col("pool", "t", "Department or kind of cost", "segments.cost_to_serve", required=True),
        _col("month", "d", "First day of the month", "segments.cost_to_serve", required=True),
        _col("amount", "m", "Cost", "segments.cost_to_serve", required=True),
    )),
    Table("staff", "one group of staff", ("skill", "department"), block="costs", columns=(
        _col("skill", "t", "What the group can do", "processes.capacity", required=True),
        _col("department", "t", "Where it works", "segments.cost_to_serve processes.capacity", required=True),
        _col("people", "n", "Full-time equivalents", "segments.cost_to_serve processes.capacity", required=True, minimum=0),
        _col("hours_per_month", "n", "Paid hours of one person in a month", "segments.cost_to_serve processes.capacity",
             required=True, minimum=0),
        _col("cost_per_hour", "m", "Cost of one paid hour", "processes.capacity contacts.budget"),
    )),
    Table("surveys", "one answer to a satisfaction survey", ("response_id",), block="interactions", columns=(
        _col("response_id", "t", "Identifier of the answer", "relationships.satisfaction", required=True),
        _CLIENT,
        _col("person_id", "t", "Who answered", "relationships.satisfaction"),
        _col("answered_on", "d", "When", "relationships.satisfaction", required=True),
        _col("nps", "i", "Would recommend us, 0–10", "relationships.satisfaction segments.wants", minimum=0, maximum=10),
        _col("csat", "i", "Satisfied, 1–5", "relationships.satisfaction segments.wants", minimum=1, maximum=5),
        _col("effort", "i", "It was easy, 1–7", "relationships.drivers", minimum=1, maximum=7),
        _col("rating_*", "n", "Rating of a criterion", "relationships.drivers segments.wants"),
        _col("importance_*", "n", "Importance of a criterion", "relationships.drivers segments.wants"),
        _col("expected_*", "n", "Expected level of a criterion", "relationships.drivers segments.wants"),
        _col("leave_reason", "t", "Why the client would leave", "segments.wants"),
        _col("comment", "t", "In the client's words", "segments.wants", personal="text"),
        _col("by", "t", "Who answered: the client, or our staff on its behalf", "relationships.satisfaction",
             values="client staff"),
    )),
    Table("programme_members", "a client in a programme", ("client_id", "programme_id"), block="programmes", columns=(
        _CLIENT,
        _col("programme_id", "t", "The programme", "relationships.programme_effect", required=True),
        _col("invited_on", "d", "When it was invited", "relationships.programme_effect"),
        _col("joined_on", "d", "When it joined; empty if it did not",
             "relationships.programme_effect relationships.programme_cost"),
        _col("left_on", "d", "When it left", "relationships.programme_cost"),
        _col("tier", "t", "Its tier", "relationships.programme_cost"),
    )),
    Table("rewards", "one movement of points or one reward", ("client_id", "programme_id", "on", "kind"),
          block="programmes", columns=(
        _CLIENT,
        _col("programme_id", "t", "The programme", "relationships.programme_cost", required=True),
        _col("on", "d", "When", "relationships.programme_cost", required=True),
        _col("kind", "t", "What happened to the points", "relationships.programme_cost", required=True,
             values="earn redeem expire"),
        _col("points", "n", "How many points", "relationships.programme_cost"),
        _col("cost", "m", "What it cost us", "relationships.programme_cost"),
    )),
    Table("campaigns", "one action", ("campaign_id",), block="programmes", columns=(
        _col("campaign_id", "t", "Identifier of the action", "relationships.campaign_effect", required=True),
        _col("started_on", "d", "When it began", "relationships.campaign_effect", required=True),
        _col("kind", "t", "What kind of action", "relationships.campaign_effect"),
    )),
    Table("assignments", "a client's arm in an action", ("campaign_id", "client_id"), block="programmes", columns=(
        _col("campaign_id", "t", "The action", "relationships.campaign_effect", required=True),
        _CLIENT,
        _col("arm", "t", "Arm: treatment or control", "relationships.campaign_effect", required=True),
        _col("assigned_on", "d", "When it was drawn", "relationships.campaign_effect"),
    )),
    Table("assessments", "one rating of a maturity item", ("item", "rater", "on"), block="organisation", columns=(
        _col("item", "t", "What was rated", "relationships.maturity", required=True),
        _col("dimension", "t", "Dimension: structure, process, culture …", "relationships.maturity", required=True),
        _col("level", "i", "Level of maturity, 1–3", "relationships.maturity", required=True, minimum=1, maximum=3),
        _col("rater", "t", "Who rated", "relationships.maturity", required=True, personal="person"),
        _col("evidence", "t", "What proves it", "relationships.maturity"),
        _col("on", "d", "When", "relationships.maturity"),
    )),
    Table("internal_actions", "one internal step", (), block="organisation", columns=(
        _col("kind", "t", "What kind of step", "relationships.maturity", required=True,
             values="training initiative motivation improvement reporting system"),
        _col("owner", "t", "Who carries it out", "relationships.maturity", personal="person"),
        _col("due", "d", "Until when", "relationships.maturity"),
        _col("cost", "m", "What it costs", "relationships.maturity"),
        _col("result", "t", "What came of it", "relationships.maturity"),
    )),
    Table("exchange_rates", "one dated rate", ("currency", "on"), block="costs", columns=(
        _col("currency", "t", "The foreign currency, as a three-letter code", _EVERY, required=True),
        _col("on", "d", "From this day on", _EVERY, required=True),
        _col("rate", "n", "Company currency for one unit of it", _EVERY, required=True, minimum=1e-9),
    )),
    Table("merges", "a decision whether two clients are one", ("client_id", "into"), block="contact", columns=(
        _CLIENT,
        _col("into", "t", "The client it is merged into, or was compared with", "client_base.duplicates", required=True),
        _col("decision", "t", "Whether they are the same client; the same where the file has no such column",
             "client_base.duplicates", values="same different"),
        _col("decided_by", "t", "Who decided", "client_base.duplicates", personal="person"),
    )),
)  # fmt: skip

TABLES: Mapping[str, Table] = {table.name: table for table in _TABLES}


def describe(column: str) -> str:
    """A column given as ``table.column`` in the reader's words: name and meaning."""
    table, name = column.split(".")
    if table == "settings":
        return "costs.pools in company.yml (cost and practical minutes per month)"
    declared = TABLES[table].column(name)
    return f"{column} ({declared.meaning[:1].lower()}{declared.meaning[1:]})" if declared else column


def missing_for(question: str, supplied: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The columns that ``question`` needs and the company has not supplied, described.

    Parameters
    ----------
    question
        Key in ``QUESTIONS``.
    supplied
        Per table, the columns that hold at least one value.
    """
    lacking = []
    for need in QUESTIONS[question].needs:
        choices = [choice.split(".") for choice in need.split("|")]
        if not any(_is_there(name, supplied.get(table, frozenset())) for table, name in choices):
            lacking.append(" or ".join(describe(choice) for choice in need.split("|")))
    return tuple(lacking)


def _is_there(name: str, columns: frozenset[str]) -> bool:
    """Whether a column, or one of a family such as ``rating_*``, is among those supplied."""
    return any(column.startswith(name[:-1]) for column in columns) if name.endswith("*") else name in columns
