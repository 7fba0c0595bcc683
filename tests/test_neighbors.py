import subprocess
import sys

import numba
import numpy as np
import pynndescent
import pytest
import scipy.sparse as sp
import torch
from scipy.spatial.distance import cdist

from parametric_umap import neighbors
from parametric_umap.neighbors import METRICS, SPARSE_METRICS, check_metric, compiled_cells, exact, nearest_neighbors
from parametric_umap.neighbors.batched_cells import nearest_in_batches
from parametric_umap.neighbors.compiled_cells import nearest_in_cells

COMMON, COMMON_SPARSE = (
    ("euclidean", "cosine", "manhattan", "chebyshev", "minkowski"),
    ("euclidean", "cosine", "manhattan"),
)
EPS32 = np.finfo(np.float32).eps
CASES = [(metric, None) for metric in COMMON] + [("minkowski", {"p": 1}), ("minkowski", {"p": 3.5})]
FORMATS = {"dense": np.asarray, "csr_array": sp.csr_array, "csr_matrix": sp.csr_matrix}
ALL_CASES = [(rows, *case) for rows in FORMATS for case in CASES if rows == "dense" or case[0] in COMMON_SPARSE]


def true_distances(X, metric="euclidean", metric_kwds=None):
    """All distances in float64; scipy's cosine is undefined for rows of zeros, which are told apart here."""
    X = np.asarray(X.toarray() if sp.issparse(X) else X, dtype=np.float64)
    if metric == "cosine":
        X = X / (np.abs(X).max(axis=1, keepdims=True) + (X == 0).all(axis=1, keepdims=True))
        zero = (X == 0).all(axis=1)
        distances = cdist(X, X, "cosine")
        distances[zero] = distances[:, zero] = 1
        distances[np.ix_(zero, zero)] = 0
        return distances
    return cdist(X, X, {"manhattan": "cityblock"}.get(metric, metric), **(metric_kwds or {}))


def assert_nearest(result, true, n_neighbors):
    """The form is right, and both the reported and the actual distances are those of the true nearest neighbours."""
    indices, distances = result
    n = len(true)
    assert indices.shape == distances.shape == (n, n_neighbors)
    assert indices.dtype == np.int32
    assert distances.dtype == np.float32
    assert (indices[:, 0] == np.arange(n)).all()
    assert (distances[:, 0] == 0).all()
    assert all(len(set(row)) == n_neighbors for row in indices)
    assert (np.diff(distances, axis=1) >= 0).all()
    nearest = true.copy()
    np.fill_diagonal(nearest, -1)
    nearest = np.sort(nearest, axis=1)[:, 1:n_neighbors]
    tolerance = 4 * EPS32 * true.max()
    np.testing.assert_allclose(distances[:, 1:], nearest, rtol=2e-6, atol=tolerance)
    actual = np.take_along_axis(true, indices.astype(int), axis=1)[:, 1:]
    np.testing.assert_allclose(np.sort(actual, axis=1), nearest, rtol=2e-6, atol=tolerance)


@pytest.fixture(scope="module")
def ordinary():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(210, 6)) * rng.uniform(0.5, 3, size=6)
    X[rng.uniform(size=X.shape) < 0.3] = 0
    return X[(X != 0).any(axis=1)]


@pytest.mark.parametrize(("container", "metric", "metric_kwds"), ALL_CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exact_neighbors_equal_brute_force(ordinary, container, dtype, metric, metric_kwds):
    X = ordinary.astype(dtype)
    result = nearest_neighbors(FORMATS[container](X), 15, metric=metric, metric_kwds=metric_kwds)
    assert_nearest(result, true_distances(X, metric, metric_kwds), 15)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("metric", "metric_kwds"), CASES)
def test_exact_search_gives_no_warning(ordinary, metric, metric_kwds):
    indices, _ = nearest_neighbors(ordinary, 5, metric=metric, metric_kwds=metric_kwds)
    assert len(indices) == len(ordinary)


@pytest.mark.parametrize("n_neighbors", [1, 2, 24, 25])
@pytest.mark.parametrize("container", FORMATS)
def test_any_number_of_neighbors_up_to_all_rows_is_found(ordinary, container, n_neighbors):
    X = ordinary[:25]
    assert_nearest(nearest_neighbors(FORMATS[container](X), n_neighbors), true_distances(X), n_neighbors)


@pytest.mark.parametrize("metric", sorted(set(METRICS) - set(SPARSE_METRICS)))
def test_sparse_rows_are_refused_by_metrics_that_are_not_for_them(ordinary, metric):
    with pytest.raises(ValueError, match=f"metric='{metric}' is not for sparse rows; allowed are .*'euclidean'"):
        nearest_neighbors(sp.csr_array(ordinary), 15, metric=metric)


def test_rows_given_are_not_changed(ordinary):
    dense, sparse = ordinary.copy(), sp.csr_array(ordinary)
    for metric in ("euclidean", "cosine"):
        nearest_neighbors(dense, 5, metric=metric)
        nearest_neighbors(sparse, 5, metric=metric)
    assert (dense == ordinary).all()
    assert (sparse.toarray() == ordinary).all()


@pytest.mark.filterwarnings("error")
def test_rows_that_may_not_be_written_to_are_searched(ordinary):
    X = ordinary.astype(np.float32)
    X.flags.writeable = False
    assert_nearest(nearest_neighbors(X, 15), true_distances(X), 15)


@pytest.mark.parametrize("metric", COMMON)
def test_a_large_offset_costs_nothing(metric):
    X = 1e6 + 1e-3 * np.random.default_rng(1).normal(size=(300, 5))
    if metric == "cosine":
        X -= 1e6  # cosine distances do not ignore an offset
    assert_nearest(nearest_neighbors(X, 15, metric=metric), true_distances(X, metric), 15)


def test_a_large_offset_in_float32_costs_nothing():
    X = (1_000_000 + np.random.default_rng(1).integers(0, 30, size=(300, 5))).astype(np.float32)
    assert_nearest(nearest_neighbors(X, 15), true_distances(X), 15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("container", FORMATS)
def test_two_tight_far_clusters(container, dtype):
    rng = np.random.default_rng(2)
    X = (1e-3 * rng.normal(size=(300, 5)) + rng.integers(0, 2, size=(300, 1))).astype(dtype)
    assert_nearest(nearest_neighbors(FORMATS[container](X), 15), true_distances(X), 15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "chebyshev"])
def test_heavy_tails(metric, dtype):
    X = np.random.default_rng(3).standard_t(1, size=(600, 5)).astype(dtype)
    assert_nearest(nearest_neighbors(X, 15, metric=metric), true_distances(X, metric), 15)


def test_one_row_far_out_costs_the_others_no_precision():
    X = np.random.default_rng(4).normal(size=(600, 5))
    X[7, 2] = 1e9
    _, distances = nearest_neighbors(X, 15)
    nearest = np.sort(true_distances(X), axis=1)[:, :15]
    others = np.arange(600) != 7
    np.testing.assert_allclose(distances[others], nearest[others], rtol=1e-5)


@pytest.mark.parametrize(("container", "metric"), [case[:2] for case in ALL_CASES if case[2] is None])
def test_more_duplicates_than_neighbors(container, metric):
    rng = np.random.default_rng(5)
    X = rng.permutation(np.repeat(rng.normal(size=(6, 5)), 30, axis=0))
    indices, distances = nearest_neighbors(FORMATS[container](X), 15, metric=metric)
    assert_nearest((indices, distances), true_distances(X, metric), 15)
    assert (distances == 0).all()


@pytest.mark.parametrize("metric", COMMON)
@pytest.mark.parametrize("value", [0.0, 3.3, 1e9 + 0.1])
def test_all_rows_equal(metric, value):
    X = value * np.linspace(0.1, 1, 7) * np.ones((50, 1))
    indices, distances = nearest_neighbors(X, 10, metric=metric)
    assert_nearest((indices, distances), np.zeros((50, 50)), 10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [1e-20, 1e20])
@pytest.mark.parametrize(("container", "metric"), [case[:2] for case in ALL_CASES if case[2] is None])
def test_extreme_units(ordinary, container, metric, unit, dtype):
    X = (ordinary * unit).astype(dtype)
    assert_nearest(nearest_neighbors(FORMATS[container](X), 15, metric=metric), true_distances(X, metric), 15)


@pytest.mark.parametrize("container", FORMATS)
def test_a_row_of_zeros_is_at_cosine_distance_one_and_at_zero_from_another(ordinary, container):
    X = ordinary[:60].copy()
    X[[3, 10, 40]] = 0
    indices, distances = nearest_neighbors(FORMATS[container](X), 60, metric="cosine")
    assert_nearest((indices, distances), true_distances(X, "cosine"), 60)
    for row in (3, 10, 40):
        assert set(indices[row, :3]) == {3, 10, 40}
        assert (distances[row, :3] == 0).all()
        np.testing.assert_allclose(distances[row, 3:], 1, atol=4 * EPS32)


@pytest.mark.parametrize("seed", range(3))
def test_neighbors_are_exact_where_float32_candidates_miss_some(seed):
    rng = np.random.default_rng(seed)
    X = (1e-4 * rng.normal(size=(500, 8)) + rng.integers(0, 2, size=(500, 1))).astype(np.float32)
    true = true_distances(X)
    farthest = np.sort(true, axis=1)[:, 14] + 4 * EPS32 * true.max()
    centred = X - X.mean(axis=0)
    squares = (centred**2).sum(axis=1)
    expanded = squares[:, None] - 2 * centred @ centred.T + squares
    assert expanded.dtype == np.float32
    candidates = np.argsort(expanded, axis=1)[:, : 15 + 8]
    of_candidates = np.sort(np.take_along_axis(true, candidates, axis=1), axis=1)[:, 14]
    assert (of_candidates > farthest).mean() > 0.5
    indices, _ = nearest_neighbors(X, 15)
    found = np.take_along_axis(true, indices.astype(int), axis=1)
    assert (found <= farthest[:, None]).all()


@pytest.mark.parametrize("block_bytes", [1_000, 20_000, 100_000])
def test_blocks_smaller_than_the_data_give_the_same_neighbors(ordinary, monkeypatch, block_bytes):
    rng = np.random.default_rng(6)
    tight = 1e-3 * rng.normal(size=(200, 6)) + rng.integers(0, 2, size=(200, 1))
    whole = [nearest_neighbors(X, 15) for X in (ordinary, tight)]
    for name in ("BLOCK_BYTES", "CACHE_BYTES"):
        monkeypatch.setattr(neighbors.exact, name, block_bytes)
    for X, (indices, distances) in zip((ordinary, tight), whole, strict=True):
        indices_by_blocks, distances_by_blocks = nearest_neighbors(X, 15)
        assert (indices_by_blocks == indices).mean() > 0.999  # ties in float32 may fall either way
        np.testing.assert_allclose(distances_by_blocks, distances, rtol=1e-6)


@pytest.mark.parametrize(("container", "metric", "metric_kwds"), [case for case in ALL_CASES if case[0] != "dense"])
def test_sparse_rows_are_never_made_dense(ordinary, monkeypatch, container, metric, metric_kwds):
    X = FORMATS[container](ordinary)
    true = true_distances(ordinary, metric, metric_kwds)

    def guarded(method):
        def guard(self, *args, **kwargs):
            assert self.shape not in (X.shape, X.shape[::-1]), "the whole matrix was made dense"
            return method(self, *args, **kwargs)

        return guard

    for cls in (sp.csr_array, sp.csr_matrix, sp.csc_array, sp.csc_matrix, sp.coo_array, sp.coo_matrix):
        for name in ("toarray", "todense"):
            monkeypatch.setattr(cls, name, guarded(getattr(cls, name)))
    with pytest.raises(AssertionError, match="made dense"):
        X.toarray()
    assert_nearest(nearest_neighbors(X, 15, metric=metric, metric_kwds=metric_kwds), true, 15)


@pytest.fixture(scope="module")
def clusters():
    """1,500 rows in ten clusters, a third of their values zero."""
    rng = np.random.default_rng(7)
    X = rng.normal(size=(1500, 4)) + 5 * rng.normal(size=(10, 4))[rng.integers(0, 10, size=1500)]
    return np.maximum(X @ rng.normal(size=(4, 20)) + 2, 0).astype(np.float32)


@pytest.fixture
def only_pynndescent(monkeypatch):
    monkeypatch.setattr(neighbors.search, "DESCENT_WORK", 0)


@pytest.mark.parametrize(("container", "metric"), [("dense", "manhattan"), ("csr_array", "euclidean")])
def test_pynndescent_has_high_recall_and_is_reproducible(clusters, only_pynndescent, container, metric):
    X = FORMATS[container](clusters)
    true = true_distances(clusters, metric)
    global_state = np.random.get_state()[1].copy()
    indices, distances = nearest_neighbors(X, 15, metric=metric, random_state=0)
    again = nearest_neighbors(X, 15, metric=metric, random_state=0)
    assert (np.random.get_state()[1] == global_state).all()
    assert (indices == again[0]).all()
    assert (distances == again[1]).all()
    assert (indices[:, 0] == np.arange(1500)).all()
    assert (distances[:, 0] == 0).all()
    actual = np.take_along_axis(true, indices.astype(int), axis=1)
    np.testing.assert_allclose(distances, actual, rtol=1e-4, atol=1e-4)
    assert (actual <= np.sort(true, axis=1)[:, 14:15] * (1 + 1e-6)).mean() > 0.95


def test_pynndescent_takes_any_number_of_jobs_and_leaves_numba_as_it_was(clusters, only_pynndescent):
    n_threads = numba.get_num_threads()
    X = sp.csr_array(clusters)
    expected, _ = nearest_neighbors(X, 15, random_state=0)
    for n_jobs in (1, -1, numba.config.NUMBA_NUM_THREADS + 1):
        indices, _ = nearest_neighbors(X, 15, n_jobs=n_jobs, random_state=0)
        assert numba.get_num_threads() == n_threads
        assert (indices == expected).mean() > 0.95


@pytest.mark.parametrize(
    ("container", "metric", "metric_kwds"),
    [case for case in ALL_CASES if case[0] != "dense" or case[1] not in ("euclidean", "cosine")],
)
def test_neighbors_that_pynndescent_misses_are_filled_exactly(
    ordinary, only_pynndescent, monkeypatch, container, metric, metric_kwds
):
    class Forgetful:
        """Finds all neighbours of most rows, and none or some of a few."""

        def __init__(self, X, n_neighbors, metric, metric_kwds, **kwargs):
            true = true_distances(X, metric, metric_kwds)
            indices = np.argsort(true, axis=1)[:, :n_neighbors].astype(np.int32)
            distances = np.take_along_axis(true, indices, axis=1).astype(np.float32)
            indices[[0, 5], 1:], distances[[0, 5], 1:] = -1, np.inf
            indices[[7, 100, 200], -1], distances[[7, 100, 200], -1] = -1, np.inf
            self.neighbor_graph = indices, distances

    monkeypatch.setattr(pynndescent, "NNDescent", Forgetful)
    result = nearest_neighbors(FORMATS[container](ordinary), 15, metric=metric, metric_kwds=metric_kwds)
    assert_nearest(result, true_distances(ordinary, metric, metric_kwds), 15)


def awkward(name):
    rng = np.random.default_rng(8)
    n = 4000
    if name == "isotropic":
        return rng.normal(size=(n, 100))
    if name == "offset":
        return 1000 + rng.normal(size=(n, 5))
    if name == "heavy tails":
        return rng.standard_t(1, size=(n, 6))
    if name == "duplicates":
        return np.vstack([np.repeat(rng.normal(size=(3, 8)), 500, axis=0), rng.normal(size=(n - 1500, 8))])
    if name == "unequal clusters":
        centres, sizes = 10 * rng.normal(size=(5, 20)), [3, 20, 100, 877, 3000]
        return np.repeat(centres, sizes, axis=0) + np.geomspace(1e-2, 1, n)[:, None] * rng.normal(size=(n, 20))
    if name == "curve":
        t = np.sort(rng.uniform(0, 60, size=n))
        return np.column_stack([t * np.cos(t), t * np.sin(t)])
    if name == "far rows":
        X = rng.normal(size=(n, 10))
        X[:20] *= 1e6
        return X
    if name == "wide":
        return rng.normal(size=(n, 8)) @ rng.normal(size=(8, 1500)) + 0.1 * rng.normal(size=(n, 1500))
    return rng.integers(0, 30, size=(n, 2)).astype(float)  # a grid


AWKWARD = ("isotropic", "offset", "heavy tails", "duplicates", "unequal clusters", "curve", "far rows", "wide", "grid")


@pytest.fixture
def only_cells(monkeypatch):
    """Cells for all data, even where an exact search would cost less."""
    monkeypatch.setattr(neighbors.search, "PARTITIONED_WORK", {"cpu": 0})
    monkeypatch.setattr(neighbors.partitioned, "_is_cheaper", lambda n_probes, *others: n_probes < 1000)


@pytest.mark.parametrize(("name", "unit"), [*((name, 1) for name in AWKWARD), ("curve", 1e-30), ("curve", 1e30)])
def test_cells_have_high_recall_on_awkward_data(only_cells, name, unit):
    X = (awkward(name) * unit).astype(np.float32 if name != "far rows" else np.float64)
    indices, distances = nearest_neighbors(X, 15, random_state=0)
    assert (indices[:, 0] == np.arange(len(X))).all()
    assert (np.diff(np.sort(indices, axis=1), axis=1) > 0).all()
    assert (np.diff(distances, axis=1) >= 0).all()
    X = X.astype(np.float64)
    direct = np.stack([np.linalg.norm(X - X[column], axis=1) for column in indices.T], axis=1)
    np.testing.assert_allclose(distances, direct, rtol=1e-5)
    some = np.random.default_rng(9).choice(len(X), 400, replace=False)
    farthest = np.partition(cdist(X[some], X), 14, axis=1)[:, 14:15]
    assert (direct[some, 1:] <= farthest * (1 + 1e-6)).mean() > 0.96


@pytest.mark.parametrize("search", [nearest_in_cells, nearest_in_batches])
@pytest.mark.parametrize(("name", "block_bytes"), [*((name, 2**25) for name in AWKWARD), ("unequal clusters", 2**14)])
def test_few_cells_hold_the_nearest_of_their_points(monkeypatch, name, block_bytes, search):
    """Compared with float64, where it is plain which cells are the nearest: pieces of one have the same centre."""
    monkeypatch.setattr(neighbors.batched_cells, "block_bytes", lambda device: block_bytes)
    points = torch.from_numpy(awkward(name).astype(np.float32))
    cells = neighbors.cells.cells_of(points, np.random.RandomState(0))
    assert torch.equal(cells.points, points[cells.rows])
    assert torch.equal(cells.rows.sort().values, torch.arange(len(points)))
    points = cells.points.double()
    gaps = torch.cdist(points, cells.centres.double()).sort(dim=1)
    plain = gaps.values[:, 6] > gaps.values[:, 5] * (1 + 1e-3)
    assert plain.float().mean() > 0.1
    cell = torch.bucketize(torch.arange(len(points)), cells.starts, right=True) - 1
    is_near = torch.zeros(len(points), len(cells.centres), dtype=torch.bool).scatter_(1, gaps.indices[:, :6], True)
    distances = torch.cdist(points, points).fill_diagonal_(torch.inf)
    expected = distances.masked_fill(~is_near[:, cell], torch.inf).topk(10, dim=1, largest=False).values
    nearest = search(cells, 6, 10)
    found = distances.gather(1, nearest.clamp(min=0).long()).masked_fill_(nearest < 0, torch.inf)
    assert (found[plain] <= expected[plain] * (1 + 1e-5) + 1e-5 * distances[:, :100].median()).float().mean() > 0.99


@pytest.mark.parametrize("name", AWKWARD)
def test_cells_in_batches_have_high_recall(only_cells, monkeypatch, name):
    """What a device does, run on the CPU."""
    monkeypatch.setattr(neighbors.partitioned, "_way", lambda device: nearest_in_batches)
    X = awkward(name).astype(np.float32)
    _, distances = nearest_neighbors(X, 15, random_state=0)
    true = cdist(X[:400], X)
    farthest = np.partition(true, 14, axis=1)[:, 14:15]
    assert (distances[:400, 1:] <= farthest * (1 + 1e-5)).mean() > 0.96


def test_loops_are_compiled_where_no_folder_takes_them():
    namespace = {}
    exec("def twice(x):\n    return 2 * x", namespace)  # of no file, beside which numba could write
    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(namespace["twice"], cache=True)
    assert compiled_cells._compiled()(namespace["twice"])(21) == 42


def test_cells_are_reproducible_and_leave_random_states_alone(only_cells):
    X = awkward("unequal clusters").astype(np.float32)
    states = np.random.get_state()[1].copy(), torch.get_rng_state()
    first, second, other = (nearest_neighbors(X, 15, random_state=seed) for seed in (0, 0, 1))
    assert (np.random.get_state()[1] == states[0]).all()
    assert (torch.get_rng_state() == states[1]).all()
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert (first[0] != other[0]).any()


def test_rows_whose_cells_hold_too_few_others_are_searched_exactly(only_cells, monkeypatch):
    X = awkward("offset").astype(np.float32)
    monkeypatch.setattr(neighbors.partitioned, "RECALL", 0.01)
    indices, distances = nearest_neighbors(X, 150, random_state=0)
    assert np.isfinite(distances).all()
    assert (np.diff(np.sort(indices, axis=1), axis=1) > 0).all()


def test_a_recall_out_of_reach_ends_in_an_exact_search(monkeypatch):
    X = awkward("isotropic").astype(np.float32)
    monkeypatch.setattr(neighbors.search, "PARTITIONED_WORK", {"cpu": 0})
    monkeypatch.setattr(neighbors.partitioned, "RECALL", 1.1)
    assert_nearest(nearest_neighbors(X, 15, random_state=0), true_distances(X), 15)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_dense_euclidean_rows_need_no_pynndescent(metric):
    code = f"""
import sys
import numpy as np
from parametric_umap import neighbors
neighbors.search.PARTITIONED_WORK = dict(cpu=0)
X = np.random.default_rng(0).normal(size=(3000, 4))
neighbors.nearest_neighbors(X, 15, metric={metric!r}, random_state=0)
assert "pynndescent" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


@pytest.mark.parametrize(
    ("metric", "metric_kwds", "message"),
    [
        ("euclidean", {"p": 2}, "metric_kwds={'p': 2}: metric 'euclidean' takes no arguments."),
        ("cosine", {"w": 2}, "metric_kwds={'w': 2}: metric 'cosine' takes no arguments."),
        ("minkowski", {"q": 2}, r"metric_kwds={'q': 2}: metric 'minkowski' takes \['p'\]."),
        ("minkowski", {"p": 0.5}, "metric_kwds={'p': 0.5}: p must be a number of at least 1."),
        ("minkowski", {"p": "2"}, "metric_kwds={'p': '2'}: p must be a number of at least 1."),
        ("minkowski", {"p": np.inf}, "metric_kwds={'p': inf}: p must be a number of at least 1."),
        ("minkowski", {"p": np.nan}, "metric_kwds={'p': nan}: p must be a number of at least 1."),
    ],
)
def test_wrong_arguments_of_a_metric_are_named(metric, metric_kwds, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        check_metric(metric, metric_kwds, 6)


@pytest.mark.parametrize(("metric", "metric_kwds"), [*CASES, ("euclidean", {}), ("minkowski", {"p": np.float32(2)})])
def test_right_arguments_of_a_metric_pass(metric, metric_kwds):
    assert check_metric(metric, metric_kwds, 6) is None


@pytest.mark.parametrize("room", [2**25, 2**24, 2**20])
def test_blocks_shrink_where_memory_runs_out_and_only_then_it_is_an_error(ordinary, monkeypatch, room):
    search, tried = neighbors.exact._search, []

    def limited(*args):
        tried.append(args[-1])
        if tried[-1] > room:
            raise torch.OutOfMemoryError("no memory")
        return search(*args)

    monkeypatch.setattr(neighbors.exact, "_search", limited)
    if room < neighbors.exact.LEAST_BYTES:
        with pytest.raises(torch.OutOfMemoryError):
            nearest_neighbors(ordinary, 5)
    else:
        assert_nearest(nearest_neighbors(ordinary, 5), true_distances(ordinary), 5)
    assert tried == sorted(tried, reverse=True)
    assert len(tried) == {2**25: 1, 2**24: 2, 2**20: 3}[room]


@pytest.mark.cuda
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_neighbors_on_a_gpu_are_exact(ordinary, metric):
    result = nearest_neighbors(ordinary, 15, metric=metric, device="cuda")
    assert_nearest(result, true_distances(ordinary, metric), 15)


@pytest.mark.cuda
@pytest.mark.parametrize("name", AWKWARD)
def test_cells_on_a_gpu_have_high_recall(monkeypatch, name):
    monkeypatch.setattr(neighbors.search, "PARTITIONED_WORK", {"cuda": 0, "cpu": 3e10})
    X = awkward(name).astype(np.float32 if name != "far rows" else np.float64)
    indices, _ = nearest_neighbors(X, 15, device="cuda", random_state=0)
    true, _ = nearest_neighbors(X, 15)
    recall = np.mean([np.isin(found, expected).mean() for found, expected in zip(indices, true, strict=True)])
    assert recall > (0.95 if name not in ("duplicates", "grid") else 0)  # among equal distances any will do


@pytest.fixture
def half_precision(monkeypatch):
    """Candidates proposed as on a GPU, from rows in float16 with sums in float32; gives the sizes of all searches."""
    sizes, expanded = [], exact._expanded_squares

    def counted(queries, points, dtype, unit):
        sizes.append((dtype, len(queries)))
        return expanded(queries, points, dtype, unit)

    monkeypatch.setattr(exact, "_precisions", lambda device: [torch.float16, torch.float32, torch.float64])
    monkeypatch.setattr(exact, "_half_products", lambda queries, points: queries.float() @ points.float().T)
    monkeypatch.setattr(exact, "_expanded_squares", counted)
    return sizes


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e6])
@pytest.mark.parametrize("name", [*AWKWARD, "Cauchy", "one far row"])
def test_neighbors_are_exact_where_candidates_are_proposed_in_float16(half_precision, name, unit):
    rng = np.random.default_rng(0)
    if name == "Cauchy":
        X = rng.standard_cauchy(size=(600, 8))
    elif name == "one far row":
        X = np.vstack([rng.normal(size=(600, 8)), np.full((1, 8), 1e5)])
    else:
        X = awkward(name)
    X = torch.from_numpy((unit * X).astype(np.float32))
    _, distances = exact.exact_euclidean(X, 15)
    true = torch.cdist(X.double(), X.double()).sort(dim=1).values[:, :15]
    torch.testing.assert_close(distances.double(), true, rtol=1e-4, atol=1e-6 * true.max().item())


def test_float16_leaves_few_rows_of_images_unsure(half_precision, mnist):
    X = torch.from_numpy(mnist[0][:3000])
    exact.exact_euclidean(X, 15)
    n_queries = {dtype: sum(n for of, n in half_precision if of == dtype) for dtype, _ in half_precision}
    assert n_queries[torch.float16] == 3000
    assert n_queries.get(torch.float32, 0) < 300
    assert torch.float64 not in n_queries


def test_a_far_row_makes_no_other_row_unsure(monkeypatch):
    """What was missed is near: the rounding of a row's candidates does not depend on the longest row."""
    searched, candidates = [], exact._candidates
    monkeypatch.setattr(
        exact, "_candidates", lambda *args: searched.append((args[5], len(args[1]))) or candidates(*args)
    )
    rng = np.random.default_rng(0)
    X = torch.from_numpy(np.vstack([rng.normal(size=(500, 5)), np.full((1, 5), 1e6)]).astype(np.float32))
    exact.exact_euclidean(X, 15)
    assert sum(n for dtype, n in searched if dtype == torch.float64) <= 1
