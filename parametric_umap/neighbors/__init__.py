"""The k nearest neighbours of every row: exact where that is quick, approximate above.

Above, the Euclidean and cosine neighbours of dense rows are searched cell by cell, all others by pynndescent. Every
search measures the Euclidean distance or another homogeneous metric on float32 rows of moderate magnitude, so that
neither a large offset nor extreme units cost precision; cosine distances are half the squared Euclidean distances of
unit rows.
"""

from numbers import Real

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.preprocessing import normalize

from .descent import neighbor_descent
from .exact import exact_by_scikit_learn, exact_euclidean
from .partitioned import partitioned_euclidean

METRICS = ("euclidean", "cosine", "manhattan", "chebyshev", "minkowski")
SPARSE_METRICS = ("euclidean", "cosine", "manhattan")

# Exact search costs n² (width + OVERHEAD) units, OVERHEAD being the selection of the k smallest. Above the first
# of these it takes about twice as long as a search of cells (and, on one core, a second; that of a GPU is what it would
# do in a second by its data sheet); above the other, longer than a cold process needs to compile and run pynndescent
# (on 2 cores, about 20 s).
OVERHEAD = 100
PARTITIONED_WORK = {"cpu": 3e10, "cuda": 2e13}
DESCENT_WORK = 8e11


def nearest_neighbors(
    X, n_neighbors, *, metric="euclidean", metric_kwds=None, device="cpu", n_jobs=None, random_state=None
):
    """Find the nearest neighbours of each row among all rows.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array} of shape (n_samples, n_features), float32 or float64
        The rows. A sparse matrix is never made dense.
    n_neighbors : int
        Number of neighbours, the row itself counted, as in umap-learn; at most `n_samples`.
    metric : {"euclidean", "cosine", "manhattan", "chebyshev", "minkowski"}, default="euclidean"
        The distance between rows; for sparse rows one of the first three. A row of zeros is at cosine distance 1 from
        every other row and at 0 from another row of zeros.
    metric_kwds : dict or None, default=None
        Arguments of the metric: ``{"p": order}`` for "minkowski".
    device : str or torch.device, default="cpu"
        Where Euclidean or cosine neighbours of dense rows are searched.
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
        If X is sparse, and the metric is not for sparse rows.
    """
    metric_kwds = metric_kwds or {}
    if sp.issparse(X) and metric not in SPARSE_METRICS:
        raise ValueError(f"metric={metric!r} is not for sparse rows; allowed are {SPARSE_METRICS}.")
    if metric == "cosine":
        indices, chords = nearest_neighbors(
            _unit_rows(X), n_neighbors, device=device, n_jobs=n_jobs, random_state=random_state
        )
        return indices, chords**2 / 2
    X, scale = _moderate(X)
    if metric == "euclidean" and not sp.issparse(X):
        rows = torch.from_numpy(X).to(_roomy(device, X.nbytes))
        if _work(X) <= PARTITIONED_WORK[rows.device.type]:
            found = exact_euclidean(rows, n_neighbors)
        else:
            found = partitioned_euclidean(rows, n_neighbors, random_state)
        indices, distances = (array.cpu().numpy() for array in found)
    elif _work(X) <= DESCENT_WORK:
        indices, distances = exact_by_scikit_learn(X, X, n_neighbors, metric, metric_kwds, n_jobs)
    else:
        indices, distances = neighbor_descent(X, n_neighbors, metric, metric_kwds, n_jobs, random_state)
    indices, distances = _self_first(indices, distances)
    return indices, (distances * scale).astype(np.float32)


def check_metric(metric, metric_kwds):
    """Make sure that a metric takes the arguments given with it.

    Parameters
    ----------
    metric : str
        One of `METRICS`.
    metric_kwds : dict or None
        Its arguments.

    Raises
    ------
    ValueError
        If an argument is not one of the metric's, or out of its range.
    """
    allowed = {"p"} if metric == "minkowski" else set()
    unknown = set(metric_kwds or {}) - allowed
    if unknown:
        takes = f"takes {sorted(allowed)}" if allowed else "takes no arguments"
        raise ValueError(f"metric_kwds={metric_kwds}: metric {metric!r} {takes}.")
    p = (metric_kwds or {}).get("p", 2)
    if not (isinstance(p, Real) and 1 <= p < np.inf):
        raise ValueError(f"metric_kwds={metric_kwds}: p must be a number of at least 1.")


def _roomy(device, n_bytes):
    """The device, if it is a GPU whose memory takes the rows twice, else the CPU."""
    device = torch.device(device)
    roomy = device.type == "cuda" and 2 * n_bytes < torch.cuda.mem_get_info(device)[0]
    return device if roomy else torch.device("cpu")


def _work(X):
    width = X.nnz / X.shape[0] if sp.issparse(X) else X.shape[1]
    return X.shape[0] ** 2 * (width + OVERHEAD)


def _unit_rows(X):
    """Rows of length 1; rows of zeros become a unit vector of their own, orthogonal to all others."""
    largest = abs(X).max(axis=1)
    largest = largest.toarray().ravel() if sp.issparse(X) else largest
    zero = largest == 0
    inverse = 1 / np.where(zero, 1, largest).astype(np.float64)  # so that no square leaves the floating point's range
    X = normalize(sp.diags_array(inverse) @ X if sp.issparse(X) else X * inverse[:, None]).astype(X.dtype)
    if not zero.any():
        return X
    column = zero.astype(X.dtype)[:, None]
    return sp.hstack([X, sp.csr_array(column)], format="csr") if sp.issparse(X) else np.hstack([X, column])


def _moderate(X):
    """Rows as float32 whose squares are finite and not lost, and the number that they were divided by.

    Dense float64 rows are centred before they lose digits. Float32 rows of moderate units are not copied at all, as
    there may be no room for a second copy.
    """
    largest = _largest(X)
    if X.dtype == np.float32 and (2**-30 <= largest <= 2**30 or largest == 0):
        return X.tocsr() if sp.issparse(X) else np.require(X, requirements="CW"), 1.0  # torch wants writable rows
    scale = _power_of_two(largest)
    X = X / X.dtype.type(scale)
    if sp.issparse(X):
        return X.tocsr().astype(np.float32), scale
    if X.dtype == np.float32:
        return np.ascontiguousarray(X), scale
    X -= np.median(X[:: -(-len(X) // 1000)], axis=0)  # not the mean, which a single far row would move from the others
    spread = _power_of_two(_largest(X))
    X /= spread
    return np.ascontiguousarray(X, dtype=np.float32), scale * spread


def _largest(X):
    """The greatest magnitude, without a copy of the rows."""
    return max(X.max(), -X.min())


def _power_of_two(number):
    """The power of two just below: dividing by it rounds nothing."""
    return 2.0 ** np.floor(np.log2(number)) if number > 0 else 1.0


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
