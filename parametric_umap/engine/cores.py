"""Fewer threads for the steps on the CPU, while another process wants its cores, without changing a bit."""

import time
from contextlib import contextmanager

import torch

# Threads wait for each other by spinning: so many of them whose time on a core is missing tell of another process.
MISSING_THREADS = 0.4
# Seconds and steps that are measured together; in another number of threads they are the fewest that tell.
WINDOW_SECONDS, WINDOW_STEPS = 0.05, 3
# Seconds from a trial that was lost to the next one, which double up to the most.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 4.0


class SharedCores:
    """Takes a thread less for the steps of training while that is faster, and one more again when it is not.

    All threads wait for the slowest of them many times in a step: with a core shared by another process they come
    forward only when that one rests. Whether it is there is told by the time that the process has on the cores; what
    helps is measured, some steps at a time.

    The result of a step must not depend on the number of threads. What torch and the libraries below make of it is
    compared, to the bit, for every kind of step; where it does depend, as it may on some processors, the number of
    threads stays.

    Parameters
    ----------
    n_threads : int
        The most that are taken.

    Attributes
    ----------
    n_taken : int
        How many are taken now.
    """

    def __init__(self, n_threads):
        self.n_threads = self.n_taken = n_threads
        self._same = set()
        self._before = None  # in a trial: the number of threads and the seconds of a step before it
        self._pause, self._next_trial = FIRST_PAUSE, 0.0
        self._n_unmeasured = 0
        self._open_window()

    @contextmanager
    def within(self):
        """Take the threads for the steps of a phase, as many as were best before."""
        if self._before is not None:
            self.n_taken, self._before = self._before[0], None
        self._take(self.n_taken)
        self._open_window()
        try:
            yield
        finally:
            torch.set_num_threads(self.n_threads)

    @contextmanager
    def step(self, kind, outcome):
        """Take a step within.

        Parameters
        ----------
        kind : tuple
            Steps of one kind compute the same with numbers of the same shapes.
        outcome : callable
            Gives what the step comes to, a tensor, and changes nothing.
        """
        if self.n_taken < self.n_threads and (self.n_taken, kind) not in self._same:
            self._compare(kind, outcome)
        wall, on_cores = time.perf_counter(), time.process_time()
        yield
        self._measure(time.perf_counter() - wall, time.process_time() - on_cores)

    def _compare(self, kind, outcome):
        found, fewer = [], self.n_taken
        for n_threads in (self.n_threads, fewer):
            torch.set_num_threads(n_threads)
            found.append(outcome())
        if torch.equal(*found):
            self._same.add((fewer, kind))
        else:
            self._take(self.n_threads)
            self._before, self._next_trial = None, float("inf")

    def _measure(self, wall, on_cores):
        if self._n_unmeasured:  # the first step after a change, for which matrix products are prepared
            self._n_unmeasured -= 1
            return
        self._n_steps += 1
        self._wall += wall
        self._on_cores += on_cores
        if self._n_steps >= WINDOW_STEPS and (self._before is not None or self._wall >= WINDOW_SECONDS):
            self._decide(self._wall / self._n_steps, self.n_taken - self._on_cores / self._wall)
            self._open_window()

    def _decide(self, seconds, n_missing):
        if self._before is not None:
            (n_before, seconds_before), self._before = self._before, None
            is_faster = seconds < seconds_before
            self._pause = FIRST_PAUSE if is_faster else min(2 * self._pause, LONGEST_PAUSE)
            self._next_trial = time.perf_counter() + self._pause
            if not is_faster:
                self._take(n_before)
        elif time.perf_counter() >= self._next_trial:
            wanted = self.n_taken - 1 if n_missing > MISSING_THREADS else self.n_taken + 1
            if 1 <= wanted <= self.n_threads:
                self._before = self.n_taken, seconds
                self._take(wanted)

    def _take(self, n_threads):
        torch.set_num_threads(n_threads)
        self.n_taken, self._n_unmeasured = n_threads, 1

    def _open_window(self):
        self._n_steps, self._wall, self._on_cores = 0, 0.0, 0.0
