"""Every metric of pynndescent, functions, and neighbours that the user brings along."""

import functools

import numba
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from pynndescent.distances import named_distances
from pynndescent.sparse import sparse_named_distances
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.datasets import load_digits
from umap.umap_ import fuzzy_simplicial_set as graph_of_umap_learn

from parametric_umap import ParametricUMAP, neighbors
from parametric_umap.graph import fuzzy_simplicial_set
from parametric_umap.neighbors import (
    METRICS,
    SPARSE_METRICS,
    check_metric,
    drop_distant,
    find_neighbors,
    nearest_neighbors,
    row_distances,
    unique_rows,
)

BINARY = {"jaccard", "dice", "matching", "kulsinski", "rogerstanimoto", "russellrao", "sokalsneath", "sokalmichener"}
BINARY |= {"yule", "hamming"}
SIX = np.abs(np.subtract.outer(np.arange(6.0), np.arange(6.0)))
ARGUMENTS = {
    "minkowski": {"p": 3},
    "wminkowski": {"w": np.arange(1.0, 7), "p": 3},
    "weighted_minkowski": {"w": np.arange(1.0, 7)},
    "seuclidean": {"sigma": np.arange(1.0, 7)},
    "standardised_euclidean": {"sigma": np.arange(1.0, 7)},
    "mahalanobis": {"vinv": np.eye(6) + 0.1},
    "kantorovich": {"cost": SIX},
    "wasserstein": {"cost": SIX},
    "sinkhorn": {"cost": SIX},
}
QUICK = {"n_epochs": 2, "batches_per_epoch": 10, "hidden_layer_sizes": (32, 32), "random_state": 0}
digits = load_digits().data + np.random.default_rng(0).normal(scale=0.1, size=(1797, 64))  # no two distances are equal


def rows(metric, n=60):
    rng = np.random.default_rng(0)
    if metric == "haversine":
        return rng.uniform(-1.5, 1.5, size=(n, 2)).astype(np.float32)
    if metric.startswith("bit_"):
        return rng.integers(0, 256, size=(n, 6)).astype(np.float32)
    X = rng.gamma(1, size=(n, 6)).astype(np.float32)
    X[rng.uniform(size=X.shape) < 0.2] = 0
    X += 0.1 if metric == "sinkhorn" else 0  # which pynndescent takes of no zeros
    X[:, 0] += 0.1
    return (X > 0.5).astype(np.float32) if metric in BINARY else X


def own(metric, X):
    """All distances by pynndescent's function, pair by pair."""
    function, arguments = named_distances[metric], tuple(ARGUMENTS.get(metric, {}).values())
    X = X.astype(np.uint8) if metric.startswith("bit_") else X
    distances = np.array([[function(x, y, *arguments) for y in X] for x in X])
    np.fill_diagonal(distances, 0)
    return distances


def nearest(distances, n_neighbors):
    others = np.sort(np.where(np.eye(len(distances), dtype=bool), np.inf, distances), axis=1)
    return others[:, : n_neighbors - 1]


def test_the_metrics_are_those_of_pynndescent():
    assert set(METRICS) == set(named_distances)
    assert set(SPARSE_METRICS) == set(sparse_named_distances)


@pytest.mark.parametrize("metric", METRICS)
def test_each_metric_measures_what_pynndescent_does(metric):
    X = rows(metric)
    check_metric(metric, ARGUMENTS.get(metric), X.shape[1])
    indices, distances = nearest_neighbors(X, 8, metric=metric, metric_kwds=ARGUMENTS.get(metric))
    expected = own(metric, X)
    np.testing.assert_allclose(distances[:, 1:], nearest(expected, 8), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(expected, indices, axis=1), distances, rtol=1e-4, atol=1e-5)
    some = torch.tensor([3, 0, 41])
    measured = row_distances(X, metric, ARGUMENTS.get(metric))(some)
    assert measured.dtype == torch.float64
    np.testing.assert_allclose(measured, expected[some], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("metric", SPARSE_METRICS)
def test_sparse_rows_have_the_neighbors_that_they_have_when_dense(metric):
    X = rows(metric)
    arguments = None if "kantorovich" in metric or "wasserstein" in metric else ARGUMENTS.get(metric)
    some = torch.tensor([3, 0, 41])
    measured = row_distances(sp.csr_array(X), metric, arguments)(some)
    _, distances = nearest_neighbors(sp.csr_array(X), 8, metric=metric, metric_kwds=arguments)
    assert (distances[:, 0] == 0).all()
    if arguments is None and metric in ARGUMENTS:  # the sparse function has another cost than any dense one
        return
    expected = own(metric, X)
    np.testing.assert_allclose(distances[:, 1:], nearest(expected, 8), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(measured, row_distances(X, metric, arguments)(some), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("metric", ["hellinger", "braycurtis", "correlation"])
def test_the_graph_is_that_of_umap_learn(metric):
    X = np.abs(digits[:300]).astype(np.float32)
    distances = own(metric, X)
    order = distances.argsort(axis=1)[:, :10]
    found = {"knn_indices": order, "knn_dists": np.take_along_axis(distances, order, axis=1).astype(np.float32)}
    theirs, _, _ = graph_of_umap_learn(X, 10, np.random.RandomState(0), metric, **found)
    ours = fuzzy_simplicial_set(*nearest_neighbors(X, 10, metric=metric))
    assert (abs(ours - theirs) > 1e-4).nnz < 0.02 * ours.nnz  # equal distances may be ordered otherwise


# A function that other tests have pynndescent compile its search for, too.
@pytest.mark.parametrize(
    ("container", "metric", "of_scipy"),
    [(np.asarray, named_distances["manhattan"], "cityblock"), (sp.csr_array, "canberra", "canberra")],
)
def test_many_rows_are_searched_by_descent(monkeypatch, container, metric, of_scipy):
    monkeypatch.setattr(neighbors.search, "DESCENT_WORK_OF_PAIRS", 0)
    X = np.random.default_rng(0).gamma(1, size=(1000, 6)).astype(np.float32)
    _, distances = nearest_neighbors(container(X), 10, metric=metric, random_state=0)
    found = distances[:, 1:] <= nearest(cdist(X, X, of_scipy), 10)[:, -1:] * (1 + 1e-5)
    assert found.mean() > 0.95


@numba.njit
def compiled_city_block(x, y, scale=1.0):
    return scale * np.abs(x - y).sum()


def plain_city_block(x, y, scale=1.0):
    return scale * np.abs(x - y).sum()


def uncompilable_city_block(x, y, scale=1.0):
    return scale * sum(getattr(np, "abs")(x - y).tolist())  # noqa: B009


class CityBlock:
    def __call__(self, x, y, scale=1.0):
        return scale * np.abs(x - y).sum()


@pytest.mark.parametrize(
    "function",
    [compiled_city_block, plain_city_block, uncompilable_city_block, CityBlock(), functools.partial(plain_city_block)],
)
@pytest.mark.parametrize("metric_kwds", [None, {"scale": 3.0}])
def test_functions_of_two_vectors_are_metrics(function, metric_kwds):
    X = rows("euclidean")
    indices, distances = nearest_neighbors(X, 8, metric=function, metric_kwds=metric_kwds)
    expected = nearest_neighbors(X, 8, metric="manhattan")
    np.testing.assert_array_equal(indices, expected[0])
    np.testing.assert_allclose(distances, expected[1] * (metric_kwds or {"scale": 1})["scale"], rtol=1e-5)
    umap = clone(ParametricUMAP(metric=function, metric_kwds=metric_kwds, **QUICK)).fit(X)
    assert np.isfinite(umap.embedding_).all()


@pytest.mark.parametrize(
    ("metric", "metric_kwds", "container", "message"),
    [
        ("mahalanobis", None, np.asarray, "metric_kwds must hold 'vinv'"),
        ("mahalanobis", {"vinv": np.eye(3)}, np.asarray, r"must have shape \(6, 6\); got \(3, 3\)"),
        ("canberra", {"q": 1}, np.asarray, "takes no arguments"),
        ("haversine", None, np.asarray, "metric='haversine' is not for these rows"),
        ("bit_jaccard", None, np.asarray, "integers from 0 to 255"),
        ("hellinger", None, np.negative, "metric='hellinger'"),
        (plain_city_block, {"p": 1}, np.asarray, r"takes \['scale'\]"),
        (plain_city_block, None, sp.csr_array, "is not for sparse rows"),
        ("yule", None, sp.csr_array, "metric='yule' is not for sparse rows"),
        (lambda x, y: np.nan, None, np.asarray, "distances that are not numbers"),
    ],
)
def test_metrics_that_do_not_suit_the_rows_are_named(metric, metric_kwds, container, message):
    X = rows("euclidean") - (0.7 if metric == "hellinger" else 0)
    with pytest.raises(ValueError, match=message):
        ParametricUMAP(metric=metric, metric_kwds=metric_kwds, **QUICK).fit(container(X))


# ---- Neighbours brought along ----


def test_given_neighbors_make_the_same_map():
    X = digits[:300]
    searched = ParametricUMAP(**QUICK).fit(X)
    given = nearest_neighbors(X, 20)
    umap = ParametricUMAP(precomputed_knn=given, **QUICK).fit(X)
    assert abs(umap.graph_ - searched.graph_).max() < 1e-6
    without_self = (given[0][:, 1:], given[1][:, 1:])
    umap = ParametricUMAP(precomputed_knn=without_self, **QUICK).fit(X)
    assert abs(umap.graph_ - searched.graph_).max() < 1e-6
    assert clone(umap).fit(X).embedding_.shape == (300, 2)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_given_distances_make_the_same_graph(container):
    X = digits[:300]
    searched = ParametricUMAP(metric="manhattan", **QUICK).fit(X)
    D = cdist(X, X, "cityblock")
    if container is sp.csr_array:
        D = np.where(np.sort(D, axis=1)[:, 40:41] >= D, D, 0)
    umap = ParametricUMAP(**QUICK).fit(X, precomputed_distances=container(D))
    assert abs(umap.graph_ - searched.graph_).max() < 1e-5


def test_given_neighbors_are_left_as_they_are():
    indices, distances = nearest_neighbors(digits[:100], 15)
    indices[:, -1] = -1
    before = distances.copy()
    ParametricUMAP(precomputed_knn=(indices, distances), **QUICK).fit(digits[:100])
    np.testing.assert_array_equal(distances, before)


def test_rows_with_few_given_distances_are_joined_to_those_only():
    X = digits[:60]
    D = sp.lil_array((60, 60))
    for i in range(59):
        D[i, i + 1] = D[i + 1, i] = 1.0
    umap = ParametricUMAP(**QUICK).fit(X, precomputed_distances=D)
    heads, tails = umap.graph_.nonzero()
    assert set(np.abs(heads - tails)) == {1}
    assert np.isfinite(umap.embedding_).all()


@pytest.mark.parametrize(
    ("precomputed_knn", "message"),
    [
        ((np.zeros((300, 20), int),), "got 1 item"),
        ((np.zeros((300, 20), int), np.zeros((300, 19))), "two arrays of one shape"),
        ((np.zeros((299, 20), int), np.zeros((299, 20))), "300 rows"),
        ((np.full((300, 20), 300), np.zeros((300, 20))), "indices from 0 to 299"),
        ((np.zeros((300, 20), int), np.full((300, 20), -1.0)), "distances of at least 0"),
        ((np.zeros((300, 20), int), np.full((300, 20), np.nan)), "distances of at least 0"),
        ((np.tile([1, 2, 3], (300, 1)), np.ones((300, 3))), "at least 14 neighbours of each row; got 3"),
        ((np.full((300, 20), -1), np.full((300, 20), np.inf)), "no row has any"),
        ((np.ones((300, 20), int), np.ones((300, 20))), r"each neighbour of a row once; row 0 has \[1 1"),
    ],
)
def test_wrong_neighbors_are_named(precomputed_knn, message):
    with pytest.raises(ValueError, match=message):
        ParametricUMAP(precomputed_knn=precomputed_knn).fit(digits[:300])


@pytest.mark.parametrize(
    ("D", "message"),
    [
        (np.zeros((300, 299)), r"must have shape \(300, 300\)"),
        (np.full((300, 300), -1.0), "NaN or negative"),
        (np.full((300, 300), np.nan), "NaN or negative"),
        (np.full((300, 300), np.inf), "no row has any"),
        (sp.csr_array((300, 300)), "no row has any"),
    ],
)
def test_wrong_distances_are_named(D, message):
    with pytest.raises(ValueError, match=message):
        ParametricUMAP().fit(digits[:300], precomputed_distances=D)


def test_rows_with_nothing_in_common_are_not_joined():
    X = np.kron(np.eye(3), np.ones((20, 4))) * (np.random.default_rng(0).uniform(size=(60, 12)) > 0.3)
    indices, distances = drop_distant(find_neighbors(X, 40, metric="jaccard"), "jaccard").numpy()
    assert ((indices == -1) == np.isinf(distances)).all()
    assert (indices == -1).any()
    graph = fuzzy_simplicial_set(indices, distances)
    block = np.repeat(np.arange(3), 20)
    heads, tails = graph.nonzero()
    assert (block[heads] == block[tails]).all()
    assert ParametricUMAP(metric="jaccard", n_neighbors=40, **QUICK).fit(X).graph_.nnz == graph.nnz


def test_a_disconnection_distance_cuts_edges_and_may_not_cut_all():
    X = digits[:300]
    whole = ParametricUMAP(**QUICK).fit(X).graph_
    cut = ParametricUMAP(disconnection_distance=20, **QUICK).fit(X)
    heads, tails = cut.graph_.nonzero()
    assert np.linalg.norm(X[heads] - X[tails], axis=1).max() < 20
    assert cut.graph_.nnz < whole.nnz
    assert np.isfinite(cut.embedding_).all()
    with pytest.raises(ValueError, match=r"disconnection_distance=0\.1"):
        ParametricUMAP(disconnection_distance=0.1, **QUICK).fit(X)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_copies_are_fitted_once(container):
    X = np.vstack([digits[:200], digits[:50], digits[:50]])
    first, place = unique_rows(container(X))
    np.testing.assert_array_equal(first, np.arange(200))
    np.testing.assert_array_equal(place, np.r_[np.arange(200), np.arange(50), np.arange(50)])
    once = ParametricUMAP(**QUICK).fit(container(digits[:200]))
    umap = ParametricUMAP(unique=True, output_dens=True, **QUICK).fit(container(X))
    assert umap.embedding_.shape == umap.init_embedding_.shape == (300, 2)
    np.testing.assert_array_equal(umap.rad_orig_[200:250], umap.rad_orig_[:50])
    assert umap.graph_.shape == (200, 200)
    np.testing.assert_allclose(umap.embedding_[:200], once.embedding_, atol=1e-4)
    np.testing.assert_allclose(umap.embedding_[200:250], once.embedding_[:50], atol=1e-4)
    with pytest.raises(ValueError, match="unique=True changes the rows"):
        ParametricUMAP(unique=True, **QUICK).fit(container(X), precomputed_distances=np.ones((300, 300)))


def test_copies_keep_their_labels_and_have_to_have_some():
    X, y = np.vstack([digits[:60]] * 2), np.tile(load_digits().target[:60], 2)
    umap = ParametricUMAP(unique=True, target_metric="categorical", **QUICK).fit(X, y)
    once = ParametricUMAP(target_metric="categorical", **QUICK).fit(X[:60], y[:60])
    assert (umap.graph_ != once.graph_).nnz == 0
    for target, message in ((None, "y is None"), (y[:70], "inconsistent numbers of samples")):
        with pytest.raises(ValueError, match=message):
            clone(umap).fit(X, target)
    with pytest.raises(ValueError, match="unique=True needs at least two rows that differ"):
        ParametricUMAP(unique=True, **QUICK).fit(np.ones((20, 3)))
    added = ParametricUMAP(unique=True, **QUICK).fit(digits[:100]).partial_fit(np.vstack([digits[100:110]] * 3))
    assert added.embedding_.shape == added.init_embedding_.shape == (30, 2)
    assert added.graph_.shape == (110, 110)
    assert added.n_samples_seen_ == 110


def test_given_distances_are_not_those_of_the_metric():
    rows = load_digits().data[:50]
    far = 100 * cdist(rows, rows)
    by_default, by_cosine = (
        ParametricUMAP(metric=metric, **QUICK).fit(rows, precomputed_distances=far).graph_
        for metric in ("euclidean", "cosine")
    )
    assert (by_default != by_cosine).nnz == 0


@pytest.mark.parametrize("unit", [1e-30, 1e-10, 1e18, 1e30])
def test_correlation_of_sparse_rows_does_not_see_their_unit(unit):
    random = np.random.default_rng(0)
    rows = np.where(random.random((60, 4)) < 0.7, 0, random.normal(size=(60, 4)))
    rows[0] *= 1e-8
    of_one = nearest_neighbors(sp.csr_array(rows), 5, metric="correlation")[1]
    of_unit = nearest_neighbors(sp.csr_array((unit * rows).astype(np.float32)), 5, metric="correlation")[1]
    np.testing.assert_allclose(of_unit, of_one, atol=1e-5)
