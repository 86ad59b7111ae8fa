"""MBG/CNBD-k: MBG/NBD at k = 1, its own gradient, simulated bases, and what breaks closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import approx_fprime
from scipy.special import betaln
from scipy.stats import nbinom

from crm_methods.models import btyd_prediction, erlang_btyd
from crm_methods.models.btyd_fit import NoFit, PurchaseFit, fit_purchases
from crm_methods.models.btyd_likelihood import Histories, mbg_nbd
from tests.models.populations import purchase_fit

DATA = Histories(*np.array([[0, 0, 200, 3], [1, 60, 300, 2], [5, 300, 340, 1], [40, 600, 610, 1]], dtype=float).T)
TRIPLES = pd.DataFrame({"x": DATA.x, "t_x": DATA.t_x, "T": DATA.T, "n": DATA.n})
THETA = np.log([0.8, 60.0, 0.7, 2.5])


def a_fit(k: float, family: Any = "mbg_cnbd_k", **more: float) -> PurchaseFit:
    parameters = {"r": 0.8, "alpha": 60.0 / k, "a": 0.7, "b": 2.5, "k": float(k), **more}
    return purchase_fit(family, parameters)


def a_base(clients: int, k: int, seed: int) -> tuple[pd.DataFrame, float]:
    """Counted histories of clients with Erlang gaps (r 3, mean gap 45 days, a 1, b 20), and the sum of log gaps."""
    rng, rows, logs = np.random.default_rng(seed), [], 0.0
    for _ in range(clients):
        age, rate, leaves = rng.integers(300, 1500), rng.gamma(3) / (3 * 45 / k), rng.beta(1, 20)
        times = [0.0]
        while rng.random() > leaves and (time := times[-1] + rng.gamma(k) / rate) <= age:
            times.append(time)
        logs += float(np.log(np.diff(times)).sum())
        rows.append((len(times) - 1, times[-1], age))
    return pd.DataFrame(rows, columns=["x", "t_x", "T"]).assign(n=1), logs


def test_one_step_is_mbg_nbd() -> None:
    ours, theirs = erlang_btyd.mbg_cnbd_k(THETA, DATA, 1), mbg_nbd(THETA, DATA)
    assert ours[0] == pytest.approx(theirs[0], abs=1e-9)
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-9)
    here, there = (btyd_prediction.forecast(fit, DATA.x, DATA.t_x, DATA.T, [30, 2000]) for fit in (a_fit(1), a_fit(1, "mbg_nbd")))
    np.testing.assert_allclose(here.purchases, there.purchases, rtol=1e-9)
    np.testing.assert_allclose(here.alive, there.alive, atol=1e-9)


def test_a_fit_with_one_step_is_that_of_mbg_nbd() -> None:
    base, logs = a_base(60, 1, seed=4)
    here, there = erlang_btyd.fit_mbg_cnbd_k(base, logs, "week", k=1), fit_purchases("mbg_nbd", base, "week")
    assert isinstance(here, PurchaseFit)
    assert isinstance(there, PurchaseFit)
    assert {name: here.parameters[name] for name in there.parameters} == pytest.approx(dict(there.parameters), rel=1e-6)
    assert here.log_likelihood == pytest.approx(there.log_likelihood, abs=1e-6)


@pytest.mark.parametrize("k", [2, 6])
def test_the_gradient_is_that_of_the_likelihood(k: int) -> None:
    measured = approx_fprime(THETA, lambda theta: erlang_btyd.mbg_cnbd_k(theta, DATA, k, 9.0)[0], 1e-6)
    np.testing.assert_allclose(erlang_btyd.mbg_cnbd_k(THETA, DATA, k, 9.0)[1], measured, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("k", [2, 3, 6])
def test_the_expectation_is_the_sum_over_all_numbers_of_purchases(k: int) -> None:
    """Σ over w of P(at least w wished) · P(still there at the w-th), the definition."""
    fit, wishes = a_fit(k), np.arange(1, 4000)
    for x, t_x, age, horizon in ((0, 0, 200, 30), (5, 300, 340, 365), (40, 600, 610, 1100)):
        ahead = erlang_btyd.forecast(fit, [x], [t_x], [age], [horizon])[0][0, 0]
        rho, known = 0.8 + k * x, 60 / k + age
        steps = np.array([(age - t_x) ** j / np.prod(range(1, j + 1)) for j in range(k)])
        weights = steps * np.array([np.prod(rho + np.arange(j)) / known**j for j in range(k)])
        weights = weights / weights.sum()
        stays = np.exp(betaln(0.7, 2.5 + x + wishes) - betaln(0.7, 2.5 + x + 1))
        reached = sum(w * nbinom.sf(k * wishes - j - 1, rho + j, known / (known + horizon)) for j, w in enumerate(weights))
        alive = erlang_btyd.probability_alive(fit, [x], [t_x], [age])[0]
        assert ahead == pytest.approx(alive * float(np.sum(reached * stays)), rel=1e-9)


def test_the_likelihood_is_the_integral_over_rate_and_leaving() -> None:
    """One client with two gaps, by brute force."""
    k, gaps, silence, r, alpha, a, b = 3, (40.0, 55.0), 30.0, 2.0, 30.0, 0.8, 4.0
    rate = np.linspace(1e-6, 2, 20_001)[:, None]
    leave = (np.arange(400)[None, :] + 0.5) / 400
    prior = rate ** (r - 1) * np.exp(-alpha * rate) * alpha**r / 1.0 * leave ** (a - 1) * (1 - leave) ** (b - 1)
    density = np.prod([rate**k * g ** (k - 1) * np.exp(-rate * g) / 2 for g in gaps], axis=0) * (1 - leave) ** 2
    quiet = sum((rate * silence) ** j / np.prod(range(1, j + 1)) for j in range(k)) * np.exp(-rate * silence)
    whole = (prior * density * (leave + (1 - leave) * quiet)).sum() * (rate[1, 0] - rate[0, 0]) / 400 / np.exp(betaln(a, b))
    one = Histories(*(np.array([value]) for value in (2.0, sum(gaps), sum(gaps) + silence, 1.0)))
    logs = float(np.log(gaps).sum())
    found, _ = erlang_btyd.mbg_cnbd_k(np.log([r, alpha, a, b]), one, k, logs)
    # The grid of the leaving chance is coarse at its singular end.
    assert found == pytest.approx(np.log(whole), abs=0.02)


def test_parameters_and_k_of_a_simulated_base_come_back() -> None:
    base, logs = a_base(400, 4, seed=1)
    fit = erlang_btyd.fit_mbg_cnbd_k(base, logs)
    assert isinstance(fit, PurchaseFit)
    assert fit.converged
    assert fit.parameters["k"] == 4
    assert fit.parameters["r"] == pytest.approx(3, rel=0.25)
    assert 4 * fit.parameters["alpha"] / fit.parameters["r"] == pytest.approx(45, rel=0.1)
    assert fit.parameters["a"] / (fit.parameters["a"] + fit.parameters["b"]) == pytest.approx(1 / 21, rel=0.3)
    few = erlang_btyd.fit_mbg_cnbd_k(base, logs, k=1)
    assert isinstance(few, PurchaseFit)
    assert few.log_likelihood < fit.log_likelihood


def test_clients_chosen_for_many_purchases_do_not_pass_for_faithful() -> None:
    base, logs = a_base(300, 4, seed=2)
    chosen = base[base["x"] >= 4]
    naive, right = (erlang_btyd.fit_mbg_cnbd_k(chosen, logs, k=4, min_x=least) for least in (0, 4))
    shares = [fit.parameters["a"] / (fit.parameters["a"] + fit.parameters["b"]) for fit in (naive, right)]  # type: ignore[union-attr]
    assert shares[1] > shares[0]


def test_the_unit_of_time_changes_alpha_alone() -> None:
    base, logs = a_base(80, 4, seed=3)
    days, weeks = (erlang_btyd.fit_mbg_cnbd_k(base, logs, unit) for unit in ("day", "week"))  # type: ignore[arg-type]
    assert isinstance(days, PurchaseFit)
    assert isinstance(weeks, PurchaseFit)
    assert {**days.parameters, "alpha": days.parameters["alpha"] / 7} == pytest.approx(dict(weeks.parameters), rel=1e-9)


@pytest.mark.parametrize("k", [1, 5])
def test_simulated_futures_have_the_expected_mean(k: int) -> None:
    rng, size = np.random.default_rng(11), 60_000
    fit, history = a_fit(k), ([6.0] * size, [300.0] * size, [330.0] * size)
    bought, left_at, places = erlang_btyd.simulate(fit, *history, 365.0, rng)
    ahead = erlang_btyd.forecast(fit, [6], [300], [330], [365.0])
    # Four standard errors of the simulated mean.
    assert bought.mean() == pytest.approx(ahead[0][0, 0], abs=4 * bought.std() / np.sqrt(size))
    stays = float((left_at == 1).mean())
    assert stays == pytest.approx(ahead[1][0, 0], abs=4 * np.sqrt(stays / size))
    assert ((places >= 0) & (places <= 1)).all()
    assert ((left_at > 0) == (bought > 0))[left_at < 1].all()


def test_a_regular_client_that_is_late_is_probably_gone() -> None:
    history = ([12], [540], [720])
    assert erlang_btyd.probability_alive(a_fit(8), *history)[0] < 0.1 < erlang_btyd.probability_alive(a_fit(1), *history)[0]


def test_histories_without_a_gap_are_refused_with_the_reason() -> None:
    found = erlang_btyd.fit_mbg_cnbd_k(TRIPLES.assign(x=0, t_x=0), 0.0)
    assert isinstance(found, NoFit)
    assert "more than once" in found.reason
