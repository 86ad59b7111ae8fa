"""Pseudonyms: the one function through which names, e-mails and phones leave a run.

A pseudonym is a keyed hash (HMAC-SHA256) of the value: the same client has the same
pseudonym in every output and every run, and without the key nobody can tell whose it is.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
import re
import secrets
from base64 import b32encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods.company.contracts import TABLES, Personal
from crm_methods.company.intake import Canonical
from crm_methods.engine import collect
from crm_methods.errors import SettingsError

_KINDS: Mapping[str, str] = {
    "name": "Client", "person": "Person", "email": "e-mail", "phone": "phone", "address": "address", "text": "text",
}  # fmt: skip
_AT_EXITS: Mapping[str, Personal] = {
    "client": "name", "client_name": "name", "person_name": "person", "account_manager": "person",
}  # fmt: skip
_SHORTEST = 3
_SHORTEST_NUMBER = 6
_MAX_VALUES = 20_000_000
_WORD = re.compile(r"\w+")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+")
_PHONE = re.compile(r"(?<![\w+])\+\d(?:[ ()/-]{0,2}\d){8,14}(?!\w)")
_NAMELIKE_SHARE = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Pseudonyms:
    """Replaces personal data by stable pseudonyms.

    ``known`` maps each personal value of the company to its kind; ``first_words`` finds
    those values inside a longer text, by their first word and the longest first.
    """

    key: bytes
    known: Mapping[str, str]
    first_words: Mapping[str, tuple[str, ...]]

    def of(self, kind: str, value: str) -> str:
        """The pseudonym of one value, such as ``Client 7QK3FA2B``."""
        digest = hmac.new(self.key, f"{kind}:{value}".encode(), hashlib.sha256).digest()
        return f"{_KINDS[kind]} {b32encode(digest)[:8].decode()}"

    def text(self, text: str) -> str:
        """``text`` with every known personal value in it, and every e-mail address and international phone number, replaced."""
        if text in self.known:
            return self.of(self.known[text], text)
        result, position = [], 0
        for word in _WORD.finditer(text):
            if word.start() < position:
                continue
            begin, value = self._value_at(text, word, position)
            if value:
                result += [text[position:begin], self.of(self.known[value], value)]
                position = begin + len(value)
        replaced = "".join([*result, text[position:]])
        replaced = _EMAIL.sub(lambda found: self.of("email", found[0]), replaced)
        return _PHONE.sub(lambda found: self.of("phone", found[0]), replaced)

    def frame(self, data: pd.DataFrame) -> pd.DataFrame:
        """``data`` with personal columns, and every known value in other texts and in headings, replaced."""
        texts = [name for name in data.columns if _holds_text(data[name])]
        replaced = {name: data[name].astype(object).map(self._cell(_personal_kind(str(name)))) for name in texts}
        made = data.assign(**replaced)
        # A pivoted frame has people in its headings; the kit's own names of columns are left alone.
        headings = {name: self.text(name) for name in data.columns if isinstance(name, str) and not _COLUMN.fullmatch(name)}
        made = made.rename(columns=headings)
        return made.set_axis(made.index.map(self._cell(None)), axis=0) if _holds_text(data.index.to_series()) else made

    def _cell(self, kind: str | None) -> Callable[[Any], Any]:
        def replace(value: Any) -> Any:
            if not isinstance(value, str) or not value:
                return value
            return self.of(kind, value) if kind and value not in self.known else self.text(value)

        return replace

    def _value_at(self, text: str, word: re.Match[str], earliest: int) -> tuple[int, str]:
        """The longest known value whose first word is ``word``, and where it begins; empty when there is none."""
        for value in self.first_words.get(word[0], ()):
            begin = word.start() - _lead(value)
            end = begin + len(value)
            if begin >= earliest and text.startswith(value, begin) and not (end < len(text) and _joins(text[end - 1], text[end])):
                return begin, value
        return 0, ""


_COLUMN = re.compile(r"[a-z][a-z0-9_]*")


def pseudonyms_of(data: Canonical, private_folder: Path) -> Pseudonyms:
    """The pseudonyms of a company; its key is made on first use and kept in ``private_folder``.

    Client ids are covered where they are names: where one has no digit, a space or an @ in it, or equals a name; and where
    more than a tenth of them are such, all that have a letter in them.

    Raises
    ------
    SettingsError
        The file of the key holds something else.
    """
    known: dict[str, str] = {}
    for table in TABLES.values():
        for column in table.columns:
            if column.personal in {None, "text"} or not data.has(table.name, column.name):
                continue
            kind = "person" if table.name == "contact_persons" and column.personal == "name" else str(column.personal)
            values = collect(data.scan(table.name).select(column.name).unique(), max_rows=_MAX_VALUES)[column.name]
            known.update({str(v): kind for v in values.dropna() if _is_telling(str(v))})
    # Spellings that a rule has settled, and clients that were merged or grouped, stand in no canonical table any more.
    known.update({name: "name" for name in _settled_names(data) if _is_telling(name)})
    ids = collect(data.scan("clients").select("client_id"), max_rows=_MAX_VALUES)["client_id"].dropna().astype(str)
    known.update(dict.fromkeys(_names_among(list(ids), known), "name"))
    first_words: dict[str, list[str]] = {}
    for value in sorted(known, key=lambda v: (-len(v), v)):
        first = _WORD.search(value)
        if first:
            first_words.setdefault(first[0], []).append(value)
    return Pseudonyms(_key(private_folder), known, {word: tuple(values) for word, values in first_words.items()})


def _settled_names(data: Canonical) -> list[str]:
    rules = data.resolved
    named = rules.loc[rules["column"].isin(["client_id", "parent_id", "referred_by"]), ["written", "counted_as"]]
    members = collect(data.members.filter(nw.col("how") != "itself").select("client_id", "name"), max_rows=_MAX_VALUES)
    found = {*named["written"].dropna(), *named["counted_as"].dropna(), *members["client_id"].dropna(), *members["name"].dropna()}
    words = [str(text) for text in found if any(c.isalpha() for c in str(text)) and not str(text).startswith("(")]
    return [text for text in words if " " in text or not any(c.isdigit() for c in text)]


def _is_telling(value: str) -> bool:
    """Whether a value can be looked for in texts: short numbers and particles would be found everywhere."""
    if value.isdigit():
        return len(value) >= _SHORTEST_NUMBER
    return len(value) >= _SHORTEST or (len(value) == _SHORTEST - 1 and not value.islower())


def _names_among(ids: list[str], known: Mapping[str, str]) -> list[str]:
    worded = [v for v in ids if _is_telling(v) and any(c.isalpha() for c in v)]
    names = [v for v in worded if v in known or " " in v or "@" in v or not any(c.isdigit() for c in v)]
    return worded if len(names) > _NAMELIKE_SHARE * len(ids) else names


def _lead(value: str) -> int:
    """How many characters stand before the first word of a value, such as + or «."""
    first = _WORD.search(value)
    return first.start() if first else 0


def _joins(left: str, right: str) -> bool:
    return bool(_WORD.fullmatch(left + right))


def _holds_text(column: pd.Series[Any]) -> bool:
    kind = column.dtype
    return pd.api.types.is_object_dtype(kind) or isinstance(kind, pd.CategoricalDtype) or pd.api.types.is_string_dtype(kind)


def _key(folder: Path) -> bytes:
    path = folder / "pseudonyms.key"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    else:
        with os.fdopen(handle, "w", encoding="ascii") as out:
            out.write(secrets.token_hex(32))
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise SettingsError(
            f"{path.name}: found something else than a key, expected the 64 hexadecimal digits that an earlier run wrote. "
            "Put the file back, or delete it for new pseudonyms."
        )
    return key


@functools.cache
def _personal_kind(column: str) -> str | None:
    if column in _AT_EXITS:
        return _AT_EXITS[column]
    declared = [c for table in TABLES.values() for c in table.columns if c.name == column and column != "name"]
    kinds = {c.personal for c in declared if c.personal}
    return next(iter(kinds)) if len(kinds) == 1 else None
