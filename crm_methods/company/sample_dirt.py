"""What years of use do to a CRM: gaps, variants, duplicates and impossible values, planted and written down.

Every function takes tables of text (as they will stand in the files) and returns new ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from crm_methods.company.sample_world import World, stream

Tables = Mapping[str, pd.DataFrame]

EXACT_DUPLICATES, VARIANT_DUPLICATES = 10, 8
_SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "telecom": ("Tele-com", "telecom ", "Telecommunications"),
    "healthcare": ("Health care", "healthcare "),
    "logistics": ("logistic", "Logistics"),
    "manufacturing": ("Manufactoring", "manufacturing "),
    "public sector": ("public-sector",),
}
# column → share missing among clients of low and of high revenue
_MISSING_OF_CLIENTS: Mapping[str, tuple[float, float]] = {
    "employees": (0.30, 0.12), "turnover": (0.45, 0.20), "industry": (0.08, 0.03), "complementary_solutions": (0.40, 0.20),
    "since": (0.25, 0.10), "email": (0.10, 0.04), "phone": (0.15, 0.06), "tax_id": (0.12, 0.05), "acquired_via": (0.30, 0.15),
    "address": (0.20, 0.08), "territory": (0.03, 0.01), "owner": (0.05, 0.01),
}  # fmt: skip
_MISSING_OF: Mapping[str, Mapping[str, float]] = {
    "contact_persons": {"email": 0.15, "phone": 0.25, "role": 0.15, "preferred_channel": 0.45},
    "deals": {"cost": 0.012, "terms": 0.10, "loss_reason": 0.15, "distribution_channel": 0.05},
    "interactions": {"topic": 0.08, "person_id": 0.6},
    "surveys": {"effort": 0.06, "rating_partnership": 0.06, "expected_delivery": 0.08, "importance_competence": 0.05},
}
_MISSING_MINUTES: Mapping[str, float] = {"phone": 0.12}
"""Share of contacts whose minutes nobody wrote down; .05 by other channels."""


@dataclass(frozen=True, slots=True, eq=False)
class Dirtied:
    """The tables as exported, and what is wrong in them."""

    tables: dict[str, pd.DataFrame]
    planted: dict[str, Any]


def dirty(tables: Tables, world: World, cells: np.ndarray, members: frozenset[str]) -> Dirtied:
    """Plant duplicates, gaps, variants and impossible values."""
    doubled, duplicates = _duplicate_clients(dict(tables), world, members)
    twice = frozenset(client for pairs in duplicates.values() for pair in pairs.items() for client in pair)
    gappy = _with_gaps(doubled, cells, twice)
    return _with_bad_values(gappy, {"duplicates": duplicates})


def _duplicate_clients(
    tables: dict[str, pd.DataFrame], world: World, members: frozenset[str]
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Enter some clients twice and share their deals and contacts between both entries."""
    random = stream("duplicates")
    clients, deals, interactions = tables["clients"], tables["deals"], tables["interactions"]
    orders = deals[deals["status"] == "won"].groupby("client_id").size()
    able = sorted(set(orders[orders >= 4].index) - members)
    originals = random.permutation(able)[: EXACT_DUPLICATES + VARIANT_DUPLICATES]
    rows: list[dict[str, Any]] = []
    pairs: dict[str, dict[str, str]] = {"exact": {}, "variants": {}}
    for number, original in enumerate(originals):
        row = dict(clients.loc[clients["client_id"] == original].iloc[0])
        twin = f"C{len(clients) + 1 + number:04d}"
        exact = number < EXACT_DUPLICATES
        pairs["exact" if exact else "variants"][twin] = str(original)
        row.update(client_id=twin, parent_id="", since="", acquired_via="", referred_by="")
        row.update(_same_name(row, number) if exact else _other_name(random, row, number))
        rows.append(row)
        deals = _hand_over(random, deals, original, twin)
        interactions = _hand_over(random, interactions, original, twin)
    owner_of_deal = deals.set_index("deal_id")["client_id"]
    owner_of_case = interactions.set_index("interaction_id")["client_id"]
    invoices, events = tables["invoices"], tables["process_events"]
    return {
        **tables,
        "clients": pd.concat([clients, pd.DataFrame(rows)], ignore_index=True),
        "deals": deals,
        "interactions": interactions,
        "invoices": invoices.assign(client_id=invoices["deal_id"].map(owner_of_deal)),
        "process_events": events.assign(client_id=events["case_id"].map(owner_of_case)),
    }, pairs


def _same_name(row: Mapping[str, Any], number: int) -> dict[str, str]:
    """The same name once case, points and spaces are set aside, and the same tax number."""
    name = str(row["name"])
    shapes = (name.upper(), name.replace(" ", "  ", 1), name.replace(".", ""), name.lower(), name)
    return {"name": shapes[number % len(shapes)]}


def _other_name(random: np.random.Generator, row: Mapping[str, Any], number: int) -> dict[str, str]:
    """A slip of the pen in the name and no tax number; phone or mail domain still match."""
    name = str(row["name"])
    at = int(random.integers(1, 4))
    swapped = name[: at - 1] + name[at] + name[at - 1] + name[at + 1 :]
    slips = (name[:at] + name[at + 1 :], name[: at + 1] + name[at:], swapped)
    kept = {"phone": ""} if number % 2 else {"email": str(row["email"]).replace("info@", "sales@"), "phone": str(row["phone"])}
    return {"name": slips[number % 3], "tax_id": "", "address": "", **kept}


def _hand_over(random: np.random.Generator, frame: pd.DataFrame, original: str, twin: str) -> pd.DataFrame:
    """Give about half of a client's rows, at least one and never all, to its twin."""
    own = np.flatnonzero((frame["client_id"] == original).to_numpy())
    given = random.permutation(own)[: len(own) // 2]
    ids = frame["client_id"].to_numpy(dtype=object, copy=True)
    ids[given] = twin
    return frame.assign(client_id=ids)


def _with_gaps(tables: dict[str, pd.DataFrame], cells: np.ndarray, twice: frozenset[str]) -> dict[str, pd.DataFrame]:
    clients = tables["clients"]
    random = stream("gaps clients")
    high = np.zeros(len(clients), dtype=bool)
    high[: len(cells)] = np.char.startswith(cells.astype(str), "high")
    kept = clients["client_id"].isin(twice).to_numpy()
    gaps = {
        column: np.where((random.random(len(clients)) < np.where(high, *reversed(shares))) & ~kept, "", clients[column])
        for column, shares in _MISSING_OF_CLIENTS.items()
    }
    industry = pd.Series(gaps["industry"])
    slip = (random.random(len(clients)) < 0.12) & industry.isin(list(_SPELLINGS)).to_numpy()
    industry[slip] = [_SPELLINGS[name][random.integers(len(_SPELLINGS[name]))] for name in industry[slip]]
    name = np.where(random.random(len(clients)) < 0.02, clients["name"] + " ", clients["name"])
    dirtied = {**tables, "clients": clients.assign(**{**gaps, "industry": industry.to_numpy(), "name": name})}
    for table, columns in _MISSING_OF.items():
        random = stream(f"gaps {table}")
        frame = dirtied[table]
        dirtied[table] = frame.assign(
            **{c: np.where(random.random(len(frame)) < share, "", frame[c]) for c, share in columns.items()}
        )
    random = stream("gaps minutes")
    contacts = dirtied["interactions"]
    share = contacts["channel"].map(_MISSING_MINUTES).fillna(0.05).to_numpy()
    minutes = np.where(random.random(len(contacts)) < share, "", contacts["handling_minutes"])
    return {**dirtied, "interactions": contacts.assign(handling_minutes=minutes)}


def _with_bad_values(tables: dict[str, pd.DataFrame], planted: dict[str, Any]) -> Dirtied:
    """Spoil single cells, each in a row of its own, and repeat some rows."""
    random = stream("bad values")
    deals, contacts, lines = tables["deals"], tables["interactions"], tables["deal_lines"]
    won = random.permutation(np.flatnonzero((deals["status"] == "won").to_numpy()))
    dates, amounts, orphans, repeated = won[:7], won[7:15], won[15:18], np.sort(won[18:30])
    deals = _spoil(deals, "closed_on", dates, ("2099-01-01", "2024-02-30", "2099-12-31", "0000-00-00"))
    deals = _spoil(deals, "amount", amounts, ("n/a", "12,5x", "tbd", "#REF!"))
    deals = _spoil(deals, "client_id", orphans, ("C9901", "C9902", "C9903"))
    rows = random.permutation(len(contacts))
    late, again = rows[:6], np.sort(rows[6:21])
    contacts = _spoil(contacts, "started_at", late, ("2099-05-04 10:00", "2024-02-30 09:15"))
    of_phone = np.flatnonzero((lines["product_id"] == "EQ-PHN").to_numpy())
    misspelt = np.sort(random.permutation(of_phone)[:4])
    surveys = tables["surveys"]
    too_high = np.sort(random.permutation(len(surveys))[:3])
    planted = {
        **planted,
        "bad_values": {
            "deals": {
                "impossible_closed_on": sorted(deals["deal_id"].iloc[dates]),
                "repeated_rows": sorted(deals["deal_id"].iloc[repeated]),
                "unknown_clients": sorted(deals["deal_id"].iloc[orphans]),
                "unparsable_amount": sorted(deals["deal_id"].iloc[amounts]),
            },
            "interactions": {
                "impossible_started_at": sorted(contacts["interaction_id"].iloc[late]),
                "repeated_rows": sorted(contacts["interaction_id"].iloc[again]),
            },
            "deal_lines": {"misspelt_product": sorted(lines["deal_id"].iloc[misspelt])},
            "surveys": {"nps_over_10": sorted(surveys["response_id"].iloc[too_high])},
        },
    }
    return Dirtied(
        tables={
            **tables,
            "deals": pd.concat([deals, deals.iloc[repeated]], ignore_index=True),
            "interactions": pd.concat([contacts, contacts.iloc[again]], ignore_index=True),
            "deal_lines": _spoil(lines, "product_id", misspelt, ("EQPHN", "EQ PHN")),
            "surveys": _spoil(surveys, "nps", too_high, ("11", "99")),
        },
        planted=planted,
    )


def _spoil(frame: pd.DataFrame, column: str, rows: np.ndarray, values: tuple[str, ...]) -> pd.DataFrame:
    cells = frame[column].to_numpy(dtype=object, copy=True)
    cells[rows] = [values[i % len(values)] for i in range(len(rows))]
    return frame.assign(**{column: cells})
