"""How long a search over 8 candidates takes with and without `memory`, and how often it searches neighbours.

The candidates differ in what comes after the graph. Both searches run in this process, one after the other, the second
with an empty cache at first. Each pair adds a line to results/search_cache.jsonl.
"""

import argparse
import time
from functools import wraps
from tempfile import TemporaryDirectory

import numpy as np
from data import load
from record import append, versions
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV

from parametric_umap import ParametricUMAP, plan

CANDIDATES = {"min_dist": [0.0, 0.1, 0.3, 0.5], "learning_rate": [5e-3, 1e-2]}
N_FOLDS = 2
DATA = ("MNIST 5,000", "MNIST 20,000")


def main(names):
    ParametricUMAP(random_state=0).fit(load_iris().data)  # which pays for what torch loads late
    print(f"{'data':<14}{'without, s':>12}{'with, s':>9}{'ratio':>7}{'neighbour searches':>22}")
    for name in names:
        X, *_ = load(name)
        with TemporaryDirectory() as folder:
            (seconds, n_searches, scores), (seconds_with, n_searches_with, scores_with) = search(X), search(X, folder)
        ratio = seconds / seconds_with
        searches = f"{n_searches} and {n_searches_with}"
        print(f"{name:<14}{seconds:>12.1f}{seconds_with:>9.1f}{ratio:>7.2f}{searches:>22}", flush=True)
        line = {
            "data": name,
            "candidates": len(scores),
            "folds": N_FOLDS,
            "seconds": seconds,
            "seconds_with_memory": seconds_with,
            "ratio": ratio,
            "neighbor_searches": n_searches,
            "neighbor_searches_with_memory": n_searches_with,
            "scores_are_equal": bool(np.array_equal(scores, scores_with)),
            "versions": versions(),
        }
        append("search_cache.jsonl", line)


def search(X, memory=None):
    """Search all candidates, and fit the best to all rows.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        The rows.
    memory : str or None, default=None
        Folder of the cache.

    Returns
    -------
    seconds : float
        What it took.
    n_searches : int
        How often neighbours were searched, and not looked up.
    scores : ndarray of shape (n_candidates,), float64
        Mean trustworthiness of the candidates on rows that were not fitted.
    """
    find_neighbors, n_searches = plan.find_neighbors, 0

    @wraps(find_neighbors)
    def counted(*args, **kwargs):
        nonlocal n_searches
        n_searches += 1
        return find_neighbors(*args, **kwargs)

    plan.find_neighbors = counted
    try:
        start = time.perf_counter()
        found = GridSearchCV(ParametricUMAP(memory=memory, random_state=0), CANDIDATES, cv=N_FOLDS).fit(X)
        return time.perf_counter() - start, n_searches, found.cv_results_["mean_test_score"]
    finally:
        plan.find_neighbors = find_neighbors


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", default=DATA, help=f"data sets, such as iris or {DATA[0]!r}")
    main(parser.parse_args().data)
