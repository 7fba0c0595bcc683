"""Training beside other processes: fewer threads while they want the cores, and the same bits."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from parametric_umap import ParametricUMAP
from parametric_umap.engine import cores
from parametric_umap.engine.cores import SharedCores

X = load_digits().data[:500]
WHOLE, SPLIT, ALONE = 1.0, 4.0, 1.75  # a step by two threads, by two of which one shares its core, and by one


class Machine:
    """Two cores, and a process that wants one of them for a time; its clocks are those of `cores`."""

    def __init__(self, monkeypatch):
        self.now = self.on_cores = 0.0
        self.is_busy = False
        monkeypatch.setattr(cores.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(cores.time, "process_time", lambda: self.on_cores)
        monkeypatch.setattr(torch, "set_num_threads", lambda n: None)

    def run(self, shared, seconds):
        """Take steps for some time; how many threads each was taken with."""
        taken, end = [], self.now + seconds
        while self.now < end:
            with shared.step(("phase", 64), lambda: torch.zeros(2)):
                wall = 0.01 * (ALONE if shared.n_taken == 1 else SPLIT if self.is_busy else WHOLE)
                self.on_cores += wall * (1.25 if self.is_busy and shared.n_taken == 2 else shared.n_taken)
                self.now += wall
            taken.append(shared.n_taken)
        return np.array(taken)


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch)


def test_all_threads_are_taken_on_an_idle_machine(machine):
    assert (machine.run(SharedCores(2), 60) == 2).all()


def test_a_thread_less_is_taken_while_another_process_runs_and_one_more_after_it(machine):
    shared = SharedCores(2)
    machine.run(shared, 1)
    machine.is_busy = True
    assert np.mean(machine.run(shared, 60) == 1) > 0.95
    machine.is_busy = False
    machine.run(shared, 2 * cores.LONGEST_PAUSE)
    assert (machine.run(shared, 60) == 2).all()


def test_threads_that_do_not_spin_are_not_taken_for_those_of_a_busy_machine(machine, monkeypatch):
    # Half of the second thread's time is missing, since it sleeps where it waits; alone, one is slower all the same.
    monkeypatch.setattr(cores.time, "process_time", lambda: 0.75 * machine.on_cores)
    assert np.mean(machine.run(SharedCores(2), 60) == 2) > 0.9


def test_where_the_bits_would_differ_all_threads_are_kept(machine):
    shared, machine.is_busy = SharedCores(2), True
    losses = iter(range(1000))
    for _ in range(100):
        with shared.step(("phase", 64), lambda: torch.tensor(float(next(losses)))):
            machine.now, machine.on_cores = machine.now + 0.1, machine.on_cores + 0.1
            assert shared.n_taken == 2
    assert next(losses) == 2  # compared once, and never again


@pytest.mark.parametrize("sampling", ["neighborhoods", "edges"])
def test_a_fit_has_the_same_bits_however_many_threads_its_steps_take(monkeypatch, sampling):
    how = {"n_neighbors": 10, "n_epochs": 5, "sampling": sampling, "random_state": 0, "n_jobs": 2}
    left_alone = ParametricUMAP(**how).fit(X)
    changes = []

    def change(self, seconds, n_missing):
        changes.append(3 - self.n_taken)
        self._take(changes[-1])

    monkeypatch.setattr(SharedCores, "_decide", change)
    monkeypatch.setattr(cores, "WINDOW_SECONDS", 0)
    n_threads = torch.get_num_threads()
    changed = ParametricUMAP(**how).fit(X)
    assert set(changes) >= {1}
    np.testing.assert_array_equal(changed.embedding_, left_alone.embedding_)
    for name, losses in left_alone.loss_curve_.items():
        np.testing.assert_array_equal(changed.loss_curve_[name], losses)
    assert torch.get_num_threads() == n_threads


@pytest.mark.parametrize("asked", [{"encoder": torch.nn.Linear}, {"decoder": True}])
def test_a_module_that_may_not_be_called_twice_is_not(monkeypatch, asked):
    monkeypatch.setattr(SharedCores, "step", None)
    ParametricUMAP(n_neighbors=5, n_epochs=2, batches_per_epoch=2, n_jobs=2, **asked, init="random").fit(X)
