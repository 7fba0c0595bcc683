"""The distances from some rows to all rows, so that all can be looked at block by block."""

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.metrics import euclidean_distances, pairwise_distances

from ..moments import middle
from ..typing import Matrix, Metric
from .exact import roomy_device
from .metrics import ALIASES, COMMON, COMMON_SPARSE, metric_arguments, metric_function
from .pairs import compiled_or_none, pair_distances, rows_for_function

ORDERS = {"manhattan": 1.0, "chebyshev": np.inf}


def row_distances(
    X: Matrix,
    metric: Metric = "euclidean",
    metric_kwds: dict[str, Any] | None = None,
    device: str | torch.device = "cpu",
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Prepare to measure the distances from some rows to all.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array} of shape (n_samples, n_features), float32 or float64
        The rows; for "precomputed" an ndarray of shape (n_samples, n_samples), their distances.
    metric : str or callable, default="euclidean"
        As in `nearest_neighbors`, or "precomputed". By "cosine" a row of zeros is at distance 1 from every other row,
        as in scikit-learn; by "correlation" one of equal numbers.
    metric_kwds : dict or None, default=None
        Arguments of the metric.
    device : str or torch.device, default="cpu"
        Where the common metrics of dense rows are computed, unless they find no room there. Others are measured on the
        CPU.

    Returns
    -------
    distances_from : callable
        Maps indices of rows, a Tensor of shape (n_rows,), int64, on the CPU, to their distances to all rows, a Tensor
        of shape (n_rows, n_samples), float64, on the device, with 0 between a row and itself. It raises ValueError if
        the metric refuses the rows, or gives distances that are not numbers.
    """
    measure = _measure(X, metric, metric_kwds or {}, device)

    def distances_from(rows):
        distances = torch.as_tensor(measure(rows)).to(device, torch.float64)
        distances[torch.arange(len(rows)), rows] = 0
        return distances

    return distances_from


def _measure(X, metric, metric_kwds, device):
    name = ALIASES.get(metric, metric) if isinstance(metric, str) else metric
    if name == "precomputed":
        return lambda rows: X[rows.numpy()]
    if name not in (COMMON_SPARSE if sp.issparse(X) else COMMON):
        return _by_function(X, name, metric_kwds)
    if sp.issparse(X):
        if name == "sqeuclidean":
            return lambda rows: euclidean_distances(X[rows.numpy()], X, squared=True)
        return lambda rows: pairwise_distances(X[rows.numpy()], X, metric=name)
    x = torch.tensor(X, dtype=torch.float64, device=roomy_device(device, 8 * X.size))
    if name in ("cosine", "correlation"):
        return _by_angles(x, centred=name == "correlation")
    if name in ("euclidean", "sqeuclidean"):
        return _by_products(x, squared=name == "sqeuclidean")
    order = ORDERS[name] if name in ORDERS else float(metric_kwds.get("p", 2))
    return lambda rows: torch.cdist(x[rows.to(x.device)], x, p=order)


def _by_products(x, squared):
    """Euclidean distances by the expanded square."""
    x = x - middle(x)  # a large offset would cost digits; numbers of the data, so that equal distances stay equal
    squares = x.square().sum(dim=1)

    def measure(rows):
        rows = rows.to(x.device)
        expanded = torch.addmm(squares, x[rows], x.T, alpha=-2).add_(squares[rows, None]).clamp_(min=0)
        return expanded if squared else expanded.sqrt_()

    return measure


def _by_angles(x, centred):
    if centred:
        largest = x.abs().max()
        x = x - x.mean(dim=1, keepdim=True)
        x[x.abs().amax(dim=1) <= 4 * torch.finfo(x.dtype).eps * largest] = 0
    lengths = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    x = x / torch.where(lengths == 0, 1, lengths)
    return lambda rows: torch.mm(x[rows.to(x.device)], x.T).neg_().add_(1).clamp_(0, 2)


def _by_function(X, metric, metric_kwds):
    X = rows_for_function(X, metric)
    function = metric_function(metric, sp.issparse(X))
    arguments = tuple(metric_arguments(metric, metric_kwds, X.shape[1], sp.issparse(X)).values())

    with _named(metric):
        compiled = compiled_or_none(function, X, arguments)  # once, not for every block

    def measure(rows):
        with _named(metric):
            return pair_distances(X, compiled or function, arguments, rows.numpy(), compiled is not None)

    return measure


@contextmanager
def _named(metric):
    """Let an error say which metric refuses the rows."""
    try:
        yield
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"metric={metric!r} is not for these rows: {error}.") from error
