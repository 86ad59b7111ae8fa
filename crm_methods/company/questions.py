"""The questions the six notebooks ask, and the columns without which they can't be answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a stage.

    ``needs`` names columns as ``table.column``; ``a.x|b.y`` means that either will do.
    ``planned`` marks questions whose columns are declared already but which no notebook asks yet.
    """

    key: str
    text: str
    needs: tuple[str, ...] = ()
    planned: bool = False

    @property
    def stage(self) -> str:
        """Key of the stage that asks it."""
        return self.key.split(".")[0]


_SOLD = ("deals.amount", "deals.closed_on")
_ASKED: tuple[Question, ...] = (
    Question("client_base.reconciliation", "What came in, and does it reconcile?"),
    Question("client_base.drift", "What changed in the incoming data since the last run?"),
    Question("client_base.deal_kinds", "What are the deals: purchases, returns, lost, open?", ("deals.amount",)),
    Question("client_base.revenue_bridge", "Where did the change in revenue come from?", _SOLD),
    Question("client_base.completeness", "How complete is what we know of clients?"),
    Question("client_base.gaps", "Which gaps harm which stage most?"),
    Question("client_base.duplicates", "Which clients look like duplicates?"),
    Question("client_base.groups", "Which clients belong to one group?"),
    Question("client_base.spellings", "Which groups of clients are spelt in several ways?"),
    Question("client_base.concentration", "How concentrated is the base?", ("deals.amount",)),
    Question("client_base.monthly_flow", "How does the base move from month to month?", ("deals.closed_on",)),
    Question("client_base.cohorts", "How many clients come back, by the quarter of their first deal?", ("deals.closed_on",)),
    Question("client_base.won_and_lost", "What do won and lost deals say?", ("deals.status",)),
    Question(
        "client_base.terms",
        "On which terms do clients buy?",
        ("deals.terms|deals.distribution_channel|deals.kind|deals.discount_share|deals.promised_on|deals.delivery_cost",),
    ),
    Question(
        "client_base.requests",
        "What do clients ask for?",
        ("interactions.topic|interactions.reason|process_events.topic",),
    ),
    Question(
        "client_base.request_count", "How many requests does a client make?", ("interactions.started_at|process_events.at",)
    ),
    Question(
        "client_base.request_times",
        "How long do requests take to solve?",
        ("interactions.started_at", "interactions.resolved_at"),
    ),
    Question("client_base.referrals", "Who brings other clients?", ("clients.acquired_via|clients.referred_by",)),
    Question("client_base.contacts", "Which channels carry the contacts, at what effort?", ("interactions.channel",)),
    Question(
        "segments.cost_to_serve",
        "What does each client cost to serve?",
        ("interactions.started_at", "interactions.handling_minutes", "cost_ledger.amount|settings.pools"),
    ),
    Question("segments.whale_curve", "Who earns, and who gives it back?", ("deals.margin",)),
    Question("segments.matrix", "Where does each client stand, and which strategy follows?"),
    Question(
        "segments.cost_phases",
        "What does it cost to win, to start and to keep a client?",
        ("interactions.started_at", "interactions.handling_minutes", "deals.closed_on"),
    ),
    Question("segments.payment", "What does late payment cost?", ("invoices.amount", "invoices.due_on")),
    Question("segments.certainty", "How sure is each client's place?"),
    Question("segments.migration", "Who moved since the last period, beyond noise?", _SOLD),
    Question("segments.cut_costs", "From which order or fee on does a costly client pay?", ("deals.margin",)),
    Question("segments.loyalty", "Does cost fall as loyalty grows?", _SOLD),
    Question("segments.scores", "How recently, how often, for how much does each client buy?", _SOLD),
    Question("segments.abc", "Which clients carry the revenue, and how steadily?", _SOLD),
    Question(
        "segments.wants",
        "What does each segment want, like and leave for?",
        (
            "surveys.rating_*|surveys.importance_*|surveys.leave_reason|surveys.nps|surveys.csat|deals.loss_reason"
            "|interactions.topic|interactions.reason",
        ),
    ),
    Question("segments.regularity", "Do clients reorder like a clock?", _SOLD),
    Question("segments.contracts", "How long do contracts last?", ("contracts.starts_on|deals.kind",)),
    Question("segments.validation", "May the purchase model be trusted?", _SOLD),
    Question("segments.key_accounts", "What are the key accounts worth?", _SOLD),
    Question("segments.new_clients", "What may new clients bring?", _SOLD),
    Question("segments.clusters", "Do natural clusters exist at all?", _SOLD),
    Question("segments.lifetime_value", "How often will clients buy again?", _SOLD),
    Question("segments.customer_equity", "What is each client, and each segment, worth?", _SOLD),
    Question("offers.penetration", "What does each segment buy?", ("deal_lines.product_id",)),
    Question("offers.goes_together", "What goes together?", ("deal_lines.product_id",)),
    Question("offers.white_space", "Who lacks what its peers have?", ("deal_lines.product_id",)),
    Question("offers.packages", "Which product and service package fits each segment?"),
    Question("offers.discounts", "What must a discount bring to pay?", ("deals.margin",)),
    Question("offers.economics", "What does each client's offer cost and bring?", ("deals.margin",)),
    Question(
        "processes.service_level",
        "How well is each segment served, against its own range?",
        ("interactions.first_response_at|interactions.resolved_at", "interactions.started_at"),
    ),
    Question(
        "processes.open_requests",
        "Which requests are open, until when, and who answers for them?",
        ("interactions.started_at", "interactions.first_response_at|interactions.resolved_at"),
    ),
    Question("processes.procedures", "Which procedure serves each segment, and who answers for it?"),
    Question(
        "processes.hours_needed",
        "How many hours will each strategy need?",
        ("interactions.handling_minutes", "interactions.started_at"),
    ),
    Question(
        "processes.capacity",
        "Where is capacity short?",
        ("interactions.handling_minutes", "staff.people", "staff.hours_per_month"),
    ),
    Question("contacts.mix", "How are clients contacted today, and what does it cost?", ("interactions.channel",)),
    Question("contacts.matrix", "Who is contacted on which occasion, by what means?"),
    Question("contacts.calendar", "When is each client contacted?"),
    Question("contacts.budget", "What do the planned contacts cost?"),
    Question("relationships.programme_cost", "What does each programme cost?", ("rewards.cost", "programme_members.joined_on")),
    Question("relationships.programme_effect", "What did the programme cause?", ("programme_members.joined_on", *_SOLD)),
    Question("relationships.satisfaction", "How satisfied are clients?", ("surveys.nps|surveys.csat",)),
    Question("relationships.complaints", "How many complaints are there?", ("interactions.kind", "interactions.started_at")),
    Question(
        "relationships.time_to_solve",
        "How fast are complaints solved?",
        ("interactions.kind", "interactions.started_at", "interactions.resolved_at"),
    ),
)
_PLANNED: tuple[Question, ...] = (
    Question("processes.conformance", "Do cases run as the procedure says?", planned=True),
    Question("contacts.response", "Which channel do clients answer?", planned=True),
    Question("relationships.campaign_effect", "What did a campaign cause?", planned=True),
    Question("relationships.drivers", "What drives satisfaction?", planned=True),
    Question("relationships.maturity", "How mature is the organisation?", planned=True),
)
QUESTIONS: Mapping[str, Question] = {question.key: question for question in (*_ASKED, *_PLANNED)}
