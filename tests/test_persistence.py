"""A model that is kept maps as before: pickle, joblib, copies, other processes, other machines."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits

from parametric_umap import ParametricUMAP

X = load_digits().data
DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def fitted():
    return ParametricUMAP(n_epochs=2, batches_per_epoch=10, random_state=0).fit(X[:1000])


def by_pickle(umap, path):
    return pickle.loads(pickle.dumps(umap))


def by_joblib(umap, path):
    joblib.dump(umap, path)
    return joblib.load(path)


def by_memory_map(umap, path):
    joblib.dump(umap, path)
    loaded = joblib.load(path, mmap_mode="r")
    assert isinstance(loaded.embedding_, np.memmap)
    return loaded


@pytest.mark.parametrize("kept", [by_pickle, by_joblib, by_memory_map, lambda umap, path: copy.deepcopy(umap)])
def test_a_kept_model_gives_the_same_bits(fitted, kept, tmp_path):
    loaded = kept(fitted, tmp_path / "umap.joblib")
    np.testing.assert_array_equal(loaded.transform(X[1000:]), fitted.transform(X[1000:]))
    np.testing.assert_array_equal(loaded.embedding_, fitted.embedding_)
    assert (loaded.graph_ != fitted.graph_).nnz == 0
    assert loaded.get_params() == fitted.get_params()


def test_a_fresh_process_gives_the_same_bits(fitted, tmp_path):
    joblib.dump(fitted, tmp_path / "umap.joblib")
    np.save(tmp_path / "rows.npy", X[1000:])
    program = (
        "import sys, joblib, numpy as np, torch\n"
        f"torch.set_num_threads({torch.get_num_threads()})\n"  # numba's first loop may set them
        "umap = joblib.load('umap.joblib')\n"
        "np.save('mapped.npy', umap.transform(np.load('rows.npy')))\n"
        "assert 'numba' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=300)
    np.testing.assert_array_equal(np.load(tmp_path / "mapped.npy"), fitted.transform(X[1000:]))


def test_the_file_holds_few_of_the_rows_and_nothing_of_numba(fitted):
    few_features = len(pickle.dumps(fitted))
    wide = ParametricUMAP(n_epochs=1, batches_per_epoch=1, hidden_layer_sizes=(4,), random_state=0)
    wide.fit(np.hstack([X[:1000]] * 20))
    n_bytes_of_rows = 20 * X[:1000].nbytes
    assert len(pickle.dumps(wide)) < n_bytes_of_rows / 4
    assert few_features < fitted.graph_.data.nbytes * 3 + 4 * 2**20
    assert b"numba" not in pickle.dumps(fitted)
    assert b"pynndescent" not in pickle.dumps(fitted)


def test_a_model_of_a_missing_device_is_loaded_on_the_cpu(fitted, monkeypatch):
    elsewhere = copy.copy(fitted)
    elsewhere.device_ = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    loaded = pickle.loads(pickle.dumps(elsewhere))
    assert loaded.device_ == torch.device("cpu")
    np.testing.assert_array_equal(loaded.transform(X[1000:]), fitted.transform(X[1000:]))


class Remote(torch.nn.Linear):
    """Stands for a module on a device that this machine lacks."""

    home = False

    def cpu(self):
        self.home = True
        return super().cpu()


def test_modules_travel_on_the_cpu_and_stay_where_they_are():
    umap = ParametricUMAP(encoder=Remote(4, 2))
    umap.encoder_ = Remote(4, 2)
    state = umap.__getstate__()
    assert state["encoder"].home and state["encoder_"].home
    assert not umap.encoder.home and not umap.encoder_.home


@pytest.mark.cuda
def test_a_model_of_cuda_loads_without_cuda(tmp_path):
    umap = ParametricUMAP(n_epochs=2, batches_per_epoch=10, device="cuda", random_state=0).fit(X[:1000])
    joblib.dump(umap, tmp_path / "umap.joblib")
    np.save(tmp_path / "rows.npy", X[1000:])
    program = (
        "import joblib, numpy as np, torch\n"
        "assert not torch.cuda.is_available()\n"
        "np.save('mapped.npy', joblib.load('umap.joblib').transform(np.load('rows.npy')))\n"
    )
    environment = {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, env=environment, timeout=300)
    np.testing.assert_allclose(np.load(tmp_path / "mapped.npy"), umap.transform(X[1000:]), atol=1e-3)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
@pytest.mark.parametrize("file", sorted(DATA.glob("*.pickle")), ids=lambda file: file.stem)
def test_a_pickle_of_an_earlier_version_maps_as_it_did(file):
    """Written by ``data/keep.py`` with the code of that version; the classes in it keep their names and modules."""
    umap = pickle.loads(file.read_bytes())
    rows = X[:50]
    if hasattr(umap, "feature_names_in_"):
        rows = pd.DataFrame(np.hstack([rows] * 3), columns=umap.feature_names_in_)
    np.testing.assert_allclose(umap.transform(rows), np.load(file.with_suffix(".npy")), rtol=1e-4, atol=1e-4)
    assert np.isfinite(umap.novelty_score(rows)).all()
    assert umap.partial_fit(rows).embedding_.shape == (50, umap.n_components)
    again = pickle.loads(pickle.dumps(umap))
    np.testing.assert_array_equal(again.transform(rows), umap.embedding_)
