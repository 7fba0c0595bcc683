"""Neighbours that the user brings along: found before, or to be read from a matrix of distances."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_array

from ..containers import as_numpy, refuse_masked
from ..typing import FloatArray, Rows


def checked_knn(
    precomputed_knn: Sequence[ArrayLike], n_samples: int, n_neighbors: int
) -> tuple[NDArray[np.int32], FloatArray]:
    """Make sure that given neighbours are some, of the rows that there are.

    Parameters
    ----------
    precomputed_knn : tuple of (array-like, array-like)
        Indices and distances, both of shape (n_samples, at least n_neighbors); the row itself may be among its
        neighbours or not. An index of -1 at an infinite distance is no neighbour.
    n_samples : int
        Number of rows.
    n_neighbors : int
        Number of neighbours that are wanted, the row itself counted.

    Returns
    -------
    indices : ndarray of shape (n_samples, n_neighbors), int32
        The neighbours, the row itself first.
    distances : ndarray of shape (n_samples, n_neighbors), float32
        Their distances.

    Raises
    ------
    ValueError
        If it is no such pair of arrays.
    """
    if len(precomputed_knn) < 2:
        raise ValueError(f"precomputed_knn must hold indices and distances; got {len(precomputed_knn)} item(s).")
    name = "precomputed_knn"
    for given in precomputed_knn[:2]:
        refuse_masked(precomputed_knn=given)
    indices, distances = map(as_numpy, precomputed_knn[:2])
    indices = check_array(indices, dtype=np.int64, input_name=name)
    distances = check_array(distances, dtype=np.float32, ensure_all_finite=False, input_name=name)
    if indices.shape != distances.shape or len(indices) != n_samples:
        raise ValueError(
            f"precomputed_knn must hold two arrays of one shape with {n_samples} rows, as many as X has; "
            f"got {indices.shape} and {distances.shape}."
        )
    if indices.max() >= n_samples or indices.min() < -1:
        found = f"{indices.min()} to {indices.max()}"
        raise ValueError(f"precomputed_knn must hold indices from 0 to {n_samples - 1}, or -1; got {found}.")
    valid = (distances >= 0) & (np.isfinite(distances) | (indices == -1))
    if not valid.all():
        raise ValueError("precomputed_knn must hold distances of at least 0, finite where there is a neighbour.")
    distances = np.where(indices == -1, np.inf, distances)
    others = np.sort(np.where(indices == np.arange(n_samples)[:, None], -1, indices), axis=1)
    repeated = ((others[:, 1:] == others[:, :-1]) & (others[:, 1:] >= 0)).any(axis=1)
    if repeated.any():
        row = int(repeated.argmax())
        raise ValueError(f"precomputed_knn must hold each neighbour of a row once; row {row} has {indices[row]}.")
    return _sorted_neighbors(indices, distances, n_neighbors, name)


def neighbors_of_distances(
    precomputed_distances: Rows, n_samples: int, n_neighbors: int
) -> tuple[NDArray[np.int32], FloatArray]:
    """Read the nearest neighbours from a square matrix of distances.

    Parameters
    ----------
    precomputed_distances : {array-like, sparse matrix} of shape (n_samples, n_samples)
        The distances between all rows; in a sparse matrix, what is not stored is no neighbour.
    n_samples : int
        Number of rows.
    n_neighbors : int
        Number of neighbours, the row itself counted.

    Returns
    -------
    indices : ndarray of shape (n_samples, n_neighbors), int32
        Neighbours by rising distance, the row itself first; -1 where there are too few.
    distances : ndarray of shape (n_samples, n_neighbors), float32
        Their distances; infinite where there are too few.

    Raises
    ------
    ValueError
        If it is no square matrix with as many rows as X, or holds what is no distance.
    """
    name = "precomputed_distances"
    D = check_array(
        precomputed_distances, accept_sparse="csr", dtype=np.float32, ensure_all_finite=False, input_name=name
    )
    if D.shape != (n_samples, n_samples):
        raise ValueError(f"precomputed_distances must have shape {(n_samples, n_samples)}, as X has; got {D.shape}.")
    values = D.data if sp.issparse(D) else D
    if np.isnan(values).any() or values.min(initial=0) < 0:
        raise ValueError("precomputed_distances must hold distances of at least 0; got NaN or negative ones.")
    if not sp.issparse(D):
        indices = np.argpartition(D, n_neighbors - 1, axis=1)[:, :n_neighbors]
        return _sorted_neighbors(indices, np.take_along_axis(D, indices, axis=1), n_neighbors, name)
    counts = np.diff(D.indptr)
    heads = np.repeat(np.arange(n_samples), counts)
    rank = np.arange(D.nnz) - D.indptr[heads]
    indices = np.full((n_samples, max(counts.max(), n_neighbors)), -1, dtype=np.int64)
    distances = np.full(indices.shape, np.inf, dtype=np.float32)
    order = np.lexsort((D.data, heads))
    indices[heads, rank], distances[heads, rank] = D.indices[order], D.data[order]
    return _sorted_neighbors(indices, distances, n_neighbors, name)


def _sorted_neighbors(indices, distances, n_neighbors, name):
    """The row itself, once, at distance 0, then the nearest others."""
    own = np.arange(len(indices))[:, None]
    distances = np.where(indices == own, np.inf, distances)
    indices = np.where(np.isinf(distances), -1, indices)
    if indices.shape[1] < n_neighbors - 1:
        raise ValueError(f"{name} must hold at least {n_neighbors - 1} neighbours of each row; got {indices.shape[1]}.")
    order = np.argsort(distances, axis=1, kind="stable")[:, : n_neighbors - 1]
    indices, distances = (np.take_along_axis(array, order, axis=1) for array in (indices, distances))
    if (indices == -1).all():
        raise ValueError(f"{name} must hold neighbours; no row has any.")
    return np.hstack([own, indices]).astype(np.int32), np.hstack([np.zeros_like(distances[:, :1]), distances])
