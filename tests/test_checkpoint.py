"""A fit that was killed goes on from its checkpoint and ends with the bits of one that was not."""

import os
import re

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from children import killed_in_time, script
from sklearn.base import clone
from sklearn.datasets import load_digits

from parametric_umap import ParametricUMAP, checkpoint, plan

X, y = load_digits(return_X_y=True)
X, y = X[:300], y[:300]
QUICK = {"n_epochs": 4, "batches_per_epoch": 5, "init_epochs": 3, "n_neighbors": 8, "hidden_layer_sizes": (16,)}


class Killed(BaseException):
    pass


@pytest.fixture(autouse=True)
def kept_after_every_epoch(monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS", -1)
    monkeypatch.setattr(checkpoint, "TIMES_A_WRITE", 0)


def killed_at(monkeypatch, n_writes, fit):
    """Let a fit be killed right after its file was written so many times."""
    written, write = [], checkpoint.write_tensors

    def counting(*arguments):
        write(*arguments)
        written.append(arguments)
        if len(written) == n_writes:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "write_tensors", counting)
        with pytest.raises(Killed):
            fit()


def assert_same(umap, expected):
    np.testing.assert_array_equal(umap.embedding_, expected.embedding_)
    np.testing.assert_array_equal(umap.transform(X), expected.transform(X))
    np.testing.assert_array_equal(umap.init_embedding_, expected.init_embedding_)
    assert (umap.graph_ != expected.graph_).nnz == 0
    for name, losses in expected.loss_curve_.items():
        np.testing.assert_array_equal(umap.loss_curve_[name], losses)


class Dropping(torch.nn.Sequential):
    """Draws from torch's own random state, and has statistics."""

    def __init__(self, n_features, n_components):
        hidden = torch.nn.Linear(n_features, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.2)
        super().__init__(*hidden, torch.nn.Linear(8, n_components))


KINDS = {
    "plain": {},
    "edges": {"sampling": "edges", "init": "pca"},
    "random": {"init": "random"},
    "decoder": {"decoder": True, "reconstruction_validation": 0.2},
    "supervised": {"target_metric": "categorical"},
    "of your own": {"encoder": Dropping},
    "densmap": {"densmap": True, "output_dens": True, "global_correlation_weight": 1.0},
    "unique": {"unique": True},
}


# After neighbours, graph and positions come three epochs of the first phase and four of the second.
@pytest.mark.parametrize("n_writes", [1, 3, 5, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_fit_goes_on_and_ends_with_the_same_bits(kind, n_writes, tmp_path, monkeypatch):
    path = tmp_path / "checkpoint"
    parameters = QUICK | KINDS[kind] | {"random_state": 0}
    expected = ParametricUMAP(**parameters).fit(X, y)
    umap = ParametricUMAP(checkpoint=path, **parameters)
    killed_at(monkeypatch, min(n_writes, 6) if kind == "random" else n_writes, lambda: umap.fit(X, y))
    assert path.exists() and not hasattr(umap, "encoder_")
    searched = []
    search = plan.find_neighbors
    monkeypatch.setattr(plan, "find_neighbors", lambda *args, **how: searched.append(1) or search(*args, **how))
    umap = ParametricUMAP(checkpoint=str(path), **parameters).fit(X, y)
    assert_same(umap, expected)
    assert not searched and not os.listdir(tmp_path)


def test_a_fit_may_be_killed_again_and_again(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint"
    umap = ParametricUMAP(checkpoint=path, random_state=0, **QUICK)
    for _ in range(9):
        killed_at(monkeypatch, 1, lambda: umap.fit(X))
    assert_same(umap.fit(X), ParametricUMAP(random_state=0, **QUICK).fit(X))


@pytest.mark.parametrize("container", [sp.csr_array, lambda x: torch.tensor(x), lambda x: np.float32(x)])
def test_other_containers(container, tmp_path, monkeypatch):
    rows, how = container(X), QUICK | {"random_state": np.random.RandomState(3)}
    expected = clone(ParametricUMAP(**how)).fit(rows)
    umap = clone(ParametricUMAP(checkpoint=tmp_path / "checkpoint", **how))
    killed_at(monkeypatch, 7, lambda: clone(umap).fit(rows))
    np.testing.assert_array_equal(umap.fit(rows).embedding_, expected.embedding_)


def test_a_seed_that_was_drawn_is_kept(tmp_path, monkeypatch):
    seeds, keep_seed = [], checkpoint.Checkpoint.keep_seed
    monkeypatch.setattr(
        checkpoint.Checkpoint, "keep_seed", lambda self, seed: seeds.append(seed) or keep_seed(self, seed)
    )
    umap = ParametricUMAP(checkpoint=tmp_path / "checkpoint", **QUICK)
    killed_at(monkeypatch, 5, lambda: umap.fit(X))
    umap.fit(X)
    umap.fit(X)
    assert seeds[0] == seeds[1] != seeds[2]


def test_partial_fit_and_warm_start_go_on(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint"
    expected, umap = (ParametricUMAP(random_state=0, **QUICK).fit(X[:200]) for _ in range(2))
    expected.partial_fit(X[200:])
    umap.set_params(checkpoint=path)
    killed_at(monkeypatch, 4, lambda: umap.partial_fit(X[200:]))
    assert_same(umap.partial_fit(X[200:]), expected)
    expected.set_params(warm_start=True).fit(X)
    killed_at(monkeypatch, 4, lambda: umap.set_params(warm_start=True).fit(X))
    assert_same(umap.fit(X), expected)


def test_it_works_beside_memory_and_callbacks(tmp_path, monkeypatch):
    callback = pytest.importorskip("sklearn.callback", reason="scikit-learn before 1.9 has no callbacks")
    expected = ParametricUMAP(random_state=0, **QUICK).fit(X)
    path = tmp_path / "checkpoint"
    monitor = callback.ScoringMonitor(scoring={"trustworthiness": ParametricUMAP.score})
    umap = ParametricUMAP(checkpoint=path, memory=str(tmp_path / "memory"), random_state=0, **QUICK)
    umap.set_callbacks(monitor)
    killed_at(monkeypatch, 6, lambda: umap.fit(X, y))
    assert_same(umap.fit(X, y), expected)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda umap: umap.fit(X + 1), "X differ"),
        (lambda umap: umap.set_params(min_dist=0.2, learning_rate=0.1).fit(X), "learning_rate, min_dist differ"),
        (lambda umap: umap.set_params(encoder=Dropping).fit(X), "encoder differ"),
        (lambda umap: umap.set_params(random_state=1).fit(X), "random_state differ"),
        (lambda umap: umap.set_params(n_jobs=1 + torch.get_num_threads()).fit(X), "the number of threads differ"),
    ],
)
def test_a_checkpoint_of_another_fit_is_refused_by_name(change, named, tmp_path, monkeypatch):
    path = tmp_path / "checkpoint"
    umap = ParametricUMAP(checkpoint=path, random_state=0, **QUICK)
    killed_at(monkeypatch, 5, lambda: umap.fit(X))
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"checkpoint='{re.escape(str(path))}' is of another fit, of which {named}"):
        change(umap)
    assert path.read_bytes() == before


def test_another_version_is_refused(tmp_path, monkeypatch):
    umap = ParametricUMAP(checkpoint=tmp_path / "checkpoint", random_state=0, **QUICK)
    killed_at(monkeypatch, 5, lambda: umap.fit(X))
    monkeypatch.setattr("parametric_umap.__version__", "999")
    with pytest.raises(ValueError, match="the versions of the packages differ"):
        umap.fit(X)


def test_functions_are_told_apart_by_what_they_do(tmp_path, monkeypatch):
    def metric_of_order(order):
        return lambda x, y: (np.abs(x - y) ** order).sum()

    path = tmp_path / "checkpoint"
    umap = ParametricUMAP(checkpoint=path, metric=lambda x, y: np.abs(x - y).max(), random_state=0, **QUICK)
    killed_at(monkeypatch, 2, lambda: umap.fit(X[:60]))
    with pytest.raises(ValueError, match="of which metric differ"):
        umap.set_params(metric=lambda x, y: np.abs(x - y).sum()).fit(X[:60])
    path.unlink()
    killed_at(monkeypatch, 2, lambda: umap.set_params(metric=metric_of_order(1)).fit(X[:60]))
    with pytest.raises(ValueError, match="of which metric differ"):
        umap.set_params(metric=metric_of_order(2)).fit(X[:60])


def test_a_damaged_or_foreign_file_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint"
    umap = ParametricUMAP(checkpoint=path, random_state=0, **QUICK)
    killed_at(monkeypatch, 5, lambda: umap.fit(X))
    damaged = bytearray(path.read_bytes())
    damaged[-100] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=f"{path} is damaged"):
        umap.fit(X)
    ParametricUMAP(random_state=0, **QUICK).fit(X).save(path)
    with pytest.raises(ValueError, match=f"{path} is not a checkpoint of a fit"):
        umap.fit(X)


@pytest.mark.parametrize("place", ["nowhere/checkpoint", "."])
def test_a_place_that_takes_no_file_is_named_before_any_work(place, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "find_neighbors", pytest.fail)
    with pytest.raises(ValueError, match=r"checkpoint=.* must be a file in a folder that is there"):
        ParametricUMAP(checkpoint=tmp_path / place, **QUICK).fit(X)


KILLED = """
import sys
from parametric_umap import ParametricUMAP, checkpoint
from test_checkpoint import LONG, X

checkpoint.SECONDS, checkpoint.TIMES_A_WRITE = -1, 0
ParametricUMAP(checkpoint=sys.argv[1], **LONG).fit(X)
"""
LONG = QUICK | {"random_state": 0, "n_jobs": 1, "n_epochs": 400}


def test_a_process_that_is_killed_is_gone_on_with(tmp_path):
    path = tmp_path / "checkpoint"
    with killed_in_time(script(KILLED, path)) as process:
        while not path.exists() or b"main_embedding" not in path.read_bytes():
            assert process.poll() is None
    assert path.exists()
    assert_same(ParametricUMAP(checkpoint=path, **LONG).fit(X), ParametricUMAP(**LONG).fit(X))
    assert not os.listdir(tmp_path)


def test_training_keeps_its_state_seldom(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS", 3600)
    written, write = [], checkpoint.write_tensors
    monkeypatch.setattr(checkpoint, "write_tensors", lambda *given: written.append(1) or write(*given))
    ParametricUMAP(checkpoint=tmp_path / "checkpoint", random_state=0, **QUICK).fit(X)
    assert len(written) == 3  # neighbours, graph and positions
