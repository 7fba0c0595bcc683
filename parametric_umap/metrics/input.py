"""What all metrics accept: rows and their positions, a sample of them, and a device."""

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_array

from ..containers import as_numpy, refuse_masked
from ..engine import resolve_device
from ..neighbors import METRICS, check_metric
from ..output_metrics import OUTPUT_METRICS

# Of larger numbers the squares, which distances are made of, would leave the range of float64.
LARGEST = 1e150
# What the parameters of all metrics may be, for `validate_params`.
CONSTRAINTS = {
    "X": ["array-like", "sparse matrix"],
    "embedding": ["array-like"],
    "metric": [StrOptions({*METRICS, "precomputed"}), callable],
    "metric_kwds": [dict, None],
    "output_metric": [StrOptions({"euclidean", *OUTPUT_METRICS})],
    "device": [str, torch.device],
}


def checked_pair(X, embedding, metric, metric_kwds):
    """Make sure that rows and their positions belong together, and that the metric is for such rows.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features) or (n_samples, n_samples)
        The rows; for the metric "precomputed", their distances.
    embedding : array-like of shape (n_samples, n_components)
        Their positions.
    metric : str or callable
        The distance between rows.
    metric_kwds : dict or None
        Its arguments.

    Returns
    -------
    X : {ndarray, csr_matrix, csr_array} of shape (n_samples, n_features) or (n_samples, n_samples)
        float32 or float64.
    embedding : ndarray of shape (n_samples, n_components)
        float32 or float64.

    Raises
    ------
    ValueError
        If a number is not finite or too large, there are fewer than three rows, the shapes differ, or the metric is not
        for such rows or arguments.
    """
    X = finite_rows(X, "X", accept_sparse="csr", ensure_min_samples=3)
    embedding = finite_rows(embedding, "embedding")
    n_samples = X.shape[0]
    if len(embedding) != n_samples:
        raise ValueError(f"embedding must have a row for each of X; got {len(embedding)} rows for {n_samples}.")
    if metric != "precomputed":
        check_metric(metric, metric_kwds, X.shape[1], sp.issparse(X))
    elif metric_kwds:
        raise ValueError(f"metric_kwds={metric_kwds}: metric 'precomputed' takes no arguments.")
    elif sp.issparse(X) or X.shape[1] != n_samples:
        kind = "a sparse matrix" if sp.issparse(X) else "an array"
        raise ValueError(f"metric='precomputed' needs a square, dense X of distances; got {kind} of shape {X.shape}.")
    elif X.min() < 0:
        raise ValueError(f"metric='precomputed' needs distances of at least 0; X holds {X.min():.3g}.")
    return X, embedding


def finite_rows(X, name, **options):
    """Make sure that rows are numbers whose distances are finite.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        The rows; a tensor may be on any device.
    name : str
        What an error calls them.
    **options
        Further arguments of ``sklearn.utils.check_array``.

    Returns
    -------
    X : {ndarray, csr_matrix, csr_array} of shape (n_samples, n_features), float32 or float64
        The same.

    Raises
    ------
    ValueError
        If they hold NaN, infinity, or a number whose square is beyond float64.
    """
    refuse_masked(**{name: X})
    X = check_array(as_numpy(X), dtype=[np.float64, np.float32], input_name=name, **options)
    largest = float(max(X.max(), -X.min()))
    if largest > LARGEST:
        raise ValueError(f"{name} holds ±{largest:.3g}; allowed are numbers up to {LARGEST:g}.")
    return X


def one_column(values, name):
    """Make sure that there is one value for each row.

    Parameters
    ----------
    values : array-like of shape (n_samples,) or (n_samples, 1)
        Of any type; a tensor may be on any device.
    name : str
        What an error calls them.

    Returns
    -------
    values : ndarray of shape (n_samples,)
        The same.

    Raises
    ------
    ValueError
        If they have another shape.
    """
    refuse_masked(**{name: values})
    values = np.asarray(as_numpy(values))
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(f"{name} must have one dimension; got the shape {values.shape}.")
    return values


def sampled(n_samples, sample_size, random_state):
    """Draw rows without replacement.

    Parameters
    ----------
    n_samples : int
        Number of all rows.
    sample_size : int or None
        Number of those drawn; all are taken where there are no more, or with None.
    random_state : RandomState
        What to draw from.

    Returns
    -------
    rows : ndarray of shape (n_sampled,), int64
        Their indices, rising.
    """
    if sample_size is None or n_samples <= sample_size:
        return np.arange(n_samples)
    return np.sort(random_state.choice(n_samples, sample_size, replace=False))


def float64_device(device):
    """Resolve the parameter `device`.

    Parameters
    ----------
    device : str or torch.device
        As that of `ParametricUMAP`.

    Returns
    -------
    device : torch.device
        The CPU instead of MPS, which has no float64.

    Raises
    ------
    ValueError
        If it is no such device, or this machine lacks it.
    """
    device = resolve_device(device)
    return torch.device("cpu") if device.type == "mps" else device


def new_random_state(random_state):
    """Resolve the parameter `random_state`, without reading numpy's global random state.

    Parameters
    ----------
    random_state : int, RandomState instance or None
        None seeds from the operating system.

    Returns
    -------
    random_state : RandomState
        To draw from.
    """
    return np.random.RandomState() if random_state is None else check_random_state(random_state)
