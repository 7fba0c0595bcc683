"""Every row once: which rows equal one before."""

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from ..containers import as_numpy
from ..typing import Matrix


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
