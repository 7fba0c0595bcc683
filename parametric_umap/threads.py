"""How many threads compute on the CPU."""

import os
from contextlib import contextmanager
from threading import Lock, local

import torch
from joblib import cpu_count, effective_n_jobs
from joblib.parallel import get_active_backend
from threadpoolctl import threadpool_limits

# torch's number of threads as it is outside of `limited_threads`, once for each thread that is within; and the limit of
# each thread.
_threads_outside: list[int] = []
_within = local()
_lock = Lock()
_in_forked_child = False


def _take_one_thread():
    """In a child of ``fork``, which has none of its parent's OpenMP threads, and would wait for them for ever."""
    global _in_forked_child, _within, _lock
    _in_forked_child, _within, _lock = True, local(), Lock()
    _threads_outside.clear()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_take_one_thread)


def in_forked_child():
    """Say whether this process was forked by one that had this package imported."""
    return _in_forked_child


def allotted_threads(n_jobs=None):
    """Find how many threads may be taken on the CPU, so that workers that run side by side leave each other theirs.

    Parameters
    ----------
    n_jobs : int or None, default=None
        How many are asked for, in joblib's counting.

    Returns
    -------
    n_threads : int or None
        None, where nothing is asked for, leaves the settings of torch, numba and OpenMP alone. It is a number, too,

        - where torch would take more threads than the process may use cores, by its affinity and the quota of its
          control group, as in a container: they would wait for each other by spinning, at the container's cost;
        - in a worker of joblib's, such as a search has, and is at most the worker's share: what ``OMP_NUM_THREADS``
          says, which joblib sets for its processes, else 1;
        - in a child of ``fork``, where it is 1.

    Raises
    ------
    ValueError
        If `n_jobs` is 0.
    """
    asked = None if n_jobs is None else int(effective_n_jobs(n_jobs))  # threadpoolctl takes no numbers of numpy
    if _in_forked_child:
        return 1
    if not get_active_backend()[0].nesting_level:
        return cpu_count() if asked is None and torch.get_num_threads() > cpu_count() else asked
    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    share = min(max(int(said), 1) if said.isdecimal() else 1, torch.get_num_threads())
    return share if asked is None else min(asked, share)


@contextmanager
def limited_threads(n_threads):
    """Set the number of threads of torch and of OpenMP for the thread that runs, and put it back afterwards.

    Parameters
    ----------
    n_threads : int or None
        None leaves it alone.
    """
    if n_threads is None:
        yield
        return
    around = getattr(_within, "limit", None)  # where a limit is set within another, as by `embed` within a fit
    with _lock:
        # A new thread takes what any other has set last, when it first asks: so it asks before it sets.
        found = torch.get_num_threads()
        if around is None:
            _threads_outside.append(_threads_outside[0] if _threads_outside else found)
        torch.set_num_threads(n_threads)
    _within.limit = n_threads
    try:
        with threadpool_limits(n_threads, user_api="openmp"):  # scikit-learn's own
            yield
    finally:
        _within.limit = around
        with _lock:
            torch.set_num_threads(_threads_outside.pop() if around is None else around)
