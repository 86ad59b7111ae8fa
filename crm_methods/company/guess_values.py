"""How a column writes its numbers and dates, and what kind of thing its cells are."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_SPACES = "\u00a0\u202f\u2009 "
_SIGNS = {
    "€": "EUR", "$": "USD", "£": "GBP", "₽": "RUB", "руб": "RUB", "¥": "JPY", "zł": "PLN", "Kč": "CZK", "₴": "UAH", "₸": "KZT",
    "₹": "INR", "₺": "TRY", "CHF": "CHF", "EUR": "EUR", "USD": "USD", "GBP": "GBP", "RUB": "RUB",
}  # fmt: skip
_SIGN = re.compile("|".join(map(re.escape, _SIGNS)) + r"|(?<=руб)\.")
_NUMBER = re.compile(
    rf"[+-]?\d{{1,3}}(?:([{_SPACES}.,'’])\d{{3}})(?:\1\d{{3}})*(?:([.,])\d+)?|[+-]?\d+(?:([.,])\d+)?|[+-]?[.,]\d+"
)
_PARTS = re.compile(r"(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})")
_TIME = re.compile(
    r"(?P<sep>[ T]|, )\d{1,2}:\d{2}(?P<s>:\d{2})?(?P<f>[.,]\d{1,9})?(?P<ap> ?[AaPp][Mm])?(?P<zone>Z| ?[+-]\d{2}:?\d{2})?$"
)
_NAMED = ("%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y", "%d-%b-%y", "%b %d %Y")
_EARLIEST, _LATEST = 1950, 2100
ENOUGH = 0.95
"""Share of filled cells that must fit before a column is said to hold numbers or dates."""


@dataclass(frozen=True, slots=True)
class Marks:
    """How numbers are written: decimal mark, thousands mark; None where nothing shows it. ``unsure``: 1,234 may be either."""

    decimal: str | None = None
    thousands: str | None = None
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class Moments:
    """How dates are written. ``format`` and ``other`` fit equally well where day and month can't be told apart."""

    format: str
    other: str | None = None
    last: dt.date | None = None


def is_value(cell: str) -> bool:
    """Whether a cell is a number or a date rather than a name."""
    return is_number(cell) or _date_orders(cell) is not None


def is_number(cell: str) -> bool:
    """Whether a cell is a number in any country's writing, with or without a currency sign."""
    return bool(_NUMBER.fullmatch(without_sign(cell)))


def without_sign(cell: str) -> str:
    """A number without its currency sign, per cent sign and brackets of negative amounts."""
    text = _SIGN.sub("", cell).strip(_SPACES + "%")
    return f"-{text[1:-1]}" if text.startswith("(") and text.endswith(")") else text


def currency_of(cells: Iterable[str]) -> str | None:
    """The currency whose sign most cells bear; None where few bear one."""
    cells = [cell for cell in cells if cell]
    signs = Counter(_SIGNS[m[0]] for cell in cells if (m := _SIGN.search(cell)) and m[0] in _SIGNS and re.search(r"\d", cell))
    return signs.most_common(1)[0][0] if signs and sum(signs.values()) > len(cells) / 2 else None


def guess_marks(cells: Iterable[str]) -> Marks:
    """Decimal and thousands marks from all the numbers of a file."""
    votes: Counter[tuple[str, str]] = Counter()
    doubtful: Counter[str] = Counter()
    for cell in cells:
        match = _NUMBER.fullmatch(without_sign(cell))
        if not match:
            continue
        group, after, plain = match[1], match[2], match[3]
        if plain or (after and after != group):
            votes["decimal", plain or after] += 1
        if group and (after or match[0].count(group) > 1 or group not in ",."):
            votes["thousands", " " if group in _SPACES else group] += 1
        elif group and not after:
            doubtful[group] += 1
    decimal, thousands = (_winner(votes, what) for what in ("decimal", "thousands"))
    doubtful_mark = doubtful.most_common(1)[0][0] if doubtful else None
    if doubtful_mark and thousands is None and doubtful_mark != decimal:
        if decimal is not None:
            return Marks(decimal, doubtful_mark)
        # 1,234 alone: without any other number beside it, grouping is the likelier reading of a comma and of a point.
        return Marks("," if doubtful_mark == "." else ".", doubtful_mark, unsure=True)
    return Marks(decimal, thousands if thousands != decimal else None)


def _winner(votes: Counter[tuple[str, str]], what: str) -> str | None:
    counts = {mark: count for (kind, mark), count in votes.items() if kind == what}
    return max(counts, key=lambda mark: counts[mark]) if counts else None


def guess_moments(cells: Sequence[str]) -> Moments | None:
    """The format in which a column writes dates, as DuckDB's strptime knows it; None where it holds none.

    Of two orders of day and month the one that fits more cells wins; where both fit all, ``other`` names the second.
    """
    filled = Counter(cell for cell in cells if cell)
    total = sum(filled.values())
    fitting: Counter[str] = Counter()
    tails: Counter[str] = Counter()
    for cell, count in filled.items():
        found = _date_orders(cell)
        if found is not None:
            fitting.update(dict.fromkeys(found[0], count))
            tails[found[1]] += count
    if not fitting or max(fitting.values()) < ENOUGH * total:
        return None
    (best, most), *others = sorted(fitting.items(), key=lambda pair: (-pair[1], _PREFERENCE.get(pair[0], 99)))
    other = next((f for f, count in others if count == most and _is_swap(f, best)), None)
    tail = tails.most_common(1)[0][0]
    dates = [d for cell in filled if (d := read_date(cell, best)) is not None]
    return Moments(best + (tail if _needs_tail(best, tail) else ""), other, max(dates, default=None))


def _needs_tail(date_format: str, tail: str) -> bool:
    """Whether the time must be declared: intake adds plain times by itself, and reads every ISO moment."""
    iso = date_format == "%Y-%m-%d" and _ISO_TAIL.fullmatch(tail) is not None
    return bool(tail) and not iso and tail not in {" %H:%M", " %H:%M:%S"}


_ISO_TAIL = re.compile(r"[ T]%H:%M(:%S([.,]%f)?)?(Z| ?[+-]\d{2}:?\d{2})?")
"""Times that intake reads behind an ISO date by itself, with any offset."""


def read_date(cell: str, date_format: str) -> dt.date | None:
    """The day of a cell written in ``date_format``; its time is passed over."""
    text = _TIME.sub("", cell)
    date_only = re.split(r"[ T]?%[HI]", date_format)[0]
    try:
        day = dt.datetime.strptime(text, date_only).date()
    except ValueError:
        return None
    return day if _EARLIEST <= day.year <= _LATEST else None


_PREFERENCE = {
    name: rank for rank, name in enumerate(["%Y-%m-%d", "%d.%m.%Y", "%Y/%m/%d", "%d/%m/%Y", "%d-%m-%Y", "%m/%d/%Y", "%m-%d-%Y"])
}


def _date_orders(cell: str) -> tuple[list[str], str] | None:
    """Formats that fit a cell's date, and the format of the time behind it."""
    tail_match = _TIME.search(cell)
    text, tail = (cell[: tail_match.start()], _tail(tail_match)) if tail_match else (cell, "")
    if not text or len(text) > 20 or not any(map(str.isdigit, text)):
        return None
    match = _PARTS.fullmatch(text)
    if match:
        formats = _split_orders((match[1], match[3], match[4]), match[2])
    elif re.fullmatch(r"(19|20)\d{6}", text):
        formats = ["%Y%m%d"]
    elif re.search(r"[^\W\d_]{3}", text):
        formats = list(_NAMED)
    else:
        return None
    fitting = [f for f in formats if read_date(text, f) is not None]
    return (fitting, tail) if fitting else None


def _split_orders(parts: tuple[str, str, str], mark: str) -> list[str]:
    if len(parts[0]) == 4:
        return [mark.join(("%Y", "%m", "%d"))]
    if len(parts[2]) not in {2, 4}:
        return []
    year = "%Y" if len(parts[2]) == 4 else "%y"
    orders = [("%d", "%m", year)] if mark == "." else [("%d", "%m", year), ("%m", "%d", year)]
    return [mark.join(order) for order in orders]


def _tail(match: re.Match[str]) -> str:
    clock = "%I:%M" if match["ap"] else "%H:%M"
    fraction = f"{match['f'][0]}%f" if match["f"] else ""
    half = match["ap"][:-2] + "%p" if match["ap"] else ""
    return f"{match['sep']}{clock}{':%S' if match['s'] else ''}{fraction}{half}{match['zone'] or ''}"


def _is_swap(one: str, two: str) -> bool:
    return one != two and sorted(re.findall(r"%\w", one)) == sorted(re.findall(r"%\w", two))
