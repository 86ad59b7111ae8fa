"""Figures of stage 4: they draw, and their titles say what the numbers say."""

from __future__ import annotations

import pandas as pd

from crm_methods.reports.charts import processes as charts
from crm_methods.stages.processes_hours import Capacity, HoursNeeded
from crm_methods.stages.processes_requests import ServiceLevel

MONTHS = pd.to_datetime(["2026-01-01", "2026-02-01"])


def _level(low: float, high: float, status: str) -> ServiceLevel:
    attained = pd.DataFrame(
        {"segment": ["high_low"], "metric": ["resolution"], "target_hours": [24.0], "share": [(low + high) / 2],
        "low_share": [low],
         "high_share": [high], "clients": [9], "trials": [50], "required_share": [0.9], "allowed_share": [1.0],
         "status": [status]}
    )  # fmt: skip
    return ServiceLevel(
        sentence="", table=attained, caption="", attained=attained, by_procedure=attained, requests=50, not_due=0, left_out=0
    )


def _capacity(used: float) -> Capacity:
    balance = pd.DataFrame({"month": MONTHS, "skill": "tech", "used_share": used})
    return Capacity(sentence="", table=balance, caption="", balance=balance, unstaffed=())


def test_the_range_is_drawn_even_where_every_interval_lies_outside():
    chart = charts.service_level(_level(0.4, 0.5, "missed"), "EUR")
    left, right = chart.figure.axes[0].get_xlim()

    assert chart.title == "1 of 1 service level is missed"
    assert left <= 0.4
    assert right >= 1.0
    assert "at least 90%, missed" in chart.alt


def test_nothing_missed_is_not_called_met():
    assert charts.service_level(_level(0.85, 0.95, "not proven"), "EUR").title == "None of 1 service level is proven to be missed"


def test_hours_are_stacked_by_strategy():
    hours = pd.DataFrame(
        {"month": MONTHS.repeat(2), "skill": "tech", "strategy": ["raise_loyalty", "none"] * 2, "hours": [30.0, 10.0] * 2}
    )
    needed = HoursNeeded(
        sentence="", table=hours, caption="", hours=hours, by_skill=hours, recorded=hours, unit="skill", mase=None
    )

    assert charts.hours_needed(needed, "EUR").title == "“Raise loyalty” takes 75% of the hours ahead"


def test_capacity_is_short_above_the_whole_of_it():
    short, enough = charts.capacity(_capacity(1.2), "EUR"), charts.capacity(_capacity(0.8), "EUR")

    assert short is not None
    assert enough is not None
    assert short.title == "1 of 1 skill is short in a busy month"
    assert "tech 120%" in short.alt
    assert enough.title.startswith("Capacity covers a busy month")


def test_without_staff_there_is_no_figure():
    assert charts.capacity(_capacity(float("nan")), "EUR") is None
