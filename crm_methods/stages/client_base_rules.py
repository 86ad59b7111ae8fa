"""Stage 1: what intake decided by a rule, and what the deals are: purchases, returns, lost, open and cancelled ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.engine import collect

DEAL_KINDS: Mapping[str, str] = {
    "purchase": "won: purchases",
    "return": "won: returns and credit notes",
    "lost": "lost",
    "open": "open",
    "cancelled": "cancelled",
}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class DealKinds(Answer):
    """What the accepted deals are; ``kinds`` has one row per kind: ``kind``, ``deals``, ``clients``, ``amount``."""

    kinds: pd.DataFrame


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Rules(Answer):
    """What was decided by a rule; ``decisions`` has one row per table, column, kind and value."""

    decisions: pd.DataFrame


@answers("client_base.deal_kinds")
def deal_kinds(data: Canonical, settings: Company) -> DealKinds:
    """How the accepted deals divide into purchases, returns, lost, open and cancelled ones.

    Returns
    -------
    DealKinds
        Identity, to the cent: purchases + returns + lost + open + cancelled = the accepted amount of the deals.
    """
    is_return = (nw.col("status") == "won") & (nw.col("amount") < 0)
    kind = nw.when(is_return).then(nw.lit("return")).otherwise(nw.col("status"))
    kind = nw.when((nw.col("status") == "won") & ~is_return).then(nw.lit("purchase")).otherwise(kind)
    marked = data.scan("deals").with_columns(kind=kind)
    found = collect(
        marked.group_by("kind").agg(
            nw.len().alias("deals"), nw.col("client_id").n_unique().alias("clients"), nw.col("amount").sum().alias("amount")
        )
    ).set_index("kind")
    rows = [name for name in DEAL_KINDS if name in found.index]
    kinds = found.loc[rows, ["deals", "clients", "amount"]].reset_index().astype({"amount": float})
    kinds = kinds.assign(amount=kinds["amount"].fillna(0.0))
    return DealKinds(
        sentence=_kinds_sentence(kinds.set_index("kind"), settings),
        table=kinds.assign(kind=kinds["kind"].map(DEAL_KINDS)),
        caption=f"Accepted deals of all time ({settings.currency})",
        labels={"kind": "What they are"},
        kinds=kinds,
    )


@answers("client_base.reconciliation")
def decided_by_rule(data: Canonical) -> Rules:
    """Ids, signs and contradictions that intake settled by a rule, or left alone because none fits.

    Returns
    -------
    Rules
        ``table``: one row per table, column and rule with the number of values and rows, the commonest value first.
    """
    decisions = data.resolved.sort_values(
        ["table", "column", "kind", "rows", "written"], ascending=[True, True, True, False, True]
    )
    groups = decisions.groupby(["table", "column", "kind", "rule"], sort=False)
    table = groups.agg(
        values=("written", "size"), rows=("rows", "sum"), for_example=("written", "first"), counts_as=("counted_as", "first")
    ).reset_index()
    table = table.sort_values(["rows", "table", "column", "kind"], ascending=[False, True, True, True], ignore_index=True)
    return Rules(
        sentence=_rules_sentence(table),
        table=table[["table", "column", "rows", "values", "for_example", "counts_as", "rule"]],
        caption="What intake decided by a rule; a person may decide otherwise, in the files or under `values` in company.yml",
        labels={"values": "Different values", "rule": "The rule", "counts_as": "Counts as"},
        decisions=decisions.reset_index(drop=True),
    )


def _kinds_sentence(kinds: pd.DataFrame, settings: Company) -> str:
    def money(kind: str) -> str:
        return formats.money(abs(float(kinds["amount"].get(kind, 0.0))), settings.currency, 2)

    bought = int(kinds["deals"].get("purchase", 0))
    text = f"The deals hold {formats.plural(bought, 'purchase')} of {money('purchase')}"
    if "return" in kinds.index:
        net = float(kinds["amount"].get("purchase", 0.0)) + float(kinds["amount"]["return"])
        text += (
            f" and {formats.plural(int(kinds['deals']['return']), 'return')} of {money('return')}: revenue is"
            f" {formats.money(net, settings.currency, 2)}. Returns lower revenue and count as no purchase"
        )
    else:
        text += " and no return"
    others = [f"{formats.number(kinds['deals'][kind])} {kind}" for kind in ("lost", "open", "cancelled") if kind in kinds.index]
    one = len(others) == 1 and int(kinds["deals"].drop(["purchase", "return"], errors="ignore").sum()) == 1
    rest = f" Of the others {formats.join(others)} {'is' if one else 'are'} no revenue." if others else ""
    return f"{text}.{rest}"


def _rules_sentence(table: pd.DataFrame) -> str:
    if table.empty:
        return "Every id names a row that is there: nothing had to be decided by a rule."
    settled = table[table["counts_as"] != ""]
    rows, left = int(settled["rows"].sum()), int(table.loc[table["counts_as"] == "", "rows"].sum())
    parts = []
    if rows:
        parts.append(f"{formats.plural(rows, 'row')} {'was' if rows == 1 else 'were'} settled by a stated rule")
    if left:
        parts.append(
            f"{formats.plural(left, 'row')} {'names' if left == 1 else 'name'} something that is not there or contradictory"
        )
    text = "; ".join(parts)
    worst = table.iloc[0]
    return (
        f"{text[:1].upper() + text[1:]}. Most rows: {worst['column']} of {worst['table']}"
        f" ({formats.number(worst['rows'])}): {worst['rule']}."
    )
