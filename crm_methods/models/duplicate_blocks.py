"""Which clients are compared with which: all that share something, so that a large base needs far fewer than n² comparisons.

What a client is told apart by is normalised once (``match_keys``). Two clients are compared when they share a tax number, a
phone, an address or a domain of their own, when their names are equal but for one letter (Mor & Fraenkel 1982: two words
within one edit share a form with one letter left out), or when they are neighbours in the alphabet, read forwards or backwards
(the sorted-neighbourhood method, Hernández & Stolfo 1995).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_methods.models import name_matching

MAX_BLOCK = 50
"""What more clients than this share does not tell them apart: only neighbours in the alphabet are compared there."""
NEIGHBOURS = 4
"""How many followers in the alphabet each client is compared with."""
SHARED = ("tax", "phone", "email", "domain", "address", "name", "sorted_name", "seen_name")
"""Columns of ``match_keys`` of which one equal value is enough to be compared."""

_SHORTEST_MISSPELT = 5
_LONGEST_MISSPELT = 40
_MAX_NAMES_PER_TAX_ID = 3


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """Pairs of row numbers to compare, and the values that too many share: ``kind`` and ``clients`` of each."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    too_common: pd.DataFrame


def match_keys(clients: pd.DataFrame) -> pd.DataFrame:
    """What each client is told apart by, in one spelling.

    Parameters
    ----------
    clients
        One row per client: ``client_id`` and, where known, ``name``, ``tax_id``, ``phone``, ``email``, ``address``.

    Returns
    -------
    pandas.DataFrame
        One row per client, by ``client_id``: the columns of ``SHARED``, ``numbers`` (in the name) and ``forms`` (legal ones);
        an empty text is unknown. A tax number that more than three names share is what somebody typed into a required
        field, and unknown.
    """
    ordered = clients.sort_values("client_id", ignore_index=True)
    read = [name_matching.read_name(name) for name in _texts(ordered, "name")]
    keys = pd.DataFrame({"client_id": ordered["client_id"].astype(object)})
    for key, source, normal in _NORMAL:
        keys[key] = pd.Series([normal(text) for text in _texts(ordered, source)], dtype=object)
    for key, values in {
        "name": [name.key for name in read],
        "sorted_name": ["".join(sorted(name.words)) for name in read],
        "seen_name": ["".join(name.seen) for name in read],
        "numbers": [name.numbers for name in read],
        "forms": [" ".join(sorted(name.forms)) for name in read],
    }.items():
        keys[key] = pd.Series(values, dtype=object)
    names = keys.groupby("tax")["name"].transform("nunique")
    return keys.assign(tax=keys["tax"].where(names <= _MAX_NAMES_PER_TAX_ID, ""))


def comparisons(keys: pd.DataFrame) -> Comparisons:
    """The pairs of clients that share something.

    Parameters
    ----------
    keys
        ``match_keys``.

    Returns
    -------
    Comparisons
        Every pair once, the lower row number to the left.
    """
    alphabet = _alphabetical(keys["name"])
    rows = np.arange(len(keys))
    found, common = [], []
    for column in SHARED:
        values = keys[column]
        codes = np.where(values == "", -1, pd.factorize(values)[0])
        pairs, sizes = _within_blocks(codes, rows, alphabet)
        found.append(pairs)
        common.append(pd.DataFrame({"kind": column, "clients": sizes}))
    codes, owners = _one_letter_less(keys["name"])
    found.append(_within_blocks(codes, owners, alphabet)[0])
    found += [_neighbours(keys["name"]), _neighbours(keys["name"].str[::-1])]
    numbers = np.unique(np.concatenate([_numbered(pairs, len(keys)) for pairs in found]))
    left, right = np.divmod(numbers, max(len(keys), 1))
    return Comparisons(left, right, pd.concat(common, ignore_index=True))


_NORMAL: tuple[tuple[str, str, Callable[[str], str]], ...] = (
    ("tax", "tax_id", name_matching.normal_tax_id),
    ("phone", "phone", name_matching.normal_phone),
    ("email", "email", name_matching.normal_email),
    ("domain", "email", name_matching.own_domain),
    ("address", "address", name_matching.normal_address),
)


def _texts(clients: pd.DataFrame, column: str) -> list[str]:
    if column not in clients.columns:
        return [""] * len(clients)
    return ["" if missing else str(value) for value, missing in zip(clients[column], clients[column].isna(), strict=True)]


def _within_blocks(
    codes: NDArray[np.int64], owners: NDArray[np.int64], alphabet: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs (a row each) of owners with one code, and the sizes of the blocks that are too common to compare all pairs."""
    known = codes >= 0
    codes, owners = codes[known], owners[known]
    order = np.lexsort((alphabet[owners], codes))
    codes, owners = codes[order], owners[order]
    _, of, counts = np.unique(codes, return_inverse=True, return_counts=True)
    small = counts[of] <= MAX_BLOCK if len(codes) else np.zeros(0, dtype=bool)
    found = [np.empty((0, 2), dtype=np.int64)]
    for step in range(1, min(MAX_BLOCK, len(codes))):
        same = (codes[step:] == codes[:-step]) & (small[step:] | (step <= NEIGHBOURS))
        if not same.any():
            break
        found.append(np.column_stack([owners[:-step][same], owners[step:][same]]))
    return np.concatenate(found), counts[counts > MAX_BLOCK]


def _one_letter_less(names: pd.Series[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The hash of every form of a name with one letter left out, and of the name itself, with the row of the name."""
    hashes: list[int] = []
    lengths = np.zeros(len(names), dtype=np.int64)
    for row, name in enumerate(names):
        if len(name) < _SHORTEST_MISSPELT:
            continue
        forms = {name, *(name[:i] + name[i + 1 :] for i in range(min(len(name), _LONGEST_MISSPELT)))}
        hashes.extend(map(hash, forms))
        lengths[row] = len(forms)
    codes = pd.factorize(np.array(hashes, dtype=np.int64))[0]
    return codes.astype(np.int64), np.repeat(np.arange(len(names)), lengths)


def _neighbours(names: pd.Series[Any]) -> NDArray[np.int64]:
    """Pairs of rows that stand next to each other in the alphabet."""
    order = np.argsort(_alphabetical(names), kind="stable")
    order = order[names.to_numpy()[order] != ""]
    steps = range(1, min(NEIGHBOURS + 1, len(order)))
    pairs = [np.column_stack([order[:-step], order[step:]]) for step in steps]
    return np.concatenate([np.empty((0, 2), dtype=np.int64), *pairs])


def _alphabetical(names: pd.Series[Any]) -> NDArray[np.int64]:
    """The place of each name among the different names."""
    places: NDArray[np.int64] = pd.factorize(names, sort=True)[0].astype(np.int64)
    return places


def _numbered(pairs: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """Each pair as one number, the lower row first; a row with itself is none."""
    low, high = pairs.min(axis=1), pairs.max(axis=1)
    numbers: NDArray[np.int64] = (low * rows + high)[low != high]
    return numbers
