"""Numbers, money, shares and dates as text: the one place where they are formatted.

Figures, tables, sentences and the index all come here, so that the same number
looks the same wherever it stands.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

NOTHING = "–"
_MINUS = "−"
_SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "RUB": "₽", "JPY": "¥", "INR": "₹"}
_MONEY_WORDS = frozenset(
    {
        "amount", "budget", "clv", "contribution", "cost", "discount", "equity", "gain", "harm", "liability", "margin", "money",
        "price", "returns", "revenue", "reward", "rewards", "spend", "stake", "turnover",
    }
)  # fmt: skip
_NOT_MONEY = ("_share", "_on", "_minutes", "_hours", "_days", "_months", "_id", "_count", "_level", "_axis", "_rank", "_clients")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _is_nothing(value: Any) -> bool:
    return value is None or str(value) in {"NaT", "<NA>", "nan", "NaN"}


def _signed(value: float, text: str) -> str:
    return f"{_MINUS}{text}" if value < 0 and any(c in "123456789∞" for c in text) else text


def _digits(value: float, digits: int) -> str:
    return "∞" if math.isinf(value) else f"{abs(value):,.{digits}f}"


def number(value: float | None, digits: int = 0) -> str:
    """A plain number with thousands separators; a dash for nothing."""
    if value is None or _is_nothing(value):
        return NOTHING
    return _signed(value, _digits(value, digits))


def money(value: float | None, currency: str, digits: int = 0) -> str:
    """An amount with its currency, such as ``€116,461``; unknown currencies stand as codes."""
    if value is None or _is_nothing(value):
        return NOTHING
    symbol = _SYMBOLS.get(currency, f"{currency} ")
    return _signed(value, f"{symbol}{_digits(value, digits)}")


def money_short(value: float | None, currency: str) -> str:
    """An amount for headlines and axes: ``€184k``, ``€1.2M``."""
    if value is None or _is_nothing(value):
        return NOTHING
    symbol = _SYMBOLS.get(currency, f"{currency} ")
    size = float(abs(value))
    if math.isinf(size):
        return money(value, currency)
    for limit, divisor, suffix in ((999.5e6, 1e9, "bn"), (999.5e3, 1e6, "M"), (9.995e3, 1e3, "k")):
        if size >= limit:
            digits = 1 if size / divisor < 99.95 and suffix != "k" else 0
            return _signed(value, f"{symbol}{size / divisor:,.{digits}f}{suffix}")
    return _signed(value, f"{symbol}{size:,.0f}")


def share(value: float | None, digits: int = 0) -> str:
    """A share (0–1) as per cent."""
    if value is None or _is_nothing(value):
        return NOTHING
    return _signed(value, f"{_digits(value * 100, digits)}%")


def date(value: Any) -> str:
    """A day, such as ``31 Dec 2025``."""
    if _is_nothing(value):
        return NOTHING
    day = _as_day(value)
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def month(value: Any) -> str:
    """A month, such as ``Dec 2025``."""
    if _is_nothing(value):
        return NOTHING
    day = _as_day(value)
    return f"{_MONTHS[day.month - 1]} {day.year}"


def _as_day(value: Any) -> dt.date:
    """A day of the standard library's, of pandas' or of numpy's; names of months do not depend on the machine's language."""
    if hasattr(value, "astype"):
        day: dt.date = value.astype("datetime64[D]").item()
        return day
    return dt.date(value.year, value.month, value.day)


def interval(low: float | None, high: float | None, form: Callable[[float], str]) -> str:
    """An interval whose ends are written by ``form``."""
    if low is None or high is None or _is_nothing(low) or _is_nothing(high):
        return NOTHING
    return f"{form(low)} to {form(high)}"


def plural(count: float, noun: str, nouns: str | None = None) -> str:
    """``1 client``, ``1,204 clients``."""
    return f"{number(count)} {noun if count == 1 else nouns or noun + 's'}"


def join(words: Sequence[str], last: str = "and") -> str:
    """``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def heading(column: str) -> str:
    """A column's name as a reader's heading: ``cost_to_serve`` → ``Cost to serve``."""
    words = re.sub(r"\b(clv|nps|csat|sla|id|raci|mae|rmse)\b", lambda m: m[1].upper(), column.replace("_", " "))
    return words[:1].upper() + words[1:]


def is_money_column(column: str) -> bool:
    """Whether a column holds money, told by the unit in its name."""
    words = column.lower().split("_")
    if column.endswith(_NOT_MONEY):
        return False
    return words[-1] in _MONEY_WORDS or words[0] in _MONEY_WORDS or column == "cost_to_serve"


def cell(column: str, value: Any, currency: str) -> str:
    """One table cell as text; the unit is read off the column's name."""
    if isinstance(value, str):
        return value
    if _is_nothing(value):
        return NOTHING
    if isinstance(value, bool) or type(value).__name__ in {"bool_", "bool"}:
        return "yes" if value else "no"
    if isinstance(value, dt.date) or type(value).__name__ == "datetime64":
        return month(value) if column == "month" or column.endswith("_month") else date(value)
    if not isinstance(value, int | float | Decimal) and not hasattr(value, "__float__"):
        return str(value)
    return _numeric_cell(column, float(value), currency)


def _numeric_cell(column: str, value: float, currency: str) -> str:
    whole = math.isinf(value) or value == round(value)
    if column == "share" or column.endswith("_share"):
        return share(value, 1 if abs(value) < 0.1 and value != 0 else 0)
    if is_money_column(column):
        return money(value, currency, 2 if abs(value) < 10 and not whole else 0)
    if column == "year" or column.endswith("_year"):
        return f"{value:.0f}"
    if whole:
        return number(value)
    if 0 < value < 0.0005:
        return "<0.001"
    return number(value, 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3)
