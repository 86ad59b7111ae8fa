"""What columns, statuses and steps are called in files, in six languages: ``synonyms.yml`` read and checked."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rapidfuzz import fuzz

from crm_methods.company.contracts import TABLES
from crm_methods.company.presets import fold
from crm_methods.company.strict_yaml import Settings, read_yaml
from crm_methods.errors import Faults, did_you_mean

FILE = Path(__file__).parent / "synonyms.yml"
_ALIKE = 88.0
_SHORTEST_ALIKE = 6
_BESIDE = re.compile(r"[(\[{][^)\]}]*[)\]}]|[€$£₽,]|\b(?:eur|usd|gbp|rub|chf|руб|mio|mln|tsd|млн|тыс)\b\.?")
"""What stands in a title beside the name: brackets, currencies, units."""


class Names(Settings):
    """Names of one canonical table's files and columns; ``=table.column`` stands for the names given there."""

    files: list[str]
    columns: dict[str, list[str]]


class Synonyms(Settings):
    """The whole file."""

    generic: list[str]
    tables: dict[str, Names]
    words: dict[str, dict[str, list[str]]]
    activities: dict[str, list[str]]
    name_parts: dict[str, list[str]]
    refusals: list[str]
    name_titles: list[str]
    deleted: list[str]


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Folded names: per table and column the names with their rank, per table the words of file names."""

    columns: Mapping[str, Mapping[str, tuple[str, ...]]]
    files: Mapping[str, frozenset[str]]
    generic: frozenset[str]
    words: Mapping[str, Mapping[str, str]]
    activities: Mapping[str, frozenset[str]]
    name_parts: Mapping[str, frozenset[str]]
    refusals: frozenset[str]
    name_titles: frozenset[str]
    deleted: frozenset[str]

    def likeness(self, table: str, column: str, title: str) -> float:
        """How well a title names a canonical column, 0–1: 1 for a name in the list, less for the later and the similar ones."""
        plain = _BESIDE.sub(" ", title.casefold())
        name, names = fold(plain) or fold(title), self.columns[table].get(column, ())
        if name == fold(column):
            return 1.0
        if name in names:
            rank = 1.0 - 0.05 * names.index(name) / len(names)
            return rank - (0.2 if name in self.generic else 0.0)
        if len(name) >= _SHORTEST_ALIKE and any(
            len(known) >= _SHORTEST_ALIKE and fuzz.ratio(name, known) >= _ALIKE for known in names
        ):
            return 0.7
        parts = re.findall(r"[^\W_]{4,}", re.sub(r"(?<=[a-zа-я])(?=[A-ZА-Я])", " ", title).casefold())
        return 0.5 if any(part in names and part not in self.generic for part in parts) else 0.0

    def speaks_for(self, table: str, label: str) -> bool:
        """Whether a file's or sheet's name has a word that names the table."""
        text = re.sub(r"(?<=[a-zа-я])(?=[A-ZА-Я])", " ", label).casefold()
        words = re.findall(r"[^\W\d_]+", text)
        runs = {"".join(words[n : n + k]) for n in range(len(words)) for k in (1, 2)}
        return bool(runs & self.files[table])


@functools.cache
def lexicon() -> Lexicon:
    """The kit's names.

    Raises
    ------
    SettingsError
        The file names tables or columns that the contracts do not know.
    """
    read = read_yaml(FILE, Synonyms, _check)
    return Lexicon(
        {
            name: {column: tuple(dict.fromkeys(_folded(read, words))) for column, words in names.columns.items()}
            for name, names in read.tables.items()
        },
        {name: frozenset(map(fold, names.files)) for name, names in read.tables.items()},
        frozenset(map(fold, read.generic)),
        {column: {fold(w): meant for meant, words in block.items() for w in words} for column, block in read.words.items()},
        {what: frozenset(map(fold, words)) for what, words in read.activities.items()},
        {part: frozenset(map(fold, words)) for part, words in read.name_parts.items()},
        frozenset(map(fold, read.refusals)),
        frozenset(map(fold, read.name_titles)),
        frozenset(map(fold, read.deleted)),
    )


def _folded(read: Synonyms, names: list[str]) -> Iterator[str]:
    for name in names:
        if name.startswith("="):
            table, column = name[1:].split(".")
            yield from _folded(read, read.tables[table].columns[column])
        else:
            yield fold(name)


def _check(raw: Mapping[str, Any], faults: Faults) -> None:
    for name, names in dict(raw.get("tables") or {}).items():
        table = TABLES.get(name)
        if table is None:
            faults.add(f"tables.{name}", "an unknown table", f"one of {', '.join(TABLES)}", did_you_mean(name, TABLES))
            continue
        for column in dict(names).get("columns", {}):
            if table.column(column) is None:
                where = f"tables.{name}.columns.{column}"
                faults.add(where, "an unknown column", f"a column of {name}", did_you_mean(column, table.names))
