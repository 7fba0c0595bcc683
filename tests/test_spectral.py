from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.linalg import subspace_angles
from scipy.sparse.csgraph import connected_components
from sklearn.manifold import SpectralEmbedding
from sklearn.neighbors import KNeighborsClassifier, kneighbors_graph

from parametric_umap.graph import Graph
from parametric_umap.spectral import components, eigenmap, laplacian_eigenmap, spectral_layout
from parametric_umap.spectral import standardize as standardize_tensor


def standardize(positions):
    return standardize_tensor(torch.from_numpy(positions)).numpy()


def weighted_graph(X, n_neighbors=10):
    """A symmetric nearest-neighbour graph with weights in (0, 1]."""
    distances = kneighbors_graph(X, n_neighbors, mode="distance")
    distances.data = np.exp(-((distances.data / distances.data.mean()) ** 2))
    return sp.csr_array(distances.maximum(distances.T))


def rectangle(n):
    """Rows in a rectangle whose graph has well separated eigenvalues."""
    return np.random.default_rng(0).uniform(size=(n, 2)) * [3, 1.3]


def layout_of(graph, n_components, X=None, seed=0):
    return spectral_layout(X, graph, n_components, np.random.RandomState(seed))


def scikit_learn_layout(graph, n_components):
    embedding = SpectralEmbedding(n_components, affinity="precomputed", random_state=0)
    return standardize(embedding.fit_transform(sp.csr_matrix(graph)))


def assert_same_up_to_sign(layout, expected, correlation=0.9999):
    for column, expected_column in zip(layout.T, expected.T, strict=True):
        assert abs(np.corrcoef(column, expected_column)[0, 1]) > correlation


@pytest.fixture
def parts():
    """Three components of different sizes and shapes, far from each other, and the component of every row."""
    rng = np.random.default_rng(1)
    sizes, centres = [60, 90, 320], np.array([[0, 0, 0], [100, 0, 0], [40, 90, 0]])
    part = np.repeat([0, 1, 2], sizes)
    order = rng.permutation(len(part))
    X = np.vstack(
        [rng.uniform(size=(size, 3)) * [8, 3, 1] + centre for size, centre in zip(sizes, centres, strict=True)]
    )
    return X[order], part[order]


@pytest.mark.parametrize("n_components", [1, 2, 3])
@pytest.mark.parametrize("n", [20, 120, 700])
def test_layout_of_a_connected_graph_equals_scikit_learn_up_to_sign_and_scale(n, n_components):
    graph = weighted_graph(rectangle(n))
    assert connected_components(graph)[0] == 1
    layout = layout_of(graph, n_components)
    expected = scikit_learn_layout(graph, n_components)
    assert layout.shape == (n, n_components)
    assert subspace_angles(layout, expected).max() < 1e-3
    assert_same_up_to_sign(layout, expected)


@pytest.mark.parametrize("n", [1000, 12000])
def test_layout_of_a_long_curve_equals_scikit_learn(n):
    """The leading eigenvalues of a curve lie close together: less than 1e-6 apart for the longer one."""
    graph = sp.csr_array(sp.diags_array([np.ones(n - j) for j in range(1, 6)], offsets=range(1, 6), shape=(n, n)))
    graph = sp.csr_array(graph + graph.T)
    layout, expected = layout_of(graph, 2), scikit_learn_layout(graph, 2)
    assert subspace_angles(layout, expected).max() < 1e-2
    assert_same_up_to_sign(layout, expected)


@pytest.mark.parametrize("n", [100, 500])
@pytest.mark.parametrize("weight", [1e-4, 1e-9, 1e-20])
def test_two_halves_that_barely_connect_are_told_apart(n, weight):
    graph = sp.block_diag([weighted_graph(rectangle(n)), weighted_graph(rectangle(n + 20))]).tolil()
    graph[0, -1] = graph[-1, 0] = weight
    layout = layout_of(sp.csr_array(graph), 2)
    half = np.repeat([0, 1], [n, n + 20])
    assert np.isfinite(layout).all()
    assert abs(np.corrcoef(layout[:, 0], half)[0, 1]) > 0.999


@pytest.mark.parametrize("n", [120, 700])
def test_columns_have_mean_zero_and_deviation_one(n, parts):
    X, _ = parts
    for layout in (layout_of(weighted_graph(rectangle(n)), 3), layout_of(weighted_graph(X), 3, X)):
        np.testing.assert_allclose(layout.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(layout.std(axis=0), 1)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array, sp.csr_matrix])
def test_each_component_is_laid_out_as_scikit_learn_does(parts, container):
    X, part = parts
    graph = weighted_graph(X)
    assert connected_components(graph)[0] == 3
    layout = layout_of(graph, 2, container(X))
    for i in range(3):
        nodes = np.flatnonzero(part == i)
        expected = scikit_learn_layout(graph[nodes][:, nodes], 2)
        assert subspace_angles(layout[nodes] - layout[nodes].mean(axis=0), expected).max() < 1e-3
        assert_same_up_to_sign(layout[nodes], expected)


@pytest.mark.parametrize("n_components", [2, 3])
def test_components_of_well_separated_clusters_hardly_mix(n_components):
    rng = np.random.default_rng(2)
    part = rng.integers(0, 5, size=500)
    X = rng.normal(size=(500, 4)) + 60 * rng.normal(size=(5, 4))[part]
    graph = weighted_graph(X)
    assert connected_components(graph)[0] == 5
    layout = layout_of(graph, n_components, X)
    others = KNeighborsClassifier(10).fit(layout, part).kneighbors(return_distance=False)
    assert (part[others] == part[:, None]).mean() > 0.98


def test_components_lie_around_the_principal_components_of_their_mean_rows(parts):
    X, part = parts
    layout = layout_of(weighted_graph(X), 2, X)
    means, centres = (np.array([rows[part == i].mean(axis=0) for i in range(3)]) for rows in (X, layout))
    centred = means - means.mean(axis=0)
    assert_same_up_to_sign(centres, centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T, correlation=0.98)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_five_hundred_components_of_three_nodes(container):
    rng = np.random.default_rng(3)
    X = np.repeat(1000 * rng.normal(size=(500, 4)), 3, axis=0) + rng.normal(size=(1500, 4))
    graph = sp.csr_array(sp.block_diag([np.ones((3, 3)) - np.eye(3)] * 500))
    layout = layout_of(graph, 2, container(X))
    assert np.isfinite(layout).all()
    np.testing.assert_allclose(layout.std(axis=0), 1)
    triples = layout.reshape(500, 3, 2)
    assert (np.ptp(triples, axis=1).max(axis=1) > 0).all()
    assert np.median(np.ptp(triples, axis=1)) < 0.2


def test_components_of_one_and_two_nodes():
    rng = np.random.default_rng(4)
    blocks = [np.zeros((1, 1)), 1 - np.eye(2), 1 - np.eye(2), np.zeros((1, 1)), weighted_graph(rectangle(40))]
    graph = sp.csr_array(sp.block_diag(blocks))
    X = np.repeat(10 * rng.normal(size=(5, 3)), [1, 2, 2, 1, 40], axis=0) + 0.1 * rng.normal(size=(46, 3))
    assert np.isfinite(layout_of(graph, 2, 1e6 * X)).all()  # whatever the way to the next component
    layout = layout_of(graph, 2, X)
    assert np.isfinite(layout).all()
    assert len(np.unique(layout.round(9), axis=0)) == 46


def test_a_graph_without_edges_is_laid_out_by_its_rows():
    X = np.random.default_rng(5).normal(size=(12, 2)) * [3, 1]
    layout = layout_of(sp.csr_array((12, 12)), 2, X)
    centred = X - X.mean(axis=0)
    assert_same_up_to_sign(layout, centred @ np.linalg.svd(centred, full_matrices=False)[2].T)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("n_components", [1, 2, 3])
def test_components_of_one_feature_are_laid_out_along_a_line(n_components, container):
    rng = np.random.default_rng(6)
    part = np.repeat([0, 1, 2, 3], 25)
    X = (10 * part + rng.uniform(size=100))[:, None]
    layout = layout_of(weighted_graph(X, 5), n_components, container(X))
    assert np.isfinite(layout).all()
    means = np.array([layout[part == i, 0].mean() for i in range(4)])
    assert (np.diff(means) > 0).all() or (np.diff(means) < 0).all()


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_components_whose_rows_have_the_same_mean_are_laid_out(container):
    """Two circles around the same centre, each row beside its opposite."""
    angle = np.linspace(0, np.pi, 50, endpoint=False)
    half = np.column_stack([np.cos(angle), np.sin(angle)])
    circle = np.stack([half, -half], axis=1).reshape(100, 2)
    X = np.vstack([circle, 20 * circle])
    graph = weighted_graph(X, 4)
    assert connected_components(graph)[0] == 2
    layout = layout_of(graph, 2, container(X))
    assert np.isfinite(layout).all()
    np.testing.assert_allclose(layout.std(axis=0), 1)


@pytest.mark.parametrize("name", ["connected", "components"])
def test_layout_falls_back_where_arpack_does_not_converge(monkeypatch, parts, name):
    X = rectangle(700) if name == "connected" else parts[0]
    nodes = np.arange(700) if name == "connected" else np.flatnonzero(parts[1] == 2)
    graph = weighted_graph(X)
    calls = []

    def not_converging(*args, **kwargs):
        calls.append(1)
        raise eigenmap.ArpackNoConvergence("no convergence", np.empty(0), np.empty((len(X), 0)))

    monkeypatch.setattr(eigenmap, "eigsh", not_converging)
    layout = layout_of(graph, 2, X)[nodes]
    monkeypatch.undo()
    assert calls
    expected = scikit_learn_layout(graph[nodes][:, nodes], 2)
    assert subspace_angles(layout - layout.mean(axis=0), expected).max() < 0.1


@pytest.mark.parametrize("n", [120, 700])
def test_layout_is_the_same_for_the_same_seed(n):
    graph = weighted_graph(rectangle(n))
    assert (layout_of(graph, 2, seed=3) == layout_of(graph, 2, seed=3)).all()


@pytest.mark.parametrize("n", [120, 700])
def test_layout_leaves_the_global_random_state_alone(n, parts):
    state = np.random.get_state()[1].copy()
    layout_of(weighted_graph(rectangle(n)), 2)
    layout_of(weighted_graph(parts[0]), 2, parts[0])
    assert (np.random.get_state()[1] == state).all()


@pytest.mark.parametrize("n", [2, 3, 5])
def test_more_components_than_a_graph_can_tell_are_zero(n):
    rng = np.random.default_rng(7)
    weights = np.triu(rng.uniform(0.1, 1, size=(n, n)), 1)
    graph = sp.csr_array(weights + weights.T)
    layout = layout_of(graph, n + 3)
    assert (layout[:, n - 1 :] == 0).all()
    np.testing.assert_allclose(layout[:, : n - 1].std(axis=0), 1)
    assert np.linalg.matrix_rank(layout) == n - 1


@pytest.mark.parametrize("n", [2, 9, 350])
def test_eigenmap_solves_the_generalized_eigenproblem(n):
    """The rising eigenvalues of L v = w D v, constant vector left out."""
    graph = weighted_graph(rectangle(n), min(10, n - 1)).astype(np.float32)
    n_components = min(3, n - 1)
    coordinates = laplacian_eigenmap(graph, n_components, np.random.RandomState(0))
    dense = graph.toarray().astype(np.float64)
    degree = dense.sum(axis=1)
    laplacian = np.diag(degree) - dense
    values = (coordinates * (laplacian @ coordinates)).sum(axis=0) / (degree @ coordinates**2)
    expected = np.linalg.eigvalsh(laplacian / np.sqrt(degree[:, None] * degree))[1 : n_components + 1]
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    np.testing.assert_allclose(laplacian @ coordinates, degree[:, None] * coordinates * values, atol=1e-5)
    np.testing.assert_allclose(degree @ coordinates, 0, atol=1e-4)


def test_eigenmap_of_one_node_is_zero():
    assert (laplacian_eigenmap(sp.csr_array((1, 1)), 3, np.random.RandomState(0)) == np.zeros((1, 3))).all()


def test_standardize_shifts_and_scales_each_coordinate_whatever_the_others_unit():
    positions = np.random.default_rng(8).normal(size=(50, 3)) * [1, 1e20, 1e-20] + [5, 0, 0]
    expected = (positions - positions.mean(axis=0)) / positions.std(axis=0)
    np.testing.assert_allclose(standardize(positions), expected, atol=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e12 / 3, 1e-300])
def test_standardize_turns_a_constant_coordinate_into_zero(value):
    positions = np.column_stack([np.full(7, value), np.arange(7)])
    standardized = standardize(positions)
    assert (standardized[:, 0] == 0).all()
    np.testing.assert_allclose(standardized[:, 1], np.arange(-3, 4) / 2)


def filtered(graph, n_components, device="cpu"):
    """The layout by the iteration that a GPU makes, run on any device."""
    graph = Graph.of(graph, device)
    root_degree = eigenmap._sums_of_rows(graph.weights.double(), graph.starts).sqrt()
    walk = eigenmap._normalized(graph, root_degree)
    start = torch.from_numpy(np.random.default_rng(0).normal(size=(len(graph), n_components + 9))).to(device)
    vectors = eigenmap.filtered_iteration(walk, n_components + 1, start)
    return None if vectors is None else standardize((vectors[:, 1:] / root_degree[:, None]).cpu().numpy())


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
@pytest.mark.parametrize("n_components", [1, 2, 3])
def test_filtered_iteration_equals_scikit_learn(n_components, device):
    graph = weighted_graph(rectangle(1500))
    layout, expected = filtered(graph, n_components, device), scikit_learn_layout(graph, n_components)
    assert subspace_angles(layout, expected).max() < 1e-3
    assert_same_up_to_sign(layout, expected)


def test_filtered_iteration_gives_up_on_a_long_curve():
    n = 12000
    graph = sp.csr_array(sp.diags_array([np.ones(n - j) for j in range(1, 6)], offsets=range(1, 6), shape=(n, n)))
    assert filtered(sp.csr_array(graph + graph.T), 2) is None


@pytest.mark.cuda
@pytest.mark.parametrize("n", [700, 5000])
def test_layout_on_a_gpu_equals_scikit_learn(n):
    graph = weighted_graph(rectangle(n))
    layout = spectral_layout(None, graph, 2, np.random.RandomState(0), torch.device("cuda"))
    assert_same_up_to_sign(layout, scikit_learn_layout(graph, 2))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
@pytest.mark.parametrize("n_edges", [0, 10, 300, 700, 3000])
def test_components_by_pointer_jumping_are_those_of_scipy(n_edges, device):
    """The search of a device, on graphs of many, some and few components, and on a path, where pointers go far."""
    rng = np.random.default_rng(n_edges)
    path = np.stack([rng.permutation(200)[:-1], rng.permutation(200)[1:]])
    for heads, tails in (rng.integers(1000, size=(2, n_edges)), 800 + path):
        graph = sp.csr_array((np.ones(len(heads)), (heads, tails)), shape=(1000, 1000))
        graph = sp.csr_array(graph + graph.T)
        _, expected = connected_components(graph, directed=False)
        _, first = np.unique(expected, return_index=True)
        np.testing.assert_array_equal(components.first_nodes(Graph.of(graph, device)).cpu(), first[expected])


@pytest.mark.parametrize("product_bytes", [1, 2**30])
def test_the_product_of_a_device_is_that_of_scipy(monkeypatch, product_bytes):
    monkeypatch.setattr(eigenmap, "PRODUCT_BYTES", product_bytes)
    graph = sp.csr_array(sp.block_diag([weighted_graph(rectangle(300)), sp.csr_array((5, 5))])).astype(np.float32)
    block = np.random.default_rng(0).normal(size=(305, 7))
    on_device = Graph.of(graph)
    on_device = replace(on_device, weights=on_device.weights.double())
    found = eigenmap._product(on_device, torch.from_numpy(block))
    np.testing.assert_allclose(found, graph.astype(np.float64) @ block, rtol=1e-12, atol=1e-12)


def test_the_layout_of_components_is_the_same_for_rows_of_numpy_and_of_torch(parts):
    X, _ = parts
    graph = weighted_graph(X)
    of_tensor = spectral_layout(torch.from_numpy(X), graph, 2, np.random.RandomState(0))
    np.testing.assert_allclose(of_tensor, layout_of(graph, 2, X), atol=1e-9)


@pytest.mark.cuda
@pytest.mark.parametrize("n_components", [2, 8])
def test_positions_on_a_gpu_have_the_same_bits_every_time(n_components):
    graph = weighted_graph(rectangle(5000))
    first, second = (spectral_layout(None, graph, n_components, np.random.RandomState(0), "cuda") for _ in range(2))
    np.testing.assert_array_equal(first, second)
