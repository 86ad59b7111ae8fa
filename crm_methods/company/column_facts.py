"""What the cells of a column say about it: dates, numbers, addresses, whether it tells rows apart, which ids it shares."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from crm_methods.company.contracts import Column
from crm_methods.company.guess_values import ENOUGH, Moments, guess_moments, is_number, without_sign
from crm_methods.company.peek import Sample

Kind = Literal["empty", "date", "number", "email", "phone", "text"]
_CELLS_JUDGED = 3_000
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_PHONE = re.compile(r"(?=(?:\D*\d){6})[+(]?\d[\d\s()./\-\u00a0]*[\s()./\-\u00a0][\d\s()./\-\u00a0]*\d|\+\d{7,15}")


@dataclass(frozen=True, slots=True, eq=False)
class ColumnFacts:
    """One column of a sample: what its cells are, and the distinct ones with how often they occur."""

    title: str
    kind: Kind
    rows: int
    counts: Counter[str] = field(repr=False)
    moments: Moments | None = None

    @property
    def filled_share(self) -> float:
        """Share of rows with a cell in this column."""
        return sum(self.counts.values()) / self.rows if self.rows else 0.0

    @property
    def is_unique(self) -> bool:
        """Whether a cell (nearly) always tells its row from all others."""
        return bool(self.counts) and len(self.counts) >= 0.97 * self.rows

    @property
    def repeats(self) -> bool:
        """Whether cells come back, as the id of a deal does in a list of its lines."""
        return bool(self.counts) and len(self.counts) < 0.9 * sum(self.counts.values())

    @property
    def is_whole(self) -> bool:
        """Whether its numbers have no fraction."""
        return all(re.fullmatch(r"[+-]?\d+", cell) for cell in list(self.counts)[:_CELLS_JUDGED])

    def fits(self, column: Column) -> bool:
        """Whether its cells can be what a canonical column holds."""
        match column.type:
            case "date" | "timestamp":
                return self.kind == "date"
            case "money" | "number" | "integer" | "share":
                return self.kind == "number"
            case "boolean":
                return 0 < len(self.counts) <= 4
        if column.name == "email":
            return self.kind == "email"
        if column.name == "phone":
            return self.kind in {"phone", "number"}
        return self.kind not in {"empty", "date", "email"}

    def share_in(self, other: ColumnFacts) -> float:
        """Share of its distinct cells that are cells of another column too."""
        return sum(cell in other.counts for cell in self.counts) / len(self.counts) if self.counts else 0.0


def facts_of(sample: Sample) -> dict[str, ColumnFacts]:
    """Facts of every column of a sample."""
    return {title: _facts(title, [row[place] for row in sample.rows]) for place, title in enumerate(sample.columns)}


def _facts(title: str, cells: list[str]) -> ColumnFacts:
    counts = Counter(cell for cell in cells if cell)
    # Evenly over the whole: a file in the order of time may show a day above 12 only late.
    judged = list(counts)[:: len(counts) // _CELLS_JUDGED + 1]
    moments = guess_moments(judged) if judged else None
    return ColumnFacts(title, _kind(judged, moments), len(cells), counts, moments)


def _kind(cells: list[str], moments: Moments | None) -> Kind:
    if not cells:
        return "empty"
    if moments is not None:
        return "date"

    def share(test: object) -> float:
        return sum(bool(test(cell)) for cell in cells) / len(cells)  # type: ignore[operator]

    if share(_EMAIL.fullmatch) >= 0.9:
        return "email"
    if share(is_number) >= ENOUGH:
        return "number"
    return "phone" if share(_PHONE.fullmatch) >= 0.8 else "text"


def numbers_of(facts: ColumnFacts, decimal: str | None) -> list[float]:
    """The distinct numbers of a column, read by a decimal mark."""
    found = []
    for cell in list(facts.counts)[:_CELLS_JUDGED]:
        text = re.sub(r"[\s\u00a0\u202f\u2009'’]", "", without_sign(cell))
        text = text.replace(".", "").replace(",", ".") if decimal == "," else text.replace(",", "")
        try:
            found.append(float(text))
        except ValueError:
            continue
    return found
