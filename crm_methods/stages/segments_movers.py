"""Which cells clients leave, and which clients moved beyond noise, by name: a room of stage 2."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import segment_label
from crm_methods.engine import collect
from crm_methods.stages.segments_migration import Migration, in_words
from crm_methods.stages.segments_moves import LEVEL

MAX_NAMES = 10


@answers("segments.migration")
def leavers(found: Migration) -> Answer | Unanswered:
    """Of each former cell, the share of clients that are in another cell or gone, with its interval."""
    cells = found.origins
    if cells.empty:
        return Answer(sentence="No client was active in the period before.", table=pd.DataFrame(), caption="")
    most = cells.loc[cells["left_share"].idxmax()]
    interval = formats.interval(most["low_left_share"], most["high_left_share"], formats.share)
    clients, left = int(most["clients"]), int(most["left_clients"])
    said = (
        f"The cell left most is “{segment_label(str(most['previous_segment']))}”: of its "
        f"{formats.plural(clients, 'client')} {formats.number(left)} ({formats.share(most['left_share'])}, 95% interval "
        f"{interval}) {'is' if left == 1 else 'are'} in another cell or gone."
    )
    return Answer(
        sentence=said if left else "Every client of the period before is still in its cell.",
        table=in_words(cells),
        caption="Clients that left their cell of the period before, with Wilson's 95% interval",
        labels={"previous_segment": "Former cell", "left_clients": "Left it", "low_left_share": "From", "high_left_share": "To"},
    )


@answers("segments.migration")
def movers(data: Canonical, settings: Company, found: Migration) -> Answer | Unanswered:
    """The clients whose change of cell is more than chance: at most ten, those first whose revenue and cost changed most."""
    beyond = found.beyond
    if beyond.empty:
        said = "No client's change of cell is more than its own ups and downs explain, so there is nobody to name."
        return Answer(sentence=said, table=pd.DataFrame(), caption="")
    shown = beyond.head(MAX_NAMES)
    table = pd.DataFrame(
        {
            "client": _names(data, shown["client_id"].tolist()),
            "previous_segment": shown["previous_segment"].to_numpy(),
            "segment": shown["segment"].to_numpy(),
            "what_changed": [_what_changed(row, settings) for row in shown.to_dict("records")],
        }
    )
    rest = len(beyond) - len(shown)
    expected = round(found.benchmark.expected_reports)
    chance = f" Chance alone would name about {formats.number(expected)}." if expected else ""
    those = f" The {formats.number(len(shown))} whose revenue and cost changed most are shown." if rest else ""
    return Answer(
        sentence=f"{formats.plural(len(beyond), 'client')} moved further than chance explains: ask what happened there, before "
        f"{'it is' if len(beyond) == 1 else 'they are'} served as {'its' if len(beyond) == 1 else 'their'} new cell asks."
        f"{chance}{those}",
        table=in_words(table),
        caption="Clients that moved to another cell further than chance explains",
        labels={"previous_segment": "Former cell", "segment": "Present cell", "what_changed": "What changed"},
    )


def _names(data: Canonical, ids: list[Any]) -> list[str]:
    known = collect(data.scan("clients").select("client_id", "name").filter(nw.col("client_id").is_in(ids)))
    names = known.dropna(subset=["name"]).set_index("client_id")["name"]
    return [str(names.get(client, client)) for client in ids]


def _what_changed(row: dict[Any, Any], settings: Company) -> str:
    """The money along the axes on which the move is beyond noise; revenue too where cost was read beside it."""
    sold = _from_to("revenue", row["revenue_before"], row["revenue"], settings.currency)
    served = _from_to("cost to serve", row["cost_before"], row["cost_to_serve"], settings.currency)
    said = []
    if row["revenue_p_value"] <= LEVEL:
        said.append(sold)
    if row["cost_p_value"] <= LEVEL:
        said += [served] if said else [served, sold]
    return formats.join(said)[:1].upper() + formats.join(said)[1:]


def _from_to(what: str, before: float, now: float, currency: str) -> str:
    verb = "rose" if now > before else "fell" if now < before else "stayed"
    if verb == "stayed":
        return f"{what} stayed at {formats.money_short(now, currency)}"
    return f"{what} {verb} from {formats.money_short(before, currency)} to {formats.money_short(now, currency)}"
