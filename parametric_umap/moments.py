"""Mean, extent and standard deviation of the rows, where these are."""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch

from .containers import device_of, to_tensor

# Numbers of the rows that are looked at together.
CHUNK_SIZE = 2**21
CHUNK_SIZE_ON_A_DEVICE = 2**26


class Moments(NamedTuple):
    """What the rows have in common.

    Attributes
    ----------
    mean : Tensor of shape (n_features,), float64
        Of each feature, where the rows are.
    deviation : float
        Standard deviation of all features together, each about its own mean.
    extent : float
        The largest difference between two numbers of one feature.
    """

    mean: torch.Tensor
    deviation: float
    extent: float


def moments_of(X):
    """Measure the moments of rows.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float32 or float64
        The rows. They are never copied as a whole, nor to float64.

    Returns
    -------
    moments : Moments
        Sums are taken in float64, and squares of numbers from -1 to 1, so that no unit leaves the range.
    """
    return _moments_of_sparse(X) if sp.issparse(X) else _moments_of_dense(X)


def _moments_of_dense(X):
    size = CHUNK_SIZE if device_of(X).type == "cpu" else CHUNK_SIZE_ON_A_DEVICE
    n_rows = max(1, size // X.shape[1])
    chunks = [slice(start, start + n_rows) for start in range(0, len(X), n_rows)]
    sums, lowest, highest = zip(
        *(_sums_and_extremes(to_tensor(X[chunk], device_of(X))) for chunk in chunks), strict=True
    )
    mean = torch.stack(sums).sum(dim=0) / len(X)
    lowest, highest = torch.stack(lowest).amin(dim=0), torch.stack(highest).amax(dim=0)
    largest = torch.maximum(highest, -lowest).max()
    # A power of two, by which every number is divided without being rounded.
    unit = torch.where(largest > 0, largest / largest.frexp().mantissa, 1).clamp(max=torch.finfo(largest.dtype).max)
    squares = sum(_squares(to_tensor(X[chunk], device_of(X)), mean, unit) for chunk in chunks)
    extent = (highest / 2 - lowest / 2).max()
    numbers = torch.stack([squares, unit.double(), extent.double()]).tolist()  # the one wait
    return Moments(mean, numbers[1] * np.sqrt(numbers[0] / (len(X) * X.shape[1])), 2 * numbers[2])


def _sums_and_extremes(rows):
    return rows.sum(dim=0, dtype=torch.float64), rows.amin(dim=0), rows.amax(dim=0)


def _squares(rows, mean, unit):
    """The sum of squares about the mean, in squares of the unit; in the precision of the rows, which loses no digits.

    The mean is subtracted as the sum of two numbers, as `Standardize` does it.
    """
    mean = mean / unit.double()
    leading = mean.to(rows.dtype)
    rows.div_(unit).sub_(leading).sub_((mean - leading.double()).to(rows.dtype))
    return rows.square_().sum(dim=1).sum(dtype=torch.float64)


def _moments_of_sparse(X):
    """The same of a sparse matrix, whose own sums would run in float32."""
    n, width = X.shape
    lowest, highest = (as_row.toarray().ravel().astype(np.float64) for as_row in (X.min(axis=0), X.max(axis=0)))
    unit = max(highest.max(), -lowest.min()) or 1.0
    mean = np.bincount(X.indices, X.data, minlength=width) / n
    n_zeros = n - np.bincount(X.indices, minlength=width)
    squares = np.square((X.data - mean[X.indices]) / unit).sum() + (n_zeros * np.square(mean / unit)).sum()
    return Moments(torch.from_numpy(mean), unit * np.sqrt(squares / (n * width)), float((highest - lowest).max()))
