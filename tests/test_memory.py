"""The cache: what is searched once is not searched again, and no bit of a map tells whether it was."""

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from joblib import Memory
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from parametric_umap import ParametricUMAP, initialization, neighbors
from parametric_umap.graph import fuzzy

X, y = (np.ascontiguousarray(part[:320]) for part in load_digits(return_X_y=True))
QUICK = {"n_epochs": 1, "batches_per_epoch": 5, "init_epochs": 1, "hidden_layer_sizes": (16,), "random_state": 0}


def manhattan(a, b):
    return np.abs(a - b).sum()


@pytest.fixture
def runs(monkeypatch):
    """How often each stage has really run."""
    counts = {"neighbors": 0, "graph": 0, "positions": 0}

    def count(stage, module, name):
        function = getattr(module, name)

        def counted(*args, **kwargs):
            counts[stage] += 1
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, counted)

    count("neighbors", neighbors.search, "exact_euclidean")
    count("graph", fuzzy, "_symmetrized")
    count("positions", initialization, "layout_of")
    return counts


def runs_of(runs, fit):
    before = dict(runs)
    fit()
    return {stage: runs[stage] - before[stage] for stage in runs}


NOTHING = {"neighbors": 0, "graph": 0, "positions": 0}


def test_a_search_over_what_comes_later_searches_neighbours_once_a_fold(tmp_path, runs, n_folds=3):
    later = {"min_dist": [0.0, 0.5], "learning_rate": [1e-3, 1e-2], "hidden_layer_sizes": [(16,), (8, 8)]}
    umap = ParametricUMAP(**QUICK)
    search = GridSearchCV(umap, later, cv=n_folds).fit(X)
    assert runs["neighbors"] == 8 * n_folds + 1  # and the best once more, on all rows
    runs.update(NOTHING)
    cached = GridSearchCV(umap.set_params(memory=str(tmp_path)), later, cv=n_folds).fit(X)
    assert runs == dict.fromkeys(runs, n_folds + 1)
    np.testing.assert_array_equal(cached.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(cached.best_estimator_.embedding_, search.best_estimator_.embedding_)


def test_workers_share_what_they_find(tmp_path):
    umap = ParametricUMAP(memory=str(tmp_path), **QUICK)
    GridSearchCV(umap, {"min_dist": [0.0, 0.5]}, cv=2, n_jobs=2).fit(X)
    kept = list(tmp_path.glob("joblib/parametric_umap/neighbors/search/find_neighbors/*/output.pkl"))
    assert len(kept) == 3


@pytest.mark.filterwarnings("error:The given NumPy array is not writable")
@pytest.mark.parametrize("mmap_mode", [None, "r", "c"])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"random_state": np.random.RandomState(3)},
        {"init": "pca", "output_metric": "haversine"},
        {"target_metric": "categorical", "sampling": "edges"},
        {"target_metric": "euclidean", "densmap": True, "decoder": True},
    ],
    ids=["defaults", "random state", "pca on a sphere", "labels", "numbers, densities and a decoder"],
)
def test_no_bit_tells_whether_the_cache_was_there_or_cold_or_warm(tmp_path, mmap_mode, parameters):
    umap = ParametricUMAP(**{**QUICK, **parameters})
    plain = clone(umap).fit(X, y)
    memory = Memory(tmp_path, mmap_mode=mmap_mode, verbose=0)
    for _ in range(2):
        cached = clone(umap).set_params(memory=memory).fit(X, y)
        np.testing.assert_array_equal(cached.embedding_, plain.embedding_)
        np.testing.assert_array_equal(cached.init_embedding_, plain.init_embedding_)
        assert (cached.graph_ != plain.graph_).nnz == 0
    assert joblib.hash(cached.random_state) == joblib.hash(plain.random_state)


def test_approximate_neighbours_are_those_of_the_seed_unless_there_is_none(tmp_path, runs, monkeypatch):
    monkeypatch.setitem(neighbors.search.PARTITIONED_WORK, "cpu", 0)
    n_searches = []
    search = neighbors.search.partitioned_euclidean
    monkeypatch.setattr(neighbors.search, "partitioned_euclidean", lambda *args: n_searches.append(1) or search(*args))
    umap = ParametricUMAP(memory=str(tmp_path), **QUICK)
    for random_state, searches in ((0, 1), (1, 2), (0, 2), (None, 3), (None, 3)):
        umap.set_params(random_state=random_state).fit(X)
        assert len(n_searches) == searches
    first = umap.embedding_
    assert not np.array_equal(umap.fit(X).embedding_, first)


def test_what_the_stages_depend_on_is_told_apart(tmp_path, runs):
    umap = ParametricUMAP(memory=str(tmp_path), **QUICK)
    once = {"neighbors": 1, "graph": 1, "positions": 1}
    assert runs_of(runs, lambda: umap.fit(X)) == once
    assert runs_of(runs, lambda: umap.fit(X)) == NOTHING
    assert runs_of(runs, lambda: umap.fit(X.copy())) == NOTHING
    other = X.copy()
    other[7, 7] += 1
    assert runs_of(runs, lambda: umap.fit(other)) == once
    assert runs_of(runs, lambda: clone(umap).set_params(n_neighbors=7).fit(X)) == once
    assert runs_of(runs, lambda: clone(umap).set_params(metric="cosine").fit(X)) == once
    of_graph = {"neighbors": 0, "graph": 1, "positions": 1}
    assert runs_of(runs, lambda: clone(umap).set_params(local_connectivity=2).fit(X)) == of_graph
    of_positions = {"neighbors": 0, "graph": 0, "positions": 1}
    assert runs_of(runs, lambda: clone(umap).set_params(n_components=3).fit(X)) == of_positions
    of_threads = {"neighbors": 1, "graph": 0, "positions": 0}  # in other ones pynndescent finds other neighbours
    assert runs_of(runs, lambda: clone(umap).set_params(n_jobs=1).fit(X)) == of_threads


def test_targets_are_looked_up_too(tmp_path, runs):
    umap = ParametricUMAP(memory=str(tmp_path), target_metric="euclidean", **QUICK).fit(X, y)
    assert runs_of(runs, lambda: umap.fit(X, y)) == NOTHING
    of_targets = {"neighbors": 1, "graph": 1, "positions": 1}
    assert runs_of(runs, lambda: umap.fit(X, y[::-1])) == of_targets
    umap.set_params(target_metric="categorical")
    assert runs_of(runs, lambda: umap.fit(X, y)) == {"neighbors": 0, "graph": 0, "positions": 1}
    assert runs_of(runs, lambda: umap.fit(X, y)) == NOTHING
    names = [f"digit {label}" if label else None for label in y]
    umap.fit(X, names)
    assert runs_of(runs, lambda: umap.fit(X, list(names))) == NOTHING


@pytest.mark.parametrize("metric", [manhattan, lambda a, b: np.abs(a - b).sum()], ids=["named", "lambda"])
def test_a_search_by_a_function_is_made_anew_and_its_graph_is_looked_up(tmp_path, runs, monkeypatch, metric):
    n_searches = []
    search = neighbors.search.exact_by_pairs
    monkeypatch.setattr(neighbors.search, "exact_by_pairs", lambda *args: n_searches.append(1) or search(*args))
    umap = ParametricUMAP(metric=metric, memory=str(tmp_path), **QUICK)
    first = umap.fit(X[:60]).embedding_
    assert runs_of(runs, lambda: umap.fit(X[:60])) == NOTHING
    assert len(n_searches) == 2
    np.testing.assert_array_equal(umap.embedding_, first)
    np.testing.assert_array_equal(umap.set_params(memory=None).fit(X[:60]).embedding_, first)


def test_given_neighbours_and_distances_share_the_graph_of_those_found(tmp_path, runs):
    umap = ParametricUMAP(memory=str(tmp_path), **QUICK).fit(X)
    knn = neighbors.nearest_neighbors(X, 15)
    assert runs_of(runs, lambda: clone(umap).set_params(precomputed_knn=knn).fit(X)) == NOTHING
    distances = cdist(X, X)
    cached = clone(umap).fit(X, precomputed_distances=distances)
    plain = ParametricUMAP(**QUICK).fit(X, precomputed_distances=distances)
    np.testing.assert_array_equal(cached.embedding_, plain.embedding_)


def test_sparse_rows_are_told_apart_by_what_they_hold(tmp_path, runs):
    umap = ParametricUMAP(memory=str(tmp_path), metric="cosine", **QUICK)
    rows = sp.csr_array(X)
    umap.fit(rows)
    for same in (rows, rows.copy(), sp.csr_array(X)):
        assert runs_of(runs, lambda same=same: umap.fit(same)) == NOTHING
    assert runs_of(runs, lambda: umap.fit(sp.csr_array(X[::-1])))["graph"] == 1


def test_without_a_memory_nothing_is_hashed(monkeypatch):
    monkeypatch.setattr("joblib.hashing.hash", lambda *args, **kwargs: pytest.fail("something was hashed"))
    ParametricUMAP(**QUICK).fit(X)


def test_what_is_no_memory_is_refused():
    with pytest.raises(
        ValueError, match="The 'memory' parameter of ParametricUMAP must be an instance of 'str', an obj"
    ):
        ParametricUMAP(memory=3).fit(X)
