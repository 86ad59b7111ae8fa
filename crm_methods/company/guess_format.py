"""How a text file is written: its encoding, what divides its cells, and on which line its header stands.

Everything here is a guess from a bounded sample, to be proposed in a draft; nothing of it is used in a run.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from crm_methods.company.guess_values import is_value

ENCODING_SAMPLE = 1 << 20
LINES_LOOKED_AT = 300
_DELIMITERS = (",", ";", "\t", "|")
_CYRILLIC = ("cp1251", "koi8-r", "cp866", "iso8859-5", "mac-cyrillic")
_WESTERN = ("cp1252", "cp1250", "cp850", "mac-roman")
# The fifteen commonest letters make up four fifths of a Russian text.
_COMMON = frozenset("оеаинтсрвлкмдпу")
_SURE = 0.8


@dataclass(frozen=True, slots=True)
class Layout:
    """How the records of a text are cut, and where its header stands.

    ``header_row`` is the line of the header, counted from 1; ``header`` is false where the file names no columns.
    ``sure`` is false where another reading is about as likely.
    """

    delimiter: str
    quote: str
    header: bool
    header_row: int
    width: int


def guess_encoding(sample: bytes) -> tuple[str, bool]:
    """The encoding of a text by the name Python knows, and whether that is sure.

    UTF-8 and UTF-16 are recognised by their form. Of the one-byte encodings that write one language,
    the one is taken in which words look like words: letters of one script, capitals at their beginning only, and
    the common letters commonest. What none of them explains is left to charset-normalizer.
    """
    for mark, name in _MARKS:
        if sample.startswith(mark):
            return name, True
    wide = _wide(sample)
    if wide is not None:
        return wide, False
    if _is_utf8(sample):
        return "utf-8", True
    ranked = sorted(((_likeness(sample, name), name) for name in (*_CYRILLIC, *_WESTERN)), key=lambda pair: -pair[0])
    best, name = ranked[0]
    if best >= _SURE:
        return name, best - ranked[1][0] > 0.05 or name == "cp1252"
    return _second_opinion(sample) or name, False


_MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


def _wide(sample: bytes) -> str | None:
    """UTF-16 without a mark: in most pairs one byte is the same small number."""
    head = sample[: 1 << 14]
    even, odd = head[0::2], head[1::2]
    if len(even) < 4 or b"\0" not in head:
        return None
    for zeros, name in ((odd, "utf-16-le"), (even, "utf-16-be")):
        if sum(byte in (0, 4) for byte in zeros) > 0.9 * len(zeros):
            return name
    return None


def _is_utf8(sample: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)  # the last letter of the sample may be cut through
    except UnicodeDecodeError:
        return False
    return True


def _likeness(sample: bytes, encoding: str) -> float:
    """Share of words beyond ASCII that look like words of a language written in ``encoding``; 0–1."""
    text = sample.decode(encoding, "replace")
    words = Counter(w for w in re.findall(r"[^\W\d_]+", text) if not w.isascii())
    strange = len(re.findall(r"[\u2500-\u259f\ufffd\x80-\x9f]", text))
    judge = _cyrillic_word if encoding in _CYRILLIC else _western_word
    seen = sum(words.values()) + strange
    return sum(judge(word) * count for word, count in words.items()) / seen if seen else 0.0


def _cyrillic_word(word: str) -> float:
    if not all("\u0400" <= letter <= "\u045f" for letter in word) or not _is_cased_well(word):
        return 0.0
    return 0.5 + 0.5 * (sum(letter in _COMMON for letter in word.lower()) / len(word) > 0.5)


def _western_word(word: str) -> float:
    marked = sum(not letter.isascii() for letter in word)
    return float(_is_cased_well(word) and all(ord(letter) < 0x250 for letter in word) and marked <= max(1, len(word) / 2))


def _is_cased_well(word: str) -> bool:
    return word.islower() or word.isupper() or (word[0].isupper() and (word[1:].islower() or len(word) == 1))


def _second_opinion(sample: bytes) -> str | None:
    from charset_normalizer import from_bytes

    best = from_bytes(sample[: 1 << 16]).best()
    return str(best.encoding) if best is not None else None


def lines_of(text: str) -> list[str]:
    """Lines with their ends; only line feeds and carriage returns end one, as in a file."""
    return list(io.StringIO(text, newline=""))


def guess_layout(text: str) -> Layout:
    """What divides the cells, whether a line names them, and which.

    Parameters
    ----------
    text
        The first part of the file, decoded; a last line that is cut off does no harm.
    """
    lines = [line.rstrip("\r\n") for line in lines_of(text)[:LINES_LOOKED_AT]]
    quote = _quote(lines)
    delimiter, rows = max(((d, _cut(lines, d, quote)) for d in _DELIMITERS), key=lambda cut: _evenness(cut[1]))
    if _evenness(rows) <= (0.0, 0) or _evenness(rows)[1] < 2:
        spaced = _cut(lines, "whitespace", "")
        if _evenness(spaced) > (0.9, 1) and not any(map(_is_title_line, lines[:1])):
            delimiter, rows, quote = "whitespace", spaced, '"'
    header, place = find_header([row for _, row in rows])
    number = rows[place][0] if rows else 1
    width = max((len(row) for _, row in rows[place : place + 50]), default=0)
    return Layout(delimiter, quote, header, number, width)


def _is_title_line(line: str) -> bool:
    return not any(is_value(cell) for cell in line.split())


def _quote(lines: Sequence[str]) -> str:
    """The quote character: the double quote, unless cells are set in single ones or double ones only occur inside cells."""
    text = "\n".join(lines)
    double = len(re.findall(r'(?:^|[,;\t|])"', text, re.MULTILINE))
    single = len(re.findall(r"(?:^|[,;\t|])'[^'\n]*'(?=[,;\t|]|$)", text, re.MULTILINE))
    if single > 2 * double and single > len(lines) / 2:
        return "'"
    return "" if '"' in text and not double else '"'


def _cut(lines: Sequence[str], delimiter: str, quote: str) -> list[tuple[int, list[str]]]:
    """Filled records with the line on which each begins."""
    if delimiter == "whitespace":
        return [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()]
    options = {"quotechar": quote, "quoting": csv.QUOTE_MINIMAL} if quote else {"quoting": csv.QUOTE_NONE}
    reader = csv.reader((line + "\n" for line in lines), delimiter=delimiter, **options)
    rows, begins = [], 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append((begins, [cell.strip() for cell in row]))
            begins = reader.line_num + 1
    except csv.Error:
        return rows
    return rows


def _evenness(rows: Sequence[tuple[int, Sequence[str]]]) -> tuple[float, int]:
    """Share of rows that have the commonest number of cells beyond one (in tenths), and that number."""
    widths = Counter(len(row) for _, row in rows if len(row) > 1)
    if not widths:
        return 0.0, 0
    width, count = max(widths.items(), key=lambda pair: (pair[1], pair[0]))
    return round(count / len(rows) * 5) / 5, width


def find_header(rows: Sequence[Sequence[str]]) -> tuple[bool, int]:
    """Whether a row names the columns, and the place of the first row that is not a preamble, counted from 0.

    Lines above a table fill fewer cells than the table does. The first full row is a header
    unless it holds numbers and dates where the rows below it do.
    """
    if not rows:
        return True, 0
    filled = [sum(bool(cell) for cell in row) for row in rows]
    usual = Counter(filled[len(filled) // 4 :]).most_common(1)[0][0]
    widest = max(Counter(len(row) for row in rows[len(rows) // 4 :]).items(), key=lambda pair: pair[1])[0]
    enough = max(min(usual, widest) * 0.6, 2 if usual > 1 else 1)
    place = next((n for n, count in enumerate(filled[:50]) if count >= enough), 0)
    first, body = rows[place], rows[place + 1 : place + 101]
    valued = [n for n in range(len(first)) if _share_of_values([row[n] for row in body if n < len(row)]) > 0.8]
    if not body:
        return not any(map(is_value, first)), place
    alike = sum(is_value(first[n]) for n in valued)
    return not (valued and alike > len(valued) / 2), place


def _share_of_values(cells: Sequence[str]) -> float:
    filled = [cell for cell in cells if cell]
    return sum(map(is_value, filled)) / len(filled) if filled else 0.0
