"""Stage 1, sixth room: clients that stand in the list more than once."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.engine import collect

_LEGAL_FORMS_TEXT = """
    ltd limited llc llp lp inc incorporated corp corporation co company plc pty pte gmbh ggmbh mbh ag kg kgaa ohg ug se eg
    sa sas sasu sarl eurl srl spa snc sl slu bv nv vof oy oyj ab as asa aps kft zrt doo dd sro spzoo
    ооо ао зао оао пао нао ип тоо
"""
LEGAL_FORMS = frozenset(_LEGAL_FORMS_TEXT.split())
"""Legal forms of the common languages, in lower case and without punctuation."""

_SHORTEST_TAX_ID = 5
_SHORTEST_NAME = 2
_MAX_NAMES_PER_TAX_ID = 3
_JOINED = re.compile(r"[.'’`´/]")
_APART = re.compile(r"[\W_]+")
_DOTTED_FORMS = (("sp z oo", "spzoo"), ("s r o", "sro"), ("s a", "sa"), ("s p a", "spa"), ("s r l", "srl"), ("d o o", "doo"))
_MAX_CLIENTS = 2_000_000


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Duplicates(Answer):
    """Candidates for a person to decide; ``pairs`` has one row per client that repeats another.

    ``pairs``: ``client_id``, ``duplicate_of``, ``reason``, ``revenue_total`` of the repetition.
    """

    pairs: pd.DataFrame


@answers("client_base.duplicates")
def duplicates(data: Canonical, settings: Company, facts: nw.LazyFrame[Any]) -> Duplicates:
    """Clients with the same tax number, or with the same name but for case, spaces, punctuation and legal form.

    A shared name does not count between clients whose tax numbers differ: those are two legal entities. Of a group
    the client with the most revenue of all time is kept, the others repeat it. Nothing is merged here.

    Parameters
    ----------
    data, settings
        The company.
    facts
        ``client_facts``.

    Returns
    -------
    Duplicates
        ``table`` has a row per candidate with both names.
    """
    named = facts.select("client_id", "name", "revenue_total").join(
        data.scan("clients").select("client_id", "tax_id"), on="client_id", how="left"
    )
    clients = collect(named.sort("client_id"), max_rows=_MAX_CLIENTS)
    pairs = duplicate_pairs(clients)
    names = clients.set_index("client_id")["name"]
    table = pd.DataFrame(
        {
            "client": pairs["client_id"].map(names).astype(object).fillna(pairs["client_id"]),
            "client_id": pairs["client_id"],
            "name": pairs["duplicate_of"].map(names).astype(object).fillna(pairs["duplicate_of"]),
            "duplicate_of": pairs["duplicate_of"],
            "reason": pairs["reason"],
            "revenue": pairs["revenue_total"],
        }
    ).sort_values(["revenue", "client_id"], ascending=[False, True], ignore_index=True)
    return Duplicates(
        sentence=_sentence(clients, pairs, settings),
        table=table,
        caption=f"Clients that look like a repetition of another, with their revenue of all time ({settings.currency})",
        labels={"name": "Looks like", "client_id": "Its id", "duplicate_of": "Id of that one"},
        pairs=pairs,
    )


def duplicate_pairs(clients: pd.DataFrame) -> pd.DataFrame:
    """Exact duplicates among clients.

    Parameters
    ----------
    clients
        One row per client: ``client_id``, ``name``, ``tax_id``, ``revenue_total``.

    Returns
    -------
    pandas.DataFrame
        One row per client that repeats another: ``client_id``, ``duplicate_of`` (never itself a repetition),
        ``reason`` (same tax number, same name, or both) and ``revenue_total``, by ``client_id``.
    """
    tax = clients["tax_id"].map(normal_tax_id, na_action="ignore")
    name = clients["name"].map(normal_name, na_action="ignore")
    frame = pd.DataFrame(
        {
            "client_id": clients["client_id"],
            "revenue_total": clients["revenue_total"].astype(float),
            "tax": tax.where(tax.str.len() >= _SHORTEST_TAX_ID) if tax.notna().any() else None,
            "name": name.where(name.str.len() >= _SHORTEST_NAME) if name.notna().any() else None,
        }
    ).reset_index(drop=True)
    # A number that many names share is what somebody typed into a required field.
    shared = frame.groupby("tax")["name"].transform("nunique") if frame["tax"].notna().any() else pd.Series(0, index=frame.index)
    frame = frame.assign(tax=frame["tax"].where(~(shared > _MAX_NAMES_PER_TAX_ID)))
    entity = _entities(frame)
    order = frame.assign(entity=entity).sort_values(["revenue_total", "client_id"], ascending=[False, True])
    kept = order.groupby("entity")["client_id"].transform("first")
    repeated = order.assign(duplicate_of=kept)[order["client_id"] != kept]
    original = repeated[["duplicate_of"]].merge(frame, left_on="duplicate_of", right_on="client_id", how="left")
    by_tax = repeated["tax"].notna().to_numpy() & (repeated["tax"].to_numpy() == original["tax"].to_numpy())
    by_name = repeated["name"].notna().to_numpy() & (repeated["name"].to_numpy() == original["name"].to_numpy())
    reason = np.select(
        [by_tax & by_name, by_tax, by_name],
        ["same tax number and name", "same tax number", "same name"],
        "same tax number as a namesake",
    )
    pairs = repeated.assign(reason=reason)[["client_id", "duplicate_of", "reason", "revenue_total"]]
    return pairs.sort_values("client_id", ignore_index=True)


def normal_name(name: str) -> str:
    """A client's name without case, accents, spaces, punctuation and legal forms.

    A name that is nothing but a legal form stays what it is.
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(c))
    words = _APART.sub(" ", _JOINED.sub("", plain.replace("&", " and ").replace("+", " and "))).strip()
    for spelt, form in _DOTTED_FORMS:
        words = re.sub(rf"\b{spelt}$", form, words)
    tokens = words.split()
    while len(tokens) > 1 and tokens[-1] in LEGAL_FORMS:
        tokens = tokens[:-1]
    while len(tokens) > 1 and tokens[0] in LEGAL_FORMS:
        tokens = tokens[1:]
    return "".join(tokens)


def normal_tax_id(tax_id: str) -> str:
    """A tax number without case, spaces and punctuation; empty when it has no digit but 0 in it."""
    plain = re.sub(r"[\W_]+", "", tax_id).upper()
    return plain if re.search(r"[1-9]", plain) else ""


def _entities(frame: pd.DataFrame) -> pd.Series[Any]:
    """A label per row, equal for the rows that are one entity.

    Rows with one tax number are one; a row without a number joins the entity of its name if there is only one.
    """
    by_tax = frame["tax"].map(lambda tax: f"tax {tax}", na_action="ignore")
    numbers = (
        frame.groupby("name")["tax"].transform("nunique") if frame["name"].notna().any() else pd.Series(0, index=frame.index)
    )
    the_tax = frame.groupby("name")["tax"].transform("first") if frame["name"].notna().any() else frame["tax"]
    joined = the_tax.where(numbers == 1).map(lambda tax: f"tax {tax}", na_action="ignore")
    by_name = frame["name"].where(numbers <= 1).map(lambda name: f"name {name}", na_action="ignore")
    alone = frame["client_id"].map(lambda client: f"client {client}")
    # As objects: a column in which nothing is known would be one of floats, which take no text.
    return by_tax.astype(object).fillna(joined).fillna(by_name).fillna(alone)


def _sentence(clients: pd.DataFrame, pairs: pd.DataFrame, settings: Company) -> str:
    compared = clients["name"].notna() | clients["tax_id"].notna()
    if not compared.any():
        return "Duplicates can't be found: neither names nor tax numbers are known."
    if pairs.empty:
        known = formats.plural(int(compared.sum()), "client")
        return f"Of {known} with a name or a tax number none looks like a repetition of another."
    one, revenue = len(pairs) == 1, formats.money(pairs["revenue_total"].sum(), settings.currency)
    return (
        f"{formats.plural(len(pairs), 'client')} of {formats.number(len(clients))} {'looks' if one else 'look'} like a repetition"
        f" of another, with {revenue} of revenue in all; until somebody decides,"
        f" {'it counts as a client of its' if one else 'they count as clients of their'} own everywhere."
    )
