"""Where the header of a text file stands, what divides its cells, and what its columns are called."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from crm_methods.company.raw_table import numbered_names, unique_names
from crm_methods.company.record_numbers import cells_of
from crm_methods.company.settings import Formats, Source
from crm_methods.company.text_lines import likely_encoding
from crm_methods.errors import IntakeError

_DELIMITERS = (",", ";", "\t", "|")
_CUT_INTO = {"whitespace": "\t", "tab": "\t"}
_SEPARATOR = re.compile(r'\ufeff?"?sep=(.)"?\s*', re.IGNORECASE)
_LONGEST_NAME = 1_000
_LOOKED_AT = 20


@dataclass(frozen=True, slots=True)
class Layout:
    """How a text is cut: ``header`` as it is written, the columns' names, and the lines above the first record."""

    shown: str
    header: tuple[str, ...]
    names: tuple[str, ...]
    delimiter: str
    quote: str
    skip: int

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, made distinct."""
        return unique_names(self.names)


def find_layout(source: Source, formats: Formats, readable: Path, path: Path) -> Layout:
    """Find header and delimiter in the first lines of a text.

    Parameters
    ----------
    source, formats
        What is declared of both.
    readable, path
        The text in UTF-8, and the file that it is of.

    Raises
    ------
    IntakeError
        There is no header, or it is not one: in another encoding, divided otherwise, or a title above the names.
    """
    quote = '"' if formats.quote is None else formats.quote
    separator = _separator(readable) if source.header_row is None else None
    above = (source.header_row or 1) - 1 + (separator is not None)
    declared = _CUT_INTO.get(formats.delimiter or "", formats.delimiter)
    delimiter = declared or separator or _sniff(readable, formats, above)
    # Bad bytes further down are found, and counted, line by line; here only the header must be sound.
    with readable.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        reader = cells_of(itertools.islice(lines, above, None), delimiter, quote)
        filled = (row for row in reader if any(cell.strip() for cell in row))
        try:
            first = next(filled, [])
            skip = above + (reader.line_num if source.header else 0)
        except csv.Error as error:
            raise IntakeError(f"{path.name}: found a first line that can't be cut into cells ({error}).") from None
        second = _next_or_none(filled)
    _expect_header(source, first, delimiter, path)
    if len(first) == 1 and source.header:
        _expect_delimiter(first[0], delimiter, path.name)
        _expect_no_title(first[0], readable, above + 1, declared, path.name)
    while source.header and second and len(first) > len(second) and not first[-1].strip():
        first = first[:-1]
    names = source.names or (first if source.header else numbered_names(len(first)))
    header = tuple(first) if source.header else ()
    return Layout(path.name, header, tuple(cell.strip() for cell in names), delimiter, quote, skip)


def _next_or_none(rows: Iterator[list[str]]) -> list[str] | None:
    try:
        return next(rows, None)
    except csv.Error:
        return None


def _separator(path: Path) -> str | None:
    """The delimiter that the line ``sep=;`` names, which Excel writes above the header."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        found = _SEPARATOR.fullmatch(lines.readline(16))
    return found[1] if found else None


def _sniff(path: Path, formats: Formats, above: int) -> str:
    """The delimiter that occurs most often in the first filled line; a comma when none does."""
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        first = next((line for line in itertools.islice(lines, above, None) if line.strip()), "")
    best = max(_candidates(formats), key=first.count)
    return best if first.count(best) else ","


def _candidates(formats: Formats) -> list[str]:
    return [d for d in _DELIMITERS if d != formats.decimal] if formats.decimal == "," else list(_DELIMITERS)


def _expect_header(source: Source, first: Sequence[str], delimiter: str, path: Path) -> None:
    if not first:
        raise IntakeError(f"{path.name}: found blank lines only, expected a header and rows. Export it again.")
    if not source.header:
        return
    if any("\ufffd" in cell or "\0" in cell for cell in first):
        raise IntakeError(
            f"{path.name}: found a first line with bytes that are not text ({delimiter.join(first)[:60]!r}). "
            f"Declare its encoding in company.yml, such as `formats: {{encoding: {likely_encoding(path)}}}`."
        )
    endless = next((cell for cell in first if len(cell) > _LONGEST_NAME), None)
    if endless is not None:
        raise IntakeError(
            f"{path.name}: found the name of a column with {len(endless):,} characters ({endless[:40]!r} …), expected a short "
            "one. Close the quote that is opened in the header, or say which line it is by `header_row`."
        )


def _expect_delimiter(line: str, delimiter: str, shown: str) -> None:
    other = next((d for d in _DELIMITERS if d != delimiter and line.count(d) > 1), None)
    if other is not None:
        raise IntakeError(
            f'{shown}: found no "{delimiter}" in the first line, expected it between the cells. '
            f"Its cells seem to be divided by {other!r}: `formats: {{delimiter: {json.dumps(other)}}}`."
        )


def _expect_no_title(title: str, path: Path, above: int, declared: str | None, shown: str) -> None:
    """Refuse a single cell as the header where the lines below it have many."""
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(itertools.islice(lines, above, above + _LOOKED_AT), above + 1):
            if any(line.count(d) > 1 for d in ([declared] if declared else _DELIMITERS)):
                raise IntakeError(
                    f'{shown}: found one cell in the first filled line ("{title[:60]}"), expected the names of the columns. '
                    f"If they stand on line {number}, write `header_row: {number}`."
                )
