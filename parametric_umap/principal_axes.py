"""The directions in which the rows vary most: a narrower, and nearly faithful, view of wide rows."""

from math import inf

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.utils.extmath import randomized_svd

from .containers import as_numpy, device_of, to_tensor
from .moments import sizes_of_sparse

# The whole spectrum of the covariance is quick up to this width.
FULL_WIDTH = 1024
# Matrix products are quickest where the width is a multiple of this.
ROUNDING = 32
# Rows longer than the median by this factor are far out.
FAR = 3


def principal_axes(X, mean, share, max_axes, limit=inf):
    """Find the leading principal axes, as many as hold a share of the variance, or a few more.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float32 or float64
        The rows; where they are many, some of them are looked at, evenly spaced.
    mean : {ndarray, Tensor} of shape (n_features,), float64
        Their mean. Sparse rows wider than 1,024 are not centred, as that would fill their zeros.
    share : float
        Share of the variance that the axes are to hold, above 0 and at most 1.
    max_axes : int
        Number of axes at most, even if they hold less.
    limit : float, default=infinity
        Rows with a number farther than this from its mean are left out.

    Returns
    -------
    axes : ndarray of shape (n_features, n_axes), float32
        Orthonormal columns, by falling variance.
    """
    sparse_and_wide = sp.issparse(X) and X.shape[1] > FULL_WIDTH
    sample = X[:: -(-X.shape[0] // (5000 if sparse_and_wide else enough_rows(X.shape[1])))]
    if sparse_and_wide:
        sample = sample[(sizes_of_sparse(sample) <= limit).numpy()]
        _, singular_values, axes = randomized_svd(sample, min(max_axes, *sample.shape), n_iter=2, random_state=0)
        held, axes = np.cumsum(singular_values**2) / sample.multiply(sample).sum(), axes.T
    else:
        rows = to_tensor(sample, device_of(sample)).double()
        rows -= torch.as_tensor(mean, device=rows.device)
        rows = rows[rows.abs().amax(dim=1) <= limit]
        rows /= rows.abs().max().clamp(min=torch.finfo(rows.dtype).tiny)  # so that squares stay in the range of float32
        axes, held = axes_of(rows.float())
    n_axes = np.searchsorted(as_numpy(held), share) + 1
    n_axes = -(-n_axes // ROUNDING) * ROUNDING
    return np.ascontiguousarray(as_numpy(axes[:, : min(n_axes, max_axes)]), dtype=np.float32)


def enough_rows(n_features):
    """Number of rows beyond which more tell hardly anything of the leading axes, or take too long."""
    return 5000 if n_features <= FULL_WIDTH else 1000


def axes_of(rows):
    """Find all principal axes of a few dense rows.

    Parameters
    ----------
    rows : Tensor of shape (n_rows, n_features), float32
        Centred rows, of a magnitude whose squares are finite. Those far out are drawn in, so that they turn no axis.

    Returns
    -------
    axes : Tensor of shape (n_features, min(n_rows, n_features)), float32
        Orthonormal columns, by falling variance.
    held : Tensor of shape (min(n_rows, n_features),), float32
        Share of the variance that the first axis holds, the first two, and so on.
    """
    lengths = rows.norm(dim=1, keepdim=True)
    rows = rows * (FAR * lengths.median() / lengths.clamp(min=torch.finfo(rows.dtype).tiny)).clamp(max=1)
    axes, variances = eigenvectors_of_covariance(rows)
    return axes, variances.cumsum(dim=0) / variances.sum()


def eigenvectors_of_covariance(rows):
    """Find all principal axes of dense rows as they are.

    Parameters
    ----------
    rows : Tensor of shape (n_rows, n_features), float
        Centred rows, of a magnitude whose squares are finite.

    Returns
    -------
    axes : Tensor of shape (n_features, min(n_rows, n_features)), float
        Orthonormal columns, by falling variance, with the signs of ``sklearn.decomposition.PCA``.
    variances : Tensor of shape (min(n_rows, n_features),), float
        The variance along each, times the number of rows.
    """
    if rows.shape[1] <= len(rows):
        variances, axes = torch.linalg.eigh(rows.T @ rows)
    else:
        variances, axes = torch.linalg.eigh(rows @ rows.T)
        axes = torch.nn.functional.normalize(rows.T @ axes, dim=0)
    axes *= axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)).sign()  # as scikit-learn settles it
    return axes.flip(1), variances.flip(0).clamp(min=0)
