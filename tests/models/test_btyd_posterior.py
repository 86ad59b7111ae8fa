"""Draws from the posterior: around our own mode, as wide as its curvature, and used wherever parameters are drawn."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crm_methods.errors import CrmError
from crm_methods.models import btyd_posterior, parameter_draws
from crm_methods.models.btyd_fit import PurchaseFit, fit_gamma_gamma, fit_purchases
from crm_methods.models.btyd_likelihood import Histories
from crm_methods.models.btyd_search import Optimum, search_of
from crm_methods.models.purchase_ladder import Histories as Population
from crm_methods.models.purchase_ladder import climb_down


@pytest.fixture(scope="module")
def extra() -> None:
    pytest.importorskip("pymc_marketing", reason="the extra `bayes` is not installed")


@pytest.fixture(scope="module")
def few() -> pd.DataFrame:
    """80 clients by MBG/NBD that begin on any day of four years."""
    truth = {"r": 1.2, "alpha": 152.0, "a": 0.9, "b": 3.0}
    fit = PurchaseFit(family="mbg_nbd", parameters=truth, log_likelihood=0.0, time_unit="day", clients=80, repeat_buyers=50)
    rng = np.random.default_rng(11)
    data = parameter_draws.simulated_histories(fit, rng.uniform(60, 1461, 80), rng)
    return pd.DataFrame({"x": data.x, "t_x": data.t_x, "T": data.T, "n": 1})


@pytest.fixture(scope="module")
def many(cdnow: Any) -> pd.DataFrame:
    """CDNOW's 2,357 clients by steps of four weeks: a fifth of the histories, so that they are drawn from sooner."""
    steps = cdnow.triples.assign(**{name: np.ceil(cdnow.triples[name] / 28) * 28 for name in ("t_x", "T")})
    return steps.groupby(["x", "t_x", "T"], as_index=False)["n"].sum()


@pytest.fixture(scope="module")
def drawn(extra: None, few: pd.DataFrame) -> PurchaseFit:
    return _fit(few)


def _fit(triples: pd.DataFrame, *args: Any, family: Any = "mbg_nbd", estimation: Any = "bayes") -> PurchaseFit:
    fit = fit_purchases(family, triples, *args, estimation=estimation)
    assert isinstance(fit, PurchaseFit)
    return fit


def _logs(fit: PurchaseFit) -> Any:
    return np.log(list(fit.parameters.values()))


@pytest.mark.parametrize("family", ["bg_nbd", "mbg_nbd"])
def test_of_many_clients_the_posterior_is_the_curvature_at_the_mode(extra: None, many: pd.DataFrame, family: str) -> None:
    """Laplace is nearly exact for 2,357 clients; 2,000 effective draws know a mean to .02 sd and an sd to 2 %."""
    posterior, mode = (_fit(many, family=family, estimation=how) for how in ("bayes", "map"))
    assert mode.covariance is not None
    assert posterior.posterior is not None
    sd = np.sqrt(np.diag(mode.covariance))

    assert np.abs((_logs(posterior) - _logs(mode)) / sd).max() < 0.3
    np.testing.assert_allclose(posterior.posterior.log_draws.std(axis=0) / sd, 1.0, atol=0.15)
    assert mode.log_likelihood is not None
    assert mode.log_likelihood - 1 < (posterior.log_likelihood or 0) < mode.log_likelihood + 1
    assert (posterior.estimation, posterior.converged, posterior.reason) == ("bayes", True, "")


def test_of_few_clients_it_is_wider_than_the_curvature_says(drawn: PurchaseFit, few: pd.DataFrame) -> None:
    mode = _fit(few, estimation="map")
    assert mode.covariance is not None
    assert drawn.covariance is not None
    ratio = np.sqrt(np.linalg.det(drawn.covariance) / np.linalg.det(mode.covariance))
    assert 1.0 < ratio < 2.0


def test_estimate_and_covariance_are_those_of_the_draws(drawn: PurchaseFit) -> None:
    posterior = drawn.posterior
    assert posterior is not None
    assert posterior.log_draws.shape == (btyd_posterior.CHAINS * btyd_posterior.DRAWS, 4)
    np.testing.assert_allclose(posterior.log_draws.mean(axis=0), _logs(drawn))
    np.testing.assert_allclose(np.cov(posterior.log_draws.T), drawn.covariance)
    assert posterior.settled
    assert str(posterior).endswith("no divergences")


def test_the_same_seed_gives_the_same_draws_and_weeks_change_alpha_alone(drawn: PurchaseFit, few: pd.DataFrame) -> None:
    weeks = _fit(few, "week")
    assert weeks.posterior is not None
    assert drawn.posterior is not None
    shift = [0.0, np.log(7), 0.0, 0.0]
    np.testing.assert_allclose(weeks.posterior.log_draws + shift, drawn.posterior.log_draws, atol=1e-9)


def test_draws_of_parameters_are_those_of_the_posterior(drawn: PurchaseFit, few: pd.DataFrame) -> None:
    assert drawn.posterior is not None
    rng = np.random.default_rng(1)
    models = parameter_draws.draws(drawn, few, 5_000, rng)
    logs = np.array([_logs(model) for model in models])
    known = drawn.posterior.log_draws

    assert parameter_draws.draws(drawn, few, 0, rng) == []
    np.testing.assert_allclose(np.sort(logs[: len(known), 0]), np.sort(known[:, 0]), atol=1e-9)
    assert not np.allclose(logs[:100], known[:100])


def test_the_ladder_draws_from_the_model_in_use_alone(extra: None, few: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds, draw = [], btyd_posterior.draw
    monkeypatch.setattr(btyd_posterior, "draw", lambda *args: (seeds.append(args[-1]), draw(*args))[1])
    ladder = climb_down(Population(few, few, pd.DataFrame()), None, "day", "bayes", with_lifetimes=False, seed=5)

    assert seeds == [5]
    assert ladder.fit is not None
    assert ladder.fit.estimation == "bayes"
    assert {fit.estimation for fit in ladder.fits} == {"map"}


def test_histories_too_many_to_draw_from_are_fitted_by_their_mode_and_the_rung_says_so(
    few: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(btyd_posterior, "MOST_HISTORIES", 20)
    ladder = climb_down(Population(few, few, pd.DataFrame()), None, "day", "bayes", with_lifetimes=False)

    assert ladder.fit is not None
    assert (ladder.fit.estimation, ladder.fit.posterior) == ("map", None)
    assert ladder.fit.parameters == _fit(few, family=ladder.fit.family, estimation="map").parameters
    assert ladder.rung.reason.endswith("since 80 distinct histories are more than 20; its mode is used")


def test_draws_that_do_not_settle_are_not_used(few: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    astray = btyd_posterior.Posterior(np.zeros((8, 4)), r_hat=1.2, effective_draws=90.0, divergences=1)
    assert not astray.settled
    assert not replace(astray, r_hat=1.0).settled
    monkeypatch.setattr(btyd_posterior, "draw", lambda *_: astray)
    fit = _fit(few)

    assert fit.estimation == "map"
    assert "(R-hat at most 1.200, at least 90 effective draws, 1 divergence)" in fit.reason

    def lost(*_: Any) -> None:
        raise RuntimeError("Initial evaluation of model at starting point failed!")

    monkeypatch.setattr(btyd_posterior, "draw", lost)
    assert _fit(few).reason == "draws from its posterior could not begin; its mode is used"


def test_what_is_not_drawn_from_is_searched_for(few: pd.DataFrame, cdnow: Any) -> None:
    nbd = _fit(few, family="nbd")
    assert (nbd.estimation, nbd.reason != "") == ("map", True)
    assert fit_gamma_gamma(cdnow.spends, 35.0, "bayes").parameters == fit_gamma_gamma(cdnow.spends, 35.0).parameters
    assert [search_of(each) for each in ("map", "ml", "bayes")] == ["map", "ml", "map"]  # type: ignore[arg-type]


def test_without_the_extra_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymc_marketing.clv", None)
    data = Histories(*(np.array([value]) for value in (1.0, 2.0, 3.0, 1.0)))
    mode = Optimum(np.zeros(4), 0.0, 0.0, True, (), np.eye(4))
    with pytest.raises(CrmError, match=r"pip install 'crm-methods\[bayes\]'"):
        btyd_posterior.draw("mbg_nbd", data, mode, 1)
