"""How likely two clients are one: evidence for and against, added up in bits, as a score between 0 and 1 with its reasons.

Each piece of evidence adds its weight, the binary logarithm of how much more often it is seen between two records of one client
than between two clients (Fellegi & Sunter 1969, "A theory for record linkage"); the score is 1 ÷ (1 + 2^−sum). The weights are
judgements, not estimates: a base has too few known duplicates to learn them from. What many clients share says less: a phone,
an address or a domain loses log₂ of the number of the others that share it, so that the domain of a group tells nothing.

Names are compared by the normalised Indel similarity of rapidfuzz (1 − insertions and deletions ÷ letters of both), on the
words in their order, sorted, and with look-alike letters taken for one another, whichever is most alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rapidfuzz import distance, fuzz, process

from crm_methods import formats
from crm_methods.models.duplicate_blocks import Comparisons

PRIOR = -4.0
"""Bits against any pair that is compared: most of them are two clients."""
WEIGHTS = {
    "tax_same": 12.0, "tax_near": 3.0, "tax_differs": -12.0,
    "email_same": 6.0, "domain_same": 4.0, "domain_differs": -1.0,
    "phone_same": 5.0, "phone_differs": -1.0,
    "address_same": 2.0,
    "forms_differ": -2.0, "numbers_differ": -6.0,
}  # fmt: skip
"""Bits for and against two records being one client; what is unknown of one of them counts nothing."""
NAME_WEIGHTS = ((1.0, 7.0), (0.95, 5.0), (0.90, 4.0), (0.85, 3.0), (0.75, 0.0), (0.0, -6.0))
"""Bits by how alike the names are, from this share on."""
PROPOSED_FROM = 0.66
"""Score from which a pair is proposed to a person: odds of two to one."""

_NAMESAKES_COST = 2.0
_CHUNK = 500_000
_SAME = (
    ("tax", "tax_same"),
    ("email", "email_same"),
    ("domain", "domain_same"),
    ("phone", "phone_same"),
    ("address", "address_same"),
)


def scored_pairs(keys: pd.DataFrame, compared: Comparisons, proposed_from: float = PROPOSED_FROM) -> pd.DataFrame:
    """The compared pairs that are likely enough to be one client.

    Parameters
    ----------
    keys
        ``duplicate_blocks.match_keys``.
    compared
        ``duplicate_blocks.comparisons`` of them.
    proposed_from
        The lowest score, 0–1.

    Returns
    -------
    pandas.DataFrame
        One row per pair, the likeliest first: ``left`` and ``right`` (client ids, in their order), ``score`` (0–1) and
        ``reason`` in words.
    """
    shared = {column: _others(keys[column]) for column in ("phone", "email", "domain", "address", "name")}
    kept = []
    for start in range(0, len(compared.left), _CHUNK):
        left, right = compared.left[start : start + _CHUNK], compared.right[start : start + _CHUNK]
        evidence = _evidence(keys, left, right)
        score = 1 / (1 + np.exp2(-_bits(evidence, shared, left)))
        likely = score >= proposed_from
        kept.append(evidence[likely].assign(left=left[likely], right=right[likely], score=score[likely]))
    pairs = pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=["left", "right", "score"])
    ids = keys["client_id"].to_numpy()
    named = pd.DataFrame(
        {
            "left": ids[pairs["left"].astype(int)],
            "right": ids[pairs["right"].astype(int)],
            "score": pairs["score"].astype(float).round(4),
            "reason": pd.Series([_reason(row) for row in pairs.to_dict("records")], dtype=object),
        }
    )
    return named.sort_values(["score", "left", "right"], ascending=[False, True, True], ignore_index=True)


def name_similarity(keys: pd.DataFrame, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float64]:
    """How alike the names of pairs of rows are, 0–1; not a number where one has no name."""
    alike = np.zeros(len(left))
    for column in ("name", "sorted_name", "seen_name"):
        values = keys[column].to_numpy()
        one, other = values[left], values[right]
        likeness = process.cpdist(one, other, scorer=fuzz.ratio, dtype=np.float64) / 100
        alike = np.maximum(alike, likeness)
    unnamed = (keys["name"].to_numpy()[left] == "") | (keys["name"].to_numpy()[right] == "")
    return np.where(unnamed, np.nan, alike)


def _evidence(keys: pd.DataFrame, left: NDArray[np.int64], right: NDArray[np.int64]) -> pd.DataFrame:
    """A row per pair: whether each thing is the same, and whether it differs; neither where one of them is unknown."""
    found: dict[str, Any] = {"alike": name_similarity(keys, left, right)}
    for column in ("tax", "email", "domain", "phone", "address", "forms"):
        one, other = keys[column].to_numpy()[left], keys[column].to_numpy()[right]
        known = (one != "") & (other != "")
        found[f"{column}_same"], found[f"{column}_differs"] = known & (one == other), known & (one != other)
    numbers = keys["numbers"].to_numpy()
    # A client without a name has no numbers in it that could differ.
    found["numbers_differ"] = ~np.isnan(found["alike"]) & (numbers[left] != numbers[right])
    found["tax_near"] = _one_character_off(keys["tax"].to_numpy(), left, right, found["tax_differs"])
    found["tax_differs"] = found["tax_differs"] & ~found["tax_near"]
    found["domain_same"] = found["domain_same"] & ~found["email_same"]
    return pd.DataFrame(found)


def _one_character_off(
    tax: NDArray[Any], left: NDArray[np.int64], right: NDArray[np.int64], differs: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    near = np.zeros(len(left), dtype=bool)
    if differs.any():
        apart = process.cpdist(tax[left[differs]], tax[right[differs]], scorer=distance.OSA.distance, dtype=np.int32)
        near[differs] = apart == 1
    return near


def _bits(evidence: pd.DataFrame, others: dict[str, NDArray[np.float64]], left: NDArray[np.int64]) -> NDArray[np.float64]:
    """The sum of the weights of each pair."""
    alike = evidence["alike"].to_numpy()
    bits = np.full(len(evidence), PRIOR)
    bits += np.select([alike >= least for least, _ in NAME_WEIGHTS], [weight for _, weight in NAME_WEIGHTS], 0.0)
    bits -= np.where(alike >= 1, np.minimum(others["name"][left], _NAMESAKES_COST), 0.0)
    for column, what in _SAME:
        rarer = others[column][left] if column in others else 0.0
        bits += evidence[what].to_numpy() * np.maximum(WEIGHTS[what] - rarer, 0.0)
    for what in ("tax_near", "tax_differs", "domain_differs", "phone_differs", "numbers_differ"):
        bits += evidence[what].to_numpy() * WEIGHTS[what]
    bits += evidence["forms_differs"].to_numpy() * WEIGHTS["forms_differ"]
    return bits


def _others(values: pd.Series[Any]) -> NDArray[np.float64]:
    """log₂ of the number of other clients with the same value."""
    sizes = values.groupby(values).transform("size").to_numpy(dtype=float)
    bits: NDArray[np.float64] = np.log2(np.maximum(sizes - 1, 1))
    return bits


def _reason(pair: dict[str, Any]) -> str:
    """What speaks for one client, then what speaks against it."""
    same = {"tax": "same tax number", "email": "same e-mail", "domain": "same e-mail domain", "phone": "same phone"}
    said = [text for column, text in same.items() if pair[f"{column}_same"]]
    said += ["tax numbers one character apart"] if pair["tax_near"] else []
    if pair["alike"] == pair["alike"]:
        said.append("same name" if pair["alike"] >= 1 else f"name {formats.share(min(pair['alike'], 0.99))} alike")
    said += ["same address"] if pair["address_same"] else []
    against = {
        "tax_differs": "tax numbers",
        "phone_differs": "phones",
        "domain_differs": "e-mail domains",
        "forms_differs": "legal forms",
    }
    other = [text for what, text in against.items() if pair[what]]
    other += ["numbers in the name"] if pair["numbers_differ"] else []
    return ", ".join(said) + (f"; but other {formats.join(other)}" if other else "")
