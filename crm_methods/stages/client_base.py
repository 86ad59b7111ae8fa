"""Stage 1: what do we know of our clients, and what is missing?

What came in, and the facts of each client. The revenue bridge is in ``client_base_bridge``, how the
base moves in ``client_base_flow``, what is missing in ``client_base_gaps``, who may be there twice in
``client_base_duplicates``; all are rooms of this stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, answers
from crm_methods.company.contracts import TABLES
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import Period, current_period, midnight, previous_period, within
from crm_methods.company.settings import Company
from crm_methods.engine import as_float, collect
from crm_methods.stages.client_base_spellings import CATEGORIES, spelling_rules

SIZE_CLASSES: Mapping[str, str] = {
    "large": "250 employees or more",
    "medium": "50–249 employees",
    "small": "10–49 employees",
    "micro": "up to 9 employees",
    "unknown": "size unknown",
}
"""Size classes of the European Commission's Recommendation 2003/361/EC."""
_LOWEST: tuple[tuple[str, int, float], ...] = (("large", 250, 50e6), ("medium", 50, 10e6), ("small", 10, 2e6))
"""Class, employees and, where those are unknown, turnover in company currency from which it begins."""

FATES: Mapping[str, str] = {
    "accepted": "accepted",
    "rejected": "rejected",
    "later": "later than the as-of day",
    "duplicate": "exact duplicates",
}
_CENT = 0.005
_MAX_REJECT_GROUPS = 10_000
_OPEN_REQUEST_KINDS = ("service", "complaint")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Reconciliation(Answer):
    """Control totals: ``totals`` has one row per table read, with every fate in rows and amounts."""

    totals: pd.DataFrame
    is_reconciled: bool


@answers("client_base.reconciliation")
def reconciliation(data: Canonical, settings: Company) -> Reconciliation:
    """What became of every record, and whether the canonical tables hold exactly what was accepted.

    Returns
    -------
    Reconciliation
        ``table``: one row per table. Identity, in rows and to the cent: source = accepted + rejected +
        later + duplicates, and accepted − merged = what the canonical table holds (``clients`` may hold more:
        those that only other tables name).
    """
    amounts = ["source_amount", *(f"{fate}_amount" for fate in FATES)]
    totals = data.totals.reindex(columns=list(dict.fromkeys([*data.totals.columns, *amounts])))
    held = pd.DataFrame([_held(data, row) for row in totals.to_dict("records")], index=totals.index)
    totals = totals.assign(**{name: held[name] for name in held})
    rows_fit = totals["source_rows"] == totals[[f"{fate}_rows" for fate in FATES]].sum(axis=1)
    created = totals["canonical_rows"] - (totals["accepted_rows"] - totals["merged_rows"])
    rows_held = (created == 0) | ((totals["table"] == "clients") & (created > 0))
    amounts_fit = _same(totals["source_amount"], totals[amounts[1:]].sum(axis=1, min_count=1))
    reconciles = rows_fit & rows_held & amounts_fit & _same(totals["accepted_amount"], totals["canonical_amount"])
    totals = totals.assign(reconciles=reconciles)
    shown = ["table", "source_rows", *(f"{fate}_rows" for fate in FATES), "source_amount", "accepted_amount", "reconciles"]
    if totals["source_amount"].isna().all():
        shown = [name for name in shown if not name.endswith("_amount")]
    return Reconciliation(
        sentence=_reconciliation_sentence(totals, settings),
        table=totals[shown].reset_index(drop=True),
        caption=f"Records and amounts ({settings.currency}) of each file; later = after the as-of day, twice = exact duplicates",
        labels={
            "source_rows": "In the file", "accepted_rows": "Accepted", "rejected_rows": "Rejected", "later_rows": "Later",
            "duplicate_rows": "Twice", "source_amount": "Amount", "accepted_amount": "Accepted", "reconciles": "Adds up",
        },
        totals=totals,
        is_reconciled=bool(reconciles.all()),
    )  # fmt: skip


@answers("client_base.reconciliation")
def rejects(data: Canonical) -> Answer:
    """Which cells could not be read or used, by file and column.

    Returns
    -------
    Answer
        ``table``: one row per file, column, expectation and outcome, the commonest first, with one example.
    """
    bad = data.engine.scan(data.folder / "rejects.parquet")
    groups = ["file", "column", "expected", "done"]
    counted = bad.group_by(*groups).agg(nw.len().alias("cells"), nw.col("found").min().alias("for_example"))
    table = collect(counted, max_rows=_MAX_REJECT_GROUPS).sort_values(["cells", *groups], ascending=[False, *[True] * 4])
    left_out = bad.filter(nw.col("done") == "row left out").select("file", "record").unique()
    rows = int(collect(left_out.select(nw.len().alias("rows")))["rows"].iloc[0])
    return Answer(
        sentence=_rejects_sentence(table, rows),
        table=table[["file", "column", "cells", "for_example", "expected", "done"]].reset_index(drop=True),
        caption="Cells that could not be used, and what was done; every one stands in rejects.csv",
        labels={"done": "What was done"},
    )


def client_facts(data: Canonical, settings: Company) -> nw.LazyFrame[Any]:
    """What is known of each client: who it is, what it bought, when it was last in touch.

    Parameters
    ----------
    data
        The canonical tables.
    settings
        Gives the period and the one before it.

    Returns
    -------
    narwhals.LazyFrame
        Key ``client_id``. ``revenue``, ``margin`` and ``deals_won`` of the period, ``revenue_previous`` and
        ``deals_won_previous`` of the one before, ``revenue_total`` and ``deals_won_total`` of all time, in company
        currency; ``first_deal_on``, ``last_deal_on``, ``last_interaction_on``; ``open_requests`` begun in the
        period; ``size_class``; ``state``. Returned goods (negative amounts) count in revenue, and are no purchase.
        Deals without dates count as the period's. Spellings of ``industry`` and ``territory`` that differ in case,
        spaces and punctuation alone are one. Unknown is NULL.

    Notes
    -----
    ``state``: *new* first bought in the period; *active* bought in it and in the previous one; *returned* bought
    in it and before, yet not in the previous one; *lapsed* bought before, not in the period; *prospect* never
    bought; *unknown* where no deals, or none with a date, are supplied.
    """
    won = data.scan("deals").filter(nw.col("status") == "won")
    dated = data.has("deals", "closed_on")
    bought = purchases_per_client(won, current_period(settings), previous_period(settings), dated=dated)
    known = ["client_id", "name", "industry", "territory", "employees", "turnover", "owner"]
    facts = _harmonised(data, data.scan("clients").select(*known)).join(bought, on="client_id", how="left")
    facts = facts.join(_contacts_per_client(data, settings), on="client_id", how="left")
    counts = ["deals_won", "deals_won_previous", "deals_won_total", "deals_won_before"]
    sums = ["revenue", "revenue_previous", "revenue_total"]
    facts = facts.with_columns(*[nw.col(name).fill_null(0) for name in (*counts, *sums)])
    facts = facts.with_columns(_size_class().alias("size_class"), _state(data, dated).alias("state"))
    if not data.has("deals", "margin"):
        facts = facts.with_columns(margin=nw.lit(None).cast(nw.Float64))
    if not data.has("interactions", "kind", "resolved_at"):
        facts = facts.with_columns(open_requests=nw.lit(None).cast(nw.Int64))
    return facts.select(
        "client_id", "name", "industry", "territory", "size_class", "employees", "turnover", "owner", "state",
        "first_deal_on", "last_deal_on", "deals_won", "deals_won_previous", "deals_won_total",
        "revenue", "revenue_previous", "revenue_total", "margin", "last_interaction_on", "open_requests",
    )  # fmt: skip


def purchases_per_client(won: nw.LazyFrame[Any], current: Period, previous: Period, *, dated: bool = True) -> nw.LazyFrame[Any]:
    """Purchases and revenue of each client in the period, in the one before, and in all.

    Parameters
    ----------
    won
        One row per won deal: ``client_id``, ``closed_on``, ``amount``, ``margin``. A negative amount is a return:
        it lowers revenue and is no purchase.
    current, previous
        The periods.
    dated
        False puts every deal into the current period.

    Returns
    -------
    narwhals.LazyFrame
        Key ``client_id``, clients without a won deal left out. ``margin`` is NULL where no deal of the period has one.
    """
    in_current = within("closed_on", current) if dated else nw.lit(True)
    in_previous = within("closed_on", previous) if dated else nw.lit(False)
    before = nw.col("closed_on") < nw.lit(midnight(previous.start)) if dated else nw.lit(False)
    purchase = nw.col("amount") >= 0
    marked = won.with_columns(
        revenue=nw.when(in_current).then(nw.col("amount")).otherwise(0),
        revenue_previous=nw.when(in_previous).then(nw.col("amount")).otherwise(0),
        margin_known=nw.when(in_current & ~nw.col("margin").is_null()).then(1).otherwise(0),
        margin=nw.when(in_current).then(nw.col("margin")).otherwise(0),
        deals_won=nw.when(in_current & purchase).then(1).otherwise(0),
        deals_won_previous=nw.when(in_previous & purchase).then(1).otherwise(0),
        deals_won_before=nw.when(before & purchase).then(1).otherwise(0),
        deals_won_total=nw.when(purchase).then(1).otherwise(0),
        purchased_on=nw.when(purchase).then(nw.col("closed_on")),
    )
    counts = ("deals_won", "deals_won_previous", "deals_won_before", "deals_won_total", "margin_known")
    summed = marked.group_by("client_id").agg(
        *[nw.col(name).sum() for name in ("revenue", "revenue_previous", "margin", *counts)],
        nw.col("amount").sum().alias("revenue_total"),
        nw.col("purchased_on").min().alias("first_deal_on"),
        nw.col("purchased_on").max().alias("last_deal_on"),
    )
    whole = summed.with_columns(*[nw.col(name).cast(nw.Int64) for name in counts])
    unknown = (nw.col("deals_won") > 0) & (nw.col("margin_known") == 0)
    return whole.with_columns(margin=nw.when(~unknown).then(nw.col("margin"))).drop("margin_known")


def _held(data: Canonical, row: Mapping[Any, Any]) -> dict[str, float | None]:
    """Rows and amount of a canonical table, counted from what was written."""
    name = str(row["table"])
    amount = next((c for c in ("amount", "cost") if c in TABLES[name].names), None)
    has_amount = amount is not None and not pd.isna(row["source_amount"])
    sums = [nw.col(amount).sum().alias("amount")] if amount is not None and has_amount else []
    found = collect(data.scan(name).select(nw.len().alias("rows"), *sums)).iloc[0]
    held = 0.0 if has_amount and pd.isna(found["amount"]) else found.get("amount")
    return {"canonical_rows": int(found["rows"]), "canonical_amount": None if held is None else float(held)}


def _same(left: pd.Series[Any], right: pd.Series[Any]) -> pd.Series[Any]:
    return ((left - right.astype(float)).abs() < _CENT) | (left.isna() & right.isna())


def _reconciliation_sentence(totals: pd.DataFrame, settings: Company) -> str:
    broken = totals.loc[~totals["reconciles"], "table"].tolist()
    of = formats.plural(len(totals), "table")
    verdict = f"{of} came in and {'reconciles' if len(totals) == 1 else 'all reconcile'}"
    if broken:
        verdict = f"Of {of}, {formats.join(broken)} {'does' if len(broken) == 1 else 'do'} not reconcile"
    rows, source = {fate: int(totals[f"{fate}_rows"].sum()) for fate in FATES}, int(totals["source_rows"].sum())
    there = [fate for fate, count in rows.items() if count or fate == "accepted"]
    fates = [f"{formats.number(rows[fate])} {'was' if rows[fate] == 1 else 'were'} {FATES[fate]}" for fate in there]
    text = f"{verdict}: of {formats.plural(source, 'row')} in the files, {formats.join(fates)}."
    if rows["accepted"] == source:
        text = f"{verdict}: {formats.plural(source, 'row')} in the files, all accepted."
    deals = totals[totals["table"] == "deals"]
    if len(deals) and not pd.isna(deals["source_amount"].iloc[0]):
        amounts = [formats.money(deals[f"{name}_amount"].iloc[0], settings.currency, 2) for name in ("accepted", "source")]
        of_all = "all that came in" if amounts[0] == amounts[1] else f"of {amounts[1]} that came in"
        text += f" The accepted deals, whatever their status, amount to {amounts[0]}, {of_all}."
    clients = totals[totals["table"] == "clients"]
    merged = int(clients["merged_rows"].sum())
    if merged:
        were = "was" if merged == 1 else "were"
        how = "as decided in the table merges"
        if settings.unit == "group":
            how = "as decided in the table merges, or joined into its group (`unit: group`)"
        text += f" {formats.plural(merged, 'client')} {were} merged into another, {how}."
    created = int((clients["canonical_rows"] - clients["accepted_rows"]).sum()) + merged
    named = f" {formats.plural(created, 'client')} {'is' if created == 1 else 'are'} named only by other tables."
    return text + (named if created else "")


def _rejects_sentence(table: pd.DataFrame, rows: int) -> str:
    if table.empty:
        return "Every cell could be read: nothing was rejected."
    cells, worst = int(table["cells"].sum()), table.iloc[0]
    emptied = int(table.loc[table["done"] != "row left out", "cells"].sum())
    outcomes = [f"{formats.plural(rows, 'row')} {'was' if rows == 1 else 'were'} left out"] if rows else []
    outcomes += [f"{formats.plural(emptied, 'cell')} {'was' if emptied == 1 else 'were'} emptied"] if emptied else []
    where = f"{worst['column']} of {worst['file']}" if worst["column"] else f"whole records of {worst['file']}"
    return (
        f"{formats.plural(cells, 'cell')} could not be used: {formats.join(outcomes)}. "
        f"Most common: {where} ({formats.number(worst['cells'])}; expected {worst['expected']})."
    )


def _harmonised(data: Canonical, clients: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Clients with one spelling per category; without a difference nothing is joined."""
    for column in CATEGORIES:
        rules = spelling_rules(data, column)
        rules = rules.loc[rules["written"] != rules["counted_as"], ["written", "counted_as"]]
        if len(rules):
            clients = clients.join(data.engine.frame(rules), left_on=column, right_on="written", how="left")
            clients = clients.with_columns(nw.coalesce("counted_as", column).alias(column)).drop("counted_as")
    return clients


def _contacts_per_client(data: Canonical, settings: Company) -> nw.LazyFrame[Any]:
    """Day of the last contact, and requests begun in the period that are not solved."""
    begun = within("started_at", current_period(settings))
    is_open = nw.col("kind").is_in(list(_OPEN_REQUEST_KINDS)) & nw.col("resolved_at").is_null() & begun
    contacts = data.scan("interactions").with_columns(is_open=nw.when(is_open).then(1).otherwise(0))
    summed = contacts.group_by("client_id").agg(nw.col("started_at").max(), nw.col("is_open").sum())
    return summed.select(
        "client_id",
        nw.col("started_at").dt.truncate("1d").cast(nw.Date).alias("last_interaction_on"),
        nw.col("is_open").cast(nw.Int64).alias("open_requests"),
    )


def _size_class() -> nw.Expr:
    employees, turnover = nw.col("employees"), as_float("turnover")
    size: nw.Expr = nw.when(employees.is_null() & turnover.is_null()).then(nw.lit("unknown")).otherwise(nw.lit("micro"))
    for name, people, money in reversed(_LOWEST):
        reaches = (employees >= people) | (employees.is_null() & (turnover >= money))
        size = nw.when(reaches).then(nw.lit(name)).otherwise(size)
    return size


def _state(data: Canonical, dated: bool) -> nw.Expr:
    if not data.has("deals", "amount"):
        return nw.lit("unknown")
    now, previous, before = nw.col("deals_won") > 0, nw.col("deals_won_previous") > 0, nw.col("deals_won_before") > 0
    if not dated:
        return nw.when(now).then(nw.lit("unknown")).otherwise(nw.lit("prospect"))
    state: nw.Expr = nw.when(previous | before).then(nw.lit("lapsed")).otherwise(nw.lit("prospect"))
    state = nw.when(now).then(nw.lit("new")).otherwise(state)
    state = nw.when(now & before).then(nw.lit("returned")).otherwise(state)
    return nw.when(now & previous).then(nw.lit("active")).otherwise(state)
