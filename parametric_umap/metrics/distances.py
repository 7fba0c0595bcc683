"""Whether what is far apart stays far apart: all distances among a sample of the rows, against those on the map."""

from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import Interval, validate_params

from ..neighbors import row_distances
from ..typing import Metric, OutputMetric, Rows, Seed, keeps_signature
from .input import CONSTRAINTS, checked_pair, float64_device, new_random_state, sampled
from .maps import map_distances

OF_A_SAMPLE = CONSTRAINTS | {
    "sample_size": [Interval(Integral, 3, None, closed="left"), None],
    "random_state": ["random_state"],
}
TRIPLETS_PER_ROW = 50


@keeps_signature(validate_params(OF_A_SAMPLE, prefer_skip_nested_validation=True))
def random_triplet_accuracy(
    X: Rows,
    embedding: ArrayLike,
    *,
    metric: Metric = "euclidean",
    metric_kwds: dict[str, Any] | None = None,
    output_metric: OutputMetric = "euclidean",
    sample_size: int | None = 2000,
    random_state: Seed = None,
    device: str | torch.device = "auto",
) -> float:
    """Share of random triplets of rows of which the same one is nearer to the first, on the map as before.

    Each row is the first of 50 triplets; the two others are drawn anew for each. An unrelated map has 0.5.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features) or (n_samples, n_samples)
        Rows, at least three; for ``metric="precomputed"``, their distances.
    embedding : array-like of shape (n_samples, n_components)
        Their positions.
    metric : str or callable, default="euclidean"
        The distance between rows: as that of `ParametricUMAP`, or "precomputed".
    metric_kwds : dict or None, default=None
        Arguments of the metric.
    output_metric : {"euclidean", "haversine", "hyperboloid"}, default="euclidean"
        The distance between positions, as that of `ParametricUMAP`.
    sample_size : int or None, default=2000
        Of more rows, so many are drawn, at least three, and triplets are made of these; None takes all. Memory grows
        with its square.
    random_state : int, RandomState instance or None, default=None
        Seed of the sample and of the triplets; None draws others each time.
    device : {"auto", "cpu", "cuda", "cuda:<index>", "mps"} or torch.device, default="auto"
        Where distances are measured. "auto" takes CUDA where there is one, else the CPU; so does MPS.

    Returns
    -------
    accuracy : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or X and `embedding` are not finite or do not belong together.

    References
    ----------
    Wang, Huang, Rudin, Shaposhnik 2021, Understanding How Dimension Reduction Tools Work: An Empirical Approach to
    Deciphering t-SNE, UMAP, TriMap, and PaCMAP for Data Visualization, Journal of Machine Learning Research 22.
    """
    random_state = new_random_state(random_state)
    of_rows, of_points = _among_sample(
        X, embedding, metric, metric_kwds, output_metric, sample_size, random_state, device
    )
    n_rows = len(of_rows)
    first = np.repeat(np.arange(n_rows), TRIPLETS_PER_ROW)
    # Steps around the circle of all rows lead from the first to two others, which differ.
    to_second, to_third = (
        random_state.randint(1, n_rows, size=len(first)),
        random_state.randint(1, n_rows - 1, size=len(first)),
    )
    to_third += to_third >= to_second
    second, third = (first + to_second) % n_rows, (first + to_third) % n_rows
    before, after = (distances[first, second] < distances[first, third] for distances in (of_rows, of_points))
    return float((before == after).mean())


@keeps_signature(validate_params(OF_A_SAMPLE, prefer_skip_nested_validation=True))
def distance_correlation(
    X: Rows,
    embedding: ArrayLike,
    *,
    metric: Metric = "euclidean",
    metric_kwds: dict[str, Any] | None = None,
    output_metric: OutputMetric = "euclidean",
    sample_size: int | None = 2000,
    random_state: Seed = None,
    device: str | torch.device = "auto",
) -> float:
    """Pearson's correlation between the distances of rows and those of their positions, over all pairs of a sample.

    It is what `ParametricUMAP` adds to its loss with `global_correlation_weight`, and not the statistic of the same
    name of Székely, Rizzo and Bakirov.

    Parameters
    ----------
    X, embedding, metric, metric_kwds, output_metric, device
        As in `random_triplet_accuracy`.
    sample_size : int or None, default=2000
        Of more rows, so many are drawn, at least three, and all pairs of these are taken; None takes all. Memory grows
        with its square.
    random_state : int, RandomState instance or None, default=None
        Seed of that sample; None draws another one each time.

    Returns
    -------
    correlation : float
        Between -1 and 1.

    Raises
    ------
    ValueError
        As `random_triplet_accuracy`; also if all distances are equal, so that there is no correlation.

    References
    ----------
    Sainburg, McInnes, Gentner 2021, Parametric UMAP Embeddings for Representation and Semisupervised Learning, Neural
    Computation 33.
    """
    random_state = new_random_state(random_state)
    matrices = _among_sample(X, embedding, metric, metric_kwds, output_metric, sample_size, random_state, device)
    pairs = np.triu_indices(len(matrices[0]), 1)
    of_pairs = [distances[pairs] for distances in matrices]
    for name, distances in zip(("X", "embedding"), of_pairs, strict=True):
        if not np.isfinite(distances).all():
            raise ValueError(f"metric={metric!r} gives infinite distances, with which nothing correlates.")
        if np.ptp(distances) == 0:
            raise ValueError(f"{name} has no two different distances, so that nothing correlates with them.")
        distances /= distances.max()  # so that no square leaves the range of float64
    return float(np.corrcoef(*of_pairs)[0, 1])


def _among_sample(X, embedding, metric, metric_kwds, output_metric, sample_size, random_state, device):
    """The distances among the rows of a sample, and among their positions."""
    X, embedding = checked_pair(X, embedding, metric, metric_kwds)
    device = float64_device(device)
    rows = sampled(len(embedding), sample_size, random_state)
    X = X[np.ix_(rows, rows)] if metric == "precomputed" else X[rows]
    everywhere = torch.arange(len(rows))
    measures = row_distances(X, metric, metric_kwds, device), map_distances(embedding[rows], output_metric, device)
    return [distances_from(everywhere).cpu().numpy() for distances_from in measures]
