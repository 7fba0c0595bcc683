"""Whether those that are near each other stay near each other.

All rows are ranked by their distance from each row, exactly, whether that row is one of a sample or not. Distances are
taken block by block, in float64, so that memory grows with the number of rows and not with its square.
"""

from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval, validate_params

from ..neighbors import row_distances
from ..neighbors.exact import block_bytes
from ..typing import Metric, OutputMetric, Rows, Seed, keeps_signature
from .input import CONSTRAINTS, checked_pair, float64_device, new_random_state, sampled
from .maps import map_distances

OF_ALL_ROWS = CONSTRAINTS | {"n_neighbors": [Interval(Integral, 1, None, closed="left")]}
OF_A_SAMPLE = OF_ALL_ROWS | {
    "sample_size": [Interval(Integral, 1, None, closed="left"), None],
    "random_state": ["random_state"],
}


@keeps_signature(validate_params(OF_A_SAMPLE, prefer_skip_nested_validation=True))
def trustworthiness(
    X: Rows,
    embedding: ArrayLike,
    *,
    n_neighbors: int = 5,
    metric: Metric = "euclidean",
    metric_kwds: dict[str, Any] | None = None,
    output_metric: OutputMetric = "euclidean",
    sample_size: int | None = 5000,
    random_state: Seed = None,
    device: str | torch.device = "auto",
) -> float:
    """How far the neighbours on the map are neighbours among the rows: no false neighbours.

    A neighbour on the map that is only the r-th nearest among the rows costs r - `n_neighbors`, if r is greater. The
    sum is scaled so that the worst map has 0, as in ``sklearn.manifold.trustworthiness``, whose number this is where
    all rows are taken and no distances are equal. Where some are, scikit-learn ranks them as its sort happens to, and
    this takes the mean over all their orders.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features) or (n_samples, n_samples)
        Rows; for ``metric="precomputed"``, their distances.
    embedding : array-like of shape (n_samples, n_components)
        Their positions.
    n_neighbors : int, default=5
        Number of neighbours, the row itself not counted; below n_samples / 2.
    metric : str or callable, default="euclidean"
        The distance between rows: as that of `ParametricUMAP`, or "precomputed".
    metric_kwds : dict or None, default=None
        Arguments of the metric.
    output_metric : {"euclidean", "haversine", "hyperboloid"}, default="euclidean"
        The distance between positions, as that of `ParametricUMAP`.
    sample_size : int or None, default=5000
        Of more rows, so many are drawn, and the mean is taken over them; each is still compared with all rows, so that
        the expectation is the number for all. None takes all.
    random_state : int, RandomState instance or None, default=None
        Seed of that sample; None draws another one each time.
    device : {"auto", "cpu", "cuda", "cuda:<index>", "mps"} or torch.device, default="auto"
        Where it is computed. "auto" takes CUDA where there is one, else the CPU; so does MPS, which has no float64.

    Returns
    -------
    trustworthiness : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or X and `embedding` are not finite or do not belong together.

    References
    ----------
    Venna, Kaski 2001, Neighborhood Preservation in Nonlinear Projection Methods: An Experimental Study, ICANN.
    """
    compared = _Comparison(X, embedding, metric, metric_kwds, output_metric, sample_size, random_state, device)
    return float(_kept(compared, compared.of_points, compared.of_rows, n_neighbors).mean())


@keeps_signature(validate_params(OF_ALL_ROWS, prefer_skip_nested_validation=True))
def local_trustworthiness(
    X: Rows,
    embedding: ArrayLike,
    *,
    n_neighbors: int = 5,
    metric: Metric = "euclidean",
    metric_kwds: dict[str, Any] | None = None,
    output_metric: OutputMetric = "euclidean",
    device: str | torch.device = "auto",
) -> NDArray[np.float64]:
    """`trustworthiness` of each row's own neighbours on the map, to see where a map is to be believed.

    Parameters
    ----------
    X, embedding, n_neighbors, metric, metric_kwds, output_metric, device
        As in `trustworthiness`.

    Returns
    -------
    trustworthiness : ndarray of shape (n_samples,), float64
        Between 0 and 1, up to rounding where a row's neighbours are the worst there are; the mean is that of the map.

    Raises
    ------
    ValueError
        As `trustworthiness`.
    """
    compared = _Comparison(X, embedding, metric, metric_kwds, output_metric, None, None, device)
    return _kept(compared, compared.of_points, compared.of_rows, n_neighbors)


@keeps_signature(validate_params(OF_A_SAMPLE, prefer_skip_nested_validation=True))
def continuity(
    X: Rows,
    embedding: ArrayLike,
    *,
    n_neighbors: int = 5,
    metric: Metric = "euclidean",
    metric_kwds: dict[str, Any] | None = None,
    output_metric: OutputMetric = "euclidean",
    sample_size: int | None = 5000,
    random_state: Seed = None,
    device: str | torch.device = "auto",
) -> float:
    """How far the neighbours among the rows are neighbours on the map: none torn away.

    `trustworthiness` the other way round: a neighbour among the rows that is only the r-th nearest on the map costs
    r - `n_neighbors`, if r is greater.

    Parameters
    ----------
    X, embedding, n_neighbors, metric, metric_kwds, output_metric, sample_size, random_state, device
        As in `trustworthiness`.

    Returns
    -------
    continuity : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        As `trustworthiness`.

    References
    ----------
    Venna, Kaski 2001, Neighborhood Preservation in Nonlinear Projection Methods: An Experimental Study, ICANN.
    """
    compared = _Comparison(X, embedding, metric, metric_kwds, output_metric, sample_size, random_state, device)
    return float(_kept(compared, compared.of_rows, compared.of_points, n_neighbors).mean())


@keeps_signature(validate_params(OF_A_SAMPLE, prefer_skip_nested_validation=True))
def neighborhood_recall(
    X: Rows,
    embedding: ArrayLike,
    *,
    n_neighbors: int = 15,
    metric: Metric = "euclidean",
    metric_kwds: dict[str, Any] | None = None,
    output_metric: OutputMetric = "euclidean",
    sample_size: int | None = 5000,
    random_state: Seed = None,
    device: str | torch.device = "auto",
) -> float:
    """Share of each row's nearest neighbours that are still among its nearest neighbours on the map.

    Parameters
    ----------
    X, embedding, metric, metric_kwds, output_metric, sample_size, random_state, device
        As in `trustworthiness`.
    n_neighbors : int, default=15
        Number of neighbours, the row itself not counted; below n_samples.

    Returns
    -------
    recall : float
        Mean over the rows, between 0 and 1.

    Raises
    ------
    ValueError
        As `trustworthiness`.
    """
    compared = _Comparison(X, embedding, metric, metric_kwds, output_metric, sample_size, random_state, device)
    if n_neighbors >= compared.n_samples:
        raise ValueError(f"n_neighbors={n_neighbors} must be below the number of rows, {compared.n_samples}.")
    shared = 0
    for block in compared.blocks():
        before, after = (
            _nearest(measure(block), block, n_neighbors) for measure in (compared.of_rows, compared.of_points)
        )
        was_near = torch.zeros((len(block), compared.n_samples), dtype=torch.bool, device=before.device)
        shared += was_near.scatter_(1, before, True).gather(1, after).sum().item()
    return shared / (len(compared.sample) * n_neighbors)


class _Comparison:
    """The distances among rows, and among their positions, from a sample of them to all."""

    def __init__(self, X, embedding, metric, metric_kwds, output_metric, sample_size, random_state, device):
        X, embedding = checked_pair(X, embedding, metric, metric_kwds)
        self.device = float64_device(device)
        self.of_rows = row_distances(X, metric, metric_kwds, self.device)
        self.of_points = map_distances(embedding, output_metric, self.device)
        self.n_samples = len(embedding)
        self.sample = torch.from_numpy(sampled(len(embedding), sample_size, new_random_state(random_state)))

    def blocks(self):
        """The sample in parts whose distances to all rows fit in a cache, or in a share of a GPU's memory."""
        return self.sample.split(max(1, block_bytes(self.device) // (8 * self.n_samples)))


def _kept(compared, near_by, ranked_by, n_neighbors):
    """For each row of the sample, 1 where its nearest by one distance are its nearest by the other, 0 at the worst."""
    n_samples = compared.n_samples
    if n_neighbors >= n_samples / 2:
        raise ValueError(f"n_neighbors={n_neighbors} must be below half the number of rows, which are {n_samples}.")
    costs = [
        _costs(ranked_by(block), block, _nearest(near_by(block), block, n_neighbors)) for block in compared.blocks()
    ]
    worst = n_neighbors * (2 * n_samples - 3 * n_neighbors - 1) / 2
    return 1 - torch.cat(costs).cpu().numpy() / worst


def _nearest(distances, rows, n_neighbors):
    """The nearest of all rows to each of some, these themselves not counted."""
    distances[torch.arange(len(rows)), rows] = -torch.inf
    return distances.topk(n_neighbors + 1, dim=1, largest=False).indices[:, 1:]


def _costs(distances, rows, near):
    """By how many ranks the near ones miss being the nearest, in total for each row; the mean over equal distances."""
    distances.clamp_(max=torch.finfo(distances.dtype).max)  # above which there is a next number, infinity
    distances[torch.arange(len(rows)), rows] = -torch.inf
    reached = distances.gather(1, near)
    bounds = torch.cat([reached, reached.nextafter(reached.new_tensor(torch.inf))], dim=1)
    # Ranks are from 1, and the row itself is counted too.
    nearer, as_near = (_counts_below(distances, bounds) - 1).chunk(2, dim=1)

    def up_to(rank):  # the cost of all ranks up to it
        beyond = (rank - near.shape[1]).clamp(min=0).double()
        return beyond * (beyond + 1) / 2

    return ((up_to(as_near) - up_to(nearer)) / (as_near - nearer)).sum(dim=1)


def _counts_below(distances, bounds):
    """How many of a row's distances are below each of its bounds."""
    ordered = bounds.sort(dim=1)
    places = torch.searchsorted(ordered.values, distances, right=True)
    counts = places.new_zeros((len(places), bounds.shape[1] + 1))
    counts.scatter_add_(1, places, places.new_ones(()).expand_as(places))
    return torch.empty_like(ordered.indices).scatter_(1, ordered.indices, counts.cumsum(dim=1)[:, :-1])
