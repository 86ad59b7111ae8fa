"""Stage 1: categories that are spelt in several ways, joined by a stated rule or proposed to a person."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, answers
from crm_methods.company.intake import Canonical
from crm_methods.engine import collect

CATEGORIES = ("industry", "territory")
"""Columns of clients whose values are names of groups."""

_ALIKE = 0.85
_SHORTEST_STEM = 5
_MAX_COMPARED = 300
_MAX_SPELLINGS = 100_000


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Spellings(Answer):
    """``rules`` has one row per column and spelling: ``column``, ``written``, ``clients``, ``counted_as``, ``perhaps``."""

    rules: pd.DataFrame


@answers("client_base.spellings")
def spellings(data: Canonical) -> Spellings:
    """Which groups of clients are written in several ways.

    Returns
    -------
    Spellings
        ``table``: the spellings that count as another one (the same letters and digits, the commonest spelling
        stands for all), and those that a person should look at, which count as they are.
    """
    rules = pd.concat([spelling_rules(data, column) for column in CATEGORIES], ignore_index=True)
    joined = rules["written"] != rules["counted_as"]
    # A spelling that is counted as another one needs no decision of its own.
    asked = (rules["perhaps"] != "") & ~joined
    table = rules[joined | asked].sort_values(["column", "counted_as", "written"], ignore_index=True)
    return Spellings(
        sentence=_sentence(rules, int(joined.sum()), int(asked.sum())),
        table=table.assign(counted_as=table["counted_as"].where(table["written"] != table["counted_as"], "")),
        caption="Spellings that are counted as another one, and those that somebody should decide on",
        labels={"column": "Column of clients", "written": "Written", "perhaps": "Perhaps the same as"},
        rules=rules,
    )


def spelling_rules(data: Canonical, column: str) -> pd.DataFrame:
    """How each spelling of a column of clients counts.

    Parameters
    ----------
    data
        The canonical tables.
    column
        A text column of ``clients``.

    Returns
    -------
    pandas.DataFrame
        One row per spelling: ``column``, ``written``, ``clients``, ``counted_as`` (the commonest spelling with the
        same letters and digits; of equally common ones the first in the alphabet) and ``perhaps`` (a commoner one
        that looks alike, else empty).
    """
    named = data.scan("clients").filter(~nw.col(column).is_null())
    counted = collect(named.group_by(column).agg(nw.len().alias("clients")), max_rows=_MAX_SPELLINGS)
    return rules_of(counted.rename(columns={column: "written"})).assign(column=column)[
        ["column", "written", "clients", "counted_as", "perhaps"]
    ]


def rules_of(counted: pd.DataFrame) -> pd.DataFrame:
    """``spelling_rules`` of counted spellings (``written``, ``clients``); their order changes nothing."""
    ordered = counted.sort_values(["clients", "written"], ascending=[False, True], ignore_index=True)
    letters = ordered["written"].astype(str).map(_letters)
    # Written with signs alone ("—") it has no letters to compare.
    letters = letters.where(letters != "", ordered["written"].astype(str))
    counted_as = ordered.groupby(letters)["written"].transform("first")
    commoner: list[str] = []
    perhaps: dict[str, str] = {}
    for written in counted_as.drop_duplicates().head(_MAX_COMPARED):
        perhaps[written] = next((other for other in commoner if _looks_alike(written, other)), "")
        commoner.append(written)
    return ordered.assign(counted_as=counted_as, perhaps=counted_as.map(perhaps).fillna(""))


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.casefold())


def _looks_alike(left: str, right: str) -> bool:
    a, b = _letters(left), _letters(right)
    if re.sub(r"\D", "", a) != re.sub(r"\D", "", b):
        return False
    short, long = sorted((a, b), key=len)
    if len(short) >= _SHORTEST_STEM and long.startswith(short):
        return True
    return difflib.SequenceMatcher(None, a, b).ratio() >= _ALIKE


def _sentence(rules: pd.DataFrame, joined: int, asked: int) -> str:
    if rules.empty:
        return f"Neither {formats.join(CATEGORIES, 'nor')} of any client is known."
    if not joined and not asked:
        return f"No two spellings of an {formats.join(CATEGORIES, 'or')} look alike."
    parts = []
    if joined:
        one = joined == 1
        parts.append(
            f"{formats.plural(joined, 'spelling')} {'differs' if one else 'differ'} from a commoner one in case, spaces and"
            f" punctuation alone and {'counts' if one else 'count'} as that"
        )
    if asked:
        clients = int(rules.loc[(rules["perhaps"] != "") & (rules["written"] == rules["counted_as"]), "clients"].sum())
        parts.append(
            f"{formats.plural(asked, 'other spelling' if joined else 'spelling')} ({formats.plural(clients, 'client')})"
            f" {'looks' if asked == 1 else 'look'} like a commoner one and {'counts' if asked == 1 else 'count'} as"
            f" {'it is' if asked == 1 else 'they are'} until somebody decides"
        )
    text = "; ".join(parts)
    return f"{text[:1].upper() + text[1:]}."
