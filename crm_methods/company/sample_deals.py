"""The sample's deals with their lines, invoices and contracts, written from the latent world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crm_methods.company.sample_programmes import Actions, joined_on
from crm_methods.company.sample_world import DAYS, Floats, World, spread, stream

PRODUCTS: Sequence[tuple[str, str, str, float, float, float]] = (
    ("SW-PBX", "Branch exchange", "software", 38.0, 0.50, 0.26),
    ("SW-UC", "Unified client", "software", 24.0, 0.54, 0.22),
    ("SW-CC", "Contact centre seat", "software", 65.0, 0.52, 0.10),
    ("SW-REC", "Call recording", "software", 18.0, 0.55, 0.12),
    ("SW-MON", "Network monitor", "software", 29.0, 0.53, 0.18),
    ("SW-BIL", "Billing module", "software", 46.0, 0.49, 0.08),
    ("SW-VFW", "Voice firewall", "software", 33.0, 0.51, 0.16),
    ("SW-API", "Open interface", "software", 55.0, 0.56, 0.07),
    ("EQ-SBC", "Session border controller", "equipment", 190.0, 0.28, 0.16),
    ("EQ-PHN", "Desk phone", "equipment", 84.0, 0.24, 0.25),
    ("EQ-HDS", "Headset", "equipment", 47.0, 0.26, 0.20),
    ("EQ-SWI", "Fibre switch", "equipment", 150.0, 0.25, 0.18),
    ("EQ-OPT", "Optical module", "equipment", 72.0, 0.29, 0.18),
    ("EQ-GSM", "Radio gateway", "equipment", 210.0, 0.27, 0.09),
    ("EQ-DCT", "Campus radio", "equipment", 130.0, 0.28, 0.10),
    ("EQ-UPS", "Power backup", "equipment", 115.0, 0.22, 0.10),
    ("EQ-NCG", "Nurse call gateway", "equipment", 175.0, 0.33, 0.09),
    ("EQ-CAM", "Site camera", "equipment", 98.0, 0.24, 0.09),
    ("SV-INS", "Installation day", "services", 140.0, 0.35, 0.22),
    ("SV-TRN", "Training day", "services", 120.0, 0.41, 0.12),
    ("SV-AUD", "Network audit", "services", 160.0, 0.43, 0.08),
    ("SV-MIG", "Migration", "services", 135.0, 0.37, 0.08),
    ("CT-STD", "Standard support", "support", 28.0, 0.44, 0.0),
    ("CT-PRM", "Premium support", "support", 52.0, 0.47, 0.0),
)
"""Product, name, category, list price in EUR, margin share, share of clients that have a use for it."""

PAIRS: Mapping[tuple[str, str], float] = {("EQ-SBC", "SW-VFW"): 3.0, ("EQ-SWI", "EQ-OPT"): 2.2}
"""Co-purchases: having a use for the first multiplies the chance of having one for the second by this lift."""
INDUSTRY_PRODUCT = ("EQ-NCG", "healthcare", 0.55)
"""A product that only one line of business has a use for (with the share there): a lift that strata explain away."""

WIN_SHARE: Mapping[str, float] = {"core": 0.87, "regular": 0.93, "project": 0.60, "contract": 0.80}
CYCLE_DAYS: Mapping[str, float] = {"core": 24.0, "regular": 8.0, "project": 75.0, "contract": 30.0}
LOSS_REASONS: Mapping[str, float] = {
    "price": 0.34, "competitor": 0.2, "no budget": 0.18, "delivery time": 0.12, "missing feature": 0.1, "service": 0.06,
}  # fmt: skip
COMPETITORS: Mapping[str, float] = {"Orbitel": 0.4, "Vantix": 0.3, "Kuro Systems": 0.2, "Lineo": 0.1}
TERMS: Mapping[str, float] = {"net 30": 0.55, "net 14": 0.2, "net 60": 0.18, "prepaid": 0.07}
TERM_DAYS: Mapping[str, int] = {"net 30": 30, "net 14": 14, "net 60": 60, "prepaid": 0}
OWNERS: Mapping[str, tuple[str, ...]] = {
    "North": ("Brandt", "Sorensen"), "South": ("Ferrer", "Conti"), "East": ("Nowak",),
    "West": ("Dubois", "Maes"), "Alps": ("Keller",),
}  # fmt: skip
_IDS = tuple(product[0] for product in PRODUCTS)
_MARGIN = np.array([product[4] for product in PRODUCTS])
_PRICE = np.array([product[3] for product in PRODUCTS])


@dataclass(frozen=True, slots=True, eq=False)
class Sales:
    """Deals (days as integers, −1 where empty) and the lines of the won ones."""

    deals: pd.DataFrame
    lines: pd.DataFrame


def owner_of(world: World) -> list[str]:
    """The account manager of each client."""
    return [OWNERS[territory][index % len(OWNERS[territory])] for index, territory in enumerate(world.clients["territory"])]


def record_sales(world: World, actions: Actions) -> Sales:
    """Turn orders into deals with lines; add what was lost, what is open, and a few returns."""
    won, lines = _won(world, actions)
    deals = pd.concat([won, _not_won(world), _open(world)], ignore_index=True)
    deals = _described(world, deals)
    rank = deals.sort_values(["opened", "client", "closed"], kind="stable").index
    deals = deals.assign(deal=pd.Series(np.arange(len(deals)), index=rank))
    lines = lines.assign(deal=deals["deal"].to_numpy()[lines["order"]])
    return Sales(deals=deals.sort_values("deal", ignore_index=True), lines=lines.sort_values(["deal", "product"], kind="stable"))


def uses(world: World) -> np.ndarray:
    """Which client has a use for which product: a boolean per client and product."""
    random = stream("uses")
    chance = np.tile([product[5] for product in PRODUCTS], (len(world.clients), 1))
    special, industry, share = INDUSTRY_PRODUCT
    of_industry = (world.clients["industry"] == industry).to_numpy()
    chance[:, _IDS.index(special)] = np.where(of_industry, share, 0.015)
    has = random.random(chance.shape) < chance
    for (first, second), lift in PAIRS.items():
        a, b = _IDS.index(first), _IDS.index(second)
        with_a = chance[0, b] * lift
        without_a = (chance[0, b] - chance[0, a] * with_a) / (1 - chance[0, a])
        has[:, b] = random.random(len(has)) < np.where(has[:, a], with_a, without_a)
    has[~has.any(axis=1), _IDS.index("SW-PBX")] = True
    return has


def _won(world: World, actions: Actions) -> tuple[pd.DataFrame, pd.DataFrame]:
    random = stream("deals")
    caused = actions.orders.rename(columns={"margin": "wanted"})
    orders = pd.concat([world.orders.assign(wanted=np.nan), caused.assign(nth=99)], ignore_index=True)
    lines = _lines(world, orders)
    basis = lines.groupby("order")["basis"].sum()
    margin_share = (lines["basis"] * lines["margin_share"]).groupby(lines["order"]).sum() / basis
    gain = _gain_per_order(world, actions, orders)
    amount = orders["amount"].where(orders["wanted"].isna(), orders["wanted"] / margin_share) + gain / margin_share
    lines = _priced(lines, amount.to_numpy())
    totals = lines.groupby("order")[["amount", "cost"]].sum()
    kind = np.where(orders["nth"] == 0, "new", "repeat").astype(object)
    kind[(world.clients["group"] == "contract").to_numpy()[orders["client"]]] = "contract"
    established = (world.clients["tenure_days"] > 0).to_numpy()[orders["client"]]
    kind[established & (orders["nth"] == 0).to_numpy()] = "repeat"
    won = orders[["client", "day"]].rename(columns={"day": "closed"}).assign(
        status="won", kind=kind, amount=totals["amount"], cost=totals["cost"], gain=gain
    )  # fmt: skip
    returned = won[won["kind"] == "repeat"].sample(12, random_state=random.integers(2**31))
    returns = returned[returned["closed"] < DAYS - 30].assign(
        closed=lambda r: r["closed"] + 14, kind="return", amount=lambda r: -0.3 * r["amount"], cost=lambda r: -0.3 * r["cost"],
        gain=0.0,
    )  # fmt: skip
    return pd.concat([won, returns.round(2)], ignore_index=True), lines


def _gain_per_order(world: World, actions: Actions, orders: pd.DataFrame) -> Floats:
    """What the programme adds to the margin of each order closed after joining."""
    per_order = np.zeros(len(world.clients))
    plus = actions.members.query("programme_id == 'meridian_plus'")
    per_order[plus["client"].to_numpy()] = plus["margin_per_order"].to_numpy()
    client = orders["client"].to_numpy()
    after = orders["day"].to_numpy() >= joined_on(world, actions)[client]
    return np.where(after & orders["wanted"].isna().to_numpy(), per_order[client], 0.0)


def _lines(world: World, orders: pd.DataFrame) -> pd.DataFrame:
    """Which products each order holds, and in which proportions: every use is bought once before anything repeats."""
    random = stream("deal_lines")
    has = uses(world)
    group = world.clients["group"].to_numpy()
    pairs = [(_IDS.index(first), _IDS.index(second)) for first, second in PAIRS]
    left: dict[int, list[int]] = {}
    rows: list[tuple[int, int, float]] = []
    for order, client in enumerate(orders["client"].to_numpy()):
        wanted = np.flatnonzero(has[client])
        if client not in left:
            left[client] = _in_order_of_need(random, wanted, pairs)
        number = 1 + int(random.binomial(2, 0.28))
        if len(left[client]) >= 2 and tuple(left[client][:2]) in pairs:
            number = max(number, 2)
        if group[client] == "contract":
            support = _IDS.index("CT-PRM" if client % 3 == 0 else "CT-STD")
            rows.append((order, support, 1.0 if not left[client] else 0.7))
            rows.extend((order, product, 0.3 / len(left[client][:2])) for product in left[client][:2])
            left[client] = left[client][2:]
            continue
        chosen = left[client][:number]
        left[client] = left[client][number:]
        spare = [p for p in wanted if p not in chosen]
        more = random.permutation(spare)[: number - len(chosen)]
        parts = random.dirichlet(np.full(len(chosen) + len(more), 3.0))
        rows.extend((order, int(product), float(part)) for product, part in zip([*chosen, *more], parts, strict=True))
    frame = pd.DataFrame(rows, columns=["order", "product", "basis"])
    noise = 0.03 * random.standard_normal(len(frame))
    return frame.assign(margin_share=_MARGIN[frame["product"]] + np.clip(noise, -0.08, 0.08))


def _in_order_of_need(random: np.random.Generator, wanted: np.ndarray, pairs: list[tuple[int, int]]) -> list[int]:
    """A client's products as it will first buy them; what belongs together comes together, and first."""
    shuffled = [int(product) for product in random.permutation(wanted)]
    planted = {product for pair in pairs for product in pair}
    order = sorted(shuffled, key=lambda product: product not in planted)
    for pair in pairs:
        if set(pair) <= set(order):
            order = [*pair, *(product for product in order if product not in pair)]
    return order


def _priced(lines: pd.DataFrame, amount: Floats) -> pd.DataFrame:
    """Quantities and prices that add up to the deal's amount, to the cent."""
    target = lines["basis"] * amount[lines["order"]]
    quantity = np.maximum(1, np.round(target / _PRICE[lines["product"]]))
    unit_price = np.round(target / quantity, 2)
    total = np.round(unit_price * quantity, 2)
    cost = np.round(total * (1 - lines["margin_share"]), 2)
    return lines.assign(quantity=quantity.astype(int), unit_price=unit_price, amount=total, cost=cost)


def _not_won(world: World) -> pd.DataFrame:
    random = stream("lost deals")
    clients = world.clients
    won = np.bincount(world.orders["client"], minlength=len(clients))
    share = clients["group"].map(WIN_SHARE).to_numpy()
    client = np.repeat(clients.index.to_numpy(), random.poisson(won * (1 - share) / share))
    start, end = clients["start"].to_numpy()[client], np.minimum(clients["end"].to_numpy() + 90, DAYS)[client]
    closed = (start + random.random(len(client)) * (end - start)).astype(int)
    amount = np.round(clients["mean_amount"].to_numpy()[client] * random.gamma(3.0, 1 / 2.6, len(client)), 2)
    cost = np.round(amount * (1 - 0.34), 2)
    return pd.DataFrame({"client": client, "closed": closed, "status": "lost", "kind": "repeat", "amount": amount,
                         "cost": cost, "gain": 0.0})  # fmt: skip


def _open(world: World) -> pd.DataFrame:
    random = stream("open deals")
    alive = world.clients[world.clients["end"] >= DAYS]
    weight = alive["orders_per_month"].to_numpy()
    client = random.choice(alive.index.to_numpy(), 190, p=weight / weight.sum())
    amount = np.round(alive["mean_amount"].loc[client].to_numpy() * random.gamma(3.0, 1 / 2.8, len(client)), 2)
    return pd.DataFrame({"client": client, "closed": -1, "status": "open", "kind": "repeat", "amount": amount,
                         "cost": np.nan, "gain": 0.0})  # fmt: skip


def _described(world: World, deals: pd.DataFrame) -> pd.DataFrame:
    random = stream("deal descriptions")
    n = len(deals)
    cycle = np.ceil(deals["client"].map(world.clients["group"]).map(CYCLE_DAYS) * random.gamma(2.0, 0.5, n)).astype(int)
    opened = np.where(deals["closed"] >= 0, deals["closed"] - cycle, DAYS - 1 - np.minimum(cycle, 150))
    lost = (deals["status"] == "lost").to_numpy()
    reason = np.where(lost, spread(random, LOSS_REASONS, n), "")
    known = lost & np.isin(reason, ["price", "competitor"]) & (random.random(n) < 0.7)
    discount = np.where(random.random(n) < 0.45, np.round(random.beta(2, 14, n), 2), 0.0)
    owners = np.array(owner_of(world), dtype=object)
    return deals.assign(
        opened=opened,
        discount=discount,
        terms=spread(random, TERMS, n),
        channel=spread(random, {"direct": 0.66, "partner": 0.22, "web": 0.12}, n),
        loss_reason=reason,
        competitor=np.where(known, spread(random, COMPETITORS, n), ""),
        owner=owners[deals["client"]],
    )


def bill(sales: Sales, world: World) -> pd.DataFrame:
    """Invoices of the deals won in the last twelve months (the accounts' export goes back no further)."""
    random = stream("invoices")
    won = sales.deals.query("status == 'won' and kind != 'return' and closed >= @DAYS - 365").reset_index(drop=True)
    issued = won["closed"].to_numpy() + random.integers(0, 6, len(won))
    due = issued + won["terms"].map(TERM_DAYS).to_numpy()
    habit = np.exp(0.9 * stream("payment habits").standard_normal(len(world.clients)))[won["client"]]
    paid = due + np.round(habit * random.gamma(1.5, 6.0, len(won))).astype(int) - random.integers(0, 8, len(won))
    frame = won[["client", "deal", "amount"]].assign(issued=issued, due=due, paid=np.where(paid < DAYS, paid, -1))
    return frame[frame["issued"] < DAYS].sort_values(["issued", "deal"], kind="stable", ignore_index=True)
