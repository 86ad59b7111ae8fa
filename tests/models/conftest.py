"""CDNOW as the installed lifetimes package brings it: the data of the published numbers."""

from __future__ import annotations

import datetime as dt
import importlib.resources
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import pandas as pd
import pytest

from crm_methods.models import purchase_history
from crm_methods.models.btyd_validation import holdout_counts


@dataclass(frozen=True)
class Cdnow:
    """Calibration to 1997-09-30, holdout to 1998-06-30, counted as the models want it."""

    calibration: nw.LazyFrame[Any]
    summary: nw.LazyFrame[Any]
    triples: pd.DataFrame
    counts: pd.DataFrame
    spends: pd.DataFrame


@pytest.fixture(scope="session")
def cdnow_purchases() -> pd.DataFrame:
    source = importlib.resources.files("lifetimes") / "datasets" / "CDNOW_sample.txt"
    with importlib.resources.as_file(source) as path:
        rows = pd.read_csv(path, sep=r"\s+", header=None, names=["master", "client_id", "closed_on", "units", "revenue"])
    return rows.assign(
        client_id=rows["client_id"].map("{:04d}".format),
        closed_on=pd.to_datetime(rows["closed_on"].astype(str), format="%Y%m%d"),
        revenue=rows["revenue"].astype(float),
    )[["client_id", "closed_on", "revenue"]]


@pytest.fixture(scope="session")
def cdnow(cdnow_purchases: pd.DataFrame) -> Cdnow:
    frame = nw.from_native(cdnow_purchases).lazy()
    as_of = dt.date(1998, 6, 30)
    calibration = purchase_history.calibration_holdout(frame, dt.date(1997, 9, 30), as_of, money="revenue")
    return Cdnow(
        calibration=calibration,
        summary=purchase_history.purchase_summary(frame, as_of, money="revenue"),
        triples=purchase_history.unique_triples(calibration),
        counts=holdout_counts(calibration),
        spends=purchase_history.unique_spends(calibration, "revenue"),
    )
