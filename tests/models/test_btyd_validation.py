"""The trial by holdout, its table, and the rung it leads to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crm_methods.models import btyd_fit, btyd_validation
from crm_methods.models.btyd_fit import NOBODY, NoFit, PurchaseFit
from crm_methods.models.btyd_validation import HeldOut
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
    row = btyd_validation.hold_out(fits, cdnow.counts).table.set_index("family").loc[family]
    expected, *errors = HOLDOUT[family]
    assert row["actual"] == 1882
    assert row["expected"] == pytest.approx(expected, abs=0.6)
    assert row[["bias", "mae", "rmse", "correlation"]].tolist() == pytest.approx(errors, abs=6e-4)


def test_counted_holdout_equals_the_one_client_by_client(cdnow: Any, fits: list[PurchaseFit]) -> None:
    one_by_one = cdnow.counts.loc[cdnow.counts.index.repeat(cdnow.counts["n"])].assign(n=1)
    tables = [btyd_validation.hold_out(fits, counts).table for counts in (cdnow.counts, one_by_one)]
    pd.testing.assert_frame_equal(*tables)


def test_a_holdout_without_purchases_has_no_bias_and_no_correlation(cdnow: Any, fits: list[PurchaseFit]) -> None:
    table = btyd_validation.hold_out(fits, cdnow.counts.assign(x_holdout=0)).table
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
    rung = btyd_validation.choose_rung(fits, btyd_validation.hold_out(fits, cdnow.counts))
    assert rung.rung == "mbg_nbd"
    assert "0.765" in rung.reason
    assert "0.785" in rung.reason


def a_holdout(clients: int = 100, **mae: float) -> HeldOut:
    """Every model misses all clients by the same, but the naive forecast, whose misses differ from client to client."""
    table = pd.DataFrame({"family": list(mae), "mae": list(mae.values()), "actual": 10.0})
    spread = np.linspace(-1, 1, clients)
    misses = {name: np.full(clients, miss) + (0.3 * spread if name == "naive" else 0) for name, miss in mae.items()}
    return HeldOut(table, misses, np.ones(clients))


NO_HOLDOUT = HeldOut(pd.DataFrame(), {}, np.zeros(0))


def test_every_rung_names_its_reason(fits: list[PurchaseFit]) -> None:
    models = [fit for fit in fits if fit.family in {"bg_nbd", "mbg_nbd"}]
    held = a_holdout(bg_nbd=0.5, mbg_nbd=0.6, naive=0.7)
    quiet = HeldOut(held.table.assign(actual=0.0), held.misses, held.n)
    cases = {
        "naive forecast was better": (
            models,
            a_holdout(bg_nbd=0.5, mbg_nbd=0.6, naive=0.4),
            "lower",
            "the naive forecast by 0.400",
        ),
        "better by chance": (models, a_holdout(9, bg_nbd=0.5, mbg_nbd=0.6, naive=0.45), "bg_nbd", "the naive forecast by 0.450"),
        "few buyers": ([replace(fit, repeat_buyers=12) for fit in models], held, "mbg_nbd", "only 12 clients"),
        "hardly any": ([replace(fit, repeat_buyers=4) for fit in models], held, "lower", "a model needs 5"),
        "bounds": ([replace(fit, at_bound=("a",)) for fit in models], held, "lower", "do not determine"),
        "one bound": ([replace(models[0], at_bound=("a",)), models[1]], held, "mbg_nbd", "BG/NBD ran into its bounds"),
        "young": (models, NO_HOLDOUT, "mbg_nbd", "too young"),
        "quiet": (models, quiet, "mbg_nbd", "nobody bought"),
        "tie": (models, a_holdout(bg_nbd=0.5, mbg_nbd=0.5, naive=0.7), "mbg_nbd", "0.500"),
        "once each": ([NoFit("bg_nbd", "no client bought more than once")], NO_HOLDOUT, "lower", "more than once"),
        "nobody": ([NoFit("bg_nbd", NOBODY)], NO_HOLDOUT, "not_enough", "no client"),
    }
    for name, (tried, table, rung, reason) in cases.items():
        found = btyd_validation.choose_rung(tried, table)
        assert found.rung == rung, name
        assert reason in found.reason, name


def test_under_the_models_the_chain_stands_unless_the_naive_forecast_is_nearer(fits: list[PurchaseFit]) -> None:
    chain = replace(fits[0], family="recency_chain")
    cases = {
        "chain": (chain, a_holdout(recency_chain=0.5, naive=0.6), "recency_chain", "not told apart"),
        "by chance": (chain, a_holdout(9, recency_chain=0.5, naive=0.45), "recency_chain", "not told apart"),
        "naive": (chain, a_holdout(recency_chain=0.5, naive=0.4), "naive", "the recency chain by 0.50"),
        "no chain": (NoFit("recency_chain", "no whole period has passed"), NO_HOLDOUT, "naive", "no whole period"),
        "no days": (None, NO_HOLDOUT, "naive", "few came back"),
    }
    for name, (tried, table, rung, reason) in cases.items():
        found = btyd_validation.choose_fallback("few came back", tried, table)
        assert found.rung == rung, name
        assert reason in found.reason, name
