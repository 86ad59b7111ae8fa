"""Presets: how known systems call their columns and write their words, read from ``presets/*.yml`` and put under a source.

A new system is a new file there; no code knows any of them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from crm_methods.company.contracts import TABLES
from crm_methods.company.settings import Source, Unit
from crm_methods.company.strict_yaml import Settings, read_yaml
from crm_methods.errors import Faults, SettingsError, did_you_mean

FOLDER = Path(__file__).parent / "presets"
OTHERWISE = "*"
"""The word that stands for every word not listed in ``values``."""

_NUMBERS = range(1, 100)


class Preset(Settings):
    """How one object of a system becomes a canonical table.

    ``columns`` lists, per canonical column, the titles it may have in a file; the first that is there is taken. A title
    that is itself a list is joined of those of its parts that are there, if the first is. ``units`` gives the unit by
    title, since one title counts seconds and another minutes. ``signs`` are titles by which a file of this kind is known:
    ``enough`` of them must be there. ``{n}`` in a word stands for the numbers 1 to 99.
    """

    table: str
    signs: list[str] = Field(min_length=1)
    enough: Annotated[int, Field(ge=1)] = 3
    columns: dict[str, list[str | list[str]]]
    values: dict[str, dict[str, str]] = Field(default={})
    otherwise: dict[str, str] = Field(default={})
    units: dict[str, dict[str, Unit]] = Field(default={})
    constants: dict[str, str] = Field(default={})
    generate: Literal["row"] | None = None


class System(Settings):
    """One file: a system with its presets. Titles may also stand behind one of the ``prefixes``."""

    system: str
    prefixes: list[str] = Field(default=[])
    presets: dict[str, Preset]


def preset_names() -> tuple[str, ...]:
    """Every preset as ``system.object``, such as ``salesforce.opportunity``."""
    return tuple(sorted(_presets()))


def table_of(name: str) -> str:
    """The canonical table that a preset fills.

    Raises
    ------
    SettingsError
        There is no such preset; the nearest is named.
    """
    return _preset(name)[0].table


def expand(name: str, source: Source, columns: Sequence[str]) -> Source:
    """The source with what its preset knows put under its own entries, which win.

    Parameters
    ----------
    name
        The preset, such as ``bitrix24.deal``.
    source
        The entry of company.yml.
    columns
        Titles of the columns that its file has; columns whose titles are not among them are left out.

    Returns
    -------
    Source
        With ``columns``, ``values``, ``units``, ``constants`` and ``generate`` completed. A preset's ``otherwise`` is
        the value of the word ``*``.

    Raises
    ------
    SettingsError
        There is no such preset; the nearest is named.
    """
    preset, prefixes = _preset(name)
    found = _titles(preset, prefixes, columns)
    replaced = {*source.columns, *source.constants, *({_key_of(preset)} if source.generate else ())}
    mapped = {ours: theirs for ours, theirs in found.items() if ours not in replaced}
    given = {**mapped, **source.columns}
    there = {*given, *(title.lower() for title in columns)}  # intake finds columns of the canonical name by itself
    spoken = {ours: words for ours, words in _words(preset).items() if ours in there}
    constants = {ours: text for ours, text in preset.constants.items() if ours not in there}
    return source.model_copy(
        update={
            "columns": given,
            "values": {**source.values, **{ours: {**words, **source.values.get(ours, {})} for ours, words in spoken.items()}},
            "units": {**_units(preset, prefixes, given), **source.units},
            "constants": {**constants, **source.constants},
            "generate": source.generate or (None if preset.generate and _key_of(preset) in given else preset.generate),
        }
    )


def best_preset(columns: Sequence[str]) -> str | None:
    """The preset whose signs a file's columns bear most of; None where no preset finds enough of them.

    A preset that finds no column for a required one is passed over, since the file is then of another kind.
    """
    taken = {fold(title) for title in columns}
    ranked = []
    for name, (preset, prefixes) in _presets().items():
        signs = sum(any(s in taken for s in _spellings(sign, prefixes)) for sign in dict.fromkeys(map(fold, preset.signs)))
        found = _titles(preset, prefixes, columns)
        lacking = set(TABLES[preset.table].required) - set(found) - set(preset.constants) - _NEEDLESS
        lacking -= {_key_of(preset)} if preset.generate else set()
        if signs >= preset.enough and not lacking:
            ranked.append((signs, len(found), name))
    return max(ranked, key=lambda rank: rank[:2])[2] if ranked else None


def mapped_columns(name: str, columns: Sequence[str]) -> dict[str, str | list[str]]:
    """What a preset makes of a file's columns: canonical column → title, or the titles that are joined."""
    preset, prefixes = _preset(name)
    return _titles(preset, prefixes, columns)


def known_words(name: str) -> dict[str, dict[str, str]]:
    """The words that a preset translates, by canonical column."""
    return _words(_preset(name)[0])


def choices(name: str, column: str, columns: Sequence[str]) -> list[str]:
    """All the titles of a file that a preset would take for a canonical column, the best first; joined ones left out."""
    preset, prefixes = _preset(name)
    alone = [choice for choice in preset.columns.get(column, []) if isinstance(choice, str)]
    there = {fold(title): title for title in reversed(columns)}
    return list(dict.fromkeys(there[s] for choice in alone for s in _spellings(choice, prefixes) if s in there))


def fold(title: str) -> str:
    """A title without case, spaces and punctuation, so that ``AccountId``, ``account_id`` and ``Account ID`` are one."""
    return re.sub(r"[\W_]+", "", title.casefold())


_NEEDLESS = frozenset({"amount", "closed_on"})
"""Required columns of deals that intake can do without: amounts add up from lines, open deals have no end."""


def _preset(name: str) -> tuple[Preset, tuple[str, ...]]:
    known = _presets()
    if name not in known:
        listed = f"expected one of {', '.join(sorted(known))}. {did_you_mean(name, known)}".rstrip()
        raise SettingsError(f'found the unknown preset "{name}", {listed}')
    return known[name]


@functools.cache
def _presets() -> Mapping[str, tuple[Preset, tuple[str, ...]]]:
    return read_presets(FOLDER)


def read_presets(folder: Path) -> dict[str, tuple[Preset, tuple[str, ...]]]:
    """Every preset in the files of a folder, with the prefixes its titles may have.

    Raises
    ------
    SettingsError
        A file breaks the form, or names tables, columns or values that the contracts do not know; all of its faults together.
    """
    presets: dict[str, tuple[Preset, tuple[str, ...]]] = {}
    for path in sorted(folder.glob("*.yml")):
        system = read_yaml(path, System, _check)
        presets |= {f"{path.stem}.{name}": (preset, tuple(system.prefixes)) for name, preset in system.presets.items()}
    return presets


def _check(raw: Mapping[str, Any], faults: Faults) -> None:
    """Note tables, columns and canonical values that the contracts do not know."""
    presets = raw.get("presets")
    for name, preset in presets.items() if isinstance(presets, dict) else ():
        if not isinstance(preset, dict):
            continue
        table = TABLES.get(str(preset.get("table")))
        if table is None:
            faults.add(f"presets.{name}.table", f'"{preset.get("table")}"', f"one of {', '.join(TABLES)}")
            continue
        for block in ("columns", "values", "otherwise", "units", "constants"):
            for ours, given in _items(preset.get(block)):
                column, where = table.column(ours), f"presets.{name}.{block}.{ours}"
                if column is None:
                    faults.add(where, "an unknown column", f"a column of {table.name}", did_you_mean(ours, table.names))
                elif column.values and block in {"values", "otherwise", "constants"}:
                    words = given.values() if isinstance(given, dict) else [given]
                    for word in words:
                        if word not in column.values:
                            faults.add(where, f'"{word}"', f"one of {', '.join(column.values)}")


def _items(block: Any) -> Sequence[tuple[str, Any]]:
    return list(block.items()) if isinstance(block, dict) else []


def _spellings(title: str, prefixes: Sequence[str]) -> list[str]:
    return [fold(title), *(fold(prefix + title) for prefix in prefixes)]


def _titles(preset: Preset, prefixes: Sequence[str], columns: Sequence[str]) -> dict[str, str | list[str]]:
    """Canonical column → the first of its titles that the file has, as the file writes it; a joined one by its first part."""
    there: dict[str, str] = {}
    for column in columns:
        there.setdefault(fold(column), column)
    found: dict[str, str | list[str]] = {}
    for ours, choices in preset.columns.items():
        for choice in choices:
            parts = [choice] if isinstance(choice, str) else choice
            spelt = [next((there[s] for s in _spellings(part, prefixes) if s in there), None) for part in parts]
            present = [title for title in spelt if title is not None]
            if present and spelt[0] is not None:
                found[ours] = present[0] if len(present) == 1 else list(dict.fromkeys(present))
                break
    return found


def _words(preset: Preset) -> dict[str, dict[str, str]]:
    """Words of the source by canonical column, numbered ones written out, with ``*`` for all others."""
    spelt = {
        ours: {each: meant for word, meant in words.items() for each in _numbered(word)} for ours, words in preset.values.items()
    }
    for ours, meant in preset.otherwise.items():
        spelt[ours] = {**spelt.get(ours, {}), OTHERWISE: meant}
    return spelt


def _numbered(word: str) -> list[str]:
    return [word.replace("{n}", str(number)) for number in _NUMBERS] if "{n}" in word else [word]


def _units(preset: Preset, prefixes: Sequence[str], mapped: Mapping[str, str | list[str]]) -> dict[str, Unit]:
    """Units of the columns that the preset has mapped, by the title that was taken."""
    return {
        ours: unit
        for ours, by_title in preset.units.items()
        for title, unit in by_title.items()
        if isinstance(taken := mapped.get(ours), str) and fold(taken) in _spellings(title, prefixes)
    }


def _key_of(preset: Preset) -> str:
    return TABLES[preset.table].key[0]
