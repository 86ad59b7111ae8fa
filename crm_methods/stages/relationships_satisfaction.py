"""How satisfied clients are, whether that changed, and who answers. A room of stage 6."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from scipy import stats

from crm_methods import formats
from crm_methods.company.answers import Answer, Unanswered, answers
from crm_methods.company.intake import Canonical
from crm_methods.company.periods import Period, current_period, previous_period
from crm_methods.company.settings import Company
from crm_methods.company.vocabulary import segment_label
from crm_methods.engine import as_float, collect, day_number, day_of
from crm_methods.models import rates
from crm_methods.models.rates import ClientSums, Rate

ALL = "all"
"""The row of all clients together."""
SATISFIED = 4
"""Lowest answer of 1–5 that counts as satisfied."""
PROMOTER, DETRACTOR = 9, 6

_QUESTION = "relationships.satisfaction"
_MEASURES = ("nps", "csat_share")
_NAMES = {"nps": ("NPS", "points"), "csat_share": ("satisfied answers", "percentage points")}
_WORTH = {
    "clv": "customer equity",
    "clv_revenue": "expected revenue",
    "contribution": "contribution",
    "margin": "margin",
    "revenue": "revenue",
}
"""What a segment may be worth, in order of choice, and its name."""
_SUMS = ("clients", "total", "count", "total_squared", "count_squared", "total_by_count")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Satisfaction(Answer):
    """Satisfaction by segment.

    Attributes
    ----------
    scores
        One row per segment and measure (``nps`` in points, ``csat_share`` 0–1); segment ``all`` is all clients.
    worth, worth_words
        What each segment is worth, the most valuable first, and in what.
    answers_by_staff
        Answers of the period that our staff gave on a client's behalf; they are not counted.
    sums
        Per segment, what intervals need of this period and the one before.
    """

    scores: pd.DataFrame
    worth: pd.Series[float]
    worth_words: str
    answers_by_staff: int
    sums: pd.DataFrame

    @property
    def top_segment(self) -> str | None:
        """The segment that is worth most; None where there is only one."""
        return str(self.worth.index[0]) if len(self.worth) > 1 else None

    def score(self, segment: str, measure: str) -> dict[str, Any] | None:
        """The row of one segment and measure; None where nobody answered."""
        rows = self.scores[(self.scores["segment"] == segment) & (self.scores["measure"] == measure)]
        return None if rows.empty else {str(key): value for key, value in rows.iloc[0].items()}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SatisfactionChange(Answer):
    """Satisfaction against the period before; ``changes`` is the table with measures by their ids, in points."""

    changes: pd.DataFrame


@answers(_QUESTION)
def satisfaction(data: Canonical, settings: Company, segments: nw.LazyFrame[Any]) -> Satisfaction | Unanswered:
    """NPS and CSAT of the period by segment, with intervals clustered by client.

    NPS: share of answers 9–10 less share of 0–6, in points. CSAT: share of answers 4–5 of 1–5. Answers that staff gave
    on a client's behalf do not count.

    Parameters
    ----------
    segments
        One row per client: ``client_id``, ``segment`` and what it is worth (``client_segments`` of stage 2).
    """
    period = current_period(settings)
    counted = _counted(data, segments, period, previous_period(settings))
    sums = _with_all(counted[counted["by_staff"] == 0])
    scores = _scores(sums)
    if scores.empty:
        reason = f"no client answered a survey between {period.label}."
        return Unanswered(_QUESTION, reason, ("surveys of the period, with nps or csat",))
    staff = _with_all(counted[counted["by_staff"] == 1])
    worth, words = _worth(segments)
    by_staff = int(staff.loc[staff["segment"] == ALL, "nps_now_answers"].sum())
    return Satisfaction(
        sentence=_score_sentence(scores, worth, words) + _staff_sentence(by_staff, _scores(staff)),
        table=_side_by_side(scores, list(worth.index)),
        caption=f"Satisfaction by segment, {period.label}, with 95% intervals; satisfied: {SATISFIED} or 5 of 5",
        labels={
            "nps": "NPS",
            "nps_low": "Low (95%)",
            "nps_high": "High (95%)",
            "csat_share": "Satisfied",
            "csat_low_share": "Low (95%)",
            "csat_high_share": "High (95%)",
            "clients": "Clients that answered",
        },
        scores=scores,
        worth=worth,
        worth_words=words,
        answers_by_staff=by_staff,
        sums=sums,
    )


@answers(_QUESTION)
def satisfaction_change(settings: Company, found: Satisfaction) -> SatisfactionChange | Unanswered:
    """This period's NPS and CSAT against those of the period before, with the interval of the difference.

    Many clients answer in both periods, so the difference's interval is taken from each client's own change.

    Returns
    -------
    SatisfactionChange
        ``table``: one row per segment and measure; ``change`` in points (of NPS, or percentage points of CSAT).
    """
    now, before = current_period(settings), previous_period(settings)
    table = _changes(found)
    if table.empty:
        reason = f"no client answered between {before.label}, so there is nothing to compare with."
        return Unanswered(_QUESTION, reason, ("surveys of the year before",))
    measures = table["measure"].map({"nps": "NPS, points", "csat_share": "Satisfied, per cent"})
    return SatisfactionChange(
        sentence=_change_sentence(table, before),
        table=table.assign(measure=measures),
        caption=f"Satisfaction, {now.label}, against the period before, by today's segments; the interval is that of the change",
        labels={"low": "Low (95%)", "high": "High (95%)", "clients": "Clients that answered"},
        changes=table,
    )


def is_within(period: Period) -> nw.Expr:
    """Whether an answer's ``day`` lies in a period."""
    day = nw.col("day")
    return (day >= day_of(period.start)) & (day <= day_of(period.end))


def survey_answers(data: Canonical) -> nw.LazyFrame[Any]:
    """Answers that hold a score, by the number of their day; without a word on who answered it was the client."""
    by_staff = nw.when(nw.col("by") == "staff").then(nw.lit(1)).otherwise(nw.lit(0))
    scored = data.scan("surveys").filter((~nw.col("nps").is_null()) | (~nw.col("csat").is_null()))
    return scored.select("client_id", "nps", "csat", day=day_number("answered_on"), by_staff=by_staff)


def _counted(data: Canonical, segments: nw.LazyFrame[Any], now: Period, before: Period) -> pd.DataFrame:
    """What scores and their changes need, in one pass: sums over clients, one row per segment and who answered.

    Per measure and period (``nps_now_total`` …) the six sums of ``ClientSums``, promoters, detractors and answers;
    per measure the products of both periods that the interval of a change needs.
    """
    nps, csat = nw.col("nps"), nw.col("csat")
    marks = {
        "nps_{}_total": _flag(nps >= PROMOTER) - _flag(nps <= DETRACTOR),
        "nps_{}_count": _flag(~nps.is_null()),
        "nps_{}_promoters": _flag(nps >= PROMOTER),
        "nps_{}_detractors": _flag(nps <= DETRACTOR),
        "nps_{}_answers": nw.lit(1.0),
        "csat_share_{}_total": _flag(csat >= SATISFIED),
        "csat_share_{}_count": _flag(~csat.is_null()),
    }
    spans = {"now": _flag(is_within(now)), "before": _flag(is_within(before))}
    marked = survey_answers(data).select("client_id", "by_staff", "day", **marks).select("client_id", "by_staff", *marks, **spans)
    split = {name.format(span): nw.col(name) * nw.col(span) for span in spans for name in marks}
    placed = marked.join(segments.select("client_id", "segment"), on="client_id", how="inner")
    clients = placed.select("client_id", "segment", "by_staff", **split).group_by("client_id", "segment", "by_staff")
    per_client = clients.agg(nw.col(*split).sum())
    terms = {name: nw.col(name) for name in split if not name.endswith(("_total", "_count"))}
    for measure in _MEASURES:
        terms |= _products(measure)
    sums = per_client.select("segment", "by_staff", **terms).group_by("segment", "by_staff").agg(nw.col(*terms).sum())
    return collect(sums).sort_values(["by_staff", "segment"], ignore_index=True)


def _products(measure: str) -> dict[str, nw.Expr]:
    """Per client, the terms whose sums make a ratio's variance in each period and the covariance of the two."""
    terms: dict[str, nw.Expr] = {}
    y = {period: nw.col(f"{measure}_{period}_total") for period in ("now", "before")}
    n = {period: nw.col(f"{measure}_{period}_count") for period in ("now", "before")}
    for period in ("now", "before"):
        values = (_flag(n[period] > 0), y[period], n[period], y[period] * y[period], n[period] * n[period], y[period] * n[period])
        terms |= {f"{measure}_{period}_{name}": value for name, value in zip(_SUMS, values, strict=True)}
    return terms | {
        f"{measure}_clients": _flag(n["now"] + n["before"] > 0),
        f"{measure}_yy": y["now"] * y["before"],
        f"{measure}_yn": y["now"] * n["before"],
        f"{measure}_ny": n["now"] * y["before"],
        f"{measure}_nn": n["now"] * n["before"],
    }


def _flag(condition: nw.Expr) -> nw.Expr:
    """1 where a condition holds; 0 where it does not, or can't be told."""
    return nw.when(condition).then(nw.lit(1.0)).otherwise(nw.lit(0.0))


def _with_all(counted: pd.DataFrame) -> pd.DataFrame:
    """The segments' sums and those of all clients; a client is in one segment, so sums add up."""
    sums = counted.drop(columns="by_staff")
    whole = sums.drop(columns="segment").sum().to_frame().T.assign(segment=ALL)
    # Where the base has one segment of this name, its row is that of all clients.
    return pd.concat([sums[sums["segment"] != ALL], whole], ignore_index=True)


def _client_sums(row: Mapping[Any, Any], measure: str, period: str) -> ClientSums:
    values = {name: float(row[f"{measure}_{period}_{name}"]) for name in _SUMS}
    return ClientSums(clients=int(values.pop("clients")), **values)


def _scores(sums: pd.DataFrame) -> pd.DataFrame:
    """Both measures of every segment and of all clients, one row each; who did not answer has none."""
    rows: list[tuple[Any, ...]] = []
    for row in sums.to_dict("records"):
        for measure in _MEASURES:
            own = _client_sums(row, measure, "now")
            if own.count > 0:
                rate = _rate(own, row) if measure == "nps" else rates.share(own, "wilson")
                rows.append(
                    (row["segment"], measure, rate.estimate, rate.low, rate.high, rate.clients, int(rate.count), rate.note)
                )
    columns = ["segment", "measure", "estimate", "low", "high", "clients", "answers", "note"]
    return pd.DataFrame(rows, columns=columns).astype({"estimate": float, "low": float, "high": float})


def _rate(own: ClientSums, row: Mapping[Any, Any]) -> Rate:
    return rates.net_promoter_score(own, float(row["nps_now_promoters"]), float(row["nps_now_detractors"]))


def _worth(segments: nw.LazyFrame[Any]) -> tuple[pd.Series[float], str]:
    """What each segment is worth, the most valuable first, and in what; by the best measure that is known."""
    known = {f"{name}_known": nw.when(nw.col(name).is_null()).then(nw.lit(0)).otherwise(nw.lit(1)) for name in _WORTH}
    valued = segments.select("segment", **{name: as_float(name) for name in _WORTH}, **known)
    table = collect(valued.group_by("segment").agg(nw.col(*_WORTH, *known).sum()))
    name = next((value for value in _WORTH if table[f"{value}_known"].sum() > 0), "revenue")
    ordered = table.sort_values([name, "segment"], ascending=[False, True]).set_index("segment")[name]
    return ordered.astype(float), _WORTH[name]


def _side_by_side(scores: pd.DataFrame, order: list[str]) -> pd.DataFrame:
    """A row per segment, the most valuable first and all clients last, with both measures."""
    there = [name for name in _all_last(order) if name in set(scores["segment"])]
    numbers = ["estimate", "low", "high", "answers", "clients"]
    nps, csat = (
        scores[scores["measure"] == measure].set_index("segment")[numbers].reindex(there).astype(float) for measure in _MEASURES
    )
    table = pd.DataFrame(
        {
            "nps": nps["estimate"],
            "nps_low": nps["low"],
            "nps_high": nps["high"],
            "csat_share": csat["estimate"],
            "csat_low_share": csat["low"],
            "csat_high_share": csat["high"],
            "answers": np.fmax(nps["answers"], csat["answers"]),
            "clients": np.fmax(nps["clients"], csat["clients"]),
        }
    )
    # A measure leaves with its interval; an interval that no segment has (one client answered) stays, as dashes.
    unknown = {"nps": ["nps", "nps_low", "nps_high"], "csat_share": ["csat_share", "csat_low_share", "csat_high_share"]}
    left_out = [column for measure, columns in unknown.items() if table[measure].isna().all() for column in columns]
    return table.rename_axis("segment").reset_index().drop(columns=left_out)


def _all_last(order: list[str]) -> list[str]:
    return [*(name for name in order if name != ALL), ALL]


def _changes(found: Satisfaction) -> pd.DataFrame:
    """One row per segment and measure with an answer in both periods: NPS first, segments by worth, all clients last."""
    place = {name: i for i, name in enumerate(_all_last(list(found.worth.index)))}
    rows = [
        _change(row, measure)
        for measure in _MEASURES
        for row in sorted(found.sums.to_dict("records"), key=lambda r: place[r["segment"]])
        if row[f"{measure}_now_count"] > 0 and row[f"{measure}_before_count"] > 0
    ]
    return pd.DataFrame(rows, columns=["segment", "measure", "before", "now", "change", "low", "high", "clients"])


def _change(row: Mapping[Any, Any], measure: str) -> tuple[str, str, float, float, float, float, float, int]:
    """The change of one measure in points; a client that answered in both periods counts once in its interval.

    A ratio's deviation is the sum over clients of (y − r·n)/N; that of the difference of two ratios sums the
    difference of the two, so what a client says in both periods falls out.
    """
    now, before = _client_sums(row, measure, "now"), _client_sums(row, measure, "before")
    shared = (
        row[f"{measure}_yy"]
        - before.ratio * row[f"{measure}_yn"]
        - now.ratio * row[f"{measure}_ny"]
        + now.ratio * before.ratio * row[f"{measure}_nn"]
    ) / (now.count * before.count)
    groups = int(row[f"{measure}_clients"])
    spread = sum(
        (s.total_squared - 2 * s.ratio * s.total_by_count + s.ratio**2 * s.count_squared) / s.count**2 for s in (now, before)
    )
    variance = max(0.0, spread - 2 * float(shared))
    half = math.nan
    if groups > 1 and variance > 1e-12:
        half = 100 * float(stats.t.ppf(0.975, groups - 1)) * math.sqrt(variance * groups / (groups - 1))
    change = 100 * (now.ratio - before.ratio)
    return str(row["segment"]), measure, 100 * before.ratio, 100 * now.ratio, change, change - half, change + half, groups


def _score_sentence(scores: pd.DataFrame, worth: pd.Series[float], words: str) -> str:
    whole = {str(row.measure): row for row in scores[scores["segment"] == ALL].itertuples()}
    said = []
    if "nps" in whole:
        said.append(f"Clients give an NPS of {_points(whole['nps'])}")
    if "csat_share" in whole:
        row = whole["csat_share"]
        of_what = "the answers" if said else "clients' answers"
        said.append(f"{formats.share(float(row.estimate))} of {of_what} are satisfied{_span(row.low, row.high, formats.share)}")
    sentence = f"{'; '.join(said)}."
    if len(worth) < 2:
        return sentence
    top = str(worth.index[0])
    own = scores[(scores["segment"] == top) & (scores["measure"] == "nps")]
    score = f"has an NPS of {_points(next(own.itertuples()))}" if len(own) else "gave no NPS"
    return f"{sentence} The segment with most {words}, “{segment_label(top)}”, {score}."


def _staff_sentence(by_staff: int, scores: pd.DataFrame) -> str:
    """What is left out: answers by staff, and how far from the clients' own they are."""
    if not by_staff:
        return ""
    own = scores[(scores["segment"] == ALL) & (scores["measure"] == "nps")]
    theirs = f"; their NPS: {_points(next(own.itertuples()))}" if len(own) else ""
    said = f"{formats.plural(by_staff, 'answer')} that our staff gave on a client's behalf"
    return f" Left out: {said}{theirs}."


def _points(row: Any) -> str:
    return f"{formats.number(row.estimate)}{_span(row.low, row.high, formats.number)}"


def _span(low: Any, high: Any, form: Any) -> str:
    text = formats.interval(low, high, form)
    return f" ({text})" if text != formats.NOTHING else " (no interval: too few clients, or all alike)"


def _change_sentence(table: pd.DataFrame, before: Period) -> str:
    words = []
    for row in table[table["segment"] == ALL].itertuples():
        name, unit = _NAMES[str(row.measure)]
        size = f"{'+' if round(float(row.change)) > 0 else ''}{formats.number(row.change)} {unit}"
        proven = _excludes_zero(row)
        verdict = f"{name} {'up' if row.change > 0 else 'down'}" if proven else f"no change of {name} proven"
        words.append(f"{verdict}, {size}{_span(row.low, row.high, formats.number)}")
    parts = [row for row in table[table["segment"] != ALL].itertuples() if pd.notna(row.low)]
    said = f"Against {before.label}: {'; '.join(words)}."
    if len(parts) < 2:
        return said
    off = sum(_excludes_zero(row) for row in parts)
    leave = "leaves" if off == 1 else "leave"
    found = f"Of {len(parts)} changes by segment {formats.number(off)} {leave} 0 outside the interval"
    return f"{said} {found}; chance alone gives about one in twenty."


def _excludes_zero(row: Any) -> bool:
    return bool(pd.notna(row.low) and (row.low > 0 or row.high < 0))
