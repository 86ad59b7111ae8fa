"""Figures of stage 2: scores, classes of revenue, and whether cost falls with loyalty."""

from __future__ import annotations

import pandas as pd

from crm_methods import formats
from crm_methods.reports.charts.house import Chart
from crm_methods.reports.charts.intervals import forest
from crm_methods.reports.charts.matrices import heat_map
from crm_methods.stages.segments_abc import ABC, STEADY, XYZ, AbcXyz
from crm_methods.stages.segments_loyalty import Loyalty
from crm_methods.stages.segments_scores import HIGHEST, Scores

_CLASSES = {"none": "No revenue", "new": "New"}


def scores(answer: Scores, currency: str) -> Chart:
    """Clients by recency and frequency, best on top and to the left."""
    across = list(range(HIGHEST, 0, -1))
    wide = answer.cells.pivot(index="recency_score", columns="frequency_score", values="clients")
    # Cells without a client stay empty, so that the eye finds where clients are.
    wide = wide.reindex(index=across, columns=across).rename(columns={score: f"frequency_{score}" for score in across})
    best = answer.cells[answer.cells[["recency_score", "frequency_score"]].min(axis="columns") >= HIGHEST - 1]
    count, every = int(best["clients"].sum()), int(answer.cells["clients"].sum())
    scored = "scores" if count == 1 else "score"
    least = f"{HIGHEST - 1} or {HIGHEST}"
    return heat_map(
        wide.rename_axis(None, axis="columns").reset_index().assign(recency=[f"Recency {score}" for score in across]),
        row="recency",
        columns=[f"frequency_{score}" for score in across],
        labels={f"frequency_{score}": f"Frequency {score}" for score in across},
        form=formats.number,
        title=f"{formats.number(count)} of {formats.plural(every, 'client')} {scored} {least} in both recency and frequency",
        alt="Heat map of clients by recency score, rows from 5 to 1, and frequency score, columns from 5 to 1. The corner of the "
        f"two best scores of both holds {formats.share(count / every)} of clients.",
        note="Number of clients. Score 5 is the best.",
    )


def abc_xyz(answer: AbcXyz, currency: str) -> Chart:
    """Shares of revenue by class of revenue and steadiness."""
    wide = answer.cells[answer.cells["abc"] != "none"].pivot(index="abc", columns="xyz", values="revenue_share")
    rows, columns = [name for name in ABC if name in wide.index], [name for name in XYZ if name in wide.columns]
    shares = wide.loc[rows, columns]
    shaky = float(shares["Z"].get("A", 0.0)) if "Z" in columns else 0.0
    shaky = 0.0 if pd.isna(shaky) else shaky
    large = wide.loc["A"].dropna().index if "A" in wide.index else []
    is_judged = any(name in STEADY for name in large) or shaky > 0
    title = (
        f"{formats.share(shaky)} of revenue comes from large clients whose months are uneven (A, Z)"
        if shaky > 0
        else "No large client has uneven months"
        if is_judged
        else "Whether large clients have even months can't be judged yet"
    )
    return heat_map(
        shares.rename_axis(None, axis="columns").reset_index(),
        row="abc",
        columns=columns,
        labels={name: _CLASSES.get(name, name) for name in columns},
        form=formats.share,
        title=title,
        alt="Heat map of revenue by class: A brings 80% of it, B 15%, C 5%; X is steady, Y less so, Z uneven. "
        + (f"{formats.share(shaky)} of revenue is in A and Z." if is_judged else "Steadiness of A can't be judged."),
        x_axis="Steadiness of the months",
        y_axis="Class of revenue",
        note="Share of the period's positive revenue.",
    )


def loyalty(answer: Loyalty, currency: str) -> Chart:
    """The change of cost within clients, each way of measuring it with its interval."""
    known = answer.table.dropna(subset=["change_share"])
    lead = answer.estimates[answer.lead]
    assert lead is not None
    estimate, low, high = lead.change
    if high < 0 or low > 0:
        title = f"Cost {'falls' if high < 0 else 'rises'} by {formats.share(abs(estimate))} a year of tenure within clients"
    else:
        title = "No change of cost with tenure can be shown within clients"
    values = [f"{row.measure} {formats.share(row.change_share)}" for row in known.itertuples()]
    return forest(
        known,
        label="measure",
        estimate="change_share",
        low="low_share",
        high="high_share",
        form=formats.share,
        title=title,
        alt=f"Changes with 95% intervals: {formats.join(values)}.",
        highlight=[known["measure"].iloc[0]],
        axis="Change of cost to serve",
    )
