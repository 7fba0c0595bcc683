"""At home in scikit-learn: pipelines, searches, clones, containers and dtypes."""

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from parametric_umap import ParametricUMAP
from parametric_umap.engine import rows as rows_module

X, y = load_iris(return_X_y=True)
X32 = X.astype(np.float32)
QUICK = {"n_epochs": 2, "batches_per_epoch": 20, "hidden_layer_sizes": (32,), "random_state": 0}


@pytest.fixture(scope="module")
def embedding():
    return ParametricUMAP(**QUICK).fit_transform(X)


def test_a_pipeline_classifies_unseen_rows():
    pipeline = make_pipeline(StandardScaler(), ParametricUMAP(random_state=0), KNeighborsClassifier())
    assert pipeline.fit(X[::2], y[::2]).score(X[1::2], y[1::2]) > 0.85
    assert list(pipeline[:-1].get_feature_names_out()) == ["parametricumap0", "parametricumap1"]


def test_a_search_with_two_workers_equals_one_without():
    pipeline = make_pipeline(StandardScaler(), ParametricUMAP(**QUICK), KNeighborsClassifier())
    grid = {"parametricumap__n_neighbors": [5, 20], "parametricumap__min_dist": [0.0, 0.5]}
    parallel = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(X, y)
    serial = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    assert parallel.best_score_ > 0.8
    np.testing.assert_array_equal(parallel.cv_results_["mean_test_score"], serial.cv_results_["mean_test_score"])


@pytest.mark.parametrize("encoder", [None, torch.nn.Linear(4, 2)])
def test_a_clone_is_unfitted_and_fits_the_same(encoder):
    umap = ParametricUMAP(encoder=encoder, **QUICK).fit(X)
    copy = clone(umap)
    assert not hasattr(copy, "embedding_")
    np.testing.assert_array_equal(copy.fit(X).embedding_, umap.embedding_)


@pytest.mark.parametrize(("container", "frame"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame)])
def test_set_output_gives_frames_with_names(embedding, container, frame):
    umap = ParametricUMAP(**QUICK).set_output(transform=container)
    for output in (umap.fit_transform(X), umap.transform(X)):
        assert isinstance(output, frame)
        assert list(output.columns) == ["parametricumap0", "parametricumap1"]
        np.testing.assert_array_equal(output.to_numpy(), embedding)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames_leave_their_names_and_map_like_arrays(embedding, frame, recwarn):
    names = ["sepal length", "sepal width", "petal length", "petal width"]
    umap = ParametricUMAP(**QUICK).fit(frame(dict(zip(names, X.T, strict=True))))
    assert list(umap.feature_names_in_) == names
    umap.score(frame(dict(zip(names, X.T, strict=True))))
    assert not [warning for warning in recwarn if "feature names" in str(warning.message)]
    np.testing.assert_array_equal(umap.embedding_, embedding)
    with pytest.raises(ValueError, match="feature names should match those that were passed during fit"):
        umap.transform(pd.DataFrame(X, columns=names[::-1]))
    assert not hasattr(umap.fit(X), "feature_names_in_")


def memory_mapped(rows, tmp_path):
    joblib.dump(rows, tmp_path / "rows.joblib")
    return joblib.load(tmp_path / "rows.joblib", mmap_mode="r")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "given",
    [
        lambda rows, path: rows.tolist(),
        lambda rows, path: np.asfortranarray(rows),
        lambda rows, path: np.hstack([rows, rows])[:, :4],
        lambda rows, path: rows[::-1][::-1],
        memory_mapped,
        lambda rows, path: rows.astype(">f8"),
    ],
)
def test_the_layout_of_the_rows_changes_nothing(embedding, given, tmp_path):
    rows = given(X, tmp_path)
    umap = ParametricUMAP(**QUICK).fit(rows)
    np.testing.assert_array_equal(umap.embedding_, embedding)
    np.testing.assert_array_equal(umap.transform(rows), embedding)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int8, np.uint8, np.int64, bool])
def test_every_real_dtype_gives_a_float32_embedding_of_the_same_values(dtype):
    rows = (10 * X).astype(dtype)
    umap = ParametricUMAP(**QUICK).fit(rows)
    assert umap.embedding_.dtype == np.float32
    same = rows.astype(np.float32 if dtype == np.float32 else np.float64)
    np.testing.assert_array_equal(umap.embedding_, ParametricUMAP(**QUICK).fit(same).embedding_)


SPARSE = [sp.csr_array, sp.csr_matrix, sp.csc_array, sp.coo_array, sp.lil_matrix, sp.dok_array]


@pytest.mark.parametrize("to_sparse", SPARSE, ids=lambda f: f.__name__)
def test_sparse_formats_fit_the_same_map(to_sparse):
    rows = np.random.default_rng(0).normal(size=(150, 8)).clip([-9] + [0] * 7)  # zeros, and no two rows alike
    dense = ParametricUMAP(**QUICK).fit(rows)
    umap = ParametricUMAP(**QUICK).fit(to_sparse(rows))
    assert abs(umap.graph_ - dense.graph_).max() < 1e-4
    np.testing.assert_array_equal(umap.transform(to_sparse(rows)), umap.embedding_)
    np.testing.assert_allclose(umap.transform(rows), umap.embedding_, atol=1e-4)


def test_wide_sparse_rows_are_never_made_dense_together(monkeypatch):
    rows = sp.random_array((400, 30_000), density=1e-3, format="csr", rng=np.random.default_rng(0))
    monkeypatch.setattr(rows_module, "CHUNK_BYTES", 2**20)
    largest = []
    toarray = sp.csr_array.toarray
    monkeypatch.setattr(sp.csr_array, "toarray", lambda self, *args: largest.append(self.shape) or toarray(self, *args))
    umap = ParametricUMAP(n_neighbors=5, metric="cosine", init_epochs=1, init_batch_size=50, batch_size=20, **QUICK)
    umap.fit(rows)
    assert max(n for n, width in largest if width == 30_000) < 400
    assert np.isfinite(umap.embedding_).all()
