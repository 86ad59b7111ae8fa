"""The sample's clients and persons as a CRM holds them, and what they say in surveys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from crm_methods.company.sample_deals import OWNERS, owner_of
from crm_methods.company.sample_programmes import day
from crm_methods.company.sample_world import DAYS, FIRST_DAY, Ints, World, spread, stream

_FIRST = (
    "Alder", "Baltic", "Cedar", "Delta", "Ember", "Fjord", "Garnet", "Helios", "Iris", "Juniper", "Kestrel", "Lumen", "Mistral",
    "Nimbus", "Opal", "Pioneer", "Quartz", "Rhenus", "Saxon", "Tundra", "Umber", "Vela", "Westal", "Xenia", "Yarrow", "Zenith",
    "Arden", "Borealis", "Corvus", "Dorado",
)  # fmt: skip
_SECOND: Mapping[str, tuple[str, ...]] = {
    "telecom": ("Telecom", "Networks", "Mobile", "Cable", "Fibre", "Wireless"),
    "healthcare": ("Clinic", "Hospital", "Pharma", "Care", "Labs"),
    "logistics": ("Freight", "Cargo", "Shipping", "Parcel", "Transit"),
    "finance": ("Bank", "Insurance", "Capital", "Leasing"),
    "manufacturing": ("Foundry", "Machines", "Plastics", "Steel", "Tools", "Glass"),
    "public sector": ("Council", "Schools", "Utilities", "Library"),
    "hospitality": ("Hotels", "Resorts", "Lodges"),
}
_FORMS = ("GmbH", "AG", "Ltd", "B.V.", "S.A.", "LLC", "Sp. z o.o.", "S.r.l.")
_GIVEN = (
    "Anna", "Boris", "Clara", "David", "Elena", "Frank", "Greta", "Hugo", "Ines", "Jan", "Katja", "Luis", "Marta", "Nils", "Olga",
    "Pavel", "Rosa", "Stefan", "Tina", "Viktor",
)  # fmt: skip
_FAMILY = (
    "Albers", "Bianchi", "Costa", "Dahl", "Evans", "Fischer", "Garcia", "Hansen", "Ivanov", "Jansen", "Kowalski", "Lindgren",
    "Moreau", "Novak", "Olsen", "Petrov", "Rossi", "Schmid", "Tamm", "Weber",
)  # fmt: skip
_CITIES: Mapping[str, tuple[str, ...]] = {
    "North": ("Norhaven", "Kielby"), "South": ("Portasol", "Montara"), "East": ("Wislow", "Orava"),
    "West": ("Lysford", "Ghentam"), "Alps": ("Talberg",),
}  # fmt: skip
_COUNTRY: Mapping[str, str] = {"North": "DK", "South": "IT", "East": "PL", "West": "NL", "Alps": "AT"}

CRITERIA = ("product", "delivery", "support_speed", "competence", "price", "partnership")
DRIVERS: Mapping[str, float] = {
    "product": 0.20, "delivery": 0.10, "support_speed": 0.34, "competence": 0.20, "price": 0.06, "partnership": 0.10,
}  # fmt: skip
"""True weight of each criterion in overall satisfaction."""
STATED: Mapping[str, float] = {
    "product": 4.2, "delivery": 3.4, "support_speed": 3.6, "competence": 3.5, "price": 4.5, "partnership": 2.8,
}  # fmt: skip
"""What clients *say* matters (1–5): price first, although it hardly drives satisfaction."""
SPEED_BY_CELL: Mapping[str, float] = {"high_low": 0.7, "high_high": 0.1, "low_low": 0.0, "low_high": -0.9}
STAFF_OPTIMISM = 0.8
WAVES = ("2024-05-15", "2024-11-15", "2025-05-15", "2025-11-12")
RESPONSE_SHARE = 0.40
_REMARKS: Mapping[str, float] = {
    "": 0.85, "quick help, thank you": 0.06, "we waited too long": 0.05, "call me before you ship": 0.04,
}  # fmt: skip


def client_records(world: World) -> pd.DataFrame:
    """The client file, complete and correct: the dirt comes later."""
    random = stream("client records")
    clients = world.clients
    n = len(clients)
    first, second = _name_parts(random, clients["industry"])
    form = np.array(_FORMS, dtype=object)[random.integers(0, len(_FORMS), n)]
    domain = [f"{a}-{b}.example".lower() for a, b in zip(first, second, strict=True)]
    employees = np.maximum(np.round(np.exp(4.6 + 1.1 * clients["size"])), 3).astype(int)
    turnover = np.round(employees * np.exp(11.6 + 0.35 * random.standard_normal(n)), -4)
    since = clients["start"] - clients["tenure_days"]
    via = spread(random, {"referral": 0.2, "tender": 0.18, "fair": 0.15, "web": 0.22, "partner": 0.15, "cold call": 0.1}, n)
    parents = random.choice(n, 16, replace=False)
    is_child = (random.random(n) < 0.075) & ~np.isin(np.arange(n), parents)
    numbers = 100_000_000 + random.permutation(800_000_000 // 1000)[:n] * 1000 + random.integers(0, 1000, n)
    return pd.DataFrame(
        {
            "client_id": clients["client_id"],
            "name": [f"{a} {b} {f}" for a, b, f in zip(first, second, form, strict=True)],
            "parent_id": np.where(is_child, clients["client_id"].to_numpy()[random.choice(parents, n)], ""),
            "tax_id": [f"{_COUNTRY[t]}{number}" for t, number in zip(clients["territory"], numbers, strict=True)],
            "industry": clients["industry"],
            "territory": clients["territory"],
            "employees": employees.astype(str),
            "turnover": turnover.astype(np.int64).astype(str),
            "complementary_solutions": spread(
                random, {"cloud telephony": 0.25, "ERP": 0.3, "CCTV": 0.15, "SD-WAN": 0.2, "none": 0.1}, n
            ),
            "owner": owner_of(world),
            "since": (FIRST_DAY + since.to_numpy()).astype(str),
            "acquired_via": via,
            "referred_by": _referrers(random, world, via),
            "email": [f"info@{d}" for d in domain],
            "phone": [f"+{40 + i % 9} 555 {random.integers(1000, 9999)} {random.integers(10, 99)}" for i in range(n)],
            "address": [
                f"{random.integers(1, 180)} {a} Street, {random.choice(_CITIES[t])}"
                for a, t in zip(second, clients["territory"], strict=True)
            ],
        }
    )


def _name_parts(random: np.random.Generator, industries: pd.Series[str]) -> tuple[list[str], list[str]]:
    """Two words for each client, the second from its line of business; no two clients share both."""
    free = {industry: [(a, b) for a in _FIRST for b in seconds] for industry, seconds in _SECOND.items()}
    shuffled = {industry: [pairs[i] for i in random.permutation(len(pairs))] for industry, pairs in free.items()}
    names = [shuffled[industry].pop() for industry in industries]
    return [a for a, _ in names], [b for _, b in names]


def _referrers(random: np.random.Generator, world: World, via: np.ndarray) -> list[str]:
    """A referred client was brought by a loyal one that was there before."""
    loyal = world.clients.query("tenure_days > 0 and loyalty > 0.3")["client_id"].to_numpy()
    by = random.choice(loyal, len(via), p=np.full(len(loyal), 1 / len(loyal)))
    own = world.clients["client_id"].to_numpy()
    return [str(b) if v == "referral" and b != o else "" for v, b, o in zip(via, by, own, strict=True)]


def person_records(world: World, emails: Sequence[str]) -> pd.DataFrame:
    """One to three persons per client, with role, preferred channel and consent."""
    random = stream("contact_persons")
    per_client = 1 + random.binomial(2, 0.35 / (1 + np.exp(-world.clients["size"].to_numpy())) + 0.15)
    client = np.repeat(world.clients.index.to_numpy(), per_client)
    n = len(client)
    given, family = random.choice(_GIVEN, n), random.choice(_FAMILY, n)
    consent = {
        channel: np.where(random.random(n) < 0.12, "", np.where(random.random(n) < share, "true", "false"))
        for channel, share in (("email", 0.78), ("phone", 0.66), ("post", 0.55), ("visit", 0.72))
    }
    return pd.DataFrame(
        {
            "person_id": [f"P{i + 1:04d}" for i in range(n)],
            "client": client,
            "name": [f"{g} {f}" for g, f in zip(given, family, strict=True)],
            "role": spread(random, {"buyer": 0.34, "IT manager": 0.34, "director": 0.18, "user": 0.14}, n),
            "email": [f"{g[0]}.{f}@{emails[c].split('@')[1]}".lower() for g, f, c in zip(given, family, client, strict=True)],
            "phone": [f"+{40 + c % 9} 555 {random.integers(1000, 9999)} {random.integers(10, 99)}" for c in client],
            "preferred_channel": spread(random, {"email": 0.42, "phone": 0.3, "visit": 0.18, "portal": 0.1}, n),
            **{f"consent_{channel}": values for channel, values in consent.items()},
        }
    )


def survey_answers(world: World, cells: np.ndarray, persons: pd.DataFrame) -> pd.DataFrame:
    """Four waves; the satisfied and the large answer more often, and some answers are our own staff's guess."""
    random = stream("surveys")
    clients = world.clients
    n = len(clients)
    mood = 0.5 * random.standard_normal((n, len(CRITERIA))) + 0.25 * clients["loyalty"].to_numpy()[:, None]
    mood[:, CRITERIA.index("support_speed")] += np.array([SPEED_BY_CELL[cell] for cell in cells])
    mood[:, CRITERIA.index("price")] -= 0.6
    weights = np.array([DRIVERS[criterion] for criterion in CRITERIA])
    lean = mood @ weights + 0.2 * clients["size"].to_numpy()
    chance = RESPONSE_SHARE * np.exp(0.35 * lean) / np.exp(0.35 * lean).mean()
    first_person = persons.groupby("client")["person_id"].first()
    frames = []
    for wave in WAVES:
        on = day(wave)
        alive = ((clients["start"] < on) & (clients["end"] > on - 365)).to_numpy()
        client = np.flatnonzero(alive & (random.random(n) < chance))
        frames.append(_wave(random, client, on, mood, weights).assign(person_id=first_person.loc[client].to_numpy()))
    answers = pd.concat(frames, ignore_index=True).sort_values(["on", "client"], kind="stable", ignore_index=True)
    return answers.assign(response_id=[f"R{i + 1:04d}" for i in range(len(answers))])


def _wave(random: np.random.Generator, client: Ints, on: int, mood: np.ndarray, weights: np.ndarray) -> pd.DataFrame:
    n = len(client)
    staff = random.random(n) < 0.08
    felt = mood[client] + 0.7 * random.standard_normal((n, len(CRITERIA))) + STAFF_OPTIMISM * staff[:, None]
    ratings = np.clip(np.round(6.8 + 1.5 * felt), 1, 10)
    overall = ((ratings - 6.8) / 1.5) @ weights + 0.22 * random.standard_normal(n)
    nps = np.clip(np.round(7.4 + 2.4 * overall), 0, 10).astype(int)
    csat = np.clip(np.round(3.7 + 1.15 * overall), 1, 5).astype(int)
    unhappy = (nps <= 6) & (random.random(n) < 0.6)
    reasons = spread(random, {"slow support": 0.4, "price": 0.25, "product gaps": 0.2, "delivery": 0.15}, n)
    remarks = spread(random, _REMARKS, n)
    columns = {
        "client": client,
        "on": np.minimum(on + random.integers(0, 21, n), DAYS - 1),
        "nps": nps,
        "csat": csat,
        "effort": np.clip(np.round(4.9 + 1.2 * overall + 0.8 * random.standard_normal(n)), 1, 7).astype(int),
        **{f"rating_{c}": ratings[:, k].astype(int) for k, c in enumerate(CRITERIA)},
        **{f"importance_{c}": np.clip(np.round(STATED[c] + 0.7 * random.standard_normal(n)), 1, 5).astype(int) for c in CRITERIA},
        **{f"expected_{c}": np.clip(np.round(7.6 + 0.9 * random.standard_normal(n)), 1, 10).astype(int) for c in CRITERIA},
        "leave_reason": np.where(unhappy, reasons, ""),
        "comment": remarks,
        "by": np.where(staff, "staff", "client"),
    }
    return pd.DataFrame(columns)


ITEMS: Mapping[str, tuple[str, str]] = {
    "one coordinating centre for client work": ("structure", "organisation chart"),
    "each key client has one owner": ("structure", "client file"),
    "CRM department reports to top management": ("structure", "minutes of the board"),
    "service levels differ by segment": ("process", "procedures"),
    "complaints follow a written procedure": ("process", "complaint log"),
    "contact plan follows the offers": ("process", "contact calendar"),
    "incidents are prevented, not only solved": ("process", "monitoring reports"),
    "staff are trained in client orientation": ("culture", "training records"),
    "good service is rewarded": ("culture", "bonus scheme"),
    "clients' ideas reach development": ("culture", "roadmap"),
}


def assessments() -> pd.DataFrame:
    """Two raters, two rounds; the second rater is a little stricter."""
    random = stream("assessments")
    rows = []
    for item, (dimension, evidence) in ITEMS.items():
        level = int(random.integers(1, 4))
        for on, gain in (("2024-12-10", 0), ("2025-12-10", int(random.random() < 0.4))):
            for rater, strictness in (("internal", 0.0), ("consultant", 0.35)):
                seen = min(level + gain, 3) - int(random.random() < strictness)
                rows.append((item, dimension, max(seen, 1), rater, evidence if random.random() < 0.8 else "", on))
    return pd.DataFrame(rows, columns=["item", "dimension", "level", "rater", "evidence", "on"])


def internal_actions() -> pd.DataFrame:
    """What the organisation set itself to do, one row per step."""
    random = stream("internal_actions")
    kinds = ("training", "initiative", "motivation", "improvement", "reporting", "system")
    people = [owner for owners in OWNERS.values() for owner in owners]
    dates = np.sort(random.integers(day("2025-01-15"), day("2026-06-30"), 24))
    return pd.DataFrame(
        {
            "kind": [kinds[i % len(kinds)] for i in range(len(dates))],
            "owner": random.choice(people, len(dates)),
            "due": (FIRST_DAY + dates).astype(str),
            "cost": np.round(random.gamma(2.0, 1_200.0, len(dates)), -2).astype(int),
            "result": np.where(dates < DAYS - 30, random.choice(["done", "done", "late", "dropped"], len(dates)), ""),
        }
    )
