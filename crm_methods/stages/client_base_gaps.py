"""Stage 1, fifth room: how complete the four blocks of information are, and which gaps harm most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.contracts import TABLES
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import current_period
from crm_methods.company.questions import QUESTIONS
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import STAGES
from crm_methods.engine import as_float, collect
from crm_methods.stages.client_base import SIZE_CLASSES
from crm_methods.stages.client_base_fields import BLOCKS, FIELDS, WHOLE_TABLE, Field, asked, in_words, place_of

REQUEST_REVENUE_SHARE = 0.8
"""Account managers are asked about the largest clients, down to this share of revenue …"""
MAX_REQUEST_CLIENTS = 200
"""… and about no more clients than this."""
REQUEST_COLUMNS = ["client_id", "client", "field", "owner", "why", "revenue"]
MAX_GROUPS = 12
_SHOWN_GAPS = 12
_MAX_INDUSTRIES = 100_000
_BESIDE_THE_BLOCKS = ("costs", "programmes")
_NOT_SOURCES = frozenset({"merges", "exchange_rates"})
_SURVEYS = "surveys"
_SHARE_COLUMNS = [
    "by", "group", "block", "field", "clients", "revenue", "filled_client_share", "filled_revenue_share",
    "gap_clients", "gap_revenue",
]  # fmt: skip
_GAP_COLUMNS = [
    "table", "column", "block", "clients", "gap_revenue", "gap_revenue_share", "questions", "stages", "lost_questions",
]  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Completeness(Answer):
    """How much of what we should know is known.

    ``shares``: one row per ``by`` (all, industry, size_class), ``group``, ``block`` and ``field`` (empty for the
    block's mean): ``clients``, ``revenue``, ``filled_client_share``, ``filled_revenue_share`` (0–1).
    ``map``: one row per group with a column per block. ``fields``: the rows of all clients, with the counts of gaps.
    """

    shares: pd.DataFrame
    map: pd.DataFrame
    fields: pd.DataFrame
    is_weighted: bool


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Gaps(Answer):
    """Gaps ranked by harm; ``ranked`` has one row per gap."""

    ranked: pd.DataFrame


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class DataRequests(Answer):
    """What account managers are asked for: ``requests`` has one row per client and field."""

    requests: pd.DataFrame


@answers("client_base.completeness")
def completeness(data: Canonical, settings: Company, filled: nw.LazyFrame[Any]) -> Completeness | Unanswered:
    """How complete the four blocks are, weighted by the revenue of the period.

    Parameters
    ----------
    data, settings
        The company.
    filled
        ``filled_fields``.

    Returns
    -------
    Completeness
        Of a field: Σ revenue · share filled / Σ revenue over the clients with revenue; of a block: the mean of its
        fields. Without revenue every client weighs the same.
    """
    weighted = filled.with_columns(weight=nw.when(nw.col("revenue") > 0).then(as_float("revenue")).otherwise(0.0))
    totals = collect(weighted.select(nw.col("weight").sum(), nw.len().alias("clients"))).iloc[0]
    if not totals["clients"]:
        return Unanswered("client_base.completeness", "there are no clients.", ("clients.client_id: the list of clients",))
    is_weighted = bool(totals["weight"] > 0)
    weighted = weighted.filter(nw.col("weight") > 0) if is_weighted else weighted.with_columns(weight=nw.lit(1.0))
    every = _shares(weighted.with_columns(group=nw.lit("All clients")), "all")
    sizes = _shares(weighted.with_columns(group=nw.col("size_class")), "size_class")
    parts = [every]
    if data.has("clients", "industry"):
        parts.append(_shares(weighted.with_columns(group=nw.col("industry").fill_null("unknown")), "industry"))
    if sizes["group"].nunique() > 1:
        parts.append(sizes)
    shares = pd.concat(parts, ignore_index=True)
    fields = every[every["field"] != ""].drop(columns=["by", "group"]).reset_index(drop=True)
    return Completeness(
        sentence=_completeness_sentence(every, is_weighted),
        table=fields[["block", "field", "filled_client_share", "filled_revenue_share"]].assign(block=fields["block"].map(BLOCKS)),
        caption=f"Share of clients, and of their revenue in {current_period(settings).label}, for which a field is filled",
        labels={
            "filled_client_share": "Of clients",
            "filled_revenue_share": "Of revenue" if is_weighted else "Of clients, weighted",
        },
        shares=shares,
        map=_map(shares),
        fields=fields,
        is_weighted=is_weighted,
    )


@answers("client_base.gaps")
def gaps(data: Canonical, settings: Company, known: Completeness) -> Gaps:
    """Which gaps harm the later questions most.

    Parameters
    ----------
    data, settings
        The company.
    known
        ``completeness``.

    Returns
    -------
    Gaps
        ``ranked``: ``place``, ``table``, ``column``, ``block``, ``clients`` and ``gap_revenue`` (company currency)
        concerned, ``gap_revenue_share``, number of ``questions`` that use it, numbers of the ``stages``,
        ``lost_questions`` (their texts) and ``questions_lost`` = questions × share of revenue concerned (of clients
        where there is no revenue). A table that is not there at all is one gap.
    """
    revenue = float(known.fields["revenue"].max() or 0)
    clients = int(known.fields["clients"].max() or 0)
    found = [_gap(field, row) for field, row in zip(FIELDS, known.fields.to_dict("records")) if field.table in data.supplied]
    absent = [name for name in TABLES if name not in data.supplied and _is_asked_for(name)]
    # Pools in company.yml do what the ledger does.
    absent = [name for name in absent if not (name == "cost_ledger" and data.has("settings", "pools"))]
    found += [_absent(name, clients, revenue) for name in absent]
    ranked = pd.DataFrame(found, columns=_GAP_COLUMNS)
    ranked = ranked[(ranked["clients"] > 0) & (ranked["questions"] > 0)]
    ranked = ranked.assign(questions_lost=(ranked["gap_revenue_share"] * ranked["questions"]).round(6))
    order = ["questions_lost", "gap_revenue", "table", "column"]
    ranked = ranked.sort_values(order, ascending=[False, False, True, True]).reset_index(drop=True)
    ranked.insert(0, "place", ranked.index + 1)
    shown = ["field", "stages", "questions", "questions_lost", "clients", "gap_revenue", "gap_revenue_share"]
    return Gaps(
        sentence=_gaps_sentence(ranked, known.is_weighted, settings),
        table=ranked.assign(field=_places(ranked)).head(_SHOWN_GAPS)[shown if known.is_weighted else shown[:-2]],
        caption=f"The {min(_SHOWN_GAPS, len(ranked))} gaps that harm most, of {len(ranked)}: "
        f"questions that use the field × share of {'revenue' if known.is_weighted else 'clients'} for which it is missing",
        labels={"stages": "Stages", "gap_revenue": "Revenue concerned", "gap_revenue_share": "Of revenue"},
        ranked=ranked,
    )  # fmt: skip


@answers("client_base.gaps")
def data_requests(
    data: Canonical, settings: Company, filled: nw.LazyFrame[Any], known: Completeness
) -> DataRequests | Unanswered:
    """What to ask the account managers: fields of the largest clients that are empty.

    A field that is filled in nowhere is left out: it is missing from the export, and nobody should type it in.

    Parameters
    ----------
    data, settings
        The company.
    filled
        ``filled_fields``.
    known
        ``completeness``.

    Returns
    -------
    DataRequests
        ``requests``: ``client_id``, ``client``, ``field``, ``owner``, ``why``, ``revenue``; the largest clients
        first, down to 80 % of revenue and to 200 clients. ``table``: how many requests each owner gets.
    """
    somewhere = known.fields.set_index("field")["filled_client_share"] > 0
    fields = [f for f in FIELDS if f.table in {"clients", "contact_persons"} and f.questions]
    # Without a list of clients the names and owners themselves are missing: nobody can be asked.
    is_listed = bool(data.supplied.get("clients", frozenset()) - {"client_id"})
    asked_for = [f for f in fields if somewhere[f.name] and is_listed]
    top, reached = _largest(filled, known, [f.key for f in asked_for])
    named = top.assign(client=top["name"].where(top["name"].notna(), top["client_id"]))
    parts = [
        named[named[field.key] == 0].assign(field=field.name, why=_why(field), nth=nth) for nth, field in enumerate(asked_for)
    ]
    requests = pd.DataFrame(columns=REQUEST_COLUMNS)
    if parts:
        requests = pd.concat(parts).sort_values(["place", "nth"], ignore_index=True)[REQUEST_COLUMNS]
    by_owner = requests.assign(owner=requests["owner"].fillna("(nobody named)")).groupby("owner").agg(
        requests=("field", "size"), clients=("client_id", "nunique")
    )  # fmt: skip
    return DataRequests(
        sentence=_requests_sentence(requests, len(top), reached, [f.name for f in fields if not somewhere[f.name]])
        if is_listed
        else "There is no list of clients to complete: names, owners and the rest have to be exported, not asked for one by one.",
        table=by_owner.sort_values(["requests", "clients"], ascending=False).reset_index(),
        caption="Requests per responsible person; the list itself, data_requests.csv, is kept in the private folder",
        labels={"owner": "Account manager"},
        requests=requests,
    )


def request_list(requests: DataRequests | Unanswered) -> pd.DataFrame:
    """The rows of data_requests.csv; none where nothing can be asked."""
    return requests.requests if isinstance(requests, DataRequests) else pd.DataFrame(columns=REQUEST_COLUMNS)


def _largest(filled: nw.LazyFrame[Any], known: Completeness, keys: Sequence[str]) -> tuple[pd.DataFrame, float | None]:
    """The largest clients, and the share of revenue they bring; the first ones where there is no revenue."""
    paying = filled.filter(nw.col("revenue") > 0) if known.is_weighted else filled
    ranked = paying.with_columns(falling=-nw.col("revenue"), one=nw.lit(1))
    ranked = ranked.with_columns(place=nw.col("one").cum_sum().over(order_by=["falling", "client_id"]))
    wanted = ["place", "client_id", "name", "owner", "revenue", *keys]
    top = collect(ranked.filter(nw.col("place") <= MAX_REQUEST_CLIENTS).select(*wanted)).sort_values("place", ignore_index=True)
    if not known.is_weighted:
        return top, None
    total = float(known.fields["revenue"].max())
    top = top[top["revenue"].cumsum() - top["revenue"] < REQUEST_REVENUE_SHARE * total]
    return top, float(top["revenue"].sum()) / total


def _asked_of(table: str) -> tuple[str, ...]:
    return asked([q for column in TABLES[table].columns for q in column.questions])


def _is_asked_for(table: str) -> bool:
    if table in _NOT_SOURCES:
        return False
    in_scope = TABLES[table].block in _BESIDE_THE_BLOCKS or table == _SURVEYS or any(f.table == table for f in FIELDS)
    return in_scope and bool(_asked_of(table))


def _shares(weighted: nw.LazyFrame[Any], by: str) -> pd.DataFrame:
    """Filled shares of every field and block, per group."""
    sums: dict[str, nw.Expr] = {}
    for key in (field.key for field in FIELDS):
        filled, applies = nw.col(key), ~nw.col(key).is_null()
        sums[f"w_{key}"] = nw.when(applies).then(nw.col("weight")).otherwise(0.0)
        sums[f"f_{key}"] = nw.when(applies).then(nw.col("weight") * filled).otherwise(0.0)
        sums[f"n_{key}"] = nw.when(applies).then(1.0).otherwise(0.0)
        sums[f"c_{key}"] = nw.when(applies).then(filled).otherwise(0.0)
        sums[f"g_{key}"] = nw.when(applies & (filled < 1)).then(1.0).otherwise(0.0)
    marked = weighted.with_columns(**sums)
    found = collect(
        marked.group_by("group").agg(nw.len().alias("clients"), nw.col("weight").sum(), *[nw.col(name).sum() for name in sums]),
        max_rows=_MAX_INDUSTRIES,
    ).sort_values(["weight", "group"], ascending=[False, True])
    shares = pd.concat([_group_rows(group) for group in found.to_dict("records")], ignore_index=True).assign(by=by)
    rounding = {"filled_client_share": 6, "filled_revenue_share": 6, "revenue": 2, "gap_revenue": 2}
    return shares.round(rounding).astype({"clients": "int64", "gap_clients": "int64"})[_SHARE_COLUMNS]


def _group_rows(group: Mapping[Any, Any]) -> pd.DataFrame:
    """One row per block (its fields' mean) and one per field."""
    fields = pd.DataFrame([_field_row(field, group) for field in FIELDS])
    means = fields.groupby("block", sort=False)[["filled_client_share", "filled_revenue_share"]].mean().reset_index()
    means = means.assign(field="", clients=group["clients"], revenue=group["weight"], gap_clients=0, gap_revenue=float("nan"))
    return pd.concat([means, fields], ignore_index=True).assign(group=group["group"])


def _field_row(field: Field, group: Mapping[Any, Any]) -> dict[str, Any]:
    def ratio(top: float, bottom: float) -> float:
        return top / bottom if bottom > 0 else float("nan")

    key = field.key
    return {
        "block": field.block, "field": field.name, "clients": group["clients"], "revenue": group["weight"],
        "filled_client_share": ratio(group[f"c_{key}"], group[f"n_{key}"]),
        "filled_revenue_share": ratio(group[f"f_{key}"], group[f"w_{key}"]),
        "gap_clients": group[f"g_{key}"], "gap_revenue": group[f"w_{key}"] - group[f"f_{key}"],
    }  # fmt: skip


def _map(shares: pd.DataFrame) -> pd.DataFrame:
    """One row per group as the reader should see it, with the share of each block."""
    blocks = shares[shares["field"] == ""]
    rows = []
    for by, part in blocks.groupby("by", sort=False):
        wide = part.pivot(index="group", columns="block", values="filled_revenue_share").reindex(columns=list(BLOCKS))
        clients = part.drop_duplicates("group").set_index("group")["clients"]
        names = sorted(clients.index[:MAX_GROUPS], key=lambda name: name == "unknown")
        if by == "size_class":
            names = [name for name in SIZE_CLASSES if name in clients.index]
        labels = SIZE_CLASSES if by == "size_class" else {"unknown": "industry unknown"}
        shown = wide.loc[names].reset_index()
        rows.append(shown.assign(by=by, group=[labels.get(name, name) for name in names], clients=clients[names].to_numpy()))
    return pd.concat(rows, ignore_index=True)[["by", "group", "clients", *BLOCKS]]


def _gap(field: Field, row: Mapping[Any, Any]) -> dict[str, Any]:
    gap_revenue = float(row["gap_revenue"])
    return {
        "table": field.table, "column": field.column, "block": field.block,
        "clients": int(row["gap_clients"]), "gap_revenue": gap_revenue,
        "gap_revenue_share": gap_revenue / row["revenue"] if row["revenue"] else float("nan"), **_harmed(field.questions),
    }  # fmt: skip


def _absent(table: str, clients: int, revenue: float) -> dict[str, Any]:
    return {
        "table": table, "column": WHOLE_TABLE, "block": TABLES[table].block, "clients": clients, "gap_revenue": revenue,
        "gap_revenue_share": 1.0, **_harmed(_asked_of(table)),
    }  # fmt: skip


def _harmed(questions: Sequence[str]) -> dict[str, Any]:
    stages = sorted({STAGES[QUESTIONS[q].stage].number for q in questions})
    return {
        "questions": len(questions),
        "stages": ", ".join(map(str, stages)),
        "lost_questions": " · ".join(QUESTIONS[q].text for q in questions),
    }


def _places(ranked: pd.DataFrame) -> list[str]:
    return [place_of(table, column) for table, column in zip(ranked["table"], ranked["column"], strict=True)]


def _why(field: Field) -> str:
    texts = [QUESTIONS[q].text for q in field.questions]
    more = f" (and {formats.plural(len(texts) - 2, 'more question')})" if len(texts) > 2 else ""
    return f"Needed to answer: {' '.join(texts[:2])}{more}"


def _completeness_sentence(every: pd.DataFrame, is_weighted: bool) -> str:
    blocks = every[every["field"] == ""].set_index("block")["filled_revenue_share"]
    parts = [f"{BLOCKS[block].lower()} {formats.share(blocks[block])}" for block in BLOCKS]
    weight = "weighted by revenue" if is_weighted else "every client weighing the same, since there is no revenue in the period"
    fields = every[(every["field"] != "") & (every["filled_revenue_share"] < 1)].sort_values(["filled_revenue_share", "field"])
    text = f"Of what we should know, {weight}, this much is filled in: {formats.join(parts)}."
    if fields.empty:
        return f"{text} No field has a gap."
    empty = fields.loc[fields["filled_revenue_share"] == 0, "field"].tolist()
    if empty:
        named = formats.join(empty) if len(empty) <= 4 else f"{', '.join(empty[:3])} and others"
        return f"{text} {formats.plural(len(empty), 'field')} {'is' if len(empty) == 1 else 'are'} filled in nowhere ({named})."
    worst = fields.iloc[0]
    return f"{text} The weakest field is {in_words(worst['field'])}: {formats.share(worst['filled_revenue_share'])}."


def _gaps_sentence(ranked: pd.DataFrame, is_weighted: bool, settings: Company) -> str:
    if ranked.empty:
        return "No gap harms a question that is asked."
    worst, of = ranked.iloc[0], ""
    what = in_words(place_of(worst["table"], worst["column"]))
    if worst["column"] == WHOLE_TABLE:
        what = f"the table {worst['table']}, which is not there"
    if is_weighted:
        revenue = formats.money(worst["gap_revenue"], settings.currency)
        of = f" with {revenue} of revenue ({formats.share(worst['gap_revenue_share'])})"
    return (
        f"The gap that harms most is {what}: it concerns {formats.plural(worst['clients'], 'client')}{of}"
        f" and {formats.plural(worst['questions'], 'question')}."
        f" {formats.plural(len(ranked), 'gap')} in all {'touches' if len(ranked) == 1 else 'touch'} a question that is asked."
    )


def _requests_sentence(requests: pd.DataFrame, clients: int, reached: float | None, nowhere: Sequence[str]) -> str:
    largest = f"the {formats.number(clients)} largest clients" if clients > 1 else "the largest client"
    which = (
        f"the first {formats.plural(clients, 'client')}"
        if reached is None
        else f"{largest} ({formats.share(reached)} of revenue)"
    )
    are = "is" if len(nowhere) == 1 else "are"
    aside = f" {formats.join(nowhere)} {are} filled in nowhere and should come from the system." if nowhere else ""
    if requests.empty:
        return f"Nothing has to be asked about {which}: all that the account managers could fill in is there.{aside}"
    owners, values = requests["owner"].dropna().nunique(), formats.plural(len(requests), "missing value")
    who = f"{formats.plural(owners, 'account manager')} {'is' if owners == 1 else 'are'}"
    for_some = ", and for some clients nobody is named" if requests["owner"].isna().any() else ""
    about = formats.plural(requests["client_id"].nunique(), "client")
    if not owners:
        return f"{values} of {about}, among {which}, should be filled in; no account manager is named for them.{aside}"
    return f"{who} asked for {values} of {about}, among {which}{for_some}.{aside}"
