"""Targets in the graph: equal to umap-learn's, and of use on rows never seen."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_digits
from sklearn.pipeline import make_pipeline
from umap.umap_ import (
    discrete_metric_simplicial_set_intersection,
    fuzzy_simplicial_set,
    general_simplicial_set_intersection,
    reset_local_connectivity,
)

from parametric_umap import ParametricUMAP
from parametric_umap.graph import fuzzy_simplicial_set as our_simplicial_set
from parametric_umap.metrics import knn_accuracy
from parametric_umap.neighbors import nearest_neighbors
from parametric_umap.supervision import (
    categorical_intersection,
    graph_intersection,
    labels_as_codes,
    supervised_graph,
)

X, y = (array[:500] for array in load_digits(return_X_y=True))


@pytest.fixture(scope="module")
def graph():
    return our_simplicial_set(*nearest_neighbors(X, 15))


def assert_equal_graphs(ours, theirs, tolerance=1e-5):
    assert abs(ours - theirs.tocsr()).max() < tolerance
    assert abs(ours - ours.T).max() == 0


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_labels_give_the_graph_of_umap_learn(graph, weight):
    partly = np.where(np.arange(500) % 7 == 0, -1, y)
    far = 2.5 / (1 - weight) if weight < 1 else 1e12
    theirs = discrete_metric_simplicial_set_intersection(graph.copy(), partly, far_dist=far)
    assert_equal_graphs(categorical_intersection(graph, labels_as_codes(partly), weight), theirs)


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("metric", ["euclidean", "manhattan"])
def test_numbers_give_the_graph_of_umap_learn(graph, metric, weight):
    target = np.round(2**12 * (np.random.default_rng(0).normal(size=(500, 2)) + y[:, None])) / 2**12  # exact in float32
    of_targets, _, _ = fuzzy_simplicial_set(target, 10, np.random.RandomState(0), metric)
    theirs = reset_local_connectivity(general_simplicial_set_intersection(graph, of_targets, weight))
    assert_equal_graphs(graph_intersection(graph, of_targets.tocsr(), weight), theirs)
    # Both bisect the targets' kernel widths to within 1e-5, which a small weight then multiplies.
    whole = supervised_graph(graph, target, metric, n_neighbors=10, weight=weight)
    assert_equal_graphs(whole, theirs, tolerance=5e-5)


@pytest.mark.parametrize(
    ("labels", "codes"),
    [
        ([3, 5, -1, 3], [0, 1, -1, 0]),
        ([0.5, np.nan, -1.0, 0.5], [0, -1, -1, 0]),
        (["b", "a", "b", "-1"], [2, 1, 2, 0]),
        (np.array(["b", None, np.nan, -1, 7], dtype=object), [0, -1, -1, -1, 1]),
        (pd.Series(["a", "b", pd.NA, "a"], dtype="string"), [0, 1, -1, 0]),
        ([True, False, True, True], [1, 0, 1, 1]),
        (np.array([255, 0, 7, 7], dtype=np.uint8), [2, 0, 1, 1]),
    ],
)
def test_labels_of_any_type_are_numbered(labels, codes):
    np.testing.assert_array_equal(labels_as_codes(labels), codes)


def test_y_is_ignored_by_default():
    quick = dict(n_epochs=1, batches_per_epoch=2, hidden_layer_sizes=(8,), random_state=0)
    plain = ParametricUMAP(**quick).fit(X)
    np.testing.assert_array_equal(plain.embedding_, ParametricUMAP(**quick).fit_transform(X, y))
    supervised = ParametricUMAP(target_metric="categorical", **quick).fit(X, y)
    assert abs(plain.graph_ - supervised.graph_).max() > 0.1
    np.testing.assert_array_equal(
        supervised.embedding_, ParametricUMAP(target_metric="categorical", **quick).fit_transform(X, y)
    )


def test_so_many_neighbors_are_taken_among_the_targets():
    quick = dict(n_epochs=1, batches_per_epoch=2, hidden_layer_sizes=(8,), target_metric="euclidean", random_state=0)
    target = np.random.default_rng(0).normal(size=500)
    few, as_many, more = (
        ParametricUMAP(target_n_neighbors=n, **quick).fit(X, target).graph_.nnz for n in (5, None, 30)
    )
    assert few < as_many < more


def test_labels_in_a_pipeline_reach_the_graph():
    quick = dict(n_epochs=1, batches_per_epoch=2, hidden_layer_sizes=(8,), random_state=0)
    pipeline = make_pipeline(ParametricUMAP(target_metric="categorical", **quick)).fit(X, y)
    expected = ParametricUMAP(target_metric="categorical", **quick).fit(X, y)
    np.testing.assert_array_equal(pipeline[0].embedding_, expected.embedding_)


def test_mnist_with_labels_is_told_apart_better_on_rows_never_seen(mnist):
    X_train, y_train, X_test, y_test = mnist
    partly = np.where(np.arange(5000) % 2, y_train[:5000], -1)
    accuracy = {}
    for name, labels in {"none": None, "half": partly, "all": y_train[:5000]}.items():
        target_metric = None if labels is None else "categorical"
        umap = ParametricUMAP(target_metric=target_metric, random_state=0)
        umap.fit(X_train[:5000], labels)
        accuracy[name] = knn_accuracy(umap.embedding_, y_train[:5000], umap.transform(X_test), y_test)
    assert accuracy["all"] > accuracy["none"] + 0.02
    assert accuracy["half"] > accuracy["none"]


def test_a_continuous_target_is_laid_out_along_the_map():
    X, y = load_diabetes(return_X_y=True)

    def neighbors_differ_by(umap):
        near = nearest_neighbors(umap.embedding_.astype(np.float64), 6)[0][:, 1:]
        return np.abs(y[near] - y[:, None]).mean()

    plain = ParametricUMAP(random_state=0).fit(X)
    supervised = ParametricUMAP(target_metric="euclidean", target_weight=0.7, random_state=0).fit(X, y)
    assert neighbors_differ_by(supervised) < 0.8 * neighbors_differ_by(plain)


@pytest.mark.parametrize(
    ("target_metric", "target_metric_kwds", "message"),
    [
        ("categorical", {"p": 2}, "target_metric 'categorical' takes no arguments"),
        ("minkowski", {"q": 3}, r"target_metric_kwds=.*: target_metric 'minkowski' takes \['p'\]"),
        ("minkowski", {"p": 0.1}, "target_metric_kwds=.*p must be a number of at least 1"),
        ("mahalanobis", None, "target_metric_kwds must hold 'vinv' for target_metric 'mahalanobis'"),
    ],
)
def test_wrong_arguments_of_the_targets_metric_are_named(target_metric, target_metric_kwds, message):
    with pytest.raises(ValueError, match=message):
        ParametricUMAP(target_metric=target_metric, target_metric_kwds=target_metric_kwds).fit(X, y)


@pytest.mark.parametrize(
    ("target_metric", "target", "message"),
    [
        ("categorical", None, "y is None"),
        ("categorical", y[:400], "inconsistent numbers of samples"),
        ("categorical", np.c_[y, y], "1d array"),
        ("euclidean", np.where(y == 3, np.nan, y), "y contains NaN"),
        ("euclidean", y.astype(str), "target_metric='euclidean' is for numbers, but y holds text"),
        ("euclidean", y.astype(str).astype(object), "target_metric='euclidean' is for numbers, but y holds text"),
        ("unheard", y, "target_metric"),
    ],
)
def test_wrong_targets_are_named(target_metric, target, message):
    with pytest.raises(ValueError, match=message):
        ParametricUMAP(target_metric=target_metric).fit(X, target)
