"""What cannot fit into memory is refused before any work; what is asked for too large is cut to what there is."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris

from parametric_umap import ParametricUMAP, plan, room
from parametric_umap.engine import SAMPLERS, MainEmbedding
from parametric_umap.graph import fuzzy_simplicial_set
from parametric_umap.losses import EdgeCrossEntropy
from parametric_umap.neighbors import nearest_neighbors
from parametric_umap.runtime import Runtime

resource = pytest.importorskip("resource", reason="this system has no limits of a process")

X = load_iris().data
QUICK = {"n_neighbors": 5, "n_epochs": 2, "random_state": 0}


@pytest.mark.parametrize(
    ("parameters", "what"),
    [
        ({"hidden_layer_sizes": (10**6, 10**6)}, "the weights of the network"),
        ({"n_components": 2**31 - 1, "hidden_layer_sizes": 200}, "the weights of the network"),
        ({"n_waves": 2**31 - 1, "hidden_layer_sizes": 200}, "the weights of the network"),
        ({"batches_per_epoch": 10**9}, "batches of .* rows"),
        ({"n_epochs": 2**31 - 1}, "the learning rates of .* steps"),
    ],
)
def test_what_cannot_fit_is_refused_at_once(parameters, what, monkeypatch):
    monkeypatch.setattr(plan.Plan, "make_encoder", pytest.fail)
    umap = ParametricUMAP(**QUICK | parameters)
    with pytest.raises(MemoryError, match=rf"at least .* GiB of memory, .* GiB of them for {what}; .* are free\."):
        umap.fit(X)
    assert not hasattr(umap, "encoder_")


def test_many_rows_need_room_for_their_neighbours(monkeypatch):
    monkeypatch.setattr(room, "available_bytes", lambda: 2**30)
    with pytest.raises(MemoryError, match="for the neighbours of 100000000 rows; 1 GiB are free"):
        room.check_room(10**8, 15, [20, 2], rows_per_batch=2048, batches_per_epoch=10, n_steps=10)
    room.check_room(10**5, 15, [20, 160, 2], rows_per_batch=2048, batches_per_epoch=100, n_steps=3000)


def test_the_limit_of_the_process_counts():
    limits = resource.getrlimit(resource.RLIMIT_AS)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (2**38, limits[1]))
        wide = room._left_of_limit()
        resource.setrlimit(resource.RLIMIT_AS, (2**37, limits[1]))
        assert wide - room._left_of_limit() == pytest.approx(2**37, rel=0.1)
        assert room.available_bytes() <= room._left_of_limit()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.parametrize("sampling", SAMPLERS)
def test_a_batch_is_never_larger_than_the_graph(sampling):
    indices, distances = nearest_neighbors(X, 15)
    sampler = SAMPLERS[sampling](fuzzy_simplicial_set(indices, distances), torch.device("cpu"))
    how = {"n_epochs": 1, "batches_per_epoch": 1, "learning_rate": 0.01}
    phase = MainEmbedding(sampler, EdgeCrossEntropy(1.6, 0.9, 5, 1.0), batch_size=10**8, **how)
    assert phase.n_groups == (150 if sampling == "neighborhoods" else len(sampler.edges))
    assert np.isfinite(ParametricUMAP(sampling=sampling, batch_size=10**8, **QUICK).fit(X).embedding_).all()


def test_what_torch_says_of_a_full_memory_is_said_in_our_words():
    with pytest.raises(MemoryError, match=r"there was no room for another .* MiB"), Runtime("cpu"):
        torch.empty(2**55)


def test_threads_that_could_not_be_started_are_refused(monkeypatch):
    """OpenMP would end the process."""
    monkeypatch.setattr(room, "_left_of_limit", lambda: 2**20)
    umap = ParametricUMAP(n_jobs=2, **QUICK)
    with pytest.raises(
        MemoryError, match=r"the stacks of 2 threads take .* MiB of memory; 1 MiB are free; with n_jobs"
    ):
        umap.fit(X)
    room.check_stacks(1)
    monkeypatch.setattr(room, "_left_of_limit", lambda: np.inf)
    assert np.isfinite(umap.fit(X).embedding_).all()
