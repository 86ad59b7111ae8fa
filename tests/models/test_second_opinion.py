"""lifetimes beside our fit: the same numbers on CDNOW, a reason where it fails, never a crash."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from crm_methods.models import second_opinion
from crm_methods.models.btyd_fit import NoFit, PurchaseFit, fit_gamma_gamma, fit_purchases


@pytest.mark.parametrize("time_unit", ["day", "week"])
@pytest.mark.parametrize("family", ["bg_nbd", "mbg_nbd"])
def test_lifetimes_finds_our_parameters(cdnow: Any, family: Any, time_unit: Any) -> None:
    opinion = second_opinion.second_opinion(family, cdnow.triples, time_unit)
    ours = fit_purchases(family, cdnow.triples, time_unit, "ml")
    assert isinstance(ours, PurchaseFit)
    assert opinion.reason == ""
    assert dict(opinion.parameters) == pytest.approx(dict(ours.parameters), rel=1e-4)
    assert opinion.log_likelihood == pytest.approx(ours.log_likelihood, abs=1e-4)


def test_lifetimes_finds_our_spend_parameters(cdnow: Any) -> None:
    opinion, ours = second_opinion.spend_second_opinion(cdnow.spends), fit_gamma_gamma(cdnow.spends, 35.0, "ml")
    assert dict(opinion.parameters) == pytest.approx(dict(ours.parameters), rel=1e-4)
    assert opinion.log_likelihood == pytest.approx(ours.log_likelihood, abs=1e-4)


def test_pareto_nbd_gives_the_published_numbers(cdnow: Any) -> None:
    fit = second_opinion.fit_pareto_nbd(cdnow.triples, "week")
    assert isinstance(fit, PurchaseFit)
    published = {"r": 0.5533, "alpha": 10.578, "s": 0.6063, "beta": 11.669}
    assert dict(fit.parameters) == pytest.approx(published, rel=1e-3)
    assert fit.log_likelihood == pytest.approx(-9594.98, abs=0.006)
    spot = second_opinion.pareto_expected_purchases(fit, [26], [30.86 * 7], [31 * 7], 52 * 7)
    assert spot == pytest.approx([25.46], abs=0.006)


def test_pareto_nbd_is_the_same_in_every_run(cdnow: Any) -> None:
    fits = [second_opinion.second_opinion("pareto_nbd", cdnow.triples) for _ in range(2)]
    assert dict(fits[0].parameters) == dict(fits[1].parameters)


@pytest.mark.parametrize(
    "rows",
    [[], [(0, 0, 300, 50)], [(9, 300, 300, 30), (10, 299, 300, 30)], [(2, 100, 200, 1)]],
    ids=["nobody", "one-timers", "no churn", "one client"],
)
@pytest.mark.parametrize("family", ["bg_nbd", "mbg_nbd", "pareto_nbd"])
def test_small_or_odd_bases_end_in_numbers_or_a_reason(family: str, rows: Any, capsys: pytest.CaptureFixture[str]) -> None:
    opinion = second_opinion.second_opinion(family, pd.DataFrame(rows, columns=["x", "t_x", "T", "n"]))
    if opinion.reason:
        assert (opinion.parameters, opinion.log_likelihood) == ({}, None)
    else:
        assert np.isfinite([opinion.log_likelihood, *opinion.parameters.values()]).all()
    # lifetimes prints its optimiser's state before it raises.
    assert capsys.readouterr().out == ""


def test_a_base_of_one_time_buyers_gets_the_reason_and_not_lifetimes_silent_fit() -> None:
    triples = pd.DataFrame({"x": [0], "t_x": [0], "T": [300], "n": [50]})
    assert second_opinion.second_opinion("mbg_nbd", triples).reason == "no client bought more than once"
    assert isinstance(second_opinion.fit_pareto_nbd(triples), NoFit)


def test_constant_or_absent_amounts_end_in_numbers_or_a_reason() -> None:
    for means in ([100.0] * 30, []):
        opinion = second_opinion.spend_second_opinion(pd.DataFrame({"x": 3, "mean_margin": means, "n": 1}))
        assert bool(opinion.reason) != bool(opinion.parameters)


def test_of_very_many_histories_lifetimes_is_not_asked_for_pareto_nbd(cdnow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_opinion, "MAX_TRIPLES_PARETO", len(cdnow.triples) - 1)
    found = second_opinion.fit_pareto_nbd(cdnow.triples)

    assert isinstance(found, NoFit)
    assert found.reason == second_opinion.too_many_for_pareto(cdnow.triples)
    assert "distinct histories are more than lifetimes fits in reasonable time" in found.reason


def test_a_family_it_is_not_asked_for_is_refused() -> None:
    with pytest.raises(ValueError, match="no second opinion on nbd"):
        second_opinion.second_opinion("nbd", pd.DataFrame())
