"""Tensors, arrays of the array API standard and frames come in as NumPy's arrays do, and embeddings go out in kind."""

import re
from functools import partial
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace

import array_api_strict
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
import torch
from scipy.spatial.distance import cdist
from sklearn import config_context
from sklearn.datasets import load_digits

from parametric_umap import ParametricUMAP, containers, neighbors, novelty
from parametric_umap.engine import rows as rows_module

digits, labels = load_digits(return_X_y=True)
X, y, X_new = digits[:200], labels[:200], digits[200:300]
WIDE = np.hstack([X, X[::-1], X**2 / 16])  # 192 features, of which the encoder sees principal axes
QUICK = {
    "n_neighbors": 10,
    "hidden_layer_sizes": (16,),
    "init_epochs": 1,
    "n_epochs": 1,
    "batches_per_epoch": 3,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def fitted():
    return ParametricUMAP(decoder=True, **QUICK).fit(X)


@pytest.fixture
def elsewhere(monkeypatch):
    """Tensors count as being on another device; how many numbers come from there to the host, time by time."""
    monkeypatch.setattr(containers, "_stays", lambda tensor: True)
    monkeypatch.setattr(novelty, "N_REFERENCES", 50)
    brought = []

    def counted(leave):
        def left(tensor, *args, **kwargs):
            brought.append(tensor.numel())
            return leave(tensor, *args, **kwargs)

        return left

    for name in ("cpu", "numpy", "tolist", "__array__"):
        monkeypatch.setattr(torch.Tensor, name, counted(getattr(torch.Tensor, name)))
    return brought


def assert_same(tensor, array, device="cpu"):
    assert isinstance(tensor, torch.Tensor)
    assert tensor.dtype == torch.float32
    assert tensor.device.type == device
    np.testing.assert_array_equal(np.from_dlpack(tensor.cpu()), array)


@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.uint8, torch.int64, torch.bool])
def test_a_tensor_is_fitted_and_mapped_as_the_array_is_and_answered_by_a_tensor(monkeypatch, dtype, stays):
    monkeypatch.setattr(containers, "_stays", lambda tensor: stays)
    rows, new = (torch.from_numpy(given).to(dtype) for given in (X, X_new))
    expected = ParametricUMAP(decoder=True, **QUICK).fit(rows.numpy())
    umap = ParametricUMAP(decoder=True, **QUICK)
    assert_same(umap.fit_transform(rows), expected.embedding_)
    assert isinstance(umap.embedding_, np.ndarray)
    np.testing.assert_array_equal(umap.reference_rows_, expected.reference_rows_)
    Z = umap.transform(new)
    assert_same(Z, expected.transform(new.numpy()))
    assert_same(umap.inverse_transform(Z), expected.inverse_transform(Z.numpy()))
    assert_same(umap.novelty_score(new), expected.novelty_score(new.numpy()))
    assert umap.score(new) == expected.score(new.numpy())
    ours, theirs = umap.feature_attributions(new), expected.feature_attributions(new.numpy())
    np.testing.assert_array_equal(ours.jacobian, theirs.jacobian)
    np.testing.assert_allclose(ours.importances, theirs.importances, rtol=1e-5)
    umap.partial_fit(new)
    np.testing.assert_array_equal(umap.embedding_, expected.partial_fit(new.numpy()).embedding_)


@pytest.mark.parametrize("stays", [False, True])
def test_bfloat16_is_taken(monkeypatch, fitted, stays):
    monkeypatch.setattr(containers, "_stays", lambda tensor: stays)
    assert_same(fitted.transform(torch.from_numpy(X_new).bfloat16()), fitted.transform(X_new))  # integers up to 16


GROUPS = WIDE + 1000 * (np.arange(200)[:, None] % 3)


@pytest.mark.parametrize(
    ("rows", "parameters"),
    [
        (WIDE, {}),
        (WIDE.astype(np.float32), {"metric": "cosine", "global_correlation_weight": 0.1}),
        (np.vstack([np.zeros((2, 192)), WIDE]), {"metric": "cosine"}),
        (WIDE, {"metric": "correlation", "densmap": True}),
        (WIDE, {"decoder": True, "reconstruction_validation": 0.2, "sampling": "edges"}),
        (np.vstack([WIDE, WIDE[:50]]), {"unique": True}),
        (WIDE, {"encoder": torch.nn.Sequential(torch.nn.ReLU(inplace=True), torch.nn.Linear(192, 2))}),
        (GROUPS, {"n_neighbors": 5}),
        (1e-30 * WIDE, {"encoder": "linear"}),
    ],
)
def test_rows_on_a_device_are_used_there(elsewhere, rows, parameters):
    expected = ParametricUMAP(**{**QUICK, **parameters}).fit(rows)
    tensor = torch.from_numpy(rows.copy())
    elsewhere.clear()
    umap = ParametricUMAP(**{**QUICK, **parameters})
    Z = umap.fit_transform(tensor)
    umap.transform(tensor)
    umap.novelty_score(tensor)
    assert max(elsewhere) < rows.size / 2  # the neighbours' indices, the axes, a sample
    assert_same(Z, expected.embedding_)
    assert abs(umap.graph_ - expected.graph_).max() == 0
    np.testing.assert_array_equal(umap.init_embedding_, expected.init_embedding_)
    np.testing.assert_array_equal(tensor, rows)


def test_cells_of_rows_on_a_device_are_searched_there(monkeypatch, elsewhere):
    monkeypatch.setattr(neighbors.search, "PARTITIONED_WORK", {"cpu": 0})
    expected = neighbors.nearest_neighbors(WIDE, 10, random_state=0)
    elsewhere.clear()
    found = neighbors.nearest_neighbors(torch.from_numpy(WIDE), 10, random_state=0)
    assert max(elsewhere) < WIDE.size / 2
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_principal_components_are_found_on_the_device(elsewhere):
    for rows in (WIDE, WIDE[:120]):
        expected = ParametricUMAP(init="pca", pca_variance=1, **QUICK).fit(rows)
        elsewhere.clear()
        umap = ParametricUMAP(init="pca", pca_variance=1, **QUICK).fit(torch.from_numpy(rows))
        assert max(elsewhere) < rows.size / 2
        np.testing.assert_allclose(umap.init_embedding_, expected.init_embedding_, atol=1e-4)


def test_rows_that_leave_no_room_for_a_prepared_copy_are_prepared_batch_by_batch(monkeypatch, elsewhere):
    monkeypatch.setattr(rows_module, "_room", lambda device: 0)
    expected = ParametricUMAP(**QUICK).fit(WIDE)
    elsewhere.clear()
    umap = ParametricUMAP(**QUICK).fit(torch.from_numpy(WIDE))
    assert max(elsewhere) < WIDE.size / 2
    np.testing.assert_array_equal(umap.embedding_, expected.embedding_)


def test_neighbors_by_metrics_of_the_host_are_searched_there(elsewhere):
    for metric in ("manhattan", "canberra"):
        expected = ParametricUMAP(metric=metric, **QUICK).fit(X)
        umap = ParametricUMAP(metric=metric, **QUICK).fit(torch.from_numpy(X))
        np.testing.assert_array_equal(umap.embedding_, expected.embedding_)


def with_value(value):
    rows = X.copy()
    rows[3, 2] = value
    return rows


@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.parametrize(
    "rows",
    [
        with_value(np.nan),
        with_value(np.inf),
        with_value(-np.inf).astype(np.float16),
        with_value(1e200),
        X[:0],
        X[:, :0],
        X[:1],
        X[:, 0],
        X[None],
        X.astype(complex),
    ],
)
def test_a_tensor_is_refused_in_the_words_in_which_an_array_is(monkeypatch, rows, stays):
    monkeypatch.setattr(containers, "_stays", lambda tensor: stays)
    umap = ParametricUMAP(**QUICK)
    messages = []
    for given in (rows, torch.from_numpy(rows)):
        with pytest.raises(ValueError) as error:
            umap.fit(given)
        messages.append(str(error.value))
    assert messages[1] == messages[0]
    assert vars(umap) == vars(ParametricUMAP(**QUICK))


@pytest.mark.parametrize("stays", [False, True])
def test_wrong_widths_and_layouts_of_tensors_are_named(monkeypatch, fitted, stays):
    monkeypatch.setattr(containers, "_stays", lambda tensor: stays)
    with pytest.raises(ValueError, match="X has 3 features, but ParametricUMAP is expecting 64 features as input"):
        fitted.transform(torch.zeros(5, 3))
    with pytest.raises(ValueError, match="X has 3 coordinates, but the map has 2"):
        fitted.inverse_transform(torch.zeros(5, 3))
    with pytest.raises(ValueError, match="Input X contains NaN"):
        fitted.inverse_transform(torch.full((5, 2), torch.nan))
    with pytest.raises(ValueError, match=r"X is a torch\.sparse_coo tensor; it must be a dense one"):
        fitted.transform(torch.eye(64).to_sparse())


@pytest.mark.parametrize("stays", [False, True])
def test_gradients_inference_mode_and_layout_change_nothing(monkeypatch, fitted, stays):
    monkeypatch.setattr(containers, "_stays", lambda tensor: stays)
    expected = fitted.transform(X_new)
    with torch.inference_mode():
        inferred = torch.from_numpy(X_new) + 0
    for given in (
        torch.from_numpy(X_new).requires_grad_(),
        torch.from_numpy(X_new).T.contiguous().T,
        torch.from_numpy(np.hstack([X_new, X_new]))[:, :64],
        inferred,
    ):
        Z = fitted.transform(given)
        assert_same(Z, expected)
        assert not Z.requires_grad and not Z.is_inference()
        assert fitted.feature_attributions(given).jacobian.shape == (100, 2, 64)
        assert ParametricUMAP(**QUICK).fit(given).score(given) > 0.5


def test_what_is_given_beside_the_rows_may_be_a_tensor():
    rows = torch.from_numpy(X)
    indices, distances = (torch.from_numpy(found) for found in neighbors.nearest_neighbors(X, 10))
    positions = torch.full((200, 2), torch.nan)
    positions[y == 0] = torch.tensor([5.0, 5.0])
    supervised = ParametricUMAP(target_metric="categorical", **QUICK)
    for parameters, arguments in (
        ({"init": torch.from_numpy(X[:, 20:22])}, {}),
        ({"precomputed_knn": (indices, distances)}, {}),
        ({"decoder": True, "reconstruction_validation": torch.from_numpy(X_new)}, {}),
        ({}, {"landmark_positions": positions}),
        ({}, {"precomputed_distances": torch.cdist(rows, rows)}),
    ):
        ours = ParametricUMAP(**parameters, **QUICK).fit(rows, **arguments)
        theirs = ParametricUMAP(**{name: np_of(value) for name, value in parameters.items()}, **QUICK)
        theirs.fit(X, **{name: np_of(value) for name, value in arguments.items()})
        np.testing.assert_array_equal(ours.embedding_, theirs.embedding_)
    ours, theirs = supervised.fit(rows, torch.from_numpy(y)).graph_, supervised.fit(X, y).graph_
    assert abs(ours - theirs).max() == 0


def np_of(value):
    if isinstance(value, tuple):
        return tuple(map(np_of, value))
    return value.numpy() if isinstance(value, torch.Tensor) else value


def test_a_map_of_sparse_rows_learns_those_of_a_tensor(elsewhere):
    umap = ParametricUMAP(**QUICK).fit(sp.csr_array(X))
    umap.partial_fit(torch.from_numpy(X_new))
    assert umap.embedding_.shape == (100, 2)
    assert sp.issparse(umap.reference_rows_)


@pytest.mark.parametrize("device", ["CPU_DEVICE", "device1"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_arrays_of_the_standard_are_answered_in_their_namespace_and_on_their_device(fitted, device, dtype):
    device = array_api_strict.Device(device)
    rows, new = (array_api_strict.asarray(given.astype(dtype), device=device) for given in (X[::-1], X_new))
    expected = ParametricUMAP(target_metric="categorical", **QUICK).fit(X[::-1].astype(dtype), y)
    with config_context(array_api_dispatch=True):
        umap = ParametricUMAP(target_metric="categorical", **QUICK)
        codes = array_api_strict.asarray(y, device=device)
        for Z, embedding in (
            (umap.fit_transform(rows, codes), expected.embedding_),
            (umap.transform(new), expected.transform(X_new.astype(dtype))),
            (umap.novelty_score(new), expected.novelty_score(X_new.astype(dtype))),
        ):
            assert Z.__array_namespace__() is array_api_strict
            assert Z.device == device
            assert Z.dtype == array_api_strict.float32
            np.testing.assert_array_equal(np.from_dlpack(Z), embedding)
        restored = fitted.inverse_transform(fitted.transform(new))
        assert restored.device == device and restored.shape == (100, 64)
        with pytest.raises(ValueError, match="Input X contains NaN"):
            umap.fit(array_api_strict.asarray(with_value(np.nan), device=device))
        assert isinstance(umap.transform(X_new), np.ndarray)  # a model fitted elsewhere takes NumPy's arrays, too
        assert_same(umap.transform(torch.from_numpy(X_new)), expected.transform(X_new))
    assert isinstance(umap.embedding_, np.ndarray)


@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.parametrize(("container", "frame"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame)])
def test_set_output_makes_frames_of_what_tensors_become(monkeypatch, fitted, container, frame, stays):
    monkeypatch.setattr(containers, "_stays", lambda tensor: stays)
    rows = torch.from_numpy(X)
    umap = ParametricUMAP(**QUICK).set_output(transform=container)
    output = umap.fit_transform(rows)
    assert isinstance(output, frame)
    assert list(output.columns) == ["parametricumap0", "parametricumap1"]
    np.testing.assert_array_equal(output.to_numpy(), umap.embedding_)
    assert isinstance(umap.transform(rows), frame)
    assert isinstance(umap.novelty_score(rows), torch.Tensor)
    with config_context(array_api_dispatch=True, transform_output=container):
        assert isinstance(fitted.transform(array_api_strict.asarray(X)), frame)


@pytest.mark.parametrize("as_frame", [pa.table, pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize("dtype", [np.float64, np.int16])
def test_frames_of_all_libraries_are_mapped_and_leave_their_names(as_frame, dtype):
    names = [f"pixel {i}" for i in range(64)]
    frame = as_frame(dict(zip(names, X.astype(dtype).T, strict=True)))
    umap = ParametricUMAP(target_metric="categorical", **QUICK)
    labels_of_library = {pa.Table: pa.array, pd.DataFrame: pd.Series, pl.DataFrame: pl.Series}
    Z = umap.fit_transform(frame, labels_of_library[type(frame)](y))
    assert isinstance(Z, np.ndarray)
    assert list(umap.feature_names_in_) == names
    np.testing.assert_array_equal(
        Z, ParametricUMAP(target_metric="categorical", **QUICK).fit(X.astype(dtype), y).embedding_
    )
    np.testing.assert_array_equal(umap.transform(frame), Z)
    with pytest.raises(ValueError, match="feature names should match those that were passed during fit"):
        umap.transform(as_frame(dict(zip(names[::-1], X.astype(dtype).T, strict=True))))


def test_the_guides_recipe_for_anndata_puts_the_map_where_scanpy_looks():
    guide = (Path(__file__).parents[1] / "docs/guide/scikit_learn.rst").read_text()
    recipe = re.search(r"^AnnData$.*?code-block:: python\n(.*?)^\S", guide, flags=re.DOTALL | re.MULTILINE)[1]
    adata, new = (SimpleNamespace(obsm={"X_pca": rows}) for rows in (X, X_new))
    exec(
        dedent(recipe), {"adata": adata, "new": new, "ParametricUMAP": partial(ParametricUMAP, **QUICK)}
    )  # the recipe seeds it, too
    expected = ParametricUMAP(**QUICK).fit(X)
    np.testing.assert_array_equal(adata.obsm["X_umap"], expected.embedding_)
    np.testing.assert_array_equal(new.obsm["X_umap"], expected.transform(X_new))


class OnCuda:
    """An array as CuPy's: it lies on a CUDA device, and becomes no NumPy array by itself."""

    def __init__(self, array):
        self.array = np.asarray(array)

    device = "cuda:0"
    shape = property(lambda self: self.array.shape)
    strides = property(lambda self: self.array.strides)

    def __dlpack_device__(self):
        return (2, 0)

    def __dlpack__(self, **how):
        raise AssertionError("torch is asked for")

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_namespace__(self):
        return SimpleNamespace(from_dlpack=OnCuda)

    def copy(self):
        return OnCuda(self.array.copy())

    def __len__(self):
        return len(self.array)


@pytest.fixture
def cuda_arrays(monkeypatch):
    """torch reads them as if they were on its device."""
    monkeypatch.setattr(torch, "from_dlpack", lambda given: torch.from_numpy(given.array))
    monkeypatch.setattr(containers, "_stays", lambda tensor: True)


def test_arrays_on_a_cuda_device_are_taken_and_answered_without_being_asked_for(cuda_arrays):
    expected = ParametricUMAP(target_metric="categorical", **QUICK).fit(X, y)
    umap = ParametricUMAP(target_metric="categorical", **QUICK)
    for answer, embedding in (
        (umap.fit_transform(OnCuda(X), OnCuda(y)), expected.embedding_),
        (umap.transform(OnCuda(X_new)), expected.transform(X_new)),
        (umap.transform(OnCuda(X_new[::-1])), expected.transform(X_new)[::-1]),
        (umap.novelty_score(OnCuda(X_new)), expected.novelty_score(X_new)),
    ):
        assert isinstance(answer, OnCuda)
        np.testing.assert_allclose(answer.array, embedding, rtol=1e-5, atol=1e-5)
    assert isinstance(umap.embedding_, np.ndarray)
    assert isinstance(umap.set_output(transform="pandas").transform(OnCuda(X_new)), pd.DataFrame)
    given = {"precomputed_distances": OnCuda(cdist(X, X)), "landmark_positions": OnCuda(expected.embedding_)}
    assert ParametricUMAP(init=OnCuda(X[:, 20:22]), **QUICK).fit(OnCuda(X), **given).embedding_.shape == (200, 2)


def test_an_array_that_torch_cannot_read_is_told_in_words(monkeypatch):
    def refused(given):
        raise BufferError("unsupported device 14")

    monkeypatch.setattr(torch, "from_dlpack", refused)
    with pytest.raises(TypeError, match=r"torch cannot read the test_tensors\.OnCuda .* bring it to the host"):
        ParametricUMAP(**QUICK).fit(OnCuda(X))


@pytest.mark.cuda
def test_cuda_tensors_never_come_to_the_host(elsewhere, monkeypatch):
    monkeypatch.setattr(containers, "_stays", lambda tensor: tensor.device.type == "cuda")
    rows = torch.from_numpy(WIDE).cuda()
    elsewhere.clear()
    umap = ParametricUMAP(**QUICK)
    Z = umap.fit_transform(rows)
    assert umap.device_ == rows.device
    for answer in (Z, umap.transform(rows), umap.novelty_score(rows)):
        assert answer.device == rows.device
        assert answer.dtype == torch.float32
    assert max(elsewhere) < WIDE.size / 2
    np.testing.assert_array_equal(Z.cpu(), umap.embedding_)
    expected = ParametricUMAP(**QUICK).fit(WIDE)
    assert abs(umap.graph_ - expected.graph_).max() < 1e-4
    np.testing.assert_allclose(umap.novelty_score(rows).cpu(), umap.novelty_score(WIDE), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(umap.transform(WIDE), umap.embedding_, atol=1e-4)


@pytest.mark.cuda
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "correlation", "manhattan"])
@pytest.mark.parametrize("init", ["spectral", "pca"])
def test_a_cuda_tensor_is_fitted_by_every_way_of_the_fit(metric, init):
    rows = torch.from_numpy(np.vstack([GROUPS, GROUPS[:9]])).cuda()
    umap = ParametricUMAP(metric=metric, init=init, unique=True, decoder=True, reconstruction_validation=0.1, **QUICK)
    Z = umap.fit_transform(rows)
    assert umap.inverse_transform(Z).device == rows.device
    umap.partial_fit(rows[:50].half())
    assert umap.feature_attributions(rows).jacobian.shape == (209, 2, 192)
    assert 0 < umap.score(rows) <= 1
    on_cpu = ParametricUMAP(device="cpu", **QUICK).fit(rows)
    assert on_cpu.device_.type == "cpu"
    assert on_cpu.transform(rows).device == rows.device
    with pytest.raises(ValueError, match="Input X contains NaN"):
        umap.transform(torch.full_like(rows, torch.nan))


@pytest.mark.cuda
@pytest.mark.parametrize("dispatch", [False, True])
def test_cupy_arrays_are_answered_by_cupy(dispatch):
    cupy = pytest.importorskip("cupy")
    rows = cupy.asarray(X)
    with config_context(array_api_dispatch=dispatch):
        umap = ParametricUMAP(**QUICK)
        for answer in (umap.fit_transform(rows), umap.transform(rows[::-1])[::-1], umap.novelty_score(rows)):
            assert isinstance(answer, cupy.ndarray)
            assert answer.device == rows.device
    np.testing.assert_allclose(cupy.asnumpy(umap.transform(X)), umap.embedding_, atol=1e-4)
