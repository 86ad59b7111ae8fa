"""Stage 1, sixth room: clients that stand in the list more than once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.engine import collect
from crm_methods.models.duplicate_blocks import SHARED, comparisons, match_keys
from crm_methods.models.duplicate_entities import repetitions
from crm_methods.models.duplicate_scores import scored_pairs

MAX_COMPARED = 300_000
"""Of more clients with something known to tell them apart, those with the most revenue are compared."""
_TOLD_APART_BY = ("tax_id", "phone", "email", "address")
_DECISION = ("client_id", "into", "decision", "decided_by")
_SHOWN_OF_BOTH = ("name", "tax_id", "phone", "revenue_total")
_COMMON = {"tax": "tax number", "phone": "phone", "email": "e-mail", "domain": "e-mail domain", "address": "address"}
_MAX_DECISIONS = 1_000_000


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Duplicates(Answer):
    """Candidates for a person to decide, without those that somebody has decided already.

    ``pairs``: one row per client that repeats another: ``client_id``, ``duplicate_of``, ``reason``, ``score`` (0–1) and
    ``revenue_total`` of the repetition. ``clients``: one row per client of a pair, with what a person must see to decide.
    ``decided``: the decisions so far, as they stand in ``merges``.
    """

    pairs: pd.DataFrame
    clients: pd.DataFrame
    decided: pd.DataFrame


@answers("client_base.duplicates")
def duplicates(data: Canonical, settings: Company, facts: nw.LazyFrame[Any]) -> Duplicates:
    """Clients that are likely one, by tax number, name, phone, e-mail, its domain and address, with the reasons.

    Names are compared without case, signs, accents and legal forms, in one alphabet, and may be misspelt. Of several
    records of one client the one with the most revenue of all time is kept, the others repeat it. Nothing is merged
    here: a person decides, in ``merges.csv``, and what is decided there is not asked again.

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
    clients, known, everybody = _clients(data, facts)
    decided = decisions(data)
    keys = match_keys(clients)
    compared = comparisons(keys)
    tax, revenue = (dict(zip(f["client_id"], f[c], strict=True)) for f, c in ((keys, "tax"), (clients, "revenue_total")))
    pairs = repetitions(scored_pairs(keys, compared), tax, revenue, _apart(data, decided))
    concerned = clients[clients["client_id"].isin({*pairs["client_id"], *pairs["duplicate_of"]})].reset_index(drop=True)
    said = (
        _found_sentence(keys, pairs, everybody, settings), _left_out_sentence(len(clients), known),
        _common_sentence(compared.too_common), _decided_sentence(decided),
    )  # fmt: skip
    return Duplicates(
        sentence=" ".join(part for part in said if part),
        table=_table(pairs, concerned),
        caption=f"Clients that look like a repetition of another, with their revenue of all time ({settings.currency})",
        labels={"name": "Looks like", "client_id": "Its id", "duplicate_of": "Id of that one", "score": "Score, 0–1"},
        pairs=pairs,
        clients=concerned,
        decided=decided,
    )


def to_decide(answer: Duplicates) -> pd.DataFrame:
    """The list for the person who decides, which becomes ``merges.csv`` once it is filled in.

    Parameters
    ----------
    answer
        The candidates.

    Returns
    -------
    pandas.DataFrame
        One row per candidate, the likeliest first: ``client_id``, ``into``, ``decision`` and ``decided_by`` (both empty),
        ``score``, ``reason``, then name, tax number, phone and revenue of either. Below them the decisions so far, so
        that none is lost when the list replaces the earlier ``merges.csv``.
    """
    asked = answer.pairs.sort_values(["score", "revenue_total", "client_id"], ascending=[False, False, True])
    listed = asked.rename(columns={"duplicate_of": "into"})[["client_id", "into", "score", "reason"]]
    rows = pd.concat([listed, answer.decided], ignore_index=True).reindex(columns=[*_DECISION, "score", "reason"])
    known = answer.clients.set_index("client_id")
    for column in _SHOWN_OF_BOTH:
        for suffix, of in (("", "client_id"), ("_into", "into")):
            rows[f"{column}{suffix}"] = rows[of].map(known[column])
    return rows


def decisions(data: Canonical) -> pd.DataFrame:
    """What has been decided: one row per row of ``merges`` that says same or different, by ``client_id`` and ``into``.

    Parameters
    ----------
    data
        The canonical tables.
    """
    made = data.scan("merges").filter(~nw.col("decision").is_null()).select(*_DECISION)
    found = collect(made, max_rows=_MAX_DECISIONS).drop_duplicates(["client_id", "into"])
    return found.astype(object).sort_values(["client_id", "into"], ignore_index=True)


def _clients(data: Canonical, facts: nw.LazyFrame[Any]) -> tuple[pd.DataFrame, int, int]:
    """The clients that are compared, by id; of how many anything is known to tell them apart; how many there are in all."""
    listed = facts.select("client_id", "name", "revenue_total").join(
        data.scan("clients").select("client_id", *_TOLD_APART_BY), on="client_id", how="left"
    )
    known = listed.filter(~nw.coalesce("name", *_TOLD_APART_BY).is_null())
    n_known, n_listed = (int(collect(frame.select(nw.len().alias("n")))["n"].iloc[0]) for frame in (known, listed))
    largest = known.sort("revenue_total", "client_id", descending=[True, False]).head(MAX_COMPARED)
    clients = collect(largest, max_rows=MAX_COMPARED).sort_values("client_id", ignore_index=True)
    return clients.astype({"client_id": object, "revenue_total": float}), n_known, n_listed


def _apart(data: Canonical, decided: pd.DataFrame) -> list[tuple[str, str]]:
    """The pairs decided to be different, as the units they belong to now."""
    different = decided[decided["decision"] == "different"]
    unit: dict[str, str] = {}
    if len(different):
        named = [*different["client_id"], *different["into"]]
        members = data.members.filter(nw.col("client_id").is_in(named))
        found = collect(members, ["client_id", "unit_id"], max_rows=_MAX_DECISIONS)
        unit = dict(zip(found["client_id"], found["unit_id"], strict=True))
    return [(unit.get(a, a), unit.get(b, b)) for a, b in zip(different["client_id"], different["into"], strict=True)]


def _table(pairs: pd.DataFrame, clients: pd.DataFrame) -> pd.DataFrame:
    names = clients.set_index("client_id")["name"].astype(object)
    table = pd.DataFrame(
        {
            "client": pairs["client_id"].map(names).astype(object).fillna(pairs["client_id"]),
            "client_id": pairs["client_id"],
            "name": pairs["duplicate_of"].map(names).astype(object).fillna(pairs["duplicate_of"]),
            "duplicate_of": pairs["duplicate_of"],
            "score": pairs["score"],
            "reason": pairs["reason"],
            "revenue": pairs["revenue_total"],
        }
    )
    return table.sort_values(["revenue", "client_id"], ascending=[False, True], ignore_index=True)


def _found_sentence(keys: pd.DataFrame, pairs: pd.DataFrame, everybody: int, settings: Company) -> str:
    compared = int((keys[list(SHARED)] != "").any(axis=1).sum())
    if not compared:
        return "Duplicates can't be found: neither names nor tax numbers, phones, e-mails or addresses are known."
    if pairs.empty:
        known = formats.plural(compared, "client")
        return f"Of {known} with a name or anything else to tell them apart none looks like a repetition of another."
    one, revenue = len(pairs) == 1, formats.money(pairs["revenue_total"].sum(), settings.currency)
    return (
        f"{formats.plural(len(pairs), 'client')} of {formats.number(everybody)} {'looks' if one else 'look'} like a repetition"
        f" of another, with {revenue} of revenue in all; until somebody decides,"
        f" {'it counts as a client of its' if one else 'they count as clients of their'} own everywhere."
    )


def _left_out_sentence(compared: int, known: int) -> str:
    if compared == known:
        return ""
    left = known - compared
    others = f"{formats.plural(left, 'other client')} {'was' if left == 1 else 'were'} not"
    return (
        f"Of those with anything known to tell them apart, the {formats.plural(compared, 'client')} with the most revenue were"
        f" compared, {others}."
    )


def _common_sentence(too_common: pd.DataFrame) -> str:
    """What so many clients share that not all of them were compared."""
    told = too_common[too_common["kind"].isin(list(_COMMON))]
    if told.empty:
        return ""
    worst = told.sort_values(["clients", "kind"], ascending=[False, True]).iloc[0]
    one = len(told) == 1
    return (
        f"{formats.plural(len(told), 'value')} {'is' if one else 'are'} shared by too many clients to compare them all"
        f" ({'' if one else 'the commonest, '}one {_COMMON[worst['kind']]}, by {formats.number(worst['clients'])}):"
        " there each was compared with its neighbours in the alphabet."
    )


def _decided_sentence(decided: pd.DataFrame) -> str:
    if decided.empty:
        return ""
    same, apart = (int((decided["decision"] == what).sum()) for what in ("same", "different"))
    parts = [f"{formats.plural(same, 'client')} merged into another"] if same else []
    parts += [f"{formats.plural(apart, 'pair')} kept apart"] if apart else []
    made = f"{formats.plural(len(decided), 'decision')} of the table merges {'was' if len(decided) == 1 else 'were'} applied"
    return f"{made}: {formats.join(parts)}."
