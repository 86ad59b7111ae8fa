"""New clients through the stage: counted once the records are settled, and never without an interval."""

from __future__ import annotations

import datetime as dt
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pytest

from crm_methods.company.answers import Unanswered
from crm_methods.models.lifetime_value import LifetimeValueModel, fit_lifetime_value
from crm_methods.models.purchase_history import purchase_summary
from crm_methods.stages.segments_new_clients import NewClients, new_clients
from tests.conftest import MadeCompany, MakeCompany

AS_OF = dt.date(2025, 12, 31)


def _purchases(months: int, old: int = 300, a_month: int = 2) -> pd.DataFrame:
    """``old`` clients that bought before the records began, then so many new ones a month; all buy as by dice."""
    rng, rows = np.random.default_rng(4), []
    start = pd.Timestamp(AS_OF) - pd.DateOffset(months=months) + pd.Timedelta(days=1)
    arrive = [*(start + pd.to_timedelta(rng.integers(0, 60, old), "D"))]
    arrive += [start + pd.DateOffset(months=m, days=3 + n) for m in range(months) for n in range(a_month)]
    for client, first in enumerate(arrive):
        days = first + pd.to_timedelta(np.r_[0, np.cumsum(rng.exponential(90, rng.integers(0, 9)))].astype(int), "D")
        rows += [(f"c{client:04}", day.date(), 100.0 + client % 40) for day in days if day <= pd.Timestamp(AS_OF)]
    return pd.DataFrame(rows, columns=["client_id", "closed_on", "margin"])


def _modelled(purchases: pd.DataFrame) -> tuple[nw.LazyFrame[Any], LifetimeValueModel]:
    dated = purchases.assign(closed_on=pd.to_datetime(purchases["closed_on"]))
    history = purchase_summary(nw.from_native(dated).lazy(), AS_OF)
    return history, fit_lifetime_value(history, None, with_lifetimes=False)


@pytest.fixture
def made(make_company: MakeCompany) -> MadeCompany:
    deals = pd.DataFrame({"deal_id": ["d"], "client_id": ["c"], "closed_on": [AS_OF], "amount": [1.0]})
    return make_company({"deals": deals})


def test_old_clients_seen_for_the_first_time_are_not_counted_as_new(made: MadeCompany):
    history, model = _modelled(_purchases(48))
    values = history.with_columns(cost_per_month=nw.lit(2.0), p_alive=nw.lit(0.5))
    gross, net = (new_clients(made.settings, history, model, "margin", v) for v in (None, values))

    assert isinstance(gross, NewClients)
    assert isinstance(net, NewClients)
    assert (gross.arrivals.months, gross.arrivals.per_month) == (24, 2.0)
    assert gross.table["months_ahead"].tolist() == ["1 to 12", "13 to 24", "25 to 36", "All months"]
    whole = gross.table.iloc[-1]
    assert whole["new_clients"] == 72
    assert whole["clients_low"] < 72 < whole["clients_high"]
    assert whole["equity_low"] < whole["equity"] < whole["equity_high"]
    assert gross.table["equity"].iloc[:-1].sum() == pytest.approx(whole["equity"])
    assert net.table["equity"].iloc[-1] < whole["equity"]
    assert "margin before cost to serve" in gross.sentence
    assert "margin after cost to serve" in net.sentence
    assert "no part of customer equity" in gross.sentence
    assert "records are only" not in gross.sentence
    assert "nan" not in gross.sentence


def test_short_records_are_told_and_too_short_ones_are_not_answered(made: MadeCompany):
    history, model = _modelled(_purchases(14))
    short = new_clients(made.settings, history, model, "margin")
    brief = new_clients(made.settings, _modelled(_purchases(2))[0], model, "margin")

    assert isinstance(short, NewClients)
    assert short.arrivals.months == 7
    assert "The records are only 14 months long" in short.sentence
    assert isinstance(brief, Unanswered)
    assert "too short" in brief.sentence


def test_without_newcomers_or_a_model_there_is_no_number(made: MadeCompany):
    history, model = _modelled(_purchases(48, a_month=0))
    nobody = new_clients(made.settings, history, model, "margin")
    once = _purchases(48).drop_duplicates("client_id")
    clockless = new_clients(made.settings, *_modelled(once), "margin")

    assert isinstance(nobody, Unanswered)
    assert "no client bought for the first time in the last 24 months" in nobody.sentence
    assert isinstance(clockless, Unanswered)
