"""Errors that a user can act on: every fault at once, each with its remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field


class CrmError(Exception):
    """Root of everything the kit raises on purpose; its text is meant for the user."""


class SettingsError(CrmError, ValueError):
    """company.yml or a plan beside it can't be used as it is."""


class IntakeError(CrmError, ValueError):
    """The company's files can't be read as company.yml describes them."""


class TableContractError(CrmError, ValueError):
    """A table lacks a column, or a column breaks its contract."""


class ParameterError(CrmError, ValueError):
    """A run's parameter is unknown or has the wrong type."""


class TooManyRowsError(CrmError, ValueError):
    """A frame is larger than what an in-memory method may take."""


class StageError(CrmError, RuntimeError):
    """A stage could not be carried out."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where, what was found, what was expected, what to do."""

    where: str
    found: str
    expected: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f" {self.remedy}" if self.remedy else ""
        return f"{self.where}: found {self.found}, expected {self.expected}.{remedy}"


@dataclass(frozen=True, slots=True)
class ToldFault(Fault):
    """A fault whose ``found`` is a whole sentence, as an error has told it."""

    def __str__(self) -> str:
        return f"{self.where}: {self.found}"


@dataclass(slots=True)
class Faults:
    """Collects faults so that the user hears of all of them in one message."""

    items: list[Fault] = field(default_factory=list)

    def add(self, where: str, found: str, expected: str, remedy: str = "") -> None:
        """Note one fault."""
        self.items.append(Fault(where, found, expected, remedy))

    def tell(self, where: str, sentence: str) -> None:
        """Note one fault that an error has already told in full."""
        self.items.append(ToldFault(where, sentence, ""))

    def __bool__(self) -> bool:
        return bool(self.items)

    def raise_if_any(self, kind: type[CrmError], title: str) -> None:
        """Raise ``kind`` with ``title`` and every fault noted so far, if there is any."""
        if self.items:
            raise kind("\n".join([title, *(f"  - {fault}" for fault in self.items)]))


def nearest(word: str, options: Iterable[str]) -> str | None:
    """The option most like ``word``, or None when none is alike."""
    known = {option.lower(): option for option in options}
    alike = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return known[alike[0]] if alike else None


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """A question that names the nearest option; empty when none is alike."""
    option = nearest(word, options)
    return f'Did you mean "{option}"?' if option else ""
