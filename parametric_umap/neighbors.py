"""The k nearest neighbours of every row: exact where that is quick, pynndescent above.

Every search below measures the Euclidean distance or another homogeneous metric on data that is first centred and
scaled by one number, so that neither a large offset nor extreme units cost precision; cosine distances are half the
squared Euclidean distances of unit rows.
"""

from numbers import Real

import numpy as np
import scipy.sparse as sp
import torch
from joblib import effective_n_jobs
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

METRICS = ("euclidean", "cosine", "manhattan", "chebyshev", "minkowski")
SPARSE_METRICS = ("euclidean", "cosine", "manhattan")

# Exact search costs n² (width + OVERHEAD) units, OVERHEAD being the selection of the k smallest. Above EXACT_WORK units
# it takes longer than a cold process needs to compile and run pynndescent (measured on 2 cores: about 20 s).
OVERHEAD = 100
EXACT_WORK = 8e11
BLOCK_BYTES = 2**28


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
        Where the exact search of dense Euclidean or cosine neighbours runs.
    n_jobs : int or None, default=None
        Threads of pynndescent and of scikit-learn's search; None takes all.
    random_state : int, RandomState or None, default=None
        Seed of pynndescent's approximate search.

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
    X, scale = _centre_and_scale(X)
    on_cuda = torch.device(device).type == "cuda"
    dense_euclidean = metric == "euclidean" and not sp.issparse(X)
    if dense_euclidean and (on_cuda or _exact_is_quicker(X)):
        indices, distances = _exact_euclidean(X, n_neighbors, device if on_cuda else "cpu")
    elif _exact_is_quicker(X):
        indices, distances = _exact(X, X, n_neighbors, metric, metric_kwds, n_jobs)
    else:
        indices, distances = _approximate(X, n_neighbors, metric, metric_kwds, n_jobs, random_state)
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


def _exact_is_quicker(X):
    width = X.nnz / X.shape[0] if sp.issparse(X) else X.shape[1]
    return X.shape[0] ** 2 * (width + OVERHEAD) <= EXACT_WORK


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


def _centre_and_scale(X):
    """Rows as float32, centred (dense rows only) and at most 1 in magnitude, and the number they were divided by."""
    scale = _power_of_two(abs(X).max())
    X = X / X.dtype.type(scale)
    if sp.issparse(X):
        return X.tocsr().astype(np.float32), scale
    X -= np.median(X[:: -(-len(X) // 1000)], axis=0)  # not the mean, which a single far row would move from the others
    spread = _power_of_two(np.abs(X).max())
    X /= X.dtype.type(spread)
    return np.ascontiguousarray(X, dtype=np.float32), scale * spread


def _power_of_two(number):
    """The power of two just below: dividing by it rounds nothing."""
    return 2.0 ** np.floor(np.log2(number)) if number > 0 else 1.0


def _exact_euclidean(X, n_neighbors, device, spare=8):
    """All neighbours by blocks of matrix products.

    The expanded square |x|² - 2xy + |y|² in float32 proposes `spare` candidates too many; their distances are then
    taken from direct differences. A row whose last candidate lies within rounding error of its last neighbour could
    have missed one: its candidates are proposed again in float64.
    """
    X = torch.from_numpy(X).to(device)
    n, width = X.shape
    spare = min(spare, n - n_neighbors)
    norms = X.square().sum(dim=1)
    exact_products = torch.get_float32_matmul_precision() == "highest"  # else they may be TF32 or bfloat16
    rounding = (torch.finfo(torch.float32).eps if exact_products else 2**-7) * (4 + width**0.5)
    tolerance = rounding * (norms.sqrt() + norms.max().sqrt()).square()
    indices = torch.empty((n, n_neighbors), dtype=torch.int64, device=X.device)
    distances = torch.empty((n, n_neighbors), dtype=torch.float32, device=X.device)

    def search(rows, points, squares):
        candidates, bound = _candidates(rows, points, squares, n_neighbors + spare)
        indices[rows], distances[rows] = _nearest_of(rows, candidates, X, n_neighbors)
        return bound

    unsure = []
    block = max(1, BLOCK_BYTES // (4 * max(n, (n_neighbors + spare) * width)))
    for rows in torch.arange(n, device=X.device).split(block):
        bound = search(rows, X, norms)
        if spare < n - n_neighbors:
            unsure.append(rows[distances[rows, -1].square() > bound - tolerance[rows]])
    unsure = torch.cat(unsure) if unsure else unsure
    if len(unsure):
        precise = X.double()
        for rows in unsure.split(max(1, block // 2)):
            search(rows, precise, precise.square().sum(dim=1))
    return indices.cpu().numpy(), distances.cpu().numpy()


def _candidates(rows, points, squares, count):
    """The `count` points nearest to each row by the expanded square, itself included, and the largest square kept."""
    expanded = torch.addmm(squares, points[rows], points.T, alpha=-2)
    expanded[torch.arange(len(rows), device=rows.device), rows] = -torch.inf
    nearest = expanded.topk(count, dim=1, largest=False)
    return nearest.indices, (nearest.values.amax(dim=1) + squares[rows]).float()


def _nearest_of(rows, candidates, X, n_neighbors):
    """The nearest candidates of each row by direct differences, the row itself first."""
    squares = (X[rows, None] - X[candidates]).square().sum(dim=2)
    squares[candidates == rows[:, None]] = -1
    nearest = squares.topk(n_neighbors, dim=1, largest=False, sorted=True)
    return candidates.gather(1, nearest.indices), nearest.values.clamp(min=0).sqrt()


def _exact(X, queries, n_neighbors, metric, metric_kwds, n_jobs):
    search = NearestNeighbors(
        n_neighbors=n_neighbors, algorithm="brute", metric=metric, p=metric_kwds.get("p", 2), n_jobs=n_jobs
    )
    distances, indices = search.fit(X).kneighbors(queries)
    if metric == "euclidean":  # taken by scikit-learn from the expanded square, which puts duplicates apart
        distances = _direct_distances(queries, X, indices)
        order = np.argsort(distances, axis=1, kind="stable")
        indices, distances = (np.take_along_axis(array, order, axis=1) for array in (indices, distances))
    return indices, distances


def _direct_distances(queries, X, indices, n_rows=1024):
    distances = np.empty(indices.shape, dtype=np.float32)
    for start in range(0, len(indices), n_rows):
        block = indices[start : start + n_rows]
        rows = np.repeat(np.arange(start, start + len(block)), indices.shape[1])
        difference = queries[rows] - X[block.ravel()]
        squares = difference.multiply(difference) if sp.issparse(difference) else difference**2
        distances[start : start + n_rows] = np.sqrt(np.asarray(squares.sum(axis=1))).reshape(block.shape)
    return distances


def _approximate(X, n_neighbors, metric, metric_kwds, n_jobs, random_state):
    from numba import config  # both compile for seconds: only where they are needed
    from pynndescent import NNDescent

    index = NNDescent(
        X,
        n_neighbors=n_neighbors,
        metric=metric,
        metric_kwds=metric_kwds,
        n_jobs=-1 if n_jobs is None else min(effective_n_jobs(n_jobs), config.NUMBA_NUM_THREADS),
        random_state=random_state,
    )
    indices, distances = index.neighbor_graph
    short = np.flatnonzero((indices < 0).any(axis=1))
    if len(short):  # the search found fewer neighbours than were asked for
        indices[short], distances[short] = _exact(X, X[short], n_neighbors, metric, metric_kwds, n_jobs)
    return indices, distances


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
