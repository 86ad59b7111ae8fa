"""Figures of contracts in stage 2."""

from __future__ import annotations

import pandas as pd

from crm_methods import formats
from crm_methods.reports.charts.house import Chart
from crm_methods.reports.charts.lines import lines
from crm_methods.stages.segments_contracts import Contracts


def retention(answer: Contracts, currency: str) -> Chart | None:
    """The share of contracts renewed at each renewal, observed with its interval and by the model; None under two renewals.

    ``currency`` is not used; all figures take it.
    """
    table = answer.table
    if len(table) < 2:
        return None
    observed = table.assign(series="observed", share=table["kept_share"])
    fitted = table.assign(series="fitted", share=table["fitted_share"], low_share=float("nan"), high_share=float("nan"))
    first, last = table.iloc[0], table.iloc[-1]
    by = f"by renewal {formats.number(last['renewal'])}"
    shares = [formats.share(value) for value in (first["fitted_share"], last["fitted_share"])]
    same = "and still" if shares[0] == shares[1] else "and"
    seen = [
        f"{formats.number(row.renewal)}: {formats.share(row.kept_share)} of {formats.number(row.faced)}"
        for row in table.itertuples()
    ]
    chart = lines(
        pd.concat([observed, fitted], ignore_index=True),
        x="renewal",
        y="share",
        series="series",
        low="low_share",
        high="high_share",
        labels={"observed": "Observed, with a 95% interval", "fitted": "By the model"},
        form=formats.share,
        x_form=formats.number,
        title=f"By the model {shares[0]} of contracts are renewed at first, {same} {shares[1]} {by}",
        x_axis="Renewal",
        y_axis="Contracts renewed",
        alt=f"Lines of the share renewed by renewal, observed and fitted. Observed at renewal {'; '.join(seen)}.",
        note="Of the contracts that came up for each renewal. The model's line rises because those likely to leave leave first.",
    )
    # Renewals are counted: no tick between two of them.
    chart.figure.axes[0].set_xticks(table["renewal"].tolist())
    return chart
