"""The figure of contracts draws what the table holds, and is left out where there is nothing to compare."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pandas as pd

from crm_methods.models import contract_retention as sbg
from crm_methods.reports.charts.house import svg
from crm_methods.reports.charts.segments_contracts import retention
from crm_methods.stages.segments_contracts import Contracts, renewals


def _answer(ended_at: list[int], survived: list[int]) -> Contracts:
    begun = pd.DataFrame({"ended_at": ended_at + [0] * len(survived), "survived": [n - 1 for n in ended_at] + survived})
    begun = begun.assign(client_id=np.arange(len(begun)), running=begun["ended_at"] == 0)
    fit = sbg.fit_contracts(ended_at, survived)
    nothing: dict[str, object] = {"rows": None, "values": None, "money": "margin", "term_months": 12, "source": "contracts"}
    return Contracts(sentence="", table=renewals(begun, fit), caption="", fit=fit, **nothing)  # type: ignore[arg-type]


def test_the_figure_draws_and_claims_what_the_model_says():
    answer = _answer([1] * 9 + [2] * 4 + [3], [1, 2, 3, 3] * 5)
    chart = retention(answer, "EUR")

    assert chart is not None
    text = svg(chart, "figure", str)
    ElementTree.fromstring(text[text.index("<svg") :])
    assert f"{answer.table['fitted_share'].iloc[0]:.0%}" in chart.title
    assert "74% of 34" in chart.alt
    assert "nan" not in f"{chart.title} {chart.alt}".lower()


def test_intervals_that_are_not_known_leave_gaps_only():
    chart = retention(_answer([], [4]), "EUR")

    assert chart is not None
    svg(chart, "figure", str)


def test_one_renewal_is_no_line():
    assert retention(_answer([1], [1, 1]), "EUR") is None
    assert retention(_answer([], [0]), "EUR") is None
