"""The lines of a text file: how their bytes become characters, how they end, and copies of a text in which they are mended."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from crm_methods.company.containers import told
from crm_methods.company.raw_table import SHOWN, Broken
from crm_methods.company.record_numbers import lines_at, newline_of
from crm_methods.errors import IntakeError, did_you_mean

_ENCODINGS = ("utf-8", "utf-16", "cp1251", "cp1252", "cp866", "koi8-r", "latin-1", "iso-8859-15")


def known_encoding(encoding: str, shown: str) -> str:
    """Python's own name of a declared encoding.

    Raises
    ------
    IntakeError
        Python does not know it, or it is none of texts.
    """
    try:
        "".encode(encoding)
        name = codecs.lookup(encoding).name
    except (LookupError, ValueError):
        raise IntakeError(
            f'{shown}: found the encoding "{encoding}", expected one that Python knows, such as cp1251. '
            f"{did_you_mean(encoding, _ENCODINGS)}".rstrip()
        ) from None
    return "utf-8" if name == "utf-8-sig" else name


def likely_encoding(path: Path) -> str:
    """The encoding that the first bytes of a text that is not UTF-8 speak for; one of the commonest where they are silent."""
    with path.open("rb") as file:
        head = file.read(1 << 12)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) > len(head) // 8:
        return "utf-16-le" if odd > even else "utf-16-be"
    return "cp1251"


def as_utf8(path: Path, into: Path, encoding: str, *, split: bool) -> Iterator[Broken]:
    """Rewrite a text as UTF-8, line by line and strictly; lines with undecodable bytes are yielded, not written.

    Parameters
    ----------
    split
        Whether cells are divided by runs of spaces, which become tabs.
    """
    wide = encoding.startswith(("utf-16", "utf-32"))
    with into.open("w", encoding="utf-8", newline="") as out:
        lines: Iterable[str | bytes] = _wide_lines(path, encoding) if wide else _lines(path)
        for number, line in enumerate(lines, 1):
            try:
                text = line.decode(encoding) if isinstance(line, bytes) else line
            except UnicodeDecodeError as error:
                yield number, error.object.decode(encoding, "replace").strip()[:SHOWN], f"text in {encoding} ({error.reason})"
                continue
            text = text.removeprefix("\ufeff") if number == 1 else text
            out.write("\t".join(text.split()) + "\n" if split else text)


def is_uneven(path: Path) -> bool:
    """Whether the lines of a text do not all end alike."""
    if newline_of(path) == b"\r":
        return False
    returns, feeds, both, last = 0, 0, 0, b""
    with path.open("rb") as file:
        while chunk := file.read(1 << 24):
            returns, feeds = returns + chunk.count(b"\r"), feeds + chunk.count(b"\n")
            both += chunk.count(b"\r\n") + (last == b"\r" and chunk[:1] == b"\n")
            last = chunk[-1:]
    return returns != both or both not in {0, feeds}


def even_newlines(path: Path, into: Path) -> Path:
    """A copy of a text whose lines all end alike; DuckDB refuses a mixture."""
    with (
        path.open(encoding="utf-8", errors="surrogateescape") as lines,
        into.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as out,
    ):
        out.writelines(lines)
    return into


def without_lines(path: Path, into: Path, positions: Sequence[int]) -> tuple[Path, list[tuple[int, str]]]:
    """A copy of a text without the lines on which the bytes at ``positions`` stand, and those lines: number and text."""
    numbers, taken = set(lines_at(path, positions)), []
    with into.open("wb") as out:
        for number, line in enumerate(_lines(path), 1):
            if number in numbers:
                taken.append((number, line.decode("utf-8", "replace").strip("\r\n")))
            else:
                out.write(line)
    return into, taken


def _lines(path: Path) -> Iterator[bytes]:
    if newline_of(path) == b"\n":
        with path.open("rb") as lines:
            yield from lines
        return
    with path.open("rb") as file:
        rest = b""
        while chunk := file.read(1 << 20):
            *whole, rest = (rest + chunk).split(b"\r")
            yield from (line + b"\r" for line in whole)
        if rest:
            yield rest


def _wide_lines(path: Path, encoding: str) -> Iterable[str]:
    try:
        with path.open(encoding=encoding, newline="") as lines:
            yield from lines
    except UnicodeError as error:
        raise IntakeError(f"{path.name}: found bytes that are not {encoding} ({told(error)}).") from None
