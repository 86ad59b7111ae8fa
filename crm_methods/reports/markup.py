"""Text as inert HTML: whatever a client's file holds, it can only be read."""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Protocol

import pandas as pd


class Pseudonyms(Protocol):
    """Replaces names, e-mails and phones by stable pseudonyms on the way out."""

    def frame(self, df: pd.DataFrame) -> pd.DataFrame:
        """The same frame with pseudonyms in its personal columns."""
        ...

    def text(self, text: str) -> str:
        """The same text with pseudonyms for every name known."""
        ...


class NoPseudonyms:
    """Leaves names as they are."""

    def frame(self, df: pd.DataFrame) -> pd.DataFrame:
        """The frame itself."""
        return df

    def text(self, text: str) -> str:
        """The text itself."""
        return text


# Besides control characters: the marks that reverse the direction of what follows them.
_REVERSING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def plain(text: str) -> str:
    """``text`` without control characters and marks that reverse reading."""
    return "".join(c for c in text if c in "\n\t" or (unicodedata.category(c) != "Cc" and c not in _REVERSING))


def escape(text: object) -> str:
    """``text`` for an element or a quoted attribute."""
    return html.escape(plain(str(text)), quote=True)


def css_string(text: str) -> str:
    """``text`` as the inside of a CSS string; can close neither the string nor its style element."""
    return "".join(c if c.isascii() and (c.isalnum() or c == " ") else f"\\{ord(c):x} " for c in plain(text))


def anchor(text: str) -> str:
    """A heading's text as an id: ``Where margin comes from`` → ``where-margin-comes-from``."""
    return re.sub(r"[^\w]+", "-", plain(text).lower()).strip("-") or "section"
