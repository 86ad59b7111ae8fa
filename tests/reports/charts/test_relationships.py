"""Figures of stage 6 draw the answers they are given and say what these say."""

from __future__ import annotations

import pandas as pd

from crm_methods.reports.charts import relationships as charts
from crm_methods.stages.relationships import COST_COLUMNS, ProgrammeCosts
from crm_methods.stages.relationships_complaints import Complaints, TimeToSolve
from crm_methods.stages.relationships_effects import EventStudy
from crm_methods.stages.relationships_satisfaction import Satisfaction

_WORDS = {"sentence": "", "caption": ""}


def _path(before: float, after: float) -> EventStudy:
    rows = [
        (-2, before, before - 1, before + 1),
        (-1, 0.0, None, None),
        (0, after, after - 1, after + 1),
        (1, after, after - 1, after + 1),
    ]
    table = pd.DataFrame(rows, columns=["periods_since_joining", "effect_amount", "low_amount", "high_amount"])
    return EventStudy(**_WORDS, table=table, programme_id="plus", period_noun="quarter", outcome="margin")


def test_the_path_is_called_by_what_its_intervals_say():
    titles = [charts.event_study(_path(*ends), "EUR").title for ends in ((0.0, 5.0), (5.0, 5.0), (0.0, 0.0))]

    assert [title.split()[0] for title in titles] == ["Members", "Some", "No"]


def test_periods_since_joining_are_whole():
    chart = charts.event_study(_path(0.0, 5.0), "EUR")

    assert all(tick == round(tick) for tick in chart.figure.axes[0].get_xticks())


def test_costs_that_are_not_known_are_not_drawn():
    row = {
        **dict.fromkeys(COST_COLUMNS, float("nan")),
        "programme": "Plus",
        "rewards_cost": 10.0,
        "fee_amount": -4.0,
        "total_cost": 6.0,
    }
    table = pd.DataFrame([row])
    chart = charts.programme_costs(ProgrammeCosts(**_WORDS, table=table, programmes=table, unknown_ids=()), "EUR")

    assert [text.get_text() for text in chart.figure.legends[0].get_texts()] == ["Rewards paid", "Fees of members"]
    assert "€6" in chart.title


def test_satisfaction_falls_back_to_the_satisfied_share():
    table = pd.DataFrame({"segment": ["all"], "csat_share": [0.5], "csat_low_share": [0.4], "csat_high_share": [0.6]})
    scores = pd.DataFrame({"segment": ["all"], "measure": ["csat_share"], "estimate": [0.5]})
    answer = Satisfaction(
        **_WORDS,
        table=table,
        scores=scores,
        worth=pd.Series({"all": 1.0}),
        worth_words="revenue",
        answers_by_staff=0,
        sums=pd.DataFrame(),
    )
    chart = charts.satisfaction(answer, "EUR")

    assert chart is not None
    assert "50%" in chart.title


def test_every_segment_of_the_complaints_is_named():
    table = pd.DataFrame(
        {"segment": ["low_low", "all"], "rate_per_100": [5.0, 4.0], "low_per_100": [1.0, 2.0], "high_per_100": [9.0, 6.0]}
    )
    chart = charts.complaints(Complaints(**_WORDS, table=table, topics=pd.DataFrame()), "EUR")

    assert "Low revenue, low cost 5" in chart.alt
    assert "All clients 4" in chart.alt


def test_no_median_is_no_figure():
    table = pd.DataFrame({"segment": ["all"], "median_hours": [float("nan")], "low_hours": [1.0], "high_hours": [2.0]})

    assert charts.time_to_solve(TimeToSolve(**_WORDS, table=table, impossible=0), "EUR") is None
