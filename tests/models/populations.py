"""A population made for a test, from its models alone."""

from __future__ import annotations

import pandas as pd

from crm_methods.models.btyd_fit import PurchaseFit, SpendFit
from crm_methods.models.purchase_ladder import Population


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
