"""Which search finds the neighbours of given rows: exact where that is quick, approximate above.

Above, the Euclidean and cosine neighbours of dense rows are searched cell by cell, all others by pynndescent.
"""

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from ..containers import as_numpy, as_tensor
from ..typing import FloatArray, Matrix, Metric, Seed
from .descent import can_descend, neighbor_descent
from .exact import exact_by_scikit_learn, exact_euclidean, roomy_device
from .found import Neighbors
from .metrics import (
    ALIASES,
    COMMON,
    COMMON_SPARSE,
    DISCONNECTION_DISTANCES,
    SPARSE_METRICS,
    metric_arguments,
    metric_function,
)
from .pairs import compiled_or_none, exact_by_pairs, rows_for_function, zero_nan_of_equal_rows
from .partitioned import partitioned_euclidean
from .scaling import centred_rows, moderate_rows, rows_in_own_units, unit_rows

# Exact search costs n² (width + OVERHEAD) units, OVERHEAD being the selection of the k smallest. Above the first
# of these it takes longer than a search of cells and the load of its compiled loops (on 2 cores half a second; that of
# a GPU is what it would do in a second by its data sheet); above the second, longer than a cold process needs to
# compile and run pynndescent (on 2 cores, about 20 s); above the third, too, where every distance is a call of a
# compiled function.
OVERHEAD = 100
PARTITIONED_WORK = {"cpu": 3e10, "cuda": 2e13}
DESCENT_WORK = 8e11
DESCENT_WORK_OF_PAIRS = 2e10
# Metrics that rise with a Euclidean distance, and how they come of it: that of the rows, or of rows of length 1.
EUCLIDEAN = {
    "euclidean": lambda distances: distances,
    "sqeuclidean": torch.square,
    "cosine": lambda chords: chords.square() / 2,
    "correlation": lambda chords: chords.square() / 2,
}


def nearest_neighbors(
    X: Matrix,
    n_neighbors: int,
    *,
    metric: Metric = "euclidean",
    metric_kwds: dict[str, Any] | None = None,
    device: str | torch.device = "cpu",
    n_jobs: int | None = None,
    random_state: Seed = None,
) -> tuple[NDArray[np.int32], FloatArray]:
    """Find the nearest neighbours of each row among all rows.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float32 or float64
        The rows. A sparse matrix is never made dense.
    n_neighbors : int
        Number of neighbours, the row itself counted, as in umap-learn; at most `n_samples`.
    metric : str or callable, default="euclidean"
        The distance between rows: a name that pynndescent knows, for sparse rows one of `SPARSE_METRICS`, or a function
        of two vectors, which runs fast where numba has compiled it, or can. By "cosine" a row of zeros is at distance 1
        from every other row and at 0 from another row of zeros.
    metric_kwds : dict or None, default=None
        Arguments of the metric, such as ``{"p": order}`` for "minkowski".
    device : str or torch.device, default="cpu"
        Where Euclidean, cosine or correlation neighbours of dense rows are searched; rows that are a tensor are
        searched where they are. All other neighbours are searched on the CPU.
    n_jobs : int or None, default=None
        Threads of pynndescent and of scikit-learn's search; None takes all.
    random_state : int, RandomState or None, default=None
        Seed of the approximate searches.

    Returns
    -------
    indices : ndarray of shape (n_samples, n_neighbors), int32
        Neighbours by rising distance; the row itself comes first.
    distances : ndarray of shape (n_samples, n_neighbors), float32
        Their distances, in the units of the metric; 0 for the row itself.

    Raises
    ------
    ValueError
        If X is sparse, and the metric is not for sparse rows; if the metric refuses the rows, or gives distances that
        are not numbers.
    """
    how: dict[str, Any] = {"metric": metric, "metric_kwds": metric_kwds, "n_jobs": n_jobs, "random_state": random_state}
    return find_neighbors(X, n_neighbors, device=device, **how).numpy()


def find_neighbors(
    X: Matrix,
    n_neighbors: int,
    *,
    metric: Metric = "euclidean",
    metric_kwds: dict[str, Any] | None = None,
    device: str | torch.device = "cpu",
    n_jobs: int | None = None,
    random_state: Seed = None,
) -> Neighbors:
    """Find the nearest neighbours of each row among all rows, and leave them where they are needed next.

    Parameters
    ----------
    X, n_neighbors, metric, metric_kwds, n_jobs, random_state
        As in `nearest_neighbors`.
    device : str or torch.device, default="cpu"
        Where Euclidean, cosine or correlation neighbours of dense rows are searched, and all are wanted; rows that are
        a tensor are searched where they are.

    Returns
    -------
    neighbors : Neighbors
        On the device.

    Raises
    ------
    ValueError
        As in `nearest_neighbors`.
    """
    if sp.issparse(X) and metric not in SPARSE_METRICS:
        raise ValueError(f"metric={metric!r} is not for sparse rows; allowed are {SPARSE_METRICS}.")
    name = ALIASES.get(metric, metric) if isinstance(metric, str) else metric
    search = {"metric_kwds": metric_kwds or {}, "n_jobs": n_jobs, "random_state": random_state}
    if name not in (COMMON_SPARSE if sp.issparse(X) else COMMON):
        found = _by_function(as_numpy(X), n_neighbors, name, **search)
    elif name in EUCLIDEAN:
        found = _by_euclidean_distance(_placed(X, device), n_neighbors, name, **search)
    else:
        found = _by_common_metric(as_numpy(X), n_neighbors, name, **search)
    return _self_first(*found).to(device)


def drop_distant(
    neighbors: Neighbors, metric: Metric = "euclidean", disconnection_distance: float | None = None
) -> Neighbors:
    """Drop neighbours at or beyond `disconnection_distance`.

    Parameters
    ----------
    neighbors : Neighbors
        Those of each row.
    metric : str or callable, default="euclidean"
        The metric that measured them; "precomputed" for distances that were given.
    disconnection_distance : float or None, default=None
        From this distance on two rows are never neighbours. None takes the greatest distance of a bounded metric, such
        as 1 of "jaccard", where rows have nothing in common, and infinity for others, as umap-learn does.

    Returns
    -------
    neighbors : Neighbors
        The same, but -1 and infinity for what is no neighbour.

    Raises
    ------
    ValueError
        If no row has any neighbour left.
    """
    if disconnection_distance is None:
        disconnection_distance = DISCONNECTION_DISTANCES.get(metric, np.inf) if isinstance(metric, str) else np.inf
    far = neighbors.distances >= disconnection_distance
    far[:, 0] = False
    if far[:, 1:].all():
        raise ValueError(
            f"no row has a neighbour nearer than disconnection_distance={disconnection_distance} by metric {metric!r}."
        )
    return Neighbors(neighbors.indices.masked_fill(far, -1), neighbors.distances.masked_fill(far, np.inf))


def _placed(X, device):
    """Dense rows as a tensor: where they are, or on the device, if it has room for them."""
    if sp.issparse(X) or isinstance(X, torch.Tensor):
        return X
    return as_tensor(X).to(roomy_device(device, X.nbytes))


def _by_euclidean_distance(X, n_neighbors, metric, metric_kwds, n_jobs, random_state):
    """The neighbours by the metrics that rise with the Euclidean distance of some rows, as `EUCLIDEAN` says."""
    if metric == "correlation":
        X = centred_rows(X)
    if metric in ("cosine", "correlation"):
        X = unit_rows(X)
    if sp.issparse(X):
        how = {"metric_kwds": metric_kwds, "n_jobs": n_jobs, "random_state": random_state}
        indices, distances = _by_common_metric(X, n_neighbors, "euclidean", **how)
        return indices, EUCLIDEAN[metric](distances)
    X, scale = moderate_rows(X)
    if _work(X) <= PARTITIONED_WORK["cpu" if X.device.type == "cpu" else "cuda"]:
        indices, distances = exact_euclidean(X, n_neighbors)
    else:
        indices, distances = partitioned_euclidean(X, n_neighbors, random_state)
    return indices, EUCLIDEAN[metric](distances * scale)


def _by_common_metric(X, n_neighbors, metric, metric_kwds, n_jobs, random_state):
    """The neighbours by the metrics that scikit-learn measures fast."""
    X, scale = moderate_rows(X)
    search = {"metric": metric, "metric_kwds": metric_kwds, "n_jobs": n_jobs}
    if _work(X) <= DESCENT_WORK or not can_descend():
        indices, distances = exact_by_scikit_learn(X, X, n_neighbors, **search)
    else:
        indices, distances, short = neighbor_descent(X, n_neighbors, **search, random_state=random_state)
        if len(short):
            indices[short], distances[short] = exact_by_scikit_learn(X, X[short], n_neighbors, **search)
    return torch.from_numpy(indices), torch.from_numpy(distances) * scale


def _by_function(X, n_neighbors, metric, metric_kwds, n_jobs, random_state):
    """The neighbours by any function of two vectors; on all pairs where that is quick, or all that is possible."""
    if metric == "correlation":  # of sparse rows; its squares must stay within the range
        X = rows_in_own_units(X)
    X = rows_for_function(X, metric)
    arguments = metric_arguments(metric, metric_kwds, X.shape[1], sp.issparse(X))
    function = metric_function(metric, sp.issparse(X))
    values = tuple(arguments.values())
    try:
        compiled = compiled_or_none(function, X, values)
        if compiled is None or _work(X) <= DESCENT_WORK_OF_PAIRS or not can_descend():
            found = exact_by_pairs(X, n_neighbors, compiled or function, values, n_jobs)
            return tuple(map(torch.from_numpy, found))
        known = metric if isinstance(metric, str) else compiled
        if sp.issparse(X):
            arguments.pop("n_features", None)  # which pynndescent adds
        indices, distances, short = neighbor_descent(X, n_neighbors, known, arguments, n_jobs, random_state)
        if len(short):
            found = exact_by_pairs(X, n_neighbors, compiled, values, n_jobs, short)
            indices[short], distances[short] = found
        distances = zero_nan_of_equal_rows(distances, X, np.arange(X.shape[0])[:, None], indices)
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"metric={metric!r} is not for these rows: {error}.") from error
    return torch.from_numpy(indices), torch.from_numpy(distances)


def _work(X):
    width = X.nnz / X.shape[0] if sp.issparse(X) else X.shape[1]
    return X.shape[0] ** 2 * (width + OVERHEAD)


def _self_first(indices, distances):
    """Put every row's own index before its neighbours, where duplicates displaced or crowded it out."""
    n, k = indices.shape
    own, columns = torch.arange(n, device=indices.device)[:, None], torch.arange(k - 1, device=indices.device)
    is_own = indices == own
    own_column = torch.where(is_own.any(dim=1), is_own.int().argmax(dim=1), k - 1)
    others = columns + (columns >= own_column[:, None])
    indices = torch.cat([own, indices.long().gather(1, others)], dim=1).int()
    distances = torch.cat([distances.new_zeros(n, 1), distances.gather(1, others)], dim=1).float()
    return Neighbors(indices, distances)
