"""Landmarks, rows that are added, and fits that go on."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from parametric_umap import ParametricUMAP

X, y = load_digits(return_X_y=True)
QUICK = {"n_epochs": 2, "batches_per_epoch": 10, "random_state": 0}


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_nines_are_added_and_the_others_stay(container):
    old, new = X[y != 9], X[y == 9]
    umap = ParametricUMAP(random_state=0).fit(container(old))
    before = umap.transform(container(old))
    umap.partial_fit(container(new[:120]))
    after = umap.transform(container(old))
    moved = np.linalg.norm(after - before, axis=1)
    assert moved.mean() < 0.02 * np.ptp(before, axis=0).max()
    nearest = KNeighborsClassifier(10).fit(np.vstack([after, umap.embedding_]), np.r_[y[y != 9], np.full(120, 9)])
    assert nearest.score(umap.transform(container(new[120:])), np.full(len(new) - 120, 9)) > 0.75
    assert nearest.score(after, y[y != 9]) > 0.9
    assert umap.n_samples_seen_ == len(old) + 120
    assert umap.reference_rows_.shape[0] == len(old) + 120


def test_without_a_fit_before_rows_are_fitted():
    first, second = ParametricUMAP(**QUICK).fit(X), ParametricUMAP(**QUICK).partial_fit(X)
    np.testing.assert_array_equal(first.embedding_, second.embedding_)


def test_labels_of_added_rows_are_used():
    umap = ParametricUMAP(target_metric="categorical", **QUICK).fit(X[:500], y[:500])
    umap.partial_fit(X[500:700], y[500:700])
    assert umap.embedding_.shape == (200, 2)
    heads, tails = umap.graph_[500:, 500:].nonzero()
    labels, unlabelled = y[500:700], ParametricUMAP(**QUICK).fit(X[:500]).partial_fit(X[500:700]).graph_[500:, 500:]
    kept = umap.graph_[500:, 500:][heads, tails] / unlabelled[heads, tails]
    other = labels[heads] != labels[tails]
    assert other.any() and np.median(kept[other]) < 0.1 * np.median(kept[~other])
    with pytest.raises(ValueError, match="y is None"):
        umap.partial_fit(X[500:700])
    umap.set_params(target_metric="euclidean")
    with pytest.raises(ValueError, match="rows cannot be added by target_metric='euclidean'"):
        umap.partial_fit(X[500:700], y[500:700])


def test_a_partial_fit_that_fails_leaves_the_map_as_it_was():
    umap = ParametricUMAP(**QUICK).fit(X)
    before = dict(vars(umap))
    with pytest.raises(ValueError, match="features"):
        umap.partial_fit(X[:, :9])
    umap.set_params(learning_rate=1e30)
    before["learning_rate"] = 1e30
    with pytest.raises(FloatingPointError):
        umap.partial_fit(X[:100])
    assert all(vars(umap)[name] is value for name, value in before.items())


def test_what_is_kept_of_the_rows_is_that_of_the_rows_added():
    umap = ParametricUMAP(decoder=True, output_dens=True, **QUICK).fit(X[:500])
    decoder = umap.decoder_
    umap.partial_fit(X[500:550])
    for name in ("embedding_", "init_embedding_", "rad_orig_", "rad_emb_"):
        assert len(getattr(umap, name)) == 50, name
    np.testing.assert_array_equal(umap.embedding_, umap.transform(X[500:550]))
    moved = [(new - old).abs().max() for new, old in zip(umap.decoder_.parameters(), decoder.parameters(), strict=True)]
    assert 0 < max(moved) < 0.1  # it is the same decoder, trained further, and not a new one


@pytest.mark.parametrize("loss", [None, lambda z, positions: (z - positions).norm(dim=1).mean()])
def test_landmarks_come_to_lie_where_they_should(loss):
    rng = np.random.default_rng(0)
    corners = 10 * np.array([[np.cos(t), np.sin(t)] for t in 2 * np.pi * np.arange(10) / 10])
    positions = np.full((len(X), 2), np.nan)
    chosen = rng.permutation(len(X))[:200]
    positions[chosen] = corners[y[chosen]]
    umap = ParametricUMAP(landmark_loss=loss, landmark_weight=3.0, random_state=0)
    umap.fit(X, landmark_positions=positions)
    extent = np.ptp(umap.embedding_, axis=0).max()
    away = np.linalg.norm(umap.embedding_[chosen] - positions[chosen], axis=1)
    assert np.median(away) < 0.1 * extent
    free = np.setdiff1d(np.arange(len(X)), chosen)
    nearest = np.linalg.norm(umap.embedding_[free, None] - corners, axis=2).argmin(axis=1)
    assert (nearest == y[free]).mean() > 0.85


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        (np.zeros((5, 2)), r"shape \(5, 2\); it must be \(100, 2\)"),
        (np.full((100, 2), np.nan), "at least one row"),
        (np.full((100, 2), np.inf), "landmark_positions contains infinity"),
    ],
)
def test_wrong_landmarks_are_named(positions, message):
    with pytest.raises(ValueError, match=message):
        ParametricUMAP(**QUICK).fit(X[:100], landmark_positions=positions)


def test_a_landmark_loss_gives_a_number():
    positions = np.full((100, 2), np.nan)
    positions[:10] = 0
    with pytest.raises(ValueError, match=r"landmark_loss must give a tensor of shape \(\); it gave shape \(10, 2\)"):
        ParametricUMAP(landmark_loss=lambda z, p: z - p, **QUICK).fit(X[:100], landmark_positions=positions)


def test_a_warm_start_goes_on_from_the_fit_before():
    umap = ParametricUMAP(warm_start=True, **QUICK)
    first = umap.fit(X).embedding_
    started = umap.encoder_(torch.from_numpy(X)).detach().numpy()
    umap.fit(X)
    np.testing.assert_allclose(umap.init_embedding_, started, atol=1e-3)
    assert len(umap.loss_curve_["spectral_init"]) == 0
    assert umap.loss_curve_["main_embedding"][-1] < ParametricUMAP(**QUICK).fit(X).loss_curve_["main_embedding"][-1]
    assert not np.array_equal(umap.embedding_, first)
    with pytest.raises(ValueError, match="X has 9 features, but ParametricUMAP is expecting 64"):
        umap.fit(X[:, :9])
    assert umap.n_features_in_ == 64
    umap.set_params(n_components=3)
    for learn in (umap.fit, umap.partial_fit):
        with pytest.raises(ValueError, match="one of 2 components; now there are 3"):
            learn(X)


def test_positions_and_neighbors_of_the_fit_before_are_not_those_of_added_rows():
    umap = ParametricUMAP(init=np.random.default_rng(0).normal(size=(len(X), 2)), **QUICK).fit(X)
    assert umap.partial_fit(X[:50]).embedding_.shape == (50, 2)
    umap.set_params(precomputed_knn=(np.zeros((len(X), 15), int), np.zeros((len(X), 15))))
    with pytest.raises(ValueError, match="precomputed_knn holds no neighbours of added rows; it must be None"):
        umap.partial_fit(X[:50])
