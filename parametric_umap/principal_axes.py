"""The directions in which the rows vary most: a narrower, and nearly faithful, view of wide rows."""

import numpy as np
import scipy.sparse as sp
from scipy.linalg import eigh
from sklearn.utils.extmath import randomized_svd

# Rows beyond these tell hardly more of the leading axes; they are evenly spaced.
N_SAMPLES = 5000
# The whole spectrum of the covariance is quick up to this width.
FULL_WIDTH = 1024
# Matrix products are quickest where the width is a multiple of this.
ROUNDING = 32


def principal_axes(X, mean, share, max_axes):
    """Find the leading principal axes, as many as hold a share of the variance, or a few more.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array} of shape (n_samples, n_features), float32 or float64
        The rows; where they are many, 5,000 of them are looked at.
    mean : ndarray of shape (n_features,), float64
        Their mean. Sparse rows wider than 1,024 are not centred, as that would fill their zeros.
    share : float
        Share of the variance that the axes are to hold, above 0 and at most 1.
    max_axes : int
        Number of axes at most, even if they hold less.

    Returns
    -------
    axes : ndarray of shape (n_features, n_axes), float32
        Orthonormal columns, by falling variance.
    """
    sample = X[:: -(-X.shape[0] // N_SAMPLES)]
    if X.shape[1] <= FULL_WIDTH:
        sample = _centred_and_scaled(sample.toarray() if sp.issparse(sample) else sample, mean)
        variances, axes = eigh(sample.T @ sample, check_finite=False)
        variances, axes = variances[::-1], axes[:, ::-1]
    else:
        if not sp.issparse(sample):
            sample = _centred_and_scaled(sample, mean)
        n_axes = min(max_axes, *sample.shape)
        _, singular_values, axes = randomized_svd(sample, n_axes, n_iter=2, random_state=0)
        variances, axes = singular_values**2, axes.T
    total = sample.multiply(sample).sum() if sp.issparse(sample) else np.square(sample).sum()
    n_axes = np.searchsorted(np.cumsum(variances), share * total) + 1
    n_axes = -(-n_axes // ROUNDING) * ROUNDING
    return np.ascontiguousarray(axes[:, : min(n_axes, max_axes)], dtype=np.float32)


def _centred_and_scaled(X, mean):
    """Rows as float32 whose squares stay in its range."""
    X = X - mean
    return (X / (np.abs(X).max() or 1)).astype(np.float32)
