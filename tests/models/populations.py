"""Models and a population made for a test, from their parameters alone."""

from __future__ import annotations

from typing import Any

import pandas as pd

from crm_methods.models.btyd_fit import PurchaseFit, SpendFit
from crm_methods.models.purchase_ladder import Population


def purchase_fit(family: Any, parameters: dict[str, float], **more: Any) -> PurchaseFit:
    told = {"log_likelihood": 0.0, "time_unit": "day", "clients": 1, "repeat_buyers": 1, **more}
    return PurchaseFit(family=family, parameters=parameters, **told)


def gamma_gamma(p: float, q: float, v: float) -> SpendFit:
    level, weight = p * v / (q - 1), (q - 1) / p
    parameters = {"p": p, "q": q, "v": v}
    return SpendFit(family="gamma_gamma", level=level, weight=weight, parameters=parameters, log_likelihood=0.0, repeat_buyers=1)


def fixed_spend(level: float) -> SpendFit:
    return SpendFit(family="mean", level=level, weight=1.0, parameters={}, log_likelihood=None, repeat_buyers=1)


def population(fit: PurchaseFit, spend: SpendFit, triples: pd.DataFrame, name: str = "purchases") -> Population:
    return Population(
        name=name,
        rung=fit.family,
        reason="",
        fit=fit,
        spend=spend,
        triples=triples,
        calibration_fit=None,
        holdout_counts=pd.DataFrame(),
        holdout=pd.DataFrame(),
    )
