"""Figures of stage 2: when regular buyers are due to order again."""

from __future__ import annotations

from crm_methods import formats
from crm_methods.models.buying_rhythm import SOON_DAYS
from crm_methods.reports.charts.bars import horizontal_bars
from crm_methods.reports.charts.house import Chart
from crm_methods.stages.segments_rhythm import Regularity

_STATES = {
    "overdue": "Overdue",
    "late": "Past its day, not unusually",
    "soon": f"Expected within {SOON_DAYS} days",
    "later": "Expected later",
    "gone": "Taken for gone",
}


def next_orders(answer: Regularity, currency: str) -> Chart | None:
    """How many regular buyers are due when; None where nobody is regular."""
    due = answer.due
    if due.empty:
        return None
    clients = due.set_index("order_state")["clients"]
    late, soon = int(clients["overdue"]), int(clients["soon"])
    overdue = f"{formats.number(late)} {'is' if late == 1 else 'are'} overdue" if late else "none is overdue"
    count = formats.plural(soon, "regular order") if soon else "No regular order"
    expected = f"{count} {'is' if soon < 2 else 'are'} expected within {SOON_DAYS} days"
    drawn = due.assign(order_state=[_STATES[state] for state in due["order_state"]])
    counts = [f"{row.order_state} {formats.number(row.clients)}" for row in drawn.itertuples()]
    return horizontal_bars(
        drawn,
        label="order_state",
        length="clients",
        form=formats.number,
        title=f"{expected}, {overdue}",
        alt=f"Bars of regular buyers by the state of their next order: {formats.join(counts)}.",
        highlight=[_STATES["overdue"]],
        axis="Regular buyers",
    )
