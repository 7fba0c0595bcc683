"""Every metric against scikit-learn's, or against its definition written out; and the scorers where they are used."""

import doctest
import pickle
import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from scipy.spatial.distance import cdist, pdist, squareform
from sklearn import config_context
from sklearn import manifold as scikit_learn
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from parametric_umap import ParametricUMAP, metrics
from parametric_umap.metrics import (
    continuity,
    distance_correlation,
    knn_accuracy,
    local_trustworthiness,
    make_embedding_scorer,
    maps,
    neighborhood_recall,
    neighborhoods,
    random_triplet_accuracy,
    scorers,
    trustworthiness,
    trustworthiness_scorer,
)

rng = np.random.default_rng(0)
as_given, digit = load_digits(return_X_y=True)
digits = as_given[:700] + rng.normal(scale=0.1, size=(700, 64))  # no two distances are equal
on_plane = PCA(2, random_state=0).fit_transform(digits)
iris = load_iris().data + rng.normal(scale=0.01, size=(150, 4))
QUICK = {"n_epochs": 2, "batches_per_epoch": 20, "hidden_layer_sizes": (32,), "random_state": 0}
OF_ROWS = (trustworthiness, continuity, neighborhood_recall, random_triplet_accuracy, distance_correlation)


def nearest(queries, points, n_neighbors, without_own=False, metric="euclidean"):
    distances = cdist(queries, points, metric)
    if without_own:
        np.fill_diagonal(distances, np.inf)
    return np.argsort(distances, axis=1)[:, :n_neighbors]


# ---- Neighbourhoods ----


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine", "correlation", "manhattan", "chebyshev"])
@pytest.mark.parametrize("X", [digits, iris], ids=["digits", "iris"])
def test_trustworthiness_is_that_of_scikit_learn(X, metric):
    embedding = PCA(2).fit_transform(X)
    expected = scikit_learn.trustworthiness(X, embedding, n_neighbors=12, metric=metric)
    assert expected < 0.999
    assert trustworthiness(X, embedding, n_neighbors=12, metric=metric) == pytest.approx(expected, abs=1e-12)


def test_trustworthiness_of_given_distances_and_of_functions_is_that_of_scikit_learn():
    distances = squareform(pdist(digits, "canberra"))
    expected = scikit_learn.trustworthiness(distances, on_plane, metric="precomputed")
    assert trustworthiness(distances, on_plane, metric="precomputed") == pytest.approx(expected, abs=1e-12)
    expected = scikit_learn.trustworthiness(distances[:150, :150], on_plane[:150], metric="precomputed")
    for metric in ("canberra", lambda u, v: np.sum(np.abs(u - v) / (np.abs(u) + np.abs(v)))):
        found = trustworthiness(digits[:150], on_plane[:150], metric=metric)
        assert found == pytest.approx(expected, abs=1e-6)  # they are measured in float32
    expected = scikit_learn.trustworthiness(
        squareform(pdist(iris, "minkowski", p=3)), iris[:, :2], metric="precomputed"
    )
    found = trustworthiness(iris, iris[:, :2], metric="minkowski", metric_kwds={"p": 3})
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("container", [sp.csr_array, sp.coo_matrix, torch.from_numpy, np.ndarray.tolist])
def test_trustworthiness_takes_other_containers(container):
    embedding = torch.from_numpy(on_plane) if container is torch.from_numpy else on_plane.tolist()
    expected = scikit_learn.trustworthiness(digits, on_plane)
    assert trustworthiness(container(digits), embedding) == pytest.approx(expected, abs=1e-12)


def test_a_far_offset_changes_no_rank():
    expected = scikit_learn.trustworthiness(digits, on_plane)
    assert trustworthiness(digits + 1e6, on_plane - 1e6) == pytest.approx(expected, abs=1e-12)


def test_equal_distances_are_ranked_as_scikit_learn_ranks_them_in_the_mean_over_their_orders():
    X = np.random.default_rng(0).integers(3, size=(24, 2)).astype(float)
    embedding = np.random.default_rng(1).normal(size=(24, 2))
    distances = squareform(pdist(X))
    jitter = np.random.default_rng(2)
    orders = [
        scikit_learn.trustworthiness(
            distances + jitter.uniform(0, 1e-6, size=distances.shape), embedding, n_neighbors=4, metric="precomputed"
        )
        for _ in range(500)
    ]
    assert np.std(orders) > 0.01
    expected = pytest.approx(np.mean(orders), abs=4 * np.std(orders) / 500**0.5)
    assert trustworthiness(X, embedding, n_neighbors=4) == expected
    other_order = jitter.permutation(24)
    assert trustworthiness(X[other_order], embedding[other_order], n_neighbors=4) == expected


def test_continuity_is_trustworthiness_with_the_map_and_the_rows_exchanged():
    expected = scikit_learn.trustworthiness(on_plane, digits, n_neighbors=12)
    assert abs(expected - scikit_learn.trustworthiness(digits, on_plane, n_neighbors=12)) > 0.01
    assert continuity(digits, on_plane, n_neighbors=12) == pytest.approx(expected, abs=1e-12)


def test_continuity_by_another_metric_is_its_definition():
    n, k = len(iris), 6
    embedding = iris[:, :2]
    near = nearest(iris, iris, k, without_own=True, metric="cosine")
    ranks = nearest(embedding, embedding, n, without_own=True).argsort(axis=1) + 1
    cost = np.maximum(np.take_along_axis(ranks, near, axis=1) - k, 0).sum()
    expected = 1 - 2 * cost / (n * k * (2 * n - 3 * k - 1))
    assert continuity(iris, embedding, n_neighbors=k, metric="cosine") == pytest.approx(expected, abs=1e-12)


def test_the_worst_map_has_zero_and_a_rotated_one_has_one():
    X, embedding = np.array([[0.0], [1], [3]]), np.array([[0.0], [2.5], [1]])  # each one's nearest is its farthest
    assert trustworthiness(X, embedding, n_neighbors=1) == pytest.approx(0)
    assert continuity(embedding, X, n_neighbors=1) == pytest.approx(0)
    rotated = 5 * iris[:, :2] @ np.array([[0.6, 0.8], [-0.8, 0.6]]) + 100
    for metric in (trustworthiness, continuity):
        assert metric(iris[:, :2], rotated, n_neighbors=20) == 1


def test_local_trustworthiness_is_low_where_the_map_is_torn():
    X = np.linspace(0, 1, 200)[:, None] ** 2
    embedding = X.copy()
    embedding[:20] = X[100:120] + 1e-5  # twenty rows moved among others
    local = local_trustworthiness(X, embedding)
    assert local.shape == (200,)
    assert local[:20].max() < 0.9
    assert (local[140:] == 1).all()
    assert local.mean() == pytest.approx(scikit_learn.trustworthiness(X, embedding), abs=1e-12)


def test_the_rows_of_a_sample_are_compared_with_all_rows():
    local = local_trustworthiness(digits, on_plane)
    rows = np.random.RandomState(3).choice(700, 50, replace=False)
    sampled = trustworthiness(digits, on_plane, sample_size=50, random_state=3)
    assert sampled == pytest.approx(local[rows].mean(), abs=1e-12)
    assert abs(sampled - scikit_learn.trustworthiness(digits[rows], on_plane[rows])) > 0.01  # which a thinned map has
    assert trustworthiness(digits, on_plane, sample_size=700) == trustworthiness(digits, on_plane, sample_size=None)


@pytest.mark.parametrize("metric", OF_ROWS)
def test_samples_are_repeatable_and_their_mean_is_the_number_for_all(metric):
    samples = [metric(iris, iris[:, :2], sample_size=75, random_state=seed) for seed in range(40)]
    assert metric(iris, iris[:, :2], sample_size=75, random_state=0) == samples[0]
    assert len(set(samples)) > 30
    whole = metric(iris, iris[:, :2], random_state=0)
    assert np.mean(samples) == pytest.approx(whole, abs=0.01)
    before = np.random.get_state()[1]
    assert len({metric(iris, iris[:, :2], sample_size=75) for _ in range(5)}) > 1
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("metric", [trustworthiness, continuity, neighborhood_recall])
def test_no_more_distances_are_held_than_fit_in_a_block(monkeypatch, metric):
    in_one_block = metric(iris, iris[:, :2])
    held = []
    own = neighborhoods.row_distances

    def row_distances(*args, **kwargs):
        measure = own(*args, **kwargs)

        def noting(rows):
            held.append(len(rows))
            return measure(rows)

        return noting

    monkeypatch.setattr(neighborhoods, "row_distances", row_distances)
    monkeypatch.setattr(maps, "row_distances", row_distances)
    monkeypatch.setattr(neighborhoods, "block_bytes", lambda device: 8 * 150 * 40)
    assert metric(iris, iris[:, :2]) == pytest.approx(in_one_block, abs=1e-12)
    assert held.count(40) == 6
    assert held.count(30) == 2


def test_recall_of_five_points_on_a_line():
    """One point moves to the other end: neighbours {1}, {0}, {1}, {4}, {3} become {1}, {0}, {4}, {4}, {3}."""
    X = np.array([[0.0], [1], [2.1], [10], [11]])
    embedding = np.array([[0.0], [1], [12.3], [10], [11]])
    assert neighborhood_recall(X, embedding, n_neighbors=1) == pytest.approx(4 / 5)
    assert neighborhood_recall(X, embedding, n_neighbors=2) == pytest.approx(6 / 10)


@pytest.mark.parametrize("n_neighbors", [1, 5, 15])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_recall_equals_brute_force(n_neighbors, metric):
    X = np.random.default_rng(2).normal(size=(100, 4))
    embedding = X[:, :2]
    before = nearest(X, X, n_neighbors, without_own=True, metric=metric)
    after = nearest(embedding, embedding, n_neighbors, without_own=True)
    expected = np.mean([len(set(a) & set(b)) / n_neighbors for a, b in zip(before, after, strict=True)])
    assert 0 < expected < 1
    assert neighborhood_recall(X, embedding, n_neighbors=n_neighbors, metric=metric) == pytest.approx(expected)


def test_recall_of_a_rotation_is_one_and_of_all_neighbors_too():
    rng = np.random.default_rng(3)
    X, unrelated = rng.normal(size=(40, 2)), rng.normal(size=(40, 2))
    rotated = 5 * X @ np.array([[0.6, 0.8], [-0.8, 0.6]]) + 100
    assert neighborhood_recall(X, rotated) == 1
    assert neighborhood_recall(X, unrelated, n_neighbors=39) == 1
    assert neighborhood_recall(X, unrelated, n_neighbors=5) < 0.5


# ---- Classes ----


def majority(labels):
    """The most frequent label of every row, the smallest one of several."""
    return np.array([min(set(row), key=lambda label: (-row.count(label), label)) for row in labels.tolist()])


@pytest.mark.parametrize(("n_neighbors", "accuracy"), [(1, 4 / 6), (3, 2 / 6), (5, 0)])
def test_accuracy_of_six_points_on_a_line(n_neighbors, accuracy):
    """Every point's own vote would raise the accuracy."""
    embedding = np.array([[0.0], [1], [2.1], [10], [11], [12.1]])
    assert knn_accuracy(embedding, list("aabbba"), n_neighbors=n_neighbors) == pytest.approx(accuracy)


def test_accuracy_of_new_points_on_a_line():
    embedding, y = np.array([[0.0], [1], [10], [11], [12]]), np.array([7, 7, 9, 9, 9])
    new, y_new = np.array([[0.5], [4.9], [9], [30]]), np.array([7, 7, 7, 9])
    assert knn_accuracy(embedding, y, new, y_new, n_neighbors=2) == 3 / 4
    assert knn_accuracy(embedding, y, new, y_new, n_neighbors=5) == 1 / 4
    assert knn_accuracy(embedding, y, new[:1], y_new[:1], n_neighbors=2) == 1


@pytest.mark.parametrize("n_neighbors", [1, 4, 10])
def test_accuracy_equals_brute_force(n_neighbors):
    rng = np.random.default_rng(0)
    embedding, new = rng.normal(size=(120, 2)), rng.normal(size=(50, 2))
    y, y_new = ((rows[:, 0] > 0) * 2 + (rows[:, 1] > 0.3) for rows in (embedding, new))
    expected = (majority(y[nearest(embedding, embedding, n_neighbors, without_own=True)]) == y).mean()
    assert knn_accuracy(embedding, y, n_neighbors=n_neighbors) == pytest.approx(expected)
    expected = (majority(y[nearest(new, embedding, n_neighbors)]) == y_new).mean()
    assert knn_accuracy(embedding, y, new, y_new, n_neighbors=n_neighbors) == pytest.approx(expected)


def test_accuracy_does_not_depend_on_the_names_of_the_labels():
    rng = np.random.default_rng(1)
    embedding, y = rng.normal(size=(60, 2)), rng.integers(0, 3, size=60)
    accuracy = knn_accuracy(embedding, y)
    assert knn_accuracy(embedding, np.array(["x", "y", "z"])[y]) == accuracy
    assert knn_accuracy(embedding, 100 * y - 7) == accuracy
    assert knn_accuracy(embedding.tolist(), y.tolist()) == accuracy
    for other in (y.astype(float), y.astype(object), y[:, None], torch.from_numpy(y), pd.array(y, dtype="Int64")):
        assert knn_accuracy(embedding, other) == accuracy
    for other in (pd.Series(["x", "y", "z"]), np.array(["x", "y", "z"], dtype=object)):
        assert knn_accuracy(embedding, other[y]) == accuracy


# ---- Distances ----


def accuracy_of_all_triplets(of_rows, of_points):
    kept = [np.sign(a[:, None] - a) == np.sign(b[:, None] - b) for a, b in zip(of_rows, of_points, strict=True)]
    n = len(of_rows)
    differ = ~np.eye(n, dtype=bool)
    return np.mean(
        [same[differ & (np.arange(n) != i) & (np.arange(n) != i)[:, None]].mean() for i, same in enumerate(kept)]
    )


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "canberra"])
def test_triplet_accuracy_estimates_that_of_all_triplets(metric):
    expected = accuracy_of_all_triplets(squareform(pdist(digits[:300], metric)), squareform(pdist(on_plane[:300])))
    assert 0.6 < expected < 0.9
    accuracy = random_triplet_accuracy(digits[:300], on_plane[:300], metric=metric, random_state=0)
    assert accuracy == pytest.approx(expected, abs=0.015)  # four times the deviation of 15,000 draws


def test_triplet_accuracy_of_the_same_the_reversed_and_no_distances():
    distances = squareform(pdist(on_plane))
    assert random_triplet_accuracy(distances, on_plane, metric="precomputed") == 1
    assert random_triplet_accuracy(distances.max() - distances, on_plane, metric="precomputed") == 0
    assert random_triplet_accuracy(digits, np.zeros((700, 2)), random_state=0) == pytest.approx(0.5, abs=0.015)
    assert random_triplet_accuracy([[0.0], [1], [3]], [[0.0], [1], [3]]) == 1


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "canberra"])
def test_distance_correlation_is_that_of_all_pairs(metric):
    expected = np.corrcoef(pdist(digits, metric), pdist(on_plane))[0, 1]
    assert 0.2 < expected < 0.9
    assert distance_correlation(digits, on_plane, metric=metric) == pytest.approx(expected, abs=1e-6)
    distances = squareform(pdist(digits, metric))
    assert distance_correlation(distances, on_plane, metric="precomputed") == pytest.approx(expected, abs=1e-12)
    rows = np.sort(np.random.RandomState(0).choice(700, 100, replace=False))
    expected = np.corrcoef(pdist(digits[rows], metric), pdist(on_plane[rows]))[0, 1]
    found = distance_correlation(distances, on_plane, metric="precomputed", sample_size=100, random_state=0)
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("scale", [1e-140, 1, 1e140])
def test_distances_of_any_scale_correlate(scale):
    assert distance_correlation(scale * iris, scale * iris) == pytest.approx(1)


# ---- What is refused ----


@pytest.mark.parametrize("metric", OF_ROWS)
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"embedding": iris[:100, :2]}, "embedding must have a row for each of X; got 100 rows for 150"),
        ({"X": np.where(iris > 7, np.nan, iris)}, "X contains NaN"),
        ({"embedding": np.full((150, 2), np.inf)}, "embedding contains infinity"),
        ({"X": iris * 1e200}, "X holds ±.*; allowed are numbers up to 1e"),
        ({"X": iris[:2], "embedding": iris[:2]}, "minimum of 3"),
        ({"metric": "miles"}, "The 'metric' parameter .* must be .* Got 'miles'"),
        ({"metric": "minkowski", "metric_kwds": {"q": 3}}, "metric_kwds={'q': 3}: metric 'minkowski' takes"),
        ({"metric": "precomputed"}, r"needs a square, dense X of distances; got an array of shape \(150, 4\)"),
        (
            {"metric": "precomputed", "X": sp.eye_array(150)},
            "needs a square, dense X of distances; got a sparse matrix",
        ),
        ({"metric": "precomputed", "X": -np.ones((150, 150))}, "needs distances of at least 0; X holds -1"),
        (
            {"metric": "precomputed", "X": np.ones((150, 150)), "metric_kwds": {"p": 2}},
            "metric_kwds={'p': 2}: metric 'precomputed' takes no arguments",
        ),
        ({"metric": "haversine"}, "metric='haversine' is not for these rows"),
        ({"sample_size": 0}, "The 'sample_size' parameter"),
        ({"device": "quantum"}, "device='quantum' is not a device"),
        ({"random_state": "today"}, "The 'random_state' parameter"),
    ],
)
def test_bad_input_is_named(metric, changed, message):
    with pytest.raises(ValueError, match=message):
        metric(**{"X": iris, "embedding": iris[:, :2]} | changed)


def test_points_of_a_map_that_is_not_flat_are_compared_by_its_own_distance():
    points = np.random.default_rng(0).normal(size=(150, 2)) * 3
    first = np.sqrt(1 + np.square(points).sum(axis=1))
    apart = np.arccosh(np.maximum(np.outer(first, first) - points @ points.T, 1))
    expected = scikit_learn.trustworthiness(apart, iris, n_neighbors=9, metric="precomputed")
    assert continuity(iris, points, n_neighbors=9, output_metric="hyperboloid") == pytest.approx(expected, abs=1e-9)
    assert continuity(iris, points, n_neighbors=9) != pytest.approx(expected, abs=1e-4)

    theta, phi = points.T
    in_space = np.c_[np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)]
    for metric in (trustworthiness, neighborhood_recall):
        expected = metric(iris, in_space, n_neighbors=9)
        assert metric(iris, points, n_neighbors=9, output_metric="haversine") == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="needs an embedding of 2 columns; got 3"):
        trustworthiness(iris, in_space, output_metric="haversine")


def test_the_score_of_a_map_that_is_not_flat_is_by_its_own_distance():
    umap = ParametricUMAP(output_metric="hyperboloid", **QUICK).fit(iris)
    expected = trustworthiness(iris, umap.transform(iris), n_neighbors=15, output_metric="hyperboloid")
    assert umap.score(iris) == pytest.approx(expected, abs=1e-9)
    scorer = make_embedding_scorer(trustworthiness, n_neighbors=15)
    assert scorer(umap, iris) == pytest.approx(expected, abs=1e-9)


def test_too_many_neighbors_are_named():
    for metric in (trustworthiness, continuity, local_trustworthiness):
        with pytest.raises(ValueError, match="n_neighbors=75 must be below half the number of rows, which are 150"):
            metric(iris, iris, n_neighbors=75)
        assert np.mean(metric(iris, iris, n_neighbors=74)) == 1
    with pytest.raises(ValueError, match="n_neighbors=150 must be below the number of rows, 150"):
        neighborhood_recall(iris, iris, n_neighbors=150)
    with pytest.raises(ValueError, match="n_neighbors=150 must be at most 149, the number of rows that vote"):
        knn_accuracy(iris, np.zeros(150), n_neighbors=150)
    with pytest.raises(ValueError, match="The 'n_neighbors' parameter of trustworthiness"):
        trustworthiness(iris, iris, n_neighbors=0)


def test_labels_that_are_missing_are_named():
    with pytest.raises(ValueError, match="y must have a label for each row of embedding; got 3 for 150"):
        knn_accuracy(iris, [0, 1, 2])
    with pytest.raises(ValueError, match="y_test must have a label for each row of embedding_test; got 2 for 3"):
        knn_accuracy(iris, np.zeros(150), iris[:3], [0, 0])
    with pytest.raises(ValueError, match="embedding_test and y_test are given both or neither"):
        knn_accuracy(iris, np.zeros(150), iris[:3])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a", None, "b"], "must hold labels, all text, .*; got None among text"),
        (np.array(["a", 1, "b"], dtype=object), "must hold labels, .*; got 1 among text"),
        (("a", "b", 2.5), "must hold labels, .*; got 2.5 among text"),
        ([None] * 3, "must hold labels, .*; got None"),
        (pd.array([1, None, 2], dtype="Int64"), "must hold labels, .*; got nan|<NA>"),
        ([0.0, 1.0, 0.5], "must hold labels, .*; got 0.5"),
        ([0.0, np.nan, 1.0], "must hold labels, .*; got nan"),
        ([0.0, np.inf, 1.0], "must hold labels, .*; got inf"),
        (np.ones((3, 2)), r"must have one dimension; got the shape \(3, 2\)"),
    ],
)
def test_what_are_no_labels_is_named(y, message):
    with pytest.raises(ValueError, match=f"y {message}"):
        knn_accuracy(iris[:3], y, n_neighbors=1)
    with pytest.raises(ValueError, match=f"y_test {message}"):
        knn_accuracy(iris, np.zeros(150), iris[:3], y)


def test_nothing_correlates_with_equal_or_infinite_distances():
    with pytest.raises(ValueError, match="gives infinite distances"):
        distance_correlation(iris, iris, metric=lambda u, v: np.inf)
    with pytest.raises(ValueError, match="embedding has no two different distances"):
        distance_correlation(iris, np.zeros((150, 2)))
    with pytest.raises(ValueError, match="X has no two different distances"):
        distance_correlation(1 - np.eye(150), iris, metric="precomputed")


# ---- Scorers ----


def test_a_search_finds_the_better_map_by_each_scorer():
    grid = {"n_components": [1, 2, 5]}
    names = [name for name in metrics.__all__ if name.endswith("_scorer") and not name.startswith("make")]
    assert len(names) == 6
    scoring = {name: getattr(metrics, name) for name in names}
    search = GridSearchCV(PCA(), grid, scoring=scoring, cv=2, refit=names[0]).fit(digits, digit[:700])
    for name in names:
        assert search.cv_results_[f"rank_test_{name}"].tolist() == [3, 2, 1]


def test_a_search_over_maps_takes_a_scorer():
    grid = {"hidden_layer_sizes": [(1,), (64, 64)]}
    search = GridSearchCV(ParametricUMAP(**QUICK), grid, scoring=trustworthiness_scorer, cv=2).fit(digits)
    assert search.best_params_ == {"hidden_layer_sizes": (64, 64)}
    Z = search.best_estimator_.transform(digits)
    assert search.score(digits) == pytest.approx(scikit_learn.trustworthiness(digits, Z), abs=1e-12)


def test_a_map_is_scored_by_its_own_metric_unless_another_is_asked_for():
    umap = ParametricUMAP(metric="minkowski", metric_kwds={"p": 1}, **QUICK).fit(iris)
    Z = umap.transform(iris)
    by = {name: scikit_learn.trustworthiness(iris, Z, metric=name) for name in ("manhattan", "euclidean", "cosine")}
    assert len(set(by.values())) == 3
    assert trustworthiness_scorer(umap, iris) == pytest.approx(by["manhattan"], abs=1e-12)
    for metric in ("euclidean", "cosine"):
        given, bound = (
            make_embedding_scorer(trustworthiness, metric=metric),
            make_embedding_scorer(partial(trustworthiness, metric=metric)),
        )
        found = [given(umap, iris), bound(umap, iris), trustworthiness_scorer(umap, iris, metric=metric)]
        assert found == pytest.approx([by[metric]] * 3, abs=1e-12)


def test_in_a_pipeline_the_rows_are_those_that_the_map_is_made_of():
    rows = iris * [1, 1, 1, 1000]
    pipeline = make_pipeline(StandardScaler(), make_pipeline(ParametricUMAP(**QUICK))).fit(rows)
    Z, scaled = pipeline.transform(rows), StandardScaler().fit_transform(rows)
    expected = scikit_learn.trustworthiness(scaled, Z)
    assert abs(expected - scikit_learn.trustworthiness(rows, Z)) > 1e-3
    assert trustworthiness_scorer(pipeline, rows) == pytest.approx(expected, abs=1e-12)
    framed = pipeline.set_output(transform="pandas").fit(rows)
    assert trustworthiness_scorer(framed, rows) == pytest.approx(expected, abs=1e-12)


def test_of_a_search_the_map_is_scored_that_it_found():
    umap = ParametricUMAP(metric="cosine", output_metric="hyperboloid", **QUICK, init="random")
    of_pipelines = GridSearchCV(make_pipeline(StandardScaler(), umap), {"parametricumap__spread": [1.0]}, cv=2)
    in_a_pipeline = make_pipeline(StandardScaler(), GridSearchCV(umap, {"spread": [1.0]}, cv=2))
    for searched in (of_pipelines, in_a_pipeline):
        Z, scaled = searched.fit(iris).transform(iris), StandardScaler().fit_transform(iris)
        expected = trustworthiness(scaled, Z, metric="cosine", output_metric="hyperboloid")
        assert trustworthiness_scorer(searched, iris) == pytest.approx(expected, abs=1e-12)


def test_scorers_are_taken_wherever_scoring_is():
    y = load_iris().target
    expected = [
        knn_accuracy(PCA(2).fit(iris[train]).transform(iris[test]), y[test])
        for train, test in ((range(75, 150), range(75)), (range(75), range(75, 150)))
    ]
    splits = [(np.arange(75, 150), np.arange(75)), (np.arange(75), np.arange(75, 150))]
    scores = cross_val_score(PCA(2), iris, y, scoring=metrics.knn_accuracy_scorer, cv=splits)
    np.testing.assert_allclose(scores, expected)
    with config_context(enable_metadata_routing=True):
        both = {"knn": metrics.knn_accuracy_scorer, "trust": pickle.loads(pickle.dumps(trustworthiness_scorer))}
        scores = cross_validate(PCA(2), iris, y, scoring=both, cv=splits)
    np.testing.assert_allclose(scores["test_knn"], expected)
    assert scores["test_trust"].min() > 0.9


def test_a_monitor_takes_a_bare_scorer():
    callback = pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")
    monitor = callback.ScoringMonitor(scoring=metrics.distance_correlation_scorer)
    StandardScaler().set_callbacks(monitor).fit(iris, np.zeros(150))
    scores = [row["score"] for row in monitor.get_logs("most_recent").data if "score" in row]
    expected = distance_correlation(iris, StandardScaler().fit_transform(iris))
    assert scores
    np.testing.assert_allclose(scores, expected)


def test_scorers_say_what_they_need():
    with pytest.raises(ValueError, match=r"make_embedding_scorer\(knn_accuracy\) needs y; got None"):
        metrics.knn_accuracy_scorer(PCA(2).fit(iris), iris)
    pipeline = make_pipeline(StandardScaler(), ParametricUMAP(**QUICK), "passthrough")
    with pytest.raises(TypeError, match=r"random_state=0\) needs an estimator that maps rows, .* got passthrough"):
        trustworthiness_scorer(pipeline.fit(iris), iris)


def test_a_function_without_a_name_makes_a_scorer():
    class Recall:
        def __call__(self, X, embedding):
            return neighborhood_recall(X, embedding, n_neighbors=7)

        def __repr__(self):
            return "Recall()"

    pca = PCA(2).fit(iris)
    expected = neighborhood_recall(iris, pca.transform(iris), n_neighbors=7)
    of_partial = make_embedding_scorer(partial(neighborhood_recall, n_neighbors=7), random_state=0)
    of_object = make_embedding_scorer(Recall())
    assert of_partial(pca, iris) == of_object(pca, iris) == expected
    assert make_embedding_scorer(partial(neighborhood_recall, n_neighbors=3), n_neighbors=7)(pca, iris) == expected
    assert "neighborhood_recall" in repr(of_partial)
    assert repr(of_object) == "make_embedding_scorer(Recall())"


@pytest.mark.parametrize("score_func", [None, 3, "trustworthiness"])
def test_what_is_no_function_makes_no_scorer(score_func):
    with pytest.raises(TypeError, match=f"score_func must be a function .*; got {score_func!r}"):
        make_embedding_scorer(score_func)


def test_the_example_runs():
    results = doctest.testmod(scorers)
    assert results.attempted > 3
    assert results.failed == 0


# ---- Elsewhere ----


def test_importing_the_metrics_brings_nothing_heavy_along():
    heavy = "{'numba', 'pynndescent', 'matplotlib', 'umap'}"
    code = f"import sys, parametric_umap.metrics; print({heavy} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert run.stdout == "set()\n"


@pytest.mark.cuda
@pytest.mark.parametrize("metric", OF_ROWS)
@pytest.mark.parametrize("by", ["euclidean", "cosine", "manhattan", "canberra"])
def test_a_gpu_finds_the_same(metric, by):
    on_cpu, on_gpu = (
        metric(digits, on_plane, metric=by, sample_size=300, random_state=0, device=device)
        for device in ("cpu", "cuda")
    )
    assert on_gpu == pytest.approx(on_cpu, abs=1e-9)
    cuda = torch.from_numpy(digits).cuda(), torch.from_numpy(on_plane).cuda()
    assert metric(*cuda, metric=by, sample_size=300, random_state=0) == pytest.approx(on_cpu, abs=1e-9)
