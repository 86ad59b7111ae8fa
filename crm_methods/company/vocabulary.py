"""The method's own words: stages, segments and strategies, named once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StageInfo:
    """One of the six stages: what it is called and what it asks."""

    key: str
    number: int
    title: str
    question: str

    @property
    def notebook(self) -> str:
        """Name of its notebook and report, without the ending."""
        return f"{self.number}_{self.key}"


STAGES: dict[str, StageInfo] = {
    stage.key: stage
    for stage in (
        StageInfo("client_base", 1, "The client base in order", "What do we know of our clients, and what is missing?"),
        StageInfo("segments", 2, "Segments and what clients are worth", "Who pays, who costs, and what is each client worth?"),
        StageInfo("offers", 3, "Individual offers", "Which products and which service does each segment get?"),
        StageInfo("processes", 4, "Client-facing processes", "Do we serve each segment as promised, and can we?"),
        StageInfo("contacts", 5, "Contacts and their budget", "Whom do we contact, when, by what means, at what cost?"),
        StageInfo("relationships", 6, "Long-term relationships", "Are clients satisfied, and did our programmes do anything?"),
    )
}

SEGMENT_LABELS: dict[str, str] = {
    "high_low": "High revenue, low cost",
    "high_high": "High revenue, high cost",
    "low_low": "Low revenue, low cost",
    "low_high": "Low revenue, high cost",
    "high_unknown": "High revenue",
    "low_unknown": "Low revenue",
    "all": "All clients",
}
"""Cells of the matrix, revenue level first; ``unknown`` where no cost to serve is known."""

STRATEGY_LABELS: dict[str, str] = {
    "raise_loyalty": "Raise loyalty",
    "stimulate_sales": "Stimulate sales",
    "cut_costs": "Cut costs",
}


def segment_label(segment: str) -> str:
    """The reader's name of a segment; a cluster's or an unknown one is made readable."""
    return SEGMENT_LABELS.get(segment, segment.replace("_", " ").capitalize())
