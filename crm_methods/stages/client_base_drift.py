"""Stage 1, data drift: what changed in the incoming data since the last run, told so that chance raises no alarm."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crm_methods import formats
from crm_methods.company.answers import Answer, answers
from crm_methods.company.contracts import TABLES
from crm_methods.company.intake import Canonical
from crm_methods.company.settings import Company
from crm_methods.engine import month_of, month_start
from crm_methods.models import drift
from crm_methods.models.drift import BinCounts, Light, Shift
from crm_methods.stages import client_base_profile as profile
from crm_methods.stages.client_base_flow import last_whole

AMBER_HISTORY, RED_HISTORY = 0.01, 0.05
"""Share of the earlier records, or of their amount, that changed afterwards."""
_EARLIER_MONTHS = 12
_SHOWN = 20
_NAMED_VALUES = 3
_WHOLE = 100
_CENT = 0.005
_RANKS: Mapping[Light, int] = {"red": 0, "amber": 1, "too few to tell": 2, "green": 3}
_HISTORY = "history"
Mask = Callable[[str], str]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class DataDrift(Answer):
    """What changed: ``lines`` has one row per table, column and ``change``, with a light in words.

    ``history_share`` is the largest share of a table's earlier records or amounts that changed afterwards: 0 where
    quarters can be compared as they are, None without an earlier run.
    """

    lines: pd.DataFrame
    history_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One comparison: what was, what is, and how it is judged, by chance or (``light``) by itself."""

    table: str
    column: str
    change: str
    then: str
    now: str
    shift: Shift | None = None
    light: Light = "green"
    share: float = 0.0


@answers("client_base.drift")
def data_drift(
    data: Canonical, settings: Company, previous: pd.DataFrame | None, previous_as_of: dt.date | None, mask: Mask | None = None
) -> DataDrift:
    """What changed in the incoming data since the last run.

    Parameters
    ----------
    data
        The canonical tables.
    settings
        Gives the as-of day.
    previous
        ``input_profile`` as the previous run published it; None where there is none that can be read.
    previous_as_of
        The as-of day of that run; None on a first run.
    mask
        How texts are replaced where they are published (``stage.masked``), so that categories compare; None for not at all.

    Returns
    -------
    DataDrift
        ``table``: what is not green, history first. Of dated tables what happened since the previous as-of day is
        compared with the last period before it; of other tables all with all, which is cautious as most rows are
        the same.
    """
    if previous is None or previous_as_of is None or not {*profile.KEY, *profile.MEASURES} <= set(previous.columns):
        return _nothing_to_compare(previous_as_of)
    then = previous.assign(**{name: previous[name].astype(float) for name in profile.MEASURES})
    lines: list[_Line] = []
    for table in sorted({*then["table"], *data.supplied} & set(TABLES)):
        lines += _table_lines(data, settings, table, then[then["table"] == table], previous_as_of, mask or str)
    return _answer(_judged(lines), previous_as_of, has_months=bool((then["part"] == "months").any()))


def _table_lines(
    data: Canonical, settings: Company, table: str, then: pd.DataFrame, since: dt.date, mask: Mask
) -> list[_Line]:  # fmt: skip
    parts = {name: then[then["part"] == name] for name in ("table", "filled", "values", "months")}
    if table not in data.supplied:
        was = formats.plural(parts["table"]["rows"].sum(), "row")
        return [_Line(table=table, column="", change="table is gone", then=was, now=formats.NOTHING, light="red")]
    if then.empty:
        return [_Line(table=table, column="", change="new table", then=formats.NOTHING, now="supplied", light="amber")]
    rows = profile.rows_of(data, table, after=since, until=settings.as_of)
    lines = _history_lines(data, table, parts["months"], since)
    if len(parts["months"]):
        lines.append(
            _month_line(parts["months"], profile.count_months(data, table, settings.as_of), table, since, settings.as_of)
        )
    elif table not in profile.DATED:
        lines.append(_size_line(data, table, int(parts["table"]["rows"].iloc[0])))
    lines += _filled_lines(data, table, rows, parts["filled"])
    return lines + _value_lines(data, table, rows, parts["values"], mask)


def _history_lines(data: Canonical, table: str, then: pd.DataFrame, since: dt.date) -> list[_Line]:
    """Whether records dated up to the previous as-of day are still what they were."""
    if then.empty:
        return []
    measures = ["rows", "clients", "amount"]
    months = {"then": then, "now": profile.count_months(data, table, since)}
    sides = [month.set_index("value")[measures].astype(float).add_suffix(f"_{when}") for when, month in months.items()]
    both = pd.concat(sides, axis=1).fillna(0.0)
    moved = {name: (both[f"{name}_now"] - both[f"{name}_then"]).abs() for name in measures}
    shares = {name: _part(moved[name].sum(), both[f"{name}_then"].abs().sum()) for name in measures}
    touched = both[(moved["rows"] > 0) | (moved["clients"] > 0) | (moved["amount"] > _CENT)]
    if touched.empty:
        return []
    share = max(shares.values())
    light: Light = "red" if share >= RED_HISTORY else "amber" if share >= AMBER_HISTORY else "green"
    change = f"{_HISTORY} rewritten: {_rewritten(touched)}"
    was, is_now = (_sums(both, when) for when in ("then", "now"))
    return [_Line(table=table, column="", change=change, then=was, now=is_now, light=light, share=share)]


def _rewritten(touched: pd.DataFrame) -> str:
    rows = touched["rows_now"] - touched["rows_then"]
    appeared, vanished = int(rows.clip(lower=0).sum()), int(-rows.clip(upper=0).sum())
    told = [f"{formats.plural(appeared, 'record')} appeared"] if appeared else []
    told += [f"{formats.plural(vanished, 'record')} vanished"] if vanished else []
    others = int((rows == 0).sum())
    told += [f"other clients or sums in {formats.plural(others, 'month')} with as many records"] if others else []
    first, last = touched.index.min(), touched.index.max()
    return f"{formats.join(told)} ({first if first == last else f'{first} to {last}'})"


def _sums(both: pd.DataFrame, when: str) -> str:
    amount = both[f"amount_{when}"].sum()
    rows = formats.plural(both[f"rows_{when}"].sum(), "row")
    return f"{rows}, sum {formats.number(amount)}" if amount else rows


def _month_line(then: pd.DataFrame, now: pd.DataFrame, table: str, since: dt.date, as_of: dt.date) -> _Line:
    """Rows in the whole months since the previous as-of day, against up to a year of whole months before it."""
    before, after = then.set_index("value")["rows"], now.set_index("value")["rows"]
    last, begins = last_whole(since), month_of(since + dt.timedelta(days=1))
    begins += 0 if (since + dt.timedelta(days=1)).day == 1 else 1
    first = max(month_of(dt.date.fromisoformat(f"{before.index.min()}-01")), last - _EARLIER_MONTHS + 1)
    spans = ((before, range(first, last + 1)), (after, range(begins, last_whole(as_of) + 1)))
    was, is_now = (rows.reindex([f"{month_start(month):%Y-%m}" for month in span]).fillna(0.0) for rows, span in spans)
    told = [formats.number(rows.mean(), 1) if len(rows) else formats.NOTHING for rows in (was, is_now)]
    return _Line(
        table=table, column="", change="rows per month", then=told[0], now=told[1], shift=drift.compare_monthly(was, is_now)
    )


def _size_line(data: Canonical, table: str, then: int) -> _Line:
    now = profile.count_rows(data, table)
    told = [formats.number(rows) for rows in (then, now)]
    return _Line(table=table, column="", change="rows", then=told[0], now=told[1], shift=drift.compare_rows(then, now))


def _filled_lines(data: Canonical, table: str, rows: str, then: pd.DataFrame) -> list[_Line]:
    """Whether cells are filled as often as they were."""
    here = profile.compared_columns(data, table)
    known = {str(name): part for name, part in then.groupby("column")}
    now = profile.count_filled(data, rows, [name for name in here if name in known])
    lines = []
    for name in sorted({*here, *known}):
        if name not in known:
            lines.append(
                _Line(table=table, column=name, change="new column", then=formats.NOTHING, now="supplied", light="amber")
            )
            continue
        was = _bins(known[name], [profile.EMPTY, profile.FILLED])
        if name not in here:
            told = formats.share(was.shares[1], 1) if was.total else formats.NOTHING
            lines.append(_Line(table=table, column=name, change="column is empty or gone", then=told, now="0%", light="red"))
            continue
        lines.append(_filled_line(table, name, was, _bins(now[now["column"] == name], [profile.EMPTY, profile.FILLED])))
    return lines


def _value_lines(data: Canonical, table: str, rows: str, then: pd.DataFrame, mask: Mask) -> list[_Line]:
    """Whether the filled cells are distributed as they were, in the bins of the previous run."""
    kinds = profile.compared_columns(data, table)
    known = {str(name): part for name, part in then.groupby("column") if name in kinds}
    there = profile.listed_values(data, rows, {name: kinds[name] for name in known if kinds[name] in profile.CATEGORIES})
    bins = {name: _bins_of(part, there.get(name), mask) for name, part in known.items()}
    now = profile.count_values(data, rows, bins, kinds)
    lines = []
    for name, part in known.items():
        counted, names = now[now["column"] == name], list(part["value"])
        if name in there:
            counted = counted.assign(value=[value if value == profile.REST else mask(value) for value in counted["value"]])
        was, is_now = _bins(part, names), _bins(counted, names)
        new = [value for value in there.get(name, ()) if mask(value) not in names]
        lines += [_new_line(table, name, was, is_now, names.index(profile.REST), new)] if new else []
        told = _where_moved(was, is_now, _labels(part, kinds[name]))
        shift = drift.compare(was, is_now, is_ordered=not bins[name].listed and bins[name].is_number)
        lines.append(_Line(table=table, column=name, change="values", then=told[0], now=told[1], shift=shift))
    return lines


def _bins_of(then: pd.DataFrame, there: tuple[str, ...] | None, mask: Mask) -> profile.Bins:
    """The bins of the previous run; a value that was published under a pseudonym is found among those that are there."""
    if there is None:
        return profile.Bins(edges=tuple(then.sort_values("value")["high"].dropna()), is_number=True)
    names = [value for value in then["value"] if value != profile.REST]
    hidden = [value for value in there if mask(value) != value and mask(value) in names]
    return profile.Bins(listed=tuple(dict.fromkeys([*names, *hidden])))


def _bins(counted: pd.DataFrame, names: Sequence[str]) -> BinCounts:
    """Counts in the order of ``names``; a name that is counted twice (a value and its pseudonym) is added up."""
    places, sums = {name: place for place, name in enumerate(names)}, np.zeros((3, len(names)))
    for value, *counts in counted[["value", *profile.COUNTS[:3]]].itertuples(index=False):
        if value in places:
            sums[:, places[value]] += counts
    return BinCounts(sums[0], sums[1], sums[2], float(counted["clients"].max()) if len(counted) else 0.0)


def _filled_line(table: str, name: str, was: BinCounts, is_now: BinCounts) -> _Line:
    told = [formats.share(one.shares[1], 1) if one.total else formats.NOTHING for one in (was, is_now)]
    return _Line(table=table, column=name, change="filled", then=told[0], now=told[1], shift=drift.compare(was, is_now))


def _new_line(table: str, name: str, was: BinCounts, is_now: BinCounts, rest: int, new: Sequence[str]) -> _Line:
    """Values that enough clients bear now and not then, judged by the share of all rows without a value listed then."""
    named = formats.join([*new[:_NAMED_VALUES], *(["others"] if len(new) > _NAMED_VALUES else [])])
    told = [formats.share(one.shares[rest], 1) if one.total else formats.NOTHING for one in (was, is_now)]
    shift = drift.compare(was.against(rest), is_now.against(rest))
    return _Line(table=table, column=name, change=f"new values: {named}", then=told[0], now=told[1], shift=shift)


def _where_moved(was: BinCounts, is_now: BinCounts, labels: Sequence[str]) -> tuple[str, str]:
    """The bin that adds most to the index, then and now."""
    if not was.total or not is_now.total:
        return formats.NOTHING, formats.NOTHING
    worst = int(drift.index_terms(was.rows, is_now.rows).argmax())
    then, now = (formats.share(one.shares[worst], 1) for one in (was, is_now))
    return f"{labels[worst]}: {then}", f"{labels[worst]}: {now}"


def _labels(bins: pd.DataFrame, kind: str) -> list[str]:
    if kind in profile.CATEGORIES:
        return [str(value) for value in bins["value"]]
    return [_interval(row["low"], row["high"], kind) for row in bins.to_dict("records")]


def _interval(low: float, high: float, kind: str) -> str:
    def told(end: float) -> str:
        if kind in profile.DAYS:
            return formats.date(dt.date(1970, 1, 1) + dt.timedelta(days=int(end)))
        return formats.number(end, 0 if abs(end) >= _WHOLE else 2)

    if pd.isna(low):
        return "any" if pd.isna(high) else f"up to {told(high)}"
    return f"over {told(low)}" if pd.isna(high) else f"{told(low)} to {told(high)}"


def _part(moved: float, whole: float) -> float:
    return float(moved / whole) if whole else float(moved > 0)


def _judged(lines: Sequence[_Line]) -> pd.DataFrame:
    """The lines with their lights: what is known for certain keeps its own, the rest is judged together."""
    shifts = [line.shift for line in lines if line.shift is not None]
    judged = iter(drift.lights(shifts))
    made = []
    for line in lines:
        light: Light = line.light if line.shift is None else next(judged)
        index = line.shift if line.shift is not None and line.shift.is_index else None
        sizes = (index.size, index.by_chance) if index else (None, None)
        made.append((line.table, line.column, line.change, line.then, line.now, *sizes, light, line.share))
    columns = ["table", "column", "change", "then", "now", "psi", "psi_by_chance", "light", "history_share"]
    return pd.DataFrame(made, columns=columns).astype({"psi": float, "psi_by_chance": float, "history_share": float})


def _answer(lines: pd.DataFrame, since: dt.date, has_months: bool) -> DataDrift:
    is_history = lines["change"].str.startswith(_HISTORY)
    ranked = lines.assign(_history=~is_history, _rank=lines["light"].map(_RANKS)).sort_values(
        ["_history", "_rank", "psi", "table", "column", "change"], ascending=[True, True, False, True, True, True]
    )
    shown = ranked[~ranked["_history"] | ranked["light"].isin(["red", "amber"])].head(_SHOWN)
    return DataDrift(
        sentence=f"{_history_sentence(ranked, since, has_months)} {_lights_sentence(ranked)}",
        table=shown[["table", "column", "change", "then", "now", "psi", "psi_by_chance", "light"]].reset_index(drop=True),
        caption=f"What changed since the run as of {formats.date(since)}; PSI is the population stability index, and beside it"
        " what chance exceeds once in twenty times",
        labels={"change": "What changed", "psi": "PSI", "psi_by_chance": "By chance up to"},
        lines=lines,
        history_share=float(lines["history_share"].max()) if len(lines) else 0.0,
    )


def _history_sentence(ranked: pd.DataFrame, since: dt.date, has_months: bool) -> str:
    day, history = f"{formats.date(since)}, the day of the last run", ranked[~ranked["_history"]]
    if not has_months:
        return f"No table says when its records happened, so nothing shows whether those up to {day}, were changed since."
    if history.empty:
        return f"Up to {day}, every month has the records, clients and sums it had: quarters can be compared."
    tables = formats.join([str(table) for table in history["table"]])
    share = formats.share(history["history_share"].max(), 1)
    is_small = bool((history["light"] == "green").all())
    verdict = "small enough to compare quarters" if is_small else "compute earlier quarters anew before comparing them"
    return f"Records dated up to {day}, were changed since in {tables}, at most {share} of a table: {verdict}."


def _lights_sentence(ranked: pd.DataFrame) -> str:
    judged = ranked[ranked["_history"]]
    counts = {light: int((judged["light"] == light).sum()) for light in _RANKS}
    verbs = {light: "is" if counts[light] == 1 else "are" for light in counts}
    alarms = [f"{formats.number(counts[light])} {verbs[light]} {light}" for light in ("red", "amber") if counts[light]]
    parts = [formats.join(alarms) if alarms else "none is red or amber"]
    green, few = counts["green"], counts["too few to tell"]
    show = "shows" if green == 1 else "show"
    parts += [f"{formats.number(green)} {show} no change that is both large and beyond chance"] if green else []
    parts += [f"{formats.number(few)} {'has' if few == 1 else 'have'} too few records to tell"] if few else []
    text = f"Of {formats.plural(len(judged), 'other comparison')}, {'; '.join(parts)}."
    if not alarms:
        return text
    worst = judged.iloc[0]
    place = f"{worst['table']}.{worst['column']}" if worst["column"] else worst["table"]
    return f"{text} Look first at {place}, {worst['change']}: {worst['then']} then, {worst['now']} now."


def _nothing_to_compare(previous_as_of: dt.date | None) -> DataDrift:
    reason = "There is no earlier run of this company"
    if previous_as_of is not None:
        reason = f"The earlier run as of {formats.date(previous_as_of)} left no input profile that can be read"
    columns = ["table", "column", "change", "then", "now", "psi", "psi_by_chance", "light"]
    return DataDrift(
        sentence=f"{reason}, so nothing can be compared; what came in this time is kept for the next run.",
        table=pd.DataFrame({name: [] for name in columns}),
        caption="What changed since the last run",
        lines=pd.DataFrame({name: [] for name in [*columns, "history_share"]}),
        history_share=None,
    )
