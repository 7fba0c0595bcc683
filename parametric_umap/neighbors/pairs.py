"""Exact neighbours in any metric that is a function of two vectors."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from inspect import isfunction
from numbers import Real

import numpy as np
import scipy.sparse as sp
from joblib import effective_n_jobs

BLOCK_BYTES = 2**24
NEARLY = 1e-3  # rows are equal that differ by no more than this share of the largest number


def exact_by_pairs(X, n_neighbors, function, arguments=(), n_jobs=None, rows=None):
    """Find the neighbours of rows among all rows by the distances of all pairs.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array} of shape (n_samples, n_features)
        The rows.
    n_neighbors : int
        Number of neighbours, the row itself counted.
    function : callable
        The distance of two vectors; for sparse rows of the indices and the values of each. What numba has compiled, or
        can compile, runs in threads; any other is called from Python, pair by pair.
    arguments : tuple, default=()
        What it takes after the vectors.
    n_jobs : int or None, default=None
        Threads, in joblib's counting; None takes all.
    rows : ndarray of shape (n_rows,), int, or None, default=None
        The rows whose neighbours are asked for; None asks for those of all.

    Returns
    -------
    indices : ndarray of shape (n_rows, n_neighbors), int64
        Neighbours by rising distance.
    distances : ndarray of shape (n_rows, n_neighbors), float32
        Their distances.

    Raises
    ------
    ValueError
        If the function refuses the rows, or gives distances that are not numbers.
    """
    rows = np.arange(X.shape[0]) if rows is None else rows
    distances_of = _distances_of_sparse if sp.issparse(X) else _distances_of_dense
    compiled = compiled_or_none(function, X, arguments)
    n_rows = max(1, BLOCK_BYTES // (4 * X.shape[0]))
    blocks = [rows[start : start + n_rows] for start in range(0, len(rows), n_rows)]
    n_threads = 1 if compiled is None else effective_n_jobs(-1 if n_jobs is None else n_jobs)

    def nearest(block):
        distances = distances_of(X, block, compiled or function, arguments, compiled is not None)
        distances = zero_nan_of_equal_rows(distances, X, block[:, None], np.arange(X.shape[0])[None])
        near = np.argpartition(distances, n_neighbors - 1, axis=1)[:, :n_neighbors]
        of_near = np.take_along_axis(distances, near, axis=1)
        order = np.argsort(of_near, axis=1, kind="stable")
        return np.take_along_axis(near, order, axis=1), np.take_along_axis(of_near, order, axis=1)

    with ThreadPoolExecutor(n_threads) as pool:  # it waits for its threads, also where one fails or is interrupted
        found = list(map(nearest, blocks) if n_threads == 1 else pool.map(nearest, blocks))
    indices, distances = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return indices, distances


def pair_distances(X, function, arguments, rows, is_compiled):
    """Measure the distances from rows to all rows.

    Parameters
    ----------
    X, function, arguments
        As in `exact_by_pairs`.
    rows : ndarray of shape (n_rows,), int
        Indices of the rows to measure from.
    is_compiled : bool
        Whether the function is what `compiled_or_none` gave.

    Returns
    -------
    distances : ndarray of shape (n_rows, n_samples), float32
        Those of all pairs.

    Raises
    ------
    ValueError
        If the function refuses the rows, or gives distances that are not numbers.
    """
    distances_of = _distances_of_sparse if sp.issparse(X) else _distances_of_dense
    distances = distances_of(X, rows, function, arguments, is_compiled)
    return zero_nan_of_equal_rows(distances, X, rows[:, None], np.arange(X.shape[0])[None])


def rows_for_function(X, metric):
    """Convert rows to the type that a function of two vectors takes.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array} of shape (n_samples, n_features), float32 or float64
        The rows.
    metric : str or callable
        The function, or its name.

    Returns
    -------
    X : {ndarray, csr_matrix, csr_array} of shape (n_samples, n_features), float32 or uint8
        Bytes for the metrics of packed bits, else float32.

    Raises
    ------
    ValueError
        If the metric is one of packed bits, and the rows hold other numbers than bytes.
    """
    if metric not in ("bit_hamming", "bit_jaccard"):
        return (X.tocsr() if sp.issparse(X) else np.ascontiguousarray(X)).astype(np.float32)
    packed = X.astype(np.uint8)
    if (packed != X).any():
        raise ValueError(f"metric={metric!r} needs bits packed into bytes: integers from 0 to 255.")
    return packed


def compiled_or_none(function, X, arguments=()):
    """A function of two vectors as numba compiles it, or None where it cannot.

    Parameters
    ----------
    function : callable
        Of two dense vectors, or already compiled.
    X : {ndarray, csr_matrix, csr_array} of shape (n_samples, n_features)
        Rows to try it on.
    arguments : tuple, default=()
        What it takes after the vectors.

    Returns
    -------
    compiled : callable or None
        A numba dispatcher, compiled for such rows.

    Raises
    ------
    ValueError
        If it gives anything but a number.
    """
    from numba import njit
    from numba.core.dispatcher import Dispatcher
    from numba.core.errors import NumbaError

    if sp.issparse(X):
        return function
    if not isfunction(function) and not isinstance(function, Dispatcher):  # numba compiles nothing else
        return None
    compiled = function if isinstance(function, Dispatcher) else njit(function, nogil=True)
    try:
        distance = compiled(X[0], X[-1], *arguments)
    except NumbaError as error:
        if compiled is function:
            raise ValueError(str(error).splitlines()[0]) from error
        return None
    if not isinstance(distance, Real | np.bool_):
        raise ValueError(f"it gives {distance!r}, which is not a number")
    return compiled


def zero_nan_of_equal_rows(distances, X, rows, others):
    """Put the distance of equal rows at 0 where rounding made it no number, as it may under a root.

    Parameters
    ----------
    distances : ndarray of shape (n_rows, n_others), float32
        Distances as they were computed.
    X : {ndarray, csr_matrix, csr_array} of shape (n_samples, n_features)
        All rows.
    rows, others : ndarray of shape (n_rows, 1) and (n_rows, n_others) or (1, n_others), int
        Between which they are.

    Returns
    -------
    distances : ndarray of shape (n_rows, n_others), float32
        All of them numbers.

    Raises
    ------
    ValueError
        If unequal rows have a distance that is no number.
    """
    wrong = np.isnan(distances)
    if wrong.any():
        first, second = (np.broadcast_to(index, distances.shape)[wrong] for index in (rows, others))
        differing = first != second
        difference = abs(X[first[differing]] - X[second[differing]]).max(axis=1)
        difference = difference.toarray() if sp.issparse(difference) else difference
        if (difference > NEARLY * abs(X).max()).any():
            raise ValueError("it gives distances that are not numbers")
        distances[wrong] = 0
    return distances


def _distances_of_dense(X, rows, function, arguments, is_compiled):
    if is_compiled:
        return _dense_loop()(X, rows, function, arguments)
    distances = [[function(X[row], other, *arguments) for other in X] for row in rows]
    return np.asarray(distances, dtype=np.float32)


def _distances_of_sparse(X, rows, function, arguments, is_compiled):
    return _sparse_loop()(X.indptr, X.indices, X.data, rows, function, arguments)


@cache
def _dense_loop():
    from numba import njit

    @njit(nogil=True)
    def loop(X, rows, function, arguments):  # runs compiled
        distances = np.empty((len(rows), len(X)), dtype=np.float32)
        for i in range(len(rows)):
            for j in range(len(X)):
                distances[i, j] = function(X[rows[i]], X[j], *arguments)
        return distances

    return loop


@cache
def _sparse_loop():
    from numba import njit

    @njit(nogil=True)
    def loop(starts, indices, data, rows, function, arguments):  # runs compiled
        n = len(starts) - 1
        distances = np.empty((len(rows), n), dtype=np.float32)
        for i in range(len(rows)):
            ours = slice(starts[rows[i]], starts[rows[i] + 1])
            for j in range(n):
                theirs = slice(starts[j], starts[j + 1])
                distances[i, j] = function(indices[ours], data[ours], indices[theirs], data[theirs], *arguments)
        return distances

    return loop
