"""Captured epochs: every batch once and in order, whatever a replay holds; a failed capture leaves torch as it was.

There is no GPU here. Steps run as they are where nothing is captured, and torch's part of a capture is played by a
stand-in that records what it is told. Whether CUDA captures is for the tests marked ``cuda``.
"""

import warnings
from contextlib import contextmanager

import pytest
import torch

from parametric_umap.engine.captured import N_FIRST, STEPS_FOR_ONE, CapturedEpoch


def recording_epoch(n_steps):
    """An epoch whose steps write down their batch, and give it as their loss."""
    seen = []

    def step(batch):
        seen.append(batch[0].item())
        return batch[0].float()

    return CapturedEpoch(step, n_steps), seen


@pytest.mark.parametrize("n_steps_for_one", [1, 2, 5, 100])
@pytest.mark.parametrize("n_batches", [1, 2, 3, 4, 7, 10, 39])
def test_every_batch_is_taken_once_and_in_order(n_batches, n_steps_for_one):
    epoch, seen = recording_epoch(n_steps_for_one * STEPS_FOR_ONE)
    for number in range(3):
        batches = torch.arange(n_batches) + 100 * number
        assert epoch([batches]) == batches.sum()
        assert seen == batches.tolist()
        seen.clear()
    assert n_batches % epoch.steps_per_replay == 0
    assert epoch.steps_per_replay <= n_steps_for_one


def test_a_short_phase_replays_one_step_at_a_time_and_a_long_one_many():
    short, long = recording_epoch(450)[0], recording_epoch(3000)[0]
    for epoch in (short, long):
        epoch([torch.arange(100)])
    assert (short.steps_per_replay, long.steps_per_replay) == (1, 5)  # the largest divisor of 100 up to 3000 / 500


class PlayedCuda:
    """What `torch.cuda` is asked for in a capture. With an error the capture fails as CUDA's does: at its end."""

    def __init__(self, error=None):
        self.error, self.told = error, []
        self.stream_now = "the stream of the fit"
        self.default_generators = [self]

    def clone_state(self):
        return "random state before"

    def graphsafe_set_state(self, state):
        self.told.append(state)

    def Stream(self, device):
        return self

    def current_stream(self, device):
        return self

    def wait_stream(self, stream):
        self.told.append("wait")

    @contextmanager
    def stream(self, stream):
        yield

    def set_stream(self, stream):
        self.told.append("stream restored")

    def graph_pool_handle(self):
        return (0, 7)

    def CUDAGraph(self):
        return self

    def replay(self):
        self.told.append("replay")

    @contextmanager
    def graph(self, graph, pool, stream, capture_error_mode):
        assert (graph, pool, capture_error_mode) == (self, (0, 7), "thread_local")
        yield
        if self.error is not None:
            raise self.error


def captured_by(monkeypatch, cuda, n_batches=6):
    epoch, seen = recording_epoch(STEPS_FOR_ONE)
    monkeypatch.setattr("parametric_umap.engine.captured.torch.cuda", cuda)
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", lambda *of: cuda.told.append(of), raising=False)
    epoch.batches = [torch.arange(n_batches)]
    epoch.position, epoch.total = torch.zeros(1, dtype=torch.int64), torch.zeros(())
    epoch.steps_per_replay = 1
    return epoch, seen, epoch._captured(torch.device("cuda", 0), N_FIRST)


def test_a_capture_waits_for_the_steps_before_it_and_is_replayed(monkeypatch):
    cuda = PlayedCuda()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, seen, replay = captured_by(monkeypatch, cuda)
    assert replay == cuda.replay
    assert cuda.told == ["wait", "wait"]
    assert seen == [0, 1, 2, 3]  # three as they are, and one while it is recorded


def test_a_failed_capture_says_why_and_leaves_torch_usable(monkeypatch):
    cuda = PlayedCuda(RuntimeError("operation not permitted when stream is capturing\nmore lines"))
    with pytest.warns(
        RuntimeWarning, match="could not be captured .* operation not permitted when stream is capturing$"
    ):
        epoch, _, replay = captured_by(monkeypatch, cuda)
    assert replay == epoch._run_some
    assert cuda.told == ["wait", "wait", "stream restored", (0, (0, 7)), "random state before"]
