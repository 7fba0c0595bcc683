"""Mean, extent and standard deviation of the rows but the far ones, where these are."""

from math import inf
from typing import NamedTuple
from warnings import warn

import numpy as np
import scipy.sparse as sp
import torch

from .containers import device_of, to_tensor

# Numbers of the rows that are looked at together.
CHUNK_SIZE = 2**21
CHUNK_SIZE_ON_A_DEVICE = 2**26
# A row is far if one of its numbers lies farther from the middle than this many times what is usual.
FAR = 10
# Rows that usually differ by fewer steps of float32 have lost what tells them apart.
STEPS = 16


class Moments(NamedTuple):
    """What the rows have in common, but the far ones: a broken reading would else be all that is seen.

    Attributes
    ----------
    mean : Tensor of shape (n_features,), float64
        Of each feature, where the rows are.
    deviation : float
        Standard deviation of all features together, each about its own mean.
    extent : float
        The largest difference between two numbers of one feature.
    limit : float
        A row is far if one of its numbers lies farther from the middle.
    """

    mean: torch.Tensor
    deviation: float
    extent: float
    limit: float


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


def sampled(X):
    """A thousand of dense rows at most, evenly spaced."""
    return X[:: -(-len(X) // 1000)]


def middle(X):
    """The median of a thousand rows; not their mean, which a single far row would move from the others."""
    return sampled(X).median(dim=0).values


def usual_size(X, centre=None):
    """Say how far rows usually lie from their middle, in the feature in which they lie farthest.

    Parameters
    ----------
    X : {csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float32 or float64
        The rows; of dense ones a thousand are looked at.
    centre : Tensor of shape (n_features,), float32 or float64, or None, default=None
        Their middle; that of sparse rows is taken for zero.

    Returns
    -------
    size : float
        The median of those that do not lie in the middle; infinity if all do.
    """
    sizes = sizes_of_sparse(X) if sp.issparse(X) else (sampled(X) - centre).abs_().amax(dim=1).cpu()
    return torch.where(sizes > 0, sizes, torch.nan).nanmedian().nan_to_num(nan=inf, posinf=inf).item()


def warn_of_lost_digits(X, *, stacklevel):
    """Warn of float32 rows that differ by hardly more than float32 can tell apart, since they lie far from zero.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float32 or float64
        The rows.
    stacklevel : int
        How far above this function the line is that the warning is about.
    """
    if sp.issparse(X):
        return
    rows = to_tensor(sampled(X), device_of(X))
    centre = middle(rows)
    offset, usual = centre.abs().max().item(), usual_size(rows, centre)
    if rows.dtype == torch.float32 and usual < STEPS * torch.finfo(torch.float32).eps * offset:
        warn(
            f"X is float32, which keeps 7 digits, and its rows usually differ by {usual:.2g} from {offset:.2g}: "
            "subtract what they have in common before they are float32.",
            UserWarning,
            stacklevel=stacklevel + 1,
        )


def sizes_of_sparse(X):
    """The largest magnitude in each row of a sparse matrix: a tensor of shape (n_samples,)."""
    return torch.from_numpy(abs(X).max(axis=1).toarray().ravel())


def _moments_of_dense(X):
    device = device_of(X)
    sample = to_tensor(sampled(X), device)
    centre = middle(sample)
    limit = FAR * usual_size(sample, centre)
    near = _Chunks(X, device)
    sums, lowest, highest = near.sums_and_extremes()
    if torch.maximum(highest - centre, centre - lowest).max() > limit:
        near = _Chunks(X, device, centre, limit)
        sums, lowest, highest = near.sums_and_extremes()
    mean = sums / near.n_rows
    largest = torch.maximum(highest, -lowest).max()
    # A power of two, by which every number is divided without being rounded.
    unit = torch.where(largest > 0, largest / largest.frexp().mantissa, 1).clamp(max=torch.finfo(largest.dtype).max)
    squares = sum(_squares(rows, mean, unit) for rows in near)
    extent = (highest / 2 - lowest / 2).max()
    numbers = torch.stack([squares, unit.double(), extent.double()]).tolist()
    deviation = numbers[1] * np.sqrt(numbers[0] / (near.n_rows * X.shape[1]))
    return Moments(mean, deviation, 2 * numbers[2], limit)


class _Chunks:
    """Copies of the rows, chunk by chunk, without those farther from `centre` than `limit`."""

    def __init__(self, X, device, centre=None, limit=inf):
        size = CHUNK_SIZE if device.type == "cpu" else CHUNK_SIZE_ON_A_DEVICE
        n_rows = max(1, size // X.shape[1])
        self.X, self.device, self.centre, self.limit = X, device, centre, limit
        self.slices = [slice(start, start + n_rows) for start in range(0, len(X), n_rows)]

    def __iter__(self):
        for chunk in self.slices:
            rows = to_tensor(self.X[chunk], self.device)
            rows = rows if self.centre is None else rows[(rows - self.centre).abs_().amax(dim=1) <= self.limit]
            if len(rows):
                yield rows

    def sums_and_extremes(self):
        counts, sums, lowest, highest = zip(
            *((len(rows), rows.sum(dim=0, dtype=torch.float64), rows.amin(dim=0), rows.amax(dim=0)) for rows in self),
            strict=True,
        )
        self.n_rows = sum(counts)
        return torch.stack(sums).sum(dim=0), torch.stack(lowest).amin(dim=0), torch.stack(highest).amax(dim=0)


def _squares(rows, mean, unit):
    """The sum of squares about the mean, in squares of the unit; in the precision of the rows, which loses no digits.

    The mean is subtracted as the sum of two numbers, as `Standardize` does it.
    """
    mean = mean / unit.double()
    leading = mean.to(rows.dtype)
    rows.div_(unit).sub_(leading).sub_((mean - leading.double()).to(rows.dtype))
    return rows.square_().sum(dim=1).sum(dtype=torch.float64)


def _moments_of_sparse(X):
    """The same of a sparse matrix, whose own sums would run in float32, and whose middle is near zero."""
    limit = FAR * usual_size(X)
    near = sizes_of_sparse(X) <= limit
    X = X if near.all() else X[near.numpy()]
    n, width = X.shape
    lowest, highest = (as_row.toarray().ravel().astype(np.float64) for as_row in (X.min(axis=0), X.max(axis=0)))
    unit = max(highest.max(), -lowest.min()) or 1.0
    mean = np.bincount(X.indices, X.data, minlength=width) / n
    n_zeros = n - np.bincount(X.indices, minlength=width)
    squares = np.square((X.data - mean[X.indices]) / unit).sum() + (n_zeros * np.square(mean / unit)).sum()
    deviation = unit * np.sqrt(squares / (n * width))
    return Moments(torch.from_numpy(mean), deviation, float((highest - lowest).max()), limit)
