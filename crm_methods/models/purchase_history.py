"""What each client bought and when, counted in the engine: the data of the lifetime-value models.

A *purchase occasion* is a day (or a week) on which a client bought; several deals of one
day are one occasion. The models need no more of a client than (x, t_x, T): repeat
occasions, age at the last of them and age now, both counted from the first. Here they are
whole days; a model that counts in weeks divides them itself.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Literal

import narwhals as nw
import pandas as pd

from crm_methods.engine import as_float, collect, day_number, day_of
from crm_methods.errors import Faults, TableContractError

Merge = Literal["day", "week"]
Money = Literal["margin", "revenue"]

TRIPLE = ("x", "t_x", "T")
_DISTINCT_SPENDS = 1_000_000
_DAYS_FROM_MONDAY_TO_1970 = 3  # 1970-01-01 was a Thursday.


def purchase_summary(
    purchases: nw.LazyFrame[Any],
    as_of: dt.date,
    merge: Merge = "day",
    *,
    money: Money = "margin",
    on: str = "closed_on",
) -> nw.LazyFrame[Any]:
    """One row per client: how often, how recently, for how long and for how much it bought.

    Parameters
    ----------
    purchases
        One row per won deal with ``client_id``, the date ``on`` and the amount ``money``.
    as_of
        The day the analysis looks from; later purchases are left out.
    merge
        What makes one occasion. ``week`` (Monday to Sunday) is for comparison with
        summaries made by the week; it biases the estimates.
    money
        Which amount the table holds; the output's columns are named after it.
    on
        Name of the date column.

    Returns
    -------
    narwhals.LazyFrame
        Key ``client_id``. ``x`` repeat occasions; ``t_x`` and ``T`` days from the first
        occasion to the last and to ``as_of``; ``mean_<money>`` per *repeat* occasion (the
        first is left out, as Gamma-Gamma wants it; 0 where x = 0); ``<money>`` in all, of
        the type it came in; ``first_on``, ``last_on``. Identity: x · ``mean_<money>`` + the amount of the first
        occasion = ``<money>``.

    Raises
    ------
    TableContractError
        ``purchases`` lacks a column; all that are missing are named.

    References
    ----------
    Fader, Hardie & Lee (2005), "RFM and CLV: Using iso-value curves for customer base
    analysis", Journal of Marketing Research 42, 415-430.
    """
    occasions = _occasions(purchases, as_of, merge, money, on).with_columns(
        repeat_money=nw.when(nw.col("occasion") > nw.col("first")).then(nw.col("money"))
    )
    per_client = occasions.group_by("client_id").agg(
        nw.len().alias("occasions"),
        nw.col("first").min(),
        nw.col("occasion").max().alias("last"),
        nw.col("repeat_money").sum(),
        nw.col("money").sum().alias(money),
        nw.col("first_on").min(),
        nw.col("last_on").max(),
    )
    return (
        per_client.with_columns(
            x=nw.col("occasions").cast(nw.Int64) - 1,
            t_x=_number("last", merge) - _number("first", merge),
            T=nw.lit(_number_of(as_of, merge)) - _number("first", merge),
        )
        .with_columns(_mean_per_repeat("repeat_money").alias(f"mean_{money}"))
        .select("client_id", *TRIPLE, f"mean_{money}", money, "first_on", "last_on")
    )


def calibration_holdout(
    purchases: nw.LazyFrame[Any],
    calibration_end: dt.date,
    as_of: dt.date,
    merge: Merge = "day",
    *,
    money: Money = "margin",
    on: str = "closed_on",
) -> nw.LazyFrame[Any]:
    """The history up to ``calibration_end`` beside what the same clients bought after it.

    Clients whose first purchase falls into the holdout are left out: no model could know
    of them.

    Parameters
    ----------
    purchases, merge, money, on
        As in ``purchase_summary``.
    calibration_end, as_of
        The holdout runs from the day after ``calibration_end`` to ``as_of``.

    Returns
    -------
    narwhals.LazyFrame
        Key ``client_id``. ``x``, ``t_x``, ``T`` and ``mean_<money>`` at
        ``calibration_end``; ``x_holdout`` occasions, ``<money>_holdout`` and
        ``holdout_days`` after it.

    Raises
    ------
    TableContractError
        ``purchases`` lacks a column; all that are missing are named.
    ValueError
        ``calibration_end`` is not before ``as_of``.
    """
    if calibration_end >= as_of:
        raise ValueError(f"calibration_end {calibration_end} must be before as_of {as_of}")
    days_held_out = _number_of(as_of, merge) - _number_of(calibration_end, merge)
    cut = _occasion_of(calibration_end, merge, purchases, on)
    known = nw.col("occasion") <= cut
    occasions = _occasions(purchases, as_of, merge, money, on).filter(nw.col("first") <= cut)
    marked = occasions.with_columns(
        known=nw.when(known).then(1).otherwise(0),
        later=nw.when(known).then(0).otherwise(1),
        known_occasion=nw.when(known).then(nw.col("occasion")),
        repeat_money=nw.when(known & (nw.col("occasion") > nw.col("first"))).then(nw.col("money")),
        later_money=nw.when(~known).then(nw.col("money")),
    )
    per_client = marked.group_by("client_id").agg(
        nw.col("known").sum(),
        nw.col("later").sum().alias("x_holdout"),
        nw.col("first").min(),
        nw.col("known_occasion").max().alias("last"),
        nw.col("repeat_money").sum(),
        nw.col("later_money").sum().alias(f"{money}_holdout"),
    )
    return (
        per_client.with_columns(
            x=nw.col("known").cast(nw.Int64) - 1,
            x_holdout=nw.col("x_holdout").cast(nw.Int64),
            t_x=_number("last", merge) - _number("first", merge),
            T=nw.lit(_number_of(calibration_end, merge)) - _number("first", merge),
            holdout_days=nw.lit(days_held_out).cast(nw.Int64),
        )
        .with_columns(_mean_per_repeat("repeat_money").alias(f"mean_{money}"))
        .select("client_id", *TRIPLE, f"mean_{money}", "x_holdout", f"{money}_holdout", "holdout_days")
    )


def gap_summary(
    purchases: nw.LazyFrame[Any], as_of: dt.date, *, money: Money = "margin", on: str = "closed_on"
) -> nw.LazyFrame[Any]:
    """One row per client that bought on at least two days: how long it waited between its purchases, and how evenly.

    Parameters
    ----------
    purchases, as_of, money, on
        As in ``purchase_summary``; purchases are merged by day.

    Returns
    -------
    narwhals.LazyFrame
        Key ``client_id``. ``gaps`` completed gaps, at least one; ``gap_sum`` their days, ``gap_square_sum`` the squares;
        ``gap_log_sum`` the logarithms of the days; ``wait_log_sum`` the logarithms as they are expected before a wait is
        counted in whole days (a wait that ends on day g has lasted between g − 1 and g days); ``pairs`` of successive gaps
        and ``pair_square_sum``, the sum of (gap / (gap + the one after) − ½)²; ``last_on``, and ``last_day``, its number as the
        engine counts days.
    """
    days = _occasions(purchases, as_of, "day", money, on).with_columns(number=day_number("occasion"))
    gaps = days.with_columns(gap=as_float(nw.col("number") - nw.col("number").shift(1).over("client_id", order_by="occasion")))
    paired = gaps.with_columns(before=nw.col("gap").shift(1).over("client_id", order_by="occasion"))
    less = nw.col("gap") - 1
    # 0 · log 0 is 0, and no engine says so.
    wait_log = nw.col("gap") * nw.col("gap").log() - less * nw.max_horizontal(less, nw.lit(1.0)).log() - 1
    evenness = nw.col("before") / (nw.col("before") + nw.col("gap")) - 0.5
    measured = paired.filter(~nw.col("gap").is_null()).with_columns(
        gap_square_sum=nw.col("gap") * nw.col("gap"),
        gap_log_sum=nw.col("gap").log(),
        wait_log_sum=wait_log,
        pair_square_sum=evenness * evenness,
    )
    per_client = measured.group_by("client_id").agg(
        nw.len().alias("gaps"),
        nw.col("gap").sum().alias("gap_sum"),
        nw.col("gap_square_sum").sum(),
        nw.col("gap_log_sum").sum(),
        nw.col("wait_log_sum").sum(),
        nw.col("pair_square_sum").sum(),
        nw.col("last_on").max(),
        nw.col("number").max().alias("last_day"),
    )
    sums = [f"{what}_sum" for what in ("gap", "gap_square", "gap_log", "wait_log")]
    return per_client.with_columns(
        gaps=nw.col("gaps").cast(nw.Int64),
        pairs=nw.col("gaps").cast(nw.Int64) - 1,
        # A client with a single gap has no pair: nothing for pandas, NULL for the others.
        pair_square_sum=nw.col("pair_square_sum").fill_null(0.0),
    ).select("client_id", "gaps", *sums, "pairs", "pair_square_sum", "last_on", "last_day")


def unique_triples(summary: nw.LazyFrame[Any], by: Sequence[str] = ()) -> pd.DataFrame:
    """How many clients share each history: what the models are fitted on and scored by.

    Parameters
    ----------
    summary
        One row per client with ``x``, ``t_x``, ``T`` (``purchase_summary``).
    by
        Further columns to count by, such as ``x_holdout`` or a segment.

    Returns
    -------
    pandas.DataFrame
        ``x``, ``t_x``, ``T``, the columns of ``by`` and ``n`` clients, ordered, so that the
        order of ``summary``'s rows changes nothing downstream.
    """
    key = [*TRIPLE, *by]
    return collect(_counted(summary, key))


def unique_spends(summary: nw.LazyFrame[Any], money: Money = "margin") -> pd.DataFrame:
    """How many repeat buyers share each (x, mean amount): what Gamma-Gamma is fitted on.

    Parameters
    ----------
    summary
        One row per client with ``x`` and ``mean_<money>``.
    money
        Which amount the summary holds.

    Returns
    -------
    pandas.DataFrame
        ``x`` (≥ 1), ``mean_<money>`` and ``n`` clients, ordered. A base with more distinct
        means than memory may take is counted by means rounded to a thousandth of the mean
        of all, which moves no parameter by more than that.
    """
    mean = f"mean_{money}"
    repeat_buyers = summary.filter(nw.col("x") > 0).select("x", mean)
    overall = collect(repeat_buyers.select(nw.len().alias("n"), nw.col(mean).mean().alias("level")))
    if int(overall["n"].iloc[0]) > _DISTINCT_SPENDS:
        grain = abs(float(overall["level"].iloc[0])) / 1000 or 1.0
        repeat_buyers = repeat_buyers.with_columns(((nw.col(mean) / grain).round(0) * grain).alias(mean))
    return collect(_counted(repeat_buyers, ["x", mean]))


def _counted(frame: nw.LazyFrame[Any], key: Sequence[str]) -> nw.LazyFrame[Any]:
    # The cast stands outside the aggregation: pandas only aggregates what is elementary.
    return frame.group_by(*key).agg(nw.len().alias("n")).with_columns(nw.col("n").cast(nw.Int64)).sort(*key)


def _occasions(purchases: nw.LazyFrame[Any], as_of: dt.date, merge: Merge, money: Money, on: str) -> nw.LazyFrame[Any]:
    """One row per client and occasion, each with the client's first one beside it.

    ``occasion`` is the day itself, or the number of the week's Monday: counting days only
    once they are two per client, instead of one per purchase, halves the time.
    """
    faults = Faults()
    found = purchases.collect_schema()
    for column in dict.fromkeys(["client_id", on, money]):
        if column not in found:
            faults.add(f"purchases.{column}", "no such column", "a column of that name")
    faults.raise_if_any(TableContractError, "The purchases can't be summarised:")
    moment = nw.col(on) if found[on] == nw.Date else nw.col(on).dt.truncate("1d")
    # Money keeps its type, since sums of decimals are exact and sums of floats differ from run to run.
    dated = purchases.select("client_id", nw.col(money).alias("money"), moment.alias("on"))
    until_then = dated.filter(nw.col("on") <= _occasion_of(as_of, "day", purchases, on))
    # A client's first day is counted apart and joined: a window over all occasions takes twice as long.
    if merge == "week":
        number = day_number("on")
        weeks = until_then.with_columns(occasion=number - (number + _DAYS_FROM_MONDAY_TO_1970) % 7)
        first = weeks.group_by("client_id").agg(nw.col("occasion").min().alias("first"))
        occasions = weeks.group_by("client_id", "occasion").agg(
            nw.col("money").sum(), nw.col("on").min().alias("first_on"), nw.col("on").max().alias("last_on")
        )
    else:
        first = until_then.group_by("client_id").agg(nw.col("on").min().alias("first"))
        days = until_then.rename({"on": "occasion"}).group_by("client_id", "occasion").agg(nw.col("money").sum())
        occasions = days.with_columns(first_on=nw.col("occasion"), last_on=nw.col("occasion"))
    return occasions.join(first, on="client_id", how="inner")


def _occasion_of(day: dt.date, merge: Merge, purchases: nw.LazyFrame[Any], on: str) -> nw.Expr:
    """The occasion a purchase of that day would belong to, in the type of the column ``occasion``."""
    if merge == "week":
        return nw.lit(_number_of(day, merge))
    if purchases.collect_schema().get(on) == nw.Date:
        return nw.lit(dt.date(day.year, day.month, day.day))
    return nw.lit(dt.datetime(day.year, day.month, day.day))


def _number(occasion: str, merge: Merge) -> nw.Expr:
    return nw.col(occasion) if merge == "week" else day_number(occasion)


def _number_of(day: dt.date, merge: Merge) -> int:
    number = day_of(day)
    return number - (number + _DAYS_FROM_MONDAY_TO_1970) % 7 if merge == "week" else number


def _mean_per_repeat(total: str) -> nw.Expr:
    # x / 0 is NULL on DuckDB, inf on pandas and an error on Spark: the divisor is mended first.
    repeats = nw.when(nw.col("x") > 0).then(nw.col("x")).otherwise(1)
    return as_float(total).fill_null(0.0) / repeats
