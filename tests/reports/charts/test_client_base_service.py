"""The figures on deals, requests and contacts draw, whatever the company recorded."""

from __future__ import annotations

import dataclasses
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from crm_methods.reports.charts import client_base_service as charts
from crm_methods.reports.charts.house import Chart, svg
from crm_methods.stages import client_base
from crm_methods.stages.client_base_contacts import channels
from crm_methods.stages.client_base_deals import decided_deals, won_and_lost
from crm_methods.stages.client_base_requests import client_requests, topics
from tests.conftest import MadeCompany, MakeCompany

RANDOM = np.random.default_rng(7)
DEALS = pd.DataFrame(
    {
        "deal_id": range(120), "client_id": [f"c{i % 24}" for i in range(120)], "closed_on": "2025-05-01", "amount": 10.0,
        "status": RANDOM.choice(["won", "lost"], 120), "owner": ["<b>Ann</b>", "Ben & Co"] * 60,
    }
)  # fmt: skip
CLIENTS = pd.DataFrame({"client_id": [f"c{i}" for i in range(24)], "industry": ["x < y", "mining", "retail"] * 8})
CONTACTS = pd.DataFrame(
    {
        "interaction_id": range(48), "client_id": [f"c{i % 12}" for i in range(48)],
        "started_at": ["2025-06-01 09:00:00", "2024-06-01 09:00:00", "2025-07-01 09:00:00"] * 16,
        "channel": ["phone", "visit", "<email>"] * 16, "topic": ["outage", "billing", "outage", "a & b"] * 12, "direction": "in",
        "handling_minutes": [5.0, 90, 10] * 16,
    }
)  # fmt: skip


def _win_rates(made: MadeCompany) -> Any:
    path, engine = made.folder / "decided_deals.parquet", made.data.engine
    facts = client_base.client_facts(made.data, made.settings)
    engine.write(decided_deals(made.data, made.settings, facts), path, ["deal_id"])
    return won_and_lost(made.data, made.settings, engine.scan(path))


def _topics(made: MadeCompany) -> Any:
    return topics(made.data, made.settings, client_requests(made.data, made.settings))


def _is_drawn(chart: Chart | None) -> bool:
    assert chart is not None
    ElementTree.fromstring(svg(chart, "figure-1"))
    assert "nan" not in f"{chart.title} {chart.alt} {chart.note}".lower().replace("(", " ").split()
    return bool(chart.title and chart.alt)


@pytest.fixture
def whole(make_company: MakeCompany) -> MadeCompany:
    return make_company({"deals": DEALS, "clients": CLIENTS, "interactions": CONTACTS})


def test_every_figure_draws_with_a_claim_and_a_description(whole: MadeCompany):
    assert _is_drawn(charts.win_rates(_win_rates(whole), "EUR"))
    assert _is_drawn(charts.topics(_topics(whole), "EUR"))
    assert _is_drawn(charts.channels(channels(whole.data, whole.settings), "EUR"))


def test_win_rates_claim_a_difference_only_where_it_was_proven(whole: MadeCompany):
    answer = _win_rates(whole)
    by_chance = tuple(dataclasses.replace(spread, p_value=0.4) for spread in answer.spreads)
    proven = tuple(dataclasses.replace(spread, p_value=0.01) for spread in answer.spreads)

    assert (
        "not proven to differ more than chance" in charts.win_rates(dataclasses.replace(answer, spreads=by_chance), "EUR").title
    )
    assert "by industry and by owner" in charts.win_rates(dataclasses.replace(answer, spreads=proven), "EUR").title


def test_deals_without_groups_have_no_figure(make_company: MakeCompany):
    made = make_company({"deals": DEALS.drop(columns="owner")})
    assert charts.win_rates(_win_rates(made), "EUR") is None


def test_topics_without_a_period_before_are_drawn_as_shares(make_company: MakeCompany):
    made = make_company({"interactions": CONTACTS.assign(started_at="2025-06-01 09:00:00")})
    chart = charts.topics(_topics(made), "EUR")

    assert _is_drawn(chart)
    assert chart is not None
    assert "of requests are about “outage”" in chart.title


def test_topics_of_one_client_have_no_figure(make_company: MakeCompany):
    made = make_company({"interactions": CONTACTS.assign(client_id="a")})
    assert charts.topics(_topics(made), "EUR") is None


def test_channels_without_minutes_are_plain_bars(make_company: MakeCompany):
    made = make_company({"interactions": CONTACTS.drop(columns="handling_minutes")})
    assert _is_drawn(charts.channels(channels(made.data, made.settings), "EUR"))
