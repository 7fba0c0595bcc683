import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA, TruncatedSVD

from parametric_umap.encoder import Encoder, Standardize
from parametric_umap.principal_axes import principal_axes


def wide(n=600, width=200, offset=0.0, decay=0.95):
    """Rows whose features vary less and less, in turned coordinates."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(width, width)))[0]
    return offset + (rng.normal(size=(n, width)) * decay ** np.arange(width)) @ turn


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array, sp.csr_matrix])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_axes_are_those_of_pca_and_hold_the_share(container, share, offset):
    X = wide(offset=offset)
    axes = principal_axes(container(X), X.mean(axis=0), share, 256)
    pca = PCA().fit(X)
    n_needed = 1 + int((np.cumsum(pca.explained_variance_ratio_) < share).sum())
    assert axes.dtype == np.float32
    assert n_needed <= axes.shape[1] < n_needed + 32
    np.testing.assert_allclose(axes.T @ axes, np.eye(axes.shape[1]), atol=1e-4)
    assert subspace_angles(axes[:, :5].astype(float), pca.components_[:5].T).max() < 1e-2


def test_axes_of_very_wide_rows_hold_as_much_as_those_of_pca():
    X = wide(n=300, width=1500, decay=0.98)
    axes = principal_axes(X, X.mean(axis=0), 0.9, 256)
    held = np.square((X - X.mean(axis=0)) @ axes).sum() / np.square(X - X.mean(axis=0)).sum()
    assert held > 0.89
    sparse = sp.random_array((300, 1500), density=0.02, rng=np.random.default_rng(0), format="csr")
    axes = principal_axes(sparse, sparse.mean(axis=0), 0.5, 64)
    exact = TruncatedSVD(64, algorithm="arpack", random_state=0).fit(sparse)
    assert axes.shape[1] == 64
    assert np.square(sparse @ axes).sum() > 0.9 * np.square(exact.transform(sparse)).sum()


def test_a_far_row_turns_no_axis():
    X = wide()
    X[7] = 1e6
    axes = principal_axes(X, np.median(X, axis=0), 0.9, 256)
    pca = PCA().fit(np.delete(X, 7, axis=0))
    assert subspace_angles(pca.components_[:5].T, axes.astype(float)).max() < 0.05


def test_there_are_never_more_axes_than_allowed_features_or_rows():
    isotropic = np.random.default_rng(0).normal(size=(1000, 300))
    assert principal_axes(isotropic, isotropic.mean(axis=0), 0.95, 256).shape == (300, 256)
    few = np.random.default_rng(0).normal(size=(5, 2000))
    assert principal_axes(few, few.mean(axis=0), 0.99, 256).shape[1] <= 5


@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e20])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_wide_rows_are_turned_without_changing_their_distances(container, unit):
    X = wide(offset=3.0) * unit
    standardize = Standardize.of(container(X), 0.999)
    rows = standardize(torch.from_numpy(X)).double().numpy()
    assert rows.shape == (600, standardize.width)
    assert standardize.width < 200
    assert np.square(rows).mean() == pytest.approx(1, rel=0.05)
    ratio = np.linalg.norm(rows[1:] - rows[:-1], axis=1) / np.linalg.norm(X[1:] - X[:-1], axis=1)
    np.testing.assert_allclose(ratio / ratio.mean(), 1, atol=0.01)


@pytest.mark.parametrize(("width", "share"), [(128, 0.5), (200, 1.0)])
def test_narrow_rows_and_the_whole_variance_are_not_turned(width, share):
    X = wide(width=width)
    assert Standardize.of(X, share).axes is None
    assert Standardize.of(X, share).width == width


def test_axes_travel_with_the_state_of_the_module():
    X = wide()
    encoder = Encoder(Standardize.of(X, 0.9), 2, (8,), "silu", torch.Generator().manual_seed(0))
    assert "standardize.axes" in encoder.state_dict()
    assert encoder(torch.from_numpy(X)).shape == (600, 2)
