"""Do clients fall into natural groups, or is every border a threshold on a continuum?

A mixture of normals is fitted for 1 … k groups, and three witnesses are heard: BIC, the
gap statistic, and how well the groups survive resampling. Groups count as natural only
when all three say so; k = 1 is an answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_methods import formats
from crm_methods.errors import TableContractError

Matrix = NDArray[np.float64]

MIN_CLIENTS = 20
MIN_GROUP = 5
FIT_CLIENTS = 3_000
STABLE_ARI = 0.8

# Standardised features: a group's spread is not let below a thirtieth of the base's, else equal values make groups.
_LEAST_VARIANCE = 1e-3
_GAP_REFERENCES = 20
_LEAST_STABLE_SHARE = 0.9


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Partition:
    """The best partition of the clients, and whether it is natural.

    Attributes
    ----------
    natural
        Whether groups exist: BIC and gap both choose more than one, and the 10th percentile of
        the bootstrap ARI reaches .8, which is to say that nine of ten resamples find the groups again.
    natural_clusters
        Number of natural groups; 1 on a continuum.
    clusters
        Number of groups in ``labels`` and ``profile``: the natural ones, else the best cut of the continuum
        into at least two; 1 where no partition is possible.
    bic_clusters, gap_clusters
        What BIC and the gap statistic choose.
    resamples, stable_resamples
        How many times the groups were looked for among resampled clients, and how often the adjusted Rand
        index with the partition reached .8. None are drawn where BIC or gap chooses one group, and drawing
        stops when the verdict can't change.
    ari_p10
        10th percentile of that index; None where no resamples were drawn, or fewer than asked for.
    labels
        One row per client: ``client_id``, ``cluster`` (1 is the highest in the first feature; 0 where a feature is
        missing), ``probability`` of being in it (0–1).
    profile
        One row per cluster: ``cluster``, ``clients``, ``clients_share``, the features' medians as given, ``description``.
    selection
        One row per number of clusters tried: ``clusters``, ``bic`` (lower is better), ``gap``, ``gap_error``.
    features
        Features that entered; constant ones are left out.
    verdict
        The finding as a sentence.
    note
        What was left out, sampled or impossible.
    """

    natural: bool
    natural_clusters: int
    clusters: int
    bic_clusters: int
    gap_clusters: int
    resamples: int
    stable_resamples: int
    ari_p10: float | None
    labels: pd.DataFrame
    profile: pd.DataFrame
    selection: pd.DataFrame
    features: tuple[str, ...]
    verdict: str
    note: str = ""


def best_partition(points: pd.DataFrame, *, seed: int, max_clusters: int = 6, bootstraps: int = 100) -> Partition:
    """Find the best partition by Gaussian mixtures, and judge whether it is natural.

    Parameters
    ----------
    points
        One row per client: ``client_id`` and at least one numeric feature. Amounts and costs belong on the log
        scale: on their own scale the largest clients are a cluster each.
    seed
        Seed of starts, references and draws; the same seed gives the same partition.
    max_clusters
        Most clusters tried.
    bootstraps
        Most resamples for the stability of the partition. Above 3,000 clients the fit and the
        resamples use 3,000 drawn ones; all are labelled.

    Raises
    ------
    TableContractError
        No ``client_id``, no feature, or a feature that is not a number.

    References
    ----------
    Fraley & Raftery (2002), "Model-based clustering, discriminant analysis, and density estimation", JASA 97.
    Tibshirani, Walther & Hastie (2001), "Estimating the number of clusters via the gap statistic", JRSS B 63.
    Hennig (2007), "Cluster-wise assessment of cluster stability", CSDA 52.
    """
    # Here, not above: scikit-learn takes a second to import. Before the limit, since that only binds the thread
    # pools already loaded, and many threads make fits of a few hundred rows 30 times slower.
    import sklearn.cluster
    import sklearn.mixture  # noqa: F401
    from threadpoolctl import threadpool_limits

    features, notes = _features(points)
    values = points[features].to_numpy(dtype=float)
    complete = np.isfinite(values).all(axis=1)
    if not complete.all():
        missing = formats.plural(float((~complete).sum()), "client")
        notes.append(f"{missing} with a missing feature left out")
    spread = values[complete].std(axis=0) if complete.any() else np.zeros(len(features))
    scale = np.abs(values[complete]).max(axis=0, initial=1.0)
    varies = spread > 1e-9 * scale
    constant = [name for name, moves in zip(features, varies, strict=True) if not moves]
    used = [name for name, moves in zip(features, varies, strict=True) if moves]
    clients = int(complete.sum())
    if clients < MIN_CLIENTS:
        notes.append(f"{formats.plural(clients, 'client')} are too few to look for groups; at least {MIN_CLIENTS} are needed")
        return _one_group(points, features, complete, notes)
    if not used:
        notes.append("all clients are alike in every feature")
        return _one_group(points, features, complete, notes)
    if constant:
        notes.append(f"{formats.join([_in_words(name) for name in constant])} left out: the same for all clients")
    centred = (values[complete][:, varies] - values[complete][:, varies].mean(axis=0)) / spread[varies]
    with threadpool_limits(limits=1):
        return _partition(points, features, used, complete, centred, notes, seed, max_clusters, bootstraps)


def _partition(
    points: pd.DataFrame,
    features: Sequence[str],
    used: Sequence[str],
    complete: NDArray[np.bool_],
    x: Matrix,
    notes: list[str],
    seed: int,
    max_clusters: int,
    bootstraps: int,
) -> Partition:
    rng = np.random.default_rng(seed)
    sample = x
    if len(x) > FIT_CLIENTS:
        sample = x[np.sort(rng.choice(len(x), FIT_CLIENTS, replace=False))]
        notes.append(f"fitted on {formats.number(FIT_CLIENTS)} clients drawn at random; all are labelled")
    distinct = len(np.unique(sample.round(9), axis=0))
    most = max(1, min(max_clusters, len(sample) // (2 * MIN_GROUP), distinct // 2))
    mixtures = {k: _mixture(sample, k, seed, starts=3) for k in range(1, most + 1)}
    # A group of one or two is a key account, not a segment.
    sizes = {k: np.bincount(mixture.predict(sample), minlength=k).min() for k, mixture in mixtures.items()}
    bic = {k: float(mixtures[k].bic(sample)) if sizes[k] >= MIN_GROUP or k == 1 else math.inf for k in mixtures}
    bic_clusters = min(bic, key=lambda k: bic[k])
    gap = _gap_statistic(sample, most, rng)
    gap_clusters = _gap_choice(gap)
    possible = [k for k in bic if k > 1 and math.isfinite(bic[k])]
    k = bic_clusters if bic_clusters > 1 else min(possible, key=lambda k: bic[k], default=1)
    witnessed = bic_clusters > 1 and gap_clusters > 1
    scores = _stability(sample, mixtures[k], bootstraps, seed, rng) if witnessed else []
    ari_p10 = float(np.quantile(scores, 1 - _LEAST_STABLE_SHARE)) if scores and len(scores) == bootstraps else None
    natural = ari_p10 is not None and ari_p10 >= STABLE_ARI
    stable = sum(score >= STABLE_ARI for score in scores)
    labels, probability = _labels(mixtures[k], x)
    table = _label_table(points, complete, labels, probability)
    selection = pd.DataFrame(
        [(j, bic[j] if math.isfinite(bic[j]) else math.nan, *gap[j]) for j in mixtures],
        columns=["clusters", "bic", "gap", "gap_error"],
    )
    return Partition(
        natural=natural,
        natural_clusters=k if natural else 1,
        clusters=k,
        bic_clusters=bic_clusters,
        gap_clusters=gap_clusters,
        resamples=len(scores),
        stable_resamples=stable,
        ari_p10=ari_p10,
        labels=table,
        profile=_profile(points, features, table),
        selection=selection,
        features=tuple(used),
        verdict=_verdict(natural, k, bic_clusters, gap_clusters, len(scores), stable),
        note="; ".join(notes),
    )


def _features(points: pd.DataFrame) -> tuple[list[str], list[str]]:
    features = [name for name in points.columns if name != "client_id"]
    words = [name for name in features if not pd.api.types.is_numeric_dtype(points[name])]
    if "client_id" not in points.columns or not features or words:
        raise TableContractError(
            f"points: found the columns {formats.join([str(name) for name in points.columns]) or 'none'}, "
            f"expected client_id and numeric features{f'; not numeric: {formats.join(words)}' if words else ''}."
        )
    return features, []


def _mixture(x: Matrix, k: int, seed: int, starts: int) -> Any:
    from sklearn.mixture import GaussianMixture

    return GaussianMixture(
        k, covariance_type="full", reg_covar=_LEAST_VARIANCE, n_init=starts, random_state=seed, max_iter=300, tol=1e-3
    ).fit(x)


def _gap_statistic(x: Matrix, most: int, rng: np.random.Generator) -> dict[int, tuple[float, float]]:
    """Gap and its simulation error by number of clusters, against a uniform box along the principal axes."""
    _, _, axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    rotated = x @ axes.T
    low, high = rotated.min(axis=0), rotated.max(axis=0)
    observed = _log_dispersions(x, most, 0)
    references = np.array([_log_dispersions(rng.uniform(low, high, size=x.shape), most, draw) for draw in range(_GAP_REFERENCES)])
    error = references.std(axis=0) * math.sqrt(1 + 1 / _GAP_REFERENCES)
    gap = references.mean(axis=0) - observed
    return {k: (float(gap[k - 1]), float(error[k - 1])) for k in range(1, most + 1)}


def _log_dispersions(x: Matrix, most: int, seed: int) -> Matrix:
    from sklearn.cluster import KMeans

    within = [KMeans(k, n_init=2, random_state=seed, max_iter=50).fit(x).inertia_ for k in range(1, most + 1)]
    return np.log(np.maximum(within, np.finfo(float).tiny))


def _gap_choice(gap: dict[int, tuple[float, float]]) -> int:
    """The fewest clusters whose gap is within one error of the largest.

    Not the first k that the next one does not beat: three groups at equal distances gain nothing
    from being cut into two, and the search would end there.
    """
    best = max(gap, key=lambda k: gap[k][0])
    return min(k for k in gap if gap[k][0] >= gap[best][0] - gap[best][1])


def _stability(x: Matrix, fitted: Any, bootstraps: int, seed: int, rng: np.random.Generator) -> list[float]:
    """Adjusted Rand indices of refits on resampled clients, until all are drawn or too many are unstable."""
    from sklearn.metrics import adjusted_rand_score

    labels = fitted.predict(x)
    # The percentile lies between two of the sorted scores; once both are unstable it can't reach the bar.
    allowed = math.floor((1 - _LEAST_STABLE_SHARE) * (bootstraps - 1)) + 1
    scores: list[float] = []
    while len(scores) < bootstraps and sum(score < STABLE_ARI for score in scores) <= allowed:
        drawn = x[rng.integers(0, len(x), len(x))]
        refitted = _mixture(drawn, fitted.n_components, seed + len(scores) + 1, starts=1)
        scores.append(float(adjusted_rand_score(labels, refitted.predict(x))))
    return scores


def _labels(mixture: Any, x: Matrix) -> tuple[NDArray[np.int64], Matrix]:
    """Labels from 1, the group highest in the first feature first, and each client's probability of its own."""
    order = np.argsort(-mixture.means_[:, 0], kind="stable")
    probabilities = mixture.predict_proba(x)[:, order]
    return probabilities.argmax(axis=1) + 1, probabilities.max(axis=1)


def _label_table(
    points: pd.DataFrame, complete: NDArray[np.bool_], labels: NDArray[np.int64], probability: Matrix
) -> pd.DataFrame:
    cluster, certain = np.zeros(len(points), dtype=np.int64), np.full(len(points), np.nan)
    cluster[complete], certain[complete] = labels, probability
    return pd.DataFrame({"client_id": points["client_id"].to_numpy(), "cluster": cluster, "probability": certain})


def _profile(points: pd.DataFrame, features: Sequence[str], labels: pd.DataFrame) -> pd.DataFrame:
    inside = labels["cluster"].to_numpy() > 0
    rows, cluster = points.loc[inside, list(features)].reset_index(drop=True), labels.loc[inside, "cluster"].to_numpy()
    medians = rows.groupby(cluster).median()
    spread = rows.std(ddof=0)
    standing = (rows.groupby(cluster).mean() - rows.mean()).div(spread.where(spread > 0))
    clients = pd.Series(cluster).value_counts().reindex(medians.index)
    described = [_description(standing.loc[number]) for number in medians.index]
    return (
        medians.rename_axis("cluster")
        .reset_index()
        .assign(clients=clients.to_numpy(), clients_share=clients.to_numpy() / max(1, len(rows)), description=described)[
            ["cluster", "clients", "clients_share", *features, "description"]
        ]
    )


def _description(standing: pd.Series[float]) -> str:
    """Where a group's means differ from the base's by more than a third of its spread."""
    words = [
        f"{'higher' if value > 0 else 'lower'} {str(name).removeprefix('log_').replace('_', ' ')}"
        for name, value in standing.items()
        if abs(value) > 1 / 3
    ]
    return formats.join(words) or "typical in every feature"


def _in_words(feature: str) -> str:
    words = feature.removeprefix("log_").replace("_", " ")
    return "number of deals" if words == "deals" else words


def _one_group(points: pd.DataFrame, features: Sequence[str], complete: NDArray[np.bool_], notes: Sequence[str]) -> Partition:
    inside = int(complete.sum())
    labels = _label_table(points, complete, np.ones(inside, dtype=np.int64), np.ones(inside))
    return Partition(
        natural=False,
        natural_clusters=1,
        clusters=1,
        bic_clusters=1,
        gap_clusters=1,
        resamples=0,
        stable_resamples=0,
        ari_p10=None,
        labels=labels,
        profile=_profile(points, features, labels),
        selection=pd.DataFrame(columns=["clusters", "bic", "gap", "gap_error"], dtype=float),
        features=tuple(features),
        verdict=f"No groups can be looked for: {notes[-1]}.",
        # The last note is the verdict's reason.
        note="; ".join(notes[:-1]),
    )


def _verdict(natural: bool, k: int, bic_clusters: int, gap_clusters: int, resamples: int, stable: int) -> str:
    witnesses = f"BIC chooses {formats.plural(bic_clusters, 'group')}, the gap statistic {formats.number(gap_clusters)}"
    again = f"the same {k} groups came back in {stable} of {formats.plural(resamples, 'resample')}"
    if natural:
        return f"The base has {k} natural groups: {witnesses}, and {again}."
    if resamples:
        return (
            f"No natural groups: any border is a threshold on a continuum. {witnesses}, but {again}, where "
            f"{formats.share(_LEAST_STABLE_SHARE)} would be needed."
        )
    return f"No natural groups: any border is a threshold on a continuum. {witnesses}."
