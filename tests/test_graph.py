from functools import cache

import numpy as np
import pytest
import scipy.sparse as sp
import umap.umap_
from sklearn.datasets import load_digits, load_iris

from parametric_umap.graph import fuzzy_simplicial_set, membership_strengths, smooth_knn_dist
from parametric_umap.neighbors import nearest_neighbors

RNG = np.random.default_rng(0)
DATA = {
    "digits": load_digits().data[:200],
    "iris": load_iris().data,  # has equal rows
    "duplicates": np.repeat(RNG.normal(size=(40, 5)), RNG.integers(1, 12, size=40), axis=0),
    "more duplicates than neighbors": np.vstack(
        [np.repeat(RNG.normal(size=(2, 5)), 40, axis=0), RNG.normal(size=(80, 5))]
    ),
    "heavy tails": RNG.standard_t(1, size=(200, 5)),
}


@cache
def neighbors_of(name, n_neighbors):
    return nearest_neighbors(DATA[name], n_neighbors)


def umap_learn_graph(indices, distances, **parameters):
    graph, _, _ = umap.umap_.fuzzy_simplicial_set(
        indices, indices.shape[1], None, "euclidean", knn_indices=indices, knn_dists=distances, **parameters
    )
    return graph


def largest_difference(graph, other):
    return abs(graph - sp.csr_array(other)).max()


@pytest.mark.parametrize("local_connectivity", [1.0, 1.5, 2.0, 3.7])
@pytest.mark.parametrize("set_op_mix_ratio", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("n_neighbors", [2, 5, 15, 30])
@pytest.mark.parametrize("name", DATA)
def test_graph_equals_umap_learn(name, n_neighbors, set_op_mix_ratio, local_connectivity):
    indices, distances = neighbors_of(name, n_neighbors)
    parameters = {"local_connectivity": local_connectivity, "set_op_mix_ratio": set_op_mix_ratio}
    graph = fuzzy_simplicial_set(indices, distances, **parameters)
    assert largest_difference(graph, umap_learn_graph(indices, distances, **parameters)) < 1e-5


@pytest.mark.parametrize("local_connectivity", [0.0, 0.4])
@pytest.mark.parametrize("n_neighbors", [2, 5, 15])
def test_graph_equals_umap_learn_where_local_connectivity_is_below_one(n_neighbors, local_connectivity):
    indices, distances = neighbors_of("digits", n_neighbors)
    graph = fuzzy_simplicial_set(indices, distances, local_connectivity=local_connectivity)
    expected = umap_learn_graph(indices, distances, local_connectivity=local_connectivity)
    assert largest_difference(graph, expected) < 1e-5


@pytest.mark.parametrize("unit", [1e-6, 1e6])
@pytest.mark.parametrize("n_neighbors", [5, 15])
@pytest.mark.parametrize("name", DATA)
def test_graph_equals_umap_learn_in_other_units(name, n_neighbors, unit):
    indices, distances = neighbors_of(name, n_neighbors)
    distances = (distances * unit).astype(np.float32)
    graph = fuzzy_simplicial_set(indices, distances)
    assert largest_difference(graph, umap_learn_graph(indices, distances)) < 1e-5


@pytest.mark.parametrize("unit", [2.0**-90, 2.0**90])
@pytest.mark.parametrize("name", DATA)
def test_graph_does_not_depend_on_units_that_umap_learn_cannot_reach(name, unit):
    indices, distances = neighbors_of(name, 15)
    graph = fuzzy_simplicial_set(indices, distances)
    assert largest_difference(graph, fuzzy_simplicial_set(indices, (distances * unit).astype(np.float32))) == 0


@pytest.mark.parametrize("set_op_mix_ratio", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", DATA)
def test_graph_is_symmetric_float32_csr_with_weights_up_to_one_and_no_diagonal(name, set_op_mix_ratio):
    indices, distances = neighbors_of(name, 15)
    graph = fuzzy_simplicial_set(indices, distances, set_op_mix_ratio=set_op_mix_ratio)
    n = len(DATA[name])
    assert isinstance(graph, sp.csr_array)
    assert graph.dtype == np.float32
    assert graph.shape == (n, n)
    assert graph.has_canonical_format
    assert abs(graph - graph.T).max() == 0
    assert (graph.diagonal() == 0).all()
    assert (graph.data > 0).all()
    assert (graph.data <= 1).all()
    rows, columns = graph.nonzero()
    neighbors = np.zeros((n, n), dtype=bool)
    np.put_along_axis(neighbors, indices.astype(int), True, axis=1)
    joined = neighbors & neighbors.T if set_op_mix_ratio == 0 else neighbors | neighbors.T
    assert joined[rows, columns].all()


def test_graph_of_equal_rows_joins_all_neighbors_fully():
    indices, distances = nearest_neighbors(np.ones((30, 3)), 6)
    graph = fuzzy_simplicial_set(indices, distances)
    assert graph.nnz > 0
    assert (graph.data == 1).all()
    assert largest_difference(graph, umap_learn_graph(indices, distances)) == 0


@pytest.mark.parametrize("local_connectivity", [1.0, 1.5, 2.0, 3.7])
@pytest.mark.parametrize("n_neighbors", [5, 15, 30])
@pytest.mark.parametrize("name", DATA)
def test_kernel_widths_and_local_distances_equal_umap_learn(name, n_neighbors, local_connectivity):
    _, distances = neighbors_of(name, n_neighbors)
    sigmas, rhos = smooth_knn_dist(distances, local_connectivity=local_connectivity)
    expected = umap.umap_.smooth_knn_dist(distances, float(n_neighbors), local_connectivity=local_connectivity)
    np.testing.assert_allclose(sigmas, expected[0], rtol=1e-4)
    np.testing.assert_allclose(rhos, expected[1], rtol=1e-6)


@pytest.mark.parametrize("bandwidth", [0.5, 1.0, 1.6])
@pytest.mark.parametrize("n_neighbors", [5, 15, 30])
@pytest.mark.parametrize("name", ["digits", "heavy tails"])
def test_memberships_of_a_row_sum_to_log2_of_n_neighbors(name, n_neighbors, bandwidth):
    _, distances = neighbors_of(name, n_neighbors)
    sigmas, rhos = smooth_knn_dist(distances, bandwidth=bandwidth)
    excess = np.maximum(distances[:, 1:].astype(np.float64) - rhos[:, None], 0)
    memberships = np.exp(-excess / sigmas[:, None]).sum(axis=1)
    floored = np.isclose(sigmas, 1e-3 * distances.mean(axis=1, dtype=np.float64), rtol=1e-6)
    assert floored.mean() < 0.05
    np.testing.assert_allclose(memberships[~floored], np.log2(n_neighbors) * bandwidth, atol=1e-5)


def test_kernel_widths_where_the_sum_is_out_of_reach_are_the_floor():
    distances = np.array([[0, 0, 0, 0, 0, 3.0], [0, 1, 1, 1, 1, 1]])
    sigmas, rhos = smooth_knn_dist(distances)
    np.testing.assert_allclose(rhos, [3, 1])
    np.testing.assert_allclose(sigmas, 1e-3 * distances.mean(axis=1))


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_missing_neighbours_leave_the_edges_of_the_first_row_alone(ratio):
    """Many rows lack neighbours: whatever stands for none must not meet the edges of row 0."""
    rng = np.random.default_rng(0)
    indices, distances = nearest_neighbors(rng.normal(size=(60, 2)).astype(np.float32), 8)
    missing = rng.uniform(size=indices.shape) < 0.5
    missing[:, 0] = False
    distances = np.where(missing, np.inf, distances)
    order = np.argsort(distances, axis=1, kind="stable")
    distances = np.take_along_axis(distances, order, axis=1)
    indices = np.where(np.isinf(distances), -1, np.take_along_axis(indices, order, axis=1))
    graph = fuzzy_simplicial_set(indices, distances, set_op_mix_ratio=ratio)
    directed = np.zeros((60, 60))
    rows, columns = np.nonzero(indices >= 0)
    memberships = membership_strengths(indices, distances, *smooth_knn_dist(distances))
    directed[rows, indices[rows, columns]] = memberships[rows, columns]
    product = directed * directed.T
    expected = ratio * (directed + directed.T - product) + (1 - ratio) * product
    np.testing.assert_allclose(graph.toarray(), expected, atol=1e-6)
    assert graph.nnz == (expected > 0).sum()
