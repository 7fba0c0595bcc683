"""The k nearest neighbours of every row: exact where that is quick, approximate above; or given by the user.

Above, the Euclidean and cosine neighbours of dense rows are searched cell by cell, all others by pynndescent. A search
by a homogeneous metric, such as the Euclidean distance, sees float32 rows of moderate magnitude, so that neither a
large offset nor extreme units cost precision; cosine distances are half the squared Euclidean distances of unit rows.
"""

from math import floor, log2
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from ..containers import array_namespace, as_numpy
from ..typing import FloatArray, Matrix, Metric, Seed
from .descent import neighbor_descent
from .distances import row_distances
from .exact import exact_by_scikit_learn, exact_euclidean, middle, roomy_device
from .found import Neighbors
from .given import checked_knn, neighbors_of_distances
from .metrics import (
    ALIASES,
    COMMON,
    COMMON_SPARSE,
    DISCONNECTION_DISTANCES,
    METRICS,
    SPARSE_METRICS,
    check_metric,
    metric_arguments,
    metric_function,
)
from .pairs import compiled_or_none, exact_by_pairs, of_equal_rows_zero, rows_for_function
from .partitioned import partitioned_euclidean

__all__ = [
    "METRICS",
    "SPARSE_METRICS",
    "Neighbors",
    "check_metric",
    "checked_knn",
    "drop_distant",
    "find_neighbors",
    "nearest_neighbors",
    "neighbors_of_distances",
    "row_distances",
    "unique_rows",
]

# Exact search costs n² (width + OVERHEAD) units, OVERHEAD being the selection of the k smallest. Above the first
# of these it takes about twice as long as a search of cells (and, on one core, a second; that of a GPU is what it would
# do in a second by its data sheet); above the second, longer than a cold process needs to compile and run pynndescent
# (on 2 cores, about 20 s); above the third, too, where every distance is a call of a compiled function.
OVERHEAD = 100
PARTITIONED_WORK = {"cpu": 3e10, "cuda": 2e13}
DESCENT_WORK = 8e11
DESCENT_WORK_OF_PAIRS = 2e10


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
    if sp.issparse(X) and metric not in SPARSE_METRICS:
        raise ValueError(f"metric={metric!r} is not for sparse rows; allowed are {SPARSE_METRICS}.")
    how: dict[str, Any] = {"n_jobs": n_jobs, "random_state": random_state}
    metric = ALIASES.get(metric, metric) if isinstance(metric, str) else metric
    if metric not in (COMMON_SPARSE if sp.issparse(X) else COMMON):
        return _by_function(as_numpy(X), n_neighbors, metric, metric_kwds or {}, **how)
    if metric == "correlation":
        X = X - X.mean(axis=1, keepdims=True)
        xp = array_namespace(X)
        constant = xp.amax(abs(X), axis=1) <= 4 * xp.finfo(X.dtype).eps * _largest(X)
        X[constant] = 0
    if metric in ("cosine", "correlation"):
        indices, chords = nearest_neighbors(_unit_rows(X), n_neighbors, device=device, **how)
        return indices, np.float32(0.5) * np.square(chords)
    if metric == "sqeuclidean":
        indices, distances = nearest_neighbors(X, n_neighbors, device=device, **how)
        return indices, np.square(distances)
    X, scale = _moderate(X)
    if metric == "euclidean" and not sp.issparse(X):
        rows = X if isinstance(X, torch.Tensor) else torch.from_numpy(X).to(roomy_device(device, X.nbytes))
        if _work(X) <= PARTITIONED_WORK[rows.device.type]:
            found = exact_euclidean(rows, n_neighbors)
        else:
            found = partitioned_euclidean(rows, n_neighbors, random_state)
        indices, distances = (array.cpu().numpy() for array in found)
    else:
        X = as_numpy(X)
        search = {"metric": metric, "metric_kwds": metric_kwds or {}, "n_jobs": n_jobs}
        if _work(X) <= DESCENT_WORK:
            indices, distances = exact_by_scikit_learn(X, X, n_neighbors, **search)
        else:
            indices, distances, short = neighbor_descent(X, n_neighbors, **search, random_state=random_state)
            if len(short):
                indices[short], distances[short] = exact_by_scikit_learn(X, X[short], n_neighbors, **search)
    indices, distances = _self_first(indices, distances)
    return indices, (distances * scale).astype(np.float32)


def find_neighbors(X: Matrix, n_neighbors: int, *, device: str | torch.device = "cpu", **how: Any) -> Neighbors:
    """Find the nearest neighbours of each row among all rows, and leave them where they are needed next.

    Parameters
    ----------
    X, n_neighbors, **how
        As in `nearest_neighbors`.
    device : str or torch.device, default="cpu"
        Where they are searched, if it is for such rows, and wanted.

    Returns
    -------
    neighbors : Neighbors
        On the device.
    """
    return Neighbors.of(*nearest_neighbors(X, n_neighbors, device=device, **how), device)


def unique_rows(X: Matrix) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find each row's first copy.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features)
        The rows.

    Returns
    -------
    first : ndarray of shape (n_unique,), int64
        Indices of the rows that equal none before, rising.
    place : ndarray of shape (n_samples,), int64
        Which of these each row is.
    """
    if isinstance(X, torch.Tensor):
        copies, of_copy = torch.unique(X, dim=0, return_inverse=True)
        last = torch.full((len(copies),), len(X), device=X.device)
        earliest, order = last.scatter_reduce(0, of_copy, torch.arange(len(X), device=X.device), "amin").sort()
        return as_numpy(earliest), as_numpy(order.argsort()[of_copy])
    places: dict[Any, int] = {}
    first: list[int] = []
    place = np.empty(X.shape[0], dtype=np.int64)
    if sp.issparse(X):
        X = X.sorted_indices()
        X.eliminate_zeros()
    for row in range(X.shape[0]):
        if sp.issparse(X):
            stored = slice(X.indptr[row], X.indptr[row + 1])
            key = (X.indices[stored].tobytes(), X.data[stored].tobytes())
        else:
            key = (X[row] + 0).tobytes()  # -0 is 0
        place[row] = places.setdefault(key, len(first))
        if place[row] == len(first):
            first.append(row)
    return np.array(first, dtype=np.int64), place


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


def _by_function(X, n_neighbors, metric, metric_kwds, n_jobs, random_state):
    """The same by any function of two vectors; on all pairs where that is quick, or all that is possible."""
    X = rows_for_function(X, metric)
    arguments = metric_arguments(metric, metric_kwds, X.shape[1], sp.issparse(X))
    function = metric_function(metric, sp.issparse(X))
    values = tuple(arguments.values())
    try:
        compiled = compiled_or_none(function, X, values)
        if compiled is None or _work(X) <= DESCENT_WORK_OF_PAIRS:
            return _self_first(*exact_by_pairs(X, n_neighbors, compiled or function, values, n_jobs))
        known = metric if isinstance(metric, str) else compiled
        if sp.issparse(X):
            arguments.pop("n_features", None)  # which pynndescent adds
        indices, distances, short = neighbor_descent(X, n_neighbors, known, arguments, n_jobs, random_state)
        if len(short):
            found = exact_by_pairs(X, n_neighbors, compiled, values, n_jobs, short)
            indices[short], distances[short] = found
        distances = of_equal_rows_zero(distances, X, np.arange(X.shape[0])[:, None], indices)
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"metric={metric!r} is not for these rows: {error}.") from error
    return _self_first(indices, distances.astype(np.float32))


def _work(X):
    width = X.nnz / X.shape[0] if sp.issparse(X) else X.shape[1]
    return X.shape[0] ** 2 * (width + OVERHEAD)


def _unit_rows(X):
    """Rows of length 1; rows of zeros become a unit vector of their own, orthogonal to all others."""
    xp = array_namespace(X)
    largest = abs(X).max(axis=1).toarray().ravel() if sp.issparse(X) else xp.amax(abs(X), axis=1)
    zero = largest == 0
    inverse = 1 / xp.asarray(xp.where(zero, 1, largest), dtype=xp.float64)  # so that no square leaves the range
    column = xp.asarray(zero, dtype=X.dtype)[:, None]
    if sp.issparse(X):
        X = normalize(sp.diags_array(inverse) @ X).astype(X.dtype)
        return sp.hstack([X, sp.csr_array(column)], format="csr") if zero.any() else X
    units = X * inverse[:, None]
    units /= xp.where(zero, 1, xp.linalg.norm(units, axis=1))[:, None]
    units = xp.asarray(units, dtype=X.dtype)
    return xp.hstack([units, column]) if zero.any() else units


def _moderate(X):
    """Rows as float32 whose squares are finite and not lost, and the number that they were divided by.

    Dense float64 rows are centred before they lose digits. Float32 rows of moderate units are not copied at all, as
    there may be no room for a second copy.
    """
    xp = array_namespace(X)
    largest = _largest(X)
    if X.dtype == xp.float32 and (2**-30 <= largest <= 2**30 or largest == 0):
        return X.tocsr() if sp.issparse(X) else _contiguous(X), 1.0
    scale = _power_of_two(largest)
    X = X / scale
    if sp.issparse(X):
        return X.tocsr().astype(np.float32), scale
    if X.dtype == xp.float32:
        return _contiguous(X), scale
    X -= xp.asarray(middle(torch.as_tensor(X)))
    spread = _power_of_two(_largest(X))
    X /= spread
    return _contiguous(xp.asarray(X, dtype=xp.float32)), scale * spread


def _contiguous(X):
    """Dense rows one after the other, and writable, as torch wants them."""
    return X.contiguous() if isinstance(X, torch.Tensor) else np.require(X, requirements="CW")


def _largest(X):
    """The greatest magnitude, without a copy of the rows."""
    return float(max(X.max(), -X.min()))


def _power_of_two(number):
    """The power of two just below: dividing by it rounds nothing."""
    return 2.0 ** floor(log2(number)) if number > 0 else 1.0


def _self_first(indices, distances):
    """Put every row's own index before its neighbours, where duplicates displaced or crowded it out."""
    own = np.arange(len(indices), dtype=np.int32)[:, None]
    columns = np.arange(indices.shape[1])
    is_own = indices == own
    own_column = np.where(is_own.any(axis=1), is_own.argmax(axis=1), indices.shape[1] - 1)
    others = columns[:-1] + (columns[:-1] >= own_column[:, None])
    indices = np.hstack([own, np.take_along_axis(indices, others, axis=1)], dtype=np.int32, casting="same_kind")
    distances = np.take_along_axis(distances, others, axis=1)
    return indices, np.hstack([np.zeros_like(distances, shape=(len(own), 1)), distances])
