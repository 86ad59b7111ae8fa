"""Lists for other programs: clients for the CRM, rejects, and every file on its way out.

A cell that a spreadsheet would take for a formula leaves as text, and where the company
wants pseudonyms, each kind of file gets them here.
"""

from __future__ import annotations

import csv
import html
import re
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import narwhals as nw
import pandas as pd

from crm_methods import formats
from crm_methods.company.contracts import TABLES
from crm_methods.company.vocabulary import SEGMENT_LABELS, STRATEGY_LABELS, segment_label
from crm_methods.engine import collect
from crm_methods.errors import StageError
from crm_methods.reports.markup import Pseudonyms, plain

_PER_CLIENT: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("client_facts", ("name", "owner", "industry", "territory")),
    ("client_calls", ("call_rank", "call_reason", "call_why", "at_stake")),
    (
        "client_segments",
        (
            "segment", "p_cell", "previous_segment", "moved_beyond_noise", "strategy", "revenue", "cost_to_serve", "contribution",
            "population", "p_alive", "clv", "clv_low", "clv_high", "clv_revenue", "clv_revenue_low", "clv_revenue_high",
            "next_order_on", "overdue",
        ),
    ),
    ("client_certainty", ("p_cell",)),
    ("client_migration", ("previous_segment", "moved_beyond_noise")),
    ("next_orders", ("next_order_on", "days_overdue")),
    ("client_contract_values", ("running_contracts", "next_renewal_on")),
    ("cut_costs", ("minimum_order_amount", "monthly_fee_amount")),
    ("client_scores", ("rfm",)),
    ("client_abc", ("abc", "xyz")),
    ("client_offers", ("product_package", "service_package", "next_product")),
)  # fmt: skip
"""Tables with a row per client, and the columns a CRM should know of them; where two hold a column the first one counts."""
_NEXT_CONTACT = {"channel": "next_contact_channel", "occasion": "next_contact_occasion"}
_MAX_CLIENTS = 5_000_000
_EXACT = 2.0**53
# Full-width forms of = + - @ count too: some spreadsheets take them for the plain ones.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_TEXT_ENDINGS = frozenset({".ics", ".txt", ".md", ".json", ".yml"})
_WITHHELD = "(withheld)"
_SHEET_TEXT = re.compile(r"(<t(?:\s[^>]*)?>)([^<]*)(</t>)")
_FORMULA_TEXT = re.compile(r'(<c\b[^>]*\bt="str"[^>]*>(?:<f[^>]*>[^<]*</f>|<f[^>]*/>)?<v>)([^<]*)(</v>)')


def client_list(tables: Mapping[str, nw.LazyFrame[Any]]) -> nw.LazyFrame[Any] | None:
    """What a CRM, and whoever calls clients, should know of each client after a run.

    Parameters
    ----------
    tables
        The run's tables by name; those with a row per client that stages 1 to 3 write are used, and ``contact_calendar``
        (a row per contact).

    Returns
    -------
    narwhals.LazyFrame | None
        One row per client (key ``client_id``) of the first of these tables, with the columns that exist: who it is and who
        is responsible for it, whom to call first and why (``call_rank``, ``call_reason``, ``call_why``, ``at_stake``), its
        ``segment`` and ``strategy`` with readable names beside them, how likely it is in this cell and whether it moved, its
        revenue, cost and value with its interval, when it is expected to order, its scores, packages and next contact. In the
        order of ``call_rank`` where there is one, then of ``client_id``. None without any such table.
    """
    parts, taken = [], {"client_id"}
    tables = {**tables, "next_orders": _still_ahead(tables["next_orders"])} if "next_orders" in tables else tables
    for name, columns in _PER_CLIENT:
        if name in tables:
            new = [column for column in _present(tables[name], columns) if column not in taken]
            parts.append(tables[name].select("client_id", *new))
            taken |= set(new)
    if not parts:
        return None
    if "contact_calendar" in tables:
        parts.append(_next_contacts(tables["contact_calendar"]))
    listed = parts[0]
    for part in parts[1:]:
        listed = listed.join(part, on="client_id", how="left")
    named = _with_names(listed, tables)
    # A CRM finds clients by their id wherever they stand; a person who opens the file should see first whom to call first.
    keys = ["call_rank", "client_id"] if "call_rank" in taken else ["client_id"]
    return named.sort(*keys, nulls_last=True)


def write_client_list(listed: nw.LazyFrame[Any], path: Path, pseudonyms: Pseudonyms | None = None) -> None:
    """Write the list of clients as CSV without the columns that are empty for all of them, see ``write_csv``.

    Raises
    ------
    TooManyRowsError
        There are more than five million clients.
    """
    rows = with_pseudonyms(collect(listed, max_rows=_MAX_CLIENTS), pseudonyms)
    write_csv(rows.dropna(axis="columns", how="all") if len(rows) else rows, path)


def write_rejects(rejects: pd.DataFrame, path: Path, pseudonyms: Pseudonyms | None = None) -> None:
    """Write the list of rejected cells as CSV, see ``write_csv``.

    Under pseudonyms the contents of torn lines and of cells of no known kind are withheld:
    they may hold a name that stands nowhere else.
    """
    if pseudonyms is not None:
        columns = [column for table in TABLES.values() for column in table.columns]
        harmless = {c.name for c in columns} - {c.name for c in columns if c.personal is not None}
        rejects = rejects.assign(found=rejects["found"].where(rejects["column"].isin(harmless), _WITHHELD))
    write_csv(with_pseudonyms(rejects, pseudonyms), path)


def write_csv(data: pd.DataFrame, path: Path) -> None:
    """Write a frame as CSV that a spreadsheet opens well and takes nothing in it for a formula.

    UTF-8 with a byte order mark; days as ``2025-12-31``; amounts with two decimals, other
    fractions with four, whole numbers as such; text that begins like a formula is preceded by an apostrophe.
    """
    data.assign(**{str(name): _csv_column(str(name), data[name]) for name in data.columns}).to_csv(
        path, index=False, encoding="utf-8-sig", lineterminator="\r\n"
    )


def inert(text: str) -> str:
    """Text that no spreadsheet takes for a formula, without control characters."""
    shown = plain(text)
    return f"'{shown}" if shown.startswith(_FORMULA_STARTS) else shown


def with_pseudonyms(data: pd.DataFrame, pseudonyms: Pseudonyms | None) -> pd.DataFrame:
    """A frame with its personal data replaced; in a table with clients, ``name`` is a client's."""
    if pseudonyms is None:
        return data
    clients = {"name": "client_name"} if "client_id" in data.columns and "client_name" not in data.columns else {}
    return pseudonyms.frame(data.rename(columns=clients)).rename(columns={new: old for old, new in clients.items()})


def copy_out(source: Path, target: Path, pseudonyms: Pseudonyms | None = None) -> None:
    """Copy a file that leaves, with its personal data replaced where the company wants that.

    Raises
    ------
    StageError
        Pseudonyms are wanted and the kind of file is not known.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if pseudonyms is None:
        shutil.copyfile(source, target)
    elif source.suffix == ".xlsx":
        _copy_workbook(source, target, pseudonyms.text)
    elif source.suffix == ".csv":
        _copy_csv(source, target, pseudonyms.text)
    elif source.suffix in _TEXT_ENDINGS:
        # A calendar's folded lines may cut a name in two; unfolded ones are as valid.
        whole = source.read_bytes().decode("utf-8").replace("\r\n ", "")
        target.write_bytes(pseudonyms.text(whole).encode("utf-8"))
    else:
        raise StageError(
            f"{source.name}: found a kind of file whose names can't be replaced, expected .xlsx, .csv, .ics or text. "
            "Turn off privacy.pseudonymise, or keep the file private."
        )


def segment_matrix(client_segments: nw.LazyFrame[Any]) -> pd.DataFrame:
    """Clients, revenue and contribution by segment.

    Parameters
    ----------
    client_segments
        One row per client with ``segment``, ``revenue`` and, where known, ``contribution`` and ``strategy``.

    Returns
    -------
    pandas.DataFrame
        One row per segment (key ``segment``) in the matrix's order: ``clients``, ``revenue``,
        ``contribution`` and ``strategy``; the latter two NULL where not known.
    """
    sums = _present(client_segments, ("revenue", "contribution"))
    firsts = _present(client_segments, ("strategy",))
    marks = {f"{c}_known": (~nw.col(c).is_null()).cast(nw.Int64) for c in sums}
    found = collect(
        client_segments.with_columns(**marks)
        .group_by("segment")
        .agg(nw.len().alias("clients"), *[nw.col(c).sum() for c in (*sums, *marks)], *[nw.col(c).min() for c in firsts])
    )
    # The sum of nothing known is zero to the engine; to the reader it is not known.
    found = found.assign(**{c: found[c].where(found[f"{c}_known"] > 0) for c in sums})
    order = {segment: place for place, segment in enumerate(SEGMENT_LABELS)}
    known = found.dropna(subset=["segment"]).assign(place=lambda rows: rows["segment"].map(order).fillna(len(order)))
    columns = ("segment", "clients", "revenue", "contribution", "strategy")
    return known.sort_values(["place", "segment"]).reindex(columns=columns).reset_index(drop=True)


def _present(frame: nw.LazyFrame[Any], columns: Sequence[str]) -> list[str]:
    there = set(frame.collect_schema().names())
    return [column for column in columns if column in there]


def _still_ahead(orders: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """The next orders without the days that have passed and where the order is not overdue either: they announce nothing."""
    if len(_present(orders, ("next_order_on", "order_state"))) < 2:
        return orders
    passed = (nw.col("order_state") == "late").fill_null(False)
    return orders.with_columns(next_order_on=nw.when(~passed).then(nw.col("next_order_on")))


def _with_names(listed: nw.LazyFrame[Any], tables: Mapping[str, nw.LazyFrame[Any]]) -> nw.LazyFrame[Any]:
    """The same list with the readable names of segments and strategy, each behind its key."""
    columns = listed.collect_schema().names()
    named, order = listed, list(columns)
    for key in [name for name in ("segment", "previous_segment", "strategy") if name in columns]:
        found = collect(listed.select(key).unique())[key].dropna().astype(str)
        labels = {value: STRATEGY_LABELS.get(value, value) if key == "strategy" else segment_label(value) for value in found}
        if key == "segment":
            labels |= _cluster_names(tables, labels)
        label: nw.Expr = nw.lit(None, nw.String)
        for value in sorted(labels):
            label = nw.when(nw.col(key) == value).then(nw.lit(labels[value])).otherwise(label)
        named = named.with_columns(label.alias(f"{key}_name"))
        order.insert(order.index(key) + 1, f"{key}_name")
    return named.select(*order)


def _cluster_names(tables: Mapping[str, nw.LazyFrame[Any]], labels: Mapping[str, str]) -> dict[str, str]:
    """What clusters are called, where they are the segments."""
    profile = tables.get("cluster_profile")
    if profile is None or not _present(profile, ("name",)):
        return {}
    names = {
        f"cluster_{row['cluster']:.0f}": row["name"] for row in collect(profile.select("cluster", "name")).to_dict("records")
    }
    return {segment: f"{label}: {names[segment]}" for segment, label in labels.items() if segment in names}


def _next_contacts(calendar: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """The first planned contact of each client; the calendar's day is its first column that is named as one."""
    names = calendar.collect_schema().names()
    day = next((name for name in names if name == "on" or name.endswith("_on")), None)
    if day is None:
        raise StageError(f"contact_calendar: found the columns {', '.join(names)}, expected a day, named like contact_on.")
    details = {old: new for old, new in _NEXT_CONTACT.items() if old in names}
    earlier = nw.col(day).shift(1).over("client_id", order_by=[day, *details])
    planned = calendar.filter(~nw.col(day).is_null()).with_columns(earlier.alias("earlier_on"))
    first = planned.filter(nw.col("earlier_on").is_null())
    return first.select("client_id", nw.col(day).alias("next_contact_on"), *[nw.col(o).alias(n) for o, n in details.items()])


def _csv_column(name: str, column: pd.Series[Any]) -> pd.Series[Any]:
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return column.dt.strftime("%Y-%m-%d")
    if pd.api.types.is_float_dtype(column.dtype):
        known = column.dropna()
        if not formats.is_money_column(name) and ((known % 1 == 0) & (known.abs() < _EXACT)).all():
            # A count with gaps comes as a float.
            return column.astype("Int64")
        return column.round(2 if formats.is_money_column(name) else 4)
    if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        return column
    return column.map(lambda value: inert(value) if isinstance(value, str) else value)


def _copy_csv(source: Path, target: Path, replace: Callable[[str], str]) -> None:
    with (
        source.open(encoding="utf-8-sig", newline="") as read,
        target.open("w", encoding="utf-8-sig", newline="") as written,
    ):
        csv.writer(written).writerows([replace(cell) for cell in row] for row in csv.reader(read))


def _copy_workbook(source: Path, target: Path, replace: Callable[[str], str]) -> None:
    """Replace the texts inside a workbook's parts, so that formulas keep the values they were written with."""

    def replaced(found: re.Match[str]) -> str:
        return f"{found[1]}{html.escape(replace(html.unescape(found[2])), quote=False)}{found[3]}"

    with zipfile.ZipFile(source) as read, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as written:
        for part in read.infolist():
            content = read.read(part)
            if part.filename.startswith("xl/") and part.filename.endswith(".xml"):
                text = _FORMULA_TEXT.sub(replaced, _SHEET_TEXT.sub(replaced, content.decode("utf-8")))
                content = text.encode("utf-8")
            written.writestr(part, content)
