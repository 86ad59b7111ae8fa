"""Expectations over a client's chance of leaving: Gauss quadrature for the beta distribution."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crm_methods.models.btyd_likelihood import Floats

# Nodes for a horizon of up to s times A = alpha + T. The error is at most (s / (s + 2))^(2 · nodes),
# reached by clients with very many purchases: 1e-10 up to s = 12, 1e-7 up to s = 30.
_NODES = ((1.0, 16), (3.0, 32), (6.0, 48), (12.0, 80), (30.0, 128), (np.inf, 256))


def enough_nodes(reach: Floats) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """How many nodes each client needs, as groups of rows that need the same.

    Parameters
    ----------
    reach
        Of each client, the horizon as a multiple of A = alpha + T. Rows with none are in no group.
    """
    enough = 0.0
    for limit, nodes in _NODES:
        rows = np.flatnonzero((reach > enough) & (reach <= limit))
        enough = limit
        yield nodes, rows


def beta_quadrature(a: float, b: ArrayLike, nodes: int) -> tuple[Floats, Floats]:
    """Gauss quadrature for Beta(a, b), for each of several ``b``.

    The Jacobi matrix is built on [0, 1] from the canonical moments of the beta
    distribution, all of them positive, so that nothing cancels however large b is.

    Parameters
    ----------
    a, b
        Parameters of the beta distribution; K values of ``b``.
    nodes
        Number of nodes; polynomials of degree 2 · nodes − 1 are exact.

    Returns
    -------
    tuple
        Nodes in (0, 1) and weights that add up to 1, both (K, nodes).

    References
    ----------
    Golub & Welsch (1969), "Calculation of Gauss quadrature rules"; Dette & Studden
    (1997), "The Theory of Canonical Moments", ch. 1.
    """
    ones = np.atleast_1d(np.asarray(b, dtype=np.float64))[:, None]
    k = np.arange(1, nodes + 1, dtype=np.float64)
    odd, stay = (a + k - 1) / (a + ones + 2 * k - 2), (ones + k - 1) / (a + ones + 2 * k - 2)
    even, rest = k / (a + ones + 2 * k - 1), (a + ones + k - 1) / (a + ones + 2 * k - 1)
    zeta_odd = odd.copy()
    zeta_odd[:, 1:] = odd[:, 1:] * rest[:, :-1]
    zeta_even = stay * even
    diagonal = zeta_odd.copy()
    diagonal[:, 1:] += zeta_even[:, :-1]
    beside = np.sqrt(zeta_odd[:, :-1] * zeta_even[:, :-1])
    matrix = np.zeros((len(ones), nodes, nodes))
    at = np.arange(nodes)
    matrix[:, at, at] = diagonal
    matrix[:, at[1:], at[:-1]] = beside
    points, vectors = np.linalg.eigh(matrix)
    return np.clip(points, 0.0, 1.0), vectors[:, 0, :] ** 2
