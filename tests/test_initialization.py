"""Principal components as the positions that the encoder learns first."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.decomposition import PCA

from parametric_umap.initialization import initial_positions


def positions_of(rows, n_components):
    graph = sp.csr_array((rows.shape[0],) * 2)
    return initial_positions("pca", rows, graph, n_components, scale=1.0, random_state=0)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array, torch.from_numpy])
@pytest.mark.parametrize(("dtype", "unit"), [(np.float64, 1.0), (np.float32, 1e30), (np.float32, 1e-30)])
@pytest.mark.parametrize("shape", [(26, 2), (10, 33), (90, 13), (20, 1500)])
def test_they_are_those_of_scikit_learn_in_any_container_shape_and_unit(container, dtype, unit, shape):
    rng = np.random.default_rng(0)
    rows = np.where(rng.random(shape) < 0.5, 0, rng.normal(size=shape))
    rows[:, :2] = rng.normal(size=(len(rows), 2)) * np.array([6, 2]) * shape[1] ** 0.5
    expected = PCA(2, svd_solver="full").fit_transform(rows)
    found = positions_of(container((rows * unit).astype(dtype)), 2)
    assert found[:, 0].std() == pytest.approx(1, rel=1e-4)
    for ours, theirs in zip(found.T, expected.T, strict=True):
        assert abs(ours @ theirs) / np.linalg.norm(ours) / np.linalg.norm(theirs) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array, torch.from_numpy])
@pytest.mark.parametrize("shape", [(26, 5), (8, 8), (6, 1500)])
def test_there_are_as_many_as_the_rows_allow(container, shape):
    rows = np.random.default_rng(0).normal(size=shape)
    found = positions_of(container(rows), min(shape))
    assert found.shape == (shape[0], min(shape)) and np.isfinite(found).all()


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array, torch.from_numpy])
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_of_equal_rows_they_are_zero(container, value):
    np.testing.assert_allclose(positions_of(container(np.full((30, 4), value)), 2), 0, atol=1e-6)
