"""The distances between rows that a user may ask for, by name or as a function."""

import inspect
from numbers import Real
from typing import Any

import numpy as np

from ..typing import Metric

# Other names that pynndescent knows for a metric.
ALIASES = {
    "l2": "euclidean",
    "l1": "manhattan",
    "taxicab": "manhattan",
    "linf": "chebyshev",
    "linfty": "chebyshev",
    "linfinity": "chebyshev",
}
# Those whose searches are our own, or scikit-learn's.
COMMON = ("euclidean", "sqeuclidean", "cosine", "correlation", "manhattan", "chebyshev", "minkowski")
COMMON_SPARSE = ("euclidean", "sqeuclidean", "cosine", "manhattan")
# Those computed by pynndescent's functions, of dense and of sparse rows.
OF_PYNNDESCENT_SPARSE = (
    "braycurtis",
    "canberra",
    "dice",
    "hamming",
    "hellinger",
    "jaccard",
    "jensen-shannon",
    "jensen_shannon",
    "kantorovich",
    "kantorovich-1d",
    "kulsinski",
    "matching",
    "rogerstanimoto",
    "russellrao",
    "sokalmichener",
    "sokalsneath",
    "symmetric-kl",
    "symmetric_kl",
    "symmetric_kullback_liebler",
    "wasserstein",
    "wasserstein-1d",
    "wasserstein_1d",
)
OF_PYNNDESCENT = (
    *OF_PYNNDESCENT_SPARSE,
    "bit_hamming",
    "bit_jaccard",
    "circular_kantorovich",
    "circular_wasserstein",
    "direct_cosine",
    "dot",
    "haversine",
    "inner_product",
    "kantorovich_1d",
    "mahalanobis",
    "seuclidean",
    "sinkhorn",
    "spearmanr",
    "standardised_euclidean",
    "true_angular",
    "tsss",
    "weighted_minkowski",
    "wminkowski",
    "yule",
)
METRICS = (*ALIASES, *COMMON, *OF_PYNNDESCENT)
SPARSE_METRICS = (*ALIASES, *COMMON, *OF_PYNNDESCENT_SPARSE)

# The greatest distance of a bounded metric says that two rows have nothing in common, as in umap-learn.
DISCONNECTION_DISTANCES = {
    "correlation": 2,
    "cosine": 2,
    "hellinger": 1,
    "jaccard": 1,
    "bit_jaccard": 1,
    "dice": 1,
}


def check_metric(
    metric: Metric,
    metric_kwds: dict[str, Any] | None,
    n_features: int,
    is_sparse: bool = False,
    name: str = "metric",
) -> None:
    """Make sure that a metric is for such rows, and takes the arguments given with it.

    Parameters
    ----------
    metric : str or callable
        One of `METRICS`, or a function of two vectors.
    metric_kwds : dict or None
        Its arguments.
    n_features : int
        Number of features of the rows.
    is_sparse : bool, default=False
        Whether the rows are sparse.
    name : str, default="metric"
        What errors call the metric; its arguments are `name`_kwds.

    Raises
    ------
    ValueError
        If the metric is not for sparse rows, or an argument is missing, not one of the metric's, or out of its range.
    """
    metric_kwds = metric_kwds or {}
    common = ALIASES.get(metric, metric) if isinstance(metric, str) else metric
    if is_sparse and metric not in SPARSE_METRICS:
        raise ValueError(f"{name}={metric!r} is not for sparse rows; allowed are {SPARSE_METRICS}.")
    if common in COMMON:
        allowed = {"p"} if common == "minkowski" else set()
        unknown = set(metric_kwds) - allowed
        if unknown:
            takes = f"takes {sorted(allowed)}" if allowed else "takes no arguments"
            raise ValueError(f"{name}_kwds={metric_kwds}: {name} {metric!r} {takes}.")
        p = metric_kwds.get("p", 2)
        if not (isinstance(p, Real) and 1 <= float(p) < np.inf):
            raise ValueError(f"{name}_kwds={metric_kwds}: p must be a number of at least 1.")
    else:
        metric_arguments(metric, metric_kwds, n_features, is_sparse, name)


def metric_function(metric, is_sparse=False):
    """Find the function of two vectors behind a metric that is not a common one.

    Parameters
    ----------
    metric : str or callable
        One of `OF_PYNNDESCENT`, or the function itself.
    is_sparse : bool, default=False
        Whether it is to take sparse vectors, each as its indices and its values.

    Returns
    -------
    function : callable
        Compiled by numba, if it is pynndescent's.
    """
    if callable(metric):
        return metric
    if is_sparse:
        from pynndescent.sparse import sparse_named_distances

        return sparse_named_distances[metric]
    from pynndescent.distances import named_distances

    return named_distances[metric]


def metric_arguments(metric, metric_kwds, n_features, is_sparse=False, name="metric"):
    """Order the arguments of a metric that is not a common one, as its function takes them after the vectors.

    Parameters
    ----------
    metric : str or callable
        One of `OF_PYNNDESCENT`, or a function of two vectors.
    metric_kwds : dict or None
        The arguments by name.
    n_features : int
        Number of features of the rows.
    is_sparse : bool, default=False
        Whether the function is the one of sparse vectors.
    name : str, default="metric"
        What errors call the metric.

    Returns
    -------
    arguments : dict
        All arguments in their order, up to the last one that was given.

    Raises
    ------
    ValueError
        If an argument is unknown or missing, or not of the shape that the rows need.
    """
    function = metric_function(metric, is_sparse)
    parameters = list(inspect.signature(getattr(function, "py_func", function)).parameters.values())
    parameters = parameters[4 if is_sparse else 2 :]
    given = dict(metric_kwds or {})
    if is_sparse and any(parameter.name == "n_features" for parameter in parameters):
        given["n_features"] = n_features
    names = [parameter.name for parameter in parameters]
    unknown = set(given) - set(names)
    if unknown:
        takes = f"takes {names}" if names else "takes no arguments"
        raise ValueError(f"{name}_kwds={metric_kwds}: {name} {metric!r} {takes}.")
    arguments = {}
    for parameter in parameters:
        if parameter.name in given:
            value = given.pop(parameter.name)
        elif isinstance(parameter.default, np.ndarray) or (parameter.default is parameter.empty):
            raise ValueError(f"{name}_kwds must hold {parameter.name!r} for {name} {metric!r}; got {metric_kwds}.")
        elif given:
            value = parameter.default
        else:
            break
        if isinstance(parameter.default, np.ndarray):
            value = np.asarray(value, dtype=parameter.default.dtype)
            shape = (n_features,) * parameter.default.ndim
            if value.shape != shape:
                raise ValueError(
                    f"{name}_kwds[{parameter.name!r}] of {name} {metric!r} must have shape {shape}; got {value.shape}."
                )
        arguments[parameter.name] = value
    return arguments
