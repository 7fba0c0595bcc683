"""Rows as a search takes them: centred, of length 1, or of moderate magnitude.

A search by a homogeneous metric, such as the Euclidean distance, sees float32 rows of moderate magnitude, so that
neither a large offset nor extreme units cost precision; cosine distances are half the squared Euclidean distances of
unit rows. Dense rows are tensors here; the same rows give the same bits on the same device.
"""

from math import floor, log2

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.preprocessing import normalize

from ..containers import array_namespace, as_tensor
from ..moments import middle, usual_size

# How many times as far as usual a number may lie from the middle: the squares of both are finite in float32.
MOST = 2**30


def centred_rows(X):
    """Subtract from each row the mean of its own numbers.

    Parameters
    ----------
    X : Tensor of shape (n_samples, n_features), float32 or float64
        The rows.

    Returns
    -------
    X : Tensor of shape (n_samples, n_features), float32 or float64
        New ones; those of equal numbers are zeros, without what rounding left.
    """
    X = X - X.mean(dim=1, keepdim=True)
    constant = X.abs().amax(dim=1) <= 4 * torch.finfo(X.dtype).eps * X.abs().max()
    return X.masked_fill_(constant[:, None], 0)


def unit_rows(X):
    """Scale rows to length 1; rows of zeros become a unit vector of their own, orthogonal to all others.

    Parameters
    ----------
    X : {csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float32 or float64
        The rows.

    Returns
    -------
    X : {csr_array, Tensor} of shape (n_samples, n_features or one more), float32 or float64
        New ones.
    """
    if sp.issparse(X):
        return _unit_rows_of_sparse(X)
    largest = X.abs().amax(dim=1, keepdim=True)
    zero = largest == 0
    units = X * torch.where(zero, 1, largest).double().reciprocal()  # so that no square leaves the range
    units /= torch.where(zero, 1, torch.linalg.vector_norm(units, dim=1, keepdim=True))
    units = units.to(X.dtype)
    return torch.cat([units, zero.to(X.dtype)], dim=1) if zero.any() else units


def rows_in_own_units(X):
    """Divide rows by their largest magnitude, for a metric that does not see it.

    Parameters
    ----------
    X : {csr_matrix, csr_array} of shape (n_samples, n_features), float32 or float64
        The rows.

    Returns
    -------
    X : csr_array of shape (n_samples, n_features), float64
        New ones; rows of zeros stay.
    """
    largest = abs(X).max(axis=1).toarray().ravel()
    return sp.csr_array(sp.diags_array(1 / np.where(largest == 0, 1, largest).astype(np.float64)) @ X)


def _unit_rows_of_sparse(X):
    zero = abs(X).max(axis=1).toarray().ravel() == 0
    X = normalize(rows_in_own_units(X)).astype(X.dtype)
    return sp.hstack([X, sp.csr_array(zero[:, None].astype(X.dtype))], format="csr") if zero.any() else X


def moderate_rows(X):
    """Scale rows so that, as float32, their squares are finite and not lost.

    Dense float64 rows are centred before they lose digits. Float32 rows of moderate units are not copied at all, as
    there may be no room for a second copy. Far rows do not decide for the others: what lies more than 2³⁰ times as far
    from the middle as is usual is drawn in to that.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float32 or float64
        The rows.

    Returns
    -------
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float32
        The rows, divided by the scale.
    scale : float
        A power of two.
    """
    xp = array_namespace(X)
    X, usual = _drawn_in(X)
    largest = _largest(X)
    if X.dtype == xp.float32 and largest <= 2**30 and usual >= 2**-30:
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


def _drawn_in(X):
    """The rows with none too far for the rest to be told apart; and what is usual for them."""
    rows = X if sp.issparse(X) or isinstance(X, torch.Tensor) else as_tensor(X)
    centre = None if sp.issparse(X) else middle(rows)
    usual = usual_size(rows, centre)
    if _largest(X) <= MOST * usual:
        return X, usual
    if sp.issparse(X):
        X = X.copy()
        X.data = np.clip(X.data, -MOST * usual, MOST * usual)
        return X, usual
    drawn = torch.clamp(rows, centre - MOST * usual, centre + MOST * usual)
    return (drawn if isinstance(X, torch.Tensor) else drawn.numpy()), usual


def _contiguous(X):
    """Dense rows one after the other, and writable, as torch wants them."""
    return X.contiguous() if isinstance(X, torch.Tensor) else np.require(X, requirements="CW")


def _largest(X):
    """The greatest magnitude, without a copy of the rows."""
    return float(max(X.max(), -X.min()))


def _power_of_two(number):
    """The power of two just below: dividing by it rounds nothing."""
    return 2.0 ** floor(log2(number)) if number > 0 else 1.0
