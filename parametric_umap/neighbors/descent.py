"""Approximate neighbours in any metric, and of sparse rows, by pynndescent."""

import numpy as np
from joblib import effective_n_jobs

from .exact import exact_by_scikit_learn


def neighbor_descent(X, n_neighbors, metric, metric_kwds, n_jobs, random_state):
    """Find nearly all neighbours of each row by nearest neighbour descent.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array} of shape (n_samples, n_features), float32
        The rows.
    n_neighbors : int
        Number of neighbours, the row itself counted.
    metric : {"euclidean", "manhattan", "chebyshev", "minkowski"}
        The distance between rows.
    metric_kwds : dict
        Arguments of the metric.
    n_jobs : int or None
        Threads, in joblib's counting; None takes all.
    random_state : int, RandomState or None
        Seed of the search.

    Returns
    -------
    indices : ndarray of shape (n_samples, n_neighbors), int
        Neighbours by rising distance.
    distances : ndarray of shape (n_samples, n_neighbors), float32
        Their distances.
    """
    from numba import config  # both compile for seconds: only where they are needed
    from pynndescent import NNDescent

    index = NNDescent(
        X,
        n_neighbors=n_neighbors,
        metric=metric,
        metric_kwds=metric_kwds,
        n_jobs=-1 if n_jobs is None else min(effective_n_jobs(n_jobs), config.NUMBA_NUM_THREADS),
        random_state=random_state,
    )
    indices, distances = index.neighbor_graph
    short = np.flatnonzero((indices < 0).any(axis=1))
    if len(short):  # the search found fewer neighbours than were asked for
        found = exact_by_scikit_learn(X, X[short], n_neighbors, metric, metric_kwds, n_jobs)
        indices[short], distances[short] = found
    return indices, distances
