import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.datasets import load_digits, load_wine

from parametric_umap import ParametricUMAP

QUICK = {"n_epochs": 2, "batches_per_epoch": 10, "random_state": 0}
X = load_wine().data
digits = load_digits().data[:300]


@pytest.mark.parametrize(
    "encoder",
    [
        None,
        "linear",
        torch.nn.Sequential(torch.nn.Linear(13, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 2)),
        torch.nn.Sequential(torch.nn.SiLU(inplace=True), torch.nn.Linear(13, 2)),
    ],
)
def test_the_jacobian_is_that_of_finite_differences(encoder):
    umap = ParametricUMAP(encoder=encoder, **QUICK).fit(X)
    deviation = X.std(axis=0)
    moves = np.diag(1e-2 * deviation)
    differences = [(umap.transform(X + move) - umap.transform(X - move)) / (2 * move.sum()) for move in moves]
    expected = np.stack(differences, axis=2)
    jacobian = umap.feature_attributions(X).jacobian
    assert jacobian.shape == (178, 2, 13)
    scale = np.abs(expected * deviation).max()
    np.testing.assert_allclose(jacobian * deviation, expected * deviation, atol=1e-2 * scale)


def test_a_linear_map_has_the_same_jacobian_everywhere():
    umap = ParametricUMAP(encoder="linear", **QUICK).fit(X)
    found = umap.feature_attributions(X)
    moved = umap.transform(X[1:]).astype(float) - umap.transform(X[:1])
    np.testing.assert_allclose(
        np.einsum("cf,nf->nc", found.jacobian[0], X[1:] - X[0]), moved, atol=1e-3 * np.abs(moved).max()
    )
    assert (found.jacobian == found.jacobian[0]).all()


def test_importances_find_the_feature_that_matters_and_have_names():
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(300, 3)) * [10, 0.1, 0.1], columns=["far", "near", "nearer"])
    found = ParametricUMAP(random_state=0, n_epochs=5, batches_per_epoch=20).fit(rows).feature_attributions(rows)
    assert list(found.feature_names) == ["far", "near", "nearer"]
    assert found.importances.shape == (3,)
    assert found.importances[0] > 5 * found.importances[1:].max()


def test_sparse_rows_have_the_attributions_of_dense_ones():
    umap = ParametricUMAP(**QUICK).fit(digits)
    dense, sparse = (umap.feature_attributions(rows) for rows in (digits, sp.csr_array(digits)))
    np.testing.assert_allclose(sparse.jacobian, dense.jacobian, atol=1e-6)
    np.testing.assert_allclose(sparse.importances, dense.importances, rtol=1e-4, atol=1e-9)
    assert list(dense.feature_names[:2]) == ["x0", "x1"]
    assert dense.importances[0] == 0  # a pixel that is always blank
