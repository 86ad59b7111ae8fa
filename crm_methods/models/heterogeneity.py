"""Do win rates differ by more than chance, between groups of deals and between clients?

A ranking of groups always has a first and a last. Deals of one client resemble each other, so a group that happens
to hold a few lucky clients looks good without being it: the tests here ask how far apart win rates would lie if
nothing but chance differed, with the deals of a client kept together where groups are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SIGNIFICANT = 0.05
"""Share of false alarms among comparisons where nothing but chance differs."""
MIN_DECIDED = 5
"""Groups and clients with fewer decided deals are not compared: their win rates are nearly all chance."""
_DRAWN_CELLS = 20_000_000
_FEWEST_DRAWS, _MOST_DRAWS = 199, 999
_LARGEST_CORRELATION = 0.95


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Spread:
    """How far win rates lie apart, and how far they would by chance alone.

    ``by`` says what is compared, ``groups`` how many. ``observed`` and ``by_chance`` are standard deviations of win
    rates (0–1), ``p_value`` the chance of at least the observed one if nothing but chance differed. Groups weigh by
    their decided deals, clients all the same.
    """

    by: str
    groups: int
    observed: float
    by_chance: float
    p_value: float

    @property
    def is_real(self) -> bool:
        """Whether the groups differ by more than chance."""
        return self.p_value < SIGNIFICANT


def spread_of_win_rates(cells: pd.DataFrame, by: str, seed: int) -> Spread | None:
    """Test whether win rates differ between groups by more than chance, with the deals of a client kept together.

    Parameters
    ----------
    cells
        One row per client and group: ``client_id``, ``group``, ``decided`` (deals won or lost, at least 1), ``won``.
    by
        What the groups are.
    seed
        Seed of the draws.

    Returns
    -------
    Spread or None
        None where fewer than two groups have at least ``MIN_DECIDED`` decided deals, or all deals ended alike.

    Notes
    -----
    Where each client belongs to one group, whole clients are dealt anew to the groups. Where groups cross clients (an
    owner serves many, a client has several), the deals are drawn anew without differences between groups: a beta-binomial
    whose intraclass correlation is estimated between clients *within* groups. Either way the statistic is the standard
    deviation of the groups' win rates, weighted by deals, and p = (1 + draws at least as wide) / (1 + draws).

    References
    ----------
    Pesarin & Salmaso (2010), "Permutation Tests for Complex Data", ch. 1; Donner & Klar (2000), "Design and Analysis of
    Cluster Randomization Trials in Health Research", section 1.3 and ch. 6: what clustering does, and binary outcomes;
    Phipson & Smyth (2010), "Permutation p-values should never be zero", Stat. Appl. Genet. Mol. Biol. 9(1): the p-value.
    """
    sizes = cells.groupby("group")["decided"].transform("sum")
    kept = cells[sizes >= MIN_DECIDED].sort_values(["group", "client_id"], ignore_index=True)
    codes, names = pd.factorize(kept["group"])
    n, w = kept["decided"].to_numpy(dtype=float), kept["won"].to_numpy(dtype=float)
    if len(names) < 2 or not 0 < w.sum() < n.sum():
        return None
    rng = np.random.default_rng(seed)
    drawn = _dealt_anew(rng, codes, n, w) if kept["client_id"].is_unique else _drawn_anew(rng, codes, n, w, kept["client_id"])
    return _spread(by, len(names), _sd_of_rates(codes, n, w), list(drawn))


def spread_between_clients(cells: pd.DataFrame, seed: int) -> Spread | None:
    """Test whether clients differ by more than independent deals with one win rate would.

    Parameters
    ----------
    cells
        One row per client: ``client_id``, ``decided`` (deals won or lost), ``won``.
    seed
        Seed of the draws.

    Returns
    -------
    Spread or None
        Between clients with at least ``MIN_DECIDED`` decided deals, each counting once; None where fewer than two have
        them, or all their deals ended alike.

    Notes
    -----
    Each client's wins are drawn from a binomial with the win rate of all; the statistic is the standard deviation of the
    clients' win rates, and p = (1 + draws at least as wide) / (1 + draws).

    References
    ----------
    Davison & Hinkley (1997), "Bootstrap Methods and their Application", section 4.2: tests by a parametric bootstrap.
    """
    kept = cells[cells["decided"] >= MIN_DECIDED].sort_values(["decided", "client_id"], ascending=[False, True])
    n, w = kept["decided"].to_numpy(dtype=np.int64), kept["won"].to_numpy(dtype=float)
    if len(n) < 2 or not 0 < w.sum() < n.sum():
        return None
    rng, p = np.random.default_rng(seed), w.sum() / n.sum()
    drawn = [float(np.std(rng.binomial(n, p) / n, ddof=1)) for _ in range(_draws(len(n)))]
    return _spread("client", len(n), float(np.std(w / n, ddof=1)), drawn)


def within_group_correlation(codes: NDArray[Any], decided: NDArray[Any], won: NDArray[Any]) -> float:
    """Intraclass correlation of outcomes of one client within a group, by the analysis of variance.

    Parameters
    ----------
    codes
        The group of each pair of client and group: 0, 1, 2 …, none left out.
    decided, won
        Deals of each pair that were decided (at least 1), and those of them that were won.

    Returns
    -------
    float
        0–0.95: below 0 counts as 0, and so does what can't be told, as where each client has one deal.

    Notes
    -----
    ρ = (MSC − MSE) / (MSC + (n₀ − 1)·MSE), with the mean squares between the clients of a group and between the deals of a
    client, and n₀ the mean number of deals corrected for its variation.

    References
    ----------
    Donner & Klar (2000), as above, ch. 6; Ridout, Demétrio & Firth (1999), "Estimating intraclass correlation for binary
    data", Biometrics 55: the estimator by the analysis of variance.
    """
    groups, wins = np.bincount(codes, decided), np.bincount(codes, won)
    rate = (wins / groups)[codes]
    between, within = np.sum(decided * (won / decided - rate) ** 2), np.sum(won * (1 - won / decided))
    clients_free, deals_free = len(codes) - len(groups), decided.sum() - len(codes)
    if clients_free < 1 or deals_free < 1:
        return 0.0
    size = (decided.sum() - np.sum(np.bincount(codes, decided**2) / groups)) / clients_free
    mean_between, mean_within = between / clients_free, within / deals_free
    total = mean_between + (size - 1) * mean_within
    return float(np.clip((mean_between - mean_within) / total, 0.0, _LARGEST_CORRELATION)) if total > 0 else 0.0


def _dealt_anew(rng: np.random.Generator, codes: NDArray[Any], decided: NDArray[Any], won: NDArray[Any]) -> Iterator[float]:
    """Spreads of groups to which whole clients are dealt anew."""
    for _ in range(_draws(len(codes))):
        order = rng.permutation(len(codes))
        yield _sd_of_rates(codes, decided[order], won[order])


def _drawn_anew(
    rng: np.random.Generator, codes: NDArray[Any], decided: NDArray[Any], won: NDArray[Any], client_ids: pd.Series[Any]
) -> Iterator[float]:
    """Spreads of groups whose deals are won with their client's chance, whatever the group."""
    clients, p, rho = pd.factorize(client_ids)[0], won.sum() / decided.sum(), within_group_correlation(codes, decided, won)
    for _ in range(_draws(len(codes))):
        yield _sd_of_rates(codes, decided, _beta_binomial(rng, p, rho, decided, clients))


def _beta_binomial(rng: np.random.Generator, p: float, rho: float, decided: NDArray[Any], clients: NDArray[Any]) -> NDArray[Any]:
    chance: NDArray[Any] = np.full(clients.max() + 1, p)
    if rho > 0:
        chance = rng.beta(p * (1 / rho - 1), (1 - p) * (1 / rho - 1), size=clients.max() + 1)
    return rng.binomial(decided.astype(np.int64), chance[clients]).astype(float)


def _draws(cells: int) -> int:
    """How often to draw: fewer times from a large base, so that it takes no longer."""
    return int(np.clip(_DRAWN_CELLS // cells, _FEWEST_DRAWS, _MOST_DRAWS))


def _sd_of_rates(codes: NDArray[Any], decided: NDArray[Any], won: NDArray[Any]) -> float:
    groups = np.bincount(codes, decided)
    rates_of_groups = np.bincount(codes, won) / groups
    return float(np.sqrt(np.average((rates_of_groups - won.sum() / decided.sum()) ** 2, weights=groups)))


def _spread(by: str, groups: int, observed: float, drawn: list[float]) -> Spread:
    draws = np.asarray(drawn)
    # Draws as wide as what was seen, up to rounding, are as wide.
    p_value = (1 + int(np.sum(draws >= observed - 1e-12))) / (1 + len(draws))
    return Spread(by=by, groups=groups, observed=observed, by_chance=float(np.sqrt(np.mean(draws**2))), p_value=p_value)
