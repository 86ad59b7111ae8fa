"""The trial by holdout, its table, and the rung it leads to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crm_methods.models import btyd_fit, btyd_validation
from crm_methods.models.btyd_fit import NoFit, PurchaseFit
from crm_methods.models.second_opinion import fit_pareto_nbd, second_opinion

# actual 1,882; naive, BG/NBD, MBG/NBD, Pareto/NBD as published in REFERENCE_NUMBERS.
HOLDOUT = {
    "naive": (2930, 0.557, 1.024, 2.212, 0.584),
    "bg_nbd": (1653, -0.121, 0.785, 1.608, 0.626),
    "mbg_nbd": (1577, -0.162, 0.765, 1.607, 0.627),
    "pareto_nbd": (1666, -0.115, 0.755, 1.603, 0.630),
}


@pytest.fixture(scope="module")
def fits(cdnow: Any) -> list[PurchaseFit]:
    tried = [btyd_fit.fit_purchases(family, cdnow.triples, "week", "ml") for family in ("bg_nbd", "mbg_nbd")]
    every = [btyd_fit.naive(cdnow.triples, "week"), *tried, fit_pareto_nbd(cdnow.triples, "week")]
    return [fit for fit in every if isinstance(fit, PurchaseFit)]


@pytest.mark.parametrize("family", HOLDOUT)
def test_holdout_rows_are_the_published_ones(cdnow: Any, fits: list[PurchaseFit], family: str) -> None:
    row = btyd_validation.holdout_table(fits, cdnow.counts).set_index("family").loc[family]
    expected, *errors = HOLDOUT[family]
    assert row["actual"] == 1882
    assert row["expected"] == pytest.approx(expected, abs=0.6)
    assert row[["bias", "mae", "rmse", "correlation"]].tolist() == pytest.approx(errors, abs=6e-4)


def test_counted_holdout_equals_the_one_client_by_client(cdnow: Any, fits: list[PurchaseFit]) -> None:
    one_by_one = cdnow.counts.loc[cdnow.counts.index.repeat(cdnow.counts["n"])].assign(n=1)
    tables = [btyd_validation.holdout_table(fits, counts) for counts in (cdnow.counts, one_by_one)]
    pd.testing.assert_frame_equal(*tables)


def test_a_holdout_without_purchases_has_no_bias_and_no_correlation(cdnow: Any, fits: list[PurchaseFit]) -> None:
    table = btyd_validation.holdout_table(fits, cdnow.counts.assign(x_holdout=0))
    assert table[["bias", "correlation"]].isna().all(axis=None)
    assert np.isfinite(table[["expected", "mae", "rmse"]]).all(axis=None)


def test_models_table_has_lifetimes_beside_every_parameter_it_was_asked_for(cdnow: Any, fits: list[PurchaseFit]) -> None:
    spend = btyd_fit.fit_gamma_gamma(cdnow.spends, 35.0, "ml")
    table = btyd_validation.models_table(fits, spend, [second_opinion("bg_nbd", cdnow.triples, "week")])
    assert table.groupby("family").size().to_dict() == {"bg_nbd": 4, "mbg_nbd": 4, "pareto_nbd": 4, "gamma_gamma": 3}
    beside = table[table["family"] == "bg_nbd"]
    np.testing.assert_allclose(beside["lifetimes_estimate"], beside["estimate"], rtol=1e-4)
    assert table.loc[table["family"] == "mbg_nbd", "lifetimes_estimate"].isna().all()


def test_the_smaller_error_in_the_holdout_is_chosen(cdnow: Any, fits: list[PurchaseFit]) -> None:
    rung = btyd_validation.choose_rung(fits, btyd_validation.holdout_table(fits, cdnow.counts))
    assert rung.rung == "mbg_nbd"
    assert "0.765" in rung.reason
    assert "0.785" in rung.reason


def a_holdout(**mae: float) -> pd.DataFrame:
    return pd.DataFrame({"family": list(mae), "mae": list(mae.values()), "actual": 10.0})


def test_every_rung_below_names_its_reason(fits: list[PurchaseFit]) -> None:
    models = [fit for fit in fits if fit.family in {"bg_nbd", "mbg_nbd"}]
    holdout = a_holdout(bg_nbd=0.5, mbg_nbd=0.6, naive=0.7)
    cases = {
        "naive forecast was better": (models, a_holdout(bg_nbd=0.5, mbg_nbd=0.6, naive=0.4), "naive", "missed a client by 0.40"),
        "few buyers": ([replace(fit, repeat_buyers=12) for fit in models], holdout, "naive", "only 12 clients"),
        "bounds": ([replace(fit, at_bound=("a",)) for fit in models], holdout, "naive", "do not determine"),
        "one bound": ([replace(models[0], at_bound=("a",)), models[1]], holdout, "mbg_nbd", "BG/NBD ran into its bounds"),
        "young": (models, pd.DataFrame(), "mbg_nbd", "too young"),
        "quiet": (models, holdout.assign(actual=0.0), "mbg_nbd", "nobody bought"),
        "tie": (models, a_holdout(bg_nbd=0.5, mbg_nbd=0.5, naive=0.7), "mbg_nbd", "0.500"),
        "nothing": ([NoFit("bg_nbd", "no client bought more than once")], pd.DataFrame(), "not_enough", "more than once"),
    }
    for tried, table, rung, reason in cases.values():
        found = btyd_validation.choose_rung(tried, table)
        assert found.rung == rung
        assert reason in found.reason
