"""The posterior of a purchase model's parameters, drawn by NUTS with pymc-marketing: the way that needs the extra ``bayes``.

The models of pymc-marketing take a row per client. Here its distributions are weighted by the clients that share a history, so
that a step costs as much as there are distinct histories; and the curvature at the mode is the sampler's metric, so that far
fewer steps do.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from crm_methods import formats
from crm_methods.errors import CrmError
from crm_methods.models.btyd_likelihood import PURCHASE_LIKELIHOODS, Floats, Histories
from crm_methods.models.btyd_search import PRIORS, Optimum

CHAINS, DRAWS = 4, 1_000
"""Chains, and draws kept of each."""

MOST_HISTORIES = 20_000
"""Distinct histories above which nothing is drawn: it would take minutes, and with so many clients the posterior is normal
around its mode."""

_TUNED, _ACCEPTED = 300, 0.9
_MOST_R_HAT, _LEAST_EFFECTIVE = 1.01, 400
_DISTRIBUTIONS = {"bg_nbd": "BetaGeoNBD", "mbg_nbd": "ModifiedBetaGeoNBD"}


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """Draws of the logarithms of a model's parameters, and whether they may be trusted.

    Parameters
    ----------
    log_draws
        A row per draw, a column per parameter in the order of the likelihood.
    r_hat
        The largest of any parameter: how much further apart draws of several chains lie than those of one.
    effective_draws
        The smallest of any parameter, in the middle and in the tails: as many independent draws would say as much.
    divergences
        Draws at which the sampler lost its way.

    References
    ----------
    Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), "Rank-Normalization, Folding, and Localization: An Improved R̂",
    Bayesian Analysis 16 (2), 667-718, for both and for what is enough.
    """

    log_draws: Floats
    r_hat: float
    effective_draws: float
    divergences: int

    @property
    def settled(self) -> bool:
        """Whether the chains agree, say enough and never lost their way."""
        return self.r_hat <= _MOST_R_HAT and self.effective_draws >= _LEAST_EFFECTIVE and self.divergences == 0

    def in_units(self, gap: float) -> Posterior:
        """The same with alpha, the second parameter, in a unit of which a mean gap has ``gap``."""
        return replace(self, log_draws=self.log_draws + np.array([0.0, np.log(gap), 0.0, 0.0]))

    def __str__(self) -> str:
        divergent = f"{formats.plural(self.divergences, 'divergence')}" if self.divergences else "no divergences"
        effective = f"at least {formats.number(self.effective_draws)} effective draws"
        return f"R-hat at most {self.r_hat:.3f}, {effective}, {divergent}"


def drawn_or_why_not(family: str, data: Histories, mode: Optimum, seed: int) -> tuple[Posterior | None, str]:
    """Settled draws, or None and why there are none, in words that end a sentence.

    Parameters
    ----------
    family
        ``bg_nbd`` or ``mbg_nbd``; of others there is no posterior.
    data, mode, seed
        As in ``draw``.
    """
    if family not in _DISTRIBUTIONS:
        return None, "its posterior is not drawn from, since it is only compared with"
    if len(data.n) > MOST_HISTORIES:
        many, most = (formats.number(number) for number in (len(data.n), MOST_HISTORIES))
        return None, f"its posterior was not drawn from, since {many} distinct histories are more than {most}; its mode is used"
    try:
        posterior = draw(family, data, mode, seed)
    except RuntimeError:  # pymc's SamplingError: a start at which the likelihood is no number
        return None, "draws from its posterior could not begin; its mode is used"
    if not posterior.settled:
        return None, f"draws from its posterior did not settle ({posterior}); its mode is used"
    return posterior, ""


def draw(family: str, data: Histories, mode: Optimum, seed: int) -> Posterior:
    """Draw from the posterior under ``btyd_search.PRIORS``.

    Parameters
    ----------
    family
        ``bg_nbd`` or ``mbg_nbd``.
    data
        Counted histories, times in mean gaps, as the priors are.
    mode
        Where the search for the posterior's mode came to rest, with the curvature there.
    seed
        The same seed gives the same draws.

    Returns
    -------
    Posterior
        ``CHAINS`` × ``DRAWS`` draws, whether settled or not.

    Raises
    ------
    CrmError
        pymc-marketing is not installed.

    References
    ----------
    Hoffman & Gelman (2014), "The No-U-Turn Sampler", Journal of Machine Learning Research 15, 1593-1623.
    """
    arviz, pymc, distributions = _libraries()
    names = PURCHASE_LIKELIHOODS[family][1]
    starts = np.random.default_rng(seed).multivariate_normal(mode.log_theta, mode.covariance, CHAINS, method="eigh")
    with threadpool_limits(limits=1, user_api="blas"), pymc.Model():
        parameters = {name: pymc.LogNormal(name, *PRIORS[name]) for name in names}
        clients = getattr(distributions, _DISTRIBUTIONS[family]).dist(**parameters, T=data.T)
        pymc.Potential("histories", (data.n * pymc.logp(clients, np.column_stack([data.t_x, data.x]))).sum())
        drawn = pymc.sample(
            draws=DRAWS,
            tune=_TUNED,
            chains=CHAINS,
            cores=1,
            random_seed=seed,
            step=pymc.NUTS(scaling=mode.covariance, is_cov=True, target_accept=_ACCEPTED),
            initvals=[dict(zip(names, np.exp(start))) for start in starts],
            compute_convergence_checks=False,
            progressbar=False,
            quiet=True,
        )
    logs = np.log(np.stack([drawn.posterior[name].to_numpy() for name in names], axis=-1))
    by_chain = arviz.convert_to_dataset({"logs": logs})
    effective = [float(arviz.ess(by_chain, method=where)["logs"].min()) for where in ("bulk", "tail")]
    return Posterior(
        log_draws=logs.reshape(-1, len(names)),
        r_hat=float(arviz.rhat(by_chain)["logs"].max()),
        effective_draws=min(effective),
        divergences=int(drawn.sample_stats["diverging"].sum()),
    )


def _libraries() -> tuple[Any, Any, Any]:
    """arviz, pymc and pymc-marketing's distributions; they take seconds to load, and only this module needs them."""
    try:
        with warnings.catch_warnings():
            # Once a day arviz says that its next version will be another one; the lock holds this one.
            warnings.filterwarnings("ignore", message=r"\s*ArviZ is undergoing", category=FutureWarning)
            # In a notebook tqdm misses its widgets; no progress is shown.
            warnings.filterwarnings("ignore", message="IProgress not found")
            import arviz
            import pymc
            from pymc_marketing.clv import distributions
    except ImportError:
        raise CrmError(
            "company.yml asks for `lifetime_value: {estimation: bayes}`, and pymc-marketing is not installed. "
            "Install the extra (`pip install 'crm-methods[bayes]'`), or use `estimation: map`."
        ) from None
    return arviz, pymc, distributions
