"""Where a fit runs: seeds by name, what is looked up, and what happens where a device is full."""

import numpy as np
import pytest
import torch
from pretended import META
from sklearn.datasets import load_digits

from parametric_umap import ParametricUMAP, plan
from parametric_umap import runtime as runtime_module
from parametric_umap.runtime import Runtime

X = load_digits().data[:200]
QUICK = {"n_epochs": 2, "batches_per_epoch": 10, "hidden_layer_sizes": (16,), "random_state": 0}


def on_a_full_device(monkeypatch, **how):
    """A runtime whose device is taken for a GPU."""
    monkeypatch.setattr(runtime_module, "resolve_device", lambda device: META)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    return Runtime("auto", **how)


def test_a_seed_depends_on_its_name_and_on_nothing_that_was_drawn_before():
    first, second, other = (Runtime("cpu", random_state=seed) for seed in (0, 0, 1))
    first.seed("encoder")
    assert first.seed("training") == second.seed("training") == first.seed("training")
    assert len({first.seed("training"), first.seed("encoder"), other.seed("training")}) == 3
    assert 0 <= first.seed("training") < 2**31


def test_a_random_state_gives_one_number_and_none_gives_another_every_time():
    random_state, same = np.random.RandomState(3), np.random.RandomState(3)
    Runtime("cpu", random_state=random_state)
    assert same.randint(np.iinfo(np.int32).max) is not None
    assert random_state.randint(1000) == same.randint(1000)
    assert Runtime("cpu").seed("training") != Runtime("cpu").seed("training")


def test_a_decoder_changes_no_seed_of_the_others():
    """Its losses are its own: the encoder starts and is trained as without it."""
    plain, decoded = (ParametricUMAP(decoder=decoder, **QUICK).fit(X) for decoder in (False, True))
    np.testing.assert_array_equal(decoded.embedding_, plain.embedding_)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("cusolver error: CUSOLVER_STATUS_INTERNAL_ERROR, when calling `cusolverDnCreate(handle)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: out of memory"),
    ],
)
def test_a_stage_without_room_runs_on_the_host_with_a_warning(monkeypatch, error):
    runtime, seen = on_a_full_device(monkeypatch), []

    def doubled(x, *, device):
        seen.append(device)
        if device.type != "cpu":
            raise error
        return 2 * x

    with pytest.warns(RuntimeWarning, match="meta has no room for doubled, which runs on the CPU"):
        assert runtime.with_room(doubled, torch.ones(3), device=META).tolist() == [2, 2, 2]
    assert [device.type for device in seen] == ["meta", "cpu"]


def test_rows_that_find_no_room_after_all_stay_on_the_host(monkeypatch):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    runtime = on_a_full_device(monkeypatch)
    monkeypatch.setattr("parametric_umap.engine.rows.chunks_on", full)
    with pytest.warns(RuntimeWarning, match="meta has no room for placed_rows"):
        assert runtime.place(X) is X


def test_other_errors_and_those_of_the_host_pass(monkeypatch):
    def failing(error):
        raise error

    runtime = on_a_full_device(monkeypatch)
    with pytest.raises(RuntimeError, match="shapes"):
        runtime.with_room(failing, RuntimeError("shapes do not match"))
    monkeypatch.undo()
    with pytest.raises(torch.OutOfMemoryError):
        Runtime("cpu").with_room(failing, torch.OutOfMemoryError("no room"))


def test_a_fit_without_room_says_what_can_be_done(monkeypatch):
    runtime = on_a_full_device(monkeypatch)
    runtime._settings = runtime_module.ExitStack()
    with pytest.raises(torch.OutOfMemoryError, match=r"meta has no room for this fit: .*take device='cpu'"):
        runtime.__exit__(torch.OutOfMemoryError, torch.OutOfMemoryError("CUDA out of memory."), None)


def test_an_error_in_a_fit_leaves_torch_as_it_was(monkeypatch):
    def failing(*args, **kwargs):
        raise RuntimeError("broken")

    monkeypatch.setattr(plan, "find_neighbors", failing)
    threads = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="broken"):
        ParametricUMAP(n_jobs=1, **QUICK).fit(X)
    assert torch.get_num_threads() == threads
