"""Whether one level of amounts will do for all clients, however often they buy. A room of stage 2."""

from __future__ import annotations

import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.settings import Company
from crm_methods.models.rank_correlation import RankCorrelation
from crm_methods.models.spend_by_frequency import TOP_REPEATS, spend_by_frequency
from crm_methods.stages.segments_value import LifetimeValue, amounts_depend, draws_by_frequency


@answers("segments.validation")
def amounts(value: LifetimeValue, settings: Company) -> Answer | Unanswered:
    """What a purchase brings by how often clients have bought, which Gamma-Gamma supposes to be independent.

    Returns
    -------
    Answer
        ``table``: one row per number of repeat purchases, with the level that clients should be drawn to where the two
        depend on each other (``spend_by_frequency.spend_by_frequency``).
    """
    together, money = value.spend_correlation, value.money
    if together is None:
        reason = "fewer than four clients came back, or all of them bring the same."
        return Unanswered("segments.validation", reason, ("a longer history",))
    table = spend_by_frequency(value.values, money)
    return Answer(
        sentence=_sentence(table, together, money, settings.currency, by_frequency=draws_by_frequency(value.model)),
        table=table.assign(x=[_repeats(x) for x in table["x"]]),
        caption=f"Mean {money} of a purchase by repeat purchases (of the only purchase where there are none), with 95% intervals",
        labels={
            "x": "Clients with",
            f"mean_{money}": f"Mean {money} of a purchase",
            f"low_{money}": "95% from",
            f"high_{money}": "to",
            f"level_{money}": "Level to draw clients to",
        },
    )


def _sentence(table: pd.DataFrame, together: RankCorrelation, money: str, currency: str, *, by_frequency: bool) -> str:
    interval = formats.interval(together.low, together.high, lambda v: formats.number(v, 2))
    said = (
        f"How often a client buys and the {money} of its purchases have a rank correlation of {formats.number(together.rho, 2)} "
        f"(95% interval {interval})"
    )
    if not amounts_depend(together):
        return f"{said}, little enough to draw all clients to one level."
    repeat = table[table["x"] > 0].to_dict("records")
    ends = [
        f"{formats.money_short(row[f'mean_{money}'], currency)} from clients with {_repeats(row['x'])}"
        for row in [*repeat[:1], *repeat[1:][-1:]]
    ]
    used = (
        "The values below draw each client to the level of those that bought as often"
        if by_frequency
        else "Some of these levels lie below zero, so that the values below draw all clients to one level all the same and are "
        "less sure for it"
    )
    return (
        f"{said}, too much for one level: a purchase brings {' and '.join(ends)} on average. {used}. That "
        "frequent buyers spend otherwise does not say that buying more often would change what a client spends."
    )


def _repeats(x: float) -> str:
    if x == 0:
        return "no repeat purchase"
    return f"{TOP_REPEATS} or more repeat purchases" if x == TOP_REPEATS else formats.plural(x, "repeat purchase")
