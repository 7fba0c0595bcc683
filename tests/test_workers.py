"""Fits side by side, as in a search: each in its share of the cores, and without what it does not need."""

import os
import subprocess
import sys
from threading import Barrier, Thread

import joblib
import numpy as np
import pytest
import torch
from children import killed_in_time, script
from joblib.externals.loky import get_reusable_executor
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from threadpoolctl import threadpool_info

from parametric_umap import ParametricUMAP, plan
from parametric_umap.threads import allotted_threads, limited_threads

X = load_digits().data[:300]
QUICK = {"n_epochs": 1, "batches_per_epoch": 5, "init_epochs": 1, "random_state": 0}
# Compilers, a computer algebra, and what other features need.
HEAVY = {"numba", "pynndescent", "torch._dynamo", "torch._inductor", "sympy", "matplotlib", "onnx", "safetensors"}


class Spy(torch.nn.Linear):
    """An encoder that writes down in how many threads torch and each OpenMP library would run."""

    seen = []

    def forward(self, x):
        pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"]
        self.seen.append((torch.get_num_threads(), max(pools)))
        return super().forward(x)


@pytest.fixture
def two_threads(two_threads, monkeypatch):
    """Nothing set in the environment, and two threads for torch."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)


def threads_of_a_new_thread():
    found = []
    thread = Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join(timeout=60)
    return found[0]


def fit_in_a_worker(n_jobs):
    """What a fit sees in a process of a search."""
    Spy.seen = []
    ParametricUMAP(encoder=Spy(64, 2), n_jobs=n_jobs, **QUICK).fit(X).transform(X)
    blas = max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
    return set(Spy.seen), blas, allotted_threads(n_jobs)


def imports_in_a_worker():
    imported = set(sys.modules)
    ParametricUMAP(**QUICK).fit(X).transform(X)
    return imported, set(sys.modules)


@pytest.fixture(scope="module")
def fresh_workers():
    get_reusable_executor().shutdown(wait=True)


def test_a_worker_imports_no_compiler(two_threads, fresh_workers):
    parallel = joblib.Parallel(n_jobs=2)
    for before, after in parallel(joblib.delayed(imports_in_a_worker)() for _ in range(2)):
        assert "parametric_umap" in before
        assert not HEAVY & before
        assert not HEAVY & after


@pytest.mark.parametrize("n_jobs", [None, -1, 8])
def test_processes_divide_the_cores_among_them(two_threads, fresh_workers, n_jobs):
    share = max(1, joblib.cpu_count() // 2)
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(fit_in_a_worker)(n_jobs) for _ in range(2))
    for threads, blas, searching in found:
        assert threads == {(share, share)}
        assert blas == share
        assert searching == share


@pytest.mark.parametrize("n_jobs", [None, -1, 8])
def test_threads_take_one_core_each(two_threads, monkeypatch, n_jobs):
    searching = []
    search = plan.find_neighbors
    monkeypatch.setattr(
        plan, "find_neighbors", lambda *args, **how: searching.append(how["n_jobs"]) or search(*args, **how)
    )
    Spy.seen = []
    umap = ParametricUMAP(encoder=Spy(64, 2), n_jobs=n_jobs, **QUICK)
    with joblib.parallel_config(backend="threading"):
        cross_val_score(umap, X, cv=2, n_jobs=2)
    assert set(Spy.seen) == {(1, 1)}
    assert searching == [1, 1]
    assert torch.get_num_threads() == threads_of_a_new_thread() == 2


@pytest.mark.parametrize(("said", "share"), [("2,1", 2), (" 2 ", 2), ("", 1), ("0", 1), ("-1", 1), ("many", 1)])
def test_a_share_that_the_user_sets_is_taken(two_threads, monkeypatch, said, share):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    with joblib.parallel_config(backend="threading"):
        found = joblib.Parallel(n_jobs=2)(joblib.delayed(allotted_threads)(n) for n in (None, 1, 8))
    assert found == [share, 1, share]


def test_outside_of_workers_threads_are_those_asked_for(two_threads):
    assert allotted_threads() is None
    assert allotted_threads(3) == 3
    with limited_threads(allotted_threads(np.int64(3))):
        assert torch.get_num_threads() == 3
    assert allotted_threads(-1) == joblib.cpu_count()
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert allotted_threads() is None
    assert joblib.Parallel(n_jobs=1)([joblib.delayed(allotted_threads)()]) == [None]


def test_a_limit_within_another_gives_way_to_it_again(two_threads):
    with limited_threads(1):
        with limited_threads(2):
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == threads_of_a_new_thread() == 2


def test_overlapping_limits_leave_the_number_of_threads_as_it_was(two_threads):
    both_inside, first_left = Barrier(2, timeout=60), Barrier(2, timeout=60)
    found = []

    def first():
        with limited_threads(1):
            both_inside.wait()
        first_left.wait()

    def last():
        with limited_threads(1):
            both_inside.wait()
            first_left.wait()
            found.append(torch.get_num_threads())

    threads = [Thread(target=first), Thread(target=last)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert found == [1]
    assert torch.get_num_threads() == threads_of_a_new_thread() == 2


def test_threads_are_at_most_the_cores_of_a_container(two_threads, monkeypatch):
    monkeypatch.setattr("parametric_umap.threads.cpu_count", lambda: 1)  # as in a control group with a quota
    Spy.seen = []
    umap = ParametricUMAP(encoder=Spy(64, 2), **QUICK).fit(X)
    umap.transform(X)
    assert set(Spy.seen) == {(1, 1)} and torch.get_num_threads() == 2
    assert allotted_threads(2) == 2  # asked for is asked for


FORKED = """
import multiprocessing
import os
import sys
import numpy as np
import torch
from sklearn.datasets import load_digits
from parametric_umap import ParametricUMAP
from parametric_umap.neighbors import search
from test_workers import QUICK, X

def equal_in_child(child):
    return np.array_equal(umap.transform(X), expected), np.array_equal(new().fit(X).embedding_, umap.embedding_)

class Mapped(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        return torch.from_numpy(umap.transform(X[i : i + 100]))

def new():
    return ParametricUMAP(n_jobs=2, metric=metric, **QUICK)

metric = sys.argv[1]
search.DESCENT_WORK = 0  # of other metrics than the Euclidean all rows are searched by pynndescent, in numba's threads
torch.set_num_threads(2)
umap = new().fit(X)
if metric == "euclidean":
    (X @ X.T).sum(), torch.randn(500, 500) @ torch.randn(500, 500)
    umap = new().set_params(n_jobs=1).fit(X)  # one thread rounds in another order than two
    new().fit(X)
    torch.set_num_threads(1)
    expected = umap.transform(X)
    torch.set_num_threads(2)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(set(pool.map(equal_in_child, range(4))))
    loaded = torch.utils.data.DataLoader(Mapped(), batch_size=None, num_workers=2, multiprocessing_context="fork")
    print(all(np.array_equal(part, umap.transform(X[i : i + 100])) for i, part in enumerate(loaded)))
else:
    child = os.fork()
    if not child:
        new().fit(X)
        os._exit(0)
    print(os.waitpid(child, 0)[1])
print(torch.get_num_threads())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(("metric", "said"), [("euclidean", "{(True, True)}\nTrue\n2\n"), ("manhattan", "0\n2\n")])
def test_children_of_fork_fit_and_transform(metric, said):
    with killed_in_time(script(FORKED, metric, stdout=subprocess.PIPE, text=True)) as process:
        assert process.communicate()[0] == said


@pytest.mark.cuda
def test_fits_side_by_side_on_one_gpu_are_those_of_each_alone():
    alone = [ParametricUMAP(device="cuda", random_state=seed).fit(X).embedding_ for seed in range(4)]
    fit = joblib.delayed(lambda seed: ParametricUMAP(device="cuda", random_state=seed).fit(X).embedding_)
    for backend in ("threading", "loky"):
        found = joblib.Parallel(n_jobs=2, backend=backend)(fit(seed) for seed in range(4))
        for one, other in zip(found, alone, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.cuda
def test_a_fit_gives_the_memory_of_a_gpu_back():
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    rows = np.random.default_rng(0).normal(size=(50_000, 1_000)).astype(np.float32)
    ParametricUMAP(device="cuda", pca_variance=1.0, n_epochs=1, random_state=0).fit(rows)
    assert torch.cuda.memory_reserved() < torch.cuda.max_memory_reserved() / 2
