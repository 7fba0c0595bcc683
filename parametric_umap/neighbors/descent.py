"""Approximate neighbours in any metric, and of sparse rows, by pynndescent."""

import numpy as np
from joblib import effective_n_jobs

from ..threads import in_forked_child


def can_descend():
    """Say whether pynndescent runs here: numba ends a forked process whose parent had threads of its OpenMP."""
    if not in_forked_child():
        return True
    from numba import threading_layer

    try:
        return threading_layer() != "omp"
    except ValueError:  # it has not started any threads
        return True


def neighbor_descent(X, n_neighbors, metric, metric_kwds, n_jobs, random_state):
    """Find nearly all neighbours of each row by nearest neighbour descent.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array} of shape (n_samples, n_features), float32
        The rows.
    n_neighbors : int
        Number of neighbours, the row itself counted.
    metric : str or callable
        The distance between rows: a name that pynndescent knows, or a function compiled by numba.
    metric_kwds : dict
        Arguments of the metric, in the order in which its function takes them.
    n_jobs : int or None
        Threads, in joblib's counting; None takes all.
    random_state : int, RandomState or None
        Seed of the search.

    Returns
    -------
    indices : ndarray of shape (n_samples, n_neighbors), int
        Neighbours by rising distance; -1 where there are too few.
    distances : ndarray of shape (n_samples, n_neighbors), float32
        Their distances.
    short : ndarray of shape (n_short,), int
        The rows of which fewer neighbours were found than asked for.
    """
    from numba import config  # both compile for seconds: only where they are needed
    from pynndescent import NNDescent

    index = NNDescent(
        X,
        n_neighbors=n_neighbors,
        metric=metric,
        metric_kwds=metric_kwds,
        n_jobs=min(effective_n_jobs(-1 if n_jobs is None else n_jobs), config.NUMBA_NUM_THREADS),
        random_state=random_state,
    )
    indices, distances = index.neighbor_graph
    return indices, distances, np.flatnonzero((indices < 0).any(axis=1))
