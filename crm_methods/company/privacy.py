"""Pseudonyms: the one function through which names, e-mails and phones leave a run.

A pseudonym is a keyed hash (HMAC-SHA256) of the value: the same client has the same
pseudonym in every output and every run, and without the key nobody can tell whose it is.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from crm_methods.company.contracts import TABLES, Personal
from crm_methods.company.intake import Canonical
from crm_methods.engine import collect

_KINDS: Mapping[str, str] = {
    "name": "Client", "person": "Person", "email": "e-mail", "phone": "phone", "address": "address", "text": "text",
}  # fmt: skip
_AT_EXITS: Mapping[str, Personal] = {"client": "name", "client_name": "name", "person_name": "person", "account_manager": "person"}
_SHORTEST = 3
_WORD = re.compile(r"[^\s,;:()<>\"|]+")


@dataclass(frozen=True, slots=True, eq=False)
class Pseudonyms:
    """Replaces personal data by stable pseudonyms.

    ``known`` maps each personal value of the company to its kind; ``first_words`` finds
    those values inside a longer text.
    """

    key: bytes
    known: Mapping[str, str]
    first_words: Mapping[str, tuple[str, ...]]

    def of(self, kind: str, value: str) -> str:
        """The pseudonym of one value, such as ``Client 7QK3FA``."""
        digest = hmac.new(self.key, f"{kind}:{value}".encode(), hashlib.sha256).digest()
        return f"{_KINDS[kind]} {b32encode(digest)[:7].decode()}"

    def text(self, text: str) -> str:
        """``text`` with every known personal value in it replaced."""
        if text in self.known:
            return self.of(self.known[text], text)
        result, position = [], 0
        for word in _WORD.finditer(text):
            if word.start() < position:
                continue
            match = next((v for v in self.first_words.get(word[0], ()) if text.startswith(v, word.start())), None)
            if match is not None:
                result += [text[position : word.start()], self.of(self.known[match], match)]
                position = word.start() + len(match)
        return "".join([*result, text[position:]])

    def frame(self, data: pd.DataFrame) -> pd.DataFrame:
        """``data`` with personal columns and every known value in other text columns replaced."""
        replaced = {}
        for name in data.columns:
            kind = _personal_kind(str(name))
            if data[name].dtype == object or pd.api.types.is_string_dtype(data[name].dtype):
                replaced[name] = data[name].map(
                    lambda v, kind=kind: v if not isinstance(v, str) or not v else self.of(kind, v) if kind and v not in self.known else self.text(v)
                )
        return data.assign(**replaced)


def pseudonyms_of(data: Canonical, private_folder: Path) -> Pseudonyms:
    """The pseudonyms of a company; its key is made on first use and kept in ``private_folder``.

    Client ids are covered where they are names (an id with a space in it, or equal to a name).
    """
    known: dict[str, str] = {}
    for table in TABLES.values():
        for column in table.columns:
            if column.personal in {None, "text"} or not data.has(table.name, column.name):
                continue
            kind = "person" if table.name == "contact_persons" and column.personal == "name" else str(column.personal)
            values = collect(data.scan(table.name).select(column.name).unique())[column.name]
            known.update({str(v): kind for v in values.dropna() if len(str(v)) >= _SHORTEST})
    ids = collect(data.scan("clients").select("client_id"))["client_id"].dropna().astype(str)
    known.update({v: "name" for v in ids if " " in v.strip() or known.get(v) == "name"})
    first_words: dict[str, list[str]] = {}
    for value in sorted(known, key=len, reverse=True):
        first = _WORD.search(value)
        if first:
            first_words.setdefault(first[0], []).append(value)
    return Pseudonyms(_key(private_folder), known, {word: tuple(values) for word, values in first_words.items()})


def _key(folder: Path) -> bytes:
    path = folder / "pseudonyms.key"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as out:
            out.write(secrets.token_hex(32))
    return bytes.fromhex(path.read_text(encoding="ascii").strip())


def _personal_kind(column: str) -> str | None:
    if column in _AT_EXITS:
        return _AT_EXITS[column]
    kinds = {c.personal for table in TABLES.values() for c in table.columns if c.name == column and c.personal and column != "name"}
    return next(iter(kinds)) if len(kinds) == 1 else None
