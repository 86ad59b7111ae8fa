"""How recently, how often and for how much each client buys, as scores from 1 to 5: a room of stage 2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import current_period
from crm_methods.company.settings import Company
from crm_methods.engine import as_float, collect, day_number, day_of

HIGHEST = 5
"""Scores run from 1, the worst, to 5."""

_MEASURES = {"recency": "recency_days", "frequency": "orders", "money": "revenue"}
_SETTINGS = {"recency": "recency_days", "frequency": "frequency", "money": "money"}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Scores(Answer):
    """RFM scores.

    ``per_client`` (lazy) has one row per client that ever bought: ``client_id``, ``recency_days`` (since the last purchase up
    to the as-of day), ``orders`` and ``revenue`` of the period, ``recency_score``, ``frequency_score``, ``money_score``,
    ``rfm`` (the three as a text). ``cells`` has one row per pair of recency and frequency score that a client has:
    ``recency_score``, ``frequency_score``, ``clients``, ``clients_share``, ``revenue``, ``revenue_share``. ``cuts`` has one row
    per measure and score from 2 on: ``measure``, ``score``, ``cut`` (the value with which it is reached; missing where no
    client reaches it), ``source`` (company.yml · fifths).
    """

    per_client: nw.LazyFrame[Any]
    cells: pd.DataFrame
    cuts: pd.DataFrame


@answers("segments.scores")
def scores(data: Canonical, settings: Company) -> Scores | Unanswered:
    """Score every client that ever bought by recency, frequency and money.

    Recency looks at the whole history up to the as-of day; frequency (won deals that are no returns) and money (revenue, net
    of returns) at the period. A score is reached *at* its cut point: 30 days where 30 is the first cut of recency, 4 orders
    where 4 is one of frequency. Without cut points a client's score is the fifth of the clients that it is in, counted
    from the worst: 1 + ⌊5 · share of clients that are worse⌋, so that equal clients have equal scores.

    Raises
    ------
    SettingsError
        The cut points of company.yml are not four numbers in ascending order.

    References
    ----------
    Hughes (1994), "Strategic Database Marketing"; Fader, Hardie & Lee (2005), "RFM and CLV", Journal of Marketing Research 42.
    """
    own = _own_cuts(settings)
    bought = _bought(data, settings)
    found = {name: _cuts(bought, name, own[name]) for name in _MEASURES}
    scored = bought.with_columns(**{f"{name}_score": _score(name, cuts) for name, cuts in found.items()})
    text = nw.concat_str([nw.col(f"{name}_score").cast(nw.String) for name in _MEASURES])
    scored = scored.with_columns(rfm=text)
    cells = _cells(scored)
    if cells.empty:
        return Unanswered("segments.scores", "nobody has bought up to the as-of day.", ("won deals with their dates",))
    cuts = _told_cuts(found, own)
    return Scores(
        sentence=_sentence(cells, found, own),
        table=_table(cells, cuts),
        caption=f"Clients by recency (up to {formats.date(settings.as_of)}) and frequency ({current_period(settings).label})",
        labels={
            **{f"frequency_{score}": _range_words("frequency", score, cuts) for score in range(1, HIGHEST + 1)},
            "recency": "Last purchase",
        },
        per_client=scored.select("client_id", *_MEASURES.values(), *(f"{name}_score" for name in _MEASURES), "rfm"),
        cells=cells,
        cuts=cuts,
    )


def _own_cuts(settings: Company) -> dict[str, list[float] | None]:
    """The company's own cut points by measure."""
    return {name: getattr(settings.segments.scores, key) for name, key in _SETTINGS.items()}


def _bought(data: Canonical, settings: Company) -> nw.LazyFrame[Any]:
    """One row per client that ever bought: days since the last purchase, orders and revenue of the period."""
    period, day = current_period(settings), day_number("closed_on")
    won = data.scan("deals").filter(nw.col("status") == "won", ~nw.col("closed_on").is_null(), ~nw.col("amount").is_null())
    dated = won.select("client_id", day=day, amount=as_float("amount")).filter(nw.col("day") <= day_of(settings.as_of))
    is_order, within = nw.col("amount") >= 0, nw.col("day") >= day_of(period.start)
    counted = dated.with_columns(
        _purchase=nw.when(is_order).then(nw.col("day")).otherwise(nw.lit(None, nw.Int64)),
        _order=nw.when(is_order & within).then(nw.lit(1)).otherwise(nw.lit(0)),
        _revenue=nw.when(within).then(nw.col("amount")).otherwise(nw.lit(0.0)),
    )
    summed = counted.group_by("client_id").agg(
        last=nw.col("_purchase").max(), orders=nw.col("_order").sum(), revenue=nw.col("_revenue").sum()
    )
    return summed.filter(~nw.col("last").is_null()).select(
        "client_id",
        recency_days=(nw.lit(day_of(settings.as_of)) - nw.col("last")).cast(nw.Int64),
        orders=nw.col("orders").cast(nw.Int64),
        # Rounded, so that the order in which an engine adds up divides no equal clients.
        revenue=nw.col("revenue").round(4),
    )


def _cuts(bought: nw.LazyFrame[Any], name: str, own: Sequence[float] | None) -> list[float | None]:
    """Where scores 2 to 5 begin: the company's own cut points, or the fifths of the clients, counted in the engine.

    A fifth begins with the least value (for recency, the most days) that enough clients are worse than.
    """
    if own is not None:
        return list(own[::-1]) if name == "recency" else list(own)
    value = _goodness(name)
    counts = bought.with_columns(value=value).group_by("value").agg(n=nw.len())
    ranked = counts.with_columns(up_to=nw.col("n").cum_sum().over(order_by="value"), _all=nw.lit(1))
    ranked = ranked.with_columns(worse=nw.col("up_to") - nw.col("n"), total=nw.col("n").sum().over("_all"))
    least = {
        f"cut_{score}": nw.when(nw.col("worse") * HIGHEST >= nw.col("total") * (score - 1)).then(nw.col("value")).min()
        for score in range(2, HIGHEST + 1)
    }
    row = collect(ranked.select(**least)).iloc[0]
    sign = -1.0 if name == "recency" else 1.0
    return [None if pd.isna(cut) else sign * float(cut) for cut in row]


def _goodness(name: str) -> nw.Expr:
    """The measure with its sign, so that more is better."""
    value = nw.col(_MEASURES[name]).cast(nw.Float64)
    return -value if name == "recency" else value


def _score(name: str, cuts: Sequence[float | None]) -> nw.Expr:
    value = nw.col(_MEASURES[name])
    score: nw.Expr = nw.lit(1)
    for number, cut in enumerate(cuts, start=2):
        if cut is not None:
            reached = value <= cut if name == "recency" else value >= cut
            score = nw.when(reached).then(nw.lit(number)).otherwise(score)
    return score.cast(nw.Int64)


def _cells(scored: nw.LazyFrame[Any]) -> pd.DataFrame:
    pair = ["recency_score", "frequency_score"]
    cells = collect(scored.group_by(*pair).agg(nw.len().alias("clients"), nw.col("revenue").sum()))
    cells = cells.sort_values(pair, ascending=[False, False], ignore_index=True).astype({"clients": "int64"})
    total = float(cells["revenue"].sum())
    shares = cells.assign(
        clients_share=cells["clients"] / max(1, cells["clients"].sum()),
        revenue_share=cells["revenue"] / total if total > 0 else float("nan"),
    )
    return shares[[*pair, "clients", "clients_share", "revenue", "revenue_share"]]


def _told_cuts(found: dict[str, list[float | None]], own: dict[str, list[float] | None]) -> pd.DataFrame:
    rows = [
        (name, score, cut, "company.yml" if own[name] is not None else "fifths")
        for name, cuts in found.items()
        for score, cut in enumerate(cuts, start=2)
    ]
    return pd.DataFrame(rows, columns=["measure", "score", "cut", "source"]).astype({"cut": float})


def _table(cells: pd.DataFrame, cuts: pd.DataFrame) -> pd.DataFrame:
    """One row per recency score, the best on top; clients by frequency score across."""
    wide = cells.pivot(index="recency_score", columns="frequency_score", values="clients")
    everywhere = range(HIGHEST, 0, -1)
    wide = wide.reindex(index=everywhere, columns=everywhere).fillna(0).astype("int64").add_prefix("frequency_")
    sums = cells.groupby("recency_score")[["clients", "clients_share", "revenue_share"]].sum(min_count=1).reindex(everywhere)
    named = wide.assign(
        recency=[_range_words("recency", score, cuts) for score in wide.index],
        clients=sums["clients"].fillna(0).astype("int64"),
        revenue_share=sums["revenue_share"],
    )
    return named[["recency", *wide.columns, "clients", "revenue_share"]][named["clients"] > 0].reset_index(drop=True)


def _range_words(name: str, score: int, cuts: pd.DataFrame) -> str:
    """A score with the values that have it, such as ``4: 5 to 8 orders``; recency and frequency are whole numbers."""
    reached = cuts[(cuts["measure"] == name) & cuts["cut"].notna()].set_index("score")["cut"]
    at = float(reached[score]) if score in reached.index else None
    above = reached[reached.index > score]
    after = float(above.iloc[0]) if len(above) else None
    if (score > 1 and at is None) or (at is not None and at == after):
        return f"{score}: nobody"
    if name == "recency":
        return f"{score}: {_days_words(None if after is None else math.floor(after) + 1, None if at is None else math.floor(at))}"
    return f"{score}: {_orders_words(0 if at is None else math.ceil(at), None if after is None else math.ceil(after) - 1)}"


def _days_words(least: int | None, most: int | None) -> str:
    if most is None:
        return "any day" if least is None else f"{formats.plural(least, 'day')} ago or more"
    up_to = f"{formats.plural(most, 'day')} ago"
    return f"up to {up_to}" if least is None else up_to if least == most else f"{formats.number(least)} to {up_to}"


def _orders_words(least: int, most: int | None) -> str:
    if most is None:
        return f"{formats.plural(least, 'order')} or more"
    orders = formats.plural(most, "order")
    return orders if least == most else f"{formats.number(least)} to {orders}"


def _sentence(cells: pd.DataFrame, found: dict[str, list[float | None]], own: dict[str, list[float] | None]) -> str:
    clients = int(cells["clients"].sum())
    best = cells[(cells["recency_score"] >= HIGHEST - 1) & (cells["frequency_score"] >= HIGHEST - 1)]
    fading = cells[(cells["recency_score"] <= 2) & (cells["frequency_score"] >= HIGHEST - 1)]
    words = [_best_words(best, clients), _fading_words(fading)]
    alike = [name for name, cuts in found.items() if own[name] is None and all(cut is None for cut in cuts[1:])]
    if alike:
        divides = "this score hardly divides" if len(alike) == 1 else "these scores hardly divide"
        words.append(f"Nearly all clients are alike in {formats.join(alike)}, so that {divides} them.")
    given = [name for name in found if own[name] is not None]
    fifths = [name for name in found if own[name] is None and name not in alike]
    if given:
        words.append(f"The cut points of {formats.join(given)} are the company's own.")
    if fifths:
        words.append(f"In {formats.join(fifths)} a score is a fifth of this base: however good all are, somebody has the lowest.")
    words.append("A score describes what was; it is no forecast, and next to a cut point one order more or less changes it.")
    return " ".join(word for word in words if word)


def _best_words(best: pd.DataFrame, clients: int) -> str:
    count = int(best["clients"].sum())
    whole = formats.plural(clients, "client")
    if not count:
        return f"Of {whole} that ever bought, none has one of the two best scores in both recency and frequency."
    does = "has" if count == 1 else "have"
    share = float(best["revenue_share"].sum(min_count=1))
    brings = (
        "" if math.isnan(share) else f" and {'brings' if count == 1 else 'bring'} {formats.share(share)} of the period's revenue"
    )
    return (
        f"Of {whole} that ever bought, {formats.number(count)} ({formats.share(count / clients)}) {does} one of the two best "
        f"scores in both recency and frequency{brings}."
    )


def _fading_words(fading: pd.DataFrame) -> str:
    count = int(fading["clients"].sum())
    if not count:
        return ""
    who = "client that bought often in the period has" if count == 1 else "clients that bought often in the period have"
    return f"{formats.number(count)} {who} not come back lately: look at why."
