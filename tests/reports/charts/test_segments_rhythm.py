"""The figure of regular orders draws, and claims what its table holds."""

from __future__ import annotations

from xml.etree import ElementTree

import pandas as pd

from crm_methods.engine import collect
from crm_methods.models.buying_rhythm import Rhythm
from crm_methods.reports.charts import segments_rhythm as charts
from crm_methods.reports.charts.house import svg
from crm_methods.stages.segments_rhythm import Regularity
from tests.conftest import MakeFrame


def answer(frames: MakeFrame, clients: list[int]) -> Regularity:
    due = pd.DataFrame({"order_state": ["overdue", "late", "soon", "later"][: len(clients)], "clients": clients})
    rhythm = Rhythm(clients=9, tested=9, regular=sum(clients), k=2.0, k_low=1.0, k_high=3.0, pairs_from=9, cuts=due)
    orders = frames(pd.DataFrame({"client_id": ["a"]}))
    assert len(collect(orders)) == 1
    return Regularity(sentence="", table=due, caption="", rhythm=rhythm, fit=None, next_orders=orders, due=due)


def test_the_figure_claims_what_is_due_and_overdue(frames: MakeFrame):
    chart = charts.next_orders(answer(frames, [2, 1, 1, 5]), "EUR")

    assert chart is not None
    assert chart.title == "1 regular order is expected within 30 days, 2 are overdue"
    text = svg(chart, "figure", str)
    ElementTree.fromstring(text[text.index("<svg") :])
    assert "Overdue 2" in chart.alt


def test_without_regular_buyers_there_is_no_figure(frames: MakeFrame):
    assert charts.next_orders(answer(frames, []), "EUR") is None
