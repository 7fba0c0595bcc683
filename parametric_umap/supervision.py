"""The graph of the rows, drawn together where their targets are alike: supervised and semi-supervised UMAP."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.preprocessing import normalize
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from .graph import fuzzy_simplicial_set
from .neighbors import check_metric, nearest_neighbors
from .typing import Metric, Seed

UNKNOWN_DISTANCE = 1.0
LEAST_MEMBERSHIP = 1e-8


def labels_as_codes(y: ArrayLike) -> NDArray[np.int64]:
    """Number the labels of a categorical target.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels of any type; -1, NaN and None are unknown.

    Returns
    -------
    codes : ndarray of shape (n_samples,), int64
        From 0 on, one for each label; -1 where it is unknown.

    Raises
    ------
    ValueError
        If y is not one-dimensional.
    """
    y = column_or_1d(y)
    if y.dtype.kind == "O":
        unknown = np.array([_is_unknown(label) for label in y], dtype=bool)
        names: dict[Any, int] = {}
        return np.array(
            [-1 if hidden else names.setdefault(label, len(names)) for label, hidden in zip(y, unknown, strict=True)],
            dtype=np.int64,
        )
    unknown = np.zeros(len(y), dtype=bool) if y.dtype.kind in "USb" else (y != y) | (y == -1)
    codes = np.full(len(y), -1)
    codes[~unknown] = np.unique(y[~unknown], return_inverse=True)[1]
    return codes


def _is_unknown(label):
    missing = label is None or type(label).__name__ == "NAType"  # that of pandas, which cannot be compared
    return missing or bool(label != label) or bool(label == -1)


def check_target_metric(target_metric: Metric, target_metric_kwds: dict[str, Any] | None, y: ArrayLike) -> None:
    """Make sure that a metric is for such targets, and takes the arguments given with it.

    Parameters
    ----------
    target_metric : str or callable
        "categorical", or a metric of numbers.
    target_metric_kwds : dict or None
        Its arguments.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        The targets.

    Raises
    ------
    ValueError
        If the targets are text, but no labels; if an argument is missing, not one of the metric's, or out of its range.
    """
    if target_metric == "categorical":
        if target_metric_kwds:
            raise ValueError(
                f"target_metric_kwds={target_metric_kwds}: target_metric 'categorical' takes no arguments."
            )
        return
    targets = np.ravel(y)
    if targets.dtype.kind not in "biuf" and any(isinstance(target, str | bytes) for target in targets.tolist()):
        raise ValueError(
            f"target_metric={target_metric!r} is for numbers, but y holds text; for labels is 'categorical'."
        )
    n_targets = np.shape(y)[1] if np.ndim(y) > 1 else 1
    check_metric(target_metric, target_metric_kwds, n_targets, name="target_metric")


def labels_with_unknown(y: ArrayLike | None, n_unknown: int, target_metric: Metric) -> NDArray[np.int64]:
    """Put rows of unknown label before those of known ones.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels.
    n_unknown : int
        Number of rows before.
    target_metric : str or callable
        What the labels are compared by.

    Returns
    -------
    codes : ndarray of shape (n_unknown + n_samples,), int64
        What `labels_as_codes` gives, after so many -1.

    Raises
    ------
    ValueError
        If y is missing, or the targets are numbers, which are known or not there.
    """
    if target_metric != "categorical":
        raise ValueError(f"rows cannot be added by target_metric={target_metric!r}: targets before are not known.")
    if y is None:
        raise ValueError("target_metric='categorical' needs targets, but y is None; target_metric=None ignores y.")
    return np.concatenate([np.full(n_unknown, -1), labels_as_codes(y)])


def categorical_intersection(
    graph: sp.csr_array, codes: NDArray[np.integer], target_weight: float = 0.5
) -> sp.csr_array:
    """Weaken the edges between rows of different labels, and those of rows without one.

    Equal to ``umap.umap_.discrete_metric_simplicial_set_intersection`` as a fit of umap-learn calls it.

    Parameters
    ----------
    graph : csr_array of shape (n_samples, n_samples), float32
        The fuzzy simplicial set of the rows.
    codes : ndarray of shape (n_samples,), int
        What `labels_as_codes` returned.
    target_weight : float, default=0.5
        From 0, where labels count little, to 1, where no edge between different labels is left.

    Returns
    -------
    graph : csr_array of shape (n_samples, n_samples), float32
        The fuzzy simplicial set of rows and labels.
    """
    far_distance = 2.5 / (1 - target_weight) if target_weight < 1 else 1e12
    edges = graph.tocoo()
    head, tail = codes[edges.row], codes[edges.col]
    distance = np.where((head == -1) | (tail == -1), UNKNOWN_DISTANCE, np.where(head == tail, 0, far_distance))
    weights = (edges.data * np.exp(-distance)).astype(np.float32)
    return _locally_connected(sp.csr_array((weights, (edges.row, edges.col)), shape=graph.shape))


def graph_intersection(graph: sp.csr_array, target_graph: sp.csr_array, target_weight: float = 0.5) -> sp.csr_array:
    """Join the graph of the rows and the one of their targets.

    Equal to ``umap.umap_.general_simplicial_set_intersection``, followed by ``reset_local_connectivity``, as a fit of
    umap-learn does it for continuous targets.

    Parameters
    ----------
    graph, target_graph : csr_array of shape (n_samples, n_samples), float32
        Fuzzy simplicial sets of the rows and of their targets.
    target_weight : float, default=0.5
        From 0, where only the rows count, to 1, where only the targets do.

    Returns
    -------
    graph : csr_array of shape (n_samples, n_samples), float32
        The fuzzy simplicial set of both.
    """
    both = (graph + target_graph).tocoo()
    of_rows, of_targets = (_weights_at(both, side) for side in (graph, target_graph))
    least_of_rows = max(graph.data.min(initial=1) / 2, LEAST_MEMBERSHIP)
    least_of_targets = min(max(target_graph.data.min(initial=1) / 2, LEAST_MEMBERSHIP), 1e-4)
    of_rows = np.where(np.isnan(of_rows), least_of_rows, of_rows)
    of_targets = np.where(np.isnan(of_targets), least_of_targets, of_targets)
    if target_weight < 0.5:
        weights = of_rows * of_targets ** (target_weight / (1 - target_weight))
    else:
        weights = of_rows ** ((1 - target_weight) / max(target_weight, np.finfo(float).tiny)) * of_targets
    present = (of_rows > least_of_rows) | (of_targets > least_of_targets)
    weights = np.where(present, weights, both.data).astype(np.float32)
    return _locally_connected(sp.csr_array((weights, (both.row, both.col)), shape=graph.shape))


def supervised_graph(
    graph: sp.csr_array,
    y: ArrayLike | None,
    target_metric: Metric,
    *,
    n_neighbors: int,
    metric_kwds: dict[str, Any] | None = None,
    weight: float = 0.5,
    n_jobs: int | None = None,
    random_state: Seed = None,
) -> sp.csr_array:
    """Let the targets into the graph of the rows.

    Parameters
    ----------
    graph : csr_array of shape (n_samples, n_samples), float32
        The fuzzy simplicial set of the rows.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        The targets: labels, or numbers.
    target_metric : str or callable
        "categorical" for labels; else the distance between targets, as `nearest_neighbors` takes it.
    n_neighbors : int
        Number of neighbours among the targets, where they are not labels.
    metric_kwds : dict or None, default=None
        Arguments of the metric.
    weight : float, default=0.5
        From 0, where only the rows count, to 1, where only the targets do.
    n_jobs : int or None, default=None
        Threads of a search among the targets, as `nearest_neighbors` takes it.
    random_state : int, RandomState or None, default=None
        Seed of an approximate search among the targets.

    Returns
    -------
    graph : csr_array of shape (n_samples, n_samples), float32
        The fuzzy simplicial set of rows and targets.

    Raises
    ------
    ValueError
        If y is missing, of another length than the rows, or, unless it is labels, not finite.
    """
    if y is None:
        raise ValueError(f"target_metric={target_metric!r} needs targets, but y is None; target_metric=None ignores y.")
    check_consistent_length(graph, y)
    if target_metric == "categorical":
        return categorical_intersection(graph, labels_as_codes(y), weight)
    y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    indices, distances = nearest_neighbors(
        y.reshape(len(y), -1),
        n_neighbors,
        metric=target_metric,
        metric_kwds=metric_kwds,
        n_jobs=n_jobs,
        random_state=random_state,
    )
    return graph_intersection(graph, fuzzy_simplicial_set(indices, distances), weight)


def _locally_connected(graph):
    """Every row's strongest edge at 1 again, and both directions joined by the fuzzy union."""
    graph = sp.csr_array(normalize(graph, norm="max"))
    union = (graph + graph.T - graph.multiply(graph.T)).tocsr()
    union.eliminate_zeros()
    union.sort_indices()
    return union


def _weights_at(edges, graph):
    """The weights of a graph at given edges, NaN where it has none."""
    n = graph.shape[0]
    graph = graph.tocoo()
    keys, wanted = (part.row.astype(np.int64) * n + part.col for part in (graph, edges))
    order = np.argsort(keys, kind="stable")
    place = np.searchsorted(keys, wanted, sorter=order).clip(max=max(len(keys) - 1, 0))
    if not len(keys):
        return np.full(len(wanted), np.nan)
    found = order[place]
    return np.where(keys[found] == wanted, graph.data[found].astype(np.float64), np.nan)
