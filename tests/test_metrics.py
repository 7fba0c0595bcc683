import numpy as np
import pytest
from scipy.spatial.distance import cdist

from parametric_umap.metrics import knn_accuracy, neighborhood_recall


def nearest(queries, points, n_neighbors, without_own=False):
    distances = cdist(queries, points)
    if without_own:
        np.fill_diagonal(distances, np.inf)
    return np.argsort(distances, axis=1)[:, :n_neighbors]


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


def test_recall_of_five_points_on_a_line():
    """One point moves to the other end: neighbours {1}, {0}, {1}, {4}, {3} become {1}, {0}, {4}, {4}, {3}."""
    X = np.array([[0.0], [1], [2.1], [10], [11]])
    embedding = np.array([[0.0], [1], [12.3], [10], [11]])
    assert neighborhood_recall(X, embedding, n_neighbors=1) == pytest.approx(4 / 5)
    assert neighborhood_recall(X, embedding, n_neighbors=2) == pytest.approx(6 / 10)


@pytest.mark.parametrize("n_neighbors", [1, 5, 15])
def test_recall_equals_brute_force(n_neighbors):
    X = np.random.default_rng(2).normal(size=(100, 4))
    embedding = X[:, :2]
    before, after = (nearest(rows, rows, n_neighbors, without_own=True) for rows in (X, embedding))
    expected = np.mean([len(set(a) & set(b)) / n_neighbors for a, b in zip(before, after, strict=True)])
    assert 0 < expected < 1
    assert neighborhood_recall(X, embedding, n_neighbors=n_neighbors) == pytest.approx(expected)


def test_recall_of_a_rotation_is_one_and_of_all_neighbors_too():
    rng = np.random.default_rng(3)
    X, unrelated = rng.normal(size=(40, 2)), rng.normal(size=(40, 2))
    rotated = 5 * X @ np.array([[0.6, 0.8], [-0.8, 0.6]]) + 100
    assert neighborhood_recall(X, rotated) == 1
    assert neighborhood_recall(X, unrelated, n_neighbors=39) == 1
    assert neighborhood_recall(X, unrelated, n_neighbors=5) < 0.5
