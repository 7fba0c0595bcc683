"""Rows that are read in blocks: the same map as of the same rows in memory, which never hold them as a whole."""

import os
import tempfile

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.datasets import load_digits

from parametric_umap import ParametricUMAP
from parametric_umap.blockwise import blocks_of, is_read_in_blocks

da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
h5py = pytest.importorskip("h5py")
zarr = pytest.importorskip("zarr")
X, y = load_digits(return_X_y=True)
X = X[:400].astype(np.float32)
y = y[:400]
QUICK = {"n_epochs": 2, "batches_per_epoch": 5, "init_epochs": 2, "random_state": 0}


class OnlyBlocks:
    """Rows of which at most some may be asked for at a time."""

    def __init__(self, rows, most):
        self.rows, self.most = rows, most
        self.shape, self.dtype, self.chunks = rows.shape, rows.dtype, (50, rows.shape[1])

    def __getitem__(self, rows):
        found = self.rows[rows]
        assert len(found) <= self.most, "too many rows at once"
        return found

    def __array__(self, *args, **kwargs):
        raise AssertionError("all rows at once")


def in_hdf5(rows, folder, **how):
    return h5py.File(folder / "rows.h5", "w").create_dataset("rows", data=rows, **how)


def in_zarr(rows, folder):
    stored = zarr.create_array(store=str(folder / "rows.zarr"), shape=rows.shape, chunks=(70, 30), dtype=rows.dtype)
    stored[:] = rows
    return stored


KINDS = {
    "dask": lambda rows, folder: da.from_array(rows, chunks=(130, 30)),
    "uneven dask": lambda rows, folder: da.from_array(rows, chunks=((1, 0, 300, len(rows) - 301), 64)),
    "dask of unknown length": lambda rows, folder: da.from_array(rows, chunks=(130, 64))[
        da.from_array(rows)[:, 0] >= 0
    ],
    "zarr": in_zarr,
    "hdf5": lambda rows, folder: in_hdf5(rows, folder, chunks=(60, 64)),
    "hdf5 in one piece": in_hdf5,
    "blocks": lambda rows, folder: OnlyBlocks(rows, 200),
}


@pytest.fixture(scope="module")
def fitted():
    return ParametricUMAP(decoder=True, **QUICK).fit(X)


@pytest.mark.parametrize("kind", KINDS)
def test_a_map_of_blocks_is_that_of_the_rows(monkeypatch, tmp_path, fitted, kind):
    monkeypatch.setattr("parametric_umap.blockwise.BLOCK_BYTES", 200 * 64 * 4)
    rows = KINDS[kind](X, tmp_path)
    assert is_read_in_blocks(rows)
    umap = ParametricUMAP(decoder=True, **QUICK).fit(rows)
    np.testing.assert_array_equal(umap.embedding_, fitted.embedding_)
    for method in ("transform", "novelty_score"):
        found = getattr(umap, method)(rows)
        assert isinstance(found, da.Array) == ("dask" in kind)
        assert found.dtype == np.float32
        np.testing.assert_allclose(np.asarray(found), getattr(fitted, method)(X), rtol=1e-4, atol=2e-3)  # 0 of itself


def test_answers_to_dask_are_lazy_and_in_the_same_blocks(fitted):
    rows = da.from_array(X, chunks=(130, 30))
    embedding, novelty = fitted.transform(rows), fitted.novelty_score(rows)
    back = fitted.inverse_transform(embedding)
    assert embedding.chunks == ((130, 130, 130, 10), (2,))
    assert novelty.chunks == ((130, 130, 130, 10),)
    assert back.chunks == ((130, 130, 130, 10), (64,))
    np.testing.assert_allclose(back, fitted.inverse_transform(fitted.transform(X)), rtol=1e-4, atol=1e-4)
    spoiled = da.concatenate([rows, da.full((5, 64), np.nan, dtype=np.float32)])
    lazy = fitted.transform(spoiled)  # nothing is computed yet
    assert lazy[:400].compute().shape == (400, 2)
    with pytest.raises(ValueError, match="NaN"):
        lazy.compute()


def test_fit_transform_of_dask_gives_dask(fitted):
    rows = da.from_array(X, chunks=(130, 64))
    embedding = ParametricUMAP(decoder=True, **QUICK).fit_transform(rows)
    assert isinstance(embedding, da.Array) and embedding.chunks == ((130, 130, 130, 10), (2,))
    np.testing.assert_array_equal(embedding, fitted.embedding_)


def test_data_frames_of_dask_have_names(fitted):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=[f"pixel {i}" for i in range(64)])
    in_parts = dd.from_pandas(frame, npartitions=3)
    umap = ParametricUMAP(decoder=True, **QUICK).fit(in_parts, da.from_array(y, chunks=100))
    assert list(umap.feature_names_in_) == list(frame.columns)
    np.testing.assert_array_equal(umap.embedding_, fitted.embedding_)
    np.testing.assert_allclose(umap.transform(in_parts), fitted.transform(X), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="feature names"):
        umap.transform(in_parts.rename(columns={"pixel 0": "another"})).compute()


def test_targets_of_dask_supervise():
    how = {"target_metric": "categorical", **QUICK}
    in_memory = ParametricUMAP(**how).fit(X, y)
    in_blocks = ParametricUMAP(**how).fit(da.from_array(X, chunks=100), da.from_array(y, chunks=100))
    np.testing.assert_array_equal(in_blocks.embedding_, in_memory.embedding_)


def test_float64_and_integers_keep_their_digits(tmp_path):
    rows = 1e6 + np.random.default_rng(0).normal(size=(100, 3))
    for given in (rows, rows.astype(np.int64)):
        in_blocks = ParametricUMAP(**QUICK).fit(da.from_array(given, chunks=30))
        np.testing.assert_array_equal(in_blocks.embedding_, ParametricUMAP(**QUICK).fit(given).embedding_)


@pytest.mark.parametrize("fails", [False, True])
def test_the_temporary_file_is_removed(monkeypatch, tmp_path, fails):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    rows = X.copy()
    if fails:
        rows[7, 7] = np.inf
        with pytest.raises(ValueError, match="infinity"):
            ParametricUMAP(**QUICK).fit(da.from_array(rows, chunks=100))
    else:
        umap = ParametricUMAP(**QUICK).fit(da.from_array(rows, chunks=100))
        assert np.isfinite(umap.transform(X)).all()
    assert os.listdir(tmp_path) == []


def test_a_folder_without_room_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def full(X):
        yield X[:100]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("parametric_umap.blockwise.blocks_of", full)
    umap = ParametricUMAP(**QUICK)
    with pytest.raises(OSError, match=rf"take 0.0001 GB in a temporary file, .* {tmp_path}: .*No space.*set TMPDIR"):
        umap.fit(OnlyBlocks(X, 100))
    assert not hasattr(umap, "embedding_") and os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (da.ones((10, 2, 2)), r"two dimensions, rows and features; its shape is \(10, 2, 2\)"),
        (da.ones((10, 2), dtype=complex), "dense and of real numbers"),
    ],
)
def test_blocks_that_are_no_rows_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        ParametricUMAP().fit(rows)


def test_blocks_are_whole_chunks(monkeypatch, tmp_path):
    monkeypatch.setattr("parametric_umap.blockwise.BLOCK_BYTES", 200 * 64 * 4)
    sizes = [len(block) for block in blocks_of(in_hdf5(X, tmp_path, chunks=(60, 64)))]
    assert sizes == [180, 180, 40]


def test_what_is_in_memory_is_not_read_in_blocks():
    pd = pytest.importorskip("pandas")
    for rows in (X, X.tolist(), pd.DataFrame(X), sp.csr_array(X), torch.from_numpy(X)):
        assert not is_read_in_blocks(rows)
