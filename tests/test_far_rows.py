"""Rows that are far from all others, as broken readings are, change nothing for the others."""

import os
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from parametric_umap import ParametricUMAP
from parametric_umap.encoder import Standardize
from parametric_umap.neighbors import nearest_neighbors

X, y = load_digits(return_X_y=True)
FITTED, UNSEEN = slice(None, None, 2), slice(1, None, 2)


def accuracy(umap, X=X):
    """Of the classes of the unseen half by ten neighbours among the fitted one."""
    classifier = KNeighborsClassifier(10).fit(umap.transform(X[FITTED]), y[FITTED])
    return classifier.score(umap.transform(X[UNSEEN]), y[UNSEEN])


def fitted_beside(far, X=X, **parameters):
    stack = sp.vstack if sp.issparse(X) else np.vstack
    return ParametricUMAP(random_state=0, **parameters).fit(stack([X[FITTED], far]).astype(X.dtype))


@pytest.fixture(scope="module")
def undisturbed():
    return accuracy(ParametricUMAP(random_state=0).fit(X[FITTED]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("far", [1e4, 1e6, 1e12, 1e30])
def test_one_row_that_is_far_in_every_feature(undisturbed, far, dtype):
    umap = fitted_beside(np.full((1, 64), far), X.astype(dtype))
    assert accuracy(umap) > undisturbed - 0.02
    assert np.isfinite(umap.embedding_).all()


@pytest.mark.parametrize("far", [1e6, 1e30])
def test_a_handful_that_are_far_in_a_feature_each(undisturbed, far):
    assert accuracy(fitted_beside(far * np.eye(64)[:12])) > undisturbed - 0.02


def test_a_far_row_among_sparse_ones(undisturbed):
    umap = fitted_beside(sp.csr_array(np.full((1, 64), 1e12)), sp.csr_array(X))
    assert accuracy(umap) > undisturbed - 0.02


def test_principal_axes_beside_a_far_row(undisturbed):
    wide = np.hstack([X, X[:, ::-1], X / 2])
    alone = ParametricUMAP(random_state=0, pca_variance=0.95).fit(wide[FITTED])
    umap = fitted_beside(np.full((1, 192), 1e12), wide, pca_variance=0.95)
    assert umap.encoder_.standardize.axes.shape == alone.encoder_.standardize.axes.shape
    overlap = umap.encoder_.standardize.axes.T @ alone.encoder_.standardize.axes
    assert torch.linalg.svdvals(overlap[:8, :8])[-1] > 0.99
    assert accuracy(umap, wide) > undisturbed - 0.02


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array, torch.from_numpy])
def test_principal_components_beside_a_far_row(container):
    umap = ParametricUMAP(init="pca", n_epochs=1, batches_per_epoch=1, random_state=0)
    alone = umap.fit(container(X[FITTED])).init_embedding_
    rows = np.vstack([X[FITTED], np.full((1, 64), 1e12)])
    beside = umap.fit(container(rows)).init_embedding_[:-1]
    correlations = [abs(np.corrcoef(alone[:, i], beside[:, i])[0, 1]) for i in range(2)]
    assert min(correlations) > 0.9 and 0.5 < beside[:, 0].std() / alone[:, 0].std() < 2


def test_neighbors_beside_a_far_row():
    indices, distances = nearest_neighbors(X, 15)
    beside = nearest_neighbors(np.vstack([X, np.full((1, 64), 1e30)]), 15)
    np.testing.assert_allclose(beside[1][:-1], distances, rtol=1e-5)
    assert (beside[0][:-1] == indices).mean() > 0.99  # but for equal distances
    assert np.isfinite(beside[1]).all()


def test_a_heavy_tail_does_not_set_the_scale():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(5000, 3))
    usual = Standardize.of(rows)
    rows[:, 0] = rng.standard_cauchy(5000)  # whose standard deviation is infinite
    heavy = Standardize.of(rows)
    assert abs(heavy.mean).max() < 0.2 and 0.5 < heavy.scale / usual.scale < 3


def test_rows_are_drawn_in_on_a_line_from_the_mean_and_keep_their_order():
    standardize = Standardize(np.array([1.0, 2.0]), 2.0, limit=8.0)
    direction = torch.tensor([[1.0, -0.5]])
    lengths = torch.tensor([0.0, 1, 7, 8, 9, 100, 1e6, 1e30])[:, None]
    rows = standardize(torch.tensor([[1.0, 2.0]]) + lengths * direction)
    np.testing.assert_array_equal(rows[:4], (lengths * direction / 2)[:4])
    sizes = rows[:, 0]
    assert (sizes.diff() >= 0).all() and (sizes[3:7].diff() > 0).all() and sizes[-1] == pytest.approx(4.8)
    np.testing.assert_allclose(rows[4:, 1], -rows[4:, 0] / 2, rtol=1e-6)


def test_novelty_tells_how_far_a_far_row_is():
    umap = ParametricUMAP(random_state=0, n_epochs=2).fit(X[FITTED])
    far = umap.novelty_score(np.vstack([np.full(64, 1e4), np.full(64, 1e6)]))
    assert far[1] / far[0] == pytest.approx(100, rel=0.05)
    assert far[1] < umap.novelty_score(np.full((1, 64), 1e30)) < np.inf


def test_float32_rows_that_have_lost_their_digits_are_told():
    rows = X[:200] / X.max()
    with pytest.warns(UserWarning, match=r"keeps 7 digits, and its rows usually differ by 16 from 1e\+08"):
        ParametricUMAP(n_epochs=1, random_state=0).fit((16 * rows + 1e8).astype(np.float32))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_that_have_kept_them_are_not(dtype):
    offset = 1e3 if dtype == np.float32 else 1e8
    ParametricUMAP(n_epochs=1, random_state=0).fit((X[:200] + offset).astype(dtype))
    ParametricUMAP(n_epochs=1, random_state=0, n_neighbors=5).fit(np.full((20, 3), offset, dtype))


def test_broken_readings_among_real_ones():
    folder = Path(os.environ.get("PARAMETRIC_UMAP_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "hard.npz").exists():
        pytest.skip("the readings of eeg are not here")
    with np.load(folder / "hard.npz") as data:
        rows, classes = data["eeg_X"][::5], data["eeg_y"][::5]
    size = np.abs(rows - np.median(rows, axis=0)).max(axis=1)
    rows, classes = rows[size < 1000], classes[size < 1000]
    broken = np.full((4, rows.shape[1]), 5e5)

    def score(seed, far):
        umap = ParametricUMAP(random_state=seed).fit(np.vstack([rows[FITTED], far]).astype(rows.dtype))
        classifier = KNeighborsClassifier(10).fit(umap.transform(rows[FITTED]), classes[FITTED])
        return classifier.score(umap.transform(rows[UNSEEN]), classes[UNSEEN])

    scores = {len(far): np.mean([score(seed, far) for seed in range(3)]) for far in (broken, broken[:0])}
    assert scores[4] > scores[0] - 0.03
