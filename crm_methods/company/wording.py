"""Texts of plans that name facts between braces: which facts there are, and where a text names them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from crm_methods.errors import Faults, did_you_mean

FactKind = Literal["text", "count", "decimal", "date", "amount", "money", "share"]

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Fact:
    """Something known of a client that a rule may ask for and a text may name; ``always`` where it is never missing."""

    kind: FactKind
    meaning: str
    always: bool = False


def placeholders(text: str) -> tuple[str, ...]:
    """Names between braces, each once, in order."""
    return tuple(dict.fromkeys(_PLACEHOLDER.findall(text)))


def pieces(text: str) -> tuple[tuple[bool, str], ...]:
    """The text cut at its placeholders: ``(is a fact, words or name)``."""
    parts = _PLACEHOLDER.split(text)
    return tuple((i % 2 == 1, part) for i, part in enumerate(parts) if part)


def check_facts(where: str, names: Iterable[str], known: Collection[str], faults: Faults) -> None:
    """Note every name that is no fact of ``known``, with the nearest one."""
    for name in names:
        if name not in known:
            faults.add(where, f"the unknown fact {name}", f"one of {', '.join(known)}", did_you_mean(name, known))
